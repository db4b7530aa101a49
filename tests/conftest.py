"""What tests of several parts share: the real data, and a real STAC API on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real Sentinel-2 data, see its README.md; skips where it is absent."""
    folder = Path(os.environ.get("S2KIT_REAL_DATA", ROOT / "../shared/data")).resolve()
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data in {folder}; set S2KIT_REAL_DATA to its folder")
    return folder


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
