"""Figures of pixels and their series: composites, splits, field borders, statistics in time."""

from math import cos, exp, pi
from random import Random
from statistics import fmean, median, pstdev

import drawing as d
from matplotlib.axes import Axes
from shapely import Polygon, box

_DAYS = (3, 8, 16, 23, 33, 41, 48, 58, 66)
_RED = (0.046, 0.042, 0.049, 0.044, 0.412, 0.047, 0.041, 0.045, 0.048)
"""Days after 1 June and red reflectance of one pixel: made up, with one cloud that was missed."""


def composite() -> Axes:
    """Draw a series with a missed cloud, its median and its mean."""
    ax = d.canvas(330)
    inner = d.chart(ax, 66, 36, 420, 232)
    inner.set(xlim=(0, 70), ylim=(0, 0.45), yticks=[0, 0.1, 0.2, 0.3, 0.4])
    inner.set_xticks([0, 30, 61], ["1 June", "1 July", "1 August"])
    inner.set_ylabel("red reflectance, B04 (0 to 1)", fontsize=d.SMALL)
    clear = [(x, y) for x, y in zip(_DAYS, _RED, strict=True) if y < 0.1]
    inner.plot(*zip(*clear, strict=True), "o", color=d.GREEN, ms=8, mec=d.INK, mew=0.8, zorder=3)
    inner.plot(33, 0.412, "X", color=d.GREY, ms=10, mec=d.INK, mew=0.8)
    d.write(inner, 36, 0.406, "a cloud that the mask missed", bold=True)
    d.write(inner, 3, 0.105, "clear", bold=True)
    middle, mean = median(_RED), fmean(_RED)
    inner.axhline(middle, color=d.BLUE, lw=2)
    inner.axhline(mean, color=d.ORANGE, lw=2, ls=d.DASH)
    y = [268 - 232 * value / 0.45 for value in (mean, middle)]
    d.write(ax, 496, y[0] - 8, f"mean {mean:.3f}", bold=True)
    d.write(ax, 496, y[0] + 8 - 40, "nearly doubled by one cloud:", size=d.SMALL)
    d.write(ax, 496, y[1] + 12, f"median {middle:.3f}", bold=True)
    d.write(ax, 496, y[1] + 28, "the value of a clear day", size=d.SMALL)
    d.write(ax, 66, 314, "One pixel, nine overpasses (made up).", size=d.SMALL)
    return ax


_FIELDS = ((0, 0, 5, 4), (5, 0, 4, 4), (9, 0, 5, 4), (0, 4, 4, 4), (4, 4, 6, 4), (10, 4, 4, 4))
"""Column, row, width and height of each field, in pixels."""
_TEST = (1, 3)
"""Fields for the test."""
_TRAINING = "#CFE2F0"


def split() -> Axes:
    """Draw the two ways of setting pixels aside: at random, and whole fields."""
    ax = d.canvas(346)
    rng = Random(5)
    heads = ("Split by pixel", "Split by field")
    texts = (
        "Test pixels have neighbours of the same field\nin training: the accuracy is too high.",
        "The test asks for fields that were never seen:\nthe accuracy is that of new fields.",
    )
    for number, (head, text) in enumerate(zip(heads, texts, strict=True)):
        left = 24 + 352 * number
        d.write(ax, left, 30, head, size=d.HEAD, bold=True)
        for index, (column, row, wide, high) in enumerate(_FIELDS):
            x, y = left + column * 22 + 7 * (index % 3), 46 + (row * 22) + 7 * (index // 3)
            drawn = {
                (px, py): rng.random() < 0.3 if number == 0 else index in _TEST
                for *_, px, py in d.cells(x, y, wide, high, 22)
            }
            d.box(ax, x, y, wide * 22, high * 22, fill=_TRAINING, edge="none")
            _crosses(ax, [place for place, chosen in drawn.items() if chosen])
            across = [[(x, y + n * 22), (x + wide * 22, y + n * 22)] for n in range(1, high)]
            down = [[(x + n * 22, y), (x + n * 22, y + high * 22)] for n in range(1, wide)]
            d.lines(ax, across + down, colour="#FFFFFF", stroke=1)
            d.box(ax, x, y, wide * 22, high * 22, stroke=1.8, order=4)
        d.write(ax, left, 254, text, size=d.SMALL)
    d.box(ax, 24, 300, 22, 22, fill=_TRAINING, edge="none")
    d.write(ax, 54, 316, "pixel for training")
    _crosses(ax, [(214, 300)])
    d.write(ax, 244, 316, "pixel for the test")
    d.box(ax, 418, 300, 34, 22, stroke=1.8)
    d.write(ax, 460, 316, "field")
    return ax


def _crosses(ax: Axes, places: list[d.Point]) -> None:
    """Draw pixels of the test, by their upper left corners."""
    for x, y in places:
        d.box(ax, x, y, 22, 22, fill=d.AMBER, edge="none")
    strokes = [[(x + a, y + 7), (x + b, y + 15)] for x, y in places for a, b in ((7, 15), (15, 7))]
    d.lines(ax, strokes, colour=d.INK, stroke=1.4)


_COLUMNS, _ROWS, _SIZE = 8, 7, 26
_FIELD = Polygon([(1.35, 1.6), (5.1, 0.55), (7.2, 3.4), (6.1, 6.2), (2.2, 5.7)])
"""A field in pixels, from the upper left corner of the raster."""


def mixed_pixels() -> Axes:
    """Draw which pixels count as a field's, by three rules."""
    ax = d.canvas(334)
    pixels = [box(c, r, c + 1, r + 1) for r, c, *_ in d.cells(0, 0, _COLUMNS, _ROWS, 1)]
    shares = [p.intersection(_FIELD).area for p in pixels]
    inside = [float(_FIELD.contains(pixel.centroid)) for pixel in pixels]
    rules = (
        ("every pixel touched", [float(s > 0) for s in shares], "mixed pixels count fully"),
        ("centre inside", inside, "some mixed pixels count fully"),
        ("weight = share covered", shares, "mixed pixels count in part"),
    )
    for number, (name, weights, text) in enumerate(rules):
        left = 20 + 236 * number
        d.write(ax, left, 30, name, bold=True)
        _raster(ax, left, weights, dots=weights is inside)
        corners = [(left + x * _SIZE, 46 + y * _SIZE) for x, y in _FIELD.exterior.coords]
        d.polygon(ax, corners[:-1], edge=d.ORANGE, stroke=2.4, order=5)
        digits = 1 if weights is shares else 0
        d.write(ax, left, 256, f"{sum(weights):.{digits}f} pixels", bold=True)
        d.write(ax, left, 274, text, size=d.SMALL)
    text = (
        f"The field (orange outline) has the area of {_FIELD.area:.1f} pixels.\n"
        "A mixed pixel holds the field and what lies beside it: its value belongs to neither."
    )
    d.write(ax, 20, 304, text, size=d.SMALL)
    return ax


def _raster(ax: Axes, left: float, weights: list[float], *, dots: bool) -> None:
    """Draw the raster with pixels as dark as their weight."""
    places = [(x, y) for _, _, x, y in d.cells(left, 46, _COLUMNS, _ROWS, _SIZE)]
    for (x, y), weight in zip(places, weights, strict=True):
        if weight:
            d.box(ax, x, y, _SIZE, _SIZE, fill=d.BLUE, alpha=0.75 * weight, edge="none")
    right, low = left + _COLUMNS * _SIZE, 46 + _ROWS * _SIZE
    across = [[(left, y), (right, y)] for y in range(46, low + 1, _SIZE)]
    down = [[(x, 46), (x, low)] for x in range(left, right + 1, _SIZE)]
    d.lines(ax, across + down, colour="#B8B8B8")
    if dots:
        x, y = ([v + _SIZE / 2 for v in axis] for axis in zip(*places, strict=True))
        ax.plot(x, y, ".", color=d.INK, ms=3)


def _series() -> dict[str, tuple[list[float], str, object, str]]:
    """Return schematic NDVI of three places, one value every ten days of a year."""
    days = range(5, 365, 10)
    rng = Random(2)
    noise = {name: [rng.gauss(0, 0.018) for _ in days] for name in ("grass", "crop", "roof")}
    grass = [0.72 - 0.1 * cos(2 * pi * (day - 20) / 365) for day in days]
    crop = [0.17 + 0.71 * exp(-(((day - 205) / 48) ** 4)) for day in days]
    roof = [0.1 for _ in days]
    return {
        name: ([a + b for a, b in zip(values, noise[name], strict=True)], colour, dash, marker)
        for name, values, colour, dash, marker in (
            ("grass", grass, d.GREEN, "-", "o"),
            ("crop", crop, d.ORANGE, d.DASH, "^"),
            ("roof", roof, d.BLUE, d.DASH_DOT, "s"),
        )
    }


def statistics() -> Axes:
    """Draw three series with mean and standard deviation, and their places in the plane of both."""
    ax = d.canvas(398)
    plane = d.chart(ax, 476, 62, 220, 270)
    plane.set(xlim=(0, 1), ylim=(0, 0.4), yticks=[0, 0.1, 0.2, 0.3, 0.4])
    plane.set_xlabel("mean NDVI", fontsize=d.SMALL)
    plane.set_ylabel("standard deviation of NDVI", fontsize=d.SMALL)
    d.write(ax, 20, 30, "NDVI through a year", size=d.HEAD, bold=True)
    d.write(ax, 436, 30, "The same as two numbers", size=d.HEAD, bold=True)
    for number, (name, (values, colour, dash, marker)) in enumerate(_series().items()):
        mean, std = fmean(values), pstdev(values)
        inner = d.chart(ax, 62, 50 + 104 * number, 230, 86)
        inner.set(xlim=(1, 366), ylim=(0, 1), yticks=[0, 0.5, 1])
        inner.set_xticks([1, 91, 182, 274], ["Jan", "Apr", "Jul", "Oct"] if number == 2 else [])
        inner.axhspan(mean - std, mean + std, color=colour, alpha=0.18, lw=0)
        inner.axhline(mean, color=d.DIM, lw=0.8)
        inner.plot(range(5, 365, 10), values, color=colour, ls=dash, lw=2.2)
        d.write(ax, 302, 50 + 104 * number + 20, name, bold=True)
        d.write(ax, 302, 50 + 104 * number + 40, f"mean {mean:.2f}", size=d.SMALL)
        d.write(ax, 302, 50 + 104 * number + 57, f"std {std:.2f}", size=d.SMALL)
        plane.plot(mean, std, marker=marker, color=colour, ms=11, mec=d.INK, mew=0.8)
        d.write(plane, mean, std + 0.025, name, bold=True, align="center")
    text = "thin line: mean; band: one standard deviation (std) up and down; schematic"
    d.write(ax, 20, 388, text, size=d.SMALL)
    return ax
