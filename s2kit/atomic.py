"""Write files atomically: readers find the old file or the new one, also after a power cut."""

import ctypes
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_THREADS = 8
"""Files synced in parallel where the system cannot sync a whole file system."""


_PATIENCE = 4
"""Seconds for which threads of a failed computation may still write into its folder."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield the path of a draft, which replaces a file once the block has written it.

    The draft lies in a folder of its own beside the target, under the target's name: some formats
    put the name into the file, or write further files beside it. It is synced before it is renamed,
    and the folder after that. If the block fails, the target is as it was, and the draft is gone.

    Parameters
    ----------
    target : pathlib.Path
        Where there is a link, the link is replaced, not what it leads to. A folder may be written,
        too; it takes the place of none, or of an empty one.

    Yields
    ------
    pathlib.Path
        A file or folder that does not exist yet.
    """
    folder = target.parent / f".s2kit-{uuid.uuid4().hex}"
    folder.mkdir()
    draft = folder / target.name
    try:
        yield draft
        if draft.is_dir():
            sync_all(draft, [draft, *draft.rglob("*")])
        else:
            sync([draft])
        draft.replace(target)
    except BaseException:
        _remove(folder, draft.is_dir())
        raise
    _remove(folder, False)
    sync([target.parent])


def _remove(folder: Path, computed: bool) -> None:
    """Remove a draft, repeatedly if it was computed: its threads may still write into it."""
    shutil.rmtree(folder, ignore_errors=True)
    until = time.monotonic() + _PATIENCE * computed
    while time.monotonic() < until:
        time.sleep(0.2)
        if not folder.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)


def sync(paths: Iterable[Path]) -> None:
    """Wait until files, or the names in folders, are on the disk."""
    for path in paths:
        _sync_one(path)


def sync_all(folder: Path, paths: Iterable[Path]) -> None:
    """Wait until everything that was written to a file system is on its disk.

    Parameters
    ----------
    folder : pathlib.Path
        Any on the file system: Linux syncs all of it at once (``syncfs``), which takes a fraction
        of the time of syncing thousands of files.
    paths : iterable of pathlib.Path
        The files to sync where the system cannot do that.
    """
    if not _sync_system(folder):
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(_sync_one, paths))


def _sync_system(folder: Path) -> bool:
    """Sync a file system at once; return False where that is not known."""
    sync_system = _syncfs()
    if sync_system is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not sync_system(handle):
            return True
        code = ctypes.get_errno()
        if code == errno.ENOSYS:
            return False
        raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)


def _sync_one(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:  # Windows opens no folder
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # some network disks sync no folder
            raise
    finally:
        os.close(handle)


@cache
def _syncfs():
    """Return the C library's ``syncfs``; None where there is none."""
    with suppress(OSError, AttributeError, TypeError):  # Windows has no library without a name
        found = ctypes.CDLL(None, use_errno=True).syncfs
        found.argtypes = (ctypes.c_int,)
        return found
    return None
