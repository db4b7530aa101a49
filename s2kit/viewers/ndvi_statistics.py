"""The statistics viewer: an index over years as maps, and the curves of places."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import param
import shapely
import xarray as xr

from s2kit.analysis.statistics import time_statistics
from s2kit.errors import InvalidInputError, S2KitError
from s2kit.viewers import colours
from s2kit.viewers import places as shapes
from s2kit.viewers.basemap import TILES
from s2kit.viewers.frames import Window, workers
from s2kit.viewers.map_viewer import BESIDE_THE_CUBE, MapViewer, decoded
from s2kit.viewers.ndvi_statistics_layout import lay_out
from s2kit.viewers.parameters import Choice, Items
from s2kit.viewers.pictures import read_picture
from s2kit.viewers.place_charts import Histogram, PlacesChart, along_time, by_year
from s2kit.viewers.place_layer import PlaceLayer
from s2kit.viewers.places import Place, short
from s2kit.viewers.timeline import text_of
from s2kit.viewers.uploads import read_upload

STATISTICS = {
    "mean": "mean", "standard deviation": "std", "smallest": "min", "largest": "max",
    "amplitude (p90 − p10)": "amplitude", "clear observations": "count",
}  # fmt: skip
_WORDS = {name: word for word, name in STATISTICS.items()}
_SPREADS = ("std", "amplitude", "count")
"""Statistics that begin at 0; they get colours of their own."""

_LONGEST = 6000
"""Characters of places in an address; servers refuse longer ones."""
_TOO_LONG = "<p>The address of this page cannot hold these places: save them as GeoJSON.</p>"

ALONG_TIME, BY_YEAR = "along time", "year by year"


def _has_statistics(layer: xr.DataArray) -> bool:
    """Tell whether a layer is of use for statistics along time."""
    return "time" in layer.dims and (layer.dtype.kind == "f" or layer.name == "SCL")


class NdviStatistics(MapViewer):
    """Look at the statistics of an index over years, and compare places.

    The last line of a cell shows it; ``.servable()`` makes a page of it for ``panel serve``. Each
    of its controls is an attribute: ``viewer.statistic = "std"``.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` gives it. A part of a cube does too, but has no overviews.
    variable : str, default "NDVI"
        Index or layer of the first map, unless the address of the page names one. The default
        of a cube without NDVI is its first.
    tiles : str, default OpenStreetMap's
        Address of the tiles of the basemap, with ``{z}``, ``{x}`` and ``{y}``. Nothing is fetched
        from there unless it is switched on.

    Raises
    ------
    InvalidInputError
        If it is no cube, or has no SCL, no layer of numbers along time, or no such index or layer.
    """

    variable = Choice(check_on_set=True, doc="Index or layer")
    statistic = Choice(default="mean", objects=STATISTICS, doc="What the map shows")
    start = Choice(check_on_set=True, doc="First year")
    end = Choice(check_on_set=True, doc="Last year")
    draw = Choice(default="polygon", objects=list(shapes.KINDS), doc="What clicks make")
    corners = Items([], item_type=tuple, doc="Corners, (x, y), of the place that is being drawn")
    places = shapes.Places([], item_type=Place, doc="Places that are compared")
    chosen = Choice(
        default=None, allow_None=True, objects=[], check_on_set=True, doc="Place to change"
    )
    chart = Choice(default=ALONG_TIME, objects=[ALONG_TIME, BY_YEAR], doc="Kind of chart")
    drawn = param.String("", doc="The places as text, for the address of the page")
    place = param.String("", doc="The chosen place as text, for the address of the page")
    span = param.Range((0.0, 1.0), doc="Least and largest value on the map")

    _IN_ADDRESS = ("variable", "statistic", "start", "end", "limits", "chart", "view", "drawn",
                   "place", "opacity", "basemap")  # fmt: skip

    def __init__(self, cube: xr.Dataset, *, variable: str | None = None, tiles: str = TILES):
        cube = decoded(cube)
        if "SCL" in cube.data_vars and "time" in cube.dims:
            cube = cube.drop_vars([n for n, layer in cube.items() if not _has_statistics(layer)])
        super().__init__(cube, "NDVI statistics", tiles)
        if "SCL" not in cube.data_vars:
            raise InvalidInputError(
                "the cube has no SCL, which tells what is clear: keep it when you choose layers, "
                'as in cube[["B04", "B08", "SCL"]]'
            )
        self._set_choices(variable)
        self.layer = PlaceLayer(self.map)
        self.histogram = Histogram()
        self.curves, self.years = PlacesChart(by_year=False), PlacesChart(by_year=True)
        self._written = self._unkept = self._shown = ""
        self._series: dict[tuple, pd.DataFrame] = {}
        self._values: np.ndarray | None = None
        self._window: Window | None = None
        self._computed: tuple[tuple, xr.Dataset] | None = None
        self._layout = lay_out(self)
        self._clicked: tuple[float, float] | None = None
        self._begin(
            self._IN_ADDRESS, [self._draw_map, self._take_drawn, self._on_places, self._draw_charts]
        )
        self._listen()

    def _set_choices(self, first: str | None) -> None:
        names = [name for group in self.number_names.values() for name in group]
        if not names:
            raise InvalidInputError(
                "the cube has no layer of numbers along time; it has "
                f"{', '.join(map(str, self.cube))}"
            )
        years = sorted({int(year) for year in self.cube.time.dt.year.values})
        self.param.variable.objects = names
        self.param.start.objects = self.param.end.objects = years
        usual = "NDVI" if "NDVI" in names else names[0]
        self.param.update(variable=first or usual, start=years[0], end=years[-1])
        self._unread = self.cube.time.dt.year.values[text_of(self.cube, "failed") != ""]

    def _listen(self) -> None:
        self.follow(self._fit, ["variable", "statistic"], ["limits"])
        self.watch(self._draw_map, "variable", "statistic", "start", "end", "view")
        self.watch(self._paint, "limits")
        self.watch(self._draw_draft, "corners")
        self.watch(self._on_places, "places")
        self.watch(self._draw_charts, "chart", "places", "chosen", "variable", "start", "end")
        self.watch(self._take_drawn, "drawn")
        self.watch(self._note_chosen, "chosen")
        self.map.on_click(self.page.guarded(self.click), again=self.page.guarded(self.click_again))
        self.map.on_point(self._point)

    # The map

    def _fit(self, free: set[str]) -> None:
        if free:
            self.limits = None

    def _draw_map(self) -> None:
        self.drawing(self._compute_map)

    def _compute_map(self) -> None:
        """Compute what is in sight, in the detail that the screen can show."""
        self._values = self._window = None
        window = self.levels.window(self.map.view)
        self._check_years()
        if window is None:
            self.blank(BESIDE_THE_CUBE)
            return
        found = self._statistic_of(window).transpose("y", "x").values.astype("float32")
        self._values, self._window = found[:: window.rows.step, :: window.cols.step], window
        self._paint()

    def _check_years(self) -> None:
        if self.start > self.end:
            raise InvalidInputError(f"the first year, {self.start}, is after the last, {self.end}")

    def _statistic_of(self, window: Window) -> xr.DataArray:
        """Give the statistic of all pixels of a window."""
        spread = self.statistic == "amplitude"
        asked = window, self.variable, self.start, self.end, spread
        if self._computed is None or self._computed[0] != asked:
            maps = time_statistics(
                self.levels.part(window), self.variable, start=str(self.start), end=str(self.end),
                percentiles=(10, 90) if spread else (),
            )  # fmt: skip
            wanted = ["p10", "p90"] if spread else list(maps)
            found = maps[wanted].compute(scheduler="threads", pool=workers())
            self.levels.require_steps()
            self._computed = asked, found
        maps = self._computed[1]
        return maps["p90"] - maps["p10"] if spread else maps[self.statistic]

    def blank(self, words: str) -> None:
        """Show words in place of the map and the histogram."""
        self._values = self._window = None
        self.histogram.show(np.empty(0), self.label)
        super().blank(words)

    def _paint(self) -> None:
        values, window = self._values, self._window
        if values is None or window is None:
            return
        if not np.isfinite(values).any() or (self.statistic == "count" and not values.any()):
            self.blank(none := f"No clear observation here in {self.period}")
            self.page.tell(f"{none}.{self._say_unread()}")
            return
        self._shown = _WORDS[self.statistic]
        title = f"{self.variable}, {self._shown}, {self.period}"
        rough = f"; {self._rough(window)}" if self.levels.mixes(window) else ""
        self.map.name(title, self.page.note + rough)
        fitting = self._fitting_limits(values)
        low, high = self.limits or fitting
        palette = colours.MAPS["cividis" if self.statistic in _SPREADS else "viridis"]
        self.map.show(colours.paint_layer(values, low, high, palette), window.view)
        self.map.show_scale(self.label, palette, low, high)
        around = min(low, fitting[0]), max(high, fitting[1])
        self.histogram.show(values, self.label, around, (low, high))
        self.param.update(span=self.histogram.span, shown_limits=(low, high))
        self._read_again()
        middle = float(np.nanmedian(values))
        self.page.tell(
            f"{title}; {self.levels.say(window)}, median {middle:.3g}."
            + (f" An {self._rough(window)}; zoom in for exact values." if rough else "")
            + self._say_unread()
        )

    def _rough(self, window: Window) -> str:
        """Say what overviews do to statistics: they mix a small cloud with what lies beside it."""
        return f"overview of {window.pixel:g} {self.levels.unit}, clouds mixed in"

    def _say_unread(self) -> str:
        """Say how many of the dates have holes that are not “no data”."""
        count = int(((self._unread >= self.start) & (self._unread <= self.end)).sum())
        dates = "1 date has" if count == 1 else f"{count} dates have"
        return f" {dates} scenes that could not be read." if count else ""

    def _fitting_limits(self, values: np.ndarray) -> tuple[float, float]:
        """Give those of the index where it has some; else what nine of ten pixels span."""
        usual = read_picture(self.cube, self.variable).limits
        if usual and self.statistic not in _SPREADS:
            return usual
        return colours.rounded(*colours.percentile_limits([values], 5))

    @property
    def period(self) -> str:
        """The years in words."""
        return str(self.start) if self.start == self.end else f"{self.start}–{self.end}"

    @property
    def label(self) -> str:
        """What the colours mean, with the unit."""
        shown = read_picture(self.cube, self.variable)
        word = _WORDS[self.statistic]
        return f"number of {word}" if self.statistic == "count" else f"{word} of {shown.label}"

    def _value_at(self, x: float, y: float, beside: bool) -> str:
        at = self._window.place(x, y) if self._window and self._values is not None else None
        if at is None:
            return ""
        value = self._values[at]
        known = f"{self._shown} {value:.4g}" if np.isfinite(value) else "no data"
        return known + self.levels.say_pixel(self._window, *at)

    # Places

    def click(self, x: float, y: float) -> None:
        """Add a corner to the place that is being drawn; finish it when it has all it needs."""
        if self.levels.pixel_at(x, y) is None:
            raise InvalidInputError(
                f"{self.map.name_place(x, y)} lies beside the cube; click on the picture"
            )
        self._clicked = float(x), float(y)
        self.corners = [*self.corners, self._clicked]
        if self.draw == "point" or (self.draw == "box" and len(self.corners) == 2):
            self.finish()

    def click_again(self, x: float, y: float) -> None:
        """Finish at a double click; two quick clicks apart from each other are two clicks."""
        reach = 6 * self.map.view.width / self.map.figure.frame_width
        last_x, last_y = self._clicked or (np.inf, np.inf)
        if max(abs(x - last_x), abs(y - last_y)) > reach:
            self.click(x, y)
        elif self.corners:
            self.finish()

    def finish(self) -> None:
        """Make a place of the corners."""
        shapes.require_corners(self.draw, self.corners)
        corners, self.corners = self.corners, []
        self.add(self.draw, shapes.outline(self.draw, corners))

    def cancel(self) -> None:
        """Forget the corners."""
        self.corners = []

    def add(self, name: str, shape: shapely.Geometry) -> None:
        """Add a place, in the cube's coordinate system."""
        self._take(shapes.add(self.places, name, shape))

    def upload(self, content: bytes, filename: str) -> None:
        """Add the places of a GeoJSON or GeoPackage file."""
        found, beside = read_upload(content, filename, self.cube, len(self.places))
        held = list(self.places)
        for name, shape, colour in found:
            held = shapes.add(held, name, shape, colour)
        self._take(held)
        self.page.tell(
            f"{filename}: {len(found)} place{'s' * (len(found) != 1)} taken over"
            + (f"; {beside} more lie beside the cube." if beside else ".")
        )

    def _take(self, held: list[Place]) -> None:
        """Take over places, and choose the last one."""
        self._offer([place.name for place in held])
        self.param.update(places=held, chosen=held[-1].name)

    def _offer(self, names: list[str]) -> None:
        """Offer places to choose from, also the chosen one: a list without it would choose anew."""
        kept = [self.chosen] if self.chosen and self.chosen not in names else []
        self.param.chosen.objects = names + kept

    def change(self, *, name: str | None = None, colour: str | None = None) -> None:
        """Give the chosen place another name or colour."""
        others = [place for place in self.places if place.name != self.chosen]
        new = shapes.free_name(others, name) if name is not None else self.chosen
        changed = [
            replace(place, name=new, colour=colour or place.colour)
            if place.name == self.chosen else place
            for place in self.places
        ]  # fmt: skip
        self._offer([place.name for place in changed])
        self.param.update(places=changed, chosen=new)

    def remove(self) -> None:
        """Remove the chosen place."""
        self.places = [place for place in self.places if place.name != self.chosen]

    def series(self) -> dict[str, pd.DataFrame]:
        """Give each place's clear observations in the years that are shown, by name.

        Returns
        -------
        dict of str to pandas.DataFrame
            As `s2kit.field_series` gives them; of a place that reaches beyond the cube, of what
            lies on it.

        Raises
        ------
        InvalidInputError
            If one of them cannot be given.
        """
        return {place.name: self._series_of(place) for place in self.places}

    def _series_of(self, place: Place) -> pd.DataFrame:
        self._check_years()
        key = place.shape.wkb, self.variable
        if key not in self._series:
            self._series[key] = shapes.place_series(self.levels, place, self.variable)
        table = self._series[key]
        return table[table.time.dt.year.between(self.start, self.end)]

    def _on_places(self) -> None:
        names = [place.name for place in self.places]
        self._offer(names)
        if self.chosen not in names:
            self.chosen = names[-1] if names else None
        self._offer(names)
        kept = {place.shape.wkb for place in self.places}
        self._series = {key: table for key, table in self._series.items() if key[0] in kept}
        self.layer.show(self.places)
        text = shapes.write_text(self.places, self.levels.digits - 1)
        self._unkept = _TOO_LONG if len(text) > _LONGEST else ""
        self._written = "" if self._unkept else text
        self.param.update(drawn=self._written, place=self.chosen or "")

    def _take_drawn(self) -> None:
        """Take over the places that the address of the page names."""
        if self.drawn != self._written:
            try:
                self.places = shapes.read_text(self.drawn)
            except InvalidInputError:
                self.drawn = self._written  # what is refused does not stay in the address
                raise
            names = [place.name for place in self.places]
            if self.place in names:
                self._offer(names)
                self.chosen = self.place

    def _note_chosen(self) -> None:
        self.place = self.chosen or ""

    def _draw_draft(self) -> None:
        self.layer.show_draft(self.corners)

    def _draw_charts(self) -> None:
        self.curves.pane.visible = self.chart == ALONG_TIME
        self.years.pane.visible = self.chart == BY_YEAR
        series, failed = self._known_series()
        known = [place for place in self.places if place.name in series]
        self.table.object = shapes.describe(known, series) + self._unkept
        note, shown = self.page.note, read_picture(self.cube, self.variable)
        label, usual = shown.label, shown.usual_range
        title = f"{self.variable}: mean ± std, dates at least half clear\n({note})"
        none = f"{'No curve' if failed else 'Draw a place: its curve comes here'}\n({note})"
        self.curves.show(along_time(known, series), title if known else none, label, usual)
        more = "; more in “Places”" if len(self.places) > 1 else ""
        title = f"{self.variable} of {short(self.chosen or '')}, year by year\n({note}{more})"
        table = series.get(self.chosen)
        yearly = [] if table is None else by_year(table)
        self.years.show(yearly, title if known else none, label, usual)
        if failed:
            raise failed[0]

    def _known_series(self) -> tuple[dict[str, pd.DataFrame], list[S2KitError]]:
        """Give the series of those places that have one, and why others have none."""
        series, failed = {}, []
        for place in self.places:
            try:
                series[place.name] = self._series_of(place)
            except S2KitError as error:
                failed.append(error)
        return series, failed

    # What is taken home

    def csv(self) -> io.StringIO:
        """Give the series of all places as a table of text."""
        if not self.places:
            raise InvalidInputError("there are no places yet; draw one, or upload a file")
        parts = [t.drop(columns="field").assign(place=n) for n, t in self.series().items()]
        table = pd.concat(parts).assign(variable=self.variable, source=self.page.note)
        first = ["place", "variable", "time"]
        table = table[[*first, *(c for c in table.columns if c not in first)]]
        return io.StringIO(table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ"))

    def geojson(self) -> io.BytesIO:
        """Give the places as GeoJSON."""
        return shapes.write_geojson(self.places, self.levels.to_degrees)
