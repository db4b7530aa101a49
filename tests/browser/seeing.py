"""What a viewer shows in a page, as numpy sees it, and where its charts are clicked."""

import io
import math
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.palettes import Greys256, Viridis256
from PIL import Image
from playwright.sync_api import Locator, Page, expect

_MODELS = """
const rank = (figure) => {
  const tool = figure.toolbar.tools[0]?.description ?? '';
  return tool.startsWith('Map') ? 0 : tool.startsWith('Pinned') ? 1 : 2;
};
const figures = Bokeh.documents.flatMap((d) => [...d._all_models.values()])
  .filter((m) => m.type == 'Figure' && Bokeh.index.find_one(m))
  .sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)) || rank(a) - rank(b));
const figure = figures[asked.figure];
const plain = (v) => ArrayBuffer.isView(v) || Array.isArray(v) ? Array.from(v, plain) : v;
"""
"""Figures in the order in which Python made them; in a notebook, maps first."""


@dataclass(frozen=True)
class Picture:
    """A picture on a map.

    Attributes
    ----------
    pixels : numpy.ndarray, shape (y, x, 4), uint8
        North up.
    place : tuple of float
        West, south, east, north.
    """

    pixels: np.ndarray
    place: tuple[float, float, float, float]


class Seen:
    """A viewer in a page; its figures are numbered in the order in which Python made them.

    Parameters
    ----------
    page : Page
    within : str
        Where on the page its controls are: JupyterLab has some of its own.
    """

    def __init__(self, page: Page, within: str = "body"):
        self.page, self.root = page, page.locator(within)

    def wait(self, seconds: float = 90) -> "Seen":
        """Wait until it is there, and Python has answered."""
        expect(self.status.or_(self.error).first).not_to_be_empty(timeout=1000 * seconds)
        expect(self.root.locator(".bk-Figure >> visible=true").first).to_be_visible(
            timeout=1000 * seconds
        )
        self.eventually(self._expect_rest)
        return self

    def _expect_rest(self) -> None:
        """Check that the view rests, and fits the map: a page that opens lays it out twice."""
        west, south, east, north = before = self.view()
        width, height = self.ask(
            "const {width, height} = Bokeh.index.find_one(figure).frame.bbox;return [width, height]"
        )
        metres = east > 180
        assert not metres or math.isclose(
            (east - west) / width, (north - south) / height, rel_tol=2e-3
        )
        self.page.wait_for_timeout(400)
        assert self.view() == before

    @property
    def status(self) -> Locator:
        """The line that says what is seen."""
        return self.root.get_by_role("status")

    @property
    def error(self) -> Locator:
        """The error, if there is one."""
        return self.root.get_by_role("alert")

    def button(self, name: str) -> Locator:
        """Find a button."""
        return self.root.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        """Click a button."""
        self.button(name).click()

    def slider(self, name: str) -> Locator:
        """Find a slider."""
        return self.root.get_by_role("slider", name=name)

    def box(self, name: str) -> Locator:
        """Find a box to type in."""
        return self.root.get_by_role("textbox", name=name, exact=True)

    def type(self, name: str, value: object) -> None:
        """Type into a box."""
        self.box(name).fill(str(value))
        self.box(name).press("Enter")

    def choice(self, name: str) -> Locator:
        """Find a list or a box to tick."""
        return self.root.get_by_label(name, exact=True)

    def choose(self, name: str, choice: str) -> None:
        """Choose from a list."""
        self.choice(name).select_option(choice)

    def save(self, name: str, folder: Path) -> Path:
        """Press a button that gives a file."""
        with self.page.expect_download() as download:
            self.press(name)
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def ask(self, code: str, figure: int = 0, **asked: Any) -> Any:
        """Run JavaScript that knows ``figure`` and ``asked``."""
        return self.page.evaluate(f"(asked) => {{{_MODELS} {code}}}", {"figure": figure, **asked})

    def title(self, figure: int = 0) -> str:
        """Return the title of a figure."""
        return self.ask("return figure.title.text", figure)

    def cut_titles(self) -> list[str]:
        """Return the titles of visible figures that are wider than the room they have."""
        return self.ask(
            "const pen = document.createElement('canvas').getContext('2d');"
            "const wide = (line, font) => { pen.font = font; return pen.measureText(line).width };"
            "return figures.filter((one) => {"
            "  const {text, text_font_style, text_font_size, text_font} = one.title;"
            "  const font = `${text_font_style} ${text_font_size} ${text_font}`;"
            "  const seen = Bokeh.index.find_one(one);"
            "  const room = seen.bbox.width - seen.frame.bbox.left;"
            "  const lines = text.split('\\n').map((line) => wide(line, font));"
            "  return seen.is_displayed && Math.max(...lines) > room;"
            "}).map((one) => one.title.text)"
        )

    def message(self, figure: int = 0) -> str:
        """Return the words that stand in place of a picture; empty if there are none."""
        return self.ask(
            "const said = figure.center.find((m) => m.type == 'Label');"
            "return said.visible ? said.text : ''",
            figure,
        )

    def view(self, figure: int = 0) -> list[float]:
        """Return west, south, east and north of what is in sight."""
        return self.ask(
            "const {x_range: x, y_range: y} = figure; return [x.start, y.start, x.end, y.end]",
            figure,
        )

    def data(self, figure: int, renderer: int) -> dict[str, Any]:
        """Return the columns of what a figure draws."""
        return self.ask(
            "const data = figure.renderers[asked.renderer].data_source.data;"
            "const columns = data instanceof Map ? [...data] : Object.entries(data);"
            "return Object.fromEntries(columns.map(([name, column]) => [name, plain(column)]))",
            figure,
            renderer=renderer,
        )

    def picture(self, figure: int = 0) -> Picture:
        """Return the picture on a map."""
        found = self.ask(
            "const {image, x, y, dw, dh} = figure.renderers[1].data_source.data;"
            "if (!image.length) return null;"
            "const {buffer, byteOffset, byteLength, shape} = image[0];"
            "const bytes = new Uint8Array(buffer, byteOffset, byteLength), parts = [];"
            "for (let i = 0; i < byteLength; i += 32768)"
            " parts.push(String.fromCharCode(...bytes.subarray(i, i + 32768)));"
            "const place = [x[0], y[0], x[0] + dw[0], y[0] + dh[0]];"
            "return {shape, place, image: btoa(parts.join(''))}",
            figure,
        )
        assert found, "there is no picture"
        packed = np.frombuffer(b64decode(found["image"]), "<u4").reshape(found["shape"])
        pixels = packed.view("u1").reshape(*found["shape"], 4)[::-1]
        return Picture(pixels, tuple(found["place"]))

    def spot(self, x: float, y: float, figure: int = 0) -> tuple[float, float]:
        """Return where a place on a figure is on the screen, scrolled into sight."""
        self.ask("Bokeh.index.find_one(figure).el.scrollIntoView({block: 'nearest'})", figure)
        return tuple(
            self.ask(
                "const seen = Bokeh.index.find_one(figure), box = seen.el.getBoundingClientRect();"
                "return [box.x + seen.frame.x_scale.compute(asked.x),"
                " box.y + seen.frame.y_scale.compute(asked.y)]",
                figure,
                x=x,
                y=y,
            )
        )

    def click(self, x: float, y: float, figure: int = 0) -> None:
        """Click on a place of a figure."""
        self.page.mouse.click(*self.spot(x, y, figure))

    def eventually(self, check: Callable[[], Any], seconds: float = 20) -> Any:
        """Repeat a check until it holds; then, or when the time is over, what it says counts."""
        end = time.monotonic() + seconds
        while True:
            try:
                return check()
            except AssertionError:
                if time.monotonic() > end:
                    raise
            self.page.wait_for_timeout(50)

    def expect_pixels(self, places, wanted: np.ndarray) -> None:
        """Wait until the screen has colours, shape (place, 3), at places of the map."""

        def check() -> None:
            spots = [self.spot(*place) for place in places]
            screen = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
            shown = np.array([screen.getpixel((int(x), int(y))) for x, y in spots], int)
            np.testing.assert_allclose(shown, wanted, atol=1)

        self.eventually(check)

    def expect_picture(self, wanted: np.ndarray, figure: int = 0, near: int = 6) -> Picture:
        """Wait until a map shows a picture.

        Parameters
        ----------
        wanted : numpy.ndarray, shape (y, x, 4)
        near : int
            How far a colour may be off: by one step of a palette, as for another rounding.
        """

        def check() -> Picture:
            found = self.picture(figure)
            assert found.pixels.shape == wanted.shape
            seen = wanted[..., 3] > 0
            np.testing.assert_array_equal(found.pixels[..., 3] > 0, seen)
            off = np.abs(found.pixels[seen].astype(int) - wanted[seen].astype(int))
            assert off.max() <= near, f"{(off.max(1) > near).mean():.0%} of pixels are wrong"
            return found

        return self.eventually(check)


def colours(hexes) -> np.ndarray:
    """Return colours such as ``"#0072B2"`` as numbers, shape (colour, 4)."""
    return np.array([[*bytes.fromhex(h[1:]), 255] for h in hexes], "u1")


def shade(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0-255 from the low to the high limit, as whole numbers."""
    return np.nan_to_num(255 * np.clip((values - low) / (high - low), 0, 1)).astype(int)


def painted(values: np.ndarray, low: float, high: float, palette=Viridis256) -> np.ndarray:
    """Paint numbers."""
    out = colours(palette)[shade(values, low, high)]
    out[np.isnan(values)] = 0
    return out


def mixed(layers: dict[str, np.ndarray], highs: dict[str, float]) -> np.ndarray:
    """Paint three bands as red, green and blue, 0 dark, each with its brightest value."""
    parts = [shade(layers[band], 0, high) for band, high in highs.items()]
    known = np.all([np.isfinite(layers[band]) for band in highs], axis=0)
    return np.stack([*parts, 255 * known], -1).astype("u1")


TRUE_COLOUR = {"B04": 0.2, "B03": 0.2, "B02": 0.2}
FALSE_COLOUR = {"B08": 0.5, "B04": 0.2, "B03": 0.2}
GREY = Greys256
