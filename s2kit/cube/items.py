"""STAC items as a build takes them: read as scenes, and which of them reach its region."""

import itertools
from typing import Any

import pystac
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from s2kit.cube.acquisitions import Scene
from s2kit.cube.model import State
from s2kit.errors import InvalidInputError, SceneError
from s2kit.scenes.find import complete
from s2kit.scenes.item import require_items


def read_items(items: Any) -> list[pystac.Item]:
    """Check that these are STAC items, at least one; copies of a product become one item.

    Raises
    ------
    InvalidInputError
        If something else is among them, or there is none.
    """
    copies: dict[str, list[pystac.Item]] = {}
    for item in require_items(items):
        copies.setdefault(item.id, []).append(item)
    return [
        same[0] if len(same) == 1 else complete([item.clone() for item in same])
        for same in copies.values()
    ]


def read_scenes(items: list[pystac.Item]) -> tuple[dict[str, Scene], dict[str, str]]:
    """Read items; return the scenes by id, and why others cannot be used.

    Raises
    ------
    InvalidInputError
        If none can.
    """
    scenes, odd = {}, {}
    for item in items:
        try:
            scenes[item.id] = Scene.from_item(item)
        except SceneError as error:
            odd[error.scene] = error.reason
    if not scenes:
        raise InvalidInputError(f"none of the {len(items)} scenes can be used: {name_reasons(odd)}")
    return scenes, odd


def name_reasons(failed: dict[str, str]) -> str:
    """Name the first few scenes that failed, with the reasons."""
    named = [f"{scene} {reason}" for scene, reason in itertools.islice(failed.items(), 3)]
    return "; ".join(named) + (f"; and {len(failed) - 3} more" if len(failed) > 3 else "")


def require_reach(items: list[pystac.Item], outline: BaseGeometry) -> set[str]:
    """Return the ids of the scenes that reach a region, degrees; one without a footprint may.

    Raises
    ------
    InvalidInputError
        If none does.
    """
    reach = {
        item.id
        for item in items
        if not item.geometry or shapely.make_valid(shape(item.geometry)).intersects(outline)
    }
    if not reach:
        raise InvalidInputError(
            f"none of the {len(items)} scenes reaches the region "
            f"{tuple(round(v, 4) for v in outline.bounds)} (degrees); search for this region"
        )
    return reach


def check_origin(state: State, scenes: list[Scene]) -> None:
    """Refuse made-up practice scenes beside observed ones in one cube.

    Raises
    ------
    InvalidInputError
    """
    odd = next((s for s in scenes if s.synthetic != state.synthetic), None)
    if odd is not None:
        kinds = ("observed", "made-up practice")
        raise InvalidInputError(
            f"{odd.id} is {kinds[odd.synthetic]} data, but the cube is of {kinds[state.synthetic]} "
            "data; build them into two stores"
        )
