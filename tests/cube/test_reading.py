"""What is read of a cube is what plain zarr reads, however it is picked; damage is named."""

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from cubes import every, make_cube, plain, random_layers, write_cube
from hypothesis import given, settings
from hypothesis import strategies as st

import s2kit
from s2kit.cube import snapshot
from s2kit.cube.dask_layers import source_of, window_of
from s2kit.errors import CubeError

SHAPE = (9, 23, 17)
LAYERS = ("B04", "WVP", "SCL")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Write one cube of two orbits; give its place and its layers by plain zarr, in time order."""
    place = tmp_path_factory.mktemp("reading") / "c.zarr"
    for orbit, seed in ((8, 1), (51, 2)):
        layers = random_layers(seed, SHAPE, ("B04",))
        layers["WVP"] = np.random.default_rng(seed).integers(0, 65536, SHAPE).astype("u2")
        if orbit == 8:  # chunks without data, which are not written
            layers["B04"][0:4, 8:16, 5:10] = -9999
        else:
            layers["SCL"][8:, 0:8, 0:5] = 0
        write_cube(place, layers, every(5, 9) + orbit, orbit=orbit, chunks=(4, 8, 5))
    assert not any((place / n).exists() for n in ("S2/R008/B04/0.1.1", "S2/R051/SCL/2.0.0"))
    both = [plain(place, orbit) for orbit in (8, 51)]
    joined = {n: np.stack([part[n] for part in both], 1).reshape(-1, *SHAPE[1:]) for n in LAYERS}
    joined["SCL"] = np.nan_to_num(joined["SCL"]).astype("u1")
    return place, joined


def picks(size):
    """Draw a number, a slice in any direction, or a list of places along an axis.

    xarray itself fails on a lazy array where a slice backwards is empty.
    """
    place = st.integers(-size, size - 1)
    slices = st.slices(size).filter(lambda s: (s.step or 1) > 0 or len(range(size)[s]))
    return place | slices | st.lists(place, max_size=6).map(lambda v: np.array(v, int))


@settings(max_examples=120, deadline=None)
@given(st.tuples(picks(18), picks(23), picks(17)), st.sampled_from(LAYERS), st.booleans())
def test_any_pick_equals_zarr(stores, key, layer, dask):
    """Numbers, slices and lists along each axis, with Dask and without."""
    place, expected = stores
    cube = s2kit.open_cube(place, dask=dask)
    values = expected[layer]
    for axis, part in reversed(list(enumerate(key))):
        values = values[(slice(None),) * axis + (part,)]
    found = cube[layer].isel(dict(zip(("time", "y", "x"), key, strict=True)))
    assert found.shape == values.shape
    np.testing.assert_allclose(found.values, values, rtol=1e-6)
    assert found.dtype == (np.uint8 if layer == "SCL" else np.float32)


@pytest.mark.parametrize("dask", [True, False])
def test_a_zip_is_read_as_its_folder(stores, tmp_path, dask):
    """The same values from a zip of what the folder holds."""
    place, expected = stores
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for file in place.rglob("*"):
            if file.is_file():
                archive.write(file, file.relative_to(place))
    cube = s2kit.open_cube(tmp_path / "c.zip", dask=dask)
    np.testing.assert_allclose(cube.B04, expected["B04"], rtol=1e-6)


@pytest.mark.parametrize("dask", [True, False])
def test_a_cube_travels_to_other_processes(stores, dask):
    """A pickled cube reads the same."""
    place, expected = stores
    cube = pickle.loads(pickle.dumps(s2kit.open_cube(place, dask=dask)))
    np.testing.assert_allclose(cube.B04, expected["B04"], rtol=1e-6)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-7],
        lambda data: data[:9],
        lambda data: b"x" * 200,
        lambda data: data[:16] + bytes(len(data) - 16),
        lambda data: data + b"more",
    ],
    ids=["empty", "cut", "stub", "noise", "zeros", "longer"],
)
def test_damaged_chunks_are_named(tmp_path, damage):
    """A chunk that is not what it should be ends in an error that names it, never in numbers."""
    cube = make_cube(tmp_path / "c.zarr", random_layers(1, SHAPE), every(5, 9), chunks=(4, 8, 5))
    chunk = tmp_path / "c.zarr/S2/R051/B04/1.2.0"
    chunk.write_bytes(damage(chunk.read_bytes()))
    with pytest.raises(CubeError, match=r"B04/1\.2\.0 is damaged"):
        cube.B04.load()


def test_a_chunk_of_another_size_is_damage(tmp_path):
    """A whole chunk of another array is not taken for this one."""
    layers = random_layers(1, SHAPE)
    cube = make_cube(tmp_path / "c.zarr", layers, every(5, 9), chunks=(4, 8, 5))
    make_cube(tmp_path / "d.zarr", layers, every(5, 9), chunks=(2, 8, 5))
    other = (tmp_path / "d.zarr/S2/R051/B04/0.0.0").read_bytes()
    (tmp_path / "c.zarr/S2/R051/B04/0.0.0").write_bytes(other)
    with pytest.raises(CubeError, match=r"B04/0\.0\.0 is damaged"):
        cube.B04.load()


@pytest.mark.parametrize("dask", [True, False])
def test_what_lies_along_time_is_in_memory(stores, dask):
    """Steps can be chosen by any coordinate; only layers are lazy."""
    cube = s2kit.open_cube(stores[0], dask=dask)
    assert cube.isel(time=cube.relative_orbit == 51).sizes["time"] == 9
    assert all(cube[name].chunks is None for name in cube.coords)
    assert (cube.B04.chunks is not None) == dask


@pytest.mark.parametrize("zipped", [False, True])
def test_a_cube_that_is_gone_is_told(tmp_path, zipped):
    """What was removed after it was opened is an error, not a cube without data."""
    store = tmp_path / "c.zarr"
    make_cube(store, random_layers(1, (6, 20, 30)), every(5, 6))
    if zipped:
        store = Path(shutil.make_archive(str(store), "zip", store))
    lazy, eager = s2kit.open_cube(store), s2kit.open_cube(store, dask=False)
    if zipped:
        os.truncate(store, 200)
    else:
        shutil.rmtree(store)
    questions = [
        lambda: s2kit.time_statistics(lazy, "NDVI").compute(),
        lambda: s2kit.composite(lazy).compute(),
        lambda: eager.B04.isel(y=0).values,
    ]
    for ask in questions:
        with pytest.raises(CubeError, match=r"no longer holds|cannot be read"):
            ask()


def test_only_a_layer_as_it_was_opened_has_a_source(stores):
    """Analyses read past Dask only what nobody has changed, cut or loaded."""
    cube = s2kit.open_cube(stores[0])
    assert source_of(cube.B04) is source_of(s2kit.open_cube(stores[0]).B04) is not None
    assert source_of(cube.B04) is not source_of(s2kit.open_cube(stores[0], orbit=8).B04)
    loaded = s2kit.open_cube(stores[0], dask=False)
    changed = [cube.B04 * 1, cube.B04[1:], cube.B04.transpose(), cube.B04.persist(), loaded.B04]
    assert [source_of(one) for one in changed] == [None] * 5


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_window_of_a_cube_is_a_cube(stores, data):
    """It holds what `isel` gives, in blocks that lie on chunks, and is still read as stored."""
    place, _ = stores
    edges = [
        sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))
        for n in SHAPE[1:]
    ]
    rows, cols = (slice(*pair) for pair in edges)
    orbit, dask = data.draw(st.sampled_from([None, 8])), data.draw(st.booleans())
    cube = s2kit.open_cube(place, orbit=orbit, dask=dask)
    found, wanted = window_of(cube, rows, cols), cube.isel(y=rows, x=cols)
    xr.testing.assert_identical(found.compute(), wanted.compute())
    assert all(source_of(layer) is not None for layer in found.data_vars.values())
    of_found = s2kit.time_statistics(found, "B04", percentiles=(50,))
    xr.testing.assert_allclose(
        of_found, s2kit.time_statistics(wanted.compute(), "B04", percentiles=(50,))
    )


@pytest.mark.parametrize("dask", [True, False])
def test_window_of_a_changed_cube(stores, dask):
    """It is what `isel` gives, in blocks."""
    cube = s2kit.open_cube(stores[0], dask=dask).isel(time=[0, 3])
    cube["shade"] = cube.B04[0] * 2
    found = window_of(cube, slice(3, 9), slice(2, 4))
    assert all(layer.chunks for layer in found.data_vars.values())
    xr.testing.assert_identical(found.compute(), cube.isel(y=slice(3, 9), x=slice(2, 4)).compute())


def test_a_commit_while_a_cube_is_opened(tmp_path, monkeypatch):
    """Coordinates that a commit replaces while they are read are read again, not called damaged."""
    place, layers = tmp_path / "c.zarr", random_layers(1, (6, 10, 10), ("B04",))
    part = {name: layer[:5] for name, layer in layers.items()}
    write_cube(place, part, every(5, 5), chunks=(8, 8, 8))
    read, commits = snapshot.read_coordinate_table, []

    def meanwhile(objects, orbit, manifest):
        table = read(objects, orbit, manifest)
        if not commits:
            commits.append(shutil.rmtree(place))
            write_cube(place, layers, every(5, 6), chunks=(8, 8, 8))
        return table

    monkeypatch.setattr(snapshot, "read_coordinate_table", meanwhile)
    assert s2kit.open_cube(place).sizes["time"] == 6
    assert commits


def test_coordinates_that_are_lost_are_named(tmp_path):
    """Where nothing changes meanwhile, the error says what is missing."""
    place = tmp_path / "c.zarr"
    write_cube(place, random_layers(1, (5, 10, 10), ("B04",)), every(5, 5), chunks=(8, 8, 8))
    (place / "S2/R051/time/0").unlink()
    for copy in (place / "S2/R051/.manifest").iterdir():
        if not copy.read_bytes().startswith(b"\x1f\x8b"):  # no table, but a coordinate
            copy.unlink()
    with pytest.raises(CubeError, match="is missing or damaged, and so is its copy"):
        s2kit.open_cube(place)
