"""The time-query viewer without a browser: what it sends to the map and the chart is numpy's."""

import re
import shutil
import socket
from datetime import date

import numpy as np
import pandas as pd
import param
import pytest
import xarray as xr
from affine import Affine
from bokeh.palettes import Greys256, Viridis256
from cubes import NORTH, PIXEL, WEST, decoded, every, make_cube, random_layers, write_cube
from odc.geo.geobox import GeoBox
from painting import assert_layer, assert_mix, seen, words
from pyproj import Geod

import s2kit
from s2kit.cube.dask_layers import source_of
from s2kit.errors import CubeError, InvalidInputError
from s2kit.viewers import TimeQuery, colours
from s2kit.viewers.basemap import attribution_of
from s2kit.viewers.controls import limits_row
from s2kit.viewers.date_maps import BESIDE, OF_VIEW, SWIPE
from s2kit.viewers.levels import View
from s2kit.viewers.time_query import NOT_PINNED

STEPS, ROWS, COLS = 8, 40, 50
BANDS = ("B02", "B03", "B04", "B08")
CLEAR = [4, 5, 6, 7]
WHOLE = (WEST, NORTH - ROWS * PIXEL, WEST + COLS * PIXEL, NORTH)
TIMES = np.sort(np.concatenate([every(90, 4, "2021-01-10"), every(90, 4, "2021-02-20")]))


def timed(step):
    """Return the time of a step."""
    return pd.Timestamp(TIMES[step], unit="s")


def iso(step):
    """Return it as the viewer's parameter has it."""
    return f"{timed(step):%Y-%m-%dT%H:%M:%S}"


@pytest.fixture(scope="module")
def layers():
    """Return steps of which k eighths, in the north, are clear; the first has no data."""
    made = random_layers(11, (STEPS, ROWS, COLS), BANDS)
    for step in range(STEPS):
        made["SCL"][step] = 9
        made["SCL"][step, : 5 * step] = np.arange(COLS) % 4 + 4
    for band in BANDS:
        made[band][0] = -9999
    made["SCL"][0] = 0
    made["SCL"][:, 20, 7] = [0, 1, 2, 3, 8, 10, 11, 4]
    return made


@pytest.fixture(scope="module")
def store(layers, tmp_path_factory):
    """Write them as overpasses of two orbits in turn."""
    path = tmp_path_factory.mktemp("query") / "c"
    for orbit, first in ((51, 0), (8, 1)):
        part = {name: layer[first::2] for name, layer in layers.items()}
        write_cube(path, part, TIMES[first::2], orbit=orbit)
    return path


@pytest.fixture
def viewer(store):
    """Open the viewer on it."""
    return TimeQuery(s2kit.open_cube(store, dask=False))


def values_of(layers, band, step):
    """Return reflectance, float64."""
    return decoded(layers[band])[step].astype("f8")


def true_colour(layers, step):
    """Return red, green and blue reflectance."""
    return np.stack([values_of(layers, band, step) for band in ("B04", "B03", "B02")], -1)


def ndvi_of(layers):
    """Write the NDVI out in numpy, float64."""
    red, nir = (decoded(layers[band]).astype("f8") for band in ("B04", "B08"))
    with np.errstate(all="ignore"):
        return (nir - red) / (nir + red)


# The map


def test_begins_with_the_clearest(viewer, layers):
    """At first the clearest overpass is shown, whole, in true colour, and nothing is wrong."""
    picture, covered = seen(viewer.map)
    assert words(viewer.page.alert) == ""
    assert viewer.moment == iso(7)
    assert covered == WHOLE
    assert_mix(picture, true_colour(layers, 7), 0.2)
    title = viewer.map.figure.title.text
    assert title == f"True colour, {timed(7):%d %b %Y}\n(synthetic practice data)"
    said = words(viewer.page.status)
    assert "pixels of 10 m" in said
    assert "Overpass 8 of 8" in said


@pytest.mark.parametrize("step", [1, 4, 6])
def test_pictures_equal_numpy(viewer, layers, step):
    """Each picture of each date is what numpy makes of the stored numbers, north up."""
    viewer.moment = iso(step)
    assert_mix(seen(viewer.map)[0], true_colour(layers, step), 0.2)
    viewer.picture = "False colour"
    bands = [values_of(layers, band, step) for band in ("B08", "B04", "B03")]
    assert_mix(seen(viewer.map)[0], np.stack(bands, -1), np.array([0.5, 0.2, 0.2]))
    viewer.picture = "B08"
    assert_layer(seen(viewer.map)[0], values_of(layers, "B08", step), 0, 0.5, Greys256)
    viewer.picture = "NDVI"
    assert_layer(seen(viewer.map)[0], ndvi_of(layers)[step], -0.1, 0.9, Viridis256)
    viewer.picture = "Classes (SCL)"
    picture, covered = seen(viewer.map)
    legend = viewer.cube.SCL.attrs["flag_colors"].split()
    for row, col in [(0, 0), (20, 7), (39, 49), (4, 2)]:
        number = layers["SCL"][step, row, col]
        assert "#{:02x}{:02x}{:02x}".format(*picture[row, col]) == legend[number]
    np.testing.assert_array_equal(picture[..., 3] == 0, layers["SCL"][step] == 0)
    assert covered == WHOLE
    assert words(viewer.page.alert) == ""


def test_stretch_of_the_view(viewer, layers):
    """Limits of the view are numpy's percentiles of what is in sight; fixed ones are as given."""
    viewer.param.update(picture="B08", moment=iso(5), stretch=OF_VIEW)
    values = values_of(layers, "B08", 5)
    limits = np.percentile(values[np.isfinite(values)], [2, 98])
    assert_layer(seen(viewer.map)[0], values, *limits, Greys256)
    viewer.look(View(WEST + 100, NORTH - 300, WEST + 250, NORTH - 150))
    part = values[15:30, 10:25]
    limits = np.percentile(part[np.isfinite(part)], [2, 98])
    assert_layer(seen(viewer.map)[0], part, *limits, Greys256)
    viewer.param.update(stretch="fixed", limits=(0.1, 0.3))
    assert_layer(seen(viewer.map)[0], part, 0.1, 0.3, Greys256)
    assert (viewer.map._mapper.low, viewer.map._mapper.high) == (0.1, 0.3)


def test_tint(viewer, layers):
    """With the mask, what has data and is not clear is tinted, also without a class; no more is."""
    viewer.moment = iso(3)
    bare, _ = seen(viewer.map)
    bare = bare.copy()
    viewer.mask = True
    found, _ = seen(viewer.map)
    classes = layers["SCL"][3]
    cloudy = (bare[..., 3] > 0) & ~np.isin(classes, CLEAR)
    np.testing.assert_array_equal(found[~cloudy], bare[~cloudy])
    exact = bare[cloudy][:, :3] * 0.45 + np.array([230, 0, 160]) * 0.55
    assert (abs(found[cloudy][:, :3] - exact) <= 1).all()
    unknown = TimeQuery(viewer.cube.assign(SCL=xr.zeros_like(viewer.cube.SCL)))
    unknown.param.update(moment=iso(3), mask=True)
    seen_there = bare[..., 3] > 0
    found, _ = seen(unknown.map)
    exact = bare[seen_there][:, :3] * 0.45 + np.array([230, 0, 160]) * 0.55
    assert (abs(found[seen_there][:, :3] - exact) <= 1).all()


def test_view_shows_its_pixels(viewer, layers):
    """A part of the map shows the pixels that it touches, where they lie."""
    viewer.view = [WEST + 101, NORTH - 249, WEST + 251, NORTH - 99]
    picture, covered = seen(viewer.map)
    assert covered == (WEST + 100, NORTH - 250, WEST + 260, NORTH - 90)
    assert_mix(picture, true_colour(layers, 7)[9:25, 10:26], 0.2)
    viewer.look(None)
    assert seen(viewer.map)[1] == WHOLE


def test_levels(tmp_path):
    """The whole of a large cube is shown by means of 2 × 2 pixels, a part of it by its own."""
    rng = np.random.default_rng(2)
    layer = rng.integers(0, 2000, (1, 600, 700)).astype("i2")
    store = write_cube(tmp_path / "c", {"B04": layer}, every(1, 1), overviews=True)
    viewer = TimeQuery(s2kit.open_cube(store))
    coarse = layer[0].reshape(300, 2, 350, 2).mean((1, 3)) / 1e4
    viewer.picture = "B04"
    picture, covered = seen(viewer.map)
    assert covered == (WEST, NORTH - 6000, WEST + 7000, NORTH)
    assert_layer(picture, coarse, 0, 0.2, Greys256, slack=0.1)
    assert "pixels of 20 m" in words(viewer.page.status)
    viewer.look(View(WEST, NORTH - 5120, WEST + 5120, NORTH))
    assert_layer(seen(viewer.map)[0], layer[0, :512, :512] / 1e4, 0, 0.2, Greys256)
    assert "pixels of 10 m" in words(viewer.page.status)


def test_nothing_there(viewer):
    """A date without data, and a view beside the region, say so and show no picture."""
    viewer.moment = iso(0)
    assert seen(viewer.map) == (None, None)
    assert viewer.map._message.visible
    assert viewer.map._message.text == "No data here on this date"
    viewer.moment = iso(5)
    assert not viewer.map._message.visible
    viewer.view = [0, 0, 500, 500]
    assert seen(viewer.map) == (None, None)
    assert "nothing here" in viewer.map._message.text
    viewer.look(None)
    assert seen(viewer.map)[1] == WHOLE
    assert words(viewer.page.alert) == ""


def test_readout(viewer, layers):
    """What is under the mouse is told, again when the picture changes."""
    viewer.moment = iso(2)
    viewer.picture = "NDVI"
    rows, cols = np.nonzero(np.isfinite(ndvi_of(layers)[2]) & np.isfinite(ndvi_of(layers)[3]))
    row, col = int(rows[30]), int(cols[30])
    viewer._point(WEST + col * PIXEL + 3, NORTH - row * PIXEL - 3)
    assert f"NDVI {ndvi_of(layers)[2, row, col]:.3f}"[:-1] in words(viewer.readout)
    viewer.moment = iso(3)
    assert f"NDVI {ndvi_of(layers)[3, row, col]:.3f}"[:-1] in words(viewer.readout)
    viewer._point(WEST - 50, NORTH)
    assert "NDVI" not in words(viewer.readout)


def test_readout_after_a_refused_update(viewer):
    """What is read belongs to the picture that is drawn, whatever was set and not drawn."""
    viewer._point(WEST + 205, NORTH - 205)
    before = words(viewer.readout)
    with pytest.raises(ValueError, match="swipe"):
        viewer.param.update(moment=list(viewer.offered.values())[-1], swipe=200)
    viewer._point(WEST + 205, NORTH - 205)
    assert words(viewer.readout) == before


@pytest.mark.parametrize("east", [3, 33, 333])
def test_readout_of_thinned_pixels(tmp_path, east):
    """Without overviews every second pixel is shown; what is told is of the pixel that is named."""
    layer = np.arange(600 * 600, dtype="i2").reshape(1, 600, 600)
    layer[layer == -9999] = 0
    viewer = TimeQuery(make_cube(tmp_path / "c", {"B04": layer}, every(1, 1)))
    viewer.picture = "B04"
    viewer._point(WEST + east, NORTH - 35)
    told = re.search(r"B04 (-?[0-9.]+), .*\(at x ([0-9.]+), y ([0-9.]+)\)", words(viewer.readout))
    value, x, y = map(float, told.groups())
    row, col = int((NORTH - y) / PIXEL), int((x - WEST) / PIXEL)
    assert abs(col - east // PIXEL) < 2 and abs(row - 3) < 2
    assert value == pytest.approx(layer[0, row, col] / 1e4, abs=6e-4)


@pytest.mark.parametrize("share", [33, 49, 51, 77])
def test_readout_beside_the_swipe(viewer, layers, share):
    """On both sides of the swipe, what is told is of the date that is seen there."""
    viewer.picture = "B08"
    viewer.param.update(pinned=iso(5), moment=iso(6), compare=SWIPE, swipe=share)
    picture, _ = seen(viewer.map)
    painted = [
        colours.paint_layer(values_of(layers, "B08", step).astype("f4"), 0, 0.5, Greys256)
        for step in (5, 6)
    ]
    row = next(r for r in range(ROWS) if (painted[0][r] != painted[1][r]).any(-1).mean() > 0.9)
    for col in range(COLS):
        for inside in (0.1, 9.9):
            viewer._point(WEST + col * PIXEL + inside, NORTH - row * PIXEL - 5)
            step = 5 if f"{timed(5):%d %b %Y}" in words(viewer.readout) else 6
            np.testing.assert_array_equal(picture[row, col], painted[step - 5][row, col])


def test_readout_is_no_html(store):
    """What a cube says of its units stands on the page as text."""
    cube = s2kit.open_cube(store)
    cube.B04.attrs["units"] = "<script>alert(1)</script>"
    viewer = TimeQuery(cube)
    viewer.picture = "B04"
    viewer._point(WEST + 15, NORTH - 15)
    assert "<script>" not in viewer.readout.object
    assert "&lt;script&gt;" in viewer.readout.object


def test_clear_share_of_a_part(store):
    """Of a part of a cube too, the clear share is told as what it is: that of the whole cube."""
    for cube in (s2kit.open_cube(store), s2kit.open_cube(store).isel(x=slice(5, 20)).load()):
        assert "% of the whole cube clear" in words(TimeQuery(cube).page.status)


def test_overpasses_within_a_second(store):
    """Two overpasses in one second are two; two at the same moment are refused."""
    cube = s2kit.open_cube(store).isel(x=slice(1, None))
    times = cube.time.values.copy()
    times[4] = times[3] + np.timedelta64(300, "ms")
    viewer = TimeQuery(cube.assign_coords(time=times))
    steps = []
    for moment in viewer.param.moment.objects:
        viewer.moment = moment
        steps.append(viewer.step)
    assert sorted(steps) == list(range(STEPS))
    times[4] = times[3]
    with pytest.raises(InvalidInputError, match="two steps at"):
        TimeQuery(cube.assign_coords(time=times))


def test_full_share_passes_the_full_filter(store):
    """What is told as 100 % clear passes a filter of 100 %, and what passes is told so."""
    cube = s2kit.open_cube(store)
    shares = np.linspace(0.98, 1, STEPS, dtype="f4")
    shares[-2] = 0.9984
    viewer = TimeQuery(cube.assign_coords(clear_fraction=("time", shares)))
    for least in (97, 98, 99, 100):
        viewer.least_clear = least
        told = [int(re.search(r"(\d+) % clear", label)[1]) for label in viewer.timeline.label]
        assert [*viewer.steps] == [n for n, share in enumerate(told) if share >= least]


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize(
    "value", [np.inf, -np.inf, np.nan, 10**400, 1e300], ids=lambda v: f"{v!s:.5}"
)
def test_numbers_that_are_none(viewer, name, value):
    """Numbers that no map can hold are refused as they are set."""
    before = getattr(viewer, name)
    with pytest.raises(InvalidInputError, match=f"{name}=.* is not a number of use"):
        setattr(viewer, name, value)
    assert getattr(viewer, name) == before


def test_series_beside_the_cube(viewer):
    """A series and a file of a place beside the cube, or of none, are refused by name."""
    viewer.param.update(x=0.0, y=0.0)
    for make in (viewer.pixel_series, viewer.csv):
        with pytest.raises(InvalidInputError, match="lies beside the cube"):
            make()
    viewer.y = None
    with pytest.raises(InvalidInputError, match="choose a pixel first"):
        viewer.csv()


def test_a_cube_that_changes_is_told(tmp_path, layers):
    """When scenes came between the steps, pixels are refused: they are of other dates."""
    store = write_cube(tmp_path / "c", layers, TIMES)
    viewer = TimeQuery(s2kit.open_cube(store, dask=False))
    write_cube(store, layers, TIMES + 86_400)
    viewer.moment = iso(4)
    assert "open it again" in words(viewer.page.alert)
    assert seen(viewer.map) == (None, None)
    with pytest.raises(CubeError, match="open it again"):
        viewer.pixel_series()


def test_a_cube_that_was_extended_keeps_its_overviews(tmp_path):
    """Opened before scenes were added at the end, a cube shows its steps, with their overviews."""
    layers = random_layers(7, (4, 300, 300), ("B04", "B03", "B02", "B08"))
    first = {name: layer[:3] for name, layer in layers.items()}
    store = write_cube(tmp_path / "c", first, every(1, 3), overviews=True)
    old = s2kit.open_cube(store)
    shutil.rmtree(store)
    write_cube(store, layers, every(1, 4), overviews=True)
    viewer = TimeQuery(old)
    assert len(viewer.levels.cubes) > 1
    assert {one.sizes["time"] for one in viewer.levels.cubes} == {3}
    assert words(viewer.page.alert) == ""
    for level, step in ((0, 2), (1, 0)):
        fresh = s2kit.open_cube(store, level=level).B08[step].values
        np.testing.assert_array_equal(viewer.levels.cubes[level].B08[step].values, fresh)
    part = viewer.levels.part(viewer.levels.touched(viewer.levels.whole))
    assert source_of(part.B08) is not None  # read as it is stored, not in one piece
    np.testing.assert_array_equal(part.B08, s2kit.open_cube(store).B08[:3])


@pytest.mark.parametrize("name", ["True colour", "NDVI"])
def test_a_layer_that_is_called_as_a_picture(store, name):
    """A layer of one's own is what is shown under its name, and is offered once."""
    cube = s2kit.open_cube(store)
    own = xr.full_like(cube.B04, 7.0).drop_attrs()
    viewer = TimeQuery(cube.assign({name: own}))
    assert list(viewer.param.picture.objects).count(name) == 1
    assert name in viewer.names["Layer"]
    viewer.param.update(picture=name, limits=(0, 14))
    assert_layer(seen(viewer.map)[0], np.full((40, 50), 7.0), 0, 14, Greys256)
    viewer.look(viewer.levels.whole)
    assert f"{name} 7.000" in viewer._value_at(*viewer.levels.whole.middle, False)
    viewer.chart = name
    assert set(viewer.pixel_series().value) == {7.0}


@pytest.mark.parametrize("values", [1e12, 1e17, 5, 0.25])
def test_limits_of_a_layer_of_one_value(store, values):
    """A layer that is the same all over, also of large numbers, is shown."""
    cube = s2kit.open_cube(store)
    viewer = TimeQuery(cube.assign(own=xr.full_like(cube.B04, values, "f8").drop_attrs()))
    viewer.picture = "own"
    assert words(viewer.page.alert) == ""
    assert viewer.limits[0] < values < viewer.limits[1]
    viewer.chart = "own"
    assert words(viewer.page.alert) == ""


@pytest.mark.parametrize("apart", [400, 400_000])
def test_overpasses_of_one_label(store, apart):
    """Two overpasses of one second are both offered."""
    cube = s2kit.open_cube(store).load()
    times = cube.time.values.astype("M8[ns]")
    times[3] = times[2] + np.timedelta64(apart, "us")
    near = cube.isel(time=slice(0, 6)).assign_coords(
        time=times[:6], relative_orbit=("time", [51] * 6), clear_fraction=("time", [0.5] * 6)
    )
    viewer = TimeQuery(near)
    assert len(viewer.offered) == len(set(viewer.timeline.label)) == 6
    viewer.go_to(times[3])
    assert viewer.step == 3


def test_series_of_a_band_shows_its_clouds(viewer):
    """Clouds are brighter than a band's usual limits; the axis spans them all the same."""
    viewer.chart = "B04"
    values = viewer.pixel_series().value.dropna()
    axis = viewer.series.figure.y_range
    assert values.max() > 0.3  # beyond the usual limits and half of their width
    assert axis.start <= values.min() < values.max() <= axis.end


def test_csv_of_a_layer_that_is_called_as_a_column(store):
    """The values of a layer are not lost where another column has its name."""
    cube = s2kit.open_cube(store)
    viewer = TimeQuery(cube.assign(source=cube.B04 * 2))
    viewer.chart = "source"
    table = pd.read_csv(viewer.csv())
    np.testing.assert_allclose(table["source"], viewer.pixel_series().value, atol=1e-6)
    assert set(table["source.1"]) == {"synthetic practice data"}
    assert set(table.crs) == {"EPSG:28992"}


def test_what_could_not_be_read_is_told(store):
    """A hole of a scene that failed is not passed off as no data, on the map and in the table."""
    cube = s2kit.open_cube(store).load()
    failed = np.full(STEPS, "", object)
    failed[3] = "S2A_product"
    holes = cube.where(cube.time != cube.time[3]).assign(SCL=cube.SCL)
    viewer = TimeQuery(holes.assign_coords(failed=("time", failed.astype(str))))
    viewer.moment = iso(3)
    assert "could not\nbe read" in viewer.map._message.text
    assert "S2A_product could not be read" in words(viewer.page.status)
    assert viewer.pixel_series().failed[3] == "S2A_product"
    viewer.moment = iso(4)
    assert "could not be read" not in words(viewer.page.status)


def test_a_day_is_that_day(store):
    """A date without a time is that day, also where overpasses are late in the day of UTC."""
    cube = s2kit.open_cube(store).load().isel(time=slice(0, 2))
    late = np.array(["2021-06-03T22:00", "2021-06-04T22:00"], "M8[ns]")
    viewer = TimeQuery(cube.assign_coords(time=late))
    for day, step in (("2021-06-04", 1), ("2021-06-03", 0), (date(2021, 6, 4), 1)):
        viewer.go_to(day)
        assert viewer.step == step


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("orbits", [51], "orbits holds 51; it takes a list of '8', '51'"),
        ("seasons", ["winter"], "seasons holds 'winter'; it takes a list of 'Dec–Feb', "),
        ("opacity", 200, "opacity.* must be at most 100, not 200"),
        ("mask", 1, "mask.* must be True or False, not 1"),
        ("limits", (1, 2, 3), "limits.* length .3 instead of 2"),
        ("view", ["a", 1, 2, 3], "view.* must be instances of"),
        ("x", "a", "x.* only takes numeric values"),
        ("stretch", "all", "stretch='all' is none of the 2 that can be chosen, such as fixed"),
    ],
)
def test_a_parameter_says_what_it_takes(viewer, name, value, told):
    """What a parameter refuses is told by a named error, and nothing changes."""
    before = getattr(viewer, name)
    with pytest.raises(InvalidInputError, match=told):
        setattr(viewer, name, value)
    assert getattr(viewer, name) == before


@pytest.mark.parametrize("value", [None, "abc"])
def test_an_empty_box_for_a_place(viewer, value):
    """Where x or y is no number, it is said."""
    before = viewer.x, viewer.y
    viewer.page.guarded(viewer.ask)(value, 5.0)
    assert "x or y is no number" in words(viewer.page.alert)
    assert (viewer.x, viewer.y) == before


def test_one_error_leaves_the_rest(tmp_path):
    """A view too wide for a cube without overviews is told; the series is there all the same."""
    layer = np.ones((2, 2100, 40), "i2")
    viewer = TimeQuery(make_cube(tmp_path / "c", {"B04": layer}, every(1, 2)))
    assert "has no overviews" in words(viewer.page.alert)
    assert len(viewer.series._clear.data["time"]) == 2


def test_opacity(viewer):
    """The opacity is that of the picture on both maps."""
    viewer.opacity = 30
    assert viewer.map.picture.glyph.global_alpha == viewer.other.picture.glyph.global_alpha == 0.3


# Dates


def test_filter_keeps_to_the_nearest(viewer):
    """A filter offers what passes, and moves to the nearest of it in time."""
    viewer.moment = iso(1)
    viewer.least_clear = 50
    assert [*viewer.offered.values()] == [iso(n) for n in range(4, 8)]
    assert viewer.moment == iso(4)
    viewer.orbits = ["8"]
    assert [*viewer.offered.values()] == [iso(5), iso(7)]
    assert viewer.moment == iso(5)
    viewer.param.update(least_clear=0, orbits=["8", "51"], seasons=["Jun–Aug"])
    summer = [n for n in range(STEPS) if timed(n).month in (6, 7, 8)]
    assert [*viewer.offered.values()] == [iso(n) for n in summer]
    nearest = min(summer, key=lambda n: abs(timed(n) - timed(5)))
    assert viewer.moment == iso(nearest)
    assert f"of {len(summer)} that pass" in words(viewer.page.status)


def test_none_passes(viewer):
    """If no overpass passes there is a message and no picture; the picture comes back."""
    viewer.param.update(least_clear=50, seasons=["Dec–Feb"], orbits=["51"])
    assert viewer.moment is None
    assert viewer.step is None
    assert seen(viewer.map) == (None, None)
    assert viewer.map._message.text.startswith("No clear acquisition")
    assert words(viewer.page.status).startswith("No clear acquisition")
    assert words(viewer.page.alert) == ""
    for act in (
        lambda: viewer.move(1),
        lambda: viewer.go_to(timed(3)),
        viewer.pin_this,
        viewer._next_of_play,
    ):
        act()
        assert viewer.moment is None
    viewer.picture = "NDVI"
    assert words(viewer.page.alert) == ""
    assert "clear" in viewer.map._message.text
    viewer.orbits = []
    assert viewer.map._message.text.startswith("No acquisition")  # whatever was clear
    viewer.param.update(least_clear=0, orbits=[])
    assert viewer.map._message.text.startswith("No acquisition")
    viewer.param.update(orbits=["8", "51"], seasons=list(viewer.param.seasons.objects))
    assert viewer.moment is not None
    assert words(viewer.page.alert) == ""


def test_moves_end_at_the_ends(viewer):
    """Next and previous stop at the last and first overpass that pass the filter."""
    viewer.move(100)
    assert viewer.moment == iso(7)
    viewer.move(1)
    assert viewer.moment == iso(7)
    viewer.move(-2)
    assert viewer.moment == iso(5)
    viewer.orbits = ["8"]
    viewer.move(-1)
    assert viewer.moment == iso(3)
    viewer.move(-100)
    assert viewer.moment == iso(1)


def test_go_to_takes_the_nearest(viewer):
    """A moment in the chart shows the overpass nearest to it."""
    for step in range(STEPS):
        viewer.go_to(timed(step) + pd.Timedelta(days=5))
        assert viewer.moment == iso(step)
    viewer.go_to(pd.Timestamp("1999-01-01"))
    assert viewer.moment == iso(0)
    viewer.go_to(pd.Timestamp("2099-01-01"))
    assert viewer.moment == iso(7)


def test_a_click_on_a_date_that_does_not_pass(viewer):
    """A date that the filter leaves out is told, and the nearest that passes is shown."""
    click = viewer.page.guarded(viewer._go_to_clicked)
    viewer.orbits = ["8"]
    passing = set(viewer.steps)
    out = next(n for n in range(STEPS) if n not in passing)
    click(timed(out))
    assert viewer.step in passing
    told = f"{timed(out):%Y-%m-%d %H:%M} · orbit 51"
    assert told in words(viewer.page.alert)
    click(timed(viewer.steps[0]))
    assert viewer.step == viewer.steps[0]
    assert words(viewer.page.alert) == ""


@pytest.mark.parametrize(
    "day",
    [
        date(2021, 7, 9),
        np.datetime64("2021-07-09"),
        "2021-07-09",
        "9 July 2021",
        "20210709",
        "2021-7-9",
        "2021-07-09 ",
    ],
)
def test_go_to_a_day_is_its_noon(viewer, day):
    """A day without an hour stands for its middle, however it is given."""
    cube = viewer.cube.isel(time=[0, 1, 2])
    moments = pd.to_datetime(["2021-07-08 22:00", "2021-07-09 20:00", "2021-07-11 03:00"])
    other = TimeQuery(cube.assign_coords(time=moments))
    other.go_to(day)
    assert other.step == 1


@pytest.mark.parametrize(
    "time",
    ["rubbish", None, pd.NaT, ["2021-01-01"], "99999-01-01", object(), 2021, 20210604.0, True],
)
def test_go_to_what_is_no_date(viewer, time):
    """What is no date ends in a named error, and the date stays."""
    before = viewer.moment
    with pytest.raises(InvalidInputError, match="is no date; give one such as"):
        viewer.go_to(time)
    assert viewer.moment == before


def test_go_to_a_time_with_a_zone(viewer):
    """A time with a zone is the same moment in UTC."""
    step = viewer.timeline.time[3]
    for zone in ("UTC", "Asia/Tokyo"):
        viewer.move(-99)
        viewer.go_to(step.tz_localize("UTC").tz_convert(zone))
        assert viewer.step == 3
    for far in ("1700-01-01", "2200-01-01"):
        viewer.go_to(far)
        assert viewer.step in (viewer.steps[0], viewer.steps[-1])


def test_no_moment_is_chosen(viewer):
    """Without a date the page says so, not that none passes; every move leads back to one."""
    before = viewer.moment
    viewer.moment = None
    assert f"choose one of the {len(viewer.steps)} that pass" in words(viewer.page.status)
    viewer.move(1)
    assert viewer.moment == before


def test_limits_given_with_a_picture(viewer):
    """What is given together with a picture counts, also what was so before; the rest fits."""
    viewer.param.update(limits=(0.0, 1.0))
    viewer.param.update(picture="B08", chart="B04", limits=(0.0, 1.0))
    assert (viewer.limits, viewer.shown_limits, viewer.chart) == ((0, 1), (0, 1), "B04")
    viewer.picture = "NDVI"
    assert (viewer.limits, viewer.shown_limits, viewer.chart) == (None, (-0.1, 0.9), "NDVI")


def test_limits_given_after_a_picture(viewer):
    """One after the other, the last word counts."""
    viewer.picture = "B08"
    assert viewer.shown_limits == (0, 0.5)
    viewer.set_limits(0.01, 0.5)
    assert (viewer.shown_limits, viewer.chart) == ((0.01, 0.5), "B08")
    viewer.limits = None
    assert viewer.shown_limits == (0, 0.5)


@pytest.mark.parametrize("name", ["least_clear", "opacity", "swipe", "x", "y"])
def test_yes_is_no_number(viewer, name):
    """True, which Python counts as 1, is refused."""
    before = getattr(viewer, name)
    with pytest.raises(InvalidInputError, match=f"{name}=True is not a number"):
        setattr(viewer, name, True)
    assert getattr(viewer, name) == before


@pytest.mark.parametrize(
    "limits", [(0.9, 0.1), (0.3, 0.3), (0.0, float("inf")), (float("nan"), 1.0)]
)
def test_limits_that_are_none(viewer, limits):
    """Limits without a width or an end are refused, and those before stay."""
    viewer.limits = (0.1, 0.2)
    with pytest.raises(InvalidInputError, match="is not below the highest"):
        viewer.limits = limits
    assert viewer.limits == (0.1, 0.2)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("picture", "ndvi", "such as NDVI"),
        ("moment", "2021-06-04", "such as 2"),
        ("chart", None, "such as"),
        ("compare", "both", "such as"),
    ],
)
def test_choices_that_are_none(viewer, name, value, near):
    """What is not offered is refused by a named error that tells the nearest."""
    before = getattr(viewer, name)
    with pytest.raises(InvalidInputError, match=near):
        setattr(viewer, name, value)
    assert getattr(viewer, name) == before


def test_numbers_of_numpy(viewer):
    """Numbers as a cube holds them are taken like Python's own, and the next change is too."""
    viewer.opacity, viewer.x = np.int64(50), np.float32(viewer.x)
    viewer.limits = np.float32(0.0), np.float32(0.5)
    viewer.opacity = 80
    assert viewer.map.picture.glyph.global_alpha == 0.8
    assert words(viewer.page.alert) == ""


def type_in(box, value):
    """Do what the page does after a number was typed."""
    with param.edit_constant(box):
        box.param.update(value=value, value_throttled=value)


def test_one_limit_at_a_time_without_a_picture(viewer):
    """What was typed of one limit stays when the other is typed, also while nothing is drawn."""
    low, high, _ = limits_row(viewer)
    viewer.orbits = []
    assert len(viewer.steps) == 0
    type_in(low, 0.07)
    type_in(high, 0.8)
    assert viewer.limits == (0.07, 0.8) == (low.value, high.value)
    type_in(low, 0.9)
    assert "is not below the highest" in words(viewer.page.alert)
    assert viewer.limits == (0.07, 0.8) == (low.value, high.value)


def test_a_coordinate_that_is_the_same_for_all(viewer):
    """An orbit without a time is that of every overpass."""
    cube = viewer.cube.drop_vars("relative_orbit").assign_coords(relative_orbit=51)
    assert list(TimeQuery(cube).timeline.orbit) == ["51"] * STEPS


def test_basemap_of_files():
    """Tiles on this machine have no host to name."""
    assert attribution_of("file:///tiles/{z}/{x}/{y}.png") == "Basemap from local files"


def test_limits_that_are_empty(viewer):
    """An emptied field of the page is told, and the limits stay."""
    viewer.page.guarded(viewer.set_limits)(None, 1.0)
    assert "One of the limits is empty" in words(viewer.page.alert)
    viewer.page.guarded(viewer.set_limits)(float("inf"), 1.0)
    assert "or one of them is not finite" in words(viewer.page.alert)
    assert viewer.limits is None
    viewer.page.guarded(viewer.set_limits)(0.1, 0.2)
    assert (viewer.limits, words(viewer.page.alert)) == ((0.1, 0.2), "")


def test_play_begins_again_at_the_end(viewer):
    """Playing goes on one by one, and from the last to the first."""
    viewer.moment = iso(6)
    viewer.playing = True
    found = []
    for _ in range(3):
        viewer._next_of_play()
        found.append(viewer.moment)
    assert found == [iso(7), iso(0), iso(1)]
    viewer.playing = False


# Comparing


def test_swipe_joins_at_the_right_column(viewer, layers):
    """West of the line is the pinned date, east of it the other one."""
    viewer.moment = iso(2)
    viewer.pin_this()
    assert (viewer.pinned, viewer.compare) == (iso(2), SWIPE)
    viewer.moment = iso(6)
    for share, col in ((50, 25), (0, 0), (100, 50), (30, 15)):
        viewer.swipe = share
        picture, covered = seen(viewer.map)
        values = np.concatenate(
            [true_colour(layers, 2)[:, :col], true_colour(layers, 6)[:, col:]], 1
        )
        assert_mix(picture, values, 0.2)
        assert covered == WHOLE
        assert viewer.map._divider.visible
        assert viewer.map._divider.location == WEST + col * PIXEL
    viewer.view = [WEST - 200, NORTH - 300, WEST + 200, NORTH + 100]
    viewer.swipe = 75
    values = np.concatenate(
        [true_colour(layers, 2)[:30, :10], true_colour(layers, 6)[:30, 10:20]], 1
    )
    assert_mix(seen(viewer.map)[0], values, 0.2)
    viewer.compare = "one map"
    assert_mix(seen(viewer.map)[0], true_colour(layers, 6)[:30, :20], 0.2)
    assert not viewer.map._divider.visible


def test_side_by_side(viewer, layers):
    """The other map shows the pinned date in the same place and with the same limits."""
    viewer.param.update(pinned=iso(2), moment=iso(6), picture="B08")
    assert not viewer.other.pane.visible
    viewer.param.update(compare=BESIDE, stretch=OF_VIEW)
    assert viewer.other.pane.visible
    values = values_of(layers, "B08", 6)
    limits = np.percentile(values[np.isfinite(values)], [2, 98])
    assert_layer(seen(viewer.map)[0], values, *limits, Greys256)
    assert_layer(seen(viewer.other)[0], values_of(layers, "B08", 2), *limits, Greys256)
    assert seen(viewer.other)[1] == WHOLE
    assert viewer.other.view == viewer.map.view
    viewer.pinned = iso(0)
    assert viewer.other._message.text == "No data here on this date"
    assert "Pin a date" not in words(viewer.page.status)
    viewer.pinned = NOT_PINNED
    assert "Pin a date to compare with" in words(viewer.page.status)
    assert not viewer.other.pane.visible
    assert viewer.pin is None


# A pixel


@pytest.mark.parametrize(("row", "col"), [(0, 0), (20, 7), (39, 49), (12, 30)])
def test_pixel_series(viewer, layers, row, col):
    """The series of a pixel is numpy's, with what is clear and which overpass it is."""
    viewer.ask(WEST + col * PIXEL + 1, NORTH - row * PIXEL - 9)
    assert (viewer.x, viewer.y) == (WEST + col * PIXEL + 5, NORTH - row * PIXEL - 5)
    for chart, values in (("NDVI", ndvi_of(layers)), ("B08", decoded(layers["B08"]))):
        viewer.chart = chart
        table = viewer.pixel_series()
        np.testing.assert_allclose(table.value, values[:, row, col], atol=1e-6)
        np.testing.assert_array_equal(table.clear, np.isin(layers["SCL"][:, row, col], CLEAR))
        assert [*table.time] == [timed(n) for n in range(STEPS)]
        assert [*table.orbit] == ["51", "8"] * 4
        assert chart in viewer.series.figure.title.text
    known = table[np.isfinite(table.value)]
    for source, part in (
        (viewer.series._clear, known[known.clear]),
        (viewer.series._cloudy, known[~known.clear]),
    ):
        assert [*source.data["value"]] == [*part.value]
        assert [*pd.to_datetime(source.data["time"])] == [*part.time]
    assert viewer.map._mark.data == {"x": [viewer.x], "y": [viewer.y]}


def test_csv(viewer, layers):
    """The table that is saved is that of the series, with its place, in UTC."""
    viewer.ask(WEST + 75, NORTH - 205)
    viewer.chart = "B08"
    table = pd.read_csv(viewer.csv(), parse_dates=["time"])
    np.testing.assert_allclose(table.B08, decoded(layers["B08"])[:, 20, 7], atol=1e-6)
    assert [*table.time.dt.tz_convert(None)] == [timed(n) for n in range(STEPS)]
    assert [*table.clear] == [False] * 7 + [True]
    assert set(table.x) == {WEST + 75}
    assert set(table.y) == {NORTH - 205}
    assert table.products[1] == "R008-0"


def test_chart_follows_the_picture(viewer):
    """A picture of numbers becomes the series too; a mix does not. The day is marked."""
    viewer.picture = "B03"
    assert viewer.chart == "B03"
    viewer.picture = "True colour"
    assert viewer.chart == "B03"
    viewer.moment = iso(4)
    assert viewer.series._now.visible
    assert pd.Timestamp(viewer.series._now.location) == timed(4)


# What goes wrong


def test_errors_are_shown(viewer):
    """What cannot be is said on the page, and gone after the next thing that works."""
    x, y = viewer.x, viewer.y
    viewer.param.update(x=0.0, y=0.0)
    assert "lies beside the cube" in words(viewer.page.alert)
    assert viewer.page.alert.visible
    viewer.param.update(x=x, y=y)
    viewer.moment = iso(3) if viewer.moment != iso(3) else iso(4)
    assert words(viewer.page.alert) == ""


@pytest.mark.parametrize(
    "view, text",
    [
        ([1, 2, 3], "is not four numbers"),
        ([0, 0, 1, float("nan")], "is not four numbers"),
        ([0, 0, float("inf"), 1], "is not four numbers"),
        ([-1e308, -1e308, 1e308, 1e308], "lies beyond any map"),
        ([5, 5, 5, 5], "has no width or no height"),
        ([0, 1, 1, 0], "has no width or no height"),
    ],
)
def test_view_that_is_none(viewer, view, text):
    """A view that cannot be is refused, and the map stays."""
    before = viewer.view, viewer.map.view
    with pytest.raises(InvalidInputError, match=rf"{text}; give \[west, south, east, north\]"):
        viewer.view = view
    assert (viewer.view, viewer.map.view) == before


def test_why_a_map_is_not_drawn_stays(store, tmp_path):
    """The alert goes with the next thing that works; a map that is still not drawn says why."""
    away = tmp_path / "away"
    path = tmp_path / "cube.zarr"
    shutil.copytree(store, path)
    viewer = TimeQuery(s2kit.open_cube(path))
    path.rename(away)
    viewer.picture = "B08"
    assert "Not drawn" in words(viewer.page.status)
    viewer.opacity = 50
    assert words(viewer.page.alert) == ""
    assert viewer.map._message.visible
    assert "Not drawn" in words(viewer.page.status)
    away.rename(path)
    viewer.picture = "B04"
    assert "Not drawn" not in words(viewer.page.status)


def test_no_series_stays_after_an_error(viewer):
    """Where no series can be read, neither the points nor the ring of another one are seen."""
    ring, dots = viewer.map._mark, viewer.series._clear
    x, y = viewer.x, viewer.y
    assert len(ring.data["x"]) == 1 and len(dots.data["value"])
    viewer.param.update(x=0.0, y=0.0)
    assert len(ring.data["x"]) == len(dots.data["value"]) == 0
    assert "No series" in viewer.series.figure.title.text
    viewer.param.update(x=x, y=y)
    assert len(ring.data["x"]) == 1 and len(dots.data["value"])
    assert "NDVI" in viewer.series.figure.title.text


def test_click_beside_the_cube(viewer):
    """A click beside the cube ends in a named error; the place stays."""
    before = viewer.x, viewer.y
    with pytest.raises(InvalidInputError, match="lies beside the cube; click on the picture"):
        viewer.ask(WEST - 1, NORTH)
    viewer.page.guarded(viewer.ask)(WEST - 1, NORTH)
    assert "lies beside the cube" in words(viewer.page.alert)
    assert (viewer.x, viewer.y) == before


def test_basemap_that_is_absent(viewer, store):
    """Without a server for the basemap the page says so, and shows the picture all the same."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/{{z}}/{{x}}/{{y}}.png"
    without = TimeQuery(s2kit.open_cube(store), tiles=nobody)
    assert words(without.page.alert) == ""
    without.basemap = True
    assert "basemap cannot be fetched" in words(without.page.alert)
    assert seen(without.map)[1] == WHOLE
    assert not without.basemap
    without.opacity = 90
    assert words(without.page.alert) == ""
    assert without.map._below.data["image"] == []


CUTS = {
    "one step": lambda cube: cube.isel(time=[5]),
    "a year": lambda cube: cube.sel(time="2021"),
    "backwards": lambda cube: cube.isel(time=slice(None, None, -1)),
    "part": lambda cube: cube.isel(y=slice(3, 30), x=slice(10, 11)),
    "north": lambda cube: cube.sel(y=slice(NORTH, NORTH - 150)),
    "one pixel": lambda cube: cube.isel(y=[4], x=[9]),
    "every second": lambda cube: cube.isel(y=slice(None, None, 2), x=slice(None, None, 2)),
    "without classes": lambda cube: cube.drop_vars("SCL"),
    "without provenance": lambda cube: cube.drop_vars(
        ["platform", "products", "clear_fraction", "relative_orbit"]
    ),
    "in memory": lambda cube: cube.load(),
    "masked": s2kit.mask_clouds,
    "turned": lambda cube: cube.transpose("x", "y", "time"),
    "milliseconds": lambda cube: cube.load().assign_coords(
        time=cube.time + np.timedelta64(24, "ms")
    ),
}
WITHOUT_DASK = ("part", "one pixel", "masked")


@pytest.mark.parametrize(
    ("cut", "dask"), [*((cut, True) for cut in CUTS), *((cut, False) for cut in WITHOUT_DASK)]
)
def test_cubes_of_all_kinds(store, cut, dask):
    """Parts of a cube, changed ones, with Dask or without, show what they hold where it lies."""
    cube = CUTS[cut](s2kit.open_cube(store, dask=dask))
    viewer = TimeQuery(cube)
    assert words(viewer.page.alert) == ""
    cube = cube.sortby("time")  # viewers go forward
    last = cube.isel(time=-1).transpose("y", "x", ...)
    viewer.go_to(pd.Timestamp(last.time.values))
    picture, covered = seen(viewer.map)
    bands = [last[band].values.astype("f8") for band in ("B04", "B03", "B02")]
    if np.isfinite(np.stack(bands)).all(0).any():
        assert_mix(picture, np.stack(bands, -1), 0.2)
        half = float(viewer.levels.pixel) / 2
        sides = cube.x.min() - half, cube.y.min() - half, cube.x.max() + half, cube.y.max() + half
        assert covered == tuple(map(float, sides))
    table = viewer.pixel_series()
    here = cube.sel(x=viewer.x, y=viewer.y, method="nearest")
    red, nir = here.B04.values.astype("f8"), here.B08.values.astype("f8")
    np.testing.assert_allclose(table.value, (nir - red) / (nir + red), atol=1e-6)
    clear = np.isin(here.SCL.values, CLEAR) if "SCL" in cube else np.full(len(table), True)
    np.testing.assert_array_equal(table.clear, clear)
    viewer.param.update(mask=True, picture="NDVI")
    assert words(viewer.page.alert) == ""


def test_times_of_ones_own(store):
    """A cube with other times, be it whole days, is shown by them."""
    cube = s2kit.open_cube(store, orbit=8)
    viewer = TimeQuery(cube.assign_coords(time=cube.time.dt.floor("D")))
    assert "00:00" in viewer.timeline.label[0]
    assert words(viewer.page.alert) == ""


def test_one_orbit(store):
    """A cube of one orbit shows its overpasses alone."""
    viewer = TimeQuery(s2kit.open_cube(store, orbit=8))
    assert [*viewer.offered.values()] == [iso(n) for n in (1, 3, 5, 7)]
    assert viewer.orbits == ["8"]


def test_csv_where_no_classification_tells(store):
    """What nobody knows is no column: without classes, the table says nothing of clear."""
    viewer = TimeQuery(s2kit.open_cube(store).drop_vars("SCL"))
    viewer.ask(WEST + 5, NORTH - 5)
    found = pd.read_csv(viewer.csv())
    assert {"time", "NDVI"} < set(found)
    assert "clear" not in found


def test_classes_alone(store, layers):
    """A cube of classes alone shows them; it has no series, and says so."""
    viewer = TimeQuery(s2kit.open_cube(store)[["SCL"]])
    assert words(viewer.page.alert) == ""
    viewer.ask(WEST + 5, NORTH - 5)
    assert words(viewer.page.alert) == ""
    with pytest.raises(InvalidInputError, match="no layer of numbers"):
        viewer.csv()


def test_layers_of_ones_own(store):
    """A layer without time and one of yes and no can be looked at."""
    cube = s2kit.open_cube(store)
    own = cube.assign(height=cube.B08.isel(time=5, drop=True), clear=s2kit.clear_mask(cube))
    viewer = TimeQuery(own)
    viewer.param.update(picture="height", stretch=OF_VIEW)
    values = own.height.values
    limits = np.percentile(values[np.isfinite(values)], [2, 98])
    assert_layer(seen(viewer.map)[0], values, *limits, Greys256)
    viewer.moment = iso(5)
    viewer.param.update(picture="clear", stretch="fixed", limits=(0, 1))
    assert_layer(seen(viewer.map)[0], own.clear.values[5].astype("f8"), 0, 1, Greys256)
    assert words(viewer.page.alert) == ""


def test_limits_come_with_the_first_values(store):
    """Where nothing was in sight when a layer was chosen, its limits come with its first values."""
    cube = s2kit.open_cube(store)
    own = (cube.B08 * 1000).drop_attrs()
    viewer = TimeQuery(cube.assign(height=own))
    away, viewer.view = viewer.view, [WEST - 900, NORTH, WEST - 800, NORTH + 100]
    viewer.picture = "height"
    assert viewer.limits is None
    viewer.view = away
    expected = TimeQuery(cube.assign(height=own))
    expected.picture = "height"
    assert viewer.limits == viewer.shown_limits == expected.limits
    values = own.isel(time=viewer.step).values
    fitting = np.percentile(values[np.isfinite(values)], [2, 98])
    np.testing.assert_allclose(viewer.limits, fitting, atol=0.01 * np.ptp(fitting))
    np.testing.assert_array_equal(seen(viewer.map)[0], seen(expected.map)[0])


def test_degrees(tmp_path):
    """A cube in degrees is shown, looked into and asked as any other."""
    grid = GeoBox((30, 40), Affine(1e-4, 0, 4.3, 0, -1e-4, 52), "EPSG:4326")
    layers = random_layers(1, (2, 30, 40), ("B04", "B08"))
    viewer = TimeQuery(make_cube(tmp_path / "c", layers, every(9, 2), grid=grid))
    viewer.param.update(picture="B04", moment=[*viewer.offered.values()][1])
    viewer.look(View(4.30101, 51.99801, 4.30199, 51.99899))
    across, up = viewer.map.ranges
    height = Geod(ellps="sphere").line_length([4.3015] * 2, [up.start, up.end])
    width = Geod(ellps="sphere").line_length([across.start, across.end], [51.9985] * 2)
    assert width == pytest.approx(height, rel=1e-4)  # as long on the ground as on the square map
    picture, covered = seen(viewer.map)
    assert covered == pytest.approx((4.3007, 51.998, 4.3023, 51.999), abs=1e-9)
    assert_layer(picture, decoded(layers["B04"])[1, 10:20, 7:23], 0, 0.2, Greys256)
    viewer.ask(4.30055, 51.99955)
    viewer.chart = "NDVI"
    np.testing.assert_allclose(viewer.pixel_series().value, ndvi_of(layers)[:, 4, 5], atol=1e-6)
    assert "4.30055" in viewer.series.figure.title.text
    assert "0.0001 °" in words(viewer.page.status)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda cube: cube.B04, "DataArray"),
        (lambda cube: None, "NoneType"),
        (lambda cube: "cube.zarr", "str"),
        (lambda cube: cube[[]], "no layers"),
        (lambda cube: cube.isel(time=0), "no dimension time"),
        (lambda cube: cube.isel(time=[]), "no steps left"),
        (lambda cube: cube.drop_vars("time"), "no dates"),
        (lambda cube: cube.drop_vars("spatial_ref"), "no coordinate system"),
        (lambda cube: cube.isel(x=3), "not on a regular grid"),
        (lambda cube: cube.isel(x=[1, 2, 5]), "not on a regular grid"),
        (lambda cube: cube.isel(x=slice(None, None, 2)), "20 wide and 10 high"),
        (lambda cube: cube.assign(SCL=cube.SCL.astype(str)), "classes are whole numbers"),
        (lambda cube: cube.astype("i4"), "is int32"),
        (lambda cube: cube.rename(B04=5), "called 5, which is no text"),
        (lambda cube: cube.assign(own=cube.B04.assign_attrs(scale_factor="x")), "own states scale"),
        (
            lambda cube: cube.assign_coords(clear_fraction=cube.clear_fraction * 100),
            "no share from 0",
        ),
        (
            lambda cube: cube.assign_coords(clear_fraction=cube.clear_fraction.astype(str)),
            "no share",
        ),
        (
            lambda cube: cube.assign_coords(platform=("y", ["A"] * 40)),
            "platform has the dimensions",
        ),
        (
            lambda cube: cube.load().assign_coords(
                time=np.r_[cube.time.values[:1], cube.time.values[:-1]]
            ),
            "two steps at",
        ),
        (lambda cube: cube.expand_dims("model"), "has the dimensions model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input(store, change, text):
    """What is no cube, or lacks what a map needs, ends in a named error that tells it."""
    cube = s2kit.open_cube(store)
    with pytest.raises(InvalidInputError, match=text):
        TimeQuery(change(cube))
