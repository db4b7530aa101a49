"""Reading submissions: the answers count, whatever else was done to the notebook."""

import pytest
from handed_in import CODE, SOURCE, notebook, solutions, with_cell, with_edited, without

from tools.grading.collect import Submission
from tools.grading.exercise import cells_to_run, is_blank, read_answers, read_exercise, typed_number
from tools.grading.grade import numbers_of


@pytest.fixture(scope="module")
def exercise():
    """Return exercise 03."""
    return read_exercise(SOURCE)


def sources(exercise, made, number="s1"):
    """Return what is run for a submission."""
    return [c.source for c in cells_to_run(exercise, read_answers(exercise, made["cells"]), number)]


def test_edited_cells_of_the_exercise_do_not_matter(exercise):
    """Locked cells that were edited, moved or deleted are the exercise's own again."""
    plain = notebook("s1")
    edited = with_edited(plain, {"setup": "1 / 0", "days-count": "pass"})
    fewer = without(plain, "setup", "days-count", "ndvi-elsewhere", "end")
    moved = plain | {"cells": plain["cells"][::-1]}
    expected = sources(exercise, plain)
    assert solutions()["maps"] in expected
    assert sources(exercise, edited) == expected
    assert sources(exercise, fewer) == expected
    assert sources(exercise, moved) == expected


def test_own_cells_run_where_they_stand(exercise):
    """A cell that a student added runs between its neighbours."""
    made = with_cell(notebook("s1"), "ndvi-function", "helper = 1", {})
    found = sources(exercise, made)
    assert found.index("helper = 1") == found.index(solutions()["ndvi-function"]) - 1


def test_of_copies_the_last_that_was_changed_counts(exercise):
    """An untouched copy after the answer does not hide it."""
    stub = exercise.stubs["days"]
    spare = {"nbgrader": {"grade_id": "days"}}
    for before in ("days", "days-count"):
        made = with_cell(notebook("s1"), before, stub, spare)
        found = read_answers(exercise, made["cells"])
        assert found.answers["days"] == solutions()["days"]
        assert "2 copies" in found.notes[0]


def test_blank_answers_are_known(exercise):
    """Released, emptied and missing cells are no answers."""
    blank = read_answers(exercise, notebook("s1", ())["cells"])
    emptied = read_answers(exercise, with_edited(notebook("s1", ()), {"why": "  "})["cells"])
    assert is_blank(exercise, blank, "why") and is_blank(exercise, blank, "maps")
    assert is_blank(exercise, emptied, "why")
    assert not is_blank(exercise, read_answers(exercise, notebook("s1")["cells"]), "maps")


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ('student = "S12 "', "S12"),
        ("student = 12", "12"),
        ("student = None", ""),
        ("student = open('x')", ""),
        ("student = ", ""),
        ("student = True\0", ""),
        ("", ""),
    ],
)
def test_the_number_is_read_without_running_anything(exercise, source, number):
    """Only a text or a number that stands there is taken."""
    made = with_edited(notebook("s1"), {"student-number": source})
    assert typed_number(read_answers(exercise, made["cells"])) == number


def batch(**typed):
    """Return submissions by id with the numbers that were written."""
    cells = {key: notebook(number, CODE)["cells"] for key, number in typed.items()}
    return [Submission(key, key, "x.ipynb", "", made, [], []) for key, made in cells.items()]


def test_numbers_are_the_rosters_or_else_what_was_written(exercise):
    """The roster decides; without it a number counts unless two students wrote it."""
    some = batch(a="s1", b="s2", c="S2")
    found = numbers_of(exercise, some, {})
    assert {key: one[:2] for key, one in found.items()} == {
        "a": ("s1", "s1"),
        "b": ("", "b"),
        "c": ("", "c"),
    }
    assert found["b"].remarks == ["wrote the same student number as c"]
    assert all("c" not in note.split() for note in found["b"].notes)
    known = numbers_of(exercise, some, {"a": "s9", "b": "s2"})
    assert known["a"].number == "s9" and "wrote the student number s1" in known["a"].notes[0]
    assert known["b"] == ("s2", "s2", [], [])
