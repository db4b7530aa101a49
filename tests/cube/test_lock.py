"""One builder at a time: who comes second is told, what a dead one left is taken over."""

import json
import os
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from children import Wait, build, run_build, stamps, start, tree
from scenarios import SMALL, whole

import s2kit
from s2kit.cube.lock import lock
from s2kit.cube.storage import open_store
from s2kit.errors import CubeError, CubeLockedError

LOCK = ".s2kit/lock"


def test_the_second_is_told_who_is_at_work(days, tmp_path):
    """The message names process and host; the second touches nothing, the first finishes."""
    store, wait = tmp_path / "cube.zarr", Wait(tmp_path)
    first = start(run_build, days, store, SMALL, {"before": 20, "act": wait})
    wait.until_reached()
    before = stamps(store)
    with pytest.raises(CubeLockedError) as caught:
        s2kit.build_cube(days, store, progress=False, **SMALL)
    assert f"process {first.pid} on {socket.gethostname()}" in str(caught.value)
    assert str(store / LOCK) in str(caught.value)
    assert stamps(store) == before
    wait.go_on.touch()
    first.join(60)
    assert first.exitcode == 0
    s2kit.build_cube(days, store, progress=False, **SMALL)
    assert len(whole(store)) == 5
    assert not (store / ".s2kit").exists()


def test_the_lock_of_a_dead_process_is_taken_over(days, tmp_path):
    """A killed builder leaves its lock; the next one does not ask anybody."""
    store = tmp_path / "cube.zarr"
    assert build(days, store, SMALL, before=20) == -9
    holder = json.loads((store / LOCK).read_bytes())
    assert not psutil.pid_exists(holder["pid"])
    s2kit.build_cube(days, store, progress=False, **SMALL)
    assert len(whole(store)) == 5


def leave_lock(store: Path, **changes) -> None:
    """Leave a lock as this process would, with some of it changed."""
    (store / LOCK).parent.mkdir(parents=True)
    process = psutil.Process()
    mine = {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": process.create_time(),
        "since": "2026-11-22T16:00:00+00:00",
    }
    (store / LOCK).write_text(json.dumps(mine | changes))


def test_a_process_of_the_same_number_is_another_one(days, tmp_path):
    """A living process that started later than the lock's holder does not hold it."""
    store = tmp_path / "cube.zarr"
    leave_lock(store, started=psutil.Process().create_time() - 100)
    s2kit.build_cube(days[:2], store, progress=False, **SMALL)
    assert len(whole(store)) == 2


def mount_as(monkeypatch, folder: Path, kind: str, options: str = "rw") -> None:
    """Let a folder be on a file system of some kind."""
    mounts = [("/", "ext4", "rw"), (str(folder), kind, options)]
    found = [SimpleNamespace(mountpoint=at, fstype=kind, opts=opts) for at, kind, opts in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("nfs4", "rw,local_lock=all"),
        ("nfs", "rw,nolock"),
        ("lustre", "rw,localflock"),
        ("fuse.sshfs", "rw"),
        ("cifs", "rw"),
    ],
)
def test_the_lock_of_another_host_stays(days, tmp_path, monkeypatch, kind, options):
    """Where locks do not reach other hosts, whether a process there lives cannot be told."""
    store = tmp_path / "cube.zarr"
    leave_lock(store, host="elsewhere", pid=2**22 + 1)
    mount_as(monkeypatch, tmp_path, kind, options)
    before = stamps(store)
    with pytest.raises(CubeLockedError, match="on elsewhere since 2026-11-22"):
        s2kit.build_cube(days[:2], store, progress=False, **SMALL)
    assert stamps(store) == before


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "nfs4", "nfs"])
def test_the_lock_of_a_dead_pod_is_taken_over(days, tmp_path, monkeypatch, kind):
    """Where the file system's lock is everybody's, and free, who held it is gone."""
    store = tmp_path / "cube.zarr"
    leave_lock(store, host="pod-1", pid=1)
    mount_as(monkeypatch, tmp_path, kind)
    s2kit.build_cube(days[:2], store, progress=False, **SMALL)
    assert len(whole(store)) == 2


@pytest.mark.parametrize("name", [LOCK, ".s2kit", "S2", "S2/R051/B04", ".s2kit/staging"])
@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_links_are_not_followed(days, tmp_path, name, link):
    """What a link in a cube leads to keeps its bytes, and gets no file."""
    store, outside = tmp_path / "cube.zarr", tmp_path / "outside"
    s2kit.build_cube(days[:1], store, progress=False, **SMALL)
    place = store / name
    if link == "hard" and name != LOCK:
        pytest.skip("folders have no hard links")
    if place.exists():
        shutil.move(place, outside)
    elif name == LOCK:
        outside.write_text("precious")
    else:
        outside.mkdir()
        (outside / "lock").write_text("precious")
        (outside / "S2").mkdir()
    before = {} if outside.is_file() else tree(outside)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside) if link == "symbolic" else place.hardlink_to(outside)
    with suppress(CubeError):
        s2kit.build_cube(days, store, progress=False, **SMALL)
    if outside.is_file():
        assert outside.read_text() == "precious"
    else:
        assert tree(outside) == before


def test_a_builder_that_fails_lets_go(days, tmp_path):
    """After an error in the middle of a build the store is free."""
    store = tmp_path / "cube.zarr"
    assert build(days, store, SMALL, before=20, act=fail) == 2
    assert not (store / LOCK).exists()
    s2kit.build_cube(days, store, progress=False, **SMALL)
    assert len(whole(store)) == 5


def fail() -> None:
    """Fail in a way that nobody foresees."""
    raise RuntimeError("unforeseen")


@pytest.mark.parametrize("stale", [False, True])
def test_builders_started_at_once(days, tmp_path, stale):
    """Of several only one writes at a time: the cube is as one builder would make it."""
    reference = tmp_path / "reference.zarr"
    s2kit.build_cube(days, reference, progress=False, **SMALL)
    for attempt in range(4):
        store = tmp_path / f"{attempt}.zarr"
        if stale:
            assert build(days, store, SMALL, before=10 + 10 * attempt) == -9
        at = time.time() + 0.3
        builders = [start(build_at, at, days, store) for _ in range(4)]
        for builder in builders:
            builder.join(60)
        codes = sorted(builder.exitcode for builder in builders)
        assert codes[0] == 0 and set(codes) <= {0, 3}
        assert tree(store) == tree(reference)


def build_at(moment: float, items: list, store: Path) -> None:
    """Build at a given time."""
    time.sleep(max(moment - time.time(), 0))
    run_build(items, store, SMALL)


def test_two_builders_of_two_grids(days, tmp_path):
    """Who comes second to a new store with another grid is refused, not mixed in."""
    for attempt in range(4):
        store = tmp_path / f"{attempt}.zarr"
        options = [SMALL | {"resolution": size} for size in (10, 20)]
        builders = [start(run_build, days, store, own) for own in options]
        for builder in builders:
            builder.join(60)
        codes = [builder.exitcode for builder in builders]
        assert sorted(codes) in ([0, 1], [0, 3])
        winner = options[codes.index(0)]["resolution"]
        reference = tmp_path / f"{winner}.zarr"
        s2kit.build_cube(days, reference, progress=False, **options[codes.index(0)])
        assert tree(store) == tree(reference)


def test_only_one_holds_the_lock(tmp_path):
    """Four processes that take it again and again never hold it together."""
    until = time.time() + 3
    logs = [tmp_path / f"log-{n}" for n in range(4)]
    workers = [start(take_turns, tmp_path / "cube.zarr", log, until) for log in logs]
    for worker in workers:
        worker.join(30)
    held, met = zip(*(map(int, log.read_text().split()) for log in logs), strict=True)
    assert sum(held) > 100
    assert sum(met) == 0


def take_turns(store: Path, log: Path, until: float) -> None:
    """Count how often the lock was held, and how often somebody else held it too."""
    held = met = 0
    inside = log.with_name("inside")
    while time.time() < until:
        try:
            with lock(open_store(store)):
                held += 1
                try:
                    os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
                    time.sleep(0.0002)
                    inside.unlink()
                except (FileExistsError, FileNotFoundError):
                    met += 1
        except CubeLockedError:
            pass
    log.write_text(f"{held} {met}")
