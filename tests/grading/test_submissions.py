"""A class hands in what classes hand in: each ends in exact marks, a status and a message."""

import csv
import html
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handed_in
import psutil
import pytest
from handed_in import ROOT, add, notebook, with_cell, with_edited, without

import s2kit
from s2kit import course

pytestmark = pytest.mark.slow

POINTS = {
    "days-count": 2,
    "ndvi-formula": 2,
    "ndvi-elsewhere": 2,
    "map-of-mean": 2,
    "map-of-deviation": 2,
    "effect-of-mask": 2,
    "why": 3,
    "drops-of-place": 3,
    "drops-with-gaps": 2,
}
DAYS, FORMULA = {"days-count"}, {"ndvi-formula", "ndvi-elsewhere"}
EFFECT, DROPS = {"effect-of-mask"}, {"drops-of-place", "drops-with-gaps"}
MAPS = {"map-of-mean", "map-of-deviation"}
ALL = DAYS | FORMULA | MAPS | EFFECT | DROPS

FOREVER = "while True:\n    pass"
STUBBORN = """while True:
    try:
        sum(range(1000))
    except BaseException:
        pass"""
SLEEP = "import time\ntime.sleep(1e6)"


@dataclass(frozen=True)
class Case:
    """A student with what was handed in, and what must come of it."""

    name: str
    files: dict[str, Any]
    gained: set[str] | None
    """Questions with all points; None if it is not graded."""
    says: str = ""
    """A part of the status or of the notes."""
    unread: bool = False


def one(name: str, made: Any, gained: set[str] | None = ALL, says: str = "", **more: Any) -> Case:
    """Return a student with one notebook of the right name."""
    return Case(name, {"03_ndvi_statistics.ipynb": made}, gained, says, **more)


def passing(effects: dict[int, float]) -> list[Case]:
    """Return the students whose answers are right, whatever was done to the notebook."""
    spare = {"nbgrader": {"grade_id": "days", "solution": True}}
    text = with_edited(notebook("101"), {"why": "Clouds are near 0."})
    copied = with_cell(notebook("105"), "days", "days = None\n# Your answer goes here.", spare)
    helper = notebook("106", ndvi_function="def ndvi(scene):\n    return helper(scene)")
    formula = "def helper(s):\n    return (s.B08 - s.B04) / (s.B08 + s.B04)"
    loud = 'for _ in range(1000):\n    print("x" * 100_000)\n' + handed_in.solutions()["days"]
    child = "import subprocess\nsubprocess.Popen(['sleep', '98765'])\n"
    edited = {"setup": "cube = clear = None", "days-count": "1 / 0", "title": "# Mine"}
    kernel = {"kernelspec": {"name": "my-env", "display_name": "Mine", "language": "python"}}
    fat = notebook("112")
    fat["cells"][-3]["outputs"] = [{"output_type": "stream", "text": "x" * 120 * 2**20}]
    foreign = f"effect = {effects[111]!r}"
    both = {"a.ipynb": notebook("113", ()), "b.ipynb": notebook("113")}
    long = with_edited(notebook("117"), {"why": "Half a character: \ud800. " + "x" * 200_000})
    values = 'other = s2kit.index(cube, "NDVI").where(clear)\n'
    maps = 'mean_map = other.mean("time")\nstd_map = other.std("time")'
    names = notebook("118", days=values + handed_in.solutions()["days"], maps=maps)
    return [
        one("Zoë Ångström", text, unread=True),
        one("Edited Locked", with_edited(notebook("102"), edited)),
        one("Deleted Tests", without(notebook("103"), *POINTS, "setup", "look")),
        one("No Metadata Title", without(notebook("104"), "title", "end")),
        one("Duplicated Answer", copied, says="days: 2 copies"),
        one("Own Cell", with_cell(helper, "ndvi-function", formula, {})),
        one("Loud", notebook("107", days=loud), says="printed too much"),
        one("Left A Child", notebook("108", days=child + handed_in.solutions()["days"])),
        Case("Renamed", {"my ndvi (1).ipynb": notebook("109")}, ALL),
        one("Foreign Kernel", notebook("110") | {"metadata": kernel}),
        one("Own Numbers", notebook("111", effect=f"effect = {effects[111]!r}")),
        one("Fat File", fat),
        Case("Two Attempts", both, ALL, "2 files, graded: b.ipynb"),
        Case("Later Broken", {"a.ipynb": notebook("114"), "b.ipynb": b"{"}, ALL, "left out"),
        one("Other Number", notebook("s999")),
        one("Copied All", notebook("111", effect=foreign), ALL - EFFECT, "same student number"),
        one("Long Text", long, unread=True),
        one("Names Of The Tests", names),
    ]


def losing(effects: dict[int, float]) -> list[Case]:
    """Return the students who lose points, and those who cannot be graded."""
    wrong = {
        "days": "days = cube.sizes['time']",
        "ndvi_function": "def ndvi(s):\n    return (s.B04 - s.B08) / (s.B08 + s.B04)",
        "maps": "mean_map = std_map = cube.B08",
        "effect": "effect = -1.0",
        "drops_function": "def sudden_drops(series, least):\n    return series.time",
    }
    passed = dict.fromkeys(set(POINTS) - {"why"}, "pass")
    language = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    other = {"cells": [{"cell_type": "code", "source": "1", "metadata": {}}], "metadata": {}}
    spoilt = "days = s2kit.clear_mask(middle).sum()\ncube = None"
    foreign = f"effect = {effects[111]!r}"
    cheating = with_cell(notebook("215"), "days-text", "clear = clear | True", {})
    return [
        one("Empty", notebook("201", ()), set()),
        one("Partial", notebook("202", ("days", "maps")), DAYS | MAPS),
        one("Wrong", with_edited(notebook("203", **wrong), passed), set()),
        one("Deleted Answer", without(notebook("204"), "days"), ALL - DAYS, "deleted: days"),
        one("Syntax", notebook("205", ndvi_function="def ndvi(:"), ALL - FORMULA),
        one("Foreign Numbers", notebook("206", effect=foreign), ALL - EFFECT),
        one("Spoilt Name", notebook("207", days=spoilt), DAYS | FORMULA | DROPS, "exercise (cube)"),
        one("Asks", notebook("208", days="days = input()"), ALL - DAYS),
        one("Exits", notebook("209", days="import sys\nsys.exit(0)"), ALL - DAYS),
        one("Broken", b'{"cells": [', None, "damaged"),
        one("Nothing", b"", None, "damaged"),
        one("Speaks R", notebook("212") | {"metadata": language}, None, "language is r"),
        one("Other Notebook", other, None, "another notebook"),
        Case("Essay", {"essay.pdf": b"%PDF"}, None, "no notebook"),
        one("Says All Is Clear", cheating, ALL - MAPS - EFFECT, "exercise (clear)"),
        one("Half A Character", notebook("216", days='raise ValueError("\ud800")'), ALL - DAYS),
    ]


def stopped() -> list[Case]:
    """Return the students whose code has to be stopped, or ends Python."""
    dead = "import os\nos._exit(0)"
    endless = "def sudden_drops(series, least):\n    while True:\n        pass"
    huge = "import numpy as np\neffect = np.ones(10**9).sum()"
    written = "with open('big', 'wb') as file:\n    file.truncate(6 * 10**8)"
    return [
        one("Dead", notebook("301", ndvi_function=dead), ALL - FORMULA, "ended"),
        one("Loop", notebook("302", effect=FOREVER), ALL - EFFECT, "effect: This took too long"),
        one("Loop In Function", notebook("303", drops_function=endless), ALL - DROPS, "too long"),
        one("Stubborn Loop", notebook("304", effect=STUBBORN), ALL - EFFECT, "too long"),
        one("Sleeps", notebook("305", effect=SLEEP), ALL - EFFECT, "waited"),
        one("Eight Gigabytes", notebook("306", effect=huge), ALL - EFFECT),
        one("Writes", notebook("307", days=written), ALL - DAYS),
    ]


@pytest.fixture(scope="module")
def store(practice_cube, shared_folder):
    """Return the place of the practice cube."""
    return str(shared_folder / "practice.zarr")


@pytest.fixture(scope="module")
def cases(store):
    """Return all students by the LMS's id."""
    cube = course.student_cube(store, "111", year=2022)
    ndvi, clear = s2kit.index(cube, "NDVI"), s2kit.clear_mask(cube)
    effect = float((ndvi.std("time") - ndvi.where(clear).std("time")).median())
    effects = {111: effect}
    batches = {101: passing(effects), 201: losing(effects), 301: stopped()}
    return {key: case for first, some in batches.items() for key, case in enumerate(some, first)}


def command(*words: Any) -> subprocess.CompletedProcess:
    """Run a command of the grading."""
    line = [sys.executable, "-m", "tools.grading", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=1800)


@dataclass
class Batch:
    """What came of a batch."""

    folder: Path
    rows: dict[str, dict[str, str]]
    """The lines of ``marks.csv`` by id."""
    status: int
    """Exit status of grading."""


@pytest.fixture(scope="module")
def graded(cases, store, tmp_path_factory):
    """Return a function that grades the batch of a student: a hundred of ids, once."""
    done: dict[int, Batch] = {}

    def grade(key: int) -> Batch:
        hundred = key // 100
        if hundred not in done:
            chosen = {key: case for key, case in cases.items() if key // 100 == hundred}
            done[hundred] = grade_all(chosen, store, tmp_path_factory.mktemp("grading"))
        return done[hundred]

    return grade


def grade_all(cases: dict[int, Case], store: str, folder: Path) -> Batch:
    """Collect, grade and write feedback, as an instructor does with the zip of Moodle."""
    with zipfile.ZipFile(folder / "class.zip", "w") as archive:
        for key, case in cases.items():
            for number, (file, made) in enumerate(case.files.items()):
                place = f"{case.name}_{key}_assignsubmission_file_/{file}"
                add(archive, place, made, 2020 + number)
    build = "--build", folder / "build"
    done = command(*build, "collect", folder / "class.zip")
    assert done.returncode == 0, done.stderr
    began = time.monotonic()
    done = command(*build, "grade", "--store", store, "--cpu", 10, "--idle", 20)
    print(f"{len(cases)} submissions in {time.monotonic() - began:.0f} s", done.stdout, done.stderr)
    assert command(*build, "feedback").returncode == 0
    result = folder / "build/03_ndvi_statistics"
    with (result / "marks.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    return Batch(result, rows, done.returncode)


def test_the_cube_is_there(store):
    """The class's cube exists before any student is graded."""
    assert s2kit.open_cube(store).sizes["time"] > 40


@pytest.mark.parametrize("hundred", [100, 200, 300])
def test_there_is_a_line_for_each_student(cases, graded, hundred):
    """Nobody is lost, and the exit status says how many are not graded."""
    batch = {str(key): case for key, case in cases.items() if key // 100 == hundred // 100}
    found = graded(hundred)
    assert sorted(found.rows) == sorted(batch)
    assert found.status == sum(case.gained is None for case in batch.values())


@pytest.mark.parametrize("key", [*range(101, 119), *range(201, 217), *range(301, 308)])
def test_marks_are_exact(cases, graded, key):
    """Points by question, the total, the status and the note are those of what was handed in."""
    case, row = cases[key], graded(key).rows[str(key)]
    columns = {name: row[f"{name} ({points})"] for name, points in POINTS.items()}
    assert row["name"] == case.name
    assert case.says in row["status"] + row["notes"]
    if case.gained is None:
        assert row["status"].startswith("not graded: ")
        assert row["total"] == "" and set(columns.values()) == {""}
        return
    expected = {name: str(POINTS[name] if name in case.gained else 0) for name in POINTS}
    total = str(sum(POINTS[name] for name in case.gained))
    if case.unread:
        expected["why"] = total = ""
    assert columns == expected
    assert row["status"] == ("graded, texts unread" if case.unread else "graded")
    assert row["total"] == total


def test_nothing_is_left_running(graded):
    """What a student's code started is ended with it."""
    assert graded(108).rows
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "98765"] not in lines


def test_there_is_a_small_page_for_each_student(cases, graded):
    """Each student gets feedback, however much was printed."""
    folders = [graded(hundred).folder / "feedback" for hundred in (100, 200, 300)]
    pages = {path.stem: path.stat().st_size for folder in folders for path in folder.iterdir()}
    assert sorted(pages) == [str(key) for key in cases]
    assert max(pages.values()) < 50_000


def test_feedback_holds_no_hidden_test_and_no_solution(graded):
    """No line of a hidden test is on any page, and no solution on that of who did not write it."""
    hidden = handed_in.secret_lines(handed_in.SOURCE, "HIDDEN TESTS")
    solved = handed_in.secret_lines(handed_in.SOURCE, "SOLUTION")
    assert len(hidden) > 10 and len(solved) > 5
    folders = [graded(hundred).folder / "feedback" for hundred in (100, 200, 300)]
    for path in (path for folder in folders for path in folder.iterdir()):
        page = html.unescape(path.read_text())
        assert [line for line in hidden if line in page] == []
        if path.stem in ("201", "203"):
            assert [line for line in solved if line in page] == []


def test_hints_reach_the_feedback(graded):
    """Who made a usual mistake reads the check's hint, and who ran out of memory that it did."""
    wrong = (graded(203).folder / "feedback/203.html").read_text()
    assert "The bands are swapped" in wrong and "That is the number of overpasses" in wrong
    assert "more memory than there is" in (graded(306).folder / "feedback/306.html").read_text()


def test_points_for_texts_complete_the_total(graded):
    """A person's points for a text are added by `feedback`, with the comment."""
    folder = graded(101).folder
    with (folder / "texts.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["question"]) for row in rows] == [("101", "why"), ("117", "why")]
    assert len(rows[1]["answer"]) < 32_767  # the most that a cell of a spreadsheet holds
    with (folder / "texts.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerow(rows[0] | {"points": "2,5", "comment": "Which land changes more?"})
    assert command("--build", folder.parent, "feedback").returncode == 0
    with (folder / "marks.csv").open(newline="", encoding="utf-8-sig") as file:
        row = next(row for row in csv.DictReader(file) if row["id"] == "101")
    assert (row["why (3)"], row["total"], row["status"]) == ("2.5", "19.5", "graded")
    assert "Which land changes more?" in (folder / "feedback/101.html").read_text()
