"""Coarser levels: each pixel is what plain numpy makes of the base, however the cube was built."""

import json
import shutil
import subprocess
import zipfile

import numpy as np
import pyproj
import pytest
import rasterio
import xarray as xr
from affine import Affine
from children import tree
from cubes import (
    every,
    random_layers,
    write_cube,
    write_overviews,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scenarios import DEEP, whole
from servers import plain_server

import s2kit
from s2kit.cube import levels
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.open import levels_of
from s2kit.cube.state import read_state
from s2kit.cube.storage import open_store
from s2kit.errors import CubeError, GridMismatchError, InvalidInputError

BUILDS = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
SHAPE = (5, 530, 601)
"""Two levels: 265 × 301, 133 × 151."""


# --- what a level is to hold, by numpy alone


def blocks(values: np.ndarray, size: int, nodata: int) -> np.ndarray:
    """Return the base pixels under each coarse pixel, shape (time, y, x, size²)."""
    steps, height, width = values.shape
    rows, cols = -(-height // size), -(-width // size)
    padded = np.full((steps, rows * size, cols * size), nodata, values.dtype)
    padded[:, :height, :width] = values
    cut = padded.reshape(steps, rows, size, cols, size).swapaxes(2, 3)
    return cut.reshape(steps, rows, cols, size * size)


def mean(values: np.ndarray, size: int, nodata: int) -> np.ndarray:
    """Return the mean of what is not nodata, rounded half away from zero."""
    under = blocks(values.astype("i8"), size, nodata)
    count = (under != nodata).sum(-1)
    total = np.where(under != nodata, under, 0).sum(-1)
    exact = total / np.maximum(count, 1)
    rounded = np.sign(exact) * np.floor(np.abs(exact) + 0.5)
    return np.where(count > 0, rounded, nodata).astype(values.dtype)


def mode(values: np.ndarray, size: int) -> np.ndarray:
    """Return the most frequent class, the smallest of equals, 0 where there is none."""
    under = blocks(values, size, 0).reshape(-1, size * size)
    counts = np.array([np.bincount(one, minlength=12)[:12] for one in under])
    counts[:, 0] = 0
    shape = blocks(values, size, 0).shape[:3]
    return np.where(counts.any(1), counts.argmax(1), 0).astype("u1").reshape(shape)


def expected(name: str, values: np.ndarray, level: int) -> np.ndarray:
    """Return a layer of a level."""
    size = 2**level
    return mode(values, size) if name == "SCL" else mean(values, size, LAYER_SPECS[name].nodata)


def stored(store, level: int, orbit: int = 51) -> xr.Dataset:
    """Open a level without the kit, values as stored."""
    group = f"S2/R{orbit:03d}" + (f"_L{level}" if level else "")
    return xr.open_zarr(store, group=group, mask_and_scale=False)


def assert_levels(store, orbit: int = 51) -> int:
    """Each level of an orbit is what numpy makes of the base; give how many there are."""
    base, count = stored(store, 0, orbit), len(read_state(open_store(store)).spec.grids)
    for level in range(1, count):
        coarse = stored(store, level, orbit)
        assert list(coarse.data_vars) == list(base.data_vars)
        np.testing.assert_array_equal(coarse.time, base.time)
        for name, layer in coarse.data_vars.items():
            np.testing.assert_array_equal(layer, expected(name, base[name].values, level), name)
    return count - 1


@st.composite
def layers(draw):
    """Draw layers of any odd shape, with holes of any size, ties, and numbers at the limits."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 50), st.integers(1, 50)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    few = draw(st.booleans())
    drawn = {
        "B04": rng.integers(-1000, 32768, shape).astype("i2"),
        "SCL": rng.integers(0, 4 if few else 12, shape).astype("u1"),
        "CLD": rng.integers(0, 2 if few else 101, shape).astype("u1"),
        "WVP": rng.integers(0, 65535, shape).astype("u2"),
    }
    for name, values in drawn.items():
        nodata = LAYER_SPECS[name].nodata
        values[rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.9, 1]))] = nodata
        top, left = (draw(st.integers(0, n)) for n in shape[1:])
        values[:, top:, left:] = nodata
    return drawn


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=layers(), data=st.data())
def test_levels_hold_what_numpy_makes_of_the_base(tmp_path_factory, monkeypatch, drawn, data):
    """Means and modes of all valid base pixels, for any shape, chunks and holes."""
    monkeypatch.setattr(levels, "SMALLEST", 6)
    store = tmp_path_factory.mktemp("any") / "c.zarr"
    shape = drawn["B04"].shape
    chunks = data.draw(st.tuples(st.integers(1, 4), st.integers(5, 20), st.integers(5, 20)))
    write_cube(store, drawn, every(5, shape[0]), chunks=chunks, overviews=True)
    count = assert_levels(store)
    assert (count > 0) == (max(shape[1:]) > 6)
    for level in range(count + 1):
        assert stored(store, level).B04.shape[1:] == tuple(-(-n // 2**level) for n in shape[1:])


@pytest.mark.parametrize(
    ("pixels", "wanted"),
    [((1, 2), 2), ((-1, -2), -2), ((1, 1, 2, -9999), 1), ((-9999, 7), 7), ((0, -1), -1)],
)
def test_half_is_rounded_away_from_zero(tmp_path, monkeypatch, pixels, wanted):
    """1.5 becomes 2, -1.5 becomes -2; a hole does not count."""
    monkeypatch.setattr(levels, "SMALLEST", 1)
    values = np.full((1, 2, 2), -9999, "i2")
    values.flat[: len(pixels)] = pixels
    write_cube(tmp_path / "c.zarr", {"B04": values}, every(5, 1), overviews=True)
    assert stored(tmp_path / "c.zarr", 1).B04.values.tolist() == [[[wanted]]]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Write a cube of two orbits with two levels."""
    place = tmp_path_factory.mktemp("levels") / "c.zarr"
    for orbit, seed in ((8, 1), (51, 2)):
        made = random_layers(seed, SHAPE)
        made["B04"][:, 128:, 64:300] = -9999
        made["SCL"][:, :256, :256] = 0
        write_cube(
            place, made, every(5, 5) + orbit, orbit=orbit, chunks=(4, 64, 64), overviews=True
        )
    return place


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize(
    ("name", "method"), [("B04", Resampling.average), ("SCL", Resampling.mode)]
)
def test_levels_are_those_of_gdal(store, level, name, method):
    """GDAL's average is ours within its rounding; its mode is one of ours, with other ties.

    It weighs the pixels along the edges of the base otherwise, so only whole ones are compared.
    """
    base, coarse = stored(store, 0)[name].values[0], stored(store, level)[name].values[0]
    found, nodata = np.full_like(coarse, LAYER_SPECS[name].nodata), LAYER_SPECS[name].nodata
    reproject(
        base,
        found,
        src_transform=Affine.identity(),
        dst_transform=Affine.scale(2**level),
        src_crs="EPSG:28992",
        dst_crs="EPSG:28992",
        src_nodata=nodata,
        dst_nodata=nodata,
        resampling=method,
    )
    inner = tuple(slice(n // 2**level) for n in base.shape)
    found, coarse = found[inner], coarse[inner]
    if name == "B04":
        np.testing.assert_allclose(found, coarse, atol=1)
        return
    under = blocks(base[None], 2**level, 0)[0][inner]
    same = (under == found[..., None]).sum(-1) == (under == coarse[..., None]).sum(-1)
    assert same[found > 0].all()
    np.testing.assert_array_equal(found > 0, coarse > 0)


# --- built


def test_a_build_makes_levels(days, tmp_path):
    """By default, of a region that is large enough; the report does not count them as steps."""
    report = s2kit.build_cube(days[:3], tmp_path / "c.zarr", progress=False, **DEEP)
    assert report.steps == {51: 3}
    assert assert_levels(tmp_path / "c.zarr") == 1


@given(builds=st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=3))
@BUILDS
def test_any_history_ends_in_the_same_levels(days, tmp_path_factory, builds):
    """Builds of any subsets, late ones too, end in what one build gives; a rerun is a no-op."""
    folder = tmp_path_factory.mktemp("histories")
    asked = sorted(set.union(*builds))
    for chosen in builds:
        s2kit.build_cube([days[n] for n in chosen], folder / "a.zarr", progress=False, **DEEP)
    before = tree(folder / "a.zarr")
    s2kit.build_cube([days[n] for n in asked], folder / "a.zarr", progress=False)
    assert tree(folder / "a.zarr") == before
    s2kit.build_cube([days[n] for n in asked], folder / "b.zarr", progress=False, **DEEP)
    for opener in ("s2kit", "level"):
        assert whole(folder / "a.zarr", opener) == whole(folder / "b.zarr", opener)
    assert assert_levels(folder / "a.zarr") == 1


def test_two_builds_give_the_bytes_of_one(days, tmp_path):
    """Extended at its end, a cube is the same file by file."""
    for part in (days[:1], days[:4], days):
        s2kit.build_cube(part, tmp_path / "a.zarr", progress=False, **DEEP)
    s2kit.build_cube(days, tmp_path / "b.zarr", progress=False, **DEEP)
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")


def test_left_over_chunks_of_a_level_are_removed(tmp_path):
    """What a build that died left where there is nothing now does not stay."""
    made = random_layers(1, SHAPE)
    write_cube(tmp_path / "c.zarr", made, every(5, 5), chunks=(4, 64, 64), overviews=True)
    for values, nodata in ((made["B04"], -9999), (made["SCL"], 0)):
        values[:, 256:] = nodata
        values[:4] = nodata
    shutil.copytree(tmp_path / "c.zarr", tmp_path / "again.zarr")
    for place in ("again.zarr", "new.zarr"):
        for old in (tmp_path / place).glob("S2/R051/[BS]*/[0-9]*"):
            old.unlink()
        write_cube(tmp_path / place, made, every(5, 5), chunks=(4, 64, 64))
        shutil.copy(tmp_path / "c.zarr/.zmetadata", tmp_path / place)
        spec = read_state(open_store(tmp_path / "c.zarr")).spec
        write_overviews(open_store(tmp_path / place), spec, SHAPE[0])
    found = [
        {k for k in tree(tmp_path / place) if "_L" in k and not k.endswith(("attrs", "array"))}
        for place in ("again.zarr", "new.zarr")
    ]
    chunks = [{k for k in keys if k.count(".") == 2 and ".z" not in k} for keys in found]
    assert chunks[0] == chunks[1] != set()


def test_without_overviews(days, tmp_path):
    """If refused, there are none, and nothing speaks of them; the cube stays that way."""
    s2kit.build_cube(days[:2], tmp_path / "c.zarr", progress=False, overviews=False, **DEEP)
    s2kit.build_cube(days, tmp_path / "c.zarr", progress=False)
    assert not [key for key in tree(tmp_path / "c.zarr") if "_L" in key or "S2/.zattrs" in key]
    assert levels_of(cube := s2kit.open_cube(tmp_path / "c.zarr")) == [cube]
    with pytest.raises(InvalidInputError, match=r"it has 0\. .*s2kit\.build_cube"):
        s2kit.open_cube(tmp_path / "c.zarr", level=1)


def test_a_small_region_needs_none(days, tmp_path):
    """256 pixels are the last level already."""
    s2kit.build_cube(days[:1], tmp_path / "c.zarr", progress=False, **DEEP | {"resolution": 10})
    assert not [key for key in tree(tmp_path / "c.zarr") if "_L" in key]


@pytest.mark.parametrize("has", [True, False])
def test_another_wish_is_refused(days, tmp_path, has):
    """A cube has overviews from its first build, or never."""
    s2kit.build_cube(days[:1], tmp_path / "c.zarr", progress=False, overviews=has, **DEEP)
    s2kit.build_cube(days[:1], tmp_path / "c.zarr", progress=False, overviews=has)
    before = tree(tmp_path / "c.zarr")
    with pytest.raises(GridMismatchError, match=f"overviews {has}, but {not has} is asked"):
        s2kit.build_cube(days, tmp_path / "c.zarr", progress=False, overviews=not has)
    with pytest.raises(InvalidInputError, match="neither True nor False"):
        s2kit.build_cube(days, tmp_path / "c.zarr", progress=False, overviews="yes")
    assert tree(tmp_path / "c.zarr") == before


# --- opened


@pytest.mark.parametrize("orbit", [51, None])
@pytest.mark.parametrize("dask", [True, False])
def test_open_a_level(store, orbit, dask):
    """The form of the cube on a coarser grid: same layers, times and provenance, all orbits."""
    base = s2kit.open_cube(store, orbit=orbit)
    for level in (1, 2):
        cube = s2kit.open_cube(store, orbit=orbit, level=level, dask=dask)
        assert set(cube.coords) == set(base.coords) and list(cube.data_vars) == list(base.data_vars)
        for name in set(base.coords) - {"x", "y", "spatial_ref"}:
            xr.testing.assert_identical(cube[name].variable, base[name].variable)
        assert (cube.B04.chunks is not None) == dask
        assert cube.rio.crs.to_epsg() == 28992
        size, origin = 10 * 2**level, base.rio.transform()
        assert cube.rio.transform() == Affine(size, 0, origin.c, 0, -size, origin.f)
        for number in (8, 51) if orbit is None else (orbit,):
            counts = stored(store, level, number).B04.values
            found = cube.B04.isel(time=cube.relative_orbit == number)
            wanted = np.where(counts == -9999, np.nan, counts * 1e-4)
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
            assert found.dtype == np.float32
        assert cube.SCL.dtype == np.uint8


@pytest.mark.parametrize("level", [3, -1])
def test_a_level_that_is_not_there(store, level):
    """The message lists those that are."""
    with pytest.raises(InvalidInputError, match=rf"level={level} .*it has 0, 1, 2"):
        s2kit.open_cube(store, level=level)


@pytest.mark.parametrize("level", ["1", 1.5, True, None])
def test_a_level_is_a_whole_number(store, level):
    """Anything else is refused."""
    with pytest.raises(InvalidInputError, match="not a whole number"):
        s2kit.open_cube(store, level=level)


def test_zip_and_http(store, tmp_path):
    """Levels from a zip and over http are those on disk."""
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for name, data in tree(store).items():
            archive.writestr(name, data)
    with plain_server(store.parent) as url:
        places = (tmp_path / "c.zip", f"{url}/c.zarr")
        for place in places:
            found = levels_of(s2kit.open_cube(place)[["B04"]])
            assert [one.sizes["y"] for one in found] == [530, 265, 133]
            wanted = s2kit.open_cube(store, level=2)[["B04"]].load()
            xr.testing.assert_identical(found[2].load(), wanted)


def test_xarray_opens_the_whole_tree(store):
    """Groups lie beside one another, so that none is on another's grid."""
    opened = xr.open_datatree(store, engine="zarr")
    names = {f"/S2/R{n}{level}" for n in ("008", "051") for level in ("", "_L1", "_L2")}
    assert names < {node.path for node in opened.subtree}
    assert opened["S2/R051_L2/B04"].shape == (5, 133, 151)


def test_levels_are_described_as_the_convention_says(store):
    """Zarr's multiscales: each level by its path, what it was made from, scale and position."""
    attrs = json.loads((store / "S2/.zattrs").read_bytes())
    assert attrs["zarr_conventions"][0]["uuid"] == "d35379db-88df-4056-af3a-620245f8e347"
    layout = attrs["multiscales"]["layout"]
    assert [(one["asset"], one.get("derived_from")) for one in layout] == [
        ("R008", None),
        ("R008_L1", "R008"),
        ("R008_L2", "R008_L1"),
        ("R051", None),
        ("R051_L1", "R051"),
        ("R051_L2", "R051_L1"),
    ]
    for one in layout:
        group = xr.open_zarr(store, group=f"S2/{one['asset']}", decode_coords="all")
        assert one["spatial:shape"] == list(group.B04.shape[1:])
        assert Affine(*one["spatial:transform"]) == group.rio.transform()
        if "derived_from" in one:
            assert one["transform"]["scale"] == [1, 2, 2]
            assert "mode" in one["resampling_method"]
    root = json.loads((store / ".zmetadata").read_bytes())["metadata"]
    for key, document in root.items():
        assert json.loads((store / key).read_bytes()) == document


@pytest.mark.parametrize("level", [1, 2])
def test_gdal_knows_where_a_level_lies(store, level, require_program):
    """Size, position, coordinate system and values, in Debian's GDAL 3.6."""
    name = f'ZARR:"{store}":/S2/R051_L{level}/B04:1'
    done = subprocess.run(
        [require_program("gdalinfo"), "-json", "-stats", name], capture_output=True, check=True
    )
    said, values = json.loads(done.stdout), stored(store, level).B04.values[1]
    size = 10 * 2**level
    assert said["size"] == list(values.shape[::-1])
    assert said["geoTransform"] == [80_000, size, 0, 450_000, 0, -size]
    assert pyproj.CRS(said["coordinateSystem"]["wkt"]).to_epsg() == 28992
    valid = values[values != -9999]
    assert said["bands"][0]["minimum"] == valid.min()
    assert said["bands"][0]["mean"] == pytest.approx(valid.mean(), abs=0.01)
    with rasterio.open(name) as opened:
        np.testing.assert_array_equal(opened.read(1), values)


# --- all levels of a cube


@pytest.mark.parametrize("orbit", [8, None])
@pytest.mark.parametrize("dask", [True, False])
@pytest.mark.parametrize("names", [["B04"], ["SCL", "B08"]])
def test_levels_of_a_cube(store, orbit, dask, names):
    """The cube and its coarser levels, with its own layers, to be read without Dask."""
    found = levels_of(s2kit.open_cube(store, orbit=orbit, dask=dask)[names])
    assert len(found) == 3
    for level, one in enumerate(found):
        assert list(one.data_vars) == names
        assert one[names[0]].chunks is None
        wanted = s2kit.open_cube(store, orbit=orbit, level=level)[names]
        xr.testing.assert_identical(one.load(), wanted.load())


def test_levels_of_a_level(store):
    """What was opened coarse has only coarser levels."""
    found = levels_of(s2kit.open_cube(store, level=1))
    assert [one.sizes["x"] for one in found] == [301, 151]


CHANGES = {
    "cut": lambda cube: cube.isel(x=slice(3, 9)),
    "steps": lambda cube: cube.isel(time=[0, 1]),
    "other values": lambda cube: cube * 2,
    "another name": lambda cube: cube.rename(B04="red"),
    "a layer more": lambda cube: cube.assign(more=cube.B04 * 1),
    "in memory": lambda cube: cube.load(),
    "no layers": lambda cube: cube[[]],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dask", [True, False])
def test_a_changed_cube_has_no_levels(store, dask, change):
    """It stands alone, as it is."""
    cube = CHANGES[change](s2kit.open_cube(store, orbit=8, dask=dask))
    (found,) = levels_of(cube)
    assert found is cube


def test_a_cube_whose_store_has_changed(days, tmp_path):
    """It is to be opened again, since its dates are no longer those of the store."""
    s2kit.build_cube(days[1:], tmp_path / "c.zarr", progress=False, **DEEP)
    cube = s2kit.open_cube(tmp_path / "c.zarr")
    s2kit.build_cube(days, tmp_path / "c.zarr", progress=False)
    with pytest.raises(CubeError, match="open it again"):
        levels_of(cube)
    assert len(levels_of(s2kit.open_cube(tmp_path / "c.zarr"))) == 2
