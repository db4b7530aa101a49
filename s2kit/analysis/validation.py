"""Validation of what the analyses take: cubes, periods, masks and numbers."""

from datetime import date, datetime
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from s2kit.cube.nodata import readable
from s2kit.errors import InvalidInputError
from s2kit.grid import require_pixels
from s2kit.scenes.period import read_period

Moment = str | date | datetime
Data = TypeVar("Data", xr.Dataset, xr.DataArray)

MOST_DAYS = 36_525
"""A century: longer steps and series are mistakes."""

_EARLIEST, _LATEST = "1970-01-01", "2200-12-31"


def read_cube(cube: Any, *layers: str) -> xr.Dataset:
    """Return a cube with the layers that are asked for in physical values, SCL as classes.

    Parameters
    ----------
    cube : xarray.Dataset
        As `s2kit.open_cube` returns it, or any other with layers of these names.
    *layers : str
        Those that are used; only they are checked.

    Returns
    -------
    xarray.Dataset
        The cube itself where nothing is to be decoded; see `s2kit.cube.nodata`.

    Raises
    ------
    InvalidInputError
        If it is no cube, has no pixels, lacks a layer, or a layer cannot be used.
    """
    if not isinstance(cube, xr.Dataset):
        raise InvalidInputError(
            f"cube is a {type(cube).__name__}; give the xarray.Dataset that s2kit.open_cube "
            "returns, or a part of it"
        )
    require_pixels(cube)
    missing = [name for name in layers if name not in cube.data_vars]
    if missing:
        raise InvalidInputError(
            f"the cube has no {', '.join(missing)}; it has "
            f"{', '.join(map(str, cube.data_vars)) or 'no layers'}. Keep what is needed when you "
            "choose layers, and name it in `bands` when you build the cube"
        )
    return readable(cube, layers)


def in_order(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube in order of time; raise `InvalidInputError` if its steps have no dates."""
    _require_dates(cube)
    return cube if cube.indexes["time"].is_monotonic_increasing else cube.sortby("time")


def take_steps(data: Data, steps: np.ndarray) -> Data:
    """Return the steps where ``steps``, shape (time,), is True."""
    if steps.all():
        return data
    places = np.flatnonzero(steps)
    run = slice(places[0], places[-1] + 1)
    # as a slice if it is one, so that Dask need not gather them
    return data.isel(time=run if len(places) == run.stop - run.start else places)


def steps_in_period(cube: xr.Dataset, start: Moment | None, end: Moment | None) -> np.ndarray:
    """Return which steps of a cube lie in a period, shape (time,), bool; None leaves a side open.

    Raises
    ------
    InvalidInputError
        If the cube has no time, or nothing in the period.
    """
    _require_dates(cube)
    times = cube.time.values
    period = read_period(_EARLIEST if start is None else start, _LATEST if end is None else end)
    begin, stop = (moment.replace(tzinfo=None) for moment in (period.first, period.last))
    inside = (times >= np.datetime64(begin)) & (times <= np.datetime64(stop))
    if not inside.any():
        raise InvalidInputError(
            f"the cube has no steps from {start or 'its beginning'} to {end or 'its end'}; it runs "
            f"from {times.min():.10} to {times.max():.10}"
        )
    return inside


def _require_dates(cube: xr.Dataset) -> None:
    if "time" not in cube.dims:
        raise InvalidInputError(
            "the cube has no dimension time; select a part with more than one step: "
            "cube.isel(time=[3]) keeps the dimension, cube.isel(time=3) does not"
        )
    times = cube.time.values
    if not len(times):
        raise InvalidInputError("the cube has no steps left; take a longer period")
    if "time" not in cube.coords or times.dtype.kind != "M" or np.isnat(times).any():
        raise InvalidInputError(
            "the cube's steps have no dates; keep the coordinate time that s2kit.open_cube gives"
        )


def read_mask(mask: Any, cube: xr.Dataset) -> xr.DataArray:
    """Check that a mask fits a cube, and return it on the cube's coordinates.

    Raises
    ------
    InvalidInputError
        If it is not boolean, or lies on other pixels or lacks steps.
    """
    if not isinstance(mask, xr.DataArray) or mask.dtype != bool:
        kind = mask.dtype if isinstance(mask, xr.DataArray) else f"a {type(mask).__name__}"
        raise InvalidInputError(
            f"clear is {kind}; give a boolean xarray.DataArray, such as s2kit.clear_mask(cube)"
        )
    wanted = {name: cube.sizes[name] for name in ("time", "y", "x") if name in cube.dims}
    if set(mask.dims) != set(wanted):
        raise InvalidInputError(
            f"clear has the dimensions {dict(mask.sizes)}, the cube {wanted}; make the mask from "
            "the same part of the cube"
        )
    for name, size in wanted.items():
        if name in mask.coords and name in cube.coords:
            own, theirs = mask[name].values, cube[name].values
            fits, same = bool(np.isin(theirs, own).all()), np.array_equal(own, theirs)
        else:
            fits = same = mask.sizes[name] == size
        if not fits:
            raise InvalidInputError(
                f"clear is {mask.sizes[name]} along {name}, the cube {size}, or its coordinates "
                "are others; make the mask from the same part of the cube"
            )
        if not same:
            if len(np.unique(own)) < len(own):
                raise InvalidInputError(
                    f"the mask has the same {name} more than once; make it from the same part of "
                    "the cube"
                )
            mask = mask.set_xindex(name) if name not in mask.indexes else mask
            mask = mask.sel({name: theirs})
    return mask.transpose(*wanted)


def require_whole(name: str, value: Any, least: int, most: int = 2**31 - 1) -> None:
    """Raise `InvalidInputError` unless a value is a whole number between two others."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise InvalidInputError(f"{name}={value!r}: give a whole number from {least} to {most}")
