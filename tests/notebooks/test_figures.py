"""The figures of the notebooks are what their script draws, small, and described."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
import spyndex
from rasterio.features import rasterize

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks/figures"
FIGURES = sorted(path.stem for path in FOLDER.glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
IMAGE = re.compile(r"!\[([^\]]*)\]\(figures/(\w+)\.svg\)(?:\n\n\*([^*]+)\*)?")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return a folder in which the script has drawn all figures anew."""
    folder = tmp_path_factory.mktemp("figures")
    program = [sys.executable, FOLDER / "draw_figures.py", folder]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def modules(monkeypatch):
    """Let a test import the script's modules."""
    monkeypatch.syspath_prepend(FOLDER)


def texts(name):
    """Return title, description and all text of a figure."""
    root = ElementTree.parse(FOLDER / f"{name}.svg").getroot()
    title, description = (root.findtext(f"{SVG}{tag}") for tag in ("title", "desc"))
    return title, description, [element.text for element in root.iter(f"{SVG}text")]


def uses():
    """Return notebook, alt text, figure and caption of each place where a figure is shown."""
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            for cell in nbformat.read(path, as_version=4).cells:
                if cell.cell_type == "markdown":
                    yield from ((path.name, *found) for found in IMAGE.findall(cell.source))


def test_script_draws_each_figure_and_no_other(drawn):
    """The figures beside the script are those that it draws."""
    assert {path.name for path in drawn.iterdir()} == {f"{name}.svg" for name in FIGURES}
    assert len(FIGURES) >= 11


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_what_the_script_draws(drawn, name):
    """Drawn anew, a figure has the same bytes: `python notebooks/figures/draw_figures.py`."""
    assert (drawn / f"{name}.svg").read_bytes() == (FOLDER / f"{name}.svg").read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_small_and_stands_alone(name):
    """A figure is below 60 kB, at most 7.2 inches wide, and asks for nothing from elsewhere."""
    content = (FOLDER / f"{name}.svg").read_bytes()
    root = ElementTree.fromstring(content)
    assert len(content) < 60_000
    width = float(root.get("width").removesuffix("pt"))
    assert width <= 7.2 * 72
    assert root.get("viewBox").split()[2] == f"{width:g}"  # so that a unit is a point
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(link.startswith("#") for link in links)
    assert not [e.tag for e in root.iter() if e.tag in (f"{SVG}script", f"{SVG}image")]
    assert b"url(http" not in content


@pytest.mark.parametrize("name", FIGURES)
def test_figure_can_be_read(name):
    """A figure has a title and a description, and no text below 8.5 points or of pale colour."""
    root = ElementTree.parse(FOLDER / f"{name}.svg").getroot()
    title, description, words = texts(name)
    assert root.get("role") == "img"
    assert 10 < len(title) < 60
    assert 80 < len(description) < 300
    assert words
    for element in root.iter(f"{SVG}text"):
        style = element.get("style")
        assert float(re.search(r"font-size: ([\d.]+)px", style)[1]) >= 8.5
        fill = re.search(r"fill: (#\w+|currentColor)", style)
        assert contrast(fill[1] if fill else "currentColor", root) >= 4.5


def contrast(colour, root):
    """Return the contrast of a colour with a figure's ground, as WCAG 2 defines it."""
    pair = (
        root.get("color") if colour == "currentColor" else colour,
        root.find(f"{SVG}rect").get("fill"),
    )
    light, dark = sorted((luminance(c) for c in pair), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    """Return the relative luminance of a colour such as #1A1A1A."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", FIGURES)
def test_notebooks_show_figure_with_its_description_and_caption(name, modules):
    """Each figure is shown, with its own description as alt text, and its caption below."""
    from draw_figures import FIGURES as KNOWN

    found = [
        (notebook, alt, caption) for notebook, alt, figure, caption in uses() if figure == name
    ]
    expected = texts(name)[1], KNOWN[name].caption
    assert found
    assert [place for place in found if place[1:] != expected] == []


def test_notebooks_show_figures_that_exist():
    """No notebook asks for a figure that is not there."""
    assert [use for use in uses() if use[2] not in FIGURES] == []


def test_bands_are_where_sentinel_2a_has_them(modules):
    """Centres and widths are those that the list Awesome Spectral Indices has of Sentinel-2A."""
    from light import BANDS

    known = [band.sentinel2a for band in spyndex.bands.values() if hasattr(band, "sentinel2a")]
    expected = {band.band: (band.wavelength, band.bandwidth) for band in known}
    assert len(BANDS) == 10
    for name, band in BANDS.items():
        assert band == expected[name.replace("B0", "B")]


def test_mixed_pixels_are_counted_as_gdal_counts_them(modules):
    """The two counts of whole pixels are GDAL's, and the weights add up to the field's area."""
    from pixels import _COLUMNS, _FIELD, _ROWS

    shape = (_ROWS, _COLUMNS)
    touched, centre = (
        int(rasterize([_FIELD], shape, all_touched=rule).sum()) for rule in (True, False)
    )
    words = texts("mixed_pixels")[2]
    for count in (f"{touched}", f"{centre}", f"{_FIELD.area:.1f}"):
        assert f"{count} pixels" in words


def test_costs_are_those_of_the_chunks():
    """A cube of 1000 × 1000 × 96 has 9 × 9 × 6 chunks: what is read is counted by hand."""
    words = texts("cube")[2]
    for line in (
        "6 chunks = 1.38 million read",  # 6 × 230 400
        "81 chunks = 18.7 million read",  # 9 × 9 × 230 400
        "6 to 24 chunks = 1.38 to 5.53 million read",  # 100 pixels lie in one or in two chunks
        "486 chunks = 112 million read",
    ):
        assert line in words
