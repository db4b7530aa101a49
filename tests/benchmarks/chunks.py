"""Which chunks and which codec: the three ways a cube is read, and what it takes on disk.

Run: ``python tests/benchmarks/chunks.py [CUBE]`` on a practice cube (``make cube``). Its orbit 51
is repeated to 96 dates of 1024 × 1024 pixels. Files are in the page cache, so a plain read shows
decompression and the number of objects, which is what a network adds its delay to.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from numcodecs import Blosc

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
    (64, 64, 64),
    (64, 128, 128),
    (96, 64, 64),
]
CODECS = {
    "zstd-1 bit": Blosc("zstd", 1, Blosc.BITSHUFFLE),
    "zstd-3 bit": Blosc("zstd", 3, Blosc.BITSHUFFLE),
    "zstd-5 bit": Blosc("zstd", 5, Blosc.BITSHUFFLE),
    "zstd-5 byte": Blosc("zstd", 5, Blosc.SHUFFLE),
    "lz4-5 bit": Blosc("lz4", 5, Blosc.BITSHUFFLE),
}
CHOSEN = (32, 128, 128), "zstd-3 bit"


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
            folder, shape=values.shape, chunks=chunks, dtype="i2", zarr_format=2, compressors=codec
        )
        write = timed(lambda _: array.__setitem__(slice(None), values), 1)
        size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
        pixel = timed(lambda i: array[:, spots[i][0], spots[i][1]], 20)
        date = timed(lambda i: array[i * 4], 12)
        window = timed(lambda i: array[:, 128 * i : 128 * i + 256, 256:512], 5)
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
        cells = [str(chunks), codec, f"{row[0]:.2f}", *(f"{v:.0f}" for v in row[1:])]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
