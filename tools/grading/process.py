"""Watch the process that runs a student's cells; end it beyond its limits, and go on without it."""

import contextlib
import json
import os
import select
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tools.grading import worker
from tools.grading.exercise import Cell, clean
from tools.grading.worker import Limits

_LATE = 5
"""Seconds beyond the computing time after which code that does not stop itself is ended."""
_AWAKE = 0.05
"""Share of a processor below which a process only waits."""
_LOOK = 0.2
"""Seconds between two looks at the process."""


@dataclass(frozen=True)
class Result:
    """What came of a cell."""

    error: str
    """Name of the error; empty if there was none, ``blocked`` if it was not run to its end."""
    message: str
    printed: str


@dataclass
class Outcome:
    """What came of all cells of a student."""

    results: dict[str, Result]
    ended: dict[str, str]
    """Cells that ended their process or their time, and why: ``died``, ``time`` and so on."""
    dropped: bool
    """Whether output was dropped."""
    changed: list[str]
    """Names of the exercise to which the student's code gave other values."""


def run_cells(cells: list[Cell], folder: Path, limits: Limits) -> Outcome:
    """Run cells in a process of their own; where a cell ends it, run the others in a new one.

    Parameters
    ----------
    cells : list of Cell
    folder : pathlib.Path
        Made anew for each process, and removed.
    limits : Limits
    """
    blocked: dict[str, str] = {}
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        attempt = _Attempt(cells, blocked, folder, limits)
        attempt.watch()
        shutil.rmtree(folder, ignore_errors=True)
        ended = {name for name, one in attempt.results.items() if one.message == "time"}
        blocked |= {name: "time" for name in ended if attempt.results[name].error == "blocked"}
        last = attempt.running
        if last is None or last in blocked or _kind(cells, last) == "master":
            if last is not None:
                attempt.results[last] = Result("blocked", attempt.reason, "")
                blocked[last] = attempt.reason
            dropped = attempt.printed > limits.printed
            return Outcome(attempt.results, blocked, dropped, attempt.changed)
        blocked |= _stopped(cells, last, attempt.reason)


def _stopped(cells: list[Cell], name: str, reason: str) -> dict[str, str]:
    """Return what is not run again: the cell, and if it takes too long the rest of its task."""
    if reason == "died":
        return {name: reason}
    at = next(number for number, cell in enumerate(cells) if cell.name == name)
    same = [c for c in cells[at:] if c.task == cells[at].task and c.kind != "master"]
    return {cell.name: reason for cell in same}


def _kind(cells: list[Cell], name: str) -> str:
    return next((cell.kind for cell in cells if cell.name == name), "master")


class _Attempt:
    """One process that runs cells until it ends."""

    def __init__(
        self, cells: list[Cell], blocked: dict[str, str], folder: Path, limits: Limits
    ) -> None:
        self.folder, self.limits = folder, limits
        self.results: dict[str, Result] = {}
        self.running: str | None = "start"
        self.reason = "died"
        self.printed = 0
        self.changed: list[str] = []
        self._left: float | None = None
        self._pipe, send = os.pipe()
        # Safe although Python warns: the only threads here are those of BLAS and of Arrow's
        # allocator, both of which prepare for a fork. All that computes, computes in the child.
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.setsid()
                os.chdir(folder)
                worker.run(cells, blocked, limits, send)
                os.write(send, b'{"done": true}\n')
                status = 0
            finally:
                os._exit(status)
        os.close(send)
        self._process = psutil.Process(self._pid)

    def watch(self) -> None:
        """Read what the process sends until it ends, or is ended."""
        rest = b""
        self._mark()
        try:
            while True:
                ready, _, _ = select.select([self._pipe], [], [], _LOOK)
                if ready:
                    data = os.read(self._pipe, 2**16)
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._take(json.loads(line))
                    if not data or self.running is None:
                        return
                elif os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    return
                elif reason := self._exceeded():
                    self.reason = reason
                    return
        finally:
            os.close(self._pipe)
            self._end()

    def _take(self, message: dict[str, Any]) -> None:
        if "begin" in message:
            self.running, self._left = message["begin"], message["left"]
            self._mark()
        elif "end" in message:
            keys = ("error", "message", "printed")
            self.results[message["end"]] = Result(*(clean(message[key]) for key in keys))
            self.printed = message.get("total", self.printed)
            self.changed = message.get("changed", self.changed)
            self.running = "between"
        else:
            self.running = None

    def _mark(self) -> None:
        self._began = self._seen = self._computed()
        self._since = time.monotonic()

    def _computed(self) -> float:
        """Return the computing time of the process and all that it started."""
        total = 0.0
        with contextlib.suppress(psutil.Error):  # it has just ended
            total += sum(self._process.cpu_times()[:4])
            for child in self._process.children(recursive=True):
                total += sum(child.cpu_times()[:2])
        return total

    def _exceeded(self) -> str:
        """Return which limit the running cell is beyond, or an empty text."""
        now, computed = time.monotonic(), self._computed()
        if self._left is not None and computed - self._began > self._left + _LATE:
            return "time"
        if now - self._since > self.limits.idle:
            if computed - self._seen < _AWAKE * (now - self._since):
                return "waits"
            self._seen, self._since = computed, now
        files = (Path(base) / name for base, _, names in os.walk(self.folder) for name in names)
        if sum(path.lstat().st_size for path in files if path.exists()) > self.limits.written:
            return "written"
        return ""

    def _end(self) -> None:
        """End the process and its whole group."""
        with contextlib.suppress(ProcessLookupError):  # it ended before it had a group
            os.killpg(self._pid, signal.SIGKILL)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
