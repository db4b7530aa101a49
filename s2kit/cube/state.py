"""What a store holds, as far as a build needs it."""

import json
from typing import Any

import odc.geo
from affine import Affine
from odc.geo.geobox import GeoBox

from s2kit.bounds import parse_json
from s2kit.cube.checked_reads import read_coordinate_table, read_coordinates
from s2kit.cube.codec import decode_coordinate
from s2kit.cube.keys import METADATA, REDO, coordinate_keys, group_of
from s2kit.cube.layers import is_text, timeline_types
from s2kit.cube.manifest import Manifest, read_manifest
from s2kit.cube.model import CubeSpec, Orbit, State
from s2kit.cube.store import Store
from s2kit.cube.store_checks import check_cube, check_digest
from s2kit.errors import CubeError

ODD = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)
"""What reading metadata raises that are not a cube's."""


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


def read_state(store: Store) -> State | None:
    """Read what a store holds.

    Returns
    -------
    State or None
        None where there is nothing yet.

    Raises
    ------
    CubeError
        If something else lies there, or a cube of another format.
    """
    data = store.read(METADATA)
    if data is None:
        if not store.exists() or store.read(REDO) is not None:
            return None
        data = store.read(METADATA)  # another build may have claimed the place meanwhile
    if data is None:
        raise CubeError(
            f"{store.url} exists but is not a cube of s2kit (no consolidated metadata); "
            "choose another place, or remove it first"
        )
    documents = read_documents(store.url, data)
    committing = store.read_own(REDO) is not None
    try:
        kit = documents[".zattrs"]["s2kit"]
    except (KeyError, TypeError) as error:
        raise CubeError(
            f"{store.url} is a Zarr store but not a cube of s2kit; choose another place"
        ) from error
    try:
        spec, manifests = check_documents(store.url, documents)
        orbits = {n: _read_orbit(store, documents, n, spec, one) for n, one in manifests.items()}
        return State(spec, kit["synthetic"], orbits)
    except (*ODD, CubeError) as error:
        if store.read(METADATA) != data or (not committing and store.read_own(REDO) is not None):
            return read_state(store)  # another build has just committed, or is about to
        if isinstance(error, CubeError):
            raise
        raise CubeError(
            f"{store.url} is damaged ({type(error).__name__}: {error}); bring it back from a copy, "
            "or build it anew elsewhere"
        ) from error


def check_documents(place: str, documents: dict[str, Any]) -> tuple[CubeSpec, dict[int, Manifest]]:
    """Check that documents are those of a cube; return its spec, and the manifest of each orbit.

    Raises
    ------
    CubeError
    """
    check_cube(place, documents)
    check_digest(place, documents)
    kit = documents[".zattrs"]["s2kit"]
    try:
        spec = CubeSpec(
            GeoBox(tuple(kit["shape"]), Affine(*kit["transform"]), odc.geo.CRS(kit["crs"])),
            tuple(kit["layers"]),
            kit["resampling"],
            tuple(kit["chunks"]),
            kit["overviews"],
        )
        manifests = {}
        for n in kit["orbits"]:
            steps = documents[f"{group_of(n)}/time/.zarray"]["shape"][0]
            stated, chunks = kit["manifest"][str(n)], -(-steps // spec.chunks[0])
            manifests[n] = read_manifest(stated, spec.layers, spec.chunk_grids, chunks)
    except ODD as error:
        raise CubeError(
            f"{place}: its metadata are damaged, or are none of s2kit ({error}); bring "
            f"{METADATA} back from a copy"
        ) from error
    return spec, manifests


def _read_orbit(
    store: Store, documents: dict[str, Any], orbit: int, spec: CubeSpec, manifest: Manifest
) -> Orbit:
    group = group_of(orbit)
    length = documents[f"{group}/time/.zarray"]["shape"][0]
    table = read_coordinate_table(store, orbit, manifest)
    timeline = {}
    for name, dtype in timeline_types(spec.grid).items():
        keys = coordinate_keys(f"{group}/{name}", length)
        parts = read_coordinates(store, orbit, table, keys)
        values = decode_coordinate(list(parts.values()), dtype, length)
        timeline[name] = values.astype("O") if is_text(dtype) else values
    separator = documents[f"{group}/{spec.layers[0]}/.zarray"]["dimension_separator"]
    retired = orbit in documents[".zattrs"]["s2kit"]["retired"]
    return Orbit(timeline, manifest, separator, retired)
