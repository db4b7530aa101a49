"""Builds that are killed, disturbed or refused; what readers see meanwhile, and what remains."""

import random
import time
from pathlib import Path

import pytest
import rasterio
from children import (
    build,
    reader,
    run_build,
    stamps,
    start,
    tree,
)
from scenarios import DEEP, SCENARIOS, SMALL, whole
from small_scenes import AOI, series

import s2kit
from s2kit.errors import SceneWarning

pytestmark = pytest.mark.faults

OPTIONS = {"aoi": AOI, "chunks": (2, 64, 64), "bands": ["B04", "SCL"]}

MOMENTS = 20


@pytest.fixture
def no_pause(monkeypatch):
    """Let reruns of a hundred builds not wait between the parts of a rewriting commit."""
    monkeypatch.setattr("s2kit.cube.commit._PAUSE", 0)


@pytest.fixture(scope="module")
def undisturbed(days, tmp_path_factory):
    """Return the store of an undisturbed build, and how long that took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    build(days, folder / "first.zarr", OPTIONS)
    begun = time.monotonic()
    build(days, folder / "cube.zarr", OPTIONS)
    return folder / "cube.zarr", time.monotonic() - begun


def assert_growing(seen, complete):
    """Every state is one that a commit made, and none is older than the one before."""
    known = [None, *(complete[:n] for n in (2, 4, 5))]
    for state in seen:
        assert state in known, state
    order = [known.index(state) for state in seen]
    assert order == sorted(order)
    assert seen[-1] == complete


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_at_a_random_moment(days, undisturbed, tmp_path, moment):
    """After SIGKILL and a rerun all bytes are the same, and readers only saw complete cubes."""
    reference, duration = undisturbed
    opener = ("s2kit", "xarray")[moment % 2]
    store = tmp_path / "cube.zarr"
    with reader(store, opener) as seen:
        child = start(run_build, days, store, OPTIONS)
        time.sleep(duration * (moment + random.Random(moment).random()) / MOMENTS)
        child.kill()
        child.join()
        assert build(days, store, OPTIONS) == 0
    assert_growing(seen, whole(reference, opener))
    assert tree(store) == tree(reference)


@pytest.mark.parametrize("opener", ["s2kit", "xarray"])
def test_readers_of_an_undisturbed_build(days, undisturbed, tmp_path, opener):
    """Readers see one commit after the other, and nothing in between."""
    store = tmp_path / "cube.zarr"
    with reader(store, opener) as seen:
        assert build(days, store, OPTIONS) == 0
    assert_growing(seen, whole(undisturbed[0], opener))


@pytest.mark.parametrize("scenario", SCENARIOS, indirect=True)
def test_killed_before_every_change(scenario, tmp_path, no_pause):
    """Whichever change is the first that does not happen: readers are served, a rerun finishes."""
    complete = tree(scenario.new)
    states = {opener: scenario.allowed(opener) for opener in ("s2kit", "xarray")}
    assert scenario.changes > 20
    for before in scenario.moments():
        store = tmp_path / f"{before}.zarr"
        scenario.begin(store)
        assert build(scenario.items, store, SMALL, before=before) == -9
        for opener, known in states.items():
            assert whole(store, opener) in known, f"{opener} after dying before change {before}"
        s2kit.build_cube(scenario.items, store, progress=False, **SMALL)
        assert tree(store) == complete, f"after dying before change {before}"


@pytest.mark.parametrize("scenario", ["late"], indirect=True)
def test_killed_again_and_again(scenario, tmp_path, no_pause):
    """Dying in one rerun after the other spoils nothing."""
    store = tmp_path / "cube.zarr"
    scenario.begin(store)
    moments = (scenario.changes - 20, 20, 10, 30, 5, 3)
    codes = [build(scenario.items, store, SMALL, before=moment) for moment in moments]
    assert codes.count(-9) >= 4
    s2kit.build_cube(scenario.items, store, progress=False, **SMALL)
    assert tree(store) == tree(scenario.new)


@pytest.mark.parametrize("scenario", ["deep late"], indirect=True)
def test_killed_while_levels_are_made(scenario, tmp_path, no_pause):
    """With overviews the same: a level's readers see old or new, a rerun ends in the same bytes."""
    known = {opener: scenario.allowed(opener) for opener in ("s2kit", "level")}
    for before in range(1, scenario.changes + 1, 5):
        store = tmp_path / f"{before}.zarr"
        scenario.begin(store)
        assert build(scenario.items, store, DEEP, before=before) == -9
        for opener, states in known.items():
            assert whole(store, opener) in states, f"{opener} after dying before change {before}"
        s2kit.build_cube(scenario.items, store, progress=False, **DEEP)
        assert tree(store) == tree(scenario.new), f"after dying before change {before}"


@pytest.mark.parametrize(
    ("scenario", "opener"),
    [("late", "s2kit"), ("late", "layers"), ("deep late", "level")],
    indirect=["scenario"],
)
def test_readers_while_a_late_scene_comes(scenario, tmp_path, opener):
    """A reader sees the old cube, its beginning, or the new one; each date has its own values."""
    known = scenario.allowed(opener)
    for attempt in range(5):
        store = tmp_path / f"{attempt}.zarr"
        scenario.begin(store)
        with reader(store, opener) as seen:
            time.sleep(0.02 * attempt)
            assert build(scenario.items, store, scenario.options) == 0
        for state in seen:
            assert state in known, state
        assert seen[-1] == known[-1]


def test_left_over_chunks_stay_dead(days, tmp_path):
    """Chunks of a rewrite that died never show up in a later cube that does not ask for them."""
    items = series(tmp_path / "half", 5)
    for item in items[1:]:
        _blank(Path(item.assets["B04"].href), 60)
    store, expected = tmp_path / "cube.zarr", tmp_path / "expected.zarr"
    options = OPTIONS | {"bands": ["B04"]}
    assert build([items[1], items[2], items[4]], store, options) == 0
    written = len(tree(store))
    for before in (5, 6, 7, 8):  # dies before its commit, some of 8 chunks are written
        assert build(items[:1], store, options, before=before) == -9
    assert len(tree(store)) > written
    assert build([items[3]], store, options) == 0
    assert build(items[1:], expected, options) == 0
    assert whole(store, "s2kit") == whole(expected, "s2kit")


def _blank(path: Path, column: int) -> None:
    """Make a band blind from a column on."""
    with rasterio.open(path) as source:
        values, profile = source.read(1), source.profile
    values[:, column:] = 0
    path.unlink()
    with rasterio.open(path, "w", **profile) as target:
        target.write(values, 1)


# --- a rerun is a no-op


def test_rerun_touches_nothing(days, tmp_path):
    """The same scenes again, in another order and twice: no file, folder or time stamp changes."""
    store = tmp_path / "cube.zarr"
    s2kit.build_cube(days, store, progress=False, **OPTIONS)
    before, above = stamps(store), tmp_path.stat().st_mtime_ns
    report = s2kit.build_cube([*reversed(days), *days], store, progress=False)
    assert stamps(store) == before
    assert tmp_path.stat().st_mtime_ns == above
    assert not sum(report.added.values()) and report.steps == {51: 5}


def test_rerun_after_a_late_scene_touches_nothing(days, tmp_path):
    """The retired chunks of a rewrite do not make the next run write."""
    store = tmp_path / "cube.zarr"
    s2kit.build_cube(days[1:], store, progress=False, **OPTIONS)
    s2kit.build_cube(days, store, progress=False)
    before = stamps(store)
    s2kit.build_cube(days[2:4], store, progress=False)
    s2kit.build_cube(days, store, progress=False)
    assert stamps(store) == before


def test_rerun_with_an_unreadable_scene_touches_nothing(tmp_path):
    """A scene that still cannot be read is tried, reported, and leaves the store alone."""
    items = series(tmp_path, 2)
    Path(items[1].assets["B04"].href).write_bytes(b"no image")
    store = tmp_path / "cube.zarr"
    with pytest.warns(SceneWarning):
        s2kit.build_cube(items, store, progress=False, **OPTIONS)
    before = stamps(store)
    with pytest.warns(SceneWarning):
        report = s2kit.build_cube(items, store, progress=False)
    assert list(report.failed) == [items[1].id]
    assert stamps(store) == before
