"""The observations of one pixel along time, as a table and as a file."""

import io

import numpy as np
import pandas as pd
import xarray as xr

from s2kit.analysis.masks import CLEAR, is_class
from s2kit.errors import InvalidInputError
from s2kit.viewers.levels import Levels
from s2kit.viewers.renderers import find_renderer

is_clear = is_class(CLEAR)

_COLUMNS = ["time", "orbit", "platform", "label", "products", "failed"]


class PixelSeries:
    """Reads the series of single pixels; ``timeline`` is as `timeline_of` returns it."""

    def __init__(self, cube: xr.Dataset, levels: Levels, timeline: pd.DataFrame):
        self._cube, self._levels, self._timeline = cube, levels, timeline
        self.classified = "SCL" in cube.data_vars

    def centre(self, x: float, y: float) -> tuple[float, float]:
        """Return the centre of the pixel that holds a place; refuse a place beside the cube."""
        return self._levels.centre_of(*self._levels.require_pixel(x, y))

    def empty(self) -> pd.DataFrame:
        """Return a table without observations."""
        return self._timeline.iloc[:0].assign(value=np.empty(0), clear=np.empty(0, bool))

    def read(self, x: float | None, y: float | None, name: str) -> pd.DataFrame:
        """Read a layer or index of the pixel that holds a place; see `TimeQuery.pixel_series`."""
        if x is None or y is None:
            raise InvalidInputError("choose a pixel first: click on the map, or give x and y")
        if not name:
            raise InvalidInputError("the cube has no layer of numbers, of which to give a series")
        pixel, renderer = self._levels.require_pixel(x, y), find_renderer(self._cube, name)
        assert renderer.values is not None  # a series is of numbers
        classes = ["SCL"] if self.classified else []
        found = self._levels.read_pixel(*pixel, [*renderer.layers, *classes])
        clear = is_clear(found["SCL"]) if classes else True
        return self._timeline[_COLUMNS].assign(value=renderer.values(found), clear=clear)

    def write_csv(self, x: float, y: float, name: str, source: str) -> io.StringIO:
        """Write a series as CSV, without ``clear`` where the cube has no classification."""
        unknown = [] if self.classified else ["clear"]
        table = self.read(x, y, name).drop(columns=["label", *unknown])
        crs = self._levels.grid.crs
        code = f"EPSG:{crs.epsg}" if crs and crs.epsg else str(crs)
        table = table.assign(x=x, y=y, crs=code, source=source)
        table = table.rename(columns={"value": name})  # last, as a layer may be called "source"
        return io.StringIO(table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ"))
