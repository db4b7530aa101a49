"""The objects of a cube as zarr takes a store: read within bounds, and nothing is written."""

import json
import math
from collections.abc import Iterator, MutableMapping
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from s2kit.cube.codec import blosc_size
from s2kit.cube.keys import METADATA
from s2kit.cube.store import Objects, Store
from s2kit.cube.store_checks import LARGEST_CHUNK, check_foreign
from s2kit.errors import CubeError


def zarr_store(objects: Objects) -> MemoryStore:
    """Return a store of zarr, whose objects are read when they are asked for.

    A chunk that Blosc would unpack to more bytes than its array says ends in CubeError: Blosc takes
    the size from the chunk itself, and a few bytes may claim gigabytes.
    """
    return MemoryStore(_Objects(objects), read_only=True)


class _Objects(MutableMapping[str, Buffer]):
    """Objects by name; zarr's store in memory takes any mapping for its memory."""

    def __init__(self, objects: Objects):
        self.objects = objects

    def __reduce__(self):
        return _Objects, (self.objects,)

    def __getitem__(self, key: str) -> Buffer:
        data, name = self._read(key), key.rpartition("/")[2]
        if name == METADATA:  # some versions of xarray ask for a group's own
            self._parse(data)
        elif not name.startswith(".z"):
            self._check_size(key, data)
        return default_buffer_prototype().buffer.from_bytes(data)

    def _read(self, key: str) -> bytes:
        try:
            data = self.objects.read(key)
        except CubeError as error:
            # What the storage said decides whether opening is tried again (`while_steady`).
            raise (isinstance(self.objects, Store) and error.__cause__) or error from None
        if data is None:
            raise KeyError(key)
        return data

    def _parse(self, metadata: bytes) -> dict[str, Any]:
        documents = json.loads(metadata)["metadata"]
        check_foreign(self.objects.url, documents)
        return documents

    @cached_property
    def _documents(self) -> dict[str, Any]:
        return self._parse(self._read(METADATA))

    def _check_size(self, key: str, data: bytes) -> None:
        array = key
        while array and f"{array}/.zarray" not in self._documents:  # a chunk may be named 0/1/2
            array = array.rpartition("/")[0]
        document = self._documents.get(f"{array}/.zarray")
        if document is None or (document["compressor"] or {}).get("id") != "blosc":
            return
        most = math.prod(document["chunks"]) * np.dtype(document["dtype"]).itemsize
        most = LARGEST_CHUNK if document.get("filters") else most
        if blosc_size(data) > most:
            raise CubeError(
                f"{self.objects.url}: {key} is damaged: it claims {blosc_size(data)} bytes, its "
                f"array has {most}; bring it back from a copy, or build the cube anew"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(())  # consolidated metadata name what there is

    def __len__(self) -> int:
        return 0

    def __setitem__(self, key: str, value: Buffer) -> NoReturn:
        raise TypeError("a cube is written by s2kit.build_cube only")

    def __delitem__(self, key: str) -> NoReturn:
        raise TypeError("a cube is written by s2kit.build_cube only")
