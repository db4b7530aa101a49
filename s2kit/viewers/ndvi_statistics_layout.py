"""The controls of the statistics viewer and their layout."""

from typing import Any

import panel as pn

from s2kit.viewers.controls import (
    WIDTH,
    basemap_boxes,
    button,
    control,
    download,
    grouped_select,
    limits_row,
    place_boxes,
    save_all_button,
    save_button,
    set_range,
)
from s2kit.viewers.layout import assemble
from s2kit.viewers.page import ViewerLayout
from s2kit.viewers.places import MOST, Place
from s2kit.viewers.upload_controls import file_input, measurement_controls
from s2kit.viewers.uploads import FORMATS

_HINTS = {
    "point": "Click on the map: a point takes the pixel that holds it.",
    "box": "Click on two opposite corners.",
    "polygon": "Click on the corners one by one, and double-click on the last, or press “Finish”.",
}

_MEASURED = (
    "Own measurements, as CSV: a column “date”, a column of numbers, and a column “place” with the "
    "names of places; without that, they stand over all curves."
)


def lay_out(viewer: Any) -> ViewerLayout:
    """Build the controls of an `NdviStatistics` and its layout."""
    parts = {
        "Map": _map(viewer),
        "Draw": _draw(viewer),
        "Places": _places(viewer),
        "Save": _save(viewer),
    }
    kinds = control(pn.widgets.RadioButtonGroup, viewer.param.chart, "Kind of chart", margin=(3, 8))
    charts = [kinds, viewer.curves.pane, viewer.years.pane, viewer.table]
    return assemble(viewer, parts, maps=[viewer.map.pane], charts=charts)


def _map(viewer: Any) -> pn.Column:
    start, end = (
        control(pn.widgets.Select, viewer.param[name], title, width=90)
        for name, title in (("start", "First year"), ("end", "Last year"))
    )
    statistic = control(pn.widgets.Select, viewer.param.statistic, "Statistic", width=190)
    variable = grouped_select(viewer, "variable", "Index or layer", viewer.number_names, width=130)
    opacity = control(pn.widgets.IntSlider, viewer.param.opacity, "Opacity (%)", width=150)
    basemap, attribution = basemap_boxes(viewer)
    return pn.Column(
        pn.FlexBox(variable, statistic, start, end),
        viewer.histogram.pane,
        limits_with_slider(viewer),
        pn.FlexBox(opacity, basemap, align_items="center"),
        attribution,
    )


def limits_with_slider(viewer: Any) -> pn.FlexBox:
    """Build boxes and a slider for the limits."""
    slider = pn.widgets.RangeSlider(label="Colours", show_value=False, width=WIDTH - 100)

    def show(*_events: Any) -> None:
        least, most = viewer.span
        bottom, top = viewer.shown_limits
        low, high = min(least, bottom), max(most, top)
        step = max((high - low) / 200, 1e-6)  # of which the ends are multiples, to leave them
        set_range(slider, low, high, (bottom, top), step=step)

    viewer.param.watch(show, ["span", "shown_limits"])
    return limits_row(viewer, slider)


def _draw(viewer: Any) -> pn.Column:
    page = viewer.page
    kind = control(pn.widgets.RadioButtonGroup, viewer.param.draw, "Draw", margin=(3, 8))
    hint = pn.pane.HTML(_HINTS[viewer.draw], margin=(0, 10), styles={"font-size": "13px"})
    across, up = place_boxes(viewer.levels)

    def count(*_events: Any) -> None:
        number = len(viewer.corners)
        so_far = f" So far: {number} corner{'s' * (number != 1)}." if number else ""
        hint.object = _HINTS[viewer.draw] + so_far
        if number:
            viewer.section.value = "Draw"  # where the corners are counted and can be removed

    viewer.param.watch(count, ["draw", "corners"])
    viewer.redraw.follow(["draw"], ["corners"], lambda free: viewer.cancel() if free else None)
    corner = button("Add corner", lambda: viewer.click(across.value, up.value), page, align="end")
    formats = f"Or upload GeoJSON or GeoPackage, up to {MOST} places and 5 MB:"
    return pn.Column(
        kind,
        hint,
        pn.Row(across, up, corner),
        pn.Row(button("Finish", viewer.finish, page), button("Cancel", viewer.cancel, page)),
        pn.pane.HTML(formats, margin=(4, 10, 0, 10)),
        file_input("File of places", FORMATS, viewer.upload, page),
    )


def _places(viewer: Any) -> pn.Column:
    choice = control(pn.widgets.Select, viewer.param.chosen, "Place", width=WIDTH)
    name = pn.widgets.TextInput(label="Name", width=190)
    colour = pn.widgets.ColorPicker(label="Colour", width=60)

    def chosen() -> Place | None:
        return next((place for place in viewer.places if place.name == viewer.chosen), None)

    def fill() -> None:
        place = chosen()
        name.disabled = colour.disabled = remove.disabled = place is None
        name.value, colour.value = (place.name, place.colour) if place else ("", "#ffffff")

    def rename(event: Any) -> None:
        if event.new != viewer.chosen and not name.disabled:
            change(name=event.new)
            viewer.param.trigger("chosen")  # the name that it got may be the one it had

    def recolour(event: Any) -> None:
        place = chosen()
        if place and event.new != place.colour:
            change(colour=event.new)

    remove = button("Remove this place", viewer.remove, viewer.page)
    fill()
    # in a later turn, as Bokeh sends no change of a control back while it receives one of it
    viewer.redraw.on(["chosen", "places"], fill)
    change = viewer.page.guarded(viewer.change)
    name.param.watch(rename, "value")
    colour.param.watch(recolour, "value")
    measured = measurement_controls(viewer, _MEASURED)
    return pn.Column(choice, pn.Row(name, colour), remove, measured)


def _save(viewer: Any) -> pn.Column:
    page = viewer.page
    rows = [[viewer.map], [viewer.curves, viewer.years]]
    return pn.Column(
        save_all_button("Map and chart as PNG", rows, "ndvi_statistics"),
        save_button("Map as PNG", viewer.map, "ndvi_statistics_map"),
        save_button("Curves as PNG", viewer.curves, "ndvi_statistics_curves"),
        save_button("Years as PNG", viewer.years, "ndvi_statistics_years"),
        download("Series as CSV", viewer.csv, "ndvi_statistics_series.csv", page),
        download("Places as GeoJSON", viewer.geojson, "ndvi_statistics_places.geojson", page),
    )
