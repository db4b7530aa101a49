"""Scenes become time steps: which scenes make a step, in which order, what a store still lacks."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import pystac

from s2kit.cube.model import Timeline
from s2kit.errors import SceneError
from s2kit.scenes.item import LAYERS, NOTES, OFFSET_SOURCE, REFUSED_LAYERS
from s2kit.scenes.product import RELATIVE_ORBITS, ProductName, read_utc
from s2kit.scenes.radiometry import BANDS, DECLARED, read_baseline, read_offset, read_scale


@dataclass(frozen=True)
class Asset:
    """One layer of a scene: where its pixels are, and what makes stored values of them.

    Attributes
    ----------
    offset : float
        Still to be applied: physical value = DN × scale of the layer + offset.
    source : str
        Who says which offset it is, see `s2kit.scenes.radiometry.RELIABLE`.
    nodata : float or None
        A DN of no data besides 0.
    """

    href: str
    offset: float
    source: str = DECLARED
    nodata: float | None = None


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
    notes : tuple of str
        What was odd in its metadata, and what was done.
    assets : dict of str to Asset
        By layer name.
    refused : dict of str to str
        Layers that cannot be used, with the reason.
    """

    id: str
    orbit: int
    start: int
    platform: str
    tile: str
    baseline: str
    generation: str
    synthetic: bool
    notes: tuple[str, ...]
    assets: dict[str, Asset] = field(hash=False, compare=False)
    refused: dict[str, str] = field(hash=False, compare=False)

    @classmethod
    def from_item(cls, item: pystac.Item) -> "Scene":
        """Read a canonical item (`s2kit.scenes.item`).

        Raises
        ------
        SceneError
            If it lacks what such an item has.
        """
        try:
            assets, refused = _read_assets(item)
            return cls(**_read_properties(item), assets=assets, refused=refused)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SceneError(
                str(item.id),
                f"lacks what s2kit.find_scenes gives ({type(error).__name__}: {error}); pass the "
                "items that it returns",
            ) from error

    @property
    def rank(self) -> tuple[float, str, str]:
        """The larger, the newer: baselines as numbers, and one of Sen2Cor at home before ESA's."""
        return read_baseline(self.baseline) or 0.0, self.generation, self.id


def _read_properties(item: pystac.Item) -> dict[str, Any]:
    properties = item.properties
    baseline, orbit = properties["s2:processing_baseline"], properties["sat:relative_orbit"]
    if not re.fullmatch(r"\d\d\.\d\d", baseline):
        raise ValueError(f"processing baseline {baseline!r} is not like '05.09'")
    if isinstance(orbit, bool) or orbit not in RELATIVE_ORBITS:
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
        "notes": tuple(map(str, properties.get(NOTES, ()))),
    }


def _read_assets(item: pystac.Item) -> tuple[dict[str, Asset], dict[str, str]]:
    """Read the layers that can be used, and why others cannot."""
    assets, refused = {}, dict(item.properties.get(REFUSED_LAYERS, {}))
    for name, asset in item.assets.items():
        if name not in LAYERS or name in refused:
            continue
        try:
            assets[name] = _read_asset(name, asset)
        except ValueError as error:
            refused[name] = str(error)
    return assets, refused


def _read_asset(name: str, asset: pystac.Asset) -> Asset:
    fields = asset.extra_fields
    if not isinstance(asset.href, str):
        raise ValueError(f"{name} lies at {asset.href!r}")
    read_scale(fields.get("raster:scale"), name)  # raises if it is not that of the layer
    offset = read_offset(fields.get("raster:offset", 0), name) if name in BANDS else 0.0
    source, nodata = fields.get(OFFSET_SOURCE, DECLARED), fields.get("nodata")
    return Asset(asset.href, offset, source, nodata or None)


@dataclass(frozen=True)
class Acquisition:
    """One overpass: all scenes of one datatake on one relative orbit, in the order of filling."""

    orbit: int
    start: int
    scenes: tuple[Scene, ...]


def group_into_acquisitions(scenes: Iterable[Scene]) -> dict[int, list[Acquisition]]:
    """Group scenes into acquisitions: by relative orbit, and in order of time.

    In an acquisition they go tile after tile; within a tile the newest baseline is first, then the
    latest generation: older ones fill what it lacks.
    """
    members: dict[tuple[int, int], dict[str, Scene]] = defaultdict(dict)
    for scene in scenes:
        members[scene.orbit, scene.start].setdefault(scene.id, scene)
    orbits: dict[int, list[Acquisition]] = defaultdict(list)
    for (orbit, start), by_name in sorted(members.items()):
        ordered = sorted(by_name.values(), key=lambda scene: scene.rank, reverse=True)
        ordered.sort(key=lambda scene: scene.tile)
        orbits[orbit].append(Acquisition(orbit, start, tuple(ordered)))
    return dict(orbits)


@dataclass(frozen=True)
class PlannedStep:
    """One step in time of the cube to be.

    Attributes
    ----------
    start : int
        Start of the datatake, seconds since 1970-01-01 UTC.
    kept : int or None
        Index of the step of the store that stays; None for one that is made from scenes.
    scenes : tuple of Scene
        What it is made from, in the order in which they fill it.
    """

    start: int
    kept: int | None
    scenes: tuple[Scene, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What one orbit is to become.

    Attributes
    ----------
    steps : tuple of PlannedStep
        All steps, in order of time.
    first : int
        Index of the first step that is not as it was.
    rewrites : bool
        Whether a step that readers already see moves or changes.
    refused : dict of str to str
        Scenes that cannot be added to a step, and why.
    """

    orbit: int
    steps: tuple[PlannedStep, ...]
    first: int
    rewrites: bool
    refused: dict[str, str]

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.first < len(self.steps)


def make_plan(
    orbit: int, timeline: Timeline, acquisitions: list[Acquisition], failed: Collection[str]
) -> Plan:
    """Compare the acquisitions that are asked for with the steps of the store.

    ``failed`` are the scenes that are known to be unreadable now.
    """
    index = {int(t): i for i, t in enumerate(timeline["time"])}
    steps = {start: PlannedStep(start, i) for start, i in index.items()}
    refused: dict[str, str] = {}
    for one in acquisitions:
        changed = one.start not in index
        if not changed:
            reasons, changed = _compare(one, timeline, index[one.start], failed)
            refused |= reasons
        if changed:
            steps[one.start] = PlannedStep(one.start, None, one.scenes)
    ordered = tuple(steps[start] for start in sorted(steps))
    first = next((i for i, step in enumerate(ordered) if step.kept != i), len(ordered))
    return Plan(orbit, ordered, first, first < len(index), refused)


def _compare(
    step: Acquisition, timeline: Timeline, at: int, failed: Collection[str]
) -> tuple[dict[str, str], bool]:
    """Return which scenes cannot be added to a step of the store, and whether it is made anew."""
    used = set(timeline["products"][at].split())
    missed = set(timeline["failed"][at].split())
    given = {s.id for s in step.scenes}
    fresh = given - used - missed
    added = fresh | (given & missed) - set(failed)
    if not added:
        return {}, False
    if lost := used & set(failed):
        reason = (
            f"belongs to a step whose other scenes cannot be read now ({' '.join(sorted(lost))}); "
            "the step stays as it is until they can"
        )
    elif absent := _not_replaced(used - given, [s for s in step.scenes if s.id in fresh]):
        reason = (
            f"belongs to a step that was made from other scenes too ({' '.join(absent)}); "
            "give these as well, so that the step can be made anew"
        )
    else:
        return {}, True
    return dict.fromkeys(sorted(added), reason), False


def _not_replaced(absent: set[str], fresh: list[Scene]) -> list[str]:
    """Return the products that no reprocessing stands in for: the same tile, a newer baseline."""
    left, spare = [], list(fresh)
    for name in sorted(absent):
        old = ProductName.find(name)
        new = [s for s in spare if old and s.tile == old.tile and s.rank[0] > old.rank[0]]
        if new:
            spare.remove(new[0])
        else:
            left.append(name)
    return left


def timeline_row(
    step: PlannedStep, failed: Collection[str], corrected: Collection[str]
) -> dict[str, Any]:
    """Return the coordinates along time of a step that was made, but for `ingest.shares`."""
    used = readable(step.scenes, failed)
    return {
        "time": step.start,
        "platform": step.scenes[0].platform,
        "processing_baseline": " ".join(sorted({s.baseline for s in used}, reverse=True)),
        "products": names_of(used),
        "failed": names_of(scene for scene in step.scenes if scene.id in failed),
        "corrected": names_of(scene for scene in used if scene.id in corrected),
    }


def readable(scenes: Iterable[Scene], failed: Collection[str]) -> tuple[Scene, ...]:
    """Return scenes without those that failed."""
    return tuple(scene for scene in scenes if scene.id not in failed)


def names_of(scenes: Iterable[Scene]) -> str:
    """Return the names of scenes, separated by spaces."""
    return " ".join(scene.id for scene in scenes)
