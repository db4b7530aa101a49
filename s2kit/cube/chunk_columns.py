"""Go through layers as they are stored: one column of chunks through time after the other.

What is worked on at a time is what one chunk of each layer holds. It stays in the processor's cache
from when it is decompressed, where Dask's blocks of physical values would go through memory.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from s2kit.cube.chunk_reader import (
    AT_ONCE,
    ChunkSelection,
    ConcatenatedLayer,
    StoredLayer,
    batches,
    fetch,
    require,
    select_chunks,
)

Piece = tuple[np.ndarray, list[tuple[StoredLayer, np.ndarray]]]
_Orbit = tuple[list[StoredLayer], list[tuple[ChunkSelection, np.ndarray]]]


def lie_alike(layers: Sequence[StoredLayer | ConcatenatedLayer]) -> bool:
    """Return whether layers are of one cube, in the same chunks, as `columns` needs them."""
    places = [
        [
            (part.objects.url, part.shape, part.origin, part.chunks, steps.tobytes())
            for part, steps in one.parts
        ]
        for one in layers
    ]
    return all(one == places[0] for one in places)


def columns(
    layers: Sequence[StoredLayer | ConcatenatedLayer], steps: np.ndarray, rows: slice, cols: slice
) -> Iterator[tuple[slice, slice, Iterator[Piece]]]:
    """Cut a window into columns of chunks.

    Parameters
    ----------
    layers : sequence of StoredLayer or ConcatenatedLayer
        Of one cube, so that their chunks lie alike.
    steps : numpy.ndarray, shape (time,), bool
        Which steps are wanted.
    rows, cols : slice
        The window.

    Yields
    ------
    rows, cols : slice
        Where the column lies in the window.
    pieces : iterator
        The column through time, one orbit after the other, in pieces of ``(steps, stored)``: which
        steps, and of each layer itself and what it holds, shape (step, y, x), valid until the
        next piece. Where a layer has no chunk there is nothing, and no piece.
    """
    orbits: list[_Orbit] = []
    for parts in zip(*(layer.parts for layer in layers), strict=True):
        stored, places = [layer for layer, _ in parts], parts[0][1]
        wanted = np.flatnonzero(steps[places])
        times = [(t, places[wanted[t.target]]) for t in select_chunks(wanted, stored[0].chunks[0])]
        orbits.append((stored, times))
        require(stored)  # no chunk is no data, but no layer is an error
    _, height, width = stored[0].chunks
    _, top, left = stored[0].origin
    down = select_chunks(np.arange(rows.start, rows.stop) + top, height)
    across = select_chunks(np.arange(cols.start, cols.stop) + left, width)
    for y, x in itertools.product(down, across):
        assert isinstance(y.target, slice) and isinstance(x.target, slice)  # of a whole window
        yield y.target, x.target, _pieces(orbits, y, x)


def _pieces(orbits: list[_Orbit], y: ChunkSelection, x: ChunkSelection) -> Iterator[Piece]:
    for layers, times in orbits:
        for some in batches(times, max(1, AT_ONCE // len(layers))):
            chunks = [(layer, (t.chunk, y.chunk, x.chunk)) for t, _ in some for layer in layers]
            objects = iter(fetch(chunks))
            for t, steps in some:
                found = list(itertools.islice(objects, len(layers)))
                whole = [(name, data) for name, data in found if data is not None]
                if len(whole) == len(layers):
                    part = (t.inside, y.inside, x.inside)
                    stored = [
                        (layer, layer.decompress(*one, slot)[part])
                        for slot, (layer, one) in enumerate(zip(layers, whole, strict=True))
                    ]
                    yield steps, stored
