"""Open a cube: all overpasses in one time axis, lazily, from a path, a zip, S3 or plain http."""

import json
import os
import zipfile
from typing import Any

import aiohttp
import numpy as np
import xarray as xr
import zarr.storage

from s2kit.cube.layout import TIMELINE, group_of
from s2kit.cube.store import Store
from s2kit.errors import CubeError, InvalidInputError

_METADATA = ".zmetadata"
_TRIES = 5
_TROUBLE = (OSError, ValueError, ImportError, KeyError, aiohttp.ClientError)


def open_cube(store: str | os.PathLike, *, orbit: int | None = None) -> xr.Dataset:
    """Open a cube.

    Parameters
    ----------
    store : str or path
        A folder, a zip of one, or an ``s3://`` or ``http(s)://`` URL.
    orbit : int, optional
        One relative orbit; all by default, ordered by time.

    Returns
    -------
    xarray.Dataset
        Lazy, dims (time, y, x). Reflectance is float32 with 1 for 100 % and NaN for no data; CLD
        and SNW are float32 in %, WVP float32 in cm; SCL stays uint8 with 0 for no data, so that
        its classes stay whole numbers. Along time lie ``relative_orbit`` and the provenance.

    Raises
    ------
    CubeError
        If there is no cube at that place, or it has no steps yet.
    InvalidInputError
        If the store is not a path or URL, or the cube does not have the orbit.
    """
    if not isinstance(store, str | os.PathLike) or not str(store).strip():
        raise InvalidInputError(
            f"store is {store!r} ({type(store).__name__}); give a path or a URL, such as "
            "'data/cube.zarr' or 'https://…/cube.zarr'"
        )
    for _ in range(_TRIES):
        before = _read_metadata(store)
        cube = _open(store, _orbits(store, before), orbit)
        if _read_metadata(store) == before:
            return cube
    raise CubeError(f"{store} is changing all the time; open it again in a moment")


def _read_metadata(store: str | os.PathLike) -> bytes:
    try:
        data = _read_object(str(store))
    except (*_TROUBLE, zipfile.BadZipFile) as error:
        raise CubeError(
            f"{store} cannot be opened: {type(error).__name__}: {error}. Give the place of a cube "
            "that s2kit.build_cube made"
        ) from error
    if data is None:
        raise CubeError(
            f"{store} is not a cube: it has no {_METADATA}. Give the place of a cube that "
            "s2kit.build_cube made (the folder itself, not the one around it)"
        )
    return data


def _read_object(store: str) -> bytes | None:
    if _is_zip(store):
        with zipfile.ZipFile(store) as archive:
            return archive.read(_METADATA)
    return Store(store).read(_METADATA)


def _is_zip(store: str) -> bool:
    return store.endswith(".zip") and "://" not in store


def _orbits(store: str | os.PathLike, metadata: bytes) -> list[int]:
    try:
        orbits = json.loads(metadata)["metadata"][".zattrs"]["s2kit"]["orbits"]
    except (ValueError, KeyError, TypeError) as error:
        raise CubeError(
            f"{store} is a Zarr store but not a cube of s2kit; open it with xarray.open_zarr"
        ) from error
    if not orbits:
        raise CubeError(f"{store} has no steps yet; run s2kit.build_cube to its end")
    return orbits


def _open(store: str | os.PathLike, orbits: list[int], orbit: int | None) -> xr.Dataset:
    if orbit is not None and orbit not in orbits:
        raise InvalidInputError(
            f"orbit={orbit!r} is not in the cube; it has {', '.join(map(str, orbits))}"
        )
    parts = [_open_orbit(store, number) for number in (orbits if orbit is None else [orbit])]
    if len(parts) == 1:
        return parts[0]
    joined = xr.concat(
        parts, "time", data_vars="all", coords="different", compat="equals", join="exact",
        combine_attrs="drop_conflicts",
    )  # fmt: skip
    return joined.sortby("time")


def _open_orbit(store: str | os.PathLike, orbit: int) -> xr.Dataset:
    place: Any = str(store)
    if _is_zip(place):
        place = zarr.storage.ZipStore(place, mode="r")
    stored = xr.open_zarr(
        place, group=group_of(orbit), consolidated=True, zarr_format=2, chunks={},
        mask_and_scale=False, decode_coords="all",
    )  # fmt: skip
    layers = {name: _decode(stored[name]) for name in stored.data_vars}
    along_time = {name: _trim(stored[name].load()) for name in TIMELINE}
    along_time["relative_orbit"] = xr.DataArray(np.full(stored.sizes["time"], orbit), dims="time")
    return stored.assign(layers).assign_coords(along_time)


def _trim(coordinate: xr.DataArray) -> xr.DataArray:
    """Cut text to the width that it needs."""
    if coordinate.dtype.kind != "U":
        return coordinate
    width = max(int(np.strings.str_len(coordinate.values).max(initial=1)), 1)
    return coordinate.astype(f"<U{width}")


def _decode(layer: xr.DataArray) -> xr.DataArray:
    """Turn stored counts into physical values, as CF says, but in float32 and classes as they are.

    xarray takes the float type from the scale factor, which JSON turns into a double.
    """
    attrs = {name: value for name, value in layer.attrs.items() if name != "_CRS"}
    if "flag_values" in attrs:
        return layer.drop_attrs().assign_attrs(
            {n: v for n, v in attrs.items() if n != "_FillValue"}
        )
    attrs["scale_factor"] = np.float32(attrs.get("scale_factor", 1))
    described = layer.drop_attrs().assign_attrs(attrs)
    return xr.decode_cf(described.to_dataset(name="layer"), decode_coords=False)["layer"]
