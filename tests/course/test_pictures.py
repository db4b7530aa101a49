"""The pictures of the notebooks: what is drawn is what was given, and titles name its source."""

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from s2kit import course

DAYS = pd.date_range("2021-05-01", periods=4, freq="10D")


@pytest.fixture(scope="module", autouse=True)
def drawing():
    """Load what draws, as each notebook does first."""
    course.start_pictures()


@pytest.fixture
def scene():
    """Return one date of four layers, 3 × 4 pixels; one pixel of red has no data."""
    rng = np.random.default_rng(1)
    place = {"y": [30.0, 20.0, 10.0], "x": [5.0, 15.0, 25.0, 35.0], "time": DAYS[0]}
    bands = {
        name: (("y", "x"), rng.uniform(0, 0.3, (3, 4)).astype("float32"))
        for name in ("B02", "B03", "B04", "B08")
    }
    data = xr.Dataset(bands, place)
    data["B04"][1, 2] = np.nan
    return data


@pytest.fixture(params=[True, False])
def source(request, capsys):
    """Describe a synthetic and a real cube in turn; return how titles name it."""
    coords = {"time": DAYS, "y": [30.0, 20.0], "x": [5.0, 15.0]}
    layers = {"B04": (("time", "y", "x"), np.zeros((4, 2, 2), "float32"))}
    attrs = {"synthetic": int(request.param), "source": "from here"}
    course.describe(xr.Dataset(layers, coords, attrs).rio.write_crs(28992))
    printed = capsys.readouterr().out
    assert "4 overpasses from 2021-05-01 to 2021-05-31" in printed
    assert "2 × 2 pixels of 10 m, EPSG:28992" in printed
    return "(synthetic practice data)" if request.param else "(Sentinel-2)"


def options(element):
    """Return what an element is drawn with."""
    return hv.Store.lookup_options("bokeh", element, "plot").kwargs | (
        hv.Store.lookup_options("bokeh", element, "style").kwargs
    )


def test_titles_name_date_and_source(source, scene):
    """A picture says what it shows, of which day, and where the data are from."""
    assert options(course.show_rgb(scene))["title"] == f"True colour, 2021-05-01\n{source}"
    assert options(course.show_map(scene.B08))["title"] == f"B08, 2021-05-01\n{source}"
    assert options(course.show_map(scene.B08, "Infrared"))["title"] == f"Infrared\n{source}"


@pytest.mark.parametrize(
    ("mix", "bands", "brightest"),
    [
        ("True colour", ["B04", "B03", "B02"], [0.2, 0.2, 0.2]),
        ("False colour", ["B08", "B04", "B03"], [0.5, 0.2, 0.2]),
    ],
)
def test_colours_are_the_bands(scene, mix, bands, brightest):
    """Red, green and blue are the bands by their brightest value; no data is transparent."""
    picture = course.show_rgb(scene, mix)
    for channel, band, top in zip("RGB", bands, brightest, strict=True):
        drawn = picture.dimension_values(channel, flat=False)
        expected = np.clip(scene[band].values[::-1] / np.float32(top), 0, 1)
        np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    opaque = picture.dimension_values("A", flat=False)
    assert opaque.sum() == 11 and opaque[1, 2] == 0


def test_a_cube_without_visible_light_is_drawn_in_grey(scene):
    """The first band is red, green and blue."""
    picture = course.show_rgb(scene[["B08"]])
    channels = [picture.dimension_values(channel) for channel in "RGB"]
    np.testing.assert_array_equal(channels[0], channels[1])
    np.testing.assert_array_equal(channels[0], channels[2])


def test_limits_are_of_the_pixels_asked(scene):
    """Colours are stretched between percentiles of all pixels, or of those of a mask."""
    low = scene.B08 < 0.15
    for given, values in (({}, scene.B08), ({"within": low}, scene.B08.where(low))):
        found = options(course.show_map(scene.B08, **given))["clim"]
        assert found == pytest.approx(np.nanpercentile(values, (2, 98)))
    assert options(course.show_map(scene.B08, limits=(0, 1)))["clim"] == (0, 1)


def test_a_class_has_its_colour_and_name():
    """Only classes that occur are listed, each with its own colour."""
    values = np.array([[4, 4, 9], [6, 9, 9]], "uint8")
    attrs = {
        "flag_values": np.arange(12, dtype="uint8"),
        "flag_meanings": " ".join(f"class_{n}" for n in range(12)),
        "flag_colors": " ".join(f"#0000{n:02x}" for n in range(12)),
    }
    layer = xr.DataArray(values, {"y": [2.0, 1.0], "x": [1.0, 2.0, 3.0]}, ("y", "x"), "SCL", attrs)
    picture = course.show_classes(layer)
    drawn, style = picture.dimension_values(2, flat=False)[::-1], options(picture)
    names = style["colorbar_opts"]["major_label_overrides"]
    assert [names[rank] for rank in drawn.ravel()] == [f"class {n}" for n in values.ravel()]
    assert [style["cmap"][int(rank)] for rank in drawn.ravel()] == [
        f"#0000{n:02x}" for n in values.ravel()
    ]


def test_a_crop_has_one_colour_in_all_notebooks():
    """The colour of a crop does not depend on the others, and no two share one."""
    few, many = ["maize", "potato"], ["potato", "beans", "maize", "onion", "rye"]
    assert course.class_colours(few).items() <= course.class_colours(many).items()
    assert len(set(course.class_colours(many).values())) == 5


def test_series_separates_clear_from_cloudy():
    """The line runs through clear values only, crosses mark the others, gaps are left out."""
    values = xr.DataArray([0.1, 0.2, np.nan, 0.4], {"time": DAYS}, name="NDVI")
    clear = xr.DataArray([True, False, True, True], {"time": DAYS})
    parts = {type(part).__name__: part for part in course.show_series(values, clear)}
    np.testing.assert_array_equal(parts["Curve"].dimension_values("NDVI"), [0.1, 0.4])
    scatters = [p for p in course.show_series(values, clear) if isinstance(p, hv.Scatter)]
    drawn = {part.label: part.dimension_values("NDVI").tolist() for part in scatters}
    assert drawn == {"cloud, shadow or snow": [0.2], "clear": [0.1, 0.4]}


def test_lines_leave_gaps_out():
    """Each column is a line through its own values."""
    table = pd.DataFrame({"maize": [1.0, np.nan, 3, 4], "onion": [np.nan, 2.0, 3, 4]}, DAYS)
    lines = [part for part in course.show_lines(table, "Two") if isinstance(part, hv.Curve)]
    assert [part.label for part in lines] == ["maize", "onion"]
    assert [part.dimension_values("value").tolist() for part in lines] == [[1, 3, 4], [2, 3, 4]]


def test_maps_side_by_side_are_narrower(scene):
    """Two maps fit beside each other, and a ring stays on its map."""
    one = course.show_rgb(scene) * course.mark({"x": 15.0, "y": 20.0})
    layout = course.compare(one, course.show_map(scene.B08))
    maps = layout.traverse(specs=[hv.RGB, hv.Image])
    assert [options(part)["frame_width"] for part in maps] == [330, 330]
    (ring,) = layout.traverse(specs=[hv.Points])
    assert ring.array().tolist() == [[15.0, 20.0]]


def test_the_middle_of_a_country():
    """At most so many pixels are kept, from the middle; a small cube is kept whole."""
    wide = xr.Dataset({"B04": (("y", "x"), np.arange(21).reshape(3, 7))})
    assert course.middle(wide, 3).B04.values.tolist() == [[2, 3, 4], [9, 10, 11], [16, 17, 18]]
    assert course.middle(wide, 500).sizes == wide.sizes
