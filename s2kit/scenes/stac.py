"""Read STAC items of any provider into the one form of imagery."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import pystac
from shapely.geometry.base import BaseGeometry

from s2kit.credentials import without_credentials
from s2kit.errors import SceneError
from s2kit.scenes.footprint import read_geometry
from s2kit.scenes.item import BANDS, NOTES, REFUSED_LAYERS, SOURCE, make_asset, make_item
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
        _check_form(self)
        product = _usable_product(self)
        provider = provider_of(self.document)
        layers = _Layers(self, provider, product)
        if not any(band in layers.assets for band in BANDS):
            raise SceneError(self.label, _no_band(self, layers))
        sensed = _time(self, "datetime") or product.datatake_start
        if abs(sensed - product.datatake_start) > _ONE_DAY:
            layers.notes.append(
                f"its datetime is {format_utc(sensed)}, but the product that it names is of "
                f"{format_utc(product.datatake_start)}, which was used"
            )
        properties = _properties(self, provider) | layers.properties
        return make_item(product, self.footprint, sensed, layers.assets, properties)


class _Layers:
    """The layers of an item: those that can be used, and why others cannot.

    Attributes
    ----------
    assets : dict of str to pystac.Asset
        By layer.
    refused : dict of str to str
        Layers that cannot be used, with the reason.
    notes : list of str
        Odd statements, and how they were treated.
    """

    def __init__(self, scene: StacScene, provider: Provider, product: ProductName):
        self.scene, self.provider, self.product = scene, provider, product
        self.assets: dict[str, pystac.Asset] = {}
        self.refused: dict[str, str] = {}
        self.notes: list[str] = []
        properties = scene.document["properties"]
        known = properties.get(REFUSED_LAYERS) if SOURCE in properties else None
        self.refused_before = known if isinstance(known, dict) else {}
        for layer, names in ASSET_NAMES.items():
            for name in names:
                asset = scene.document["assets"].get(name)
                if isinstance(asset, dict) and isinstance(asset.get("href"), str):
                    self._add(layer, asset)

    @property
    def properties(self) -> Json:
        """Properties of the item about its layers."""
        given = self.scene.document["properties"]
        notes = [*_texts(given.get(NOTES)), *self.notes]
        return {NOTES: notes or None, REFUSED_LAYERS: self.refused or None}

    def _add(self, layer: str, asset: Json) -> None:
        """Add a layer's asset, unless a better one is there.

        A file of this computer that a server names stays in the item, to be seen, but is refused.
        """
        if layer in self.assets and layer not in self.refused:
            return
        try:
            href = self.provider.href(resolve(asset["href"], self.scene.base))
            if not href:
                return
            self.assets[layer] = self._asset(layer, asset, href)
        except (ValueError, OSError) as error:  # OddStatementError, or an href that is no place
            self.refused.setdefault(layer, str(error))
            return
        if layer in self.refused_before:  # by a search of s2kit whose result was saved
            self.refused[layer] = str(self.refused_before[layer])
        elif is_remote(self.scene.base) and not is_far(href):
            self.refused[layer] = (
                f"{layer} lies at {asset['href']:.200}, a file of the computer that reads it; an "
                "item of a server may name URLs only (http, https, s3, gs, az)"
            )
        else:
            self.refused.pop(layer, None)

    def _asset(self, layer: str, asset: Json, href: str) -> pystac.Asset:
        nodata = _read_nodata(declared(asset, "nodata"))
        if layer in BANDS:
            read_scale(declared(asset, "scale"), layer)
            found = self.provider.offset(self.scene.document, asset, layer, self.product)
            made = make_asset(layer, href, offset=found.value, source=found.source, nodata=nodata)
        else:
            odd = odd_statement(layer, declared(asset, "scale"), declared(asset, "offset"))
            self.notes += [odd] if odd else []
            made = make_asset(layer, href, nodata=nodata)
        if isinstance(asset.get(SOURCE), str):
            made.extra_fields[SOURCE] = without_credentials(asset[SOURCE])
        return made


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _read_nodata(stated: object) -> float | None:
    """Return a DN of no data; what no DN can be (NaN, other text) marks nothing."""
    one = stated[0] if isinstance(stated, list) and len(stated) == 1 else stated
    return _number(one)


def _number(stated: object) -> float | None:
    """Return a finite number, also one that is written as text."""
    try:
        number = None if isinstance(stated, bool) else float(stated)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _no_band(scene: StacScene, layers: _Layers) -> str:
    bands = [reason for layer, reason in layers.refused.items() if layer in BANDS]
    if bands:
        return f"none of its bands can be used: {'; '.join(dict.fromkeys(bands))}"
    names = ", ".join(sorted(scene.document["assets"])) or "none"
    return f"none of its assets is a band in reach (found: {names})"


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


def _check_form(scene: StacScene) -> None:
    document = scene.document
    if not all(isinstance(document.get(key), dict) for key in ("properties", "assets")):
        raise SceneError(scene.label, "is no STAC item: it has no properties or no assets")


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


def _properties(scene: StacScene, provider: Provider) -> Json:
    """Return the properties that the product's name does not hold; None where they are unknown."""
    given = scene.document["properties"]
    made = _time(scene, "s2:generation_time")
    epsg = given.get("proj:epsg")
    collection = scene.document.get("collection") or ""
    return {
        "eo:cloud_cover": _number(given.get("eo:cloud_cover")),
        "s2:generation_time": format_utc(made) if made else None,
        "proj:code": given.get("proj:code") or (f"EPSG:{epsg}" if epsg else None),
        SOURCE: given.get(SOURCE) or f"{provider.name} {collection}".strip(),
        "s2kit:synthetic": given.get("s2kit:synthetic"),
    }


def _time(scene: StacScene, field: str) -> datetime | None:
    return read_time(scene.document["properties"], field, scene.label)
