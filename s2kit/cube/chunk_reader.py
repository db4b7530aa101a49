"""Read what is asked of a layer straight from its chunks: fetch, decompress, pick, decode.

A general Zarr reader takes longer around the decompression than for it: the same xarray expression
ran three times as long on one as on this (tests/benchmarks/analysis.py). Here a chunk goes once
through a buffer that stays in the processor's cache.
"""

import copy
import json
import math
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import numba
import numpy as np
from dask.base import normalize_token
from dask.system import CPU_COUNT
from numcodecs import blosc
from xarray.backends import BackendArray
from xarray.core import indexing

from s2kit.credentials import shown_cause
from s2kit.cube.codec import blosc_size, decode_coordinate, is_whole
from s2kit.cube.keys import coordinate_keys
from s2kit.cube.layers import TIMELINE
from s2kit.cube.store import Objects
from s2kit.errors import CubeError

AT_ONCE = 64
"""Objects that are fetched together from a remote store."""

_T = TypeVar("_T")

MAPPING = "spatial_ref/.zattrs"
"""Where a group says in which system and grid its pixels lie."""


_buffers = threading.local()
"""The buffers of each thread, by slot; each holds one chunk at a time."""


@dataclass(frozen=True)
class ChunkSelection:
    """What is taken from the chunks in one place along one axis."""

    chunk: int
    inside: slice | np.ndarray
    target: slice | np.ndarray
    size: int


@dataclass(eq=False, repr=False)
class StoredLayer(BackendArray):
    """One layer of one orbit as it lies in its store, in physical values.

    Parameters
    ----------
    objects : Objects
        Where the chunks are.
    prefix : str
        Name of the array in the store, such as ``S2/R051/B04``.
    document : dict
        Its ``.zarray``.
    scale : float or None
        Physical value of one count; None leaves counts as they are, for classes.
    times : numpy.ndarray, shape (time,), int64
        Its steps as they are stored; some may have come after them since.
    mapping : dict
        Where its pixels lie: the attributes of ``spatial_ref``.
    present : numpy.ndarray, shape (time chunks, rows, columns), bool
        Which chunks exist, by the manifest; others are no data.
    threads : bool, default False
        Work on several chunks side by side; Dask has threads of its own.
    """

    objects: Objects
    prefix: str
    document: dict[str, Any]
    scale: float | None
    times: np.ndarray
    mapping: dict[str, Any]
    present: np.ndarray
    threads: bool = False

    def __post_init__(self):
        self.shape = (len(self.times), *self.document["shape"][1:])
        self.origin = (0, 0, 0)
        self.chunks = tuple(self.document["chunks"])
        self.stored = np.dtype(self.document["dtype"])
        self.dtype = self.stored if self.scale is None else np.dtype("float32")

    def __dask_tokenize__(self):
        state = (self.objects, self.prefix, self.document, self.scale, self.times, self.mapping)
        return normalize_token((*state, self.threads, self.origin, self.shape))

    def cut(self, rows: slice, cols: slice) -> "StoredLayer":
        """Return a window of the layer; its first pixel is at ``origin`` in what is stored."""
        part = copy.copy(self)
        sizes = (s.stop - s.start for s in (rows, cols))
        part.shape = (self.shape[0], *sizes)
        time, y, x = self.origin
        part.origin = (time, y + rows.start, x + cols.start)
        return part

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self.read)

    def read(self, key: tuple) -> np.ndarray:
        """Return the values at a number, a slice or an array of numbers along each axis."""
        wanted = [np.arange(n)[k] for k, n in zip(key, self.shape, strict=True)]
        out = np.empty([np.size(w) for w in wanted], self.dtype)
        places = [np.atleast_1d(w) + o for w, o in zip(wanted, self.origin, strict=True)]
        axes = [list(select_chunks(p, c)) for p, c in zip(places, self.chunks, strict=True)]
        pieces = [(t, y, x) for t in axes[0] for y in axes[1] for x in axes[2]]
        there = False
        for some in batches(pieces):
            found = fetch([(self, (t.chunk, y.chunk, x.chunk)) for t, y, x in some])
            there |= any(data is not None for _, data in found)
            each = _pool().map if self.threads else map
            deque(each(partial(self._fill, out), some, found), 0)
        if not there:
            require([self])
        return out.reshape([n for w in wanted for n in np.shape(w)])

    @property
    def parts(self) -> list[tuple["StoredLayer", np.ndarray]]:
        """The layer of each orbit, and where its steps lie in the whole: here all, in order."""
        return [(self, np.arange(self.shape[0]))]

    def require_steps(self) -> None:
        """Check that its chunks are still those of its steps and pixels.

        Scenes may have come between the steps; another cube may have taken the place of this one.

        Raises
        ------
        CubeError
        """
        group, _ = self.prefix.rsplit("/", 1)
        steps = coordinate_keys(f"{group}/time", len(self.times))
        found = self.objects.read_all([f"{self.prefix}/.zarray", f"{group}/{MAPPING}", *steps])
        document, mapping, *times = found
        if document is None or mapping is None or None in times:
            require([self])
        else:
            now = decode_coordinate(times, TIMELINE["time"][0], len(self.times))
            alike = _layout(json.loads(document)) == _layout(self.document)
            if alike and json.loads(mapping) == self.mapping and np.array_equal(now, self.times):
                return
        raise CubeError(
            f"the steps or the grid of {self.objects.url} have changed since it was opened; open "
            "it again"
        )

    def key(self, *index: int) -> str:
        """Return the name of a chunk."""
        return f"{self.prefix}/{self.document['dimension_separator'].join(map(str, index))}"

    def decompress(self, name: str, data: bytes, slot: int = 0) -> np.ndarray:
        """Decompress a chunk into a buffer of this thread: valid until the slot's next one."""
        buffer = _buffer(math.prod(self.chunks) * self.stored.itemsize, slot)
        try:
            if blosc_size(data) != buffer.size or not is_whole(data):
                raise ValueError(f"{len(data)} bytes do not hold a chunk of {self.chunks}")
            blosc.decompress(data, buffer)
        except (RuntimeError, ValueError) as error:
            raise CubeError(
                f"{self.objects.url}: {name} is damaged ({error}); bring it back from a copy, or "
                "build the cube anew"
            ) from shown_cause(error)
        return buffer.view(self.stored).reshape(self.chunks)

    def _fill(
        self, out: np.ndarray, piece: tuple[ChunkSelection, ...], found: tuple[str, bytes | None]
    ) -> None:
        name, data = found
        target = tuple(selection.target for selection in piece)
        if data is None:
            out[_outer(target)] = self.nodata if self.scale is None else np.nan
            return
        chunk = self.decompress(name, data)
        inside = tuple(selection.inside for selection in piece)
        starts = tuple(part.start for part in (*inside, *target) if isinstance(part, slice))
        if self.scale is not None and len(starts) == 6:
            sizes = tuple(selection.size for selection in piece)
            _decode(chunk, out, starts, sizes, self.nodata, np.float32(self.scale))
        else:
            out[_outer(target)] = self.decode(chunk[_outer(inside)])

    @property
    def nodata(self) -> np.generic:
        """The stored value that means no data."""
        return self.stored.type(self.document["fill_value"])

    def decode(self, counts: np.ndarray) -> np.ndarray:
        """Convert stored values to physical ones, shape (time, y, x)."""
        if self.scale is None:
            return counts
        values = np.empty(counts.shape, "float32")
        _decode(counts, values, (0,) * 6, counts.shape, self.nodata, np.float32(self.scale))
        return values


class ConcatenatedLayer(BackendArray):
    """A layer of several orbits in order of time, of which only what is asked for is read.

    Parameters
    ----------
    layers : list of StoredLayer
        The layer in each orbit.
    order : numpy.ndarray, shape (time,), int64
        Where the steps come from: a number in all orbits' steps, one orbit after the other.
    """

    def __init__(self, layers: list[StoredLayer], order: np.ndarray):
        self.layers, self.order = layers, order
        self.shape = (len(order), *layers[0].shape[1:])
        self.dtype = layers[0].dtype

    @property
    def parts(self) -> list[tuple[StoredLayer, np.ndarray]]:
        """The layer of each orbit, and where its steps lie in the whole."""
        ends = np.cumsum([layer.shape[0] for layer in self.layers])
        return list(zip(self.layers, np.split(np.argsort(self.order), ends[:-1]), strict=True))

    def __dask_tokenize__(self):
        return normalize_token((self.layers, self.order))

    def cut(self, rows: slice, cols: slice) -> "ConcatenatedLayer":
        """Return a window of the layer."""
        return ConcatenatedLayer([layer.cut(rows, cols) for layer in self.layers], self.order)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        time, *place = key
        wanted = np.atleast_1d(self.order[time])
        parts, found, first = [], [], 0
        for layer in self.layers:
            last = first + layer.shape[0]
            here = np.flatnonzero((wanted >= first) & (wanted < last))
            if len(here) or not len(wanted):
                parts.append(layer.read((wanted[here] - first, *place)))
                found.append(here)
            first = last
        values = np.concatenate(parts)[np.argsort(np.concatenate(found))]
        return values if np.ndim(self.order[time]) else values[0]


def batches(things: Sequence[_T], size: int = AT_ONCE) -> Iterator[Sequence[_T]]:
    """Cut a sequence into parts that are fetched together."""
    for first in range(0, len(things), size):
        yield things[first : first + size]


def fetch(
    chunks: Sequence[tuple[StoredLayer, tuple[int, int, int]]],
) -> list[tuple[str, bytes | None]]:
    """Return names and objects of chunks of one store; None where there is no data.

    What does not exist by the manifest is not asked for.

    Raises
    ------
    CubeError
        If one that exists by the manifest is missing.
    """
    named = [(layer.key(*index), layer, index) for layer, index in chunks]
    asked = [(name, layer) for name, layer, index in named if layer.present[index]]
    names = [name for name, _ in asked]
    found = dict(zip(names, chunks[0][0].objects.read_all(names), strict=True))
    for name, layer in asked:
        if found[name] is None:
            require([layer])
            layer.require_steps()
            raise CubeError(
                f"{layer.objects.url}: {name} is missing, though it was written: a hole, not 'no "
                "data'. Build the cube again with the same scenes, which mends it, or bring that "
                "file back from a copy; s2kit.verify lists all that is damaged"
            )
    return [(name, found.get(name)) for name, *_ in named]


def require(layers: Sequence[StoredLayer]) -> None:
    """Check that layers of one store are still there: a missing chunk alone may be no data.

    Raises
    ------
    CubeError
    """
    found = layers[0].objects.read_all([f"{layer.prefix}/.zarray" for layer in layers])
    for layer, document in zip(layers, found, strict=True):
        if document is None:
            raise CubeError(
                f"{layer.objects.url} no longer holds {layer.prefix}: it was moved or removed "
                "since it was opened; open it where it is now"
            )


def _layout(document: dict[str, Any]) -> dict[str, Any]:
    """Return what stays the same when steps are added at the end."""
    return document | {"shape": document["shape"][1:]}


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CPU_COUNT, "s2kit-read")


def _buffer(size: int, slot: int) -> np.ndarray:
    slots: dict[int, np.ndarray] = vars(_buffers).setdefault("slots", {})
    if slot not in slots or slots[slot].size < size:
        slots[slot] = np.empty(size, "u1")
    return slots[slot][:size]


def select_chunks(wanted: np.ndarray, size: int) -> Iterator[ChunkSelection]:
    """Sort positions along an axis by the chunk that holds them."""
    holders = wanted // size
    for chunk in np.unique(holders):
        target = np.flatnonzero(holders == chunk)
        yield ChunkSelection(
            int(chunk), _as_slice(wanted[target] - chunk * size), _as_slice(target), len(target)
        )


def _as_slice(positions: np.ndarray) -> slice | np.ndarray:
    """Return consecutive positions as a slice, which numpy indexes faster; others as they are."""
    first = int(positions[0])
    last = first + len(positions)
    if positions[-1] + 1 == last and np.array_equal(positions, np.arange(first, last)):
        return slice(first, last)
    return positions


def _outer(key: tuple) -> tuple:
    """Index each axis on its own, as xarray's outer indexing does."""
    if sum(isinstance(part, np.ndarray) for part in key) == 0:
        return key
    arrays = [np.arange(p.start, p.stop) if isinstance(p, slice) else p for p in key]
    return np.ix_(*arrays)


@numba.njit(nogil=True, cache=True)
def _decode(chunk, out, starts, sizes, nodata, scale):
    """Write a part of a chunk, scaled, NaN where it is nodata, to its place in ``out``.

    ``starts`` are those of (time, y, x) in the chunk, and then in ``out``.
    """
    t0, y0, x0, t1, y1, x1 = starts
    times, rows, cols = sizes
    nan = np.float32(np.nan)
    for t in range(times):
        for y in range(rows):
            counts = chunk[t0 + t, y0 + y, x0 : x0 + cols]
            values = out[t1 + t, y1 + y, x1 : x1 + cols]
            for x in range(cols):  # one row after the other, so that the compiler vectorises
                value = np.float32(counts[x]) * scale
                values[x] = nan if counts[x] == nodata else value
