"""Fields and points, read into the cube's coordinate system."""

import math
import os
from typing import Any

import geopandas as gpd
import numpy as np
import odc.geo.xr  # noqa: F401  (gives xarray its .odc)
import rioxarray  # noqa: F401  (gives xarray its .rio)
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from s2kit.errors import InvalidInputError

Fields = str | os.PathLike | gpd.GeoDataFrame

_KINDS = {"Polygon": "polygons", "MultiPolygon": "polygons", "Point": "points"}
_NAMED = 5
"""Fields that an error names; it counts the others."""


def read_fields(fields: Fields, cube: xr.Dataset | xr.DataArray) -> gpd.GeoDataFrame:
    """Read fields or points that touch the cube, in its coordinate system.

    Parameters
    ----------
    fields : str, path or geopandas.GeoDataFrame
        Polygons or points; a file of any format that geopandas reads. Give a column such as the
        field's number as its id with ``fields.set_index("number")``.
    cube : xarray.Dataset or xarray.DataArray, dims (y, x) among others
        As `s2kit.open_cube` gives it, or anything on its grid.

    Returns
    -------
    geopandas.GeoDataFrame
        With the columns and the index of the fields; the index is their id. Geometries are in
        two dimensions; invalid outlines, such as a bow tie, are mended.

    Raises
    ------
    InvalidInputError
        If they cannot be read, have no coordinate system, none touches the cube, ids occur twice,
        geometries are empty, or they are neither all polygons nor all points.
    """
    table = read_table(fields)
    _check_kind(table)
    return place_fields(table, read_grid(cube))


def place_fields(table: gpd.GeoDataFrame, grid: GeoBox) -> gpd.GeoDataFrame:
    """Give those of points and polygons that touch a grid, in its coordinate system.

    Raises
    ------
    InvalidInputError
        As `read_fields`, but for their types.
    """
    _check_crs(table, grid)
    if not table.index.is_unique or table.index.nlevels > 1:
        raise InvalidInputError(
            "the index of the fields is their id, but it names some of them twice; number them "
            "with fields.reset_index(drop=True), or set a unique column with fields.set_index"
        )
    outlines = shapely.force_2d(table.geometry.values)
    broken = ~shapely.is_valid(outlines)
    outlines[broken] = shapely.make_valid(
        outlines[broken], method="structure", keep_collapsed=False
    )
    _check_filled(table, outlines)
    mended = gpd.GeoSeries(outlines, table.index, crs=table.crs)
    moved = table.assign(**{table.active_geometry_name: mended}).to_crs(grid.crs.proj)
    far = ~np.isfinite(moved.bounds.to_numpy()).all(axis=1)  # no place in the grid's system
    near = moved.geometry.where(~far)
    box = grid.extent.geom
    point = moved.geom_type == "Point"
    inside = near.intersects(box) & (point | ~near.touches(box))
    _check_reach(mended[~inside], far[~inside], grid)
    if not inside.any():
        raise InvalidInputError(_explain_distance(table, moved, grid))
    return moved[inside]


def read_grid(data: xr.Dataset | xr.DataArray) -> GeoBox:
    """Give the grid that lies under data.

    Raises
    ------
    InvalidInputError
        If there are no evenly spaced y and x, north up, or no coordinate system.
    """
    if not isinstance(data, xr.Dataset | xr.DataArray):
        raise InvalidInputError(
            f"this is no cube, nor a map on its grid, but a {type(data).__name__}; give what "
            "s2kit.open_cube returns, or what was computed from it"
        )
    grid = data.odc.geobox
    upright = grid is not None and {"y", "x"} <= set(data.dims)
    upright = upright and grid.affine.a > 0 > grid.affine.e
    if not (upright and is_even(data["y"].values) and is_even(data["x"].values)):
        raise InvalidInputError(
            f"the data with the dimensions {dict(data.sizes)} are not on a regular grid; they "
            "need evenly spaced coordinates y, from north to south, and x, from west to east: "
            "cube.isel(x=slice(10, 20)) keeps them, cube.isel(x=10) does not"
        )
    if grid.crs is None:
        raise InvalidInputError(
            "the data have no coordinate system; keep the coordinate 'spatial_ref' of the cube, "
            'or set it with data.rio.write_crs("EPSG:28992")'
        )
    if min(grid.shape) == 1:
        _check_transform(data, grid)
    return grid


def _check_transform(data: xr.Dataset | xr.DataArray, grid: GeoBox) -> None:
    """Refuse a single row or column that is not on the grid of the transform kept with the data.

    Its pixel size is known from there only; of data that were thinned out, it is the old one.
    """
    told = data[data.rio.grid_mapping].attrs["GeoTransform"]  # by odc-geo's grid there is one
    kept = Affine.from_gdal(*map(float, told.split()))
    cols = (data["x"].values - kept.c) / kept.a  # centres at n + 0.5
    rows = (data["y"].values - kept.f) / kept.e
    beside = abs(np.array([cols[0], rows[0]]) % 1 - 0.5)
    steps = np.concatenate([np.diff(cols), np.diff(rows)])
    if (beside > 0.01).any() or (abs(steps - 1) > 1e-3).any():
        raise InvalidInputError(
            f"the data are one row or column of {dict(data.sizes)}, and the size of its pixels is "
            f"not known: spatial_ref says {kept.a:g} × {-kept.e:g}, which their other coordinates "
            "do not fit, as after isel with a step or coarsen. Keep two rows and columns at least"
        )


def is_even(places: np.ndarray) -> bool:
    """Whether coordinates lie at equal distances, to a thousandth."""
    steps = np.diff(places)
    return len(steps) == 0 or bool(np.allclose(steps, steps[0], rtol=1e-3))


def read_table(fields: Any) -> gpd.GeoDataFrame:
    """Read a table with geometries, from a file if need be.

    Raises
    ------
    InvalidInputError
        If it cannot be read, or has no rows or no geometries.
    """
    if isinstance(fields, str | os.PathLike):
        path = os.fspath(fields)
        read = gpd.read_parquet if path.endswith("parquet") else gpd.read_file
        try:
            fields = read(path)
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: those of pyogrio
            raise InvalidInputError(
                f"fields={path!r} cannot be read: {error}. Give a GeoDataFrame, or a file with "
                "geometries such as .gpkg, .shp, .geojson or .parquet"
            ) from error
    if not isinstance(fields, gpd.GeoDataFrame) or fields.active_geometry_name is None:
        raise InvalidInputError(
            f"fields is no table with geometries but a {type(fields).__name__}; give a "
            "GeoDataFrame, or a file. Points from a table: geopandas.GeoDataFrame(table, geometry="
            'geopandas.points_from_xy(table.x, table.y), crs="EPSG:28992")'
        )
    if fields.empty:
        raise InvalidInputError("there are no fields: the table has no rows")
    return fields


def _check_crs(fields: gpd.GeoDataFrame, grid: GeoBox) -> None:
    if fields.crs is not None:
        check_convertible("the fields", fields.crs, grid)
        return
    west, south, east, north = fields.total_bounds
    degrees = -180 <= west <= east <= 180 and -90 <= south <= north <= 90
    likely = "EPSG:4326" if degrees else _name(grid.crs.proj)
    raise InvalidInputError(
        f"the fields have no coordinate system; their x is {west:.6g} to {east:.6g}, their y "
        f'{south:.6g} to {north:.6g}. If that is {likely}: fields.set_crs("{likely}"), with '
        "fields = geopandas.read_file(path) for a file. If not, state the one in which they "
        "were made"
    )


def _check_kind(fields: gpd.GeoDataFrame) -> None:
    types = sorted(fields.geom_type.dropna().unique())
    kinds = {_KINDS.get(name) for name in types}
    if kinds == {"polygons"} or kinds == {"points"} or not types:
        return
    raise InvalidInputError(
        f"the fields are of the types {', '.join(types)}; give polygons only or points only: "
        'fields[fields.geom_type == "Polygon"] selects, fields.explode() splits a MultiPoint, '
        "fields.buffer(5) makes polygons around lines"
    )


def _check_filled(fields: gpd.GeoDataFrame, outlines: np.ndarray) -> None:
    empty = shapely.is_missing(outlines) | shapely.is_empty(outlines)
    if not empty.any():
        return
    names = ", ".join(map(repr, fields.index[empty][:_NAMED].tolist()))
    drop = f"fields.drop([{names}])"
    if empty.sum() > _NAMED:
        names += f" and {empty.sum() - _NAMED} more"
        drop = "fields[~shapes.isna() & ~shapes.is_empty], where shapes = fields.make_valid("
        drop += 'method="structure", keep_collapsed=False)'
    raise InvalidInputError(
        f"these fields have no area, or no geometry at all: {names}; leave them out, with {drop}, "
        "or mend them"
    )


def _check_reach(own: gpd.GeoSeries, far: np.ndarray, grid: GeoBox) -> None:
    """Refuse what covers the grid in its own system, but has no or another place in the grid's."""
    if own.empty:
        return
    bounds = move_bounds(grid.extent.geom.bounds, grid.crs.proj, own.crs)
    here = shapely.box(*bounds)
    over = own.contains(here) | (far & own.intersects(here))
    if over.any():
        raise InvalidInputError(
            f"the field {over.index[over][0]!r} reaches beyond the area of {grid.crs.proj.name}; "
            f"cut it to the surroundings of the cube first: fields.clip({_rounded(bounds)})"
        )


def _rounded(bounds: tuple) -> tuple:
    """Give west, south, east, north a little farther out, in short numbers."""
    west, south, east, north = bounds
    digits = 2 - math.floor(math.log10(max(east - west, north - south)))
    more = 10.0**-digits
    wide = (west - more, south - more, east + more, north + more)
    return tuple(round(float(v), max(digits, 0)) for v in wide)


def _explain_distance(own: gpd.GeoDataFrame, moved: gpd.GeoDataFrame, grid: GeoBox) -> str:
    """Say where fields lie that do not touch the cube, and what may be the cause."""
    bounds, here = own.total_bounds, grid.extent.geom.bounds
    message = (
        f"none of the {len(own)} fields touches the cube: they lie at "
        f"{name_place(moved.total_bounds, grid.crs.proj)}, the cube at "
        f"{name_place(here, grid.crs.proj)}; is their coordinate system ({_name(own.crs)}) right?"
    )
    for system in (grid.crs.proj, CRS("EPSG:4326")):
        there = move_bounds(here, grid.crs.proj, system)
        if system != own.crs and shapely.box(*bounds).intersects(shapely.box(*there)):
            likely = f'fields.set_crs("{_name(system)}", allow_override=True)'
            message += f" Their numbers would fit {_name(system)}: {likely}"
    return message


def move_bounds(bounds: tuple, crs: CRS, other: CRS) -> tuple[float, float, float, float]:
    """Give west, south, east, north in another coordinate system; not finite outside its area."""
    return Transformer.from_crs(crs, other, always_xy=True).transform_bounds(*bounds)


def name_place(bounds: tuple, crs: CRS) -> str:
    """Say in degrees where something lies."""
    if np.isfinite(bounds).all():
        west, south, east, north = move_bounds(bounds, crs, CRS("EPSG:4326"))
        if -180 <= west <= east <= 180 and -90 <= south <= north <= 90:
            return f"{west:.3f} to {east:.3f}° east and {south:.3f} to {north:.3f}° north"
    return f"a place outside the area of {crs.name}"


def check_convertible(what: str, crs: CRS, grid: GeoBox) -> None:
    """Refuse a coordinate system without a place on Earth, such as that of a drawing.

    Raises
    ------
    InvalidInputError
    """
    try:
        Transformer.from_crs(crs, grid.crs.proj)
    except ProjError as error:
        raise InvalidInputError(
            f"{what} are in the coordinate system {crs.name!r}, from which nothing leads to the "
            f"cube's ({_name(grid.crs.proj)}): {error}. State the system in which they were made: "
            'set_crs("EPSG:28992", allow_override=True), or rio.write_crs for a raster'
        ) from error


def _name(crs: CRS) -> str:
    code = crs.to_authority(min_confidence=100)
    return ":".join(code) if code else crs.name
