"""Look at a scene before its pixels enter the cube: all layers there, and its offset true."""

from odc.geo.geobox import GeoBox

from s2kit.cube.ingest import strips
from s2kit.cube.layout import LAYER, Profile
from s2kit.cube.offset import STORED_SCALE, corrected, stated_offset, true_offset
from s2kit.cube.source import fetch_masked, gdal
from s2kit.cube.steps import Scene
from s2kit.errors import SceneError
from s2kit.scenes.item import BANDS


class Vetting:
    """The verdicts of one build: scenes as they are to be used, and those that are not.

    Attributes
    ----------
    failed : dict of str to str
        Scenes set aside, with the reason.
    corrected : dict of str to str
        Scenes whose stated offset the pixels contradicted.
    """

    def __init__(self, profile: Profile):
        self.profile = profile
        self.failed: dict[str, str] = {}
        self.corrected: dict[str, str] = {}
        self._passed: dict[str, Scene] = {}
        self._probed: set[str] = set()

    def scene(self, scene: Scene) -> Scene:
        """Give a checked scene as it is to be used."""
        return self._passed[scene.id]

    def check(self, scene: Scene) -> None:
        """Check a scene's layers, scales and offset, once."""
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
                _read_all(scene, self.profile)
                self._probed.add(scene.id)
        except SceneError as error:
            self.failed[scene.id] = error.reason

    def _checked(self, scene: Scene) -> Scene:
        _check_layers(scene, self.profile.layers)
        stated = stated_offset(scene)
        true = self._true_offset(scene)
        if true is None or stated is None or true == stated:
            return scene
        self.corrected[scene.id] = (
            f"its metadata ask for an offset of {stated:g}, its pixels over vegetation and water "
            f"show {true:g} (reflectance); {true:g} was applied"
        )
        return corrected(scene, true)

    def _true_offset(self, scene: Scene) -> float | None:
        try:
            with gdal():
                return true_offset(scene, self.profile.grid)
        except SceneError:
            if set(BANDS) & set(scene.assets) <= set(self.profile.layers):
                raise
            return None  # what the cube does not need may be unreadable


def _check_layers(scene: Scene, layers: tuple[str, ...]) -> None:
    absent = [name for name in layers if name not in scene.assets]
    if absent:
        raise SceneError(
            scene.id,
            f"has no {', '.join(absent)}; it has {', '.join(scene.assets)}. To do without, build "
            "a cube with fewer bands",
        )
    for name in layers:
        asset, expected = scene.assets[name], STORED_SCALE if name in BANDS else LAYER[name].scale
        if abs(asset.scale / expected - 1) > 1e-6 and name not in ("SCL", "CLD", "SNW"):
            raise SceneError(
                scene.id, f"{name} has scale {asset.scale:g}; {expected:g} is what Level-2A has"
            )
    if len({scene.assets[name].offset for name in layers if name in BANDS}) > 1:
        raise SceneError(scene.id, "its bands have different offsets; Level-2A has one for all")


def _read_all(scene: Scene, profile: Profile) -> None:
    grid: GeoBox = profile.grid
    with gdal():
        for layer in profile.layers:
            for rows in strips(profile, layer):
                fetch_masked(scene, layer, grid, rows)
