"""Write results as a cube is written: the same grid, Zarr 2, for xarray and any GDAL program."""

import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path

import fsspec
import numpy as np
import odc.geo.xr  # noqa: F401  (registers `.odc`)
import xarray as xr
from tqdm.dask import TqdmCallback

from s2kit.cube.layout import CODEC, gdal_crs
from s2kit.errors import CubeError, InvalidInputError

_CHUNK = 256
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
        If it is not a map, or has no coordinate system.
    CubeError
        If something is at that place already, or it cannot be written; then nothing is there.
    """
    maps = _read_maps(result)
    target = os.fspath(store)
    _check_free(target)
    try:
        with _in_place(target) as draft, TqdmCallback(desc="writing", leave=False):
            maps.to_zarr(draft, mode="w-", zarr_format=2, consolidated=True,
                         encoding=_encoding(maps))  # fmt: skip
    except OSError as error:
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
    mapping = maps.odc.geobox is not None and maps.odc.spatial_dims and "spatial_ref"
    encoding = {}
    for name, layer in maps.data_vars.items():
        kept = {key: value for key, value in layer.encoding.items() if key in _STORED}
        if layer.dtype.kind == "M":
            kept = dict(_DAYS)
        elif layer.dtype == bool:
            kept = {"dtype": "uint8"}
        layer.encoding = {}
        encoding[name] = kept | {"compressors": CODEC, "grid_mapping": mapping}
    for name in maps.coords:
        maps[name].encoding = {}
    return encoding


def _check_free(target: str) -> None:
    fs, path = fsspec.url_to_fs(target)
    if fs.exists(path):
        raise CubeError(f"{target} exists already; remove it first, or choose another place")


@contextmanager
def _in_place(target: str):
    """Give a place to write to that becomes the target when all is written."""
    if "://" in target:
        yield target
        return
    draft = Path(target).with_name(f".{Path(target).name}-{uuid.uuid4().hex[:8]}")
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
