"""A map in the cube's own coordinate system: a picture, its scale, marks; it tells of clicks."""

from collections.abc import Callable, Sequence

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

from s2kit.viewers.charts import ROOM, name_tools
from s2kit.viewers.frames import Levels, View

_FRAME = 450
"""Pixels of the screen along one side of the map; a frame is up to `frames.SIDE` wide."""

_AXES = 75
"""Pixels beside the map: its vertical axis and its tools."""

_SETTLE = """
const timers = (window.s2kit_timers ??= {});
clearTimeout(timers[sent.id]);
timers[sent.id] = setTimeout(() => {
  sent.data = {west: [x.start], south: [y.start], east: [x.end], north: [y.end]};
}, 60);
"""
"""Tells of a view when the hand rests, not at every step of the wheel."""

_POINT = """
const last = (window.s2kit_last ??= {});
const now = Date.now();
if (now - (last[sent.id] ?? 0) < 80) return;
last[sent.id] = now;
sent.data = {x: [cb_obj.x], y: [cb_obj.y]};
"""


class MapView:
    """A map.

    Parameters
    ----------
    levels : Levels
        The cube: its coordinate system, and what leads from there to degrees.
    beside : MapView, optional
        Another map that always shows the same view.
    """

    def __init__(self, levels: Levels, *, beside: "MapView | None" = None):
        self.whole, self.crs = levels.whole.squared, levels.grid.crs.proj
        self._to_degrees = levels.to_degrees
        ranges = _ranges(self.whole) if beside is None else beside.ranges
        self.ranges = ranges
        self.figure = figure(
            title=ROOM, x_range=ranges[0], y_range=ranges[1],
            frame_width=_FRAME, frame_height=_FRAME, min_width=_FRAME + _AXES,
            tools="pan,wheel_zoom,box_zoom,reset", active_scroll="wheel_zoom",
            toolbar_location="right", match_aspect=True, background_fill_color="#f3f3f3",
        )  # fmt: skip
        self.save = SaveTool(filename="map")
        self.figure.add_tools(self.save)
        name_tools(self.figure, "Map" if beside is None else "Pinned map")
        self.figure.toolbar.logo = None
        self.figure.grid.visible = False
        self.figure.title.text_font_size = "13px"
        self._name_axes()
        empty = {"image": [], "x": [], "y": [], "dw": [], "dh": []}
        self._below, self._image = ColumnDataSource(dict(empty)), ColumnDataSource(dict(empty))
        self.figure.image_rgba(source=self._below)
        self.picture = self.figure.image_rgba(source=self._image)
        self._mapper = LinearColorMapper(palette=["#000000", "#ffffff"], low=0, high=1)
        self._scale = ColorBar(
            color_mapper=self._mapper, ticker=BasicTicker(desired_num_ticks=6), height=10,
            width=_FRAME - 60, title_text_font_style="normal", padding=4,
        )  # fmt: skip
        self.figure.add_layout(self._scale, "below")
        self.show_scale("", (), 0, 1)
        self._mark = ColumnDataSource({"x": [], "y": []})
        for colour, width in (("#ffffff", 6), ("#E69F00", 3)):
            self.figure.scatter(
                "x", "y", source=self._mark, size=16, marker="circle", fill_alpha=0,
                line_color=colour, line_width=width,
            )  # fmt: skip
        self._message = Label(
            x=_FRAME / 2, y=_FRAME / 2, x_units="screen", y_units="screen", text="",
            text_align="center", text_baseline="middle", text_font_size="15px",
            background_fill_color="#ffffff", background_fill_alpha=0.9, padding=10, visible=False,
        )  # fmt: skip
        self.figure.add_layout(self._message)
        self._divider = Span(dimension="height", line_color="#ffffff", line_width=3, visible=False)
        self.figure.add_layout(self._divider)
        # In a column, since a Bokeh pane that is made visible takes its figure's word: not visible
        self.pane = pn.Column(pn.pane.Bokeh(self.figure, margin=(0, 5)))

    def _name_axes(self) -> None:
        unit = self.crs.axis_info[0].unit_name.replace("metre", "m")
        for axis, letter in ((self.figure.xaxis, "x"), (self.figure.yaxis, "y")):
            axis.axis_label = f"{letter} ({unit})"
            axis.axis_label += f", {self.crs.name}" if letter == "x" else ""
            axis.axis_label_text_font_style = "normal"
            axis.ticker = BasicTicker(desired_num_ticks=5)
            if not self.crs.is_geographic:
                axis.formatter = NumeralTickFormatter(format="0")
        self.figure.yaxis.major_label_orientation = "vertical"

    # What it tells

    def on_click(
        self,
        act: Callable[[float, float], None],
        again: Callable[[float, float], None] | None = None,
    ) -> None:
        """Call ``act(x, y)`` at a click; ``again(x, y)`` at the second of two quick ones.

        Bokeh tells of the second by another event, also where the two lie far apart.
        """
        self.figure.on_event(Tap, lambda event: act(event.x, event.y))
        self.figure.on_event(DoubleTap, lambda event: (again or act)(event.x, event.y))

    def on_view(self, act: Callable[[], None]) -> None:
        """Call ``act()`` when another part of the map is seen, a moment after the last move."""
        sent = ColumnDataSource({"west": [], "south": [], "east": [], "north": []})
        x, y = self.ranges
        self.figure.js_on_event(RangesUpdate, CustomJS(args={"sent": sent, "x": x, "y": y},
                                                       code=_SETTLE))  # fmt: skip
        sent.on_change("data", lambda _attr, _old, _new: act())

    def on_point(self, act: Callable[[float, float], None]) -> None:
        """Call ``act(x, y)`` as the mouse moves over the map, some ten times a second."""
        sent = ColumnDataSource({"x": [], "y": []})
        self.figure.js_on_event(MouseMove, CustomJS(args={"sent": sent}, code=_POINT))
        sent.on_change("data", lambda _attr, _old, _new: act(sent.data["x"][0], sent.data["y"][0]))

    # What it shows

    @property
    def view(self) -> View:
        """The part that is seen."""
        x, y = self.ranges
        return View(x.start, y.start, x.end, y.end)

    def look(self, view: View) -> None:
        """Show another part."""
        square = view.squared
        x, y = self.ranges
        x.update(start=square.west, end=square.east)
        y.update(start=square.south, end=square.north)

    def show(self, picture: np.ndarray, covered: View) -> None:
        """Show a picture, shape (y, x, 4), uint8, north up."""
        self._image.data = _as_source(picture, covered)
        self._message.visible = False

    def show_below(self, picture: np.ndarray | None, covered: View) -> None:
        """Show a picture under the other one; None removes it."""
        self._below.data = _as_source(picture, covered)

    def say(self, message: str) -> None:
        """Show words instead of a picture."""
        self._image.data = _as_source(None, self.view)
        self._message.update(text=message, visible=True)

    def show_scale(self, title: str, palette: Sequence[str], low: float, high: float) -> None:
        """Show which colour means what; where there is no palette, only the room for it."""
        seen = 1 if palette else 0
        self._scale.update(
            title=title if palette else "none", title_text_alpha=seen, scale_alpha=seen,
            major_label_text_alpha=seen, major_tick_line_alpha=seen,
        )  # fmt: skip
        if palette:
            self._mapper.update(palette=list(palette), low=low, high=high)

    def mark(self, place: tuple[float, float] | None) -> None:
        """Put a ring around a place."""
        self._mark.data = {"x": [place[0]] if place else [], "y": [place[1]] if place else []}

    def name(self, title: str, note: str) -> None:
        """Say what the picture is, and in a second line where it comes from."""
        self.figure.title.text = f"{title}\n({note})"

    def divide(self, x: float | None) -> None:
        """Draw the line between two pictures; None removes it."""
        self._divider.update(location=x or 0, visible=x is not None)

    def resize(self, pixels: int = _FRAME) -> None:
        """Change the size of the map on the screen."""
        self.figure.update(frame_width=pixels, frame_height=pixels, min_width=pixels + _AXES)
        self._message.update(x=pixels / 2, y=pixels / 2)
        self._scale.width = pixels - 60

    def name_own(self, x: float, y: float) -> str:
        """Give a place in the cube's coordinate system."""
        digits = 5 if self.crs.is_geographic else 0
        return f"x {x:.{digits}f}, y {y:.{digits}f}"

    def name_place(self, x: float, y: float) -> str:
        """Give a place in the cube's coordinate system and in degrees."""
        east, north = self._to_degrees.transform(x, y)
        own = "" if self.crs.is_geographic else f"{self.name_own(x, y)} · "
        sides = "E" if east >= 0 else "W", "N" if north >= 0 else "S"
        return f"{own}{abs(north):.5f}° {sides[1]}, {abs(east):.5f}° {sides[0]}"


def _ranges(view: View) -> tuple[Range1d, Range1d]:
    widest = 2 * view.width
    return (
        Range1d(view.west, view.east, max_interval=widest),
        Range1d(view.south, view.north, max_interval=widest),
    )


def _as_source(picture: np.ndarray | None, covered: View) -> dict[str, list]:
    if picture is None:
        return {"image": [], "x": [], "y": [], "dw": [], "dh": []}
    upwards = np.ascontiguousarray(picture[::-1]).view("uint32")[..., 0]
    return {"image": [upwards], "x": [covered.west], "y": [covered.south],
            "dw": [covered.width], "dh": [covered.height]}  # fmt: skip
