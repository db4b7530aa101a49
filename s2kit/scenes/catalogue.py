"""Read static STAC catalogues, and search STAC APIs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pystac import Link
from shapely.geometry.base import BaseGeometry

from s2kit.errors import CatalogueError, SceneError
from s2kit.scenes.documents import Documents, links_of, reading, target_of
from s2kit.scenes.period import Period
from s2kit.scenes.product import format_utc
from s2kit.scenes.providers import Json, link_objects
from s2kit.scenes.stac import StacScene
from s2kit.scenes.uri import is_remote, resolve

if TYPE_CHECKING:  # slow to import, and only needed for what lies on a server
    from pystac_client import Client

_PAGE = 100  # the most that Copernicus allows
_MARGIN = timedelta(hours=1)  # catalogues hold sensing times, up to 20 min after the datatake
_IS_L2A = re.compile(r"(?=.*s(entinel)?[-_]?s?2)(?=.*l2a)", re.IGNORECASE)


def read_catalogue(href: str) -> Iterator[StacScene | SceneError]:
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
    sources = Documents()
    return _walk(sources, sources.read(href), href)


def _walk(sources: Documents, document: Json, place: str) -> Iterator[StacScene | SceneError]:
    """Read a document, the pages after it, and all that it links to."""
    pending: list[str] = []
    seen = {place}
    while True:
        yield from _own_items(sources, document, place)
        items: list[str] = []
        for relation, target in links_of(document, place):
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


def _own_items(sources: Documents, document: Json, place: str) -> Iterator[StacScene | SceneError]:
    """Read the items of a document, and of the pages that follow it."""
    kind = document.get("type")
    if kind == "Feature":
        yield StacScene(document, place)
    if kind == "FeatureCollection" and not isinstance(document.get("features"), list):
        raise CatalogueError(f"{place} is a FeatureCollection without a list of features")
    if "features" in document:
        yield from _scenes_of(_following(sources, document, place), place)


def _page_of_items(document: Json, place: str) -> str | None:
    """Return where the items are of a document that neither holds them nor links to each.

    CatalogueError if an API has them, of which it is a saved copy, or to which it links.
    """
    links = [(name, to) for name, to in links_of(document, place) if name != "next"]
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


def _following(sources: Documents, document: Json, place: str) -> Iterator[Json]:
    """Yield a page, and then the pages after it, one link ``next`` after the other."""
    while True:
        yield document
        link = next((one for one in link_objects(document) if one.get("rel") == "next"), None)
        if link is None:
            return
        with reading(link["href"]):
            href = target_of(link["href"], place)
        with reading(href):
            if is_remote(href):
                document = sources.reader().read_json(Link.from_dict(link | {"href": href}))
            else:
                document = sources.read(href)


def _scenes_of(pages: Iterable[Json], place: str) -> Iterator[StacScene | SceneError]:
    """Yield the items of all pages, and check that no page is missing or comes twice."""
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
        for feature in features:
            if isinstance(feature, dict):
                yield StacScene(feature, place)
            else:
                yield SceneError(place, f"holds {feature!r} where an item is expected")
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
    """Return how many items a page says that there are on all pages; 0 where it says no number."""
    context = page.get("context")
    inner = context.get("matched") if isinstance(context, dict) else 0
    stated: tuple[Any, ...] = (page.get("numberMatched"), inner)
    counts = [0]
    for one in stated:
        with suppress(TypeError, ValueError, OverflowError):
            counts.append(int(float(one)))
    return max(counts)


def read_url(
    url: str, collections: tuple[str, ...], aoi: BaseGeometry, period: Period
) -> Iterator[StacScene | SceneError]:
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
        Of datatake starts; the search is a little wider, because catalogues hold sensing times.

    Raises
    ------
    CatalogueError
        If it cannot be reached or answers nonsense, even after retries, or pages are missing.
    """
    sources = Documents()
    document = sources.read(url)
    links = dict(links_of(document, url))
    if "collections" in document:
        return _search(links.get("root") or resolve(".", url), (), aoi, period)
    if "items" in links and "root" in links:
        return _search(links["root"], (str(document.get("id")),), aoi, period)
    if "search" in links and "features" not in document:
        return _search(url, collections, aoi, period)
    return _walk(sources, document, url)


def _search(
    url: str, collections: tuple[str, ...], aoi: BaseGeometry, period: Period
) -> Iterator[StacScene | SceneError]:
    from pystac_client import Client

    from s2kit.scenes.reader import TIMEOUT

    with reading(url):
        # Client.open would reset the reader's time-out if it got none
        client = Client.open(url, stac_io=Documents().reader(), timeout=TIMEOUT)
        client.add_conforms_to("ITEM_SEARCH")
        methods = {link.extra_fields.get("method") for link in client.get_links("search")}
        for collection in collections or _l2a_collections(client):
            search = client.search(
                method="POST" if "POST" in methods else "GET",
                collections=[collection],
                bbox=aoi.bounds,
                datetime=_interval(period),
                limit=_PAGE,
            )
            yield from _scenes_of(search.pages_as_dicts(), url)


def _l2a_collections(client: Client) -> list[str]:
    from pystac_client.exceptions import APIError

    try:
        offered = [collection.id for collection in client.get_collections()]
    except APIError as error:  # an answer without collections
        raise ValueError(str(error)) from error
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
