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

from s2kit.cube.keys import group_of, is_known, read_chunk_key, table_key
from s2kit.errors import CubeError

_CODEC = Zstd(level=9)
_ZSTD = b"\x28\xb5\x2f\xfd"
_LARGEST_TABLE = 2**26
"""Bytes of a table, unpacked: 450 000 chunks. A layer of the Netherlands has 96 000."""

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


def add_table(stored: dict[str, bytes], table: Mapping[str, Entry]) -> str:
    """Add a table, as it is stored, to others by name; return its name."""
    data = write_table(table)
    name = entry_of(data).digest
    stored[name] = data
    return name


def parse_table(place: str, orbit: int, name: str, data: bytes | None) -> Table:
    """Return what a stored table lists; its name is the digest that it has if it is whole.

    Raises
    ------
    CubeError
        If it is missing or damaged, or lists what is not of the orbit.
    """
    try:
        if data is None:
            raise ValueError("it is missing")
        if name != entry_of(data).digest:
            raise ValueError("its digest is another one")
        table = {}
        groups = (f"{group_of(orbit)}/", f"{group_of(orbit)}_L")
        for line in _unpack(data).decode().splitlines():
            digest, size, key = line.split(" ", 2)
            if not (is_known(key) and key.startswith(groups)):
                raise ValueError(f"it lists {key[:80]!r}, which is not of orbit {orbit}")
            table[key] = Entry(int(size), digest)
        return table
    except (ValueError, zlib.error) as error:
        raise CubeError(
            f"{place}: {table_key(orbit, name)}, a table of the manifest, is damaged ({error}); "
            "bring it back from a copy, or build the cube anew"
        ) from error


def _unpack(data: bytes) -> bytes:
    """Decompress a table, which may not be larger than there can be chunks."""
    stream = zlib.decompressobj(wbits=31)
    text = stream.decompress(data, _LARGEST_TABLE)
    if not stream.eof:
        raise ValueError("it is cut off, or too large")
    return text


def copies_of(orbit: int, table: Table) -> Table:
    """Return the copies of coordinates that are listed in a table."""
    return {table_key(orbit, entry.digest): entry for entry in table.values()}


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
        return [*filter(None, [self.coordinates]), *itertools.chain(*self.tables.values())]

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
        names, present = {}, {}
        stored: dict[str, bytes] = {}
        for layer, known in self.tables.items():
            own = [add_table(stored, table) for table in tables[layer]]
            names[layer] = (*known[:first], *own)
            flags = [flags_of(table, grids) for table in tables[layer]]
            present[layer] = np.vstack([self.present[layer][:first], *flags])
        return replace(self, tables=names, present=present), stored

    def mended(
        self, tables: Mapping[tuple[str, int], Table]
    ) -> tuple["Manifest", dict[str, bytes]]:
        """Return a manifest with other digests for some layers and time chunks, and these."""
        names = dict(self.tables)
        stored: dict[str, bytes] = {}
        for (layer, chunk), table in tables.items():
            name = add_table(stored, table)
            names[layer] = (*names[layer][:chunk], name, *names[layer][chunk + 1 :])
        return replace(self, tables=names), stored


def empty_manifest(layers: Iterable[str], grids: Sequence[ChunkGrid]) -> Manifest:
    """Return the manifest of an orbit without steps."""
    size = sum(map(math.prod, grids))
    tables: dict[str, tuple[str, ...]] = dict.fromkeys(layers, ())
    return Manifest(tables, {layer: np.zeros((0, size), bool) for layer in tables})


def read_manifest(
    document: dict[str, Any], layers: Sequence[str], grids: Sequence[ChunkGrid], chunks: int
) -> Manifest:
    """Read the manifest of a cube with these layers, chunks of its levels, and time chunks.

    While a commit replaces the coordinates, it has more time chunks than the steps need.

    Raises
    ------
    ValueError
        If it does not fit the cube.
    """
    tables = {layer: tuple(document["tables"][layer]) for layer in layers}
    names = Manifest(tables, {}, document["coordinates"]).names()
    if not all(map(is_digest, names)):
        raise ValueError("the manifest names tables otherwise than by a digest")
    counts = {len(names) for names in tables.values()}
    size = sum(map(math.prod, grids))
    total = max(counts) * size * len(tables)
    if len(counts) != 1 or min(counts) < chunks or total > _LARGEST:
        raise ValueError(
            f"the manifest has {total} chunks, in {sorted(counts)} time chunks of {chunks}"
        )
    stored = base64.b64decode(document["present"])
    if _frame_size(stored) != -(-total // 8):
        raise ValueError(f"the manifest does not say of all {total} chunks whether they exist")
    packed = np.frombuffer(_CODEC.decode(stored), "u1")
    bits = np.unpackbits(packed, count=total).astype(bool).reshape(len(tables), -1, size)
    return Manifest(tables, dict(zip(tables, bits, strict=True)), document["coordinates"])


def _frame_size(data: bytes) -> int:
    """Return the size after decompression that a frame of Zstandard states (RFC 8878, 3.1.1)."""
    if data[:4] != _ZSTD or len(data) < 5:
        raise ValueError("the flags of the manifest are not compressed by Zstandard")
    single, dictionary, kind = data[4] >> 5 & 1, data[4] & 3, data[4] >> 6
    first = 5 + (1 - single) + (0, 1, 2, 4)[dictionary]
    length = (single, 2, 4, 8)[kind]
    return int.from_bytes(data[first : first + length], "little") + (256 if kind == 1 else 0)


def is_digest(name: Any) -> bool:
    """Return whether this is a SHA-256, hexadecimal."""
    return isinstance(name, str) and len(name) == 64 and set(name) <= set("0123456789abcdef")


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
