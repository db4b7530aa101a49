"""The harness holds what its fixtures promise: on a small app, before the viewers rely on it."""

import re

import nbformat
import pytest
from playwright.sync_api import Error, Page, expect

APP = """
import numpy as np
import panel as pn
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, LinearColorMapper
from bokeh.plotting import figure

pn.extension()


def picture(step):
    return {"image": [np.full((10, 10), step)], "x": [0], "y": [0], "dw": [10], "dh": [10]}


source = ColumnDataSource(picture(0))
plot = figure(width=300, height=300, x_range=(0, 10), y_range=(0, 10), tools="")
colours = LinearColorMapper(palette=["#000000", "#ffffff"], low=0, high=9)
plot.image(source=source, color_mapper=colours)
slider = pn.widgets.IntSlider(name="Step", start=0, end=9)
said = pn.pane.HTML("nothing yet", css_classes=["said"])
slider.param.watch(lambda event: setattr(source, "data", picture(event.new)), "value")
plot.on_event(Tap, lambda event: setattr(said, "object", f"clicked {event.x:.0f} {event.y:.0f}"))
view = pn.Column(slider, pn.pane.Bokeh(plot), said)
"""


def assert_works(page: Page) -> None:
    """Use the app as a person does, and see that Python heard."""
    said, plot = page.locator(".said div").first, page.locator(".bk-Figure").first
    expect(said).to_have_text("nothing yet", timeout=60_000)
    plot.scroll_into_view_if_needed()
    before = plot.screenshot()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(said).to_have_text(re.compile(r"clicked \d \d"))
    handle = page.locator(".noUi-handle")
    handle.press("End")
    expect(handle).to_have_attribute("aria-valuenow", "9.0")
    page.wait_for_timeout(500)
    assert plot.screenshot() != before


def notebook(*cells: str) -> nbformat.NotebookNode:
    """Make a notebook."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        metadata={"kernelspec": kernel}, cells=[nbformat.v4.new_code_cell(c) for c in cells]
    )


def test_app_works_in_panel_serve(page, serve_app, tmp_path):
    """A slider changes a picture and a click on the canvas reaches Python, in a page of its own."""
    script = tmp_path / "app.py"
    script.write_text(APP + "view.servable()\n")
    service = serve_app(script)
    page.goto(f"{service.url}/app")
    assert_works(page)
    assert service.process.memory_info().rss > 1e6


def test_app_works_in_jupyterlab(open_notebook, jupyter_lab):
    """The same in a notebook, after all its cells were run from JupyterLab's menu."""
    nbformat.write(notebook(APP, "view"), jupyter_lab.root / "app.ipynb")
    assert_works(open_notebook("app.ipynb"))


def test_cell_that_fails_is_told(open_notebook, jupyter_lab, page):
    """A notebook whose cell ends in an error fails the test that opens it."""
    nbformat.write(notebook("1 / 0", "2"), jupyter_lab.root / "broken.ipynb")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        open_notebook("broken.ipynb", seconds=20)
    page.goto("about:blank")


def test_long_notebook_is_run_to_its_end(open_notebook, jupyter_lab):
    """Cells that are out of sight are waited for as well."""
    slow = "import time; time.sleep(0.05); print('line\\n' * 8)"
    nbformat.write(notebook(*40 * [slow], "print('the ' + 'end')"), jupyter_lab.root / "long.ipynb")
    expect(open_notebook("long.ipynb").get_by_text("the end", exact=True)).to_be_attached()


def test_errors_of_a_page_are_told(page, watch):
    """An error on the console and an exception that nobody catches fail the test."""
    page.evaluate("console.error('lost'); setTimeout(() => { throw new Error('thrown') }, 0)")
    page.wait_for_timeout(200)
    assert any("lost" in said for said in watch.errors)
    assert any("thrown" in said for said in watch.errors)
    with pytest.raises(AssertionError, match="thrown"):
        watch.check()
    watch.errors.clear()


def test_page_stays_on_this_machine(page, watch):
    """A request to another machine is not let through, and fails the test."""
    with pytest.raises(Error, match="ERR_FAILED"):
        page.goto("http://elsewhere.invalid/data.js")
    assert watch.outside == ["http://elsewhere.invalid/data.js"]
    watch.outside.clear()
    watch.errors.clear()
