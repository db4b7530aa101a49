"""Sentinel-2 products as ESA ships them: `.SAFE` folders, read from their own XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, TypeVar
from xml.etree.ElementTree import Element, ParseError

import pystac
import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from shapely.geometry.base import BaseGeometry

from s2kit.errors import SceneError
from s2kit.scenes.files import METADATA_FILE, Files
from s2kit.scenes.footprint import read_footprint
from s2kit.scenes.item import BANDS, LAYERS, SOURCE, make_asset, make_item, require_band
from s2kit.scenes.product import ProductName, format_utc, read_utc
from s2kit.scenes.radiometry import (
    METADATA,
    RESOLUTION,
    SCALES,
    OddStatementError,
    needs_offset,
    read_offset,
    read_scale,
)

Value = TypeVar("Value")

BAND_IDS = dict(zip((*range(1, 9), 11, 12), BANDS, strict=True))
"""`band_id` of BOA_ADD_OFFSET to band (Sentinel-2 Products Specification Document)."""

_OLD = re.compile(r"_(USER|OPER)_PRD_MSI")
"""Part of the names of products of before December 2016."""

_WATER_VAPOUR = ("WVP_QUANTIFICATION_VALUE", "L2A_WVP_QUANTIFICATION_VALUE")
_QUANTIFICATION = ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
"""The second ones are those of Level-2Ap, products of 2017 and 2018 (PSD 14.2)."""

_LEVELS = ("Level-2A", "Level-2Ap")
_RASTERS = (".jp2", ".tif", ".tiff")

_AUXILIARY = {
    "SCL": ("IMG_DATA/R20m/*_SCL_20m", "IMG_DATA/*_SCL_20m"),
    "CLD": ("QI_DATA/MSK_CLDPRB_20m", "QI_DATA/*_CLD_20m", "IMG_DATA/R20m/*_CLD_20m"),
    "SNW": ("QI_DATA/MSK_SNWPRB_20m", "QI_DATA/*_SNW_20m", "IMG_DATA/R20m/*_SNW_20m"),
    "WVP": ("IMG_DATA/R20m/*_WVP_20m", "IMG_DATA/R10m/*_WVP_10m"),
}


@dataclass(frozen=True)
class Xml:
    """An XML document of a product. What is missing, or of another form, raises SceneError."""

    root: Element
    label: str

    @classmethod
    def open(cls, files: Files, name: str, label: str) -> Xml:
        """Read a file without document types, so that no entity is ever expanded."""
        short = PurePosixPath(name).name
        try:
            return cls(fromstring(files.read(name), forbid_dtd=True), label)
        except DefusedXmlException as error:
            reason = f"{short} declares a document type or entities, which is refused ({error})"
        except FileNotFoundError:
            reason = f"{short} is missing; download the product again"
        except (ParseError, OSError, ValueError, LookupError) as error:
            reason = f"{short} cannot be read ({error}); download the product again"
        raise SceneError(label, reason)

    def elements(self, *tags: str) -> Iterator[Element]:
        """Find all elements of some names, in whatever namespace."""
        for tag in tags:
            yield from self.root.iterfind(f".//{{*}}{tag}")

    def texts(self, *tags: str) -> Iterator[str]:
        """Find the texts of all elements of some names; of those without one, empty."""
        return ((element.text or "").strip() for element in self.elements(*tags))

    def text(self, *tags: str) -> str:
        """Find the first text of an element of a name, or of another one that it has had."""
        found = next(filter(None, self.texts(*tags)), None)
        if found is None:
            raise SceneError(self.label, f"its metadata have no {' or '.join(tags)}")
        return found

    def time(self, tag: str) -> datetime:
        """Read a time, UTC."""
        return self.read(read_utc, self.text(tag), tag)

    def number(self, *tags: str) -> float:
        """Read a number above 0, such as a quantification value."""
        number = self.read(float, self.text(*tags), tags[0])
        if not number > 0:
            raise SceneError(self.label, f"{tags[0]} is {number}, which must be above 0")
        return number

    def read(self, reader: Callable[[Any], Value], text: str | None, tag: str) -> Value:
        """Read the text of an element or attribute."""
        try:
            return reader(text)
        except (ValueError, TypeError) as error:
            raise SceneError(self.label, f"{tag} is {text!r} in its metadata ({error})") from error


@dataclass(frozen=True)
class SafeScene:
    """One SAFE product; its files are read when they are needed.

    Parameters
    ----------
    files : Files
        The product's folder, on disk or in a zip.
    """

    files: Files

    @property
    def label(self) -> str:
        """Name in reports."""
        return self.files.name.removesuffix(".SAFE")

    @cached_property
    def product(self) -> ProductName | None:
        """Name of the folder, or in the metadata if that was renamed; None if neither is one."""
        try:
            return ProductName.find(self.files.name) or self._inner_name
        except SceneError:  # `item` says what is wrong
            return None

    @cached_property
    def _inner_name(self) -> ProductName:
        uri = self.metadata.text("PRODUCT_URI", "PRODUCT_URI_2A")
        found = ProductName.find(uri)
        if found is None:
            raise SceneError(
                self.label, f"PRODUCT_URI {uri!r} is not a product name of 2017 or later"
            )
        return found

    @cached_property
    def metadata(self) -> Xml:
        """The product's metadata; the case of the file's name differs."""
        found = [name for name in self.files.names if METADATA_FILE.fullmatch(name)]
        if not found and _OLD.search(self.files.name):
            raise SceneError(
                self.label,
                "has the format of before December 2016; download its reprocessing (Collection 1), "
                "or run Sen2Cor on its Level-1C",
            )
        return Xml.open(self.files, found[0] if found else "MTD_MSIL2A.xml", self.label)

    @cached_property
    def footprint(self) -> BaseGeometry:
        """Outline of the valid pixels, degrees, in two parts if it crosses the antimeridian."""
        tag, metadata = "EXT_POS_LIST", self.metadata
        polygons = [metadata.read(_polygon, ring, tag) for ring in metadata.texts(tag)]
        if not polygons:
            raise SceneError(self.label, f"its metadata have no {tag} (footprint)")
        return shapely.union_all([read_footprint(polygon) for polygon in polygons])

    def item(self) -> pystac.Item:
        """Return the item in the form of `s2kit.scenes.item`.

        Raises
        ------
        SceneError
            If the product cannot be used, with the reason.
        """
        product = _agreed_name(self)
        tile = Xml.open(self.files, f"{_granule(self)}/MTD_TL.xml", self.label)
        _compare(self, "tile", f"T{product.tile}", _tile_code(tile))
        assets, refused = _assets(self, product)
        absent = "has no band file in IMG_DATA; download it again"
        require_band(self.label, assets, refused, absent)
        sensed = tile.time("SENSING_TIME")
        properties, notes = _properties(self.metadata, tile), _odd_water_vapour(self.metadata)
        return make_item(
            product, self.footprint, sensed, assets, properties, refused=refused, notes=notes
        )


def _polygon(text: str) -> shapely.Polygon:
    """Read a ring of EXT_POS_LIST, which gives latitude before longitude."""
    numbers = [float(number) for number in text.split()]
    if len(numbers) < 6:
        raise ValueError("fewer than three corners")
    return shapely.Polygon(zip(numbers[1::2], numbers[::2], strict=True))


def _agreed_name(scene: SafeScene) -> ProductName:
    """Return the product's name, once its folder, its metadata and the name itself agree."""
    metadata = scene.metadata
    level = metadata.text("PROCESSING_LEVEL")
    if level not in _LEVELS:
        reason = f"is {level}, but only Level-2A can be used; Sen2Cor makes it"
        raise SceneError(scene.label, reason)
    inside = scene._inner_name
    named = scene.product or inside
    for field in ("mission", "datatake_start", "baseline", "relative_orbit", "tile"):
        _compare(scene, field, getattr(named, field), getattr(inside, field))
    _compare(scene, "baseline", named.baseline, metadata.text("PROCESSING_BASELINE"))
    orbit = int(metadata.number("SENSING_ORBIT_NUMBER"))
    _compare(scene, "relative orbit", named.relative_orbit, orbit)
    return inside


def _compare(scene: SafeScene, field: str, named: object, found: object) -> None:
    if named != found:
        field = field.replace("_", " ")
        raise SceneError(scene.label, f"its name says {field} {named}, its metadata say {found}")


def _granule(scene: SafeScene) -> str:
    inside = (PurePosixPath(name).parts for name in scene.files.names)
    granules = {p[1] for p in inside if p[0] == "GRANULE" and len(p) > 2 and p[1][0] != "."}
    if len(granules) != 1:
        found = f"has {len(granules)} granules in GRANULE/ where one is expected"
        raise SceneError(scene.label, f"{found}; download it again")
    return f"GRANULE/{granules.pop()}"


def _tile_code(tile: Xml) -> str:
    """Return `T31UFT` from `S2A_OPER_MSI_L2A_TL_…_T31UFT_N05.09`."""
    identifier = tile.text("TILE_ID", "TILE_ID_2A")
    code = re.search(r"_(T\d{2}[A-Z]{3})_", identifier)
    return code[1] if code else identifier


def _properties(metadata: Xml, tile: Xml) -> dict[str, object]:
    tag = "Cloud_Coverage_Assessment"
    covers = (metadata.read(float, text, tag) for text in metadata.texts(tag))
    origins = metadata.texts("PRODUCT_ORIGIN")
    return {
        "s2:generation_time": format_utc(metadata.time("GENERATION_TIME")),
        "eo:cloud_cover": next(covers, None),
        "proj:code": tile.text("HORIZONTAL_CS_CODE"),
        SOURCE: "SAFE",
        "s2kit:synthetic": any("synthetic" in origin.lower() for origin in origins) or None,
    }


def _assets(
    scene: SafeScene, product: ProductName
) -> tuple[dict[str, pystac.Asset], dict[str, str]]:
    """Return the layers that can be used, and why others cannot."""
    quantification = scene.metadata.number(*_QUANTIFICATION)
    offsets = _offsets(scene.metadata, product)
    assets: dict[str, pystac.Asset] = {}
    refused: dict[str, str] = {}
    for layer, file in find_rasters(scene.files.names):
        href = scene.files.href(file)
        if layer not in BANDS:
            assets[layer] = make_asset(layer, href)
            continue
        try:
            read_scale(1 / quantification, layer)
            offset = read_offset(offsets.get(layer, 0) / quantification, layer)
            assets[layer] = make_asset(layer, href, offset=offset, source=METADATA)
        except OddStatementError as error:
            refused[layer] = str(error)
    return assets, refused


def find_rasters(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each layer that a product has, and its file in native resolution.

    Parameters
    ----------
    names : iterable of str
        Paths of all files inside the product.
    """
    rasters = [PurePosixPath(name) for name in names if name.endswith(_RASTERS)]
    # Sen2Cor run at 20 m only writes no R10m at all.
    fine = any("R10m" in file.parts for file in rasters)
    for layer in LAYERS:
        native = RESOLUTION[layer] if fine else 20
        patterns = _AUXILIARY.get(layer, (f"IMG_DATA/R{native}m/*_{layer}_{native}m",))
        found = [
            file for pattern in patterns for file in rasters if file.match(f"GRANULE/*/{pattern}.*")
        ]
        if found:
            yield layer, str(found[0])


def _odd_water_vapour(metadata: Xml) -> list[str]:
    """Return a note if the scale of water vapour is not Level-2A's; none if it is, or none is."""
    stated = next(metadata.texts(*_WATER_VAPOUR), None)
    known = f"{1 / SCALES['WVP']:.0f}"
    if stated is None or stated.removesuffix(".0") == known:
        return []
    return [f"{_WATER_VAPOUR[0]} is {stated!r}; Level-2A has {known}, which was used"]


def _offsets(metadata: Xml, product: ProductName) -> dict[str, float]:
    """Return BOA_ADD_OFFSET by band, in DN; raise SceneError if those of some bands are missing."""
    tag, found = "BOA_ADD_OFFSET", {}
    for element in metadata.elements(tag):
        band = BAND_IDS.get(metadata.read(int, element.get("band_id"), "band_id"), "unknown")
        found[band] = metadata.read(float, element.text, tag)
    # Sen2Cor at home writes baseline 99.99, and offsets only where its L1C had some.
    expected = bool(found) or needs_offset(product.baseline)
    missing = [band for band in BANDS if band not in found]
    if expected and missing:
        reason = f"baseline {product.baseline}, but {tag} is missing for {', '.join(missing)}"
        raise SceneError(metadata.label, reason)
    return found
