"""Objects by name below a URL: on S3 and what speaks like it, or on http(s) to read."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError

from s2kit.credentials import shown_cause
from s2kit.cube.http import requests_to
from s2kit.cube.keys import DRAFT, METADATA, STAGING, WORK_FOLDER
from s2kit.errors import CubeError

TROUBLE = (OSError, NotImplementedError, ValueError, aiohttp.ClientError, BotoCoreError)
"""What storages raise: NotImplementedError where one can only be read, ValueError for odd names."""

FAR = (aiohttp.ClientError, ConnectionError, TimeoutError, BotoCoreError)
"""What storages raise that cannot be reached, or have no time."""


@dataclass(frozen=True)
class Draft:
    """A new version of an object that is not in its place yet.

    Attributes
    ----------
    key : str
        The object that it is to replace.
    source : str
        The object that holds it until then, on a disk.
    data : bytes
    """

    key: str
    source: str
    data: bytes


class Objects(ABC):
    """Objects by name, to read.

    Attributes
    ----------
    url : str
        For messages.
    """

    url: str

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """Return the bytes of an object, or None where there is none.

        Raises
        ------
        CubeError
            If it cannot be read.
        """

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return several objects; None for those that are absent."""
        return [self.read(key) for key in keys]

    def read_own(self, key: str) -> bytes | None:
        """Return an object of the work folder, which a zip does not have."""
        return None


class Store(Objects):
    """Objects by name below a URL that fsspec can read; `s2kit.cube.storage.open_store` makes one.

    Attributes
    ----------
    url : str
        For messages.
    root : str
        The path or URL by which fsspec knows it.
    fs : fsspec.AbstractFileSystem
    query : str
        Of an http(s) URL, such as a shared access signature; it is sent with each request.
    """

    def __init__(self, url: str, root: str, fs: Any, query: str = ""):
        self.url, self.root, self.fs, self.query = url, root, fs, query

    def __reduce__(self):
        from s2kit.cube.storage import open_store

        return open_store, (self.url,)  # a worker has its own access to the storage

    @property
    def listable(self) -> bool:
        """Whether objects can be listed and written, which plain http cannot."""
        return not self.url.startswith(("http://", "https://"))

    def path(self, key: str) -> str:
        """Return the full name of an object."""
        return f"{self.root}/{key}{self.query}"

    def read(self, key: str) -> bytes | None:
        """Return the bytes of an object, or None where there is none."""
        try:
            return self._read(key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except FAR as error:
            raise CubeError(
                f"{self.path(key)} cannot be read now ({type(error).__name__}: {error}); try again "
                "in a moment, or mend the way to it"
            ) from shown_cause(error)
        except TROUBLE as error:
            raise CubeError(
                f"{self.path(key)} cannot be read: {type(error).__name__}: {error}. Mend the "
                "storage or its access, or choose another store"
            ) from shown_cause(error)

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return several objects, fetched side by side; None for those that are absent."""
        if len(keys) <= 1:
            return super().read_all(keys)
        paths = [self.path(key) for key in keys]
        with requests_to(self.root) as bounds:  # not `cat`, to which ? and [ are patterns
            found = self.fs.cat_ranges(paths, None, None, on_error="return", **bounds)
        return [self._fetched(key, data) for key, data in zip(keys, found, strict=True)]

    def read_own(self, key: str) -> bytes | None:
        """Return an object of the work folder; a link counts as absent."""
        return self.read(key)

    def put(self, key: str, data: bytes) -> None:
        """Write an object that no reader looks for yet; one of that name is removed first.

        It is not synced, and torn if the process dies: what makes it visible comes later.
        """
        try:
            self._put(key, data)
        except TROUBLE as error:
            raise self.unwritable(error) from shown_cause(error)

    def write(self, key: str, data: bytes) -> None:
        """Write an object and sync it; readers see the old one or the new one, never a part."""
        self.put(key, data)

    def prepare(self, objects: Mapping[str, bytes]) -> list[Draft]:
        """Return drafts of objects, to be put in place together.

        A disk holds them already: where it is full, none of the objects has changed. Others get
        them when they are put in place.
        """
        return [new_draft(key, data) for key, data in objects.items()]

    def place(self, drafts: Iterable[Draft]) -> None:
        """Put drafts in their places, in order: each replaces the object in one step."""
        for draft in drafts:
            self.write(draft.key, draft.data)

    def move(self, source: str, target: str) -> bool:
        """Rename an object, in one step; return False if it is absent."""
        try:
            self._move(source, target)
        except FileNotFoundError:
            return False
        except TROUBLE as error:
            raise self.unwritable(error) from shown_cause(error)
        return True

    def copy(self, source: str, target: str) -> None:
        """Copy an object to a name that no reader looks for yet.

        Raises
        ------
        CubeError
            If it is missing, or the copy cannot be written.
        """
        try:
            self._copy(source, target)
        except FileNotFoundError as error:
            raise CubeError(
                f"{self.path(source)} is missing; the cube is as it was. Build it again with the "
                "scenes of its dates too, which mends it, or bring that file back from a copy"
            ) from error
        except TROUBLE as error:
            raise self.unwritable(error) from shown_cause(error)

    def sync(self, keys: Iterable[str]) -> None:
        """Wait until objects, and all that was written before, are stored: requests have waited."""

    def has(self, key: str) -> bool:
        """Return whether there is an object of that name."""
        return self.fs.exists(self.path(key))

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(key))

    def clear(self) -> None:
        """Remove the objects of a cube."""
        for key in self.keys(""):
            if key.startswith("S2/") or key in (".zgroup", ".zattrs", METADATA):
                self.delete(key)

    def clear_staging(self) -> None:
        """Remove chunks that were staged for a commit that never was."""
        for key in self.keys(STAGING):
            self.delete(key)

    def keys(self, prefix: str) -> list[str]:
        """List the objects below a prefix, sorted."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects below a prefix, in bytes."""
        try:
            found = self.fs.find(self.path(prefix), detail=True)
        except FileNotFoundError:  # not even the bucket
            return {}
        root = PurePosixPath(self.root)
        return {
            PurePosixPath(name).relative_to(root).as_posix(): int(about["size"])
            for name, about in found.items()
        }

    def exists(self) -> bool:
        """Return whether anything but the work folder lies there."""
        try:
            names = [PurePosixPath(n).name for n in self.fs.ls(self.root, detail=False)]
        except (FileNotFoundError, NotADirectoryError):
            return self.fs.exists(self.root)
        return any(name != WORK_FOLDER for name in names)

    def is_disturbed(self) -> bool:
        """Return whether a build that died has left something in the work folder."""
        return bool(self.keys(WORK_FOLDER))

    def clear_drafts(self) -> None:
        """Remove the drafts of builds that died."""
        for key in self.keys(WORK_FOLDER):
            if key.rpartition("/")[2].startswith(DRAFT):
                self.delete(key)

    def unwritable(self, error: Exception) -> CubeError:
        """Return the error for a storage that cannot be written."""
        cause = getattr(error, "strerror", None) or error or type(error).__name__
        return CubeError(
            f"cannot write {self.url}: {cause}. The cube is as it was; free "
            "space or mend the storage, then run the build again: it goes on from there"
        )

    def _fetched(self, key: str, data: bytes | Exception) -> bytes | None:
        if isinstance(data, FileNotFoundError):
            return None
        return self.read(key) if isinstance(data, Exception) else data  # again, for its error

    def _read(self, key: str) -> bytes:
        return self.fs.cat_file(self.path(key))

    def _put(self, key: str, data: bytes) -> None:
        self.fs.pipe_file(self.path(key), data)

    def _move(self, source: str, target: str) -> None:
        self.fs.mv(self.path(source), self.path(target))

    def _copy(self, source: str, target: str) -> None:
        self.fs.cp_file(self.path(source), self.path(target))


def new_draft(key: str, data: bytes) -> Draft:
    """Return a draft under a name of its own."""
    return Draft(key, f"{WORK_FOLDER}/{DRAFT}{uuid.uuid4().hex}", data)
