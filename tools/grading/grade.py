"""Grade a batch: run each student's answers, give points by question, and say what happened."""

import ast
import importlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from s2kit.errors import InvalidInputError
from tools.grading.collect import Submission
from tools.grading.exercise import (
    Answers,
    Exercise,
    Question,
    cells_to_run,
    is_blank,
    read_answers,
    typed_number,
)
from tools.grading.process import Outcome, Result, run_cells
from tools.grading.worker import Limits

GRADED = "graded"
UNREAD = "graded, texts unread"
_REASONS = {
    "time": "This took too long and was stopped: is there a loop that never ends?",
    "waits": "This only waited and was stopped: it asks for input, or sleeps.",
    "written": "This wrote too many bytes of files and was stopped.",
    "died": "This ended Python itself, so the rest was run without it.",
}
_MEMORY = "This needed more memory than there is: take a part of the data, or a statistic earlier."


_BLANK = "No answer."
_LAZY = ("s2kit", "s2kit.course")
"""Modules that import their names when these are first used."""


@dataclass
class Mark:
    """What a question got."""

    question: str
    title: str
    points: float | None
    """None if it is not graded, or not read yet."""
    largest: float
    messages: list[str]
    answer: str


@dataclass
class Grade:
    """What a student got."""

    id: str
    name: str
    number: str
    """The student's number, which determines the student's cube; empty if it is not known."""
    status: str
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Notes that name other students, for the instructor alone."""

    @property
    def total(self) -> float | None:
        """Return the sum of all marks, or None while one is missing."""
        points = [mark.points for mark in self.marks]
        return None if not points or None in points else sum(p for p in points if p is not None)


def preload(exercise: Exercise) -> None:
    """Import what the exercise imports, once for all students."""
    sources = [cell.source for cell in exercise.cells if cell.cell_type == "code"]
    modules: set[str] = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            modules |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    modules |= {"s2kit.course"} if "s2kit" in modules else set()
    for name in sorted(modules):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []) if name in _LAZY else []:
            getattr(module, public)


class Number(NamedTuple):
    """The number of a student, or empty; what determines the cube; notes, and remarks, on it."""

    number: str
    seed: str
    notes: list[str]
    remarks: list[str]


def numbers_of(
    exercise: Exercise, batch: list[Submission], roster: dict[str, str]
) -> dict[str, Number]:
    """Return the number of each student, by the LMS's id.

    For ids of the roster it is the roster's. For others it is the number that the student wrote,
    unless another student of the batch wrote the same: then both get the cube of their LMS's id, so
    that numbers copied with it do not fit.
    """
    typed = {one.id: typed_number(read_answers(exercise, one.cells)).casefold() for one in batch}
    count = Counter(number for number in typed.values() if number)
    found = {}
    for one in batch:
        wrote = typed[one.id]
        number = roster.get(one.id, wrote)
        notes, remarks = [], []
        if one.id not in roster and count[wrote] > 1:
            number = ""
            others = [key for key, other in typed.items() if other == wrote and key != one.id]
            notes.append(f"another student wrote the student number {wrote} too")
            remarks.append(f"wrote the same student number as {', '.join(others)}")
        seed = number or one.id
        if roster and one.id not in roster:
            notes.append("the roster has no student number for this id")
        if not wrote and not one.refused:
            notes.append("wrote no student number")
        if wrote and wrote != seed.strip().casefold():
            notes.append(
                f"wrote the student number {wrote}, was graded with the cube of {seed}: numbers "
                "that were typed by hand from another cube count as wrong"
            )
        found[one.id] = Number(number, seed, notes, remarks)
    return found


def check_exercise(exercise: Exercise, store: str, work: Path, limits: Limits) -> None:
    """Grade the exercise's own solution, which must get all points on this machine.

    Raises
    ------
    InvalidInputError
        If it does not: then no student could.
    """
    answers = read_answers(exercise, exercise.cells)
    cells = cells_to_run(exercise, answers, "solution", store)
    outcome = run_cells(cells, work / "solution", limits)
    wrong = {cell.name: outcome.results.get(cell.name) for cell in cells}
    for name, result in wrong.items():
        if result is None or result.error:
            found = "it did not end" if result is None else f"{result.error}: {result.message}"
            shown = "" if result is None else f" {result.printed}"
            raise InvalidInputError(
                f"the solution of {exercise.name} fails here, so nobody was graded. Cell {name}: "
                f"{found}{shown}"
            )


def grade(
    exercise: Exercise, one: Submission, number: Number, store: str, work: Path, limits: Limits
) -> Grade:
    """Grade one student. Whatever happens, there is a status.

    Parameters
    ----------
    exercise : Exercise
    one : Submission
    number : Number
    store : str
        The class's cube; empty for the place that the exercise names.
    work : pathlib.Path
        The student's folder is made in it.
    limits : Limits
    """
    grade = Grade(one.id, one.name, number.number, f"not graded: {one.refused}")
    grade.notes, grade.remarks = [*one.notes, *number.notes], list(number.remarks)
    if one.refused:
        return grade
    try:
        answers = read_answers(exercise, one.cells)
        cells = cells_to_run(exercise, answers, number.seed, store)
        outcome = run_cells(cells, work / "student", limits)
    except Exception as error:  # the batch goes on
        grade.status = f"not graded: {type(error).__name__}: {error}"
        return grade
    first = [c.name for c in cells[: next(n for n, c in enumerate(cells) if c.kind != "master")]]
    broken = next((n for n in first if outcome.results.get(n, _MISSING).error), None)
    if broken is not None:
        result = outcome.results.get(broken, _MISSING)
        grade.status = f"not graded: the exercise's own cell {broken} failed: {result.message}"
        return grade
    tasks = {cell.name: cell.task for cell in cells}
    grade.notes += answers.notes + _notes(outcome, tasks)
    grade.marks = [_mark(exercise, question, answers, outcome) for question in exercise.questions]
    if all(mark.messages == [_BLANK] for mark in grade.marks):
        grade.notes.append("nothing was answered")
    grade.status = GRADED if grade.total is not None else UNREAD
    return grade


_MISSING = Result("missing", "it was not run", "")


def _notes(outcome: Outcome, tasks: dict[str, str]) -> list[str]:
    """Return notes on tasks of which something was stopped, on output and on changed names."""
    stopped = {tasks.get(name, name): why for name, why in reversed(outcome.ended.items())}
    notes = [f"{task}: {_REASONS.get(why, why)}" for task, why in stopped.items()]
    if outcome.dropped:
        notes.append("printed too much; the rest was dropped")
    if outcome.changed:
        names = ", ".join(outcome.changed)
        notes.append(f"gave other values to names of the exercise ({names}); its own were used")
    return notes


def _mark(exercise: Exercise, question: Question, answers: Answers, outcome: Outcome) -> Mark:
    """Return the mark of a question with what the student should know."""
    text = answers.answers.get(question.task, "")
    if is_blank(exercise, answers, question.task):
        return Mark(question.name, question.title, 0.0, question.points, [_BLANK], "")
    mark = Mark(question.name, question.title, 0.0, question.points, [], text)
    if question.manual:
        mark.points = None
        return mark
    result = outcome.results.get(question.name, _MISSING)
    answer = outcome.results.get(question.task, _MISSING)
    if not result.error:
        mark.points = question.points
    if question.task not in answers.answers:
        mark.messages.append("The cell of the answer is missing.")
    elif answer.error and answer.error != "blocked":
        mark.messages.append(_readable(answer))
    mark.messages += [line for line in result.printed.splitlines() if line.strip()]
    mark.messages += _why(result, answer)
    return mark


def _why(result: Result, answer: Result) -> list[str]:
    """Return messages on a test that did not pass: never its source."""
    reasons = [one.message for one in (answer, result) if one.error == "blocked"]
    if reasons:
        return [_REASONS.get(reasons[0], reasons[0])]
    if result.error == "AssertionError":
        return [result.message] if result.message else []
    return [_readable(result)] if result.error else []


def _readable(result: Result) -> str:
    if result.error == "MemoryError" or "ArrayMemoryError" in result.error:
        return _MEMORY
    return f"{result.error}: {result.message}" if result.message else result.error
