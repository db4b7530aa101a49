"""Ask a service for products and their files, within the limits that it states for an account.

Sources: documentation of the Copernicus Data Space Ecosystem, "OData" and "Quotas and Limitations".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from s2kit.bounds import parse_json
from s2kit.credentials import shown_cause, without_credentials
from s2kit.download.login import Login
from s2kit.download.service import Service
from s2kit.errors import DownloadError

Json = dict[str, Any]

CONNECTIONS = 4
"""Connections of one account at a time."""

_PACE = 60 / 2_000
"""Seconds between two requests: an account may send 2 000 a minute."""

_TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""

_RETRIES = Retry(
    total=6,
    backoff_factor=0.5,
    backoff_jitter=0.5,
    backoff_max=30,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # asking for a token is a POST
    retry_after_max=120,
    raise_on_status=False,
)
"""How often to ask again after a time-out, a refusal or a server's error."""

_ATTEMPTS = 5
"""Attempts at a file without progress between them."""

_PROGRESS = 2**20
"""Bytes, or a tenth of a file: after them, attempts are counted anew."""

_SLOWEST = (2**16, 30.0)
"""Bytes and seconds: a connection that brings fewer in that time is given up."""

_PIECE = 2**17
_LARGEST_ANSWER = 2**23
_REDIRECTS = 5
_EXPIRED = 401
_BROKEN = (requests.RequestException, HTTPError)


class TransferError(Exception):
    """One file or product cannot be downloaded; others can."""


class StoppedError(Exception):
    """The download was stopped by the caller."""


class Client:
    """A client of one service and account. Its methods may be called from many threads.

    Parameters
    ----------
    service : Service
    arrived : callable
        Called with the number of bytes that were written, or with a negative one when bytes were
        discarded.
    """

    def __init__(self, service: Service, arrived: Callable[[int], object]):
        self.service = service
        self._stopped = threading.Event()
        self._arrived = arrived
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        adapter = HTTPAdapter(1, CONNECTIONS, _RETRIES, pool_block=True)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)
        self._login = Login(service, self._post)
        self._pace, self._next = threading.Lock(), 0.0

    def stop(self) -> None:
        """End the downloads that run, in other threads, as soon as they can."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections. Threads that wait for one would wait for ever: stop them first."""
        self._session.close()

    def find_product(self, name: str) -> Json | None:
        """Return the catalogue's record of a product; None if it has none of that name.

        Parameters
        ----------
        name : str
            With ``.SAFE``.

        Raises
        ------
        DownloadError
            If the catalogue cannot be reached, or answers nonsense.
        """
        wanted = quote(f"Name eq '{name}'")
        url = f"{self.service.catalogue}/Products?$filter={wanted}"
        try:
            with self._send(url, {}) as response:
                if response.status_code != requests.codes.ok:
                    raise ValueError(f"status {response.status_code}: {self._said(response)}")
                records = parse_json(self._read(response))["value"]
            found = [one for one in records if one["Name"] == name and one["Id"]]
            return max(found, key=_preference, default=None)
        except (*_BROKEN, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DownloadError(
                f"{self.service.catalogue} gives no usable answer ({_short(error)}). Check the "
                "connection, or try again later"
            ) from shown_cause(error)

    def url(self, record: Json, path: str) -> str:
        """Return the address of a file of a product."""
        nodes = "".join(f"/Nodes({quote(part)})" for part in (record["Name"], *path.split("/")))
        return f"{self.service.download}/Products({quote(str(record['Id']))}){nodes}/$value"

    def read(self, url: str) -> bytes:
        """Read a small file.

        Raises
        ------
        TransferError
            If it cannot be had.
        DownloadError
            If the service refuses the account.
        """
        for attempt in range(_ATTEMPTS):
            self._wait(_pause(attempt))
            try:
                with self._open(url, {}) as response:
                    return self._read(response)
            except _BROKEN as error:
                failure = _short(error)
            except ValueError as error:
                raise TransferError(str(error)) from error
        raise TransferError(f"{failure}, after {_ATTEMPTS} attempts")

    def download(self, url: str, path: Path, size: int) -> None:
        """Download a file, or the rest of one that has arrived in part.

        Parameters
        ----------
        url : str
        path : pathlib.Path
            What is there already is continued.
        size : int
            Of the whole file, bytes. More is never written.

        Raises
        ------
        TransferError
            If it cannot be had.
        DownloadError
            If the service refuses the account.
        OSError
            If the disk cannot be written.
        """
        path.touch()
        attempt, failure = 0, "the connection ends early"
        while (before := path.stat().st_size) < size:
            if attempt == _ATTEMPTS:
                raise TransferError(f"{failure}, after {_ATTEMPTS} attempts")
            self._wait(_pause(attempt))
            try:
                self._append(url, path, size)
            except _BROKEN as error:
                failure = _short(error)
            gained = path.stat().st_size - before
            attempt = 0 if gained >= min(_PROGRESS, size / 10) else attempt + 1
        if path.stat().st_size > size:
            path.unlink()
            raise TransferError(f"{path.name} was larger than the {size} bytes that it should have")

    def _append(self, url: str, path: Path, size: int) -> None:
        """Ask for what is missing of a file, and write what arrives."""
        have = path.stat().st_size
        with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
            start = 0
            if response.status_code == requests.codes.partial_content:
                if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                    raise requests.HTTPError("the server gives another range than was asked for")
                start = have
            announced = response.headers.get("Content-Length", "")
            if announced.isdigit() and start + int(announced) != size:
                raise requests.HTTPError(
                    f"the server announces {start + int(announced)} bytes, where the product's "
                    f"manifest states {size}"
                )
            self._arrived(start - have)
            with path.open("r+b") as file:
                file.truncate(start)
                file.seek(start)
                for piece in self._pieces(response):
                    file.write(piece[: size - start])
                    self._arrived(min(len(piece), size - start))
                    start += len(piece)
                    if start >= size:
                        return

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        """Yield what arrives, as it arrives; raise Timeout if it arrives too slowly."""
        least, seconds = _SLOWEST
        since, arrived = time.monotonic(), 0
        while piece := response.raw.read1(_PIECE):  # read would wait for all of them
            if self._stopped.is_set():
                raise StoppedError
            yield piece
            arrived += len(piece)
            if time.monotonic() - since > seconds:
                if arrived < least:
                    raise requests.Timeout(f"only {arrived} bytes arrived in {seconds:g} seconds")
                since, arrived = time.monotonic(), 0

    def _read(self, response: requests.Response) -> bytes:
        """Read a small answer; ConnectionError if it ends early, ValueError if it is too large."""
        content = bytearray()
        for piece in self._pieces(response):
            content += piece
            if len(content) > _LARGEST_ANSWER:
                raise ValueError(f"the answer has more than {_LARGEST_ANSWER // 2**20} MB")
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and len(content) < int(announced):
            raise requests.ConnectionError(f"{len(content)} of {announced} bytes arrived")
        return bytes(content)

    def _said(self, response: requests.Response) -> str:
        """Return what an answer says of an error, in short."""
        try:
            found = parse_json(self._read(response))
            said = found.get("message") or found.get("detail") or found.get("error")
            return _short(f"{found.get('code', '')} {said}")
        except (*_BROKEN, ValueError, AttributeError, RecursionError):
            return _short(response.reason)

    @contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Ask for a file in the name of the account, and follow to where it lies."""
        token, renewed = self._login.token(), False
        for _ in range(_REDIRECTS):
            with self._send(url, self._authorised(url, token) | headers) as response:
                expired = response.status_code == _EXPIRED and not renewed
                target = response.headers["Location"] if response.is_redirect else None
                if not expired and target is None:
                    self._require(response)
                    yield response
                    return
            # The connection is free again here: a new token may need one.
            if target is None:
                token, renewed = self._login.token(refused=token), True
                continue
            url = urljoin(url, target)
            if urlsplit(url).scheme not in ("http", "https"):
                raise TransferError(f"the server leads to {without_credentials(url):.200}")
        raise TransferError("the server leads from one address to the next without end")

    def _authorised(self, url: str, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"} if self.service.is_trusted(url) else {}

    def _require(self, response: requests.Response) -> None:
        """Raise the error that an answer without a file stands for."""
        status = response.status_code
        if status in (requests.codes.ok, requests.codes.partial_content):
            return
        reason = f"{status}: {self._said(response)}"
        if status in (401, 403):
            raise DownloadError(
                f"{urlsplit(response.url).hostname} refuses this account ({reason}). Its quota may "
                "be used up, or its session be ended; try again later. What has arrived is kept"
            )
        if status in (404, 410):
            raise TransferError(f"it is no longer there ({reason})")
        if status == requests.codes.requested_range_not_satisfiable:
            raise requests.exceptions.ChunkedEncodingError("the server refuses to continue a file")
        raise requests.HTTPError(f"the server answers {reason}")

    def _post(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        try:
            with self._send(url, {}, form) as response:
                return response.status_code, self._read(response)
        except (*_BROKEN, ValueError) as error:
            raise DownloadError(
                f"{self.service.identity} cannot be reached ({_short(error)}). Check the "
                "connection, or try again later"
            ) from shown_cause(error)

    def _send(
        self, url: str, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> requests.Response:
        with self._pace:
            wait = self._next - time.monotonic()
            self._next = max(self._next, time.monotonic()) + _PACE
        self._wait(wait)
        return self._session.request(
            "POST" if form else "GET",
            url,
            data=form,
            headers=headers,
            auth=_as_it_is,
            stream=True,
            timeout=_TIMEOUT,
            allow_redirects=False,
        )

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(max(seconds, 0)):
            raise StoppedError


def _pause(attempt: int) -> float:
    """Return how long to wait before an attempt, s."""
    return 2.0**attempt / 2 if attempt else 0.0


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no login: without this, requests would send the one in ``.netrc`` in place of ours."""
    return request


def _preference(record: Json) -> tuple[bool, str]:
    """Return a sort key: a product that is online goes before one that is not, then the newest."""
    return bool(record.get("Online", True)), str(record.get("PublicationDate"))


def _short(text: object) -> str:
    return " ".join(without_credentials(str(text)).split())[:200]
