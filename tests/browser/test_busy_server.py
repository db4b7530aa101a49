"""What a person does while the server is busy counts, in the order in which it was done."""

import pytest
import shapely
from expecting import DRAFT, MAP, NAMES, drawn, is_, type_corner
from known import cell
from playwright.sync_api import expect
from seeing import Seen

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
