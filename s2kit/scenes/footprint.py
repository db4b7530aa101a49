"""Footprints: outlines in degrees, valid, and cut in two where they cross the antimeridian."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from s2kit.errors import SceneError

_CIRCLE = 360
_BAD = (
    *(ShapelyError, ValueError, TypeError, KeyError),
    *(IndexError, AttributeError, RecursionError),
)


def read_geometry(geometry: Any, label: str) -> BaseGeometry | None:
    """Read the geometry of a STAC item as a footprint, degrees; None where there is none.

    Raises
    ------
    SceneError
        If it is no GeoJSON, or no footprint.
    """
    try:
        outline = shape(geometry) if geometry else None
        return None if outline is None or outline.is_empty else read_footprint(outline)
    except _BAD as error:
        raise SceneError(label, f"its geometry is no GeoJSON ({error})") from error


def read_footprint(outline: BaseGeometry) -> BaseGeometry:
    """Return an outline in the form of RFC 7946, whichever way it crosses the antimeridian.

    Parameters
    ----------
    outline : shapely geometry
        Longitude before latitude, degrees. What lies across 180° may go on beyond it (179 … 181,
        or −179 … −181), may jump to the other side (179 … −179), or be cut already.

    Returns
    -------
    shapely geometry
        Valid, between −180 and 180 degrees.

    Raises
    ------
    ValueError
        If it has no area, or coordinates that are no numbers.
    """
    flat = shapely.force_2d(outline)
    west, south, east, north = flat.bounds
    if not np.isfinite([west, south, east, north]).all() or south < -90 or north > 90:
        raise ValueError(f"it reaches from {west} to {east} east, {south} to {north} north")
    if flat.is_valid and west >= -180 and east <= 180 and east - west <= _CIRCLE / 2:
        return flat
    return shapely.union_all([_mended(_cut(part)) for part in shapely.get_parts(flat)])


def _cut(part: BaseGeometry) -> BaseGeometry:
    """Return a part without a jump in longitude, cut at the antimeridian."""
    west, _, east, _ = part.bounds
    if east - west > _CIRCLE / 2:
        part = shapely.transform(part, lambda xy: xy + [_CIRCLE, 0] * (xy[:, :1] < 0))
    west, south, east, north = part.bounds
    first = int((west + 180) // _CIRCLE)
    turns = range(first, max(first + 1, math.ceil((east + 180) / _CIRCLE)))
    if turns == range(1):
        return part
    pieces = []
    for turn in turns:
        strip = shapely.box(_CIRCLE * turn - 180, south, _CIRCLE * turn + 180, north)
        inside = shapely.intersection(_mended(part), strip)
        pieces.append(shapely.transform(inside, lambda xy, t=turn: xy - [_CIRCLE * t, 0]))
    return shapely.union_all(pieces)


def _mended(outline: BaseGeometry) -> BaseGeometry:
    if outline.is_valid:
        return outline
    mended = shapely.make_valid(outline, method="structure", keep_collapsed=False)
    if mended.is_empty:
        raise ValueError(shapely.is_valid_reason(outline))
    return mended
