"""Checks of what is computed for fields (notebook 06)."""

from typing import Any

import numpy as np
import pandas as pd

from s2kit.course.judging import Mistakes, call, judge

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


def crop_area(answer: Any, fields: pd.DataFrame, crop: str) -> bool:
    """Check the area of all fields of a crop (exercise 06).

    Parameters
    ----------
    answer : number
        Hectares.
    fields : geopandas.GeoDataFrame
        With ``crop``, in a coordinate system in metres.
    crop : str
    """
    area, own = fields.area, (fields["crop"] == crop).to_numpy()
    hectare = 1e4
    unit = "These are square metres; a hectare has 100 m × 100 m."
    mistakes: Mistakes = [
        (unit, area[own].sum()),
        ("These are square kilometres; a hectare has 100 m × 100 m.", area[own].sum() / 1e6),
        ("Divide by 10 000 once: a hectare has 100 m × 100 m.", area[own].sum() / 1e8),
        ("A hectare has 10 000 square metres, not 1000.", area[own].sum() / 1e3),
        ("A hectare has 10 000 square metres, not 100.", area[own].sum() / 1e2),
        ("That is the area of all crops: keep the rows with .crop == crop.", area.sum() / hectare),
        ("That is all crops, in square metres: keep the rows with .crop == crop.", area.sum()),
        ("These are the other crops: use ==, not !=.", area[~own].sum() / hectare),
        ("That is the mean of a field; take the sum.", area[own].mean() / hectare),
        ("That is the number of fields; take the sum of their .area.", own.sum()),
        ("That is one number for each field; take their sum.", area[own] / hectare),
        ("That is one number for each field, in square metres; take their sum.", area[own]),
        ("These are lengths of outlines (.length); take .area.", fields[own].length.sum()),
        (
            "These are lengths of outlines (.length); take .area.",
            fields[own].length.sum() / hectare,
        ),
    ]
    praise = f"Right: {own.sum()} fields of {crop}."
    return judge(answer, area[own].sum() / hectare, mistakes, praise)


def rows_function(answer: Any, series: pd.DataFrame, *, least: float) -> bool:
    """Check a function that keeps the well seen rows of a table (exercise 06).

    Parameters
    ----------
    answer : callable
        Takes the table and the least share.
    series : pandas.DataFrame
        As `s2kit.field_series` returns it.
    least : float
        Itself included, 0-1.
    """
    called, value = call(answer, series, least)
    if not called:
        return False
    if not isinstance(value, pd.DataFrame):
        kind = type(value).__name__
        hint = f"It returns a {kind}; return rows of the table: series[condition]."
        if isinstance(value, pd.Series) and value.dtype == bool:
            hint = "That is true or false for each row; return series[…] of it."
        print(f"Not yet. {hint}")
        return False
    share = series["share"]
    rows = series.index.to_numpy()
    mistakes: Mistakes = [
        ("All rows are still there.", rows),
        ("'At least' includes the limit itself: use >=, not >.", rows[share > least]),
        ("You kept the rows that are hardly seen: use >=.", rows[share < least]),
        ("You kept the rows that are hardly seen: use >=.", rows[share <= least]),
        ("Every row of which anything was seen is kept: compare with least.", rows[share > 0]),
        ("Only rows that were seen whole are kept: compare with least.", rows[share == 1]),
    ]
    praise = f"Right: {(share >= least).sum()} of {len(rows)} rows."
    nothing = "Nothing is left: share is between 0 and 1."
    return judge(value.index.to_numpy(), rows[share >= least], mistakes, praise, empty=nothing)


def mown_fields(answer: Any, table: pd.DataFrame, *, least: float) -> bool:
    """Check a function that finds the first sudden drop of each field (exercise 06).

    Parameters
    ----------
    answer : callable
        Takes the table and the least drop; returns times by field, as a Series or a dict.
    table : pandas.DataFrame
        Well seen rows, with ``field``, ``time`` and ``mean``, ordered by field and time.
    least : float
        Itself included.
    """
    called, value = call(answer, table, least)
    if not called:
        return False
    if not isinstance(value, pd.Series | dict):
        kind = type(value).__name__
        print(f"Not yet. It returns a {kind}; return the first time of each field, a Series.")
        return False
    found = pd.Series(value, dtype=None if len(value) else "M8[ns]")
    change = table.groupby("field")["mean"].diff()
    mixed, before = table["mean"].diff(), table.groupby("field")["time"].shift()
    other = "The first row of a field is compared with the last of another: use .groupby."
    last = "That is the last drop of each field; take the first."
    ways = [
        ("", _firsts(table, change <= -least)),
        (last, _firsts(table, change <= -least, -1)),
        (other, _firsts(table, mixed <= -least)),
        ("These are rises: a drop is a change below 0.", _firsts(table, change >= least)),
        ("Rises are among them.", _firsts(table, change.abs() >= least)),
        ("Every fall counts here, however small: compare with -least.", _firsts(table, change < 0)),
        (
            "That is the day before the drop; take the later day.",
            _firsts(table.assign(time=before), change <= -least),
        ),
        ("That is when the NDVI itself is low.", _firsts(table, table["mean"] <= least)),
        ("That is the first time of each field.", _firsts(table, change.isna())),
        ("That is the largest drop of each field; take the first.", _largest(table, change, least)),
    ]
    fits = [hint for hint, series in ways if len(series) and _same_times(found, series)]
    wanted = ways[0][1]
    right = _same_times(found, wanted)
    general = f"There are {len(wanted)} such fields, yours are {len(found)}."
    if len(found) == len(wanted):
        general = "The fields are as many as there must be, but the days are others."
    if found.empty:
        general = "It is empty: no drop is large enough for it. The change must be at most -least."
    elif _same_days(found, wanted):
        general = "The days are right, but not the times: return the column time as it is."
    elif _same_values(found, wanted):
        general = "The times are right, but the index must be the field: .first() makes it so."
    praise = f"✓ Right: {len(wanted)} of {table['field'].nunique()} fields."
    print(praise if right else f"Not yet. {fits[0] if fits else general}")
    return right


def _firsts(table: pd.DataFrame, rows: pd.Series, number: int = 0) -> pd.Series:
    return (
        table[rows]
        .groupby("field")["time"]
        .nth(number)
        .set_axis(table[rows].groupby("field")["field"].nth(number))
    )


def _largest(table: pd.DataFrame, change: pd.Series, least: float) -> pd.Series:
    drops = change[change <= -least]
    rows = drops.groupby(table["field"]).idxmin()
    return table.loc[rows, "time"].set_axis(rows.index)


def _times(values: pd.Series) -> pd.Series | None:
    """Return times, also of dates and text that says them; None if they are none."""
    try:
        return pd.to_datetime(values.astype(str), format="ISO8601")
    except (ValueError, TypeError):
        return None


def _same_days(one: pd.Series, other: pd.Series) -> bool:
    times = _times(one)
    return times is not None and _same_times(times.dt.normalize(), other.dt.normalize())


def _same_values(one: pd.Series, other: pd.Series) -> bool:
    return one.dtype.kind == "M" and np.array_equal(np.sort(one), np.sort(other))


def _same_times(one: pd.Series, other: pd.Series) -> bool:
    times = _times(one)
    if times is None or len(times) != len(other):
        return False
    left, right = times.sort_index(), other.sort_index()
    return bool((left.index == right.index).all() and (left.to_numpy() == right.to_numpy()).all())
