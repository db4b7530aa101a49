"""Reduction of an index or a layer along time: moments and percentiles of its clear observations.

The layers of a cube as it was opened are read chunk by chunk as they are stored; any others are
reduced in Dask's blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from s2kit.analysis.blocks import as_rows, blocks_of, map_blocks, whole_series
from s2kit.analysis.indices import read_formula
from s2kit.analysis.kernels import moments as kernels
from s2kit.analysis.kernels.percentiles import percentiles
from s2kit.analysis.masks import CLEAR
from s2kit.analysis.periods import Groups
from s2kit.analysis.validation import read_cube, read_mask, take_steps
from s2kit.cube.chunk_columns import columns, lie_alike
from s2kit.cube.chunk_reader import ConcatenatedLayer, StoredLayer
from s2kit.cube.dask_layers import source_of
from s2kit.errors import InvalidInputError

_SLAB = 2**16
"""Values of each layer that are worked on at a time: they stay in the processor's cache."""

_WIDTH = 256
"""Pixels along a side of what one task of Dask reads from the store."""


@dataclass(frozen=True)
class TimeReduction:
    """The layers that a variable is computed from along time, and how.

    Values are computed from layers block by block, slab by slab: as one array after the other,
    they would pass through memory five times.

    Attributes
    ----------
    layers : list of dask.array.Array
        All in the same blocks, time first; the last one is the mask or the classes.
    evaluate : callable
        Computes values, float32, from all layers but the last.
    wanted : numpy.uint32
        Which values of the last layer, classes or bool, are clear; see `kernels.class_bits`.
    space : tuple of str
        Dimensions of the layers after time.
    name, unit : str
        Of the values.
    steps : numpy.ndarray, shape (time,), bool
        Which steps of the cube the layers hold.
    sources : list or None
        What the layers, with all steps of the cube, are stored in; None if one of them is not as
        it was opened, or the last one is a mask.
    """

    layers: list[da.Array]
    evaluate: Callable[..., np.ndarray]
    wanted: np.uint32
    space: tuple[str, ...]
    name: str
    unit: str
    steps: np.ndarray
    sources: list[StoredLayer | ConcatenatedLayer] | None

    def without_arrays(self) -> "TimeReduction":
        """Return what tasks need: the arrays themselves would be sent to each of them."""
        return replace(self, layers=[], sources=None)

    def attrs(self, statistic: str) -> dict[str, str]:
        """Return the attributes of a statistic of the values."""
        return {"long_name": f"{statistic} of {self.name}", "units": self.unit}


def read_reduction(
    cube: xr.Dataset, variable: str, clear: xr.DataArray | None, steps: np.ndarray | None = None
) -> TimeReduction:
    """Read what a variable is computed from, at some steps or at all.

    With no mask, the classes of SCL decide what is clear.

    Raises
    ------
    InvalidInputError
        If the variable is unknown, a layer is missing or not one of numbers along time, or the
        mask does not fit.
    """
    names: tuple[str, ...]
    evaluate: Callable[..., np.ndarray]
    read_cube(cube)
    if isinstance(variable, str) and variable in cube.data_vars:
        names, evaluate, attrs = (variable,), np.asarray, cube[variable].attrs
        name, unit = attrs.get("long_name", variable), attrs.get("units") or "1"
    else:
        evaluate = formula = read_formula(cube, variable)
        names, name, unit = formula.bands, formula.name, "1"
    stored = [*names, "SCL"] if clear is None else list(names)
    cube = read_cube(cube, *stored)
    cube = cube[stored] if clear is None else cube  # to take steps of the others would take time
    steps = np.ones(cube.sizes.get("time", 0), bool) if steps is None else steps
    part = take_steps(cube, steps)
    layers = [part[name] for name in names]
    mask = part["SCL"] if clear is None else read_mask(clear, part)
    for layer in layers:
        if layer.dtype.kind != "f" or set(layer.dims) != set(mask.dims):
            raise InvalidInputError(
                f"{layer.name} is {layer.dtype} with the dimensions {layer.dims}; give a layer of "
                "numbers along time, such as 'B08', or an index"
            )
    space = tuple(str(dim) for dim in layers[0].dims if dim != "time")
    first, *others = (blocks_of(one.transpose("time", *space)) for one in (*layers, mask))
    alike = [first, *(one.rechunk(first.chunks, method="tasks") for one in others)]
    wanted = kernels.class_bits(CLEAR if clear is None else (True,))
    sources = _sources([cube[name] for name in stored]) if clear is None else None
    return TimeReduction(alike, evaluate, wanted, space, name, unit, steps, sources)


def _sources(layers: list[xr.DataArray]) -> list[StoredLayer | ConcatenatedLayer] | None:
    """Return what all layers are stored in; None if one is not as it was opened."""
    found = [source_of(one) for one in layers if one.dims == ("time", "y", "x")]
    sources = [source for source in found if source is not None]
    return sources if len(sources) == len(layers) and lie_alike(sources) else None


def moments(reduction: TimeReduction, groups: Groups) -> da.Array:
    """Compute count, mean, standard deviation, minimum and maximum of each period.

    Returns
    -------
    dask.array.Array, shape (period, 5, …), float32
        Planes as `kernels.COUNT` … `kernels.MAX`, the deviation in place of the squares.
    """
    if reduction.sources is None:
        return _moments_of_blocks(reduction, groups)
    return _over_windows(_moments_of_columns, reduction, groups, 5)


def rank(reduction: TimeReduction, groups: Groups, wanted: Sequence[float]) -> da.Array:
    """Compute percentiles of each period, shape (period, percentile, …), float32."""
    q = np.asarray(wanted, "float64")
    if reduction.sources is not None:
        return _over_windows(_rank_of_columns, reduction, groups, len(q), q=q)
    layers = list(map(whole_series, reduction.layers))
    return map_blocks(
        _rank_of_block,
        *layers,
        chunks=(groups.number, len(q), *layers[0].chunks[1:]),
        new_axis=1,
        reduction=reduction.without_arrays(),
        groups=groups,
        q=q,
    )


def _over_windows(
    reduce: Callable, reduction: TimeReduction, groups: Groups, planes: int, **options: Any
) -> da.Array:
    """Apply a reduction to what is stored, window by window; returns (period, planes, y, x)."""
    ids = np.full(len(reduction.steps), -1)
    ids[reduction.steps] = groups.ids
    space = []
    for sizes in reduction.layers[0].chunks[1:]:
        joined = max(1, _WIDTH // max(sizes))  # blocks side by side: fewer tasks of Dask
        space.append(tuple(sum(sizes[i : i + joined]) for i in range(0, len(sizes), joined)))
    chunks = ((groups.number,), (planes,), *space)
    options |= {"reduction": reduction.without_arrays(), "number": groups.number}
    return map_blocks(reduce, reduction.sources, ids, chunks=chunks, **options)


def _window(block_info: dict, *planes: int) -> tuple[slice, slice, np.ndarray]:
    """Return the rows and columns of a block of Dask, and an array for its result."""
    *_, rows, cols = (slice(*ends) for ends in block_info[None]["array-location"])
    shape = (*planes, rows.stop - rows.start, cols.stop - cols.start)
    return rows, cols, np.empty(shape, "float32")


def _moments_of_columns(
    sources: list, ids: np.ndarray, reduction: TimeReduction, number: int, block_info: dict
) -> np.ndarray:
    rows, cols, out = _window(block_info, number, 5)
    for y, x, pieces in columns(sources, ids >= 0, rows, cols):
        window = out[:, :, y, x]
        sums = kernels.start_sums(number, window[0, 0].size)
        for steps, stored in pieces:
            _add(stored, reduction, ids[steps], sums)
        found = kernels.with_deviation(kernels.moments_of_sums(*sums))
        window[:] = found.reshape(5, number, *window.shape[2:]).swapaxes(0, 1)
    return out


def _add(stored: list, reduction: TimeReduction, ids: np.ndarray, sums: tuple) -> None:
    """Add what was read of some steps to the sums; a normalised difference without decoding it."""
    *layers, (_, classes) = stored
    flat = as_rows(classes)
    ratio = getattr(reduction.evaluate, "ratio", None)
    if ratio is None:
        values = as_rows(_decode(reduction, layers), "float32")
        kernels.add_steps(values, flat, reduction.wanted, ids, *sums)
        return
    (one, a), (two, b) = (layers[place] for place in ratio)
    scaling = one.nodata, np.float32(one.scale), two.nodata, np.float32(two.scale)
    kernels.add_differences(as_rows(a), as_rows(b), scaling, flat, reduction.wanted, ids, *sums)


def _decode(reduction: TimeReduction, layers: list) -> np.ndarray:
    """Compute the values from layers as they are stored."""
    return reduction.evaluate(*(layer.decode(counts) for layer, counts in layers))


def _rank_of_columns(
    sources: list,
    ids: np.ndarray,
    reduction: TimeReduction,
    number: int,
    q: np.ndarray,
    block_info: dict,
) -> np.ndarray:
    rows, cols, out = _window(block_info, number, len(q))
    asked = ids >= 0
    row_of = np.cumsum(asked) - 1
    for y, x, pieces in columns(sources, asked, rows, cols):
        window = out[:, :, y, x]
        values = np.empty((asked.sum(), window[0, 0].size), "float32")
        seen = np.zeros(values.shape, bool)
        for steps, (*layers, (_, classes)) in pieces:
            values[row_of[steps]] = as_rows(_decode(reduction, layers), "float32")
            seen[row_of[steps]] = _is_clear(classes, reduction)
        window[:] = percentiles(values, seen, ids[asked], number, q).reshape(window.shape)
    return out


def _rank_of_block(
    *layers: np.ndarray, reduction: TimeReduction, groups: Groups, q: np.ndarray
) -> np.ndarray:
    values = as_rows(reduction.evaluate(*layers[:-1]), "float32")
    found = percentiles(values, _is_clear(layers[-1], reduction), groups.ids, groups.number, q)
    return found.reshape(groups.number, len(q), *layers[0].shape[1:])


def _is_clear(classes: np.ndarray, reduction: TimeReduction) -> np.ndarray:
    """Return which observations are clear, shape (time, pixel), bool."""
    return kernels.find_classes(as_rows(classes, "uint8"), reduction.wanted)


def _moments_of_blocks(reduction: TimeReduction, groups: Groups) -> da.Array:
    """Reduce each block of steps to the periods that it touches, and merge these.

    However long the cube, only one block of it is held at a time.
    """
    times, *space = reduction.layers[0].chunks
    touched = [np.unique(groups.ids[a:b]) for a, b in pairwise(np.cumsum([0, *times]))]
    flat = [1] * len(space)
    ids = da.from_array(groups.ids.reshape(-1, *flat), (times, *flat))
    parts = map_blocks(
        _block_moments,
        ids,
        *reduction.layers,
        chunks=(tuple(map(len, touched)), 5, *space),
        dtype="float64",
        new_axis=1,
        reduction=reduction.without_arrays(),
    )
    chunks, owners = (groups.number, 5, *space), np.concatenate(touched)
    return map_blocks(
        _merge_block, whole_series(parts), chunks=chunks, owners=owners, number=groups.number
    )


def _block_moments(ids: np.ndarray, *layers: np.ndarray, reduction: TimeReduction) -> np.ndarray:
    """Compute moments, shape (period, 5, …), of the periods that a block of steps touches."""
    touched, local = np.unique(ids.ravel(), return_inverse=True)
    sums = kernels.start_sums(len(touched), layers[0][0].size)
    depth = max(1, _SLAB // max(1, layers[0][0].size))
    for first in range(0, len(local), depth):
        steps = slice(first, first + depth)
        *bands, classes = (layer[steps] for layer in layers)
        values, flat = as_rows(reduction.evaluate(*bands), "float32"), as_rows(classes, "uint8")
        kernels.add_steps(values, flat, reduction.wanted, local[steps], *sums)
    found = kernels.moments_of_sums(*sums)
    return found.reshape(5, len(touched), *layers[0].shape[1:]).swapaxes(0, 1)


def _merge_block(parts: np.ndarray, owners: np.ndarray, number: int) -> np.ndarray:
    """Merge the moments of all blocks of steps, those of the same period into one."""
    whole = kernels.empty_moments(number, *parts.shape[2:])
    for group, part in zip(owners, parts, strict=True):
        whole[:, group] = kernels.merge_moments(whole[:, group], part)
    return kernels.with_deviation(whole).swapaxes(0, 1).astype("float32")
