"""A file cannot ask for more memory than is stated, however small it is."""

import json
import os
import sqlite3
import struct
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from cubes import every, make_cube, random_layers
from hypothesis import given, settings
from hypothesis import strategies as st

import s2kit
from s2kit.analysis import table_size
from s2kit.analysis.table_size import _count
from s2kit.errors import InvalidInputError
from s2kit.scenes import region
from s2kit.scenes.region import read_aoi
from s2kit.viewers.places import read_text
from s2kit.viewers.uploads import read_upload


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """Return a small cube in the Dutch RD."""
    return make_cube(
        tmp_path_factory.mktemp("cube") / "c.zarr", random_layers(1, (2, 20, 20)), every(25, 2)
    )


@pytest.fixture(scope="module")
def spot(cube):
    """Return a point on the cube, in degrees."""
    middle = gpd.GeoSeries.from_xy([float(cube.x.mean())], [float(cube.y.mean())], crs=28992)
    return shapely.geometry.mapping(middle.to_crs(4326)[0])


def feature(properties, geometry=None):
    """Return a feature of GeoJSON."""
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(rows, columns, geometry):
    """Return a collection of which only one feature has columns."""
    wide = feature({f"c{i}": 0 for i in range(columns)} | {"name": "here"}, geometry)
    return {"type": "FeatureCollection", "features": [feature({}, geometry)] * rows + [wide]}


def text_of(form, document):
    """Write a collection in one of the forms that GDAL reads as GeoJSON."""
    if form == "sequence":
        return "\n".join(map(json.dumps, document["features"]))
    if form == "records":
        return "".join(f"\x1e{json.dumps(one)}\n" for one in document["features"])
    if form == "late":
        return json.dumps({"name": "x", "other": [1, {"a": []}], **document, "more": {}})
    if form == "odd spaces":
        return "\ufeff \n" + json.dumps(document, indent=1)
    if form == "escaped":
        return json.dumps(document).replace('"c', '"\\u0063')
    if form == "topology":
        shapes = [
            one["geometry"] | {"properties": one["properties"]} for one in document["features"]
        ]
        return json.dumps(
            {
                "type": "Topology",
                "arcs": [],
                "objects": {"o": {"type": "GeometryCollection", "geometries": shapes}},
            }
        )
    return json.dumps(document)


FORMS = ("plain", "sequence", "records", "late", "odd spaces", "escaped", "topology")


@pytest.mark.parametrize("form", FORMS)
def test_rows_and_columns_of_json_are_counted(form, spot):
    """Each form of GeoJSON tells how many features and names of properties it has."""
    rows, columns = _count(text_of(form, collection(30, 50, spot)))
    assert 31 <= rows <= 32  # the document itself may be a row
    assert 51 <= columns <= 60  # its members may be columns


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_wide_geojson_is_refused(tmp_path, cube, spot, form, packed):
    """Half a megabyte that asks for 100 million cells is named, before GDAL opens it."""
    path = tmp_path / "wide.geojson"
    path.write_text(text_of(form, collection(2000, 50_000, spot)))
    if packed:
        with zipfile.ZipFile(tmp_path / "wide.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
        path = tmp_path / "wide.zip"
    with pytest.raises(InvalidInputError, match=r"rows and 500\d\d columns; 20,000,000 cells"):
        s2kit.read_fields(path, cube)


def test_wide_geojson_takes_little_memory(tmp_path, spot):
    """What is refused takes less than 300 MB, as the system counts it."""
    (tmp_path / "wide.geojson").write_text(json.dumps(collection(2000, 50_000, spot)))
    code = (
        "import resource, sys; from s2kit.analysis.fields import read_table\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: read_table(sys.argv[1])\n"
        "except ValueError: print(peak() - before)"
    )
    command = [sys.executable, "-c", code, tmp_path / "wide.geojson"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300_000


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f"jsonp({text})",
        lambda text: text.replace("{", '{"a": 01, ', 1),
        lambda text: text.replace("{", '{"a": "b\nc", ', 1),
    ],
    ids=["jsonp", "leading zero", "raw newline"],
)
def test_what_gdal_takes_for_json_is_counted_too(tmp_path, cube, spot, change):
    """GDAL reads more than JSON; what it reads is counted, or refused."""
    path = tmp_path / "wide.geojson"
    path.write_text(change(json.dumps(collection(2000, 50_000, spot))))
    with pytest.raises(InvalidInputError, match=r"20,000,000 cells|not JSON"):
        s2kit.read_fields(path, cube)


def test_zip_of_another_method_is_refused(tmp_path, cube, spot):
    """Python unpacks whatever comes, at once, of a zip that is compressed by bzip2 or LZMA."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.geojson", json.dumps(collection(2, 2, spot)))
    with pytest.raises(InvalidInputError, match="another method than deflate"):
        s2kit.read_fields(tmp_path / "a.zip", cube)


@pytest.mark.parametrize("form", FORMS[:6])
def test_columns_are_kept(tmp_path, cube, spot, form):
    """Of a file within the bounds, all columns are there."""
    (tmp_path / "a.geojson").write_text(text_of(form, collection(10, 30, spot)))
    fields = s2kit.read_fields(tmp_path / "a.geojson", cube)
    assert len(fields) == 11
    assert {*(f"c{i}" for i in range(30)), "name"} <= set(fields.columns)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"features": [', '{"features": [1, 2', "{'a': 1}", '{"a": 1, }', "{}{"]
)
def test_broken_json_is_an_error_of_the_kit(tmp_path, cube, text):
    """What is no JSON ends in a named error, soon."""
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(InvalidInputError, match=r"cannot be read|no table with geometries"):
        s2kit.read_fields(tmp_path / "a.geojson", cube)


@given(st.text('{}[]":, \n\\afeturs1', max_size=60))
@settings(max_examples=300)
def test_counting_ends(text):
    """For any text, counting ends with numbers, or with an error that is expected."""
    try:
        rows, columns = _count(text)
    except (ValueError, RecursionError):
        return
    assert rows >= 0 and columns >= 0


_VALUES = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), _VALUES, max_size=4), max_size=5),
    st.dictionaries(st.text(max_size=3), _VALUES, max_size=2),
)
def test_counts_are_those_of_the_document(properties, others):
    """Rows and names are those that a whole decoding finds."""
    names = set().union(*properties, {"type", "geometry", "properties"} if properties else ())
    document = {**others, "features": [feature(one) for one in properties]}
    rows, columns = _count(json.dumps(document))
    assert rows == len(properties) + 1
    assert columns == len(names | (document.keys() - {"features"}))


def test_deep_json_is_named(tmp_path, cube, spot):
    """Values in values without end are refused, in any member of a file."""
    deep = "[" * 200_000 + "]" * 200_000
    for text in (
        f'{{"type": "FeatureCollection", "x": {deep}, "features": []}}',
        f'{{"type": "FeatureCollection", "features": [{{"properties": {{"a": {deep}}}}}]}}',
    ):
        (tmp_path / "a.geojson").write_text(text)
        with pytest.raises(InvalidInputError, match="too deep"):
            s2kit.read_fields(tmp_path / "a.geojson", cube)
        with pytest.raises(InvalidInputError, match="is not GeoJSON"):
            read_aoi(tmp_path / "a.geojson")
        with pytest.raises(InvalidInputError, match="is no GeoJSON"):
            read_upload(text.encode(), "a.geojson", cube)


def test_long_json_is_refused(tmp_path, cube, monkeypatch):
    """A file of more bytes than are read is refused, also in a zip that hides its size."""
    monkeypatch.setattr(table_size, "LARGEST_TEXT", 10_000_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", '{"a": "' + "x" * 20_000_000 + '"}')
    assert (tmp_path / "a.zip").stat().st_size < 100_000
    with pytest.raises(InvalidInputError, match="MB of JSON"):
        s2kit.read_fields(tmp_path / "a.zip", cube)


def wide_geopackage(path, cube, rows, columns):
    """Write a GeoPackage whose rows are short, though the table has many columns."""
    shapes = gpd.GeoSeries.from_xy([float(cube.x.mean())] * rows, [float(cube.y.mean())] * rows)
    gpd.GeoDataFrame({"Name": "here"}, geometry=shapes, index=range(rows), crs=28992).to_file(path)
    with closing(sqlite3.connect(path)) as file:
        for i in range(columns):
            file.execute(f"ALTER TABLE {path.stem} ADD COLUMN c{i} INTEGER")
        file.commit()


def test_wide_geopackage_is_refused(tmp_path, cube):
    """Columns that were added to a table take no room in the file, but would in memory."""
    wide_geopackage(tmp_path / "wide.gpkg", cube, 10_500, 1990)
    with pytest.raises(InvalidInputError, match="10500 rows and 1991 columns"):
        s2kit.read_fields(tmp_path / "wide.gpkg", cube)


def test_wide_csv_is_refused(tmp_path, cube):
    """The first line tells the columns of all others, of which GDAL takes 2000."""
    names = ",".join(["WKT", *(f"c{i}" for i in range(50_000))])
    (tmp_path / "wide.csv").write_text("\n".join([names, *['"POINT (1 2)"'] * 10_500]))
    with pytest.raises(InvalidInputError, match="10500 rows and 2000 columns"):
        s2kit.read_fields(tmp_path / "wide.csv", cube)


def test_long_parquet_is_refused(tmp_path, cube):
    """A column of one value takes no room in Parquet."""
    table = pa.table({f"c{i}": np.zeros(5_000_000, "i1") for i in range(5)})
    pq.write_table(table, tmp_path / "long.parquet")
    assert (tmp_path / "long.parquet").stat().st_size < 1_000_000
    with pytest.raises(InvalidInputError, match="5000000 rows and 5 columns"):
        s2kit.read_fields(tmp_path / "long.parquet", cube)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", [7, 1007, 3007, 0x80000007])
def test_nested_shapes_in_parquet_are_refused(tmp_path, cube, order, code):
    """GEOS follows collections in collections until the process ends; they are refused unread."""
    start = struct.pack(f"{order}BII", order == "<", code, 1)
    shapes = [shapely.to_wkb(shapely.Point(1, 1)), start * 200_000]
    stated = {
        "version": "1.0.0",
        "primary_column": "g",
        "columns": {"g": {"encoding": "WKB", "geometry_types": ["Point"]}},
    }
    table = pa.table({"g": shapes}).replace_schema_metadata({"geo": json.dumps(stated)})
    pq.write_table(table, tmp_path / "deep.parquet")
    with pytest.raises(InvalidInputError, match="holds collections of shapes"):
        s2kit.read_fields(tmp_path / "deep.parquet", cube)


def test_uploads_keep_what_is_shown(tmp_path, cube, spot):
    """Of an upload only names and colours are read: other columns take nothing."""
    wide = json.dumps(collection(3, 50_000, spot))
    places, beside = read_upload(wide.encode(), "wide.geojson", cube)
    assert [name for name, *_ in places] == ["wide 0", "wide 1", "wide 2", "here"]
    assert beside == 0
    wide_geopackage(tmp_path / "wide.gpkg", cube, 15, 1990)
    places, _ = read_upload((tmp_path / "wide.gpkg").read_bytes(), "wide.gpkg", cube)
    assert [name for name, *_ in places] == ["here"] * 15


def test_wide_upload_takes_little_memory(cube, spot):
    """An upload of many rows and columns is refused for its places, not for its memory."""
    wide = json.dumps(collection(2000, 50_000, spot)).encode()
    with pytest.raises(InvalidInputError, match="holds 2001 places on the cube"):
        read_upload(wide, "wide.geojson", cube)


def test_large_area_files_are_refused(tmp_path, monkeypatch):
    """A file with an area of interest has a stated size at most."""
    monkeypatch.setattr(region, "_LARGEST", 1000)
    (tmp_path / "a.geojson").write_text(" " * 2000)
    with pytest.raises(InvalidInputError, match="is not GeoJSON"):
        read_aoi(tmp_path / "a.geojson")


def test_addresses_with_nested_shapes_are_refused():
    """GEOS follows collections in collections until the process ends; they are no places."""
    deep = "GEOMETRYCOLLECTION(" * 200_000 + "POINT(1 1)" + ")" * 200_000
    for text in (
        f"a|#112233|{deep[:900_000]}",
        f"a|#112233|{deep}",
        "a|#112233|LINESTRING(0 0,1 1)",
    ):
        with pytest.raises(InvalidInputError, match="names no places"):
            read_text(text)


def parquet(path: Path, geo: object) -> None:
    """Write fields as GeoParquet, and state something else about them."""
    table = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:28992")
    table.to_parquet(path)
    stored = pq.read_table(path)
    metadata = (stored.schema.metadata or {}) | {b"geo": json.dumps(geo).encode()}
    pq.write_table(stored.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    "geo",
    [5, {"primary_column": 5}, {"primary_column": "geometry", "columns": {"geometry": 5}}, []],
)
def test_odd_metadata_of_parquet(tmp_path, cube, geo):
    """They are named as what cannot be read."""
    parquet(tmp_path / "fields.parquet", geo)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        s2kit.read_fields(tmp_path / "fields.parquet", cube)


def test_outline_of_two_points(tmp_path, cube):
    """So is a shape that is none."""
    shape = {"type": "Polygon", "coordinates": [[[4, 52], [5, 53]]]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    path = tmp_path / "fields.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(InvalidInputError):
        s2kit.read_fields(path, cube)


@pytest.mark.parametrize("name", ["fields.geojson", "fields.gpkg", "fields.parquet"])
def test_pipe_is_no_table(tmp_path, cube, name):
    """It would be waited for without end."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(InvalidInputError, match="not a file"):
        s2kit.read_fields(tmp_path / name, cube)
