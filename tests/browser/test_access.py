"""Both viewers without a mouse, for programs that read aloud, and on a narrow screen."""

import numpy as np
import pandas as pd
import pytest
import shapely
from expecting import CURVES, NAMES, expect_curve, expect_day, expect_series, expected, is_
from known import CLEAREST, NORTH, PIXEL, STEPS, WEST
from PIL import Image
from playwright.sync_api import Page, expect
from seeing import painted

PARTS = {
    "TimeQuery": ("Picture", "Filter", "Place", "Compare", "Save"),
    "NdviStatistics": ("Map", "Draw", "Places", "Save"),
}
_CONTROLS = {
    "button",
    "slider",
    "combobox",
    "textbox",
    "spinbutton",
    "checkbox",
    "radio",
    "link",
    "ColorWell",
    "listbox",
}

_FOCUSED = """() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  const label = at.labels?.[0]?.textContent;
  return (at.getAttribute('aria-label') || label || at.textContent || '').trim();
}"""


def controls(page: Page) -> list[dict]:
    """Return what a program that reads aloud finds: role, name and state of each control."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [
        {
            "role": node["role"]["value"],
            "name": node["name"]["value"].strip(),
            **{p["name"]: p["value"].get("value") for p in node.get("properties", [])},
        }
        for node in tree
        if not node["ignored"] and node["role"]["value"] in _CONTROLS
    ]


@pytest.mark.parametrize("kind", PARTS)
def test_every_control_has_a_name(open_viewer, kind):
    """Each control of each part has a name of its own; one knows which part is open."""
    seen = open_viewer(kind)
    for part in PARTS[kind]:
        seen.press(part)
        expect(seen.button(part)).to_have_attribute("aria-pressed", "true")

        def check() -> None:
            found = controls(seen.page)
            assert len(found) > 15
            assert [c for c in found if not c["name"] or "undefined" in c["name"]] == []
            names = [(c["role"], c["name"]) for c in found]
            assert len(set(names)) == len(names), names
            pressed = {c["name"]: c.get("pressed") for c in found if c["role"] == "button"}
            for other in PARTS[kind]:
                assert pressed[other] == str(other == part).lower()  # noqa: B023

        seen.eventually(check)


def go_to(page: Page, name: str) -> None:
    """Press Tab until a control has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate(_FOCUSED) == name:
            return
    raise AssertionError(f"Tab does not lead to {name!r}")


def press(page: Page, name: str, *keys: str) -> None:
    """Go to a control and press keys there, Enter by default."""
    go_to(page, name)
    for key in keys or ("Enter",):
        page.keyboard.press(key)


def write(page: Page, name: str, value: object) -> None:
    """Go to a box and write into it."""
    press(page, name, "Control+a")
    page.keyboard.type(str(value))


def save(page: Page, name: str, folder):
    """Go to a button that gives a file, and press it."""
    go_to(page, name)
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_time_query_by_keyboard(open_viewer, known, tmp_path):
    """Date, filter, picture, view, place, comparison and files: all without a mouse."""
    seen = open_viewer("TimeQuery")
    page = seen.page
    press(page, "Next")
    expect_day(seen, known, CLEAREST + 1)
    press(page, "Date", "ArrowLeft", "ArrowLeft")
    expect_day(seen, known, CLEAREST - 1)
    press(page, "Overpass", "ArrowUp")
    expect_day(seen, known, CLEAREST - 2)
    whole = seen.view()
    press(page, "Zoom in")
    seen.eventually(lambda: is_(np.ptp(seen.view()[::2]) < 0.6 * np.ptp(whole[::2]), True))
    press(page, "Whole region")
    seen.eventually(lambda: is_(seen.view(), whole))
    press(page, "Filter")
    press(page, "orbit 51", "Space")
    expect(seen.status).to_contain_text("of 12 that pass")
    press(page, "Clear share of the whole cube, at least (%)", "ArrowRight", "ArrowRight")
    kept = (known.orbit == 8) & (known.clear_share >= 0.1)
    expect(seen.status).to_contain_text(f"of {kept.sum()} that pass")
    press(page, "Last")
    expect_day(seen, known, STEPS - 1)
    press(page, "Place")
    write(page, "x", WEST + 200 * PIXEL + 4)
    write(page, "y", NORTH - 300 * PIXEL - 4)
    press(page, "Ask this pixel")
    expect_series(seen, known, 300, 200)
    press(page, "Compare")
    press(page, "Pin the date that is shown")
    expect(seen.button("swipe")).to_have_attribute("aria-pressed", "true")
    press(page, "one map")
    press(page, "Save")
    table = pd.read_csv(save(page, "Series as CSV", tmp_path))
    np.testing.assert_allclose(table.NDVI, known.ndvi()[:, 300, 200], atol=1e-5)
    with Image.open(save(page, "Map as PNG", tmp_path)) as picture:
        assert picture.width > 400
    press(page, "Picture")
    go_to(page, "Show")
    page.keyboard.type("NDVI")
    seen.expect_picture(painted(known.ndvi()[STEPS - 1], -0.1, 0.9))


def test_statistics_by_keyboard(open_viewer, known, tmp_path):
    """Statistic, years, drawing, names and files: all without a mouse."""
    seen = open_viewer("NdviStatistics")
    page = seen.page
    go_to(page, "Statistic")
    page.keyboard.type("largest")
    values = np.where(known.clear(), known.ndvi(), np.nan)
    seen.expect_picture(painted(np.nanmax(values, axis=0), -0.1, 0.9))
    press(page, "Draw")
    press(page, "box")
    shape = shapely.box(82_003, 447_406, 82_951, 448_297)
    for x, y in ((82_003, 448_297), (82_951, 447_406)):
        write(page, "x", x)
        write(page, "y", y)
        press(page, "Add corner")
    expect_curve(seen, "box", expected(known, shape))
    press(page, "polygon")
    for x, y in ((82_003, 448_001), (82_604, 448_297), (82_951, 447_803)):
        write(page, "x", x)
        write(page, "y", y)
        press(page, "Add corner")
    press(page, "Finish")
    seen.eventually(lambda: is_(seen.data(0, NAMES)["name"], ["box", "polygon"]))
    press(page, "Places")
    write(page, "Name", "Meadow")
    page.keyboard.press("Enter")
    seen.eventually(lambda: is_(seen.data(0, NAMES)["name"], ["box", "Meadow"]))
    press(page, "Save")
    table = pd.read_csv(save(page, "Series as CSV", tmp_path))
    assert set(table.place) == {"box", "Meadow"}
    save(page, "Places as GeoJSON", tmp_path)
    press(page, "year by year")
    expect(seen.button("Years as PNG")).to_be_visible()
    assert len(seen.data(CURVES, 2)["x"]) > 10


@pytest.mark.parametrize("width", [1280, 900])
@pytest.mark.parametrize("kind", PARTS)
def test_nothing_reaches_beyond_the_page(open_viewer, kind, width):
    """No state of a viewer is wider than the window, and no title than its figure."""
    seen = open_viewer(kind)
    seen.page.set_viewport_size({"width": width, "height": 800})
    over = "() => document.scrollingElement.scrollWidth - window.innerWidth"

    def check() -> None:
        assert seen.page.evaluate(over) <= 0
        assert seen.cut_titles() == []

    for part in PARTS[kind]:
        seen.press(part)
        expect(seen.button(part)).to_have_attribute("aria-pressed", "true")
        seen.eventually(check)
        if part == "Compare":
            seen.press("Pin the date that is shown")
            expect(seen.button("swipe")).to_have_attribute("aria-pressed", "true")
            seen.press("Last")
            for how in ("side by side", "swipe"):
                seen.press(how)
                expect(seen.button(how)).to_have_attribute("aria-pressed", "true")
                seen.eventually(check)
        if part == "Draw":
            seen.press("point")
            seen.press("Add corner")
            seen.press("Add corner")
            seen.eventually(lambda: is_(seen.data(0, NAMES)["name"], ["point", "point 2"]))
            seen.eventually(check)
            seen.press("year by year")
            expect(seen.button("year by year")).to_have_attribute("aria-pressed", "true")
            seen.eventually(lambda: is_("year by year" in seen.title(3), True))
            seen.eventually(check)
