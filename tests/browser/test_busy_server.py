"""What a person does while the server is busy counts, in the order in which it was done."""

import pytest
import shapely
from expecting import (
    DRAFT,
    MAP,
    NAMES,
    at,
    drawn,
    expect_day,
    expect_series,
    is_,
    near,
    place_of,
    type_corner,
)
from known import CLEAREST, NORTH, PIXEL, STEPS, WEST, cell
from playwright.sync_api import expect
from seeing import GREY, Seen, painted

SLOW = """
import time
for box in viewer.__panel__().select(pn.widgets.FloatInput):
    box.param.watch(lambda event, sleep=time.sleep: sleep(0.4), "value")
"""
"""Each number that is typed keeps the server busy, while the next ones are on their way."""


@pytest.fixture
def open_slow(page, serve_app, known_store, tmp_path):
    """Open a viewer on a server that needs long for each number."""

    def open_it(kind: str) -> Seen:
        script = tmp_path / "slow.py"
        script.write_text(cell(kind, known_store) + SLOW)
        page.goto(f"{serve_app(script).url}/slow", timeout=90_000)
        return Seen(page).wait()

    return open_it


CORNERS = ((82_003, 448_001), (82_604, 448_297), (82_951, 447_803), (82_207, 447_406))


def test_corners_typed_while_the_server_is_busy(open_slow):
    """Each corner is the pair of numbers that was in the boxes when its button was pressed."""
    seen = open_slow("NdviStatistics")
    seen.press("Draw")
    seen.press("polygon")
    for corner in CORNERS:
        type_corner(seen, *corner)
    seen.press("Finish")
    seen.press("box")
    for corner in CORNERS[:2]:
        type_corner(seen, *corner)
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["polygon", "box"]))
    assert drawn(seen).equals(shapely.Polygon(CORNERS))
    (west, south), (east, north) = CORNERS[:2]
    assert drawn(seen, 1).equals(shapely.box(west, south, east, north))
    assert seen.data(MAP, DRAFT)["x"] == []
    expect(seen.error).to_have_count(0)


def test_pixel_typed_while_the_server_is_busy(open_slow, known):
    """The pixel that is asked is the one in the boxes when the button was pressed."""
    seen = open_slow("TimeQuery")
    seen.press("Place")
    for row, col in ((30, 41), (300, 200), (77, 88)):
        seen.type("x", WEST + col * PIXEL + 3)
        seen.type("y", NORTH - row * PIXEL - 3)
        seen.press("Ask this pixel")
    expect_series(seen, known, 77, 88)
    assert place_of(seen) == (77, 88)
    for name, wanted in (("x", WEST + 88.5 * PIXEL), ("y", NORTH - 77.5 * PIXEL)):
        seen.eventually(lambda: is_(float(seen.box(name).input_value()), wanted))  # noqa: B023


def test_text_stays_while_it_is_typed(open_slow, known):
    """An answer of the server does not replace the number that is being typed."""
    seen = open_slow("TimeQuery")
    seen.press("Place")
    expect(seen.box("x")).to_have_attribute("data-kept", "yes")
    seen.click(WEST + 200 * PIXEL, NORTH - 300 * PIXEL)  # which will fill the boxes, too
    seen.box("x").focus()
    seen.page.keyboard.press("Control+a")
    seen.page.keyboard.type(f"{WEST + 41 * PIXEL + 3:.0f}")
    seen.eventually(lambda: near(place_of(seen), (300, 200)))
    seen.page.wait_for_timeout(500)
    expect(seen.box("x")).to_have_value(f"{WEST + 41 * PIXEL + 3:.0f}")
    seen.page.keyboard.press("Tab")
    seen.type("y", NORTH - 30 * PIXEL - 3)
    seen.press("Ask this pixel")
    expect_series(seen, known, 30, 41)


def test_limits_typed_while_the_server_is_busy(open_slow, known):
    """Both limits count, however soon one follows the other, and after another picture."""
    seen = open_slow("TimeQuery")
    seen.choose("Show", "B04")
    seen.type("Lowest", 0.05)
    seen.type("Highest", 0.1)
    seen.expect_picture(painted(at(known, CLEAREST)["B04"], 0.05, 0.1, GREY))
    seen.eventually(lambda: is_(seen.box("Lowest").input_value(), "0.05"))
    seen.eventually(lambda: is_(seen.box("Highest").input_value(), "0.1"))


def test_dates_chosen_while_the_server_is_busy(open_slow, known):
    """Buttons, list and slider count in the order in which they are used."""
    seen = open_slow("TimeQuery")
    seen.press("Place")
    seen.type("x", WEST + 5)
    seen.press("First")
    seen.slider("Date").press("End")
    seen.press("Previous")
    expect_day(seen, known, STEPS - 2)
    seen.type("x", WEST + 55)
    seen.choose("Overpass", known.label(7))
    for _ in range(3):
        seen.press("Next")
    expect_day(seen, known, 10)


def test_play_stops_at_the_date_that_is_seen(open_viewer, known):
    """The date that is seen when Play is pressed again stays, whatever was on its way."""
    seen = open_viewer("TimeQuery")
    seen.press("First")
    expect_day(seen, known, 0)
    play = seen.button("Play")
    play.click()
    expect(seen.status).to_contain_text(f"Overpass 3 of {STEPS}")
    play.evaluate(
        """button => {
          const [page] = Bokeh.documents;
          const models = [...page._all_models.values()];
          const picker = models.find(one => one.name === 'Overpass' || one.title === 'Overpass');
          window.shown = picker.value;
          button.click();
        }"""
    )
    expect(play).to_have_attribute("aria-pressed", "false")
    seen.page.wait_for_timeout(1500)
    shown = seen.page.evaluate("window.shown")
    expect_day(seen, known, [known.iso(n) for n in range(STEPS)].index(shown))
