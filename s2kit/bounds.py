"""Read files and JSON that others wrote within bounds: a small file may ask for all memory."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

LARGEST_JSON = 2**27
"""Bytes of a document of STAC; a page of a hundred items has 3 MB."""

MOST_VALUES = 2_000_000
"""Values in a JSON document: each may take 100 bytes in memory."""

_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_file(path: str | os.PathLike, most: int) -> bytes:
    """Read a file of so many bytes at most.

    Raises
    ------
    OSError
        If it cannot be read, is larger, or is a folder, a pipe or a device.
    """
    handle = os.open(path, os.O_RDONLY | _NO_WAIT)  # a pipe without a writer would wait for ever
    with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 (no path of a handle)
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        if about.st_size > most:
            raise OSError(
                errno.EFBIG, f"it has {about.st_size / 1e6:.0f} MB; {most / 1e6:.0f} are read"
            )
        return file.read()


def require_file(path: str | os.PathLike) -> None:
    """Refuse what is neither a file nor a folder: a pipe or a device, which a library would read.

    Raises
    ------
    OSError
    """
    kind = Path(path).stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise OSError(errno.EINVAL, "it is not a file")


def parse_json(data: bytes | str) -> Any:
    """Parse JSON of so many values at most.

    Raises
    ------
    ValueError
        If it is not JSON, or holds more than `MOST_VALUES`.
    RecursionError
        If it is nested too deep.
    """
    commas = data.count(b",") if isinstance(data, bytes) else data.count(",")
    if commas > MOST_VALUES:  # counted before the text is decoded, which takes as much again
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    return json.loads(data.decode("utf-8-sig") if isinstance(data, bytes) else data)
