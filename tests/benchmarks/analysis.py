"""How fast the analyses are, as ratios within one run: against the floor, and what one would take.

Run: ``python tests/benchmarks/analysis.py [CUBE]`` on a practice cube (``make cube``). Its orbit 51
is repeated to 96 dates of 1024² and 2048² pixels. Files are in the page cache. The floor is reading
and decompressing the same chunks with as many threads, and nothing else.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from cubes import every, write_cube

import s2kit
from s2kit.cube.codec import CODEC

THREADS = os.cpu_count()


def repeat(source, bands, dates, side):
    """Return layers of a wanted size from the practice cube's orbit 51."""
    stored = xr.open_zarr(source, group="S2/R051", mask_and_scale=False)
    layers = {}
    for name in bands:
        values = stored[name].values
        for axis, length in enumerate((dates, side, side)):
            values = np.take(values, np.resize(np.arange(values.shape[axis]), length), axis)
        layers[name] = values
    return layers


def alternate(ways, rounds):
    """Run the ways in turn, the first round for warmth; give the median time of each in s."""
    times = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, work in ways.items():
            begin = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def table(title, times, against):
    """Print the times, and each one's ratio to one of them."""
    print(f"\n{title}\n")
    print(f"| way | s | × {against} |\n|---|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {taken:.3f} | {taken / times[against]:.2f} |", flush=True)


def floor(store, bands):
    """Read and decompress all chunks of some layers."""
    files = [f for name in bands for f in (Path(store) / "S2/R051" / name).glob("*.*.*")]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda file: len(CODEC.decode(file.read_bytes())), files):
            pass


def idiomatic(cube):
    """Write the statistics as xarray's documentation teaches."""
    ndvi = (cube.B08 - cube.B04) / (cube.B08 + cube.B04)
    clear = ndvi.where(cube.SCL.isin([4, 5, 6, 7]))
    found = {"mean": clear.mean("time"), "std": clear.std("time"), "count": clear.count("time")}
    return xr.Dataset(found).compute()


def kit(cube):
    """Ask the kit for the same."""
    return s2kit.time_statistics(cube, "NDVI")[["mean", "std", "count"]].compute()


def compare_statistics(source, folder, side, rounds):
    """NDVI mean, std and count."""
    bands = ("B04", "B08", "SCL")
    store = write_cube(folder / f"{side}.zarr", repeat(source, bands, 96, side), every(5, 96))
    cube = s2kit.open_cube(store)
    plain = xr.open_zarr(store, group="S2/R051").assign(
        SCL=xr.open_zarr(store, group="S2/R051", mask_and_scale=False).SCL
    )
    times = alternate(
        {
            "floor": lambda: floor(store, bands),
            "s2kit": lambda: kit(cube),
            "xarray, of s2kit.open_cube": lambda: idiomatic(cube),
            "xarray, of xarray.open_zarr": lambda: idiomatic(plain),
        },
        rounds,
    )
    table(f"NDVI mean, std and count, 96 dates × {side}²", times, "floor")


def compare_median(source, rounds):
    """Time the kernels of the median, on one block."""
    from s2kit.analysis.kernels.percentiles import percentiles

    layers = repeat(source, ("B08", "SCL"), 96, 256)
    clear = np.isin(layers["SCL"], (4, 5, 6, 7))
    values = np.where(clear, layers["B08"] * np.float32(1e-4), np.float32(np.nan))
    flat, seen, ids = values.reshape(96, -1), clear.reshape(96, -1), np.zeros(96, "i8")
    half = np.array([50.0])
    times = alternate(
        {
            "s2kit": lambda: percentiles(flat, seen, ids, 1, half),
            "numpy.nanmedian": lambda: np.nanmedian(values, axis=0),
        },
        rounds,
    )
    table("Median of a block of 96 × 256 × 256, one thread", times, "s2kit")


def compare_memory(source, folder):
    """Peak memory of statistics and of a median, by the number of dates."""
    print("\nPeak memory of a process, MB\n\n| dates | statistics | median of ten bands |")
    print("|---|---|---|")
    from s2kit.scenes.item import BANDS

    for dates in (48, 96, 192):
        store = write_cube(
            folder / f"{dates}.zarr", repeat(source, (*BANDS, "SCL"), dates, 512), every(5, dates)
        )
        row = [_peak(store, what) for what in ("statistics", "median")]
        print(f"| {dates} | {row[0]:.0f} | {row[1]:.0f} |", flush=True)


def _peak(store, what):
    """Run one analysis in a process of its own, and give that process's high-water mark in MB."""
    program = (
        "import sys, s2kit\ncube = s2kit.open_cube(sys.argv[1])\n"
        "if sys.argv[2] == 'statistics': s2kit.time_statistics(cube, 'NDVI').compute()\n"
        "else: s2kit.composite(cube).compute()\n"
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, store, what], capture_output=True, check=True, text=True
    )
    return int(done.stdout) / 1000


def compare_pixel(folder, dates, rounds):
    """One pixel's ten bands through all dates: from the cube, and from the COGs it was made of."""
    import odc.geo.geobox
    import odc.stac
    import shapely
    from affine import Affine
    from pyproj import Transformer
    from scenes import ORIGIN, write_scene

    from s2kit.scenes.item import BANDS

    items = [write_scene(folder, number, 512, "COG", 8) for number in range(dates)]
    west, north = ORIGIN
    square = shapely.box(west + 1000, north - 3500, west + 3500, north - 1000)
    to_degrees = Transformer.from_crs(32631, 4326, always_xy=True)
    aoi = shapely.transform(square, lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    store = folder / "pixel.zarr"
    s2kit.build_cube(items, store, aoi, "EPSG:32631", 10, bands=[*BANDS, "SCL"], progress=False)
    cube = s2kit.open_cube(store, dask=False)[list(BANDS)]
    lazy = s2kit.open_cube(store)[list(BANDS)]
    spots = iter(np.random.default_rng(0).integers(0, 240, (1000, 2)))

    def from_cube(cube):
        y, x = next(spots)
        return cube.isel(y=y, x=x).compute()

    def from_cogs():
        y, x = next(spots)
        affine = Affine(10, 0, float(cube.x[x]) - 5, 0, -10, float(cube.y[y]) + 5)
        box = odc.geo.geobox.GeoBox((1, 1), affine, "EPSG:32631")
        return odc.stac.load(
            items, bands=list(BANDS), geobox=box, resampling="bilinear", pool=THREADS
        )

    quick = alternate(
        {"s2kit, dask=False": lambda: from_cube(cube), "s2kit": lambda: from_cube(lazy)}, 15
    )
    slow = alternate({"COGs by odc-stac": from_cogs}, rounds)
    table(f"One pixel, ten bands, {dates} dates", quick | slow, "s2kit, dask=False")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cube", nargs="?", default="data/cube.zarr")
    parser.add_argument("--only", default="statistics,median,memory,pixel")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dates", type=int, default=354)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # numpy's, where nothing is clear
    wanted = options.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if "statistics" in wanted:
            for side in (1024, 2048):
                compare_statistics(options.cube, folder, side, options.rounds)
        if "median" in wanted:
            compare_median(options.cube, options.rounds)
        if "memory" in wanted:
            compare_memory(options.cube, folder)
        if "pixel" in wanted:
            compare_pixel(folder, options.dates, 1)


if __name__ == "__main__":
    main()
