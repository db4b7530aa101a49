"""Check that everything works here: what is installed, the machine, the cube and the pictures."""

import importlib
import importlib.metadata
import os
import pkgutil
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import rasterio
import requests
from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT
from numba.core.registry import CPUDispatcher
from packaging.requirements import Requirement
from packaging.version import Version

import s2kit
from s2kit.analysis import kernels
from s2kit.course.parameters import require_cube
from s2kit.errors import CubeError
from s2kit.scenes.providers import APIS

_PARTS = {
    "xarray": "the cube with names",
    "zarr": "the cube's format",
    "dask": "larger than memory",
    "rasterio": "reads and warps imagery",
    "rioxarray": "coordinate systems",
    "hvplot": "pictures",
    "panel": "viewers",
    "scikit-learn": "classification",
}

_JPEG2000 = ("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID")
_MEMORY_GB = 1.2
"""Every notebook keeps within this, so that it runs on Binder."""
_DISK_GB = 1.0
"""The practice scenes, their cube and the results of the notebooks."""
_INTERNET_SECONDS = 3.0
_CUBE_SECONDS = 20.0

_INSTALL = (
    "Run `make setup` in a terminal, in the project's folder; with conda, "
    "`conda env update -f environment.yml`. Then restart the kernel."
)

_Row = tuple[str, str, str, str, bool | None, str]
"""Part, what was found, what is needed, for what, whether it is so (None: no, but the course runs
without), and what to do otherwise."""


def check_installation(store: str | os.PathLike) -> pd.DataFrame:
    """Check in less than half a minute that everything works here.

    Parameters
    ----------
    store : str or path
        The cube that the notebooks read.

    Returns
    -------
    pandas.DataFrame
        One row for each part: ``found``, ``needed``, ``for``, ``ok`` (✓, ✗, or – for what is
        only slow, or not needed), and ``what to do`` where it is not ✓.
    """
    rows = [*_versions(), _jpeg2000(), *_machine(), _folder(), _cube(store)]
    rows += [_compiled(), _pictures(), _internet()]
    columns = ["part", "found", "needed", "for", "ok", "what to do"]
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    table["what to do"] = table["what to do"].where(table["ok"].ne(True), "")
    table["ok"] = table["ok"].map({True: "✓", False: "✗", None: "–"})
    return table.set_index("part")


def _versions() -> list[_Row]:
    stated = map(Requirement, importlib.metadata.requires("s2kit") or [])
    needs = {one.name: one for one in stated if one.marker is None or one.marker.evaluate()}
    python = Requirement("Python>=3.11")
    rows = [
        _versioned(python, platform.python_version(), "everything"),
        ("s2kit", importlib.metadata.version("s2kit"), "", "this course", True, ""),
        *(_versioned(needs[name], _version_of(name), use) for name, use in _PARTS.items()),
    ]
    others = [_versioned(one, _version_of(name), "") for name, one in needs.items()]
    others = [row for row in others if row[0] not in _PARTS]
    odd = [f"{name} {found}, needed {bound}" for name, found, bound, _, ok, _ in others if not ok]
    found = "; ".join(odd) or f"all {len(others)}"
    return [*rows, ("other packages", found, "new enough", "everything", not odd, _INSTALL)]


def _version_of(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _versioned(needed: Requirement, found: str, use: str) -> _Row:
    bound = str(needed.specifier).replace(">=", "≥ ")
    fits = found != "missing" and needed.specifier.contains(Version(found), prereleases=True)
    return needed.name, found, bound, use, fits, _INSTALL


def _jpeg2000() -> _Row:
    with rasterio.Env() as env:
        found = [driver for driver in _JPEG2000 if driver in env.drivers()]
    remedy = "With conda: `conda install -c conda-forge libgdal-jp2openjpeg`. Else: `make setup`."
    name = found[0] if found else "none"
    return "JPEG 2000", name, "any driver", "opens .SAFE products", bool(found), remedy


def _machine() -> list[_Row]:
    limit, disk = MEMORY_LIMIT / 1e9, shutil.disk_usage(Path()).free / 1e9
    free = _free_memory() / 1e9
    close = "Shut down other notebooks (menu *Kernel → Shut Down All Kernels*), close programs."
    remove = "Remove files that you no longer need, or move the project to a larger disk."
    found = f"{free:.1f} of {limit:.1f} GB free"
    enough = f"≥ {_MEMORY_GB} GB", "all notebooks", free >= _MEMORY_GB
    return [
        ("memory", found, *enough, close),
        ("cores", str(CPU_COUNT), "≥ 1", "more is faster", True, ""),
        ("disk", f"{disk:.1f} GB free", f"≥ {_DISK_GB} GB", "cubes", disk >= _DISK_GB, remove),
    ]


def _free_memory() -> int:
    """Return the bytes that are free on this machine, or in the container that limits them."""
    machine = psutil.virtual_memory()
    if machine.total <= MEMORY_LIMIT:
        return machine.available
    infos = [one.info["memory_info"] for one in psutil.process_iter(["memory_info"])]
    used = sum(info.rss - getattr(info, "shared", 0) for info in infos if info)
    return min(machine.available, max(MEMORY_LIMIT - used, 0))


def _folder() -> _Row:
    found, fits = "can be written", True
    try:
        with tempfile.TemporaryFile(dir=Path()) as file:
            file.write(b"s2kit")
    except OSError as error:
        found, fits = f"cannot be written: {error.strerror}", False
    remedy = "Copy the folder `notebooks` to your own files, and open the notebook there."
    return "this folder", found, "can be written", "your notebooks", fits, remedy


def _cube(store: str | os.PathLike) -> _Row:
    part, needed, use = "cube", "a pixel can be read", "nearly all notebooks"
    try:
        place = require_cube(store)
    except CubeError:
        remedy = "Run `make cube` in a terminal, or the notebook 01_build_cube."
        return part, f"there is none at {store}", needed, use, False, remedy
    try:
        return part, _within(_CUBE_SECONDS, lambda: _read_pixel(place)), needed, use, True, ""
    except TimeoutError:
        remedy = "Try again. If it stays slow, copy the cube to a disk of this machine."
        return part, f"not read within {_CUBE_SECONDS:g} s", needed, use, None, remedy
    except Exception as error:  # also what a damaged file makes libraries raise
        remedy = "`make verify` names what is damaged, `make cube` mends it; or check the address."
        return part, f"{type(error).__name__}: {error}", needed, use, False, remedy


def _read_pixel(place: str) -> str:
    """Read the series of the pixel in the middle, and return how long it took."""
    began = time.monotonic()
    cube = s2kit.open_cube(place)
    layer = cube[next(iter(cube.data_vars))]
    series = layer.isel(y=cube.sizes["y"] // 2, x=cube.sizes["x"] // 2).compute()
    return f"{series.size} dates of a pixel read in {time.monotonic() - began:.2f} s"


def _compiled() -> _Row:
    """Count the kernels that Numba has stored beside the code."""
    names = [one.name for one in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}.")]
    found = {
        kernel
        for name in names
        for kernel in vars(importlib.import_module(name)).values()
        if isinstance(kernel, CPUDispatcher) and kernel.py_func.__module__ == name
    }
    stored = [kernel for kernel in found if _is_stored(kernel)]
    number = f"{len(stored)} of {len(found)} compiled"
    remedy = "Nothing: the first use compiles them, some seconds each. `make cube` does it ahead."
    complete = len(stored) == len(found) or None
    return "kernels", number, "not ahead", "statistics, composites", complete, remedy


def _is_stored(kernel: CPUDispatcher) -> bool:
    pattern = f"*.{kernel.py_func.__qualname__}-*.nbi"
    return any(Path(kernel.stats.cache_path or "").glob(pattern))


def _pictures() -> _Row:
    found, fits = "drawn", True
    try:
        _draw()
    except Exception as error:  # of HoloViews, Panel or Bokeh, whose versions do not fit
        found, fits = f"{type(error).__name__}: {error}", False
    return "pictures, widgets", found, "can be drawn", "all notebooks", fits, _INSTALL


def _draw() -> None:
    """Draw a curve and a slider as a page would get them, without showing them."""
    import holoviews.plotting.bokeh
    import panel as pn
    from bokeh.document import Document

    page, curve = Document(), holoviews.Curve([0, 1, 0])
    column = pn.Column(pn.pane.HoloViews(curve, backend="bokeh"), pn.widgets.IntSlider())
    page.add_root(column.get_root(page))
    page.to_json()


def _internet() -> _Row:
    url = APIS["earth-search"][0]
    try:
        answer = _within(_INTERNET_SECONDS, lambda: requests.get(url, timeout=_INTERNET_SECONDS))
        stac = '"stac_version"' in answer.text  # not the page on which a network asks to log in
        found = "reachable" if stac else "another page answers in place of the catalogue"
    except (TimeoutError, requests.RequestException):
        found = "not reachable"
    remedy = "Nothing: the course runs offline. Real imagery has to be on a disk then."
    return "internet", found, "not needed", "real imagery", found == "reachable" or None, remedy


def _within(seconds: float, action: Callable[[], Any]) -> Any:
    """Return what an action returns; TimeoutError if it takes longer, without waiting for it."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except Exception as error:  # raised again where it is waited for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)
