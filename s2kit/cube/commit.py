"""Change what a store holds: chunks first, metadata last, in one atomic write.

New chunks are written under names that readers do not know yet: in a time chunk without steps, in
the staging folder if readers know chunks of these names, or, if steps that readers know move or
change, under the other set of chunk names (`keys.SEPARATORS`). They are synced to the disk. Then a
redo record is written and synced, the staged chunks are moved to their places, the coordinates
along time are replaced, then the metadata, and all that is synced. If the process dies after the
redo record, the next build finishes the commit; if it dies before, nothing has changed.

Zarr 2 has no second name for a one-dimensional array. While a rewriting commit replaces the
coordinates (half a second), interim metadata show readers the cube up to the first step that
changes: shorter, never mixed. A cube that was opened before with plain xarray keeps its old pixels
and times; only coordinates that were not loaded yet, such as ``products``, are then the new ones,
so open it anew. The next build that writes removes the old pixels.
"""

import base64
import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from s2kit.bounds import parse_json
from s2kit.cube.checked_reads import read_table, read_whole
from s2kit.cube.damaged import read_found, write_found
from s2kit.cube.keys import (
    METADATA,
    REDO,
    STAGING,
    group_of,
    is_chunk,
    is_object,
    other_separator,
    read_chunk_key,
    renamed_chunk,
    staged,
    table_key,
)
from s2kit.cube.manifest import Manifest, Table, add_table, copies_of, entry_of, is_digest
from s2kit.cube.model import CubeSpec, State
from s2kit.cube.state import check_documents, read_documents, read_state
from s2kit.cube.store import Draft, Store
from s2kit.cube.zarr_documents import coordinate_objects, metadata_objects
from s2kit.errors import CubeError, GridMismatchError

_PAUSE = 0.5
"""Seconds for readers who have just read the old metadata to read the old coordinates too."""


def claim(store: Store, state: State) -> State:
    """Return what a locked store holds; create the cube if it holds nothing.

    Raises
    ------
    GridMismatchError
        If another build has made a cube of another kind there.
    """
    held = read_state(store)
    if held is None:
        create(store, state)
        return state
    if held.spec != state.spec:
        raise GridMismatchError(
            f"another build has just made {store.url} with another grid or other layers; "
            "choose another store, or leave those arguments out to extend this one"
        )
    return held


def create(store: Store, state: State) -> None:
    """Claim a place for a cube: metadata of no steps yet, which fix its grid and layers."""
    _carry_out(store, {}, metadata_objects(state), written=(), moved=_Moved())


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
    old, changed = read_state(store), state.orbits[orbit]
    coordinates = coordinate_objects(state, orbit)
    entries = {key: entry_of(data) for key, data in coordinates.items()}
    stored = {**tables, **{entries[key].digest: data for key, data in coordinates.items()}}
    manifest = replace(changed.manifest, coordinates=add_table(stored, entries))
    state = replace(state, orbits=state.orbits | {orbit: replace(changed, manifest=manifest)})
    moved = [add_table(stored, table) for table in _by_time_chunk(written)] if moves else []
    for name, data in stored.items():
        key = table_key(orbit, name)
        if store.read(key) != data:  # one that stays is not written anew while others read it
            store.put(key, data)
    interim = {}
    if old is not None and orbit in old.orbits and keep < len(old.orbits[orbit].timeline["time"]):
        interim = metadata_objects(_cut(old, orbit, keep))
    _carry_out(
        store,
        interim,
        coordinates | metadata_objects(state),
        written=[
            *(staged(key) if moves else key for key in written),
            *linked,
            *(table_key(orbit, name) for name in stored),
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
        strange = [key for key in names if not is_object(key)]
        if strange:
            raise CubeError(
                f"{store.path(REDO)} would write {strange[0][:80]!r}, which is no object of a "
                "cube, so it is not from a build of s2kit; nothing was written. Remove it"
            )
        for metadata in (part[METADATA] for part in parts if METADATA in part):
            try:
                check_documents(store.url, read_documents(store.url, metadata))
            except CubeError as error:
                raise CubeError(
                    f"{store.path(REDO)} would write metadata that are not those of a cube of "
                    f"s2kit; nothing was written. Remove it ({error})"
                ) from error
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


def _by_time_chunk(written: Table) -> Iterable[Table]:
    """Sort chunks by layer and time chunk."""
    parts: dict[tuple[str, int], Table] = {}
    for key, entry in written.items():
        place = read_chunk_key(key)
        parts.setdefault((place.layer, place.index[0]), {})[key] = entry
    return parts.values()


def _read_record(data: bytes) -> tuple[list[Part], "_Moved"] | None:
    """Read a redo record; None if it is torn."""
    try:
        record = parse_json(data)
        if record.pop("digest") != _digest(record):
            return None
        parts = [
            {str(key): base64.b64decode(text, validate=True) for key, text in record[part].items()}
            for part in ("interim", "objects")
        ]
        moved = record["moved"]
        if not all(map(is_digest, moved["tables"])):
            return None
        return parts, _Moved(int(moved["orbit"]), tuple(moved["tables"]))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _carry_out(
    store: Store, interim: Part, objects: Part, *, written: Iterable[str], moved: _Moved
) -> None:
    """Make objects visible in their order, or none if the storage is full or the process dies.

    The interim objects are what readers see meanwhile. What was written before, of which the staged
    chunks are moved, is on the disk first.
    """
    parts = [store.prepare(part) for part in (interim, objects)]
    drafts = [draft.source for part in parts for draft in part]
    record = {"interim": _pack(interim), "objects": _pack(objects), "moved": moved._asdict()}
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
    interim, objects = parts
    store.place(interim)
    if interim:
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
    chunks: Table = {}
    lost = []
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
    for number, entry in kit["manifest"].items():
        orbit, coordinates = int(number), entry["coordinates"]
        names = {coordinates, *itertools.chain(*entry["tables"].values())}
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
    timeline = {name: values[:keep] for name, values in whole.timeline.items()}
    # The coordinates become those of the next state meanwhile.
    manifest = replace(whole.manifest, coordinates="")
    cut = replace(whole, timeline=timeline, manifest=manifest)
    return replace(state, orbits=state.orbits | {orbit: cut})


def remove_retired(store: Store, orbit: int, separator: str, spec: CubeSpec) -> None:
    """Remove the chunks under the set of names that is not in use."""
    retired = other_separator(separator)
    for level, layer in itertools.product(range(len(spec.grids)), spec.layers):
        prefix = f"{group_of(orbit, level)}/{layer}"
        for key in store.keys(prefix):
            if is_chunk(key.removeprefix(f"{prefix}/"), retired):
                store.delete(key)


def link_kept(
    store: Store, orbit: int, manifest: Manifest, separator: str, chunks: int, spec: CubeSpec
) -> tuple[Manifest, dict[str, bytes], list[str]]:
    """Copy the first time chunks, which stay, from the set of names in use to the other one.

    Returns the manifest with the new names, its tables as stored, and these names.
    """
    other = other_separator(separator)
    tables: dict[str, list[Table]] = {}
    linked: list[str] = []
    for layer, names in manifest.tables.items():
        tables[layer] = []
        for name in names[:chunks]:
            table = read_table(store, orbit, name)
            renamed = {renamed_chunk(key, other): entry for key, entry in table.items()}
            for source, target in zip(table, renamed, strict=True):
                store.copy(source, target)
            tables[layer].append(renamed)
            linked += renamed
    return *manifest.changed(0, tables, spec.chunk_grids), linked
