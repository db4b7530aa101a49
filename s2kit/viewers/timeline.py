"""The overpasses of a cube as a table, and the filter that chooses which of them are offered."""

from collections.abc import Collection
from contextlib import suppress
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from s2kit.errors import InvalidInputError

SEASONS = {"Dec–Feb": "DJF", "Mar–May": "MAM", "Jun–Aug": "JJA", "Sep–Nov": "SON"}
"""Named by months, to be right on both hemispheres."""


def timeline_of(cube: xr.Dataset) -> pd.DataFrame:
    """Return a table with one row for each overpass.

    Returns
    -------
    pandas.DataFrame
        ``time`` (UTC); ``iso``, the same as text; ``label`` to choose it by; ``orbit``,
        ``platform``, ``products`` and those that ``failed`` to be read, empty where the cube has
        no such coordinate; ``clear``, the clear share of the whole cube, 0-1; ``season``.
    """
    times = pd.DatetimeIndex(cube.time.values)
    table = pd.DataFrame({"time": times, "season": cube.time.dt.season.values})
    seconds, exact = (times.strftime(f"%Y-%m-%dT%H:%M:%S{more}") for more in ("", ".%f"))
    table["iso"] = np.where(seconds.duplicated(keep=False), exact, seconds)
    table["orbit"] = text_of(cube, "relative_orbit")
    for name in ("platform", "products", "failed"):
        table[name] = text_of(cube, name)
    table["clear"] = _clear_shares(cube) if "clear_fraction" in cube.coords else np.nan
    table["label"] = [_label(row) for row in table.itertuples()]
    again = table.label.duplicated(keep=False)
    table.loc[again, "label"] = [
        f"{row.label} · {row.platform} {row.iso[17:]} s" for row in table[again].itertuples()
    ]
    return table


def text_of(cube: xr.Dataset, name: str) -> np.ndarray:
    """Return a coordinate of each overpass as text, empty where the cube has no such coordinate."""
    found = cube[name] if name in cube.coords else xr.DataArray("")
    if not found.ndim:  # the same for all
        return np.full(cube.sizes["time"], str(found.item()))
    return np.array([str(text) for text in _along_time(cube, name)])


def _along_time(cube: xr.Dataset, name: str) -> np.ndarray:
    if cube[name].dims != ("time",):
        raise InvalidInputError(
            f"the coordinate {name} has the dimensions {cube[name].dims}, and not time alone; "
            f'leave it out: cube.drop_vars("{name}")'
        )
    return cube[name].values


def _clear_shares(cube: xr.Dataset) -> np.ndarray:
    values = _along_time(cube, "clear_fraction")
    if values.dtype.kind not in "fiu" or (values < 0).any() or (values > 1).any():
        raise InvalidInputError(
            "clear_fraction holds what is no share from 0 to 1; leave it out: "
            'cube.drop_vars("clear_fraction")'
        )
    return values


def _label(row: Any) -> str:
    orbit = f" · orbit {row.orbit}" if row.orbit else ""
    clear = f" · {percent(row.clear)} clear" if np.isfinite(row.clear) else ""
    return f"{row.time:%Y-%m-%d %H:%M}{orbit}{clear}"


def percent(share: float) -> str:
    """Return a share in whole percent, rounded down, so that 100 % passes a filter of 100 %."""
    return f"{int(share * 100 + 1e-4)} %"


def choose(
    table: pd.DataFrame,
    *,
    least_clear: float,
    seasons: Collection[str],
    orbits: Collection[str],
    platforms: Collection[str],
) -> np.ndarray:
    """Return the row numbers of the overpasses that pass all conditions.

    Parameters
    ----------
    table : pandas.DataFrame
        As `timeline_of` returns it.
    least_clear : float
        Clear share of the whole cube, 0-1; an unknown share passes 0 only.
    seasons : collection of str
        Names in `SEASONS`.
    orbits, platforms : collection of str
    """
    wanted = table.season.isin([SEASONS[name] for name in seasons])
    wanted &= table.orbit.isin(orbits) & table.platform.isin(platforms)
    wanted &= table.clear.fillna(0) + 1e-6 >= least_clear  # as `percent` rounds
    return np.flatnonzero(wanted)


class OverpassFilter:
    """The overpasses of a timeline that pass a filter, at first all.

    ``steps`` are the row numbers of those that pass, in order of time. ``last`` is that of the
    overpass that was chosen last, near which another one is looked for.
    """

    def __init__(self, table: pd.DataFrame):
        self.table, self.steps = table, np.arange(len(table))
        self.last: int | None = None
        self._any_clear = self.steps  # those that pass all conditions but the clear share

    def apply(self, least_clear: int, **conditions: Collection[str]) -> None:
        """Choose the overpasses; ``least_clear`` in %, for the other conditions see `choose`."""
        self.steps = choose(self.table, least_clear=least_clear / 100, **conditions)
        self._any_clear = choose(self.table, least_clear=0, **conditions)

    def moments(self) -> dict[str, str]:
        """Return label → time as text of the overpasses that pass."""
        chosen = self.table.iloc[self.steps]
        return dict(zip(chosen.label, chosen.iso, strict=True))

    def number_of(self, iso: str) -> int:
        """Return the row number of an overpass."""
        return int((self.table.iso == iso).argmax())

    def nearest(self, time: pd.Timestamp) -> int | None:
        """Return the row number of the overpass nearest to a time, of those that pass."""
        if not len(self.steps):
            return None
        times = self.table.time.iloc[self.steps]
        near = min(max(time, times.min()), times.max())  # more than 292 years away overflows
        return int(self.steps[abs(times - near).argmin()])

    def neighbour(self, step: int | None, by: int) -> int | None:
        """Return the overpass so many places later among those that pass, or the first or last."""
        if step is None or not len(self.steps):
            return self.nearest(self.table.time[self.last or 0])
        at = int(np.searchsorted(self.steps, step)) + by
        return int(self.steps[min(max(at, 0), len(self.steps) - 1)])

    def why_none(self) -> str:
        """Return a message for when no overpass is shown."""
        if len(self.steps):
            return (
                f"No overpass is chosen:\nchoose one of the {len(self.steps)} that pass the filter"
            )
        cloudy = "clear " if len(self._any_clear) else ""
        return f"No {cloudy}acquisition:\nno overpass passes the filter"

    def position(self, step: int) -> str:
        """Return the place of an overpass among those that pass, in words."""
        place = int(np.searchsorted(self.steps, step)) + 1
        return f"Overpass {place} of {len(self.steps)} that pass the filter."


def require_years(start: int, end: int) -> None:
    """Refuse a first year that is after the last one."""
    if start > end:
        raise InvalidInputError(f"the first year, {start}, is after the last, {end}")


def read_time(time: pd.Timestamp | str | date | np.datetime64) -> pd.Timestamp:
    """Read a time (UTC); a day without an hour stands for its noon, nearest to no other day.

    Raises
    ------
    InvalidInputError
        If it is no time.
    """
    found = pd.NaT
    if isinstance(time, str | date | np.datetime64):  # pandas takes 2021 for nanoseconds
        with suppress(ValueError):
            found = pd.to_datetime(time, utc=True).tz_localize(None)
    if found is pd.NaT:
        raise InvalidInputError(f"time={time!r:.60} is no date; give one such as '2021-06-04'")
    whole_day = found == found.normalize() and ":" not in str(time)
    return found + pd.Timedelta(hours=12 if whole_day else 0)
