"""Numbers become colours: mixes of bands, colour maps, classes; the same in all viewers."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from bokeh.palettes import Cividis256, Greys256, Viridis256

from s2kit.cube.layers import LAYER_SPECS
from s2kit.errors import InvalidInputError

BLUE, GREY, ORANGE = "#0072B2", "#8A8A8A", "#D55E00"

PLACE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""For places, in order; people who see few colours tell them apart (Okabe and Ito 2008)."""

COLOUR = re.compile("#[0-9A-Fa-f]{6}")
"""How colours are written."""

MAPS = {"viridis": Viridis256, "cividis": Cividis256, "grey": Greys256}
"""Colour maps whose lightness grows from one end to the other."""

_MASKED = np.array([230, 0, 160], "float32")
_SHARE = np.float32(0.55)
"""What is not clear is tinted: magenta, which no picture of land has by itself."""


@dataclass(frozen=True)
class Mix:
    """Three bands as red, green and blue, and the reflectance at which each is brightest."""

    bands: tuple[str, str, str]
    brightest: tuple[float, float, float]

    @property
    def scale(self) -> dict[str, float]:
        """What limits are multiplied by for each band: those that are told are the last one's."""
        last = self.brightest[-1]
        return {band: own / last for band, own in zip(self.bands, self.brightest, strict=True)}


MIXES = {
    "True colour": Mix(("B04", "B03", "B02"), (0.2, 0.2, 0.2)),
    "False colour": Mix(("B08", "B04", "B03"), (0.5, 0.2, 0.2)),
}


def percentile_limits(layers: Sequence[np.ndarray], cut: float = 2) -> tuple[float, float] | None:
    """Give the range without the lowest and highest ``cut`` % of all values; None without any."""
    values = np.concatenate([layer[np.isfinite(layer)] for layer in layers]).astype("float64")
    if not len(values):
        return None
    low, high = (float(v) for v in np.percentile(values, (cut, 100 - cut)))
    half = max(0.5e-3, 1e-3 * abs(low))
    return (low, high) if high > low else (low - half, high + half)


def rounded(low: float, high: float) -> tuple[float, float]:
    """Give limits in as few digits as tell them apart: to a hundredth of what lies between."""
    if not low < high:
        return low, high
    digits = 2 - math.floor(math.log10(high - low))
    return round(low, digits), round(high, digits)


def paint_mix(layers: Sequence[np.ndarray], lows: Sequence[float], highs: Sequence[float]):
    """Paint three bands.

    Parameters
    ----------
    layers : sequence of numpy.ndarray, shape (y, x), float32
        Red, green and blue; where one has no data, the pixel stays transparent.
    lows, highs : sequence of float
        Darkest and brightest value of each.

    Returns
    -------
    numpy.ndarray, shape (y, x, 4), uint8
    """
    out = np.empty((*layers[0].shape, 4), "uint8")
    known = np.ones(layers[0].shape, bool)
    for channel, (layer, low, high) in enumerate(zip(layers, lows, highs, strict=True)):
        known &= np.isfinite(layer)
        out[..., channel] = _to_byte(layer, low, high)
    out[..., 3] = known * np.uint8(255)
    return out


def paint_layer(layer: np.ndarray, low: float, high: float, palette: Sequence[str]) -> np.ndarray:
    """Paint numbers with a colour map; see `paint_mix`."""
    out = table_of(palette)[_to_byte(layer, low, high)]
    out[..., 3] = np.isfinite(layer) * np.uint8(255)
    return out


def paint_classes(classes: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Paint classes by their number; class 0, no data, stays transparent."""
    table = np.zeros((256, 4), "uint8")
    table[: len(colours)] = table_of(colours)
    table[0] = 0
    return table[classes]


def tint(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mark pixels of a picture, shape (y, x, 4), and leave the others as they are."""
    out = picture.copy()
    mixed = picture[where, :3] * (1 - _SHARE) + _MASKED * _SHARE
    out[where, :3] = mixed.astype("uint8")
    return out


def table_of(colours: Sequence[str]) -> np.ndarray:
    """Give colours such as ``"#0072B2"`` as an array, shape (colour, 4), uint8."""
    digits = [colour.lstrip("#") + "ff" for colour in colours]
    rows = [[int(d[i : i + 2], 16) for i in range(0, 8, 2)] for d in digits]
    return np.array(rows, "uint8").reshape(-1, 4)


def classes_of(layer: xr.DataArray) -> list[tuple[int, str, str]]:
    """Return number, name and colour of each class; those of Sen2Cor if SCL tells nothing at all.

    Raises
    ------
    InvalidInputError
        If the layer does not describe its classes.
    """
    told = any(name in layer.attrs for name in ("flag_values", "flag_meanings", "flag_colors"))
    attrs = layer.attrs if told or layer.name != "SCL" else LAYER_SPECS["SCL"].attrs
    try:
        numbers = [int(n) for n in np.atleast_1d(attrs["flag_values"])]
        names = [name.replace("_", " ") for name in attrs["flag_meanings"].split()]
        painted = attrs["flag_colors"].split()
        wrong = [colour for colour in painted if not COLOUR.fullmatch(colour)]
        if wrong:  # they become a part of the page
            raise ValueError(f"{wrong[0]!r} is no colour such as #0072B2")
        return list(zip(numbers, names, painted, strict=True))
    except (KeyError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            f"{layer.name} lacks flag_values, flag_meanings or flag_colors ({error}); keep the "
            "attributes that open_cube gives"
        ) from error


def _to_byte(layer: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (layer - np.float32(low)) * np.float32(255 / (high - low))
    return np.nan_to_num(np.clip(scaled, 0, 255, out=scaled), copy=False).astype("uint8")
