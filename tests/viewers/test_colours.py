"""Colours against numpy written out: scaling, ends, classes, tint; limits against np.percentile."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from bokeh.palettes import Viridis256
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from s2kit.errors import InvalidInputError
from s2kit.viewers import colours

EXAMPLES = settings(max_examples=80, deadline=None, derandomize=True)
VALUES = st.floats(-2, 3, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0])
LAYERS = hnp.arrays("f4", hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=VALUES)


def plain_byte(value, low, high):
    """Scale a number to 0-255, cut off at both ends, in float64."""
    return min(max((float(value) - low) / (high - low) * 255, 0), 255)


def hex_of(pixel):
    """Write a colour as palettes do."""
    return "#{:02x}{:02x}{:02x}".format(*pixel[:3])


@EXAMPLES
@given(LAYERS, st.floats(-1, 0.5), st.floats(0.01, 2))
def test_mix_is_scaled_and_clipped(layer, low, span):
    """Each band is scaled between its own limits; where one lacks data, nothing is seen."""
    layers = [layer, layer * 2, layer[::-1]]
    lows, highs = [low, low - 1, 0], [low + span, low + span, span]
    picture = colours.paint_mix(layers, lows, highs)
    assert picture.shape == (*layer.shape, 4)
    assert picture.dtype == np.uint8
    for row, col in np.ndindex(layer.shape):
        values = [one[row, col] for one in layers]
        known = np.isfinite(values).all()
        assert picture[row, col, 3] == 255 * known
        for channel in range(3 * known):
            exact = plain_byte(values[channel], lows[channel], highs[channel])
            assert abs(int(picture[row, col, channel]) - exact) <= 1.001


@EXAMPLES
@given(LAYERS, st.floats(-1, 0.5), st.floats(0.01, 2))
def test_layer_takes_the_colour_of_its_scaled_value(layer, low, span):
    """A number has the colour of the palette at its place between the limits, ends included."""
    before = layer.copy()
    picture = colours.paint_layer(layer, low, low + span, Viridis256)
    np.testing.assert_array_equal(layer, before)
    for row, col in np.ndindex(layer.shape):
        value, pixel = layer[row, col], picture[row, col]
        assert pixel[3] == 255 * np.isfinite(value)
        if np.isfinite(value):
            exact = plain_byte(value, low, low + span)
            near = {int(max(exact - 0.01, 0)), int(min(exact + 0.01, 255))}
            assert hex_of(pixel) in {Viridis256[n].lower() for n in near}


@pytest.mark.parametrize("palette", colours.MAPS.values(), ids=colours.MAPS)
def test_palette_ends(palette):
    """The lowest value and all below have the first colour, the highest and all above the last."""
    picture = colours.paint_layer(np.array([[-9, 0, 0.9, 7]], "f4"), 0, 0.9, palette)
    first, last = palette[0].lower(), palette[-1].lower()
    assert [hex_of(pixel) for pixel in picture[0]] == [first, first, last, last]


@pytest.mark.parametrize("palette", colours.MAPS.values(), ids=colours.MAPS)
def test_palettes_grow_lighter(palette):
    """Lightness, that of sRGB's luminance, grows along each colour map."""
    linear = (colours.table_of(palette)[:, :3] / 255.0) ** 2.2
    light = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > -1e-3).all()
    assert light[-1] - light[0] > 0.5


def test_classes_by_number():
    """Each class has its colour, class 0 and a number beyond the list are transparent."""
    classes = np.array([[0, 1, 2, 3, 200]], "u1")
    picture = colours.paint_classes(classes, ["#ffffff", "#ff0000", "#00ff80", "#000001"])
    assert picture[0].tolist() == [
        [0, 0, 0, 0],
        [255, 0, 0, 255],
        [0, 255, 128, 255],
        [0, 0, 1, 255],
        [0, 0, 0, 0],
    ]


@EXAMPLES
@given(st.data())
def test_tint_changes_only_what_is_asked(data):
    """Tinted pixels are mixed with magenta, all others and the original stay as they are."""
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    picture = data.draw(hnp.arrays("u1", (*shape, 4)))
    where = data.draw(hnp.arrays(bool, shape))
    before = picture.copy()
    found = colours.tint(picture, where)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(found[~where], before[~where])
    np.testing.assert_array_equal(found[..., 3], before[..., 3])
    magenta = np.array([230, 0, 160])
    exact = before[where][:, :3] * 0.45 + magenta * 0.55
    assert (abs(found[where][:, :3] - exact) <= 1).all()


@EXAMPLES
@given(st.lists(LAYERS, min_size=1, max_size=3), st.sampled_from([0, 2, 5, 25]))
def test_percentile_limits(layers, cut):
    """Limits are numpy's percentiles of all finite values, a little apart where they are one."""
    found = colours.percentile_limits(layers, cut)
    values = [v for layer in layers for v in layer.ravel().tolist() if np.isfinite(v)]
    if not values:
        assert found is None
        return
    low, high = np.percentile(np.array(values), [cut, 100 - cut])
    if low < high:
        assert found == (low, high)
    else:
        assert found[0] < low < found[1]


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e5))
def test_rounded_limits_stay_apart(low, span):
    """Limits rounded for the eye are within a hundredth of the span of what they were."""
    high = low + span
    found = colours.rounded(low, high)
    assert found[0] < found[1]
    assert abs(found[0] - low) <= 0.0051 * span + 1e-9
    assert abs(found[1] - high) <= 0.0051 * span + 1e-9


def test_rounded_limits_of_one_value():
    """Two limits that are one are left as they are: the viewer says what is wrong with them."""
    assert colours.rounded(0.3, 0.3) == (0.3, 0.3)


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), max_size=5))
def test_table_of_colours(rows):
    """Hexadecimal colours become rows of red, green, blue and 255."""
    words = ["#{:02X}{:02x}{:02x}".format(*row) for row in rows]
    assert colours.table_of(words).tolist() == [[*row, 255] for row in rows]


def linear(colour):
    """Return the linear red, green and blue of a colour such as #0072B2 (IEC 61966-2-1)."""
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def cielab(colour):
    """Return lightness, a and b of a colour (CIE 1976, white of D65)."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = (
        share ** (1 / 3) if share > (6 / 29) ** 3 else share * (29 / 6) ** 2 / 3 + 4 / 29
        for share in to_xyz @ linear(colour) / [0.9505, 1, 1.089]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_place_colours_differ():
    """Any two of the twenty colours for places lie 20 apart in CIELAB; one just seen is 2.3."""
    known = {"#FF0000": (53.2, 80.1, 67.2), "#FFFFFF": (100, 0, 0), "#000000": (0, 0, 0)}
    for colour, expected in known.items():
        assert cielab(colour) == pytest.approx(expected, abs=0.1)
    assert len(colours.PLACE_COLOURS) == 20
    for one, other in combinations(colours.PLACE_COLOURS, 2):
        assert np.linalg.norm(cielab(one) - cielab(other)) > 20, (one, other)


@pytest.mark.parametrize("colour", colours.PLACE_COLOURS)
def test_place_colours_are_seen_on_white(colour):
    """Each colour for places has a contrast of 2:1 to white at least (WCAG 2.2)."""
    assert 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05) >= 2


@pytest.mark.parametrize("missing", ["flag_values", "flag_meanings", "flag_colors"])
def test_classes_without_description(missing):
    """A layer that does not describe its classes ends in an error that names what is needed."""
    told = {
        "flag_values": [0, 1],
        "flag_meanings": "no_data bare_soil",
        "flag_colors": "#000000 #1a2B3c",
    }
    layer = xr.DataArray(np.zeros((1, 1), "u1"), dims=("y", "x"), name="SCL", attrs=told)
    assert colours.classes_of(layer) == [(0, "no data", "#000000"), (1, "bare soil", "#1a2B3c")]
    del layer.attrs[missing]
    with pytest.raises(InvalidInputError, match="flag_values, flag_meanings or flag_colors"):
        colours.classes_of(layer)
    for wrong in (
        {"flag_meanings": "one two three"},
        {"flag_colors": "#000000 red"},
        {"flag_colors": "#000000 #123456'><script>"},
    ):
        layer.attrs = told | wrong
        with pytest.raises(InvalidInputError, match="SCL lacks"):
            colours.classes_of(layer)
