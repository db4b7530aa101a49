"""A student's cube: the same for the same number, another one for everybody else."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from cubes import CRS, NORTH, PIXEL, WEST, days, make_cube

import s2kit
from s2kit import course
from s2kit.errors import InvalidInputError

SIDE, SIZE = 60, 20
DATES = [f"{y}-{m:02}-{d:02}" for y in (2021, 2022) for m in range(1, 13) for d in (3, 19)]
EMPTY = 30
"""A step of 2022 without data."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a cube of two years whose western two thirds are water; one step saw nothing."""
    rng = np.random.default_rng(2)
    shape = len(DATES), SIDE, SIDE
    layers = {band: rng.integers(100, 4000, shape).astype("i2") for band in ("B04", "B08")}
    layers["SCL"] = np.full(shape, 4, "u1")
    layers["SCL"][:, :, : 2 * SIDE // 3] = 6
    layers["SCL"][EMPTY] = 0
    place = tmp_path_factory.mktemp("class") / "cube.zarr"
    make_cube(place, layers, days(*DATES))
    return place


def cube_of(store, student, **options):
    """Return a student's cube of 2022."""
    return course.student_cube(
        store, student, **{"year": 2022, "size": SIZE, "dates": 10} | options
    )


def test_it_is_a_part_of_the_class_cube(store):
    """Values, place and dates are those of the class's cube, in the year, in order."""
    part = cube_of(store, "s1")
    assert dict(part.sizes) == {"time": 10, "y": SIZE, "x": SIZE}
    assert set(part.time.dt.year.values) == {2022}
    assert (np.diff(part.time.values) > np.timedelta64(0, "ns")).all()
    whole = s2kit.open_cube(store).sel(time=part.time, y=part.y, x=part.x).compute()
    assert list(part.data_vars) == ["B04", "B08", "SCL"]
    for name in part.data_vars:
        np.testing.assert_array_equal(part[name].values, whole[name].values)


def test_the_number_determines_it(store):
    """Case and spaces do not matter; another number has another place or other dates."""
    one = cube_of(store, "S1 ")
    assert one.identical(cube_of(store, "s1"))
    assert cube_of(store, 12).identical(cube_of(store, "12"))
    places = set()
    for number in range(40):
        other = cube_of(store, f"s{number}")
        places.add((other.x.values[0], other.y.values[0], tuple(other.time.values)))
    assert len(places) == 40


def test_it_shows_land_and_whole_overpasses(store):
    """At least half of a window is land where it can be; a step that saw nothing is left out."""
    for number in range(15):
        part = cube_of(store, number, dates=30)
        assert (part.SCL == 4).mean() >= 0.5
        assert part.sizes["time"] == 23
        assert (part.SCL != 0).all()


def test_later_years_do_not_change_it(store, tmp_path):
    """A cube to which other years were added gives the same window and dates."""
    whole = s2kit.open_cube(store, dask=False)
    alone = whole.sel(time="2022")
    layers = {name: alone[name].values for name in ("B04", "B08", "SCL")}
    stored = {n: np.rint(v * 10_000).astype("i2") for n, v in layers.items() if n != "SCL"}
    make_cube(tmp_path / "cube.zarr", stored | {"SCL": layers["SCL"]}, days(*DATES[24:]))
    one, other = cube_of(store, "s7"), cube_of(tmp_path / "cube.zarr", "s7")
    np.testing.assert_array_equal(one.time.values, other.time.values)
    np.testing.assert_array_equal(one.x.values, other.x.values)


def test_its_middle_lies_in_a_field(store):
    """With fields, each window is around one of them, as far as the cube's edge lets it be."""
    west, north = WEST + 45 * PIXEL, NORTH - 30 * PIXEL
    outline = shapely.box(west, north - 2 * PIXEL, west + 2 * PIXEL, north)
    fields = gpd.GeoDataFrame({"crop": ["a"]}, geometry=[outline], crs=CRS)
    for number in range(5):
        part = cube_of(store, number, around=fields)
        assert part.x.values[0] < west < part.x.values[-1]
        assert part.y.values[0] > north > part.y.values[-1]
        assert abs(part.x.values.mean() - west) <= 2 * PIXEL


@pytest.mark.parametrize("student", [None, "", "  ", 1.5, True, ...])
def test_without_a_number_there_is_none(store, student):
    """What is no number says what to write."""
    with pytest.raises(InvalidInputError, match="is not a student number"):
        cube_of(store, student)


def test_an_empty_year_names_those_there_are(store):
    """A year that the cube does not have is said, with those that it has."""
    with pytest.raises(InvalidInputError, match=r"nothing in year=2019.*2021, 2022"):
        cube_of(store, "s1", year=2019)


def test_changing_place_is_land_that_changes(store):
    """It is the square with the largest deviation of the clear NDVI, and not of water."""
    part = cube_of(store, "s3")
    part["B08"] = part.B08 * 0 + 0.3
    part["B04"] = part.B04 * 0 + 0.1
    part["B04"][::2, 10:15, 12:17] = 0.28
    part["SCL"][:, 10:15, 12:17] = 4
    place = course.changing_place(part)
    assert place.x.values.tolist() == part.x.values[12:17].tolist()
    assert place.y.values.tolist() == part.y.values[10:15].tolist()
