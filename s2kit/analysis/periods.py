"""Years, seasons and months of a time axis, and the steps of each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from s2kit.errors import InvalidInputError

_FREQUENCIES = {"year": "Y", "season": "Q-NOV", "month": "M"}
PERIODS = (None, *_FREQUENCIES)

_SEASONS = {12: "DJF", 3: "MAM", 6: "JJA", 9: "SON"}


@dataclass(frozen=True)
class Groups:
    """The periods that have steps, in order of time.

    Attributes
    ----------
    ids : numpy.ndarray, shape (time,), int64
        Period of each step, 0 … number - 1.
    starts : numpy.ndarray, shape (period,), datetime64[ns]
        First day of each period.
    labels : list of str
        ``"2021"``, ``"2021-06"``, or ``"2021-JJA"``; a winter is named after its December.
    middles : numpy.ndarray, shape (period,), datetime64[ns]
        Of each period; for the whole series, between its first and its last step.
    """

    ids: np.ndarray
    starts: np.ndarray
    labels: list[str]
    middles: np.ndarray

    @property
    def number(self) -> int:
        """Number of periods."""
        return len(self.labels)


def group_steps(time: xr.DataArray, period: str | None) -> Groups:
    """Group steps by the year, season (December to February…) or month in which they lie.

    Raises
    ------
    InvalidInputError
        If the period is none of `PERIODS`.
    """
    if period not in PERIODS:
        raise InvalidInputError(
            f"period={period!r} is unknown; accepted: {', '.join(map(repr, PERIODS))} "
            "(None takes the whole series as one)"
        )
    moments = pd.DatetimeIndex(time.values)
    if period is None:
        first, last = moments.min(), moments.max()
        start = np.array([first.normalize()], "datetime64[ns]")
        middle = np.array([first + (last - first) / 2], "datetime64[ns]")
        label = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return Groups(np.zeros(len(moments), "i8"), start, [label], middle)
    begins = moments.to_period(_FREQUENCIES[period])
    found, ids = np.unique(begins.asi8, return_inverse=True)
    periods = pd.PeriodIndex.from_ordinals(found, freq=begins.freq)
    starts, ends = periods.start_time, (periods + 1).start_time
    if period == "season":
        labels = [f"{start.year}-{_SEASONS[start.month]}" for start in starts]
    else:
        labels = starts.strftime("%Y" if period == "year" else "%Y-%m").tolist()
    middles = starts + (ends - starts) / 2
    starts, middles = (moment.values.astype("datetime64[ns]") for moment in (starts, middles))
    return Groups(ids.astype("i8"), starts, labels, middles)
