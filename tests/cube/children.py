"""Builds and readers in processes of their own, which tests may kill.

They are forked from a server that has imported everything already, so that a child starts in
milliseconds. A child that is to die does so by SIGKILL: no ``finally``, no ``atexit``.
"""

import hashlib
import itertools
import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import s2kit
from s2kit.cube import commit
from s2kit.errors import CubeError, CubeLockedError, InvalidInputError

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["children", "warm"])

_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Keeps libraries from threads in the server: one that holds a lock at a fork hangs a child."""

Steps = tuple[tuple[str, str], ...]
"""What a reader saw: for each step its time, and a digest of all that belongs to it."""


def start(target: Callable, *args: Any) -> multiprocessing.Process:
    """Start a child."""
    child = _CONTEXT.Process(target=target, args=args, daemon=True)
    with pytest.MonkeyPatch.context() as patch:  # else the server finds no module to import
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        for name, value in _NO_THREADS.items():
            patch.setenv(name, value)
        child.start()
    return child


def ask(target: Callable, *args: Any) -> Any:
    """Let a child compute something and give its answer."""
    ours, theirs = _CONTEXT.Pipe()
    child = start(_answer, theirs, target, args)
    assert ours.poll(120), "the child hangs"
    answer = ours.recv()
    child.join()
    return answer


def _answer(pipe, target: Callable, args: tuple) -> None:
    pipe.send(target(*args))


def build(items: list, store: Path, options: dict[str, Any], **fault: Any) -> int:
    """Build in a child and give its exit code: -9 if it was killed, else see `run_build`."""
    child = start(run_build, items, store, options, fault)
    child.join(120)
    assert child.exitcode is not None, "the build hangs"
    return child.exitcode


def run_build(items: list, store: Path, options: dict[str, Any], fault: dict | None = None) -> None:
    """Build quietly; ends the process with 1 after a CubeError, 3 if it was a lock, 2 after others.

    A build that is to be disturbed does not wait between the parts of a rewriting commit.
    """
    warnings.simplefilter("ignore")
    if fault:
        commit._PAUSE = 0
        _intercept(store, **fault)
    try:
        s2kit.build_cube(items, store, progress=False, **options)
    except BaseException as error:
        traceback.print_exc()
        known = isinstance(error, CubeError)
        os._exit(3 if isinstance(error, CubeLockedError) else 1 if known else 2)


def _intercept(store: Path, before: int, act: Callable[[], None] | None = None) -> None:
    """Let something happen right before the n-th change of names in a store: by default, death."""

    def reached(count: int) -> None:
        if count == before:
            (act or die)()

    _watch(store, reached)


def _watch(store: Path, see: Callable[[int], None]) -> None:
    """Report before each new or changed name in a store, on the level of the operating system."""
    counter = itertools.count(1)

    def watched(change: Callable) -> Callable:
        @wraps(change)
        def wrapper(*args, **kwargs):
            within = kwargs.get("dir_fd") is not None or str(store) in str(args[0])
            gone = change in removals and not kwargs and not os.path.lexists(args[0])
            if within and not gone:
                see(next(counter))
            return change(*args, **kwargs)

        return wrapper

    def creating(make: Callable) -> Callable:
        @wraps(make)
        def wrapper(path, flags, *args, **kwargs):
            if flags & os.O_CREAT and str(store) in str(path):
                see(next(counter))
            return make(path, flags, *args, **kwargs)

        return wrapper

    os.open = creating(os.open)
    removals = {os.remove, os.unlink, os.rmdir}
    for name in ("replace", "rename", "link", "remove", "unlink", "rmdir"):
        setattr(os, name, watched(getattr(os, name)))


class Wait:
    """Something to do before a change: say that it is reached, then wait to be let go."""

    def __init__(self, folder: Path):
        self.reached, self.go_on = folder / "reached", folder / "go-on"

    def __call__(self) -> None:
        """Wait in the child."""
        self.reached.touch()
        _until(self.go_on.exists)

    def until_reached(self) -> None:
        """Wait for the child."""
        _until(self.reached.exists)


def _until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("waited for a minute")


def die() -> None:
    """End this process as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def count_changes(items: list, store: Path, options: dict[str, Any]) -> int:
    """Build undisturbed in a child, and count how often it changes a name in the store."""
    return ask(_count, items, store, options)


def _count(items: list, store: Path, options: dict[str, Any]) -> int:
    seen: list[int] = []
    _watch(store, seen.append)
    s2kit.build_cube(items, store, progress=False, **options)
    return len(seen)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def stamps(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode and times of change, in ns, of every file and folder."""
    found = [folder, *sorted(folder.rglob("*"))]
    return {str(p): (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for p in found for s in [p.stat()]}


# --- readers


def with_kit(store: Path) -> xr.Dataset | None:
    """Open by s2kit; None where there is no step yet."""
    try:
        return s2kit.open_cube(store, orbit=51)
    except (CubeError, InvalidInputError):
        return None


def with_xarray(store: Path, group: str = "S2/R051") -> xr.Dataset | None:
    """Open by xarray alone; None where there is no step yet."""
    try:
        return xr.open_zarr(store, group=group, consolidated=True)
    except (FileNotFoundError, KeyError):
        return None
    except ValueError as error:
        if str(error) == ".zmetadata":
            return None
        raise


def layers_with_xarray(store: Path) -> xr.Dataset | None:
    """Open the layers by xarray alone, without the provenance that it reads only when asked."""
    cube = with_xarray(store)
    return (
        None
        if cube is None
        else cube.drop_vars(set(cube.coords) - {"time", "x", "y", "spatial_ref"})
    )


def level_with_xarray(store: Path) -> xr.Dataset | None:
    """Open the first coarser level by xarray alone; None where there is no step yet."""
    return with_xarray(store, "S2/R051_L1")


OPENERS = {
    "s2kit": with_kit,
    "xarray": with_xarray,
    "layers": layers_with_xarray,
    "level": level_with_xarray,
}


def steps_of(cube: xr.Dataset | None) -> Steps | None:
    """Read all of a cube and digest it, step by step."""
    if cube is None:
        return None
    cube = cube.drop_vars(["x", "y", "spatial_ref"]).load()
    names = sorted(set(cube.variables) - {"time"})
    return tuple(
        (str(time), _digest([cube[name].values[i] for name in names]))
        for i, time in enumerate(cube.time.values)
    )


def _digest(values: list) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(value.tobytes() if hasattr(value, "tobytes") else str(value).encode())
    return digest.hexdigest()[:12]


@contextmanager
def reader(store: Path, opener: str) -> Iterator[list[Steps | str | None]]:
    """Open and read a cube again and again; what was seen is in the list afterwards.

    Each state stands there once in a row; an error stands there as text.
    """
    ours, theirs = _CONTEXT.Pipe()
    child = start(_read_on, store, opener, theirs)
    assert ours.poll(120), "the reader hangs"
    ours.recv()
    seen: list[Steps | str | None] = []
    try:
        yield seen
    finally:
        ours.send("stop")
        assert ours.poll(120), "the reader hangs"
        seen += ours.recv()
        child.join(30)


def _read_on(store: Path, opener: str, pipe) -> None:
    pipe.send("ready")
    seen: list = []
    stop = False
    while not stop:
        stop = pipe.poll(0)
        try:
            found = steps_of(OPENERS[opener](store))
        except Exception:
            found = traceback.format_exc()
        if not seen or seen[-1] != found:
            seen.append(found)
        time.sleep(0.001)
    pipe.send(seen)
