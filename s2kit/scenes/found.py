"""Scenes as every source yields them, before they are read in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pystac
from shapely.geometry.base import BaseGeometry

from s2kit.errors import SceneError
from s2kit.scenes.product import ProductName


class FoundScene(Protocol):
    """A scene of any source; its item is made only if its name and footprint fit.

    Each of these raises SceneError where the scene cannot be read.
    """

    @property
    def label(self) -> str:
        """Name in reports."""

    @property
    def product(self) -> ProductName | None:
        """Name of the product; None only if it has no item either."""

    @property
    def footprint(self) -> BaseGeometry | None:
        """Outline of the valid pixels, degrees, where known."""

    def item(self) -> pystac.Item:
        """Return the item in the form of `s2kit.scenes.item`."""


@dataclass(frozen=True)
class UnreadableScene:
    """A product, folder, archive or item that cannot be read.

    Parameters
    ----------
    label : str
        Its path or URL.
    reason : str
        Why.
    """

    label: str
    reason: str
    footprint: BaseGeometry | None = None

    @property
    def product(self) -> ProductName | None:
        """What its path says."""
        return ProductName.find(self.label)

    def item(self) -> pystac.Item:
        """Raise SceneError with the reason."""
        raise SceneError(self.label, self.reason)
