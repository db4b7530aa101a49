"""Prepare executed notebooks for pages without a kernel, which ask no other machine for anything.

Panel, HoloViews and ipywidgets write outputs for JupyterLab. In a page that is only read, some of
them do nothing, and some fetch files from the internet.
"""

import json
import re
from collections.abc import Callable

from nbformat import NotebookNode, from_dict
from panel.io.resources import CDN_DIST, DIST_DIR

DRAWN = "application/vnd.holoviews_exec.v0+json"
"""What Panel adds to the HTML of a picture."""

LOADED = "application/vnd.holoviews_load.v0+json"
"""What Panel adds to a script that loads it; `course.start_pictures` has loaded Panel already."""

WIDGET = "application/vnd.jupyter.widget-view+json"
"""A widget of ipywidgets, such as a progress bar: it lives in the kernel."""

SENTENCE = (
    "<p><em>This is a viewer, which needs a running notebook. Open the notebook in JupyterLab or "
    "on Binder to move through the dates and to click on the map.</em></p>"
)

_STYLE_SHEET = re.compile(
    r'\{"type":"object","name":"ImportedStyleSheet","id":("[^"]+"),'
    r'"attributes":\{"url":"' + re.escape(CDN_DIST) + r'([^"?]+)[^"]*"\}\}'
)
_EMPTY_HEADER = re.compile(r"<th([^>]*)></th>")


def prepare(notebook: NotebookNode) -> NotebookNode:
    """Return an executed notebook whose outputs need neither a kernel nor the internet."""
    prepared = from_dict(notebook)
    prepared.metadata.pop("widgets", None)
    for cell in prepared.cells:
        if cell.cell_type == "code":
            cell.outputs = [_without_requests(o) for o in cell.outputs if _is_seen(o)]
            if is_viewer(cell):
                cell.outputs = [o for o in cell.outputs if _html(o) == SENTENCE]
    return prepared


def map_html(notebook: NotebookNode, change: Callable[[str], str]) -> None:
    """Change the HTML of all outputs in place."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = change(output.data["text/html"])


def is_viewer(cell: NotebookNode) -> bool:
    """Return whether a prepared cell displays a viewer, which a page cannot run."""
    return any(_html(output) == SENTENCE for output in cell.get("outputs", []))


def _html(output: NotebookNode) -> str:
    return output.get("data", {}).get("text/html", "")


def _is_seen(output: NotebookNode) -> bool:
    """Return whether an output shows something, or holds the program that draws pictures."""
    if output.output_type == "stream":
        return bool(output.text.strip())
    data = output.get("data", {})
    if output.output_type == "error":
        return True
    html = data.get("text/html", "")
    start_of_load = 'type="esms-options"' in html and 'role="alert"' in html
    return bool(data) and not (LOADED in data or WIDGET in data or start_of_load)


def _without_requests(output: NotebookNode) -> NotebookNode:
    """Return an output with its style sheets inside, and with tables that can be read aloud."""
    html = output.get("data", {}).get("text/html")
    if html is None:
        return output
    if 'class="s2kit-late"' in html:
        output.data, output.metadata, html = {}, {}, SENTENCE
    elif DRAWN in output.data:
        html = _STYLE_SHEET.sub(_inline, html)
        output.data = {"text/html": html}
        output.metadata = {}
    elif 'class="dataframe"' in html:
        html = _EMPTY_HEADER.sub(r"<td\1></td>", html)
    output.data["text/html"] = html
    return output


def _inline(found: re.Match) -> str:
    """Return a style sheet of Panel with its text in place of its address."""
    identity, path = found.groups()
    text = json.dumps((DIST_DIR / path).read_text(encoding="utf-8")).replace("</", "<\\/")
    attributes = f'"attributes":{{"css":{text}}}'
    return f'{{"type":"object","name":"InlineStyleSheet","id":{identity},{attributes}}}'
