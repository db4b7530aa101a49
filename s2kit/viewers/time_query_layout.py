"""How the time-query viewer looks: its controls, in rows."""

import html
from typing import TYPE_CHECKING

import panel as pn
from bokeh.models import CustomJSTickFormatter

from s2kit.viewers import colours
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
from s2kit.viewers.pictures import CLASSES, read_picture

if TYPE_CHECKING:
    from s2kit.viewers.time_query import TimeQuery

FIXED, OF_VIEW = "fixed", "2–98 % of the view"
OFF, SWIPE, BESIDE = "one map", "swipe", "side by side"
"""Words of the choices, also in the address of a page."""


def lay_out(viewer: "TimeQuery") -> Whole:
    """Put the controls of the viewer on its page."""
    parts = {
        "Picture": _picture(viewer),
        "Filter": _filter(viewer),
        "Place": _place(viewer),
        "Compare": _compare(viewer),
        "Save": _save(viewer),
    }
    viewer.other.pane.visible = False
    left = pn.Column(
        pn.Row(viewer.other.pane, viewer.map.pane),
        viewer.readout,
        zoom_row(viewer.look, viewer.map, viewer.page),
        styles={"flex": "none"},
    )
    right = pn.Column(
        sections(parts, "Controls"), viewer.series.pane, min_width=320, max_width=720,
        styles={"flex": "1 1 320px"},
    )  # fmt: skip
    return Whole(
        viewer.page.header,
        _dates(viewer),
        viewer.page.alert,
        viewer.page.busy,
        viewer.page.status,
        Labels(width=0, height=0, margin=0),
        pn.FlexBox(left, right, align_items="flex-start", flex_wrap="wrap"),
        sizing_mode="stretch_width",
        max_width=1400,
    )


def _dates(viewer: "TimeQuery") -> pn.FlexBox:
    page = viewer.page
    play = made(pn.widgets.Toggle, viewer.param.playing, "Play", margin=(3, 3), width=60)
    steps = [
        button("First", lambda: viewer.move(-len(viewer.timeline)), page),
        button("Previous", lambda: viewer.move(-1), page),
        play,
        button("Next", lambda: viewer.move(1), page),
        button("Last", lambda: viewer.move(len(viewer.timeline)), page),
    ]
    picker = made(pn.widgets.Select, viewer.param.moment, "Overpass", width=330, margin=(0, 8))
    slider = pn.widgets.IntSlider(
        name="Date", margin=(0, 8), min_width=260, styles={"flex": "1 1 260px"}, tooltips=False
    )
    _follow(viewer, slider)
    return pn.FlexBox(
        pn.Row(*steps, margin=(12, 5)), picker, slider, align_items="flex-start",
        sizing_mode="stretch_width",
    )  # fmt: skip


def _follow(viewer: "TimeQuery", slider: pn.widgets.IntSlider) -> None:
    """Keep the slider and the overpass in step; it tells of itself when it is let go."""

    def place() -> int:
        moments = list(viewer.offered.values())
        return moments.index(viewer.moment) if viewer.moment in moments else 0

    def offer(*_events) -> None:
        days = [label[:10] for label in viewer.offered] or ["none"]
        stretch(
            slider, 0, max(len(days) - 1, 1), place(), disabled=len(days) < 2,
            format=CustomJSTickFormatter(args={"days": days}, code="return days[tick] ?? ''"),
        )  # fmt: skip

    def turn(*_events) -> None:
        slider.value = place()

    def go(event) -> None:
        if event.new != place():  # not so when it follows the overpass
            show(list(viewer.offered.values())[event.new])

    show = viewer.page.guarded(lambda moment: viewer.param.update(moment=moment))
    offer()
    viewer.param.watch(offer, "offered")
    viewer.param.watch(turn, "moment")
    slider.param.watch(go, "value_throttled")


def _picture(viewer: "TimeQuery") -> pn.Column:
    picture = grouped(viewer, "picture", "Show", viewer.names)
    numbers = limits_row(viewer)
    stretch = made(pn.widgets.Select, viewer.param.stretch, "Limits", width=WIDTH)
    legend = pn.pane.HTML(_legend(viewer), width=WIDTH, margin=(0, 10))
    tint = {"Tint what is not clear (pink)": "mask"} if "SCL" in viewer.cube.data_vars else {}

    others = pn.pane.HTML("", width=WIDTH, margin=(0, 10))

    def adapt(*_events) -> None:
        classes = viewer.picture == CLASSES
        others.object = html.escape(read_picture(viewer.cube, viewer.picture).other_limits)
        others.visible = bool(others.object) and viewer.stretch == FIXED
        legend.visible = classes
        stretch.visible = not classes
        numbers.visible = not classes and viewer.stretch == FIXED

    viewer.param.watch(adapt, ["picture", "stretch"])
    adapt()
    return pn.Column(
        picture,
        stretch,
        numbers,
        others,
        legend,
        made(pn.widgets.IntSlider, viewer.param.opacity, "Opacity (%)", width=WIDTH),
        tick_boxes(viewer, tint | {"Basemap (internet)": "basemap"}),
        credit(viewer),
    )


def _legend(viewer: "TimeQuery") -> str:
    if "SCL" not in viewer.cube.data_vars:
        return ""
    rows = [
        '<li style="margin:1px 0 1px 20px; text-indent:-20px; break-inside:avoid">'
        '<span style="display:inline-block; width:14px; height:14px; border:1px solid #777; '
        f'vertical-align:-2px; background:{colour}"></span> '
        f"{number} {html.escape(name)}</li>"
        for number, name, colour in colours.classes_of(viewer.cube["SCL"])
        if number
    ]
    return (
        '<ul aria-label="Legend of the classes" style="list-style:none; padding:0; margin:0; '
        f'columns:2; font-size:12px">{"".join(rows)}</ul>'
    )


def _filter(viewer: "TimeQuery") -> pn.Column:
    groups = [("seasons", "Months"), ("orbits", "Relative orbit"), ("platforms", "Satellite")]
    return pn.Column(
        made(
            pn.widgets.IntSlider, viewer.param.least_clear,
            "Clear share of the whole cube, at least (%)", step=5, width=WIDTH,
        ),
        *(part for name, title in groups for part in _boxes(viewer, name, title)),
        pn.pane.HTML("Filters the dates of the map; the series keeps all.", margin=(4, 10)),
    )  # fmt: skip


def _boxes(viewer: "TimeQuery", name: str, title: str) -> list[pn.viewable.Viewable]:
    heading = pn.pane.HTML(f'<span aria-hidden="true">{title}</span>', margin=(6, 10, 0, 10))
    return [
        heading,
        made(pn.widgets.CheckBoxGroup, viewer.param[name], title, inline=True, margin=(0, 10)),
    ]


def _place(viewer: "TimeQuery") -> pn.Column:
    across, up = place_boxes(viewer.levels)

    def fill(*_events) -> None:
        if viewer.x is not None:
            across.value, up.value = viewer.x, viewer.y

    viewer.param.watch(fill, ["x", "y"])
    fill()
    ask = button("Ask this pixel", lambda: viewer.ask(across.value, up.value), viewer.page)
    chart = grouped(viewer, "chart", "Series of", viewer.number_names)
    return pn.Column(pn.Row(across, up), ask, chart)


def _compare(viewer: "TimeQuery") -> pn.Column:
    border = made(
        pn.widgets.IntSlider, viewer.param.swipe, "Swipe: pinned picture up to (% of the width)",
        width=WIDTH,
    )  # fmt: skip

    def adapt(*_events) -> None:
        border.visible = viewer.compare == SWIPE

    viewer.param.watch(adapt, "compare")
    adapt()
    return pn.Column(
        button("Pin the date that is shown", viewer.pin_this, viewer.page),
        made(pn.widgets.Select, viewer.param.pinned, "Pinned date", width=WIDTH),
        made(pn.widgets.RadioButtonGroup, viewer.param.compare, "Compare", margin=(5, 10)),
        border,
    )


def _save(viewer: "TimeQuery") -> pn.Column:
    pinned = save_button("Pinned map as PNG", viewer.other.save, "time_query_pinned_map")
    pinned.visible = False
    viewer.other.pane.link(pinned, visible="visible")
    return pn.Column(
        save_button("Map as PNG", viewer.map.save, "time_query_map"),
        pinned,
        save_button("Series as PNG", viewer.series.save, "time_query_series"),
        download("Series as CSV", viewer.csv, "time_query_series.csv", viewer.page),
    )
