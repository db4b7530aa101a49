"""The names of the objects in a store: groups, chunks, documents, tables."""

import re
from dataclasses import dataclass

from s2kit.cube.layers import LAYER_SPECS, TIMELINE, TIMELINE_CHUNK

SEPARATORS = (".", "/")
"""Zarr 2 names a chunk ``0.1.2`` or ``0/1/2``, as its metadata say. So an array has two sets of
names, and a rewritten version can lie complete beside the one that is being read."""


def group_of(orbit: int, level: int = 0) -> str:
    """Name the group of a relative orbit, ``S2/R051``, or of one of its levels, ``S2/R051_L1``.

    Levels lie beside the base, not in it: in a tree of xarray a child is on its parent's grid.
    """
    return f"S2/R{orbit:03d}" + (f"_L{level}" if level else "")


def read_group(name: str) -> tuple[int, int]:
    """Return relative orbit and level of a group, as `group_of` names it."""
    orbit, _, level = name.removeprefix("S2/R").partition("_L")
    return int(orbit), int(level or 0)


def chunk_key(
    orbit: int, layer: str, index: tuple[int, int, int], separator: str, level: int = 0
) -> str:
    """Name the object that holds a chunk."""
    return f"{group_of(orbit, level)}/{layer}/{separator.join(map(str, index))}"


@dataclass(frozen=True)
class ChunkId:
    """Which chunk an object holds."""

    orbit: int
    level: int
    layer: str
    index: tuple[int, int, int]


_GROUP = r"S2/R(?P<orbit>\d{3})(?:_L(?P<level>[1-9]\d?))?"

_LAYERS = "|".join(LAYER_SPECS)

_COORDINATES = "|".join((*TIMELINE, "x", "y", "spatial_ref"))

_CHUNK_KEY = re.compile(
    rf"{_GROUP}/(?P<layer>{_LAYERS})/(?P<index>\d{{1,9}}([./])\d{{1,9}}\5\d{{1,9}})"
)

_OBJECT_KEY = re.compile(
    rf"\.z(group|attrs|metadata)|S2/\.z(group|attrs)|{_GROUP}/(\.z(group|attrs|metadata)"
    rf"|({_LAYERS})/\.z(array|attrs)|({_COORDINATES})/(\.z(array|attrs)|\d{{1,9}})"
    rf"|\.manifest/[0-9a-f]{{64}})"
)


def read_chunk_key(key: str) -> ChunkId:
    """Return which chunk an object holds.

    Raises
    ------
    ValueError
        If `chunk_key` does not make such a name.
    """
    match = _CHUNK_KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key!r} is not the name of a chunk")
    time, row, col = map(int, re.split("[./]", match["index"]))
    return ChunkId(int(match["orbit"]), int(match["level"] or 0), match["layer"], (time, row, col))


def other_separator(separator: str) -> str:
    """Return the separator of the other set of chunk names."""
    return SEPARATORS[1 - SEPARATORS.index(separator)]


def renamed_chunk(key: str, separator: str) -> str:
    """Return the name of the same chunk with another separator."""
    place = read_chunk_key(key)
    return chunk_key(place.orbit, place.layer, place.index, separator, place.level)


def is_object(key: str) -> bool:
    """Return whether a name is that of a document, a coordinate or a table of a cube."""
    return _OBJECT_KEY.fullmatch(key) is not None


def is_known(key: str) -> bool:
    """Return whether a name is that of an object that a cube can have."""
    return is_object(key) or _CHUNK_KEY.fullmatch(key) is not None


def is_chunk(name: str, separator: str) -> bool:
    """Return whether a name below a layer is that of a chunk, in one of the two sets of names."""
    parts = name.split(separator)
    return len(parts) == 3 and all(part.isdigit() for part in parts)


def coordinate_keys(prefix: str, length: int, chunk: int = TIMELINE_CHUNK) -> list[str]:
    """Return the names of the objects that hold a coordinate of so many values."""
    return [f"{prefix}/{i}" for i in range(-(-max(length, 1) // chunk))]


METADATA = ".zmetadata"
"""The consolidated metadata, of the root and of each group."""


def table_key(orbit: int, name: str) -> str:
    """Return the name of the object that holds a table."""
    return f"{group_of(orbit)}/.manifest/{name}"


WORK_FOLDER = ".s2kit"
"""Folder below the store for the lock and for objects that are being written; no reader looks."""

LOCK = f"{WORK_FOLDER}/lock"

REDO = f"{WORK_FOLDER}/redo"
"""The record of a commit that is being carried out."""

STAGING = f"{WORK_FOLDER}/staging"
"""Folder for new versions of chunks that readers see, until the commit puts them in place."""

DRAFT = "draft-"
"""Beginning of the names, in the work folder, of objects that are not in their place yet."""


def staged(key: str) -> str:
    """Return the name under which a new version of an object waits for its commit."""
    return f"{STAGING}/{key}"
