"""Renderers: how a map shows an overpass, as a mix of bands, a layer, an index or classes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from operator import itemgetter

import numpy as np
import spyndex
import xarray as xr

from s2kit.analysis.indices import read_formula
from s2kit.errors import InvalidInputError
from s2kit.viewers import colours
from s2kit.viewers.colours import MAPS, MIXES, Mix

CLASSES = "Classes (SCL)"
"""Name of the renderer of the scene classification."""

Frame = dict[str, np.ndarray]
"""Layers of one overpass in a window, shape (y, x), by name."""

_FREQUENT = ("NDVI", "EVI", "SAVI", "NDRE", "NDMI", "NDWI", "MNDWI", "NBR", "NDSI", "NDBI")
"""Indices at the top of the list."""

_LIMITS = {"NDVI": (-0.1, 0.9)}
_VISIBLE, _INFRARED = (0.0, 0.2), (0.0, 0.5)
"""Reflectance, darkest and brightest: only clouds, snow and roofs are brighter."""


@dataclass(frozen=True)
class Renderer:
    """One way to show an overpass.

    Attributes
    ----------
    name, unit : str
    layers : tuple of str
        Layers that it reads.
    limits : tuple of float or None
        Darkest and brightest value; None where there are none, or they depend on the view.
    palette : sequence of str
        Colours from low to high; empty for a mix and for classes.
    classes : dict of int to str
        Names of the classes by number.
    scale : dict of str to float
        Factor of the limits for each band of a mix.
    values : callable or None
        Returns numbers, shape (y, x), of a frame; None for a mix.
    paint : callable
        Returns colours, shape (y, x, 4), uint8, of a frame, the low and the high limit.
    """

    name: str
    unit: str
    layers: tuple[str, ...]
    limits: tuple[float, float] | None
    palette: Sequence[str]
    values: Callable[[Frame], np.ndarray] | None = field(compare=False)
    paint: Callable[[Frame, float, float], np.ndarray] = field(compare=False)
    classes: dict[int, str] = field(default_factory=dict, hash=False)
    scale: dict[str, float] = field(default_factory=dict, hash=False)

    @property
    def other_limits(self) -> str:
        """The bands of a mix with limits other than those shown, in words."""
        factors = [(band, factor) for band, factor in self.scale.items() if factor != 1]
        return "; ".join(f"{band}: {factor:g} times these limits" for band, factor in factors)

    @property
    def usual_range(self) -> tuple[float, float] | None:
        """Range of an index over land; None for a layer, as clouds are far outside of it."""
        return None if self.layers == (self.name,) else self.limits

    @property
    def label(self) -> str:
        """Name, with the unit if there is one."""
        return self.name if self.unit == "1" else f"{self.name} ({self.unit})"

    def typical_limits(self, frame: Frame) -> tuple[float, float] | None:
        """Return limits without the lowest and highest 2 % of what is in sight.

        For a mix they are those of all its bands, in the scale of the last one.
        """
        if self.classes:
            return None
        if self.values is not None:
            return colours.percentile_limits([self.values(frame)])
        return colours.percentile_limits(
            [frame[band] / np.float32(factor) for band, factor in self.scale.items()]
        )

    def describe(self, frame: Frame, row: int, col: int) -> str:
        """Describe the value of a pixel of a frame in words."""
        pixel = {name: frame[name][row : row + 1, col : col + 1] for name in self.layers}
        if self.values is None:
            return ", ".join(f"{name} {_number(pixel[name][0, 0])}" for name in self.layers)
        value = self.values(pixel)[0, 0]
        if self.classes:
            return f"{value} {self.classes[int(value)]}" if value in self.classes else "no data"
        unit = f" {self.unit}" if self.unit != "1" and np.isfinite(value) else ""
        return f"{self.name} {_number(value)}{unit}"


def renderer_names(cube: xr.Dataset) -> dict[str, list[str]]:
    """Return the names of all renderers of a cube, in groups."""
    shown = [str(n) for n, layer in cube.data_vars.items() if layer.dtype.kind in "fiub"]
    bands = [name for name in shown if name != "SCL"]
    mixes = [n for n, mix in MIXES.items() if set(mix.bands) <= set(bands) and n not in bands]
    scl = [CLASSES] if "SCL" in cube.data_vars else []
    known = [name for name in spyndex.indices if _computable(cube, name) and name not in bands]
    first = [name for name in _FREQUENT if name in known]
    groups = {
        "Colour": [*mixes, *scl],
        "Index": first,
        "Layer": bands,
        "More indices": sorted(set(known) - set(first), key=str.casefold),
    }
    return {group: names for group, names in groups.items() if names}


def find_renderer(cube: xr.Dataset, name: str) -> Renderer:
    """Return the renderer of a name.

    Raises
    ------
    InvalidInputError
        If the cube has no such layer, and no index of that name can be computed from it.
    """
    if name in cube.data_vars:  # also one that is called as a mix or an index
        wavelength = cube[name].attrs.get("wavelength_nm")
        unit = str(cube[name].attrs.get("units", "1"))
        limits = (0.0, 100.0) if unit == "percent" else None
        if isinstance(wavelength, Real):
            limits = _VISIBLE if wavelength < 700 else _INFRARED
        return _numbers(name, unit, (name,), limits, "grey", itemgetter(name))
    if name in MIXES:
        return _mix(cube, name, MIXES[name])
    if name == CLASSES:
        return _classes(cube)
    formula = read_formula(cube, name)
    limits = _LIMITS.get(formula.name, (-1.0, 1.0) if formula.ratio else None)

    def values(frame: Frame) -> np.ndarray:
        return formula.defined(*(frame[band] for band in formula.bands))

    return _numbers(formula.name, "1", formula.bands, limits, "viridis", values)


def _mix(cube: xr.Dataset, name: str, mix: Mix) -> Renderer:
    missing = [band for band in mix.bands if band not in cube.data_vars]
    if missing:
        raise InvalidInputError(
            f"{name} needs {', '.join(missing)}, which the cube lacks; it has "
            f"{', '.join(map(str, cube.data_vars))}"
        )

    def paint(frame: Frame, low: float, high: float) -> np.ndarray:
        limits = [(low * factor, high * factor) for factor in mix.scale.values()]
        return colours.paint_mix([frame[b] for b in mix.bands], *zip(*limits, strict=True))

    limits = 0.0, mix.brightest[-1]
    return Renderer(name, "1", mix.bands, limits, (), None, paint, scale=mix.scale)


def _classes(cube: xr.Dataset) -> Renderer:
    classes = colours.classes_of(cube["SCL"])
    table = ["#000000"] * (max(number for number, _, _ in classes) + 1)
    for number, _, colour in classes:
        table[number] = colour

    def paint(frame: Frame, _low: float, _high: float) -> np.ndarray:
        return colours.paint_classes(frame["SCL"], table)

    names = {number: name for number, name, _ in classes}
    return Renderer(CLASSES, "class", ("SCL",), None, (), itemgetter("SCL"), paint, names)


def _numbers(
    name: str,
    unit: str,
    layers: Iterable[str],
    limits: tuple[float, float] | None,
    palette: str,
    values: Callable[[Frame], np.ndarray],
) -> Renderer:
    def paint(frame: Frame, low: float, high: float) -> np.ndarray:
        return colours.paint_layer(values(frame), low, high, MAPS[palette])

    return Renderer(name, unit, tuple(layers), limits, MAPS[palette], values, paint)


def _computable(cube: xr.Dataset, name: str) -> bool:
    try:
        read_formula(cube, name)
    except InvalidInputError:
        return False
    return True


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "no data"
