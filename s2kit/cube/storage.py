"""Open a store wherever it lies."""

import copyreg
import os
from pathlib import PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from s2kit.credentials import shown_cause
from s2kit.cube.archive import Archive
from s2kit.cube.http import make_client
from s2kit.cube.local_store import LocalStore
from s2kit.cube.remote_store import RemoteStore
from s2kit.cube.store import Objects, Store
from s2kit.errors import CubeError, InvalidInputError


def open_store(url: str | os.PathLike) -> Store:
    """Open a store by its path or URL.

    Parameters
    ----------
    url : str or pathlib.Path
        A path, or a URL that fsspec can read, such as ``s3://bucket/cube.zarr``. The query of an
        http(s) URL, such as a shared access signature, is sent with each request.

    Raises
    ------
    InvalidInputError
        If it is neither.
    CubeError
        If it cannot be reached.
    """
    if not isinstance(url, str | os.PathLike):
        raise InvalidInputError(
            f"store is {url!r} ({type(url).__name__}); give a path or a URL such as "
            "'data/cube.zarr' or 's3://bucket/cube.zarr'"
        )
    if not str(url).strip():
        raise InvalidInputError("store is empty; give a path such as 'data/cube.zarr'")
    place, query, options = str(url), "", {}
    if place.startswith(("http://", "https://")):
        place, mark, query = place.partition("?")
        query = mark + query
        options = {"get_client": make_client}
    place = place.rstrip("/")
    try:
        fs, root = fsspec.url_to_fs(place, use_listings_cache=False, **options)
    except OSError as error:
        raise CubeError(
            f"{place} cannot be reached ({type(error).__name__}: {error}); mend the way to it, "
            "or choose another store"
        ) from shown_cause(error)
    except (ValueError, ImportError) as error:
        raise InvalidInputError(
            f"store={place + query!r} is on a kind of storage that is unknown here ({error}); give "
            "a path, or a URL such as 's3://bucket/cube.zarr'"
        ) from shown_cause(error)
    if isinstance(fs, LocalFileSystem):
        return LocalStore(place, root, fs)
    return RemoteStore(place + query, root, fs, query)


def _opened_anew(store: Store) -> Any:
    """Let a worker open a store itself: its working folder and its access are its own."""
    return open_store, (store.root if isinstance(store, LocalStore) else store.url,)


for _kind in (LocalStore, RemoteStore):
    copyreg.pickle(_kind, _opened_anew)


def open_to_write(url: str | os.PathLike) -> Store:
    """Open a store in which a cube is to be built.

    Raises
    ------
    InvalidInputError
        If it can only be read, or its name says that a file of another format is wanted.
    """
    store = open_store(url)
    require_zarr_name(store.url)
    if not store.listable:
        raise InvalidInputError(
            f"store={store.url!r} can only be read; build into a path or an s3:// URL"
        )
    return store


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


def is_zip(store: str) -> bool:
    """Return whether a store is a zip of a cube."""
    return store.endswith(".zip") and "://" not in store


def open_objects(store: str) -> Objects:
    """Open a store or a zip of one."""
    return Archive(store) if is_zip(store) else open_store(store)
