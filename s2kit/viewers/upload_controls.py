"""The controls by which files are uploaded: places, and own measurements."""

from collections.abc import Callable, Sequence
from typing import Any

import panel as pn

from s2kit.viewers.controls import WIDTH, button
from s2kit.viewers.measurements import FORMATS
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
        viewer.measured,
        remove,
    )
