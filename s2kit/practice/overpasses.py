"""When Sentinel-2 passes: real repeat cycles, thinned to about ninety, each with its weather.

Sentinel-2 repeats its ground track every 10 days (143 orbits); S2B follows S2A by 5 days (Drusch
et al. 2012, doi:10.1016/j.rse.2011.11.026). So a relative orbit is flown every 5 days, and a place
that two orbits see has two passes in 5 days. The practice scenes leave out more than two thirds of
these passes, so that they stay small: of five passes in a row, in 25 days, they keep the first and
the third of R051 (gaps of 10 and 15 days) and the second of R008 (gaps of 25 days). `passes` lists
all, with those that are left out.

The cycles are anchored to real products: R051 on
2018-01-01 (S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH) and R008 on 2022-06-16
(S2A_MSIL1C_20220616T103631_N0400_R008_T31UFT).

R008 is the neighbour of R051 whose swath's edge comes nearest to the region. From the footprints
of real partial tiles the edges at 52.0° N lie at 4.71° E (R008, western edge) and 4.17° E (R094,
eastern edge): 18 and 20 km from the region's middle at 4.46° E, which only R051 really covers.
The practice scenes shift R008's swath those 18 km to the west; its slope is the real one.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pandas as pd

from s2kit.scenes.product import RELATIVE_ORBITS

FIRST, LAST = date(2021, 4, 1), date(2023, 3, 31)
_ANCHOR = {51: date(2018, 1, 1), 8: date(2022, 6, 16)}
_SENSING = {51: time(10, 56, 8), 8: time(10, 46, 11)}
_KEEP = {51: (5, (0, 2)), 8: (5, (1,))}
"""Thinning: of every so many passes of an orbit, those with these positions."""

_CYCLE = len(RELATIVE_ORBITS)

_START = {51: (10, 50, 31), 8: (10, 36, 31)}
_LATER_IN_WINTER = (190, 130, 0, 0, 0, 0, 0, 0, 0, 50, 110, 190)
"""Seconds by which the datatake starts later, by month: chosen, after names of real products."""

_BASELINES = (
    (date(2021, 3, 30), "03.00"),
    (date(2021, 6, 30), "03.01"),
    (date(2022, 1, 25), "04.00"),
    (date(2022, 12, 6), "05.09"),
)

_SKIES = ("clear", "scattered", "broken", "clear", "cirrus", "scattered", "broken", "overcast")
"""Weather, day by day in turn (chosen)."""
_SPECIAL_SKIES = {
    date(2021, 10, 7): "fog",
    date(2022, 1, 5): "snow",
    date(2022, 1, 30): "clear",
    date(2022, 12, 31): "snow",
}

SPLIT_DAY = date(2022, 8, 3)
"""R051: tile 31UET comes as two products, one per datastrip."""
REPROCESSED_DAY = date(2021, 6, 29)
"""R051: tile 31UET comes a second time, with baseline 05.00."""


@dataclass(frozen=True)
class Overpass:
    """One datatake over the region.

    Parameters
    ----------
    day : datetime.date
        Day of acquisition.
    orbit : int
        Relative orbit, 51 or 8.
    sky : str
        Weather: ``clear``, ``scattered``, ``broken``, ``cirrus``, ``overcast``, ``fog``, ``snow``.
    """

    day: date
    orbit: int
    sky: str

    @property
    def spacecraft(self) -> str:
        """``"A"`` or ``"B"``."""
        return "AB"[(self.day - _ANCHOR[self.orbit]).days % 10 // 5]

    @property
    def start(self) -> datetime:
        """Start of the datatake, UTC: S2A names end on 1, S2B names on 9."""
        later = _LATER_IN_WINTER[self.day.month - 1] - (252 if self.spacecraft == "B" else 0)
        first = datetime.combine(self.day, time(*_START[self.orbit]), UTC)
        start = first + timedelta(seconds=later if self.orbit == 51 else max(later, 0))
        return start.replace(second=start.second // 10 * 10 + (1 if self.spacecraft == "A" else 9))

    @property
    def sensing(self) -> datetime:
        """When the tile is seen, UTC."""
        return datetime.combine(self.day, _SENSING[self.orbit], UTC)

    @property
    def baseline(self) -> str:
        """Processing baseline of the day, ``"03.01"``."""
        return max(b for b in _BASELINES if b[0] <= self.day)[1]

    @property
    def absolute_orbit(self) -> int:
        """Number of the orbit since launch.

        Counted from A013204 of S2A on 2018-01-01 and A026649 of S2B (R025) on 2022-04-13.
        """
        anchor, number, relative = {
            "A": (date(2018, 1, 1), 13_204, 51),
            "B": (date(2022, 4, 13), 26_649, 25),
        }[self.spacecraft]
        guess = number + (self.day - anchor).days * 14.3
        number += (self.orbit - relative) % _CYCLE
        return number + _CYCLE * round((guess - number) / _CYCLE)


def sun_angles(
    when: datetime, *, latitude: float = 52.02, longitude: float = 4.46
) -> tuple[float, float]:
    """Compute the position of the sun, to 0.01° between 1950 and 2050.

    Parameters
    ----------
    when : datetime.datetime
        With time zone.
    latitude, longitude : float
        Degrees, north and east positive; by default those of the region.

    Returns
    -------
    tuple of float = (zenith, azimuth)
        Degrees; azimuth clockwise from north; refraction left out.

    References
    ----------
    J. J. Michalsky (1988), The Astronomical Almanac's algorithm for approximate solar position
    (1950-2050), Solar Energy 40, 227-235, doi:10.1016/0038-092X(88)90045-X.
    """
    days = (when - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=1)
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(
        280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    tilt = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    hours = when.hour + when.minute / 60 + when.second / 3600
    sidereal = np.radians((6.697375 + 0.0657098242 * days + hours) * 15 + longitude)
    hour_angle, north_angle = sidereal - ascension, np.radians(latitude)
    # from the equator's system to that of the horizon
    up = np.sin(declination) * np.sin(north_angle)
    up += np.cos(declination) * np.cos(north_angle) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    north = np.sin(declination) * np.cos(north_angle)
    north -= np.cos(declination) * np.sin(north_angle) * np.cos(hour_angle)
    return float(np.degrees(np.arccos(up))), float(np.degrees(np.arctan2(east, north)) % 360)


def _passes(orbit: int) -> dict[date, bool]:
    """Return the days on which either satellite passes on the orbit, and whether they are kept."""
    ahead = (FIRST - _ANCHOR[orbit]).days % -5
    days = [FIRST + timedelta(days=n) for n in range(-ahead, (LAST - FIRST).days + 1, 5)]
    every, positions = _KEEP[orbit]
    return {day: n % every in positions for n, day in enumerate(days)}


def passes() -> pd.DataFrame:
    """Return every pass of the two orbits in the two years, also those without practice scenes.

    Returns
    -------
    pandas.DataFrame
        A row for each pass, in order of time: ``relative_orbit``; ``spacecraft``, ``"S2A"`` or
        ``"S2B"``; ``sensing``, when the region is seen, UTC to the second; ``kept``, whether the
        practice scenes hold it, bool.

    Examples
    --------
    >>> table = passes()
    >>> len(table), int(table.kept.sum())
    (292, 88)
    >>> table[table.relative_orbit == 51].sensing.diff().max()
    Timedelta('5 days 00:00:00')
    >>> table[table.kept & (table.relative_orbit == 51)].sensing.diff().max()
    Timedelta('15 days 00:00:00')
    """
    rows = [
        (orbit, f"S2{taken.spacecraft}", taken.sensing, kept)
        for orbit in _ANCHOR
        for day, kept in _passes(orbit).items()
        for taken in [Overpass(day, orbit, "")]
    ]
    table = pd.DataFrame(rows, columns=["relative_orbit", "spacecraft", "sensing", "kept"])
    return table.sort_values("sensing", ignore_index=True)


def overpasses() -> list[Overpass]:
    """Return every overpass of the practice scenes, in order of time."""
    every = [(day, orbit, kept) for orbit in _ANCHOR for day, kept in _passes(orbit).items()]
    days = sorted((day, orbit) for day, orbit, kept in every if kept)
    return [
        Overpass(day, orbit, _SPECIAL_SKIES.get(day, _SKIES[n % len(_SKIES)]))
        for n, (day, orbit) in enumerate(days)
    ]
