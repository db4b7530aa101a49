"""What both viewers are: a cube on a map that is moved, zoomed and pointed at."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
import param
import xarray as xr

from s2kit.analysis.validation import in_order, read_cube
from s2kit.cube.nodata import readable
from s2kit.errors import InvalidInputError
from s2kit.panel_loading import load_panel
from s2kit.viewers.basemap import read_address, read_basemap
from s2kit.viewers.frames import Levels, View
from s2kit.viewers.link import Address
from s2kit.viewers.mapview import MapView
from s2kit.viewers.page import Page
from s2kit.viewers.parameters import Bounds, Limits, Percent, Switch
from s2kit.viewers.pictures import picture_names

READOUT = 525
"""Pixels of the screen for what is read under the mouse, in two lines, as wide as the map."""

BESIDE_THE_CUBE = "The cube has nothing here:\ngo back with “Whole region”"
"""What a map says of a view without a pixel of the cube."""

NO_PICTURE = "No picture"
"""Title of a map that shows words."""


class MapViewer(pn.viewable.Viewer):
    """Base of the viewers; each says by ``_value_at(x, y, beside)`` what lies under the mouse.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
    title : str
    tiles : str
        Where the tiles of the basemap are.
    """

    opacity = Percent(100, doc="Opacity of the picture, %")
    basemap = Switch(False, doc="Show a map of streets below; needs the internet")
    limits = Limits(None, allow_None=True, doc="Values of the darkest and lightest colour")
    shown_limits = param.Range((0.0, 1.0), doc="The limits that are in use")
    view = Bounds([], item_type=(int, float), doc="West, south, east, north of the map")

    def __init__(self, cube: xr.Dataset, title: str, tiles: str):
        cube = decoded(cube)
        if not cube.data_vars:
            raise InvalidInputError("the cube has no layers; give it as open_cube does")
        super().__init__()
        load_panel()
        self.cube = cube = in_order(cube)
        self.levels = Levels(cube)
        _check_layers(cube)
        self.names = picture_names(cube)
        self.page = Page(title, cube)
        self.tiles = read_address(tiles)
        self.map = MapView(self.levels)
        self.readout = pn.pane.HTML(
            "Point at the map to read a value", margin=(0, 10), width=READOUT, height=36,
            styles={"font-size": "13px"},
        )  # fmt: skip
        self._pointer: tuple[float, float, bool] | None = None
        self._due: dict[Callable[[], None], bool] = {}
        self._at_work = False

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout

    def servable(self, title: str | None = None, **options: Any) -> "MapViewer":
        """Make a page of it for ``panel serve``, with its own title in the browser's tab."""
        return super().servable(title or self.page.title, **options)

    @property
    def number_names(self) -> dict[str, list[str]]:
        """Names of what is a number in each pixel, in groups."""
        return {group: names for group, names in self.names.items() if group != "Colour"}

    def look(self, view: View | None) -> None:
        """Show another part of the map; None shows the whole region."""
        self._note_view((view or self.levels.whole).squared)

    def _note_view(self, seen: View) -> None:
        digits = self.levels.digits
        self.view = [round(v, digits) for v in (seen.west, seen.south, seen.east, seen.north)]

    def _go_to_view(self) -> None:
        """Move the map to `view`, unless it is there but for rounding."""
        asked = View(*self.view) if self.view else self.levels.whole.squared
        if asked.distance(self.map.view) > 2 * 10**-self.levels.digits:
            self.map.look(asked)

    def _begin(self, address: tuple[str, ...], first: Sequence[Callable[[], None]]) -> None:
        """Take over what the address of the page says, draw for the first time, then listen."""
        self._address = Address(self, address)
        for act in (self._go_to_view, *first, self._set_opacity, self._draw_basemap):
            with self.page.careful():
                act()
        if wrong := self._address.wrong:
            told = ", ".join(f"{name}={text}" for name, text in wrong.items())
            self.page.fail(f"The address of this page asks for what there is not here: {told}.")
        self.watch(self._go_to_view, "view")
        self.watch(self._set_opacity, "opacity")
        self.watch(self._draw_basemap, "basemap", "view")
        self.map.on_view(self.page.guarded(lambda: self._note_view(self.map.view)))

    def set_limits(self, low: float | None, high: float | None) -> None:
        """Choose the values of the darkest and the lightest colour."""
        if low is None or high is None:
            raise InvalidInputError("One of the limits is empty; give both, or press “Fit”")
        self.limits = float(low), float(high)

    def watch(self, act: Callable[[], None], *names: str) -> None:
        """Call ``act()`` after one of the parameters has changed.

        What is due is done once, however many changes asked for it, and in the order of the calls
        of `watch`. On a server it is done in a turn of its own, in which what is on the page may
        be changed.
        """
        self._due[act] = False

        def ask(*_events) -> None:
            self._due[act] = True

        self.param.watch(ask, list(names))
        self.param.watch(self._schedule, list(names), precedence=1)  # when all have asked

    def follow(
        self, act: Callable[[set[str]], None], names: Sequence[str], others: Sequence[str]
    ) -> None:
        """Call ``act(free)`` at once, before anything is drawn, after one of ``names`` has changed.

        ``free`` are those of the ``others`` that were not given in the same update: what is given
        together with a change is meant for after it.
        """

        def at_once(*events) -> None:
            if not any(event.name in names and event.old != event.new for event in events):
                return
            drawing, self._at_work = self._at_work, True  # what is due is done when all is set
            try:
                with self.page.careful():
                    act(set(others) - {event.name for event in events})
            finally:
                self._at_work = drawing

        self.param.watch(at_once, [*names, *others], onlychanged=False)

    def _schedule(self, *_events) -> None:
        page = pn.state.curdoc
        if self._at_work or not any(self._due.values()):
            return
        self.page.clear_error()  # here, so that what fails from now on is seen
        self.page.work(begun=True)
        if page is not None and page.session_context is not None:
            page.add_next_tick_callback(self._catch_up)
        else:
            self._catch_up()
            pn.io.push_notebook(self._layout)  # what Bokeh draws, Panel does not send by itself

    def _catch_up(self) -> None:
        """Do all that is due."""
        if self._at_work:
            return
        self._at_work = True
        try:
            while act := next((act for act, due in self._due.items() if due), None):
                self._due[act] = False
                with self.page.careful():
                    act()
            self._address.write()
        finally:
            self._at_work = False
            self.page.work(begun=False)

    def _set_opacity(self) -> None:
        self.map.picture.glyph.global_alpha = self.opacity / 100

    def _draw_basemap(self) -> None:
        """Draw the basemap; one that cannot be had is switched off, not asked for at each move."""
        seen, tiles = self.map.view, None
        try:
            if self.basemap:
                tiles = read_basemap(self.tiles, seen, self.levels.grid.crs.proj, self.levels.area)
        finally:
            self.map.show_below(tiles, seen)
            self.basemap = tiles is not None

    def drawing(self, draw: Callable[[], None]) -> None:
        """Draw; if that fails, nothing of another picture stays on the page, but why not."""
        try:
            draw()
        except Exception as error:
            self.blank("Not drawn:\nwhy not is told above")
            self.page.tell(f"Not drawn: {error}")  # which stays when the alert goes
            raise

    def blank(self, words: str) -> None:
        """Show words in place of a picture and all that belongs to it."""
        self.map.name(NO_PICTURE, self.page.note)
        self.map.say(words)
        self.map.show_scale("", (), 0, 1)
        self.page.tell(f"{words}.".replace("\n", " "))
        self._read_again()

    def _point(self, x: float, y: float, *, beside: bool = False) -> None:
        """Say what lies under the mouse on the map, or on the one beside it."""
        self._pointer = x, y, beside
        self._read_again()

    def _read_again(self) -> None:
        """Say what lies where the mouse was last, after the picture has changed."""
        if self._pointer is None:
            return
        with self.page.careful():
            x, y, _ = self._pointer
            value = self._value_at(*self._pointer)
            words = self.map.name_place(x, y) + (f" · {value}" if value else "")
            self.readout.object = html.escape(words)


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
