"""What a map shows and what is said of it belong together, whatever happened before."""

import numpy as np
import pytest
from cubes import NORTH, PIXEL, WEST, decoded, every, make_cube, random_layers
from painting import seen, words

from s2kit.errors import CubeError
from s2kit.viewers import TimeQuery
from s2kit.viewers.date_maps import BESIDE, SWIPE
from s2kit.viewers.levels import View
from s2kit.viewers.measurements import choose, read_measurements

STEPS, ROWS, COLS = 4, 60, 80


@pytest.fixture(scope="module")
def layers():
    """Return layers of which the first overpass has no data."""
    made = random_layers(5, (STEPS, ROWS, COLS), ("B02", "B03", "B04", "B08"))
    made["SCL"][:] = 4
    for name, layer in made.items():
        layer[0] = 0 if name == "SCL" else -9999
    made["B04"][1:, ROWS // 2, COLS // 2] = 1000
    made["B08"][1:, ROWS // 2, COLS // 2] = 3000, 3100, 3200
    return made


@pytest.fixture
def viewer(layers, tmp_path):
    """Open the viewer, as a notebook does."""
    return TimeQuery(make_cube(tmp_path / "c", layers, every(9, STEPS)))


def middle(viewer):
    """Return the place in the middle of the cube."""
    return viewer.levels.whole.middle


def test_played_date_is_the_one_that_is_described(viewer, layers):
    """A picture without usual limits, whose first date is empty, plays as any other."""
    viewer.picture = "DVI"
    assert viewer.limits is not None
    viewer.param.update(moment=next(iter(viewer.offered.values())), limits=None)
    viewer._point(*middle(viewer))
    viewer.playing = True
    for step in (1, 2):
        viewer._next_of_play()
        day = f"{viewer.timeline.time[step]:%d %b %Y}"
        assert viewer.map.figure.title.text.startswith(f"DVI, {day}")
        assert seen(viewer.map)[0] is not None
        assert day in words(viewer.readout)
        values = decoded(layers["B08"])[step] - decoded(layers["B04"])[step]
        assert f"DVI {values[ROWS // 2, COLS // 2]:.3f}" in words(viewer.readout)
        assert viewer.step == step
        assert viewer.series._now.location == viewer.timeline.time[step]
    viewer.playing = False


@pytest.mark.parametrize("swipe", [0, 25, 80])
def test_swipe_is_a_share_of_what_is_seen(viewer, swipe):
    """The border stays at its share of the view when the view changes, and the size of the map."""
    viewer.pin_this()
    viewer.param.update(compare=SWIPE, swipe=swipe)
    changes = (
        lambda: viewer.look(viewer.levels.whole.zoomed(2)),
        lambda: viewer._note_size((900, 450)),
        lambda: viewer.look(viewer.levels.whole.zoomed(0.5)),
    )
    for change in changes:
        change()
        west, _, east, _ = viewer.map.view
        wanted = np.clip(west + (east - west) * swipe / 100, WEST, WEST + COLS * PIXEL)
        assert viewer.map._divider.location == pytest.approx(wanted, abs=PIXEL / 2)


def test_pinned_limits_stay(viewer):
    """Limits that were fitted to the pinned picture stay where one moves, until it is another."""
    viewer.pin_this()
    viewer.param.update(compare=BESIDE, pinned_picture="DVI")
    first = viewer.other._mapper.low, viewer.other._mapper.high
    for factor in (0.5, 0.25):
        viewer.look(viewer.levels.whole.zoomed(factor))
        assert (viewer.other._mapper.low, viewer.other._mapper.high) == first
    viewer.pinned_picture = "B08"
    viewer.pinned_picture = "DVI"
    assert (viewer.other._mapper.low, viewer.other._mapper.high) != first


def test_after_a_failure_all_says_the_same(viewer, monkeypatch):
    """A date that cannot be read leaves nothing of another one, and its day is on the chart."""
    viewer.pin_this()
    viewer.param.update(compare=BESIDE, pinned_picture="B04")
    assert viewer.other._scale.scale_alpha == 1

    def fail(*_args):
        raise CubeError("cannot be read now")

    with monkeypatch.context() as patch:
        patch.setattr(viewer.levels, "read", fail)
        viewer.move(1)
        assert "cannot be read now" in words(viewer.page.alert)
        assert viewer.series._now.location == viewer.timeline.time[viewer.step]
        for pane in viewer.panes:
            assert pane._scale.scale_alpha == 0
            assert seen(pane)[0] is None
    viewer._note_size((700, 500))
    assert words(viewer.page.alert) == ""
    assert seen(viewer.map)[0] is not None


def test_another_error_stays_when_the_window_changes(viewer):
    """An error that no drawing caused is not removed by a drawing that succeeds."""
    viewer.page.show_error("a file was refused")
    viewer._note_size((700, 500))
    assert "a file was refused" in words(viewer.page.alert)


@pytest.mark.parametrize("size", [(450, 450), (800, 600), (3840, 1600)])
def test_messages_and_pictures_follow_the_size(viewer, size):
    """Both maps have their message in the middle; a picture has no more pixels than are sent."""
    viewer._note_size(size)
    for pane in viewer.panes:
        assert (pane._message.x, pane._message.y) == (size[0] / 2, size[1] / 2)
    width, height = viewer.map.picture_size
    assert max(width, height) == min(max(size), 1280)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)


def test_view_holds_what_was_asked(viewer):
    """Whatever the size of the map, all that was asked for is seen, and a metre is round."""
    asked = View(WEST + 100, NORTH - 400, WEST + 500, NORTH - 200)
    viewer.look(asked)
    for size in ((900, 300), (300, 900), (640, 640)):
        viewer._note_size(size)
        found = viewer.map.view
        assert found.west <= asked.west + 1e-6 and found.east >= asked.east - 1e-6
        assert found.south <= asked.south + 1e-6 and found.north >= asked.north - 1e-6
        assert found.width / size[0] == pytest.approx(found.height / size[1])


def test_place_of_a_measurement_is_the_one_of_its_letters():
    """Two places that differ in case have their own measurements; ids are no values."""
    text = b"date,name,id,LAI\n2021-05-01,a,7,1.5\n2021-05-02,A,8,2.5\n"
    measured = read_measurements(text, "lai.csv")
    assert measured.name == "LAI"
    table, _ = choose(measured, ["A", "a"], (2021, 2021))
    assert dict(zip(table.place, table.value, strict=True)) == {"a": 1.5, "A": 2.5}
