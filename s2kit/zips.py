"""Read members of a zip up to a given size: a few bytes may unpack to gigabytes."""

import io
import zipfile
import zlib
from typing import IO

BROKEN = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
"""Errors of `read_member` and zipfile, besides KeyError where there is no such member."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods that zipfile unpacks in parts; those of other methods it unpacks whole, at once."""


def open_member(archive: zipfile.ZipFile, name: str, largest: int) -> IO[bytes]:
    """Open a member of a zip, of so many bytes at most, to read it in parts.

    Parameters
    ----------
    archive : zipfile.ZipFile
    name : str
        As it stands in the archive; it is never used as a path.
    largest : int
        Bytes, unpacked, as the archive states them.

    Raises
    ------
    KeyError
        If there is no such member.
    ValueError
        If it has more bytes, or is compressed by a method other than deflate.
    zipfile.BadZipFile, OSError, RuntimeError
        If it is damaged or encrypted.
    """
    member = archive.getinfo(name)
    if member.file_size > largest:
        raise ValueError(
            f"{name} has {member.file_size / 2**20:.0f} MB unpacked, more than "
            f"{max(largest, 0) / 2**20:.0f} MB, which are read at most"
        )
    if member.compress_type not in _METHODS:
        raise ValueError(f"{name} is compressed by another method than deflate")
    return archive.open(member)


def read_member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """Read a member of a zip, of so many bytes at most.

    Parameters and errors are those of `open_member`; a damaged one also ends in zlib.error or
    EOFError.
    """
    with open_member(archive, name, largest) as file:
        # One byte more than is declared: zipfile then unpacks no further, and checks what it has.
        return file.read(archive.getinfo(name).file_size + 1)


def unpacked(data: bytes, largest: int, *, documents: int) -> bytes:
    """Return a zip with its members uncompressed, for readers that have no limit of size.

    Parameters
    ----------
    data : bytes
    largest : int
        Bytes of all members together.
    documents : int
        Bytes of each JSON document among them, which takes many times as many in memory.

    Raises
    ------
    ValueError
        If there are more bytes, or as `read_member`.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as packed, zipfile.ZipFile(buffer, "w") as plain:
        for name in packed.namelist():
            most = documents if name.lower().endswith(".json") else largest
            left = largest - buffer.tell()
            plain.writestr(name, read_member(packed, name, min(most, left)))
    return buffer.getvalue()
