"""What no data is and what is packed, in data of any origin: every analysis and viewer asks here.

A value of no data may be declared in the attributes or in the encoding, under several names, by
xarray (CF), rioxarray, odc-geo or GDAL; layers called as those of a cube have one of their own.
Packed data state a scale and an offset. What leaves this module are physical values with NaN, or
classes (uint8) with 0 or 255, for no data.
"""

from collections.abc import Hashable, Iterable, Mapping
from functools import partial, reduce
from numbers import Integral
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (gives xarray its .rio)
import xarray as xr

from s2kit.cube.layers import LAYER_SPECS
from s2kit.errors import InvalidInputError
from s2kit.scenes.radiometry import BANDS, SCALES

_DECLARED = ("fillvalue", "nodata", "missingvalue", "nodatavals", "nodatavalue", "nodatavalues")
"""Attributes that state a value of no data, without underscores and in small letters: CF (and
xarray), odc-geo and GDAL, older CF, rasterio, ESRI, GDAL's metadata."""

PACKED = ("scale_factor", "add_offset")
"""Attributes of packed data (CF): physical value = number × scale_factor + add_offset."""

NO_CLASS_NAMES = ("", "no_data", "nodata")
"""Names in ``flag_meanings`` that stand for no class."""

_NO_CLASS = (0.0, 255.0)
"""Numbers in SCL that are no class: no data of Sen2Cor, and what libraries fill bytes with."""

_CLASSES = "SCL"
_MEASURED_IN_COUNTS = tuple(name for name, scale in SCALES.items() if scale != 1)
"""Layers whose whole numbers mean nothing without a scale."""


def declares_nodata(name: Hashable) -> bool:
    """Return whether an attribute of this name states a value of no data."""
    return str(name).replace("_", "").casefold() in _DECLARED


def declared_nodata(layer: xr.DataArray, *, whole: bool | None = None) -> tuple[float, ...]:
    """Return the values that mean no data in a layer; NaN always does, and is not among them.

    Parameters
    ----------
    layer : xarray.DataArray
        Any numbers. The encoding of floats is not read: it says how they are to be stored;
        what is declared for classes (with ``flag_values``) does not hold for floats made of them.
    whole : bool, optional
        Whether its values are whole numbers, even if they are floats; by default those of its type.

    Returns
    -------
    tuple of float
        What the layer states, and then what a layer of a cube of that name has when it is stored.
        0 for reflectances in unsigned numbers that state nothing: so it is in Level-2A products.
    """
    if layer.dtype.kind not in "iuf":
        return ()
    whole = layer.dtype.kind in "iu" if whole is None else whole
    stated: list[Any] = []
    if whole or "flag_values" not in layer.attrs:
        stated += [value for name, value in layer.attrs.items() if declares_nodata(name)]
        stated.append(_of_rioxarray(layer))
    if whole:
        stated += [value for name, value in layer.encoding.items() if declares_nodata(name)]
        if layer.name in LAYER_SPECS:
            stated.append(LAYER_SPECS[layer.name].nodata)
    found = tuple(dict.fromkeys(number for value in stated for number in _numbers(value)))
    if layer.name in BANDS and layer.dtype.kind == "u" and not _in_type(found, layer.dtype):
        return (*found, 0)
    return found


def _of_rioxarray(layer: xr.DataArray) -> float | None:
    """Return what ``rio.set_nodata`` keeps beside the attributes."""
    try:
        return layer.rio.nodata
    except (OverflowError, ValueError, TypeError):  # no value of this type: no pixel can have it
        return None


def _numbers(stated: Any) -> Iterable[float]:
    """Read what is stated: a number, several, or text that is one."""
    if stated is None or stated is False:
        return
    for one in np.ravel(np.asarray(stated, dtype=object)):
        try:
            value = int(one) if isinstance(one, Integral) else float(one)
        except (TypeError, ValueError):
            continue
        if isinstance(value, int) or np.isfinite(value):
            yield value


def without_encoding(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes without those of how values are stored: no data, scale, offset."""
    return {n: v for n, v in attributes.items() if not declares_nodata(n) and n not in PACKED}


def with_attribute(layer: xr.DataArray) -> xr.DataArray:
    """Return a layer whose attributes declare its no data, which stay when others do not."""
    marks = declared_nodata(layer)
    return layer.assign_attrs(nodata=list(marks)) if marks else layer


def packing(layer: xr.DataArray) -> tuple[float, float]:
    """Return scale and offset that are still to be applied: those in the attributes.

    Raises
    ------
    InvalidInputError
        If one is no number, or if it is not known whether it was applied to floats already:
        xarray keeps attributes when it calculates.
    """
    found: list[float] = []
    for name, none in zip(PACKED, (1.0, 0.0), strict=True):
        stated = layer.attrs.get(name, none)
        values = list(_numbers(stated))
        if len(values) != 1:
            raise InvalidInputError(
                f"{layer.name} states {name}={stated!r}, which is no number; correct the attribute"
            )
        found.append(values[0])
    # Floats with an encoding of whole numbers are packed ones as rioxarray reads them with
    # ``masked=True``; what is calculated from them has no encoding.
    stored = np.dtype(layer.encoding.get("dtype", layer.dtype)).kind
    if layer.dtype.kind == "f" and stored not in "iu" and found != [1, 0]:
        stated = ", ".join(f"{name}={layer.attrs[name]}" for name in PACKED if name in layer.attrs)
        raise InvalidInputError(
            f"{layer.name} is {layer.dtype} and states {stated}; whether its values are those "
            "before or after that is not known. If they are physical values, say so: "
            f"del layer.attrs['{next(name for name in PACKED if name in layer.attrs)}']; if not, "
            "calculate them first"
        )
    return found[0], found[1]


def has_data(layer: xr.DataArray) -> xr.DataArray:
    """Return where a layer has data, bool; lazy if the layer is."""
    scl = layer.name == _CLASSES and layer.dtype.kind in "iu"
    marks = (*declared_nodata(layer), *(_NO_CLASS if scl else ()))
    return _apply(partial(_known, marks=marks), layer, np.dtype(bool)).drop_attrs(deep=False)


def physical(layer: xr.DataArray) -> xr.DataArray:
    """Return a layer in physical values, with NaN for no data.

    Parameters
    ----------
    layer : xarray.DataArray
        Numbers of any type, packed or not, with no data declared in any way.

    Returns
    -------
    xarray.DataArray
        The layer itself where nothing is to be done: floats without declared no data, and whole
        numbers that have neither no data nor a scale. Otherwise float32, or float64 where the
        layer needs it; lazy if the layer is, its attributes without what was applied.

    Raises
    ------
    InvalidInputError
        If scale or offset is no number.
    """
    if layer.dtype.kind not in "iuf":
        return layer
    if layer.dtype.kind == "f" and not (layer.dtype.isnative and layer.dtype.itemsize >= 4):
        layer = layer.astype(np.result_type(layer.dtype.newbyteorder("="), "float32"))
    marks, (scale, offset) = declared_nodata(layer), packing(layer)
    if not marks and (scale, offset) == (1, 0):
        return layer
    dtype = np.result_type(layer.dtype, "float32")
    unpack = partial(_unpack, marks=marks, scale=scale, offset=offset, dtype=dtype)
    found = _apply(unpack, layer, dtype)
    found.attrs = without_encoding(layer.attrs)
    kept = ("grid_mapping", "units", "calendar")
    found.encoding = {name: v for name, v in layer.encoding.items() if name in kept}
    return found


def classes(layer: xr.DataArray) -> xr.DataArray:
    """Return the scene classification as uint8, with 0 or 255 for no data.

    Parameters
    ----------
    layer : xarray.DataArray
        Whole numbers of any type; floats too, with NaN for no data, as plain xarray reads them.

    Returns
    -------
    xarray.DataArray, uint8
        The layer itself where it is such. Lazy if the layer is; a class that is no whole number
        is then refused when it is computed.

    Raises
    ------
    InvalidInputError
        If classes are blended, or are no numbers.
    """
    if layer.dtype.kind not in "iuf":
        raise InvalidInputError(f"{layer.name} is {layer.dtype}; classes are whole numbers")
    marks = declared_nodata(layer, whole=True)
    if layer.dtype == "uint8" and set(marks) <= set(_NO_CLASS):
        return layer
    found = _apply(partial(_as_classes, marks=marks, name=layer.name), layer, np.dtype("uint8"))
    found.attrs = without_encoding(layer.attrs)
    return found


def fill_of(layer: xr.DataArray) -> Any:
    """Return what stands for no data in a layer: NaN, a declared value, 0 for classes.

    Returns
    -------
    float, int or None
        None for whole numbers and bool without one.
    """
    if layer.dtype.kind == "f":
        return np.nan
    if layer.dtype.kind not in "iu":
        return None
    marks = _in_type(declared_nodata(layer), layer.dtype)
    return marks[0] if marks else None


def readable(cube: xr.Dataset, names: Iterable[Hashable]) -> xr.Dataset:
    """Return a cube with some of its layers in physical values, and SCL as classes.

    Parameters
    ----------
    cube : xarray.Dataset
    names : iterable of str
        Layers that are used; the others stay as they are, and are not judged.

    Returns
    -------
    xarray.Dataset
        The cube itself where nothing is to be done.

    Raises
    ------
    InvalidInputError
        If a layer cannot be read, or is in counts whose scale is not stated.
    """
    changed = {}
    for name in names:
        layer = cube[name]
        found = classes(layer) if name == _CLASSES else physical(layer)
        whole = found.dtype.kind != "f"
        counts = whole or (layer.dtype.kind in "iu" and packing(layer) == (1, 0))
        if (name in _MEASURED_IN_COUNTS and counts) or found.dtype.kind not in "iufb":
            raise InvalidInputError(
                f"{name} is {layer.dtype} without a scale; give physical values, as "
                "s2kit.open_cube does, or state the scale: for reflectance in counts of 0.0001, "
                f"cube['{name}'].attrs['scale_factor'] = 1e-4"
            )
        if found is not layer:
            changed[name] = found
    return cube.assign(changed) if changed else cube


def _apply(function: Any, layer: xr.DataArray, dtype: np.dtype) -> xr.DataArray:
    """Apply a function of blocks; what was not read yet stays so.

    By ``map_blocks``, which dask joins with what is done before and after; xarray's
    ``dask="parallelized"`` is a task more for each block.
    """
    lazy = layer.chunks is None and not isinstance(layer.variable._data, np.ndarray)
    given = layer.chunk("auto") if lazy else layer
    if given.chunks is None:
        return xr.apply_ufunc(function, given, keep_attrs=True)
    return given.copy(data=given.data.map_blocks(function, dtype=dtype))


def _known(values: np.ndarray, marks: tuple[float, ...]) -> np.ndarray:
    tests = [values != mark for mark in _in_type(marks, values.dtype)]
    if values.dtype.kind == "f":
        tests.append(~np.isnan(values))
    return reduce(np.logical_and, tests) if tests else np.ones(values.shape, bool)


def _in_type(marks: Iterable[float], dtype: np.dtype) -> list[Any]:
    """Return marks in the type of values: −3.4e38 of float32 is no float64, −9999 no uint8."""
    if dtype.kind not in "iu":
        return [dtype.type(mark) for mark in marks]
    limits = np.iinfo(dtype)
    return [
        dtype.type(int(mark))
        for mark in marks
        if mark == int(mark) and limits.min <= mark <= limits.max
    ]


def _unpack(
    values: np.ndarray, marks: tuple[float, ...], scale: float, offset: float, dtype: np.dtype
) -> np.ndarray:
    found = values.astype(dtype)
    if (scale, offset) != (1, 0):
        found = found * dtype.type(scale) + dtype.type(offset)
    return np.where(_known(values, marks), found, dtype.type(np.nan))


def _as_classes(values: np.ndarray, marks: tuple[float, ...], name: Hashable) -> np.ndarray:
    known = _known(values, marks) & (values >= 0) & (values < 255)
    found = np.where(known, values, 0).astype("uint8")
    if values.dtype.kind == "f" and (found != values)[known].any():
        raise InvalidInputError(
            f"{name} holds {values[known & (found != values)].flat[0]:g}, which is no class: "
            "classes were averaged or interpolated on the way. Take them from the cube before "
            "that, or resample them by nearest neighbour or by the most frequent class"
        )
    return found
