"""A viewer in a cell is drawn however Panel was loaded, or says what to do.

In JupyterLab and Jupyter Notebook, behind the prefix of a hub and without, not asking other
machines, with the Panel that is installed, those of the lock for older Pythons, and the newest.
"""

import io
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import nbformat
import panel
import pytest
from in_jupyter import open_in, start_all_cells, wait_for_kernel
from packaging.version import Version
from PIL import Image
from playwright.sync_api import Page, expect
from seeing import Seen
from services import HUB, Lab, run_lab
from watching import PANEL_LOADING

ROOT = Path(__file__).parents[2]
PROGRAMS = ("lab", "notebooks")
VIEWERS = ("TimeQuery", "NdviStatistics")
WAYS = {
    "as in the README": "import s2kit",
    "extension": "import panel, s2kit; panel.extension()",
    "inline": "import panel, s2kit; panel.extension(inline=True)",
    "hvPlot first": "import hvplot.xarray, panel, s2kit; panel.extension()",
    "HoloViews alone": "import holoviews, s2kit; holoviews.extension('bokeh')",
}
CASES = [
    *((HUB, program, way) for program in PROGRAMS for way in WAYS),
    *(("", program, way) for program in PROGRAMS for way in ("as in the README", "extension")),
]
"""Jupyter Notebook asks the same places with a prefix and without."""

OUTPUT = ".jp-OutputArea-output"
ADVICE = "The viewer is not drawn"


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook of cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}, cells=code), path)


def viewer_of(store: Path, kind: str = "TimeQuery") -> str:
    """Return the code that shows a viewer as the last line of a cell."""
    return f"s2kit.viewers.{kind}(s2kit.open_cube({str(store)!r}))"


def expect_answers(page: Page, count: int = 1) -> None:
    """Wait for viewers in the cells, and see that each is drawn and that Python answers."""
    cells = page.locator(f".jp-Cell:has({OUTPUT} [role=status])")
    expect(cells).to_have_count(count, timeout=60_000)
    for number in range(count):
        seen = Seen(page, f".jp-Cell:has({OUTPUT} [role=status]) >> nth={number}").wait()
        before = seen.status.inner_text()
        seen.press("Zoom in")
        expect(seen.status).not_to_have_text(before)
        picture = seen.root.locator(".bk-Figure >> visible=true").first.screenshot()
        assert len(Image.open(io.BytesIO(picture)).convert("RGB").getcolors(1 << 20)) > 50
    told = page.get_by_text(ADVICE).or_(page.get_by_text("Install Panel in the environment"))
    expect(told.locator("visible=true")).to_have_count(0)


@pytest.mark.parametrize(("jupyter_lab", "program", "way"), CASES, indirect=["jupyter_lab"])
def test_viewer_is_drawn(jupyter_lab, open_notebook, watch, known_store, program, way):
    """A viewer is drawn and answers, however Panel was loaded."""
    kinds = VIEWERS if way == "extension" else VIEWERS[:1]
    cells = [viewer_of(known_store, kind) for kind in kinds]
    write_notebook(jupyter_lab.root / "viewer.ipynb", WAYS[way], *cells)
    if way != "as in the README":
        watch.forgive(*PANEL_LOADING)
    expect_answers(open_notebook("viewer.ipynb", program=program), len(kinds))


# Other versions of Panel


def other_panels() -> list[str]:
    """Name the versions of Panel that the lock has for older Pythons, and the newest."""
    locked = re.findall(r"^panel==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    return [*(v for v in locked if Version(v) < Version(panel.__version__)), "newest"]


def run_pip(python: Path, *arguments: str) -> None:
    """Run pip for another Python; where it gets no packages, skip, or fail if required."""
    command = [sys.executable, "-m", "pip", "--python", str(python), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(done.stderr) if os.environ.get("S2KIT_REQUIRE") else pytest.skip(done.stderr)


@pytest.fixture(scope="module", params=other_panels())
def panel_folder(request, tmp_path_factory) -> Path:
    """Install another Panel, and what it asks for, into a folder above the installed packages."""
    folder = tmp_path_factory.mktemp("panel")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    here = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=here))
    (packages / "below.pth").write_text(sysconfig.get_path("purelib"))
    wanted = "panel" if request.param == "newest" else f"panel=={request.param}"
    python = Path(sysconfig.get_path("scripts", "venv", vars=here), "python")
    run_pip(python, "install", "--quiet", "--upgrade", wanted)
    if not (packages / "panel").exists():
        pytest.skip(f"the installed Panel, {panel.__version__}, is the newest")
    return packages


@pytest.fixture(scope="module")
def other_lab(panel_folder, tmp_path_factory) -> Iterator[Lab]:
    """Run both programs behind a prefix, with another Panel."""
    folder = tmp_path_factory.mktemp("other")
    root = folder / "root"
    root.mkdir()
    with run_lab(root, folder, base=HUB, panel=panel_folder) as lab:
        yield lab


@pytest.mark.parametrize("program", PROGRAMS)
def test_viewer_is_drawn_by_another_panel(page, other_lab, watch, known_store, program):
    """A viewer is drawn and answers with other versions of Panel, too."""
    write_notebook(
        other_lab.root / "viewer.ipynb",
        WAYS["extension"],
        viewer_of(known_store),
        f"print('another' if panel.__version__ != {panel.__version__!r} else 'the same')",
    )
    watch.forgive(*PANEL_LOADING)
    open_in(other_lab, page, watch, "viewer.ipynb", program=program)
    expect_answers(page)
    expect(page.get_by_text("another", exact=True)).to_be_visible()
    other_lab.stop_kernels()


# What happens to pages


def run_cell(page: Page, number: int) -> None:
    """Run one cell again."""
    page.locator(".jp-CodeCell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")


@pytest.mark.parametrize("jupyter_lab", [HUB], indirect=True)
def test_page_that_was_loaded_again(jupyter_lab, open_notebook, page, watch, known_store):
    """After a reload the viewer's cell alone draws it; where Panel is not there, it is told."""
    write_notebook(
        jupyter_lab.root / "again.ipynb", WAYS["as in the README"], viewer_of(known_store)
    )
    expect_answers(open_notebook("again.ipynb"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    wait_for_kernel(page)
    for _ in range(2):
        run_cell(page, 1)
        page.wait_for_timeout(1000)
        expect_answers(page)

    page.get_by_role("menuitem", name="File", exact=True).click()
    page.locator(".lm-Menu-itemLabel", has_text="Save Notebook").first.click()
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    page.goto("about:blank")
    jupyter_lab.stop_kernels()
    open_notebook("again.ipynb", run=False)
    advice = page.get_by_text(ADVICE)
    expect(advice).to_be_hidden()
    expect(advice).to_be_visible()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells…", exact=True).click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(advice).to_be_hidden()
    expect_answers(page)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("jupyter_lab", [HUB], indirect=True)
def test_click_while_a_later_cell_runs(jupyter_lab, open_notebook, page, known_store, program):
    """What is clicked before the kernel has heard of the viewer is done when the cell has ended."""
    cells = ["import s2kit, time", viewer_of(known_store), "time.sleep(20)\nprint('slept')"]
    write_notebook(jupyter_lab.root / "busy.ipynb", *cells)
    open_notebook("busy.ipynb", program=program, run=False)
    start_all_cells(page)
    seen = Seen(page, f".jp-Cell:has({OUTPUT} [role=status])").wait()
    before = seen.status.inner_text()
    page.wait_for_timeout(6000)  # longer than Panel waits for an answer
    seen.press("Zoom in")
    expect(page.get_by_text("slept", exact=True)).to_be_hidden()
    expect(seen.status).not_to_have_text(before, timeout=60_000)
    expect(page.get_by_text("slept", exact=True)).to_be_visible()


@pytest.mark.parametrize("jupyter_lab", [HUB], indirect=True)
def test_server_without_pyviz_comms(jupyter_lab, open_notebook, page, watch, known_store):
    """A viewer that cannot reach Python says what the server lacks."""
    write_notebook(
        jupyter_lab.root / "apart.ipynb", WAYS["as in the README"], viewer_of(known_store)
    )
    page.route("**/@pyviz/jupyterlab_pyviz/**", lambda route: route.abort())
    open_notebook("apart.ipynb")
    expect(page.get_by_text("Install pyviz_comms in the environment of the server")).to_be_visible()
    watch.errors.clear()  # the front end tells of what was kept from it
