"""What lies in the folder of builds may be a stranger's, or torn: nothing follows from it."""

import base64
import itertools
import json
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from children import build, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenarios import SMALL, whole

import s2kit
from s2kit.cube import build as build_module
from s2kit.cube.commit import _digest, redo
from s2kit.cube.keys import is_object, read_chunk_key, staged
from s2kit.cube.local_store import LocalStore
from s2kit.cube.storage import open_store
from s2kit.errors import CubeError, SceneError, SceneWarning

EVIL = base64.b64encode(b"evil").decode()


@pytest.fixture(scope="module")
def made(days, tmp_path_factory) -> Path:
    """Build a cube of two days."""
    store = tmp_path_factory.mktemp("made") / "cube.zarr"
    s2kit.build_cube(days[:2], store, progress=False, **SMALL)
    return store


@pytest.fixture
def store(made, tmp_path) -> Path:
    """Copy it, with a folder of builds."""
    shutil.copytree(made, tmp_path / "cube.zarr")
    (tmp_path / "cube.zarr/.s2kit").mkdir()
    return tmp_path / "cube.zarr"


def leave_record(store: Path, record: dict) -> None:
    """Leave a redo record as a build would."""
    record = {"interim": {}, "objects": {}, "moved": {"orbit": 0, "tables": []}} | record
    told = record | {"digest": _digest(record)}
    (store / ".s2kit/redo").write_text(json.dumps(told))


NAMES = [
    "../outside",
    "/outside",
    "S2/../../outside",
    "S2/R051/../../../outside",
    "S2/R051/B04/0.0.0",
    ".s2kit/lock",
    "S2/R051/B04/../../../../outside",
    "S2\\..\\outside",
    "S2/R051/x/0/1",
    "",
    "S2/R051_L1/.zmetadata\n",
    "S2/R051/B99/.zarray",
    "C:/outside",
    "~/outside",
]


@pytest.mark.parametrize("name", NAMES)
def test_record_that_names_other_files(store, days, made, name):
    """A record that names what is no object of a cube is refused; nothing is written."""
    for part in ("interim", "objects"):
        leave_record(store, {part: {".zgroup": EVIL, name: EVIL}})
        with pytest.raises(CubeError, match="no object of a cube"):
            s2kit.build_cube(days[:2], store, progress=False)
        found = tree(store.parent)
        assert {f"cube.zarr/{key}": data for key, data in tree(made).items()}.items() <= (
            found.items()
        )
        assert b"evil" not in found.values()


@pytest.mark.parametrize("digest", [{}, {"digest": None}, {"digest": "0" * 64}])
def test_record_without_its_digest(store, days, made, digest):
    """It counts as never written, whatever it names."""
    record = {"interim": {}, "objects": {".zgroup": EVIL}, "moved": {"orbit": 0, "tables": []}}
    (store / ".s2kit/redo").write_text(json.dumps(record | digest))
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == tree(made)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"(S2/|\.\./|R051/|B04/|0\.0\.0|/)+", fullmatch=True))
def test_names_of_objects(name):
    """Only names of the layout are accepted: none leads out of a store."""
    known = is_object(name)
    with suppress(ValueError):
        known |= bool(read_chunk_key(name))
    if known:
        assert ".." not in name and not name.startswith("/") and "\\" not in name


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b"null", b'{"interim": {}}', b"\0" * 900])
def test_torn_record(store, days, made, torn):
    """A record that is torn counts as never written."""
    (store / ".s2kit/redo").write_bytes(torn)
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == tree(made)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 10**6), zeros=st.booleans())
def test_record_that_is_cut_anywhere(days, made, tmp_path, cut, zeros):
    """A true record, cut off or with zeros at any place, is as if it were not there."""
    store = tmp_path / "cube.zarr"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(made, store)
    (store / ".s2kit").mkdir()
    leave_record(store, {"objects": {"S2/R051/time/0": EVIL, ".zgroup": EVIL}})
    path = store / ".s2kit/redo"
    data = path.read_bytes()
    at = cut % (len(data) - 1)
    path.write_bytes(data[:at] + (bytes(len(data) - at) if zeros else b""))
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == tree(made)


def test_staged_files_of_a_stranger(store, days, made):
    """Files in the staging folder that no commit names are removed; none is put in place."""
    for name in ("S2/R051/B04/0.0.0", "S2/R051/B04/7.7.7", "../../x", "readme"):
        path = store / ".s2kit/staging/S2" / name.replace("../", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"evil")
    s2kit.build_cube(days[:3], store, progress=False)
    assert len(whole(store)) == 3
    assert not (store / ".s2kit").exists()
    assert b"evil" not in tree(store).values()


def test_orphans_are_cleared(days, tmp_path, made):
    """What builds that died have left is gone after the next one."""
    store = tmp_path / "cube.zarr"
    for before in (3, 9, 21, 40):
        assert build(days[:2], store, SMALL, before=before) in (-9, 0)
    s2kit.build_cube(days[:2], store, progress=False, **SMALL)
    assert tree(store) == tree(made)


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -200])
def test_truncated_metadata_are_called_damaged(store, days, cut):
    """Metadata that are cut off are damaged, for readers and builders."""
    path = store / ".zmetadata"
    path.write_bytes(path.read_bytes()[:cut])
    for call in (
        lambda: s2kit.open_cube(store),
        lambda: s2kit.build_cube(days[:3], store, progress=False),
        lambda: s2kit.verify(store, progress=False),
    ):
        with pytest.raises(CubeError, match="damaged"):
            call()


def test_record_with_damaged_metadata(store, days):
    """A record whose metadata are no JSON ends in an error of the kit."""
    leave_record(store, {"objects": {".zmetadata": EVIL}})
    with pytest.raises(CubeError, match="damaged"):
        s2kit.build_cube(days[:2], store, progress=False)


def failing(monkeypatch, layer: str, times: int):
    """Let tasks of a layer say, some times, that a scene could not be read, and leave a chunk."""
    run, left = build_module.ingest.run, itertools.count()

    def broken(task):
        outcome = run(task)
        if task.layer == layer and next(left) < times:
            task.target.store.put(staged("S2/R051/B04/0.9.9"), b"left over")
            names = [scene.id for step in task.steps for scene in step.scenes]
            outcome.failed[names[-1]] = "cannot be read now"
        return outcome

    monkeypatch.setattr(build_module.ingest, "run", broken)


def test_what_an_attempt_left_is_not_put_in_place(days, tmp_path, monkeypatch):
    """Chunks of an attempt with a scene that could not be read go with the next commit."""
    store = tmp_path / "cube.zarr"
    s2kit.build_cube(days[:1], store, progress=False, **SMALL)
    failing(monkeypatch, "B04", 1)
    with pytest.warns(SceneWarning):  # into a time chunk that has a step already
        s2kit.build_cube(days[:2], store, progress=False)
    assert not (store / "S2/R051/B04/0.9.9").exists()
    assert s2kit.verify(store, progress=False).damaged == {}
    assert not (store / ".s2kit").exists()


def test_chunk_whose_scene_fails_while_it_is_made_again(days, tmp_path, monkeypatch):
    """It stays as it was; another damaged chunk is made again in the same run."""
    store, kind = tmp_path / "cube.zarr", SMALL | {"bands": ["B04", "SCL"]}
    s2kit.build_cube(days[:2], store, progress=False, **kind)
    good = tree(store)
    for layer in ("B04", "SCL"):
        (store / f"S2/R051/{layer}/0.0.0").write_bytes(b"damaged")
    failing(monkeypatch, "B04", 1)
    with pytest.warns(SceneWarning, match="damaged chunks: 1"):
        report = s2kit.build_cube(days[:2], store, progress=False)
    assert report.damaged == ("S2/R051/B04/0.0.0",)
    assert (store / "S2/R051/B04/0.0.0").read_bytes() == b"damaged"
    assert (store / "S2/R051/SCL/0.0.0").read_bytes() == good["S2/R051/SCL/0.0.0"]
    s2kit.build_cube(days[:2], store, progress=False)
    assert {k: v for k, v in tree(store).items() if "9.9" not in k} == good


def test_scene_that_cannot_be_read_while_a_chunk_is_made_again(days, tmp_path, monkeypatch):
    """The damaged chunk stays where it is, for who can repair it, and the scene is named."""
    store, kind = tmp_path / "cube.zarr", SMALL | {"bands": ["B04", "SCL"]}
    s2kit.build_cube(days[:2], store, progress=False, **kind)
    good = tree(store)
    (store / "S2/R051/B04/0.0.0").write_bytes(b"damaged")

    def unreadable(scene, *_, **__):
        raise SceneError(scene.id, "cannot be read now")

    with monkeypatch.context() as patch:
        patch.setattr(build_module.ingest, "fetch_masked", unreadable)
        with pytest.warns(SceneWarning, match="damaged chunks: 1"):
            report = s2kit.build_cube(days[:2], store, progress=False)
    assert report.damaged == ("S2/R051/B04/0.0.0",)
    assert set(report.failed.values()) == {"cannot be read now"}
    assert (store / "S2/R051/B04/0.0.0").read_bytes() == b"damaged"
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == good


def test_staged_chunk_that_vanishes(days, tmp_path, monkeypatch):
    """It is an error, not a date without data; the next build makes it again."""
    store, kind = tmp_path / "cube.zarr", SMALL | {"bands": ["B04", "SCL"]}
    s2kit.build_cube(days[:1], store, progress=False, **kind)
    move = LocalStore.move

    def lose_one(self, source, target):
        if target == "S2/R051/B04/0.0.0":
            self.delete(source)
        return move(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "move", lose_one)
        with pytest.raises(CubeError, match=r"vanished from .*such as S2/R051/B04/0\.0\.0"):
            s2kit.build_cube(days[:2], store, progress=False)
    assert "S2/R051/B04/0.0.0" in s2kit.verify(store, progress=False).damaged
    s2kit.build_cube(days[:2], store, progress=False)
    s2kit.build_cube(days[:2], tmp_path / "reference.zarr", progress=False, **kind)
    assert tree(store) == tree(tmp_path / "reference.zarr")


@pytest.mark.parametrize("moved", [{"orbit": 51, "tables": ["../x"]}, {"orbit": 51}, [], "x", 3])
def test_what_a_record_would_move(store, made, days, moved):
    """A record that names no tables of the manifest was not written by a build."""
    leave_record(store, {"moved": moved})
    s2kit.build_cube(days[:2], store, progress=False)
    assert whole(store) == whole(made)


def test_drafts_of_a_record_are_synced_before_they_are_seen(store, days, monkeypatch):
    """A second power cut finds the old or the new metadata, not empty ones."""
    text = base64.b64encode((store / ".zmetadata").read_bytes()).decode()
    leave_record(store, {"objects": {".zmetadata": text}})
    happened = []
    for name in ("sync", "place"):
        call = getattr(LocalStore, name)

        def noted(self, what, name=name, call=call):
            happened.append(name)
            return call(self, what)

        monkeypatch.setattr(LocalStore, name, noted)
    redo(open_store(store))
    assert happened[0] == "sync" and happened[-1] == "sync"


def forged(store: Path, change) -> dict:
    """Return a record that puts changed metadata in place."""
    metadata = json.loads((store / ".zmetadata").read_text())
    change(metadata["metadata"][".zattrs"])
    text = base64.b64encode(json.dumps(metadata).encode()).decode()
    return {"objects": {".zmetadata": text}}


FORGED = {
    "no attributes of the kit": lambda attrs: attrs.pop("s2kit"),
    "a manifest that is a number": lambda attrs: attrs["s2kit"].update(manifest={"51": 5}),
    "a manifest that is a list": lambda attrs: attrs["s2kit"].update(manifest=[1]),
    "a manifest of another folder": lambda attrs: attrs["s2kit"]["manifest"].update(
        {"../..": {"coordinates": "x", "tables": {}}}
    ),
    "no manifest": lambda attrs: attrs["s2kit"].pop("manifest"),
    "no digest": lambda attrs: attrs["s2kit"].pop("digest"),
    "another format": lambda attrs: attrs["s2kit"].update(format=3),
    "another digest": lambda attrs: attrs["s2kit"].update(digest="0" * 64),
}


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("part", ["interim", "objects"])
def test_record_with_metadata_that_are_no_cubes(store, days, made, kind, part):
    """They are looked at before they are put in place: the cube opens as before."""
    record = forged(store, FORGED[kind])
    leave_record(store, {"interim": {}, "objects": {}} | {part: record["objects"]})
    with pytest.raises(CubeError, match="nothing was written"):
        s2kit.build_cube(days[:2], store, progress=False)
    assert (store / ".zmetadata").read_bytes() == (made / ".zmetadata").read_bytes()
    assert len(s2kit.open_cube(store).time) == 2


def test_record_of_an_orbit_without_end(store, days, made):
    """Such a record was never written by a build, and counts as torn."""
    leave_record(store, {"moved": {"orbit": float("inf"), "tables": ["0" * 64]}})
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == tree(made)


ODD = [b"null", b"5", b"true", b"1.5", b"NaN", b"[" * 100_000, b'{"../x": 1}', b'[["x"]]', b"\xff"]


@pytest.mark.parametrize("name", ["damaged", "lock"])
@pytest.mark.parametrize("data", ODD, ids=lambda data: repr(data[:12]))
def test_odd_files_of_the_work_folder(store, days, made, name, data):
    """A note or a lock that no build wrote does not keep a build from its work, and is removed."""
    (store / ".s2kit" / name).write_bytes(data)
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == tree(made)


def test_lock_that_names_no_process(store):
    """Who holds it is not known, so the store counts as being written."""
    (store / ".s2kit/lock").write_text(json.dumps({"host": socket.gethostname()}))
    (store / ".s2kit/redo").write_text("{}")
    with pytest.raises(CubeError, match="changing all the time"):
        s2kit.verify(store, progress=False)


def test_unfinished_commit_leaves_no_note(store, days, made):
    """`verify` names it; the build that finishes it leaves nothing behind."""
    leave_record(store, {})
    assert list(s2kit.verify(store, progress=False).damaged) == [".s2kit/redo"]
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == tree(made)


@pytest.mark.parametrize("name", ["staging", "damaged"])
def test_pipes_in_the_work_folder(store, days, made, name):
    """None is waited for, and they are removed."""
    os.mkfifo(store / ".s2kit" / name)
    assert s2kit.verify(store, progress=False).damaged == {}
    s2kit.build_cube(days[:2], store, progress=False)
    assert tree(store) == tree(made)


def test_pipe_as_record(store, days):
    """It is named as what cannot be read, and is not waited for."""
    os.mkfifo(store / ".s2kit/redo")
    for work in (s2kit.verify, lambda *_, **__: s2kit.build_cube(days[:2], store, progress=False)):
        with pytest.raises(CubeError, match="it is not a file"):
            work(store, progress=False)
