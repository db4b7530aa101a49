"""Phenology: regular series without gaps, and the season in each: start, peak, end."""

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import solveh_banded

from s2kit.analysis.kernels.interpolate import interpolate, limit_curve
from s2kit.analysis.kernels.seasons import LONGEST_GAP, find_seasons
from s2kit.analysis.validation import MOST_DAYS, require_whole
from s2kit.cube.nodata import physical
from s2kit.errors import InvalidInputError

_SMOOTHING = 1000.0
"""The λ of the smooth curve: half of a wave of about two months is kept, see `regular_series`."""

_THRESHOLD = 0.5
"""Part of the rise after which a season starts, and of the fall until which it lasts."""

_SEASON = {
    "start": "start of the season",
    "peak": "peak of the season",
    "end": "end of the season",
    "amplitude": "height of the peak above the base",
    "base": "mean of the lowest values around the peak",
}


def regular_series(
    series: xr.DataArray,
    *,
    step: int = 10,
    method: str = "whittaker",
    max_gap: int | None = LONGEST_GAP,
) -> xr.DataArray:
    """Interpolate series to a value every few days, and fill their gaps.

    Parameters
    ----------
    series : xarray.DataArray, dims (time, …)
        Such as (time, y, x) or (time, field); NaN where not clear. Steps in order of time. From
        the table of `field_series`: ``table.set_index(["time", "field"])["mean"].to_xarray()``.
    step : int, default 10
        Days from one value to the next.
    method : {"whittaker", "linear"}
        A smooth curve (Eilers 2003, second differences, on a grid of days), which also reduces
        noise; or straight lines through the observations.
    max_gap : int or None, default 31
        Longest gap between two clear observations that is filled, in days; longer ones stay NaN.
        None fills every gap.

    Returns
    -------
    xarray.DataArray, dims (time, …), float32 or float64, in the unit of the series
        Lazy if the series is. The first day of the series and each ``step`` days from there, up to
        its last day. NaN in gaps, and before the first and after the last clear day of a pixel, so
        nothing is extrapolated; all NaN with fewer than two clear days. Smoothed values exceed the
        range of a pixel's observations by no more than the noise, the largest distance of an
        observation from the curve.

    Raises
    ------
    InvalidInputError
        If the series is not one of numbers in order of time, or an option cannot be used.

    Notes
    -----
    Observations count for their whole day, and two of the same day alike. The smooth curve keeps
    what lasts about two months with an observation each ten days, less if they are denser: half of
    a wave with a period of 2π (λ × days per observation)^¼ days, with λ = 1000.

    References
    ----------
    Eilers, P. H. C. (2003). A perfect smoother. Analytical Chemistry 75, 3631-3636.
    https://doi.org/10.1021/ac034173t

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=250, y=250)
    >>> ndvi = s2kit.index(cube, "NDVI").where(s2kit.clear_mask(cube))
    >>> curve = s2kit.regular_series(ndvi, step=10)
    >>> ndvi.sizes["time"], curve.sizes["time"]
    (88, 73)
    """
    days = _read_days(series)
    series = physical(series)
    if method not in ("whittaker", "linear"):
        raise InvalidInputError(f"method={method!r} is unknown; accepted: 'whittaker', 'linear'")
    require_whole("step", step, 1, MOST_DAYS)
    if max_gap is not None:
        require_whole("max_gap", max_gap, 1, MOST_DAYS)
    gap = MOST_DAYS if max_gap is None else int(max_gap)
    length = int(days[-1] - days[0]) + 1
    grid = np.arange(0, length, int(step))
    if length > MOST_DAYS:
        raise InvalidInputError(f"the series runs over {length} days; give at most {MOST_DAYS}")
    penalty = None if method == "linear" else _penalty(length, _SMOOTHING)
    block = partial(_regular_block, days=days - days[0], grid=grid, gap=gap, penalty=penalty)
    dtype = np.result_type(series.dtype, "float32")
    regular = _along_time(block, series, [["time"]], [dtype], {"time": len(grid)})
    times = (days[0] + grid).astype("M8[D]").astype("M8[ns]")
    return regular.assign_coords(time=times).transpose(*series.dims).rename(series.name)


def season(series: xr.DataArray, *, year: int | None = None) -> xr.Dataset:
    """Find the start, peak and end of the season in curves.

    Parameters
    ----------
    series : xarray.DataArray, dims (time, …)
        As `regular_series` returns it: smooth, steps in order of time. NaN is skipped, but not for
        more than 31 days.
    year : int, optional
        The year in which the peak lies; start and end may lie in the years beside it. By default
        the highest season of the whole series.

    Returns
    -------
    xarray.Dataset, dims (…)
        Lazy if the series is: ``start``, ``peak``, ``end``, datetime64[ns], NaT where there is no
        season; ``amplitude`` and ``base``, in the unit of the series, NaN there. The base is the
        mean of the lowest values before and after the peak, the amplitude the height above it.

    Raises
    ------
    InvalidInputError
        If the series is not one of numbers in order of time, or has no step in the year.

    Notes
    -----
    As in TIMESAT: the season starts where the curve has risen half of the way from the lowest value
    before the peak to the peak, and ends where it has fallen half of the way to the lowest value
    after it. These days are interpolated linearly between steps; the peak is the step with
    the highest value. The lowest values are sought up to the next higher value, at most half a year
    away. A curve that rises or falls by less than a tenth of its range beside a peak, only rises or
    only falls, or is flat has no season there. In a gap of more than 31 days the curve is unknown:
    a start or end in it is NaT, and so are all values of a season whose peak is next to one.

    References
    ----------
    Jönsson, P. and Eklundh, L. (2004). TIMESAT - a program for analyzing time-series of satellite
    sensor data. Computers & Geosciences 30, 833-845. https://doi.org/10.1016/j.cageo.2004.05.006

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=250, y=250)
    >>> ndvi = s2kit.index(cube, "NDVI").where(s2kit.clear_mask(cube))
    >>> found = s2kit.season(s2kit.regular_series(ndvi, max_gap=None), year=2022)
    >>> int(found.peak.dt.month)
    8
    """
    days = _read_days(series)
    series = physical(series)
    first, last = _read_year(year, days)
    block = partial(_season_block, days=days, first=first, last=last, threshold=_THRESHOLD)
    number = np.result_type(series.dtype, "float32")
    found = _along_time(block, series, [[]] * 5, ["M8[ns]"] * 3 + [number] * 2, {})
    result = xr.Dataset(dict(zip(_SEASON, found, strict=True)))
    for name, words in _SEASON.items():
        unit = {"units": series.attrs["units"]} if "units" in series.attrs else {}
        result[name].attrs = {"long_name": words} | (unit if name in ("amplitude", "base") else {})
    return result


def _read_days(series: xr.DataArray) -> np.ndarray:
    """Check a series, and return the day of each step, counted from 1970."""
    known = isinstance(series, xr.DataArray) and "time" in series.dims
    if not known or "time" not in series.coords:
        raise InvalidInputError(
            f"series is a {type(series).__name__}, or lacks a coordinate time; give an "
            "xarray.DataArray with the dimension time, such as s2kit.index(cube, 'NDVI')"
        )
    times = series["time"].values
    if series.dtype.kind not in "fiu" or times.dtype.kind != "M" or not len(times):
        raise InvalidInputError(
            f"series holds {series.dtype} at {len(times)} times ({times.dtype}); give numbers at "
            "dates, at least one"
        )
    if np.isnat(times).any() or (times[1:] < times[:-1]).any():
        raise InvalidInputError(
            "the series is not in order of time; put it so with series.sortby('time')"
        )
    return times.astype("M8[D]").astype("int64")


def _read_year(year: int | None, days: np.ndarray) -> tuple[int, int]:
    """Return the first and the last day of a year; by default of the series."""
    if year is None:
        return int(days[0]), int(days[-1])
    years = days.astype("M8[D]").astype("M8[Y]").astype("int64") + 1970
    if isinstance(year, bool) or not isinstance(year, Integral) or year not in years:
        raise InvalidInputError(
            f"year={year!r} is not in the series, which runs from {years[0]} to {years[-1]}"
        )
    bounds = np.array([year - 1970, year - 1969]).astype("M8[Y]").astype("M8[D]").astype("int64")
    return int(bounds[0]), int(bounds[1] - 1)


def _along_time(
    block: Callable, series: xr.DataArray, dims: list[list[str]], dtypes: list, sizes: dict
) -> Any:
    """Apply a function to whole series, lazily in blocks of pixels."""
    whole = series.chunk(time=-1) if series.chunks is not None else series
    return xr.apply_ufunc(
        block,
        whole,
        input_core_dims=[["time"]],
        output_core_dims=dims,
        exclude_dims={"time"},
        dask="parallelized",
        output_dtypes=dtypes,
        keep_attrs=True,
        dask_gufunc_kwargs={"output_sizes": sizes},
    )


def _regular_block(
    values: np.ndarray, days: np.ndarray, grid: np.ndarray, gap: int, penalty: np.ndarray | None
) -> np.ndarray:
    """Interpolate, shape (…, time) → (…, day): linearly, or in the same gaps by smooth curves."""
    series = np.ascontiguousarray(values.reshape(-1, len(days)).T)
    series = series.astype(np.result_type(values, "float32"), copy=False)
    found = interpolate(series, np.isfinite(series), days, grid, False, gap)
    out = found.T.reshape(*values.shape[:-1], len(grid))
    if penalty is None:
        return out
    for pixel in np.ndindex(values.shape[:-1]):
        between = np.isfinite(out[pixel])
        if between.any():
            clear = np.isfinite(values[pixel])
            curve = _smooth(penalty, values[pixel][clear], days[clear])
            out[pixel][between] = curve[grid[between]]
    return out


def _smooth(penalty: np.ndarray, values: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Solve (W + λ D'D) z = W y for all days (Eilers 2003, eq. 4)."""
    length = penalty.shape[1]
    system = penalty.copy()
    system[0] += np.bincount(days, minlength=length)
    weighted = np.bincount(days, values, length)
    curve = solveh_banded(system, weighted, lower=True, check_finite=False)
    limit_curve(curve, values, days)
    return curve


def _penalty(length: int, smoothing: float) -> np.ndarray:
    """Compute λ D'D, D being second differences, as the diagonals that `solveh_banded` takes."""
    band = np.zeros((3, length))
    for i, a in enumerate((1, -2, 1)):
        for j, b in enumerate((1, -2, 1)[i:], i):
            band[j - i, i : max(length - 2, 0) + i] += smoothing * a * b
    return band


def _season_block(
    values: np.ndarray, days: np.ndarray, first: int, last: int, threshold: float
) -> tuple[np.ndarray, ...]:
    curves = np.ascontiguousarray(values, "float64").reshape(-1, len(days))
    found = find_seasons(curves, days, first, last, threshold)
    found = found.reshape(5, *values.shape[:-1])
    dates = np.full(found[:3].shape, np.datetime64("NaT", "D"))
    known = np.isfinite(found[:3])
    dates[known] = np.rint(found[:3][known]).astype("int64").astype("M8[D]")
    heights = found[3:].astype(np.result_type(values, "float32"))
    return *dates.astype("M8[ns]"), *heights
