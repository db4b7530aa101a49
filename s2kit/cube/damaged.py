"""A note in a store of what is damaged, which the next build reads."""

import json
import threading
from collections.abc import Iterable
from contextlib import suppress

from s2kit.bounds import parse_json
from s2kit.cube.keys import WORK_FOLDER, is_known
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
    """Note what is damaged where the next build looks, or remove the note, if that is possible."""
    known = sorted(filter(is_known, keys))  # an unfinished commit is no object of the cube
    with suppress(CubeError, OSError):
        if known:
            store.write(_FOUND, json.dumps(known).encode())
        else:
            store.delete(_FOUND)


def read_found(store: Store) -> list[str]:
    """Return what was noted as damaged; names of objects that no cube has are left out."""
    try:
        names = parse_json(store.read_own(_FOUND) or b"[]")
    except (ValueError, RecursionError):
        return []
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and is_known(name)]


def has_note(store: Store) -> bool:
    """Return whether there is a note, whatever it says."""
    return store.has(_FOUND)
