"""Controls that both viewers have."""

import html
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import panel as pn
import param

from s2kit.viewers.basemap import attribution_of
from s2kit.viewers.colours import rounded
from s2kit.viewers.levels import Levels, View
from s2kit.viewers.page import Page, error_text

WIDTH = 300
"""Width of a control in pixels of the screen."""


def button(name: str, act: Callable[[], Any], page: Page, **options: Any) -> pn.widgets.Button:
    """Build a button that calls ``act()``."""
    built = pn.widgets.Button(label=name, **({"margin": (3, 3)} | options))
    built.on_click(page.guarded(lambda _event: act()))
    return built


def save_button(name: str, shown: Any, filename: str) -> pn.widgets.Button:
    """Build a button that saves a chart or map as PNG, as its own tool does, while it is seen."""
    shown.save.filename = filename
    built = pn.widgets.Button(label=name, margin=(3, 3), visible=shown.pane.param.visible)
    built.js_on_click(args={"tool": shown.save}, code="tool.do.emit('save')")
    return built


def save_all_button(name: str, rows: Sequence[Sequence[Any]], filename: str) -> pn.widgets.Button:
    """Build a button that saves maps and charts, as far as they are seen, in one PNG."""
    built = pn.widgets.Button(label=name, margin=(3, 3))
    figures = [[shown.figure for shown in row] for row in rows]
    built.js_on_click(args={"rows": figures, "filename": filename}, code=_SAVE_ALL)
    return built


_SAVE_ALL = """
const seen = (figure) => Bokeh.index.find_one(figure);
const drawn = rows.map((row) => row.filter((figure) => seen(figure)?.is_displayed)
  .map((figure) => seen(figure).export('png', true).canvas));
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const widths = drawn.map((row) => sum(row.map((part) => part.width)));
const heights = drawn.map((row) => Math.max(0, ...row.map((part) => part.height)));
const sheet = document.createElement('canvas');
[sheet.width, sheet.height] = [Math.max(...widths), sum(heights)];
const pen = sheet.getContext('2d');
pen.fillStyle = '#ffffff';
pen.fillRect(0, 0, sheet.width, sheet.height);
drawn.forEach((row, n) => row.forEach((part, k) => {
  const left = sum(row.slice(0, k).map((before) => before.width));
  pen.drawImage(part, left, sum(heights.slice(0, n)));
}));
sheet.toBlob((blob) => {
  const link = document.createElement('a');
  link.download = `${filename}.png`;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
"""


def download(
    name: str, make: Callable[[], Any], filename: str, page: Page
) -> pn.widgets.FileDownload:
    """Build a button that downloads a file; an error is shown on the page and in the file."""

    def write() -> Any:
        page.clear_error()
        try:
            return make()
        except Exception as error:
            page.show_error(text := error_text(error))
            return io.StringIO(f"{text}\n")

    options = {"color": "default", "margin": (3, 3), "width": 150}
    return pn.widgets.FileDownload(callback=write, filename=filename, label=name, **options)


def sections(viewer: Any, parts: Mapping[str, pn.viewable.Viewable]) -> pn.Column:
    """Build groups of controls of which buttons, which work by keyboard, show one.

    ``viewer.section`` is the button group: setting its ``value`` shows another one.
    """
    viewer.section = pn.widgets.RadioButtonGroup(
        label="Controls", options=list(parts), value=next(iter(parts)), margin=(3, 8)
    )

    def turn(_event: Any = None) -> None:
        for title, part in parts.items():
            part.visible = title == viewer.section.value

    viewer.section.param.watch(turn, "value")
    turn()
    return pn.Column(viewer.section, *parts.values(), sizing_mode="stretch_width")


def zoom_row(viewer: Any) -> pn.FlexBox:
    """Build the buttons that move the map, for users without a mouse."""
    moves: dict[str, Callable[[View], View | None]] = {
        "Zoom in": lambda view: view.zoomed(0.5),
        "Zoom out": lambda view: view.zoomed(2),
        "Whole region": lambda view: None,
        "West": lambda view: view.moved(-0.5, 0),
        "East": lambda view: view.moved(0.5, 0),
        "North": lambda view: view.moved(0, 0.5),
        "South": lambda view: view.moved(0, -0.5),
    }

    def go(change: Callable[[View], View | None]) -> None:
        viewer.look(change(viewer.map.view))

    row = [button(name, partial(go, change), viewer.page) for name, change in moves.items()]
    return pn.FlexBox(*row, margin=(0, 5))


def set_range(slider: Any, start: float, end: float, value: Any, **options: Any) -> None:
    """Set the ends and the value of a slider.

    The value always lies between the ends: otherwise Bokeh would move it there, and report that as
    if a person had done it.
    """
    slider.param.update(start=min(start, slider.start), end=max(end, slider.end), **options)
    slider.value = value
    slider.param.update(start=start, end=end)


def control(
    kind: type[pn.widgets.Widget], parameter: param.Parameter, name: str, **options: Any
) -> Any:
    """Build a control for a parameter, without the parameter's documentation beside it."""
    silent = {"description": None} if "description" in kind.param else {}
    return kind.from_param(parameter, label=name, **silent, **options)


def grouped_select(
    viewer: param.Parameterized,
    name: str,
    title: str,
    groups: Mapping[str, list[str]],
    width: int = WIDTH,
) -> pn.widgets.Select:
    """Build a list in groups for a parameter, which `from_param` cannot."""
    options = {"groups": groups, "value": getattr(viewer, name), "width": width}
    built = pn.widgets.Select(label=title, **options)
    built.link(viewer, value=name, bidirectional=True)
    return built


def limits_row(viewer: Any, slider: pn.widgets.RangeSlider | None = None) -> pn.FlexBox:
    """Build boxes for the values of the darkest and lightest colour; a slider sets the same."""
    low, high = (pn.widgets.FloatInput(label=name, width=90) for name in ("Lowest", "Highest"))
    fit = button("Fit", lambda: viewer.param.update(limits=None), viewer.page, align="end")
    set_limits = viewer.page.guarded(viewer.set_limits)

    def known() -> tuple[float, float]:
        return viewer.limits or viewer.shown_limits  # `limits` may not be drawn yet

    def take(bottom: float | None, top: float | None) -> None:
        if (bottom, top) != known():  # they are equal when the boxes follow the viewer
            set_limits(bottom, top)
            if viewer.limits != (bottom, top):  # refused
                viewer.param.trigger("shown_limits")

    def show(*_events: Any) -> None:
        low.value, high.value = known()

    show()
    viewer.param.watch(show, ["shown_limits"])
    low.param.watch(lambda event: take(event.new, known()[1]), "value_throttled")
    high.param.watch(lambda event: take(known()[0], event.new), "value_throttled")
    if slider is not None:
        slider.param.watch(lambda event: take(*rounded(*event.new)), "value_throttled")
    return pn.FlexBox(low, high, *([] if slider is None else [slider]), fit, align_items="end")


def place_boxes(levels: Levels) -> list[pn.widgets.FloatInput]:
    """Build boxes for the x and y of a place, at first the centre of the region."""
    middle = zip("xy", levels.whole.middle, strict=True)
    return [
        pn.widgets.FloatInput(label=name, value=round(value, levels.digits), width=110)
        for name, value in middle
    ]


def basemap_boxes(
    viewer: Any, labels: Mapping[str, str] | None = None
) -> tuple[pn.widgets.CheckBoxGroup, pn.pane.HTML]:
    """Build boxes for parameters that are True or False, and the basemap's attribution.

    The last box is that of the basemap, with which the attribution is shown. They are a group, as a
    box by itself has no name for screen readers.
    """
    options = {**(labels or {}), "Basemap (internet)": "basemap"}
    names = list(options.values())
    boxes = pn.widgets.CheckBoxGroup(label="Also", options=options, inline=True, margin=(0, 10))

    def tick(*_events: Any) -> None:
        boxes.value = [name for name in names if getattr(viewer, name)]

    def take(event: Any) -> None:
        viewer.param.update(**{name: name in event.new for name in names})

    tick()
    viewer.param.watch(tick, names)
    boxes.param.watch(take, "value")
    attribution = html.escape(attribution_of(viewer.tiles))
    return boxes, pn.pane.HTML(attribution, visible=viewer.param.basemap, margin=(0, 10))
