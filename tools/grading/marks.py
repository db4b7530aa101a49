"""Write the marks as tables, and read the points that a person gave for texts."""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from s2kit.atomic import replacing
from s2kit.errors import InvalidInputError
from tools.grading.grade import GRADED, Grade, Mark

_TEXT_COLUMNS = ["id", "name", "question", "largest", "answer", "version", "points", "comment"]
"""``version`` changes with the answer: points belong to the text that was read."""

_LONGEST = 30_000
"""Characters of an answer that are shown: spreadsheets cut cells at 32 767."""
_FIELD = 10**6
"""Characters of a cell that is still read."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What formulas of spreadsheets begin with."""

_ENCODING = "utf-8-sig"
"""With the mark by which Excel knows UTF-8."""

_Row = dict[str, str]
_Key = tuple[str, str, str]
"""Id, question and version."""


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
    with replacing(file) as draft, draft.open("w", newline="", encoding=_ENCODING) as opened:
        table = csv.writer(opened)
        table.writerow(["id", "name", "number", "status", "total", *heads, "notes"])
        for one in grades:
            points = {mark.question: mark.points for mark in one.marks}
            each = [_number(points.get(name)) for name in questions]
            who = [_text(text) for text in (one.id, one.name, one.number)]
            notes = _text("; ".join([*one.notes, *one.remarks]))
            table.writerow([*who, one.status, _number(one.total), *each, notes])


def read_texts(file: Path) -> dict[_Key, _Row]:
    """Return the rows of ``texts.csv`` by the text that they belong to; none if there is no file.

    Raises
    ------
    InvalidInputError
        If it cannot be read, or two rows are of the same text.
    """
    found: dict[_Key, _Row] = {}
    for row in read_table(file, _TEXT_COLUMNS) if file.exists() else []:
        key = _key(row)
        if key in found:
            raise InvalidInputError(
                f"{file} has two rows for {row['question']} of {row['name']} ({row['id']}); "
                "keep one"
            )
        found[key] = row
    return found


def write_texts(grades: list[Grade], file: Path) -> None:
    """Write ``texts.csv``: the texts that a person reads. What a person has written stays."""
    given, rows = read_texts(file), []
    for one in grades:
        for mark in (mark for mark in one.marks if mark.points is None):
            row = _about(one, mark)
            old = given.pop(_key(row), {})
            rows.append(row | {name: old.get(name, "") for name in ("points", "comment")})
    rows += [row for row in given.values() if _is_filled(row)]
    with replacing(file) as draft, draft.open("w", newline="", encoding=_ENCODING) as opened:
        table = csv.DictWriter(opened, _TEXT_COLUMNS)
        table.writeheader()
        table.writerows(rows)


def add_texts(grades: list[Grade], file: Path) -> list[_Row]:
    """Add the points and comments that a person wrote into ``texts.csv``.

    Returns
    -------
    list of dict
        Rows with points or a comment that belong to no text: another id or version is in them, as
        after a student handed in another text.

    Raises
    ------
    InvalidInputError
        If points are no number, or not between 0 and the largest that the question gives.
    """
    given = read_texts(file)
    for one in grades:
        for mark in one.marks:
            row = given.pop(_key(_about(one, mark)), None)
            if row and mark.points is None and row["points"].strip():
                mark.points = _checked(row["points"], mark, one)
                mark.messages += [row["comment"]] if row["comment"].strip() else []
        if one.marks and one.total is not None:
            one.status = GRADED
    return [row for row in given.values() if _is_filled(row)]


def read_table(file: Path, columns: Sequence[str]) -> list[_Row]:
    """Return the rows of a CSV as any spreadsheet writes it: with commas, semicolons or tabs.

    Raises
    ------
    InvalidInputError
        If it is not UTF-8, or has not all of these columns.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{file} is not in UTF-8; save it as “CSV UTF-8”") from None
    csv.field_size_limit(_FIELD)
    try:
        for separator in ",;\t":
            table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
            if set(columns) <= set(table.fieldnames or []):
                return [{name: row[name] or "" for name in columns} for row in table]
    except csv.Error as error:
        raise InvalidInputError(f"{file} is no CSV that can be read: {error}") from None
    header = text.partition("\n")[0].strip()
    raise InvalidInputError(
        f"{file} needs the columns {', '.join(columns)}; its first line is {header!r:.100}"
    )


def _about(one: Grade, mark: Mark) -> _Row:
    """Return the columns of ``texts.csv`` that a person does not fill."""
    return {
        "id": _text(one.id),
        "name": _text(one.name),
        "question": mark.question,
        "largest": f"{mark.largest:g}",
        "answer": _text(shortened(mark.answer)),
        "version": _version(mark),
    }


def _key(row: _Row) -> _Key:
    return row["id"].strip(), row["question"].strip(), row["version"].strip()


def _is_filled(row: _Row) -> bool:
    return bool(row["points"].strip() or row["comment"].strip())


def shortened(text: str) -> str:
    """Return the beginning of an answer that is too long to be read."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} … ({len(text)} characters; the notebook has them all)"


def _version(mark: Mark) -> str:
    return f"v{hashlib.sha256(mark.answer.encode()).hexdigest()[:8]}"


def _text(text: str) -> str:
    """Return what a student wrote so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


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
