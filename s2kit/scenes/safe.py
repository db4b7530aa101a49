"""Sentinel-2 products as ESA ships them: `.SAFE` folders, read from their own XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element

import pystac
from shapely.geometry.base import BaseGeometry

from s2kit.errors import CatalogueError, SceneError
from s2kit.scenes.item import BANDS, make_asset, make_item
from s2kit.scenes.product import ProductName, format_utc
from s2kit.scenes.safe_xml import (
    find_all,
    find_footprint,
    find_number,
    find_text,
    find_time,
    read_value,
    read_xml,
)

BAND_IDS = {1: "B02", 2: "B03", 3: "B04", 4: "B05", 5: "B06", 6: "B07", 7: "B08"} | {
    8: "B8A",
    11: "B11",
    12: "B12",
}
"""`band_id` of BOA_ADD_OFFSET to band (Sentinel-2 Products Specification Document)."""

_METADATA = re.compile(r"MTD_MSIL(1C|2A)\.xml", re.IGNORECASE)
_LEVELS = ("Level-2A", "Level-2Ap")
_RASTERS = (".jp2", ".tif", ".tiff")
_TOOLBOX_BASELINE = "99.99"

_TEN_METRE = ("B02", "B03", "B04", "B08")
_AUXILIARY = {
    "SCL": ("IMG_DATA/R20m/*_SCL_20m", "IMG_DATA/*_SCL_20m"),
    "CLD": ("QI_DATA/MSK_CLDPRB_20m", "QI_DATA/*_CLD_20m", "IMG_DATA/R20m/*_CLD_20m"),
    "SNW": ("QI_DATA/MSK_SNWPRB_20m", "QI_DATA/*_SNW_20m", "IMG_DATA/R20m/*_SNW_20m"),
    "WVP": ("IMG_DATA/R20m/*_WVP_20m", "IMG_DATA/R10m/*_WVP_10m"),
}


@dataclass(frozen=True)
class SafeScene:
    """One `.SAFE` folder; nothing in it is read before it is asked for.

    Parameters
    ----------
    folder : pathlib.Path
        The product's folder.
    """

    folder: Path

    @property
    def label(self) -> str:
        """What reports call it."""
        return self.folder.name.removesuffix(".SAFE")

    @property
    def product(self) -> ProductName | None:
        """What the folder's name says."""
        return ProductName.find(self.folder.name)

    @cached_property
    def metadata(self) -> Element:
        """The root of the product's metadata; the case of the file's name differs."""
        files = sorted(file for file in self.folder.iterdir() if _METADATA.fullmatch(file.name))
        return read_xml(files[0] if files else self.folder / "MTD_MSIL2A.xml", self.label)

    @cached_property
    def footprint(self) -> BaseGeometry:
        """Outline of the valid pixels, degrees."""
        return find_footprint(self.metadata, self.label)

    def item(self) -> pystac.Item:
        """Make the canonical item.

        Raises
        ------
        SceneError
            If the product cannot be used, with the reason.
        """
        product = _agreed_name(self)
        granule = _granule(self)
        tile = read_xml(granule / "MTD_TL.xml", self.label)
        _compare(self, "tile", f"T{product.tile}", _tile_code(self, tile))
        assets = _bands(self, granule, product) | _auxiliary(self, granule)
        if not any(band in assets for band in BANDS):
            raise SceneError(self.label, "has no band file in IMG_DATA; download it again")
        sensed = find_time(tile, "SENSING_TIME", self.label)
        return make_item(product, self.footprint, sensed, assets, _properties(self, tile))


def find_products(path: Path) -> Iterator[SafeScene]:
    """Find the products in a folder and in the folders in it, or the one product that it is.

    Raises
    ------
    CatalogueError
        If there is none.
    """
    try:
        folders = [path] if _is_product(path) else sorted(_products_below(path))
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read ({error}).") from error
    if not folders:
        zipped = sum(1 for _ in path.glob("*.zip"))
        raise CatalogueError(
            f"{path} holds no .SAFE product. Accepted: a folder of L2A .SAFE folders, one .SAFE "
            f"folder, or a STAC .json file."
            + (f" Unzip the {zipped} .zip files in it first." if zipped else "")
        )
    return map(SafeScene, folders)


def _products_below(path: Path) -> Iterator[Path]:
    for child in filter(Path.is_dir, path.iterdir()):
        if _is_product(child):
            yield child
        else:
            yield from filter(_is_product, child.iterdir())


def _is_product(path: Path) -> bool:
    return path.is_dir() and (
        path.name.upper().endswith(".SAFE")
        or any(_METADATA.fullmatch(file.name) for file in path.iterdir())
    )


def _agreed_name(scene: SafeScene) -> ProductName:
    """Return the product's name, once its folder, its metadata and the name itself agree."""
    root, label = scene.metadata, scene.label
    level = find_text(root, "PROCESSING_LEVEL", label)
    if level not in _LEVELS:
        raise SceneError(label, f"is {level}, but only Level-2A can be used; Sen2Cor makes it")
    uri = find_text(root, "PRODUCT_URI", label)
    inside = ProductName.find(uri)
    if inside is None:
        raise SceneError(label, f"PRODUCT_URI {uri!r} is not a product name of 2017 or later")
    named = scene.product or inside
    for field in ("mission", "datatake_start", "baseline", "relative_orbit", "tile"):
        _compare(scene, field, getattr(named, field), getattr(inside, field))
    _compare(scene, "baseline", named.baseline, find_text(root, "PROCESSING_BASELINE", label))
    orbit = find_number(root, "SENSING_ORBIT_NUMBER", label)
    _compare(scene, "relative orbit", named.relative_orbit, int(orbit))
    return inside


def _compare(scene: SafeScene, field: str, named: object, found: object) -> None:
    if named != found:
        field = field.replace("_", " ")
        raise SceneError(scene.label, f"its name says {field} {named}, its metadata say {found}")


def _granule(scene: SafeScene) -> Path:
    granules = sorted(scene.folder.glob("GRANULE/[!.]*/"))
    if len(granules) != 1:
        found = f"has {len(granules)} granules in GRANULE/ where one is expected"
        raise SceneError(scene.label, f"{found}; download it again")
    return granules[0]


def _tile_code(scene: SafeScene, tile: Element) -> str:
    """`T31UFT` from `S2A_OPER_MSI_L2A_TL_…_T31UFT_N05.09`."""
    identifier = find_text(tile, "TILE_ID", scene.label)
    code = re.search(r"_(T\d{2}[A-Z]{3})_", identifier)
    return code[1] if code else identifier


def _properties(scene: SafeScene, tile: Element) -> dict[str, object]:
    root, label = scene.metadata, scene.label
    clouds = [element.text for element in find_all(root, "Cloud_Coverage_Assessment")]
    origins = [element.text or "" for element in find_all(root, "PRODUCT_ORIGIN")]
    return {
        "s2:generation_time": format_utc(find_time(root, "GENERATION_TIME", label)),
        "eo:cloud_cover": read_value(float, clouds[0], "Cloud_Coverage_Assessment", label)
        if clouds
        else None,
        "proj:code": find_text(tile, "HORIZONTAL_CS_CODE", label),
        "s2kit:source": "SAFE",
        "s2kit:synthetic": any("synthetic" in origin.lower() for origin in origins) or None,
    }


def _bands(scene: SafeScene, granule: Path, product: ProductName) -> dict[str, pystac.Asset]:
    quantification = find_number(scene.metadata, "BOA_QUANTIFICATION_VALUE", scene.label)
    offsets = _offsets(scene, product)
    return {
        band: make_asset(
            band,
            str(file),
            scale=1 / quantification,
            offset=offsets.get(band, 0) / quantification,
        )
        for band in BANDS
        if (file := _first(granule, [_band_pattern(granule, band)]))
    }


def _auxiliary(scene: SafeScene, granule: Path) -> dict[str, pystac.Asset]:
    """Classification, probabilities and water vapour."""
    found = {layer: _first(granule, patterns) for layer, patterns in _AUXILIARY.items()}
    assets = {layer: make_asset(layer, str(file)) for layer, file in found.items() if file}
    if "WVP" in assets:
        quantification = find_number(scene.metadata, "WVP_QUANTIFICATION_VALUE", scene.label)
        assets["WVP"].extra_fields["raster:scale"] = 1 / quantification
    return assets


def _band_pattern(granule: Path, band: str) -> str:
    """Where a band's native resolution lies; Sen2Cor run at 20 m only writes no R10m at all."""
    native = 10 if band in _TEN_METRE and (granule / "IMG_DATA" / "R10m").is_dir() else 20
    return f"IMG_DATA/R{native}m/*_{band}_{native}m"


def _first(granule: Path, patterns: list[str] | tuple[str, ...]) -> Path | None:
    files = (file for pattern in patterns for file in sorted(granule.glob(f"{pattern}.*")))
    wanted = (file for file in files if file.suffix in _RASTERS and file.name[0] != ".")
    return next((file.absolute() for file in wanted), None)


def _offsets(scene: SafeScene, product: ProductName) -> dict[str, float]:
    """BOA_ADD_OFFSET per band, in DN."""
    tag, label = "BOA_ADD_OFFSET", scene.label
    found = {
        BAND_IDS.get(read_value(int, element.get("band_id"), "band_id", label), "unknown"): (
            read_value(float, element.text, tag, label)
        )
        for element in find_all(scene.metadata, tag)
    }
    # Sen2Cor at home writes baseline 99.99, and offsets only where its L1C had some.
    expected = bool(found) or (product.shifted and product.baseline != _TOOLBOX_BASELINE)
    missing = [band for band in BANDS if band not in found]
    if expected and missing:
        reason = f"baseline {product.baseline}, but {tag} is missing for {', '.join(missing)}"
        raise SceneError(label, reason)
    return found
