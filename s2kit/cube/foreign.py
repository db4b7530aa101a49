"""Open a cube of the same layout that another program made: what it does not say is assumed."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.nodata import classes, declares_nodata, fill_of, packing, physical, without_encoding
from s2kit.errors import CubeError
from s2kit.grid import DEFAULT_CRS
from s2kit.scenes.item import BANDS
from s2kit.scenes.region import PRESETS

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
    assumed: Assumed = {}
    opened = [_open_orbit(place, orbit, dask, assumed) for orbit in orbits]
    cube = join_orbits(opened) if len(opened) > 1 else opened[0]
    said = [f"{what} ({', '.join(names)})" if names else what for what, names in assumed.items()]
    told = {"assumed": "; ".join(said) or "nothing", "synthetic": 0}
    return cube.sortby("time").assign_attrs(told)


Assumed = dict[str, list[str]]
"""What is assumed → the layers that it is assumed of; none for the cube as a whole."""


def join_orbits(orbits: list[xr.Dataset]) -> xr.Dataset:
    """Put the steps of orbits one after the other."""
    return xr.concat(
        orbits,
        "time",
        coords="different",
        compat="equals",
        join="exact",
        combine_attrs="drop_conflicts",
    )


def _open_orbit(place: Any, orbit: int, dask: bool, assumed: Assumed) -> xr.Dataset:
    group = f"S2/R{orbit:03d}"
    stored = xr.open_dataset(
        place,
        engine="zarr",
        group=group,
        consolidated=True,
        zarr_format=2,
        chunks={} if dask else None,
        mask_and_scale=False,
        decode_coords="all",
        cache=False,
    )
    cubes = [n for n, layer in stored.data_vars.items() if set(layer.dims) == {"time", "y", "x"}]
    if not cubes or not {"time", "y", "x"} <= set(stored.coords):
        raise CubeError(
            f"{group} has no layers along time, y and x with coordinates of these names; it has "
            f"{', '.join(map(str, stored.variables))}"
        )
    for name in sorted(set(map(str, stored.data_vars)) - {*map(str, cubes), "spatial_ref"}):
        _assume(assumed, "layers that are not along time, y and x are left out", name)
    layers = {name: _decoded(_declared(stored[name], assumed)) for name in cubes}
    cube = stored[cubes].assign(layers).transpose("time", "y", "x", ...)
    cube = _with_crs(_northward(cube), assumed)
    return cube.assign_coords(relative_orbit=("time", np.full(cube.sizes["time"], orbit)))


def _declared(layer: xr.DataArray, assumed: Assumed) -> xr.DataArray:
    """Return a stored layer with what it does not say and what layers of this name usually are."""
    name, stated = layer.name, dict(layer.attrs)
    if name in BANDS and "add_offset" not in stated:
        _assume(assumed, "the radiometric offset was applied", name)
    if name in BANDS and layer.dtype.kind == "f" and "scale_factor" not in stated:
        _assume(assumed, "the values are reflectances from 0 to 1", name)
    if name in ("CLD", "SNW") and stated.get("_FillValue") == 0:
        _assume(assumed, "0 is 0 %, though it is what was never written too", name)
        stated = {key: value for key, value in stated.items() if not declares_nodata(key)}
    if name != "SCL" and name in LAYER_SPECS and layer.dtype.kind in "iu":
        if not any(map(declares_nodata, stated)):
            _assume(assumed, f"{fill_of(layer)} is no data", name)
        if packing(layer) == (1, 0) and LAYER_SPECS[name].scale != 1:
            _assume(assumed, f"the scale factor is {LAYER_SPECS[name].scale:g}", name)
            stated["scale_factor"] = LAYER_SPECS[name].scale
    found = layer.copy(deep=False)
    found.attrs = stated
    return found


def _assume(assumed: Assumed, what: str, *layers: str) -> None:
    known = assumed.setdefault(what, [])
    known += [name for name in layers if name not in known]


def _decoded(layer: xr.DataArray) -> xr.DataArray:
    """Return a layer in physical values, described as one of a cube."""
    if layer.name == "SCL":
        found = classes(layer)
        found.attrs = LAYER_SPECS["SCL"].attrs | without_encoding(found.attrs) | {"nodata": 0}
        return found
    if layer.dtype.kind == "f":  # packed ones too: they are as they were stored
        layer = xr.decode_cf(layer.to_dataset())[layer.name]
    found = physical(layer)
    found = found.astype("float32") if found.dtype.kind in "iu" else found
    found.attrs = without_encoding(found.attrs) | {"nodata": np.nan}
    return found


def _northward(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube whose y runs from north to south."""
    upwards = cube.sizes["y"] > 1 and float(cube.y[0]) < float(cube.y[-1])
    return cube.isel(y=slice(None, None, -1)) if upwards else cube


def _with_crs(cube: xr.Dataset, assumed: Assumed) -> xr.Dataset:
    """Return a cube with a coordinate system: the Dutch one where it says none, and lies there."""
    if cube.rio.crs is not None:
        return cube
    if stated := [one for place in _places_of_crs(cube) for one in place if one is not None]:
        with suppress(CRSError):
            return cube.rio.write_crs(CRS.from_user_input(stated[0]).to_wkt())
        return cube
    west, south, east, north = PRESETS["netherlands"][1]
    if not (west <= cube.x.min() <= cube.x.max() <= east):
        return cube
    if not (south <= cube.y.min() <= cube.y.max() <= north):
        return cube
    _assume(assumed, f"the coordinate system is {DEFAULT_CRS}")
    return cube.rio.write_crs(DEFAULT_CRS)


def _places_of_crs(cube: xr.Dataset) -> Iterator[list[Any]]:
    """Return what a cube states of its system where CF does not look: GDAL's, STAC's, others'."""
    names = ("proj:code", "proj:wkt2", "proj:projjson", "proj:epsg", "crs_wkt", "crs", "epsg")
    for attrs in (cube.attrs, *(layer.attrs for layer in cube.data_vars.values())):
        of_gdal = attrs.get("_CRS")
        yield [of_gdal.get("wkt"), of_gdal.get("url")] if isinstance(of_gdal, dict) else [of_gdal]
        yield [attrs.get(name) for name in names]
    alone = [name for name in names if name in cube.coords and not cube[name].ndim]
    yield [cube[name].values.item() for name in alone]
