"""Read STAC documents, files of this computer and of servers, as plain JSON."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pystac.errors import STACError

from s2kit.bounds import LARGEST_JSON, parse_json, read_file
from s2kit.credentials import shown_cause, without_credentials
from s2kit.errors import CatalogueError, SceneError
from s2kit.scenes.providers import APIS, Json, link_objects
from s2kit.scenes.stac import StacScene
from s2kit.scenes.uri import is_remote, resolve

if TYPE_CHECKING:  # slow to import, and only needed for what lies on a server
    from s2kit.scenes.reader import Reader

MOST_ITEMS = 200_000
"""Items of a static catalogue, each a document of its own."""

_AT_ONCE = 5
"""Items of a static catalogue that are asked for side by side: small servers keep five waiting."""

_BROKEN = (STACError, OSError, RecursionError, ValueError, KeyError, TypeError, AttributeError)
"""What pystac, pystac-client and requests raise where a document is not as it should be."""

_ADVICE = (
    "Check the address and the connection, try again later, or use another source: "
    + ", ".join(f'"{name}"' for name in APIS)
    + ', a folder of .SAFE products, or "sample", which needs no internet.'
)

_STAC = {"type", "links", "features", "collections"}
"""Members of which a STAC document has at least one."""


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Raise CatalogueError where a document cannot be read."""
    try:
        yield
    except _BROKEN as error:
        found = " ".join(str(error).split())[:300] or type(error).__name__
        raise CatalogueError(
            f"{place} cannot be read as STAC ({found}). {_ADVICE}"
        ) from shown_cause(error)


class Documents:
    """Reader of documents: files of this computer, and those of servers."""

    def __init__(self) -> None:
        self._readers: dict[int, Reader] = {}

    def reader(self, most: int = 0) -> Reader:
        """Return the reader of servers' documents, of so many at most."""
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
        with reading(place):
            if is_remote(place):
                text: str | bytes = self.reader(most).read_text(place)
            else:
                text = read_file(place, LARGEST_JSON)
            document = parse_json(text)
        if not isinstance(document, dict) or not _STAC & set(document):
            raise CatalogueError(f"{place} is JSON, but not STAC. {_ADVICE}")
        return document

    def scenes(self, places: list[str]) -> Iterator[StacScene | SceneError]:
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

    def _scene(self, place: str) -> StacScene | SceneError:
        try:
            return StacScene(self.read(place, MOST_ITEMS), place)
        except CatalogueError as error:
            return SceneError(PurePosixPath(without_credentials(place)).name, str(error))


def links_of(document: Json, place: str) -> Iterator[tuple[str, str]]:
    """Yield relation and absolute href of each link; none of an item, whose links lead upward."""
    if document.get("type") == "Feature":
        return
    for link in link_objects(document):
        try:
            yield str(link.get("rel")), target_of(link["href"], place)
        except ValueError:  # a file of another computer
            continue


def target_of(href: str, place: str) -> str:
    """Return where a link leads; ValueError if to a file, of which a server can name none."""
    target = resolve(href, place)
    if is_remote(place) and not is_remote(target):
        raise ValueError(f"{place} links to {href!r:.200}, which is no http(s) address")
    return target
