"""Own measurements: files against pandas' reader, drawings against what was written in them."""

import io

import numpy as np
import pandas as pd
import panel as pn
import pytest
from cubes import NORTH, WEST, box, every, make_cube, random_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from painting import words

from s2kit.errors import InvalidInputError
from s2kit.viewers import NdviStatistics, TimeQuery
from s2kit.viewers.measurements import MOST, choose, read_measurements
from s2kit.viewers.uploads import LARGEST

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
STEPS = 12

LAI = """date,LAI,place
2020-05-01,1.5,12
2020-06-15T10:30:00Z,3.25,12
2021-06-15,4,b
2021-07-01,2.5,
2024-06-15,9,12
2020-06-15,7,elsewhere
"""


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """Open a cube of two years."""
    layers = random_layers(5, (STEPS, 20, 30))
    layers["SCL"][:, :, :] = 4
    times = every(60, STEPS, "2020-01-05")
    return make_cube(tmp_path_factory.mktemp("measured") / "c", layers, times)


@pytest.fixture
def viewer(cube):
    """Open the statistics viewer with two places."""
    viewer = NdviStatistics(cube)
    viewer.add("12 winter wheat", box(2, 3, 9, 8))
    viewer.add("b", box(10, 3, 19, 8))
    return viewer


def drawn(chart):
    """Return the values of the diamonds of a chart, by their labels."""
    data = chart._measured._source.data
    return dict(zip(data["label"], data["value"], strict=True))


def ends(axis):
    """Return both ends of an axis, also those after a reset."""
    assert (axis.reset_start, axis.reset_end) == (axis.start, axis.end)
    return axis.start, axis.end


# Files


@EXAMPLES
@given(
    st.lists(
        st.tuples(
            st.datetimes(pd.Timestamp(1990, 1, 1), pd.Timestamp(2100, 1, 1)), st.floats(-1e6, 1e6)
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([",", ";"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["date", "Datum", "TIME", "day"]),
)
def test_files_that_pandas_writes(rows, separator, marked, ends_with, title):
    """Whatever pandas writes is read as it was, in order of time, with a decimal comma too."""
    table = pd.DataFrame(rows, columns=[title, "soil moisture, %"])
    decimal = "," if separator == ";" else "."
    kept = {"sep": separator, "decimal": decimal, "lineterminator": ends_with}
    text = table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S.%f", **kept)
    content = text.encode("utf-8-sig" if marked else "utf-8")
    found = read_measurements(content, "soil.csv")
    assert found.name == "soil moisture, %"
    expected = table.sort_values(title, kind="stable")
    assert [*found.table.time] == [*pd.to_datetime(expected[title])]
    np.testing.assert_array_equal(found.table.value, expected["soil moisture, %"])
    assert set(found.table.place) == {""} and found.places == []


def test_times_are_utc_and_days_their_noon():
    """A time of another zone is told in UTC; a day without an hour is its noon."""
    text = "Date;ndvi\n2021-06-04;0,5\n2021-06-04T10:30+02:00;0.6\n2021-06-04 23:59:59;,7\n"
    found = read_measurements(text.encode(), "a.csv")
    times = ["2021-06-04 08:30", "2021-06-04 12:00", "2021-06-04 23:59:59"]
    assert [*found.table.time] == [pd.Timestamp(time) for time in times]
    assert [*found.table.value] == [0.6, 0.5, 0.7]


@pytest.mark.parametrize(
    "column", ["place", "Plaats", "field", "name", "naam", "field_id", "FieldID", "id"]
)
def test_places_are_text(column):
    """A number of a field is the name of a place, no second value; notes are passed over."""
    text = (
        f"day,{column},NDVI,note\n2021-06-04,007,0.5,dry\n2021-06-05,b c,-,x\n\n2021-06-06,,1e-1,"
    )
    found = read_measurements(text.encode(), "a.CSV")
    assert [*found.table.place] == ["007", ""]
    assert [*found.table.value] == [0.5, 0.1]
    assert found.places == ["007"]


def test_a_column_without_a_name():
    """Values of a column without a name are called after the file."""
    found = read_measurements(b"date,\n2021-06-04,5\n", "biomass.csv")
    assert found.name == "biomass"


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"", "a.csv", "a.csv is empty"),
        (b"\xef\xbb\xbf\n \n", "a.csv", "a.csv is empty"),
        (b"date,LAI\n", "a.csv", "a.csv has 0 rows below its header"),
        (b"PK\x03\x04...", "a.xlsx", "a.xlsx is a workbook of a spreadsheet; save the sheet as"),
        (b"PK\x03\x04...", "a.csv", "a.csv is a workbook"),
        (b"date,LAI", "a.ods", "a.ods is a workbook"),
        (b"date,LAI\n2021-06-04,1", "a.geojson", "no file of measurements; give CSV"),
        ("date,µ\n2021-06-04,1".encode("latin-1"), "a.csv", "not text in UTF-8; save it as"),
        ("date,LAI\n2021-06-04,1".encode("utf-16"), "a.csv", "not text in UTF-8"),
        (b"date,LAI\n2021-06-04,1\0", "a.csv", "not text in UTF-8"),
        (b"when,LAI\n2021-06-04,1", "a.csv", "no column of dates: it has when, LAI. Call that"),
        (b"date,crop\n2021-06-04,wheat", "a.csv", "no column of numbers, but crop; beside the"),
        (b"date,id\n2021-06-04,7", "a.csv", "no column of numbers; beside"),
        (b"date,LAI\n2021-06-04,", "a.csv", "no column of numbers, but LAI"),
        (b"date,LAI,x,day\n2021-06-04,1,2,3", "a.csv", r"several columns .* \(LAI, x, day\).*one"),
        (b"date,LAI\n2021-06-04,1\n\n04/06/2021,1", "a.csv", "line 4: '04/06/2021' is no date"),
        (b"date,LAI\n2021-02-30,1", "a.csv", "line 2: '2021-02-30' is no date; give one such as"),
        (b"date,LAI\n2021-02-03 25:00,1", "a.csv", "line 2: '2021-02-03 25:00' is no date"),
        (b"date,LAI\n2021,1", "a.csv", "line 2: '2021' is no date"),
        (b"date,LAI\n,1", "a.csv", "line 2: '' is no date"),
        (b"date,LAI\n2021-06-04,1\n2021-06-05,2\n2021-06-06,~3", "a.csv", "line 4: '~3' is no num"),
        (b"date,LAI\n2021-06-04,1\n2021-06-05,2\n2021-06-06,1e999", "a.csv", "'1e999' is no num"),
        (b"date,LAI\n2021-06-04,1,5", "a.csv", "line 2: 3 columns, and the header has 2; numb"),
        (b'date,LAI\n2021-06-04,"1', "a.csv", "line 2: no CSV"),
        (b"date,LAI\n" + b"2021-06-04,1\n" * (MOST + 1), "a.csv", "5001 rows .* 1 to 5000 meas"),
        (b" " * (LARGEST + 1), "a.csv", "a.csv has 5.0 MB; give a file of 5 MB at most"),
    ],
)
def test_files_that_are_refused(content, name, told):
    """What cannot be read ends in an error that says what was found, where, and what to do."""
    with pytest.raises(InvalidInputError, match=told):
        read_measurements(content, name)


@EXAMPLES
@given(
    st.binary(max_size=60)
    | st.text("date;,\n\"'0123-:. \r\t", max_size=60).map(lambda text: f"date;LAI\n{text}".encode())
)
def test_any_file_is_measurements_or_a_named_error(content):
    """Whatever a file holds becomes measurements with times and finite values, or an error."""
    try:
        found = read_measurements(content, "any.csv")
    except InvalidInputError:
        return
    assert len(found.table) and found.table.time.notna().all()
    assert np.isfinite(found.table.value).all()


# What belongs to what is shown


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["12", "12 beet"], "12"),
        (["B", "12 beet"], "12 beet"),
        (["12 beet", "12 wheat"], None),
        (["12 2"], None),
        (["123"], None),
        ([], None),
    ],
)
def test_places_by_name(places, expected):
    """A measurement belongs to the place of its name, or to the only one that adds a crop."""
    measured = read_measurements(b"date,LAI,place\n2021-06-04,1,12\n", "a.csv")
    table, told = choose(measured, places, (2020, 2022))
    assert [*table.place] == ([expected] if expected else [])
    assert told.startswith("1 of 1" if expected else "0 of 1 measurements of LAI are drawn; left")


def test_what_is_left_out_is_told():
    """Other years and places that are not there are counted; the small and great letter is one."""
    measured = read_measurements(LAI.encode(), "a.csv")
    table, told = choose(measured, ["12 winter wheat", "B"], (2020, 2021))
    assert [*table.value] == [1.5, 3.25, 4.0, 2.5]
    assert [*table.place] == ["12 winter wheat", "12 winter wheat", "B", ""]
    assert told == (
        "4 of 6 measurements of LAI are drawn; left out: 1 of other years, 1 of places that are "
        "not here (elsewhere)."
    )
    assert len(choose(measured, None, (2020, 2021))[0]) == 5


def test_names_that_fit_several_places_are_told():
    """A name that two places continue is not one that is absent."""
    measured = read_measurements(b"date,LAI,place\n2021-06-04,1,12\n2021-06-04,2,9\n", "a.csv")
    table, told = choose(measured, ["12 beet", "12 wheat"], (2020, 2022))
    assert table.empty
    assert told.endswith(
        "left out: 1 of places that are not here (9), 1 that fit several places (12)."
    )


@pytest.mark.parametrize(
    ("content", "hours", "values"),
    [
        ("date,LAI\r2022-05-01,1\r2022-05-02,2\r", [12, 12], [1, 2]),
        ("sep=;\ndate;LAI\n2022-05-01;1,5\n", [12], [1.5]),
        ("SEP=,\r\ndate,LAI\r\n2022-05-01,1.5\r\n", [12], [1.5]),
        ("date,time,LAI\n2022-05-01,10:30,1\n2022-05-02,,2\n", [10.5, 12], [1, 2]),
        ("time,LAI\n2022-05-01 10:30,1\n", [10.5], [1]),
        ("LAI,day,time\n1,2022-05-01,14:00\n", [14], [1]),
    ],
)
def test_files_of_other_programs(content, hours, values):
    """Line ends of a Mac, a separator that is stated, and the hour in a column of its own."""
    table = read_measurements(content.encode(), "a.csv").table
    found = table.time.dt.hour + table.time.dt.minute / 60
    assert [*found] == hours and [*table.value] == values


@pytest.mark.parametrize(
    "content",
    [
        b"date;" + b"x" * 200_000 + b"\n2022-05-01;1\n",
        b"sep=;\ndate,LAI\n2022-05-01,1\n",
        b"date,time,LAI\n2022-05-01,soon,1\n",
        b"date,time,LAI\n2022-05-01 10:30,11:30,1\n",
    ],
)
def test_odd_tables_end_in_a_named_error(content):
    """Cells beyond what is read, a wrong separator and an hour that is none are refused."""
    with pytest.raises(InvalidInputError, match=r"a\.csv"):
        read_measurements(content, "a.csv")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('date,"LAI; mean"', "LAI; mean"),
        ('"LAI, mean";date', "LAI, mean"),
        ('"day","LAI; a; b"', "LAI; a; b"),
    ],
)
def test_separator_is_that_of_the_header(header, name):
    """Semicolons and commas inside a quoted name separate nothing."""
    separator = ";" if header.endswith(";date") else ","
    row = separator.join(["0.5", "2021-06-04"] if separator == ";" else ["2021-06-04", "0.5"])
    measured = read_measurements(f"{header}\n{row}\n".encode(), "a.csv")
    assert measured.name == name and [*measured.table.value] == [0.5]


# The statistics viewer


def test_over_the_curves(viewer):
    """Measurements of places that are there, and of no place, are drawn, on an axis of theirs."""
    before = ends(viewer.curves.figure.y_range)
    viewer.upload_measurements(LAI.encode(), "lai.csv")
    expected = {
        "2020-05-01, LAI 1.5, 12 winter wheat": 1.5,
        "2020-06-15, LAI 3.25, 12 winter wheat": 3.25,
        "2021-06-15, LAI 4, b": 4.0,
        "2021-07-01, LAI 2.5": 2.5,
    }
    assert drawn(viewer.curves) == expected
    chart, dots = viewer.curves.figure, viewer.curves._measured
    days = pd.to_datetime(dots._source.data["x"]).strftime("%Y-%m-%d")
    assert [*days] == [told[:10] for told in expected]
    assert ends(chart.y_range) == before
    assert ends(chart.extra_y_ranges["measured"]) == pytest.approx((1.375, 4.125))
    assert dots._axis.visible and dots._axis.axis_label == "LAI"
    assert dots._entry.visible and dots._entry.label.value == "LAI"
    assert words(viewer.page.status).startswith("lai.csv: 4 of 6 measurements of LAI are drawn")
    assert words(viewer.page.alert) == ""


def test_year_by_year(viewer):
    """Year by year, those of the chosen place are drawn by the day of the year, in any year."""
    viewer.upload_measurements(LAI.encode(), "lai.csv")
    viewer.chosen = "12 winter wheat"
    days = {
        "2020-05-01, LAI 1.5, 12 winter wheat": 122,
        "2020-06-15, LAI 3.25, 12 winter wheat": 167,
        "2021-07-01, LAI 2.5": 183,
    }
    data = viewer.years._measured._source.data
    assert dict(zip(data["label"], data["x"], strict=True)) == days
    viewer.chosen = "b"
    assert list(drawn(viewer.years)) == ["2021-06-15, LAI 4, b", "2021-07-01, LAI 2.5"]


def test_years_and_places_change(viewer):
    """What is drawn follows the years, new names and removed places."""
    viewer.upload_measurements(LAI.encode(), "lai.csv")
    viewer.start = 2021
    assert [*drawn(viewer.curves).values()] == [4.0, 2.5]
    assert "left out: 3 of other years" in words(viewer.measured)
    viewer.change(name="elsewhere")
    viewer.start = 2020
    assert [*drawn(viewer.curves).values()] == [1.5, 3.25, 7.0, 2.5]
    assert "1 of places that are not here (b)" in words(viewer.measured)
    while viewer.places:
        viewer.remove()
    assert [*drawn(viewer.curves).values()] == [2.5]


def test_measurements_are_removed(viewer):
    """Removed measurements leave neither diamonds, nor an axis, nor an entry of the legend."""
    viewer.upload_measurements(LAI.encode(), "lai.csv")
    saved = viewer.csv().getvalue()
    viewer.remove_measurements()
    for chart in (viewer.curves, viewer.years):
        assert drawn(chart) == {}
        assert not chart._measured._axis.visible and not chart._measured._entry.visible
    assert words(viewer.measured) == ""
    assert viewer.csv().getvalue() == saved


def test_a_refused_file_leaves_the_measurements(viewer):
    """A file that cannot be read is told, and the measurements that are drawn stay."""
    viewer.upload_measurements(LAI.encode(), "lai.csv")
    before = drawn(viewer.curves)
    with pytest.raises(InvalidInputError, match=r"b\.csv is empty"):
        viewer.upload_measurements(b"", "b.csv")
    assert drawn(viewer.curves) == before
    with pytest.raises(InvalidInputError, match="measurements"):
        viewer.measurements = "lai.csv"


def test_the_download_has_no_measurements(viewer):
    """The series that are saved are those of the satellite."""
    before = pd.read_csv(viewer.csv())
    viewer.upload_measurements(b"date,NDVI\n2020-06-15,0.123456\n", "n.csv")
    pd.testing.assert_frame_equal(pd.read_csv(viewer.csv()), before)


def test_the_same_axis(viewer):
    """Measurements of the index that is shown share its axis, which has room for them."""
    viewer.upload_measurements(b"date,ndvi\n2020-06-15,0.95\n2020-07-15,-0.35\n", "n.csv")
    dots, chart = viewer.curves._measured, viewer.curves.figure
    assert not dots._axis.visible and dots._entry.visible
    assert ends(chart.extra_y_ranges["measured"]) == ends(chart.y_range)
    assert chart.y_range.start < -0.35 and chart.y_range.end > 0.95
    assert chart.yaxis[0].axis_label == "NDVI"
    viewer.variable = "B08"
    assert dots._axis.visible
    assert ends(chart.extra_y_ranges["measured"]) == pytest.approx((-0.415, 1.015))


def test_measurements_of_another_unit_are_told(viewer):
    """An NDVI in percent beside one from -1 to 1 is counted as beyond, not lost."""
    viewer.upload_measurements(b"date,NDVI\n2020-06-15,50\n2020-07-15,60\n", "n.csv")
    assert viewer.curves.figure.yaxis[0].axis_label == "NDVI (2 beyond)"
    assert viewer.curves.figure.y_range.end < 2


def test_many_names_leave_room_for_curves(viewer):
    """The chart grows with the rows of its legend, and shrinks again."""
    first = viewer.curves.figure.height
    for n in range(10):
        viewer.add(f"more {n}", box(n, 1, n + 2, 3))
    assert viewer.curves.figure.height >= first + 2 * 30  # names stand in three rows, not in one
    while len(viewer.places) > 2:
        viewer.remove()
    assert viewer.curves.figure.height == first


@pytest.mark.parametrize("kind", [NdviStatistics, TimeQuery])
def test_the_control(cube, kind):
    """A file that is chosen is drawn, one that is refused is told; file controls differ in name."""
    viewer = kind(cube)
    files = {one.label: one for one in viewer.__panel__().select(pn.widgets.FileInput)}
    places = {"File of places"} if kind is NdviStatistics else set()
    assert set(files) == {"File of measurements"} | places
    file = files["File of measurements"]
    chart = viewer.curves if kind is NdviStatistics else viewer.series
    buttons = viewer.__panel__().select(pn.widgets.Button)
    (remove,) = (one for one in buttons if one.label == "Remove measurements")
    assert file.accept == ".csv" and not remove.visible
    file.param.update(value=b"date,LAI\n2020-06-15,2\n", filename="lai.csv")
    assert drawn(chart) == {"2020-06-15, LAI 2": 2.0} and remove.visible
    assert (file.value, file.filename) == (None, None)
    file.param.update(value=b"", filename="none.csv")
    assert "none.csv is empty" in words(viewer.page.alert)
    assert drawn(chart) == {"2020-06-15, LAI 2": 2.0}
    remove.clicks += 1
    assert drawn(chart) == {} and not remove.visible
    assert words(viewer.page.alert) == ""


# The time-query viewer


def test_over_a_pixel(cube):
    """Measurements of one place are drawn over any pixel's series, and saved in no file."""
    viewer = TimeQuery(cube)
    saved = viewer.csv().getvalue()
    text = b"date;ndvi;field\n2020-06-15;0,5;9\n2019-06-15;0,6;9\n"
    viewer.upload_measurements(text, "n.csv")
    assert drawn(viewer.series) == {"2020-06-15, ndvi 0.5, 9": 0.5}
    assert words(viewer.measured) == (
        "1 of 2 measurements of ndvi are drawn; left out: 1 of other years. They are of “9”: ask a "
        "pixel there."
    )
    assert not viewer.series._measured._axis.visible
    viewer.chart = "B08"
    assert viewer.series._measured._axis.visible
    viewer.ask(WEST + 55, NORTH - 55)
    assert drawn(viewer.series) == {"2020-06-15, ndvi 0.5, 9": 0.5}
    viewer.chart = "NDVI"
    viewer.ask(WEST + 155, NORTH - 105)
    assert pd.read_csv(io.StringIO(saved)).columns.equals(pd.read_csv(viewer.csv()).columns)
    viewer.remove_measurements()
    assert drawn(viewer.series) == {} and words(viewer.measured) == ""
    assert words(viewer.page.alert) == ""


def test_several_places_over_a_pixel(cube):
    """Measurements of several places are refused: one pixel lies in one of them."""
    viewer = TimeQuery(cube)
    with pytest.raises(InvalidInputError, match=r"of 3 places \(12, elsewhere, b\).*statistics"):
        viewer.upload_measurements(LAI.encode(), "lai.csv")
    assert viewer.measurements is None and drawn(viewer.series) == {}
