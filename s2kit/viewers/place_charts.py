"""Charts of places: mean and spread along time or year by year; a histogram of the map."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import panel as pn
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    CustomJSTickFormatter,
    HoverTool,
    LegendItem,
    Range1d,
    SaveTool,
)
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

from s2kit.viewers.charts import (
    HEIGHT,
    ROOM,
    MeasuredDots,
    Overlay,
    legend_of,
    name_tools,
    time_figure,
)
from s2kit.viewers.colours import GREY
from s2kit.viewers.place_series import well_seen
from s2kit.viewers.places import Place, short
from s2kit.viewers.renderers import Renderer

ALONG_TIME, BY_YEAR = "along time", "year by year"
"""Kinds of charts, also in the address of a page."""

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_FIRSTS = np.cumsum([1, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30]).tolist()
_MARKERS = ("circle", "triangle", "square", "diamond")
_BINS = 50

_IN_A_ROW, _ROW = 4, 34
"""Names in a row of the legend, and the height of a row, in pixels."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes
    ----------
    name, colour : str
    x : numpy.ndarray
        Time, or day of the year as `day_of_year` counts it.
    table : pandas.DataFrame
        ``time``, ``mean``, ``std``, ``count`` in the order of ``x``.
    spread : bool
        Whether the standard deviation is drawn around it.
    marker : str
    """

    name: str
    colour: str
    x: np.ndarray
    table: pd.DataFrame
    spread: bool = True
    marker: str = "circle"


class PlacesChart:
    """Curves of places: along time, each with its spread; or one place, each year by itself.

    Parameters
    ----------
    by_year : bool
        Whether the horizontal axis is the day of the year.
    """

    def __init__(self, by_year: bool):
        self.figure = chart = time_figure("linear" if by_year else "datetime")
        self.save = SaveTool()
        self._lines = ColumnDataSource({"xs": [], "ys": [], "name": [], "colour": []})
        self._bands = ColumnDataSource({"xs": [], "ys": [], "colour": []})
        self._dots = ColumnDataSource({name: [] for name in _DOT})
        band = {"fill_color": "colour", "fill_alpha": 0.18, "line_alpha": 0}
        chart.patches("xs", "ys", source=self._bands, **band)
        line = {"line_color": "colour", "line_width": 1.7}
        lines = chart.multi_line("xs", "ys", source=self._lines, **line)
        dot = {"color": "colour", "marker": "marker", "size": 6}
        dots = chart.scatter("x", "mean", source=self._dots, **dot)
        tips = [("", "@name, @day"), ("", "@mean{0.000} ± @std{0.000}, @count{0.0} pixels")]
        chart.add_tools(self.save, HoverTool(renderers=[dots], tooltips=tips, visible=False))
        legend = legend_of([LegendItem(label={"field": "name"}, renderers=[lines])])
        legend.ncols = _IN_A_ROW
        chart.add_layout(legend, "below")
        self._measured = MeasuredDots(chart, legend)
        name_tools(chart, "Chart")
        if by_year:
            names, code = {"days": _FIRSTS, "months": _MONTHS}, "months[days.indexOf(tick)] ?? ''"
            chart.xaxis.ticker = _FIRSTS[::2]
            chart.xaxis.formatter = CustomJSTickFormatter(args=names, code=f"return {code}")
            chart.x_range = Range1d(1, 366)
        shown = pn.pane.Bokeh(chart, sizing_mode="stretch_width", margin=(0, 5))
        self.pane = pn.Column(shown, sizing_mode="stretch_width")  # see `MapPane.pane`

    def show(
        self,
        curves: Sequence[Curve],
        title: str,
        label: str,
        usual: tuple[float, float] | None,
        measured: Overlay | None = None,
    ) -> None:
        """Draw curves, the spread of each around it, and measurements over them."""
        self.figure.title.text = title
        names = len(curves) + (measured is not None and not measured.table.empty)
        rows = max(1, math.ceil(names / _IN_A_ROW))
        room = HEIGHT + _ROW * (rows - 1)  # else many names leave no room for curves
        self.figure.update(height=room, min_height=room)
        look = {name: [getattr(c, name) for c in curves] for name in ("name", "colour")}
        means = [c.table["mean"].to_numpy() for c in curves]
        self._lines.data = {"xs": [c.x for c in curves], "ys": means, **look}
        wide = [c for c in curves if c.spread]
        there_and_back = [np.concatenate([c.x, c.x[::-1]]) for c in wide]
        around = [_around(c) for c in wide]
        self._bands.data = {"xs": there_and_back, "ys": around, "colour": [c.colour for c in wide]}
        spread = np.concatenate([[], *around])
        self._measured.show(measured, label, np.concatenate([[], *means]), usual, spread)
        dots = [_dots_of(c) for c in curves]
        self._dots.data = {
            n: np.concatenate([one[n] for one in dots]) if dots else [] for n in _DOT
        }


_DOT = ("x", "mean", "std", "count", "name", "day", "colour", "marker")


def _around(curve: Curve) -> np.ndarray:
    mean, std = (curve.table[name].to_numpy() for name in ("mean", "std"))
    return np.concatenate([mean - std, (mean + std)[::-1]])


def _dots_of(curve: Curve) -> dict[str, np.ndarray]:
    columns = {name: curve.table[name].to_numpy() for name in ("mean", "std", "count")}
    for name in ("name", "colour", "marker"):
        columns[name] = np.full(len(curve.table), getattr(curve, name))
    day = curve.table.time.dt.strftime("%Y-%m-%d").to_numpy(str)
    return columns | {"x": curve.x, "day": day}


def along_time(places: Sequence[Place], series: Mapping[str, pd.DataFrame]) -> list[Curve]:
    """Return a curve for each place."""
    tables = [well_seen(series[place.name]) for place in places]
    return [
        Curve(short(place.name), place.colour, table.time.to_numpy(), table)
        for place, table in zip(places, tables, strict=True)
    ]


def day_of_year(time: pd.Series) -> np.ndarray:
    """Return days counted as in leap years, so that a date has the same number in each year."""
    return (time.dt.day_of_year + ((time.dt.month > 2) & ~time.dt.is_leap_year)).to_numpy()


def by_year(table: pd.DataFrame) -> list[Curve]:
    """Return a curve for each year of a place."""
    known = well_seen(table)
    parts = list(known.groupby(known.time.dt.year))
    last = max(len(parts) - 1, 1)
    curves = []
    for n, (year, part) in enumerate(parts):
        look = {"colour": Viridis256[int(225 * n / last)], "marker": _MARKERS[n % len(_MARKERS)]}
        days = day_of_year(part.time)
        curves.append(Curve(name=str(year), x=days, table=part, spread=False, **look))
    return curves


class PlaceCharts:
    """The charts of places, along time and year by year, of which one is seen.

    ``note`` is the origin of the data for titles.
    """

    def __init__(self, note: str):
        self._note = note
        self.curves, self.years = PlacesChart(by_year=False), PlacesChart(by_year=True)

    def show(
        self,
        kind: str,
        renderer: Renderer,
        places: Sequence[Place],
        series: Mapping[str, pd.DataFrame],
        chosen: str | None,
        measured: tuple[str, pd.DataFrame] | None = None,
    ) -> None:
        """Draw the places that have a series, and each year of the chosen one; show one chart.

        ``kind`` is `ALONG_TIME` or `BY_YEAR`; ``measured`` is what was measured in the field, and
        the table of it as `measurements.choose` returns it.
        """
        self.curves.pane.visible = kind == ALONG_TIME
        self.years.pane.visible = kind == BY_YEAR
        known = [place for place in places if place.name in series]
        none = "No curve" if len(known) < len(places) else "Draw a place: its curve appears here"
        label, usual = renderer.label, renderer.usual_range
        title = f"{renderer.name}: mean ± std, dates at least half clear" if known else none
        over = None
        if measured:
            what, table = measured
            over = Overlay(what, table.time.to_numpy(), table, renderer.name)
        self.curves.show(along_time(known, series), f"{title}\n({self._note})", label, usual, over)
        more = "; more in “Places”" if known and len(places) > 1 else ""
        title = f"{renderer.name} of {short(chosen or '')}, year by year" if known else none
        yearly = by_year(series[chosen]) if chosen and chosen in series else []
        if measured:
            table = table[table.place.isin(["", chosen])]
            over = Overlay(what, day_of_year(table.time), table, renderer.name)
        self.years.show(yearly, f"{title}\n({self._note}{more})", label, usual, over)


class Histogram:
    """How often each value occurs on the map; the range of the colours is shaded."""

    def __init__(self):
        size = {"height": 156, "min_width": 300, "sizing_mode": "stretch_width"}
        self.figure = figure(tools="", toolbar_location=None, title=ROOM, **size)
        self.figure.title.text_font_size = "12px"
        self._bars = ColumnDataSource({"left": [], "right": [], "top": []})
        sides = {"left": "left", "right": "right", "top": "top", "bottom": 0}
        look = {"color": GREY, "line_color": "#ffffff", "line_width": 0.5}
        self.figure.quad(source=self._bars, **sides, **look)
        self._span = BoxAnnotation(fill_color="#0072B2", fill_alpha=0.15, level="underlay")
        self.figure.add_layout(self._span)
        self.figure.yaxis.visible = False
        self.figure.grid.visible = False
        self.figure.y_range.start = 0
        self.pane = pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=(0, 5))
        self.span = (0.0, 1.0)

    def show(
        self,
        values: np.ndarray,
        label: str,
        around: tuple[float, float] | None = None,
        shaded: tuple[float, float] | None = None,
    ) -> None:
        """Count the finite values.

        Parameters
        ----------
        values : numpy.ndarray
        label : str
            What they are.
        around : tuple of float
            Range of interest. Half of its width is shown to both sides of it; the title counts
            the values beyond that.
        shaded : tuple of float
            Range of the colours.
        """
        known = values[np.isfinite(values)].astype("float64")
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        if around and low < high:
            margin = (around[1] - around[0]) / 2
            least, most = max(low, around[0] - margin), min(high, around[1] + margin)
            low, high = (least, most) if least < most else (low, high)
        self.span = float(low), float(high)
        inside = known[(known >= low) & (known <= high)]
        top, edges = np.histogram(inside, _BINS, (low, high) if low < high else None)
        self._bars.data = {"left": edges[:-1], "right": edges[1:], "top": top}
        beyond = known.size - inside.size
        outside = f", {beyond} beyond these values" if beyond else ""
        self.figure.title.text = f"{label} on the map\n{known.size} pixels{outside}"
        self._span.visible = shaded is not None
        if shaded:
            self._span.update(left=shaded[0], right=shaded[1])
