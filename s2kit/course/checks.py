"""Check the answers to the exercises: print ✓, or a hint that fits the mistake.

Each check returns whether the answer is right. What it prints never holds the solution.
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from s2kit.course.judging import Mistakes, judge


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
    mistakes = [
        (each, clear & own),
        (each, clear),
        (all_orbits, clear.sum()),
        ("That is how many overpasses the orbit has; how clear were they?", own.sum()),
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
        return "Nothing fits all of your conditions: compare each with the name that is given."
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


def mean_ndvi(answer: Any, pixel: xr.Dataset, clear: xr.DataArray) -> bool:
    """Check the mean NDVI of one place over its clear observations (notebook 03).

    Parameters
    ----------
    answer : number
    pixel : xarray.Dataset, dims (time,)
        With B04 and B08, reflectance 0-1.
    clear : xarray.DataArray, dims (time,), bool
    """
    missing = [band for band in ("B04", "B08") if band not in pixel]
    if missing:
        print(f"This exercise needs B04 and B08; the cube has no {' and no '.join(missing)}.")
        return False
    red, nir = pixel["B04"], pixel["B08"]
    difference, total = nir - red, nir + red
    ndvi = difference / total
    seen = ndvi.where(clear)
    wrong = [
        ("You divided by NIR − red; NDVI divides by the sum.", difference / difference),
        ("You divided by NIR − red; NDVI divides by the sum.", total / difference),
        ("The bands are swapped: near infrared (B08) comes first.", -ndvi),
        ("Brackets are missing: division is done before + and −.", nir - red / total),
        ("Brackets are missing: division is done before + and −.", nir - red / nir + red),
        ("Brackets are missing: division is done before + and −.", difference / nir + red),
        ("That is the ratio of the bands; NDVI is the difference by the sum.", nir / red),
        ("That is only the difference; divide it by the sum.", difference),
    ]
    one_number = "That is one number for each overpass; take the mean over time."
    means = difference.where(clear).mean() / total.where(clear).mean()
    mistakes: Mistakes = [(hint, values.where(clear).mean()) for hint, values in wrong]
    mistakes += [(hint, values.mean()) for hint, values in wrong]
    mistakes += [
        ("Cloudy observations are in it too: keep the clear ones with .where(clear).", ndvi.mean()),
        ("You kept what is not clear: .where(…) keeps what is true.", ndvi.where(~clear).mean()),
        ("First the NDVI of each overpass, then the mean; you took the mean of bands.", means),
        ("That is the median; take the mean.", seen.median()),
        ("That is the standard deviation; take the mean.", seen.std()),
        ("Overpasses that are not clear count as 0: use .where(clear).", (ndvi * clear).mean()),
        ("An overpass without data made it NaN; .mean() of xarray leaves it out.", np.nan),
        (one_number, ndvi),
        (one_number, seen),
    ]
    praise = "Right: a sum, with brackets, of clear observations."
    return judge(answer, seen.mean(), mistakes, praise)


def median_image(answer: Any, band: xr.DataArray, clear: xr.DataArray) -> bool:
    """Check a cloud-free image of one band, the median of clear observations (notebook 04).

    Parameters
    ----------
    answer : xarray.DataArray, dims (y, x)
    band : xarray.DataArray, dims (time, y, x)
        Reflectance 0-1.
    clear : xarray.DataArray, dims (time, y, x), bool
    """
    seen, hidden, zeros = band.where(clear), band.where(~clear), band * clear
    kept = "You kept what is not clear: .where(…) keeps what is true."
    filled = "Zeros take part: .where(clear) makes gaps, multiplying makes zeros."
    each = "That is one number for each overpass: take the median along time."
    mistakes = [
        ("The mask is missing, so clouds take part: use .where(clear).", band.median("time")),
        ("That is the mean; one missed cloud moves it. Take the median.", seen.mean("time")),
        ("That is the mean, and the mask is missing.", band.mean("time")),
        (kept, hidden.median("time")),
        (filled, zeros.median("time")),
        ("That is the darkest observation, often a shadow.", seen.min("time")),
        ("That is the brightest observation, often a missed cloud.", seen.max("time")),
        ('That is one number for the whole map: name the axis, median("time").', seen.median()),
        (each, seen.median(["y", "x"])),
        ("Nothing is taken together yet: take the median along time.", seen),
    ]
    praise = "Right: this image has no cloud that the mask marks."
    return judge(answer, seen.median("time"), mistakes, praise)


def balanced_accuracy(answer: Any, confusion: pd.DataFrame) -> bool:
    """Check the balanced accuracy of a classifier (notebook 05).

    Parameters
    ----------
    answer : number
    confusion : pandas.DataFrame
        Pixels by true class (rows) and answer (columns).
    """
    counts = confusion.to_numpy("f8")
    right, truth, answers = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = right / truth, right / answers
        scores = 2 * right / (truth + answers)
    overall = "That is the overall accuracy, where large classes count more: "
    overall += "first the share of each class, then the mean."
    columns = "You divided by the sums of the columns; the truth is in the rows: sum(axis=1)."
    each = "That is one number for each class; take their mean."
    pixels = "These are pixels; divide them by the pixels of each true class."
    table = "You took the mean of the whole table of shares; only its diagonal is right."
    mixed = "Each row is divided by the sum of another one: take its own."
    mistakes = [
        (overall, right.sum() / counts.sum()),
        (columns, precision.mean()),
        (columns, precision[np.isfinite(precision)].mean()),
        (columns, precision),
        (each, recall),
        (pixels, right),
        (pixels, right.mean()),
        ("That is the share of mistakes; take the share that is right.", 1 - recall.mean()),
        ("That is in per cent; give it between 0 and 1.", 100 * recall.mean()),
        ("That is the sum over the classes; take the mean.", recall.sum()),
        ("That is the median; take the mean.", np.median(recall)),
        ("That is the mean F1 of the classes; take the mean of their recalls.", scores.mean()),
        (table, (counts / truth[:, np.newaxis]).mean()),
        (mixed, np.nanmean(counts / truth)),
    ]
    praise = "Right: each class counts the same, however small."
    return judge(answer, recall.mean(), mistakes, praise)


def crop_mean(answer: Any, table: pd.DataFrame, crop: str, *, least: float) -> bool:
    """Check the mean NDVI of a crop on one day, over its well seen fields (notebook 06).

    Parameters
    ----------
    answer : number
    table : pandas.DataFrame
        One row for each field, with ``crop``, ``mean``, ``std``, ``min``, ``max``, ``count`` and
        ``share``.
    crop : str
    least : float
        A field counts if at least so much of it is clear, 0-1.
    """
    seen, own = table["share"] >= least, table["crop"] == crop
    part, rough, hidden = table[own & seen], table[own], table[own & ~seen]
    unfiltered = "Fields that are hardly seen are in it too: keep the rows with .share >= least."
    others = "All crops are in it: keep the rows with .crop == crop."
    number = "That is one number for each field; take their mean."
    kept = "You kept the fields that are hardly seen: >= keeps what is well seen."
    large = "Large fields count more here; each field counts the same: a plain mean."
    spread = "That is the spread between the fields; take .mean(), not .std()."
    mistakes = [
        (unfiltered, rough["mean"].mean()),
        (kept, hidden["mean"].mean()),
        (large, _weighted(part)),
        (f"{unfiltered} And large fields count more; take a plain mean.", _weighted(rough)),
        ("That is the mean spread within the fields; take the column mean.", part["std"].mean()),
        (spread, part["mean"].std()),
        (spread, part["mean"].std(ddof=0)),
        ("That is the median; take the mean.", part["mean"].median()),
        ("That is the share, not the NDVI; take the column mean.", part["share"].mean()),
        ("That is the number of fields; take the mean of their means.", len(part)),
        (number, part["mean"]),
        (number, rough["mean"]),
        (others, table.loc[seen, "mean"].mean()),
        (f"{others} {unfiltered}", table["mean"].mean()),
        (others, table.loc[seen].groupby("crop")["mean"].mean()),
    ]
    for name, fields in table.groupby("crop", sort=False):
        wrong = f"That is another crop: {name}."
        known = (fields[fields["share"] >= bound] for bound in (least, 0))
        mistakes += [(wrong, some["mean"].mean()) for some in known]
    praise = f"Right: {len(part)} fields of {crop} were well seen, of {len(rough)}."
    return judge(answer, part["mean"].mean(), mistakes, praise)


def _weighted(part: pd.DataFrame) -> float:
    """Compute the mean over pixels, which large fields decide."""
    known = part.dropna(subset="mean")
    return (known["mean"] * known["count"]).sum() / known["count"].sum()


def ndvi_change(
    answer: Any, before: xr.Dataset, after: xr.Dataset, *, offset: int, nodata: int
) -> bool:
    """Check the change of the NDVI between two dates, of which one has an offset (notebook 09).

    Parameters
    ----------
    answer : number
    before, after : xarray.Dataset
        B04 and B08 as they are stored, with gaps at the same pixels.
    offset : int
        To be added to what is stored in ``after``; ``before`` has none.
    nodata : int
        What is stored in gaps.
    """
    first, second = (scene.where(scene != nodata) for scene in (before, after))
    shifted, filled = second + offset, (before.astype("f8"), after.astype("f8"))
    each = _ndvi(shifted) - _ndvi(first)
    dates = {
        f"The offset is missing: after has one, {offset} in DN.": (first, second),
        "The offset is applied to both dates: before has none.": (first + offset, shifted),
        "The offset is applied to the wrong date.": (first + offset, second),
        "The offset is applied twice.": (first, shifted + offset),
        "The offset has the wrong sign: it is subtracted.": (first, second - offset),
        "The offset is in DN, not in reflectance.": (first, second / 10_000 + offset),
        "You clipped at 0: dark water may be below.": (first, shifted.clip(min=0)),
        "You left out what is not above 0: dark water may be.": (first, shifted.where(shifted > 0)),
        "Unsigned numbers have no room below 0; take signed ones.": (first, shifted % 2**16),
    }
    gaps = f"{nodata} is averaged as if it were measured: leave it out with .where(…)."
    late = f"{gaps} Do so before the offset changes the mark."
    mistakes: Mistakes = [(hint, _change(*pair)) for hint, pair in dates.items()]
    mistakes += [
        (gaps, _change(filled[0], filled[1] + offset)),
        (f"{gaps} And the offset is missing.", _change(*filled)),
        (f"{gaps} And before has no offset.", _change(filled[0] + offset, filled[1] + offset)),
        (f"{gaps} And the offset is applied twice.", _change(filled[0], filled[1] + 2 * offset)),
        (f"{gaps} And nothing is clipped.", _change(first, (filled[1] + offset).clip(min=0))),
        (late, _change(first, filled[1] + offset)),
        ("That is before minus after; it is asked the other way round.", -each.mean()),
        ("That is one number for each pixel; take their mean.", each),
        ("That is the median; take the mean.", each.median()),
        ("That is the sum over the pixels; take the mean.", each.sum()),
        ("That is the NDVI of after; subtract that of before.", _ndvi(shifted).mean()),
        ("That is the NDVI of before, not the change.", _ndvi(first).mean()),
        ("First the NDVI of each pixel, then the mean.", _change(first.mean(), shifted.mean())),
    ]
    return judge(answer, each.mean(), mistakes, "Right: one offset, on one date, and no gap.")


def _ndvi(scene: xr.Dataset) -> xr.DataArray:
    return (scene["B08"] - scene["B04"]) / (scene["B08"] + scene["B04"])


def _change(before: xr.Dataset, after: xr.Dataset) -> xr.DataArray:
    """Compute the difference of the mean NDVI of two dates."""
    return _ndvi(after).mean() - _ndvi(before).mean()
