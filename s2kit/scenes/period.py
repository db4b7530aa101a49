"""The period of interest: two dates or times become a first and a last moment."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from s2kit.errors import InvalidInputError
from s2kit.scenes.product import read_utc

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")
_ACCEPTED = (
    'Accepted: "2021", "2021-06", "2021-06-01", "2021-06-01T10:50:31Z", '
    "a datetime.date or a datetime.datetime (without a zone: UTC)."
)


@dataclass(frozen=True)
class Period:
    """All moments from `first` to `last`, both included, UTC."""

    first: datetime
    last: datetime

    def holds(self, moment: datetime) -> bool:
        """Return whether a moment lies in the period."""
        return self.first <= moment <= self.last


def read_period(start: str | date | datetime, end: str | date | datetime) -> Period:
    """Read a period; a day, month or year given as its end counts in full.

    Parameters
    ----------
    start, end : str, datetime.date or datetime.datetime
        ``"2021"``, ``"2021-06"``, ``"2021-06-01"`` or an ISO time.

    Raises
    ------
    InvalidInputError
        If either is no date, or the end comes before the start.
    """
    period = Period(_span("start", start)[0], _span("end", end)[1])
    if period.last < period.first:
        raise InvalidInputError(
            f"The period ends before it starts: start={start!s}, end={end!s}. Swap the two."
        )
    return period


def _span(role: str, value: object) -> tuple[datetime, datetime]:
    """Return the first and last moment of what was given."""
    try:
        if isinstance(value, datetime):
            if value != value:  # pandas.NaT is a datetime
                raise ValueError("not a time")
            return (read_utc(value),) * 2
        if isinstance(value, date):
            return _days(value, value)
        if isinstance(value, str):
            return _span_of_text(value.strip())
    except (ValueError, OverflowError, TypeError) as error:
        raise InvalidInputError(f"{role}={value!r} is not a date ({error}). {_ACCEPTED}") from error
    raise InvalidInputError(f"{role} is a {type(value).__name__}, not a date. {_ACCEPTED}")


def _span_of_text(text: str) -> tuple[datetime, datetime]:
    if partial := _PARTIAL.fullmatch(text):
        year, month, day = partial.groups()
        first = date(int(year), int(month or 1), int(day or 1))
        last = first.replace(month=int(month or 12))
        return _days(first, last.replace(day=int(day or monthrange(last.year, last.month)[1])))
    if "T" not in text.upper() and " " not in text:
        raise ValueError("not of the form year-month-day")
    return (read_utc(text),) * 2


def _days(first: date, last: date) -> tuple[datetime, datetime]:
    return datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC)
