"""The sky over the region: clouds and their shadows, cirrus, fog, haze, snow, water vapour.

Clouds are smooth noise with a power-law spectrum, cut at the wanted cover. The noise repeats at
its edges, so that a shadow is the same field shifted away from the sun by cloud height times the
tangent of the zenith angle. All amounts are chosen; only the geometry is physics.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from s2kit.practice.geometry import CANVAS
from s2kit.practice.overpasses import Overpass, sun_angles

STEP = 20
"""Metres: pixel of the sky's grids; they cover `CANVAS`."""

_SIZE = 768
"""Pixels of the repeating noise, 15 km: the longest shadow still fits."""

COVER = {"scattered": 0.16, "broken": 0.5, "overcast": 1.0}


@dataclass(frozen=True)
class Sky:
    """Atmosphere and snow between land and sensor, arrays (n_y, n_x) float32 at 20 m.

    Parameters
    ----------
    cloud, cirrus : numpy.ndarray
        Opacity 0-1 of cloud (or fog) and of cirrus.
    shadow : numpy.ndarray
        Share 0-1 of the direct sunlight that cloud takes away from the ground.
    snow : float
        Share of open ground under snow.
    vapour : numpy.ndarray
        Water vapour, cm.
    haze : float
        Error of the atmospheric correction in the blue, reflectance.
    gain : float
        Effect of the view and sun angle on the land's reflectance, about 1.
    """

    cloud: np.ndarray
    cirrus: np.ndarray
    shadow: np.ndarray
    snow: float
    vapour: np.ndarray
    haze: float
    gain: float


def sky(overpass: Overpass) -> Sky:
    """Return the weather of an overpass; always the same for the same one."""
    rng = np.random.default_rng([3, overpass.day.toordinal(), overpass.orbit])
    cloud = _cloud(rng, overpass.sky)
    height = rng.uniform(600, 1500) * (0.4 if overpass.sky == "fog" else 1)
    clear = overpass.sky in ("clear", "snow")
    return Sky(
        cloud=_window(cloud),
        shadow=_window(cloud, _shadow_shift(height, sun_angles(overpass.sensing))),
        cirrus=_cirrus(rng) if overpass.sky == "cirrus" else np.zeros_like(_window(cloud)),
        snow=0.92 if overpass.sky == "snow" else 0.0,
        vapour=_vapour(rng, overpass),
        haze=float(rng.normal(0, 0.0015 if clear else 0.003)),
        gain=float(rng.normal(1, 0.012)) * (0.985 if overpass.orbit == 8 else 1.0),
    )


def finer(field: np.ndarray) -> np.ndarray:
    """Return a grid of the sky at 10 m, linear between the 20 m centres."""
    return zoom(field, 2, order=1, grid_mode=True, mode="nearest")


@cache
def _frequency() -> np.ndarray:
    axis = np.fft.fftfreq(_SIZE) * _SIZE
    radius = np.hypot(axis[:, None], axis[None, : _SIZE // 2 + 1])
    radius[0, 0] = 1
    return radius.astype("float32")


def _noise(rng: np.random.Generator, *, power: float, largest: float) -> np.ndarray:
    """Return repeating smooth noise, mean 0 and spread 1; ``largest`` limits its size, metres."""
    spectrum = np.fft.rfft2(rng.standard_normal((_SIZE, _SIZE), "float32"))
    least = _SIZE * STEP / largest
    spectrum *= _frequency() ** -power * (1 - np.exp(-((_frequency() / least) ** 4)))
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (_SIZE, _SIZE)).astype("float32")
    return noise / noise.std()


def _cloud(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Return the opacity of the cloud field, repeating."""
    noise = _noise(rng, power=2.05, largest=rng.uniform(2500, 4500))
    if kind == "fog":
        return 1 - np.exp(-np.maximum(1.25 + 0.4 * noise, 0.15))
    if kind not in COVER:
        return np.zeros_like(noise)
    if kind == "overcast":
        return 1 - np.exp(-np.maximum(6 + 1.5 * noise, 3.5))
    edge = np.quantile(noise, 1 - COVER[kind] * rng.uniform(0.7, 1.2))
    return 1 - np.exp(-4.5 * np.maximum(noise - edge, 0) ** 1.3)


def _cirrus(rng: np.random.Generator) -> np.ndarray:
    """Return thin streaks: noise drawn out along one direction."""
    noise = _noise(rng, power=1.9, largest=9000)
    streaks = gaussian_filter(_window(noise), (3, 14), mode="nearest")
    streaks = (streaks - streaks.min()) / np.ptp(streaks)
    return (0.03 + 0.22 * np.clip(streaks * 1.6 - 0.5, 0, 1)).astype("float32")


def _shadow_shift(height: float, sun: tuple[float, float]) -> tuple[int, int]:
    """Return the pixels (rows, columns) from a place on the ground to the cloud that shades it."""
    zenith, azimuth = np.radians(sun)
    distance = height * np.tan(zenith) / STEP
    return round(-distance * np.cos(azimuth)), round(distance * np.sin(azimuth))


def _window(field: np.ndarray, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Return a repeating field on the canvas, shifted by ``shift`` pixels."""
    height, width = CANVAS.shape(STEP)
    rows = (np.arange(height) + shift[0]) % _SIZE
    columns = (np.arange(width) + shift[1]) % _SIZE
    return field[rows[:, None], columns[None, :]]


def _vapour(rng: np.random.Generator, overpass: Overpass) -> np.ndarray:
    """Return water vapour: about 1 cm in winter and 2.5 cm in summer, smooth."""
    season = 1.7 - 0.75 * np.cos(2 * np.pi * (overpass.day.timetuple().tm_yday - 25) / 365)
    smooth = _window(_noise(rng, power=2.6, largest=15_000))
    return np.maximum(season * rng.uniform(0.75, 1.3) + 0.04 * smooth, 0.2)
