"""What is asked of a build: acquisitions, and scenes that cannot be used."""

from collections.abc import Iterable, Mapping

from s2kit.cube.acquisitions import Acquisition, Plan, Scene, make_plan, names_of
from s2kit.cube.items import name_reasons
from s2kit.cube.layers import timeline_types
from s2kit.cube.model import CubeSpec, Orbit, empty_timeline
from s2kit.cube.scene_checks import SceneChecks
from s2kit.cube.workers import Workers
from s2kit.errors import InvalidInputError


class Request:
    """The acquisitions that are to be in a cube.

    Attributes
    ----------
    acquisitions : dict of int to list of Acquisition
        By relative orbit; those that the cube has room for.
    checks : SceneChecks
    refused : dict of str to str
        Scenes that cannot be added, though they can be read, with the reason.
    """

    def __init__(
        self,
        spec: CubeSpec,
        acquisitions: Mapping[int, Iterable[Acquisition]],
        refused: Mapping[str, str],
    ):
        self.checks, self.refused = SceneChecks(spec), dict(refused)
        self._room = int(timeline_types(spec.grid)["products"].removeprefix("<U"))
        self.acquisitions = {
            orbit: [one for one in given if self._has_room(one)]
            for orbit, given in acquisitions.items()
        }

    @property
    def scenes(self) -> list[Scene]:
        """All scenes that are asked for."""
        return [s for given in self.acquisitions.values() for one in given for s in one.scenes]

    def require_layers(self) -> None:
        """Set scenes aside that lack a layer; refuse if these are all, before anything is written.

        Raises
        ------
        InvalidInputError
        """
        scenes = self.scenes
        self.checks.require_layers(scenes)
        if scenes and all(scene.id in self.checks.failed for scene in scenes):
            raise InvalidInputError(
                f"none of the {len(scenes)} scenes can be used: {name_reasons(self.checks.failed)}"
            )

    def retry(self, orbits: Mapping[int, Orbit], workers: Workers) -> None:
        """Try the scenes again that failed in an earlier build."""
        missed = {
            name
            for orbit in orbits.values()
            for names in orbit.timeline["failed"]
            for name in names.split()
        }
        self.checks.probe_all([scene for scene in self.scenes if scene.id in missed], workers)

    def plan(self, orbit: int, known: Orbit | None) -> Plan:
        """Plan what an orbit of the store is to become."""
        timeline = known.timeline if known else empty_timeline()
        plan = make_plan(orbit, timeline, self.acquisitions[orbit], self.checks.failed)
        self.refused |= plan.refused
        return plan

    def _has_room(self, acquisition: Acquisition) -> bool:
        """Return whether the cube can keep the names of the products; refuse them if not."""
        if len(names_of(acquisition.scenes)) <= self._room:
            return True
        reason = (
            f"belongs to a step of {len(acquisition.scenes)} products, whose names take more than "
            f"the {self._room} characters that this cube keeps; leave older reprocessings out"
        )
        self.refused |= {scene.id: reason for scene in acquisition.scenes}
        return False
