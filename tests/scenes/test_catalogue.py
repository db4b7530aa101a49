"""STAC APIs: a real one on loopback, healthy and, behind a proxy, in every kind of trouble."""

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from s2kit.errors import CatalogueError
from s2kit.scenes import REFUSED, catalogue, find_scenes, providers, reader

WORLD = (-180, -90, 180, 90)
Json = dict[str, Any]
Api = Callable[[list[Json]], str]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only briefly before and between attempts; their number stays."""
    monkeypatch.setattr(reader, "TIMEOUT", (2, 0.5))
    monkeypatch.setattr(reader, "RETRIES", reader.RETRIES.new(backoff_factor=0))


class Proxy(ThreadingHTTPServer):
    """Hands on requests to a real API, but first answers searches with what it was told."""

    def __init__(self, upstream: str, troubles: list[int | str]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream.encode()
        self.troubles = troubles
        self.searches = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request; a trouble is an HTTP status, `stall`, `hang up` or a body."""

    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send an answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/search"):
            self.server.searches += 1
            if self.server.troubles:
                return self.trouble(self.server.troubles.pop(0))
        upstream = self.server.upstream
        headers = {"Content-Type": "application/json"} if body else {}
        request = urllib.request.Request(upstream.decode() + self.path, body or None, headers)
        with urllib.request.urlopen(request) as response:
            return self.answer(200, response.read().replace(upstream, self.server.url.encode()))

    def do_POST(self) -> None:
        """Send an answer."""
        self.do_GET()

    def trouble(self, kind: int | str) -> None:
        """Send a bad answer, or none."""
        if isinstance(kind, int):
            return self.answer(kind, b"{}")
        if kind == "hang up":
            self.close_connection = True
            return None
        if kind == "stall":
            time.sleep(3)
        return self.answer(200, b'{"features": []}' if kind == "stall" else kind.encode())

    def answer(self, status: int, body: bytes) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # who asked may have lost patience
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def troubled(stac_api: Api, features: Callable) -> Iterator[Callable[..., Proxy]]:
    """Put trouble before a real API with seven real items."""
    proxies = []

    def serve(*troubles: int | str) -> Proxy:
        upstream = stac_api(features("earth-search_sentinel-2-l2a"))
        proxies.append(Proxy(upstream, list(troubles)))
        threading.Thread(target=proxies[-1].serve_forever, daemon=True).start()
        return proxies[-1]

    yield serve
    for proxy in proxies:
        proxy.shutdown()
        proxy.server_close()


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("earth-search_sentinel-2-l2a", 0),
        ("earth-search_sentinel-2-c1-l2a", -0.1),
        ("planetarycomputer_sentinel-2-l2a", 0),
        ("earth-search_sentinel-s2-l2a-cogs", 0),
    ],
)
def test_as_from_disk(
    stac_api: Api, features: Callable, real_data: Path, name: str, offset: float
) -> None:
    """A real API gives the same scenes as the same items on disk, offsets included."""
    from_disk = find_scenes(real_data / f"stac-items/{name}_items.json", WORLD, "2015", "2030")
    found = find_scenes(stac_api(features(name)), WORLD, "2015", "2030")
    assert [item.id for item in found] == [item.id for item in from_disk]
    for one, other in zip(found, from_disk, strict=True):
        assert one.properties == other.properties
        for layer, asset in other.assets.items():
            assert one.assets[layer].href == asset.href
            assert one.assets[layer].extra_fields == asset.extra_fields
        assert one.assets["B04"].extra_fields["raster:offset"] == offset


def test_pages(stac_api: Api, features: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are read, none twice, and a page is never more than Copernicus allows."""
    raw = features("planetarycomputer_sentinel-2-l2a")
    url = stac_api(raw)
    assert catalogue._PAGE <= 100
    monkeypatch.setattr(catalogue, "_PAGE", 10)
    scenes = list(catalogue.read_url(url, (), *everything()))
    assert sorted(scene.document["id"] for scene in scenes) == sorted(item["id"] for item in raw)


@pytest.mark.parametrize("kind", ["items of a collection", "search", "saved page", "collections"])
def test_addresses_that_are_copied(
    stac_api: Api, features: Callable, tmp_path: Path, kind: str
) -> None:
    """Whatever address of an API is given, all of its pages are read."""
    url = stac_api(features("earth-search_sentinel-2-l2a"))
    source: Any = {
        "items of a collection": f"{url}/collections/sentinel-2-l2a/items?limit=2",
        "search": f"{url}/search?limit=3",
        "collections": f"{url}/collections",
    }.get(kind)
    if kind == "saved page":
        source = tmp_path / "page.json"
        with urllib.request.urlopen(f"{url}/search?limit=2") as response:
            source.write_bytes(response.read())
        assert len(json.loads(source.read_bytes())["features"]) == 2
    assert len(find_scenes(source, WORLD, "2015", "2030")) == 7


@pytest.mark.parametrize("stated", [{"numberMatched": 9}, {"context": {"matched": 9}}])
@pytest.mark.parametrize("kind", ["search", "saved page"])
def test_pages_that_are_missing(
    troubled: Callable, features: Callable, tmp_path: Path, kind: str, stated: Json
) -> None:
    """Fewer items than were said to match, and no link to more, are not taken for all."""
    page = {"type": "FeatureCollection", "links": [], **stated}
    page["features"] = features("earth-search_sentinel-2-l2a")
    source: Any = tmp_path / "page.json"
    source.write_text(json.dumps(page))
    if kind == "search":
        source = troubled(json.dumps(page)).url
    with pytest.raises(CatalogueError, match="9 scenes match, but its pages hold 7"):
        find_scenes(source, WORLD, "2015", "2030")


@pytest.mark.parametrize("stated", [8, "8", 8.0])
def test_pages_that_overlap(features: Callable, tmp_path: Path, stated: object) -> None:
    """What comes on two pages counts once: it does not stand for what is missing."""
    known = features("earth-search_sentinel-2-l2a")
    for number, part in enumerate((known[:4], known[3:6])):
        links = [{"rel": "next", "href": "page1.json"}] if number == 0 else []
        page = {"type": "FeatureCollection", "features": part, "links": links}
        (tmp_path / f"page{number}.json").write_text(json.dumps(page | {"numberMatched": stated}))
    with pytest.raises(CatalogueError, match="8 scenes match, but its pages hold 6"):
        find_scenes(tmp_path / "page0.json", WORLD, "2015", "2030")


@pytest.mark.parametrize("wrong", [{}, {"features": None}, {"features": {}}, {"items": []}])
def test_collection_without_features(tmp_path: Path, wrong: Json) -> None:
    """It is not taken for an empty one."""
    (tmp_path / "a.json").write_text(json.dumps({"type": "FeatureCollection", **wrong}))
    with pytest.raises(CatalogueError, match="without a list of features"):
        find_scenes(tmp_path / "a.json", WORLD, "2015", "2030")


def everything() -> tuple:
    """Return all places and times."""
    from s2kit.scenes.period import read_period
    from s2kit.scenes.region import read_aoi

    return read_aoi(WORLD), read_period("2015", "2030")


def test_region_and_time_are_those_of_the_datatake(stac_api: Api, features: Callable) -> None:
    """The search finds a datatake by its own start, though the items know a later time."""
    url = stac_api(features("earth-search_sentinel-2-l2a"))
    start = "2025-07-31T13:02:49"
    assert len(find_scenes(url, WORLD, start, start)) == 5
    assert len(find_scenes(url, WORLD, "2025-07-31T13:02:50", "2025-07-31T13:19:08")) == 0
    assert len(find_scenes(url, (-106, 40, -105, 40.5), "2015", "2030")) == 1


def test_only_collections_of_level_2a(stac_api: Api, features: Callable) -> None:
    """Of all that an API offers, the Level-2A collections are searched, Collection 1 first."""
    names = ["sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-2-l1c"]
    url = stac_api([item for name in names for item in features(f"earth-search_{name}")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_scenes(url, WORLD, "2025", "2025")
    assert len(found) == 6 and found.extra_fields[REFUSED] == []
    assert {item.properties["s2kit:source"] for item in found} == {"earth-search sentinel-2-c1-l2a"}


def test_collections_that_state_their_offset_come_first(stac_api: Api, features: Callable) -> None:
    """Of the same product, the copy made as Collection 1 was is used."""
    (one, *_) = features("earth-search_sentinel-2-l2a")
    (item,) = find_scenes(
        stac_api([one, one | {"collection": "sentinel-2-pre-c1-l2a"}]), WORLD, "2025", "2025"
    )
    assert item.properties["s2kit:source"] == "earth-search sentinel-2-pre-c1-l2a"


def test_one_collection(stac_api: Api, features: Callable) -> None:
    """The URL of a collection searches that one alone."""
    names = ["sentinel-2-l2a", "sentinel-2-c1-l2a"]
    url = stac_api([item for name in names for item in features(f"earth-search_{name}")])
    found = find_scenes(f"{url}/collections/sentinel-2-l2a", WORLD, "2015", "2030")
    assert {item.properties["s2kit:source"] for item in found} == {"earth-search sentinel-2-l2a"}
    assert len(found) == 7


@pytest.mark.parametrize("name", ["sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-2-l1c"])
def test_saved_copy_of_a_collection(real_data: Path, name: str) -> None:
    """A saved description of a collection holds no items: the error gives the API's address."""
    saved = real_data / "stac-items" / f"collection_{name}.json"
    with pytest.raises(CatalogueError, match=r"describes an API.*element84\.com/v1$"):
        find_scenes(saved, WORLD, "2015", "2030")


def test_items_of_a_static_collection(tmp_path: Path, features: Callable) -> None:
    """A static collection may link to a page of its items, and that to the next one."""
    known = features("earth-search_sentinel-2-l2a")
    pages = [known[:3], known[3:]]
    for number, page in enumerate(pages):
        following = [{"rel": "next", "href": f"page{number + 1}.json"}] if number == 0 else []
        document = {"type": "FeatureCollection", "features": page, "links": following}
        (tmp_path / f"page{number}.json").write_text(json.dumps(document))
    to_items = {"rel": "items", "href": "page0.json"}
    collection = {"type": "Collection", "id": "a", "links": [to_items]}
    (tmp_path / "collection.json").write_text(json.dumps(collection))
    root = {"type": "Catalog", "id": "b", "links": [{"rel": "child", "href": "collection.json"}]}
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    expected = {feature["properties"]["s2:product_uri"].removesuffix(".SAFE") for feature in known}
    for place in ("catalog.json", "collection.json"):
        found = find_scenes(tmp_path / place, WORLD, "2015", "2030")
        assert {item.id for item in found} == expected
        assert len(found) == 7


def test_no_suitable_collection(stac_api: Api, features: Callable) -> None:
    """An API without Level-2A is an error that lists what it offers."""
    url = stac_api(features("earth-search_sentinel-2-l1c"))
    with pytest.raises(CatalogueError, match=r"Sentinel-2 L2A \(found: sentinel-2-l1c\)"):
        find_scenes(url, WORLD, "2015", "2030")


@pytest.mark.parametrize("name", providers.APIS)
def test_known_names(
    stac_api: Api, features: Callable, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A known name searches its own API, in its own collections (here moved to loopback)."""
    url, collections = providers.APIS[name]
    assert url.startswith("https://") and collections
    moved = (stac_api(features("earth-search_sentinel-2-l2a")), ("sentinel-2-l2a",))
    monkeypatch.setitem(providers.APIS, name, moved)
    assert len(find_scenes(name, WORLD, "2015", "2030")) == 7


@pytest.mark.parametrize(
    "troubles",
    [(500,), (429,), (503, 502, 504), ("stall",), ("hang up",), (429, "stall", 500, "hang up")],
)
def test_passing_trouble(troubled: Callable, impatient: None, troubles: tuple) -> None:
    """Errors, refusals, stalls and dropped connections are waited out."""
    api = troubled(*troubles)
    assert len(find_scenes(api.url, WORLD, "2015", "2030")) == 7
    assert api.searches == len(troubles) + 1


@pytest.mark.parametrize(
    ("trouble", "attempts"),
    [(500, 6), ("stall", 6), (404, 1), ("{garbage", 1), ("[1, 2]", 1), ('{"features": 5}', 1)],
)
def test_lasting_trouble(
    troubled: Callable, impatient: None, trouble: int | str, attempts: int
) -> None:
    """What lasts is an error that says where and what to do, after a few attempts."""
    api = troubled(*[trouble] * 20)
    with pytest.raises(CatalogueError, match=f"{api.url} cannot be read.*another source"):
        find_scenes(api.url, WORLD, "2015", "2030")
    assert api.searches == attempts


def test_trouble_on_a_later_page(
    troubled: Callable, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalogue that fails half-way is an error, not half a result."""
    monkeypatch.setattr(catalogue, "_PAGE", 2)
    api = troubled()
    scenes = catalogue.read_url(api.url, (), *everything())
    next(scenes)
    api.troubles.extend([500] * 20)
    with pytest.raises(CatalogueError, match="cannot be read"):
        list(scenes)


def test_nobody_there(impatient: None) -> None:
    """A refused connection is an error that names the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(CatalogueError, match=f"{url} cannot be read"):
        find_scenes(url, WORLD, "2015", "2030")


def test_static_catalogue_over_http(real_data: Path) -> None:
    """A static catalogue on a plain web server is read like one on disk."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: object):
            super().__init__(*args, directory=str(real_data / "stac-l2a-2023"))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        found = find_scenes(f"{url}/catalog.json", WORLD, "2023", "2023")
        assert len(found) == 10
        href = found[0].assets["B04"].href
        assert href == f"{url}/sentinel-2-l2a/S2B_33TWL_20230810_0_L2A/B04.tif"
        assert urllib.request.urlopen(href).status == 200
        server.shutdown()
