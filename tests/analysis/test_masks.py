"""Masks keep the classes that are asked for, and distances are those of scipy, at any border."""

import numpy as np
import pytest
from cubes import every, in_memory, make_cube, random_cubes, random_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import s2kit
from s2kit.errors import InvalidInputError

CLOUDY = [3, 8, 9, 10]


def disc(radius):
    """Return the pixels within a radius of the middle one."""
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return y**2 + x**2 <= radius**2


def plain_mask(scl, keep, buffer=0, specks=0):
    """Write the mask out with scipy's morphology, step by step; distances in pixels."""
    clear = np.isin(scl, keep)
    for t, classes in enumerate(scl):
        cloudy = np.isin(classes, CLOUDY) & ~np.isin(classes, keep)
        width = int(np.ceil(specks))
        if width > 1:
            opened = ndimage.binary_opening(
                np.pad(cloudy, 99, constant_values=True), np.ones((width, width))
            )[99:-99, 99:-99]
            near = ndimage.binary_dilation(opened, np.ones((2 * width + 1, 2 * width + 1)))
            clear[t] |= cloudy & ~near
            cloudy = cloudy & near
        if buffer >= 1:
            cloudy = ndimage.binary_dilation(cloudy, disc(buffer))
        clear[t] &= ~cloudy
    return clear


@settings(max_examples=60, deadline=None)
@given(random_cubes(), st.sets(st.integers(1, 11)), st.booleans())
def test_classes_are_looked_up(drawn, keep, snow):
    """The mask is True where the class is among those kept, and nowhere else."""
    layers, cube = drawn
    keep = keep or {4}
    mask = s2kit.clear_mask(cube, keep=keep, snow=snow)
    wanted = keep | ({11} if snow else set())
    assert mask.dtype == bool and mask.dims == ("time", "y", "x")
    np.testing.assert_array_equal(mask, np.isin(layers["SCL"], list(wanted)))


def clouds(seed, shape=(3, 40, 33)):
    """Make up classes with clouds of all sizes, and holes without data."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), (0, 2, 2))
    classes = np.where(smooth > 0.12, 9, np.where(smooth < -0.2, 3, 4)).astype("u1")
    classes[rng.random(shape) < 0.02] = 8
    classes[rng.random(shape) < 0.02] = 0
    return classes


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from([0, 9, 10, 14.2, 25, 60]),
    st.sampled_from([0, 15, 20, 45]),
    st.none() | st.tuples(st.integers(1, 3), st.integers(3, 40), st.integers(3, 33)),
)
def test_margin_and_specks_equal_scipy(seed, buffer, specks, blocks):
    """A buffer and an opening with exact discs, the same across all borders of blocks."""
    scl = clouds(seed)
    cube = in_memory({"SCL": scl}, every(5, 3), blocks)
    mask = s2kit.clear_mask(cube, buffer=buffer, specks=specks)
    np.testing.assert_array_equal(mask, plain_mask(scl, [4, 5, 6, 7], buffer / 10, specks / 10))


@pytest.mark.parametrize(
    ("crs", "unit"),
    [
        ("EPSG:32631", 1),
        ("+proj=utm +zone=31 +units=ft", 0.3048),
        ("EPSG:2222", 0.3048),
        ("+proj=utm +zone=31 +units=us-ft", 1200 / 3937),
        ("+proj=utm +zone=31 +units=km", 1000),
    ],
)
@pytest.mark.parametrize("units", [None, "metre", "ft"])
def test_margins_are_metres_whatever_the_unit(crs, unit, units):
    """The coordinate system tells the length of its unit, not the attributes of x."""
    scl = clouds(3)
    cube = in_memory({"SCL": scl}, every(5, 3))
    places = {axis: cube[axis].values / unit for axis in ("y", "x")}
    cube = cube.assign_coords(places).rio.write_crs(crs)
    if units:
        cube["x"].attrs["units"] = units
    mask = s2kit.clear_mask(cube, buffer=25)
    np.testing.assert_array_equal(mask, plain_mask(scl, [4, 5, 6, 7], 2.5, 0))


@pytest.mark.parametrize("width", [10, 20, 30, 40, 70])
def test_patches_narrower_than_specks_go_whole(width):
    """A square patch goes if it is narrower than specks, and else stays to its corners."""
    scl = np.full((1, 30, 30), 4, "u1")
    scl[0, 10 : 10 + width // 10, 12 : 12 + width // 10] = 9
    cube = in_memory({"SCL": scl}, every(5, 1))
    for specks in (0, 5, 10, 15, 20, 25, 30, 35, 40, 60, 70, 75):
        kept = scl[0] == 9 if width >= specks else np.zeros((30, 30), bool)
        np.testing.assert_array_equal(~s2kit.clear_mask(cube, specks=specks)[0], kept)


@pytest.mark.parametrize("blocks", [None, (1, 9, 12)])
def test_order_of_dimensions_changes_nothing(blocks):
    """Margins are laid on the map, wherever its dimensions stand."""
    cube = in_memory({"SCL": clouds(5)}, every(5, 3), blocks)
    mask = s2kit.clear_mask(cube, buffer=30, specks=20)
    for order in (("y", "x", "time"), ("x", "time", "y")):
        turned = s2kit.clear_mask(cube.transpose(*order), buffer=30, specks=20)
        assert turned.dims == order
        np.testing.assert_array_equal(turned.transpose(*mask.dims), mask)


def test_margins_on_the_widest_maps():
    """On 50 000 pixels in a row, and with a buffer beyond all of them."""
    scl = np.full((1, 2, 50_000), 4, "u1")
    scl[0, :, 100:150] = 9
    cube = in_memory({"SCL": scl}, every(5, 1))
    assert (~s2kit.clear_mask(cube, buffer=100)).sum() == 2 * 70
    assert (~s2kit.clear_mask(cube, buffer=250_000)).sum() == 2 * 25_150


def test_only_cloud_is_taken_for_an_error():
    """What is no class to keep stays so, however probable cloud is; what is one comes back."""
    scl = np.full((1, 9, 20), 4, "u1")
    scl[0, 4, [3, 6, 9, 12]] = [1, 2, 11, 9]
    cube = in_memory({"SCL": scl}, every(5, 1))
    cube["CLD"] = cube.SCL.astype("f4") * 0
    cube.CLD[0, 4, [3, 6, 9, 12, 15]] = 90
    mask = s2kit.clear_mask(cube, max_cloud=60, specks=40).values[0]
    assert np.flatnonzero(~mask.all(0)).tolist() == [3, 6, 9]


def test_margins_cross_the_chunks_of_a_store(tmp_path):
    """On a stored cube larger than a block, a cloud at a border clears the other side."""
    scl = np.full((2, 150, 140), 4, "u1")
    scl[0, 118:121, 60] = 9
    cube = make_cube(tmp_path / "c.zarr", {"SCL": scl}, every(5, 2))
    mask = s2kit.clear_mask(cube, buffer=60)
    assert mask.chunks[1][0] == 120
    np.testing.assert_array_equal(mask, plain_mask(scl, [4], 6))


def test_probabilities_decide_where_they_are_present():
    """Above max_cloud nothing is clear, nor near it."""
    layers = {"SCL": np.full((1, 7, 9), 4, "u1")}
    cube = in_memory(layers, every(5, 1))
    cube["CLD"] = cube.SCL.astype("f4") * 0
    cube.CLD[0, 3, 4] = 61
    plain = s2kit.clear_mask(cube, max_cloud=60).values[0]
    assert (~plain).sum() == 1 and not plain[3, 4]
    wide = s2kit.clear_mask(cube, max_cloud=60, buffer=10).values[0]
    assert (~wide).sum() == 5 and not wide[3, 3] and not wide[2, 4]
    assert s2kit.clear_mask(cube, max_cloud=61).values.all()


def test_share_that_is_kept_is_told():
    """It is the clear share of the pixels with data, NaN where there are none."""
    scl = np.array([[[4, 9, 0]], [[0, 0, 0]], [[5, 6, 7]]], "u1")
    cube = in_memory({"SCL": scl}, every(5, 3), (2, 1, 2))
    np.testing.assert_allclose(s2kit.clear_share(cube), [0.5, np.nan, 1])
    np.testing.assert_allclose(s2kit.clear_share(cube, cube.SCL >= 6), [0.5, np.nan, 2 / 3])


def test_masking_blanks_all_layers():
    """Reflectance becomes NaN, classes 0, where it is not clear; elsewhere nothing changes."""
    layers = random_layers(1, (5, 6, 7))
    cube = in_memory(layers, every(5, 5), (2, 3, 3))
    masked = s2kit.mask_clouds(cube)
    clear = np.isin(layers["SCL"], [4, 5, 6, 7])
    np.testing.assert_array_equal(masked.B04, np.where(clear, cube.B04, np.nan))
    np.testing.assert_array_equal(masked.SCL, np.where(clear, layers["SCL"], 0))
    assert masked.SCL.dtype == np.uint8 and masked.B04.dtype == np.float32


WRONG = {
    "no classes": ({"keep": ()}, "does not list classes"),
    "nodata": ({"keep": (0, 4)}, "numbers from 1 to 11"),
    "a number": ({"keep": 4}, "does not list classes"),
    "text": ({"keep": "clear"}, "does not list classes"),
    "probability": ({"max_cloud": 200}, "0 to 100 %"),
    "no such layer": ({"max_cloud": 20}, "the cube has no CLD"),
    "negative": ({"buffer": -10}, "buffer=-10 is not a distance"),
    "infinite": ({"specks": float("inf")}, "specks=inf is not a distance"),
    "bool": ({"buffer": True}, "not a distance"),
}


@pytest.mark.parametrize(("options", "says"), WRONG.values(), ids=WRONG)
def test_bad_options_are_named(options, says):
    """An impossible option ends in an error that says what is accepted."""
    cube = in_memory({"SCL": np.full((1, 3, 4), 4, "u1")}, every(5, 1))
    if says != WRONG["no such layer"][1]:
        cube["CLD"] = cube.SCL.astype("f4")
    with pytest.raises(InvalidInputError, match=says):
        s2kit.clear_mask(cube, **options)


def test_a_cube_without_classes_is_refused():
    """The layer that is missing is named."""
    cube = in_memory({"B04": np.ones((1, 3, 4), "i2")}, every(5, 1))
    with pytest.raises(InvalidInputError, match="the cube has no SCL; it has B04"):
        s2kit.clear_mask(cube)


def test_margins_need_a_whole_map_in_metres():
    """A row, every other pixel, or degrees have no distances in metres."""
    cube = in_memory({"SCL": np.full((1, 30, 40), 4, "u1")}, every(5, 1))
    degrees = cube.rio.write_crs(4326)
    holes = cube.isel(x=[0, 1, 5, 6])
    row = cube.isel(y=0)
    for part, says in [(row, "need a map"), (holes, "side by side"), (degrees, "in degrees")]:
        with pytest.raises(InvalidInputError, match=says):
            s2kit.clear_mask(part, buffer=20)
