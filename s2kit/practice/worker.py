"""A process that writes overpasses; the main process starts as many as there are cores.

It is started as a program, not with multiprocessing, which would run the caller's own script
again or copy a notebook kernel's threads.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple
from datetime import date
from pathlib import Path

from s2kit.practice.imaging import observe
from s2kit.practice.landscape import landscape
from s2kit.practice.overpasses import Overpass
from s2kit.practice.product_files import write_product
from s2kit.practice.products import products


def start(chosen: Sequence[Overpass], scenes: Path, done: Callable[[], object]) -> None:
    """Run a worker to its end; ``done`` is called after each overpass."""
    command = [sys.executable, "-c", f"from {__name__} import work; work()", str(scenes)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        json.dump([astuple(overpass) for overpass in chosen], process.stdin, default=str)
        process.stdin.close()
        for _ in process.stdout:
            done()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def work() -> None:
    """Write the overpasses named on standard input into the folder named as argument."""
    scenes, land = Path(sys.argv[1]), landscape()
    for day, orbit, sky in json.load(sys.stdin):
        overpass = Overpass(date.fromisoformat(day), orbit, sky)
        observed = observe(land, overpass)
        for product in products(overpass):
            write_product(product, observed, scenes)
        print(day, flush=True)
