"""Draw the pictures of the notebooks: colours, maps, classes and series, in one style.

Each function returns an element of HoloViews, so that pictures can be laid over each other
(``picture * course.mark(place)``) and restyled (``picture.opts(…)``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers `.rio`)
import xarray as xr
from bokeh.models import FixedTicker

from s2kit.panel_loading import load_panel
from s2kit.viewers.colours import BLUE, GREY, MIXES, classes_of, percentile_limits
from s2kit.viewers.page import origin_of
from s2kit.viewers.timeline import percent as percent

_WIDTHS = {1: 440, 2: 330, 3: 240}
"""Pixels of the screen of a map's width, by the number of columns."""

CHART = {"frame_width": 620, "frame_height": 240, "xlabel": "", "padding": 0.05}

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star")
DASHES = ("solid", "dashed", "dotted", "dotdash")

_CLASSES = {
    "grassland": "#009E73",
    "winter wheat": "#E69F00",
    "winter barley": "#F0E442",
    "potato": "#D55E00",
    "sugar beet": "#CC79A7",
    "maize": "#0072B2",
    "onion": "#56B4E9",
}
"""Colours of crops; the colour-blind can distinguish them (Okabe and Ito 2008)."""

_SPARE = (*_CLASSES.values(), "#000000")
"""Colours of other classes."""

_source = {"note": ""}
"""What `describe` found; the titles of later pictures name it."""


def start_pictures() -> None:
    """Prepare hvPlot: ``data.hvplot…`` draws in notebooks and in HTML exports, offline too."""
    load_panel()  # comes first, so that HoloViews and hvPlot find it
    hv.extension("bokeh", inline=True, logo=False)

    import hvplot.pandas
    import hvplot.xarray  # noqa: F401  (registers `.hvplot`)


def describe(cube: xr.Dataset) -> None:
    """Print what a cube holds; the pictures drawn afterwards name its source in their titles.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it.
    """
    _source["note"] = origin_of(bool(cube.attrs.get("synthetic")))
    first, last = (f"{moment:.10}" for moment in cube.time.values[[0, -1]])
    size = abs(float(cube.x[1] - cube.x[0]))
    print(f"{cube.sizes['time']} overpasses from {first} to {last}")
    print(f"{cube.sizes['y']} × {cube.sizes['x']} pixels of {size:g} m, {cube.rio.crs}")
    print(cube.attrs["source"])


def with_source(text: str) -> str:
    """Return the title of a picture, with the source of the data that `describe` found.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        The text, and below it "(synthetic practice data)" or "(Sentinel-2)".
    """
    return f"{text}\n({_source['note']})" if _source["note"] else text


def middle(cube: xr.Dataset, pixels: int = 500) -> xr.Dataset:
    """Return the middle of a cube, so that a notebook also runs on the cube of a country.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
    pixels : int
        Rows and columns, at most.
    """
    starts = {axis: max(0, (cube.sizes[axis] - pixels) // 2) for axis in ("y", "x")}
    return cube.isel({axis: slice(start, start + pixels) for axis, start in starts.items()})


def show_rgb(scene: xr.Dataset, mix: str = "True colour", *, title: str | None = None) -> hv.RGB:
    """Draw three bands of one date as red, green and blue.

    Parameters
    ----------
    scene : xarray.Dataset, dims (y, x)
        Reflectances, 0-1. Without the bands of the mix, its first variable is drawn in grey.
    mix : {"True colour", "False colour"}
        Red, green and blue light; or near infrared as red, red as green, and green as blue.
    title : str, optional
        By default the mix and the date.
    """
    bands, brightest = MIXES[mix].bands, MIXES[mix].brightest
    if not set(bands) <= set(scene.data_vars):
        first = str(next(iter(scene.data_vars)))
        bands, mix = (first,) * 3, first
    layers = [(scene[band] / top).clip(0, 1) for band, top in zip(bands, brightest, strict=True)]
    colours = np.stack([layer.values for layer in layers], axis=-1)
    opaque = np.isfinite(colours).all(axis=-1)
    channels = *np.moveaxis(colours, -1, 0), opaque.astype("float32")
    picture = hv.RGB((scene.x.values, scene.y.values, *channels), vdims=list("RGBA"))
    style = map_style(scene.sizes["x"], scene.sizes["y"])
    return picture.opts(title=with_source(title or _dated(mix, scene)), tools=["hover"], **style)


def show_map(
    layer: xr.DataArray,
    title: str | None = None,
    *,
    label: str | None = None,
    limits: Sequence[float] | None = None,
    within: xr.DataArray | None = None,
    colours: str = "viridis",
) -> hv.Image:
    """Draw the numbers of a map with a bar of colours.

    Parameters
    ----------
    layer : xarray.DataArray, dims (y, x)
    title, label : str, optional
        Of the map, and of the bar; by default the layer's name, date and unit.
    limits : sequence of two float, optional
        Of the colours; by default all values without the lowest and highest 2 %.
    within : xarray.DataArray, dims (y, x), bool, optional
        Only the values of these pixels set the limits, such as those of land.
    colours : str
        A colour map of HoloViews.
    """
    some = layer if within is None else layer.where(within)
    low, high = limits or percentile_limits([some.values]) or (0, 1)
    name = str(layer.name or "")
    return hv.Image((layer.x.values, layer.y.values, layer.values), vdims=[name or "value"]).opts(
        title=with_source(title or _dated(name, layer)),
        cmap=colours,
        clim=(float(low), float(high)),
        colorbar=True,
        colorbar_position="bottom",
        clabel=label or f"{name} ({layer.attrs.get('units', '1')})",
        tools=["hover"],
        **map_style(layer.sizes["x"], layer.sizes["y"]),
    )


def show_classes(
    layer: xr.DataArray,
    title: str | None = None,
    *,
    colours: Mapping[str, str] | None = None,
) -> hv.Image:
    """Draw a map of classes, with the name of each beside its colour.

    Parameters
    ----------
    layer : xarray.DataArray, dims (y, x), uint8
        With ``flag_values`` and ``flag_meanings``; 0 is no data.
    title : str, optional
        By default the layer's name and date.
    colours : mapping of str to str, optional
        By default those of ``flag_colors``, or else those of `class_colours`.
    """
    if colours is None and "flag_colors" in layer.attrs:
        classes = classes_of(layer)
    else:
        numbers = np.atleast_1d(layer.attrs["flag_values"])
        names = [name.replace("_", " ") for name in layer.attrs["flag_meanings"].split()]
        own = class_colours(name for name in names if name != "no data")
        colours = {"no data": "#FFFFFF", **own, **(colours or {})}
        classes = [(int(n), name, colours[name]) for n, name in zip(numbers, names, strict=True)]
    values = layer.values
    shown = [one for one in classes if one[0] in values]
    ranks = np.full(256, np.nan)
    ranks[[number for number, *_ in shown]] = np.arange(len(shown))
    picture = hv.Image((layer.x.values, layer.y.values, ranks[values.astype("uint8")]))
    return picture.opts(
        title=with_source(title or _dated(str(layer.name), layer)),
        cmap=[colour for *_, colour in shown],
        clim=(-0.5, len(shown) - 0.5),
        colorbar=True,
        colorbar_position="right",
        clabel="",
        colorbar_opts={
            "ticker": FixedTicker(ticks=list(range(len(shown)))),
            "major_label_overrides": {n: name for n, (_, name, _) in enumerate(shown)},
        },
        **map_style(layer.sizes["x"], layer.sizes["y"]),
    )


def show_series(
    values: xr.DataArray,
    clear: xr.DataArray | None = None,
    *,
    spread: xr.DataArray | None = None,
    title: str | None = None,
    label: str | None = None,
) -> hv.Overlay:
    """Draw a series in time: a line through what is clear, grey crosses for the rest.

    Parameters
    ----------
    values : xarray.DataArray, dims (time,)
    clear : xarray.DataArray, dims (time,), bool, optional
        Which of them are clear; by default all.
    spread : xarray.DataArray, dims (time,), optional
        Half the length of a bar at each clear value.
    title, label : str, optional
        Of the chart, and of its vertical axis; by default the name of the values.
    """
    name = str(values.name or "value")
    table = pd.DataFrame({"time": values.time.values, name: values.values})
    table["clear"] = True if clear is None else clear.values
    table["spread"] = 0.0 if spread is None else spread.values
    table = table.dropna(subset=name)
    seen, hidden = table[table["clear"]], table[~table["clear"]]
    parts = [hv.Curve(seen, "time", name).opts(color=BLUE, line_width=1)]
    if spread is not None:
        bars = hv.ErrorBars(seen, "time", [name, "spread"])
        parts.append(bars.opts(color=BLUE, lower_head=None, upper_head=None))
    if len(hidden):
        crosses = hv.Scatter(hidden, "time", name, label="cloud, shadow or snow")
        parts.append(crosses.opts(color=GREY, marker="x", size=7, tools=["hover"]))
    dots = hv.Scatter(seen, "time", name, label="clear" if len(hidden) else "")
    parts.append(dots.opts(color=BLUE, size=6, tools=["hover"]))
    return hv.Overlay(parts).opts(
        legend_position="top",
        legend_cols=2,
        legend_opts={"margin": 0, "padding": 2, "border_line_alpha": 0},  # else it covers the chart
        title=with_source(title or name),
        ylabel=label or f"{name} (1)",
        **CHART,
    )


def show_lines(
    table: pd.DataFrame,
    title: str,
    *,
    label: str = "",
    colours: Mapping[str, str] | None = None,
) -> hv.Overlay:
    """Draw the columns of a table as lines with dots, each with its name beside them.

    Parameters
    ----------
    table : pandas.DataFrame
        Its index is the horizontal axis; gaps (NaN) are left out.
    title, label : str
        Of the chart, and of its vertical axis.
    colours : mapping of str to str, optional
        Of each column; by default those of `class_colours`.
    """
    colours = colours or class_colours(table.columns)
    across = str(table.index.name or "time")
    parts = []
    for number, name in enumerate(table.columns):
        column = table[name].dropna()
        style = {"color": colours[name], "muted_alpha": 0.1}
        points = (column.index, column.to_numpy())
        line = hv.Curve(points, across, "value", label=str(name))
        dash = DASHES[number // len(_SPARE) % len(DASHES)]
        dots = hv.Scatter(points, across, "value", label=str(name))
        marker = MARKERS[number % len(MARKERS)]
        parts += [
            line.opts(line_width=2, line_dash=dash, **style),
            dots.opts(size=6, marker=marker, tools=["hover"], **style),
        ]
    return hv.Overlay(parts).opts(
        title=with_source(title), ylabel=label, legend_position="right", **CHART
    )


def mark(place: Mapping[str, Any] | xr.Dataset, number: int = 0) -> hv.Points:
    """Draw a ring around a place, to lay over a map.

    Parameters
    ----------
    place : mapping or xarray.Dataset
        With ``x`` and ``y``, in the coordinate system of the map.
    number : int
        Another number, another colour and shape.
    """
    points = hv.Points([(float(place["x"]), float(place["y"]))], ["x", "y"])
    return points.opts(
        marker=MARKERS[number % len(MARKERS)],
        fill_alpha=0,
        line_color=("#FF4DC4", "#FFB000", "#FFFFFF", "#000000")[number % 4],
        line_width=3,
        size=16,
    )


def compare(*pictures: hv.Element, columns: int = 2) -> hv.Layout:
    """Put pictures side by side; maps move and zoom together.

    Parameters
    ----------
    *pictures : holoviews element
        As the functions of this module return them.
    columns : {1, 2, 3}
    """
    parts = []
    for picture in pictures:
        for part in picture.traverse(specs=[hv.RGB, hv.Image]):
            (west, east), (south, north) = part.range(0), part.range(1)
            width = _frame_width(east - west, north - south, columns)
            picture = picture.opts(type(part).__name__, frame_width=width)
        parts.append(picture)
    return hv.Layout(parts).cols(columns)


def class_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each class: a crop has the same one in all notebooks.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    dict of str to str
        From the name to a colour such as ``"#009E73"``.
    """
    names = list(dict.fromkeys(names))
    others = sorted(str(name) for name in names if name not in _CLASSES)
    free = [colour for colour in _SPARE if colour not in {_CLASSES.get(name) for name in names}]
    free = free or list(_SPARE)
    spare = {name: free[number % len(free)] for number, name in enumerate(others)}
    return {name: _CLASSES.get(name) or spare[str(name)] for name in names}


def _dated(name: str, data: xr.Dataset | xr.DataArray) -> str:
    """Return a name with the date of the data, if it is of one date."""
    time = data.coords.get("time")
    return name if time is None or time.ndim else f"{name}, {time.values:.10}"


def map_style(width: float, height: float) -> dict[str, Any]:
    """Return the options of a map: pixels are square, and coordinates are in full."""
    return {
        "data_aspect": 1,
        "frame_width": _frame_width(width, height),
        "xformatter": "%.7g",
        "yformatter": "%.7g",
        "xlabel": "",
        "ylabel": "",
    }


def _frame_width(width: float, height: float, columns: int = 1) -> int:
    """Return the pixels of the screen of a map's width; a high map is narrower."""
    return round(_WIDTHS[columns] * min(1, width / height))
