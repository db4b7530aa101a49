"""What a store holds, as far as a build needs it."""

import json
from contextlib import suppress
from typing import Any

import odc.geo
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from s2kit.bounds import parse_json
from s2kit.cube.checked_reads import read_coordinates, read_table
from s2kit.cube.codec import decode_coordinate
from s2kit.cube.keys import METADATA, REDO, group_of
from s2kit.cube.layers import TIMELINE_CHUNK, is_text, timeline_types
from s2kit.cube.manifest import read_manifest
from s2kit.cube.model import CubeSpec, Orbit, State
from s2kit.cube.store import Store
from s2kit.cube.store_checks import check_cube, check_digest
from s2kit.cube.zarr_documents import FORMAT
from s2kit.errors import CubeError

_ODD = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError, CRSError)
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
        If something else lies there, or a cube of a later kit.
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
        if kit["format"] > FORMAT:
            raise CubeError(f"{store.url} was made by a later s2kit; update s2kit to extend it")
        spec = _checked_spec(store.url, documents)
        orbits = {n: _read_orbit(store, documents, n, kit, spec) for n in kit["orbits"]}
        return State(spec, kit["synthetic"], orbits)
    except (*_ODD, CubeError) as error:
        if store.read(METADATA) != data or (not committing and store.read_own(REDO) is not None):
            return read_state(store)  # another build has just committed, or is about to
        if isinstance(error, CubeError):
            raise
        raise CubeError(
            f"{store.url} is damaged ({type(error).__name__}: {error}); bring it back from a copy, "
            "or build it anew elsewhere"
        ) from error


def _checked_spec(place: str, documents: dict[str, Any]) -> CubeSpec:
    """Check that documents are those of a cube; return what was fixed when it was made."""
    check_cube(place, documents)
    check_digest(place, documents)
    return read_spec(documents[".zattrs"]["s2kit"])


def read_spec(kit: dict[str, Any]) -> CubeSpec:
    """Read what is fixed when a cube is made from its attributes of s2kit."""
    grid = GeoBox(tuple(kit["shape"]), Affine(*kit["transform"]), odc.geo.CRS(kit["crs"]))
    return CubeSpec(
        grid,
        tuple(kit["layers"]),
        kit["resampling"],
        tuple(kit["chunks"]),
        kit.get("overviews", False),
    )


def _read_orbit(
    store: Store, documents: dict[str, Any], orbit: int, kit: dict[str, Any], spec: CubeSpec
) -> Orbit:
    group = group_of(orbit)
    length = documents[f"{group}/time/.zarray"]["shape"][0]
    count = -(-max(length, 1) // TIMELINE_CHUNK)
    told, manifest, table = kit.get("manifest", {}).get(str(orbit)), None, {}
    if told is not None:
        manifest = read_manifest(told, spec.layers, spec.chunk_grids)
    if manifest and manifest.coordinates:  # without a table, as of an earlier kit
        with suppress(CubeError):
            table = read_table(store, orbit, manifest.coordinates)
    timeline = {}
    for name, dtype in timeline_types(spec.grid).items():
        keys = [f"{group}/{name}/{i}" for i in range(count)]
        parts = read_coordinates(store, orbit, table, keys)
        values = decode_coordinate(list(parts.values()), dtype, length)
        timeline[name] = values.astype("O") if is_text(dtype) else values
    separator = documents[f"{group}/{kit['layers'][0]}/.zarray"]["dimension_separator"]
    return Orbit(timeline, separator, orbit in kit["retired"], manifest)


def check_metadata(place: str, metadata: bytes) -> None:
    """Check that consolidated metadata are those of a cube.

    Raises
    ------
    CubeError
    """
    try:
        documents = read_documents(place, metadata)
        spec = _checked_spec(place, documents)
        for stated in documents[".zattrs"]["s2kit"].get("manifest", {}).values():
            read_manifest(stated, spec.layers, spec.chunk_grids)
    except _ODD as error:
        raise CubeError(
            f"{place}: these are not the metadata of a cube of s2kit ({type(error).__name__}: "
            f"{error})"
        ) from error
