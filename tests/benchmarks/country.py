"""A cube of a whole country's shape, nearly all of it empty, and how quickly it opens.

Run: ``python tests/benchmarks/country.py FOLDER [--source data/cube.zarr]``. The Netherlands at
10 m: 354 dates × 34 375 × 30 000 pixels. A window of 2048 × 2048 pixels holds the practice cube's
chunks again and again; where there is nothing, there are no files. Each different chunk is written
once, the others are hard links. Levels and metadata are made by the kit.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from s2kit.cube import commit, layout
from s2kit.cube.commit import State
from s2kit.cube.layout import LAYER, Profile, chunk_key
from s2kit.cube.overviews import CoarserTask, coarsen, nothing_present
from s2kit.cube.store import Store
from s2kit.grid import make_grid

ORBIT = 51
LAYERS = ("B02", "B03", "B04", "B08", "SCL")
STEPS = 354
FIRST = np.datetime64("2018-01-03T10:50:31", "s")
DAYS = 5
WINDOW = (slice(280, 312), slice(140, 172))
"""Rows and columns of chunks: RD x 89 600 … 110 080 m, y 444 070 … 464 550 m."""

TILES = ("31UES", "31UET", "31UFS", "31UFT", "31UFU", "31UGS", "31UGT", "31UGU")


def make_country(path, source="data/cube.zarr"):
    """Write the cube to a new place, from the orbit 51 of a practice cube."""
    place, origin = Store(path), Store(source)
    taken = commit.read_state(origin)
    profile = Profile(
        make_grid("netherlands"), LAYERS, "bilinear", taken.profile.chunks, overviews=True
    )
    commit.create(place, State(profile, True, {}))
    with place.lock() as word, ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = [
            [CoarserTask(place, profile, ORBIT, layer, chunk, steps, _present(profile), ".", word)
             for chunk, steps in _time_chunks(profile)]
            for layer in LAYERS
        ]  # fmt: skip
        list(pool.map(_write_base, tasks, itertools.repeat(origin), itertools.repeat(taken)))
        list(pool.map(coarsen, itertools.chain(*tasks)))
        orbit = commit.Orbit(_timeline(taken.orbits[ORBIT].timeline, profile.chunks[0]))
        commit.commit(place, State(profile, True, {ORBIT: orbit}), ORBIT, keep=0)
    return Path(path)


def _time_chunks(profile):
    depth = profile.chunks[0]
    return [(n, min(depth, STEPS - n * depth)) for n in range(-(-STEPS // depth))]


def _present(profile):
    present = nothing_present(profile)
    present[WINDOW] = True
    return present


def _write_base(tasks, origin, state):
    """Write the window of one layer: what is whole in the practice cube, in space and time."""
    sizes = zip(state.profile.grid.shape, state.profile.chunks[1:], strict=True)
    high, wide = (n // size for n, size in sizes)
    written = {}
    for task in tasks:
        for row, col in np.argwhere(task.present):
            key = chunk_key(ORBIT, task.layer, (task.chunk, row, col), task.separator)
            taken = (task.steps, row % high, col % wide)
            if taken in written:
                task.store.copy(written[taken], key)
                continue
            index = (0, *taken[1:])
            data = origin.read(chunk_key(ORBIT, task.layer, index, state.orbits[ORBIT].separator))
            values = layout.decode(data, LAYER[task.layer], task.profile.chunks).copy()
            values[task.steps :] = LAYER[task.layer].nodata
            task.store.write(key, layout.encode(values))
            written[taken] = key


def _timeline(taken, depth):
    """Give the coordinates along time: those of the dates that the chunks were taken from."""
    steps = np.arange(STEPS)
    timeline = {name: values[steps % depth] for name, values in taken.items()}
    starts = FIRST + steps * np.timedelta64(DAYS, "D")
    timeline["time"] = starts.astype("i8")
    names = [_products(str(start), number) for number, start in enumerate(starts)]
    return timeline | {"products": np.array(names, "O"), "failed": np.full(STEPS, "", "O")}


def _products(start, number):
    moment = re.sub("[-:]", "", start)
    satellite = "AB"[number % 2]
    return " ".join(
        f"S2{satellite}_MSIL2A_{moment}_N0500_R{ORBIT:03d}_T{tile}_{moment[:8]}T180000"
        for tile in TILES
    )


OPENINGS = {
    "open_cube": "s2kit.open_cube(store)",
    "open_cube, level 3": "s2kit.open_cube(store, level=3)",
    "open_cube, dask=False": "s2kit.open_cube(store, dask=False)",
    "levels_of": "levels_of(s2kit.open_cube(store))",
    "all of one date, level 6": "levels_of(s2kit.open_cube(store))[6].B04[-1].values",
}

_CHILD = """
import re, sys, time
from pathlib import Path
import s2kit
from s2kit.cube.opening import levels_of
store = sys.argv[1]
def memory():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
before, begin = memory(), time.perf_counter()
opened = eval(sys.argv[2])
print(f"{time.perf_counter() - begin:.2f} | {memory():.0f} | {memory() - before:.0f}")
"""


def main():
    """Make the cube, if it is not there, and print how long it takes to open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", default="data/cube.zarr")
    options = parser.parse_args()
    if not options.folder.exists():
        begin = time.perf_counter()
        make_country(options.folder, options.source)
        print(f"made in {time.perf_counter() - begin:.0f} s")
    print("| | seconds | peak MB | of these by opening |\n|---|---|---|---|")
    for what, code in OPENINGS.items():
        command = [sys.executable, "-c", _CHILD, str(options.folder), code]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"| {what} | {done.stdout.strip()} |", flush=True)


if __name__ == "__main__":
    main()
