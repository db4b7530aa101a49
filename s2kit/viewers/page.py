"""The page around a viewer: title, status, errors, and the order in which events are handled."""

import functools
import html
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import panel as pn
import xarray as xr
from bokeh.document import Document
from bokeh.model import Model
from pyviz_comms import Comm, JupyterComm

from s2kit.errors import S2KitError
from s2kit.panel_loading import announce_open, inline_styles, load_panel, watch_drawing

_log = logging.getLogger(__name__)

_SYNTHETIC = "Synthetic practice data: this place does not exist"


class ViewerLayout(pn.Column):
    """The outermost layout of a viewer; it handles what a page sends one by one, in order.

    In a notebook it is drawn however Panel was loaded. There Panel itself holds its document after
    the first change of a message, so that others wait for the next message, or get lost
    (`panel.io.hold` with a comm, Panel 1.5 to 1.10).
    """

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        with pn.config.set(inline=True):  # style sheets too, also of what changes later
            return super()._repr_mimebundle_(include, exclude)

    def _get_model(
        self,
        doc: Document,
        root: Model | None = None,
        parent: Model | None = None,
        comm: Comm | None = None,
    ) -> Model:
        for control in self.select(pn.widgets.Widget):
            _handle_in_order(control)
        if isinstance(comm, JupyterComm):  # what is displayed; not what is saved
            load_panel()
        model = super()._get_model(doc, root, parent, comm)
        if isinstance(comm, JupyterComm):
            if not pn.config.inline:  # displayed within another layout
                inline_styles(model)
            watch_drawing(root or model)
        return model

    def _render_mimebundle(self, model: Model, *rest: Any) -> Any:
        bundle = super()._render_mimebundle(model, *rest)
        _, from_page = self._comms[model.ref["id"]]
        announce_open(from_page)
        return bundle

    def _on_msg(self, ref: str, manager: Any, msg: dict[str, Any]) -> None:
        for event in msg["content"]["events"]:
            super()._on_msg(ref, manager, msg | {"content": msg["content"] | {"events": [event]}})


def _handle_in_order(control: pn.widgets.Widget) -> None:
    """Handle on a server what a control sends when it arrives, as a notebook does.

    Panel waits 50 ms for more changes of a control, and handles clicks in a later turn of the event
    loop. On a busy server a click then finds what was typed after it, or not yet what was typed
    before it. A file is left to Panel: its name and content are two changes.
    """
    if isinstance(control, pn.widgets.FileInput):
        return

    def change(doc: Document, ref: str, _subpath: str, name: str, _old: Any, new: Any) -> None:
        if name in control._changing.get(ref, []):  # by the server itself
            control._changing[ref].remove(name)
            return
        control._events[name] = new
        try:
            control._change_event(doc)
        except Exception as error:
            pn.state._handle_exception(error)

    vars(control).update(_server_change=change, _server_event=control._comm_event)


def is_served() -> bool:
    """Return whether what is made now becomes a page of a server, not a cell of a notebook."""
    return pn.state.curdoc is not None and pn.state.curdoc.session_context is not None


def origin_of(synthetic: bool) -> str:
    """Return the origin of the data in words, for the titles of pictures."""
    return "synthetic practice data" if synthetic else "Sentinel-2"


class Page:
    """The parts of a page around a viewer: header, status line, error, mark of being busy.

    ``error`` is the exception whose text is shown, if it is that of one.

    Parameters
    ----------
    title : str
    cube : xarray.Dataset
        Its attributes say whether the data are synthetic.
    """

    def __init__(self, title: str, cube: xr.Dataset):
        self.title = title
        self.synthetic = bool(cube.attrs.get("synthetic", False))
        badge = f'<span style="{_BADGE}">{_SYNTHETIC}</span>' if self.synthetic else ""
        heading = f'<h2 style="font-size:20px; margin:0">{title}</h2>'
        wide = {"sizing_mode": "stretch_width", "margin": (0, 10)}
        self.header = pn.pane.HTML(
            f'<div style="{_HEADER}">{heading}{badge}</div>', **wide | {"margin": (4, 10)}
        )
        self.error: Exception | None = None
        self.status = pn.pane.HTML("", min_height=20, **wide)
        self.busy = pn.pane.HTML("", height=0, stylesheets=[_WORKING], **wide)
        self.alert = pn.pane.HTML("", visible=False, **wide)

    @property
    def note(self) -> str:
        """Origin of the data, for titles."""
        return origin_of(self.synthetic)

    def set_status(self, text: str) -> None:
        """Show what is on the map; screen readers read it aloud."""
        self.status.object = (
            f'<div role="status" aria-live="polite" style="font-size:13px">{html.escape(text)}'
            "</div>"
        )

    def set_busy(self, busy: bool) -> None:
        """Show that something is being computed, once it has taken a second.

        The text changes, not a style: at that, Bokeh would lay out the whole page anew.
        """
        self.busy.object = '<div class="working">Working …</div>' if busy else ""

    def show_error(self, text: str) -> None:
        """Show an error until something succeeds."""
        self.error = None
        self.alert.object = f'<div role="alert" style="{_ALERT}">{html.escape(text)}</div>'
        self.alert.visible = True

    def clear_error(self) -> None:
        """Remove the error."""
        self.error = None
        if self.alert.visible:
            self.alert.param.update(object="", visible=False)

    @contextmanager
    def catch_errors(self) -> Iterator[None]:
        """Show an error on the page instead of ending the session."""
        try:
            yield
        except Exception as error:
            self.show_error(error_text(error))
            self.error = error

    def guarded(self, act: Callable) -> Callable:
        """Return an action that removes the last error, and shows its own instead of raising it."""

        @functools.wraps(act)
        def guarded_act(*args: Any, **kwargs: Any) -> Any:
            self.clear_error()
            with self.catch_errors():
                return act(*args, **kwargs)

        return guarded_act


def error_text(error: Exception) -> str:
    """Return the text of an error; log one that the package does not raise by intent."""
    if isinstance(error, S2KitError):
        return str(error)
    _log.error("a viewer's action failed", exc_info=error)
    return f"This did not work ({type(error).__name__}: {error}). Everything else still works."


_WORKING = """
.working {
  position: absolute; right: 0; top: 0; z-index: 1; padding: 1px 8px; opacity: 0;
  background: #0072B2; color: #ffffff; border-radius: 4px; font-size: 13px;
  animation: begin 0s 1s forwards;
}
@keyframes begin { to { opacity: 1; } }
"""
_HEADER = "display:flex; flex-wrap:wrap; align-items:center; gap:2px 14px"
_BADGE = (
    "background:#FFF1CC; color:#5C4300; border:1px solid #E69F00; border-radius:4px; "
    "padding:2px 8px; font-size:13px; white-space:nowrap"
)
_ALERT = (
    "background:#FDE7E0; color:#7A2300; border:1px solid #D55E00; border-radius:4px; "
    "padding:6px 10px; font-size:13px"
)
