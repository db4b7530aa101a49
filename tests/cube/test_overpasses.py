"""Which scenes make a step, in the cube itself: late ones, reprocessed ones, halves, strangers."""

import shutil
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from children import stamps
from scenarios import whole
from shapely.geometry import box
from small_scenes import (
    AOI,
    CRS,
    FIRST,
    NORTH,
    WEST,
    degrees,
    digital,
    ground,
    make_scene,
    product_name,
    series,
)

import s2kit
from s2kit.cube.dask_layers import require_steps
from s2kit.errors import CubeError, InvalidInputError, SceneWarning

OPTIONS = {"crs": CRS, "resampling": "nearest", "chunks": (2, 64, 64), "bands": ["B04", "SCL"]}
INNER = slice(10, 110)


def build(items, store, **options):
    """Build on the scenes' own grid."""
    return s2kit.build_cube(items, store, AOI, progress=False, **(OPTIONS | options))


def red(store) -> np.ndarray:
    """Return the stored values of B04, (time, y, x)."""
    return xr.open_zarr(store, group="S2/R051", mask_and_scale=False).B04.values


def values(seed) -> np.ndarray:
    """Return what a scene before 04.00 can hold of B04: 0 is no data, and nothing lies below."""
    return np.maximum(ground(seed)["B04"], 1)


def scene(folder, seed, *, rows=slice(None), day=0, **name):
    """Write a scene that has data in some rows (of 10 m) only."""
    dn = {layer: v for layer, v in digital(ground(seed), 0).items() if layer in ("B04", "SCL")}
    for layer, pixels in dn.items():
        size = 1 if layer == "B04" else 2
        start, stop = (None if n is None else n // size for n in (rows.start, rows.stop))
        kept = pixels[start:stop].copy()
        pixels[:] = 0
        pixels[start:stop] = kept
    return make_scene(folder, product_name(FIRST + timedelta(days=day), **name), dn)


@pytest.mark.parametrize("late", range(5))
def test_late_scene_lands_in_order(days, tmp_path, late):
    """Wherever a scene is missing at first, in the end the cube has the same steps."""
    build(days[:late] + days[late + 1 :], tmp_path / "cube.zarr")
    report = build(days[late : late + 1], tmp_path / "cube.zarr")
    assert report.added == {51: 1} and report.steps == {51: 5}
    build(days, tmp_path / "at-once.zarr")
    assert whole(tmp_path / "cube.zarr") == whole(tmp_path / "at-once.zarr")
    times = s2kit.open_cube(tmp_path / "cube.zarr").time.values
    assert (np.diff(times) > np.timedelta64(0, "s")).all()


@pytest.mark.parametrize("dask", [True, False])
def test_steps_of_an_opened_cube(days, tmp_path, dask):
    """Later steps leave an opened cube as it is; steps before its last one are told."""
    store = tmp_path / "cube.zarr"
    build([days[0], days[2]], store)
    opened = s2kit.open_cube(store, dask=dask)
    handles = (opened, opened.isel(x=slice(3, 9)), opened[["B04"]].isel(time=[0]), opened + 1)
    build(days[3:4], store)
    for handle in handles:
        require_steps(handle)
    archive = Path(shutil.make_archive(tmp_path / "cube", "zip", store))
    zipped = s2kit.open_cube(archive, dask=dask)
    for late in (days[1:2], days[4:5]):
        build(late, store)
        for handle in handles[: 4 if dask else 3]:
            with pytest.raises(CubeError, match="have changed since it was opened; open it again"):
                require_steps(handle)
    require_steps(zipped)
    require_steps(s2kit.open_cube(store, dask=dask))
    shutil.rmtree(store)
    with pytest.raises(CubeError, match="no longer holds"):
        require_steps(opened)


def test_one_scene_after_the_other_in_any_order(days, tmp_path):
    """Five builds of one scene each, in a muddled order, give what one build gives."""
    for n in (3, 0, 4, 2, 1):
        build([days[n]], tmp_path / "cube.zarr")
    build(days, tmp_path / "at-once.zarr")
    assert whole(tmp_path / "cube.zarr") == whole(tmp_path / "at-once.zarr")


def test_reprocessed_scene_wins_and_older_ones_fill(tmp_path):
    """Newest baseline first, whatever was made last; what it lacks the older ones fill."""
    old = scene(tmp_path, 1, baseline="03.01", made=9)
    new = scene(tmp_path, 2, baseline="03.02", made=5, rows=slice(0, 64))
    newer = scene(tmp_path, 3, baseline="03.02", made=7, rows=slice(0, 32))
    build([old, newer, new], tmp_path / "cube.zarr")
    expected = np.concatenate([values(3)[:32], values(2)[32:64], values(1)[64:]])
    np.testing.assert_array_equal(red(tmp_path / "cube.zarr"), expected[None, INNER, INNER])
    cube = s2kit.open_cube(tmp_path / "cube.zarr")
    assert cube.products.values.tolist() == [f"{newer.id} {new.id} {old.id}"]
    assert cube.processing_baseline.values.tolist() == ["03.02 03.01"]
    assert cube.valid_fraction.item() == 1


def test_reprocessed_scene_that_comes_later(tmp_path):
    """A newer version of a scene that the cube has replaces it, in the same step."""
    old, new = scene(tmp_path, 1), scene(tmp_path, 2, baseline="03.02", made=9)
    later = scene(tmp_path, 4, day=5)
    build([old, later], tmp_path / "cube.zarr")
    report = build([old, new, later], tmp_path / "cube.zarr")
    assert report.steps == {51: 2} and report.added == {51: 1}
    np.testing.assert_array_equal(red(tmp_path / "cube.zarr")[0], values(2)[INNER, INNER])
    build([old, new, later], tmp_path / "at-once.zarr")
    assert whole(tmp_path / "cube.zarr") == whole(tmp_path / "at-once.zarr")


def test_reprocessing_stands_in_for_what_the_catalogue_dropped(tmp_path):
    """A newer baseline of the same tile is taken without the old scene, an equal one is not."""
    old, new = scene(tmp_path, 1), scene(tmp_path, 2, baseline="03.02", made=9)
    again = scene(tmp_path, 3, baseline="03.02", made=12)
    build([old], tmp_path / "cube.zarr")
    report = build([new], tmp_path / "cube.zarr")
    assert report.added == {51: 1} and not report.failed
    np.testing.assert_array_equal(red(tmp_path / "cube.zarr")[0], values(2)[INNER, INNER])
    with pytest.warns(SceneWarning):
        assert "give these as well" in build([again], tmp_path / "cube.zarr").failed[again.id]


def test_step_stays_while_one_of_its_scenes_cannot_be_read(tmp_path):
    """What the cube has is not given up because a file is gone when a second half arrives."""
    north = scene(tmp_path, 1, rows=slice(0, 62), made=3)
    south = scene(tmp_path, 2, rows=slice(62, None), made=4)
    build([north], tmp_path / "cube.zarr")
    before, band = whole(tmp_path / "cube.zarr"), Path(north.assets["B04"].href)
    band.rename(band.with_suffix(".away"))
    with pytest.warns(SceneWarning):
        report = build([north, south], tmp_path / "cube.zarr")
    assert set(report.failed) == {north.id, south.id}
    assert "stays as it is" in report.failed[south.id]
    assert whole(tmp_path / "cube.zarr") == before
    band.with_suffix(".away").rename(band)
    build([north, south], tmp_path / "cube.zarr")
    build([north, south], tmp_path / "at-once.zarr")
    assert whole(tmp_path / "cube.zarr") == whole(tmp_path / "at-once.zarr")


def test_more_products_than_a_step_can_name(tmp_path):
    """They are refused before their pixels are computed; other steps are built."""
    many = [scene(tmp_path, 1, made=n) for n in range(1, 19)]
    later = scene(tmp_path, 4, day=5)
    with pytest.warns(SceneWarning):
        report = build([*many, later], tmp_path / "cube.zarr")
    assert report.steps == {51: 1} and set(report.failed) == {item.id for item in many}
    assert "18 products" in report.failed[many[0].id]


def test_storage_counts_what_readers_see(tmp_path):
    """Chunks that a late scene retired do not count."""
    items = [scene(tmp_path, n, day=5 * n) for n in range(5)]
    build(items[:1] + items[2:], tmp_path / "late.zarr")
    late = build(items, tmp_path / "late.zarr").storage()
    assert late.equals(build(items, tmp_path / "at-once.zarr").storage())


def test_both_halves_of_a_split_tile_are_used(tmp_path):
    """Two datastrips of one tile fill one step together."""
    north = scene(tmp_path, 1, rows=slice(0, 62), made=3)
    south = scene(tmp_path, 2, rows=slice(62, None), made=4)
    build([north, south], tmp_path / "cube.zarr")
    expected = np.concatenate([values(1)[:62], values(2)[62:]])
    np.testing.assert_array_equal(red(tmp_path / "cube.zarr"), expected[None, INNER, INNER])
    products = s2kit.open_cube(tmp_path / "cube.zarr").products.values
    assert set(str(products[0]).split()) == {north.id, south.id}


def test_the_second_half_comes_later(tmp_path):
    """A half that is given with what its step has is taken in."""
    north = scene(tmp_path, 1, rows=slice(0, 62), made=3)
    south = scene(tmp_path, 2, rows=slice(62, None), made=4)
    build([north], tmp_path / "cube.zarr")
    assert s2kit.open_cube(tmp_path / "cube.zarr").valid_fraction.item() == pytest.approx(0.52)
    build([south, north], tmp_path / "cube.zarr")
    build([south, north], tmp_path / "at-once.zarr")
    assert whole(tmp_path / "cube.zarr") == whole(tmp_path / "at-once.zarr")


def test_a_half_alone_is_refused_with_the_reason(tmp_path):
    """Without the other scenes of its step it cannot be added: said so, the store untouched."""
    north = scene(tmp_path, 1, rows=slice(0, 62), made=3)
    south = scene(tmp_path, 2, rows=slice(62, None), made=4)
    build([north], tmp_path / "cube.zarr")
    before = stamps(tmp_path / "cube.zarr")
    with pytest.warns(SceneWarning):
        report = build([south], tmp_path / "cube.zarr")
    assert list(report.failed) == [south.id]
    assert north.id in report.failed[south.id] and "give these as well" in report.failed[south.id]
    assert stamps(tmp_path / "cube.zarr") == before


def test_tiles_fill_in_order_of_their_names(tmp_path):
    """Where two tiles overlap, the first by name gives the pixel, whatever came first."""
    east, west = scene(tmp_path, 1, tile="31UFT", made=9), scene(tmp_path, 2, tile="31UET")
    for n, items in enumerate([[east, west], [west, east]]):
        build(items, tmp_path / f"{n}.zarr")
        found = red(tmp_path / f"{n}.zarr")[0]
        np.testing.assert_array_equal(found, values(2)[INNER, INNER])


def stamps_of_chunks(folder):
    """Return the stamps of all chunks of a layer."""
    return {name: stamp for name, stamp in stamps(folder).items() if name.endswith(".0")}


def test_orbits_are_groups_of_their_own(tmp_path):
    """Another orbit on the same day does not touch the first one's group."""
    first, second = scene(tmp_path, 1), scene(tmp_path, 2, orbit=8, made=4)
    build([first], tmp_path / "cube.zarr")
    chunks = stamps_of_chunks(tmp_path / "cube.zarr/S2/R051/B04")
    build([first, second], tmp_path / "cube.zarr")
    assert chunks and stamps_of_chunks(tmp_path / "cube.zarr/S2/R051/B04") == chunks
    cube = s2kit.open_cube(tmp_path / "cube.zarr")
    assert sorted(cube.relative_orbit.values.tolist()) == [8, 51]
    assert s2kit.open_cube(tmp_path / "cube.zarr", orbit=8).sizes["time"] == 1


def test_region_outside_the_imagery(days, tmp_path):
    """No scene reaches the region: said so, and nothing is written."""
    with pytest.raises(InvalidInputError, match="none of the 5 scenes reaches the region"):
        s2kit.build_cube(days, tmp_path / "cube.zarr", (10.0, 50.0, 10.01, 50.01), progress=False)
    assert not (tmp_path / "cube.zarr").exists()


def test_scene_outside_the_region_is_left_out(days, tmp_path):
    """A scene that does not reach the region is listed, and makes no step."""
    stranger = scene(tmp_path, 1, day=40)
    stranger.geometry = box(10, 50, 11, 51).__geo_interface__
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        report = build([*days, stranger], tmp_path / "cube.zarr")
    assert report.outside == (stranger.id,)
    assert report.steps == {51: 5}


def test_region_larger_than_the_imagery(tmp_path):
    """What no scene sees is no data, in every layer; the shares tell how much."""
    items = series(tmp_path / "scenes", 1)
    around = degrees(WEST - 635, NORTH - 1275, WEST + 635, NORTH - 5)
    s2kit.build_cube(items, tmp_path / "cube.zarr", around, progress=False, **OPTIONS)
    found = red(tmp_path / "cube.zarr")[0]
    assert found.shape == (128, 128)
    np.testing.assert_array_equal(found[:, 64:], values(0)[:, :64])
    assert (found[:, :64] == -9999).all()
    cube = s2kit.open_cube(tmp_path / "cube.zarr")
    assert cube.valid_fraction.item() == pytest.approx(0.5)
    assert (cube.SCL.values[0, :, :64] == 0).all()
    clear = np.isin(ground(0)["SCL"][:, :32], (4, 5, 6, 7)).mean() / 2
    assert cube.clear_fraction.item() == pytest.approx(clear)
