"""Write an executed notebook as one HTML file that works offline: ``write_report.py RUN.ipynb``."""

import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from static_pages import prepare

from s2kit.atomic import replacing

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(executed: Path) -> Path:
    """Write the report beside the executed notebook, and return its path."""
    notebook = prepare(nbformat.read(executed, as_version=4))
    exporter = HTMLExporter(raw_template=TEMPLATE.read_text(encoding="utf-8"), embed_images=True)
    place = {"metadata": {"name": executed.stem, "path": str(executed.parent)}}
    page, _ = exporter.from_notebook_node(notebook, resources=place)
    report = executed.with_suffix(".html")
    with replacing(report) as draft:
        draft.write_text(page, encoding="utf-8")
    return report


if __name__ == "__main__":
    print("Ready:", write_report(Path(sys.argv[1])))
