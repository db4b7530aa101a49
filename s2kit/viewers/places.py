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
_SQLITE = b"SQLite format 3\0"
"""How a GeoPackage begins."""

_CORNERS, _CORNERS_CROSSING = 10_000, 500
"""Corners of an outline at most, and of one that crosses itself: seconds to read and to mend."""

_WIDEST = 1024
"""Pixels along one side of what a place may span: ten seconds for a cube of seven years."""

LARGEST = 5_000_000
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
        if kind not in _SHAPES or self.shape.is_empty:
            raise InvalidInputError(
                f"{self.name} is {'an empty ' if kind in _SHAPES else 'a '}{kind}; give a point or "
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
    require_size(filename, len(content))
    suffix = Path(filename).suffix.lower()
    if suffix not in FORMATS:
        raise InvalidInputError(
            f"{filename} is not a file of fields; give GeoJSON (.geojson) or GeoPackage (.gpkg)"
        )
    read = _read_geopackage if suffix == ".gpkg" else _read_geojson
    table = read(content, filename)
    _check_corners(table, filename)
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


def require_size(filename: str, size: int) -> None:
    """Refuse a file that is too large for the connection of a page.

    Raises
    ------
    InvalidInputError
    """
    if size > LARGEST:
        raise InvalidInputError(
            f"{filename} has {size / 1e6:.1f} MB; give a file of {LARGEST / 1e6:.0f} MB at most, "
            "or use s2kit.field_series"
        )


def _read_geopackage(content: bytes, filename: str) -> gpd.GeoDataFrame:
    """Read all of a file's places: what is left out without a word would be missed too late."""
    if not content.startswith(_SQLITE):  # else GDAL may take it for a list of other files
        raise InvalidInputError(f"{filename} cannot be read: it is no GeoPackage; give a whole one")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "places.gpkg"
        path.write_bytes(content)
        try:
            layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
            table = gpd.read_file(path, layer=layers[0] if layers else None)
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: those of pyogrio
            raise InvalidInputError(
                f"{filename} cannot be read: it is damaged or not whole; give a GeoPackage as a "
                "GIS writes it"
            ) from error
    if len(layers) > 1:
        raise InvalidInputError(
            f"{filename} holds {len(layers)} layers ({', '.join(layers[:5])}); give a file with one"
        )
    if not isinstance(table, gpd.GeoDataFrame):
        raise InvalidInputError(f"{filename} is a table without shapes; give places with shapes")
    return table


def _read_geojson(content: bytes, filename: str) -> gpd.GeoDataFrame:
    """Read places, in degrees (RFC 7946) or in the one system that the file names (GeoJSON 2008).

    GDAL is not asked: it reads names of systems that it does not know as degrees, and other files
    of this machine where the content tells it to.
    """
    try:
        found = json.loads(content)
        crs = CRS.from_user_input(found["crs"]["properties"]["name"] if found.get("crs") else 4326)
        features = _features(found)
        if any("crs" in part for one in features for part in (one, one["geometry"] or {})):
            raise ValueError("a place has a coordinate system of its own")
        columns = [{"id": one.get("id")} | (one.get("properties") or {}) for one in features]
        shapes = [one["geometry"] and shapely.geometry.shape(one["geometry"]) for one in features]
        return gpd.GeoDataFrame(pd.DataFrame(columns, dtype=object), geometry=shapes, crs=crs)
    except CRSError:
        raise InvalidInputError(
            f"{filename} names the coordinate system {found['crs']!r:.200}, which is unknown; "
            "GeoJSON is in degrees, EPSG:4326, without a word about it"
        ) from None
    except (*_NO_GEOJSON, shapely.errors.ShapelyError) as error:
        reason = f"{type(error).__name__}: {error!s:.100}"
    raise InvalidInputError(
        f"{filename} cannot be read: it is no GeoJSON ({reason}); give a FeatureCollection"
    )


_NO_GEOJSON = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)
"""What ends the reading of text that is something else."""


def _features(found: dict) -> list[dict]:
    """Give the features of a collection, of a feature by itself, or of a shape by itself."""
    if found["type"] == "FeatureCollection":
        return found["features"]
    if found["type"] == "Feature":
        return [found]
    if found["type"] in _SHAPES:
        return [{"geometry": {name: found[name] for name in ("type", "coordinates")}}]
    raise ValueError(f"its type is {found['type']!r}")


def _check_corners(table: gpd.GeoDataFrame, filename: str) -> None:
    """Refuse outlines with corners that are nowhere, or too many to be read in seconds."""
    shapes = table.geometry.to_numpy()
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise InvalidInputError(
            f"{filename} has a corner that is no number (NaN or Infinity); export it again from a "
            "GIS"
        )
    most = np.where(shapely.is_valid(shapes), _CORNERS, _CORNERS_CROSSING)
    count = shapely.get_num_coordinates(shapes)
    if (count > most).any():
        worst = int((count > most).argmax())
        raise InvalidInputError(
            f"{filename} holds an outline of {count[worst]} corners; {_CORNERS} at most can be "
            f"read here, and {_CORNERS_CROSSING} of one that crosses itself: simplify it in a GIS, "
            "or use s2kit.field_series"
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
    rows, cols = (_two_at_least(cut) for cut in (window.rows, window.cols))
    part = part.isel(y=rows, x=cols).chunk(_BLOCKS)
    field = gpd.GeoDataFrame(geometry=[shape], crs=levels.grid.crs.proj)
    table = describe_series(part, field, variable, scheduler="threads", pool=workers())
    levels.require_steps()
    return table


def _two_at_least(cut: slice) -> slice:
    """Take one more row or column than one, which by itself tells no pixel size."""
    alone = cut.stop - cut.start == 1
    return slice(max(cut.start - 1, 0), max(cut.stop, 2)) if alone else cut


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
        parts = [part.split("|") for part in text.split(";") if part]
        found = [Place(unquote(n), colour, shapely.from_wkt(wkt)) for n, colour, wkt in parts]
    except (ValueError, shapely.errors.ShapelyError) as error:
        raise InvalidInputError(f"the address of this page names no places ({error})") from error
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
