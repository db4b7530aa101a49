"""Features against plain numpy, pixel by pixel."""

import json

import numpy as np
import pytest
import xarray as xr
from cubes import days, every, in_memory, make_cube, random_layers
from hypothesis import given, settings
from hypothesis import strategies as st

from s2kit.analysis.features import KINDS, apply_recipe, make_features
from s2kit.errors import InvalidInputError

CLEAR = (4, 5, 6, 7)
SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}


@st.composite
def cubes(draw):
    """Cubes with gaps in space and time, pixels that are always in cloud or seen once."""
    shape = tuple(draw(st.integers(1, most)) for most in (14, 4, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = np.sort(rng.choice(900, shape[0], replace=False))
    times = days("2020-11-20")[0] + steps * 86_400 + rng.integers(0, 40_000, shape[0])
    layers = {}
    for band in ("B04", "B08"):
        layers[band] = rng.integers(1, 6000, shape).astype("i2")
        layers[band][rng.random(shape) < 0.15] = -9999
    cloudy = rng.random(shape[1:]) * 1.2  # some pixels are never clear
    layers["SCL"] = np.where(rng.random(shape) < cloudy, 9, rng.integers(4, 8, shape)).astype("u1")
    return in_memory(layers, times, tuple(draw(st.integers(1, n)) for n in shape))


def plain_ndvi(cube):
    """Return the index, float64 computed from the cube's reflectance."""
    red, near = cube.B04.values.astype("f8"), cube.B08.values.astype("f8")
    return (near - red) / (near + red)


def seen(cube, values):
    """Return which observations are clear and have data."""
    return np.isin(cube.SCL.values, CLEAR) & np.isfinite(values)


def each_pixel(values, use, describe, size):
    """Apply a function to the times and values that count, pixel by pixel."""
    out = np.full((size, *values.shape[1:]), np.nan)
    for row, col in np.ndindex(*values.shape[1:]):
        own = use[:, row, col]
        if own.any():
            out[:, row, col] = describe(own, values[own, row, col])
    return out


@settings(max_examples=40, deadline=None)
@given(cubes())
def test_seasons_are_medians_of_clear_observations(cube):
    """Each band and season is numpy's median of what was clear then; seasons without steps miss."""
    found = make_features(cube, "seasons")
    months = cube.time.dt.month.values
    expected = {}
    for band in ("B04", "B08"):
        values = cube[band].values
        for name, own in SEASONS.items():
            inside = np.isin(months, own)
            if inside.any():
                use = seen(cube, values) & inside[:, None, None]
                expected[f"{band} {name}"] = each_pixel(
                    values, use, lambda _, clear: np.median(clear.astype("f8")), 1
                )[0]
    assert found.feature.values.tolist() == list(expected)
    np.testing.assert_allclose(found, np.stack(list(expected.values())), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(cubes())
def test_statistics_are_those_of_numpy(cube):
    """The seven statistics are numpy's of the clear values of the index."""
    found = make_features(cube, "statistics")
    values = plain_ndvi(cube)

    def describe(_, clear):
        percentiles = np.percentile(clear, (10, 50, 90))
        return [clear.mean(), clear.std(), clear.min(), clear.max(), *percentiles]

    expected = each_pixel(values, seen(cube, values), describe, 7)
    names = ["mean", "std", "min", "max", "p10", "p50", "p90"]
    assert found.feature.values.tolist() == [f"NDVI {name}" for name in names]
    np.testing.assert_allclose(found, expected, atol=2e-6)


@settings(max_examples=40, deadline=None)
@given(cubes(), st.integers(1, 200))
def test_series_is_interpolated_as_numpy_does(cube, step):
    """Each value is numpy's linear interpolation between the days of clear observations."""
    found = make_features(cube, "series", step=step)
    values = plain_ndvi(cube)
    dates = cube.time.values.astype("M8[D]")
    grid = np.arange(dates[0], dates[-1] + np.timedelta64(1, "D"), np.timedelta64(step, "D"))

    def interpolate(own, clear):
        return np.interp(grid.astype("f8"), dates[own].astype("f8"), clear)

    expected = each_pixel(values, seen(cube, values), interpolate, len(grid))
    assert found.feature.values.tolist() == [f"NDVI {day}" for day in grid]
    np.testing.assert_allclose(found, expected, atol=2e-6)


@settings(max_examples=15, deadline=None)
@given(cubes(), st.sampled_from(KINDS), st.integers(1, 14))
def test_blocks_in_time_change_nothing(cube, kind, depth):
    """Features are the same however the cube is cut along time, and in memory."""
    whole = make_features(cube.compute(), kind)
    xr.testing.assert_allclose(make_features(cube.chunk(time=depth), kind), whole, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_lazy_in_the_blocks_of_the_cube(tmp_path, kind):
    """A real cube stays unread; a block of its features holds all of them, and the CRS stays."""
    cube = make_cube(tmp_path / "c.zarr", random_layers(1, (8, 150, 140)), every(40, 8))
    found = make_features(cube, kind)
    assert found.dims == ("feature", "y", "x") and found.dtype == np.float32
    assert found.chunks[0] == (found.sizes["feature"],)
    for blocks, stored in zip(found.chunks[1:], cube.B04.chunks[1:], strict=True):
        assert set(np.cumsum(blocks)) <= set(np.cumsum(stored))
    assert found.rio.crs == cube.rio.crs
    assert np.isfinite(found.compute()).any()


@pytest.mark.parametrize("kind", KINDS)
def test_recipe_makes_the_same_features_again(tmp_path, kind):
    """The recipe in the attributes is JSON; it gives the same features, also from a part."""
    cube = make_cube(tmp_path / "c.zarr", random_layers(2, (12, 20, 20)), every(30, 12))
    found = make_features(cube, kind, start="2021-02", end="2021-11")
    recipe = json.loads(found.attrs["recipe"])
    xr.testing.assert_identical(apply_recipe(cube, recipe), found)
    part = apply_recipe(cube.isel(y=slice(3, 9)), recipe)
    np.testing.assert_array_equal(part, found.isel(y=slice(3, 9)))
    assert json.loads(found.attrs["source"])["synthetic"] is True


def test_own_mask_own_layer_and_period():
    """A mask of one's own decides what is clear; a layer stands for an index; dates cut."""
    cube = in_memory({"B08": pixel(0, 1000, 2000, 3000, 4000)}, every(31, 5, "2021-01-01"))
    clear = xr.full_like(cube.B08, True, dtype=bool)
    clear[2] = False
    found = make_features(
        cube, "statistics", clear=clear, index="B08", start="2021-02", end="2021-04"
    )
    values = found.sel(feature=["B08 mean", "B08 min", "B08 max"]).values.ravel()
    np.testing.assert_allclose(values, [0.2, 0.1, 0.3])
    assert json.loads(found.attrs["recipe"])["own_mask"] is True


def test_series_starts_on_the_day_asked():
    """The grid of days starts at the start, holds the ends, and meets an observation's day."""
    cube = in_memory({"B08": pixel(2000, 4000)}, days("2021-01-11", "2021-01-21"))
    clear = xr.full_like(cube.B08, True, dtype=bool)
    asked = {"index": "B08", "start": "2021", "end": "2021-01-26", "step": 5}
    found = make_features(cube, "series", clear=clear, **asked)
    assert found.feature.values.tolist() == [f"B08 2021-01-{day:02}" for day in range(1, 27, 5)]
    np.testing.assert_allclose(found.values.ravel(), [0.2, 0.2, 0.2, 0.3, 0.4, 0.4])


def test_two_observations_on_one_day_count_alike():
    """Two orbits may see a place on one day; the series then takes their mean."""
    times = days("2021-01-11", "2021-01-11", "2021-01-13") + np.array([0, 600, 0])
    cube = in_memory({"B08": pixel(2000, 4000, 6000)}, times)
    clear = xr.full_like(cube.B08, True, dtype=bool)
    found = make_features(cube, "series", clear=clear, index="B08", step=1)
    np.testing.assert_allclose(found.values.ravel(), [0.3, 0.45, 0.6], rtol=1e-6)


def pixel(*counts):
    """Return the series of a cube of one pixel."""
    return np.array(counts, "i2").reshape(-1, 1, 1)


def small_cube():
    """Return 9 dates from January to December."""
    return in_memory(random_layers(5, (9, 3, 3)), every(40, 9, "2021-01-05"))


def test_order_of_time_does_not_matter():
    """A cube whose steps were turned round gives the same features."""
    cube = small_cube()
    for kind in KINDS:
        turned = make_features(cube.isel(time=slice(None, None, -1)), kind)
        xr.testing.assert_allclose(turned, make_features(cube, kind), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "medians"}, "seasons, statistics, series"),
        ({"kind": "series", "step": 0}, "step=0"),
        ({"kind": "series", "step": 2.5}, "step=2.5"),
        ({"kind": "statistics", "index": "NDWI"}, "B03"),
        ({"kind": "statistics", "index": "NDVX"}, "NDVI"),
        ({"kind": "series", "index": "SCL"}, "SCL"),
        ({"start": "2030"}, "2021"),
        ({"start": "yesterday"}, "yesterday"),
        ({"clear": 1}, "boolean"),
    ],
)
def test_wrong_options_are_named(options, words):
    """What cannot be is refused with what was found or what is accepted."""
    with pytest.raises(InvalidInputError, match=words):
        make_features(small_cube(), **options)


def test_wrong_cubes_are_named():
    """No cube, no bands, no map, no classes: each says what is missing."""
    cube = small_cube()
    with pytest.raises(InvalidInputError, match="ndarray"):
        make_features(cube.B04.values)
    with pytest.raises(InvalidInputError, match="B02"):
        make_features(cube[["SCL"]])
    with pytest.raises(InvalidInputError, match="map"):
        make_features(cube.isel(x=0))
    with pytest.raises(InvalidInputError, match="SCL"):
        make_features(cube[["B04"]])
    recipe = json.loads(make_features(cube).attrs["recipe"])
    with pytest.raises(InvalidInputError, match="MAM"):
        apply_recipe(cube.sel(time=cube.time.dt.season != "MAM"), recipe)


def test_works_without_any_clear_observation():
    """Where nothing is ever clear, all features are missing."""
    layers = random_layers(3, (4, 5, 5))
    layers["SCL"][:] = 9
    cube = in_memory(layers, every(90, 4))
    for kind in KINDS:
        assert np.isnan(make_features(cube, kind)).all()
