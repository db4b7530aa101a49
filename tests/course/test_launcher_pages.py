"""The server of the viewers: out of reach for other users, and never kept by one page."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import bokeh
import psutil
import pytest
from packaging.version import Version

import s2kit
from s2kit.course import launcher

FIRST = """
from pathlib import Path
import time
import panel as pn
%matplotlib inline
!ls
served = pn.state.served
while not Path("go").exists():
    Path("asked").touch()
    time.sleep(0.02)
"""
SHOWN = "pn.pane.Markdown(f'The page, served: {served}').servable()"
AFTER = "raise ValueError('what follows the viewer must not be run')"


@pytest.fixture
def notebooks(tmp_path) -> Path:
    """Return a folder of notebooks whose pages are made as soon as a file ``go`` is there."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = [{"cell_type": "markdown", "source": ["Text"]}]
    cells += [{"cell_type": "code", "source": [code]} for code in (FIRST, SHOWN, AFTER)]
    for name in (launcher.QUERY, launcher.STATISTICS):
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    return folder


def ask(where: str, path: str, seconds: float = 60) -> tuple[int, str]:
    """Return status and text of a page, from a socket or a port."""
    port = where if where.isdigit() else None
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        if port is None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(seconds)
            connection.sock.connect(where)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextmanager
def serving(where: str, notebooks: Path):
    """Run the server."""
    root = str(Path(s2kit.__file__).parents[1])
    command = [sys.executable, "-m", "s2kit.course.launcher", where, "/someone/s2kit"]
    with (notebooks / "../log").open("w") as log:
        server = subprocess.Popen(
            command,
            cwd=notebooks.parent,
            env=os.environ | {"PYTHONPATH": root},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(lambda: ask(where, "/")[0] == 404, server)
        yield server
    finally:
        server.terminate()
        server.wait()


def wait(true, server) -> None:
    """Wait until something is true, while the server runs."""
    for _ in range(1200):
        assert server.poll() is None
        try:
            if true():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def free_port() -> str:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_only_the_owner_can_open_the_socket(notebooks, tmp_path):
    """The server listens at the socket alone, with the mode 0600, and shows both pages there."""
    (notebooks / "go").touch()
    with serving(where := str(tmp_path / "s"), notebooks) as server:
        assert Path(where).stat().st_mode & 0o777 == 0o600
        assert psutil.Process(server.pid).net_connections("inet") == []
        for name in (launcher.QUERY, launcher.STATISTICS):
            status, page = ask(where, f"/someone/s2kit/{name}")
            assert status == 200 and "docs_json" in page
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log


def test_a_port_will_do(notebooks):
    """Where there are no sockets of that kind, a port of this computer is used."""
    (notebooks / "go").touch()
    with serving(where := free_port(), notebooks):
        assert ask(where, f"/someone/s2kit/{launcher.QUERY}")[0] == 200


@pytest.mark.skipif(Version(bokeh.__version__) < Version("3.10"), reason="made on Bokeh's loop")
def test_pages_that_are_made_keep_no_other_waiting(notebooks, tmp_path):
    """While dozens of pages wait to be made, the files of other pages are sent."""
    where, page = str(tmp_path / "s"), f"/someone/s2kit/{launcher.QUERY}"
    with serving(where, notebooks) as server, ThreadPoolExecutor(40) as browsers:
        pages = [browsers.submit(ask, where, page) for _ in range(40)]
        wait((notebooks / "asked").exists, server)
        status, script = ask(where, "/someone/s2kit/static/js/bokeh.min.js", 30)
        assert status == 200 and len(script) > 100_000
        assert not any(one.done() for one in pages)
        (notebooks / "go").touch()
        assert {one.result()[0] for one in pages} == {200}
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_cells_up_to_the_viewer_are_run(notebooks):
    """Code after the last viewer is left out, as are magics; without a viewer all is run."""
    first, shown = launcher._cells(notebooks / f"{launcher.QUERY}.ipynb")
    assert "%matplotlib" not in first and "!ls" not in first
    assert first.splitlines()[1:4] == FIRST.splitlines()[1:4]
    assert shown == SHOWN
    cells = [{"cell_type": "code", "source": ["a = 1\n", "b = 2"]}] * 2
    (notebooks / "none.ipynb").write_text(json.dumps({"cells": cells}))
    assert list(launcher._cells(notebooks / "none.ipynb")) == ["a = 1\nb = 2"] * 2


@pytest.mark.parametrize("sockets", [True, False])
def test_tiles_ask_for_a_socket(monkeypatch, sockets):
    """Jupyter is told to meet the server at a socket, in a private folder that it makes."""
    monkeypatch.setattr(launcher, "_HAS_SOCKETS", sockets)
    for tile in (launcher.time_query(), launcher.ndvi_statistics()):
        assert tile["unix_socket"] is sockets
        assert tile["command"][3] == ("{unix_socket}" if sockets else "{port}")
        assert ("{port}" in tile["request_headers_override"]["Origin"]) is not sockets


def test_missing_notebooks_are_told(tmp_path, monkeypatch):
    """Without the notebooks the server says where to start it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launcher, "__file__", str(tmp_path / "s2kit/course/launcher.py"))
    with pytest.raises(SystemExit, match="start from the folder of a clone"):
        launcher.serve("0", "/")
