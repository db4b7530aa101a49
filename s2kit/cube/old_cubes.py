"""Make the manifest of an orbit that an earlier kit wrote without one, from what is there."""

import itertools

from s2kit.cube.codec import is_whole
from s2kit.cube.keys import group_of, is_chunk, is_layer_chunk, read_chunk_key
from s2kit.cube.manifest import Entry, Manifest, by_time_chunk, empty_manifest, entry_of
from s2kit.cube.model import CubeSpec, Orbit
from s2kit.cube.store import Store
from s2kit.cube.workers import Workers
from s2kit.errors import CubeError


def list_chunks(
    store: Store, spec: CubeSpec, number: int, orbit: Orbit, workers: Workers
) -> tuple[Manifest, dict[str, bytes]]:
    """Read all chunks of an orbit; return its manifest, and the tables as stored.

    Raises
    ------
    CubeError
        If a chunk is damaged.
    """
    keys = [
        key
        for level, layer in itertools.product(range(len(spec.grids)), spec.layers)
        for key in store.keys(f"{group_of(number, level)}/{layer}")
        if _is_inside(key, orbit.separator, spec.chunk_grids[level])
    ]

    def entry(key: str) -> Entry:
        data = store.read(key)
        if data is None or not is_whole(data):
            raise CubeError(
                f"{store.path(key)} is damaged, so that no list of whole chunks can be made; "
                "the cube is as it was. Bring that file back from a copy, or build the cube anew"
            )
        return entry_of(data)

    table = dict(zip(keys, workers.look(entry, keys, "listing chunks"), strict=True))
    chunks = -(-len(orbit.timeline["time"]) // spec.chunks[0])
    new = by_time_chunk(table, spec.layers, range(chunks))
    return empty_manifest(spec.layers, spec.chunk_grids).changed(0, new, spec.chunk_grids)


def _is_inside(key: str, separator: str, sizes: tuple[int, int]) -> bool:
    """Return whether an object is a chunk of a level, in its set of names."""
    if not (is_layer_chunk(key) and is_chunk(key.split("/", 3)[-1], separator)):
        return False
    _, row, col = read_chunk_key(key).index
    return row < sizes[0] and col < sizes[1]
