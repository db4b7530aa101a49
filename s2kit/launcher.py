"""Tiles in JupyterLab's launcher, and so in Binder's, that open the viewers as pages.

Both are served by one process, which starts at the first click. Jupyter's server imports this
module, so it imports little itself.
"""

import os
import sys
from pathlib import Path

QUERY, STATISTICS = "02_query_in_time", "03_ndvi_statistics"

_NAME = "s2kit"
"""Of the server: its entry point, and where Jupyter shows it."""

_PATIENCE = "120000"
"""Milliseconds that a page may take to load; after 15 s, Bokeh would make it again."""


def time_query() -> dict:
    """Describe the tile of the time query, for jupyter-server-proxy."""
    return _tile("Time query", QUERY)


def ndvi_statistics() -> dict:
    """Describe the tile of the NDVI statistics; its path leads to the other's server."""
    return _tile("NDVI statistics", STATISTICS)


def find_notebooks() -> Path | None:
    """Find the notebooks: where Jupyter was started, or beside this file in a clone."""
    here = Path.cwd()
    for folder in (here / "notebooks", here, Path(__file__).parents[1] / "notebooks"):
        if all((folder / f"{name}.ipynb").is_file() for name in (QUERY, STATISTICS)):
            return folder
    return None


def serve(port: str, prefix: str) -> None:
    """Serve both notebooks from their own folder, as their paths are relative to it."""
    from panel.command import main

    folder = find_notebooks()
    if folder is None:
        sys.exit(
            f"No notebooks {QUERY}.ipynb and {STATISTICS}.ipynb here: start from the folder of a "
            "clone of s2kit, or from its folder notebooks"
        )
    os.chdir(folder)
    sys.argv = ["panel", "serve", f"{QUERY}.ipynb", f"{STATISTICS}.ipynb",
                "--address", "127.0.0.1", "--port", port, "--prefix", prefix,
                "--unused-session-lifetime", _PATIENCE]  # fmt: skip
    main()


def _tile(title: str, app: str) -> dict:
    return {
        "command": [sys.executable, "-m", "s2kit.launcher", "{port}", "{base_url}" + _NAME],
        "absolute_url": True,
        "environment": {"MALLOC_ARENA_MAX": "2"},  # what was freed goes back: 20 % less memory
        # Jupyter has checked by now who asks; Panel expects its own address.
        "request_headers_override": {"Origin": "http://localhost:{port}"},
        "timeout": 120,
        "launcher_entry": {
            "title": title,
            "path_info": f"{_NAME}/{app}",
            "enabled": find_notebooks() is not None,
        },
    }


if __name__ == "__main__":
    serve(*sys.argv[1:])
