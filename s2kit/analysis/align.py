"""Alignment of local rasters, such as elevation or soil, to the cube's grid."""

import os
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.dtypes import in_dtype_range
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.transform import array_bounds
from rasterio.warp import SUPPORTED_RESAMPLING, Resampling, reproject

from s2kit.analysis.fields import operation_into
from s2kit.credentials import shown_cause, without_credentials
from s2kit.crs import Bounds, name_place, pipeline
from s2kit.cube.imagery import gdal
from s2kit.cube.nodata import (
    declared_nodata,
    fill_of,
    has_data,
    packing,
    with_attribute,
    without_encoding,
)
from s2kit.cube.rasters import FORMATS, open_raster
from s2kit.errors import InvalidInputError
from s2kit.grid import area_of_data, crs_of, geobox_of, read_grid
from s2kit.scenes.uri import gdal_name

_METHODS = tuple(method.name for method in SUPPORTED_RESAMPLING)
_KEEPING = ("nearest", "mode")
"""Methods that choose one of the values instead of averaging them."""

_FINER = 1.1
"""Pixels of a raster along one of the cube above which the raster counts as finer: grids that are
rotated by a degree or two differ by a few hundredths."""

_FINEST = 1e7
"""Pixels of a raster in one of the cube at most: 10 m are 3000 pixels of 3 mm."""


@dataclass(frozen=True)
class _Raster:
    """A raster before it is warped; a file is described and not read."""

    label: str
    name: Hashable
    pixels: rasterio.Band | np.ndarray
    dtype: np.dtype
    crs: CRS
    transform: Affine
    shape: tuple[int, int]
    nodata: float | None
    scale: float
    offset: float
    attrs: dict[str, Any]

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top in the raster's own system."""
        return array_bounds(*self.shape, self.transform)

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers: classes, or measurements that were rounded."""
        return self.dtype.kind in "iu" and (self.scale, self.offset) == (1, 0)


def align_raster(
    raster: str | os.PathLike | xr.DataArray,
    cube: xr.Dataset | xr.DataArray,
    *,
    resampling: str | None = None,
) -> xr.DataArray:
    """Resample a raster, such as elevation or soil, to the cube's grid.

    Parameters
    ----------
    raster : str, path or xarray.DataArray, dims (y, x)
        A GeoTIFF (or COG), JPEG 2000 or Zarr array with one band, by its path or URL, in any
        coordinate system and at any resolution; or an array with coordinates and ``rio.crs``, for
        example of another format, as ``rioxarray.open_rasterio`` reads it.
    cube : xarray.Dataset or xarray.DataArray, dims (y, x) among others
        As `s2kit.open_cube` returns it, or a part of it. Of a file, only what lies under it is
        read.
    resampling : str, optional
        Any method of rasterio, such as ``"bilinear"``, ``"average"``, ``"nearest"`` or ``"mode"``
        (the most frequent class). By default measurements are averaged where the raster is finer
        than the grid, so that there is no aliasing, and interpolated (``"bilinear"``) where it is
        not. A raster of whole numbers may hold classes, which must not be averaged: name the
        method.

    Returns
    -------
    xarray.DataArray, dims (y, x)
        In memory, with exactly the cube's coordinates, in the unit of the raster. Measurements are
        float32, or float64 if the raster needs it, with NaN for no data; scale and offset are
        applied. Whole numbers that were chosen by ``"nearest"`` or ``"mode"`` keep their type; the
        attribute ``_FillValue`` is then their no data.

    Raises
    ------
    InvalidInputError
        If the raster cannot be read, refers to other files, is too large in detail, has no
        coordinate system or not one band, lies elsewhere, or the method is unknown or not given
        for whole numbers.

    Notes
    -----
    Resampling is that of GDAL's warper (`rasterio.warp.reproject`), with the position of each pixel
    computed exactly. At the edge of the raster, and around its no data, the valid pixels that
    contribute are used.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> height = s2kit.align_raster("data/practice/truth/elevation.tif", cube)
    >>> height.shape, height.attrs["units"]
    ((500, 500), 'm above NAP')
    """
    grid = read_grid(cube)
    with gdal(), _open(raster) as source:
        area, what = area_of_data(cube, grid), f"the pixels of {source.label}"
        into = operation_into(what, source.bounds, source.crs, grid, area)
        wanted = into.transform_bounds(*grid.boundingbox.bbox, direction="INVERSE")
        detail = _read_detail(source, grid, wanted)
        method = _read_method(resampling, source, detail)
        try:
            values = _warp(source, grid, method, pipeline(source.crs, crs_of(grid), area))
        except RasterioError as error:
            raise InvalidInputError(
                f"{source.label} is damaged: {error.__cause__ or error}. Bring it back from a copy"
            ) from error
    attrs = dict(source.attrs)
    if source.is_whole and method in _KEEPING:
        values, nodata = _as_whole(values, source)
        attrs |= {} if nodata is None else {"_FillValue": nodata}
    elif (source.scale, source.offset) != (1, 0):
        values = values * values.dtype.type(source.scale) + values.dtype.type(source.offset)
    coords = {name: cube[name] for name in ("y", "x")}
    aligned = xr.DataArray(values, coords, ("y", "x"), source.name, attrs)
    return aligned.rio.write_crs(crs_of(grid).to_wkt())


@contextmanager
def _open(raster: Any) -> Iterator[_Raster]:
    """Describe a raster; a file stays open as long as the context."""
    if isinstance(raster, xr.DataArray):
        yield _describe_array(raster)
        return
    if not isinstance(raster, str | os.PathLike):
        raise InvalidInputError(
            f"raster is a {type(raster).__name__}; give the path of a file, or a DataArray; of a "
            "Dataset select one layer: dataset['elevation']"
        )
    with ExitStack() as stack:
        try:
            dataset = stack.enter_context(open_raster(gdal_name(os.fspath(raster))))
        except (RasterioError, OSError, ValueError) as error:
            raise InvalidInputError(
                f"raster={os.fspath(raster)!r} cannot be read: {error.__cause__ or error}. "
                f"{FORMATS}; open another with rioxarray.open_rasterio, and give that array"
            ) from shown_cause(error)
        yield _describe_file(dataset, Path(without_credentials(os.fspath(raster))))


def _describe_file(dataset: rasterio.DatasetReader, path: Path) -> _Raster:
    if dataset.count != 1:
        parts = f" Its parts are {', '.join(dataset.subdatasets)}." if dataset.subdatasets else ""
        raise InvalidInputError(
            f"{path} has {dataset.count} bands; choose one: "
            f"rioxarray.open_rasterio({str(path)!r}).sel(band=1).{parts}"
        )
    if dataset.crs is None:
        raise InvalidInputError(
            f"{path} has no coordinate system. State it, if it is the Dutch RD for example: "
            f'raster = rioxarray.open_rasterio({str(path)!r}).squeeze().rio.write_crs("EPSG:28992")'
        )
    dtype, nodata = _read_dtype(str(path), dataset.dtypes[0]), dataset.nodata
    if dtype.kind == "f" and MaskFlags.all_valid in dataset.mask_flag_enums[0]:
        nodata = np.nan
    elif dtype.kind in "iu" and nodata is not None and not in_dtype_range(nodata, dtype):
        nodata = None  # no pixel can have it
    return _Raster(
        label=str(path),
        name=path.stem,
        pixels=rasterio.band(dataset, 1),
        dtype=dtype,
        crs=CRS(dataset.crs.to_wkt()),
        transform=dataset.transform,
        shape=dataset.shape,
        nodata=nodata,
        scale=dataset.scales[0],
        offset=dataset.offsets[0],
        attrs={"units": dataset.units[0]} if dataset.units[0] else {},
    )


def _describe_array(raster: xr.DataArray) -> _Raster:
    label = f"raster {raster.name!r}" if raster.name else "raster"
    flat = with_attribute(raster)
    flat = flat.squeeze("band") if flat.sizes.get("band") == 1 else flat
    grid = geobox_of(flat) if flat.ndim == 2 else None
    if grid is None:
        raise InvalidInputError(
            f"the {label} with the dimensions {dict(raster.sizes)} is not a map on a regular grid; "
            "it needs two dimensions with evenly spaced coordinates: raster.isel(time=0) selects"
        )
    if grid.crs is None:
        raise InvalidInputError(
            f"the {label} has no coordinate system; state it, if it is the Dutch RD for example: "
            'raster.rio.write_crs("EPSG:28992")'
        )
    _read_dtype(label, flat.dtype)
    scale, offset = packing(flat)
    flat = flat.transpose(*flat.odc.spatial_dims)
    pixels = flat.values
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)  # all that rasterio takes
    nodata = fill_of(flat)
    if declared_nodata(flat) and nodata is not None:
        pixels = np.where(has_data(flat).values, pixels, pixels.dtype.type(nodata))
    return _Raster(
        label=label,
        name=raster.name,
        pixels=pixels,
        dtype=pixels.dtype,
        crs=crs_of(grid),
        transform=grid.affine,
        shape=pixels.shape,
        nodata=nodata,
        scale=scale,
        offset=offset,
        attrs=without_encoding(flat.attrs),
    )


def _read_dtype(label: str, dtype: Any) -> np.dtype:
    """Refuse what is no real number of up to 8 bytes: GDAL warps no others."""
    found = np.dtype(dtype)
    if found.kind not in "fiu" or found.itemsize > 8:
        raise InvalidInputError(f"{label} holds {found}; give real numbers: raster.astype('uint8')")
    return found


def _read_detail(source: _Raster, grid: GeoBox, wanted: Bounds) -> float:
    """Return how many pixels of a raster lie in one of the cube, on average.

    Refuse a raster that does not reach the box of the cube in the raster's system, and one of so
    many pixels that the warper would hold gigabytes for one of the cube.
    """
    there = shapely.box(*source.bounds)
    if not shapely.relate_pattern(shapely.box(*wanted), there, "T********"):
        raise InvalidInputError(
            f"{source.label} does not overlap the cube: it lies at "
            f"{name_place(source.bounds, source.crs)}, the cube at "
            f"{name_place(grid.boundingbox.bbox, crs_of(grid))}; is its coordinate system "
            f"({source.crs.name}) right?"
        )
    left, bottom, right, top = wanted
    pixels = (right - left) * (top - bottom) / abs(source.transform.determinant)
    detail = pixels / (grid.shape.y * grid.shape.x)
    if not detail <= _FINEST:
        raise InvalidInputError(
            f"{source.label} has {detail:.1e} pixels in one of the cube's; at most {_FINEST:.1e} "
            "are read. Is its coordinate system right? Otherwise make it coarser first: "
            "gdalwarp -tr 1 1 -r average"
        )
    return detail


def _read_method(resampling: str | None, source: _Raster, detail: float) -> str:
    if resampling is not None:
        if resampling not in _METHODS:
            raise InvalidInputError(
                f"resampling={resampling!r} is unknown; accepted: {', '.join(_METHODS)}"
            )
        return resampling
    if source.is_whole:
        raise InvalidInputError(
            f"{source.label} holds whole numbers ({source.dtype}), which may be classes or "
            "measurements. Classes: resampling='mode' where the raster is finer than the grid, "
            "'nearest' where it is not; measurements: 'average' or 'bilinear'"
        )
    return "average" if detail > _FINER**2 else "bilinear"


def _warp(source: _Raster, grid: GeoBox, method: str, into: str) -> np.ndarray:
    """Warp a raster to a grid, block by block of a file; float, with NaN for no data.

    `rioxarray.reproject_match` returns the same numbers, but reads the whole file first.
    """
    target = np.full(grid.shape, np.nan, np.result_type(source.dtype, "float32"))
    georeference = {}  # of an array; a file has its own
    if isinstance(source.pixels, np.ndarray):
        georeference = {"src_transform": source.transform, "src_crs": source.crs.to_wkt()}
    reproject(
        source.pixels,
        target,
        **georeference,
        src_nodata=source.nodata,
        dst_transform=grid.affine,
        dst_crs=crs_of(grid).to_wkt(),
        dst_nodata=np.nan,
        resampling=Resampling[method],
        COORDINATE_OPERATION=into,
        tolerance=0,  # by default an eighth of the raster's own pixels, which may be large ones
    )
    return target


def _as_whole(values: np.ndarray, source: _Raster) -> tuple[np.ndarray, int | None]:
    """Return whole numbers in their own type again, and the value of no data among them."""
    empty = np.isnan(values)
    nodata = None if source.nodata is None else int(source.nodata)
    if nodata is None and empty.any():
        limits = np.iinfo(source.dtype)
        free = [n for n in (limits.max, limits.min, 0) if not (values == n).any()]
        if not free:
            raise InvalidInputError(
                f"{source.label} does not cover the cube and has no value for no data; state one "
                "that is free: raster.rio.write_nodata(99)"
            )
        nodata = free[0]
    return np.where(empty, nodata or 0, values).astype(source.dtype), nodata
