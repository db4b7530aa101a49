"""Region of interest, coordinate system and resolution become one grid (odc-geo's GeoBox)."""

import math
from numbers import Real
from typing import Any

import odc.geo
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from s2kit.errors import InvalidInputError
from s2kit.scenes.region import PRESETS, Aoi, read_aoi

DEFAULT_CRS = "EPSG:28992"
DEFAULT_RESOLUTION = 10.0

_SPACING = 0.002
"""Degrees between the points of an outline before it is projected, so that its sides stay."""

_LARGEST = 2**31
"""Pixels along one side at most."""


def make_grid(aoi: Aoi, crs: Any = DEFAULT_CRS, resolution: float = DEFAULT_RESOLUTION) -> GeoBox:
    """Make the grid that covers a region.

    Parameters
    ----------
    aoi : tuple, str, path, dict or shapely geometry
        As `s2kit.scenes.region.read_aoi` takes it.
    crs : str, int or pyproj.CRS, default "EPSG:28992"
        Coordinate system of the grid, the Dutch RD by default.
    resolution : float, default 10
        Pixel size in units of the coordinate system, metres as a rule.

    Returns
    -------
    odc.geo.geobox.GeoBox
        North up, square pixels, all edges at multiples of the resolution, covering the region.

    Raises
    ------
    InvalidInputError
        If the region, the coordinate system or the resolution cannot be used.
    """
    system = read_crs(crs)
    size = read_resolution(resolution, system)
    left, bottom, right, top = _bounds(aoi, system)
    if not max(map(abs, (left, bottom, right, top))) / size < 2**53:
        raise InvalidInputError(f"resolution={resolution!r} is too small for {system.name}")
    first_col, last_col = _outwards(left / size, right / size)
    first_row, last_row = _outwards(bottom / size, top / size)
    shape = (last_row - first_row, last_col - first_col)
    if max(shape) > _LARGEST:
        raise InvalidInputError(
            f"resolution={resolution!r} makes {shape[0]} × {shape[1]} pixels; give it in units of "
            f"{system.name} ({system.axis_info[0].unit_name})"
        )
    affine = Affine(size, 0, first_col * size, 0, -size, last_row * size)
    grid = GeoBox(
        shape, affine, odc.geo.CRS(system.to_wkt() if not _code(system) else _code(system))
    )
    _check_on_one_side(grid)
    return grid


def _check_on_one_side(grid: GeoBox) -> None:
    """A region around a pole or across the antimeridian has no outline in degrees."""
    west, _, east, _ = grid.extent.to_crs("EPSG:4326").boundingbox
    if not east - west < 180:
        raise InvalidInputError(
            "the region lies across the antimeridian (180° east) or around a pole, or in a system "
            f"that does not fit it ({grid.crs}); choose a system for that part of the world, and "
            "make one cube on each side"
        )


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
    if {axis["axis"] for axis in system.cs_to_cf()} != {"X", "Y"}:
        raise InvalidInputError(
            f"crs={crs!r} ({system.name}) has axes to {system.axis_info[0].direction} and "
            f"{system.axis_info[1].direction}; GIS programs read it in different ways. Give one "
            "with axes to east and north (for Krovak EPSG:5514, not 5513)"
        )
    return system


def read_resolution(resolution: Any, crs: CRS) -> float:
    """Read a pixel size.

    Raises
    ------
    InvalidInputError
        If it is not a positive number, or far too coarse for degrees.
    """
    if isinstance(resolution, bool) or not isinstance(resolution, Real):
        raise InvalidInputError(f"resolution={resolution!r} is not a number; give 10 for 10 m")
    if not math.isfinite(resolution) or resolution <= 0:
        raise InvalidInputError(f"resolution={resolution!r} must be a positive number, such as 10")
    if crs.is_geographic and resolution >= 1:
        raise InvalidInputError(
            f"resolution={resolution!r} is in degrees here, since {crs.name} is; give for example "
            "0.0001 (about 10 m), or choose a projected system such as 'EPSG:28992'"
        )
    return float(resolution)


def _bounds(aoi: Aoi, crs: CRS) -> tuple[float, float, float, float]:
    if isinstance(aoi, str) and aoi in PRESETS and CRS(PRESETS[aoi][0]) == crs:
        return PRESETS[aoi][1]
    outline = shapely.segmentize(read_aoi(aoi), _SPACING)
    region = odc.geo.Geometry(outline, "EPSG:4326").to_crs(crs.to_wkt())
    bounds = region.boundingbox
    if not all(map(math.isfinite, bounds)):
        raise InvalidInputError(
            f"the region {tuple(round(v, 3) for v in outline.bounds)} (degrees) lies outside the "
            f"area of {crs.name}; choose a coordinate system for this part of the world"
        )
    return tuple(bounds)


def _outwards(low: float, high: float) -> tuple[int, int]:
    """Round outwards, but not for the sake of a rounding error."""
    first = math.floor(round(low, 6))
    return first, max(math.ceil(round(high, 6)), first + 1)


def _code(crs: CRS) -> str | None:
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else None
