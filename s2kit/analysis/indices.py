"""Spectral indices by name, from the list Awesome Spectral Indices (library spyndex)."""

import difflib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from types import CodeType

import numpy as np
import spyndex
import xarray as xr

from s2kit.analysis.validation import read_cube
from s2kit.cube.layers import WAVELENGTHS
from s2kit.errors import InvalidInputError
from s2kit.scenes.item import BANDS

_SYMBOLS = dict(
    zip(("B", "G", "R", "RE1", "RE2", "RE3", "N", "N2", "S1", "S2"), BANDS, strict=True)
)
"""The band of Sentinel-2 for each symbol of the list."""

_CONSTANTS = {"SAVI": {"L": 0.5}}
"""Where the list's default is not the usual one: its L, 1, is that of EVI (Huete 1988)."""

_RATIO = re.compile(r"\((\w+)-(\w+)\)/\(\1\+\2\)")


def index(cube: xr.Dataset, name: str) -> xr.DataArray:
    """Compute a spectral index.

    Parameters
    ----------
    cube : xarray.Dataset
        As `s2kit.open_cube` returns it, or a part of it; reflectance 0-1.
    name : str
        Any name in the list Awesome Spectral Indices: ``"NDVI"``, ``"NDWI"``, ``"EVI"``…

    Returns
    -------
    xarray.DataArray
        Lazy, float32, in the dims of the bands, NaN where a band has no data or the index is not
        defined (0/0). The attributes hold the formula with its constants, and its reference.

    Raises
    ------
    InvalidInputError
        If the name is unknown, or the cube lacks a band that the index needs.

    References
    ----------
    Montero, D. et al. (2023). A standardized catalogue of spectral indices to advance the use of
    remote sensing in Earth system research. Scientific Data 10, 197.
    https://doi.org/10.1038/s41597-023-02096-0

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> ndvi = s2kit.index(cube, "NDVI")
    >>> ndvi.dims, ndvi.attrs["formula"]
    (('time', 'y', 'x'), '(N-R)/(N+R)')
    """
    formula = read_formula(cube, name)
    cube = read_cube(cube, *formula.bands)
    bands = [cube[band] for band in formula.bands]
    values = xr.apply_ufunc(formula.defined, *bands, dask="parallelized", output_dtypes=["float32"])
    found = spyndex.indices[formula.name]
    written = [found.formula, *(f"{name} = {v:g}" for name, v in formula.constants.items())]
    attrs = {
        "long_name": found.long_name,
        "units": "1",
        "formula": ", ".join(written),
        "references": found.reference,
    }
    return values.rename(formula.name).drop_attrs(deep=False).assign_attrs(attrs)


@dataclass(frozen=True)
class Formula:
    """An index as a function of arrays of reflectance.

    Attributes
    ----------
    name : str
        As in the list: ``"NDVI"``.
    bands : tuple of str
        Layers of the cube that it takes, in order.
    symbols : tuple of str
        The symbols of these bands in the formula.
    constants : dict of str to float
        The other symbols of the formula.
    """

    name: str
    bands: tuple[str, ...]
    symbols: tuple[str, ...]
    constants: dict[str, float] = field(hash=False)

    @property
    def ratio(self) -> tuple[int, int] | None:
        """Places of the bands a and b, if the formula is (a - b) / (a + b); or else None."""
        found = _RATIO.fullmatch(spyndex.indices[self.name].formula)
        if found is None:
            return None
        return self.symbols.index(found[1]), self.symbols.index(found[2])

    def __call__(self, *values: np.ndarray) -> np.ndarray:
        """Compute the index of reflectances 0-1; float32, not finite where it is not defined."""
        known = self.constants | dict(zip(self.symbols, values, strict=True))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(eval(_compiled(self.name), {"__builtins__": {}}, known), "float32")

    def defined(self, *values: np.ndarray) -> np.ndarray:
        """Compute the index, with NaN where it is not defined."""
        found = self(*values)
        return np.where(np.isfinite(found), found, np.float32(np.nan))


def read_formula(cube: xr.Dataset, name: str) -> Formula:
    """Return an index by name, and the layers of a cube that it takes; raises as `index` does."""
    read_cube(cube)
    found = spyndex.indices[_known(name)]
    bands: dict[str, str] = {}
    constants, missing = {}, []
    for symbol in found.bands:
        band = _SYMBOLS.get(symbol.removeprefix("lambda"))
        known = spyndex.constants[symbol].default if symbol in spyndex.constants else None
        known = _CONSTANTS.get(found.short_name, {}).get(symbol, known)
        if known is not None:
            constants[symbol] = float(known)
        elif band is None or band not in cube.data_vars:
            missing.append(band or f"{symbol} (no layer of a cube)")
        elif symbol.startswith("lambda"):
            constants[symbol] = float(WAVELENGTHS[band][0])
        else:
            bands[symbol] = band
    if missing:
        raise InvalidInputError(
            f"{found.short_name} = {found.formula} needs {', '.join(missing)}; the cube has "
            f"{', '.join(map(str, cube.data_vars)) or 'no layers'}. Choose another index, or build "
            "the cube with these bands"
        )
    return Formula(found.short_name, tuple(bands.values()), tuple(bands), constants)


@cache
def _names() -> dict[str, list[str]]:
    """Return the names by their spelling without case; BAI and BaI are two."""
    names = defaultdict(list)
    for name in spyndex.indices:
        names[name.casefold()].append(name)
    return names


def _known(name: str) -> str:
    if isinstance(name, str):
        alike = _names().get(name.casefold(), [])
        if name in alike or len(alike) == 1:
            return name if name in alike else alike[0]
    written = str(name).casefold()
    near = difflib.get_close_matches(written, _names(), 20, 0.5)
    near = sorted(near, key=lambda one: sorted(one) != sorted(written))[:3]  # swapped letters
    hint = f"Did you mean {' or '.join(_names()[n][0] for n in near)}? " if near else ""
    raise InvalidInputError(
        f"index {name!r} is unknown. {hint}Accepted is each of the {len(spyndex.indices)} names at "
        "https://github.com/awesome-spectral-indices/awesome-spectral-indices, such as NDVI"
    )


@cache
def _compiled(name: str) -> CodeType:
    """Compile a formula of the list; it holds arithmetic and no functions."""
    return compile(spyndex.indices[name].formula, f"<{name}>", "eval")
