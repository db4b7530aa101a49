"""The statistics viewer: maps of an index over years, and the curves of places."""

import io

import numpy as np
import pandas as pd
import panel as pn
import param
import shapely
import xarray as xr

from s2kit.errors import InvalidInputError
from s2kit.viewers import colours, place_series
from s2kit.viewers import places as shapes
from s2kit.viewers.basemap import TILES
from s2kit.viewers.levels import Window
from s2kit.viewers.map_pane import PlaceLayer
from s2kit.viewers.map_viewer import BESIDE_THE_CUBE, MapViewer, decoded
from s2kit.viewers.measurements import Measurements, choose
from s2kit.viewers.ndvi_statistics_layout import lay_out
from s2kit.viewers.parameters import Choice, Items
from s2kit.viewers.place_charts import ALONG_TIME, BY_YEAR, Histogram, PlaceCharts
from s2kit.viewers.place_series import PlaceSeries
from s2kit.viewers.places import Place
from s2kit.viewers.renderers import find_renderer
from s2kit.viewers.statistic_map import STATISTICS, StatisticMap, StatisticRequest
from s2kit.viewers.uploads import read_upload

_LONGEST = 6000
"""Characters of places in an address; servers refuse longer ones."""
_TOO_LONG = "<p>The address of this page cannot hold these places: save them as GeoJSON.</p>"


class NdviStatistics(MapViewer):
    """Look at the statistics of an index over years, and compare places.

    The last line of a cell shows it; ``.servable()`` makes a page of it for ``panel serve``. Each
    of its controls is an attribute: ``viewer.statistic = "std"``.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it. A part of a cube does too, but has no overviews.
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

    variable = Choice(doc="Index or layer")
    statistic = Choice(
        default="mean",
        objects={kind.title: name for name, kind in STATISTICS.items()},
        doc="What the map shows, one of `s2kit.viewers.statistic_map.STATISTICS`",
    )
    start = Choice(doc="First year")
    end = Choice(doc="Last year")
    draw = Choice(default="polygon", objects=list(shapes.CORNERS), doc="What clicks make")
    corners = Items([], item_type=tuple, doc="Corners, (x, y), of the place that is being drawn")
    places = shapes.Places([], item_type=Place, doc="Places that are compared")
    chosen = Choice(default=None, allow_None=True, objects=[], doc="Place to change")
    chart = Choice(default=ALONG_TIME, objects=[ALONG_TIME, BY_YEAR], doc="Kind of chart")
    span = param.Range((0.0, 1.0), doc="Least and largest value on the map")

    _MAP = ("variable", "statistic", "start", "end")
    _IN_ADDRESS = (*_MAP, "limits", "chart", "view", "drawn", "place", "opacity", "basemap")

    def __init__(self, cube: xr.Dataset, *, variable: str | None = None, tiles: str = TILES):
        super().__init__(_with_statistics(decoded(cube)), "NDVI statistics", tiles)
        _require_statistics(self.cube, self.numbers)
        self._set_choices(variable)
        self.statistics = StatisticMap(self.cube, self.levels)
        self._series = PlaceSeries(self.levels)
        self.layer, self.histogram = PlaceLayer(self.map), Histogram()
        self.charts = PlaceCharts(self.page.note)
        self.curves, self.years = self.charts.curves, self.charts.years
        self._shown: tuple[StatisticRequest, np.ndarray, Window] | None = None
        self._clicked: tuple[float, float] | None = None
        self.table = pn.pane.HTML("", margin=(0, 8), sizing_mode="stretch_width")
        self._layout = lay_out(self)
        self._start([self._draw, self._draw_places, self._draw_charts])
        self.redraw.follow(["variable", "statistic"], ["limits"], self._reset_limits)
        self.redraw.on([*self._MAP, "view", "map_size"], self._draw)
        self.redraw.on(["limits"], self._paint)
        self.redraw.on(["corners"], lambda: self.layer.show_draft(self.corners))
        self.redraw.on(["places"], self._draw_places)
        series = ("chart", "places", "chosen", "variable", "start", "end", "measurements")
        self.redraw.on(series, self._draw_charts)
        self.map.on_click(self.page.guarded(self.click), again=self.page.guarded(self.click_again))

    def _set_choices(self, first: str | None) -> None:
        years = sorted({int(year) for year in self.cube.time.dt.year.values})
        self.param.variable.objects = self.numbers
        self.param.start.objects = self.param.end.objects = years
        usual = "NDVI" if "NDVI" in self.numbers else self.numbers[0]
        self.param.update(variable=first or usual, start=years[0], end=years[-1])

    # The map

    @property
    def _asked(self) -> StatisticRequest:
        return StatisticRequest(*(getattr(self, name) for name in self._MAP))

    def _draw_picture(self) -> None:
        """Compute and paint what is in sight, in the detail that the screen can show."""
        self._shown = None
        window = self.map.window()
        if window is None:
            self.blank(BESIDE_THE_CUBE)
            return
        self._shown = self._asked, self.statistics.compute(self._asked, window), window
        self._paint()

    def blank(self, message: str) -> None:
        """Show a message in place of the map and the histogram."""
        self._shown = None
        self.histogram.show(np.empty(0), self.statistics.label(self._asked))
        super().blank(message)

    def _paint(self) -> None:
        """Paint the computed values with the limits that are chosen, or that fit."""
        if self._shown is None:
            return
        asked, values, window = self._shown
        if message := self.statistics.nothing(asked, values):
            self.blank(message)
            self.page.set_status(f"{message}.{self.statistics.unread(asked)}")
            return
        label, rough = self.statistics.label(asked), self.statistics.overview(window)
        self.map.set_title(asked.heading, self.page.note + (f"; {rough}" if rough else ""))
        fitting = self.statistics.fitting_limits(asked, values)
        low, high = self.limits or fitting
        self.map.show(colours.paint_layer(values, low, high, asked.palette), window.view)
        self.map.show_scale(label, asked.palette, low, high)
        around = min(low, fitting[0]), max(high, fitting[1])
        self.histogram.show(values, label, around, (low, high))
        self.param.update(span=self.histogram.span, shown_limits=(low, high))
        self._update_readout()
        self.page.set_status(self.statistics.status(asked, values, window))

    def _value_at(self, x: float, y: float, beside: bool) -> str:
        return self.statistics.describe(*self._shown, x, y) if self._shown else ""

    # Places

    def click(self, x: float, y: float) -> None:
        """Add a corner to the place that is being drawn; finish it when it has all it needs."""
        self.levels.require_pixel(x, y)
        self._clicked = float(x), float(y)
        self.corners = [*self.corners, self._clicked]
        if self.draw == "point" or (self.draw == "box" and len(self.corners) == 2):
            self.finish()

    def click_again(self, x: float, y: float) -> None:
        """Finish at a double click; two quick clicks apart from each other are two clicks."""
        reach = 6 * self.map.view.width / self.map.size[0]
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
        """Remove the corners."""
        self.corners = []

    def add(self, name: str, shape: shapely.Geometry) -> None:
        """Add a place, in the cube's coordinate system."""
        held = shapes.add(self.places, name, shape)
        self._set_places(held, held[-1].name)

    def upload(self, content: bytes, filename: str) -> None:
        """Add the places of a GeoJSON or GeoPackage file."""
        found, beside = read_upload(content, filename, self.cube, len(self.places))
        held = shapes.add_all(self.places, found)
        self._set_places(held, held[-1].name)
        more = f"; {beside} more lie beside the cube." if beside else "."
        count = f"{len(found)} place{'s' * (len(found) != 1)}"
        self.page.set_status(f"{filename}: {count} taken over{more}")

    def change(self, *, name: str | None = None, colour: str | None = None) -> None:
        """Change the name or the colour of the chosen place."""
        self._set_places(*shapes.change(self.places, self.chosen, name, colour))

    def remove(self) -> None:
        """Remove the chosen place."""
        self.places = [place for place in self.places if place.name != self.chosen]

    def _set_places(self, held: list[Place], chosen: str | None) -> None:
        """Set the places, and choose one of them."""
        self._offer([place.name for place in held])
        self.param.update(places=held, chosen=chosen)

    def _offer(self, names: list[str]) -> None:
        """Offer places to choose from, also the chosen one: a list without it would choose anew."""
        kept = [self.chosen] if self.chosen and self.chosen not in names else []
        self.param.chosen.objects = names + kept

    @property
    def drawn(self) -> str:
        """The places as text for the address of the page; empty if it would be too long."""
        text = shapes.write_text(self.places, self.levels.digits - 1)
        return "" if len(text) > _LONGEST else text

    @drawn.setter
    def drawn(self, text: str) -> None:
        if text != self.drawn:
            with self.page.catch_errors():
                self.places = shapes.read_text(text)

    @property
    def place(self) -> str:
        """The chosen place as text for the address of the page."""
        return self.chosen or ""

    @place.setter
    def place(self, name: str) -> None:
        names = [place.name for place in self.places]
        if name in names:
            self._offer(names)
            self.chosen = name

    def _draw_places(self) -> None:
        """Draw the places, and choose another one if the chosen one is gone."""
        names = [place.name for place in self.places]
        self._offer(names)
        if self.chosen not in names:
            self.chosen = names[-1] if names else None
            self._offer(names)
        self._series.keep(self.places)
        self.layer.show(self.places)

    # Series

    def series(self) -> dict[str, pd.DataFrame]:
        """Return each place's clear observations in the years that are shown, by name.

        Returns
        -------
        dict of str to pandas.DataFrame
            As `s2kit.field_series` returns them; of a place that reaches beyond the cube, of the
            part on it.

        Raises
        ------
        InvalidInputError
            If one of them cannot be computed.
        """
        asked = self.variable, (self.start, self.end)
        return {place.name: self._series.of(place, *asked) for place in self.places}

    def _draw_charts(self) -> None:
        """Draw the series of the places that have one; then raise the error of another."""
        years = self.start, self.end
        series, failed = self._series.of_all(self.places, self.variable, years)
        unkept = _TOO_LONG if self.places and not self.drawn else ""
        self.table.object = place_series.html_table(self.places, series) + unkept
        renderer = find_renderer(self.cube, self.variable)
        measured = self._shown_measurements()
        self.charts.show(self.chart, renderer, self.places, series, self.chosen, measured)
        if failed:
            raise failed[0]

    def _choose_measurements(self, measured: Measurements) -> tuple[pd.DataFrame, str]:
        names = [place.name for place in self.places]
        return choose(measured, names, (self.start, self.end))

    def csv(self) -> io.StringIO:
        """Return the series of all places as CSV."""
        return place_series.write_csv(self.series(), self.variable, self.page.note)

    def geojson(self) -> io.BytesIO:
        """Return the places as GeoJSON."""
        return shapes.write_geojson(self.places, self.levels.to_degrees)


def _with_statistics(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube with SCL and the layers of which statistics along time can be computed."""
    if "SCL" not in cube.data_vars or "time" not in cube.dims:
        return cube
    fit = {n for n, layer in cube.items() if layer.dtype.kind == "f" or n == "SCL"}
    return cube.drop_vars([n for n, one in cube.items() if n not in fit or "time" not in one.dims])


def _require_statistics(cube: xr.Dataset, numbers: list[str]) -> None:
    """Refuse a cube without SCL or without numbers."""
    if "SCL" not in cube.data_vars:
        raise InvalidInputError(
            "the cube has no SCL, by which clear pixels are found: keep it when you choose layers, "
            'as in cube[["B04", "B08", "SCL"]]'
        )
    if not numbers:
        raise InvalidInputError(
            f"the cube has no layer of numbers along time; it has {', '.join(map(str, cube))}"
        )
