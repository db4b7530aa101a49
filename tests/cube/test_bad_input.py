"""Bad input ends in an error that says what was found and what to do; nothing is written."""

import itertools
import re
import warnings
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pystac
import pytest
import shapely
import zarr
from children import build as build_in_child
from children import stamps
from cubes import change_metadata
from scenarios import SMALL
from servers import faulty_server, plain_server, refused_address
from small_scenes import AOI, CRS, degrees, series

import s2kit
from s2kit.cube.zarr_documents import FORMAT
from s2kit.errors import CubeError, GridMismatchError, InvalidInputError, S2KitError
from s2kit.grid import make_grid

NAN = float("nan")


@pytest.fixture(scope="module")
def store(days, tmp_path_factory) -> Path:
    """Return a cube that must stay as it is."""
    folder = tmp_path_factory.mktemp("bad") / "cube.zarr"
    s2kit.build_cube(days, folder, progress=False, **SMALL)
    return folder


def refuse(folder: Path, says: str, call, *args, **kwargs) -> S2KitError:
    """Check that a call ends in an error of s2kit, and leaves no trace below the folder."""
    before = stamps(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", s2kit.errors.SceneWarning)
        with pytest.raises(S2KitError) as caught:
            call(*args, **kwargs)
    assert stamps(folder) == before
    assert re.search(says, str(caught.value)), str(caught.value)
    return caught.value


# --- build_cube: arguments

BAD = [
    ("items", None, "NoneType.*find_scenes"),
    ("items", 5, "5.*find_scenes"),
    ("items", "sample", "find_scenes"),
    ("items", [], "no scenes"),
    ("items", [{"type": "Feature"}], "dict.*find_scenes"),
    ("items", {"a": 1}, "find_scenes"),
    ("aoi", 5, "int.*Accepted"),
    ("aoi", "atlantis", "atlantis.*Accepted"),
    ("aoi", (1, 2, 3), "four numbers"),
    ("aoi", (4.5, 52.1, 4.2, 51.9), "order is"),
    ("aoi", (51.9, 4.2, 52.1, 4.5), "reaches the region"),
    ("aoi", (88_500, 445_500, 93_500, 450_500), "metres"),
    ("aoi", (4.2, NAN, 4.5, 52.1), "no numbers"),
    ("aoi", (4.2, 52.0, 4.2, 52.0), "area"),
    ("aoi", shapely.Polygon(), "empty"),
    ("aoi", shapely.Point(4.4, 52), "area"),
    ("aoi", {"type": "Polygon"}, "GeoJSON"),
    ("aoi", {}, "GeoJSON"),
    ("crs", "EPSG:999999", "999999.*EPSG"),
    ("crs", "RD", "'RD'.*EPSG"),
    ("crs", 5.5, "5.5.*EPSG"),
    ("crs", [], r"\[\].*EPSG"),
    ("crs", "EPSG:4979", "4979.*projected"),
    ("crs", "EPSG:5709", "5709.*projected"),
    ("crs", "EPSG:4326", "degrees"),
    ("resolution", 0, "resolution=0 must be"),
    ("resolution", -10, "resolution=-10 must be"),
    ("resolution", NAN, "resolution=nan must be"),
    ("resolution", float("inf"), "resolution=inf must be"),
    ("resolution", "10", "resolution='10' is not a number"),
    ("resolution", True, "not a number"),
    ("resolution", [10], "not a number"),
    ("resolution", 1e-7, "pixels"),
    ("bands", [], "bands is empty"),
    ("bands", "", "bands|unknown band"),
    ("bands", "B99", "'B99'; choose among"),
    ("bands", ["B04", "B01"], "'B01'; choose among"),
    ("bands", ["b4"], "did you mean B"),
    ("bands", 5, "bands"),
    ("bands", [None], "None.*choose among"),
    ("bands", [["B04"]], "B04.*choose among"),
    ("resampling", "cubic", "'cubic'.*bilinear"),
    ("resampling", 1, "1.*bilinear"),
    ("resampling", [], r"\[\].*bilinear"),
    ("chunks", 256, "256.*time, y, x"),
    ("chunks", (256, 256), "time, y, x"),
    ("chunks", (16, 0, 256), "time, y, x"),
    ("chunks", (16, -1, 256), "time, y, x"),
    ("chunks", (16, 256, 256.5), "time, y, x"),
    ("chunks", ("16", "256", "256"), "time, y, x"),
    ("chunks", "abc", "time, y, x"),
    ("chunks", (16, NAN, 256), "time, y, x"),
    ("chunks", (1000, 10_000, 10_000), "chunks.*(bytes|MB|GB|large)"),
    ("client", "localhost:8786", "client"),
    ("client", 5, "client"),
]


@pytest.mark.parametrize(("name", "value", "says"), BAD)
def test_argument_for_a_new_cube(days, tmp_path, name, value, says):
    """Each is refused before the store is made."""
    arguments = {"items": days, "store": tmp_path / "cube.zarr"} | SMALL | {name: value}
    error = refuse(tmp_path, says, s2kit.build_cube, **arguments, progress=False)
    assert isinstance(error, InvalidInputError)


@pytest.mark.parametrize(("name", "value", "says"), BAD)
def test_argument_for_an_old_cube(days, store, name, value, says):
    """Each is refused, and the cube is not touched, even where there would be work to do."""
    new = series(store.parent / "new", 6)[5:]
    arguments = {"items": new, "store": store} | {name: value}
    says = f"{says}|the store has"
    error = refuse(store, says, s2kit.build_cube, **arguments, progress=False)
    assert isinstance(error, InvalidInputError | GridMismatchError)


def test_new_cube_needs_a_region(days, tmp_path):
    """Nothing says where: said so."""
    error = refuse(tmp_path, "give aoi", s2kit.build_cube, days, tmp_path / "cube.zarr")
    assert isinstance(error, InvalidInputError)


PROPERTIES = [
    "platform",
    "sat:relative_orbit",
    "s2kit:datatake_start",
    "grid:code",
    "s2:processing_baseline",
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        case
        for case in itertools.product(PROPERTIES, ("absent", None, "nonsense", [1], -1))
        if case not in (("platform", "nonsense"), ("grid:code", "nonsense"))  # a text is a text
    ],
)
def test_item_that_is_not_canonical(days, tmp_path, name, value):
    """An item of another making is named, with what it lacks; a value that may be is accepted."""
    item = days[0].clone()
    if value == "absent":
        del item.properties[name]
    else:
        item.properties[name] = value
    store = tmp_path / "cube.zarr"
    refuse(tmp_path, item.id, s2kit.build_cube, [item], store, progress=False, **SMALL)


@pytest.mark.parametrize(
    "fields", [{"raster:scale": "x"}, {"raster:offset": None}, {"raster:offset": NAN}]
)
def test_item_with_odd_numbers(days, tmp_path, fields):
    """Scale and offset are numbers, or the item is named; either way no NaN reaches a pixel."""
    item = days[0].clone()
    for asset in item.assets.values():
        asset.extra_fields |= fields
    refuse(tmp_path, item.id, s2kit.build_cube, [item], tmp_path / "c.zarr", **SMALL)


def test_plain_stac_item(days, tmp_path):
    """An item as an API gives it, not through find_scenes."""
    plain = pystac.Item("S2A_x", days[0].geometry, days[0].bbox, days[0].datetime, {})
    refuse(tmp_path, "S2A_x.*find_scenes", s2kit.build_cube, [plain], tmp_path / "c.zarr", **SMALL)


# --- build_cube: places


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (None, "NoneType.*path or a URL"),
        (5, "int.*path or a URL"),
        (b"cube.zarr", "bytes.*path or a URL"),
        ("", "empty"),
        ("  ", "empty"),
        ("gopher://host/cube.zarr", "gopher"),
    ],
)
def test_place_that_is_none(days, tmp_path, monkeypatch, place, says):
    """What is no path and no URL that can be written to."""
    monkeypatch.chdir(tmp_path)
    refuse(tmp_path, says, s2kit.build_cube, days, place, progress=False, **SMALL)
    refuse(tmp_path, says.replace("empty", "store"), s2kit.open_cube, place)


def make_file(path: Path) -> None:
    """Write a file."""
    path.write_text("my notes")


def make_folder(path: Path) -> None:
    """Write a folder of something else."""
    path.mkdir()
    (path / "thesis.txt").write_text("all of it")


def make_zarr2(path: Path) -> None:
    """Write another consolidated Zarr of format 2."""
    group = zarr.create_group(path, zarr_format=2)
    group.create_array("a", shape=(4,), dtype="i2")
    zarr.consolidate_metadata(path, zarr_format=2)


def make_zarr3(path: Path) -> None:
    """Write a Zarr of format 3."""
    zarr.create_group(path, zarr_format=3).create_array("a", shape=(4,), dtype="i2")


def make_odd_metadata(path: Path) -> None:
    """Write consolidated metadata that are no JSON object."""
    path.mkdir()
    (path / ".zmetadata").write_text("[]")


FOREIGN = [make_file, make_folder, make_zarr2, make_zarr3, make_odd_metadata]


@pytest.mark.parametrize("make", FOREIGN)
def test_something_else_is_there(days, tmp_path, make):
    """A place that holds something else is refused by name, and left as it is."""
    make(tmp_path / "place")
    says = f"{tmp_path / 'place'}.*not a cube"
    error = refuse(
        tmp_path, says, s2kit.build_cube, days, tmp_path / "place", progress=False, **SMALL
    )
    assert isinstance(error, CubeError)
    assert isinstance(refuse(tmp_path, says, s2kit.open_cube, tmp_path / "place"), CubeError)


@pytest.mark.parametrize("number", [1, FORMAT - 1, FORMAT + 1, 99, str(FORMAT), None, True, [4]])
def test_another_format(days, tmp_path, number):
    """A cube of another format is left alone; the error says which it has, and what to do."""
    store = tmp_path / "cube.zarr"
    s2kit.build_cube(days[:1], store, progress=False, **SMALL)
    change_metadata(store, lambda documents: documents[".zattrs"]["s2kit"].update(format=number))
    says = rf"cube of format {re.escape(repr(number))}.* reads format {FORMAT}\. Build .* update"
    for call in (s2kit.open_cube, s2kit.verify, partial(s2kit.build_cube, days)):
        assert isinstance(refuse(tmp_path, says, call, store), CubeError)


def test_place_that_cannot_be(days, tmp_path):
    """A place below a file, and one where the system lets nobody write."""
    (tmp_path / "file").write_text("x")
    below = tmp_path / "file/cube.zarr"
    for place in (below, Path("/proc/s2kit/cube.zarr")):
        error = refuse(tmp_path, str(place), s2kit.build_cube, days, place, **SMALL)
        assert isinstance(error, CubeError)


def test_unwritable_place(days, mount):
    """A network drive without the right to write: CubeError with the reason."""
    read_only = mount("ro,size=1m")
    place = read_only / "cube.zarr"
    error = refuse(read_only, "[Rr]ead-only", s2kit.build_cube, days, place, **SMALL)
    assert isinstance(error, CubeError) and str(place) in str(error)


def test_http_cannot_be_written_to(days, tmp_path):
    """A cube that is published cannot be extended through its address."""
    with plain_server(tmp_path) as url:
        refuse(tmp_path, url, s2kit.build_cube, days, f"{url}/cube.zarr", progress=False, **SMALL)


# --- open_cube


@pytest.mark.parametrize("orbit", [1, 0, -51, "51", 51.5, True, [51]])
def test_orbit_that_the_cube_has_not(store, orbit):
    """The orbits that there are stand in the message."""
    error = refuse(store, r"51\b", s2kit.open_cube, store, orbit=orbit)
    assert isinstance(error, InvalidInputError) and repr(orbit) in str(error)


def test_nothing_to_open(tmp_path):
    """A path without a cube, a folder around one."""
    (tmp_path / "data").mkdir()
    for place in (tmp_path / "nowhere", tmp_path / "data"):
        error = refuse(tmp_path, "not a cube.*build_cube", s2kit.open_cube, place)
        assert isinstance(error, CubeError) and str(place) in str(error)


def test_cube_without_steps(days, tmp_path):
    """A build that was killed before its first commit: run it to its end."""
    store = tmp_path / "cube.zarr"
    assert build_in_child(days, store, SMALL, before=14) == -9
    assert (store / ".zmetadata").exists()
    refuse(tmp_path, "no steps yet.*build_cube", s2kit.open_cube, store)


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_zip_that_is_none(tmp_path, content):
    """A file that is no zip, and a zip of something else."""
    place = tmp_path / "cube.zip"
    if content is None:
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("thesis.txt", "all of it")
    else:
        place.write_bytes(content)
    assert isinstance(refuse(tmp_path, str(place), s2kit.open_cube, place), CubeError)


@pytest.mark.parametrize("fault", ["404", "403", "500", "cut"])
def test_address_that_does_not_answer_well(store, fault):
    """An http server without the cube, without the right, or ill: CubeError with the address."""
    with faulty_server(store.parent) as server:
        server.faults["cube.zarr"] = (fault, 10**6)
        place = f"{server.url}/cube.zarr"
        assert isinstance(refuse(store, place, s2kit.open_cube, place), CubeError)


def test_address_that_answers_in_part(store):
    """A server that has too much to do for some of the files is not taken for a damaged cube."""
    with faulty_server(store.parent) as server:
        server.faults["/time/0"] = ("500", 10**6)
        with pytest.raises(CubeError, match=r"cannot be read now .*try again"):
            s2kit.open_cube(f"{server.url}/cube.zarr")


def test_address_where_nobody_listens(tmp_path):
    """No server at all."""
    place = f"{refused_address()}/cube.zarr"
    assert isinstance(refuse(tmp_path, place, s2kit.open_cube, place), CubeError)


# --- find_scenes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": None}, "NoneType.*Accepted"),
        ({"source": 5}, "int.*Accepted"),
        ({"source": "nowhere"}, "nowhere.*Accepted"),
        ({"source": ""}, "Accepted"),
        ({"source": "earthsearch"}, "earth-search"),
        ({"start": "2022-01-01", "end": "2021-01-01"}, "2022-01-01.*2021-01-01"),
        ({"start": "yesterday"}, "yesterday"),
        ({"start": None}, "None"),
        ({"end": 5}, "5"),
        ({"aoi": (88_500, 445_500, 93_500, 450_500)}, "metres"),
        ({"aoi": shapely.Polygon()}, "empty"),
        ({"aoi": None}, "NoneType"),
        ({"relative_orbit": 144}, "144"),
        ({"relative_orbit": "R051"}, "R051"),
        ({"relative_orbit": []}, r"\[\]"),
        ({"max_cloud": 101}, "101"),
        ({"max_cloud": NAN}, "nan"),
        ({"max_cloud": "10"}, "'10'"),
    ],
)
def test_find_scenes(tmp_path, monkeypatch, changes, says):
    """Each is refused before anything is looked for."""
    monkeypatch.chdir(tmp_path)
    good = {"source": tmp_path, "aoi": AOI, "start": "2021", "end": "2022"}
    error = refuse(tmp_path, says, s2kit.find_scenes, **(good | changes))
    assert isinstance(error, InvalidInputError)


def test_source_without_scenes(tmp_path):
    """A folder without products, and files that are no STAC."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    for source in ("empty", "notes.json", "broken.json"):
        refuse(tmp_path, source, s2kit.find_scenes, tmp_path / source, AOI, "2021", "2022")


# --- the grid alone


def test_region_where_the_system_does_not_reach():
    """A region that the coordinate system cannot express."""
    with pytest.raises(InvalidInputError, match="choose a coordinate system"):
        make_grid((170, -45, 171, -44), "+proj=ortho +lat_0=52 +lon_0=5 +type=crs", 10)


@pytest.mark.parametrize("crs", ["EPSG:5513", "EPSG:2053"])
def test_axes_to_south_and_west(crs):
    """GIS programs disagree on what is x there."""
    with pytest.raises(InvalidInputError, match=r"axes to (south|west)"):
        make_grid((17, 49, 17.1, 49.1), crs, 10)


@pytest.mark.parametrize(
    ("aoi", "crs", "resolution"),
    [
        ((-180, 83, 180, 90), "EPSG:3413", 10_000),
        (
            shapely.box(*(179.9, -17.1, 180, -17)) | shapely.box(-180, -17.1, -179.9, -17),
            "EPSG:32760",
            10,
        ),
        (
            shapely.box(*(179.9, -17.1, 180, -17)) | shapely.box(-180, -17.1, -179.9, -17),
            "EPSG:4326",
            0.01,
        ),
    ],
)
def test_region_around_the_date_line_or_a_pole(aoi, crs, resolution):
    """Such a region has no outline in degrees, by which scenes could be found."""
    with pytest.raises(InvalidInputError, match="antimeridian"):
        make_grid(aoi, crs, resolution)


@pytest.mark.parametrize("resolution", [5e-324, 1e300])
def test_resolution_beyond_numbers(resolution):
    """Far too small or too large."""
    with pytest.raises(InvalidInputError, match=r"resolution|reaches|choose"):
        make_grid(AOI, CRS, resolution)


def test_numpy_numbers_are_numbers():
    """What numpy or a config file gives is as good as a Python number."""
    box = degrees(600_105, 5_768_905, 601_095, 5_769_895)
    expected = make_grid(box, CRS, 10)
    for resolution in (np.int64(10), np.float32(10), np.float64(10)):
        assert make_grid(np.array(box), CRS, resolution) == expected
