"""No data, whichever way it is declared, and packed numbers are the same to every function."""

import itertools
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import geopandas as gpd
import numpy as np
import odc.geo.xr  # noqa: F401  (registers `.odc`)
import pandas as pd
import pytest
import rasterio
import rioxarray
import shapely
import xarray as xr
from cubes import CRS, NORTH, PIXEL, WEST, every, in_memory, make_cube, random_layers
from hypothesis import given, settings
from hypothesis import strategies as st

import s2kit
from s2kit.analysis import samples
from s2kit.cube.nodata import classes, declared_nodata, has_data, physical
from s2kit.errors import InvalidInputError

EXAMPLES = settings(max_examples=12, deadline=None, derandomize=True)
SHAPE = (14, 5, 6)
TIMES = every(9, SHAPE[0])
MARK = -9999

FIELD = gpd.GeoDataFrame(
    geometry=[shapely.box(WEST + 5, NORTH - 45, WEST + 47, NORTH - 3)], crs=CRS
)


def by_attribute(name: str, form: Callable[[float], Any] = float) -> Callable:
    """Declare no data by an attribute."""
    return lambda layer, mark: layer.assign_attrs({name: form(mark)})


def by_set_nodata(layer: xr.DataArray, mark: float) -> xr.DataArray:
    """Declare no data beside the attributes, as ``rio.set_nodata`` does."""
    return layer.rio.set_nodata(mark, inplace=False)


def by_odc(layer: xr.DataArray, mark: float) -> xr.DataArray:
    """Declare no data by odc-geo."""
    layer = layer.copy()
    layer.odc.nodata = mark
    return layer


def by_encoding(layer: xr.DataArray, mark: float) -> xr.DataArray:
    """Declare no data of whole numbers in their encoding."""
    layer = layer.copy()
    layer.encoding = {"_FillValue": layer.dtype.type(mark)}
    return layer


SPELLINGS: dict[str, Callable[[xr.DataArray, float], xr.DataArray]] = {
    **{
        name: by_attribute(name) for name in ("_FillValue", "nodata", "missing_value", "fill_value")
    },
    "nodatavals": by_attribute("nodatavals", lambda mark: (mark,)),
    "several missing values": by_attribute("missing_value", lambda mark: np.array([-7777.0, mark])),
    "text": by_attribute("nodata", str),
    "a number of numpy": by_attribute("_FillValue", np.float64),
    "an array of numpy": by_attribute("_FillValue", lambda mark: np.array([mark], "f4")),
    "rio.write_nodata": lambda layer, mark: layer.rio.write_nodata(mark),
    "rio.set_nodata": by_set_nodata,
    "odc.nodata": by_odc,
}
"""How no data is declared, in floats and whole numbers."""

PACKINGS = {"float32": None, "float64": None, "int16": (1e-4, 0.0), "int32": (1e-4, -0.1)}


def dirty(layer: xr.DataArray, kind: str, spell: Callable) -> xr.DataArray:
    """Store a clean layer as another program would: marked, and packed if it is whole numbers."""
    packing = PACKINGS[kind]
    if packing is None:
        return spell(layer.fillna(MARK).astype(kind), MARK)
    scale, offset = packing
    counts = ((layer - offset) / scale).round().fillna(MARK).astype(kind)
    attrs = {"scale_factor": scale} | ({"add_offset": offset} if offset else {})
    return spell(counts.assign_attrs(attrs), MARK)


ON_CUBES: dict[str, Callable[[xr.Dataset], Any]] = {
    "index": lambda cube: s2kit.index(cube, "NDVI"),
    "time_statistics": lambda cube: s2kit.time_statistics(cube, "NDVI", percentiles=[20, 50]),
    "time_statistics of a layer": lambda cube: s2kit.time_statistics(cube, "B08"),
    "median": lambda cube: s2kit.composite(cube),
    "geomedian": lambda cube: s2kit.composite(cube, method="geomedian"),
    "medoid": lambda cube: s2kit.composite(cube, method="medoid"),
    "max_ndvi": lambda cube: s2kit.composite(cube, method="max_ndvi"),
    "best_pixel": lambda cube: s2kit.composite(cube, method="best_pixel"),
    "field_series": lambda cube: s2kit.field_series(cube, FIELD),
    "seasons": lambda cube: s2kit.make_features(cube, "seasons"),
    "statistics": lambda cube: s2kit.make_features(cube, "statistics"),
    "series": lambda cube: s2kit.make_features(cube, "series", step=20),
    "clear_mask": lambda cube: s2kit.clear_mask(cube, max_cloud=40),
    "clear_share": s2kit.clear_share,
    "mask_clouds": lambda cube: s2kit.index(s2kit.mask_clouds(cube), "NDVI"),
}
"""Public functions that take a cube."""

ON_MAPS: dict[str, Callable[[xr.DataArray], Any]] = {
    "field_statistics": lambda layer: s2kit.field_statistics(layer, FIELD).drop(columns="geometry"),
    "align_raster": lambda layer: s2kit.align_raster(layer, grid(), resampling="average"),
}
"""Public functions that take a map."""

ON_SERIES: dict[str, Callable[[xr.DataArray], Any]] = {
    "regular_series": lambda series: s2kit.regular_series(series, max_gap=40),
    "linear": lambda series: s2kit.regular_series(series, method="linear"),
    "season": s2kit.season,
}
"""Public functions that take a series."""


def grid() -> xr.Dataset:
    """Return a cube of pixels twice as large, for maps to be aligned with."""
    y = NORTH - 20 * (np.arange(2) + 0.5)
    x = WEST + 20 * (np.arange(3) + 0.5)
    layer = (("y", "x"), np.zeros((2, 3), "f4"))
    return xr.Dataset({"B04": layer}, {"y": y, "x": x}).rio.write_crs(CRS)


def clean(seed: int) -> xr.Dataset:
    """Make up a cube as `open_cube` gives it, with probabilities of cloud."""
    cube = in_memory(random_layers(seed, SHAPE), TIMES)
    cloud = np.random.default_rng(seed).integers(0, 101, SHAPE).astype("f4")
    return cube.assign(CLD=(("time", "y", "x"), np.where(cube.SCL == 0, np.nan, cloud)))


def assert_alike(found: Any, expected: Any) -> None:
    """Two results are the same, to the rounding of float32."""
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(
            pd.DataFrame(found), pd.DataFrame(expected), check_dtype=False, rtol=1e-5, atol=2e-6
        )
        return
    layers = expected.data_vars if isinstance(expected, xr.Dataset) else {"": expected}
    for name in layers:
        got, want = (one[name] if name else one for one in (found, expected))
        if want.dtype.kind == "M":
            np.testing.assert_array_equal(got, want, name)
        else:
            np.testing.assert_allclose(
                got.astype("f8"), want.astype("f8"), rtol=1e-5, atol=2e-6, err_msg=str(name)
            )


@pytest.mark.parametrize("function", ON_CUBES)
@EXAMPLES
@given(data=st.data())
def test_of_cubes(function, data):
    """Each layer declared and packed in its own way gives what clean floats give."""
    cube = clean(data.draw(st.integers(0, 1000)))
    layers, kept = {}, sorted(set(SPELLINGS) - {"rio.set_nodata"})  # no Dataset keeps that one
    for name in ("B04", "B08"):
        kind = data.draw(st.sampled_from(sorted(PACKINGS)))
        spell = SPELLINGS[data.draw(st.sampled_from(kept))]
        layers[name] = dirty(cube[name], kind, spell)
    blocks = data.draw(st.sampled_from([None, {"time": 5, "y": 3, "x": 4}]))
    changed = cube.assign(layers).assign(stranger=cube.B04.astype("i4"), SNW=cube.SCL)
    changed = changed.chunk(blocks) if blocks else changed
    assert_alike(ON_CUBES[function](changed), ON_CUBES[function](cube))


SCL_FORMS: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "uint8": lambda scl: scl,
    "255 declared": lambda scl: scl.where(scl != 0, np.uint8(255)).assign_attrs(_FillValue=255),
    "255 by itself": lambda scl: scl.where(scl != 0, np.uint8(255)),
    "both": lambda scl: scl.where((scl != 0) | (scl.x > WEST + 30), np.uint8(255)),
    "99 declared": lambda scl: scl.where(scl != 0, np.uint8(99)).assign_attrs(nodata=99),
    "int64": lambda scl: scl.astype("i8"),
    "int16, -1": lambda scl: scl.astype("i2").where(scl != 0, np.int16(-1)).assign_attrs(nodata=-1),
    "float32 with NaN": lambda scl: scl.astype("f4").where(scl != 0),
    "float64, -9999": lambda scl: scl.astype("f8").where(scl != 0, MARK).assign_attrs(nodata=MARK),
}
"""How a classification may come: types, and numbers that are no class."""


@pytest.mark.parametrize("form", SCL_FORMS)
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "function", ["clear_mask", "clear_share", "time_statistics", "median", "field_series", "series"]
)
def test_of_classes(form, lazy, function):
    """For any type of classes, and any value for none, the same is clear."""
    cube = clean(3)
    changed = cube.assign(SCL=SCL_FORMS[form](cube.SCL))
    changed = changed.chunk(time=4, y=2) if lazy else changed
    assert_alike(ON_CUBES[function](changed), ON_CUBES[function](cube))


CLD_FORMS: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "uint8, 255": lambda cld: cld.fillna(255).astype("u1"),
    "uint8, 200 declared": lambda cld: cld.fillna(200).astype("u1").assign_attrs(_FillValue=200),
    "int16": lambda cld: cld.fillna(255).astype("i2"),
    "share with a scale": lambda cld: (
        (cld * 2).fillna(-1).astype("i2").assign_attrs(scale_factor=0.5, nodata=-1)
    ),
}


@pytest.mark.parametrize("form", CLD_FORMS)
def test_of_probabilities(form):
    """Probabilities in bytes are %, with 255 for no data."""
    cube = clean(4)
    cube["CLD"] = (cube.CLD // 2) * 2
    changed = cube.assign(CLD=CLD_FORMS[form](cube.CLD))
    assert_alike(ON_CUBES["clear_mask"](changed), ON_CUBES["clear_mask"](cube))
    assert_alike(s2kit.time_statistics(changed, "CLD"), s2kit.time_statistics(cube, "CLD"))


@pytest.mark.parametrize("function", ON_MAPS)
@pytest.mark.parametrize("spelling", [*SPELLINGS, "encoding"])
@pytest.mark.parametrize("kind", [*PACKINGS, "whole"])
def test_of_maps(function, spelling, kind):
    """A map declared and packed in any way is what it is with NaN."""
    heights = np.random.default_rng(5).integers(-50, 3000, SHAPE[1:]).astype("f8")
    heights[np.random.default_rng(6).random(heights.shape) < 0.3] = np.nan
    plain = grid_of(heights)
    spell = SPELLINGS.get(spelling, by_encoding)
    if kind == "whole":
        changed = spell(plain.fillna(MARK).astype("i4"), MARK)
    elif spelling == "encoding" and PACKINGS[kind] is None:
        pytest.skip("the encoding of floats says how they are to be stored")
    else:
        plain = plain / 1000
        changed = dirty(plain, kind, spell)
    assert_alike(ON_MAPS[function](changed), ON_MAPS[function](plain))


def grid_of(values: np.ndarray) -> xr.DataArray:
    """Make a map with these values."""
    y = NORTH - PIXEL * (np.arange(values.shape[0]) + 0.5)
    x = WEST + PIXEL * (np.arange(values.shape[1]) + 0.5)
    return xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), "map").rio.write_crs(CRS)


@pytest.mark.parametrize("function", ON_SERIES)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", PACKINGS)
def test_of_series(function, spelling, kind):
    """A series declared and packed in any way is what it is with NaN."""
    cube = clean(7)
    series = s2kit.index(s2kit.mask_clouds(cube), "NDVI").fillna(np.nan)
    series = (series * 1e4).round() / 1e4  # as packed numbers hold it
    assert_alike(
        ON_SERIES[function](dirty(series, kind, SPELLINGS[spelling])), ON_SERIES[function](series)
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_of_labels(spelling):
    """A map of labels with any no data gives the same samples."""
    cube = clean(8)
    features = s2kit.make_features(cube, "statistics").fillna(0)
    labels = grid_of(np.random.default_rng(0).integers(0, 4, SHAPE[1:])).astype("i2")
    changed = SPELLINGS[spelling](labels.where(labels != 0, np.int16(MARK)), MARK)
    with patch.object(samples, "_SQUARE", 30):
        found, expected = (
            s2kit.sample_pixels(features, one, per_field=3) for one in (changed, labels)
        )
    assert_alike(found, expected)


# --- the module itself


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "i8"])
def test_marks_are_found(spelling, dtype):
    """Each spelling is found in each type, and only where it is meant."""
    layer = SPELLINGS[spelling](grid_of(np.array([[1, MARK], [3, 4]])).astype(dtype), MARK)
    assert MARK in declared_nodata(layer)
    assert has_data(layer).values.tolist() == [[True, False], [True, True]]
    found = physical(layer)
    assert found.dtype == np.result_type(dtype, "f4")
    np.testing.assert_array_equal(found, [[1, np.nan], [3, 4]])


def test_clean_layers_are_left_as_they_are():
    """Where nothing is to be decoded the very same layer comes back, unread."""
    cube = clean(1)
    for layer in (cube.B04, cube.B04.astype("f8"), cube.B04.assign_attrs(nodata=np.nan)):
        assert physical(layer) is layer
    for attrs in ({}, {"nodata": 0}, {"_FillValue": 0}):
        layer = cube.SCL.assign_attrs(attrs)
        assert classes(layer) is layer
    counts = cube.SCL.rename("number")
    assert physical(counts) is counts


def test_nothing_is_read_before_it_is_needed():
    """Decoding a lazy layer is lazy."""

    def fail(block):
        raise AssertionError("was read")

    layer = clean(1).B04.chunk(time=2).assign_attrs(nodata=MARK)
    layer = layer.copy(data=layer.data.map_blocks(fail, dtype="f4", meta=np.empty((0, 0, 0), "f4")))
    assert physical(layer).chunks == has_data(layer).chunks == layer.chunks
    found = s2kit.time_statistics(clean(1).chunk(time=2).assign(B04=layer), "NDVI")
    assert all(one.chunks for one in found.data_vars.values())


@pytest.mark.parametrize("mark", [-3.4028235e38, -3.4028234663852886e38, 1e20, -32768])
def test_marks_that_float32_rounds(mark):
    """A mark is compared in the type of the layer."""
    layer = grid_of(np.array([[1, mark], [3, 4]])).astype("f4").assign_attrs(_FillValue=mark)
    np.testing.assert_array_equal(physical(layer), [[1, np.nan], [3, 4]])


@pytest.mark.parametrize("attrs", [{"nodata": "none"}, {"_FillValue": None}, {"nodata": [[]]}])
def test_what_declares_nothing(attrs):
    """An attribute that is no number declares nothing."""
    layer = grid_of(np.array([[1, 2], [3, 4]])).astype("f4").assign_attrs(attrs)
    assert declared_nodata(layer) == ()


def test_mark_that_no_pixel_can_have():
    """-9999 of bytes is no error, and no pixel."""
    layer = grid_of(np.array([[1, 2], [3, 4]])).astype("u1").assign_attrs(_FillValue=MARK)
    assert has_data(layer).all()


@pytest.mark.parametrize(
    "attrs", [{"scale_factor": "x"}, {"add_offset": np.nan}, {"scale_factor": [1, 2]}]
)
def test_packing_that_is_no_number(attrs):
    """It is refused by name, not left out."""
    layer = grid_of(np.array([[1, 2], [3, 4]])).assign_attrs(attrs)
    with pytest.raises(InvalidInputError, match=next(iter(attrs))):
        physical(layer)


def test_packing_of_floats(tmp_path):
    """Floats as rioxarray reads them are unpacked; of calculated ones it is not known: refused."""
    place = {
        "driver": "GTiff",
        "width": 2,
        "height": 2,
        "count": 1,
        "dtype": "uint16",
        "nodata": 0,
        "crs": 28992,
        "transform": (10, 0, 90_000, 0, -10, 450_000),
    }
    with rasterio.open(tmp_path / "a.tif", "w", **place) as file:
        file.write(np.array([[[1500, 0], [3000, 1000]]], "u2"))
        file.scales, file.offsets = [1e-4], [-0.1]
    read = rioxarray.open_rasterio(tmp_path / "a.tif", masked=True).squeeze()
    np.testing.assert_allclose(physical(read), [[0.05, np.nan], [0.2, 0]], atol=1e-7)
    raw = rioxarray.open_rasterio(tmp_path / "a.tif").squeeze()
    for floats in (raw.where(raw != 0), raw * raw.scale_factor + raw.add_offset, read * 1):
        floats = floats.assign_attrs(raw.attrs)
        with pytest.raises(InvalidInputError, match=r"scale_factor=0.0001, add_offset=-0.1"):
            physical(floats)
        assert physical(floats.drop_attrs()) is not None


@pytest.mark.parametrize(
    "name",
    ["NODATA", "NoData", "no_data", "nodata_value", "NODATA_VALUES", "FillValue", "_fillvalue"],
)
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_names_of_no_data(name, dtype):
    """Programs write the name in small or large letters, with underscores or without."""
    layer = grid_of(np.array([[1, 2], [3, -9999]], dtype)).assign_attrs({name: -9999})
    np.testing.assert_array_equal(has_data(layer), layer > 0)
    assert name not in physical(layer).attrs


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">f8", "<f4", ">i2"])
def test_numbers_of_other_machines(dtype):
    """Half precision, and numbers in the other order of bytes, are read like any others."""
    cube = clean(6)
    strange = cube.assign({n: layer.astype(dtype) for n, layer in cube.items() if n == "B04"})
    if dtype == ">i2":
        strange = cube.assign(B04=(cube.B04.fillna(0) * 1e4).round().astype(dtype))
        strange["B04"].attrs |= {"scale_factor": 1e-4, "nodata": 0}
    tolerance = {"rtol": 1e-2 if dtype == "f2" else 1e-4, "atol": 1e-3}
    for function in (s2kit.composite, lambda c: s2kit.regular_series(s2kit.index(c, "NDVI"))):
        xr.testing.assert_allclose(function(strange), function(cube), **tolerance)


@pytest.mark.parametrize(
    ("dtype", "mark"), [("i8", 2**63 - 1), ("u8", 2**64 - 1), ("i8", -(2**63))]
)
def test_marks_of_large_numbers(dtype, mark):
    """A mark that no float64 holds is compared as a whole number."""
    layer = grid_of(np.array([[1, 2], [3, mark]], dtype)).assign_attrs(_FillValue=mark)
    np.testing.assert_array_equal(has_data(layer), [[True, True], [True, False]])


@pytest.mark.parametrize("name", ["B04", "B8A"])
def test_reflectance_in_unsigned_numbers(name):
    """Where nothing is declared, 0 is no data, as in Level-2A products; declared, another is."""
    layer = grid_of(np.array([[0, 1500], [65535, 1]], "u2")).rename(name)
    np.testing.assert_array_equal(has_data(layer), layer > 0)
    np.testing.assert_array_equal(has_data(layer.assign_attrs(nodata=65535)), layer < 65535)


def test_what_was_made_of_classes_has_zeros():
    """A share of a class is 0 where it is not, though xarray keeps the attributes of classes."""
    attrs = {"nodata": 0, "flag_values": list(range(12)), "flag_meanings": "a b"}
    scl = clean(2).SCL.assign_attrs(attrs)
    water = (scl == 6).astype("f4").mean("time")
    assert has_data(water).all()
    found = s2kit.field_statistics(water.rename("water"), FIELD)
    assert float(found["min"].iloc[0]) == 0
    assert has_data(scl == 6).all()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("value", [6.5, 3.999, 0.5, 11.2])
def test_blended_classes_are_refused(lazy, value):
    """A class between classes is named, with advice that does not turn cloud into water."""
    cube = clean(2)
    scl = cube.SCL.astype("f4").copy()
    scl[3, 2, 2] = value
    changed = cube.assign(SCL=scl)
    changed = changed.chunk(time=4) if lazy else changed
    for name in ("clear_mask", "clear_share", "median", "time_statistics"):
        with pytest.raises(InvalidInputError, match=f"SCL holds {value:g}, which is no class") as e:
            ON_CUBES[name](changed).compute()
        assert "fillna" not in str(e.value)
        assert "astype" not in str(e.value)


def test_only_what_is_used_is_judged():
    """Layers that cannot be used are no matter where they are not used."""
    cube = clean(1)
    odd = cube.assign(
        B02=cube.B04.fillna(0).astype("i2"),
        SNW=cube.SCL.astype("U2"),
        WVP=cube.SCL.astype("u2"),
        words=cube.SCL.astype("U2"),
    )
    assert_alike(s2kit.index(odd, "NDVI"), s2kit.index(cube, "NDVI"))
    assert_alike(s2kit.time_statistics(odd, "B08"), s2kit.time_statistics(cube, "B08"))
    assert_alike(s2kit.clear_mask(odd), s2kit.clear_mask(cube))
    assert_alike(s2kit.clear_share(odd), s2kit.clear_share(cube))
    assert_alike(s2kit.field_series(odd, FIELD), s2kit.field_series(cube, FIELD))
    with pytest.raises(InvalidInputError, match="B02 is int16 without a scale"):
        s2kit.composite(odd)
    with pytest.raises(InvalidInputError, match="WVP is uint16 without a scale"):
        s2kit.time_statistics(odd, "WVP")


def test_blank_of_masked_layers():
    """What is not clear is no data in each layer's own way."""
    cube = clean(1)
    cube = cube.assign(
        declared=cube.B04.fillna(-1).astype("i4").assign_attrs(nodata=-1),
        whole=cube.SCL.astype("i4"),
        flag=cube.SCL == 4,
        when=xr.zeros_like(cube.SCL, "M8[ns]"),
        bytes255=cube.SCL.assign_attrs(_FillValue=255),
    )
    clear = s2kit.clear_mask(cube)
    masked = s2kit.mask_clouds(cube)
    for name in ("B04", "CLD", "SCL", "declared", "whole", "when"):
        assert not has_data_or_time(masked[name]).where(~clear, False).any(), name
        np.testing.assert_array_equal(
            masked[name].values[clear.values], cube[name].values[clear.values]
        )
    assert masked.declared.dtype == "i4"
    assert masked.SCL.dtype == "u1"
    assert (masked.bytes255.values[~clear.values] == 255).all()
    assert not masked.flag.values[~clear.values].any()


def has_data_or_time(layer: xr.DataArray) -> xr.DataArray:
    """Return where a layer has data; dates have NaT."""
    return layer.notnull() if layer.dtype.kind == "M" else has_data(layer)


# --- other libraries


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> xr.Dataset:
    """Open a cube whose layers all have holes."""
    layers = random_layers(9, (3, 40, 50))
    rng = np.random.default_rng(1)
    layers["CLD"] = np.where(layers["SCL"] == 0, 255, rng.integers(0, 101, (3, 40, 50))).astype(
        "u1"
    )
    return make_cube(tmp_path_factory.mktemp("opened") / "c", layers, every(5, 3))


def check_reprojected(found: xr.Dataset, cube: xr.Dataset) -> None:
    """Beyond the cube there is no data, and nowhere a value that was not there."""
    for name, layer in cube.data_vars.items():
        if name == "SCL":
            values = classes(found.SCL).values
            assert set(np.unique(values)) <= set(np.unique(layer)) | {0}
            assert (values == 0).any()
            continue
        values = physical(found[name]).values
        assert np.isnan(values).any()
        assert np.nanmin(values) >= float(layer.min()) - 1e-6
        assert np.nanmax(values) <= float(layer.max()) + 1e-6
    share = s2kit.clear_share(found).values
    np.testing.assert_allclose(share, s2kit.clear_share(cube), atol=0.05)


def test_odc_and_rioxarray_know_no_data(opened):
    """`odc.reproject` and `rio.reproject` fill with no data; so does what follows from them."""
    cube = opened.load()
    check_reprojected(cube.odc.reproject("EPSG:32631"), cube)
    check_reprojected(cube.rio.reproject("EPSG:32631"), cube)


@pytest.mark.parametrize("form", ["netcdf", "zarr 2", "zarr 3"])
@pytest.mark.parametrize("masked", [True, False])
def test_copies_come_back(opened, tmp_path, form, masked):
    """A copy by plain xarray, read decoded or not, gives the same as the cube."""
    if form == "netcdf":
        opened.to_netcdf(tmp_path / "c.nc")
        again = xr.open_dataset(tmp_path / "c.nc", mask_and_scale=masked, decode_coords="all")
    else:
        opened.to_zarr(tmp_path / "c.zarr", zarr_format=int(form[-1]))
        again = xr.open_zarr(tmp_path / "c.zarr", mask_and_scale=masked, decode_coords="all")
    for name in ("time_statistics", "median", "clear_share"):
        assert_alike(ON_CUBES[name](again), ON_CUBES[name](opened))
    assert_alike(s2kit.clear_mask(again, max_cloud=40), s2kit.clear_mask(opened, max_cloud=40))


def test_plain_xarray_is_welcome(opened, tmp_path):
    """The store opened without the kit, decoded or not, gives the same."""
    layers = random_layers(9, (8, 20, 30))
    cube = make_cube(tmp_path / "c.zarr", layers, every(5, 8))
    for masked in (True, False):
        plain = xr.open_zarr(
            tmp_path / "c.zarr", group="S2/R051", mask_and_scale=masked, decode_coords="all"
        )
        for name in ("index", "time_statistics", "median", "clear_share", "field_series"):
            assert_alike(ON_CUBES[name](plain), ON_CUBES[name](cube))


def test_counts_whose_scale_is_not_stated(tmp_path):
    """Counts of reflectance without a scale are refused, with how to state it."""
    make_cube(tmp_path / "c.zarr", random_layers(1, (9, 30, 40)), every(5, 9))
    raw = xr.open_zarr(tmp_path / "c.zarr", group="S2/R051", mask_and_scale=False)
    for name in ("B04", "B08"):
        del raw[name].attrs["scale_factor"]
    for name in ("index", "time_statistics", "median"):
        with pytest.raises(InvalidInputError, match=r"B0[48] is int16 without a scale"):
            ON_CUBES[name](raw)


EMPTY = {
    "y the wrong way": lambda cube: cube.sel(y=slice(float(cube.y.min()), float(cube.y.max()))),
    "x the wrong way": lambda cube: cube.sel(x=slice(float(cube.x.max()), float(cube.x.min()))),
    "beside the cube": lambda cube: cube.sel(y=slice(5, 4), x=slice(2, 3)),
}


@pytest.mark.parametrize(("kind", "function"), list(itertools.product(EMPTY, ON_CUBES)))
def test_empty_selections_are_named(kind, function):
    """A selection without pixels is an error that says how y and x run."""
    with pytest.raises(InvalidInputError, match="from north to south"):
        ON_CUBES[function](EMPTY[kind](clean(1)))


@pytest.mark.parametrize("viewer", ["TimeQuery", "NdviStatistics"])
@pytest.mark.parametrize("spelling", ["_FillValue", "nodata", "odc.nodata"])
def test_viewers_ask_too(viewer, spelling):
    """A viewer reads the layers that it shows in physical values."""
    cube = clean(1)
    changed = cube.assign({n: dirty(cube[n], "int16", SPELLINGS[spelling]) for n in ("B04", "B08")})
    shown = getattr(s2kit.viewers, viewer)(changed)
    expected = getattr(s2kit.viewers, viewer)(cube)
    for one, other in zip(shown.levels.cubes, expected.levels.cubes, strict=True):
        np.testing.assert_allclose(one.B04, other.B04, atol=1e-6)
    with pytest.raises(InvalidInputError, match="from north to south"):
        getattr(s2kit.viewers, viewer)(EMPTY["y the wrong way"](cube))
