"""Find what is damaged in a cube, and what can be made again from scenes."""

from collections import ChainMap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from s2kit.cube import ingest
from s2kit.cube.acquisitions import Acquisition, PlannedStep
from s2kit.cube.checked_reads import read_table, read_whole
from s2kit.cube.damaged import read_found
from s2kit.cube.ingest import Target, Task
from s2kit.cube.keys import chunk_key, group_of, is_object, read_chunk_key, table_key
from s2kit.cube.manifest import Table, copies_of, level_flags
from s2kit.cube.model import CubeSpec, Orbit
from s2kit.cube.overviews import CoarserTask, coarsen, nothing_present
from s2kit.cube.scene_checks import SceneChecks
from s2kit.cube.store import Store
from s2kit.cube.workers import Workers
from s2kit.errors import CubeError


@dataclass(frozen=True)
class Damage:
    """What is damaged in one layer and time chunk of an orbit.

    Attributes
    ----------
    table : dict of str to Entry
        All of its chunks; none if the table itself is lost.
    keys : frozenset of str
        Those that are missing or damaged; all of them if the table is lost, since without
        it nobody knows which are whole.
    lost : str
        Name of the table, if it is lost.
    """

    layer: str
    chunk: int
    table: Table
    keys: frozenset[str]
    lost: str = ""


def find_damage(
    store: Store, number: int, orbit: Orbit, spec: CubeSpec
) -> tuple[list[Damage], frozenset[str]]:
    """Return what is missing, has another size, or was noted and is still damaged.

    To see every flipped bit, all of a cube must be read, which `s2kit.verify` does.

    Returns
    -------
    chunks : list of Damage
    documents : frozenset of str
        Coordinates, their copies and metadata, which a commit writes again.
    """
    manifest = orbit.manifest
    sizes: dict[str, int] = {}
    for level in range(len(spec.grids)):
        sizes |= store.sizes(group_of(number, level))
    noted = set(read_found(store))
    damages = []
    for layer, names in manifest.tables.items():
        for chunk, name in enumerate(names):
            try:
                table = read_table(store, number, name)
            except CubeError:
                keys = {
                    chunk_key(number, layer, (chunk, row, col), orbit.separator, level)
                    for level in range(len(spec.grids))
                    for row, col in np.argwhere(
                        level_flags(manifest.present[layer], spec.chunk_grids, level)[chunk]
                    )
                }
                lost = table_key(number, name)
                damages.append(Damage(layer, chunk, {}, frozenset(keys), lost))
                continue
            keys = {
                key
                for key, entry in table.items()
                if sizes.get(key) != entry.size
                or (key in noted and read_whole(store, key, entry) is None)
            }
            if keys:
                damages.append(Damage(layer, chunk, table, frozenset(keys)))
    documents = {key for key in noted if is_object(key)}
    try:
        table = read_table(store, number, manifest.coordinates)
    except CubeError:
        documents.add(table_key(number, manifest.coordinates))
    else:
        listed = table | copies_of(number, table)
        documents |= {key for key, one in listed.items() if sizes.get(key) != one.size}
    return damages, frozenset(documents)


def make_again(
    damage: Damage,
    orbit: Orbit,
    target: Target,
    checks: SceneChecks,
    workers: Workers,
) -> Table | None:
    """Make the damaged chunks of a layer and time chunk again, and stage them.

    Returns None if not all of them can be made from the scenes that are given.
    """
    depth = target.spec.chunks[0]
    first = damage.chunk * depth
    span = range(first, min(first + depth, len(orbit.timeline["time"])))
    written: Table = {}
    bases = {key for key in damage.keys if not read_chunk_key(key).level}
    if bases:
        steps = _steps_as_made(orbit, span, checks.acquisitions.get(target.orbit, []))
        if steps is None:
            return None
        scenes = [scene for step in steps for scene in step.scenes]
        checks.check_all(scenes)
        if any(scene.id in checks.failed for scene in scenes):
            return None
        tasks = _base_tasks(damage, bases, tuple(map(checks.passed, steps)), target)
        outcomes = workers.run(ingest.run, tasks, "mending")
        failed = dict(ChainMap(*(outcome.failed for outcome in outcomes)))
        written = dict(ChainMap(*(outcome.written for outcome in outcomes)))
        if failed or not bases <= written.keys():  # not read, or without data now
            checks.refused |= failed
            return None
    if damage.keys - bases:
        task = _coarser_task(damage, bases, len(span), target)
        written |= workers.run(coarsen, [task], "mending overviews")[0]
    return written if damage.keys <= written.keys() else None


def _steps_as_made(
    orbit: Orbit, span: range, acquisitions: Iterable[Acquisition]
) -> tuple[PlannedStep, ...] | None:
    """Return steps with the scenes that made them; None if not all of these are given."""
    given = {one.start: one for one in acquisitions}
    steps = []
    for i in span:
        start, names = int(orbit.timeline["time"][i]), orbit.timeline["products"][i].split()
        scenes = {scene.id: scene for scene in given[start].scenes} if start in given else {}
        if not set(names) <= scenes.keys():
            return None
        steps.append(PlannedStep(start, None, tuple(scenes[name] for name in names)))
    return tuple(steps)


def _base_tasks(
    damage: Damage, bases: set[str], steps: tuple[PlannedStep, ...], target: Target
) -> list[Task]:
    """Return the tasks that make the damaged chunks of the base."""
    high = target.spec.chunks[1]
    places = {read_chunk_key(key).index[1:] for key in bases}
    return [
        Task(target, damage.layer, damage.chunk, rows, steps, staged=True, only=only)
        for rows in ingest.strips(target.spec, damage.layer)
        if (only := frozenset(p for p in places if rows.start <= p[0] * high < rows.stop))
    ]


def _coarser_task(damage: Damage, bases: set[str], steps: int, target: Target) -> CoarserTask:
    """Return the task that makes the damaged chunks of the coarser levels.

    Those of the base that were damaged are read from where they were just made.
    """
    listed = {key: entry for key, entry in damage.table.items() if not read_chunk_key(key).level}
    present = nothing_present(target.spec)
    for key in listed.keys() | bases:
        present[read_chunk_key(key).index[1:]] = True
    return CoarserTask(
        target,
        damage.layer,
        damage.chunk,
        steps,
        present,
        staged=True,
        known={key: entry for key, entry in listed.items() if key not in bases},
        only=damage.keys - bases,
    )
