"""Scenes that cannot be read: each is named and set aside, the rest is built, a rerun mends it."""

import itertools
import shutil
import warnings
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from children import stamps, tree
from scenarios import whole
from servers import faulty_server, refused_address
from small_scenes import (
    AOI,
    FIRST,
    NORTH,
    WEST,
    digital,
    ground,
    make_scene,
    product_name,
    write_band,
    write_safe,
)

import s2kit
from s2kit.cube import imagery, ingest
from s2kit.cube.local_store import LocalStore
from s2kit.errors import CubeError, SceneWarning
from s2kit.scenes import REFUSED

OPTIONS = {"aoi": AOI, "chunks": (2, 64, 64), "bands": ["B04", "SCL"]}
BAND = "B04"


def test_temporary_folder_that_is_full(days, tmp_path, monkeypatch):
    """That is not the scenes' fault: the build ends, and names the folder."""
    monkeypatch.setattr(ingest, "_BLOCK_BYTES", 1)  # several blocks, so that bands are spooled
    monkeypatch.setattr(imagery.os, "fdopen", lambda *_: Path("/dev/full").open("wb"))  # noqa: SIM115
    options = {"aoi": AOI, "chunks": (1, 32, 32), "bands": ["B04"], "progress": False}
    with pytest.raises(CubeError, match=r"No space left.*TMPDIR"):
        s2kit.build_cube(days[:1], tmp_path / "cube.zarr", **options)


def test_blocks_make_no_difference(days, tmp_path, monkeypatch):
    """What is made block by block, from bands in temporary files, has the same bytes."""
    options = {"aoi": AOI, "chunks": (2, 32, 32), "bands": ["B04", "SCL"]}
    s2kit.build_cube(days[:3], tmp_path / "whole.zarr", progress=False, **options)
    monkeypatch.setattr(ingest, "_BLOCK_BYTES", 1)
    s2kit.build_cube(days[:3], tmp_path / "blocks.zarr", progress=False, **options)
    assert tree(tmp_path / "blocks.zarr") == tree(tmp_path / "whole.zarr")


@pytest.fixture(params=["tif", "jp2"])
def form(request) -> str:
    """Each test with COG and with JP2."""
    return request.param


@pytest.fixture
def items(tmp_path, form) -> list[pystac.Item]:
    """Return four scenes on three days; of the second day each has one half of the ground."""
    return scenes(tmp_path / "scenes", form)


def scenes(folder: Path, form: str) -> list[pystac.Item]:
    """Write them."""
    made = []
    for n, (day, half) in enumerate([(0, None), (5, "north"), (5, "south"), (10, None)]):
        dn = {name: v for name, v in digital(ground(day), 0).items() if name in (BAND, "SCL")}
        for values in dn.values():
            middle = len(values) // 2
            if half:
                values[middle:] = 0 if half == "north" else values[middle:]
                values[:middle] = 0 if half == "south" else values[:middle]
        name = product_name(FIRST + timedelta(days=day), made=3 + n)
        made.append(make_scene(folder, name, dn, form=form))
    return made


def build(items, store):
    """Build, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        return s2kit.build_cube(items, store, progress=False, **OPTIONS)


def check_set_aside(items, broken: pystac.Item, folder: Path, *, quiet: bool = True) -> str:
    """One scene is named, with a reason that is returned; the rest is as if it were not there."""
    store, without = folder / "cube.zarr", folder / "without.zarr"
    with pytest.warns(SceneWarning, match=f"set aside: 1.*{broken.id}"):
        report = s2kit.build_cube(items, store, progress=False, **OPTIONS)
    assert list(report.failed) == [broken.id]
    assert f"set aside: {broken.id}: {report.failed[broken.id]}" in str(report)
    build([item for item in items if item is not broken], without)
    cube, expected = s2kit.open_cube(store), s2kit.open_cube(without)
    for name in (BAND, "SCL", "products", "clear_fraction", "valid_fraction"):
        np.testing.assert_array_equal(cube[name], expected[name], name)
    assert cube.failed.values.tolist() == ["", broken.id, ""]
    assert float(cube[BAND][1].count()) > 1000
    if quiet:
        before = stamps(store)
        assert list(build(items, store).failed) == [broken.id]
        assert stamps(store) == before
    return report.failed[broken.id]


def check_mended(items, folder: Path) -> None:
    """Check that the next run takes the scene in, and the cube is as if nothing had happened."""
    store, undisturbed = folder / "cube.zarr", folder / "undisturbed.zarr"
    report = build(items, store)
    assert not report.failed
    assert report.added == {51: 1}
    build(items, undisturbed)
    assert whole(store) == whole(undisturbed)
    assert s2kit.open_cube(store).failed.values.tolist() == ["", "", ""]


def band_of(item: pystac.Item, layer: str = BAND) -> Path:
    """Return where a band lies."""
    return Path(item.assets[layer].href)


# --- files


@pytest.mark.parametrize(
    ("form", "length"),
    [
        *itertools.product(["tif", "jp2"], [0, 1, 60, 200, 0.3, 0.7, -5000, -100]),
        *itertools.product(["jp2"], [-2, -1]),
    ],
    indirect=["form"],
)
def test_truncated(items, tmp_path, length):
    """A band that ends too early, a JP2 even by its last byte, gives no pixel at all."""
    path, whole_file = band_of(items[1]), band_of(items[1]).read_bytes()
    cut = round(length * len(whole_file)) if isinstance(length, float) else length
    path.write_bytes(whole_file[:cut])
    reason = check_set_aside(items, items[1], tmp_path)
    assert BAND in reason and str(path) in reason
    path.write_bytes(whole_file)
    check_mended(items, tmp_path)


def test_sign_in_page(items, tmp_path):
    """A file of the right name that is something else."""
    path, whole_file = band_of(items[1]), band_of(items[1]).read_bytes()
    path.write_bytes(b"<html>Sign in</html>" * 400)
    assert BAND in check_set_aside(items, items[1], tmp_path)
    path.write_bytes(whole_file)
    check_mended(items, tmp_path)


@pytest.mark.parametrize("form", ["tif"], indirect=True)
def test_damaged(items, tmp_path):
    """A COG of the right length whose inside is damaged (in a JPEG 2000 nothing would tell)."""
    path, whole_file = band_of(items[1]), band_of(items[1]).read_bytes()
    half = len(whole_file) // 2
    path.write_bytes(whole_file[:half] + bytes(2000) + whole_file[half + 2000 :])
    assert BAND in check_set_aside(items, items[1], tmp_path)
    path.write_bytes(whole_file)
    check_mended(items, tmp_path)


def test_file_is_gone(items, tmp_path):
    """A band that the item names, but that is not there."""
    path = band_of(items[1])
    path.rename(path.with_suffix(".away"))
    assert str(path) in check_set_aside(items, items[1], tmp_path)
    path.with_suffix(".away").rename(path)
    check_mended(items, tmp_path)


def test_band_is_missing(items, tmp_path):
    """An item without a band that the cube has: the reason names it and what there is."""
    whole_item = items[1].clone()
    del items[1].assets[BAND]
    reason = check_set_aside(items, items[1], tmp_path)
    assert BAND in reason and "SCL" in reason
    items[1] = whole_item
    check_mended(items, tmp_path)


ODD = {
    "float32": {"dtype": "float32"},
    "int16": {"dtype": "int16"},
    "rotated": {"transform": Affine.translation(WEST, NORTH) @ Affine(10, 1, 0, 1, -10, 0)},
    "south up": {"transform": Affine(10, 0, WEST, 0, 10, NORTH - 1280)},
    "no system": {"crs": None},
}


@pytest.mark.parametrize("oddity", ODD)
@pytest.mark.parametrize("form", ["tif"], indirect=True)
def test_odd_raster(items, tmp_path, oddity):
    """A band that is no north-up raster of whole numbers with a coordinate system."""
    path = band_of(items[1])
    with rasterio.open(path) as source:
        values = source.read(1)
    path.rename(path.with_suffix(".away"))
    options = {"driver": "GTiff"} | ODD[oddity]
    write_band(path, values.astype(options.get("dtype", values.dtype)), **options)
    assert BAND in check_set_aside(items, items[1], tmp_path)
    path.with_suffix(".away").rename(path)
    check_mended(items, tmp_path)


@pytest.mark.parametrize("field", [{"raster:scale": 2e-4}, {"raster:offset": -0.05}])
def test_odd_metadata(tmp_path, field):
    """A scale that Level-2A does not have, or offsets that differ from band to band."""
    options = OPTIONS | {"bands": ["B04", "B08", "SCL"]}
    made = [
        make_scene(tmp_path, product_name(FIRST + timedelta(days=n)), digital(ground(n), 0))
        for n in range(2)
    ]
    made[1].assets["B08"].extra_fields |= field
    with pytest.warns(SceneWarning):
        report = s2kit.build_cube(made, tmp_path / "cube.zarr", progress=False, **options)
    assert list(report.failed) == [made[1].id]


@pytest.mark.parametrize("form", ["tif"], indirect=True)
def test_probability_on_another_grid(items, tmp_path):
    """A cloud probability that does not lie on the classification's grid; nor does it ever pass."""
    for item in items:
        path = band_of(item, "SCL").with_name("CLD.tif")
        shift = 20 if item is items[1] else 0
        values = np.full((64, 64), 7, "uint8")
        write_band(path, values, transform=Affine(20, 0, WEST + shift, 0, -20, NORTH))
        item.add_asset("CLD", pystac.Asset(str(path), extra_fields={"raster:scale": 1.0}))
    store = tmp_path / "cube.zarr"
    options = OPTIONS | {"bands": ["B04", "SCL", "CLD"]}
    with pytest.warns(SceneWarning):
        report = s2kit.build_cube(items, store, progress=False, **options)
    assert list(report.failed) == [items[1].id]
    before = stamps(store)
    with pytest.warns(SceneWarning):
        report = s2kit.build_cube(items, store, progress=False, **options)
    assert list(report.failed) == [items[1].id]
    assert stamps(store) == before


def test_all_scenes_unreadable(items, tmp_path):
    """Then there is no cube, the error names the causes, and nothing is left."""
    for item in items:
        band_of(item).write_bytes(b"")
    with pytest.raises(CubeError, match=f"no scene could be read.*{items[0].id} {BAND} cannot be"):
        build(items, tmp_path / "cube.zarr")
    assert not (tmp_path / "cube.zarr").exists()


def test_all_scenes_unreadable_beside_files_of_others(items, tmp_path, monkeypatch):
    """What somebody else put into the folder while the build ran stays there."""
    for item in items:
        band_of(item).write_bytes(b"")
    clear, note = LocalStore.clear, tmp_path / "cube.zarr" / "notes.txt"

    def disturb(store):
        note.write_text("mine")
        clear(store)

    monkeypatch.setattr(LocalStore, "clear", disturb)
    with pytest.raises(CubeError, match="no scene could be read"):
        build(items, tmp_path / "cube.zarr")
    assert [path.name for path in (tmp_path / "cube.zarr").iterdir() if path.is_file()] == [
        "notes.txt"
    ]


def test_new_scenes_unreadable(items, tmp_path):
    """A cube that has pixels stays; scenes that cannot be read are holes in it that say so."""
    build(items[:1], tmp_path / "cube.zarr")
    for item in items[1:]:
        band_of(item).write_bytes(b"")
    report = build(items, tmp_path / "cube.zarr")
    assert set(report.failed) == {item.id for item in items[1:]}
    cube = s2kit.open_cube(tmp_path / "cube.zarr")
    assert cube.sizes["time"] == 3
    assert int(cube[BAND].isel(time=0).count()) > 0
    assert int(cube[BAND].isel(time=slice(1, None)).count()) == 0
    assert " ".join(cube.failed.values.tolist()).split() == [
        *sorted((items[1].id, items[2].id), reverse=True),
        items[3].id,
    ]


@pytest.mark.parametrize("form", ["tif"], indirect=True)
def test_failed_is_not_empty(items, tmp_path):
    """An overpass without a pixel in the region is empty, an unreadable one failed."""
    empty, elsewhere = items[0], items[3]
    write_band(band_of(empty), np.zeros((128, 128), "uint16"))
    far = Affine.translation(WEST + 50_000, NORTH)
    for layer, pixel in ((BAND, 10), ("SCL", 20)):
        values = np.full((1280 // pixel,) * 2, 4, "uint16")
        write_band(band_of(elsewhere, layer), values, transform=far @ Affine.scale(pixel, -pixel))
    for item in items[1:3]:
        shutil.rmtree(band_of(item).parent)
    report = build(items, tmp_path / "cube.zarr")
    assert set(report.failed) == {items[1].id, items[2].id}
    cube = s2kit.open_cube(tmp_path / "cube.zarr")
    assert int(cube[BAND].count()) == 0
    assert cube.valid_fraction.values.tolist() == [0, 0, 0]
    assert [bool(failed) for failed in cube.failed.values] == [False, True, False]
    assert cube.products.values.tolist() == [empty.id, "", elsewhere.id]


# --- SAFE


def edit_nothing(file: Path) -> None:
    """Empty it."""
    file.write_bytes(b"")


def cut_short(file: Path) -> None:
    """Leave its first half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def add_entity(file: Path) -> None:
    """Let it expand entities."""
    bomb = '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>'
    head, rest = file.read_text().split("?>", 1)
    file.write_text(f"{head}?>{bomb}{rest}")


@pytest.mark.parametrize("spoil", [edit_nothing, cut_short, add_entity, Path.unlink])
@pytest.mark.parametrize("file", ["MTD_MSIL2A.xml", "GRANULE/*/MTD_TL.xml"])
def test_unreadable_xml(tmp_path, spoil: Callable, file):
    """A product whose XML cannot be read is named; the others are built; later it is taken in."""
    safe = tmp_path / "safe"
    products = [
        write_safe(safe, date(2021, 6, day), digital(ground(day), 0), baseline="03.01", xml=None)
        for day in (4, 9, 14)
    ]
    shutil.copytree(products[1], tmp_path / "kept")
    spoil(next(products[1].glob(file)))
    with pytest.warns(SceneWarning, match=products[1].stem):
        found = s2kit.find_scenes(safe, AOI, "2021", "2021")
    (refused,) = found.extra_fields[REFUSED]
    assert refused["scene"] == products[1].stem
    assert file.split("/")[-1] in refused["reason"]
    assert build(found, tmp_path / "cube.zarr").steps == {51: 2}
    shutil.rmtree(products[1])
    (tmp_path / "kept").rename(products[1])
    found = s2kit.find_scenes(safe, AOI, "2021", "2021")
    assert build(found, tmp_path / "cube.zarr").steps == {51: 3}
    build(found, tmp_path / "undisturbed.zarr")
    assert whole(tmp_path / "cube.zarr") == whole(tmp_path / "undisturbed.zarr")


# --- http


@pytest.fixture
def impatient(monkeypatch):
    """Let GDAL give up soon; what the environment says wins over the kit's own patience."""
    for name, value in {
        "GDAL_HTTP_MAX_RETRY": "2",
        "GDAL_HTTP_RETRY_DELAY": "0.05",
        "GDAL_HTTP_CONNECTTIMEOUT": "2",
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
        "GDAL_HTTP_LOW_SPEED_TIME": "1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def served(tmp_path, impatient):
    """Return four scenes whose second one comes over http, and the server."""
    made = scenes(tmp_path / "scenes", "tif")
    with faulty_server(tmp_path / "scenes") as server:
        for asset in made[1].assets.values():
            asset.href = asset.href.replace(str(tmp_path / "scenes"), server.url)
        yield made, server


@pytest.mark.parametrize("fault", ["500", "503", "429", "404", "403", "stall", "cut"])
def test_server_fails(served, tmp_path, fault):
    """A band that its server does not give is a hole that says so, until the server is well."""
    items, server = served
    server.faults[BAND] = (fault, 10**6)
    reason = check_set_aside(items, items[1], tmp_path, quiet=fault != "stall")
    assert BAND in reason and server.url in reason
    assert server.hits[fault] > 0
    server.faults.clear()
    check_mended(items, tmp_path)


@pytest.mark.parametrize("fault", ["429", "503", "500"])
def test_server_fails_once(served, tmp_path, fault):
    """One refusal is overcome by asking again: nothing is set aside."""
    items, server = served
    server.faults[BAND] = (fault, 1)
    report = build(items, tmp_path / "cube.zarr")
    assert server.hits[fault] == 1
    assert not report.failed
    server.faults.clear()
    build(items, tmp_path / "undisturbed.zarr")
    assert whole(tmp_path / "cube.zarr") == whole(tmp_path / "undisturbed.zarr")


def test_server_fails_in_the_middle(served, tmp_path):
    """The file opens, and some of its pixels come, but not the others."""
    items, server = served
    build(items, tmp_path / "healthy.zarr")
    healthy = server.hits["ok"]
    assert healthy > 3
    for after in range(1, healthy):
        server.hits.clear()
        server.fail_after = after
        store = tmp_path / f"{after}.zarr"
        assert list(build(items, store).failed) == [items[1].id]
        server.fail_after = None
        assert not build(items, store).failed
        assert whole(store) == whole(tmp_path / "healthy.zarr")


def test_connection_refused(tmp_path, impatient):
    """A server that is not there at all."""
    items = scenes(tmp_path / "scenes", "tif")
    kept = {name: asset.href for name, asset in items[1].assets.items()}
    address = refused_address()
    for asset in items[1].assets.values():
        asset.href = asset.href.replace(str(tmp_path / "scenes"), address)
    assert address in check_set_aside(items, items[1], tmp_path)
    for name, href in kept.items():
        items[1].assets[name].href = href
    check_mended(items, tmp_path)
