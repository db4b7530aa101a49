"""What a store holds, and how it changes: chunks first, metadata last, in one atomic write.

A commit puts new chunks where nobody looks yet: behind the last step, or, if steps that readers
know must move or change, under the other set of chunk names (`layout.SEPARATORS`). Then a redo
record is written, then the coordinates along time, then the metadata. Whoever dies after the redo
record leaves it to the next build to finish. Before it, nothing has happened.

Zarr 2 has no second name for a one-dimensional array. So while a rewriting commit replaces the
coordinates (half a second), readers see the old cube up to the first step that changes: shorter,
never mixed. Who opened the cube before with plain xarray keeps its old pixels and times; only
coordinates that were not loaded yet, such as ``products``, are then the new ones, so open it anew.
The next build that writes removes the old pixels.
"""

import base64
import itertools
import json
from dataclasses import dataclass, replace
from typing import Any

import odc.geo
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from s2kit.cube import layout, levels
from s2kit.cube.layout import LAYER, SEPARATORS, TIMELINE_CHUNK, Profile
from s2kit.cube.steps import Timeline
from s2kit.cube.store import WORKSHOP, Store
from s2kit.cube.store_checks import check_cube
from s2kit.errors import CubeError

_REDO = f"{WORKSHOP}/redo"
_FORMAT = 2
"""1 knew no overviews, and would leave them behind."""
_PAUSE = 0.5
"""Seconds for readers who have just read the old metadata to read the old coordinates too."""
_ROOT = ".zmetadata"


@dataclass(frozen=True)
class Orbit:
    """The steps of one relative orbit, and which set of chunk names holds them.

    ``retired`` tells that the other set still lies there, for readers who opened the cube before.
    """

    timeline: Timeline
    separator: str = SEPARATORS[0]
    retired: bool = False


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
    data = store.read(_ROOT)
    if data is None:
        if not store.exists() or store.read(_REDO) is not None:
            return None
        data = store.read(_ROOT)  # another build may have claimed the place meanwhile
    if data is None:
        raise CubeError(
            f"{store.url} exists but is not a cube of s2kit (no consolidated metadata); "
            "choose another place, or remove it first"
        )
    try:
        documents = json.loads(data)["metadata"]
        kit = documents[".zattrs"]["s2kit"]
    except (ValueError, KeyError, TypeError) as error:
        raise CubeError(
            f"{store.url} is a Zarr store but not a cube of s2kit; choose another place"
        ) from error
    try:
        if kit["format"] > _FORMAT:
            raise CubeError(f"{store.url} was made by a later s2kit; update s2kit to extend it")
        check_cube(store.url, documents)
        profile = _read_profile(kit)
        orbits = {n: _read_orbit(store, documents, n, kit, profile) for n in kit["orbits"]}
        return State(profile, kit["synthetic"], orbits)
    except (LookupError, TypeError, ValueError, RuntimeError, CRSError) as error:
        raise CubeError(
            f"{store.url} is damaged ({type(error).__name__}: {error}); bring it back from a copy, "
            "or build it anew elsewhere"
        ) from error


def _read_profile(kit: dict[str, Any]) -> Profile:
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
    timeline = {}
    for name, dtype in layout.timeline_types(profile.grid).items():
        parts = [store.read(f"{group}/{name}/{i}") for i in range(count)]
        timeline[name] = layout.decode_coordinate(parts, dtype, length)
    separator = documents[f"{group}/{kit['layers'][0]}/.zarray"]["dimension_separator"]
    return Orbit(timeline, separator, orbit in kit["retired"])


def create(store: Store, state: State) -> None:
    """Claim a place for a cube: metadata of no steps yet, which fix its grid and layers."""
    _carry_out(store, {}, _metadata(state))


def commit(store: Store, state: State, orbit: int, *, keep: int) -> None:
    """Make a new state of one orbit visible; its chunks are all in place.

    Parameters
    ----------
    store : Store
    state : State
        What the store is to say.
    orbit : int
        The orbit that changed.
    keep : int
        How many steps at its beginning are as before.
    """
    old = read_state(store)
    objects = _objects(state, orbit)
    bridge = {}
    if old is not None and orbit in old.orbits and keep < len(old.orbits[orbit].timeline["time"]):
        bridge = _metadata(_cut(old, orbit, keep))
    _carry_out(store, bridge, objects)


def redo(store: Store) -> None:
    """Finish the commit of a build that died in it."""
    data = store.read(_REDO)
    if data is None:
        return
    try:
        record = json.loads(data)
    except ValueError as error:
        raise CubeError(
            f"{store.path(_REDO)} is damaged ({error}), so the last commit cannot be finished; "
            "bring the cube back from a copy, or build it anew elsewhere"
        ) from error
    _apply(store, record)


def _carry_out(store: Store, bridge: dict[str, bytes], objects: dict[str, bytes]) -> None:
    record = {"bridge": _pack(bridge), "objects": _pack(objects)}
    store.write(_REDO, json.dumps(record).encode())
    _apply(store, record)


def _apply(store: Store, record: dict[str, dict[str, str]]) -> None:
    parts = [record[part] for part in ("bridge", "objects") if record[part]]
    groups = [{key: base64.b64decode(text) for key, text in part.items()} for part in parts]
    store.write_all(groups, pause=_PAUSE)
    store.delete(_REDO)


def _pack(objects: dict[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(data).decode() for key, data in objects.items()}


def _cut(state: State, orbit: int, keep: int) -> State:
    whole = state.orbits[orbit]
    cut = replace(whole, timeline={n: v[:keep] for n, v in whole.timeline.items()})
    return replace(state, orbits=state.orbits | {orbit: cut})


def _objects(state: State, orbit: int) -> dict[str, bytes]:
    """Give all that a commit writes, in the order of writing: coordinates first, root last."""
    objects = {}
    for level, grid in enumerate(state.profile.grids):
        group = layout.group_of(orbit, level)
        static = layout.grid_objects(grid, state.profile.area)
        moving = layout.timeline_objects(grid, state.orbits[orbit].timeline, level)
        chunks = {k: v for k, v in static.items() if not _is_document(k)} | moving
        objects |= {f"{group}/{key}": data for key, data in chunks.items()}
    return objects | _metadata(state)


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
            consolidated[f"{group}/{_ROOT}"] = _consolidate(own)
    return documents | consolidated | {_ROOT: _consolidate(documents)}


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
