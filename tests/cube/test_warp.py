"""Resampling against GDAL's warper, exact geometry against PROJ, kernels written out in numpy."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import rasterio.warp
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling

from s2kit.cube.imagery import Raster
from s2kit.cube.warp import SourceCoordinates, block_coordinates, fill_bilinear, fill_nearest

UTM = CRS.from_epsg(32631)
NODATA = -9999
HIGH = 32767
EXAMPLES = settings(max_examples=80, deadline=None, derandomize=True)
FEW = settings(max_examples=25, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Source:
    """A raster in UTM 31N and its values; 0 is no data."""

    raster: Raster
    values: np.ndarray

    @property
    def affine(self) -> Affine:
        """From pixel corner to metres."""
        (x, y), (width, height) = self.raster.origin, self.raster.pixel
        return Affine(width, 0, x, 0, height, y)


def make_source(seed: int, shape, holes: float, *, pixel=10.0, low=1, high=10_000) -> Source:
    """Make noise with a share of holes, some of them large."""
    rng = np.random.default_rng(seed)
    values = rng.integers(low, high, shape, endpoint=True).astype("uint16")
    values[rng.random(shape) < holes / 2] = 0
    if holes:
        row, col = rng.integers(0, shape)
        values[row : row + 5, col : col + 4] = 0
    origin = (600_000.0, 5_770_000.0)
    return Source(Raster(UTM, origin, (pixel, -pixel), shape), values)


SOURCES = st.builds(
    make_source,
    st.integers(0, 10**6),
    st.tuples(st.integers(3, 40), st.integers(3, 40)),
    st.sampled_from([0, 0.1, 0.6]),
)

EIGHTHS = st.integers(-40, 200).map(lambda n: n / 8)
"""Shifts in source pixels: on edges, on centres and in between."""


def make_grid(source: Source, ratio: float, dx: float, dy: float, shape=(30, 30)) -> GeoBox:
    """Make a grid in the source's system, shifted by so many of its pixels."""
    width, height = source.raster.pixel
    x, y = source.raster.origin[0] + dx * width, source.raster.origin[1] + dy * height
    return GeoBox(shape, Affine(width * ratio, 0, x, 0, height * ratio, y), "EPSG:32631")


def warp(source: Source, grid: GeoBox, method: str, rows=None, cols=None, shift=0) -> np.ndarray:
    """Resample as ingest does: the window and the coordinates of a block, then the kernel."""
    rows, cols = rows or slice(0, grid.shape[0]), cols or slice(0, grid.shape[1])
    out = np.full((rows.stop - rows.start, cols.stop - cols.start), NODATA, "int16")
    raster = source.raster
    window = raster.window(grid, rows, cols)
    if window is None:
        return out
    x, y = block_coordinates(grid, raster.crs, rows.start, rows.stop, cols.start, cols.stop)
    corner = (window[0].start, window[1].start)
    fixed = (raster.origin, raster.pixel, corner, 0, NODATA, shift, HIGH)
    if method == "nearest":
        fill_nearest(out, x, y, source.values[window], *fixed)
    else:
        fill_bilinear(out, x, y, source.values[window], *fixed, raster.reach(grid))
    return out


def gdal(source: Source, grid: GeoBox, method: str, **options) -> np.ndarray:
    """Resample by GDAL's warper, with its approximation of coordinates switched off."""
    out = np.zeros(grid.shape, "uint16")
    rasterio.warp.reproject(
        source.values,
        out,
        src_transform=source.affine,
        src_crs=source.raster.crs,
        src_nodata=0,
        dst_transform=grid.affine,
        dst_crs=CRS.from_wkt(grid.crs.to_wkt()),
        dst_nodata=0,
        resampling=Resampling[method],
        tolerance=0,
        **options,
    )
    return np.where(out == 0, NODATA, out.astype(int))


# --- against GDAL


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@given(
    source=SOURCES, ratio=st.sampled_from([0.25, 0.4, 0.5, 0.7, 1, 1.04]), dx=EIGHTHS, dy=EIGHTHS
)
@EXAMPLES
def test_same_system_equals_gdal(method, source, ratio, dx, dy):
    """Any shift and any finer resolution, with holes and edges: each value is GDAL's.

    Where the exact mean is a whole number and a half, either neighbour is right.
    """
    grid = make_grid(source, ratio, dx, dy)
    found, expected = warp(source, grid, method), gdal(source, grid, method, XSCALE=1, YSCALE=1)
    np.testing.assert_array_equal(found == NODATA, expected == NODATA)
    differ = found != expected
    assert method == "bilinear" or not differ.any()
    exact = triangle(grid, source, (1, 1))[differ]
    np.testing.assert_allclose(exact % 1, 0.5, atol=1e-6)
    assert (np.abs(found - expected) <= 1).all()


@given(source=SOURCES, ratio=st.sampled_from([2, 3, 4.5, 6]), dx=EIGHTHS, dy=EIGHTHS)
@EXAMPLES
def test_coarser_nearest_equals_gdal(source, ratio, dx, dy):
    """Classes at a coarser resolution are still the class under the centre."""
    grid = make_grid(source, ratio, dx, dy, (12, 12))
    np.testing.assert_array_equal(warp(source, grid, "nearest"), gdal(source, grid, "nearest"))


def rd_grid(east: float, north: float, resolution: float, shape) -> GeoBox:
    """Make a grid in the Dutch system whose top's middle lies that far into the source."""
    x, y = Transformer.from_crs(32631, 28992, always_xy=True).transform(
        600_000 + east, 5_770_000 - north
    )
    left = x - shape[1] / 2 * resolution
    return GeoBox(shape, Affine(resolution, 0, left, 0, -resolution, y), "EPSG:28992")


RD_GRIDS = st.builds(
    rd_grid,
    st.floats(-50, 450),
    st.floats(-50, 350),
    st.sampled_from([5, 8, 10]),
    st.tuples(st.integers(5, 60), st.integers(5, 60)),
)


@given(source=SOURCES, grid=RD_GRIDS)
@FEW
def test_other_system_nearest_equals_gdal(source, grid):
    """From UTM to RD every pixel is the one that GDAL takes."""
    np.testing.assert_array_equal(warp(source, grid, "nearest"), gdal(source, grid, "nearest"))


@given(source=SOURCES, grid=RD_GRIDS)
@FEW
def test_other_system_bilinear_equals_gdal(source, grid):
    """From UTM to RD every value is GDAL's, but for a rounding at one half once in 1000."""
    found = warp(source, grid, "bilinear")
    expected = gdal(source, grid, "bilinear", XSCALE=1, YSCALE=1)
    np.testing.assert_array_equal(found == NODATA, expected == NODATA)
    assert np.abs(found - expected).max() <= 1
    assert np.count_nonzero(found != expected) <= max(1, found.size // 1000)


# --- geometry


@pytest.mark.parametrize(
    ("system", "zone", "middle"),
    [
        ("EPSG:28992", 32631, (155_000, 463_000)),
        ("EPSG:28992", 32632, (250_000, 590_000)),
        ("EPSG:32633", 32632, (300_000, 5_100_000)),
        ("EPSG:3035", 32631, (3_900_000, 3_200_000)),
        ("EPSG:2154", 32630, (300_000, 6_700_000)),
        ("EPSG:4326", 32631, (4.4, 52.0)),
    ],
)
@given(st.integers(0, 10**6))
@FEW
def test_coordinates_are_exact(system, zone, middle, seed):
    """Anywhere in a grid of up to 100 km the spline is within 1e-6 m of PROJ."""
    rng = np.random.default_rng(seed)
    unit = 1e-5 if system == "EPSG:4326" else 1.0
    size = unit * rng.choice([5, 10, 20])
    height, width = rng.integers(1, 10_000, 2)
    left, top = middle[0] - size * width / 2, middle[1] + size * height / 2
    grid = GeoBox((height, width), Affine(size, 0, left, 0, -size, top), system)
    coordinates = SourceCoordinates(grid, CRS.from_epsg(zone))
    row = np.sort(rng.uniform(0, height, 20))
    col = np.sort(rng.uniform(0, width, 20))
    x, y = coordinates.at(row, col)
    exact = Transformer.from_crs(system, zone, always_xy=True)
    expected = exact.transform(*np.meshgrid(left + col * size, top - row * size))
    np.testing.assert_allclose(x, expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(y, expected[1], rtol=0, atol=1e-6)


CUTS = st.lists(st.integers(1, 59), max_size=4).map(lambda cuts: [0, *sorted(set(cuts)), 60])


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@pytest.mark.parametrize("system", ["EPSG:32631", "EPSG:28992"])
@given(
    seed=st.integers(0, 10**6),
    resolution=st.sampled_from([4, 10, 27]),
    row_cuts=CUTS,
    col_cuts=CUTS,
)
@FEW
def test_values_do_not_depend_on_how_the_work_is_cut(
    method, system, seed, resolution, row_cuts, col_cuts
):
    """Blocks of any sizes, each with its own window of the source, make the same image."""
    source = make_source(seed, (50, 50), 0.2)
    grid = rd_grid(250, 20, resolution, (60, 60))
    if system == "EPSG:32631":
        grid = make_grid(source, resolution / 10, seed % 7 / 3, seed % 5 / 3, (60, 60))
    whole = warp(source, grid, method)
    parts = [
        [
            warp(source, grid, method, slice(top, bottom), slice(left, right))
            for left, right in pairwise(col_cuts)
        ]
        for top, bottom in pairwise(row_cuts)
    ]
    np.testing.assert_array_equal(np.block(parts), whole)
    assert (whole != NODATA).any()


# --- kernels


@given(
    seed=st.integers(0, 10**6),
    ratio=st.sampled_from([0.3, 1, 2.5, 5]),
    dx=EIGHTHS,
    dy=EIGHTHS,
    value=st.integers(1, 65_535),
    shift=st.sampled_from([0, -1000]),
)
@EXAMPLES
def test_nodata_never_bleeds(seed, ratio, dx, dy, value, shift):
    """Where all that is valid has one value, the result is that value or no data."""
    source = make_source(seed, (20, 30), 0.5, low=value, high=value)
    grid = make_grid(source, ratio, dx, dy)
    for method in ("nearest", "bilinear"):
        found = warp(source, grid, method, shift=shift)
        assert set(np.unique(found)) <= {NODATA, min(value + shift, HIGH)}
    hit = warp(source, grid, "nearest") != NODATA
    np.testing.assert_array_equal(warp(source, grid, "bilinear") != NODATA, hit)


def triangle(grid: GeoBox, source: Source, reach: tuple[float, float]) -> np.ndarray:
    """Means weighted by a triangular kernel, written out: two matrices of weights, no holes."""
    rows, cols = source.values.shape
    row = (
        grid.affine.f + grid.affine.e * (np.arange(grid.shape[0]) + 0.5) - source.raster.origin[1]
    ) / source.raster.pixel[1]
    col = (
        grid.affine.c + grid.affine.a * (np.arange(grid.shape[1]) + 0.5) - source.raster.origin[0]
    ) / source.raster.pixel[0]
    down = np.maximum(1 - np.abs(np.arange(rows) + 0.5 - row[:, None]) / reach[0], 0)
    across = np.maximum(1 - np.abs(np.arange(cols) + 0.5 - col[:, None]) / reach[1], 0)
    valid = source.values > 0
    weights = down @ valid @ across.T
    means = down @ (source.values * valid.astype(float)) @ across.T
    under = np.zeros(grid.shape, bool)
    r, c = np.floor(row + 1e-9).astype(int), np.floor(col + 1e-9).astype(int)
    inside = np.ix_((r >= 0) & (r < rows), (c >= 0) & (c < cols))
    under[inside] = valid[np.ix_(r[(r >= 0) & (r < rows)], c[(c >= 0) & (c < cols)])]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(under, means / weights, np.nan)


@given(
    source=SOURCES,
    ratio=st.sampled_from([0.5, 1, 1.5, 2, 3, 4, 5.5, 6]),
    dx=EIGHTHS,
    dy=EIGHTHS,
)
@EXAMPLES
def test_kernel_is_a_triangle(source, ratio, dx, dy):
    """At any resolution each value is the triangular mean, rounded; at coarser ones a wider one."""
    grid = make_grid(source, ratio, dx, dy, (12, 12))
    expected = triangle(grid, source, (max(ratio, 1), max(ratio, 1)))
    found = warp(source, grid, "bilinear")
    np.testing.assert_array_equal(found == NODATA, np.isnan(expected))
    valid = found != NODATA
    assert (np.abs(found[valid] - expected[valid]) <= 0.5 + 1e-6).all()


@pytest.mark.parametrize("ratio", [2, 3, 4, 5, 6])
def test_coarser_images_keep_the_mean(ratio):
    """Noise is averaged, not picked: the mean stays, the spread shrinks as a triangle's does."""
    source = make_source(7, (360, 360), 0)
    grid = make_grid(source, ratio, 0, 0, (360 // ratio, 360 // ratio))
    found = warp(source, grid, "bilinear").astype(float)
    values = source.values.astype(float)
    assert abs(found.mean() - values.mean()) < 0.02 * values.std()
    offsets = (np.arange(-3 * ratio, 3 * ratio) + (0.5 if ratio % 2 == 0 else 0)) / ratio
    weights = np.maximum(1 - np.abs(offsets), 0)
    spread = (weights**2).sum() / weights.sum() ** 2
    assert found[2:-2, 2:-2].std() == pytest.approx(values.std() * spread, rel=0.1)


def test_ramp_stays_a_ramp():
    """A plane is reproduced at any resolution, away from the edges."""
    rows, cols = np.mgrid[0:60, 0:60]
    raster = Raster(UTM, (600_000.0, 5_770_000.0), (10.0, -10.0), (60, 60))
    source = Source(raster, (1000 + 12 * rows + 24 * cols).astype("uint16"))
    for ratio in (0.5, 1, 2, 3):
        grid = make_grid(source, ratio, 12, 12, (int(30 / ratio),) * 2)
        i, j = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]]
        row, col = (12 + (n + 0.5) * ratio - 0.5 for n in (i, j))
        expected = 1000 + 12 * row + 24 * col
        assert np.abs(warp(source, grid, "bilinear") - expected).max() <= 0.5


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_filled_pixels_stay(method):
    """Only what is still no data is filled, so that the first scene of a step wins."""
    first, second = (make_source(seed, (30, 30), 0.4) for seed in (1, 2))
    grid = make_grid(first, 1, 0.25, 0.25, (28, 28))
    out = warp(first, grid, method)
    x, y = block_coordinates(grid, UTM, 0, 28, 0, 28)
    fixed = (second.raster.origin, second.raster.pixel, (0, 0), 0, NODATA, 0, HIGH)
    kernel = fill_nearest if method == "nearest" else fill_bilinear
    filled = out.copy()
    kernel(filled, x, y, second.values, *fixed, *([(1.0, 1.0)] if method == "bilinear" else []))
    expected = np.where(out == NODATA, warp(second, grid, method), out)
    np.testing.assert_array_equal(filled, expected)
