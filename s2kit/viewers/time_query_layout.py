"""The controls of the time-query viewer and their layout."""

import html
from typing import Any

import panel as pn
from bokeh.models import ColumnDataSource, CustomJSTickFormatter

from s2kit.viewers import colours
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
from s2kit.viewers.date_maps import FIXED, SAME, SWIPE
from s2kit.viewers.layout import assemble
from s2kit.viewers.page import ViewerLayout
from s2kit.viewers.renderers import CLASSES, find_renderer
from s2kit.viewers.upload_controls import measurement_controls


def lay_out(viewer: Any) -> ViewerLayout:
    """Build the controls of a `TimeQuery` and its layout."""
    parts = {
        "Picture": _picture(viewer),
        "Filter": _filter(viewer),
        "Place": _place(viewer),
        "Compare": _compare(viewer),
        "Save": _save(viewer),
    }
    return assemble(
        viewer,
        parts,
        maps=[viewer.other.pane, viewer.map.pane],
        charts=[viewer.series.pane],
        top=[_dates(viewer)],
    )


def _dates(viewer: Any) -> pn.FlexBox:
    page, last = viewer.page, len(viewer.timeline)
    play = control(pn.widgets.Toggle, viewer.param.playing, "Play", margin=(3, 3), width=60)
    steps = [
        button("First", lambda: viewer.move(-last), page),
        button("Previous", lambda: viewer.move(-1), page),
        play,
        button("Next", lambda: viewer.move(1), page),
        button("Last", lambda: viewer.move(last), page),
    ]
    picker = control(pn.widgets.Select, viewer.param.moment, "Overpass", width=312, margin=(0, 8))
    _stop_where_seen(viewer, play, picker)
    row = pn.Row(*steps, margin=(12, 5))
    wide = {"align_items": "flex-start", "sizing_mode": "stretch_width"}
    return pn.FlexBox(row, picker, _date_slider(viewer), **wide)


def _stop_where_seen(viewer: Any, play: pn.widgets.Toggle, picker: pn.widgets.Select) -> None:
    """Stop playing at the date that is seen: on a slow connection others are on their way."""
    seen = ColumnDataSource({"moment": []})
    code = "if (!cb_obj.active) seen.data = {moment: [picker.value]}"
    play.jscallback(args={"picker": picker, "seen": seen}, value=code)

    def stop(_attr: str, _old: Any, new: dict[str, list[str]]) -> None:
        (moment,) = new["moment"]
        shown = {"moment": moment} if moment in viewer.offered.values() else {}
        viewer.param.update(playing=False, **shown)

    seen.on_change("data", stop)


def _date_slider(viewer: Any) -> pn.widgets.IntSlider:
    """Build a slider of the overpasses, which shows one when it is let go."""
    slider = pn.widgets.IntSlider(
        label="Date", margin=(0, 8), min_width=120, styles={"flex": "1 1 120px"}, tooltips=False
    )

    def position() -> int:
        moments = list(viewer.offered.values())
        return moments.index(viewer.moment) if viewer.moment in moments else 0

    def offer(*_events: Any) -> None:
        days = [label[:10] for label in viewer.offered] or ["none"]
        day = CustomJSTickFormatter(args={"days": days}, code="return days[tick] ?? ''")
        end, alone = max(len(days) - 1, 1), len(days) < 2
        set_range(slider, 0, end, position(), disabled=alone, format=day)

    def follow(*_events: Any) -> None:
        slider.value = position()

    def go(event: Any) -> None:
        if event.new != position():  # they are equal when the slider follows the viewer
            show(list(viewer.offered.values())[event.new])

    show = viewer.page.guarded(lambda moment: viewer.param.update(moment=moment))
    offer()
    viewer.param.watch(offer, "offered")
    viewer.param.watch(follow, "moment")
    slider.param.watch(go, "value_throttled")
    return slider


def _picture(viewer: Any) -> pn.Column:
    numbers = limits_row(viewer)
    stretch = control(pn.widgets.Select, viewer.param.stretch, "Limits", width=WIDTH)
    legend = pn.pane.HTML(_legend(viewer), width=WIDTH, margin=(0, 10))
    others = pn.pane.HTML("", width=WIDTH, margin=(0, 10))

    def adapt(*_events: Any) -> None:
        fixed, classes = viewer.stretch == FIXED, viewer.picture == CLASSES
        others.object = html.escape(find_renderer(viewer.cube, viewer.picture).other_limits)
        others.visible = bool(others.object) and fixed
        legend.visible, stretch.visible = classes, not classes
        numbers.visible = not classes and fixed

    viewer.param.watch(adapt, ["picture", "stretch"])
    adapt()
    tint = {"Tint what is not clear (pink)": "mask"} if viewer.pixels.classified else {}
    return pn.Column(
        grouped_select(viewer, "picture", "Show", viewer.names),
        stretch,
        numbers,
        others,
        legend,
        control(pn.widgets.IntSlider, viewer.param.opacity, "Opacity (%)", width=WIDTH),
        *basemap_boxes(viewer, tint),
    )


def _legend(viewer: Any) -> str:
    if not viewer.pixels.classified:
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


def _filter(viewer: Any) -> pn.Column:
    title = "Clear share of the whole cube, at least (%)"
    clear = control(pn.widgets.IntSlider, viewer.param.least_clear, title, step=5, width=WIDTH)
    boxes: list[pn.viewable.Viewable] = []
    for name, title in (
        ("seasons", "Months"),
        ("orbits", "Relative orbit"),
        ("platforms", "Satellite"),
    ):
        heading = f'<span aria-hidden="true">{title}</span>'
        group = {"inline": True, "margin": (0, 10)}
        boxes += [
            pn.pane.HTML(heading, margin=(6, 10, 0, 10)),
            control(pn.widgets.CheckBoxGroup, viewer.param[name], title, **group),
        ]
    note = "Filters the dates of the map; the series keeps all."
    return pn.Column(clear, *boxes, pn.pane.HTML(note, margin=(4, 10)))


def _place(viewer: Any) -> pn.Column:
    across, up = place_boxes(viewer.levels)

    def fill(*_events: Any) -> None:
        if viewer.x is not None:
            across.value, up.value = viewer.x, viewer.y

    viewer.param.watch(fill, ["x", "y"])
    fill()
    ask = button("Ask this pixel", lambda: viewer.ask(across.value, up.value), viewer.page)
    chart = grouped_select(viewer, "chart", "Series of", viewer.number_names)
    hint = "Own measurements of this place, as CSV: a column “date” and a column of numbers."
    measured = measurement_controls(viewer, hint)
    return pn.Column(pn.Row(across, up), ask, chart, measured)


def _compare(viewer: Any) -> pn.Column:
    title = "Swipe: pinned picture up to (% of the width)"
    border = control(pn.widgets.IntSlider, viewer.param.swipe, title, width=WIDTH)
    border.visible = viewer.param.compare.rx() == SWIPE
    return pn.Column(
        button("Pin the date that is shown", viewer.pin_this, viewer.page),
        control(pn.widgets.Select, viewer.param.pinned, "Pinned date", width=WIDTH),
        grouped_select(viewer, "pinned_picture", "Pinned picture", {"": [SAME]} | viewer.names),
        control(pn.widgets.RadioButtonGroup, viewer.param.compare, "Compare", margin=(5, 10)),
        border,
    )


def _save(viewer: Any) -> pn.Column:
    rows = [[viewer.other, viewer.map], [viewer.series]]
    return pn.Column(
        save_all_button("Map and series as PNG", rows, "time_query"),
        save_button("Map as PNG", viewer.map, "time_query_map"),
        save_button("Pinned map as PNG", viewer.other, "time_query_pinned_map"),
        save_button("Series as PNG", viewer.series, "time_query_series"),
        download("Series as CSV", viewer.csv, "time_query_series.csv", viewer.page),
    )
