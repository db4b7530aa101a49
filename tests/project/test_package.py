"""The package that pip installs holds all that a user needs, without make."""

import importlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from numba.core.registry import CPUDispatcher

import s2kit

ROOT = Path(__file__).parents[2]

USE = """
import s2kit
from s2kit import course
from s2kit.viewers import TimeQuery

assert s2kit.__file__.startswith({site!r}), s2kit.__file__
items = s2kit.find_scenes("sample", "delft", "2021-06-01", "2021-06-12")
s2kit.build_cube(items, "cube.zarr", aoi="delft", progress=False)
cube = s2kit.open_cube("cube.zarr")
TimeQuery(cube).__panel__()
print(float(s2kit.index(cube, "NDVI").mean()), cube.sizes["time"])
"""


def run(*command, **options):
    """Run a command and return what it printed; it must succeed."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return a wheel, made from the source distribution as `make dist` makes it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *folder.iterdir())
    assert checked.count("PASSED") == 2
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
def test_wheel_holds_the_files_of_the_package(wheel):
    """Modules and data are in the wheel, and nothing else."""
    listed = run("git", "ls-files", "s2kit", cwd=ROOT).split()
    with zipfile.ZipFile(wheel) as opened:
        held = [name for name in opened.namelist() if ".dist-info/" not in name]
    assert sorted(held) == sorted(listed)


@pytest.mark.slow
def test_wheel_is_used_without_a_clone(wheel, tmp_path):
    """Practice scenes, a cube, its analysis and a viewer work from what the wheel installs."""
    site = tmp_path / "site"
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-index", "--target", site, wheel),
    )
    printed = run(
        *(sys.executable, "-P", "-c", USE.format(site=str(site))),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    mean, dates = printed.split()[-2:]
    assert 0 < float(mean) < 1
    assert int(dates) >= 1


def kernels():
    """Return the names of all compiled functions of the package, by module."""
    for file in sorted(Path(s2kit.__file__).parent.rglob("*.py")):
        if "@numba.njit" in file.read_text():
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name)
            for kernel in vars(module).values():
                if isinstance(kernel, CPUDispatcher) and kernel.py_func.__module__ == name:
                    yield f"{file.stem}.{kernel.py_func.__name__}"


@pytest.mark.slow
def test_all_kernels_of_the_analysis_are_compiled_ahead(practice_cube, shared_folder, tmp_path):
    """Those that a build does not use are compiled and stored by the tool."""
    tool, store = ROOT / "tools/compile_kernels.py", shared_folder / "practice.zarr"
    printed = run(
        *(sys.executable, tool, store),
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
    )
    assert "once on this machine" in printed
    stored = {re.match(r"\w+\.\w+", file.name)[0] for file in tmp_path.rglob("*.nbi")}
    by_builds = {name for name in kernels() if name.startswith(("warp.", "overviews."))}
    assert set(kernels()) - by_builds == stored


@pytest.mark.slow
def test_kernels_are_compiled_for_any_cube(practice_scenes, tmp_path):
    """A cube of one date and without near infrared is no error."""
    items = s2kit.find_scenes(practice_scenes / "scenes", "delft", "2021-06-01", "2021-06-12")
    options = {"bands": ["B04", "SCL"], "progress": False}
    s2kit.build_cube(list(items)[:1], tmp_path / "cube.zarr", "delft", **options)
    printed = run(sys.executable, ROOT / "tools/compile_kernels.py", tmp_path / "cube.zarr")
    assert "once on this machine" in printed
