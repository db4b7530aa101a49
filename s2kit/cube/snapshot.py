"""One state of a cube: its metadata as they were read, its manifests, and its coordinates."""

import itertools
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from s2kit.credentials import shown_cause
from s2kit.cube.checked_reads import read_coordinate_table, read_coordinates
from s2kit.cube.codec import decode_coordinate
from s2kit.cube.foreign import foreign_orbits
from s2kit.cube.keys import METADATA, coordinate_keys, read_group
from s2kit.cube.manifest import ChunkGrid, Manifest, Table, level_flags
from s2kit.cube.state import check_documents, read_documents
from s2kit.cube.storage import is_zip, open_objects
from s2kit.cube.store import FAR, TROUBLE, Objects
from s2kit.cube.store_checks import check_foreign
from s2kit.errors import CubeError, InvalidInputError


@dataclass(eq=False)
class Snapshot:
    """What a cube is by its metadata at one moment.

    Parameters
    ----------
    objects : Objects
    documents : dict
        The consolidated metadata: documents by name.
    manifests : dict of int to Manifest
        By relative orbit; empty for a cube that another program made.
    chunk_grids : sequence of tuple of int
        How many chunks each level has, (rows, columns).

    Attributes
    ----------
    steady : bool
        Whether all coordinates that were read are those of these metadata, by their digests. If
        not, the metadata may have changed meanwhile.
    """

    objects: Objects
    documents: dict[str, Any]
    manifests: dict[int, Manifest]
    chunk_grids: Sequence[ChunkGrid] = ()

    def __post_init__(self):
        self.steady = bool(self.manifests)
        self._tables: dict[int, Table] = {}
        self._groups: dict[str, xr.Dataset] = {}

    @property
    def levels(self) -> range:
        """The levels of the cube, 0 first."""
        return range(len(self.chunk_grids))

    def present(self, prefix: str) -> np.ndarray:
        """Return which chunks a layer of a group has, shape (time chunks, rows, columns)."""
        group, layer = prefix.rsplit("/", 1)
        orbit, level = read_group(group)
        return level_flags(self.manifests[orbit].present[layer], self.chunk_grids, level)

    def group(self, name: str) -> xr.Dataset:
        """Return a group with its coordinates, which are read; its layers hold nothing.

        Raises
        ------
        CubeError, ValueError
            If a coordinate is missing or damaged.
        """
        if name not in self._groups:
            self._groups[name] = self._read_group(name)
        return self._groups[name]

    def _read_group(self, group: str) -> xr.Dataset:
        arrays = {
            key.split("/")[-2]: document
            for key, document in self.documents.items()
            if key.startswith(f"{group}/") and key.endswith("/.zarray") and key.count("/") == 3
        }
        keys = {
            name: coordinate_keys(f"{group}/{name}", *array["shape"], *array["chunks"])
            for name, array in arrays.items()
            if len(array["shape"]) == 1
        }
        found = self._read_listed(group, list(itertools.chain(*keys.values())))
        variables = {
            name: self._variable(f"{group}/{name}", {key: found[key] for key in keys.get(name, ())})
            for name in arrays
        }
        stored = xr.Dataset(variables, attrs=self.documents[f"{group}/.zattrs"])
        return xr.decode_cf(stored, mask_and_scale=False, decode_coords="all")

    def _variable(self, prefix: str, parts: dict[str, bytes | None]) -> xr.Variable:
        array = self.documents[f"{prefix}/.zarray"]
        attrs = dict(self.documents[f"{prefix}/.zattrs"])
        dims, dtype = attrs.pop("_ARRAY_DIMENSIONS"), np.dtype(array["dtype"])
        shape, chunks = array["shape"], tuple(array["chunks"])
        if len(dims) == 1:
            try:
                values = decode_coordinate(list(parts.values()), dtype, *shape, *chunks)
            except (ValueError, RuntimeError) as error:
                raise ValueError(f"{', '.join(parts)}: {error}") from error
        else:  # spatial_ref holds 0; the values of layers are not read here
            values = np.broadcast_to(np.zeros((), dtype), shape)
        return xr.Variable(dims, values, attrs, {"chunks": chunks, "dtype": dtype})

    def _read_listed(self, group: str, keys: list[str]) -> dict[str, bytes | None]:
        """Read coordinates, and compare them with the manifest."""
        orbit, _ = read_group(group)
        if orbit not in self._tables:
            self._tables[orbit] = read_coordinate_table(self.objects, orbit, self.manifests[orbit])
        found = read_coordinates(self.objects, orbit, self._tables[orbit], keys)
        self.steady &= found.keys() <= self._tables[orbit].keys()
        return found


_TRIES = 5

TROUBLE_OPENING = (*TROUBLE, ImportError, KeyError)

_Opened = TypeVar("_Opened")


def while_steady(store: str | os.PathLike, use: Callable[[Snapshot], _Opened]) -> _Opened:
    """Do something with a state of a store, again if it has changed meanwhile."""
    for _ in range(_TRIES):
        before = read_metadata(store)
        damage: Exception | None = None
        try:
            state = _snapshot(str(store), before)
            opened = use(state)
            if state.steady:
                return opened
        except InvalidInputError:
            raise
        except (CubeError, *TROUBLE_OPENING, RuntimeError, TypeError, AttributeError) as error:
            damage = error  # unless another state has replaced what was read
        if read_metadata(store) != before:
            continue
        if isinstance(damage, CubeError):
            raise damage
        if isinstance(damage, FAR):
            raise CubeError(
                f"{store} cannot be read now ({type(damage).__name__}: {damage}); try again in a "
                "moment, or mend the way to it"
            ) from shown_cause(damage)
        if damage is not None:
            raise CubeError(
                f"{store} is damaged ({type(damage).__name__}: {damage}); bring it back from a "
                "copy, or build it anew"
            ) from shown_cause(damage)
        return opened
    raise CubeError(f"{store} is changing all the time; open it again in a moment")


def read_metadata(store: str | os.PathLike) -> bytes:
    """Return the consolidated metadata of a cube.

    Raises
    ------
    CubeError
        If there are none, or they cannot be read.
    """
    try:
        if is_zip(str(store)):
            with zipfile.ZipFile(store) as archive:
                archive.getinfo(METADATA)
        data = open_objects(str(store)).read(METADATA)
    except (*TROUBLE_OPENING, zipfile.BadZipFile) as error:
        raise CubeError(
            f"{store} cannot be opened: {type(error).__name__}: {error}. Give the place of a cube "
            "that s2kit.build_cube made; a zip holds what is in its folder, not the folder itself"
        ) from shown_cause(error)
    if data is None:
        raise CubeError(
            f"{store} is not a cube: it has no {METADATA}. Give the place of a cube that "
            "s2kit.build_cube made (the folder itself, not the one around it)"
        )
    return data


def _snapshot(store: str, metadata: bytes) -> Snapshot:
    documents = read_documents(store, metadata)
    objects = open_objects(store)
    attrs = documents.get(".zattrs", {})
    if not isinstance(attrs, dict) or ("s2kit" not in attrs and not foreign_orbits(documents)):
        raise CubeError(
            f"{store} is a Zarr store but not a cube of s2kit; open it with xarray.open_zarr"
        )
    if "s2kit" not in attrs:
        check_foreign(store, documents)
        return Snapshot(objects, documents, {})
    spec, manifests = check_documents(store, documents)
    if not manifests:
        raise CubeError(f"{store} has no steps yet; run s2kit.build_cube to its end")
    return Snapshot(objects, documents, manifests, spec.chunk_grids)
