"""Resample a source raster onto the cube's grid: exact geometry, once per block, for every layer.

GDAL's warper transforms coordinates anew for every band and approximates them by up to 1/8 pixel,
differently for every block it is asked for. A cube asks for hundreds of bands on one grid, so here
the coordinates are computed once per block (`SourceCoordinates`) and shared, and a pixel's value
does not depend on how the work is cut. What GDAL does with a pixel is kept: the same neighbours,
the same weights, the same treatment of nodata and edges.
"""

from functools import cached_property, lru_cache

import numba
import numpy as np
import pyproj
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from scipy.interpolate import RectBivariateSpline

from s2kit.crs import operation
from s2kit.errors import InvalidInputError
from s2kit.grid import area_of_grid, crs_of, pixel_width

_LATTICE = 64
"""Spacing in pixels of the exactly transformed points. Between them a cubic spline is off by
h⁴/384 times the fourth derivative: below 1e-6 m for any national grid (checked in the tests)."""

_LATTICE_METRES = 20_000
"""The same for coarse pixels, so that the lattice does not leave the systems' areas."""

_NUDGE = 1e-10
"""Added before rounding down, as GDAL does, so that a pixel edge belongs to the pixel after it."""


class SourceCoordinates:
    """Where each pixel centre of a target grid lies in the coordinate system of a source."""

    def __init__(self, grid: GeoBox, crs: CRS):
        self.grid = grid
        target = CRS.from_wkt(crs_of(grid).to_wkt())
        self._splines = None if target == crs else _fit_splines(grid, crs)

    def at(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute x and y in the source's system for every row with every column.

        Parameters
        ----------
        row, col : numpy.ndarray, 1-D, float64
            Positions in the grid; 0.5 is the centre of the first pixel.

        Returns
        -------
        tuple of numpy.ndarray
            x and y, float64, shape (len(row), len(col)), in units of the source's system.
        """
        if self._splines is None:
            affine = self.grid.affine
            x, y = np.meshgrid(affine.c + affine.a * col, affine.f + affine.e * row)
            return x, y
        return self._splines[0](row, col), self._splines[1](row, col)

    @lru_cache(maxsize=64)  # noqa: B019  the few instances live as long as the process
    def bounds(
        self, top: int, bottom: int, left: int, right: int
    ) -> tuple[float, float, float, float]:
        """Compute (left, bottom, right, top) of a block's pixel centres in the source's system.

        The block is followed at the lattice's spacing; what bulges between two points is far
        less than a pixel.
        """
        x, y = self.at(_stops(top, bottom), _stops(left, right))
        return x.min(), y.min(), x.max(), y.max()

    @cached_property
    def pixel_size(self) -> tuple[float, float]:
        """Width and height of the grid's middle pixel in the source's units."""
        height, width = self.grid.shape
        x, y = self.at(height / 2 + np.array([0.0, 1.0]), width / 2 + np.array([0.0, 1.0]))
        along_x = np.hypot(x[0, 1] - x[0, 0], y[0, 1] - y[0, 0])
        along_y = np.hypot(x[1, 0] - x[0, 0], y[1, 0] - y[0, 0])
        return float(along_x), float(along_y)


@lru_cache(maxsize=4)
def source_coordinates(grid: GeoBox, crs: CRS) -> SourceCoordinates:
    """Return the coordinates of a grid in another system; the last few are cached."""
    return SourceCoordinates(grid, crs)


@lru_cache(maxsize=2)
def block_coordinates(
    grid: GeoBox, crs: CRS, top: int, bottom: int, left: int, right: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compute x and y of a block's pixel centres in the source's system; cached for its layers."""
    coordinates = source_coordinates(grid, crs)
    return coordinates.at(np.arange(top, bottom) + 0.5, np.arange(left, right) + 0.5)


def _stops(first: int, end: int) -> np.ndarray:
    return np.unique(np.append(np.arange(first, end, _LATTICE), end - 1)) + 0.5


def _fit_splines(grid: GeoBox, source: CRS) -> tuple[RectBivariateSpline, RectBivariateSpline]:
    step = int(np.clip(_LATTICE_METRES // pixel_width(grid), 1, _LATTICE))
    height, width = grid.shape
    row = np.arange(-2.0 * step, height + 3 * step, step)
    col = np.arange(-2.0 * step, width + 3 * step, step)
    affine = grid.affine
    x, y = np.meshgrid(affine.c + affine.a * col, affine.f + affine.e * row)
    into = operation(crs_of(grid), pyproj.CRS.from_wkt(source.to_wkt()), area_of_grid(grid))
    xs, ys = into.transform(x, y)
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise InvalidInputError(
            f"the grid in {grid.crs} reaches beyond what {source.to_string()} can describe; choose "
            "a smaller region or another coordinate system"
        )
    return RectBivariateSpline(row, col, xs), RectBivariateSpline(row, col, ys)


@numba.njit(nogil=True, cache=True)
def fill_nearest(out, x, y, source, origin, pixel, corner, nodata_in, nodata_out, shift, high):
    """Fill what is still nodata in ``out`` with the nearest source pixel.

    Parameters
    ----------
    out : numpy.ndarray, shape (rows, cols)
        The block of the cube; only pixels equal to ``nodata_out`` are written.
    x, y : numpy.ndarray, shape (rows, cols), float64
        Pixel centres in the source's coordinate system.
    source : numpy.ndarray, shape (height, width)
        A window of the source raster, DN.
    origin : tuple of float
        x and y of the upper left corner of the whole source raster.
    pixel : tuple of float
        Pixel width and (negative) height of the source.
    corner : tuple of int
        Row and column of the window's first pixel in the source raster.
    nodata_in, nodata_out : int
        What marks nodata in the source and in the cube.
    shift : int
        Added to each DN.
    high : int
        Largest value stored; what is above saturates.
    """
    height, width = source.shape
    # Row by row, as all arrays but the source lie in memory; neighbours in a row of the target are
    # neighbours in the source, too, and mostly in the same lines of the cache.
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            if out[i, j] != nodata_out:  # an earlier scene of the same step has filled it
                continue
            # In float64 from the corner of the whole raster, and whole numbers after that: which
            # window is read, and so how the work is cut, cannot change the pixel.
            c = int(np.floor((x[i, j] - origin[0]) / pixel[0] + _NUDGE)) - corner[1]
            r = int(np.floor((y[i, j] - origin[1]) / pixel[1] + _NUDGE)) - corner[0]
            if r < 0 or c < 0 or r >= height or c >= width:
                continue
            value = np.int64(source[r, c])  # signed: DN are unsigned, a shift may be negative
            if value != nodata_in:
                out[i, j] = min(value + shift, high)


@numba.njit(nogil=True, cache=True)
def fill_bilinear(
    out, x, y, source, origin, pixel, corner, nodata_in, nodata_out, shift, high, reach
):
    """Fill what is still nodata in ``out`` with the distance-weighted mean of its neighbours.

    Parameters
    ----------
    out, x, y, source, origin, pixel, corner, nodata_in, nodata_out, shift, high
        As in `fill_nearest`.
    reach : tuple of float
        Half width of the triangular kernel along y and x, in source pixels: 1 for bilinear
        interpolation, more where the target's pixels are larger than the source's.

    Notes
    -----
    Neighbours that are nodata, or outside, lose their weight to the others, so that nodata
    never bleeds into a value. Where the centre lies in a nodata pixel, the result is nodata,
    as in GDAL.
    """
    height, width = source.shape
    ry, rx = reach
    # Where the grid is not coarser than the source, nearly all pixels take the short way. It adds
    # the same products in the same order as the loops below: both agree to the last bit.
    simple = ry == 1.0 and rx == 1.0  # four neighbours, all valid: the same sum without loops
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            if out[i, j] != nodata_out:  # an earlier scene of the same step has filled it
                continue
            # From the raster's corner in pixels: 0 is the left or upper edge of its first pixel ...
            col = (x[i, j] - origin[0]) / pixel[0]
            row = (y[i, j] - origin[1]) / pixel[1]
            nearest_r = int(np.floor(row + _NUDGE)) - corner[0]
            nearest_c = int(np.floor(col + _NUDGE)) - corner[1]
            # ... and now 0 is the centre of the window's first pixel: weights are of centres.
            col -= 0.5 + corner[1]
            row -= 0.5 + corner[0]
            r = int(np.floor(row))
            c = int(np.floor(col))
            if simple and r >= 0 and c >= 0 and r + 1 < height and c + 1 < width:
                v00, v01 = source[r, c], source[r, c + 1]
                v10, v11 = source[r + 1, c], source[r + 1, c + 1]
                if v00 != nodata_in and v01 != nodata_in and v10 != nodata_in and v11 != nodata_in:
                    y0, y1 = 1.0 - (row - r), 1.0 - (r + 1 - row)
                    x0, x1 = 1.0 - (col - c), 1.0 - (c + 1 - col)
                    total = y0 * x0 * v00 + y0 * x1 * v01 + y1 * x0 * v10 + y1 * x1 * v11
                    weights = y0 * x0 + y0 * x1 + y1 * x0 + y1 * x1
                    # a DN rounded half up, as GDAL rounds; only then shifted, by a whole number
                    value = np.int64(np.floor(total / weights + 0.5))
                    out[i, j] = min(value + shift, high)
                    continue
            if not (0 <= nearest_r < height and 0 <= nearest_c < width):
                continue
            if source[nearest_r, nearest_c] == nodata_in:
                continue
            # The pixels whose centres the kernel reaches. The window holds all of them, unless it
            # ends with the raster: what is cut off here does not exist.
            r0 = max(int(np.ceil(row - ry)), 0)
            r1 = min(int(np.floor(row + ry)), height - 1)
            c0 = max(int(np.ceil(col - rx)), 0)
            c1 = min(int(np.floor(col + rx)), width - 1)
            total = 0.0
            weights = 0.0
            for r in range(r0, r1 + 1):
                wy = 1.0 - abs(r - row) / ry
                for c in range(c0, c1 + 1):
                    value = source[r, c]
                    if value != nodata_in:
                        w = wy * (1.0 - abs(c - col) / rx)
                        total += w * value
                        weights += w
            if weights > 1e-5:  # GDAL's limit: with less weight there is no value
                value = np.int64(np.floor(total / weights + 0.5))
                out[i, j] = min(value + shift, high)
