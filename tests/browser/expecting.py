"""What the viewers must show of the known cube, as numpy tells; pages are asked until they do."""

import numpy as np
import pandas as pd
import shapely
from known import COLS, NORTH, PIXEL, ROWS, WEST, Known
from playwright.sync_api import expect
from seeing import TRUE_COLOUR, Seen, mixed

MAP, PINNED, SERIES = 0, 1, 2
"""Figures of the time query."""

HISTOGRAM, CURVES, YEARS = 1, 2, 3
"""Figures of the statistics, whose first one is the map too."""

AREAS, POINTS, NAMES, DRAFT = 4, 5, 8, 9
"""What the map of the statistics draws, by the order in which it was made."""


def at(known, step: int, level: int = 0) -> dict[str, np.ndarray]:
    """Return the layers of one overpass."""
    return {name: layer[step] for name, layer in known.levels[level].items()}


def true_colour(known, step: int, level: int = 0) -> np.ndarray:
    """Paint an overpass."""
    return mixed(at(known, step, level), TRUE_COLOUR)


def in_sight(seen: Seen, layer: np.ndarray, level: int = 0) -> np.ndarray:
    """Return the part of a layer, shape (..., y, x), that the map shows."""
    west, south, east, north = seen.view()
    pixel = PIXEL * 2**level
    top, left = (max(int(n // pixel), 0) for n in (NORTH - north, west - WEST))
    bottom, right = (int(-(n // pixel)) for n in (south - NORTH, WEST - east))
    return layer[..., top:bottom, left:right]


def colour_in_sight(seen: Seen, known, step: int) -> np.ndarray:
    """Paint the part of an overpass that the map shows."""
    bands = {name: in_sight(seen, layer) for name, layer in at(known, step).items()}
    return mixed(bands, TRUE_COLOUR)


def zoom_in(seen: Seen) -> None:
    """Press “Zoom in”, and wait until the map shows half as much, and has drawn it."""
    before = np.ptp(seen.view()[::2])
    seen.press("Zoom in")
    seen.eventually(
        lambda: np.testing.assert_allclose(np.ptp(seen.view()[::2]), before / 2, atol=0.1)
    )
    seen.eventually(lambda: is_(seen.picture().pixels.shape[:2], in_sight(seen, _GROUND).shape))


def expect_screen(seen: Seen) -> None:
    """Zoom in, and wait until the screen has the colours of the picture, pixel by pixel."""
    for _ in range(3):
        zoom_in(seen)
    found = seen.picture()
    west, _, _, north = found.place
    cells = np.array([(12, 12), (42, 62), (20, 88), (52, 32)])
    places = [(west + (c + 0.5) * PIXEL, north - (r + 0.5) * PIXEL) for r, c in cells]
    seen.expect_pixels(places, found.pixels[tuple(cells.T)][:, :3])


_GROUND = np.empty((ROWS, COLS), bool)
"""As large as the cube."""


def expect_day(seen: Seen, known, step: int, level: int = 0) -> None:
    """Wait until the map shows an overpass in true colour, and all else says so."""
    seen.expect_picture(true_colour(known, step, level))
    day = pd.Timestamp(known.time[step])
    expect(seen.status).to_contain_text(f"True colour on {day:%d %B %Y, %H:%M} UTC")
    seen.eventually(lambda: is_(f"{day:%d %b %Y}" in seen.title(), True))
    expect(seen.choice("Overpass")).to_have_value(known.label(step))
    slider = seen.slider("Date")
    expect(slider).to_have_attribute("aria-valuetext", known.day(step))


def offered(seen: Seen) -> list[str]:
    """Return the dates that can be chosen."""
    return seen.choice("Overpass").locator("option").all_inner_texts()


def expect_series(seen: Seen, known, row: int, col: int) -> None:
    """Wait until the chart shows the NDVI of a pixel: clear ones apart from the others."""
    value, clear = known.ndvi()[:, row, col], known.clear()[:, row, col]
    time = known.seconds * 1000.0

    def check() -> None:
        for renderer, part in ((2, clear), (1, ~clear)):
            found, wanted = seen.data(SERIES, renderer), part & np.isfinite(value)
            np.testing.assert_array_equal(found["time"], time[wanted])
            np.testing.assert_allclose(found["value"], value[wanted], atol=1e-5)

    seen.eventually(check)


def place_of(seen: Seen) -> tuple[int, int]:
    """Return row and column of the ring; a click is exact to a pixel of the screen, 14 m."""
    ring = seen.data(MAP, 2)
    return int((NORTH - ring["y"][0]) // PIXEL), int((ring["x"][0] - WEST) // PIXEL)


def near(found, wanted) -> None:
    """Compare rows and columns, which a click on the screen gives to a pixel."""
    assert np.abs(np.subtract(found, wanted)).max() <= 1, (found, wanted)


def clear_ndvi(known: Known, level: int = 0) -> np.ndarray:
    """Return the NDVI where it is clear, shape (time, y, x)."""
    return np.where(known.clear(level), known.ndvi(level), np.nan)


def expected(known: Known, shape: shapely.Geometry) -> pd.DataFrame:
    """Describe a polygon at each date: each pixel counts as the part that lies in it."""
    west, south, east, north = shape.bounds
    rows = np.arange(int((NORTH - north) // PIXEL), int((NORTH - south) // PIXEL) + 1)
    cols = np.arange(int((west - WEST) // PIXEL), int((east - WEST) // PIXEL) + 1)
    left, top = np.meshgrid(WEST + cols * PIXEL, NORTH - rows * PIXEL)
    pixels = shapely.box(left, top - PIXEL, left + PIXEL, top)
    part = shapely.area(shapely.intersection(pixels, shape)) / PIXEL**2
    values = clear_ndvi(known, 0)[:, rows[:, None], cols]
    weight = np.where(np.isfinite(values), part, 0)
    count = weight.sum((1, 2))
    whole = np.maximum(count, 1e-12)
    mean = np.nansum(values * weight, (1, 2)) / whole
    spread = np.nansum((values - mean[:, None, None]) ** 2 * weight, (1, 2)) / whole
    table = pd.DataFrame({"time": known.time, "count": count, "mean": mean, "std": spread**0.5})
    table.loc[count == 0, ["mean", "std"]] = np.nan
    return table.assign(share=count / part.sum())


def is_(found, wanted) -> None:
    """Compare, for `Seen.eventually`."""
    assert found == wanted, f"{found} is not {wanted}"


def expect_curve(seen: Seen, name: str, table: pd.DataFrame) -> None:
    """Wait until the chart along time shows a place where at least half of it was seen."""
    known = table[table.share >= 0.5]

    def check() -> None:
        dots = pd.DataFrame(seen.data(CURVES, 2))
        mine = dots[dots["name"] == name]
        assert len(mine) == len(known) > 5
        np.testing.assert_array_equal(mine.x, known.time.astype("int64") // 10**6)
        for column in ("mean", "std", "count"):
            np.testing.assert_allclose(mine[column], known[column], rtol=1e-5, atol=1e-6)

    seen.eventually(check)
    row = seen.root.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text(f"{len(known)} of {len(table)}")
    expect(row).to_contain_text(f"{known['mean'].mean():.3f}")
    expect(row).to_contain_text(f"{known['std'].mean():.3f}")


def drawn(seen: Seen, number: int = 0) -> shapely.Polygon:
    """Return a place as it is on the map, to the last digit."""
    areas = seen.data(MAP, AREAS)
    return shapely.Polygon(zip(areas["xs"][number], areas["ys"][number], strict=True))


def begin(seen: Seen, kind: str) -> None:
    """Choose what clicks draw."""
    seen.press("Draw")
    seen.press(kind)
    expect(seen.button(kind)).to_have_attribute("aria-pressed", "true")


def type_corner(seen: Seen, x: float, y: float) -> None:
    """Return a corner by its numbers."""
    for name, value in (("x", x), ("y", y)):
        seen.type(name, value)
    seen.press("Add corner")


def draw(seen: Seen, corners) -> None:
    """Draw a polygon by the numbers of its corners."""
    begin(seen, "polygon")
    for number, corner in enumerate(corners):
        type_corner(seen, *corner)
        seen.eventually(lambda: is_(len(seen.data(MAP, DRAFT)["x"]), number + 1))  # noqa: B023
    seen.press("Finish")
