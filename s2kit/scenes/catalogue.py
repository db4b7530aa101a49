"""Where STAC items lie: files, static catalogues and APIs, all read as plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pystac
from pystac.errors import STACError
from shapely.geometry.base import BaseGeometry

from s2kit.bounds import LARGEST_JSON, parse_json, read_file
from s2kit.credentials import shown_cause, without_credentials
from s2kit.errors import CatalogueError, SceneError
from s2kit.scenes.period import Period
from s2kit.scenes.product import ProductName, format_utc
from s2kit.scenes.providers import Json, link_objects
from s2kit.scenes.stac import StacScene
from s2kit.scenes.uri import is_remote, resolve

if TYPE_CHECKING:  # slow to import, and only needed for what lies on a server
    from pystac_client import Client

    from s2kit.scenes.reader import Reader

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

MOST_ITEMS = 200_000
"""Items of a static catalogue, each a document of its own."""

_AT_ONCE = 5
"""Items of a static catalogue that are asked for side by side: small servers keep five waiting."""

_PAGE = 100  # the most that Copernicus allows
_MARGIN = timedelta(hours=1)  # catalogues know sensing times, up to 20 min after the datatake
_IS_L2A = re.compile(r"(?=.*s(entinel)?[-_]?s?2)(?=.*l2a)", re.IGNORECASE)
_STAC = {"type", "links", "features", "collections"}
"""Members of which a STAC document has at least one."""

_BROKEN = (
    *(STACError, OSError, RecursionError),
    *(ValueError, KeyError, TypeError, AttributeError),
)
_ADVICE = (
    'Check the address and the connection, try again later, or use another source: "earth-search", '
    '"planetary-computer", "copernicus", a folder of .SAFE products, or "sample", which needs no '
    "internet."
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
    """Read a STAC file and all that it links to: catalogue, collection, page of items or item.

    Parameters
    ----------
    href : str
        Absolute path or URL.

    Raises
    ------
    CatalogueError
        If it, or a catalogue in it, cannot be read, or pages of it are missing.
    """
    sources = _Sources()
    return _walk(sources, sources.read(href), href)


def _walk(sources: _Sources, document: Json, place: str) -> Iterator[StacScene | UnreadableScene]:
    """Read a document, the pages after it, and all that it links to."""
    pending, seen = [], {place}
    while True:
        yield from _paged(sources, document, place)
        items = []
        for relation, target in _links(document, place):
            if relation in ("item", "child") and target not in seen:
                seen.add(target)
                (items if relation == "item" else pending).append(target)
        yield from sources.scenes(items)
        if (page := _page_of_items(document, place)) and page not in seen:
            seen.add(page)
            pending.append(page)
        if not pending:
            return
        place = pending.pop()
        document = sources.read(place)


def _page_of_items(document: Json, place: str) -> str | None:
    """Return where the items are of a document that neither holds them nor links to each.

    Raises
    ------
    CatalogueError
        If an API has them, of which the document is a saved copy, or to which it links.
    """
    links = [(name, to) for name, to in _links(document, place) if name != "next"]
    own = [name for name, to in links if is_remote(to) == is_remote(place)]
    if document.get("type") == "Feature" or "features" in document or {"item", "child"} & {*own}:
        return None
    targets = dict(links)
    if "items" in own:
        return targets["items"]
    if {"items", "search", "data"} & {*targets} or "collections" in document:
        api = targets.get("root") or targets.get("self") or "its address"
        raise CatalogueError(
            f"{place} describes an API, and holds no items. Give the API itself as the source, "
            f"which is then searched: {api}"
        )
    return None


def read_url(
    url: str, collections: tuple[str, ...], aoi: BaseGeometry, period: Period
) -> Iterator[StacScene | UnreadableScene]:
    """Search an API, or read a static catalogue.

    Parameters
    ----------
    url : str
        Root of the API, one of its collections or the list of them, a search or the items of a
        collection with all their pages, or a catalogue's file.
    collections : tuple of str
        In order of preference; without any, those of Sentinel-2 L2A that the API offers.
    aoi : shapely geometry
        In degrees; only its box is searched.
    period : Period
        Of datatake starts; the search is a little wider, because catalogues know sensing times.

    Raises
    ------
    CatalogueError
        If it cannot be reached or answers nonsense, even after retries, or pages are missing.
    """
    sources = _Sources()
    document = sources.read(url)
    links = dict(_links(document, url))
    if "collections" in document:
        return _search(links.get("root") or resolve(".", url), (), aoi, period)
    if "items" in links and "root" in links:
        return _search(links["root"], (str(document.get("id")),), aoi, period)
    if "search" in links and "features" not in document:
        return _search(url, collections, aoi, period)
    return _walk(sources, document, url)


class _Sources:
    """Where documents are read: files of this computer, and servers."""

    def __init__(self) -> None:
        self._readers: dict[int, Reader] = {}

    def reader(self, most: int = 0) -> Reader:
        """Return what asks servers for so many documents at most."""
        from s2kit.scenes.reader import MOST, Reader

        if most not in self._readers:
            self._readers[most] = Reader(most or MOST)
        return self._readers[most]

    def read(self, place: str, most: int = 0) -> Json:
        """Read a STAC document.

        Raises
        ------
        CatalogueError
            If it cannot be read, or is no STAC.
        """
        try:
            if is_remote(place):
                text: str | bytes = _ask(self.reader(most), place)
            else:
                text = read_file(place, LARGEST_JSON)
            document = parse_json(text)
        except _BROKEN as error:
            raise CatalogueError(_unreachable(place, error)) from shown_cause(error)
        if not isinstance(document, dict) or not _STAC & set(document):
            raise CatalogueError(f"{place} is JSON, but not STAC. {_ADVICE}")
        return document

    def scenes(self, places: list[str]) -> Iterator[StacScene | UnreadableScene]:
        """Read items, those of servers side by side."""
        if len(places) > MOST_ITEMS:
            raise CatalogueError(
                f"one catalogue links to {len(places)} items; {MOST_ITEMS} at most are read. Give "
                "a smaller catalogue, or an API that can be searched"
            )
        if not any(map(is_remote, places)):
            yield from map(self._scene, places)
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for first in range(0, len(places), _AT_ONCE):
                yield from pool.map(self._scene, places[first : first + _AT_ONCE])

    def _scene(self, place: str) -> StacScene | UnreadableScene:
        try:
            return StacScene(self.read(place, MOST_ITEMS), place)
        except CatalogueError as error:
            return UnreadableScene(PurePosixPath(without_credentials(place)).name, str(error))


def _ask(reader: Reader, place: str) -> str:
    from pystac_client.exceptions import APIError

    try:
        return reader.read_text(place)
    except APIError as error:
        raise CatalogueError(_unreachable(place, error)) from shown_cause(error)


def _search(
    url: str, collections: tuple[str, ...], aoi: BaseGeometry, period: Period
) -> Iterator[StacScene | UnreadableScene]:
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    try:
        client = Client.open(url, stac_io=_Sources().reader(), timeout=_timeout())
        client.add_conforms_to("ITEM_SEARCH")
        for collection in collections or _l2a_collections(client):
            search = client.search(
                method=_search_method(client),
                collections=[collection],
                bbox=aoi.bounds,
                datetime=_interval(period),
                limit=_PAGE,
            )
            for features in _all_pages(search.pages_as_dicts(), url):
                yield from _scenes_of(features, url)
    except (APIError, *_BROKEN) as error:
        raise CatalogueError(_unreachable(url, error)) from shown_cause(error)


def _timeout() -> tuple[float, float]:
    """Return what `Client.open` would otherwise make its reader forget."""
    from s2kit.scenes.reader import TIMEOUT

    return TIMEOUT


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


def _paged(sources: _Sources, document: Json, place: str) -> Iterator[StacScene | UnreadableScene]:
    """Read the items of a document, and of the pages that follow it."""
    kind = document.get("type")
    if kind == "Feature":
        yield StacScene(document, place)
    if kind == "FeatureCollection" and not isinstance(document.get("features"), list):
        raise CatalogueError(f"{place} is a FeatureCollection without a list of features")
    if "features" in document:
        for features in _all_pages(_following(sources, document, place), place):
            yield from _scenes_of(features, place)


def _following(sources: _Sources, document: Json, place: str) -> Iterator[Json]:
    """Return a page, and then the pages after it, one link ``next`` after the other."""
    from pystac import Link
    from pystac_client.exceptions import APIError

    while True:
        yield document
        following = [link for link in link_objects(document) if link.get("rel") == "next"]
        if not following:
            return
        href = following[0]["href"]
        try:
            href = _target(href, place)
            if not is_remote(href):
                document = sources.read(href)
            else:
                link = Link.from_dict(following[0] | {"href": href})
                document = sources.reader().read_json(link)
        except (APIError, *_BROKEN) as error:
            raise CatalogueError(_unreachable(href, error)) from shown_cause(error)


def _all_pages(pages: Iterable[Json], place: str) -> Iterator[list[Any]]:
    """Return the features of pages, and make sure that none is missing, and none comes twice.

    Raises
    ------
    CatalogueError
        If there are fewer than the first page says, or a page that was there before.
    """
    known, matched, seen = set(), 0, set()
    for page in pages:
        features = page.get("features")
        features = features if isinstance(features, list) else [features]
        matched = max(matched, _matched(page))
        identities = [json.dumps(_identity(feature)) for feature in features]
        known.update(identities)
        content = "".join(identities) or json.dumps(page.get("links"))
        if content in seen:
            raise CatalogueError(
                f"{place} gives the same page again and again; its link to the next page leads "
                "back. Ask whoever runs it, or use another source"
            )
        seen.add(content)
        yield features
    if len(known) < matched:
        raise CatalogueError(
            f"{place} says that {matched} scenes match, but its pages hold {len(known)} (no link "
            "to the next page?). What is missing is not known: search the API by its root address, "
            "or save all pages"
        )


def _identity(feature: Any) -> list[Any]:
    known = feature if isinstance(feature, dict) else {}
    return [known.get("id"), known.get("collection"), known.get("links")]


def _matched(page: Json) -> int:
    """Return how many items a page says that there are on all pages."""
    context = page.get("context")
    places = (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else 0)
    return max(map(_count, places))


def _count(stated: Any) -> int:
    try:
        return int(float(stated))
    except (TypeError, ValueError, OverflowError):
        return 0


def _scenes_of(features: list[Any], place: str) -> Iterator[StacScene | UnreadableScene]:
    for feature in features:
        if isinstance(feature, dict):
            yield StacScene(feature, place)
        else:
            yield UnreadableScene(place, f"holds {feature!r} where an item is expected")


def _links(document: Json, place: str) -> Iterator[tuple[str, str]]:
    """Relations and absolute hrefs; items link to catalogues above them, which are not followed."""
    if document.get("type") == "Feature":
        return
    for link in link_objects(document):
        try:
            yield str(link.get("rel")), _target(link["href"], place)
        except ValueError:  # a file of another computer
            continue


def _target(href: str, place: str) -> str:
    """Return where a link of a document leads.

    Raises
    ------
    ValueError
        If it is a file of another computer, which all are that a server names.
    """
    target = resolve(href, place)
    if is_remote(place) and not is_remote(target):
        raise ValueError(f"{place} links to {href!r:.200}, which is no http(s) address")
    return target


def _unreachable(place: str, error: Exception) -> str:
    found = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{place} cannot be read as STAC ({found}). {_ADVICE}"
