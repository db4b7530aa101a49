"""Metadata of a store that somebody else wrote: what is not the layout's is refused by name."""

import copy
import json
import os
import pickle
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from children import build
from cubes import change_metadata
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios import DEEP
from test_foreign import counts, truth, write  # noqa: F401  (a fixture)

import s2kit
from s2kit.cube.state import read_state
from s2kit.cube.storage import open_store
from s2kit.cube.store_checks import check_cube, check_foreign
from s2kit.errors import CubeError

ARRAY = "S2/R051/B04/.zarray"
HERE = "somewhere.zarr"


@pytest.fixture(scope="module")
def cube(days, tmp_path_factory) -> Path:
    """Make a cube with two levels."""
    store = tmp_path_factory.mktemp("cube") / "cube.zarr"
    assert build(days[:2], store, DEEP) == 0
    return store


@pytest.fixture(scope="module")
def documents(cube) -> dict[str, Any]:
    """Return its metadata."""
    return json.loads((cube / ".zmetadata").read_text())["metadata"]


def with_change(documents: dict, name: str, key: str | None, value: Any) -> dict:
    """Return metadata of which one entry differs, or lacks."""
    changed = copy.deepcopy(documents)
    at = changed[name]["s2kit"] if name == ".zattrs" else changed[name]
    if value is ...:
        del at[key]
    else:
        at[key] = value
    return changed


def test_what_the_kit_writes_passes(documents):
    """A cube with levels passes, and so does one of any setting of blosc, or with a / in names."""
    check_cube(HERE, documents)
    assert any("_L1/" in name for name in documents)
    for compressor in (
        {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 0, "blocksize": 0},
        {"id": "blosc"},
    ):
        check_cube(HERE, with_change(documents, ARRAY, "compressor", compressor))
    check_cube(HERE, with_change(documents, ARRAY, "dimension_separator", "/"))
    check_cube(HERE, with_change(documents, "S2/R051/products/.zarray", "dtype", "<U4096"))


PICKLE = {"id": "pickle", "protocol": 5}
ODD: list[tuple[str, str, Any]] = [
    *[(ARRAY, "compressor", c) for c in (None, {"id": "zlib"}, PICKLE, {"id": None}, "blosc", [])],
    *[(ARRAY, "filters", [f]) for f in (PICKLE, {"id": "delta", "dtype": "<i2"}, None, {})],
    *[(ARRAY, "order", order) for order in ("F", None, "K", ["C"])],
    *[(ARRAY, "dtype", t) for t in (">i2", "<u2", "|O", "<i4", "<f4", "|V9999", [["a", "<i2"]], 2)],
    *[(ARRAY, "fill_value", v) for v in (0, None, "NaN", -9999.0, True, [-9999])],
    *[(ARRAY, "chunks", c) for c in ([48, 64, 64], [10**6, 10**4, 10**3], [0, 8, 8], [8, 8], None)],
    *[(ARRAY, "chunks", c) for c in ([-1, 8, 8], [2.0, 16, 16], ["2", 16, 16], [2, 16, 10**20])],
    *[(ARRAY, "dimension_separator", s) for s in ("", "\\", "..", "//", "/../", None, 3)],
    *[(ARRAY, "zarr_format", v) for v in (1, 3, "2", None, 2.0)],
    *[(ARRAY, "shape", v) for v in ([2, 1, 1], [99, 100, 100], [2, 100], [2, 10**12, 1], None)],
    *[(ARRAY, key, ...) for key in ("compressor", "order", "dtype", "chunks", "shape")],
    *[(ARRAY, key, ...) for key in ("dimension_separator", "filters", "fill_value", "zarr_format")],
    *[("S2/R051/B04/.zattrs", "scale_factor", v) for v in (1e-3, "1e-4", None, ..., -1e-4, 1e999)],
    *[("S2/R051/B04/.zattrs", "add_offset", v) for v in (0, -0.1)],
    ("S2/R051/B04/.zattrs", "flag_values", [1]),
    ("S2/R051/B04/.zattrs", "_ARRAY_DIMENSIONS", ["time", "x", "y"]),
    *[
        (f"S2/R051/{name}/.zarray", key, value)
        for name in ("time", "x", "y", "spatial_ref", "platform", "products", "clear_fraction")
        for key, value in [
            *[("filters", [PICKLE]), ("compressor", PICKLE), ("compressor", None), ("dtype", "|O")],
            *[("chunks", [2**40]), ("chunks", [1]), ("shape", [10**9]), ("shape", [])],
            ("order", "F"),
        ]
        if not (name == "spatial_ref" and value == [])
    ],
    *[("S2/R051/products/.zarray", "dtype", t) for t in ("<U0", "<U99999", "<U", ">U99", "<S9")],
    ("S2/R051_L1/B04/.zarray", "filters", [PICKLE]),
    ("S2/R051_L1/B04/.zarray", "shape", [2, 100, 100]),
    ("S2/R051_L1/time/.zarray", "dtype", "<f8"),
    *[(".zattrs", "layers", v) for v in (["B04", "../B04"], ["B04", "X"], [], "B04", [4])],
    (".zattrs", "layers", ["B04", "B04"]),
    *[(".zattrs", "layers", v) for v in (["B04", "B04/../x"], [["B04"]], None, ...)],
    *[(".zattrs", "orbits", v) for v in (["51"], [51.0], [0], [144], [51, 51], [True], 51)],
    *[(".zattrs", "orbits", v) for v in ([51, 52], [-51], [[51]], None)],
    *[(".zattrs", "retired", v) for v in ([52], ["51"], [51.0], "x", None, [[51]])],
    *[(".zattrs", "chunks", v) for v in ([2, 16, 17], [2, 16], [0, 1, 1], [10**9] * 3)],
    *[(".zattrs", "shape", v) for v in ([100], [0, 100], [100, 101], [1e2, 1e2], [10**99, 1])],
    *[(".zattrs", "transform", v) for v in ([1] * 5, [1e999] * 6, None, [[1]] * 6)],
    *[(".zattrs", "resampling", v) for v in ("cubic", None, ["nearest"])],
    *[(".zattrs", "synthetic", v) for v in (1, "no", None)],
    *[(".zattrs", "overviews", v) for v in (1, "no", None, False)],
    *[(".zattrs", "manifest", v) for v in ({}, {"51": {}, "52": {}}, {"8": {}}, None, [], 51)],
    *[(".zattrs", key, ...) for key in ("format", "manifest", "retired", "overviews", "synthetic")],
]


@pytest.mark.parametrize(("name", "key", "value"), ODD, ids=lambda v: str(v)[:30])
def test_odd_metadata_are_refused(documents, name, key, value):
    """Any entry that is not the layout's ends in CubeError, which says that nothing was decoded."""
    changed = with_change(documents, name, key, value)
    with pytest.raises(CubeError, match="nothing of it was decoded"):
        check_cube(HERE, changed)


@pytest.mark.parametrize(
    "name",
    [
        "../victim/.zarray",
        "S2/../../x/.zarray",
        "/etc/.zarray",
        "S2//x/.zarray",
        "S2/./x/.zgroup",
        "S2/R051/X01/.zarray",
        "S2/R051/B04/B05/.zarray",
        "S2/R051/more/.zgroup",
        "S2/R052/.zgroup",
        "S2/R051_L7/.zgroup",
        "..\\x/.zarray",
        "S2/R051/B8A/.zarray",
        "else/.zarray",
    ],
)
def test_odd_names_are_refused(documents, name):
    """Names that lead out of the store, further layers, levels and orbits, harmful arrays."""
    more = documents[ARRAY] | {"filters": [PICKLE]} if name.endswith("zarray") else {}
    with pytest.raises(CubeError, match="nothing of it was decoded"):
        check_cube(HERE, documents | {name: more})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_other_value_is_refused_or_means_the_same(documents, data):
    """Whatever is put in place of an entry that decides on decoding is refused by name."""
    arrays = sorted(name for name in documents if name.endswith("/.zarray"))
    name = data.draw(st.sampled_from([*arrays, ".zattrs"]))
    keys = ["chunks", "shape", "dtype", "order", "filters", "compressor", "zarr_format"]
    keys = ["layers", "orbits", "chunks", "shape", "transform"] if name == ".zattrs" else keys
    key, value = data.draw(st.sampled_from(keys)), data.draw(JSON)
    changed = with_change(documents, name, key, value)
    harmless = key == "filters" and not value
    if harmless or json.dumps(changed[name]) == json.dumps(documents[name]):
        check_cube(HERE, changed)
    else:
        with pytest.raises(CubeError, match="nothing of it was decoded"):
            check_cube(HERE, changed)


def lacking(documents: dict) -> list[tuple[str, ...]]:
    """List what metadata may lack: a document, or an entry of one, by the names that lead there."""
    kit = documents[".zattrs"]["s2kit"]
    parts = [".zattrs", ARRAY, "S2/R051/B04/.zattrs", "S2/R051/time/.zarray", "S2/R051/.zattrs"]
    return [
        *[(name,) for name in documents if name != ".zattrs"],
        *[(name, key) for name in parts for key in documents[name] if key != "s2kit"],
        *[(".zattrs", "s2kit", key) for key in kit if key != "digest"],
        *[(".zattrs", "s2kit", "manifest", "51", key) for key in kit["manifest"]["51"]],
        *[(".zattrs", "s2kit", "manifest", "51", "tables", layer) for layer in kit["layers"]],
    ]


def test_whatever_is_lacking_is_named(cube, documents, tmp_path):
    """Metadata with a valid digest that lack something are read without it, or refused by name."""
    store = Path(shutil.copytree(cube, tmp_path / "cube.zarr"))
    whole = (store / ".zmetadata").read_bytes()
    for path in lacking(documents):

        def remove(changed: dict, path: tuple[str, ...] = path) -> None:
            *parents, last = path
            for name in parents:
                changed = changed[name]
            del changed[last]

        (store / ".zmetadata").write_bytes(whole)
        change_metadata(store, remove)
        refused = 0
        for call in (s2kit.open_cube, partial(s2kit.verify, progress=False)):
            try:
                call(store)
            except CubeError:
                refused += 1
        with suppress(CubeError):
            read_state(open_store(store))
        decides = "s2kit" in path or path[0] == ARRAY or path[-1].endswith("/.zarray")
        assert refused == 2 or not decides, path


@pytest.mark.parametrize("name", [ARRAY, "S2/R051/time/.zarray"])
def test_builds_and_readers_ask_first(cube, days, tmp_path, name):
    """open_cube, read_state and build_cube refuse a store before anything is decoded or written."""
    store = tmp_path / "cube.zarr"
    shutil.copytree(cube, store)
    whole = json.loads((store / ".zmetadata").read_text())
    whole["metadata"][name]["filters"] = [PICKLE]
    (store / ".zmetadata").write_text(json.dumps(whole))
    before = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    with pytest.raises(CubeError, match=r"nothing of it was decoded: S2/R051/.* has filters"):
        s2kit.open_cube(store)
    with pytest.raises(CubeError, match="nothing of it was decoded"):
        read_state(open_store(store))
    with pytest.raises(CubeError, match="nothing of it was decoded"):
        s2kit.build_cube(days[:3], store, progress=False)
    after = {p: p.read_bytes() for p in store.rglob("*") if p.is_file() and ".s2kit" not in p.parts}
    assert after == {p: data for p, data in before.items() if ".s2kit" not in p.parts}


# --- cubes of other programs

CODECS = [
    *[None, numcodecs.Blosc(), numcodecs.Zlib(), numcodecs.GZip(), numcodecs.Zstd()],
    *[numcodecs.LZ4(), numcodecs.BZ2(), numcodecs.LZMA()],
]


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_harmless_compressors_are_read(tmp_path, truth, codec):  # noqa: F811
    """A foreign cube in any of the compressors that only compute is read, as it was written."""
    stored = counts(truth)
    for layer in stored.variables.values():
        layer.encoding["compressors"] = codec
    store = write(stored, tmp_path / "cube.zarr")
    found = json.loads((store / ".zmetadata").read_text())["metadata"][ARRAY]["compressor"]
    assert (found and found["id"]) == (codec and codec.codec_id)
    np.testing.assert_allclose(s2kit.open_cube(store).B04, truth.B04, atol=1e-6)


FILTERED = [
    *[numcodecs.Delta("<i2"), numcodecs.FixedScaleOffset(0, 1, "<i2"), numcodecs.Shuffle(2)],
    *[numcodecs.AsType("<i4", "<i2"), numcodecs.Fletcher32(), numcodecs.CRC32()],
    numcodecs.Adler32(),
]


@pytest.mark.parametrize("codec", FILTERED, ids=str)
def test_harmless_filters_pass(codec):
    """Filters that only compute are accepted, and numcodecs has them under these names."""
    check_foreign(HERE, {"S2/R051/B04/.zarray": foreign(filters=[codec.get_config()])})


def foreign(**changes: Any) -> dict[str, Any]:
    """Return the document of a layer of another program."""
    return {
        "chunks": [8, 8, 8],
        "compressor": None,
        "dtype": "<i2",
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "shape": [9, 9, 9],
        "zarr_format": 2,
    } | changes


def test_texts_of_any_length_pass():
    """Coordinates of text, as xarray writes them, are accepted."""
    check_foreign(HERE, {"a/.zarray": foreign(dtype="|O", filters=[{"id": "vlen-utf8"}])})


HARMFUL = [
    *[{"filters": [{"id": name}]} for name in ("pickle", "json2", "msgpack2", "msgpack", "n5")],
    *[{"filters": [{"id": name}]} for name in ("vlen-bytes", "vlen-array", "categorize", "zfpy")],
    *[{"compressor": {"id": name}} for name in ("pickle", "json2", "vlen-utf8", "x", None, 3)],
    {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, PICKLE]},
    {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, {"id": "json2"}]},
    {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "compressor": PICKLE},
    {"dtype": "|O"},
    {"filters": [{"id": "astype", "encode_dtype": "|O", "decode_dtype": "<i2"}]},
    {"filters": [{"id": "delta", "dtype": "<i2", "astype": "|O"}]},
    {"filters": {"id": "pickle"}},
    {"filters": ["pickle"]},
    {"chunks": [10**6, 10**4, 10**3]},
    {"chunks": [2**29, 1, 2]},
    {"chunks": [8, 8]},
    {"chunks": [0, 8, 8]},
    {"dtype": "<U999999999"},
    {"dtype": "|V8"},
    {"dtype": "i2,O"},
    {"dtype": [["a", "<i2"], ["b", "|O"]]},
    {"dtype": "no"},
    {"order": "A"},
    {"zarr_format": 3},
    {"shape": [9, 9, -9]},
    {"dimension_separator": "../"},
]


@pytest.mark.parametrize("changes", HARMFUL, ids=str)
@pytest.mark.parametrize("name", ["S2/R051/B04", "S2/R051/time", "elsewhere"])
def test_harmful_codecs_are_refused(changes, name):
    """Codecs that may run code, objects and absurd chunks are refused wherever they stand."""
    with pytest.raises(CubeError, match=r"nothing of it was decoded.*Accepted are"):
        check_foreign(HERE, {f"{name}/.zarray": foreign(**changes)})


class _Attack:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("filters", [[PICKLE], [{"id": "vlen-utf8"}, PICKLE], [PICKLE, PICKLE]])
@pytest.mark.parametrize("name", ["time", "platform", "B04"])
def test_pickles_are_not_opened(tmp_path, truth, monkeypatch, filters, name):  # noqa: F811
    """A pickle in a coordinate or layer is not run, even where the libraries allow it."""
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    told = counts(truth).assign_coords(platform=("time", np.array(["a"] * len(truth.time), "O")))
    store = write(told, tmp_path / "cube.zarr")
    whole = json.loads((store / ".zmetadata").read_text())
    document = whole["metadata"][f"S2/R051/{name}/.zarray"]
    document |= {"filters": filters, "compressor": None, "dtype": "|O", "fill_value": None}
    (store / ".zmetadata").write_text(json.dumps(whole))
    for chunk in (store / "S2/R051" / name).iterdir():
        if not chunk.name.startswith(".z"):
            chunk.write_bytes(pickle.dumps(_Attack(f"touch {tmp_path / 'run'}")))
    with (
        zarr.config.set({"array.allow_unsafe_pickle_decode": True}),
        pytest.raises(CubeError, match="nothing of it was decoded"),
    ):
        s2kit.open_cube(store).load()
    assert not (tmp_path / "run").exists()
