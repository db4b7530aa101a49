"""Many sessions on one server: none sees, slows down for good or ends another one."""

import shutil
from urllib.parse import urlencode

import pytest
from expecting import NAMES, draw, drawn, expect_day, expect_series, is_, place_of
from known import COLS, NORTH, PIXEL, ROWS, STEPS, WEST, cell
from playwright.sync_api import expect
from seeing import Seen
from services import panel_serve


def test_ten_sessions_at_once(page, viewers, known):
    """Ten pages are used in turns; each shows what was asked in it, and nothing else."""
    pages = [page, *(page.context.new_page() for _ in range(9))]
    for number, one in enumerate(pages):
        kind = "NdviStatistics" if number % 5 == 4 else "TimeQuery"
        one.goto(f"{viewers.url}/{kind}", wait_until="commit", timeout=90_000)
    all_seen = [Seen(one).wait() for one in pages]
    queries = {n: seen for n, seen in enumerate(all_seen) if n % 5 != 4}
    statistics = {n: seen for n, seen in enumerate(all_seen) if n % 5 == 4}
    rows, cols = (range(30, size - 30, (size - 60) // 10) for size in (ROWS, COLS))
    steps = [n for n in range(STEPS) if n not in (5, 14)][::2]

    for number, seen in queries.items():
        seen.choose("Overpass", known.label(steps[number]))
        seen.press("Place")
    for number, seen in statistics.items():
        corners = [
            (WEST + 300 * number + x, NORTH - y) for x, y in ((0, 500), (400, 500), (0, 900))
        ]
        draw(seen, corners)
    for number, seen in queries.items():
        seen.type("x", WEST + (cols[number] + 0.5) * PIXEL)
        seen.type("y", NORTH - (rows[number] + 0.5) * PIXEL)
        seen.press("Ask this pixel")
    for number, seen in queries.items():
        expect_day(seen, known, steps[number])
        expect_series(seen, known, rows[number], cols[number])
    for number, seen in statistics.items():
        seen.eventually(lambda: is_(seen.data(0, NAMES)["name"], ["polygon"]))  # noqa: B023
        assert drawn(seen).bounds[0] == WEST + 300 * number

    for seen in queries.values():
        seen.press("Next")
    for number, seen in queries.items():
        expect(seen.choice("Overpass")).to_have_value(known.label(steps[number] + 1))
        assert place_of(seen) == (rows[number], cols[number])


BAD = "bad = pn.widgets.Button(name='Fail')\nbad.on_click(lambda event: 1 / 0)\n"


@pytest.fixture
def failing(known_store, started, tmp_path):
    """Serve a viewer of a cube of one's own, with a button whose callback fails."""
    store = tmp_path / "cube.zarr"
    shutil.copytree(known_store, store)
    script = tmp_path / "app.py"
    code = cell("TimeQuery", store).replace(
        "viewer.servable()", "pn.Column(viewer, bad).servable()"
    )
    script.write_text(code.replace("viewer =", f"{BAD}viewer ="))
    service = panel_serve([script], tmp_path, cwd=tmp_path, env={}, options=())
    return started.enter_context(service), store


def test_failure_stays_in_its_session(page, watch, failing, known):
    """Where a cube breaks, the page says so and goes on; the others, and new ones, work."""
    service, store = failing
    address = f"{service.url}/app"
    page.goto(address)
    seen = Seen(page).wait()
    other = Seen(page.context.new_page())
    other.page.goto(address)
    other.wait()

    seen.press("Fail")
    seen.press("Next")
    expect(seen.status).to_contain_text("Overpass 11 of 24")
    assert "ZeroDivisionError" in service.log

    broken = [
        p for p in store.rglob("*") if p.is_file() and "B08" in p.parts and p.name != "zarr.json"
    ]
    assert broken
    for chunk in broken:
        chunk.write_bytes(b"broken")
    seen.choose("Show", "NDVI")
    expect(seen.error).to_contain_text("B08")
    seen.choose("Show", "True colour")
    expect(seen.error).to_have_count(0)
    expect_day(seen, known, 10)

    expect(other.error).to_have_count(0)
    other.press("First")
    expect_day(other, known, 0)
    new = Seen(page.context.new_page())
    new.page.goto(f"{address}?{urlencode({'moment': known.iso(3)})}")
    new.wait()
    expect(new.choice("Overpass")).to_have_value(known.label(3))
    assert service.process.is_running()
    watch.errors.clear()  # Bokeh tells the browser of the button's failure


def test_a_page_that_is_left_ends_its_session_alone(page, viewers, known):
    """Pages that are closed in the middle of an action leave the others at work."""
    page.goto(f"{viewers.url}/TimeQuery")
    seen = Seen(page).wait()
    for _ in range(3):
        gone = page.context.new_page()
        gone.goto(f"{viewers.url}/NdviStatistics")
        other = Seen(gone).wait()
        other.choose("Statistic", "amplitude (p90 − p10)")
        gone.close()
    seen.press("First")
    expect_day(seen, known, 0)


def test_a_server_that_ends_is_told(page, serve_app, known_store, tmp_path, watch):
    """The page says that the server is gone, also a page with two viewers: once."""
    script = tmp_path / "both.py"
    script.write_text(cell("TimeQuery", known_store) + cell("NdviStatistics", known_store))
    service = serve_app(script)
    page.goto(f"{service.url}/both")
    Seen(page).wait()
    gone = page.get_by_role("alert").filter(has_text="does not answer any more")
    expect(gone).to_have_count(0)
    service.process.kill()
    expect(gone).to_have_count(1, timeout=20_000)
    watch.errors.clear()  # Bokeh tells the browser that the connection is lost
