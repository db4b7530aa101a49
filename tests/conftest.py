"""What tests of several parts share: the real data, and a real STAC API on loopback."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import xarray as xr

import s2kit
from s2kit.practice import write_practice_scenes

ROOT = Path(__file__).parents[1]

hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real Sentinel-2 data, see its README.md; skip where it is absent."""
    folder = Path(os.environ.get("S2KIT_REAL_DATA", ROOT / "../shared/data")).resolve()
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data in {folder}; set S2KIT_REAL_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """Return a folder that all test processes of a run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def practice_scenes(shared_folder) -> Path:
    """Return the folder of the practice scenes: that of the tree, or made once for a run."""
    made = ROOT / "data/practice"
    folder = made if (made / "practice.json").exists() else shared_folder / "practice"
    with once(shared_folder / "practice.lock"):
        write_practice_scenes(folder, progress=False)
    return folder


@pytest.fixture(scope="session")
def practice_cube(practice_scenes, shared_folder) -> xr.Dataset:
    """Return the whole practice cube: 88 steps of 500 × 500 pixels, built once for a run."""
    store = shared_folder / "practice.zarr"
    with once(shared_folder / "cube.lock"):
        items = s2kit.find_scenes(str(practice_scenes / "scenes"), "delft", "2021", "2023")
        s2kit.build_cube(items, store, "delft", progress=False)
    return s2kit.open_cube(store)


@pytest.fixture(scope="session")
def real_cube(real_data, shared_folder) -> xr.Dataset:
    """Return a cube of the real scenes: two orbits, five days, four bands and classes, 120 m."""
    store = shared_folder / "real.zarr"
    catalogue = str(real_data / "stac-l2a-2023/catalog.json")
    region = (14.9, 45.0, 16.5, 47.0)
    with once(shared_folder / "real.lock"):
        items = s2kit.find_scenes(catalogue, region, "2023", "2023")
        options = {"resampling": "nearest", "progress": False}
        s2kit.build_cube(items, store, region, "EPSG:32633", 120, **options)
    return s2kit.open_cube(store)


@pytest.fixture(scope="session")
def built_site(shared_folder) -> Path:
    """Return the folder of the site, built once for a run from what `make notebooks` left."""
    names = [path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    missing = [name for name in names if not (ROOT / "build" / name).exists()]
    if missing:
        stop = pytest.fail if os.environ.get("S2KIT_REQUIRE") else pytest.skip
        stop(f"run `make notebooks` first: build/ lacks {', '.join(missing)}")
    folder = shared_folder / "site"
    with once(shared_folder / "site.lock"):
        if not folder.exists():
            folder.mkdir()
            for name in names:
                shutil.copy(ROOT / "build" / name, folder)
            command = [sys.executable, ROOT / "tools/build_site.py", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            (folder / "said").write_text(f"{done.returncode}\n{done.stdout}{done.stderr}")
    return folder / "site"


@contextmanager
def once(lock: Path) -> Iterator[None]:
    """Run the block in one test process after the other; it must be safe to repeat."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Find a program of the system; where it is missing, skip, or fail if S2KIT_REQUIRE is set."""

    def find(name: str) -> str:
        path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        if path is None and os.environ.get("S2KIT_REQUIRE"):
            pytest.fail(f"{name} is not installed; see .ci/run for its package")
        return path or pytest.skip(f"{name} is not installed")

    return find


@pytest.fixture
def mount(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system in memory of its own; without the right to, skip or fail as programs."""
    mounted = []

    def at(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            give_up = pytest.fail if os.environ.get("S2KIT_REQUIRE") else pytest.skip
            give_up(f"no right to mount a file system: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield at
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def stac_api(tmp_path: Path) -> Iterator[Callable[[list[dict[str, Any]]], str]]:
    """Serve items (as JSON dicts) by a real STAC API, rustac, and return its root URL."""
    servers = []

    def serve(items: list[dict[str, Any]]) -> str:
        file = tmp_path / f"api-{len(servers)}.json"
        file.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        address = f"127.0.0.1:{_free_port()}"
        rustac = Path(sys.executable).with_name("rustac")
        command = [rustac, "serve", "--create-collections", "--addr", address, file]
        servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        _wait_until_served(f"http://{address}", servers[-1])
        return f"http://{address}"

    yield serve
    for server in servers:
        server.terminate()
        server.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_served(url: str, server: subprocess.Popen) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, "rustac stopped instead of serving"
            time.sleep(0.05)
    raise AssertionError(f"rustac did not serve {url}")
