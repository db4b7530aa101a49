"""Statistics of real NDVI equal the values that its publishers computed (eo-learn, Slovenia)."""

import json

import numpy as np
import pytest
import xarray as xr

import s2kit


@pytest.fixture(scope="module")
def patch(real_data):
    """Read NDVI, validity and the expected values, 68 dates of 101 × 100 pixels."""
    folder = real_data / "eolearn/patch"
    names = ("NDVI", "IS_VALID", "VALID_COUNT", "MAX_NDVI")
    return folder, {name: np.load(folder / f"{name}.npy")[..., 0] for name in names}


@pytest.mark.parametrize("blocks", [None, {"time": 9, "y": 40, "x": 33}])
def test_count_and_maximum_are_the_published_ones(patch, blocks):
    """VALID_COUNT over the valid dates, and the maximum over all dates, exactly."""
    folder, arrays = patch
    times = np.array(
        [t[:19] for t in json.loads((folder / "timestamps.json").read_text())], "M8[ns]"
    )
    dims = ("time", "y", "x")
    cube = xr.Dataset({"NDVI": (dims, arrays["NDVI"])}, {"time": times})
    valid = xr.DataArray(arrays["IS_VALID"].astype(bool), dims=dims, coords={"time": times})
    if blocks:
        cube, valid = cube.chunk(blocks), valid.chunk({"time": 20})
    count = s2kit.time_statistics(cube, "NDVI", clear=valid)["count"]
    np.testing.assert_array_equal(count, arrays["VALID_COUNT"])
    highest = s2kit.time_statistics(cube, "NDVI", clear=valid | True)["max"]
    np.testing.assert_array_equal(highest, arrays["MAX_NDVI"])
    print(f"{count.size} pixels; counts {int(count.min())} to {int(count.max())}")
