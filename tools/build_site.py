"""Make the site of the course from its sources and executed notebooks: ``build_site.py build``.

Sphinx reads a copy of what it needs, in the repository's own order, so that links between files
hold. The notebooks are those that ``make notebooks`` left; nothing is run again.
"""

import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
from light_pictures import lighten
from nbformat import NotebookNode
from sphinx.cmd.build import main as sphinx
from static_pages import is_viewer, map_html, prepare

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/s2kit/s2kit/blob/HEAD"
TEXTS = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "LICENSE-course",
    "CITATION.cff",
]
SHARED = 100_000
"""Scripts with more characters are one file for all pages."""

VIEWERS = {
    "TimeQuery": ("viewer.png", "The time query: a map, and the series of a pixel beside it."),
    "NdviStatistics": ("statistics.png", "The statistics of NDVI: a map, and curves of places."),
}


def build_site(build: Path) -> int:
    """Lay out the sources in ``build/site-source`` and make ``build/site`` of them.

    Returns
    -------
    int
        Sphinx's exit status; a warning is an error.
    """
    source, site = build / "site-source", build / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    lay_out(source, build)
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(build / "site-doctrees")]
    return sphinx([*options, str(source), str(site)])


def lay_out(source: Path, build: Path) -> None:
    """Copy all that the site is made of to an empty folder."""
    notebooks = _executed(build)
    files = {name: ROOT / name for name in TEXTS}
    files |= {f"docs/{path.name}": path for path in (ROOT / "docs").glob("*.md")}
    files |= {f"docs/{path.name}": path for path in (ROOT / "docs").glob("*.png")}
    files |= {path.name: path for path in (ROOT / "docs/site").iterdir() if path.suffix != ".css"}
    files |= {f"notebooks/figures/{path.name}": path for path in _figures()}
    names = {*files, *notebooks, "cards.md"}
    for name, path in files.items():
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            place.write_text(_local(path.read_text(encoding="utf-8"), name, names), "utf-8")
        else:
            shutil.copy(path, place)
    static = source / "_static"
    static.mkdir()
    shutil.copy(ROOT / "docs/conf.py", source)
    shutil.copy(ROOT / "docs/site/site.css", static)
    for picture, _ in VIEWERS.values():
        if (ROOT / "docs" / picture).exists():
            shutil.copy(ROOT / "docs" / picture, static)
    for name, path in notebooks.items():
        _lay_out_notebook(path, source, name, names)
    (source / "cards.md").write_text(_cards(notebooks), "utf-8")


def _executed(build: Path) -> dict[str, Path]:
    """Return executed notebooks and released exercises by their place on the site, in order."""
    course = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    found = [path for path in sorted(build.glob("*.ipynb")) if path.stem in course]
    missing = sorted(course - {path.stem for path in found})
    if missing:
        sys.exit(f"{build} lacks {', '.join(missing)}: run `make notebooks` first")
    for path in found:
        if _sources(path) != _sources(ROOT / "notebooks" / path.name):
            print(f"{path} was run before its notebook changed; `make notebooks` runs it again")
    exercises = sorted((ROOT / "notebooks/exercises").glob("*.ipynb"))  # as released: not run
    places = {f"notebooks/{path.name}": path for path in found}
    return places | {f"notebooks/exercises/{path.name}": path for path in exercises}


def _sources(path: Path) -> list[str]:
    """Return the text of a notebook's cells, without the parameters that papermill adds."""
    cells = nbformat.read(path, as_version=4).cells
    return [c.source for c in cells if "injected-parameters" not in c.metadata.get("tags", [])]


def _figures() -> list[Path]:
    folder = ROOT / "notebooks/figures"
    return [path for path in folder.glob("*") if path.suffix in (".svg", ".png", ".jpg")]


def _lay_out_notebook(path: Path, source: Path, name: str, names: set[str]) -> None:
    """Write a notebook with light pictures, shared scripts, and links that hold on the site."""
    notebook = prepare(nbformat.read(path, as_version=4))
    static = "../" * name.count("/") + "_static"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _local(cell.source, name, names)
        elif is_viewer(cell):
            _show_picture(cell, static)
    map_html(notebook, lighten)
    _share_scripts(notebook, source / "_static", static)
    place = source / name
    place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, place)


def _show_picture(cell: NotebookNode, static: str) -> None:
    """Show the picture of a viewer below its sentence, which is all that is left of it."""
    for name, (picture, alt) in VIEWERS.items():
        if name in cell.source and (ROOT / "docs" / picture).exists():
            cell.outputs[0].data["text/html"] += f'<img src="{static}/{picture}" alt="{alt}">'


def _share_scripts(notebook: NotebookNode, folder: Path, static: str) -> None:
    """Move large scripts into files that all pages share, loaded before the first picture."""
    tags = ""
    for cell in notebook.cells:
        for output in list(cell.get("outputs", [])):
            code = output.get("data", {}).get("application/javascript", "")
            if len(code) > SHARED:
                script = f"shared-{hashlib.sha256(code.encode()).hexdigest()[:12]}.js"
                (folder / script).write_text(code, "utf-8")
                cell.outputs.remove(output)
                tags += f'<script src="{static}/{script}"></script>'
            elif "data-root-id" in output.get("data", {}).get("text/html", ""):
                output.data["text/html"] = tags + output.data["text/html"]
                tags = ""


def _local(text: str, name: str, names: set[str]) -> str:
    """Return Markdown without pictures from elsewhere; what is not on the site is linked to."""

    def link(found: re.Match) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(name), found[1]))  # noqa: PTH118, PTH120
        there = target in names or not (ROOT / target).exists()
        return found[0] if there else f"]({REPOSITORY}/{target})"

    text = re.sub(r"!\[([^]\n]*)\]\(https?://[^)]*\)", r"\1", text)
    return re.sub(r"\]\((?!\w+:|#)([^)#\s]+)\)", link, text)


def _cards(notebooks: dict[str, Path]) -> str:
    """Return a list of the course in Markdown: title, minutes and level, first sentences."""
    lines = ["```{container} cards", ""]
    course = {name: path for name, path in notebooks.items() if "exercises" not in name}
    for name, path in course.items():
        text = nbformat.read(path, as_version=4).cells[0].source
        title, *rest = [part.strip() for part in re.split(r"\n\s*\n", text)]
        badge = next((part.strip("*") for part in rest if re.match(r"\*\*\d+ min", part)), "")
        first = next((part for part in rest if re.match(r"[A-Z]", part)), "")
        first = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", first)  # the card is one link
        parts = [f"[**{path.stem[:2]} {title.lstrip('# ')}**]({name})", badge, first]
        lines += ["- " + "\n\n  ".join(p.replace("\n", "\n  ") for p in parts if p), ""]
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    began = time.process_time()
    status = build_site(Path(sys.argv[1]))
    if not status:
        print(
            f"Ready: {sys.argv[1]}/site/index.html, in {time.process_time() - began:.0f} s of CPU"
        )
    sys.exit(status)
