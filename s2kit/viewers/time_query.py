"""The time-query viewer: step through the dates of a cube, compare two, read a pixel's series."""

import io
from dataclasses import replace
from datetime import date
from itertools import chain

import numpy as np
import pandas as pd
import panel as pn
import param
import xarray as xr

from s2kit.viewers.basemap import TILES
from s2kit.viewers.charts import Overlay, SeriesChart
from s2kit.viewers.date_maps import (
    BESIDE,
    FIXED,
    OF_VIEW,
    OFF,
    SAME,
    SWIPE,
    DateMaps,
    DatePicture,
    DrawnMap,
    MapRequest,
)
from s2kit.viewers.map_viewer import BESIDE_THE_CUBE, MapViewer
from s2kit.viewers.measurements import Measurements, OfOnePlace, choose
from s2kit.viewers.parameters import Choice, Choices, Number, Percent, Switch
from s2kit.viewers.pixel_series import PixelSeries
from s2kit.viewers.renderers import find_renderer
from s2kit.viewers.time_query_layout import lay_out
from s2kit.viewers.timeline import SEASONS, OverpassFilter, read_time, timeline_of

NOT_PINNED = "no date"


class TimeQuery(MapViewer):
    """Look at the overpasses of a cube, one after the other.

    The last line of a cell shows it; ``.servable()`` makes a page of it for ``panel serve``. Each
    of its controls is an attribute: ``viewer.picture = "NDVI"``.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it. A part of a cube does too, but has no overviews.
    tiles : str, default OpenStreetMap's
        Address of the tiles of the basemap, with ``{z}``, ``{x}`` and ``{y}``.
        Nothing is fetched from there unless it is switched on.

    Raises
    ------
    InvalidInputError
        If it is no cube, or has no layer that can be shown.
    """

    moment = Choice(allow_None=True, doc="Start of the overpass that is shown, UTC")
    picture = Choice(doc="What the map shows: a mix of bands, a layer or an index")
    stretch = Choice(default=FIXED, objects=[FIXED, OF_VIEW], doc="Where limits come from")
    mask = Switch(False, doc="Tint what is not clear")
    least_clear = Percent(0, doc="Clear share of the whole cube, % at least")
    seasons = Choices(default=list(SEASONS), objects=list(SEASONS), doc="Months")
    orbits = Choices(default=[], doc="Relative orbits")
    platforms = Choices(default=[], doc="Satellites")
    x = Number(None, allow_None=True, doc="Place of the series")
    y = Number(None, allow_None=True, doc="Place of the series")
    chart = Choice(doc="What the series shows")
    measurements = OfOnePlace(class_=Measurements, allow_None=True, doc="Over the series")
    pinned = Choice(default=NOT_PINNED, objects=[NOT_PINNED], doc="Date to compare with")
    pinned_picture = Choice(default=SAME, objects=[SAME], doc="What the pinned map shows")
    compare = Choice(default=OFF, objects=[OFF, SWIPE, BESIDE], doc="How to compare")
    swipe = Percent(50, doc="Where the pinned picture ends, % of the view")
    playing = Switch(False, doc="Whether overpasses follow one another by themselves")
    offered = param.Dict({}, doc="The overpasses that pass the filter")

    _FILTER = ("least_clear", "seasons", "orbits", "platforms")
    _COMPARED = ("pinned", "pinned_picture", "compare", "swipe")
    _PICTURE = ("picture", "stretch", "limits", "mask", *_COMPARED, "view")
    _IN_ADDRESS = (*_FILTER, "moment", *_PICTURE, "opacity", "basemap", "x", "y", "chart")

    def __init__(self, cube: xr.Dataset, *, tiles: str = TILES):
        super().__init__(cube, "Time query", tiles)
        self.timeline = timeline_of(self.cube)
        self.filter = OverpassFilter(self.timeline)
        self.pixels = PixelSeries(self.cube, self.levels, self.timeline)
        self.maps = DateMaps(self.levels, self.timeline, self.map, self.page.note)
        self.other = self.maps.other
        self.panes.append(self.other)
        self.series = SeriesChart()
        self._drawn: DrawnMap | None = None
        self._ahead: int | None = None
        self._pinned_limits: tuple[float, float] | None = None
        self._set_choices()
        self._apply_filter()
        self._layout = lay_out(self)
        self._clock = pn.state.add_periodic_callback(self._next_of_play, period=700, start=False)
        self._start([self._apply_filter, self._draw, self._draw_first_series])
        self.redraw.on(self._FILTER, self._apply_filter)
        self.redraw.follow(["picture"], ["limits", "chart"], self._follow_picture)
        self.redraw.follow(["pinned", "pinned_picture"], [], self._follow_pin)
        self.redraw.on(["moment", "offered", "map_size", *self._PICTURE], self._draw)
        self.redraw.on(["x", "y", "chart", "measurements"], self._draw_series)
        self.param.watch(lambda event: self._clock.param.update(running=event.new), ["playing"])
        for pane in self.panes:
            pane.on_click(self.page.guarded(self.ask))
        self.series.on_click(self.page.guarded(self._go_to_clicked))

    def _set_choices(self) -> None:
        moments = self.filter.moments()
        self.param.moment.objects = moments
        self.param.pinned.objects = {NOT_PINNED: NOT_PINNED} | moments
        names = list(chain.from_iterable(self.names.values()))
        self.param.picture.objects = names
        self.param.pinned_picture.objects = [SAME, *names]
        numbers = self.param.chart.objects = self.numbers or [""]
        for name, prefix in (("orbits", "orbit "), ("platforms", "")):
            found = self.timeline[name.removesuffix("s")].unique()
            known = sorted(found, key=lambda text: (len(text), text))
            self.param[name].objects = {f"{prefix}{n}" if n else "not known": n for n in known}
            self.param.update(**{name: known})
        clearest = self.timeline.iso[self.timeline.clear.fillna(0).argmax()]
        first = "NDVI" if "NDVI" in numbers else numbers[0]
        self.param.update(moment=clearest, picture=names[0], chart=first)

    def _follow_picture(self, free: set[str]) -> None:
        """Fit the limits, and show the picture as series, too, unless they were given with it."""
        self._reset_limits(free)
        if "chart" in free and self.picture in self.param.chart.objects:
            self.chart = self.picture

    def _follow_pin(self, _free: set[str]) -> None:
        """Fit the limits of the pinned picture to what is pinned now."""
        self._pinned_limits = None

    # Overpasses

    @property
    def steps(self) -> np.ndarray:
        """Numbers of the overpasses that pass the filter."""
        return self.filter.steps

    @property
    def step(self) -> int | None:
        """Number of the overpass that is shown; None if none passes the filter."""
        return None if self.moment is None else self.filter.number_of(self.moment)

    @property
    def pin(self) -> int | None:
        """Number of the pinned overpass."""
        return None if self.pinned == NOT_PINNED else self.filter.number_of(self.pinned)

    def _moment_of(self, step: int | None) -> str | None:
        return None if step is None else self.timeline.iso[step]

    def _apply_filter(self) -> None:
        """Offer the overpasses that pass the filter, and keep to the nearest of them."""
        if self.moment:
            self.filter.last = self.step
        self.filter.apply(**{name: getattr(self, name) for name in self._FILTER})
        step = self.filter.neighbour(None, 0)
        self.param.moment.objects = offered = self.filter.moments()
        self.param.update(offered=offered, moment=self._moment_of(step))
        if step is None:
            self.blank(self.filter.why_none())

    def go_to(self, time: pd.Timestamp | str | date | np.datetime64) -> None:
        """Show the overpass nearest to a time (UTC), among those that pass the filter.

        Raises
        ------
        InvalidInputError
            If it is no time.
        """
        self.moment = self._moment_of(self.filter.nearest(read_time(time)))

    def _go_to_clicked(self, time: pd.Timestamp) -> None:
        """Show the overpass that was clicked, or an error if it does not pass the filter."""
        self.go_to(time)
        clicked = OverpassFilter(self.timeline).nearest(time)
        if self.step not in (clicked, None):
            self.page.show_error(
                f"{self.timeline.label[clicked]}: this does not pass the filter; the nearest that "
                "does is shown."
            )

    def move(self, by: int) -> None:
        """Show the overpass so many places later, or the last or first one."""
        self.moment = self._moment_of(self.filter.neighbour(self.step, by))

    def pin_this(self) -> None:
        """Pin the date that is shown, to compare others with it."""
        if self.moment:
            how = SWIPE if self.compare == OFF else self.compare
            self.param.update(pinned=self.moment, compare=how)

    def _next_of_play(self) -> None:
        self.playing = self.playing and len(self.steps) > 1
        if self.playing:
            by = -len(self.steps) if self.step == self.steps[-1] else 1
            self._ahead = self.filter.neighbour(self.step, by)
            with self.page.catch_errors():
                self._draw()  # first, so that no control says a date that is on its way
            self.after_sending(self._take_played)

    def _take_played(self) -> None:
        """Let the controls say the date that has been drawn, unless playing has ended meanwhile."""
        step, self._ahead = self._ahead, None
        if self.playing:
            self.moment = self._moment_of(step)
        else:
            with self.page.catch_errors():
                self._draw()

    # The map

    def _draw_picture(self) -> None:
        """Draw the overpass that is shown, or played next, unless that is what is drawn."""
        step = self.step if self._ahead is None else self._ahead
        self.series.show_day(None if step is None else self.timeline.time[step])
        asked, window, view = self._asked(step, self.limits), self.map.window(), self.map.view
        if step is None or asked is None or window is None:
            self._arrange(None)
            self.blank(self.filter.why_none() if step is None else BESIDE_THE_CUBE)
            return
        drawn = self._drawn
        if drawn is None or (drawn.asked, drawn.window, drawn.view) != (asked, window, view):
            self._drawn = None
            self._arrange(asked)
            drawn = self.maps.draw(asked, window, view)
            limits = drawn.kept or self.limits
            self._pinned_limits = drawn.pinned_kept or self._pinned_limits
            self._drawn = drawn = replace(drawn, asked=self._asked(step, limits) or asked)
            self.param.update(limits=limits, shown_limits=drawn.limits)  # which draws nothing again
        unpinned = self.compare != OFF and self.pin is None
        hint = " Pin a date to compare with." if unpinned else ""
        self.page.set_status(self.maps.status(drawn, self.filter.position(step)) + hint)
        self._update_readout()

    def _asked(self, step: int | None, limits: tuple[float, float] | None) -> MapRequest | None:
        """Return what the map is to show of an overpass; None if there is none."""
        if step is None:
            return None
        look = self.stretch == OF_VIEW, self.mask and self.pixels.classified
        picture = DatePicture(find_renderer(self.cube, self.picture), step, limits, *look)
        if self.compare == OFF or self.pin is None:
            return MapRequest(picture)
        pinned = replace(picture, step=self.pin)
        if self.pinned_picture not in (SAME, self.picture):
            other = find_renderer(self.cube, self.pinned_picture)
            pinned = DatePicture(other, self.pin, self._pinned_limits, *look)
        return MapRequest(picture, pinned, self.compare == BESIDE, self.swipe)

    def _arrange(self, asked: MapRequest | None) -> None:
        """Show as many maps as are asked for, without what the last picture had."""
        self.maps.arrange(asked is not None and asked.beside)
        self.map.show_divider(None)

    def blank(self, message: str) -> None:
        """Show a message in place of both pictures."""
        self._drawn = None
        super().blank(message)

    def _value_at(self, x: float, y: float, beside: bool) -> str:
        return self.maps.describe(self._drawn, x, y, beside) if self._drawn else ""

    # A pixel

    def ask(self, x: float, y: float) -> None:
        """Show the series of the pixel that holds a place."""
        x, y = self.pixels.centre(x, y)
        self.param.update(x=x, y=y)

    def pixel_series(self) -> pd.DataFrame:
        """Return the observations of the chosen pixel.

        Returns
        -------
        pandas.DataFrame
            ``time`` (UTC), ``value`` (float, in the unit of the layer; NaN for no data), ``clear``
            (bool; all True without a classification), and of the overpass ``orbit``,
            ``platform``, ``label``, ``products`` and the scenes that ``failed`` to be read.

        Raises
        ------
        InvalidInputError
            If there is no pixel there, or the cube has no layer of numbers.
        CubeError
            If the store has changed, or cannot be read.
        """
        return self.pixels.read(self.x, self.y, self.chart)

    def csv(self) -> io.StringIO:
        """Return the series as CSV; see `pixel_series`."""
        return self.pixels.write_csv(self.x, self.y, self.chart, self.page.note)

    def _choose_measurements(self, measured: Measurements) -> tuple[pd.DataFrame, str]:
        years = self.timeline.time.dt.year
        return choose(measured, None, (years.min(), years.max()))

    def _draw_first_series(self) -> None:
        """Draw the series of the address of the page, or of the pixel in the middle."""
        if "picture" in self._address.taken and "chart" not in self._address.taken:
            self._follow_picture({"chart"})
        if self.x is None or self.y is None:
            given = {name: getattr(self, name) for name in "xy"}
            half = {n: f"{v} without the other" for n, v in given.items() if v is not None}
            self._address.wrong |= half
            self.ask(*self.levels.whole.middle)
        self._draw_series()

    def _draw_series(self) -> None:
        if self.x is None or self.y is None or not self.chart:
            return
        renderer = find_renderer(self.cube, self.chart)
        classes = "" if self.pixels.classified else "; no classification, clouds are not marked"
        place = self.levels.format_xy(self.x, self.y)
        title = f"{self.chart} at {place}\n({self.page.note}{classes})"
        table, ring = self.pixels.empty(), None
        try:
            table, ring = self.pixel_series(), (self.x, self.y)
        except Exception:
            title = "No series: see the error above\n "
            raise
        finally:
            over = None
            if measured := self._shown_measurements():
                name, known = measured
                over = Overlay(name, known.time.to_numpy(), known, self.chart)
            self.series.show(table, title, renderer.label, renderer.usual_range, over)
            for pane in self.panes:
                pane.mark(ring)
