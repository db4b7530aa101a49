"""Stores before and after a change, for the tests that disturb it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from children import OPENERS, Steps, steps_of
from small_scenes import AOI

SMALL = {"aoi": AOI, "chunks": (2, 128, 128), "bands": ["B04"]}
"""As few objects as possible, for the tests that fail at each one of them."""

DEEP = SMALL | {"resolution": 3, "chunks": (2, 256, 256)}
"""The same with a coarser level: 4 chunks of the base, 1 of the level."""

SCENARIOS = {
    "new": ((), (0, 1)),
    "append": ((0, 1, 2), (3,)),
    "late": ((0, 1, 3, 4), (2,)),
}
"""Days that a store has, and days that are then added."""


@dataclass(frozen=True)
class Scenario:
    """A store without and with some scenes, and how often their build changes it."""

    options: dict
    old: Path | None
    items: list
    new: Path
    changes: int

    def begin(self, store: Path) -> Path:
        """Start from the old store, or from nothing."""
        if self.old is not None:
            shutil.copytree(self.old, store)
        return store

    def moments(self) -> list[int]:
        """Choose changes to disturb: every one of the commit, and some of what comes before."""
        commit = max(self.changes - 60, 1)
        return [*range(1, commit, 6), *range(commit, self.changes + 1)]

    def allowed(self, opener: str) -> list[Steps | None]:
        """Return what readers may see: old, old up to the first change, new."""
        after = whole(self.new, opener)
        if self.old is None:
            return [None, (), after]
        before = whole(self.old, opener)
        same = [a == b for a, b in zip(before, after, strict=False)]
        return [before, before[: same.index(False) if False in same else None], after]


def whole(store: Path, opener: str = "s2kit") -> Steps | None:
    """Return all steps of a cube."""
    return steps_of(OPENERS[opener](store))
