"""The manifest of an orbit: which objects it has, with size and digest.

A reader learns from it that a chunk is missing, which by Zarr alone would be no data, and does not
ask for chunks that do not exist. For each layer and time chunk there is a table, a text with one
line for each chunk (``sha256 size name``), compressed by gzip; another one lists the coordinates.
A table is named after its own digest, so that a commit writes new ones beside those that readers
know; the metadata say which are valid, and which chunks exist. Beside the tables, and named in the
same way, is a copy of each coordinate, since scenes do not tell all of what lies along time.
Without s2kit, a table is checked by
``zcat TABLE | awk '{print $1"  "$3}' | sha256sum -c``.
"""

import base64
import gzip
import hashlib
import itertools
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numcodecs import Zstd

from s2kit.cube.damaged import read_found, write_found
from s2kit.cube.layout import group_of, read_chunk_key
from s2kit.cube.store import Store
from s2kit.errors import CubeError

_CODEC = Zstd(level=9)
_LARGEST = 2**30
"""Flags that a manifest may hold: a cube of a continent has fewer chunks."""


@dataclass(frozen=True)
class Entry:
    """What is known of an object.

    Attributes
    ----------
    size : int
        In bytes.
    digest : str
        Its SHA-256, hexadecimal.
    """

    size: int
    digest: str

    def matches(self, data: bytes | None) -> bool:
        """Return whether this is what is known of an object."""
        return data is not None and entry_of(data) == self


Table = dict[str, Entry]
"""Objects by name."""

ChunkGrid = tuple[int, int]
"""How many chunks there are, (rows, columns)."""


def entry_of(data: bytes) -> Entry:
    """Return size and digest of an object."""
    return Entry(len(data), hashlib.sha256(data).hexdigest())


def write_table(table: Mapping[str, Entry]) -> bytes:
    """Return a table as it is stored: the same bytes for the same objects."""
    lines = (f"{entry.digest} {entry.size} {key}\n" for key, entry in sorted(table.items()))
    return gzip.compress("".join(lines).encode(), mtime=0)


def read_table(store: Store, orbit: int, name: str) -> Table:
    """Read a stored table.

    Raises
    ------
    CubeError
        If it is missing or damaged.
    """
    key = table_key(orbit, name)
    data = store.read(key)
    try:
        if data is None:
            raise ValueError("it is missing")
        if name != entry_of(data).digest:
            raise ValueError("its digest is another one")
        return dict(map(_read_line, gzip.decompress(data).decode().splitlines()))
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise CubeError(
            f"{store.url}: {key}, a table of the manifest, is damaged ({error}); bring it back "
            "from a copy, or build the cube anew"
        ) from error


def _read_line(line: str) -> tuple[str, Entry]:
    digest, size, key = line.split(" ", 2)
    return key, Entry(int(size), digest)


def require_whole(store: Store, key: str, expected: Entry) -> bytes:
    """Return an object, if it is the one that was written.

    Raises
    ------
    CubeError
        If it is missing or damaged.
    """
    data = store.read(key)
    if expected.matches(data):
        return data
    write_found(store, {*read_found(store), key})
    raise CubeError(
        f"{store.path(key)} is {'missing' if data is None else 'damaged'}; the cube is as it was. "
        "Build it again with the scenes of these dates too, which mends it, or bring that file "
        "back from a copy"
    )


def read_coordinates(
    store: Store, orbit: int, table: Table, keys: Sequence[str]
) -> dict[str, bytes | None]:
    """Return coordinates by name: from their copies where they are not what the table lists.

    They are damaged then, or of a state that follows. What is in neither place is returned as it
    is, or as None.
    """
    found = dict(zip(keys, store.read_all(list(keys)), strict=True))
    for key, data in found.items():
        if key in table and not table[key].matches(data):
            copy = store.read(table_key(orbit, table[key].digest))
            if table[key].matches(copy):
                found[key] = copy
    return found


def copies_of(orbit: int, table: Table) -> Table:
    """Return the copies of coordinates that are listed in a table."""
    return {table_key(orbit, entry.digest): entry for entry in table.values()}


def table_key(orbit: int, name: str) -> str:
    """Return the name of the object that holds a table."""
    return f"{group_of(orbit)}/.manifest/{name}"


@dataclass(frozen=True)
class Manifest:
    """The manifest of one orbit, as the metadata hold it.

    Attributes
    ----------
    tables : dict of str to tuple of str
        Names of the tables of each layer, one for each time chunk.
    present : dict of str to numpy.ndarray, shape (time chunks, chunks of all levels), bool
        Which chunks of each layer exist: those of the base row by row, then those of level 1 …
    coordinates : str
        Name of the table of the coordinates; empty while a commit replaces these.
    """

    tables: dict[str, tuple[str, ...]]
    present: dict[str, np.ndarray]
    coordinates: str = ""

    def names(self) -> list[str]:
        """Return the names of all tables."""
        coordinates = [self.coordinates] if self.coordinates else []
        return [*coordinates, *itertools.chain(*self.tables.values())]

    def document(self) -> dict[str, Any]:
        """Return what the metadata say."""
        bits = np.concatenate([self.present[layer].ravel() for layer in self.tables])
        packed = _CODEC.encode(np.packbits(bits).tobytes())
        return {
            "coordinates": self.coordinates,
            "tables": {layer: list(names) for layer, names in self.tables.items()},
            "present": base64.b64encode(packed).decode(),
        }

    def changed(
        self, first: int, tables: Mapping[str, Sequence[Table]], grids: Sequence[ChunkGrid]
    ) -> tuple["Manifest", dict[str, bytes]]:
        """Return a manifest with other time chunks from one on, and its new tables as stored."""
        names, present, stored = {}, {}, {}
        for layer, known in self.tables.items():
            data = [write_table(table) for table in tables[layer]]
            own = [entry_of(one).digest for one in data]
            stored |= dict(zip(own, data, strict=True))
            names[layer] = (*known[:first], *own)
            flags = [flags_of(table, grids) for table in tables[layer]]
            present[layer] = np.vstack([self.present[layer][:first], *flags])
        return replace(self, tables=names, present=present), stored

    def mended(
        self, tables: Mapping[tuple[str, int], Table]
    ) -> tuple["Manifest", dict[str, bytes]]:
        """Return a manifest with other digests for some layers and time chunks, and these."""
        names, stored = dict(self.tables), {}
        for (layer, chunk), table in tables.items():
            data = write_table(table)
            name = entry_of(data).digest
            names[layer] = (*names[layer][:chunk], name, *names[layer][chunk + 1 :])
            stored[name] = data
        return replace(self, tables=names), stored


def empty_manifest(layers: Iterable[str], grids: Sequence[ChunkGrid]) -> Manifest:
    """Return the manifest of an orbit without steps."""
    size = sum(map(math.prod, grids))
    tables: dict[str, tuple[str, ...]] = dict.fromkeys(layers, ())
    return Manifest(tables, {layer: np.zeros((0, size), bool) for layer in tables})


def read_manifest(
    document: dict[str, Any], layers: Sequence[str], grids: Sequence[ChunkGrid]
) -> Manifest:
    """Read a manifest out of the metadata.

    Parameters
    ----------
    document : dict
    layers : sequence of str
        Of the cube, in their order.
    grids : sequence of tuple of int
        How many chunks each level has, (rows, columns).

    Raises
    ------
    ValueError
        If it does not fit the cube.
    """
    tables = {layer: tuple(document["tables"][layer]) for layer in layers}
    names = Manifest(tables, {}, document["coordinates"]).names()
    if not all(isinstance(name, str) and _is_digest(name) for name in names):
        raise ValueError("the manifest names tables otherwise than by a digest")
    steps = {len(names) for names in tables.values()}
    size = sum(map(math.prod, grids))
    total = max(steps) * size * len(tables)
    if len(steps) != 1 or total > _LARGEST:
        raise ValueError(f"the manifest has {total} chunks, in {sorted(steps)} time chunks")
    packed = np.empty(-(-total // 8), "u1")
    _CODEC.decode(base64.b64decode(document["present"]), packed)
    bits = np.unpackbits(packed, count=total).astype(bool).reshape(len(tables), -1, size)
    return Manifest(tables, dict(zip(tables, bits, strict=True)), document["coordinates"])


def _is_digest(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def by_time_chunk(table: Table, layers: Iterable[str], chunks: range) -> dict[str, list[Table]]:
    """Sort chunks by layer and by time chunk."""
    found: dict[str, list[Table]] = {layer: [{} for _ in chunks] for layer in layers}
    for key, entry in table.items():
        place = read_chunk_key(key)
        if place.index[0] in chunks:
            found[place.layer][place.index[0] - chunks.start][key] = entry
    return found


def flags_of(keys: Iterable[str], grids: Sequence[ChunkGrid]) -> np.ndarray:
    """Return which chunks of one layer in one time chunk exist, in the order of `Manifest`."""
    found = [np.zeros(grid, bool) for grid in grids]
    for key in keys:
        place = read_chunk_key(key)
        found[place.level][place.index[1:]] = True
    return np.concatenate([level.ravel() for level in found])


def level_flags(present: np.ndarray, grids: Sequence[ChunkGrid], level: int) -> np.ndarray:
    """Return which chunks of one level exist, shape (time chunks, rows, columns)."""
    sizes = [math.prod(grid) for grid in grids]
    first = sum(sizes[:level])
    return present[:, first : first + sizes[level]].reshape(-1, *grids[level])
