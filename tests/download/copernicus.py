"""A server on loopback that behaves as the Copernicus Data Space Ecosystem is documented to.

It is a stand-in: token service, OData catalogue and file nodes, with the faults of the real ones.
"""

import json
import re
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from s2kit.download.service import Service

USER, PASSWORD = "teacher@example.org", "pa ss/wo:rd@7&"

SPOILT = "cut", "cut page", "from the start", "corrupt", "stall", "slow", "ignore range", "more"
"""Faults of the answer that holds a file."""

CODES = {401: "DAT-ZIP-109", 403: "DAT-ZIP-608", 404: "DAT-ZIP-404", 429: "DAT-ZIP-100"}


class Copernicus(ThreadingHTTPServer):
    """Serves the products of a folder.

    Attributes
    ----------
    faults : list of (str, str, int)
        Part of a path, a kind of fault (a status, ``"cut"``, ``"corrupt"``, ``"json"`` …) and how
        many requests it hits.
    hits, asked : collections.Counter
        Requests by fault, and by path.
    lifetime, refresh_lifetime : float
        Of tokens, s.
    most_open, opened : int
        Connections that were open at once, and in all.
    headers : list of str
        What was sent as Authorization.
    location : str
        Where the fault ``"elsewhere"`` leads.
    fill : callable
        Called by the fault ``"fill"``.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: list[tuple[str, str, int]] = []
        self.hits: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.logins: Counter[str] = Counter()
        self.lifetime, self.refresh_lifetime = 600.0, 3600.0
        self.totp = ""
        self.delay = 0.0
        self.tokens: dict[str, float] = {}
        self.refreshers: dict[str, float] = {}
        self.withdrawn: set[str] = set()
        self.headers: list[str] = []
        self.location = ""
        self.fill: Callable[[], None] = lambda: None
        self.guard = threading.Lock()
        self.open = self.most_open = self.opened = 0

    def handle_error(self, request, address):
        """Say nothing of connections that the client has ended."""

    @property
    def url(self) -> str:
        """Root of all its addresses."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def service(self) -> Service:
        """Its addresses, as the kit takes them."""
        return Service(f"{self.url}/token", f"{self.url}/catalogue", f"{self.url}/download")

    def fault_of(self, path: str) -> str:
        """Return what hits this request, and count it."""
        with self.guard:
            self.asked[path] += 1
            for n, (part, kind, times) in enumerate(self.faults):
                if part in path and times:
                    self.faults[n] = (part, kind, times - 1)
                    self.hits[kind] += 1
                    return kind
        return ""

    def record(self, name: str) -> dict:
        """Return a product as the catalogue states it; its sizes and checksums may be unknown."""
        return {
            "@odata.mediaContentType": "application/octet-stream",
            "Id": _identifier(name),
            "Name": name,
            "ContentType": "application/octet-stream",
            "ContentLength": 0,
            "PublicationDate": "2023-08-23T09:26:23.105134Z",
            "Online": True,
            "S3Path": f"/eodata/Sentinel-2/MSI/{name}",
            "Checksum": [{}],
        }

    def give_tokens(self) -> dict:
        """Return the answer of the token service, with new tokens."""
        access, refresh, now = secrets.token_hex(40), secrets.token_hex(40), time.monotonic()
        self.tokens[access] = now + self.lifetime
        self.refreshers[refresh] = now + self.refresh_lifetime
        return {
            "access_token": access,
            "expires_in": self.lifetime,
            "refresh_expires_in": self.refresh_lifetime,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "not-before-policy": 0,
        }


def _identifier(name: str) -> str:
    digits = name.encode().hex().ljust(32, "0")[-32:]
    return "-".join(re.match(r"(.{8})(.{4})(.{4})(.{4})(.{12})", digits).groups())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Copernicus

    def setup(self):
        super().setup()
        with self.server.guard:
            self.server.open += 1
            self.server.opened += 1
            self.server.most_open = max(self.server.most_open, self.server.open)

    def finish(self):
        with self.server.guard:
            self.server.open -= 1
        super().finish()

    def log_message(self, *args):
        """Write no log."""

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        form = {k: v[0] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
        if self._is_hit("/token"):
            return
        kind, server = form.get("grant_type", ""), self.server
        server.logins[kind] += 1
        refused = {"error": "invalid_grant", "error_description": "Invalid user credentials"}
        if form.get("client_id") != "cdse-public":
            self._answer(401, {"error": "invalid_client"})
        elif kind == "refresh_token":
            until = server.refreshers.pop(form.get("refresh_token", ""), 0)
            right = until > time.monotonic()
            self._answer(*((200, server.give_tokens()) if right else (400, refused)))
        else:
            right = (form.get("username"), form.get("password")) == (USER, PASSWORD)
            right = right and form.get("totp", "") == server.totp
            self._answer(*((200, server.give_tokens()) if right else (401, refused)))

    def do_GET(self):
        time.sleep(self.server.delay)
        self.server.headers.append(self.headers.get("Authorization", ""))
        url = urlsplit(self.path)
        if self._is_hit(unquote(self.path)):
            return
        if url.path == "/catalogue/Products":
            self._find(parse_qs(url.query)["$filter"][0])
        elif url.path.startswith("/download/"):
            self._give(url.path)
        else:
            self._answer(404, {"detail": "Not Found"})

    def _find(self, asked: str):
        name = re.fullmatch(r"Name eq '([^']*)'", asked)[1]
        known = (self.server.folder / name).is_dir() and name not in self.server.withdrawn
        self._answer(200, {"value": [self.server.record(name)] if known else []})

    def _give(self, path: str):
        header = self.headers.get("Authorization", "")
        until = self.server.tokens.get(header.removeprefix("Bearer "))
        if until is None or not header.startswith("Bearer "):
            self._answer(401, {"code": "DAT-ZIP-604", "message": "Token not found"})
            return
        if until < time.monotonic():
            self._answer(401, {"code": "DAT-ZIP-109", "message": "Expired signature!"})
            return
        if "'" in unquote(path):
            self._answer(400, {"code": "DAT-ZIP-104", "message": "Bad request"})
            return
        parts = re.findall(r"/Nodes\(([^)]*)\)", unquote(path))
        file = self.server.folder.joinpath(*parts)
        if not (path.endswith("/$value") and file.is_file()) or parts[0] in self.server.withdrawn:
            self._answer(404, {"code": "DAT-ZIP-404", "message": "Not found"})
            return
        self._send_file(file.read_bytes())

    def _send_file(self, content: bytes, fault: str = ""):
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and fault != "ignore range":
            start = int(asked[1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        self.wfile.write(content[start:])

    def _is_hit(self, path: str) -> bool:
        """Answer with a fault if one hits this request."""
        kind = self.server.fault_of(path)
        if kind.isdigit():
            self._answer(int(kind), {"code": CODES.get(int(kind), ""), "message": "as asked for"})
        elif kind == "busy":
            self._answer(429, {"error": "WAF", "detail": "Too many requests"}, {"Retry-After": "1"})
        elif kind == "json":
            self._answer(200, {"code": 200, "message": "maintenance"})
        elif kind == "redirect":
            where = self.path.replace("/download/", "/download//", 1)
            self._answer(302, {}, {"Location": f"{self.server.url}{where}"})
        elif kind == "elsewhere":
            self._answer(302, {}, {"Location": self.server.location})
        elif kind == "forget":
            self.server.tokens.clear()
            return False
        elif kind == "fill":
            self.server.fill()
            return False
        elif kind in (
            "cut",
            "cut page",
            "from the start",
            "corrupt",
            "stall",
            "slow",
            "ignore range",
            "more",
        ):
            self._spoil(kind, path)
        else:
            return False
        return True

    def _spoil(self, kind: str, path: str):
        """Send a file as a server or a connection at fault does."""
        file = self.server.folder.joinpath(*re.findall(r"/Nodes\(([^)]*)\)", path))
        content = bytearray(file.read_bytes())
        if kind == "ignore range":
            self._send_file(bytes(content), kind)
            return
        if kind in ("cut page", "from the start"):  # without a length, whatever range is asked for
            whole = b"<html>maintenance</html>" if kind == "cut page" else bytes(content)
            share = 1.0 if kind == "cut page" else (0.6 if self.server.hits[kind] % 2 else 0.1)
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            self.wfile.write(whole[: int(share * len(whole))])
            return
        if kind == "corrupt":
            content[len(content) // 2] ^= 1
            self._send_file(bytes(content))
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if kind != "more":
            self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if kind == "more":
            self.wfile.write(content[start:] + b"more than there should be")
        elif kind == "cut":
            self.wfile.write(content[start : start + 1 + secrets.randbelow(len(content) - start)])
        else:
            pause = 60 if kind == "stall" else 0.05
            for n in range(start, len(content)):
                self.wfile.write(content[n : n + 1])
                time.sleep(pause)

    def _answer(self, status: int, content: dict, headers: dict[str, str] | None = None):
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(folder: Path) -> Iterator[Copernicus]:
    """Serve the products of a folder while the block runs."""
    server = Copernicus(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def copy_products(source: Path, target: Path, names: list[str]) -> None:
    """Copy products, with the empty folders that the service does not give."""
    for name in names:
        shutil.copytree(source / name, target / name)
        for empty in ("AUX_DATA", "rep_info"):
            (target / name / empty).mkdir(exist_ok=True)
