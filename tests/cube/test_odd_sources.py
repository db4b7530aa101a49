"""Sources that are odd in one way: each is read right, or costs no more than itself."""

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from small_scenes import (
    AOI,
    CRS,
    FIRST,
    NORTH,
    SIDE,
    WEST,
    digital,
    ground,
    make_scene,
    product_name,
    write_band,
    write_safe,
)

import s2kit
from s2kit.errors import CubeError, InvalidInputError, S2KitError, SceneWarning

INNER = slice(10, 110)
REWRITABLE = {"IGNORE_COG_LAYOUT_BREAK": "YES"}


def build(items, store, **options: Any) -> s2kit.BuildReport:
    """Build on the scenes' own grid, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        return s2kit.build_cube(
            items, store, AOI, CRS, resampling="nearest", progress=False, **options
        )


def stored(store) -> xr.Dataset:
    """Open a cube without the kit, values as stored."""
    return xr.open_zarr(store, group="S2/R051", mask_and_scale=False)


def positive(seed: int) -> dict[str, np.ndarray]:
    """Make up ground whose DN are all above 1."""
    return {n: v if n == "SCL" else np.maximum(v, 2) for n, v in ground(seed).items()}


# --- no data of a source


@pytest.mark.parametrize("where", ["item", "raster", "both"])
@pytest.mark.parametrize("mark", [65535, 7, 32768, None, -9999, float("nan")])
def test_no_data_of_bands(tmp_path, where, mark):
    """What the item or the raster states is no data besides 0; what no DN can be marks nothing."""
    layers = positive(0)
    dn = digital(layers, 0)
    possible = mark is not None and 0 <= mark <= 65535
    dn["B04"][40:50, 60:90] = 0
    if possible:
        dn["B04"][70:80, 60:90] = mark
    fits = {"nodata": mark} if mark is not None and where != "item" and possible else {}
    item = make_scene(tmp_path, product_name(FIRST), dn, **fits)
    if where != "raster" and mark is not None:
        item.assets["B04"].extra_fields["nodata"] = mark
    build([item], tmp_path / "cube.zarr", bands=["B04"])
    expected = dn["B04"].astype(int)
    expected[expected == 0] = -9999
    if possible:
        expected[dn["B04"] == mark] = -9999
    np.testing.assert_array_equal(
        stored(tmp_path / "cube.zarr").B04[0], np.minimum(expected, 32767)[INNER, INNER]
    )


def test_no_data_of_classes_and_probabilities(tmp_path):
    """255 is no class; of a probability 255 and what the raster states are no data, 0 is not."""
    dn = digital(positive(0), 0)
    dn["SCL"][20:30, 30:40] = 255
    rng = np.random.default_rng(0)
    dn["CLD"] = rng.choice([0, 50, 100, 201, 255], (64, 64)).astype("u1")
    item = make_scene(tmp_path, product_name(FIRST), dn)
    with rasterio.open(item.assets["CLD"].href, "r+", **REWRITABLE) as dataset:
        dataset.nodata = 201
    build([item], tmp_path / "cube.zarr", bands=["SCL", "CLD"])
    cube = stored(tmp_path / "cube.zarr")
    scl = np.where(dn["SCL"] == 255, 0, dn["SCL"]).repeat(2, 0).repeat(2, 1)[INNER, INNER]
    np.testing.assert_array_equal(cube.SCL[0], scl)
    cloud = np.where(dn["CLD"] == 201, 255, dn["CLD"]).repeat(2, 0).repeat(2, 1)[INNER, INNER]
    np.testing.assert_array_equal(cube.CLD[0], np.where(scl == 0, 255, cloud))


@pytest.mark.parametrize("kind", ["within", "beside"])
def test_masks_of_rasters(tmp_path, kind):
    """What a mask of a GeoTIFF hides, in the file or beside it, is no data, as rasterio says."""
    item = make_scene(tmp_path, product_name(FIRST), digital(positive(0), 0))
    href = item.assets["B04"].href
    with rasterio.open(href) as file:
        values, profile = file.read(), file.profile
    plain = {key: profile[key] for key in ("width", "height", "count", "dtype", "crs", "transform")}
    mask = np.random.default_rng(0).random(values.shape[1:]) < 0.7
    Path(href).unlink()
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "within"),
        rasterio.open(href, "w", driver="GTiff", **plain) as file,
    ):
        file.write(values)
        file.write_mask(mask)
    assert Path(f"{href}.msk").exists() == (kind == "beside")
    build([item], tmp_path / "cube.zarr", bands=["B04"])
    with rasterio.open(href) as file:
        expected = file.read(1, masked=True).astype(int).filled(-9999)
    expected[values[0] == 0] = -9999
    np.testing.assert_array_equal(stored(tmp_path / "cube.zarr").B04[0], expected[INNER, INNER])


@pytest.mark.parametrize(("count", "dtype"), [(2, "uint16"), (1, "uint8"), (3, "uint8")])
def test_rasters_that_are_no_band(tmp_path, count, dtype):
    """A stack of bands, or a preview in bytes, is no reflectance of one band."""
    items = [make_scene(tmp_path, product_name(FIRST), digital(positive(0), 0))]
    href = items[0].assets["B04"].href
    with rasterio.open(href) as file:
        plain = {key: file.profile[key] for key in ("width", "height", "crs", "transform")}
    with rasterio.open(href, "w", driver="GTiff", count=count, dtype=dtype, **plain) as file:
        file.write(np.full((count, plain["height"], plain["width"]), 90, dtype))
    with pytest.raises(CubeError, match=r"B04 cannot be read: (it holds . bands|values are uint8)"):
        build(items, tmp_path / "cube.zarr", bands=["B04"])


# --- files beside a raster


def test_georeference_in_a_sidecar(tmp_path):
    """A local GeoTIFF whose place is in .tfw and .aux.xml lies where rasterio puts it."""
    dn = digital(positive(0), 0)
    item = make_scene(tmp_path, product_name(FIRST), dn)
    plain = Path(item.assets["B04"].href)
    beside = tmp_path / "side.tif"
    rasterio.shutil.copy(plain, beside, driver="GTiff", PROFILE="BASELINE", TFW="YES")
    assert beside.with_suffix(".tfw").exists()
    assert Path(f"{beside}.aux.xml").exists()
    item.assets["B04"].href = str(beside)
    build([item], tmp_path / "cube.zarr", bands=["B04"])
    np.testing.assert_array_equal(
        stored(tmp_path / "cube.zarr").B04[0], dn["B04"].astype(int)[INNER, INNER]
    )


def test_servers_are_not_asked_for_sidecars(tmp_path):
    """Of a raster on a server nothing else is asked for."""
    item = make_scene(tmp_path, product_name(FIRST), digital(positive(0), 0))
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any):
            super().__init__(*args, directory=str(tmp_path))

        def log_request(self, *_: Any) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for asset in item.assets.values():
            place = Path(asset.href).relative_to(tmp_path).as_posix()
            asset.href = f"http://127.0.0.1:{server.server_port}/{place}"
        report = build([item], tmp_path / "cube.zarr", bands=["B04"])
        server.shutdown()
    assert not report.failed
    assert {Path(path).suffix for path in asked} == {".tif"}


# --- products as they are downloaded


def products(folder: Path, count: int = 2) -> None:
    """Write SAFE products of several days."""
    for n in range(count):
        day = date(2021, 6, 4) + timedelta(days=5 * n)
        write_safe(folder, day, digital(positive(n), 1000), baseline="05.09", xml=-1000)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pixels_of_zipped_products(tmp_path, method):
    """A cube of zipped products is, byte for byte, that of the same products in folders."""
    products(tmp_path / "safe")
    (tmp_path / "zips").mkdir()
    for product in (tmp_path / "safe").iterdir():
        with zipfile.ZipFile(tmp_path / "zips" / f"{product.stem}.zip", "w", method) as archive:
            for file in product.rglob("*"):
                archive.write(file, f"{product.name}/{file.relative_to(product).as_posix()}")
    for kind in ("safe", "zips"):
        items = s2kit.find_scenes(tmp_path / kind, AOI, "2021", "2021")
        assert len(items) == 2
        assert not build(items, tmp_path / f"{kind}.zarr").failed
    left, right = (
        {
            p.relative_to(tmp_path / f"{k}.zarr"): p.read_bytes()
            for p in (tmp_path / f"{k}.zarr").rglob("*")
            if p.is_file()
        }
        for k in ("safe", "zips")
    )
    assert left == right


@pytest.mark.parametrize("damage", ["truncated band", "flipped byte"])
def test_damaged_band_in_a_zip(tmp_path, damage):
    """A band that is cut off or rotten in a zip costs its scene, which is named."""
    products(tmp_path / "safe")
    _, bad = sorted((tmp_path / "safe").iterdir())
    band = next(bad.rglob("*_B04_10m.*"))
    if damage == "truncated band":
        band.write_bytes(band.read_bytes()[:-2])
    shutil.make_archive(str(tmp_path / "safe" / bad.name), "zip", bad.parent, bad.name)
    archive = tmp_path / "safe" / f"{bad.name}.zip"
    if damage == "flipped byte":
        data, content = bytearray(archive.read_bytes()), band.read_bytes()
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo(f"{bad.name}/{band.relative_to(bad).as_posix()}")
        data[info.header_offset + 200 + info.compress_size // 2] ^= 16
        archive.write_bytes(bytes(data))
        assert content
    shutil.rmtree(bad)
    items = s2kit.find_scenes(tmp_path / "safe", AOI, "2021", "2021")
    assert len(items) == 2
    report = build(items, tmp_path / "cube.zarr", bands=["B04"])
    assert list(report.failed) == [bad.name.removesuffix(".SAFE")]
    assert "B04 cannot be read" in report.failed[bad.stem]
    np.testing.assert_array_equal(
        stored(tmp_path / "cube.zarr").B04[0], positive(0)["B04"][INNER, INNER]
    )


# --- one odd item costs that item


def absurd(size: float) -> Callable[[pystac.Item], None]:
    """Let a band's pixels be of another size."""

    def change(item: pystac.Item) -> None:
        with rasterio.open(item.assets["B04"].href, "r+", **REWRITABLE) as dataset:
            dataset.transform = rasterio.transform.from_origin(WEST, NORTH, size, size)

    return change


def of(field: str, value: Any) -> Callable[[pystac.Item], None]:
    """Let the asset state something odd."""
    return lambda item: item.assets["B04"].extra_fields.update({field: value})


def rewrite(**options: Any) -> Callable[[pystac.Item], None]:
    """Write the band anew in another form."""

    def change(item: pystac.Item) -> None:
        values = np.full((SIDE, SIDE), 1400).astype(options.get("dtype", "uint16"))
        write_band(Path(item.assets["B04"].href), values, **options)

    return change


def without(*names: str) -> Callable[[pystac.Item], None]:
    """Let the item lack properties."""
    return lambda item: [item.properties.pop(name, None) for name in names]


ODD: dict[str, Callable[[pystac.Item], Any]] = {
    "offset that does not exist": of("raster:offset", -0.7),
    "offset NaN": of("raster:offset", float("nan")),
    "offset in words": of("raster:offset", "minus"),
    "scale that does not exist": of("raster:scale", 1.0),
    "href that is no text": lambda item: setattr(item.assets["B04"], "href", 5),
    "href to nowhere": lambda item: setattr(item.assets["B04"], "href", "/nowhere/B04.tif"),
    "no band": lambda item: item.assets.pop("B04"),
    "no baseline": without("s2:processing_baseline"),
    "odd baseline": lambda item: item.properties.update({"s2:processing_baseline": "new"}),
    "no orbit": without("sat:relative_orbit"),
    "odd orbit": lambda item: item.properties.update({"sat:relative_orbit": 999}),
    "no start": without("s2kit:datatake_start"),
    "start of the year 1000": lambda item: item.properties.update(
        {"s2kit:datatake_start": "1000-01-01T00:00:00Z"}
    ),
    "id of two words": lambda item: setattr(item, "id", "two words"),
    "pixels of a millimetre": absurd(1e-3),
    "pixels of a continent": absurd(1e7),
    "floats": rewrite(dtype="float32"),
    "no coordinate system": rewrite(crs=None, driver="GTiff", BLOCKSIZE=None, OVERVIEWS=None),
    "junk": lambda item: Path(item.assets["B04"].href).write_bytes(b"<html>not found</html>"),
}


@pytest.mark.parametrize("kind", ODD)
def test_one_odd_item_costs_that_item(tmp_path, kind):
    """The other scene is built as if the odd one were not there; the odd one is named."""
    good, odd = (
        make_scene(tmp_path, product_name(FIRST + timedelta(days=5 * n)), digital(positive(n), 0))
        for n in range(2)
    )
    name = "two words" if "words" in kind and "id" in kind else odd.id
    ODD[kind](odd)
    report = build([good, odd], tmp_path / "cube.zarr", bands=["B04"])
    assert name in report.failed
    cube = stored(tmp_path / "cube.zarr")
    np.testing.assert_array_equal(cube.B04[0], positive(0)["B04"][INNER, INNER])
    later = s2kit.open_cube(tmp_path / "cube.zarr").B04.isel(time=slice(1, None))
    assert later.isnull().all()


@pytest.mark.parametrize("kind", ODD)
def test_nothing_but_odd_items_make_no_cube(tmp_path, kind):
    """Where no scene can be read, the build fails, says why, and leaves nothing."""
    items = [
        make_scene(tmp_path, product_name(FIRST + timedelta(days=5 * n)), digital(positive(n), 0))
        for n in range(2)
    ]
    for item in items:
        ODD[kind](item)
    with pytest.raises(
        S2KitError, match=r"scene.* can(not)? be (used|read)|no scene could be read"
    ):
        build(items, tmp_path / "cube.zarr", bands=["B04"])
    assert not (tmp_path / "cube.zarr").exists()


def test_layer_that_is_refused_says_why(tmp_path):
    """A cube that does not need the odd band takes the scene; one that does says what is wrong."""
    dn = digital(positive(0), 0)
    assets = {}
    for layer, values in dn.items():
        path = write_band(tmp_path / f"{layer}.tif", values)
        stated = {} if layer == "SCL" else {"raster:offset": 0, "raster:scale": 1e-4}
        assets[layer] = {"href": str(path), **stated}
    assets["B04"]["raster:offset"] = -0.7
    feature = {
        "type": "Feature",
        "id": str(product_name(FIRST)),
        "geometry": None,
        "properties": {"datetime": None},
        "assets": assets,
    }
    (tmp_path / "i.json").write_text(json.dumps({"features": [feature]}))
    items = s2kit.find_scenes(tmp_path / "i.json", AOI, "2021", "2021")
    assert not build(items, tmp_path / "b08.zarr", bands=["B08"]).failed
    with pytest.raises(InvalidInputError, match=r"has no B04 \(B04 states offset -0.7; only 0 and"):
        build(items, tmp_path / "b04.zarr", bands=["B04"])
