"""Rasters that somebody else wrote: nothing that they lead to is read, and no absurd size."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from memory import MEMORY
from odd_rasters import NORTH, WEST, geotiff, jp2, tiff, vrt, zarr_array
from rasterio.errors import RasterioIOError
from rasterio.transform import from_origin
from servers import faulty_server
from small_scenes import FIRST, digital, ground, make_scene, product_name
from test_odd_sources import build

import s2kit
from s2kit.cube.imagery import gdal
from s2kit.cube.jpeg2000 import check_codestream
from s2kit.cube.rasters import open_raster
from s2kit.errors import CubeError, InvalidInputError
from s2kit.scenes.uri import gdal_name, is_far, is_raster_name

pytestmark = pytest.mark.slow

SECRET, OWN = 4242, 1500


@pytest.fixture
def secret(tmp_path) -> Path:
    """Write a file that no scene is to lead to."""
    return geotiff(tmp_path / "secret.tif", SECRET)


def read(name: str) -> np.ndarray:
    """Read a raster whole, and at half its size."""
    with open_raster(name) as file:
        half = file.read(1, out_shape=tuple(n // 2 for n in file.shape))
        return np.concatenate([part.ravel() for part in (file.read(1), half, file.read_masks(1))])


def wms(secret: Path) -> str:
    """Return the description of a service, which GDAL would ask."""
    return "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>"


# --- names

INSTRUCTIONS = [
    "{vrt}",
    "<VRTDataset>",
    "/vsisubfile/0,{secret}",
    "/vsisubfile/0_9999,{secret}",
    "/vsizip/{folder}/secret.zip/secret.tif",
    "/vsizip/{folder}/secret.zip",
    "/vsizip/{{/vsicurl/http://127.0.0.1:9/a.zip}}/secret.tif",
    "/vsitar/{folder}/secret.tar/secret.tif",
    "/vsigzip/{secret}",
    "/vsimem/secret.tif",
    "//vsimem/secret.tif",
    "/VSIMEM/secret.tif",
    "/vsistdin/",
    "/vsicrypt/key=abc,file={secret}",
    "/vsisparse/{secret}",
    "/vsicached?file={secret}",
    "/vsicurl?url=file%3A%2F%2F{secret}",
    "/vsicurl?use_head=no&url=http://127.0.0.1:9/a.tif",
    "/vsicurl?pc_url_signing=yes&pc_collection=sentinel-2-l2a&url=http%3A%2F%2Fe.org%2Fa.tif",
    "/vsicurl/file://{secret}",
    "/vsicurl/ftp://e.org/a.tif",
    "/vsicurl_streaming/http://127.0.0.1:9/a.tif",
    "/vsihdfs/a.tif",
    "/vsikerchunk_json_ref/{{{folder}/k.json}}/a",
    "GTIFF_DIR:1:{secret}",
    "GTIFF_RAW:{secret}",
    "DERIVED_SUBDATASET:AMPLITUDE:{secret}",
    'NETCDF:"{secret}":B04',
    'HDF5:"{secret}"://B04',
    "WMS:http://127.0.0.1:9/?",
    "MEM:::DATAPOINTER=0,PIXELS=1,LINES=1",
    'ZARR:"/vsimem/p.zarr":/b04',
    'ZARR:"/vsisubfile/0,{secret}":/b04',
    'ZARR:"<VRTDataset>":/b04',
    'ZARR:"{folder}/p.zarr":/../q.zarr/b04',
    'ZARR:"{folder}/p.zarr":/b04:0',
    'ZARR:"{folder}/p.zarr"',
    "ftp://e.org/a.tif",
    "zip://{folder}/secret.zip!secret.tif",
    "zip+https://e.org/a.zip!secret.tif",
    "file://{secret}",
    "data:image/tiff;base64,AAAA",
]


@pytest.mark.parametrize("href", INSTRUCTIONS)
def test_instructions_to_gdal_are_no_names(tmp_path, secret, href):
    """What GDAL would take as an instruction is refused by name, in scenes and by align_raster."""
    with zipfile.ZipFile(tmp_path / "secret.zip", "w") as archive:
        archive.write(secret, "secret.tif")
    name = href.format(vrt=vrt(secret), secret=secret, folder=tmp_path)
    assert not is_raster_name(name)
    with pytest.raises(ValueError, match="is no path or URL of a raster"), open_raster(name):
        pass
    item = make_scene(tmp_path, product_name(FIRST), digital(ground(0), 0))
    item.assets["B04"].href = name
    with pytest.raises(CubeError, match="B04 cannot be read"):
        build([item], tmp_path / "cube.zarr", bands=["B04"])
    with pytest.raises(InvalidInputError, match="cannot be read"):
        s2kit.align_raster(name, s2kit.open_cube(cube_of(tmp_path)))


def cube_of(folder: Path) -> Path:
    """Return a small cube of one scene, where the rasters lie."""
    if not (folder / "whole.zarr").exists():
        item = make_scene(folder / "good", product_name(FIRST), digital(ground(0), 0))
        build([item], folder / "whole.zarr", bands=["B04"])
    return folder / "whole.zarr"


@pytest.mark.parametrize(
    ("name", "far"),
    [
        ("/data/B04.tif", False),
        ("/data/a b;c:d/<1>/B04.tif", False),
        ("data/B04.jp2", False),
        ("https://e.org/a%20b/B04.tif?x=1&y=/vsimem/", True),
        ("HTTP://e.org/B04.tif", True),
        ("/vsicurl/https://e.org/B04.tif", True),
        ("/vsis3/bucket/a b/B04.jp2", True),
        ("/vsigs/bucket/B04.tif", True),
        ("/vsiaz/bucket/B04.tif", True),
        ("/vsizip/{/data/a.zip}/S2A.SAFE/GRANULE/B04.jp2", False),
        ('ZARR:"/data/p.zarr":/measurements/reflectance/r10m/b04', False),
        ('ZARR:"/vsizip/{/data/p.zip}/p.zarr":/m/b04', False),
        ('ZARR:"/vsicurl/https://e.org/p.zarr":/m/b04', True),
        ('ZARR:"/vsis3/bucket/p.zarr":/m/b04', True),
    ],
)
def test_names_that_s2kit_makes(name, far):
    """Paths, URLs, objects, files in zips and arrays of Zarr stores are names of rasters."""
    assert is_raster_name(name)
    assert is_far(name) == far


@given(st.text(st.characters(blacklist_characters='\0":', blacklist_categories=["Cs"]), min_size=1))
def test_what_gdal_name_makes_is_a_name(text):
    """Whatever stands in the path of a URL, an object or a file, it stays the name of a raster."""
    for place in (f"https://e.org/{text}", f"s3://bucket/{text}", f"/data/{text}"):
        name = gdal_name(place)
        assert "\n" in text or "\r" in text or is_raster_name(name) or ".." in text, name
        assert not is_raster_name(f"/vsisubfile/0,{name}")


# --- formats


@pytest.mark.parametrize("name", ["x.tif", "x.jp2", "x.vrt", "x", "x.TIF"])
@pytest.mark.parametrize("make", [vrt, wms], ids=["vrt", "wms"])
def test_descriptions_are_no_rasters(tmp_path, secret, make, name):
    """A VRT or WMS description is refused, whatever it is called."""
    (tmp_path / name).write_text(make(secret))
    with pytest.raises(rasterio.errors.RasterioIOError), open_raster(str(tmp_path / name)):
        pass
    with pytest.raises(InvalidInputError, match=r"GeoTIFF .or COG., JPEG 2000 and Zarr are read"):
        s2kit.align_raster(tmp_path / name, s2kit.open_cube(cube_of(tmp_path)))


def test_other_formats_are_named(tmp_path):
    """Of a raster in another format align_raster says how to open it, and takes that array."""
    import rioxarray

    text = "ncols 2\nnrows 2\nxllcorner 600000\nyllcorner 5768720\ncellsize 640\n1.5 2.5\n3.5 4.5\n"
    (tmp_path / "x.asc").write_text(text)
    cube = s2kit.open_cube(cube_of(tmp_path))
    with pytest.raises(InvalidInputError, match=r"rioxarray\.open_rasterio"):
        s2kit.align_raster(tmp_path / "x.asc", cube)
    array = rioxarray.open_rasterio(tmp_path / "x.asc").squeeze().rio.write_crs(32631)
    aligned = s2kit.align_raster(array, cube, resampling="nearest")
    assert aligned[0, 0] == 1.5
    assert aligned[-1, -1] == 4.5


@pytest.mark.parametrize("kind", ["json", "file.zarr", "parquet"])
def test_lists_of_references_are_no_stores(tmp_path, kind):
    """What kerchunk writes names other files: no Zarr store, for scenes and align_raster."""
    own = zarr_array(tmp_path / "own.zarr", [128, 128], [128, 128])
    document = json.loads((tmp_path / "own.zarr/measurements/b04/.zarray").read_text())
    store = {"json": tmp_path / "r.json", "file.zarr": tmp_path / "r.zarr"}.get(kind)
    if store:
        chunk = [str(tmp_path / "own.zarr/measurements/b04/0.0"), 0, 1000]
        refs = {".zgroup": '{"zarr_format": 2}', "b04/.zarray": json.dumps(document)}
        store.write_text(json.dumps({"version": 1, "refs": refs | {"b04/0.0": chunk}}))
    else:
        store = tmp_path / "p.zarr"
        (store / "b04").mkdir(parents=True)
        metadata = {".zgroup": {"zarr_format": 2}, "b04/.zarray": document, "b04/.zattrs": {}}
        (store / ".zmetadata").write_text(json.dumps({"metadata": metadata, "record_size": 100}))
    with open_raster(own) as file:
        assert file.shape == (128, 128)
    for name in (f'ZARR:"{store}":/b04', str(store)):
        with pytest.raises((ValueError, rasterio.errors.RasterioIOError)), open_raster(name):
            pass


# --- files beside a raster, and what leads from within


def beside_vrt(path: Path, secret: Path, suffix: str) -> None:
    """Put a VRT beside a raster, as its overviews or mask."""
    mask = ".msk" in suffix.lower()
    geotiff(path, OWN)
    text = vrt(secret, 128 if mask else 64, 10 if mask else 20, "Byte" if mask else "UInt16")
    Path(f"{path}{suffix}").write_text(text)


def beside_aux(path: Path, secret: Path, _: str) -> None:
    """State in .aux.xml that the overviews are another file."""
    geotiff(path, OWN)
    Path(f"{path}.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
        f"{secret}</MDI></Metadata></PAMDataset>"
    )


def within(path: Path, secret: Path, _: str) -> None:
    """State in the file itself that its overviews are another file."""
    geotiff(path, OWN)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(secret))


def within_overview(path: Path, secret: Path, suffix: str) -> None:
    """State in legitimate overviews, or a mask, that their overviews are another file."""
    geotiff(path, OWN)
    within(Path(f"{path}{suffix}"), secret, "")


def chain(path: Path, secret: Path, suffix: str) -> None:
    """Put a VRT beside legitimate overviews, as overviews of these."""
    geotiff(path, OWN)
    beside_vrt(Path(f"{path}{suffix}"), secret, ".ovr")


def erdas(path: Path, secret: Path, suffix: str) -> None:
    """Put a file of Erdas Imagine beside a raster, which may name overviews anywhere."""
    geotiff(path, OWN)
    path.with_suffix(suffix).write_bytes(b"EHFA_HEADER_TAG\0" + bytes(100))


LEADS = [
    *[(beside_vrt, suffix) for suffix in (".ovr", ".msk", ".OVR", ".Msk")],
    *[(beside_aux, ""), (within, "")],
    *[(within_overview, ".ovr"), (within_overview, ".msk"), (chain, ".ovr"), (chain, ".msk")],
    *[(erdas, ".aux"), (erdas, ".AUX")],
]


@pytest.mark.parametrize(("lead", "suffix"), LEADS, ids=lambda v: getattr(v, "__name__", v))
def test_nothing_beside_a_raster_leads_elsewhere(tmp_path, secret, lead, suffix):
    """Overviews and masks that are, or name, other files cost the scene; align_raster refuses."""
    item = make_scene(tmp_path, product_name(FIRST), digital(ground(0), 0))
    path = tmp_path / "B04.tif"
    lead(path, secret, suffix)
    item.assets["B04"].href = str(path)
    with pytest.raises((ValueError, rasterio.errors.RasterioIOError)):
        read(str(path))
    with pytest.raises(CubeError, match="B04 cannot be read"):
        build([item], tmp_path / "cube.zarr", bands=["B04"])
    with pytest.raises(InvalidInputError, match="cannot be read"):
        s2kit.align_raster(path, s2kit.open_cube(cube_of(tmp_path)), resampling="average")


@pytest.mark.parametrize("lead", [beside_vrt, beside_aux], ids=["ovr", "aux.xml"])
def test_nothing_beside_a_raster_in_a_zip_is_read(tmp_path, secret, lead):
    """Of a raster in a zip only itself is read."""
    lead(tmp_path / "B04.tif", secret, ".ovr")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in tmp_path.glob("B04.tif*"):
            archive.write(file, file.name)
    found = read(f"/vsizip/{{{tmp_path / 'a.zip'}}}/B04.tif")
    assert set(np.unique(found)) == {OWN, 255}


def test_own_overviews_and_mask_are_read(tmp_path):
    """Overviews and a mask beside a GeoTIFF that are GeoTIFF are legitimate, and used."""
    path = geotiff(tmp_path / "B04.tif", OWN)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(np.eye(128, dtype=bool))
    assert {p.suffix for p in tmp_path.iterdir()} >= {".ovr", ".msk"}
    with open_raster(str(path)) as file:
        assert file.overviews(1) == [2]
        np.testing.assert_array_equal(file.read_masks(1) > 0, np.eye(128, dtype=bool))


@pytest.mark.parametrize("place", [np.inf, -np.inf, np.nan])
def test_places_that_are_no_numbers(tmp_path, place):
    """A raster that lies at infinity costs the scene."""
    item = make_scene(tmp_path, product_name(FIRST), digital(ground(0), 0))
    path = geotiff(tmp_path / "B04.tif", OWN, transform=rasterio.Affine(10, 0, place, 0, -10, 0))
    item.assets["B04"].href = str(path)
    with pytest.raises(CubeError, match="not a north-up raster"):
        build([item], tmp_path / "cube.zarr", bands=["B04"])


# --- sizes

SIZES = {
    "10^9 × 10^9 in rows": lambda p: tiff(p / "x.tif", 10**9, 1, tiled=False),
    "10^9 × 10^9 in large tiles": lambda p: tiff(p / "x.tif", 10**9, 2**20),
    "10^9 × 10^9 in one piece": lambda p: tiff(p / "x.tif", 10**9, 10**9, tiled=False),
    "a tile of 3 GB": lambda p: tiff(p / "x.tif", 40_000, 40_000),
    "a strip of 3 GB": lambda p: tiff(p / "x.tif", 40_000, 40_000, tiled=False),
    "a tile of 2 GB, claimed by a small raster": lambda p: tiff(p / "x.tif", 128, 32_768),
    "65535 bands": lambda p: tiff(p / "x.tif", 128, 128, tiled=False, bands=65_535),
    "65535 planes": lambda p: tiff(p / "x.tif", 128, 128, tiled=False, bands=65_535, planes=True),
    "a tile of 800 bands": lambda p: tiff(p / "x.tif", 512, 512, bands=800),
    "a JP2 of 10^9 × 10^9": lambda p: jp2(p / "x.jp2", 10**9, 10**9),
    "a JP2 of 10^9 × 10^9 in tiles": lambda p: jp2(p / "x.jp2", 10**9, 2**20),
    "a JP2 of 40000 × 40000": lambda p: jp2(p / "x.jp2", 40_000, 40_000),
    "a JP2 of 65000 tiles": lambda p: jp2(p / "x.jp2", 16_256, 64),
    "a JP2 of 8 million code-blocks": lambda p: jp2(p / "x.jp2", 10_980, 10_980, code_block=0),
    "a Zarr chunk of 800 MB": lambda p: zarr_array(p / "x.zarr", [128, 128], [20_000, 20_000]),
    "a Zarr chunk of 20 GB": lambda p: zarr_array(p / "x.zarr", [128, 128], [10**5, 10**5]),
    "a Zarr chunk of 800 MB along time": lambda p: zarr_array(
        p / "x.zarr", [1, 128, 128], [10_000, 200, 200]
    ),
    "a Zarr array of 10^9 × 10^9": lambda p: zarr_array(p / "x.zarr", [10**9] * 2, [10**5] * 2),
}

ATTEMPT = """
import json, sys
from pathlib import Path
import pystac, s2kit
from s2kit.errors import S2KitError
item, cube, name, aoi = json.loads(sys.argv[1])
found = pystac.Item.from_dict(item, preserve_dict=False)
found.assets["B04"].href = name
errors = []
try:
    options = {"crs": "EPSG:32631", "bands": ["B04"], "progress": False}
    errors.append(str(s2kit.build_cube([found], "odd.zarr", aoi=aoi, **options).failed))
except S2KitError as error:
    errors.append(str(error))
try:
    s2kit.align_raster(name, s2kit.open_cube(cube), resampling="average")
except S2KitError as error:
    errors.append(str(error))
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(json.dumps([errors, int(peak) // 1024]))
"""


@pytest.mark.parametrize("size", SIZES)
def test_absurd_sizes_cost_the_scene(tmp_path, size):
    """A raster that claims an absurd size is refused by name, and takes no memory."""
    from small_scenes import AOI

    name = str(SIZES[size](tmp_path))
    item = make_scene(tmp_path, product_name(FIRST), digital(ground(0), 0))
    asked = json.dumps([item.to_dict(), str(cube_of(tmp_path)), name, AOI])
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPT, asked],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    errors, memory = json.loads(done.stdout.splitlines()[-1])
    print(f"{size}: {memory} MB; {errors}")
    assert len(errors) == 2
    assert "B04 cannot be read" in errors[0]
    assert memory < MEMORY


def test_jpeg2000_in_a_zip_of_another_method(tmp_path):
    """Python unpacks whatever comes, at once, of a zip that is compressed by bzip2 or LZMA."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.jp2", bytes(10**6))
    with pytest.raises(ValueError, match="another method than deflate"):
        check_codestream(f"/vsizip/{{{tmp_path / 'a.zip'}}}/x.jp2")


@pytest.mark.parametrize("suffix", [".jp2", "", ".tif"])
def test_jpeg2000_on_a_server(tmp_path, suffix):
    """Its header is looked at before GDAL opens it, whatever its name; a whole one is read."""
    sound = jp2(tmp_path / "sound.jp2", 10_980, 1024).rename(tmp_path / f"sound{suffix}")
    odd = jp2(tmp_path / "odd.jp2", 16_256, 64).rename(tmp_path / f"odd{suffix}")
    with faulty_server(tmp_path) as server, gdal():
        refused = "not recognized" if suffix == ".tif" else "claims 64516 tiles"
        with pytest.raises((ValueError, RasterioIOError), match=refused):
            open_raster(f"{server.url}/{odd.name}").__enter__()
        if suffix != ".tif":
            with open_raster(f"{server.url}/{sound.name}") as file:
                assert file.shape == (10_980, 10_980)


def test_absurd_detail_is_refused(tmp_path):
    """A raster of 10^13 pixels in one of the cube's would fill the warper's memory: refused."""
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "SPARSE_OK": True}
    place = {"crs": "EPSG:32631", "transform": from_origin(WEST, NORTH, 3e-6, 3e-6)}
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "height": 9, "width": 9}
    with rasterio.open(tmp_path / "x.tif", "w", **profile, **place, **options):
        pass
    whole = s2kit.open_cube(cube_of(tmp_path))
    at = {"x": [WEST + 1.3e-5, WEST + 10.0], "y": [NORTH - 1.3e-5, NORTH - 10.0]}
    cube = whole.isel(x=slice(2), y=slice(2)).assign_coords(at)
    with pytest.raises(InvalidInputError, match=r"pixels in one of the cube's; at most"):
        s2kit.align_raster(tmp_path / "x.tif", cube)


def test_whole_tiles_are_no_absurd_sizes(tmp_path):
    """Rasters of 10980 × 10980 in the blocks that are usual are opened, also JP2 in one tile."""
    for block in (256, 512, 1024):
        with open_raster(str(tiff(tmp_path / "x.tif", 10_980, block))) as file:
            assert file.shape == (10_980, 10_980)
    for tile, code_block in ((1024, 4), (10_980, 4), (10_980, 3), (256, 4)):
        name = str(jp2(tmp_path / "x.jp2", 10_980, tile, code_block=code_block))
        with open_raster(name) as file:
            assert file.shape == (10_980, 10_980)
