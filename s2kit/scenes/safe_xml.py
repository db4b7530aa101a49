"""Read the XML of a `.SAFE` product, without entities, and with the reason where that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar
from xml.etree.ElementTree import Element, ParseError

import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from shapely.geometry.base import BaseGeometry

from s2kit.errors import SceneError
from s2kit.scenes.files import Files
from s2kit.scenes.footprint import read_footprint
from s2kit.scenes.product import read_utc

Value = TypeVar("Value")


def read_xml(files: Files, name: str, label: str) -> Element:
    """Read a file of a product without document types, so that no entity is ever expanded.

    Raises
    ------
    SceneError
        If it is missing, broken, or declares a document type.
    """
    short = PurePosixPath(name).name
    try:
        return fromstring(files.read(name), forbid_dtd=True)
    except DefusedXmlException as error:
        reason = f"{short} declares a document type or entities, which is refused ({error})"
    except FileNotFoundError:
        reason = f"{short} is missing; download the product again"
    except (ParseError, OSError, ValueError, LookupError) as error:
        reason = f"{short} cannot be read ({error}); download the product again"
    raise SceneError(label, reason)


def find_texts(root: Element, *tags: str) -> Iterator[str]:
    """Find the texts of all elements of some names, in whatever namespace."""
    for tag in tags:
        for element in root.iterfind(f".//{{*}}{tag}"):
            yield (element.text or "").strip()


def find_text(root: Element, label: str, *tags: str) -> str:
    """Find the text of the first element of a name, or of another one that it has had.

    Raises
    ------
    SceneError
        If there is none.
    """
    found = next(filter(None, find_texts(root, *tags)), None)
    if found is None:
        raise SceneError(label, f"its metadata have no {' or '.join(tags)}")
    return found


def find_time(root: Element, tag: str, label: str) -> datetime:
    """Read a time, UTC."""
    return read_value(read_utc, find_text(root, label, tag), tag, label)


def find_number(root: Element, label: str, *tags: str) -> float:
    """Find a number above 0, such as a quantification value."""
    tag = tags[0]
    number = read_value(float, find_text(root, label, *tags), tag, label)
    if not number > 0:
        raise SceneError(label, f"{tag} is {number}, which must be above 0")
    return number


def read_value(reader: Callable[[Any], Value], text: str | None, tag: str, label: str) -> Value:
    """Read the text of an element or attribute; SceneError if it is of another form."""
    try:
        return reader(text)
    except (ValueError, TypeError) as error:
        raise SceneError(label, f"{tag} is {text!r} in its metadata ({error})") from error


def find_footprint(root: Element, label: str) -> BaseGeometry:
    """Find the outline of the valid pixels, degrees, in two parts if it crosses the antimeridian.

    EXT_POS_LIST gives latitude before longitude.
    """
    tag = "EXT_POS_LIST"
    polygons = [read_value(_polygon, ring, tag, label) for ring in find_texts(root, tag)]
    if not polygons:
        raise SceneError(label, "its metadata have no EXT_POS_LIST (footprint)")
    return shapely.union_all([read_footprint(polygon) for polygon in polygons])


def _polygon(text: str) -> shapely.Polygon:
    numbers = [float(number) for number in text.split()]
    if len(numbers) < 6:
        raise ValueError("fewer than three corners")
    return shapely.Polygon(zip(numbers[1::2], numbers[::2], strict=True))
