"""A store on S3 and what speaks like it, or on http(s) to read."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from s2kit.cube.http import requests_to
from s2kit.cube.keys import WORK_FOLDER
from s2kit.cube.store import Draft, Store, new_draft


class RemoteStore(Store):
    """Objects below a URL that fsspec can read.

    Attributes
    ----------
    query : str
        Of an http(s) URL, such as a shared access signature; it is sent with each request.
    """

    def __init__(self, url: str, root: str, fs: Any, query: str = ""):
        super().__init__(url, root, fs)
        self.query = query

    @property
    def listable(self) -> bool:
        """Whether objects can be listed and written, which plain http cannot."""
        return not self.url.startswith(("http://", "https://"))

    def path(self, key: str) -> str:
        """Return the full name of an object."""
        return f"{self.root}/{key}{self.query}"

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return several objects, fetched side by side; None for those that are absent."""
        if len(keys) <= 1:
            return super().read_all(keys)
        paths = [self.path(key) for key in keys]
        with requests_to(self.root) as bounds:  # not `cat`, to which ? and [ are patterns
            found = self.fs.cat_ranges(paths, None, None, on_error="return", **bounds)
        return [self._fetched(key, data) for key, data in zip(keys, found, strict=True)]

    def read_own(self, key: str) -> bytes | None:
        """Return an object of the work folder."""
        return self.read(key)

    def write(self, key: str, data: bytes) -> None:
        """Write an object; readers see the old one or the new one, never a part."""
        self.put(key, data)

    def prepare(self, objects: Mapping[str, bytes]) -> list[Draft]:
        """Return drafts of objects, which are stored when they are put in place."""
        return [new_draft(key, data) for key, data in objects.items()]

    def place(self, drafts: Iterable[Draft]) -> None:
        """Put drafts in their places, in order: each replaces the object in one step."""
        for draft in drafts:
            self.write(draft.key, draft.data)

    def sync(self, keys: Iterable[str]) -> None:
        """Return at once: each request has waited until its object was stored."""

    def has(self, key: str) -> bool:
        """Return whether there is an object of that name."""
        return self.fs.exists(self.path(key))

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(key))

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
