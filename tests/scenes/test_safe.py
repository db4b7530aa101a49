"""`.SAFE` products: ESA's real metadata, with empty files where the images would be."""

import json
import re
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pystac
import pytest
import shapely
from shapely.geometry import shape

from s2kit.errors import CatalogueError, SceneWarning
from s2kit.scenes import REFUSED, find_scenes
from s2kit.scenes.item import BANDS, LAYERS

WORLD = (-180, -90, 180, 90)
NEW = "S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_20230822T021825"
OLD = "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500"
FIRST_SHIFTED = "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126"
NO_GRANULE = "S2A_MSIL2A_20180721T053721_N0212_R062_T43MDV_20201011T181419"
ANTIMERIDIAN = "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157"
L1C = "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248"
COMPLETE = [NEW, OLD, FIRST_SHIFTED, ANTIMERIDIAN]

# The names that stactools, which made expected_output.json, gives the assets of the layers.
ORACLE_NAMES = {
    **{"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B8A": "nir08"},
    **{"B05": "rededge1", "B06": "rededge2", "B07": "rededge3", "B11": "swir16", "B12": "swir22"},
    **{"SCL": "scl", "WVP": "wvp"},
}

Safe = Callable[[str], Path]


@pytest.fixture
def safe(real_data: Path, tmp_path: Path) -> Safe:
    """Copy a product's real XML, and touch the images that its XML lists."""

    def copy(name: str) -> Path:
        source = next((real_data / "safe-metadata").glob(f"*{name}.SAFE"))
        folder = tmp_path / "products" / source.name
        for file in source.rglob("*.xml"):
            target = folder / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
        listed = "".join(file.read_text() for file in folder.rglob("*.xml"))
        for image in re.findall(r"(GRANULE/\S+?)</IMAGE_FILE>", listed):
            touch(folder / f"{image}{'.tif' if 'GeoTIFF' in listed else '.jp2'}")
        for mask in re.findall(r"(GRANULE/\S+PRB_20m\.jp2)<", listed):
            touch(folder / mask)
        return folder

    return copy


def touch(file: Path) -> None:
    """Make an empty file and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def edit(file: Path, pattern: str, replacement: str) -> None:
    """Replace in a file, where the pattern has to occur."""
    text, count = re.subn(pattern, replacement, file.read_text(), flags=re.DOTALL)
    assert count
    file.write_text(text)


def find(folder: Path, **options: object) -> pystac.ItemCollection:
    """Find all in the world and ever, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        return find_scenes(folder, WORLD, "2015", "2030", **options)


def reason(folder: Path) -> str:
    """Return why the only product in a folder is refused."""
    with pytest.warns(SceneWarning, match="1 scene") as caught:
        found = find_scenes(folder, WORLD, "2015", "2030")
    (refused,) = found.extra_fields[REFUSED]
    assert len(found) == 0 and len(caught) == 1
    assert refused["scene"] in str(caught[0].message)
    assert refused["reason"] in str(caught[0].message)
    return refused["reason"]


@pytest.mark.parametrize("name", COMPLETE)
def test_against_stactools(safe: Safe, real_data: Path, name: str) -> None:
    """Properties, footprint, files, scales and offsets are those that stactools found."""
    folder = safe(name)
    (item,) = find(folder.parent)
    oracle = json.loads(
        (real_data / "safe-metadata" / folder.name / "expected_output.json").read_bytes()
    )
    expected = oracle["properties"]
    assert item.id == expected["s2:product_uri"].removesuffix(".SAFE") == name
    for key in ("platform", "grid:code", "s2:processing_baseline", "sat:relative_orbit"):
        assert item.properties[key] == expected[key], key
    assert item.properties["eo:cloud_cover"] == pytest.approx(expected["eo:cloud_cover"])
    assert item.properties["proj:code"] == expected.get("proj:code", "EPSG:32701")
    assert item.properties["s2kit:datatake_start"] == expected["datetime"][:19] + "Z"
    assert item.properties["s2:generation_time"][:19] == expected["s2:generation_time"][:19]
    difference = shapely.symmetric_difference(shape(item.geometry), shape(oracle["geometry"]))
    assert difference.area < 1e-4 * shape(oracle["geometry"]).area
    for layer, oracle_name in ORACLE_NAMES.items():
        asset, wanted = item.assets[layer], oracle["assets"][oracle_name]
        raster = wanted["raster:bands"][0]
        assert Path(asset.href) == folder / wanted["href"]
        assert asset.extra_fields["raster:scale"] == pytest.approx(raster.get("scale", 1))
        assert asset.extra_fields["raster:offset"] == pytest.approx(raster.get("offset", 0))
        assert asset.extra_fields["nodata"] == raster["nodata"]


def test_every_layer_in_order(safe: Safe) -> None:
    """A complete product has every layer, as absolute paths to files that are there."""
    (item,) = find(safe(NEW))
    assert tuple(item.assets) == LAYERS
    assert all(Path(asset.href).is_absolute() for asset in item.assets.values())
    assert all(Path(asset.href).is_file() for asset in item.assets.values())
    assert item.assets["CLD"].href.endswith("QI_DATA/MSK_CLDPRB_20m.jp2")
    assert "nodata" not in item.assets["SNW"].extra_fields
    assert "s2kit:synthetic" not in item.properties


def test_sensing_time(safe: Safe) -> None:
    """`datetime` is the tile's own SENSING_TIME, minutes after the datatake's start."""
    (item,) = find(safe(OLD))
    assert item.datetime.isoformat() == "2021-01-22T13:42:49.838906+00:00"


def test_footprint_is_cut_at_the_antimeridian(safe: Safe) -> None:
    """A tile on the antimeridian is found from both sides, and not from the world between."""
    folder = safe(ANTIMERIDIAN)
    for aoi, count in [((179, 66, 179.5, 66.2), 1), ((-179.9, 66, -179.5, 66.2), 1)]:
        assert len(find_scenes(folder, aoi, "2023", "2023")) == count
    assert len(find_scenes(folder, (-100, 66, 100, 66.2), "2023", "2023")) == 0


@pytest.mark.parametrize(("dn", "offset"), [("-1000", -0.1), ("0", 0), ("-1000.0", -0.1)])
def test_offset_per_band(safe: Safe, dn: str, offset: float) -> None:
    """Each band has the offset that its own XML states, which nobody overrules."""
    folder = safe(NEW)
    edit(folder / "MTD_MSIL2A.xml", r'(band_id="3">)-1000', rf"\g<1>{dn}")
    (item,) = find(folder)
    for band in BANDS:
        fields = item.assets[band].extra_fields
        assert fields["raster:offset"] == (offset if band == "B04" else -0.1)
        assert fields["s2kit:offset_source"] == "metadata"


@pytest.mark.parametrize("dn", ["-500", "1000", "-1001", "nan", "-10000"])
def test_offset_that_does_not_exist_costs_its_band(safe: Safe, dn: str) -> None:
    """A band with any other offset is refused by name; the others are used."""
    folder = safe(NEW)
    edit(folder / "MTD_MSIL2A.xml", r'(band_id="3">)-1000', rf"\g<1>{dn}")
    (item,) = find(folder)
    assert set(LAYERS) - set(item.assets) == {"B04"}
    assert list(item.properties["s2kit:refused_layers"]) == ["B04"]
    assert "only 0 and -0.1" in item.properties["s2kit:refused_layers"]["B04"]


def test_quantification(safe: Safe) -> None:
    """A scale that Level-2A does not have is refused for bands, and reported for water vapour."""
    folder = safe(NEW)
    edit(folder / "MTD_MSIL2A.xml", r'(WVP_QUANT\w+ unit="cm">)1000\.0<', r"\g<1>500.0<")
    (item,) = find(folder)
    assert item.assets["WVP"].extra_fields["raster:scale"] == 1e-3
    assert item.properties["s2kit:notes"] == [
        "WVP_QUANTIFICATION_VALUE is '500.0'; Level-2A has 1000, which was used"
    ]
    edit(folder / "MTD_MSIL2A.xml", r'(BOA_QUANT\w+ unit="none">)10000<', r"\g<1>5000<")
    assert "states scale 0.0002; Level-2A has 0.0001" in reason(folder)


LEVEL_2AP = {
    "PRODUCT_URI": "PRODUCT_URI_2A",
    "BOA_QUANTIFICATION_VALUE": "L2A_BOA_QUANTIFICATION_VALUE",
    "WVP_QUANTIFICATION_VALUE": "L2A_WVP_QUANTIFICATION_VALUE",
    "TILE_ID": "TILE_ID_2A",
}


def test_level_2ap(safe: Safe) -> None:
    """What PSD 14.2 called otherwise (2017 and 2018) is read, one tag by one and all together."""
    (expected,) = find(safe(OLD))
    for tags in [*([tag] for tag in LEVEL_2AP), list(LEVEL_2AP)]:
        folder = safe(OLD)
        for file in folder.rglob("MTD_*.xml"):
            text = file.read_text()
            for tag in tags:
                text = re.sub(rf"(</?(?:\w+:)?){tag}\b", rf"\g<1>{LEVEL_2AP[tag]}", text)
            file.write_text(text.replace("Level-2A</PROC", "Level-2Ap</PROC"))
        (item,) = find(folder)
        assert item.to_dict() == expected.to_dict()


def test_format_of_before_december_2016(tmp_path: Path) -> None:
    """The old format is named as such, with what to do."""
    name = "S2A_USER_PRD_MSIL2A_PDMC_20160101T000000_R051_V20151231T105031_20151231T105031"
    touch(tmp_path / f"{name}.SAFE" / "S2A_USER_MTD_SAFL2A_PDMC.xml")
    assert "before December 2016; download its reprocessing" in reason(tmp_path)


def test_older_layout(safe: Safe) -> None:
    """Older baselines name files otherwise: prefix L2A_, CLD and SNW, WVP at 10 m only, .tif."""
    folder = safe(OLD)
    granule = next(folder.glob("GRANULE/*"))
    for file in list(granule.rglob("*.jp2")):
        new = file.with_name(f"L2A_{file.name}".replace("_MSK_CLDPRB", "_T22HBD_CLD"))
        file.rename(new.with_name(new.name.replace("_MSK_SNWPRB", "_T22HBD_SNW")))
    next(granule.glob("IMG_DATA/R20m/*_WVP_20m.jp2")).unlink()
    scl = next(granule.glob("IMG_DATA/R20m/*_SCL_20m.jp2"))
    scl.rename(scl.with_suffix(".tif"))
    (item,) = find(folder)
    assert tuple(item.assets) == LAYERS
    assert item.assets["CLD"].href.endswith("QI_DATA/L2A_T22HBD_CLD_20m.jp2")
    assert item.assets["SNW"].href.endswith("QI_DATA/L2A_T22HBD_SNW_20m.jp2")
    assert item.assets["WVP"].href.endswith("_WVP_10m.jp2")
    assert item.assets["SCL"].href.endswith("_SCL_20m.tif")


def test_metadata_name_in_any_case(safe: Safe) -> None:
    """The metadata's file name is recognised whatever its case."""
    folder = safe(NEW)
    (folder / "MTD_MSIL2A.xml").rename(folder / "MTD_MSIL2a.xml")
    assert len(find(folder)) == 1


def test_missing_band_is_left_out(safe: Safe) -> None:
    """A missing band is no asset, not the same band at another resolution; the rest stays."""
    folder = safe(NEW)
    band = next(folder.rglob("*_B04_10m.jp2"))
    band.rename(band.with_name(f"._{band.name}"))  # what macOS leaves beside files
    (item,) = find(folder)
    assert set(LAYERS) - set(item.assets) == {"B04"}


def test_twenty_metres_only(safe: Safe) -> None:
    """A product that Sen2Cor made at 20 m only offers its 10 m bands at 20 m."""
    folder = safe(NEW)
    for file in folder.rglob("R10m/*"):
        file.unlink()
    next(folder.rglob("R10m")).rmdir()
    (item,) = find(folder)
    assert item.assets["B04"].href.endswith("R20m/T01KAB_20230821T221941_B04_20m.jp2")


def zipped(folder: Path, target: Path, inside: str) -> Path:
    """Zip a product into a folder of the zip."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
        archive.writestr(f"__MACOSX/{inside}._MTD_MSIL2A.xml", "mac")
        archive.writestr(f"__MACOSX/{inside}MTD_MSIL2A.xml", "mac")
    return target


PLACES: dict[str, Callable[[Path, Path], Path]] = {
    "in the folder": lambda folder, top: folder.rename(top / folder.name),
    "years, months, days": lambda folder, top: folder.rename(top / "L2A/2021/04/05" / folder.name),
    "twice the same name": lambda folder, top: folder.rename(top / folder.name / folder.name),
    "without .SAFE": lambda folder, top: folder.rename(top / "a/my scene"),
    "a link": lambda folder, top: (top / "a/link").symlink_to(folder),
    "a zip": lambda folder, top: zipped(folder, top / f"{folder.stem}.zip", f"{folder.name}/"),
    "a zip of .SAFE": lambda folder, top: zipped(folder, top / "a/b.ZIP", f"{folder.name}/"),
    "a zip of what is in it": lambda folder, top: zipped(folder, top / f"{folder.stem}.zip", ""),
    "deep in a zip": lambda folder, top: zipped(folder, top / "x.zip", f"2021/05/{folder.name}/"),
}


@pytest.mark.parametrize("place", PLACES)
def test_products_are_found_wherever_they_lie(safe: Safe, tmp_path: Path, place: str) -> None:
    """At any depth, in folders and zips, through links: each is found, with all that it holds."""
    folder = safe(NEW)
    (expected,) = find(folder)
    top = tmp_path / "top"
    for sub in ("L2A/2021/04/05", "a", f"{folder.name}" if "twice" in place else "b"):
        (top / sub).mkdir(parents=True)
    PLACES[place](folder, top)
    (item,) = find(top)
    assert item.properties == expected.properties
    assert item.geometry == expected.geometry
    assert list(item.assets) == list(expected.assets)
    for layer, asset in expected.assets.items():
        found = item.assets[layer]
        assert found.extra_fields == asset.extra_fields
        assert PurePosixPath(found.href).name == PurePosixPath(asset.href).name
    if "zip" in place:
        archive = next(file for file in top.rglob("*") if file.suffix.lower() == ".zip")
        assert item.assets["B04"].href.startswith(f"/vsizip/{{{archive}}}/")
        assert [one.id for one in find(archive)] == [NEW]


def test_links_that_lead_back(safe: Safe, tmp_path: Path) -> None:
    """A link to a folder above is no reason to go on for ever, nor to find a product twice."""
    folder = safe(NEW)
    (folder.parent / "a").mkdir()
    (folder.parent / "a" / "again").symlink_to(folder.parent)
    (folder.parent / "b").symlink_to(folder.parent / "a")
    assert len(find(folder.parent)) == 1


@pytest.mark.parametrize("damage", ["cut", "no zip", "encrypted", "empty"])
def test_damaged_zip_is_named(safe: Safe, tmp_path: Path, damage: str) -> None:
    """A zip that cannot be read is refused by name; the product beside it is found."""
    folder = safe(NEW)
    whole = safe(OLD)
    other = zipped(whole, tmp_path / "other.zip", f"{OLD}.SAFE/")
    shutil.rmtree(whole)
    data = bytearray(other.read_bytes())
    data = {"cut": data[: len(data) // 2], "no zip": b"<html>no</html>", "empty": b""}.get(
        damage, data
    )
    if damage == "encrypted":
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = data.find(mark)
            while start >= 0:
                data[start + at] |= 1
                start = data.find(mark, start + 4)
    (folder.parent / "other.zip").write_bytes(bytes(data))
    with pytest.warns(SceneWarning, match="1 scene"):
        found = find_scenes(folder.parent, WORLD, "2015", "2030")
    assert [item.id for item in found] == [NEW]
    (refused,) = found.extra_fields[REFUSED]
    assert "download it again" in refused["reason"]


@pytest.mark.parametrize("kind", ["tar", "zip in a zip", "folder"])
def test_products_that_are_out_of_reach_are_named(safe: Safe, kind: str) -> None:
    """A tar, a zip in a zip, or a folder without metadata, is named beside what is found."""
    folder = safe(NEW)
    if kind == "tar":
        (folder.parent / f"{OLD}.tar.gz").write_bytes(b"")
    elif kind == "folder":
        (folder.parent / OLD).mkdir()
        (folder.parent / OLD / "manifest.safe").write_text("x")
    else:
        with zipfile.ZipFile(folder.parent / f"{OLD}.zip", "w") as archive:
            archive.writestr(f"{OLD}.SAFE.zip", b"x")
    with pytest.warns(SceneWarning, match="1 scene"):
        found = find_scenes(folder.parent, WORLD, "2015", "2030")
    assert [item.id for item in found] == [NEW]
    (refused,) = found.extra_fields[REFUSED]
    assert OLD in refused["scene"]


def test_metadata_without_end(safe: Safe, tmp_path: Path) -> None:
    """A zip whose metadata unpack to gigabytes costs that product, not the memory."""
    folder = safe(NEW)
    with (
        zipfile.ZipFile(folder.parent / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{OLD}.SAFE/MTD_MSIL2A.xml", "w", force_zip64=True) as file,
    ):
        for _ in range(100):
            file.write(bytes(2**20))
    with pytest.warns(SceneWarning, match="more than 8 MB"):
        assert len(find_scenes(folder.parent, WORLD, "2015", "2030")) == 1


def test_renamed_folder(safe: Safe) -> None:
    """A folder that was renamed is recognised by its metadata."""
    folder = safe(NEW)
    (item,) = find(folder.rename(folder.with_name("my scene")))
    assert item.id == NEW


def test_synthetic(safe: Safe) -> None:
    """A product that says it is synthetic is marked so."""
    folder = safe(NEW)
    origin = "<PRODUCT_ORIGIN>Synthetic, made by s2kit</PRODUCT_ORIGIN></Product_Info>"
    edit(folder / "MTD_MSIL2A.xml", "</Product_Info>", origin)
    (item,) = find(folder)
    assert item.properties["s2kit:synthetic"] is True


def test_toolbox_baseline(safe: Safe) -> None:
    """Sen2Cor at home writes 99.99: its offset is what its metadata say, none if nothing."""
    folder = safe(OLD)
    edit(folder / "MTD_MSIL2A.xml", "02.14</PROC", "99.99</PROC")
    edit(folder / "MTD_MSIL2A.xml", "N0214", "N9999")
    (item,) = find(folder.rename(folder.with_name(folder.name.replace("N0214", "N9999"))))
    assert {item.assets[band].extra_fields["raster:offset"] for band in BANDS} == {0}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (L1C, "Level-1C.*only Level-2A"),
        (NO_GRANULE, "MTD_TL.xml is missing"),
    ],
)
def test_real_products_that_cannot_be_used(safe: Safe, name: str, expected: str) -> None:
    """L1C and a product without granule are refused with the reason."""
    assert re.search(expected, reason(safe(name)))


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        ("05.09</PROC", "05.10</PROC", "name says baseline 05.09, its metadata say 05.10"),
        (r"NUMBER>29<", "NUMBER>30<", "name says relative orbit 29, its metadata say 30"),
        (r"URI>\w+\.SAFE", f"URI>{NEW.replace('01KAB', '01KAC')}.SAFE", "tile 01KAB.*say 01KAC"),
        (r"URI>\w+\.SAFE", "URI>S2A_OPER_PRD.SAFE", "S2A_OPER_PRD.* is not a product name"),
        (r"<PRODUCT_URI>\S+", "", "no PRODUCT_URI"),
        (r"<BOA_ADD_OFFSET [^\n]+\n", "", "BOA_ADD_OFFSET is missing for B02, B03"),
        (r'<BOA_ADD_OFFSET band_id="12">[^\n]+\n', "", "BOA_ADD_OFFSET is missing for B12"),
        (r'id="3">-1000', 'id="3">minus', "BOA_ADD_OFFSET is 'minus'"),
        (r'band_id="3">', 'band_id="red">', "band_id is 'red'"),
        (r'(BOA_Q\w+ unit="none">)10000', r"\g<1>0", "BOA_QUANTIFICATION_VALUE is 0"),
        (r"<GENERATION_TIME>2023", "<GENERATION_TIME>noon", "GENERATION_TIME is 'noon"),
        (r"<EXT_POS_LIST>[^<]+", "<EXT_POS_LIST>1 2 3", "EXT_POS_LIST is '1 2 3'"),
        (r"<EXT_POS_LIST>.*</EXT_POS_LIST>", "", "no EXT_POS_LIST"),
        (r"</n1:Level-2A_User_Product>", "", "MTD_MSIL2A.xml cannot be read"),
        (r"encoding=\"UTF-8\"", 'encoding="klingon"', "MTD_MSIL2A.xml cannot be read"),
    ],
)
def test_contradicting_or_broken_metadata(
    safe: Safe, pattern: str, replacement: str, expected: str
) -> None:
    """What contradicts the name, is missing or makes no sense is refused, with both values."""
    folder = safe(NEW)
    edit(folder / "MTD_MSIL2A.xml", pattern, replacement)
    assert re.search(expected, reason(folder))


def test_contradicting_folder(safe: Safe) -> None:
    """A folder that was given another product's name is refused with both values."""
    folder = safe(NEW)
    folder = folder.rename(folder.with_name(folder.name.replace("R029", "R051")))
    assert reason(folder) == "its name says relative orbit 51, its metadata say 29"


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        (r"(TL_2APS_\w+_T01KA)B", r"\g<1>C", "name says tile T01KAB, its metadata say T01KAC"),
        (r"<SENSING_TIME.*</SENSING_TIME>", "", "no SENSING_TIME"),
        (r"<HORIZONTAL_CS_CODE>\S+", "", "no HORIZONTAL_CS_CODE"),
        (r".*", "", "MTD_TL.xml cannot be read"),
    ],
)
def test_broken_tile_metadata(safe: Safe, pattern: str, replacement: str, expected: str) -> None:
    """Tile metadata that contradict or cannot be read are the reason."""
    folder = safe(NEW)
    edit(next(folder.rglob("MTD_TL.xml")), pattern, replacement)
    assert re.search(expected, reason(folder))


@pytest.mark.parametrize("file", ["MTD_TL.xml", "MTD_MSIL2A.xml"])
def test_missing_metadata(safe: Safe, file: str) -> None:
    """A missing metadata file is the reason."""
    folder = safe(NEW)
    next(folder.rglob(file)).unlink()
    assert reason(folder) == f"{file} is missing; download the product again"


def test_no_band_at_all(safe: Safe) -> None:
    """A product without any band is refused, though its classification is there."""
    folder = safe(NEW)
    for file in folder.rglob("*_B*_*m.jp2"):
        file.unlink()
    assert "no band file" in reason(folder)


def test_number_of_granules(safe: Safe) -> None:
    """The layout of before December 2016, with several granules, is refused; so is none."""
    folder = safe(NEW)
    touch(folder / "GRANULE" / "L2A_T01KAC" / "MTD_TL.xml")
    assert "2 granules" in reason(folder)
    (folder / "GRANULE").rename(folder / "GRANULES")
    assert "0 granules" in reason(folder)


@pytest.mark.parametrize("file", ["MTD_TL.xml", "MTD_MSIL2A.xml"])
def test_billion_laughs(safe: Safe, file: str) -> None:
    """Entities are never expanded: such a file is refused, at once."""
    folder = safe(NEW)
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 30)
    )
    bomb = f"<!DOCTYPE bomb [{entities}]>"
    edit(next(folder.rglob(file)), r"\?>", f"?>{bomb}")
    edit(next(folder.rglob(file)), r"<(\w+:)?General_Info>", r"\g<0>&a29;")
    start = time.monotonic()
    assert "entities, which is refused" in reason(folder)
    assert time.monotonic() - start < 5


def test_external_entity(safe: Safe, tmp_path: Path) -> None:
    """A file that would pull in another file is refused, and tells nothing of it."""
    (tmp_path / "secret").write_text("the secret")
    folder = safe(NEW)
    bomb = f'<!DOCTYPE x [<!ENTITY s SYSTEM "file://{tmp_path}/secret">]>'
    edit(folder / "MTD_MSIL2A.xml", r"\?>", f"?>{bomb}")
    edit(folder / "MTD_MSIL2A.xml", "Level-2A</PROC", "&s;</PROC")
    assert "refused" in (found := reason(folder)) and "the secret" not in found


def test_refused_only_where_it_counts(safe: Safe) -> None:
    """An unusable product outside the period, the orbit or the region is not reported."""
    folder = safe(L1C)
    for aoi, year, orbit in [
        (WORLD, "2020", 133),
        (WORLD, "2021", 51),
        ((0, 0, 1, 1), "2021", 133),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = find_scenes(folder, aoi, year, year, relative_orbit=orbit)
        assert len(found) == 0 and found.extra_fields[REFUSED] == []
    assert "Level-1C" in reason(folder)


def test_the_rest_is_found(safe: Safe) -> None:
    """One unusable product does not keep the others from being found."""
    safe(NEW), safe(OLD), safe(L1C)
    (safe(FIRST_SHIFTED) / "MTD_MSIL2A.xml").write_text("<broken")
    with pytest.warns(SceneWarning, match="2 scene"):
        found = find_scenes(safe(NEW).parent, WORLD, "2015", "2030")
    assert [item.id for item in found] == [OLD, NEW]
    assert [one["scene"] for one in found.extra_fields[REFUSED]] == [L1C, FIRST_SHIFTED]


def test_folder_without_products(tmp_path: Path) -> None:
    """A folder without a product is an error that says what is accepted."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(CatalogueError, match=r"holds no product.*\.SAFE.*\.zarr"):
        find(tmp_path)


def test_renamed_folder_of_an_old_product(tmp_path: Path) -> None:
    """Level-1C without a name of today: not mentioned elsewhere, and refused by its level here."""
    outline = "10 10 10 11 11 11 11 10 10 10"
    (tmp_path / "mine.SAFE").mkdir()
    (tmp_path / "mine.SAFE/MTD_MSIL2A.xml").write_text(
        "<a><PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL>"
        "<PRODUCT_URI>S2A_USER_PRD_MSIL1C_PDMC.SAFE</PRODUCT_URI>"
        f"<EXT_POS_LIST>{outline}</EXT_POS_LIST></a>"
    )
    for place, refused in (((4.4, 52, 4.5, 52.1), 0), ((10.2, 10.2, 10.4, 10.4), 1)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = find_scenes(tmp_path, place, "2021-06-01", "2021-06-02")
        reasons = [one["reason"] for one in found.extra_fields["s2kit:refused"]]
        assert len(reasons) == refused and all("only Level-2A" in reason for reason in reasons)
