"""The state of a viewer in the address of its page, so that a link restores it."""

import weakref
from urllib.parse import parse_qsl

import panel as pn
import param
from bokeh.document import Document
from bokeh.models import CustomJS
from panel.custom import JSComponent

_with_viewer: weakref.WeakSet[Document] = weakref.WeakSet()
"""Pages of which a viewer has the address: of several on one page, the first."""

_LOST = """
if (document.getElementById('s2kit-lost')) return;
const told = document.createElement('div');
told.id = 's2kit-lost';
told.setAttribute('role', 'alert');
told.style = 'position:fixed; left:0; right:0; top:0; z-index:1000; padding:8px 14px; '
  + 'font:14px sans-serif; background:#FDE7E0; color:#7A2300; border-bottom:1px solid #D55E00';
told.textContent = 'The server does not answer any more. Reload this page when it is there again: '
  + 'its address keeps what is shown.';
document.body.append(told);
"""


def keep_in_address(viewer: param.Parameterized, names: list[str]) -> tuple[set[str], list[str]]:
    """Take over what the address of the page says, then write every change into it.

    Parameters
    ----------
    viewer : param.Parameterized
    names : list of str
        Its parameters, in the order in which they are to be taken over.

    Returns
    -------
    set of str, list of str
        The parameters that were taken over, and what the address says that cannot be. In a
        notebook there is no address, and a second viewer of a page has none: nothing happens.
    """
    wrong: set[str] = set()
    page = pn.state.curdoc
    location = pn.state.location if page and page.session_context else None
    if location is None or page in _with_viewer:
        return set(), []
    _with_viewer.add(page)
    BackButton(width=0, height=0, margin=0).servable()
    page.js_on_event("connection_lost", CustomJS(code=_LOST))
    raw = dict(parse_qsl(location.search.removeprefix("?"), keep_blank_values=True))
    asked = set(location.query_params)
    for name in names:  # one by one: the wrong ones are refused, the others count
        location.sync(viewer, [name], on_error=wrong.update)
    location.unsync(viewer)
    location.sync(viewer, names)  # what changes together is one address, also for Back
    wrong |= raw.keys() & set(names) - asked  # cut off, mostly
    taken = (asked & set(names)) - set(wrong)
    return taken, [f"{name}={raw[name]}" for name in wrong]


class BackButton(JSComponent):
    """Invisible; the browser's buttons Back and Forward show what their address says.

    Panel (1.10) writes each address twice into the browser's history, and does not hear of going
    back in it.
    """

    _esm = """
    export function render({ model }) {
      const push = window.history.pushState;
      window.history.pushState = function (state, title, url) {
        if (new URL(url, window.location).href !== window.location.href) {
          push.call(this, state, title, url);
        }
      };
      const turn = () => window.location.reload();
      window.addEventListener('popstate', turn);
      model.on('remove', () => {
        window.history.pushState = push;
        window.removeEventListener('popstate', turn);
      });
    }
    """
