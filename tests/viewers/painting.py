"""What a map of a viewer shows, and what it should by plain numpy."""

import html
import re

import numpy as np


def seen(shown):
    """Return the colours on a map, shape (y, x, 4), north up, and west, south, east, north."""
    data = shown._image.data
    if not data["image"]:
        return None, None
    packed = data["image"][0]
    picture = packed.view("u1").reshape(*packed.shape, 4)[::-1]
    west, south, width, height = (data[name][0] for name in ("x", "y", "dw", "dh"))
    return picture, (west, south, west + width, south + height)


def words(pane):
    """Return the text of a pane of HTML."""
    return html.unescape(re.sub("<[^>]*>", "", pane.object))


def assert_mix(picture, values, highs):
    """Compare with three bands, float, last axis, scaled from 0 to the reflectances ``highs``."""
    known = np.isfinite(values).all(-1)
    scaled = np.clip(values / highs * 255, 0, 255)
    np.testing.assert_array_equal(picture[..., 3], 255 * known)
    assert (abs(picture[known][:, :3] - scaled[known]) <= 1.001).all()


def assert_layer(picture, values, low, high, palette, slack=0.01):
    """Compare with numbers between two limits; on the border of two colours, either will do."""
    place = np.nan_to_num((values.astype("f8") - low) / (high - low) * 255)
    table = np.array([[int(word[i : i + 2], 16) for i in (1, 3, 5)] for word in palette])
    known = np.isfinite(values)
    np.testing.assert_array_equal(picture[..., 3], 255 * known)
    fits = ~known
    for shift in (-slack, 0, slack):
        fits |= (picture[..., :3] == table[(place + shift).clip(0, 255).astype(int)]).all(-1)
    assert fits.all()
