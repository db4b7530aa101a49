"""The numbers of an exercise differ between students, so that a copied one does not pass."""

import re

import nbformat
import numpy as np
import pytest
from handed_in import ROOT

pytestmark = pytest.mark.slow

SOURCES = sorted((ROOT / "notebooks/exercises/source").glob("0*.ipynb"))


def solve(source, student, copied):
    """Run the solutions for a student; return the answers, and which copied ones pass.

    Answers are what stands in place of ``None``. Each is checked with the copied value first.
    """
    names, answers, passed = {"display": print}, {}, []
    for cell in nbformat.read(source, as_version=4).cells:
        if cell.cell_type != "code" or "picture" in cell.metadata.get("tags", []):
            continue
        code = cell.source.replace('"s1234567"', repr(student))
        if "course.checks." in code:
            for name in [name for name in copied if f"({name}, " in code]:
                try:
                    exec(code, names | {name: copied[name]})
                except AssertionError:
                    continue
                passed.append(name)
        exec(code, names)
        for name in re.findall(r"^(\w+) = None$", cell.source, re.MULTILINE):
            answers[name] = names[name]
    assert answers.pop("student") == student
    return answers, passed


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_copied_numbers_do_not_pass(source, monkeypatch):
    """Shares, means, areas and maps of another student are wrong; counts and days may agree."""
    monkeypatch.chdir(ROOT / "notebooks/exercises")
    answers, _ = solve(source, "s1001", {})
    measured = {n: value for n, value in answers.items() if np.asarray(value).dtype.kind == "f"}
    assert measured
    for student in ("s1002", "s1003"):
        others, passed = solve(source, student, measured)
        assert set(others) == set(answers)
        assert passed == []
