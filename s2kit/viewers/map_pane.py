"""A map in the cube's own coordinate system: a picture, its colour bar, marks and mouse events."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import DoubleTap, MouseMove, RangesUpdate, Tap
from bokeh.models import (
    BasicTicker,
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
from s2kit.viewers.levels import Levels, View

_FRAME = 450
"""Pixels of the screen along one side of the map; a picture has up to `levels.SIDE`."""

_AXES = 75
"""Pixels beside the map: its vertical axis and its tools."""

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
_MESSAGE = {"x_units": "screen", "y_units": "screen", "text": "", "padding": 10} | {
    "text_align": "center",
    "text_baseline": "middle",
    "text_font_size": "15px",
    "background_fill_color": "#ffffff",
    "background_fill_alpha": 0.9,
}


class MapPane:
    """A map as a Bokeh figure.

    Parameters
    ----------
    levels : Levels
    beside : MapPane, optional
        Another map that always shows the same view.
    """

    def __init__(self, levels: Levels, *, beside: "MapPane | None" = None):
        self.ranges = _ranges(levels.whole.squared) if beside is None else beside.ranges
        self.figure = _map_figure(self.ranges, "Map" if beside is None else "Pinned map")
        self.save = self.figure.select_one(SaveTool)
        _name_axes(self.figure, crs_of(levels.grid))
        self._below = ColumnDataSource(_as_source(None, None))
        self._image = ColumnDataSource(_as_source(None, None))
        self.figure.image_rgba(source=self._below)
        self.picture = self.figure.image_rgba(source=self._image)
        self._mapper = LinearColorMapper(palette=["#000000", "#ffffff"], low=0, high=1)
        self._scale = ColorBar(color_mapper=self._mapper, width=_FRAME - 60, **_SCALE)
        self._scale.ticker = BasicTicker(desired_num_ticks=6)
        self.show_scale("", (), 0, 1)
        self._mark = ColumnDataSource({"x": [], "y": []})
        for colour, width in (("#ffffff", 6), ("#E69F00", 3)):
            ring(self.figure, self._mark, line_color=colour, line_width=width, size=16)
        self._message = Label(x=_FRAME / 2, y=_FRAME / 2, visible=False, **_MESSAGE)
        self._divider = Span(dimension="height", line_color="#ffffff", line_width=3, visible=False)
        self.figure.add_layout(self._scale, "below")
        self.figure.add_layout(self._message)
        self.figure.add_layout(self._divider)
        # in a column, as a Bokeh pane that is made visible again stays hidden with its figure
        self.pane = pn.Column(pn.pane.Bokeh(self.figure, margin=(0, 5)))

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
        """Show another part of the map."""
        square = view.squared
        x, y = self.ranges
        x.update(start=square.west, end=square.east)
        y.update(start=square.south, end=square.north)

    def show(self, picture: np.ndarray, covered: View) -> None:
        """Show a picture, shape (y, x, 4), uint8, north up."""
        self._image.data = _as_source(picture, covered)
        self._message.visible = False

    def show_basemap(self, picture: np.ndarray | None, covered: View) -> None:
        """Show a picture under the other one; None removes it."""
        self._below.data = _as_source(picture, covered)

    def show_message(self, message: str) -> None:
        """Show a message instead of a picture."""
        self._image.data = _as_source(None, self.view)
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

    def resize(self, pixels: int = _FRAME) -> None:
        """Change the size of the map on the screen."""
        self.figure.update(frame_width=pixels, frame_height=pixels, min_width=pixels + _AXES)
        self._message.update(x=pixels / 2, y=pixels / 2)
        self._scale.width = pixels - 60


def ring(target: figure, source: ColumnDataSource, **options: Any) -> None:
    """Draw circles that are not filled."""
    target.scatter("x", "y", source=source, marker="circle", fill_alpha=0, **options)


def _map_figure(ranges: tuple[Range1d, Range1d], name: str) -> figure:
    made = figure(
        title=ROOM,
        x_range=ranges[0],
        y_range=ranges[1],
        frame_width=_FRAME,
        frame_height=_FRAME,
        min_width=_FRAME + _AXES,
        tools="pan,wheel_zoom,box_zoom,reset",
        active_scroll="wheel_zoom",
        toolbar_location="right",
        match_aspect=True,
        background_fill_color="#f3f3f3",
    )
    made.add_tools(SaveTool(filename="map"))
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


def _ranges(view: View) -> tuple[Range1d, Range1d]:
    widest = 2 * view.width
    return (
        Range1d(view.west, view.east, max_interval=widest),
        Range1d(view.south, view.north, max_interval=widest),
    )


def _as_source(picture: np.ndarray | None, covered: View | None) -> dict[str, list]:
    if picture is None:
        return {"image": [], "x": [], "y": [], "dw": [], "dh": []}
    upwards = np.ascontiguousarray(picture[::-1]).view("uint32")[..., 0]
    place = {"x": covered.west, "y": covered.south, "dw": covered.width, "dh": covered.height}
    return {"image": [upwards], **{name: [value] for name, value in place.items()}}
