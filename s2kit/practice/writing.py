"""Write the whole set of practice scenes, once for each version."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from datetime import date
from pathlib import Path

import rasterio
from tqdm.auto import tqdm

from s2kit.atomic import replacing
from s2kit.practice import metadata
from s2kit.practice.geometry import UTM
from s2kit.practice.imaging import Layers, observe, stored_layers
from s2kit.practice.landscape import landscape
from s2kit.practice.overpasses import Overpass, overpasses
from s2kit.practice.products import Product, products
from s2kit.practice.truth import write_truth
from s2kit.scenes.radiometry import RESOLUTION

VERSION = "2"
"""Changed whenever the same run would write other bytes; older sets are then made anew."""

_MARKER = "practice.json"

_LOSSLESS = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
_JP2 = {**_LOSSLESS, "count": 1, "crs": f"EPSG:{UTM}"}


def write_practice_scenes(folder: Path, *, progress: bool = True) -> Path:
    """Write the practice scenes: synthetic Level-2A products of a made-up polder near Delft.

    Two years of overpasses (April 2021 to March 2023) as real-form ``.SAFE`` products under
    ``<folder>/scenes``, fewer than the satellites made (see `s2kit.practice.passes`); and the truth
    under ``<folder>/truth`` (land cover, fields, elevation, all passes, and what
    `truth_reflectance` reads). A complete set is left alone; an interrupted or older one is made
    anew. The same version always writes the same bytes.

    Parameters
    ----------
    folder : pathlib.Path
        Made if absent. About 150 MB.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    return _write(Path(folder), overpasses(), progress=progress)


def _write(folder: Path, chosen: Sequence[Overpass], *, progress: bool) -> Path:
    """Write the given overpasses only."""
    names = sorted(product.name for overpass in chosen for product in products(overpass))
    if _is_complete(folder, names):
        return folder
    (folder / _MARKER).unlink(missing_ok=True)
    for left in (folder / "scenes", folder / "truth", *folder.glob(".s2kit-*")):
        shutil.rmtree(left, ignore_errors=True)
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    with replacing(folder / "truth") as draft:
        write_truth(draft)
    count = min(os.cpu_count() or 1, len(chosen))
    with (
        tqdm(None, "practice scenes", len(chosen), disable=not progress, unit="overpass") as bar,
        ThreadPoolExecutor(count) as pool,
    ):
        shares = [chosen[n::count] for n in range(count)]
        list(pool.map(lambda share: _in_process(share, folder / "scenes", bar.update), shares))
    _mark(folder, names)
    return folder


def _in_process(chosen: Sequence[Overpass], scenes: Path, done: Callable[[], object]) -> None:
    """Write overpasses in a process, as JPEG 2000 is encoded under Python's lock.

    It is started as a program, not with multiprocessing, which would run the caller's own script
    again or copy a notebook kernel's threads. ``done`` is called after each overpass.
    """
    listed = json.dumps([astuple(overpass) for overpass in chosen], default=str)
    code = f"import sys; from {__name__} import _work; _work(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(scenes), listed]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in process.stdout:
            done()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _work(scenes: str, listed: str) -> None:
    """Write the listed overpasses into a folder, and print the day of each that is done."""
    for day, orbit, sky in json.loads(listed):
        overpass = Overpass(date.fromisoformat(day), orbit, sky)
        observed = observe(landscape(), overpass)
        for product in products(overpass):
            _write_product(product, observed, Path(scenes))
        print(day, flush=True)


def _write_product(product: Product, observed: Layers, folder: Path) -> None:
    """Write one product as a ``.SAFE`` folder, whole or not at all."""
    stored = stored_layers(product, observed)
    with replacing(folder / product.name) as draft:
        for layer, image in stored.items():
            path = draft / product.path(layer)
            path.parent.mkdir(parents=True, exist_ok=True)
            height, width = image.shape
            place = product.tile.transform(RESOLUTION[layer])
            shape = {"height": height, "width": width, "dtype": image.dtype, "transform": place}
            with rasterio.open(path, "w", **_JP2, **shape) as target:
                target.write(image, 1)
        metadata.write(product, stored["SCL"], draft)


def _is_complete(folder: Path, names: list[str]) -> bool:
    """Return whether the marker of this version and every product are there."""
    marker = folder / _MARKER
    if not marker.is_file():
        return False
    said = json.loads(marker.read_text())
    there = all((folder / "scenes" / name).is_dir() for name in names)
    return there and said == {"version": VERSION, "products": names}


def _mark(folder: Path, names: list[str]) -> None:
    """Write the marker of a complete set, once all of it is on the disk."""
    with replacing(folder / _MARKER) as draft:
        draft.write_text(json.dumps({"version": VERSION, "products": names}, indent=1))
