"""Maps in Zarr 2 on the cube's grid, as a cube is stored, for xarray and any GDAL program."""

import os
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import xarray as xr
from fsspec.implementations.local import LocalFileSystem
from odc.geo.geobox import GeoBox
from tqdm.dask import TqdmCallback

from s2kit.atomic import replacing
from s2kit.credentials import shown_cause
from s2kit.cube.codec import CODEC
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.nodata import declared_nodata, declares_nodata, fill_of, has_data, packing, physical
from s2kit.cube.storage import require_zarr_name
from s2kit.cube.store import TROUBLE
from s2kit.cube.zarr_documents import gdal_crs
from s2kit.errors import CubeError, InvalidInputError
from s2kit.grid import crs_of, geobox_of, require_pixels
from s2kit.scenes.item import BANDS

_CHUNK = 256
_TRIES = 20
_LONG_AGO = np.iinfo("int32").min
_DAYS = {"units": "days since 1970-01-01", "dtype": "int32", "_FillValue": np.int32(_LONG_AGO)}


def write_result(result: xr.Dataset | xr.DataArray, store: str | os.PathLike) -> str:
    """Write maps, such as a composite, statistics or classes, to Zarr, block by block.

    Parameters
    ----------
    result : xarray.Dataset or DataArray, dims (y, x) or (time, y, x)
        On the cube's grid, with its coordinate system. Lazy maps are computed as they are written.
    store : str or path
        A new folder, or a URL such as ``s3://bucket/median.zarr``.

    Returns
    -------
    str
        The store: open it with ``xarray.open_zarr(store)``, or in GDAL as
        ``ZARR:"store":/B04`` (``/B04:0`` with a time).

    Raises
    ------
    InvalidInputError
        If it is not a map, has no coordinate system, is no numbers or dates, or has values that
        cannot be stored: reflectances beyond ±3.2767, times of day.
    CubeError
        If the store exists already, or cannot be written; nothing is left there then.

    Notes
    -----
    Every value and every gap is kept. Reflectances that come from a cube are stored as in the cube,
    rounded to 0.0001 (int16, −9999 for no data); all else as it is: floats with NaN, whole numbers
    with the value of no data that they declare, dates as days. The ``encoding`` of a result, how it
    was stored before, does not matter otherwise. GDAL reads the position of the pixels from x and
    y, of which it needs two each.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=slice(100), y=slice(100))
    >>> image = s2kit.composite(cube[["B04", "B08", "SCL"]], method="median")
    >>> s2kit.write_result(image, "data/median.zarr")
    'data/median.zarr'
    >>> import xarray
    >>> xarray.open_zarr("data/median.zarr").B04.shape
    (100, 100)
    """
    maps, grid = _read_maps(result)
    if not isinstance(store, str | os.PathLike) or not os.fspath(store).strip():
        raise InvalidInputError(f"store is {store!r}; give a path or a URL, such as 'median.zarr'")
    target = os.fspath(store)
    require_zarr_name(target)
    _check_free(target)
    try:
        with _in_place(target) as draft, TqdmCallback(desc="writing", leave=False):
            stored, encoding = _as_stored(maps, grid)
            stored.to_zarr(draft, mode="w-", zarr_format=2, consolidated=True, encoding=encoding)
    except (CubeError, InvalidInputError):
        raise
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the result cannot be stored as Zarr: {error}. Nothing was left there; attributes are "
            "text, numbers and lists, names are text"
        ) from shown_cause(error)
    except TROUBLE as error:
        raise CubeError(
            f"cannot write {target}: {error}. Nothing was left there; free space or choose "
            "another place"
        ) from shown_cause(error)
    return target


def _read_maps(result: xr.Dataset | xr.DataArray) -> tuple[xr.Dataset, GeoBox]:
    """Return maps as a dataset, and their grid."""
    if isinstance(result, xr.DataArray):
        if result.name in result.coords:
            raise InvalidInputError(
                f"the result is called {result.name!r}, as one of its coordinates; give it another "
                'name: result.rename("map")'
            )
        result = result.to_dataset(name=result.name or "result")
    if not isinstance(result, xr.Dataset):
        raise InvalidInputError(
            f"result is a {type(result).__name__}; give an xarray.Dataset or DataArray"
        )
    require_pixels(result)
    flat = [name for name, layer in result.data_vars.items() if {"y", "x"} - set(layer.dims)]
    if flat or not result.data_vars:
        raise InvalidInputError(
            f"{', '.join(map(str, flat)) or 'the result'} has no dimensions y and x; maps are "
            "written here, tables by s2kit.save_table"
        )
    grid = geobox_of(result)
    if grid is None or grid.crs is None:
        raise InvalidInputError(
            "the result has no coordinate system, or its pixels are not evenly spaced; keep the "
            "cube's coordinates x, y and spatial_ref, or add a system: "
            "result.rio.write_crs('EPSG:28992')"
        )
    return result, grid


def _as_stored(maps: xr.Dataset, grid: GeoBox) -> tuple[xr.Dataset, dict[Hashable, dict[str, Any]]]:
    """Return maps as they are to be written, in blocks, and how each layer is to be encoded."""
    sizes = {"y": _CHUNK, "x": _CHUNK} | ({"time": 1} if "time" in maps.dims else {})
    mapping = next((name for name, one in maps.coords.items() if "crs_wkt" in one.attrs), None)
    if mapping is None:  # stated in another way, which GDAL and xarray do not read
        mapping = "spatial_ref"
        maps = maps.rio.write_crs(crs_of(grid).to_wkt(), grid_mapping_name=mapping)
    layers, encoding, crs = {}, {}, gdal_crs(grid)
    for name, layer in maps.data_vars.items():
        chunked = layer.chunk({axis: size for axis, size in sizes.items() if axis in layer.dims})
        found, kept = _store(chunked)
        attrs = {key: v for key, v in found.attrs.items() if not declares_nodata(key)}
        layers[name] = (found.dims, found.data, attrs | {"_CRS": crs})
        encoding[name] = kept | {"compressors": CODEC, "grid_mapping": mapping}
    coords = maps.drop_vars(maps.data_vars).copy()
    for coordinate in coords.variables.values():
        coordinate.encoding = {}
    return coords.assign(layers), encoding


def _store(layer: xr.DataArray) -> tuple[xr.DataArray, dict[str, Any]]:
    """Return a layer as it is to be written, and its encoding."""
    kind = layer.dtype.kind
    if kind == "M":
        return _checked(layer.drop_attrs(deep=False), _require_days), dict(_DAYS)
    if kind == "b":
        return layer, {"dtype": "uint8"}
    if kind not in "iuf":
        raise InvalidInputError(
            f"{layer.name} is {layer.dtype}; maps of numbers, dates and bool can be written"
        )
    if kind in "iu" and packing(layer) == (1, 0):
        fill = fill_of(layer)
        if fill is None:
            return layer, {}
        one = len(declared_nodata(layer)) == 1
        return layer if one else layer.where(has_data(layer), fill), {"_FillValue": fill}
    found, name = physical(layer), str(layer.name)
    scale = layer.encoding.get("scale_factor", 0)
    if name not in BANDS or not np.isclose(scale, LAYER_SPECS[name].scale, rtol=1e-6):
        return found, {}
    packed = LAYER_SPECS[name]
    encoding = {"dtype": packed.dtype, "scale_factor": packed.scale, "_FillValue": packed.nodata}
    return _checked(found, partial(_require_fit, name=name)), encoding


def _checked(layer: xr.DataArray, check: Callable[[np.ndarray], np.ndarray]) -> xr.DataArray:
    """Return a layer whose blocks are checked when they are computed."""
    return layer.copy(data=layer.data.map_blocks(check, dtype=layer.dtype))


def _require_fit(block: np.ndarray, name: str) -> np.ndarray:
    """Refuse reflectances that the stored counts cannot hold: they would come out as others."""
    layer = LAYER_SPECS[name]
    known = block[~np.isnan(block)]
    counts = np.rint(known / np.float64(layer.scale))
    limits = np.iinfo(layer.dtype)
    fits = counts.size == 0 or limits.min <= counts.min() <= counts.max() <= limits.max
    if not fits or (counts == layer.nodata).any():
        raise InvalidInputError(
            f"{name} holds values from {known.min():g} up to {known.max():g}, which do not fit "
            f"{np.dtype(layer.dtype)} × {layer.scale:g} with {layer.nodata} for no data; if they "
            f"are right, write them as they are: result[{name!r}].encoding = {{}}"
        )
    return block


def _require_days(block: np.ndarray) -> np.ndarray:
    """Refuse times of day: dates are stored as days."""
    known = block[~np.isnat(block)]
    if (known != known.astype("M8[D]")).any():
        raise InvalidInputError(
            "a map of dates holds times of day, and days are stored; round them: "
            'result["date"].dt.floor("D")'
        )
    return block


def _check_free(target: str) -> None:
    try:
        fs, path = fsspec.url_to_fs(target)
        taken = fs.exists(path)
    except (*TROUBLE, ImportError) as error:
        raise CubeError(
            f"{target} cannot be reached: {error}. Give a path, or a URL such as 's3://…'"
        ) from shown_cause(error)
    if taken:
        raise _taken(target)


def _taken(target: str) -> CubeError:
    return CubeError(f"{target} exists already; remove it first, or choose another place")


@contextmanager
def _in_place(target: str) -> Iterator[str]:
    """Yield a path to write to that becomes the target when all is written."""
    fs, path = fsspec.url_to_fs(target)
    local = isinstance(fs, LocalFileSystem)
    try:
        if local:
            place = Path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as draft:
                yield str(draft)
                if place.exists():
                    raise FileExistsError(path)
        else:
            yield target
    except FileExistsError as error:  # written by another process meanwhile, and its own
        raise _taken(target) from shown_cause(error)
    except BaseException:
        if not local:
            _remove(fs, path)
        raise


def _remove(fs: fsspec.AbstractFileSystem, path: str) -> None:
    """Remove a folder, again while other threads of the same computation write into it."""
    for _ in range(_TRIES):
        with suppress(*TROUBLE):
            fs.rm(path, recursive=True)
        time.sleep(0.2)
        with suppress(*TROUBLE):
            if not fs.exists(path):
                return
