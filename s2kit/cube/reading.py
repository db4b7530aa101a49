"""Read what is asked of a layer straight from its chunks: fetch, decompress, pick, decode.

A general Zarr reader passes each chunk through an event loop and three copies, which takes longer
than the decompression itself (tests/benchmarks/reading.py). Here a chunk goes once through a
buffer that stays in the processor's cache.
"""

import math
import threading
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numba
import numpy as np
from dask.system import CPU_COUNT
from numcodecs import get_codec
from xarray.backends import BackendArray
from xarray.core import indexing

from s2kit.cube.store import Store
from s2kit.errors import CubeError

_AT_ONCE = 64
"""Objects that are fetched together from a remote store."""

_buffers = threading.local()


class Archive:
    """The objects of a cube in a zip of what its folder holds."""

    def __init__(self, url: str):
        self.url = url
        self._zip = zipfile.ZipFile(url)

    def __reduce__(self):
        return Archive, (self.url,)

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Give objects by name; None where there is none."""
        return [self._read(key) for key in keys]

    def _read(self, key: str) -> bytes | None:
        try:
            return self._zip.read(key)
        except KeyError:
            return None


@dataclass(frozen=True)
class Pick:
    """What is taken from the chunks in one place along one axis."""

    chunk: int
    inside: slice | np.ndarray
    target: slice | np.ndarray
    size: int


class StoredLayer(BackendArray):
    """One layer of one orbit as it lies in its store, in physical values.

    Parameters
    ----------
    objects : Store or Archive
        Where the chunks are.
    prefix : str
        Name of the array in the store, such as ``S2/R051/B04``.
    document : dict
        Its ``.zarray``.
    scale : float or None
        Physical value of one count; None leaves counts as they are, for classes.
    threads : bool, default False
        Work on several chunks side by side; Dask has threads of its own.
    """

    def __init__(
        self,
        objects: Store | Archive,
        prefix: str,
        document: dict[str, Any],
        scale: float | None,
        threads: bool = False,
    ):
        self.objects, self.prefix, self.document, self.scale = objects, prefix, document, scale
        self.threads = threads
        self.shape = tuple(document["shape"])
        self.chunks = tuple(document["chunks"])
        self.stored = np.dtype(document["dtype"])
        self.codec = get_codec(document["compressor"])
        self.dtype = self.stored if scale is None else np.dtype("float32")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        wanted = [np.arange(n)[k] for k, n in zip(key, self.shape, strict=True)]
        out = np.empty([np.size(w) for w in wanted], self.dtype)
        axes = [list(_picks(np.atleast_1d(w), c)) for w, c in zip(wanted, self.chunks, strict=True)]
        pieces = [(t, y, x) for t in axes[0] for y in axes[1] for x in axes[2]]
        for first in range(0, len(pieces), _AT_ONCE):
            some = pieces[first : first + _AT_ONCE]
            names = [self._key(*(pick.chunk for pick in piece)) for piece in some]
            put = partial(self._put, out)
            each = _pool().map if self.threads else map
            deque(each(put, some, names, self.objects.read_all(names)), 0)
        return out.reshape([n for w in wanted for n in np.shape(w)])

    def _put(self, out: np.ndarray, piece: tuple[Pick, ...], name: str, data: bytes | None) -> None:
        self._fill(out, piece, None if data is None else self._decompress(name, data))

    def _key(self, *index: int) -> str:
        separator = self.document.get("dimension_separator", ".")
        return f"{self.prefix}/{separator.join(map(str, index))}"

    def _decompress(self, name: str, data: bytes) -> np.ndarray:
        buffer = _buffer(math.prod(self.chunks) * self.stored.itemsize)
        try:
            if _blosc_sizes(data) != (buffer.size, len(data)):
                raise ValueError(f"{len(data)} bytes do not hold a chunk of {self.chunks}")
            self.codec.decode(data, buffer)
        except (RuntimeError, ValueError) as error:
            raise CubeError(
                f"{self.objects.url}: {name} is damaged ({error}); bring it back from a copy, or "
                "build the cube anew"
            ) from error
        return buffer.view(self.stored).reshape(self.chunks)

    def _fill(self, out: np.ndarray, piece: tuple[Pick, ...], chunk: np.ndarray | None) -> None:
        nodata = self.document["fill_value"]
        target = tuple(pick.target for pick in piece)
        if chunk is None:
            out[_outer(target)] = nodata if self.scale is None else np.nan
            return
        inside = tuple(pick.inside for pick in piece)
        if self.scale is None:
            out[_outer(target)] = chunk[_outer(inside)]
        elif all(isinstance(part, slice) for part in (*inside, *target)):
            begin = (*(part.start for part in inside), *(part.start for part in target))
            sizes = tuple(pick.size for pick in piece)
            _decode(chunk, out, *begin, *sizes, chunk.dtype.type(nodata), np.float32(self.scale))
        else:
            picked = np.ascontiguousarray(chunk[_outer(inside)])
            values = np.empty(picked.shape, "float32")
            sizes = picked.shape
            _decode(picked, values, *([0] * 6), *sizes, picked.dtype.type(nodata),
                    np.float32(self.scale))  # fmt: skip
            out[_outer(target)] = values


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CPU_COUNT, "s2kit-read")


def _blosc_sizes(data: bytes) -> tuple[int, int]:
    """Give the size before and after compression, as Blosc's header states them."""
    return int.from_bytes(data[4:8], "little"), int.from_bytes(data[12:16], "little")


def _buffer(size: int) -> np.ndarray:
    """Give this thread's buffer, which holds one chunk at a time."""
    if getattr(_buffers, "bytes", np.empty(0)).size < size:
        _buffers.bytes = np.empty(size, "u1")
    return _buffers.bytes[:size]


def _picks(wanted: np.ndarray, size: int) -> Iterator[Pick]:
    """Sort positions along an axis by the chunk that holds them."""
    holders = wanted // size
    for chunk in np.unique(holders):
        target = np.flatnonzero(holders == chunk)
        yield Pick(
            int(chunk), _as_slice(wanted[target] - chunk * size), _as_slice(target), len(target)
        )


def _as_slice(positions: np.ndarray) -> slice | np.ndarray:
    """Positions that follow one another are read faster as a slice."""
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
def _decode(chunk, out, t0, y0, x0, t1, y1, x1, times, rows, cols, nodata, scale):
    """Write a part of a chunk, scaled, NaN where it is nodata, to its place in ``out``."""
    nan = np.float32(np.nan)
    for t in range(times):
        for y in range(rows):
            counts = chunk[t0 + t, y0 + y, x0 : x0 + cols]
            values = out[t1 + t, y1 + y, x1 : x1 + cols]
            for x in range(cols):  # one row after the other, so that the compiler vectorises
                value = np.float32(counts[x]) * scale
                values[x] = nan if counts[x] == nodata else value
