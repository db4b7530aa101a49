"""Maps of a statistic of an index along time, and the colours and titles that belong to them."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from s2kit.analysis.statistics import time_statistics
from s2kit.viewers import colours
from s2kit.viewers.levels import Levels, Window, workers
from s2kit.viewers.renderers import find_renderer
from s2kit.viewers.timeline import require_years, text_of

STATISTICS = {
    "mean": "mean",
    "standard deviation": "std",
    "smallest": "min",
    "largest": "max",
    "amplitude (p90 − p10)": "amplitude",
    "clear observations": "count",
}
"""Title → name of `time_statistics`; the amplitude is computed of two percentiles."""

_TITLES = {name: title for title, name in STATISTICS.items()}
_SPREADS = ("std", "amplitude", "count")
"""Statistics that begin at 0; they have a palette of their own."""


@dataclass(frozen=True)
class StatisticRequest:
    """A statistic (a value of `STATISTICS`) of a layer or index from a first to a last year."""

    variable: str
    statistic: str
    start: int
    end: int

    @property
    def title(self) -> str:
        """Title of the statistic."""
        return _TITLES[self.statistic]

    @property
    def period(self) -> str:
        """The years in words."""
        return str(self.start) if self.start == self.end else f"{self.start}–{self.end}"

    @property
    def heading(self) -> str:
        """Title of the map."""
        return f"{self.variable}, {self.title}, {self.period}"

    @property
    def palette(self) -> tuple[str, ...]:
        """Colours from low to high."""
        return colours.MAPS["cividis" if self.statistic in _SPREADS else "viridis"]


class StatisticMap:
    """Computes maps of statistics of a cube with SCL."""

    def __init__(self, cube: xr.Dataset, levels: Levels):
        self._cube, self._levels = cube, levels
        self._failed = cube.time.dt.year.values[text_of(cube, "failed") != ""]
        self._last: tuple[tuple, xr.Dataset] | None = None

    def compute(self, asked: StatisticRequest, window: Window) -> np.ndarray:
        """Compute the statistic of the pixels of a window, shape (y, x), float32."""
        require_years(asked.start, asked.end)
        spread = asked.statistic == "amplitude"
        key = window, asked.variable, asked.start, asked.end, spread
        if self._last is None or self._last[0] != key:  # else all but the amplitude is there
            maps = time_statistics(
                self._levels.part(window),
                asked.variable,
                start=str(asked.start),
                end=str(asked.end),
                percentiles=(10, 90) if spread else (),
            )
            maps = maps[["p10", "p90"]] if spread else maps
            computed = maps.compute(scheduler="threads", pool=workers())
            self._levels.require_steps()
            self._last = key, computed
        maps = self._last[1]
        found = maps["p90"] - maps["p10"] if spread else maps[asked.statistic]
        values = found.transpose("y", "x").values.astype("float32")
        return values[:: window.rows.step, :: window.cols.step]

    def fitting_limits(self, asked: StatisticRequest, values: np.ndarray) -> tuple[float, float]:
        """Return the usual limits of an index; else those that nine of ten pixels span."""
        usual = find_renderer(self._cube, asked.variable).limits
        if usual and asked.statistic not in _SPREADS:
            return usual
        return colours.rounded(*(colours.percentile_limits([values], 5) or (0.0, 1.0)))

    def label(self, asked: StatisticRequest) -> str:
        """Return what the colours mean, with the unit."""
        if asked.statistic == "count":
            return f"number of {asked.title}"
        return f"{asked.title} of {find_renderer(self._cube, asked.variable).label}"

    def unread(self, asked: StatisticRequest) -> str:
        """Return how many dates have scenes that could not be read, in words; empty without any."""
        count = int(((self._failed >= asked.start) & (self._failed <= asked.end)).sum())
        dates = "1 date has" if count == 1 else f"{count} dates have"
        return f" {dates} scenes that could not be read." if count else ""

    def describe(
        self, asked: StatisticRequest, values: np.ndarray, window: Window, x: float, y: float
    ) -> str:
        """Describe the value at a place of a computed map; empty outside."""
        at = window.place(x, y)
        if at is None:
            return ""
        known = f"{asked.title} {values[at]:.4g}" if np.isfinite(values[at]) else "no data"
        return known + self._levels.describe_pixel(window, *at)

    def overview(self, window: Window) -> str:
        """Return a note on an overview: its pixels mix clouds with what is beside; else empty."""
        if not self._levels.is_overview(window):
            return ""
        return f"overview of {window.pixel:g} {self._levels.unit}, clouds mixed in"

    def status(self, asked: StatisticRequest, values: np.ndarray, window: Window) -> str:
        """Describe a computed map in sentences."""
        rough, median = self.overview(window), float(np.nanmedian(values))
        exact = f" An {rough}; zoom in for exact values." if rough else ""
        pixels = f"{self._levels.describe(window)}, median {median:.3g}"
        return f"{asked.heading}; {pixels}.{exact}{self.unread(asked)}"
