"""Write an executed notebook as one HTML file that works offline.

``write_report.py RUN.ipynb FOLDER``, with the folder of the notebook that was executed, where its
figures lie. Where cells are tagged ``lesson``, the page is a report: without these cells, and
without code.
"""

import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from static_pages import prepare

from s2kit.atomic import replacing

TEMPLATE = Path(__file__).with_name("report.html.j2")

LESSON = "lesson"
"""Tag of cells that teach: what is left is a report."""


def write_report(executed: Path, folder: Path) -> Path:
    """Write the page beside the executed notebook, and return its path."""
    notebook = prepare(nbformat.read(executed, as_version=4))
    report = [cell for cell in notebook.cells if LESSON not in cell.metadata.get("tags", [])]
    has_lesson = len(report) < len(notebook.cells)
    notebook.cells = report
    exporter = HTMLExporter(
        raw_template=TEMPLATE.read_text(encoding="utf-8"),
        embed_images=True,
        exclude_input=has_lesson,
        exclude_input_prompt=has_lesson,
        exclude_output_prompt=has_lesson,
    )
    place = {"metadata": {"name": executed.stem, "path": str(folder)}}
    text, _ = exporter.from_notebook_node(notebook, resources=place)
    page = executed.with_suffix(".html")
    with replacing(page) as draft:
        draft.write_text(text, encoding="utf-8")
    return page


if __name__ == "__main__":
    print("Ready:", write_report(*map(Path, sys.argv[1:])))
