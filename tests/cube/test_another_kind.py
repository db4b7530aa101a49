"""A store that holds another kind of cube than is asked is refused before a byte is written."""

import pytest
from children import stamps
from small_scenes import AOI, degrees

import s2kit
from s2kit.errors import GridMismatchError, InvalidInputError

OPTIONS = {"aoi": AOI, "chunks": (2, 64, 64), "bands": ["B04", "SCL"]}


@pytest.fixture(scope="module")
def store(days, tmp_path_factory):
    """Return a cube of four of the five days, so that there is always something to write."""
    place = tmp_path_factory.mktemp("kinds") / "cube.zarr"
    s2kit.build_cube(days[:4], place, progress=False, **OPTIONS)
    return place


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"aoi": degrees(600_105, 5_769_005, 601_095, 5_769_895)}, "grid"),
        ({"aoi": "delft"}, "grid"),
        ({"crs": "EPSG:32631"}, "coordinate system"),
        ({"crs": "EPSG:28992", "resolution": 20}, "resolution"),
        ({"resolution": 10.5}, "resolution"),
        ({"bands": ["B04"]}, "layers"),
        ({"bands": ["B04", "SCL", "B08"]}, "layers"),
        ({"resampling": "nearest"}, "resampling"),
        ({"chunks": (16, 64, 64)}, "chunks"),
    ],
)
def test_another_kind_of_cube_is_refused(days, store, asked, found):
    """What the store has and what is asked are both named, and not a byte is written."""
    before = stamps(store)
    with pytest.raises(GridMismatchError, match=found) as caught:
        s2kit.build_cube(days, store, progress=False, **asked)
    assert "another store" in str(caught.value)
    assert stamps(store) == before


def test_the_same_kind_in_other_words_is_accepted(days, store):
    """The grid may be asked for again: by another name of its system, bands in another order."""
    before = stamps(store)
    s2kit.build_cube(
        days[:4], store, AOI, 28992, 10.0, bands=["SCL", "B04"], chunks=[2, 64, 64], progress=False
    )
    assert stamps(store) == before


def test_made_up_and_observed_scenes_do_not_mix(days, store):
    """A practice scene is refused in a cube of observed ones."""
    before = stamps(store)
    item = days[0].clone()
    item.properties["s2kit:synthetic"] = True
    with pytest.raises(InvalidInputError, match="practice"):
        s2kit.build_cube([item], store, progress=False)
    assert stamps(store) == before
