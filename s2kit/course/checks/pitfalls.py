"""Check of the offset of two dates (notebook 09)."""

from typing import Any

import xarray as xr

from s2kit.course.judging import Mistakes, judge


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
