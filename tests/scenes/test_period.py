"""Periods of interest: partial dates count in full, mistakes are named."""

from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2kit.errors import InvalidInputError
from s2kit.scenes.period import read_period

TICK = timedelta(microseconds=1)


@given(st.dates(), st.dates())
def test_days_are_whole(one: date, other: date) -> None:
    """Two days, in whatever form, hold their first and last microsecond and nothing beyond."""
    start, end = sorted([one, other])
    period = read_period(start, end.isoformat())
    assert period == read_period(start.isoformat(), end)
    assert period.first.date() == start and period.last.date() == end
    if start > date.min and end < date.max:
        assert (period.first - TICK).date() < start and (period.last + TICK).date() > end


@given(st.integers(1, 9999), st.integers(1, 12))
def test_partial_dates(year: int, month: int) -> None:
    """A year holds its months and a month its days, to the last."""
    of_year = read_period(f"{year:04d}", f"{year:04d}")
    of_month = read_period(f"{year:04d}-{month:02d}", f"{year:04d}-{month:02d}")
    assert (of_year.first.month, of_year.first.day) == (1, 1)
    assert (of_year.last.month, of_year.last.day) == (12, 31)
    assert of_year.holds(of_month.first) and of_year.holds(of_month.last)
    if of_month.last.date() < date.max:
        assert (of_month.last + TICK).day == 1


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-12, 14))
def test_times_are_moments(time: datetime, hours: int) -> None:
    """A time is one moment: without a zone UTC, with one converted."""
    zoned = time.replace(tzinfo=timezone(timedelta(hours=hours)))
    period = read_period(time, zoned + timedelta(hours=hours, days=1))
    assert period.first == time.replace(tzinfo=UTC)
    assert period.last == period.first + timedelta(days=1)
    assert read_period(time.isoformat(), zoned + timedelta(hours=hours, days=1)) == period


def test_end_of_day_is_included() -> None:
    """A datatake on the evening of the last day is in the period."""
    evening = datetime(2021, 6, 30, 23, 59, 59, tzinfo=UTC)
    assert read_period("2021-06-01", "2021-06-30").holds(evening)
    assert not read_period("2021-06-01", "2021-06-30T00:00").holds(evening)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "June",
        "2021-13",
        "2021-00",
        "2021-06-00",
        "2021-02-30",
        "20210601",
        "2021-W05",
        "01-06-2021",
        2021,
        None,
        pd.NaT,
    ],
)
def test_no_date(bad: object) -> None:
    """What is no date is an error that shows the accepted forms."""
    with pytest.raises(InvalidInputError, match=r"Accepted.*2021-06"):
        read_period(bad, "2022")
    with pytest.raises(InvalidInputError, match=r"^end"):
        read_period("2020", bad)


def test_reversed() -> None:
    """An end before the start is an error that shows both."""
    with pytest.raises(InvalidInputError, match=r"start=2021-07, end=2021-06"):
        read_period("2021-07", "2021-06")
