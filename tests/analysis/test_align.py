"""Rasters on the cube's grid against planes, numpy, rasterio and gdalwarp; tables in files."""

import subprocess

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

from s2kit.analysis import write_tables
from s2kit.analysis.align import align_raster
from s2kit.analysis.write_tables import save_table
from s2kit.errors import InvalidInputError

CRS, WEST, NORTH, PIXEL = "EPSG:28992", 90_000, 450_000, 10
ROWS, COLS = 30, 40
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


def make_grid(rows=ROWS, cols=COLS, pixel=PIXEL, west=WEST, north=NORTH, crs=CRS, values=None):
    """Make a map from its upper left corner."""
    values = np.zeros((rows, cols), "f4") if values is None else values
    x, y = west + pixel * (np.arange(cols) + 0.5), north - pixel * (np.arange(rows) + 0.5)
    made = xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), "height").rio.write_crs(crs)
    return made.rio.write_transform(Affine(pixel, 0, west, 0, -pixel, north))


def plane(x, y):
    """Return heights on a slope, in the coordinates of the cube."""
    return 0.02 * (x - WEST) - 0.05 * (y - NORTH) + 3


@pytest.fixture
def cube():
    """Return a grid to align to."""
    return make_grid()


def save(path, array, **options):
    """Write an array as GeoTIFF with rasterio alone."""
    crs = options.pop("crs", array.rio.crs)
    profile = {
        "driver": "GTiff",
        "height": array.shape[0],
        "width": array.shape[1],
        "count": 1,
        "dtype": array.dtype,
        "transform": array.rio.transform(),
        "crs": crs,
    }
    with rasterio.open(path, "w", **profile | options) as file:
        file.write(array.values, 1)
    return path


# --- rasters


@EXAMPLES
@given(
    pixel=st.sampled_from([1, 2.5, 5, 10, 12.5, 25, 50]),
    east=st.floats(0, 1),
    south=st.floats(0, 1),
)
def test_a_slope_stays_where_it_is(pixel, east, south):
    """A plane on any grid of its own, finer, coarser or shifted, is the same plane afterwards."""
    rows, cols = (int(2 * size * PIXEL / pixel) for size in (ROWS, COLS))
    west, north = WEST - 100 - east * pixel, NORTH + 100 + south * pixel
    source = make_grid(rows, cols, pixel, west, north)
    x, y = np.meshgrid(source.x, source.y)
    found = align_raster(source.copy(data=plane(x, y)), make_grid())
    expected = plane(*np.meshgrid(make_grid().x, make_grid().y))
    # GDAL averages over whole source pixels at the edges of a cell: a part of one pixel's slope
    tolerance = 1e-4 if pixel >= PIXEL or (PIXEL % pixel == 0 and east == south == 0) else 0.04
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_half_a_pixel_is_told_apart(cube):
    """A raster that lies half a pixel to the east gives other heights, by exactly half a step."""
    x, y = np.meshgrid(cube.x, cube.y)
    shifted = make_grid(west=WEST + PIXEL / 2).copy(data=plane(x, y))
    found = align_raster(shifted, cube)
    step = plane(PIXEL, 0) - plane(0, 0)
    np.testing.assert_allclose(found[:, 1:], plane(x, y)[:, 1:] - step / 2, atol=1e-5)


def test_the_cubes_own_grid_changes_nothing(cube, tmp_path):
    """What lies on the grid already is passed on bit for bit, with gaps, from array and file."""
    rng = np.random.default_rng(1)
    values = rng.random((ROWS, COLS)).astype("f4")
    values[rng.random(values.shape) < 0.2] = np.nan
    own = cube.copy(data=values)
    path = save(tmp_path / "own.tif", own)
    for raster in (own, path, str(path)):
        for method in (None, "bilinear", "nearest", "average"):
            found = align_raster(raster, cube, resampling=method)
            np.testing.assert_array_equal(found.values, values)
            assert found.dtype == "float32"


def test_coordinates_in_single_precision():
    """The last pixels of a map in degrees, rounded to float32, lie as far as the first ones."""
    size, pixel, west, north = 900, 1e-4, 4.0, 52.0
    x, y = west + pixel * (np.arange(size) + 0.5), north - pixel * (np.arange(size) + 0.5)
    steps = np.add.outer(np.arange(size) // 30, np.arange(size) // 30) % 2
    exact = xr.DataArray(steps.astype("u1"), {"y": y, "x": x}, ("y", "x"), "field")
    exact = exact.rio.write_crs("EPSG:4326")
    rounded = exact.assign_coords(x=x.astype("f4"), y=y.astype("f4"))
    found = align_raster(rounded, exact, resampling="nearest")
    np.testing.assert_array_equal(found, exact)
    np.testing.assert_array_equal(align_raster(exact, rounded, resampling="nearest"), exact)


def test_result_has_exactly_the_cubes_coordinates(cube):
    """So that arithmetic with the cube neither shifts nor drops anything."""
    found = align_raster(make_grid(70, 90, 7.3, WEST - 31, NORTH + 17), cube)
    assert found.dims == ("y", "x") and found.name == "height"
    xr.testing.assert_equal(found.coords.to_dataset(), cube.coords.to_dataset())
    assert found.rio.crs == CRS and found.rio.transform() == cube.rio.transform()
    assert (cube + found).shape == cube.shape


def test_finer_detail_is_averaged(cube):
    """A chequerboard of 1 m is grey at 10 m; nearest neighbour would show stripes or one colour."""
    board = np.indices((ROWS * 10, COLS * 10)).sum(0) % 2
    fine = make_grid(ROWS * 10, COLS * 10, 1, values=board.astype("f4"))
    np.testing.assert_allclose(align_raster(fine, cube), 0.5, atol=1e-6)
    rng = np.random.default_rng(3).random((ROWS * 10, COLS * 10))
    expected = rng.reshape(ROWS, 10, COLS, 10).mean((1, 3))
    np.testing.assert_allclose(align_raster(fine.copy(data=rng), cube), expected, rtol=1e-6)


def test_coarse_rasters_are_interpolated(cube):
    """Between centres 50 m apart lie the weights of the four around, as computed by hand."""
    coarse = make_grid(20, 20, 50, WEST - 100, NORTH + 100)
    values = np.random.default_rng(4).random((20, 20))
    found = align_raster(coarse.copy(data=values), cube)
    expected = xr.DataArray(values, coarse.coords).interp(x=cube.x, y=cube.y)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "average"])
def test_other_systems_are_as_gdalwarp_says(cube, tmp_path, require_program, method):
    """Elevation in UTM, warped by the program gdalwarp with an exact transformation."""
    to_utm = Transformer.from_crs(CRS, "EPSG:32631", always_xy=True)
    west, north = np.floor(to_utm.transform(WEST - 300, NORTH + 300))
    rng = np.random.default_rng(5)
    heights = rng.random((200, 200)).astype("f4").cumsum(1)
    heights[50:60, 50:60] = -999
    source = make_grid(200, 200, 6, west, north, "EPSG:32631", heights)
    path = save(tmp_path / "utm.tif", source, nodata=-999)
    bounds = [WEST, NORTH - ROWS * PIXEL, WEST + COLS * PIXEL, NORTH]
    subprocess.run(
        [
            require_program("gdalwarp"),
            "-q",
            "-et",
            "0",
            "-r",
            method,
            "-t_srs",
            CRS,
            "-tr",
            "10",
            "10",
            "-te",
            *map(str, bounds),
            "-dstnodata",
            "nan",
            path,
            tmp_path / "warped.tif",
        ],
        check=True,
    )
    with rasterio.open(tmp_path / "warped.tif") as warped:
        expected = warped.read(1)
    found = align_raster(path, cube, resampling=method)
    assert np.isnan(expected).any() and np.isfinite(expected).mean() > 0.9
    # another PROJ may place points some mm apart, which turns a few nearest neighbours
    close = np.isclose(found, expected, rtol=1e-3, equal_nan=True)
    assert close.mean() > (0.995 if method == "nearest" else 0.9999)


def test_no_data_is_not_blended(cube, tmp_path):
    """Around a hole only valid pixels count, whether it is a value, NaN or in a mask."""
    values = np.full((ROWS * 2, COLS * 2), 7, "f4")
    holes = np.zeros(values.shape, bool)
    holes[3:9, 4:10] = holes[20, 21] = True
    fine = make_grid(ROWS * 2, COLS * 2, 5)
    expected = holes.reshape(ROWS, 2, COLS, 2).all((1, 3))
    marked = fine.copy(data=np.where(holes, -9999, values))
    masked = save(tmp_path / "mask.tif", fine.copy(data=values))
    with rasterio.open(masked, "r+") as file:
        file.write_mask(~holes)
    for raster in (
        fine.copy(data=np.where(holes, np.nan, values)),
        marked.assign_attrs(_FillValue=-9999),
        marked.assign_attrs(nodata=-9999),
        marked.assign_attrs(missing_value=-9999).astype(">f4"),
        save(tmp_path / "value.tif", marked, nodata=-9999),
        save(tmp_path / "nan.tif", marked.where(~holes)),
        masked,
    ):
        found = align_raster(raster, cube)
        np.testing.assert_array_equal(np.isnan(found), expected)
        assert (found.values[~expected] == 7).all()
        assert not {"_FillValue", "nodata", "missing_value"} & set(found.attrs)


def test_beside_the_raster_is_no_data(cube):
    """A raster that covers a part of the cube leaves the rest empty."""
    found = align_raster(cube.copy(data=np.ones((ROWS, COLS))).isel(x=slice(0, 15)), cube)
    assert np.isfinite(found[:, :15]).all() and np.isnan(found[:, 16:]).all()


def test_classes_stay_classes(cube, tmp_path):
    """Mode picks the most frequent class of each cell, nearest the one in its middle; ints stay."""
    rng = np.random.default_rng(6)
    codes = rng.choice([3, 8, 250], (ROWS * 5, COLS * 5)).astype("u1")
    fine = make_grid(ROWS * 5, COLS * 5, 2, values=codes)
    cells = codes.reshape(ROWS, 5, COLS, 5).transpose(0, 2, 1, 3).reshape(ROWS, COLS, 25)
    counts = np.stack([(cells == code).sum(-1) for code in (3, 8, 250)], -1)
    clear_winner = np.diff(np.sort(counts, -1)[..., -2:])[..., 0] > 0
    for raster in (fine, save(tmp_path / "soil.tif", fine)):
        found = align_raster(raster, cube, resampling="mode")
        expected = np.array([3, 8, 250])[counts.argmax(-1)]
        assert found.dtype == "uint8" and "_FillValue" not in found.attrs
        assert (found.values == expected)[clear_winner].all() and clear_winner.mean() > 0.8
        nearest = align_raster(raster, cube, resampling="nearest")
        np.testing.assert_array_equal(nearest, codes[2::5, 2::5])
    half = align_raster(fine.isel(x=slice(0, 100)), cube, resampling="nearest")
    assert half.attrs["_FillValue"] == 255 and (half[:, 20:] == 255).all()
    given_ = fine.isel(x=slice(0, 100)).assign_attrs(_FillValue=3, flag_values=[8, 250])
    kept = align_raster(given_, cube, resampling="nearest")
    assert kept.attrs == {"_FillValue": 3, "flag_values": [8, 250]} and (kept[:, 20:] == 3).all()


def test_every_class_in_use_and_no_room_for_gaps_is_an_error(cube):
    """Where 0 and 255 are classes, and a part is not covered, the user has to say what is free."""
    codes = np.resize(np.array([0, 255], "u1"), (ROWS, 15))
    part = make_grid(ROWS, 15, values=codes)
    with pytest.raises(InvalidInputError, match="write_nodata"):
        align_raster(part, cube, resampling="nearest")
    found = align_raster(part.rio.write_nodata(99), cube, resampling="nearest")
    assert (found[:, 15:] == 99).all() and (found[:, :15] == codes).all()


def test_scale_and_offset_are_applied(cube, tmp_path):
    """Decimetres stored as whole numbers come out as metres, so they are no classes."""
    stored = cube.copy(data=np.arange(ROWS * COLS).reshape(ROWS, COLS)).astype("i2")
    path = save(tmp_path / "dm.tif", stored)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (0.1,), (-5,), ("m",)
    for raster in (path, rioxarray.open_rasterio(path), rioxarray.open_rasterio(path).squeeze()):
        found = align_raster(raster, cube)
        np.testing.assert_allclose(found, stored.values * 0.1 - 5, atol=1e-5)
        assert found.attrs["units"] == "m" and "scale_factor" not in found.attrs


def test_arrays_in_any_order_and_direction(cube):
    """South at the top, x before y, or degrees with names of their own: the same heights."""
    x, y = np.meshgrid(cube.x, cube.y)
    own = cube.copy(data=plane(x, y))
    for turned in (own.isel(y=slice(None, None, -1)), own.T, own.expand_dims("band")):
        np.testing.assert_allclose(align_raster(turned, cube), plane(x, y), atol=1e-5)
    degrees = own.rio.reproject("EPSG:4326", resampling=Resampling.cubic, nodata=np.nan)
    back = align_raster(degrees.rename(x="longitude", y="latitude"), cube)
    inner = (slice(5, -5), slice(5, -5))
    np.testing.assert_allclose(back[inner], plane(x, y)[inner], atol=0.05)


def test_precision_and_input_are_kept(cube):
    """Doubles stay doubles, whole numbers of 32 bit need them, and nothing given is changed."""
    big = cube.copy(data=np.full((ROWS, COLS), 2**30 + 1, "i4"))
    assert (align_raster(big, cube, resampling="bilinear") == 2**30 + 1).all()
    assert align_raster(big.astype("f8"), cube).dtype == "float64"
    marked = cube.copy(data=np.full((ROWS, COLS), -1, "f4")).assign_attrs(_FillValue=-1)
    before = marked.copy(deep=True)
    align_raster(marked, cube)
    xr.testing.assert_identical(marked, before)


def test_a_real_elevation_model_is_as_rasterio_warps_it(real_data):
    """eo-learn's DEM, from UTM 33 to another system at 10 m, by rasterio.warp written out."""
    heights = np.load(real_data / "eolearn/patch/DEM.npy")[..., 0]
    west, south, east, north = gpd.read_file(real_data / "eolearn/patch/bbox.geojson").total_bounds
    rows, cols = heights.shape
    transform = Affine((east - west) / cols, 0, west, 0, (south - north) / rows, north)
    dem = xr.DataArray(
        heights,
        {
            "y": north + transform.e * (np.arange(rows) + 0.5),
            "x": west + transform.a * (np.arange(cols) + 0.5),
        },
    )
    x, y = Transformer.from_crs("EPSG:32633", "EPSG:3035", always_xy=True).transform(west, north)
    target = make_grid(60, 60, 10, x // 10 * 10 + 200, y // 10 * 10 - 300, "EPSG:3035")
    expected = np.full(target.shape, np.nan, "f4")
    reproject(
        heights,
        expected,
        src_transform=transform,
        src_crs="EPSG:32633",
        dst_transform=target.rio.transform(),
        dst_crs="EPSG:3035",
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
        tolerance=0,
    )
    found = align_raster(dem.rio.write_crs("EPSG:32633"), target)
    np.testing.assert_array_equal(found.values, expected)
    assert np.isfinite(expected).mean() > 0.9 and 664 < np.nanmean(expected) < 801


def test_raster_without_a_system_is_refused_with_the_fix(cube, tmp_path):
    """The message names the call that states it; following it works."""
    path = save(tmp_path / "bare.tif", cube, crs=None)
    with pytest.raises(InvalidInputError, match=r"write_crs\(\"EPSG:28992\"\)"):
        align_raster(path, cube)
    mended = rioxarray.open_rasterio(path).squeeze().rio.write_crs("EPSG:28992")
    assert (align_raster(mended, cube) == 0).all()
    with pytest.raises(InvalidInputError, match=r"write_crs\(\"EPSG:28992\"\)"):
        align_raster(xr.DataArray(cube.values, {"y": cube.y.values, "x": cube.x.values}), cube)


def test_raster_elsewhere_is_refused_with_both_places(cube, tmp_path):
    """A wrong system shows in the place where the raster would lie."""
    wrong = cube.rio.write_crs("EPSG:32631")
    with pytest.raises(InvalidInputError, match=r"does not overlap.*UTM zone 31N") as caught:
        align_raster(save(tmp_path / "wrong.tif", wrong), cube)
    assert "the cube at 4.4" in str(caught.value) and "52.0" in str(caught.value)
    with pytest.raises(InvalidInputError, match="a place outside the area of WGS 84"):
        align_raster(cube.rio.write_crs("EPSG:4326"), cube)
    with pytest.raises(InvalidInputError, match="system 'drawing', from which nothing leads"):
        align_raster(cube.rio.write_crs('LOCAL_CS["drawing",UNIT["metre",1]]'), cube)
    with pytest.raises(InvalidInputError, match="does not overlap"):
        align_raster(make_grid(west=WEST + COLS * PIXEL), cube)


def test_bad_rasters_and_options_are_refused(cube, tmp_path):
    """Each is named, with what is accepted."""
    whole, path = cube.astype("i2"), tmp_path / "three.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=4,
        width=4,
        count=3,
        dtype="uint8",
        crs=CRS,
        transform=cube.rio.transform(),
    ):
        pass
    stack = xr.concat([cube, cube], "time")
    cases = [
        (3, {}, "raster is a int"),
        (cube.to_dataset(name="a"), {}, "select one layer"),
        (tmp_path / "nowhere.tif", {}, "cannot be read"),
        (__file__, {}, "cannot be read"),
        (path, {}, r"has 3 bands; choose one: .*sel\(band=1\)"),
        (stack, {}, "not a map on a regular grid"),
        (cube.isel(x=[1, 2, 5]), {}, "not a map on a regular grid"),
        (cube.astype("c8"), {}, "give real numbers"),
        (whole, {}, "may be classes or measurements"),
        (cube, {"resampling": "bilinaer"}, "accepted: nearest, bilinear"),
    ]
    for raster, options, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            align_raster(raster, cube, **options)
    with pytest.raises(InvalidInputError, match="is no cube"):
        align_raster(cube, 3)


# --- tables


@pytest.fixture
def fields():
    """Return three fields with ids of their own."""
    squares = [shapely.box(WEST + n, NORTH, WEST + n + 9, NORTH + 9) for n in (0, 10, 20)]
    return gpd.GeoDataFrame(
        {"crop": ["maize", None, "grass"]},
        geometry=squares,
        crs=CRS,
        index=pd.Index([11, 5, 8], name="number"),
    )


@pytest.fixture
def series():
    """Return a table as field_series does, of two of them."""
    days = pd.to_datetime(["2021-04-05 10:50:31", "2021-04-15 10:50:29"])
    return pd.DataFrame(
        {"field": [8, 8, 11, 11], "time": [*days, *days], "mean": [0.25, np.nan, 0.5, 0.75]}
    )


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.geoparquet", "A.GPKG"])
def test_files_of_series_open_with_places_and_times(tmp_path, series, fields, name):
    """GeoPackage and GeoParquet keep the system, the times to the second and the shapes."""
    path = save_table(series, tmp_path / name, fields)
    assert path == tmp_path / name
    read = gpd.read_parquet if name.endswith("parquet") else gpd.read_file
    found = read(path)
    assert found.crs == CRS and found.field.tolist() == [8, 8, 11, 11]
    assert (found.time == series.time).all() and found.time.dt.second.tolist() == [31, 29] * 2
    np.testing.assert_array_equal(found["mean"], series["mean"])
    assert (found.geometry == fields.geometry.loc[[8, 8, 11, 11]].values).all()


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.csv"])
def test_files_of_statistics_keep_the_ids(tmp_path, fields, name):
    """The index of a GeoDataFrame becomes the column field; CSV has all but the shapes."""
    path = save_table(fields, tmp_path / name)
    read = {"gpkg": gpd.read_file, "parquet": gpd.read_parquet, "csv": pd.read_csv}
    found = read[name.split(".")[1]](path)
    assert found.field.tolist() == [11, 5, 8] and found.crop.isna().tolist() == [False, True, False]
    assert ("geometry" in found) == (name != "a.csv")


def test_plain_tables_need_no_places(tmp_path, series):
    """Parquet and CSV hold a series without fields, as it is."""
    pd.testing.assert_frame_equal(
        pd.read_parquet(save_table(series, tmp_path / "a.parquet")), series
    )
    found = pd.read_csv(save_table(series[1:], tmp_path / "a.csv"), parse_dates=["time"])
    assert found.columns.tolist() == ["field", "time", "mean"]
    assert (found.time.values == series.time.values[1:]).all()


def test_a_column_called_fid_is_kept(tmp_path, fields):
    """GeoPackage has a hidden number of that name, with which columns from QGIS collide."""
    own = fields.assign(fid=["a", "a", "b"])
    assert gpd.read_file(save_table(own, tmp_path / "a.gpkg")).fid.tolist() == ["a", "a", "b"]


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.csv"])
def test_failed_writing_leaves_what_was_there(tmp_path, fields, name, monkeypatch):
    """The old file stays whole, and nothing half-written lies beside it."""
    path = save_table(fields, tmp_path / name)
    before = path.read_bytes()
    write = write_tables._WRITERS[path.suffix]

    def fail(rows, draft):
        write(rows, draft)
        raise OSError("no space left on device")

    monkeypatch.setitem(write_tables._WRITERS, path.suffix, fail)
    with pytest.raises(InvalidInputError, match="cannot be written: no space left"):
        save_table(fields[:1], path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_older_file_is_replaced(tmp_path, fields):
    """Writing again gives the new table alone, not another layer or more rows."""
    for part in (fields, fields[:1]):
        path = save_table(part, tmp_path / "a.gpkg")
    assert len(gpd.read_file(path)) == 1 and list(tmp_path.iterdir()) == [path]


def test_bad_tables_and_paths_are_refused(tmp_path, series, fields):
    """The message lists the extensions, or says what to give."""
    cases = [
        (series, "a.shp", None, r"accepted: \.gpkg, \.parquet, \.geoparquet, \.csv"),
        (series, "a", None, "accepted"),
        (series, "nowhere/a.csv", None, "there is no folder"),
        (series, "a.gpkg", None, "give the fields as well"),
        (series.assign(field=99), "a.gpkg", fields, r"such as \[99\]"),
        (series, "a.gpkg", "nowhere.gpkg", "cannot be read"),
        (fields.assign(bad=[object()] * 3), "a.parquet", None, "cannot be written"),
        ([1], "a.csv", None, "give a DataFrame"),
    ]
    for table, name, places, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            save_table(table, tmp_path / name, places)
    assert list(tmp_path.iterdir()) == []
