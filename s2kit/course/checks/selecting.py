"""Checks of selections of overpasses (notebooks 00 to 02)."""

from typing import Any

import numpy as np
import xarray as xr

from s2kit.course.judging import call, judge


def clear_count(answer: Any, cube: xr.Dataset, *, least: float, orbit: int | None = None) -> bool:
    """Check how many overpasses are clear enough (notebooks 00 and 01).

    Parameters
    ----------
    answer : number
    cube : xarray.Dataset, dims (time, …)
    least : float
        Least ``clear_fraction``, 0-1, itself included.
    orbit : int, optional
        Only overpasses of this one count.
    """
    share = cube["clear_fraction"].values
    own = np.ones(share.shape, bool) if orbit is None else cube["relative_orbit"].values == orbit
    clear = share >= least
    each = "That is true or false for each overpass; count the true ones with .sum()."
    all_orbits = "All orbits are counted: both conditions must hold. "
    all_orbits += "Join them with & and put each in brackets."
    either = "Only part of your conditions holds: join them with &, not with |."
    per_cent = "clear_fraction is between 0 and 1, not in per cent."
    counted = "That is the number of all overpasses: .count() and len() also count what is false. "
    counted += "Count what is true with .sum()."
    of_orbit = "That is how many overpasses the orbit has; how clear were they? "
    of_orbit += ".count() also counts those that are not: use .sum()."
    if isinstance(answer, xr.Dataset):
        part = "count its overpasses." if "time" in answer.indexes else "take clear_fraction alone."
        print(f"Not yet. That is a whole Dataset, and one number is asked for: {part}")
        return False
    mistakes = [
        (each, clear & own),
        (each, clear),
        (all_orbits, clear.sum()),
        (of_orbit if orbit is not None else counted, own.sum()),
        (counted, share.size),
        (either, (clear | own).sum()),
        ("Those are the others: at least means >=.", (own & ~clear).sum()),
        ("That is the share of the overpasses; count them with .sum().", (clear & own).mean()),
        ("'At least' includes the limit itself: use >=, not >.", (own & (share > least)).sum()),
        (per_cent, (100 * share[own] >= least).sum()),
        (per_cent, (share >= 100 * least).sum()),
    ]
    return judge(answer, (clear & own).sum(), mistakes, "Right.")


def time_query(answer: Any, cube: xr.Dataset, *, orbit: int, year: int, limit: float) -> bool:
    """Check a selection of overpasses by orbit, year and clear fraction (notebook 02).

    Parameters
    ----------
    answer : xarray.Dataset or xarray.DataArray, dims (time, …)
        Only its times count.
    cube : xarray.Dataset, dims (time, y, x)
        What was selected from.
    orbit, year : int
    limit : float
        Least ``clear_fraction``, 0-1, itself included.
    """
    times, share = cube["time"].values, cube["clear_fraction"].values
    of_orbit, of_year = cube["relative_orbit"].values == orbit, cube.time.dt.year.values == year
    right = of_orbit & of_year & (share >= limit)
    praise = f"Right: {right.sum()} of {len(times)} overpasses fit."
    if not isinstance(answer, xr.Dataset | xr.DataArray) or "time" not in answer.coords:
        hint = "Give the overpasses themselves, as an xarray.Dataset: cube.sel(time=…)."
        return judge(answer, times[right], [(hint, answer)], praise)
    found = np.sort(np.atleast_1d(answer["time"].values))
    if isinstance(answer, xr.DataArray) and answer.dtype == bool:
        hint = "That is true or false for each overpass; give it to cube.sel(time=…)."
        return judge(found, None, [(hint, found)], praise)
    taken = np.isin(times, found)
    hint = _query_hint(taken, taken & ~of_orbit, taken & ~of_year, share, limit, right)
    return judge(found, times[right], [(hint, found)], praise, empty=hint)


def _query_hint(
    taken: np.ndarray,
    other_orbit: np.ndarray,
    other_year: np.ndarray,
    share: np.ndarray,
    limit: float,
    right: np.ndarray,
) -> str:
    """Return what is wrong with the overpasses that were taken, all shape (time,)."""
    if not taken.any():
        nothing = "Nothing fits all of your conditions: compare each with the name that is given"
        return f"{nothing}; clear_fraction is between 0 and 1."
    if taken.all() and not right.all():
        return "Nothing was left out: .where(…) makes gaps, .sel(time=…) takes what is true."
    if other_orbit.any():
        return "Other orbits are among them: compare cube.relative_orbit with orbit."
    if other_year.any():
        mixed = "Other years are among them" if (taken & ~other_year).any() else "The year is wrong"
        return f"{mixed}: compare cube.time.dt.year with year."
    if (taken & ~(share >= limit)).any():
        return "Some are cloudier than the limit: compare cube.clear_fraction with limit."
    if (share[right & ~taken] == limit).all():
        return "'At least' includes the limit itself: use >=, not >."
    return "Some that fit are missing: one of your conditions is too strict."


def season_count(answer: Any, cube: xr.Dataset) -> bool:
    """Check how many overpasses are in summer, June to August (exercise 02).

    Parameters
    ----------
    answer : number
    cube : xarray.Dataset, dims (time, …)
    """
    month = cube["time"].dt.month.values
    summer = np.isin(month, (6, 7, 8))
    whole = "That is a whole Dataset or its times; count them, with .size or .sizes."
    late = "September is among them: summer is June, July and August, JJA."
    early = "August is left out: a slice of months takes both ends, as in slice(…-06, …-08)."
    if isinstance(answer, xr.Dataset) or getattr(answer, "dtype", np.dtype("f8")).kind == "M":
        print(f"Not yet. {whole}")
        return False
    mistakes = [
        ("That is true or false for each overpass; count the true ones with .sum().", summer),
        (".count() and len() also count what is false: use .sum().", month.size),
        ("Those are the others; compare with ==, not with !=.", (~summer).sum()),
        ("That is the share of the overpasses; count them with .sum().", summer.mean()),
        (late, np.isin(month, (6, 7, 8, 9)).sum()),
        (early, np.isin(month, (6, 7)).sum()),
        ("That is winter (DJF).", np.isin(month, (12, 1, 2)).sum()),
        ("That is spring (MAM).", np.isin(month, (3, 4, 5)).sum()),
        ("That is autumn (SON).", np.isin(month, (9, 10, 11)).sum()),
    ]
    praise = "Right: a comparison gives true or false, and .sum() counts what is true."
    return judge(answer, summer.sum(), mistakes, praise)


def orbit_function(answer: Any, cube: xr.Dataset, *, orbit: int, least: float) -> bool:
    """Check a function that selects overpasses by orbit and clear fraction (exercise 02).

    Parameters
    ----------
    answer : callable
        Takes the cube, the orbit and the least ``clear_fraction``.
    cube : xarray.Dataset, dims (time, …)
    orbit : int
    least : float
        Itself included, 0-1.
    """
    share, own = cube["clear_fraction"].values, cube["relative_orbit"].values == orbit
    times, clear = cube["time"].values, share >= least
    right = own & clear
    called, value = call(answer, cube, orbit, least)
    if not called:
        return False
    if isinstance(value, xr.DataArray) and value.dtype == bool:
        print("Not yet. That is true or false for each overpass; give it to cube.sel(time=…).")
        return False
    if not isinstance(value, xr.Dataset):
        kind = type(value).__name__
        print(f"Not yet. It returns a {kind}; return a part of the cube, a Dataset.")
        return False
    if "time" not in value.dims:
        print("Not yet. The dimension time is lost: select with .sel(time=condition).")
        return False
    found = value["time"].values
    either = "One condition is enough for it: join them with &, not with |."
    kept = "All are still there: .where(…) makes gaps, .sel(time=…) takes what is true."
    gaps = value[next(iter(value.data_vars))].isnull().any() if value.data_vars else False
    mistakes = [
        ("The orbit does not matter in it: compare cube.relative_orbit with orbit.", times[clear]),
        ("The clear fraction does not matter in it: compare it with least.", times[own]),
        (either, times[own | clear]),
        ("'At least' includes the limit itself: use >=, not >.", times[own & (share > least)]),
        ("These are the others of the orbit: use >=, not < or <=.", times[own & ~clear]),
        ("These are the cloudier ones: use >=, not <=.", times[own & (share <= least)]),
        ("These are the other orbits: use ==, not !=.", times[~own & clear]),
        (kept if gaps else either, times),
    ]
    praise = f"Right: {right.sum()} overpasses of {times.size}."
    nothing = "Nothing is left: clear_fraction is between 0 and 1."
    return judge(found, times[right], mistakes, praise, empty=nothing)


def share_series(answer: Any, clear: xr.DataArray, cube: xr.Dataset) -> bool:
    """Check the clear share of a window at each overpass (exercise 02).

    Parameters
    ----------
    answer : xarray.DataArray, dims (time,)
    clear : xarray.DataArray, dims (time, y, x), bool
    cube : xarray.Dataset
        Its ``clear_fraction`` is that of the whole region.
    """
    share = clear.mean(["y", "x"])
    other = "That is cube.clear_fraction, of the whole region; compute the share of your window."
    mistakes = [
        (other, cube["clear_fraction"]),
        ("That is the share that is not clear.", 1 - share),
        ("That is in per cent; give it between 0 and 1.", 100 * share),
        ("These are numbers of pixels: take the mean instead of the sum.", clear.sum(["y", "x"])),
        ("That is one number for all: name the axes, .mean([…]).", clear.mean()),
        ("That is one number for each pixel: take the mean over y and x.", clear.mean("time")),
        ("Only one axis is averaged: name both, y and x.", clear.mean("x")),
        ("Only one axis is averaged: name both, y and x.", clear.mean("y")),
        ("That is the mask itself: take its mean over y and x.", clear),
    ]
    return judge(answer, share, mistakes, "Right: a number between 0 and 1 for each overpass.")


def largest_gap(answer: Any, clear: xr.DataArray, cube: xr.Dataset) -> bool:
    """Check the day on which window and region differ most in clear share (exercise 02).

    Parameters
    ----------
    answer : datetime64, or xarray.DataArray of it
    clear : xarray.DataArray, dims (time, y, x), bool
    cube : xarray.Dataset
        Its ``clear_fraction`` is that of the whole region.
    """
    times, share = cube["time"].values, clear.mean(["y", "x"]).values
    region = cube["clear_fraction"].values
    change = share - region
    size = np.abs(change)
    signed = "The sign matters in it: take the absolute value, abs(…), before the largest."
    mistakes = [
        ("That is where they differ least.", times[np.argmin(size)]),
        (signed, times[np.argmax(change)]),
        (signed, times[np.argmin(change)]),
        ("That is the position; give the time, with cube.time[…] or .idxmax().", np.argmax(size)),
        ("That is by how much; give the time, with .idxmax().", size.max()),
        ("That is by how much; give the time, with .idxmax().", change[np.argmax(size)]),
        ("These are all differences; give the time of the largest.", size),
        ("These are all differences; give the time of the largest.", change),
        ("That is when the window was clearest.", times[np.argmax(share)]),
        ("That is when the region was clearest.", times[np.argmax(region)]),
    ]
    day = str(times[np.argmax(size)])[:10]
    return judge(answer, times[np.argmax(size)], mistakes, f"Right: {day}. Look at that day.")
