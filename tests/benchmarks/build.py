"""Time and memory of a build, beside the floor and beside what one would take instead.

Run: ``python tests/benchmarks/build.py [--dates 4] [--rounds 3]``. All ways run in turn in one
process after another, on the same scenes, 20 × 20 km at 10 m in EPSG:28992, ten bands and SCL.
Each process builds twice: the first time it also imports its libraries, and s2kit compiles or loads
its kernels. What counts is the ratio in one run.
"""

import argparse
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

CENTRE = (106_000, 469_000)
SIDE = 20_000
SIZE = 4096


def grid():
    """20 × 20 km at 10 m around a place that the scenes see whole."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    x, y = (c - SIDE / 2 for c in CENTRE)
    return GeoBox((SIDE // 10,) * 2, Affine(10, 0, x, 0, -10, y + SIDE), "EPSG:28992")


def region():
    """Return the same in degrees, slightly smaller so that it snaps to the same grid."""
    return grid().extent.buffer(-1).to_crs("EPSG:4326", resolution=500).geom


def s2kit_build(items, store, **options):
    """Build as a user would."""
    import s2kit

    s2kit.build_cube(items, store, region(), progress=False, **options)


def unsafe_build(items, store):
    """Build without syncing and without digests, to see what these cost."""
    from s2kit import atomic
    from s2kit.cube import ingest, overviews
    from s2kit.cube.manifest import Entry

    with (
        patch.object(atomic, "sync_all", lambda *_: None),
        patch.object(atomic, "sync", lambda *_: None),
        patch.object(ingest, "entry_of", lambda data: Entry(len(data), "0" * 64)),
        patch.object(overviews, "entry_of", lambda data: Entry(len(data), "0" * 64)),
    ):
        s2kit_build(items, store)


def bare_loop(items, store):
    """Do the least: one thread a band, GDAL's warper, one array at a time, the same chunks."""
    from concurrent.futures import ThreadPoolExecutor

    import rasterio
    import zarr
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    from s2kit.cube.build_options import DEFAULT_CHUNKS
    from s2kit.cube.codec import CODEC

    target = grid()
    group = zarr.open_group(store, mode="w", zarr_format=2)
    items = sorted(items, key=lambda i: i.datetime)

    def band(name):
        classes = name == "SCL"
        values = np.empty((len(items), *target.shape), "uint8" if classes else "int16")
        for t, item in enumerate(items):
            with (
                rasterio.open(item.assets[name].href) as source,
                WarpedVRT(
                    source,
                    crs="EPSG:28992",
                    transform=target.affine,
                    width=target.shape[1],
                    height=target.shape[0],
                    nodata=0,
                    src_nodata=0,
                    resampling=Resampling.nearest if classes else Resampling.bilinear,
                ) as warped,
            ):
                dn = warped.read(1)
            values[t] = dn if classes else np.where(dn == 0, -9999, dn.astype("int32") - 1000)
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=DEFAULT_CHUNKS,
            dtype=values.dtype,
            fill_value=0 if classes else -9999,
            compressors=CODEC,
        )
        array[:] = values

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(band, items[0].assets))


def odc_stac(items, store):
    """Build with what one would use instead: odc-stac with dask, the offset by hand, to_zarr."""
    import odc.stac
    import xarray as xr

    from s2kit.cube.codec import CODEC

    lazy = odc.stac.load(
        items,
        bands=list(items[0].assets),
        geobox=grid(),
        groupby="solar_day",
        resampling={"SCL": "nearest", "*": "bilinear"},
        nodata=0,
        chunks={"x": 1024, "y": 1024},
    )
    shifted = {
        name: band
        if name == "SCL"
        else xr.where(band == 0, -9999, band.astype("int32") - 1000).astype("int16")
        for name, band in lazy.data_vars.items()
    }
    result = lazy.assign(shifted)
    for name in result.variables:
        result[name].attrs = {}
    codec = {"compressors": (CODEC,)}
    result.to_zarr(
        store,
        mode="w",
        zarr_format=2,
        consolidated=True,
        encoding=dict.fromkeys(result.data_vars, codec),
    )


WAYS = {
    "s2kit": s2kit_build,
    "s2kit without overviews": partial(s2kit_build, overviews=False),
    "s2kit without syncs and digests": unsafe_build,
    "bare loop": bare_loop,
    "odc-stac": odc_stac,
}


class TileCounter(logging.Handler):
    """Counts the JP2 tiles that OpenJPEG says it decoded."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.decoded = 0

    def emit(self, record):
        """Count a message."""
        self.decoded += "has been decoded" in record.getMessage() and "Tile" in record.getMessage()


def count_tiles(items, store):
    """Build, and give how many JP2 tiles were decoded, and how many the region touches."""
    import rasterio

    from s2kit.cube.imagery import Raster

    counter = TileCounter()
    logger = logging.getLogger("rasterio")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(counter)
    os.environ["CPL_DEBUG"] = "JP2OpenJPEG"
    s2kit_build(items, store)
    os.environ.pop("CPL_DEBUG")
    decoded, needed, target = counter.decoded, 0, grid()
    for asset in (a for item in items for a in item.assets.values()):
        with rasterio.open(asset.href) as band:
            affine = band.transform
            raster = Raster(band.crs, (affine.c, affine.f), (affine.a, affine.e), band.shape)
            high, wide = band.block_shapes[0]
        rows, cols = raster.window(target, *(slice(0, n) for n in target.shape))
        down = (rows.stop - 1) // high - rows.start // high + 1
        across = (cols.stop - 1) // wide - cols.start // wide + 1
        needed += down * across
    print(json.dumps({"decoded": decoded, "needed": needed, "ratio": decoded / needed}))


def run_one(way, scenes, store):
    """Run one way in this process and print its time and peak memory as JSON."""
    import pystac

    items = list(pystac.ItemCollection.from_file(scenes))
    if way == "tiles":
        count_tiles(items, store)
        return
    seconds = []
    for place in (store, f"{store}-again"):
        begin = time.perf_counter()
        WAYS[way](items, place)
        seconds.append(time.perf_counter() - begin)
    status = Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's too
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
    print(json.dumps({"first": seconds[0], "again": seconds[1], "peak_mb": peak}))


def _store(folder, way, number=0):
    return folder / f"{way.replace(' ', '-')}-{number}.zarr"


def agreement(folder, one, other):
    """Compare what two ways wrote: share of equal values, and the 99.9th percentile.

    Both others place a pixel to 1/8 of a pixel, as GDAL does by default; s2kit exactly.
    """
    import zarr

    group = {way: "S2/R051" for way in WAYS if way.startswith("s2kit")}
    a, b = (
        zarr.open_group(_store(folder, w), path=group.get(w, ""), mode="r") for w in (one, other)
    )
    equal, far = [], []
    for name in ("B02", "B08", "B11", "SCL"):
        difference = np.abs(a[name][0].astype("i4") - b[name][0].astype("i4"))
        equal.append((difference == 0).mean())
        far.append(np.percentile(difference, 99.9))
    return f"{np.mean(equal):.1%} equal, 99.9 % within {max(far):.0f}"


def main():
    """Make the scenes, run all ways in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=4)
    parser.add_argument("--files", type=int, help="scenes on disk, if fewer than dates")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--driver", choices=["COG", "JP2OpenJPEG"], default="COG")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of a scene at 10 m")
    parser.add_argument("--folder", type=Path, help="keep the scenes there")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(*options.one)
        return
    with tempfile.TemporaryDirectory(prefix="s2kit-", dir=options.folder) as stores:
        compare(options, options.folder or Path(stores), Path(stores))


def _medians(runs):
    return [statistics.median(r[when] for r in runs) for when in ("first", "again")]


def compare(options, folder, stores):
    """Run the ways in turn and print medians and ratios."""
    import pystac
    from scenes import write_scene

    kind = (options.size, options.driver, options.files or options.dates)
    items = [write_scene(folder, n, *kind) for n in range(options.dates)]
    scenes = stores / "items.json"
    pystac.ItemCollection(items).save_object(str(scenes))
    ways = options.ways.split(",")
    results = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in ways:
            store = _store(stores, way, number)  # ext4 is slow to use what was just deleted again
            command = [sys.executable, __file__, "--one", way, str(scenes), str(store)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[way].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{options.dates} dates, {options.driver}, median of {options.rounds} rounds")
    head = "way | first s | × s2kit | again s | × s2kit | peak MB | values as s2kit's"
    print(f"| {head} |\n|---|---|---|---|---|---|---|")
    base = _medians(results[ways[0]])
    for way, runs in results.items():
        cells = [f"{s:.2f} | {s / b:.2f}" for s, b in zip(_medians(runs), base, strict=True)]
        peak = max(r["peak_mb"] for r in runs)
        print(f"| {way} | {' | '.join(cells)} | {peak:.0f} | {agreement(stores, ways[0], way)} |")
    if options.driver == "JP2OpenJPEG":
        store = stores / "tiles.zarr"
        command = [sys.executable, __file__, "--one", "tiles", str(scenes), str(store)]
        print("JP2 tiles", subprocess.run(command, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
