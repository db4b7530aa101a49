"""Check a scene before its pixels enter the cube: all layers there, and its offset true."""

from collections.abc import Iterable
from dataclasses import replace

from dask.system import CPU_COUNT

from s2kit.cube.acquisitions import PlannedStep, Scene, readable
from s2kit.cube.imagery import fetch_masked, gdal, with_own_offsets
from s2kit.cube.ingest import strips
from s2kit.cube.model import CubeSpec
from s2kit.cube.offset import corrected, find_contradictions
from s2kit.cube.workers import Workers
from s2kit.errors import SceneError


class SceneChecks:
    """The checks of one build: scenes as they are to be used, and those that are not.

    Attributes
    ----------
    failed : dict of str to str
        Scenes set aside, with the reason.
    corrected : dict of str to str
        Scenes whose stated offset the pixels contradicted, and whose pixels decided.
    notes : dict of str to str
        Scenes with anything else that was odd, and what was done.
    """

    def __init__(self, spec: CubeSpec):
        self.spec = spec
        self.failed: dict[str, str] = {}
        self.corrected: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self._passed: dict[str, Scene] = {}
        self._probed: set[str] = set()

    def passed(self, step: PlannedStep) -> PlannedStep:
        """Return a step with its scenes as they are to be used, without those that failed."""
        scenes = readable(step.scenes, self.failed)
        return replace(step, scenes=tuple(self._passed[scene.id] for scene in scenes))

    def require_layers(self, scenes: Iterable[Scene]) -> None:
        """Set scenes aside that lack a layer of the cube; nothing is read for that."""
        for scene in scenes:
            absent = [name for name in self.spec.layers if name not in scene.assets]
            if absent:
                why = dict.fromkeys(scene.refused[name] for name in absent if name in scene.refused)
                reason = f" ({'; '.join(why)})" if why else ""
                self.failed[scene.id] = (
                    f"has no {', '.join(absent)}{reason}; it has {', '.join(scene.assets)}. To do "
                    "without, build a cube with fewer bands"
                )

    def check_all(self, scenes: Iterable[Scene], workers: Workers) -> bool:
        """Check scenes side by side; return False if one fails that had not failed before."""
        before = len(self.failed)
        workers.look(self._check, list(scenes), "checking scenes", at_once=CPU_COUNT)
        return len(self.failed) == before

    def probe_all(self, scenes: Iterable[Scene], workers: Workers) -> None:
        """Check scenes that failed before by reading all that the cube needs of them."""
        workers.look(self._probe, list(scenes), "checking scenes", at_once=CPU_COUNT)

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
                for layer in self.spec.layers:
                    for rows in strips(self.spec, layer):
                        fetch_masked(self._passed[scene.id], layer, self.spec.grid, rows)
            self._probed.add(scene.id)
        except SceneError as error:
            self.failed[scene.id] = error.reason
