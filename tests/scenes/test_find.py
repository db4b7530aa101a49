"""What find_scenes does whatever the source: checks, choice, order, refusals."""

import json
import warnings
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
import shapely

import s2kit
from s2kit import practice
from s2kit.errors import InvalidInputError, SceneWarning
from s2kit.scenes import REFUSED, find, find_scenes

WORLD = (-180, -90, 180, 90)
AOI = (15.0, 46.0, 15.5, 46.5)


@pytest.fixture
def real(real_data: Path) -> Path:
    """Return ten real scenes of August 2023: orbits 79 and 122, tiles 33TWL and 33TWM."""
    return real_data / "stac-l2a-2023" / "catalog.json"


def days(found: object) -> list[str]:
    """Return the day of each scene."""
    return [item.properties["s2kit:datatake_start"][8:10] for item in found]


def test_public_name() -> None:
    """The function is the one that `import s2kit` offers."""
    assert s2kit.find_scenes is find_scenes


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2023", "2023", ["10", "13", "15", "18", "20"]),
        ("2023-08", "2023-08", ["10", "13", "15", "18", "20"]),
        ("2023-08-13", "2023-08-18", ["13", "15", "18"]),
        (date(2023, 8, 18), date(2023, 8, 18), ["18"]),
        (datetime(2023, 8, 13, 9, 55, 59), "2023-08-15T09:50:31Z", ["13", "15"]),
        (datetime(2023, 8, 13, 9, 56), "2023-08-15T09:50:30Z", []),
        ("2023-09", "2024", []),
    ],
)
def test_period(real: Path, start: object, end: object, expected: list[str]) -> None:
    """Scenes are chosen by the start of their datatake, both ends included."""
    assert sorted(set(days(find_scenes(real, WORLD, start, end)))) == expected


@pytest.mark.parametrize(
    ("orbit", "count"),
    [(79, 6), (122, 4), ([79, 122], 10), (range(70, 80), 6), (np.int64(79), 6), ({51}, 0)],
)
def test_orbit(real: Path, orbit: object, count: int) -> None:
    """Only the orbits asked for."""
    assert len(find_scenes(real, WORLD, "2023", "2023", relative_orbit=orbit)) == count


@pytest.mark.parametrize("limit", [0, 1.33675, 1.4, 45.8, 100])
def test_cloud(real: Path, limit: float) -> None:
    """Only scenes with at most that cloud cover, by the items' own figures."""
    raw = [json.loads(file.read_bytes())["properties"] for file in real.parent.glob("*/*/*.json")]
    expected = {one["s2:product_uri"][:-5] for one in raw if one["eo:cloud_cover"] <= limit}
    found = find_scenes(real, WORLD, "2023", "2023", max_cloud=limit)
    assert {item.id for item in found} == expected


def test_cloud_unknown(real: Path, tmp_path: Path) -> None:
    """A scene without a figure is kept."""
    item = json.loads(next(real.parent.glob("*/*/*.json")).read_bytes())
    del item["properties"]["eo:cloud_cover"]
    (tmp_path / "item.json").write_text(json.dumps(item))
    (found,) = find_scenes(tmp_path / "item.json", WORLD, "2023", "2023", max_cloud=0)
    assert "eo:cloud_cover" not in found.properties


def test_region(real: Path) -> None:
    """Only scenes whose footprint shares area with the region, by shapely on the raw JSON."""
    raw = [json.loads(file.read_bytes()) for file in real.parent.glob("*/*/*.json")]
    for aoi in [(15, 46.98, 15.2, 47), (15, 45.5, 15.1, 45.6), (14.5, 46, 15.01, 46.1), AOI]:
        expected = {
            one["properties"]["s2:product_uri"][:-5]
            for one in raw
            if shapely.geometry.shape(one["geometry"]).intersection(shapely.box(*aoi)).area > 0
        }
        assert {item.id for item in find_scenes(real, aoi, "2023", "2023")} == expected
    assert len(find_scenes(real, "netherlands", "2023", "2023")) == 0


def test_touching_is_not_seeing(real: Path, tmp_path: Path) -> None:
    """A footprint that has only an edge in common with the region sees nothing of it."""
    item = json.loads(next(real.parent.glob("*/*/*.json")).read_bytes())
    item["geometry"] = shapely.geometry.mapping(shapely.box(15, 46, 16, 47))
    (tmp_path / "item.json").write_text(json.dumps(item))
    assert len(find_scenes(tmp_path / "item.json", (14, 46, 15, 47), "2023", "2023")) == 0
    assert len(find_scenes(tmp_path / "item.json", (14, 46, 15.001, 47), "2023", "2023")) == 1


def test_order_is_fixed(real: Path, tmp_path: Path) -> None:
    """The order of the result does not depend on the order of the source."""
    raw = [json.loads(file.read_bytes()) for file in sorted(real.parent.glob("*/*/*.json"))]
    expected = [item.id for item in find_scenes(real, WORLD, "2023", "2023")]
    for features in (raw, raw[::-1], raw[5:] + raw[:5]):
        (tmp_path / "items.json").write_text(
            json.dumps({"type": "FeatureCollection", "features": features})
        )
        found = find_scenes(tmp_path / "items.json", WORLD, "2023", "2023")
        assert [item.id for item in found] == expected
    keys = [(name[11:26], int(name[34:37]), name[38:44]) for name in expected]
    assert keys == sorted(keys)


def test_order_goes_by_tile_before_baseline(real: Path, tmp_path: Path) -> None:
    """Of one overpass the tiles come in order, whatever baseline their names begin with."""
    raw = [json.loads(file.read_bytes()) for file in sorted(real.parent.glob("*/S2B*0820*/*.json"))]
    north = raw[1]["properties"]
    north["s2:product_uri"] = north["s2:product_uri"].replace("N0509", "N0400")
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": raw}))
    found = find_scenes(tmp_path / "items.json", WORLD, "2023", "2023")
    assert [item.properties["grid:code"] for item in found] == ["MGRS-33TWL", "MGRS-33TWM"]


def test_many_refusals_one_warning(real_data: Path, tmp_path: Path) -> None:
    """However many scenes are refused, one warning sums them up and the list has them all."""
    text = (real_data / "stac-items" / "earth-search_sentinel-2-l1c_items.json").read_text()
    features = json.loads(text)["features"] * 2
    (tmp_path / "items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": features})
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = find_scenes(tmp_path / "items.json", WORLD, "2025", "2025")
    (warning,) = caught
    assert issubclass(warning.category, SceneWarning) and warning.filename == __file__
    assert "10 scene(s)" in str(warning.message) and "5 more" in str(warning.message)
    assert len(found.extra_fields[REFUSED]) == 10


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("earthsearch", "Did you mean 'earth-search'"),
        ("Sample", "Did you mean 'sample'"),
        ("no/such/folder", r"neither a known name, nor a URL, nor an existing path.*Accepted"),
        ("", "neither a known name"),
        ("x\0y", "is no path|neither a known name"),
        ("x" * 5000, "is no path"),
        (None, "NoneType.*Accepted"),
        (["sample"], "list.*Accepted"),
    ],
)
def test_unknown_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: object, message: str
) -> None:
    """A source that is none is an error that lists the accepted ones."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=message):
        find_scenes(source, AOI, "2023", "2023")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relative_orbit": 0}, "relative_orbit=0 .*1 to 143"),
        ({"relative_orbit": 144}, "1 to 143"),
        ({"relative_orbit": "R051"}, "1 to 143"),
        ({"relative_orbit": [51, "8"]}, "1 to 143"),
        ({"relative_orbit": 51.0}, "1 to 143"),
        ({"relative_orbit": True}, "1 to 143"),
        ({"relative_orbit": []}, "1 to 143"),
        ({"max_cloud": -1}, "max_cloud=-1 .*0 to 100"),
        ({"max_cloud": 100.5}, "0 to 100"),
        ({"max_cloud": float("nan")}, "0 to 100"),
        ({"max_cloud": "20"}, "0 to 100"),
        ({"max_cloud": True}, "0 to 100"),
        ({"aoi": (84_000, 445_000, 90_000, 450_000)}, "metres"),
        ({"aoi": shapely.Polygon()}, "empty"),
        ({"start": "2024"}, "ends before it starts"),
        ({"end": "soon"}, "end='soon' is not a date"),
    ],
)
def test_checked_before_any_access(
    monkeypatch: pytest.MonkeyPatch, change: dict, message: str
) -> None:
    """Every argument is checked before the source is touched."""

    def access(*_: object) -> None:
        raise AssertionError("the source was touched")

    monkeypatch.setattr(find, "_scenes", access)
    options = {"source": "earth-search", "aoi": AOI, "start": "2023", "end": "2023"} | change
    with pytest.raises(InvalidInputError, match=message):
        find_scenes(**options)


@pytest.mark.parametrize("named", [True, False])
def test_sample_is_made_where_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """The practice scenes go to data/practice here, or where S2KIT_PRACTICE says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2KIT_PRACTICE", raising=False)
    if named:
        monkeypatch.setenv("S2KIT_PRACTICE", str(tmp_path / "elsewhere"))

    def write(folder: Path) -> Path:
        scene = folder / "scenes" / "S2A_MSIL2A_20210601T105031_N0300_R051_T31UFT_x.SAFE"
        scene.mkdir(parents=True)
        return folder

    monkeypatch.setattr(practice, "write_practice_scenes", write)
    with pytest.warns(SceneWarning, match="MTD_MSIL2A.xml is missing"):
        find_scenes("sample", "delft", "2021", "2021")
    assert (tmp_path / ("elsewhere" if named else "data/practice") / "scenes").is_dir()
