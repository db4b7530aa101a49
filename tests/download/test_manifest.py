"""What a product consists of is read from its manifest, and nothing outside of it is named."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2kit.download.manifest import ProductFile, read_manifest, wanted_files
from s2kit.errors import SceneError

HEAD = (
    '<?xml version="1.0"?><x:XFDU xmlns:x="urn:ccsds:schema:xfdu:1"><dataObjectSection>{}'
    "</dataObjectSection></x:XFDU>"
)
OBJECT = (
    '<dataObject ID="x"><byteStream size="{size}"><fileLocation locatorType="URL" href="{href}"/>'
    '<checksum checksumName="{name}">{checksum}</checksum></byteStream></dataObject>'
)
METADATA = OBJECT.format(size=5, href="./MTD_MSIL2A.xml", name="MD5", checksum="ab")


def manifest(*objects):
    """Return a manifest with these objects."""
    return HEAD.format("".join(objects)).encode()


def one(href="GRANULE/x/y.jp2", size="1", name="MD5", checksum="00"):
    """Return the object of one file."""
    return OBJECT.format(href=href, size=size, name=name, checksum=checksum)


@pytest.mark.parametrize(
    ("product", "count", "algorithm"),
    [
        ("S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248", 97, "sha3_256"),
        ("S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157", 86, "sha3_256"),
        ("S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126", 41, "md5"),
        ("esa_S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500", 123, "md5"),
    ],
)
def test_manifests_of_real_products(real_data, product, count, algorithm):
    """Files, sizes and checksums of all baselines; metadata that are at hand agree with them."""
    folder = real_data / f"safe-metadata/{product}.SAFE"
    files = read_manifest((folder / "manifest.safe").read_bytes(), product)
    assert len(files) == count
    assert {file.algorithm for file in files} == {algorithm}
    at_hand = [file for file in files if (folder / file.path).is_file()]
    assert len(at_hand) >= 2
    wanted = frozenset(["B04", "SCL"])
    if "MSIL1C" in product:
        with pytest.raises(SceneError, match="the product has no B04 or SCL"):
            wanted_files(files, wanted, product)
        return
    some = wanted_files(files, wanted, product)
    kinds = sorted(file.path.rpartition("/")[2].split("_", 2)[-1] for file in some)
    suffix = "tif" if "N0400" in product else "jp2"
    assert kinds == [f"B04_10m.{suffix}", "MSIL2A.xml", f"SCL_20m.{suffix}", "TL.xml"]


@pytest.mark.parametrize(
    "href",
    [
        "../x",
        "/etc/passwd",
        "./GRANULE/../../x",
        "a\\..\\..\\x",
        "C:/x",
        "C:x",
        "",
        ".",
        "a/\0",
        "a/con./x",
        "~/x ",
        "http://example.org/x",
        "a&#10;b",
    ],
)
def test_files_outside_are_refused(href):
    """A name that leads out of the product, or that some system reads so, is an error."""
    with pytest.raises(SceneError, match=r"manifest\.safe (names|cannot be read)"):
        read_manifest(manifest(METADATA, one(href)), "X")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "cannot be read"),
        (b"<html><body>maintenance", "cannot be read"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "cannot be read"),
        (manifest(), "names no metadata"),
        (manifest(METADATA, one(size="-1")), "no size"),
        (manifest(METADATA, one(size="1e3")), "no size"),
        (manifest(METADATA, one(size="99999999999")), "no size"),
        (manifest(METADATA, one(), one("granule/X/y.jp2")), "twice"),
        (manifest(METADATA, "<byteStream/>"), "no file inside"),
        (manifest(METADATA, one("manifest.safe")), "can be no file"),
        (manifest(METADATA, one("a"), one("a/b")), "can be no file"),
        (manifest(METADATA, one("a.part")), "can be no file"),
    ],
)
def test_odd_manifests_are_refused(content, match):
    """What is no manifest, or lacks what a download needs, is an error that says what."""
    with pytest.raises(SceneError, match=match):
        read_manifest(content, "X")


@given(st.binary(max_size=300), st.integers(0, 299), st.sampled_from(["MD5", "SHA3-256"]))
def test_any_flipped_byte_is_found(tmp_path_factory, content, place, name):
    """A file matches its size and checksum, in whatever case; one that was changed does not."""
    algorithm = {"MD5": "md5", "SHA3-256": "sha3_256"}[name]
    checksum = hashlib.new(algorithm, content).hexdigest().upper()
    stated = one(size=len(content), name=name, checksum=f" {checksum}\n")
    file = read_manifest(manifest(METADATA, stated), "X")[1]
    assert file == ProductFile("GRANULE/x/y.jp2", len(content), algorithm, checksum.lower())
    path = tmp_path_factory.mktemp("file") / "y.jp2"
    path.write_bytes(content)
    assert file.matches(path)
    if place < len(content):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert not file.matches(path)
    path.write_bytes(content + b"x")
    assert not file.matches(path)


def test_unknown_checksums_leave_the_size():
    """A checksum of an unknown kind, or none, is not taken for a wrong one."""
    stated = manifest(METADATA, one(name="BLAKE3"), one("b", checksum=""))
    assert [file.algorithm for file in read_manifest(stated, "X")] == ["md5", "", ""]
