"""What is peculiar to each provider of STAC items: names, offsets and hrefs end here.

Sources of the rules: Element84/earth-search issues 9, 24, 66 and 71 (`boa_offset_applied`),
the Planetary Computer's documentation on signing, GDAL's on `/vsicurl` and `/vsis3`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from s2kit.errors import SceneError
from s2kit.scenes.product import ProductName

Json = dict[str, Any]

ASSET_NAMES: dict[str, tuple[str, ...]] = {
    "B02": ("B02", "blue", "B02_10m"),
    "B03": ("B03", "green", "B03_10m"),
    "B04": ("B04", "red", "B04_10m"),
    "B05": ("B05", "rededge1", "B05_20m"),
    "B06": ("B06", "rededge2", "B06_20m"),
    "B07": ("B07", "rededge3", "B07_20m"),
    "B08": ("B08", "nir", "B08_10m"),
    "B8A": ("B8A", "nir08", "B8A_20m"),
    "B11": ("B11", "swir16", "B11_20m"),
    "B12": ("B12", "swir22", "B12_20m"),
    "SCL": ("SCL", "scl", "SCL_20m"),
    "CLD": ("CLD", "cloud", "CLD_20m"),
    "SNW": ("SNW", "snow", "SNW_20m"),
    "WVP": ("WVP", "wvp", "WVP_20m", "WVP_10m"),
}
"""Layer to the names that providers give its asset, best first: COGs, native resolution.

The ``…-jp2`` twins in Earth Search are left out: they lie in another bucket, where the requester
pays, and the offset that the item speaks of was applied to the COGs only.
"""

_RAW_OFFSET = -0.1
_PAID_BUCKET = "s3://sentinel-s2-l2a/"


@dataclass(frozen=True)
class Provider:
    """How one provider's items are told apart and read.

    Parameters
    ----------
    name : str
        For reports.
    marks : tuple of str
        Beginnings of property names, or parts of hrefs, that only its items have.
    offset : callable
        ``(item, asset, product) -> float``: the offset still to be applied, in reflectance.
    href : callable
        ``(absolute href) -> str`` that GDAL opens, or ``""`` for one that is out of reach.
    """

    name: str
    marks: tuple[str, ...]
    offset: Callable[[Json, Json, ProductName], float]
    href: Callable[[str], str]

    def made(self, item: Json) -> bool:
        """Whether an item is this provider's."""
        assets = [asset.get("href") for asset in item["assets"].values() if isinstance(asset, dict)]
        told = json.dumps([list(item["properties"]), item.get("links"), assets])
        return any(mark in told for mark in self.marks)


def provider_of(item: Json) -> Provider:
    """Tell whose item it is, from what it says itself."""
    if "s2kit:source" in item["properties"]:
        return ANY
    return next((provider for provider in PROVIDERS if provider.made(item)), ANY)


def declared(asset: Json, field: str) -> float | None:
    """Read `nodata`, `scale` or `offset` from any of the places where STAC has kept them."""
    old = _first_band(asset, "raster:bands").get(field)
    prefixed = field if field == "nodata" else f"raster:{field}"
    new = asset.get(prefixed, _first_band(asset, "bands").get(prefixed))
    value = old if new is None else new
    return float(value) if isinstance(value, int | float) else None


def _first_band(asset: Json, key: str) -> Json:
    bands = asset.get(key)
    return bands[0] if isinstance(bands, list) and bands and isinstance(bands[0], dict) else {}


def _by_baseline(item: Json, asset: Json, product: ProductName) -> float:
    """ESA's own pixels."""
    return _RAW_OFFSET if product.shifted else 0.0


def _as_declared(item: Json, asset: Json, product: ProductName) -> float:
    """Believe the asset; silence is clear only for pixels that never had an offset."""
    offset = declared(asset, "offset")
    if offset is None and product.shifted:
        reason = f"baseline {product.baseline} and no raster:offset: its pixels may or may not be"
        raise SceneError(str(product), f"{reason} shifted; state raster:offset in the assets")
    return offset or 0.0


def _earth_search_offset(item: Json, asset: Json, product: ProductName) -> float:
    """Believe the flag before raster:bands, which says -0.1 even where it is applied already."""
    properties = item["properties"]
    flags = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
    if any(properties.get(flag) is True for flag in flags):
        return 0.0
    if "c1-l2a" in str(item.get("collection")):
        return _as_declared(item, asset, product)
    return _by_baseline(item, asset, product)


def _gdal_href(href: str) -> str:
    scheme, _, rest = href.partition("://")
    return {"s3": "/vsis3/", "gs": "/vsigs/"}[scheme] + rest if scheme in ("s3", "gs") else href


def _earth_search_href(href: str) -> str:
    """Requester-pays objects only for who has told GDAL to pay."""
    free = not href.startswith(_PAID_BUCKET) or os.environ.get("AWS_REQUEST_PAYER") == "requester"
    return _gdal_href(href) if free else ""


def _planetary_href(href: str) -> str:
    """GDAL signs, and signs again when the token has run out; an old token is dropped."""
    url = urlsplit(href)
    if not url.netloc.endswith(".blob.core.windows.net"):
        return _gdal_href(href)
    plain = quote(f"https://{url.netloc}{url.path}", safe="")
    return f"/vsicurl?pc_url_signing=yes&pc_collection=sentinel-2-l2a&url={plain}"


PROVIDERS = (
    Provider(
        "earth-search",
        ("earthsearch:", "sentinel:product_id", "earth-search.aws.element84.com"),
        _earth_search_offset,
        _earth_search_href,
    ),
    Provider(
        "planetary-computer",
        ("planetarycomputer.microsoft.com", "sentinel2l2a01.blob.core.windows.net"),
        _by_baseline,
        _planetary_href,
    ),
    Provider(
        "copernicus",
        ("stac.dataspace.copernicus.eu", "s3://eodata/"),
        _by_baseline,
        _gdal_href,
    ),
)
"""Whose peculiarities are known."""

ANY = Provider("stac", (), _as_declared, _gdal_href)
"""Any other: it must say itself what is still to be applied."""
