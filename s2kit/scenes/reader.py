"""Read JSON over http within limits of time, of size, and of the number of documents."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from pystac_client.stac_api_io import StacApiIO
from requests import Response
from urllib3 import Retry

from s2kit.bounds import LARGEST_JSON, MOST_VALUES

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes of an answer."""

PATIENCE = 90.0
"""Seconds for a whole document, with all attempts: a server that sends a byte a second keeps within
`TIMEOUT`."""

MOST = 10_000
"""Pages and catalogues of one search; some servers link to a next page without end."""

RETRIES = Retry(
    total=5,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # a search is a POST, but changes nothing
    retry_after_max=60,
)
"""How often to ask again after a time-out, a refusal or a server's error."""

_CHUNK = 2**16


class Reader(StacApiIO):
    """Reader of pystac-client that keeps within the limits.

    Parameters
    ----------
    most : int
        Documents that may be read.
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
        OSError, ValueError
            If the server does not send it within the limits.
        """
        self.asked += 1
        if self.asked > self.most:
            raise OSError(
                f"it goes on after {self.most} documents; search a smaller region or a shorter "
                "period"
            )
        method = (method or "GET").upper()
        kind = "json" if method == "POST" else "params"
        sent: dict[str, Any] = {kind: parameters, "headers": headers, "timeout": self.timeout}

        def ask() -> str:
            until = time.monotonic() + PATIENCE
            with self.session.request(method, href, stream=True, **sent) as response:
                if not response.ok:
                    response._content = _read(response, until)
                    raise OSError(response.text)
                text = _read(response, until).decode("utf-8")
                if text.count(",") > MOST_VALUES:
                    raise ValueError(f"the answer holds more than {MOST_VALUES:,} values")
                return text

        return _within_patience(ask)


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


def _within_patience(ask: Callable[[], str]) -> str:
    """Return the result of a function that runs in a thread; raise TimeoutError if it is late."""
    answer: Future[str] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait([answer], PATIENCE).done:
        raise _late()
    return answer.result()


def _late() -> TimeoutError:
    return TimeoutError(f"no whole answer within {PATIENCE:g} seconds")
