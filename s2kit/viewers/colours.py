"""Colours of pictures: mixes of bands, colour maps and classes."""

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

PLACE_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *("#740AFF", "#4C005C", "#2BCE48", "#426600", "#808080", "#C20088", "#FF0010"),
    *("#990000", "#8F7C00", "#003380", "#005C31", "#0075DC", "#993F00"),
)
"""For places, in order.

The first seven are those of Okabe and Ito (2008), which the colour-blind can distinguish. The
others are of the colour alphabet (Green-Armytage 2010, Journal of the International Colour
Association 5), each the farthest in CIELAB from those before it, with a contrast of 2:1 to white.
"""

COLOUR = re.compile("#[0-9A-Fa-f]{6}")
"""Notation of a colour."""

MAPS = {"viridis": Viridis256, "cividis": Cividis256, "grey": Greys256}
"""Colour maps of increasing lightness."""

_MASKED = np.array([230, 0, 160], "float32")
_SHARE = np.float32(0.55)
"""Tint of pixels that are not clear: magenta, which is rare on land."""


@dataclass(frozen=True)
class Mix:
    """Three bands as red, green and blue, and the reflectance at which each is brightest."""

    bands: tuple[str, str, str]
    brightest: tuple[float, float, float]

    @property
    def scale(self) -> dict[str, float]:
        """Factor of the limits for each band; the limits shown are those of the last one."""
        last = self.brightest[-1]
        return {band: own / last for band, own in zip(self.bands, self.brightest, strict=True)}


MIXES = {
    "True colour": Mix(("B04", "B03", "B02"), (0.2, 0.2, 0.2)),
    "False colour": Mix(("B08", "B04", "B03"), (0.5, 0.2, 0.2)),
}


def percentile_limits(layers: Sequence[np.ndarray], cut: float = 2) -> tuple[float, float] | None:
    """Return the range without the lowest and highest ``cut`` % of all values; None without any."""
    values = np.concatenate([layer[np.isfinite(layer)] for layer in layers]).astype("float64")
    if not len(values):
        return None
    low, high = (float(v) for v in np.percentile(values, (cut, 100 - cut)))
    half = max(0.5e-3, 1e-3 * abs(low))
    return (low, high) if high > low else (low - half, high + half)


def rounded(low: float, high: float) -> tuple[float, float]:
    """Return limits rounded to a hundredth of their difference."""
    if not low < high:
        return low, high
    digits = 2 - math.floor(math.log10(high - low))
    return round(low, digits), round(high, digits)


def paint_mix(
    layers: Sequence[np.ndarray], lows: Sequence[float], highs: Sequence[float]
) -> np.ndarray:
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
    """Return a picture, shape (y, x, 4), with some pixels tinted."""
    out = picture.copy()
    mixed = picture[where, :3] * (1 - _SHARE) + _MASKED * _SHARE
    out[where, :3] = mixed.astype("uint8")
    return out


def table_of(colours: Sequence[str]) -> np.ndarray:
    """Return colours such as ``"#0072B2"`` as an array, shape (colour, 4), uint8."""
    digits = "".join(colour.lstrip("#") + "ff" for colour in colours)
    return np.frombuffer(bytes.fromhex(digits), "uint8").reshape(-1, 4)


def classes_of(layer: xr.DataArray) -> list[tuple[int, str, str]]:
    """Return number, name and colour of each class; those of Sen2Cor for SCL without attributes.

    Raises
    ------
    InvalidInputError
        If the layer does not describe its classes.
    """
    described = any(name in layer.attrs for name in ("flag_values", "flag_meanings", "flag_colors"))
    attrs = layer.attrs if described or layer.name != "SCL" else LAYER_SPECS["SCL"].attrs
    try:
        numbers = [int(n) for n in np.atleast_1d(attrs["flag_values"])]
        names = [name.replace("_", " ") for name in attrs["flag_meanings"].split()]
        colours = attrs["flag_colors"].split()
        wrong = [colour for colour in colours if not COLOUR.fullmatch(colour)]
        if wrong:  # they become part of the HTML
            raise ValueError(f"{wrong[0]!r} is no colour such as #0072B2")
        return list(zip(numbers, names, colours, strict=True))
    except (KeyError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            f"{layer.name} lacks flag_values, flag_meanings or flag_colors ({error}); keep the "
            "attributes that open_cube gives"
        ) from error


def _to_byte(layer: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (layer - np.float32(low)) * np.float32(255 / (high - low))
    return np.nan_to_num(np.clip(scaled, 0, 255, out=scaled), copy=False).astype("uint8")
