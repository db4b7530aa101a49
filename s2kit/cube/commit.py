"""What a store holds, and how it changes: chunks first, metadata last, in one atomic write.

New chunks are written where nobody looks yet: in a time chunk without steps, in a staging folder
if readers know chunks of these names, or, if steps that readers know must move or change, under the
other set of chunk names (`layout.SEPARATORS`). They are synced to the disk. Then a redo record is
written and synced, then the staged chunks are moved to their places, then the coordinates along
time are replaced, then the metadata, and all that is synced. Whoever dies after the redo record
leaves it to the next build to finish. Before it, nothing has happened.

Zarr 2 has no second name for a one-dimensional array. So while a rewriting commit replaces the
coordinates (half a second), readers see the old cube up to the first step that changes: shorter,
never mixed. Who opened the cube before with plain xarray keeps its old pixels and times; only
coordinates that were not loaded yet, such as ``products``, are then the new ones, so open it anew.
The next build that writes removes the old pixels.
"""

import base64
import binascii
import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import odc.geo
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from s2kit.bounds import parse_json
from s2kit.cube import layout, levels
from s2kit.cube.damaged import read_found, write_found
from s2kit.cube.layout import DIGEST, LAYER, SEPARATORS, TIMELINE_CHUNK, Profile
from s2kit.cube.manifest import (
    Manifest,
    Table,
    copies_of,
    entry_of,
    is_digest,
    read_coordinates,
    read_manifest,
    read_table,
    read_whole,
    table_key,
    write_table,
)
from s2kit.cube.snapshot import METADATA, read_documents
from s2kit.cube.steps import Timeline
from s2kit.cube.store import STAGING, WORKSHOP, Draft, Store, staged
from s2kit.cube.store_checks import check_cube, check_digest
from s2kit.errors import CubeError

REDO = f"{WORKSHOP}/redo"
_FORMAT = layout.WITH_DIGEST
"""1 knew no overviews, and would leave them behind; 2 knew no manifest and no staged chunks; 3 no
digest of the metadata."""
_ODD = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError, CRSError)
"""What reading metadata raises that are not a cube's."""

_PAUSE = 0.5
"""Seconds for readers who have just read the old metadata to read the old coordinates too."""


@dataclass(frozen=True)
class Orbit:
    """The steps of one relative orbit, and which set of chunk names holds them.

    Attributes
    ----------
    timeline : dict of str to numpy.ndarray
        The coordinates along time.
    separator : str
        Between the numbers in the names of its chunks.
    retired : bool
        Whether the other set of names still lies there, for readers who opened the cube before.
    manifest : Manifest or None
        None for one that an earlier kit made.
    """

    timeline: Timeline
    separator: str = SEPARATORS[0]
    retired: bool = False
    manifest: Manifest | None = None


@dataclass(frozen=True)
class State:
    """All that a store's metadata say."""

    profile: Profile
    synthetic: bool
    orbits: dict[int, Orbit]


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
        if kit["format"] > _FORMAT:
            raise CubeError(f"{store.url} was made by a later s2kit; update s2kit to extend it")
        check_cube(store.url, documents)
        check_digest(store.url, documents)
        profile = read_profile(kit)
        orbits = {n: _read_orbit(store, documents, n, kit, profile) for n in kit["orbits"]}
        return State(profile, kit["synthetic"], orbits)
    except (*_ODD, CubeError) as error:
        if store.read(METADATA) != data or (not committing and store.read_own(REDO) is not None):
            return read_state(store)  # another build has just committed, or is about to
        if isinstance(error, CubeError):
            raise
        raise CubeError(
            f"{store.url} is damaged ({type(error).__name__}: {error}); bring it back from a copy, "
            "or build it anew elsewhere"
        ) from error


def read_profile(kit: dict[str, Any]) -> Profile:
    """Read out of the metadata what makes a cube the kind that it is."""
    grid = GeoBox(tuple(kit["shape"]), Affine(*kit["transform"]), odc.geo.CRS(kit["crs"]))
    return Profile(
        grid,
        tuple(kit["layers"]),
        kit["resampling"],
        tuple(kit["chunks"]),
        kit.get("overviews", False),
    )


def _read_orbit(
    store: Store, documents: dict[str, Any], orbit: int, kit: dict[str, Any], profile: Profile
) -> Orbit:
    group = layout.group_of(orbit)
    length = documents[f"{group}/time/.zarray"]["shape"][0]
    count = -(-max(length, 1) // TIMELINE_CHUNK)
    told, manifest, table = kit.get("manifest", {}).get(str(orbit)), None, {}
    if told is not None:
        manifest = read_manifest(told, profile.layers, profile.chunk_grids)
    if manifest and manifest.coordinates:  # without a table, as of an earlier kit
        with suppress(CubeError):
            table = read_table(store, orbit, manifest.coordinates)
    timeline = {}
    for name, dtype in layout.timeline_types(profile.grid).items():
        keys = [f"{group}/{name}/{i}" for i in range(count)]
        parts = read_coordinates(store, orbit, table, keys)
        values = layout.decode_coordinate(list(parts.values()), dtype, length)
        timeline[name] = values.astype("O") if layout.is_text(dtype) else values
    separator = documents[f"{group}/{kit['layers'][0]}/.zarray"]["dimension_separator"]
    return Orbit(timeline, separator, orbit in kit["retired"], manifest)


def create(store: Store, state: State) -> None:
    """Claim a place for a cube: metadata of no steps yet, which fix its grid and layers."""
    _carry_out(store, {}, _metadata(state), written=(), moved=_Moved())


def commit(
    store: Store,
    state: State,
    orbit: int,
    *,
    keep: int,
    tables: Mapping[str, bytes],
    written: Table,
    moves: bool,
    linked: Iterable[str] = (),
) -> State:
    """Make a new state of one orbit visible; its chunks are written.

    Parameters
    ----------
    store : Store
    state : State
        What the store is to say.
    orbit : int
        The orbit that changed.
    keep : int
        How many steps at its beginning are as before.
    tables : mapping of str to bytes
        The new tables of its manifest, but for that of the coordinates.
    written : dict of str to Entry
        The new chunks.
    moves : bool
        Whether these are staged.
    linked : iterable of str
        Names that earlier chunks have got.

    Returns
    -------
    State
        With the names of all tables.
    """
    old = read_state(store)
    coordinates = _coordinates(state, orbit)
    listed = write_table({key: entry_of(data) for key, data in coordinates.items()})
    copies = {entry_of(data).digest: data for data in (listed, *coordinates.values())}
    moved = _tables_of_moved(written) if moves else {}
    tables = {**tables, **copies, **moved}
    for name, data in tables.items():
        key = table_key(orbit, name)
        if store.read(key) != data:  # one that stays is not written anew while others read it
            store.put(key, data)
    changed = state.orbits[orbit]
    manifest = replace(changed.manifest, coordinates=entry_of(listed).digest)
    state = replace(state, orbits=state.orbits | {orbit: replace(changed, manifest=manifest)})
    bridge = {}
    if old is not None and orbit in old.orbits and keep < len(old.orbits[orbit].timeline["time"]):
        bridge = _metadata(_cut(old, orbit, keep))
    _carry_out(
        store,
        bridge,
        coordinates | _metadata(state),
        written=[
            *(staged(key) if moves else key for key in written),
            *linked,
            *(table_key(orbit, name) for name in tables),
        ],
        moved=_Moved(orbit, tuple(moved)),
    )
    return state


def redo(store: Store) -> None:
    """Finish the commit of a build that died in it.

    A record that is torn counts as never written: it is synced before anything follows from it.

    Raises
    ------
    CubeError
        If a record is whole but is none that a build writes; nothing has changed then.
    """
    data = store.read_own(REDO)
    record = None if data is None else _read_record(data)
    if record is not None:
        parts, moved = record
        names = [key for part in parts for key in part]
        strange = [key for key in names if not layout.is_object(key)]
        if strange:
            raise CubeError(
                f"{store.path(REDO)} would write {strange[0][:80]!r}, which is no object of a "
                "cube, so it is not from a build of s2kit; nothing was written. Remove it"
            )
        for part in parts:
            _check_recorded(store, part)
        drafts = [store.prepare(part) for part in parts]
        store.sync(draft.source for part in drafts for draft in part)
        _apply(store, drafts, moved)
    if data is not None:
        store.delete(REDO)
    store.clear_staging()


def clear_up(store: Store) -> None:
    """Remove staged chunks, unless a commit that was begun needs them."""
    if store.read_own(REDO) is None:
        store.clear_staging()


Part = dict[str, bytes]


class _Moved(NamedTuple):
    """Which staged chunks a commit puts in place: those of some tables, written beside its own."""

    orbit: int = 0
    tables: tuple[str, ...] = ()


def _tables_of_moved(written: Table) -> dict[str, bytes]:
    """Return tables of chunks, one of each layer and time chunk, by their names."""
    parts: dict[tuple[str, int], Table] = {}
    for key, entry in written.items():
        place = layout.read_chunk_key(key)
        parts.setdefault((place.layer, place.index[0]), {})[key] = entry
    stored = map(write_table, parts.values())
    return {entry_of(data).digest: data for data in stored}


def _read_record(data: bytes) -> tuple[list[Part], "_Moved"] | None:
    """Read a redo record; None if it is torn. That of an earlier kit has no digest."""
    try:
        record = parse_json(data)
        digest = record.pop("digest", None)
        if digest is not None and digest != _digest(record):
            return None
        parts = [
            {str(key): base64.b64decode(text, validate=True) for key, text in record[part].items()}
            for part in ("bridge", "objects")
        ]
        moved = record.get("moved", {"orbit": 0, "tables": []})
        if not all(map(is_digest, moved["tables"])):
            return None
        return parts, _Moved(int(moved["orbit"]), tuple(moved["tables"]))
    except (
        *(ValueError, LookupError, TypeError, AttributeError),
        *(OverflowError, RecursionError, binascii.Error),
    ):
        return None


def _check_recorded(store: Store, part: Part) -> None:
    """Check that metadata that a record would put in place are those of a cube.

    Raises
    ------
    CubeError
    """
    if METADATA not in part:
        return
    try:
        documents = read_documents(store.url, part[METADATA])
        kit = documents[".zattrs"]["s2kit"]
        check_cube(store.url, documents)
        check_digest(store.url, documents)
        profile = read_profile(kit)
        for told in kit.get("manifest", {}).values():
            read_manifest(told, profile.layers, profile.chunk_grids)
    except (*_ODD, CubeError) as error:
        raise CubeError(
            f"{store.path(REDO)} would write metadata that are not those of a cube of s2kit "
            f"({type(error).__name__}: {error}); nothing was written. Remove it"
        ) from error


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _carry_out(
    store: Store,
    bridge: Part,
    objects: Part,
    *,
    written: Iterable[str],
    moved: _Moved,
) -> None:
    """Make objects visible, or nothing of them if the storage is full or the process dies.

    Parameters
    ----------
    store : Store
    bridge : dict of str to bytes
        What readers are to see while the objects are replaced.
    objects : dict of str to bytes
        In the order in which they are replaced.
    written : iterable of str
        What was written before, and is to be on the disk first.
    moved : _Moved
        The staged chunks among it.
    """
    parts = [store.prepare(part) for part in (bridge, objects)]
    drafts = [draft.source for part in parts for draft in part]
    record = {"bridge": _pack(bridge), "objects": _pack(objects), "moved": moved._asdict()}
    try:
        store.sync([*written, *drafts])
        store.write(REDO, json.dumps(record | {"digest": _digest(record)}).encode())
    except CubeError:
        for draft in drafts:
            store.delete(draft)
        raise
    _apply(store, parts, moved)


def _apply(store: Store, parts: list[list[Draft]], moved: _Moved) -> None:
    """Put all in place: what readers are to see meanwhile, chunks, coordinates, metadata.

    Raises
    ------
    CubeError
        If a staged chunk has vanished. The commit is finished all the same: the next build makes
        the chunk again.
    """
    bridge, objects = parts
    store.place(bridge)
    if bridge:
        time.sleep(_PAUSE)
    chunks, lost = _move(store, moved)
    store.place(objects)
    store.sync([*(draft.key for part in parts for draft in part), *chunks])
    _remove_tables(store)
    store.delete(REDO)
    store.clear_staging()
    if lost:
        write_found(store, {*read_found(store), *lost})
        raise CubeError(
            f"{len(lost)} chunks vanished from {store.path(STAGING)} while they were committed, "
            f"such as {lost[0]}; build again with the same scenes, which makes them again"
        )


def _move(store: Store, moved: _Moved) -> tuple[Table, list[str]]:
    """Put staged chunks in their places; return them, and what is neither staged nor in place."""
    chunks, lost = {}, []
    for name in moved.tables:
        try:
            chunks |= read_table(store, moved.orbit, name)
        except CubeError:
            lost.append(table_key(moved.orbit, name))
    for key, entry in chunks.items():
        if not store.move(staged(key), key) and read_whole(store, key, entry) is None:
            lost.append(key)
    return chunks, lost


def _pack(objects: Part) -> dict[str, str]:
    return {key: base64.b64encode(data).decode() for key, data in objects.items()}


def _remove_tables(store: Store) -> None:
    """Remove the tables and copies of earlier states."""
    kit = read_documents(store.url, store.read(METADATA) or b"")[".zattrs"]["s2kit"]
    for number, told in kit.get("manifest", {}).items():  # an earlier kit's record has none
        orbit, coordinates = int(number), told["coordinates"]
        names = {coordinates, *itertools.chain(*told["tables"].values())}
        valid = {table_key(orbit, name) for name in names}
        try:
            valid |= copies_of(orbit, read_table(store, orbit, coordinates)).keys()
        except CubeError:
            continue  # damaged: this build or the next writes it again
        for key in store.keys(table_key(orbit, "")):
            if key not in valid:
                store.delete(key)


def _cut(state: State, orbit: int, keep: int) -> State:
    whole = state.orbits[orbit]
    cut = replace(whole, timeline={n: v[:keep] for n, v in whole.timeline.items()})
    if cut.manifest:  # the coordinates become those of the next state meanwhile
        cut = replace(cut, manifest=replace(cut.manifest, coordinates=""))
    return replace(state, orbits=state.orbits | {orbit: cut})


def _coordinates(state: State, orbit: int) -> dict[str, bytes]:
    """Return the coordinates of all levels of an orbit, which are written before the metadata."""
    objects = {}
    for level, grid in enumerate(state.profile.grids):
        group = layout.group_of(orbit, level)
        static = layout.grid_objects(grid, state.profile.area)
        moving = layout.timeline_objects(grid, state.orbits[orbit].timeline, level)
        chunks = {k: v for k, v in static.items() if not _is_document(k)} | moving
        objects |= {f"{group}/{key}": data for key, data in chunks.items()}
    return objects


def _is_document(key: str) -> bool:
    return key.rsplit("/", 1)[-1].startswith(".z")


def _metadata(state: State) -> dict[str, bytes]:
    """Give every metadata document, the consolidated ones last and the root's at the very end."""
    documents = {
        ".zgroup": _GROUP,
        ".zattrs": layout.dump(_root_attrs(state)),
        "S2/.zgroup": _GROUP,
        **_levels_document(state),
    }
    consolidated = {}
    for orbit in sorted(state.orbits):
        for level in range(len(state.profile.grids)):
            group = layout.group_of(orbit, level)
            own = _group_documents(state, orbit, level)
            documents |= {f"{group}/{key}": data for key, data in own.items()}
            consolidated[f"{group}/{METADATA}"] = _consolidate(own)
    parsed = {key: json.loads(data) for key, data in documents.items()}
    parsed[".zattrs"]["s2kit"][DIGEST] = layout.metadata_digest(parsed)
    documents[".zattrs"] = layout.dump(parsed[".zattrs"])
    return documents | consolidated | {METADATA: _consolidate(documents)}


def _levels_document(state: State) -> dict[str, bytes]:
    grids = state.profile.grids
    if len(grids) == 1 or not state.orbits:
        return {}
    names = [
        [layout.group_of(orbit, level).removeprefix("S2/") for level in range(len(grids))]
        for orbit in sorted(state.orbits)
    ]
    described = levels.describe(grids, names, classes="SCL" in state.profile.layers)
    return {"S2/.zattrs": layout.dump(described)}


_GROUP = layout.dump({"zarr_format": 2})


def _consolidate(documents: dict[str, bytes]) -> bytes:
    parsed = {key: json.loads(data) for key, data in documents.items()}
    return layout.dump({"metadata": parsed, "zarr_consolidated_format": 1})


def _group_documents(state: State, number: int, level: int) -> dict[str, bytes]:
    orbit, profile = state.orbits[number], state.profile
    steps = len(orbit.timeline["time"])
    documents = {".zgroup": _GROUP, ".zattrs": layout.dump(_group_attrs(state, number, level))}
    for name in profile.layers:
        documents |= layout.layer_documents(LAYER[name], profile, steps, orbit.separator, level)
    documents |= layout.timeline_documents(profile.grids[level], steps, level)
    static = layout.grid_objects(profile.grids[level], profile.area)
    return documents | {key: data for key, data in static.items() if _is_document(key)}


def _shared_attrs(state: State) -> dict[str, Any]:
    made_up = "Synthetic practice data, made up by s2kit: not observed by any satellite. "
    return {
        "Conventions": "CF-1.10",
        "source": (made_up if state.synthetic else "")
        + "Sentinel-2 Level-2A surface reflectance, resampled once to this grid",
        "synthetic": int(state.synthetic),
        "license": "CC BY 4.0 (made by s2kit)"
        if state.synthetic
        else "Contains modified Copernicus Sentinel data; free, full and open access "
        "(Commission Delegated Regulation (EU) No 1159/2013)",
    }


def _root_attrs(state: State) -> dict[str, Any]:
    profile = state.profile
    kit = {
        "format": _FORMAT,
        "synthetic": state.synthetic,
        "crs": str(profile.grid.crs),
        "shape": list(profile.grid.shape),
        "transform": list(profile.grid.affine)[:6],
        "layers": list(profile.layers),
        "resampling": profile.resampling,
        "chunks": list(profile.chunks),
        "overviews": profile.overviews,
        "orbits": sorted(state.orbits),
        "retired": sorted(n for n, orbit in state.orbits.items() if orbit.retired),
        "manifest": {
            str(n): orbit.manifest.document()
            for n, orbit in sorted(state.orbits.items())
            if orbit.manifest
        },
    }
    return {"title": layout.TITLE, **_shared_attrs(state), "s2kit": kit}


def _group_attrs(state: State, orbit: int, level: int) -> dict[str, Any]:
    along_time = layout.timeline_types(state.profile.grid, level)
    coordinates = ["spatial_ref", *(name for name in along_time if name != "time")]
    return {
        "title": f"{layout.TITLE}, relative orbit {orbit}" + (f", level {level}" if level else ""),
        **_shared_attrs(state),
        "relative_orbit": orbit,
        "coordinates": " ".join(coordinates),
    }


def remove_retired(store: Store, orbit: int, separator: str, profile: Profile) -> None:
    """Remove the chunks under the set of names that is not in use."""
    retired = SEPARATORS[1 - SEPARATORS.index(separator)]
    for level, layer in itertools.product(range(len(profile.grids)), profile.layers):
        prefix = f"{layout.group_of(orbit, level)}/{layer}"
        for key in store.keys(prefix):
            if layout.is_chunk(key.removeprefix(f"{prefix}/"), retired):
                store.delete(key)
