"""STAC items on disk: the real ones of every provider, and what may be wrong with items."""

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pystac
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from s2kit.cube.acquisitions import Scene
from s2kit.errors import CatalogueError, SceneError, SceneWarning
from s2kit.scenes import REFUSED, find_scenes
from s2kit.scenes.footprint import read_footprint
from s2kit.scenes.item import BANDS, LAYERS
from s2kit.scenes.stac import StacScene
from s2kit.scenes.uri import is_far, resolve

WORLD = (-180, -90, 180, 90)
NAN_RING = [[4, 51], [float("nan"), 51], [5, 52], [4, 51]]
Json = dict[str, Any]
Save = Callable[..., Path]

EARTH_SEARCH_NAMES = {
    **{"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B8A": "nir08", "SCL": "scl"},
    **{"B05": "rededge1", "B06": "rededge2", "B07": "rededge3", "B11": "swir16", "B12": "swir22"},
    **{"CLD": "cloud", "SNW": "snow", "WVP": "wvp"},
}


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save items as an item collection."""

    def write(*items: object) -> Path:
        path = tmp_path / "items.json"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        return path

    return write


def find(source: Path, **options: object) -> pystac.ItemCollection:
    """Find all in the world and ever, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        return find_scenes(source, WORLD, "2015", "2030", **options)


def reasons(source: Path) -> list[str]:
    """Return why scenes are refused."""
    with pytest.warns(SceneWarning):
        found = find_scenes(source, WORLD, "2015", "2030")
    return [refused["reason"] for refused in found.extra_fields[REFUSED]]


def offsets(item: pystac.Item) -> set[float]:
    """Return all offsets of an item's bands."""
    return {
        item.assets[band].extra_fields["raster:offset"] for band in BANDS if band in item.assets
    }


def hrefs(item: pystac.Item) -> dict[str, str]:
    """Return layer to href."""
    return {layer: asset.href for layer, asset in item.assets.items()}


def test_static_catalogue(real_data: Path) -> None:
    """The real catalogue gives ten scenes, in order, already shifted, with files that exist."""
    folder = real_data / "stac-l2a-2023"
    raw = [json.loads(file.read_bytes()) for file in folder.glob("*/*/*.json")]
    found = find(folder / "catalog.json")
    names = {item["properties"]["s2:product_uri"].removesuffix(".SAFE") for item in raw}
    assert len(found) == len(raw) == 10 and {item.id for item in found} == names
    assert [item.properties["sat:relative_orbit"] for item in found] == [79, 79, 122, 122] * 2 + [
        79,
        79,
    ]
    assert [item.properties["grid:code"][-5:] for item in found] == ["33TWL", "33TWM"] * 5
    for item in found:
        assert list(item.assets) == ["B02", "B03", "B04", "B08", "SCL"]
        assert offsets(item) == {0}
        assert all(
            Path(href).is_absolute() and Path(href).is_file() for href in hrefs(item).values()
        )
        assert item.properties["proj:code"] == "EPSG:32633"
        assert item.properties["s2kit:source"] == "earth-search sentinel-2-l2a"


@pytest.mark.parametrize("place", ["", "sentinel-2-l2a", "sentinel-2-l2a/collection.json"])
def test_folder_and_collection(real_data: Path, place: str) -> None:
    """The catalogue's folder, its collection and that one's folder hold the same."""
    folder = real_data / "stac-l2a-2023"
    wanted = [item.id for item in find(folder / "catalog.json")]
    assert [item.id for item in find(folder / place)] == wanted


def test_single_item(real_data: Path) -> None:
    """One item's file is one scene; its links upwards are not followed."""
    (file, *_) = sorted((real_data / "stac-l2a-2023").glob("*/*/*.json"))
    (item,) = find(file)
    assert item.id == json.loads(file.read_bytes())["properties"]["s2:product_uri"][:-5]
    assert item.assets["B04"].href == str(file.parent / "B04.tif")


def test_earth_search(features: Callable, save: Save) -> None:
    """`sentinel-2-l2a`: COGs, not their jp2 twins; applied already although it says -0.1."""
    raw = features("earth-search_sentinel-2-l2a")
    found = {item.id: item for item in find(save(*raw))}
    assert len(found) == len(raw) == 7
    for one in raw:
        item = found[one["properties"]["s2:product_uri"].removesuffix(".SAFE")]
        assert one["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
        assert offsets(item) == {0}
        for layer in set(LAYERS) - {"CLD", "SNW"}:
            assert item.assets[layer].href == one["assets"][EARTH_SEARCH_NAMES[layer]]["href"]
        assert item.properties["eo:cloud_cover"] == one["properties"]["eo:cloud_cover"]
        assert item.properties["proj:code"] == f"EPSG:{one['properties']['proj:epsg']}"


def test_earth_search_where_the_requester_pays(
    features: Callable, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probabilities in a bucket where the requester pays are offered to who pays only."""
    path = save(features("earth-search_sentinel-2-l2a")[0])
    monkeypatch.delenv("AWS_REQUEST_PAYER", raising=False)
    assert not {"CLD", "SNW"} & set(find(path)[0].assets)
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    (item,) = find(path)
    assert tuple(item.assets) == LAYERS
    assert item.assets["CLD"].href.startswith("/vsis3/sentinel-s2-l2a/tiles/20/E/PT/2025/7/31/0/qi")


@pytest.mark.parametrize(
    ("flag", "baseline", "offset"),
    [
        (True, "N0511", 0),
        (False, "N0511", -0.1),
        (None, "N0511", -0.1),
        (False, "N0400", -0.1),
        (False, "N0301", 0),
        (True, "N0301", 0),
    ],
)
def test_earth_search_flag(
    features: Callable, save: Save, flag: bool | None, baseline: str, offset: float
) -> None:
    """The offset follows `boa_offset_applied` and the baseline, not raster:bands."""
    (item, *_) = features("earth-search_sentinel-2-l2a")
    properties = item["properties"]
    properties["earthsearch:boa_offset_applied"] = flag
    properties["s2:product_uri"] = properties["s2:product_uri"].replace("N0511", baseline)
    properties["s2:processing_baseline"] = f"{baseline[1:3]}.{baseline[3:]}"
    (found,) = find(save(item))
    assert offsets(found) == {offset}
    assert found.assets["B04"].extra_fields["s2kit:offset_source"] == "flag"


@pytest.mark.parametrize(
    ("flag", "offset"),
    [("true", 0), ("True", 0), (1, 0), ("false", -0.1), (0, -0.1), ("yes", None), (2, None)],
)
def test_earth_search_flag_as_text(
    features: Callable, save: Save, flag: object, offset: float | None
) -> None:
    """A flag that is text or a number is read; what is neither true nor false is refused."""
    (item, *_) = features("earth-search_sentinel-2-l2a")
    item["properties"]["earthsearch:boa_offset_applied"] = flag
    if offset is None:
        assert "not true or false" in reasons(save(item))[0]
    else:
        assert offsets(find(save(item))[0]) == {offset}


def test_earth_search_collection_1(features: Callable, save: Save) -> None:
    """`sentinel-2-c1-l2a`: not applied; what raster:bands says is still to be applied."""
    raw = features("earth-search_sentinel-2-c1-l2a")
    raw[0]["assets"]["red"]["raster:bands"][0]["offset"] = 0
    found = {item.id: item for item in find(save(*raw))}
    assert len(found) == len(raw) == 6
    for one in raw:
        item = found[one["properties"]["s2:product_uri"].removesuffix(".SAFE")]
        assert tuple(item.assets) == LAYERS
        for layer, asset in item.assets.items():
            wanted = one["assets"][EARTH_SEARCH_NAMES[layer]]
            assert asset.href == wanted["href"]
            raster = wanted["raster:bands"][0]
            assert asset.extra_fields["raster:scale"] == raster.get("scale", 1)
            assert asset.extra_fields["raster:offset"] == raster.get("offset", 0)


def test_earth_search_version_0(features: Callable, save: Save) -> None:
    """The items of Earth Search v0 keep the product's name elsewhere."""
    (raw,) = features("earth-search_sentinel-s2-l2a-cogs")
    (item,) = find(save(raw))
    assert item.id == raw["properties"]["sentinel:product_id"]
    assert item.properties["s2:processing_baseline"] == "05.11"
    assert offsets(item) == {0}
    assert set(item.assets) == set(LAYERS) - {"CLD", "SNW"}


def test_planetary_computer(features: Callable, save: Save) -> None:
    """Items get their full product name, and hrefs that GDAL signs."""
    raw = features("planetarycomputer_sentinel-2-l2a")
    found = {item.id: item for item in find(save(*raw))}
    assert len(found) == len(raw) == 33
    for one in raw:
        item = found[one["properties"]["s2:product_uri"].removesuffix(".SAFE")]
        for layer in set(LAYERS) - {"CLD", "SNW"}:
            head, _, url = item.assets[layer].href.partition("&url=")
            assert head == "/vsicurl?pc_url_signing=yes&pc_collection=sentinel-2-l2a"
            assert unquote(url) == one["assets"][layer]["href"] and "/" not in url
        assert item.properties["sat:relative_orbit"] == one["properties"]["sat:relative_orbit"]
        assert item.properties["grid:code"] == f"MGRS-{one['properties']['s2:mgrs_tile']}"
        scales = [
            item.assets[layer].extra_fields["raster:scale"] for layer in ("B04", "WVP", "SCL")
        ]
        assert scales == [1e-4, 1e-3, 1]
        assert offsets(item) == {0}


def test_planetary_computer_new_baseline_and_old_token(features: Callable, save: Save) -> None:
    """Raw pixels since baseline 04.00 are to be shifted; a token that runs out is dropped."""
    (raw, *_) = features("planetarycomputer_sentinel-2-l2a")
    raw["properties"]["s2:processing_baseline"] = "04.00"
    plain = raw["assets"]["B04"]["href"]
    raw["assets"]["B04"]["href"] += "?st=2023&se=2023&sig=abc"
    (item,) = find(save(raw))
    assert offsets(item) == {-0.1}
    assert unquote(item.assets["B04"].href).endswith(f"&url={plain}")


COPERNICUS_SAFE = (
    "s3://eodata/Sentinel-2/MSI/L2A_N0500/2022/01/28/"
    "S2A_MSIL2A_20220128T152641_N0510_R025_T18NWL_20240507T153036.SAFE/GRANULE/"
    "L2A_T18NWL_A034485_20220128T153044/IMG_DATA"
)


def copernicus_item() -> Json:
    """Make an item in the form documented for Copernicus STAC.

    No real item is at hand: ids, properties, asset names and hrefs are as quoted in
    opendatacube/odc-stac issue 238 and in CDSE's documentation, so this proves that form only.
    """
    native = dict.fromkeys(["B02", "B03", "B04", "B08", "WVP"], (10, 20, 60))
    native |= dict.fromkeys(["B05", "B06", "B07", "B8A", "B11", "B12", "SCL"], (20, 60))
    assets = {
        f"{layer}_{size}m": {
            "href": f"{COPERNICUS_SAFE}/R{size}m/T18NWL_20220128T152641_{layer}_{size}m.jp2",
            "type": "image/jp2",
            "gsd": size,
            "proj:code": "EPSG:32618",
            "auth:refs": ["s3"],
        }
        for layer, sizes in native.items()
        for size in sizes
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "S2A_MSIL2A_20220128T152641_N0510_R025_T18NWL_20240507T153036",
        "collection": "sentinel-2-l2a",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[-75, 0], [-74, 0], [-74, 1], [-75, 1], [-75, 0]]],
        },
        "properties": {
            "datetime": "2022-01-28T15:26:41.024Z",
            "platform": "sentinel-2a",
            "sat:relative_orbit": 25,
            "grid:code": "MGRS-18NWL",
            "processing:version": "05.10",
            "proj:code": "EPSG:32618",
            "eo:cloud_cover": 12.5,
        },
        "assets": assets,
        "links": [{"rel": "root", "href": "https://stac.dataspace.copernicus.eu/v1/"}],
    }


def test_copernicus(save: Save) -> None:
    """Each layer at its native resolution, through /vsis3, raw pixels by baseline."""
    (item,) = find(save(copernicus_item()))
    assert set(item.assets) == set(LAYERS) - {"CLD", "SNW"}
    base = COPERNICUS_SAFE.replace("s3://", "/vsis3/")
    for layer, size in {"B02": 10, "B08": 10, "B8A": 20, "B11": 20, "SCL": 20, "WVP": 20}.items():
        wanted = f"{base}/R{size}m/T18NWL_20220128T152641_{layer}_{size}m.jp2"
        assert item.assets[layer].href == wanted
    assert offsets(item) == {-0.1}
    assert item.properties["proj:code"] == "EPSG:32618"
    assert item.properties["s2kit:source"] == "copernicus sentinel-2-l2a"


def other_item(**asset: object) -> Json:
    """Make an item of nobody in particular, of baseline 04.00, with one band."""
    return {
        "type": "Feature",
        "id": "S2A_MSIL2A_20220601T105031_N0400_R051_T31UFT_20220601T135031",
        "geometry": {"type": "Polygon", "coordinates": [[[4, 51], [5, 51], [5, 52], [4, 51]]]},
        "properties": {"datetime": "2022-06-01T10:56:00Z"},
        "assets": {"B04": {"href": "https://example.org/B04.tif", **asset}},
    }


FORMS: dict[str, Callable[[Json], Json]] = {
    "raster 2.0": lambda told: {f"raster:{k}" if k != "nodata" else k: v for k, v in told.items()},
    "raster 1.0": lambda told: {"raster:bands": [told]},
    "bands of STAC 1.1": lambda told: {"bands": [FORMS["raster 2.0"](told)]},
}
"""Where STAC has kept what is told of an asset's pixels."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("stated", "offset"),
    [(-0.1, -0.1), (0, 0), (0.0, 0), (-1000, -0.1), (-0.10000000149011612, -0.1)],
)
def test_any_provider_declares(save: Save, form: str, stated: float, offset: float) -> None:
    """Offset, scale and nodata are read wherever STAC keeps them; the offset in DN too."""
    told = FORMS[form]({"offset": stated, "scale": 1e-4, "nodata": 7})
    (item,) = find(save(other_item(**told)))
    fields = item.assets["B04"].extra_fields
    assert (fields["raster:offset"], fields["raster:scale"], fields["nodata"]) == (offset, 1e-4, 7)
    assert fields["s2kit:offset_source"] == "declared"
    assert item.properties["proj:code"] == "EPSG:32631"


ODD = [-0.7, -0.05, 0.1, 1, -1, 1000, -999, -100, float("nan"), float("inf"), "x", "-0.1", True]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stated", ODD)
def test_offset_that_does_not_exist(save: Save, form: str, stated: object) -> None:
    """Only 0 and −0.1 exist: a band with another offset is refused by name, the others are used."""
    item = other_item(**FORMS[form]({"offset": stated}))
    assert "B04 states offset" in reasons(save(item))[0]
    item["assets"]["B03"] = {"href": "x.tif", "raster:offset": -0.1}
    (found,) = find(save(item))
    assert list(found.assets) == ["B03"]
    assert "B04 states offset" in found.properties["s2kit:refused_layers"]["B04"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stated", [1, 2e-4, 1e-3, 0, float("nan"), "x", False])
def test_scale_that_does_not_exist(save: Save, form: str, stated: object) -> None:
    """Reflectance is DN / 10 000: another scale is refused by name."""
    item = other_item(**FORMS[form]({"offset": 0, "scale": stated}))
    assert "B04 states scale" in reasons(save(item))[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("stated", "nodata"),
    [("65535", 65535), ([7], 7), ("nan", 0), ("none", 0), ([1, 2], 0)],
)
def test_no_data_as_text(save: Save, form: str, stated: object, nodata: float) -> None:
    """A value of no data that is text, or alone in a list, is read; else 0 is."""
    (item,) = find(save(other_item(**FORMS[form]({"offset": 0, "nodata": stated}))))
    assert item.assets["B04"].extra_fields.get("nodata") == nodata


def test_name_of_another_day(save: Save) -> None:
    """A datetime that is not of the product's day is noted; the product counts."""
    item = other_item(**{"raster:offset": 0})
    item["properties"]["datetime"] = "2022-07-15T10:56:00Z"
    (found,) = find(save(item))
    assert found.properties["s2kit:datatake_start"] == "2022-06-01T10:50:31Z"
    (note,) = found.properties["s2kit:notes"]
    assert note.startswith("its datetime is 2022-07-15")


def test_copies_that_contradict_each_other(save: Save) -> None:
    """Two items that state different offsets of one file are noted; of two files they may."""
    one, two = (other_item(**{"raster:offset": offset}) for offset in (-0.1, 0))
    (found,) = find(save(one, two))
    assert "different offsets of the same files (B04)" in found.properties["s2kit:notes"][0]
    two["assets"]["B04"]["href"] = "https://example.org/B04_shifted.tif"
    (found,) = find(save(one, two))
    assert "s2kit:notes" not in found.properties


def test_name_that_no_file_can_have(save: Save) -> None:
    """An href that the file system refuses costs its band, not the search."""
    item = other_item(**{"raster:offset": 0})
    item["assets"]["B03"] = {"href": f"B03.tif?sig={'a' * 300}", "raster:offset": 0}
    (found,) = find(save(item))
    assert "B04" in found.assets


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", ["WVP", "CLD", "SNW", "SCL"])
@pytest.mark.parametrize("told", [{"scale": 1e-4, "offset": -0.1}, {"scale": "x"}, {"offset": 5}])
def test_odd_statement_on_an_auxiliary_layer(save: Save, form: str, layer: str, told: Json) -> None:
    """It costs nothing: the layer has the constants of Level-2A, and the item says so."""
    item = other_item(**{"raster:offset": 0})
    item["assets"][layer] = {"href": f"{layer}.tif", **FORMS[form](told)}
    (found,) = find(save(item))
    fields = found.assets[layer].extra_fields
    assert fields["raster:scale"] == (1e-3 if layer == "WVP" else 1)
    assert fields["raster:offset"] == 0
    (note,) = found.properties["s2kit:notes"]
    assert note.startswith(f"{layer} states scale ")


@pytest.mark.parametrize(
    ("baseline", "stated", "offset"),
    [("9999", 0, 0), ("9999", -0.1, -0.1), ("9933", 0, 0), ("0301", -0.1, -0.1), ("0509", 0, 0)],
)
def test_what_is_declared_goes_before_a_baseline(
    save: Save, baseline: str, stated: float, offset: float
) -> None:
    """A baseline in a name never outranks what an asset declares."""
    item = copernicus_item()
    item["id"] = item["id"].replace("N0510", f"N{baseline}")
    for asset in item["assets"].values():
        asset["raster:offset"] = stated
    for name in ("WVP_10m", "WVP_20m", "WVP_60m", "SCL_20m", "SCL_60m"):
        del item["assets"][name]["raster:offset"]
    assert offsets(find(save(item))[0]) == {offset}


@pytest.mark.parametrize(
    ("properties", "offset"),
    [
        ({"processing:version": "05.10"}, -0.1),
        ({"processing:version": "10.00"}, -0.1),
        ({"processing:version": "3.1"}, 0),
        ({"s2:processing_baseline": "02.14"}, 0),
        ({"processing:version": "99.99"}, None),
        ({"processing:version": ""}, None),
    ],
)
def test_baseline_of_sen2cor_says_nothing(
    save: Save, properties: Json, offset: float | None
) -> None:
    """N9999 in a name is no baseline; one that is stated is compared as a number."""
    item = copernicus_item()
    item["id"] = item["id"].replace("N0510", "N9999")
    item["properties"] |= {"processing:version": None} | properties
    if offset is None:
        assert "state raster:offset" in reasons(save(item))[0]
    else:
        assert offsets(find(save(item))[0]) == {offset}


@pytest.mark.parametrize(
    ("named", "version", "offset"),
    [
        ("0509", "1.2", None),
        ("0509", "3", None),
        ("0509", "301", -0.1),
        ("0509", "5.10", -0.1),
        ("0301", "5.9", None),
        ("0301", "2.14", 0),
        ("0509", "v1", -0.1),
    ],
)
def test_version_of_a_software(save: Save, named: str, version: str, offset: float | None) -> None:
    """A processing:version that contradicts the name about the offset proves nothing."""
    item = copernicus_item()
    item["id"] = item["id"].replace("N0510", f"N{named}")
    item["properties"]["processing:version"] = version
    for asset in item["assets"].values():
        asset.pop("raster:offset", None)
    if offset is None:
        assert "no raster:offset" in reasons(save(item))[0]
    else:
        assert offsets(find(save(item))[0]) == {offset}


@pytest.mark.parametrize(
    "link",
    ["https://earth-search.aws.element84.com/v1/x", "https://stac.dataspace.copernicus.eu/v1/x"],
)
def test_links_to_other_catalogues_name_no_provider(save: Save, link: str) -> None:
    """What an item was derived from does not make it an item of that provider."""
    item = other_item(**{"raster:offset": 0})
    item["links"] = [{"rel": "derived_from", "href": link}, {"rel": "via", "href": link}]
    (found,) = find(save(item))
    assert found.properties["s2kit:source"].split()[0] == "stac"
    assert offsets(found) == {0}
    assert found.assets["B04"].extra_fields["s2kit:offset_source"] == "declared"
    del item["assets"]["B04"]["raster:offset"]
    assert "no raster:offset" in reasons(save(item))[0]


def test_any_provider_silent(save: Save) -> None:
    """Silence on the offset is clear before baseline 04.00, and a refusal after."""
    item = other_item()
    assert "no raster:offset" in reasons(save(item))[0]
    item["id"] = item["id"].replace("N0400", "N0301")
    assert offsets(find(save(item))[0]) == {0}


@pytest.mark.parametrize(
    ("href", "wanted"),
    [
        ("https://example.org/a%20b/B04.tif?x=1", "https://example.org/a%20b/B04.tif?x=1"),
        ("s3://bucket/a/B04.tif", "/vsis3/bucket/a/B04.tif"),
        ("gs://bucket/a/B04.tif", "/vsigs/bucket/a/B04.tif"),
        ("/vsizip/a.zip/B04.tif", "/vsizip/a.zip/B04.tif"),
        ("file:///data/B04.tif", "/data/B04.tif"),
        ("file://localhost/data/a%20b/B04.tif", "/data/a b/B04.tif"),
        ("FILE:///data/%C3%A9/B04.tif", "/data/é/B04.tif"),
        ("./a%20b/B04.tif", "{folder}/a b/B04.tif"),
        ("a/./b/../B04.tif", "{folder}/a/B04.tif"),
        ("s3://bucket/a%20b/B04.tif", "/vsis3/bucket/a b/B04.tif"),
        ('ZARR:"/data/p.zarr":/measurements/b04', 'ZARR:"/data/p.zarr":/measurements/b04'),
        ("https://e.org/p.zarr/m/r10m/b04", 'ZARR:"/vsicurl/https://e.org/p.zarr":/m/r10m/b04'),
        ("./p.zarr/m/r10m/b04", 'ZARR:"{folder}/p.zarr":/m/r10m/b04'),
        ("./p.zarr/B04.tif", "{folder}/p.zarr/B04.tif"),
        ("/data/B04.tif", "/data/B04.tif"),
        ("./a/B04.tif", "{folder}/a/B04.tif"),
        ("../a/B04.tif", "{parent}/a/B04.tif"),
    ],
)
def test_hrefs(save: Save, href: str, wanted: str) -> None:
    """Every href becomes one that GDAL opens, relative ones from the file that holds the item."""
    path = save(other_item(href=href, **{"raster:offset": 0}))
    wanted = wanted.format(folder=path.parent, parent=path.parent.parent)
    assert find(path)[0].assets["B04"].href == wanted


@pytest.mark.parametrize(
    ("href", "wanted"),
    [
        ("./B04.tif", "http://e.org/a/b/B04.tif"),
        ("../B04.tif", "http://e.org/a/B04.tif"),
        ("/B04.tif", "http://e.org/B04.tif"),
        ("//f.org/B04.tif", "http://f.org/B04.tif"),
        ("?x=1", "http://e.org/a/b/item.json?x=1"),
        ("s3://bucket/B04.tif", "s3://bucket/B04.tif"),
        ("file:///data/a%20b.tif", "/data/a b.tif"),
        ("a%20b.tif", "http://e.org/a/b/a%20b.tif"),
    ],
)
def test_hrefs_of_a_server(href: str, wanted: str) -> None:
    """What a server's document refers to is resolved as RFC 3986 says; files stay files."""
    assert resolve(href, "http://e.org/a/b/item.json") == wanted


LOCAL = [
    "file:///data/B04.tif",
    "file://localhost/data/B04.tif",
    "FILE:///data/B04.tif",
    "/vsizip/{/data/a.zip}/B04.tif",
    "/vsisubfile/0,/data/B04.tif",
    "/vsimem/B04.tif",
    'ZARR:"/data/p.zarr":/b04',
    'ZARR:"/vsizip/{/data/p.zip}/p.zarr":/b04',
    "file:///data/p.zarr/measurements/b04",
    "ftp://e.org/B04.tif",
    "C:/data/B04.tif",
    "WMS:http://e.org/?",
]


@pytest.mark.parametrize("source", [None, "saved"])
@pytest.mark.parametrize("href", LOCAL)
def test_a_server_names_no_local_files(href: str, source: str | None) -> None:
    """An item of a server that names files of the computer that reads it loses these layers.

    The item stays, so that nobody misses it; also when it was saved, and is read from a file.
    """
    item = other_item(href=href, **{"raster:offset": 0})
    item["properties"] |= {"s2kit:source": source} if source else {}
    found = StacScene(item, "https://e.org/a/item.json").item()
    saved = StacScene(found.to_dict(), "/data/items.json").item()
    for one in (found, saved):
        scene = Scene.from_item(one)
        assert scene.assets == {} and "may name URLs only" in scene.refused["B04"]
    item["assets"] = {"B04": {"href": "https://e.org/B04.tif", "raster:offset": 0}} | {
        "SCL": {"href": href}
    }
    scene = Scene.from_item(StacScene(item, "HTTPS://e.org/a/item.json").item())
    assert list(scene.assets) == ["B04"]
    assert "may name URLs only" in scene.refused["SCL"]


@pytest.mark.parametrize(
    "href",
    [
        *("B04.tif", "/data/B04.tif", "s3://b/B04.tif", "gs://b/B04.tif", "az://b/B04.tif"),
        *("/vsis3/b/B04.tif", "/vsicurl/https://f.org/B04.tif", "p.zarr/measurements/b04"),
        "GTIFF_DIR:1:/data/B04.tif",
    ],
)
def test_a_server_names_urls(href: str) -> None:
    """What an item of a server names by a URL, or relative to it, is read from there."""
    item = other_item(href=href, **{"raster:offset": 0})
    assert is_far(StacScene(item, "https://e.org/a/item.json").item().assets["B04"].href)


def test_href_as_it_is_written(tmp_path: Path) -> None:
    """A file whose name looks percent-encoded is taken where it exists, as pystac writes it."""
    (tmp_path / "a%20b.tif").touch()
    assert resolve("a%20b.tif", str(tmp_path / "i.json")) == str(tmp_path / "a%20b.tif")
    assert resolve("c%20d.tif", str(tmp_path / "i.json")) == str(tmp_path / "c d.tif")


def test_file_of_another_computer_costs_its_band(save: Save) -> None:
    """`file://host/…` is refused by name, not read from this computer."""
    item = other_item(href="file://server/share/B04.tif", **{"raster:offset": 0})
    assert "lies on the computer server" in reasons(save(item))[0]


def test_canonical_items_are_read_again(
    features: Callable, save: Save, real_data: Path, tmp_path: Path
) -> None:
    """What find_scenes returned, saved and read again, is the same, whoever made it."""
    names = ["earth-search_sentinel-2-l2a", "earth-search_sentinel-2-c1-l2a"]
    raw = [item for name in names for item in features(name)[:1]]
    raw += [features("planetarycomputer_sentinel-2-l2a")[0], copernicus_item()]
    first = find(save(*raw))
    first[0].properties["s2kit:synthetic"] = True
    for item in first:  # what the pixels taught is not overruled by a provider's rule
        item.assets["B04"].extra_fields["raster:offset"] = -0.1
    path = tmp_path / "found.json"
    first.save_object(str(path))
    again = find(path)
    assert [item.to_dict() for item in again] == [item.to_dict() for item in first]


def test_pystac_reads_them(real_data: Path, tmp_path: Path) -> None:
    """A saved result is a valid item collection for pystac, with every field in place."""
    found = find(real_data / "stac-l2a-2023" / "catalog.json")
    found.save_object(str(tmp_path / "found.json"))
    again = pystac.ItemCollection.from_file(str(tmp_path / "found.json"))
    assert json.dumps(again.to_dict()) == json.dumps(found.to_dict())
    assert again.extra_fields[REFUSED] == []


def test_same_product_once(features: Callable, save: Save) -> None:
    """Of the same product in two collections the copy that states its offset reliably is used."""
    one = features("earth-search_sentinel-2-c1-l2a")[0]
    two = features("earth-search_sentinel-2-l2a")[0]
    assert one["properties"]["s2:product_uri"] == two["properties"]["s2:product_uri"]
    for order in ((one, two), (two, one), (two, one, one)):
        (item,) = find(save(*order))
        assert offsets(item) == {-0.1}
        assert item.properties["s2kit:source"] == "earth-search sentinel-2-c1-l2a"


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_copies_complete_each_other(features: Callable, save: Save, data: st.DataObject) -> None:
    """Whatever is missing in which copy, in any order: every layer that one has is there."""
    one = copy.deepcopy(features("earth-search_sentinel-2-c1-l2a")[0])
    two = copy.deepcopy(features("earth-search_sentinel-2-l2a")[0])
    names = {
        layer: name for layer, name in EARTH_SEARCH_NAMES.items() if layer not in ("CLD", "SNW")
    }
    kept = {}
    for key, raw in (("one", one), ("two", two)):
        kept[key] = data.draw(st.sets(st.sampled_from(sorted(names))))
        raw["assets"] = {names[layer]: raw["assets"][names[layer]] for layer in kept[key]}
    order = data.draw(st.permutations([one, two]))
    bands = {key: kept[key] & set(BANDS) for key in kept}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        found = list(find_scenes(save(*order), WORLD, "2015", "2030"))
    usable = [key for key in kept if bands[key]]
    if not usable:
        assert not found
        return
    (item,) = found
    assert set(item.assets) == set().union(*(kept[key] for key in usable))
    for layer in item.assets:
        own = "one" if "one" in usable and layer in kept["one"] else "two"
        source = {"one": one, "two": two}[own]
        assert item.assets[layer].href == source["assets"][names[layer]]["href"]
        if layer in BANDS:
            offset = -0.1 if own == "one" else 0
            assert item.assets[layer].extra_fields["raster:offset"] == offset
    if len(usable) == 2 and kept["two"] - kept["one"]:
        layer = sorted(kept["two"] - kept["one"])[0]
        assert item.assets[layer].extra_fields["s2kit:source"] == "earth-search sentinel-2-l2a"
        assert any("from earth-search sentinel-2-l2a" in n for n in item.properties["s2kit:notes"])


NAME = "S2A_MSIL2A_20220601T105031_N0400_R051_T31UFT_20220601T135031"


@pytest.mark.parametrize(
    "change",
    [
        {"properties": {"s2:product_uri": f"{NAME}.SAFE"}},
        {"properties": {"sentinel:product_id": NAME}},
        {"properties": {"s2:product_title": NAME}},
        {"properties": {"sentinel2:product_title": NAME}},
        {"properties": {"title": f"Sentinel-2 {NAME}"}},
        {"properties": {"a": {"b": [NAME]}}},
        {"properties": {"l1c": NAME.replace("MSIL2A", "MSIL1C"), "l2a": NAME}},
        {"assets": {"B04": {"href": f"https://e.org/{NAME}.SAFE/B04.tif", "raster:offset": 0}}},
        {"id": f"{NAME}.SAFE"},
    ],
)
def test_name_is_found_wherever_it_is(save: Save, change: Json) -> None:
    """The product's name is looked for in every place where catalogues put it."""
    item = other_item(**{"raster:offset": 0}) | {"id": "scene 5"} | change
    assert [one.id for one in find(save(item))] == [NAME]


def test_names_that_contradict_each_other(save: Save) -> None:
    """Two names in a place that is not made for one are no name."""
    other = NAME.replace("31UFT", "31UET")
    item = other_item(**{"raster:offset": 0}) | {"id": "scene 5"}
    item["properties"] |= {"a": NAME, "b": other}
    assert "does not say which product" in reasons(save(item))[0]


RINGS = {
    "jump": [[179, -17.2], [-179.2, -17.2], [-179.2, -16.4], [179, -16.4], [179, -17.2]],
    "beyond 180": [[179, -17.2], [180.8, -17.2], [180.8, -16.4], [179, -16.4], [179, -17.2]],
    "beyond -180": [[-181, -17.2], [-179.2, -17.2], [-179.2, -16.4], [-181, -16.4], [-181, -17.2]],
    "a turn later": [[539, -17.2], [540.8, -17.2], [540.8, -16.4], [539, -16.4], [539, -17.2]],
}
CUT = {
    "type": "MultiPolygon",
    "coordinates": [
        [[[179, -17.2], [180, -17.2], [180, -16.4], [179, -16.4], [179, -17.2]]],
        [[[-180, -17.2], [-179.2, -17.2], [-179.2, -16.4], [-180, -16.4], [-180, -17.2]]],
    ],
}


@pytest.mark.parametrize("form", [*RINGS, "cut"])
def test_footprint_across_the_antimeridian(save: Save, form: str) -> None:
    """Whichever form it has, it is found on both sides, and nowhere else."""
    item = other_item(**{"raster:offset": 0})
    ring = RINGS.get(form)
    item["geometry"] = {"type": "Polygon", "coordinates": [ring]} if ring else CUT
    path = save(item)
    for west, count in [(-179.9, 1), (179.6, 1), (179.05, 1), (-179.15, 0), (10, 0), (-100, 0)]:
        found = find_scenes(path, (west, -17, west + 0.05, -16.6), "2022", "2022")
        assert len(found) == count, west
        for one in found:
            bounds = shape(one.geometry).bounds
            assert bounds == (-180, -17.2, 180, -16.4)


@given(st.floats(-179, 179), st.floats(0.1, 2), st.integers(-1, 1), st.booleans())
def test_footprints_keep_their_area(west: float, width: float, turn: int, jumps: bool) -> None:
    """An outline anywhere, in any form, covers the same part of the circle, within ±180°."""
    east = west + width
    corners = np.array([[west, 10], [east, 10], [east, 11], [west, 11]])
    if jumps:
        corners[:, 0] = (corners[:, 0] + 180) % 360 - 180
    else:
        corners[:, 0] += 360 * turn
    found = read_footprint(shapely.Polygon(corners))
    assert found.is_valid
    assert found.area == pytest.approx(width, abs=1e-6)
    assert found.bounds[0] >= -180
    assert found.bounds[2] <= 180


def test_level_1c_is_refused(features: Callable, save: Save) -> None:
    """Every L1C item is refused by name, with the reason."""
    raw = features("earth-search_sentinel-2-l1c")
    assert (
        reasons(save(*raw))
        == ["is L1C, but only L2A can be used"] * len(raw)
        == ["is L1C, but only L2A can be used"] * 5
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id": "scene 1"}, "does not say which product"),
        ({"assets": {}}, "none of its assets is a band in reach (found: none)"),
        ({"assets": {"SCL": {"href": "x.tif"}}}, "(found: SCL)"),
        ({"assets": {"B04": {"title": "no href"}}}, "(found: B04)"),
        ({"assets": None}, "no STAC item"),
        ({"properties": []}, "no STAC item"),
        ({"geometry": {"type": "Polygon"}}, "geometry is no GeoJSON"),
        ({"geometry": {"type": "Polygon", "coordinates": [NAN_RING]}}, "geometry is no GeoJSON"),
        ({"properties": {"datetime": "noon"}}, "datetime is 'noon'"),
        ({"properties": {"s2:generation_time": 5}}, "s2:generation_time is 5"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_items_that_cannot_be_used(save: Save, change: Json, expected: str) -> None:
    """What an item lacks is the reason for which it is refused."""
    item = other_item(**{"raster:offset": 0}) | change
    (found,) = reasons(save(item))
    assert expected in found


def test_item_without_geometry_or_time(save: Save) -> None:
    """Where an item is silent on place, it is kept; the time is its name's."""
    item = other_item(**{"raster:offset": 0}) | {"geometry": None, "properties": {"datetime": None}}
    (found,) = find(save(item))
    assert found.geometry is None
    assert found.datetime.isoformat() == "2022-06-01T10:50:31+00:00"


def test_self_crossing_footprint(save: Save) -> None:
    """A footprint that crosses itself, as real ones do, is mended instead of failing."""
    item = other_item(**{"raster:offset": 0})
    item["geometry"]["coordinates"] = [[[4, 51], [5, 52], [5, 51], [4, 52], [4, 51]]]
    assert len(find_scenes(save(item), (4, 51, 5, 52), "2022", "2022")) == 1
    assert len(find_scenes(save(item), (4.4, 51, 4.6, 51.1), "2022", "2022")) == 0


def test_broken_item_in_a_catalogue(real_data: Path, tmp_path: Path) -> None:
    """An item that a catalogue links to and that is broken or missing is refused by name."""
    source = real_data / "stac-l2a-2023" / "sentinel-2-l2a"
    for file in [source / "collection.json", *source.glob("*/*.json")]:
        target = tmp_path / file.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    broken, missing, *_ = sorted(tmp_path.glob("*/*.json"))
    broken.write_text("{")
    missing.unlink()
    with pytest.warns(SceneWarning, match="2 scene") as caught:
        found = find_scenes(tmp_path / "collection.json", WORLD, "2023", "2023")
    assert len(found) == 8 and len(caught) == 1
    assert {one["scene"] for one in found.extra_fields[REFUSED]} == {broken.name, missing.name}


@pytest.mark.parametrize("content", ["", "{", "[]", "5", "{}", "\x00", "[" * 100_000])
def test_file_that_is_no_stac(tmp_path: Path, content: str) -> None:
    """A file that holds something else is an error that names it."""
    path = tmp_path / "catalog.json"
    path.write_text(content)
    with pytest.raises(CatalogueError, match=r"catalog\.json.*another source"):
        find(path)


def test_junk_among_the_features(features: Callable, save: Save) -> None:
    """Entries that are no items are refused; the others are found."""
    path = save(5, features("earth-search_sentinel-2-l2a")[0], None, {})
    with pytest.warns(SceneWarning, match="3 scene"):
        assert len(find_scenes(path, WORLD, "2015", "2030")) == 1


def test_circular_catalogue(tmp_path: Path) -> None:
    """A catalogue that links back to itself comes to an end."""
    links = [{"rel": "child", "href": "./catalog.json"}, {"rel": "child", "href": "./b.json"}]
    for name in ("catalog.json", "b.json"):
        (tmp_path / name).write_text(json.dumps({"type": "Catalog", "links": links}))
    assert len(find(tmp_path / "catalog.json")) == 0


def paths(value: object, at: tuple = ()) -> list[tuple]:
    """Return every place in a JSON value."""
    entries = value.items() if isinstance(value, dict) else []
    entries = enumerate(value) if isinstance(value, list) else entries
    return [at, *(path for key, inner in entries for path in paths(inner, (*at, key)))]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_in_an_item(features: Callable, data: st.DataObject) -> None:
    """Any value anywhere in a real item gives an item or a refusal, never another error."""
    provider = data.draw(
        st.sampled_from(["earth-search_sentinel-2-c1-l2a", "planetarycomputer_sentinel-2-l2a"])
    )
    item = copy.deepcopy(features(provider)[0])
    for name in list(item["assets"])[3:]:
        del item["assets"][name]
    junk = st.sampled_from([None, 5, -1.5, "x", "", [], {}, [5], {"a": 1}, True])
    for *parents, last in data.draw(st.lists(st.sampled_from(paths(item)[1:]), max_size=3)):
        place = item
        try:
            for key in parents:
                place = place[key]
            place[last] = copy.deepcopy(data.draw(junk))  # drawn twice, it would be one list
        except (KeyError, TypeError, IndexError):
            continue  # an earlier change has removed the place
    scene = StacScene(item, "/data/items.json")
    try:
        found = scene.item()
    except SceneError as error:
        assert error.scene and error.reason
    else:
        assert set(found.assets) <= set(LAYERS) and pystac.Item.from_dict(found.to_dict())
