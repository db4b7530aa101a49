"""Write one product as a ``.SAFE`` folder: images in JPEG 2000 and the metadata beside them."""

import shutil
from pathlib import Path

import numpy as np
import rasterio

from s2kit.atomic import replacing
from s2kit.practice import metadata
from s2kit.practice.geometry import UTM, Tile
from s2kit.practice.imaging import Layers
from s2kit.practice.products import Product
from s2kit.scenes.radiometry import BANDS, RESOLUTION, SCALES

_JP2 = {
    "driver": "JP2OpenJPEG",
    "count": 1,
    "crs": f"EPSG:{UTM}",
    "QUALITY": "100",
    "REVERSIBLE": "YES",
}
"""Lossless."""


def write_product(product: Product, observed: Layers, folder: Path) -> Path:
    """Write one product, whole or not at all.

    Parameters
    ----------
    product : Product
        What to write.
    observed : dict of str to numpy.ndarray
        Physical values over the canvas, from `observe`.
    folder : pathlib.Path
        Where the ``.SAFE`` folder goes.
    """
    target = folder / product.name
    stored = stored_layers(product, observed)
    with replacing(target) as draft:
        for layer, image in stored.items():
            _write_image(draft / product.path(layer), product.tile, image)
        metadata.write(product, stored["SCL"], draft)
        shutil.rmtree(target, ignore_errors=True)
    return target


def stored_layers(product: Product, observed: Layers) -> Layers:
    """Return the integers that a product holds: 0 outside of the swath and the datastrip."""
    stored = {}
    for name, image in observed.items():
        resolution = RESOLUTION[name]
        values = product.tile.crop(image, resolution)
        if name in BANDS:
            counts = np.rint(values * np.float32(product.gain) * round(1 / SCALES[name]))
            # 0 is nodata, so that the darkest value that a product can hold is 1.
            counts = np.clip(counts - product.offset, 1, 65_534)
        else:
            counts = np.rint(values * round(1 / SCALES[name]))
        centres = product.tile.centres(resolution)
        for side in product.sides:
            counts = np.where(side.contains(*centres), counts, 0)
        stored[name] = counts.astype(image.dtype if image.dtype == "uint8" else "uint16")
    return stored


def _write_image(path: Path, tile: Tile, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = image.shape
    place = tile.transform((tile.bounds[2] - tile.bounds[0]) // width)
    shape = {"height": height, "width": width, "dtype": image.dtype}
    with rasterio.open(path, "w", **_JP2, **shape, transform=place) as target:
        target.write(image, 1)
