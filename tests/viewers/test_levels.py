"""Which pixels a view shows, against arithmetic with the grid's own corner and pixel."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from cubes import NORTH, PIXEL, WEST, decoded, every, make_cube, random_layers, write_cube
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

import s2kit
from s2kit.errors import InvalidInputError
from s2kit.viewers.levels import SIDE, Levels, View

EXAMPLES = settings(max_examples=30, deadline=None, derandomize=True)


class Case(NamedTuple):
    """A cube of one class layer, and what its grid is made of."""

    levels: Levels
    classes: list[np.ndarray]
    west: float
    north: float
    pixel: float


def numbered(shape):
    """Return classes that differ from pixel to pixel, so that each pixel shows where it is from."""
    rows, cols = np.indices(shape)
    return ((rows * 5 + cols * 3) % 12).astype("u1")[None]


GRIDS = {
    "odd sizes": ((523, 1101), WEST, NORTH, 10, "EPSG:28992"),
    "another origin": ((600, 700), 499_983.5, -1_234_567.25, 2.5, "EPSG:32633"),
    "degrees": ((700, 530), 4.25, 52.0, 1 / 8192, "EPSG:4326"),
    "decimal degrees": ((301, 640), -70.3, -12.1, 0.0001, "EPSG:4326"),
    "small": ((7, 3), 3.0, -5.0, 120, "EPSG:32633"),
}


@pytest.fixture(scope="module", params=GRIDS, ids=lambda name: name.replace(" ", "-"))
def case(request, tmp_path_factory):
    """Return a cube with overviews for each grid."""
    shape, west, north, pixel, crs = GRIDS[request.param]
    grid = GeoBox(shape, Affine(pixel, 0, west, 0, -pixel, north), crs)
    store = tmp_path_factory.mktemp("frames") / "cube.zarr"
    write_cube(store, {"SCL": numbered(shape)}, every(1, 1), grid=grid, overviews=True)
    levels = Levels(s2kit.open_cube(store))
    stored = [s2kit.open_cube(store, level=n).SCL.values[0] for n in range(len(levels.cubes))]
    return Case(levels, stored, west, north, pixel)


@st.composite
def spots(draw):
    """Draw a view in parts of the region: fractions of a pixel, beside, beyond, negative."""
    middle = [draw(st.floats(-0.4, 1.4)) for _ in range(2)]
    size = [draw(st.sampled_from([1e-4, 0.01, 0.2, 0.7, 1, 3]) | st.floats(1e-4, 3)) for _ in "xy"]
    return (*middle, *size)


def view_of(case, spot):
    """Put a view of `spots` on a case's region."""
    height, width = case.classes[0].shape
    x, y, across, down = spot
    return View.around(
        case.west + x * width * case.pixel,
        case.north - y * height * case.pixel,
        across * width * case.pixel,
        down * height * case.pixel,
    )


def touched(start, stop, size):
    """Return the pixels, of those there are, that a range in units of pixels touches."""
    return max(math.floor(start), 0), min(math.ceil(stop), size)


def same_but_for_rounding(found, expected, slack):
    """Return whether a range of pixels is the expected one, or one more within slack."""
    return all(abs(a - b) <= s for a, b, s in zip(found, expected, slack, strict=True))


def border_slack(start, stop):
    """Allow one pixel where a view ends on a border but for the rounding of floats."""
    return tuple(int(abs(n - round(n)) < 1e-6) for n in (start, stop))


@EXAMPLES
@given(spots())
def test_window_is_the_finest_level_that_fits(case, spot):
    """A frame has at most SIDE pixels a side, and the level below would have more."""
    view = view_of(case, spot)
    window = case.levels.window(view)
    for level, classes in enumerate(case.classes):
        size = case.pixel * 2**level
        across = (view.west - case.west) / size, (view.east - case.west) / size
        down = (case.north - view.north) / size, (case.north - view.south) / size
        cols, rows = touched(*across, classes.shape[1]), touched(*down, classes.shape[0])
        slack = [border_slack(*across), border_slack(*down)]
        counts = [b - a for a, b in (cols, rows)]
        if min(counts) <= 0 and not any(map(sum, slack)):
            assert window is None
            return
        if max(counts) <= SIDE:
            break
        assert window is None or window.level > level or max(map(sum, slack))
    if window is None:  # beside the region, but for rounding
        assert min(counts) <= 1
        return
    assert max(window.rows.stop - window.rows.start, window.cols.stop - window.cols.start) <= SIDE
    if window.level == level:
        assert same_but_for_rounding((window.cols.start, window.cols.stop), cols, slack[0])
        assert same_but_for_rounding((window.rows.start, window.rows.stop), rows, slack[1])


@EXAMPLES
@given(spots())
def test_covered_is_the_edges_of_the_pixels(case, spot):
    """What a window covers are the outer edges of its pixels, exactly, and the seen part of all."""
    view = view_of(case, spot)
    window = case.levels.window(view)
    if window is None:
        return
    size, covered = case.pixel * 2**window.level, window.view
    assert window.pixel == size
    assert covered.west == case.west + window.cols.start * size
    assert covered.east == case.west + window.cols.stop * size
    assert covered.north == case.north - window.rows.start * size
    assert covered.south == case.north - window.rows.stop * size
    height, width = case.classes[0].shape
    tiny = case.pixel * 1e-6
    assert covered.west <= max(view.west, case.west) + tiny
    assert covered.east >= min(view.east, case.west + width * case.pixel) - tiny
    assert covered.north >= min(view.north, case.north) - tiny
    assert covered.south <= max(view.south, case.north - height * case.pixel) + tiny


@EXAMPLES
@given(spots())
def test_read_gives_the_pixels_of_the_window(case, spot):
    """What is read are the stored pixels of the level between the window's rows and columns."""
    window = case.levels.window(view_of(case, spot))
    if window is not None:
        found = case.levels.read(window, 0, ["SCL"])["SCL"]
        stored = case.classes[window.level]
        expected = stored[
            window.rows.start : window.rows.stop, window.cols.start : window.cols.stop
        ]
        np.testing.assert_array_equal(found, expected)


@EXAMPLES
@given(spots(), st.floats(0, 0.999999), st.floats(0, 0.999999), st.booleans())
def test_place_is_the_pixel_that_holds_it(case, spot, down, across, edge):
    """A place in the frame is in the pixel whose west and north edge it has passed."""
    window = case.levels.window(view_of(case, spot))
    if window is None:
        return
    rows, cols = (s.stop - s.start for s in (window.rows, window.cols))
    row, col = int(down * rows), int(across * cols)
    inside = (0.001, 0.001) if edge else (down * rows % 1, across * cols % 1)
    inside = [min(max(n, 1e-3), 0.999) for n in inside]
    x = window.view.west + (col + inside[1]) * window.pixel
    y = window.view.north - (row + inside[0]) * window.pixel
    assert window.place(x, y) == (row, col)


def test_places_on_edges(tmp_path):
    """On a border, a place is in the pixel to the east and south; on the outer ones in none."""
    levels = Levels(make_cube(tmp_path / "c", {"SCL": numbered((6, 9))}, every(1, 1)))
    window = levels.window(levels.whole)
    for row, col in itertools.product(range(7), range(10)):
        expected = (row, col) if row < 6 and col < 9 else None
        x, y = WEST + col * PIXEL, NORTH - row * PIXEL
        assert window.place(x, y) == expected
        assert levels.pixel_at(x, y) == expected
    for x, y in ((WEST - 1e-6, NORTH - 1), (WEST + 1, NORTH + 1e-6), (0, 0), (-5, 1e9)):
        assert window.place(x, y) is None
        assert levels.pixel_at(x, y) is None


@EXAMPLES
@given(st.data())
def test_pixel_at_and_centre_of(case, data):
    """The centre of a pixel is half a pixel from its corner, and lies in that pixel."""
    height, width = case.classes[0].shape
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    x, y = case.levels.centre_of(row, col)
    assert x == pytest.approx(case.west + (col + 0.5) * case.pixel, rel=1e-14)
    assert y == pytest.approx(case.north - (row + 0.5) * case.pixel, rel=1e-14)
    assert case.levels.pixel_at(x, y) == (row, col)
    assert case.levels.pixel_at(x - width * case.pixel, y) is None
    assert case.levels.pixel_at(x, y + height * case.pixel) is None


def test_whole_is_the_region(case):
    """The whole view is the outline of the grid."""
    height, width = case.classes[0].shape
    whole = case.levels.whole
    found = (whole.west, whole.south, whole.east, whole.north)
    expected = (
        case.west,
        case.north - height * case.pixel,
        case.west + width * case.pixel,
        case.north,
    )
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("size", [(9, 9), (10, 1000), (513, 20), (600, 1030), (1, 2048)])
def test_strides_without_overviews(tmp_path, size):
    """Without overviews the middle ones of two to four pixels are shown, where these lie."""
    layers = {"SCL": numbered(size)}
    levels = Levels(make_cube(tmp_path / "c", layers, every(1, 1)))
    assert len(levels.cubes) == 1
    window = levels.window(levels.whole)
    step = math.ceil(max(size) / SIDE)
    frame = levels.read(window, 0, ["SCL"])["SCL"]
    middles = [np.arange(min((step - 1) // 2, n - 1), n, step) for n in size]
    np.testing.assert_array_equal(frame, layers["SCL"][0][np.ix_(*middles)])
    assert max(frame.shape) <= SIDE
    assert window.view.width == frame.shape[1] * step * PIXEL
    assert window.view.height == frame.shape[0] * step * PIXEL
    assert (window.view.west, window.view.north) == (WEST, NORTH)
    row, col = frame.shape[0] - 1, frame.shape[1] // 2
    x, y = WEST + (col + 0.5) * step * PIXEL, NORTH - (row + 0.5) * step * PIXEL
    assert window.place(x, y) == (row, col)


def test_too_wide_without_overviews(tmp_path):
    """A view that would show fewer than every fourth pixel ends in an error that says how wide."""
    levels = Levels(make_cube(tmp_path / "c", {"SCL": numbered((3, 4 * SIDE + 1))}, every(1, 1)))
    with pytest.raises(InvalidInputError, match=rf"zoom in to {4 * (SIDE - 1) * PIXEL} or less"):
        levels.window(levels.whole)
    narrow = View.around(*levels.whole.middle, (4 * SIDE - 2) * PIXEL, 40)
    assert levels.window(narrow).cols.step == 4


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Return a cube without overviews, wider than what can be shown at once."""
    classes = numbered((2100, 2101))
    store = write_cube(tmp_path_factory.mktemp("wide") / "c", {"SCL": classes}, every(1, 1))
    return Levels(s2kit.open_cube(store)), classes[0]


@EXAMPLES
@given(st.data())
def test_thinned_pixels_stay(wide, data):
    """However the view moves, thinned pixels are the same, lie where they are, and suffice."""
    levels, classes = wide
    height, width = classes.shape
    west = data.draw(st.floats(-300, width - 600)) * PIXEL + WEST
    south = NORTH - data.draw(st.floats(300, height + 300)) * PIXEL
    side = data.draw(st.floats(600, 4 * (SIDE - 1))) * PIXEL
    view = View(west, south, west + side, south + side)
    window = levels.window(view)
    step = window.cols.step or 1
    frame = levels.read(window, 0, ["SCL"])["SCL"]
    assert max(frame.shape) <= SIDE
    for cut, size in ((window.rows, height), (window.cols, width)):
        assert cut.start % step == (step - 1) // 2 or cut.start == size - 1  # wherever the view is
    edge = PIXEL  # up to one pixel may be left out at the region's edge
    covered, whole = window.view, levels.whole
    assert covered.west <= max(view.west, whole.west)
    assert covered.north >= min(view.north, whole.north)
    assert covered.east >= min(view.east, whole.east - edge)
    assert covered.south <= max(view.south, whole.south + edge)
    row, col = (data.draw(st.integers(0, n - 1)) for n in frame.shape)
    x, y = covered.west + (col + 0.5) * step * PIXEL, covered.north - (row + 0.5) * step * PIXEL
    assert window.place(x, y) == (row, col)
    across, down = (x - WEST) / PIXEL - 0.5, (NORTH - y) / PIXEL - 0.5
    near = [n for n in (math.floor(down), math.ceil(down)) if n < height]
    beside = [n for n in (math.floor(across), math.ceil(across)) if n < width]
    assert frame[row, col] in classes[np.ix_(near or [height - 1], beside or [width - 1])]


@pytest.mark.parametrize("dask", [True, False])
def test_levels_of_an_opened_cube(tmp_path, dask):
    """A cube as opened has its overviews, one that was cut or changed stands alone."""
    store = write_cube(tmp_path / "c", {"SCL": numbered((530, 600))}, every(1, 1), overviews=True)
    cube = s2kit.open_cube(store, dask=dask)
    assert [one.sizes["x"] for one in Levels(cube).cubes] == [600, 300, 150]
    assert len(Levels(cube.isel(x=slice(1, 500))).cubes) == 1
    coarse = s2kit.open_cube(store, dask=dask, level=1)
    assert [one.sizes["y"] for one in Levels(coarse).cubes] == [265, 133]
    levels = Levels(coarse)
    assert levels.pixel == 2 * PIXEL
    window = levels.window(levels.whole)
    np.testing.assert_array_equal(levels.read(window, 0, ["SCL"])["SCL"], coarse.SCL.values[0])


def test_cut_cube_keeps_its_place(tmp_path):
    """A part by isel shows what it holds, where it lies."""
    layers = random_layers(1, (2, 40, 50))
    cube = make_cube(tmp_path / "c", layers, every(1, 2))
    levels = Levels(cube.isel(y=slice(7, 31), x=slice(11, 12)))
    assert levels.whole == View(WEST + 110, NORTH - 310, WEST + 120, NORTH - 70)
    frame = levels.read(levels.window(levels.whole), 1, ["B04"])["B04"]
    np.testing.assert_array_equal(frame, decoded(layers["B04"])[1, 7:31, 11:12])


def test_dims_in_any_order(tmp_path):
    """A cube whose dims were exchanged gives frames of (y, x) all the same."""
    layers = random_layers(1, (2, 5, 8))
    cube = make_cube(tmp_path / "c", layers, every(1, 2)).transpose("x", "time", "y")
    levels = Levels(cube)
    frame = levels.read(levels.window(levels.whole), 0, ["B04"])["B04"]
    np.testing.assert_array_equal(frame, decoded(layers["B04"])[0])


def test_part_is_the_whole_window(tmp_path):
    """The part to compute with has all that a window spans; a frame may leave some out."""
    layers = {"SCL": numbered((3, 700))}
    for n, cube in enumerate(
        [
            make_cube(tmp_path / "c", layers, every(1, 1)),
            make_cube(tmp_path / "d", layers, every(1, 1)).load(),
        ]
    ):
        levels = Levels(cube)
        window = levels.window(View(WEST + 50, NORTH - 20, WEST + 6990, NORTH), most=300)
        part = levels.part(window)
        wanted = layers["SCL"][:, 1:3, 4:699]  # from the middle of the first block of three on
        np.testing.assert_array_equal(part.SCL.values, wanted, err_msg=str(n))
        frame = levels.read(window, 0, ["SCL"])["SCL"]
        np.testing.assert_array_equal(frame, wanted[0, ::3, ::3])


def test_oblong_pixels_are_refused(tmp_path):
    """Pixels that are not square end in an error that says so."""
    cube = make_cube(tmp_path / "c", {"SCL": numbered((8, 8))}, every(1, 1))
    with pytest.raises(InvalidInputError, match="20 wide and 10 high"):
        Levels(cube.isel(x=slice(None, None, 2)))
    assert Levels(cube.isel(x=slice(None, None, 2), y=slice(None, None, 2))).pixel == 20


@pytest.mark.parametrize("size, wide", [(8, 10.02), (4000, 10.005)])
def test_nearly_square_pixels_are_refused(size, wide):
    """Pixels that would shift a picture by more than a tenth, or differ by a thousandth, are."""
    x = WEST + wide * (np.arange(size) + 0.5)
    layer = xr.DataArray(
        np.zeros((1, size, 2), "float32"),
        dims=("time", "x", "y"),
        coords={"time": [np.datetime64("2021-01-01", "ns")], "x": x, "y": [NORTH - 5, NORTH - 15]},
    )
    cube = layer.transpose("time", "y", "x").to_dataset(name="B04").rio.write_crs(28992)
    with pytest.raises(InvalidInputError, match="needs square ones"):
        Levels(cube)


COORDINATE = st.floats(-1e7, 1e7, allow_nan=False)
LENGTH = st.floats(0.001, 1e6)


@given(COORDINATE, COORDINATE, LENGTH, LENGTH, st.floats(0.1, 8), st.floats(0.2, 5))
def test_views_move_and_zoom(x, y, width, height, factor, shape):
    """Zooming keeps the middle, moving the size; what fills a frame is the least that holds all."""
    view = View.around(x, y, width, height)
    about = {"rel": 1e-6, "abs": 1e-6}
    assert view.zoomed(factor).middle == pytest.approx((x, y), **about)
    assert view.zoomed(factor).width == pytest.approx(width * factor, **about)
    moved = view.moved(0.5, -1)
    assert moved.middle == pytest.approx((x + width / 2, y - height), **about)
    assert moved.distance(view) == pytest.approx(max(width / 2, height), **about)
    filling = view.filling(shape)
    assert filling.width == pytest.approx(shape * filling.height, **about)
    assert filling.middle == pytest.approx((x, y), **about)
    beyond = filling.width - width, filling.height - height
    assert min(beyond) == pytest.approx(0, **about) and max(beyond) >= -1e-6
