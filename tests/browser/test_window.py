"""A viewer as a page of its own: it fills the window, and what is drawn fits what is seen."""

import re

import numpy as np
import pytest
from expecting import MAP, PINNED, SERIES, at, expect_day, is_
from known import CLEAREST, EAST, NORTH, SOUTH, STEPS, WEST
from PIL import Image
from playwright.sync_api import Page, expect
from seeing import GREY, Seen, painted

from s2kit.viewers.levels import SIDE

KINDS = ("TimeQuery", "NdviStatistics")


def frame(seen: Seen, figure: int = MAP) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a map within its axes, on the screen."""
    return tuple(
        seen.ask(
            "const view = Bokeh.index.find_one(figure), box = view.el.getBoundingClientRect();"
            "const {left, top, width, height} = view.frame.bbox;"
            "return [box.x + left, box.y + top, width, height]",
            figure,
        )
    )


def expect_round(seen: Seen, figure: int = MAP) -> None:
    """Wait until a metre is as long to the east as to the north."""

    def check() -> None:
        _, _, width, height = frame(seen, figure)
        west, south, east, north = seen.view(figure)
        assert (east - west) / width == pytest.approx((north - south) / height, rel=1e-3)

    seen.eventually(check)


def resize(page: Page, width: int, height: int) -> None:
    """Set the size of the window."""
    page.set_viewport_size({"width": width, "height": height})


@pytest.mark.parametrize("kind", KINDS)
def test_map_fills_the_window(open_viewer, kind):
    """The map takes all that axes and controls leave; nothing scrolls, and nothing is stretched."""
    seen = open_viewer(kind)
    for width, height in ((1600, 900), (1280, 800), (1920, 1080)):
        resize(seen.page, width, height)
        expect_round(seen)

        def check() -> None:
            _, _, wide, high = frame(seen)
            assert wide > 0.57 * width and high > 0.6 * height  # noqa: B023
            inside = "() => [document.scrollingElement.scrollWidth - innerWidth,"
            inside += " document.scrollingElement.scrollHeight - innerHeight]"
            assert max(seen.page.evaluate(inside)) <= 0

        seen.eventually(check)
        west, south, east, north = seen.view()
        assert west <= WEST + 1 and south <= SOUTH + 1 and east >= EAST - 1 and north >= NORTH - 1


@pytest.mark.parametrize("kind", KINDS)
def test_controls_fold(open_viewer, kind):
    """Without its controls the map is wider; the charts stand below it, and all comes back."""
    seen = open_viewer(kind)
    expect_round(seen)
    before = frame(seen)
    chart = SERIES if kind == "TimeQuery" else 2
    assert frame(seen, chart)[0] > before[0] + before[2]
    seen.press("Hide controls")
    expect(seen.button("Save")).to_be_hidden()
    seen.eventually(lambda: is_(frame(seen)[2] > 1.3 * before[2], True))
    expect_round(seen)
    seen.eventually(lambda: is_(frame(seen, chart)[1] > sum(frame(seen)[1::2]), True))
    seen.press("Show controls")
    expect(seen.button("Save")).to_be_visible()
    seen.eventually(lambda: np.testing.assert_allclose(frame(seen), before, atol=1))


@pytest.mark.parametrize("kind", KINDS)
def test_phone(open_viewer, kind):
    """On a phone the page scrolls down, not sideways, and the whole map is seen at once."""
    seen = open_viewer(kind)
    resize(seen.page, 420, 850)
    expect_round(seen)
    over = "() => document.scrollingElement.scrollWidth - window.innerWidth"
    for part in ("Save", "Compare" if kind == "TimeQuery" else "Places"):
        seen.press(part)
        seen.eventually(lambda: is_(seen.page.evaluate(over), 0))
    left, _, width, height = frame(seen)
    assert left >= 0 and left + width <= 420 and 280 <= height <= 600
    assert seen.page.evaluate("document.scrollingElement.scrollHeight") > 850


def test_two_maps_on_a_phone(open_viewer, known):
    """Two dates to compare stand below each other on a phone, beside each other elsewhere."""
    seen = open_viewer("TimeQuery")
    expect_day(seen, known, CLEAREST)
    seen.press("Compare")
    seen.press("Pin the date that is shown")
    seen.press("side by side")

    def check_below() -> None:
        (left, top, width, height), (x, y, wide, high) = frame(seen, PINNED), frame(seen, MAP)
        assert x == pytest.approx(left, abs=1) and y > top + height
        assert min(width, wide) >= 280 and min(height, high) >= 280

    def check_beside() -> None:
        (left, top, width, _), (x, y, _, _) = frame(seen, PINNED), frame(seen, MAP)
        assert x > left + width and y == pytest.approx(top, abs=1)

    for width, check in ((1280, check_beside), (420, check_below), (1280, check_beside)):
        resize(seen.page, width, 850)
        seen.eventually(check)
    resize(seen.page, 420, 850)
    seen.press("one map")
    seen.eventually(lambda: is_(280 <= frame(seen)[3] <= 600, True))


def test_picture_has_the_detail_of_the_screen(open_viewer, known):
    """A wider window gets more pixels, where the cube has them, but not many more than it shows."""
    seen = open_viewer("TimeQuery")
    for width, height in ((420, 850), (1280, 800)):
        resize(seen.page, width, height)
        expect_round(seen)

        def check() -> None:
            _, _, wide, high = frame(seen)
            most = max(SIDE, 1.14 * max(wide, high))
            level = 0 if max(known.ndvi().shape) <= most else 1
            assert seen.picture().pixels.shape[:2] == known.ndvi(level).shape[1:]

        seen.eventually(check)


def test_two_pictures_of_one_date(open_viewer, known, page):
    """The pinned date is shown as another picture, with limits and a colour bar of its own."""
    seen = open_viewer("TimeQuery")
    seen.choose("Show", "NDVI")
    seen.press("Compare")
    seen.press("Pin the date that is shown")
    seen.choose("Pinned picture", "B04")
    red, ndvi = at(known, CLEAREST)["B04"], known.ndvi()[CLEAREST]
    both = painted(ndvi, -0.1, 0.9)
    both[:, :320] = painted(red, 0, 0.2, GREY)[:, :320]
    seen.expect_picture(both)
    assert seen.title().startswith("B04, 13 Jan 2022 | NDVI, 13 Jan 2022")
    expect(seen.status).to_contain_text("Compared with B04, 13 Jan 2022.")
    seen.press("side by side")
    seen.expect_picture(painted(known.ndvi(1)[CLEAREST], -0.1, 0.9), MAP)
    seen.expect_picture(painted(at(known, CLEAREST, 1)["B04"], 0, 0.2, GREY), PINNED)
    bars = "return figure.below.filter((one) => one.type == 'ColorBar')"
    bars += ".map((one) => [one.title, one.color_mapper.high])"
    assert seen.ask(bars, MAP) == [["NDVI", 0.9]]
    assert seen.ask(bars, PINNED) == [["B04", 0.2]]
    assert frame(seen, MAP)[2:] == frame(seen, PINNED)[2:]
    seen.eventually(lambda: is_("pinned_picture=B04" in page.url, True))


def test_playing_shows_one_date_everywhere(open_viewer, known):
    """While it plays, the slider never says another date than that of the picture that is drawn."""
    seen = open_viewer("TimeQuery")
    seen.press("First")
    expect_day(seen, known, 0)
    seen.ask(
        "window.told = [];"
        "const models = Bokeh.documents.flatMap((d) => [...d._all_models.values()]);"
        "const slider = models.find((one) => one.title === 'Date' && 'value' in one);"
        "slider.properties.value.change.connect(() => window.told.push("
        "  [slider.value, figure.title.text.split('\\n')[0]]))"
    )
    seen.button("Play").click()
    expect(seen.status).to_contain_text(re.compile(rf"Overpass ([5-9]|1\d) of {STEPS}"))
    seen.button("Play").click()
    told = seen.page.evaluate("window.told")
    wanted = [f"True colour, {known.time[n].astype('M8[s]').item():%d %b %Y}" for n, _ in told]
    assert len(told) >= 3
    assert [title for _, title in told] == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_map_and_chart_are_saved_together(open_viewer, known, tmp_path, kind):
    """One PNG holds what the map and the chart show, one above the other."""
    seen = open_viewer(kind)
    query = kind == "TimeQuery"
    chart = SERIES if query else 2
    if query:
        expect_day(seen, known, CLEAREST)
    seen.press("Save")
    name = "Map and series as PNG" if query else "Map and chart as PNG"
    picture = Image.open(seen.save(name, tmp_path)).convert("RGB")
    size = "return [figure.outer_width, figure.outer_height]"
    (wide, high), (chart_wide, chart_high) = (seen.ask(size, n) for n in (MAP, chart))
    assert np.abs(np.subtract(picture.size, (max(wide, chart_wide), high + chart_high))).max() <= 2
    alone = {MAP: "Map", chart: "Series" if query else "Curves"}
    for n, top in ((MAP, 0), (chart, high)):
        with Image.open(seen.save(f"{alone[n]} as PNG", tmp_path)) as saved:
            wanted = Image.new("RGB", saved.size, "white")
            wanted.paste(saved, mask=saved.convert("RGBA"))
        part = picture.crop((0, top, wanted.width, top + wanted.height))
        np.testing.assert_array_equal(part, wanted)
        assert len(part.getcolors(1 << 20)) > 5


def test_degrees_are_not_stretched(page, serve_app, tmp_path):
    """A field that is square on the ground is square on the map of a cube in degrees."""
    script = tmp_path / "degrees.py"
    script.write_text(_DEGREES)
    page.goto(f"{serve_app(script).url}/degrees", timeout=90_000)
    seen = Seen(page).wait()

    def check() -> None:
        _, _, width, height = frame(seen)
        west, south, east, north = seen.view()
        shape = (north - south) / height * width / (east - west)
        assert shape == pytest.approx(np.cos(np.radians((south + north) / 2)), rel=1e-3)

    seen.eventually(check)


_DEGREES = """
import numpy as np
import pandas as pd
import panel as pn
import rioxarray
import xarray as xr
import s2kit

pn.extension()
y, x = 60.05 - 1e-4 * np.arange(1000), 10.05 + 1e-4 * np.arange(900)
time = pd.date_range("2023-05-01", periods=2, freq="5D")
values = np.full((2, 1000, 900), 0.1, "float32")
red = xr.DataArray(values, dict(time=time, y=y, x=x), ("time", "y", "x"))
cube = xr.Dataset({"B04": red}).rio.write_crs("EPSG:4326")
s2kit.viewers.TimeQuery(cube).servable()
"""
