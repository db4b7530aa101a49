"""Read a scene's pixels: windows of JP2 and COG, decoded once, with errors that name the scene."""

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from s2kit.credentials import shown_cause
from s2kit.crs import METRES_PER_DEGREE
from s2kit.cube.acquisitions import Scene
from s2kit.cube.jpeg2000 import member_of
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.rasters import open_raster
from s2kit.cube.warp import source_coordinates
from s2kit.errors import CubeError, SceneError
from s2kit.scenes.radiometry import BANDS, METADATA, OddStatementError, read_offset, read_scale
from s2kit.scenes.uri import in_zip

_GDAL = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_LOW_SPEED_TIME": "20",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_RETRY_CODES": "429,500,502,503,504",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "VSI_CACHE": "TRUE",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/",  # else a failure is remembered, and no retry
    "GDAL_CACHEMAX": 128 * 2**20,
}
"""GDAL's options for reading remote imagery; what the user has set in the environment wins."""

_GDAL_FIXED = {"GDAL_NUM_THREADS": "1"}
"""With more threads GDAL loses the errors of its JP2 workers: a truncated band reads as garbage
without an error (seen with GDAL 3.12). The build works on several bands side by side instead."""

_SMALLEST_PIXEL, _LARGEST_PIXEL = 1, 10_000
"""Metres: beyond these a raster's place is a mistake."""

_LARGEST_SIDE = 2**15
"""Pixels along a side of a raster: a tile of Sentinel-2 has 10 980."""

_LARGEST_WINDOW = 2**27
"""Pixels of a raster that are held in memory at once: a tile of Sentinel-2 has 1.2e8."""

_SLACK = 2
"""Pixels read beyond a window's outline, for the neighbours that interpolation needs."""

_Read = Callable[[slice, slice], np.ndarray]


@contextmanager
def gdal() -> Iterator[None]:
    """Set GDAL up for reading scenes."""
    open_to_choice = {name: value for name, value in _GDAL.items() if name not in os.environ}
    with rasterio.Env(**open_to_choice, **_GDAL_FIXED):
        yield


@dataclass(frozen=True)
class Raster:
    """A band's geometry.

    Attributes
    ----------
    crs : rasterio.crs.CRS
    origin : tuple of float
        x and y of the upper left corner.
    pixel : tuple of float
        Pixel width and (negative) height.
    shape : tuple of int
        Height and width in pixels.
    """

    crs: CRS
    origin: tuple[float, float]
    pixel: tuple[float, float]
    shape: tuple[int, int]

    def window(self, grid: GeoBox, rows: slice, cols: slice) -> tuple[slice, slice] | None:
        """Return the rows and columns that a block of the grid needs; None where it needs none."""
        coordinates = source_coordinates(grid, self.crs)
        left, bottom, right, top = coordinates.bounds(rows.start, rows.stop, cols.start, cols.stop)
        slack_y, slack_x = (_SLACK + int(np.ceil(r)) for r in self.reach(grid))
        first_row = int((top - self.origin[1]) / self.pixel[1]) - slack_y
        last_row = int((bottom - self.origin[1]) / self.pixel[1]) + 1 + slack_y
        first_col = int((left - self.origin[0]) / self.pixel[0]) - slack_x
        last_col = int((right - self.origin[0]) / self.pixel[0]) + 1 + slack_x
        height, width = self.shape
        r = slice(max(first_row, 0), min(last_row, height))
        c = slice(max(first_col, 0), min(last_col, width))
        return (r, c) if r.start < r.stop and c.start < c.stop else None

    def reach(self, grid: GeoBox) -> tuple[float, float]:
        """Return the half width of the interpolation kernel along y and x, in source pixels."""
        width, height = source_coordinates(grid, self.crs).pixel_size
        ratios = height / -self.pixel[1], width / self.pixel[0]
        along_y, along_x = (ratio if ratio > 1.05 else 1.0 for ratio in ratios)
        return along_y, along_x


@dataclass(frozen=True)
class Pixels:
    """A window of a band, in memory or in a scratch file."""

    raster: Raster
    rows: slice
    cols: slice
    values: np.ndarray | Path
    dtype: np.dtype

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """Read a part; rows and columns count from the raster's corner."""
        r = slice(rows.start - self.rows.start, rows.stop - self.rows.start)
        c = slice(cols.start - self.cols.start, cols.stop - self.cols.start)
        if isinstance(self.values, np.ndarray):
            return self.values[r, c]
        shape = (self.rows.stop - self.rows.start, self.cols.stop - self.cols.start)
        return np.array(np.memmap(self.values, self.dtype, "r", shape=shape)[r, c])


@contextmanager
def opened(scene: Scene, layer: str) -> Iterator[tuple[DatasetReader, Raster]]:
    """Open a band of a scene.

    Raises
    ------
    SceneError
        If the band cannot be read, or is not a north-up integer raster.
    """
    asset = scene.assets[layer]
    try:
        _check_complete(asset.href)
        with open_raster(asset.href) as dataset:
            _check_values(dataset, layer)
            yield dataset, _geometry(dataset)
    except (rasterio.errors.RasterioError, ValueError, OSError) as error:
        reason = f"{layer} cannot be read: {error.__cause__ or error} ({asset.href})"
        raise SceneError(scene.id, reason) from shown_cause(error)


def _check_values(dataset: DatasetReader, layer: str) -> None:
    if dataset.count != 1:
        raise ValueError(f"it holds {dataset.count} bands; one is expected")
    if max(dataset.shape) > _LARGEST_SIDE:
        height, width = dataset.shape
        raise ValueError(
            f"it claims {width} × {height} pixels; a tile of Sentinel-2 has 10980 along a side, "
            f"and at most {_LARGEST_SIDE} are read"
        )
    expected = ("uint16",) if layer in BANDS else ("uint8", "uint16")
    if dataset.dtypes[0] not in expected:
        raise ValueError(f"values are {dataset.dtypes[0]}; {' or '.join(expected)} expected")


def _geometry(dataset: DatasetReader) -> Raster:
    affine = dataset.transform
    if dataset.crs is None:
        raise ValueError("no coordinate system")
    finite = all(map(math.isfinite, tuple(affine)[:6]))
    if not finite or affine.b or affine.d or affine.a <= 0 or affine.e >= 0:
        raise ValueError(f"not a north-up raster: {tuple(affine)[:6]}")
    degrees = dataset.crs.is_geographic
    metres = affine.a * (METRES_PER_DEGREE if degrees else dataset.crs.linear_units_factor[1])
    if not _SMALLEST_PIXEL <= metres <= _LARGEST_PIXEL:
        raise ValueError(f"its pixels are {metres:g} m wide; those of Sentinel-2 are 10 to 60 m")
    return Raster(dataset.crs, (affine.c, affine.f), (affine.a, affine.e), dataset.shape)


def _check_complete(href: str) -> None:
    """Check that a JP2 on disk ends with its end-of-codestream marker (ISO 15444-1, EOC = FFD9)."""
    zipped = in_zip(href)
    if not href.lower().endswith(".jp2") or not (zipped or Path(href).is_file()):
        return
    if zipped:
        end = _end_in_zip(*zipped)
    else:
        with Path(href).open("rb") as file:
            file.seek(max(Path(href).stat().st_size - 2, 0))
            end = file.read()
    if end != b"\xff\xd9":
        raise ValueError("the file is truncated")


@lru_cache(maxsize=4096)
def _end_in_zip(archive: str, name: str) -> bytes:
    """Read a file in a zip to its end, once: a zip has a checksum of each."""
    end = b""
    with member_of(archive, name) as file:
        while part := file.read(2**20):
            end = (end + part)[-2:]
    return end


def with_own_offsets(scene: Scene) -> Scene:
    """Return a scene of EOPF Zarr with the offsets that its arrays state: these are final.

    Raises
    ------
    SceneError
        If an array cannot be opened, or states what Level-2A does not have.
    """
    assets = dict(scene.assets)
    for band, asset in scene.assets.items():
        if band in BANDS and asset.href.startswith("ZARR:") and asset.source != METADATA:
            with opened(scene, band) as (dataset, _):
                scale, offset = _stated_by(dataset)
            try:
                read_scale(scale, band)
                if offset is not None:
                    own = read_offset(offset, band)
                    assets[band] = replace(asset, offset=own, source=METADATA)
            except OddStatementError as error:
                raise SceneError(scene.id, f"{error} (in {asset.href})") from error
    return replace(scene, assets=assets)


def _stated_by(dataset: DatasetReader) -> tuple[float | None, float | None]:
    """Return scale and offset of an array of EOPF Zarr; None for what it does not state.

    GDAL returns 1 and 0 there. ESA's software keeps all statements in ``_eopf_attrs``, too.
    """
    attributes = json.loads(dataset.tags().get("_eopf_attrs", "{}"))
    if not isinstance(attributes, dict):
        raise ValueError(f"_eopf_attrs is {attributes!r:.100}, not an object of JSON")
    scale, offset = dataset.scales[0], dataset.offsets[0]
    return (
        attributes.get("scale_factor") if scale == 1 else scale,
        attributes.get("add_offset") if offset == 0 else offset,
    )


def fetch_masked(
    scene: Scene, layer: str, grid: GeoBox, rows: slice, *, scratch: str | None = None
) -> list[Pixels]:
    """Read what a strip of the grid needs of a band, and for a probability of SCL too.

    Where there is no data in the classification, there is none in a probability. With a folder as
    ``scratch`` pixels go into files there, decoded a row of tiles at a time, instead of memory.

    Returns
    -------
    list of Pixels
        The band, or the band and SCL on the same grid; empty where it does not reach the strip.

    Raises
    ------
    SceneError
        If a band cannot be read, or SCL is on another grid.
    """
    names = (layer, "SCL") if layer in ("CLD", "SNW") and "SCL" in scene.assets else (layer,)
    bands = [_fetch(scene, name, grid, rows, scratch) for name in names]
    reached = [band for band in bands if band is not None]
    if len(reached) < len(bands):
        return []
    if reached[0].raster != reached[-1].raster:
        raise SceneError(scene.id, f"{layer} and SCL are not on the same grid")
    return reached


def _fetch(
    scene: Scene, layer: str, grid: GeoBox, rows: slice, scratch: str | None
) -> Pixels | None:
    with opened(scene, layer) as (dataset, raster):
        window = raster.window(grid, rows, slice(0, grid.shape[1]))
        if window is None:
            return None
        pixels = math.prod(part.stop - part.start for part in window)
        if scratch is None and pixels > _LARGEST_WINDOW:
            raise ValueError(
                f"{pixels:.1e} of its pixels lie in the region; at most {_LARGEST_WINDOW:.1e} are "
                "read"
            )
        read = _reader(dataset, layer, scene.assets[layer].nodata)
        values = read(*window) if scratch is None else _spool(dataset, read, *window, scratch)
        return Pixels(raster, *window, values, np.dtype(dataset.dtypes[0]))


def _reader(dataset: DatasetReader, layer: str, nodata: float | None) -> _Read:
    """Return a function that reads rows and columns, all that means no data as one DN.

    No data is what the item, the raster itself or its mask states, besides 0, which always is. Of
    a probability 0 is a value. 255 is no class.
    """
    stated = [nodata, dataset.nodata, 255 if layer == "SCL" else None]
    possible = range(1, np.iinfo(dataset.dtypes[0]).max + 1)
    marks = {int(dn) for dn in stated if dn is not None and dn in possible}
    hole = LAYER_SPECS[layer].nodata if layer in ("CLD", "SNW") else 0
    has_mask = MaskFlags.per_dataset in dataset.mask_flag_enums[0]

    def read(rows: slice, cols: slice) -> np.ndarray:
        window = Window.from_slices(rows, cols)
        values = dataset.read(1, window=window)
        for mark in marks:
            values[values == mark] = hole
        if has_mask:
            values[dataset.read_masks(1, window=window) == 0] = hole
        return values

    return read


def _spool(dataset: DatasetReader, read: _Read, rows: slice, cols: slice, scratch: str) -> Path:
    height = dataset.block_shapes[0][0]
    edges = [rows.start, *range(-(-(rows.start + 1) // height) * height, rows.stop, height)]
    handle, name = tempfile.mkstemp(dir=scratch)
    with os.fdopen(handle, "wb") as file:
        for top, bottom in zip(edges, [*edges[1:], rows.stop], strict=True):
            values = read(slice(top, bottom), cols)
            try:
                file.write(values.data)
                file.flush()
            except OSError as error:
                raise CubeError(
                    f"the folder for temporary files is full or broken: {error} ({scratch}). Free "
                    "space there, or name another folder in the environment variable TMPDIR"
                ) from error
    return Path(name)
