"""Make chunks from scenes: one task makes one layer of one strip for all steps of one time chunk.

Each source band is decoded once per strip, each chunk is written whole by one task, and a task's
memory is bounded by its block: neither the region nor the number of scenes enters.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial

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
from s2kit.cube.store import Store
from s2kit.cube.warp import block_coordinates, fill_bilinear, fill_nearest
from s2kit.errors import SceneError
from s2kit.scenes.radiometry import BANDS, offset_in_counts

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
    chunk : int
        Index of the time chunk.
    rows : slice
        The strip, in pixels of the grid.
    steps : tuple of PlannedStep
        Those of the time chunk.
    kept_separator : str
        In the names of the chunks that kept steps are read from; empty if there are none.
    tables : tuple of str
        The layer's tables in the manifest, by which chunks of kept steps are checked.
    staged : bool
        Whether readers may see chunks of these names, so that new ones wait for the commit.
    only : frozenset of tuple of int, optional
        The chunks (row, column) that are to be made; all if not given.
    """

    target: Target
    layer: str
    chunk: int
    rows: slice
    steps: tuple[PlannedStep, ...]
    kept_separator: str = ""
    tables: tuple[str, ...] = ()
    staged: bool = False
    only: frozenset[tuple[int, int]] | None = None


@dataclass
class Outcome:
    """What a task did: scenes it could not read, chunks it wrote, valid and clear pixels of steps.

    Those of steps that stay are not counted again.
    """

    task: Task
    valid: np.ndarray
    clear: np.ndarray
    failed: dict[str, str] = field(default_factory=dict)
    written: Table = field(default_factory=dict)


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
    steps = len(task.steps)
    outcome = Outcome(task, valid=np.zeros(steps, int), clear=np.zeros(steps, int))
    blocks, tables = _blocks(task), _kept_tables(task)
    several = len(blocks) > 1
    scratch: AbstractContextManager = (
        tempfile.TemporaryDirectory(prefix="s2kit-") if several else nullcontext()
    )
    with gdal(), scratch as folder:
        fetch = partial(_fetch, task, outcome.failed, folder)
        bands = cache(fetch) if several else fetch
        for cols in blocks:
            _make_block(task, cols, bands, tables, outcome)
    task.target.finish(outcome.written, stage=task.staged)
    return outcome


def shares(outcomes: list[Outcome], spec: CubeSpec) -> dict[int, dict[str, float]]:
    """Compute for each step the valid and the clear share of the region, by their names.

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
    return {
        at: {
            "valid_fraction": valid[at] / pixels,
            "clear_fraction": clear[at] / pixels if known else np.nan,
        }
        for at in valid
    }


def _blocks(task: Task) -> list[slice]:
    chunk_rows, chunk_cols = task.target.spec.chunks[1:]
    width = task.target.spec.grid.shape[1]
    rows = -(-(task.rows.stop - task.rows.start) // chunk_rows) * chunk_rows
    size = len(task.steps) * rows * np.dtype(LAYER_SPECS[task.layer].dtype).itemsize
    wide = max(_BLOCK_BYTES // size // chunk_cols, 1) * chunk_cols
    return [slice(left, min(left + wide, width)) for left in range(0, width, wide)]


def _fetch(task: Task, failed: dict[str, str], scratch: str | None, scene: Scene) -> list[Pixels]:
    """Read the band of a task, and for a probability the classification that masks it.

    An empty list means that the scene does not reach the strip, or cannot be read.
    """
    if scene.id in failed:
        return []
    try:
        grid = task.target.spec.grid
        return fetch_masked(scene, task.layer, grid, task.rows, scratch=scratch)
    except SceneError as error:
        failed[scene.id] = error.reason
        return []


def _make_block(
    task: Task,
    cols: slice,
    bands: Callable[[Scene], list[Pixels]],
    tables: dict[int, Table],
    outcome: Outcome,
) -> None:
    layer, spec = LAYER_SPECS[task.layer], task.target.spec
    height, width = task.rows.stop - task.rows.start, cols.stop - cols.start
    padded = [-(-n // c) * c for n, c in zip((height, width), spec.chunks[1:], strict=True)]
    block = np.full((len(task.steps), *padded), layer.nodata, layer.dtype)
    _restore_kept(task, cols, tables, block)
    for t, step in enumerate(task.steps):
        if step.kept is not None:
            continue
        inside = block[t, :height, :width]
        for scene in step.scenes:
            _fill(inside, scene, bands(scene), spec, layer, task.rows, cols)
        outcome.valid[t] += np.count_nonzero(inside != layer.nodata)
        if task.layer == "SCL":
            outcome.clear[t] += np.count_nonzero(np.isin(inside, CLEAR_CLASSES))
    whole = np.full(spec.chunks, layer.nodata, layer.dtype)
    target = task.target
    check_held(target.store, target.lock_token)
    for index, chunk in _chunks(task, cols, block):
        if task.only is not None and index[1:] not in task.only:
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


def _kept_tables(task: Task) -> dict[int, Table]:
    """Read the tables of the time chunks that hold the steps of a task that stay."""
    store, orbit, depth = task.target.store, task.target.orbit, task.target.spec.chunks[0]
    chunks = {step.kept // depth for step in task.steps if step.kept is not None}
    return {chunk: read_table(store, orbit, task.tables[chunk]) for chunk in sorted(chunks)}


def _restore_kept(task: Task, cols: slice, tables: dict[int, Table], block: np.ndarray) -> None:
    """Copy the steps that stay into a block, from the chunks that readers see."""
    target, layer = task.target, LAYER_SPECS[task.layer]
    depth = target.spec.chunks[0]
    memory = np.empty(target.spec.chunks, layer.dtype)
    for old, table in tables.items():
        for (_, row, col), out in _chunks(task, cols, block):
            key = chunk_key(target.orbit, task.layer, (old, row, col), task.kept_separator)
            if key in table:
                data = require_whole(target.store, key, table[key])
                stored = decode(data, layer, target.spec.chunks, memory)
                for t, step in enumerate(task.steps):
                    if step.kept is not None and step.kept // depth == old:
                        out[t] = stored[step.kept % depth]


def _fill(
    out: np.ndarray,
    scene: Scene,
    bands: list[Pixels],
    spec: CubeSpec,
    layer: LayerSpec,
    rows: slice,
    cols: slice,
) -> None:
    """Fill what is still nodata in a block with the pixels of a scene."""
    window = bands[0].raster.window(spec.grid, rows, cols) if bands else None
    if window is None:
        return
    raster, values, nodata = bands[0].raster, bands[0].read(*window), 0
    if layer.name in ("CLD", "SNW"):  # 0 is a value of theirs; SCL states where there is no data
        nodata = layer.nodata
        if len(bands) > 1:
            values = np.where(bands[1].read(*window) == 0, np.uint8(nodata), values)
    x, y = block_coordinates(spec.grid, raster.crs, rows.start, rows.stop, cols.start, cols.stop)
    corner = (window[0].start, window[1].start)
    shift = offset_in_counts(scene.assets[layer.name].offset) if layer.name in BANDS else 0
    pixel = (raster.origin, raster.pixel, corner, nodata, layer.nodata, shift, layer.high)
    if layer.nearest or spec.resampling == "nearest":
        fill_nearest(out, x, y, values, *pixel)
    else:
        fill_bilinear(out, x, y, values, *pixel, raster.reach(spec.grid))
