"""Zipped cubes, and chunks, that unpack to gigabytes: refused by name, and they take no memory."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import pystac
import pytest
import zarr
from children import build
from cubes import change_coordinate
from memory import MEMORY, attempt
from scenarios import SMALL
from servers import python_server
from test_foreign import counts, truth, write  # noqa: F401  (a fixture)
from test_zips import lying

import s2kit
from s2kit.cube.archive import Archive
from s2kit.cube.storage import open_store
from s2kit.cube.zarr_store import zarr_store
from s2kit.errors import CubeError

pytestmark = pytest.mark.slow

OPEN = "s2kit.open_cube(sys.argv[1]).load()"


@pytest.fixture(scope="module")
def cube(days, tmp_path_factory) -> Path:
    """Make a small cube."""
    store = tmp_path_factory.mktemp("cube") / "cube.zarr"
    assert build(days[:2], store, SMALL) == 0
    return store


def zipped(store: Path, place: Path, name: str, size: int) -> Path:
    """Zip a cube, with zeros in place of one of its objects."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (f for f in store.rglob("*") if f.is_file()):
            inside = file.relative_to(store).as_posix()
            if inside != name:
                archive.write(file, inside)
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(size // 2**22):
                member.write(bytes(2**22))
    return place


@pytest.mark.parametrize(
    "name", [".zmetadata", "S2/R051/time/0", "S2/R051/products/0", "S2/R051/B04/0.0.0"]
)
def test_bombs_in_a_zip_are_refused(cube, tmp_path, name):
    """Two gigabytes in place of any object of a zipped cube end in CubeError, in little memory."""
    told, peak = attempt(OPEN, zipped(cube, tmp_path / "cube.zip", name, 2**31))
    assert name in told
    assert "more than" in told
    assert peak < MEMORY


@pytest.mark.parametrize("name", ["S2/R051/time/0", "S2/R051/products/0", "S2/R051/x/0"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_coordinates_that_claim_gigabytes_are_refused(cube, tmp_path, name, kind):
    """A coordinate whose few bytes unpack to a gigabyte, by Blosc's header, ends in CubeError."""
    store = shutil.copytree(cube, tmp_path / "cube.zarr")
    bomb = numcodecs.Blosc("zstd", 9, numcodecs.Blosc.NOSHUFFLE).encode(np.zeros(2**30, "u1"))
    change_coordinate(store, name, bomb)
    if kind == "zip":
        store = Path(shutil.make_archive(str(tmp_path / "cube"), "zip", store))
    told, peak = attempt(OPEN, store)
    assert len(bomb) < 2**20
    assert name in told
    assert "claim" in told
    assert peak < MEMORY


def test_builds_refuse_coordinates_that_claim_gigabytes(cube, days, tmp_path):
    """So does a build: a coordinate or chunk of another size than the layout's is damaged."""
    store = shutil.copytree(cube, tmp_path / "cube.zarr")
    bomb = numcodecs.Blosc("zstd", 9, numcodecs.Blosc.NOSHUFFLE).encode(np.zeros(2**24, "u1"))
    change_coordinate(store, "S2/R051/products/0", bomb)
    with pytest.raises(CubeError, match=r"damaged .*claim"):
        s2kit.build_cube(days[:3], store, progress=False)


EVERYTHING = """import pystac
    place = sys.argv[1]
    items = pystac.ItemCollection.from_file(place + "/../items.json")
    for call in (
        lambda: s2kit.open_cube(place).load(),
        lambda: s2kit.verify(place, progress=False),
        lambda: s2kit.build_cube(items, place, progress=False),
    ):
        try:
            call()
        except S2KitError:
            pass"""


@pytest.mark.parametrize("kind", ["sparse", "pipe", "values"])
@pytest.mark.parametrize(
    "name",
    [
        ".zmetadata",
        "S2/R051/B04/0.0.0",
        "S2/R051/x/0",
        ".s2kit/redo",
        ".s2kit/lock",
        ".s2kit/damaged",
    ],
)
def test_objects_that_are_no_files_of_their_size(cube, days, tmp_path, kind, name):
    """Gigabytes of zeros, a pipe that nobody writes to, millions of lists: named or passed over."""
    pystac.ItemCollection(days[:2]).save_object(str(tmp_path / "items.json"))
    place = Path(shutil.copytree(cube, tmp_path / "cube.zarr")) / name
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True)
    if kind == "sparse":
        with place.open("wb") as file:
            file.truncate(2**31)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.write_bytes(b'{"metadata": [' + b"[]," * 20_000_000 + b"0]}")
    told, peak = attempt(EVERYTHING, tmp_path / "cube.zarr")
    assert told == "read"
    assert peak < MEMORY


@pytest.mark.parametrize("name", [".zmetadata", "S2/R051/B04/0.0.0"])
def test_large_answers_of_a_server(cube, tmp_path, name):
    """A server that sends two gigabytes for an object is left before they are in memory."""
    store = Path(shutil.copytree(cube, tmp_path / "cube.zarr"))
    with (store / name).open("wb") as file:
        file.truncate(2**31)
    with python_server(tmp_path) as url:
        told, peak = attempt(OPEN, f"{url}/cube.zarr")
    assert name in told and "more than" in told
    assert peak < MEMORY


def test_zip_that_declares_less_than_it_holds(tmp_path):
    """An object whose size is a lie is damaged."""
    (tmp_path / "cube.zip").write_bytes(lying(bytes(10**8), 100))
    with pytest.raises(CubeError, match="a cannot be read"):
        Archive(str(tmp_path / "cube.zip")).read_all(["a"])


def test_metadata_of_a_group_are_checked_too(cube, tmp_path):
    """Consolidated metadata that a group has of its own, which some xarray read, are checked."""
    store = shutil.copytree(cube, tmp_path / "cube.zarr")
    own = store / "S2/R051/.zmetadata"
    told = json.loads(own.read_text())
    told["metadata"]["time/.zarray"]["filters"] = [{"id": "pickle"}]
    own.write_text(json.dumps(told))
    with pytest.raises(CubeError, match=r"time, filter is .*pickle"):
        zarr.open_consolidated(
            zarr_store(open_store(store)), path="S2/R051", mode="r", zarr_format=2
        )


def test_zipped_cubes_are_read_as_folders_are(cube, tmp_path):
    """A zip of a cube gives what its folder gives."""
    place = shutil.make_archive(str(tmp_path / "cube"), "zip", cube)
    found, expected = (s2kit.open_cube(one).load() for one in (place, cube))
    assert found.identical(expected)


@pytest.mark.parametrize("codec", [numcodecs.Blosc(), numcodecs.Zlib(), None])
@pytest.mark.parametrize("separator", [".", "/"])
def test_zipped_cubes_of_other_programs(tmp_path, truth, codec, separator):  # noqa: F811
    """A zip of a cube that another program made is read, however its chunks are named."""
    stored = counts(truth)
    for layer in stored.variables.values():
        layer.encoding |= {"compressors": codec}
    store = write(stored, tmp_path / "cube.zarr")
    if separator == "/":
        whole = json.loads((store / ".zmetadata").read_text())
        whole["metadata"]["S2/R051/B04/.zarray"]["dimension_separator"] = "/"
        (store / ".zmetadata").write_text(json.dumps(whole))
        (store / "S2/R051/B04/0/0").mkdir(parents=True)
        (store / "S2/R051/B04/0.0.0").rename(store / "S2/R051/B04/0/0/0")
    place = shutil.make_archive(str(tmp_path / "cube"), "zip", store)
    np.testing.assert_allclose(s2kit.open_cube(place).B04, truth.B04, atol=1e-6)
