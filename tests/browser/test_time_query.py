"""The time query in a page of ``panel serve``, used by mouse, against plain numpy."""

import re

import numpy as np
import pandas as pd
import pytest
from expecting import (
    MAP,
    PINNED,
    SERIES,
    at,
    colour_in_sight,
    expect_day,
    expect_screen,
    expect_series,
    in_sight,
    is_,
    near,
    offered,
    place_of,
    true_colour,
    zoom_in,
)
from known import (
    CLEAR,
    CLEAREST,
    CLOUDED,
    COLS,
    EAST,
    EMPTY,
    NORTH,
    PIXEL,
    ROWS,
    SOUTH,
    STEPS,
    WEST,
    cell,
)
from PIL import Image
from playwright.sync_api import expect
from seeing import FALSE_COLOUR, GREY, Seen, colours, mixed, painted

X, Y = WEST + 200.5 * PIXEL, NORTH - 300.5 * PIXEL
"""Centre of the pixel in row 300, column 200."""


@pytest.fixture
def seen(open_viewer) -> Seen:
    """Open the viewer."""
    return open_viewer("TimeQuery")


def test_first_picture_is_the_clearest(seen, known):
    """The map begins with the clearest date, at its place, and its pixels reach the screen."""
    expect_day(seen, known, CLEAREST)
    found = seen.picture()
    assert found.place == (WEST, SOUTH, EAST, NORTH)
    seen.expect_pixels([(WEST + 65, NORTH - 65)], [[243] * 3])  # no data: the ground, not black
    expect_screen(seen)


def test_date_moves(seen, known):
    """Buttons, picker and slider move the date, and the picture is that of the date."""
    for name, step in (
        ("Next", CLEAREST + 1),
        ("Previous", CLEAREST),
        ("First", 0),
        ("Previous", 0),
        ("Last", STEPS - 1),
        ("Next", STEPS - 1),
    ):
        seen.press(name)
        expect_day(seen, known, step)
    seen.choose("Overpass", known.label(7))
    expect_day(seen, known, 7)
    slider = seen.slider("Date")
    for key, step in (("ArrowRight", 8), ("Home", 0), ("End", STEPS - 1), ("ArrowLeft", 22)):
        slider.press(key)
        expect_day(seen, known, step)


def test_play_goes_on_until_it_is_stopped(seen, known):
    """Play shows one date after the other; pressed again, it stays."""
    seen.press("First")
    expect_day(seen, known, 0)
    play = seen.button("Play")
    expect(play).to_have_attribute("aria-pressed", "false")
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    expect(seen.status).to_contain_text(re.compile(rf"Overpass ([3-9]|1\d) of {STEPS}"))
    play.click()
    expect(play).to_have_attribute("aria-pressed", "false")
    shown = seen.choice("Overpass").input_value()
    seen.page.wait_for_timeout(1500)  # two more would come
    step = [known.label(n) for n in range(STEPS)].index(shown)
    expect_day(seen, known, step)


def test_date_without_data_says_so(seen, known):
    """A date without any data has words in place of a black picture."""
    seen.choose("Overpass", known.label(EMPTY))
    seen.eventually(lambda: is_(seen.message(), "No data here on this date"))
    assert seen.data(MAP, 1)["image"] == []
    seen.press("Next")
    expect_day(seen, known, EMPTY + 1)
    assert seen.message() == ""


def test_pictures(seen, known):
    """Mixes, classes, indices and layers have the colours that numpy gives."""
    layers = at(known, CLEAREST)
    seen.choose("Show", "False colour")
    seen.expect_picture(mixed(layers, FALSE_COLOUR))
    seen.choose("Show", "NDVI")
    seen.expect_picture(painted(known.ndvi()[CLEAREST], -0.1, 0.9))
    expect(seen.status).to_contain_text("NDVI on 13 January 2022")
    seen.choose("Show", "B08")
    seen.expect_picture(painted(layers["B08"], 0, 0.5, GREY))
    seen.press("Next")
    veiled = at(known, CLEAREST + 1)
    seen.expect_picture(painted(veiled["B08"], 0, 0.5, GREY))
    seen.choose("Show", "Classes (SCL)")
    legend = seen.choice("Legend of the classes").locator("li")
    told = {int(text.split()[0]): n for n, text in enumerate(legend.all_inner_texts())}
    table = np.zeros((12, 4), "u1")
    for number, n in told.items():
        style = legend.nth(n).locator("span").get_attribute("style")
        table[number] = colours([style.rpartition("background:")[2][:7]])[0]
    assert len(np.unique(table, axis=0)) == 12
    seen.expect_picture(table[veiled["SCL"]], near=0)


def _show_red_between(seen: Seen, layers, low: float, high: float) -> None:
    """Show the red band, and type its limits."""
    seen.choose("Show", "B04")
    seen.expect_picture(painted(layers["B04"], 0, 0.2, GREY))
    seen.type("Lowest", low)
    seen.type("Highest", high)
    seen.expect_picture(painted(layers["B04"], low, high, GREY))


def test_limits_and_tint(seen, known):
    """Limits are those that are typed, or those of the view; clouds are tinted, nothing else is."""
    layers = at(known, CLEAREST)
    _show_red_between(seen, layers, 0.05, 0.1)
    seen.choose("Limits", "2–98 % of the view")
    spread = np.nanpercentile(layers["B04"], (2, 98))
    seen.expect_picture(painted(layers["B04"], *spread, GREY))
    seen.choose("Limits", "fixed")
    expect(seen.box("Lowest")).to_be_visible()
    seen.choice("Tint what is not clear (pink)").check()
    seen.choose("Overpass", known.label(CLOUDED))
    seen.expect_picture(_tinted(known, CLOUDED))
    seen.choose("Overpass", known.label(2))
    seen.expect_picture(_tinted(known, 2))


def _tinted(known, step: int) -> np.ndarray:
    layers = at(known, step)
    plain = painted(layers["B04"], 0.05, 0.1, GREY).astype(float)
    veiled = (plain[..., 3] > 0) & ~np.isin(layers["SCL"], CLEAR)
    plain[veiled, :3] = 0.45 * plain[veiled, :3] + 0.55 * np.array([230, 0, 160])
    return plain.astype("u1")


def test_filter(seen, known):
    """The dates that pass the filter are those that numpy finds; none at all is said in words."""
    seen.press("Filter")
    clear = seen.slider("Clear share")
    for _ in range(10):
        clear.press("ArrowRight")
    expect(clear).to_have_attribute("aria-valuetext", "50")
    months = known.time.astype("M8[M]").astype(int) % 12 + 1
    kept = known.clear_share >= 0.5
    seen.eventually(lambda: is_(offered(seen), [known.label(n) for n in np.flatnonzero(kept)]))
    seen.choice("Dec–Feb").uncheck()
    kept &= ~np.isin(months, (12, 1, 2))
    seen.choice("orbit 8").uncheck()
    kept &= known.orbit == 51
    seen.eventually(lambda: is_(offered(seen), [known.label(n) for n in np.flatnonzero(kept)]))
    left = np.flatnonzero(kept)
    assert 2 <= len(left) < 12
    nearest = left[np.abs(known.seconds[left] - known.seconds[CLEAREST]).argmin()]
    expect_day_of(seen, known, nearest, left)
    seen.press("Last")
    expect_day_of(seen, known, left[-1], left)
    assert known.clear_share.max() < 1
    clear.press("End")
    expect(seen.status).to_have_text("No clear acquisition: no overpass passes the filter.")
    seen.eventually(
        lambda: is_(seen.message(), "No clear acquisition:\nno overpass passes the filter")
    )
    seen.choice("orbit 51").uncheck()
    expect(seen.status).to_have_text("No acquisition: no overpass passes the filter.")
    seen.eventually(lambda: is_(seen.message(), "No acquisition:\nno overpass passes the filter"))
    assert seen.data(MAP, 1)["image"] == []
    seen.press("Next")  # which has nowhere to go
    clear.press("Home")
    for _ in range(10):
        clear.press("ArrowRight")
    seen.choice("orbit 8").check()
    seen.choice("orbit 51").check()
    expect(seen.status).to_contain_text("that pass the filter")
    expect(seen.error).to_have_count(0)


def expect_day_of(seen: Seen, known, step: int, left: np.ndarray) -> None:
    """Wait for a date, by its place among those that pass."""
    expect_day(seen, known, step)
    place = left.tolist().index(step) + 1
    expect(seen.status).to_contain_text(f"Overpass {place} of {len(left)} that pass")


def test_click_on_the_map_asks_that_pixel(seen, known):
    """The series is that of the pixel that was clicked, and of the next one after another click."""
    expect_series(seen, known, 280, 320)  # the middle, at first
    for row, col in ((300, 200), (41, 30), (ROWS - 3, COLS - 3)):
        seen.click(WEST + (col + 0.5) * PIXEL, NORTH - (row + 0.5) * PIXEL)
        expect(seen.status).not_to_be_empty()
        seen.eventually(lambda: near(place_of(seen), (row, col)))  # noqa: B023
        expect_series(seen, known, *place_of(seen))
    assert np.isnan(known.ndvi()[:, 41, 30]).any()


def test_click_on_the_chart_shows_that_date(seen, known):
    """A click on the chart shows the date that is nearest to it."""
    expect_series(seen, known, 280, 320)
    for step in (4, 19):
        height = seen.ask("const y = figure.y_range; return (y.start + y.end) / 2", SERIES)
        seen.click(known.seconds[step] * 1000.0, height, SERIES)
        expect_day(seen, known, step)


def test_pointing_at_the_map_reads_it(seen, known):
    """Under the mouse are place and value."""
    zoom_in(seen)
    seen.page.mouse.move(*seen.spot(X, Y))
    values = [f"{b} {at(known, CLEAREST)[b][300, 200]:.3f}" for b in ("B04", "B03", "B02")]
    expect(seen.page.get_by_text(", ".join(values))).to_be_visible()


def test_zoom_and_pan_fetch_what_is_in_sight(seen, known):
    """Buttons and wheel fetch the finer level, and only what is in sight; one comes back too."""
    west, south, east, north = seen.view()
    assert south <= SOUTH + 1 and north >= NORTH - 1 and west < WEST and east > EAST
    zoom_in(seen)
    half = [(3 * west + east) / 4, (3 * south + north) / 4]
    np.testing.assert_allclose(seen.view()[:2], half, atol=0.1)
    _expect_what_is_in_sight(seen, known)
    for name, right, up in (("West", -1, 0), ("North", 0, 1)):
        before = seen.view()
        seen.press(name)
        width, height = (east - west) / 4, (north - south) / 4
        moved = np.add(before, [right * width, up * height] * 2)
        seen.eventually(lambda: np.testing.assert_allclose(seen.view(), moved, atol=0.1))  # noqa: B023
        _expect_what_is_in_sight(seen, known)
    for name in ("West", "West", "West"):
        seen.press(name)
    seen.eventually(lambda: is_(seen.message()[:25], "The cube has nothing here"))
    seen.press("Whole region")
    seen.expect_picture(true_colour(known, CLEAREST))

    seen.page.mouse.move(*seen.spot(X, Y))
    for _ in range(6):
        seen.page.mouse.wheel(0, -240)
    seen.eventually(lambda: is_(np.ptp(seen.view()[::2]) < (east - west) / 2, True))
    _expect_what_is_in_sight(seen, known)
    start = seen.spot(X, Y)
    seen.page.mouse.move(*start)
    seen.page.mouse.down()
    seen.page.mouse.move(start[0] + 60, start[1] + 40, steps=4)
    seen.page.mouse.up()
    _expect_what_is_in_sight(seen, known)


def _expect_what_is_in_sight(seen: Seen, known) -> None:
    """Wait until the picture is that of all pixels that the view touches, at full detail."""

    def check() -> np.ndarray:
        wanted, found = colour_in_sight(seen, known, CLEAREST), seen.picture().pixels
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted.astype(int)).max() <= 1
        return wanted

    assert seen.eventually(check).size


def test_compare(seen, known):
    """A pinned date is swiped over another, then both stand side by side and move together."""
    seen.press("Compare")
    seen.press("Pin the date that is shown")
    seen.press("Last")
    last, pinned = true_colour(known, STEPS - 1), true_colour(known, CLEAREST)
    both = last.copy()
    both[:, :320] = pinned[:, :320]
    seen.expect_picture(both)
    swipe = seen.slider("Swipe")
    swipe.press("Home")
    seen.expect_picture(last)
    swipe.press("End")
    seen.expect_picture(pinned)
    seen.press("side by side")  # two narrow maps, which show the coarser level
    seen.expect_picture(true_colour(known, STEPS - 1, 1), MAP)
    seen.expect_picture(true_colour(known, CLEAREST, 1), PINNED)
    assert "13 Jan 2022" in seen.title(PINNED)
    zoom_in(seen)
    seen.expect_picture(colour_in_sight(seen, known, CLEAREST), PINNED)
    assert seen.view(PINNED) == seen.view(MAP)
    seen.click(X, Y, PINNED)
    seen.eventually(lambda: near(place_of(seen), (300, 200)))
    expect_series(seen, known, *place_of(seen))
    seen.press("one map")
    expect(seen.page.locator(".bk-Figure:visible")).to_have_count(2)
    expect(seen.button("one map")).to_have_attribute("aria-pressed", "true")


def test_series_is_saved_as_csv(seen, known, tmp_path):
    """The table holds all observations of the pixel, with their time, orbit and clearness."""
    seen.press("Place")
    seen.type("x", WEST + 41 * PIXEL + 3)
    seen.type("y", NORTH - 30 * PIXEL - 3)
    seen.press("Ask this pixel")
    expect_series(seen, known, 30, 41)
    seen.press("Save")
    path = seen.save("Series as CSV", tmp_path)
    assert path.name == "time_query_series.csv"
    table = pd.read_csv(path)
    wanted = known.ndvi()[:, 30, 41]
    assert table.time.to_list() == [f"{known.iso(n)}Z" for n in range(STEPS)]
    np.testing.assert_allclose(table.NDVI, wanted, atol=1e-5)
    np.testing.assert_array_equal(table.clear, known.clear()[:, 30, 41])
    np.testing.assert_array_equal(table.orbit, known.orbit)
    assert set(zip(table.x, table.y, strict=True)) == {(WEST + 41.5 * PIXEL, NORTH - 30.5 * PIXEL)}


def test_own_measurements_are_drawn_over_the_series(seen, known):
    """A file of dates and values is drawn over the series; a broken one is told, and no more."""
    days = [known.day(step) for step in (2, 7, 11)]
    lines = ["date;NDVI", *(f"{day};0,{n}5" for n, day in enumerate(days, 3))]
    file = {"name": "mine.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()}
    seen.press("Place")
    chosen = seen.choice("File of measurements")
    chosen.set_input_files(file)
    noons = [pd.Timestamp(f"{day} 12:00").timestamp() * 1000 for day in days]

    def check() -> None:
        dots = seen.data(SERIES, 3)
        np.testing.assert_array_equal(dots["x"], noons)
        np.testing.assert_allclose(dots["value"], [0.35, 0.45, 0.55])

    seen.eventually(check)
    lasting = seen.root.get_by_text(re.compile("^3 of 3 measurements of NDVI are drawn"))
    expect(lasting).to_be_visible()  # the line of status says it too, until the map is drawn again
    chosen.set_input_files(file | {"name": "broken.csv", "buffer": b"date;NDVI\nsoon;0,3"})
    expect(seen.error).to_contain_text("broken.csv, line 2: 'soon' is no date")
    seen.eventually(check)
    seen.press("Remove measurements")
    seen.eventually(lambda: is_(seen.data(SERIES, 3)["x"], []))


def test_map_and_series_are_saved_as_png(seen, known, tmp_path):
    """The pictures are those on the screen: of its size, the maps with what they show."""
    expect_day(seen, known, CLEAREST)
    seen.press("Compare")
    seen.press("Pin the date that is shown")
    seen.press("Next")
    seen.press("side by side")
    maps = {MAP: true_colour(known, CLEAREST + 1, 1), PINNED: true_colour(known, CLEAREST, 1)}
    for figure, expected in maps.items():
        seen.expect_picture(expected, figure)
    seen.press("Save")
    names = {"Map as PNG": MAP, "Pinned map as PNG": PINNED, "Series as PNG": SERIES}
    for name, figure in names.items():
        picture = Image.open(seen.save(name, tmp_path)).convert("RGB")
        size = seen.ask("return [figure.outer_width, figure.outer_height]", figure)
        assert np.abs(np.subtract(picture.size, size)).max() <= 1
        if figure == SERIES:
            assert len(picture.getcolors(1 << 20)) > 20
            continue
        corners = seen.ask(
            "const {x_scale: x, y_scale: y} = Bokeh.index.find_one(figure).frame;"
            "const [west, south, east, north] = asked.place;"
            "return [x.compute(west), y.compute(north), x.compute(east), y.compute(south)]",
            figure,
            place=seen.picture(figure).place,
        )
        framed = picture.crop([round(corner) for corner in corners])
        wanted = Image.new("RGB", maps[figure].shape[1::-1], "#f3f3f3")  # where there are no data
        wanted.paste(pixels := Image.fromarray(maps[figure].astype("u1"), "RGBA"), mask=pixels)
        found, wanted = (np.array(p.resize((8, 8), Image.BOX), float) for p in (framed, wanted))
        assert np.abs(found - wanted).max() < 10
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "time_query_map.png",
        "time_query_pinned_map.png",
        "time_query_series.png",
    }
    seen.press("Compare")
    seen.press("one map")
    seen.press("Save")
    expect(seen.button("Pinned map as PNG")).to_be_hidden()


def test_address_restores_all(seen, known, page, watch):
    """Another page with the same address shows the same."""
    seen.choose("Show", "NDVI")
    seen.press("Filter")
    seen.choice("orbit 51").uncheck()
    seen.press("Last")
    zoom_in(seen)
    seen.click(X, Y)
    seen.eventually(lambda: near(place_of(seen), (300, 200)))
    row, col = place_of(seen)
    seen.press("Compare")
    seen.press("Pin the date that is shown")
    expect(seen.button("swipe")).to_have_attribute("aria-pressed", "true")
    seen.press("First")
    seen.press("side by side")
    expect(seen.page.locator(".bk-Figure:visible")).to_have_count(3)
    both = known.ndvi(1)[[1, STEPS - 1]]  # two narrow maps show the coarser level
    seen.eventually(lambda: is_(seen.picture().pixels.shape[:2], in_sight(seen, both, 1)[0].shape))
    first, last = (painted(one, -0.1, 0.9) for one in in_sight(seen, both, 1))
    seen.expect_picture(first, MAP)
    seen.expect_picture(last, PINNED)
    seen.eventually(lambda: is_("compare=side" in page.url, True))

    again = Seen(page.context.new_page())
    again.page.goto(page.url)
    again.wait()
    again.expect_picture(first, MAP)
    again.expect_picture(last, PINNED)
    assert again.view() == seen.view()
    assert offered(again) == [known.label(n) for n in range(1, STEPS, 2)]
    expect_series(again, known, row, col)
    expect(again.error).to_have_count(0)
    assert again.page.url == page.url


def test_keys_leave_the_address(open_viewer, page):
    """A key with which a page was opened is in no address that it has then, nor in its history."""
    seen = open_viewer("TimeQuery", "?token=hidden1&picture=NDVI&any%20key=hidden2&hidden3")
    seen.eventually(lambda: is_("hidden" in page.url, False))
    seen.press("Zoom in")
    seen.eventually(lambda: is_("view=" in page.url, True))
    assert "picture=NDVI" in page.url and "hidden" not in page.url
    page.go_back()
    seen.wait()
    expect(seen.choice("Show")).to_have_value("NDVI")
    assert "hidden" not in page.url and "view=" not in page.url
    page.go_back()
    assert page.url == "about:blank"


def test_back_and_forward(seen, known, page):
    """The browser's Back and Forward show what was shown before and after."""
    for step in (1, 2):
        seen.press("Next")
        expect_day(seen, known, CLEAREST + step)
    page.go_back()
    seen.wait()
    expect_day(seen, known, CLEAREST + 1)
    page.go_forward()
    seen.wait()
    expect_day(seen, known, CLEAREST + 2)
    expect(seen.error).to_have_count(0)


def test_back_from_a_pixel(seen, known, page):
    """Back shows the pixel that was asked before: no address has x of one and y of another."""
    places = [(X, Y), (X + 2000, Y - 1500)]
    for x, y in places:
        seen.click(x, y)
        seen.eventually(lambda: near(place_of(seen), ((NORTH - y) // PIXEL, (x - WEST) // PIXEL)))  # noqa: B023
    asked = place_of(seen)
    page.go_back()
    seen.wait()
    seen.eventually(lambda: near(place_of(seen), (300, 200)))
    expect_series(seen, known, *place_of(seen))
    page.go_forward()
    seen.wait()
    seen.eventually(lambda: is_(place_of(seen), asked))


def test_back_from_a_picture(seen, known, page):
    """Back undoes all that came with a choice: limits, series and the date that had to follow."""
    layers = at(known, CLEAREST)
    _show_red_between(seen, layers, 0.05, 0.1)
    seen.choose("Show", "NDVI")
    seen.expect_picture(painted(known.ndvi()[CLEAREST], -0.1, 0.9))
    seen.press("Filter")
    seen.choice("Dec–Feb").uncheck()
    expect(seen.choice("Overpass")).not_to_have_value(known.label(CLEAREST))
    seen.eventually(lambda: is_("seasons=" in page.url and "moment=" in page.url, True))
    page.go_back()
    seen.wait()
    seen.expect_picture(painted(known.ndvi()[CLEAREST], -0.1, 0.9))
    page.go_back()
    seen.wait()
    seen.expect_picture(painted(layers["B04"], 0.05, 0.1, GREY))
    assert "chart=B04" in page.url


def test_address_with_the_limits_of_another_picture(page, viewers, known, watch):
    """Limits and series of an address are kept, also where they are those of the first picture."""
    page.goto(
        f"{viewers.url}/TimeQuery?picture=B08&limits=[0,0.2]&chart=NDVI&moment={known.iso(0)}"
    )
    seen = Seen(page).wait()
    seen.expect_picture(painted(at(known, 0)["B08"], 0, 0.2, GREY))
    assert "chart=NDVI" in page.url
    row, col = place_of(seen)
    expect_series(seen, known, row, col)


def test_what_a_script_sets(page, serve_app, known_store, known, tmp_path):
    """What a script sets is shown, however it is asked for; the first viewer has the address."""
    script = tmp_path / "both.py"
    script.write_text(
        cell("TimeQuery", known_store)
        + f'viewer.moment = {known.iso(0)!r}\nviewer.picture = "B08"\nviewer.chart = "NDVI"\n'
        "viewer.limits = (0.05, 0.2)\n"
        + cell("NdviStatistics", known_store)
        + 'viewer.param.update(variable="B08", limits=(0.1, 0.3))\n'
    )
    service = serve_app(script)
    page.goto(f"{service.url}/both?opacity=80")
    seen = Seen(page).wait()
    seen.expect_picture(painted(at(known, 0)["B08"], 0.05, 0.2, GREY))
    expect(seen.box("Lowest").last).to_have_value("0.1")
    expect(seen.box("Highest").last).to_have_value("0.3")
    expect(seen.error).to_have_count(0)
    seen.press("Next")
    seen.expect_picture(painted(at(known, 1)["B08"], 0.05, 0.2, GREY))
    expect(page).to_have_url(re.compile("moment="))
    assert "variable" not in page.url


@pytest.mark.parametrize(
    "asked, named",
    [
        (
            "?picture=Nonsense&moment=1999-01-01T00:00:00&opacity=900&limits=low&orbits=[%227%22]"
            "&view=[9,9,1,1]",
            (
                "picture=Nonsense",
                "moment=1999-01-01",
                "opacity=900",
                "limits=low",
                'orbits=["7"]',
                "view=[9,9,1,1]",
            ),
        ),
        ("?x=1&y=2", ("x 1, y 2",)),
        ("?x=82000", ("x=82000",)),
        ("?least_clear=true&limits=true", ("least_clear=true", "limits=true")),
        ("?limits=[5,1]", ("limits=[5,1]",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_address_is_told(open_viewer, known, asked, named):
    """What the address asks for in vain is named, and the viewer works."""
    seen = open_viewer("TimeQuery", asked)
    for words in named:
        expect(seen.error).to_contain_text(words)
    seen.choose("Show", "NDVI")
    seen.press("Whole region")
    seen.press("Next")
    seen.expect_picture(painted(known.ndvi()[CLEAREST + 1], -0.1, 0.9))
    expect(seen.error).to_have_count(0)
