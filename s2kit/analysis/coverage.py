"""How much of each pixel fields cover, and sums over what they cover."""

from dataclasses import dataclass, replace

import geopandas as gpd
import numba
import numpy as np
import shapely
import xarray as xr
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from odc.geo.geobox import GeoBox

_SLIVER = 1e-6
"""Of a field's best covered pixel: what is covered less than that is touched by rounding only."""

WEIGHT, MEAN, SQUARES, MIN, MAX = range(5)
"""Planes of moments: sum of weights, mean, sum of squared deviations, minimum, maximum."""


@dataclass(frozen=True)
class Coverage:
    """The pixels of all fields, one after the other.

    Attributes
    ----------
    field : numpy.ndarray, shape (pixel,), int32
        Position of the pixel's field, in ascending order.
    row, col : numpy.ndarray, shape (pixel,), int32
    weight : numpy.ndarray, shape (pixel,), float64
        Fraction of the pixel that lies in the field; 1 for points.
    whole : numpy.ndarray, shape (field,), float64
        Area of each field in pixels, with what lies beyond the cube; 1 for points.
    """

    field: np.ndarray
    row: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    whole: np.ndarray


def cover(fields: gpd.GeoDataFrame, grid: GeoBox) -> Coverage:
    """Find the pixels of fields, with the fraction of each that is covered.

    Parameters
    ----------
    fields : geopandas.GeoDataFrame
        As `read_fields` gives them.
    grid : odc.geo.geobox.GeoBox

    Notes
    -----
    Fractions are exact but for the rounding of float32 (library exactextract); those that rounding
    alone makes, along a border between pixels, are left out. A point takes the
    pixel that holds it; on the border between two, the one to the east or south.
    """
    if (fields.geom_type == "Point").all():
        return _cover_points(fields, grid)
    west, south, east, north = grid.extent.geom.bounds
    empty = np.broadcast_to(np.uint8(0), grid.shape)  # only its place is of interest
    raster = NumPyRasterSource(empty, west, south, east, north, srs_wkt=fields.crs.to_wkt())
    found = exact_extract(
        raster, fields.geometry.to_frame(), ["coverage", "cell_id"], output="pandas"
    )
    weight = np.concatenate(found["coverage"].to_list()).astype("float64")
    cells = np.concatenate(found["cell_id"].to_list()).astype("int64")
    sizes = found["coverage"].map(len)
    field = np.repeat(np.arange(len(fields), dtype="int32"), sizes)
    largest = np.repeat([part.max(initial=0) for part in found["coverage"]], sizes)
    touched = weight > _SLIVER * largest
    weight, cells, field = weight[touched], cells[touched], field[touched]
    row, col = np.divmod(cells, grid.shape.x)
    covered = np.bincount(field, weight, len(fields))
    area = shapely.area(fields.geometry.values) / abs(grid.affine.determinant)
    whole = np.where(fields.within(grid.extent.geom), covered, area)
    return Coverage(field, row.astype("int32"), col.astype("int32"), weight, whole)


def _cover_points(fields: gpd.GeoDataFrame, grid: GeoBox) -> Coverage:
    affine, (height, width) = grid.affine, grid.shape
    col = np.floor((fields.geometry.x.to_numpy() - affine.c) / affine.a)
    row = np.floor((fields.geometry.y.to_numpy() - affine.f) / affine.e)
    row, col = (
        np.minimum(n, size - 1).astype("int32") for n, size in ((row, height), (col, width))
    )
    ones = np.ones(len(fields))
    return Coverage(np.arange(len(fields), dtype="int32"), row, col, ones, ones)


def cut_around(data: xr.Dataset, covered: Coverage) -> tuple[xr.Dataset, Coverage]:
    """Cut data to the window around all fields."""
    first = {"y": int(covered.row.min()), "x": int(covered.col.min())}
    last = {"y": int(covered.row.max()), "x": int(covered.col.max())}
    window = {axis: slice(first[axis], last[axis] + 1) for axis in first}
    moved = replace(covered, row=covered.row - first["y"], col=covered.col - first["x"])
    return data.isel(window), moved


def empty_moments(fields: int, times: int) -> np.ndarray:
    """Give moments of nothing, shape (5, field, time), for `add_pixels`."""
    kept = np.zeros((5, fields, times))
    kept[MIN], kept[MAX] = np.inf, -np.inf
    return kept


@numba.njit(nogil=True, cache=True)
def add_pixels(values, clear, field, weight, kept):
    """Add pixels to the moments of their fields, one by one (West 1979, doi:10.1145/359146.359153).

    Parameters
    ----------
    values, clear : numpy.ndarray, shape (time, pixel), float64 and bool
    field, weight : numpy.ndarray, shape (pixel,)
    kept : numpy.ndarray, shape (5, field, time), float64
        See `WEIGHT` … `MAX`; is changed.
    """
    for t in range(len(values)):
        for i in range(len(field)):
            value, f, w = values[t, i], field[i], weight[i]
            if not clear[t, i] or not np.isfinite(value) or w <= 0:
                continue
            kept[WEIGHT, f, t] += w
            away = value - kept[MEAN, f, t]
            kept[MEAN, f, t] += away * w / kept[WEIGHT, f, t]
            kept[SQUARES, f, t] += w * away * (value - kept[MEAN, f, t])
            kept[MIN, f, t] = min(kept[MIN, f, t], value)
            kept[MAX, f, t] = max(kept[MAX, f, t], value)


def merge(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Merge moments, shape (5, …), of different pixels (Chan, Golub and LeVeque 1983, eq. 2.1)."""
    weight = whole[WEIGHT] + part[WEIGHT]
    share = part[WEIGHT] / np.where(weight > 0, weight, 1)
    away = part[MEAN] - whole[MEAN]
    return np.stack([
        weight,
        whole[MEAN] + away * share,
        whole[SQUARES] + part[SQUARES] + away**2 * whole[WEIGHT] * share,
        np.minimum(whole[MIN], part[MIN]),
        np.maximum(whole[MAX], part[MAX]),
    ])  # fmt: skip


def describe(kept: np.ndarray, whole: np.ndarray) -> dict[str, np.ndarray]:
    """Turn moments, shape (5, field), into the columns of a table; they are changed."""
    weight = kept[WEIGHT]
    kept[1:, weight == 0] = np.nan
    with np.errstate(invalid="ignore"):
        std = np.sqrt(np.maximum(kept[SQUARES], 0) / weight)
    return {
        "mean": kept[MEAN],
        "std": std,
        "min": kept[MIN],
        "max": kept[MAX],
        "count": weight,
        "share": np.minimum(weight / whole, 1),
    }
