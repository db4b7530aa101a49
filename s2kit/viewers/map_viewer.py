"""The base of both viewers: a cube on a map that is moved, zoomed and pointed at."""

import html
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar

import pandas as pd
import panel as pn
import param
import xarray as xr

from s2kit.analysis.validation import in_order, read_cube
from s2kit.cube.nodata import readable
from s2kit.errors import InvalidInputError
from s2kit.grid import crs_of
from s2kit.panel_loading import load_panel
from s2kit.viewers.address import Address
from s2kit.viewers.basemap import read_address, read_basemap
from s2kit.viewers.levels import Levels, View
from s2kit.viewers.map_pane import MAP_WIDTH, MapPane
from s2kit.viewers.measurements import Measurements, read_measurements
from s2kit.viewers.page import Page, ViewerLayout, is_served
from s2kit.viewers.parameters import Bounds, Item, Limits, Percent, Switch
from s2kit.viewers.redraw import Redraw
from s2kit.viewers.renderers import renderer_names

_ONE_LINE = {"white-space": "nowrap", "overflow": "hidden", "text-overflow": "ellipsis"}
"""Style of text that does not move what is below it, as a second line would."""

BESIDE_THE_CUBE = "The cube has nothing here:\ngo back with “Whole region”"
"""Message of a map whose view holds no pixel of the cube."""


class MapViewer(pn.viewable.Viewer):
    """Base of the viewers; each draws the picture of the map, and describes a place of it.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
    title : str
    tiles : str
        Address of the tiles of the basemap.
    """

    opacity = Percent(100, doc="Opacity of the picture, %")
    basemap = Switch(False, doc="Show a map of streets below; needs the internet")
    limits = Limits(None, allow_None=True, doc="Values of the darkest and lightest colour")
    shown_limits = param.Range((0.0, 1.0), doc="The limits that are in use")
    view = Bounds([], item_type=(int, float), doc="West, south, east, north of the map")
    map_size = param.NumericTuple((0, 0), doc="Width and height that a page gives the map, pixels")
    measurements = Item(class_=Measurements, allow_None=True, doc="Drawn over the chart")

    _IN_ADDRESS: ClassVar[tuple[str, ...]] = ()
    """What the address of the page holds, in the order in which it is taken over."""

    _layout: ViewerLayout

    def __init__(self, cube: xr.Dataset, title: str, tiles: str):
        cube = decoded(cube)
        if not cube.data_vars:
            raise InvalidInputError("the cube has no layers; give it as open_cube does")
        super().__init__()
        load_panel()
        self.cube = cube = in_order(cube)
        self.levels = Levels(cube)
        _check_layers(cube)
        self.names = renderer_names(cube)
        self.number_names = {group: n for group, n in self.names.items() if group != "Colour"}
        self.numbers = list(chain.from_iterable(self.number_names.values()))
        self.page = Page(title, cube)
        self.tiles = read_address(tiles)
        self.fills = is_served()
        self.map = MapPane(self.levels, fills=self.fills)
        self.panes = [self.map]
        fits = {"sizing_mode": "stretch_width"} if self.fills else {"width": MAP_WIDTH}
        self.readout = pn.pane.HTML(
            "Point at the map to read a value",
            margin=(0, 10),
            height=20 if self.fills else 36,
            styles={"font-size": "13px"} | (_ONE_LINE if self.fills else {}),
            **fits,
        )
        self.measured = pn.pane.HTML("", margin=(0, 10), styles={"font-size": "13px"})
        self.redraw = Redraw(self, self.page.catch_errors, self._begin_drawing, self._end_drawing)
        self._pointer: tuple[float, float, bool] | None = None
        self._acted = False
        self._failed: Exception | None = None

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout

    def servable(
        self, title: str | None = None, *args: Any, **options: Any
    ) -> pn.viewable.Viewable:
        """Make a page of it for ``panel serve``, with its own title in the browser's tab."""
        return super().servable(title or self.page.title, *args, **options)

    def look(self, view: View | None) -> None:
        """Show another part of the map; None shows the whole region."""
        self._note_view(self.map.filled(view) if view else ())

    def set_limits(self, low: float | None, high: float | None) -> None:
        """Set the values of the darkest and the lightest colour."""
        if low is None or high is None:
            raise InvalidInputError("One of the limits is empty; give both, or press “Fit”")
        self.limits = float(low), float(high)

    def _reset_limits(self, free: set[str]) -> None:
        """Fit the limits to what is shown now, unless they were given with it."""
        if "limits" in free:
            self.limits = None

    # Drawing

    def _start(self, first: Sequence[Callable[[], None]]) -> None:
        """Take over what the address of the page holds, draw all, then react to changes."""
        self._address = Address(self, self._IN_ADDRESS)
        draws = [self._move_map, *first, self._set_opacity, self._draw_basemap]
        if self.fills:  # nothing is drawn for a size that the page does not have
            draws.remove(self._draw)
        for draw in draws:
            with self.page.catch_errors():
                draw()
        if wrong := self._address.wrong:
            named = ", ".join(f"{name}={text}" for name, text in wrong.items())
            self.page.show_error(
                f"The address of this page holds values that cannot be used here: {named}."
            )
        self.redraw.on(["view", "map_size"], self._move_map)
        self.redraw.on(["opacity"], self._set_opacity)
        self.redraw.on(["basemap", "view", "map_size"], self._draw_basemap)
        for pane in self.panes:
            pane.on_hover(partial(self._point, beside=pane is not self.map))
        if self.fills:
            self.map.on_size(self._note_size)
        self.map.on_view(self.page.guarded(lambda: self._note_view(self.map.view)))

    def _begin_drawing(self, changed: set[str]) -> None:
        if changed != {"map_size"}:  # a window of another size is no action of a person
            self._acted = True
            self.page.clear_error()  # now, so that what fails from here on is seen
        self.page.set_busy(True)

    def _end_drawing(self) -> None:
        acted, self._acted = self._acted, False
        try:
            if acted:
                self._address.write()
        finally:
            self.page.set_busy(False)
        self._send()

    def _send(self) -> None:
        if not is_served():
            pn.io.push_notebook(self._layout)  # Panel does not send the changes of Bokeh's models

    def after_sending(self, act: Callable[[], None]) -> None:
        """Call ``act()`` when what has been drawn is on its way to the page."""
        self._send()
        if is_served() and (page := pn.state.curdoc):
            page.add_next_tick_callback(act)
        else:
            act()

    def _note_view(self, seen: Sequence[float]) -> None:
        self.view = [round(side, self.levels.digits) for side in seen]

    def _note_size(self, size: tuple[int, int]) -> None:
        for pane in self.panes:  # two that are side by side are as large
            pane.set_size(size)
        self.map_size = size

    def _move_map(self) -> None:
        """Move the map to `view`, unless it is there but for rounding."""
        asked = View(*self.view) if self.view else self.levels.whole
        if self.map.filled(asked).distance(self.map.view) > 2 * 10**-self.levels.digits:
            self.map.set_view(asked)

    def _set_opacity(self) -> None:
        for pane in self.panes:
            pane.picture.glyph.global_alpha = self.opacity / 100

    def _draw_basemap(self) -> None:
        """Draw the basemap; switch it off if it cannot be read, not to ask again at each move."""
        seen, tiles = self.map.view, None
        try:
            if self.basemap:
                crs, size = crs_of(self.levels.grid), self.map.picture_size
                tiles = read_basemap(self.tiles, seen, size, crs, self.levels.area)
        finally:
            self.map.show_basemap(tiles, seen)
            self.basemap = tiles is not None

    def _draw(self) -> None:
        """Draw the picture; if that fails, leave nothing of another one on the page."""
        failed, self._failed = self._failed, None
        try:
            self._draw_picture()
        except Exception as error:
            self._failed = error
            self.blank("Not drawn:\nsee the error above")
            self.page.set_status(f"Not drawn: {error}")  # which stays when the alert goes
            raise
        if failed is not None and self.page.error is failed:
            self.page.clear_error()

    @abstractmethod
    def _draw_picture(self) -> None:
        """Draw what is in sight."""

    def blank(self, message: str) -> None:
        """Show a message in place of the picture and all that belongs to it."""
        for pane in self.panes:
            pane.set_title("No picture", self.page.note)
            pane.show_message(message)
            pane.show_scale("", (), 0, 1)
        self.page.set_status(f"{message}.".replace("\n", " "))
        self._update_readout()

    # Own measurements

    def upload_measurements(self, content: bytes, filename: str) -> None:
        """Draw the measurements of a CSV file over the chart; see `read_measurements`."""
        self.measurements = read_measurements(content, filename)
        _, message = self._choose_measurements(self.measurements)
        self.page.set_status(f"{filename}: {message}")

    def remove_measurements(self) -> None:
        """Remove the measurements."""
        self.measurements = None

    @abstractmethod
    def _choose_measurements(self, measured: Measurements) -> tuple[pd.DataFrame, str]:
        """Return the measurements of what the chart shows; see `measurements.choose`."""

    def _shown_measurements(self) -> tuple[str, pd.DataFrame] | None:
        """Return what was measured, and that of it which is drawn; tell how much that is."""
        if self.measurements is None:
            self.measured.object = ""
            return None
        table, message = self._choose_measurements(self.measurements)
        self.measured.object = html.escape(message)
        return self.measurements.name, table

    # What lies under the mouse

    def _point(self, x: float, y: float, *, beside: bool = False) -> None:
        self._pointer = x, y, beside
        self._update_readout()

    @abstractmethod
    def _value_at(self, x: float, y: float, beside: bool) -> str:
        """Describe the value at a place of the map, or of the one beside it; empty outside."""

    def _update_readout(self) -> None:
        """Show the value where the mouse was last, after the mouse or the picture has changed."""
        if self._pointer is None:
            return
        with self.page.catch_errors():
            value = self._value_at(*self._pointer)
            text = self.levels.format_place(*self._pointer[:2]) + (f" · {value}" if value else "")
            self.readout.object = html.escape(text)


def decoded(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube with all its layers in physical values, SCL as classes."""
    read_cube(cube)
    numbers = [n for n, layer in cube.data_vars.items() if layer.dtype.kind in "fiub" or n == "SCL"]
    return readable(cube, numbers)


def _check_layers(cube: xr.Dataset) -> None:
    """Refuse layers that cannot be shown, and two steps of one moment, to the microsecond."""
    for name, layer in cube.data_vars.items():
        if not isinstance(name, str):
            raise InvalidInputError(
                f"a layer is called {name!r:.40}, which is no text; rename it: "
                f'cube.rename({{{name!r:.40}: "layer"}})'
            )
        if not {"y", "x"} <= set(layer.dims) <= {"time", "y", "x"}:
            raise InvalidInputError(
                f"{name} has the dimensions {', '.join(map(str, layer.dims)) or 'none'}; a layer "
                "that can be shown has y, x and mostly time: select one of several with isel, or "
                "leave it out with drop_vars"
            )
    times = cube.indexes["time"]
    again = times[times.floor("us").duplicated()]
    if len(again):
        raise InvalidInputError(
            f"the cube has two steps at {again[0]:%Y-%m-%d %H:%M:%S}; keep one of them, as "
            'cube.drop_duplicates("time") does'
        )
