"""Write results as a cube is written: the same grid, Zarr 2, for xarray and any GDAL program."""

import os
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
import numpy as np
import odc.geo.xr  # noqa: F401  (registers `.odc`)
import xarray as xr
from fsspec.implementations.local import LocalFileSystem
from tqdm.dask import TqdmCallback

from s2kit.cube.layout import CODEC, gdal_crs
from s2kit.cube.store import TROUBLE
from s2kit.errors import CubeError, InvalidInputError

_CHUNK = 256
_TRIES = 20
_DAYS = {"units": "days since 1970-01-01", "dtype": "int32", "_FillValue": np.int32(-1)}
_STORED = ("dtype", "scale_factor", "_FillValue", "grid_mapping")


def write_result(result: xr.Dataset | xr.DataArray, store: str | os.PathLike) -> str:
    """Write maps, such as a composite, statistics or classes, block by block.

    Parameters
    ----------
    result : xarray.Dataset or DataArray, dims (y, x) or (time, y, x)
        On the cube's grid, with its coordinate system. Computed on the way if it is lazy.
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
        If it is not a map, has no coordinate system, or has values that its packing (the
        ``encoding`` of a cube's layer) cannot hold.
    CubeError
        If something is at that place already, or it cannot be written; then nothing is there.
    """
    maps = _read_maps(result)
    if not isinstance(store, str | os.PathLike) or not os.fspath(store).strip():
        raise InvalidInputError(f"store is {store!r}; give a path or a URL, such as 'median.zarr'")
    target = os.fspath(store)
    _check_free(target)
    try:
        with _in_place(target) as draft, TqdmCallback(desc="writing", leave=False):
            maps.to_zarr(draft, mode="w-", zarr_format=2, consolidated=True,
                         encoding=_encoding(maps))  # fmt: skip
    except (CubeError, InvalidInputError):
        raise
    except TROUBLE as error:
        raise CubeError(
            f"cannot write {target}: {error}. Nothing was left there; free space or choose "
            "another place"
        ) from error
    return target


def _read_maps(result: xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(result, xr.DataArray):
        result = result.to_dataset(name=result.name or "result")
    if not isinstance(result, xr.Dataset):
        raise InvalidInputError(
            f"result is a {type(result).__name__}; give an xarray.Dataset or DataArray"
        )
    flat = [name for name, layer in result.data_vars.items() if {"y", "x"} - set(layer.dims)]
    if flat or not result.data_vars:
        raise InvalidInputError(
            f"{', '.join(map(str, flat)) or 'the result'} has no dimensions y and x; maps are "
            "written here, tables by s2kit.save_table"
        )
    grid = result.odc.geobox
    if grid is None or grid.crs is None:
        raise InvalidInputError(
            "the result has no coordinate system, or its pixels are not evenly spaced; keep the "
            "cube's coordinates x, y and spatial_ref, or add a system: "
            "result.rio.write_crs('EPSG:28992')"
        )
    described = result.chunk({"y": _CHUNK, "x": _CHUNK} | ({"time": 1} if "time" in result.dims
                                                           else {}))  # fmt: skip
    for layer in described.data_vars.values():
        layer.attrs["_CRS"] = gdal_crs(grid)
    return described


def _encoding(maps: xr.Dataset) -> dict[str, dict]:
    mapping = next(name for name, one in maps.coords.items() if "crs_wkt" in one.attrs)
    encoding = {}
    for name, layer in maps.data_vars.items():
        kept = {key: value for key, value in layer.encoding.items() if key in _STORED}
        if layer.dtype.kind == "M":
            kept = dict(_DAYS)
            layer.attrs.pop("units", None)
        elif layer.dtype == bool:
            kept = {"dtype": "uint8"}
        elif layer.dtype.kind == "f" and np.dtype(kept.get("dtype", "f4")).kind in "iu":
            layer.data = layer.data.map_blocks(_require_fit, str(name), kept, dtype=layer.dtype)
        layer.encoding = {}
        encoding[name] = kept | {"compressors": CODEC, "grid_mapping": mapping}
    for name in maps.coords:
        maps[name].encoding = {}
    return encoding


def _require_fit(block: np.ndarray, name: str, packed: dict) -> np.ndarray:
    """Refuse values that the layer's whole numbers cannot hold: they would come out as others."""
    limits = np.iinfo(packed["dtype"])
    counts = block[np.isfinite(block)] / packed.get("scale_factor", 1)
    if counts.size and not limits.min < counts.min() <= counts.max() < limits.max:
        raise InvalidInputError(
            f"{name} holds values up to {np.abs(block[np.isfinite(block)]).max():g}, which do not "
            f"fit {np.dtype(packed['dtype'])} × {packed.get('scale_factor', 1):g}; if that is "
            f"right, write them as they are: result[{name!r}].encoding = {{}}"
        )
    return block


def _check_free(target: str) -> None:
    try:
        fs, path = fsspec.url_to_fs(target)
        taken = fs.exists(path)
    except (*TROUBLE, ImportError) as error:
        raise CubeError(
            f"{target} cannot be reached: {error}. Give a path, or a URL such as 's3://…'"
        ) from error
    if taken:
        raise _taken(target)


def _taken(target: str) -> CubeError:
    return CubeError(f"{target} exists already; remove it first, or choose another place")


@contextmanager
def _in_place(target: str):
    """Give a place to write to that becomes the target when all is written."""
    fs, path = fsspec.url_to_fs(target)
    local = isinstance(fs, LocalFileSystem)
    draft = path
    if local:
        place = Path(path)
        draft = str(place.with_name(f".{place.name}-{uuid.uuid4().hex[:8]}"))
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft if local else target
        if local:
            if place.exists():
                raise FileExistsError(path)
            Path(draft).rename(place)
    except FileExistsError as error:  # somebody else was quicker; what is there is theirs
        if local:
            _remove(fs, draft)
        raise _taken(target) from error
    except BaseException:
        _remove(fs, draft)
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
