"""Read places from a file that was uploaded in a browser: GeoJSON or GeoPackage."""

import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from s2kit.analysis.fields import place_fields
from s2kit.errors import InvalidInputError
from s2kit.viewers.colours import COLOUR
from s2kit.viewers.places import MOST, SHAPES

FORMATS = (".geojson", ".json", ".gpkg")

LARGEST = 5_000_000
"""Bytes of an upload at most; a notebook's connection accepts little more."""

NAMES = ("name", "naam", "field_id", "fieldid", "id")
"""Columns that may hold the names of places, in order of preference."""

_CROP = "crop"
"""Column of what grows there, which is shown after the name."""

_SQLITE = b"SQLite format 3\0"
"""First bytes of a GeoPackage."""

_INDEX = re.compile(
    r'CREATE VIRTUAL TABLE ("([^"]|"")*"|\[[^]]*\]|\w+)\s+USING\s+RTREE\b', re.IGNORECASE
)
"""Spatial index of a GeoPackage: the only virtual table that it needs."""

_CORNERS, _CORNERS_CROSSING = 10_000, 500
"""Corners of an outline at most, and of one that crosses itself: seconds to read and to repair.

Repairing takes time as the square of the corners; of several outlines, the squares are added.
"""


def read_upload(
    content: bytes, filename: str, cube: xr.Dataset, held: int = 0
) -> tuple[list[tuple[str, shapely.Geometry, str | None]], int]:
    """Read places from an uploaded file.

    Returns
    -------
    places : list of (str, shapely.Geometry, str or None)
        Name, shape in the cube's coordinate system, and colour of each, if the file has one.
    beside : int
        How many more lie beside the cube.

    Raises
    ------
    InvalidInputError
        If it is of another kind, cannot be read, holds too many, or none that touches the cube.
    """
    require_size(filename, len(content))
    if not content:
        raise InvalidInputError(f"{filename} is empty; give one with points or polygons")
    suffix = Path(filename).suffix.lower()
    if suffix not in FORMATS:
        raise InvalidInputError(
            f"{filename} is not a file of fields; give GeoJSON (.geojson) or GeoPackage (.gpkg)"
        )
    read = _read_geopackage if suffix == ".gpkg" else _read_geojson
    table = read(content, filename)
    _check_shapes(table, filename)
    found = place_fields(table, cube)
    room = MOST - held
    if len(found) > room:
        raise InvalidInputError(
            f"{filename} holds {len(found)} places on the cube; {room} more can be shown. Give a "
            "file with fewer, or use s2kit.field_series for all"
        )
    names = _names_of(found, Path(filename).stem)
    colours = [text if COLOUR.fullmatch(text) else None for text in _texts(found, ["colour"])]
    return list(zip(names, found.geometry, colours, strict=True)), len(table) - len(found)


def _names_of(table: gpd.GeoDataFrame, stem: str) -> list[str]:
    """Return the name of each place, numbered after the file where it has none, and its crop."""
    numbered = [f"{stem} {i}" for i in table.index]
    names = [name or n for name, n in zip(_texts(table, NAMES), numbered, strict=True)]
    crops = _texts(table, [_CROP])
    return [f"{name} {crop}".strip() for name, crop in zip(names, crops, strict=True)]


def _texts(table: gpd.GeoDataFrame, names: Sequence[str]) -> list[str]:
    """Return the first of some columns as text that can be written, empty where it has nothing."""
    columns = {column.lower(): column for column in table.columns}
    first = next((columns[name] for name in names if name in columns), None)
    values = table[first].astype("object") if first else [None] * len(table)
    return [
        "" if pd.api.types.is_scalar(value) and pd.isna(value) else _text(value) for value in values
    ]


def _text(value: Any) -> str:
    """Return a value as text; whole numbers, which a gap in a column makes decimal, as whole."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).encode("utf-8", "replace").decode().strip()


def require_size(filename: str, size: int) -> None:
    """Refuse a file that is too large for the connection of a page.

    Raises
    ------
    InvalidInputError
    """
    if size > LARGEST:
        raise InvalidInputError(
            f"{filename} has {size / 1e6:.1f} MB; give a file of {LARGEST / 1e6:.0f} MB at most"
        )


def _read_geopackage(content: bytes, filename: str) -> gpd.GeoDataFrame:
    """Read all places of a file, or none: a file of several layers is refused."""
    if not content.startswith(_SQLITE):  # else GDAL may take it for a list of other files
        raise InvalidInputError(f"{filename} cannot be read: it is no GeoPackage; give a whole one")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "places.gpkg"
        path.write_bytes(content)
        try:
            _refuse_computed(path, filename)
            import pyogrio  # brings a GDAL of its own, 28 MB

            found = gpd.list_layers(path)
            layers = list(found["name"][found["geometry_type"].notna()])
            layer = layers[0] if layers else None
            fields = pyogrio.read_info(path, layer=layer)["fields"]
            table = gpd.read_file(path, layer=layer, columns=_shown(fields))
        except InvalidInputError:
            raise
        except (OSError, ValueError, RuntimeError, sqlite3.Error) as error:  # pyogrio: RuntimeError
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


def _refuse_computed(path: Path, filename: str) -> None:
    """Refuse a file with views or computed columns: reading them may take forever."""
    tables = (
        "SELECT listed.type, listed.name, made.sql FROM pragma_table_list AS listed "
        "LEFT JOIN sqlite_master AS made ON made.tbl_name = listed.name AND made.type IN "
        "('table', 'view') WHERE listed.schema = 'main'"
    )
    if sqlite3.sqlite_version_info < (3, 37):
        raise InvalidInputError(
            f"{filename} cannot be read here: GeoPackages need SQLite 3.37, and this Python has "
            f"{sqlite3.sqlite_version}; give GeoJSON"
        )
    made_of_others = "SELECT 1 FROM pragma_table_xinfo(?) WHERE hidden > 1"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        for kind, name, made in file.execute(tables).fetchall():
            own = kind == "virtual" and not _INDEX.match(made or "")
            if kind == "view" or own or file.execute(made_of_others, [name]).fetchone():
                raise InvalidInputError(
                    f"{filename} computes {name!r:.60} as it is read (it is a view, or has columns "
                    "made of others); export its layer from a GIS as a file of its own"
                )


def _read_geojson(content: bytes, filename: str) -> gpd.GeoDataFrame:
    """Read places, in degrees (RFC 7946) or in the one system that the file names (GeoJSON 2008).

    GDAL is not used: it reads unknown coordinate systems as degrees, and opens other
    files of this machine if the content names them.
    """
    try:
        found = json.loads(content)
        crs = CRS.from_user_input(found["crs"]["properties"]["name"] if found.get("crs") else 4326)
        features = _features(found)
        if any("crs" in part for one in features for part in (one, one["geometry"] or {})):
            raise ValueError("a place has a coordinate system of its own")
        given = [{"id": one.get("id")} | (one.get("properties") or {}) for one in features]
        columns = [{name: own[name] for name in _shown(own)} for own in given]
        shapes = [one["geometry"] and shapely.geometry.shape(one["geometry"]) for one in features]
        return gpd.GeoDataFrame(pd.DataFrame(columns, dtype=object), geometry=shapes, crs=crs)
    except CRSError:
        raise InvalidInputError(
            f"{filename} names the coordinate system {found['crs']!r:.200}, which is unknown; "
            "GeoJSON is in degrees, EPSG:4326, and need not name a system"
        ) from None
    except (*_NO_GEOJSON, shapely.errors.ShapelyError) as error:
        reason = f"{type(error).__name__}: {error!s:.100}"
        raise InvalidInputError(
            f"{filename} cannot be read: it is no GeoJSON ({reason}); give a FeatureCollection"
        ) from None


def _shown(columns: Iterable[str]) -> list[str]:
    """Return the columns that are used; a file may have any number of others."""
    return [name for name in columns if name.lower() in (*NAMES, _CROP, "colour")]


_NO_GEOJSON = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)
"""Errors of text that is not GeoJSON."""


def _features(found: dict) -> list[dict]:
    """Return the features of a collection, or of a single feature or shape."""
    if found["type"] == "FeatureCollection":
        return found["features"]
    if found["type"] == "Feature":
        return [found]
    if found["type"] in SHAPES:
        return [{"geometry": {name: found[name] for name in ("type", "coordinates")}}]
    raise ValueError(f"its type is {found['type']!r}")


def _check_shapes(table: gpd.GeoDataFrame, filename: str) -> None:
    """Refuse what is no place, invalid corners, and more corners than can be read in seconds."""
    if table.empty:
        raise InvalidInputError(f"{filename} has no places in it; give one with points or polygons")
    odd = sorted(set(table.geom_type.dropna()) - set(SHAPES))
    if odd:
        raise InvalidInputError(
            f"{filename} holds a {odd[0]}; give points and polygons only, as a GIS exports them"
        )
    if table.crs and not (table.crs.is_geographic or table.crs.is_projected):
        raise InvalidInputError(
            f"{filename} is in {table.crs.name!r:.80}, which is no system for places on a map; "
            "export it in degrees, EPSG:4326"
        )
    shapes = table.geometry.to_numpy()
    corners = shapely.get_coordinates(shapes)
    if not np.isfinite(corners).all():
        raise InvalidInputError(
            f"{filename} has a corner that is no number (NaN or Infinity); export it again from a "
            "GIS"
        )
    if table.crs and table.crs.is_geographic and (np.abs(corners) > (360, 90)).any():
        raise InvalidInputError(
            f"{filename} has a corner beyond the Earth: it is read in degrees ({table.crs.name}), "
            "first east, then north"
        )
    count = shapely.get_num_coordinates(shapes).astype("int64")
    if count.max() > _CORNERS:
        raise InvalidInputError(
            f"{filename} holds an outline of {count.max()} corners; {_CORNERS} at most can be read "
            "here: simplify it in a GIS, or use s2kit.field_series"
        )
    crossing = count[~shapely.is_valid(shapes)]
    if (crossing**2).sum() > _CORNERS_CROSSING**2:
        raise InvalidInputError(
            f"{filename} holds outlines that cross themselves, {len(crossing)} of "
            f"{crossing.sum()} corners, which take long to mend: mend or simplify them in a GIS, "
            "or use s2kit.field_series"
        )
