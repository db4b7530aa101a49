"""Checks of selections of overpasses (notebooks 00 to 02)."""

from typing import Any

import numpy as np
import xarray as xr

from s2kit.course.judging import judge


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
    return judge(found, times[right], [(hint, found)], praise)


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
