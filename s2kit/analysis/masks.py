"""Which observations are clear: classes, probabilities, a margin around cloud and shadow."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Real

import dask.array as da
import numba
import numpy as np
import xarray as xr

from s2kit.analysis.inputs import read_mask, require_cube
from s2kit.errors import InvalidInputError

CLEAR = (4, 5, 6, 7)
"""Vegetation, bare soil, water, unclassified."""
SNOW = 11
CLOUDY = (3, 8, 9, 10)
"""Cloud shadow, cloud of medium and high probability, thin cirrus: what a margin is laid around."""

_CLASSES = 12


def clear_mask(
    cube: xr.Dataset,
    *,
    keep: Iterable[int] = CLEAR,
    snow: bool = False,
    max_cloud: float | None = None,
    max_snow: float | None = None,
    specks: float = 0,
    buffer: float = 0,
) -> xr.DataArray:
    """Tell which observations are clear.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` gives it, or a part of it; needs SCL.
    keep : iterable of int, default (4, 5, 6, 7)
        Classes of SCL that are clear: vegetation, bare soil, water, unclassified.
    snow : bool, default False
        Keep snow (class 11) too.
    max_cloud, max_snow : float, optional
        Largest probability of cloud (CLD) and snow (SNW) that is still clear, in %.
    specks : float, default 0
        Patches of cloud or shadow narrower than this, in metres, are taken for errors, such as
        bright roofs, and count as clear.
    buffer : float, default 0
        Nothing is clear within so many metres of cloud or shadow.

    Returns
    -------
    xarray.DataArray, dims (time, y, x), bool
        Lazy; True where clear. `clear_share` tells how much that is.

    Raises
    ------
    InvalidInputError
        If the cube lacks a layer that is needed, or an option cannot be.

    Notes
    -----
    Distances are between centres of pixels, exact, and the same across the borders of chunks.
    Specks are removed by a morphological opening with a disc of that width, before the buffer is
    laid; what is beyond the cube's edge is not known, and changes nothing.
    """
    needed = [n for n, v in {"CLD": max_cloud, "SNW": max_snow}.items() if v is not None]
    require_cube(cube, "SCL", *needed)
    classes = cube["SCL"]
    wanted = _read_classes(keep) | ({SNOW} if snow else set())
    clear = _lookup(classes, wanted)
    cloudy = _lookup(classes, set(CLOUDY) - wanted)
    if max_cloud is not None:
        above = cube["CLD"] > _percent("max_cloud", max_cloud)
        clear, cloudy = clear & ~above, cloudy | above
    width, margin = _read_distance("specks", specks), _read_distance("buffer", buffer)
    if width or margin:
        size = metres_per_pixel(cube)
        near = _grow(cloudy, width / 2 / size, margin / size)
        observed = _lookup(classes, set(range(1, _CLASSES)))
        mended = clear | (cloudy & observed) if width else clear
        clear = mended & ~near
    if max_snow is not None:
        clear = clear & ~(cube["SNW"] > _percent("max_snow", max_snow))
    return clear.rename("clear").assign_attrs(long_name="clear observation")


def mask_clouds(cube: xr.Dataset, clear: xr.DataArray | None = None) -> xr.Dataset:
    """Blank what is not clear.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
    clear : xarray.DataArray, bool, optional
        As `clear_mask` gives it, which is the default.

    Returns
    -------
    xarray.Dataset
        Lazy: the cube with NaN, or 0 for classes, where it is not clear.

    Raises
    ------
    InvalidInputError
        If the cube lacks SCL and no mask is given, or the mask does not fit the cube.
    """
    require_cube(cube)
    mask = clear_mask(cube) if clear is None else read_mask(clear, cube)
    layers = {}
    for name, layer in cube.data_vars.items():
        blank = np.nan if layer.dtype.kind == "f" else layer.dtype.type(0)
        layers[name] = layer.where(mask, blank) if set(mask.dims) <= set(layer.dims) else layer
        layers[name].encoding = layer.encoding
    return cube.assign(layers)


def clear_share(cube: xr.Dataset, clear: xr.DataArray | None = None) -> xr.DataArray:
    """Tell which share of the pixels with data a mask keeps, step by step.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        Needs SCL.
    clear : xarray.DataArray, bool, optional
        As `clear_mask` gives it, which is the default.

    Returns
    -------
    xarray.DataArray, dims (time,), float32, 0-1
        Lazy; NaN where a step has no data.

    Raises
    ------
    InvalidInputError
        If the cube lacks SCL, or the mask does not fit the cube.
    """
    require_cube(cube, "SCL")
    mask = clear_mask(cube) if clear is None else read_mask(clear, cube)
    space = [axis for axis in ("y", "x") if axis in mask.dims]
    seen = cube["SCL"] != 0
    number = seen.sum(space)
    share = ((mask & seen).sum(space) / number.where(number > 0)).astype("float32")
    attrs = {"long_name": "share of the pixels with data that is clear", "units": "1"}
    return share.rename("clear_share").assign_attrs(attrs)


def _read_classes(keep: Iterable[int]) -> set[int]:
    try:
        wanted = set(keep)
        if wanted and wanted <= set(range(1, _CLASSES)):
            return {int(number) for number in wanted}
    except TypeError:
        pass
    raise InvalidInputError(
        f"keep={keep!r} does not list classes of SCL; give numbers from 1 to 11, such as "
        f"{CLEAR} (vegetation, bare soil, water, unclassified)"
    )


def _percent(name: str, value: float) -> np.float32:
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= value <= 100:
        return np.float32(value)
    raise InvalidInputError(f"{name}={value!r} is not a probability; give 0 to 100 %")


def _read_distance(name: str, value: float) -> float:
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise InvalidInputError(f"{name}={value!r} is not a distance; give metres, such as 60, or 0")


def _lookup(classes: xr.DataArray, wanted: Iterable[int]) -> xr.DataArray:
    found = xr.apply_ufunc(is_class(wanted), classes, dask="parallelized", output_dtypes=[bool])
    return found.drop_attrs(deep=False)


def is_class(wanted: Iterable[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Give the function that tells which values of an array, uint8, are among those wanted."""
    return partial(_look_up, table=np.isin(np.arange(256), list(wanted)))


def _look_up(classes: np.ndarray, table: np.ndarray) -> np.ndarray:
    return _take(np.ascontiguousarray(classes).ravel(), table).reshape(classes.shape)


@numba.njit(nogil=True, cache=True)
def _take(classes, table):
    """Do as ``table[classes]``, five times faster."""
    out = np.empty(len(classes), np.bool_)
    for i in range(len(classes)):
        out[i] = table[classes[i]]
    return out


def metres_per_pixel(cube: xr.Dataset) -> float:
    """Give the width of a pixel, in metres.

    Raises
    ------
    InvalidInputError
        If there is no map of square pixels side by side, or it is in degrees.
    """
    steps = np.concatenate([np.abs(np.diff(np.atleast_1d(cube[axis].values))) for axis in "yx"])
    if not {"y", "x"} <= set(cube.dims) or not len(steps):
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
    unit = cube["x"].attrs.get("units", "metre")
    if unit.startswith("degree"):
        raise InvalidInputError(
            "distances are in metres, the cube is in degrees; build it in a projected "
            "coordinate system, such as 'EPSG:28992'"
        )
    return {"m": 1.0, "metre": 1.0, "meter": 1.0, "US survey foot": 1200 / 3937}.get(unit, 1.0)


def _grow(cloudy: xr.DataArray, radius: float, margin: float) -> xr.DataArray:
    """Open with a disc of a radius, then widen by a margin, in pixels."""
    depth = math.floor(radius) * 2 + math.floor(margin)
    axes = {axis: cloudy.get_axis_num(axis) for axis in ("y", "x")}
    if cloudy.chunks is None:
        return cloudy.copy(data=_grow_block(cloudy.values, radius, margin))
    grown = over_borders(
        _grow_block, cloudy.data, depth, tuple(axes.values()), bool, radius=radius, margin=margin
    )
    return cloudy.copy(data=grown)


def over_borders(
    function: Callable, blocks: da.Array, depth: int, axes: tuple[int, ...], dtype, **options
) -> da.Array:
    """Run a function over blocks that see so many pixels of their neighbours."""
    depths = {axis: min(depth, blocks.shape[axis]) for axis in axes}
    return da.map_overlap(
        function, blocks, depth=depths, boundary="none", dtype=dtype,
        meta=np.empty((0,) * blocks.ndim, dtype), **options,
    )  # fmt: skip


def _grow_block(cloudy: np.ndarray, radius: float, margin: float) -> np.ndarray:
    maps = np.ascontiguousarray(cloudy).reshape(-1, *cloudy.shape[-2:])
    if radius >= 1:
        core = distance(~maps, radius) > radius
        maps = distance(core, radius) <= radius
    return (distance(maps, margin) <= margin if margin >= 1 else maps).reshape(cloudy.shape)


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
    squares = _squared_distance(np.ascontiguousarray(marked), math.floor(reach))
    return np.where(squares <= reach * reach, np.sqrt(squares, dtype="float32"), np.inf)


@numba.njit(nogil=True, cache=True)
def _squared_distance(marked, reach):
    """Combine the distances along rows, up to ``reach`` rows away (Meijster et al. 2000)."""
    steps, rows, cols = marked.shape
    far = np.int32(rows + cols + reach)
    out = np.full(marked.shape, far * far, np.int32)
    squares = np.empty((rows, cols), np.int32)
    for t in range(steps):
        if not marked[t].any():
            continue
        for y in range(rows):
            _squared_gaps(marked[t, y], squares[y], min(far, np.int32(32767)))
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
