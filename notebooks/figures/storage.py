"""Figures of the cube: its axes and what a selection costs, its chunks, and how it is built."""

from collections.abc import Callable
from math import ceil, prod

import drawing as d
from matplotlib.axes import Axes

from s2kit.cube.build_options import DEFAULT_CHUNKS

_SIDE, _DATES, _WINDOW = 1000, 96, 100
"""The example: pixels along a side (10 km), overpasses, pixels along a side of the window."""

Plane = list[d.Point]
"""Corners: rear left, rear right, front right, front left."""

Rule = Callable[[int, int, int], bool]


def _plane(left: float, top: float, width: float, height: float, lean: float) -> Plane:
    """Return the corners of a map that lies: its rear edge is ``lean`` units further right."""
    return [
        (left + lean, top),
        (left + lean + width, top),
        (left + width, top + height),
        (left, top + height),
    ]


def _part(plane: Plane, x0: float, x1: float, y0: float, y1: float) -> Plane:
    """Return the corners of a part of a plane; 0 to 1 along x (to the right) and y (down)."""
    (ax, ay), (bx, _), _, (dx, dy) = plane
    return [
        (ax + u * (bx - ax) + v * (dx - ax), ay + v * (dy - ay))
        for u, v in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    ]


def cube() -> Axes:
    """Draw dates stacked to a cube with three selections, and what each costs."""
    ax = d.canvas(404)
    planes = [_plane(64, 60 + 40 * (6 - n), 190, 66, 66) for n in range(7)]
    for number, plane in enumerate(planes):
        chosen = number == 4
        d.polygon(ax, plane, fill=d.AMBER if chosen else d.EMPTY, edge=d.DIM, order=number)
        window = _part(plane, 0.56, 0.84, 0.44, 0.86)
        d.polygon(ax, window, fill=d.GREEN, hatch="////", order=number + 0.2)
        pixel = _part(plane, 0.2, 0.27, 0.4, 0.54)
        d.polygon(ax, pixel, fill=d.BLUE, order=number + 0.3)
    ends = [_part(plane, 0.235, 0.235, 0.47, 0.47)[0] for plane in (planes[0], planes[-1])]
    ax.plot(*zip(*ends, strict=True), color=d.BLUE, lw=2.2, zorder=20)
    d.arrow(ax, (44, 366), (44, 66))
    d.write(ax, 16, 52, "time (overpasses)")
    d.arrow(ax, (64, 380), (254, 380))
    d.write(ax, 262, 384, "x (east)")
    d.arrow(ax, (330, 300), (266, 364))
    d.write(ax, 300, 352, "y (south)")
    _costs(ax)
    return ax


def _costs(ax: Axes) -> None:
    """Write what each selection reads, one card each."""
    steps, rows, columns = DEFAULT_CHUNKS
    deep = ceil(_DATES / steps)
    wide = ceil(_SIDE / rows) * ceil(_SIDE / columns)
    cards = (
        ("one pixel, all dates", d.BLUE, None, _DATES, [deep]),
        ("one date, all pixels", d.AMBER, None, _SIDE**2, [wide]),
        (
            "a window of 1 × 1 km, all dates",
            d.GREEN,
            "////",
            _DATES * _WINDOW**2,
            [deep, 4 * deep],
        ),
        ("everything", d.EMPTY, None, _DATES * _SIDE**2, [deep * wide]),
    )
    d.write(ax, 376, 30, f"Example: one layer, 10 × 10 km, {_DATES} dates", bold=True)
    for number, (name, colour, hatch, numbers, chunks) in enumerate(cards):
        top = 46 + 84 * number
        d.card(ax, 376, top, 332, 74)
        d.box(ax, 388, top + 14, 16, 16, fill=colour, hatch=hatch)
        d.write(ax, 414, top + 27, name, bold=True)
        d.write(ax, 414, top + 46, f"{_spaced(numbers)} numbers wanted", size=d.SMALL)
        d.write(ax, 414, top + 63, f"{_range(chunks)} read", size=d.SMALL)
    text = f"Chunks ({steps} × {rows} × {columns}) are read whole."
    d.write(ax, 376, 394, text, size=d.SMALL)


def _range(chunks: list[int]) -> str:
    """Return how many chunks, and how many numbers they hold."""
    millions = [f"{n * prod(DEFAULT_CHUNKS) / 1e6:.3g}" for n in chunks]
    return f"{' to '.join(map(str, chunks))} chunks = {' to '.join(millions)} million"


def _spaced(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def chunks() -> Axes:
    """Draw a cube cut in chunks, one file each, and the chunks that three selections touch."""
    ax = d.canvas(432)
    _one_chunk(ax)
    touched = (
        ("a pixel through time", d.BLUE, None, lambda t, r, c: (r, c) == (1, 1)),
        ("a map of one date", d.AMBER, None, lambda t, r, c: t == 0),
        ("a window through time", d.GREEN, "////", lambda t, r, c: r in (1, 2) and c in (2, 3)),
    )
    for number, (name, colour, hatch, rule) in enumerate(touched):
        _slabs(ax, 22 + 238 * number, name, colour, hatch, rule)
    return ax


def _one_chunk(ax: Axes) -> None:
    steps, rows, columns = DEFAULT_CHUNKS
    x, y, side = 70, 54, 84
    top = _plane(x, y - 30, side, 30, 44)
    right = [top[2], top[1], (top[1][0], top[1][1] + side), (x + side, y + side)]
    d.box(ax, x, y, side, side, fill=d.EMPTY)
    d.polygon(ax, top, fill="#FFFFFF")
    d.polygon(ax, right, fill="#DEDEDE")
    d.write(ax, x + side / 2, y + side + 18, f"{columns} pixels", size=d.SMALL, align="center")
    d.write(ax, x - 8, y + side / 2, f"{rows}\npixels", size=d.SMALL, align="right")
    d.write(ax, x + side + 26, y + side - 2, f"{steps} dates", size=d.SMALL)
    d.write(ax, 286, 44, "One chunk is one file", size=d.HEAD, bold=True)
    text = (
        f"{steps} dates × {rows} × {columns} pixels = {_spaced(steps * rows * columns)} numbers,\n"
        "compressed; 1.2 km × 1.2 km at 10 m.\n"
        "To read one number, the whole chunk is read.\n"
        "File S2/R051/B04/0.1.2: orbit 51, band B04, first dates,\n"
        "second row and third column of chunks."
    )
    d.write(ax, 286, 68, text)


def _slabs(ax: Axes, left: float, name: str, colour: str, hatch: str | None, rule: Rule) -> None:
    """Draw three layers of chunks along time, one above the other; those touched are filled."""
    rows, columns, depth = 3, 4, 3
    steps = DEFAULT_CHUNKS[0]
    d.write(ax, left, 192, name, bold=True)
    count = 0
    for t in range(depth):
        plane = _plane(left, 340 - 66 * t, 140, 54, 48)
        for row, column, *_ in d.cells(0, 0, columns, rows, 1):
            hit = rule(t, row, column)
            count += hit
            cell = _part(plane, column / 4, (column + 1) / 4, row / 3, (row + 1) / 3)
            d.polygon(ax, cell, fill=colour if hit else d.EMPTY, hatch=hatch if hit else None)
        text = f"{steps * t + 1}–{steps * (t + 1)}"
        d.write(ax, left + 172, 386 - 66 * t, text, size=d.SMALL, colour=d.DIM)
    d.write(ax, left + 172, 402, "dates", size=d.SMALL, colour=d.DIM)
    d.write(ax, left, 418, f"{count} of {rows * columns * depth} chunks read")


def build() -> Axes:
    """Draw how scenes of tiles and dates become one grid, and the grid's steps a cube."""
    ax = d.canvas(368)
    for x, head in ((20, "1  scenes"), (268, "2  one grid"), (506, "3  a cube")):
        d.write(ax, x, 30, head, size=d.HEAD, bold=True)
    d.write(ax, 20, 50, "tiles and dates, as delivered", size=d.SMALL)
    d.write(ax, 268, 50, "each scene resampled once", size=d.SMALL)
    d.write(ax, 506, 50, "one step for each overpass", size=d.SMALL)
    for number, (day, both) in enumerate((("11 June", True), ("6 June", False), ("1 June", True))):
        top = 70 + 88 * number
        _scenes(ax, top, day, both)
        _tiled(ax, _plane(270, top + 2, 120, 75, 0), both)
        _tiled(ax, _plane(506, top + 12, 116, 56, 44), both)
        d.arrow(ax, (204, top + 38), (256, top + 38))
        d.arrow(ax, (404, top + 38), (494, top + 38))
    corners = [(506, 68), (622, 68), (666, 12)]
    d.lines(ax, [[(x, 70 + y), (x, 246 + y)] for x, y in corners], colour=d.GREY, stroke=0.8)
    d.arrow(ax, (698, 308), (698, 92))
    d.write(ax, 698, 82, "time", size=d.SMALL, align="center")
    d.write(ax, 20, 352, "Where two tiles overlap, the first one with data counts.", size=d.SMALL)
    d.box(ax, 402, 341, 13, 13, hatch="xxxx", edge=d.GREY)
    d.write(ax, 423, 352, "no data: not seen on this overpass", size=d.SMALL)
    return ax


def _scenes(ax: Axes, top: float, day: str, both: bool) -> None:
    d.write(ax, 20, top + 42, day, size=d.SMALL)
    turned = [(84, 8), (150, 2), (156, 68), (90, 74)]
    d.polygon(ax, [(x, y + top) for x, y in turned], fill=d.SKY, edge=d.BLUE, alpha=0.35)
    if both:
        other = [(134, 4), (198, 10), (192, 76), (128, 70)]
        look = {"fill": d.AMBER, "edge": d.ORANGE, "alpha": 0.35, "dash": d.DASH}
        d.polygon(ax, [(x, y + top) for x, y in other], **look)
    d.box(ax, 112, top + 22, 56, 34, stroke=1.6, order=3)


def _tiled(ax: Axes, plane: Plane, both: bool) -> None:
    """Draw a grid whose pixels come from the left tile, and from the right one or from none."""
    left, right = _part(plane, 0, 5 / 8, 0, 1), _part(plane, 5 / 8, 1, 0, 1)
    d.polygon(ax, plane, fill="#FFFFFF")
    d.polygon(ax, left, fill=d.SKY, alpha=0.35, edge="none")
    if both:
        d.polygon(ax, right, fill=d.AMBER, alpha=0.35, edge="none")
    else:
        d.polygon(ax, right, hatch="xxxx", edge=d.GREY, stroke=0)
    d.lines(ax, [_part(plane, n / 8, n / 8, 0, 1)[1:3] for n in range(9)], colour=d.DIM)
    d.lines(ax, [_part(plane, 0, 1, n / 5, n / 5)[:2] for n in range(6)], colour=d.DIM)
