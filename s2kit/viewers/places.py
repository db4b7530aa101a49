"""Places that are compared: points, boxes and polygons with a name and a colour."""

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import Transformer

from s2kit.analysis.indices import read_formula
from s2kit.analysis.zonal import describe_series
from s2kit.crs import DEGREES, move
from s2kit.cube.dask_layers import window_of
from s2kit.errors import InvalidInputError
from s2kit.viewers.colours import COLOUR, PLACE_COLOURS
from s2kit.viewers.frames import Levels, View, workers
from s2kit.viewers.parameters import Items

LEAST_SHARE = 0.5
"""Of a place's area: a date that saw less of it clear is left out of curves and means."""

KINDS = ("point", "box", "polygon")

MOST = 20
"""Places at once: more curves than that are no picture any more."""

SHAPES = ("Point", "Polygon", "MultiPolygon")

_WIDEST = 1024
"""Pixels along one side of what a place may span: ten seconds for a cube of seven years."""


_LONGEST = 1_000_000
"""Letters of the address of a page that name places: more than any browser or server takes."""


@dataclass(frozen=True)
class Place:
    """A place on the map.

    Attributes
    ----------
    name : str
    colour : str
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

    @property
    def corners(self) -> list[tuple[list[float], list[float]]]:
        """Give x and y along each ring, also of holes; of a point, itself."""
        if self.shape.geom_type == "Point":
            return [([self.shape.x], [self.shape.y])]
        parts = getattr(self.shape, "geoms", [self.shape])
        rings = [ring for part in parts for ring in (part.exterior, *part.interiors)]
        return [tuple(list(axis) for axis in ring.xy) for ring in rings]


class Places(Items):
    """Places that can be told apart: by their names, and not too many."""

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
    """Give a name in so many letters, as a chart has room for it; its end is often a number."""
    end = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - 1 - end]}…{name[-end:]}"


def require_corners(kind: str, corners: Sequence[tuple[float, float]]) -> None:
    """See that there are corners enough for a shape.

    Raises
    ------
    InvalidInputError
    """
    needed = {"point": 1, "box": 2, "polygon": 3}[kind]
    if len(corners) < needed:
        raise InvalidInputError(
            f"a {kind} needs {needed} corners, and there {_are(len(corners))}; click on the map, "
            "or give x and y and press “Add corner”"
        )


def outline(kind: str, corners: Sequence[tuple[float, float]]) -> shapely.Geometry:
    """Make a shape from the corners that were clicked.

    Raises
    ------
    InvalidInputError
        If they are too few, or enclose nothing.
    """
    require_corners(kind, corners)
    if kind == "point":
        return shapely.Point(corners[0])
    if kind == "box":
        (x0, y0), (x1, y1) = corners[:2]
        shape = shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    else:
        shape = shapely.make_valid(shapely.Polygon(corners), method="structure",
                                   keep_collapsed=False)  # fmt: skip
    if not shape.area > 0:
        raise InvalidInputError(f"the corners of this {kind} enclose nothing; begin again")
    return shape


def add(
    places: Sequence[Place], name: str, shape: shapely.Geometry, colour: str | None = None
) -> list[Place]:
    """Give the places and one more, under a free name; without a colour, it gets one of its own."""
    if len(places) >= MOST:
        raise InvalidInputError(
            f"there are {len(places)} places; {MOST} at most can be told apart. Remove one first, "
            "or use s2kit.field_series for many fields"
        )
    taken = {place.colour.upper() for place in places}
    free = [colour for colour in PLACE_COLOURS if colour not in taken]
    colour = colour or (free or PLACE_COLOURS)[0 if free else len(places) % len(PLACE_COLOURS)]
    return [*places, Place(free_name(places, name), colour, shape)]


def free_name(places: Sequence[Place], name: str) -> str:
    """Give the name, with a number where it is taken."""
    taken = {place.name for place in places}
    name = name.strip() or "place"
    numbered = (f"{name} {n}" for n in range(2, len(places) + 3))
    return name if name not in taken else next(n for n in numbered if n not in taken)


def place_series(levels: Levels, place: Place, variable: str) -> pd.DataFrame:
    """Describe the clear pixels of a place at each overpass; see `s2kit.field_series`.

    Of a place that reaches beyond the cube, what lies on the cube counts: ``share`` is of that.

    Raises
    ------
    InvalidInputError
        If it is too wide for an answer in seconds, or lies beside the cube.
    """
    shape = place.shape
    if shape.geom_type != "Point":
        shape = shape.intersection(levels.grid.extent.geom).buffer(0)  # without lines that touch
    around = shape.buffer(levels.pixel / 1000)  # on a border of pixels, take those beside it
    window = None if around.is_empty else levels.finest(View(*around.bounds))
    if window is None:
        raise InvalidInputError(f"{place.name} lies beside the cube")
    west, south, east, north = shape.bounds
    if max(east - west, north - south) > _WIDEST * levels.pixel:
        raise InvalidInputError(
            f"{place.name} is more than {_WIDEST * levels.pixel:g} {levels.unit} wide, which would "
            "take too long here; draw a smaller one, or use s2kit.field_series"
        )
    cube = levels.cubes[0]
    bands = [variable] if variable in cube.data_vars else read_formula(cube, variable).bands
    rows, cols = (_two_at_least(cut) for cut in (window.rows, window.cols))
    part = window_of(cube[[*bands, "SCL"]], rows, cols)
    field = gpd.GeoDataFrame(geometry=[shape], crs=levels.grid.crs.proj)
    table = describe_series(part, field, variable, scheduler="threads", pool=workers())
    levels.require_steps()
    return table


def _two_at_least(cut: slice) -> slice:
    """Take one more row or column than one, which by itself tells no pixel size."""
    alone = cut.stop - cut.start == 1
    return slice(max(cut.start - 1, 0), max(cut.stop, 2)) if alone else cut


def write_geojson(places: Sequence[Place], to_degrees: Transformer) -> io.BytesIO:
    """Write places as GeoJSON: in degrees, with ``name`` and ``colour`` (RFC 7946)."""
    if not places:
        raise InvalidInputError("there are no places yet; draw one, or upload a file")
    table = gpd.GeoDataFrame(
        {"name": [p.name for p in places], "colour": [p.colour for p in places]},
        geometry=move([p.shape for p in places], to_degrees), crs=DEGREES,
    )  # fmt: skip
    return io.BytesIO(table.to_json(drop_id=True).encode())


def write_text(places: Sequence[Place], digits: int = 1) -> str:
    """Give places as a short text for the address of a page: ``name|colour|outline;…``.

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
    """Read a shape of the kinds that are shown: of nested collections, GEOS reads endless ones."""
    if not text.upper().startswith(tuple(kind.upper() for kind in SHAPES)):
        raise ValueError(f"{text:.40} is none of {', '.join(SHAPES)}")
    return shapely.from_wkt(text)


def describe(places: Sequence[Place], series: Mapping[str, pd.DataFrame]) -> str:
    """Give a table of places: how often each was seen well, and its mean over these dates."""
    if not places:
        return ""
    rows = []
    for place in places:
        table = well_seen(series[place.name])
        mean = table["mean"].mean() if len(table) else float("nan")
        rows.append(
            f'<tr><td style="color:{place.colour}">■</td><td>{html.escape(place.name)}</td>'
            f"<td>{len(table)} of {len(series[place.name])}</td><td>{mean:.3f}</td>"
            f"<td>{table['std'].mean():.3f}</td></tr>"
        )
    head = "".join(f"<th scope='col'>{word}</th>" for word in
                   ("", "place", "dates at least half clear", "mean", "std inside"))  # fmt: skip
    return (
        '<table style="font-size:12px; border-spacing:8px 2px; text-align:left">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def well_seen(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the dates that saw at least half of a place clear."""
    return table[(table.share >= LEAST_SHARE) & np.isfinite(table["mean"])]


def _are(number: int) -> str:
    return f"is {number}" if number == 1 else f"are {number}"
