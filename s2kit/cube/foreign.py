"""Open a cube of the same layout that another program made: what it does not say is assumed."""

import re
from typing import Any

import numpy as np
import xarray as xr

from s2kit.cube.layout import LAYER
from s2kit.cube.nodata import DECLARED, PACKED, classes, physical
from s2kit.errors import CubeError
from s2kit.grid import DEFAULT_CRS
from s2kit.scenes.item import BANDS
from s2kit.scenes.region import PRESETS

ASSUMED = "assumed"
"""Attribute that lists what the store does not say and was assumed."""

_GROUP = re.compile(r"S2/R(\d{3})/\.zgroup")


def foreign_orbits(documents: dict[str, Any]) -> list[int]:
    """Return the relative orbits whose groups lie in a store, ``S2/R051`` and so on."""
    return sorted(int(match[1]) for name in documents if (match := _GROUP.fullmatch(name)))


def open_orbit(place: Any, orbit: int, dask: bool) -> xr.Dataset:
    """Open one orbit of a store that another program made.

    Parameters
    ----------
    place : str or zarr store
        As xarray takes it.
    orbit : int
        Relative orbit.
    dask : bool
        Whether its layers are to be Dask arrays.

    Returns
    -------
    xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` describes; the attribute ``assumed`` lists what the store did not say.

    Raises
    ------
    CubeError
        If there are no layers along time, y and x with their coordinates.
    """
    group = f"S2/R{orbit:03d}"
    stored = xr.open_dataset(
        place, engine="zarr", group=group, consolidated=True, zarr_format=2,
        mask_and_scale=False, decode_coords="all", chunks={} if dask else None, cache=False,
    )  # fmt: skip
    cubes = [n for n, layer in stored.data_vars.items() if set(layer.dims) == {"time", "y", "x"}]
    if not cubes or not {"time", "y", "x"} <= set(stored.coords):
        raise CubeError(
            f"{group} has no layers along time, y and x with coordinates of these names; it has "
            f"{', '.join(map(str, stored.variables))}"
        )
    assumed: list[str] = []
    layers = {name: _read_layer(stored[name], assumed) for name in cubes}
    cube = stored[cubes].assign(layers).transpose("time", "y", "x", ...)
    cube = _with_crs(_northward(cube.sortby("time")), assumed)
    cube = cube.assign_coords(relative_orbit=("time", np.full(cube.sizes["time"], orbit)))
    said = "; ".join(dict.fromkeys(assumed)) or "nothing"
    return cube.assign_attrs({ASSUMED: said})


def _read_layer(layer: xr.DataArray, assumed: list[str]) -> xr.DataArray:
    name = layer.name
    if name == "SCL":
        found = classes(layer)
        found.attrs = LAYER["SCL"].attrs | found.attrs | {"nodata": 0}
        return found
    if name in ("CLD", "SNW") and layer.attrs.get("_FillValue") == 0:
        assumed.append(f"0 in {name} is 0 %, though it is what was never written too")
        layer = layer.copy(deep=False)
        layer.attrs = {key: v for key, v in layer.attrs.items() if key not in DECLARED}
    whole = layer.dtype.kind in "iu"
    if name in LAYER and whole and not any(key in layer.attrs for key in DECLARED):
        assumed.append(f"{LAYER[name].nodata} is no data in {name}")
    if name in LAYER and whole and "scale_factor" not in layer.attrs and LAYER[name].scale != 1:
        assumed.append(f"{name} is in counts of {LAYER[name].scale:g}")
        layer = layer.assign_attrs(scale_factor=LAYER[name].scale)
    if name in BANDS and "add_offset" not in layer.attrs:
        assumed.append("the radiometric offset of reflectances was applied")
    found = physical(layer)
    if found.dtype.kind in "iu" and name in LAYER:
        found = found.astype("float32")
    found.attrs = {k: v for k, v in found.attrs.items() if k not in (*DECLARED, *PACKED)}
    found.attrs["nodata"] = np.nan
    return found


def _northward(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube whose y runs from north to south."""
    upwards = cube.sizes["y"] > 1 and float(cube.y[0]) < float(cube.y[-1])
    return cube.isel(y=slice(None, None, -1)) if upwards else cube


def _with_crs(cube: xr.Dataset, assumed: list[str]) -> xr.Dataset:
    """Return a cube with a coordinate system: the Dutch one where it says none, and lies there."""
    if cube.rio.crs is not None:
        return cube
    west, south, east, north = PRESETS["netherlands"][1]
    if not (west <= cube.x.min() <= cube.x.max() <= east):
        return cube
    if not (south <= cube.y.min() <= cube.y.max() <= north):
        return cube
    assumed.append(f"the coordinate system is {DEFAULT_CRS}")
    return cube.rio.write_crs(DEFAULT_CRS)
