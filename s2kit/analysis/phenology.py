"""Curves from gappy series, and the seasons in them: start, peak, end."""

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any

import numba
import numpy as np
import xarray as xr
from scipy.linalg import solveh_banded

from s2kit.analysis.inputs import MOST_DAYS, require_whole
from s2kit.analysis.interpolation import interpolate
from s2kit.cube.nodata import physical
from s2kit.errors import InvalidInputError

_HALF_YEAR = 183
"""Days from a peak to the lowest points of its season, at most."""
_LEAST_RISE = 0.1
"""Part of a curve's range by which it must rise before a peak and fall after it."""
_SMOOTHEST = 1e10
"""Largest λ: 2 000 days are solved to 1e-6 with it, to 1e-4 only with 1e12."""
_MONTH = 31
"""Days without an observation that are filled, at most."""
_FLAT = 1e-3
"""Range below which a curve is flat, as a part of its largest value."""


def regular_series(
    series: xr.DataArray,
    *,
    step: int = 10,
    method: str = "whittaker",
    smoothing: float = 1000,
    max_gap: int | None = _MONTH,
) -> xr.DataArray:
    """Fill the gaps of series: a value every few days.

    Parameters
    ----------
    series : xarray.DataArray, dims (time, …)
        Such as (time, y, x) or (time, field); NaN where not clear. Steps in order of time. From
        the table of `field_series`: ``table.set_index(["time", "field"])["mean"].to_xarray()``.
    step : int, default 10
        Days from one value to the next.
    method : {"whittaker", "linear"}
        A smooth curve (Eilers 2003, second differences, on a grid of days), which also evens out
        noise; or straight lines through the observations.
    smoothing : float, default 1000
        The λ of the smooth curve, by which its bends are weighed against its distance from the
        observations. Higher is smoother.
    max_gap : int or None, default 31
        Days between two clear observations over which a curve is still drawn, one month; what
        lies in a longer gap is not known, and stays NaN. None fills every gap.

    Returns
    -------
    xarray.DataArray, dims (time, …)
        Lazy if the series is. The first day of the series and each ``step`` days from there, up to
        its last day. NaN in gaps, and before the first and after the last clear day of a pixel, so
        nothing is extrapolated; all NaN with fewer than two clear days. Smoothed values leave the
        range of a pixel's observations by no more than the noise: what the curve is away from
        them at most.

    Raises
    ------
    InvalidInputError
        If the series is not one of numbers in order of time, or an option cannot be used.

    Notes
    -----
    Observations count for their whole day, and two of the same day alike. The default λ lets
    through what lasts about two months with an observation each ten days, less if they are denser:
    half of a wave with a period of 2π (λ × days per observation)^¼ days is kept.

    References
    ----------
    Eilers, P. H. C. (2003). A perfect smoother. Analytical Chemistry 75, 3631-3636.
    https://doi.org/10.1021/ac034173t
    """
    days = _read_days(series)
    series = physical(series)
    if method not in ("whittaker", "linear"):
        raise InvalidInputError(f"method={method!r} is unknown; accepted: 'whittaker', 'linear'")
    require_whole("step", step, 1, MOST_DAYS)
    real = isinstance(smoothing, Real) and not isinstance(smoothing, bool)
    if not real or not 0 < smoothing <= _SMOOTHEST:
        raise InvalidInputError(
            f"smoothing={smoothing!r} cannot be used; give a positive number up to "
            f"{_SMOOTHEST:g}, such as 1000, or method='linear' for none"
        )
    if max_gap is not None:
        require_whole("max_gap", max_gap, 1, MOST_DAYS)
    gap = MOST_DAYS if max_gap is None else int(max_gap)
    length = int(days[-1] - days[0]) + 1
    grid = np.arange(0, length, int(step))
    if length > MOST_DAYS:
        raise InvalidInputError(f"the series runs over {length} days; give at most {MOST_DAYS}")
    penalty = _penalty(length, float(smoothing))
    fit = _lines if method == "linear" else partial(_curves, penalty=penalty)
    block = partial(fit, days=days - days[0], grid=grid, gap=gap)
    dtype = np.result_type(series.dtype, "float32")
    regular = _along_time(block, series, [["time"]], [dtype], {"time": len(grid)})
    times = (days[0] + grid).astype("M8[D]").astype("M8[ns]")
    return regular.assign_coords(time=times).transpose(*series.dims).rename(series.name)


def season(series: xr.DataArray, *, threshold: float = 0.5, year: int | None = None) -> xr.Dataset:
    """Find the start, peak and end of the season in curves.

    Parameters
    ----------
    series : xarray.DataArray, dims (time, …)
        As `regular_series` gives it: smooth, steps in order of time. NaN is skipped, but not for
        more than 31 days.
    threshold : float, default 0.5
        Part of the rise after which the season starts, and of the fall until which it lasts, 0-1.
        0.2 is usual too.
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
        If the series is not one of numbers in order of time, the threshold is not between 0 and 1,
        or the series has no step in the year.

    Notes
    -----
    As in TIMESAT: the season starts where the curve has risen by ``threshold`` of the way from the
    lowest value before the peak to the peak, and ends where it has fallen as far from the lowest
    value after it. These days are interpolated linearly between steps; the peak is the step with
    the highest value. The lowest values are sought up to the next higher value, at most half a year
    away. A curve that rises or falls by less than a tenth of its range beside a peak, only rises or
    only falls, or is flat has no season there. Where nothing is known for more than 31 days, the
    curve is not known either: a start or end in such a gap is NaT, and so is all of a season whose
    highest value lies beside one.

    References
    ----------
    Jönsson, P. and Eklundh, L. (2004). TIMESAT - a program for analyzing time-series of satellite
    sensor data. Computers & Geosciences 30, 833-845. https://doi.org/10.1016/j.cageo.2004.05.006
    """
    days = _read_days(series)
    series = physical(series)
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 < threshold < 1:
        raise InvalidInputError(f"threshold={threshold!r} is not between 0 and 1; give 0.5")
    first, last = _read_year(year, days)
    block = partial(_season_block, days=days, first=first, last=last, threshold=float(threshold))
    number = np.result_type(series.dtype, "float32")
    found = _along_time(block, series, [[]] * 5, ["M8[ns]"] * 3 + [number] * 2, {})
    names = {"start": "start of the season", "peak": "peak of the season",
             "end": "end of the season", "amplitude": "height of the peak above the base",
             "base": "mean of the lowest values around the peak"}  # fmt: skip
    result = xr.Dataset(dict(zip(names, found, strict=True)))
    for name, words in names.items():
        unit = {"units": series.attrs["units"]} if "units" in series.attrs else {}
        result[name].attrs = {"long_name": words} | (unit if name in ("amplitude", "base") else {})
    return result


def _read_days(series: xr.DataArray) -> np.ndarray:
    """Check a series, and give the day of each step, counted from 1970."""
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
        block, whole, input_core_dims=[["time"]], output_core_dims=dims, exclude_dims={"time"},
        dask="parallelized", output_dtypes=dtypes, keep_attrs=True,
        dask_gufunc_kwargs={"output_sizes": sizes},
    )  # fmt: skip


def _lines(values: np.ndarray, days: np.ndarray, grid: np.ndarray, gap: int) -> np.ndarray:
    series = np.ascontiguousarray(values.reshape(-1, len(days)).T)
    series = series.astype(np.result_type(values, "float32"), copy=False)
    found = interpolate(series, np.isfinite(series), days, grid, False, gap)
    return found.T.reshape(*values.shape[:-1], len(grid))


def _curves(
    values: np.ndarray, days: np.ndarray, grid: np.ndarray, gap: int, penalty: np.ndarray
) -> np.ndarray:
    out = _lines(values, days, grid, gap)
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
    _limit(curve, values, days)
    return curve


@numba.njit(nogil=True, cache=True)
def _limit(curve, values, days):
    """Cut off, in place, what swings beyond all observations by more than the noise.

    So it may between observations that are far apart.
    """
    low, high, noise = np.inf, -np.inf, 0.0
    for i in range(len(days)):
        low, high = min(low, values[i]), max(high, values[i])
        noise = max(noise, abs(curve[days[i]] - values[i]))
    for day in range(len(curve)):
        curve[day] = min(max(curve[day], low - noise), high + noise)


def _penalty(length: int, smoothing: float) -> np.ndarray:
    """Give λ D'D, D being second differences, as the diagonals that `solveh_banded` takes."""
    band = np.zeros((3, length))
    for i, a in enumerate((1, -2, 1)):
        for j, b in enumerate((1, -2, 1)[i:], i):
            band[j - i, i : max(length - 2, 0) + i] += smoothing * a * b
    return band


def _season_block(
    values: np.ndarray, days: np.ndarray, first: int, last: int, threshold: float
) -> tuple[np.ndarray, ...]:
    curves = np.ascontiguousarray(values, "float64").reshape(-1, len(days))
    found = _find_seasons(curves, days, first, last, threshold)
    found = found.reshape(5, *values.shape[:-1])
    dates = np.full(found[:3].shape, np.datetime64("NaT", "D"))
    known = np.isfinite(found[:3])
    dates[known] = np.rint(found[:3][known]).astype("int64").astype("M8[D]")
    heights = found[3:].astype(np.result_type(values, "float32"))
    return *dates.astype("M8[ns]"), *heights


@numba.njit(nogil=True, cache=True)
def _find_seasons(curves, days, first, last, threshold):
    """Give start, peak, end, amplitude and base, shape (5, pixel), of curves (pixel, time)."""
    pixels, steps = curves.shape
    out = np.full((5, pixels), np.nan)
    v, d, gaps = np.empty(steps), np.empty(steps), np.empty(steps + 1, np.bool_)
    for p in range(pixels):
        n, last_step = 0, -1
        for t in range(steps):
            if np.isfinite(curves[p, t]):
                v[n], d[n] = curves[p, t], days[t]
                gaps[n] = n > 0 and t - last_step > 1 and d[n] - d[n - 1] > _MONTH
                n, last_step = n + 1, t
        if n < 3 or v[:n].max() - v[:n].min() <= _FLAT * np.abs(v[:n]).max():
            continue
        least = _LEAST_RISE * (v[:n].max() - v[:n].min())
        best = -1
        for i in range(1, n - 1):
            if not (first <= d[i] <= last and v[i - 1] <= v[i] >= v[i + 1]):
                continue
            low, high = _lowest(v, d, i, -1, -1), _lowest(v, d, i, 1, n)
            if v[i] - max(v[low], v[high]) > least and (best < 0 or v[i] > v[best]):
                best, before, after = i, low, high
        if best >= 0 and not gaps[best] and not gaps[best + 1]:
            out[0, p] = _cross(v, d, gaps, best, before, -1, threshold)
            out[1, p] = d[best]
            out[2, p] = _cross(v, d, gaps, best, after, 1, threshold)
            out[4, p] = (v[before] + v[after]) / 2
            out[3, p] = v[best] - out[4, p]
    return out


@numba.njit(nogil=True, cache=True)
def _lowest(v, d, peak, way, stop):
    """Find the lowest value on one side of a peak, up to a higher value or half a year away."""
    lowest = peak
    i = peak + way
    while i != stop and abs(d[i] - d[peak]) <= _HALF_YEAR and v[i] <= v[peak]:
        if v[i] < v[lowest]:
            lowest = i
        i += way
    return lowest


@numba.njit(nogil=True, cache=True)
def _cross(v, d, gaps, peak, lowest, way, threshold):
    """Return the day next to a peak on which the curve crosses a part of its height on that side.

    NaN if that day lies in a gap.
    """
    level = v[lowest] + threshold * (v[peak] - v[lowest])
    i = peak
    while v[i] > level:
        i += way
    if gaps[i if way > 0 else i + 1]:
        return np.nan
    share = (level - v[i]) / (v[i - way] - v[i])
    return d[i] + share * (d[i - way] - d[i])
