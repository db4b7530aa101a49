"""The controls by which files are uploaded: places, and own measurements."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import panel as pn

from s2kit.viewers.controls import WIDTH, button
from s2kit.viewers.measurements import FORMATS, Measurements, choose
from s2kit.viewers.page import Page


def file_input(
    title: str, formats: Sequence[str], act: Callable[[bytes, str], Any], page: Page
) -> pn.widgets.FileInput:
    """Build a control that calls ``act(content, filename)`` for a file, whose name ends so."""
    file = pn.widgets.FileInput(
        label=title, accept=",".join(formats), margin=(3, 10), directory=False, multiple=False
    )
    upload = page.guarded(act)

    def take(*_events: Any) -> None:
        content, filename = file.value, file.filename
        if filename:  # not so when it is cleared, which leaves an error on the page
            file.param.update(value=None, filename=None)
            file.clear()
            upload(content or b"", filename)

    file.param.watch(take, ["value", "filename"])
    return file


def measurement_controls(viewer: Any, hint: str) -> pn.Column:
    """Build the controls of own measurements; ``hint`` says what a file has to hold."""
    remove = button("Remove measurements", viewer.remove_measurements, viewer.page)
    remove.visible = viewer.param.measurements.rx.is_not(None)
    return pn.Column(
        pn.pane.HTML(hint, width=WIDTH, margin=(8, 10, 0, 10), styles={"font-size": "13px"}),
        file_input("File of measurements", FORMATS, viewer.upload_measurements, viewer.page),
        viewer.measured.pane,
        remove,
    )


class MeasuredLine:
    """A line that tells which measurements are drawn; ``told`` is its text."""

    def __init__(self):
        self.told = ""
        self.pane = pn.pane.HTML("", width=WIDTH, margin=(0, 10), styles={"font-size": "13px"})

    def choose(
        self, measured: Measurements | None, places: Sequence[str] | None, years: tuple[int, int]
    ) -> tuple[str, pd.DataFrame] | None:
        """Return what was measured, and that of it which is drawn; see `measurements.choose`."""
        drawn, self.told = (None, "") if measured is None else choose(measured, places, years)
        self.pane.object = html.escape(self.told)
        return None if measured is None or drawn is None else (measured.name, drawn)
