"""Composites equal plain numpy and scipy, pixel by pixel, and are written as a cube is."""

import json
import subprocess
import warnings

import fsspec
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from cubes import days, decoded, every, in_memory, make_cube, random_cubes, random_layers
from hypothesis import assume, given, settings
from scipy import ndimage
from scipy.optimize import minimize

import s2kit
from s2kit.analysis.composites import METHODS
from s2kit.errors import CubeError, InvalidInputError

BANDS = ("B03", "B04", "B08")
CLEAR = [4, 5, 6, 7]


def spectra(layers, y, x, *, whole=True):
    """Return (step, spectrum) of the clear observations of a pixel, in float64."""
    values = np.array([decoded(layers[band])[:, y, x] for band in BANDS], "f8").T
    use = np.isin(layers["SCL"][:, y, x], CLEAR)
    use &= ~np.isnan(values).any(1) if whole else ~np.isnan(values).all(1)
    return np.flatnonzero(use), values[use]


def pixels(cube):
    """List the places of a cube."""
    return list(np.ndindex(cube.sizes["y"], cube.sizes["x"]))


@settings(max_examples=40, deadline=None)
@given(random_cubes(BANDS))
def test_median_equals_numpy(drawn):
    """Each band's median over its clear observations; the count is of those with any data."""
    layers, cube = drawn
    image = s2kit.composite(cube).compute()
    seen = np.isin(layers["SCL"], CLEAR)
    for band in BANDS:
        values = np.where(seen, decoded(layers[band]), np.nan)
        with warnings.catch_warnings(action="ignore"):
            expected = np.nanmedian(values, 0)
        np.testing.assert_array_equal(image[band], expected)
    count = [len(spectra(layers, y, x, whole=False)[0]) for y, x in pixels(cube)]
    np.testing.assert_array_equal(image["count"].values.ravel(), count)


@settings(max_examples=40, deadline=None)
@given(random_cubes(BANDS))
def test_medoid_has_the_least_sum_of_distances(drawn):
    """The chosen spectrum is an observed one, and no other is nearer to all."""
    layers, cube = drawn
    image = s2kit.composite(cube, method="medoid").compute()
    days = cube.time.values.astype("datetime64[D]")
    for y, x in pixels(cube):
        steps, sample = spectra(layers, y, x)
        assert image["count"].values[y, x] == len(steps)
        if not len(steps):
            assert np.isnat(image.date.values[y, x]) and np.isnan(image.B04.values[y, x])
            continue
        total = np.linalg.norm(sample[:, None] - sample[None], axis=2).sum(1)
        chosen = np.flatnonzero(days[steps] == image.date.values[y, x].astype("datetime64[D]"))
        assert total[chosen].min() <= total.min() + 1e-12
        found = [image[band].values[y, x] for band in BANDS]
        assert np.abs(sample[chosen] - found).sum(1).min() == 0


@settings(max_examples=15, deadline=None)
@given(random_cubes(BANDS))
def test_geomedian_minimises_the_sum_of_distances(drawn):
    """No other spectrum that scipy finds has a smaller sum of distances."""
    layers, cube = drawn
    image = s2kit.composite(cube, method="geomedian").compute()
    for y, x in pixels(cube)[::3]:
        _, sample = spectra(layers, y, x)
        found = np.array([image[band].values[y, x] for band in BANDS], "f8")
        assert image["count"].values[y, x] == len(sample)
        if not len(sample):
            assert np.isnan(found).all()
            continue

        def cost(centre, sample=sample):
            return np.linalg.norm(sample - centre, axis=1).sum()

        best = min(
            minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-7}).fun
            for start in (np.median(sample, 0), found)
        )
        assert cost(found) <= best + 1e-6 * len(sample)


@settings(max_examples=40, deadline=None)
@given(random_cubes(BANDS))
def test_max_ndvi_takes_the_greenest(drawn):
    """The observation with the highest NDVI, the earliest of equals; all its bands."""
    layers, cube = drawn
    image = s2kit.composite(cube, method="max_ndvi").compute()
    for y, x in pixels(cube):
        steps, _ = spectra(layers, y, x)
        red, nir = (decoded(layers[band])[steps, y, x] for band in ("B04", "B08"))
        with np.errstate(all="ignore"):
            ndvi = np.nan_to_num(
                (nir - red) / (nir + red), nan=-np.inf, posinf=-np.inf, neginf=-np.inf
            )
        steps = steps[np.isfinite(ndvi)]
        assert image["count"].values[y, x] == len(steps)
        if len(steps):
            best = steps[ndvi[np.isfinite(ndvi)].argmax()]
            for band in BANDS:
                assert image[band].values[y, x] == decoded(layers[band])[best, y, x]


@settings(max_examples=25, deadline=None)
@given(random_cubes(BANDS))
def test_best_pixel_is_far_from_cloud_and_near_the_date(drawn):
    """The observation with the highest score, written out with scipy's distances."""
    layers, cube = drawn
    assume(cube.sizes["y"] * cube.sizes["x"] > 1)  # one pixel has no size
    image = s2kit.composite(cube, method="best_pixel").compute()
    seen = np.isin(layers["SCL"], CLEAR)
    times = pd.DatetimeIndex(cube.time.values)
    days = np.abs((times - (times[0] + (times[-1] - times[0]) / 2)).total_seconds() / 86400)
    score = np.exp(-0.5 * (np.asarray(days) / 30) ** 2)[:, None, None] + np.zeros(seen.shape)
    for t, clear in enumerate(seen):
        away = (
            ndimage.distance_transform_edt(clear) if not clear.all() else np.full(clear.shape, 99)
        )
        score[t] += 1 / (1 + np.exp(-0.2 * (np.minimum(away * 10, 500) / 500 * 50 - 25)))
    dates = cube.time.values.astype("datetime64[D]")
    for y, x in pixels(cube):
        steps, _ = spectra(layers, y, x)
        if len(steps):
            chosen = steps[dates[steps] == image.date.values[y, x].astype("datetime64[D]")]
            assert score[chosen, y, x].max() >= score[steps, y, x].max() - 1e-6
        else:
            assert np.isnat(image.date.values[y, x])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize(
    ("dates", "options", "chosen"),
    [
        (["2021-06-01", "2021-06-03", "2021-06-05"], {"period": "season"}, "2021-06-05"),
        (["2021-06-28", "2021-07-10", "2021-12-28"], {"period": "year"}, "2021-06-28"),
        (["2021-06-01", "2021-06-04", "2021-06-05"], {}, "2021-06-04"),
    ],
)
def test_best_pixel_is_nearest_to_the_date(dates, options, chosen, order):
    """Of days alike, the one nearest to the middle of the period."""
    layers = {band: np.full((3, 2, 2), 1000, "i2") for band in BANDS}
    cube = in_memory(layers | {"SCL": np.full((3, 2, 2), 4, "u1")}, days(*dates))
    image = s2kit.composite(cube.isel(time=order), method="best_pixel", **options)
    assert (image.date.astype("M8[D]") == np.datetime64(chosen)).all()


@pytest.mark.parametrize("method", ["median", "geomedian", "medoid", "max_ndvi", "best_pixel"])
def test_each_period_is_an_image_of_its_own(method, tmp_path):
    """A year's image equals that of a cube which holds only this year; also from a store."""
    layers = random_layers(4, (30, 70, 40), BANDS)
    times = every(30, 30)
    cube = make_cube(tmp_path / "c.zarr", layers, times, chunks=(7, 16, 16))
    # without a period, the best pixel is near the middle of the steps, not of the year
    period = {"period": "year"} if method == "best_pixel" else {}
    images = s2kit.composite(cube, method=method, period="year").compute()
    assert list(images.period.values) == ["2021", "2022", "2023"]
    for i, year in enumerate(images.period.values):
        alone = s2kit.composite(cube, method=method, start=str(year), end=str(year), **period)
        alone = alone.isel(time=0, drop=True) if period else alone
        xr.testing.assert_equal(images.isel(time=i, drop=True), alone)


def test_a_store_is_written_like_a_cube(tmp_path, require_program):
    """The same grid, stored as the cube stores, and GDAL reads values and place."""
    layers = random_layers(4, (12, 70, 300), BANDS)
    layers["SCL"][:, 10, 20] = 9
    cube = make_cube(tmp_path / "c.zarr", layers, every(25, 12), chunks=(7, 16, 16))
    image = s2kit.composite(cube, method="medoid")
    store = s2kit.write_result(image, tmp_path / "image.zarr")
    read = xr.open_zarr(store)
    assert read.rio.crs == cube.rio.crs and read.sizes == {"y": 70, "x": 300}
    np.testing.assert_array_equal(read.x, cube.x)
    stored = xr.open_zarr(store, mask_and_scale=False)
    assert stored.B04.dtype == np.int16 and stored.B04.values[10, 20] == -9999
    expected = image.compute()
    np.testing.assert_allclose(read.B04, expected.B04, atol=1e-8)
    np.testing.assert_array_equal(read.date, expected.date)
    np.testing.assert_array_equal(read["count"], expected["count"])
    name = f'ZARR:"{store}":/B04'
    command = [require_program("gdalinfo"), "-json", name]
    info = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert info["geoTransform"] == [80_000, 10, 0, 450_000, 0, -10]
    assert info["bands"][0]["noDataValue"] == -9999
    assert "Amersfoort" in info["coordinateSystem"]["wkt"]
    tif = tmp_path / "b04.tif"
    subprocess.run([require_program("gdal_translate"), "-q", name, tif], check=True)
    with rasterio.open(tif) as source:
        np.testing.assert_array_equal(source.read(1), stored.B04)


def test_nothing_is_overwritten_or_left_half(tmp_path):
    """An existing place is refused; a failing computation leaves nothing behind."""
    cube = in_memory(random_layers(4, (4, 5, 6), BANDS), every(25, 4), (2, 5, 6))
    image = s2kit.composite(cube)
    store = s2kit.write_result(image, tmp_path / "image.zarr")
    with pytest.raises(CubeError, match="exists already"):
        s2kit.write_result(image, store)

    def fail(block):
        raise OSError("disk is full")

    broken = image.assign(B04=image.B04.copy(data=image.B04.data.map_blocks(fail, dtype="f4")))
    memory = fsspec.filesystem("memory")
    for place in (tmp_path / "b.zarr", f"file://{tmp_path}/b.zarr", "memory://broken/b.zarr"):
        with pytest.raises(CubeError, match="disk is full"):
            s2kit.write_result(broken, place)
    assert not memory.find("broken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.zarr"]


@pytest.mark.parametrize("place", ["{}/a.zarr", "memory://raced/a.zarr"])
def test_what_another_wrote_meanwhile_stays(tmp_path, monkeypatch, place):
    """A store that appears after the look for one is neither overwritten nor removed."""
    cube = in_memory(random_layers(4, (4, 5, 6), BANDS), every(25, 4))
    place = place.format(tmp_path)
    s2kit.write_result(cube[["B04"]].isel(time=0), place)
    monkeypatch.setattr("s2kit.analysis.write_maps._check_free", lambda target: None)
    with pytest.raises(CubeError, match="exists already"):
        s2kit.write_result(cube[["B08"]].isel(time=0), place)
    assert list(xr.open_zarr(place).data_vars) == ["B04"]
    assert len(list(tmp_path.iterdir())) <= 1


def test_what_would_not_fit_is_not_written_as_something_else(tmp_path):
    """Reflectance is packed in 16 bits; numbers beyond them are refused, with the way out."""
    image = make_cube(tmp_path / "c.zarr", random_layers(4, (4, 5, 6)), every(25, 4)).isel(time=0)
    large = image[["B04"]].copy()
    large["B04"].data = large.B04.data * 0 + 7
    with pytest.raises(InvalidInputError, match=r"up to 7, .*encoding = \{\}"):
        s2kit.write_result(large, tmp_path / "large.zarr")
    large.B04.encoding = {}
    stored = xr.open_zarr(s2kit.write_result(large, tmp_path / "large.zarr"))
    assert stored.B04.max() == 7
    named = image.rename(spatial_ref="crs")
    named.B04.encoding["grid_mapping"] = "crs"
    opened = xr.open_zarr(
        s2kit.write_result(named[["B04"]], tmp_path / "n.zarr"), decode_coords="all"
    )
    assert opened.rio.crs.to_epsg() == 28992


def test_order_of_steps_changes_nothing():
    """A cube that was sorted by something else gives the same images."""
    cube = in_memory(random_layers(4, (12, 5, 6), BANDS), every(25, 12))
    for method in METHODS:
        expected = s2kit.composite(cube, method=method)
        mixed = cube.isel(time=[3, 11, 0, 5, 7, 1, 2, 10, 4, 6, 8, 9])
        xr.testing.assert_equal(s2kit.composite(mixed, method=method), expected)


def test_what_has_no_place_is_not_written(tmp_path):
    """Maps without a system, and tables, are refused with the fix."""
    cube = in_memory(random_layers(4, (4, 5, 6), BANDS), every(25, 4))
    with pytest.raises(InvalidInputError, match="write_crs"):
        s2kit.write_result(cube.drop_vars("spatial_ref").isel(time=0), tmp_path / "a.zarr")
    with pytest.raises(InvalidInputError, match="no dimensions y and x"):
        s2kit.write_result(cube.mean(["y", "x"]), tmp_path / "b.zarr")


def test_real_steps_become_an_image(real_cube):
    """Real scenes of two orbits: ≥ 99 % of what was ever clear is covered; equals numpy."""
    image = s2kit.composite(real_cube).compute()
    clear = np.isin(real_cube.SCL.values, CLEAR)
    ever = clear.any(0)
    covered = (~np.isnan(image.B04.values) & ever).sum() / ever.sum()
    print(f"{covered:.4%} of {ever.sum()} pixels that were clear at least once are covered")
    assert covered >= 0.99
    for band in ("B02", "B03", "B04", "B08"):
        values = np.where(clear, real_cube[band].values, np.nan)
        ordered = np.sort(values, 0)  # NaN comes last; numpy.nanmedian is ten times slower
        number = (~np.isnan(values)).sum(0)[None]
        low, high = (
            np.take_along_axis(ordered, np.maximum(k, 0), 0)[0]
            for k in ((number - 1) // 2, number // 2)
        )
        np.testing.assert_array_equal(image[band], ((low.astype("f8") + high) / 2).astype("f4"))


WRONG = {
    "method": ({"method": "mean"}, "accepted: median, geomedian, medoid, max_ndvi, best_pixel"),
    "period": ({"period": "decade"}, "accepted: None, 'year'"),
    "dates": ({"start": "2030"}, "no steps from 2030 to its end"),
}


@pytest.mark.parametrize(("options", "says"), WRONG.values(), ids=WRONG)
def test_bad_input_is_named(options, says):
    """What cannot be is refused before anything is read."""
    cube = in_memory(random_layers(4, (4, 5, 6), BANDS), every(25, 4))
    with pytest.raises(InvalidInputError, match=says):
        s2kit.composite(cube, **options)


def test_bands_that_are_needed_are_named():
    """Max NDVI needs red and near infrared; any composite needs a reflectance and a map."""
    cube = in_memory(random_layers(4, (4, 5, 6), BANDS), every(25, 4))
    with pytest.raises(InvalidInputError, match="needs B04"):
        s2kit.composite(cube.drop_vars("B04"), method="max_ndvi")
    with pytest.raises(InvalidInputError, match="no reflectances"):
        s2kit.composite(cube[["SCL"]])
    with pytest.raises(InvalidInputError, match="needs time, y and x"):
        s2kit.composite(cube.isel(y=0))
