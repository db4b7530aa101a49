"""Checks of offsets, gaps and double dates (notebook and exercise 09)."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from s2kit.course.judging import Mistakes, call, judge


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


def reflectance_function(answer: Any, dn: xr.DataArray, *, offset: int) -> bool:
    """Check a function that computes reflectances of stored numbers (exercise 09).

    Parameters
    ----------
    answer : callable
        Takes the stored numbers and the offset.
    dn : xarray.DataArray, uint16
        Stored numbers, 0 in gaps. The function is called with two of them changed: one is a gap,
        the other water that is darker than 0.
    offset : int
        To be added to them.
    """
    numbers = dn.values.copy()
    numbers.flat[:2] = 0, max(-offset - 100, 1)  # a gap, and dark water
    dn = dn.copy(data=numbers)
    called, value = call(answer, dn, offset)
    counts = dn.astype("f8")
    known = counts.where(dn > 0)
    right = (known + offset) / 10_000
    gaps = "Gaps are not left out: 0 means no data; use .where(dn > 0) before the offset."
    unsigned = "Unsigned numbers have no room below 0: convert them first."
    mistakes: Mistakes = [
        ("The offset is missing.", known / 10_000),
        (f"{gaps} And the offset is missing.", counts / 10_000),
        (gaps, (counts + offset) / 10_000),
        (f"{gaps} And nothing is clipped.", ((counts + offset) / 10_000).clip(min=0)),
        ("The offset has the wrong sign: it is added as it is.", (known - offset) / 10_000),
        ("Values below 0 are clipped: dark water may have them.", right.clip(min=0)),
        ("Values below 0 are left out: dark water may have them.", right.where(right > 0)),
        ("These are numbers as stored; divide by 10 000.", known + offset),
        (unsigned, (known + offset) % 2**16),
        (unsigned, (counts + offset) % 2**16),
        (unsigned, (known + offset) % 2**16 / 10_000),
        (unsigned, (counts + offset) % 2**16 / 10_000),
        ("The offset is in stored numbers: add it before you divide.", known / 10_000 + offset),
        ("That is in per cent; give it between 0 and 1.", right * 100),
        ("That is one number; a reflectance for each pixel is asked for.", right.mean()),
    ]
    return called and judge(
        value, right, mistakes, "Right: offset once, gaps kept, nothing clipped."
    )


def dates_function(answer: Any, old: xr.DataArray, new: xr.DataArray) -> bool:
    """Check a function that finds the dates that are not stored yet (exercise 09).

    Parameters
    ----------
    answer : callable
        Takes the stored times and those that arrived.
    old, new : xarray.DataArray or pandas.DatetimeIndex, datetime64
        Times.
    """
    called, value = call(answer, old, new)
    stored, arrived = pd.DatetimeIndex(np.asarray(old)), pd.DatetimeIndex(np.asarray(new))
    both, fresh = arrived.isin(stored), arrived[~arrived.isin(stored)]
    flags = "That is true or false for each date; return the dates themselves."
    mistakes: Mistakes = [
        (flags, ~both),
        (flags, both),
        ("All that arrived is returned: leave out what is stored.", arrived.to_numpy()),
        ("These dates are stored already: the others are asked for.", arrived[both].to_numpy()),
        ("These are the stored dates that did not arrive.", stored.difference(arrived).to_numpy()),
        ("These are all dates of both.", stored.union(arrived).to_numpy()),
        ("These are the dates that only one of them has.", stored.symmetric_difference(arrived)),
        (
            "Later than the last stored date is not enough: late scenes arrive too.",
            arrived[arrived > stored.max()].to_numpy(),
        ),
        ("That is how many they are; return the dates.", len(fresh)),
    ]
    praise = f"Right: {len(fresh)} of {len(arrived)} dates are new."
    return called and judge(value, fresh.to_numpy(), mistakes, praise)
