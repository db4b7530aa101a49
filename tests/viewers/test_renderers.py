"""Pictures of an overpass against numpy; the names offered are what a cube can compute."""

import itertools
import re

import numpy as np
import pytest
import spyndex
from bokeh.palettes import Greys256, Viridis256
from cubes import SYMBOLS, decoded, every, make_cube, random_layers
from painting import assert_layer, assert_mix

from s2kit.errors import InvalidInputError
from s2kit.viewers.renderers import CLASSES, find_renderer, renderer_names

BANDS = ("B02", "B03", "B04", "B08", "B11")

ESA = [
    "000000",
    "ff0000",
    "2f2f2f",
    "643200",
    "00a000",
    "ffe65a",
    "0000ff",
    "808080",
    "c0c0c0",
    "ffffff",
    "64c8ff",
    "ff96ff",
]
"""ESA's legend of the scene classification, classes 0 to 11 (SentiWiki, S2 Processing)."""


@pytest.fixture(scope="module")
def stored():
    """Return made-up layers with gaps, all classes, and water vapour."""
    layers = random_layers(5, (1, 12, 15), BANDS)
    layers["SCL"][0, 0, :12] = np.arange(12)
    layers["WVP"] = np.full((1, 12, 15), 1234, "u2")
    layers["WVP"][0, 0, 0] = 65535
    return layers


@pytest.fixture(scope="module")
def cube(stored, tmp_path_factory):
    """Open a cube of these layers."""
    return make_cube(tmp_path_factory.mktemp("pictures") / "c", stored, every(1, 1))


@pytest.fixture(scope="module")
def frame(cube):
    """Return all its layers."""
    return {name: layer.values[0] for name, layer in cube.data_vars.items()}


def values_of(stored, name):
    """Return the reflectance of a band."""
    return decoded(stored[name])[0].astype("f8")


@pytest.mark.parametrize(
    ("name", "bands", "highs"),
    [
        ("True colour", ("B04", "B03", "B02"), (0.2, 0.2, 0.2)),
        ("False colour", ("B08", "B04", "B03"), (0.5, 0.2, 0.2)),
    ],
)
def test_mixes(cube, stored, frame, name, bands, highs):
    """A mix shows red, green and blue from 0 to its brightest reflectance; gaps are transparent."""
    shown = find_renderer(cube, name)
    assert shown.limits == (0, 0.2)
    picture = shown.paint(frame, *shown.limits)
    values = np.stack([values_of(stored, band) for band in bands], -1)
    assert_mix(picture, values, np.array(highs))
    assert_mix(shown.paint(frame, 0.0, 0.1), values, np.array(highs) / 2)


def test_classes(cube, stored, frame):
    """Classes have ESA's colours; class 0 is transparent."""
    picture = find_renderer(cube, CLASSES).paint(frame, 0, 1)
    for row, col in np.ndindex(picture.shape[:2]):
        number = stored["SCL"][0, row, col]
        pixel = picture[row, col]
        assert pixel[3] == (255 if number else 0)
        if number:
            assert "{:02x}{:02x}{:02x}".format(*pixel[:3]) == ESA[number]


@pytest.mark.parametrize(("band", "high"), [("B02", 0.2), ("B04", 0.2), ("B08", 0.5), ("B11", 0.5)])
def test_bands(cube, stored, frame, band, high):
    """A band is grey from 0 to 0.2 in visible light, to 0.5 in the infrared."""
    shown = find_renderer(cube, band)
    assert shown.limits == (0, high)
    picture = shown.paint(frame, *shown.limits)
    assert_layer(picture, values_of(stored, band), 0, high, Greys256)


def test_other_layers(cube, stored, frame):
    """Water vapour has no limits of its own; its typical ones are around its only value."""
    shown = find_renderer(cube, "WVP")
    assert (shown.limits, shown.unit) == (None, "cm")
    low, high = shown.typical_limits(frame)
    assert low < 1.234 < high
    assert shown.describe(frame, 1, 1) == "WVP 1.234 cm"
    assert shown.describe(frame, 0, 0) == "WVP no data"


def test_ndvi(cube, stored, frame):
    """The NDVI is (B08 − B04) / (B08 + B04), in viridis from -0.1 to 0.9."""
    shown = find_renderer(cube, "NDVI")
    red, nir = values_of(stored, "B04"), values_of(stored, "B08")
    ndvi = (nir - red) / (nir + red)
    assert shown.limits == (-0.1, 0.9)
    np.testing.assert_allclose(shown.values(frame), ndvi, atol=1e-6)
    assert_layer(
        shown.paint(frame, -0.1, 0.9), shown.values(frame).astype("f8"), -0.1, 0.9, Viridis256
    )
    assert find_renderer(cube, "ndvi").name == "NDVI"


def test_undefined_index_is_no_data(cube):
    """Where an index is not defined, 0/0 or x/0, there is no data."""
    shown = find_renderer(cube, "NDVI")
    zero = np.zeros((1, 2), "f4")
    frame = {"B04": zero, "B08": np.array([[0, 0.2]], "f4")}
    assert np.isnan(shown.values(frame)[0, 0])
    assert shown.paint(frame, -0.1, 0.9)[0, :, 3].tolist() == [0, 255]
    assert shown.describe(frame, 0, 0) == "NDVI no data"


def test_typical_limits(cube, stored, frame):
    """Typical limits are numpy's 2 % and 98 % of what is known; classes have none."""
    for band in ("B02", "B08"):
        values = values_of(stored, band)
        expected = np.percentile(values[np.isfinite(values)], [2, 98])
        assert find_renderer(cube, band).typical_limits(frame) == pytest.approx(expected, rel=1e-5)
    scaled = {"B08": 2.5, "B04": 1, "B03": 1}
    values = np.concatenate([(values_of(stored, b) / s).ravel() for b, s in scaled.items()])
    expected = np.percentile(values[np.isfinite(values)], [2, 98])
    found = find_renderer(cube, "False colour").typical_limits(frame)
    assert found == pytest.approx(expected, rel=1e-5)
    assert find_renderer(cube, CLASSES).typical_limits(frame) is None
    gaps = {name: np.full((2, 2), np.nan, "f4") for name in BANDS}
    assert find_renderer(cube, "B02").typical_limits(gaps) is None


def test_words(cube, stored, frame):
    """What a pixel holds is told by name, with three decimals, or as no data."""
    mix, classes = find_renderer(cube, "True colour"), find_renderer(cube, CLASSES)
    names = [
        "",
        "saturated or defective",
        "dark area pixels",
        "cloud shadows",
        "vegetation",
        "bare soils",
        "water",
        "unclassified",
        "cloud medium probability",
        "cloud high probability",
        "thin cirrus",
        "snow",
    ]
    for row, col in itertools.product(range(3), range(12)):
        parts = [part.split(" ", 1) for part in mix.describe(frame, row, col).split(", ")]
        assert [name for name, _ in parts] == ["B04", "B03", "B02"]
        for band, word in parts:
            count = stored[band][0, row, col]
            if count == -9999:
                assert word == "no data"
            else:
                assert re.fullmatch(r"0\.\d{3}", word)
                assert float(word) == pytest.approx(count / 1e4, abs=0.00051)
    for number in range(1, 12):
        assert classes.describe(frame, 0, number) == f"{number} {names[number]}"
    assert classes.describe(frame, 0, 0) in ("no data", "0 no data")


def computable(bands):
    """Return the indices whose symbols are all bands there are, or constants of the list."""
    known = {symbol for symbol, band in SYMBOLS.items() if band in bands}
    known |= {f"lambda{symbol}" for symbol in known}
    known |= {n for n, c in spyndex.constants.items() if c.default is not None}
    return {name for name, one in spyndex.indices.items() if set(one.bands) <= known}


@pytest.mark.parametrize(
    "layers",
    [("B04", "B08"), ("B04",), BANDS, ("SCL",), ("B02", "B03", "B04", "SCL"), ("WVP",)],
    ids="+".join,
)
def test_names_offered(cube, layers):
    """Offered are mixes whose bands are there, each layer, and each index that can be computed."""
    part = cube[list(layers)]
    groups = renderer_names(part)
    names = [name for group in groups.values() for name in group]
    assert len(names) == len(set(names))
    bands = set(layers) - {"SCL"}
    mixes = {"True colour": {"B02", "B03", "B04"}, "False colour": {"B03", "B04", "B08"}}
    expected = {name for name, needed in mixes.items() if needed <= bands} | bands
    expected |= {CLASSES} if "SCL" in layers else set()
    assert set(names) == expected | computable(bands)
    assert all(groups.values())


def test_every_name_can_be_shown(cube, frame):
    """Each picture that is offered paints, tells and has limits, or classes, or typical ones."""
    for name in itertools.chain(*renderer_names(cube).values()):
        shown = find_renderer(cube, name)
        limits = shown.limits or shown.typical_limits(frame)
        assert limits or shown.classes, name
        picture = shown.paint(frame, *(limits or (0, 1)))
        assert (picture.shape, picture.dtype) == ((12, 15, 4), np.uint8), name
        assert shown.describe(frame, 3, 3), name
        assert set(shown.layers) <= set(cube.data_vars), name


def test_frequent_indices_have_their_values(cube, frame):
    """Those that head the list are what their authors wrote, where that is defined."""
    blue, green, red, edge, near, short, long = (
        frame[band].astype("f8") if band in frame else np.nan
        for band in ("B02", "B03", "B04", "B05", "B08", "B11", "B12")
    )
    wanted = {
        "NDVI": (near - red) / (near + red),
        "EVI": 2.5 * (near - red) / (near + 6 * red - 7.5 * blue + 1),
        "SAVI": 1.5 * (near - red) / (near + red + 0.5),
        "NDRE": (near - edge) / (near + edge),
        "NDMI": (near - short) / (near + short),
        "NDWI": (green - near) / (green + near),
        "MNDWI": (green - short) / (green + short),
        "NBR": (near - long) / (near + long),
        "NDSI": (green - short) / (green + short),
        "NDBI": (short - near) / (short + near),
    }
    offered = renderer_names(cube)["Index"]
    assert {"NDVI", "EVI", "SAVI", "NDWI"} <= set(offered) <= set(wanted)
    for name in offered:
        found = find_renderer(cube, name).values(frame)
        known = np.isfinite(found)
        assert known.mean() > 0.5, name
        np.testing.assert_allclose(found[known], wanted[name][known], rtol=1e-4, err_msg=name)


def test_a_layer_goes_before_an_index(cube):
    """A layer of the user's own, named as an index, is shown as it is."""
    own = cube.assign(NDVI=cube.B04 * 0 + 7)
    frame = {"NDVI": own.NDVI.values[0]}
    assert find_renderer(own, "NDVI").describe(frame, 2, 2) in ("NDVI 7.000", "NDVI no data")
    assert np.nanmin(find_renderer(own, "NDVI").values(frame)) == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NDVJ", "Did you mean NDVI"),
        ("True colour", "needs B02, which the cube lacks"),
        ("NDWI", "needs B03"),
        ("", "unknown"),
        ("B12", "unknown"),
    ],
)
def test_errors(cube, name, words):
    """What cannot be shown ends in an error that says what is missing."""
    with pytest.raises(InvalidInputError, match=words):
        find_renderer(
            cube[["B03", "B04", "B08"] if name == "True colour" else ["B04", "B08"]], name
        )
