"""The address of a viewer's page, which holds its state, so that a link restores it."""

import json
import weakref
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

import numpy as np
import panel as pn
import param
from bokeh.document import Document
from bokeh.models import CustomJS
from panel.custom import JSComponent
from panel.io.location import Location

from s2kit.viewers.page import is_served

_with_viewer: weakref.WeakSet[Document] = weakref.WeakSet()
"""Pages whose address a viewer has: of several viewers on one page, the first."""

_LOST = """
if (document.getElementById('s2kit-lost')) return;
const notice = document.createElement('div');
notice.id = 's2kit-lost';
notice.setAttribute('role', 'alert');
notice.style = 'position:fixed; left:0; right:0; top:0; z-index:1000; padding:8px 14px; '
  + 'font:14px sans-serif; background:#FDE7E0; color:#7A2300; border-bottom:1px solid #D55E00';
notice.textContent = 'The server does not answer any more. Reload this page when it is there '
  + 'again: its address keeps what is shown.';
document.body.append(notice);
"""


class Address:
    """The state of a viewer in the address of a page.

    In a notebook there is no address, and a second viewer of a page has none: nothing happens.
    Whatever else a page was opened with, such as the token of a Jupyter server, is removed from its
    address, which may be shared. What an app has synchronised with Panel's location before stays.

    Parameters
    ----------
    viewer : param.Parameterized
    names : sequence of str
        Its parameters and attributes of text that belong there, in the order in which they are
        taken over.

    Attributes
    ----------
    taken : set of str
        The names that were taken over.
    wrong : dict of str to str
        The names whose value is refused, with that value.
    """

    def __init__(self, viewer: param.Parameterized, names: Sequence[str]):
        self._viewer, self._names = viewer, names
        self.taken: set[str] = set()
        self.wrong: dict[str, str] = {}
        self._refused: set[str] = set()
        self._location: Location | None = None
        page = pn.state.curdoc
        if page and is_served() and page not in _with_viewer:
            self._location = pn.state.location
        if page and self._location is not None:
            _with_viewer.add(page)
            asked = {*pn.state.session_args, *_query_of(self._location)}
            self._dropped = sorted(asked - _shared(self._location, names))
            BackButton(dropped=self._dropped, width=0, height=0, margin=0).servable()
            page.js_on_event("connection_lost", CustomJS(code=_LOST))
            self._read(self._location)
        self._written = self._state()

    def _read(self, location: Location) -> None:
        raw, converted = _query_of(location), location.query_params
        asked = [name for name in self._names if name in raw]
        for name in asked:  # one by one: the wrong ones are refused, the others count
            before = getattr(self._viewer, name)
            if name not in self._viewer.param:  # Panel would convert texts such as "007" and "[x]"
                setattr(self._viewer, name, raw[name])
                if raw[name] != getattr(self._viewer, name) == before:
                    self._refused.add(name)  # the viewer says why
                continue
            try:
                value = self._viewer.param[name].deserialize(converted[name])
                if value != before:
                    self._viewer.param.update(**{name: value})
            except Exception:  # also KeyError: Panel cannot convert what was cut off
                self.wrong[name] = raw[name]
        self.taken = set(asked) - self._refused - self.wrong.keys()

    def write(self) -> None:
        """Write what has changed, as one entry of the browser's history.

        Panel would write each parameter by itself, and Back would undo half of an action.
        """
        state = self._state()
        if state != self._written and self._location is not None:
            query = {n: t for n, t in _query_of(self._location).items() if n not in self._dropped}
            gone = self._refused | self.wrong.keys()
            query |= {n: t for n, t in state.items() if t != self._written[n] or n in gone}
            self._location.search = f"?{urlencode({n: t for n, t in query.items() if t})}"
        self._written = state

    def _state(self) -> dict[str, str]:
        """Return the values as the address has them; empty for None."""
        state = {}
        for name in self._names:
            value = getattr(self._viewer, name)
            if name in self._viewer.param:
                value = self._viewer.param[name].serialize(value)
            if not isinstance(value, str | None):  # a script may set numbers of numpy
                value = json.dumps(value, default=np.generic.item)
            state[name] = value or ""
        return state


def _query_of(location: Location) -> dict[str, str]:
    return dict(parse_qsl(location.search.removeprefix("?"), keep_blank_values=True))


def _shared(location: Location, names: Sequence[str]) -> set[str]:
    """Return the names in an address that a viewer or Panel reads; all others may be secret."""
    synced = {name for _, parameters, *_ in location._synced for name in parameters.values()}
    return {*names, *synced, "theme"}


class BackButton(JSComponent):
    """Invisible; makes the browser's buttons Back and Forward show what was shown before.

    Panel (1.10) writes each address twice into the browser's history, and does not react to going
    back in it. The names ``dropped`` are removed from the address of the page and get into none.
    """

    dropped = param.List([], item_type=str, doc="Names in the query of an address")

    _esm = """
    export function render({ model }) {
      const push = window.history.pushState;
      const shared = (address) => {
        const url = new URL(address, window.location);
        for (const name of model.dropped) url.searchParams.delete(name);
        return url.href;
      };
      if (model.dropped.length) {
        window.history.replaceState(window.history.state, '', shared(window.location));
      }
      window.history.pushState = function (state, title, address) {
        const url = model.dropped.length ? shared(address) : new URL(address, window.location).href;
        if (url !== window.location.href) push.call(this, state, title, url);
      };
      const turn = () => window.location.reload();
      window.addEventListener('popstate', turn);
      model.on('remove', () => {
        window.history.pushState = push;
        window.removeEventListener('popstate', turn);
      });
    }
    """
