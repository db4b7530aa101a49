"""Make chunks from scenes: one task makes one layer of one strip for all steps of one time chunk.

Each source band is decoded once per strip, each chunk is written whole by one task, and a task's
memory is bounded by its block: neither the region nor the number of scenes enters.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from s2kit.cube.acquisitions import PlannedStep, Scene
from s2kit.cube.checked_reads import read_table, require_whole
from s2kit.cube.codec import decode, encode
from s2kit.cube.imagery import Pixels, fetch_masked, gdal
from s2kit.cube.keys import chunk_key, staged
from s2kit.cube.layers import LAYER_SPECS, LayerSpec
from s2kit.cube.lock import check_held
from s2kit.cube.manifest import Table, entry_of
from s2kit.cube.model import CubeSpec
from s2kit.cube.offset import shift_of
from s2kit.cube.store import Store
from s2kit.cube.warp import block_coordinates, fill_bilinear, fill_nearest
from s2kit.errors import SceneError

_BLOCK_BYTES = 2**27
"""One block of one layer, all steps of a time chunk."""

_STRIP_ROWS = 4096
"""Rows of a strip in pixels of the source. A JP2 tile is 1024 pixels high, and a tile on a seam
between strips is decoded twice."""

CLEAR_CLASSES = (4, 5, 6, 7)
"""Vegetation, bare soil, water, unclassified."""


@dataclass(frozen=True)
class Target:
    """Where the tasks of one orbit write.

    Attributes
    ----------
    separator : str
        In the names of the chunks that are written.
    lock_token : str
        A task that outlives its build, on a cluster, writes nothing any more.
    sync : bool
        Whether what is written is to be on the disk when a task ends: on another host, nobody else
        can see to that.
    """

    store: Store
    spec: CubeSpec
    orbit: int
    separator: str
    lock_token: str
    sync: bool = False

    def key(self, layer: str, index: tuple[int, int, int], level: int = 0) -> str:
        """Return the name of a chunk."""
        return chunk_key(self.orbit, layer, index, self.separator, level)

    def put(self, key: str, data: bytes, *, stage: bool) -> None:
        """Write a chunk to its place, or stage it for the commit."""
        self.store.put(staged(key) if stage else key, data)

    def finish(self, written: Iterable[str], *, stage: bool) -> None:
        """Sync what a task has written, if that is its duty."""
        if self.sync:
            self.store.sync([staged(key) if stage else key for key in written])


@dataclass(frozen=True)
class Task:
    """One layer, one strip, one time chunk.

    Attributes
    ----------
    target : Target
    layer : str
    chunk : int
        Index of the time chunk.
    rows : slice
        The strip, in pixels of the grid.
    steps : tuple of PlannedStep
        Those of the time chunk.
    kept_separator : str
        In the names of the chunks that kept steps are read from.
    tables : tuple of str
        The layer's tables in the manifest, by which chunks of kept steps are checked.
    staged : bool
        Whether readers know chunks of these names, so that new ones wait for the commit.
    only : frozenset of tuple of int, optional
        The chunks (row, column) that are to be made; all if not given.
    """

    target: Target
    layer: str
    chunk: int
    rows: slice
    steps: tuple[PlannedStep, ...]
    kept_separator: str
    tables: tuple[str, ...] = ()
    staged: bool = False
    only: frozenset[tuple[int, int]] | None = None

    def wants(self, index: tuple[int, int, int]) -> bool:
        """Return whether a chunk is to be made."""
        return self.only is None or index[1:] in self.only


@dataclass
class Outcome:
    """What a task did: scenes it could not read, chunks it wrote, valid and clear pixels of steps.

    Those of steps that stay are not counted again.
    """

    task: Task
    failed: dict[str, str] = field(default_factory=dict)
    written: Table = field(default_factory=dict)
    valid: np.ndarray | None = None
    clear: np.ndarray | None = None


def strips(spec: CubeSpec, layer: str) -> list[slice]:
    """Cut the grid into strips of whole chunks for one layer."""
    height = spec.grid.shape[0]
    pixel = abs(spec.grid.affine.e)
    native = LAYER_SPECS[layer].attrs["native_resolution_m"]
    in_grid = _STRIP_ROWS * (native / pixel if pixel > 1 and native > pixel else 1)
    tall = max(int(in_grid) // spec.chunks[1], 1) * spec.chunks[1]
    return [slice(top, min(top + tall, height)) for top in range(0, height, tall)]


def run(task: Task) -> Outcome:
    """Make the chunks of a task and write them.

    Scenes that cannot be read are named in the outcome and leave no pixels behind only if the
    task is run again without them.
    """
    outcome = Outcome(
        task, valid=np.zeros(len(task.steps), int), clear=np.zeros(len(task.steps), int)
    )
    blocks = _blocks(task)
    with gdal(), tempfile.TemporaryDirectory(prefix="s2kit-") as folder:
        bands = _Bands(task, folder if len(blocks) > 1 else None, outcome.failed)
        kept = _Kept(task)
        for cols in blocks:
            _make_block(task, cols, bands, kept, outcome)
    task.target.finish(outcome.written, stage=task.staged)
    return outcome


def shares(outcomes: list[Outcome], spec: CubeSpec) -> dict[int, tuple[float, float]]:
    """Compute for each step the valid and the clear share of the region.

    Valid is a pixel of the first layer that is not nodata; the clear share is NaN without SCL.
    """
    pixels = spec.grid.shape[0] * spec.grid.shape[1]
    valid: Counter[int] = Counter()
    clear: Counter[int] = Counter()
    for outcome in outcomes:
        task = outcome.task
        for step in range(len(task.steps)):
            at = task.chunk * spec.chunks[0] + step
            valid[at] += int(outcome.valid[step]) * (task.layer == spec.layers[0])
            clear[at] += int(outcome.clear[step])
    known = "SCL" in spec.layers
    return {at: (valid[at] / pixels, clear[at] / pixels if known else np.nan) for at in valid}


def _blocks(task: Task) -> list[slice]:
    chunk_rows, chunk_cols = task.target.spec.chunks[1:]
    width = task.target.spec.grid.shape[1]
    rows = -(-(task.rows.stop - task.rows.start) // chunk_rows) * chunk_rows
    size = len(task.steps) * rows * np.dtype(LAYER_SPECS[task.layer].dtype).itemsize
    wide = max(_BLOCK_BYTES // size // chunk_cols, 1) * chunk_cols
    return [slice(left, min(left + wide, width)) for left in range(0, width, wide)]


class _Bands:
    """The source bands of a task, each read once."""

    def __init__(self, task: Task, scratch: str | None, failed: dict[str, str]):
        self.task, self.scratch, self.failed = task, scratch, failed
        self.spooled: dict[str, list[Pixels]] = {}

    def of(self, scene: Scene) -> list[Pixels]:
        """Return the band of the task, and for a probability the classification that masks it.

        An empty list means that the scene does not reach the strip, or cannot be read.
        """
        if scene.id in self.spooled:
            return self.spooled[scene.id]
        found = [] if scene.id in self.failed else self._fetch(scene)
        if self.scratch is not None:
            self.spooled[scene.id] = found
        return found

    def _fetch(self, scene: Scene) -> list[Pixels]:
        grid, rows = self.task.target.spec.grid, self.task.rows
        try:
            return fetch_masked(scene, self.task.layer, grid, rows, scratch=self.scratch)
        except SceneError as error:
            self.failed[scene.id] = error.reason
            return []


def _make_block(task: Task, cols: slice, bands: _Bands, kept: "_Kept", outcome: Outcome) -> None:
    layer, spec = LAYER_SPECS[task.layer], task.target.spec
    height, width = task.rows.stop - task.rows.start, cols.stop - cols.start
    padded = [-(-n // c) * c for n, c in zip((height, width), spec.chunks[1:], strict=True)]
    block = np.full((len(task.steps), *padded), layer.nodata, layer.dtype)
    kept.restore(cols, block)
    for t, step in enumerate(task.steps):
        if step.kept is not None:
            continue
        inside = block[t, :height, :width]
        for scene in step.scenes:
            _fill(inside, scene, bands.of(scene), spec, layer, task.rows, cols)
        outcome.valid[t] += np.count_nonzero(inside != layer.nodata)
        if task.layer == "SCL":
            outcome.clear[t] += np.count_nonzero(np.isin(inside, CLEAR_CLASSES))
    whole = np.full(spec.chunks, layer.nodata, layer.dtype)
    target = task.target
    check_held(target.store, target.lock_token)
    for index, chunk in _chunks(task, cols, block):
        if not task.wants(index):
            continue
        key = target.key(task.layer, index)
        if (chunk == layer.nodata).all():
            if not task.staged:
                target.store.delete(key)  # what a build that died has left
            continue
        whole[: len(chunk)] = chunk
        data = encode(whole)
        target.put(key, data, stage=task.staged)
        outcome.written[key] = entry_of(data)


def _chunks(
    task: Task, cols: slice, block: np.ndarray
) -> Iterator[tuple[tuple[int, int, int], np.ndarray]]:
    """Yield each chunk of a block with its index in the array."""
    _, high, wide = task.target.spec.chunks
    for i in range(0, block.shape[1], high):
        for j in range(0, block.shape[2], wide):
            index = (task.chunk, (task.rows.start + i) // high, (cols.start + j) // wide)
            yield index, block[:, i : i + high, j : j + wide]


class _Kept:
    """The steps of a task that stay, in the chunks that readers see."""

    def __init__(self, task: Task):
        self.task = task
        self.steps = {t: step.kept for t, step in enumerate(task.steps) if step.kept is not None}
        depth = task.target.spec.chunks[0]
        self.tables = {
            chunk: read_table(task.target.store, task.target.orbit, task.tables[chunk])
            for chunk in sorted({step // depth for step in self.steps.values()})
        }
        self.chunk = np.empty(task.target.spec.chunks, LAYER_SPECS[task.layer].dtype)

    def restore(self, cols: slice, block: np.ndarray) -> None:
        """Copy the steps that stay into a block."""
        depth = self.task.target.spec.chunks[0]
        for old in self.tables:
            for index, target in _chunks(self.task, cols, block):
                chunk = self._read((old, *index[1:])) if self.task.wants(index) else None
                if chunk is None:
                    continue
                for t, step in self.steps.items():
                    if step // depth == old:
                        target[t] = chunk[step % depth]

    def _read(self, index: tuple[int, int, int]) -> np.ndarray | None:
        """Return a chunk as stored, valid until the next one; None where there is none.

        Raises
        ------
        CubeError
            If it is not the one that was written.
        """
        task, target = self.task, self.task.target
        key = chunk_key(target.orbit, task.layer, index, task.kept_separator)
        expected = self.tables[index[0]].get(key)
        if expected is None:
            return None
        data = require_whole(target.store, key, expected)
        return decode(data, LAYER_SPECS[task.layer], target.spec.chunks, self.chunk)


def _fill(
    out: np.ndarray,
    scene: Scene,
    found: list[Pixels],
    spec: CubeSpec,
    layer: LayerSpec,
    rows: slice,
    cols: slice,
) -> None:
    if not found:
        return
    raster = found[0].raster
    window = raster.window(spec.grid, rows, cols)
    if window is None:
        return
    values = found[0].read(*window)
    nodata = 0
    if layer.name in ("CLD", "SNW"):
        nodata = layer.nodata
        if len(found) > 1:
            values = np.where(found[1].read(*window) == 0, np.uint8(nodata), values)
    block = rows.start, rows.stop, cols.start, cols.stop
    x, y = block_coordinates(spec.grid, raster.crs, *block)
    corner = (window[0].start, window[1].start)
    pixel = (raster.origin, raster.pixel, corner, nodata, layer.nodata)
    shift = shift_of(scene, layer.name)
    if layer.nearest or spec.resampling == "nearest":
        fill_nearest(out, x, y, values, *pixel, shift, layer.high)
    else:
        fill_bilinear(out, x, y, values, *pixel, shift, layer.high, raster.reach(spec.grid))
