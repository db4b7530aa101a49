"""How scenes become steps: any order of the same scenes gives the same steps, plans and bytes."""

import itertools
from datetime import timedelta

import numpy as np
import pytest
from children import tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenarios import SMALL, whole
from small_scenes import FIRST, digital, ground, make_scene, product_name

import s2kit
from s2kit.cube.acquisitions import Acquisition, Scene, group_into_acquisitions, make_plan
from s2kit.cube.layers import TIMELINE
from s2kit.cube.model import empty_timeline

BUILDS = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def make(orbit: int, start: int, tile: str, baseline: str, made: int) -> Scene:
    """Make a scene without pixels."""
    name = f"{orbit}-{start}-{tile}-{baseline}-{made}"
    return Scene(
        name, orbit, start, "sentinel-2a", tile, baseline, f"{made:02d}", False, (), {}, {}
    )


SCENES = st.lists(
    st.builds(
        make,
        st.sampled_from([8, 51]),
        st.integers(0, 5),
        st.sampled_from(["31UET", "31UFT", "31UFU"]),
        st.sampled_from(["03.01", "04.00", "05.09", "05.10"]),
        st.integers(1, 3),
    ),
    max_size=25,
)


def timeline_after(plan, old):
    """Write down what a build of a plan leaves, as the cube's coordinates."""
    rows = {name: [] for name in TIMELINE}
    for step in plan.steps:
        for name in TIMELINE:
            if step.kept is not None:
                rows[name].append(old[name][step.kept])
            else:
                scenes = " ".join(s.id for s in step.scenes)
                made = {"time": step.start, "products": scenes, "failed": "", "corrected": ""}
                rows[name].append(made.get(name, 0))
    return {name: np.array(values, empty_timeline()[name].dtype) for name, values in rows.items()}


# --- grouping


@given(scenes=SCENES, data=st.data())
def test_order_of_items_does_not_matter(scenes, data):
    """Any permutation, with any of them given twice, makes the same steps."""
    twice = data.draw(st.lists(st.sampled_from(scenes), max_size=5)) if scenes else []
    muddled = data.draw(st.permutations(scenes + twice))
    assert group_into_acquisitions(muddled) == group_into_acquisitions(scenes)


@given(scenes=SCENES)
def test_every_scene_is_in_one_step(scenes):
    """Nothing is lost, nothing twice; steps are ordered by time, one per overpass."""
    orbits = group_into_acquisitions(scenes)
    found = [s for steps in orbits.values() for step in steps for s in step.scenes]
    assert sorted(s.id for s in found) == sorted({s.id for s in scenes})
    for orbit, steps in orbits.items():
        starts = [step.start for step in steps]
        assert starts == sorted(set(starts))
        for step in steps:
            assert {(s.orbit, s.start) for s in step.scenes} == {(orbit, step.start)}


@given(scenes=SCENES)
def test_newest_baseline_first_within_a_tile(scenes):
    """Tile after tile; in a tile the newer baseline, then the later generation, fills first."""
    for step in itertools.chain(*group_into_acquisitions(scenes).values()):
        for one, next_one in itertools.pairwise(step.scenes):
            assert one.tile <= next_one.tile
            if one.tile == next_one.tile:
                newer = (float(one.baseline), int(one.generation))
                assert newer > (float(next_one.baseline), int(next_one.generation))


# --- planning


@given(scenes=SCENES)
def test_nothing_to_do_after_a_build(scenes):
    """A plan that was carried out has no changes left, whichever part of it is asked again."""
    for orbit, steps in group_into_acquisitions(scenes).items():
        plan = make_plan(orbit, empty_timeline(), steps, ())
        assert plan.changes and not plan.rewrites and plan.first == 0
        timeline = timeline_after(plan, empty_timeline())
        assert not make_plan(orbit, timeline, steps, ()).changes
        assert not make_plan(orbit, timeline, steps[::2], ()).changes
        assert make_plan(orbit, timeline, steps, ()).refused == {}


@given(scenes=SCENES, data=st.data())
def test_any_two_builds_end_alike(scenes, data):
    """Some overpasses first and all later: the same steps as all at once, kept ones untouched."""
    for orbit, steps in group_into_acquisitions(scenes).items():
        first = [step for step in steps if data.draw(st.booleans())]
        once = timeline_after(make_plan(orbit, empty_timeline(), first, ()), empty_timeline())
        plan = make_plan(orbit, once, steps, ())
        twice = timeline_after(plan, once)
        at_once = timeline_after(make_plan(orbit, empty_timeline(), steps, ()), empty_timeline())
        assert twice["time"].tolist() == at_once["time"].tolist()
        assert twice["products"].tolist() == at_once["products"].tolist()
        kept = [step.kept for step in plan.steps if step.kept is not None]
        assert kept == list(range(len(once["time"])))
        late = bool(first) and len(first) < len(steps) and steps[: len(first)] != first
        assert plan.rewrites == late


@given(scenes=SCENES, data=st.data())
def test_half_a_step_is_refused(scenes, data):
    """A scene for a step that others made is refused unless they are given too."""
    for orbit, steps in group_into_acquisitions(scenes).items():
        for step in steps:
            if len(step.scenes) < 2:
                continue
            cut = data.draw(st.integers(1, len(step.scenes) - 1))
            there = Acquisition(orbit, step.start, step.scenes[:cut])
            other = Acquisition(orbit, step.start, step.scenes[cut:])
            plan = make_plan(orbit, empty_timeline(), [there], ())
            timeline = timeline_after(plan, empty_timeline())
            refused = make_plan(orbit, timeline, [other], ())
            assert not refused.changes
            assert set(refused.refused) == {s.id for s in other.scenes}
            for reason in refused.refused.values():
                assert all(s.id in reason for s in there.scenes)
            assert make_plan(orbit, timeline, [step], ()).changes


@given(scenes=SCENES)
def test_failed_scenes_are_retried_once_they_can_be_read(scenes):
    """A step whose scenes failed is made anew when one is mended, and left alone while not."""
    for orbit, steps in group_into_acquisitions(scenes).items():
        timeline = timeline_after(make_plan(orbit, empty_timeline(), steps, ()), empty_timeline())
        timeline["failed"], timeline["products"] = timeline["products"], timeline["failed"]
        everything = {s.id for step in steps for s in step.scenes}
        assert not make_plan(orbit, timeline, steps, everything).changes
        mended = make_plan(orbit, timeline, steps, everything - {steps[-1].scenes[0].id})
        assert mended.changes and mended.rewrites and mended.first == len(steps) - 1


# --- in the cube


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Return six scenes on two orbits: one overpass twice, and one in two halves."""
    folder = tmp_path_factory.mktemp("items")
    made = []
    for n, (day, baseline, orbit, hours) in enumerate(
        [
            (0, "03.01", 51, 3),
            (5, "03.01", 51, 3),
            (5, "03.02", 51, 9),
            (7, "03.01", 8, 3),
            (10, "03.01", 51, 3),
            (10, "03.01", 51, 4),
        ]
    ):
        dn = digital({"B04": ground(n)["B04"]}, 0)
        dn["B04"][20 * n : 20 * n + 20] = 0
        start = FIRST + timedelta(days=day)
        name = product_name(start, baseline=baseline, orbit=orbit, made=hours)
        made.append(make_scene(folder, name, dn))
    return made


@given(data=st.data())
@BUILDS
def test_order_of_items_does_not_change_a_byte(items, tmp_path_factory, data):
    """Any permutation, with some given twice, builds the same files."""
    folder = tmp_path_factory.mktemp("orders")
    twice = data.draw(st.lists(st.sampled_from(items), max_size=3))
    muddled = data.draw(st.permutations(items + twice))
    s2kit.build_cube(items, folder / "a.zarr", progress=False, **SMALL)
    s2kit.build_cube(muddled, folder / "b.zarr", progress=False, **SMALL)
    assert tree(folder / "a.zarr") == tree(folder / "b.zarr")


@given(builds=st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=4))
@BUILDS
def test_any_history_ends_in_the_same_cube(days, tmp_path_factory, builds):
    """Builds of any subsets, one after the other, show what one build of all of them shows."""
    folder = tmp_path_factory.mktemp("histories")
    asked: set[int] = set()
    for chosen in builds:
        new = len(chosen - asked)
        asked |= chosen
        report = s2kit.build_cube(
            [days[n] for n in chosen], folder / "a.zarr", progress=False, **SMALL
        )
        assert sum(report.added.values()) == new
        assert report.steps == {51: len(asked)}
        before = tree(folder / "a.zarr")
        s2kit.build_cube([days[n] for n in asked], folder / "a.zarr", progress=False)
        assert tree(folder / "a.zarr") == before
    s2kit.build_cube([days[n] for n in asked], folder / "b.zarr", progress=False, **SMALL)
    for opener in ("s2kit", "xarray"):
        assert whole(folder / "a.zarr", opener) == whole(folder / "b.zarr", opener)
