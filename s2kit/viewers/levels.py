"""A cube and its overviews: the level that fits the screen, and the pixels that a view shows."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from numbers import Real

import numpy as np
import xarray as xr
from dask.system import CPU_COUNT
from odc.geo.geobox import GeoBox

from s2kit.crs import DEGREES, operation
from s2kit.cube.dask_layers import require_steps, window_of
from s2kit.cube.open import levels_of
from s2kit.errors import InvalidInputError
from s2kit.grid import area_of_data, crs_of, read_grid

SIDE = 512
"""Pixels along one side of a picture at most: about 1 MB on its way to a browser."""

_STRIDE = 4
"""Largest step in pixels where there are no overviews: all pixels between are read in vain."""


@dataclass(frozen=True)
class View:
    """A part of the map: its sides, in the unit of the cube's coordinate system."""

    west: float
    south: float
    east: float
    north: float

    @property
    def width(self) -> float:
        """Width, from west to east."""
        return self.east - self.west

    @property
    def height(self) -> float:
        """Height, from south to north."""
        return self.north - self.south

    @property
    def middle(self) -> tuple[float, float]:
        """Centre, x and y."""
        return (self.west + self.east) / 2, (self.south + self.north) / 2

    @property
    def squared(self) -> "View":
        """The square around it."""
        side = max(self.width, self.height)
        return View.around(*self.middle, side, side)

    def distance(self, other: "View") -> float:
        """Return the largest distance between a side and the same side of another view."""
        sides = ("west", "south", "east", "north")
        return max(abs(getattr(self, side) - getattr(other, side)) for side in sides)

    def zoomed(self, factor: float) -> "View":
        """Return the view that is ``factor`` times as wide around the same centre."""
        return View.around(*self.middle, self.width * factor, self.height * factor)

    def moved(self, right: float, up: float) -> "View":
        """Return the view moved east and north by so many times its own size."""
        dx, dy = right * self.width, up * self.height
        return View(self.west + dx, self.south + dy, self.east + dx, self.north + dy)

    @staticmethod
    def around(x: float, y: float, width: float, height: float) -> "View":
        """Return the view of a size around a place."""
        return View(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


@dataclass(frozen=True)
class Window:
    """The pixels of one level that a view shows.

    ``rows`` and ``cols`` have a step where no level is coarse enough. ``view`` is what the pixels
    cover, ``pixel`` the size of one pixel of the level, in the unit of the coordinate system.
    """

    level: int
    rows: slice
    cols: slice
    view: View
    pixel: float

    def place(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column in the window of the pixel that holds a place; None outside."""
        step = self.pixel * (self.cols.step or 1)
        row, col = int((self.view.north - y) // step), int((x - self.view.west) // step)
        rows, cols = (len(range(s.start, s.stop, s.step or 1)) for s in (self.rows, self.cols))
        return (row, col) if 0 <= row < rows and 0 <= col < cols else None


class Levels:
    """A cube, as `s2kit.open_cube` returns it, and its overviews; a changed cube has none.

    Raises
    ------
    InvalidInputError
        If it has no regular grid of square pixels with a coordinate system, from which an exact
        operation leads to degrees.
    """

    def __init__(self, cube: xr.Dataset):
        self.grid = read_grid(cube)
        self.area = area_of_data(cube, self.grid)
        self.to_degrees = operation(crs_of(self.grid), DEGREES, self.area)
        across, down = self.grid.affine.a, -self.grid.affine.e
        near = min(1e-3, 0.1 / max(cube.sizes["y"], cube.sizes["x"]))  # 0.1 pixel at the far end
        if not math.isclose(across, down, rel_tol=near):
            raise InvalidInputError(
                f"the pixels are {across:g} wide and {down:g} high; a map needs square ones: thin "
                "the cube out in y and x alike"
            )
        self.cubes = levels_of(cube)
        self.pixel = abs(self.grid.affine.a)
        self._opened = cube.attrs.get("overview_level", 0)

    @property
    def whole(self) -> View:
        """View of the whole region."""
        return View(*self.grid.extent.geom.bounds)

    def window(self, view: View, most: int = SIDE) -> Window | None:
        """Return the pixels of the finest level of which a view shows ``most`` a side at most.

        None where the view lies beside the region.

        Raises
        ------
        InvalidInputError
            If a view of a cube without overviews is too wide.
        """
        for level, cube in enumerate(self.cubes):
            window = _touched(view, self.grid, level, cube)
            if window is None:
                return None
            size = max(s.stop - s.start for s in (window.rows, window.cols))
            if size <= most:
                return window
        step = -(-size // most)
        while max(len(_blocks(s, step)) for s in (window.rows, window.cols)) > most:
            step += 1
        if step > _STRIDE:
            wide = window.pixel * (most - 1) * _STRIDE
            raise InvalidInputError(
                f"this view is {size * window.pixel:g} wide, and the cube has no overviews to show "
                f"that; zoom in to {wide:g} or less. Overviews are made by build_cube, and belong "
                "to a cube as open_cube gives it, not to a part of it"
            )
        return _thinned(window, step, cube, self.whole)

    def finest(self, view: View) -> Window | None:
        """Return the pixels of full resolution that a view touches; None beside the region."""
        return _touched(view, self.grid, 0, self.cubes[0])

    def describe(self, window: Window) -> str:
        """Describe in words which pixels a window shows."""
        step = window.cols.step or 1
        every = {1: "", 2: "every 2nd of the ", 3: "every 3rd of the "}.get(step)
        every = f"every {step}th of the " if every is None else every
        return f"{every}pixels of {window.pixel:g} {self.unit}"

    def describe_pixel(self, window: Window, row: int, col: int) -> str:
        """Describe in words a pixel of a window, unless it is one of the finest level."""
        step = window.cols.step or 1
        if step > 1:
            right = (window.cols.start + col * step + 0.5) * window.pixel
            down = (window.rows.start + row * step + 0.5) * window.pixel
            x, y = self.whole.west + right, self.whole.north - down
            return f" (at x {x:.{self.digits}f}, y {y:.{self.digits}f})"
        return f" (pixel of {window.pixel:g} {self.unit})" if window.level else ""

    def read(self, window: Window, step: int, layers: list[str]) -> dict[str, np.ndarray]:
        """Read layers of one overpass, shape (y, x), in physical values."""
        cut = {"time": step, "y": window.rows, "x": window.cols}
        part = self.cubes[window.level][layers].isel(cut, missing_dims="ignore")
        found = {name: part[name].transpose("y", "x").values for name in layers}
        self.require_steps()
        return found

    def read_pixel(self, row: int, col: int, layers: list[str]) -> dict[str, np.ndarray]:
        """Read layers of one pixel at full resolution, shape (time,), in physical values."""
        part = self.cubes[0][layers].isel(y=row, x=col)
        found = {name: part[name].values for name in layers}
        self.require_steps()
        return found

    def require_steps(self) -> None:
        """Check that the steps of the store are still those of the opened cube.

        Raises
        ------
        CubeError
            If scenes have come between the steps since the cube was opened.
        """
        require_steps(self.cubes[0])

    def is_overview(self, window: Window) -> bool:
        """Return whether a pixel of the window is the mean of several observed ones."""
        return self._opened + window.level > 0

    @property
    def digits(self) -> int:
        """Decimals of a coordinate, for about a thousandth of a pixel."""
        return max(0, 3 - math.floor(math.log10(self.pixel)))

    @property
    def unit(self) -> str:
        """Unit of the coordinates."""
        unit = crs_of(self.grid).axis_info[0].unit_name
        return {"metre": "m", "degree": "°"}.get(unit, unit)

    def part(self, window: Window) -> xr.Dataset:
        """Return what a window spans, in chunks of Dask, for statistics along time."""
        rows, cols = (slice(s.start, s.stop) for s in (window.rows, window.cols))
        return window_of(self.cubes[window.level], rows, cols)

    def format_xy(self, x: float, y: float) -> str:
        """Format a place in the cube's coordinate system."""
        digits = 5 if self.grid.crs.geographic else 0
        return f"x {x:.{digits}f}, y {y:.{digits}f}"

    def format_place(self, x: float, y: float) -> str:
        """Format a place in the cube's coordinate system and in degrees."""
        east, north = self.to_degrees.transform(x, y)
        own = "" if self.grid.crs.geographic else f"{self.format_xy(x, y)} · "
        sides = "E" if east >= 0 else "W", "N" if north >= 0 else "S"
        return f"{own}{abs(north):.5f}° {sides[1]}, {abs(east):.5f}° {sides[0]}"

    def pixel_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column of the full-resolution pixel that holds a place; None outside.

        Raises
        ------
        InvalidInputError
            If ``x`` or ``y`` is no number.
        """
        if not all(isinstance(value, Real) for value in (x, y)):
            raise InvalidInputError("x or y is no number; give both")
        col, row = ~self.grid.affine * (x, y)
        inside = 0 <= row < self.grid.shape.y and 0 <= col < self.grid.shape.x
        return (int(row), int(col)) if inside else None

    def require_pixel(self, x: float, y: float) -> tuple[int, int]:
        """Return the pixel that holds a place; refuse a place beside the cube."""
        pixel = self.pixel_at(x, y)
        if pixel is None:
            raise InvalidInputError(
                f"{self.format_place(x, y)} lies beside the cube; click on the picture"
            )
        return pixel

    def centre_of(self, row: int, col: int) -> tuple[float, float]:
        """Return x and y of the centre of a pixel at full resolution."""
        return self.grid.affine * (col + 0.5, row + 0.5)


@cache
def workers() -> ThreadPoolExecutor:
    """Return the threads in which Dask computes for all sessions.

    Bokeh runs callbacks in several threads. For each of them Dask would keep threads of its own,
    and each of these the memory that it once allocated.
    """
    return ThreadPoolExecutor(CPU_COUNT, "s2kit-viewers")


def _blocks(wanted: slice, step: int) -> range:
    """Return the blocks of ``step`` pixels that a range touches; they do not move with the view."""
    return range(wanted.start // step, -(-wanted.stop // step))


def _thinned(window: Window, step: int, cube: xr.Dataset, whole: View) -> Window:
    """Return the pixels in the middle of blocks of ``step``, and what these blocks cover.

    A last block that is cut off by the region's edge is covered whole, up to two pixels beyond; if
    its middle lies beyond, its one pixel is left out.
    """
    cuts, covered = [], []
    for wanted, n in ((window.rows, cube.sizes["y"]), (window.cols, cube.sizes["x"])):
        blocks = _blocks(wanted, step)
        first = min(blocks.start * step + (step - 1) // 2, n - 1)
        cuts.append(slice(first, min(blocks.stop * step, n), step))
        count = len(range(first, cuts[-1].stop, step))
        ends = blocks.start, blocks.start + count
        covered.append([end * step * window.pixel for end in ends])
    (down, bottom), (right, end) = covered
    view = View(whole.west + right, whole.north - bottom, whole.west + end, whole.north - down)
    return replace(window, rows=cuts[0], cols=cuts[1], view=view)


def _touched(view: View, grid: GeoBox, level: int, cube: xr.Dataset) -> Window | None:
    """Return the pixels of a level that a view touches."""
    pixel = abs(grid.affine.a) * 2**level
    left, top = grid.affine.c, grid.affine.f
    first = [int(n // pixel) for n in (view.west - left, top - view.north)]
    last = [int(-(-n // pixel)) for n in (view.east - left, top - view.south)]
    sizes = cube.sizes["x"], cube.sizes["y"]
    cols, rows = (slice(max(a, 0), min(b, n)) for a, b, n in zip(first, last, sizes, strict=True))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return None
    west, east = left + cols.start * pixel, left + cols.stop * pixel
    south, north = top - rows.stop * pixel, top - rows.start * pixel
    return Window(level, rows, cols, View(west, south, east, north), pixel)
