"""The class of fields is found in the usual columns, and squares stand for fields."""

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers `.rio`)
import shapely
import xarray as xr

from s2kit import course
from s2kit.errors import InvalidInputError


def table(**columns):
    """Return two fields with these columns."""
    return gpd.GeoDataFrame(columns, geometry=[shapely.box(0, 0, 1, 1)] * 2)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"name": ["a", "b"], "crop": ["x", "y"]}, "crop"),
        ({"landcover": [1, 2], "label": [3, 4]}, "label"),
        ({"number": [1, 2], "gewas": ["x", "y"], "remark": ["", ""]}, "gewas"),
    ],
)
def test_class_column_is_a_usual_name_or_the_first_text(columns, found):
    """Usual names come first, whatever they hold; else the first column with text."""
    assert course.class_column(table(**columns)) == found


def test_class_column_says_what_is_missing():
    """Without a class the error lists the columns, and what is accepted."""
    with pytest.raises(InvalidInputError, match=r"columns number, geometry; .*crop, class, label"):
        course.class_column(table(number=[1, 2]))


def test_squares_hold_25_pixels_inside_the_cube():
    """Fifteen squares of 5 × 5 pixels lie apart, inside, in the system of the cube."""
    x, y = 500_005.0 + 10 * np.arange(60), 5_000_595.0 - 10 * np.arange(60)
    cube = xr.Dataset(coords={"y": y, "x": x}).rio.write_crs("EPSG:32633")
    squares = course.squares(cube)
    assert squares.crs == "EPSG:32633"
    assert list(squares.crop.unique()) == ["north", "middle", "south"]
    assert np.allclose(squares.area, 25 * 100)
    assert squares.field_id.is_unique and len(squares) == 15
    assert squares.union_all().area == pytest.approx(15 * 2500)
    west, south, east, north = squares.total_bounds
    assert x[0] < west < east < x[-1] and y[-1] < south < north < y[0]
    middles = squares.centroid.y.groupby(squares.crop).mean()
    assert middles["north"] > middles["middle"] > middles["south"]
