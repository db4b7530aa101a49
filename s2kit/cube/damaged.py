"""A note in a store of what is damaged, which the next build reads."""

import json
import threading
from collections.abc import Iterable
from contextlib import suppress

from s2kit.cube.codec import load
from s2kit.cube.keys import WORK_FOLDER, is_layer_chunk, is_object
from s2kit.cube.store import Store
from s2kit.errors import CubeError

_FOUND = f"{WORK_FOLDER}/damaged"
"""What `s2kit.verify` found, for the next build."""


_noting = threading.Lock()


def note_found(store: Store, key: str) -> None:
    """Add an object to the note."""
    with _noting:
        write_found(store, {*read_found(store), key})


def write_found(store: Store, keys: Iterable[str]) -> None:
    """Note what is damaged where the next build looks, if the store can be written to."""
    with suppress(CubeError, OSError):
        store.write(_FOUND, json.dumps(sorted(keys)).encode())


def read_found(store: Store) -> list[str]:
    """Return what was noted as damaged; names of objects that no cube has are left out."""
    try:
        names = load(store.read_own(_FOUND) or b"[]")
    except (ValueError, RecursionError):
        return []
    return [
        name
        for name in names
        if isinstance(name, str) and (is_object(name) or is_layer_chunk(name))
    ]


def forget_found(store: Store) -> None:
    """Remove the note."""
    with suppress(CubeError, OSError):
        store.delete(_FOUND)
