"""The products of an overpass: name, extent and processing of each."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from shapely.geometry import box

from s2kit.practice.geometry import SPLIT, SWATH_EDGE, TILES, UTM, HalfPlane, Tile, reproject
from s2kit.practice.overpasses import REPROCESSED_DAY, SPLIT_DAY, Overpass
from s2kit.scenes.product import COMPACT, ProductName
from s2kit.scenes.radiometry import RESOLUTION, offset_in_counts, offset_of_baseline


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
        mission, start, orbit = f"S2{taken.spacecraft}", taken.start, taken.orbit
        known = (mission, "L2A", start, self.baseline, orbit, self.tile.name, self.generated)
        return f"{ProductName(*known)}.SAFE"

    @property
    def granule(self) -> str:
        """Path of the granule inside the product."""
        orbit, start = self.overpass.absolute_orbit, self.strip_start
        return f"GRANULE/L2A_T{self.tile.name}_A{orbit:06d}_{start:{COMPACT}}"

    @property
    def offset(self) -> int:
        """What is to be added to the DN: −1000 from baseline 04.00 on, else 0."""
        return offset_in_counts(offset_of_baseline(float(self.baseline)))

    @property
    def footprint(self):
        """Valid area in degrees, a shapely polygon with x before y."""
        area = box(*self.tile.bounds)
        for side in self.sides:
            area = area.intersection(side.polygon)
        return reproject(area, UTM, 4326)

    def path(self, layer: str) -> str:
        """Return the path of a layer's image inside the product."""
        if layer in ("CLD", "SNW"):
            mask = {"CLD": "CLDPRB", "SNW": "SNWPRB"}[layer]
            return f"{self.granule}/QI_DATA/MSK_{mask}_20m.jp2"
        metres = RESOLUTION[layer]
        stem = f"T{self.tile.name}_{self.overpass.start:{COMPACT}}_{layer}_{metres}m"
        return f"{self.granule}/IMG_DATA/R{metres}m/{stem}.jp2"


def products(overpass: Overpass) -> list[Product]:
    """Return the products of an overpass: one per tile, and the special cases."""
    swath = (SWATH_EDGE,) if overpass.orbit == 8 else ()
    strip = overpass.start + timedelta(seconds=4)
    made = overpass.sensing + timedelta(hours=2, minutes=44, seconds=overpass.day.day)
    every = [Product(overpass, tile, overpass.baseline, made, strip, swath) for tile in TILES]
    if overpass.orbit == 51 and overpass.day == SPLIT_DAY:
        return _split(every[0]) + every[1:]
    if overpass.orbit == 51 and overpass.day == REPROCESSED_DAY:
        # processed once more later: a newer baseline, slightly different values
        made = datetime(2023, 1, 29, 9, 26, 51, tzinfo=UTC)
        every.append(replace(every[0], baseline="05.00", generated=made, gain=1.02))
    return every


def _split(whole: Product) -> list[Product]:
    """Return two products of one tile, one per datastrip, each with its half."""
    later = timedelta(seconds=25)
    made, start = whole.generated + later, whole.strip_start + later
    south = replace(whole, generated=made, strip_start=start, sides=(SPLIT.complement,))
    return [replace(whole, sides=(SPLIT,)), south]
