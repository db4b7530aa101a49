"""Build a cube: scenes into a store, safe to repeat, safe to kill."""

import itertools
import os
import warnings
from collections import ChainMap, Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pystac
from dask.system import CPU_COUNT
from tqdm.auto import tqdm

from s2kit.cube import ingest
from s2kit.cube.commit import (
    Orbit,
    State,
    clear_up,
    commit,
    create,
    read_state,
    redo,
    remove_retired,
)
from s2kit.cube.damaged import forget_found, read_found, write_found
from s2kit.cube.ingest import Outcome, Slot, Task
from s2kit.cube.items import (
    any_synthetic,
    check_origin,
    name_reasons,
    read_items,
    read_scenes,
    require_reach,
    split,
)
from s2kit.cube.layout import (
    SEPARATORS,
    TIMELINE,
    group_of,
    is_chunk,
    is_layer_chunk,
    is_whole,
    read_chunk_key,
    renamed_chunk,
    timeline_types,
)
from s2kit.cube.manifest import (
    Entry,
    Manifest,
    Table,
    by_time_chunk,
    empty_manifest,
    entry_of,
    read_table,
)
from s2kit.cube.mending import (
    Damage,
    Making,
    base_tasks,
    coarser_task,
    find_damage,
    slots_of,
)
from s2kit.cube.overviews import coarsen, coarser_tasks
from s2kit.cube.profile import new_profile, same_profile
from s2kit.cube.report import BuildReport
from s2kit.cube.steps import Plan, Scene, Step, empty_timeline, group_scenes, make_plan, timeline_of
from s2kit.cube.store import Store, require_zarr_name, staged
from s2kit.cube.vetting import Vetting
from s2kit.errors import CubeError, GridMismatchError, InvalidInputError, SceneWarning
from s2kit.scenes.region import Aoi, read_aoi


def build_cube(
    items: pystac.ItemCollection | Iterable[pystac.Item],
    store: str | os.PathLike,
    aoi: Aoi | None = None,
    crs: Any = None,
    resolution: float | None = None,
    *,
    bands: Iterable[str] | None = None,
    resampling: str | None = None,
    chunks: tuple[int, int, int] | None = None,
    overviews: bool | None = None,
    client: Any = None,
    progress: bool = True,
) -> BuildReport:
    """Make a cube from scenes, or add to it what it lacks.

    Safe to repeat: the same scenes again change nothing. Safe to kill: readers see the cube as it
    was, and the next build goes on. A scene that cannot be read is named and set aside; the next
    build tries it again.

    Parameters
    ----------
    items : pystac.ItemCollection
        What `s2kit.find_scenes` found.
    store : str or path
        Where the cube is or will be: a path, or a URL that fsspec can write to (``s3://…``).
    aoi : tuple, str, path, dict or shapely geometry, optional
        Region, as in `s2kit.find_scenes`. Needed for a new store; an old one knows its grid.
    crs : str or pyproj.CRS, optional
        Coordinate system; for a new store EPSG:28992, the Dutch RD, if not given.
    resolution : float, optional
        Pixel size in units of ``crs``; for a new store 10 if not given.
    bands : iterable of str, optional
        Layers among `s2kit.LAYERS`; for a new store those that at least half of the scenes offer.
    resampling : {"bilinear", "nearest"}, optional
        For reflectance and water vapour; bilinear for a new store if not given. Classes and
        probabilities always take the nearest neighbour.
    chunks : tuple of int, optional
        Chunk shape (time, y, x); for a new store (16, 120, 120) if not given, (32, 120, 120)
        for more than 25 million pixels, and no more than the region.
    overviews : bool, optional
        Whether the cube has coarser levels too, by halves down to 256 pixels, so that a look at
        all of it is quick: a third more to store. For a new store True if not given.
    client : dask.distributed.Client, optional
        A cluster to compute on; by default the threads of this process.
    progress : bool, default True
        Whether to show progress bars.

    Returns
    -------
    BuildReport

    Raises
    ------
    InvalidInputError
        If an argument cannot be used, or no scene reaches the region.
    GridMismatchError
        If the store has another grid, coordinate system, layers, resampling or chunks, or has
        overviews where they are refused, or the other way round.
    CubeLockedError
        If another build is at work on the store.
    CubeError
        If the store is something else, or cannot be written.

    Examples
    --------
    >>> items = s2kit.find_scenes("data/practice", "delft", "2021-06-01", "2021-06-20")
    >>> box = (4.42, 52.01, 4.43, 52.02)  # west, south, east, north in degrees
    >>> report = s2kit.build_cube(items, "data/small.zarr", box, bands=["B04", "B08", "SCL"])
    >>> report.added  # steps by relative orbit
    {51: 2}
    """
    if client is not None and getattr(client, "status", None) != "running":
        raise InvalidInputError(
            f"client={client!r} is not a Dask client at work; give distributed.Client(address), or "
            "None"
        )
    target = Store(store)
    require_zarr_name(target.url)
    if target.url.startswith(("http://", "https://")):
        raise InvalidInputError(
            f"store={target.url!r} can only be read; build into a path or an s3:// URL"
        )
    found = read_items(items)
    state = read_state(target)
    if state is None and aoi is not None:
        require_reach(found, read_aoi(aoi))
    asked = {"aoi": aoi, "crs": crs, "resolution": resolution, "bands": bands,
             "resampling": resampling, "chunks": chunks, "overviews": overviews}  # fmt: skip
    scenes, odd = read_scenes(found)
    if state is None:
        state = State(
            new_profile(list(scenes.values()), **asked), any_synthetic(scenes.values()), {}
        )
    else:
        same_profile(state.profile, **asked)
    inside, outside = split(found, scenes, state.profile)
    check_origin(state, inside)
    build = _Build(target, state, group_scenes(inside), client, progress)
    build.refused |= odd
    build.require_layers()
    if not build.finished():
        with target.lock() as build.word:
            redo(target)
            new = read_state(target) is None
            build.state = _claim(target, state)
            try:
                build.run()
            finally:
                clear_up(target)
            build.require_pixels(new)
    return build.report(outside)


def _claim(store: Store, state: State) -> State:
    """Give what the store holds now that it is locked, or make it ours."""
    held = read_state(store)
    if held is None:
        create(store, state)
        return state
    if held.profile != state.profile:
        raise GridMismatchError(
            f"another build has just made {store.url} with another grid or other layers; "
            "choose another store, or leave those arguments out to extend this one"
        )
    return held


class _Build:
    """One run: the state of the store, what is asked of it, and what went wrong on the way."""

    def __init__(
        self,
        store: Store,
        state: State,
        asked: dict[int, list[Step]],
        client: Any,
        progress: bool,
    ):
        self.store, self.state = store, state
        self.client, self.progress = client, progress
        self.vetting = Vetting(state.profile)
        self.refused: dict[str, str] = {}
        self.added: Counter[int] = Counter()
        self.damaged: tuple[str, ...] = ()
        self.word = ""
        self.asked = {
            orbit: [s for s in steps if self._has_room(s)] for orbit, steps in asked.items()
        }

    def finished(self) -> bool:
        """Tell whether there is nothing to write; looks, but touches nothing."""
        if self.store.disturbed():
            return False
        profile = self.state.profile
        if any(find_damage(self.store, n, one, profile) for n, one in self.state.orbits.items()):
            return False
        self._retry()
        return not any(self._plan(orbit).changes for orbit in self.asked)

    def run(self) -> None:
        """Bring the store up to what is asked, one commit after another."""
        self._retry()
        with self._executor() as executor:
            self._mend(executor)
            for orbit in self.asked:
                if self._plan(orbit).changes:
                    self._list_chunks(orbit)
                self._sweep(orbit)
                while (plan := self._plan(orbit)).changes:
                    self._advance(plan, executor)

    def require_layers(self) -> None:
        """Set scenes aside that lack a layer; refuse if these are all, before anything is written.

        Raises
        ------
        InvalidInputError
        """
        scenes = [s for steps in self.asked.values() for step in steps for s in step.scenes]
        for scene in scenes:
            self.vetting.require_layers(scene)
        if scenes and all(scene.id in self.vetting.failed for scene in scenes):
            raise InvalidInputError(
                f"none of the {len(scenes)} scenes can be used: {name_reasons(self.vetting.failed)}"
            )

    def require_pixels(self, new: bool) -> None:
        """Refuse a cube of which no scene could be read; one that this build made is removed.

        Raises
        ------
        CubeError
        """
        timelines = [orbit.timeline for orbit in self.state.orbits.values()]
        if not timelines or any(names for timeline in timelines for names in timeline["products"]):
            return
        if new:
            self.store.clear()
        raise CubeError(
            f"no scene could be read, so there is no cube: {name_reasons(self.vetting.failed)}. "
            "Mend what is named, or give other scenes"
        )

    def report(self, outside: tuple[str, ...]) -> BuildReport:
        """Say what was done."""
        failed = dict(sorted((self.vetting.failed | self.refused).items()))
        corrected = dict(sorted(self.vetting.corrected.items()))
        notes = dict(sorted(self.vetting.notes.items()))
        if failed or corrected or self.damaged:
            names = [*failed, *corrected, *self.damaged]
            warnings.warn(
                f"{len(failed)} scenes set aside, {len(corrected)} offsets corrected, "
                f"{len(self.damaged)} chunks damaged "
                f"({', '.join(names[:3])}{' …' if len(names) > 3 else ''}); see the report",
                SceneWarning,
                stacklevel=3,
            )
        steps = {n: len(orbit.timeline["time"]) for n, orbit in self.state.orbits.items()}
        return BuildReport(
            self.store.url, dict(self.added), steps, failed, corrected, outside, notes, self.damaged
        )

    def _has_room(self, step: Step) -> bool:
        """Tell whether the cube can keep the names of a step's products; refuse them if not."""
        room = int(timeline_types(self.state.profile.grid)["products"].removeprefix("<U"))
        if len(_names(step.scenes)) <= room:
            return True
        reason = (
            f"belongs to a step of {len(step.scenes)} products, whose names take more than the "
            f"{room} characters that this cube keeps; leave older reprocessings out"
        )
        self.refused |= {scene.id: reason for scene in step.scenes}
        return False

    def _retry(self) -> None:
        """Try the scenes again that failed before."""
        missed = {
            name
            for orbit in self.state.orbits.values()
            for names in orbit.timeline["failed"]
            for name in names.split()
        }
        scenes = (s for steps in self.asked.values() for step in steps for s in step.scenes)
        self._each(self.vetting.probe, [s for s in scenes if s.id in missed])

    def _plan(self, orbit: int) -> Plan:
        known = self.state.orbits.get(orbit)
        timeline = known.timeline if known else empty_timeline()
        plan = make_plan(orbit, timeline, self.asked[orbit], self.vetting.failed)
        self.refused |= plan.refused
        return plan

    def _sweep(self, orbit: int) -> None:
        """Remove what an earlier commit retired, or a rewrite that died left, before writing."""
        known, plan = self.state.orbits.get(orbit), self._plan(orbit)
        if known and ((known.retired and plan.changes) or plan.rewrites):
            remove_retired(self.store, orbit, known.separator, self.state.profile)

    def _advance(self, plan: Plan, executor: Executor) -> None:
        """Write the next time chunk, or all that moves; commit it if every scene could be read."""
        depth = self.state.profile.chunks[0]
        known = self.state.orbits.get(plan.orbit) or Orbit(empty_timeline())
        first = plan.first // depth
        last = -(-len(plan.entries) // depth) if plan.rewrites else first + 1
        span = range(first * depth, min(last * depth, len(plan.entries)))
        known_bad = len(self.vetting.failed)
        steps = (entry.step for entry in plan.entries[span.start : span.stop] if entry.step)
        self._each(self.vetting.check, [scene for step in steps for scene in step.scenes])
        if len(self.vetting.failed) > known_bad:
            return
        tasks = list(self._tasks(plan, known, range(first, last)))
        outcomes = self._run(ingest.run, tasks, executor, f"orbit {plan.orbit}")
        if any(outcome.failed for outcome in outcomes):
            for outcome in outcomes:
                self.vetting.failed |= outcome.failed
            return
        moves = any(task.staged for task in tasks)
        base: Table = dict(ChainMap(*(outcome.written for outcome in outcomes)))
        self._check_arrived(base, moves)
        with ThreadPoolExecutor(1) as meanwhile:  # the commit has less to wait for then
            synced = meanwhile.submit(self.store.sync, [staged(k) if moves else k for k in base])
            coarser = self._run(coarsen, coarser_tasks(outcomes), executor, "overviews")
            synced.result()
        levels: Table = dict(ChainMap(*coarser))
        self._check_arrived(levels, moves)
        written = base | levels
        self._commit(plan, known, span, outcomes, written, moves)

    def _each(self, verdict: Callable[[Scene], None], scenes: list[Scene]) -> None:
        """Look at scenes side by side: mostly that is waiting for a disk or a server."""
        with ThreadPoolExecutor(CPU_COUNT) as pool:
            list(self._bar(pool.map(verdict, scenes), "checking scenes", len(scenes)))

    def _bar(self, things: Iterable, what: str, total: int | None = None) -> Iterable:
        return tqdm(things, what, total=total, disable=not self.progress, leave=False)

    def _separators(self, plan: Plan, known: Orbit) -> tuple[str, str]:
        other = SEPARATORS[1 - SEPARATORS.index(known.separator)]
        return known.separator, other if plan.rewrites else known.separator

    def _tasks(self, plan: Plan, known: Orbit, chunks: range) -> Iterator[Task]:
        profile = self.state.profile
        depth = profile.chunks[0]
        separators = self._separators(plan, known)
        for chunk in chunks:
            entries = plan.entries[chunk * depth : (chunk + 1) * depth]
            slots = tuple(self._slot(entry) for entry in entries)
            known_names = not plan.rewrites and any(slot.kept is not None for slot in slots)
            for layer in profile.layers:
                tables = known.manifest.tables[layer] if known.manifest else ()
                for rows in ingest.strips(profile, layer):
                    yield Task(
                        self.store,
                        profile,
                        plan.orbit,
                        layer,
                        chunk,
                        rows,
                        slots,
                        *separators,
                        self.word,
                        tables,
                        staged=known_names,
                        sync=self.client is not None,
                    )

    def _slot(self, entry) -> Slot:
        if entry.step is None:
            return Slot(entry.kept)
        readable = entry.step.without(self.vetting.failed)
        return Slot(None, tuple(self.vetting.scene(s) for s in readable))

    def _run(self, work: Callable, tasks: list, executor: Executor, what: str) -> list:
        futures = [executor.submit(work, task) for task in tasks]
        try:
            done = self._bar(as_completed(futures), what, len(futures))
            return [future.result() for future in done]
        finally:
            for future in futures:
                future.cancel()

    def _check_arrived(self, written: Table, moves: bool) -> None:
        """See that what a cluster's workers wrote lies where this process looks."""
        if self.client is None:
            return
        keys = [staged(key) if moves else key for key in written]
        with ThreadPoolExecutor(_LOOKS) as pool:
            there = pool.map(self.store.has, keys)
            lost = [key for key, found in zip(keys, there, strict=True) if not found]
        if lost:
            raise CubeError(
                f"{len(lost)} chunks that the workers wrote are not in {self.store.url}, such as "
                f"{lost[0]}; the cube is as it was. Give a store that this process and all workers "
                "see: a shared folder by its full path, or an s3:// URL"
            )

    def _commit(
        self,
        plan: Plan,
        known: Orbit,
        span: range,
        outcomes: list[Outcome],
        written: Table,
        moves: bool,
    ) -> None:
        profile = self.state.profile
        separator = self._separators(plan, known)[1]
        first = span.start // profile.chunks[0]
        seen = ingest.shares(outcomes, profile)
        rows = []
        for i, entry in enumerate(plan.entries[: span.stop]):
            if entry.step is None:
                rows.append({name: known.timeline[name][entry.kept] for name in TIMELINE})
            else:
                rows.append(self._row(entry.step, *seen[i]))
        before = known.manifest or empty_manifest(profile.layers, profile.chunk_grids)
        stored: dict[str, bytes] = {}
        linked: list[str] = []
        if plan.rewrites:
            before, stored, linked = self._link_unchanged(
                plan.orbit, before, known.separator, first
            )
        last = -(-span.stop // profile.chunks[0])
        new = by_time_chunk(written, profile.layers, range(first, last))
        manifest, tables = before.changed(first, new, profile.chunk_grids)
        orbit = Orbit(timeline_of(rows), separator, plan.rewrites, manifest)
        self._publish(plan.orbit, orbit, plan.first, stored | tables, written, moves, linked)
        self.added[plan.orbit] += sum(plan.entries[i].step is not None for i in span)

    def _publish(
        self,
        number: int,
        orbit: Orbit,
        keep: int,
        tables: dict[str, bytes],
        written: Table,
        moves: bool,
        linked: Iterable[str] = (),
    ) -> None:
        state = replace(self.state, orbits=self.state.orbits | {number: orbit})
        self.store.check_held(self.word)
        self.state = commit(
            self.store,
            state,
            number,
            keep=keep,
            tables=tables,
            written=written,
            moves=moves,
            linked=linked,
        )

    def _mend(self, executor: Executor) -> None:
        """Make chunks again that are missing or damaged, where their scenes are given."""
        noted = read_found(self.store)
        left = []
        for number, orbit in self.state.orbits.items():
            damages = find_damage(self.store, number, orbit, self.state.profile)
            mended = {}
            for damage in damages.chunks:
                written = self._make_again(number, orbit, damage, executor)
                if written is None:
                    left += [damage.lost] if damage.lost else damage.keys
                else:
                    mended[damage.layer, damage.chunk] = damage.table | written
            if mended or damages.documents:
                manifest, tables = orbit.manifest.mended(mended)
                written: Table = dict(ChainMap(*mended.values()))
                self._publish(
                    number,
                    replace(orbit, manifest=manifest),
                    len(orbit.timeline["time"]),
                    tables,
                    written,
                    moves=True,
                )
        self.damaged = tuple(sorted(left))
        if noted:
            write_found(self.store, left) if left else forget_found(self.store)

    def _make_again(
        self, number: int, orbit: Orbit, damage: Damage, executor: Executor
    ) -> Table | None:
        """Make the damaged chunks of a layer and time chunk; None if that cannot be done."""
        depth = self.state.profile.chunks[0]
        first = damage.chunk * depth
        span = range(first, min(first + depth, len(orbit.timeline["time"])))
        slots = slots_of(orbit, span, self.asked.get(number, []))
        base: list[Outcome] = []
        made = Making(
            self.store,
            self.state.profile,
            number,
            orbit.separator,
            self.word,
            self.client is not None,
        )
        if damage.of_level(base=True):
            if slots is None:
                return None
            scenes = [scene for slot in slots for scene in slot.scenes]
            self._each(self.vetting.check, scenes)
            if any(scene.id in self.vetting.failed for scene in scenes):
                return None
            slots = tuple(
                Slot(None, tuple(self.vetting.scene(scene) for scene in slot.scenes))
                for slot in slots
            )
            base = self._run(ingest.run, base_tasks(damage, slots, made), executor, "mending")
            for outcome in base:
                self.refused |= outcome.failed
            made_again = set().union(*(outcome.written for outcome in base))
            unread = any(outcome.failed for outcome in base)
            if unread or not damage.of_level(base=True) <= made_again:  # or without data now
                return None
        coarser = [coarser_task(damage, len(span), made)] if damage.of_level(base=False) else []
        levels = self._run(coarsen, coarser, executor, "mending overviews")
        written: Table = dict(ChainMap(*(outcome.written for outcome in base), *levels))
        return written if damage.keys <= written.keys() else None  # the scenes hold no data now

    def _link_unchanged(
        self, orbit: int, manifest: Manifest, separator: str, chunks: int
    ) -> tuple[Manifest, dict[str, bytes], list[str]]:
        """Link the chunks before the first change to their other names; return these too."""
        other = SEPARATORS[1 - SEPARATORS.index(separator)]
        tables: dict[str, list[Table]] = {}
        linked: list[str] = []
        for layer, names in manifest.tables.items():
            tables[layer] = []
            for name in names[:chunks]:
                table = read_table(self.store, orbit, name)
                renamed = {renamed_chunk(key, other): entry for key, entry in table.items()}
                for source, target in zip(table, renamed, strict=True):
                    self.store.copy(source, target)
                tables[layer].append(renamed)
                linked += renamed
        return *manifest.changed(0, tables, self.state.profile.chunk_grids), linked

    def _list_chunks(self, orbit: int) -> None:
        """Make the manifest of an orbit that an earlier kit wrote, from what is there."""
        known = self.state.orbits.get(orbit)
        if known is None or known.manifest is not None:
            return
        profile = self.state.profile
        keys = [
            key
            for level, layer in itertools.product(range(len(profile.grids)), profile.layers)
            for key in self.store.keys(f"{group_of(orbit, level)}/{layer}")
            if self._is_inside(key, known.separator, level)
        ]
        with ThreadPoolExecutor(_LOOKS) as pool:
            entries = self._bar(pool.map(self._entry, keys), "listing chunks", len(keys))
            table = dict(zip(keys, entries, strict=True))
        chunks = -(-len(known.timeline["time"]) // profile.chunks[0])
        new = by_time_chunk(table, profile.layers, range(chunks))
        empty = empty_manifest(profile.layers, profile.chunk_grids)
        manifest, tables = empty.changed(0, new, profile.chunk_grids)
        steps = len(known.timeline["time"])
        self._publish(orbit, replace(known, manifest=manifest), steps, tables, {}, moves=False)

    def _is_inside(self, key: str, separator: str, level: int) -> bool:
        """Return whether an object is a chunk of a level, in its set of names."""
        if not (is_layer_chunk(key) and is_chunk(key.split("/", 3)[-1], separator)):
            return False
        sizes = self.state.profile.chunk_grids[level]
        index = read_chunk_key(key).index[1:]
        return all(n < size for n, size in zip(index, sizes, strict=True))

    def _entry(self, key: str) -> Entry:
        data = self.store.read(key)
        if data is None or not is_whole(data):
            raise CubeError(
                f"{self.store.path(key)} is damaged, so that no list of whole chunks can be made; "
                "the cube is as it was. Bring that file back from a copy, or build the cube anew"
            )
        return entry_of(data)

    def _row(self, step: Step, valid: float, clear: float) -> dict[str, Any]:
        used = step.without(self.vetting.failed)
        return {
            "time": step.start,
            "platform": step.scenes[0].platform,
            "processing_baseline": " ".join(sorted({s.baseline for s in used}, reverse=True)),
            "products": _names(used),
            "failed": _names(s for s in step.scenes if s.id in self.vetting.failed),
            "corrected": _names(s for s in used if s.id in self.vetting.corrected),
            "clear_fraction": clear,
            "valid_fraction": valid,
        }

    @contextmanager
    def _executor(self) -> Iterator[Executor]:
        if self.client is not None:
            yield self.client.get_executor()
            return
        with ThreadPoolExecutor(CPU_COUNT) as executor:
            yield executor


_LOOKS = 16
"""Objects that are looked for side by side: mostly that is waiting for a disk or a server."""


def _names(scenes: Iterable[Scene]) -> str:
    return " ".join(scene.id for scene in scenes)
