"""Rules of each provider of STAC items: names of assets, offsets and hrefs.

Sources of the rules: Element84/earth-search issues 9, 24, 66 and 71 (`boa_offset_applied`),
the Planetary Computer's documentation on signing, GDAL's on `/vsicurl` and `/vsis3`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from s2kit.scenes.item import OFFSET_SOURCE, SOURCE
from s2kit.scenes.product import ProductName
from s2kit.scenes.radiometry import (
    BASELINE,
    DECLARED,
    FLAG,
    RELIABLE,
    OddStatementError,
    Offset,
    offset_of_baseline,
    read_baseline,
    read_offset,
)
from s2kit.scenes.uri import gdal_name

Json = dict[str, Any]

APIS: dict[str, tuple[str, tuple[str, ...]]] = {
    "earth-search": (
        "https://earth-search.aws.element84.com/v1",
        ("sentinel-2-c1-l2a", "sentinel-2-l2a"),
    ),
    "planetary-computer": (
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        ("sentinel-2-l2a",),
    ),
    "copernicus": ("https://stac.dataspace.copernicus.eu/v1", ("sentinel-2-l2a",)),
}
"""Name of a source to its API and collections, the best first.

This is where `find_scenes` searches. How an item that it finds is read depends on what the item
holds, not on this name: see `PROVIDERS`.

Earth Search keeps most scenes twice and some only in one of the two; of the same product the
Collection 1 copy is used, whose offset is stated reliably.
"""

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

_PAID_BUCKET = "s3://sentinel-s2-l2a/"
_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline")
_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")

_OF_THE_CATALOGUE = ("self", "root", "parent", "collection")
"""Links to where an item is from; others may lead to what it was derived from."""


@dataclass(frozen=True)
class Provider:
    """Rules by which one provider's items are recognised and read.

    Parameters
    ----------
    name : str
        For reports.
    marks : tuple of str
        Beginnings of property names, or parts of hrefs, that its items have and those of providers
        that come later in `PROVIDERS` do not.
    offset : callable
        ``(item, asset, layer, product) -> Offset``: the offset still to be applied to a band.
    href : callable
        ``(absolute href) -> str`` that GDAL opens, or ``""`` for one that is out of reach. As
        `gdal_name` returns it, an ``s3://`` URL needs a region, and keys, in the environment.
    """

    name: str
    marks: tuple[str, ...]
    offset: Callable[[Json, Json, str, ProductName], Offset]
    href: Callable[[str], str]


def provider_of(item: Json) -> Provider:
    """Return the provider of an item, by the fields and hrefs that it holds."""
    if SOURCE in item["properties"]:
        return CANONICAL
    assets = [asset.get("href") for asset in item["assets"].values() if isinstance(asset, dict)]
    links = [one["href"] for one in link_objects(item) if str(one.get("rel")) in _OF_THE_CATALOGUE]
    stated = json.dumps([list(item["properties"]), links, assets])
    return next((one for one in PROVIDERS if any(mark in stated for mark in one.marks)), ANY)


def link_objects(document: Json) -> list[Json]:
    """Return the links of a document that lead somewhere."""
    links = document.get("links")
    found = links if isinstance(links, list) else []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("href"), str)]


def declared(asset: Json, field: str) -> Any:
    """Return `nodata`, `scale` or `offset` from any of the places where STAC has kept them."""
    prefixed = field if field == "nodata" else f"raster:{field}"
    value = asset.get(prefixed)
    if value is None:
        value = _first_band(asset, "bands").get(prefixed)
    return _first_band(asset, "raster:bands").get(field) if value is None else value


def _first_band(asset: Json, key: str) -> Json:
    bands = asset.get(key)
    return bands[0] if isinstance(bands, list) and bands and isinstance(bands[0], dict) else {}


def _known_baseline(item: Json, product: ProductName) -> float | None:
    """Return the baseline that the item states, or else that of the product's name.

    STAC's ``processing:version`` is that of any software; Copernicus has the baseline there. Where
    it contradicts the name about the offset, nothing is known.
    """
    properties = item["properties"]
    for name in _BASELINES:
        if (own := read_baseline(properties.get(name))) is not None:
            return own
    version = read_baseline(properties.get("processing:version"))
    named = read_baseline(product.baseline)
    if version is None or named is None:
        return named if version is None else version
    return version if offset_of_baseline(version) == offset_of_baseline(named) else None


def _as_original(item: Json, asset: Json, layer: str, product: ProductName) -> Offset:
    """Return what ESA's own pixels need: as the asset declares, or else as the baseline says."""
    stated = declared(asset, "offset")
    if stated is not None:
        return Offset(read_offset(stated, layer), DECLARED)
    baseline = _known_baseline(item, product)
    if baseline is None:
        raise _silent(product)
    return Offset(offset_of_baseline(baseline), BASELINE)


def _as_declared(item: Json, asset: Json, layer: str, product: ProductName) -> Offset:
    """Return what the asset states; if it states nothing, the baseline must have no offset."""
    found = _as_original(item, asset, layer, product)
    if found.source == BASELINE and found.value:
        raise _silent(product)
    return found


def _silent(product: ProductName) -> OddStatementError:
    return OddStatementError(
        f"baseline {product.baseline} and no raster:offset: its pixels may or may not be shifted; "
        "state raster:offset in the assets"
    )


def _as_flagged(item: Json, asset: Json, layer: str, product: ProductName) -> Offset:
    """Return the offset by the flag that it was applied already, and otherwise by the baseline.

    ``raster:bands`` states -0.1 in either case, except in Collection 1, which has no flag.
    """
    if "c1-l2a" in str(item.get("collection")):
        return _as_original(item, asset, layer, product)
    properties = item["properties"]
    if any(_is_true(name, properties.get(name), layer) for name in _FLAGS):
        return Offset(0.0, FLAG)
    baseline = _known_baseline(item, product)
    if baseline is None:
        return replace(_as_original(item, asset, layer, product), source=FLAG)
    return Offset(offset_of_baseline(baseline), FLAG)


def _is_true(name: str, stated: Any, layer: str) -> bool:
    """Read a flag, also as text; None is false."""
    known = {"true": True, "1": True, "false": False, "0": False, "none": False}
    found = known.get(str(stated).strip().casefold())
    if found is None:
        raise OddStatementError(f"{layer} cannot be used: {name} is {stated!r}, not true or false")
    return found


def _as_found(item: Json, asset: Json, layer: str, product: ProductName) -> Offset:
    """Return the offset and its source that `find_scenes` has written."""
    found = _as_declared(item, asset, layer, product)
    source = asset.get(OFFSET_SOURCE)
    return replace(found, source=source) if source in RELIABLE else found


def _earth_search_href(href: str) -> str:
    """Return the name for GDAL; empty where the requester pays, unless GDAL is set to pay."""
    free = not href.startswith(_PAID_BUCKET) or os.environ.get("AWS_REQUEST_PAYER") == "requester"
    return gdal_name(href) if free else ""


def _planetary_href(href: str) -> str:
    """Return the name by which GDAL signs the URL itself; an old token is cut."""
    url = urlsplit(href)
    if not url.netloc.endswith(".blob.core.windows.net"):
        return gdal_name(href)
    plain = quote(f"https://{url.netloc}{url.path}", safe="")
    return f"/vsicurl?pc_url_signing=yes&pc_collection=sentinel-2-l2a&url={plain}"


PROVIDERS = (
    Provider(
        "earth-search",
        ("earthsearch:", "sentinel:product_id", "earth-search.aws.element84.com"),
        _as_flagged,
        _earth_search_href,
    ),
    Provider(
        "planetary-computer",
        ("planetarycomputer.microsoft.com", "sentinel2l2a01.blob.core.windows.net"),
        _as_original,
        _planetary_href,
    ),
    Provider(
        "copernicus", ("stac.dataspace.copernicus.eu", "s3://eodata/"), _as_original, gdal_name
    ),
    Provider("eopf", (".zarr/measurements/reflectance/",), _as_original, gdal_name),
)
"""The providers with rules of their own; an item is read by the first whose marks it has."""

ANY = Provider("stac", (), _as_declared, gdal_name)
"""Any other provider: its items must state the offset that is still to be applied."""

CANONICAL = Provider("stac", (), _as_found, gdal_name)
"""An item that `find_scenes` has made, saved and read again."""
