"""The files of a product, in a folder or in a zip, and the products that lie below a folder."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from s2kit.bounds import read_file
from s2kit.errors import SceneError
from s2kit.scenes.product import ProductName
from s2kit.zips import BROKEN, read_member

METADATA_FILE = re.compile(r"MTD_MSIL(1C|2A)\.xml", re.IGNORECASE)
"""The file that makes a folder a SAFE product; the case of its name differs."""

_ZARR_METADATA = (".zmetadata", ".zattrs", "zarr.json")

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_LARGEST = 2**23
"""Bytes of a metadata file that are read at most: real ones have 1 MB. As XML or JSON, a byte
takes up to 25 in memory."""

_DEEPEST = 32
"""Folders below the one that was given: deeper ones are a loop, or a mistake."""


@dataclass(frozen=True)
class Folder:
    """A product's folder on disk.

    Files are named as in the product, such as ``GRANULE/…/MTD_TL.xml``.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All files, sorted, hidden ones left out."""
        found = []
        for folder, subfolders, files in os.walk(self.path, followlinks=True):
            inside = Path(folder).relative_to(self.path)
            if len(inside.parts) >= _DEEPEST:
                subfolders.clear()
            found += [(inside / name).as_posix() for name in files]
        return _visible(found)

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """Read a metadata file; FileNotFoundError where there is none."""
        return read_file(self.path / name, _LARGEST)

    def href(self, name: str) -> str:
        """Return the name by which GDAL opens a file or folder."""
        return str(self.path.absolute() / name)


@dataclass(frozen=True)
class Zipped:
    """A product's folder in a zip, which is read in place.

    Parameters
    ----------
    archive : pathlib.Path
        The zip.
    inside : str
        The folder in it, with a slash at its end; empty if the zip itself is the product.
    names : tuple of str
    """

    archive: Path
    inside: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the folder, or of a zip without one."""
        return PurePosixPath(self.inside).name or self.archive.stem

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return name in self.names

    def read(self, name: str) -> bytes:
        """Read a metadata file; FileNotFoundError where there is none."""
        try:
            with zipfile.ZipFile(self.archive) as archive:
                return read_member(archive, self.inside + name, _LARGEST)
        except KeyError as error:
            raise FileNotFoundError(name) from error
        except BROKEN as error:
            raise SceneError(self.name, f"{self.archive} {_damaged(error)}") from error

    def href(self, name: str) -> str:
        """Return the name by which GDAL opens a file or folder."""
        return f"/vsizip/{{{self.archive.absolute()}}}/{self.inside}{name}"


Files = Folder | Zipped
"""The files of one product."""


def is_zarr(files: Files) -> bool:
    """Return whether a product is a Zarr store."""
    return files.name.lower().endswith(".zarr") or any(map(files.has, _ZARR_METADATA))


def _visible(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if not PurePosixPath(name).name.startswith("._")))


def _damaged(error: Exception) -> str:
    return f"cannot be read ({error or type(error).__name__}); download it again"


def find_folders(path: Path) -> Iterator[Files | SceneError]:
    """Find the products below a folder, at any depth, also in zips; or the one that a path is.

    Yields
    ------
    Files or SceneError
        In order of their paths. A product is a folder called ``….SAFE`` or ``….zarr``, or one that
        holds the metadata of one; links are followed, but nowhere twice.
    """
    if path.is_file():
        yield from _in_zip(path)
    else:
        yield from _below(path, set(), 0)


def _below(path: Path, seen: set[tuple[int, int]], depth: int) -> Iterator[Files | SceneError]:
    try:
        status = path.stat()
        entries = sorted(path.iterdir())
    except OSError as error:
        yield SceneError(str(path), f"cannot be read ({error.strerror or error})")
        return
    if depth > _DEEPEST:
        yield SceneError(
            str(path), f"lies more than {_DEEPEST} folders deep; name it, or one above it"
        )
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    if _holds_product(entry.name for entry in entries):
        yield Folder(path)
        return
    found = False
    for entry in (one for one in entries if not _is_hidden(one.name)):
        if entry.is_dir():
            for one in _below(entry, seen, depth + 1):
                found = True
                yield one
        elif entry.suffix.lower() == ".zip":
            found = True
            yield from _in_zip(entry)
        elif entry.name.lower().endswith(_TARS) and ProductName.find(entry.name):
            yield SceneError(str(entry), "is a tar archive; unpack it")
    if not found and _is_named(path.name):  # without metadata, and without a product in it
        yield Folder(path)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_named(name: str) -> bool:
    return name.upper().endswith((".SAFE", ".ZARR")) or str(ProductName.find(name)) == name


def _holds_product(names: Iterable[str]) -> bool:
    return any(METADATA_FILE.fullmatch(name) or name in _ZARR_METADATA for name in names)


def _in_zip(path: Path) -> Iterator[Zipped | SceneError]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except BROKEN as error:
        yield SceneError(str(path), _damaged(error))
        return
    folders = {PurePosixPath(n).parent for n in names if _holds_product([PurePosixPath(n).name])}
    if not folders and ProductName.find(path.name):
        yield SceneError(str(path), "holds no product; download it again, or unpack what is in it")
    for folder in sorted(folders):
        if any(map(_is_hidden, folder.parts)) or set(folder.parents) & folders:
            continue  # what lies in a product belongs to it
        inside = "".join(f"{part}/" for part in folder.parts)
        own = [name.removeprefix(inside) for name in names if name.startswith(inside)]
        yield Zipped(path, inside, _visible(own))
