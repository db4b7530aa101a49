"""Which products an overpass gives, and how one is written as a ``.SAFE`` folder."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from shapely.geometry import box

from ...atomic import replacing
from . import metadata
from .geometry import SPLIT, SWATH_EDGE, TILES, UTM, HalfPlane, Tile, reproject
from .imaging import RESOLUTION, Layers, digital_numbers, extent_masks
from .overpasses import REPROCESSED_DAY, SPLIT_DAY, Overpass

_JP2 = {"driver": "JP2OpenJPEG", "count": 1, "crs": f"EPSG:{UTM}", "QUALITY": "100",
        "REVERSIBLE": "YES"}  # fmt: skip


@dataclass(frozen=True)
class Product:
    """One Level-2A product.

    Parameters
    ----------
    overpass : Overpass
        Its datatake.
    tile : Tile
        Its extent.
    baseline : str
        Processing baseline, ``"03.01"``.
    generated : datetime.datetime
        Generation time, the name's discriminator.
    strip_start : datetime.datetime
        Start of the datastrip.
    sides : tuple of HalfPlane
        What limits the swath and the datastrip inside the tile.
    gain : float
        By which reprocessing changed the reflectance.
    """

    overpass: Overpass
    tile: Tile
    baseline: str
    generated: datetime
    strip_start: datetime
    sides: tuple[HalfPlane, ...] = ()
    gain: float = 1.0

    @property
    def name(self) -> str:
        """Product name with ``.SAFE``."""
        taken = self.overpass
        return (
            f"S2{taken.spacecraft}_MSIL2A_{taken.start:%Y%m%dT%H%M%S}"
            f"_N{self.baseline.replace('.', '')}_R{taken.orbit:03d}"
            f"_T{self.tile.name}_{self.generated:%Y%m%dT%H%M%S}.SAFE"
        )

    @property
    def granule(self) -> str:
        """Path of the granule inside the product."""
        orbit, start = self.overpass.absolute_orbit, self.strip_start
        return f"GRANULE/L2A_T{self.tile.name}_A{orbit:06d}_{start:%Y%m%dT%H%M%S}"

    @property
    def offset(self) -> int:
        """What was added to the digital numbers: 1000 from baseline 04.00 on."""
        return 1000 if self.baseline >= "04.00" else 0

    @property
    def footprint(self):
        """Valid area in degrees, a shapely polygon with x before y."""
        area = box(*self.tile.bounds)
        for side in self.sides:
            area = area.intersection(side.polygon)
        return reproject(area, UTM, 4326)

    def path(self, layer: str) -> str:
        """Path of a layer's image inside the product."""
        if layer in ("CLD", "SNW"):
            mask = {"CLD": "CLDPRB", "SNW": "SNWPRB"}[layer]
            return f"{self.granule}/QI_DATA/MSK_{mask}_20m.jp2"
        metres = RESOLUTION.get(layer, 20)
        stem = f"T{self.tile.name}_{self.overpass.start:%Y%m%dT%H%M%S}_{layer}_{metres}m"
        return f"{self.granule}/IMG_DATA/R{metres}m/{stem}.jp2"


def products(overpass: Overpass) -> list[Product]:
    """List the products of an overpass: one per tile, and the special cases."""
    swath = (SWATH_EDGE,) if overpass.orbit == 8 else ()
    strip = overpass.start + timedelta(seconds=4)
    made = overpass.sensing + timedelta(hours=2, minutes=43, seconds=overpass.day.day)
    every = [Product(overpass, tile, overpass.baseline, made, strip, swath) for tile in TILES]
    if overpass.orbit == 51 and overpass.day == SPLIT_DAY:
        return _split(every[0]) + every[1:]
    if overpass.orbit == 51 and overpass.day == REPROCESSED_DAY:
        return [*every, _reprocessed(every[0])]
    return every


def _split(whole: Product) -> list[Product]:
    """Make two products of one tile, one per datastrip, each with its half."""
    later = timedelta(seconds=25)
    return [
        Product(whole.overpass, whole.tile, whole.baseline, whole.generated + n * later,
                whole.strip_start + n * later, (*whole.sides, half))
        for n, half in enumerate((SPLIT, SPLIT.complement))
    ]  # fmt: skip


def _reprocessed(old: Product) -> Product:
    """Process the same acquisition again: newer baseline, slightly other values."""
    made = datetime.fromisoformat("2023-01-29T09:26:51+00:00")
    return Product(old.overpass, old.tile, "05.00", made, old.strip_start, old.sides, gain=1.02)


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
    """Make the integers that a product holds."""
    cut = {
        name: product.tile.crop(image, RESOLUTION.get(name, 20))
        * (np.float32(product.gain) if name in RESOLUTION else 1)
        for name, image in observed.items()
    }
    seen = extent_masks(product.sides, product.tile)
    return digital_numbers(cut, offset=product.offset, seen=seen)


def _write_image(path: Path, tile: Tile, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = image.shape
    transform = tile.transform((tile.bounds[2] - tile.bounds[0]) // width)
    shape = {"height": height, "width": width, "dtype": image.dtype, "transform": transform}
    with rasterio.open(path, "w", **_JP2, **shape) as target:
        target.write(image, 1)
