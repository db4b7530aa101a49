"""Scenes become time steps: which scenes make a step, in which order, what a store still lacks."""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pystac

from s2kit.cube.layout import TIMELINE, is_text
from s2kit.errors import InvalidInputError
from s2kit.scenes.product import ProductName, read_utc


@dataclass(frozen=True)
class Asset:
    """One band of a scene: where its pixels are, and what turns them into physical values."""

    href: str
    scale: float
    offset: float


@dataclass(frozen=True)
class Scene:
    """One product, as ingest needs it.

    Attributes
    ----------
    id : str
        Product name.
    orbit : int
        Relative orbit.
    start : int
        Start of the datatake, seconds since 1970-01-01 UTC.
    platform, tile, baseline, generation : str
        As in the product's metadata.
    assets : dict of str to Asset
        By layer name.
    """

    id: str
    orbit: int
    start: int
    platform: str
    tile: str
    baseline: str
    generation: str
    synthetic: bool
    assets: dict[str, Asset] = field(hash=False, compare=False)

    @classmethod
    def from_item(cls, item: pystac.Item) -> "Scene":
        """Read a canonical item (`s2kit.scenes.item`)."""
        try:
            return cls(**_read_properties(item), assets=_read_assets(item))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError(
                f"item {item.id} lacks what s2kit.find_scenes gives ({type(error).__name__}: "
                f"{error}); pass the items that it returns"
            ) from error


def _read_properties(item: pystac.Item) -> dict[str, Any]:
    properties = item.properties
    baseline, orbit = properties["s2:processing_baseline"], properties["sat:relative_orbit"]
    if not re.fullmatch(r"\d\d\.\d\d", baseline):
        raise ValueError(f"processing baseline {baseline!r} is not like '05.09'")
    if isinstance(orbit, bool) or int(orbit) != orbit or not 1 <= orbit <= 143:
        raise ValueError(f"relative orbit {orbit!r} is not 1 to 143")
    if not re.fullmatch(r"[^\s\0]+", item.id):
        raise ValueError(f"id {item.id!r} is not one word")
    start = read_utc(properties["s2kit:datatake_start"])
    if not 2015 <= start.year < 2100:
        raise ValueError(f"datatake start {start} is not of Sentinel-2's time")
    return {
        "id": item.id,
        "orbit": int(orbit),
        "start": int(start.timestamp()),
        "platform": properties["platform"].lower(),
        "tile": properties["grid:code"].removeprefix("MGRS-"),
        "baseline": baseline,
        "generation": str(properties.get("s2:generation_time", "")),
        "synthetic": bool(properties.get("s2kit:synthetic", False)),
    }


def _read_assets(item: pystac.Item) -> dict[str, Asset]:
    assets = {}
    for name, asset in item.assets.items():
        scale, offset = (asset.extra_fields.get(f"raster:{n}", d) for n, d in _NO_CHANGE)
        if not (math.isfinite(scale) and math.isfinite(offset) and abs(offset) <= 1):
            raise ValueError(f"{name} has scale {scale} and offset {offset}")
        if asset.extra_fields.get("nodata", 0) != 0:
            raise ValueError(f"{name} marks no data by {asset.extra_fields['nodata']}, not by 0")
        if not isinstance(asset.href, str):
            raise ValueError(f"{name} lies at {asset.href!r}")
        assets[name] = Asset(asset.href, float(scale), float(offset))
    return assets


_NO_CHANGE = (("scale", 1.0), ("offset", 0.0))


@dataclass(frozen=True)
class Step:
    """One overpass: all scenes of one datatake on one relative orbit, in the order of filling."""

    orbit: int
    start: int
    scenes: tuple[Scene, ...]

    def without(self, failed: Collection[str]) -> tuple[Scene, ...]:
        """Give the scenes that can be read."""
        return tuple(s for s in self.scenes if s.id not in failed)


def group_scenes(scenes: Iterable[Scene]) -> dict[int, list[Step]]:
    """Group scenes into steps.

    Returns
    -------
    dict of int to list of Step
        By relative orbit; the steps of each in order of time. In a step, tile after tile; within a
        tile the newest baseline first, then the latest generation: older ones fill what it lacks.
    """
    overpasses: dict[tuple[int, int], dict[str, Scene]] = defaultdict(dict)
    for scene in scenes:
        overpasses[scene.orbit, scene.start].setdefault(scene.id, scene)
    orbits: dict[int, list[Step]] = defaultdict(list)
    for (orbit, start), members in sorted(overpasses.items()):
        newest_first = sorted(
            members.values(), key=lambda s: (s.baseline, s.generation, s.id), reverse=True
        )
        ordered = sorted(newest_first, key=lambda s: s.tile)
        orbits[orbit].append(Step(orbit, start, tuple(ordered)))
    return dict(orbits)


Timeline = dict[str, np.ndarray]
"""The coordinates along time of one orbit, by the names in `layout.TIMELINE`."""


def empty_timeline() -> Timeline:
    """Give the timeline of an orbit that is not in the store yet."""
    return timeline_of([])


def timeline_of(rows: list[dict[str, Any]]) -> Timeline:
    """Make a timeline from its steps; text is kept as Python's own, without a width."""
    return {
        name: np.array([row[name] for row in rows], "O" if is_text(dtype) else dtype)
        for name, (dtype, _) in TIMELINE.items()
    }


@dataclass(frozen=True)
class Entry:
    """One step of the cube to be: an old one kept, or one to be made from scenes."""

    start: int
    kept: int | None
    step: Step | None


@dataclass(frozen=True)
class Plan:
    """What one orbit is to become.

    Attributes
    ----------
    entries : tuple of Entry
        All steps, in order of time.
    first : int
        Index of the first step that is not as it was.
    rewrites : bool
        Whether a step that readers know moves or changes.
    refused : dict of str to str
        Scenes that cannot be added to a step, and why.
    """

    orbit: int
    entries: tuple[Entry, ...]
    first: int
    rewrites: bool
    refused: dict[str, str]

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.first < len(self.entries)


def make_plan(orbit: int, timeline: Timeline, steps: list[Step], failed: Collection[str]) -> Plan:
    """Compare what is asked with what is there.

    Parameters
    ----------
    orbit : int
        Relative orbit.
    timeline : Timeline
        What the store holds.
    steps : list of Step
        What is asked.
    failed : collection of str
        Scenes known to be unreadable now.
    """
    index = {int(t): i for i, t in enumerate(timeline["time"])}
    entries = {t: Entry(t, i, None) for t, i in index.items()}
    refused: dict[str, str] = {}
    for step in steps:
        if step.start not in index:
            entries[step.start] = Entry(step.start, None, step)
            continue
        at = index[step.start]
        reasons, changed = _compare(step, timeline, at, failed)
        refused |= reasons
        if changed:
            entries[step.start] = Entry(step.start, None, step)
    ordered = tuple(entries[t] for t in sorted(entries))
    first = next((i for i, e in enumerate(ordered) if e.kept != i), len(ordered))
    return Plan(orbit, ordered, first, first < len(index), refused)


def _compare(
    step: Step, timeline: Timeline, at: int, failed: Collection[str]
) -> tuple[dict[str, str], bool]:
    used = set(timeline["products"][at].split())
    missed = set(timeline["failed"][at].split())
    given = {s.id for s in step.scenes}
    fresh = given - used - missed
    mended = (given & missed) - set(failed)
    if not fresh and not mended:
        return {}, False
    lost = used & set(failed)
    if lost:
        reason = (
            f"belongs to a step whose other scenes cannot be read now ({' '.join(sorted(lost))}); "
            "the step stays as it is until they can"
        )
        return dict.fromkeys(sorted(fresh | mended), reason), False
    absent = _not_replaced(used - given, [s for s in step.scenes if s.id in fresh])
    if absent:
        reason = (
            f"belongs to a step that was made from other scenes too ({' '.join(absent)}); "
            "give these as well, so that the step can be made anew"
        )
        return dict.fromkeys(sorted(fresh | mended), reason), False
    return {}, True


def _not_replaced(absent: set[str], fresh: list[Scene]) -> list[str]:
    """Give the products that no reprocessing stands in for: the same tile, a newer baseline."""
    left, spare = [], list(fresh)
    for name in sorted(absent):
        old = ProductName.find(name)
        new = [s for s in spare if old and s.tile == old.tile and s.baseline > old.baseline]
        if new:
            spare.remove(new[0])
        else:
            left.append(name)
    return left
