"""Make coarser levels from the chunks of the base: exact means, and the most frequent class.

One task goes through all base chunks of a layer in one time chunk as a quadtree, depth first: each
is decoded once, and counts for at most one chunk of each level at a time. Sums and counts of *base*
pixels are handed up, so that a coarse pixel is the mean, or the mode, of all valid base pixels
under it; nothing is rounded twice. Memory is bounded by chunk and levels, not by the region.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numba
import numpy as np

from s2kit.cube.checked_reads import read_table, require_whole
from s2kit.cube.codec import decode, encode
from s2kit.cube.ingest import Outcome, Target
from s2kit.cube.keys import read_chunk_key, staged
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.lock import check_held
from s2kit.cube.manifest import Table, entry_of
from s2kit.cube.model import CubeSpec
from s2kit.errors import CubeError

_CLASSES = 12
"""Of Sen2Cor's classification; what lies above is none, and is not counted."""

_Kernels = tuple[Callable[..., None], Callable[..., None], Callable[..., None]]
"""Those that add a chunk of the base, add one of the level below, and write the result."""


@dataclass(frozen=True)
class CoarserTask:
    """All levels above the base of one layer in one time chunk.

    Attributes
    ----------
    target : Target
        Its separator also names the chunks that are read.
    chunk : int
        Index of the time chunk.
    steps : int
        How many steps of the time chunk there are.
    present : numpy.ndarray, shape (rows, cols) of chunks, bool
        Which chunks the base has; where there is none, all levels are without data.
    staged : bool
        Whether the chunks of the base that were just made, and those made here, wait for a commit.
    known : dict of str to Entry
        Chunks of the base that are in their place, as the manifest has them.
    only : frozenset of str, optional
        The chunks that are to be made; all if not given.
    kept : int
        Steps at the beginning that the chunks of the levels hold already, and are not made again.
    table : str
        Name of the table of the manifest that lists these chunks.
    """

    target: Target
    layer: str
    chunk: int
    steps: int
    present: np.ndarray
    staged: bool = False
    known: Table = field(default_factory=dict)
    only: frozenset[str] | None = None
    kept: int = 0
    table: str = ""


def coarser_tasks(outcomes: Iterable[Outcome]) -> list[CoarserTask]:
    """Return the tasks that follow those of the base; none if there are no levels."""
    tasks: dict[tuple[str, int], CoarserTask] = {}
    for outcome in outcomes:
        base = outcome.task
        if len(base.target.spec.grids) == 1:
            continue
        place = base.layer, base.chunk
        if place not in tasks:
            kept = sum(step.kept is not None for step in base.steps) if base.staged else 0
            tasks[place] = CoarserTask(
                base.target,
                *place,
                len(base.steps),
                nothing_present(base.target.spec),
                base.staged,
                kept=kept,
                table=base.tables[base.chunk] if kept else "",
            )
        for key in outcome.written:
            tasks[place].present[read_chunk_key(key).index[1:]] = True
    return list(tasks.values())


def nothing_present(spec: CubeSpec) -> np.ndarray:
    """Return flags of the base's chunks, none of which is there, shape (rows, cols)."""
    return np.zeros(spec.chunk_grids[0], bool)


def coarsen(task: CoarserTask) -> Table:
    """Write the chunks of all levels, which are returned, and remove those that are left over."""
    walk = _Walk(task)
    for row, col in np.ndindex(walk.present[-1].shape):
        check_held(task.target.store, task.target.lock_token)
        walk.visit(len(walk.present) - 1, row, col)
    task.target.finish(walk.written, stage=task.staged)
    return walk.written


class _Walk:
    """The walk through the quadtree, with the totals of one chunk for each level.

    Totals are sums and counts of the valid base pixels under each pixel of a chunk; for the
    classification, counts of each class.
    """

    def __init__(self, task: CoarserTask):
        self.task, self.target, self.layer = task, task.target, LAYER_SPECS[task.layer]
        spec = self.target.spec
        self.present = [task.present]
        for _ in spec.grids[1:]:
            self.present.append(_halved(self.present[-1]))
        shape = (task.steps - task.kept, *spec.chunks[1:])
        modes = task.layer == "SCL"
        self.add_base, self.add_finer, self.result = _MODES if modes else _MEANS
        self.totals = [_no_totals(shape, n, modes) for n in range(len(self.present))]
        self.whole = np.full(spec.chunks, self.layer.nodata, self.layer.dtype)
        self.base = np.empty_like(self.whole)
        self.before: Table = {}
        if task.kept:
            self.before = read_table(self.target.store, self.target.orbit, task.table)
        self.written: Table = {}

    def visit(self, level: int, row: int, col: int) -> None:
        """Sum up what lies under a chunk, and write it."""
        if not self.present[level][row, col]:
            self._clear(level, row, col)
            return
        for array in self.totals[level]:
            array[:] = 0
        for down, right in np.ndindex(2, 2):
            child = (2 * row + down, 2 * col + right)
            if all(n < size for n, size in zip(child, self.present[level - 1].shape, strict=True)):
                self._add(level, *child)
        self._write(level, row, col)

    def _add(self, level: int, row: int, col: int) -> None:
        """Add a chunk of the level below."""
        corner = (row % 2 * self.whole.shape[1], col % 2 * self.whole.shape[2])
        if level > 1:
            self.visit(level - 1, row, col)
        if not self.present[level - 1][row, col]:
            return
        if level > 1:
            self.add_finer(*self.totals[level - 1], *self.totals[level], *corner)
        else:
            self.add_base(self._read(row, col), self.layer.nodata, *self.totals[level], *corner)

    def _read(self, row: int, col: int) -> np.ndarray:
        task, store, key = self.task, self.target.store, self._key(0, row, col)
        if key in task.known:
            data: bytes | None = require_whole(store, key, task.known[key])
        else:
            data = store.read(staged(key) if task.staged else key)
        try:
            if data is None:
                raise ValueError("it is not there")
            chunk = decode(data, self.layer, self.base.shape, self.base)
            return chunk[task.kept : task.steps]
        except (RuntimeError, ValueError) as error:
            raise CubeError(
                f"{store.path(key)}, which was just written, cannot be read: {error}; "
                "the cube is as it was. Give a store that all workers see, and build again"
            ) from error

    def _write(self, level: int, row: int, col: int) -> None:
        task, key = self.task, self._key(level, row, col)
        values = self.whole[: task.steps]
        self._restore(key, values[: task.kept])
        self.result(*self.totals[level], self.layer.nodata, values[task.kept :])
        if (values == self.layer.nodata).all():
            self._remove(level, row, col)
            return
        if task.only is not None and key not in task.only:
            return
        data = encode(self.whole)
        self.target.put(key, data, stage=task.staged)
        self.written[key] = entry_of(data)

    def _restore(self, key: str, kept: np.ndarray) -> None:
        """Copy the steps that stay from the chunk that readers see."""
        entry = self.before.get(key)
        if entry is None:
            kept[:] = self.layer.nodata
        else:
            data = require_whole(self.target.store, key, entry)
            kept[:] = decode(data, self.layer, self.base.shape, self.base)[: len(kept)]

    def _clear(self, level: int, row: int, col: int) -> None:
        """Remove what a build that died left in and under a chunk."""
        for below in range(level, 0, -1):
            places = zip((row, col), self.present[below].shape, strict=True)
            under = [
                range(n << level - below, min(n + 1 << level - below, size)) for n, size in places
            ]
            for i, j in itertools.product(*under):
                self._remove(below, i, j)

    def _remove(self, level: int, row: int, col: int) -> None:
        if self.task.only is None:
            self.target.store.delete(self._key(level, row, col))

    def _key(self, level: int, row: int, col: int) -> str:
        return self.target.key(self.task.layer, (self.task.chunk, row, col), level)


def _halved(present: np.ndarray) -> np.ndarray:
    """Return which chunks of the next level have data below them."""
    rows, cols = present.shape
    even = np.pad(present, ((0, rows % 2), (0, cols % 2)))
    return even.reshape(-(-rows // 2), 2, -(-cols // 2), 2).any((1, 3))


def _no_totals(shape: tuple[int, int, int], level: int, modes: bool) -> tuple[np.ndarray, ...]:
    """Return sums and counts, or counts of each class, of no pixels.

    Counts are of the smallest type that holds the number of base pixels under one of the level.
    """
    # The twelve counts of a pixel are most of the memory of a walk through SCL. A byte for each is
    # enough for the first three levels, whose pixels stand for 4, 16 and 64 of the base.
    counter = np.min_scalar_type(4**level)
    if modes:
        return (np.zeros((*shape, _CLASSES), counter),)
    # 64 bits: the sum of 4**8 base pixels of uint16 (WVP) may pass the largest int32
    return np.zeros(shape, "i8"), np.zeros(shape, counter)


# The kernels of means and of modes take the same arguments. All arrays have the shape
# (time, row, column), counts of classes a last axis more, and the loops run in this order, which is
# that of the memory. ``top, left`` is the corner of a chunk of the level below among the up to four
# that make a chunk, in pixels of its own size; pixel row y of it adds to row ``(top + y) >> 1``.
# Sums and counts are whole numbers, so they are exact, and the order of adding does not matter.


@numba.njit(nogil=True, cache=True)
def _add_values(values, nodata, sums, counts, top, left):
    """Add stored values of the base, of any integer type, to sums (int64) and counts (unsigned)."""
    times, rows, cols = values.shape
    for t in range(times):
        for y in range(rows):
            # one row of each, so that the inner loop indexes one dimension only
            row_sums, row_counts = sums[t, (top + y) >> 1], counts[t, (top + y) >> 1]
            for x in range(cols):
                value = values[t, y, x]
                if value != nodata:
                    row_sums[(left + x) >> 1] += value
                    row_counts[(left + x) >> 1] += 1


@numba.njit(nogil=True, cache=True)
def _add_sums(finer_sums, finer_counts, sums, counts, top, left):
    """Add sums (int64) and counts (unsigned) of the level below to those of this level."""
    # not its means: a mean of rounded means is rounded twice, and its pixels may stand for
    # different numbers of valid base pixels
    times, rows, cols = finer_sums.shape
    for t in range(times):
        for y in range(rows):
            row_sums, row_counts = sums[t, (top + y) >> 1], counts[t, (top + y) >> 1]
            for x in range(cols):
                row_sums[(left + x) >> 1] += finer_sums[t, y, x]
                row_counts[(left + x) >> 1] += finer_counts[t, y, x]


@numba.njit(nogil=True, cache=True)
def _divide(sums, counts, nodata, out):
    """Write the means, rounded half away from zero, as GDAL rounds.

    Takes int64 sums and unsigned counts; ``out`` has the type of the layer.
    """
    times, rows, cols = sums.shape
    for t in range(times):
        for y in range(rows):
            for x in range(cols):
                count = np.int64(counts[t, y, x])  # signed, as the sums: all stays int64
                if count == 0:
                    out[t, y, x] = nodata
                else:
                    total = sums[t, y, x]
                    # floor(|mean| + 1/2) without a float: exact, also half-way between two values
                    away = (2 * abs(total) + count) // (2 * count)
                    out[t, y, x] = away if total >= 0 else -away


@numba.njit(nogil=True, cache=True)
def _add_classes(values, nodata, counts, top, left):
    """Count the classes of the base, uint8, shape (time, row, column, class) of the counts."""
    times, rows, cols = values.shape
    classes = counts.shape[3]
    for t in range(times):
        for y in range(rows):
            for x in range(cols):
                value = values[t, y, x]
                # Numba does not check indices: an unknown class would be written elsewhere
                if value != nodata and value < classes:
                    counts[t, (top + y) >> 1, (left + x) >> 1, value] += 1


@numba.njit(nogil=True, cache=True)
def _add_counts(finer, counts, top, left):
    """Add the counts of each class of the level below to those of this level."""
    # not its modes: the most frequent of four modes need not be the most frequent base class
    times, rows, cols, classes = finer.shape
    for t in range(times):
        for y in range(rows):
            for x in range(cols):
                here = counts[t, (top + y) >> 1, (left + x) >> 1]
                for value in range(classes):
                    here[value] += finer[t, y, x, value]


@numba.njit(nogil=True, cache=True)
def _most_frequent(counts, nodata, out):
    """Write the most frequent class, uint8, the smallest of equals; no data where none counts."""
    times, rows, cols, classes = counts.shape
    for t in range(times):
        for y in range(rows):
            for x in range(cols):
                best, most = nodata, 0
                for value in range(1, classes):  # 0 is no data
                    if counts[t, y, x, value] > most:
                        best, most = value, counts[t, y, x, value]
                out[t, y, x] = best


_MEANS: _Kernels = _add_values, _add_sums, _divide
_MODES: _Kernels = _add_classes, _add_counts, _most_frequent
