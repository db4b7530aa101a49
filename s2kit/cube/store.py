"""Where a cube lies: whole objects by name on any storage, and the lock of the one who writes."""

import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import fsspec
import psutil
from fsspec.implementations.local import LocalFileSystem

from s2kit.errors import CubeError, CubeLockedError, InvalidInputError

WORKSHOP = ".s2kit"
"""Folder below the store for the lock and for objects that are being written; no reader looks."""

_LOCK = f"{WORKSHOP}/lock"


class Store:
    """Objects by name below a path or URL; each is written whole or not at all.

    Parameters
    ----------
    url : str or pathlib.Path
        A path, or a URL that fsspec can write to, such as ``s3://bucket/cube.zarr``.
    """

    def __init__(self, url: str | os.PathLike):
        if not isinstance(url, str | os.PathLike):
            raise InvalidInputError(
                f"store is {url!r} ({type(url).__name__}); give a path or a URL such as "
                "'data/cube.zarr' or 's3://bucket/cube.zarr'"
            )
        if not str(url).strip():
            raise InvalidInputError("store is empty; give a path such as 'data/cube.zarr'")
        self.url = str(url).rstrip("/")
        self.fs, self.root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        self.local = isinstance(self.fs, LocalFileSystem)

    def __reduce__(self):
        return Store, (self.url,)

    def path(self, key: str) -> str:
        """Give the full name of an object."""
        return f"{self.root}/{key}"

    def read(self, key: str) -> bytes | None:
        """Give an object's bytes, or None where there is none."""
        try:
            return self.fs.cat_file(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, data: bytes) -> None:
        """Write an object; readers see the old one or the new one, never a part."""
        if not self.local:
            self.fs.pipe_file(self.path(key), data)
            return
        with self._placed(key) as draft:
            draft.write_bytes(data)

    def copy(self, source: str, target: str) -> None:
        """Give an object a second name, without moving its bytes where the storage can."""
        if not self.local:
            self.fs.cp_file(self.path(source), self.path(target))
            return
        with self._placed(target) as draft:
            try:
                os.link(self.path(source), draft)
            except OSError:
                shutil.copyfile(self.path(source), draft)

    @contextmanager
    def _placed(self, key: str) -> Iterator[Path]:
        draft = Path(self.path(f"{WORKSHOP}/{uuid.uuid4().hex}"))
        target = Path(self.path(key))
        try:
            yield draft
            try:
                draft.replace(target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._unwritable(error) from error
        draft.unlink(missing_ok=True)  # replacing a hard link by its twin leaves the draft

    def _unwritable(self, error: OSError) -> CubeError:
        return CubeError(
            f"cannot write {self.url}: {error.strerror or error}. The cube is as it was; free "
            "space or mend the storage, then run the build again: it goes on from there"
        )

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(key))

    def keys(self, prefix: str) -> list[str]:
        """List the objects below a prefix."""
        found = self.fs.find(self.path(prefix))
        return sorted(str(PurePosixPath(name).relative_to(self.root)) for name in found)

    def exists(self) -> bool:
        """Tell whether anything but the workshop lies there."""
        try:
            names = [PurePosixPath(n).name for n in self.fs.ls(self.root, detail=False)]
        except (FileNotFoundError, NotADirectoryError):
            return self.fs.exists(self.root)
        return any(name != WORKSHOP for name in names)

    def disturbed(self) -> bool:
        """Tell whether a build that died has left something in the workshop."""
        return self.read(_LOCK) is not None or bool(self.keys(WORKSHOP))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to write; a dead process's lock is taken over.

        Raises
        ------
        CubeLockedError
            If another build holds it.
        """
        self._acquire()
        try:
            self._clear_workshop()
            yield
        finally:
            self.delete(_LOCK)
            if self.local:
                shutil.rmtree(self.path(WORKSHOP), ignore_errors=True)

    def _acquire(self) -> None:
        while not self._create_lock():
            holder = json.loads(self.read(_LOCK) or b"null")
            if holder is None:
                continue
            if not _is_dead(holder):
                raise CubeLockedError(
                    f"{self.url} is being written by process {holder['pid']} on "
                    f"{holder['host']} since {holder['since']}. Wait for it to end; if you are "
                    f"certain that it is no longer at work, remove {self.path(_LOCK)}"
                )
            self._remove_stale(holder)

    def _create_lock(self) -> bool:
        data = json.dumps(_whoami()).encode()
        if not self.local:
            try:
                self.fs.pipe_file(self.path(_LOCK), data, mode="create")
            except FileExistsError:
                return False
            return True
        draft = Path(self.path(f"{WORKSHOP}/lock-{uuid.uuid4().hex}"))
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
        except FileNotFoundError:  # the last holder has just tidied up
            return False
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            os.link(draft, self.path(_LOCK))
        except (FileExistsError, FileNotFoundError):
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _remove_stale(self, holder: dict) -> None:
        """Remove a dead holder's lock, and only that one, whoever else tries the same."""
        if not self.local:
            self.delete(_LOCK)
            return
        grave = Path(self.path(f"{WORKSHOP}/stale-{uuid.uuid4().hex}"))
        try:
            Path(self.path(_LOCK)).rename(grave)
        except FileNotFoundError:
            return
        if json.loads(grave.read_bytes()) != holder:
            os.link(grave, self.path(_LOCK))
        grave.unlink()

    def _clear_workshop(self) -> None:
        for key in self.keys(WORKSHOP):
            if not PurePosixPath(key).name.startswith(("lock", "stale")):
                self.delete(key)


def _whoami() -> dict:
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": process.create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _is_dead(holder: dict) -> bool:
    if holder["host"] != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(holder["pid"]).create_time() - holder["started"]) > 1
    except psutil.NoSuchProcess:
        return True
