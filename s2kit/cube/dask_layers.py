"""What the layers of an opened cube are read from: found again, and cut into other blocks."""

import itertools
import math
import weakref
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.tokenize import tokenize
from xarray.core import indexing

from s2kit.cube.chunk_reader import ConcatenatedLayer, StoredLayer

_BLOCK = (96, 128, 128)
"""Pixels (time, y, x) in a block of Dask, about: 6 MB a layer, ten layers fit any laptop."""

_sources: weakref.WeakValueDictionary[str, StoredLayer | ConcatenatedLayer]
_sources = weakref.WeakValueDictionary()
"""What the layers of opened cubes are read from, by the names of their Dask arrays."""


def in_blocks(source: StoredLayer | ConcatenatedLayer, blocks: dict[str, Any]) -> da.Array:
    """Return a Dask array that reads a layer; `source_of` finds the layer again."""
    name = f"s2kit-{tokenize(source, blocks)}"
    source = _sources.setdefault(name, source)
    lazy = xr.Variable(("time", "y", "x"), indexing.LazilyIndexedArray(source))
    return lazy.chunk(blocks, name=name).data


def blocks_of(cube: xr.Dataset, orbits: list[xr.Dataset]) -> dict[str, Any]:
    """Choose Dask's blocks: whole stored chunks along the busiest orbit.

    What is picked from a block is cut out before it is read: a pixel stays a pixel.
    """
    depth, height, width = next(iter(orbits[0].data_vars.values())).encoding["chunks"]
    busiest = max(orbits, key=lambda orbit: orbit.sizes["time"])
    depth *= _repeats(_BLOCK[0], depth * len(orbits))
    starts = np.searchsorted(cube.time, busiest.time[::depth])
    steps = []
    for first, last in itertools.pairwise([0, *starts[1:], cube.sizes["time"]]):
        parts = -(-(last - first) // (depth * len(orbits)))  # where the busiest one pauses
        steps += [len(part) for part in np.array_split(np.arange(first, last), parts)]
    height, width = height * _repeats(_BLOCK[1], height), width * _repeats(_BLOCK[2], width)
    return {"time": tuple(steps), "y": height, "x": width}


def source_of(layer: xr.DataArray) -> StoredLayer | ConcatenatedLayer | None:
    """Return what a layer is read from, if it is one of an opened cube, whole and unchanged.

    Dask names an array after what it is made of, so that a changed one has another name; one that
    is held in memory (``persist``) keeps its name, but its graph no longer holds what it is read
    from.
    """
    array = layer.data
    if not isinstance(array, da.Array) or f"original-{array.name}" not in array.dask.layers:
        return None
    return _sources.get(array.name)


def whole_source(layer: xr.DataArray) -> StoredLayer | ConcatenatedLayer | None:
    """Return what a layer is read from, with Dask or without, if it is whole and unchanged."""
    lazy = layer.variable._data
    if not isinstance(lazy, indexing.LazilyIndexedArray):
        return source_of(layer)
    whole = all(isinstance(k, slice) and k == slice(None) for k in lazy.key.tuple)
    return lazy.array if whole and isinstance(lazy.array, StoredLayer | ConcatenatedLayer) else None


def require_steps(cube: xr.Dataset) -> None:
    """Check that the store of a cube still holds its steps; call it after reading.

    Parameters
    ----------
    cube : xarray.Dataset
        As `open_cube` gave it, or what was cut or computed from it.

    Raises
    ------
    CubeError
        If scenes have come between the steps since the cube was opened: what is read from it is
        then of other dates.
    """
    sources = [source for layer in cube.data_vars.values() for source in _sources_under(layer)]
    parts = [part for source in sources for part, _ in source.parts]
    for part in {(p.objects.url, p.prefix.rsplit("/", 1)[0]): p for p in parts}.values():
        part.require_steps()


def window_of(cube: xr.Dataset, rows: slice, cols: slice) -> xr.Dataset:
    """Cut a window out of a cube, for computing along time.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `open_cube` or `levels_of` gave it.
    rows, cols : slice
        Without a step.

    Returns
    -------
    xarray.Dataset
        In blocks of Dask for this window only: those of a whole country would take 150 MB and
        seconds. `source_of` finds its layers, as it does those of a whole cube. A layer that was
        changed or cut keeps the blocks that it has; one without gets some of that size.
    """
    part = cube.isel(y=rows, x=cols)
    layers = {}
    for name, layer in cube.data_vars.items():
        source = whole_source(layer)
        if source is None:
            if layer.chunks is None:
                block = zip(("time", "y", "x"), _BLOCK, strict=True)
                layers[name] = part[name].chunk({d: n for d, n in block if d in layer.dims})
            continue
        blocks: dict[str, Any] = {"time": _BLOCK[0]}
        _, *sizes = source.parts[0][0].chunks
        for dim, wanted, most, size in zip("yx", (rows, cols), _BLOCK[1:], sizes, strict=True):
            blocks[dim] = _cut_blocks(wanted, size * _repeats(most, size))
        layers[name] = part[name].copy(data=in_blocks(source.cut(rows, cols), blocks))
    return part.assign(layers)


def in_series(layer: xr.DataArray) -> xr.DataArray:
    """Return a layer in blocks of whole series, of few pixels where the series are long.

    One of an opened cube is read as such; Dask would join blocks of many pixels.
    """
    source = source_of(layer)
    if source is None:
        return layer.chunk(time=-1)
    _, *sizes = source.parts[0][0].chunks
    side = math.isqrt(math.prod(_BLOCK) // max(source.shape[0], 1))
    height, width = (size * _repeats(side, size) for size in sizes)
    return layer.copy(data=in_blocks(source, {"time": -1, "y": height, "x": width}))


def _cut_blocks(wanted: slice, size: int) -> tuple[int, ...]:
    """Cut a range of pixels where blocks of a size begin, so that no chunk is read twice."""
    inner = range(wanted.start // size * size + size, wanted.stop, size)
    return tuple(b - a for a, b in itertools.pairwise([wanted.start, *inner, wanted.stop]))


def _sources_under(layer: xr.DataArray) -> list[StoredLayer | ConcatenatedLayer]:
    """Return all that a layer will be read from."""
    lazy = layer.variable._data
    if isinstance(lazy, da.Array):
        names = [name.removeprefix("original-") for name in lazy.dask.layers]
        return [_sources[name] for name in names if name in _sources]
    source = getattr(lazy, "array", None)
    return [source] if isinstance(source, StoredLayer | ConcatenatedLayer) else []


def _repeats(most: int, size: int) -> int:
    return max(1, most // size)
