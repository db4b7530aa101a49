"""Read a scene's pixels: windows of JP2 and COG, decoded once, with errors that name the scene."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from s2kit.cube.steps import Scene
from s2kit.cube.warp import source_coordinates
from s2kit.errors import CubeError, SceneError

_GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
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

_SLACK = 2
"""Pixels read beyond a window's outline, for the neighbours that interpolation needs."""


@contextmanager
def gdal() -> Iterator[None]:
    """Set GDAL up for reading scenes."""
    chosen = {name: value for name, value in _GDAL.items() if name not in os.environ}
    with rasterio.Env(**chosen, **_GDAL_FIXED):
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
        """Give the rows and columns that a block of the grid needs, or None where none."""
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
        """Give the half width of the interpolation kernel along y and x, in source pixels."""
        width, height = source_coordinates(grid, self.crs).pixel_size
        return _at_least_one(height / -self.pixel[1]), _at_least_one(width / self.pixel[0])


def _at_least_one(ratio: float) -> float:
    return ratio if ratio > 1.05 else 1.0


@dataclass(frozen=True)
class Pixels:
    """A window of a band, in memory or in a scratch file."""

    raster: Raster
    rows: slice
    cols: slice
    values: np.ndarray | Path
    dtype: np.dtype

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """Give a part; rows and columns count from the raster's corner."""
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
        If the band is missing, cannot be read, or is not a north-up integer raster.
    """
    asset = scene.assets.get(layer)
    if asset is None:
        raise SceneError(scene.id, f"has no band {layer}; it has {', '.join(scene.assets)}")
    try:
        _check_complete(asset.href)
        with rasterio.open(asset.href) as dataset:
            yield dataset, _geometry(dataset)
    except (rasterio.errors.RasterioError, ValueError, OSError) as error:
        cause = error.__cause__ or error
        raise SceneError(scene.id, f"{layer} cannot be read: {cause} ({asset.href})") from error


def _geometry(dataset: DatasetReader) -> Raster:
    affine = dataset.transform
    if dataset.crs is None:
        raise ValueError("no coordinate system")
    if affine.b or affine.d or affine.a <= 0 or affine.e >= 0:
        raise ValueError(f"not a north-up raster: {tuple(affine)[:6]}")
    if dataset.dtypes[0] not in ("uint8", "uint16"):
        raise ValueError(f"values are {dataset.dtypes[0]}; uint8 or uint16 expected")
    return Raster(dataset.crs, (affine.c, affine.f), (affine.a, affine.e), dataset.shape)


def _check_complete(href: str) -> None:
    """A JP2 on disk must end with its end-of-codestream marker (ISO 15444-1, EOC = FFD9)."""
    if href.lower().endswith(".jp2") and Path(href).is_file():
        with Path(href).open("rb") as file:
            file.seek(-2, os.SEEK_END)
            if file.read() != b"\xff\xd9":
                raise ValueError("the file is truncated")


def fetch(
    scene: Scene, layer: str, grid: GeoBox, rows: slice, *, scratch: str | None = None
) -> Pixels | None:
    """Read what a strip of the grid needs of a band.

    Parameters
    ----------
    scene : Scene
    layer : str
    grid : odc.geo.geobox.GeoBox
    rows : slice
        The strip.
    scratch : str, optional
        A folder: the pixels go into a file there, decoded a row of tiles at a time, instead of
        memory.

    Returns
    -------
    Pixels or None
        None where the band does not reach the strip.

    Raises
    ------
    SceneError
        If the band cannot be read.
    """
    with opened(scene, layer) as (dataset, raster):
        window = raster.window(grid, rows, slice(0, grid.shape[1]))
        if window is None:
            return None
        dtype = np.dtype(dataset.dtypes[0])
        read = _read if scratch is None else _spool
        return Pixels(raster, *window, read(dataset, *window, scratch), dtype)


def fetch_masked(
    scene: Scene, layer: str, grid: GeoBox, rows: slice, *, scratch: str | None = None
) -> list[Pixels]:
    """Read a band, and for a probability also the classification, whose no data is its own too.

    Returns
    -------
    list of Pixels
        The band, or the band and SCL on the same grid; empty where it does not reach the strip.

    Raises
    ------
    SceneError
        If a band cannot be read, or SCL is on another grid.
    """
    masked = layer in ("CLD", "SNW") and "SCL" in scene.assets
    names = (layer, "SCL") if masked else (layer,)
    found = [fetch(scene, name, grid, rows, scratch=scratch) for name in names]
    if None in found:
        return []
    if masked and found[0].raster != found[1].raster:
        raise SceneError(scene.id, f"{layer} and SCL are not on the same grid")
    return found


def _read(dataset: DatasetReader, rows: slice, cols: slice, scratch: None) -> np.ndarray:
    return dataset.read(1, window=Window.from_slices(rows, cols))


def _spool(dataset: DatasetReader, rows: slice, cols: slice, scratch: str) -> Path:
    height = dataset.block_shapes[0][0]
    edges = [rows.start, *range(-(-(rows.start + 1) // height) * height, rows.stop, height)]
    handle, name = tempfile.mkstemp(dir=scratch)
    with os.fdopen(handle, "wb") as file:
        for top, bottom in zip(edges, [*edges[1:], rows.stop], strict=True):
            values = _read(dataset, slice(top, bottom), cols, None)
            try:
                file.write(values.data)
                file.flush()
            except OSError as error:
                raise CubeError(
                    f"the folder for temporary files is full or broken: {error} ({scratch}). Free "
                    "space there, or name another folder in the environment variable TMPDIR"
                ) from error
    return Path(name)
