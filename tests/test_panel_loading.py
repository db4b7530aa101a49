"""Panel is loaded into a notebook once for each page, and into nothing else."""

import subprocess
import sys
from types import SimpleNamespace

import nbformat
import panel as pn
import pytest
from nbclient import NotebookClient

from s2kit import panel_loading


@pytest.fixture
def published(monkeypatch):
    """Collect what would be ``shown`` in a notebook, asked for by its page, ``kernel.page``."""
    shown: list[dict] = []
    kernel = SimpleNamespace(get_parent=lambda: {"header": {"session": kernel.page}}, page="first")
    monkeypatch.setattr(panel_loading, "_kernel", lambda: kernel)
    monkeypatch.setattr(panel_loading, "_pages", set())
    monkeypatch.setattr(panel_loading, "_publish", shown.append)
    monkeypatch.setattr(panel_loading, "_start_panel", lambda: None)
    monkeypatch.setattr(panel_loading, "_loader", lambda: "Panel")
    return SimpleNamespace(shown=shown, kernel=kernel)


def test_each_page_gets_panel_once(published):
    """A page that was loaded again, or another one of the same kernel, gets Panel too."""
    for page in ("first", "first", "loaded again", "first", "loaded again"):
        published.kernel.page = page
        panel_loading.load_panel()
    assert published.shown == 2 * [{"application/javascript": "Panel"}]


def test_other_front_ends_load_panel_themselves(published):
    """Where Panel displays by ipywidgets, as in VS Code, nothing is loaded."""
    with pn.config.set(comms="vscode"):
        panel_loading.load_panel()
    assert published.shown == []


STORE = """
import numpy as np, pandas as pd, s2kit, xarray as xr
from s2kit import course

time = pd.date_range("2021", periods=3)
x, y = 88_500 + np.arange(4) * 10.0, 450_500 - np.arange(4) * 10.0
values = np.random.default_rng(0).random((3, 4, 4), "f4")
cube = xr.Dataset({"B04": (("time", "y", "x"), values)}, {"time": time, "x": x, "y": y})
cube = cube.rio.write_crs("EPSG:28992")
"""


def test_a_notebook_holds_panel_once():
    """Pictures and two viewers of a notebook hold Panel's JavaScript once: 3 MB."""
    viewer = "s2kit.viewers.TimeQuery(cube)"
    cells = ["import rioxarray\n" + STORE, "course.start_pictures()", viewer, viewer]
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    done = NotebookClient(nbformat.v4.new_notebook(cells=code), kernel_name="python3").execute()
    outputs = [output.get("data", {}) for cell in done.cells for output in cell.outputs]
    sizes = [len(text) for data in outputs for text in data.values() if isinstance(text, str)]
    assert [size for size in sizes if size > 1_000_000] == [pytest.approx(3_300_000, rel=0.1)]
    assert sum(sizes) < 4_500_000


def test_a_script_is_left_alone():
    """In a script nothing is displayed, and Panel is not started."""
    code = STORE + (
        "import panel\ns2kit.viewers.TimeQuery(cube)\nassert not panel.extension._loaded\n"
    )
    command = [sys.executable, "-c", "import rioxarray\n" + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
