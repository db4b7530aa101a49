"""Plain http servers on loopback: one that is well, and one whose files fail as real ones do."""

import functools
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def plain_server(folder: Path) -> Iterator[str]:
    """Serve a folder as ``python -m http.server`` does, and give the address."""
    handler = functools.partial(_Quiet, directory=folder)
    with _running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@contextmanager
def python_server(folder: Path) -> Iterator[str]:
    """Serve a folder by ``python -m http.server`` itself, and give the address."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            yield re.search(r"http://[\d.:]+", server.stdout.readline())[0]
        finally:
            server.terminate()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Write no log."""


class FaultyServer(ThreadingHTTPServer):
    """Serves byte ranges of a folder's files; each file may have a fault.

    Attributes
    ----------
    faults : dict of str to (str, int)
        Part of a path to a kind of fault (a status code, ``"stall"``, ``"cut"``) and how many
        requests it hits.
    hits : collections.Counter
        Requests by kind of fault; ``"ok"`` are the others.
    asked : collections.Counter
        Requests by path.
    fail_after : int or None
        From so many good answers on, there is only ``"500"``.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Ranges)
        self.folder = folder
        self.faults: dict[str, tuple[str, int]] = {}
        self.hits: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.fail_after: int | None = None
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        """Address of the folder."""
        return f"http://127.0.0.1:{self.server_port}"

    def fault_of(self, path: str) -> str:
        """Return what hits this request, and count it."""
        self.asked[path] += 1
        over = self.fail_after is not None and self.hits["ok"] >= self.fail_after
        kind = "500" if over else "ok"
        for part, (fault, times) in self.faults.items():
            if part in path and self.hits[fault] < times:
                kind = fault
        self.hits[kind] += 1
        return kind

    def handle_error(self, *args):
        """Ignore clients that give up: these tests are about them."""


class _Ranges(BaseHTTPRequestHandler):
    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._serve(with_body=False)

    def do_GET(self):
        self._serve(with_body=True)

    def log_message(self, *args):
        """Write no log."""

    def _serve(self, *, with_body: bool) -> None:
        fault = self.server.fault_of(self.path)
        if fault.isdigit():
            self.send_error(int(fault))
            return
        file = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data = self._head(file.read_bytes())
        if with_body:
            self._body(data, fault)

    def _head(self, data: bytes) -> bytes:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self.send_response(200)
        else:
            first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first : last + 1]
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return data

    def _body(self, data: bytes, fault: str) -> None:
        self.wfile.write(data if fault == "ok" else data[:100])
        self.wfile.flush()
        if fault == "stall":
            self.server.stopping.wait(30)
        if fault != "ok":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def faulty_server(folder: Path) -> Iterator[FaultyServer]:
    """Run a `FaultyServer`."""
    server = FaultyServer(folder)
    with _running(server):
        try:
            yield server
        finally:
            server.stopping.set()


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def refused_address() -> str:
    """Return an address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def wait_for(url: str) -> None:
    """Wait until a server answers anything."""
    host, port = url.removeprefix("http://").split(":")
    for _ in range(400):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nobody listens at {url}")
