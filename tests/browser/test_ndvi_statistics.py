"""The NDVI statistics in a page of ``panel serve``, used by mouse, against plain numpy."""

import json
from urllib.parse import urlencode

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from bokeh.palettes import Cividis256
from expecting import (
    CURVES,
    DRAFT,
    HISTOGRAM,
    MAP,
    NAMES,
    POINTS,
    YEARS,
    begin,
    clear_ndvi,
    draw,
    drawn,
    expect_curve,
    expect_screen,
    expected,
    in_sight,
    is_,
    type_corner,
    zoom_in,
)
from known import COLS, EAST, NORTH, PIXEL, ROWS, SOUTH, STEPS, WEST, cell
from PIL import Image
from playwright.sync_api import expect
from seeing import Seen, painted

CORNERS = ((82_003, 448_001), (82_604, 448_297), (82_951, 447_803), (82_207, 447_406))
"""Of a field that is cut out of pixels."""


@pytest.fixture
def seen(open_viewer) -> Seen:
    """Open the viewer."""
    return open_viewer("NdviStatistics")


def test_map_of_the_mean(seen, known):
    """The map begins with the mean of all years, in the level that fits the window."""
    values = np.nanmean(clear_ndvi(known), axis=0)
    found = seen.expect_picture(painted(values, -0.1, 0.9))
    assert found.place == (WEST, SOUTH, EAST, NORTH)
    assert seen.title() == "NDVI, mean, 2021–2023\n(synthetic practice data)"
    expect(seen.status).to_contain_text(f"median {np.median(values):.3g}")
    assert sum(seen.data(HISTOGRAM, 0)["top"]) == values.size
    expect_screen(seen)


def test_small_window_gets_the_coarser_level(page, viewers, known):
    """On a phone the map shows the overview, says so, and the finer level where one zooms in."""
    page.set_viewport_size({"width": 420, "height": 850})
    page.goto(f"{viewers.url}/NdviStatistics", timeout=90_000)
    seen = Seen(page).wait()
    seen.expect_picture(painted(np.nanmean(clear_ndvi(known, 1), axis=0), -0.1, 0.9))
    assert seen.title().startswith("NDVI, mean, 2021–2023\n(synthetic practice data; over")
    expect(seen.status).to_contain_text("pixels of 20 m")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 420
    zoom_in(seen)
    expect(seen.status).to_contain_text("pixels of 10 m")


def test_statistics_and_years(seen, known):
    """Each statistic, and each choice of years, is that of numpy; spreads have other colours."""
    values = clear_ndvi(known)
    ranks = np.nanpercentile(values, (10, 90), axis=0)
    maps = {
        "smallest": np.nanmin(values, 0),
        "largest": np.nanmax(values, 0),
        "standard deviation": np.nanstd(values, 0),
        "amplitude (p90 − p10)": ranks[1] - ranks[0],
        "clear observations": np.isfinite(values).sum(0).astype(float),
    }
    for name, wanted in maps.items():
        seen.choose("Statistic", name)
        if name in ("smallest", "largest"):
            seen.expect_picture(painted(wanted, -0.1, 0.9))
        else:
            expect_fitting(seen, wanted)
        assert name in seen.title()
    seen.choose("Statistic", "mean")
    seen.choose("First year", "2022")
    seen.choose("Last year", "2022")
    part = values[known.time.astype("M8[Y]") == np.datetime64("2022")]
    seen.expect_picture(painted(_mean(part), -0.1, 0.9))
    assert "mean, 2022\n" in seen.title()
    seen.choose("Last year", "2021")
    expect(seen.error).to_contain_text("the first year, 2022, is after the last, 2021")
    seen.choose("First year", "2021")
    expect(seen.error).to_have_count(0)
    part = values[known.time.astype("M8[Y]") == np.datetime64("2021")]
    seen.expect_picture(painted(_mean(part), -0.1, 0.9))
    seen.choose("Index or layer", "B08")
    layer = np.where(known.clear(), known.levels[0]["B08"], np.nan)
    part = _mean(layer[known.time.astype("M8[Y]") == np.datetime64("2021")])
    seen.expect_picture(painted(part, 0, 0.5))


def expect_fitting(seen: Seen, values: np.ndarray) -> np.ndarray:
    """Wait until limits are what nine of ten pixels span, to a hundredth, and colours fit them."""
    wanted = np.nanpercentile(values, (5, 95))

    def check() -> list[float]:
        found = [float(seen.box(name).input_value()) for name in ("Lowest", "Highest")]
        np.testing.assert_allclose(found, wanted, atol=np.ptp(wanted) / 100)
        return found

    picture = painted(values, *seen.eventually(check), Cividis256)
    seen.expect_picture(picture, near=8)
    return picture


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean, NaN without a warning where nothing is."""
    count = np.isfinite(values).sum(0)
    return np.where(count, np.nansum(values, 0) / np.maximum(count, 1), np.nan)


def test_limits(seen, known):
    """Colours span what is typed or pushed, until they are fitted again; what cannot be is told."""
    values = np.nanmean(clear_ndvi(known), axis=0)
    seen.expect_picture(painted(values, -0.1, 0.9))
    high = seen.box("Highest")
    seen.type("Lowest", 0.3)
    seen.expect_picture(painted(values, 0.3, 0.9))
    seen.type("Highest", 0.5)
    seen.expect_picture(painted(values, 0.3, 0.5), near=8)
    seen.type("Highest", 0.2)
    expect(seen.error).to_contain_text("The lowest value (0.3) is not below the highest (0.2)")
    seen.press("Fit")
    expect(seen.error).to_have_count(0)
    seen.expect_picture(painted(values, -0.1, 0.9))
    upper = seen.slider("Colours, upper end")
    upper.press("ArrowLeft")
    seen.eventually(lambda: is_(float(high.input_value()) < 0.9, True))
    seen.expect_picture(painted(values, -0.1, float(high.input_value())))


def test_zoom_computes_what_is_in_sight(seen, known):
    """Where one zooms in, statistics are those of what is seen; wheel and buttons do it."""
    mean = np.nanmean(clear_ndvi(known), axis=0)
    zoom_in(seen)
    seen.expect_picture(painted(in_sight(seen, mean), -0.1, 0.9))
    assert sum(seen.data(HISTOGRAM, 0)["top"]) == in_sight(seen, mean).size
    seen.press("Whole region")
    seen.expect_picture(painted(mean, -0.1, 0.9))
    seen.page.mouse.move(*seen.spot(83_200, 447_200))
    for _ in range(6):
        seen.page.mouse.wheel(0, -240)
    seen.eventually(lambda: is_(np.ptp(seen.view()[::2]) < 6000, True))
    seen.eventually(lambda: is_(seen.picture().pixels.shape[:2], in_sight(seen, mean).shape))
    seen.expect_picture(painted(in_sight(seen, mean), -0.1, 0.9))
    seen.press("Whole region")
    seen.expect_picture(painted(np.nanmean(clear_ndvi(known), axis=0), -0.1, 0.9))


def test_box_of_two_clicks(seen, known):
    """A box holds what lies between two clicks: mean, spread and count are numpy's."""
    begin(seen, "box")
    seen.click(81_000, 449_000)
    seen.eventually(lambda: is_(len(seen.data(MAP, DRAFT)["x"]), 1))
    seen.click(81_700, 448_400)
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["box"]))
    shape = drawn(seen)
    assert np.abs(np.subtract(shape.bounds, (81_000, 448_400, 81_700, 449_000))).max() < 15
    expect_curve(seen, "box", expected(known, shape))
    assert seen.data(MAP, DRAFT)["x"] == []


def test_polygon_of_clicks(seen, known):
    """A polygon ends with a double click on its last corner; quick clicks are corners too."""
    begin(seen, "polygon")
    corners = [(84_000, 447_000), (85_000, 447_500), (85_400, 446_700), (84_300, 446_200)]
    for corner in corners[:-1]:
        seen.click(*corner)
    seen.eventually(lambda: is_(len(seen.data(MAP, DRAFT)["x"]), 3))
    seen.page.wait_for_timeout(400)  # what follows sooner is no double click
    seen.page.mouse.dblclick(*seen.spot(*corners[-1]))
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["polygon"]))
    shape = drawn(seen)
    assert shape.symmetric_difference(shapely.Polygon(corners)).area < 0.03 * shape.area
    expect_curve(seen, "polygon", expected(known, shape))


def test_point_takes_its_pixel(seen, known):
    """A point's curve is the series of the pixel that was clicked."""
    begin(seen, "point")
    seen.click(82_000, 446_000)
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["point"]))
    place = seen.data(MAP, POINTS)
    row, col = int((NORTH - place["y"][0]) // PIXEL), int((place["x"][0] - WEST) // PIXEL)
    value = clear_ndvi(known)[:, row, col]
    table = pd.DataFrame({"time": known.time, "mean": value, "std": 0.0, "count": 1.0})
    expect_curve(seen, "point", table.assign(share=np.isfinite(value).astype(float)))


def test_typed_polygon_is_exact_and_saved(seen, known, tmp_path):
    """A polygon of typed corners is taken to the digit: in the chart, in CSV and in GeoJSON."""
    shape = shapely.Polygon(CORNERS)
    draw(seen, CORNERS)
    table = expected(known, shape)
    expect_curve(seen, "polygon", table)
    assert drawn(seen).equals(shape)
    seen.press("Save")
    saved = pd.read_csv(seen.save("Series as CSV", tmp_path))
    assert saved.time.to_list() == [f"{known.iso(n)}Z" for n in range(STEPS)]
    assert set(zip(saved.place, saved.variable, strict=True)) == {("polygon", "NDVI")}
    for column in ("mean", "std", "count", "share"):
        np.testing.assert_allclose(saved[column], table[column], rtol=2e-5, atol=1e-5)
    path = seen.save("Places as GeoJSON", tmp_path)
    assert json.loads(path.read_text())["features"][0]["properties"]["name"] == "polygon"
    there = gpd.read_file(path).to_crs("EPSG:28992").geometry[0]
    assert there.hausdorff_distance(shape) < 0.01


def test_places_year_by_year(seen, known):
    """One place's years stand beside each other by their days; each year is a curve."""
    draw(seen, CORNERS)
    table = expected(known, shapely.Polygon(CORNERS))
    expect_curve(seen, "polygon", table)
    seen.press("year by year")
    table = table[table.share >= 0.5]

    def check() -> None:
        dots = pd.DataFrame(seen.data(YEARS, 2))
        np.testing.assert_array_equal(dots.name.astype(int), table.time.dt.year)
        days = pd.to_datetime(table.time.dt.strftime("2000-%m-%d")).dt.day_of_year  # a leap year
        np.testing.assert_array_equal(dots.x, days)
        np.testing.assert_allclose(dots["mean"], table["mean"], atol=1e-5)

    seen.eventually(check)
    expect(seen.button("year by year")).to_have_attribute("aria-pressed", "true")
    seen.press("Map")
    seen.choose("First year", "2023")
    table = table[table.time.dt.year == 2023]
    seen.eventually(check)


def test_places_are_named_coloured_and_removed(seen, known):
    """A place takes another name and colour, also in the chart, and goes when it is removed."""
    for corners in (CORNERS, [(x + 1000, y) for x, y in CORNERS]):
        draw(seen, corners)
        seen.eventually(lambda: is_(seen.data(MAP, DRAFT)["x"], []))
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["polygon", "polygon 2"]))
    assert len(set(seen.data(MAP, NAMES)["colour"])) == 2
    seen.press("Places")
    name = seen.box("Name")
    expect(name).to_have_value("polygon 2")
    name.fill("Meadow <b>1</b>")
    name.press("Enter")
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["polygon", "Meadow <b>1</b>"]))
    seen.choice("Colour").fill("#123456")
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["colour"][1], "#123456"))
    moved = expected(known, shapely.Polygon([(x + 1000, y) for x, y in CORNERS]))
    expect_curve(seen, "Meadow <b>1</b>", moved)
    seen.choose("Place", "polygon")
    expect(name).to_have_value("polygon")
    seen.press("Remove this place")
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["Meadow <b>1</b>"]))
    seen.press("Remove this place")
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], []))
    seen.eventually(lambda: is_("Draw a place" in seen.title(CURVES), True))


SLOW = """
import time
from s2kit.viewers import statistic_map
found = statistic_map.time_statistics
def slow(*given, sleep=time.sleep, quick=getattr(found, 'quick', found), **named):
    sleep(4)
    return quick(*given, **named)
slow.quick = getattr(found, 'quick', found)
statistic_map.time_statistics = slow
"""
"""Each page runs it, and Bokeh empties the module of a page that is gone: what it needs is kept."""


def test_long_work_is_seen(page, serve_app, known_store, tmp_path):
    """What takes longer than a second is said to be at work, until it is there."""
    script = tmp_path / "slow.py"
    script.write_text(SLOW + cell("NdviStatistics", known_store))
    page.goto(f"{serve_app(script).url}/slow", timeout=90_000)
    seen = Seen(page).wait()
    working = page.locator(".working")
    expect(working).to_have_count(0)
    seen.choose("Statistic", "amplitude (p90 − p10)")
    expect(working).to_have_count(1)
    shown = "element => getComputedStyle(element).opacity"
    seen.eventually(lambda: is_(working.evaluate(shown), "1"))
    assert "NDVI, mean" in seen.title()
    expect(working).to_have_count(0)
    assert "NDVI, amplitude" in seen.title()


def test_mistakes_in_drawing_are_told(seen):
    """Too few corners, a corner beside the cube: each is said, and drawing goes on."""
    begin(seen, "polygon")
    seen.press("Finish")
    type_corner(seen, WEST - 500, NORTH)
    expect(seen.error).to_contain_text("lies beside the cube")
    type_corner(seen, 82_000, 448_000)
    expect(seen.error).to_have_count(0)
    expect(seen.page.get_by_text("So far: 1 corner.")).to_be_visible()
    seen.press("Finish")
    expect(seen.error).to_contain_text("a polygon needs 3 corners")
    expect(seen.page.get_by_text("So far: 1 corner.")).to_be_visible()
    seen.press("Cancel")
    draw(seen, CORNERS)
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["polygon"]))
    expect(seen.error).to_have_count(0)
    seen.press("Save")


def test_upload(seen, known):
    """A broken file is told and the session goes on; fields of a file are drawn and described."""
    seen.press("Draw")
    file = seen.choice("File of places")
    broken = {"name": "broken.geojson", "mimeType": "application/geo+json", "buffer": b"{nonsense"}
    file.set_input_files(broken)
    expect(seen.error).to_contain_text("broken.geojson")
    expect(file).to_have_value("")  # it is ready for another one
    file.set_input_files(broken | {"name": "big.geojson", "buffer": b" " * 30_000_000})
    expect(seen.error).to_contain_text("big.geojson has 30.0 MB; give a file of 5 MB")
    expect(file).to_have_value("")
    away = gpd.GeoDataFrame(geometry=[shapely.box(4, 40, 5, 41)], crs="EPSG:4326")
    file.set_input_files(broken | {"name": "away.geojson", "buffer": away.to_json().encode()})
    expect(seen.error).to_contain_text("touches the cube")
    expect(file).to_have_value("")
    shape = shapely.Polygon(CORNERS)
    fields = gpd.GeoDataFrame({"name": ["North"]}, geometry=[shape], crs="EPSG:28992")
    content = fields.to_crs("EPSG:4326").to_json().encode()
    file.set_input_files(broken | {"name": "fields.geojson", "buffer": content})
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["North"]))
    expect(seen.error).to_have_count(0)
    expect_curve(seen, "North", expected(known, drawn(seen)))
    assert drawn(seen).hausdorff_distance(shape) < 0.01


def test_pictures_are_saved_as_png(seen, known, tmp_path):
    """Map, curves and years are saved as they are on the screen."""
    draw(seen, CORNERS)
    expect_curve(seen, "polygon", expected(known, shapely.Polygon(CORNERS)))
    seen.press("Save")
    for name, figure, least in (("Map", MAP, 100), ("Curves", CURVES, 20)):
        path = seen.save(f"{name} as PNG", tmp_path)
        assert path.name == f"ndvi_statistics_{name.lower()}.png"
        picture = Image.open(path).convert("RGB")
        size = seen.ask("return [figure.outer_width, figure.outer_height]", figure)
        assert np.abs(np.subtract(picture.size, size)).max() <= 1
        assert len(picture.getcolors(1 << 20)) > least
    seen.press("year by year")
    assert (
        len(Image.open(seen.save("Years as PNG", tmp_path)).convert("RGB").getcolors(1 << 20)) > 20
    )


def test_address_restores_all(seen, known, page):
    """Another page with the same address shows the same map, places and chart."""
    seen.choose("Statistic", "standard deviation")
    seen.choose("First year", "2022")
    zoom_in(seen)
    draw(seen, CORNERS)
    seen.press("year by year")
    seen.eventually(lambda: is_("year%20by%20year" in page.url.replace("+", "%20"), True))
    seen.eventually(lambda: is_("drawn=" in page.url, True))
    later = clear_ndvi(known)[known.time >= np.datetime64("2022")]
    seen.press("Map")
    expect_fitting(seen, np.nanstd(in_sight(seen, later), axis=0))

    again = Seen(page.context.new_page())
    again.page.goto(page.url)
    again.wait()
    expect_fitting(again, np.nanstd(in_sight(again, later), axis=0))
    assert again.title() == seen.title()
    assert drawn(again).equals(shapely.Polygon(CORNERS))
    years = seen.eventually(lambda: _some(seen.data(YEARS, 2)["mean"]))
    assert again.data(YEARS, 2)["mean"] == years
    expect(again.error).to_have_count(0)
    assert again.page.url == page.url


@pytest.mark.parametrize(
    ("names", "chosen"),
    [([12, 13, 14], "13"), (["12", "1e3", "13"], "1e3"), (["12", "[x]", "13"], "[x]")],
    ids=["number", "text of a number", "text of a list"],
)
def test_address_restores_the_chosen_place(seen, page, names, chosen):
    """Another page with the same address shows the same place, whatever its name is like."""
    shapes = [shapely.Polygon([(x + 600 * n, y) for x, y in CORNERS]) for n in range(3)]
    fields = gpd.GeoDataFrame({"name": names}, geometry=shapes, crs="EPSG:28992")
    content = fields.to_crs("EPSG:4326").to_json().encode()
    seen.press("Draw")
    seen.choice("File of places").set_input_files(
        {"name": "f.geojson", "mimeType": "application/geo+json", "buffer": content}
    )
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], [str(name) for name in names]))
    seen.press("year by year")
    seen.press("Places")
    seen.choose("Place", chosen)
    seen.eventually(lambda: is_(f"NDVI of {chosen}, year by year" in seen.title(YEARS), True))
    asked = urlencode({"place": chosen})
    seen.eventually(lambda: is_(f"{asked}&" in page.url + "&", True))
    again = Seen(page.context.new_page())
    again.page.goto(page.url)
    again.wait()
    again.eventually(lambda: is_(again.title(YEARS), seen.title(YEARS)))
    expect(again.error).to_have_count(0)


def _some(values: list) -> list:
    assert values
    return values


@pytest.mark.parametrize(
    "asked, named",
    [
        ("?statistic=most&start=1999&view=[0,0,1]", ("statistic=most", "start=1999", "view=[0")),
        ("?start=2023&end=2021", ("the first year, 2023, is after the last, 2021",)),
        ("?drawn=nonsense", ("names no places",)),
        ("?limits=[0.1,0.5", ("limits=[0.1,0.5",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_address_is_told(open_viewer, asked, named):
    """What the address asks for in vain is named, and the viewer works."""
    seen = open_viewer("NdviStatistics", asked)
    for words in named:
        expect(seen.error).to_contain_text(words)
    for label, choice in (("First year", "2022"), ("Last year", "2022"), ("Statistic", "mean")):
        seen.choose(label, choice)
    seen.press("Fit")
    seen.press("Whole region")
    draw(seen, CORNERS)
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"][-1:], ["polygon"]))
    expect(seen.status).to_contain_text("NDVI, mean, 2022")
    assert seen.picture().pixels.shape == (ROWS, COLS, 4)


def test_what_is_refused_leaves_the_address(open_viewer, page):
    """Places that are none are in no address that the page has after the next action."""
    seen = open_viewer("NdviStatistics", "?drawn=nonsense&place=nowhere")
    expect(seen.error).to_contain_text("names no places")
    seen.choose("First year", "2022")
    seen.eventually(lambda: is_("start=2022" in page.url, True))
    assert "nonsense" not in page.url and "nowhere" not in page.url
