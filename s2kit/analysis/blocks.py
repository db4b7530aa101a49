"""Dask's blocks: how the layers of an analysis are cut, and functions applied to the pieces."""

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr


def blocks_of(layer: xr.DataArray) -> da.Array:
    """Return a layer as an array of Dask, in one block if it is not in blocks."""
    return layer.data if layer.chunks is not None else layer.chunk().data


def whole_series(array: da.Array) -> da.Array:
    """Return an array in blocks that hold all of the first axis; by tasks, also on a cluster."""
    return array.rechunk({0: -1}, method="tasks")


def map_blocks(
    function: Callable, *arrays: Any, chunks: tuple, dtype: str = "float32", **options: Any
) -> da.Array:
    """Apply a function to blocks, without a trial run of it on empty ones.

    Parameters
    ----------
    function : callable
        Takes one block of each array, and the options that `dask.array.map_blocks` does not.
    *arrays : dask.array.Array or any other value
    chunks : tuple
        Blocks of the result along each of its axes.
    dtype : str
        Of the result.
    **options
        Of `dask.array.map_blocks` and of the function.
    """
    meta = np.empty((0,) * len(chunks), dtype)
    return da.map_blocks(function, *arrays, chunks=chunks, dtype=dtype, meta=meta, **options)


def map_overlap(function: Callable, array: da.Array, depth: int, dtype: str) -> da.Array:
    """Apply a function to blocks that overlap by so many pixels in y and x, the last two axes."""
    depths = {axis: min(depth, array.shape[axis]) for axis in (array.ndim - 2, array.ndim - 1)}
    meta = np.empty((0,) * array.ndim, dtype)
    return da.map_overlap(function, array, depth=depths, boundary="none", dtype=dtype, meta=meta)


def as_rows(block: np.ndarray, dtype: str | None = None) -> np.ndarray:
    """Return a block, time first, as (time, pixel), C-contiguous."""
    return np.ascontiguousarray(block, dtype).reshape(len(block), -1)
