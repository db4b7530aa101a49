"""What the tests of builds share: scenes of five days, and stores before and after a change."""

import shutil

import pytest
from children import build, count_changes
from scenarios import DEEP, SCENARIOS, SMALL, Scenario
from small_scenes import series


@pytest.fixture(scope="session")
def days(tmp_path_factory) -> list:
    """Return five scenes, one a day."""
    return series(tmp_path_factory.mktemp("days"), 5)


@pytest.fixture(scope="module")
def scenario(request, days, tmp_path_factory) -> Scenario:
    """Prepare one of `SCENARIOS`; of a cube with overviews if its name begins with "deep"."""
    name = request.param.removeprefix("deep ")
    options = SMALL if name == request.param else DEEP
    old, added = SCENARIOS[name]
    folder = tmp_path_factory.mktemp(request.param)
    before, after = folder / "before.zarr", folder / "after.zarr"
    if old:
        assert build([days[n] for n in old], before, options) == 0
        shutil.copytree(before, after)
    items = [days[n] for n in added]
    changes = count_changes(items, after, options)
    return Scenario(options, before if old else None, items, after, changes)
