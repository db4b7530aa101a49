"""Figures of orbits, and of the sun, clouds and their shadows."""

from math import cos, radians, sin, tan

import drawing as d
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse

_SWATH, _APART, _TILE, _STEP = 290, 166, 110, 100
"""Kilometres: a swath, neighbouring tracks at 52° north, a tile, tiles from corner to corner."""
_SCALE = 0.74
"""Units of the canvas for a kilometre."""
_HEADING = radians(16.4)
"""Of the track at 52° north, flying south, from south towards west."""
_TOP, _BOTTOM, _MIDDLE = 46, 316, 226
"""Of the map."""

_PASSES = {"R008": (0, 5, 10, 15), "R051": (3, 8, 13)}
"""Days of a cycle; 2C (before: 2A) and 2B pass in turn."""


def orbits() -> Axes:
    """Draw two neighbouring swaths over tiles, and the days on which the two satellites pass."""
    ax = d.canvas(498)
    _tiles(ax)
    half = _APART * _SCALE / cos(_HEADING) / 2
    _swath(ax, _MIDDLE - half, d.BLUE, "-")
    _swath(ax, _MIDDLE + half, d.ORANGE, d.DASH)
    for x, name, align in ((14, "orbit R051", "left"), (438, "orbit R008", "right")):
        d.write(ax, x, 34, name, bold=True, align=align)
    _distances(ax)
    _explain(ax)
    _days(ax)
    return ax


def _swath(ax: Axes, middle: float, colour: str, dash: object) -> None:
    half = _SWATH * _SCALE / cos(_HEADING) / 2
    lean = (_BOTTOM - _TOP) / 2 * tan(_HEADING)
    corners = [
        (middle + lean - half, _TOP),
        (middle + lean + half, _TOP),
        (middle - lean + half, _BOTTOM),
        (middle - lean - half, _BOTTOM),
    ]
    d.polygon(ax, corners, fill=colour, alpha=0.13, edge=colour, stroke=1.8, dash=dash)
    start = (middle + lean * 0.9, _TOP + 14)
    end = (middle - lean * 0.9, _BOTTOM - 14)
    d.arrow(ax, start, end, colour=colour, stroke=1.6)


def _tiles(ax: Axes) -> None:
    size, step = _TILE * _SCALE, _STEP * _SCALE
    for _, _, x, y in d.cells(_MIDDLE - 2.55 * step, _TOP + 12, 5, 3, step):
        d.box(ax, x, y, size, size, edge=d.GREY, stroke=0.7)
    x, y = _MIDDLE - 0.55 * step, _TOP + 12 + step
    d.box(ax, x, y, size, size, stroke=2, order=4)


def _distances(ax: Axes) -> None:
    """Mark the width of a swath, and name the parts."""
    centre = (_MIDDLE - _APART * _SCALE / cos(_HEADING) / 2 - 56 * tan(_HEADING), 238)
    dx, dy = (_SWATH * _SCALE / 2 * f(_HEADING) for f in (cos, sin))
    ends = [(centre[0] + k * dx, centre[1] + k * dy) for k in (-1, 1)]
    d.arrow(ax, *ends, both=True)
    d.write(ax, 58, 270, "swath\n290 km", bold=True)
    d.write(ax, _MIDDLE + 34, 70, "overlap", bold=True, align="center")
    d.write(ax, _MIDDLE + 2, 188, "tile", bold=True, align="center")


def _explain(ax: Axes) -> None:
    """Write what the parts of the map are."""
    texts = (
        ("swath", "strip that a satellite sees:\n290 km wide"),
        ("datatake", "one recording, along an arrow,\nwithout a break; cut into tiles"),
        ("tile", "square of 110 km (one is bold);\nneighbours share 10 km"),
        ("overlap", "seen from both orbits; more than\n100 km wide at 52° north"),
        ("relative orbit", "track with a number, 1 to 143,\nflown again every 10 days"),
    )
    for number, (name, text) in enumerate(texts):
        y = 58 + 56 * number
        d.write(ax, 482, y, name, bold=True)
        d.write(ax, 482, y + 18, text, size=d.SMALL)


def _days(ax: Axes) -> None:
    """Draw the days on which each orbit, and the overlap, is seen."""
    left, unit = 132, 26.5
    rows = (
        ("orbit R008", ("R008",), "every 5 days", 396),
        ("orbit R051", ("R051",), "every 5 days", 426),
        ("in the overlap", tuple(_PASSES), "every 2 or 3 days", 456),
    )
    d.write(ax, 20, 356, "Passes of two satellites", size=d.HEAD, bold=True)
    for x, marker, text in ((262, "s", "2C (until January 2025: 2A)"), (474, "o", "2B")):
        ax.plot(x, 352, marker=marker, color=d.INK, mfc="white", ms=8)
        d.write(ax, x + 12, 356, text, size=d.SMALL)
    for name, seen, text, y in rows:
        d.write(ax, 20, y + 4, name, size=d.SMALL)
        d.line(ax, [(left, y), (left + 15 * unit, y)], colour=d.GREY)
        d.write(ax, left + 15 * unit + 20, y + 4, text, bold=True)
        for orbit in seen:
            colour = {"R008": d.ORANGE, "R051": d.BLUE}[orbit]
            for number, day in enumerate(_PASSES[orbit]):
                ax.plot(left + day * unit, y, marker="so"[number % 2], color=colour, ms=8.5)
    for day in range(16):
        d.write(ax, left + day * unit, 482, f"{day}", size=d.SMALL, align="center")
    d.write(ax, left + 15 * unit + 20, 482, "day", size=d.SMALL)


_GROUND = 330
"""Height of the ground in the side view."""


def cloud_shadow() -> Axes:
    """Draw a cloud and its shadow from the side and from above."""
    ax = d.canvas(432)
    d.write(ax, 20, 30, "From the side", size=d.HEAD, bold=True)
    d.write(ax, 474, 30, "On the image", size=d.HEAD, bold=True)
    _side(ax)
    _above(ax)
    text = (
        "A cloud 1 km high, at 52° north, about 11:00 UTC:  "
        f"June, zenith angle 30°: {tan(radians(30)):.1f} km;  "
        f"December, 76°: {tan(radians(76)):.1f} km."
    )
    d.write(ax, 360, 418, text, size=d.SMALL, align="center")
    return ax


def _cloud(ax: Axes, x: float, y: float, size: float, colour: str) -> None:
    """Draw a cloud with its centre at (x, y), ``size`` its half width."""
    for dx, dy, radius in ((-0.55, 0.08, 0.36), (0, -0.12, 0.48), (0.55, 0.06, 0.38)):
        spot = (x + dx * size, y + dy * size)
        ax.add_patch(Circle(spot, radius * size, facecolor=colour, lw=0, zorder=3))


def _side(ax: Axes) -> None:
    """Draw the side view: sun left, satellite above, shadow right of the cloud."""
    cloud, zenith, view = (208, 204), radians(42), radians(9)
    high = _GROUND - cloud[1]
    shadow, seen = cloud[0] + high * tan(zenith), cloud[0] + high * tan(view)
    sun = (cloud[0] - 122 * tan(zenith), cloud[1] - 122)
    satellite = (cloud[0] - 132 * tan(view), cloud[1] - 132)
    d.line(ax, [(20, _GROUND), (446, _GROUND)], stroke=1.6)
    d.line(ax, [cloud, (cloud[0], _GROUND)], dash=d.DASH)
    d.arrow(ax, sun, (shadow, _GROUND), colour=d.ORANGE, stroke=1.8)
    d.line(ax, [satellite, (seen, _GROUND)], colour=d.BLUE, stroke=1.6, dash=d.DASH_DOT)
    ax.add_patch(Circle(sun, 17, facecolor=d.AMBER, edgecolor=d.INK, lw=0.8, zorder=3))
    d.write(ax, sun[0] - 26, sun[1] + 5, "sun", bold=True, align="right")
    _satellite(ax, *satellite)
    _cloud(ax, *cloud, 40, "#D5D5D5")
    d.write(ax, cloud[0] + 48, cloud[1] - 12, "cloud", bold=True)
    ax.add_patch(Ellipse((shadow, _GROUND), 84, 12, facecolor=d.INK, lw=0, zorder=3))
    d.write(ax, shadow + 26, _GROUND - 16, "shadow", bold=True)
    d.write(ax, cloud[0] - 10, 268, "height", size=d.SMALL, align="right")
    d.angle(ax, cloud, 66, 90 - 42, 90)
    d.write(ax, cloud[0] + 68, cloud[1] + 60, "zenith angle", size=d.SMALL)
    d.write(ax, 20, 296, "in the image,\nthe cloud is here", size=d.SMALL)
    d.arrow(ax, (138, 307), (seen - 3, _GROUND - 3), stroke=0.9)
    d.arrow(ax, (cloud[0], _GROUND + 18), (shadow, _GROUND + 18), both=True)
    text = "displacement = height × tan(zenith angle)"
    d.write(ax, 233, _GROUND + 42, text, align="center", bold=True)


def _satellite(ax: Axes, x: float, y: float) -> None:
    for dx in (-26, 10):
        d.box(ax, x + dx, y - 5, 16, 10, fill=d.BLUE, order=4)
    d.box(ax, x - 8, y - 8, 16, 16, fill="#FFFFFF", order=5)
    d.write(ax, x + 36, y + 5, "satellite", bold=True)


def _above(ax: Axes) -> None:
    """Draw the view from above: in the morning the sun is in the south-south-east."""
    left, top = 474, 46
    d.box(ax, left, top, 226, 326, fill="#D9EAD6", edge=d.DIM)
    azimuth, length = radians(160), 120
    cloud = (left + 122, top + 186)
    away = (-sin(azimuth) * length, cos(azimuth) * length)
    shadow = (cloud[0] + away[0], cloud[1] + away[1])
    towards = (cloud[0] - away[0], cloud[1] - away[1])
    d.arrow(ax, cloud, (cloud[0] + away[0] * 0.8, cloud[1] + away[1] * 0.8))
    d.arrow(ax, cloud, towards, colour=d.ORANGE, stroke=1.8)
    _cloud(ax, *shadow, 40, "#3A3A3A")
    _cloud(ax, *cloud, 40, "#FFFFFF")
    d.write(ax, shadow[0] + 44, shadow[1] + 4, "shadow", bold=True)
    d.write(ax, cloud[0] + 44, cloud[1] + 4, "cloud", bold=True)
    d.write(ax, cloud[0] + 6, cloud[1] - 46, "displacement", size=d.SMALL)
    d.write(ax, towards[0] - 18, towards[1] - 12, "to the sun\n(morning)", align="right")
    d.arrow(ax, (left + 22, top + 48), (left + 22, top + 12))
    d.write(ax, left + 22, top + 64, "N", bold=True, align="center")
