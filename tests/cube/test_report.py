"""What a report says of the cube's size is what lies on the disk."""

import numpy as np
import pandas as pd
import pytest
from cubes import random_layers, write_cube

from s2kit.cube.report import BuildReport
from s2kit.errors import CubeError

SHAPE = (5, 530, 601)
"""Two coarser levels."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Write a cube with overviews."""
    times = pd.date_range("2021-06-01", periods=SHAPE[0]).to_numpy()
    place = tmp_path_factory.mktemp("report") / "cube.zarr"
    return write_cube(place, random_layers(1, SHAPE), times, overviews=True)


def sizes(folder) -> np.ndarray:
    """Return the sizes of the chunks in the folder of a layer."""
    return np.array([file.stat().st_size for file in folder.iterdir() if file.name[0] != "."])


def test_storage_is_that_of_the_chunks(store):
    """Layers and their overviews take what their chunks take on the disk."""
    table = BuildReport(str(store)).storage()
    assert table.index.tolist() == ["B04", "B08", "SCL"]
    for layer, row in table.iterrows():
        base = sizes(store / "S2/R051" / layer)
        coarser = sum(sizes(store / f"S2/R051_L{level}" / layer).sum() for level in (1, 2))
        assert (row.stored_mb, row.chunks) == (base.sum() / 1e6, len(base))
        assert row.overviews_mb == coarser / 1e6 > 0
    assert table.raw_mb["B04"] == 2 * np.prod(SHAPE) / 1e6


def test_size_is_that_of_all_files(store):
    """The size counts metadata and coordinates too."""
    files = [path for path in store.rglob("*") if path.is_file()]
    assert BuildReport(str(store)).size() == sum(path.stat().st_size for path in files)


def test_size_of_a_cube_that_is_gone(tmp_path):
    """Where the cube is no longer there, the error says so."""
    with pytest.raises(CubeError, match="holds no cube any more"):
        BuildReport(str(tmp_path / "gone.zarr")).size()
