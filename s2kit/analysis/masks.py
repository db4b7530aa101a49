"""Masks of clear observations: classes, cloud probability, a margin around cloud and shadow."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Real

import numpy as np
import xarray as xr

from s2kit.analysis.kernels.moments import class_bits, find_classes
from s2kit.analysis.morphology import grow, metres_per_pixel
from s2kit.analysis.validation import read_cube, read_mask
from s2kit.cube.nodata import fill_of, has_data
from s2kit.errors import InvalidInputError

CLEAR = (4, 5, 6, 7)
"""Vegetation, bare soil, water, unclassified, of Sen2Cor's scene classification."""
SNOW = 11
CLOUDY = (3, 8, 9, 10)
"""Cloud shadow, cloud of medium and high probability, thin cirrus: a margin surrounds these."""

_CLASSES = 12


def clear_mask(
    cube: xr.Dataset,
    *,
    keep: Iterable[int] = CLEAR,
    snow: bool = False,
    max_cloud: float | None = None,
    specks: float = 0,
    buffer: float = 0,
) -> xr.DataArray:
    """Return which observations are clear.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, or a part of it; needs SCL.
    keep : iterable of int, default (4, 5, 6, 7)
        Classes of SCL that are clear: vegetation, bare soil, water, unclassified.
    snow : bool, default False
        Keep snow (class 11) too.
    max_cloud : float, optional
        Largest probability of cloud (CLD) that is still clear, in %.
    specks : float, default 0
        Width in metres: patches of cloud or shadow in which no square of this width fits are
        taken for errors, such as bright roofs, and count as clear.
    buffer : float, default 0
        Distance from cloud or shadow, in metres, within which nothing is clear.

    Returns
    -------
    xarray.DataArray, dims (time, y, x), bool
        Lazy; True where clear. `clear_share` computes how much that is.

    Raises
    ------
    InvalidInputError
        If the cube lacks a layer that is needed, or an option cannot be used.

    Notes
    -----
    Distances are between centres of pixels, exact, and the same across the borders of chunks.
    Specks are removed before the buffer is added, by a morphological opening with a square; cloud
    and shadow within the square's width of the opened patches are kept. What lies beyond the cube's
    edge is unknown, and has no effect.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> clear = s2kit.clear_mask(cube, buffer=60)
    >>> clear.dims, clear.dtype
    (('time', 'y', 'x'), dtype('bool'))
    """
    cube = read_cube(cube, "SCL", *(["CLD"] if max_cloud is not None else []))
    wanted = _read_classes(keep) | ({SNOW} if snow else set())
    clear = _lookup(cube["SCL"], wanted)
    cloudy = _lookup(cube["SCL"], set(CLOUDY) - wanted)
    doubtful = cloudy
    if max_cloud is not None:
        highest = _read_number("max_cloud", max_cloud, 100, "a probability; give 0 to 100 %")
        above = cube["CLD"] > np.float32(highest)
        doubtful = cloudy | (clear & above)  # what would be clear if it were no cloud
        clear, cloudy = clear & ~above, cloudy | above
    distance = sys.float_info.max, "a distance; give metres, such as 60, or 0"
    width = _read_number("specks", specks, *distance)
    margin = _read_number("buffer", buffer, *distance)
    if width or margin:
        size = metres_per_pixel(cube)
        near = grow(cloudy, width / size, margin / size)
        clear = ((clear | doubtful) if width else clear) & ~near
    return clear.rename("clear").assign_attrs(long_name="clear observation")


def read_clear(cube: xr.Dataset, clear: xr.DataArray | None) -> xr.DataArray:
    """Return the mask that was given, as `read_mask` checks it, or `clear_mask` of the cube."""
    return clear_mask(cube) if clear is None else read_mask(clear, cube)


def mask_clouds(cube: xr.Dataset, clear: xr.DataArray | None = None) -> xr.Dataset:
    """Replace what is not clear by no data.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, or a part of it.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations are kept; by default `clear_mask` of the cube.

    Returns
    -------
    xarray.Dataset, dims (time, y, x)
        Lazy: the cube with no data where it is not clear: NaN, for whole numbers what they
        declare (0 for classes); whole numbers that declare nothing become floats.

    Raises
    ------
    InvalidInputError
        If the cube lacks SCL and no mask is given, or the mask does not fit the cube.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> masked = s2kit.mask_clouds(cube[["B04", "B08", "SCL"]])
    >>> bool(masked.B04.isel(time=0).isnull().any())
    True
    """
    read_cube(cube)
    mask = read_clear(cube, clear)
    layers = {name: _blanked(layer, mask) for name, layer in cube.data_vars.items()}
    return cube.assign(layers)


def _blanked(layer: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
    if not set(mask.dims) <= set(layer.dims):
        return layer
    blank = False if layer.dtype == bool else fill_of(layer)
    found = layer.where(mask) if blank is None else layer.where(mask, blank)
    found.encoding = layer.encoding if found.dtype == layer.dtype else {}
    return found


def clear_share(cube: xr.Dataset, clear: xr.DataArray | None = None) -> xr.DataArray:
    """Compute the share of the pixels with data that a mask keeps, at each step.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, or a part of it; needs SCL.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations are clear; by default `clear_mask` of the cube.

    Returns
    -------
    xarray.DataArray, dims (time,), float32, 0-1
        Lazy; NaN where a step has no data.

    Raises
    ------
    InvalidInputError
        If the cube lacks SCL, or the mask does not fit the cube.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").sel(time=slice("2021-06", "2021-08"))
    >>> share = s2kit.clear_share(cube)
    >>> share.sizes["time"], round(float(share.max()), 2)
    (10, 1.0)
    """
    cube = read_cube(cube, "SCL")
    mask = read_clear(cube, clear)
    space = [axis for axis in ("y", "x") if axis in mask.dims]
    seen = has_data(cube["SCL"])
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


def _read_number(name: str, value: float, most: float, wanted: str) -> float:
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    raise InvalidInputError(f"{name}={value!r} is not {wanted}")


def _lookup(classes: xr.DataArray, wanted: Iterable[int]) -> xr.DataArray:
    found = xr.apply_ufunc(is_class(wanted), classes, dask="parallelized", output_dtypes=[bool])
    return found.drop_attrs(deep=False)


def is_class(wanted: Iterable[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of an array, uint8, that returns where it holds one of these classes."""
    return partial(find_classes, bits=class_bits(wanted))
