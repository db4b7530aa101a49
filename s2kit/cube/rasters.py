"""Open a raster from an untrusted source: only its own pixels are read, within bounds.

GDAL has a hundred and fifty drivers, and many of them do as the file says: a VRT reads any other
file, a WMS description asks any server. So GeoTIFF, JPEG 2000 and Zarr are opened by these drivers
only, by names that s2kit makes of a path or URL (`s2kit.scenes.uri`), and with nothing beside them
that may lead elsewhere.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.env import ensure_env_with_credentials
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from s2kit.bounds import require_file
from s2kit.cube.jpeg2000 import check_codestream
from s2kit.scenes.uri import in_zip, is_far, is_raster_name, is_remote, local_part

DRIVERS = ("GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID")
"""GDAL's drivers of GeoTIFF and JPEG 2000; which of the latter there is, is the build's affair."""

LARGEST_BLOCK = 2**27
"""Bytes of a tile, strip or chunk, unpacked: GDAL holds one whole for each pixel of it. A layer of
a whole Sentinel-2 tile at 20 m has half as many."""

_NOTHING_BESIDE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""On a server, asking for files that may lie beside a raster takes requests. On disk they are
looked for: georeference (``.tfw``, ``.aux.xml``), mask (``.msk``) and overviews (``.ovr``)."""

FORMATS = "GeoTIFF (or COG), JPEG 2000 and Zarr are read"

_ERDAS = b"EHFA_HEADER_TAG"


@contextmanager
def open_raster(name: str) -> Iterator[DatasetReader]:
    """Open a raster by the name of a file, URL or array of a Zarr store.

    Parameters
    ----------
    name : str
        As `s2kit.scenes.uri.is_raster_name` describes.

    Raises
    ------
    ValueError
        If it is no such name, what lies there leads to other files, or has blocks too large to be
        read.
    rasterio.errors.RasterioIOError
        If it cannot be opened as one of these formats.
    """
    if not is_raster_name(name):
        raise ValueError(
            f"{name:.200} is no path or URL of a raster; {FORMATS}, from this computer, http(s), "
            "s3, gs or az"
        )
    zipped = in_zip(name)
    own = zipped[0] if zipped else local_part(name) or name
    if not is_far(name) and os.path.exists(own):  # noqa: PTH110 (odd names are none)
        require_file(own)
    drivers = _drivers_for(name)
    if drivers == ("Zarr",):
        if _is_references(name):
            raise ValueError("it is a list of references to other files, not a Zarr store")
    else:
        _check_beside(name)
        if drivers == DRIVERS:
            check_codestream(name)
    plain = not is_far(name) and zipped is None
    with (
        rasterio.Env(**{} if plain else _NOTHING_BESIDE),
        _open(name, drivers) as dataset,
    ):
        _check(dataset)
        yield dataset


def _drivers_for(name: str) -> tuple[str, ...]:
    """Return the drivers that may open a raster; that of a ``.tif`` on a server by its name alone.

    To find out what another file is takes a request.
    """
    if name.startswith("ZARR:") or Path(name).is_dir():
        return ("Zarr",)
    path = urlsplit(name).path if is_far(name) else ""
    return ("GTiff",) if path.lower().endswith((".tif", ".tiff")) else DRIVERS


@ensure_env_with_credentials
def _open(name: str, drivers: tuple[str, ...]) -> DatasetReader:
    """Open with one of some drivers; `rasterio.open` takes one only, and reads more in a URL."""
    return DatasetReader(f"/vsicurl/{name}" if is_remote(name) else name, driver=list(drivers))


def _check_beside(name: str) -> None:
    """Refuse files beside a raster that GDAL would open, by any driver, as its overviews or mask.

    Those that are GeoTIFF are legitimate, and are looked at in the same way. An ``.aux`` of Erdas
    Imagine can name a file of overviews anywhere.
    """
    path = Path(name)
    if not path.is_file():
        return  # of what lies on a server or in a zip, nothing beside it is looked for
    for beside in sorted(path.parent.iterdir()):
        kind = beside.name.lower().removeprefix(path.name.lower())
        if kind in (".ovr", ".msk"):
            _check_beside(str(beside))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it lies where it belongs
                dataset = _open(str(beside), ("GTiff",))
            with dataset:
                _check(dataset)
        elif beside.name.lower() in (f"{path.name}.aux".lower(), f"{path.stem}.aux".lower()):
            with beside.open("rb") as file:
                if file.read(len(_ERDAS)) == _ERDAS:
                    raise ValueError(f"{beside.name} beside it may lead to other files; remove it")


def _check(dataset: DatasetReader) -> None:
    """Refuse a raster that leads elsewhere, or whose tiles, strips or chunks fill the memory.

    It says in itself or in ``.aux.xml`` where its overviews lie.
    """
    if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):
        raise ValueError(
            "its metadata say that its overviews are another file; remove OVERVIEW_FILE"
        )
    if dataset.driver == "Zarr":
        if any(file.startswith("/vsikerchunk") for file in dataset.files):
            raise ValueError("it is a list of references to other files, not a Zarr store")
        if any(re.fullmatch(r"DIM_.*_INDEX", tag) for tag in dataset.tags(1)):
            raise ValueError("it has more than the dimensions y and x")
    if not dataset.count:
        return
    height, width = dataset.block_shapes[0]
    kind = dataset.dtypes[0]
    size = height * width * (16 if kind.startswith("complex") else np.dtype(kind).itemsize)
    if dataset.interleaving == Interleaving.pixel:  # a block holds all bands
        size *= dataset.count
    if size > LARGEST_BLOCK:
        raise ValueError(
            f"its blocks of {width} × {height} pixels take {size / 1e6:.0f} MB each; at most "
            f"{LARGEST_BLOCK / 1e6:.0f} MB are read at once: write it anew in tiles of 512 × 512"
        )


def _is_references(name: str) -> bool:
    """Return whether a Zarr store is a file: a list of references to others, as kerchunk writes."""
    store = local_part(name)
    return name.lower().split('":')[0].endswith(".json") or (store is not None and store.is_file())
