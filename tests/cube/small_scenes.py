"""Small scenes in real forms: COG and JP2 bands, items of Earth Search, SAFE products."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from affine import Affine
from pyproj import Transformer
from shapely.geometry import box, mapping

from s2kit.practice import metadata
from s2kit.practice.geometry import Tile
from s2kit.practice.overpasses import Overpass
from s2kit.practice.products import Product
from s2kit.scenes.item import BANDS, make_asset, make_item
from s2kit.scenes.product import ProductName
from s2kit.scenes.radiometry import offset_of_baseline, read_baseline

CRS = "EPSG:32631"
WEST, NORTH = 600_000, 5_770_000
SIDE = 128
"""Pixels of 10 m along one side of a scene: 1280 m."""

FIRST = datetime(2021, 6, 1, 10, 50, 31, tzinfo=UTC)
LAYERS = ("B02", "B04", "B08", "SCL")
TEN_METRES = ("B02", "B03", "B04", "B08")
DRIVERS = {
    "tif": {"driver": "COG", "COMPRESS": "DEFLATE", "BLOCKSIZE": "128", "OVERVIEWS": "NONE"},
    "jp2": {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"},
}

Layers = dict[str, np.ndarray]


def degrees(west: float, south: float, east: float, north: float) -> tuple[float, ...]:
    """Return a box in degrees that lies just inside a box in metres UTM 31N."""
    to_degrees = Transformer.from_crs(CRS, 4326, always_xy=True).transform
    xs, ys = to_degrees([west, west, east, east], [south, north, south, north])
    return max(xs[:2]), max(ys[::2]), min(xs[2:]), min(ys[1::2])


AOI = degrees(WEST + 105, NORTH - 1095, WEST + 1095, NORTH - 105)
"""About 100 × 100 pixels, 100 m inside a scene's edges, in the middle of its pixels."""

FOOTPRINT = box(*degrees(WEST, NORTH - 10 * SIDE, WEST + 10 * SIDE, NORTH)).buffer(1e-3)


def ground(seed: int, side: int = SIDE) -> Layers:
    """Make up the stored values (reflectance × 10 000) and classes of one day.

    West of the middle lies vegetation, east of it dark water whose infrared is negative; clouds
    lie in the north, and a column is without data in all layers.
    """
    rng = np.random.default_rng(seed)
    cols = np.arange(side)[None, :] + np.zeros((side, 1), int)
    water = cols > side // 2
    values = {
        "B02": np.where(water, 60, 300),
        "B03": np.where(water, 50, 500),
        "B04": np.where(water, 10, 250),
        "B08": np.where(water, -120, 3500),
    }
    stored = {name: v + rng.integers(-40, 40, (side, side)) for name, v in values.items()}
    classes = np.where(water, 6, 4)[::2, ::2].astype("uint8")
    classes[: side // 8] = 9
    for name in stored:
        stored[name][: side // 4] += 5000
    return stored | {"SCL": classes}


def digital(stored: Layers, shift: int) -> Layers:
    """Turn stored values into DN: ``shift`` added, at least 1, since 0 is no data."""
    return {
        name: v if v.dtype == np.uint8 else np.clip(v + shift, 1, 65535).astype("uint16")
        for name, v in stored.items()
    }


def write_band(path: Path, values: np.ndarray, **options: Any) -> Path:
    """Write one band, by its suffix as COG or JP2; options override what rasterio is told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    pixel = 20 if height <= SIDE // 2 else 10
    profile = {
        **DRIVERS[path.suffix[1:]],
        "count": 1,
        "height": height,
        "width": width,
        "crs": CRS,
        "dtype": values.dtype,
        "transform": Affine(pixel, 0, WEST, 0, -pixel, NORTH),
    } | options
    with rasterio.open(path, "w", **profile) as target:
        target.write(values, 1)
    return path


def product_name(
    start: datetime, *, tile: str = "31UFT", baseline: str = "03.01", orbit: int = 51, made: int = 3
) -> ProductName:
    """Name a product that was made some hours after its datatake."""
    return ProductName("S2A", "L2A", start, baseline, orbit, tile, start + timedelta(hours=made))


def make_scene(
    folder: Path,
    name: ProductName,
    dn: Layers,
    *,
    form: str = "tif",
    offset: float = 0.0,
    footprint=FOOTPRINT,
    **options: Any,
) -> pystac.Item:
    """Write a scene's bands and make its canonical item."""
    assets = {}
    for layer, values in dn.items():
        path = write_band(folder / f"{name}/{layer}.{form}", values, **options)
        own = {"offset": offset} if layer in BANDS else {}
        assets[layer] = make_asset(layer, str(path), **own)
    return make_item(name, footprint, name.datatake_start, assets, {})


def series(
    folder: Path, count: int, *, form: str = "tif", layers: Iterable[str] = LAYERS, days: int = 5
) -> list[pystac.Item]:
    """Write scenes of several days, each with its own values."""
    items = []
    for n in range(count):
        name = product_name(FIRST + timedelta(days=days * n))
        dn = digital({k: v for k, v in ground(n).items() if k in layers}, 0)
        items.append(make_scene(folder, name, dn, form=form))
    return items


# --- Earth Search


_EARTH_SEARCH = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "SCL": "scl"}


def earth_search(
    folder: Path, name: ProductName, dn: Layers, *, applied: bool | None, c1: bool = False
) -> dict[str, Any]:
    """Write a scene's COGs and its item as Earth Search v1 writes it.

    The offset is in ``raster:bands`` whether it was applied or not, as there.
    """
    offset = offset_of_baseline(read_baseline(name.baseline))
    assets = {}
    for layer, values in dn.items():
        path = write_band(folder / f"{name}/{layer}.tif", values)
        raster = {"nodata": 0, "data_type": str(values.dtype)}
        if layer != "SCL":
            raster |= {"scale": 0.0001, "offset": offset}
        assets[_EARTH_SEARCH[layer]] = {"href": str(path), "raster:bands": [raster]}
    flag = {} if applied is None else {"earthsearch:boa_offset_applied": applied}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"{name.mission}_{name.tile}_{name.datatake_start:%Y%m%d}_0_L2A",
        "collection": "sentinel-2-c1-l2a" if c1 else "sentinel-2-l2a",
        "geometry": mapping(FOOTPRINT),
        "bbox": list(FOOTPRINT.bounds),
        "properties": {
            "datetime": f"{name.datatake_start:%Y-%m-%dT%H:%M:%SZ}",
            "platform": name.platform,
            "proj:epsg": 32631,
            "grid:code": f"MGRS-{name.tile}",
            "s2:processing_baseline": name.baseline,
            "s2:product_uri": f"{name}.SAFE",
            "earthsearch:payload_id": f"roda-sentinel2/workflow/{name}",
            **flag,
        },
        "links": [],
        "assets": assets,
    }


def save_items(path: Path, features: list[dict[str, Any]]) -> Path:
    """Save an item collection."""
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


# --- SAFE


def write_safe(folder: Path, day: date, dn: Layers, *, baseline: str, xml: int | None) -> Path:
    """Write a SAFE product whose XML states a BOA_ADD_OFFSET of its own, or none."""
    overpass = Overpass(day, 51, "clear")
    made = overpass.sensing + timedelta(hours=3)
    tile = Tile("31UFT", (WEST, NORTH - 10 * SIDE, WEST + 10 * SIDE, NORTH))
    product = Product(overpass, tile, baseline, made, overpass.start)
    root = folder / product.name
    for layer, values in dn.items():
        write_band(root / product.path(layer), values)
    metadata.write(replace(product, baseline="04.00"), dn["SCL"], root)
    _state(root / "MTD_MSIL2A.xml", baseline, xml)
    return root


def _state(file: Path, baseline: str, offset: int | None) -> None:
    """Let the XML say another baseline and another offset, or none."""
    text = file.read_text().replace("N04.00", f"N{baseline}").replace(">04.00<", f">{baseline}<")
    text = text.replace("_N0400_", f"_N{baseline.replace('.', '')}_")
    stated = ">-1000</BOA_ADD_OFFSET>"
    assert text.count(stated) == 13
    if offset is None:
        text = re.sub(
            r"<BOA_ADD_OFFSET_VALUES_LIST>.*</BOA_ADD_OFFSET_VALUES_LIST>",
            "",
            text,
            flags=re.DOTALL,
        )
    else:
        text = text.replace(stated, f">{offset}</BOA_ADD_OFFSET>")
    file.write_text(text)
