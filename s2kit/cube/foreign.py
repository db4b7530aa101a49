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


def open_foreign(place: Any, orbits: list[int], dask: bool) -> xr.Dataset:
    """Open orbits of a store that another program made.

    Parameters
    ----------
    place : str or zarr store
        As xarray takes it.
    orbits : list of int
        Relative orbits, as `foreign_orbits` returns them.
    dask : bool
        Whether the layers are to be Dask arrays.

    Returns
    -------
    xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` describes; the attribute ``assumed`` lists what the store did not say.

    Raises
    ------
    CubeError
        If there are no layers along time, y and x with their coordinates.
    """
    assumed: list[str] = []
    opened = [_open_orbit(place, orbit, dask, assumed) for orbit in orbits]
    cube = opened[0]
    if len(opened) > 1:
        options = {"coords": "different", "compat": "equals", "join": "exact"}
        cube = xr.concat(opened, "time", combine_attrs="drop_conflicts", **options)
    said = "; ".join(dict.fromkeys(assumed)) or "nothing"
    return cube.sortby("time").assign_attrs({ASSUMED: said})


def _open_orbit(place: Any, orbit: int, dask: bool, assumed: list[str]) -> xr.Dataset:
    group = f"S2/R{orbit:03d}"
    options = {"mask_and_scale": False, "decode_coords": "all", "cache": False}
    stored = xr.open_dataset(
        place,
        engine="zarr",
        group=group,
        consolidated=True,
        zarr_format=2,
        chunks={} if dask else None,
        **options,
    )
    cubes = [n for n, layer in stored.data_vars.items() if set(layer.dims) == {"time", "y", "x"}]
    if not cubes or not {"time", "y", "x"} <= set(stored.coords):
        raise CubeError(
            f"{group} has no layers along time, y and x with coordinates of these names; it has "
            f"{', '.join(map(str, stored.variables))}"
        )
    layers = {name: _decoded(_declared(stored[name], assumed)) for name in cubes}
    cube = stored[cubes].assign(layers).transpose("time", "y", "x", ...)
    cube = _with_crs(_northward(cube), assumed)
    return cube.assign_coords(relative_orbit=("time", np.full(cube.sizes["time"], orbit)))


def _declared(layer: xr.DataArray, assumed: list[str]) -> xr.DataArray:
    """Return a stored layer with what it does not say and what layers of this name usually are."""
    name, stated = layer.name, dict(layer.attrs)
    if name in BANDS and "add_offset" not in stated:
        assumed.append("the radiometric offset of reflectances was applied")
    if name in ("CLD", "SNW") and stated.get("_FillValue") == 0:
        assumed.append(f"0 in {name} is 0 %, though it is what was never written too")
        stated = {key: value for key, value in stated.items() if key not in DECLARED}
    if name != "SCL" and name in LAYER and layer.dtype.kind in "iu":
        if not any(key in stated for key in DECLARED):
            assumed.append(f"{LAYER[name].nodata} is no data in {name}")
        if "scale_factor" not in stated and LAYER[name].scale != 1:
            assumed.append(f"{name} is in counts of {LAYER[name].scale:g}")
            stated["scale_factor"] = LAYER[name].scale
    found = layer.copy(deep=False)
    found.attrs = stated
    return found


def _decoded(layer: xr.DataArray) -> xr.DataArray:
    """Return a layer in physical values, described as one of a cube."""
    if layer.name == "SCL":
        found, attrs, nodata = classes(layer), LAYER["SCL"].attrs, 0
    else:
        found, attrs, nodata = physical(layer), {}, np.nan
        found = found.astype("float32") if found.dtype.kind in "iu" else found
    stated = {k: v for k, v in found.attrs.items() if k not in (*DECLARED, *PACKED)}
    found.attrs = attrs | stated | {"nodata": nodata}
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
