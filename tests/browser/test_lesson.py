"""A lesson as a student has it: JupyterLab, the first notebook, and an exercise with its checks."""

import os
import re
import shutil
from pathlib import Path

import pytest
from in_jupyter import check_cells, open_in, wait_for_kernel
from playwright.sync_api import Locator, Page, expect
from watching import PANEL_LOADING

ROOT = Path(__file__).parents[2]

RUN = "Shift+Enter"


@pytest.fixture
def classroom(tmp_path) -> Path:
    """Return a folder with the notebooks and the practice cube, as a clone has them."""
    if not (ROOT / "data/cube.zarr").is_dir():
        missing = "no practice cube: make cube"
        pytest.fail(missing) if os.environ.get("S2KIT_REQUIRE") else pytest.skip(missing)
    folder = tmp_path / "classroom"
    leave_out = shutil.ignore_patterns(".ipynb_checkpoints", "source")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=leave_out)
    (folder / "data").symlink_to(ROOT / "data")
    return folder


def cell_of(page: Page, text: str) -> Locator:
    """Find the code cell that begins with a text; JupyterLab draws a cell when it is in sight."""
    begins = page.locator(".cm-line:first-child").filter(has_text=re.compile(f"^{re.escape(text)}"))
    cells = page.locator(".jp-CodeCell").filter(has=begins)
    for _ in range(40):
        if cells.count():
            break
        page.locator(".jp-WindowedPanel-outer").last.hover()
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(100)
    cells.first.scroll_into_view_if_needed()
    return cells.first


def run(page: Page, text: str) -> Locator:
    """Run the cell that begins with a text, and wait until it has ended."""
    cell = cell_of(page, text)
    cell.locator(".cm-content").click()
    page.keyboard.press(RUN)
    wait_for_kernel(page)
    return cell


def answer(page: Page, text: str, code: str) -> None:
    """Write an answer into the cell that begins with a text, and run it."""
    cell = cell_of(page, text)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(code)
    page.keyboard.press(RUN)
    wait_for_kernel(page)


def test_first_lesson(start_lab, classroom, page, watch):
    """Notebook 00 runs to its end; an exercise fails a check, gives a hint, and is mended."""
    watch.forgive(*PANEL_LOADING)
    lab = start_lab(classroom)
    open_in(lab, page, watch, "notebooks/00_start_here.ipynb", seconds=400)
    checked = cell_of(page, "answer = None").locator(".jp-OutputArea-output")
    expect(checked.first).to_contain_text("Put your answer in place of None")

    open_in(lab, page, watch, "notebooks/exercises/02_query_in_time.ipynb", run=False)
    answer(page, "student = None", 'student = "s1234567"')
    run(page, 'store = "../../data/cube.zarr"')
    setup = run(page, "import pandas as pd")
    expect(setup.locator(".jp-OutputArea-output").first).to_contain_text("overpasses")
    check = "right = course.checks.season_count(summer, cube)"
    for code, said in (
        (None, "Put your answer in place of None and run the cell again."),
        ('summer = cube.time.dt.season == "JJA"', "count the true ones with .sum()"),
        ('summer = (cube.time.dt.season == "JJA").sum()', "✓ Right"),
    ):
        if code is None:
            run(page, "summer = None")
        else:
            answer(page, "summer =", code)
        checked = run(page, check)
        expect(checked.locator(".jp-OutputArea-output").first).to_contain_text(said)
    check_cells(page)
