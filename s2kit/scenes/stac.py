"""Read STAC items of any provider into the one form of imagery."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import pystac
from shapely.geometry.base import BaseGeometry

from s2kit.credentials import without_credentials
from s2kit.errors import SceneError
from s2kit.scenes.footprint import read_geometry
from s2kit.scenes.item import (
    BANDS,
    NOTES,
    REFUSED_LAYERS,
    SOURCE,
    make_asset,
    make_item,
    require_band,
)
from s2kit.scenes.product import ProductName, format_utc, read_time
from s2kit.scenes.providers import ASSET_NAMES, Json, Provider, declared, provider_of
from s2kit.scenes.radiometry import odd_statement, read_scale
from s2kit.scenes.uri import is_far, is_remote, resolve

_NAME_FIELDS = ("s2:product_uri", "sentinel:product_id")
_ONE_DAY = timedelta(days=1)
"""A datatake takes minutes."""


@dataclass(frozen=True)
class StacScene:
    """One STAC item as its provider wrote it.

    Parameters
    ----------
    document : dict
        The item's JSON, not migrated: pystac would move offsets about.
    base : str
        Path or URL of the item or of what holds it, for relative hrefs.
    """

    document: Json
    base: str

    @property
    def label(self) -> str:
        """Name in reports."""
        return str(self.product or self.document.get("id") or self.base)

    @cached_property
    def product(self) -> ProductName | None:
        """Name of the product, in whatever field the provider keeps it."""
        return find_name(self.document)

    @cached_property
    def provider(self) -> Provider:
        """Rules of the provider that made the item."""
        return provider_of(self.document)

    @cached_property
    def footprint(self) -> BaseGeometry | None:
        """Outline of the valid pixels, degrees, where the item has one."""
        return read_geometry(self.document.get("geometry"), self.label)

    def item(self) -> pystac.Item:
        """Return the item in the form of `s2kit.scenes.item`.

        Raises
        ------
        SceneError
            If the scene cannot be used, with the reason.
        """
        given, offered = (self.document.get(key) for key in ("properties", "assets"))
        if not (isinstance(given, dict) and isinstance(offered, dict)):
            raise SceneError(self.label, "is no STAC item: it has no properties or no assets")
        product = _usable_product(self)
        known = given.get(NOTES)
        notes = [one for one in known if isinstance(one, str)] if isinstance(known, list) else []
        assets, refused = _layers(self, product, notes)
        names = ", ".join(sorted(offered)) or "none"
        absent = f"none of its assets is a band in reach (found: {names})"
        require_band(self.label, assets, refused, absent)
        sensed = read_time(given, "datetime", self.label) or product.datatake_start
        if abs(sensed - product.datatake_start) > _ONE_DAY:
            notes.append(
                f"its datetime is {format_utc(sensed)}, but the product that it names is of "
                f"{format_utc(product.datatake_start)}, which was used"
            )
        properties = _properties(self)
        return make_item(
            product, self.footprint, sensed, assets, properties, refused=refused, notes=notes
        )


def _layers(
    scene: StacScene, product: ProductName, notes: list[str]
) -> tuple[dict[str, pystac.Asset], dict[str, str]]:
    """Return the assets by layer, and why some cannot be used; add odd statements to the notes.

    A file of this computer that a server names stays in the item, to be seen, but is refused.
    """
    assets: dict[str, pystac.Asset] = {}
    refused: dict[str, str] = {}
    for layer, names in ASSET_NAMES.items():
        for given in map(scene.document["assets"].get, names):
            if not isinstance(given, dict) or not isinstance(given.get("href"), str):
                continue
            try:
                asset = _asset(scene, product, layer, given)
            except (ValueError, OSError) as error:  # OddStatementError, or an href that is no place
                refused.setdefault(layer, str(error))
                continue
            if not asset.href:  # out of reach
                continue
            assets[layer] = asset
            if layer not in BANDS:
                odd = odd_statement(layer, declared(given, "scale"), declared(given, "offset"))
                notes += [odd] if odd else []
            reason = _refusal(scene, layer, asset.href, given["href"])
            if reason is None:
                refused.pop(layer, None)
                break
            refused[layer] = reason
    return assets, refused


def _asset(scene: StacScene, product: ProductName, layer: str, given: Json) -> pystac.Asset:
    href = scene.provider.href(resolve(given["href"], scene.base))
    nodata = _number(declared(given, "nodata"))
    if href and layer in BANDS:
        read_scale(declared(given, "scale"), layer)
        found = scene.provider.offset(scene.document, given, layer, product)
        asset = make_asset(layer, href, offset=found.value, source=found.source, nodata=nodata)
    else:
        asset = make_asset(layer, href, nodata=nodata)
    if isinstance(given.get(SOURCE), str):
        asset.extra_fields[SOURCE] = without_credentials(given[SOURCE])
    return asset


def _refusal(scene: StacScene, layer: str, href: str, written: str) -> str | None:
    """Return why a layer whose asset can be read cannot be used; None if it can."""
    given = scene.document["properties"]
    before = given.get(REFUSED_LAYERS) if SOURCE in given else None
    if isinstance(before, dict) and layer in before:  # by a search of s2kit whose result was saved
        return str(before[layer])
    if is_remote(scene.base) and not is_far(href):
        return (
            f"{layer} lies at {written:.200}, a file of the computer that reads it; an item of a "
            "server may name URLs only (http, https, s3, gs, az)"
        )
    return None


def _number(stated: Any) -> float | None:
    """Return a finite number, also one that is written as text or in a list; others are none."""
    one = stated[0] if isinstance(stated, list) and len(stated) == 1 else stated
    try:
        number = math.nan if isinstance(one, bool) else float(one)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def find_name(document: Json) -> ProductName | None:
    """Find the name of the product that an item is, wherever its catalogue keeps it.

    First where ESA's name has a field of its own, then in the id, then in any other property, then
    in the hrefs of the assets. A name of Level-2A goes before one of the Level-1C that it was made
    from. Where a place holds several, the next one is asked.
    """
    properties, assets = document.get("properties"), document.get("assets")
    known = properties if isinstance(properties, dict) else {}
    hrefs = list(assets.values()) if isinstance(assets, dict) else []
    for place in (*map(known.get, _NAME_FIELDS), document.get("id"), known, hrefs):
        found = {str(name): name for name in ProductName.find_all(json.dumps(place, default=str))}
        level_2a = [name for name in found.values() if name.level == "L2A"]
        names = level_2a or list(found.values())
        if len(names) == 1:
            return names[0]
    return None


def _usable_product(scene: StacScene) -> ProductName:
    product = scene.product
    if product is None:
        raise SceneError(
            scene.label,
            "does not say which product it is, so orbit, tile, baseline and offset are unknown; "
            "accepted: a property such as s2:product_uri, or an id, of the form "
            "S2A_MSIL2A_20210601T105031_N0300_R051_T31UFT_20210601T135031",
        )
    if product.level != "L2A":
        raise SceneError(scene.label, f"is {product.level}, but only L2A can be used")
    return product


def _properties(scene: StacScene) -> Json:
    """Return the properties that the product's name does not hold; None where they are unknown."""
    given = scene.document["properties"]
    made = read_time(given, "s2:generation_time", scene.label)
    epsg = given.get("proj:epsg")
    collection = scene.document.get("collection") or ""
    return {
        "eo:cloud_cover": _number(given.get("eo:cloud_cover")),
        "s2:generation_time": format_utc(made) if made else None,
        "proj:code": given.get("proj:code") or (f"EPSG:{epsg}" if epsg else None),
        SOURCE: given.get(SOURCE) or f"{scene.provider.name} {collection}".strip(),
        "s2kit:synthetic": given.get("s2kit:synthetic"),
    }
