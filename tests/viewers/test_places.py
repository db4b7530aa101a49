"""Places against shapely and geopandas; their series against areas by shapely and plain numpy."""

import io
import json
import sqlite3
import string
from contextlib import closing

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from cubes import CRS, NORTH, PIXEL, WEST, box, decoded, every, make_cube, random_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import geometry_mask
from rasterio.transform import from_origin

from s2kit.errors import InvalidInputError
from s2kit.viewers import place_series, places, uploads
from s2kit.viewers.colours import PLACE_COLOURS
from s2kit.viewers.levels import Levels
from s2kit.viewers.places import Place
from s2kit.viewers.uploads import LARGEST, read_upload

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
STEPS, ROWS, COLS = 4, 30, 40
CLEAR = [4, 5, 6, 7]

TO_DEGREES = pyproj.Transformer.from_crs(CRS, 4326, always_xy=True)


@pytest.fixture(scope="module")
def layers():
    """Return made-up layers with gaps; the last step is never clear."""
    made = random_layers(7, (STEPS, ROWS, COLS))
    made["SCL"][-1] = 9
    return made


@pytest.fixture(scope="module")
def cube(layers, tmp_path_factory):
    """Open a cube of these layers."""
    return make_cube(tmp_path_factory.mktemp("places") / "c", layers, every(30, STEPS))


@pytest.fixture(scope="module")
def levels(cube):
    """Return its levels."""
    return Levels(cube)


def ndvi_of(layers):
    """Write the NDVI of clear pixels out in numpy, float64; NaN elsewhere."""
    red, nir = (decoded(layers[band]).astype("f8") for band in ("B04", "B08"))
    with np.errstate(all="ignore"):
        ndvi = (nir - red) / (nir + red)
    ndvi[~np.isin(layers["SCL"], CLEAR) | ~np.isfinite(ndvi)] = np.nan
    return ndvi


def areas(shape, rows=ROWS, cols=COLS, pixel=PIXEL):
    """Return the covered fraction of each pixel, by intersecting them one by one."""
    row, col = np.indices((rows, cols))
    pixels = shapely.box(
        WEST + pixel * col, NORTH - pixel * (row + 1), WEST + pixel * (col + 1), NORTH - pixel * row
    )
    return shapely.area(shapely.intersection(pixels, shape)) / pixel**2


def assert_series(found, values, weight, whole):
    """Compare each step with weighted sums over the pixels that are clear."""
    for step, row in enumerate(found.itertuples()):
        use = np.isfinite(values[step]) & (weight > 0)
        value, part = values[step][use], weight[use]
        assert row.count == pytest.approx(part.sum(), abs=1e-4)
        assert row.share == pytest.approx(part.sum() / whole, abs=1e-6)
        if not len(value):
            assert np.isnan([row.mean, row.std, row.min, row.max]).all()
            continue
        mean = (value * part).sum() / part.sum()
        std = np.sqrt((part * (value - mean) ** 2).sum() / part.sum())
        expected = [mean, std, value.min(), value.max()]
        assert [row.mean, row.std, row.min, row.max] == pytest.approx(expected, abs=2e-6)


# Shapes and names


def test_outlines():
    """Clicks make a point, the box between two corners in any order, and a polygon."""
    assert places.outline("point", [(3, 4)]) == shapely.Point(3, 4)
    for corners in ([(0, 0), (2, 5)], [(2, 0), (0, 5)], [(2, 5), (0, 0)]):
        assert places.outline("box", corners).equals(shapely.box(0, 0, 2, 5))
    triangle = places.outline("polygon", [(0, 0), (4, 0), (0, 4)])
    assert triangle.area == 8
    tie = places.outline("polygon", [(0, 0), (4, 4), (4, 0), (0, 4)])
    assert tie.is_valid
    assert tie.area == 8


@pytest.mark.parametrize(
    ("kind", "corners", "words"),
    [
        ("point", [], "needs 1 corner"),
        ("box", [(0, 0)], "needs 2 corners, and there is 1"),
        ("polygon", [(0, 0), (1, 1)], "needs 3 corners, and there are 2"),
        ("box", [(0, 0), (0, 5)], "enclose nothing"),
        ("box", [(1, 1), (1, 1)], "enclose nothing"),
        ("polygon", [(0, 0), (1, 1), (2, 2)], "enclose nothing"),
    ],
)
def test_outlines_of_too_little(kind, corners, words):
    """Too few corners, or such that enclose nothing, end in a named error."""
    with pytest.raises(InvalidInputError, match=words):
        places.outline(kind, corners)


@EXAMPLES
@given(st.lists(st.sampled_from(["a", "a 2", "b", " a ", "", "place", "é"]), max_size=20))
def test_added_places_have_names_and_colours_of_their_own(names):
    """Neither names nor colours are ever twice."""
    held = []
    for name in names:
        held = places.add(held, name, shapely.Point(0, 0))
    found = [place.name for place in held]
    assert len(found) == len(names) == len(set(found))
    assert all(
        f == n.strip() or f.startswith(n.strip() or "place")
        for f, n in zip(found, names, strict=True)
    )
    assert [place.colour for place in held] == list(PLACE_COLOURS[: len(names)])


def test_a_freed_colour_is_used_again():
    """A place that is removed gives its colour to the next one."""
    held = []
    for n in range(3):
        held = places.add(held, str(n), shapely.Point(0, 0))
    left = [held[0], held[2]]
    assert places.add(left, "3", shapely.Point(0, 0))[-1].colour == held[1].colour


SOME_COLOURS = st.sampled_from([None, *PLACE_COLOURS, "#0072b2", "#abcdef", "#ABCDEF", "#FFFFFF"])


@EXAMPLES
@given(st.lists(SOME_COLOURS, max_size=8), st.lists(SOME_COLOURS, max_size=12))
def test_colours_of_files_are_kept_and_never_twice(first, second):
    """A file's colour is kept by the first place that has it; any other gets one of its own."""
    held = []
    for asked in (first, second):
        before = {place.colour.upper() for place in held}
        held = places.add_all(held, [("a", shapely.Point(0, 0), colour) for colour in asked])
        got = [place.colour for place in held[-len(asked) :]] if asked else []
        for n, colour in enumerate(asked):
            earlier = before | {one.upper() for one in asked[:n] if one}
            if colour and colour.upper() not in earlier:
                assert got[n] == colour
            else:
                assert got[n] in PLACE_COLOURS
    assert len({place.colour.upper() for place in held}) == len(held)


def test_too_many_places():
    """Twenty places are enough; one more ends in an error that says what else can be done."""
    held = []
    for _ in range(20):
        held = places.add(held, "a", shapely.Point(0, 0))
    with pytest.raises(InvalidInputError, match=r"there are 20 places.*field_series"):
        places.add(held, "a", shapely.Point(0, 0))


# The text in the address

NAMES = st.text(min_size=1, max_size=12)
NUMBERS = st.integers(-10_000_000, 10_000_000).map(lambda n: n / 10)


@st.composite
def drawn_places(draw):
    """Draw places with any names, on a grid of a tenth."""
    names = draw(st.lists(NAMES, max_size=6, unique=True))
    found = []
    for name in names:
        x, y = draw(NUMBERS), draw(NUMBERS)
        width, height = draw(st.integers(1, 900)), draw(st.integers(1, 900))
        square = shapely.box(x, y, x + width, y + height)
        far = shapely.box(x + 2000, y, x + 2001, y + 1)
        shape = draw(
            st.sampled_from(
                [
                    shapely.Point(x, y),
                    square,
                    shapely.MultiPolygon([square, far]),
                    shapely.Polygon([(x, y), (x + width, y), (x, y + height)]),
                ]
            )
        )
        colour = "#" + draw(st.text(string.hexdigits, min_size=6, max_size=6))
        found.append(Place(name, colour, shape))
    return found


@settings(EXAMPLES, max_examples=150)
@given(drawn_places())
def test_text_round_trip(drawn):
    """Places written for the address and read again are the same; so is the text."""
    text = places.write_text(drawn)
    found = places.read_text(text)
    assert [(p.name, p.colour) for p in found] == [(p.name, p.colour) for p in drawn]
    for one, other in zip(found, drawn, strict=True):
        assert shapely.equals_exact(one.shape, other.shape, 1e-9)
    assert places.write_text(found) == text


def test_text_of_degrees():
    """With more digits, degrees survive too."""
    place = Place("a", "#000000", shapely.box(4.312345, 51.99, 4.312445, 51.990101))
    (found,) = places.read_text(places.write_text([place], 6))
    assert shapely.equals_exact(found.shape, place.shape, 1e-9)


@EXAMPLES
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=3, max_size=8))
def test_text_of_small_outlines(corners):
    """However small an outline is, what is written can be read again."""
    shape = shapely.make_valid(shapely.Polygon(corners), method="structure", keep_collapsed=False)
    if not shape.area > 1e-6:
        return
    shape = shapely.transform(shape, lambda xy: xy / 10 + (WEST, NORTH))
    if not shape.is_valid or not shape.area > 0:
        return
    (found,) = places.read_text(places.write_text([Place("a", "#000000", shape)]))
    assert found.shape.hausdorff_distance(shape) < 0.08


@EXAMPLES
@given(st.text(max_size=60) | st.text("a|#0;POINT()1 ", max_size=60))
def test_any_text_is_places_or_a_named_error(text):
    """Whatever the address holds becomes places, or a named error."""
    try:
        found = places.read_text(text)
    except InvalidInputError:
        return
    assert all(isinstance(place, Place) for place in found)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a|b",
        "a|#000000|POINT (1 2",
        "a|#000000|LINESTRING (0 0, 1 1)",
        "a|#000000|POINT EMPTY",
        "a|#000000|POINT (nan 1)",
        "a|red|POINT (1 2)",
        'a|#0072B2ff"><img src=x onerror=alert(1)>|POINT (1 2)',
        "a|#0072B2\n|POINT (1 2)",
        "a|#000000|POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))",
        "a|#000000|POINT (1 2);a|#000000|POINT (1 2)",
        ";".join(f"{n}|#000000|POINT (1 2)" for n in range(21)),
    ],
)
def test_text_that_is_none(text):
    """Text cut short, a colour that is HTML, a line, a crossed outline, a name twice, too much."""
    with pytest.raises(InvalidInputError, match="address of this page"):
        places.read_text(text)


def test_table_keeps_names_as_text(levels):
    """A name that is HTML stands in the table as text."""
    place = Place("<script>alert(1)</script>", "#000000", box(0, 0, 5, 5))
    series = {place.name: place_series.place_series(levels, place, "NDVI")}
    table = place_series.html_table([place], series)
    assert "<script" not in table
    assert "&lt;script&gt;" in table
    assert place_series.html_table([], {}) == ""


# Files


def as_geojson(table):
    """Write a table as GeoJSON in its own coordinate system, as GDAL does."""
    out = io.BytesIO()
    table.to_file(out, driver="GeoJSON")
    return out.getvalue()


def as_geopackage(table, folder):
    """Write a table as a GeoPackage."""
    table.to_file(folder / "made.gpkg")
    return (folder / "made.gpkg").read_bytes()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:28992", "EPSG:32631", "EPSG:3857"])
@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".GPKG", ".json"])
def test_upload_in_other_systems(cube, tmp_path, crs, suffix):
    """GeoJSON and GeoPackage of any coordinate system lie where geopandas puts them."""
    own = gpd.GeoDataFrame(
        {"name": ["á", "b"]}, geometry=[box(2, 3, 9, 8), box(20, 1, 30, 4)], crs=CRS
    )
    table = own.to_crs(crs)
    content = as_geopackage(table, tmp_path) if "gpkg" in suffix.lower() else as_geojson(table)
    found, _ = read_upload(content, f"fields{suffix}", cube)
    assert [name for name, *_ in found] == ["á", "b"]
    for (_, shape, _), expected in zip(found, own.geometry, strict=True):
        assert shape.symmetric_difference(expected).area < 0.01 * PIXEL**2


def test_upload_names(cube, tmp_path):
    """Names come from name, naam, field_id or id; what has none is numbered after the file."""
    shapes = [box(2, 3, 9, 8), box(20, 1, 30, 4)]
    for column in ("Name", "naam", "Field_ID", "fieldid", "ID"):
        table = gpd.GeoDataFrame({column: [7, 8]}, geometry=shapes, crs=CRS)
        found, _ = read_upload(as_geopackage(table, tmp_path), "x.gpkg", cube)
        assert [name for name, *_ in found] == ["7", "8"]
    table = gpd.GeoDataFrame({"field_id": [7, None], "id": [1, 2]}, geometry=shapes, crs=CRS)
    found, _ = read_upload(as_geopackage(table, tmp_path), "x.gpkg", cube)
    assert [name for name, *_ in found] == ["7", "x 1"]
    table = gpd.GeoDataFrame({"soil": [1, 2]}, geometry=shapes, crs=CRS)
    found, _ = read_upload(as_geojson(table), "my fields.geojson", cube)
    assert [name for name, *_ in found] == ["my fields 0", "my fields 1"]
    table = gpd.GeoDataFrame({"name": ["a", None]}, geometry=shapes, crs=CRS)
    found, _ = read_upload(as_geojson(table), "f.geojson", cube)
    assert [name for name, *_ in found] == ["a", "f 1"]
    listed = json.loads(as_geojson(table))
    listed["features"][0]["properties"]["name"] = [1, 2]
    found, _ = read_upload(json.dumps(listed).encode(), "f.geojson", cube)
    assert [name for name, *_ in found] == ["[1, 2]", "f 1"]


@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
def test_upload_of_names_in_order_of_preference(cube, tmp_path, suffix):
    """Of several columns the first of name, naam, field_id, fieldid and id names a place."""
    columns = {name: [f"by {name}"] for name in ("id", "fieldid", "FIELD_ID", "naam", "NAME")}
    while columns:
        table = gpd.GeoDataFrame(columns, geometry=[box(2, 3, 9, 8)], crs=CRS)
        content = as_geopackage(table, tmp_path) if suffix == "gpkg" else as_geojson(table)
        ((name, *_),), _ = read_upload(content, f"x.{suffix}", cube)
        last = list(columns)[-1]
        assert name == columns.pop(last)[0]


@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
def test_upload_of_crops(cube, tmp_path, suffix):
    """The crop stands after the name, where there is one."""
    shapes = [box(2, 3, 9, 8), box(20, 1, 30, 4), box(11, 1, 15, 4)]
    columns = {"field_id": [12, 13, None], "Crop": ["winter wheat", None, "beet"]}
    table = gpd.GeoDataFrame(columns, geometry=shapes, crs=CRS)
    content = as_geopackage(table, tmp_path) if suffix == "gpkg" else as_geojson(table)
    found, _ = read_upload(content, f"f.{suffix}", cube)
    assert [name for name, *_ in found] == ["12 winter wheat", "13", "f 2 beet"]


def test_upload_of_points_and_of_one_beside(cube):
    """Points are taken, what lies beside the cube is counted and left out."""
    shapes = [shapely.Point(WEST + 15, NORTH - 25), shapely.Point(WEST - 500, NORTH)]
    table = gpd.GeoDataFrame({"name": ["in", "out"]}, geometry=shapes, crs=CRS)
    ((name, shape, _),), beside = read_upload(as_geojson(table), "p.geojson", cube)
    assert (name, beside) == ("in", 1)
    assert shape.distance(shapes[0]) < 0.01


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"{}", "a.shp", "a.shp is not a file of fields"),
        (b"{}", "noname", "not a file of fields"),
        (b"", "a.geojson", "a.geojson is empty"),
        (b"SQ", "a.gpkg", "no GeoPackage"),
        (b'{"type": "FeatureColl', "a.geojson", "no GeoJSON"),
        (b"[1]", "a.json", "no GeoJSON"),
        (b"\xff\xfe\x00", "a.geojson", "no GeoJSON"),
        (b"[" * 99_999, "a.geojson", "no GeoJSON"),
        (b"SQLite format 3\x00 and no more", "a.gpkg", "a.gpkg.*cannot be read"),
        (b'{"type": "FeatureCollection", "features": []}', "a.geojson", "no places in it"),
        (b'{"type": "Feature", "properties": {}, "geometry": null}', "a.json", "no geometry|no ta"),
    ],
)
def test_upload_of_broken_files(cube, content, name, words):
    """Files of other kinds, cut or empty ones end in an error that names them as the user does."""
    with pytest.raises(InvalidInputError, match=words) as caught:
        read_upload(content, name, cube)
    assert "/tmp" not in str(caught.value)


def test_upload_of_two_layers(cube, tmp_path):
    """Of a GeoPackage with two layers none is left out without a word."""
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(2, 3, 9, 8)], crs=CRS)
    for layer in ("meadows", "woods"):
        table.to_file(tmp_path / "two.gpkg", layer=layer)
    with pytest.raises(InvalidInputError, match=r"holds 2 layers \(meadows, woods\)"):
        read_upload((tmp_path / "two.gpkg").read_bytes(), "two.gpkg", cube)


def test_upload_of_an_unknown_system(cube):
    """A coordinate system that nobody knows is no reason to take degrees."""
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(2, 3, 9, 8)], crs=CRS)
    content = json.loads(as_geojson(table))
    content["crs"] = {"type": "name", "properties": {"name": "EPSG:123456"}}
    with pytest.raises(InvalidInputError, match="EPSG:123456"):
        read_upload(json.dumps(content).encode(), "odd.geojson", cube)


@pytest.mark.parametrize("system", ["Amersfoort", "EPSG:28992", "urn:ogc:def:crs:EPSG::25831"])
def test_upload_in_the_system_that_it_names(cube, system):
    """A system by any name that is known is the one in which the numbers are read."""
    shape = box(2, 3, 9, 8)
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shape], crs=CRS).to_crs(system)
    content = json.loads(table.to_json(drop_id=True))
    content["crs"] = {"type": "name", "properties": {"name": system}}
    ((_, found, _),), _ = read_upload(json.dumps(content).encode(), "odd.geojson", cube)
    assert found.hausdorff_distance(shape) < 0.01


@pytest.mark.parametrize("inside", ["geometry", "feature"])
def test_upload_with_a_system_inside(cube, inside):
    """A system that only one of the places names is not passed over."""
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(2, 3, 9, 8)], crs=CRS)
    content = json.loads(as_geojson(table))
    feature = content["features"][0]
    part = feature["geometry"] if inside == "geometry" else feature
    part["crs"] = {"type": "name", "properties": {"name": "EPSG:28992"}}
    with pytest.raises(InvalidInputError, match="system of its own"):
        read_upload(json.dumps(content).encode(), "odd.geojson", cube)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_upload_of_a_corner_that_is_no_number(cube, number):
    """A corner that is nowhere is not left out: the area would be another one."""
    content = as_geojson(gpd.GeoDataFrame(geometry=[box(2, 3, 9, 8)], crs=CRS))
    first = json.loads(content)["features"][0]["geometry"]["coordinates"][0][1][0]
    broken = content.replace(str(first).encode(), number.encode(), 1)
    assert broken != content
    with pytest.raises(InvalidInputError, match=r"a corner that is no number|no GeoJSON"):
        read_upload(broken, "odd.geojson", cube)


def test_upload_of_an_open_ring(cube):
    """A ring of which the last corner is not the first one again is closed."""
    shape = box(2, 3, 9, 8)
    content = json.loads(as_geojson(gpd.GeoDataFrame(geometry=[shape], crs=CRS)))
    content["features"][0]["geometry"]["coordinates"][0].pop()
    ((_, found, _),), _ = read_upload(json.dumps(content).encode(), "open.geojson", cube)
    assert found.hausdorff_distance(shape) < 0.01


def test_upload_of_ones_own_number(cube):
    """A feature's number, beside its properties, is a name too; a shape by itself is one place."""
    table = gpd.GeoDataFrame(geometry=[box(2, 3, 9, 8)], index=["17b"], crs=CRS)
    content = table.to_crs("EPSG:4326").to_json().encode()
    ((name, *_),), _ = read_upload(content, "a.geojson", cube)
    assert name == "17b"
    alone = json.dumps(json.loads(content)["features"][0]["geometry"]).encode()
    ((name, *_),), _ = read_upload(alone, "a.geojson", cube)
    assert name == "a 0"


def test_upload_of_a_name_that_is_no_text(cube):
    """Half of a character, which JSON can hold and an address cannot, becomes a sign for it."""
    table = gpd.GeoDataFrame({"name": ["NAME"]}, geometry=[box(2, 3, 9, 8)], crs=CRS)
    content = as_geojson(table).replace(b"NAME", b"\\ud800x")
    ((name, *_),), _ = read_upload(content, "a.geojson", cube)
    assert name == "?x"


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        ([[0, 0], [500, 0], [500, 95], [0, 95], [0, 0]], "a corner beyond the Earth"),
        ([[10**400, 1], [2, 1], [2, 2], [10**400, 1]], "no GeoJSON"),
        ([[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]], r"fields\.clip"),
    ],
)
def test_upload_of_the_whole_earth(cube, corners, words):
    """What has no place in the cube's system is refused for what it is."""
    content = {"type": "Polygon", "coordinates": [corners]}
    with pytest.raises(InvalidInputError, match=words):
        read_upload(json.dumps(content).encode(), "a.geojson", cube)


def star(corners, crossing):
    """Return an outline of so many corners around the middle of the cube."""
    turn = np.linspace(0, 2 * np.pi * (2 if crossing else 1), corners, endpoint=False)
    reach = np.where(np.arange(corners) % 2, 140, 90)
    middle = np.array([WEST + PIXEL * COLS / 2, NORTH - PIXEL * ROWS / 2])
    return shapely.Polygon(middle + reach[:, None] * np.c_[np.cos(turn), np.sin(turn)])


@pytest.mark.parametrize(("most", "crossing"), [(9999, False), (499, True)])
def test_upload_of_many_corners(cube, most, crossing):
    """An outline of as many corners as can be read is read whole, one with more is refused."""
    shape = star(most, crossing)
    assert shape.is_valid != crossing
    for outline, refused in ((shape, False), (star(most + 1, crossing), True)):
        content = as_geojson(gpd.GeoDataFrame(geometry=[outline], crs=CRS))
        if refused:
            told = f"themselves, 1 of {most + 2} c" if crossing else f"outline of {most + 2} c"
            with pytest.raises(InvalidInputError, match=told):
                read_upload(content, "star.geojson", cube)
        else:
            ((_, found, _),), _ = read_upload(content, "star.geojson", cube)
            mended = shapely.make_valid(shape, method="structure", keep_collapsed=False)
            assert found.area == pytest.approx(mended.area, rel=1e-4)


def crossing_outlines(count, corners) -> bytes:
    """Make a file of outlines that cross themselves, most of them beside the cube."""
    shapes = [shapely.affinity.translate(star(corners, True), n * 50) for n in range(count)]
    return as_geojson(gpd.GeoDataFrame(geometry=shapes, crs=CRS))


def test_upload_of_too_many_crossing_outlines(cube, monkeypatch):
    """Outlines that would take minutes to mend are refused before one is mended."""
    monkeypatch.setattr(uploads, "place_fields", None)  # which mends
    with pytest.raises(InvalidInputError, match="themselves, 40 of 12040 corners"):
        read_upload(crossing_outlines(40, 300), "stars.geojson", cube)


def test_upload_of_some_crossing_outlines(cube):
    """Outlines that are soon mended are taken over."""
    found, beside = read_upload(crossing_outlines(20, 60), "stars.geojson", cube)
    assert len(found) + beside == 20


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT n.i AS fid, fields.geom AS geom FROM n, fields",
        "CREATE TABLE v (fid INTEGER PRIMARY KEY, geom BLOB, n AS (hex(zeroblob(400000000))))",
        "CREATE VIRTUAL TABLE v USING fts5(fid, geom /* USING RTREE */)",
        'CREATE VIRTUAL TABLE "v" USING /* "v" USING RTREE */ fts5(fid, geom)',
    ],
)
def test_upload_that_is_computed(cube, tmp_path, made):
    """A GeoPackage whose rows are computed as they are read, without end, is refused."""
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(1, 1, 5, 5)], crs=CRS)
    path = tmp_path / "fields.gpkg"
    table.to_file(path, layer="fields")
    assert read_upload(path.read_bytes(), "fields.gpkg", cube)[0][0][0] == "a"
    with closing(sqlite3.connect(path)) as file:
        file.execute(made)
        for name in ("gpkg_contents", "gpkg_geometry_columns"):
            file.execute(f"UPDATE {name} SET table_name = 'v'")
        file.commit()
    with pytest.raises(InvalidInputError, match=r"computes 'v' as it is read .*export its layer"):
        read_upload(path.read_bytes(), "fields.gpkg", cube)


@pytest.mark.parametrize("system", ["EPSG:5773", "EPSG:4978"])
def test_upload_in_a_system_that_is_none_of_a_map(cube, system):
    """Heights and places from the middle of the Earth are refused."""
    content = json.loads(as_geojson(gpd.GeoDataFrame(geometry=[box(1, 1, 5, 5)], crs=CRS)))
    content["crs"] = {"type": "name", "properties": {"name": system}}
    with pytest.raises(InvalidInputError, match="which is no system for places on a map"):
        read_upload(json.dumps(content).encode(), "odd.geojson", cube)


@pytest.mark.parametrize("colour", [None, 5, "red", "#12345", '"><script>'])
def test_upload_of_a_colour_that_is_none(cube, colour):
    """What is no colour is left out; the place gets one of its own."""
    table = gpd.GeoDataFrame({"colour": [colour]}, geometry=[box(1, 1, 5, 5)], crs=CRS)
    ((*_, found),), _ = read_upload(as_geojson(table), "odd.geojson", cube)
    assert found is None


def test_upload_of_a_large_file(cube):
    """A file beyond what a page's connection takes is refused by its size."""
    with pytest.raises(InvalidInputError, match=r"big.geojson has 5.0 MB; give a file of 5 MB"):
        read_upload(b" " * (LARGEST + 1), "big.geojson", cube)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), "no valid outline .Self-intersection"),
        (shapely.LineString([(0, 0), (1, 1)]), "a is a LineString"),
        ("POINT (1 2)", "a is a str"),
        (shapely.Polygon(), "an empty Polygon"),
        (shapely.Point(np.nan, 1), "no valid outline"),
        (shapely.MultiPoint([(0, 0), (1, 1)]), "a is a MultiPoint"),
    ],
)
def test_shapes_that_are_no_place(shape, words):
    """What has no area, or one that is not sure, becomes no place at all."""
    with pytest.raises(InvalidInputError, match=words):
        places.add([], "a", shape)


def test_upload_cut_short(cube, tmp_path):
    """A GeoPackage of which the end is missing gives a named error."""
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(2, 3, 9, 8)], crs=CRS)
    content = as_geopackage(table, tmp_path)
    with pytest.raises(InvalidInputError, match=r"cut\.gpkg"):
        read_upload(content[: len(content) // 3], "cut.gpkg", cube)


def test_upload_that_names_other_files(cube, tmp_path):
    """A file by which GDAL would read another file of the machine is refused."""
    table = gpd.GeoDataFrame({"name": ["secret"]}, geometry=[box(2, 3, 9, 8)], crs=CRS)
    as_geopackage(table, tmp_path)
    secret = tmp_path / "made.gpkg"
    vrt = (
        f'<OGRVRTDataSource><OGRVRTLayer name="made"><SrcDataSource>{secret}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    pipeline = {
        "type": "gdal_streamed_alg",
        "command_line": f"gdal vector pipeline ! read {secret}",
    }
    both = '{"type": "gdal_streamed_alg", "type": "FeatureCollection", "features": [], '
    for content in (vrt, json.dumps(pipeline), both + json.dumps(pipeline)[1:]):
        for name in ("a.geojson", "a.json", "a.gpkg"):
            with pytest.raises(InvalidInputError):
                read_upload(content.encode(), name, cube)


def test_upload_of_too_many_outside_or_mixed(cube):
    """Too many places, none on the cube, points among polygons: named errors."""
    many = gpd.GeoDataFrame(geometry=[box(n, 0, n + 1, 1) for n in range(18)], crs=CRS)
    assert len(read_upload(as_geojson(many), "m.geojson", cube, 2)[0]) == 18
    with pytest.raises(InvalidInputError, match="holds 18 places on the cube; 17 more"):
        read_upload(as_geojson(many), "m.geojson", cube, 3)
    far = gpd.GeoDataFrame(geometry=[box(900, 0, 901, 1)], crs=CRS)
    with pytest.raises(InvalidInputError, match="none of the 1 fields touches the cube"):
        read_upload(as_geojson(far), "f.geojson", cube)
    line = gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1), box(0, 0, 1, 1).exterior], crs=CRS)
    with pytest.raises(InvalidInputError, match="holds a LineString; give points and polygons"):
        read_upload(as_geojson(line), "b.geojson", cube)


@settings(EXAMPLES, max_examples=15)
@given(st.lists(st.text(max_size=10), min_size=1, max_size=5))
def test_geojson_read_by_geopandas(names):
    """What is written is GeoJSON in degrees, with the names and colours, for any program."""
    held = [Place(n, PLACE_COLOURS[i], box(i, 0, i + 2, 3)) for i, n in enumerate(names)]
    written = places.write_geojson(held, TO_DEGREES).getvalue()
    found = gpd.GeoDataFrame.from_features(json.loads(written), crs="EPSG:4326")
    assert [*found.name] == names
    assert [*found.colour] == [p.colour for p in held]
    assert found.total_bounds[0] > 4
    assert found.total_bounds[3] < 53
    moved = found.to_crs(CRS).geometry
    for shape, place in zip(moved, held, strict=True):
        assert shape.hausdorff_distance(place.shape) < 0.005


def test_geojson_without_places():
    """There is nothing to write without places: a named error."""
    with pytest.raises(InvalidInputError, match="no places yet"):
        places.write_geojson([], TO_DEGREES)


def test_geojson_of_all_kinds_comes_back(cube):
    """Points and polygons that were saved together are read together, in their order."""
    shapes = [box(2, 3, 9, 8), shapely.Point(WEST + 15, NORTH - 25), box(1, 1, 2, 2)]
    held = [Place(name, "#0072B2", shape) for name, shape in zip("abc", shapes, strict=True)]
    content = places.write_geojson(held, TO_DEGREES).read()
    found, beside = read_upload(content, "mine.geojson", cube)
    assert ([name for name, *_ in found], beside) == (["a", "b", "c"], 0)
    for (_, shape, _), place in zip(found, held, strict=True):
        assert shape.hausdorff_distance(place.shape) < 0.005


def test_geojson_comes_back(cube):
    """A file that was taken home can be uploaded again."""
    held = [Place("a & b", "#0a0B0c", box(1, 2, 5, 6))]
    written = places.write_geojson(held, TO_DEGREES).getvalue()
    ((name, shape, colour),), _ = read_upload(written, "home.geojson", cube)
    assert (name, colour) == ("a & b", "#0a0B0c")
    assert shape.hausdorff_distance(held[0].shape) < 0.005


# Series


@pytest.mark.parametrize(
    "corners", [(0, 0, COLS, ROWS), (3, 5, 9, 6), (39, 29, 40, 30), (10, 2, 30, 28)]
)
def test_series_of_boxes(levels, layers, corners):
    """The mean, spread, count and share of a box of whole pixels are numpy's."""
    west, north, east, south = corners
    place = Place("a", "#000000", box(*corners))
    found = place_series.place_series(levels, place, "NDVI")
    inside = np.zeros((ROWS, COLS))
    inside[north:south, west:east] = 1
    assert_series(found, ndvi_of(layers), inside, inside.sum())
    grid = from_origin(WEST, NORTH, PIXEL, PIXEL)
    mask = ~geometry_mask([place.shape], (ROWS, COLS), grid)
    np.testing.assert_array_equal(mask, inside > 0)


@settings(EXAMPLES, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-5, COLS + 5), st.floats(-5, ROWS + 5)), min_size=3, max_size=3)
)
def test_series_of_triangles(levels, layers, corners):
    """Pixels count by the area in the triangle; of what lies beyond the cube nothing is asked."""
    shape = shapely.Polygon([(WEST + PIXEL * x, NORTH - PIXEL * y) for x, y in corners])
    weight = areas(shape)
    if weight.sum() < 0.05:
        return
    found = place_series.place_series(levels, Place("a", "#000000", shape), "NDVI")
    assert_series(found, ndvi_of(layers), weight, weight.sum())


def test_series_of_a_layer(levels, layers):
    """A layer is described in its own unit."""
    found = place_series.place_series(levels, Place("a", "#000000", box(3, 3, 20, 20)), "B08")
    values = decoded(layers["B08"]).astype("f8")
    values[~np.isin(layers["SCL"], CLEAR)] = np.nan
    assert_series(found, values, areas(box(3, 3, 20, 20)), 17 * 17)


@pytest.mark.parametrize(
    ("x", "y", "row", "col"),
    [
        (5, 5, 0, 0),
        (0, 0, 0, 0),
        (10, 10, 1, 1),
        (200, 100, 10, 20),
        (199.9, 99.9, 9, 19),
        (399, 299, 29, 39),
        (400, 300, 29, 39),
        (400, 5, 0, 39),
        (5, 300, 29, 0),
    ],
)
def test_series_of_points(levels, layers, x, y, row, col):
    """A point has its pixel's values; on a border the one to the east and south, if there is."""
    place = Place("a", "#000000", shapely.Point(WEST + x, NORTH - y))
    found = place_series.place_series(levels, place, "NDVI")
    expected = ndvi_of(layers)[:, row, col]
    np.testing.assert_allclose(found["mean"], expected, atol=1e-6)
    np.testing.assert_array_equal(found.share, np.isfinite(expected))


def thinned(cube):
    """Take every third pixel in y and x."""
    return cube.isel(y=slice(0, None, 3), x=slice(0, None, 3))


def coarsened(cube):
    """Take the mean of 2 × 2 pixels; of classes the first."""
    mean = cube[["B04", "B08"]].coarsen(y=2, x=2).mean()
    first = cube.SCL.isel(y=slice(0, None, 2), x=slice(0, None, 2))
    return mean.assign(SCL=first.assign_coords(y=mean.y, x=mean.x))


def moved_by_half(cube):
    """Return the pixels other places, half a pixel to the east."""
    return cube.assign_coords(x=cube.x + 5)


def in_another_system(cube):
    """Return that the coordinates are of another system."""
    return cube.rio.write_crs("EPSG:32631")


def named_again(cube):
    """Return the coordinate system anew: the size of the pixels is not told any more."""
    return cube.drop_vars("spatial_ref").rio.write_crs(CRS)


@pytest.mark.parametrize(
    "change", [thinned, coarsened, named_again, moved_by_half, in_another_system]
)
@pytest.mark.parametrize(("row", "col"), [(0, 0), (3, 7), (9, 12)])
def test_series_within_one_column_of_a_changed_cube(cube, layers, change, row, col):
    """A place of one pixel, column or row has the pixel size of the cube as it is now."""
    changed = change(cube[["B04", "B08", "SCL"]])
    pixel = float(changed.x[1] - changed.x[0])
    west, north = float(changed.x[col]) - pixel / 2, float(changed.y[row]) + pixel / 2
    levels = Levels(changed)
    red, nir, scl = (changed[name].values for name in ("B04", "B08", "SCL"))
    with np.errstate(all="ignore"):
        ndvi = np.where(np.isin(scl, CLEAR), (nir - red) / (nir + red), np.nan)
    ndvi = np.where(np.isfinite(ndvi), ndvi, np.nan)
    corners = [(west + 1, north - 1), (west + pixel - 1, north - 1), (west + 1, north - pixel)]
    for shape in (shapely.Point(west + 1, north - 1), shapely.Polygon(corners)):
        found = place_series.place_series(levels, Place("a", "#000000", shape), "NDVI")
        weight = shape.area / pixel**2 if shape.area else 1.0
        inside = np.zeros(ndvi.shape[1:])
        inside[row, col] = weight
        assert_series(found, ndvi, inside, weight)


def test_series_beside_the_cube(levels):
    """A place beside the cube ends in an error that names it."""
    for shape in (box(60, 0, 61, 1), shapely.Point(WEST - 1, NORTH - 5)):
        with pytest.raises(InvalidInputError, match="my field lies beside"):
            place_series.place_series(levels, Place("my field", "#000000", shape), "NDVI")


def test_wide_places_are_described_by_the_cube_itself(tmp_path):
    """However wide a place is, its pixels are the cube's: a cloud is never mixed into a mean."""
    rng = np.random.default_rng(1)
    shape = (2, 20, 1100)
    classes = rng.choice([4, 9], shape).astype("u1")
    counts = np.where(classes == 4, rng.integers(0, 3000, shape), 9000).astype("i2")
    levels = Levels(
        make_cube(tmp_path / "c", {"B08": counts, "SCL": classes}, every(9, 2), overviews=True)
    )
    found = place_series.place_series(levels, Place("a", "#000000", box(0, 0, 1024, 20)), "B08")
    clear = np.where(classes == 4, counts / 1e4, np.nan)[:, :, :1024]
    np.testing.assert_allclose(found["mean"], np.nanmean(clear, (1, 2)), atol=1e-6)
    np.testing.assert_allclose(found["std"], np.nanstd(clear, (1, 2)), atol=1e-6)
    np.testing.assert_allclose(found["count"], np.isfinite(clear).sum((1, 2)))
    with pytest.raises(InvalidInputError, match="all of it is more than 10240 m wide"):
        place_series.place_series(levels, Place("all of it", "#000000", box(0, 0, 1100, 20)), "B08")


def test_well_seen():
    """Dates that saw less than half of a place clear are left out of curves."""
    table = pd.DataFrame({"share": [0.49, 0.5, 1, 0.9], "mean": [1, 2, np.nan, 4]})
    assert place_series.well_seen(table)["mean"].tolist() == [2, 4]
