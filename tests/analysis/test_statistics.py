"""Statistics along time equal numpy, however the cube is cut; bad input ends in named errors."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cubes import decoded, every, in_memory, make_cube, random_cubes, random_layers, write_cube
from hypothesis import given, settings
from hypothesis import strategies as st

import s2kit
from s2kit.errors import CubeError, InvalidInputError

CLEAR = [4, 5, 6, 7]


def plain_ndvi(layers):
    """Write the NDVI of clear observations out in plain numpy, float32; NaN elsewhere."""
    red, nir = decoded(layers["B04"]), decoded(layers["B08"])
    with np.errstate(all="ignore"):
        ndvi = (nir - red) / (nir + red)
    ndvi[~np.isfinite(ndvi) | ~np.isin(layers["SCL"], CLEAR)] = np.nan
    return ndvi


def plain_statistics(values, percentiles=()):
    """Describe a series (time, y, x) by numpy's own functions, in float64."""
    values = values.astype("f8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "mean": np.nanmean(values, 0),
            "std": np.nanstd(values, 0),
            "min": np.nanmin(values, 0),
            "max": np.nanmax(values, 0),
            "count": (~np.isnan(values)).sum(0),
        }
        for q in percentiles:
            found[f"p{q:g}"] = np.nanpercentile(values, q, 0)
    return found


def assert_same(found, expected):
    """Compare all statistics; minimum, maximum and count exactly."""
    assert set(found.data_vars) == set(expected)
    for name, values in expected.items():
        exact = name in ("min", "max", "count")
        np.testing.assert_allclose(
            found[name].values, values, rtol=0, atol=0 if exact else 3e-7, err_msg=name
        )


@settings(max_examples=60, deadline=None)
@given(random_cubes())
def test_statistics_equal_numpy(drawn):
    """Mean, std, min, max, count and percentiles of random cubes in random blocks."""
    layers, cube = drawn
    found = s2kit.time_statistics(cube, "NDVI", percentiles=(0, 10, 50, 97.5, 100))
    assert found["mean"].dims == ("y", "x")
    assert_same(found, plain_statistics(plain_ndvi(layers), (0, 10, 50, 97.5, 100)))


@settings(max_examples=40, deadline=None)
@given(random_cubes(), st.sampled_from(["year", "season", "month"]))
def test_periods_equal_pandas(drawn, period):
    """Each year, season and month has the statistics of its own steps, as pandas sorts them."""
    layers, cube = drawn
    rule = {"year": "Y", "season": "Q-NOV", "month": "M"}[period]
    periods = pd.DatetimeIndex(cube.time.values).to_period(rule)
    found = s2kit.time_statistics(cube, "NDVI", period=period)
    values = plain_ndvi(layers)
    expected = [plain_statistics(values[periods == p]) for p in periods.unique()]
    assert_same(found, {name: np.stack([e[name] for e in expected]) for name in expected[0]})
    assert list(found.time.values) == [p.start_time.to_datetime64() for p in periods.unique()]


@settings(max_examples=40, deadline=None)
@given(
    random_cubes(), st.sampled_from(["year", "season", "month"]), st.randoms(), st.integers(1, 4)
)
def test_periods_whatever_the_order_of_steps(drawn, period, random, depth):
    """Steps that are not in order, in blocks of any depth, give what sorted ones give."""
    _, cube = drawn
    order = list(range(cube.sizes["time"]))
    random.shuffle(order)
    mixed = cube.isel(time=order).chunk(time=depth)
    found = s2kit.time_statistics(mixed, "NDVI", period=period)
    expected = s2kit.time_statistics(cube.compute(), "NDVI", period=period)
    xr.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(random_cubes(("B08",)), st.floats(-1e6, 1e6, width=32))
def test_constant_series_have_no_spread(drawn, value):
    """The std of a constant series is exactly 0, its mean the constant, wherever it lies."""
    cube = drawn[1]
    cube["B08"] = cube.B08 * 0 + np.float32(value)
    found = s2kit.time_statistics(cube, "B08").compute()
    seen = (found["count"] > 0).values
    assert (found["std"].values[seen] == 0).all()
    assert (found["mean"].values[seen] == np.float32(value)).all()
    assert np.isnan(found["mean"].values[~seen]).all()


def test_a_far_mean_loses_no_spread():
    """A spread of 1 around 10 million is found as numpy finds it."""
    values = (1e7 + np.random.default_rng(0).integers(-2, 3, (60, 4, 3))).astype("f4")
    times = every(5, 60)
    cube = in_memory({"SCL": np.full(values.shape, 4, "u1")}, times, (7, 2, 2))
    cube["far"] = ("time", "y", "x"), values
    found = s2kit.time_statistics(cube, "far")["std"]
    np.testing.assert_allclose(found, values.astype("f8").std(0), rtol=1e-6)


def test_all_of_a_store_in_many_blocks(tmp_path):
    """A stored cube of two orbits, with edges in all directions, equals plain numpy."""
    shape = (70, 150, 90)
    one, two = random_layers(1, shape), random_layers(2, shape)
    make_cube(tmp_path / "c.zarr", one, every(5, 70), orbit=51)
    cube = make_cube(tmp_path / "c.zarr", two, every(5, 70) + 86_400, orbit=8)
    found = s2kit.time_statistics(cube, "NDVI", start="2021-02", end="2021-10")
    inside = (cube.time >= np.datetime64("2021-02-01")) & (cube.time < np.datetime64("2021-11-01"))
    both = np.concatenate([plain_ndvi(one), plain_ndvi(two)])
    order = np.argsort(np.concatenate([every(5, 70), every(5, 70) + 86_400]), kind="stable")
    assert_same(found, plain_statistics(both[order][inside.values]))


def plain_values(layers, variable):
    """Write a variable of clear observations out in plain numpy, float32; NaN elsewhere."""
    if variable == "NDVI":
        return plain_ndvi(layers)
    red, nir = decoded(layers["B04"]), decoded(layers["B08"])
    values = nir - red if variable == "DVI" else nir
    return np.where(np.isin(layers["SCL"], CLEAR), values, np.nan)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_store_equals_numpy(tmp_path_factory, data):
    """Results are the same for all chunks, orbits, steps, and missing chunks."""
    draw = data.draw
    rows, cols = draw(st.integers(1, 9)), draw(st.integers(1, 11))
    chunks = draw(st.tuples(st.integers(1, 4), st.integers(2, 6), st.integers(2, 6)))
    store = tmp_path_factory.mktemp("any") / "c.zarr"
    parts, days = [], []
    for number, orbit in enumerate(draw(st.sampled_from([[51], [51, 8], [8, 51, 137]]))):
        count = draw(st.integers(1, 9))
        layers = random_layers(draw(st.integers(0, 999)), (count, rows, cols))
        days.append(every(draw(st.sampled_from([5, 40])), count) + number * 86_400)
        shape = (count, rows, cols)
        places = list(np.ndindex(*(-(-n // c) for n, c in zip(shape, chunks, strict=True))))
        for name, values in layers.items():  # chunks without data, which are not written
            for place in places[:: draw(st.integers(2, 9))]:
                part = tuple(slice(n * c, (n + 1) * c) for n, c in zip(place, chunks, strict=True))
                values[part] = 0 if name == "SCL" else -9999
        write_cube(store, layers, days[-1], orbit=orbit, chunks=chunks)
        parts.append(layers)
    order = np.argsort(np.concatenate(days), kind="stable")
    whole = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    cube = s2kit.open_cube(store)
    first, last = sorted(draw(st.tuples(*[st.integers(0, len(order) - 1)] * 2)))
    asked = slice(first, last + 1)
    start, end = (str(cube.time.values[n])[:10] for n in (first, last))
    variable = draw(st.sampled_from(["NDVI", "DVI", "B08"]))
    period = draw(st.sampled_from([None, "year"]))
    percentiles = draw(st.sampled_from([(), (10, 50)]))
    found = s2kit.time_statistics(
        cube, variable, start=start, end=end, period=period, percentiles=percentiles
    ).compute()
    values = plain_values({name: layer[asked] for name, layer in whole.items()}, variable)
    years = pd.DatetimeIndex(cube.time.values[asked]).year * (period is not None)
    expected = [plain_statistics(values[years == y], percentiles) for y in np.unique(years)]
    joined = {name: np.stack([e[name] for e in expected]) for name in expected[0]}
    assert_same(found, joined if period else {name: v[0] for name, v in joined.items()})


def test_stored_and_computed_layers_agree_to_the_bit(tmp_path):
    """What is read as it is stored is what Dask's blocks give; a changed layer is not mixed up."""
    layers = random_layers(3, (60, 90, 70))
    cube = make_cube(tmp_path / "c.zarr", layers, every(5, 60))
    stored = s2kit.time_statistics(cube, "NDVI", period="month").compute()
    for same in (cube.assign(B04=cube.B04 * 1), cube.isel(x=slice(None, None, -1)), cube.load()):
        found = s2kit.time_statistics(same, "NDVI", period="month").compute()
        for name in ("count", "min", "max"):
            np.testing.assert_array_equal(found[name], stored[name].sel(x=found.x))
        for name in ("mean", "std"):
            np.testing.assert_allclose(found[name], stored[name].sel(x=found.x), rtol=0, atol=2e-7)
    other = s2kit.time_statistics(s2kit.open_cube(tmp_path / "c.zarr").assign(B04=cube.B08), "NDVI")
    assert float(other["max"].max()) == 0


def test_layers_of_two_stores_are_not_mixed_up(tmp_path):
    """A layer taken from another cube counts with its own values, whatever its chunks."""
    shape, times = (9, 30, 40), every(5, 9)
    layers, others = random_layers(1, shape), random_layers(2, shape)
    cube = make_cube(tmp_path / "a.zarr", layers, times)
    for chunks in ((48, 64, 64), (4, 16, 16)):
        store = tmp_path / f"b-{chunks[0]}.zarr"
        other = make_cube(store, others, times, chunks=chunks)
        for name in ("B04", "SCL"):
            found = s2kit.time_statistics(cube.assign({name: other[name]}), "NDVI")
            assert_same(found, plain_statistics(plain_ndvi(layers | {name: others[name]})))


def test_one_stored_layer_under_two_names(tmp_path):
    """Each name is read for itself: NDVI of a band with itself is 0 wherever it is clear."""
    layers = random_layers(8, (9, 20, 20))
    cube = make_cube(tmp_path / "c.zarr", layers, every(9, 9), chunks=(4, 8, 8))
    clear = np.isin(layers["SCL"], CLEAR) & (decoded(layers["B04"]) > 0)
    for mask in (None, xr.DataArray(clear, cube.SCL.coords, cube.SCL.dims)):
        found = s2kit.time_statistics(cube.assign(B08=cube.B04), "NDVI", clear=mask).compute()
        np.testing.assert_array_equal(found["count"], clear.sum(0))
        assert (found["max"].values[clear.any(0)] == 0).all()


def test_what_is_held_in_memory_is_not_read_again(tmp_path):
    """A cube that was persisted, or loaded, no longer needs its store."""
    layers = random_layers(1, (9, 30, 40))
    cube = make_cube(tmp_path / "c.zarr", layers, every(5, 9))
    held, loaded = cube.persist(), cube.copy().load()
    for chunk in (tmp_path / "c.zarr/S2/R051/B08").glob("[0-9]*"):
        chunk.unlink()
    for same in (held, loaded):
        assert_same(s2kit.time_statistics(same, "NDVI"), plain_statistics(plain_ndvi(layers)))
    with pytest.raises(CubeError, match="is missing"):
        s2kit.time_statistics(cube, "NDVI").compute()


def test_a_damaged_chunk_is_named(tmp_path):
    """Half a chunk is an error, not a number."""
    cube = make_cube(tmp_path / "c.zarr", random_layers(3, (60, 90, 70)), every(5, 60))
    chunk = tmp_path / "c.zarr/S2/R051/B08/1.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(CubeError, match=r"B08/1\.0\.0 is damaged"):
        s2kit.time_statistics(cube, "NDVI").compute()


def test_a_mask_of_ones_own_is_used():
    """Only what the given mask keeps is counted, also when it was made of a larger cube."""
    layers = random_layers(3, (12, 6, 5))
    cube = in_memory(layers, every(9, 12), (5, 4, 3))
    mask = cube.B04 > 0.2
    values = np.where(mask, plain_ndvi(layers | {"SCL": np.full((12, 6, 5), 4, "u1")}), np.nan)
    found = s2kit.time_statistics(cube, "NDVI", clear=mask)
    assert_same(found, plain_statistics(values))
    part = cube.isel(time=slice(3, 9), y=slice(1, 5))
    assert_same(s2kit.time_statistics(part, "NDVI", clear=mask), plain_statistics(values[3:9, 1:5]))


def test_a_pixel_and_a_row_have_statistics_too():
    """Parts of a cube without x, or without x and y, give what the map gives there."""
    cube = in_memory(random_layers(4, (12, 6, 5)), every(9, 12))
    whole = s2kit.time_statistics(cube, "NDVI")
    xr.testing.assert_allclose(s2kit.time_statistics(cube.isel(x=3), "NDVI"), whole.isel(x=3))
    xr.testing.assert_allclose(
        s2kit.time_statistics(cube.isel(x=3, y=2), "NDVI"), whole.isel(x=3, y=2)
    )


def test_results_are_lazy_and_keep_their_place():
    """Nothing is read before it is asked for; coordinates and system stay."""
    cube = in_memory(random_layers(5, (6, 6, 5)), every(9, 6), (3, 3, 3))
    found = s2kit.time_statistics(cube, "NDVI", period="year")
    assert all(found[name].chunks is not None for name in found.data_vars)
    assert found.rio.crs == cube.rio.crs
    assert list(found.period.values) == ["2021"]
    assert found["mean"].attrs == {"long_name": "mean of NDVI", "units": "1"}


WRONG = {
    "unknown index": ({"variable": "NDVJ"}, "Did you mean .*NDVI"),
    "band missing": ({"variable": "NDMI"}, "needs B11; the cube has B04, B08, SCL"),
    "classes": ({"variable": "SCL"}, "SCL is uint8"),
    "period": ({"period": "week"}, "accepted: None, 'year', 'season', 'month'"),
    "percentiles": ({"percentiles": (50, 101)}, "numbers from 0 to 100"),
    "one percentile": ({"percentiles": 50}, "numbers from 0 to 100"),
    "before the cube": ({"end": "2019"}, "from its beginning to 2019; it runs from 2021-01-03"),
    "after the cube": ({"start": "2030", "end": "2031"}, "runs from 2021-01-03 to 2021-02-17"),
    "no date": ({"start": "spring"}, "is not a date"),
    "mask of numbers": ({"clear": xr.DataArray(np.ones((6, 6, 5)))}, "boolean"),
    "mask of another shape": (
        {"clear": xr.DataArray(np.ones((6, 6, 4), bool), dims=("time", "y", "x"))},
        "clear is 4 along x, the cube 5",
    ),
    "mask without time": (
        {"clear": xr.DataArray(np.ones((6, 5), bool), dims=("y", "x"))},
        "the same part of the cube",
    ),
}


@pytest.mark.parametrize(("options", "says"), WRONG.values(), ids=WRONG)
def test_bad_input_is_named(options, says):
    """What cannot be is refused before anything is read, with advice."""
    cube = in_memory(random_layers(5, (6, 6, 5)), every(9, 6))
    with pytest.raises(InvalidInputError, match=says):
        s2kit.time_statistics(cube, **({"variable": "NDVI"} | options))


def test_masks_from_elsewhere_are_refused():
    """A mask of the same shape but other pixels or days does not fit."""
    cube = in_memory(random_layers(5, (6, 6, 5)), every(9, 6))
    mask = s2kit.clear_mask(cube)
    for moved in (
        mask.assign_coords(x=mask.x + 10),
        mask.assign_coords(time=mask.time + np.timedelta64(1, "h")),
        mask.assign_coords(x=mask.x + 10).drop_indexes("x"),
    ):
        with pytest.raises(InvalidInputError, match="the same part of the cube"):
            s2kit.time_statistics(cube, "NDVI", clear=moved)


def test_masks_fit_by_their_coordinates():
    """A mask of more pixels, with or without an index, is cut by its coordinates."""
    cube = in_memory(random_layers(5, (6, 6, 5)), every(9, 6))
    mask = s2kit.clear_mask(cube)
    part = cube.isel(x=slice(1, 4))
    expected = s2kit.time_statistics(part, "NDVI", clear=mask.isel(x=slice(1, 4)))
    for wider in (mask, mask.drop_indexes("x")):
        xr.testing.assert_equal(s2kit.time_statistics(part, "NDVI", clear=wider), expected)


@pytest.mark.parametrize("thing", [None, "cube.zarr", np.ones(3)])
def test_what_is_no_cube_is_refused(thing):
    """The error says what to give."""
    with pytest.raises(InvalidInputError, match=r"s2kit\.open_cube"):
        s2kit.time_statistics(thing, "NDVI")


def test_one_step_without_time_is_refused():
    """A cube from which one date was taken has no time left."""
    cube = in_memory(random_layers(5, (6, 6, 5)), every(9, 6)).isel(time=0)
    with pytest.raises(InvalidInputError, match="no dimension time"):
        s2kit.time_statistics(cube, "NDVI")


@pytest.mark.parametrize("stored", [True, False])
def test_infinite_values_do_not_count(tmp_path, stored):
    """Dark water divides by zero: what is not finite is left out of percentiles and moments."""
    red = np.array([0, 1000, 2000, 500, 0], "i2").reshape(-1, 1, 1).repeat(6, 1).repeat(6, 2)
    layers = {
        "B04": red,
        "B08": np.full_like(red, 3000),
        "SCL": np.full(red.shape, 4, "u1"),
    }
    cube = make_cube(tmp_path / "c.zarr", layers, every(5, 5))
    found = s2kit.time_statistics(cube if stored else cube.compute(), "SR", percentiles=(50, 90))
    ratio = np.array([3, 1.5, 6.0])
    assert int(found["count"][0, 0]) == 3
    for name, value in {"p50": 3, "p90": np.percentile(ratio, 90), "max": 6, "mean": 3.5}.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
