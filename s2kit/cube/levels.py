"""Which coarser levels (overviews) a cube has, and how its metadata describe them.

The description is that of the Zarr conventions "multiscales" and "spatial", version 1. All orbits
stand in one layout, each with a level 0 of its own that the others derive from.
"""

from collections.abc import Iterable
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

SMALLEST = 256
"""Levels go on until no side has more pixels, as `gdaladdo` does by default (``-minsize``)."""

_CONVENTIONS = [
    {
        "uuid": "d35379db-88df-4056-af3a-620245f8e347",
        "name": "multiscales",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v1/README.md",
        "description": "Multiscale layout of zarr datasets",
    },
    {
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "name": "spatial",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v1/README.md",
        "description": "Spatial coordinate information",
    },
]


def level_grids(base: GeoBox) -> tuple[GeoBox, ...]:
    """Return the grids of all levels, the base first.

    Each has pixels twice as large as the one before and the same upper left corner; the last row
    and column reach beyond the base where its size is odd.
    """
    grids = [base]
    while max(grids[-1].shape) > SMALLEST:
        height, width = (-(-n // 2) for n in grids[-1].shape)
        a, b, c, d, e, f = list(grids[-1].affine)[:6]
        affine = Affine(2 * a, 2 * b, c, 2 * d, 2 * e, f)
        grids.append(GeoBox((height, width), affine, base.crs))
    return tuple(grids)


def describe(grids: Iterable[GeoBox], orbits: Iterable[list[str]], *, classes: bool) -> dict:
    """Describe the levels in the attributes of the group around them.

    Parameters
    ----------
    grids : iterable of odc.geo.geobox.GeoBox
        Of all levels.
    orbits : iterable of list of str
        For each orbit the names of its groups, level by level.
    classes : bool
        Whether there is a classification, whose levels hold the most frequent class.
    """
    method = "average" + (" (SCL: mode)" if classes else "")
    layout = [
        entry
        for names in orbits
        for entry in map(_entry, names, grids, [None, *names[:-1]], [method] * len(names))
    ]
    return {
        "zarr_conventions": _CONVENTIONS,
        "multiscales": {"layout": layout, "resampling_method": "average"},
        "spatial:dimensions": ["y", "x"],
    }


def _entry(name: str, grid: GeoBox, source: str | None, method: str) -> dict[str, Any]:
    """Describe a level; it is not shifted, since all levels share their upper left corner."""
    factor = 1.0 if source is None else 2.0
    derived = {} if source is None else {"derived_from": source, "resampling_method": method}
    return {
        "asset": name,
        **derived,
        # scale and translation of (time, y, x), relative to the level that this one derives from
        "transform": {"scale": [1.0, factor, factor], "translation": [0.0, 0.0, 0.0]},
        "spatial:transform": list(grid.affine)[:6],
        "spatial:shape": list(grid.shape),
    }
