"""The overpasses of a cube as a table, and which of them a viewer offers."""

from collections.abc import Collection

import numpy as np
import pandas as pd
import xarray as xr

from s2kit.errors import InvalidInputError

SEASONS = {"Dec–Feb": "DJF", "Mar–May": "MAM", "Jun–Aug": "JJA", "Sep–Nov": "SON"}
"""By months, so that they are right on both halves of the Earth."""


def timeline_of(cube: xr.Dataset) -> pd.DataFrame:
    """Give a table with one row for each overpass.

    Returns
    -------
    pandas.DataFrame
        ``time``; ``iso``, the same as text; ``label`` to choose it by; ``orbit``, ``platform``,
        ``products`` and those that ``failed`` to be read, empty where the cube does not tell;
        ``clear``, the clear share of the whole cube, 0-1; ``season``.
    """
    times = pd.DatetimeIndex(cube.time.values)
    table = pd.DataFrame({"time": times, "season": cube.time.dt.season.values})
    whole, exact = (times.strftime(f"%Y-%m-%dT%H:%M:%S{more}") for more in ("", ".%f"))
    table["iso"] = np.where(whole.duplicated(keep=False), exact, whole)
    for column, name in (("orbit", "relative_orbit"), ("platform", "platform"),
                         ("products", "products"), ("failed", "failed")):  # fmt: skip
        table[column] = text_of(cube, name)
    known = "clear_fraction" in cube.coords
    table["clear"] = _shares(_along_time(cube, "clear_fraction")) if known else np.nan
    table["label"] = [_label(row) for row in table.itertuples()]
    again = table.label.duplicated(keep=False)
    table.loc[again, "label"] = [
        f"{row.label} · {row.platform} {row.iso[17:]} s" for row in table[again].itertuples()
    ]
    return table


def text_of(cube: xr.Dataset, name: str) -> np.ndarray:
    """Give a coordinate of each overpass as text, empty where the cube does not tell it."""
    if name not in cube.coords:
        return np.full(cube.sizes["time"], "")
    if not cube[name].ndim:  # the same for all
        return np.full(cube.sizes["time"], str(cube[name].item()))
    return np.array([str(text) for text in _along_time(cube, name)])


def _along_time(cube: xr.Dataset, name: str) -> np.ndarray:
    if cube[name].dims != ("time",):
        raise InvalidInputError(
            f"the coordinate {name} has the dimensions {cube[name].dims}, and not time alone; "
            f'leave it out: cube.drop_vars("{name}")'
        )
    return cube[name].values


def _shares(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiu" or (values < 0).any() or (values > 1).any():
        raise InvalidInputError(
            "clear_fraction holds what is no share from 0 to 1; leave it out: "
            'cube.drop_vars("clear_fraction")'
        )
    return values


def _label(row) -> str:
    parts = [f"{row.time:%Y-%m-%d %H:%M}"]
    if row.orbit:
        parts.append(f"orbit {row.orbit}")
    if np.isfinite(row.clear):
        parts.append(f"{percent(row.clear)} clear")
    return " · ".join(parts)


def percent(share: float) -> str:
    """Give a share in whole percent, rounded down: 100 % is all, and passes a filter of 100 %."""
    return f"{int(share * 100 + 1e-4)}%"


def choose(
    table: pd.DataFrame,
    *,
    least_clear: float,
    seasons: Collection[str],
    orbits: Collection[str],
    platforms: Collection[str],
) -> np.ndarray:
    """Give the numbers of the overpasses that pass all conditions.

    Parameters
    ----------
    table : pandas.DataFrame
        As `timeline_of` gives it.
    least_clear : float
        Clear share of the whole cube, 0-1; one that is not known passes 0 only.
    seasons : collection of str
        Names in `SEASONS`.
    orbits, platforms : collection of str
    """
    wanted = table.season.isin([SEASONS[name] for name in seasons])
    wanted &= table.orbit.isin(orbits) & table.platform.isin(platforms)
    wanted &= table.clear.fillna(0) + 1e-6 >= least_clear  # as `percent` has it
    return np.flatnonzero(wanted)


def nearest(table: pd.DataFrame, steps: np.ndarray, time: pd.Timestamp) -> int | None:
    """Give the number of the overpass nearest to a moment, of those given; None if there are none.

    Parameters
    ----------
    table : pandas.DataFrame
        As `timeline_of` gives it.
    steps : numpy.ndarray
        As `choose` gives them.
    time : pandas.Timestamp
    """
    if not len(steps):
        return None
    times = table.time.iloc[steps]
    near = min(max(time, times.min()), times.max())  # differences of more than 292 years overflow
    return int(steps[abs(times - near).argmin()])
