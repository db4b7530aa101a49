"""Serve the viewers as pages, with tiles in JupyterLab's launcher, and so in Binder's.

Both are served by one process, which starts at the first click. Other users of the computer cannot
reach it: it listens at a socket of the file system, in a folder that only its owner may enter.
Jupyter's server imports this module, so it imports little itself.
"""

import json
import os
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

QUERY, STATISTICS = "02_query_in_time", "03_ndvi_statistics"

_NAME = "s2kit"
"""Of the server: its entry point, and where Jupyter shows it."""

_PATIENCE = 120_000
"""Milliseconds that a page may take to load; after 15 s, Bokeh would make it again."""

_HAS_SOCKETS = sys.platform != "win32"
"""Whether Jupyter and Bokeh can meet at a socket of the file system; else at a port."""

_AT_ONCE = 64
"""Pages and files that are asked for at one time."""

_making = threading.Lock()
"""Pages are made one after the other: side by side, each would take longer, and more memory."""


def time_query() -> dict:
    """Return the tile of the time query, as jupyter-server-proxy takes it."""
    return _tile("Time query", QUERY)


def ndvi_statistics() -> dict:
    """Return the tile of the NDVI statistics; its path leads to the other's server."""
    return _tile("NDVI statistics", STATISTICS)


def find_notebooks() -> Path | None:
    """Return the folder of the notebooks: where Jupyter was started, or in this clone."""
    here = Path.cwd()
    for folder in (here / "notebooks", here, Path(__file__).parents[2] / "notebooks"):
        if all((folder / f"{name}.ipynb").is_file() for name in (QUERY, STATISTICS)):
            return folder
    return None


def serve(where: str, prefix: str) -> None:
    """Serve both viewers from the notebooks' folder, as the paths in these are relative to it.

    Parameters
    ----------
    where : str
        The path of a socket, or a port.
    prefix : str
        Begins the addresses of the pages.
    """
    import panel as pn
    from tornado.ioloop import IOLoop
    from tornado.platform.asyncio import BaseAsyncIOLoop

    folder = find_notebooks()
    if folder is None:
        sys.exit(
            f"No notebooks {QUERY}.ipynb and {STATISTICS}.ipynb here: start from the folder of a "
            "clone of s2kit, or from its folder notebooks"
        )
    os.chdir(folder)
    listen = (
        {"address": "127.0.0.1", "port": int(where)}
        if where.isdigit()
        else {"unix_socket": where, "websocket_origin": "localhost"}
    )
    loop = IOLoop.current()
    assert isinstance(loop, BaseAsyncIOLoop)
    # pages that wait for their turn would else take the threads that send files to other pages
    loop.asyncio_loop.set_default_executor(ThreadPoolExecutor(_AT_ONCE))
    apps = {name: _app_of(Path(f"{name}.ipynb")) for name in (QUERY, STATISTICS)}
    pn.serve(
        apps,
        **listen,
        loop=loop,
        prefix=prefix,
        show=False,
        verbose=False,
        unused_session_lifetime_milliseconds=_PATIENCE,
    )


def _app_of(notebook: Path) -> Any:
    """Return an application whose pages are a notebook's viewer.

    As a function, Bokeh from 3.10 on calls it beside the loop that answers all other pages.
    """
    from panel.io.application import Application, FunctionHandler
    from panel.io.state import set_curdoc

    def make(page: Any) -> None:
        with _making, set_curdoc(page):
            names = {"__name__": f"bokeh_app_{uuid.uuid4().hex}"}  # marks served code for Panel
            for number, source in enumerate(_cells(notebook), 1):
                exec(compile(source, f"{notebook}, code cell {number}", "exec"), names)

    return Application(FunctionHandler(make))


def _cells(notebook: Path) -> Iterator[str]:
    """Yield the code of a notebook's cells up to its viewer: the others would delay the page.

    Magics are left out.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    last = max((n for n, source in enumerate(sources) if ".servable(" in source), default=None)
    for source in sources[: None if last is None else last + 1]:
        lines = source.splitlines()
        yield "\n".join("" if line.startswith(("%", "!")) else line for line in lines)


def _tile(title: str, app: str) -> dict:
    where = "{unix_socket}" if _HAS_SOCKETS else "{port}"
    return {
        "command": [sys.executable, "-m", "s2kit.course.launcher", where, "{base_url}" + _NAME],
        "unix_socket": _HAS_SOCKETS,  # Jupyter makes a folder for it, with the mode 0700
        "absolute_url": True,
        "environment": {"MALLOC_ARENA_MAX": "2"},  # what was freed goes back: 20 % less memory
        # Jupyter has checked by now who asks; Panel expects its own address.
        "request_headers_override": {
            "Origin": "http://localhost" if _HAS_SOCKETS else "http://localhost:{port}"
        },
        "timeout": 120,
        "launcher_entry": {
            "title": title,
            "path_info": f"{_NAME}/{app}",
            "enabled": find_notebooks() is not None,
        },
    }


if __name__ == "__main__":
    serve(*sys.argv[1:])
