"""A build on a Dask cluster: the same bytes; workers that outlive it write nothing."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from children import start, tree
from distributed import Client, LocalCluster
from scenarios import DEEP, SMALL

import s2kit
from s2kit.cube import build as build_module
from s2kit.cube.local_store import LocalStore
from s2kit.cube.lock import check_held, lock
from s2kit.cube.storage import open_store
from s2kit.errors import CubeError, CubeLockedError, InvalidInputError

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Run one worker process in a folder of its own."""
    home, folder = Path.cwd(), tmp_path_factory.mktemp("worker")
    os.chdir(folder)
    try:
        with LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as running:
            os.chdir(home)
            yield running
    finally:
        os.chdir(home)


@pytest.fixture
def client(cluster):
    """Connect to the cluster."""
    with Client(cluster) as connected:
        yield connected


@pytest.fixture(scope="module")
def reference(days, tmp_path_factory):
    """Return the cube of two days, built by threads."""
    store = tmp_path_factory.mktemp("threads") / "cube.zarr"
    s2kit.build_cube(days[:2], store, progress=False, **SMALL)
    return store


def test_cluster_gives_the_same_bytes_from_another_folder(
    days, reference, client, tmp_path, monkeypatch
):
    """The store's path is relative to this process, not to the workers."""
    monkeypatch.chdir(tmp_path)
    s2kit.build_cube(days[:2], "cube.zarr", client=client, progress=False, **SMALL)
    assert tree(tmp_path / "cube.zarr") == tree(reference)


def test_levels_on_a_cluster(days, client, tmp_path):
    """Overviews too are the same bytes."""
    s2kit.build_cube(days[:2], tmp_path / "a.zarr", client=client, progress=False, **DEEP)
    s2kit.build_cube(days[:2], tmp_path / "b.zarr", progress=False, **DEEP)
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")


def slow_write(seconds: float) -> None:
    """Let a worker wait before each object that it writes."""
    plain = LocalStore.write

    def write(self, key, data):
        time.sleep(seconds)
        plain(self, key, data)

    LocalStore.write = write


def build_on(address: str, items: list, store) -> None:
    """Build on a cluster."""
    with Client(address) as client:
        s2kit.build_cube(items, store, client=client, progress=False, **SMALL)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_tasks_that_outlive_their_build_write_nothing(days, reference, tmp_path, end):
    """A builder dies while its worker is about to write; the next one's chunks stay."""
    store = tmp_path / "cube.zarr"
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(slow_write, 6)
        child = start(build_on, cluster.scheduler_address, days[:1], store)
        lock = store / ".s2kit/lock"
        until = time.time() + 60
        while time.time() < until and not (lock.exists() and any(client.processing().values())):
            time.sleep(0.05)
        os.kill(child.pid, end)
        child.join(30)
        s2kit.build_cube(days[:2], store, progress=False, **SMALL)
        assert tree(store) == tree(reference)
        time.sleep(8)
        assert tree(store) == tree(reference)


@pytest.mark.parametrize("lost", ["S2/R051/", "S2/R051_L1/"])
def test_chunks_that_do_not_arrive_are_missed(days, client, tmp_path, monkeypatch, lost):
    """Workers that write to another place do not make a cube of nothing, nor a level."""
    store = tmp_path / "cube.zarr"
    monkeypatch.setattr(build_module, "commit", never)
    client.run(elsewhere, lost)
    try:
        with pytest.raises(CubeError, match="workers wrote are not in"):
            s2kit.build_cube(days[:1], store, client=client, progress=False, **DEEP)
    finally:
        client.run(here)
    with pytest.raises(CubeError, match="no steps yet"):
        s2kit.open_cube(store)


def never(*_, **__) -> None:
    """Raise: this must not be reached."""
    raise AssertionError("committed")


def elsewhere(prefix: str) -> None:
    """Let some of a worker's writes get lost."""
    plain = LocalStore.put

    def put(self, key, data):
        if not key.startswith(prefix):
            plain(self, key, data)

    LocalStore.put, put.plain = put, plain


def here() -> None:
    """Let all of a worker's writes arrive again."""
    LocalStore.put = LocalStore.put.plain


def test_client_that_is_closed(days, cluster, tmp_path):
    """It is refused before anything is written."""
    with Client(cluster) as client:
        pass
    with pytest.raises(InvalidInputError, match="not a Dask client at work"):
        s2kit.build_cube(days[:1], tmp_path / "cube.zarr", client=client, **SMALL)
    assert not (tmp_path / "cube.zarr").exists()


def test_who_lost_the_lock_is_told(tmp_path):
    """A word is worth something as long as the lock holds it."""
    store = open_store(tmp_path / "cube.zarr")
    with lock(store) as lock_token:
        check_held(store, lock_token)
        with pytest.raises(CubeLockedError, match="no longer holds"):
            check_held(store, "another")
    with pytest.raises(CubeLockedError, match="run the build again"):
        check_held(store, lock_token)


def test_values_of_the_reference(reference):
    """What the other tests compare with holds data."""
    cube = s2kit.open_cube(reference)
    assert np.isfinite(cube.B04).mean(["y", "x"]).min() > 0.8
