"""Which pixels fields cover, and which fraction of each."""

from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from odc.geo.geobox import GeoBox

from s2kit.analysis.kernels.moments import COUNT, MEAN, with_deviation

_SLIVER = 1e-6
"""Part of the coverage of a field's best covered pixel below which coverage is a rounding error."""


@dataclass(frozen=True)
class Coverage:
    """The pixels of all fields, one field after the other.

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
    """Compute which pixels fields cover, and which fraction of each.

    Parameters
    ----------
    fields : geopandas.GeoDataFrame
        As `read_fields` returns them.
    grid : odc.geo.geobox.GeoBox

    Notes
    -----
    Fractions are exact but for the rounding of float32 (library exactextract); those that rounding
    alone makes, along a border between pixels, are left out. A point takes the pixel that holds it;
    on the border between two, the one to the east or south.
    """
    if (fields.geom_type == "Point").all():
        return _cover_points(fields, grid)
    empty = np.broadcast_to(np.uint8(0), grid.shape)  # only its position matters
    raster = NumPyRasterSource(empty, *grid.boundingbox.bbox, srs_wkt=fields.crs.to_wkt())
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
    # on the eastern and southern edge of the grid, the last pixel
    x, y = fields.geometry.x.to_numpy(), fields.geometry.y.to_numpy()
    col = np.minimum(np.floor((x - affine.c) / affine.a), width - 1)
    row = np.minimum(np.floor((y - affine.f) / affine.e), height - 1)
    field, ones = np.arange(len(fields), dtype="int32"), np.ones(len(fields))
    return Coverage(field, row.astype("int32"), col.astype("int32"), ones, ones)


def cut_around(data: xr.Dataset, covered: Coverage) -> tuple[xr.Dataset, Coverage]:
    """Return the window of data around all fields, and the pixels within it."""
    rows, cols = (slice(int(n.min()), int(n.max()) + 1) for n in (covered.row, covered.col))
    moved = replace(covered, row=covered.row - rows.start, col=covered.col - cols.start)
    return data.isel(y=rows, x=cols), moved


def describe(moments: np.ndarray, whole: np.ndarray) -> dict[str, np.ndarray]:
    """Return moments, shape (5, field), as the columns of a table; they are changed in place."""
    mean, std, low, high = with_deviation(moments)[MEAN:]
    count = moments[COUNT]
    share = np.minimum(count / whole, 1)
    return {"mean": mean, "std": std, "min": low, "max": high, "count": count, "share": share}
