"""Scenes for the benchmarks: the bands of a made-up tile, as COG or as JP2."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pystac
import rasterio
import shapely
from pyproj import Transformer
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter, zoom

from s2kit.scenes.item import BANDS, make_asset, make_item
from s2kit.scenes.product import ProductName

ORIGIN = (600_000, 5_800_020)
"""Upper left corner of tile 31UFT in EPSG:32631."""

TEN = ("B02", "B03", "B04", "B08")
LAYERS = (*BANDS, "SCL")


def texture(size: int, seed: int) -> np.ndarray:
    """Return DN as from baseline 04.00 with the grain of land: fields, gradients, noise."""
    rng = np.random.default_rng(seed)
    fields = np.kron(rng.normal(size=(size // 40 + 1,) * 2), np.ones((40, 40)))[:size, :size]
    smooth = zoom(gaussian_filter(rng.normal(size=(size // 20 + 2,) * 2), 2), 20, order=1)
    noise = rng.normal(size=(size, size))
    image = 2200 + 500 * fields + 3000 * smooth[:size, :size] + 40 * noise
    return image.clip(900, 12_000).astype("uint16")


def _profile(size: int, pixel: int, dtype: str, driver: str) -> dict:
    options = {
        "COG": {"compress": "deflate", "predictor": 2, "blocksize": 512, "overviews": "none"},
        "JP2OpenJPEG": {
            "quality": 100,
            "reversible": "yes",
            "blockxsize": 1024,
            "blockysize": 1024,
        },
    }[driver]
    return options | {
        "driver": driver,
        "width": size,
        "height": size,
        "count": 1,
        "dtype": dtype,
        "crs": "EPSG:32631",
        "transform": from_origin(*ORIGIN, pixel, pixel),
    }


def _write(path: Path, values: np.ndarray, pixel: int, driver: str) -> None:
    profile = _profile(len(values), pixel, values.dtype.name, driver)
    if driver == "COG":
        profile["nodata"] = 0
        if values.dtype == "uint8":
            profile.pop("predictor")
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values, 1)


def write_scene(folder: Path, number: int, size: int, driver: str, files: int) -> pystac.Item:
    """Write one scene of ``size`` pixels at 10 m, or take the files of an earlier one."""
    start = datetime(2022, 6, 1, 10, 50, 31, tzinfo=UTC) + timedelta(days=5 * number)
    number %= files
    name = ProductName.find(
        f"S2A_MSIL2A_{start:%Y%m%dT%H%M%S}_N0400_R051_T31UFT_{start:%Y%m%d}T180000"
    )
    suffix = "tif" if driver == "COG" else "jp2"
    home = folder / f"{driver}-{size}-{number}"
    home.mkdir(parents=True, exist_ok=True)
    assets = {}
    for i, layer in enumerate(LAYERS):
        pixel = 10 if layer in TEN else 20
        path = home / f"{layer}.{suffix}"
        if not path.exists():
            values = texture(size * 10 // pixel, 100 * number + i)
            if layer == "SCL":
                values = (4 + values // 1500 % 4).astype("uint8")
            _write(path, values, pixel, driver)
        assets[layer] = make_asset(layer, str(path), offset=-0.1 if layer in BANDS else 0)
    west, north = ORIGIN
    outline = shapely.box(west, north - 10 * size, west + 10 * size, north)
    to_degrees = Transformer.from_crs(32631, 4326, always_xy=True)
    footprint = shapely.transform(
        outline.segmentize(1000), lambda xy: np.column_stack(to_degrees.transform(*xy.T))
    )
    return make_item(name, footprint, start, assets, {})
