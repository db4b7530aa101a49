"""Grids as odc-geo's GeoBox: made for a region, or read from the coordinates of data."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.geo
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from s2kit.crs import (
    DEGREES,
    METRES_PER_DEGREE,
    Bounds,
    area_of,
    check_agreement,
    in_degrees,
    move,
    operation,
    read_crs,
)
from s2kit.errors import InvalidInputError
from s2kit.scenes.region import PRESETS, Aoi, read_aoi

if TYPE_CHECKING:  # a second that a build can do without
    import xarray as xr

DEFAULT_CRS = "EPSG:28992"
DEFAULT_RESOLUTION = 10.0

REGION = "region_in_degrees"
"""Attribute of ``spatial_ref``: west, south, east, north of the whole cube, degrees. Its parts are
transformed by the same operation (`s2kit.crs.operation`)."""

_SPACING = 0.002
"""Degrees between the vertices of an outline before it is projected: a long side is not straight
in another system."""

_FULL_CIRCLE = 360 + 1e-9
"""Degrees, with room for rounding."""

_LARGEST = 2**31
"""Pixels along one side at most."""

_UNEVEN = 0.05
"""Largest deviation of coordinates from even spacing, pixels; degrees in float32 reach 0.001."""


def make_grid(aoi: Aoi, crs: Any = DEFAULT_CRS, resolution: float = DEFAULT_RESOLUTION) -> GeoBox:
    """Return the grid that covers a region.

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
        If the region, the coordinate system or the resolution cannot be used; if no exact
        operation leads into the system there, or usual ones differ by more than 0.1 pixel.
    """
    system = read_crs(crs)
    size = read_resolution(resolution, system)
    outline = read_aoi(aoi)
    preset = PRESETS.get(aoi) if isinstance(aoi, str) else None
    exact = preset is not None and CRS(preset[0]) == system
    left, bottom, right, top = preset[1] if preset and exact else _bounds(outline, system)
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
    authority = system.to_authority(min_confidence=100)
    code = ":".join(authority) if authority else system.to_wkt()
    grid = GeoBox(shape, affine, odc.geo.CRS(code))
    area = area_of_grid(grid)
    _check_on_one_side(grid, area, outline)
    check_agreement(system, grid.boundingbox.bbox, area, size)
    return grid


def _bounds(outline: BaseGeometry, crs: CRS) -> Bounds:
    """Return the bounding box of a region in a system."""
    into = operation(DEGREES, crs, outline.bounds)
    bounds = move(shapely.segmentize(outline, _SPACING), into).bounds
    if not all(map(math.isfinite, bounds)):
        raise InvalidInputError(
            f"the region {tuple(round(v, 3) for v in outline.bounds)} (degrees) lies outside the "
            f"area of {crs.name}; choose a coordinate system for this part of the world"
        )
    return bounds


def _check_on_one_side(grid: GeoBox, area: Bounds, outline: BaseGeometry) -> None:
    """Refuse a grid around a pole or across the antimeridian: it has no outline in degrees."""
    west, _, east, _ = area
    if -_FULL_CIRCLE / 2 <= west <= east <= _FULL_CIRCLE / 2 and east - west < 180:
        return
    advice = "choose a system for that part of the world, and make one cube on each side"
    first, south, last, north = outline.bounds
    beyond = east % 360 - 180 if first > 0 else 180 - west % 360
    if last - first < 180 and 0 < beyond < 1:
        away = math.ceil(beyond * 1100) / 1000
        metres = away * METRES_PER_DEGREE * math.cos(math.radians((south + north) / 2))
        ends = f"end at {last - away:.3f}°" if first > 0 else f"begin at {first + away:.3f}°"
        advice = (
            f"a grid in this system reaches {beyond:.3f}° beyond the antimeridian. Stay "
            f"{away:.3f}° ({metres:.0f} m) farther away from it: let the region {ends}"
        )
    raise InvalidInputError(
        "the region lies across the antimeridian (180° east) or around a pole, or in a system "
        f"that does not fit it ({grid.crs}); {advice}"
    )


def read_resolution(resolution: Any, crs: CRS) -> float:
    """Read a pixel size.

    Raises
    ------
    InvalidInputError
        If it is not a positive number, or far too coarse for degrees.
    """
    if isinstance(resolution, bool) or not isinstance(resolution, Real):
        raise InvalidInputError(f"resolution={resolution!r} is not a number; give 10 for 10 m")
    size = float(resolution)
    if not math.isfinite(size) or size <= 0:
        raise InvalidInputError(f"resolution={resolution!r} must be a positive number, such as 10")
    if crs.is_geographic and size >= 1:
        raise InvalidInputError(
            f"resolution={resolution!r} is in degrees here, since {crs.name} is; give for example "
            "0.0001 (about 10 m), or choose a projected system, such as that of the UTM zone"
        )
    return size


def _outwards(low: float, high: float) -> tuple[int, int]:
    """Return the whole numbers around two others, at least 1 apart; 1e-6 is a rounding error."""
    first = math.floor(round(low, 6))
    return first, max(math.ceil(round(high, 6)), first + 1)


def crs_of(grid: GeoBox) -> CRS:
    """Return the coordinate system of a grid; s2kit makes and reads none without."""
    assert grid.crs is not None
    return grid.crs.proj


def pixel_width(grid: GeoBox) -> float:
    """Return the width of a pixel in metres, about; other units than degrees count as metres."""
    return abs(grid.affine.a) * (METRES_PER_DEGREE if crs_of(grid).is_geographic else 1)


def area_of_grid(grid: GeoBox) -> Bounds:
    """Return west, south, east, north of a grid, degrees, as `s2kit.crs.operation` takes them."""
    return area_of(grid.boundingbox.bbox, crs_of(grid))


def outline_of(grid: GeoBox, area: Bounds) -> BaseGeometry:
    """Return the outline of a grid in degrees, with vertices every 50 pixels."""
    spacing = 50 * abs(grid.affine.a)
    return in_degrees(grid.extent.geom, crs_of(grid), area, spacing)


def read_grid(data: xr.Dataset | xr.DataArray) -> GeoBox:
    """Return the grid of data with the dimensions y and x.

    Raises
    ------
    InvalidInputError
        If there are no evenly spaced y and x, north up, or no coordinate system.
    """
    import xarray as xr

    if not isinstance(data, xr.Dataset | xr.DataArray):
        raise InvalidInputError(
            f"this is no cube, nor a map on its grid, but a {type(data).__name__}; give what "
            "s2kit.open_cube returns, or what was computed from it"
        )
    require_pixels(data)
    grid = geobox_of(data) if {"y", "x"} <= set(data.dims) else None
    if grid is None or not grid.affine.a > 0 > grid.affine.e:
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
        _check_transform(data)
    return grid


def require_pixels(data: xr.Dataset | xr.DataArray) -> None:
    """Check that a selection has left pixels.

    Raises
    ------
    InvalidInputError
        If y or x is empty.
    """
    empty = [axis for axis in ("y", "x") if data.sizes.get(axis) == 0]
    if empty:
        raise InvalidInputError(
            f"nothing is left along {' and '.join(empty)}: {dict(data.sizes)}. Along y a cube runs "
            "from north to south, so that the larger value comes first: "
            "cube.sel(y=slice(450_000, 449_000)); along x from west to east. Or the region lies "
            "beside the cube"
        )


def area_of_data(data: xr.Dataset | xr.DataArray, grid: GeoBox) -> Bounds:
    """Return the region, degrees, for which the coordinate operation of data was chosen.

    Parameters
    ----------
    data : xarray.Dataset or xarray.DataArray
        A cube, a part of it, or what was computed from it.
    grid : odc.geo.geobox.GeoBox
        As `read_grid` returns it.
    """
    stated = next((one.attrs[REGION] for one in data.coords.values() if REGION in one.attrs), None)
    try:
        west, south, east, north = map(float, () if stated is None else stated)
    except (TypeError, ValueError):
        return area_of_grid(grid)
    known = np.isfinite([west, south, east, north]).all() and west <= east and south <= north
    return (west, south, east, north) if known else area_of_grid(grid)


def _check_transform(data: xr.Dataset | xr.DataArray) -> None:
    """Raise InvalidInputError if a single row or column is not on the grid of its GeoTransform.

    Only the GeoTransform holds its pixel size; after thinning out, that is still the old one.
    """
    stated = data[data.rio.grid_mapping].attrs["GeoTransform"]  # by odc-geo's grid there is one
    kept = Affine.from_gdal(*map(float, stated.split()))
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


def geobox_of(data: xr.Dataset | xr.DataArray) -> GeoBox | None:
    """Return the grid of data whose dimensions may have any name and direction.

    odc-geo takes the size of a pixel from the first two coordinates. In single precision its error
    adds up to eight pixels over a thousand; here it is taken from the first and the last one.

    Returns
    -------
    odc.geo.geobox.GeoBox or None
        None where coordinates are missing, or not evenly spaced.
    """
    import odc.geo.xr  # noqa: F401  (gives xarray its .odc)
    import rioxarray  # noqa: F401  (gives xarray its .rio)

    found = data.odc.geobox
    if found is None or not isinstance(found, GeoBox) or not found.axis_aligned:
        return None
    axes = [data[dim].values.astype("float64") for dim in data.odc.spatial_dims]
    if not all(map(_is_even, axes)):
        return None
    old = found.affine
    (height, top), (width, left) = (
        _edge(axis, step, edge)
        for axis, step, edge in zip(axes, (old.e, old.a), (old.f, old.c), strict=True)
    )
    return GeoBox(found.shape, Affine(width, 0, left, 0, height, top), found.crs)


def _edge(axis: np.ndarray, step: float, edge: float) -> tuple[float, float]:
    """Return pixel size and first edge of an axis: as given, if that fits the last coordinate."""
    last = edge + (len(axis) - 0.5) * step
    if abs(last - axis[-1]) > 1e-6 * abs(step):
        step = float(axis[-1] - axis[0]) / (len(axis) - 1)
        edge = float(axis[0]) - step / 2
    return step, edge


def _is_even(axis: np.ndarray) -> bool:
    """Return whether coordinates lie on a straight line, to a twentieth of a step.

    Positions are judged, not steps: between two of them the rounding of float32 counts twice.
    """
    if len(axis) < 3:
        return True
    step = (axis[-1] - axis[0]) / (len(axis) - 1)
    away = axis - axis[0] - step * np.arange(len(axis))
    return bool(step != 0 and (np.abs(away) <= _UNEVEN * abs(step)).all())
