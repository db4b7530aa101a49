"""Load Panel into the page of a notebook, with advice where a viewer is not drawn.

When ``panel.extension()`` runs, or hvPlot is imported, the page asks for Panel's files: from
Panel 1.10 on, JupyterLab's own server, without the prefix that JupyterHub and Binder have; else
the internet. Where it does not get them, later outputs stay empty without a message. Here the page
gets them in an output of the notebook, from the kernel, which always has them.
"""

import json
import sys
from typing import Any

import bokeh
import panel as pn
from bokeh.model import Model
from bokeh.models import UIElement
from bokeh.resources import INLINE
from panel.io.notebook import patch_inline_stylesheets
from panel.io.resources import PANEL_DIR, Resources, bundle_resources, set_resource_mode
from pyviz_comms import PYVIZ_PROXY, Comm, JupyterCommJS, JupyterCommManager

_pages: set[str] = set()
"""The pages that got Panel, by the session in their requests to the kernel."""


def load_panel() -> None:
    """Load Panel into the page of the notebook that runs, once for each page.

    In a script, in an app of ``panel serve``, and where Panel has ways of its own (VS Code,
    Colab), nothing happens.
    """
    kernel = _kernel()
    if kernel is None:
        return
    if not pn.extension._loaded:
        _start_panel()
    page = kernel.get_parent().get("header", {}).get("session", "")
    if pn.config.comms == "default" and page not in _pages:
        _pages.add(page)
        _publish({"application/javascript": _loader()})


def inline_styles(model: UIElement) -> None:
    """Include the style sheets of a model, and of all that it holds, so that none is requested."""
    for one in model.select({"type": UIElement}):
        patch_inline_stylesheets(one)


def watch_drawing(root: Model) -> None:
    """Show advice above the model that is displayed next, unless it is drawn in ten seconds."""
    if _kernel() is not None and pn.config.comms == "default":
        asked = {"version": bokeh.__version__, "id": root.ref["id"], "apart": _APART}
        _publish({"text/html": f"{_LATE}<script>{_script(asked, _HOLD + _WATCH)}</script>"})


def announce_open(comm: Comm) -> None:
    """Report to the page that Python has opened the comm on which the page sends its events.

    JupyterLab asks for a comm in the order of the cells, but sends its messages past them (on a
    subshell): what comes before the kernel has opened the comm would get lost (`_HOLD`).
    """
    if not isinstance(comm, JupyterCommJS):
        return
    opened = comm._on_open

    def open_and_report(message: dict[str, Any]) -> None:
        opened(message)
        comm.send(metadata={"msg_type": "Ready"})

    comm._on_open = open_and_report


def _kernel() -> Any:
    """Return the kernel of the notebook that runs; None where there is none."""
    page = pn.state.curdoc
    if "IPython" not in sys.modules or (page and page.session_context):
        return None
    from IPython import get_ipython  # 20 MB, imported only where it already is

    kernel = getattr(get_ipython(), "kernel", None)
    return kernel if hasattr(kernel, "get_parent") else None


def _publish(data: dict[str, str]) -> None:
    from IPython.display import display

    display(data, raw=True)


def _start_panel() -> None:
    """Start Panel in the kernel without its output, which `_loader` replaces."""
    from IPython.utils.capture import capture_output

    with capture_output(stdout=False, stderr=False):
        pn.extension()


def _loader() -> str:
    """Return JavaScript that holds Bokeh and Panel, and runs them in a page that lacks them."""
    with set_resource_mode("inline"):
        bundle = bundle_resources(None, Resources.from_bokeh(INLINE, notebook=True), notebook=True)
    css = [(PANEL_DIR / "_templates" / "jupyter.css").read_text(encoding="utf-8"), *bundle.css_raw]
    held = getattr(bundle, "resource_declarations", None)  # what is in it, for Panel from 1.10 on
    parts = ",\n".join(_PART.replace("CODE", code) for code in bundle.js_raw)
    asked = {"version": bokeh.__version__, "css": css, "held": held, "quiet": _QUIET}
    run = _script(asked, _RUN.replace("PARTS", parts))
    return "\n".join([PYVIZ_PROXY, JupyterCommManager.js_manager, run])


_USE = """
const kept = window.s2kit_bokeh ??= new Map();  // BokehJS with Panel, by version
const find = () => [window.Bokeh, window.Bokeh?.versions?.get?.(asked.version)]
  .find((bokeh) => bokeh?.version === asked.version && bokeh.Panel);
const use = (bokeh) => {
  if (!bokeh) return;
  kept.set(asked.version, bokeh);
  if (find()) return;
  if ((window.Bokeh?.version ?? asked.version) === asked.version) window.Bokeh = bokeh;
  else (window.Bokeh.versions ??= new Map()).set(asked.version, bokeh);
};
use(find() ?? kept.get(asked.version));
"""
"""Puts BokehJS with Panel where Panel looks for it.

Panel's own loader takes it away where it then waits in vain for another one.
"""

_PART = "function (Bokeh, define, module, exports) {\nCODE\n}"
"""A library in JavaScript, which is not to see other ways of being loaded."""

_RUN = """
const add = (name, text, type) => {
  const element = document.createElement(name);
  if (type) element.type = type;
  element.textContent = text;
  document.head.append(element);
};
if (!find()) {
  if (!document.querySelector('script[type="esms-options"]')) {
    add('script', '{"shimMode": true}', 'esms-options');  // read by the libraries
  }
  asked.css.forEach((text) => add('style', text));
  if (window.__panel_resources__) window.__panel_resources__.declare(asked.held ?? {});
  else if (asked.held) (window.__panel_resources_declared__ ??= []).push(asked.held);
  const own = {};  // where the libraries meet, apart from those that somebody waits for
  for (const run of [PARTS]) run.call(own, own.Bokeh);
  use(own.Bokeh);
}
const server = JSON.parse(document.getElementById('jupyter-config-data')?.textContent ?? '{}');
if ((server.baseUrl ?? '/') !== '/') add('style', asked.quiet);
"""

_QUIET = 'script[type="esms-options"] ~ div[role="alert"] { display: none; }'
"""Hides what Panel 1.10 says behind a prefix: that its files, asked for without it, are missing."""

_LATE = """
<style>
.s2kit-late { visibility: hidden; height: 0; animation: s2kit-late 0s 10s forwards; }
@keyframes s2kit-late { to { visibility: visible; height: auto; } }
</style>
<div class="s2kit-late"><div style="background:#FDE7E0; color:#7A2300; border:1px solid #D55E00;
padding:6px 10px; font-size:13px">The viewer is not drawn. Choose “Restart Kernel and Run All
Cells…” in the menu; if that does not help, reload this page and choose it again.</div></div>
"""
"""Shown after ten seconds; at once where a page that does not trust the notebook drops styles."""

_APART = (
    "The viewer does not react: the Jupyter server lacks Panel’s extension. Install pyviz_comms "
    "in the environment of the server, start the server again, and reload this page."
)

_HOLD = """
(window.s2kit_held ??= new Set()).add(asked.id);
const manager = window.PyViz?.comm_manager;
if (manager && !manager.s2kit_holds) {
  manager.s2kit_holds = true;
  const connect = manager.get_client_comm;
  manager.get_client_comm = function (plot, id, heard) {
    if (!window.s2kit_held.has(plot)) return connect.call(this, plot, id, heard);
    const held = [];
    let open = false;
    const comm = connect.call(this, plot, id, (message) => {
      open = true;
      held.splice(0).forEach((one) => send.apply(comm, one));
      heard(message);
    });
    const send = comm?.send;
    if (comm) comm.send = (...one) => open ? send.apply(comm, one) : held.push(one);
    return comm;
  };
}
"""
"""Holds what a viewer sends until Python has opened its comm, and says so (`announce_open`)."""

_WATCH = """
const late = document.currentScript.parentElement.querySelector('.s2kit-late');
let seen = false;
const look = () => {
  const view = document.getElementById(asked.id)?.querySelector('[data-root-id]');
  if (view?.childElementCount) return listen();
  seen ||= late.isConnected;
  if (late.isConnected || !seen) setTimeout(look, 200);
};
const listen = () => {
  late.hidden = true;
  const drawn = [find(), kept.get(asked.version)].find((bokeh) => bokeh && asked.id in bokeh.index);
  if (drawn && window.PyViz) window.PyViz.plot_index[asked.id] = drawn.index[asked.id];
  setTimeout(() => {
    const alive = late.isConnected && document.getElementById('jupyter-config-data');
    if (!alive || window.PyViz?.kernels?.[asked.id]) return;
    late.firstElementChild.textContent = asked.apart;
    late.removeAttribute('class');
    late.hidden = false;
  }, 3000);
};
look();
"""
"""Hides the advice once a viewer is drawn, which then gets messages also without window.Bokeh."""


def _script(asked: dict[str, Any], code: str) -> str:
    return f"(() => {{\nconst asked = {json.dumps(asked)};{_USE}{code}}})();"
