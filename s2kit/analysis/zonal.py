"""Zonal statistics of fields: series of their clear pixels, and statistics of maps."""

import itertools
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from dask.highlevelgraph import HighLevelGraph
from dask.typing import Key
from tqdm.dask import TqdmCallback

from s2kit.analysis.fields import Fields, read_fields
from s2kit.analysis.kernels.moments import add_weighted, empty_moments, merge_moments
from s2kit.analysis.masks import read_clear
from s2kit.analysis.pixel_coverage import Coverage, cover, cut_around, describe
from s2kit.analysis.time_reduce import TimeReduction, read_reduction
from s2kit.analysis.validation import Moment, read_cube, steps_in_period, take_steps
from s2kit.cube.nodata import NO_CLASS_NAMES, classes, has_data, physical, with_attribute
from s2kit.errors import InvalidInputError
from s2kit.grid import read_grid


def field_series(
    cube: xr.Dataset,
    fields: Fields,
    variable: str = "NDVI",
    *,
    clear: xr.DataArray | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
) -> pd.DataFrame:
    """Compute statistics of the clear pixels of each field at each date.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, or a part of it.
    fields : str, path or geopandas.GeoDataFrame
        Polygons or points, as `read_fields` takes them; those beside the cube are left out.
    variable : str, default "NDVI"
        A layer of the cube, such as ``"B08"``, or an index as in `s2kit.index`.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations count; by default `s2kit.clear_mask` of the cube.
    start, end : str or date, optional
        First and last day, both included; ``"2021"`` means the whole year.

    Returns
    -------
    pandas.DataFrame
        One row per field and date, ordered by field and then by date:

        - ``field``: its id, that is its index in the GeoDataFrame; ``time``
        - ``mean``, ``std`` (of the population), ``min``, ``max`` in the unit of the variable,
          weighted with the fraction of each pixel that lies in the field; NaN if nothing is clear
        - ``count``: clear pixels, parts of pixels counted as parts
        - ``share``: of the field's area that is clear, 0-1. Keep what is well seen with
          ``series[series.share > 0.8]``

        A point takes the value of the pixel that holds it; its share is 0 or 1.

    Raises
    ------
    InvalidInputError
        As `read_fields`; or if the variable is unknown or not a measurement along time, a band is
        missing, the mask does not fit, or the cube has no step in the period.

    Notes
    -----
    Only blocks of the cube that hold fields are read, and each is reduced to a few numbers per
    field and date at once: memory grows with the table, not with the cube. The share is of the
    whole field, also of one that lies partly beyond the cube. For curves per field, see
    `s2kit.regular_series`: ``series.set_index(["time", "field"])["mean"].to_xarray()``.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=slice(100), y=slice(100))
    >>> series = s2kit.field_series(cube, "data/practice/truth/fields.gpkg", "NDVI")
    >>> list(series)
    ['field', 'time', 'mean', 'std', 'min', 'max', 'count', 'share']
    >>> clear = series[series.share > 0.8]
    >>> len(clear) < len(series)
    True
    """
    return describe_series(cube, fields, variable, clear, start, end)


def describe_series(
    cube: xr.Dataset,
    fields: Fields,
    variable: str,
    clear: xr.DataArray | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    **compute: Any,
) -> pd.DataFrame:
    """Compute what `field_series` returns, with options for Dask's ``compute``."""
    read_cube(cube)
    grid = read_grid(cube)
    found = read_fields(fields, cube)
    whole, steps = cover(found, grid), steps_in_period(cube, start, end)
    part, covered = cut_around(take_steps(cube, steps).transpose("time", "y", "x", ...), whole)
    places, blocks = _by_block(read_reduction(part, variable, read_clear(part, clear)), covered)
    with TqdmCallback(desc="fields", leave=False, delay=2):
        parts = blocks.compute(**compute)
    times = part.time.values
    moments = empty_moments(len(found), len(times))
    for (some, own), block in zip(places, parts, strict=True):
        moments[:, own, some] = merge_moments(moments[:, own, some], block)
    table = {"field": found.index.repeat(len(times)), "time": np.tile(times, len(found))}
    area = np.repeat(covered.whole, len(times))
    return pd.DataFrame(table | describe(moments.reshape(5, -1), area))


def _by_block(
    reduction: TimeReduction, covered: Coverage
) -> tuple[list[tuple[slice, np.ndarray]], da.Array]:
    """Return steps and fields of each block that holds pixels of fields, and their moments, lazy.

    A graph of its own, since of a large cube most blocks are not to be read at all.
    """
    layers = reduction.layers
    steps, rows, cols = (np.cumsum([0, *sizes]) for sizes in layers[0].chunks)
    row = np.searchsorted(rows, covered.row, "right") - 1
    col = np.searchsorted(cols, covered.col, "right") - 1
    order = np.lexsort((col, row))
    new = (np.diff(row[order]) != 0) | (np.diff(col[order]) != 0)
    name = f"fields-{uuid.uuid4().hex}"
    places: list[tuple[slice, np.ndarray]] = []
    tasks: dict[Key, Any] = {}
    for pixels in np.split(order, np.flatnonzero(new) + 1):
        y, x = int(row[pixels[0]]), int(col[pixels[0]])
        width = cols[x + 1] - cols[x]
        own, field = np.unique(covered.field[pixels], return_inverse=True)
        inside = (covered.row[pixels] - rows[y]) * width + covered.col[pixels] - cols[x]
        task = partial(
            _block_moments,
            evaluate=reduction.evaluate,
            inside=inside,
            field=field,
            weight=covered.weight[pixels],
        )
        for t, ends in enumerate(itertools.pairwise(steps)):
            tasks[name, len(places)] = task, *((a.name, t, y, x) for a in layers)
            places.append((slice(*ends), own))
    # Dask's arrays lack attributes that the type of its collections declares
    graph = HighLevelGraph.from_collections(name, tasks, layers)  # type: ignore[arg-type]
    return places, da.Array(graph, name, ((1,) * len(places),), object)


def _block_moments(
    *layers: np.ndarray,
    evaluate: Callable[..., np.ndarray],
    inside: np.ndarray,
    field: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """Compute the moments, shape (5, field, time), of fields in a block, as one item."""
    *bands, seen = (layer.reshape(len(layer), -1).take(inside, 1) for layer in layers)
    moments = empty_moments(int(field.max()) + 1, len(seen))
    values = np.ascontiguousarray(evaluate(*bands), "float64")
    add_weighted(values, seen, field, weight, moments)
    item = np.empty(1, object)
    item[0] = moments
    return item


def field_statistics(data: xr.Dataset | xr.DataArray, fields: Fields) -> gpd.GeoDataFrame:
    """Compute statistics of maps per field: of a composite, of elevation, of classes.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset, dims (y, x)
        One map or several on the cube's grid. What is under the fields is read into memory.
    fields : str, path or geopandas.GeoDataFrame
        Polygons or points, as `read_fields` takes them; those beside the map are left out.

    Returns
    -------
    geopandas.GeoDataFrame
        The fields and their columns, in the cube's coordinate system, and for each map:

        - ``mean``, ``std`` (of the population), ``min``, ``max``, weighted with the fraction of
          each pixel that lies in the field, in the unit of the map; NaN if there is no data
        - ``median``: the smallest value up to which at least half of the weight lies
        - for maps of classes (whole numbers with ``flag_values``), instead of these, ``majority``
          (the name of the largest class) and ``fraction_<name>`` of each, 0-1
        - ``count`` of pixels with data and ``share`` of the field's area that has data, 0-1

        For a Dataset, each name has that of the map before it: ``NDVI_mean``.

    Raises
    ------
    InvalidInputError
        As `read_fields`; or if the data are no maps, or the fields have columns of these names.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> height = s2kit.align_raster("data/practice/truth/elevation.tif", cube)
    >>> table = s2kit.field_statistics(height, "data/practice/truth/fields.gpkg")
    >>> len(table), round(float(table["mean"].max()), 1)  # fields, metres
    (492, -1.4)
    """
    maps = _read_maps(data)
    found = read_fields(fields, data)
    near, covered = cut_around(maps, cover(found, read_grid(data)))
    with TqdmCallback(desc="maps", leave=False, delay=2):
        near = near.compute()
    columns: dict[str, np.ndarray] = {}
    for name, layer in near.data_vars.items():
        prefix = f"{name}_" if isinstance(data, xr.Dataset) else ""
        summarise, layer = _read_map(layer.transpose("y", "x"))
        values, valid = (one.values[covered.row, covered.col] for one in (layer, has_data(layer)))
        described = summarise(values, valid, covered, layer.attrs)
        columns |= {prefix + key: column for key, column in described.items()}
    if taken := sorted(set(columns) & set(found.columns)):
        raise InvalidInputError(
            f"the fields already have the columns {', '.join(taken)}; leave them out with "
            f"fields.drop(columns={taken}), or rename them"
        )
    return found.assign(**columns)


def _read_maps(data: xr.Dataset | xr.DataArray) -> xr.Dataset:
    read_grid(data)
    maps = data if isinstance(data, xr.Dataset) else xr.Dataset({"map": with_attribute(data)})
    for name, layer in maps.data_vars.items():
        if set(layer.dims) != {"y", "x"} or layer.dtype.kind not in "fiub":
            raise InvalidInputError(
                f"{name} is {layer.dtype} with the dimensions {layer.dims}; give maps of numbers "
                "with the dimensions y and x: select one of several with data.isel(time=0), or "
                "use field_series for a series"
            )
    return maps


def _read_map(layer: xr.DataArray) -> tuple[Callable, xr.DataArray]:
    """Return the function that summarises a map, and the map in physical values or as classes.

    Classes have ``flag_values``. So has, as xarray keeps attributes, what was calculated from them:
    floats are classes only if they were read as whole numbers, or all are among these values and
    some are larger than 1; others are a share, or a mean.
    """
    if "flag_values" not in layer.attrs:
        return _summarise_values, physical(layer)
    stored = np.dtype(layer.encoding.get("dtype", layer.dtype))
    known = layer.values[np.isfinite(layer.values)]
    listed = np.isin(known, layer.attrs["flag_values"]).all() and (known > 1).any()
    if stored.kind == "f" and not listed:
        return _summarise_values, physical(layer)
    return _summarise_classes, classes(layer) if layer.dtype.kind == "f" else layer


def _summarise_values(
    values: np.ndarray, valid: np.ndarray, covered: Coverage, attrs: dict
) -> dict[str, np.ndarray]:
    """Compute statistics of measurements, given for each pixel of `covered`."""
    moments = empty_moments(len(covered.whole), 1)
    flat = values.astype("float64")
    add_weighted(flat[None], valid[None], covered.field, covered.weight, moments)
    columns = describe(moments[:, :, 0], covered.whole)
    last = {name: columns.pop(name) for name in ("count", "share")}
    return columns | {"median": _medians(flat, np.where(valid, covered.weight, 0), covered)} | last


def _medians(values: np.ndarray, weight: np.ndarray, covered: Coverage) -> np.ndarray:
    """Compute weighted medians: pixels in order of field and value, up to half of the weight."""
    order = np.lexsort((values, covered.field))
    order = order[weight[order] > 0]
    total = np.bincount(covered.field, weight, len(covered.whole))
    half = np.cumsum(total) - total / 2
    place = np.searchsorted(np.cumsum(weight[order]), half)
    found = values[order][np.minimum(place, len(order) - 1)] if len(order) else np.nan
    return np.where(total > 0, found, np.nan)


def _summarise_classes(
    values: np.ndarray, valid: np.ndarray, covered: Coverage, attrs: dict
) -> dict[str, np.ndarray]:
    """Compute the share of each class, given for each pixel of `covered`."""
    codes = np.atleast_1d(attrs["flag_values"])
    names = str(attrs.get("flag_meanings", " ".join(map(str, codes)))).split()
    named = [name for name in names if name not in NO_CLASS_NAMES]
    if len(names) != len(codes) or len(set(named)) != len(named) or not named:
        raise InvalidInputError(
            f"flag_values {codes.tolist()} and flag_meanings {' '.join(names)!r} do not name each "
            "class by one word of its own; set the map's attrs so, as CF says"
        )
    weights = {}
    for name, code in zip(names, codes, strict=True):
        if name not in NO_CLASS_NAMES:
            own = covered.weight * (valid & (values == code))
            weights[name] = np.bincount(covered.field, own, len(covered.whole))
    parts = np.stack(list(weights.values()))
    count = parts.sum(0)
    largest = np.array(list(weights), object)[parts.argmax(0)]
    columns = {"majority": np.where(count > 0, largest, None)}
    with np.errstate(invalid="ignore"):
        columns |= {f"fraction_{name}": weight / count for name, weight in weights.items()}
    return columns | {"count": count, "share": np.minimum(count / covered.whole, 1)}
