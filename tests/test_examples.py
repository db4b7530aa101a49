"""The example of each public function: it is there, it runs, and its output is the true one."""

import doctest

import pytest

import s2kit

FUNCTIONS = sorted(name for name in s2kit._HOMES if name.islower())


@pytest.fixture
def folder(practice_cube, practice_scenes, shared_folder, tmp_path, monkeypatch):
    """Enter a folder that looks as after ``make cube``; what an example writes stays in it."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "cube.zarr").symlink_to(shared_folder / "practice.zarr")
    (data / "practice").symlink_to(practice_scenes)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example_of_a_public_function(name, folder):
    """The docstring has an example, whose lines return what it says."""
    found = doctest.DocTestFinder(recurse=False).find(
        getattr(s2kit, name), name, globs={"s2kit": s2kit}
    )
    assert found and found[0].examples, f"s2kit.{name} has no example"
    report = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(found[0], out=report.append)
    assert not failed, "".join(report)
