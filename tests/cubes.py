"""Cubes of a test's own numbers: real stores, written chunk by chunk without any scenes."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  (registers `.rio`)
import shapely
import xarray as xr
from affine import Affine
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

import s2kit
from s2kit.cube.build_options import DEFAULT_CHUNKS
from s2kit.cube.checked_reads import read_table
from s2kit.cube.codec import encode
from s2kit.cube.commit import commit, create
from s2kit.cube.ingest import Target
from s2kit.cube.keys import chunk_key, read_group, table_key
from s2kit.cube.layers import LAYER_SPECS
from s2kit.cube.lock import lock
from s2kit.cube.manifest import Table, add_table, by_time_chunk, empty_manifest, entry_of
from s2kit.cube.model import CubeSpec, Orbit, State
from s2kit.cube.overviews import CoarserTask, coarsen, nothing_present
from s2kit.cube.state import read_state
from s2kit.cube.storage import open_store
from s2kit.cube.store import Store
from s2kit.cube.zarr_documents import dump, metadata_digest

WEST, NORTH, PIXEL = 80_000, 450_000, 10
CRS = "EPSG:28992"

SYMBOLS = {
    "B": "B02",
    "G": "B03",
    "R": "B04",
    "RE1": "B05",
    "RE2": "B06",
    "RE3": "B07",
    "N": "B08",
    "N2": "B8A",
    "S1": "B11",
    "S2": "B12",
}
"""Bands by their symbols in the formulas of spyndex."""


def box(west: float, north: float, east: float, south: float) -> shapely.Polygon:
    """Return a box in pixels from the north-west corner, southward positive."""
    return shapely.box(
        WEST + PIXEL * west, NORTH - PIXEL * south, WEST + PIXEL * east, NORTH - PIXEL * north
    )


def days(*dates: str) -> np.ndarray:
    """Return days as a cube stores them: seconds since 1970, at about the time of an overpass."""
    return np.array(dates, "datetime64[s]").astype("i8") + 38_431


def every(step: int, count: int, first: str = "2021-01-03") -> np.ndarray:
    """Return ``count`` days, ``step`` days apart."""
    return days(first)[0] + np.arange(count) * step * 86_400


def write_cube(
    store: Path,
    layers: dict[str, np.ndarray],
    times: np.ndarray,
    *,
    orbit: int = 51,
    chunks: tuple[int, int, int] = DEFAULT_CHUNKS,
    grid: GeoBox | None = None,
    synthetic: bool = True,
    overviews: bool = False,
) -> Path:
    """Write a cube.

    Parameters
    ----------
    store : pathlib.Path
        A new place, or a cube with the same layers, chunks and grid to which an orbit is added.
    layers : dict of str to numpy.ndarray, shape (time, y, x)
        As stored: reflectance × 10 000 with -9999 for no data, classes 0-11.
    times : numpy.ndarray, shape (time,)
        See `days`.
    """
    shape = next(iter(layers.values())).shape
    grid = grid or GeoBox(shape[1:], Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), CRS)
    names = tuple(name for name in LAYER_SPECS if name in layers)
    spec = CubeSpec(grid, names, "bilinear", chunks, overviews)
    place = open_store(store)
    state = read_state(place)
    if state is None:
        state = State(spec, synthetic, {})
        create(place, state)
    written = {}
    for name in names:
        for index in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunks, strict=True))):
            chunk = _chunk(layers[name], LAYER_SPECS[name], index, chunks)
            if (chunk == LAYER_SPECS[name].nodata).all():
                continue
            data = encode(chunk)
            key = chunk_key(orbit, name, index, ".")
            place.put(key, data)
            written[key] = entry_of(data)
    if overviews:
        written |= write_overviews(place, spec, shape[0], orbit)
    new = by_time_chunk(written, names, range(-(-shape[0] // chunks[0])))
    empty = empty_manifest(names, spec.chunk_grids)
    manifest, tables = empty.changed(0, new, spec.chunk_grids)
    made = Orbit(_timeline(times, orbit, layers), manifest)
    changed = State(spec, synthetic, state.orbits | {orbit: made})
    commit(place, changed, orbit, keep=0, tables=tables, written=written, moves=False)
    return store


def write_overviews(place: Store, spec: CubeSpec, steps: int, orbit: int = 51) -> Table:
    """Write the coarser levels of a cube whose base lies there."""
    depth, written = spec.chunks[0], {}
    with lock(place) as lock_token:
        target = Target(place, spec, orbit, ".", lock_token)
        for name, chunk in itertools.product(spec.layers, range(-(-steps // depth))):
            present = nothing_present(spec)
            for row, col in np.ndindex(present.shape):
                key = chunk_key(orbit, name, (chunk, row, col), ".")
                present[row, col] = place.has(key)
            here = min(depth, steps - chunk * depth)
            task = CoarserTask(target, name, chunk, here, present)
            written |= coarsen(task)
    return written


def change_metadata(store: Path, change: Callable[[dict], object]) -> None:
    """Change the documents of a cube, with their digest, as a stranger may."""
    whole = json.loads((store / ".zmetadata").read_text())
    documents = whole["metadata"]
    change(documents)
    documents[".zattrs"]["s2kit"]["digest"] = metadata_digest(documents)
    (store / ".zmetadata").write_bytes(dump(whole))
    (store / ".zattrs").write_bytes(dump(documents[".zattrs"]))


def change_coordinate(store: Path, key: str, data: bytes) -> None:
    """Change a coordinate of a cube, and all that the manifest says of it, as a stranger may."""
    place = open_store(store)
    orbit, _ = read_group(key.rsplit("/", 2)[0])
    kit = json.loads((store / ".zmetadata").read_text())["metadata"][".zattrs"]["s2kit"]
    listed = read_table(place, orbit, kit["manifest"][str(orbit)]["coordinates"])
    stored = {entry_of(data).digest: data}
    name = add_table(stored, listed | {key: entry_of(data)})
    (store / key).write_bytes(data)
    for digest, copy in stored.items():
        (store / table_key(orbit, digest)).write_bytes(copy)

    def state(documents: dict) -> None:
        documents[".zattrs"]["s2kit"]["manifest"][str(orbit)]["coordinates"] = name

    change_metadata(store, state)


def make_cube(store: Path, layers: dict[str, np.ndarray], times: np.ndarray, **kind) -> xr.Dataset:
    """Write a cube and open it."""
    return s2kit.open_cube(write_cube(store, layers, times, **kind))


def _chunk(values, layer, index, shape):
    whole = np.full(shape, layer.nodata, layer.dtype)
    part = values[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, shape, strict=True))]
    whole[tuple(slice(n) for n in part.shape)] = part
    return whole


def _timeline(times, orbit, layers):
    """Return the coordinates along time."""
    n = len(times)
    classes = layers.get("SCL", np.full((n, 1, 1), 4))
    clear = np.isin(classes, (4, 5, 6, 7)).mean((1, 2)).astype("f4")
    text = {
        "platform": "Sentinel-2A",
        "processing_baseline": "05.00",
        "failed": "",
        "corrected": "",
    }
    timeline = {name: np.full(n, value, "O") for name, value in text.items()}
    names = [f"R{orbit:03d}-{i}" for i in range(n)]
    return timeline | {
        "time": np.asarray(times, "i8"),
        "products": np.array(names, "O"),
        "clear_fraction": clear,
        "valid_fraction": np.ones(n, "f4"),
    }


def random_layers(
    seed: int, shape: tuple[int, int, int], bands: tuple[str, ...] = ("B04", "B08")
) -> dict[str, np.ndarray]:
    """Make up layers with gaps: 1 of 10 values without data, 4 of 10 classes not clear."""
    rng = np.random.default_rng(seed)
    layers = {}
    for band in bands:
        values = rng.integers(50, 5000, shape).astype("i2")
        values[rng.random(shape) < 0.1] = -9999
        layers[band] = values
    share = {0: 0.1, 3: 0.1, 4: 0.3, 5: 0.1, 6: 0.1, 7: 0.1, 8: 0.05, 9: 0.05, 10: 0.05, 11: 0.05}
    classes = rng.choice(list(share), shape, p=list(share.values()))
    return layers | {"SCL": classes.astype("u1")}


def plain(store: Path, orbit: int = 51) -> dict[str, np.ndarray]:
    """Read a cube's layers without the kit: float64 with NaN for no data, classes as they are."""
    stored = xr.open_zarr(store, group=f"S2/R{orbit:03d}")
    return {name: layer.values for name, layer in stored.data_vars.items()}


def decoded(stored: np.ndarray) -> np.ndarray:
    """Return reflectance, float32, NaN where stored as -9999; classes as they are."""
    if stored.dtype == np.uint8:
        return stored
    values = stored.astype("f4") * np.float32(1e-4)
    return np.where(stored == -9999, np.float32(np.nan), values)


def in_memory(
    layers: dict[str, np.ndarray], times: np.ndarray, chunks: tuple[int, int, int] | None = None
) -> xr.Dataset:
    """Return a cube as `s2kit.open_cube` would, without a store; in Dask's blocks, or in numpy."""
    _, height, width = next(iter(layers.values())).shape
    coords = {
        "time": np.asarray(times).astype("datetime64[s]").astype("datetime64[ns]"),
        "y": NORTH - PIXEL * (np.arange(height) + 0.5),
        "x": WEST + PIXEL * (np.arange(width) + 0.5),
    }
    dims = ("time", "y", "x")
    cube = xr.Dataset({name: (dims, decoded(v)) for name, v in layers.items()}, coords)
    cube = cube.rio.write_crs(CRS)
    return cube.chunk(dict(zip(dims, chunks, strict=True))) if chunks else cube


def random_cubes(bands=("B04", "B08"), most=9):
    """Draw (layers, cube): with gaps, pixels never clear, constant series, any blocks."""

    @st.composite
    def draw_cube(draw):
        times, rows, cols = (draw(st.integers(1, n)) for n in (most, 5, 7))
        layers = random_layers(draw(st.integers(0, 10_000)), (times, rows, cols), bands)
        layers["SCL"][:, 0, 0] = 9  # never clear
        layers["SCL"][:, -1, -1] = 4
        layers["SCL"][1:, -1, 0] = 3  # at most one observation
        for band in bands:
            layers[band][:, -1, -1] = draw(st.sampled_from([0, 1, 3333, -120, -9999]))
        blocks = draw(st.none() | st.tuples(*(st.integers(1, n) for n in (times, rows, cols))))
        step = draw(st.sampled_from([1, 5, 40, 100]))
        return layers, in_memory(layers, every(step, times), blocks)

    return draw_cube()
