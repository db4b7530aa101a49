"""Draw fields and what is known of them: outlines, points, bars, a confusion matrix, a season."""

from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import holoviews as hv
import numpy as np
import pandas as pd
import shapely
import xarray as xr

from s2kit.course.pictures import CHART, MARKERS, class_colours, map_style, with_source
from s2kit.viewers.colours import BLUE, GREY

_DAYS = {"start": "dotted", "peak": "solid", "end": "dashed"}
"""The line of each day of a season."""


def show_fields(
    fields: gpd.GeoDataFrame,
    column: str | None = None,
    title: str | None = None,
) -> hv.Path | hv.Overlay:
    """Draw fields: white outlines to lay over a map, or areas coloured by their class.

    Parameters
    ----------
    fields : geopandas.GeoDataFrame
        Polygons.
    column : str, optional
        The class; without it, outlines are drawn.
    title : str, optional
        By default the name of the column.
    """
    if column is None:
        rings = [shapely.get_coordinates(part) for part in fields.boundary.explode()]
        return hv.Path(rings, ["x", "y"]).opts(color="white", line_width=1)
    west, south, east, north = fields.total_bounds
    names = fields[column].astype(str)
    numbers = names.value_counts()
    colours = class_colours(numbers.index)
    parts = []
    for name in numbers.index:
        outlines = fields.geometry[names == name].explode().exterior
        areas = [shapely.get_coordinates(outline) for outline in outlines]
        label = f"{name} ({numbers[name]})"
        part = hv.Polygons(areas, ["x", "y"], label=label)
        style = {"color": colours[name], "line_color": "white", "line_width": 0.5}
        parts.append(part.opts(show_legend=True, **style))
    return hv.Overlay(parts).opts(
        title=with_source(title or column),
        xlim=(west, east),
        ylim=(south, north),
        legend_position="right",
        **map_style(east - west, north - south),
    )


def show_points(
    table: pd.DataFrame,
    across: str,
    up: str,
    by: str,
    title: str,
    *,
    labels: tuple[str, str] | None = None,
) -> hv.Overlay:
    """Draw a point for each row of a table, with a colour and a shape for each class.

    Parameters
    ----------
    table : pandas.DataFrame
    across, up : str
        The columns of the horizontal and of the vertical axis.
    by : str
        The column of the class.
    title : str
    labels : tuple of str, optional
        Of the two axes; by default the names of the columns.
    """
    names = sorted(table[by].unique(), key=str)
    colours = class_colours(names)
    parts = []
    for number, name in enumerate(names):
        some = table[table[by] == name]
        points = hv.Scatter((some[across], some[up]), across, up, label=str(name))
        marker = MARKERS[number % len(MARKERS)]
        parts.append(points.opts(color=colours[name], marker=marker, size=6, alpha=0.7))
    right, high = labels or (across, up)
    style = {**CHART, "xlabel": right, "ylabel": high, "frame_width": 480, "frame_height": 340}
    return hv.Overlay(parts).opts(title=with_source(title), legend_position="right", **style)


def show_bars(
    values: pd.Series,
    title: str,
    *,
    label: str,
    spread: pd.Series | None = None,
    colours: Mapping[str, str] | None = None,
) -> hv.Bars | hv.Overlay:
    """Draw a horizontal bar for each value, the first at the top.

    Parameters
    ----------
    values : pandas.Series
        Its index names the bars.
    title, label : str
        Of the chart, and of the axis of the values.
    spread : pandas.Series, optional
        Half the length of a line at the end of each bar.
    colours : mapping of str to str, optional
        Of bars by name; by default all are blue.
    """
    names = [str(name) for name in values.index][::-1]
    numbers = values.to_numpy("f8")[::-1]
    shown = [(colours or {}).get(name, BLUE) for name in names]
    bars = hv.Bars((names, numbers, shown), "name", [label, "colour"]).opts(
        color="colour",
        invert_axes=True,
        line_color=None,
        title=with_source(title),
        frame_width=420,
        frame_height=max(110, 26 * len(names)),
        xlabel="",
        ylabel=label,
        tools=["hover"],
    )
    if spread is None:
        return bars
    lines = hv.ErrorBars((names, numbers, spread.to_numpy("f8")[::-1]), "name", [label, "spread"])
    return bars * lines.opts(hooks=[_raise_lines])


def show_confusion(confusion: pd.DataFrame, title: str) -> hv.Overlay:
    """Draw a confusion matrix: counts, coloured by their share of the true class.

    Parameters
    ----------
    confusion : pandas.DataFrame
        Pixels by true class (rows) and answer (columns).
    title : str
    """
    counts = confusion.to_numpy("f8")
    share = 100 * counts / counts.sum(axis=1, keepdims=True)
    cells = pd.DataFrame(
        {
            "answer": [str(name) for name in confusion.columns] * len(confusion),
            "truth": np.repeat([str(name) for name in confusion.index], len(confusion.columns)),
            "share": share.ravel(),
            "pixels": counts.ravel().astype(int),
            "ink": np.where(share.ravel() > 50, "white", "black"),
        }
    )
    heat = hv.HeatMap(cells, ["answer", "truth"], ["share", "pixels"]).opts(
        cmap="cividis_r",
        clim=(0, 100),
        colorbar=True,
        colorbar_position="bottom",
        clabel="share of the true class (%)",
        invert_yaxis=True,
        xrotation=45,
        frame_width=400,
        frame_height=340,
        tools=["hover"],
        title=with_source(title),
    )
    text = hv.Labels(cells, ["answer", "truth"], ["pixels", "ink"])
    return heat * text.opts(text_color="ink", text_font_size="10pt")


def show_season(
    seen: xr.DataArray,
    curve: xr.DataArray,
    season: xr.Dataset,
    title: str,
    *,
    colour: str = BLUE,
) -> hv.Overlay:
    """Draw what was seen of a field, its smooth curve, and the days of its season.

    Parameters
    ----------
    seen, curve : xarray.DataArray, dims (time,)
        Clear observations; and the curve that `s2kit.regular_series` makes of them, which is cut
        where it is NaN.
    season : xarray.Dataset, no dims
        As `s2kit.season` returns it, of one field; days that are NaT are left out.
    title : str
    colour : str
        Of the curve.
    """
    dots = seen.dropna("time")
    name = str(seen.name or "value")
    parts = [
        hv.Scatter((dots.time.values, dots.values), "time", name).opts(color=GREY, size=5),
        hv.Curve((curve.time.values, curve.values), "time", name).opts(color=colour, line_width=2),
    ]
    for word, dash in _DAYS.items():
        day = season[word].values
        if not np.isnat(day):
            parts.append(hv.VLine(day).opts(color="black", line_dash=dash, line_width=1))
    style = {**CHART, "frame_width": 330, "frame_height": 180, "xrotation": 40}
    return hv.Overlay(parts).opts(title=with_source(title), ylabel=f"{name} (1)", **style)


def _raise_lines(plot: Any, element: hv.ErrorBars) -> None:
    """Draw lines of errors over the bars; Bokeh draws them below."""
    plot.handles["glyph"].level = "overlay"
