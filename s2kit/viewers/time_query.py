"""The time-query viewer: see the cube move, choose days, ask a pixel, compare."""

import io
from contextlib import suppress
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
import panel as pn
import param
import xarray as xr

from s2kit.analysis.masks import CLEAR, is_class
from s2kit.errors import InvalidInputError
from s2kit.viewers import colours
from s2kit.viewers.basemap import TILES
from s2kit.viewers.charts import SeriesChart
from s2kit.viewers.frames import Window
from s2kit.viewers.map_viewer import BESIDE_THE_CUBE, NO_PICTURE, MapViewer
from s2kit.viewers.mapview import MapView
from s2kit.viewers.parameters import Choice, Choices, Number, Percent, Switch
from s2kit.viewers.pictures import Frame, Picture, read_picture
from s2kit.viewers.time_query_layout import BESIDE, FIXED, OF_VIEW, OFF, SWIPE, lay_out
from s2kit.viewers.timeline import SEASONS, choose, nearest, percent, timeline_of

NOT_PINNED = "no date"

_is_clear = is_class(CLEAR)

_SMALL = 330
"""Pixels of the screen along one side of a map that has another beside it."""


class TimeQuery(MapViewer):
    """Look at the overpasses of a cube, one after the other.

    The last line of a cell shows it; ``.servable()`` makes a page of it for ``panel serve``. Each
    of its controls is an attribute: ``viewer.picture = "NDVI"``.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` gives it. A part of a cube does too, but has no overviews.
    tiles : str, default OpenStreetMap's
        Address of the tiles of the basemap, with ``{z}``, ``{x}`` and ``{y}``.
        Nothing is fetched from there unless it is switched on.

    Raises
    ------
    InvalidInputError
        If it is no cube, or has no layer that can be shown.
    """

    moment = Choice(
        allow_None=True, check_on_set=True, doc="Start of the overpass that is shown, UTC"
    )
    picture = Choice(
        check_on_set=True, doc="What the map shows: a mix of bands, a layer or an index"
    )
    stretch = Choice(default=FIXED, objects=[FIXED, OF_VIEW], doc="Where limits come from")
    mask = Switch(False, doc="Tint what is not clear")
    least_clear = Percent(0, doc="Clear share of the whole cube, % at least")
    seasons = Choices(default=list(SEASONS), objects=list(SEASONS), doc="Months")
    orbits = Choices(default=[], check_on_set=True, doc="Relative orbits")
    platforms = Choices(default=[], check_on_set=True, doc="Satellites")
    x = Number(None, allow_None=True, doc="Place of the series")
    y = Number(None, allow_None=True, doc="Place of the series")
    chart = Choice(check_on_set=True, doc="What the series shows")
    pinned = Choice(default=NOT_PINNED, objects=[NOT_PINNED], doc="Date to compare with")
    compare = Choice(default=OFF, objects=[OFF, SWIPE, BESIDE], doc="How to compare")
    swipe = Percent(50, doc="Where the pinned picture ends, % of the view")

    playing = Switch(False, doc="Whether overpasses follow one another by themselves")
    offered = param.Dict({}, constant=False, doc="The overpasses that pass the filter")

    _IN_ADDRESS = ("least_clear", "seasons", "orbits", "platforms", "moment", "picture", "stretch",
                   "limits", "opacity", "mask", "basemap", "x", "y", "chart", "pinned", "compare",
                   "swipe", "view")  # fmt: skip

    def __init__(self, cube: xr.Dataset, *, tiles: str = TILES):
        super().__init__(cube, "Time query", tiles)
        self.timeline = timeline_of(self.cube)
        self._set_choices()
        self.other = MapView(self.levels, beside=self.map)
        self.series = SeriesChart()
        self._frame: Frame = {}
        self._pinned_frame: Frame = {}
        self._border = 0
        self._window: Window | None = None
        self._last = self.timeline.time[self.step]
        self._choose_steps()
        self._layout = lay_out(self)
        self._clock = pn.state.add_periodic_callback(self._next_of_play, period=700, start=False)
        self._begin(
            self._IN_ADDRESS,
            [self._choose_steps, self._draw, self._begin_series],
        )
        self._listen()

    # Beginning

    def _set_choices(self) -> None:
        moments = self._moments(range(len(self.timeline)))
        self.param.moment.objects = moments
        self.param.pinned.objects = {NOT_PINNED: NOT_PINNED} | moments
        names = [name for group in self.names.values() for name in group]
        self.param.picture.objects = names
        numbers = [n for n in names if n not in self.names.get("Colour", [])]
        self.param.chart.objects = numbers or [""]
        for name, word in (("orbits", "orbit "), ("platforms", "")):
            found = self.timeline[name.removesuffix("s")].unique()
            known = sorted(found, key=lambda text: (len(text), text))
            self.param[name].objects = {f"{word}{n}" if n else "not known": n for n in known}
            self.param.update(**{name: known})
        clearest = int(self.timeline.clear.fillna(0).argmax())
        self.param.update(
            moment=self.timeline.iso[clearest],
            picture=names[0],
            chart="NDVI" if "NDVI" in numbers else (numbers or [""])[0],
        )

    def _begin_series(self) -> None:
        if "picture" in self._address.taken and "chart" not in self._address.taken:
            self._chart_picture()
        if self.x is None or self.y is None:
            given = {"x": self.x, "y": self.y}
            half = {n: f"{v} without the other" for n, v in given.items() if v is not None}
            self._address.wrong |= half
            self.ask(*self.levels.whole.middle)
        self._draw_series()

    def _listen(self) -> None:
        self.watch(self._choose_steps, "least_clear", "seasons", "orbits", "platforms")
        self.follow(self._on_picture, ["picture"], ["limits", "chart"])
        self.watch(self._draw, "moment", "offered", "picture", "view", "stretch", "limits", "mask",
                   "pinned", "compare", "swipe")  # fmt: skip
        self.watch(self._play_or_stop, "playing")
        self.watch(self._draw_series, "x", "y", "chart")
        for one in (self.map, self.other):
            one.on_click(self.page.guarded(self.ask))
            one.on_point(partial(self._point, beside=one is self.other))
        self.series.on_click(self.page.guarded(self._go_to_clicked))

    # Overpasses

    def _moments(self, steps) -> dict[str, str]:
        chosen = self.timeline.iloc[steps]
        return dict(zip(chosen.label, chosen.iso, strict=True))

    def _show_step(self, step: int | None) -> None:
        self.moment = None if step is None else self.timeline.iso[step]

    @property
    def step(self) -> int | None:
        """Number of the overpass that is shown; None if none passes the filter."""
        return None if self.moment is None else self._number_of(self.moment)

    def _number_of(self, iso: str) -> int:
        return int((self.timeline.iso == iso).argmax())

    def _choose_steps(self) -> None:
        """Offer what passes the filter, and keep to the nearest of it."""
        self.steps = self._passing(self.least_clear)
        offered = self._moments(self.steps)
        if self.moment:
            self._last = self.timeline.time[self.step]
        self.param.moment.objects = offered
        with param.parameterized.batch_call_watchers(self):
            self.offered = offered
            self._show_step(nearest(self.timeline, self.steps, self._last))
        if self.step is None:
            self._say_none()

    def _passing(self, least_clear: int) -> np.ndarray:
        """Give the overpasses that pass the filter, with so much of the cube clear, %."""
        return choose(
            self.timeline, least_clear=least_clear / 100, seasons=self.seasons,
            orbits=self.orbits, platforms=self.platforms,
        )  # fmt: skip

    def _say_none(self) -> None:
        """Say why there is no picture."""
        if len(self.steps):
            passing = f"choose one of the {len(self.steps)} that pass the filter"
            self.blank(f"No overpass is chosen:\n{passing}")
            return
        cloudy = "clear " if len(self._passing(0)) else ""
        self.blank(f"No {cloudy}acquisition:\nno overpass passes the filter")

    def go_to(self, time: pd.Timestamp | str) -> None:
        """Show the overpass nearest to a moment (UTC), among those that pass the filter.

        Raises
        ------
        InvalidInputError
            If it is no moment.
        """
        wanted = pd.NaT
        if isinstance(time, str | date | np.datetime64):  # pandas takes 2021 for nanoseconds
            with suppress(ValueError):
                wanted = pd.to_datetime(time, utc=True).tz_localize(None)
        if wanted is pd.NaT:
            raise InvalidInputError(f"time={time!r:.60} is no date; give one such as '2021-06-04'")
        whole_day = wanted == wanted.normalize() and ":" not in str(time)
        wanted += pd.Timedelta(hours=12 if whole_day else 0)  # nearer to none of another day
        self._show_step(nearest(self.timeline, self.steps, wanted))

    def _go_to_clicked(self, time: pd.Timestamp) -> None:
        """Show the overpass that was clicked; if the filter leaves it out, say so."""
        self.go_to(time)
        clicked = nearest(self.timeline, np.arange(len(self.timeline)), time)
        if self.step not in (clicked, None):
            self.page.fail(
                f"{self.timeline.label[clicked]}: this does not pass the filter; the nearest that "
                "does is shown."
            )

    def move(self, by: int) -> None:
        """Show the overpass so many places later, or the last or first one."""
        if self.step is None:
            self._show_step(nearest(self.timeline, self.steps, self._last))
        elif len(self.steps):
            at = int(np.searchsorted(self.steps, self.step)) + by
            self._show_step(self.steps[min(max(at, 0), len(self.steps) - 1)])

    def _play_or_stop(self) -> None:
        if self.playing and not self._clock.running:
            self._clock.start()
        elif not self.playing and self._clock.running:
            self._clock.stop()

    def _next_of_play(self) -> None:
        self.playing = self.playing and len(self.steps) > 1
        if self.playing:
            with self.page.careful():
                self.move(-len(self.steps) if self.step == self.steps[-1] else 1)

    # Reactions

    def _on_picture(self, free: set[str]) -> None:
        if "limits" in free:
            self.limits = None
        if "chart" in free:
            self._chart_picture()

    def _chart_picture(self) -> None:
        """Let the series show what the map shows, if that is a number."""
        if self.picture in self.param.chart.objects:
            self.chart = self.picture

    def _set_opacity(self) -> None:
        super()._set_opacity()
        self.other.picture.glyph.global_alpha = self.opacity / 100

    # Pictures

    def _read(self, shown: Picture, window: Window, step: int) -> Frame:
        wanted = [*shown.layers]
        if "SCL" in self.cube.data_vars and "SCL" not in wanted and self.mask:
            wanted.append("SCL")
        return self.levels.read(window, step, wanted)

    def _draw(self) -> None:
        self.drawing(self._draw_pictures)

    def _draw_pictures(self) -> None:
        """Draw the map, and the pinned one."""
        self.series.show_day(None if self.step is None else self.timeline.time[self.step])
        shown = read_picture(self.cube, self.picture)
        window = self.levels.window(self.map.view)
        self._frame, self._pinned_frame, self._window, self._border = {}, {}, None, 0
        beside, swiped = (self.compare == mode and self.pin is not None for mode in (BESIDE, SWIPE))
        self._arrange(beside)
        self.map.divide(None)
        if self.step is None:
            self._say_none()
            return
        if window is None:
            self.blank(BESIDE_THE_CUBE)
            return
        frame = self._read(shown, window, self.step)
        pinned_frame = self._read(shown, window, self.pin) if beside or swiped else {}
        limits = self._limits(shown, frame)
        picture = self._paint(shown, frame, limits)
        title = f"{shown.name}, {self._day(self.step)}"
        if beside or swiped:
            pinned = self._paint(shown, pinned_frame, limits)
        if beside:
            self._put(
                self.other,
                pinned,
                window,
                f"{shown.name}, {self._day(self.pin)} (pinned)",
                self.pin,
            )
        if swiped:
            picture = self._join(pinned, picture, window)
            title = f"{shown.name}, {self._day(self.pin)} | {self._day(self.step)}"
        self._put(self.map, picture, window, title, self.step)
        self._frame, self._pinned_frame, self._window = frame, pinned_frame, window
        self._shown, self._steps_shown = shown, (self.step, self.pin)
        self.shown_limits = limits
        self.map.show_scale(shown.label, shown.palette, *limits)
        self._tell(shown, window)
        self._read_again()

    def _limits(self, shown: Picture, frame: Frame) -> tuple[float, float]:
        """Give those that fit the view, if asked for; else the chosen or the usual ones.

        A picture without usual ones keeps those that fit what is seen of it first.
        """
        of_view = self.stretch == OF_VIEW
        fitting = (
            shown.typical_limits(frame) if of_view or not (self.limits or shown.limits) else None
        )
        if of_view and fitting:
            return fitting
        if fitting:
            self.limits = colours.rounded(*fitting)
        return self.limits or shown.limits or (0.0, 1.0)

    def _paint(self, shown: Picture, frame: Frame, limits: tuple[float, float]) -> np.ndarray:
        picture = shown.paint(frame, *limits)
        if self.mask and "SCL" in frame:
            picture = colours.tint(picture, (picture[..., 3] > 0) & ~_is_clear(frame["SCL"]))
        return picture

    def _join(self, left: np.ndarray, right: np.ndarray, window: Window) -> np.ndarray:
        """Put the pinned picture on the left, up to the column that is nearest to the border."""
        seen, cols = self.map.view, np.arange(right.shape[1])
        border = seen.west + seen.width * self.swipe / 100
        size = window.view.width / len(cols)
        self._border = min(max(round((border - window.view.west) / size), 0), len(cols))
        self.map.divide(window.view.west + self._border * size)
        return np.where(cols[:, None] < self._border, left, right)

    def _put(
        self, target: MapView, picture: np.ndarray, window: Window, title: str, step: int
    ) -> None:
        target.name(title, self.page.note)
        if picture[..., 3].any():
            target.show(picture, window.view)
        else:
            failed = self.timeline.failed[step]
            target.say("No data here, or it could not\nbe read when the cube was built" if failed
                       else "No data here on this date")  # fmt: skip

    def _arrange(self, beside: bool) -> None:
        if self.other.pane.visible != beside:
            for one in (self.map, self.other):
                one.resize(_SMALL) if beside else one.resize()
            self.other.pane.visible = beside

    def blank(self, words: str) -> None:
        """Show words in place of both pictures."""
        self._frame, self._pinned_frame, self._window = {}, {}, None
        self.other.name(NO_PICTURE, self.page.note)
        self.other.say(words)
        super().blank(words)

    def _tell(self, shown: Picture, window: Window) -> None:
        row = self.timeline.iloc[self.step]
        clear = "" if np.isnan(row.clear) else f", {percent(row.clear)} of the whole cube clear"
        self.page.tell(
            f"{shown.name} on {row.time:%d %B %Y, %H:%M} UTC{clear}; {self.levels.say(window)}. "
            "Overpass "
            f"{int(np.searchsorted(self.steps, self.step)) + 1} of {len(self.steps)} that pass "
            "the filter."
            + (f" Holes are not “no data”: {row.failed} could not be read." if row.failed else "")
            + (" Pin a date to compare with." if self.compare != OFF and self.pin is None else "")
        )

    def _day(self, step: int) -> str:
        return f"{self.timeline.time[step]:%d %b %Y}"

    # A place

    @property
    def pin(self) -> int | None:
        """Number of the pinned overpass."""
        return None if self.pinned == NOT_PINNED else self._number_of(self.pinned)

    def pin_this(self) -> None:
        """Keep the date that is shown, to compare others with it."""
        if self.moment:
            self.param.update(pinned=self.moment, compare=SWIPE if self.compare == OFF else
                              self.compare)  # fmt: skip

    def ask(self, x: float, y: float) -> None:
        """Show the series of the pixel that holds a place."""
        x, y = self.levels.centre_of(*self._pixel_at(x, y))
        self.param.update(x=x, y=y)

    def _pixel_at(self, x: float, y: float) -> tuple[int, int]:
        pixel = self.levels.pixel_at(x, y)
        if pixel is None:
            raise InvalidInputError(
                f"{self.map.name_place(x, y)} lies beside the cube; click on the picture"
            )
        return pixel

    def pixel_series(self) -> pd.DataFrame:
        """Give the observations of the chosen pixel.

        Returns
        -------
        pandas.DataFrame
            ``time`` (UTC), ``value`` (float, in the unit of the layer; NaN for no data), ``clear``
            (bool; all, where no classification tells), and of the overpass ``orbit``,
            ``platform``, ``label``, ``products`` and the scenes that ``failed`` to be read.

        Raises
        ------
        InvalidInputError
            If there is no pixel there, or the cube has no layer of numbers.
        CubeError
            If the store has changed, or cannot be read.
        """
        if self.x is None or self.y is None:
            raise InvalidInputError("choose a pixel first: click on the map, or give x and y")
        if not self.chart:
            raise InvalidInputError("the cube has no layer of numbers, of which to give a series")
        shown = read_picture(self.cube, self.chart)
        wanted = [*shown.layers, *(["SCL"] if "SCL" in self.cube.data_vars else [])]
        found = self.levels.read_pixel(*self._pixel_at(self.x, self.y), wanted)
        clear = _is_clear(found["SCL"]) if "SCL" in found else True
        table = self.timeline[["time", "orbit", "platform", "label", "products", "failed"]]
        return table.assign(value=shown.values(found), clear=clear)

    def _draw_series(self) -> None:
        if self.x is None or self.y is None or not self.chart:
            return
        shown = read_picture(self.cube, self.chart)
        told = "" if "SCL" in self.cube.data_vars else "; no classification, clouds are not marked"
        title = f"{self.chart} at {self.map.name_own(self.x, self.y)}\n({self.page.note}{told})"
        try:
            series, place = self.pixel_series(), (self.x, self.y)
        except Exception:
            series = self.timeline.iloc[:0].assign(value=np.empty(0), clear=np.empty(0, bool))
            title, place = "No series: why not is told above\n ", None
            raise
        finally:
            self.series.show(series, title, shown.label, shown.usual_range)
            for one in (self.map, self.other):
                one.mark(place)

    def _value_at(self, x: float, y: float, beside: bool) -> str:
        at = self._window.place(x, y) if self._window else None
        if at is None:
            return ""
        pinned = bool(self._pinned_frame) and (beside or at[1] < self._border)
        frame = self._pinned_frame if pinned else self._frame
        step = self._steps_shown[pinned]
        pixel = self.levels.say_pixel(self._window, *at)
        return f"{self._shown.tell(frame, *at)}, {self._day(step)}{pixel}"

    def csv(self) -> io.StringIO:
        """Give the series as a table of text; see `pixel_series`."""
        untold = [] if "SCL" in self.cube.data_vars else ["clear"]
        table = self.pixel_series().drop(columns=["label", *untold])
        crs = self.levels.grid.crs
        table = table.assign(
            x=self.x,
            y=self.y,
            crs=f"EPSG:{crs.epsg}" if crs.epsg else str(crs),
            source=self.page.note,
        ).rename(columns={"value": self.chart})  # last: also where a layer is called as a column
        return io.StringIO(table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ"))
