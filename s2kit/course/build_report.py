"""Report what a build did: its scenes, its overpasses, a summary, and what needs attention."""

import html
from datetime import date

import holoviews as hv
import numpy as np
import pandas as pd
import pystac
import rioxarray  # noqa: F401  (registers `.rio`)
import shapely
import xarray as xr
from IPython.display import HTML
from odc.geo.geobox import GeoBox

from s2kit.course.pictures import CHART, DASHES, MARKERS, with_source
from s2kit.cube.report import BuildReport
from s2kit.errors import InvalidInputError
from s2kit.viewers.colours import GREY, PLACE_COLOURS
from s2kit.viewers.page import origin_of

_BOX = "border: 1px solid #8A8A8A; border-radius: 6px; padding: 4px 20px 12px; max-width: 760px"
_CELL = "text-align: left; vertical-align: top; padding: 4px 16px 4px 0"


def list_scenes(items: pystac.ItemCollection) -> pd.DataFrame:
    """List scenes in a table, one row each.

    Parameters
    ----------
    items : pystac.ItemCollection
        As `s2kit.find_scenes` returns them.

    Returns
    -------
    pandas.DataFrame
        ``date``, ``orbit``, ``tile``, ``platform``, ``baseline``, ``cloud (%)`` as the scene
        states it, number of ``layers``, and ``id``.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    if not len(items):
        raise InvalidInputError(
            "no scenes were found in this region and period; choose another region or period. "
            "The practice scenes lie near Delft, from April 2021 to March 2023"
        )
    return pd.DataFrame(
        {
            "date": item.datetime and item.datetime.date(),
            "orbit": item.properties["sat:relative_orbit"],
            "tile": item.properties["grid:code"].removeprefix("MGRS-"),
            "platform": item.properties["platform"],
            "baseline": item.properties["s2:processing_baseline"],
            "cloud (%)": item.properties.get("eo:cloud_cover"),
            "layers": len(item.assets),
            "id": item.id,
        }
        for item in items
    )


def show_scenes(items: pystac.ItemCollection, grid: GeoBox) -> hv.Overlay:
    """Draw the outlines of scenes, by orbit and tile, and in grey the region of a grid.

    Parameters
    ----------
    items : pystac.ItemCollection
        As `s2kit.find_scenes` returns them.
    grid : odc.geo.geobox.GeoBox
        As `s2kit.grid.make_grid` returns it.
    """
    outlines: dict[str, set] = {}
    for item in items:
        orbit, tile = item.properties["sat:relative_orbit"], item.properties["grid:code"]
        shapes = outlines.setdefault(f"R{orbit:03d}, {tile.removeprefix('MGRS-')}", set())
        shapes.add(shapely.geometry.shape(item.geometry).boundary)
    synthetic = any(item.properties.get("s2kit:synthetic") for item in items)
    axes = ["longitude", "latitude"]
    region = grid.extent.to_crs("EPSG:4326").geom
    filled = hv.Polygons([shapely.get_coordinates(region)], axes)
    parts = [filled.opts(color="#DDDDDD", line_color=GREY)]
    for number, (name, shapes) in enumerate(sorted(outlines.items())):
        parts.append(
            hv.Curve(_line_through(shapes), *axes, label=name).opts(
                color=PLACE_COLOURS[number % len(PLACE_COLOURS)],
                line_dash=DASHES[number % len(DASHES)],
                line_width=2,
            )
        )
    return hv.Overlay(parts).opts(
        title=f"Outlines of the scenes\n({origin_of(synthetic)})",
        frame_width=420,
        data_aspect=1 / np.cos(np.radians(region.centroid.y)),
        legend_position="right",
    )


def show_overpasses(
    share: xr.DataArray, title: str = "Clear share at each overpass", *, least: float | None = None
) -> hv.Overlay:
    """Draw a share at each overpass as a dot, with a colour and a marker for each orbit.

    Parameters
    ----------
    share : xarray.DataArray, dims (time,), 0-1
        With the coordinate ``relative_orbit``.
    title : str
    least : float, optional
        Where to draw a dashed line, 0-1.
    """
    table = pd.DataFrame({"time": share.time.values, "share (%)": 100 * share.values})
    table["orbit"] = share["relative_orbit"].values
    parts: list[hv.Element] = []
    if least is not None:
        parts.append(hv.HLine(100 * least).opts(color=GREY, line_dash="dashed", line_width=1))
    for number, (orbit, part) in enumerate(table.groupby("orbit")):
        parts.append(
            hv.Scatter(part, "time", "share (%)", label=f"orbit {orbit}").opts(
                color=PLACE_COLOURS[number % len(PLACE_COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                size=7,
                tools=["hover"],
            )
        )
    return hv.Overlay(parts).opts(
        title=with_source(title),
        ylabel="share (%)",
        ylim=(-4, 104),
        legend_position="right",
        show_legend=True,
        **CHART,
    )


def show_summary(report: BuildReport, items: pystac.ItemCollection, cube: xr.Dataset) -> HTML:
    """Write the summary of a cube and of the build that made it, as a box.

    Parameters
    ----------
    report : s2kit.cube.report.BuildReport
        As `s2kit.build_cube` returns it.
    items : pystac.ItemCollection
        What was built.
    cube : xarray.Dataset, dims (time, y, x)
        The cube as it is now.

    Returns
    -------
    IPython.display.HTML
        What, where, when, how much, what failed, and the size of all files of the store.
    """
    rows = {
        "Imagery": cube.attrs["source"],
        **_extent(cube),
        "Date of this report": f"{date.today():%Y-%m-%d}",
        "This build": f"{len(items)} scenes found, {sum(report.added.values())} time steps written",
        "What failed": _failures(report, items),
        "Size on disk": _size(report),
        "Open it with": f"s2kit.open_cube({report.store!r})",
    }
    lines = [
        f'<tr><th scope="row" style="{_CELL}; white-space: nowrap">{name}</th>'
        f'<td style="{_CELL}">{html.escape(text)}</td></tr>'
        for name, text in rows.items()
    ]
    body = f'<table style="border: 0; margin: 0">{"".join(lines)}</table>'
    return HTML(f'<div style="{_BOX}"><h1>Report of the cube</h1>{body}</div>')


def _extent(cube: xr.Dataset) -> dict[str, str]:
    """Describe where and when a cube is, and how much of it is clear."""
    west, south, east, north = cube.rio.transform_bounds("EPSG:4326")
    size = abs(cube.rio.resolution()[0])
    first, last = (pd.Timestamp(cube.time.values[n]) for n in (0, -1))
    orbits = ", ".join(map(str, np.unique(cube.relative_orbit.values)))
    unit = cube.x.attrs.get("units", "units").replace("metre", "m")
    shape = f"{cube.sizes['y']} × {cube.sizes['x']} pixels of {size:g} {unit}"
    clear = cube.clear_fraction.values
    known = "unknown: the cube has no classification (SCL)"
    if np.isfinite(clear).any():
        known = f"{(clear >= 0.8).sum()} overpasses saw at least 80 % of the region clear"
    return {
        "Layers": ", ".join(map(str, cube.data_vars)),
        "Where": f"longitude {west:.3f}° to {east:.3f}°, latitude {south:.3f}° to {north:.3f}°; "
        f"{shape} in {cube.rio.crs}",
        "When": f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}: {len(clear)} overpasses, "
        f"relative orbits {orbits}",
        "Clear": known,
    }


def _failures(report: BuildReport, items: pystac.ItemCollection) -> str:
    """Count what the build could not use or doubts, by kind."""
    kinds = list_trouble(report, items)["what happened"].value_counts(sort=False)
    found = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"{found}: see “What needs your attention?”" if found else "nothing"


def _size(report: BuildReport) -> str:
    """Describe the size of all files of the store, and of its largest parts."""
    total, layers = report.size() / 1e6, report.storage()
    pixels, coarser = layers.stored_mb.sum(), layers.overviews_mb.sum()
    unit, factor = ("GB", 1e-3) if total > 1e4 else ("MB", 1)
    whole, *parts = (
        f"{factor * size:.1f} {unit}" for size in (total, pixels, coarser, total - pixels - coarser)
    )
    return "{}: {} of pixels, {} of overviews, {} of coordinates and metadata".format(whole, *parts)


def list_trouble(report: BuildReport, items: pystac.ItemCollection) -> pd.DataFrame:
    """List the scenes and chunks that need attention; an empty table means that all is well.

    Parameters
    ----------
    report : s2kit.cube.report.BuildReport
    items : pystac.ItemCollection
        With ``s2kit:refused`` among its extra fields, as `s2kit.find_scenes` returns it.

    Returns
    -------
    pandas.DataFrame
        ``what happened``, ``scene or chunk`` and ``why``.
    """
    refused = items.extra_fields.get("s2kit:refused", [])
    rows = [
        *(("refused", one["scene"], one["reason"]) for one in refused),
        *(("set aside", scene, why) for scene, why in report.failed.items()),
        *(("corrected", scene, why) for scene, why in report.corrected.items()),
        *(("noted", scene, why) for scene, why in report.notes.items()),
        *(("outside", scene, "") for scene in report.outside),
        *(("damaged", key, "not all scenes of its dates were given") for key in report.damaged),
    ]
    return pd.DataFrame(rows, columns=["what happened", "scene or chunk", "why"])


def _line_through(shapes: set) -> np.ndarray:
    """Return the corners of all shapes, shape (n, 2), with a gap behind each."""
    gap = [[np.nan, np.nan]]
    parts = [shapely.get_coordinates(part) for one in shapes for part in shapely.get_parts(one)]
    return np.vstack([np.vstack([part, gap]) for part in parts])
