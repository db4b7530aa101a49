"""Send requests to a service within the limits that it states for an account.

Sources: documentation of the Copernicus Data Space Ecosystem, "Quotas and Limitations".
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import HTTPError, InvalidHeader

from s2kit.bounds import parse_json
from s2kit.credentials import shown_cause, without_credentials
from s2kit.errors import DownloadError

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

ATTEMPTS = 6
"""Attempts at a request, or at a file without progress between them."""

_HOSTS = 16
"""Hosts whose connections are kept: with fewer, each would be counted anew when it comes back."""
_SLOWEST = (2**16, 30.0)
"""Bytes and seconds: a connection that brings fewer in that time is given up."""

_PIECE = 2**17
_LARGEST_ANSWER = 2**23
BROKEN = (requests.RequestException, HTTPError)


class TransferError(Exception):
    """One file or product cannot be downloaded; others can."""


class StoppedError(Exception):
    """The download was stopped by the caller."""


class BusyError(requests.RequestException):
    """The service answers that it is busy, or fails; ``seconds`` later it may be asked again."""

    def __init__(self, reason: str, seconds: float):
        super().__init__(reason)
        self.seconds = seconds


class Connections:
    """The connections of one account. Its methods may be called from many threads."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        adapter = HTTPAdapter(_HOSTS, CONNECTIONS, pool_block=True)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)
        self._pace, self._next = threading.Lock(), 0.0

    def stop(self) -> None:
        """End the requests that run, in other threads, as soon as they can."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections. Threads that wait for one would wait for ever: stop them first."""
        self._session.close()

    def send(
        self, url: str, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> requests.Response:
        """Send a request, a form if one is given; return the answer, whose body is still to come.

        Raises
        ------
        requests.RequestException, urllib3.exceptions.HTTPError
            If it fails in a way that may pass; `BusyError` if the service says so.
        DownloadError
            If no connection can be made at all.
        TransferError
            If the answer leads to nothing that is an address.
        """
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
                auth=_without_login,
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
                reason = f"{response.status_code}: {self.error_text(response)}"
            raise BusyError(reason, _seconds_to_wait(response))
        return response

    def pause(self, attempt: int, failure: Exception) -> None:
        """Wait before another attempt: longer each time, and as long as the service asks for."""
        asked = failure.seconds if isinstance(failure, BusyError) else 0.0
        self._wait(max(_backoff(attempt), asked))

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(max(seconds, 0)):
            raise StoppedError

    def pieces(self, response: requests.Response) -> Iterator[bytes]:
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

    def read(self, response: requests.Response) -> bytes:
        """Read a small answer; ConnectionError if it ends early, ValueError if it is too large."""
        content = bytearray()
        for piece in self.pieces(response):
            content += piece
            if len(content) > _LARGEST_ANSWER:
                raise ValueError(f"the answer has more than {_LARGEST_ANSWER // 2**20} MB")
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and len(content) < int(announced):
            raise requests.ConnectionError(f"{len(content)} of {announced} bytes arrived")
        return bytes(content)

    def error_text(self, response: requests.Response) -> str:
        """Return what an answer says of an error, in short."""
        try:
            found = parse_json(self.read(response))
            said = found.get("message") or found.get("detail") or found.get("error")
            return short(f"{found.get('code', '')} {said}")
        except (*BROKEN, ValueError, AttributeError, RecursionError):
            return short(response.reason)

    def repeat(self, ask: Callable[[], bytes]) -> bytes:
        """Return an answer, asked for again after failures that may pass."""
        for attempt in range(1, ATTEMPTS):
            try:
                return ask()
            except BROKEN as error:
                self.pause(attempt, error)
        return ask()


def _backoff(attempt: int) -> float:
    """Return how long to wait after an attempt, s: 0.5 to 1, 1 to 2, …, 8 to 16."""
    return 2.0**attempt * random.uniform(0.25, 0.5)


def _seconds_to_wait(response: requests.Response) -> float:
    """Return how long a service asks to wait (Retry-After), s; 0 where it says nothing."""
    stated = response.headers.get("Retry-After", "")
    with suppress(ValueError, TypeError, InvalidHeader):
        return min(max(Retry().parse_retry_after(stated), 0.0), _LONGEST_WAIT)
    return 0.0


def _without_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no login: without this, requests would send the one in ``.netrc`` in place of ours."""
    return request


def short(text: object) -> str:
    """Return the beginning of a text without credentials, on one line."""
    return " ".join(without_credentials(str(text)).split())[:200]
