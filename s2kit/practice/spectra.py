"""Reflectance of each surface by band and day: spectra, crop phenology, soil moisture.

A surface is a mixture ``green · g + straw · s + base · (1 - g - s)`` of a green canopy, dead plant
matter and what lies under them. The covers g and s follow the calendar of the crop.

The spectra are typical figures, rounded to the band: soil, sand, roofs and straw after the ASTER
library (Baldridge et al. 2009, doi:10.1016/j.rse.2008.11.007) and the USGS library (Kokaly et al.
2017, doi:10.3133/ds1035); canopies in the range of Clevers and Gitelson (2013,
doi:10.1016/j.jag.2012.10.008) for Dutch potato and grass; inland water after Dekker (1993,
Detection of optical water quality parameters for eutrophic waters by high resolution remote
sensing, thesis, VU Amsterdam); snow after Dozier (1989, doi:10.1016/0034-4257(89)90101-6). The
negative SWIR of the lake is chosen: it is what an atmospheric correction that takes off a little
too much delivers, and the truth keeps it. The calendars are chosen, by Dutch practice; so is how
far fields of a crop differ in them, in vigour, in leaves, in soil and in what grows in winter.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator


def _read(table: str) -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name(f"{table}.csv"), index_col=0)


SPECTRA = _read("spectra").astype("float32") / 1000
"""Reflectance (0-1) by material (row) and band, float32."""

SURFACES = _read("surfaces")
"""Kinds of surface, by name.

Columns: ``canopy`` and ``base``, materials of the green canopy and of what lies under it;
``calendar``, the year's course of the cover; ``rough``, the relative spread of brightness and cover
within a parcel; ``spread``, days by which sowing and variety move the calendar from field to field
(standard deviation); ``winter``, the spread of the logarithm of the winter cover from field to
field: catch crops, weeds, sowing before winter; ``snow``, the share of a snow fall that stays
visible from above.
"""

_CALENDARS = {name: course.to_numpy() for name, course in _read("calendars").groupby(level=0)}
"""Day of the year, green and straw cover (0-1) at the knots of a year's course."""

_BARE = ("clay", "sand")
_WETTING = np.array([0.42, 0.42, 0.42, 0.42, 0.43, 0.43, 0.44, 0.45, 0.52, 0.58], "float32")
"""Darkening of wet soil by band; stronger in the SWIR (Lobell and Asner 2002,
doi:10.2136/sssaj2002.7220)."""


def moisture(day: date) -> float:
    """Return the wetness of the top soil, 0-1: high in winter, with wet and dry weeks (chosen)."""
    week, part = divmod(day.toordinal(), 7)
    weeks = [np.random.default_rng([21, week + n]).uniform(-0.3, 0.3) for n in (0, 1)]
    season = 0.45 + 0.27 * np.cos(2 * np.pi * (_year_day(day) - 20) / 365)
    return float(np.clip(season + weeks[0] + (weeks[1] - weeks[0]) * part / 7, 0, 1))


def covers(parcels: pd.DataFrame, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Return green and straw cover (0-1) of each parcel on a day, each of shape (n_parcels,)."""
    green, straw = np.zeros((2, len(parcels)))
    calendars = SURFACES["calendar"].loc[parcels["surface"]].to_numpy()
    for name, knots in _CALENDARS.items():
        rows = calendars == name
        shifted = (_year_day(day) - parcels["shift"].to_numpy()[rows]) % 365
        green[rows], straw[rows] = _course(knots)(shifted).T
    green *= parcels["vigour"].to_numpy() * _after_mowing(parcels, day)
    green *= 1 + (parcels["winter"].to_numpy() - 1) * _winter(day)
    return green, straw * np.minimum(1, (1 - green) / np.maximum(straw, 1e-6))


def parcel_spectra(parcels: pd.DataFrame, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean reflectance of each parcel, and its change with the texture.

    Parameters
    ----------
    parcels : pandas.DataFrame
        Columns surface, shift (days), vigour, leaf and brightness (of canopy and of soil, about
        1), winter (factor of the winter cover) and mown (days between cuts).
    day : datetime.date
        Any day.

    Returns
    -------
    mean, slope : numpy.ndarray = (n_parcels, 10), float32
        Reflectance of a place is ``mean + slope · texture``; bands as in `BANDS`.
    """
    green, straw = covers(parcels, day)
    rough = SURFACES["rough"].loc[parcels["surface"]].to_numpy()
    mean = _mix(parcels, green, straw, day)
    more = _mix(parcels, green + rough * green * (2.2 - 2 * green), straw, day)
    slope = more - mean + mean * (rough * np.where(green > 0.5, 0.2, 0.45))[:, None]
    return mean.astype("float32"), slope.astype("float32")


def _mix(parcels: pd.DataFrame, green: np.ndarray, straw: np.ndarray, day: date) -> np.ndarray:
    kinds = SURFACES.loc[parcels["surface"]]
    canopy, base = (SPECTRA.loc[kinds[part]].to_numpy() for part in ("canopy", "base"))
    wet = kinds["base"].isin(_BARE).to_numpy() * moisture(day)
    base = base * (1 - wet[:, None] * _WETTING) * parcels["brightness"].to_numpy()[:, None]
    canopy = canopy * parcels["leaf"].to_numpy()[:, None]
    rest = np.maximum(1 - green - straw, 0)
    return (
        green[:, None] * canopy
        + straw[:, None] * SPECTRA.loc["straw"].to_numpy()
        + rest[:, None] * base
    )


def _course(knots: np.ndarray) -> PchipInterpolator:
    """Return the year's course as a smooth curve through its knots, repeated for three years."""
    days = np.concatenate([knots[:, 0] + 365 * n for n in (-1, 0, 1)])
    return PchipInterpolator(days, np.tile(knots[:, 1:], (3, 1)))


def _after_mowing(parcels: pd.DataFrame, day: date) -> np.ndarray:
    """Return the share of green cover after mowing: cuts from May to October, then regrowth."""
    every, offset = parcels["mown"].to_numpy(), parcels["shift"].to_numpy()
    since = np.mod(_year_day(day) - 125 - offset, np.where(every > 0, every, 1))
    mown = (every > 0) & (_year_day(day) >= 125 + offset) & (_year_day(day) <= 300)
    return np.where(mown, 1 - 0.5 * np.exp(-since / 11), 1)


def _winter(day: date) -> float:
    """Return how far it is winter: 1 from November to March, 0 from the end of May to September."""
    return float(np.clip(0.5 + 0.9 * np.cos(2 * np.pi * (_year_day(day) - 15) / 365), 0, 1))


def _year_day(day: date) -> int:
    return day.timetuple().tm_yday
