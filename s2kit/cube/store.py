"""What a store of objects by name can do."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError

from s2kit.credentials import shown_cause
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
    """Objects by name below a path or URL; `s2kit.cube.storage.open_store` makes one.

    Attributes
    ----------
    url : str
        For messages.
    root : str
        The path or URL by which fsspec knows it.
    fs : fsspec.AbstractFileSystem
    """

    def __init__(self, url: str, root: str, fs: Any):
        self.url, self.root, self.fs = url, root, fs

    @property
    def listable(self) -> bool:
        """Whether objects can be listed and written, which plain http cannot."""
        return True

    def path(self, key: str) -> str:
        """Return the full name of an object."""
        return f"{self.root}/{key}"

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

    @abstractmethod
    def read_own(self, key: str) -> bytes | None:
        """Return an object of the work folder; a link counts as absent."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object that no reader looks for yet; one of that name is removed first.

        It is not synced, and torn if the process dies: what makes it visible comes later.
        """
        try:
            self._put(key, data)
        except TROUBLE as error:
            raise self.unwritable(error) from shown_cause(error)

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write an object and sync it; readers see the old one or the new one, never a part."""

    @abstractmethod
    def prepare(self, objects: Mapping[str, bytes]) -> list[Draft]:
        """Return drafts of objects, to be put in place together.

        A disk holds them already: where it is full, none of the objects has changed. Others get
        them when they are put in place.
        """

    @abstractmethod
    def place(self, drafts: Iterable[Draft]) -> None:
        """Put drafts in their places, in order: each replaces the object in one step."""

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

    @abstractmethod
    def sync(self, keys: Iterable[str]) -> None:
        """Wait until objects, and all that was written before, are stored."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Return whether there is an object of that name."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""

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

    @abstractmethod
    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects below a prefix, in bytes."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether anything but the work folder lies there."""

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

    @abstractmethod
    def _read(self, key: str) -> bytes: ...

    @abstractmethod
    def _put(self, key: str, data: bytes) -> None: ...

    @abstractmethod
    def _move(self, source: str, target: str) -> None: ...

    @abstractmethod
    def _copy(self, source: str, target: str) -> None: ...


def new_draft(key: str, data: bytes) -> Draft:
    """Return a draft under a name of its own."""
    return Draft(key, f"{WORK_FOLDER}/{DRAFT}{uuid.uuid4().hex}", data)
