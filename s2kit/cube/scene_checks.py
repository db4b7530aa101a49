"""The scenes that a build is given, and their checks: all layers there, and the offset true."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dask.system import CPU_COUNT

from s2kit.cube.acquisitions import (
    Acquisition,
    Plan,
    PlannedStep,
    Scene,
    make_plan,
    names_of,
    readable,
)
from s2kit.cube.imagery import fetch_masked, gdal, with_own_offsets
from s2kit.cube.ingest import strips
from s2kit.cube.items import name_reasons
from s2kit.cube.layers import timeline_types
from s2kit.cube.model import CubeSpec, Orbit, empty_timeline
from s2kit.cube.offset import corrected, find_contradictions
from s2kit.cube.workers import Workers
from s2kit.errors import InvalidInputError, SceneError


class SceneChecks:
    """The scenes of one build as they are to be used, and those that are not.

    Attributes
    ----------
    acquisitions : dict of int to list of Acquisition
        By relative orbit; those that the cube has room for.
    refused : dict of str to str
        Scenes that cannot be added, though they can be read, with the reason.
    failed : dict of str to str
        Scenes set aside, with the reason.
    corrected : dict of str to str
        Scenes whose stated offset the pixels contradicted, and whose pixels decided.
    notes : dict of str to str
        Scenes with anything else that was odd, and what was done.
    """

    def __init__(
        self,
        spec: CubeSpec,
        acquisitions: Mapping[int, Iterable[Acquisition]],
        refused: Mapping[str, str],
        workers: Workers,
    ):
        self._spec, self._workers = spec, workers
        self.refused = dict(refused)
        self.failed: dict[str, str] = {}
        self.corrected: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self._passed: dict[str, Scene] = {}
        self._probed: set[str] = set()
        self.acquisitions = {
            orbit: [one for one in given if self._has_room(one)]
            for orbit, given in acquisitions.items()
        }

    def _has_room(self, acquisition: Acquisition) -> bool:
        """Return whether the cube can keep the names of the products; refuse them if not."""
        room = int(timeline_types(self._spec.grid)["products"].removeprefix("<U"))
        if len(names_of(acquisition.scenes)) <= room:
            return True
        reason = (
            f"belongs to a step of {len(acquisition.scenes)} products, whose names take more than "
            f"the {room} characters that this cube keeps; leave older reprocessings out"
        )
        self.refused |= {scene.id: reason for scene in acquisition.scenes}
        return False

    def _scenes(self) -> list[Scene]:
        return [s for given in self.acquisitions.values() for one in given for s in one.scenes]

    def require_layers(self) -> None:
        """Set scenes aside that lack a layer; refuse if these are all, before anything is written.

        Raises
        ------
        InvalidInputError
        """
        scenes = self._scenes()
        for scene in scenes:
            absent = [name for name in self._spec.layers if name not in scene.assets]
            if absent:
                why = dict.fromkeys(scene.refused[name] for name in absent if name in scene.refused)
                reason = f" ({'; '.join(why)})" if why else ""
                self.failed[scene.id] = (
                    f"has no {', '.join(absent)}{reason}; it has {', '.join(scene.assets)}. To do "
                    "without, build a cube with fewer bands"
                )
        if scenes and all(scene.id in self.failed for scene in scenes):
            raise InvalidInputError(
                f"none of the {len(scenes)} scenes can be used: {name_reasons(self.failed)}"
            )

    def plan(self, orbit: int, known: Orbit | None) -> Plan:
        """Plan what an orbit of the store is to become."""
        timeline = known.timeline if known else empty_timeline()
        plan = make_plan(orbit, timeline, self.acquisitions[orbit], self.failed)
        self.refused |= plan.refused
        return plan

    def passed(self, step: PlannedStep) -> PlannedStep:
        """Return a step with its scenes as they are to be used, without those that failed."""
        scenes = readable(step.scenes, self.failed)
        return replace(step, scenes=tuple(self._passed[scene.id] for scene in scenes))

    def check_all(self, scenes: Iterable[Scene]) -> bool:
        """Check scenes side by side; return False if one fails that had not failed before."""
        before = len(self.failed)
        self._workers.look(self._check, list(scenes), "checking scenes", at_once=CPU_COUNT)
        return len(self.failed) == before

    def retry(self, orbits: Mapping[int, Orbit]) -> None:
        """Check scenes that failed in an earlier build by reading all that the cube needs."""
        missed = {
            name
            for orbit in orbits.values()
            for names in orbit.timeline["failed"]
            for name in names.split()
        }
        scenes = [scene for scene in self._scenes() if scene.id in missed]
        self._workers.look(self._probe, scenes, "checking scenes", at_once=CPU_COUNT)

    def _check(self, scene: Scene) -> None:
        """Check a scene's offset, once."""
        if scene.id in self._passed or scene.id in self.failed:
            return
        notes = list(scene.notes)
        try:
            with gdal():
                scene = with_own_offsets(scene)
                for contradiction in find_contradictions(scene):
                    if contradiction.decides:
                        self.corrected[scene.id] = str(contradiction)
                        scene = corrected(scene, contradiction)
                    else:
                        notes.append(str(contradiction))
        except SceneError as error:
            self.failed[scene.id] = error.reason
            return
        if notes:
            self.notes[scene.id] = "; ".join(notes)
        self._passed[scene.id] = scene

    def _probe(self, scene: Scene) -> None:
        self._check(scene)
        if scene.id in self.failed or scene.id in self._probed:
            return
        try:
            with gdal():
                for layer in self._spec.layers:
                    for rows in strips(self._spec, layer):
                        fetch_masked(self._passed[scene.id], layer, self._spec.grid, rows)
            self._probed.add(scene.id)
        except SceneError as error:
            self.failed[scene.id] = error.reason
