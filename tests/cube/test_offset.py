"""The radiometric offset: four ways to state it, two of them untrue, give the same reflectance."""

import warnings
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
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
from s2kit.errors import SceneWarning

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
    with pytest.warns(SceneWarning, match=f"{len(lying)} offsets corrected"):
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


@pytest.mark.parametrize("c1", [False, True])
def test_earth_search(tmp_path, c1):
    """Four scenes of Earth Search give what a 03.01 scene of the same ground gives.

    In collection 1 there is no flag; the assets say −0.1, or 0 where it is already applied.
    """
    features = [earth_search(tmp_path, name_of(0, "03.01"), digital(positive(0), 0), applied=None)]
    for n, (stated, shift) in enumerate(CASES.values(), 1):
        feature = earth_search(
            tmp_path,
            name_of(n),
            digital(positive(0), shift),
            applied=None if c1 else stated == 0,
            c1=c1,
        )
        for asset in feature["assets"].values() if c1 else ():
            if "offset" in asset["raster:bands"][0]:
                asset["raster:bands"][0]["offset"] = stated
        features.append(feature)
    items = s2kit.find_scenes(save_items(tmp_path / "items.json", features), AOI, "2021", "2022")
    assert [i.assets["B04"].extra_fields["raster:offset"] for i in items][1:] == [
        stated for stated, _ in CASES.values()
    ]
    lying = {str(name_of(list(CASES).index(case) + 1)) for case in LIES}
    check_same_ground(items, tmp_path / "cube.zarr", lying)


SAFE_CASES = {
    "2021-06-04": ("03.01", None, 0, False),
    "2021-06-09": ("04.00", -1000, 1000, False),
    "2021-06-14": ("05.09", 0, 0, False),
    "2021-06-19": ("99.99", None, 0, False),
    "2021-06-24": ("99.99", None, 1000, True),
    "2021-06-29": ("04.00", 0, 1000, True),
    "2021-07-04": ("05.09", -1000, 0, True),
}
"""Baseline, BOA_ADD_OFFSET in the XML or none, what the pixels carry, and whether that is a lie.

99.99 is Sen2Cor at home; there an XML without BOA_ADD_OFFSET is a statement: nothing to apply."""


def test_safe(tmp_path):
    """SAFE products, whose XML tells the truth or not, give the same ground."""
    lying = set()
    for day, (baseline, xml, shift, lie) in SAFE_CASES.items():
        dn = digital(positive(0), shift)
        folder = write_safe(
            tmp_path / "safe", date.fromisoformat(day), dn, baseline=baseline, xml=xml
        )
        lying |= {folder.stem} if lie else set()
    items = s2kit.find_scenes(tmp_path / "safe", AOI, "2021", "2022")
    assert len(items) == len(SAFE_CASES)
    check_same_ground(items, tmp_path / "cube.zarr", lying)


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


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (6, {"B02": 1080, "B04": 1500, "B08": 900, "B11": 150, "B12": 120}),  # turbid water
        (6, {"B02": 1300, "B04": 1300, "B08": 1300, "B11": 1100, "B12": 1050}),  # glint...
        (4, {"B02": 1150, "B04": 1100, "B08": 3000, "B11": 1500, "B12": 1200}),  # haze...
    ],
)
def test_bright_ground_that_is_dark_somewhere(tmp_path, kind, values):
    """An offset that was taken away, and says so, stays: bright pixels alone prove nothing."""
    layers = over({"SCL": np.full((64, 64), kind, "uint8")}, **values)
    for name in values:
        layers[name][60:70, 20:100] = 300  # ... and a shadow in it
    item = make_scene(tmp_path, name_of(0, "05.09"), digital(layers, 0), offset=0.0)
    report = build([item], tmp_path / "cube.zarr")
    assert not report.corrected
    np.testing.assert_array_equal(
        stored(tmp_path / "cube.zarr").B04[0], layers["B04"][INNER, INNER]
    )


def test_water_below_zero(tmp_path):
    """An overdone atmospheric correction: the offset is still there, though DN are below 1000."""
    values = {"B02": 50, "B04": -120, "B08": -150, "B11": -130, "B12": -125}
    layers = over({"SCL": np.full((64, 64), 6, "uint8")}, **values)
    item = make_scene(tmp_path, name_of(0, "05.09"), digital(layers, 1000), offset=-0.1)
    report = build([item], tmp_path / "cube.zarr")
    assert not report.corrected
    np.testing.assert_array_equal(
        stored(tmp_path / "cube.zarr").B04[0], layers["B04"][INNER, INNER]
    )


def test_old_baseline_that_claims_an_offset(tmp_path):
    """Before 04.00 there was none; a scene that states one is held against its pixels too."""
    item = make_scene(tmp_path, name_of(0, "03.01"), digital(positive(0), 0), offset=-0.1)
    check_same_ground([item], tmp_path / "cube.zarr", {item.id})


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
    assert not report.corrected
    for band in ("B02", "B04", "B08"):
        expected = dn[band].astype(int)[INNER, INNER] + round(stated * 10_000)
        np.testing.assert_array_equal(stored(tmp_path / "cube.zarr")[band][0], expected)


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
