"""What all charts have in common, and the chart of one pixel's observations along time."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import panel as pn
from bokeh.core.properties import value
from bokeh.events import DoubleTap, Tap
from bokeh.models import (
    ColumnDataSource,
    DatetimeTicker,
    DatetimeTickFormatter,
    HoverTool,
    Legend,
    LegendItem,
    LinearAxis,
    Range1d,
    SaveTool,
    Span,
)
from bokeh.plotting import figure

from s2kit.viewers.colours import BLUE, GREY, ORANGE
from s2kit.viewers.places import short

HEIGHT = 250

ROOM = " \n "
"""An empty title of two lines: Bokeh keeps the room that the first title has."""


def time_figure(kind: str = "datetime") -> figure:
    """Build an empty chart whose horizontal axis is time, or of another of Bokeh's kinds."""
    size = {"height": HEIGHT, "min_width": 300, "sizing_mode": "stretch_width"}
    tools = {"tools": "xpan,xwheel_zoom,reset", "toolbar_location": "right"}
    chart = figure(title=ROOM, x_axis_type=kind, y_range=Range1d(0, 1), **size, **tools)
    chart.toolbar.logo = None
    chart.title.text_font_size = "12px"
    chart.yaxis.axis_label_text_font_style = "normal"
    if kind == "datetime":
        chart.xaxis.ticker = DatetimeTicker(desired_num_ticks=5)
        chart.xaxis.formatter = DatetimeTickFormatter(
            days="%e %b %y", months="%b %Y", years="%Y", hours="%e %b %Hh"
        )
    return chart


def name_tools(chart: figure, what: str) -> None:
    """Name the tools of a map or chart, to distinguish those of several for screen readers."""
    for tool in chart.tools:
        name = re.sub("(?=[A-Z])", " ", type(tool).__name__.removesuffix("Tool")).strip().lower()
        tool.description = f"{what}: {name}"


def fit_axis(
    chart: figure,
    label: str,
    values: np.ndarray,
    usual: tuple[float, float] | None,
    spread: Sequence[float] | np.ndarray = (),
) -> None:
    """Fit the vertical axis of a chart to its values; the label counts those beyond it.

    Parameters
    ----------
    chart : figure
    label : str
    values : numpy.ndarray
    usual : tuple of float or None
        Usual range. If most values are near, half of its width to both sides is shown at most: a
        single -17 of an index, from noise over water, would leave no room for the others.
    spread : array-like of float
        Ends of what is drawn around the values; shown, too, but not counted as beyond.
    """
    values, every = (np.asarray(v, "float64") for v in (values, np.r_[values, spread]))
    known, every = values[np.isfinite(values)], every[np.isfinite(every)]
    low, high = (every.min(), every.max()) if len(every) else usual or (0.0, 1.0)
    if usual and len(every):
        half = (usual[1] - usual[0]) / 2
        near = every[(every >= usual[0] - half) & (every <= usual[1] + half)]
        if 2 * len(near) > len(every):
            low, high = near.min(), near.max()
    beyond = int(((known < low) | (known > high)).sum())
    _set_ends(chart.y_range, float(low), float(high))
    chart.yaxis[0].axis_label = f"{label} ({beyond} beyond)" if beyond else label


def _set_ends(axis: Range1d, low: float, high: float) -> None:
    """Set the ends of an axis, with some room around."""
    room = 0.05 * (high - low) or max(0.05 * abs(high), 1e-3)
    ends = low - room, high + room
    axis.update(start=ends[0], end=ends[1], reset_start=ends[0], reset_end=ends[1])


def legend_of(items: list) -> Legend:
    """Build a legend that stands beside a chart, not on its data."""
    look = {"orientation": "horizontal", "label_text_font_size": "12px", "border_line_alpha": 0}
    return Legend(items=items, padding=2, margin=2, spacing=14, **look)


@dataclass(frozen=True)
class Overlay:
    """Own measurements that are drawn over a chart.

    Attributes
    ----------
    name : str
        What was measured.
    x : numpy.ndarray
        Time, or day of the year.
    table : pandas.DataFrame
        ``time``, ``value`` and ``place`` in the order of ``x``.
    shown : str
        Index or layer of the chart: measurements of this name are drawn on its axis, others on one
        of their own, to the right.
    """

    name: str
    x: np.ndarray
    table: pd.DataFrame
    shown: str

    @property
    def own_axis(self) -> bool:
        """Whether they are of something else than the chart."""
        return self.name.casefold() != self.shown.casefold()

    @property
    def labels(self) -> list[str]:
        """Date, value and place of each."""
        days, name = self.table.time.dt.strftime("%Y-%m-%d"), short(self.name)
        rows = zip(days, self.table.value, self.table.place, strict=True)
        texts = [(f"{day}, {name} {number:.6g}", place) for day, number, place in rows]
        return [f"{text}, {place}" if place else text for text, place in texts]


class MeasuredDots:
    """Own measurements over a chart, as black diamonds, with their axis and legend entry."""

    def __init__(self, chart: figure, legend: Legend):
        self._chart = chart
        self._source = ColumnDataSource({"x": [], "value": [], "label": []})
        self._range = Range1d(0, 1)
        chart.extra_y_ranges = {"measured": self._range}
        look = {"fill_color": "#000000", "line_color": "#ffffff", "line_width": 1.5}
        dots = chart.scatter(
            *("x", "value"),
            source=self._source,
            y_range_name="measured",
            marker="diamond",
            size=14,
            **look,
        )
        self._axis = LinearAxis(y_range_name="measured", axis_label_text_font_style="normal")
        self._axis.visible = False
        chart.add_layout(self._axis, "right")
        self._entry = LegendItem(label=value(" "), renderers=[dots], visible=False)
        legend.items = [*legend.items, self._entry]
        chart.add_tools(HoverTool(renderers=[dots], tooltips=[("", "@label")], visible=False))

    def show(
        self,
        overlay: Overlay | None,
        label: str,
        values: np.ndarray,
        usual: tuple[float, float] | None,
        spread: Sequence[float] | np.ndarray = (),
    ) -> None:
        """Draw measurements or none, and fit both axes; for the others see `fit_axis`."""
        if overlay is None or overlay.table.empty:
            self._source.data = {"x": [], "value": [], "label": []}
            self._entry.visible = self._axis.visible = False
            fit_axis(self._chart, label, values, usual, spread)
            return
        measured = overlay.table.value.to_numpy()
        if overlay.own_axis:
            fit_axis(self._chart, label, values, usual, spread)
            _set_ends(self._range, float(measured.min()), float(measured.max()))
        else:
            fit_axis(self._chart, label, np.r_[values, measured], usual, spread)
            same = ("start", "end", "reset_start", "reset_end")
            self._range.update(**{name: getattr(self._chart.y_range, name) for name in same})
        self._axis.update(axis_label=short(overlay.name, 40), visible=overlay.own_axis)
        self._entry.update(label=value(short(overlay.name, 40)), visible=True)
        self._source.data = {"x": overlay.x, "value": measured, "label": overlay.labels}


class SeriesChart:
    """The observations of one pixel; clouds are grey crosses, the date on the map is a line."""

    def __init__(self):
        self.figure = time_figure()
        self.save = SaveTool(filename="series")
        self.figure.add_tools(self.save)
        columns = ("time", "value", "label", "what")
        self._clear, self._cloudy = (ColumnDataSource({n: [] for n in columns}) for _ in range(2))
        self.figure.line("time", "value", source=self._clear, color=BLUE, line_width=1)
        grey = self.figure.scatter(
            "time", "value", source=self._cloudy, marker="x", size=8, color=GREY
        )
        blue = self.figure.scatter("time", "value", source=self._clear, size=7, color=BLUE)
        tips = [("", "@label"), ("", "@value{0.000}, @what")]
        self.figure.add_tools(HoverTool(renderers=[grey, blue], tooltips=tips, visible=False))
        names = [("clear", [blue]), ("not clear (cloud, shadow, snow)", [grey])]
        legend = legend_of(names)
        self.figure.add_layout(legend, "below")
        self._measured = MeasuredDots(self.figure, legend)
        name_tools(self.figure, "Chart")
        self._now = Span(dimension="height", line_color=ORANGE, line_width=2, visible=False)
        self.figure.add_layout(self._now)
        self.pane = pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=(0, 5))

    def on_click(self, act: Callable[[pd.Timestamp], None]) -> None:
        """Call ``act(time)`` at a click, also at the second of two quick ones."""
        for click in (Tap, DoubleTap):
            self.figure.on_event(click, lambda event: act(pd.Timestamp(event.x, unit="ms")))

    def show(
        self,
        table: pd.DataFrame,
        title: str,
        label: str,
        usual: tuple[float, float] | None,
        measured: Overlay | None = None,
    ) -> None:
        """Draw a series with the columns ``time``, ``value``, ``clear``, ``label``."""
        known = table[np.isfinite(table.value)]
        clear, cloudy = known[known.clear], known[~known.clear]
        parts = (self._clear, clear, "clear"), (self._cloudy, cloudy, "not clear")
        for source, part, what in parts:
            columns = {name: part[name].to_numpy() for name in ("time", "value", "label")}
            source.data = columns | {"what": [what] * len(part)}
        self.figure.title.text = title
        self._measured.show(measured, label, known.value.to_numpy(), usual)

    def show_day(self, time: pd.Timestamp | None) -> None:
        """Draw the line of the date on the map."""
        self._now.update(location=time, visible=time is not None)
