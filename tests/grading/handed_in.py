"""Submissions as students hand them in: the released exercise 03, filled in and spoilt."""

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import nbformat

from tools.grading.exercise import grade_id
from tools.grading.release import released

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "notebooks/exercises/source/03_ndvi_statistics.ipynb"
CODE = ("days", "ndvi-function", "maps", "effect", "drops-function")
"""The answers that are code; the text is another."""


def source() -> Any:
    """Return the exercise with its solutions."""
    return nbformat.read(SOURCE, as_version=4)


def solutions() -> dict[str, str]:
    """Return the solved answers by ``grade_id``."""
    solved = [c for c in source().cells if c.metadata.nbgrader.get("solution")]
    return {grade_id(cell): cell.source for cell in solved}


def notebook(number: str, solved: tuple[str, ...] = CODE, **answers: str) -> dict[str, Any]:
    """Return the released exercise with some answers solved, and others as they are given.

    Underscores stand for hyphens in the names of the given answers.
    """
    made = json.loads(nbformat.writes(released(source())))
    known = solutions()
    given = {name.replace("_", "-"): text for name, text in answers.items()}
    for cell in made["cells"]:
        name = grade_id(cell)
        if name in solved:
            cell["source"] = known[name]
        if name in given:
            cell["source"] = given[name]
        if name == "student-number":
            cell["source"] = f"student = {number!r}"
    return made


def secret_lines(path: Path, kind: str) -> list[str]:
    """Return the lines of a source's regions of a kind, SOLUTION or HIDDEN TESTS."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        for region in cell.source.split(f"### BEGIN {kind}\n")[1:]:
            found += region.split(f"### END {kind}")[0].splitlines()
    found = [line.strip() for line in found if not line.strip().startswith("import ")]
    return [line for line in found if len(line) >= _TELLING]


_TELLING = 12
"""Characters of a line that tells something."""


def without(made: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a notebook from which cells were deleted."""
    return made | {"cells": [cell for cell in made["cells"] if grade_id(cell) not in names]}


def with_edited(made: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
    """Return a notebook in which cells were edited, locked or not."""
    changed = copy.deepcopy(made)
    for cell in changed["cells"]:
        cell["source"] = sources.get(grade_id(cell), cell["source"])
    return changed


def with_cell(made: dict[str, Any], before: str, text: str, metadata: dict) -> dict[str, Any]:
    """Return a notebook with one more code cell before another."""
    at = [grade_id(cell) for cell in made["cells"]].index(before)
    cell = {"cell_type": "code", "id": "new", "source": text, "metadata": metadata}
    cell |= {"outputs": [], "execution_count": None}
    return made | {"cells": [*made["cells"][:at], cell, *made["cells"][at:]]}


def add(archive: zipfile.ZipFile, name: str, content: Any, year: int = 2026) -> None:
    """Write a notebook or bytes into a zip, as handed in in some year."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    entry = zipfile.ZipInfo(name, (year, 10, 1, 12, 0, 0))
    archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 1)
