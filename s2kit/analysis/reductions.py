"""Moments and percentiles along time: of chunks as they are stored, or of Dask's blocks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from s2kit.analysis import kernels
from s2kit.analysis.periods import Groups
from s2kit.analysis.series import Series, as_rows
from s2kit.cube.chunk_columns import columns, lie_alike
from s2kit.cube.chunk_reader import ConcatenatedLayer, StoredLayer
from s2kit.cube.dask_layers import source_of

_SLAB = 2**16
"""Values of each layer that are worked on at a time: they stay in the processor's cache."""

_WIDTH = 256
"""Pixels along a side of what one task of Dask reads from the store."""


def moments(cube: xr.Dataset, steps: np.ndarray, series: Series, groups: Groups) -> da.Array:
    """Give what `kernels.finish_moments` does, for each period, with the deviation in place of M2.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
    steps : numpy.ndarray, shape (time,), bool
        Which steps of the cube are those of the series.
    series : Series
    groups : Groups
        The period of each step of the series.

    Returns
    -------
    dask.array.Array, shape (period, 5, …), float32
        The layers of a cube as it was opened are read as they are stored, any others through Dask.
    """
    sources = _sources(cube, series)
    if sources is None:
        return _moments_of_blocks(series, groups)
    return _over_windows(_moments_of_columns, sources, steps, series, groups, 5)


def rank(
    cube: xr.Dataset, steps: np.ndarray, series: Series, groups: Groups, wanted: Sequence[float]
) -> da.Array:
    """Give percentiles of each period, shape (period, percentile, …), float32; see `moments`."""
    sources, wanted = _sources(cube, series), np.asarray(wanted, "float64")
    if sources is not None:
        return _over_windows(
            _rank_of_columns, sources, steps, series, groups, len(wanted), wanted=wanted
        )
    layers = [layer.rechunk({0: -1}, method="tasks") for layer in series.layers]
    return da.map_blocks(
        _rank_of_block, *layers, series=replace(series, layers=[]), groups=groups, wanted=wanted,
        dtype="float32", new_axis=1, chunks=(groups.number, len(wanted), *layers[0].chunks[1:]),
        meta=np.empty((0,) * (layers[0].ndim + 1), "float32"),
    )  # fmt: skip


def _sources(cube: xr.Dataset, series: Series) -> list[StoredLayer | ConcatenatedLayer] | None:
    """Find what all layers of a series are stored in; None if one is not as it was opened."""
    layers = [cube[name] for name in series.names]
    sources = [source_of(one) for one in layers if one.dims == ("time", "y", "x")]
    complete = len(sources) == len(series.layers) and None not in sources
    return sources if complete and lie_alike(sources) else None


def _over_windows(
    reduce: Callable, sources: list, steps: np.ndarray, series: Series, groups: Groups, planes: int,
    **options: Any,
) -> da.Array:  # fmt: skip
    """Run a reduction of what is stored, window by window; gives (period, planes, y, x)."""
    ids = np.full(len(steps), -1)
    ids[steps] = groups.ids
    space = [_wider(sizes) for sizes in series.layers[0].chunks[1:]]
    return da.map_blocks(
        reduce, sources, ids, series=replace(series, layers=[]), number=groups.number, **options,
        dtype="float32", chunks=((groups.number,), (planes,), *space),
        meta=np.empty((0,) * 4, "float32"),
    )  # fmt: skip


def _wider(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Join blocks side by side, so that Dask has less to do."""
    joined = max(1, _WIDTH // max(sizes))
    return tuple(sum(sizes[i : i + joined]) for i in range(0, len(sizes), joined))


def _moments_of_columns(sources, ids, series, number, block_info) -> np.ndarray:
    *_, rows, cols = (slice(*ends) for ends in block_info[None]["array-location"])
    out = np.empty((number, 5, rows.stop - rows.start, cols.stop - cols.start), "float32")
    for y, x, pieces in columns(sources, ids >= 0, rows, cols):
        window = out[:, :, y, x]
        sums = kernels.start_moments(number, window[0, 0].size)
        for steps, stored in pieces:
            _add(stored, series, ids[steps], sums)
        window[:] = _with_deviation(kernels.finish_moments(*sums)).reshape(window.shape)
    return out


def _rank_of_columns(sources, ids, series, number, wanted, block_info) -> np.ndarray:
    *_, rows, cols = (slice(*ends) for ends in block_info[None]["array-location"])
    out = np.empty((number, len(wanted), rows.stop - rows.start, cols.stop - cols.start), "float32")
    asked = ids >= 0
    row_of = np.cumsum(asked) - 1
    for y, x, pieces in columns(sources, asked, rows, cols):
        window = out[:, :, y, x]
        values = np.empty((asked.sum(), window[0, 0].size), "float32")
        seen = np.zeros(values.shape, bool)
        for steps, (*layers, (_, classes)) in pieces:
            found = series.evaluate(*(layer.decode(counts) for layer, counts in layers))
            values[row_of[steps]] = as_rows(found, "float32")
            seen[row_of[steps]] = _seen(found, classes, series.wanted).reshape(len(steps), -1)
        found = kernels.percentiles(values, seen, ids[asked], number, wanted)
        window[:] = found.reshape(window.shape)
    return out


def _rank_of_block(*layers, series, groups, wanted) -> np.ndarray:
    values = np.asarray(series.evaluate(*layers[:-1]), "float32")
    seen = as_rows(_seen(values, layers[-1], series.wanted))
    found = kernels.percentiles(as_rows(values), seen, groups.ids, groups.number, wanted)
    return found.reshape(groups.number, len(wanted), *values.shape[1:])


def _seen(values: np.ndarray, classes: np.ndarray, wanted: np.uint32) -> np.ndarray:
    """Tell which observations are clear and have a value."""
    clear = (wanted >> np.minimum(np.asarray(classes, "uint8"), 31)) & 1
    return clear.astype(bool) & np.isfinite(values)


def _add(stored: list, series: Series, ids: np.ndarray, sums: tuple) -> None:
    *layers, (_, classes) = stored
    ratio = getattr(series.evaluate, "ratio", None)
    if ratio is None:
        values = series.evaluate(*(layer.decode(counts) for layer, counts in layers))
        kernels.add_moments(as_rows(values, "float32"), as_rows(classes), series.wanted, ids, *sums)
        return
    (one, a), (two, b) = (layers[place] for place in ratio)
    scaling = one.nodata, np.float32(one.scale), two.nodata, np.float32(two.scale)
    kernels.add_differences(
        as_rows(a), as_rows(b), scaling, as_rows(classes), series.wanted, ids, *sums
    )


def _moments_of_blocks(series: Series, groups: Groups) -> da.Array:
    """Reduce the blocks of Dask arrays.

    Each block of steps is reduced by itself, to the periods that it touches, and these are then
    merged: however long the cube, only one block of it is held at a time.
    """
    times, *space = series.layers[0].chunks
    bounds = np.cumsum([0, *times])
    touched = [np.unique(groups.ids[a:b]) for a, b in pairwise(bounds)]
    ids = da.from_array(groups.ids.reshape(-1, *[1] * len(space)), (times, *[1] * len(space)))
    parts = da.map_blocks(
        _block_moments, ids, *series.layers, evaluate=series.evaluate, keep=series.wanted,
        dtype="float64", new_axis=1, chunks=(tuple(map(len, touched)), 5, *space),
        meta=np.empty((0,) * (len(space) + 2)),
    )  # fmt: skip
    return parts.rechunk({0: -1}, method="tasks").map_blocks(
        _merge_block, np.concatenate(touched), groups.number, dtype="float32",
        chunks=(groups.number, 5, *space), meta=np.empty((0,) * (len(space) + 2), "float32"),
    )  # fmt: skip


def _block_moments(ids, *layers, evaluate, keep) -> np.ndarray:
    touched, local = np.unique(ids.ravel(), return_inverse=True)
    sums = kernels.start_moments(len(touched), layers[0][0].size)
    for slab, steps in _slabs(layers):
        values, classes = as_rows(evaluate(*slab[:-1]), "float32"), as_rows(slab[-1], "uint8")
        kernels.add_moments(values, classes, keep, local[steps], *sums)
    return kernels.finish_moments(*sums).reshape(len(touched), 5, *layers[0].shape[1:])


def _slabs(layers: Sequence[np.ndarray]):
    """Cut blocks into slabs of a few steps."""
    depth = max(1, _SLAB // max(1, layers[0][0].size))
    for first in range(0, len(layers[0]), depth):
        steps = slice(first, first + depth)
        yield [layer[steps] for layer in layers], steps


def _merge_block(parts: np.ndarray, owners: np.ndarray, number: int) -> np.ndarray:
    flat = np.ascontiguousarray(parts).reshape(len(owners), 5, -1)
    alone = np.array_equal(owners, np.arange(number))
    whole = flat.copy() if alone else kernels.merge_moments(flat, owners, number)
    return _with_deviation(whole).astype("float32").reshape(number, 5, *parts.shape[2:])


def _with_deviation(whole: np.ndarray) -> np.ndarray:
    """Put the standard deviation of the population in place of the sum of squares."""
    count = whole[:, kernels.COUNT]
    whole[:, kernels.M2] = np.sqrt(whole[:, kernels.M2] / np.where(count, count, np.nan))
    return whole
