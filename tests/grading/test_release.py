"""The released exercises: made by nbgrader from the sources, without solutions and hidden tests."""

import json
import re

import nbformat
import pytest
from handed_in import ROOT, secret_lines

from tools.grading.exercise import NUMBER_CELL, PARAMETERS_CELL, grade_id, read_exercise
from tools.grading.release import release

SOURCES = sorted((ROOT / "notebooks/exercises/source").glob("*.ipynb"))
RELEASED = [ROOT / "notebooks/exercises" / path.name for path in SOURCES]


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def source(request):
    """Return the path of each source in turn."""
    return request.param


def test_each_source_is_released():
    """No released exercise is missing, and none has no source."""
    assert SOURCES
    by_hand = ROOT / "notebooks/exercises/final_project.ipynb"  # a person reads it
    assert sorted((ROOT / "notebooks/exercises").glob("*.ipynb")) == [*RELEASED, by_hand]


def test_release_is_that_of_its_source(source, tmp_path):
    """What is committed is what nbgrader makes of the source today; ids are those of the source."""
    release(source, tmp_path / "made.ipynb")
    made = json.loads((tmp_path / "made.ipynb").read_text())
    committed = json.loads((ROOT / "notebooks/exercises" / source.name).read_text())
    assert committed == made
    ids = [cell["id"] for cell in json.loads(source.read_text())["cells"]]
    assert [cell["id"] for cell in committed["cells"]] == ids


@pytest.mark.parametrize("kind", ["SOLUTION", "HIDDEN TESTS"])
def test_no_released_exercise_holds_a_secret(source, kind):
    """No line of a solution or of a hidden test of any exercise is in any released one."""
    secrets = secret_lines(source, kind)
    assert len(secrets) > 4
    for path in RELEASED:
        cells = nbformat.read(path, as_version=4).cells
        lines = {line.strip() for cell in cells for line in cell.source.splitlines()}
        assert [line for line in secrets if line in lines] == []
        assert "BEGIN" not in path.read_text()


def test_texts_to_be_read_are_not_released(source):
    """The written solution of a text is replaced, and there is a rubric before it."""
    cells = nbformat.read(source, as_version=4).cells
    shown = (ROOT / "notebooks/exercises" / source.name).read_text()
    texts = [n for n, c in enumerate(cells) if c.cell_type == "markdown" and is_kind(c, "solution")]
    assert texts
    for number in texts:
        assert json.dumps(cells[number].source.splitlines()[0])[1:-1] not in shown
        assert "One point each for" in cells[number - 1].source


def is_kind(cell, kind):
    """Return whether nbgrader counts a cell as of this kind."""
    return cell.metadata.nbgrader[kind]


def test_points_add_up_to_what_the_text_says(source):
    """The introduction says the sum of all points, and each heading that of its task."""
    exercise = read_exercise(source)
    text = "\n".join(cell.source for cell in exercise.cells if cell.cell_type == "markdown")
    (total,) = re.findall(r"you get up to (\d+) points", text)
    assert exercise.points == int(total)
    tasks = [int(points) for points in re.findall(r"^## .*\((\d+) points", text, re.M)]
    assert sum(tasks) == exercise.points
    assert len([line for line in text.splitlines() if line.startswith("## Task")]) in (3, 4, 5)


def test_cells_are_what_the_grader_expects(source):
    """Each cell is nbgrader's, one holds the number and one the parameters; code is short."""
    cells = nbformat.read(source, as_version=4).cells
    names = [grade_id(cell) for cell in cells]
    assert "" not in names and len(set(names)) == len(names)
    assert NUMBER_CELL in names and PARAMETERS_CELL in names
    shown = nbformat.read(ROOT / "notebooks/exercises" / source.name, as_version=4).cells
    long = [c.id for c in shown if c.cell_type == "code" and len(c.source.splitlines()) > 15]
    assert long == []
