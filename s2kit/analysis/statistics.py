"""Statistics along time of an index or a layer: one pass over the cube, however long it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

import dask.array as da
import numpy as np
import xarray as xr

from s2kit.analysis import kernels
from s2kit.analysis.indices import read_formula
from s2kit.analysis.inputs import Moment, read_mask, require_cube, select_period
from s2kit.analysis.masks import CLEAR, clear_mask
from s2kit.analysis.periods import Groups, group_steps
from s2kit.errors import InvalidInputError

_SLAB = 2**16
"""Values of each layer that are worked on at a time: they stay in the processor's cache."""

_WORDS = {"mean": "mean", "std": "standard deviation", "min": "smallest value",
          "max": "largest value"}  # fmt: skip


def time_statistics(
    cube: xr.Dataset,
    variable: str,
    *,
    clear: xr.DataArray | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    period: str | None = None,
    percentiles: Sequence[float] = (),
) -> xr.Dataset:
    """Describe the clear observations of each pixel.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` gives it, or a part of it.
    variable : str
        A layer of the cube, such as ``"B08"``, or an index as in `s2kit.index`: ``"NDVI"``.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations count; by default `s2kit.clear_mask` of the cube.
    start, end : str or date, optional
        First and last day, both included; ``"2021"`` means the whole year.
    period : {None, "year", "season", "month"}
        The whole series, or each year, season (December to February…) or month in it.
    percentiles : sequence of float, optional
        For example ``(10, 50, 90)``: adds ``p10``, ``p50``, ``p90``. These need all values of a
        pixel at once, so memory grows with the number of steps.

    Returns
    -------
    xarray.Dataset, dims (y, x), or (time, y, x) with a period
        Lazy: ``mean``, ``std`` (of the population, as numpy's), ``min``, ``max``, float32 in the
        unit of the variable, NaN where nothing was clear; ``count``, int32, of clear
        observations. With a period, ``time`` is its first day and ``period`` its name.

    Raises
    ------
    InvalidInputError
        If the variable, a period or a percentile is unknown, a band is missing, the mask does not
        fit, or the cube has no step in the time asked.
    """
    wanted = _read_percentiles(percentiles)
    require_cube(cube)
    part = select_period(cube, start, end)
    groups = group_steps(part.time, period)
    series = read_series(part, variable, clear)
    found = _moments(series, groups)
    results = {name: (_plane(found, name), series.attrs(word)) for name, word in _WORDS.items()}
    if wanted:
        ranked = rank(series, groups, wanted)
        for n, q in enumerate(wanted):
            results[f"p{q:g}"] = ranked[:, n], series.attrs(f"{q:g} % percentile")
    results["count"] = _plane(found, "count"), {"long_name": "clear observations", "units": "1"}
    return on_map(results, part, series.space, groups, period)


@dataclass(frozen=True)
class Series:
    """What is asked of a cube along time, as blocks, and how values follow from them.

    Attributes
    ----------
    layers : list of dask.array.Array
        All in the same blocks, time first; the last one tells what is clear.
    evaluate : callable
        Gives values, float32, from all layers but the last.
    wanted : numpy.uint32
        Which values of the last layer, classes or bool, are clear: bit k for the value k.
    space : tuple of str
        Dimensions of the layers after time.
    name, unit : str
        Of the values.
    """

    layers: list[da.Array]
    evaluate: Callable[..., np.ndarray]
    wanted: np.uint32
    space: tuple[str, ...]
    name: str
    unit: str

    def attrs(self, word: str) -> dict[str, str]:
        """Describe a statistic."""
        return {"long_name": f"{word} of {self.name}", "units": self.unit}


def read_series(cube: xr.Dataset, variable: str, clear: xr.DataArray | None) -> Series:
    """Find what a variable is made of; with no mask, the classes tell what is clear.

    Values follow from layers block by block, slab by slab: written as one array after the other,
    they would go through memory five times.

    Raises
    ------
    InvalidInputError
    """
    if variable in cube.data_vars:
        names, evaluate = [variable], np.asarray
        about = cube[variable].attrs.get("long_name", variable), cube[variable].attrs.get("units")
    else:
        formula = read_formula(cube, variable)
        names, evaluate, about = formula.bands, formula, (formula.name, "1")
    layers = [cube[name] for name in names]
    mask, kept = cube.get("SCL"), CLEAR
    if clear is not None or mask is None:
        mask, kept = read_clear(cube, clear), (True,)
    for layer in layers:
        if layer.dtype.kind != "f" or set(layer.dims) != set(mask.dims):
            raise InvalidInputError(
                f"{layer.name} is {layer.dtype} with the dimensions {layer.dims}; give a layer of "
                "numbers along time, such as 'B08', or an index"
            )
    space = tuple(name for name in layers[0].dims if name != "time")
    blocks = _aligned([one.transpose("time", *space) for one in (*layers, mask)])
    wanted = np.uint32(sum(1 << int(k) for k in kept))
    return Series(blocks, evaluate, wanted, space, about[0], about[1] or "1")


def read_clear(cube: xr.Dataset, clear: xr.DataArray | None) -> xr.DataArray:
    """Give the mask that was given, checked, or the default one."""
    return clear_mask(cube) if clear is None else read_mask(clear, cube)


def _aligned(layers: list[xr.DataArray]) -> list[da.Array]:
    """Give arrays in the blocks of the first one."""
    arrays = [one.data if one.chunks is not None else one.chunk().data for one in layers]
    return [arrays[0], *(array.rechunk(arrays[0].chunks) for array in arrays[1:])]


def on_map(
    results: dict[str, tuple[da.Array, dict]],
    cube: xr.Dataset,
    space: Sequence[str],
    groups: Groups,
    period: str | None,
) -> xr.Dataset:
    """Put results of each period, shape (period, *space), on the cube's map.

    Without a period, the dimension of time goes.
    """
    coords = {name: coord for name, coord in cube.coords.items() if "time" not in coord.dims}
    dims = space
    if period is not None:
        dims = ["time", *space]
        coords |= {
            "time": ("time", groups.starts, {"long_name": f"first day of the {period}"}),
            "period": ("time", groups.labels, {"long_name": period}),
        }
    layers = {
        name: (dims, data if period else data[0], attrs) for name, (data, attrs) in results.items()
    }
    result = xr.Dataset(layers, coords)
    kept = ("title", "source", "license", "synthetic")
    result.attrs = {name: cube.attrs[name] for name in kept if name in cube.attrs}
    result.attrs["observed"] = f"{cube.time.values.min():.10} to {cube.time.values.max():.10}"
    if "spatial_ref" in coords:
        for layer in result.data_vars.values():
            layer.encoding = {"grid_mapping": "spatial_ref"}
    return result


def _read_percentiles(percentiles: Sequence[float]) -> list[float]:
    try:
        wanted = list(percentiles)
        if all(isinstance(q, Real) and 0 <= q <= 100 for q in wanted):
            return wanted
    except TypeError:
        pass
    raise InvalidInputError(
        f"percentiles={percentiles!r} cannot be used; give numbers from 0 to 100, such as "
        "(10, 50, 90)"
    )


def _moments(series: Series, groups: Groups) -> da.Array:
    """Give `kernels.moments` of each period, with the standard deviation in place of its sum.

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
    return parts.rechunk({0: -1}).map_blocks(
        _merge_block, np.concatenate(touched), groups.number, dtype="float64",
        chunks=(groups.number, 5, *space), meta=np.empty((0,) * (len(space) + 2)),
    )  # fmt: skip


def _block_moments(ids, *layers, evaluate, keep) -> np.ndarray:
    touched, local = np.unique(ids.ravel(), return_inverse=True)
    sums = kernels.start_moments(len(touched), layers[0][0].size)
    for slab, steps in _slabs(layers):
        values, classes = _rows(evaluate(*slab[:-1]), "float32"), _rows(slab[-1], "uint8")
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
    whole = flat.copy() if len(owners) == number else kernels.merge_moments(flat, owners, number)
    count = whole[:, kernels.COUNT]
    whole[:, kernels.M2] = np.sqrt(whole[:, kernels.M2] / np.where(count, count, np.nan))
    return whole.reshape(number, 5, *parts.shape[2:])


_PLANES = {"count": kernels.COUNT, "mean": kernels.MEAN, "std": kernels.M2, "min": kernels.LOW,
           "max": kernels.HIGH}  # fmt: skip


def _plane(found: da.Array, name: str) -> da.Array:
    dtype = "int32" if name == "count" else "float32"
    return found.map_blocks(
        lambda block: block[:, _PLANES[name]].astype(dtype), drop_axis=1, dtype=dtype,
        meta=np.empty((0,) * (found.ndim - 1), dtype),
    )  # fmt: skip


def rank(series: Series, groups: Groups, wanted: Sequence[float]) -> da.Array:
    """Give percentiles of each period, shape (period, percentile, …), float32."""
    layers = [layer.rechunk({0: -1}) for layer in series.layers]
    return da.map_blocks(
        _block_rank, *layers, evaluate=series.evaluate, keep=series.wanted, ids=groups.ids,
        number=groups.number, wanted=np.asarray(wanted, "float64"), dtype="float32", new_axis=1,
        chunks=(groups.number, len(wanted), *layers[0].chunks[1:]),
        meta=np.empty((0,) * (layers[0].ndim + 1), "float32"),
    )  # fmt: skip


def _block_rank(*layers, evaluate, keep, ids, number, wanted) -> np.ndarray:
    values = _rows(evaluate(*layers[:-1]), "float32")
    seen = ((keep >> np.minimum(_rows(layers[-1], "uint8"), 31)) & 1).astype(bool)
    seen &= np.isfinite(values)
    found = kernels.percentiles(values, seen, ids, number, wanted)
    return found.reshape(number, len(wanted), *layers[0].shape[1:])


def _rows(block: np.ndarray, dtype: type | str) -> np.ndarray:
    """Lay a block out as (time, pixel)."""
    return np.ascontiguousarray(block, dtype).reshape(len(block), -1)
