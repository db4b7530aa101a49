"""Coordinate reference systems, and the one operation that transforms from one to another.

PROJ knows several operations between two systems: one for each area, of different accuracy, and a
*ballpark* one that leaves the change of datum out, by up to 200 m. GDAL, geopandas and PROJ choose
among them in different ways, point by point or for an area. Here one operation is chosen for a
whole region; pixels, fields, footprints and viewers all use it.
"""

import warnings
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import rasterio.warp
import shapely
from pyproj import CRS, Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_crs_info, query_utm_crs_info
from pyproj.enums import PJType
from pyproj.exceptions import CRSError, ProjError
from pyproj.transformer import TransformerGroup
from shapely.geometry.base import BaseGeometry

from s2kit.errors import InvalidInputError

Bounds = tuple[float, float, float, float]
"""West, south, east, north; across the antimeridian, west is larger than east."""

DEGREES = CRS("EPSG:4326")

LARGEST_DIFFERENCE = 0.1
"""Pixels by which two transformations into a system may differ."""

METRES_PER_DEGREE = 111_320
"""Of longitude at the equator, and nearly of latitude anywhere: 40 075 km / 360."""

_CATCHING = Lock()
"""`warnings.catch_warnings` is not safe in several threads at a time."""

_POINTS = 7
"""Points along each side of a region at which operations are compared."""

_TRIED, _NAMED = 12, 3
"""Number of national systems that are tried as an advice, and of those that are named in it."""


def read_crs(crs: Any) -> CRS:
    """Read a coordinate system that a grid can be made in.

    Raises
    ------
    InvalidInputError
        If it is unknown, has no two horizontal axes, or has a vertical one.
    """
    try:
        system = CRS.from_user_input(crs)
    except (CRSError, TypeError) as error:
        raise InvalidInputError(
            f"crs={crs!r} is not a known coordinate system; give an EPSG code such as "
            "'EPSG:28992' (Dutch RD) or 'EPSG:32631' (UTM 31N)"
        ) from error
    if not (system.is_projected or system.is_geographic) or len(system.axis_info) != 2:
        raise InvalidInputError(
            f"crs={crs!r} ({system.name}) is not a horizontal coordinate system; give a projected "
            "one such as 'EPSG:28992', without heights"
        )
    if not _points_east_and_north(system):
        raise InvalidInputError(
            f"crs={crs!r} ({system.name}) has axes to {system.axis_info[0].direction} and "
            f"{system.axis_info[1].direction}; GIS programs read it in different ways. Give one "
            "with axes to east and north (for Krovak EPSG:5514, not 5513)"
        )
    return system


def _points_east_and_north(system: CRS) -> bool:
    return {axis["axis"] for axis in system.cs_to_cf()} == {"X", "Y"}


def operation(source: CRS, target: CRS, area: Bounds) -> Transformer:
    """Return the operation between two systems for a region: the best that is not ballpark.

    Parameters
    ----------
    source, target : pyproj.CRS
    area : tuple of float
        West, south, east, north of the region, degrees.

    Returns
    -------
    pyproj.Transformer
        Takes and returns x (or longitude) before y. The same for every point.

    Raises
    ------
    InvalidInputError
        If PROJ knows none but a ballpark operation there, or none at all.
    """
    found = _operations(source.to_wkt(), target.to_wkt(), area)
    if not found:
        raise InvalidInputError(f"from {source.name}, {why_none(source, target, area)}")
    return found[0]


def why_none(source: CRS, target: CRS, area: Bounds) -> str:
    """Return why no operation leads from one system to another in a region, and what fits there."""
    if not _operations(source.to_wkt(), target.to_wkt(), area, ballpark=True):
        return f"nothing leads to {target.name}"
    return (
        f"only a ballpark operation leads to {target.name} at {name_area(area)}: PROJ would leave "
        "the change of datum out, which may put things 200 m off. " + _advise(area)
    )


def pipeline(source: CRS, target: CRS, area: Bounds) -> str:
    """Return the same operation as text for GDAL: ``COORDINATE_OPERATION`` of its warper.

    There the axes are in the order of the systems' authority, such as latitude before longitude.
    """
    operation(source, target, area)
    return _operations(source.to_wkt(), target.to_wkt(), area, always_xy=False)[0].definition


@lru_cache(maxsize=256)
def _operations(
    source: str, target: str, area: Bounds, *, ballpark: bool = False, always_xy: bool = True
) -> list[Transformer]:
    """Return what PROJ knows, the best first; a better one may need a file that is not here."""
    around: Any = AreaOfInterest(*area)  # pyproj's types know another class of that name
    try:
        with _CATCHING, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Best transformation is not available", UserWarning)
            found = TransformerGroup(source, target, always_xy, around, allow_ballpark=ballpark)
        return found.transformers
    except (ProjError, IndexError):  # pyproj fails by the latter where it finds none
        return []


def area_of(bounds: Bounds, crs: CRS) -> Bounds:
    """Return the box in degrees by which PROJ chooses an operation; it need not be exact.

    Raises
    ------
    InvalidInputError
        If the box has no place on Earth.
    """
    if crs.is_geographic:
        west, south, east, north = bounds
    else:
        west, south, east, north = _to_degrees(crs.to_wkt()).transform_bounds(*bounds)
    if not np.isfinite([west, south, east, north]).all():
        raise InvalidInputError(
            f"{tuple(bounds)} lies outside the area of {crs.name}; choose a coordinate system for "
            "this part of the world"
        )
    return west, max(south, -90.0), east, min(north, 90.0)


@lru_cache(maxsize=64)
def _to_degrees(crs: str) -> Transformer:
    """Return PROJ's default transformation to degrees; making it takes 30 ms."""
    return Transformer.from_crs(crs, DEGREES, always_xy=True)


def move(geometries: Any, transformer: Transformer) -> Any:
    """Transform shapely geometries, one or an array, by an operation."""
    return shapely.transform(
        geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )


def in_degrees(outline: BaseGeometry, crs: CRS, area: Bounds, spacing: float) -> BaseGeometry:
    """Transform an outline to degrees, with vertices at a spacing in units of its system."""
    return move(shapely.segmentize(outline, spacing), operation(crs, DEGREES, area))


def check_agreement(crs: CRS, bounds: Bounds, area: Bounds, pixel: float) -> None:
    """Check that all usual transformations into a system agree, to a tenth of a pixel.

    Compared are those of this kit, for pixels in the UTM zone of the region and for coordinates in
    degrees, with those that geopandas (PROJ) and rasterio (GDAL) choose themselves.

    Parameters
    ----------
    crs : pyproj.CRS
    bounds : tuple of float
        Left, bottom, right, top of the region in the system.
    area : tuple of float
        The region in degrees: west, south, east, north.
    pixel : float
        Size of a pixel, in units of the system.

    Raises
    ------
    InvalidInputError
        If they differ.
    """
    for way, away in _differences(crs, bounds, area):
        if not away <= LARGEST_DIFFERENCE * pixel:
            raise InvalidInputError(
                f"in {crs.name} at {name_area(area)}, {way} lies {away / pixel:.2g} pixels beside "
                f"the pixels of a cube; at most {LARGEST_DIFFERENCE:g} is accepted. "
                + _advise(area)
            )


def _differences(crs: CRS, bounds: Bounds, area: Bounds) -> Iterator[tuple[str, float]]:
    """Transform points out of a system by our operation, and back in each of the usual ways.

    Yields
    ------
    way : str
        What was compared.
    away : float
        How far the farthest point comes back from where it was; NaN where one does not come back.
    """
    left, bottom, right, top = bounds
    axes = np.linspace(left, right, _POINTS), np.linspace(bottom, top, _POINTS)
    x, y = map(np.ravel, np.meshgrid(*axes))
    lon, lat = operation(crs, DEGREES, area).transform(x, y)

    def away(there: tuple[Any, Any]) -> float:
        return float(np.hypot(there[0] - x, there[1] - y).max())

    by_proj = Transformer.from_crs(DEGREES, crs, always_xy=True)
    yield "what geopandas brings from degrees", away(by_proj.transform(lon, lat))
    by_gdal = rasterio.warp.transform(DEGREES, crs, lon, lat)
    yield "what rasterio brings from degrees", away(by_gdal)
    for zone in _utm_zones(area):
        there = operation(DEGREES, zone, area).transform(lon, lat)
        back = operation(crs, zone, area).transform(*there, direction="INVERSE")
        yield f"what comes from {zone.name}", away(back)


def _utm_zones(area: Bounds) -> list[CRS]:
    return [
        CRS.from_epsg(zone.code) for zone in query_utm_crs_info("WGS 84", AreaOfInterest(*area))
    ]


@lru_cache(maxsize=32)
def _advise(area: Bounds) -> str:
    """Return a sentence that names systems that fit a region: its UTM zone, and national ones."""
    fitting = [*_utm_zones(area)[:1], *_national(area)]
    names = ", ".join(f"EPSG:{crs.to_epsg()} ({crs.name})" for crs in fitting)
    return f"Systems that fit: {names or 'none that PROJ knows'}"


def _national(area: Bounds) -> list[CRS]:
    """Return projected systems made for small areas around a region, the most exact first."""
    infos = query_crs_info("EPSG", PJType.PROJECTED_CRS, AreaOfInterest(*area), contains=True)
    codes = [
        info.code
        for info in sorted(infos, key=_size)
        if not info.name.startswith("WGS")  # the UTM zone is named already
        and "(" not in info.name  # another order of axes, or feet
    ]
    tried = [CRS(f"EPSG:{code}") for code in list(dict.fromkeys(codes))[:_TRIED]]
    fitting = [crs for crs in tried if _fits(crs, area)]
    return sorted(fitting, key=lambda crs: operation(crs, DEGREES, area).accuracy)[:_NAMED]


def _fits(crs: CRS, area: Bounds) -> bool:
    """Return whether all transformations into a system agree in a region, to a tenth of 10 m."""
    found = _operations(DEGREES.to_wkt(), crs.to_wkt(), area)
    if not found or not _points_east_and_north(crs):
        return False
    bounds = found[0].transform_bounds(*area)
    return all(away <= 10 * LARGEST_DIFFERENCE for _, away in _differences(crs, bounds, area))


def _size(info: Any) -> float:
    west, south, east, north = info.area_of_use[:4]
    return (east - west) % 360 * (north - south)


def name_area(area: Bounds) -> str:
    """Return a box in degrees as text."""
    west, south, east, north = area
    return f"{west:.3f} to {east:.3f}° east and {south:.3f} to {north:.3f}° north"


def name_place(bounds: Bounds, crs: CRS) -> str:
    """Return a box in a system as text in degrees, wherever it lies."""
    try:
        area = area_of(bounds, crs)
    except (InvalidInputError, ProjError):
        area = (np.nan,) * 4
    west, south, east, north = area
    on_earth = -180 <= west <= 180 and -180 <= east <= 180 and south <= north
    return name_area(area) if on_earth else f"a place outside the area of {crs.name}"
