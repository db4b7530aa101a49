"""What `write_result` writes: every value and every gap comes back, or it is refused."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from cubes import NORTH, WEST, every, make_cube, random_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

import s2kit
from s2kit.errors import InvalidInputError

BANDS = ("B03", "B04", "B08")


def on_grid(values, **encoding) -> xr.DataArray:
    """Make a map on a grid, with the encoding of where it came from."""
    values = np.asarray(values)
    coords = {
        "y": NORTH - 10 * (np.arange(values.shape[-2]) + 0.5),
        "x": WEST + 10 * (np.arange(values.shape[-1]) + 0.5),
    }
    layer = xr.DataArray(values, coords, ("y", "x"), "m").rio.write_crs("EPSG:28992")
    layer.encoding = encoding
    return layer


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    dtype=st.sampled_from(["i1", "u1", "i2", "u2", "i4", "f4"]),
    scale=st.sampled_from([None, 1.0, 0.5, 1e-4, 100.0]),
    offset=st.sampled_from([None, 0.0, 100.25, -5.0]),
    fill=st.sampled_from([None, -1, 0, 3, 255, -9999]),
    kind=st.sampled_from(["f4", "f8"]),
    seed=st.integers(0, 100),
)
def test_inherited_packing_does_not_matter(
    tmp_path_factory, dtype, scale, offset, fill, kind, seed
):
    """However a map was stored where it came from, its values and gaps are what is read again."""
    rng = np.random.default_rng(seed)
    values = rng.choice([np.nan, -1.0, 0.0, 1.3, 3.0, 255.0, 1e6, -9999.25], (3, 4)).astype(kind)
    told = {"dtype": dtype, "scale_factor": scale, "add_offset": offset, "_FillValue": fill}
    layer = on_grid(values, **{key: value for key, value in told.items() if value is not None})
    before = dict(layer.attrs), dict(layer.encoding)
    store = s2kit.write_result(layer, tmp_path_factory.mktemp("packed") / "r.zarr")
    np.testing.assert_array_equal(xr.open_zarr(store).m, values)
    assert (layer.attrs, layer.encoding) == before


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "i8", "f4", "f8", "bool"])
@pytest.mark.parametrize("declared", [None, "_FillValue", "nodata", "missing_value"])
def test_every_type_comes_back(tmp_path, dtype, declared):
    """The ends of each type, and what is declared as no data, come back as what they were."""
    limits = (0, 1) if dtype == "bool" else (np.finfo if dtype[0] == "f" else np.iinfo)(dtype)
    ends = limits if dtype == "bool" else (limits.min, limits.max)
    values = np.array([[ends[0], ends[1]], [1, 0]]).astype(dtype)
    layer = on_grid(values)
    mark = None if dtype == "bool" else 1
    layer = layer if declared is None else layer.assign_attrs({declared: mark})
    again = xr.open_zarr(s2kit.write_result(layer, tmp_path / "r.zarr")).m
    expected = values.astype("f8")
    if declared and mark is not None:
        expected[values == mark] = np.nan
    np.testing.assert_array_equal(again.astype("f8"), expected)


@pytest.mark.parametrize("name", ["m", "CLD"])
def test_all_that_means_no_data_comes_back_as_that(tmp_path, name):
    """Of several marks each pixel comes back as a gap."""
    values = np.array([[5, 7, 101], [255, 5, 5]], "u1")
    layer = on_grid(values).rename(name).assign_attrs(nodata=101, missing_value=255)
    store = s2kit.write_result(layer, tmp_path / "r.zarr")
    expected = np.where(values > 100, np.nan, values)
    np.testing.assert_array_equal(xr.open_zarr(store)[name], expected)


@pytest.mark.parametrize(
    "state",
    [
        lambda layer: layer.assign_attrs(crs="EPSG:28992"),
        lambda layer: layer.assign_coords(
            spatial_ref=xr.DataArray(0, attrs={"spatial_ref": CRS(28992).to_wkt()})
        ),
    ],
    ids=["attribute crs", "spatial_ref of GDAL"],
)
def test_system_that_is_stated_in_another_way(tmp_path, state):
    """Wherever the coordinate system is stated, it is written as CF and GDAL say."""
    layer = state(on_grid(np.ones((3, 4), "f4")).drop_vars("spatial_ref"))
    store = s2kit.write_result(layer, tmp_path / "r.zarr")
    assert xr.open_zarr(store, decode_coords="all").rio.crs.to_epsg() == 28992
    with rasterio.open(f'ZARR:"{store}":/m') as opened:
        assert opened.crs.to_epsg() == 28992


@pytest.mark.parametrize("name", ["r.tif", "r.ZIP", "r.nc"])
def test_names_of_other_formats(tmp_path, name):
    """Zarr is written; a name that promises a file of another format is refused."""
    with pytest.raises(InvalidInputError, match=r"what is written is Zarr.* name it r\.zarr"):
        s2kit.write_result(on_grid(np.ones((2, 2), "f4")), tmp_path / name)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda layer: layer.assign_attrs(made={1, 2}),
        lambda layer: layer.rename("y"),
        lambda layer: layer.rename(5),
    ],
)
def test_what_zarr_cannot_store(tmp_path, spoil):
    """Attributes and names that no store can hold are named, and nothing is left."""
    with pytest.raises(InvalidInputError, match=r"cannot be stored|is called"):
        s2kit.write_result(spoil(on_grid(np.ones((2, 2), "f4"))), tmp_path / "r.zarr")
    assert not (tmp_path / "r.zarr").exists()


def test_packed_maps_are_written_in_physical_values(tmp_path):
    """Whole numbers with a scale in their attributes are decoded before they are written."""
    layer = on_grid(np.array([[10, -9999], [20, 30]], "i2"))
    layer.attrs = {"scale_factor": 0.1, "add_offset": 5, "_FillValue": -9999}
    again = xr.open_zarr(s2kit.write_result(layer, tmp_path / "r.zarr")).m
    np.testing.assert_allclose(again, [[6, np.nan], [7, 8]], atol=1e-6)


def test_parts_of_a_cube_come_back(tmp_path):
    """Dates of a cube with all kinds of layers, its extremes included, are read as they were."""
    layers = random_layers(4, (3, 20, 30), BANDS)
    layers["B04"][0, 0, :4] = 32767, -9998, 0, -1
    rng = np.random.default_rng(0)
    layers["CLD"] = rng.choice([0, 100, 254, 255], (3, 20, 30)).astype("u1")
    layers["SNW"] = np.zeros((3, 20, 30), "u1")
    layers["WVP"] = rng.choice([0, 1, 65534, 65535], (3, 20, 30)).astype("u2")
    cube = make_cube(tmp_path / "c.zarr", layers, every(25, 3))
    for n, part in enumerate((cube, cube.isel(time=0), cube[["SNW"]], s2kit.mask_clouds(cube))):
        again = xr.open_zarr(s2kit.write_result(part, tmp_path / f"{n}.zarr"))
        for name, layer in part.data_vars.items():
            expected = layer.where(layer != 0) if name == "SCL" else layer
            np.testing.assert_allclose(again[name], expected, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("value", [-0.9999, 3.28, -3.3, np.inf, -np.inf])
def test_reflectance_that_counts_cannot_hold(tmp_path, value):
    """What would come out as no data, or as another number, is refused; nothing is left."""
    image = make_cube(tmp_path / "c.zarr", random_layers(4, (4, 5, 6)), every(25, 4)).isel(time=0)
    layer = image.B04.load()
    layer[2, 3] = value
    layer.encoding = image.B04.encoding | {"scale_factor": 1e-4}
    with pytest.raises(InvalidInputError, match="which do not fit int16"):
        s2kit.write_result(layer, tmp_path / "r.zarr")
    assert not (tmp_path / "r.zarr").exists()


def test_dates(tmp_path):
    """Days come back, before 1970 too; times of day are refused, not cut off."""
    days = np.array([["2021-05-01", "1969-12-31"], ["NaT", "1900-01-01"]], "M8[ns]")
    again = xr.open_zarr(s2kit.write_result(on_grid(days), tmp_path / "r.zarr")).m
    np.testing.assert_array_equal(again, days)
    with pytest.raises(InvalidInputError, match=r"times of day.*floor"):
        s2kit.write_result(on_grid(days + np.timedelta64(1, "h")), tmp_path / "s.zarr")


@pytest.mark.parametrize(
    "values", [np.full((2, 2), "a"), np.full((2, 2), 1j), np.ones((2, 2), "m8[ns]")]
)
def test_what_is_no_number_is_not_written(tmp_path, values):
    """Texts, complex numbers and durations are refused."""
    with pytest.raises(InvalidInputError, match="numbers, dates and bool"):
        s2kit.write_result(on_grid(values), tmp_path / "r.zarr")


def test_empty_maps_are_not_written(tmp_path):
    """A selection without rows is an error that says how y runs."""
    with pytest.raises(InvalidInputError, match="from north to south"):
        s2kit.write_result(on_grid(np.ones((3, 4))).isel(y=slice(0, 0)), tmp_path / "r.zarr")
