"""Make the pictures of an executed notebook small enough for a page of the web.

An image of 500 × 500 pixels is 0.4 to 1.2 MB in a page, most of it digits that nobody sees: a
colour map has 256 colours. Rounded values compress three times as well.
"""

import gzip
import re
from base64 import b64decode, b64encode

import numpy as np

LEVELS = 512
"""Steps into which the range of an image's values is divided, at least."""

BITS = 5
"""Bits that each of red, green and blue keeps."""

_ARRAY = re.compile(
    r'(?<="type":"bytes","data":")([^"]{20000,})'
    r'(?="\},"shape":\[\d+,\d+\],"dtype":"(uint32|float32|float64)")'
)


def lighten(html: str) -> str:
    """Round the images in the HTML of a Bokeh picture; all else stays as it is."""
    return _ARRAY.sub(_rounded, html)


def _rounded(found: re.Match) -> str:
    packed = b64decode(found[1])
    plain = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
    values = np.frombuffer(plain, found[2])
    values = round_colours(values) if found[2] == "uint32" else round_values(values)
    return b64encode(gzip.compress(values.tobytes(), 9, mtime=0)).decode()


def round_values(values: np.ndarray) -> np.ndarray:
    """Round to a power of two that divides the range of finite values into 512 to 1024 steps."""
    finite = values[np.isfinite(values)]
    span = float(np.ptp(finite)) if finite.size else 0.0
    if span == 0:
        return values
    step = 2.0 ** np.floor(np.log2(span / LEVELS))
    return (np.round(values / step) * step).astype(values.dtype)


def round_colours(colours: np.ndarray) -> np.ndarray:
    """Round red, green and blue of packed colours, uint32 RGBA, to 32 levels from 0 to 255."""
    parts = colours.view("u1").reshape(-1, 4).copy()
    top = 2**BITS - 1
    parts[:, :3] = np.round(np.round(parts[:, :3] / 255 * top) * 255 / top)
    return parts.view(colours.dtype).ravel()
