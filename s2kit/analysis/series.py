"""What an analysis takes from a cube: an index or a layer along time, and what of it is clear."""

from collections.abc import Callable
from dataclasses import dataclass

import dask.array as da
import numpy as np
import xarray as xr

from s2kit.analysis.indices import read_formula
from s2kit.analysis.inputs import read_cube, read_mask
from s2kit.analysis.masks import CLEAR, clear_mask
from s2kit.errors import InvalidInputError


@dataclass(frozen=True)
class Series:
    """What is asked of a cube along time, as blocks, and how values follow from them.

    Attributes
    ----------
    layers : list of dask.array.Array
        All in the same blocks, time first; the last one tells what is clear.
    evaluate : callable
        Gives values, float32, from all layers but the last.
    wanted : numpy.uint32
        Which values of the last layer, classes or bool, are clear: bit k for the value k.
    space : tuple of str
        Dimensions of the layers after time.
    name, unit : str
        Of the values.
    names : list of str
        Of the layers in the cube; without the last one where a mask was given.
    """

    layers: list[da.Array]
    evaluate: Callable[..., np.ndarray]
    wanted: np.uint32
    space: tuple[str, ...]
    name: str
    unit: str
    names: list[str]

    def attrs(self, word: str) -> dict[str, str]:
        """Describe a statistic."""
        return {"long_name": f"{word} of {self.name}", "units": self.unit}


def read_series(cube: xr.Dataset, variable: str, clear: xr.DataArray | None) -> Series:
    """Find what a variable is made of; with no mask, the classes tell what is clear.

    Values follow from layers block by block, slab by slab: written as one array after the other,
    they would go through memory five times.

    Raises
    ------
    InvalidInputError
    """
    cube = read_layers(cube, variable, clear)
    if _is_layer(cube, variable):
        names, evaluate = [variable], np.asarray
        about = cube[variable].attrs.get("long_name", variable), cube[variable].attrs.get("units")
    else:
        formula = read_formula(cube, variable)
        names, evaluate, about = list(formula.bands), formula, (formula.name, "1")
    layers = [cube[name] for name in names]
    mask, kept = cube.get("SCL"), CLEAR
    if clear is not None or mask is None:
        mask, kept = read_clear(cube, clear), (True,)
    else:
        names = [*names, "SCL"]
    for layer in layers:
        if layer.dtype.kind != "f" or set(layer.dims) != set(mask.dims):
            raise InvalidInputError(
                f"{layer.name} is {layer.dtype} with the dimensions {layer.dims}; give a layer of "
                "numbers along time, such as 'B08', or an index"
            )
    space = tuple(name for name in layers[0].dims if name != "time")
    blocks = _aligned([one.transpose("time", *space) for one in (*layers, mask)])
    wanted = np.uint32(sum(1 << int(k) for k in kept))
    return Series(blocks, evaluate, wanted, space, about[0], about[1] or "1", names)


def read_layers(cube: xr.Dataset, variable: str, clear: xr.DataArray | None) -> xr.Dataset:
    """Return a cube with what a variable and its mask take in physical values.

    Raises
    ------
    InvalidInputError
        As `s2kit.analysis.inputs.read_cube`, or if the variable is unknown.
    """
    read_cube(cube)
    names = [variable] if _is_layer(cube, variable) else read_formula(cube, variable).bands
    scl = ["SCL"] if clear is None and "SCL" in cube.data_vars and "SCL" not in names else []
    return read_cube(cube, *names, *scl)


def _is_layer(cube: xr.Dataset, variable: str) -> bool:
    return isinstance(variable, str) and variable in cube.data_vars


def read_clear(cube: xr.Dataset, clear: xr.DataArray | None) -> xr.DataArray:
    """Give the mask that was given, checked, or the default one."""
    return clear_mask(cube) if clear is None else read_mask(clear, cube)


def _aligned(layers: list[xr.DataArray]) -> list[da.Array]:
    """Give arrays in the blocks of the first one."""
    arrays = [one.data if one.chunks is not None else one.chunk().data for one in layers]
    return [arrays[0], *(array.rechunk(arrays[0].chunks, method="tasks") for array in arrays[1:])]


def as_rows(block: np.ndarray, dtype: str | None = None) -> np.ndarray:
    """Lay a block out as (time, pixel)."""
    return np.ascontiguousarray(block, dtype).reshape(len(block), -1)
