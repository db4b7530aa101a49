"""What the notebooks need around the cube: checks of parameters, cube, cluster."""

import dask
import dask.array as da
import pytest
from distributed import LocalCluster

from s2kit import LAYERS, course
from s2kit.errors import CubeError, InvalidInputError

ACCEPTED = {
    "store": str,
    "aoi": (str, float, int, dict),
    "resolution": (float, int),
    "bands": (None, *LAYERS),
    "resampling": ("bilinear", "nearest"),
}
GOOD = {"store": "a", "aoi": "delft", "resolution": 10, "bands": None, "resampling": "nearest"}


def check(injected="", **changed):
    """Check parameters as a notebook would after papermill injected some."""
    cells = ["", "import s2kit", f"# Parameters\n{injected}"] if injected else ["", "import s2kit"]
    course.check_parameters({"In": cells, **GOOD, **changed}, **ACCEPTED)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"aoi": [4.4, 52, 4.5, 52.1]},
        {"aoi": {"type": "Point"}},
        {"resolution": 0.5},
        {"bands": ["B04", "SCL"]},
        {"another_variable": 3},
    ],
)
def test_good_parameters_pass(changed):
    """What a parameter may be passes, also in a list; other variables do not matter."""
    check('store = "a"\nresolution = 10', **changed)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"store": None}, r"store=None \(NoneType\) cannot be used; store is text"),
        ({"resolution": "ten"}, "resolution is a number$"),
        ({"resolution": True}, "resolution=True"),
        ({"bands": ["B04", "B99"]}, "None, 'B02', .* or 'WVP'"),
        ({"bands": []}, "bands"),
        ({"resampling": "cubic"}, "'bilinear' or 'nearest'"),
    ],
)
def test_bad_values_are_refused(changed, says):
    """A wrong type or value is refused with what is accepted."""
    with pytest.raises(InvalidInputError, match=says):
        check(**changed)


def test_unknown_parameter_is_refused():
    """A name that papermill injected and the notebook lacks is refused, with the nearest one."""
    with pytest.raises(
        InvalidInputError, match=r"'resolutoin'\. Did you mean resolution.*store, aoi"
    ):
        check("resolutoin = 20")
    with pytest.raises(InvalidInputError, match=r"unknown parameter 'zzz'\. The parameters"):
        check('store = "a"\nzzz = """\nstore = 1\n"""')


def test_only_the_latest_injected_cell_counts():
    """Who corrects a misspelt parameter in JupyterLab and runs on is not stopped by the old one."""
    cells = ["# Parameters\nresolutoin = 20", "# Parameters\nresolution = 20"]
    course.check_parameters({"In": cells, **GOOD}, **ACCEPTED)


def test_cube_is_required(tmp_path):
    """A missing path is refused with advice; what exists, and any URL, is left to open_cube."""
    with pytest.raises(CubeError, match=r"make cube.*01_build_cube"):
        course.require_cube(tmp_path / "cube.zarr")
    course.require_cube(tmp_path)
    course.require_cube("https://example.org/cube.zarr")


def test_threads_need_no_client():
    """Threads are what build_cube uses without a client."""
    assert course.start_client("threads") is None


def test_scheduler_address_is_used():
    """An address connects to the scheduler that answers there."""
    with (
        LocalCluster(1, processes=False, dashboard_address=None) as cluster,
        course.start_client(cluster.scheduler_address) as client,
    ):
        assert client.scheduler.address == cluster.scheduler_address


@pytest.mark.parametrize(
    "scheduler", ["thread", "", None, 4, "nonsense://x:1", "127.0.0.1:x", "127.0.0.1:9"]
)
def test_bad_scheduler_is_refused(scheduler):
    """What is no scheduler is refused with what is accepted, and Dask computes as before."""
    with pytest.raises(InvalidInputError, match='Accepted: "threads", "processes"'):
        course.start_client(scheduler)
    assert dask.config.get("scheduler", None) is None
    assert da.ones(3).sum().compute() == 3
