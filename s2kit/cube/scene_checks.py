"""Check a scene before its pixels enter the cube: all layers there, and its offset true."""

from collections.abc import Iterable

from dask.system import CPU_COUNT
from odc.geo.geobox import GeoBox

from s2kit.cube.acquisitions import Scene, readable
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

    def passed(self, scenes: Iterable[Scene]) -> tuple[Scene, ...]:
        """Return scenes that were checked, as they are to be used, without those that failed."""
        return tuple(self._passed[scene.id] for scene in readable(scenes, self.failed))

    def require_layers(self, scene: Scene) -> None:
        """Set a scene aside that lacks a layer of the cube; nothing is read for that."""
        try:
            _check_layers(scene, self.spec.layers)
        except SceneError as error:
            self.failed[scene.id] = error.reason

    def check_all(self, scenes: Iterable[Scene], workers: Workers) -> bool:
        """Check scenes side by side; return False if one fails that had not failed before."""
        before = len(self.failed)
        workers.look(self.check, list(scenes), "checking scenes", at_once=CPU_COUNT)
        return len(self.failed) == before

    def probe_all(self, scenes: Iterable[Scene], workers: Workers) -> None:
        """Check scenes that failed before by reading all that the cube needs of them."""
        workers.look(self.probe, list(scenes), "checking scenes", at_once=CPU_COUNT)

    def check(self, scene: Scene) -> None:
        """Check a scene's offset, once."""
        if scene.id in self._passed or scene.id in self.failed:
            return
        try:
            self._passed[scene.id] = self._checked(scene)
        except SceneError as error:
            self.failed[scene.id] = error.reason

    def probe(self, scene: Scene) -> None:
        """Check a scene that failed before by reading all that the cube needs of it."""
        self.check(scene)
        try:
            if scene.id not in self.failed and scene.id not in self._probed:
                _read_all(self._passed[scene.id], self.spec)
                self._probed.add(scene.id)
        except SceneError as error:
            self.failed[scene.id] = error.reason

    def _checked(self, scene: Scene) -> Scene:
        notes = list(scene.notes)
        with gdal():
            scene = with_own_offsets(scene)
            for contradiction in find_contradictions(scene):
                if contradiction.decides:
                    self.corrected[scene.id] = str(contradiction)
                    scene = corrected(scene, contradiction)
                else:
                    notes.append(str(contradiction))
        if notes:
            self.notes[scene.id] = "; ".join(notes)
        return scene


def _check_layers(scene: Scene, layers: tuple[str, ...]) -> None:
    absent = [name for name in layers if name not in scene.assets]
    if absent:
        why = [scene.refused[name] for name in absent if name in scene.refused]
        reason = f" ({'; '.join(dict.fromkeys(why))})" if why else ""
        raise SceneError(
            scene.id,
            f"has no {', '.join(absent)}{reason}; it has {', '.join(scene.assets)}. To do "
            "without, build a cube with fewer bands",
        )


def _read_all(scene: Scene, spec: CubeSpec) -> None:
    grid: GeoBox = spec.grid
    with gdal():
        for layer in spec.layers:
            for rows in strips(spec, layer):
                fetch_masked(scene, layer, grid, rows)
