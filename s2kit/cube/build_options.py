"""What a new cube is to be like, and whether what is asked fits a cube that exists."""

import difflib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from odc.geo.geobox import GeoBox

from s2kit.crs import read_crs
from s2kit.cube.acquisitions import Scene
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.model import CubeSpec
from s2kit.errors import GridMismatchError, InvalidInputError
from s2kit.grid import (
    DEFAULT_CRS,
    DEFAULT_RESOLUTION,
    area_of_grid,
    crs_of,
    make_grid,
    outline_of,
    read_resolution,
)
from s2kit.scenes.region import Aoi, read_aoi

DEFAULT_CHUNKS = (16, 120, 120)
"""Chunk shape (time, y, x) of a new cube: a balance of how it is made, kept and read.

One run of tests/benchmarks/chunks.py on two cores: a build of 20 × 20 km from 4 scenes with its
files; one date more on 24 of 10 × 10 km; ten bands of a pixel through 354 dates, one date of 512 ×
512 pixels, and 256 × 256 pixels through 354 dates, from the page cache.

==============  =========  ======  ============  ==================  ====  =======
chunks          4 dates    files   1 date more   pixel               map   window
==============  =========  ======  ============  ==================  ====  =======
(48, 64, 64)    8.1 s      15 200  6.1 CPU s     14 ms, 18 MB        18    57 ms
(16, 120, 120)  4.3        4 640   2.1           54, 62              6     67
(32, 120, 120)  4.5        4 640   4.3           59, 62              14    112
(48, 128, 128)  5.3        3 940   4.9           132, 71             24    76
(16, 256, 256)  4.0        1 140   1.7           309, 287            6     128
==============  =========  ======  ============  ==================  ====  =======

The bytes of a pixel depend on y and x alone; what one date more writes again, and what a map reads,
on the number of dates.
"""

_LARGE_CHUNKS = (32, 120, 120)
"""Of a large region, where the number of files counts for more than a date that is added."""

_LARGE = 5_000**2
"""Pixels of a large region, 50 × 50 km at 10 m."""

_LARGEST_CHUNK = 2**26
"""Pixels: a chunk is held whole in memory, several at a time."""

RESAMPLING = ("bilinear", "nearest")


@dataclass(frozen=True)
class BuildOptions:
    """What the caller of `s2kit.build_cube` asks of the cube; None asks for nothing."""

    aoi: Aoi | None = None
    crs: Any = None
    resolution: float | None = None
    bands: Iterable[str] | None = None
    resampling: str | None = None
    chunks: tuple[int, int, int] | None = None
    overviews: bool | None = None


def new_spec(options: BuildOptions, scenes: list[Scene]) -> CubeSpec:
    """Decide what a new cube is like.

    Raises
    ------
    InvalidInputError
        If something asked cannot be, or nothing says where the cube is to be.
    """
    if options.aoi is None:
        raise InvalidInputError("the store is new, so say where: give aoi as in s2kit.find_scenes")
    crs = DEFAULT_CRS if options.crs is None else options.crs
    resolution = DEFAULT_RESOLUTION if options.resolution is None else options.resolution
    grid = make_grid(options.aoi, crs, resolution)
    method = RESAMPLING[0] if options.resampling is None else options.resampling
    return CubeSpec(
        grid=grid,
        layers=_offered(scenes) if options.bands is None else _read_layers(options.bands),
        resampling=_read_resampling(method),
        chunks=default_chunks(grid) if options.chunks is None else read_chunks(options.chunks),
        overviews=True if options.overviews is None else _read_overviews(options.overviews),
    )


def check_same_spec(options: BuildOptions, spec: CubeSpec) -> None:
    """Check that what is asked is what the store has.

    Raises
    ------
    GridMismatchError
        If they differ.
    """
    _check_grid(spec.grid, options.aoi, options.crs, options.resolution)
    if options.bands is not None:
        _compare("layers", spec.layers, _read_layers(options.bands))
    if options.resampling is not None:
        _compare("resampling", spec.resampling, _read_resampling(options.resampling))
    if options.chunks is not None:
        _compare("chunks", spec.chunks, read_chunks(options.chunks))
    if options.overviews is not None:
        _compare("overviews", spec.overviews, _read_overviews(options.overviews))


def _check_grid(grid: GeoBox, aoi: Aoi | None, crs: Any, resolution: float | None) -> None:
    own_crs, own_size = crs_of(grid), grid.affine.a
    if crs is not None and read_crs(crs) != own_crs:
        _compare("coordinate system", own_crs.name, read_crs(crs).name)
    if resolution is not None:
        _compare("resolution", own_size, read_resolution(resolution, own_crs))
    if aoi is not None:
        region = read_aoi(aoi)
        if not region.intersects(outline_of(grid, area_of_grid(grid))):
            _compare("grid (degrees)", area_of_grid(grid), region.bounds)
        asked = make_grid(aoi, own_crs, own_size)
        _compare("grid (bounds)", tuple(grid.boundingbox), tuple(asked.boundingbox))


def _compare(what: str, has: Any, asked: Any) -> None:
    if has != asked:
        raise GridMismatchError(
            f"the store has {what} {has}, but {asked} is asked. To extend it, ask for {has} or "
            f"leave the argument out; for {asked}, build into another store"
        )


def _offered(scenes: list[Scene]) -> tuple[str, ...]:
    """Return the layers that at least half of the scenes have."""
    count = Counter(name for scene in scenes for name in scene.assets)
    return tuple(name for name in LAYER_SPECS if 2 * count[name] >= len(scenes))


def _read_layers(bands: Any) -> tuple[str, ...]:
    """Read a list of layers."""
    if not isinstance(bands, Iterable):
        raise InvalidInputError(
            f"bands={bands!r} is not a list; choose among {', '.join(LAYER_SPECS)}"
        )
    asked = [bands] if isinstance(bands, str) else list(bands)
    if not asked:
        raise InvalidInputError(f"bands is empty; choose among {', '.join(LAYER_SPECS)}")
    for name in asked:
        if not isinstance(name, str) or name not in LAYER_SPECS:
            near = difflib.get_close_matches(str(name).upper(), LAYER_SPECS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidInputError(
                f"unknown band {name!r}; choose among {', '.join(LAYER_SPECS)}{hint}"
            )
    return tuple(name for name in LAYER_SPECS if name in asked)


def _read_resampling(resampling: Any) -> str:
    """Read a resampling method, one of `RESAMPLING`."""
    if resampling not in RESAMPLING:
        raise InvalidInputError(
            f"resampling={resampling!r} is unknown; choose {' or '.join(map(repr, RESAMPLING))}"
        )
    return resampling


def default_chunks(grid: GeoBox) -> tuple[int, int, int]:
    """Return the chunk shape (time, y, x) of a new cube: no wider than the region."""
    depth, *sides = _LARGE_CHUNKS if math.prod(grid.shape) > _LARGE else DEFAULT_CHUNKS
    height, width = map(min, sides, grid.shape)
    return depth, height, width


def read_chunks(chunks: Any) -> tuple[int, int, int]:
    """Read a chunk shape.

    Raises
    ------
    InvalidInputError
        If it is not three positive whole numbers.
    """
    try:
        shape: tuple[Any, ...] = tuple(chunks)
    except TypeError:
        shape = ()
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0 for n in shape)
    if len(shape) != 3 or not whole:
        raise InvalidInputError(
            f"chunks={chunks!r} is not a chunk shape; give (time, y, x), such as {DEFAULT_CHUNKS}"
        )
    if math.prod(shape) > _LARGEST_CHUNK:
        raise InvalidInputError(
            f"chunks={chunks!r} makes chunks of {math.prod(shape) * 2 / 1e6:.0f} MB, which is too "
            f"large (at most {_LARGEST_CHUNK * 2 / 1e6:.0f} MB); give for example {DEFAULT_CHUNKS}"
        )
    depth, height, width = map(int, shape)
    return depth, height, width


def _read_overviews(overviews: Any) -> bool:
    """Read whether a cube is to have coarser levels."""
    if not isinstance(overviews, bool):
        raise InvalidInputError(
            f"overviews={overviews!r} is neither True nor False; give one, or leave it out"
        )
    return overviews
