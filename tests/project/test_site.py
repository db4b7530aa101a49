"""The site of the course holds what it should, in pages that are small and linked."""

import gzip
import re
from base64 import b64decode, b64encode
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest
from light_pictures import lighten, round_colours, round_values
from nbformat.v4 import new_code_cell, new_notebook, new_output
from panel.io.resources import CDN_DIST
from static_pages import DRAWN, LOADED, SENTENCE, WIDGET, is_viewer, prepare

import s2kit

ROOT = Path(__file__).parents[2]
MOST = 2_000_000
"""Bytes of a page, beside the files that pages share."""


class Page(HTMLParser):
    """The anchors of a page, and the addresses that it names."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Collect ids, links, and what a page loads."""
        found = dict(attrs)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links += [found[key] for key in ("href", "src") if found.get(key)]


@pytest.fixture(scope="module")
def pages(built_site):
    """Return all pages of the site by their path."""
    found = built_site.rglob("*.html")
    return {path.resolve(): Page(path) for path in found if "_static" not in path.parts}


@pytest.mark.slow
def test_site_is_built_without_a_warning(built_site):
    """Sphinx, for which a warning is an error, says nothing and succeeds."""
    status, *said = (built_site.parent / "said").read_text().splitlines()
    assert status == "0", "\n".join(said)
    assert "WARNING" not in "".join(said)
    assert re.fullmatch(r"Ready: \S+/site/index.html, in \d+ s of CPU", said[-1])


@pytest.mark.slow
def test_every_internal_link_resolves(pages, built_site):
    """A link leads to a file of the site, and where it names an anchor, to one of that page."""
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.is_file() or (parts.fragment and parts.fragment not in anchors):
                broken.append(f"{path.relative_to(built_site.resolve())} → {link}")
    assert len(pages) > 40
    assert broken == []


@pytest.mark.slow
def test_no_page_is_large(pages):
    """Each page is at most 2 MB, and BokehJS is in one file that all pages share."""
    assert {path.name: path.stat().st_size for path in pages if path.stat().st_size > MOST} == {}
    assert not [path.name for path in pages if "Bokeh.set_log_level" in path.read_text()]


@pytest.mark.slow
def test_every_notebook_has_a_page_and_a_card(pages, built_site):
    """The front page leads to each notebook, and each exercise has a page too."""
    names = [path.stem for path in (ROOT / "notebooks").glob("*.ipynb")]
    exercises = [
        f"exercises/{path.stem}" for path in (ROOT / "notebooks/exercises").glob("*.ipynb")
    ]
    front = pages[(built_site / "index.html").resolve()].links
    assert [name for name in names if f"notebooks/{name}.html" not in front] == []
    every = {name: built_site / f"notebooks/{name}.html" for name in [*names, *exercises]}
    assert [name for name, page in every.items() if not page.exists()] == []


@pytest.mark.slow
def test_no_solution_of_an_exercise_is_published(pages):
    """No page has what nbgrader keeps from students."""
    kept = re.compile(r"BEGIN (SOLUTION|HIDDEN TESTS)")
    assert [path.name for path in pages if kept.search(path.read_text(encoding="utf-8"))] == []


def test_reference_lists_every_public_name():
    """The API reference has each name of s2kit and of its viewers, and no other."""
    text = (ROOT / "docs/site/api.rst").read_text()
    listed = re.findall(r"^   (?!:)(\S+)$", text, re.MULTILINE)
    modules = {"errors", "viewers"}
    viewers = {f"viewers.{name}" for name in s2kit.viewers.__all__}
    assert sorted(listed) == sorted((set(s2kit.__all__) - modules) | viewers)
    assert "automodule:: s2kit.errors" in text


def test_prose_has_no_formula_that_needs_mathjax():
    """Notebooks and documents write formulas as text or pictures: no page loads MathJax."""
    texts = {path.name: path.read_text() for path in (ROOT / "docs").rglob("*.md")}
    for path in (ROOT / "notebooks").rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        texts[path.name] = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    plain = {
        name: re.sub(r"```.*?```|`[^`]*`", "", t, flags=re.DOTALL) for name, t in texts.items()
    }
    formula = re.compile(r"\$\$|(?<![\w$])\$[^$\s][^$\n]*\$|\\begin\{|\\\(")
    assert [name for name, text in plain.items() if formula.search(text)] == []


# Outputs


def prepared(*outputs):
    """Return the cell of a notebook with these outputs, prepared for a page."""
    cell = new_code_cell("x", outputs=list(outputs))
    return prepare(new_notebook(cells=[cell], metadata={"widgets": {}})).cells[0]


def shown(**data):
    """Return an output that displays data, by their short names."""
    kinds = {"html": "text/html", "drawn": DRAWN, "loaded": LOADED, "widget": WIDGET}
    return new_output("display_data", {kinds[kind]: value for kind, value in data.items()})


def test_outputs_for_jupyterlab_are_left_out():
    """What loads Panel again, progress bars and empty lines are not in a page; the rest is."""
    shim = '<script type="esms-options">{}</script><div role="alert" hidden></div>'
    outputs = [
        shown(loaded="…"),
        shown(widget={}),
        shown(html=shim),
        new_output("stream", text="\n"),
    ]
    kept = [new_output("stream", text="88 steps"), shown(html="<b>1</b>")]
    assert prepared(*outputs, *kept).outputs == kept


def test_style_sheets_of_pictures_are_in_the_page():
    """A picture holds the text of Panel's style sheets, under the ids that its parts refer to."""
    sheet = (
        '{"type":"object","name":"ImportedStyleSheet","id":"p1",'
        f'"attributes":{{"url":"{CDN_DIST}css/loading.css?v=1"}}}}'
    )
    html = prepared(shown(html=f'[{sheet},{{"id":"p1"}}]', drawn="")).outputs[0].data["text/html"]
    assert "http" not in html
    assert html.startswith('[{"type":"object","name":"InlineStyleSheet","id":"p1"')
    assert "pn-loading" in html


def test_a_viewer_says_that_it_needs_a_notebook():
    """In place of advice for JupyterLab, a viewer has a sentence; other cells have none."""
    late = shown(html='<div class="s2kit-late"></div>')
    others = [shown(html="<div>controls</div>"), new_output("stream", text="loaded")]
    cell = prepared(*others, late)
    assert is_viewer(cell)
    assert [output.data for output in cell.outputs] == [{"text/html": SENTENCE}]
    assert not is_viewer(prepared(shown(html="<b>1</b>")))


def test_tables_have_no_empty_header():
    """An empty header of a table, which programs that read aloud stumble over, is a plain cell."""
    table = '<table class="dataframe"><tr><th></th><th>mean</th></tr></table>'
    html = prepared(shown(html=table)).outputs[0].data["text/html"]
    assert html == '<table class="dataframe"><tr><td></td><th>mean</th></tr></table>'


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_are_rounded_to_a_500th_of_their_range(dtype):
    """No value moves by more than half a 512th of the range, and no data stay no data."""
    values = np.random.default_rng(0).normal(0.4, 0.2, 10_000).astype(dtype)
    values[::7] = np.nan
    rounded = round_values(values)
    assert rounded.dtype == values.dtype
    span = np.nanmax(values) - np.nanmin(values)
    assert np.nanmax(np.abs(rounded - values)) <= span / 512 / 2
    np.testing.assert_array_equal(np.isnan(rounded), np.isnan(values))


@pytest.mark.parametrize("values", [np.full(4, np.nan, "f4"), np.full(4, 0.1, "f4")])
def test_values_without_a_range_stay(values):
    """An image of one value, or of none, is left as it is."""
    np.testing.assert_array_equal(round_values(values), values)


def test_colours_stay_close_and_keep_black_white_and_opacity():
    """A colour moves by at most 4 of 255; 0 and 255 and the opacity do not move."""
    parts = np.random.default_rng(0).integers(0, 256, (10_000, 4), "u1")
    parts[:2, :3] = [[0, 0, 0], [255, 255, 255]]
    rounded = round_colours(parts.view("u4").ravel()).view("u1").reshape(-1, 4)
    np.testing.assert_array_equal(rounded[:2, :3], parts[:2, :3])
    np.testing.assert_array_equal(rounded[:, 3], parts[:, 3])
    assert np.abs(rounded.astype(int) - parts).max() <= 4


def test_a_picture_gets_smaller_and_keeps_its_form():
    """An image in Bokeh's JSON keeps shape and type, holds rounded values, and is much smaller."""
    values = np.random.default_rng(0).random((100, 100), "f4")
    packed = b64encode(gzip.compress(values.tobytes())).decode()
    html = (
        f'{{"array":{{"type":"bytes","data":"{packed}"}},"shape":[100,100],"dtype":"float32"}}'
        '{"array":{"type":"bytes","data":"AAAA"},"shape":[1],"dtype":"float32"}'
    )
    light = lighten(html)
    assert len(light) < 0.6 * len(html)
    assert light.endswith(html[html.index('"},"shape":[100') :])
    data = re.search(r'"data":"([^"]+)"', light)[1]
    found = np.frombuffer(gzip.decompress(b64decode(data)), "f4").reshape(100, 100)
    np.testing.assert_allclose(found, values, atol=1 / 1000)
