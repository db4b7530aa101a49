"""The solved exercises run from top to bottom by papermill, and get all points."""

import subprocess
import sys

import nbformat
import pytest
import yaml
from handed_in import ROOT

pytestmark = pytest.mark.slow

SOURCES = sorted((ROOT / "notebooks/exercises/source").glob("*.ipynb"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_solution_passes_every_check(
    source, practice_cube, practice_scenes, shared_folder, tmp_path
):
    """No cell fails, hidden tests included, and each check prints ✓."""
    given = {"store": str(shared_folder / "practice.zarr")}
    text = source.read_text()
    if "fields.gpkg" in text:
        given["fields"] = str(practice_scenes / "truth/fields.gpkg")
    command = [sys.executable, "-m", "papermill", "-k", "python3", "--no-progress-bar"]
    command += ["--cwd", ROOT / "notebooks/exercises", source, tmp_path / "done.ipynb"]
    done = subprocess.run(
        [*command, "-y", yaml.safe_dump(given)],
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells
    checks = [cell for cell in cells if "right = course.checks." in cell.source]
    printed = ["".join(o.get("text", "") for o in cell.outputs) for cell in checks]
    assert len(checks) >= 3
    assert [one for one in printed if not one.startswith("✓")] == []
