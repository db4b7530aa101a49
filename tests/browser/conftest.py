"""A real browser, and what it looks at: apps of ``panel serve``, notebooks in Jupyter's programs.

Panel and Bokeh draw into open shadow roots. Playwright's CSS, role and text locators see through
them; XPath does not, and the ``inner_text`` of an element that has a shadow root is empty: ask for
what is inside, ``page.locator(".my-class div")``.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from in_jupyter import check_cells, open_in
from known import Known, cell
from playwright.sync_api import Browser, Page, expect, sync_playwright
from seeing import Seen
from services import HUB, Lab, Service, panel_serve, run_lab
from watching import Watch

expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, which `make test` leaves out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser(require_program) -> Iterator[Browser]:
    """Start the system's Chromium, without a window.

    For one file of tests only: while Playwright runs, no other event loop can run in its thread.
    """
    chromium = require_program("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=["--force-device-scale-factor=1"],
            chromium_sandbox=os.geteuid() != 0,  # which Chromium refuses to root
        )
        yield started
        started.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Account of what goes wrong in `page`; at the end, the test fails if anything did."""
    account = Watch()
    yield account
    account.check()


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """Hold the services of one test. They end after its page, which would miss them."""
    with ExitStack() as services:
        yield services


@pytest.fixture
def page(started, browser, watch) -> Iterator[Page]:
    """Open an empty page of 1280 × 800 pixels that `watch` watches, as all that it opens."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.route("**/*", watch.guard)
    context.on("page", watch.over)
    yield context.new_page()
    context.close()


@pytest.fixture
def serve_app(started, tmp_path) -> Iterator[Callable[..., Service]]:
    """Serve scripts or notebooks by ``panel serve``; the test fails if the log has a traceback."""
    services = []

    def serve(
        *files: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> Service:
        folder = cwd or files[0].parent
        service = panel_serve(files, tmp_path, cwd=folder, env=env or {}, options=options)
        services.append(started.enter_context(service))
        return services[-1]

    yield serve
    for service in services:
        check_log(service)


def check_log(service: Service) -> None:
    """Fail if the server tells of an error; a page that left while it was sent to is none."""
    entries = re.split(r"\n(?=\d{4}-\d\d-\d\d )", service.log)
    told = "\n".join(entry for entry in entries if not LEFT.fullmatch(entry.strip()))
    assert "Traceback (most recent call last)" not in told, told


LEFT = re.compile(
    r"[\d-]+ [\d:,]+ Task exception was never retrieved\nfuture: .*WebSocketClosedError\(\)>\n"
    r"Traceback (?:(?!Traceback).)*tornado\.iostream\.StreamClosedError: Stream is closed\n\n"
    r"During handling of the above exception, another exception occurred:\n\n"
    r"Traceback (?:(?!Traceback).)*\n    raise WebSocketClosedError\(\)\n"
    r"tornado\.websocket\.WebSocketClosedError",
    re.DOTALL,
)
"""Tornado's word on a page that left while something was sent to it, and nothing else."""


@pytest.fixture
def start_lab(started, tmp_path) -> Callable[..., Lab]:
    """Start a JupyterLab of one's own on a folder; ``base`` is where its addresses begin."""

    def start(root: Path, *, base: str = "") -> Lab:
        return started.enter_context(run_lab(root, tmp_path, base=base))

    return start


@pytest.fixture(scope="session")
def running_lab(tmp_path_factory) -> Iterator[Lab]:
    """Run JupyterLab on an empty folder."""
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "root"
    root.mkdir()
    with run_lab(root, folder) as lab:
        yield lab


@pytest.fixture(scope="session")
def running_hub(tmp_path_factory) -> Iterator[Lab]:
    """Run Jupyter Notebook, which has JupyterLab too, on an empty folder, as JupyterHub does."""
    folder = tmp_path_factory.mktemp("hub")
    root = folder / "root"
    root.mkdir()
    with run_lab(root, folder, base=HUB, module="notebook") as hub:
        yield hub


@pytest.fixture
def jupyter_lab(request) -> Iterator[Lab]:
    """Run JupyterLab on a folder of its own, ``jupyter_lab.root``, where tests put notebooks.

    Parametrised by `HUB`, its addresses begin so.
    """
    behind = getattr(request, "param", "")
    running = request.getfixturevalue("running_hub" if behind else "running_lab")
    yield running
    running.stop_kernels()


@pytest.fixture
def open_notebook(jupyter_lab, page, watch) -> Iterator[Callable[..., Page]]:
    """Open a notebook below the root, run all its cells, and wait for the end.

    The options are those of `open_in`. The test fails where a cell shows a traceback, be it later,
    of a callback.
    """

    def open_it(path: str, **options: Any) -> Page:
        return open_in(jupyter_lab, page, watch, path, **options)

    yield open_it
    check_cells(page)


@pytest.fixture(scope="session")
def known() -> Known:
    """Return the numbers of a cube."""
    return Known()


@pytest.fixture(scope="session")
def known_store(known, tmp_path_factory) -> Path:
    """Write the cube of `known`, with overviews."""
    store = tmp_path_factory.mktemp("known") / "cube.zarr"
    known.write(store)
    return store


PATIENT = ("--unused-session-lifetime", "120000")
"""What the README advises for many at once: what loads for longer, Bokeh would make again."""


@pytest.fixture(scope="module")
def viewers(known_store, tmp_path_factory) -> Iterator[Service]:
    """Serve both viewers of the known cube; a traceback in the log is an error."""
    folder = tmp_path_factory.mktemp("viewers")
    scripts = [folder / f"{kind}.py" for kind in ("TimeQuery", "NdviStatistics")]
    for script in scripts:
        script.write_text(cell(script.stem, known_store))
    with panel_serve(scripts, folder, cwd=folder, env={}, options=PATIENT) as service:
        yield service
        check_log(service)


@pytest.fixture
def open_viewer(page, viewers) -> Callable[..., Seen]:
    """Open a viewer in `page`; ``asked`` is what follows in its address."""

    def open_it(kind: str, asked: str = "") -> Seen:
        page.goto(f"{viewers.url}/{kind}{asked}", timeout=90_000)
        return Seen(page).wait()

    return open_it
