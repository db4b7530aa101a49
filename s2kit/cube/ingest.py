"""Make chunks from scenes: one task makes one layer of one strip for all steps of one time chunk.

Each source band is decoded once per strip, each chunk is written whole by one task, and a task's
memory is bounded by its block: neither the region nor the number of scenes enters.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from s2kit.cube.layout import LAYER, Layer, Profile, chunk_key, decode, encode
from s2kit.cube.offset import shift_of
from s2kit.cube.source import Pixels, fetch_masked, gdal
from s2kit.cube.steps import Scene
from s2kit.cube.store import Store
from s2kit.cube.warp import block_coordinates, fill_bilinear, fill_nearest
from s2kit.errors import CubeError, SceneError

_BLOCK_BYTES = 2**27
"""One block of one layer, all steps of a time chunk."""

_STRIP_ROWS = 4096
"""Rows of a strip in pixels of the source. A JP2 tile is 1024 pixels high, and a tile on a seam
between strips is decoded twice."""

CLEAR_CLASSES = (4, 5, 6, 7)
"""Vegetation, bare soil, water, unclassified."""


@dataclass(frozen=True)
class Slot:
    """One step of a time chunk: kept from a step of the store, or made from scenes."""

    kept: int | None
    scenes: tuple[Scene, ...] = ()


@dataclass(frozen=True)
class Task:
    """One layer, one strip, one time chunk.

    ``separator_in`` names the chunks that kept steps are read from, ``separator_out`` the ones
    that are written. ``word`` is that of the build's lock: a task that outlives its build, on a
    cluster, writes nothing any more.
    """

    store: Store
    profile: Profile
    orbit: int
    layer: str
    chunk: int
    rows: slice
    slots: tuple[Slot, ...]
    separator_in: str
    separator_out: str
    word: str


@dataclass
class Outcome:
    """What a task did: scenes it could not read, chunks it wrote, valid and clear pixels a step."""

    task: Task
    failed: dict[str, str] = field(default_factory=dict)
    written: list[tuple[int, int, int]] = field(default_factory=list)
    valid: np.ndarray | None = None
    clear: np.ndarray | None = None

    @property
    def keys(self) -> list[str]:
        """The names of the chunks that were written."""
        task = self.task
        return [chunk_key(task.orbit, task.layer, n, task.separator_out) for n in self.written]


def strips(profile: Profile, layer: str) -> list[slice]:
    """Cut the grid into strips of whole chunks for one layer."""
    height = profile.grid.shape[0]
    pixel = abs(profile.grid.affine.e)
    native = LAYER[layer].attrs["native_resolution_m"]
    in_grid = _STRIP_ROWS * (native / pixel if pixel > 1 and native > pixel else 1)
    tall = max(int(in_grid) // profile.chunks[1], 1) * profile.chunks[1]
    return [slice(top, min(top + tall, height)) for top in range(0, height, tall)]


def run(task: Task) -> Outcome:
    """Make the chunks of a task and write them.

    Scenes that cannot be read are named in the outcome and leave no pixels behind only if the
    task is run again without them.
    """
    outcome = Outcome(
        task, valid=np.zeros(len(task.slots), int), clear=np.zeros(len(task.slots), int)
    )
    blocks = _blocks(task)
    with gdal(), tempfile.TemporaryDirectory(prefix="s2kit-") as folder:
        bands = _Bands(task, folder if len(blocks) > 1 else None, outcome.failed)
        for cols in blocks:
            _make_block(task, cols, bands, outcome)
    return outcome


def shares(outcomes: list[Outcome], profile: Profile) -> dict[int, tuple[float, float]]:
    """Give for each step the valid and the clear share of the region.

    Valid is a pixel of the first layer that is not nodata; the clear share is NaN without SCL.
    """
    pixels = profile.grid.shape[0] * profile.grid.shape[1]
    valid: Counter[int] = Counter()
    clear: Counter[int] = Counter()
    for outcome in outcomes:
        task = outcome.task
        for step in range(len(task.slots)):
            at = task.chunk * profile.chunks[0] + step
            valid[at] += int(outcome.valid[step]) * (task.layer == profile.layers[0])
            clear[at] += int(outcome.clear[step])
    known = "SCL" in profile.layers
    return {at: (valid[at] / pixels, clear[at] / pixels if known else np.nan) for at in valid}


def _blocks(task: Task) -> list[slice]:
    chunk_rows, chunk_cols = task.profile.chunks[1:]
    width = task.profile.grid.shape[1]
    rows = -(-(task.rows.stop - task.rows.start) // chunk_rows) * chunk_rows
    size = len(task.slots) * rows * np.dtype(LAYER[task.layer].dtype).itemsize
    wide = max(_BLOCK_BYTES // size // chunk_cols, 1) * chunk_cols
    return [slice(left, min(left + wide, width)) for left in range(0, width, wide)]


class _Bands:
    """The source bands of a task, each read once."""

    def __init__(self, task: Task, scratch: str | None, failed: dict[str, str]):
        self.task, self.scratch, self.failed = task, scratch, failed
        self.spooled: dict[str, list[Pixels]] = {}

    def of(self, scene: Scene) -> list[Pixels]:
        """Give the band of the task, and for a probability the classification that masks it.

        An empty list means that the scene does not reach the strip, or cannot be read.
        """
        if scene.id in self.spooled:
            return self.spooled[scene.id]
        found = [] if scene.id in self.failed else self._fetch(scene)
        if self.scratch is not None:
            self.spooled[scene.id] = found
        return found

    def _fetch(self, scene: Scene) -> list[Pixels]:
        grid, rows = self.task.profile.grid, self.task.rows
        try:
            return fetch_masked(scene, self.task.layer, grid, rows, scratch=self.scratch)
        except SceneError as error:
            self.failed[scene.id] = error.reason
            return []


def _make_block(task: Task, cols: slice, bands: _Bands, outcome: Outcome) -> None:
    layer, profile = LAYER[task.layer], task.profile
    height, width = task.rows.stop - task.rows.start, cols.stop - cols.start
    padded = [-(-n // c) * c for n, c in zip((height, width), profile.chunks[1:], strict=True)]
    block = np.full((len(task.slots), *padded), layer.nodata, layer.dtype)
    _restore_kept(task, cols, block)
    for t, slot in enumerate(task.slots):
        inside = block[t, :height, :width]
        for scene in slot.scenes:
            _fill(inside, scene, bands.of(scene), profile, layer, task.rows, cols)
        outcome.valid[t] += np.count_nonzero(inside != layer.nodata)
        if task.layer == "SCL":
            outcome.clear[t] += np.count_nonzero(np.isin(inside, CLEAR_CLASSES))
    whole = np.full(profile.chunks, layer.nodata, layer.dtype)
    for index, chunk in _chunks(task, cols, block):
        key = chunk_key(task.orbit, task.layer, index, task.separator_out)
        empty = (chunk == layer.nodata).all()
        whole[: len(chunk)] = chunk
        data = None if empty else encode(whole)
        task.store.check_held(task.word)
        if data is None:
            task.store.delete(key)
        else:
            task.store.write(key, data)
            outcome.written.append(index)


def _chunks(
    task: Task, cols: slice, block: np.ndarray
) -> Iterator[tuple[tuple[int, int, int], np.ndarray]]:
    """Give each chunk of a block with its index in the array."""
    _, high, wide = task.profile.chunks
    for i in range(0, block.shape[1], high):
        for j in range(0, block.shape[2], wide):
            index = (task.chunk, (task.rows.start + i) // high, (cols.start + j) // wide)
            yield index, block[:, i : i + high, j : j + wide]


def _restore_kept(task: Task, cols: slice, block: np.ndarray) -> None:
    """Copy the steps that stay from the chunks that readers see."""
    depth = task.profile.chunks[0]
    kept = {t: slot.kept for t, slot in enumerate(task.slots) if slot.kept is not None}
    for old in sorted({k // depth for k in kept.values()}):
        for (_, i, j), target in _chunks(task, cols, block):
            data = task.store.read(
                chunk_key(task.orbit, task.layer, (old, i, j), task.separator_in)
            )
            if data is None:
                continue
            chunk = _decode(data, task, (old, i, j))
            for t, k in kept.items():
                if k // depth == old:
                    target[t] = chunk[k % depth]


def _decode(data: bytes, task: Task, index: tuple[int, int, int]) -> np.ndarray:
    try:
        return decode(data, LAYER[task.layer], task.profile.chunks)
    except (RuntimeError, ValueError) as error:
        key = chunk_key(task.orbit, task.layer, index, task.separator_in)
        raise CubeError(
            f"{task.store.path(key)} is damaged ({error}); the cube is as it was. Build it anew, "
            "or bring that file back from a copy"
        ) from error


def _fill(
    out: np.ndarray,
    scene: Scene,
    found: list[Pixels],
    profile: Profile,
    layer: Layer,
    rows: slice,
    cols: slice,
) -> None:
    if not found:
        return
    raster = found[0].raster
    window = raster.window(profile.grid, rows, cols)
    if window is None:
        return
    values = found[0].read(*window)
    nodata = 0
    if layer.name in ("CLD", "SNW"):
        nodata = layer.nodata
        if len(found) > 1:
            values = np.where(found[1].read(*window) == 0, np.uint8(nodata), values)
    block = rows.start, rows.stop, cols.start, cols.stop
    x, y = block_coordinates(profile.grid, raster.crs, *block)
    corner = (window[0].start, window[1].start)
    pixel = (raster.origin, raster.pixel, corner, nodata, layer.nodata)
    shift = shift_of(scene, layer.name)
    if layer.nearest or profile.resampling == "nearest":
        fill_nearest(out, x, y, values, *pixel, shift, layer.high)
    else:
        fill_bilinear(out, x, y, values, *pixel, shift, layer.high, raster.reach(profile.grid))
