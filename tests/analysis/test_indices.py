"""Indices equal their published formulas written out in plain numpy."""

import warnings

import numpy as np
import pytest
import spyndex
import xarray as xr
from cubes import SYMBOLS, decoded, every, in_memory, random_cubes, random_layers
from hypothesis import given, settings

import s2kit
from s2kit.errors import InvalidInputError

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

FORMULAS = {
    "NDVI": lambda b: (b["B08"] - b["B04"]) / (b["B08"] + b["B04"]),  # Rouse et al. 1974
    "NDWI": lambda b: (b["B03"] - b["B08"]) / (b["B03"] + b["B08"]),  # McFeeters 1996
    "NDMI": lambda b: (b["B08"] - b["B11"]) / (b["B08"] + b["B11"]),  # Hardisky et al. 1983
    "NBR": lambda b: (b["B08"] - b["B12"]) / (b["B08"] + b["B12"]),  # García and Caselles 1991
    "EVI": lambda b: (
        2.5 * (b["B08"] - b["B04"]) / (b["B08"] + 6 * b["B04"] - 7.5 * b["B02"] + 1)
    ),  # Huete et al. 2002
    "SAVI": lambda b: 1.5 * (b["B08"] - b["B04"]) / (b["B08"] + b["B04"] + 0.5),  # Huete 1988
}


@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=15, deadline=None)
@given(drawn=random_cubes(BANDS, most=4))
def test_indices_equal_their_formula(name, drawn):
    """The values, in float32, with NaN where a band has no data, and lazy."""
    layers, cube = drawn
    with np.errstate(all="ignore"):
        single, expected = (
            FORMULAS[name]({b: decoded(layers[b]).astype(kind) for b in BANDS})
            for kind in ("f4", "f8")
        )
    expected[~np.isfinite(expected)] = np.nan
    found = s2kit.index(cube, name)
    assert found.dtype == np.float32 and found.name == name
    assert (found.chunks is None) == (cube.B08.chunks is None)
    tame = np.abs(np.nan_to_num(expected)) < 10  # elsewhere float32 cancels
    assert (np.isnan(expected) == np.isnan(found.values))[tame].all()
    sure = tame & np.isclose(single, expected, atol=2e-5, rtol=1e-5, equal_nan=True)
    np.testing.assert_allclose(found.values[sure], expected[sure], atol=2e-5, rtol=1e-5)
    np.testing.assert_allclose(found.values[tame], single[tame], atol=2e-5, rtol=1e-5)


def test_nothing_by_nothing_is_nan_without_a_warning():
    """0/0 and x/0 give NaN, silently."""
    layers = {"B04": np.array([[[0, 100, -100]]], "i2"), "B08": np.array([[[0, 300, 100]]], "i2")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = s2kit.index(in_memory(layers, every(5, 1), (1, 1, 2)), "NDVI").values
    np.testing.assert_allclose(found, [[[np.nan, 0.5, np.nan]]])


def test_every_index_of_the_list_works_or_says_what_is_missing():
    """Each name gives what spyndex gives for the same bands, or names what no cube has."""
    layers = random_layers(1, (1, 4, 5), BANDS)
    cube = in_memory(layers, every(5, 1))
    given = {symbol: cube[band] for symbol, band in SYMBOLS.items()}
    given |= {c: v.default for c, v in spyndex.constants.items() if v.default is not None}
    waves = {"G": 560, "R": 665, "N": 842, "N2": 865, "S1": 1610, "S2": 2190}
    given |= {f"lambda{symbol}": wave for symbol, wave in waves.items()}
    done = 0
    for name in spyndex.indices:
        if set(spyndex.indices[name].bands) <= set(given):
            expected = spyndex.computeIndex(name, given | ({"L": 0.5} if name == "SAVI" else {}))
            expected = expected.where(np.isfinite(expected)).astype("f4")
            found = s2kit.index(cube, name)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)
            done += 1
        else:
            with pytest.raises(InvalidInputError, match="no layer of a cube"):
                s2kit.index(cube, name)
    assert done > 200


def test_the_formula_is_told_with_its_constants():
    """What was computed can be read from the result."""
    cube = in_memory(random_layers(1, (1, 4, 5), BANDS), every(5, 1))
    assert s2kit.index(cube, "SAVI").formula == "(1.0+L)*(N-R)/(N+R+L), L = 0.5"
    assert s2kit.index(cube, "NDVI").formula == "(N-R)/(N+R)"


def test_a_name_may_be_in_any_case():
    """``ndvi`` is NDVI."""
    cube = in_memory(random_layers(1, (2, 4, 5)), every(5, 2))
    xr.testing.assert_identical(s2kit.index(cube, "ndvi"), s2kit.index(cube, "NDVI"))


WRONG = {
    "misspelt": ("NDVII", "index 'NDVII' is unknown. Did you mean .*NDVI"),
    "nonsense": ("???", "index '\\?\\?\\?' is unknown. Accepted is each"),
    "number": (5, "index 5 is unknown"),
    "band missing": ("NBR", r"NBR = .* needs B12; the cube has B04, B08, SCL"),
}


@pytest.mark.parametrize(("name", "says"), WRONG.values(), ids=WRONG)
def test_bad_names_are_answered(name, says):
    """Near names are suggested, missing bands named."""
    cube = in_memory(random_layers(1, (2, 4, 5)), every(5, 2))
    with pytest.raises(InvalidInputError, match=says):
        s2kit.index(cube, name)
