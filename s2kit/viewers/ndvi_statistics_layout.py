"""How the statistics viewer looks: its controls, in rows."""

from typing import TYPE_CHECKING

import panel as pn

from s2kit.viewers.controls import (
    WIDTH,
    button,
    credit,
    download,
    grouped,
    limits_row,
    made,
    place_boxes,
    save_button,
    sections,
    stretch,
    tick_boxes,
    zoom_row,
)
from s2kit.viewers.labels import Labels
from s2kit.viewers.page import Whole
from s2kit.viewers.places import MOST
from s2kit.viewers.uploads import FORMATS, LARGEST, require_size

if TYPE_CHECKING:
    from s2kit.viewers.ndvi_statistics import NdviStatistics

_HINTS = {
    "point": "Click on the map: a point takes the pixel that holds it.",
    "box": "Click on two opposite corners.",
    "polygon": "Click on the corners one by one, and double-click on the last, or press “Finish”.",
}


def lay_out(viewer: "NdviStatistics") -> Whole:
    """Put the controls of the viewer on its page."""
    viewer.table = pn.pane.HTML("", margin=(0, 8), sizing_mode="stretch_width")
    parts = {
        "Map": _map(viewer),
        "Draw": _draw(viewer),
        "Places": _places(viewer),
        "Save": _save(viewer),
    }
    chart = made(pn.widgets.RadioButtonGroup, viewer.param.chart, "Kind of chart", margin=(3, 8))
    left = pn.Column(
        viewer.map.pane,
        viewer.readout,
        zoom_row(viewer.look, viewer.map, viewer.page),
        styles={"flex": "none"},
    )
    controls = sections(parts, "Controls")

    def turn(*_events) -> None:
        if viewer.corners:
            controls[0].value = "Draw"  # which tells of the corners, and how to forget them

    viewer.param.watch(turn, "corners")
    right = pn.Column(
        controls, chart, viewer.curves.pane, viewer.years.pane, viewer.table,
        min_width=320, max_width=720, styles={"flex": "1 1 320px"},
    )  # fmt: skip
    labels = Labels(width=0, height=0, margin=0, most_bytes=LARGEST)
    refuse = viewer.page.guarded(require_size)
    labels.on_msg(lambda event: refuse(event.data["name"], event.data["size"]))
    return Whole(
        viewer.page.header,
        viewer.page.alert,
        viewer.page.busy,
        viewer.page.status,
        labels,
        pn.FlexBox(left, right, align_items="flex-start", flex_wrap="wrap"),
        sizing_mode="stretch_width",
        max_width=1400,
    )


def _map(viewer: "NdviStatistics") -> pn.Column:
    years = [
        made(pn.widgets.Select, viewer.param[name], title, width=90)
        for name, title in (("start", "First year"), ("end", "Last year"))
    ]
    statistic = made(pn.widgets.Select, viewer.param.statistic, "Statistic", width=165)
    variable = grouped(viewer, "variable", "Index or layer", viewer.number_names, width=130)
    return pn.Column(
        pn.FlexBox(variable, statistic, *years),
        viewer.histogram.pane,
        _limits(viewer),
        pn.FlexBox(
            made(pn.widgets.IntSlider, viewer.param.opacity, "Opacity (%)", width=150),
            tick_boxes(viewer, {"Basemap (internet)": "basemap"}),
            align_items="center",
        ),
        credit(viewer),
    )


def _limits(viewer: "NdviStatistics") -> pn.FlexBox:
    slider = pn.widgets.RangeSlider(name="Colours", show_value=False, width=WIDTH - 100)

    def show(*_events) -> None:
        least, most = viewer.span
        bottom, top = viewer.shown_limits
        step = max((most - least) / 200, 1e-6)
        stretch(slider, min(least, bottom), max(most, top), (bottom, top), step=step)

    viewer.param.watch(show, ["span", "shown_limits"])
    return limits_row(viewer, slider)


def _draw(viewer: "NdviStatistics") -> pn.Column:
    kind = made(pn.widgets.RadioButtonGroup, viewer.param.draw, "Draw", margin=(3, 8))
    hint = pn.pane.HTML(_HINTS[viewer.draw], margin=(0, 10), styles={"font-size": "13px"})
    across, up = place_boxes(viewer.levels)
    file = pn.widgets.FileInput(
        accept=",".join(FORMATS), margin=(3, 10), directory=False, multiple=False
    )

    def take(*_events) -> None:
        content, filename = file.value, file.filename
        if filename:  # not so when it is cleared, which leaves an error on the page
            file.param.update(value=None, filename=None)
            file.clear()
            upload(content or b"", filename)

    def tell(*_events) -> None:
        count = len(viewer.corners)
        so_far = f" So far: {count} corner{'s' * (count != 1)}." if count else ""
        hint.object = _HINTS[viewer.draw] + so_far

    viewer.param.watch(tell, ["draw", "corners"])
    viewer.follow(lambda free: viewer.cancel() if free else None, ["draw"], ["corners"])
    page = viewer.page
    upload = page.guarded(viewer.upload)
    file.param.watch(take, ["value", "filename"])
    return pn.Column(
        kind,
        hint,
        pn.Row(across, up, button("Add corner", lambda: viewer.click(across.value, up.value), page,
                                  align="end")),
        pn.Row(button("Finish", viewer.finish, page), button("Cancel", viewer.cancel, page)),
        pn.pane.HTML(
            f"Or upload GeoJSON or GeoPackage, up to {MOST} places and 5 MB:",
            margin=(4, 10, 0, 10),
        ),
        file,
    )  # fmt: skip


def _places(viewer: "NdviStatistics") -> pn.Column:
    place = made(pn.widgets.Select, viewer.param.chosen, "Place", width=WIDTH)
    name = pn.widgets.TextInput(name="Name", width=190)
    colour = pn.widgets.ColorPicker(name="Colour", width=60)

    def fill(*_events) -> None:
        found = [one for one in viewer.places if one.name == viewer.chosen]
        name.disabled = colour.disabled = remove.disabled = not found
        name.value, colour.value = (found[0].name, found[0].colour) if found else ("", "#ffffff")

    def rename(event) -> None:
        if event.new != viewer.chosen and not name.disabled:
            change(name=event.new)
            viewer.param.trigger("chosen")  # the name that it got may be the one it had

    def recolour(event) -> None:
        found = [one for one in viewer.places if one.name == viewer.chosen]
        if found and event.new != found[0].colour:
            change(colour=event.new)

    remove = button("Remove this place", viewer.remove, viewer.page)
    fill()
    viewer.watch(fill, "chosen", "places")  # later, as the browser has just sent what it replaces
    change = viewer.page.guarded(viewer.change)
    name.param.watch(rename, "value")
    colour.param.watch(recolour, "value")
    return pn.Column(place, pn.Row(name, colour), remove)


def _save(viewer: "NdviStatistics") -> pn.Column:
    page = viewer.page
    curves = save_button("Curves as PNG", viewer.curves.save, "ndvi_statistics_curves")
    years = save_button("Years as PNG", viewer.years.save, "ndvi_statistics_years")
    for chart, saves in ((viewer.curves, curves), (viewer.years, years)):
        chart.pane.link(saves, visible="visible")  # what is hidden has no picture
    return pn.Column(
        save_button("Map as PNG", viewer.map.save, "ndvi_statistics_map"),
        curves,
        years,
        download("Series as CSV", viewer.csv, "ndvi_statistics_series.csv", page),
        download("Places as GeoJSON", viewer.geojson, "ndvi_statistics_places.geojson", page),
    )
