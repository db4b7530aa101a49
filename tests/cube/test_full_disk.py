"""A disk that runs full while a cube is built: a real one of 3 MB."""

import shutil
from pathlib import Path

import pytest
from children import build, tree
from scenarios import SMALL, whole

import s2kit
from s2kit.errors import CubeError

pytestmark = pytest.mark.faults


@pytest.fixture
def small_disk(mount) -> Path:
    """Return a file system of 3 MB of its own."""
    return mount("size=3m")


class Fill:
    """Fills a disk to its last byte."""

    def __init__(self, disk: Path):
        self.filler = disk / "filler"

    def __call__(self):
        """Write until nothing more fits."""
        with self.filler.open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue


@pytest.mark.parametrize("scenario", ["new", "append", "late"], indirect=True)
def test_full_before_a_change(scenario, small_disk, monkeypatch):
    """Wherever space runs out: a CubeError, the old cube is intact, and a rerun finishes."""
    monkeypatch.setattr("s2kit.cube.commit._PAUSE", 0)
    complete, store, fill = tree(scenario.new), small_disk / "cube.zarr", Fill(small_disk)
    states = {opener: scenario.allowed(opener) for opener in ("s2kit", "xarray")}
    codes = []
    for before in scenario.moments()[::4]:
        scenario.begin(store)
        codes.append(build(scenario.items, store, SMALL, before=before, act=fill))
        assert codes[-1] in (0, 1), f"no CubeError where space ran out before change {before}"
        for opener, (old, _, new) in states.items():
            seen = whole(store, opener) or None
            assert seen == (old if codes[-1] else new), f"before change {before}"
        fill.filler.unlink()
        s2kit.build_cube(scenario.items, store, progress=False, **SMALL)
        assert tree(store) == complete
        shutil.rmtree(store)
    assert 1 in codes


@pytest.mark.parametrize("scenario", ["new", "append", "late"], indirect=True)
@pytest.mark.parametrize("free", range(0, 80, 16))
def test_little_space(scenario, small_disk, monkeypatch, free):
    """With some kB left, the same."""
    monkeypatch.setattr("s2kit.cube.commit._PAUSE", 0)
    store, fill = scenario.begin(small_disk / "cube.zarr"), Fill(small_disk)
    fill()
    with fill.filler.open("r+b") as file:
        file.truncate(fill.filler.stat().st_size - 1024 * free)
    old, _, new = scenario.allowed("s2kit")
    try:
        s2kit.build_cube(scenario.items, store, progress=False, **SMALL)
        assert whole(store) == new
    except CubeError as error:
        assert "No space left" in str(error)
        assert (whole(store) or None) == old
    fill.filler.unlink()
    s2kit.build_cube(scenario.items, store, progress=False, **SMALL)
    assert tree(store) == tree(scenario.new)


def test_full_disk_says_what_to_do(days, small_disk):
    """The message names the place and the reason, and says that a rerun goes on."""
    store = small_disk / "cube.zarr"
    s2kit.build_cube(days[:2], store, progress=False, **SMALL)
    before = whole(store)
    fill = Fill(small_disk)
    fill()
    with pytest.raises(CubeError, match=r"cube\.zarr.*No space left.*run the build again"):
        s2kit.build_cube(days, store, progress=False)
    assert whole(store) == before
    fill.filler.unlink()
    s2kit.build_cube(days, store, progress=False)
    assert len(whole(store)) == 5
