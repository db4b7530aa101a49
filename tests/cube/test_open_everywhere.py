"""Everyone can open a cube: xarray, rioxarray, Debian's GDAL, from disk, zip and http."""

import hashlib
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import zipfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyproj
import pytest
import rasterio
import rioxarray  # noqa: F401  the accessor is what is tested
import xarray as xr
from affine import Affine
from children import tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from servers import faulty_server, plain_server
from small_scenes import AOI, FIRST, digital, ground, make_scene, product_name

import s2kit
from s2kit.cube.build_options import default_chunks
from s2kit.errors import CubeError

ROOT = Path(__file__).parents[2]
REFLECTANCE = ("B02", "B04", "B08")
CONTRACT = {
    **dict.fromkeys(REFLECTANCE, ("<i2", -9999, 0.0001)),
    "SCL": ("|u1", 0, None),
    "CLD": ("|u1", 255, None),
    "SNW": ("|u1", 255, None),
    "WVP": ("<u2", 65535, 1e-3),
}
"""Layer to dtype, nodata and scale, as any program must find them."""

STEPS = {51: 3, 8: 2}


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Return five scenes on two orbits, with every kind of layer and with holes."""
    folder = tmp_path_factory.mktemp("scenes")
    made = []
    for n, orbit in enumerate((51, 8, 51, 8, 51)):
        layers = {name: v for name, v in ground(n).items() if name != "B03"}
        rng = np.random.default_rng(n)
        layers["CLD"] = rng.integers(0, 101, (64, 64)).astype("uint8")
        layers["SNW"] = rng.integers(0, 101, (64, 64)).astype("uint8")
        dn = digital(layers, 1000)
        dn["WVP"] = rng.integers(500, 4000, (64, 64)).astype("uint16")
        hole = 8 * n
        dn["SCL"][40:, hole : hole + 16] = 0
        dn["B04"][80:, 2 * hole : 2 * hole + 32] = 0
        name = product_name(FIRST + timedelta(days=3 * n), baseline="04.00", orbit=orbit)
        made.append(make_scene(folder, name, dn, offset=-0.1))
    return made


OPTIONS = {"aoi": AOI, "chunks": (2, 64, 64), "progress": False}


@pytest.fixture(scope="module")
def store(items, tmp_path_factory) -> Path:
    """Return the cube in the Dutch system."""
    folder = tmp_path_factory.mktemp("open")
    s2kit.build_cube(items, folder / "cube.zarr", **OPTIONS)
    return folder / "cube.zarr"


def stored(place, orbit: int = 51) -> xr.Dataset:
    """Open one orbit without the kit, values as stored."""
    return xr.open_zarr(place, group=f"S2/R{orbit:03d}", mask_and_scale=False)


# --- the contract


@pytest.mark.parametrize("orbit", STEPS)
def test_layers_are_as_agreed(store, orbit):
    """Names, dtypes, nodata, scale, dimensions and CF attributes of every layer."""
    cube = stored(store, orbit)
    assert list(cube.data_vars) == list(CONTRACT)
    for name, (dtype, nodata, scale) in CONTRACT.items():
        layer = cube[name]
        assert layer.dims == ("time", "y", "x")
        assert layer.dtype == np.dtype(dtype)
        assert layer.attrs["_FillValue"] == nodata
        assert layer.attrs.get("scale_factor") == scale
        assert "add_offset" not in layer.attrs
        assert layer.attrs["grid_mapping"] == "spatial_ref"
        assert layer.attrs["_CRS"] == {"url": "http://www.opengis.net/def/crs/EPSG/0/28992"}
    assert list(cube.SCL.attrs["flag_values"]) == list(range(12))
    assert len(cube.SCL.attrs["flag_meanings"].split()) == 12
    assert len(cube.SCL.attrs["flag_colors"].split()) == 12
    assert cube.WVP.attrs["units"] == "cm"


@pytest.mark.parametrize("orbit", STEPS)
def test_coordinates_are_as_agreed(store, orbit):
    """Pixel centres, y downwards; time in whole seconds since 1970, one after the other."""
    cube = xr.open_zarr(store, group=f"S2/R{orbit:03d}", decode_times=False, mask_and_scale=False)
    assert cube.time.dtype == np.int64
    assert cube.time.attrs["units"] == "seconds since 1970-01-01"
    assert (np.diff(cube.time) > 0).all()
    starts = [int(FIRST.timestamp()) + n * 3 * 86400 for n in range(5)]
    assert cube.time.values.tolist() == (starts[::2] if orbit == 51 else starts[1::2])
    assert cube.x.dtype == cube.y.dtype == np.float64
    assert set(np.diff(cube.x)) == {10} and set(np.diff(cube.y)) == {-10}
    assert cube.x.values[0] % 10 == cube.y.values[0] % 10 == 5
    assert cube.spatial_ref.attrs["crs_wkt"] and cube.spatial_ref.attrs["GeoTransform"]
    assert {"platform", "processing_baseline", "products", "failed", "corrected"} < set(cube.coords)
    assert set(cube.platform.values) == {"sentinel-2a"}
    assert set(cube.processing_baseline.values) == {"04.00"}


def test_store_is_zarr_2_consolidated_twice(store):
    """Format 2; the consolidated metadata of root and groups say what lies there."""
    assert not list(store.rglob("zarr.json"))
    root = json.loads((store / ".zmetadata").read_text())["metadata"]
    for orbit in STEPS:
        group = json.loads((store / f"S2/R{orbit:03d}/.zmetadata").read_text())["metadata"]
        for key, document in group.items():
            assert root[f"S2/R{orbit:03d}/{key}"] == document
            if key.endswith(".zarray"):
                assert document["zarr_format"] == 2
    for key, document in root.items():
        assert json.loads((store / key).read_text()) == document


def test_default_chunks_and_codec(items, tmp_path):
    """Left to itself the kit writes (16, 120, 120), or all of a smaller region, Blosc lz4."""
    s2kit.build_cube(items[:1], tmp_path / "cube.zarr", AOI, progress=False)
    document = json.loads((tmp_path / "cube.zarr/S2/R051/B04/.zarray").read_text())
    assert document["chunks"] == [16, 99, 99]
    assert document["compressor"]["id"] == "blosc" and document["compressor"]["cname"] == "lz4"


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((5, 900), (16, 5, 120)),
        ((5_000, 5_000), (16, 120, 120)),
        ((5_001, 5_000), (32, 120, 120)),
        ((34_375, 30_000), (32, 120, 120)),
    ],
)
def test_chunks_follow_the_region(shape, chunks):
    """They are no wider than a small region, and deeper for a large one: fewer files."""
    grid = GeoBox(shape, Affine(10, 0, 0, 0, -10, 600_000), "EPSG:28992")
    assert default_chunks(grid) == chunks


# --- xarray, rioxarray


@pytest.mark.parametrize("orbit", STEPS)
def test_opening_by_the_kit(store, orbit):
    """Reflectance, probabilities and vapour are float32 with NaN, classes stay uint8."""
    cube, raw = s2kit.open_cube(store, orbit=orbit), stored(store, orbit)
    for name, (_, nodata, scale) in CONTRACT.items():
        if name == "SCL":
            assert cube.SCL.dtype == np.uint8
            np.testing.assert_array_equal(cube.SCL, raw.SCL)
            continue
        assert cube[name].dtype == np.float32
        counts = raw[name].values.astype("f8")
        expected = np.where(counts == nodata, np.nan, counts * (scale or 1))
        np.testing.assert_allclose(cube[name], expected, rtol=1e-6)
    assert np.isnan(cube.B04).any() and (cube.B08 < 0).any()
    assert cube.relative_orbit.values.tolist() == [orbit] * STEPS[orbit]


def test_all_orbits_in_one_time_axis(store):
    """Without an orbit, all steps by time, each from its own orbit."""
    cube = s2kit.open_cube(store)
    assert cube.relative_orbit.values.tolist() == [51, 8, 51, 8, 51]
    assert (np.diff(cube.time) > np.timedelta64(0, "s")).all()
    for orbit in STEPS:
        alone = s2kit.open_cube(store, orbit=orbit)
        both = cube.isel(time=np.flatnonzero(cube.relative_orbit == orbit))
        for name in (*CONTRACT, "products", "clear_fraction"):
            np.testing.assert_array_equal(both[name], alone[name])


def select_chunks(size: int) -> st.SearchStrategy:
    """Anything one may select along a dimension: one place, a slice, or a list in any order."""
    place = st.integers(-size, size - 1)
    bound = st.none() | place
    cut = st.builds(slice, bound, bound, st.sampled_from([None, 2, -1, -3]))
    return place | cut | st.lists(place, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_selection_of_all_orbits(store, data):
    """What is picked from the joined orbits is what numpy picks from the stored arrays."""
    parts = [stored(store, orbit) for orbit in STEPS]
    order = np.concatenate([part.time for part in parts]).argsort()
    counts = np.concatenate([part.B04 for part in parts])[order]
    expected = np.where(counts == -9999, np.nan, counts * 1e-4)
    cube = pickle.loads(pickle.dumps(s2kit.open_cube(store)))  # as it goes to Dask's workers
    selection = {}
    for axis, dim in enumerate(("time", "y", "x")):
        selection[dim] = data.draw(select_chunks(expected.shape[axis]), label=dim)
    found = cube.B04.isel(selection)
    for axis, pick in reversed(list(enumerate(selection.values()))):
        pick = np.array(pick, int) if isinstance(pick, list) else pick
        expected = expected[(slice(None),) * axis + (pick,)]
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)


def test_plain_xarray_decodes_the_same(store):
    """Someone without the kit reads the same numbers."""
    plain, cube = xr.open_zarr(store, group="S2/R051"), s2kit.open_cube(store, orbit=51)
    np.testing.assert_array_equal(plain.time, cube.time)
    for name in (*REFLECTANCE, "WVP", "CLD"):
        np.testing.assert_allclose(plain[name], cube[name], rtol=1e-6)


@pytest.mark.parametrize("opened", [stored, s2kit.open_cube])
def test_rioxarray_sees_where_it_lies(store, opened):
    """Coordinate system and transform, of the dataset and of a layer."""
    cube = opened(store)
    for part in (cube, cube.B04, cube.SCL):
        assert part.rio.crs.to_epsg() == 28992
        transform = part.rio.transform()
        assert (transform.a, transform.b, transform.d, transform.e) == (10, 0, 0, -10)
        assert (transform.c, transform.f) == (cube.x.values[0] - 5, cube.y.values[0] + 5)


def test_zip(store, tmp_path):
    """A zip of the folder's contents."""
    with zipfile.ZipFile(tmp_path / "cube.zip", "w") as archive:
        for name, data in tree(store).items():
            archive.writestr(name, data)
    xr.testing.assert_identical(
        s2kit.open_cube(tmp_path / "cube.zip").load(), s2kit.open_cube(store).load()
    )


def test_zip_with_the_folder_around_it(store, tmp_path):
    """The message says how to zip."""
    with zipfile.ZipFile(tmp_path / "cube.zip", "w") as archive:
        archive.write(store / ".zmetadata", "cube.zarr/.zmetadata")
    with pytest.raises(CubeError, match="holds what is in its folder"):
        s2kit.open_cube(tmp_path / "cube.zip")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("orbit", [51, None])
def test_a_part_is_saved_and_read_by_plain_xarray(store, orbit, zarr_format, tmp_path):
    """Nothing of the store's own chunks and codecs stands in the way."""
    part = s2kit.open_cube(store, orbit=orbit).isel(x=slice(3, 50), y=slice(5, 70))
    part.to_zarr(tmp_path / "part.zarr", zarr_format=zarr_format, consolidated=False)
    copy = xr.open_zarr(tmp_path / "part.zarr", consolidated=False, decode_coords="all")
    assert set(copy.coords) == set(part.coords) and copy.rio.crs == part.rio.crs
    np.testing.assert_array_equal(copy.time, part.time)
    for name in (*REFLECTANCE, "SCL", "CLD", "WVP"):
        np.testing.assert_allclose(copy[name], part[name], rtol=1e-6)


@pytest.mark.parametrize("name", ["a#b.zarr", "what?.zarr", "50 %.zarr"])
def test_names_that_mean_something_in_a_url(items, tmp_path, name):
    """A path is a path."""
    s2kit.build_cube(items[:1], tmp_path / name, **OPTIONS)
    assert s2kit.open_cube(tmp_path / name).sizes["time"] == 1


@pytest.mark.parametrize("key", ["time/0", "products/0", "x/0"])
@pytest.mark.parametrize("harm", ["gone", "cut", "changed"])
def test_damaged_coordinates(store, tmp_path, key, harm):
    """A damaged coordinate is read from its copy; without one, the cube is not opened."""
    place = shutil.copytree(store, tmp_path / "cube.zarr")
    file = place / "S2/R051" / key
    whole = file.read_bytes()
    copy = place / "S2/R051/.manifest" / hashlib.sha256(whole).hexdigest()
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    file.unlink() if harm == "gone" else file.write_bytes(whole[:9] if harm == "cut" else changed)
    xr.testing.assert_identical(s2kit.open_cube(place).load(), s2kit.open_cube(store).load())
    copy.unlink()
    with pytest.raises(CubeError, match=f"{key} is missing or damaged"):
        s2kit.open_cube(place).load()


def test_http(store):
    """Plain http, by the kit and by xarray alone."""
    with plain_server(store.parent) as url:
        there = s2kit.open_cube(f"{url}/cube.zarr").load()
        plain = xr.open_zarr(f"{url}/cube.zarr", group="S2/R051", mask_and_scale=False).load()
    xr.testing.assert_identical(there, s2kit.open_cube(store).load())
    xr.testing.assert_identical(plain, stored(store).load())


def test_http_with_a_query(store, tmp_path):
    """A signature in the address goes with every request, and into no message."""
    place = shutil.copytree(store, tmp_path / "cube.zarr")
    with faulty_server(tmp_path) as server:
        there = s2kit.open_cube(f"{server.url}/cube.zarr?sig=a%2Fb&se=2030").load()
        assert all(unquote(path).endswith("?sig=a/b&se=2030") for path in server.asked)
        assert s2kit.verify(f"{server.url}/cube.zarr?sig=a%2Fb", progress=False).damaged == {}
        (place / "S2/R051/B04/0.0.0").unlink()
        with pytest.raises(CubeError, match=r"0\.0\.0 is missing") as caught:
            s2kit.open_cube(f"{server.url}/cube.zarr?sig=a%2Fb").load()
    assert "sig" not in str(caught.value)
    xr.testing.assert_identical(there, s2kit.open_cube(store).load())


def test_relative_path_and_slash(store, monkeypatch):
    """As one types it."""
    monkeypatch.chdir(store.parent)
    for place in ("cube.zarr", "cube.zarr/", "./cube.zarr", Path("cube.zarr")):
        assert s2kit.open_cube(place).sizes["time"] == 5


# --- GDAL


@pytest.fixture(params=["disk", "http"])
def gdal_path(request, store):
    """Name the store for GDAL, on disk and over plain http."""
    if request.param == "disk":
        yield str(store)
        return
    with plain_server(store.parent) as url:
        yield f"/vsicurl/{url}/cube.zarr"


def run(program: str, *arguments: str, feed: str = "", cwd: Path | None = None) -> str:
    """Run a program of the system; its GDAL must not take pyproj's or rasterio's data."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA")}
    done = subprocess.run(
        [program, *arguments],
        input=feed,
        capture_output=True,
        text=True,
        env=clean,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SAMPLES = [("B04", 51, 0), ("B08", 51, 2), ("SCL", 51, 1), ("CLD", 8, 1), ("WVP", 8, 0)]


def test_gdal_reads_the_same_values(store, gdal_path, require_program):
    """75 random pixels of five layers, by their coordinates, nodata among them."""
    program = require_program("gdallocationinfo")
    rng = np.random.default_rng(5)
    for layer, orbit, step in SAMPLES:
        image = stored(store, orbit)[layer][step]
        rows, cols = (rng.integers(0, image.sizes[d], 15) for d in ("y", "x"))
        # anywhere in the pixel, not only in its middle
        x = image.x.values[cols] + rng.uniform(-4.9, 4.9, 15)
        y = image.y.values[rows] + rng.uniform(-4.9, 4.9, 15)
        name = f'ZARR:"{gdal_path}":/S2/R{orbit:03d}/{layer}:{step}'
        points = "".join(f"{a:.3f} {b:.3f}\n" for a, b in zip(x, y, strict=True))
        found = run(program, "-valonly", "-geoloc", name, feed=points)
        assert [int(v) for v in found.split()] == image.values[rows, cols].tolist()


def test_gdal_knows_where_it_lies(store, gdal_path, require_program):
    """Size, geotransform, EPSG code, type, nodata and scale of each layer, in Debian's GDAL 3.6."""
    program = require_program("gdalinfo")
    cube = stored(store)
    for layer, (dtype, nodata, scale) in CONTRACT.items():
        name = f'ZARR:"{gdal_path}":/S2/R051/{layer}:0'
        said = json.loads(run(program, "-json", name))
        assert said["size"] == [cube.sizes["x"], cube.sizes["y"]]
        corner = [cube.x.values[0] - 5, 10, 0, cube.y.values[0] + 5, 0, -10]
        assert said["geoTransform"] == pytest.approx(corner)
        assert pyproj.CRS(said["coordinateSystem"]["wkt"]).to_epsg() == 28992
        (band,) = said["bands"]
        kinds = {"<i2": "Int16", "|u1": "Byte", "<u2": "UInt16"}
        assert band["type"] == kinds[dtype]
        assert band["noDataValue"] == nodata
        assert band.get("scale") == pytest.approx(scale) if scale else True


# --- the recipes of the README

SLICE = 'ZARR:"data/cube.zarr":/S2/R051/B04:0'


def recipes(language: str) -> list[str]:
    """Return the README's code in a language, without what needs another machine."""
    part = (ROOT / "README.md").read_text().partition("\n## Open the cube with other programs\n")[2]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", part.partition("\n## ")[0], re.M | re.S)
    return [re.sub(r"^.*….*\n", "", code, flags=re.M) for name, code in blocks if name == language]


@pytest.fixture
def folder(store, tmp_path) -> Path:
    """Return a folder where the cube has the name that it has in the README."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/cube.zarr").symlink_to(store)
    return tmp_path


def reflectance(store: Path) -> xr.DataArray:
    """Compute B04 of one orbit from what is stored, dims (time, y, x), NaN for no data."""
    counts = stored(store).B04.astype("f8")
    return counts.where(counts != -9999) * 1e-4


def is_gdal_36(program: str) -> bool:
    """Return whether a program is of GDAL 3.6."""
    return run(program, "--version").startswith("GDAL 3.6.")


def expect_in_place(tif: Path, store: Path, scale: float = 1) -> None:
    """Compare an image in another system with the cube, pixel by pixel, at the pixels' centres."""
    with rasterio.open(tif) as image:
        found, crs = image.read(1, masked=True).astype("f8"), image.crs
        grid, (height, width) = image.transform, image.shape
    x = grid.c + grid.a * (np.arange(width) + 0.5)[np.newaxis, :].repeat(height, 0)
    y = grid.f + grid.e * (np.arange(height) + 0.5)[:, np.newaxis].repeat(width, 1)
    x, y = pyproj.Transformer.from_crs(crs.to_wkt(), 28992, always_xy=True).transform(x, y)
    cube = reflectance(store)[0]
    col, row = (x - cube.x.values[0]) / 10 + 0.5, (cube.y.values[0] - y) / 10 + 0.5
    # gdalwarp may be wrong by an eighth of a pixel: what is nearer to an edge can have either value
    sure = (abs(col - col.round()) > 0.13) & (abs(row - row.round()) > 0.13)
    inside = sure & (col > 0) & (row > 0) & (col < cube.sizes["x"]) & (row < cube.sizes["y"])
    wanted = cube.values[row[inside].astype(int), col[inside].astype(int)]
    assert inside.sum() > 0.4 * cube.size
    np.testing.assert_allclose(found.filled(np.nan)[inside] * scale, wanted, rtol=1e-5)


def test_recipes_for_gdal(folder, store, require_program):
    """GDAL's programs give reflectances, and an image in another system that lies right."""
    (commands,) = recipes("")
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        run(require_program(program), *arguments, cwd=folder)
    with rasterio.open(folder / "red.tif") as red:
        np.testing.assert_allclose(red.read(1, masked=True).filled(np.nan), reflectance(store)[0])
    expect_in_place(folder / "utm.tif", store, 1e-4)


def test_recipe_for_gdalwarp_is_needed(folder, store, require_program):
    """Without the cube's own system, GDAL 3.6 puts an overpass 110 m off, and says nothing."""
    gdalwarp = require_program("gdalwarp")
    target = ("-q", "-t_srs", "EPSG:32631", SLICE)
    run(gdalwarp, "-s_srs", "EPSG:28992", *target, "right.tif", cwd=folder)
    assert run(gdalwarp, *target, "plain.tif", cwd=folder) == ""
    right, plain = (rasterio.open(folder / name).transform for name in ("right.tif", "plain.tif"))
    off = np.hypot(right.c - plain.c, right.f - plain.f)
    assert off == pytest.approx(110, abs=1) if is_gdal_36(gdalwarp) else off < 0.01


def test_degrees_of_gdal_36(folder, store, require_program):
    """In GDAL 3.6, degrees of an overpass are wrong; of a GeoTIFF made of it, they are right."""
    gdalinfo, translate = require_program("gdalinfo"), require_program("gdal_translate")
    locate = require_program("gdallocationinfo")
    run(translate, "-q", SLICE, "red.tif", cwd=folder)
    x, y = reflectance(store).x.values[40], reflectance(store).y.values[30]
    place = pyproj.Transformer.from_crs(28992, 4326, always_xy=True).transform(x, y)
    point = f"{place[0]:.9f} {place[1]:.9f}\n"
    value = int(stored(store).B04[0, 30, 40])

    def degrees(name: str) -> list[float]:
        return json.loads(run(gdalinfo, "-json", name, cwd=folder))["wgs84Extent"]["coordinates"][0]

    def at_point(name: str) -> str:
        return run(locate, "-valonly", "-wgs84", name, feed=point, cwd=folder).strip()

    np.testing.assert_allclose(degrees("red.tif")[0], (4.4601, 52.0706), atol=0.01)
    assert int(at_point("red.tif")) == value
    if is_gdal_36(gdalinfo):
        assert degrees(SLICE)[0][0] < 0
        assert at_point(SLICE) == ""
    else:
        np.testing.assert_allclose(degrees(SLICE), degrees("red.tif"))
        assert int(at_point(SLICE)) == value


@pytest.fixture
def run_r(folder, require_program):
    """Run R in the folder of the cube; where a package is missing, skip, or fail if required."""
    program = require_program("Rscript")

    def run_it(code: str, *packages: str) -> list[str]:
        for package in packages:
            asked = f'cat(requireNamespace("{package}", quietly = TRUE))'
            if "TRUE" not in run(program, "-e", asked):
                missing = f"R has no {package}; see .ci/run for its package"
                pytest.fail(missing) if os.environ.get("S2KIT_REQUIRE") else pytest.skip(missing)
        script = folder / "recipe.R"
        script.write_text(code)
        return run(program, "--vanilla", str(script), cwd=folder).split()

    return run_it


def numbers(words: list[str]) -> np.ndarray:
    """Read what R has printed."""
    return np.array([np.nan if lock_token == "NA" else float(lock_token) for lock_token in words])


def recipe_with(lock_token: str) -> str:
    """Return the recipe for R that uses a function."""
    (found,) = [code for code in recipes("r") if lock_token in code]
    return found


def test_recipe_for_terra(run_r, folder, store):
    """The raster of terra has the cube's reflectances, and lies right in another system."""
    code = recipe_with("terra::rast") + (
        'cat(terra::values(red), "\\n")\n'
        'there <- terra::project(red, "EPSG:32631", method = "near")\n'
        'terra::writeRaster(there, "there.tif", datatype = "FLT4S")\n'
    )
    wanted = reflectance(store)[0].values
    np.testing.assert_allclose(numbers(run_r(code, "terra")), wanted.ravel(), atol=1e-7)
    assert np.isnan(wanted).any()
    expect_in_place(folder / "there.tif", store)


def test_recipe_for_stars(run_r, store):
    """The raster of stars has the cube's reflectances, and its place."""
    code = recipe_with("read_stars") + (
        'cat(as.vector(red[[1]]), "\\n")\ncat(unlist(sf::st_bbox(red)), sf::st_crs(red)$epsg)\n'
    )
    *values, west, south, east, north, epsg = numbers(run_r(code, "stars"))
    cube = reflectance(store)[0]
    np.testing.assert_allclose(values, cube.values.ravel(), atol=1e-7)
    assert [west, east] == [cube.x.values[0] - 5, cube.x.values[-1] + 5]
    assert [south, north] == [cube.y.values[-1] - 5, cube.y.values[0] + 5]
    assert epsg == 28992


def test_recipe_for_gdal_read_mdim(run_r, store):
    """The series of one pixel, and a window whose dimensions are put in order."""
    code = recipe_with("gdal_read_mdim") + (
        'cat(red, as.numeric(time), "\\n")\n'
        'window <- sf::gdal_read_mdim(\'ZARR:"data/cube.zarr/S2/R051"\', "B04",'
        " offset = c(1, 50, 20), count = c(2, 5, 4))\n"
        "x <- window$array_list$B04\n"
        "ordered <- array(x, rev(dim(x)))\n"
        'cat(dim(ordered), ordered[3, 2, 1], ordered[4, 5, 2], "\\n")\n'
    )
    cube, steps = reflectance(store), STEPS[51]
    found = numbers(run_r(code, "sf"))
    series, seconds = found[:steps], found[steps : 2 * steps]
    np.testing.assert_allclose(series, cube[:, 40, 30], atol=1e-7)
    np.testing.assert_array_equal(seconds, cube.time.values.astype("M8[s]").astype(int))
    shape, values = found[2 * steps : 2 * steps + 3], found[2 * steps + 3 :]
    assert shape.tolist() == [4, 5, 2]
    np.testing.assert_allclose(values, [cube[1, 51, 22], cube[2, 54, 23]], atol=1e-7)


def test_read_mdim_of_stars(run_r):
    """Debian 12's stars stops at the units of x and y."""
    code = (
        'cat(as.character(packageVersion("stars")), "")\n'
        "tryCatch({stars::read_mdim('ZARR:\"data/cube.zarr/S2/R051\"', \"B04\"); cat('read')},"
        " error = function(e) cat(conditionMessage(e)))\n"
    )
    version, *told = run_r(code, "stars")
    if not version.startswith("0.6.0"):
        pytest.skip(f"this is stars {version}")
    assert " ".join(told).endswith("invalid crs: udunits")


QGIS = """
import json, sys
from qgis.core import (QgsApplication, QgsCoordinateReferenceSystem, QgsCoordinateTransformContext,
                       QgsPointXY, QgsRasterLayer, QgsRasterProjector, QgsRectangle)

QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], False)
app.initQgis()
name, points, there = json.loads(sys.argv[1])
layer = QgsRasterLayer(name, "red", "gdal")
data = layer.dataProvider()
projector = QgsRasterProjector()
utm = QgsCoordinateReferenceSystem("EPSG:32631")
projector.setCrs(layer.crs(), utm, QgsCoordinateTransformContext())
projector.setInput(data)
values = [data.sample(QgsPointXY(x, y), 1) for x, y in points]
shown = []
for x, y in there:
    block = projector.block(1, QgsRectangle(x - 0.5, y - 0.5, x + 0.5, y + 0.5), 1, 1)
    shown.append(None if block.isNoData(0, 0) else block.value(0, 0))
values = [value if known else None for value, known in values]
extent = layer.extent()
place = [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()]
print(json.dumps([layer.crs().authid(), place, values, shown]))
"""


def test_qgis(store):
    """QGIS has the cube's reflectances and its place, and projects it right."""
    python = shutil.which("python3", path="/usr/bin")  # the one that has the system's packages
    asked = [python or "false", "-c", "import qgis.core"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        missing = "no QGIS; see .ci/run for its package"
        pytest.fail(missing) if os.environ.get("S2KIT_REQUIRE") else pytest.skip(missing)
    cube = reflectance(store)[0]
    rows, cols = np.random.default_rng(3).integers(0, cube.shape[0], (2, 60))
    points = np.column_stack([cube.x.values[cols], cube.y.values[rows]])
    to_utm = pyproj.Transformer.from_crs(28992, 32631, always_xy=True)
    there = np.column_stack(to_utm.transform(*points.T))
    name = SLICE.replace("data/cube.zarr", str(store))
    command = [python, "-c", QGIS, json.dumps([name, points.tolist(), there.tolist()])]
    env = {"PATH": os.environ["PATH"], "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    crs, place, values, shown = json.loads(done.stdout.splitlines()[-1])
    assert crs == "EPSG:28992"
    assert place == [cube.x[0] - 5, cube.y[-1] - 5, cube.x[-1] + 5, cube.y[0] + 5]
    wanted = cube.values[rows, cols]
    np.testing.assert_allclose(np.array(values, float), wanted, atol=1e-7)
    np.testing.assert_allclose(np.array(shown, float), wanted, atol=1e-7)
    assert np.isnan(wanted).any()
