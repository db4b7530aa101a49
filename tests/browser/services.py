"""The programs that show pages, as processes of their own: ``panel serve`` and Jupyter's."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

TOKEN = "for-tests-on-loopback-only"
HUB = "/user/someone"
"""Where addresses begin on JupyterHub and Binder."""

_QUIET_LAB = (
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=",
    "--LabApp.extension_manager=readonly",
)
"""Keeps JupyterLab from asking the network for versions, news and extensions."""

_QUIET_NOTICES = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


@dataclass(frozen=True)
class Service:
    """A program that serves pages.

    Attributes
    ----------
    url : str
        Address of its root, without a slash at the end.
    process : psutil.Process
        Its ``memory_info().rss`` is what it takes, in bytes.
    log_file : pathlib.Path
    """

    url: str
    process: psutil.Process
    log_file: Path

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self.log_file.read_text(errors="replace")


@dataclass(frozen=True)
class Lab(Service):
    """JupyterLab and Jupyter Notebook, of one server; ``root`` is the folder that they show."""

    root: Path

    def address(self, path: str = "", program: str = "lab") -> str:
        """Return the address of a notebook, by its path below the root, or of the launcher.

        ``program`` is "lab" for JupyterLab, "notebooks" for Jupyter Notebook.
        """
        if program == "notebooks":
            return f"{self.url}/notebooks/{path}?token={TOKEN}"
        return f"{self.url}/lab{f'/tree/{path}' if path else ''}?reset&token={TOKEN}"

    def api(self, path: str, method: str = "GET") -> list[dict]:
        """Ask Jupyter's own API."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer) if method == "GET" else []

    def stop_kernels(self) -> None:
        """End all kernels, so that the next test has the memory."""
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")


@contextmanager
def panel_serve(
    files: Sequence[Path],
    folder: Path,
    *,
    cwd: Path,
    env: Mapping[str, str],
    options: Sequence[str],
) -> Iterator[Service]:
    """Run ``panel serve``; its log goes to ``folder``."""
    port = free_port()
    command = ["panel", "serve", *files, "--address", "127.0.0.1", "--port", str(port), *options]
    log = folder / f"panel-{port}.log"
    with _running(command, log, cwd, env) as process:
        service = Service(f"http://127.0.0.1:{port}", process, log)
        _wait_for(service, "/")
        yield service


@contextmanager
def run_lab(
    root: Path,
    folder: Path,
    *,
    base: str = "",
    module: str = "jupyterlab",
    panel: Path | None = None,
) -> Iterator[Lab]:
    """Run JupyterLab on a folder, apart from the settings of who runs the tests.

    ``base`` is where its addresses begin, as ``/user/name`` on Binder. As ``module``, "notebook"
    does the same, but opens Jupyter Notebook first. ``panel`` is a folder of packages that are
    taken instead of those that are installed.
    """
    port = free_port()
    apart = {
        name: str(folder / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "IPYTHONDIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
        )
    }
    notices = Path(apart["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab/apputils-extension")
    notices.mkdir(parents=True)
    (notices / "notification.jupyterlab-settings").write_text(json.dumps(_QUIET_NOTICES))
    if panel:
        apart["PYTHONPATH"] = str(panel)
    command = [
        module,
        "--no-browser",
        "--allow-root",
        "--ip",
        "127.0.0.1",
        "--port",
        port,
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token",
        TOKEN,
        "--ServerApp.root_dir",
        root,
        "--ServerApp.base_url",
        f"{base}/",
        *_QUIET_LAB,
    ]
    log = folder / "jupyterlab.log"
    with _running(command, log, root, apart) as process:
        lab = Lab(f"http://127.0.0.1:{port}{base}", process, log, root)
        _wait_for(lab, "/api")
        yield lab


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _running(
    command: Sequence[object], log: Path, cwd: Path, env: Mapping[str, str]
) -> Iterator[psutil.Process]:
    """Run a module of this Python; at the end it and all that it started are gone."""
    with log.open("wb") as out:
        process = psutil.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        family = [process, *process.children(recursive=True)] if process.poll() is None else []
        if family:
            process.terminate()
        for member in psutil.wait_procs(family, timeout=10)[1]:
            member.kill()


def _wait_for(service: Service, path: str) -> None:
    """Wait until a service answers; on a busy machine JupyterLab takes minutes to start."""
    for _ in range(3000):
        try:
            urllib.request.urlopen(service.url + path, timeout=60).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert service.process.poll() is None, service.log
            time.sleep(0.1)
    raise AssertionError(f"nobody answers at {service.url}\n{service.log}")
