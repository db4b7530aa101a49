"""JupyterLab's launcher, and so Binder's, has a tile for each viewer, which opens it as a page."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from expecting import is_
from playwright.sync_api import Page, expect
from seeing import Seen
from services import TOKEN, Lab

from s2kit.course import launcher

ROOT = Path(__file__).parents[2]
TILES = {
    "Time query": launcher.QUERY,
    "NDVI statistics": launcher.STATISTICS,
}

STUB = """
from pathlib import Path

import panel as pn

pn.extension()
button = pn.widgets.Button(name="Count")
said = pn.pane.HTML(f"{Path('here').read_text()}", css_classes=["said"])
button.on_click(lambda event: setattr(said, "object", f"clicked {event.new}"))
pn.Column("# NAME", button, said).servable()
"""


@pytest.fixture
def stub_lab(start_lab, tmp_path) -> Lab:
    """Run JupyterLab as Binder does, in a repository whose notebooks are stubs."""
    notebooks = tmp_path / "repository/notebooks"
    notebooks.mkdir(parents=True)
    (notebooks / "here").write_text("in the folder of the notebooks")
    for name in TILES.values():
        cell = nbformat.v4.new_code_cell(STUB.replace("NAME", name))
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), notebooks / f"{name}.ipynb")
    return start_lab(notebooks.parent, base="/user/someone")


def click_tile(page: Page, lab: Lab, title: str) -> Page:
    """Open the launcher and click a tile; give the page that it opens."""
    page.goto(lab.address())
    with page.expect_popup(timeout=180_000) as opened:  # it is told of once it is served
        page.locator(".jp-LauncherCard", has_text=title).click()
    return opened.value


def panel_servers(lab: Lab) -> list[int]:
    """Return the processes that serve viewers."""
    family = lab.process.children(recursive=True)
    return [process.pid for process in family if "s2kit.course.launcher" in process.cmdline()]


def test_tiles_open_both_apps_of_one_server(page, stub_lab):
    """Each tile opens its app, which answers to clicks, in the folder of the notebooks."""
    assert panel_servers(stub_lab) == []
    for title, name in TILES.items():
        app = click_tile(page, stub_lab, title)
        expect(app.get_by_role("heading", name=name)).to_be_visible(timeout=60_000)
        said = app.locator(".said div").first
        expect(said).to_have_text("in the folder of the notebooks")
        app.get_by_role("button", name="Count").click()
        expect(said).to_have_text("clicked 1")
    assert len(panel_servers(stub_lab)) == 1
    assert "Traceback" not in stub_lab.log


def test_no_tiles_without_the_notebooks(tmp_path, monkeypatch):
    """Where the notebooks are not, there is no tile that leads nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launcher, "__file__", str(tmp_path / "s2kit/course/launcher.py"))
    for tile in (launcher.time_query(), launcher.ndvi_statistics()):
        assert tile["launcher_entry"]["enabled"] is False
        assert tile["command"][0] == sys.executable


@pytest.fixture
def real_notebooks() -> Path:
    """Return the folder of the notebooks; without a practice cube, skip, or fail if required."""
    if not (ROOT / "data/cube.zarr").is_dir():
        missing = "no practice cube: make cube"
        pytest.fail(missing) if os.environ.get("S2KIT_REQUIRE") else pytest.skip(missing)
    return ROOT / "notebooks"


def expect_viewer(app: Page, title: str) -> None:
    """Wait for a viewer that shows a picture, and see that nothing else is on its page."""
    seen = Seen(app).wait(seconds=180)
    expect(app.get_by_role("heading", name=title)).to_be_visible()
    expect(app.get_by_role("heading")).to_have_count(1)
    seen.eventually(lambda: is_(bool(seen.picture().pixels.any()), True))
    seen.press("Zoom in")
    expect(seen.error).to_have_count(0)
    roots = "() => Bokeh.documents[0].roots().map((root) => root.type)"
    assert sum(kind.endswith("Column") for kind in app.evaluate(roots)) == 1


def test_tiles_open_the_viewers(page, start_lab, real_notebooks):
    """The tile of each viewer opens the real one, and nothing else of its notebook."""
    lab = start_lab(real_notebooks.parent)
    for title in TILES:
        expect_viewer(click_tile(page, lab, title), title)
    expect_no_token(page, f"{lab.url}/s2kit/{launcher.QUERY}")
    assert "Traceback" not in lab.log


def expect_no_token(page: Page, address: str) -> None:
    """Open a viewer by the server's token: its address is without, and opens it again."""
    page.context.clear_cookies()
    page.goto(f"{address}?token={TOKEN}&variable=NDVI", timeout=180_000)
    expect_viewer(page, "Time query")
    page.wait_for_url("**view=**")
    assert TOKEN not in page.url
    again = page.context.new_page()
    again.goto(page.url, timeout=180_000)
    expect_viewer(again, "Time query")


def test_notebooks_are_served_from_the_root(page, serve_app, real_notebooks):
    """``panel serve`` shows both viewers from the repository's root too."""
    files = [real_notebooks / f"{name}.ipynb" for name in TILES.values()]
    service = serve_app(*files, cwd=ROOT)
    for title, name in TILES.items():
        page.goto(f"{service.url}/{name}", timeout=180_000)
        expect_viewer(page, title)
        expect(page).to_have_title(title)
    page.goto(f"{service.url}/{launcher.STATISTICS}?variable=B08&limits=[0.1,0.2]")
    seen = Seen(page).wait(seconds=180)
    assert "B08, mean" in seen.title()
    assert "variable=B08" in page.url and "null" not in page.url
