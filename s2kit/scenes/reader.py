"""Read JSON over http within bounds: of time, of size, and of how much a catalogue may ask for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests import Response
from requests.exceptions import RequestException
from urllib3 import Retry

from s2kit.bounds import LARGEST_JSON, MOST_VALUES

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes of an answer."""

PATIENCE = 90.0
"""Seconds for a whole document, with all attempts: else a byte a second is never late."""

MOST = 10_000
"""Pages and catalogues of one search: there are a thousand items to a page, or endless ones."""

RETRIES = Retry(
    total=5,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # a search is a POST, but changes nothing
    retry_after_max=60,
)
"""How often to ask again after a time-out, a refusal or a server's error."""

_CHUNK = 2**16

Value = TypeVar("Value")


class Reader(StacApiIO):
    """What pystac-client asks servers by.

    Parameters
    ----------
    most : int
        Documents that may be asked for.
    """

    def __init__(self, most: int = MOST):
        super().__init__(max_retries=RETRIES, timeout=TIMEOUT)
        self.most, self.asked = most, 0

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the text of a document.

        Raises
        ------
        pystac_client.exceptions.APIError
            If it cannot be had within the bounds.
        """
        self.asked += 1
        if self.asked > self.most:
            raise APIError(
                f"it goes on after {self.most} documents; search a smaller region or a shorter "
                "period"
            )
        method = (method or "GET").upper()
        sent = {"json": parameters} if method == "POST" else {"params": parameters}

        def ask() -> str:
            until = time.monotonic() + PATIENCE
            with self.session.request(
                method, href, headers=headers, timeout=self.timeout, stream=True, **sent
            ) as response:
                if not response.ok:
                    response._content = _read(response, until)  # what the error quotes
                    raise APIError.from_response(response)
                text = _read(response, until).decode("utf-8")
                if text.count(",") > MOST_VALUES:
                    raise ValueError(f"the answer holds more than {MOST_VALUES:,} values")
                return text

        try:
            return _within(PATIENCE, ask)
        except (RequestException, OSError, ValueError) as error:
            raise APIError(str(error)) from error


def _read(response: Response, until: float) -> bytes:
    parts, size = [], 0
    for part in response.iter_content(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > LARGEST_JSON:
            raise ValueError(f"the answer has more than {LARGEST_JSON // 2**20} MB")
        if time.monotonic() > until:
            raise _late()
    return b"".join(parts)


def _within(seconds: float, ask: Callable[[], Value]) -> Value:
    """Wait so long for what is asked in a thread of its own: a drip of bytes ends no time-out."""
    answer: list[Value] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(ask())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not answer:
        raise _late()
    return answer[0]


def _late() -> TimeoutError:
    return TimeoutError(f"no whole answer within {PATIENCE:g} seconds")
