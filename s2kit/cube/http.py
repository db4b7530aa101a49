"""How a server is asked: as many requests at a time as it can take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import aiohttp

_AT_ONCE_OLD = 5
"""Requests at a time to a server that speaks HTTP/1.0 and has a connection for each, such as
Python's own http.server: it lets five wait, and answers to others may never come."""

_old: set[str] = set()
"""Hosts, with their ports, that answered by HTTP/1.0."""

_turn = threading.Lock()


async def make_client(**options: Any) -> aiohttp.ClientSession:
    """Return a client that notes which hosts speak HTTP/1.0, and does not wait for ever."""
    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(_note)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    return aiohttp.ClientSession(**options, timeout=timeout, trace_configs=[trace])


async def _note(_session: Any, _context: Any, done: aiohttp.TraceRequestEndParams) -> None:
    if done.response.version == aiohttp.HttpVersion10:
        _old.add(_host(str(done.url)))


@contextmanager
def requests_to(url: str) -> Iterator[dict[str, int]]:
    """Wait until a server can be asked; give fsspec's options for how many objects at a time."""
    old = _host(url) in _old
    with _turn if old else nullcontext():
        yield {"batch_size": _AT_ONCE_OLD} if old else {}


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
