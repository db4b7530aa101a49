"""What a build did, in words and tables."""

import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from s2kit.credentials import shown_place, without_credentials
from s2kit.cube.keys import group_of, is_chunk
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.state import State, read_state
from s2kit.cube.storage import open_store
from s2kit.cube.store import Store
from s2kit.errors import CubeError


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
        shown: dict[str, Any] = {"_place": self.store, "store": shown_place(self.store)}
        for name in ("failed", "corrected", "notes"):
            reasons = getattr(self, name).items()
            shown[name] = {without_credentials(k): without_credentials(v) for k, v in reasons}
        shown["outside"] = tuple(map(without_credentials, self.outside))
        for name, value in shown.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        orbits = ", ".join(f"R{orbit:03d}: {n}" for orbit, n in sorted(self.steps.items()))
        lines = [
            f"{self.store}: {sum(self.steps.values())} steps ({orbits}), "
            f"{sum(self.added.values())} written by this build"
        ]
        if self.mended:
            lines.append(f"mended: {len(self.mended)} damaged objects, such as {self.mended[0]}")
        lines += [f"set aside: {scene}: {why}" for scene, why in self.failed.items()]
        lines += [f"corrected: {scene}: {why}" for scene, why in self.corrected.items()]
        odd: dict[str, list[str]] = {}
        for scene, why in self.notes.items():
            odd.setdefault(why, []).append(scene)
        lines += [
            f"odd, in {len(names)} scenes, such as {names[0]}: {why}" for why, names in odd.items()
        ]
        lines += [
            f"damaged: {key}: not all scenes of its dates were given and can be read; give "
            "them, or bring this chunk back from a copy"
            for key in self.damaged
        ]
        return "\n".join(lines)

    def storage(self) -> pd.DataFrame:
        """Measure what the chunks of each layer take in the store.

        Returns
        -------
        pandas.DataFrame
            One row a layer: ``raw_mb`` (as integers in memory), ``stored_mb``, ``ratio`` of the
            two, number of ``chunks`` stored, and ``overviews_mb`` (the coarser levels).

        Raises
        ------
        CubeError
            If the cube is no longer there.
        """
        store, state = self._opened()
        steps = sum(len(orbit.timeline["time"]) for orbit in state.orbits.values())
        rows = []
        for name in state.spec.layers:
            levels = [
                [
                    size
                    for number, orbit in state.orbits.items()
                    for key, size in store.sizes(f"{group_of(number, level)}/{name}").items()
                    if is_chunk(key.split("/", 3)[-1], orbit.separator)
                ]
                for level in range(len(state.spec.grids))
            ]
            base, *coarser = levels
            raw = steps * math.prod(state.spec.grid.shape) * int(LAYER_SPECS[name].dtype[-1])
            stored, overviews = sum(base), sum(map(sum, coarser))
            rows.append(
                (name, raw / 1e6, stored / 1e6, raw / max(stored, 1), len(base), overviews / 1e6)
            )
        columns = ["layer", "raw_mb", "stored_mb", "ratio", "chunks", "overviews_mb"]
        return pd.DataFrame(rows, columns=columns).set_index("layer")

    def size(self) -> int:
        """Measure all objects of the store: chunks, overviews, coordinates and metadata.

        Returns
        -------
        int
            Bytes.

        Raises
        ------
        CubeError
            If the cube is no longer there.
        """
        store, _ = self._opened()
        return sum(store.sizes("").values())

    def _opened(self) -> tuple[Store, State]:
        store = open_store(self._place)
        state = read_state(store)
        if state is None:
            raise CubeError(f"{self.store} holds no cube any more; build it again, or open it anew")
        return store, state
