"""What each surface reflects in each band on each day: spectra, crop phenology, soil moisture.

A surface is a mixture ``green · g + straw · s + base · (1 - g - s)`` of a green canopy, dead plant
matter and what lies under them. The covers g and s follow the calendar of the crop.

The spectra are typical figures, rounded to the band: soil, sand, roofs and straw after the ASTER
library (Baldridge et al. 2009, doi:10.1016/j.rse.2008.11.007) and the USGS library (Kokaly et al.
2017, doi:10.3133/ds1035); canopies in the range of Clevers and Gitelson (2013,
doi:10.1016/j.jag.2012.10.008) for Dutch potato and grass; inland water after Dekker (1993,
Detection of optical water quality parameters for eutrophic waters by high resolution remote
sensing, thesis, VU Amsterdam); snow after Dozier (1989, doi:10.1016/0034-4257(89)90101-6). The
negative values of dark water are chosen: they are what an atmospheric correction that takes off a
little too much delivers, and the truth keeps them. The calendars are chosen, by Dutch practice.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

SPECTRA = {
    name: np.array(values, "float32") / 1000
    for name, values in {
        # name:       B02  B03  B04  B05  B06  B07  B08  B8A  B11  B12
        "grass": (26, 60, 31, 98, 300, 385, 405, 420, 205, 102),
        "wheat": (22, 48, 24, 80, 270, 350, 370, 388, 165, 80),
        "potato": (27, 60, 29, 98, 340, 440, 460, 475, 205, 98),
        "beet": (28, 68, 30, 108, 375, 485, 508, 525, 212, 102),
        "maize": (25, 54, 28, 88, 295, 385, 405, 425, 185, 84),
        "onion": (36, 66, 42, 97, 245, 305, 325, 340, 190, 100),
        "leaves": (18, 36, 18, 62, 235, 315, 335, 350, 145, 62),
        "straw": (72, 108, 138, 168, 202, 228, 252, 272, 340, 258),
        "clay": (76, 100, 128, 144, 160, 171, 187, 201, 280, 250),
        "branches": (34, 45, 54, 70, 104, 120, 130, 140, 175, 112),
        "sand": (160, 202, 246, 266, 281, 292, 304, 316, 385, 345),
        "lake": (21, 30, 15, 11, 3, 1, -4, -5, -7, -6),
        "canal": (29, 43, 29, 25, 12, 9, 4, 3, 0, -1),
        "tiles": (62, 78, 140, 178, 208, 222, 238, 250, 310, 272),
        "bitumen": (82, 90, 97, 102, 108, 112, 118, 123, 148, 140),
        "gravel": (210, 228, 240, 246, 250, 254, 258, 262, 272, 250),
        "paving": (92, 106, 124, 136, 145, 151, 158, 164, 205, 190),
        "asphalt": (76, 85, 95, 101, 107, 111, 116, 121, 152, 142),
        "glass": (118, 136, 130, 152, 232, 270, 285, 296, 190, 138),
    }.items()
}
"""Reflectance (0-1) by material, in the order of `BANDS`."""

SNOW = np.array([870, 870, 860, 850, 840, 825, 810, 790, 120, 100], "float32") / 1000
"""Reflectance of fresh snow."""

Knots = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Surface:
    """One kind of surface.

    Parameters
    ----------
    green, base : str
        Materials of the canopy and of what lies under it, keys of `SPECTRA`.
    calendar : tuple of (day of year, green cover, straw cover)
        The year's course, repeated every year.
    rough : float
        Relative spread of brightness and cover within a parcel.
    snow : float
        Share of a snow fall that stays visible from above.
    """

    green: str
    base: str
    calendar: Knots
    rough: float
    snow: float


def _steady(green: float) -> Knots:
    return ((1, green, 0.0),)


_WHEAT = (
    (1, 0.22, 0), (60, 0.28, 0), (90, 0.5, 0), (118, 0.86, 0), (150, 0.93, 0), (170, 0.86, 0.06),
    (190, 0.38, 0.5), (204, 0.06, 0.85), (214, 0.03, 0.55), (235, 0.06, 0.3), (255, 0.28, 0.05),
    (275, 0.3, 0.02), (288, 0.02, 0.04), (310, 0.03, 0), (335, 0.14, 0), (360, 0.21, 0),
)  # fmt: skip
_POTATO = (
    (1, 0.06, 0), (75, 0.07, 0), (100, 0.01, 0), (138, 0.03, 0), (160, 0.4, 0), (182, 0.92, 0),
    (215, 0.9, 0), (240, 0.62, 0.14), (255, 0.16, 0.36), (266, 0.03, 0.16), (285, 0.01, 0.03),
    (320, 0.04, 0), (350, 0.06, 0),
)  # fmt: skip
_BEET = (
    (1, 0.02, 0.03), (80, 0.03, 0), (118, 0.02, 0), (145, 0.22, 0), (172, 0.78, 0), (192, 0.95, 0),
    (245, 0.95, 0), (285, 0.88, 0), (305, 0.8, 0.03), (314, 0.12, 0.12), (335, 0.02, 0.05),
)  # fmt: skip
_MAIZE = (
    (1, 0.3, 0.02), (60, 0.34, 0), (92, 0.5, 0), (106, 0.05, 0.04), (140, 0.02, 0), (160, 0.2, 0),
    (184, 0.75, 0), (205, 0.93, 0), (244, 0.86, 0.05), (262, 0.5, 0.35), (271, 0.05, 0.3),
    (290, 0.08, 0.1), (315, 0.22, 0.03), (345, 0.29, 0.02),
)  # fmt: skip
_ONION = (
    (1, 0.04, 0), (80, 0.05, 0), (95, 0.01, 0), (124, 0.03, 0), (150, 0.2, 0), (174, 0.55, 0),
    (196, 0.74, 0), (214, 0.52, 0.12), (230, 0.2, 0.36), (246, 0.04, 0.18), (265, 0.02, 0.03),
    (300, 0.2, 0), (335, 0.1, 0.04),
)  # fmt: skip
_GRASS = ((1, 0.66, 0.03), (55, 0.66, 0.03), (85, 0.78, 0), (115, 0.95, 0), (185, 0.92, 0.02),
          (225, 0.86, 0.05), (275, 0.9, 0), (325, 0.74, 0.02))  # fmt: skip
_VERGE = ((1, 0.5, 0.1), (80, 0.58, 0.06), (120, 0.85, 0), (180, 0.78, 0.12), (230, 0.68, 0.16),
          (290, 0.66, 0.1))  # fmt: skip
_WOOD = (
    (1, 0.12, 0.05), (95, 0.15, 0.03), (118, 0.5, 0), (140, 0.94, 0), (250, 0.93, 0),
    (285, 0.72, 0.16), (308, 0.32, 0.3), (330, 0.13, 0.1),
)  # fmt: skip
_MARRAM = (
    (1, 0.14, 0.16),
    (110, 0.2, 0.1),
    (160, 0.32, 0.08),
    (230, 0.22, 0.18),
    (300, 0.18, 0.16),
)

SURFACES = {
    "grassland": Surface("grass", "clay", _GRASS, 0.055, 0.9),
    "winter wheat": Surface("wheat", "clay", _WHEAT, 0.08, 0.93),
    "potato": Surface("potato", "clay", _POTATO, 0.08, 0.95),
    "sugar beet": Surface("beet", "clay", _BEET, 0.08, 0.95),
    "maize": Surface("maize", "clay", _MAIZE, 0.08, 0.93),
    "onion": Surface("onion", "clay", _ONION, 0.08, 0.95),
    "verge": Surface("grass", "canal", _VERGE, 0.16, 0.75),
    "lake": Surface("grass", "lake", _steady(0), 0.03, 0),
    "canal": Surface("grass", "canal", _steady(0.01), 0.05, 0),
    "reed": Surface("grass", "canal", _MARRAM, 0.2, 0.5),
    "wood": Surface("leaves", "branches", _WOOD, 0.2, 0.3),
    "marram": Surface("grass", "sand", _MARRAM, 0.3, 0.8),
    "sand": Surface("grass", "sand", _steady(0.02), 0.09, 0.85),
    "tiles": Surface("grass", "tiles", _steady(0), 0.22, 0.6),
    "bitumen": Surface("grass", "bitumen", _steady(0), 0.25, 0.65),
    "gravel": Surface("grass", "gravel", _steady(0), 0.3, 0.65),
    "garden": Surface("leaves", "paving", _VERGE, 0.4, 0.6),
    "park": Surface("grass", "clay", _VERGE, 0.2, 0.75),
    "paving": Surface("grass", "paving", _steady(0.05), 0.15, 0.3),
    "asphalt": Surface("grass", "asphalt", _steady(0.02), 0.1, 0.05),
    "glass": Surface("grass", "glass", _steady(0), 0.12, 0),
}

_BARE = frozenset({"clay", "sand"})
_WETTING = np.array([0.42, 0.42, 0.42, 0.42, 0.43, 0.43, 0.44, 0.45, 0.52, 0.58], "float32")
"""Darkening of wet soil by band; stronger in the SWIR (Lobell and Asner 2002,
doi:10.2136/sssaj2002.7220)."""


def moisture(day: date) -> float:
    """Wetness of the top soil, 0-1: high in winter, with wet and dry weeks (chosen)."""
    week, part = divmod(day.toordinal(), 7)
    weeks = [np.random.default_rng([21, week + n]).uniform(-0.3, 0.3) for n in (0, 1)]
    season = 0.45 + 0.27 * np.cos(2 * np.pi * (_year_day(day) - 20) / 365)
    return float(np.clip(season + weeks[0] + (weeks[1] - weeks[0]) * part / 7, 0, 1))


def covers(parcels: pd.DataFrame, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Green and straw cover (0-1) of each parcel on a day, each of shape (n_parcels,)."""
    green, straw = np.zeros((2, len(parcels)))
    for name, surface in SURFACES.items():
        rows = (parcels["surface"] == name).to_numpy()
        shifted = (_year_day(day) - parcels["shift"].to_numpy()[rows]) % 365
        green[rows], straw[rows] = _course(surface.calendar)(shifted).T
    green *= parcels["vigour"].to_numpy() * _after_mowing(parcels, day)
    return green, straw * np.minimum(1, (1 - green) / np.maximum(straw, 1e-6))


def parcel_spectra(parcels: pd.DataFrame, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Mean reflectance of each parcel, and its change with the texture.

    Parameters
    ----------
    parcels : pandas.DataFrame
        Columns surface, shift (days), vigour, brightness and mown (days between cuts).
    day : datetime.date
        Any day.

    Returns
    -------
    mean, slope : numpy.ndarray = (n_parcels, 10), float32
        Reflectance of a place is ``mean + slope · texture``; bands as in `BANDS`.
    """
    green, straw = covers(parcels, day)
    rough = parcels["surface"].map(lambda name: SURFACES[name].rough).to_numpy()
    mean = _mix(parcels, green, straw, day)
    more = _mix(parcels, green + rough * green * (1 - green) * 2, straw, day)
    slope = more - mean + mean * (rough * np.where(green > 0.5, 0.2, 0.45))[:, None]
    return mean.astype("float32"), slope.astype("float32")


def _mix(parcels, green: np.ndarray, straw: np.ndarray, day: date) -> np.ndarray:
    kinds = parcels["surface"].map(SURFACES)
    canopy = np.stack([SPECTRA[kind.green] for kind in kinds])
    base = np.stack([SPECTRA[kind.base] for kind in kinds])
    wet = np.array([kind.base in _BARE for kind in kinds]) * moisture(day)
    base = base * (1 - wet[:, None] * _WETTING) * parcels["brightness"].to_numpy()[:, None]
    rest = np.maximum(1 - green - straw, 0)
    return green[:, None] * canopy + straw[:, None] * SPECTRA["straw"] + rest[:, None] * base


def _course(calendar: Knots) -> PchipInterpolator:
    """Draw the year's course as a smooth curve through its knots, over three years end to end."""
    knots = np.array(calendar)
    days = np.concatenate([knots[:, 0] + 365 * n for n in (-1, 0, 1)])
    return PchipInterpolator(days, np.tile(knots[:, 1:], (3, 1)))


def _after_mowing(parcels, day: date) -> np.ndarray:
    """Keep what mowing leaves of the green cover: cuts from May to October, then regrowth."""
    every, offset = parcels["mown"].to_numpy(), parcels["shift"].to_numpy()
    since = np.mod(_year_day(day) - 125 - offset, np.where(every > 0, every, 1))
    mown = (every > 0) & (_year_day(day) >= 125 + offset) & (_year_day(day) <= 300)
    return np.where(mown, 1 - 0.5 * np.exp(-since / 11), 1)


def _year_day(day: date) -> int:
    return day.timetuple().tm_yday
