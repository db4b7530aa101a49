"""The commands of grading, as the Makefile runs them: release, collect, grade, feedback."""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from s2kit.errors import InvalidInputError
from tools.grading.collect import Submission, collect, collected, collected_since
from tools.grading.exercise import Exercise, read_exercise
from tools.grading.feedback import write_feedback
from tools.grading.grade import GRADED, UNREAD, check_exercise, grade, numbers_of, preload
from tools.grading.marks import (
    add_texts,
    read_grades,
    read_table,
    read_texts,
    write_grades,
    write_marks,
    write_texts,
)
from tools.grading.release import release
from tools.grading.worker import Limits

_MOST_STATUS = 100
"""Largest exit status: those from 126 on mean other things to a shell."""


def main(arguments: list[str]) -> int:
    """Run a command; return the exit status.

    Returns
    -------
    int
        0 if all is well; of ``grade`` how many students are not graded, at most 100; 101 if the
        command itself could not be done.
    """
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except InvalidInputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return _MOST_STATUS + 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.grading", description=__doc__)
    parser.add_argument("--sources", type=Path, default="notebooks/exercises/source")
    parser.add_argument("--build", type=Path, default="build/grading")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("release", help="write the notebooks for students")
    one.add_argument("--to", type=Path, default="notebooks/exercises")
    one.set_defaults(run=_release)
    one = commands.add_parser("collect", help="collect a folder or a zip of an LMS")
    one.add_argument("place", type=Path)
    one.set_defaults(run=_collect)
    one = commands.add_parser("grade", help="grade what was collected")
    one.add_argument("--exercise", help="grade this one alone, such as 03_ndvi_statistics")
    one.add_argument("--store", default="", help="the cube, if not where the exercise says")
    one.add_argument("--roster", type=Path)
    one.add_argument("--cpu", type=float, default=Limits.cpu)
    one.add_argument("--idle", type=float, default=Limits.idle)
    one.set_defaults(run=_grade)
    one = commands.add_parser("feedback", help="write a page for each student")
    one.add_argument("--exercise", help="write the pages of this one alone")
    one.set_defaults(run=_feedback)
    return parser


def _exercises(given: argparse.Namespace) -> list[Exercise]:
    return [read_exercise(path) for path in sorted(given.sources.glob("*.ipynb"))]


def _release(given: argparse.Namespace) -> int:
    for source in sorted(given.sources.glob("*.ipynb")):
        release(source, given.to / source.name)
        print(f"{given.to / source.name}")
    return 0


def _collect(given: argparse.Namespace) -> int:
    name, found, changed = collect(given.place, _exercises(given), given.build)
    refused = [one for one in found if one.refused]
    print(
        f"{name}: {len(found)} students, {changed} of them new or changed, "
        f"{len(refused)} without a notebook to grade"
    )
    for one in refused:
        print(f"  {one.name} ({one.id}), {one.file}: {one.refused}")
    return 0


def _grade(given: argparse.Namespace) -> int:
    local = given.store and "://" not in given.store
    store = str(Path(given.store).resolve()) if local else given.store
    limits, roster = Limits(cpu=given.cpu, idle=given.idle), _roster(given.roster)
    missing = 0
    for exercise, batch in _batches(given):
        folder = given.build / exercise.name
        read_texts(folder / "texts.csv")  # what is wrong with it is said before all are graded
        preload(exercise)
        numbers = numbers_of(exercise, batch, roster)
        grades = []
        with tempfile.TemporaryDirectory() as work:
            check_exercise(exercise, store, Path(work), limits)
            for one in batch:
                grades.append(grade(exercise, one, numbers[one.id], store, Path(work), limits))
                ran = GRADED if grades[-1].marks else grades[-1].status
                print(f"{one.name} ({one.id}): {ran}", flush=True)
        write_grades(grades, folder)
        write_texts(grades, folder / "texts.csv")
        _print_unused(add_texts(grades, folder / "texts.csv"), folder / "texts.csv")
        write_marks(grades, folder / "marks.csv")
        lost = sum(one.status.startswith("not graded") for one in grades)
        unread = sum(one.status == UNREAD for one in grades)
        print(f"{folder / 'marks.csv'}: {len(grades)} students, {lost} not graded")
        if unread:
            print(f"{unread} with texts to be read: give points in {folder / 'texts.csv'}")
        missing += lost
    return min(missing, _MOST_STATUS)


def _feedback(given: argparse.Namespace) -> int:
    for exercise, _ in _batches(given):
        folder = given.build / exercise.name
        if not (folder / "grades.json").exists():
            raise InvalidInputError(f"{exercise.name} is not graded yet: make grade")
        grades = read_grades(folder)
        since = collected_since(folder / "collected", folder / "grades.json")
        if since:
            print(
                f"{exercise.name}: {since} collected since it was graded are left out: make grade"
            )
        _print_unused(add_texts(grades, folder / "texts.csv"), folder / "texts.csv")
        write_marks(grades, folder / "marks.csv")
        write_feedback(grades, exercise.name, folder / "feedback")
        print(f"{folder / 'feedback'}: {len(grades)} pages")
    return 0


def _batches(given: argparse.Namespace) -> list[tuple[Exercise, list[Submission]]]:
    """Return the exercises that were collected, with their submissions."""
    exercises = [one for one in _exercises(given) if given.exercise in (None, one.name)]
    batches = [collected(given.build / one.name / "collected") for one in exercises]
    found = [(one, batch) for one, batch in zip(exercises, batches, strict=True) if batch]
    if not found:
        which = "" if given.exercise is None else f" of {given.exercise}"
        raise InvalidInputError(f"nothing{which} is collected: make collect FROM=folder-or-zip")
    return found


def _print_unused(rows: list[dict[str, str]], file: Path) -> None:
    """Print which points belong to no text."""
    if rows:
        named = ", ".join(f"{row['question']} of {row['name']} ({row['id']})" for row in rows)
        print(
            f"{file}: points that are not used, since the text was changed after they were given "
            f"(or id or version were): {named}. They stay at the end of the table"
        )


def _roster(path: Path | None) -> dict[str, str]:
    """Return student numbers by the LMS's ids, from a table with the columns id and number.

    An id may be written as Moodle's worksheet has it: ``Participant 12345``.
    """
    rows = read_table(path, ["id", "number"]) if path else []
    ids = [re.sub(r"^[^\W\d]+ (?=\d+$)", "", row["id"].strip()) for row in rows]
    typed = {key: row["number"].strip() for key, row in zip(ids, rows, strict=True)}
    numbers = {key: number for key, number in typed.items() if number}
    if path and not numbers:
        raise InvalidInputError(f"{path} has no student number below its columns id and number")
    return numbers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
