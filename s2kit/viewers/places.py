"""Places that are compared: points, boxes and polygons with a name and a colour."""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

import geopandas as gpd
import shapely
from pyproj import Transformer

from s2kit.crs import DEGREES, move
from s2kit.errors import InvalidInputError
from s2kit.viewers.colours import COLOUR, PLACE_COLOURS
from s2kit.viewers.parameters import Items

CORNERS = {"point": 1, "box": 2, "polygon": 3}
"""Kind of place → number of corners that it needs at least."""

MOST = len(PLACE_COLOURS)
"""Places at once: more curves cannot be distinguished."""

SHAPES = ("Point", "Polygon", "MultiPolygon")

_LONGEST = 1_000_000
"""Characters of places in an address: more than any browser or server accepts."""


@dataclass(frozen=True)
class Place:
    """A place on the map.

    Attributes
    ----------
    name : str
    colour : str
        Such as ``"#0072B2"``.
    shape : shapely.Geometry
        Point or polygon, in the cube's coordinate system.

    Raises
    ------
    InvalidInputError
        If the shape is of another kind, empty or invalid, or the colour is none.
    """

    name: str
    colour: str
    shape: shapely.Geometry

    def __post_init__(self):
        kind = getattr(self.shape, "geom_type", type(self.shape).__name__)
        if kind not in SHAPES or self.shape.is_empty:
            raise InvalidInputError(
                f"{self.name} is {'an empty ' if kind in SHAPES else 'a '}{kind}; give a point or "
                "a polygon of shapely, in the cube's coordinate system"
            )
        if not self.shape.is_valid:
            raise InvalidInputError(
                f"{self.name} is no valid outline ({shapely.is_valid_reason(self.shape):.80}); "
                "shapely.make_valid mends it"
            )
        if not COLOUR.fullmatch(self.colour):  # it becomes a part of the page
            raise InvalidInputError(
                f"{self.colour!r:.40} is not a colour; give one such as #0072B2"
            )


class Places(Items):
    """Places of different names, and not too many to distinguish."""

    def _validate(self, val: list[Place]) -> None:
        super()._validate(val)
        names = [place.name for place in val]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInputError(f"two places are called {twice[0]!r}; give each its own name")
        if len(val) > MOST:
            raise InvalidInputError(
                f"these are {len(val)} places; {MOST} at most can be told apart. Leave some out, "
                "or use s2kit.field_series for many fields"
            )


def short(name: str, most: int = 20) -> str:
    """Return a name in ``most`` letters at most, with its end, which is often a number."""
    end = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - 1 - end]}…{name[-end:]}"


def require_corners(kind: str, corners: Sequence[tuple[float, float]]) -> None:
    """Check that there are enough corners for a shape.

    Raises
    ------
    InvalidInputError
    """
    if len(corners) < CORNERS[kind]:
        are = "is" if len(corners) == 1 else "are"
        raise InvalidInputError(
            f"a {kind} needs {CORNERS[kind]} corners, and there {are} {len(corners)}; click on the "
            "map, or give x and y and press “Add corner”"
        )


def outline(kind: str, corners: Sequence[tuple[float, float]]) -> shapely.Geometry:
    """Return the shape of the corners that were clicked.

    Raises
    ------
    InvalidInputError
        If they are too few, or enclose nothing.
    """
    require_corners(kind, corners)
    if kind == "point":
        return shapely.Point(corners[0])
    if kind == "box":
        shape = shapely.box(*shapely.MultiPoint(corners[:2]).bounds)
    else:
        structure = {"method": "structure", "keep_collapsed": False}
        shape = shapely.make_valid(shapely.Polygon(corners), **structure)
    if not shape.area > 0:
        raise InvalidInputError(f"the corners of this {kind} enclose nothing; begin again")
    return shape


def add(places: Sequence[Place], name: str, shape: shapely.Geometry) -> list[Place]:
    """Return the places and one more, under a free name and in a free colour."""
    return add_all(places, [(name, shape, None)])


def add_all(
    places: Sequence[Place], found: Sequence[tuple[str, shapely.Geometry, str | None]]
) -> list[Place]:
    """Return the places and more, each with a name, a shape, and a colour or None.

    Names that are taken get a number. A place without a colour, or whose colour is taken, gets one
    that no other has.
    """
    asked = {colour.upper() for *_, colour in found if colour}
    held = list(places)
    for name, shape, colour in found:
        if len(held) >= MOST:
            raise InvalidInputError(
                f"there are {len(held)} places; {MOST} at most can be told apart. Remove one "
                "first, or use s2kit.field_series for many fields"
            )
        taken = {place.colour.upper() for place in held}
        if not colour or colour.upper() in taken:
            colour = next(one for one in PLACE_COLOURS if one not in taken | asked)
        held.append(Place(free_name(held, name), colour, shape))
    return held


def free_name(places: Sequence[Place], name: str) -> str:
    """Return the name, with a number where it is taken."""
    taken = {place.name for place in places}
    name = name.strip() or "place"
    numbered = (f"{name} {n}" for n in range(2, len(places) + 3))
    return name if name not in taken else next(n for n in numbered if n not in taken)


def change(
    places: Sequence[Place], chosen: str | None, name: str | None, colour: str | None
) -> tuple[list[Place], str | None]:
    """Return the places with another name or colour of the chosen one, and its name."""
    others = [place for place in places if place.name != chosen]
    new = free_name(others, name) if name is not None else chosen
    return [
        replace(p, name=new or p.name, colour=colour or p.colour) if p.name == chosen else p
        for p in places
    ], new


def require_places(places: Collection) -> None:
    """Refuse to write a file of no places."""
    if not places:
        raise InvalidInputError("there are no places yet; draw one, or upload a file")


def write_geojson(places: Sequence[Place], to_degrees: Transformer) -> io.BytesIO:
    """Write places as GeoJSON: in degrees, with ``name`` and ``colour`` (RFC 7946)."""
    require_places(places)
    columns = {"name": [p.name for p in places], "colour": [p.colour for p in places]}
    shapes = move([p.shape for p in places], to_degrees)
    table = gpd.GeoDataFrame(columns, geometry=shapes, crs=DEGREES)
    return io.BytesIO(table.to_json(drop_id=True).encode())


def write_text(places: Sequence[Place], digits: int = 1) -> str:
    """Return places as a short text for the address of a page: ``name|colour|outline;…``.

    Coordinates have so many decimals, or all where rounding would spoil the shape.
    """
    return ";".join(f"{quote(p.name)}|{p.colour}|{_write_shape(p.shape, digits)}" for p in places)


def _write_shape(shape: shapely.Geometry, digits: int) -> str:
    text = shapely.to_wkt(shape, rounding_precision=digits)
    rounded = shapely.from_wkt(text)
    spoilt = not rounded.is_valid or not rounded.area > 0  # a point may move to another pixel
    return shapely.to_wkt(shape, rounding_precision=-1) if spoilt else text


def read_text(text: str) -> list[Place]:
    """Read places from such a text.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"it has {len(text)} letters; {_LONGEST} at most are read")
        parts = [part.split("|") for part in text.split(";") if part]
        found = [Place(unquote(n), colour, _read_shape(wkt)) for n, colour, wkt in parts]
    except (ValueError, shapely.errors.ShapelyError) as error:
        raise InvalidInputError(f"the address of this page names no places ({error})") from error
    if len({place.name for place in found}) < len(found) or len(found) > MOST:
        raise InvalidInputError("the address of this page names a place twice, or too many")
    return found


def _read_shape(text: str) -> shapely.Geometry:
    """Read a shape of the kinds that are shown; of nested collections GEOS reads endless ones."""
    if not text.upper().startswith(tuple(kind.upper() for kind in SHAPES)):
        raise ValueError(f"{text:.40} is none of {', '.join(SHAPES)}")
    return shapely.from_wkt(text)
