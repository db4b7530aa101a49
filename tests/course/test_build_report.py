"""The report of a build: its scenes, its overpasses, a summary, and what needs attention."""

import numpy as np
import pandas as pd
import pystac
import pytest
import xarray as xr

import s2kit
from s2kit import course
from s2kit.cube.report import BuildReport
from s2kit.errors import InvalidInputError
from s2kit.grid import make_grid


@pytest.fixture(scope="module", autouse=True)
def drawing():
    """Prepare HoloViews, as a notebook does."""
    course.start_pictures()


@pytest.fixture(scope="module")
def items(practice_scenes) -> pystac.ItemCollection:
    """Return the practice scenes of one month."""
    return s2kit.find_scenes(str(practice_scenes / "scenes"), "delft", "2021-06", "2021-06")


def share_of(values, orbits) -> xr.DataArray:
    """Return a share for each of some days, with the orbits."""
    days = pd.date_range("2021-06-01", periods=len(values))
    return xr.DataArray(values, {"time": days, "relative_orbit": ("time", orbits)}, "time")


def test_overpasses_are_dots_of_their_orbit():
    """Each orbit has its own dots, at the share in percent, and the limit is a dashed line."""
    share = share_of([0.1, 0.9, 0.5], [51, 8, 51])
    picture = course.show_overpasses(share, least=0.8)
    dots = {one.label: one for one in picture if type(one).__name__ == "Scatter"}
    assert list(dots) == ["orbit 8", "orbit 51"]
    assert dots["orbit 8"]["share (%)"].tolist() == [90]
    assert dots["orbit 51"]["share (%)"].tolist() == [10, 50]
    assert [one.data for one in picture if type(one).__name__ == "HLine"] == [80]


def test_scenes_are_outlined(items):
    """Each orbit and tile has a line through its scenes' corners; the title says synthetic."""
    grid = make_grid("delft", "EPSG:28992", 10)
    picture = course.show_scenes(items, grid)
    lines = {one.label: one for one in picture if type(one).__name__ == "Curve"}
    assert list(lines) == ["R008, 31UET", "R008, 31UFT", "R051, 31UET", "R051, 31UFT"]
    own = [i for i in items if i.properties["sat:relative_orbit"] == 8 and "T31UFT" in i.id]
    corners = {tuple(point) for item in own for point in item.geometry["coordinates"][0]}
    drawn = np.column_stack([lines["R008, 31UFT"].dimension_values(n) for n in (0, 1)])
    assert {tuple(point) for point in drawn if np.isfinite(point).all()} == corners
    assert "synthetic practice data" in picture.opts.get("plot").kwargs["title"]


def test_scenes_are_listed(items):
    """The table has a row for each scene, with what its item says."""
    table = course.list_scenes(items)
    assert table.id.tolist() == [item.id for item in items]
    assert set(table.tile) == {"31UET", "31UFT"}
    assert set(table.orbit) == {8, 51}


def test_no_scenes_end_in_advice():
    """Without a scene there is an error that says what to change."""
    with pytest.raises(InvalidInputError, match="another region or period"):
        course.list_scenes(pystac.ItemCollection([]))


def test_summary_says_what_where_when_and_how_large(practice_cube, shared_folder, items):
    """The box has the cube's extent, its days, what failed, and the size of all its files."""
    store = shared_folder / "practice.zarr"
    report = BuildReport(str(store), failed={"<b>scene</b>": "cannot be read"})
    page = course.show_summary(report, items, practice_cube).data
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) / 1e6
    assert f"{size:.1f} MB: " in page
    assert "500 × 500 pixels of 10 m in EPSG:28992" in page
    assert f"{practice_cube.sizes['time']} overpasses, relative orbits 8, 51" in page
    assert "Synthetic practice data" in page
    assert "1 set aside" in page


def test_summary_of_a_build_without_trouble(practice_cube, shared_folder, items):
    """Where all is well, nothing failed."""
    report = BuildReport(str(shared_folder / "practice.zarr"))
    page = course.show_summary(report, items, practice_cube).data
    assert "What failed</th>" in page
    assert ">nothing</td>" in page


def test_trouble_is_listed_by_kind(items):
    """Each scene or chunk with a problem has a row that says what happened to it."""
    report = BuildReport(
        "x.zarr", failed={"a": "why"}, corrected={"b": "why"}, outside=("c",), damaged=("d",)
    )
    table = course.list_trouble(report, items)
    assert table["what happened"].tolist() == ["set aside", "corrected", "outside", "damaged"]
    assert table["scene or chunk"].tolist() == list("abcd")
    assert course.list_trouble(BuildReport("x.zarr"), items).empty
