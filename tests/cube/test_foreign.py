"""Cubes of the same layout that other programs made: opened, with what was assumed stated."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from pyproj import CRS

import s2kit
from s2kit.errors import CubeError, InvalidInputError

SHAPE = (5, 12, 10)
TIMES = pd.date_range("2021-05-01T10:50:31", periods=SHAPE[0], freq="20D")
NODATA = -9999


@pytest.fixture
def truth() -> xr.Dataset:
    """Make up a cube in physical values."""
    rng = np.random.default_rng(0)
    red, nir = (rng.integers(low, high, SHAPE) for low, high in ((300, 900), (2000, 5000)))
    holes = rng.random(SHAPE) < 0.1
    classes = rng.choice([0, 4, 5, 9], SHAPE).astype("u1")
    coords = {
        "time": TIMES,
        "y": 449_995 - 10.0 * np.arange(SHAPE[1]),
        "x": 90_005 + 10.0 * np.arange(SHAPE[2]),
    }
    dims = ("time", "y", "x")
    layers = {
        "B04": (dims, np.where(holes, np.nan, red * 1e-4).astype("f4")),
        "B08": (dims, (nir * 1e-4).astype("f4")),
        "SCL": (dims, classes),
        "CLD": (dims, rng.integers(0, 101, SHAPE).astype("f4")),
        "WVP": (dims, (rng.integers(500, 3000, SHAPE) * 1e-3).astype("f4")),
    }
    return xr.Dataset(layers, coords)


def counts(truth: xr.Dataset, dtype: str = "i2", *, scale: bool = True, fill: bool = True):
    """Store a cube as whole numbers."""
    stored = truth.copy()
    sizes = {"B04": 1e-4, "B08": 1e-4, "WVP": 1e-3}
    for name, size in ((n, size) for n, size in sizes.items() if n in truth):
        mark = NODATA if dtype[0] == "i" else 65535
        values = np.where(truth[name].isnull(), mark, np.rint(truth[name] / size)).astype(dtype)
        attrs = ({"scale_factor": size} if scale else {}) | ({"_FillValue": mark} if fill else {})
        stored[name] = (truth[name].dims, values, attrs)
    stored["CLD"] = truth.CLD.astype("u1").assign_attrs({"_FillValue": 255} if fill else {})
    return stored


def write(cube: xr.Dataset, store: Path, *groups: str, crs: int | None = 28992) -> Path:
    """Write groups by plain xarray, and consolidate them at the root."""
    cube = cube.rio.write_crs(crs) if crs else cube
    for group in groups or ("S2/R051",):
        cube.to_zarr(store, group=group, zarr_format=2, consolidated=False)
    zarr.consolidate_metadata(store, zarr_format=2)
    return store


def floats(truth: xr.Dataset) -> xr.Dataset:
    """Store a cube as floats with NaN."""
    return truth


FORMS: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], list[str]]] = {
    "int16, all stated": (counts, ["the radiometric offset was applied (B04, B08)"]),
    "int16 without scale": (
        lambda truth: counts(truth, scale=False),
        ["the scale factor is 0.0001 (B04, B08)", "the scale factor is 0.001 (WVP)", "offset"],
    ),
    "int16 with a scale of 1": (
        lambda t: counts(t, scale=False).map(
            lambda one: one.assign_attrs(scale_factor=1.0, add_offset=0.0), keep_attrs=True
        ),
        ["the scale factor is 0.0001 (B04, B08)", "the scale factor is 0.001 (WVP)"],
    ),
    "int16 without fill": (
        lambda truth: counts(truth.drop_vars("WVP"), fill=False),
        ["-9999 is no data (B04, B08)", "offset"],
    ),
    "int32": (lambda truth: counts(truth, "i4"), ["offset"]),
    "uint16": (lambda truth: counts(truth, "u2"), ["offset"]),
    "uint16 without fill": (
        lambda t: counts(t.drop_vars("WVP").fillna(0), "u2", fill=False),
        ["0 is no data (B04, B08)"],
    ),
    "float32": (floats, ["offset", "the values are reflectances from 0 to 1 (B04, B08)"]),
    "float32, packed": (
        lambda truth: counts(truth).map(lambda layer: layer.astype("f4"), keep_attrs=True),
        ["the radiometric offset was applied (B04, B08)"],
    ),
    "float64": (lambda truth: truth.astype("f8").assign(SCL=truth.SCL), ["offset"]),
    "classes as int64": (lambda t: counts(t).assign(SCL=t.SCL.astype("i8")), ["offset"]),
    "classes as float32": (
        lambda t: counts(t).assign(SCL=t.SCL.astype("f4").where(t.SCL != 0)),
        ["offset"],
    ),
    "y upwards": (lambda truth: counts(truth).isel(y=slice(None, None, -1)), ["offset"]),
    "not in order of time": (lambda truth: counts(truth).isel(time=[2, 0, 4, 1, 3]), ["offset"]),
    "other order of dimensions": (lambda t: counts(t).transpose("y", "x", "time"), ["offset"]),
}


def check_same(cube: xr.Dataset, truth: xr.Dataset) -> None:
    """Check that the cube holds the truth, in the form that `open_cube` promises."""
    assert set(cube.data_vars) <= set(truth.data_vars)
    for name, layer in cube.data_vars.items():
        assert layer.dims == ("time", "y", "x")
        np.testing.assert_allclose(layer, truth[name], atol=1e-6, err_msg=name)
    for name in ("time", "y", "x"):
        np.testing.assert_array_equal(cube[name], truth[name])
    assert cube.SCL.dtype == "uint8"
    assert cube.rio.crs.to_epsg() == 28992
    ndvi = (truth.B08 - truth.B04) / (truth.B08 + truth.B04)
    clear = truth.SCL.isin([4, 5, 6, 7])
    found = s2kit.time_statistics(cube, "NDVI")["mean"]
    np.testing.assert_allclose(found, ndvi.where(clear).mean("time"), atol=1e-6)


@pytest.mark.parametrize("dask", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_forms(truth, tmp_path, form, dask):
    """However it is stored, values are the truth, and what was assumed is told."""
    make, assumed = FORMS[form]
    write(make(truth), tmp_path / "f.zarr")
    cube = s2kit.open_cube(tmp_path / "f.zarr", dask=dask)
    check_same(cube, truth)
    assert (cube.relative_orbit == 51).all()
    for text in assumed:
        assert text in cube.attrs["assumed"]
    if form == "int16, all stated":
        assert cube.attrs["assumed"] == "the radiometric offset was applied (B04, B08)"


def test_offset_that_is_stated(truth, tmp_path):
    """An offset in the metadata is applied, and nothing is assumed."""
    stored = counts(truth)
    for name in ("B04", "B08"):
        attrs = stored[name].attrs | {"add_offset": -0.1}
        shifted = stored[name].where(stored[name] == NODATA, stored[name] + 1000).astype("i2")
        stored[name] = shifted.assign_attrs(attrs)
    cube = s2kit.open_cube(write(stored, tmp_path / "f.zarr"))
    check_same(cube, truth)
    assert cube.attrs["assumed"] == "nothing"


def test_layers_that_are_left_out(truth, tmp_path):
    """A layer that is not along time, y and x is named."""
    stored = counts(truth).assign(height=(("y", "x"), np.zeros(SHAPE[1:], "f4")))
    cube = s2kit.open_cube(write(stored, tmp_path / "f.zarr"))
    check_same(cube, truth)
    assert "not along time, y and x are left out (height)" in cube.attrs["assumed"]
    cube.to_netcdf(tmp_path / "f.nc")


def test_several_orbits(truth, tmp_path):
    """Orbits are one time axis, and one of them can be chosen."""
    store = tmp_path / "f.zarr"
    write(counts(truth.isel(time=[0, 2, 4])), store, "S2/R051")
    write(counts(truth.isel(time=[1, 3])), store, "S2/R008")
    cube = s2kit.open_cube(store)
    check_same(cube, truth)
    assert cube.relative_orbit.values.tolist() == [51, 8, 51, 8, 51]
    assert s2kit.open_cube(store, orbit=8).sizes["time"] == 2
    with pytest.raises(InvalidInputError, match="orbit=5 is not in the cube; it has 8, 51"):
        s2kit.open_cube(store, orbit=5)
    with pytest.raises(InvalidInputError, match="level=1 is not in the cube"):
        s2kit.open_cube(store, level=1)


def test_system_that_is_not_stated(truth, tmp_path):
    """In the Netherlands the Dutch system is assumed, and told; elsewhere none is."""
    cube = s2kit.open_cube(write(counts(truth), tmp_path / "f.zarr", crs=None))
    check_same(cube, truth)
    assert "the coordinate system is EPSG:28992" in cube.attrs["assumed"]
    far = counts(truth).assign_coords(y=truth.y + 5e6)
    assert s2kit.open_cube(write(far, tmp_path / "g.zarr", crs=None)).rio.crs is None


@pytest.mark.parametrize(
    "state",
    [
        lambda cube: cube.assign_attrs(crs="EPSG:27700"),
        lambda cube: cube.assign_attrs({"proj:code": "EPSG:27700"}),
        lambda cube: cube.assign_coords(epsg=27700),
        lambda cube: cube.assign(B04=cube.B04.assign_attrs(_CRS={"wkt": CRS(27700).to_wkt()})),
        lambda cube: cube.assign(B04=cube.B04.assign_attrs(crs="EPSG:27700")),
    ],
)
def test_system_that_is_stated_elsewhere(truth, tmp_path, state):
    """Wherever the system is stated, in attributes of GDAL, STAC or others, none is assumed."""
    write(state(counts(truth)), tmp_path / "f.zarr", crs=None)
    cube = s2kit.open_cube(tmp_path / "f.zarr")
    assert cube.rio.crs.to_epsg() == 27700
    assert "EPSG" not in cube.attrs["assumed"]


def test_sparse_probabilities(truth, tmp_path):
    """0 as the value of what was never written is 0 %, and that is told."""
    stored = counts(truth)
    stored["CLD"].attrs["_FillValue"] = 0
    cube = s2kit.open_cube(write(stored, tmp_path / "f.zarr"))
    check_same(cube, truth)
    assert "0 is 0 %, though it is what was never written too (CLD" in cube.attrs["assumed"]


def test_viewers_and_fields_take_it(truth, tmp_path):
    """What opens is a cube to all else."""
    cube = s2kit.open_cube(write(counts(truth), tmp_path / "f.zarr"))
    assert s2kit.viewers.TimeQuery(cube).timeline.shape[0] == SHAPE[0]
    s2kit.viewers.NdviStatistics(cube)
    x, y = float(cube.x[3]), float(cube.y[4])
    import geopandas as gpd

    point = gpd.GeoDataFrame(geometry=gpd.points_from_xy([x], [y]), crs=28992)
    table = s2kit.field_series(cube, point, "B08", clear=xr.ones_like(cube.B08, dtype=bool))
    np.testing.assert_allclose(table["mean"], truth.B08[:, 4, 3], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cube: cube.rename(x="lon", y="lat"), "no layers along time, y and x"),
        (lambda cube: cube.drop_vars("x"), "no layers along time, y and x"),
        (lambda cube: cube[[]], "no layers along time, y and x"),
    ],
)
def test_what_is_no_cube_is_named(truth, tmp_path, change, says):
    """A store whose group is something else is refused with what it has."""
    with pytest.raises(CubeError, match=says):
        s2kit.open_cube(write(change(counts(truth)), tmp_path / "f.zarr"))


def test_other_store(truth, tmp_path):
    """A store without such groups is no cube."""
    with pytest.raises(CubeError, match="not a cube of s2kit"):
        s2kit.open_cube(write(counts(truth), tmp_path / "f.zarr", "other"))


def test_it_is_not_extended(truth, tmp_path):
    """`build_cube` does not write into another program's store."""
    store = write(counts(truth), tmp_path / "f.zarr")
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
    from small_scenes import series

    with pytest.raises(CubeError, match="not a cube of s2kit"):
        s2kit.build_cube(series(tmp_path, 1), store, progress=False)
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == before
    assert "s2kit" not in json.loads((store / ".zmetadata").read_text())["metadata"][".zattrs"]
