"""The notebooks run headless from top to bottom, on practice and on real scenes."""

import html
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import rasterio.warp
import yaml

import s2kit

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PERIOD = {"start": "2021-04-01", "end": "2021-06-30"}
PARAMETERS = (
    "source, aoi, start, end, store, crs, resolution, bands, resampling, relative_orbit, "
    "max_cloud, scheduler"
)

UNRELATED = (
    "+proj=sterea +lat_0=52.1561605555556 +lon_0=5.38763888888889 +k=0.9999079 +x_0=155000 "
    "+y_0=463000 +ellps=bessel +units=m +no_defs"
)
"""RD without a relation to WGS 84."""

RD = ("EPSG:28992", UNRELATED, f"{UNRELATED} +towgs84=0,0,0")


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """Return a folder to work in; practice scenes are kept there or in the tree."""
    folder = tmp_path_factory.mktemp("notebooks")
    made = ROOT / "data/practice"
    place = made if (made / "practice.json").exists() else folder / "practice"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2KIT_PRACTICE", os.environ.get("S2KIT_PRACTICE", str(place)))
        yield folder


def papermill(name, output, **parameters):
    """Run a notebook as the Makefile does; return the finished process and the executed notebook.

    Its exercise is solved as the notebook itself suggests.
    """
    program = [sys.executable, "-m", "papermill", "-k", "python3", "--no-progress-bar"]
    nbformat.write(solved(ROOT / f"notebooks/{name}.ipynb"), output)
    files = [output, output]
    given = ["-y", yaml.safe_dump(parameters)] if parameters else []
    began = time.monotonic()
    done = subprocess.run(
        [*program, "--cwd", ROOT / "notebooks", *files, *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{name}: {time.monotonic() - began:.0f} s; peak of all runs so far {peak:.2f} GB")
    return done, nbformat.read(output, as_version=4)


def solved(path):
    """Return a notebook with its published solution in place of None."""
    notebook = nbformat.read(path, as_version=4)
    text = "".join(cell.source for cell in notebook.cells if "<summary>A solution" in cell.source)
    lines = re.findall(r"^<p><code>(.*)</code></p>$", text, re.MULTILINE)
    for cell in notebook.cells:
        if lines and cell.cell_type == "code":
            cell.source = cell.source.replace("answer = None", html.unescape("\n".join(lines)))
    return notebook


def run(name, output, **parameters):
    """Run a notebook that is expected to succeed; return the executed notebook."""
    done, notebook = papermill(name, output, **parameters)
    assert done.returncode == 0, done.stdout
    return notebook


def printed(notebook):
    """Return all that the cells printed, with the text of tables and pictures."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    texts = [o.text for o in outputs if o.output_type == "stream"]
    return "".join([*texts, *(o.data.get("text/html", "") for o in outputs if "data" in o)])


def complaints(notebook):
    """Return what the cells wrote to standard error, without progress bars."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    texts = [o.text for o in outputs if o.get("name") == "stderr"]
    return [text for text in texts if not re.search(r"%\||\d[a-z]*/s\]", text)]


def pictures(notebook):
    """Return the cells that drew something."""
    drawn = "application/vnd.holoviews_exec.v0+json"
    return {
        cell.id: "".join(o.data.get("text/html", "") for o in cell.outputs if "data" in o)
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.id != "imports"
        if any(drawn in o.get("data", {}) for o in cell.outputs)
    }


def bytes_and_times(folder):
    """Return each file's bytes and time of change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="session")
def practice(work):
    """Build a small practice cube with notebook 01; return its place and the executed notebook."""
    store = work / "practice.zarr"
    return store, run("01_build_cube", work / "01.ipynb", store=str(store), **PERIOD)


def test_practice_cube_has_its_steps(practice):
    """The cube holds the period's overpasses of both orbits, on the grid of the region."""
    store, notebook = practice
    cube = s2kit.open_cube(store)
    days = sorted(str(day)[:10] for day in cube.time.values)
    assert days[0] >= PERIOD["start"] and days[-1] <= PERIOD["end"]
    assert set(cube.relative_orbit.values) == {8, 51}
    assert (cube.sizes["y"], cube.sizes["x"]) == (500, 500)
    assert f"{cube.sizes['time']} steps" in printed(notebook)


def test_build_notebook_complains_of_nothing(practice):
    """A run without trouble leaves no warning in the report."""
    assert complaints(practice[1]) == []
    assert "✓ Nothing: all is well." in printed(practice[1])
    assert "✓ Right" in printed(practice[1])


def test_every_picture_of_practice_data_says_so(practice):
    """Each picture's title, and the report, say that the data are synthetic."""
    drawn = pictures(practice[1])
    assert set(drawn) == {"map", "timeline", "look"}
    assert [cell for cell, html in drawn.items() if "synthetic practice data" not in html] == []
    assert "Synthetic practice data" in printed(practice[1])


def test_building_again_changes_nothing(practice, work):
    """The second run says that there is nothing to do, and no byte and no time changes."""
    store = practice[0]
    before = bytes_and_times(store)
    again = run("01_build_cube", work / "again.ipynb", store=str(store), **PERIOD)
    assert "Nothing to do" in printed(again)
    assert bytes_and_times(store) == before


def test_first_look_runs_on_the_practice_cube(practice, work):
    """Notebook 00 draws its pictures, finds everything installed, and warns of nothing."""
    notebook = run("00_start_here", work / "00.ipynb", store=str(practice[0]))
    drawn = pictures(notebook)
    assert set(drawn) == {"day", "time-map", "time-picture", "classes"}
    assert [cell for cell, html in drawn.items() if "synthetic practice data" not in html] == []
    assert complaints(notebook) == []
    assert "✓ Right" in printed(notebook)
    assert "✗" not in printed(notebook)


def report_page(path):
    """Return a notebook as the page that the Makefile makes of it."""
    command = [sys.executable, ROOT / "tools/write_report.py", path, ROOT / "notebooks"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return path.with_suffix(".html").read_text()


@pytest.fixture(scope="session")
def pitfalls(practice, work):
    """Return notebook 09, executed on the practice cube."""
    return run("09_pitfalls", work / "09.ipynb", store=str(practice[0]))


def numbers(notebook, pattern):
    """Return the numbers in the first text that fits, among all that was printed."""
    return [float(text) for text in re.search(pattern, printed(notebook)).groups()]


def test_pitfalls_are_shown(pitfalls):
    """Notebook 09 draws its pictures, is solved as it suggests, and complains of nothing."""
    seen = {"offset-mended", "water-mended", "classes-mended", "datum-picture", "nodata-mended"}
    assert set(pictures(pitfalls)) == seen
    assert complaints(pitfalls) == []
    assert "✓ Right" in printed(pitfalls)


def test_pitfalls_of_values_are_measured(pitfalls, practice):
    """What mistakes with offsets, dark water and gaps cost agrees with other ways to compute it."""
    home, stated = numbers(
        pitfalls, r"offset -1000, NDVI (\S+)\nBy the metadata: offset 0, NDVI (\S+)"
    )
    (january,) = numbers(pitfalls, r"2022-01-15.*\s*.*\s*.*\s*.*\s*<td>(0\.\d+)</td>")
    assert stated == january
    assert home > 1
    true, signed = numbers(pitfalls, r"true mean (\S+), signed (\S+),")
    clipped, chosen = numbers(pitfalls, r"clipped (\S+), without the zeros (\S+),")
    assert true == pytest.approx(signed, abs=2e-4)
    assert signed < clipped < chosen
    untagged, tagged = numbers(pitfalls, r"Mean red (\S+) without the tag, (\S+) with it")
    cube = s2kit.open_cube(practice[0], orbit=8)
    red = cube.B04.isel(time=cube.clear_fraction.argmax("time")).values
    assert tagged == pytest.approx(np.nanmean(red), abs=6e-4)
    assert untagged == pytest.approx(np.nan_to_num(red, nan=-0.9999).mean(), abs=6e-4)


def test_pitfalls_of_places_and_dates_are_measured(pitfalls):
    """What mistakes with pixels, datum, dates and failures cost is what GDAL and theory say."""
    (share,) = numbers(pitfalls, r"corners: (\d+) % of the points")
    assert share == pytest.approx(75, abs=3)  # half a pixel in x and in y keeps a quarter
    assert numbers(pitfalls, r"The map has moved by (\S+) m") == [round(10 / 2**0.5, 1)]
    ballpark, zeros = numbers(pitfalls, r"PROJ string: (\d+) m away[^\0]*no shift: (\d+) m away")
    right, *others = (rasterio.warp.transform("EPSG:4326", crs, [4.48], [52.015]) for crs in RD)
    by_gdal = [np.hypot(*np.subtract(other, right)).item() for other in others]
    assert [ballpark, zeros] == pytest.approx(by_gdal, abs=1)
    mean, fair = numbers(pitfalls, r"the mean NDVI is (\S+) instead of (\S+)\.\n")
    assert mean / fair == pytest.approx((2 + 0.5) / 3 / 0.75, abs=0.01)  # one of two dates twice
    assert numbers(pitfalls, r"Longest gap: (\d+) days; (\d+) days") == [25, 15]


def test_pitfalls_need_the_practice_cube(real_cube, shared_folder, work):
    """Notebook 09 on a cube of real imagery ends in an error that names what it needs."""
    store = str(shared_folder / "real.zarr")
    done, _ = papermill("09_pitfalls", work / "09-real.ipynb", store=store)
    assert done.returncode != 0
    assert "is no practice cube in EPSG:28992" in done.stdout
    assert real_cube.rio.crs == "EPSG:32633"


def test_report_as_html_needs_no_network_for_its_pictures(practice, work):
    """The exported report holds the program that draws, and the pictures."""
    nbformat.write(practice[1], work / "01_build_cube.ipynb")
    page = report_page(work / "01_build_cube.ipynb")
    assert "Clear share of the region" in page
    assert len(re.findall(r"BokehJS library|Bokeh\.set_log_level|root\.Bokeh", page)) > 0
    assert len(page) > 3e6  # BokehJS alone is 1.4 MB; a page that fetches it is far smaller
    assert len(page) < 1e7


def test_report_begins_with_a_summary_and_has_no_code(practice, work):
    """The report has one heading above all, a summary, and neither code nor exercise."""
    nbformat.write(practice[1], work / "01_build_cube.ipynb")
    page = report_page(work / "01_build_cube.ipynb")
    body = page[page.index("<main") :]
    assert re.findall(r"<h1[^>]*>([^<]*)", body) == ["Report of the cube"]
    assert body.index("Size on disk") < body.index("What does it look like?")
    for hidden in ("In\xa0[", "build_cube(", "Exercise", "Predict first", "Quick question"):
        assert hidden not in body


def test_real_imagery_becomes_a_cube(real_data, work):
    """Ten real scenes in a catalogue give three steps of R079 and two of R122, not synthetic."""
    store = work / "real.zarr"
    notebook = run(
        "01_build_cube",
        work / "real.ipynb",
        source=str(real_data / "stac-l2a-2023/catalog.json"),
        aoi=[14.9, 45.0, 16.5, 47.0],
        store=str(store),
        crs="EPSG:32633",
        resolution=120,
        resampling="nearest",
    )
    assert s2kit.open_cube(store, orbit=79).sizes["time"] == 3
    assert s2kit.open_cube(store, orbit=122).sizes["time"] == 2
    assert "ynthetic" not in printed(notebook)
    assert complaints(notebook) == []


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("02_query_in_time", {}),
        ("03_ndvi_statistics", {}),
        ("04_cloud_free", {"period": None}),
        ("06_local_data", {"fields": None, "raster": None}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_course_runs_on_real_imagery(real_cube, shared_folder, work, name, parameters):
    """Notebooks adapt to four bands and five dates, draw, and complain of nothing."""
    store = str(shared_folder / "real.zarr")
    notebook = run(name, work / f"{name}-real.ipynb", store=store, **parameters)
    assert complaints(notebook) == []
    assert "✓ Right" in printed(notebook)
    assert len(pictures(notebook)) >= 3
    assert "synthetic practice data" not in "".join(pictures(notebook).values())
    assert real_cube.sizes["time"] == 5


def test_land_cover_is_learnt(practice_scenes, practice_cube, real_cube, shared_folder, work):
    """Notebook 05 trains, maps and judges on the whole practice cube, and says what it is.

    Its last step does so on real imagery.
    """
    store, labels = shared_folder / "practice.zarr", practice_scenes / "truth/fields.gpkg"
    real = str(shared_folder / "real.zarr")
    parameters = {"store": str(store), "labels": str(labels), "real": real}
    notebook = run("05_classify", work / "05.ipynb", **parameters)
    assert complaints(notebook) == []
    assert "✓ Right" in printed(notebook)
    drawn = pictures(notebook)
    assert real_cube.sizes["time"] == 5
    assert_only_real_step_is_real(drawn)


def assert_only_real_step_is_real(drawn):
    """All pictures say that the data are synthetic, but that of the last step."""
    real = drawn.pop("real")
    assert "(Sentinel-2)" in real and "synthetic practice data" not in real
    assert [cell for cell, html in drawn.items() if "synthetic practice data" not in html] == []


@pytest.mark.parametrize("name", ["00_start_here", "03_ndvi_statistics"])
def test_real_imagery_stands_beside_practice_data(practice, real_cube, shared_folder, work, name):
    """The last step shows a real cube, and says so."""
    real = str(shared_folder / "real.zarr")
    notebook = run(name, work / f"{name}-both.ipynb", store=str(practice[0]), real=real)
    assert complaints(notebook) == []
    assert real_cube.sizes["time"] == 5
    assert_only_real_step_is_real(pictures(notebook))


def test_few_bands_and_processes(real_data, work):
    """A cube without visible light or classes is built by worker processes and still reported."""
    store = work / "few.zarr"
    notebook = run(
        "01_build_cube",
        work / "few.ipynb",
        source=str(real_data / "stac-l2a-2023/catalog.json"),
        aoi=[15.0, 45.5, 15.4, 45.8],
        store=str(store),
        crs=32633,
        resolution=120,
        bands=["B08"],
        relative_orbit=79,
        scheduler="processes",
    )
    assert list(s2kit.open_cube(store).data_vars) == ["B08"]
    assert "Seen share" in pictures(notebook)["timeline"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"resolutoin": 20}, f"Did you mean resolution? .*: {PARAMETERS}"),
        ({"start": 2023, "end": 2021}, "ends before it starts"),
        ({"scheduler": "proceses"}, "Did you mean 'processes'"),
    ],
)
def test_wrong_parameters_end_in_advice(work, wrong, says):
    """A wrong parameter ends the run with an error that helps, before anything is written."""
    store = work / "never.zarr"
    done, _ = papermill("01_build_cube", work / "wrong.ipynb", store=str(store), **wrong)
    assert done.returncode != 0
    assert re.search("InvalidInputError: .*" + re.escape(says).replace(r"\.\*", ".*"), done.stdout)
    assert not store.exists()


def test_without_a_cube_the_first_look_says_how_to_make_one(work):
    """Notebook 00 without a cube ends in an error that names the command and the notebook."""
    done, _ = papermill("00_start_here", work / "none.ipynb", store=str(work / "none.zarr"))
    assert done.returncode != 0
    assert re.search(r"CubeError: there is no cube at .*make cube.*01_build_cube", done.stdout)
