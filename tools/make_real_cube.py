"""Make a small cube of real imagery from an open catalogue: ``make_real_cube.py STORE``.

Binder's postBuild runs this. The region is that of `make real`, but only two months are taken, so
that it takes a few minutes and some MB. It ends with one line: what was made, or why nothing was.
"""

import sys
from pathlib import Path
from typing import Any

import s2kit
from s2kit.errors import CatalogueError, SceneError

SOURCE = "earth-search"
SEARCH: dict[str, Any] = {
    "aoi": "delft",
    "start": "2023-06-01",
    "end": "2023-07-31",
    "relative_orbit": 51,
    "max_cloud": 30,
}
GRID: dict[str, Any] = {"crs": "EPSG:28992", "resolution": 10}


def make_real_cube(store: Path) -> str:
    """Make the cube at a new place, and describe it.

    Raises
    ------
    S2KitError
        If the catalogue or a scene cannot be read. What was written until then stays.
    """
    items = s2kit.find_scenes(SOURCE, **SEARCH)
    report = s2kit.build_cube(items, store, SEARCH["aoi"], **GRID, progress=False)
    if report.failed:
        raise SceneError(*next(iter(report.failed.items())))
    steps, size = sum(report.steps.values()), report.size() / 1e6
    return f"{steps} overpasses of {SEARCH['start']} to {SEARCH['end']}, {size:.0f} MB"


def main(store: str) -> int:
    """Make it and print the line, with the whole reason on standard error; return the status."""
    try:
        print("A cube of real imagery:", make_real_cube(Path(store)))
    except Exception as error:  # whatever it is, the image is made without this cube
        reasons = {
            CatalogueError: f"{SOURCE} cannot be reached or searched from here.",
            SceneError: "a scene could not be read.",
        }
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print("No cube of real imagery:", reasons.get(type(error), "something unexpected failed."))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
