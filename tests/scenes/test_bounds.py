"""Servers that never come to an end: each is a named error, in bounded time and memory."""

import contextlib
import gzip
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from s2kit.errors import CatalogueError
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


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the limits so narrow that a test meets them in seconds."""
    monkeypatch.setattr(reader, "PATIENCE", 2.0)
    monkeypatch.setattr(reader, "MOST", 50)


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless(serve: Callable, narrow: None, kind: str) -> None:
    """The error says what went on, and comes in time; memory stays within twice the largest."""
    answer, says = ENDLESS[kind]
    url = serve(answer)
    begin = time.monotonic()
    tracemalloc.start()
    with pytest.raises(CatalogueError, match=says):
        find_scenes(f"{url}/catalog.json", WORLD, "2023", "2023")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - begin < 20
    assert most < 2.5 * reader.LARGEST


def test_bounds_are_far_from_real_catalogues() -> None:
    """Ten thousand items on pages of a hundred, and answers of a minute, are within the bounds."""
    assert reader.MOST * catalogue._PAGE >= 1_000_000
    assert reader.PATIENCE >= 60
    assert reader.LARGEST >= 10_000 * 10_000
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
