"""Pictures of fields draw the values that they are given, with the colours of their classes."""

import geopandas as gpd
import holoviews as hv
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from s2kit.course import field_pictures, pictures


@pytest.fixture(autouse=True, scope="module")
def backend():
    """Draw with Bokeh, as notebooks do."""
    pictures.start_pictures()


@pytest.fixture
def source(monkeypatch):
    """Return what titles say of the data."""
    monkeypatch.setitem(pictures._source, "note", "synthetic practice data")
    return "synthetic practice data"


def option(element, name):
    """Return an option of an element."""
    found = {
        group: hv.Store.lookup_options("bokeh", element, group).kwargs
        for group in ("style", "plot")
    }
    return found["style"].get(name, found["plot"].get(name))


@pytest.fixture
def fields():
    """Return three squares of two crops."""
    squares = [shapely.box(100 * n, 0, 100 * n + 80, 80) for n in range(3)]
    return gpd.GeoDataFrame({"crop": ["maize", "onion", "maize"]}, geometry=squares, crs=28992)


def test_fields_are_coloured_by_their_class(fields, source):
    """Each class is one layer with its number of fields and its colour of the course."""
    drawn = field_pictures.show_fields(fields, "crop", "Known")
    assert [part.label for part in drawn] == ["maize (2)", "onion (1)"]
    wanted = pictures.class_colours(["maize", "onion"])
    assert [option(part, "color") for part in drawn] == list(wanted.values())
    assert [len(part) for part in drawn] == [2, 1]
    assert option(drawn, "title") == f"Known\n({source})"
    hv.render(drawn)


def test_outlines_follow_the_fields(fields):
    """Without a column, the rings of all fields are drawn, in their coordinates."""
    drawn = field_pictures.show_fields(fields)
    assert len(drawn) == 3
    assert drawn.range("x") == (0, 280) and drawn.range("y") == (0, 80)


def test_fields_with_holes_and_parts_are_drawn():
    """A field with a hole is outlined inside too, and one of two parts has two areas."""
    ring = shapely.box(0, 0, 90, 90).difference(shapely.box(30, 30, 60, 60))
    two = shapely.union(shapely.box(200, 0, 210, 10), shapely.box(300, 0, 310, 10))
    fields = gpd.GeoDataFrame({"crop": ["maize", "onion"]}, geometry=[ring, two], crs=28992)
    assert len(field_pictures.show_fields(fields)) == 4
    assert [len(part) for part in field_pictures.show_fields(fields, "crop")] == [1, 2]


def test_points_are_the_rows_of_the_table(source):
    """Each class has its rows as points, with the axes named."""
    table = pd.DataFrame(
        {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop": ["maize", "onion", "maize"]}
    )
    labels = ("mean (1)", "std (1)")
    drawn = field_pictures.show_points(table, "mean", "std", "crop", "Two", labels=labels)
    maize = next(part for part in drawn if part.label == "maize")
    assert maize.dimension_values("mean").tolist() == [0.1, 0.3]
    assert maize.dimension_values("std").tolist() == [0.4, 0.6]
    assert option(maize, "color") == pictures.class_colours(["maize"])["maize"]
    assert (option(drawn, "xlabel"), option(drawn, "ylabel")) == labels
    assert source in option(drawn, "title")


def test_bars_are_the_values_first_at_the_top(source):
    """Bars hold the values in order from the top, with their own colours."""
    values = pd.Series({"a": 3.0, "b": 1.0})
    drawn = field_pictures.show_bars(values, "Bars", label="%", colours={"b": "#E69F00"})
    assert drawn.dimension_values("name").tolist() == ["b", "a"]  # Bokeh begins at the bottom
    assert drawn.dimension_values("%").tolist() == [1, 3]
    assert drawn.dimension_values("colour").tolist() == ["#E69F00", field_pictures.BLUE]
    assert source in option(drawn, "title")
    spread = field_pictures.show_bars(values, "Bars", label="%", spread=values / 10)
    assert spread.ErrorBars.I.dimension_values("spread").tolist() == [0.1, 0.3]
    hv.render(spread)


def test_confusion_counts_pixels_and_shades_shares(source):
    """Each cell has the pixels of the table, and their share of the true class, the row."""
    names = ["maize", "onion"]
    confusion = pd.DataFrame([[8, 2], [1, 3]], index=names, columns=names)
    drawn = field_pictures.show_confusion(confusion, "Confusion")
    cells = drawn.HeatMap.I.dframe().set_index(["truth", "answer"])
    assert cells.pixels["maize", "onion"] == 2 and cells.share["maize", "onion"] == 20
    assert cells.pixels["onion", "maize"] == 1 and cells.share["onion", "maize"] == 25
    assert cells.share["onion", "onion"] == 75
    assert source in option(drawn.HeatMap.I, "title")
    hv.render(drawn)


def test_season_has_its_dots_curve_and_days(source):
    """Clear observations are dots, the curve is cut in gaps, and days that are known are drawn."""
    days = np.array(["2022-04-01", "2022-05-01", "2022-06-01"], "M8[ns]")
    seen = xr.DataArray([0.2, np.nan, 0.8], {"time": days}, ["time"], name="NDVI")
    curve = seen.copy(data=[0.2, np.nan, 0.8])
    season = xr.Dataset({"start": days[1], "peak": days[2], "end": np.datetime64("NaT", "ns")})
    drawn = field_pictures.show_season(seen, curve, season, "Field 1", colour="#0072B2")
    assert drawn.Scatter.I.dimension_values("NDVI").tolist() == [0.2, 0.8]
    assert np.array_equal(drawn.Curve.I.dimension_values("NDVI"), curve, equal_nan=True)
    assert [line.data for line in drawn.traverse(specs=[hv.VLine])] == [days[1], days[2]]
    assert source in option(drawn, "title")
    hv.render(drawn)


def test_gaps_in_a_map_of_classes_are_white():
    """No data is white beside the colours of the crops."""
    legend = {"flag_values": [0, 1, 2], "flag_meanings": "no_data maize sugar_beet"}
    codes = np.array([[0, 1], [2, 2]], "u1")
    layer = xr.DataArray(codes, {"y": [1.0, 0.0], "x": [0.0, 1.0]}, ["y", "x"], attrs=legend)
    crops = pictures.class_colours(["maize", "sugar beet"])
    drawn = pictures.show_classes(layer, "Land cover")
    assert option(drawn, "cmap") == ["#FFFFFF", *crops.values()]
    assert drawn.dimension_values(2, flat=False).tolist() == [[2, 2], [0, 1]]  # from the south
