"""A cube and its overviews: the level that fits the screen, and the pixels that a view shows."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import NamedTuple

import numpy as np
import xarray as xr
from dask.system import CPU_COUNT
from pyproj import CRS

from s2kit.crs import DEGREES, operation
from s2kit.cube.dask_layers import require_steps, window_of
from s2kit.cube.open import levels_of
from s2kit.errors import InvalidInputError
from s2kit.grid import area_of_data, crs_of, read_grid

SIDE = 512
"""Pixels along one side of a picture on a small map at most: about 1 MB on its way to a browser."""

_STRIDE = 4
"""Largest step in pixels where there are no overviews: all pixels between are read in vain."""


class View(NamedTuple):
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

    def filling(self, aspect: float) -> "View":
        """Return the smallest view around it whose width is ``aspect`` times its height."""
        width, height = max(self.width, self.height * aspect), max(self.height, self.width / aspect)
        return View.around(*self.middle, width, height)

    def distance(self, other: "View") -> float:
        """Return the largest distance between a side and the same side of another view."""
        return max(abs(own - its) for own, its in zip(self, other, strict=True))

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

    @property
    def size(self) -> int:
        """Pixels of the level along the longer side, those between the steps too."""
        return max(s.stop - s.start for s in (self.rows, self.cols))

    @property
    def step(self) -> int:
        """Step of the rows and columns."""
        return self.cols.step or 1

    def place(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column in the window of the pixel that holds a place; None outside."""
        side = self.pixel * self.step
        row, col = int((self.view.north - y) // side), int((x - self.view.west) // side)
        rows, cols = (len(range(s.start, s.stop, self.step)) for s in (self.rows, self.cols))
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
        self.pixel = across
        self.unit_ratio = _unit_ratio(crs_of(self.grid), self.whole.middle)
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
        window = self.touched(view)
        while window and window.size > most and window.level + 1 < len(self.cubes):
            window = self.touched(view, window.level + 1)
        if window is None or window.size <= most:
            return window
        step = -(-window.size // most)
        while max(len(_blocks(s, step)) for s in (window.rows, window.cols)) > most:
            step += 1
        if step > _STRIDE:
            seen, wide = window.size * window.pixel, window.pixel * (most - 1) * _STRIDE
            raise InvalidInputError(
                f"this view is {seen:g} wide, and the cube has no overviews to show that; zoom in "
                f"to {wide:g} or less. Overviews are made by build_cube, and belong to a cube as "
                "open_cube gives it, not to a part of it"
            )
        sizes = self.cubes[window.level].sizes
        rows, down = _middles(window.rows, step, sizes["y"])
        cols, across = _middles(window.cols, step, sizes["x"])
        view = self._covered(down, across, window.pixel)
        return Window(window.level, rows, cols, view, window.pixel)

    def touched(self, view: View, level: int = 0) -> Window | None:
        """Return the pixels of a level that a view touches; None beside the region."""
        pixel, sizes = self.pixel * 2**level, self.cubes[level].sizes
        left, top = self.grid.affine.c, self.grid.affine.f
        first, last = int((view.west - left) // pixel), int(-((left - view.east) // pixel))
        cols = slice(max(first, 0), min(last, sizes["x"]))
        first, last = int((top - view.north) // pixel), int(-((view.south - top) // pixel))
        rows = slice(max(first, 0), min(last, sizes["y"]))
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return None
        return Window(level, rows, cols, self._covered(rows, cols, pixel), pixel)

    def _covered(self, rows: slice, cols: slice, pixel: float) -> View:
        left, top = self.grid.affine.c, self.grid.affine.f
        south, north = top - rows.stop * pixel, top - rows.start * pixel
        return View(left + cols.start * pixel, south, left + cols.stop * pixel, north)

    def describe(self, window: Window) -> str:
        """Describe in words which pixels a window shows."""
        ordinal = {2: "2nd", 3: "3rd"}.get(window.step, f"{window.step}th")
        every = f"every {ordinal} of the " if window.step > 1 else ""
        return f"{every}pixels of {window.pixel:g} {self.unit}"

    def describe_pixel(self, window: Window, row: int, col: int) -> str:
        """Describe in words a pixel of a window, unless it is one of the finest level."""
        if window.step > 1:
            col, row = window.cols.start + col * window.step, window.rows.start + row * window.step
            right, down = (col + 0.5) * window.pixel, (row + 0.5) * window.pixel
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
        digits = 5 if crs_of(self.grid).is_geographic else 0
        return f"x {x:.{digits}f}, y {y:.{digits}f}"

    def format_place(self, x: float, y: float) -> str:
        """Format a place in the cube's coordinate system and in degrees."""
        east, north = self.to_degrees.transform(x, y)
        own = "" if crs_of(self.grid).is_geographic else f"{self.format_xy(x, y)} · "
        letters = "N" if north >= 0 else "S", "E" if east >= 0 else "W"
        return f"{own}{abs(north):.5f}° {letters[0]}, {abs(east):.5f}° {letters[1]}"

    def pixel_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column of the full-resolution pixel that holds a place; None outside.

        Raises
        ------
        InvalidInputError
            If ``x`` or ``y`` is no number.
        """
        if not all(isinstance(value, Real) for value in (x, y)):
            raise InvalidInputError("x or y is no number; give both")
        col, row = ~self.grid.affine @ (x, y)
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
        return self.grid.affine @ (col + 0.5, row + 0.5)


def _unit_ratio(crs: CRS, middle: tuple[float, float]) -> float:
    """Return how long a unit of x is on the ground, in units of y: less than 1 in degrees.

    That is the cosine of the latitude, as on a sphere; projected systems have one unit for both.
    """
    return math.cos(math.radians(middle[1])) if crs.is_geographic else 1.0


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


def _middles(wanted: slice, step: int, n: int) -> tuple[slice, slice]:
    """Return the middle pixels of the blocks that a range of ``n`` touches, and what these cover.

    A last block that is cut off by the region's edge is covered whole, up to two pixels beyond; if
    its middle lies beyond, its one pixel is left out.
    """
    blocks = _blocks(wanted, step)
    first = min(blocks.start * step + (step - 1) // 2, n - 1)
    middles = slice(first, min(blocks.stop * step, n), step)
    count = len(range(first, middles.stop, step))
    return middles, slice(blocks.start * step, (blocks.start + count) * step)
