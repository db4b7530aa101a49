"""Where the controls of a viewer stand, and what they are called."""

import html
import io
from collections.abc import Callable, Mapping
from typing import Any

import panel as pn
import param

from s2kit.viewers.basemap import credit_of
from s2kit.viewers.colours import rounded
from s2kit.viewers.frames import Levels, View
from s2kit.viewers.mapview import MapView
from s2kit.viewers.page import Page, say_error

WIDTH = 300
"""Pixels of the screen for a control."""


def button(name: str, act: Callable[[], Any], page: Page, **options: Any) -> pn.widgets.Button:
    """Make a button that does something."""
    built = pn.widgets.Button(name=name, **({"margin": (3, 3)} | options))
    built.on_click(page.guarded(lambda _event: act()))
    return built


def save_button(name: str, tool: Any, filename: str) -> pn.widgets.Button:
    """Make a button that saves a picture of a chart or map, as its own tool does."""
    tool.filename = filename
    built = pn.widgets.Button(name=name, margin=(3, 3))
    built.js_on_click(args={"tool": tool}, code="tool.do.emit('save')")
    return built


def download(name: str, make: Callable[[], Any], filename: str, page: Page):
    """Make a button that gives a file; what cannot be given is told on the page and in the file."""

    def give() -> Any:
        page.clear_error()
        try:
            return make()
        except Exception as error:
            page.fail(words := say_error(error))
            return io.StringIO(f"{words}\n")

    return pn.widgets.FileDownload(
        callback=give, filename=filename, label=name, button_type="default", margin=(3, 3),
        width=150,
    )  # fmt: skip


def sections(parts: Mapping[str, pn.viewable.Viewable], name: str) -> pn.Column:
    """Show one of several groups of controls; plain buttons, which work by keyboard."""
    chosen = pn.widgets.RadioButtonGroup(
        name=name, options=list(parts), value=next(iter(parts)), margin=(3, 8)
    )

    def turn(_event: Any = None) -> None:
        for title, part in parts.items():
            part.visible = title == chosen.value

    chosen.param.watch(turn, "value")
    turn()
    return pn.Column(chosen, *parts.values(), sizing_mode="stretch_width")


def zoom_row(look: Callable[[View | None], None], seen: MapView, page: Page) -> pn.Row:
    """Make the buttons that move the map, for who has no mouse."""

    def go(change: Callable[[View], View | None]) -> Callable[[], None]:
        return lambda: look(change(seen.view))

    moves: list[tuple[str, Callable[[View], View | None]]] = [
        ("Zoom in", lambda view: view.zoomed(0.5)),
        ("Zoom out", lambda view: view.zoomed(2)),
        ("Whole region", lambda view: None),
        ("West", lambda view: view.moved(-0.5, 0)),
        ("East", lambda view: view.moved(0.5, 0)),
        ("North", lambda view: view.moved(0, 0.5)),
        ("South", lambda view: view.moved(0, -0.5)),
    ]
    row = [button(name, go(change), page) for name, change in moves]
    return pn.Row(*row, margin=(0, 5))


def stretch(slider: Any, start: float, end: float, value: Any, **options: Any) -> None:
    """Give a slider other ends and a value.

    The value always lies between the ends: else Bokeh would move it there, and tell so as if a
    person had done it.
    """
    slider.param.update(start=min(start, slider.start), end=max(end, slider.end), **options)
    slider.value = value
    slider.param.update(start=start, end=end)


def made(kind: type, parameter: param.Parameter, name: str, **options: Any) -> Any:
    """Make a control for a parameter, without the parameter's documentation beside it."""
    silent = {"description": None} if "description" in kind.param else {}
    return kind.from_param(parameter, name=name, **silent, **options)


def grouped(
    viewer: param.Parameterized,
    name: str,
    title: str,
    groups: Mapping[str, list[str]],
    width: int = WIDTH,
) -> pn.widgets.Select:
    """Make a list of choices in groups for a parameter; `from_param` knows no groups."""
    built = pn.widgets.Select(
        name=title, groups=dict(groups), value=getattr(viewer, name), width=width
    )
    built.param.watch(lambda event: viewer.param.update(**{name: event.new}), "value")
    viewer.param.watch(lambda event: built.param.update(value=event.new), name)
    return built


def limits_row(viewer: Any, slider: pn.widgets.RangeSlider | None = None) -> pn.FlexBox:
    """Make boxes for the values of the darkest and the lightest colour of a viewer.

    A slider that is given shows and sets the same.
    """
    low, high = (pn.widgets.FloatInput(name=name, width=90) for name in ("Lowest", "Highest"))
    fit = button("Fit", lambda: viewer.param.update(limits=None), viewer.page, align="end")
    set_limits = viewer.page.guarded(viewer.set_limits)

    def known() -> tuple[float, float]:
        return viewer.limits or viewer.shown_limits  # these are not drawn yet, perhaps

    def take(bottom: float | None, top: float | None) -> None:
        if (bottom, top) != known():  # not so when the boxes follow
            set_limits(bottom, top)
            if viewer.limits != (bottom, top):
                viewer.param.trigger("shown_limits")  # all show again what is in use

    def show(*_events) -> None:
        low.value, high.value = known()

    show()
    viewer.param.watch(show, ["shown_limits"])
    low.param.watch(lambda event: take(event.new, known()[1]), "value_throttled")
    high.param.watch(lambda event: take(known()[0], event.new), "value_throttled")
    if slider is None:
        return pn.FlexBox(low, high, fit, align_items="end")
    slider.param.watch(lambda event: take(*rounded(*event.new)), "value_throttled")
    return pn.FlexBox(low, high, slider, fit, align_items="end")


def place_boxes(levels: Levels) -> tuple[pn.widgets.FloatInput, pn.widgets.FloatInput]:
    """Make boxes for the x and y of a place, which first is the middle."""
    middle = [round(value, levels.digits) for value in levels.whole.middle]
    x, y = (
        pn.widgets.FloatInput(name=name, value=value, width=110)
        for name, value in zip("xy", middle, strict=True)
    )
    return x, y


def tick_boxes(viewer: param.Parameterized, words: Mapping[str, str]) -> pn.widgets.CheckBoxGroup:
    """Make boxes for parameters that are True or False.

    They are a group, since a box by itself has no name for programs that read screens aloud.
    """
    boxes = pn.widgets.CheckBoxGroup(name="Also", options=dict(words), inline=True, margin=(0, 10))

    def tick(*_events: Any) -> None:
        boxes.value = [name for name in words.values() if getattr(viewer, name)]

    tick()
    viewer.param.watch(tick, list(words.values()))
    boxes.param.watch(
        lambda event: viewer.param.update(**{n: n in event.new for n in words.values()}), "value"
    )
    return boxes


def credit(viewer: param.Parameterized) -> pn.pane.HTML:
    """Name who made the basemap, while it is shown."""
    return pn.pane.HTML(
        html.escape(credit_of(viewer.tiles)), visible=viewer.param.basemap, margin=(0, 10)
    )
