"""A map in the cube's own coordinate system: a picture, its colour bar, places and mouse events."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import panel as pn
import shapely
from bokeh.events import DoubleTap, MouseMove, RangesUpdate, Tap
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    Label,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
    SaveTool,
    Span,
)
from bokeh.plotting import figure
from pyproj import CRS

from s2kit.grid import crs_of
from s2kit.viewers.charts import ROOM, name_tools
from s2kit.viewers.levels import SIDE, Levels, View, Window
from s2kit.viewers.places import Place, short

SIDE_IN_CELL = 450
"""Pixels of the screen along one side of a map in a notebook."""

_AXES = 75
"""Pixels beside the map: its vertical axis and its tools."""

MAP_WIDTH = SIDE_IN_CELL + _AXES
"""Pixels that a map takes in a notebook, if the window is wide enough."""

_MOST = 1280
"""Pixels along one side of a picture at most: up to 4 MB on a window of 1600 × 900."""

_SETTLE = """
const timers = (window.s2kit_timers ??= {});
clearTimeout(timers[sent.id]);
timers[sent.id] = setTimeout(() => {
  sent.data = {west: [x.start], south: [y.start], east: [x.end], north: [y.end]};
}, 60);
"""
"""Sends a view when it has rested for 60 ms, not at every step of the wheel."""

_POINT = """
const last = (window.s2kit_last ??= {});
const now = Date.now();
if (now - (last[sent.id] ?? 0) < 80) return;
last[sent.id] = now;
sent.data = {x: [cb_obj.x], y: [cb_obj.y]};
"""

_SCALE = {"height": 10, "padding": 4, "title_text_font_style": "normal"}
_BOXED = {"text_align": "center", "background_fill_color": "#ffffff"}
_MESSAGE = {"text_baseline": "middle", "text_font_size": "15px", "background_fill_alpha": 0.9}
_PLACE_NAME = {"text_baseline": "bottom", "text_font_size": "13px", "background_fill_alpha": 0.8}


class MapPane:
    """A map as a Bokeh figure.

    Parameters
    ----------
    levels : Levels
    fills : bool
        Whether it takes all the room that the page gives it; else its size is fixed.
    beside : MapPane, optional
        Another map that always shows the same view.

    Attributes
    ----------
    size : tuple of int
        Width and height of the map within its axes, pixels of the screen.
    """

    def __init__(self, levels: Levels, *, fills: bool, beside: "MapPane | None" = None):
        self._levels, self.fills = levels, fills
        self.ranges: tuple[Range1d, Range1d] = beside.ranges if beside else (Range1d(), Range1d())
        self.figure = _map_figure(self.ranges, "Map" if beside is None else "Pinned map")
        self.save = self.figure.select_one(SaveTool)
        _name_axes(self.figure, crs_of(levels.grid))
        self._below = ColumnDataSource(_as_source(None))
        self._image = ColumnDataSource(_as_source(None))
        self.figure.image_rgba(source=self._below)
        self.picture = self.figure.image_rgba(source=self._image)
        self._mapper = LinearColorMapper(palette=["#000000", "#ffffff"], low=0, high=1)
        self._scale = ColorBar(color_mapper=self._mapper, **_SCALE)
        self._scale.ticker = BasicTicker(desired_num_ticks=6)
        self.show_scale("", (), 0, 1)
        self._mark = ColumnDataSource({"x": [], "y": []})
        for colour, width in (("#ffffff", 6), ("#E69F00", 3)):
            _ring(self.figure, self._mark, line_color=colour, line_width=width, size=16)
        screen = {"x_units": "screen", "y_units": "screen", "visible": False, "padding": 10}
        self._message = Label(x=0, y=0, text="", **screen, **_BOXED, **_MESSAGE)
        self._divider = Span(dimension="height", line_color="#ffffff", line_width=3, visible=False)
        self.figure.add_layout(self._scale, "below")
        self.figure.add_layout(self._message)
        self.figure.add_layout(self._divider)
        room = {"sizing_mode": "stretch_both"} if fills else {}
        if fills:
            self.figure.update(min_width=200, min_height=200, **room)
            self.set_size((SIDE_IN_CELL, SIDE_IN_CELL))  # until the page has told it
        else:
            self.resize(SIDE_IN_CELL)
        if beside is None:
            self.set_view(levels.whole)
        # in a column, as a Bokeh pane that is made visible again stays hidden with its figure
        self.pane = pn.Column(pn.pane.Bokeh(self.figure, margin=(0, 5), **room), **room)

    # Events

    def on_click(
        self,
        act: Callable[[float, float], None],
        again: Callable[[float, float], None] | None = None,
    ) -> None:
        """Call ``act(x, y)`` at a click; ``again(x, y)`` at the second of two quick ones.

        Bokeh sends another event for the second, also where the two lie far apart.
        """
        self.figure.on_event(Tap, lambda event: act(event.x, event.y))
        self.figure.on_event(DoubleTap, lambda event: (again or act)(event.x, event.y))

    def on_view(self, act: Callable[[], None]) -> None:
        """Call ``act()`` when another part of the map is seen, a moment after the last move."""
        sent = ColumnDataSource({"west": [], "south": [], "east": [], "north": []})
        x, y = self.ranges
        settle = CustomJS(args={"sent": sent, "x": x, "y": y}, code=_SETTLE)
        self.figure.js_on_event(RangesUpdate, settle)
        sent.on_change("data", lambda _attr, _old, _new: act())

    def on_size(self, act: Callable[[tuple[int, int]], None]) -> None:
        """Call ``act(size)`` when the page has told which size the map has.

        A page tells width and height one after the other, before anything is drawn.
        """
        sizes: dict[str, int] = {}

        def take(name: str, _old: Any, new: int) -> None:
            sizes[name] = new
            width, height = sizes.get("inner_width", 0), sizes.get("inner_height", 0)
            if width > 0 and height > 0:
                act((width, height))

        for name in ("inner_width", "inner_height"):
            self.figure.on_change(name, take)

    def on_hover(self, act: Callable[[float, float], None]) -> None:
        """Call ``act(x, y)`` as the mouse moves over the map, some ten times a second."""
        sent = ColumnDataSource({"x": [], "y": []})
        self.figure.js_on_event(MouseMove, CustomJS(args={"sent": sent}, code=_POINT))
        sent.on_change("data", lambda _attr, _old, _new: act(sent.data["x"][0], sent.data["y"][0]))

    # View and contents

    @property
    def view(self) -> View:
        """The part of the map that is seen."""
        x, y = self.ranges
        return View(x.start, y.start, x.end, y.end)

    def set_view(self, view: View) -> None:
        """Show a part of the map, and what is beside it on a map of another shape."""
        west, south, east, north = self.filled(view)
        x, y = self.ranges
        x.update(start=west, end=east)
        y.update(start=south, end=north)

    def filled(self, view: View) -> View:
        """Return the view that shows another one as large as the size allows, not stretched."""
        width, height = self.size
        return view.filling(width / height / self._levels.unit_ratio)

    def window(self) -> Window | None:
        """Return the pixels of the cube that are seen, in the detail that the screen can show.

        None where the view lies beside the region.
        """
        most = SIDE * max(*self.size, SIDE_IN_CELL) // SIDE_IN_CELL
        return self._levels.window(self.view, min(most, _MOST))

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of a picture of the whole map, pixels; not more than are sent."""
        scale = min(1.0, _MOST / max(self.size))
        width, height = (max(round(side * scale), 1) for side in self.size)
        return width, height

    def show(self, picture: np.ndarray, covered: View) -> None:
        """Show a picture, shape (y, x, 4), uint8, north up."""
        self._image.data = _as_source(picture, covered)
        self._message.visible = False

    def show_basemap(self, picture: np.ndarray | None, covered: View) -> None:
        """Show a picture under the other one; None removes it."""
        self._below.data = _as_source(picture, covered)

    def show_message(self, message: str) -> None:
        """Show a message instead of a picture."""
        self._image.data = _as_source(None)
        self._message.update(text=message, visible=True)

    def show_scale(self, title: str, palette: Sequence[str], low: float, high: float) -> None:
        """Show the colour bar; without a palette, keep the room for it empty."""
        parts = ("title_text", "scale", "major_label_text", "major_tick_line")
        self._scale.update(
            title=title if palette else "none",
            **{f"{part}_alpha": 1 if palette else 0 for part in parts},
        )
        if palette:
            self._mapper.update(palette=list(palette), low=low, high=high)

    def mark(self, place: tuple[float, float] | None) -> None:
        """Draw a ring around a place; None removes it."""
        self._mark.data = {"x": [place[0]] if place else [], "y": [place[1]] if place else []}

    def set_title(self, title: str, note: str) -> None:
        """Set the title, and in a second line the origin of the data."""
        self.figure.title.text = f"{title}\n({note})"

    def show_divider(self, x: float | None) -> None:
        """Draw the line between two pictures; None removes it."""
        self._divider.update(location=x or 0, visible=x is not None)

    def resize(self, pixels: int) -> None:
        """Change the size of a map that does not fill its page."""
        self.figure.update(frame_width=pixels, frame_height=pixels, min_width=pixels + _AXES)
        self.set_size((pixels, pixels))

    def set_size(self, size: tuple[int, int]) -> None:
        """Adapt what is drawn to the size of the map on the screen."""
        self.size = width, height = size
        self._message.update(x=width / 2, y=height / 2)
        self._scale.width = max(width - 60, 100)
        whole = self.filled(self._levels.whole)
        for side, length in zip(self.ranges, (whole.width, whole.height), strict=True):
            side.max_interval = 2 * length  # of both, or the wheel would stretch the map


class PlaceLayer:
    """The outlines and names of places on a map, and the corners of one that is being drawn."""

    def __init__(self, target: MapPane):
        figure = target.figure
        self._areas = ColumnDataSource({"xs": [], "ys": [], "colour": []})
        self._points = ColumnDataSource({"x": [], "y": [], "colour": []})
        self._names = ColumnDataSource({"x": [], "y": [], "name": [], "colour": []})
        self._draft = ColumnDataSource({"x": [], "y": []})
        for colour, width in (("#ffffff", 5), ("colour", 2.5)):
            line = {"line_color": colour, "line_width": width}
            figure.multi_line("xs", "ys", source=self._areas, **line)
            _ring(figure, self._points, size=14, **line)
        name = {"text_color": "colour", "text_font_style": "bold", "y_offset": -8, "padding": 2}
        figure.text("x", "y", text="name", source=self._names, **name, **_BOXED, **_PLACE_NAME)
        figure.line("x", "y", source=self._draft, line_color="#ffffff", line_width=4)
        dashed = {"line_color": "#000000", "line_width": 1.5, "line_dash": "dashed"}
        figure.line("x", "y", source=self._draft, **dashed)
        dot = {"size": 8, "fill_color": "#ffffff", "line_color": "#000000"}
        figure.scatter("x", "y", source=self._draft, **dot)

    def show(self, places: Sequence[Place]) -> None:
        """Draw places."""
        points = [place for place in places if place.shape.geom_type == "Point"]
        areas = [place for place in places if place not in points]
        rings = [(ring, p.colour) for p in areas for ring in shapely.get_rings(p.shape)]
        self._areas.data = {
            "xs": [shapely.get_coordinates(ring)[:, 0].tolist() for ring, _ in rings],
            "ys": [shapely.get_coordinates(ring)[:, 1].tolist() for ring, _ in rings],
            "colour": [colour for _, colour in rings],
        }
        place = {"x": [p.shape.x for p in points], "y": [p.shape.y for p in points]}
        self._points.data = place | {"colour": [p.colour for p in points]}
        bounds = [p.shape.bounds for p in places]
        self._names.data = {
            "x": [(west + east) / 2 for west, _, east, _ in bounds],
            "y": [north for *_, north in bounds],
            "name": [short(p.name, 16) for p in places],
            "colour": [p.colour for p in places],
        }

    def show_draft(self, corners: Sequence[tuple[float, float]]) -> None:
        """Draw the corners of the place that is being drawn."""
        self._draft.data = {"x": [x for x, _ in corners], "y": [y for _, y in corners]}


def _ring(target: figure, source: ColumnDataSource, **options: Any) -> None:
    """Draw circles that are not filled."""
    target.scatter("x", "y", source=source, marker="circle", fill_alpha=0, **options)


def _map_figure(ranges: tuple[Range1d, Range1d], name: str) -> figure:
    made = figure(
        title=ROOM,
        x_range=ranges[0],
        y_range=ranges[1],
        tools="pan,wheel_zoom",
        active_scroll="wheel_zoom",
        toolbar_location="right",
        background_fill_color="#f3f3f3",
    )
    made.add_tools(BoxZoomTool(match_aspect=True), SaveTool(filename="map"))
    name_tools(made, name)
    made.toolbar.logo = None
    made.grid.visible = False
    made.title.text_font_size = "13px"
    return made


def _name_axes(target: figure, crs: CRS) -> None:
    unit = crs.axis_info[0].unit_name.replace("metre", "m")
    for axis, letter in ((target.xaxis, "x"), (target.yaxis, "y")):
        axis.axis_label = f"{letter} ({unit})"
        axis.axis_label += f", {crs.name}" if letter == "x" else ""
        axis.axis_label_text_font_style = "normal"
        axis.ticker = BasicTicker(desired_num_ticks=5)
        if not crs.is_geographic:
            axis.formatter = NumeralTickFormatter(format="0")
    target.yaxis.major_label_orientation = "vertical"


def _as_source(picture: np.ndarray | None, covered: View | None = None) -> dict[str, list]:
    if picture is None or covered is None:
        return {"image": [], "x": [], "y": [], "dw": [], "dh": []}
    upwards = np.ascontiguousarray(picture[::-1]).view("uint32")[..., 0]
    place = {"x": covered.west, "y": covered.south, "dw": covered.width, "dh": covered.height}
    return {"image": [upwards], **{name: [value] for name, value in place.items()}}
