"""What a cube is: its layers, its coordinates along time, and what is fixed when it is made."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from s2kit.crs import Bounds
from s2kit.cube.keys import SEPARATORS
from s2kit.cube.layers import TIMELINE, is_text
from s2kit.cube.levels import level_grids
from s2kit.cube.manifest import ChunkGrid, Manifest
from s2kit.grid import area_of_grid


@dataclass(frozen=True)
class CubeSpec:
    """What makes two cubes the same kind: it is fixed when a store is made.

    Attributes
    ----------
    grid : odc.geo.geobox.GeoBox
    layers : tuple of str
        In the order of `LAYER_SPECS`.
    resampling : str
        ``"bilinear"`` or ``"nearest"``.
    chunks : tuple of int
        Chunk shape (time, y, x).
    overviews : bool
        Whether there are coarser levels.
    """

    grid: GeoBox
    layers: tuple[str, ...]
    resampling: str
    chunks: tuple[int, int, int]
    overviews: bool

    @cached_property
    def area(self) -> Bounds:
        """The region in degrees, by which coordinate operations are chosen."""
        return area_of_grid(self.grid)

    @property
    def chunk_grids(self) -> tuple[ChunkGrid, ...]:
        """How many chunks each level has, (rows, columns)."""
        _, height, width = self.chunks
        return tuple((-(-g.shape.y // height), -(-g.shape.x // width)) for g in self.grids)

    @cached_property
    def grids(self) -> tuple[GeoBox, ...]:
        """The grids of all levels, the base first."""
        return level_grids(self.grid) if self.overviews else (self.grid,)


Timeline = dict[str, np.ndarray]
"""The coordinates along time of one orbit, by the names in `layers.TIMELINE`."""


def empty_timeline() -> Timeline:
    """Return the coordinates along time of an orbit that is not in the store yet."""
    return timeline_of([])


def timeline_of(rows: list[dict[str, Any]]) -> Timeline:
    """Make a timeline from its steps; text is kept as Python's own, without a width."""
    return {
        name: np.array([row[name] for row in rows], "O" if is_text(dtype) else dtype)
        for name, (dtype, _) in TIMELINE.items()
    }


@dataclass(frozen=True)
class Orbit:
    """The steps of one relative orbit, and which set of chunk names holds them.

    Attributes
    ----------
    timeline : dict of str to numpy.ndarray
        The coordinates along time.
    manifest : Manifest
        Which objects it has.
    separator : str
        Between the numbers in the names of its chunks.
    retired : bool
        Whether the other set of names still lies there, for readers who opened the cube before.
    """

    timeline: Timeline
    manifest: Manifest
    separator: str = SEPARATORS[0]
    retired: bool = False


@dataclass(frozen=True)
class State:
    """All that a store's metadata say."""

    spec: CubeSpec
    synthetic: bool
    orbits: dict[int, Orbit]
