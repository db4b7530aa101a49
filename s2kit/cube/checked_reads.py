"""Read objects of a store and compare them with the manifest."""

from collections.abc import Sequence
from contextlib import suppress

from s2kit.cube.damaged import note_found
from s2kit.cube.keys import table_key
from s2kit.cube.local_store import LocalStore
from s2kit.cube.manifest import Entry, Manifest, Table, parse_table
from s2kit.cube.store import Objects, Store
from s2kit.errors import CubeError


def read_table(objects: Objects, orbit: int, name: str) -> Table:
    """Read a stored table; errors are those of `parse_table`."""
    return parse_table(objects.url, orbit, name, objects.read(table_key(orbit, name)))


def read_coordinate_table(objects: Objects, orbit: int, manifest: Manifest) -> Table:
    """Return the table of an orbit's coordinates; nothing where it is damaged, or replaced."""
    with suppress(CubeError):
        if manifest.coordinates:
            return read_table(objects, orbit, manifest.coordinates)
    return {}


def require_whole(store: Store, key: str, expected: Entry) -> bytes:
    """Return an object, if it is the one that was written.

    Raises
    ------
    CubeError
        If it is missing or damaged.
    """
    data = read_whole(store, key, expected)
    if data is not None:
        return data
    note_found(store, key)
    raise CubeError(
        f"{store.path(key)} is {'damaged' if store.has(key) else 'missing'}; the cube is as it "
        "was. Build it again with the scenes of these dates too, which mends it, or bring that "
        "file back from a copy"
    )


def read_whole(store: Store, key: str, expected: Entry) -> bytes | None:
    """Return an object, or None if it is not the one that was written.

    One that a disk cannot read is damaged; a server that does not answer is an error.
    """
    try:
        data = store.read(key)
    except CubeError:
        if not isinstance(store, LocalStore):
            raise
        return None
    return data if expected.matches(data) else None


def read_coordinates(
    objects: Objects, orbit: int, table: Table, keys: Sequence[str]
) -> dict[str, bytes | None]:
    """Return coordinates by name: from their copies where they are not what the table lists.

    They are damaged then, or of a state that follows. Those that no table lists are returned as
    they are, or as None.

    Raises
    ------
    CubeError
        If one and its copy are missing or damaged.
    """
    found = dict(zip(keys, objects.read_all(list(keys)), strict=True))
    for key in found.keys() & table.keys():
        if not table[key].matches(found[key]):
            copy = table_key(orbit, table[key].digest)
            found[key] = objects.read(copy)
            if not table[key].matches(found[key]):
                raise CubeError(
                    f"{objects.url}: {key} is missing or damaged, and so is its copy {copy}. "
                    "Scenes do not make it again: bring one of the two back from a copy of the "
                    "cube, or build it anew elsewhere"
                )
    return found
