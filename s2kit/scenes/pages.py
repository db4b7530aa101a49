"""Read pages of items one after the other, and check that none is missing or repeated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pystac import Link

from s2kit.errors import CatalogueError
from s2kit.scenes.documents import Documents, reading, target_of
from s2kit.scenes.found import UnreadableScene
from s2kit.scenes.providers import Json, link_objects
from s2kit.scenes.stac import StacScene
from s2kit.scenes.uri import is_remote


def paged(sources: Documents, document: Json, place: str) -> Iterator[StacScene | UnreadableScene]:
    """Read the items of a document, and of the pages that follow it."""
    kind = document.get("type")
    if kind == "Feature":
        yield StacScene(document, place)
    if kind == "FeatureCollection" and not isinstance(document.get("features"), list):
        raise CatalogueError(f"{place} is a FeatureCollection without a list of features")
    if "features" in document:
        for features in all_pages(_following(sources, document, place), place):
            yield from scenes_of(features, place)


def _following(sources: Documents, document: Json, place: str) -> Iterator[Json]:
    """Yield a page, and then the pages after it, one link ``next`` after the other."""
    while True:
        yield document
        following = [link for link in link_objects(document) if link.get("rel") == "next"]
        if not following:
            return
        href = following[0]["href"]
        with reading(href):
            href = target_of(href, place)
        with reading(href):
            if not is_remote(href):
                document = sources.read(href)
            else:
                link = Link.from_dict(following[0] | {"href": href})
                document = sources.reader().read_json(link)


def all_pages(pages: Iterable[Json], place: str) -> Iterator[list[Any]]:
    """Yield the features of each page, and check that no page is missing or comes twice.

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


def scenes_of(features: list[Any], place: str) -> Iterator[StacScene | UnreadableScene]:
    """Yield the scenes of the items of a page."""
    for feature in features:
        if isinstance(feature, dict):
            yield StacScene(feature, place)
        else:
            yield UnreadableScene(place, f"holds {feature!r} where an item is expected")
