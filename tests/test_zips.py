"""Zips that somebody else made: members are read within bounds, by what is declared and what is."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2kit.zips import BROKEN, read_member, unpacked

MOST = 10_000


def packed(data: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "a") -> zipfile.ZipFile:
    """Return a zip of one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, data)
    return zipfile.ZipFile(buffer)


def lying(data: bytes, declared: int, checksum: int | None = None) -> bytes:
    """Return a zip of one member that declares another size, and another checksum."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = compressor.compress(data) + compressor.flush()
    crc = zlib.crc32(data) if checksum is None else checksum
    sizes = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0x21, crc, len(body), declared)
    local = b"PK\3\4" + sizes + struct.pack("<HH", 1, 0) + b"a" + body
    entry = b"PK\1\2" + struct.pack("<H", 20) + sizes + struct.pack("<HHHHHII", 1, 0, 0, 0, 0, 0, 0)
    entry += b"a"
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@given(data=st.binary(max_size=300), most=st.integers(0, 300))
def test_members_are_read_whole_or_refused(method, data, most):
    """A member comes back as it was written, or is refused where it is larger than is accepted."""
    archive = packed(data, method)
    if len(data) <= most:
        assert read_member(archive, "a", most) == data
    else:
        with pytest.raises(ValueError, match="more than"):
            read_member(archive, "a", most)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused(method):
    """What zipfile would unpack all at once is not unpacked."""
    with pytest.raises(ValueError, match="another method"):
        read_member(packed(bytes(100), method), "a", MOST)


@pytest.mark.parametrize("forged", [False, True])
def test_what_declares_less_than_it_holds(monkeypatch, forged):
    """Of 100 MB that declare 1 kB no more than 8 kB are unpacked, whatever the checksum says."""
    data = bytes(100 * 2**20)
    unpacked_at_once = []
    make = zlib.decompressobj

    class Watched:
        def __init__(self, *args):
            self.one = make(*args)

        def decompress(self, part, *most):
            found = self.one.decompress(part, *most)
            unpacked_at_once.append(len(found))
            return found

        def __getattr__(self, name):
            return getattr(self.one, name)

    monkeypatch.setattr(zipfile.zlib, "decompressobj", Watched)
    checksum = zlib.crc32(data[:1000]) if forged else None
    archive = zipfile.ZipFile(io.BytesIO(lying(data, 1000, checksum)))
    if forged:
        assert read_member(archive, "a", MOST) == data[:1000]
    else:
        with pytest.raises(zipfile.BadZipFile):
            read_member(archive, "a", MOST)
    assert sum(unpacked_at_once) <= 8192


@given(st.dictionaries(st.sampled_from("abcde"), st.binary(max_size=200)))
def test_unpacked_zips_hold_the_same(members):
    """A zip that was unpacked has the same members, none of them compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with zipfile.ZipFile(io.BytesIO(unpacked(buffer.getvalue(), MOST, documents=MOST))) as plain:
        assert {name: plain.read(name) for name in plain.namelist()} == members
        assert all(info.compress_type == zipfile.ZIP_STORED for info in plain.infolist())


def test_unpacked_zips_are_bounded_together():
    """Many members that are each small enough are refused where together they are not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(9):
            archive.writestr(str(n), bytes(MOST // 2))
    with pytest.raises(ValueError, match="more than"):
        unpacked(buffer.getvalue(), MOST, documents=MOST)


@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_damaged_zips_end_in_known_errors(noise, seed):
    """Bytes changed anywhere end in an error that is caught by name, or change nothing."""
    rng = np.random.default_rng(seed)
    data = bytearray(lying(noise, len(noise)))
    for at in rng.integers(0, len(data), 3):
        data[at] = rng.integers(256)
    try:
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
            assert len(read_member(archive, "a", MOST)) <= MOST
    except (KeyError, *BROKEN):
        pass
