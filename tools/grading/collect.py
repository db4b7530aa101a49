"""Collect what students handed in, from a folder or from the zip of a learning platform (LMS).

Moodle names each student's folder ``Name Surname_12345_assignsubmission_file_``, Canvas each file
``surnamename_12345_67890_x.ipynb``; 12345 is the student's id there. Any other folder belongs to
the student whose id it has as its name, and so does a notebook that lies in no folder.
"""

import hashlib
import json
import os
import re
import unicodedata
import urllib.parse
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from s2kit.atomic import replacing
from s2kit.errors import InvalidInputError
from s2kit.zips import BROKEN, read_member
from tools.grading.exercise import Exercise, clean, grade_id, source_of

LARGEST = 300 * 2**20
"""Bytes of a notebook that is still read."""
_MOST_FILES = 20_000
_MOST_BYTES = 10 * 2**30
"""Bytes of all notebooks in a zip, unpacked."""

_LONGEST = 150
"""Characters of a file name, before the digest of what is longer."""

_SHOWN = 3
"""Files that an error names."""

_NO_NOTEBOOK = "it is no notebook (.ipynb)"
_LARGE = f"it is larger than {LARGEST / 2**20:.0f} MB, or a link"

_MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_[a-z]+_?")
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_(?P<attempt>\d+)_(?P<file>.+)")
_IGNORED = re.compile(r"\.ipynb_checkpoints|__MACOSX|\..*")


@dataclass(frozen=True)
class Submission:
    """A student's submission, as collected."""

    id: str
    """The LMS's id."""
    name: str
    file: str
    """As it was handed in."""
    refused: str
    """Why it cannot be graded; empty if it can."""
    cells: list[dict[str, Any]]
    """Cells of the notebook, without outputs."""
    notes: list[str]
    order: list[Any]
    """When it was handed in, and which attempt it is; later ones are larger."""


@dataclass(frozen=True)
class _File:
    id: str
    name: str
    path: str
    order: list[Any]
    """Local time as ``2026-01-31 09:30:00``, number of the attempt, and path."""
    data: bytes | None
    """None if it is no notebook, or cannot be read."""
    trouble: str


@dataclass(frozen=True)
class _Attempt:
    file: _File
    """Its data are left out, so that not all are in memory at once."""
    trouble: str
    cells: list[dict[str, Any]]
    exercise: str


def collect(
    place: Path, exercises: list[Exercise], build: Path
) -> tuple[str, list[Submission], int]:
    """Collect a batch into ``build/NAME/collected``, where NAME is the exercise.

    What was collected before stays: a student's later file replaces an earlier one if it can be
    graded.

    Parameters
    ----------
    place : pathlib.Path
        A folder, or a zip of a learning platform.
    exercises : list of Exercise
        The batch belongs to the one of which most notebooks are.
    build : pathlib.Path

    Returns
    -------
    str
        The exercise.
    list of Submission
        One for each student, also of earlier batches, by their ids; of several attempts the latest
        that can be graded.
    int
        How many of them are new or changed.

    Raises
    ------
    InvalidInputError
        If there is no such place, it is no zip, holds nothing, or no notebook of an exercise.
    """
    attempts: dict[str, list[_Attempt]] = {}
    for file in _files(place):
        attempts.setdefault(file.id, []).append(_read(file, exercises))
    if not attempts:
        raise InvalidInputError(f"nothing was handed in: {place} holds no file of a student")
    kinds = Counter(one.exercise for some in attempts.values() for one in some if one.exercise)
    if not kinds:
        known = ", ".join(exercise.name for exercise in exercises)
        files = [one for some in attempts.values() for one in some]
        found = "; ".join(f"{one.file.path}: {one.trouble}" for one in files[:_SHOWN])
        raise InvalidInputError(
            f"{place} holds no notebook of an exercise ({found}). Exercises are: {known}"
        )
    exercise = kinds.most_common(1)[0][0]
    folder = build / exercise / "collected"
    folder.mkdir(parents=True, exist_ok=True)
    before = {one.id: one for one in collected(folder)}
    now = {key: _later(before.get(key), _choose(attempts[key], exercise)) for key in attempts}
    changed = [one for key, one in now.items() if one != before.get(key)]
    for one in changed:
        with replacing(folder / f"{safe_name(one.id)}.json") as draft:
            draft.write_text(json.dumps(asdict(one)))
    every = before | now
    return exercise, [every[key] for key in sorted(every)], len(changed)


def _later(before: Submission | None, now: Submission) -> Submission:
    """Return the later one of two submissions, or the one that can be graded."""
    if before is None or before.order == now.order:
        return now
    first, last = sorted((before, now), key=lambda one: one.order)
    if first.refused or not last.refused:
        return last
    note = f"a later file was left out: {last.refused}"
    return replace(first, notes=[*(one for one in first.notes if one != note), note])


def collected(folder: Path) -> list[Submission]:
    """Return the submissions that `collect` wrote into a folder."""
    found = [Submission(**json.loads(path.read_text())) for path in folder.glob("*.json")]
    return sorted(found, key=lambda one: one.id)


def collected_since(folder: Path, file: Path) -> int:
    """Return how many submissions `collect` wrote after a file was written."""
    written = file.stat().st_mtime
    return sum(path.stat().st_mtime > written for path in folder.glob("*.json"))


def safe_name(text: str) -> str:
    """Return a file name that stands for this id alone, and leads nowhere else."""
    name = urllib.parse.quote(clean(text), safe="").replace(".", "%2E")
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _files(place: Path) -> Iterator[_File]:
    """Read all files of students, each within bounds, without unpacking anything to disk."""
    if place.is_dir():
        paths = sorted(path for path in place.rglob("*") if path.is_file())[:_MOST_FILES]
        names = _of_students([_parts(_readable(path.relative_to(place))) for path in paths])
        for path, parts in zip(paths, names, strict=True):
            size, when = path.stat().st_size, datetime.fromtimestamp(path.stat().st_mtime)
            small = size <= LARGEST and not path.is_symlink()
            data = path.read_bytes() if small and _is_notebook(path.name) else None
            time = f"{when:%Y-%m-%d %H:%M:%S}"
            yield from _file(parts, time, data, "" if small else _LARGE)
        return
    try:
        with zipfile.ZipFile(place) as archive:
            left = _MOST_BYTES
            entries = [one for one in archive.infolist()[:_MOST_FILES] if not one.is_dir()]
            names = _of_students([_parts(_decoded(entry)) for entry in entries])
            for entry, parts in zip(entries, names, strict=True):
                data, trouble = None, ""
                if _is_notebook(entry.filename):
                    try:
                        data = read_member(archive, entry.filename, min(LARGEST, left))
                        left -= len(data)
                    except BROKEN as error:
                        trouble = f"the file in the zip cannot be read: {error}"
                time = "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*entry.date_time)
                yield from _file(parts, time, data, trouble)
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{place} is neither a folder nor a zip: {error}") from error


def _readable(path: Path) -> str:
    """Return a path as text; names that are not UTF-8 come from an old Windows zip."""
    name = os.fsencode(path)
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("cp1252", "replace")


def _decoded(entry: zipfile.ZipInfo) -> str:
    """Return a name with its accents; some platforms do not declare that it is UTF-8."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(unicodedata.normalize("NFC", clean(path)).replace("\\", "/")).parts


def _of_students(names: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return paths that begin with a student's folder or notebook: one folder may hold all."""
    seen = [parts for parts in names if not _is_ignored(parts)]
    tops = {parts[0] for parts in seen}
    below = {parts[1] for parts in seen if len(parts) > 1 and _is_notebook(parts[-1])}
    if len(tops) != 1 or len(below) <= 1 or _MOODLE.fullmatch(tops.pop()):
        return names
    return [parts[1:] for parts in names]


def _is_notebook(name: str) -> bool:
    return name.lower().endswith(".ipynb")


def _is_ignored(parts: tuple[str, ...]) -> bool:
    """Return whether a file is the system's own."""
    return not parts or any(_IGNORED.fullmatch(part) for part in parts if part != "..")


def _file(parts: tuple[str, ...], time: str, data: bytes | None, trouble: str) -> Iterator[_File]:
    """Yield a file with the student that it belongs to, unless it is the system's own."""
    if _is_ignored(parts):
        return
    path = "/".join(parts)
    order = [time, 0, path]
    for part in parts[:-1]:
        if found := _MOODLE.fullmatch(part):
            yield _File(found["id"], found["name"], parts[-1], order, data, trouble)
            return
    if found := _CANVAS.fullmatch(parts[-1]):
        order[1] = int(found["attempt"])
        yield _File(found["id"], found["name"], found["file"], order, data, trouble)
        return
    folders = [part for part in parts[:-1] if part not in ("..", "/")]
    owner = folders[0] if folders else PurePosixPath(parts[-1]).stem
    yield _File(owner, owner, parts[-1], order, data, trouble)


def _read(file: _File, exercises: list[Exercise]) -> _Attempt:
    """Read a notebook without its outputs, and find the exercise that it answers."""
    if file.data is None:
        return _Attempt(file, file.trouble or _NO_NOTEBOOK, [], "")
    data, file = file.data, replace(file, data=None, trouble="")
    try:
        notebook = json.loads(data)
        cells = [_slim(cell) for cell in notebook["cells"]]
        language = clean(_language(notebook))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _Attempt(file, "the file is damaged: it is no notebook in JSON", [], "")
    names = {grade_id(cell) for cell in cells}
    best = max(exercises, key=lambda exercise: len(exercise.names & names))
    if not best.names & names:
        return _Attempt(file, "it is another notebook than a released exercise", cells, "")
    if language not in ("", "python"):
        return _Attempt(file, f"its language is {language}, not Python", cells, best.name)
    return _Attempt(file, "", cells, best.name)


def _slim(cell: dict[str, Any]) -> dict[str, Any]:
    kept = {"cell_type": cell.get("cell_type"), "source": source_of(cell)}
    return kept | {"metadata": {"nbgrader": {"grade_id": grade_id(cell)}}}


def _language(notebook: dict[str, Any]) -> str:
    """Return the kernel's language in small letters; a foreign name of a kernel says nothing."""
    metadata = notebook.get("metadata") or {}
    spec = metadata.get("kernelspec") or {}
    return str(
        spec.get("language") or (metadata.get("language_info") or {}).get("name") or ""
    ).lower()


def _choose(attempts: list[_Attempt], exercise: str) -> Submission:
    """Return the latest attempt that can be graded, or the latest with the reason why not."""
    attempts = sorted(attempts, key=lambda one: one.file.order)
    usable = [one for one in attempts if not one.trouble and one.exercise == exercise]
    notebooks = [one for one in attempts if one.trouble != _NO_NOTEBOOK]
    best = (usable or notebooks or attempts)[-1]
    trouble = best.trouble
    if not trouble and best.exercise != exercise:
        trouble = f"it is the exercise {best.exercise}, not {exercise}"
    notes = []
    if len(notebooks) > 1:
        notes.append(f"{len(notebooks)} files, graded: {best.file.path}")
    if usable and notebooks[-1] is not best:
        notes.append(f"a later file was left out: {notebooks[-1].trouble or 'another exercise'}")
    kept = [] if trouble else best.cells
    order = best.file.order
    return Submission(best.file.id, best.file.name, best.file.path, trouble, kept, notes, order)
