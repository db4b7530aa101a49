"""The picture of a date, alone or compared with that of a pinned date."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from s2kit.viewers import colours
from s2kit.viewers.levels import Levels, Window
from s2kit.viewers.map_pane import MapPane
from s2kit.viewers.pixel_series import is_clear
from s2kit.viewers.renderers import Frame, Renderer
from s2kit.viewers.timeline import percent

FIXED, OF_VIEW = "fixed", "2–98 % of the view"
OFF, SWIPE, BESIDE = "one map", "swipe", "side by side"
"""Options, also in the address of a page."""

_SMALL = 330
"""Pixels of the screen along one side of a map that has another beside it."""


@dataclass(frozen=True)
class DatePicture:
    """A picture that is to be drawn.

    ``step`` and ``pin`` are numbers of overpasses; ``pin`` is None if no pinned one is shown. That
    has a map of its own ``beside``, or covers the map up to ``swipe`` % of the view. Limits are the
    chosen ``limits`` or fit what is in sight (``of_view``). ``mask`` tints what is not clear.
    """

    renderer: Renderer
    step: int
    pin: int | None = None
    beside: bool = False
    swipe: int = 50
    limits: tuple[float, float] | None = None
    of_view: bool = False
    mask: bool = False

    @property
    def layers(self) -> list[str]:
        """Layers that are read for it."""
        return list(dict.fromkeys([*self.renderer.layers, *(["SCL"] if self.mask else [])]))

    def paint(self, frame: Frame, limits: tuple[float, float]) -> np.ndarray:
        """Paint a frame, shape (y, x, 4), uint8."""
        image = self.renderer.paint(frame, *limits)
        if self.mask:
            image = colours.tint(image, (image[..., 3] > 0) & ~is_clear(frame["SCL"]))
        return image


@dataclass(frozen=True)
class DrawnPicture:
    """A picture with the values that it shows.

    ``border`` is the first column right of the swipe. ``kept`` are limits that were fitted to the
    view and stay for others: the renderer has no usual ones.
    """

    asked: DatePicture
    window: Window
    frames: dict[int, Frame]
    border: int
    limits: tuple[float, float]
    kept: tuple[float, float] | None


class DateMaps:
    """Draws a date on a map, and the pinned one beside it or over its left part.

    ``note`` is the origin of the data for titles; ``timeline`` is as `timeline_of` returns it.
    """

    def __init__(self, levels: Levels, timeline: pd.DataFrame, main: MapPane, note: str):
        self._levels, self._timeline, self._note = levels, timeline, note
        self.main, self.other = main, MapPane(levels, beside=main)
        self.other.pane.visible = False

    def day(self, step: int) -> str:
        """Return the date of an overpass for titles."""
        return f"{self._timeline.time[step]:%d %b %Y}"

    def arrange(self, beside: bool) -> None:
        """Show one map, or two smaller ones side by side."""
        if self.other.pane.visible != beside:
            for pane in (self.main, self.other):
                pane.resize(_SMALL) if beside else pane.resize()
            self.other.pane.visible = beside

    def draw(self, asked: DatePicture, window: Window) -> DrawnPicture:
        """Read and draw a picture."""
        steps = {asked.step, asked.step if asked.pin is None else asked.pin}
        frames = {step: self._levels.read(window, step, asked.layers) for step in steps}
        limits, kept = asked.limits or asked.renderer.limits, None
        if asked.of_view or not limits:
            fitting = asked.renderer.typical_limits(frames[asked.step])
            kept = colours.rounded(*fitting) if fitting and not asked.of_view else None
            limits = kept or fitting or limits or (0.0, 1.0)
        images = {step: asked.paint(frame, limits) for step, frame in frames.items()}
        image, border, name = images[asked.step], 0, asked.renderer.name
        title = f"{name}, {self.day(asked.step)}"
        if asked.pin is not None and asked.beside:
            pinned = f"{name}, {self.day(asked.pin)} (pinned)"
            self._show(self.other, images[asked.pin], window, pinned, asked.pin)
        elif asked.pin is not None:
            border, x = self._border(window, image.shape[1], asked.swipe)
            self.main.show_divider(x)
            left = np.arange(image.shape[1])[:, None] < border
            image = np.where(left, images[asked.pin], image)
            title = f"{name}, {self.day(asked.pin)} | {self.day(asked.step)}"
        self._show(self.main, image, window, title, asked.step)
        self.main.show_scale(asked.renderer.label, asked.renderer.palette, *limits)
        return DrawnPicture(asked, window, frames, border, limits, kept)

    def _border(self, window: Window, columns: int, swipe: int) -> tuple[int, float]:
        """Return the border between columns that is nearest to a share of the view, and its x."""
        seen, size = self.main.view, window.view.width / columns
        wanted = seen.west + seen.width * swipe / 100
        border = min(max(round((wanted - window.view.west) / size), 0), columns)
        return border, window.view.west + border * size

    def _show(
        self, pane: MapPane, image: np.ndarray, window: Window, title: str, step: int
    ) -> None:
        pane.set_title(title, self._note)
        if image[..., 3].any():
            pane.show(image, window.view)
        elif self._timeline.failed[step]:
            pane.show_message("No data here, or it could not\nbe read when the cube was built")
        else:
            pane.show_message("No data here on this date")

    def describe(self, drawn: DrawnPicture, x: float, y: float, beside: bool) -> str:
        """Describe the value at a place of a picture, or of the one beside it; empty outside."""
        asked, at = drawn.asked, drawn.window.place(x, y)
        if at is None:
            return ""
        pinned = asked.pin if beside or at[1] < drawn.border else None
        step = asked.step if pinned is None else pinned
        value = asked.renderer.describe(drawn.frames[step], *at)
        return f"{value}, {self.day(step)}{self._levels.describe_pixel(drawn.window, *at)}"

    def status(self, drawn: DrawnPicture, position: str) -> str:
        """Describe a picture in sentences; ``position`` says where its date is among others."""
        row = self._timeline.iloc[drawn.asked.step]
        clear = "" if np.isnan(row.clear) else f", {percent(row.clear)} of the whole cube clear"
        when = f"{row.time:%d %B %Y, %H:%M} UTC{clear}"
        pixels = self._levels.describe(drawn.window)
        holes = f" Holes are not “no data”: {row.failed} could not be read." if row.failed else ""
        return f"{drawn.asked.renderer.name} on {when}; {pixels}. {position}{holes}"
