"""Geometry of the practice scenes: the region, the two tiles, their crops and the swath's edge."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

import numpy as np
from affine import Affine
from pyproj import Transformer
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from s2kit.crs import move

RD, UTM = 28992, 32631
"""EPSG codes: the Dutch RD of the region, and UTM 31N of the tiles."""

REGION_RD = (88_500.0, 445_500.0, 93_500.0, 450_500.0)
"""The region near Delft, (west, south, east, north) in metres RD; easting 600 000 crosses it."""

MARGIN = 200.0
COARSE = 60
"""Crops start and end on the tile's 60 m grid, so that they fit the 10, 20 and 60 m grids."""


@dataclass(frozen=True)
class Tile:
    """A crop of an MGRS tile, on the tile's own pixel grid.

    Parameters
    ----------
    name : str
        MGRS name, ``"31UET"``.
    bounds : tuple of int = (west, south, east, north)
        Extent in metres UTM 31N.
    """

    name: str
    bounds: tuple[int, int, int, int]

    def shape(self, resolution: int) -> tuple[int, int]:
        """Return the size in pixels (n_y, n_x)."""
        west, south, east, north = self.bounds
        return (north - south) // resolution, (east - west) // resolution

    def transform(self, resolution: int) -> Affine:
        """Return the affine from pixel corner (column, row) to metres UTM."""
        return Affine(resolution, 0, self.bounds[0], 0, -resolution, self.bounds[3])

    def crop(self, image: np.ndarray, resolution: int) -> np.ndarray:
        """Return this tile's part of an image (…, y, x) of `CANVAS` with the same pixel size."""
        row = (CANVAS.bounds[3] - self.bounds[3]) // resolution
        column = (self.bounds[0] - CANVAS.bounds[0]) // resolution
        height, width = self.shape(resolution)
        return image[..., row : row + height, column : column + width]

    def centres(self, resolution: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixel centres, metres UTM: x (1, n_x) and y (n_y, 1)."""
        height, width = self.shape(resolution)
        x = self.bounds[0] + (np.arange(width) + 0.5) * resolution
        y = self.bounds[3] - (np.arange(height) + 0.5) * resolution
        return x[None, :], y[:, None]


@dataclass(frozen=True)
class HalfPlane:
    """The side of a straight line that satisfies ``a·x + b·y ≥ c``, metres UTM."""

    a: float
    b: float
    c: float

    def contains(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which points lie on this side, bool."""
        return self.a * x + self.b * y >= self.c

    @property
    def complement(self) -> "HalfPlane":
        """The other side; no pixel centre of the tiles lies on the line itself."""
        return HalfPlane(-self.a, -self.b, -self.c)

    @cached_property
    def polygon(self) -> Polygon:
        """The side as a polygon far larger than a tile."""
        normal, far = np.array([self.a, self.b]), 1e6
        foot = np.array([600_000.0, 5_763_000.0])
        foot += normal * (self.c - normal @ foot) / (normal @ normal)
        along = np.array([-self.b, self.a]) * far / np.hypot(self.a, self.b)
        inward = normal * far / np.hypot(self.a, self.b)
        return Polygon([foot - along, foot + along, foot + along + inward, foot - along + inward])


def reproject(geometry: BaseGeometry, source: int, target: int) -> BaseGeometry:
    """Transform a geometry from one EPSG code to another, x before y."""
    return move(geometry, Transformer.from_crs(source, target, always_xy=True))


def _crop(name: str, west: int, north: int) -> Tile:
    """Return the part of a full tile (109.8 km) that just covers the region and its margin."""
    full = box(west, north - 109_800, west + 109_800, north)
    needed = reproject(box(*REGION_RD).segmentize(500), RD, UTM).buffer(MARGIN)
    x0, y0, x1, y1 = needed.intersection(full).bounds
    left = west + floor((x0 - west) / COARSE) * COARSE
    right = west + ceil((x1 - west) / COARSE) * COARSE
    bottom = north - ceil((north - y0) / COARSE) * COARSE
    top = north - floor((north - y1) / COARSE) * COARSE
    return Tile(name, (left, bottom, right, top))


TILES = (_crop("31UET", 499_980, 5_800_020), _crop("31UFT", 600_000, 5_800_020))
CANVAS = TILES[0]
"""The extent on which every scene is made: the crop of 31UET, which holds that of 31UFT."""

REGION = tuple(float(v) for v in reproject(box(*REGION_RD), RD, 4326).bounds)
"""The region as (west, south, east, north) in degrees."""

_TRACK = 0.236
"""Metres east per metre north along the swath's edge at 52° N, see `overpasses`."""

SWATH_EDGE = HalfPlane(1.0, -_TRACK, 599_900.3 - _TRACK * 5_763_900.7)
"""The swath of orbit R008: the side east of its western edge."""

SPLIT = HalfPlane(_TRACK, 1.0, _TRACK * 599_900.3 + 5_764_400.7)
"""The first of two datastrips: north of a line across the track."""
