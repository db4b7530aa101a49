"""Where a cube lies: whole objects by name on any storage, and the lock of the one who writes."""

import itertools
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import aiohttp
import fsspec
import psutil
from botocore.exceptions import BotoCoreError
from fsspec.implementations.local import LocalFileSystem

from s2kit.credentials import shown_cause
from s2kit.errors import CubeError, CubeLockedError, InvalidInputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TROUBLE = (OSError, NotImplementedError, ValueError, aiohttp.ClientError, BotoCoreError)
"""What storages raise: NotImplementedError where one can only be read, ValueError for odd names."""

WORKSHOP = ".s2kit"
"""Folder below the store for the lock and for objects that are being written; no reader looks."""

_LOCK = f"{WORKSHOP}/lock"
_DRAFT = "draft-"
_ATTEMPTS = 1000
_SETTLE = 2
"""Seconds in which two builders that take over one dead lock on an object store find out."""


def require_zarr_name(store: str) -> None:
    """Refuse a name that says that a file of another format is wanted.

    Raises
    ------
    InvalidInputError
    """
    suffix = PurePosixPath(store).suffix.lower()
    if suffix in (".zip", ".tif", ".tiff", ".nc", ".h5"):
        raise InvalidInputError(
            f"store={store!r} ends in {suffix}, but what is written is Zarr, a folder; name it "
            f"{PurePosixPath(store).stem}.zarr. A zip can be made of it then; for a GeoTIFF use "
            "rioxarray's rio.to_raster, for NetCDF xarray's to_netcdf"
        )


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
        try:
            self.fs, self.root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise InvalidInputError(
                f"store={self.url!r} is on a kind of storage that is unknown here ({error}); give "
                "a path, or a URL such as 's3://bucket/cube.zarr'"
            ) from shown_cause(error)
        self.local = isinstance(self.fs, LocalFileSystem)

    def __reduce__(self):
        return Store, (self.root if self.local else self.url,)  # a worker has another folder

    def path(self, key: str) -> str:
        """Give the full name of an object."""
        return f"{self.root}/{key}"

    def read(self, key: str) -> bytes | None:
        """Give an object's bytes, or None where there is none."""
        try:
            if self.local:
                with open(self.path(key), "rb", buffering=0) as file:  # noqa: PTH123 (10 µs less)
                    return file.read()
            return self.fs.cat_file(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except TROUBLE as error:
            raise CubeError(
                f"{self.path(key)} cannot be read: {type(error).__name__}: {error}. Mend the "
                "storage or its access, or choose another store"
            ) from shown_cause(error)

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Give the bytes of several objects, fetched together where the storage is far."""
        if self.local or len(keys) == 1:
            return [self.read(key) for key in keys]
        paths = [self.path(key) for key in keys]
        found = self.fs.cat(paths, on_error="return")
        data = [found[path] for path in paths]
        return [self.read(k) if isinstance(d, Exception) else d
                for k, d in zip(keys, data, strict=True)]  # fmt: skip

    def write(self, key: str, data: bytes) -> None:
        """Write an object; readers see the old one or the new one, never a part."""
        self.write_all([{key: data}])

    def write_all(self, groups: list[dict[str, bytes]], *, pause: float = 0) -> None:
        """Write groups of objects in order; where the storage is full, none of them changes.

        Parameters
        ----------
        groups : list of dict of str to bytes
            Objects by name.
        pause : float
            Seconds between two groups.
        """
        if not self.local:
            try:
                for key, data in self._in_order(groups, pause):
                    self.fs.pipe_file(self.path(key), data)
            except TROUBLE as error:
                raise self._unwritable(error) from shown_cause(error)
            return
        drafts = []
        try:
            for data in (data for group in groups for data in group.values()):
                drafts.append(self._draft())
                drafts[-1].write_bytes(data)
            for draft, (key, _) in zip(drafts, self._in_order(groups, pause), strict=True):
                self._place(draft, key)
        except OSError as error:
            for draft in drafts:
                draft.unlink(missing_ok=True)
            raise self._unwritable(error) from error

    def _in_order(
        self, groups: list[dict[str, bytes]], pause: float
    ) -> Iterator[tuple[str, bytes]]:
        for i, group in enumerate(groups):
            if i:
                time.sleep(pause)
            yield from group.items()

    def copy(self, source: str, target: str) -> None:
        """Give an object a second name, without moving its bytes where the storage can."""
        if not self.local:
            self.fs.cp_file(self.path(source), self.path(target))
            return
        draft = self._draft()
        try:
            try:
                os.link(self.path(source), draft)
            except OSError:
                shutil.copyfile(self.path(source), draft)
            self._place(draft, target)
            draft.unlink(missing_ok=True)  # replacing a hard link by its twin leaves the draft
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._unwritable(error) from error

    def _draft(self) -> Path:
        folder = Path(self.path(WORKSHOP))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return folder / f"{_DRAFT}{uuid.uuid4().hex}"

    def _place(self, draft: Path, key: str) -> None:
        target = Path(self.path(key))
        try:
            draft.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(target)

    def _unwritable(self, error: Exception) -> CubeError:
        cause = getattr(error, "strerror", None) or error or type(error).__name__
        return CubeError(
            f"cannot write {self.url}: {cause}. The cube is as it was; free "
            "space or mend the storage, then run the build again: it goes on from there"
        )

    def has(self, key: str) -> bool:
        """Tell whether there is an object of that name."""
        path = self.path(key)
        return os.path.exists(path) if self.local else self.fs.exists(path)  # noqa: PTH110 (speed)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(key))

    def clear(self) -> None:
        """Remove the objects of a cube, and the folders that are empty then."""
        for key in self.keys(""):
            if key.startswith("S2/") or key in (".zgroup", ".zattrs", ".zmetadata"):
                self.delete(key)
        if self.local:
            for folder, _, _ in os.walk(self.root, topdown=False):
                with suppress(OSError):  # what is in use is not empty
                    Path(folder).rmdir()

    def keys(self, prefix: str) -> list[str]:
        """List the objects below a prefix."""
        try:
            found = self.fs.find(self.path(prefix))
        except FileNotFoundError:  # not even the bucket
            return []
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
        return bool(self.keys(WORKSHOP))

    @contextmanager
    def lock(self) -> Iterator[str]:
        """Hold the right to write; a dead process's lock is taken over.

        Yields
        ------
        str
            The word by which `check_held` knows the holder, in any process.

        Raises
        ------
        CubeLockedError
            If another build holds it.
        """
        word = uuid.uuid4().hex
        mine = json.dumps(_whoami() | {"word": word}).encode()
        handle = self._take_file(mine) if self.local and fcntl else self._take_object(word, mine)
        try:
            yield word
        finally:
            self._release(word)
            if handle is not None:
                os.close(handle)

    def check_held(self, word: str) -> None:
        """See that the lock is still held by ``word``: a worker may outlive its build.

        Raises
        ------
        CubeLockedError
            If it is not.
        """
        if self._holder().get("word") != word:
            raise CubeLockedError(
                f"this build no longer holds {self.url}: it was ended, or its lock was removed. "
                "Nothing more is written; run the build again"
            )

    def _holder(self) -> dict:
        """Give who holds the lock; empty if nobody does, or somebody is just writing it."""
        try:
            return dict(json.loads(self.read(_LOCK) or b"{}"))
        except (ValueError, TypeError):
            return {}

    def _take_file(self, mine: bytes) -> int:
        """Lock by the system's own file lock, which ends with the process, however it ends."""
        path = Path(self.path(_LOCK))
        try:
            handle = self._open_locked(path)
            try:
                self._check_host()
                self._clear_drafts()
                os.truncate(handle, 0)
                os.write(handle, mine)
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            raise self._unwritable(error) from shown_cause(error)
        return handle

    def _open_locked(self, path: Path) -> int:
        for attempt in itertools.count():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except (FileNotFoundError, FileExistsError):
                if attempt == _ATTEMPTS:
                    raise
                continue  # who held the lock has just cleared up
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(handle).st_ino == path.stat().st_ino:
                    return handle
            except BlockingIOError:
                os.close(handle)
                raise self._held(self._holder()) from None
            except FileNotFoundError:
                pass
            except OSError:
                os.close(handle)
                raise
            os.close(handle)

    def _check_host(self) -> None:
        """A lock of another host may be alive, though this one's system does not know it."""
        holder = self._holder()
        if holder.get("host", socket.gethostname()) != socket.gethostname():
            raise self._held(holder)

    def _take_object(self, word: str, mine: bytes) -> None:
        holder = self._holder()
        if holder and not _is_dead(holder):
            raise self._held(holder)
        try:
            if holder:
                self.delete(_LOCK)
            self.fs.pipe_file(self.path(_LOCK), mine, mode="create")
        except FileExistsError:
            pass
        except TROUBLE as error:
            raise self._unwritable(error) from shown_cause(error)
        if holder:
            time.sleep(_SETTLE)  # who else saw the dead one's lock may replace ours
        now = self._holder()
        if now.get("word") != word:
            raise self._held(now)

    def _held(self, holder: dict) -> CubeLockedError:
        who = "another process"
        if {"pid", "host", "since"} <= set(holder):
            who = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        return CubeLockedError(
            f"{self.url} is being written by {who}. Wait for it to end; if you are certain that "
            f"it is no longer at work, remove {self.path(_LOCK)}"
        )

    def _release(self, word: str) -> None:
        if self._holder().get("word") != word:
            return
        self._clear_drafts()
        self.delete(_LOCK)
        if self.local:
            with suppress(OSError):  # a record that the next build needs stays
                Path(self.path(WORKSHOP)).rmdir()
                Path(self.root).rmdir()  # unless there is a cube

    def _clear_drafts(self) -> None:
        for key in self.keys(WORKSHOP):
            if PurePosixPath(key).name.startswith(_DRAFT):
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
    if holder.get("host") != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(holder["pid"]).create_time() - holder["started"]) > 1
    except psutil.NoSuchProcess:
        return True
