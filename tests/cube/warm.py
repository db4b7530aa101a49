"""Imported by the server that children are forked from: does once what every build does first."""

import tempfile
from pathlib import Path

import small_scenes
import tqdm

import s2kit

tqdm.tqdm.monitor_interval = 0  # no thread of its own, see children.py

with tempfile.TemporaryDirectory() as folder:
    scenes = small_scenes.series(Path(folder), 1, layers=("B04", "SCL"))
    s2kit.build_cube(scenes, f"{folder}/cube.zarr", small_scenes.AOI, resolution=3, progress=False)
