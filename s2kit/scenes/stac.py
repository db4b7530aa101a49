"""STAC items, from a file, a static catalogue or an API, made into the one form of imagery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import pystac
import shapely
from pystac.utils import make_absolute_href
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from s2kit.errors import SceneError
from s2kit.scenes.item import BANDS, make_asset, make_item
from s2kit.scenes.product import ProductName, format_utc, read_utc
from s2kit.scenes.providers import ASSET_NAMES, Json, Provider, declared, provider_of

_BAD_GEOMETRY = (ValueError, TypeError, KeyError, IndexError, AttributeError, ShapelyError)


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
        """What reports call it."""
        return str(self.product or self.document.get("id") or self.base)

    @cached_property
    def product(self) -> ProductName | None:
        """The name of the product, wherever the provider keeps it."""
        properties = self.document.get("properties")
        known = properties if isinstance(properties, dict) else {}
        places = (known.get("s2:product_uri"), known.get("sentinel:product_id"))
        names = (ProductName.find(str(text)) for text in (*places, self.document.get("id")))
        return next(filter(None, names), None)

    @cached_property
    def footprint(self) -> BaseGeometry | None:
        """Outline of the valid pixels, degrees, where the item has one."""
        geometry = self.document.get("geometry")
        try:
            outline = shapely.force_2d(shape(geometry)) if geometry else None
            if outline is None or outline.is_empty or outline.is_valid:
                return outline or None
            return _mended(outline)
        except _BAD_GEOMETRY as error:
            raise SceneError(self.label, f"its geometry is no GeoJSON ({error})") from error

    def item(self) -> pystac.Item:
        """Make the canonical item.

        Raises
        ------
        SceneError
            If the scene cannot be used, with the reason.
        """
        _check_form(self)
        product = _usable_product(self)
        provider = provider_of(self.document)
        assets = dict(_assets(self, provider, product))
        if not any(band in assets for band in BANDS):
            names = ", ".join(sorted(self.document["assets"])) or "none"
            raise SceneError(self.label, f"none of its assets is a band in reach (found: {names})")
        sensed = _time(self, "datetime") or product.datatake_start
        return make_item(product, self.footprint, sensed, assets, _properties(self, provider))


def _mended(outline: BaseGeometry) -> BaseGeometry:
    mended = shapely.make_valid(outline, method="structure", keep_collapsed=False)
    if mended.is_empty:
        raise ValueError(shapely.is_valid_reason(outline))
    return mended


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
            "accepted: s2:product_uri, sentinel:product_id or an id of the form "
            "S2A_MSIL2A_20210601T105031_N0300_R051_T31UFT_20210601T135031",
        )
    if product.level != "L2A":
        raise SceneError(scene.label, f"is {product.level}, but only L2A can be used")
    return product


def _assets(
    scene: StacScene, provider: Provider, product: ProductName
) -> Iterator[tuple[str, pystac.Asset]]:
    found = scene.document["assets"]
    for layer, names in ASSET_NAMES.items():
        for name in names:
            href = _href(scene, provider, found.get(name))
            if href:
                yield layer, _asset(scene, provider, product, layer, found[name] | {"href": href})
                break


def _href(scene: StacScene, provider: Provider, asset: object) -> str:
    """Absolute href that GDAL opens; empty where there is none."""
    if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
        return ""
    href: str = asset["href"].removeprefix("file://")
    return href if href.startswith("/vsi") else provider.href(make_absolute_href(href, scene.base))


def _asset(
    scene: StacScene, provider: Provider, product: ProductName, layer: str, asset: Json
) -> pystac.Asset:
    if layer not in BANDS:
        scale = declared(asset, "scale") if layer == "WVP" else None
        return make_asset(layer, asset["href"], scale=scale)
    return make_asset(
        layer,
        asset["href"],
        scale=declared(asset, "scale"),
        offset=provider.offset(scene.document, asset, product),
        nodata=declared(asset, "nodata") or 0,
    )


def _properties(scene: StacScene, provider: Provider) -> Json:
    """Collect what the product's name does not tell; None where the item does not either."""
    given = scene.document["properties"]
    cloud = given.get("eo:cloud_cover")
    made = _time(scene, "s2:generation_time")
    epsg = given.get("proj:epsg")
    collection = scene.document.get("collection") or ""
    return {
        "eo:cloud_cover": cloud if isinstance(cloud, int | float) else None,
        "s2:generation_time": format_utc(made) if made else None,
        "proj:code": given.get("proj:code") or (f"EPSG:{epsg}" if epsg else None),
        "s2kit:source": given.get("s2kit:source") or f"{provider.name} {collection}".strip(),
        "s2kit:synthetic": given.get("s2kit:synthetic"),
    }


def _time(scene: StacScene, field: str) -> datetime | None:
    text = scene.document["properties"].get(field)
    try:
        return read_utc(text) if text else None
    except (ValueError, TypeError, OverflowError) as error:
        raise SceneError(scene.label, f"{field} is {text!r}, not a time") from error
