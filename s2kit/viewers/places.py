"""Places that are compared: points, boxes and polygons with a name and a colour."""

import html
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import geopandas as gpd
import numpy as np
import pandas as pd
import param
import pyogrio
import shapely
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from s2kit.analysis.fields import read_fields
from s2kit.analysis.indices import read_formula
from s2kit.analysis.zonal import describe_series
from s2kit.errors import InvalidInputError
from s2kit.viewers.colours import COLOUR, PLACE_COLOURS
from s2kit.viewers.frames import Levels, View, workers

LEAST_SHARE = 0.5
"""Of a place's area: a date that saw less of it clear is left out of curves and means."""

KINDS = ("point", "box", "polygon")
FORMATS = (".geojson", ".json", ".gpkg")

_MOST = 20
"""Places at once: more curves than that are no picture any more."""

_SHAPES = ("Point", "Polygon", "MultiPolygon")
_GEOJSON = ("FeatureCollection", "Feature", *_SHAPES)
_SQLITE = b"SQLite format 3\0"
"""How a GeoPackage begins."""

_WIDEST = 1024
"""Pixels along one side of what a place may span: ten seconds for a cube of seven years."""

_LARGEST = 5_000_000
"""Bytes of an upload; a notebook's connection takes little more."""

_BLOCKS = {"time": 96, "y": 128, "x": 128}
"""What is held of a place at a time, so that memory stays flat."""


@dataclass(frozen=True)
class Place:
    """A place on the map.

    Attributes
    ----------
    name : str
    colour : str
    shape : shapely.Geometry
        Point or polygon, in the cube's coordinate system.
    """

    name: str
    colour: str
    shape: shapely.Geometry

    @property
    def corners(self) -> list[tuple[list[float], list[float]]]:
        """Give x and y along each ring, also of holes; of a point, itself."""
        if self.shape.geom_type == "Point":
            return [([self.shape.x], [self.shape.y])]
        parts = getattr(self.shape, "geoms", [self.shape])
        rings = [ring for part in parts for ring in (part.exterior, *part.interiors)]
        return [tuple(list(axis) for axis in ring.xy) for ring in rings]


class Places(param.List):
    """Places that can be told apart: by their names, and not too many."""

    def _validate(self, val: list[Place]) -> None:
        super()._validate(val)
        names = [place.name for place in val]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInputError(f"two places are called {twice[0]!r}; give each its own name")
        if len(val) > _MOST:
            raise InvalidInputError(
                f"these are {len(val)} places; {_MOST} at most can be told apart. Leave some out, "
                "or use s2kit.field_series for many fields"
            )


def short(name: str, most: int = 20) -> str:
    """Give a name in so many letters, as a chart has room for it."""
    return name if len(name) <= most else name[: most - 1] + "…"


def outline(kind: str, corners: Sequence[tuple[float, float]]) -> shapely.Geometry:
    """Make a shape from the corners that were clicked.

    Raises
    ------
    InvalidInputError
        If they are too few, or enclose nothing.
    """
    needed = {"point": 1, "box": 2, "polygon": 3}[kind]
    if len(corners) < needed:
        raise InvalidInputError(
            f"a {kind} needs {needed} corners, and there {_are(len(corners))}; click on the map, "
            "or give x and y and press “Add corner”"
        )
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


def add(places: Sequence[Place], name: str, shape: shapely.Geometry) -> list[Place]:
    """Give the places and one more, in a colour of its own and under a free name."""
    if len(places) >= _MOST:
        raise InvalidInputError(
            f"there are {len(places)} places; {_MOST} at most can be told apart. Remove one first, "
            "or use s2kit.field_series for many fields"
        )
    taken = {place.colour for place in places}
    free = [colour for colour in PLACE_COLOURS if colour not in taken]
    colour = (free or PLACE_COLOURS)[0 if free else len(places) % len(PLACE_COLOURS)]
    return [*places, Place(free_name(places, name), colour, shape)]


def free_name(places: Sequence[Place], name: str) -> str:
    """Give the name, with a number where it is taken."""
    taken = {place.name for place in places}
    name = name.strip() or "place"
    numbered = (f"{name} {n}" for n in range(2, len(places) + 3))
    return name if name not in taken else next(n for n in numbered if n not in taken)


def read_upload(
    content: bytes, filename: str, cube: xr.Dataset, held: int = 0
) -> tuple[list[tuple[str, shapely.Geometry]], int]:
    """Read places from a file that was given in a browser.

    Returns
    -------
    places : list of (str, shapely.Geometry)
        Name and shape of each, in the cube's coordinate system.
    beside : int
        How many more lie beside the cube.

    Raises
    ------
    InvalidInputError
        If it is of another kind, cannot be read, holds too many, or none that touches the cube.
    """
    if len(content) > _LARGEST:
        raise InvalidInputError(
            f"{filename} has {len(content) / 1e6:.0f} MB; give a file of {_LARGEST / 1e6:.0f} MB "
            "at most, or use s2kit.field_series"
        )
    suffix = Path(filename).suffix.lower()
    if suffix not in FORMATS:
        raise InvalidInputError(
            f"{filename} is not a file of fields; give GeoJSON (.geojson) or GeoPackage (.gpkg)"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"places{suffix}"
        path.write_bytes(_only(suffix, content, filename))
        table = _read_table(path, filename)
    found = read_fields(table, cube)
    room = _MOST - held
    if len(found) > room:
        raise InvalidInputError(
            f"{filename} holds {len(found)} places on the cube; {room} more can be shown. Give a "
            "file with fewer, or use s2kit.field_series for all"
        )
    columns = {column.lower(): column for column in found.columns}
    named = next((columns[word] for word in ("name", "naam", "id") if word in columns), None)
    numbered = pd.Series([f"{Path(filename).stem} {i}" for i in found.index], found.index)
    names = found[named].astype("object").fillna(numbered) if named else numbered
    places = [(str(n), shape) for n, shape in zip(names, found.geometry, strict=True)]
    return places, len(table) - len(found)


def _read_table(path: Path, filename: str) -> gpd.GeoDataFrame:
    """Read all of a file's places: what is left out without a word would be missed too late."""
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        table = gpd.read_file(path)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: those of pyogrio
        raise InvalidInputError(
            f"{filename} cannot be read: it is damaged or not whole; give a GeoJSON or GeoPackage "
            "file as a GIS writes it"
        ) from error
    if len(layers) > 1:
        raise InvalidInputError(
            f"{filename} holds {len(layers)} layers ({', '.join(layers[:5])}); give a file with one"
        )
    if not isinstance(table, gpd.GeoDataFrame):
        raise InvalidInputError(f"{filename} is a table without shapes; give places with shapes")
    return table


def _only(suffix: str, content: bytes, filename: str) -> bytes:
    """Give the content if it is what its name says.

    GDAL goes by the content, and some formats make it read other files of this machine.
    """
    if suffix == ".gpkg":
        if content.startswith(_SQLITE):
            return content
        raise InvalidInputError(f"{filename} cannot be read: it is no GeoPackage; give a whole one")
    try:
        found = json.loads(content)
        if found["type"] in _GEOJSON:
            if named := found.get("crs"):
                CRS.from_user_input(named["properties"]["name"])  # GDAL would take degrees instead
            return json.dumps(found).encode()
        reason = f"its type is {found['type']!r}"
    except CRSError:
        raise InvalidInputError(
            f"{filename} names the coordinate system {named!r}, which is unknown; GeoJSON is in "
            "degrees, EPSG:4326, without a word about it"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise InvalidInputError(
        f"{filename} cannot be read: it is no GeoJSON ({reason}); give a FeatureCollection"
    )


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
    part = cube[[*bands, *(["SCL"] if "SCL" in cube.data_vars else [])]]
    part = part.isel(y=window.rows, x=window.cols).chunk(_BLOCKS)
    field = gpd.GeoDataFrame(geometry=[shape], crs=levels.grid.crs.proj)
    table = describe_series(part, field, variable, scheduler="threads", pool=workers())
    levels.require_steps()
    return table


def write_geojson(places: Sequence[Place], crs: CRS) -> io.BytesIO:
    """Give places as GeoJSON: in degrees, with ``name`` and ``colour`` (RFC 7946)."""
    if not places:
        raise InvalidInputError("there are no places yet; draw one, or upload a file")
    table = gpd.GeoDataFrame(
        {"name": [p.name for p in places], "colour": [p.colour for p in places]},
        geometry=[p.shape for p in places], crs=crs,
    )  # fmt: skip
    return io.BytesIO(table.to_crs("EPSG:4326").to_json(drop_id=True).encode())


def write_text(places: Sequence[Place], digits: int = 1) -> str:
    """Give places as a short text for the address of a page: ``name|colour|outline;…``.

    Coordinates have so many decimals, or all where rounding would spoil the shape.
    """
    return ";".join(f"{quote(p.name)}|{p.colour}|{_write_shape(p.shape, digits)}" for p in places)


def _write_shape(shape: shapely.Geometry, digits: int) -> str:
    text = shapely.to_wkt(shape, rounding_precision=digits)
    rounded = shapely.from_wkt(text)
    spoilt = not rounded.is_valid or (shape.area > 0 and not rounded.area > 0)
    return shapely.to_wkt(shape, rounding_precision=-1) if spoilt else text


def read_text(text: str) -> list[Place]:
    """Read places from such a text.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    try:
        parts = [part.split("|") for part in text.split(";") if part]
        found = [Place(unquote(n), colour, shapely.from_wkt(wkt)) for n, colour, wkt in parts]
    except (ValueError, shapely.errors.ShapelyError) as error:
        raise InvalidInputError(f"the address of this page names no places ({error})") from error
    for place in found:
        if place.shape.geom_type not in _SHAPES or not place.shape.is_valid or place.shape.is_empty:
            raise InvalidInputError(
                f"the address of this page names a place that is none: {place.name}"
            )
        if not COLOUR.fullmatch(place.colour):  # it becomes a part of the page
            raise InvalidInputError(
                f"the address of this page names a colour that is none: {place.colour!r}; give one "
                "such as #0072B2"
            )
    if len({place.name for place in found}) < len(found) or len(found) > _MOST:
        raise InvalidInputError("the address of this page names a place twice, or too many")
    return found


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
