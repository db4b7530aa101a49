"""Sentinel-2 products in EOPF Zarr, the successor of SAFE: a folder of Zarr 2 arrays.

The form is that of ESA's EOPF Sentinel Zarr Samples: reflectances in
``measurements/reflectance/r10m`` and ``r20m``, classes and probabilities in ``conditions`` and
``quality``, and the description of the product as a STAC item in the attribute ``stac_discovery``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pystac
from shapely.geometry.base import BaseGeometry

from s2kit.errors import SceneError
from s2kit.scenes.files import Files
from s2kit.scenes.footprint import read_geometry
from s2kit.scenes.item import BANDS, SOURCE, make_asset, make_item, require_band
from s2kit.scenes.product import ProductName, format_utc, read_time
from s2kit.scenes.providers import Json
from s2kit.scenes.radiometry import (
    METADATA,
    RESOLUTION,
    OddStatementError,
    needs_offset,
    odd_statement,
    read_offset,
    read_scale,
)

ARRAYS = {
    band: f"measurements/reflectance/r{RESOLUTION[band]}m/{band.lower()}" for band in BANDS
} | {
    "SCL": "conditions/mask/l2a_classification/r20m/scl",
    "CLD": "quality/probability/r20m/cld",
    "SNW": "quality/probability/r20m/snw",
    "WVP": "quality/atmosphere/r20m/wvp",
}
"""Layer to its array, at native resolution."""

_BAD = (ValueError, OSError, RecursionError)


@dataclass(frozen=True)
class EopfScene:
    """One product in EOPF Zarr.

    Parameters
    ----------
    files : Files
        The product's folder, on disk or in a zip.
    """

    files: Files

    @property
    def label(self) -> str:
        """Name in reports."""
        return self.files.name.removesuffix(".zarr").removesuffix(".SAFE")

    @property
    def is_product(self) -> bool:
        """Whether the store describes itself as a product; another Zarr store is none."""
        return ProductName.find(self.files.name) is not None or bool(self._discovery)

    @cached_property
    def product(self) -> ProductName | None:
        """Name of the product, from its id or else from the folder's name."""
        return ProductName.find(str(self._discovery.get("id"))) or ProductName.find(self.files.name)

    @cached_property
    def footprint(self) -> BaseGeometry | None:
        """Outline of the valid pixels, degrees; the corners of the bbox are not in STAC's order."""
        return read_geometry(self._discovery.get("geometry"), self.label)

    def item(self) -> pystac.Item:
        """Return the item in the form of `s2kit.scenes.item`.

        Raises
        ------
        SceneError
            If the product cannot be used, with the reason.
        """
        product = self._usable_product()
        assets: dict[str, pystac.Asset] = {}
        refused: dict[str, str] = {}
        notes: list[str] = []
        for layer, path in ARRAYS.items():
            if not self._document(f"{path}/.zarray"):
                continue
            stated = self._document(f"{path}/.zattrs")
            # ESA's software keeps what an array states of its values in _eopf_attrs too
            stated = _dict(stated.get("_eopf_attrs")) | stated
            if layer not in BANDS:
                odd = odd_statement(layer, stated.get("scale_factor"), stated.get("add_offset"))
                notes += [odd] if odd else []
            try:
                assets[layer] = self._asset(product, layer, path, stated)
            except OddStatementError as error:
                refused[layer] = str(error)
        absent = "none of its bands can be used: there is none in measurements"
        require_band(self.label, assets, refused, absent)
        stated = self._discovery["properties"]
        cloud, epsg = stated.get("eo:cloud_cover"), stated.get("proj:epsg")
        made, *times = (
            read_time(stated, field, self.label)
            for field in ("created", "datetime", "start_datetime")
        )
        properties = {
            "eo:cloud_cover": cloud if isinstance(cloud, int | float) else None,
            "s2:generation_time": format_utc(made) if made else None,
            "proj:code": f"EPSG:{epsg}" if isinstance(epsg, int) else None,
            SOURCE: "EOPF",
        }
        sensed = next(filter(None, times), product.datatake_start)
        return make_item(
            product, self.footprint, sensed, assets, properties, refused=refused, notes=notes
        )

    def _usable_product(self) -> ProductName:
        if self._zarr_3:
            raise SceneError(
                self.label,
                "is in Zarr format 3; only EOPF products in format 2 can be used, as ESA's samples "
                "are. Convert it, or give the same product as SAFE",
            )
        if not self._discovery:
            raise SceneError(
                self.label, "has no attribute stac_discovery; download the product again"
            )
        product = self.product
        if product is None or product.level != "L2A":
            found = self._discovery.get("id")
            raise SceneError(self.label, f"its id is {found!r}, not the name of a Level-2A product")
        return product

    def _asset(self, product: ProductName, layer: str, path: str, stated: Json) -> pystac.Asset:
        href = f'ZARR:"{self.files.href("").rstrip("/")}":/{path}'
        if layer not in BANDS:
            return make_asset(layer, href)
        read_scale(stated.get("scale_factor"), layer)
        if "add_offset" not in stated and needs_offset(product.baseline):
            raise OddStatementError(
                f"{layer} states no add_offset, and products of baseline {product.baseline} have "
                "one: its pixels may or may not be shifted. Download the product again"
            )
        offset = read_offset(stated.get("add_offset", 0), layer)
        return make_asset(layer, href, offset=offset, source=METADATA)

    @cached_property
    def _discovery(self) -> Json:
        attributes = self._document(".zattrs") or _dict(self._zarr_3.get("attributes"))
        found = _dict(attributes.get("stac_discovery"))
        return found if isinstance(found.get("properties"), dict) else {}

    @cached_property
    def _zarr_3(self) -> Json:
        return self._read("zarr.json")

    @cached_property
    def _consolidated(self) -> Json:
        return _dict(self._read(".zmetadata").get("metadata"))

    def _document(self, name: str) -> Json:
        """Return a metadata document of the store; empty where there is none."""
        return _dict(self._consolidated.get(name)) if self._consolidated else self._read(name)

    def _read(self, name: str) -> Json:
        try:
            return _dict(json.loads(self.files.read(name)))
        except FileNotFoundError:
            return {}
        except _BAD as error:
            raise SceneError(
                self.label, f"{name} cannot be read ({error}); download the product again"
            ) from error


def _dict(found: Any) -> Json:
    return found if isinstance(found, dict) else {}
