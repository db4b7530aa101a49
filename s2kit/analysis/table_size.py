"""Limits of tables in files: rows and columns are counted before a table is read."""

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from s2kit.errors import InvalidInputError
from s2kit.zips import open_member

MOST_CELLS = 20_000_000
"""Rows times columns of a table of fields: 800 000 fields with 25 columns, some GB of memory."""

LARGEST_TEXT = 100_000_000
"""Bytes of a file of JSON, unpacked. In memory it takes twice as many before it is a table."""

_SPACE = r"[ \t\r\n\x1e]*"
"""Space between values; the last sign begins each of a GeoJSON text sequence (RFC 8142)."""

_SIGNS = {sign: re.compile(f"{_SPACE}{re.escape(sign)}{_SPACE}") for sign in "{}[]:,"}

_COLLECTION = 7
"""Code of a collection of shapes; a thousand more for each further dimension (ISO 19125)."""

_CALLS = (b"loadGeoJSON(", b"jsonp(")
"""Beginnings that GDAL takes for GeoJSON, too."""

_DECODER = json.JSONDecoder(strict=False)


def require_cells(path: str, rows: int, columns: int) -> None:
    """Raise `InvalidInputError` if a table would not fit into memory."""
    if rows * columns > MOST_CELLS:
        raise InvalidInputError(
            f"{path:.200} asks for a table of {rows} rows and {columns} columns; {MOST_CELLS:,} "
            "cells are read at most. Leave out what is not needed, in a GIS"
        )


def require_json_cells(path: str) -> None:
    """Check rows and columns of a file of GeoJSON, of which GDAL makes a table as it opens it.

    Any column of any row is one of all rows, so a small file may make a huge table.

    Raises
    ------
    InvalidInputError
        If they are too many, values are nested too deep, or it is not JSON.
    """
    for text in _json_texts(path):
        try:
            rows, columns = _count(text)
        except RecursionError:
            raise InvalidInputError(
                f"{path:.200} is nested too deep to be read; give GeoJSON as a GIS writes it"
            ) from None
        except ValueError as error:
            raise InvalidInputError(
                f"{path:.200} cannot be read: it is not JSON ({error}); save it again, as GeoJSON "
                "or GeoPackage"
            ) from error
        require_cells(path, rows, columns)


def require_parquet(path: str) -> None:
    """Check rows and columns of a file of Parquet, where a column of one value takes no bytes.

    Raises
    ------
    InvalidInputError
        If they are too many, or shapes are collections, which may be nested so deep that reading
        them ends the process.
    """
    from pyarrow.parquet import ParquetFile

    if not Path(path).is_file():
        return
    with ParquetFile(path) as file:
        require_cells(path, file.metadata.num_rows, file.metadata.num_columns)
        stated = (file.metadata.metadata or {}).get(b"geo", b"{}")
        shapes = _members(_members(json.loads(stated)).get("columns"))
        for batch in file.iter_batches(columns=[n for n in shapes if n in file.schema_arrow.names]):
            if any(map(_holds_collections, batch.columns)):
                raise InvalidInputError(
                    f"{path:.200} holds collections of shapes; give polygons only or points only"
                )


def _holds_collections(column: Any) -> bool:
    """Return whether a column of Well-Known Binary holds a collection of shapes."""
    import pyarrow
    from pyarrow.compute import binary_slice, unique

    if not (pyarrow.types.is_binary(column.type) or pyarrow.types.is_large_binary(column.type)):
        return False
    starts = [one for one in unique(binary_slice(column, 0, 5)).to_pylist() if one]
    codes = [int.from_bytes(one[1:], "little" if one[0] else "big") for one in starts]
    return any((code & 0xFFFF) % 1000 == _COLLECTION for code in codes)


def _json_texts(path: str) -> Iterator[str]:
    """Yield what is JSON: a file, files in a zip, or the path itself, which GDAL reads as well."""
    if path.lstrip().startswith("{"):
        yield path
    elif Path(path).is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with open_member(archive, name, sys.maxsize) as member:
                    yield from _text(member, path)
    elif Path(path).is_file():
        with Path(path).open("rb") as file:
            yield from _text(file, path)


def _text(file: Any, path: str) -> Iterator[str]:
    start = file.read(1024)
    if not start.lstrip(b" \t\r\n\x1e\xef\xbb\xbf").startswith((b"{", *_CALLS)):
        return
    content = start + file.read(LARGEST_TEXT)
    if len(content) > LARGEST_TEXT:
        raise InvalidInputError(
            f"{path:.200} holds more than {LARGEST_TEXT / 1e6:.0f} MB of JSON; save it as a "
            "GeoPackage"
        )
    text = content.decode("utf-8-sig", "replace")
    del content
    yield text


def _count(text: str) -> tuple[int, int]:
    """Count the features of a text, and the names of their properties."""
    rows, names = 0, set[str]()
    for feature in _features(text):
        for part in (feature, feature.get("properties"), feature.get("attributes")):
            names.update(_members(part))
        rows += 1
    return rows, len(names)


def _features(text: str) -> Iterator[dict]:
    """Yield the features of collections, or of a sequence of values, one after the other.

    Each is decoded by itself, so that not all are in memory at once.
    """
    at = max(text.find("{"), 0)

    def step_over(sign: str) -> bool:
        """Return whether a sign is next, and go on after it."""
        nonlocal at
        found = _SIGNS[sign].match(text, at)
        at = found.end() if found else at
        return found is not None

    def value() -> Any:
        """Decode the next value; ValueError where there is none."""
        nonlocal at
        found, at = _DECODER.raw_decode(text, at)
        return found

    while step_over("{"):
        others = {}
        while not step_over("}"):
            name = value()
            if not isinstance(name, str):
                raise ValueError(f"{name!r:.40} is no name of a member")
            step_over(":")
            if name in ("features", "geometries") and step_over("["):
                while not step_over("]"):
                    yield _members(value())
                    step_over(",")
            else:
                others[name] = value()
            step_over(",")
        for layer in _members(others.get("objects")).values():  # of TopoJSON
            shapes = _members(layer).get("geometries")
            yield from map(_members, shapes if isinstance(shapes, list) else ())
        yield others


def _members(value: Any) -> dict:
    return value if isinstance(value, dict) else {}
