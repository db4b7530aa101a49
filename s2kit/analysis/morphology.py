"""Margins around marked pixels, and removal of small patches: morphology in metres."""

import math
from functools import partial

import numpy as np
import xarray as xr
from scipy import ndimage

from s2kit.analysis.blocks import map_overlap
from s2kit.analysis.kernels.distance import distance
from s2kit.errors import InvalidInputError


def metres_per_pixel(cube: xr.Dataset) -> float:
    """Return the width of a pixel, in metres.

    Raises
    ------
    InvalidInputError
        If there is no map of square pixels side by side, or it is in degrees.
    """
    known = {"y", "x"} <= set(cube.dims) & set(cube.coords)
    axes = [cube[axis].values for axis in "yx"] if known else [np.empty(0)]
    steps = np.concatenate([np.abs(np.diff(axis)) for axis in axes])
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
    crs, unit = cube.rio.crs, str(cube["x"].attrs.get("units", "metre"))
    if crs.is_geographic if crs else unit.startswith("degree"):
        raise InvalidInputError(
            "distances are in metres, the cube is in degrees; build it in a projected "
            "coordinate system, such as that of the UTM zone"
        )
    if crs:
        return float(steps[0]) * float(crs.linear_units_factor[1])
    if unit not in ("m", "metre", "meter", "metres", "meters"):
        raise InvalidInputError(
            f"distances are in metres, x is in {unit!r}; state the coordinate system: "
            'cube.rio.write_crs("EPSG:28992")'
        )
    return float(steps[0])


def grow(marked: xr.DataArray, width: float, margin: float) -> xr.DataArray:
    """Remove what is narrow, then widen the rest.

    Parameters
    ----------
    marked : xarray.DataArray, dims (…, y, x) in any order, bool
    width : float
        In pixels. Patches in which no square of this width fits are removed; of the others only
        tips that are farther than this from such a square.
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
    block = partial(_grow_block, square=square, margin=margin)
    lazy = maps.chunks is not None
    grown = map_overlap(block, maps.data, depth, "bool") if lazy else block(maps.values)
    return maps.copy(data=grown).transpose(*marked.dims)


def _grow_block(marked: np.ndarray, square: int, margin: float) -> np.ndarray:
    maps = np.ascontiguousarray(marked).reshape(-1, *marked.shape[-2:])
    if square > 1:
        size = 2 * square + 1  # of the square around each pixel of an opened patch
        opened = _open(maps, square)
        maps = maps & ndimage.maximum_filter(opened, (1, size, size), mode="constant", cval=0)
    return (distance(maps, margin) <= margin if margin >= 1 else maps).reshape(marked.shape)


def _open(maps: np.ndarray, square: int) -> np.ndarray:
    """Keep squares that are marked all over, of which a part may lie beyond the edge."""
    known = (slice(None), slice(square, -square), slice(square, -square))
    wider = np.pad(maps, [(0, 0), (square, square), (square, square)], constant_values=True)
    corners = ndimage.minimum_filter(wider, (1, square, square))
    back = -1 if square % 2 == 0 else 0  # the window of an even size lies to one side
    return ndimage.maximum_filter(corners, (1, square, square), origin=(0, back, back))[known]
