"""The radiometric offset: four ways to state it, two of them untrue, give the same reflectance."""

import warnings
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from small_scenes import (
    AOI,
    CRS,
    FIRST,
    digital,
    earth_search,
    ground,
    make_scene,
    product_name,
    save_items,
    write_safe,
)

import s2kit
from s2kit.cube.offset import judge
from s2kit.errors import SceneWarning

VISIBLE = ("B02", "B03", "B04")

INNER = slice(10, 110)
"""Rows and columns of a scene that the region takes, pixel for pixel."""

CASES = {
    "raw": (-0.1, 1000),
    "applied": (0.0, 0),
    "says applied": (0.0, 1000),
    "says raw": (-0.1, 0),
}
"""Offset that the metadata ask for, and what the pixels really carry, in DN."""

LIES = ["says applied", "says raw"]


def positive(seed: int) -> dict[str, np.ndarray]:
    """Make up ground without negative reflectance, which pixels without offset cannot hold."""
    return {name: np.maximum(values, 1) for name, values in ground(seed).items()}


def name_of(n: int, baseline: str = "04.00"):
    """Name the product of the n-th overpass."""
    return product_name(FIRST + timedelta(days=5 * n), baseline=baseline)


def build(items, store):
    """Build on the scenes' own grid, so that every stored value is one of a scene."""
    return s2kit.build_cube(
        items, store, AOI, CRS, resampling="nearest", chunks=(2, 64, 64), progress=False
    )


def stored(store) -> xr.Dataset:
    """Open a cube without the kit, values as stored."""
    return xr.open_zarr(store, group="S2/R051", mask_and_scale=False)


def check_same_ground(items, store, lying: set[str], seed: int = 0) -> None:
    """All steps hold the same ground, and the lying scenes are reported in every way."""
    with pytest.warns(SceneWarning, match=f"corrected: {len(lying)}"):
        report = build(items, store)
    assert set(report.corrected) == lying
    assert not report.failed
    for reason in report.corrected.values():
        assert "-0.1" in reason and "metadata" in reason
    cube = stored(store)
    expected = positive(seed)
    for step in range(cube.sizes["time"]):
        for band in ("B02", "B04", "B08"):
            np.testing.assert_array_equal(cube[band][step], expected[band][INNER, INNER])
        products = str(cube.products.values[step])
        assert str(cube.corrected.values[step]) == (products if products in lying else "")


def as_stated(items, store) -> s2kit.BuildReport:
    """Build without a warning, and check that every scene is shifted as its metadata ask."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        report = build(items, store)
    assert not report.corrected
    cube = stored(store)
    for step, item in enumerate(sorted(items, key=lambda one: one.datetime)):
        for band in ("B02", "B04", "B08"):
            asset = item.assets[band]
            with rasterio.open(asset.href) as dataset:
                dn = dataset.read(1)[INNER, INNER].astype(int)
            shift = round(asset.extra_fields["raster:offset"] * 10_000)
            np.testing.assert_array_equal(cube[band][step], np.where(dn, dn + shift, -9999))
    assert cube.corrected.values.tolist() == [""] * len(items)
    return report


def earth_search_items(tmp_path, cases: dict, *, c1: bool):
    """Find one scene of an old baseline, and one of each case, as Earth Search gives them."""
    features = [earth_search(tmp_path, name_of(0, "03.01"), digital(positive(0), 0), applied=None)]
    for n, (stated, shift) in enumerate(cases.values(), 1):
        applied = None if c1 else stated == 0
        dn = digital(positive(0), shift)
        feature = earth_search(tmp_path, name_of(n), dn, applied=applied, c1=c1)
        for asset in feature["assets"].values() if c1 else ():
            if "offset" in asset["raster:bands"][0]:
                asset["raster:bands"][0]["offset"] = stated
        features.append(feature)
    items = s2kit.find_scenes(save_items(tmp_path / "items.json", features), AOI, "2021", "2022")
    stated = [stated for stated, _ in cases.values()]
    assert [i.assets["B04"].extra_fields["raster:offset"] for i in items][1:] == stated
    return items


def test_flag_of_earth_search(tmp_path):
    """Its flag is known to be untrue at times: the pixels of the tile decide, and it is told."""
    items = earth_search_items(tmp_path, CASES, c1=False)
    lying = {str(name_of(list(CASES).index(case) + 1)) for case in LIES}
    check_same_ground(items, tmp_path / "cube.zarr", lying)


def test_what_is_declared_is_not_overruled(tmp_path):
    """Of any other copy, as of Collection 1, a doubt is reported and nothing is shifted."""
    items = earth_search_items(tmp_path, CASES, c1=True)
    report = as_stated(items, tmp_path / "cube.zarr")
    lying = {str(name_of(list(CASES).index(case) + 1)) for case in LIES}
    assert set(report.notes) == lying
    for note in report.notes.values():
        assert "nothing was changed" in note
    assert "odd, in 1 scenes, such as" in str(report)


SAFE_CASES = {
    "2021-06-04": ("03.01", None, 0, 0),
    "2021-06-09": ("04.00", -1000, 1000, -0.1),
    "2021-06-14": ("05.09", 0, 0, 0),
    "2021-06-19": ("99.99", None, 0, 0),
    "2021-06-24": ("99.99", None, 1000, 0),
    "2021-06-29": ("04.00", 0, 1000, 0),
    "2021-07-04": ("05.09", -1000, 0, -0.1),
}
"""Baseline, BOA_ADD_OFFSET in the XML or none, what the pixels carry, and the offset applied.

99.99 is Sen2Cor at home; there an XML without BOA_ADD_OFFSET is a statement: nothing to apply."""


def test_safe(tmp_path):
    """A product's own XML is final: nobody stood between, and its pixels are not asked."""
    for day, (baseline, xml, shift, _) in SAFE_CASES.items():
        dn = digital(positive(0), shift)
        write_safe(tmp_path / "safe", date.fromisoformat(day), dn, baseline=baseline, xml=xml)
    items = s2kit.find_scenes(tmp_path / "safe", AOI, "2021", "2022")
    found = [item.assets["B04"].extra_fields["raster:offset"] for item in items]
    assert found == [offset for *_, offset in SAFE_CASES.values()]
    assert not as_stated(items, tmp_path / "cube.zarr").notes


def test_safe_that_does_not_say(tmp_path):
    """From baseline 04.00 on an XML without BOA_ADD_OFFSET is no statement: refused, with why."""
    dn = digital(positive(0), 1000)
    write_safe(tmp_path / "safe", date(2022, 2, 4), dn, baseline="04.00", xml=None)
    with pytest.warns(SceneWarning, match="BOA_ADD_OFFSET"):
        found = s2kit.find_scenes(tmp_path / "safe", AOI, "2022", "2022")
    assert len(found) == 0


def test_true_metadata_are_not_warned_of(tmp_path):
    """Scenes that tell the truth, before and after 04.00, give no warning and no correction."""
    items = [
        make_scene(tmp_path, name_of(0, "03.01"), digital(positive(0), 0)),
        make_scene(tmp_path, name_of(1), digital(positive(0), 1000), offset=-0.1),
        make_scene(tmp_path, name_of(2), digital(positive(0), 0), offset=0.0),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        report = build(items, tmp_path / "cube.zarr")
    assert not report.corrected
    assert stored(tmp_path / "cube.zarr").corrected.values.tolist() == [""] * 3


def over(layers: dict, **values: int) -> dict[str, np.ndarray]:
    """Make ground of one class with a fixed stored value in each band, and a little noise."""
    noise = np.random.default_rng(0).integers(-20, 20, (128, 128))
    return {name: value + noise for name, value in values.items()} | layers


GROUNDS = {
    "turbid water": (6, {"B02": 1080, "B03": 1300, "B04": 1500, "B08": 900}),
    "glint": (6, {"B02": 1300, "B03": 1300, "B04": 1300, "B08": 1300}),
    "haze": (4, {"B02": 1200, "B03": 1350, "B04": 1150, "B08": 3200}),
    "bright sand": (5, {"B02": 1800, "B03": 2400, "B04": 3000, "B08": 3800}),
    "cloud": (9, {"B02": 7000, "B03": 7000, "B04": 7000, "B08": 7200}),
    "overcorrected shade": (4, {"B02": -180, "B03": 60, "B04": -60, "B08": 600}),
    "water below zero": (6, {"B02": 50, "B03": 20, "B04": -120, "B08": -150}),
    "deep shadow": (3, {"B02": -300, "B03": -250, "B04": -280, "B08": 100}),
}
"""Uniform ground of one class, as a small region may hold: stored values, reflectance × 10 000."""


@pytest.mark.parametrize("kind", GROUNDS)
@pytest.mark.parametrize("case", CASES)
def test_uniform_ground_proves_nothing(tmp_path, kind, case):
    """One class, however bright or dark, never overrules even Earth Search's flag."""
    number, values = GROUNDS[kind]
    stated, shift = CASES[case]
    layers = over({"SCL": np.full((64, 64), number, "uint8")}, **values)
    feature = earth_search(tmp_path, name_of(1), digital(layers, shift), applied=stated == 0)
    items = s2kit.find_scenes(save_items(tmp_path / "items.json", [feature]), AOI, "2021", "2022")
    report = s2kit.build_cube(
        items, tmp_path / "cube.zarr", AOI, CRS, resampling="nearest", progress=False
    )
    assert not report.corrected
    dn = digital(layers, shift)["B04"][INNER, INNER].astype(int)
    np.testing.assert_array_equal(
        stored(tmp_path / "cube.zarr").B04[0], dn + round(stated * 10_000)
    )


def test_evidence_is_that_of_the_tile(tmp_path):
    """What decides lies outside of the region: here the region is nothing but cloud."""
    dn = digital(positive(0), 1000)
    dn["SCL"][20:45, 20:45] = 9
    feature = earth_search(tmp_path, name_of(1), dn, applied=True)
    items = s2kit.find_scenes(save_items(tmp_path / "items.json", [feature]), AOI, "2021", "2022")
    with pytest.warns(SceneWarning, match="corrected: 1"):
        report = build(items, tmp_path / "cube.zarr")
    assert set(report.corrected) == {str(name_of(1))}


def test_old_baseline_that_claims_an_offset(tmp_path):
    """Before 04.00 there was none; a scene that states one is taken at its word, and reported."""
    item = make_scene(tmp_path, name_of(0, "03.01"), digital(positive(0), 0), offset=-0.1)
    report = as_stated([item], tmp_path / "cube.zarr")
    assert set(report.notes) == {item.id}


def test_copies_keep_their_own_offsets(tmp_path):
    """Bands from two copies of a product, one shifted and one not, give the same ground."""
    dn = {shift: digital(positive(0), shift) for shift in (0, 1000)}
    raw, applied = tmp_path / "raw", tmp_path / "applied"
    one = earth_search(raw, name_of(1), dn[1000], applied=None, c1=True)
    two = earth_search(applied, name_of(1), dn[0], applied=True)
    del one["assets"]["red"]
    items = s2kit.find_scenes(save_items(tmp_path / "i.json", [two, one]), AOI, "2021", "2022")
    report = build(items, tmp_path / "cube.zarr")
    assert not report.corrected
    assert "B04 from earth-search sentinel-2-l2a" in report.notes[items[0].id]
    for band in ("B02", "B04", "B08"):
        found = stored(tmp_path / "cube.zarr")[band][0]
        np.testing.assert_array_equal(found, positive(0)[band][INNER, INNER])


def test_evidence_that_cannot_be_read(tmp_path):
    """A cube of B08 alone does not need B02 to be whole."""
    item = make_scene(tmp_path, name_of(0), digital(positive(0), 1000), offset=-0.1)
    Path(item.assets["B02"].href).write_bytes(b"")
    report = s2kit.build_cube(
        [item], tmp_path / "cube.zarr", AOI, CRS, bands=["B08"], progress=False
    )
    assert not report.failed


def dark_pixels(classes: np.ndarray, count: int) -> np.ndarray:
    """Make all cloud, but for so many pixels of vegetation in the middle of the region."""
    classes = np.full_like(classes, 9)
    classes[30, 30 : 30 + count] = 4
    return classes


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dark", [0, 20])
def test_without_dark_ground_the_metadata_are_believed(tmp_path, case, dark):
    """Cloud, with at most 80 dark pixels of 10 m, does not tell: as stated, not reported."""
    stated, shift = CASES[case]
    layers = ground(0)
    layers["SCL"] = dark_pixels(layers["SCL"], dark)
    dn = digital(layers, shift)
    item = make_scene(tmp_path, name_of(0), dn, offset=stated)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        report = build([item], tmp_path / "cube.zarr")
    assert not report.corrected and not report.notes
    for band in ("B02", "B04", "B08"):
        expected = dn[band].astype(int)[INNER, INNER] + round(stated * 10_000)
        np.testing.assert_array_equal(stored(tmp_path / "cube.zarr")[band][0], expected)


@pytest.mark.parametrize("few", [300, 3000])
def test_a_few_dark_pixels_prove_nothing(few):
    """Patches taken for vegetation and shadow under cloud tell nothing; dark ones refute."""
    rng = np.random.default_rng(0)
    classes = np.full((512, 512), 9, "u1")
    classes.flat[:few], classes.flat[few : 2 * few] = 4, 3
    bright = {band: rng.integers(2500, 6000, classes.shape) for band in (*VISIBLE, "B11")}
    assert judge(bright, classes) is None
    classes[:] = 4  # a whole tile of bright vegetation, and shadows with a reflectance of 0.04
    classes.flat[:few] = 2
    shaded = {band: np.where(classes == 2, 400, dn) for band, dn in bright.items()}
    assert judge(shaded, classes) is None
    assert judge(bright, classes) == -0.1  # were it so bright without, nothing would be dark


@pytest.mark.parametrize("red", [-20, -80, 150, 700])
def test_dark_water_keeps_its_negative_reflectance(tmp_path, red):
    """Nothing but water, a little below 0 in red and infrared, or murky: kept to the count."""
    layers = ground(0)
    rng = np.random.default_rng(1)
    for band, level in {"B02": red + 50, "B04": red, "B08": -150}.items():
        layers[band] = level + rng.integers(-9, 9, layers[band].shape)
    layers["SCL"] = np.full_like(layers["SCL"], 6)
    item = make_scene(tmp_path, name_of(0), digital(layers, 1000), offset=-0.1)
    report = build([item], tmp_path / "cube.zarr")
    assert not report.corrected
    for band in ("B02", "B04", "B08"):
        expected = layers[band][INNER, INNER]
        np.testing.assert_array_equal(stored(tmp_path / "cube.zarr")[band][0], expected)
        np.testing.assert_allclose(
            s2kit.open_cube(tmp_path / "cube.zarr")[band][0], expected * 1e-4, atol=1e-7
        )
    assert float(s2kit.open_cube(tmp_path / "cube.zarr").B08.max()) < 0


def test_nodata_in_one_band_leaves_the_others(tmp_path):
    """DN 0 is no data in its own band only, and only there."""
    layers = ground(0)
    dn = digital(layers, 1000)
    dn["B04"][40:50, 60:90] = 0
    item = make_scene(tmp_path, name_of(0), dn, offset=-0.1)
    build([item], tmp_path / "cube.zarr")
    cube = stored(tmp_path / "cube.zarr").isel(time=0)
    expected = layers["B04"].copy()
    expected[40:50, 60:90] = -9999
    np.testing.assert_array_equal(cube.B04, expected[INNER, INNER])
    np.testing.assert_array_equal(cube.B08, layers["B08"][INNER, INNER])
    assert np.isnan(s2kit.open_cube(tmp_path / "cube.zarr").B04).sum() == 300
    assert float(cube.valid_fraction) == 1


@pytest.mark.parametrize(("offset", "shift"), [(0.0, 0), (-0.1, 1000)])
def test_bright_values_saturate(tmp_path, offset, shift):
    """What int16 cannot hold becomes 32767, the largest count; 32766 is still itself."""
    layers = ground(0)
    dn = digital(layers, shift)
    bright = np.array([32765, 32766, 32767, 32768, 40000, 65535 - shift])
    dn["B08"][60, 40:46] = bright + shift
    item = make_scene(tmp_path, name_of(0), dn, offset=offset)
    build([item], tmp_path / "cube.zarr")
    found = stored(tmp_path / "cube.zarr").B08.values[0, 50, 30:36]
    assert found.tolist() == [32765, 32766, 32767, 32767, 32767, 32767]
