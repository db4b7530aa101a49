"""How a server is asked for objects: how many at a time, and how large they may be."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from s2kit.cube.codec import largest

_AT_ONCE_OLD = 5
"""Requests at a time to a server that speaks HTTP/1.0 and has a connection for each, such as
Python's own http.server: it lets five wait, and answers to others may never come."""

_old: set[str] = set()
"""Hosts, with their ports, that answered by HTTP/1.0."""

_turn = threading.Lock()


async def make_client(**options: Any) -> aiohttp.ClientSession:
    """Return a client that reads within bounds of size and time."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    return aiohttp.ClientSession(**options, timeout=timeout, response_class=_Response)


class _Response(aiohttp.ClientResponse):
    """An answer that is read up to what an object may have."""

    async def read(self) -> bytes:
        """Return the body.

        Raises
        ------
        aiohttp.ClientPayloadError
            If it is too large.
        """
        if self.version == aiohttp.HttpVersion10:
            _old.add(_host(str(self.url)))
        most, parts, size = largest(self.url.path), [], 0
        async for part in self.content.iter_any():
            size += len(part)
            if size > most:
                self.close()
                raise aiohttp.ClientPayloadError(f"it has more than {most / 1e6:.0f} MB")
            parts.append(part)
        return b"".join(parts)


@contextmanager
def requests_to(url: str) -> Iterator[dict[str, int]]:
    """Wait until a server can be asked; give fsspec's options for how many objects at a time."""
    old = _host(url) in _old
    with _turn if old else nullcontext():
        yield {"batch_size": _AT_ONCE_OLD} if old else {}


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
