"""A cube in a zip of what its folder holds: its objects by name, to read."""

import zipfile
from pathlib import Path

from s2kit.cube.codec import largest
from s2kit.cube.store import Objects
from s2kit.errors import CubeError
from s2kit.zips import BROKEN, read_member


class Archive(Objects):
    """The objects of a cube in a zip of what its folder holds."""

    def __init__(self, url: str):
        self.url = url
        try:
            self._zip = zipfile.ZipFile(url)
        except (OSError, zipfile.BadZipFile) as error:
            raise CubeError(
                f"{url} cannot be opened ({error}); give the place of a zipped cube"
            ) from error

    def __reduce__(self):
        return Archive, (self.url,)

    def __dask_tokenize__(self):
        return self.url, Path(self.url).stat().st_mtime_ns

    def read(self, key: str) -> bytes | None:
        """Return an object, or None where there is none."""
        try:
            return read_member(self._zip, key, largest(key))
        except KeyError:
            return None
        except BROKEN as error:
            raise CubeError(
                f"{self.url}: {key} cannot be read ({error}); bring the zip back from a copy, and "
                "open it anew"
            ) from error
