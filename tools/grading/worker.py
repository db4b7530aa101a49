"""Run the cells of one student, in a process that was forked for it."""

import ctypes
import io
import json
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tools.grading.exercise import Cell

_SHOWN = 4000
"""Characters of a cell's output that are kept."""
_MESSAGE = 500
"""Characters of an error's message that are kept."""
_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: which signal a process gets when its parent ends."""
_NOTHING = object()


@dataclass(frozen=True)
class Limits:
    """What one student's code may use."""

    cpu: float = 60
    """Seconds of computing for a task: the answer, the cells around it and its tests."""
    idle: float = 60
    """Seconds of waiting, with hardly any computing, after which it is ended."""
    memory: int = 6 * 2**30
    """Bytes of address space."""
    written: int = 500 * 2**20
    """Bytes of files."""
    printed: int = 10 * 2**20
    """Bytes of output; what is beyond is dropped, and noted."""


class OutOfTimeError(BaseException):
    """The task's computing time is used up; not an Exception, which answers may catch."""


class Output(io.TextIOBase):
    """Standard output of the student's code: it keeps the beginning of each cell's."""

    def __init__(self) -> None:
        self.kept = ""
        self.total = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Keep the first characters and count the others."""
        self.total += len(text)
        self.kept += text[: _SHOWN - len(self.kept)]
        return len(text)


def run(cells: list[Cell], blocked: dict[str, str], limits: Limits, send: int) -> None:
    """Run the cells in order, and send what comes of each, a line of JSON before and after it.

    Parameters
    ----------
    cells : list of Cell
    blocked : dict of str to str
        Cells that are not run, by name, and why: they ended an earlier process.
    limits : Limits
    send : int
        Descriptor of a pipe.
    """
    _confine(limits)
    output = Output()
    sys.stdout = sys.stderr = output
    session = _Session()
    signal.signal(signal.SIGPROF, _out_of_time)
    used: dict[str, float] = {}
    for cell in cells:
        output.kept = ""
        counted = cell.kind != "master"
        left = limits.cpu - used.get(cell.task, 0.0)
        reason = blocked.get(cell.name, "")
        if counted and left <= 0:
            reason = reason or "time"
        if reason:
            _send(send, {"end": cell.name, "error": "blocked", "message": reason, "printed": ""})
            continue
        _send(send, {"begin": cell.name, "left": left if counted else None})
        began = time.process_time()
        error = session.execute(cell, left if counted else 0)
        if counted:
            spent = time.process_time() - began
            late = isinstance(error, OutOfTimeError)
            used[cell.task] = used.get(cell.task, 0.0) + (limits.cpu if late else spent)
        result = {"end": cell.name, "printed": output.kept, "total": output.total}
        _send(send, result | {"changed": sorted(session.changed)} | _described(error))


def _confine(limits: Limits) -> None:
    """Limit memory and files, write nothing into the home folder, and end with the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.written, limits.written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    folder = str(Path.cwd() / ".ipython")
    os.environ |= {"IPYTHONDIR": folder, "MPLBACKEND": "Agg", "PIP_NO_INDEX": "1"}


class _Shell(InteractiveShell):
    """An IPython that runs cells as a notebook does."""

    def showtraceback(self, *args: Any, **options: Any) -> None:
        """Print nothing: a traceback quotes the tests."""

    def showsyntaxerror(self, *args: Any, **options: Any) -> None:
        """Print nothing."""


class _Session:
    """An IPython without a history, in which the exercise's own cells find their own names.

    ``changed`` are names of the exercise to which the student's code has given other values.
    """

    def __init__(self) -> None:
        self._shell = _Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        self._names: dict[str, Any] = self._shell.user_ns
        self._given: dict[str, Any] = {}
        self.changed: set[str] = set()

    def execute(self, cell: Cell, seconds: float) -> BaseException | None:
        """Run a cell; return its error.

        Cells of the exercise see what its earlier cells have bound, whatever the student did to
        these names. What a test binds is gone after it.
        """
        if cell.kind not in ("master", "test"):
            return _execute(self._shell, cell.source, seconds)
        names, given = self._names, self._given
        others = {name: names.get(name, _NOTHING) for name in given}
        others = {name: value for name, value in others.items() if value is not given[name]}
        self.changed |= others.keys()
        names.update(given)
        before = dict(names)
        error = _execute(self._shell, cell.source, seconds)
        if cell.kind == "test":
            names.clear()
            names.update(before)
        else:
            bound = {key for key in names if names[key] is not before.get(key, _NOTHING)}
            given |= {key: names[key] for key in bound if not key.startswith("_")}
            others = {key: value for key, value in others.items() if key not in bound}
        for key, value in others.items():
            if value is _NOTHING:
                del names[key]
            else:
                names[key] = value
        return error


def _out_of_time(number: int, frame: Any) -> None:
    raise OutOfTimeError


def _execute(shell: Any, source: str, seconds: float) -> BaseException | None:
    """Run a cell; return its error. The timer counts computing time of all threads."""
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        done = shell.run_cell(source, silent=True)
    except BaseException as error:
        return error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return done.error_before_exec or done.error_in_exec


def _described(error: BaseException | None) -> dict[str, str]:
    if error is None:
        return {"error": "", "message": ""}
    if isinstance(error, OutOfTimeError):
        return {"error": "blocked", "message": "time"}
    try:
        message = str(error)[:_MESSAGE]
    except Exception:
        message = ""
    return {"error": type(error).__name__, "message": message}


def _send(pipe: int, message: dict[str, Any]) -> None:
    data = (json.dumps(message) + "\n").encode()
    while data:
        data = data[os.write(pipe, data) :]
