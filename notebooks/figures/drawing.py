"""What the figures share: colours, a canvas, labels, arrows, charts, and the SVG that is written.

A canvas is 720 units wide; a unit is a hundredth of an inch, and y grows downwards.
"""

import re
from collections.abc import Iterator, Sequence
from io import StringIO
from math import nan
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, FancyArrowPatch, FancyBboxPatch, Polygon

from s2kit.viewers.colours import BLUE, GREY, ORANGE, PLACE_COLOURS

GREEN, PINK, AMBER, SKY = PLACE_COLOURS[2:6]
INK = "#000000"
"""Of lines and text: written as currentColor, which is `_INK` unless a page says so."""
EMPTY = "#F4F4F4"
"""Ground of text, and pixels that are not chosen."""
DIM = "#5C5C5C"
"""Of text that is second in rank; 6.5 : 1 on white."""

HEAD, TEXT, SMALL = 11.5, 10, 9
"""Sizes of text, in points."""

DASH, DOT, DASH_DOT = (0, (5, 2.5)), (0, (1.2, 2)), (0, (7, 2, 1.5, 2))

WIDTH = 720
_INK, _PAPER = "#1A1A1A", "#FFFFFF"
_FONTS = "'Helvetica Neue', Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_MEASURED = "DejaVu Sans"
"""Comes with matplotlib and is wider than the usual fonts, so that these have room."""

Point = tuple[float, float]

__all__ = ["BLUE", "GREY", "ORANGE"]  # of s2kit, for the figures


def canvas(height: float) -> Axes:
    """Return axes that fill a new figure, ``height`` units high."""
    mpl.rcParams.update(
        {
            "font.family": "sans-serif",
            "font.sans-serif": [_MEASURED],
            "font.size": TEXT,
            "svg.fonttype": "none",
            "axes.linewidth": 0.8,
            "hatch.linewidth": 0.7,
        }
    )
    figure = Figure(figsize=(WIDTH / 100, height / 100))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return ax


def write(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = TEXT,
    colour: str = INK,
    align: str = "left",
    bold: bool = False,
) -> None:
    """Write lines of text; (x, y) is on the baseline of the first one.

    Each line is a text of its own, so that it stays aligned in whatever font the reader has.
    """
    for number, line in enumerate(text.split("\n")):
        ax.annotate(
            line,
            (x, y),
            (0, -number * size * 1.3),
            textcoords="offset points",
            fontsize=size,
            color=colour,
            ha=align,
            va="baseline",
            fontweight="bold" if bold else "normal",
            annotation_clip=False,
        )


def arrow(
    ax: Axes,
    start: Point,
    end: Point,
    *,
    colour: str = INK,
    both: bool = False,
    stroke: float = 1.2,
) -> None:
    """Draw an arrow; with ``both``, a double one that marks a distance."""
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="<|-|>" if both else "-|>",
            mutation_scale=9 + 2 * stroke,
            color=colour,
            linewidth=stroke,
            shrinkA=0,
            shrinkB=0,
        )
    )


def polygon(
    ax: Axes,
    corners: Sequence[Point],
    *,
    fill: str = "none",
    edge: str = INK,
    stroke: float = 0.8,
    alpha: float | None = None,
    dash: object = "-",
    hatch: str | None = None,
    order: float = 1,
) -> None:
    """Draw a polygon; ``alpha`` is that of its fill."""
    face = fill if alpha is None else mpl.colors.to_rgba(fill, alpha)
    ax.add_patch(
        Polygon(
            corners,
            facecolor=face,
            edgecolor=edge,
            linewidth=stroke,
            linestyle=dash,
            hatch=hatch,
            zorder=order,
        )
    )


def box(ax: Axes, x: float, y: float, width: float, height: float, **style) -> None:
    """Draw a rectangle with its upper left corner at (x, y); see `polygon`."""
    polygon(ax, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], **style)


def card(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw a rounded area as the ground of text."""
    ax.add_patch(
        FancyBboxPatch(
            (x + 6, y + 6),
            width - 12,
            height - 12,
            boxstyle="round,pad=6,rounding_size=6",
            facecolor=EMPTY,
            edgecolor="none",
            zorder=0,
        )
    )


def line(
    ax: Axes, points: Sequence[Point], *, colour: str = INK, stroke: float = 1, dash: object = "-"
) -> None:
    """Draw a line through points."""
    ax.plot(*zip(*points, strict=True), color=colour, lw=stroke, ls=dash, solid_capstyle="round")


def lines(ax: Axes, pieces: Sequence[Sequence[Point]], *, colour: str, stroke: float = 0.6) -> None:
    """Draw separate lines as one path, which keeps the file small."""
    joined = [point for piece in pieces for point in (*piece, (nan, nan))]
    line(ax, joined, colour=colour, stroke=stroke)


def angle(ax: Axes, at: Point, radius: float, start: float, end: float) -> None:
    """Draw an arc about a point, between two directions in degrees, clockwise from the right."""
    ax.add_patch(Arc(at, 2 * radius, 2 * radius, theta1=start, theta2=end, color=INK, lw=1))


def chart(ax: Axes, x: float, y: float, width: float, height: float) -> Axes:
    """Return axes of a chart whose upper left corner is at (x, y) of a canvas."""
    total = ax.get_ylim()[0]
    box = (x / WIDTH, 1 - (y + height) / total, width / WIDTH, height / total)
    inner = ax.figure.add_axes(box)
    inner.patch.set_visible(False)
    inner.spines[["top", "right"]].set_visible(False)
    inner.tick_params(labelsize=SMALL, length=3)
    return inner


def cells(
    left: float, top: float, columns: int, rows: int, size: float
) -> Iterator[tuple[int, int, float, float]]:
    """Return row, column and upper left corner of each cell of a raster."""
    for row in range(rows):
        for column in range(columns):
            yield row, column, left + column * size, top + row * size


def svg(ax: Axes, name: str, title: str, description: str) -> str:
    """Return a canvas as SVG: named for screen readers, without date, on a white rounded ground.

    In a notebook the figure is an image of its own: it sees the colours of the system, not those of
    JupyterLab's theme. So it brings its own ground, and is readable on any page.
    """
    out = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name}):
        ax.figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<style.*?</style>| transform=\"rotate\(-0 [^)]*\)\"", "", text, flags=re.DOTALL)
    text = re.sub(r"<g id=\"[^\"]*\"", "<g", text)  # several figures may stand in one page
    text = text.replace(f" font-family: '{_MEASURED}', sans-serif;", "")
    text = "\n".join(row.strip() for row in text.splitlines() if row.strip())
    start = (
        f'<svg role="img" color="{_INK}" fill="currentColor" stroke-linejoin="round" '
        f'font-family="{_FONTS}"'
    )
    ground = (
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n"
        f'<rect width="100%" height="100%" rx="7" fill="{_PAPER}"/>'
    )
    head, rest = text.split(">", 1)
    return f"{head.replace('<svg', start)}>\n{ground}{rest}\n"
