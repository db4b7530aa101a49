"""Checks of what is computed for fields (notebook 06)."""

from typing import Any

import pandas as pd

from s2kit.course.judging import judge

_AS_MEDIAN = 2


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
    nothing = "No field is left: share is between 0 and 1, and crop is spelt as in the table."
    mistakes = [
        (nothing, float("nan")),
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
    if len(part) == _AS_MEDIAN:
        praise += " Of two fields the median is the same; of more it is not."
    return judge(answer, part["mean"].mean(), mistakes, praise)


def _weighted(part: pd.DataFrame) -> float:
    """Compute the mean over pixels, which large fields decide."""
    known = part.dropna(subset="mean")
    return (known["mean"] * known["count"]).sum() / known["count"].sum()
