"""The lock of the build that writes a store."""

import errno
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from s2kit.bounds import parse_json
from s2kit.credentials import shown_cause
from s2kit.cube.keys import LOCK, WORK_FOLDER
from s2kit.cube.local_store import ATTEMPTS, LocalStore
from s2kit.cube.store import TROUBLE, Objects, Store
from s2kit.errors import CubeError, CubeLockedError

if sys.platform != "win32":
    import fcntl

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)

_SETTLE = 2
"""Seconds in which two builders that take over one dead lock on an object store find out."""

_OWN_LOCKS = ("nolock", "local_lock=all", "local_lock=flock", "localflock", "nobrl")
"""Mount options by which a network disk keeps the locks of each host to itself."""

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "glusterfs", "9p", "afs")
"""File systems that several hosts use; of all but NFS it is not known whether locks reach them."""


@contextmanager
def lock(store: Store) -> Iterator[str]:
    """Hold the right to write to a store; the lock of a dead process is taken over.

    Yields
    ------
    str
        The token by which `check_held` knows the holder, in any process.

    Raises
    ------
    CubeLockedError
        If another build holds it.
    """
    process, token = psutil.Process(), uuid.uuid4().hex
    holder = {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": process.create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "token": token,
    }
    mine = json.dumps(holder).encode()
    handle = None
    if isinstance(store, LocalStore) and sys.platform != "win32":
        handle = _take_file(store, mine)
    else:
        _take_object(store, token, mine)
    try:
        yield token
    finally:
        _release(store, token)
        if handle is not None:
            os.close(handle)


def check_held(store: Store, token: str) -> None:
    """Check that the lock is still that of a token: a worker may outlive its build.

    Raises
    ------
    CubeLockedError
        If it is not.
    """
    if _holder(store).get("token") != token:
        raise CubeLockedError(
            f"this build no longer holds {store.url}: it was ended, or its lock was removed. "
            "Nothing more is written; run the build again"
        )


def is_locked(store: Objects) -> bool:
    """Return whether a living build holds the lock, as far as that is known here."""
    holder = _holder(store)
    return bool(holder) and not _is_dead(holder)


def _holder(store: Objects) -> dict[str, Any]:
    """Return who holds the lock; empty if nobody does, or somebody is just writing it."""
    try:
        return dict(parse_json(store.read(LOCK) or b"{}"))
    except (ValueError, TypeError, RecursionError):
        return {}


def _take_file(store: LocalStore, mine: bytes) -> int:
    """Lock by the system's own file lock, which ends with the process, however it ends."""
    path = Path(store.path(LOCK))
    try:
        handle = _open_locked(store, path)
        try:
            if os.fstat(handle).st_nlink != 1:
                raise _strange(path)  # a name of a file that is somewhere else too
            holder = _holder(store)
            elsewhere = holder.get("host", socket.gethostname()) != socket.gethostname()
            if elsewhere and not _locks_reach_all_hosts(Path(store.root)):
                raise _held(store, holder)  # it may be alive
            store.clear_drafts()
            os.truncate(handle, 0)
            os.write(handle, mine)
        except BaseException:
            os.close(handle)
            raise
    except OSError as error:
        raise store.unwritable(error) from shown_cause(error)
    return handle


def _open_locked(store: LocalStore, path: Path) -> int:
    for _ in range(ATTEMPTS):
        try:
            store.enter(LOCK, make=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o644)
        except (FileNotFoundError, FileExistsError):
            store.forget_folders()
            continue  # who held the lock has just cleared up
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _strange(path) from error
            raise
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.fstat(handle).st_ino == path.stat().st_ino:
                    return handle
        except OSError as error:
            os.close(handle)
            if isinstance(error, BlockingIOError):
                raise _held(store, _holder(store)) from None
            raise
        os.close(handle)
    raise FileNotFoundError(f"{path} cannot be made")


def _take_object(store: Store, token: str, mine: bytes) -> None:
    holder = _holder(store)
    if holder and not _is_dead(holder):
        raise _held(store, holder)
    try:
        if holder:
            store.delete(LOCK)
        store.fs.pipe_file(store.path(LOCK), mine, mode="create")
    except FileExistsError:
        pass
    except TROUBLE as error:
        raise store.unwritable(error) from shown_cause(error)
    if holder:
        time.sleep(_SETTLE)  # who else saw the dead one's lock may replace ours
    now = _holder(store)
    if now.get("token") != token:
        raise _held(store, now)


def _release(store: Store, token: str) -> None:
    if _holder(store).get("token") != token:
        return
    store.clear_drafts()
    store.delete(LOCK)
    if isinstance(store, LocalStore):
        with suppress(OSError):  # a record that the next build needs stays
            store.forget_folders()
            Path(store.path(WORK_FOLDER)).rmdir()
            Path(store.root).rmdir()  # unless there is a cube


def _strange(path: Path) -> CubeError:
    return CubeError(
        f"{path} is a link to another file, which a build never makes; nothing was written. "
        "Remove it, then build again"
    )


def _held(store: Store, holder: dict[str, Any]) -> CubeLockedError:
    who = "another process"
    if {"pid", "host", "since"} <= set(holder):
        who = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    return CubeLockedError(
        f"{store.url} is being written by {who}. Wait for it to end; if you are certain that "
        f"it is no longer at work, remove {store.path(LOCK)}"
    )


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


def _is_dead(holder: dict[str, Any]) -> bool:
    if holder.get("host") != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(holder["pid"]).create_time() - holder["started"]) > 1
    except psutil.NoSuchProcess:
        return True
    except (KeyError, TypeError, ValueError, OverflowError):
        return False  # no build wrote it; who holds it is not known
