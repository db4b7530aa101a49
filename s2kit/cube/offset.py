"""Whether the pixels of a scene contradict the radiometric offset that its metadata state.

Since processing baseline 04.00 (25 January 2022) DN = reflectance × 10 000 + 1000. ESA's own
files say so themselves. Copies of them have been written anew by providers, and some of these have
taken the 1000 away, some have not, and some say one thing and did the other. Where the copy is
known to be unreliable, the pixels of the whole tile decide, if they leave no doubt; of any other
copy a doubt is reported, and nothing is shifted.

What leaves no doubt: vegetation, shadow and water are dark in blue, green and red. If the offset is
still in the pixels, their DN lie around 1000 or above; reflectances far below zero do not exist
over large areas. If it was taken away, the darkest of them have a DN of some hundreds.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from s2kit.cube.acquisitions import Scene
from s2kit.cube.imagery import opened
from s2kit.errors import SceneError
from s2kit.scenes.radiometry import (
    BANDS,
    FLAG,
    METADATA,
    OFFSET,
    offset_of_baseline,
    read_baseline,
)

_SIDE = 512
"""Pixels along a side of the overview that is looked at, at most."""

_WHOLE = 2**22
"""Pixels of a raster without overviews that is read whole for such a look, at most."""

_DARK_CLASSES = (2, 3, 4, 6)
"""Dark areas, cloud shadow, vegetation, water."""

_VISIBLE = ("B02", "B03", "B04")
_LOOKED_AT = (*_VISIBLE, "B08", "B11", "B12")

_ENOUGH = 200
"""Pixels of a class in the overview, at least."""

_CLASSES, _SEVERAL = 2, 3
"""Classes and bands that have to agree, at least."""

_IMPOSSIBLE = 800
"""DN below which most of a class cannot lie, if the offset is still in: a reflectance of −0.02."""

_STILL_IN = 850
"""DN that the darkest 1 % of all bands and of each dark class exceed only if the offset is still
in: reflectances below 0.085 are in each of them."""

_SHARE = 0.1
"""Share of a tile that dark classes cover, at least: a few pixels of them may be mistaken ones, as
under clouds."""

_CLAMPED = 1
"""DN to which providers raise what became 0 or less when they took the offset away."""


@dataclass(frozen=True)
class Contradiction:
    """What the pixels of a scene show, against what its metadata state.

    Attributes
    ----------
    bands : tuple of str
        The bands it is about: those of one copy, whose offset has one source.
    stated, shown : float
        Offset in reflectance: 0 or −0.1.
    decides : bool
        Whether the pixels decide, or it is only reported.
    """

    bands: tuple[str, ...]
    stated: float
    shown: float
    decides: bool

    def __str__(self) -> str:
        done = f"{self.shown:g} was applied" if self.decides else "nothing was changed"
        return (
            f"its metadata ask for an offset of {self.stated:g}, its pixels over vegetation, "
            f"shadow and water show {self.shown:g} (reflectance); {done}"
        )


def find_contradictions(scene: Scene) -> list[Contradiction]:
    """Compare the stated offsets with an overview of the whole tile.

    The product's own metadata are final (`s2kit.scenes.radiometry.METADATA`), and so are JPEG 2000
    files of ESA, which nobody has written anew: neither is looked at. Nothing is returned where all
    is as stated, and where the pixels leave a doubt.
    """
    groups: dict[tuple[str, float], list[str]] = {}
    for band in (name for name in BANDS if name in scene.assets):
        asset = scene.assets[band]
        groups.setdefault((asset.source, asset.offset), []).append(band)
    baseline = read_baseline(scene.baseline)
    before_offsets = baseline is not None and not offset_of_baseline(baseline)
    found = []
    for (source, stated), bands in groups.items():
        if source == METADATA or (before_offsets and stated == 0):
            continue
        shown = _shown_offset(scene, [band for band in _LOOKED_AT if band in bands])
        if shown is not None and shown != stated:
            found.append(Contradiction(tuple(bands), stated, shown, source == FLAG))
    return found


def corrected(scene: Scene, contradiction: Contradiction) -> Scene:
    """Return the scene with the offset that the pixels show, in the bands that it is about."""
    assets = {
        name: replace(asset, offset=contradiction.shown) if name in contradiction.bands else asset
        for name, asset in scene.assets.items()
    }
    return replace(scene, assets=assets)


def _shown_offset(scene: Scene, bands: list[str]) -> float | None:
    if len(bands) < _SEVERAL or "SCL" not in scene.assets:
        return None
    try:
        classes, bounds = _overview(scene, "SCL")
        overviews = {band: _overview(scene, band, classes.shape) for band in bands}
    except SceneError:  # ingest reports what cannot be read, if it is needed
        return None
    return judge({b: dn for b, (dn, where) in overviews.items() if where == bounds}, classes)


def judge(values: dict[str, np.ndarray], classes: np.ndarray) -> float | None:
    """Decide from pixels which offset is still to be applied.

    Parameters
    ----------
    values : dict of str to numpy.ndarray, shape (y, x)
        DN by band; 0 is no data.
    classes : numpy.ndarray, shape (y, x), uint8
        Sen2Cor's scene classification.

    Returns
    -------
    float or None
        −0.1, 0, or None where the pixels do not decide it.
    """
    dark = [kind for kind in _DARK_CLASSES if np.count_nonzero(classes == kind) >= _ENOUGH]
    if len(dark) < _CLASSES or len(values) < _SEVERAL:
        return None
    visible = [values[band] for band in _VISIBLE if band in values]
    below = [sum(_median(dn[classes == kind]) < _IMPOSSIBLE for dn in visible) for kind in dark]
    if sum(bands >= _SEVERAL for bands in below) >= _CLASSES:
        return 0.0
    if np.isin(classes, dark).sum() < _SHARE * np.count_nonzero(classes):
        return None
    darkest = [_darkest(dn[classes == kind]) for kind in dark for dn in values.values()]
    darkest += [_darkest(dn) for dn in values.values()]
    return OFFSET if min(darkest) > _STILL_IN else None


def _median(dn: np.ndarray) -> float:
    """Return the median DN; ∞ where too few are known."""
    seen = dn[dn > 0]
    return float(np.median(seen)) if len(seen) >= _ENOUGH else math.inf


def _darkest(dn: np.ndarray) -> float:
    """Return the DN below which 1 % lie; −inf where too few are known."""
    seen = dn[dn > _CLAMPED]
    return float(np.percentile(seen, 1)) if len(seen) >= _ENOUGH else -math.inf


def _overview(
    scene: Scene, layer: str, shape: tuple[int, int] | None = None
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Read a whole raster in few pixels, and where it lies.

    A SceneError also stands for one that nobody has written anew, or that takes long to read.
    """
    with opened(scene, layer) as (dataset, _):
        large = math.prod(dataset.shape) > _WHOLE and not dataset.overviews(1)
        if dataset.driver != "GTiff" or large:
            raise ValueError("it is not looked at")
        step = max(1, math.ceil(max(dataset.shape) / _SIDE))
        own = tuple(math.ceil(n / step) for n in dataset.shape)
        return dataset.read(1, out_shape=shape or own), tuple(dataset.bounds)
