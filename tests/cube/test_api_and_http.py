"""The same cube through a real STAC API (rustac) with the imagery on a real web server (nginx)."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

import s2kit

REGION = (14.9, 45.0, 16.5, 47.0)

CONFIG = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@pytest.fixture
def imagery_url(real_data, tmp_path, require_program):
    """Serve the real data by nginx."""
    nginx = require_program("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, root=real_data))
    server = subprocess.Popen([nginx, "-c", config, "-e", tmp_path / "error.log"])
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/README.md", timeout=5).close()
            break
        except OSError:
            time.sleep(0.05)
    yield url
    server.terminate()
    server.wait(10)


def contents(store: Path) -> dict[str, bytes]:
    """Return every file of a store."""
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def build(items, store):
    """Build at the sources' own resolution."""
    s2kit.build_cube(items, store, REGION, "EPSG:32633", 120, resampling="nearest", progress=False)
    return contents(store)


def test_api_and_http_give_the_same_bytes(real_data, stac_api, imagery_url, tmp_path):
    """Found by an API and read over http, the cube is the one made from disk, byte for byte."""
    folder = real_data / "stac-l2a-2023/sentinel-2-l2a"
    items = []
    for path in sorted(folder.glob("*/*_L2A.json")):
        item = json.loads(path.read_text())
        base = f"{imagery_url}/stac-l2a-2023/sentinel-2-l2a/{path.parent.name}"
        for asset in item["assets"].values():
            asset["href"] = f"{base}/{asset['href'].removeprefix('./')}"
        item["links"] = []
        items.append(item)
    found = s2kit.find_scenes(stac_api(items), REGION, "2023-08-01", "2023-08-31")
    assert all(a.href.startswith(imagery_url) for i in found for a in i.assets.values())
    disk = s2kit.find_scenes(real_data / "stac-l2a-2023/catalog.json", REGION, "2023", "2023")
    assert [i.id for i in found] == [i.id for i in disk]
    assert build(found, tmp_path / "http.zarr") == build(disk, tmp_path / "disk.zarr")
    assert " 206 " in (tmp_path / "access.log").read_text()
    shutil.rmtree(tmp_path / "http.zarr")
