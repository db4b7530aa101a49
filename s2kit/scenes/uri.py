"""Hrefs of STAC: URIs, resolved by the rules of RFC 3986, and named as GDAL opens them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
"""At least two letters: ``C:`` is a drive."""

_OBJECT_STORES = {"s3": "/vsis3", "gs": "/vsigs", "az": "/vsiaz"}
_ZARR = re.compile(r"(.*\.zarr)((?:/[^/.]+)+)")
"""A Zarr store and the path of an array in it."""

_FAR = re.compile(
    r"(?i:https?)://.+|/vsicurl/(?i:https?)://.+|/vsi(?:s3|gs|az)/.+"
    # what s2kit makes of the Planetary Computer's URLs: GDAL signs them
    r"|/vsicurl\?pc_url_signing=yes&pc_collection=sentinel-2-l2a"
    r"&url=https%3A%2F%2F[\w.-]+\.blob\.core\.windows\.net%2F[^&]+"
)
_IN_ZIP = re.compile(r"/vsizip/\{(.+)\}/(.+)")
_ARRAY = re.compile(r'ZARR:"([^"]+)":((?:/[^/":]+)+)')
_VIRTUAL = re.compile(r"[/\\]+vsi", re.IGNORECASE)
"""Beginning of one of GDAL's virtual file systems, with any number of slashes."""


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
        parts = urlsplit(href)
        if parts.netloc.lower() not in ("", "localhost"):
            raise ValueError(f"{href} lies on the computer {parts.netloc}; give a path of this one")
        return url2pathname(parts.path)
    if scheme:
        return href
    if is_remote(base):
        return urljoin(base, href)
    folder = Path(base).parent
    written = folder / href
    return os.path.normpath(written if written.exists() else folder / unquote(href))


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


def is_raster_name(name: str) -> bool:
    """Return whether a name is that of a raster of its own, and no instruction to GDAL.

    Accepted are what `gdal_name` makes, and what products in zips are called: a path; a URL of
    http(s); an object of S3 and the like (``/vsis3/…``); a file in a zip of this computer
    (``/vsizip/{…}/…``); an array of a Zarr store in one of these (``ZARR:"…":/…``). GDAL takes
    many more, which open what the name says: ``/vsisubfile/…``, ``<VRTDataset>…``, ``WMS:…``.

    >>> is_raster_name("/data/B04.tif"), is_raster_name("/vsisubfile/0,/data/B04.tif")
    (True, False)
    """
    array = _ARRAY.fullmatch(name)
    if array is None:
        return _is_place(name)
    return ".." not in array[2].split("/") and _is_place(array[1])


def _is_place(name: str) -> bool:
    zipped = _IN_ZIP.fullmatch(name)
    return _is_path(zipped[1] if zipped else name) or _FAR.fullmatch(name) is not None


def _is_path(name: str) -> bool:
    """Return whether a name is a path; only that of a drive may hold what looks like a scheme."""
    plain = not re.search(r"[:<]", name) or Path(name).is_absolute()
    return plain and not _VIRTUAL.match(name) and "\0" not in name


def is_far(name: str) -> bool:
    """Return whether the raster of a name lies on a server."""
    array = _ARRAY.fullmatch(name)
    return _FAR.fullmatch(array[1] if array else name) is not None


def in_zip(name: str) -> tuple[str, str] | None:
    """Return the zip that a name leads into, and what is named in it."""
    found = _IN_ZIP.fullmatch(name)
    return (found[1], found[2]) if found else None


def local_part(name: str) -> Path | None:
    """Return the path of the Zarr store that a name leads into; None where there is none."""
    array = _ARRAY.fullmatch(name)
    return Path(array[1]) if array and _is_path(array[1]) else None
