"""The one form of imagery in s2kit: a STAC item with the cube's layer names and what ingest needs.

Every source ends in such items; nothing after `s2kit.scenes` asks where one came from. Such an
item has the product name (without ``.SAFE``) as its id, the footprint in degrees as its geometry,
and these properties:

============================  =====================================================
``platform``                  ``"sentinel-2a"`` …
``sat:relative_orbit``        int, 1 to 143
``s2kit:datatake_start``      start of the datatake, UTC, ``"2021-06-01T10:50:31Z"``
``datetime``                  sensing time of the tile, UTC
``grid:code``                 ``"MGRS-31UFT"``
``s2:processing_baseline``    ``"05.09"``
``s2:generation_time``        UTC, from the product's discriminator where nothing better is known
``eo:cloud_cover``            %, where known
``proj:code``                 ``"EPSG:32631"``
``s2kit:source``              where it came from, for reports: ``"earth-search sentinel-2-l2a"``
``s2kit:notes``               odd statements in its metadata and how they were treated, texts
``s2kit:refused_layers``      layers that cannot be used, with the reason
``s2kit:synthetic``           True for the practice scenes, else absent
============================  =====================================================

Its assets are named as the cube's layers (`LAYERS`), have an absolute href that GDAL opens
(path, ``/vsi…``, ``ZARR:…`` or URL) and carry:

=======================  ==================================================================
``raster:scale``         of the layer, see `s2kit.scenes.radiometry`
``raster:offset``        the offset *still to be applied*: physical value = DN * scale + offset
``s2kit:offset_source``  its source, for reflectance: one of `s2kit.scenes.radiometry.RELIABLE`
``s2kit:source``         where this layer came from, if several copies of the product were found
``nodata``               the DN of no data; 0 is no data too
=======================  ==================================================================

CLD and SNW have no ``nodata`` unless one is stated: their 0 is a value, 0 %; where they hold no
data, SCL and the bands say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pystac
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from s2kit.credentials import without_credentials
from s2kit.errors import InvalidInputError, SceneError
from s2kit.scenes.product import ProductName, format_utc
from s2kit.scenes.radiometry import BANDS, DECLARED, SCALES

LAYERS = tuple(SCALES)
"""Everything a cube can hold, in the order in which it is stored. Where a layer is found in each
form of imagery, and how it is stored, other tables say; CONTRIBUTING.md lists them."""

EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("eo/v1.1.0", "grid/v1.1.0", "projection/v2.0.0", "raster/v2.0.0", "sat/v1.0.0")
)
"""The STAC extensions whose fields such an item uses."""

NOTES, REFUSED_LAYERS, SOURCE = "s2kit:notes", "s2kit:refused_layers", "s2kit:source"
OFFSET_SOURCE = "s2kit:offset_source"
"""Fields of our own, see above."""


def make_asset(
    layer: str,
    href: str,
    *,
    offset: float = 0.0,
    source: str = DECLARED,
    nodata: float | None = None,
) -> pystac.Asset:
    """Return the asset of one layer.

    Parameters
    ----------
    layer : str
        One of `LAYERS`.
    href : str
        Path, ``/vsi…``, ``ZARR:…`` or URL that GDAL opens.
    offset : float
        Still to be applied, in physical units (reflectance 0 to 1).
    source : str
        Of the offset, for reflectance; see `s2kit.scenes.radiometry.RELIABLE`.
    nodata : float, optional
        The DN of no data that is stated. By default 0, but for probabilities (CLD, SNW) none.
    """
    fields: dict[str, Any] = {"raster:scale": SCALES[layer], "raster:offset": offset}
    if layer in BANDS:
        fields[OFFSET_SOURCE] = source
    probability = layer in ("CLD", "SNW")
    if nodata is None and not probability:
        nodata = 0
    if nodata is not None and not (probability and nodata == 0):
        fields["nodata"] = nodata
    return pystac.Asset(href, roles=["data"], extra_fields=fields)


def make_item(
    product: ProductName,
    footprint: BaseGeometry | None,
    sensed: datetime,
    assets: dict[str, pystac.Asset],
    properties: dict[str, Any],
    *,
    refused: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> pystac.Item:
    """Return the item of one product.

    Parameters
    ----------
    product : ProductName
        Gives the id and every property that the name of a product holds.
    footprint : shapely geometry or None
        Outline of the valid pixels, degrees.
    sensed : datetime.datetime
        Sensing time of the tile.
    assets : dict of str to pystac.Asset
        By layer.
    properties : dict
        What the name does not hold; values of None are left out. It takes precedence.
    refused : mapping of str to str, optional
        Layers that cannot be used, with the reason.
    notes : sequence of str, optional
        Odd statements in its metadata, and how they were treated.
    """
    # Addresses in texts, which reports repeat, must not keep their credentials.
    reasons = {layer: without_credentials(reason) for layer, reason in (refused or {}).items()}
    cleaned = [without_credentials(note) for note in notes]
    texts: dict[str, Any] = {REFUSED_LAYERS: reasons or None, NOTES: cleaned or None}
    if isinstance(properties.get(SOURCE), str):
        texts[SOURCE] = without_credentials(properties[SOURCE])
    known = {
        "platform": product.platform,
        "constellation": "sentinel-2",
        "sat:relative_orbit": product.relative_orbit,
        "s2kit:datatake_start": format_utc(product.datatake_start),
        "grid:code": f"MGRS-{product.tile}",
        "s2:processing_baseline": product.baseline,
        "s2:generation_time": format_utc(product.generated),
        "proj:code": product.crs,
    }
    item = pystac.Item(
        str(product),
        geometry=None if footprint is None else mapping(footprint),
        bbox=None if footprint is None else list(footprint.bounds),
        datetime=sensed,
        properties=known | {k: v for k, v in (properties | texts).items() if v is not None},
        stac_extensions=list(EXTENSIONS),
    )
    for layer in (name for name in LAYERS if name in assets):
        item.add_asset(layer, assets[layer])
    return item


def require_items(items: Any) -> list[pystac.Item]:
    """Return STAC items as a list, at least one.

    Raises
    ------
    InvalidInputError
        If something else is among them, or there is none.
    """
    try:
        found = list(items)
    except TypeError:
        found = [items]
    wrong = [item for item in found if not isinstance(item, pystac.Item)]
    if wrong:
        raise InvalidInputError(
            f"items holds {wrong[0]!r:.80} ({type(wrong[0]).__name__}); "
            "pass what s2kit.find_scenes returns"
        )
    if not found:
        raise InvalidInputError(
            "there are no scenes; widen the period or the region in s2kit.find_scenes"
        )
    return found


def require_band(
    label: str, assets: Mapping[str, Any], refused: Mapping[str, str], otherwise: str
) -> None:
    """Raise SceneError if a scene has no band, with the reasons, or another one if it has none."""
    if not any(band in assets for band in BANDS):
        reasons = dict.fromkeys(reason for layer, reason in refused.items() if layer in BANDS)
        unusable = f"none of its bands can be used: {'; '.join(reasons)}"
        raise SceneError(label, unusable if reasons else otherwise)
