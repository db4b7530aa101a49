"""Hrefs of STAC: URIs, resolved by the rules of RFC 3986, and named as GDAL opens them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
"""At least two letters: ``C:`` is a drive."""

_OBJECT_STORES = {"s3": "/vsis3", "gs": "/vsigs"}
_ZARR = re.compile(r"(.*\.zarr)((?:/[^/.]+)+)")
"""A Zarr store and the path of an array in it."""


def is_remote(place: str) -> bool:
    """Return whether a place is an http(s) URL."""
    return place.lower().startswith(("http://", "https://"))


def resolve(href: str, base: str) -> str:
    """Return an href as an absolute URL or path.

    Parameters
    ----------
    href : str
        As it stands in a document: a URI, relative or not, or the path of a file.
    base : str
        Absolute path or URL of the document.

    Returns
    -------
    str
        A URL as it is, ``/vsi…`` as it is, or the absolute path of a file: percent-encoding is
        decoded. Of a relative path that exists just as it is written, that one.

    Raises
    ------
    ValueError
        If it is a ``file:`` URI of another computer.
    """
    if href.startswith("/vsi"):
        return href
    scheme = _SCHEME.match(href)
    if scheme and scheme[1].lower() == "file":
        return _path_of(href)
    if scheme:
        return href
    if is_remote(base):
        return urljoin(base, href)
    folder = Path(base).parent
    written = folder / href
    return str(_normal(written if written.exists() else folder / unquote(href)))


def _path_of(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc.lower() not in ("", "localhost"):
        raise ValueError(f"{uri} lies on the computer {parts.netloc}; give a path of this one")
    return url2pathname(parts.path)


def _normal(path: Path) -> Path:
    """Return a path without ``.`` and ``..``, whose links stay what they are."""
    return Path(*_without_dots(path.parts))


def _without_dots(parts: tuple[str, ...]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if part == ".." and len(kept) > 1:
            kept.pop()
        elif part not in (".", ".."):
            kept.append(part)
    return kept


def gdal_name(place: str) -> str:
    """Return the name by which GDAL opens a URL or path: ``/vsis3/…``, an array of a Zarr store."""
    scheme, _, rest = place.partition("://")
    if scheme.lower() in _OBJECT_STORES:
        place = f"{_OBJECT_STORES[scheme.lower()]}/{unquote(rest)}"
    array = _ZARR.fullmatch(place)
    if array is None:
        return place
    store = f"/vsicurl/{array[1]}" if is_remote(array[1]) else array[1]
    return f'ZARR:"{store}":{array[2]}'
