"""Open a cube: all overpasses in one time axis, lazily, from a path, a zip, S3 or plain http."""

import operator
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (gives xarray its .rio)
import xarray as xr
import zarr.storage
from xarray.core import indexing

from s2kit.cube.archive import Archive
from s2kit.cube.chunk_reader import MAPPING, ConcatenatedLayer, StoredLayer
from s2kit.cube.dask_layers import blocks_of, in_blocks, require_steps, whole_source
from s2kit.cube.foreign import foreign_orbits, join_orbits, open_foreign
from s2kit.cube.keys import group_of, read_group
from s2kit.cube.layers import TIMELINE
from s2kit.cube.levels import SMALLEST
from s2kit.cube.local_store import LocalStore
from s2kit.cube.snapshot import Snapshot, while_steady
from s2kit.cube.zarr_documents import TITLE
from s2kit.cube.zarr_store import zarr_store
from s2kit.errors import InvalidInputError

_ENCODING = ("dtype", "scale_factor", "_FillValue", "grid_mapping", "units", "calendar")
"""What a copy of the cube takes over. Chunks and codecs are those of the store it came from."""


def open_cube(
    store: str | os.PathLike, *, orbit: int | None = None, level: int = 0, dask: bool = True
) -> xr.Dataset:
    """Open a cube.

    Parameters
    ----------
    store : str or path
        A folder, a zip of one, or an ``s3://`` or ``http(s)://`` URL.
    orbit : int, optional
        One relative orbit; all by default, ordered by time.
    level : int, default 0
        A coarser level: the pixels of level 1 are twice as large as those of the cube, those of
        level 2 four times, and so on. A coarse pixel is the mean of all valid pixels under it,
        their most frequent class in SCL.
    dask : bool, default True
        Give the layers as Dask arrays, for computing on any amount of data. Without, xarray reads
        what you select as soon as its values are used: quicker for a pixel, or one date.

    Returns
    -------
    xarray.Dataset
        Lazy, dims (time, y, x). Reflectance is float32 with 1 for 100 % and NaN for no data; CLD
        and SNW are float32 in %, WVP float32 in cm; SCL stays uint8 with 0 for no data, so that
        its classes stay whole numbers. Along time lie ``relative_orbit`` and the provenance. The
        attribute ``overview_level`` is the level, if it is not 0. Of a cube of the same layout
        that another program made, ``assumed`` lists what it does not state and was assumed.

    Raises
    ------
    CubeError
        If there is no cube at that place, it has no steps yet, or it is damaged.
    InvalidInputError
        If the store is not a path or URL, or the cube does not have the orbit or the level.

    Notes
    -----
    Open a cube anew to see what a build has added. That is necessary after
    scenes were added before its last step: the time axis of an old handle is then no longer that
    of the pixels.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> cube.B04.dims, cube.B04.dtype
    (('time', 'y', 'x'), dtype('float32'))
    >>> s2kit.open_cube("data/cube.zarr", orbit=51).sizes["time"]
    59
    """
    if not isinstance(store, str | os.PathLike) or not str(store).strip():
        raise InvalidInputError(
            f"store is {store!r} ({type(store).__name__}); give a path or a URL, such as "
            "'data/cube.zarr' or 'https://…/cube.zarr'"
        )
    number = None if orbit is None else _read_number("orbit", orbit, 51)
    wanted = _read_number("level", level, 1)

    def open_one(state: Snapshot) -> xr.Dataset:
        if not state.manifests:
            return _open_foreign(str(store), state, number, wanted, dask)
        if wanted not in state.levels:
            raise InvalidInputError(
                f"level={wanted} is not in the cube; it has {', '.join(map(str, state.levels))}. "
                f"Coarser levels go down to {SMALLEST} pixels, and are built with the cube: "
                "s2kit.build_cube makes them in a new store, unless overviews=False"
            )
        orbits = _choose(list(state.manifests), number)
        return next(_open(state, dict.fromkeys(orbits), [wanted], dask))

    return while_steady(store, open_one)


def _open_foreign(
    store: str, state: Snapshot, orbit: int | None, level: int, dask: bool
) -> xr.Dataset:
    """Open a cube of the same layout that another program made."""
    if level:
        raise InvalidInputError(
            f"level={level} is not in the cube, which another program made; it has 0"
        )
    place: Any = store
    if isinstance(state.objects, Archive):
        place = zarr_store(state.objects)
    elif isinstance(state.objects, LocalStore):  # a path may hold what has a meaning in URLs
        place = zarr.storage.LocalStore(state.objects.root, read_only=True)
    return open_foreign(place, _choose(foreign_orbits(state.documents), orbit), dask)


def _read_number(name: str, value: Any, example: int) -> int:
    if not isinstance(value, bool):
        with suppress(TypeError):
            return operator.index(value)
    raise InvalidInputError(f"{name}={value!r} is not a whole number, such as {example}")


def _choose(orbits: list[int], asked: int | None) -> list[int]:
    if asked is not None and asked not in orbits:
        raise InvalidInputError(
            f"orbit={asked!r} is not in the cube; it has {', '.join(map(str, orbits))}"
        )
    return orbits if asked is None else [asked]


def _open(
    state: Snapshot, steps: Mapping[int, int | None], levels: Iterable[int], dask: bool
) -> Iterator[xr.Dataset]:
    """Open some levels, which share what lies along time: so many steps of each orbit, or all."""
    timelines = {orbit: _open_timeline(state, orbit) for orbit in steps}
    for level in levels:
        opened = {}
        for orbit, count in steps.items():
            group = group_of(orbit, level)
            stored = state.group(group)
            if not np.array_equal(stored.time, timelines[orbit]["time"]):
                raise ValueError(f"the times of {group} are not those of its orbit")
            opened[group] = stored.assign_coords(timelines[orbit]).isel(time=slice(count))
        cube = _assemble(opened, state, dask)
        yield cube.assign_attrs(overview_level=level) if level else cube


def _assemble(opened: dict[str, xr.Dataset], state: Snapshot, dask: bool) -> xr.Dataset:
    """Put the layers of some groups, one of each orbit, into one cube."""
    orbits = list(opened.values())
    order = np.concatenate([one.time for one in orbits]).argsort(kind="stable")
    cube = orbits[0]
    if len(orbits) > 1:
        along_time = [one.drop_vars(one.data_vars) for one in orbits]
        cube = join_orbits(along_time).isel(time=order).assign_attrs(title=TITLE)
    blocks = blocks_of(cube, orbits)
    layers = {}
    for name in orbits[0].data_vars:
        parts = [
            _stored_layer(one[name], state, f"{group}/{name}", not dask)
            for group, one in opened.items()
        ]
        source = ConcatenatedLayer(parts, order) if len(parts) > 1 else parts[0]
        data = in_blocks(source, blocks) if dask else indexing.LazilyIndexedArray(source)
        layers[name] = _variable(orbits[0][name], data, parts[0])
    cube = cube.assign(layers)
    for variable in cube.variables.values():
        variable.encoding = {k: v for k, v in variable.encoding.items() if k in _ENCODING}
    return cube


def levels_of(cube: xr.Dataset, *, dask: bool = False) -> list[xr.Dataset]:
    """Return a cube and its coarser levels, for display in the detail that is needed.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `open_cube` gave it, or some of its layers.
    dask : bool, default False
        As in `open_cube`.

    Returns
    -------
    list of xarray.Dataset
        The cube, then with pixels 2, 4, 8 … times as large; lazy, with the layers and steps of
        ``cube``, and the other coordinates that are stored. One that was changed or cut, also in
        its time, y, x or coordinate system, stands there alone, as it is.

    Raises
    ------
    CubeError
        If the store no longer holds the steps of the cube, or cannot be read.
    """
    sources = {name: whole_source(layer) for name, layer in cube.data_vars.items()}
    origins = {_origin(name, source) for name, source in sources.items()}
    origin = origins.pop() if len(origins) == 1 else None
    if origin is None or "time" not in cube.coords:
        return [cube]
    store, groups, counts = origin
    orbits, (level, *_) = zip(*map(read_group, groups), strict=True)
    steps = dict(zip(orbits, counts, strict=True))

    def open_levels(state: Snapshot) -> list[xr.Dataset]:
        if not steps.keys() <= state.manifests.keys():
            return []
        return list(_open(state, steps, state.levels[level:], dask))

    levels = while_steady(store, open_levels)
    same = levels and all(np.array_equal(levels[0][n], cube[n]) for n in ("time", "y", "x"))
    if not same or levels[0].rio.crs != cube.rio.crs:
        require_steps(cube)
        return [cube]
    return [one[list(cube.data_vars)] for one in levels]


def _origin(name: Hashable, source: StoredLayer | ConcatenatedLayer | None) -> tuple | None:
    """Return the store of a layer, its groups, and how many of their steps it has."""
    if source is None:
        return None
    parts = [layer for layer, _ in source.parts]
    if any(part.shape[1:] != tuple(part.document["shape"][1:]) for part in parts):
        return None
    groups, names = zip(*(part.prefix.rsplit("/", 1) for part in parts), strict=True)
    objects = parts[0].objects
    place = objects.root if isinstance(objects, LocalStore) else objects.url
    return (place, groups, tuple(part.shape[0] for part in parts)) if set(names) == {name} else None


def _open_timeline(state: Snapshot, orbit: int) -> dict[str, xr.Variable]:
    """Read what lies along time, which only the base of an orbit holds."""
    stored = state.group(group_of(orbit))
    if (np.diff(stored.time.values.astype("i8")) <= 0).any():
        raise ValueError(f"the times of orbit {orbit} are not in order")
    along_time = {name: _trim(stored[name].variable) for name in TIMELINE}
    if not ((along_time["products"] != "") | (along_time["failed"] != "")).all():
        raise ValueError(f"the product names of orbit {orbit} are missing")
    along_time["relative_orbit"] = xr.Variable("time", np.full(stored.sizes["time"], orbit))
    return along_time


def _trim(coordinate: xr.Variable) -> xr.Variable:
    """Cut text to the width that it needs; a coordinate has no gaps to mark."""
    coordinate.attrs.pop("_FillValue", None)
    if coordinate.dtype.kind != "U":
        return coordinate
    width = max(int(np.strings.str_len(coordinate.values).max(initial=1)), 1)
    return coordinate.astype(f"<U{width}")


def _stored_layer(stored: xr.DataArray, state: Snapshot, prefix: str, threads: bool) -> StoredLayer:
    """Return a layer as it is stored: classes stay whole numbers, all else is scaled to float32.

    xarray takes the float type from the scale factor, which JSON turns into a double.
    """
    scale = None if "flag_values" in stored.attrs else float(stored.attrs.get("scale_factor", 1))
    times = stored.time.values.astype("M8[s]").astype("i8")
    mapping = state.documents[f"{prefix.rsplit('/', 1)[0]}/{MAPPING}"]
    document, present = state.documents[f"{prefix}/.zarray"], state.present(prefix)
    return StoredLayer(state.objects, prefix, document, scale, times, mapping, present, threads)


def _variable(stored: xr.DataArray, data: Any, layer: StoredLayer) -> xr.Variable:
    """Return a layer in physical values, described as CF says.

    No data is declared where odc-geo and rioxarray look for it; in the encoding, it is that of what
    is stored.
    """
    ours = ("_CRS", "_FillValue", "scale_factor")
    attrs = {name: value for name, value in stored.attrs.items() if name not in ours}
    encoding: dict[str, Any] = {"grid_mapping": "spatial_ref"}
    attrs["nodata"] = int(layer.nodata) if layer.scale is None else np.nan
    if layer.scale is not None:
        encoding |= {"dtype": layer.stored, "_FillValue": layer.nodata}
        encoding["scale_factor"] = np.float32(layer.scale)
    return xr.Variable(stored.dims, data, attrs, encoding)
