"""Check all of a cube against its manifest: which objects are missing or damaged."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from dask.system import CPU_COUNT
from tqdm.auto import tqdm

from s2kit.bounds import parse_json
from s2kit.credentials import shown_place
from s2kit.cube.archive import Archive
from s2kit.cube.chunk_reader import AT_ONCE, batches
from s2kit.cube.damaged import write_found
from s2kit.cube.keys import METADATA, REDO, group_of, is_chunk, table_key
from s2kit.cube.local_store import LocalStore
from s2kit.cube.lock import is_locked
from s2kit.cube.manifest import Entry, Manifest, Table, copies_of, parse_table
from s2kit.cube.snapshot import read_metadata
from s2kit.cube.state import check_documents, read_documents
from s2kit.cube.storage import open_objects
from s2kit.cube.store import Store
from s2kit.cube.zarr_documents import Documents, consolidate
from s2kit.errors import CubeError

_TRIES = 3


@dataclass(frozen=True)
class VerifyReport:
    """What was found in a cube.

    Attributes
    ----------
    store : str
        Where the cube is.
    objects : int
        Objects that were read and compared.
    size : int
        What they hold, in bytes.
    damaged : dict of str to str
        Objects that are missing, damaged or not of the cube, with what was found.
    """

    store: str
    objects: int = 0
    size: int = 0
    damaged: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{self.store}: {self.objects} objects ({self.size / 1e6:.1f} MB) compared, "
            f"{len(self.damaged)} damaged",
            *(f"{key}: {what}" for key, what in self.damaged.items()),
        ]
        return "\n".join(lines)


def verify(store: str | os.PathLike, *, progress: bool = True) -> VerifyReport:
    """Read all of a cube, and compare it with its manifest.

    What is found damaged is noted in a store that can be written to. The next `s2kit.build_cube`
    makes chunks again, if it gets the scenes of their dates, and writes metadata and coordinates
    again; of the latter there are two copies, one of which must be whole.

    Parameters
    ----------
    store : str or path
        A folder, a zip of one, or an ``s3://`` or ``http(s)://`` URL.
    progress : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    VerifyReport

    Raises
    ------
    CubeError
        If there is no cube of s2kit at that place, its metadata cannot be read, or it changes all
        the time.

    Notes
    -----
    Digests are SHA-256. A chunk that is not in the manifest is found where objects can be listed,
    which plain http cannot.

    Examples
    --------
    >>> report = s2kit.verify("data/cube.zarr", progress=False)
    >>> report.damaged
    {}
    """
    for _ in range(_TRIES):
        metadata = read_metadata(store)
        check = _Check(store, metadata, progress)
        busy = check.is_committing()
        report = check.run()
        if not busy and not check.is_committing() and read_metadata(store) == metadata:
            if check.store:  # for the next build
                write_found(check.store, check.damaged)
            return report
    raise CubeError(f"{check.place} is changing all the time; verify it when no build is at work")


class _Check:
    """One pass through a cube."""

    def __init__(self, store: str | os.PathLike, metadata: bytes, progress: bool):
        self.place, self.progress = shown_place(str(store)), progress
        self.objects = open_objects(str(store))
        self.store: Store | None = None
        if isinstance(self.objects, Store) and self.objects.listable:
            self.store = self.objects
        self.far = not isinstance(self.objects, LocalStore | Archive)
        self.damaged: dict[str, str] = {}
        self.count = self.size = 0
        self._counting = Lock()
        self.documents = read_documents(self.place, metadata)
        self.spec, self.manifests = check_documents(self.place, self.documents)

    def is_committing(self) -> bool:
        """Return whether a build is just putting new objects in place."""
        return self.objects.read_own(REDO) is not None and is_locked(self.objects)

    def run(self) -> VerifyReport:
        """Compare everything."""
        self._check_documents()
        for orbit, manifest in self.manifests.items():
            listed: Table = {}
            for name in manifest.names():
                table = self._read_table(orbit, name)
                listed |= table
                if name == manifest.coordinates:
                    listed |= copies_of(orbit, table)
            self._check_objects(listed)
            self._check_strangers(orbit, manifest, listed)
        if self.objects.read_own(REDO) is not None:
            self.damaged[REDO] = "a build died while it committed; run it again, which finishes it"
        return VerifyReport(self.place, self.count, self.size, self.damaged)

    def _check_documents(self) -> None:
        """Compare the metadata documents with what the consolidated one says they are."""
        groups = {key.rpartition("/")[0] for key in self.documents if key.endswith("/.zgroup")}
        consolidated = {
            f"{group}/{METADATA}": consolidate(_below(self.documents, group))
            for group in groups - {"S2"}
        }
        expected = self.documents | consolidated
        for keys in batches(list(expected)):
            for key, data in zip(keys, self._read(keys), strict=True):
                if isinstance(data, str):
                    self.damaged[key] = data
                elif _parsed(data) != expected[key]:
                    self.damaged[key] = f"is not what {METADATA} says; one of the two is damaged"

    def _read_table(self, orbit: int, name: str) -> Table:
        key = table_key(orbit, name)
        [data] = self._read([key])
        if isinstance(data, str):
            self.damaged[key] = data
            return {}
        try:
            return parse_table(self.place, orbit, name, data)
        except CubeError as error:
            self.damaged[key] = str(error)
            return {}

    def _check_objects(self, listed: Table) -> None:
        bar = tqdm(total=len(listed), desc="verifying", disable=not self.progress, leave=False)
        threads = 1 if self.far else CPU_COUNT  # a batch is fetched together from a server
        with bar, ThreadPoolExecutor(threads) as pool:
            for what in pool.map(self._compare, batches(list(listed.items()))):
                self.damaged |= what
                bar.update(AT_ONCE)

    def _compare(self, some: Sequence[tuple[str, Entry]]) -> dict[str, str]:
        found = self._read([key for key, _ in some])
        return {
            key: what
            for (key, entry), data in zip(some, found, strict=True)
            if (what := _difference(entry, data))
        }

    def _read(self, keys: Sequence[str]) -> list[bytes | str]:
        """Return objects, or what is wrong where there is none, or a disk cannot read it."""
        try:
            found = self.objects.read_all(list(keys))
        except CubeError:
            if self.far:
                raise
            if len(keys) == 1:
                return ["cannot be read from the disk"]
            return [self._read([key])[0] for key in keys]
        with self._counting:
            self.count += sum(data is not None for data in found)
            self.size += sum(len(data or b"") for data in found)
        return ["missing" if data is None else data for data in found]

    def _check_strangers(self, orbit: int, manifest: Manifest, listed: Table) -> None:
        """Find chunks that are not in the manifest, but that programs without it would read."""
        if self.store is None:
            return
        for level in range(len(self.spec.grids)):
            for layer in manifest.tables:
                prefix = f"{group_of(orbit, level)}/{layer}"
                separator = self.documents[f"{prefix}/.zarray"]["dimension_separator"]
                chunks = len(manifest.tables[layer])
                for key in self.store.sizes(prefix):
                    name = key.removeprefix(f"{prefix}/")
                    inside = is_chunk(name, separator) and int(name.split(separator)[0]) < chunks
                    if inside and key not in listed:
                        self.damaged[key] = "is not in the manifest"


def _below(documents: Documents, group: str) -> Documents:
    """Return the documents of a group, by names below it."""
    start = f"{group}/"
    return {key.removeprefix(start): d for key, d in documents.items() if key.startswith(start)}


def _parsed(data: bytes) -> Any:
    try:
        return parse_json(data)
    except (ValueError, RecursionError):
        return None


def _difference(entry: Entry, data: bytes | str) -> str:
    """Return what is wrong with an object; nothing if it is whole."""
    if isinstance(data, str):
        return data
    if len(data) != entry.size:
        return f"has {len(data)} bytes instead of {entry.size}"
    return "" if entry.matches(data) else "has another digest: bytes have changed"
