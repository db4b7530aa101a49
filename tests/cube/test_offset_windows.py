"""What pixels tell of the offset, on all windows of real scenes: never the wrong thing."""

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import s2kit
from s2kit.cube.offset import judge
from s2kit.errors import SceneWarning

SHIFTS = {0: 0.0, 1000: -0.1}
"""DN added to pixels whose offset was taken away, and the offset that is then to be applied."""

WINDOWS = {4: 7, 8: 3, 20: 1, 83: 1}
"""Pixels of 120 m along a side of a window (0.5, 1, 2.4 and 10 km), and which of them are taken:
all, or every third or seventh along both axes, to save time."""


@pytest.fixture(scope="module")
def tiles(real_data: Path) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Read the bands and classes of ten real scenes, whose offset was taken away."""
    found = []
    for folder in sorted((real_data / "stac-l2a-2023" / "sentinel-2-l2a").glob("*/")):
        layers = {}
        for layer in ("B02", "B03", "B04", "B08", "SCL"):
            with rasterio.open(folder / f"{layer}.tif") as dataset:
                layers[layer] = dataset.read(1)
        classes = layers.pop("SCL")
        found.append((layers, classes))
    assert len(found) == 10
    return found


def shifted(layers: dict[str, np.ndarray], shift: int) -> dict[str, np.ndarray]:
    """Put the offset back into pixels with data."""
    return {b: np.where(dn > 0, dn + shift, 0).astype("uint16") for b, dn in layers.items()}


@pytest.mark.parametrize("shift", SHIFTS)
def test_whole_tiles_tell(tiles, shift) -> None:
    """Each of ten real tiles, some under 80 % cloud, tells what is true, in both directions."""
    for layers, classes in tiles:
        assert judge(shifted(layers, shift), classes) == SHIFTS[shift]


@pytest.mark.parametrize("shift", SHIFTS)
def test_windows_never_tell_the_wrong_thing(tiles, shift) -> None:
    """On windows of any size the answer is the truth, or none."""
    found: Counter[float | None] = Counter()
    for layers, classes in tiles:
        bands = shifted(layers, shift)
        for size, step in WINDOWS.items():
            for top in range(0, classes.shape[0], size * step):
                for left in range(0, classes.shape[1], size * step):
                    cut = slice(top, top + size), slice(left, left + size)
                    found[judge({b: dn[cut] for b, dn in bands.items()}, classes[cut])] += 1
    assert set(found) == {None, SHIFTS[shift]}
    assert found[SHIFTS[shift]] > 300
    assert sum(found.values()) > 40_000


@pytest.mark.parametrize("shift", SHIFTS)
def test_field_of_fusets(real_data: Path, shift: int) -> None:
    """33 real dates of one field in two bands never tell anything."""
    data = xr.open_dataset(real_data / "fusets" / "raw_s2_ndvi_field.nc")
    for t in range(data.sizes["t"]):
        layers = {b: np.nan_to_num(data[b].values[t]).astype("uint16") for b in ("B04", "B08")}
        classes = np.nan_to_num(data.SCL.values[t]).astype("uint8")
        assert judge(shifted(layers, shift), classes) is None


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("applied", [True, False])
def test_real_tiles_that_lie(real_data: Path, tmp_path: Path, shift: int, applied: bool) -> None:
    """Real items with an untrue flag are corrected by their tile, whatever the region holds."""
    source = next((real_data / "stac-l2a-2023" / "sentinel-2-l2a").glob("*33TWM_20230813*/"))
    item = json.loads(next(source.glob("*.json")).read_bytes())
    item["properties"]["earthsearch:boa_offset_applied"] = applied
    item["links"] = []
    for asset in item["assets"].values():
        file = source / asset["href"]
        if file.suffix != ".tif" or not file.is_file():
            continue
        with rasterio.open(file) as dataset:
            profile, dn = dataset.profile, dataset.read(1)
        if file.stem != "SCL":
            dn = shifted({"": dn}, shift)[""]
        with rasterio.open(tmp_path / file.name, "w", **profile) as target:
            target.write(dn, 1)
        asset["href"] = f"./{file.name}"
    (tmp_path / "item.json").write_text(json.dumps(item))
    west, south, east, north = item["bbox"]
    x, y = (west + east) / 2, (south + north) / 2
    aoi = (x, y, x + 0.03, y + 0.02)
    found = s2kit.find_scenes(tmp_path / "item.json", aoi, "2023", "2023")
    wrong = (SHIFTS[shift] == 0) != applied
    options = {"resampling": "nearest", "progress": False}
    with pytest.warns(SceneWarning, match="corrected: 1") if wrong else nullcontext():
        report = s2kit.build_cube(found, tmp_path / "cube.zarr", aoi, "EPSG:32633", 120, **options)
    assert bool(report.corrected) == wrong
    red = s2kit.open_cube(tmp_path / "cube.zarr").B04.isel(time=0).load()
    with rasterio.open(source / "B04.tif") as dataset:
        rows, cols = rasterio.transform.rowcol(
            dataset.transform, *(a.ravel() for a in np.meshgrid(red.x, red.y))
        )
        truth = dataset.read(1)[rows, cols].reshape(red.shape) * 1e-4
    np.testing.assert_allclose(red, np.where(truth > 0, truth, np.nan), atol=1e-7)
