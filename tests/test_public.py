"""The package's public names, which are imported when they are used."""

import subprocess
import sys

import pytest

import s2kit

HEAVY = ("xarray", "dask", "numba", "sklearn", "panel", "rasterio", "geopandas")


def in_new_process(code: str) -> str:
    """Run code without anything imported before, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_each_public_name_is_there():
    """Every name that the package lists can be taken from it."""
    assert set(dir(s2kit)) == set(s2kit.__all__)
    assert all(getattr(s2kit, name) is not None for name in s2kit.__all__)


def test_unknown_names_are_errors():
    """A misspelt name is an error that names it, not an import of something else."""
    with pytest.raises(AttributeError, match="opne_cube"):
        s2kit.opne_cube  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    """What is not used costs nothing: neither seconds nor memory."""
    code = f"import sys, s2kit; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_new_process(code).strip() == "[]"


@pytest.mark.parametrize("name", ["open_cube", "viewers"])
def test_looking_at_a_cube_loads_no_classifier(name):
    """Neither opening a cube nor the viewers import what trains classifiers."""
    code = f"import sys, s2kit; s2kit.{name}; print('sklearn' in sys.modules)"
    assert in_new_process(code).strip() == "False"
