"""Is a scene's radiometric offset what its metadata say? The pixels are the last word.

Since processing baseline 04.00 (25 January 2022) DN = reflectance × 10 000 + 1000. Some providers
have taken the 1000 away again, some have not, and some say one thing and do the other. Vegetation
is dark in blue and red, water in the shortwave infrared: reflectance stays below 0.1, so DN lies
below 1000 where the offset was taken away and above where it was not. Haze, glint and an
overdone atmospheric correction blur that, so metadata are contradicted only if the darkest pixels
of all bands agree. Where a scene shows neither (cloud, snow, desert), its metadata are believed.
"""

import math
from dataclasses import replace
from itertools import product

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from s2kit.cube.source import Raster, opened
from s2kit.cube.steps import Asset, Scene
from s2kit.scenes.item import BANDS

OFFSET = -0.1
"""BOA_ADD_OFFSET / BOA_QUANTIFICATION_VALUE since baseline 04.00 (ESA, Sentinel-2 Products
Specification Document, S2-PDGS-TAS-DI-PSD, issue 14.9)."""

STORED_SCALE = 1e-4
"""Reflectance of one stored count in the cube, and of one DN in every Level-2A product."""

_FIRST_BASELINE = "04.00"
_DARK = {4: ("B02", "B04"), 6: ("B11", "B12")}
"""Bands in which a class is dark: vegetation in blue and red, water in the shortwave infrared."""
_TAKEN_AWAY_BELOW = 900
_STILL_THERE_ABOVE = 1000
_DARKEST = 700
"""With the offset still there, the darkest 1 % of no band lies below: a reflectance of −0.03."""
_ENOUGH = 200
_SAMPLES = 4
_SMALLEST = 256
"""Rows and columns of a sample at least; some rasters are stored line by line."""


def true_offset(scene: Scene, grid: GeoBox) -> float | None:
    """Tell from the pixels which offset is still to be applied.

    Parameters
    ----------
    scene : Scene
    grid : odc.geo.geobox.GeoBox
        Where to look.

    Returns
    -------
    float or None
        −0.1, 0, or None where the pixels do not tell.

    Raises
    ------
    SceneError
        If the bands cannot be read.
    """
    stated = stated_offset(scene)
    if "SCL" not in scene.assets or (scene.baseline < _FIRST_BASELINE and not stated):
        return None
    for kind, bands in _DARK.items():
        there = [band for band in bands if band in scene.assets]
        medians = _medians(scene, there, grid, kind) if there else None
        if medians:
            found = _judge(medians)
            doubtful = found not in (None, stated)
            return None if doubtful and not _confirmed(scene, grid, found) else found
    return None


def _medians(scene: Scene, bands: list[str], grid: GeoBox, kind: int) -> list[float] | None:
    """Give the median DN of each band over a class, or None where there is too little of it."""
    found: dict[str, list[np.ndarray]] = {band: [] for band in bands}
    for window, raster in _samples(scene, bands[0], grid):
        where = _values(scene, "SCL", window, raster) == kind
        if not where.any():
            continue
        for band in bands:
            values = _values(scene, band, window, raster, where.shape)[where]
            found[band].append(values[values > 0])
        if min(sum(map(len, parts)) for parts in found.values()) >= _ENOUGH:
            return [float(np.median(np.concatenate(parts))) for parts in found.values()]
    return None


def _judge(medians: list[float]) -> float | None:
    if min(medians) < _TAKEN_AWAY_BELOW:
        return 0.0
    return OFFSET if min(medians) > _STILL_THERE_ABOVE else None


def _confirmed(scene: Scene, grid: GeoBox, offset: float) -> bool:
    """Ask the darkest pixels of all bands before the metadata are contradicted."""
    darkest = math.inf
    for band in (band for band in BANDS if band in scene.assets):
        for window, raster in _samples(scene, band, grid):
            values = _values(scene, band, window, raster)
            if (values > 0).sum() >= _ENOUGH:
                darkest = min(darkest, float(np.percentile(values[values > 0], 1)))
    return offset == (OFFSET if darkest > _DARKEST else 0.0)


def corrected(scene: Scene, offset: float) -> Scene:
    """Give the scene with another offset still to be applied to its reflectance bands."""
    assets = {
        name: Asset(a.href, a.scale, offset) if name in BANDS else a
        for name, a in scene.assets.items()
    }
    return replace(scene, assets=assets)


def stated_offset(scene: Scene) -> float | None:
    """Give the offset that the metadata ask for, the same for all bands, or None without bands."""
    offsets = [a.offset for name, a in scene.assets.items() if name in BANDS]
    return offsets[0] if offsets else None


def shift_of(scene: Scene, layer: str) -> int:
    """Give what is to be added to the DN of a layer to get the cube's stored value."""
    return round(scene.assets[layer].offset / STORED_SCALE) if layer in BANDS else 0


_Window = tuple[slice, slice]


def _samples(scene: Scene, band: str, grid: GeoBox) -> list[tuple[_Window, Raster]]:
    """Give a few blocks of a band, those nearest to the middle of the region first."""
    with opened(scene, band) as (dataset, raster):
        height, width = grid.shape
        region = raster.window(grid, slice(0, height), slice(0, width))
        if region is None:
            return []
        high, wide = dataset.block_shapes[0]
        sizes = (max(high, _SMALLEST), max(wide, _SMALLEST))
        rows, cols = (_cut(span, size) for span, size in zip(region, sizes, strict=True))
        near = sorted(product(enumerate(rows), enumerate(cols)), key=lambda p: p[0][0] + p[1][0])
        return [((r, c), raster) for (_, r), (_, c) in near[:_SAMPLES]]


def _cut(span: slice, size: int) -> list[slice]:
    """Cut a span at multiples of ``size``, the parts nearest to its middle first."""
    starts = range(span.start // size * size, span.stop, size)
    parts = [slice(max(s, span.start), min(s + size, span.stop)) for s in starts]
    middle = (span.start + span.stop) / 2
    return sorted(parts, key=lambda part: abs((part.start + part.stop) / 2 - middle))


def _values(
    scene: Scene,
    layer: str,
    window: _Window,
    of: Raster,
    shape: tuple[int, int] | None = None,
) -> np.ndarray:
    """Read the ground of another band's window, in as many pixels as asked.

    Fewer pixels than there are come from a band's overviews, which take a fraction of the time.
    """
    with opened(scene, layer) as (dataset, raster):
        factors = (of.pixel[1] / raster.pixel[1], of.pixel[0] / raster.pixel[0])
        same = [slice(int(s.start * f), math.ceil(s.stop * f))
                for s, f in zip(window, factors, strict=True)]  # fmt: skip
        return dataset.read(1, window=Window.from_slices(*same), out_shape=shape)
