"""Maps of a statistic of an index along time, and the colours and titles that belong to them."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import xarray as xr

from s2kit.analysis.statistics import time_statistics
from s2kit.viewers import colours
from s2kit.viewers.levels import Levels, Window, workers
from s2kit.viewers.renderers import find_renderer
from s2kit.viewers.timeline import require_years, text_of


@dataclass(frozen=True)
class Statistic:
    """A statistic that a map can show.

    Attributes
    ----------
    title : str
        In the list of statistics, and in titles.
    compute : callable
        Of what `time_statistics` returns, with these percentiles: the map.
    percentiles : tuple of float
    label : str
        What the colours mean; ``{variable}`` is the index or layer with its unit.
    fitted : bool
        Whether limits fit the values, in a palette of its own, also where the index has usual ones.
    """

    title: str
    compute: Callable[[xr.Dataset], xr.DataArray]
    percentiles: tuple[float, ...] = ()
    label: str = "{title} of {variable}"
    fitted: bool = False


_PERCENTILES = (10, 50, 90)
"""Percentiles that are computed together: one pass over the cube serves all maps of them."""

STATISTICS = {
    "mean": Statistic("mean", itemgetter("mean")),
    "median": Statistic("median", itemgetter("p50"), _PERCENTILES),
    "std": Statistic("standard deviation", itemgetter("std"), fitted=True),
    "min": Statistic("smallest", itemgetter("min")),
    "max": Statistic("largest", itemgetter("max")),
    "p10": Statistic("10th percentile", itemgetter("p10"), _PERCENTILES),
    "p90": Statistic("90th percentile", itemgetter("p90"), _PERCENTILES),
    "amplitude": Statistic(
        "amplitude (p90 − p10)", lambda maps: maps["p90"] - maps["p10"], _PERCENTILES, fitted=True
    ),
    "count": Statistic(
        "clear observations", itemgetter("count"), label="number of {title}", fitted=True
    ),
}
"""The statistics by their names in addresses; all that a viewer says of one is stated here."""


@dataclass(frozen=True)
class StatisticRequest:
    """A statistic (a name of `STATISTICS`) of a layer or index from a first to a last year."""

    variable: str
    statistic: str
    start: int
    end: int

    @property
    def kind(self) -> Statistic:
        """What the statistic is."""
        return STATISTICS[self.statistic]

    @property
    def period(self) -> str:
        """The years in words."""
        return str(self.start) if self.start == self.end else f"{self.start}–{self.end}"

    @property
    def heading(self) -> str:
        """Title of the map."""
        return f"{self.variable}, {self.kind.title}, {self.period}"

    @property
    def palette(self) -> tuple[str, ...]:
        """Colours from low to high."""
        return colours.MAPS["cividis" if self.kind.fitted else "viridis"]


class StatisticMap:
    """Computes maps of statistics of a cube with SCL."""

    def __init__(self, cube: xr.Dataset, levels: Levels):
        self._cube, self._levels = cube, levels
        self._failed = cube.time.dt.year.values[text_of(cube, "failed") != ""]
        self._last: tuple[tuple, xr.Dataset] | None = None

    def compute(self, asked: StatisticRequest, window: Window) -> np.ndarray:
        """Compute the statistic of the pixels of a window, shape (y, x), float32."""
        require_years(asked.start, asked.end)
        percentiles = asked.kind.percentiles
        key = window, asked.variable, asked.start, asked.end, percentiles
        if self._last is None or self._last[0] != key:  # one computation serves several statistics
            maps = time_statistics(
                self._levels.part(window),
                asked.variable,
                start=str(asked.start),
                end=str(asked.end),
                percentiles=percentiles,
            )
            maps = maps[[f"p{q:g}" for q in percentiles]] if percentiles else maps
            computed = maps.compute(scheduler="threads", pool=workers())
            self._levels.require_steps()
            self._last = key, computed
        found = asked.kind.compute(self._last[1])
        values = found.transpose("y", "x").values.astype("float32")
        return values[:: window.rows.step, :: window.cols.step]

    def fitting_limits(self, asked: StatisticRequest, values: np.ndarray) -> tuple[float, float]:
        """Return the usual limits of an index or layer; else those that nine of ten pixels span."""
        usual = find_renderer(self._cube, asked.variable).limits
        if usual and not asked.kind.fitted:
            return usual
        return colours.rounded(*(colours.percentile_limits([values], 5) or (0.0, 1.0)))

    def label(self, asked: StatisticRequest) -> str:
        """Return what the colours mean, with the unit."""
        variable = find_renderer(self._cube, asked.variable).label
        return asked.kind.label.format(title=asked.kind.title, variable=variable)

    def nothing(self, asked: StatisticRequest, values: np.ndarray) -> str:
        """Return a message if a computed map has nothing to show; else empty."""
        seen = values > 0 if asked.statistic == "count" else np.isfinite(values)
        return "" if seen.any() else f"No clear observation here in {asked.period}"

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
        known = f"{asked.kind.title} {values[at]:.4g}" if np.isfinite(values[at]) else "no data"
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
        pixels = f"{self._levels.describe(window)}, their median {median:.3g}"
        return f"{asked.heading}; {pixels}.{exact}{self.unread(asked)}"
