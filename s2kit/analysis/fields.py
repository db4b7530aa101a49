"""Fields and points in the cube's coordinate system."""

import math
import os
from typing import Any, TypeAlias

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from s2kit.analysis.table_size import require_cells, require_json_cells, require_parquet
from s2kit.bounds import require_file
from s2kit.credentials import clean_warnings, shown_cause
from s2kit.crs import DEGREES, Bounds, area_of, move, name_area, name_place, operation, why_none
from s2kit.errors import InvalidInputError
from s2kit.grid import area_of_data, area_of_grid, crs_of, read_grid

Fields: TypeAlias = str | os.PathLike | gpd.GeoDataFrame

_UNREADABLE = (
    *(OSError, ValueError, RuntimeError, IndexError),
    *(LookupError, TypeError, AttributeError, OverflowError, shapely.errors.ShapelyError),
)
"""What pyogrio, GDAL, pyarrow, geopandas and shapely raise for files that are damaged or odd."""

_KINDS = {"Polygon": "polygons", "MultiPolygon": "polygons", "Point": "points"}
_NAMED = 5
"""Fields that an error lists; the others are counted."""


def read_fields(
    fields: Fields, cube: xr.Dataset | xr.DataArray, *, layer: str | None = None
) -> gpd.GeoDataFrame:
    """Read fields or points that touch the cube, in its coordinate system.

    Parameters
    ----------
    fields : str, path or geopandas.GeoDataFrame
        Polygons or points; a file of any format that geopandas reads. Give a column such as the
        field's number as its id with ``fields.set_index("number")``.
    cube : xarray.Dataset or xarray.DataArray, dims (y, x) among others
        As `s2kit.open_cube` returns it, or anything on its grid.
    layer : str, optional
        Which layer of a file with several, such as a GeoPackage. Other functions take the table
        that is returned.

    Returns
    -------
    geopandas.GeoDataFrame
        With the columns and the index of the fields; the index is their id. Geometries are in
        two dimensions, in units of the cube's coordinate system; invalid outlines, such as a bow
        tie, are repaired.

    Raises
    ------
    InvalidInputError
        If they cannot be read, the file makes a table of more than 20 million cells or has
        several layers of which none is named, they have no coordinate system, none touches the
        cube, ids occur twice, geometries are empty, or they are neither all polygons nor all
        points.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> fields = s2kit.read_fields("data/practice/truth/fields.gpkg", cube)
    >>> len(fields), list(fields.columns)
    (492, ['field_id', 'crop', 'area_ha', 'geometry'])
    """
    table = read_table(fields, layer)
    types = sorted(table.geom_type.dropna().unique())
    if types and {_KINDS.get(name) for name in types} not in ({"polygons"}, {"points"}):
        raise InvalidInputError(
            f"the fields are of the types {', '.join(types)}; give polygons only or points only: "
            'fields[fields.geom_type == "Polygon"] selects, fields.explode() splits a MultiPoint, '
            "fields.buffer(5) makes polygons around lines"
        )
    return place_fields(table, cube)


def place_fields(table: gpd.GeoDataFrame, cube: xr.Dataset | xr.DataArray) -> gpd.GeoDataFrame:
    """Return points and polygons that touch a cube as `read_fields` does; types are not checked."""
    grid = read_grid(cube)
    into = _operation(table, grid, area_of_data(cube, grid))
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
    shapes = gpd.GeoSeries(move(outlines, into), table.index, crs=crs_of(grid))
    moved = table.assign(**{table.active_geometry_name: shapes})
    far = ~np.isfinite(moved.bounds.to_numpy()).all(axis=1)  # no place in the grid's system
    near = moved.geometry.where(~far)
    box = grid.extent.geom
    point = moved.geom_type == "Point"
    inside = near.intersects(box) & (point | ~near.touches(box))
    _check_reach(mended[~inside], far[~inside], grid, into)
    if not inside.any():
        raise InvalidInputError(_explain_distance(table, moved, grid))
    return moved[inside]


def read_table(fields: Any, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read a table with geometries, from a file if need be.

    Raises
    ------
    InvalidInputError
        If it cannot be read, is too large for a table in memory, has several layers of which none
        is named, or has no rows or no geometries.
    """
    if isinstance(fields, str | os.PathLike):
        path = os.fspath(fields)
        try:
            with clean_warnings():
                fields = _read_file(path, layer)
        except InvalidInputError:
            raise
        except _UNREADABLE as error:
            raise InvalidInputError(
                f"fields={path!r} cannot be read: {error}. Give a GeoDataFrame, or a file with "
                "geometries such as .gpkg, .shp, .geojson or .parquet"
            ) from shown_cause(error)
    elif layer is not None:
        raise InvalidInputError(f"layer={layer!r} names a layer of a file, but fields is no path")
    if not isinstance(fields, gpd.GeoDataFrame) or fields.active_geometry_name is None:
        raise InvalidInputError(
            f"fields is no table with geometries but a {type(fields).__name__}; give a "
            "GeoDataFrame, or a file. Points from a table: geopandas.GeoDataFrame(table, geometry="
            'geopandas.points_from_xy(table.x, table.y), crs="EPSG:28992")'
        )
    if fields.empty:
        raise InvalidInputError("there are no fields: the table has no rows")
    return fields


def _read_file(path: str, layer: str | None) -> gpd.GeoDataFrame:
    if os.path.exists(path):  # noqa: PTH110 (a text too long for a path is none)
        require_file(path)
    if path.endswith("parquet"):
        if layer is not None:
            raise InvalidInputError(
                f"layer={layer!r} names a layer, but {path} is GeoParquet, which has none"
            )
        require_parquet(path)
        return gpd.read_parquet(path)
    import pyogrio  # brings a GDAL of its own, 28 MB

    require_json_cells(path)
    found = gpd.list_layers(path)
    layers = list(found["name"][found["geometry_type"].notna()])
    if layer is None and len(layers) <= 1:
        layer = layers[0] if layers else None
    elif layer not in layers:
        asked = "choose one" if layer is None else f"{layer!r} is none of them"
        raise InvalidInputError(
            f"{path} holds the layers {', '.join(map(repr, layers))}; {asked}: "
            f"s2kit.read_fields({path!r}, cube, layer={layers[-1] if layers else ''!r})"
        )
    known = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    require_cells(path, known["features"], len(known["fields"]))
    return gpd.read_file(path, layer=layer)


def _operation(fields: gpd.GeoDataFrame, grid: GeoBox, area: Bounds) -> Transformer:
    """Return the operation from the system of fields to that of a cube."""
    if fields.crs is not None:
        return operation_into("the fields", fields.total_bounds, fields.crs, grid, area)
    west, south, east, north = fields.total_bounds
    degrees = -180 <= west <= east <= 180 and -90 <= south <= north <= 90
    likely = "EPSG:4326" if degrees else _name(crs_of(grid))
    raise InvalidInputError(
        f"the fields have no coordinate system; their x is {west:.6g} to {east:.6g}, their y "
        f'{south:.6g} to {north:.6g}. If that is {likely}: fields.set_crs("{likely}"), with '
        "fields = geopandas.read_file(path) for a file. If not, state the one in which they "
        "were made"
    )


def operation_into(what: str, bounds: Bounds, crs: CRS, grid: GeoBox, area: Bounds) -> Transformer:
    """Return the operation from the system of local data, in these bounds, to that of a cube.

    Raises
    ------
    InvalidInputError
        If there is none, as from the system of a drawing, or none that is exact.
    """
    try:
        return operation(crs, crs_of(grid), area)
    except InvalidInputError as error:
        if _lie_apart(bounds, crs, area):
            raise InvalidInputError(
                f"{what} lie at {name_place(bounds, crs)}, the cube at {name_area(area)}; give "
                f"some of this region, or is their coordinate system ({crs.name}) right?"
            ) from error
        raise InvalidInputError(
            f"{what} are in the coordinate system {crs.name!r}, from which "
            f"{why_none(crs, crs_of(grid), area)}. State the system in which they were made, if "
            'it is another one: set_crs("EPSG:28992", allow_override=True), or rio.write_crs for a '
            "raster; or bring them into the cube's system in a GIS"
        ) from error


def _lie_apart(bounds: Bounds, crs: CRS, area: Bounds) -> bool:
    """Return whether data lie a degree or more from a cube, by any operation."""
    try:
        west, south, east, north = area_of(bounds, crs)
    except (InvalidInputError, ProjError):
        return False
    return not shapely.box(west - 1, south - 1, east + 1, north + 1).intersects(shapely.box(*area))


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


def _check_reach(own: gpd.GeoSeries, far: np.ndarray, grid: GeoBox, into: Transformer) -> None:
    """Refuse fields that cover the grid in their own system, but not in that of the grid."""
    if own.empty:
        return
    bounds = into.transform_bounds(*grid.boundingbox.bbox, direction="INVERSE")
    here = shapely.box(*bounds)
    over = own.contains(here) | (far & own.intersects(here))
    if over.any():
        west, south, east, north = bounds  # a little farther out, in short numbers
        digits = 2 - math.floor(math.log10(max(east - west, north - south)))
        more = 10.0**-digits
        outwards = (west - more, south - more, east + more, north + more)
        wide = tuple(round(float(v), max(digits, 0)) for v in outwards)
        raise InvalidInputError(
            f"the field {over.index[over][0]!r} reaches beyond the area of {crs_of(grid).name}; "
            f"cut it to the surroundings of the cube first: fields.clip({wide})"
        )


def _explain_distance(own: gpd.GeoDataFrame, moved: gpd.GeoDataFrame, grid: GeoBox) -> str:
    """Return where fields lie that do not touch the cube, and what may be the cause."""
    bounds, here, crs = own.total_bounds, grid.boundingbox.bbox, crs_of(grid)
    message = (
        f"none of the {len(own)} fields touches the cube: they lie at "
        f"{name_place(moved.total_bounds, crs)}, the cube at {name_place(here, crs)}; is their "
        f"coordinate system ({_name(own.crs)}) right?"
    )
    for system, there in ((crs, here), (DEGREES, area_of_grid(grid))):
        if system != own.crs and shapely.box(*bounds).intersects(shapely.box(*there)):
            likely = f'fields.set_crs("{_name(system)}", allow_override=True)'
            message += f" Their numbers would fit {_name(system)}: {likely}"
    return message


def _name(crs: CRS) -> str:
    code = crs.to_authority(min_confidence=100)
    return ":".join(code) if code else crs.name
