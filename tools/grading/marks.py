"""Write the marks as tables, and read the points that a person gave for texts."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from s2kit.atomic import replacing
from s2kit.errors import InvalidInputError
from tools.grading.grade import GRADED, Grade, Mark

_TEXT_COLUMNS = ["id", "name", "question", "largest", "answer", "points", "comment"]


def write_grades(grades: list[Grade], folder: Path) -> None:
    """Write ``grades.json``, from which marks and feedback are made."""
    text = json.dumps([asdict(one) for one in grades], ensure_ascii=False, indent=1)
    with replacing(folder / "grades.json") as draft:
        draft.write_text(text, encoding="utf-8")


def read_grades(folder: Path) -> list[Grade]:
    """Return what `write_grades` wrote."""
    found = json.loads((folder / "grades.json").read_text(encoding="utf-8"))
    return [Grade(**one | {"marks": [Mark(**mark) for mark in one["marks"]]}) for one in found]


def write_marks(grades: list[Grade], file: Path) -> None:
    """Write ``marks.csv``: one line a student. What is not graded is empty, never 0."""
    questions = {mark.question: mark.largest for one in grades for mark in one.marks}
    heads = [f"{name} ({largest:g})" for name, largest in questions.items()]
    with replacing(file) as draft, draft.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(["id", "name", "number", "status", "total", *heads, "notes"])
        for one in grades:
            points = {mark.question: mark.points for mark in one.marks}
            each = [_number(points.get(name)) for name in questions]
            start = [one.id, one.name, one.number, one.status, _number(one.total)]
            table.writerow([*start, *each, "; ".join(one.notes)])


def write_texts(grades: list[Grade], file: Path) -> None:
    """Write ``texts.csv``: the texts that a person reads, with empty points; given ones stay."""
    given = _given(file)
    with replacing(file) as draft, draft.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(_TEXT_COLUMNS)
        for one in grades:
            for mark in (mark for mark in one.marks if mark.points is None):
                key = one.id, mark.question, mark.answer
                start = [one.id, one.name, mark.question, f"{mark.largest:g}", mark.answer]
                table.writerow([*start, *given.get(key, ("", ""))])


def add_texts(grades: list[Grade], file: Path) -> None:
    """Add the points and comments that a person wrote into ``texts.csv``.

    Raises
    ------
    InvalidInputError
        If points are no number, or not between 0 and the largest that the question gives.
    """
    given = _given(file)
    for one in grades:
        for mark in one.marks:
            points, comment = given.get((one.id, mark.question, mark.answer), ("", ""))
            if mark.points is None and points.strip():
                mark.points = _checked(points, mark, one)
                mark.messages += [comment] if comment.strip() else []
        if one.marks and one.total is not None:
            one.status = GRADED


def _given(file: Path) -> dict[tuple[str, str, str], tuple[str, str]]:
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened))
    return {(r["id"], r["question"], r["answer"]): (r["points"], r["comment"]) for r in rows}


def _checked(points: str, mark: Mark, one: Grade) -> float:
    try:
        number = float(points.replace(",", "."))
    except ValueError:
        number = -1.0
    if not 0 <= number <= mark.largest:
        raise InvalidInputError(
            f"texts.csv gives {points!r} points to {one.name} ({one.id}) for {mark.question}; "
            f"write a number from 0 to {mark.largest:g}"
        )
    return number


def _number(points: float | None) -> str:
    return "" if points is None else f"{points:g}"
