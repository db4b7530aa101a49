"""The memory that decoding a JPEG 2000 file would take, by its header, before it is decoded."""

import io
import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import requests

from s2kit.scenes.uri import in_zip, is_remote
from s2kit.zips import BROKEN, open_member

_TILES = 2**13
"""Tiles, times bands: the decoder reserves 9 KB for each as soon as a file is opened. Sentinel-2
has 121."""

_CELLS = 2**18
"""Code-blocks in a tile: it reserves 400 bytes for each. A whole Sentinel-2 tile in one piece with
code-blocks of 64 × 64 has 40 000."""

_LARGEST_FILE = 2**31
"""Bytes of a raster in a zip, unpacked: a band of Sentinel-2 has 130 MB."""

_FIRST_BYTES = 2**16
"""In which the main header is to be. That of Sentinel-2 ends before 4 KB."""

_BOXES = 1000
"""In a file before its codestream, at most; Sentinel-2 has five."""

_WAIT = 20
"""Seconds for a server to answer."""

_SOC, _SIZ, _COD, _SOT = b"\xff\x4f", b"\xff\x51", b"\xff\x52", b"\xff\x90"
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"


def check_codestream(name: str) -> None:
    """Refuse a JPEG 2000 file whose main header claims too many tiles or code-blocks.

    What single tiles and components say otherwise is not looked at.

    Parameters
    ----------
    name : str
        A path, ``/vsizip/{…}/…`` as GDAL opens it, or an http(s) URL, of which the first bytes are
        asked for. Others, and other formats, are left alone.

    Raises
    ------
    ValueError
        If it claims too many, or its header is damaged.
    OSError
        If it cannot be read.
    """
    with _opened(name) as file:
        start = _find_codestream(file)
        if start is not None:
            file.seek(start)
            _check_markers(dict(_main_header(file)))


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Open what a raster begins with; nothing of what is not looked at."""
    zipped = in_zip(name)
    if is_remote(name):
        asked = {"Range": f"bytes=0-{_FIRST_BYTES - 1}"}
        with requests.get(name, headers=asked, stream=True, timeout=_WAIT) as answer:
            answer.raise_for_status()
            begin = answer.raw.read(_FIRST_BYTES, decode_content=True)
        yield io.BytesIO(begin)
    elif zipped is not None:
        with member_of(*zipped) as file:
            begin = file.read(_FIRST_BYTES)
        yield io.BytesIO(begin)
    elif Path(name).is_file():
        with Path(name).open("rb") as file:
            yield file
    else:
        yield io.BytesIO()


@contextmanager
def member_of(archive: str, name: str) -> Iterator[IO[bytes]]:
    """Open a raster in a zip, to be read in parts.

    Raises
    ------
    ValueError
        If the zip is damaged, or has no such member or one that is too large.
    """
    try:
        with zipfile.ZipFile(archive) as zipped, open_member(zipped, name, _LARGEST_FILE) as file:
            yield file
    except (*BROKEN, KeyError) as error:
        raise ValueError(f"the zip is damaged ({error})") from error


def _find_codestream(file: BinaryIO) -> int | None:
    """Find where the codestream begins, in a JP2 (ISO 15444-1, annex I) or by itself."""
    begin = file.read(len(_JP2))
    if begin.startswith(_SOC + _SIZ):
        return 0
    if begin != _JP2:
        return None
    at = 0
    for _ in range(_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return None
        length, kind, skip = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, skip = int.from_bytes(head[8:16], "big"), 16
        if kind == b"jp2c":
            return at + skip
        if length < skip:  # 0 is a box to the end of the file
            return None
        at += length
    return None


def _main_header(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the marker segments before the first tile (ISO 15444-1, annex A)."""
    if file.read(2) != _SOC:
        return
    while len(head := file.read(4)) == 4 and head[:2] != _SOT and head[0] == 0xFF:
        yield head[:2], file.read(max(int.from_bytes(head[2:], "big") - 2, 0))


def _check_markers(segments: dict[bytes, bytes]) -> None:
    try:
        _, right, bottom, left, top, wide, high, from_x, from_y, bands = struct.unpack(
            ">H8IH", segments[_SIZ][:36]
        )
        levels, code_wide, code_high = segments[_COD][5:8]
        cells = {n: (p & 15, p >> 4) for n, p in enumerate(segments[_COD][10:])}
        tiles = math.ceil((right - from_x) / wide) * math.ceil((bottom - from_y) / high)
    except (KeyError, struct.error, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"its JPEG 2000 header is damaged ({error!r})") from error
    if tiles * bands > _TILES:
        raise ValueError(f"it claims {tiles} tiles of {bands} bands; at most {_TILES} are read")
    wide, high = min(wide, right - left), min(high, bottom - top)
    count = 0
    for level in range(levels + 1):  # 0 is the coarsest
        across, down = cells.get(level, (15, 15)) if segments[_COD][0] & 1 else (15, 15)
        smaller = 1 if level else 0  # in subbands precincts are half as large
        columns = (wide >> (levels - level)) >> min((code_wide & 15) + 2, max(across - smaller, 0))
        rows = (high >> (levels - level)) >> min((code_high & 15) + 2, max(down - smaller, 0))
        count += (columns + 1) * (rows + 1)
    if count > _CELLS:
        raise ValueError(f"it claims {count} code-blocks in a tile; at most {_CELLS} are read")
