"""How fast a land cover map is made: the network alone, and the whole way from a cube.

Run: ``python tests/benchmarks/classify.py``. The cube has 96 dates of 1024 × 1024 pixels with B04,
B08 and SCL; its files are in the page cache. Reading is all blocks of these layers, decompressed
and decoded by Dask, and nothing else done with them.
"""

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1]))

from cubes import every, make_cube, random_layers

from s2kit.analysis.classifier import _classify_block, classify
from s2kit.analysis.features import KINDS, make_features
from s2kit.analysis.training import train_classifier

DATES, SIDE, TILE = 96, 1024, 256
CLASSES = 8


def write(folder):
    """Write the cube: random numbers, one tile many times."""
    copies = SIDE // TILE
    tile = random_layers(0, (DATES, TILE, TILE))
    layers = {name: np.tile(values, (1, copies, copies)) for name, values in tile.items()}
    return make_cube(Path(folder) / "cube.zarr", layers, every(10, DATES))


def train(features):
    """Train a network of the usual size on made-up labels."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((4000, features.sizes["feature"])), columns=features.feature)
    table.attrs = features.attrs
    groups = np.arange(4000) // 20
    return train_classifier(table, groups % CLASSES, groups=groups)


def timed(work, repeats=3):
    """Return the median time of a piece of work in s; the first run is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def read(cube):
    """Read all blocks."""
    blocks = [cube[name].data.to_delayed().ravel() for name in ("B04", "B08", "SCL")]
    dask.compute([dask.delayed(np.shape)(block) for layer in blocks for block in layer])


def network_alone(model, sizes):
    """Time the network on features at hand, in the blocks of a cube."""
    shape = (sizes, SIDE, SIDE)
    values = np.random.default_rng(1).random(shape, "f4")
    at_hand = xr.DataArray(values, dims=("feature", "y", "x")).chunk(y=128, x=128)
    whole = at_hand.data.map_blocks(
        _classify_block,
        model,
        dtype="f4",
        chunks=((2,), *at_hand.chunks[1:]),
        meta=np.empty((0, 0, 0), "f4"),
    )
    return timed(whole.compute)


def main():
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        cube = write(folder)
        reading = timed(lambda: read(cube))
        print(f"reading: {reading:.2f} s\n")
        head = ("features", "number", "network Mpixel/s", "features s", "map s", "map ÷ reading")
        print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
        for kind in KINDS:
            features = make_features(cube, kind)
            model = train(features)
            alone = network_alone(model, len(model.features))
            made = timed(features.compute)
            whole = timed(classify(cube, model).compute)
            row = [
                kind,
                len(model.features),
                f"{SIDE**2 / alone / 1e6:.1f}",
                f"{made:.2f}",
                f"{whole:.2f}",
                f"{whole / reading:.1f}",
            ]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\npeak memory of all this, with the writing of the cube: {peak:.1f} GB")


if __name__ == "__main__":
    main()
