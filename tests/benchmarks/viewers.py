"""How soon the viewers show what was asked, in a real browser, and what memory their server takes.

Run: ``python tests/benchmarks/viewers.py [CUBE] [--country FOLDER]`` on a practice cube (``make
cube``) and on a cube of a country's shape (``python tests/benchmarks/country.py FOLDER``), with
Chromium. A time runs from the mouse, key or wheel to the frame after the new picture was painted,
both by the browser's own clock: twenty actions, of which the first was made before for warmth. A
click is the end of a press. Files are in the page cache.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))

from services import Service, panel_serve

ROOT = Path(__file__).parents[2]

MIDDLE = 99_840, 454_310
"""Of the part of the country's cube that is not empty, RD in m."""

WINDOW = (1400, 1000)
WINDOWS = ((420, 800), WINDOW, (1600, 900), (2560, 1440))
"""Windows of the browser, pixels."""

SIDES = (2500, 5000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000)
"""Widths of views of the country, m."""

QUIET = 350
"""ms without a new picture: then the last one has come. No two clicks are a double click."""

WATCH = """
(() => {
  const seen = window.s2kit_seen = {acted: 0, drawn: {map: 0, chart: 0}};
  const note = event => { seen.acted = event.timeStamp; };
  for (const kind of ['pointerdown', 'pointerup', 'keydown', 'wheel', 'input'])
    window.addEventListener(kind, note, {capture: true, passive: true});
  const painted = kind => () => requestAnimationFrame(() => requestAnimationFrame(() => {
    seen.drawn[kind] = performance.now();
  }));
  const models = Bokeh.documents.flatMap(page => [...page._all_models.values()]);
  for (const figure of models.filter(model => model.type === 'Figure')) {
    const drawn = figure.renderers.filter(renderer => renderer.type === 'GlyphRenderer');
    const pictures = drawn.filter(one => one.glyph.type.startsWith('Image'));
    const lines = drawn.filter(one => ['Line', 'MultiLine', 'Scatter'].includes(one.glyph.type));
    const kind = pictures.length ? 'map' : 'chart';
    for (const one of pictures.length ? pictures : lines)
      one.data_source.properties.data.change.connect(painted(kind));
  }
})()
"""
"""Notes when something was done, and when the picture of a map or the lines of a chart came."""

MAP = """
() => {
  const isPicture = one => one.glyph?.type === 'ImageRGBA' && one.data_source.data.image?.length;
  const figures = Bokeh.documents.flatMap(page => [...page._all_models.values()])
    .filter(model => model.type === 'Figure');
  const figure = figures.find(one => one.renderers.some(isPicture));
  if (!figure) return null;
  const {left, top, width, height} = Bokeh.index.find_one(figure).frame.bbox;
  const {image} = figure.renderers.find(isPicture).data_source.data;
  return {frame: [left, top, width, height], picture: image[0].shape};
}
"""
"""Where a map with a picture lies in its figure, and the rows and columns of the picture."""

VIEWER = """
import panel as pn
import s2kit

pn.extension()
s2kit.viewers.{viewer}(s2kit.open_cube({store!r})).servable()
"""

FLOOR = """
import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

pn.extension()
noise = np.random.default_rng(0).integers(0, 2**32, (20, {rows}, {cols}), "uint32")
frames = [{{"image": [one], "x": [0], "y": [0], "dw": [1], "dh": [1]}} for one in noise]
source = ColumnDataSource(frames[0])
plot = figure(frame_width={width}, frame_height={height})
plot.image_rgba(source=source)
button = pn.widgets.Button(name="Next")
button.on_click(lambda event: setattr(source, "data", frames[event.new % 20]))
pn.Column(button, pn.pane.Bokeh(plot)).servable()
"""
"""Pushes pictures of the size of a viewer's, made before."""

IDIOMATIC = """
import hvplot.xarray
import panel as pn
import xarray as xr

pn.extension()
cube = xr.open_zarr({store!r}, group="S2/R051")
layers = (cube[["B04", "B03", "B02"]] / 0.2).clip(0, 1).to_dataarray("band")
frame = dict(x="x", y="y", groupby="time", data_aspect=1, frame_width=470)
shown = layers.hvplot.rgb(bands="band", **frame) if {rgb} else cube.B08.hvplot.image(
    clim=(0, 0.5), **frame)
pn.panel(shown).servable()
"""
"""What the documentation of hvplot teaches."""


@dataclass
class Seen:
    """A page, and how long it takes until it shows what was asked."""

    page: Page
    received: list[int]
    """Bytes of each message of the server."""

    def take(self, act: Callable[[], object], kind: str = "map") -> float:
        """Do something; give ms until the last picture that follows."""
        act()
        self.page.wait_for_function(
            """([kind, quiet]) => { const {acted, drawn} = window.s2kit_seen;
            return drawn[kind] > acted && performance.now() - drawn[kind] > quiet }""",
            arg=[kind, QUIET],
            polling=50,
        )
        return self.page.evaluate(
            "kind => window.s2kit_seen.drawn[kind] - window.s2kit_seen.acted", kind
        )

    def times(
        self, acts: Iterator[Callable[[], object]], number: int, kind: str = "map"
    ) -> list[float]:
        """Do some things one after the other; give the ms of each but the first."""
        return [self.take(act, kind) for act in itertools.islice(acts, number + 1)][1:]

    def press(self, name: str) -> Callable[[], None]:
        """Press a button."""
        return self.page.get_by_role("button", name=name, exact=True).click

    def choose(self, title: str, value: str) -> Callable[[], object]:
        """Choose from a list."""
        return lambda: self.page.get_by_label(title, exact=True).select_option(value)

    def key(self, name: str) -> Callable[[], None]:
        """Press a key on the first slider."""
        return lambda: self.page.locator(".noUi-handle").first.press(name)

    def map(self) -> dict[str, list[float]]:
        """Return the frame of the map and the shape of its picture, once it is drawn."""
        return self.page.wait_for_function(MAP, timeout=60_000).json_value()

    def place(self, right: float, up: float) -> tuple[float, float]:
        """Return a place of the map on the screen, 0-1 from its lower left corner."""
        box = self.page.locator(".bk-Figure >> visible=true").first.bounding_box()
        left, top, width, height = self.map()["frame"]
        return box["x"] + left + right * width, box["y"] + top + (1 - up) * height

    def click(self, right: float, up: float) -> Callable[[], None]:
        """Click on the map."""
        return lambda: self.page.mouse.click(*self.place(right, up))

    def wheel(self, by: float) -> Callable[[], None]:
        """Turn the wheel over the middle of the map."""

        def turn() -> None:
            self.page.mouse.move(*self.place(0.5, 0.5))
            self.page.mouse.wheel(0, by)

        return turn

    def drag(self, by: float) -> Callable[[], None]:
        """Pull the map to the right."""

        def pull() -> None:
            self.page.mouse.move(*self.place(0.5, 0.5))
            self.page.mouse.down()
            self.page.mouse.move(*self.place(0.5 + by, 0.5), steps=5)
            self.page.mouse.up()

        return pull


Acts = Iterator[Callable[[], object]]


def spots() -> Iterator[tuple[float, float]]:
    """Return places all over the map."""
    rng = np.random.default_rng(0)
    while True:
        yield tuple(rng.uniform(0.1, 0.9, 2))


def clicks(seen: Seen) -> Acts:
    """Click here and there."""
    return (seen.click(*spot) for spot in spots())


def steps(seen: Seen) -> Acts:
    """Go from date to date."""
    yield seen.press("First")
    yield from itertools.repeat(seen.press("Next"))


def pictures(seen: Seen) -> Acts:
    """Go from picture to picture."""
    names = ("NDVI", "True colour", "B08", "Classes (SCL)", "NDWI", "False colour")
    return (seen.choose("Show", name) for name in itertools.cycle(names))


def statistics(seen: Seen) -> Acts:
    """Go from statistic to statistic."""
    names = ("standard deviation", "largest", "clear observations", "mean")
    return (seen.choose("Statistic", name) for name in itertools.cycle(names))


def in_turn(*acts: Callable[[], object]) -> Acts:
    """Do things again and again."""
    return itertools.cycle(acts)


@contextmanager
def served(folder: Path, code: str) -> Iterator[tuple[Service, str]]:
    """Serve a script by ``panel serve``; give the server and the script's address."""
    script = folder / "app.py"
    script.write_text(code)
    with served_files([script], folder) as server:
        yield server, f"{server.url}/app"


def served_files(files: list[Path], folder: Path):
    """Serve scripts or notebooks; what is closed is soon forgotten."""
    brief = ("--check-unused-sessions", "500", "--unused-session-lifetime", "1000")
    where = {"PYTHONPATH": str(ROOT)}
    return panel_serve(files, folder, cwd=files[0].parent, env=where, options=brief)


@contextmanager
def opened(
    browser: Browser, url: str, window: tuple[int, int] = WINDOW, **state: object
) -> Iterator[Seen]:
    """Open an app; ``state`` is what its address asks for."""
    page = browser.new_page(viewport=dict(zip(("width", "height"), window, strict=True)))
    received: list[int] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: received.append(len(data))),
    )
    asked = "&".join(
        f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in state.items()
    )
    page.goto(f"{url}?{asked}", timeout=180_000)
    page.locator(".bk-Figure >> visible=true").first.wait_for(timeout=120_000)
    page.wait_for_timeout(1000)
    page.evaluate(WATCH)
    yield Seen(page, received)
    page.close()


def row(*cells: object) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(title: str, *cells: str) -> None:
    """Print the head of a table."""
    print(f"\n{title}\n")
    row(*cells)
    print("|" + "---|" * len(cells))


def latency(viewer: str, what: str, times: list[float], wanted: str = "") -> None:
    """Print how long something took."""
    row(viewer, what, f"{np.median(times):.0f}", f"{np.percentile(times, 90):.0f}", wanted)


def square(side: float) -> list[float]:
    """Return the view of the country of a width."""
    x, y = MIDDLE
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def query_times(browser: Browser, folder: Path, cube: str, number: int) -> None:
    """Look at the practice cube in time."""
    viewer = "TimeQuery"
    with (
        served(folder, VIEWER.format(viewer=viewer, store=cube)) as (_, url),
        opened(browser, url) as seen,
    ):
        latency(viewer, "new date", seen.times(steps(seen), number), "≤ 300")
        latency(viewer, "new picture", seen.times(pictures(seen), number))
        zooms = in_turn(seen.press("Zoom in"), seen.press("Zoom out"))
        latency(viewer, "zoom, button", seen.times(zooms, number))
        latency(
            viewer, "zoom, wheel", seen.times(in_turn(seen.wheel(-200), seen.wheel(200)), number)
        )
        latency(viewer, "click → series", seen.times(clicks(seen), number, "chart"), "≤ 300")


def country_query_times(browser: Browser, folder: Path, cube: str, number: int) -> None:
    """Look at the country's cube in time, in each detail."""
    viewer = "TimeQuery, country"
    with served(folder, VIEWER.format(viewer="TimeQuery", store=cube)) as (_, url):
        for side in SIDES:
            with opened(browser, url, view=square(side)) as seen:
                what = f"new date, view of {side / 1000:g} km"
                latency(viewer, what, seen.times(steps(seen), number), "≤ 700")
        with opened(browser, url) as seen:
            times = seen.times(steps(seen), number)
            latency(viewer, "new date, whole country", times, "≤ 700")
        with opened(browser, url, view=square(10_000)) as seen:
            pans = in_turn(seen.drag(0.3), seen.drag(-0.3))
            latency(viewer, "pan, view of 10 km", seen.times(pans, number))
            times = seen.times(clicks(seen), number, "chart")
            latency(viewer, "click → series", times, "≤ 300")


def draw_polygon(seen: Seen, around: tuple[float, float]) -> None:
    """Click three corners."""
    for right, up in ((0, 0), (0.08, 0), (0.08, 0.08)):
        seen.click(around[0] + right, around[1] + up)()
        seen.page.wait_for_timeout(QUIET)


def statistics_times(browser, folder, cube, number, viewer, view=None) -> None:
    """Look at statistics, and add places."""
    state = {"view": square(view)} if view else {}
    with served(folder, VIEWER.format(viewer="NdviStatistics", store=cube)) as (_, url):
        with opened(browser, url, **state) as seen:
            latency(viewer, "new statistic", seen.times(statistics(seen), number))
            moves = in_turn(*map(seen.press, ("West", "East")))
            latency(viewer, "new view, moved by half", seen.times(moves, number))
            zooms = in_turn(seen.press("Zoom in"), seen.press("Zoom out"))
            latency(viewer, "new view, zoomed", seen.times(zooms, number))
            seen.choose("Statistic", "amplitude (p90 − p10)")()
            seen.page.wait_for_timeout(3000)
            latency(viewer, "new view, amplitude", seen.times(moves, number))
        for kind in ("point", "polygon"):
            times = []
            while len(times) < number:
                with opened(browser, url, **state) as seen:
                    times += new_places(seen, kind)
            latency(viewer, f"{kind} → curve", times[:number])


def new_places(seen: Seen, kind: str) -> list[float]:
    """Draw a dozen places."""
    seen.press("Draw")()
    seen.press(kind)()
    seen.page.wait_for_timeout(500)
    times = []
    for spot in itertools.islice(spots(), 12):
        if kind == "point":
            times.append(seen.take(seen.click(*spot), "chart"))
        else:
            draw_polygon(seen, (0.85 * spot[0], 0.85 * spot[1]))
            times.append(seen.take(seen.press("Finish"), "chart"))
    return times[1:]


def compare(browser: Browser, folder: Path, cube: str, number: int) -> None:
    """Time a new date of the practice cube: s2kit, what one would use instead, and the floor."""
    with (
        served(folder, VIEWER.format(viewer="TimeQuery", store=cube)) as (_, url),
        opened(browser, url) as seen,
    ):
        floor = made_before(seen)
    head("A new date, practice cube", "way", "median ms", "90 % ms", "× floor")
    ways = {
        "floor: pictures of that size, made before": (floor, None),
        "s2kit, true colour": (VIEWER.format(viewer="TimeQuery", store=cube), "True colour"),
        "hvplot.rgb of xarray.open_zarr": (IDIOMATIC.format(store=cube, rgb=True), None),
        "s2kit, B08": (VIEWER.format(viewer="TimeQuery", store=cube), "B08"),
        "hvplot.image of xarray.open_zarr": (IDIOMATIC.format(store=cube, rgb=False), None),
    }
    least = None
    for name, (code, picture) in ways.items():
        with served(folder, code) as (_, url), opened(browser, url) as seen:
            if picture and picture != "True colour":
                seen.take(seen.choose("Show", picture))
            way = seen.key("ArrowRight") if "hvplot" in name else seen.press("Next")
            if "s2kit" in name:
                seen.press("First")()
                seen.page.wait_for_timeout(1000)
            times = seen.times(itertools.repeat(way), number)
            median = np.median(times)
            least = least or median
            row(name, f"{median:.0f}", f"{np.percentile(times, 90):.0f}", f"{median / least:.2f}")


def made_before(seen: Seen) -> str:
    """Return an app that pushes pictures as large as those of a viewer."""
    found = seen.map()
    (rows, cols), (_, _, width, height) = found["picture"], found["frame"]
    return FLOOR.format(rows=rows, cols=cols, width=round(width), height=round(height))


def windows(browser: Browser, folder: Path, cube: str, state: dict, number: int) -> None:
    """Time a new date in windows of several sizes, beside pushing pictures made before.

    A picture has at most the pixels of the cube that are in view, so give the country's cube.
    """
    head(
        "A new date by the window, true colour",
        "window",
        "map",
        "picture",
        "kB a date",
        "median ms",
        "90 % ms",
        "× floor",
        "server MB",
    )
    for window in WINDOWS:
        app = VIEWER.format(viewer="TimeQuery", store=cube)
        with served(folder, app) as (server, url), opened(browser, url, window, **state) as seen:
            found, floor = seen.map(), made_before(seen)
            seen.press("First")()
            seen.page.wait_for_timeout(1000)
            seen.received.clear()
            times = seen.times(itertools.repeat(seen.press("Next")), number)
            sent, held = sum(seen.received) / (number + 1) / 1000, megabytes(server)
        with served(folder, floor) as (_, url), opened(browser, url, window) as seen:
            least = np.median(seen.times(itertools.repeat(seen.press("Next")), number))
        sizes = [
            f"{width:.0f} × {height:.0f}"
            for width, height in (window, found["frame"][2:], found["picture"][::-1])
        ]
        median, worst = np.median(times), np.percentile(times, 90)
        ratio = f"{median / least:.2f}"
        row(*sizes, f"{sent:.0f}", f"{median:.0f}", f"{worst:.0f}", ratio, held)


def query_acts(seen: Seen) -> Iterator[tuple[Callable[[], object], str]]:
    """Mix what one does in the time query, without an end."""
    spot = spots()
    show = pictures(seen)
    for number in itertools.count():
        if number % 60 == 0:
            yield seen.press("First"), "map"
        yield seen.press("Next"), "map"
        yield next(show), "map"
        yield seen.press(("Zoom in", "Zoom out")[number % 2]), "map"
        yield seen.click(*next(spot)), "chart"
        yield seen.press("Next"), "map"


def statistics_acts(seen: Seen) -> Iterator[tuple[Callable[[], object], str]]:
    """Mix what one does in the statistics, without an end; it starts with points."""
    spot, another = spots(), statistics(seen)
    seen.press("Draw")()
    seen.press("point")()
    seen.page.wait_for_timeout(500)
    for number in itertools.count():
        for name in ("Map", "Draw", "Places"):
            seen.press(name)()
            if name == "Map":
                yield next(another), "map"
                yield seen.press(("Zoom in", "Zoom out")[number % 2]), "map"
            elif name == "Draw":
                yield seen.click(*next(spot)), "chart"
                yield seen.click(*next(spot)), "chart"
            elif number > 2:
                yield seen.press("Remove this place"), "chart"
                yield seen.press("Remove this place"), "chart"


ACTS = {"TimeQuery": query_acts, "NdviStatistics": statistics_acts}


def megabytes(server: Service) -> str:
    """Return the memory that the server holds."""
    return f"{server.process.memory_info().rss / 1e6:.0f}"


def memory(browser: Browser, folder: Path, cubes: dict[str, tuple[str, dict]], most: int) -> None:
    """Print what the server holds after so many actions, of one session."""
    marks = [n * most // 4 for n in range(1, 5)]
    head(
        "Memory of the server, MB; wanted ≤ 600 and flat",
        "viewer",
        "cube",
        "started",
        "opened",
        *(f"{n} actions" for n in marks),
    )
    for (viewer, acts), (name, (cube, state)) in itertools.product(ACTS.items(), cubes.items()):
        with served(folder, VIEWER.format(viewer=viewer, store=cube)) as (server, url):
            held = [megabytes(server)]
            with opened(browser, url, **state) as seen:
                held.append(megabytes(server))
                for number, act in enumerate(itertools.islice(acts(seen), most), 1):
                    seen.take(*act)
                    if number in marks:
                        held.append(megabytes(server))
            row(viewer, name, *held)


def sessions(browser: Browser, folder: Path, rounds: int = 10) -> None:
    """Print what the server of both notebooks holds, as sessions come and go."""
    names = "02_query_in_time", "03_ndvi_statistics"
    files = [ROOT / f"notebooks/{name}.ipynb" for name in names]
    with served_files(files, folder) as server:
        held = {"no session yet": megabytes(server)}
        urls = [f"{server.url}/{file.stem}" for file in files]
        with opened(browser, urls[0]), opened(browser, urls[1]):
            held["one of each"] = megabytes(server)
        for number in range(1, rounds + 1):
            for url in urls:
                begin = time.perf_counter()
                with opened(browser, url):
                    took = time.perf_counter() - begin - 1
            time.sleep(4)
            held[f"{number + 1} of each, one after the other"] = megabytes(server)
        head("Memory of the server of both notebooks, MB", "sessions", "MB")
        for what, size in held.items():
            row(what, size)
        print(f"\nA session of notebook 03 was to be seen after {took:.1f} s.")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cube", nargs="?", default="data/cube.zarr")
    parser.add_argument("--country", help="folder of the cube that country.py makes")
    parser.add_argument("--only", default="times,compare,windows,memory,sessions")
    parser.add_argument("--number", type=int, default=20, help="actions of each kind")
    parser.add_argument("--actions", type=int, default=200, help="before memory is read last")
    options = parser.parse_args()
    wanted = options.only.split(",")
    cube = str(Path(options.cube).resolve())
    cubes = {"practice": (cube, {})}
    if options.country:
        cubes["country"] = str(Path(options.country).resolve()), {"view": square(10_000)}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), chromium_sandbox=os.geteuid() != 0
        )
        folder = Path(folder)
        if "times" in wanted:
            head("From action to picture", "viewer", "action", "median ms", "90 % ms", "wanted")
            query_times(browser, folder, cube, options.number)
            statistics_times(browser, folder, cube, options.number, "NdviStatistics")
            if options.country:
                country = cubes["country"][0]
                country_query_times(browser, folder, country, options.number)
                statistics_times(
                    browser, folder, country, options.number, "NdviStatistics, country", 10_000
                )
        if "compare" in wanted:
            compare(browser, folder, cube, options.number)
        if "windows" in wanted:
            windows(browser, folder, *list(cubes.values())[-1], options.number)
        if "memory" in wanted:
            memory(browser, folder, cubes, options.actions)
        if "sessions" in wanted:
            sessions(browser, folder)


if __name__ == "__main__":
    main()
