"""Which chunk shape: how a cube is made, kept and read with each, on disk and over http.

Run: ``python tests/benchmarks/chunks.py [CUBE] [--before CHECKOUT]`` on a practice cube (``make
cube``). Every row is measured in processes of its own, one after the other, after a first small
build that imports and compiles. ``--before`` adds a row with the kit of another checkout. Every
store has a new name, and is deleted at the end: ext4 is slow to use again what was just deleted.

Made: 20 × 20 km from 4 scenes (COG), then one more date; 10 × 10 km from 40 scenes, then one more.
Read: all layers of 354 dates × 512 × 512 pixels, repeated from the practice cube, from the
page cache, with ``open_cube(store, dask=False)``: ten bands of a pixel through time, one date of a
band, and 256 × 256 pixels of a band through time; also from a server that waits 0 or 20 ms before
each answer.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHUNKS = [(48, 64, 64), (16, 120, 120), (32, 120, 120), (48, 128, 128), (16, 256, 256)]
SIDES = {4: (20_000, 4096), 40: (10_000, 3072)}
"""Dates to metres of the region and pixels of a scene."""
DATES, SIDE = 354, 512
READS = 5


def build(folder, dates, chunks):
    """Build from scenes, add a date; return (seconds, CPU seconds) of both, files and MB."""
    import pystac

    import s2kit

    region_of = import_module("build")  # beside this file
    items = list(pystac.ItemCollection.from_file(str(folder / f"{dates}.json")))
    store, made = folder / f"built-{time.time_ns()}.zarr", []
    region_of.SIDE = 1_000
    small = region_of.region()
    s2kit.build_cube(items[:1], f"{store}-small.zarr", small, progress=False)
    region_of.SIDE = SIDES[dates][0]
    for given in (items[:dates], items):
        begin, cpu = time.perf_counter(), time.process_time()
        s2kit.build_cube(given, store, region_of.region(), chunks=chunks, progress=False)
        made += [time.perf_counter() - begin, time.process_time() - cpu]
        if len(given) == dates:
            files = [f.stat().st_size for f in store.rglob("*") if f.is_file()]
    return [*made, len(files), sum(files) / 1e6]


def write(folder, cube, chunks):
    """Write the cube that is read."""
    import xarray as xr
    from cubes import every, write_cube

    stored = xr.open_zarr(cube, group="S2/R051", mask_and_scale=False)
    layers = {}
    for name in stored.data_vars:
        values = stored[name].values
        for axis, length in enumerate((DATES, SIDE, SIDE)):
            values = np.take(values, np.resize(np.arange(values.shape[axis]), length), axis)
        layers[name] = values
    store = folder / f"read-{time.time_ns()}.zarr"
    write_cube(store, layers, every(5, DATES), chunks=chunks)
    return store.name


def read(store):
    """Return ms of the three reads, and requests and MB of each where a server counts them."""
    import s2kit

    cube = s2kit.open_cube(store, orbit=51, dask=False)
    bands = [name for name in cube.data_vars if name.startswith("B")]
    spots = np.random.default_rng(0).integers(0, SIDE, (READS + 1, 2))
    ways = {
        "series": lambda i: cube[bands].isel(y=spots[i][0], x=spots[i][1]).load(),
        "map": lambda i: cube.B08[i * 40].load(),
        "window": lambda i: cube.B08[:, 40 * i : 40 * i + 256, 128:384].load(),
    }
    row = []
    for work in ways.values():
        work(READS)
        _count(store)
        times = []
        for i in range(READS):
            begin = time.perf_counter()
            work(i)
            times.append(1000 * (time.perf_counter() - begin))
        asked = [n / READS for n in _count(store)]
        row.append([statistics.median(times), *asked])
    return row


def _count(store):
    if not store.startswith("http"):
        return []
    with urllib.request.urlopen(f"{store.rsplit('/', 1)[0]}/count") as answer:
        requests, sent = json.load(answer)
    return requests, sent / 1e6


async def serve(folder, delay):
    """Serve files, each after a delay; ``/count`` tells how many requests and bytes there were."""
    asked = [0, 0]

    async def answer(reader, writer):
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass
            name = line.split()[1].decode().lstrip("/")
            if name == "count":
                body, status = json.dumps(asked).encode(), "200 OK"
                asked[:] = 0, 0
            else:
                await asyncio.sleep(delay)
                path = folder / name
                found = path.is_file()
                body, status = (path.read_bytes(), "200 OK") if found else (b"", "404 Not Found")
                asked[0] += 1
                asked[1] += len(body)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def served(folder, delay):
    """Run a server in a process of its own and give its address."""
    command = [sys.executable, __file__, "--serve", str(folder), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def child(root, work, *arguments):
    """Run one piece of work in a process with the kit of a checkout; give what it returns."""
    places = os.pathsep.join(map(str, (root, root / "tests")))
    command = [sys.executable, __file__, "--one", work, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": places}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(folder, cube, root, chunks, rounds):
    """Return one row of both tables."""
    shape = ",".join(map(str, chunks))
    made = []
    for dates in SIDES:
        rows = [child(root, "build", folder, dates, shape) for _ in range(rounds)]
        made += [statistics.median(values) for values in zip(*rows, strict=True)]
    name = child(root, "write", folder, cube, shape)
    reads = [child(root, "read", folder / name)]
    for delay in (0, 0.02):
        with served(folder, delay) as url:
            reads.append(child(root, "read", f"{url}/{name}"))
    return made, reads


def scenes(place, folder):
    """Write the scenes of all builds, and lists of them to the folder."""
    import pystac

    sys.path[:0] = [str(HERE), str(ROOT)]
    from scenes import write_scene

    for dates, (_, size) in SIDES.items():
        items = [write_scene(place, n, size, "COG", dates + 1) for n in range(dates + 1)]
        pystac.ItemCollection(items).save_object(str(folder / f"{dates}.json"))


def report(label, made, reads):
    """Print a row of each table."""
    text = [" | ".join([f"{row[k]:.3g}" for k in range(6)]) for row in (made[:6], made[6:])]
    ways = [
        f"{here[0]:.0f} / {at_once[0]:.0f} / {later[0]:.0f} | {at_once[1]:.0f}, {at_once[2]:.0f}"
        for here, at_once, later in zip(*reads, strict=True)
    ]
    print(f"| {label} | " + " | ".join(text + ways) + " |", flush=True)


def main():
    """Measure all shapes and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cube", nargs="?", default="data/cube.zarr")
    parser.add_argument("--before", type=Path, help="checkout of an earlier kit")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the scenes there")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(Path(options.serve[0]), float(options.serve[1])))
        return
    if options.one:
        print(json.dumps(run_one(*options.one)))
        return
    with tempfile.TemporaryDirectory(prefix="s2kit-", dir=options.folder) as name:
        folder = Path(name)
        scenes(options.folder or folder, folder)
        head = "s | CPU s | +1 date s | CPU s | files | MB"
        reads = "series ms disk / http / 20 ms | requests, MB | map ms | requests, MB | window ms"
        print(f"| chunks | 4 dates {head} | 40 dates {head} | {reads} | requests, MB |")
        print("|---" * 19 + "|")
        cube = str(Path(options.cube).resolve())
        kits = [("before", options.before.resolve(), CHUNKS[0])] if options.before else []
        kits += [("", ROOT, chunks) for chunks in CHUNKS]
        for label, root, chunks in kits:
            made, read_rows = measure(folder, cube, root, chunks, options.rounds)
            report(f"{label} {chunks}".strip(), made, read_rows)


def run_one(work, place, *arguments):
    """Do one piece of work in this process."""
    if work == "read":
        return read(place)
    *given, shape = arguments
    chunks = tuple(map(int, shape.split(",")))
    if work == "write":
        return write(Path(place), *given, chunks)
    return build(Path(place), int(given[0]), chunks)


if __name__ == "__main__":
    main()
