"""A cube of a whole country's shape, nearly all of it empty, and how quickly it opens.

Run: ``python tests/benchmarks/country.py FOLDER [--source data/cube.zarr]``. The Netherlands at
10 m: 354 dates × 34 375 × 30 000 pixels. A window of 2040 × 2040 pixels repeats the practice cube;
where there is nothing, there are no files. Each different chunk is written once, the others are
hard links. Levels, manifest and metadata are made by the kit.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections import ChainMap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr

from s2kit.cube.build_options import default_chunks
from s2kit.cube.codec import encode
from s2kit.cube.commit import commit, create
from s2kit.cube.ingest import Target
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.lock import lock
from s2kit.cube.manifest import by_time_chunk, empty_manifest, entry_of
from s2kit.cube.model import CubeSpec, Orbit, State
from s2kit.cube.overviews import CoarserTask, coarsen, nothing_present
from s2kit.cube.state import read_state
from s2kit.cube.storage import open_store
from s2kit.grid import make_grid

ORBIT = 51
LAYERS = ("B02", "B03", "B04", "B08", "SCL")
STEPS = 354
FIRST = np.datetime64("2018-01-03T10:50:31", "s")
DAYS = 5
WINDOW = (slice(149, 166), slice(75, 92))
"""Rows and columns of chunks: RD x 90 000 … 110 400 m, y 444 550 … 464 950 m."""

TILES = ("31UES", "31UET", "31UFS", "31UFT", "31UFU", "31UGS", "31UGT", "31UGU")


def make_country(path, source="data/cube.zarr"):
    """Write the cube to a new place, from the orbit 51 of a practice cube."""
    place, taken = open_store(path), read_state(open_store(source))
    grid = make_grid("netherlands")
    spec = CubeSpec(grid, LAYERS, "bilinear", default_chunks(grid), overviews=True)
    pixels = xr.open_zarr(source, group=f"S2/R{ORBIT:03d}", mask_and_scale=False)
    create(place, State(spec, True, {}))
    with lock(place) as lock_token, ThreadPoolExecutor(os.cpu_count()) as pool:
        target = Target(place, spec, ORBIT, ".", lock_token)
        tasks = [
            CoarserTask(target, layer, chunk, steps, _present(spec))
            for layer in LAYERS
            for chunk, steps in _time_chunks(spec)
        ]
        base = pool.map(lambda task: _write_base(task, pixels[task.layer].values), tasks)
        written = dict(ChainMap(*base, *pool.map(coarsen, tasks)))
        new = by_time_chunk(written, LAYERS, range(len(_time_chunks(spec))))
        empty = empty_manifest(LAYERS, spec.chunk_grids)
        manifest, tables = empty.changed(0, new, spec.chunk_grids)
        timeline = _timeline(taken.orbits[ORBIT].timeline, spec.chunks[0])
        state = State(spec, True, {ORBIT: Orbit(timeline, manifest)})
        commit(place, state, ORBIT, keep=0, tables=tables, written=written, moves=False)
    return Path(path)


def _time_chunks(spec):
    depth = spec.chunks[0]
    return [(n, min(depth, STEPS - n * depth)) for n in range(-(-STEPS // depth))]


def _present(spec):
    present = nothing_present(spec)
    present[WINDOW] = True
    return present


def _write_base(task, pixels):
    """Write the window of one layer in one time chunk: the first dates of the practice cube."""
    _, high, wide = task.target.spec.chunks
    down, across = (n // size for n, size in zip(pixels.shape[1:], (high, wide), strict=True))
    keys, written = {}, {}
    for row, col in np.argwhere(task.present):
        key = task.target.key(task.layer, (task.chunk, row, col))
        y, x = row % down, col % across
        if (y, x) in keys:
            task.target.store.copy(keys[y, x], key)
            written[key] = written[keys[y, x]]
            continue
        values = np.full(task.target.spec.chunks, LAYER_SPECS[task.layer].nodata, pixels.dtype)
        window = np.s_[: task.steps, y * high : (y + 1) * high, x * wide : (x + 1) * wide]
        values[: task.steps] = pixels[window]
        data = encode(values)
        task.target.store.put(key, data)
        keys[y, x], written[key] = key, entry_of(data)
    return written


def _timeline(taken, depth):
    """Return the coordinates along time: those of the dates that the chunks were taken from."""
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
from s2kit.cube.open import levels_of
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
