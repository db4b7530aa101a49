"""The region and the period that a notebook's parameters name."""

import pytest

from s2kit import course
from s2kit.errors import InvalidInputError


def test_middle_and_whole_period_by_default(practice_cube):
    """Without a region, it is the middle, at most so many pixels wide; all overpasses stay."""
    part = course.cut_cube(practice_cube, pixels=100)
    assert dict(part.sizes) == {"time": practice_cube.sizes["time"], "y": 100, "x": 100}
    assert part.x.values.tolist() == practice_cube.x.values[200:300].tolist()


def test_period_includes_both_ends(practice_cube):
    """A month and a year, as text or number, are taken whole."""
    part = course.cut_cube(practice_cube, start="2021-06", end=2021)
    months = practice_cube.time.dt.strftime("%Y-%m").values
    assert part.sizes["time"] == sum("2021-06" <= month <= "2021-12" for month in months)


def test_region_in_degrees(practice_cube):
    """A region in degrees is cut on the cube's own pixels."""
    part = course.cut_cube(practice_cube, [4.43, 52.0, 4.44, 52.01])
    assert 60 < part.sizes["x"] < 90 and 100 < part.sizes["y"] < 140
    assert set(part.x.values) < set(practice_cube.x.values)


@pytest.mark.parametrize("where", [{"aoi": [6.0, 53.0, 6.1, 53.1]}, {"start": 2031}])
def test_nothing_there_ends_in_advice(practice_cube, where):
    """Outside of the cube, an error says what the cube covers."""
    with pytest.raises(InvalidInputError, match=r"it covers \[4\.\d+.*2021-04-05 to 2023-03-31"):
        course.cut_cube(practice_cube, **where)
