"""The made-up polder: parcels as polygons in RD, and the same rasterised on a 5 m grid.

Everything is drawn in kilometres from the region's south-west corner. The layout is invented;
strips of grass on peat, larger arable parcels on clay, a river with a lake, a wood, a town and
greenhouses are typical of the country between Delft and Bleiswijk. There are no dunes there.
"""

from dataclasses import dataclass
from functools import cache

import geopandas as gpd
import numpy as np
import pandas as pd
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter
from shapely import affinity, from_wkt, get_coordinates, unary_union
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from s2kit.practice.geometry import CANVAS, RD, REGION_RD, UTM
from s2kit.practice.spectra import SURFACES

FINE = 5
"""Metres: the grid on which the land is rasterised before it is averaged to 10 and 20 m."""

CROPS = ("grassland", "winter wheat", "winter barley", "potato", "sugar beet", "maize", "onion")
_WEIGHTS = {
    "peat": (0.95, 0, 0, 0, 0, 0.05, 0),
    "clay": (0.12, 0.18, 0.14, 0.17, 0.15, 0.11, 0.13),
}
_HEADLAND = 12.0
"""Metres along a field's border where machines turn: soil is compact, crops grow worse (chosen)."""
_AREA = box(-0.5, -0.5, 5.5, 5.5)


@dataclass(frozen=True)
class Landscape:
    """The land without weather.

    Parameters
    ----------
    parcels : geopandas.GeoDataFrame
        Every polygon, EPSG:28992; row n is drawn as n in ``ids``.
    ids : numpy.ndarray = (n_y, n_x), uint16
        Row number of the parcel at each place of the 5 m grid of `CANVAS`.
    texture : numpy.ndarray = (n_y, n_x), float32
        How good the soil is and how well it is grown over: mean 0 and spread 1 without headlands.
    """

    parcels: gpd.GeoDataFrame
    ids: np.ndarray
    texture: np.ndarray


@cache
def landscape() -> Landscape:
    """Build the landscape; always the same."""
    rng = np.random.default_rng(20210401)
    parcels, shape = _parcels(rng), CANVAS.shape(FINE)
    outlines = parcels.geometry.segmentize(500).to_crs(UTM)
    drawn = [(outline, n) for n, outline in enumerate(outlines) if not outline.is_empty]
    ids = rasterize(drawn, shape, transform=CANVAS.transform(FINE), dtype="uint16", fill=0)
    texture = _texture(rng, shape) - _headlands(parcels, ids)
    return Landscape(parcels, ids, np.clip(texture, -3, 3).round(3))


def fields(parcels: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Select the farmed parcels, with crop and area."""
    farmed = parcels[parcels["surface"].isin(CROPS) & (parcels["landcover"] != "town")]
    farmed = farmed.rename(columns={"surface": "crop"})[["crop", "geometry"]]
    farmed = farmed.clip(REGION_RD).sort_index()
    farmed.insert(0, "field_id", np.arange(1, len(farmed) + 1))
    farmed.insert(2, "area_ha", (farmed.area / 1e4).round(2))
    return farmed.reset_index(drop=True)


def _parcels(rng: np.random.Generator) -> gpd.GeoDataFrame:
    """Return all polygons in drawing order, later ones over earlier ones."""
    rows = [("verge", "grassland", _AREA)]
    rows += _farmland(rng)
    rows += _wood(rng) + _dunes(rng) + _greenhouses(rng) + _town(rng)
    rows += [("asphalt", "town", line.buffer(width)) for line, width in ROADS]
    rows += _waters()
    # from kilometres to metres RD
    to_rd = (1000, 0, 0, 1000, *REGION_RD[:2])
    table = gpd.GeoDataFrame(
        [row[:2] for row in rows],
        columns=["surface", "landcover"],
        geometry=[affinity.affine_transform(row[2], to_rd) for row in rows],
        crs=RD,
    )
    return table.join(_character(rng, table))


def _character(rng: np.random.Generator, table: pd.DataFrame) -> pd.DataFrame:
    """Draw what makes parcels of one kind differ: timing, vigour, leaves, soil, winter, mowing."""
    grass = (table["surface"] == "grassland").to_numpy()
    count = len(table)
    kinds = SURFACES.loc[table["surface"]]
    spread, winter = kinds["spread"].to_numpy(), kinds["winter"].to_numpy()
    return pd.DataFrame(
        {
            "shift": np.round(
                np.where(grass, rng.uniform(-14, 30, count), rng.normal(0, 1, count) * spread)
            ),
            "vigour": np.clip(rng.normal(0.96, 0.07, count), 0.75, 1.05).round(3),
            "leaf": np.clip(rng.normal(1, 0.07, count), 0.8, 1.2).round(3),
            "winter": np.clip(np.exp(rng.normal(0, 1, count) * winter), 0.3, 2).round(3),
            "brightness": np.clip(rng.normal(1, 0.12, count), 0.7, 1.35).round(3),
            "mown": np.where(grass & (rng.random(count) < 0.75), rng.integers(34, 56, count), 0),
        }
    )


def _blob(rng: np.random.Generator, x: float, y: float, radius: float, *, wobble: float) -> Polygon:
    """Draw a smooth closed shape around a point."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    reach = np.full_like(angle, radius)
    for wave in (2, 3, 4, 5, 7):
        reach += radius * wobble / wave * rng.normal() * np.cos(wave * angle + rng.uniform(0, 6))
    return Polygon(np.column_stack([x + reach * np.cos(angle), y + reach * np.sin(angle)]))


def _curve(points: str) -> LineString:
    """Draw a smooth line near points, given as in WKT, by cutting corners (Chaikin)."""
    line = get_coordinates(from_wkt(f"LINESTRING ({points})"))
    for _ in range(4):
        near = line[:-1] * 0.75 + line[1:] * 0.25
        far = line[:-1] * 0.25 + line[1:] * 0.75
        line = np.vstack([line[:1], np.stack([near, far], 1).reshape(-1, 2), line[-1:]])
    return LineString(line)


RIVER = _curve("1.9 5.7, 2.1 4.6, 2.75 4.0, 2.5 3.2, 3.3 2.6, 3.15 1.7, 3.7 1.0, 3.4 0.2, 3.6 -0.7")
CANALS = (
    _curve("-0.7 1.75, 1.0 2.1, 2.6 3.25"),
    _curve("3.2 2.2, 4.3 2.75, 5.7 2.65"),
    _curve("1.3 1.95, 1.75 0.6, 1.65 -0.7"),
)
ROADS = (
    (_curve("-0.7 2.6, 1.2 2.85, 3.0 3.35, 5.7 3.55"), 0.016),
    (_curve("4.55 5.7, 4.35 3.5, 4.6 2.0, 4.3 -0.7"), 0.006),
    (_curve("-0.7 0.9, 1.4 1.1, 3.3 0.75, 5.7 1.1"), 0.005),
    (_curve("0.2 5.7, 0.55 4.2, 0.45 2.4, 0.9 -0.7"), 0.006),
)
TOWN = (1.25, 3.95, 0.62)
LAKE = (3.0, 1.45, 0.43)
WOOD = (4.55, 0.45, 0.5)
DUNES = (0.15, 0.05, 0.62)
GLASS = affinity.rotate(box(3.15, 3.75, 5.15, 5.0), 14)


@cache
def _places() -> dict[str, Polygon]:
    """Return the outlines of the larger places."""
    rng = np.random.default_rng(7)
    places = {
        "lake": _blob(rng, *LAKE, wobble=0.45),
        "pond": _blob(rng, 4.75, 3.15, 0.12, wobble=0.25),
        "wood": _blob(rng, *WOOD, wobble=0.3),
        "dunes": _blob(rng, *DUNES, wobble=0.35),
        "town": _blob(rng, *TOWN, wobble=0.22),
        "hamlet": _blob(rng, 4.45, 1.75, 0.17, wobble=0.3),
    }
    water = unary_union([RIVER.buffer(0.02), places["lake"], *(c.buffer(0.009) for c in CANALS)])
    return places | {"glass": GLASS.difference(RIVER.buffer(0.1)), "water": water}


def _farmland(rng: np.random.Generator) -> list:
    """Return strips of grass on peat in the north-west, larger parcels on clay elsewhere."""
    west = Polygon(
        [(-0.5, 1.95), (1.0, 2.15), (2.6, 3.3), (2.75, 4.0), (2.1, 4.6), (1.9, 5.5), (-0.5, 5.5)]
    )
    south = Polygon([(-0.5, -0.5), (1.68, -0.5), (1.75, 0.6), (1.3, 1.95), (-0.5, 1.75)])
    east = _AREA.difference(west).difference(south)
    roads = [line.buffer(width + 0.008) for line, width in ROADS]
    taken, rows = unary_union([*_places().values(), *roads]).buffer(0.006), []
    for block, soil, angle, depth, width in (
        (west, "peat", 63, 0.62, 0.068),
        (south, "clay", 8, 0.46, 0.17),
        (east.intersection(box(-1, -1, 6, 2.62)), "clay", -17, 0.5, 0.19),
        (east.intersection(box(-1, 2.62, 6, 6)), "peat", 14, 0.55, 0.085),
    ):
        rows += _strips(rng, block.difference(taken), soil, angle, depth, width)
    return rows


def _strips(
    rng: np.random.Generator,
    block: BaseGeometry,
    soil: str,
    angle: float,
    depth: float,
    width: float,
) -> list:
    """Cut a block into rows of parcels with ditches between them."""
    turned = affinity.rotate(block, -angle, origin=(2.5, 2.5))
    west, south, east, north = turned.bounds
    rows, y = [], south
    while y < north:
        high, x = depth * rng.uniform(0.75, 1.25), west
        while x < east:
            wide = width * rng.uniform(0.6, 1.6)
            rows += _field(rng, turned, soil, box(x, y, x + wide, y + high), angle)
            x += wide
        y += high + 0.012
    return rows


def _field(
    rng: np.random.Generator, block: BaseGeometry, soil: str, rectangle: BaseGeometry, angle: float
) -> list:
    """Keep the usable parts of one parcel, each with the same crop."""
    crop = str(rng.choice(CROPS, p=_WEIGHTS[soil]))
    usable = rectangle.intersection(block).buffer(-0.0035, join_style="mitre")
    parts = usable.geoms if isinstance(usable, MultiPolygon) else [usable]
    return [
        (crop, crop, affinity.rotate(part, angle, origin=(2.5, 2.5)).simplify(0.001))
        for part in parts
        if part.area > 0.004
    ]


def _wood(rng: np.random.Generator) -> list:
    wood = _places()["wood"]
    rows = [("wood", "wood", wood)]
    for _ in range(26):
        x, y = rng.normal(WOOD[:2], 0.3)
        stand = _blob(rng, x, y, rng.uniform(0.05, 0.14), wobble=0.4)
        rows.append(("wood", "wood", stand.intersection(wood)))
    paths = [LineString([(3.9, 0.2), (5.2, 0.75)]), LineString([(4.3, 1.1), (4.8, -0.3)])]
    return rows + [("verge", "wood", path.buffer(0.005).intersection(wood)) for path in paths]


def _dunes(rng: np.random.Generator) -> list:
    dunes = _places()["dunes"]
    rows = [("marram", "dunes", dunes)]
    for _ in range(150):
        spot = Point(rng.normal(DUNES[0], 0.4), rng.normal(DUNES[1], 0.4))
        ridge = affinity.scale(spot.buffer(rng.uniform(0.008, 0.045)), 3, 0.7)
        cover = str(rng.choice(["sand", "marram", "wood"], p=[0.45, 0.45, 0.1]))
        turned = affinity.rotate(ridge, rng.normal(35, 12))
        rows.append((cover, "dunes", turned.intersection(dunes)))
    return rows


def _greenhouses(rng: np.random.Generator) -> list:
    """Return blocks of glass with yards and basins between them."""
    area, rows = _places()["glass"], [("park", "greenhouses", _places()["glass"])]
    clear = area.difference(unary_union([line.buffer(w + 0.015) for line, w in ROADS]))
    clear = clear.difference(_places()["water"].buffer(0.015)).difference(_places()["pond"])
    for x in np.arange(3.17, 5.1, 0.205):
        for y in np.arange(3.77, 4.95, 0.155):
            wide, high = rng.uniform(0.14, 0.195), rng.uniform(0.11, 0.145)
            house = box(x, y, x + wide, y + high)
            kind = rng.choice(["glass", "bitumen", "lake"], p=[0.86, 0.07, 0.07])
            if rng.random() < 0.9:
                house = affinity.rotate(house, 14, origin=(4.15, 4.375)).intersection(clear)
                rows.append((str(kind), "water" if kind == "lake" else "greenhouses", house))
    return rows


def _town(rng: np.random.Generator) -> list:
    """Return streets with rows of houses in gardens, some larger roofs, and parks."""
    town = _places()["town"].union(_places()["hamlet"])
    rows = [("paving", "town", town)]
    for x in np.arange(0.2, 5.2, 0.075):
        for y in np.arange(-0.5, 4.9, 0.118):
            turned = affinity.rotate(box(x, y, x + 0.066, y + 0.108), 28, origin=TOWN[:2])
            if turned.intersects(town):
                rows += _quarter(rng, x, y, town)
    return rows


def _quarter(rng: np.random.Generator, x: float, y: float, town: BaseGeometry) -> list:
    """Return one block between streets: mostly two rows of houses, else a park or a large roof."""

    def place(shape):
        return affinity.rotate(shape, 28, origin=TOWN[:2]).intersection(town)

    east, north, kind = x + 0.066, y + 0.108, rng.random()
    block = box(x, y, east, north)
    if kind < 0.13:
        return [("park", "town", place(block))]
    if kind < 0.2:
        return [(str(rng.choice(["gravel", "bitumen"])), "town", place(block))]
    roofs = rng.choice(["tiles", "tiles", "bitumen"], 2)
    houses = [box(x + 0.012, y, x + 0.024, north), box(east - 0.024, y, east - 0.012, north)]
    rows = [("garden", "town", place(block))]
    return rows + [(str(r), "town", place(h)) for r, h in zip(roofs, houses, strict=True)]


def _waters() -> list:
    places = _places()
    shore = places["lake"].buffer(0.018).union(RIVER.buffer(0.028))
    rows = [("reed", "grassland", shore)]
    rows += [("canal", "water", line.buffer(0.008)) for line in CANALS]
    rows += [("canal", "water", RIVER.buffer(0.019))]
    return rows + [("lake", "water", places[name]) for name in ("lake", "pond")]


def _texture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return how soil and growth vary: patches of 150 m, spots of 40 m, silted-up tidal creeks."""
    coarse, patches, spots = (
        layer / layer.std()
        for layer in (
            gaussian_filter(rng.standard_normal(shape, "float32"), size) for size in (40, 16, 4)
        )
    )
    # where a smooth field is about 0 it leaves winding bands, like the sandy beds of old creeks
    creeks = np.maximum(1 - np.abs(coarse) / 0.2, 0)
    texture = 0.8 * patches + 0.45 * spots + 1.5 * creeks
    return (texture - texture.mean()) / texture.std()


def _headlands(parcels: gpd.GeoDataFrame, ids: np.ndarray) -> np.ndarray:
    """Return by how much the texture is lower along the borders of arable fields."""
    arable = parcels["surface"].isin(CROPS[1:]).to_numpy()
    inner = parcels.geometry[arable].to_crs(UTM).buffer(-_HEADLAND)
    drawn = [geometry for geometry in inner if not geometry.is_empty]
    inside = rasterize(drawn, ids.shape, transform=CANVAS.transform(FINE), dtype="uint8", fill=0)
    return np.float32(0.9) * (arable[ids] & (inside == 0))
