"""A store on a disk: files that are synced, and folders that may not be links."""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from s2kit import atomic
from s2kit.bounds import read_file
from s2kit.credentials import shown_cause
from s2kit.cube.codec import largest
from s2kit.cube.keys import STAGING, WORK_FOLDER
from s2kit.cube.store import Draft, Store, new_draft
from s2kit.errors import CubeError

ATTEMPTS = 1000
"""How often a file is tried to be made while others remove its folder."""


class LocalStore(Store):
    """Objects as files below a folder."""

    def __init__(self, url: str, root: str, fs: Any):
        super().__init__(url, root, fs)
        self._folders: set[str] = set()  # known to be folders of the store itself

    def read_own(self, key: str) -> bytes | None:
        """Return an object of the work folder; a link counts as absent."""
        if any(Path(self.path(one)).is_symlink() for one in (WORK_FOLDER, key)):
            return None
        return self.read(key)

    def write(self, key: str, data: bytes) -> None:
        """Write an object and sync it; readers see the old one or the new one, never a part."""
        [draft] = self.prepare({key: data})
        try:
            atomic.sync([Path(self.path(draft.source))])
            self.place([draft])
            atomic.sync([Path(self.path(key)).parent])
        except OSError as error:
            self.delete(draft.source)
            raise self.unwritable(error) from shown_cause(error)

    def prepare(self, objects: Mapping[str, bytes]) -> list[Draft]:
        """Write drafts of objects, to be put in place together."""
        drafts: list[Draft] = []
        try:
            for key, data in objects.items():
                drafts.append(new_draft(key, data))
                self.put(drafts[-1].source, data)
        except CubeError:
            for draft in drafts:
                self.delete(draft.source)
            raise
        return drafts

    def place(self, drafts: Iterable[Draft]) -> None:
        """Put drafts in their places, in order: each replaces the object in one step."""
        for draft in drafts:
            if not self.move(draft.source, draft.key):
                raise self.unwritable(FileNotFoundError(f"{draft.source} has vanished"))

    def sync(self, keys: Iterable[str]) -> None:
        """Wait until objects, and all that was written before, are on the disk."""
        try:
            atomic.sync_all(Path(self.root), self._with_folders(keys))
        except OSError as error:
            raise self.unwritable(error) from shown_cause(error)

    def has(self, key: str) -> bool:
        """Return whether there is an object of that name."""
        return os.path.exists(self.path(key))  # noqa: PTH110 (speed)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self.enter(key)
            os.unlink(self.path(key))  # noqa: PTH108 (speed)

    def clear(self) -> None:
        """Remove the objects of a cube, and the folders that are empty then."""
        super().clear()
        for folder, _, _ in os.walk(self.root, topdown=False):
            with suppress(OSError):  # what is in use is not empty
                Path(folder).rmdir()

    def clear_staging(self) -> None:
        """Remove chunks that were staged for a commit that never was."""
        with suppress(FileNotFoundError):
            self.enter(STAGING)
        path = Path(self.path(STAGING))
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:  # a link, a pipe or a file, which no build makes
            path.unlink(missing_ok=True)
        self.forget_folders()

    def keys(self, prefix: str) -> list[str]:
        """List the objects below a prefix, sorted."""
        found = self.fs.find(self.path(prefix))
        return sorted(str(PurePosixPath(name).relative_to(self.root)) for name in found)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects below a prefix, in bytes; links are none."""
        return dict(_sizes(self.path(prefix), prefix))

    def exists(self) -> bool:
        """Return whether anything but the work folder lies there."""
        try:
            return any(name != WORK_FOLDER for name in os.listdir(self.root))  # noqa: PTH208
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return True

    def enter(self, key: str, *, make: bool = False) -> None:
        """Check that the folder of an object is one of the store, not a link that leads elsewhere.

        Raises
        ------
        CubeError
            If it is a link, or a file.
        FileNotFoundError
            If it is absent, and not to be made.
        """
        folder = key.rpartition("/")[0]
        if folder in self._folders:
            return
        path = Path(self.root)
        if make:
            path.mkdir(parents=True, exist_ok=True)
        for name in folder.split("/") if folder else ():
            path /= name
            if make:
                with suppress(FileExistsError):
                    path.mkdir()
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise CubeError(
                    f"{path} is not a folder of the cube but a link or a file. Links in a cube are "
                    "not followed, since they may lead anywhere: remove it, then build again. To "
                    "keep a cube on another disk, make all of it there"
                )
        self._folders.add(folder)

    def forget_folders(self) -> None:
        """Look at all folders again: somebody may have removed an empty one."""
        self._folders.clear()

    def _read(self, key: str) -> bytes:
        return read_file(self.path(key), largest(key))

    def _put(self, key: str, data: bytes) -> None:
        try:
            with open(self._create(key), "wb") as file:  # noqa: PTH123 (no path of a handle)
                file.write(data)
        except OSError:
            self.delete(key)
            raise

    def _create(self, key: str) -> int:
        """Open a new file: what had its name is removed, and no link is followed."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        for _ in range(ATTEMPTS):
            try:
                self.enter(key, make=True)
                return os.open(self.path(key), flags, 0o666)
            except FileExistsError:
                os.unlink(self.path(key))  # noqa: PTH108 (speed)
            except FileNotFoundError:
                self.forget_folders()
        raise FileNotFoundError(f"{self.path(key)} cannot be made")

    def _move(self, source: str, target: str) -> None:
        self.enter(source)
        self.enter(target, make=True)
        os.replace(self.path(source), self.path(target))  # noqa: PTH105 (speed)

    def _copy(self, source: str, target: str) -> None:
        """Link the file where the disk can do that; else copy it."""
        self.enter(target, make=True)
        self.delete(target)
        try:
            os.link(self.path(source), self.path(target))
        except OSError:
            shutil.copyfile(self.path(source), self.path(target))

    def _with_folders(self, keys: Iterable[str]) -> Iterator[Path]:
        """Yield the files of objects, and then their folders up to the root."""
        folders: set[Path] = set()
        for key in keys:
            path = Path(self.path(key))
            folders.update(one for one in path.parents if one.is_relative_to(self.root))
            yield path
        yield from folders


def _sizes(path: str, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                key = f"{prefix}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(entry.path, key)
                elif entry.is_file(follow_symlinks=False):
                    yield key, entry.stat(follow_symlinks=False).st_size
    except (FileNotFoundError, NotADirectoryError):
        return
