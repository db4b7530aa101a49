"""Scale and offset that convert the DN of a Level-2A layer to a physical value.

physical value = DN × scale + offset. The scale of a layer is always the same, and only two offsets
exist: 0, and −0.1 (BOA_ADD_OFFSET = −1000 of 10 000) in reflectance since processing baseline
04.00. Anything else that metadata state is a mistake of theirs.

Sources: ESA, Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), issue 14.9,
QUANTIFICATION_VALUES_LIST and BOA_ADD_OFFSET_VALUES_LIST.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import Any

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Surface reflectance at 10 and 20 m; the 60 m bands serve the atmosphere, not the land."""

SCALE = 1e-4
"""Reflectance of one DN, and of one count in a cube."""

OFFSET = -0.1
"""Reflectance; in DN −1000."""

SCALES = dict.fromkeys(BANDS, SCALE) | {"SCL": 1.0, "CLD": 1.0, "SNW": 1.0, "WVP": 1e-3}
"""Layer to the physical value of one DN: reflectance 0-1, class, %, %, cm."""

RESOLUTION = dict.fromkeys(SCALES, 20) | dict.fromkeys(("B02", "B03", "B04", "B08"), 10)
"""Pixel size at which each layer is read, m: the sensor's own for bands. Products have WVP at 10 m
too."""

METADATA, DECLARED, BASELINE, FLAG = RELIABLE = ("metadata", "declared", "baseline", "flag")
"""Sources of the offset that is still to be applied, the most reliable first: the product's own
metadata, the STAC asset, the processing baseline, the flag of Earth Search or its absence. A build
compares offsets of the last two with the pixels (`s2kit.cube.offset`)."""

_FIRST_WITH_OFFSET = 4.0
_OWN_BASELINES = 99.0
"""From here on baselines are those of a Sen2Cor that somebody runs (99.99, 99.33, N9999)."""


class OddStatementError(ValueError):
    """Metadata state a scale or an offset that no Level-2A product has."""


@dataclass(frozen=True)
class Offset:
    """The offset still to be applied to the DN of a reflectance band, and its source."""

    value: float
    source: str


def read_offset(stated: Any, layer: str) -> float:
    """Read an offset that metadata state, in reflectance or in DN.

    Raises
    ------
    OddStatementError
        If it is neither 0 nor −0.1 (−1000 in DN).
    """
    if _is_number(stated):
        for known in (0.0, OFFSET):
            if any(math.isclose(stated, known / unit, rel_tol=1e-6) for unit in (1, SCALES[layer])):
                return known
    raise OddStatementError(f"{layer} states offset {stated!r}; only 0 and {OFFSET} exist")


def read_scale(stated: Any, layer: str) -> float:
    """Read a scale that metadata state; None states nothing.

    Raises
    ------
    OddStatementError
        If it is not the layer's.
    """
    known = SCALES[layer]
    if stated is None or (_is_number(stated) and math.isclose(stated, known, rel_tol=1e-6)):
        return known
    raise OddStatementError(f"{layer} states scale {stated!r}; Level-2A has {known:g}")


def odd_statement(layer: str, scale: Any, offset: Any) -> str:
    """Return a note on a scale or offset of a layer other than reflectance that is not Level-2A's.

    Such a layer has one scale and no offset, whatever is stated. Empty where nothing is odd.
    """
    try:
        read_scale(scale, layer)
        odd = offset not in (None, 0)
    except OddStatementError:
        odd = True
    note = f"{layer} states scale {scale!r} and offset {offset!r}; Level-2A has {SCALES[layer]:g}"
    return f"{note} and 0, which were used" if odd else ""


def _is_number(stated: Any) -> bool:
    return isinstance(stated, Real) and not isinstance(stated, bool)


def read_baseline(text: Any) -> float | None:
    """Read a processing baseline such as ``"05.09"``, ``"5.9"`` or ``"N0509"`` as a number.

    Returns
    -------
    float or None
        None where there is none, or where it is that of a Sen2Cor at home (99.99): that says
        which program made the product, and nothing about its offset.
    """
    found = re.fullmatch(r"N?(?:(\d\d)(\d\d)|(\d{1,2})(?:\.(\d{1,2}))?)", str(text).strip())
    if found is None:
        return None
    number = int(found[1] or found[3]) + int(found[2] or found[4] or 0) / 100
    return number if number < _OWN_BASELINES else None


def needs_offset(baseline: str) -> bool:
    """Return whether products of a baseline must state an offset; those of Sen2Cor at home may."""
    return bool(offset_of_baseline(read_baseline(baseline) or 0))


def offset_of_baseline(baseline: float) -> float:
    """Return the offset that the pixels of a baseline carry, in reflectance."""
    return OFFSET if baseline >= _FIRST_WITH_OFFSET else 0.0


def offset_in_counts(offset: float) -> int:
    """Return an offset in reflectance as what is to be added to a DN.

    >>> offset_in_counts(OFFSET)
    -1000
    """
    return round(offset / SCALE)
