"""Read areas of interest, in any of their forms, as one geometry in degrees."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyproj
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from s2kit.bounds import parse_json, read_file
from s2kit.credentials import shown_cause
from s2kit.crs import Bounds, area_of, in_degrees
from s2kit.errors import InvalidInputError

Aoi: TypeAlias = Sequence[float] | str | PathLike[str] | dict[str, Any] | BaseGeometry

PRESETS: dict[str, tuple[str, Bounds]] = {
    "delft": ("EPSG:28992", (88_500.0, 445_500.0, 93_500.0, 450_500.0)),
    "netherlands": ("EPSG:28992", (0.0, 300_000.0, 300_000.0, 643_750.0)),
}
"""Name to coordinate system and exact box (west, south, east, north), metres."""

_ACCEPTED = (
    "Accepted: (west, south, east, north) in degrees, a GeoJSON file or dict, a shapely polygon "
    f"in degrees, or a preset ({', '.join(PRESETS)})."
)
_WGS84 = ("CRS84", "EPSG::4326", "EPSG:4326", "EPSG/0/4326")
_SPACING = 1000.0
"""Metres between the vertices of a preset in degrees, which keep its sides where they are."""

_CORNERS, _CORNERS_CROSSING = 100_000, 1000
"""Corners of an area of interest at most, and of its outlines that cross themselves: to mend these
takes time as the square of the corners."""

_LARGEST = 100_000_000
"""Bytes of a file with an area of interest."""


def read_aoi(aoi: Aoi) -> shapely.Polygon | shapely.MultiPolygon:
    """Read an area of interest.

    Parameters
    ----------
    aoi : tuple, str, path, dict or shapely geometry
        ``(west, south, east, north)`` in degrees; a path to a GeoJSON file; GeoJSON (Polygon,
        MultiPolygon, Feature or FeatureCollection) as a dict; a shapely (multi)polygon in degrees;
        or the name of a preset (`PRESETS`).

    Returns
    -------
    shapely.Polygon or shapely.MultiPolygon
        Longitude before latitude, degrees (EPSG:4326); valid and not empty.

    Raises
    ------
    InvalidInputError
        If it is none of these, has no area, or is not in degrees.
    """
    if isinstance(aoi, BaseGeometry):
        return _checked(aoi)
    if isinstance(aoi, dict):
        return _from_geojson(aoi)
    if isinstance(aoi, str) and aoi in PRESETS:
        bounds, system = PRESETS[aoi][1], pyproj.CRS(PRESETS[aoi][0])
        return in_degrees(shapely.box(*bounds), system, area_of(bounds, system), _SPACING)
    if isinstance(aoi, str | PathLike):
        return _from_geojson(_read_file(Path(aoi)))
    if isinstance(aoi, Sequence | np.ndarray):
        return _from_box(aoi)
    raise InvalidInputError(f"aoi is a {type(aoi).__name__}. {_ACCEPTED}")


def _from_box(box: Sequence[Any] | np.ndarray) -> shapely.Polygon | shapely.MultiPolygon:
    numbers = [value for value in box if isinstance(value, Real) and not isinstance(value, bool)]
    if len(box) != 4 or len(numbers) != 4:
        raise InvalidInputError(f"aoi={box!r} is not four numbers. {_ACCEPTED}")
    west, south, east, north = map(float, numbers)
    _check_degrees((west, south, east, north))
    if south > north or west > east:
        raise InvalidInputError(
            f"aoi={box!r} has its west east of its east or its south north of its north. "
            "The order is (west, south, east, north); split an area across the antimeridian."
        )
    return _checked(shapely.box(west, south, east, north))


def _read_file(path: Path) -> dict[str, Any]:
    try:
        exists = path.exists()
        content = parse_json(read_file(path, _LARGEST)) if exists else None
    except (OSError, ValueError, RecursionError) as error:
        message = f"aoi file {path} is not GeoJSON ({error}). {_ACCEPTED}"
        raise InvalidInputError(message) from shown_cause(error)
    if not exists:
        near = difflib.get_close_matches(str(path).lower(), PRESETS)
        hint = f"Did you mean {near[0]!r}?" if near else _ACCEPTED
        raise InvalidInputError(f"aoi={str(path)!r} is neither a file nor a preset. {hint}")
    if not isinstance(content, dict):
        raise InvalidInputError(f"aoi file {path} is not GeoJSON. {_ACCEPTED}")
    return content


def _from_geojson(content: dict[str, Any]) -> shapely.Polygon | shapely.MultiPolygon:
    _check_crs(content)
    kind = content.get("type")
    try:
        if kind == "FeatureCollection":
            parts = [shape(feature["geometry"]) for feature in content["features"]]
            _check_corners(shapely.GeometryCollection(parts))
            return _checked(shapely.union_all([_checked(part) for part in parts]))
        return _checked(shape(content["geometry"] if kind == "Feature" else content))
    except InvalidInputError:
        raise
    # shapely lets many kinds of error through where a member is missing or of another type
    except Exception as error:
        message = f"aoi is GeoJSON of type {kind!r} that cannot be read ({error!r}). {_ACCEPTED}"
        raise InvalidInputError(message) from error


def _check_crs(content: dict[str, Any]) -> None:
    crs = content.get("crs")
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = str(properties.get("name") if isinstance(properties, dict) else crs)
    if not name.endswith(_WGS84):
        raise InvalidInputError(
            f"aoi is GeoJSON in {name}, but GeoJSON has to be in degrees (EPSG:4326). "
            "Export it again in WGS 84, or use geopandas: .to_crs(4326)."
        )


def _checked(geometry: BaseGeometry) -> shapely.Polygon | shapely.MultiPolygon:
    """Return a valid polygon with an area; raise InvalidInputError if there is none in degrees."""
    if geometry.is_empty:
        raise InvalidInputError(f"aoi is empty. {_ACCEPTED}")
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise InvalidInputError(f"aoi has coordinates that are no numbers. {_ACCEPTED}")
    _check_degrees(geometry.bounds)
    _check_corners(geometry)
    flat = shapely.make_valid(shapely.force_2d(geometry), method="structure", keep_collapsed=False)
    polygons = [part for part in shapely.get_parts(flat) if part.area > 0]
    if not polygons:
        kind = geometry.geom_type
        raise InvalidInputError(f"aoi is a {kind} without area; give a polygon or buffer it.")
    return shapely.union_all(polygons)


def _check_corners(geometry: BaseGeometry) -> None:
    """Refuse what takes longer than seconds to be made one area."""
    parts = shapely.get_parts(geometry)
    count = shapely.get_num_coordinates(parts).astype("int64")
    crossing = count[~shapely.is_valid(parts)]
    if count.sum() > _CORNERS or (crossing**2).sum() > _CORNERS_CROSSING**2:
        raise InvalidInputError(
            f"aoi has {count.sum()} corners, {crossing.sum()} of them of outlines that cross "
            f"themselves; {_CORNERS} and {_CORNERS_CROSSING} are read at most. Simplify or mend it "
            "in a GIS, or give its box (west, south, east, north)"
        )


def _check_degrees(bounds: Sequence[float]) -> None:
    """Check that longitudes are within ±180 and latitudes within ±90; else raise with advice."""
    if not np.isfinite(bounds).all():
        raise InvalidInputError(f"aoi has coordinates that are no numbers: {bounds}. {_ACCEPTED}")
    x, y = max(map(abs, bounds[::2])), max(map(abs, bounds[1::2]))
    if x <= 180 and y <= 90:
        return
    if y <= 180 and x <= 90:
        advice = "Latitude and longitude are swapped: the order is (west, south, east, north)."
    elif x <= 360 and y <= 90:
        advice = (
            "Longitudes run from -180 to 180: take 360 from those beyond. Split an area across the "
            "antimeridian into one on each side."
        )
    else:
        advice = "It looks like metres: give degrees (EPSG:4326), such as (4.2, 51.9, 4.5, 52.1)."
    raise InvalidInputError(f"aoi={tuple(bounds)} is not in degrees. {advice}")
