"""Where STAC items lie: files, static catalogues and APIs, all read as plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pystac
from pystac.errors import STACError
from pystac.utils import make_absolute_href
from shapely.geometry.base import BaseGeometry
from urllib3 import Retry

from s2kit.errors import CatalogueError, SceneError
from s2kit.scenes.period import Period
from s2kit.scenes.product import ProductName, format_utc
from s2kit.scenes.providers import Json
from s2kit.scenes.stac import StacScene

if TYPE_CHECKING:  # slow to import, and only needed for what lies on a server
    from pystac_client import Client
    from pystac_client.stac_api_io import StacApiIO

APIS: dict[str, tuple[str, tuple[str, ...]]] = {
    "earth-search": (
        "https://earth-search.aws.element84.com/v1",
        ("sentinel-2-c1-l2a", "sentinel-2-l2a"),
    ),
    "planetary-computer": (
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        ("sentinel-2-l2a",),
    ),
    "copernicus": ("https://stac.dataspace.copernicus.eu/v1", ("sentinel-2-l2a",)),
}
"""Name of a source to its API and collections, the best first.

Earth Search keeps most scenes twice and some only in one of the two; of the same product the
Collection 1 copy is used, whose offset is stated reliably.
"""

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for an answer."""

RETRIES = Retry(
    total=5,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # a search is a POST, but changes nothing
    retry_after_max=60,
)
"""How often to ask again after a time-out, a refusal or a server's error."""

_PAGE = 100  # the most that Copernicus allows
_MARGIN = timedelta(hours=1)  # catalogues know sensing times, up to 20 min after the datatake
_IS_L2A = re.compile(r"(?=.*s(entinel)?[-_]?s?2)(?=.*l2a)", re.IGNORECASE)
_BROKEN = (
    *(STACError, OSError, RecursionError),
    *(ValueError, KeyError, TypeError, AttributeError),
)
_ADVICE = (
    "Check the address and the connection, try again later, or use another source, such as "
    '"earth-search", "planetary-computer", "copernicus" or a folder of .SAFE products.'
)


@dataclass(frozen=True)
class UnreadableScene:
    """An item that a catalogue names, but that cannot be read.

    Parameters
    ----------
    label : str
        Its path or URL.
    reason : str
        What went wrong.
    """

    label: str
    reason: str
    footprint: BaseGeometry | None = None

    @property
    def product(self) -> ProductName | None:
        """What its path says."""
        return ProductName.find(self.label)

    def item(self) -> pystac.Item:
        """Raise SceneError with the reason."""
        raise SceneError(self.label, self.reason)


def read_catalogue(href: str) -> Iterator[StacScene | UnreadableScene]:
    """Read a STAC file and all that it links to: catalogue, collection, item collection or item.

    Parameters
    ----------
    href : str
        Absolute path or URL.

    Raises
    ------
    CatalogueError
        If it, or a catalogue in it, cannot be read.
    """
    reader = _reader() if _is_remote(href) else None
    pending, seen = [href], {href}
    while pending:
        place = pending.pop()
        document = _read_json(reader, place)
        yield from _scenes_in(document, place)
        for relation, target in _links(document, place):
            if relation in ("item", "child") and target not in seen:
                seen.add(target)
                if relation == "child":
                    pending.append(target)
                else:
                    yield _linked_scene(reader, target)


def read_url(
    url: str, collections: tuple[str, ...], aoi: BaseGeometry, period: Period
) -> Iterator[StacScene | UnreadableScene]:
    """Search an API, or read a static catalogue.

    Parameters
    ----------
    url : str
        Root of the API, one of its collections, or a catalogue's file.
    collections : tuple of str
        In order of preference; without any, those of Sentinel-2 L2A that the API offers.
    aoi : shapely geometry
        In degrees; only its box is searched.
    period : Period
        Of datatake starts; the search is a little wider, because catalogues know sensing times.

    Raises
    ------
    CatalogueError
        If it cannot be reached or answers nonsense, even after retries.
    """
    document = _read_json(_reader(), url)
    links = dict(_links(document, url))
    if "items" in links and "root" in links:
        return _search(links["root"], (str(document.get("id")),), aoi, period)
    if "search" in links:
        return _search(url, collections, aoi, period)
    return read_catalogue(url)


def _search(
    url: str, collections: tuple[str, ...], aoi: BaseGeometry, period: Period
) -> Iterator[StacScene]:
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    try:
        client = Client.open(url, stac_io=_reader(), timeout=TIMEOUT)  # else it forgets it
        client.add_conforms_to("ITEM_SEARCH")
        for collection in collections or _l2a_collections(client):
            search = client.search(
                method=_search_method(client),
                collections=[collection],
                bbox=aoi.bounds,
                datetime=_interval(period),
                limit=_PAGE,
            )
            yield from (StacScene(item, url) for item in search.items_as_dicts())
    except (APIError, *_BROKEN) as error:
        raise CatalogueError(_unreachable(url, error)) from error


def _search_method(client: Client) -> str:
    methods = {link.extra_fields.get("method") for link in client.get_links("search")}
    return "POST" if "POST" in methods else "GET"


def _l2a_collections(client: Client) -> list[str]:
    offered = [collection.id for collection in client.get_collections()]
    found = sorted(filter(_IS_L2A.match, offered), key=lambda name: ("-c1-" not in name, name))
    if not found:
        names = ", ".join(sorted(offered)) or "none"
        message = f"{client.self_href} offers no collection of Sentinel-2 L2A (found: {names})"
        raise CatalogueError(f"{message}. Give another API or a folder of .SAFE products.")
    return found


def _interval(period: Period) -> str:
    first = period.first - _MARGIN if period.first.year > 1 else period.first
    last = period.last + _MARGIN if period.last.year < 9999 else period.last
    return f"{format_utc(first)}/{format_utc(last)}"


def _scenes_in(document: Json, place: str) -> Iterator[StacScene | UnreadableScene]:
    if document.get("type") == "Feature":
        yield StacScene(document, place)
    features = document.get("features", [])
    for feature in features if isinstance(features, list) else [features]:
        if isinstance(feature, dict):
            yield StacScene(feature, place)
        else:
            yield UnreadableScene(place, f"holds {feature!r} where an item is expected")


def _links(document: Json, place: str) -> Iterator[tuple[str, str]]:
    """Relations and absolute hrefs; items link to catalogues above them, which are not followed."""
    links = document.get("links")
    if document.get("type") == "Feature" or not isinstance(links, list):
        return
    for link in links:
        if isinstance(link, dict) and isinstance(link.get("href"), str):
            yield str(link.get("rel")), make_absolute_href(link["href"], place)


def _linked_scene(reader: StacApiIO | None, place: str) -> StacScene | UnreadableScene:
    try:
        return StacScene(_read_json(reader, place), place)
    except CatalogueError as error:
        return UnreadableScene(PurePosixPath(place).name, str(error))


def _reader() -> StacApiIO:
    from pystac_client.stac_api_io import StacApiIO

    return StacApiIO(max_retries=RETRIES, timeout=TIMEOUT)


def _is_remote(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _read_remote(reader: StacApiIO, place: str) -> str:
    from pystac_client.exceptions import APIError

    try:
        return reader.read_text(place)
    except APIError as error:
        raise CatalogueError(_unreachable(place, error)) from error


def _read_json(reader: StacApiIO | None, place: str) -> Json:
    try:
        if _is_remote(place):
            text = _read_remote(reader or _reader(), place)
        else:
            text = Path(place).read_text(encoding="utf-8-sig")
        document = json.loads(text)
    except _BROKEN as error:
        raise CatalogueError(_unreachable(place, error)) from error
    if not isinstance(document, dict) or not {"type", "links", "features"} & set(document):
        raise CatalogueError(f"{place} is JSON, but not STAC. {_ADVICE}")
    return document


def _unreachable(place: str, error: Exception) -> str:
    found = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{place} cannot be read as STAC ({found}). {_ADVICE}"
