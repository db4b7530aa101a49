"""Ask a service for products and their files, within the limits that it states for an account.

Sources: documentation of the Copernicus Data Space Ecosystem, "OData" and "Quotas and Limitations".
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import HTTPError, InvalidHeader

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

_BUSY = (429, 500, 502, 503, 504)
"""Statuses after which a service is asked again."""

_LONGEST_WAIT = 120.0
"""Seconds that are waited at most where a service says when to ask again."""

_ATTEMPTS = 6
"""Attempts at a request, or at a file without progress between them."""

_PROGRESS = 2**20
"""Bytes, or a tenth of a file: after them, attempts are counted anew."""

_SLOWEST = (2**16, 30.0)
"""Bytes and seconds: a connection that brings fewer in that time is given up."""

_PIECE = 2**17
_LARGEST_ANSWER = 2**23
_REDIRECTS = 5
_HOSTS = 16
"""Hosts whose connections are kept: with fewer, each would be counted anew when it comes back."""
_BROKEN = (requests.RequestException, HTTPError)


class TransferError(Exception):
    """One file or product cannot be downloaded; others can."""


class StoppedError(Exception):
    """The download was stopped by the caller."""


class _BusyError(requests.RequestException):
    """The service answers that it is busy, or fails; ``seconds`` later it may be asked again."""

    def __init__(self, reason: str, seconds: float):
        super().__init__(reason)
        self.seconds = seconds


class _RangeError(requests.RequestException):
    """The service refuses to give the rest of a file."""


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
        adapter = HTTPAdapter(_HOSTS, CONNECTIONS, pool_block=True)
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
            If the catalogue cannot be reached.
        TransferError
            If its answer is nonsense.
        """
        wanted = quote(f"Name eq '{name}'")
        url = f"{self.service.catalogue}/Products?$filter={wanted}"

        def ask() -> bytes:
            with self._send(url, {}) as response:
                if response.status_code != requests.codes.ok:
                    raise ValueError(f"{response.status_code}: {self._error_text(response)}")
                return self._read(response)

        try:
            records = parse_json(self._repeat(ask))["value"]
            found = [one for one in records if one["Name"] == name and one["Id"]]
        except _BROKEN as error:
            raise DownloadError(
                f"{self.service.catalogue} cannot be reached ({_short(error)}). Check the "
                "connection, or try again later"
            ) from shown_cause(error)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TransferError(f"the catalogue's answer is none ({_short(error)})") from error
        return max(found, key=_preference, default=None)

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

        def ask() -> bytes:
            with self._open(url, {}) as response:
                return self._read(response)

        try:
            return self._repeat(ask)
        except _BROKEN as error:
            raise TransferError(f"{_short(error)}, after {_ATTEMPTS} attempts") from error
        except ValueError as error:
            raise TransferError(str(error)) from error

    def _repeat(self, ask: Callable[[], bytes]) -> bytes:
        """Return an answer, asked for again after failures that may pass."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return ask()
            except _BROKEN as error:
                self._pause(attempt, error)
        return ask()

    def download(self, url: str, path: Path, size: int, *, resume: bool) -> None:
        """Download a file, or the rest of one that has arrived in part.

        Parameters
        ----------
        url : str
        path : pathlib.Path
        size : int
            Of the whole file, bytes. More is never written.
        resume : bool
            Continue what is there; else each attempt begins anew.

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
        if path.stat().st_size > size:  # no part of this file
            path.write_bytes(b"")
        attempt, best = 0, path.stat().st_size
        while path.stat().st_size < size:
            if not resume:
                path.write_bytes(b"")
            failure: Exception = requests.ConnectionError("the connection ends early")
            try:
                self._append(url, path, size)
            except _BROKEN as error:
                failure = error
            have = path.stat().st_size
            if have >= best + min(_PROGRESS, size / 10):
                attempt, best = 0, have
            elif have < size:
                attempt += 1
                if attempt == _ATTEMPTS:
                    raise TransferError(f"{_short(failure)}, after {_ATTEMPTS} attempts")
                self._pause(attempt, failure)

    def _append(self, url: str, path: Path, size: int) -> None:
        """Ask for what is missing of a file, and write what arrives."""
        have = path.stat().st_size
        try:
            with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
                self._write(response, path, have, size)
        except _RangeError:
            self._arrived(-have)
            path.write_bytes(b"")
            raise

    def _write(self, response: requests.Response, path: Path, have: int, size: int) -> None:
        start = 0
        if response.status_code == requests.codes.partial_content:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise _RangeError("the server gives another range than was asked for")
            start = have
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and start + int(announced) != size:
            raise requests.HTTPError(
                f"the server announces {start + int(announced)} bytes, where the product's "
                f"manifest states {size}"
            )
        self._arrived(start - have)
        begin = start
        with path.open("r+b") as file:
            file.truncate(start)
            file.seek(start)
            for piece in self._pieces(response):
                file.write(piece[: size - start])
                self._arrived(min(len(piece), size - start))
                start += len(piece)
                if start >= size:
                    return
            if not announced:  # what ended early may be another document, whole
                self._arrived(begin - start)
                file.truncate(begin)

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

    def _error_text(self, response: requests.Response) -> str:
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
            trusted = self.service.is_trusted(url)
            own = {"Authorization": f"Bearer {token}"} if trusted else {}
            with self._send(url, own | headers) as response:
                expired = response.status_code == requests.codes.unauthorized
                target = response.headers["Location"] if response.is_redirect else None
                if target is None and not (expired and trusted and not renewed):
                    self._require(response, trusted)
                    yield response
                    return
            # The connection is free again here: a new token may need one.
            if target is None:
                token, renewed = self._login.token(refused=token), True
            else:
                url = _followed(url, target)
        raise TransferError("the server leads from one address to the next without end")

    def _require(self, response: requests.Response, trusted: bool) -> None:
        """Raise the error that an answer without a file stands for."""
        status = response.status_code
        if status in (requests.codes.ok, requests.codes.partial_content):
            return
        reason = f"{status}: {self._error_text(response)}"
        host = urlsplit(response.url).hostname
        if status in (401, 403) and not trusted:
            raise DownloadError(
                f"the service leads to {host}, which is none of the hosts that get the token "
                f"({reason}); where it may be trusted, add it to `others` of the Service"
            )
        if status == requests.codes.unauthorized:
            raise DownloadError(f"{host} does not accept the token of this account ({reason})")
        if status == requests.codes.forbidden:
            raise DownloadError(
                f"{host} refuses this account ({reason}). Its quota may be used up: try again "
                "later. What has arrived is kept"
            )
        if status in (404, 410):
            raise TransferError(f"it is no longer there ({reason})")
        if status == requests.codes.requested_range_not_satisfiable:
            raise _RangeError("the server refuses to continue a file")
        raise requests.HTTPError(f"the server answers {reason}")

    def _post(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        """Send a form. It is sent again only if it was not read: each login is a session."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._send(url, {}, form) as response:
                    return response.status_code, self._read(response)
            except (*_BROKEN, ValueError) as error:
                unread = isinstance(error, _BusyError | requests.ConnectTimeout)
                if not unread or attempt == _ATTEMPTS:
                    raise DownloadError(
                        f"{self.service.identity} cannot be reached ({_short(error)}). Check the "
                        "connection, or try again later"
                    ) from shown_cause(error)
                self._pause(attempt, error)
        raise AssertionError

    def _send(
        self, url: str, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> requests.Response:
        with self._pace:
            wait = self._next - time.monotonic()
            self._next = max(self._next, time.monotonic()) + _PACE
        self._wait(wait)
        try:
            response = self._session.request(
                "POST" if form else "GET",
                url,
                data=form,
                headers=headers,
                auth=_as_it_is,
                stream=True,
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException:
            raise
        except ValueError as error:  # requests reads the address of a redirect, also unasked
            raise TransferError(f"the server leads to no address ({error})") from error
        except OSError as error:  # of certificates, not of the archive
            raise DownloadError(f"no connection can be made ({error})") from shown_cause(error)
        if response.status_code in _BUSY:
            with response:
                reason = f"{response.status_code}: {self._error_text(response)}"
            raise _BusyError(reason, _seconds_to_wait(response))
        return response

    def _pause(self, attempt: int, failure: Exception) -> None:
        """Wait before another attempt: longer each time, and as long as the service asks for."""
        asked = failure.seconds if isinstance(failure, _BusyError) else 0.0
        self._wait(max(_backoff(attempt), asked))

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(max(seconds, 0)):
            raise StoppedError


def _backoff(attempt: int) -> float:
    """Return how long to wait after an attempt, s: 0.5 to 1, 1 to 2, …, 8 to 16."""
    return 2.0**attempt * random.uniform(0.25, 0.5)


def _seconds_to_wait(response: requests.Response) -> float:
    """Return how long a service asks to wait (Retry-After), s; 0 where it says nothing."""
    stated = response.headers.get("Retry-After", "")
    with suppress(ValueError, TypeError, InvalidHeader):
        return min(max(Retry().parse_retry_after(stated), 0.0), _LONGEST_WAIT)
    return 0.0


def _followed(url: str, target: str) -> str:
    """Return where a redirect leads; TransferError if to nothing that can be asked."""
    try:
        found = urljoin(url, target)
        if urlsplit(found).scheme in ("http", "https"):
            return found
    except ValueError:
        pass
    raise TransferError(f"the server leads to {without_credentials(target)!r:.200}")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no login: without this, requests would send the one in ``.netrc`` in place of ours."""
    return request


def _preference(record: Json) -> tuple[bool, str]:
    """Return a sort key: a product that is online goes before one that is not, then the newest."""
    return bool(record.get("Online", True)), str(record.get("PublicationDate"))


def _short(text: object) -> str:
    return " ".join(without_credentials(str(text)).split())[:200]
