"""A cube whose every number is known, in numpy, and the two viewers of it as apps."""

from functools import cached_property
from pathlib import Path

import numpy as np
from cubes import NORTH, PIXEL, WEST, days, write_cube

BANDS = ("B02", "B03", "B04", "B08")
ROWS, COLS, BLOCK = 560, 640, 8
EAST, SOUTH = WEST + COLS * PIXEL, NORTH - ROWS * PIXEL
CLEAR = (4, 5, 6, 7)
STEPS = 24
CLOUDED, EMPTY, CLEAREST = 5, 14, 9
"""Steps that are all cloud, without any data, and without a cloud."""

_GAP = np.s_[:80, :64]
"""Without data in orbit 8."""


class Known:
    """What the cube holds, in the order of time; orbits take turns.

    Each band is flat in blocks of 8 × 8 pixels, with a chequerboard of ± 0.004 on it that is gone
    in the coarser levels; clouds fill blocks. So all levels can be told without the kit.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        blocks = (STEPS, ROWS // BLOCK, COLS // BLOCK)
        self.orbit = np.resize([51, 8], STEPS)
        firsts = np.arange("2021-01", "2024-01", dtype="M8[M]").astype("M8[D]")
        self.seconds = days(*firsts[::3].repeat(2).astype(str))
        self.seconds += np.tile([2, 12], STEPS // 2) * 86_400
        self._blocks = {
            "B02": rng.integers(100, 900, blocks),
            "B03": rng.integers(200, 1400, blocks),
            "B04": rng.integers(300, 1800, blocks),
            "B08": rng.integers(1200, 4500, blocks),
        }
        share = np.linspace(0.05, 0.95, STEPS)
        rng.shuffle(share)
        share[[CLOUDED, CLEAREST]] = 1, 0
        cloudy = rng.random(blocks) < share[:, None, None]
        land, veiled = rng.choice([4, 5, 6], blocks), rng.choice([3, 8, 9, 10], blocks)
        self._blocks["SCL"] = np.where(cloudy, veiled, land)
        self.time = self.seconds.astype("M8[s]").astype("M8[ns]")

    def stored(self, level: int = 0) -> dict[str, np.ndarray]:
        """Return the layers as stored, shape (time, y, x), at a level."""
        size = BLOCK >> level
        wide = {name: b.repeat(size, 1).repeat(size, 2) for name, b in self._blocks.items()}
        if level == 0:
            rows, cols = np.indices((ROWS, COLS))
            board = 40 * (1 - 2 * ((rows + cols) % 2))
            wide = {n: v + board if n != "SCL" else v for n, v in wide.items()}
        for name, values in wide.items():
            gap = tuple(slice(part.stop >> level) for part in _GAP)
            nothing = 0 if name == "SCL" else -9999
            values[(self.orbit == 8, *gap)] = nothing
            values[EMPTY] = nothing
            wide[name] = values.astype("u1" if name == "SCL" else "i2")
        return wide

    @cached_property
    def levels(self) -> list[dict[str, np.ndarray]]:
        """Reflectance, float64 with NaN for no data, and classes, of levels 0 and 1."""
        found = [self.stored(0), self.stored(1)]
        return [
            {
                n: v if n == "SCL" else np.where(v == -9999, np.nan, v / 10_000)
                for n, v in level.items()
            }
            for level in found
        ]

    def ndvi(self, level: int = 0) -> np.ndarray:
        """Return the NDVI, shape (time, y, x), of all that is seen, clouds too."""
        red, infrared = (self.levels[level][band] for band in ("B04", "B08"))
        return (infrared - red) / (infrared + red)

    def clear(self, level: int = 0) -> np.ndarray:
        """Return what is clear, bool (time, y, x)."""
        return np.isin(self.levels[level]["SCL"], CLEAR)

    @cached_property
    def clear_share(self) -> np.ndarray:
        """Clear share of the region, shape (time,)."""
        return self.clear().mean((1, 2))

    def iso(self, step: int) -> str:
        """Name a moment as the address of a page does."""
        return f"{self.seconds[step].astype('M8[s]')}"

    def day(self, step: int) -> str:
        """Name a day."""
        return self.iso(step)[:10]

    def label(self, step: int) -> str:
        """Name an overpass as lists do."""
        moment = self.iso(step).replace("T", " ")[:-3]
        percent = np.floor(self.clear_share[step] * 100 + 1e-6)
        return f"{moment} · orbit {self.orbit[step]} · {percent:.0f} % clear"

    def write(self, store: Path) -> None:
        """Write the cube, with overviews."""
        for orbit in (8, 51):
            mine = self.orbit == orbit
            layers = {name: values[mine] for name, values in self.stored().items()}
            write_cube(store, layers, self.seconds[mine], orbit=orbit, overviews=True)


def cell(kind: str, store: Path) -> str:
    """Return the code that makes a viewer of a cube."""
    return (
        "import panel as pn\nimport s2kit\n\npn.extension()\n"
        f"viewer = s2kit.viewers.{kind}(s2kit.open_cube({str(store)!r}))\nviewer.servable()\n"
    )
