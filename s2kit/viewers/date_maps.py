"""The picture of a date, alone or compared with that of a pinned date."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from s2kit.viewers import colours
from s2kit.viewers.levels import Levels, View, Window
from s2kit.viewers.map_pane import SIDE_IN_CELL, MapPane
from s2kit.viewers.pixel_series import is_clear
from s2kit.viewers.renderers import Frame, Renderer
from s2kit.viewers.timeline import percent

FIXED, OF_VIEW = "fixed", "2–98 % of the view"
OFF, SWIPE, BESIDE = "one map", "swipe", "side by side"
SAME = "as the map"
"""Options, also in the address of a page."""

_SMALL = 330
"""Pixels of the screen along one side of a map that has another beside it."""


@dataclass(frozen=True)
class DatePicture:
    """One overpass, by its number, as a renderer shows it.

    Limits are the chosen ``limits`` or fit what is in sight (``of_view``). ``mask`` tints what is
    not clear.
    """

    renderer: Renderer
    step: int
    limits: tuple[float, float] | None = None
    of_view: bool = False
    mask: bool = False

    @property
    def layers(self) -> list[str]:
        """Layers that are read for it."""
        return list(dict.fromkeys([*self.renderer.layers, *(["SCL"] if self.mask else [])]))

    def fitted(self, frame: Frame) -> tuple[tuple[float, float], tuple[float, float] | None]:
        """Return the limits of a frame, and those of them that were fitted and stay for others.

        The latter are None where limits were chosen, are usual, or are fitted to each view anew.
        """
        limits, kept = self.limits or self.renderer.limits, None
        if self.of_view or not limits:
            fitting = self.renderer.typical_limits(frame)
            kept = colours.rounded(*fitting) if fitting and not self.of_view else None
            limits = kept or fitting or limits or (0.0, 1.0)
        return limits, kept

    def paint(self, frame: Frame, limits: tuple[float, float]) -> np.ndarray:
        """Paint a frame, shape (y, x, 4), uint8."""
        image = self.renderer.paint(frame, *limits)
        if self.mask:
            image = colours.tint(image, (image[..., 3] > 0) & ~is_clear(frame["SCL"]))
        return image


@dataclass(frozen=True)
class MapRequest:
    """What the map is to show: a picture, and the pinned one that it is compared with, if any.

    That has a map of its own ``beside``, or covers the map up to ``swipe`` % of the view.
    """

    picture: DatePicture
    pinned: DatePicture | None = None
    beside: bool = False
    swipe: int = 50


@dataclass(frozen=True)
class DrawnMap:
    """A map with the values that it shows.

    ``view`` is what was seen, and ``border`` the first column right of the swipe. ``kept`` and
    ``pinned_kept`` are as `DatePicture.fitted` returns them.
    """

    asked: MapRequest
    window: Window
    view: View
    layers: Frame
    limits: tuple[float, float]
    kept: tuple[float, float] | None
    pinned_layers: Frame | None = None
    pinned_kept: tuple[float, float] | None = None
    border: int = 0


class DateMaps:
    """Draws a date on a map, and the pinned one beside it or over its left part.

    ``note`` is the origin of the data for titles; ``timeline`` is as `timeline_of` returns it.
    """

    def __init__(self, levels: Levels, timeline: pd.DataFrame, main: MapPane, note: str):
        self._levels, self._timeline, self._note = levels, timeline, note
        self.main, self.other = main, MapPane(levels, fills=main.fills, beside=main)
        self.other.pane.visible = False

    def title(self, picture: DatePicture) -> str:
        """Return what a picture shows, for titles."""
        return f"{picture.renderer.name}, {self.day(picture.step)}"

    def day(self, step: int) -> str:
        """Return the date of an overpass for titles."""
        return f"{self._timeline.time[step]:%d %b %Y}"

    def arrange(self, beside: bool) -> None:
        """Show one map, or two smaller ones side by side."""
        if self.other.pane.visible != beside:
            if not self.main.fills:
                for pane in (self.main, self.other):
                    pane.resize(_SMALL if beside else SIDE_IN_CELL)
            self.other.pane.visible = beside

    def draw(self, asked: MapRequest, window: Window, view: View) -> DrawnMap:
        """Read and draw a picture, and the pinned one."""
        picture, pinned = asked.picture, asked.pinned
        layers = self._levels.read(window, picture.step, picture.layers)
        limits, kept = picture.fitted(layers)
        drawn = DrawnMap(asked, window, view, layers, limits, kept)
        image, title = picture.paint(layers, limits), self.title(picture)
        if pinned is not None:
            others = self._levels.read(window, pinned.step, pinned.layers)
            same = pinned.renderer == picture.renderer
            their_limits, their_kept = (limits, None) if same else pinned.fitted(others)
            covered = pinned.paint(others, their_limits)
            drawn = replace(drawn, pinned_layers=others, pinned_kept=their_kept)
            if asked.beside:
                self._show(self.other, covered, window, f"{self.title(pinned)} (pinned)", pinned)
                scale = pinned.renderer.label, pinned.renderer.palette
                self.other.show_scale(*scale, *their_limits)
            else:
                border, x = _border(window, view, image.shape[1], asked.swipe)
                self.main.show_divider(x)
                image = np.where(np.arange(image.shape[1])[:, None] < border, covered, image)
                title = f"{self.title(pinned)} | {self.day(picture.step) if same else title}"
                drawn = replace(drawn, border=border)
        self._show(self.main, image, window, title, picture)
        self.main.show_scale(picture.renderer.label, picture.renderer.palette, *limits)
        return drawn

    def _show(
        self, pane: MapPane, image: np.ndarray, window: Window, title: str, picture: DatePicture
    ) -> None:
        pane.set_title(title, self._note)
        if image[..., 3].any():
            pane.show(image, window.view)
        elif self._timeline.failed[picture.step]:
            pane.show_message("No data here, or it could not\nbe read when the cube was built")
        else:
            pane.show_message("No data here on this date")

    def describe(self, drawn: DrawnMap, x: float, y: float, beside: bool) -> str:
        """Describe the value at a place of a map, or of the one beside it; empty outside."""
        at, picture, layers = drawn.window.place(x, y), drawn.asked.picture, drawn.layers
        if at is None:
            return ""
        if drawn.asked.pinned and drawn.pinned_layers and (beside or at[1] < drawn.border):
            picture, layers = drawn.asked.pinned, drawn.pinned_layers
        value = f"{picture.renderer.describe(layers, *at)}, {self.day(picture.step)}"
        return value + self._levels.describe_pixel(drawn.window, *at)

    def status(self, drawn: DrawnMap, position: str) -> str:
        """Describe a map in sentences; ``position`` says where its date is among others."""
        picture, pinned = drawn.asked.picture, drawn.asked.pinned
        row = self._timeline.iloc[picture.step]
        clear = "" if np.isnan(row.clear) else f", {percent(row.clear)} of the whole cube clear"
        when = f"{row.time:%d %B %Y, %H:%M} UTC{clear}"
        pixels = self._levels.describe(drawn.window)
        holes = f" Holes are not “no data”: {row.failed} could not be read." if row.failed else ""
        beside = f" Compared with {self.title(pinned)}." if pinned else ""
        return f"{picture.renderer.name} on {when}; {pixels}. {position}{beside}{holes}"


def _border(window: Window, view: View, columns: int, swipe: int) -> tuple[int, float]:
    """Return the border between columns that is nearest to a share of the view, and its x."""
    size = window.view.width / columns
    wanted = view.west + view.width * swipe / 100
    border = min(max(round((wanted - window.view.west) / size), 0), columns)
    return border, window.view.west + border * size
