"""The series of places: their clear pixels at each date, as tables, as HTML and as CSV."""

import html
import io
from collections.abc import Iterable, Mapping, Sequence

import geopandas as gpd
import numpy as np
import pandas as pd

from s2kit.analysis.indices import read_formula
from s2kit.analysis.zonal import describe_series
from s2kit.cube.dask_layers import window_of
from s2kit.errors import InvalidInputError, S2KitError
from s2kit.grid import crs_of
from s2kit.viewers.levels import Levels, View, workers
from s2kit.viewers.places import Place, require_places
from s2kit.viewers.timeline import require_years

LEAST_SHARE = 0.5
"""Least clear share of a place's area: other dates are left out of curves and means."""

_WIDEST = 1024
"""Pixels along one side that a place may span: ten seconds for a cube of seven years."""


class PlaceSeries:
    """Computes the series of places, and keeps them."""

    def __init__(self, levels: Levels):
        self._levels = levels
        self._tables: dict[tuple[bytes, str], pd.DataFrame] = {}

    def keep(self, places: Iterable[Place]) -> None:
        """Forget the series of all other places."""
        kept = {place.shape.wkb for place in places}
        self._tables = {key: table for key, table in self._tables.items() if key[0] in kept}

    def of(self, place: Place, variable: str, years: tuple[int, int]) -> pd.DataFrame:
        """Return the series of a place from a first to a last year; see `place_series`."""
        require_years(*years)
        key = place.shape.wkb, variable
        if key not in self._tables:
            self._tables[key] = place_series(self._levels, place, variable)
        table = self._tables[key]
        return table[table.time.dt.year.between(*years)]

    def of_all(
        self, places: Iterable[Place], variable: str, years: tuple[int, int]
    ) -> tuple[dict[str, pd.DataFrame], list[S2KitError]]:
        """Return the series of the places that have one, by name, and the errors of the others."""
        series, failed = {}, []
        for place in places:
            try:
                series[place.name] = self.of(place, variable, years)
            except S2KitError as error:
                failed.append(error)
        return series, failed


def place_series(levels: Levels, place: Place, variable: str) -> pd.DataFrame:
    """Describe the clear pixels of a place at each overpass; see `s2kit.field_series`.

    Of a place that reaches beyond the cube, the part on the cube counts: ``share`` is of that.

    Raises
    ------
    InvalidInputError
        If it is too wide for an answer in seconds, or lies beside the cube.
    """
    shape = place.shape
    if shape.geom_type != "Point":
        shape = shape.intersection(levels.grid.extent.geom).buffer(0)  # without touching lines
    around = shape.buffer(levels.pixel / 1000)  # on a border of pixels, take both sides
    window = None if around.is_empty else levels.touched(View(*around.bounds))
    if window is None:
        raise InvalidInputError(f"{place.name} lies beside the cube")
    west, south, east, north = shape.bounds
    if max(east - west, north - south) > _WIDEST * levels.pixel:
        raise InvalidInputError(
            f"{place.name} is more than {_WIDEST * levels.pixel:g} {levels.unit} wide, which would "
            "take too long here; draw a smaller one, or use s2kit.field_series"
        )
    cube = levels.cubes[0]
    bands = [variable] if variable in cube.data_vars else read_formula(cube, variable).bands
    rows, cols = (_two_at_least(cut) for cut in (window.rows, window.cols))
    part = window_of(cube[[*bands, "SCL"]], rows, cols)
    field = gpd.GeoDataFrame(geometry=[shape], crs=crs_of(levels.grid))
    table = describe_series(part, field, variable, scheduler="threads", pool=workers())
    levels.require_steps()
    return table


def _two_at_least(cut: slice) -> slice:
    """Return a slice of two rows or columns at least: the pixel size is read from their centres."""
    alone = cut.stop - cut.start == 1
    return slice(max(cut.start - 1, 0), max(cut.stop, 2)) if alone else cut


def well_seen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the dates that saw at least half of a place clear."""
    return table[(table.share >= LEAST_SHARE) & np.isfinite(table["mean"])]


def html_table(places: Sequence[Place], series: Mapping[str, pd.DataFrame]) -> str:
    """Return a table of places: how often each was well seen, and its values over these dates."""
    rows = []
    for place in (place for place in places if place.name in series):
        table = well_seen(series[place.name])
        dates = f"{len(table)} of {len(series[place.name])}"
        cells = html.escape(place.name), dates, *_figures(table)
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><td style="color:{place.colour}">■</td>{row}</tr>')
    if not rows:
        return ""
    dates = "dates at least half clear"
    titles = ("", "place", dates, "mean", "median", "10 % to 90 % of these dates", "std inside")
    head = "".join(f"<th scope='col'>{title}</th>" for title in titles)
    return (
        '<table style="font-size:12px; border-spacing:8px 2px; text-align:left">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _figures(table: pd.DataFrame) -> list[str]:
    """Return mean, median, ranks and mean spread of a series as text; dashes without any date."""
    if table.empty:
        return ["–"] * 4
    low, median, high = table["mean"].quantile([0.1, 0.5, 0.9])
    one = [f"{value:.3f}" for value in (table["mean"].mean(), median, table["std"].mean())]
    return [*one[:2], f"{low:.3f} to {high:.3f}", one[2]]


def write_csv(series: Mapping[str, pd.DataFrame], variable: str, source: str) -> io.StringIO:
    """Write the series of places, by name, as one CSV."""
    require_places(series)
    parts = [table.drop(columns="field").assign(place=n) for n, table in series.items()]
    table = pd.concat(parts).assign(variable=variable, source=source)
    first = ["place", "variable", "time"]
    table = table[[*first, *(c for c in table.columns if c not in first)]]
    return io.StringIO(table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ"))
