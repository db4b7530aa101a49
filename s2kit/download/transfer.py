"""Ask a service for products and their files.

Source: documentation of the Copernicus Data Space Ecosystem, "OData".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests

from s2kit.bounds import parse_json
from s2kit.credentials import shown_cause, without_credentials
from s2kit.download.connections import (
    ATTEMPTS,
    BROKEN,
    BusyError,
    Connections,
    TransferError,
    short,
)
from s2kit.download.login import Login
from s2kit.download.service import Service
from s2kit.errors import DownloadError

Json = dict[str, Any]

_PROGRESS = 2**20
"""Bytes, or a tenth of a file: after them, attempts are counted anew."""

_REDIRECTS = 5


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
        self._arrived = arrived
        self._connections = Connections()
        self._login = Login(service, self._post)

    def stop(self) -> None:
        """End the downloads that run, in other threads, as soon as they can."""
        self._connections.stop()

    def close(self) -> None:
        """Close the connections; the threads that use them must have ended."""
        self._connections.close()

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
            If its answer cannot be used.
        """
        wanted = quote(f"Name eq '{name}'")
        url = f"{self.service.catalogue}/Products?$filter={wanted}"

        def ask() -> bytes:
            with self._connections.send(url, {}) as response:
                if response.status_code != requests.codes.ok:
                    raise ValueError(
                        f"{response.status_code}: {self._connections.error_text(response)}"
                    )
                return self._connections.read(response)

        try:
            records = parse_json(self._connections.repeat(ask))["value"]
            found = [one for one in records if one["Name"] == name and one["Id"]]
        except BROKEN as error:
            raise DownloadError(
                f"{self.service.catalogue} cannot be reached ({short(error)}). Check the "
                "connection, or try again later"
            ) from shown_cause(error)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TransferError(f"the catalogue gives no usable answer ({short(error)})") from error
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
                return self._connections.read(response)

        try:
            return self._connections.repeat(ask)
        except BROKEN as error:
            raise TransferError(f"{short(error)}, after {ATTEMPTS} attempts") from error
        except ValueError as error:
            raise TransferError(str(error)) from error

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
            except BROKEN as error:
                failure = error
            have = path.stat().st_size
            if have >= best + min(_PROGRESS, size / 10):
                attempt, best = 0, have
            elif have < size:
                attempt += 1
                if attempt == ATTEMPTS:
                    raise TransferError(f"{short(failure)}, after {ATTEMPTS} attempts")
                self._connections.pause(attempt, failure)

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
            for piece in self._connections.pieces(response):
                file.write(piece[: size - start])
                self._arrived(min(len(piece), size - start))
                start += len(piece)
                if start >= size:
                    return
            if not announced:  # what ended early may be another document, whole
                self._arrived(begin - start)
                file.truncate(begin)

    @contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Ask for a file in the name of the account, and follow to where it lies."""
        token, renewed = self._login.token(), False
        for _ in range(_REDIRECTS):
            trusted = self.service.is_trusted(url)
            own = {"Authorization": f"Bearer {token}"} if trusted else {}
            with self._connections.send(url, own | headers) as response:
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
        reason = f"{status}: {self._connections.error_text(response)}"
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
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._connections.send(url, {}, form) as response:
                    return response.status_code, self._connections.read(response)
            except (*BROKEN, ValueError) as error:
                unread = isinstance(error, BusyError | requests.ConnectTimeout)
                if not unread or attempt == ATTEMPTS:
                    raise DownloadError(
                        f"{self.service.identity} cannot be reached ({short(error)}). Check the "
                        "connection, or try again later"
                    ) from shown_cause(error)
                self._connections.pause(attempt, error)


def _followed(url: str, target: str) -> str:
    """Return where a redirect leads; TransferError if to nothing that can be asked."""
    try:
        found = urljoin(url, target)
        if urlsplit(found).scheme in ("http", "https"):
            return found
    except ValueError:
        pass
    raise TransferError(f"the server leads to {without_credentials(target)!r:.200}")


def _preference(record: Json) -> tuple[bool, str]:
    """Return a sort key: a product that is online goes before one that is not, then the newest."""
    return bool(record.get("Online", True)), str(record.get("PublicationDate"))
