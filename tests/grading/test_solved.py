"""The solved exercises, run from top to bottom by `make notebooks`, get all points."""

import os

import nbformat
import pytest
from handed_in import ROOT

pytestmark = pytest.mark.slow

SOURCES = sorted((ROOT / "notebooks/exercises/source").glob("*.ipynb"))


def executed(source):
    """Return the cells of an exercise as `make notebooks` ran it; stop where it did not."""
    path = ROOT / "build/exercises" / source.name
    cells = nbformat.read(path, as_version=4).cells if path.exists() else []
    written = nbformat.read(source, as_version=4).cells
    if [cell.source for cell in cells] != [cell.source for cell in written]:
        stop = pytest.fail if os.environ.get("S2KIT_REQUIRE") else pytest.skip
        stop(f"run `make notebooks` first: build/exercises/{source.name} is missing or older")
    return cells


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_solution_passes_every_check(source):
    """All cells ran, hidden tests included, none failed, and each check prints ✓."""
    cells = [cell for cell in executed(source) if cell.cell_type == "code"]
    assert [cell.id for cell in cells if cell.execution_count is None] == []
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    checks = [cell for cell in cells if "right = course.checks." in cell.source]
    printed = ["".join(o.get("text", "") for o in cell.outputs) for cell in checks]
    assert len(checks) >= 3
    assert [one for one in printed if not one.startswith("✓")] == []
