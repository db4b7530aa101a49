"""Tiles from a real server on loopback, warped, against where pyproj says each tile lies."""

import json
import math
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
import tiles
from pyproj import CRS, Transformer
from rasterio.io import MemoryFile

from s2kit.crs import area_of
from s2kit.errors import CatalogueError, InvalidInputError
from s2kit.viewers.basemap import read_basemap
from s2kit.viewers.levels import View

WORLD = 2 * math.pi * 6_378_137
"""Width of Web Mercator in m (EPSG:3857)."""

WIDTH, HEIGHT = 512, 400
"""Pixels of the picture."""

DELFT = View(80_000, 445_000, 82_560, 447_560)
RD = CRS("EPSG:28992")


def read(tiles: str, view: View, crs: CRS) -> np.ndarray:
    """Read the basemap of a cube that is as large as the view."""
    area = area_of((view.west, view.south, view.east, view.north), crs)
    return read_basemap(tiles, view, (WIDTH, HEIGHT), crs, area)


@contextmanager
def serve(status=200):
    """Run a server of tiles, as a program of its own, and give its address.

    rasterio holds Python's lock while GDAL waits for an answer.
    """
    command = [sys.executable, tiles.__file__, str(status)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(program.stdout.readline())}"
    finally:
        program.kill()
        program.communicate()


@pytest.fixture(scope="module")
def address():
    """Run a server that is well."""
    with serve() as found:
        yield found


@pytest.fixture(autouse=True)
def cache(tmp_path):
    """Keep GDAL's tiles apart: an address that another test or run had is asked again."""
    with rasterio.Env(GDAL_DEFAULT_WMS_CACHE_PATH=str(tmp_path)):
        yield tmp_path


def asked_of(address):
    """Return the paths that were asked of a server since the last time."""
    with urllib.request.urlopen(address + "/asked", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    ("view", "crs"),
    [
        (DELFT, "EPSG:28992"),
        (View(400_000, 5_000_000, 420_000, 5_020_000), "EPSG:32633"),
        (View(300_000, 6_200_000, 300_600, 6_200_600), "EPSG:32719"),
        (View(4.30, 51.98, 4.34, 52.02), "EPSG:4326"),
    ],
    ids=["RD", "UTM", "south", "degrees"],
)
def test_tiles_lie_where_they_belong(address, view, crs):
    """Each pixel shows the part of the tile that pyproj puts there, to a pixel of the tile or two.

    Half a pixel of the picture may be more than one of the tile, which is warped to it.
    """
    picture = read(address + "/{z}/{x}/{y}.png", view, CRS(crs))
    asked = asked_of(address)
    assert (picture.shape, picture.dtype) == ((HEIGHT, WIDTH, 4), np.uint8)
    assert (picture[..., 3] == 255).all()
    (zoom,) = {int(path.split("/")[1]) for path in asked}
    move = Transformer.from_crs(crs, "EPSG:3857", always_xy=True)
    compared = 0
    rng = np.random.default_rng(3)
    for row, col in rng.integers(0, (HEIGHT, WIDTH), (400, 2)):
        x = view.west + (col + 0.5) / WIDTH * view.width
        y = view.north - (row + 0.5) / HEIGHT * view.height
        east, north = move.transform(x, y)
        across = (east / WORLD + 0.5) * 2**zoom
        down = (0.5 - north / WORLD) * 2**zoom
        inside = np.array([across % 1, down % 1]) * 256
        if inside.min() < 4 or inside.max() > 252:
            continue  # tiles are mixed where they meet
        assert abs(picture[row, col, :2] - (inside - 0.5)).max() <= 2
        assert abs(int(picture[row, col, 2]) - tiles.blue_of(int(across), int(down))) <= 1
        compared += 1
    assert compared > 300


def test_tiles_are_about_as_fine_as_the_picture(address):
    """The zoom is such that a pixel of a tile is neither half nor twice one of the picture."""
    read(address + "/{z}/{x}/{y}.png", DELFT, RD)
    asked = asked_of(address)
    (zoom,) = {int(path.split("/")[1]) for path in asked}
    pixel = WORLD / 256 / 2**zoom * math.cos(math.radians(52))
    assert 0.5 <= pixel / (DELFT.width / WIDTH) <= 2
    assert len(asked) <= 40


def test_tiles_are_asked_once(address):
    """The same view again costs the server nothing."""
    first, again = (read(address + "/{z}/{x}/{y}.png", DELFT, RD) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    asked = asked_of(address)
    assert len(asked) == len(set(asked)) > 0


def test_address_with_more(address):
    """Other parts of an address, such as a key after &, reach the server."""
    read(address + "/{z}/{x}/{y}.png?key=a&style=b", DELFT, RD)
    asked = asked_of(address)
    assert asked
    assert all(path.endswith("?key=a&style=b") for path in asked)


def test_nobody_listens():
    """Where no server is, a named error comes within seconds, and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    begin = time.monotonic()
    with pytest.raises(CatalogueError, match="switch it on again when"):
        read(nobody + "/{z}/{x}/{y}.png", DELFT, RD)
    assert time.monotonic() - begin < 10


def test_server_is_silent():
    """A server that takes connections and says nothing gives a named error too, in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        begin = time.monotonic()
        with pytest.raises(CatalogueError, match="cannot be fetched"):
            read(f"http://127.0.0.1:{silent.getsockname()[1]}/{{z}}/{{x}}/{{y}}", DELFT, RD)
        assert time.monotonic() - begin < 15


@pytest.mark.parametrize("status", [404, 500])
def test_server_refuses(status):
    """A server that refuses tiles gives a named error."""
    with serve(status) as bad, pytest.raises(CatalogueError, match="cannot be fetched"):
        read(bad + "/{z}/{x}/{y}.png", DELFT, RD)


@pytest.mark.parametrize(
    ("template", "missing"),
    [("http://x/{z}/{x}", "y"), ("http://x/{x}/{y}", "z"), ("", "z"), ("http://x/{z}/{y}", "x")],
)
def test_bad_address(template, missing):
    """An address without a place for z, x or y ends in an error that shows a right one."""
    with pytest.raises(InvalidInputError, match=rf"has no \{{{missing}\}}.*openstreetmap"):
        read(template, DELFT, RD)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_oracle():
    """The tiles of the tests can be read, and tell their place."""
    with MemoryFile(tiles.tile(3, 2)) as memory, rasterio.open(memory) as opened:
        assert opened.read()[:, 7, 200].tolist() == [200, 7, (150 + 220) % 256]
