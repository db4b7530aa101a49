"""Where a cube lies: whole objects by name on any storage, and the lock of the one who writes."""

import errno
import itertools
import json
import os
import shutil
import socket
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import aiohttp
import fsspec
import psutil
from botocore.exceptions import BotoCoreError
from fsspec.implementations.local import LocalFileSystem

from s2kit import atomic
from s2kit.bounds import parse_json, read_file
from s2kit.credentials import shown_cause
from s2kit.cube.http import make_client, requests_to
from s2kit.cube.layout import largest
from s2kit.errors import CubeError, CubeLockedError, InvalidInputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TROUBLE = (OSError, NotImplementedError, ValueError, aiohttp.ClientError, BotoCoreError)
"""What storages raise: NotImplementedError where one can only be read, ValueError for odd names."""

FAR = (aiohttp.ClientError, ConnectionError, TimeoutError, BotoCoreError)
"""What storages raise that cannot be reached, or have no time."""

WORKSHOP = ".s2kit"
"""Folder below the store for the lock and for objects that are being written; no reader looks."""

STAGING = f"{WORKSHOP}/staging"
"""Folder for new versions of chunks that readers know, until the commit puts them in place."""

_LOCK = f"{WORKSHOP}/lock"
_DRAFT = "draft-"
_ATTEMPTS = 1000
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
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
        A path, or a URL that fsspec can read, such as ``s3://bucket/cube.zarr``. The query of an
        http(s) URL, such as a shared access signature, is sent with each request.
    """

    def __init__(self, url: str | os.PathLike):
        if not isinstance(url, str | os.PathLike):
            raise InvalidInputError(
                f"store is {url!r} ({type(url).__name__}); give a path or a URL such as "
                "'data/cube.zarr' or 's3://bucket/cube.zarr'"
            )
        if not str(url).strip():
            raise InvalidInputError("store is empty; give a path such as 'data/cube.zarr'")
        place, mark, query, options = str(url), "", "", {}
        if place.startswith(("http://", "https://")):
            place, mark, query = place.partition("?")
            options = {"get_client": make_client}
        place, self._query = place.rstrip("/"), mark + query
        self.url = place + self._query
        try:
            self.fs, self.root = fsspec.url_to_fs(place, use_listings_cache=False, **options)
        except OSError as error:
            raise CubeError(
                f"{place} cannot be reached ({type(error).__name__}: {error}); mend the way to it, "
                "or choose another store"
            ) from shown_cause(error)
        except (ValueError, ImportError) as error:
            raise InvalidInputError(
                f"store={self.url!r} is on a kind of storage that is unknown here ({error}); give "
                "a path, or a URL such as 's3://bucket/cube.zarr'"
            ) from shown_cause(error)
        self.local = isinstance(self.fs, LocalFileSystem)
        self._folders: set[str] = set()  # known to be folders of the store itself

    def __reduce__(self):
        return Store, (self.root if self.local else self.url,)  # a worker has another folder

    def path(self, key: str) -> str:
        """Give the full name of an object."""
        return f"{self.root}/{key}{self._query}"

    def read(self, key: str) -> bytes | None:
        """Give an object's bytes, or None where there is none."""
        try:
            if self.local:
                return read_file(self.path(key), largest(key))
            return self.fs.cat_file(self.path(key))
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

    def read_own(self, key: str) -> bytes | None:
        """Return an object of the workshop; one that is a link counts as not there."""
        if self.local and any(Path(self.path(one)).is_symlink() for one in (WORKSHOP, key)):
            return None
        return self.read(key)

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return several objects, fetched together where the storage is far; None for none."""
        if self.local or len(keys) <= 1:
            return [self.read(key) for key in keys]
        paths = [self.path(key) for key in keys]
        with requests_to(self.root) as bounds:  # not `cat`, to which ? and [ are patterns
            found = self.fs.cat_ranges(paths, None, None, on_error="return", **bounds)
        return [self._taken(key, data) for key, data in zip(keys, found, strict=True)]

    def _taken(self, key: str, data: bytes | Exception) -> bytes | None:
        if isinstance(data, FileNotFoundError):
            return None
        return self.read(key) if isinstance(data, Exception) else data  # again, to say what it is

    def put(self, key: str, data: bytes) -> None:
        """Write an object that no reader looks for yet; one of that name is removed first.

        It is not synced, and torn if the process dies: what makes it visible comes later.
        """
        if not self.local:
            self._upload(key, data)
            return
        try:
            handle = self._create(key)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(handle, view) :]
            finally:
                os.close(handle)
        except OSError as error:
            self.delete(key)
            raise self._unwritable(error) from shown_cause(error)

    def write(self, key: str, data: bytes) -> None:
        """Write an object and sync it; readers see the old one or the new one, never a part."""
        [draft] = self.prepare({key: data})
        if not self.local:
            self.place([draft])
            return
        try:
            atomic.sync([Path(self.path(draft.source))])
            self.place([draft])
            atomic.sync([Path(self.path(key)).parent])
        except OSError as error:
            self.delete(draft.source)
            raise self._unwritable(error) from shown_cause(error)

    def prepare(self, objects: Mapping[str, bytes]) -> list["Draft"]:
        """Write drafts of objects, to be put in place together.

        Where the storage is full, none of the objects has changed.
        """
        drafts: list[Draft] = []
        try:
            for key, data in objects.items():
                draft = Draft(key, f"{WORKSHOP}/{_DRAFT}{uuid.uuid4().hex}", data)
                if self.local:
                    self.put(draft.source, data)
                drafts.append(draft)
        except CubeError:
            for draft in drafts:
                self.delete(draft.source)
            raise
        return drafts

    def place(self, drafts: Iterable["Draft"]) -> None:
        """Put drafts in their places, in order: each takes the place of the object in one step."""
        for draft in drafts:
            if not self.local and draft.data is not None:
                self._upload(draft.key, draft.data)
                continue
            if not self.move(draft.source, draft.key):
                raise self._unwritable(FileNotFoundError(f"{draft.source} has vanished"))

    def move(self, source: str, target: str) -> bool:
        """Give an object another name, in one step; return False if it is not there."""
        try:
            if self.local:
                self._enter(source)
                self._enter(target, make=True)
                os.replace(self.path(source), self.path(target))  # noqa: PTH105 (speed)
            else:
                self.fs.mv(self.path(source), self.path(target))
        except FileNotFoundError:
            return False
        except TROUBLE as error:
            raise self._unwritable(error) from shown_cause(error)
        return True

    def copy(self, source: str, target: str) -> None:
        """Copy an object to a name that no reader looks for yet.

        Its bytes are not moved where the storage can do without.

        Raises
        ------
        CubeError
            If it is missing, or the copy cannot be written.
        """
        try:
            if not self.local:
                self.fs.cp_file(self.path(source), self.path(target))
                return
            self._enter(target, make=True)
            self.delete(target)
            try:
                os.link(self.path(source), self.path(target))
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(self.path(source), self.path(target))
        except FileNotFoundError as error:
            raise CubeError(
                f"{self.path(source)} is missing; the cube is as it was. Build it again with the "
                "scenes of its dates too, which mends it, or bring that file back from a copy"
            ) from error
        except TROUBLE as error:
            raise self._unwritable(error) from shown_cause(error)

    def sync(self, keys: Iterable[str]) -> None:
        """Wait until objects, and all that was written before, are on the disk."""
        if not self.local:
            return
        try:
            atomic.sync_all(Path(self.root), self._with_folders(keys))
        except OSError as error:
            raise self._unwritable(error) from shown_cause(error)

    def _with_folders(self, keys: Iterable[str]) -> Iterator[Path]:
        """Yield the files of objects, and then their folders up to the root."""
        root, folders = Path(self.root), set()
        for key in keys:
            path = Path(self.path(key))
            folders.update(one for one in path.parents if one.is_relative_to(root))
            yield path
        yield from folders

    def _upload(self, key: str, data: bytes) -> None:
        try:
            self.fs.pipe_file(self.path(key), data)
        except TROUBLE as error:
            raise self._unwritable(error) from shown_cause(error)

    def _create(self, key: str) -> int:
        """Open a new file: what had its name is removed, and no link is followed."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        for _ in range(_ATTEMPTS):
            try:
                self._enter(key, make=True)
                return os.open(self.path(key), flags, 0o666)
            except FileExistsError:
                os.unlink(self.path(key))  # noqa: PTH108 (speed)
            except FileNotFoundError:
                self._folders.clear()  # somebody has removed an empty one
        raise FileNotFoundError(f"{self.path(key)} cannot be made")

    def _enter(self, key: str, *, make: bool = False) -> None:
        """Check that the folder of an object is one of the store, not a link that leads elsewhere.

        Raises
        ------
        CubeError
            If it is a link, or a file.
        FileNotFoundError
            If it is not there, and not to be made.
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
        if not self.local:
            with suppress(FileNotFoundError):
                self.fs.rm_file(self.path(key))
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            self._enter(key)
            os.unlink(self.path(key))  # noqa: PTH108 (speed)

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

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects below a prefix, in bytes; links are none."""
        if self.local:
            return dict(_sizes(self.path(prefix), prefix))
        try:
            found = self.fs.find(self.path(prefix), detail=True)
        except FileNotFoundError:
            return {}
        root = PurePosixPath(self.root)
        return {
            PurePosixPath(name).relative_to(root).as_posix(): int(about["size"])
            for name, about in found.items()
        }

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

    def is_locked(self) -> bool:
        """Return whether a build that lives holds the lock, as far as that is known here."""
        holder = self._holder()
        return bool(holder) and not _is_dead(holder)

    def _holder(self) -> dict:
        """Give who holds the lock; empty if nobody does, or somebody is just writing it."""
        try:
            return dict(parse_json(self.read(_LOCK) or b"{}"))
        except (ValueError, TypeError, RecursionError):
            return {}

    def _take_file(self, mine: bytes) -> int:
        """Lock by the system's own file lock, which ends with the process, however it ends."""
        path = Path(self.path(_LOCK))
        try:
            handle = self._open_locked(path)
            try:
                if os.fstat(handle).st_nlink != 1:
                    raise self._strange(path)  # a name of a file that is somewhere else too
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
                self._enter(_LOCK, make=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o644)
            except (FileNotFoundError, FileExistsError):
                if attempt == _ATTEMPTS:
                    raise
                self._folders.clear()
                continue  # who held the lock has just cleared up
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise self._strange(path) from error
                raise
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

    def _strange(self, path: Path) -> CubeError:
        return CubeError(
            f"{path} is a link to another file, which a build never makes; nothing was written. "
            "Remove it, then build again"
        )

    def _check_host(self) -> None:
        """A lock of another host may be alive where the file system's locks do not reach it."""
        holder = self._holder()
        if holder.get("host", socket.gethostname()) == socket.gethostname():
            return
        if not _locks_reach_all_hosts(Path(self.root)):
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
                self._folders.clear()
                Path(self.path(WORKSHOP)).rmdir()
                Path(self.root).rmdir()  # unless there is a cube

    def _clear_drafts(self) -> None:
        for key in self.keys(WORKSHOP):
            if PurePosixPath(key).name.startswith(_DRAFT):
                self.delete(key)

    def clear_staging(self) -> None:
        """Remove what a build that died has left for a commit that never was."""
        if not self.local:
            for key in self.keys(STAGING):
                self.delete(key)
            return
        with suppress(FileNotFoundError):
            self._enter(STAGING)
        path = Path(self.path(STAGING))
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:  # a link, a pipe or a file, which no build makes
            path.unlink(missing_ok=True)
        self._folders.clear()


@dataclass(frozen=True)
class Draft:
    """A new version of an object that is not in its place yet.

    Attributes
    ----------
    key : str
        The object whose place it is to take.
    source : str
        The object that holds it meanwhile.
    data : bytes or None
        What it holds, as far as that is known here: an object store gets it only when it is placed.
    """

    key: str
    source: str
    data: bytes | None = None


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


def staged(key: str) -> str:
    """Return the name under which a new version of an object waits for its commit."""
    return f"{STAGING}/{key}"


_OWN_LOCKS = ("nolock", "local_lock=all", "local_lock=flock", "localflock", "nobrl")
"""Mount options by which a network disk keeps the locks of each host to itself."""

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "glusterfs", "9p", "afs")
"""File systems that several hosts use; of all but NFS it is not known whether locks reach them."""


def _locks_reach_all_hosts(path: Path) -> bool:
    """Return whether a lock of the file system that was granted here is held nowhere else.

    On a disk of this host it is so, whatever hostnames its containers have; on NFS, where `flock`
    is a lock of the server (Linux, flock(2)), unless it was mounted without that.
    """
    mounts = [m for m in psutil.disk_partitions(all=True) if path.is_relative_to(m.mountpoint)]
    if not mounts:
        return False
    mount = max(mounts, key=lambda m: len(m.mountpoint))
    kind, options = mount.fstype.lower(), mount.opts.split(",")
    if kind.startswith("nfs"):
        return not any(option in options for option in _OWN_LOCKS)
    return kind not in _NETWORK and not kind.startswith("fuse")


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
