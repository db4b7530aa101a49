"""Areas of interest: every accepted form gives the same area, every mistake is named."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import mapping

from s2kit.errors import InvalidInputError
from s2kit.practice import REGION_RD
from s2kit.scenes.region import PRESETS, read_aoi

DELFT = (4.2, 51.9, 4.5, 52.1)
BOX = shapely.box(*DELFT)
NAN_RING = [[4, 51], [float("nan"), 51], [5, 52], [4, 51]]
RING = [[4.2, 51.9], [4.5, 51.9], [4.5, 52.1], [4.2, 52.1], [4.2, 51.9]]


@given(
    st.floats(-180, 179), st.floats(1e-3, 1), st.floats(-90, 89), st.floats(1e-3, 1), st.booleans()
)
def test_forms_agree(west: float, width: float, south: float, height: float, flat: bool) -> None:
    """Box, polygon, GeoJSON and Feature of the same area are the same."""
    east, north = west + width, south + height
    polygon = shapely.box(west, south, east, north)
    given_polygon = polygon if flat else shapely.force_3d(polygon, 7)
    feature = {"type": "Feature", "properties": {}, "geometry": mapping(given_polygon)}
    forms = [
        (west, south, east, north),
        np.array([west, south, east, north]),
        given_polygon,
        mapping(given_polygon),
        feature,
        {"type": "FeatureCollection", "features": [feature, feature]},
    ]
    for form in forms:
        found = read_aoi(form)
        assert found.equals(polygon) and not found.has_z


def test_file(tmp_path: Path) -> None:
    """A GeoJSON file counts as what is in it, by path or by name, with or without a BOM."""
    path = tmp_path / "field.geojson"
    path.write_text("\ufeff" + json.dumps(mapping(BOX)), encoding="utf-8")
    assert read_aoi(path).equals(BOX) and read_aoi(str(path)).equals(BOX)


def test_parts_are_joined() -> None:
    """Features that lie apart are one area of two parts; a self-crossing outline is mended."""
    parts = [shapely.box(4, 51, 4.1, 51.1), shapely.box(5, 52, 5.1, 52.1)]
    features = [{"type": "Feature", "geometry": mapping(part)} for part in parts]
    found = read_aoi({"type": "FeatureCollection", "features": features})
    assert found.equals(shapely.MultiPolygon(parts))
    bow_tie = read_aoi(shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]))
    assert bow_tie.is_valid and bow_tie.area == pytest.approx(0.5)


def test_given_geometry_is_left_alone() -> None:
    """The dict that is passed is not changed."""
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [RING]}}
    before = json.dumps(feature)
    read_aoi(feature)
    assert json.dumps(feature) == before


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_their_box(name: str) -> None:
    """A preset's outline, back in metres, is its box to a metre, all along its sides."""
    crs, bounds = PRESETS[name]
    outline = read_aoi(name)
    back = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform
    corners = shapely.get_coordinates(shapely.segmentize(outline, 1e-3))
    x, y = back(*corners.T)
    ring = shapely.points(np.column_stack([x, y]))
    assert shapely.distance(shapely.box(*bounds).exterior, ring).max() < 1
    assert (min(x), min(y), max(x), max(y)) == pytest.approx(bounds, abs=1)


def test_presets_are_those_of_the_design() -> None:
    """The Netherlands are the model cube's 34 375 x 30 000 pixels; Delft is the practice region."""
    west, south, east, north = PRESETS["netherlands"][1]
    assert ((north - south) / 10, (east - west) / 10) == (34_375, 30_000)
    assert PRESETS["delft"] == ("EPSG:28992", REGION_RD)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((84_000, 445_000, 90_000, 450_000), "looks like metres"),
        (shapely.box(84_000, 445_000, 90_000, 450_000), "looks like metres"),
        ((179.5, -17.5, 180.5, -16.5), "take 360 from those beyond"),
        (shapely.box(350, -17.5, 355, -16.5), "one on each side"),
        ((51.9, 100.2, 52.1, 100.5), "swapped"),
        ({"type": "Polygon", "coordinates": [[[5, 120], [6, 120], [6, 121], [5, 120]]]}, "swapped"),
        ((4.5, 51.9, 4.2, 52.1), "west east of its east"),
        ((4.2, 52.1, 4.5, 51.9), "south north of its north"),
        ((4.2, 51.9, 4.2, 52.1), "without area"),
        ((4.2, float("nan"), 4.5, 52.1), "no numbers"),
        ((4.2, 51.9, float("inf"), 52.1), "no numbers"),
        ({"type": "Polygon", "coordinates": [NAN_RING]}, "no numbers"),
        ((4.2, 51.9, 4.5), "not four numbers"),
        ((4.2, 51.9, 4.5, "52.1"), "not four numbers"),
        ((True, 51.9, 4.5, 52.1), "not four numbers"),
        (shapely.Polygon(), "empty"),
        (shapely.Point(4, 52), "Point without area"),
        (shapely.LineString([(4, 52), (5, 53)]), "LineString without area"),
        ({"type": "FeatureCollection", "features": []}, "empty"),
        ({"type": "Feature", "geometry": None}, "cannot be read"),
        ({"type": "Polygon"}, "cannot be read"),
        ({"type": "Polygon", "coordinates": "x"}, "cannot be read"),
        ({}, "cannot be read"),
        (None, "NoneType"),
        (52, "int"),
        ("netherland", "Did you mean 'netherlands'"),
        ("Delft", "Did you mean 'delft'"),
        ("atlantis", "neither a file nor a preset"),
        ("fields/none.geojson", "neither a file nor a preset"),
        ("x" * 5000, "not GeoJSON"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_mistakes(bad: object, message: str) -> None:
    """Each mistake is an error that says what was found."""
    with pytest.raises(InvalidInputError, match=message):
        read_aoi(bad)


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "\x00"])
def test_file_that_is_no_geojson(tmp_path: Path, content: str) -> None:
    """A file that holds something else is named."""
    path = tmp_path / "aoi.geojson"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=r"aoi\.geojson is not GeoJSON"):
        read_aoi(path)
    with pytest.raises(InvalidInputError, match="not GeoJSON"):
        read_aoi(tmp_path)


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("urn:ogc:def:crs:OGC:1.3:CRS84", True),
        ("urn:ogc:def:crs:EPSG::4326", True),
        ("urn:ogc:def:crs:EPSG::28992", False),
        ("EPSG:3857", False),
    ],
)
def test_crs_member(name: str, accepted: bool) -> None:
    """GeoJSON that says it is in another coordinate system is refused by that name."""
    crs = {"type": "name", "properties": {"name": name}}
    content = {"type": "Polygon", "coordinates": [RING], "crs": crs}
    if accepted:
        assert read_aoi(content).equals(BOX)
    else:
        with pytest.raises(InvalidInputError, match=f"{name}.*4326"):
            read_aoi(content)


@pytest.mark.parametrize("crs", [{"properties": None}, {"properties": 5}, {"properties": [1]}, 5])
def test_odd_crs_member(crs: object) -> None:
    """What is no name of a system is refused as one that is not degrees."""
    with pytest.raises(InvalidInputError, match="has to be in degrees"):
        read_aoi(shapely.geometry.mapping(shapely.box(4, 51, 5, 52)) | {"crs": crs})


def star(corners: int) -> list[list[float]]:
    """Return an outline that crosses itself at nearly every step."""
    return [
        [4 + i * 7919 % corners / corners, 52 + i * 104729 % corners / corners]
        for i in range(corners)
    ]


def test_outlines_that_cross_themselves_end_in_seconds() -> None:
    """Some are mended; of more corners than can be mended in seconds they are refused."""
    begin = time.monotonic()
    assert read_aoi(shapely.Polygon(star(350))).is_valid
    for corners in (2_000, 5_000, 90_000):
        with pytest.raises(InvalidInputError, match="cross themselves"):
            read_aoi({"type": "Polygon", "coordinates": [star(corners)]})
    triangles = [{"geometry": shapely.geometry.mapping(shapely.Polygon(star(3)))}] * 40_000
    with pytest.raises(InvalidInputError, match="160000 corners"):
        read_aoi({"type": "FeatureCollection", "features": triangles})
    assert time.monotonic() - begin < 60


def test_pipe_is_no_file(tmp_path: Path) -> None:
    """It would be waited for without end."""
    os.mkfifo(tmp_path / "aoi.geojson")
    with pytest.raises(InvalidInputError, match="not a file"):
        read_aoi(tmp_path / "aoi.geojson")
