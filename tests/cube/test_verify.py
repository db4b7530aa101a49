"""Rot and holes: what is missing or damaged is told by name, and made again from scenes."""

import base64
import gzip
import hashlib
import json
import random
import shutil
import subprocess
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from children import tree
from cubes import change_metadata
from memory import MEMORY, attempt
from numcodecs import Zstd
from servers import faulty_server, plain_server, python_server
from small_scenes import AOI, FIRST, digital, ground, make_scene, product_name, series

import s2kit
from s2kit.cube.keys import read_chunk_key
from s2kit.cube.lock import lock
from s2kit.cube.storage import open_store
from s2kit.errors import CubeError, SceneWarning

OPTIONS = {"aoi": AOI, "chunks": (2, 64, 64), "bands": ["B04", "SCL"], "progress": False}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list:
    """Make three days of scenes: one time chunk is full, one is not."""
    return series(tmp_path_factory.mktemp("scenes"), 3)


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory) -> Path:
    """Build a cube with a coarser level."""
    store = tmp_path_factory.mktemp("whole") / "cube.zarr"
    s2kit.build_cube(scenes, store, resolution=3, **OPTIONS)
    return store


@pytest.fixture
def store(whole, tmp_path) -> Path:
    """Copy the cube, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "cube.zarr"))


def objects(store: Path) -> list[Path]:
    """Every file of a cube."""
    return [path for path in sorted(store.rglob("*")) if path.is_file()]


def chunks(store: Path) -> list[Path]:
    """Every chunk of a layer."""
    return [path for path in objects(store) if is_chunk(path, store)]


def is_chunk(path: Path, store: Path) -> bool:
    """Return whether a file is a chunk, by its name."""
    try:
        return bool(read_chunk_key(path.relative_to(store).as_posix()))
    except ValueError:
        return False


def tables_of(store):
    """Return the tables of the manifest (gzip); copies of coordinates lie beside them."""
    found = sorted(store.glob("S2/R*/.manifest/*"))
    return [path for path in found if path.read_bytes().startswith(b"\x1f\x8b")]


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def test_whole_cube(whole):
    """Nothing is damaged, and every object but the root's metadata was compared."""
    report = s2kit.verify(whole, progress=False)
    assert report.damaged == {}
    size = (whole / ".zmetadata").stat().st_size
    assert report.objects == len(objects(whole)) - 1
    assert report.size == sum(path.stat().st_size for path in objects(whole)) - size
    assert str(report).endswith("0 damaged")


def test_every_object_that_vanished(store):
    """Whichever object is gone is named."""
    for path in objects(store):
        if path.name == ".zmetadata" and path.parent == store:
            continue
        data = path.read_bytes()
        path.unlink()
        assert any(path.name in key for key in s2kit.verify(store, progress=False).damaged), path
        path.write_bytes(data)


def test_flipped_bits(store):
    """A bit that is flipped anywhere is found."""
    chance = random.Random(0)
    paths = objects(store)
    for _ in range(300):
        path = chance.choice(paths)
        data = path.read_bytes()
        flip(path, chance.randrange(8 * len(data)))
        try:
            assert s2kit.verify(store, progress=False).damaged, path
        except CubeError as error:
            assert "damaged" in str(error) or "not a cube" in str(error)
        path.write_bytes(data)


def test_sector_of_zeros(store):
    """Zeros in place of 512 bytes, or of all, are found."""
    for path in random.Random(1).sample(chunks(store), 12):
        data = path.read_bytes()
        for hole in (slice(0, 512), slice(None)):
            rotten = bytearray(data)
            rotten[hole] = bytes(len(rotten[hole]))
            path.write_bytes(rotten)
            key = path.relative_to(store).as_posix()
            assert key in s2kit.verify(store, progress=False).damaged
        path.write_bytes(data)


def test_every_vanished_chunk_is_an_error_to_readers(store):
    """Through `open_cube` a hole is never no data, whatever is asked for."""
    for path in chunks(store):
        place = read_chunk_key(path.relative_to(store).as_posix())
        data = path.read_bytes()
        path.unlink()
        for dask in (True, False):
            cube = s2kit.open_cube(store, level=place.level, dask=dask)
            time, row, col = (
                n * size for n, size in zip(place.index, OPTIONS["chunks"], strict=True)
            )
            with pytest.raises(CubeError, match=f"{path.name} is missing"):
                cube[place.layer][time, row, col].load()
            with pytest.raises(CubeError, match="is missing"):
                s2kit.time_statistics(cube, "B04").load()
        path.write_bytes(data)


def test_missing_chunk_of_a_zip(store, tmp_path):
    """In a zip, the same."""
    gone = chunks(store)[0]
    gone.unlink()
    zipped = shutil.make_archive(str(tmp_path / "cube.zarr"), "zip", store)
    with pytest.raises(CubeError, match=f"{gone.name} is missing"):
        s2kit.open_cube(zipped, level=read_chunk_key(str(gone.relative_to(store))).level).load()
    assert list(s2kit.verify(zipped, progress=False).damaged) == [str(gone.relative_to(store))]


def test_over_http(store):
    """Over http `verify` finds the same, and changes nothing."""
    flipped, gone = chunks(store)[:2]
    flip(flipped, 2000)
    gone.unlink()
    with plain_server(store.parent) as url:
        report = s2kit.verify(f"{url}/cube.zarr", progress=False)
    names = [str(path.relative_to(store)) for path in (flipped, gone)]
    assert sorted(report.damaged) == sorted(names)
    assert not (store / ".s2kit").exists()


@pytest.mark.parametrize("seed", range(3))
def test_rerun_makes_it_again(store, whole, scenes, seed):
    """What `verify` found is made again from the scenes, to the byte."""
    chance = random.Random(seed)
    hurt = chance.sample(chunks(store), 8)
    for path in hurt[:3]:
        path.unlink()
    for path in hurt[3:]:
        flip(path, chance.randrange(8 * path.stat().st_size))
    assert len(s2kit.verify(store, progress=False).damaged) == 8
    report = s2kit.build_cube(scenes, store, progress=False)
    assert report.damaged == () and not sum(report.added.values())
    assert set(report.mended) == {str(path.relative_to(store)) for path in hurt}
    assert "mended: 8 damaged objects" in str(report)
    assert tree(store) == tree(whole)


def test_rerun_finds_holes_by_itself(store, whole, scenes):
    """Without `verify`, a rerun finds what is gone or has another size."""
    gone, torn = chunks(store)[3:5]
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:-1])
    (store / "S2/R051/x/0").unlink()
    report = s2kit.build_cube(scenes, store, progress=False)
    lost = {str(path.relative_to(store)) for path in (gone, torn)} | {"S2/R051/x/0"}
    assert set(report.mended) == lost
    assert tree(store) == tree(whole)
    assert s2kit.build_cube(scenes, store, progress=False).mended == ()


def test_scenes_that_are_not_given(store, scenes):
    """Without the scenes of its dates a chunk stays damaged, and the report says so."""
    gone = next(path for path in chunks(store) if path.name.startswith("0."))
    gone.unlink()
    with pytest.warns(SceneWarning, match="chunks: 1"):
        report = s2kit.build_cube(scenes[1:], store, progress=False)
    assert report.damaged == (str(gone.relative_to(store)),)
    assert "not all scenes of its dates were given" in str(report)


def test_hole_is_not_copied_into_a_new_commit(whole, tmp_path, scenes):
    """A damaged chunk that a build would take over stops it, with the cube as it was."""
    store = tmp_path / "cube.zarr"
    s2kit.build_cube(scenes[:1], store, **OPTIONS)
    rotten = chunks(store)[0]
    flip(rotten, 3000)
    before = tree(store)
    with pytest.raises(CubeError, match=f"{rotten.name} is damaged"):
        s2kit.build_cube(scenes[1:], store, progress=False)
    assert {k: v for k, v in tree(store).items() if k != ".s2kit/damaged"} == before
    s2kit.build_cube(scenes, store, progress=False)  # with all scenes it is made again
    reference = tmp_path / "reference.zarr"
    s2kit.build_cube(scenes, reference, **OPTIONS)
    assert tree(store) == tree(reference)


def test_hole_among_chunks_that_move(tmp_path):
    """A scene that comes late moves later steps: earlier chunks are linked, if they are there."""
    days = series(tmp_path / "scenes", 5)
    store = tmp_path / "cube.zarr"
    s2kit.build_cube([*days[:3], days[4]], store, **OPTIONS)
    gone = store / "S2/R051/B04/0.0.0"
    gone.unlink()
    before = (store / ".zmetadata").read_bytes()
    with pytest.raises(CubeError, match=r"0\.0\.0 is missing; the cube is as it was"):
        s2kit.build_cube(days[3:], store, progress=False)
    assert (store / ".zmetadata").read_bytes() == before
    s2kit.build_cube(days, store, progress=False)
    assert s2kit.verify(store, progress=False).damaged == {}
    assert s2kit.open_cube(store).sizes["time"] == 5


def test_chunk_that_is_not_of_the_cube(store):
    """A chunk that no build wrote, but that other programs would read, is named."""
    shutil.copy(chunks(store)[0], store / "S2/R051/B04/0.99.99")
    found = s2kit.verify(store, progress=False).damaged
    assert found == {"S2/R051/B04/0.99.99": "is not in the manifest"}


def test_server_of_python(whole):
    """It drops connections of which five are waiting: it is asked for five objects at a time."""
    with python_server(whole.parent) as url:
        for _ in range(20):
            assert s2kit.verify(f"{url}/cube.zarr", progress=False).damaged == {}
        s2kit.open_cube(f"{url}/cube.zarr", dask=False).load()
        s2kit.open_cube(f"{url}/cube.zarr").load()


def test_requests_over_http(whole, tmp_path):
    """Each object is asked for once to open a cube; chunks that do not exist are not asked for."""
    store = Path(shutil.copytree(whole, tmp_path / "cube.zarr"))
    with faulty_server(tmp_path) as server:
        cube = s2kit.open_cube(f"{server.url}/cube.zarr", dask=False)
        assert sum(server.asked.values()) <= 25
        assert set(server.asked.values()) == {1}
        server.asked.clear()
        cube.load()
    listed = {f"/cube.zarr/{path.relative_to(store)}" for path in chunks(store)}
    assert {path for path in server.asked if ".z" not in Path(path).name} <= listed


def test_chunks_that_do_not_exist(tmp_path, scenes):
    """Where the manifest has no chunk, all readers see no data, and nobody asks for one."""
    store, wide = tmp_path / "cube.zarr", list(AOI)
    wide[2] += 0.5 * (AOI[2] - AOI[0])  # beyond what the scenes show
    s2kit.build_cube(scenes, store, **OPTIONS | {"aoi": tuple(wide)})
    sizes = s2kit.open_cube(store).sizes
    possible = 2 * 2 * -(-sizes["y"] // 64) * -(-sizes["x"] // 64)
    assert 0 < len(chunks(store)) < possible
    with faulty_server(tmp_path) as server:
        far = s2kit.open_cube(f"{server.url}/cube.zarr").load()
        missing = [path for path in server.asked if not (tmp_path / path.lstrip("/")).exists()]
    assert missing == []
    plain = xr.open_zarr(store, group="S2/R051")
    assert np.allclose(far.B04, plain.B04, rtol=1e-6, equal_nan=True)
    assert np.array_equal(far.SCL, plain.SCL.fillna(0))
    assert s2kit.verify(store, progress=False).damaged == {}


@pytest.mark.parametrize("kind", ["missing", "flipped"])
def test_lost_tables_and_documents_are_written_again(store, whole, scenes, kind):
    """Tables of the manifest, metadata, coordinates and their copies are written again."""
    names = [
        *(str(path.relative_to(whole)) for path in sorted(whole.glob("S2/R051/*/0"))),
        *("S2/R051_L1/time/0", "S2/R051_L1/x/0", "S2/R051_L1/y/0", "S2/R051/B04/.zarray"),
        *("S2/R051/.zattrs", "S2/.zgroup", ".zattrs", "S2/R051_L1/.zmetadata"),
        *(str(path.relative_to(whole)) for path in sorted(whole.glob("S2/R051/.manifest/*"))),
    ]
    for name in names:
        if kind == "missing":
            (store / name).unlink()
        else:
            flip(store / name, 4 * (store / name).stat().st_size)
        assert name in s2kit.verify(store, progress=False).damaged
        s2kit.build_cube(scenes, store, progress=False)
        assert tree(store) == tree(whole), name


def test_table_is_lost_with_chunks_of_all_levels(store, whole, scenes):
    """All chunks of its layer and dates are made again, coarser ones from those of the base."""
    for path in store.glob("S2/R051*/B04/0.*"):
        path.unlink()
    document = json.loads((store / ".zattrs").read_text())
    table = document["s2kit"]["manifest"]["51"]["tables"]["B04"][0]
    (store / f"S2/R051/.manifest/{table}").unlink()
    report = s2kit.build_cube(scenes, store, progress=False)
    assert report.damaged == () and tree(store) == tree(whole)


def test_table_is_lost_and_a_chunk_has_changed(store, whole, scenes):
    """Without its table a chunk cannot be trusted: it is made again, or the table is named."""
    flip(store / "S2/R051/B04/0.0.0", 3000)
    document = json.loads((store / ".zattrs").read_text())
    table = document["s2kit"]["manifest"]["51"]["tables"]["B04"][0]
    (store / f"S2/R051/.manifest/{table}").unlink()
    with pytest.warns(SceneWarning, match="chunks: 1"):
        report = s2kit.build_cube(scenes[1:], store, progress=False)
    assert report.damaged == (f"S2/R051/.manifest/{table}",)
    s2kit.build_cube(scenes, store, progress=False)
    assert tree(store) == tree(whole)


def test_damage_in_two_orbits(tmp_path):
    """Each orbit has its own commit, and what is lost of another does not stop it."""
    days = series(tmp_path / "a", 2)
    for n, orbit in enumerate((8, 8)):
        name = product_name(FIRST + timedelta(days=5 * n + 1), orbit=orbit)
        days.append(make_scene(tmp_path / "b", name, digital(ground(n), 0)))
    store = tmp_path / "cube.zarr"
    s2kit.build_cube(days, store, **OPTIONS)
    good = tree(store)
    document = json.loads((store / ".zattrs").read_text())
    for orbit in (51, 8):
        name = document["s2kit"]["manifest"][str(orbit)]["coordinates"]
        (store / f"S2/R{orbit:03d}/.manifest/{name}").unlink()
        (store / f"S2/R{orbit:03d}/B04/0.0.0").unlink()
    s2kit.build_cube(days, store, progress=False)
    assert tree(store) == good


def test_object_that_the_disk_cannot_read(store, whole, scenes):
    """It is damaged, like one whose bytes have changed; the others are compared."""
    place = store / "S2/R051/B04/0.0.0"
    place.unlink()
    place.mkdir()
    flip(store / "S2/R051/SCL/0.0.0", 3000)
    found = s2kit.verify(store, progress=False).damaged
    assert found["S2/R051/B04/0.0.0"] == "cannot be read from the disk"
    assert "S2/R051/SCL/0.0.0" in found and len(found) == 2
    place.rmdir()
    s2kit.build_cube(scenes, store, progress=False)
    assert tree(store) == tree(whole)


def test_verify_beside_a_build_that_commits(store, whole):
    """What is being moved is not damaged: it is tried again, then told."""
    (store / ".s2kit").mkdir()
    with lock(open_store(store)):
        (store / ".s2kit/redo").write_text("{}")
        with pytest.raises(CubeError, match="changing all the time"):
            s2kit.verify(store, progress=False)
    found = s2kit.verify(store, progress=False).damaged
    assert list(found) == [".s2kit/redo"]


def table_of(store: Path, text: str) -> None:
    """Put another table in the place of that of B04, with its own digest."""
    data = gzip.compress(text.encode())
    name = hashlib.sha256(data).hexdigest()
    (store / f"S2/R051/.manifest/{name}").write_bytes(data)

    def replace(documents: dict) -> None:
        documents[".zattrs"]["s2kit"]["manifest"]["51"]["tables"]["B04"][0] = name

    change_metadata(store, replace)


@pytest.mark.parametrize("key", ["../secret", "/etc/passwd", "S2/R008/B04/0.0.0", ".zattrs", ""])
def test_tables_lead_nowhere(store, scenes, tmp_path, key):
    """A table of the manifest lists chunks and coordinates of its orbit, and nothing else."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    table_of(store, f"{hashlib.sha256(b'secret').hexdigest()} 6 {key}\n")
    found = s2kit.verify(store, progress=False).damaged
    assert any(name.startswith("S2/R051/.manifest/") for name in found)
    assert "secret" not in found
    s2kit.build_cube(scenes, store, progress=False)
    assert s2kit.verify(store, progress=False).damaged == {}


def test_table_that_unpacks_to_a_gigabyte(store):
    """It is refused after the bytes that a table can have."""
    table_of(store, "0" * 2**30)
    told, peak = attempt("print(s2kit.verify(sys.argv[1], progress=False), file=sys.stderr)", store)
    assert told == "read" and peak < MEMORY
    assert any("too large" in what for what in s2kit.verify(store, progress=False).damaged.values())


def test_flags_that_are_too_few(store):
    """Which chunks exist is said of all, or the cube is damaged."""
    few = base64.b64encode(Zstd().encode(b"1")).decode()

    def replace(documents: dict) -> None:
        documents[".zattrs"]["s2kit"]["manifest"]["51"]["present"] = few

    change_metadata(store, replace)
    with pytest.raises(CubeError, match="does not say of all"):
        s2kit.open_cube(store)


@pytest.mark.parametrize("kept", [0, 1])
def test_manifest_with_too_few_time_chunks(store, scenes, kept):
    """A manifest that lists fewer time chunks than there are steps is refused, not followed."""

    def shorten(documents: dict) -> None:
        stated = documents[".zattrs"]["s2kit"]["manifest"]["51"]
        flags = np.unpackbits(
            np.frombuffer(Zstd().decode(base64.b64decode(stated["present"])), "u1")
        )
        size = len(flags) // 4  # layers × time chunks
        short = [flags[i * size * 2 :][: size * kept] for i in range(2)]
        packed = np.packbits(np.concatenate(short)).tobytes()
        stated["present"] = base64.b64encode(Zstd().encode(packed)).decode()
        stated["tables"] = {layer: names[:kept] for layer, names in stated["tables"].items()}

    change_metadata(store, shorten)
    for call in (s2kit.open_cube, s2kit.verify, partial(s2kit.build_cube, scenes)):
        with pytest.raises(CubeError, match=r"in \[\d\] time chunks of 2"):
            call(store)


@pytest.mark.parametrize("kind", ["transform", "present", "time", "digest", "manifest", "format"])
def test_changed_metadata_are_not_followed(store, scenes, kind):
    """A bit of the root's metadata that flips, and leaves JSON, is nothing to go on from."""
    path = store / ".zmetadata"
    text = path.read_text()
    changes = {
        "transform": ("-3.0,", "-3.2,"),
        "present": ('"present": "KLUv', '"present": "KLUw'),
        "time": ("seconds since 1970", "seconds since 1971"),
        "digest": ('"digest"', '"dagest"'),
        "manifest": ('"manifest"', '"manifesu"'),
        "format": ('"format": 4', '"format": 0'),
    }
    assert text.count(changes[kind][0]) >= 1
    path.write_text(text.replace(*changes[kind], 1))
    before = tree(store)
    for call in (
        lambda: s2kit.open_cube(store),
        lambda: s2kit.verify(store, progress=False),
        lambda: s2kit.build_cube(scenes, store, progress=False),
    ):
        with pytest.raises(CubeError, match=r"damaged|refused"):
            call()
    assert tree(store) == before


def test_tables_are_checked_by_sha256sum(whole):
    """The tables of the manifest are what sha256sum takes."""
    assert len(tables_of(whole)) == 2 * 2 + 1  # layers × time chunks, coordinates
    for table in tables_of(whole):
        command = f"zcat {table.relative_to(whole)} | awk '{{print $1\"  \"$3}}' | sha256sum -c"
        done = subprocess.run(command, shell=True, cwd=whole, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(": OK") > 0
