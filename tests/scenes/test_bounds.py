"""Servers that never come to an end: each is a named error, in bounded time and memory."""

import contextlib
import gzip
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from s2kit import bounds
from s2kit.errors import CatalogueError, SceneWarning
from s2kit.scenes import catalogue, documents, find_scenes, reader

WORLD = (-180, -90, 180, 90)
NAME = "S2A_MSIL2A_20230601T105031_N0509_R051_T31UFT_20230601T135031"

Answer = Callable[[BaseHTTPRequestHandler, int], object]
"""What is said to a request; the number counts up the addresses of an endless catalogue."""


def say(request: BaseHTTPRequestHandler, document: object, **headers: str) -> None:
    """Send a JSON document, or bytes as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    request.send_response(200)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def item(number: int) -> dict:
    """Make an item of its own day."""
    day = f"2023{number // 28 % 12 + 1:02d}{number % 28 + 1:02d}"
    return {
        "type": "Feature",
        "id": NAME.replace("20230601", day),
        "geometry": None,
        "properties": {"datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:50:31Z"},
        "links": [],
        "assets": {"B04": {"href": f"https://example.org/{number}.tif", "raster:offset": -0.1}},
    }


def page(request: BaseHTTPRequestHandler, number: int, following: int) -> None:
    """Send a page of one item, and where the next one is."""
    links = [{"rel": "next", "href": f"{request.server.url}/items?n={following}"}]
    say(request, {"type": "FeatureCollection", "features": [item(number)], "links": links})


def catalog(request: BaseHTTPRequestHandler, number: int, following: int) -> None:
    """Send a catalogue with one child."""
    links = [{"rel": "child", "href": f"{request.server.url}/catalog.json?n={following}"}]
    say(request, {"type": "Catalog", "id": str(number), "links": links})


def drip(request: BaseHTTPRequestHandler, start: bytes) -> None:
    """Send a byte each tenth of a second, for ever."""
    request.wfile.write(start)
    while True:
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(0.1)


BOMB = gzip.compress(b'{"type": "Catalog", "links": [], "x": "' + bytes(2**28) + b'"}')
"""260 kB that unpack to 256 MB."""

ENDLESS: dict[str, tuple[Answer, str]] = {
    "pages without end": (lambda r, n: page(r, n, n + 1), "goes on after 50 documents"),
    "a page that is its own next": (lambda r, n: page(r, n, n), "same page again"),
    "pages in a circle": (lambda r, n: page(r, n, (n + 1) % 5), "same page again"),
    "catalogues without end": (lambda r, n: catalog(r, n, n + 1), "goes on after 50 documents"),
    "a gzip bomb": (lambda r, n: say(r, BOMB, Content_Encoding="gzip"), "more than 128 MB"),
    "a drip of a body": (
        lambda r, n: drip(r, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"),
        "no whole answer within 2 seconds",
    ),
    "a drip of a header": (lambda r, n: drip(r, b"HTTP/1.1 200 OK\r\nX: "), "no whole answer"),
    "a drip in chunks": (
        lambda r, n: [
            r.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            drip(r, b"fffff\r\n{"),
        ],
        "no whole answer",
    ),
    "silence": (lambda r, n: time.sleep(5), "no whole answer"),
}


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Serve an answer to everything, and return its address."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = int(parse_qs(urlsplit(self.path).query).get("n", ["0"])[0])
                with contextlib.suppress(OSError):  # who asked has gone
                    answer(self, number)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless(serve: Callable, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The error says what went on, and comes in time; memory stays within twice the largest."""
    answer, says = ENDLESS[kind]
    url, begin = serve(answer), time.monotonic()
    # so narrow that the test meets them in seconds; a busy machine needs longer for what is large
    monkeypatch.setattr(reader, "PATIENCE", 2.0 if "no whole answer" in says else 60.0)
    monkeypatch.setattr(reader, "MOST", 50)
    tracemalloc.start()
    with pytest.raises(CatalogueError, match=says):
        find_scenes(f"{url}/catalog.json", WORLD, "2023", "2023")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - begin < reader.PATIENCE + 60
    assert most < 2.5 * bounds.LARGEST_JSON


def test_bounds_are_far_from_real_catalogues() -> None:
    """Ten thousand items on pages of a hundred, and answers of a minute, are within the bounds."""
    assert reader.MOST * catalogue._PAGE >= 1_000_000
    assert reader.PATIENCE >= 60
    assert bounds.LARGEST_JSON >= 10_000 * 10_000
    assert documents.MOST_ITEMS >= 100_000


def test_circle_of_links(serve: Callable) -> None:
    """Catalogues that link to each other, and to themselves, come to an end."""

    def answer(request: BaseHTTPRequestHandler, number: int) -> None:
        links = [{"rel": "child", "href": f"{request.server.url}/c?n={n}"} for n in range(3)]
        links.append({"rel": "item", "href": f"{request.server.url}/i?n={number + 10}"})
        document = item(number) if number >= 10 else {"type": "Catalog", "links": links}
        say(request, document)

    assert len(find_scenes(f"{serve(answer)}/c?n=0", WORLD, "2023", "2023")) == 3


@pytest.mark.parametrize("kind", ["file", "pages", "static on disk", "static on a server"])
def test_ten_thousand_items(serve: Callable, tmp_path, kind: str) -> None:
    """All of ten thousand items are found, whichever way they are kept."""
    count = 10_000 if kind in ("file", "pages") else 2_000
    items = [item(n) | {"id": f"{NAME[:-6]}{n:06d}"} for n in range(count)]
    for n, one in enumerate(items):
        minute, second = divmod(n % 3600, 60)
        one["id"] = f"{NAME[:-15]}{20230601 + n // 86400}T{n // 3600:02d}{minute:02d}{second:02d}"
    if kind == "file":
        (tmp_path / "items.json").write_text(json.dumps({"features": items}))
        source = tmp_path / "items.json"
    elif kind == "static on disk":
        for n, one in enumerate(items):
            (tmp_path / f"{n}.json").write_text(json.dumps(one))
        links = [{"rel": "item", "href": f"./{n}.json"} for n in range(count)]
        source = tmp_path / "catalog.json"
        source.write_text(json.dumps({"type": "Catalog", "links": links}))
    else:

        def answer(request: BaseHTTPRequestHandler, number: int) -> None:
            own = urlsplit(request.path).path
            if own == "/item":
                return say(request, items[number])
            if kind == "pages":
                following = [{"rel": "next", "href": f"{request.server.url}/?n={number + 100}"}]
                features = items[number : number + 100]
                links = following if number + 100 < count else []
                return say(request, {"features": features, "links": links, "numberMatched": count})
            links = [{"rel": "item", "href": f"/item?n={n}"} for n in range(count)]
            return say(request, {"type": "Catalog", "links": links})

        source = f"{serve(answer)}/"
    found = find_scenes(source, WORLD, "2023", "2023")
    assert len(found) == count


def link(relation: str, href: str) -> bytes:
    """Return a catalogue with one link."""
    return json.dumps({"type": "Catalog", "links": [{"rel": relation, "href": href}]}).encode()


@pytest.mark.parametrize("relation", ["item", "child", "items"])
def test_files_that_a_server_names(serve: Callable, tmp_path, relation: str) -> None:
    """A server cannot have a file of this computer read, nor have its hrefs believed."""
    private = item(1) | {"assets": {"B04": {"href": str(tmp_path / "private.tif")}}}
    (tmp_path / "item.json").write_text(json.dumps(private))
    for href in (f"file://{tmp_path}/item.json", "file:///dev/zero"):
        url = serve(lambda r, n, href=href: say(r, link(relation, href)))
        found = find_scenes(f"{url}/catalog.json", WORLD, "2023", "2023")
        assert len(found) == 0 and "private" not in str(found.to_dict())


def test_next_page_that_is_a_file_of_this_computer(serve: Callable, tmp_path) -> None:
    """It is not read either, and since a page is missing then, that is an error."""
    (tmp_path / "page.json").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    links = [{"rel": "next", "href": f"file://{tmp_path}/page.json"}]
    document = {"type": "FeatureCollection", "features": [item(1)], "links": links}
    url = serve(lambda r, n: say(r, document))
    with pytest.raises(CatalogueError, match="no http"):
        find_scenes(f"{url}/items.json", WORLD, "2023", "2023")


@pytest.mark.parametrize("remote", [True, False])
def test_empty_page_that_is_its_own_next(serve: Callable, tmp_path, remote: bool) -> None:
    """Pages without items are compared too."""
    links = [{"rel": "next", "href": "catalog.json"}]
    document = {"type": "FeatureCollection", "features": [], "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(document))
    place = serve(lambda r, n: say(r, document)) if remote else str(tmp_path)
    with pytest.raises(CatalogueError, match="same page again"):
        find_scenes(f"{place}/catalog.json", WORLD, "2023", "2023")


def test_catalogue_that_names_no_files(tmp_path) -> None:
    """A pipe or a device is not read, which would never end."""
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("pipe.json", "/dev/zero"):
        (tmp_path / "catalog.json").write_bytes(link("item", name))
        with pytest.warns(SceneWarning, match="not a file"):
            found = find_scenes(str(tmp_path / "catalog.json"), WORLD, "2023", "2023")
        assert "not a file" in str(found.extra_fields)
        with pytest.raises(CatalogueError, match="not a file"):
            (tmp_path / "catalog.json").write_bytes(link("child", name))
            find_scenes(str(tmp_path / "catalog.json"), WORLD, "2023", "2023")


def test_documents_of_too_many_values(tmp_path) -> None:
    """Empty lists in a row take forty times their bytes in memory."""
    (tmp_path / "catalog.json").write_text('{"type": "Catalog", "x": [' + "[]," * 2_100_000 + "0]}")
    with pytest.raises(CatalogueError, match="more than 2,000,000 values"):
        find_scenes(str(tmp_path / "catalog.json"), WORLD, "2023", "2023")


def test_one_odd_item_ends_no_search(tmp_path) -> None:
    """Numbers without end and shapes nested without end cost their own scene, not the others."""
    deep = json.loads("[" * 900 + "]" * 900)
    cloudy, nested, fine = item(1), item(2), item(3)
    cloudy["properties"]["eo:cloud_cover"] = 10**400
    nested["geometry"] = {"type": "Polygon", "coordinates": deep}
    document = {"type": "FeatureCollection", "features": [cloudy, nested, fine]}
    (tmp_path / "items.json").write_text(json.dumps(document))
    with pytest.warns(SceneWarning, match="its geometry is no GeoJSON"):
        found = find_scenes(str(tmp_path / "items.json"), WORLD, "2023", "2023")
    assert {one.id for one in found} == {cloudy["id"], fine["id"]}
    assert [one["scene"] for one in found.extra_fields["s2kit:refused"]] == [nested["id"]]


def test_api_without_collections(serve: Callable) -> None:
    """An answer that holds something else is named, not an error of the library that reads it."""

    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        url = request.server.url
        if request.path.startswith("/collections"):
            say(request, {"type": "FeatureCollection", "features": [{"id": "a"}], "links": []})
            return
        links = {"self": url, "root": url, "search": f"{url}/search", "data": f"{url}/collections"}
        core = "https://api.stacspec.org/v1.0.0"
        root = {"type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "an API"}
        conforms = [f"{core}/core", f"{core}/collections", f"{core}/item-search"]
        linked = [{"rel": name, "href": href} for name, href in links.items()]
        say(request, root | {"conformsTo": conforms, "links": linked})

    with pytest.raises(CatalogueError, match="cannot be read"):
        find_scenes(serve(answer), WORLD, "2023", "2023")
