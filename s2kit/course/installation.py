"""Compare what is installed with what the course needs."""

import importlib.metadata
import platform

import pandas as pd
import rasterio
from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT
from packaging.requirements import Requirement
from packaging.version import Version

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


def check_installation() -> pd.DataFrame:
    """Compare what is installed with what the course needs.

    Returns
    -------
    pandas.DataFrame
        One row for each part: ``found``, ``needed``, ``for``, and ``ok`` (✓ or ✗).
    """
    needs = {r.name: r for r in map(Requirement, importlib.metadata.requires("s2kit") or [])}
    rows = [
        _versioned("Python", platform.python_version(), Requirement("Python>=3.11"), "everything"),
        ("s2kit", importlib.metadata.version("s2kit"), "", "this course", True),
    ]
    for name, use in _PARTS.items():
        rows.append(_versioned(name, importlib.metadata.version(name), needs[name], use))
    with rasterio.Env() as env:
        jpeg = [driver for driver in _JPEG2000 if driver in env.drivers()]
    memory = MEMORY_LIMIT / 1e9
    rows += [
        ("JPEG 2000", jpeg[0] if jpeg else "none", "any driver", "opens .SAFE products", any(jpeg)),
        ("memory", f"{memory:.1f} GB", f"≥ {_MEMORY_GB} GB", "all notebooks", memory >= _MEMORY_GB),
        ("cores", str(CPU_COUNT), "≥ 1", "more is faster", True),
    ]
    table = pd.DataFrame(rows, columns=["part", "found", "needed", "for", "ok"])
    table["ok"] = table["ok"].map({True: "✓", False: "✗"})
    return table.set_index("part")


def _versioned(name: str, found: str, needed: Requirement, use: str) -> tuple:
    bound = str(needed.specifier).replace(">=", "≥ ")
    return name, found, bound, use, needed.specifier.contains(Version(found), prereleases=True)
