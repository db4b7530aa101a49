"""The site and the reports, in a browser: drawn, readable by all, and without the internet."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from threading import Thread

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
PAGES = ["index", "course", "guide", "docs/glossary", "api", "api/s2kit.composite", "search"]
PAGES += [f"notebooks/{name}" for name in (*NOTEBOOKS, "exercises/03_ndvi_statistics")]

ALLOWED: dict[str, str] = {}
"""Rule of axe → why a page may break it. Empty, and to be kept so."""

DRAWN = """() => {
  const figures = Object.values(Bokeh.index).flatMap((view) => [...view.model.references()])
    .filter((model) => model.type == 'Figure' || model.type == 'figure');
  return [figures.length, document.querySelectorAll('[data-root-id]').length];
}"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word on each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(built_site) -> Iterator[str]:
    """Serve the site as any server of files does, and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=built_site)) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Write the report of a notebook with a picture, a table, a progress bar and a viewer."""
    cube = (
        "import numpy as np, pandas as pd, rioxarray, s2kit, xarray as xr\n"
        "from s2kit import course\nfrom tqdm.notebook import tqdm\n"
        "time = pd.date_range('2021', periods=3)\n"
        "x, y = 88_500 + np.arange(40) * 10.0, 450_500 - np.arange(40) * 10.0\n"
        "values = np.random.default_rng(0).random((3, 40, 40), 'f4')\n"
        "cube = xr.Dataset({'B04': (('time', 'y', 'x'), values)}, {'time': time, 'x': x, 'y': y})\n"
        "cube = cube.rio.write_crs('EPSG:28992')\ncourse.start_pictures()"
    )
    picture = "cube.B04[0].hvplot.image(x='x', y='y', title='Red')"
    parts = [cube, picture, "pd.DataFrame({'a': [1]})", "list(tqdm(range(3)))"]
    parts += ["s2kit.viewers.TimeQuery(cube)"]
    notebook = new_notebook(cells=[new_code_cell(part) for part in parts])
    executed = tmp_path_factory.mktemp("report") / "report.ipynb"
    nbformat.write(NotebookClient(notebook, kernel_name="python3").execute(), executed)
    command = [sys.executable, ROOT / "tools/write_report.py", executed, ROOT / "notebooks"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return executed.with_suffix(".html")


def open_page(page: Page, url: str) -> None:
    """Open a page, and wait until all its pictures are drawn."""
    page.goto(url)
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-root-id]')].every((e) => e.childElementCount)"
    )


def serious(page: Page) -> list[str]:
    """Return what axe finds to be serious or critical, with the element."""
    options = {"resultTypes": ["violations"], "preload": False}  # which asks for files in vain
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {node['html'][:100]}"
        for one in found
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical") and one["id"] not in ALLOWED
    ]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_light_and_dark(page, address, name):
    """Axe finds nothing serious; at 420 pixels the page does not scroll sideways."""
    page.set_viewport_size({"width": 1280, "height": 900})
    open_page(page, f"{address}/{name}.html")
    page.add_style_tag(content="* { transition: none !important }")  # colours of rest are judged
    for theme in ("light", "dark"):
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        assert serious(page) == []
    page.set_viewport_size({"width": 420, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 420


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_pictures_of_a_notebook_are_drawn(page, address, watch, name):
    """Each picture of a notebook's page is drawn, from this machine alone (`watch`)."""
    open_page(page, f"{address}/notebooks/{name}.html")
    figures, roots = page.evaluate(DRAWN)
    assert figures >= roots > 0
    assert watch.failed == []


def test_picture_can_be_moved_and_read(page, address):
    """The mouse moves a picture, and shows values where it rests, without a kernel."""
    open_page(page, f"{address}/notebooks/00_start_here.html")
    canvas = page.locator(".bk-Figure").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    ranges = (
        "() => Object.values(Bokeh.index).flatMap((v) => [...v.model.references()])"
        ".filter((m) => m.type == 'Range1d').map((m) => [m.start, m.end])"
    )
    before = page.evaluate(ranges)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] + 30, steps=5)
    page.mouse.up()
    page.wait_for_function(f"(before) => JSON.stringify(({ranges})()) != before", arg=dumps(before))
    moved = page.evaluate(ranges)
    assert len(moved) == len(before) and moved != before
    page.mouse.move(middle[0] + 5, middle[1] + 5, steps=5)
    values = page.locator(".bk-Tooltip").first
    values.wait_for(state="visible")
    assert values.get_by_text(re.compile(r"\d")).count() > 0


@pytest.mark.parametrize("name", ["index", "notebooks/00_start_here"])
def test_site_works_from_a_folder(browser, built_site, name):
    """Without a server, from a file, a page is drawn and asks for files only."""
    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    open_page(page, (built_site / f"{name}.html").as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    if "notebooks" in name:
        assert page.evaluate(DRAWN)[0] > 0
    context.close()


def test_report_asks_for_nothing_and_draws(browser, report):
    """A report is one file: it draws, has nothing serious for axe, and requests nothing else."""
    context = browser.new_context()
    asked: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_page(page, report.as_uri())
    assert page.evaluate(DRAWN)[0] >= 1
    assert page.get_by_text("needs a running notebook").count() == 1
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert errors == []
    assert serious(page) == []
    context.close()
