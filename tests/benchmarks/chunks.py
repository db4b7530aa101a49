"""Which chunks and which codec: the three ways a cube is read, and what it takes on disk.

Run: ``python tests/benchmarks/chunks.py [CUBE]`` on a practice cube (``make cube``). Its orbit 51
is repeated to 96 dates of 1024 × 1024 pixels. Files are in the page cache, so reading, as
``open_cube(store, dask=False)`` does it, shows decompression and the number of objects, which is
what a network adds its delay to.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from numcodecs import Blosc
from xarray.core import indexing

from s2kit.cube.reading import StoredLayer
from s2kit.cube.store import Store

CHUNKS = [
    (1, 1024, 1024),
    (1, 512, 512),
    (4, 512, 512),
    (8, 256, 256),
    (16, 128, 128),
    (16, 256, 256),
    (16, 512, 512),
    (32, 128, 128),
    (32, 64, 64),
    (32, 256, 256),
    (48, 64, 64),
    (64, 64, 64),
    (64, 128, 128),
    (96, 64, 64),
]
CODECS = {
    "zstd-1 bit": Blosc("zstd", 1, Blosc.BITSHUFFLE),
    "zstd-3 bit": Blosc("zstd", 3, Blosc.BITSHUFFLE),
    "zstd-5 bit": Blosc("zstd", 5, Blosc.BITSHUFFLE),
    "zstd-5 byte": Blosc("zstd", 5, Blosc.SHUFFLE),
    "lz4-1 bit": Blosc("lz4", 1, Blosc.BITSHUFFLE),
    "lz4-5 bit": Blosc("lz4", 5, Blosc.BITSHUFFLE),
    "lz4-9 bit": Blosc("lz4", 9, Blosc.BITSHUFFLE),
    "lz4-9 byte": Blosc("lz4", 9, Blosc.SHUFFLE),
}
CHOSEN = (48, 64, 64), "lz4-9 bit"


def sample(cube):
    """Give 96 dates × 1024 × 1024 of a band, int16, from the practice cube."""
    band = xr.open_zarr(cube, group="S2/R051", mask_and_scale=False).B08.values
    dates = np.resize(np.arange(len(band)), 96)
    rows, cols = (np.resize(np.arange(n), 1024) for n in band.shape[1:])
    return band[dates][:, rows][:, :, cols]


def timed(work, repeats):
    """Give the median time of a piece of work in ms."""
    times = []
    for i in range(repeats):
        begin = time.perf_counter()
        work(i)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def measure(values, chunks, codec):
    """Write the values, read them in three ways; give a row of the table."""
    rng = np.random.default_rng(0)
    spots = rng.integers(0, 1024, (20, 2))
    with tempfile.TemporaryDirectory() as folder:
        array = zarr.create_array(
            folder, name="layer", shape=values.shape, chunks=chunks, dtype="i2", zarr_format=2,
            compressors=codec,
        )  # fmt: skip
        write = timed(lambda _: array.__setitem__(slice(None), values), 1)
        document = json.loads((Path(folder) / "layer/.zarray").read_text())
        stored = StoredLayer(
            Store(folder), "layer", document, 1e-4, np.arange(96), {}, threads=True
        )
        layer = xr.Variable(("time", "y", "x"), indexing.LazilyIndexedArray(stored))
        size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
        pixel = timed(lambda i: layer[:, spots[i][0], spots[i][1]].values, 20)
        date = timed(lambda i: layer[i * 4].values, 12)
        window = timed(lambda i: layer[:, 128 * i : 128 * i + 256, 256:512].values, 5)
    touched = [-(-96 // chunks[0]), (-(-1024 // chunks[1])) ** 2]
    return values.nbytes / size, write, pixel, touched[0], date, touched[1], window


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cube", nargs="?", default="data/cube.zarr")
    values = sample(parser.parse_args().cube)
    head = ("chunks", "codec", "ratio", "write ms", "pixel ms", "objects", "date ms", "objects",
            "window ms")  # fmt: skip
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    same_codec = zip(CHUNKS, itertools.repeat(CHOSEN[1]))
    same_chunks = zip(itertools.repeat(CHOSEN[0]), CODECS)
    for chunks, codec in itertools.chain(same_codec, same_chunks):
        row = measure(values, chunks, CODECS[codec])
        cells = [str(chunks), codec, f"{row[0]:.2f}", *(f"{v:.3g}" for v in row[1:])]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
