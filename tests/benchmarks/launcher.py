"""How long a page waits while eight others are made: ``python tests/benchmarks/launcher.py``.

It takes the practice cube, and the server of JupyterLab's tiles at a port. On two cores, 30
November 2026, in seconds: a page alone 0.6 to 0.7, eight pages asked for together 0.9 to 6.5, the
ninth 6.8, a file of another page meanwhile 0.6 at most; 721 MB.
"""

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from s2kit.course.launcher import QUERY, STATISTICS

ROOT = Path(__file__).parents[2]
PORT = "5999"
FILE = "static/js/bokeh.min.js"


def seconds(path: str) -> float:
    """Return how long an answer takes."""
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/s2kit/{path}", timeout=300) as answer:
        answer.read()
    return time.monotonic() - began


def wait(server: subprocess.Popen) -> None:
    """Wait until the server answers."""
    while server.poll() is None:
        try:
            seconds(FILE)
            return
        except urllib.error.URLError:
            time.sleep(0.1)


def measure(server: subprocess.Popen) -> None:
    """Print what pages take alone, and side by side."""
    for moment in ("first", "again"):
        print(f"{moment}: {seconds(QUERY):.1f} s, {seconds(STATISTICS):.1f} s")
    files, done = [], threading.Event()

    def ask_for_files() -> None:
        while not done.is_set():
            files.append(seconds(FILE))
            time.sleep(0.05)

    with ThreadPoolExecutor(10) as browsers:
        eight = [browsers.submit(seconds, name) for name in (QUERY, STATISTICS) * 4]
        time.sleep(0.3)
        browsers.submit(ask_for_files)
        ninth = seconds(QUERY)
        print("eight pages: " + ", ".join(f"{n:.1f}" for n in sorted(p.result() for p in eight)))
        done.set()
    print(f"ninth page: {ninth:.1f} s, a file of another page: {max(files):.1f} s at most")
    print(f"memory: {psutil.Process(server.pid).memory_info().rss / 1e6:.0f} MB")


if __name__ == "__main__":
    with subprocess.Popen(
        [sys.executable, "-m", "s2kit.course.launcher", PORT, "/s2kit"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as started:
        try:
            wait(started)
            measure(started)
        finally:
            started.terminate()
