"""Figures of light: the ten bands with spectra of surfaces, and what the NDVI is."""

import drawing as d
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from s2kit.practice.spectra import SPECTRA

BANDS = {
    "B02": (492.4, 66),
    "B03": (559.8, 36),
    "B04": (664.6, 31),
    "B05": (704.1, 15),
    "B06": (740.5, 15),
    "B07": (782.8, 20),
    "B08": (832.8, 106),
    "B8A": (864.7, 21),
    "B11": (1613.7, 91),
    "B12": (2202.4, 175),
}
"""Central wavelength and width in nm of Sentinel-2A, after ESA's Sentinel-2 user guide; those of 2B
and 2C differ by few nm."""

_FINE = ("B02", "B03", "B04", "B08")
"""Bands measured at 10 m, the others at 20 m."""

_COLOURS = {"B02": d.BLUE, "B03": d.GREEN, "B04": d.ORANGE}

_SURFACES = {
    "cloud": ("cloud", d.GREY, d.DASH, "s", ((455, 0.71), (1820, 0.535))),
    "snow": ("snow", d.INK, d.DASH_DOT, "D", ((455, 0.905), (1690, 0.045))),
    "dense crop": ("potato", d.GREEN, "-", "o", ((704, 0.5), (1690, 0.215))),
    "bare soil": ("clay", d.ORANGE, d.DASH, "^", ((588, 0.18), (1690, 0.305))),
    "water": ("canal", d.BLUE, d.DOT, "v", ((800, 0.045), (1990, 0.02))),
}
"""Material in the kit's table of spectra, colour, dash, marker, and where the name stands."""

_PARTS = (((430, 920), 62, 426), ((1500, 2320), 512, 196))
"""Wavelengths, left edge and width of the two parts of the chart."""


def spectrum() -> Axes:
    """Draw the bands as bars, and reflectance by wavelength of five surfaces."""
    ax = d.canvas(452)
    parts = [(limits, d.chart(ax, x, 84, width, 280)) for limits, x, width in _PARTS]
    for limits, part in parts:
        part.set(xlim=limits, ylim=(0, 1))
        _bars(part, limits)
        for name, (material, colour, dash, marker, places) in _SURFACES.items():
            inside = [b for b, (nm, _) in BANDS.items() if limits[0] < nm < limits[1]]
            x, y = [BANDS[b][0] for b in inside], SPECTRA.loc[material, inside].clip(0)
            look = {"color": colour, "marker": marker, "ms": 5, "clip_on": False}
            part.plot(x, y, ls=dash, lw=1.8, mfc="white" if name == "snow" else colour, **look)
            place = places[parts[0][1] is not part]
            d.write(part, *place, name, bold=True, size=d.TEXT if part is parts[0][1] else d.SMALL)
    left, right = (part for _, part in parts)
    left.set(xticks=range(450, 901, 50), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    right.set(xticks=[1600, 1800, 2000, 2200], yticks=[])
    right.spines["left"].set_visible(False)
    left.set_ylabel("reflectance (share of the light)", fontsize=d.SMALL)
    for y, size in ((38, "10 m"), (66, "20 m")):
        d.write(ax, 54, y, size, size=d.SMALL, align="right")
    _below(ax)
    return ax


def _bars(part: Axes, limits: tuple[float, float]) -> None:
    for band, (centre, width) in BANDS.items():
        if not limits[0] < centre < limits[1]:
            continue
        colour = _COLOURS.get(band, d.DIM)
        level = 1.165 if band in _FINE else 1.065
        place = (centre - width / 2, level)
        part.add_patch(Rectangle(place, width, 0.025, color=colour, lw=0, clip_on=False))
        part.add_patch(Rectangle((place[0], 0), width, 1, color=colour, lw=0, alpha=0.1))
        d.write(part, centre, level + 0.038, band, size=d.SMALL, align="center")


def _below(ax: Axes) -> None:
    """Write the names of the parts of the spectrum, and the axis."""
    names = {"visible": (448, 690), "red edge": (694, 770), "near infrared": (774, 915)}
    for name, (start, end) in names.items():
        x = [62 + (nm - 430) * 426 / 490 for nm in (start, end)]
        d.line(ax, [(x[0], 394), (x[1], 394)], stroke=1)
        d.write(ax, sum(x) / 2, 411, name, size=d.SMALL, align="center")
    d.line(ax, [(536, 394), (692, 394)], stroke=1)
    d.write(ax, 614, 411, "short-wave infrared", size=d.SMALL, align="center")
    for x in (488, 512):
        d.line(ax, [(x - 4, 370), (x + 4, 358)])
    text = "wavelength (nm); bars above: centre, width and pixel size of each band"
    d.write(ax, 385, 440, text, align="center")


def ndvi() -> Axes:
    """Draw red and near infrared of three surfaces, and the NDVI that follows."""
    ax = d.canvas(384)
    formula = "NDVI = (near infrared − red) / (near infrared + red)"
    d.write(ax, 360, 34, formula, size=13, bold=True, align="center")
    d.write(ax, 28, 280, "bars: reflectance (0 to 1)", size=d.SMALL)
    places = {"dense crop": "potato", "bare soil": "clay", "water": "canal"}
    for number, (name, material) in enumerate(places.items()):
        red, infrared = (float(SPECTRA.loc[material, band]) for band in ("B04", "B08"))
        _surface(ax, 28 + number * 232, name, red, infrared)
    _scale(ax, {n: _index(*SPECTRA.loc[m, ["B04", "B08"]]) for n, m in places.items()})
    return ax


def _index(red: float, infrared: float) -> float:
    return float((infrared - red) / (infrared + red))


def _surface(ax: Axes, left: float, name: str, red: float, infrared: float) -> None:
    d.card(ax, left, 54, 200, 206)
    d.write(ax, left + 100, 78, name, size=d.HEAD, bold=True, align="center")
    base = 206
    for x, value, colour, text, hatch in (
        (left + 34, red, d.ORANGE, "red B04", None),
        (left + 114, infrared, d.PINK, "infrared B08", "////"),
    ):
        height = value * 200
        d.box(ax, x, base - height, 52, height, fill=colour, hatch=hatch, stroke=0.8)
        d.write(ax, x + 26, base - height - 6, f"{value:.3f}", size=d.SMALL, align="center")
        d.write(ax, x + 26, base + 16, text, size=d.SMALL, align="center")
    d.line(ax, [(left + 16, base), (left + 184, base)])
    text = f"NDVI = {_index(red, infrared):.2f}".replace("-", "−")
    d.write(ax, left + 100, base + 44, text, size=d.HEAD, bold=True, align="center")


def _scale(ax: Axes, values: dict[str, float]) -> None:
    y = 324
    d.line(ax, [(60, y), (660, y)], stroke=1.4)
    for tick in (-1, -0.5, 0, 0.5, 1):
        x = 360 + 300 * tick
        d.line(ax, [(x, y), (x, y + 6)])
        d.write(ax, x, y + 22, f"{tick:g}".replace("-", "−"), size=d.SMALL, align="center")
    d.write(ax, 360, y + 44, "NDVI (no unit)", size=d.SMALL, align="center")
    for name, value in values.items():
        ax.plot(360 + 300 * value, y, marker="o", color=d.INK, ms=8)
        d.write(ax, 360 + 300 * value, y - 14, name, size=d.SMALL, align="center")
