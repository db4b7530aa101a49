"""What a build did, in words and tables."""

from dataclasses import dataclass, field

import pandas as pd

from s2kit.credentials import shown_place, without_credentials
from s2kit.cube.keys import group_of, is_chunk
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.state import read_state
from s2kit.cube.storage import open_store
from s2kit.cube.store import Store


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    store : str
        Where the cube is.
    added : dict of int to int
        Steps that were written, by relative orbit; none if the cube had them all.
    steps : dict of int to int
        Steps in the cube now, by relative orbit.
    failed : dict of str to str
        Scenes that were set aside, with the reason. The next build tries them again.
    corrected : dict of str to str
        Scenes whose stated radiometric offset their pixels contradicted.
    outside : tuple of str
        Scenes that do not reach the region.
    notes : dict of str to str
        Scenes that were used, though something in their metadata was odd, with what was done.
    damaged : tuple of str
        Chunks that are missing or damaged, and could not be made again from the scenes given.
    mended : tuple of str
        Objects that were missing or damaged, and are whole now: chunks were made again from the
        scenes, coordinates came from their copies.
    """

    store: str
    added: dict[int, int] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    corrected: dict[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    _place: str = field(init=False, repr=False, compare=False)
    """Of the store, as it can be read."""

    def __post_init__(self):
        told = {name: _told(getattr(self, name)) for name in ("failed", "corrected", "notes")}
        told |= {"outside": tuple(map(without_credentials, self.outside))}
        for name, value in {"_place": self.store, "store": shown_place(self.store), **told}.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        orbits = ", ".join(f"R{orbit:03d}: {n}" for orbit, n in sorted(self.steps.items()))
        lines = [
            f"{self.store}: {sum(self.steps.values())} steps ({orbits}), "
            f"{sum(self.added.values())} written by this build",
            *(
                [f"mended: {len(self.mended)} damaged objects, such as {self.mended[0]}"]
                if self.mended
                else []
            ),
            *(f"set aside: {scene}: {why}" for scene, why in self.failed.items()),
            *(f"corrected: {scene}: {why}" for scene, why in self.corrected.items()),
            *(
                f"odd, in {len(names)} scenes, such as {names[0]}: {why}"
                for why, names in self._noted().items()
            ),
            *(
                f"damaged: {key}: not all scenes of its dates were given and can be read; give "
                "them, or bring this chunk back from a copy"
                for key in self.damaged
            ),
        ]
        return "\n".join(lines)

    def _noted(self) -> dict[str, list[str]]:
        """Collect the scenes of which the same is to be said."""
        scenes: dict[str, list[str]] = {}
        for scene, why in self.notes.items():
            scenes.setdefault(why, []).append(scene)
        return scenes

    def storage(self) -> pd.DataFrame:
        """Measure what each layer takes in the store; overviews are not counted.

        Returns
        -------
        pandas.DataFrame
            One row a layer: ``raw_mb`` (as integers in memory), ``stored_mb``, ``ratio`` of the
            two, number of ``chunks`` stored.
        """
        store = open_store(self._place)
        state = read_state(store)
        pixels = state.spec.grid.shape[0] * state.spec.grid.shape[1]
        steps = sum(len(orbit.timeline["time"]) for orbit in state.orbits.values())
        rows = []
        for name in state.spec.layers:
            sizes = [
                size
                for n, orbit in state.orbits.items()
                for size in _sizes(store, n, name, orbit.separator)
            ]
            raw = pixels * steps * int(LAYER_SPECS[name].dtype[-1])
            stored = sum(sizes)
            rows.append((name, raw / 1e6, stored / 1e6, raw / max(stored, 1), len(sizes)))
        columns = ["layer", "raw_mb", "stored_mb", "ratio", "chunks"]
        return pd.DataFrame(rows, columns=columns).set_index("layer")


def _told(reasons: dict[str, str]) -> dict[str, str]:
    return {without_credentials(k): without_credentials(v) for k, v in reasons.items()}


def _sizes(store: Store, orbit: int, layer: str, separator: str) -> list[int]:
    prefix = f"{group_of(orbit)}/{layer}"
    sizes = {key.removeprefix(f"{prefix}/"): size for key, size in store.sizes(prefix).items()}
    return [size for name, size in sizes.items() if is_chunk(name, separator)]
