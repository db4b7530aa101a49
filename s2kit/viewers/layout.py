"""Where the parts of a viewer stand: in a cell of a notebook, or on a page that they fill."""

from collections.abc import Mapping, Sequence
from typing import Any

import panel as pn

from s2kit.viewers.accessibility import ControlNames
from s2kit.viewers.charts import HEIGHT
from s2kit.viewers.controls import button, sections, zoom_row
from s2kit.viewers.page import ViewerLayout
from s2kit.viewers.uploads import LARGEST, require_size

Parts = Sequence[pn.viewable.Viewable]


def assemble(
    viewer: Any,
    parts: Mapping[str, pn.viewable.Viewable],
    *,
    maps: Parts,
    charts: Parts,
    top: Parts = (),
) -> ViewerLayout:
    """Build the layout of a viewer from groups of controls, of which one is shown, and the rest.

    ``maps`` stand above the buttons that move the map, ``charts`` below the controls, ``top`` below
    the title.
    """
    page = viewer.page
    names = ControlNames(width=0, height=0, margin=0, most_bytes=LARGEST)
    refuse = page.guarded(require_size)
    names.on_msg(lambda event: refuse(event.data["name"], event.data["size"]))
    said = [page.alert, page.busy, page.status, names]
    build = _fill_page if viewer.fills else _stack_in_cell
    layout = build(viewer, sections(viewer, parts), maps, charts, top, said)
    for shown in layout.select(pn.widgets.Widget):
        shown.stylesheets = [*shown.stylesheets, _LOOK]
    return layout


def _stack_in_cell(
    viewer: Any, controls: pn.Column, maps: Parts, charts: Parts, top: Parts, said: Parts
) -> ViewerLayout:
    left = pn.Column(pn.Row(*maps), viewer.readout, zoom_row(viewer), styles={"flex": "none"})
    wide = {"min_width": 320, "max_width": 720, "styles": {"flex": "1 1 320px"}}
    right = pn.Column(controls, *charts, **wide)
    return ViewerLayout(
        *(viewer.page.header, *top, *said),
        pn.FlexBox(left, right, align_items="flex-start", flex_wrap="wrap"),
        sizing_mode="stretch_width",
        max_width=1400,
    )


def _fill_page(
    viewer: Any, controls: pn.Column, maps: Parts, charts: Parts, top: Parts, said: Parts
) -> ViewerLayout:
    """Fill the page with the map and a side panel; without controls, the charts are below it."""
    fold = button(_FOLD, lambda: turn(), viewer.page)
    wide, all_room = {"sizing_mode": "stretch_width"}, {"sizing_mode": "stretch_both"}
    for part in charts:
        panes: list[Any] = part.select(pn.pane.Bokeh)
        for pane in panes:  # of a chart, also one in a column of its own
            part.param.update(min_height=HEIGHT, **all_room)
            pane.param.update(min_height=HEIGHT, **all_room)
            pane.object.update(min_height=HEIGHT, **all_room)
    viewer.page.status.min_height = 40  # two lines, so that a longer one does not resize the map
    room = pn.Row(*maps, css_classes=["map"], **all_room)
    layout = ViewerLayout(
        pn.FlexBox(viewer.page.header, fold, flex_wrap="nowrap", css_classes=["head"]),
        pn.Column(*top, *said, css_classes=["said"], **wide),
        room,
        pn.Column(viewer.readout, zoom_row(viewer), css_classes=["foot"], **wide),
        pn.Column(controls, *charts, css_classes=["side"], **all_room),
        stylesheets=[_PAGE],
        margin=0,
        **all_room,
    )

    def turn() -> None:
        controls.visible = not controls.visible
        layout.css_classes = [] if controls.visible else ["folded"]
        fold.label = _FOLD if controls.visible else "Show controls"

    def arrange(_event: Any) -> None:
        both = sum(one.visible for one in maps) > 1
        room.css_classes = ["map", "two"] if both else ["map"]

    for one in maps:
        one.param.watch(arrange, "visible")
    return layout


_FOLD = "Hide controls"

_PAGE = """
:host {
  display: grid; box-sizing: border-box; height: 100vh; padding: 2px 6px 6px; gap: 2px 12px;
  grid-template:
    "head side" auto "said side" auto "map side" minmax(0, 1fr) "foot side" auto
    / minmax(0, 1fr) clamp(400px, 34vw, 620px);
}
.head { grid-area: head; }
.said { grid-area: said; }
.map { grid-area: map; min-height: 0; }
.foot { grid-area: foot; }
.side { grid-area: side; min-height: 0; overflow-y: auto; }
:host(.folded) {
  grid-template:
    "head" auto "said" auto "map" minmax(0, 1fr) "foot" auto "side" auto / minmax(0, 1fr);
}
@media (max-width: 1099px) {
  :host, :host(.folded) { display: flex; flex-direction: column; height: auto; }
  .map { flex: none; height: min(104vw, 85vh); }
  .side { flex: none; }
}
@media (max-width: 640px) {
  .two { flex-direction: column; height: min(208vw, 170vh); }
}
"""

_LOOK = """
.bk-btn { border-radius: 6px; }
"""
