"""Read an exercise, and what a student answered: its cells carry nbgrader's metadata."""

import ast
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from tools.grading.release import CODE_STUB, TEXT_STUB, released

NUMBER_CELL = "student-number"
"""``grade_id`` of the cell in which students write their number."""
PARAMETERS_CELL = "parameters"
"""``grade_id`` of the cell that says where the data are."""
PICTURE_TAG = "picture"
"""Cells that only draw have this tag. They are not run for grading."""

_POINTS = re.compile(r" \(\d+ points?.*\)$")


@dataclass(frozen=True)
class Cell:
    """A cell to run."""

    kind: str
    """``master``, ``answer``, ``own`` (a cell that the student added) or ``test``."""
    name: str
    """The ``grade_id``; of an own cell that of the cell before it, with a number."""
    source: str
    task: str
    """The ``grade_id`` of the answer that it belongs to."""


@dataclass(frozen=True)
class Question:
    """What points are given for."""

    name: str
    points: float
    task: str
    """The ``grade_id`` of the answer."""
    manual: bool
    """Whether a person reads the answer."""
    title: str
    """The heading above it."""


@dataclass
class Exercise:
    """A source notebook with solutions and tests."""

    name: str
    folder: Path
    """Where the released notebook lies: its paths are seen from there."""
    cells: list[Any]
    questions: list[Question]
    stubs: dict[str, str]
    """What the answers are in the released notebook."""

    @property
    def names(self) -> set[str]:
        """Return the ``grade_id`` of all cells."""
        return {grade_id(cell) for cell in self.cells} - {""}

    @property
    def points(self) -> float:
        """Return the points of all questions."""
        return sum(question.points for question in self.questions)


@dataclass
class Answers:
    """What a student handed in."""

    answers: dict[str, str] = field(default_factory=dict)
    """The source of each answer by ``grade_id``."""
    own: dict[str, list[str]] = field(default_factory=dict)
    """Code that the student added, by the ``grade_id`` of the cell before it."""
    notes: list[str] = field(default_factory=list)
    """What was found odd, and what was done about it."""


def grade_id(cell: Any) -> str:
    """Return the ``grade_id`` of a cell, or an empty text."""
    nbgrader = cell.get("metadata", {}).get("nbgrader", {})
    return str(nbgrader.get("grade_id", "")) if isinstance(nbgrader, dict) else ""


def clean(text: str) -> str:
    """Return a text that can be written as UTF-8: Python's strings may hold half a character."""
    return text.encode("utf-8", "replace").decode()


def source_of(cell: Any) -> str:
    """Return the source of a cell, which may be stored in lines."""
    source = cell.get("source", "")
    return clean("".join(map(str, source)) if isinstance(source, list) else str(source))


def read_exercise(path: Path) -> Exercise:
    """Read a source notebook."""
    notebook = nbformat.read(path, as_version=4)
    blank = released(deepcopy(notebook))
    stubs = {grade_id(c): c.source for c in blank.cells if _is(c, "solution")}
    questions, task, title = [], "", ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            title = _POINTS.sub("", cell.source.splitlines()[0].lstrip("# "))
        if _is(cell, "solution"):
            task = grade_id(cell)
        if _is(cell, "grade"):
            points = float(cell.metadata.nbgrader.points)
            manual = _is(cell, "solution")
            questions.append(Question(grade_id(cell), points, task, manual, title))
    return Exercise(path.stem, path.parents[1], notebook.cells, questions, stubs)


def read_answers(exercise: Exercise, cells: list[Any]) -> Answers:
    """Take the answers from the cells of a submission, whatever else was done to it.

    Cells of the exercise that were edited or deleted do not matter: the exercise's own are run.
    """
    found, last = Answers(), ""
    copies: dict[str, list[str]] = {}
    for cell in cells:
        name, source = grade_id(cell), source_of(cell)
        if name in exercise.stubs:
            copies.setdefault(name, []).append(source)
        if name in exercise.names:
            last = name
        elif cell.get("cell_type") == "code" and source.strip():
            found.own.setdefault(last, []).append(source)
    for name, sources in copies.items():
        changed = [one for one in sources if one.strip() != exercise.stubs[name].strip()]
        found.answers[name] = (changed or sources)[-1]
        if len(sources) > 1:
            found.notes.append(f"{name}: {len(sources)} copies, the last that was changed counts")
    missing = [name for name in exercise.stubs if name not in copies]
    if missing:
        found.notes.append(f"cells deleted: {', '.join(missing)}")
    return found


def is_blank(exercise: Exercise, answers: Answers, name: str) -> bool:
    """Return whether there is no answer: the cell is missing, empty, or as it was released."""
    text = answers.answers.get(name, "").strip()
    return text in ("", TEXT_STUB, CODE_STUB, exercise.stubs[name].strip())


def typed_number(answers: Answers) -> str:
    """Return the number that the student wrote, or an empty text."""
    try:
        body = ast.parse(answers.answers.get(NUMBER_CELL, "")).body
    except (SyntaxError, ValueError):
        return ""
    values = [node.value for node in body if isinstance(node, ast.Assign)]
    constants = [one.value for one in values if isinstance(one, ast.Constant)]
    given = [one for one in constants if isinstance(one, str | int)]
    return str(given[-1]).strip() if given else ""


def cells_to_run(exercise: Exercise, answers: Answers, number: str, store: str = "") -> list[Cell]:
    """Return the exercise's cells with the student's answers, in the order of the exercise.

    Parameters
    ----------
    exercise : Exercise
    answers : Answers
    number : str
        The student's number.
    store : str
        The class's cube; by default the place that the exercise names.
    """
    return list(_in_order(exercise, answers, number, store))


def _places(exercise: Exercise, source: str, store: str) -> str:
    """Return lines that set the paths among the parameters, as seen from any folder."""
    body = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    given = {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in body}
    paths = {name: value for name, value in given.items() if str(value).startswith("../")}
    paths = {name: str((exercise.folder / value).resolve()) for name, value in paths.items()}
    paths |= {"store": store} if store else {}
    return "".join(f"\n{name} = {value!r}" for name, value in paths.items())


def _in_order(exercise: Exercise, found: Answers, number: str, store: str) -> Iterator[Cell]:
    task = ""
    yield from _own(found, "", task)
    for cell in exercise.cells:
        name = grade_id(cell)
        if _is(cell, "solution"):
            task = name
        if cell.cell_type == "code" and PICTURE_TAG not in cell.metadata.get("tags", []):
            if name == NUMBER_CELL:
                yield Cell("master", name, f"student = {number!r}", task)
            elif _is(cell, "solution"):
                yield Cell("answer", name, found.answers.get(name, ""), task)
            elif _is(cell, "grade"):
                yield Cell("test", name, cell.source, task)
            else:
                places = name == PARAMETERS_CELL
                extra = _places(exercise, cell.source, store) if places else ""
                yield Cell("master", name, cell.source + extra, task)
        if name:
            yield from _own(found, name, task)


def _own(found: Answers, name: str, task: str) -> Iterator[Cell]:
    for number, source in enumerate(found.own.get(name, []), 1):
        yield Cell("own", f"{name}+{number}", source, task)


def _is(cell: Any, kind: str) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get(kind, False))
