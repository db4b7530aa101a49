"""One state of a cube: its metadata as they were read, its manifests, and its coordinates."""

import json
from typing import Any

import numpy as np
import xarray as xr

from s2kit.bounds import parse_json
from s2kit.cube.archive import Archive
from s2kit.cube.layout import chunk_grid, decode_coordinate, group_of, read_group
from s2kit.cube.manifest import (
    Manifest,
    Table,
    level_flags,
    read_coordinates,
    read_manifest,
    read_table,
)
from s2kit.cube.store import Store
from s2kit.errors import CubeError

METADATA = ".zmetadata"


def is_zip(store: str) -> bool:
    """Return whether a store is a zip of a cube."""
    return store.endswith(".zip") and "://" not in store


def open_objects(store: str) -> Store | Archive:
    """Return the objects of a cube by name, wherever they lie."""
    return Archive(store) if is_zip(store) else Store(store)


class Snapshot:
    """What a cube is by its metadata at one moment.

    Parameters
    ----------
    objects : Store or Archive
    documents : dict
        The consolidated metadata: documents by name.

    Attributes
    ----------
    steady : bool
        Whether all coordinates that were read are those of these metadata, by their digests. If
        not, the metadata may have changed meanwhile.
    """

    def __init__(self, objects: Store | Archive, documents: dict[str, Any]):
        self.objects, self.documents = objects, documents
        self.steady = True
        self._manifests: dict[int, Manifest | None] = {}
        self._tables: dict[int, Table] = {}
        self._groups: dict[str, xr.Dataset] = {}

    @property
    def levels(self) -> range:
        """The levels of the cube, 0 first."""
        orbit = self.documents[".zattrs"]["s2kit"]["orbits"][0]
        last = 0
        while f"{group_of(orbit, last + 1)}/.zgroup" in self.documents:
            last += 1
        return range(last + 1)

    def present(self, prefix: str) -> np.ndarray | None:
        """Return which chunks a layer of a group has; None where there is no manifest."""
        group, layer = prefix.rsplit("/", 1)
        orbit, level = read_group(group)
        manifest = self._manifest(orbit)
        if manifest is None:
            return None
        return level_flags(manifest.present[layer], self._chunk_grids(orbit), level)

    def _manifest(self, orbit: int) -> Manifest | None:
        if orbit not in self._manifests:
            kit = self.documents[".zattrs"]["s2kit"]
            told = kit.get("manifest", {}).get(str(orbit))
            grids = self._chunk_grids(orbit)
            self._manifests[orbit] = told and read_manifest(told, kit["layers"], grids)
        return self._manifests[orbit]

    def _chunk_grids(self, orbit: int) -> list[tuple[int, int]]:
        layer = self.documents[".zattrs"]["s2kit"]["layers"][0]
        names = [f"{group_of(orbit, level)}/{layer}/.zarray" for level in self.levels]
        arrays = [self.documents[name] for name in names]
        return [chunk_grid(array["shape"][1:], array["chunks"][1:]) for array in arrays]

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
        along = [name for name, array in arrays.items() if len(array["shape"]) == 1]
        keys = {name: _chunk_keys(f"{group}/{name}", arrays[name]) for name in along}
        asked = [key for name in along for key in keys[name]]
        found = self._read_listed(group, asked)
        variables = {
            name: self._variable(group, name, array, [found[key] for key in keys.get(name, ())])
            for name, array in arrays.items()
        }
        attrs = dict(self.documents[f"{group}/.zattrs"])
        stored = xr.Dataset(variables, attrs=attrs)
        return xr.decode_cf(stored, mask_and_scale=False, decode_coords="all")

    def _variable(
        self, group: str, name: str, array: dict[str, Any], parts: list[bytes | None]
    ) -> xr.Variable:
        attrs = dict(self.documents[f"{group}/{name}/.zattrs"])
        dims, dtype = attrs.pop("_ARRAY_DIMENSIONS"), np.dtype(array["dtype"])
        if len(dims) == 1:
            try:
                values = decode_coordinate(parts, array["dtype"], *array["shape"], *array["chunks"])
            except (ValueError, RuntimeError) as error:
                named = ", ".join(_chunk_keys(f"{group}/{name}", array))
                raise ValueError(f"{named}: {error}") from error
        else:  # spatial_ref holds 0; the values of layers are not read here
            values = np.broadcast_to(np.zeros((), dtype), array["shape"])
        return xr.Variable(dims, values, attrs, {"chunks": tuple(array["chunks"]), "dtype": dtype})

    def _read_listed(self, group: str, keys: list[str]) -> dict[str, bytes | None]:
        """Read coordinates, and compare them with the manifest."""
        orbit, _ = read_group(group)
        table = self._table(orbit)
        found = read_coordinates(self.objects, orbit, table, keys)
        self.steady &= found.keys() <= table.keys()
        return found

    def _table(self, orbit: int) -> Table:
        if orbit not in self._tables:
            manifest = self._manifest(orbit)
            try:
                name = manifest.coordinates if manifest else ""
                self._tables[orbit] = read_table(self.objects, orbit, name) if name else {}
            except CubeError:  # another state has followed, or it is damaged: `verify` tells
                self._tables[orbit] = {}
        return self._tables[orbit]


def _chunk_keys(prefix: str, array: dict[str, Any]) -> list[str]:
    count = -(-max(array["shape"][0], 1) // max(array["chunks"][0], 1))
    return [f"{prefix}/{i}" for i in range(count)]


def read_documents(place: str, metadata: bytes) -> dict[str, Any]:
    """Return the documents in the consolidated metadata of a store.

    Raises
    ------
    CubeError
        If they are cut off or damaged, or something else.
    """
    try:
        return dict(parse_json(metadata)["metadata"])
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CubeError(
            f"{place} is damaged: its {METADATA} is no JSON, or cut off ({error}); bring that file "
            "back from a copy, or build the cube anew elsewhere"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CubeError(f"{place} is not a cube of s2kit; its {METADATA} is none") from error
