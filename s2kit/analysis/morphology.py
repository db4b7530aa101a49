"""Distances on the maps of a cube, and what follows from them: margins, patches too small."""

import math
from collections.abc import Callable

import dask.array as da
import numba
import numpy as np
import xarray as xr
from scipy import ndimage

from s2kit.errors import InvalidInputError

_FARTHEST = 32_766
"""Pixels; the squares of two such distances still add up in 32 bits."""


def metres_per_pixel(cube: xr.Dataset) -> float:
    """Give the width of a pixel, in metres.

    Raises
    ------
    InvalidInputError
        If there is no map of square pixels side by side, or it is in degrees.
    """
    known = {"y", "x"} <= set(cube.dims) & set(cube.coords)
    axes = [np.atleast_1d(cube[axis].values) for axis in "yx" if known]
    steps = np.concatenate([np.abs(np.diff(axis)) for axis in axes]) if known else []
    if not len(steps) or not all(map(len, axes)):
        raise InvalidInputError(
            "distances in metres need a map of more than one pixel; make the mask of the whole "
            "cube first, and then take a part of it"
        )
    if not np.allclose(steps, steps[0], rtol=1e-6):
        raise InvalidInputError(
            "distances in metres need square pixels side by side; make the mask of the whole cube "
            "first, and then take a part of it"
        )
    return float(steps[0]) * _metres(cube)


def _metres(cube: xr.Dataset) -> float:
    """Return the length of the unit of the coordinate system; without one, of that of x."""
    crs, unit = cube.rio.crs, str(cube["x"].attrs.get("units", "metre"))
    if crs.is_geographic if crs else unit.startswith("degree"):
        raise InvalidInputError(
            "distances are in metres, the cube is in degrees; build it in a projected "
            "coordinate system, such as that of the UTM zone"
        )
    if crs:
        return float(crs.linear_units_factor[1])
    if unit not in ("m", "metre", "meter", "metres", "meters"):
        raise InvalidInputError(
            f"distances are in metres, x is in {unit!r}; state the coordinate system: "
            'cube.rio.write_crs("EPSG:28992")'
        )
    return 1.0


def grow(marked: xr.DataArray, width: float, margin: float) -> xr.DataArray:
    """Take away what is narrow, then widen the rest.

    Parameters
    ----------
    marked : xarray.DataArray, dims (…, y, x) in any order, bool
    width : float
        Patches in which no square of this width fits go, in pixels. Of the others only tips go
        that are farther than this from such a square.
    margin : float
        In pixels, between centres.

    Returns
    -------
    xarray.DataArray, bool
        Lazy if ``marked`` is.
    """
    maps = marked.transpose(..., "y", "x")
    square = math.ceil(round(width, 6))
    depth = 3 * square * (square > 1) + math.floor(margin)
    options = {"square": square, "margin": margin}
    if maps.chunks is None:
        grown = _grow_block(maps.values, **options)
    else:
        axes = (maps.ndim - 2, maps.ndim - 1)
        grown = over_borders(_grow_block, maps.data, depth, axes, bool, **options)
    return maps.copy(data=grown).transpose(*marked.dims)


def _grow_block(marked: np.ndarray, square: int, margin: float) -> np.ndarray:
    maps = np.ascontiguousarray(marked).reshape(-1, *marked.shape[-2:])
    if square > 1:
        maps = maps & _near(_open(maps, square), square)
    return (distance(maps, margin) <= margin if margin >= 1 else maps).reshape(marked.shape)


def _open(maps: np.ndarray, square: int) -> np.ndarray:
    """Keep the squares that are marked all over; what is beyond the edge may be."""
    known = (slice(None), slice(square, -square), slice(square, -square))
    wider = np.pad(maps, [(0, 0), (square, square), (square, square)], constant_values=True)
    corners = ndimage.minimum_filter(wider, (1, square, square))
    back = -1 if square % 2 == 0 else 0  # the window of an even size lies to one side
    return ndimage.maximum_filter(corners, (1, square, square), origin=(0, back, back))[known]


def _near(maps: np.ndarray, reach: int) -> np.ndarray:
    size = 2 * reach + 1
    return ndimage.maximum_filter(maps, size=(1, size, size), mode="constant", cval=0)


def over_borders(
    function: Callable, blocks: da.Array, depth: int, axes: tuple[int, ...], dtype, **options
) -> da.Array:
    """Run a function over blocks that see so many pixels of their neighbours."""
    depths = {axis: min(depth, blocks.shape[axis]) for axis in axes}
    return da.map_overlap(
        function, blocks, depth=depths, boundary="none", dtype=dtype,
        meta=np.empty((0,) * blocks.ndim, dtype), **options,
    )  # fmt: skip


def distance(marked: np.ndarray, reach: float) -> np.ndarray:
    """Give how far the nearest marked pixel of a map is.

    Parameters
    ----------
    marked : numpy.ndarray, shape (map, y, x), bool
    reach : float
        Farther than so many pixels counts as infinitely far.

    Returns
    -------
    numpy.ndarray, shape (map, y, x), float32
        In pixels, between centres; 0 on marked pixels, inf beyond reach.
    """
    reach = min(reach, _FARTHEST)
    squares = _squared_distance(np.ascontiguousarray(marked), math.floor(reach))
    return np.where(squares <= reach * reach, np.sqrt(squares, dtype="float32"), np.inf)


@numba.njit(nogil=True, cache=True)
def _squared_distance(marked, reach):
    """Combine the distances along rows, up to ``reach`` rows away (Meijster et al. 2000)."""
    steps, rows, cols = marked.shape
    far = np.int32(reach + 1)
    out = np.full(marked.shape, far * far, np.int32)
    squares = np.empty((rows, cols), np.int32)
    for t in range(steps):
        if not marked[t].any():
            continue
        for y in range(rows):
            _squared_gaps(marked[t, y], squares[y], far)
        for y in range(rows):
            target = out[t, y]
            for other in range(max(y - reach, 0), min(y + reach + 1, rows)):
                near, away = squares[other], np.int32((other - y) * (other - y))
                for x in range(cols):
                    target[x] = min(target[x], near[x] + away)
    return out


@numba.njit(nogil=True, cache=True)
def _squared_gaps(marked, out, far):
    """Give for each pixel of a row the squared distance to the nearest marked one in that row."""
    last = far
    for x in range(len(marked)):
        last = np.int32(0) if marked[x] else min(np.int32(last + 1), far)
        out[x] = last
    last = far
    for x in range(len(marked) - 1, -1, -1):
        last = np.int32(0) if marked[x] else min(np.int32(last + 1), far)
        least = min(out[x], last)
        out[x] = least * least
