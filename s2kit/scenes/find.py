"""Find scenes of any source."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import pystac
import shapely
from shapely.geometry.base import BaseGeometry
from tqdm.auto import tqdm

from s2kit.credentials import shown_cause
from s2kit.errors import CatalogueError, InvalidInputError, SceneError, SceneWarning
from s2kit.scenes.catalogue import read_catalogue, read_url
from s2kit.scenes.eopf import EopfScene
from s2kit.scenes.files import find_folders, is_zarr
from s2kit.scenes.item import LAYERS, NOTES, OFFSET_SOURCE, REFUSED_LAYERS, SOURCE
from s2kit.scenes.period import Period, read_period
from s2kit.scenes.product import RELATIVE_ORBITS, ProductName
from s2kit.scenes.providers import APIS
from s2kit.scenes.radiometry import RELIABLE
from s2kit.scenes.region import Aoi, read_aoi
from s2kit.scenes.safe import SafeScene
from s2kit.scenes.stac import StacScene

FoundScene = SafeScene | EopfScene | StacScene | SceneError
"""A scene of any source, or why one cannot be read. Its item is made only if it fits a query."""

REFUSED = "s2kit:refused"
"""Extra field of the result: a list of ``{"scene": …, "reason": …}``."""

_SOURCES = ("sample", *APIS)
_ACCEPTED = "Accepted: {}, a STAC URL, a STAC .json file, or a folder of products.".format(
    ", ".join(f'"{name}"' for name in _SOURCES)
)
_SHOWN = 5
_PATIENCE = 2
"""Seconds before a progress bar shows."""


class Query(NamedTuple):
    """Region (degrees), datatake starts, relative orbits (or all) and largest cloud cover (%)."""

    aoi: BaseGeometry
    period: Period
    orbits: frozenset[int] | None
    max_cloud: float | None


def find_scenes(
    source: str | PathLike[str],
    aoi: Aoi,
    start: str | date | datetime,
    end: str | date | datetime,
    *,
    relative_orbit: int | Iterable[int] | None = None,
    max_cloud: float | None = None,
) -> pystac.ItemCollection:
    """Find the Sentinel-2 L2A scenes of a region and period, in one form whatever the source.

    Parameters
    ----------
    source : str or path
        ``"sample"`` (practice scenes, made once in ``data/practice`` below the current folder, or
        where the environment variable S2KIT_PRACTICE says), ``"earth-search"``,
        ``"planetary-computer"``, ``"copernicus"``, the URL of a STAC API or catalogue, or a path:
        STAC catalogue, collection, item collection or item (``.json``), a folder of products
        (``.SAFE``, EOPF ``.zarr``, or zips of these, at any depth) or one such product.
    aoi : tuple, str, path, dict or shapely geometry
        ``(west, south, east, north)`` in degrees, GeoJSON, a polygon, ``"delft"`` or
        ``"netherlands"``; see `s2kit.scenes.region.read_aoi`.
    start, end : str, datetime.date or datetime.datetime
        First and last datatake start, UTC; a day, month (``"2021-06"``) or year counts in full.
    relative_orbit : int or iterable of int, optional
        Only these orbits, 1 to 143.
    max_cloud : float, optional
        Only scenes with at most this cloud cover, %; those without a figure are kept.

    Returns
    -------
    pystac.ItemCollection
        Items as `s2kit.scenes.item` describes, each product once, ordered by datatake start,
        relative orbit, tile and id. Several copies of a product complete each other, layer by
        layer, the one whose offset is stated most reliably first.
        ``extra_fields["s2kit:refused"]`` lists the scenes that cannot be used, each with the
        reason; a `s2kit.errors.SceneWarning` sums them up.

    Raises
    ------
    InvalidInputError
        If an argument is wrong; nothing is accessed before all are checked.
    CatalogueError
        If the source cannot be reached or read.

    Notes
    -----
    Pixels of ``"copernicus"`` lie in its object store. Reading them (not finding them) needs the
    environment variables AWS_S3_ENDPOINT=eodata.dataspace.copernicus.eu, AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY and AWS_VIRTUAL_HOSTING=FALSE. Cloud and snow probabilities of
    Earth Search's ``sentinel-2-l2a`` lie where the requester pays, and are left out unless
    AWS_REQUEST_PAYER=requester.

    Examples
    --------
    >>> items = s2kit.find_scenes("data/practice", "delft", "2021-06", "2021-08", relative_orbit=51)
    >>> items[0].id
    'S2A_MSIL2A_20210604T105031_N0300_R051_T31UET_20210604T134012'
    """
    query = Query(
        read_aoi(aoi),
        read_period(start, end),
        _read_orbits(relative_orbit),
        _read_max_cloud(max_cloud),
    )
    copies: dict[str, list[pystac.Item]] = {}
    refused: list[dict[str, str]] = []
    found = _scenes(_read_source(source), query)
    for scene in tqdm(found, "scenes", unit="", leave=False, delay=_PATIENCE):
        try:
            if item := _wanted_item(scene, query):
                copies.setdefault(item.id, []).append(item)
        except SceneError as error:
            refused.append({"scene": error.scene, "reason": error.reason})
    if refused:
        _warn(refused)
    ordered = sorted(map(complete, copies.values()), key=_order)
    return pystac.ItemCollection(ordered, extra_fields={REFUSED: refused}, clone_items=False)


def complete(copies: list[pystac.Item]) -> pystac.Item:
    """Return one item of all copies of a product: each layer from the most reliable that has it.

    Parameters
    ----------
    copies : list of pystac.Item
        In the order in which they were found, which counts where they are equally reliable.
    """
    best, *others = sorted(copies, key=_unreliability)
    refused = dict(best.properties.get(REFUSED_LAYERS, {}))
    notes = list(best.properties.get(NOTES, []))
    for other in others:
        lacking = [layer for layer in other.assets if layer not in best.assets]
        for layer in lacking:
            asset = other.assets[layer]
            asset.extra_fields.setdefault(SOURCE, other.properties.get(SOURCE))
            best.add_asset(layer, asset)
            refused.pop(layer, None)
        for layer, reason in other.properties.get(REFUSED_LAYERS, {}).items():
            if layer not in best.assets:
                refused.setdefault(layer, reason)
        odd = [name for name in other.assets if _contradict(best.assets[name], other.assets[name])]
        if odd:
            notes.append(
                f"copies of it state different offsets of the same files ({', '.join(odd)}); that "
                f"of {best.properties.get(SOURCE)} was believed"
            )
        if lacking:
            notes.append(f"{', '.join(lacking)} from {other.properties.get(SOURCE)}")
    best.assets = {layer: best.assets[layer] for layer in LAYERS if layer in best.assets}
    for name, value in ((NOTES, notes), (REFUSED_LAYERS, refused)):
        best.properties.pop(name, None)
        best.properties |= {name: value} if value else {}
    return best


def _contradict(one: pystac.Asset, other: pystac.Asset) -> bool:
    """Return whether two assets are one file, with different offsets."""
    first, second = (asset.extra_fields.get("raster:offset") for asset in (one, other))
    return one.href == other.href and first != second


def _unreliability(item: pystac.Item) -> int:
    """Return the rank of who states the offset, 0 for the most reliable."""
    sources = [asset.extra_fields.get(OFFSET_SOURCE) for asset in item.assets.values()]
    return max((RELIABLE.index(source) for source in sources if source in RELIABLE), default=0)


def _wanted_item(scene: FoundScene, query: Query) -> pystac.Item | None:
    """Return the item of a scene that fits; None for one that does not fit, usable or not.

    What is unknown fits. SceneError is raised for one that fits and cannot be used.
    """
    aoi, period, orbits, max_cloud = query
    product = ProductName.find(scene.scene) if isinstance(scene, SceneError) else scene.product
    if product and not period.holds(product.datatake_start):
        return None
    if product and orbits is not None and product.relative_orbit not in orbits:
        return None
    if isinstance(scene, SceneError):
        raise scene
    footprint = scene.footprint
    if footprint is not None and not shapely.relate_pattern(aoi, footprint, "T********"):
        return None
    item = scene.item()
    cloud = item.properties.get("eo:cloud_cover")
    return item if max_cloud is None or cloud is None or cloud <= max_cloud else None


def _order(item: pystac.Item) -> tuple[str, int, str, str]:
    properties = item.properties
    start, orbit = properties["s2kit:datatake_start"], properties["sat:relative_orbit"]
    return start, orbit, properties["grid:code"], item.id


def _warn(refused: list[dict[str, str]]) -> None:
    shown = "\n".join(f"  {one['scene']}: {one['reason']}" for one in refused[:_SHOWN])
    more = f"\n  … and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    warnings.warn(
        f'{len(refused)} scene(s) set aside (all in extra_fields["{REFUSED}"]):\n{shown}{more}',
        SceneWarning,
        stacklevel=3,
    )


def _read_source(source: str | PathLike[str]) -> str | Path:
    """Check that a source is a known name, a URL or an existing path, and return it."""
    if not isinstance(source, str | PathLike):
        raise InvalidInputError(f"source is a {type(source).__name__}. {_ACCEPTED}")
    if isinstance(source, str) and (
        source in _SOURCES or source.startswith(("http://", "https://"))
    ):
        return source
    try:
        path = Path(source).expanduser().absolute()
        if source and path.exists():
            return path
    except (OSError, ValueError, RuntimeError) as error:
        message = f"source={source!r} is no path ({error}). {_ACCEPTED}"
        raise InvalidInputError(message) from shown_cause(error)
    near = difflib.get_close_matches(str(source).lower(), _SOURCES, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    found = f"source={str(source)!r} is neither a known name, nor a URL, nor an existing path"
    raise InvalidInputError(f"{found}. {hint}{_ACCEPTED}")


def _scenes(source: str | Path, query: Query) -> Iterable[FoundScene]:
    if source == "sample":
        from s2kit.practice import write_practice_scenes  # heavy, and only needed here

        folder = Path(os.environ.get("S2KIT_PRACTICE", "data/practice")).absolute()
        return _products(write_practice_scenes(folder) / "scenes")
    if isinstance(source, Path):
        file = _stac_file(source)
        return read_catalogue(str(file)) if file else _products(source)
    url, collections = APIS.get(source, (source, ()))
    return read_url(url, collections, query.aoi, query.period)


def _products(path: Path) -> Iterator[FoundScene]:
    """Find the products on disk, SAFE and EOPF Zarr; CatalogueError if there is none."""
    found = False
    for files in find_folders(path):
        if isinstance(files, SceneError):
            scene: FoundScene = files
        elif not is_zarr(files):
            scene = SafeScene(files)
        else:
            scene = EopfScene(files)
            if not scene.is_product:  # a cube, for example
                continue
        found = True
        yield scene
    if not found:
        raise CatalogueError(
            f"{path} holds no product. Accepted: a folder of Level-2A products (.SAFE, EOPF .zarr, "
            "or zips of these) at any depth, one of them, or a STAC .json file."
        )


def _stac_file(path: Path) -> Path | None:
    """Find the STAC file that a path is or, as a folder, holds."""
    if path.suffix.lower() == ".zip":
        return None
    files = [path / "catalog.json", path / "collection.json"] if path.is_dir() else [path]
    return next(filter(Path.is_file, files), None)


def _read_orbits(value: int | Iterable[int] | None) -> frozenset[int] | None:
    if value is None:
        return None
    given = [value] if isinstance(value, Integral) or not isinstance(value, Iterable) else value
    orbits = list(given)
    valid = [o for o in orbits if isinstance(o, Integral) and not isinstance(o, bool)]
    if not orbits or len(valid) < len(orbits) or not set(valid) <= set(RELATIVE_ORBITS):
        message = f"relative_orbit={value!r} is not a whole number from 1 to 143, or a list of such"
        raise InvalidInputError(f"{message}; 51 covers the west of the Netherlands.")
    return frozenset(int(orbit) for orbit in valid)


def _read_max_cloud(value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 100:
        raise InvalidInputError(f"max_cloud={value!r} is not a percentage from 0 to 100.")
    return float(value)
