"""A small cube for each student, so that an answer copied from another one does not fit."""

import hashlib
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from s2kit.analysis.fields import Fields, read_fields
from s2kit.analysis.indices import index
from s2kit.analysis.masks import CLEAR, clear_mask
from s2kit.cube.open import open_cube
from s2kit.errors import InvalidInputError

LAYERS = ("B02", "B03", "B04", "B08", "B11", "SCL")
"""What a student's cube holds by default, where the class's cube has it."""

_LAND = (4, 5)
"""Vegetation and bare soil in SCL."""
_LEAST_LAND = 0.5
"""Share of the clear observations of a window that must be land."""
_MOSTLY = 0.9
"""Share of the clear observations of a pixel of land that must be land."""
_PLACES = 12
"""Windows that are tried; a window of water or outside the swath teaches nothing."""
_WHOLE = 0.99
"""Share of the window that an overpass must have observed."""


def student_cube(
    store: str | os.PathLike,
    student: str | int,
    *,
    year: int,
    size: int = 128,
    dates: int = 24,
    around: Fields | None = None,
    layers: Iterable[str] = LAYERS,
) -> xr.Dataset:
    """Return a window of the class's cube whose place and dates follow from a student's number.

    Parameters
    ----------
    store : str or path
        The class's cube, as `s2kit.open_cube` takes it.
    student : str or int
        The student's number; spaces around it and capitals do not count.
    year : int
        The dates are from this year. Take one that is complete in the cube: a date that is added
        to it later may change which are chosen.
    size : int, default 128
        Pixels along each side.
    dates : int, default 24
        Overpasses at most. Each of them saw the whole window, clear or not.
    around : str, path or geopandas.GeoDataFrame, optional
        Fields, as `s2kit.read_fields` takes them: the window's middle lies in one of them.
    layers : iterable of str
        Those among them that the cube has.

    Returns
    -------
    xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, in memory. The same number gives the same cube on every
        machine.

    Raises
    ------
    InvalidInputError
        If there is no number yet, or the cube has no overpass in that year, or none that saw a
        window as a whole.
    CubeError
        If there is no cube at that place.

    Examples
    --------
    >>> cube = s2kit.course.student_cube("data/cube.zarr", "s1234567", year=2022)
    >>> dict(cube.sizes)
    {'time': 24, 'y': 128, 'x': 128}
    """
    number = normal_number(student)
    cube = open_cube(store, dask=False)
    of_year = (cube.time.dt.year == year).values
    if not of_year.any():
        years = np.unique(cube.time.dt.year).tolist()
        raise InvalidInputError(f"the cube has nothing in year={year}; it has the years {years}")
    cube = cube.isel(time=np.flatnonzero(of_year))
    random = np.random.default_rng(list(hashlib.sha256(number.encode()).digest()))
    middles = None if around is None else _middles(around, cube)
    window, classes = _find_window(cube, random, size, middles)
    seen = np.flatnonzero((classes != 0).mean(axis=(1, 2)) >= _WHOLE)
    if not seen.size:
        raise InvalidInputError(
            f"no overpass of {year} saw a window of {size} × {size} pixels as a whole; "
            "take a smaller size or another year"
        )
    chosen = np.sort(random.permutation(seen)[:dates])
    names = [name for name in layers if name in cube.data_vars]
    return cube[names].isel(window).isel(time=chosen).load()


def normal_number(student: Any) -> str:
    """Return a student's number as it is compared: without spaces around it, in small letters.

    Raises
    ------
    InvalidInputError
        If it is empty, or neither text nor a whole number.
    """
    if isinstance(student, bool) or not isinstance(student, str | int) or not str(student).strip():
        raise InvalidInputError(
            f"student={student!r} is not a student number. Write yours, as text in quotes: "
            'student = "s1234567"'
        )
    return str(student).strip().casefold()


def _middles(around: Fields, cube: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the row and the column of a pixel in each field."""
    points = read_fields(around, cube).representative_point()
    places = {"y": points.y.to_numpy(), "x": points.x.to_numpy()}
    return {
        axis: abs(cube[axis].values[np.newaxis] - at[:, np.newaxis]).argmin(axis=1)
        for axis, at in places.items()
    }


def _find_window(
    cube: xr.Dataset,
    random: np.random.Generator,
    size: int,
    middles: dict[str, np.ndarray] | None,
) -> tuple[dict[str, slice], np.ndarray]:
    """Return the first window with enough land, or the one with most, and its classes."""
    best: tuple[dict[str, slice], np.ndarray] = {}, np.empty(0)
    most = -1.0
    for _ in range(_PLACES):
        last = {axis: max(cube.sizes[axis] - size, 0) for axis in ("y", "x")}
        if middles is None:
            first = {axis: int(random.integers(last[axis] + 1)) for axis in last}
        else:
            field = int(random.integers(len(middles["y"])))
            first = {axis: int(middles[axis][field]) - size // 2 for axis in last}
            first = {axis: min(max(at, 0), last[axis]) for axis, at in first.items()}
        window = {axis: slice(at, at + size) for axis, at in first.items()}
        classes = cube["SCL"].isel(window).values
        clear = np.isin(classes, CLEAR)
        land = float(np.isin(classes[clear], _LAND).mean()) if clear.any() else 0.0
        if land > most:
            best, most = (window, classes), land
        if land >= _LEAST_LAND:
            break
    return best


def changing_place(cube: xr.Dataset, *, size: int = 5) -> xr.Dataset:
    """Return the square of land on which the NDVI changes most over the dates of a cube.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        In memory, with B04, B08 and SCL.
    size : int, default 5
        Pixels along each side, an odd number.

    Returns
    -------
    xarray.Dataset, dims (time, y, x)
        The part of the cube.
    """
    clear = clear_mask(cube)
    seen = clear.sum("time")
    land = (cube["SCL"].isin(_LAND).sum("time") >= _MOSTLY * seen) & (seen > 0)
    spread = index(cube, "NDVI").where(clear & land).std("time")
    smooth = spread.rolling(y=size, x=size, center=True).mean()
    middle = smooth.fillna(-1).argmax(["y", "x"])
    half = size // 2
    return cube.isel(
        {axis: slice(int(at) - half, int(at) + half + 1) for axis, at in middle.items()}
    )
