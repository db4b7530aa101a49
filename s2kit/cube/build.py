"""Build a cube: scenes into a store, safe to repeat, safe to kill."""

import os
import warnings
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pystac

from s2kit.cube import ingest
from s2kit.cube.acquisitions import Plan, PlannedStep, group_into_acquisitions, timeline_row
from s2kit.cube.build_options import BuildOptions, check_same_spec, new_spec
from s2kit.cube.commit import claim, clear_up, commit, link_kept, redo, remove_retired
from s2kit.cube.damaged import has_note, write_found
from s2kit.cube.ingest import Outcome, Target, Task
from s2kit.cube.items import check_origin, name_reasons, read_items, read_scenes, require_reach
from s2kit.cube.keys import other_separator, staged
from s2kit.cube.layers import TIMELINE
from s2kit.cube.lock import check_held, lock
from s2kit.cube.manifest import Table, by_time_chunk, empty_manifest
from s2kit.cube.mending import find_damage, make_again
from s2kit.cube.model import Orbit, State, Timeline, empty_timeline, timeline_of
from s2kit.cube.overviews import coarsen, coarser_tasks
from s2kit.cube.report import BuildReport
from s2kit.cube.scene_checks import SceneChecks
from s2kit.cube.state import read_state
from s2kit.cube.storage import open_to_write
from s2kit.cube.store import Store
from s2kit.cube.workers import Workers
from s2kit.errors import CubeError, InvalidInputError, SceneWarning
from s2kit.grid import outline_of
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
    target = open_to_write(store)
    found = read_items(items)
    state = read_state(target)
    if state is None and aoi is not None:
        require_reach(found, read_aoi(aoi))
    options = BuildOptions(aoi, crs, resolution, bands, resampling, chunks, overviews)
    scenes, odd = read_scenes(found)
    if state is None:
        spec = new_spec(options, list(scenes.values()))
        state = State(spec, any(scene.synthetic for scene in scenes.values()), {})
    else:
        check_same_spec(options, state.spec)
    reach = require_reach(found, outline_of(state.spec.grid, state.spec.area))
    inside = [scene for name, scene in scenes.items() if name in reach]
    check_origin(state, inside)
    workers = Workers(client, progress)
    checks = SceneChecks(state.spec, group_into_acquisitions(inside), odd, workers)
    checks.require_layers()
    build = _Build(target, state, checks, workers)
    if not build.is_finished():
        with lock(target) as build.lock_token:
            redo(target)
            new = read_state(target) is None
            build.state = claim(target, state)
            try:
                build.run()
            finally:
                clear_up(target)
            build.require_pixels(new)
    return build.report(outside=tuple(name for name in scenes if name not in reach))


class _Build:
    """One run: the state of the store, what is asked of it, and what is done."""

    def __init__(self, store: Store, state: State, checks: SceneChecks, workers: Workers):
        self.store, self.state, self.checks, self.workers = store, state, checks, workers
        self.added: Counter[int] = Counter()
        self.damaged: tuple[str, ...] = ()
        self.mended: tuple[str, ...] = ()
        self.lock_token = ""

    def is_finished(self) -> bool:
        """Return whether there is nothing to write; only looks."""
        if self.store.is_disturbed():
            return False
        spec = self.state.spec
        if any(any(find_damage(self.store, n, one, spec)) for n, one in self.state.orbits.items()):
            return False
        self.checks.retry(self.state.orbits)
        return not any(self._plan(orbit).changes for orbit in self.checks.acquisitions)

    def _plan(self, orbit: int) -> Plan:
        return self.checks.plan(orbit, self.state.orbits.get(orbit))

    def run(self) -> None:
        """Bring the store up to what is asked, one commit after another."""
        self.checks.retry(self.state.orbits)
        with self.workers.started():
            self._mend()
            for orbit in self.checks.acquisitions:
                self._prepare(self._plan(orbit))
                while (plan := self._plan(orbit)).changes:
                    self._advance(plan)

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
            f"no scene could be read, so there is no cube: {name_reasons(self.checks.failed)}. "
            "Mend what is named, or give other scenes"
        )

    def report(self, outside: tuple[str, ...]) -> BuildReport:
        """Return what was done; warn of what went wrong."""
        failed = dict(sorted((self.checks.failed | self.checks.refused).items()))
        corrected = dict(sorted(self.checks.corrected.items()))
        if failed or corrected or self.damaged:
            names = [*failed, *corrected, *self.damaged]
            warnings.warn(
                f"scenes set aside: {len(failed)}, offsets corrected: {len(corrected)}, damaged "
                f"chunks: {len(self.damaged)} "
                f"({', '.join(names[:3])}{' …' if len(names) > 3 else ''}); see the report",
                SceneWarning,
                stacklevel=3,
            )
        return BuildReport(
            self.store.url,
            dict(self.added),
            {n: len(orbit.timeline["time"]) for n, orbit in self.state.orbits.items()},
            failed,
            corrected,
            outside,
            dict(sorted(self.checks.notes.items())),
            self.damaged,
            self.mended,
        )

    def _prepare(self, plan: Plan) -> None:
        """Remove old chunks: retired by an earlier commit, or left by a rewrite that died."""
        known = self.state.orbits.get(plan.orbit)
        if known and plan.changes and (known.retired or plan.rewrites):
            remove_retired(self.store, plan.orbit, known.separator, self.state.spec)

    def _advance(self, plan: Plan) -> None:
        """Write the next time chunk, or all that moves; commit it if every scene could be read."""
        spec = self.state.spec
        depth = spec.chunks[0]
        known = self.state.orbits.get(plan.orbit)
        if known is None:
            known = Orbit(empty_timeline(), empty_manifest(spec.layers, spec.chunk_grids))
        first = plan.first // depth
        last = -(-len(plan.steps) // depth) if plan.rewrites else first + 1
        steps = plan.steps[: last * depth]
        made = steps[first * depth :]
        if not self.checks.check_all([s for step in made for s in step.scenes]):
            return
        separator = other_separator(known.separator) if plan.rewrites else known.separator
        target = self._target(plan.orbit, separator)
        tasks = list(self._tasks(plan, known, target, range(first, last)))
        outcomes = self.workers.run(ingest.run, tasks, f"orbit {plan.orbit}")
        failed = ChainMap(*(outcome.failed for outcome in outcomes))
        if failed:
            self.checks.failed |= failed
            return
        moves = any(task.staged for task in tasks)
        written = self._finish(outcomes, moves)
        before = known.manifest
        stored: dict[str, bytes] = {}
        linked: list[str] = []
        if plan.rewrites:
            before, stored, linked = link_kept(
                self.store, plan.orbit, before, known.separator, first, spec
            )
        new = by_time_chunk(written, spec.layers, range(first, last))
        manifest, tables = before.changed(first, new, spec.chunk_grids)
        timeline = self._timeline(steps, known, outcomes)
        self.state = commit(
            self.store,
            self._changed(plan.orbit, Orbit(timeline, manifest, separator, plan.rewrites)),
            plan.orbit,
            keep=plan.first,
            tables=stored | tables,
            written=written,
            moves=moves,
            linked=linked,
        )
        self.added[plan.orbit] += sum(step.kept is None for step in made)

    def _target(self, orbit: int, separator: str) -> Target:
        spec, remote = self.state.spec, self.workers.remote
        return Target(self.store, spec, orbit, separator, self.lock_token, sync=remote)

    def _tasks(self, plan: Plan, known: Orbit, target: Target, chunks: range) -> Iterator[Task]:
        spec = self.state.spec
        depth = spec.chunks[0]
        for chunk in chunks:
            steps = tuple(map(self.checks.passed, plan.steps[chunk * depth : (chunk + 1) * depth]))
            moves = not plan.rewrites and any(step.kept is not None for step in steps)
            for layer in spec.layers:
                tables = known.manifest.tables[layer]
                for rows in ingest.strips(spec, layer):
                    yield Task(target, layer, chunk, rows, steps, known.separator, tables, moves)

    def _finish(self, outcomes: list[Outcome], moves: bool) -> Table:
        """Make the overviews of what the tasks wrote; return the chunks of all levels."""
        base: Table = dict(ChainMap(*(outcome.written for outcome in outcomes)))
        self._check_arrived(base, moves)
        with ThreadPoolExecutor(1) as meanwhile:  # the commit has less to wait for then
            synced = meanwhile.submit(self.store.sync, [staged(k) if moves else k for k in base])
            coarser = self.workers.run(coarsen, coarser_tasks(outcomes), "overviews")
            synced.result()
        levels: Table = dict(ChainMap(*coarser))
        self._check_arrived(levels, moves)
        return base | levels

    def _check_arrived(self, written: Table, moves: bool) -> None:
        """Check that what a cluster's workers wrote lies where this process looks."""
        if not self.workers.remote:
            return
        keys = [staged(key) if moves else key for key in written]
        there = self.workers.look(self.store.has, keys, "checking chunks")
        lost = [key for key, found in zip(keys, there, strict=True) if not found]
        if lost:
            raise CubeError(
                f"{len(lost)} chunks that the workers wrote are not in {self.store.url}, such as "
                f"{lost[0]}; the cube is as it was. Give a store that this process and all workers "
                "see: a shared folder by its full path, or an s3:// URL"
            )

    def _timeline(
        self, steps: Iterable[PlannedStep], known: Orbit, outcomes: list[Outcome]
    ) -> Timeline:
        """Return the coordinates along time of steps that stay, and of those that were made."""
        seen = ingest.shares(outcomes, self.state.spec)
        return timeline_of(
            [
                {name: known.timeline[name][step.kept] for name in TIMELINE}
                if step.kept is not None
                else timeline_row(step, self.checks.failed, self.checks.corrected) | seen[i]
                for i, step in enumerate(steps)
            ]
        )

    def _changed(self, number: int, orbit: Orbit) -> State:
        """Return the state with a new or changed orbit, to be committed under the lock."""
        check_held(self.store, self.lock_token)
        return replace(self.state, orbits=self.state.orbits | {number: orbit})

    def _mend(self) -> None:
        """Make chunks again that are missing or damaged, where their scenes are given."""
        noted = has_note(self.store)
        left: list[str] = []
        whole: set[str] = set()
        for number, orbit in self.state.orbits.items():
            damages, documents = find_damage(self.store, number, orbit, self.state.spec)
            target = self._target(number, orbit.separator)
            mended: dict[tuple[str, int], Table] = {}
            for damage in damages:
                written = make_again(damage, orbit, target, self.checks, self.workers)
                if written is None:
                    left += [damage.lost] if damage.lost else damage.keys
                else:
                    mended[damage.layer, damage.chunk] = damage.table | written
                    whole |= damage.keys
            whole |= documents
            if mended or documents:
                manifest, tables = orbit.manifest.mended(mended)
                chunks: Table = dict(ChainMap(*mended.values()))
                self.state = commit(
                    self.store,
                    self._changed(number, replace(orbit, manifest=manifest)),
                    number,
                    keep=len(orbit.timeline["time"]),
                    tables=tables,
                    written=chunks,
                    moves=True,
                )
        self.damaged, self.mended = tuple(sorted(left)), tuple(sorted(whole))
        if noted:
            write_found(self.store, left)
