"""The statistics viewer without a browser: maps, places and curves are numpy's and pandas'."""

import json
import re
import shutil
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import panel as pn
import param
import pytest
import shapely
from bokeh.palettes import Cividis256, Viridis256
from cubes import CRS, NORTH, PIXEL, WEST, box, decoded, every, make_cube, random_layers, write_cube
from painting import assert_layer, seen, words

import s2kit
from s2kit.errors import InvalidInputError
from s2kit.viewers import NdviStatistics, statistic_map
from s2kit.viewers.charts import fit_axis, time_figure
from s2kit.viewers.colours import PLACE_COLOURS
from s2kit.viewers.levels import View
from s2kit.viewers.ndvi_statistics_layout import limits_with_slider
from s2kit.viewers.place_charts import Curve, Histogram, PlacesChart, day_of_year
from s2kit.viewers.places import Place
from s2kit.viewers.statistic_map import STATISTICS

STEPS, ROWS, COLS = 24, 20, 30
CLEAR = [4, 5, 6, 7]
TIMES = every(40, STEPS, "2020-01-05")
YEARS = pd.to_datetime(TIMES, unit="s").year.to_numpy()
WHOLE = (WEST, NORTH - ROWS * PIXEL, WEST + COLS * PIXEL, NORTH)


@pytest.fixture(scope="module")
def layers():
    """Return made-up layers with gaps: a pixel is never clear, another only in the first year."""
    made = random_layers(21, (STEPS, ROWS, COLS))
    made["SCL"][:, 0, 0] = 9
    made["SCL"][YEARS > 2020, 1, 1] = 3
    return made


@pytest.fixture(scope="module")
def store(layers, tmp_path_factory):
    """Write a cube of them."""
    return write_cube(tmp_path_factory.mktemp("statistics") / "c", layers, TIMES)


@pytest.fixture
def viewer(store):
    """Open the viewer on it."""
    return NdviStatistics(s2kit.open_cube(store))


def between(start, end):
    """Return which steps lie in these years."""
    return np.isin(YEARS, range(start, end + 1))


def clear_values(layers, name="NDVI"):
    """Return clear observations in float64, NaN elsewhere, by plain numpy."""
    red, nir = (decoded(layers[band]).astype("f8") for band in ("B04", "B08"))
    with np.errstate(all="ignore"):
        values = {"NDVI": (nir - red) / (nir + red), "B04": red, "B08": nir}[name]
    return np.where(np.isin(layers["SCL"], CLEAR) & np.isfinite(values), values, np.nan)


def plain(values, statistic):
    """Describe values along time by numpy's functions that know NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranks = {"p10": 10, "median": 50, "p90": 90}
        if statistic == "amplitude":
            return np.nanpercentile(values, 90, 0) - np.nanpercentile(values, 10, 0)
        if statistic in ranks:
            return np.nanpercentile(values, ranks[statistic], 0)
        if statistic == "count":
            return np.isfinite(values).sum(0).astype("f8")
        return getattr(np, f"nan{statistic}")(values, 0)


def palette_of(statistic):
    """Return the colours of a statistic: those that begin at 0 have their own."""
    return Cividis256 if statistic in ("std", "amplitude", "count") else Viridis256


def assert_map(viewer, values):
    """Compare the map with values, and its limits as they are told."""
    picture, covered = seen(viewer.map)
    low, high = viewer.shown_limits
    assert_layer(picture, values, low, high, palette_of(viewer.statistic), slack=0.05)
    assert (viewer.map._mapper.low, viewer.map._mapper.high) == (low, high)
    known = values[np.isfinite(values)]
    least, most = viewer.span
    if viewer.limits is None:
        beside = (high - low) / 2
        ends = max(known.min(), low - beside), min(known.max(), high + beside)
        ends = ends if ends[0] < ends[1] else (known.min(), known.max())
        assert viewer.span == pytest.approx(ends, abs=1e-6)
    assert known.min() - 1e-6 <= least and most <= known.max() + 1e-6
    bars = viewer.histogram._bars.data
    inside = known[(known >= least - 1e-6) & (known <= most + 1e-6)]
    counted, _ = np.histogram(inside.clip(least, most), 50, (least, most))
    assert abs(bars["top"] - counted).sum() <= 4  # on an edge, float32 may fall on the other side
    beyond = re.search(r"(\d+) beyond these values", viewer.histogram.figure.title.text)
    assert bars["top"].sum() + int(beyond[1] if beyond else 0) == known.size
    return covered


# The map


def test_begins_with_the_mean_ndvi(viewer, layers):
    """At first the mean NDVI of all years is shown, from -0.1 to 0.9, and nothing is wrong."""
    assert words(viewer.page.alert) == ""
    assert (viewer.start, viewer.end) == (YEARS[0], YEARS[-1])
    assert viewer.shown_limits == (-0.1, 0.9)
    assert assert_map(viewer, plain(clear_values(layers), "mean")) == WHOLE
    assert viewer.map.figure.title.text == "NDVI, mean, 2020–2022\n(synthetic practice data)"
    assert "pixels of 10 m" in words(viewer.page.status)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_equal_numpy(viewer, layers, statistic):
    """Each statistic of each pixel is numpy's of its clear observations, in the years asked."""
    viewer.statistic = statistic
    for start, end in ((2020, 2022), (2021, 2022), (2020, 2020)):
        viewer.param.update(start=start, end=end)
        asked = between(start, end)
        for name in ("NDVI", "B08"):
            viewer.variable = name
            assert words(viewer.page.alert) == ""
            assert_map(viewer, plain(clear_values(layers, name)[asked], statistic))


@pytest.mark.parametrize(
    ("statistic", "title"),
    [("median", "median"), ("p10", "10th percentile"), ("p90", "90th percentile")],
)
def test_ranks_are_told(viewer, layers, statistic, title):
    """A rank is called so in all titles; the status tells the median of the map beside it."""
    viewer.statistic = statistic
    values = plain(clear_values(layers), statistic)
    assert viewer.map.figure.title.text.startswith(f"NDVI, {title}, 2020–2022\n")
    assert viewer.histogram.figure.title.text.startswith(f"{title} of NDVI on the map\n")
    assert viewer.map._scale.title == f"{title} of NDVI"
    said = f"NDVI, {title}, 2020–2022; pixels of 10 m, their median {np.nanmedian(values):.3g}."
    assert words(viewer.page.status) == said
    viewer._point(WEST + 95, NORTH - 75)
    assert f"{title} {values[7, 9]:.4g}" in words(viewer.readout)


def test_ranks_are_computed_once(viewer, monkeypatch):
    """One pass over the cube serves the median, both percentiles and the amplitude."""
    viewer.statistic = "median"
    monkeypatch.setattr(statistic_map, "time_statistics", None)  # which passes over the cube
    for statistic in ("p10", "p90", "amplitude", "median"):
        viewer.statistic = statistic
        assert words(viewer.page.alert) == ""
        assert seen(viewer.map)[0] is not None


def test_amplitude_is_the_difference_of_ranks(viewer, layers):
    """The amplitude told under the mouse is the 90 % percentile less the 10 %."""
    viewer.statistic = "amplitude"
    low, high = np.nanpercentile(clear_values(layers)[:, 7, 9], [10, 90])
    viewer._point(WEST + 95, NORTH - 75)
    assert f"{high - low:.3f}"[:-1] in words(viewer.readout)


def test_count_tells_of_pixels_never_seen(viewer, layers):
    """The count under the mouse is that of clear observations, of a pixel never clear too."""
    viewer.statistic = "count"
    for row, col in ((0, 0), (1, 1), (9, 9)):
        viewer._point(WEST + col * PIXEL + 5, NORTH - row * PIXEL - 5)
        number = np.isfinite(clear_values(layers)[:, row, col]).sum()
        assert f"{number:g}" in words(viewer.readout).split(" · ")[-1]
    viewer.statistic = "mean"
    viewer._point(WEST + 5, NORTH - 5)
    assert "no data" in words(viewer.readout)


def test_view_shows_its_pixels(viewer, layers):
    """A part of the map shows the pixels that it touches, where they lie."""
    viewer.view = [WEST + 51, NORTH - 149, WEST + 151, NORTH - 49]
    values = plain(clear_values(layers), "mean")[4:15, 5:16]
    covered = assert_map(viewer, values)
    assert covered == (WEST + 50, NORTH - 150, WEST + 160, NORTH - 40)
    viewer.look(View(0, 0, 100, 100))
    assert seen(viewer.map) == (None, None)
    assert "nothing here" in viewer.map._message.text
    viewer.look(None)
    assert seen(viewer.map)[1] == WHOLE


def test_nothing_clear(viewer):
    """Where nothing was clear the map says so, and comes back in years when there was."""
    viewer.view = [WEST + 11, NORTH - 19, WEST + 19, NORTH - 11]
    assert seen(viewer.map)[0] is not None
    for statistic in ("mean", "count"):
        viewer.param.update(statistic=statistic, start=2021)
        assert seen(viewer.map) == (None, None)
        assert "No clear observation" in viewer.map._message.text
        assert "No clear observation" in words(viewer.page.status)
        assert viewer.histogram._bars.data["top"].sum() == 0
        viewer.start = 2020
        assert seen(viewer.map)[0] is not None
    assert words(viewer.page.alert) == ""


def test_limits(viewer, layers):
    """Limits are those chosen, until another statistic is shown or they are let go."""
    values = plain(clear_values(layers), "mean")
    viewer.set_limits(0.2, 0.4)
    assert viewer.shown_limits == (0.2, 0.4)
    assert_map(viewer, values)
    viewer.limits = None
    assert viewer.shown_limits == (-0.1, 0.9)
    viewer.set_limits(0.2, 0.4)
    viewer.statistic = "std"
    deviation = plain(clear_values(layers), "std")
    expected = np.nanpercentile(deviation, [5, 95])
    assert viewer.shown_limits == pytest.approx(expected, abs=0.01 * np.ptp(expected))
    assert_map(viewer, deviation)
    viewer.statistic = "mean"
    assert viewer.shown_limits == (-0.1, 0.9)


@pytest.mark.parametrize("limits", [(0.4, 0.2), (0.3, 0.3), (None, 1.0), (0.0, None)])
def test_limits_that_are_none(viewer, limits):
    """Limits that are missing, equal or exchanged end in a named error; the map stays."""
    before = seen(viewer.map)[0]
    with pytest.raises(InvalidInputError, match=r"is not below the highest|is empty; give both"):
        viewer.set_limits(*limits)
    np.testing.assert_array_equal(seen(viewer.map)[0], before)
    assert viewer.limits is None


@pytest.mark.parametrize(
    "limits",
    [(0.3, 0.3), (0, np.inf), (-np.inf, 0), (np.nan, 1), (0, 10**400)],
    ids=lambda v: f"{v!s:.12}",
)
def test_limits_of_an_address(viewer, limits):
    """Limits that no map can show are refused as they are set, as the page's address does."""
    with pytest.raises(InvalidInputError, match="is not below the highest"):
        viewer.limits = limits
    assert viewer.limits is None


def test_a_refused_slider_goes_back(viewer):
    """Both ends in one place are refused, and boxes and slider show what the colours span."""
    low, high, slider, _ = limits_with_slider(viewer)
    before = viewer.shown_limits
    viewer.param.trigger("span")
    slider.param.update(value=(0.2, 0.2), value_throttled=(0.2, 0.2))
    assert "is not below the highest" in words(viewer.page.alert)
    assert (low.value, high.value) == slider.value == viewer.shown_limits == before


def test_limits_given_with_an_index(viewer):
    """Limits that are given together with an index or statistic count, also if they were so."""
    viewer.param.update(variable="B08", limits=(0.1, 0.3))
    assert viewer.shown_limits == viewer.limits == (0.1, 0.3)
    viewer.param.update(statistic="std", limits=(0.1, 0.3))
    assert viewer.shown_limits == (0.1, 0.3)
    viewer.statistic = "mean"
    assert viewer.limits is None


def test_constant_maps(tmp_path):
    """Maps that are the same everywhere have limits around their only value."""
    layers = {
        "B04": np.full((5, 4, 4), 3000, "i2"),
        "B08": np.full((5, 4, 4), 4000, "i2"),
        "SCL": np.full((5, 4, 4), 4, "u1"),
    }
    viewer = NdviStatistics(make_cube(tmp_path / "c", layers, every(9, 5)))
    for statistic, value in (("count", 5), ("std", 0), ("amplitude", 0)):
        viewer.statistic = statistic
        assert words(viewer.page.alert) == ""
        low, high = viewer.shown_limits
        assert low < value < high
        assert seen(viewer.map)[0][..., 3].all()


def test_years_in_the_wrong_order(viewer):
    """A first year after the last is told, with places too; it is gone when they are right."""
    viewer.add("a", box(2, 2, 9, 9))
    viewer.param.update(start=2022, end=2020)
    assert "the first year, 2022, is after the last, 2020" in words(viewer.page.alert)
    assert viewer.curves._lines.data["xs"] == []
    assert "NDVI" not in viewer.map.figure.title.text
    assert "median" not in words(viewer.page.status)
    viewer.end = 2022
    assert words(viewer.page.alert) == ""
    assert seen(viewer.map)[0] is not None


def test_overviews(tmp_path):
    """A wide view shows the statistics of larger pixels, and says so."""
    rng = np.random.default_rng(3)
    layers = {
        "B08": rng.integers(0, 5000, (3, 520, 540)).astype("i2"),
        "SCL": np.full((3, 520, 540), 4, "u1"),
    }
    viewer = NdviStatistics(make_cube(tmp_path / "c", layers, every(9, 3), overviews=True))
    means = layers["B08"].reshape(3, 260, 2, 270, 2).mean((2, 4)) / 1e4
    assert_layer(seen(viewer.map)[0], means.mean(0), *viewer.shown_limits, Viridis256, slack=0.1)
    assert seen(viewer.map)[1] == (WEST, NORTH - 5200, WEST + 5400, NORTH)
    assert "20 m" in words(viewer.page.status)
    viewer._point(WEST + 103, NORTH - 57)
    assert f"mean {means.mean(0)[2, 5]:.4g} (pixel of 20 m)" in words(viewer.readout)
    opened = s2kit.open_cube(tmp_path / "c", level=1)
    for coarse in (opened, opened.load(), opened.isel(x=slice(3, 99))):
        level = NdviStatistics(coarse)
        assert "clouds mixed in" in level.map.figure.title.text
    viewer.look(View(WEST, NORTH - 2000, WEST + 2000, NORTH))
    assert "clouds" not in viewer.map.figure.title.text
    part = layers["B08"][:, :200, :200].mean(0) / 1e4
    assert_layer(seen(viewer.map)[0], part, *viewer.shown_limits, Viridis256, slack=0.05)


# Places


def test_clicks_make_places(viewer):
    """One click makes a point, two a box, and a polygon is finished when it is asked."""
    viewer.draw = "point"
    viewer.click(WEST + 33, NORTH - 44)
    viewer.draw = "box"
    viewer.click(WEST + 100, NORTH - 150)
    assert viewer.corners == [(WEST + 100, NORTH - 150)]
    assert viewer.layer._draft.data == {"x": [WEST + 100], "y": [NORTH - 150]}
    viewer.click(WEST + 50, NORTH - 50)
    viewer.draw = "polygon"
    for x, y in ((0, 0), (100, 0), (0, 100)):
        viewer.click(WEST + x, NORTH - y)
    assert len(viewer.places) == 2
    viewer.finish()
    assert viewer.corners == []
    assert viewer.layer._draft.data == {"x": [], "y": []}
    point, square, triangle = (place.shape for place in viewer.places)
    assert point == shapely.Point(WEST + 33, NORTH - 44)
    assert square.equals(shapely.box(WEST + 50, NORTH - 150, WEST + 100, NORTH - 50))
    assert triangle.area == 5000
    assert [place.name for place in viewer.places] == ["point", "box", "polygon"]
    assert [place.colour for place in viewer.places] == list(PLACE_COLOURS[:3])
    assert viewer.chosen == "polygon"
    assert viewer.layer._names.data["name"] == ["point", "box", "polygon"]
    assert viewer.layer._points.data["x"] == [WEST + 33]
    assert len(viewer.layer._areas.data["xs"]) == 2


def test_changes_that_come_together(viewer, layers):
    """However changes come together, the picture is that of the view on the map."""
    part = View(WEST + 50, NORTH - 150, WEST + 150, NORTH - 50)
    with param.parameterized.batch_call_watchers(viewer):
        viewer.statistic = "std"
        viewer.look(part)
    picture, covered = seen(viewer.map)
    assert covered == (part.west, part.south, part.east, part.north)
    assert viewer.map.view == part
    wanted = plain(clear_values(layers), "std")[5:15, 5:15]
    assert_layer(picture, wanted, *viewer.shown_limits, Cividis256)


def test_double_click_finishes(viewer):
    """A second click on the last corner finishes, one elsewhere is a corner more."""
    for x, y in ((0, 0), (100, 0)):
        viewer.click(WEST + x, NORTH - y)
    viewer.click_again(WEST, NORTH - 100)
    assert viewer.places == []
    viewer.click_again(WEST + 0.5, NORTH - 100.5)
    assert viewer.places[0].shape.area == 5000
    viewer.click_again(WEST + 0.5, NORTH - 100.5)
    assert viewer.corners == []
    assert len(viewer.places) == 1


def test_quick_clicks_make_points(viewer):
    """Each of two quick clicks is a point; a double click on one spot is one."""
    viewer.draw = "point"
    viewer.click(WEST + 33, NORTH - 44)
    viewer.click_again(WEST + 33.5, NORTH - 44)
    assert len(viewer.places) == 1
    viewer.click_again(WEST + 133, NORTH - 44)
    assert [place.shape.x for place in viewer.places] == [WEST + 33, WEST + 133]


def test_drawing_is_cancelled(viewer):
    """Cancelling, and another kind of place, forget the corners."""
    viewer.click(WEST + 5, NORTH - 5)
    viewer.cancel()
    assert viewer.corners == []
    viewer.click(WEST + 5, NORTH - 5)
    viewer.draw = "box"
    assert viewer.corners == []
    assert viewer.places == []
    assert words(viewer.page.alert) == ""


def test_drawing_errors(viewer):
    """A click beside the cube, too few corners and corners in a line end in named errors."""
    with pytest.raises(InvalidInputError, match="lies beside the cube; click on the picture"):
        viewer.click(WEST - 1, NORTH - 1)
    viewer.click(WEST + 5, NORTH - 5)
    viewer.click(WEST + 15, NORTH - 15)
    with pytest.raises(InvalidInputError, match="needs 3 corners, and there are 2"):
        viewer.finish()
    assert len(viewer.corners) == 2  # so that the third can be added, as the words say
    viewer.click(WEST + 25, NORTH - 25)
    viewer.page.guarded(viewer.finish)()
    assert "enclose nothing" in words(viewer.page.alert)
    assert viewer.places == []
    viewer.draw = "point"
    viewer.click(WEST + 5, NORTH - 5)
    assert words(viewer.page.alert) == ""


def test_change_and_remove(viewer):
    """A place is renamed, coloured and removed; names stay different and the series go with it."""
    for corner in (1, 5, 9):
        viewer.add("field", box(corner, corner, corner + 3, corner + 3))
    assert [place.name for place in viewer.places] == ["field", "field 2", "field 3"]
    viewer.chosen = "field 2"
    viewer.change(name="orchard", colour="#123456")
    assert viewer.chosen == "orchard"
    assert viewer.places[1].colour == "#123456"
    viewer.change(name="field")
    assert viewer.chosen == "field 2"
    viewer.change(name="  ")
    assert viewer.chosen == "place"
    assert [*viewer.series()] == ["field", "place", "field 3"]
    viewer.remove()
    assert [place.name for place in viewer.places] == ["field", "field 3"]
    assert viewer.chosen == "field 3"
    assert [*viewer.series()] == ["field", "field 3"]
    viewer.remove()
    viewer.remove()
    assert (viewer.places, viewer.chosen, viewer.drawn) == ([], None, "")
    assert viewer.curves._lines.data["xs"] == []
    assert words(viewer.table) == ""
    viewer.remove()
    assert words(viewer.page.alert) == ""


def test_upload(viewer):
    """Uploaded places join the others; a bad file changes nothing."""
    viewer.add("mine", box(1, 1, 4, 4))
    table = gpd.GeoDataFrame(
        {"name": ["a", "mine"]}, geometry=[box(2, 3, 9, 8), box(9, 1, 12, 4)], crs=CRS
    )
    content = table.to_crs("EPSG:4326").to_json().encode()
    viewer.upload(content, "fields.geojson")
    assert [place.name for place in viewer.places] == ["mine", "a", "mine 2"]
    assert viewer.chosen == "mine 2"
    before = list(viewer.places)
    for bad, name in ((b"{", "a.geojson"), (b"", "b.gpkg"), (content, "c.txt")):
        with pytest.raises(InvalidInputError, match=name):
            viewer.upload(bad, name)
    assert viewer.places == before


def test_series_equal_numpy(viewer, layers):
    """Several places have the mean, spread, count and share of their clear pixels, by year."""
    corners = {"a": (2, 3, 9, 8), "b": (0, 0, COLS, ROWS), "c": (20, 10, 21, 11)}
    for name, sides in corners.items():
        viewer.add(name, box(*sides))
    for start, end in ((2020, 2022), (2021, 2021)):
        viewer.param.update(start=start, end=end)
        asked = between(start, end)
        found = viewer.series()
        assert [*found] == ["a", "b", "c"]
        for name, (west, north, east, south) in corners.items():
            part = clear_values(layers)[asked, north:south, west:east].reshape(asked.sum(), -1)
            table = found[name]
            assert [*table.time] == [*pd.to_datetime(TIMES[asked], unit="s")]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                np.testing.assert_allclose(table["mean"], np.nanmean(part, 1), atol=1e-6)
                np.testing.assert_allclose(table["std"], np.nanstd(part, 1), atol=1e-6)
            count = np.isfinite(part).sum(1)
            np.testing.assert_allclose(table["count"], count, atol=1e-4)
            np.testing.assert_allclose(table.share, count / part.shape[1], atol=1e-6)


def test_curves(viewer, layers):
    """A curve has the dates that saw half of its place; the band is one deviation to each side."""
    viewer.add("a", box(2, 3, 9, 8))
    viewer.add("b", box(10, 3, 19, 8))
    for n, (west, east) in enumerate([(2, 9), (10, 19)]):
        part = clear_values(layers)[:, 3:8, west:east].reshape(STEPS, -1)
        half = np.isfinite(part).mean(1) >= 0.5
        mean, std = np.nanmean(part[half], 1), np.nanstd(part[half], 1)
        lines, bands = viewer.curves._lines.data, viewer.curves._bands.data
        np.testing.assert_allclose(lines["ys"][n], mean, atol=1e-6)
        times = pd.to_datetime(TIMES[half], unit="s")
        assert [*pd.to_datetime(lines["xs"][n])] == [*times]
        around = np.concatenate([mean - std, (mean + std)[::-1]])
        np.testing.assert_allclose(bands["ys"][n], around, atol=2e-6)
        assert f"{half.sum()} of {STEPS}" in viewer.table.object
        assert f"{mean.mean():.3f}"[:-1] in viewer.table.object
    assert lines["name"] == ["a", "b"]
    assert lines["colour"] == [place.colour for place in viewer.places]


def test_table_of_places(viewer, layers):
    """The table has mean, median and the 10 % and 90 % ranks of the dates that curves have."""
    viewer.add("a", box(2, 3, 9, 8))
    viewer.param.update(start=2021, variable="B08")
    part = clear_values(layers, "B08")[between(2021, 2022), 3:8, 2:9].reshape(-1, 35)
    part = part[np.isfinite(part).mean(1) >= 0.5]
    means, stds = np.nanmean(part, 1), np.nanstd(part, 1)
    ranks = np.percentile(means, [50, 10, 90])
    cells = re.findall("<td[^>]*>(.*?)</td>", viewer.table.object)[1:]
    assert cells[:2] == ["a", f"{len(part)} of {between(2021, 2022).sum()}"]
    numbers = [float(number) for cell in cells[2:] for number in cell.split(" to ")]
    assert numbers == pytest.approx([means.mean(), *ranks, stds.mean()], abs=0.00051)
    heads = re.findall("<th scope='col'>(.*?)</th>", viewer.table.object)
    assert heads[3:] == ["mean", "median", "10 % to 90 % of these dates", "std inside"]


def test_table_of_a_place_never_seen(viewer):
    """A place that no date saw clear is in the table, without values."""
    viewer.add("a", shapely.Point(WEST + 5, NORTH - 5))
    assert words(viewer.page.alert) == ""
    cells = re.findall("<td[^>]*>(.*?)</td>", viewer.table.object)
    assert cells[1:] == ["a", f"0 of {STEPS}", *["–"] * 4]


def test_a_day_has_one_number_in_each_year():
    """Each day of a leap year has a number of its own, which is that of the day in other years."""
    days = pd.Series(pd.date_range("1999-01-01", "2004-12-31"))
    wanted = pd.to_datetime(days.dt.strftime("2000-%m-%d")).dt.day_of_year
    np.testing.assert_array_equal(day_of_year(days), wanted)


def test_what_could_not_be_read_is_told(store):
    """Dates with holes of scenes that failed are counted, in the years that are shown."""
    cube = s2kit.open_cube(store)
    failed = np.full(STEPS, "", "<U9")
    failed[[1, STEPS - 1]] = "S2A_scene"
    viewer = NdviStatistics(cube.assign_coords(failed=("time", failed)))
    assert "2 dates have scenes that could not be read." in words(viewer.page.status)
    viewer.end = int(YEARS[0])
    assert "1 date has scenes that could not be read." in words(viewer.page.status)
    assert "could not" not in words(NdviStatistics(cube).page.status)
    none = cube.load().assign(SCL=cube.SCL * 0, B04=cube.B04 * np.nan)
    viewer = NdviStatistics(none.assign_coords(failed=("time", failed)))
    told = words(viewer.page.status)
    assert told.startswith("No clear observation here") and "2 dates have scenes" in told


def test_curves_year_by_year(viewer, layers):
    """Year by year, the chosen place has a curve for each year over the day of the year."""
    viewer.add("a", box(2, 3, 9, 8))
    viewer.add("b", box(10, 3, 19, 8))
    assert (viewer.curves.pane.visible, viewer.years.pane.visible) == (True, False)
    viewer.chart = "year by year"
    assert (viewer.curves.pane.visible, viewer.years.pane.visible) == (False, True)
    for name, (west, east) in {"b": (10, 19), "a": (2, 9)}.items():
        viewer.chosen = name
        part = clear_values(layers)[:, 3:8, west:east].reshape(STEPS, -1)
        half = np.isfinite(part).mean(1) >= 0.5
        lines = viewer.years._lines.data
        assert lines["name"] == [str(year) for year in np.unique(YEARS[half])]
        for n, year in enumerate(np.unique(YEARS[half])):
            own = half & between(year, year)
            days = pd.to_datetime(TIMES[own], unit="s").strftime("2000-%m-%d")  # a leap year
            assert [*lines["xs"][n]] == [*pd.to_datetime(days).day_of_year]
            np.testing.assert_allclose(lines["ys"][n], np.nanmean(part[own], 1), atol=1e-6)
        assert f" of {name}, year by year" in viewer.years.figure.title.text
    viewer.chart = "along time"
    assert (viewer.curves.pane.visible, viewer.years.pane.visible) == (True, False)


def test_place_beside_the_cube(viewer):
    """A place beside the cube, as a link may hold, is told, and can be removed."""
    viewer.drawn = "far|#000000|POINT (1 2)"
    assert "far lies beside the cube" in words(viewer.page.alert)
    assert [place.name for place in viewer.places] == ["far"]
    viewer.remove()
    assert viewer.places == []
    assert words(viewer.page.alert) == ""
    viewer.add("near", box(1, 1, 3, 3))
    assert len(viewer.curves._lines.data["xs"]) == 1
    viewer.drawn += ";far|#000000|POINT (1 2)"
    assert "far lies beside the cube" in words(viewer.page.alert)
    assert viewer.curves._lines.data["name"] == ["near"]
    with pytest.raises(InvalidInputError, match="far lies beside"):
        viewer.csv()


def test_places_of_one_name(viewer):
    """Two places of one name would share a curve: refused, as are too many."""
    one = Place("a", "#000000", box(1, 1, 3, 3))
    with pytest.raises(InvalidInputError, match="two places are called 'a'"):
        viewer.places = [one, Place("a", "#0072B2", box(4, 4, 6, 6))]
    with pytest.raises(InvalidInputError, match="21 places; 20 at most"):
        viewer.places = [Place(str(n), "#000000", one.shape) for n in range(21)]
    assert viewer.places == []


def test_the_chosen_place_of_an_address(viewer):
    """Of several places of an address the chosen one stays so."""
    for name in ("a", "b", "c"):
        viewer.add(name, shapely.Point(WEST + 15, NORTH - 15))
    viewer.chosen = "a"
    assert viewer.place == "a"
    text = viewer.drawn
    for place in list(viewer.places):
        viewer.chosen = place.name
        viewer.remove()
    viewer.drawn = text
    viewer.place = "b"
    assert [place.name for place in viewer.places] == ["a", "b", "c"]
    assert viewer.chosen == "b"


def test_a_shape_that_is_none_is_refused(viewer):
    """A shape that is no place is refused at once, and the others keep their curves."""
    viewer.add("good", shapely.Point(WEST + 15, NORTH - 15))
    crossed = shapely.Polygon(
        [(WEST, NORTH), (WEST + 50, NORTH - 50), (WEST + 50, NORTH), (WEST, NORTH - 50)]
    )
    with pytest.raises(InvalidInputError, match="bow is no valid outline"):
        viewer.add("bow", crossed)
    assert [place.name for place in viewer.places] == ["good"]
    assert list(viewer.series()) == ["good"]


def test_long_names_are_cut(viewer):
    """On the map and in the legend a long name is cut; the table and the file have all of it."""
    names = [f"the meadow behind the old windmill {n}" for n in (1, 2)]
    for name in names:
        viewer.add(name, box(1, 1, 3, 3))
    assert viewer.curves._lines.data["name"] == [f"{n[:10]}…{n[-9:]}" for n in names]
    assert viewer.layer._names.data["name"] == [f"{n[:8]}…{n[-7:]}" for n in names]
    for name in names:
        assert name in words(viewer.table)
        assert name in viewer.csv().getvalue()


def test_each_change_draws_the_charts_once(viewer, monkeypatch):
    """What is added, renamed, removed or restored is computed and drawn once."""
    drawn = []
    monkeypatch.setattr(viewer.curves, "show", lambda *asked: drawn.append(asked))
    viewer.add("a", box(1, 1, 3, 3))
    assert len(drawn) == 1
    viewer.change(name="b")
    assert len(drawn) == 2
    text = viewer.drawn
    viewer.remove()
    assert len(drawn) == 3
    viewer.drawn = text
    assert len(drawn) == 4
    assert [place.name for place in viewer.places] == ["b"]


def test_histogram_of_values_that_float32_hardly_tells_apart():
    """All are counted, though there are fewer float32 numbers between them than bars."""
    near = np.full(100, 0.3, "float32")
    near[7] = np.nextafter(near[7], np.float32(1))
    histogram = Histogram()
    histogram.show(near, "mean", (0.0, 1.0), (0.0, 1.0))
    assert histogram._bars.data["top"].sum() == 100


def test_index_at_first(store):
    """The index that is asked for is on the first map, and one that there is not is refused."""
    cube = s2kit.open_cube(store)
    assert "B08, mean" in NdviStatistics(cube, variable="B08").map.figure.title.text
    for name, near in (("ndvi", "such as NDVI"), ("Nonsense", "'Nonsense' is none of the")):
        with pytest.raises(InvalidInputError, match=near):
            NdviStatistics(cube, variable=name)


def test_empty_view_after_a_picture(viewer):
    """Where the cube has nothing, nothing of the picture before stays: no number, no scale."""
    viewer._point(WEST + 15, NORTH - 105)
    assert "mean" in words(viewer.readout)
    viewer.view = [0, 0, 500, 500]
    assert "mean" not in words(viewer.readout)
    assert viewer.histogram._bars.data["top"].sum() == 0
    assert "NDVI" not in viewer.map.figure.title.text
    assert "median" not in words(viewer.page.status)


def test_the_name_box(viewer):
    """The box for the name shows that of the chosen place, also after a rename to a taken name."""
    box_of = {w.name: w for w in viewer.__panel__().select(pn.widgets.Widget)}
    for corner in (1, 5, 9):
        viewer.add("field", box(corner, corner, corner + 3, corner + 3))
    name, place = box_of["Name"], box_of["Place"]
    viewer.chosen = "field 2"
    for asked, got in (
        ("wood", "wood"),
        ("field", "field 2"),
        ("field 2", "field 2"),
        ("field", "field 2"),
        ("zoo", "zoo"),
    ):
        name.value = asked
        assert (viewer.chosen, name.value, place.value) == (got, got, got), asked
        assert [one.name for one in viewer.places] == ["field", got, "field 3"]
        assert list(place.options) == ["field", got, "field 3"]


def test_a_cube_that_changes_is_told(tmp_path, layers):
    """When scenes came between the steps, maps and curves are refused: they are of other dates."""
    store = write_cube(tmp_path / "c", layers, TIMES)
    viewer = NdviStatistics(s2kit.open_cube(store))
    write_cube(store, layers, TIMES + 86_400)
    viewer.variable = "B08"
    assert "steps" in words(viewer.page.alert) and "open it again" in words(viewer.page.alert)
    assert seen(viewer.map) == (None, None)
    viewer.add("field", box(1, 1, 3, 3))
    assert "open it again" in words(viewer.page.alert)
    assert viewer.curves._lines.data["xs"] == []


def test_readout_after_a_refused_update(viewer):
    """What is read belongs to the map that is drawn, whatever was set and not drawn."""
    viewer._point(WEST + 15, NORTH - 15)
    before = words(viewer.readout)
    with pytest.raises(InvalidInputError):
        viewer.param.update(statistic="max", start=1900)
    viewer._point(WEST + 15, NORTH - 15)
    assert words(viewer.readout) == before


@pytest.mark.parametrize("year", [2021.0, True, "2021", 1900])
def test_years_that_are_none(viewer, year):
    """A number that only equals a year is none: it would be read as another text."""
    with pytest.raises(InvalidInputError, match=f"start={year!r} is none of the"):
        viewer.start = year


def test_a_place_that_is_not_there_is_not_chosen(viewer):
    """Only a place of the list can be chosen."""
    viewer.add("a", shapely.Point(WEST + 15, NORTH - 15))
    with pytest.raises(InvalidInputError, match="chosen='b' is none of the 1"):
        viewer.chosen = "b"
    assert viewer.chosen == "a"


def test_a_cube_of_another_place_is_told(tmp_path, layers):
    """When a cube of another region took the place of this one, nothing of it is shown as this."""
    store = write_cube(tmp_path / "c", layers, TIMES)
    viewer = NdviStatistics(s2kit.open_cube(store))
    grid, seen_west = viewer.levels.grid, seen(viewer.map)[1][0]
    shutil.rmtree(store)
    write_cube(store, layers, TIMES, grid=grid.translate_pix(500, 0))
    viewer.variable = "B08"
    assert "the grid of" in words(viewer.page.alert) and "open it again" in words(viewer.page.alert)
    assert seen(viewer.map) == (None, None)
    again = NdviStatistics(s2kit.open_cube(store))  # while the other is still there
    assert words(again.page.alert) == ""
    assert seen(again.map)[1][0] == seen_west + 5000


@pytest.mark.parametrize("band", ["B04", "B08", "SCL"])
def test_a_band_that_is_gone_is_told(tmp_path, layers, band):
    """A layer that is removed meanwhile is not taken for one without data."""
    store = write_cube(tmp_path / "c", layers, TIMES)
    viewer = NdviStatistics(s2kit.open_cube(store))
    shutil.rmtree(store / "S2/R051" / band)
    viewer.start = viewer.param.start.objects[-1]
    viewer.start = viewer.param.start.objects[0]
    viewer.statistic = "amplitude"
    assert f"no longer holds S2/R051/{band}" in words(viewer.page.alert)


def test_drawn_restores_the_places(viewer, store):
    """The text for the address brings names, colours and outlines back in another viewer."""
    viewer.add("Über | 100 %; <b>", box(2, 3, 9, 8))
    viewer.draw = "point"
    viewer.click(WEST + 33.3, NORTH - 44.4)
    viewer.change(name="p", colour="#abcdef")
    other = NdviStatistics(s2kit.open_cube(store))
    other.drawn = viewer.drawn
    assert words(other.page.alert) == ""
    for mine, its in zip(viewer.places, other.places, strict=True):
        assert (mine.name, mine.colour) == (its.name, its.colour)
        assert shapely.equals_exact(mine.shape, its.shape, 0.05)
        pd.testing.assert_frame_equal(viewer.series()[mine.name], other.series()[mine.name])
    other.drawn = ""
    assert other.places == []


def test_bad_text_in_the_address(viewer):
    """A link that names no places is told; the places that are there stay."""
    viewer.add("a", box(2, 3, 9, 8))
    for bad in ("a|b", 'x|#000000"><script>|POINT (1 2)'):
        viewer.drawn = bad
        assert "address of this page" in words(viewer.page.alert)
        assert "<script" not in viewer.page.alert.object
        assert viewer.drawn.startswith("a|#0072B2|POLYGON")
        assert [place.name for place in viewer.places] == ["a"]


def test_csv(viewer, layers):
    """The table that is saved has all places, in UTC, as pandas reads it."""
    with pytest.raises(InvalidInputError, match="no places yet"):
        viewer.csv()
    viewer.add("a, b", box(2, 3, 9, 8))
    viewer.add("c", shapely.Point(WEST + 15, NORTH - 15))
    viewer.variable = "B08"
    table = pd.read_csv(viewer.csv(), parse_dates=["time"])
    assert [*table.columns[:3]] == ["place", "variable", "time"]
    assert [*table.place] == ["a, b"] * STEPS + ["c"] * STEPS
    assert set(table.variable) == {"B08"}
    expected = [pd.Timestamp(t, unit="s", tz="UTC") for t in TIMES]
    assert [*table.time] == expected * 2
    pixel = clear_values(layers, "B08")[:, 1, 1]
    np.testing.assert_allclose(table["mean"][STEPS:], pixel, atol=1e-6)


def test_geojson(viewer):
    """The places that are saved are GeoJSON in degrees."""
    with pytest.raises(InvalidInputError, match="no places yet"):
        viewer.geojson()
    viewer.add("á", box(2, 3, 9, 8))
    found = gpd.GeoDataFrame.from_features(json.load(viewer.geojson()), crs="EPSG:4326")
    assert [*found.name] == ["á"]
    assert found.to_crs(CRS).geometry[0].hausdorff_distance(viewer.places[0].shape) < 0.005


# Cubes

CUTS = {
    "one step": lambda cube: cube.isel(time=[5]),
    "part": lambda cube: cube.isel(y=slice(3, 15), x=slice(10, 12)),
    "in memory": lambda cube: cube.load(),
    "masked": s2kit.mask_clouds,
    "turned": lambda cube: cube.transpose("x", "y", "time"),
    "backwards": lambda cube: cube.isel(time=slice(None, None, -1)),
    "own layer": lambda cube: cube.assign(twice=cube.B08 * 2),
}
WITHOUT_DASK = ("part", "turned")


@pytest.mark.parametrize(
    ("cut", "dask"), [*((cut, True) for cut in CUTS), *((cut, False) for cut in WITHOUT_DASK)]
)
def test_cubes_of_all_kinds(store, cut, dask):
    """Parts of a cube, changed ones, with Dask or without, have statistics of what they hold."""
    cube = CUTS[cut](s2kit.open_cube(store, dask=dask))
    viewer = NdviStatistics(cube)
    assert words(viewer.page.alert) == ""
    plainly = cube.transpose("time", "y", "x")
    red, nir = plainly.B04.values.astype("f8"), plainly.B08.values.astype("f8")
    values = np.where(np.isin(plainly.SCL.values, CLEAR), (nir - red) / (nir + red), np.nan)
    expected = plain(values, "mean")
    assert_map(viewer, expected)
    x, y = (float(cube[name].values[1]) for name in "xy")
    viewer.draw = "point"
    viewer.click(x, y)
    table = viewer.series()["point"].set_index("time")["mean"]
    order = np.argsort(cube.time.values)
    np.testing.assert_allclose(table.sort_index(), values[order, 1, 1], atol=1e-6)
    if cut == "own layer":
        viewer.variable = "twice"
        assert "twice" in viewer.map.figure.title.text
    assert words(viewer.page.alert) == ""


def test_every_layer_that_is_offered_can_be_drawn(store):
    """A map without time is no layer of statistics; all that is offered has a map."""
    cube = s2kit.open_cube(store)
    viewer = NdviStatistics(cube.assign(height=cube.B08.isel(time=5, drop=True)))
    offered = viewer.param.variable.objects
    assert {"NDVI", "B08"} <= set(offered) and "height" not in offered
    for name in offered:
        viewer.variable = name
        assert words(viewer.page.alert) == "", name


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda cube: cube.B04, "DataArray"),
        (lambda cube: cube[["SCL"]], "no layer of numbers"),
        (lambda cube: cube.drop_vars("SCL"), "no SCL, by which clear pixels are found"),
        (lambda cube: cube[[]], "no layers"),
        (lambda cube: cube.isel(time=0), "no dimension time"),
        (lambda cube: cube.drop_vars("time"), "no dates"),
        (lambda cube: cube.drop_vars("spatial_ref"), "no coordinate system"),
        (lambda cube: cube.assign(SCL=cube.SCL.astype(str)), "classes are whole numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input(store, change, text):
    """What is no cube, or lacks what a map needs, ends in a named error that tells it."""
    with pytest.raises(InvalidInputError, match=text):
        NdviStatistics(change(s2kit.open_cube(store)))


def test_histogram_tells_what_lies_beyond():
    """Values far from the colours are in no bar, and counted in the title."""
    values = np.r_[np.linspace(0.0, 1.0, 90), np.full(10, -17.0)].astype("float32")
    histogram = Histogram()
    histogram.show(values, "mean", (0.0, 1.0), (0.0, 1.0))
    assert histogram._bars.data["top"].sum() == 90
    assert histogram.figure.title.text == "mean on the map\n100 pixels, 10 beyond these values"
    histogram.show(values[:90], "mean", (0.0, 1.0), (0.0, 1.0))
    assert "beyond" not in histogram.figure.title.text


@pytest.mark.parametrize(
    ("odd", "seen_ends", "told"),
    [
        (1, (0.2, 0.8), " (1 beyond)"),
        (0, (0.2, 0.8), ""),
        (60, (-17.0, 0.8), ""),
    ],
)
def test_axis_of_a_chart(odd, seen_ends, told):
    """Few values that are far from what is usual do not spoil the axis, but are told; many do."""
    chart = time_figure()
    values = np.r_[np.linspace(0.2, 0.8, 50), np.full(odd, -17.0), np.nan]
    fit_axis(chart, "NDVI", values, (-0.1, 0.9))
    ends, room = (chart.y_range.start, chart.y_range.end), 0.05 * np.ptp(seen_ends)
    assert ends == pytest.approx((seen_ends[0] - room, seen_ends[1] + room))
    assert (chart.y_range.reset_start, chart.y_range.reset_end) == ends
    assert chart.yaxis.axis_label == f"NDVI{told}"
    fit_axis(chart, "NDVI", values, None)
    assert chart.y_range.start < values[:-1].min()


def test_axis_of_places():
    """A mean that is usual is on the axis, however far its spread reaches; means alone count."""
    table = pd.DataFrame(
        {
            "time": pd.date_range("2021-01-01", periods=11),
            "mean": [0.3] * 9 + [0.9, -17.0],
            "std": [0.1] * 9 + [2.0, 0.5],
            "count": 1.0,
        }
    )
    chart = PlacesChart(by_year=False)
    chart.show([Curve("a", "#000000", table.time.to_numpy(), table)], "", "NDVI", (-0.1, 0.9))
    assert chart.figure.y_range.start < 0.2
    assert 0.9 < chart.figure.y_range.end < 1.4
    assert chart.figure.yaxis[0].axis_label == "NDVI (1 beyond)"
