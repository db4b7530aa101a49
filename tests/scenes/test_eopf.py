"""EOPF Zarr products: real metadata of two of them, with small arrays where the large ones are."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
import zarr

import s2kit
from s2kit.errors import CatalogueError, SceneWarning
from s2kit.scenes import REFUSED, find_scenes
from s2kit.scenes.eopf import ARRAYS
from s2kit.scenes.item import BANDS, LAYERS

WORLD = (-180, -90, 180, 90)
NAMES = [
    "S2A_MSIL2A_20251008T100041_N0511_R122_T32TQM_20251008T122613",
    "S2C_MSIL2A_20250811T112131_N0511_R037_T29TPF_20250811T152216",
]
SIDE = 240
"""Pixels of 10 m along a side of the arrays that are written."""

Json = dict[str, Any]


def nodes(tree: Json, path: str = "") -> list[tuple[str, Json]]:
    """Return all groups and arrays of real metadata, by their paths."""
    found = [(path, tree)]
    for name, member in (tree.get("members") or {}).items():
        found += nodes(member, f"{path}/{name}" if path else name)
    return found


def write_product(folder: Path, tree: Json, seed: int = 0) -> Path:
    """Write a Zarr store with real attributes, types and codecs, and arrays of 2.4 km."""
    rng = np.random.default_rng(seed)
    root = zarr.open_group(folder, mode="w", zarr_format=2)
    for path, node in nodes(tree):
        if "shape" not in node:
            (root.require_group(path) if path else root).attrs.update(node["attributes"])
            continue
        pixel = {10980: 10, 5490: 20, 1830: 60}
        wanted = path.startswith(
            ("measurements/reflectance", "conditions/mask/l2a", "quality/pro", "quality/atmosphere")
        )
        if not wanted or node["shape"] == [] or node["shape"][0] not in pixel:
            continue
        size = pixel[node["shape"][0]]
        shape = [SIDE * 10 // size] * len(node["shape"])
        array = root.create_array(
            path,
            shape=shape,
            chunks=[max(1, n // 2) for n in shape],
            dtype=node["dtype"],
            compressors=node["compressor"] and numcodecs.get_codec(node["compressor"]),
            fill_value=0,
        )
        array.attrs.update(node["attributes"])
        array[:] = values_of(path, size, shape, tree, rng)
        document = folder / path / ".zarray"
        told = json.loads(document.read_bytes()) | {"fill_value": node["fill_value"]}
        document.write_text(json.dumps(told))
    zarr.consolidate_metadata(zarr.open_group(folder, zarr_format=2).store)
    return folder


def values_of(path: str, size: int, shape: list[int], tree: Json, rng: Any) -> np.ndarray:
    """Make up what an array holds: coordinates that are true, and noise with holes elsewhere."""
    left, _, _, top = tree["attributes"]["stac_discovery"]["properties"]["proj:bbox"]
    name = path.rpartition("/")[2]
    if name == "x":
        return (left + size / 2 + size * np.arange(shape[0])).astype("i8")
    if name == "y":
        return (top - size / 2 - size * np.arange(shape[0])).astype("i8")
    if name == "scl":
        return rng.integers(0, 12, shape)
    if name in ("cld", "snw"):
        return rng.integers(0, 101, shape)
    values = rng.integers(900, 6000, shape)
    values[:3, : shape[1] // 2] = 0
    return values


@pytest.fixture(params=NAMES)
def tree(request: pytest.FixtureRequest, real_data: Path) -> Json:
    """Read real metadata."""
    return json.loads((real_data / "eopf" / f"{request.param}.json").read_bytes())


@pytest.fixture
def product(tree: Json, tmp_path: Path) -> Path:
    """Write a product with real metadata."""
    name = tree["attributes"]["stac_discovery"]["id"].removesuffix(".SAFE")
    return write_product(tmp_path / "products" / f"{name}.zarr", tree)


def find(source: Path) -> pystac.ItemCollection:
    """Find all in the world and ever."""
    return find_scenes(source, WORLD, "2015", "2030")


def test_real_metadata(product: Path, tree: Json) -> None:
    """Name, orbit, time, cloud and place are those of the product; its traps are no traps."""
    told = tree["attributes"]["stac_discovery"]
    assert told["id"].endswith(".SAFE")
    assert told["properties"]["datetime"] is None
    assert told["properties"]["processing:version"] == ""
    assert told["bbox"][0] > told["bbox"][2]
    (item,) = find(product.parent)
    assert item.id == told["id"].removesuffix(".SAFE")
    properties = item.properties
    assert properties["sat:relative_orbit"] == told["properties"]["sat:relative_orbit"]
    assert properties["platform"] == told["properties"]["platform"]
    assert properties["s2:processing_baseline"] == told["properties"]["eopf:baseline"]
    assert properties["eo:cloud_cover"] == told["properties"]["eo:cloud_cover"]
    assert properties["proj:code"] == f"EPSG:{told['properties']['proj:epsg']}"
    assert item.datetime.isoformat() == told["properties"]["start_datetime"]
    assert (
        item.geometry["coordinates"]
        == [[tuple(point) for point in ring] for ring in told["geometry"]["coordinates"]]
        or json.loads(json.dumps(item.geometry)) == told["geometry"]
    )
    assert item.bbox[0] < item.bbox[2]
    assert tuple(item.assets) == LAYERS
    for band in BANDS:
        fields = item.assets[band].extra_fields
        assert (fields["raster:scale"], fields["raster:offset"]) == (1e-4, -0.1)
        assert fields["s2kit:offset_source"] == "metadata"
    assert item.assets["WVP"].extra_fields["raster:scale"] == 1e-3


def test_found_by_region(product: Path, tree: Json) -> None:
    """The footprint is the geometry, not the bbox, whose corners are in another order."""
    (lon, lat), *_ = tree["attributes"]["stac_discovery"]["geometry"]["coordinates"][0]
    inside = (lon + 0.3, lat - 0.5, lon + 0.4, lat - 0.4)
    assert len(find_scenes(product.parent, inside, "2025", "2025")) == 1
    assert (
        len(find_scenes(product.parent, (lon + 3, lat, lon + 3.1, lat + 0.1), "2025", "2025")) == 0
    )


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_values_are_those_of_xarray(product: Path, tree: Json, tmp_path: Path, place: str) -> None:
    """On its own grid, every pixel of every layer of a cube is what xarray decodes, to 2e-7."""
    source = product.parent
    if place == "zip":
        source = tmp_path / "zips"
        source.mkdir()
        shutil.make_archive(str(source / product.name), "zip", product.parent, product.name)
    told = tree["attributes"]["stac_discovery"]["properties"]
    epsg, (left, _, _, top) = told["proj:epsg"], told["proj:bbox"]
    inner = rasterio.warp.transform_bounds(
        f"EPSG:{epsg}", "EPSG:4326", left + 400, top - 1600, left + 1600, top - 400
    )
    found = find_scenes(source, inner, "2025", "2025")
    report = s2kit.build_cube(
        found, tmp_path / "cube.zarr", inner, f"EPSG:{epsg}", resampling="nearest", progress=False
    )
    assert not report.failed
    cube = s2kit.open_cube(tmp_path / "cube.zarr").isel(time=0).load()
    assert set(cube.data_vars) == set(LAYERS)
    assert int(cube.B04.count()) > 10_000
    for layer, path in ARRAYS.items():
        group, _, name = path.rpartition("/")
        own = xr.open_zarr(product, group=group, zarr_format=2)[name].astype("f8")
        if layer == "WVP":  # states no scale, and no value of no data
            own = own.where(own != 0) * 1e-3
        expected = own.sel(x=cube.x, y=cube.y, method="nearest").transpose("y", "x")
        scl = xr.open_zarr(product, group=ARRAYS["SCL"].rpartition("/")[0], zarr_format=2).scl
        if layer in ("CLD", "SNW"):
            seen = scl.sel(x=cube.x, y=cube.y, method="nearest") != 0
            expected = expected.where(seen.values)
        got = cube[layer].astype("f8")
        np.testing.assert_allclose(got, expected, atol=2e-7, equal_nan=True)


def edit(product: Path, change: Callable[[Json], None]) -> None:
    """Change the consolidated metadata."""
    file = product / ".zmetadata"
    document = json.loads(file.read_bytes())
    change(document["metadata"])
    file.write_text(json.dumps(document))


def reason(source: Path) -> str:
    """Return why the only product is refused."""
    with pytest.warns(SceneWarning):
        found = find(source)
    (refused,) = found.extra_fields[REFUSED]
    return refused["reason"]


B04 = f"{ARRAYS['B04']}/.zattrs"


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (lambda m: m[B04].update(add_offset=-0.05), "B04 states offset -0.05"),
        (lambda m: m[B04].update(scale_factor=1e-3), "B04 states scale 0.001"),
    ],
)
def test_odd_array_costs_its_band(product: Path, change: Callable, lacks: str) -> None:
    """An offset or scale that does not exist is refused by name, for the band it is about."""
    edit(product, change)
    (item,) = find(product)
    assert set(LAYERS) - set(item.assets) == {"B04"}
    assert lacks in item.properties["s2kit:refused_layers"]["B04"]


def test_arrays_without_offset(product: Path) -> None:
    """An offset that only ESA's own attributes state holds; a band that states none is refused."""
    edit(product, lambda m: m[B04].pop("add_offset"))
    (item,) = find(product)
    assert item.assets["B04"].extra_fields["raster:offset"] == -0.1
    edit(product, lambda m: m[B04]["_eopf_attrs"].pop("add_offset"))
    (item,) = find(product)
    assert "B04" not in item.assets
    assert "states no add_offset" in item.properties["s2kit:refused_layers"]["B04"]


def test_odd_statement_about_water_vapour(product: Path) -> None:
    """It costs nothing, and is noted."""
    edit(product, lambda m: m[f"{ARRAYS['WVP']}/.zattrs"].update(scale_factor=0.01))
    (item,) = find(product)
    assert item.assets["WVP"].extra_fields["raster:scale"] == 1e-3
    (note,) = item.properties["s2kit:notes"]
    assert note.startswith("WVP states scale 0.01 ")


def test_old_product_without_offset(product: Path) -> None:
    """Before baseline 04.00 there was none: silence is 0."""

    def age(documents: Json) -> None:
        found = documents[".zattrs"]["stac_discovery"]
        found["id"] = found["id"].replace("N0511", "N0301")
        for path in ARRAYS.values():
            documents[f"{path}/.zattrs"].pop("add_offset", None)
            documents[f"{path}/.zattrs"].get("_eopf_attrs", {}).pop("add_offset", None)

    edit(product, age)
    (item,) = find(product)
    assert {item.assets[band].extra_fields["raster:offset"] for band in BANDS} == {0}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m[".zattrs"].pop("stac_discovery"), "has no attribute stac_discovery"),
        (lambda m: m[".zattrs"]["stac_discovery"].update(properties=5), "no attribute stac_disc"),
        (lambda m: m[".zattrs"]["stac_discovery"].update(geometry=5), "no GeoJSON"),
        (
            lambda m: m[".zattrs"]["stac_discovery"]["properties"].update(start_datetime="noon"),
            "start_datetime is 'noon'",
        ),
        (
            lambda m: [m.pop(key) for key in list(m) if key.startswith("measurements")],
            "none of its bands",
        ),
    ],
)
def test_broken_metadata(product: Path, change: Callable, expected: str) -> None:
    """What is missing or makes no sense is the reason for which a product is refused."""
    edit(product, change)
    assert expected in reason(product)


def test_unreadable_metadata(product: Path) -> None:
    """Metadata that are no JSON are the reason."""
    (product / ".zmetadata").write_text("{")
    assert ".zmetadata cannot be read" in reason(product)


def test_without_consolidated_metadata(product: Path) -> None:
    """The documents of the arrays are read one by one."""
    (expected,) = find(product)
    (product / ".zmetadata").unlink()
    (item,) = find(product)
    assert item.to_dict() == expected.to_dict()


def test_zarr_3_is_named(tmp_path: Path) -> None:
    """The other flavour, Zarr 3, is refused with what to do."""
    root = zarr.open_group(tmp_path / "p" / f"{NAMES[0]}.zarr", mode="w", zarr_format=3)
    root.attrs["title"] = "x"
    assert "Zarr format 3" in reason(tmp_path / "p")


def test_level_1c_is_named(product: Path) -> None:
    """A Level-1C product is refused by name."""
    edit(
        product,
        lambda m: m[".zattrs"]["stac_discovery"].update(
            id=product.stem.replace("MSIL2A", "MSIL1C")
        ),
    )
    assert "not the name of a Level-2A product" in reason(product)


def test_other_zarr_stores_are_no_products(product: Path) -> None:
    """A cube beside the products is not taken for one."""
    zarr.open_group(product.parent / "cube.zarr", mode="w", zarr_format=2).attrs["title"] = "cube"
    assert len(find(product.parent)) == 1
    shutil.rmtree(product)
    with pytest.raises(CatalogueError, match="holds no product"):
        find(product.parent)


def test_stac_item_of_eopf(product: Path, tree: Json, tmp_path: Path) -> None:
    """An item whose assets are arrays of the store; what the arrays state is final.

    The form is that of EODC's STAC of EOPF samples; here on this computer.
    """
    told = tree["attributes"]["stac_discovery"]["properties"]
    names = {f"{layer}_{path.split('/')[-2][1:]}": path for layer, path in ARRAYS.items()}
    item = {
        "type": "Feature",
        "id": product.stem,
        "collection": "sentinel-2-l2a",
        "geometry": tree["attributes"]["stac_discovery"]["geometry"],
        "properties": {"datetime": told["start_datetime"], "processing:version": ""},
        "links": [],
        "assets": {
            name: {
                "href": f"./products/{product.name}/{path}",
                "raster:scale": 1e-4,
                "raster:offset": 0,
            }
            for name, path in names.items()
            if name[0] == "B"
        }
        | {"SCL_20m": {"href": f"./products/{product.name}/{ARRAYS['SCL']}"}},
    }
    (tmp_path / "item.json").write_text(json.dumps(item))
    epsg, (left, _, _, top) = told["proj:epsg"], told["proj:bbox"]
    inner = rasterio.warp.transform_bounds(
        f"EPSG:{epsg}", "EPSG:4326", left + 400, top - 1600, left + 1600, top - 400
    )
    cubes = {}
    for source in (product, tmp_path / "item.json"):
        found = find_scenes(source, inner, "2025", "2025")
        store = tmp_path / f"{source.stem}-cube"
        s2kit.build_cube(found, store, inner, f"EPSG:{epsg}", bands=["B04", "SCL"], progress=False)
        cubes[source] = s2kit.open_cube(store).B04.values
    first, second = cubes.values()
    np.testing.assert_array_equal(first, second)


def test_zip_of_a_product(product: Path, tmp_path: Path) -> None:
    """A product in a zip is the same as in a folder, but for where it lies."""
    (expected,) = find(product)
    archive = tmp_path / "p.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file in product.rglob("*"):
            target.write(file, f"{product.name}/{file.relative_to(product).as_posix()}")
    (item,) = find(archive)
    assert item.properties == expected.properties
    assert (
        item.assets["B04"].href == f'ZARR:"/vsizip/{{{archive}}}/{product.name}":/{ARRAYS["B04"]}'
    )
