"""Running a student's cells: limits, and what comes of each cell."""

import contextlib
import os
import subprocess
import sys
import time

import psutil
import pytest
from handed_in import ROOT

from tools.grading.exercise import Cell
from tools.grading.process import run_cells
from tools.grading.worker import Limits

LIMITS = Limits(cpu=1.5, idle=3, written=10**6, printed=10_000)


def answers(*sources):
    """Return cells of answers, each a task of its own, with a test after each."""
    cells = []
    for number, source in enumerate(sources):
        cells.append(Cell("answer", f"a{number}", source, f"a{number}"))
        cells.append(Cell("test", f"t{number}", f"assert x{number} == 1, 'wrong'", f"a{number}"))
    return cells


def errors(outcome):
    """Return the error of each test."""
    return [one.error for name, one in sorted(outcome.results.items()) if name[0] == "t"]


def test_each_cell_has_its_result(tmp_path):
    """Errors, messages and output are those of the cell; a syntax error stops nothing."""
    outcome = run_cells(
        answers("x0 = 1", "x1 = ", "x2 = 2\nprint('hello')"), tmp_path / "a", LIMITS
    )
    assert errors(outcome) == ["", "NameError", "AssertionError"]
    assert outcome.results["a1"].error == "SyntaxError"
    assert outcome.results["t2"].message == "wrong"
    assert outcome.results["a2"].printed == "hello\n"
    assert outcome.ended == {} and not outcome.dropped
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import os\nos._exit(0)", "died"),
        ("while True: pass", "time"),
        ("import time\ntime.sleep(1000)", "waits"),
        (
            "for n in range(9):\n    open(str(n), 'wb').write(bytes(500_000))\nwhile True: pass",
            "written",
        ),
    ],
)
def test_one_cell_stops_none_of_the_others(tmp_path, source, why):
    """Whatever a cell does to its process, the other tasks have their results, at its cost once."""
    began = time.monotonic()
    outcome = run_cells(answers("x0 = 1", source, "x2 = 1"), tmp_path / "a", LIMITS)
    found = errors(outcome)
    assert (found[0], found[2]) == ("", "") and found[1] != ""
    assert outcome.ended["a1"] == why
    assert time.monotonic() - began < 120


def test_the_exercise_keeps_its_names(tmp_path):
    """What a student binds changes no name of the exercise for its own cells, and the other way."""
    cells = [
        Cell("master", "m0", "given = [1]\nimport math", ""),
        Cell("answer", "a0", "given = x0 = 2\nmath = None\nmine = 5", "a0"),
        Cell("test", "t0", "mine, x0 = 7, 0\nassert given == [1] and math.pi > 3", "a0"),
        Cell("master", "m1", "later = given * 2", "a0"),
        Cell("answer", "a1", "x1 = (given, x0, math, mine, later)\ndel later", "a1"),
        Cell("test", "t1", "assert x1 == (2, 2, None, 5, [1, 1]) and later == [1, 1]", "a1"),
        Cell("answer", "a2", "x2 = given", "a2"),
        Cell("test", "t2", "assert x2 == 2", "a2"),
    ]
    outcome = run_cells(cells, tmp_path / "a", LIMITS)
    assert {name: one.error for name, one in outcome.results.items() if one.error} == {}
    assert outcome.changed == ["given", "later", "math"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of a parent's end")
def test_nothing_outlives_a_killed_batch(tmp_path):
    """Code that never ends is ended with the process that watches it, however that ends."""
    (tmp_path / "batch.py").write_text(
        "import os, pathlib, sys\n"
        "from tools.grading.exercise import Cell\n"
        "from tools.grading.process import run_cells\n"
        "from tools.grading.worker import Limits\n"
        'endless = \'import os\\nprint(open("../pid", "w").write(str(os.getpid())))\\n'
        "while True: pass'\n"
        "run_cells([Cell('answer', 'a', endless, 'a')], pathlib.Path(sys.argv[1]), Limits())\n"
    )
    command = [sys.executable, tmp_path / "batch.py", tmp_path / "work"]
    batch = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        pid = wait_for(lambda: (tmp_path / "pid").read_text())
        child = psutil.Process(int(pid))
    finally:
        batch.kill()
        batch.wait()
    assert psutil.wait_procs([child], timeout=30)[1] == []


def wait_for(read):
    """Return what is read once it is there."""
    for _ in range(600):
        with contextlib.suppress(FileNotFoundError):
            if text := read():
                return text
        time.sleep(0.1)
    raise TimeoutError


def test_output_is_bounded(tmp_path):
    """What is printed beyond the limit is dropped, and the answer counts."""
    outcome = run_cells(answers("print('y' * 10**7)\nx0 = 1"), tmp_path / "a", LIMITS)
    assert errors(outcome) == [""]
    assert outcome.dropped and len(outcome.results["a0"].printed) < 10_000


def test_students_do_not_see_each_other(tmp_path):
    """Names and files of one run are not there in the next."""
    run_cells(answers("x0 = secret = 1\nopen('file', 'w').close()"), tmp_path / "a", LIMITS)
    source = "import os\nx0 = 1 if not os.path.exists('file') and 'secret' not in globals() else 0"
    assert errors(run_cells(answers(source), tmp_path / "a", LIMITS)) == [""]
