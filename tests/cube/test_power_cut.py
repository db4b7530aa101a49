"""A power cut while a cube is built: what a disk of its own holds at that moment is a whole cube.

An ext4 file system in a file is copied while it is mounted. The copy has what has reached the disk,
not what the system still holds in memory, as after a cut.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import children
import pytest
from children import ask, tree
from scenarios import whole

import s2kit

pytestmark = pytest.mark.faults

CUTS = 20


def run(*command: object) -> None:
    """Run a program; without the right to, skip, or fail as programs that are missing do."""
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    if done.returncode:
        give_up = pytest.fail if os.environ.get("S2KIT_REQUIRE") else pytest.skip
        give_up(f"{command[0]}: {done.stderr.decode().strip()}")


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """Mount the file system in a file."""
    at.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, at)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def build_with_cuts(items: list, store: Path, image: Path, copies: Path, options: dict) -> int:
    """Build, copy the disk before every change of a name, and once more after the end."""

    def copy(count: int) -> None:
        shutil.copyfile(image, copies / f"{count:04}")

    children._watch(store, copy)
    s2kit.build_cube(items, store, progress=False, **options)
    copy(9999)
    return len(list(copies.iterdir()))


@pytest.fixture
def disk(tmp_path) -> Path:
    """Make an empty file system in a file."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    run("mkfs.ext4", "-q", image)
    return image


@pytest.mark.parametrize("scenario", ["new", "append", "late", "deep append"], indirect=True)
def test_power_cut(scenario, disk, tmp_path, monkeypatch):
    """Every cut leaves the old or the new cube, to the byte; after the build it is the new one."""
    monkeypatch.setattr("s2kit.cube.commit._PAUSE", 0)
    options, complete = scenario.options, tree(scenario.new)
    old = {} if scenario.old is None else tree(scenario.old)
    copies = tmp_path / "copies"
    copies.mkdir()
    with mounted(disk, tmp_path / "first") as folder:
        scenario.begin(folder / "cube.zarr")
        subprocess.run(["sync", "-f", folder], check=True)
        count = ask(build_with_cuts, scenario.items, folder / "cube.zarr", disk, copies, options)
    cuts = sorted(copies.iterdir())
    assert count == len(cuts) > CUTS
    states = {opener: scenario.allowed(opener) for opener in ("s2kit", "xarray")}
    for cut in [*cuts[:: max(len(cuts) // CUTS, 1)], *cuts[-12:]]:
        with mounted(cut, tmp_path / "after") as folder:
            store = folder / "cube.zarr"
            for opener, known in states.items():
                assert whole(store, opener) in known, f"{opener} after cut {cut.name}"
            seen = tree(store) if store.exists() else {}
            if cut == cuts[-1]:  # only the last removals may be lost
                assert complete.items() <= seen.items()
            for state in (old, complete):
                if state and seen.get(".zmetadata") == state[".zmetadata"]:
                    unfinished = ".s2kit/redo" in seen  # chunks of later steps may be there already
                    assert unfinished or state.items() <= seen.items(), f"after cut {cut.name}"
            s2kit.build_cube(scenario.items, store, progress=False, **options)
            assert tree(store) == complete, f"after cut {cut.name}"
