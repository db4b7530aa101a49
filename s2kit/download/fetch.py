"""Download products, each whole or not at all."""

from __future__ import annotations

import errno
import shutil
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pystac
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from s2kit.atomic import sync, sync_all
from s2kit.bounds import read_file
from s2kit.download.connections import CONNECTIONS, TransferError
from s2kit.download.manifest import LARGEST_MANIFEST, NAME, ProductFile, read_manifest, wanted_files
from s2kit.download.report import FetchReport
from s2kit.download.service import COPERNICUS, Service
from s2kit.download.transfer import Client
from s2kit.errors import DownloadError, InvalidInputError, SceneError, SceneWarning
from s2kit.scenes.item import LAYERS, require_items
from s2kit.scenes.product import ProductName

_STAGING = ".s2kit-download"
_EMPTY_FOLDERS = ("rep_info", "AUX_DATA")
"""Folders that a product has, though often empty: the service gives files only, and Sen2Cor needs
them."""

_TRIES = 3
"""Downloads of a file whose checksum is wrong each time."""


def fetch_products(
    items: pystac.ItemCollection | Iterable[pystac.Item],
    archive: str | PathLike[str],
    *,
    bands: Iterable[str] | None = None,
    service: Service = COPERNICUS,
    progress: bool = True,
) -> FetchReport:
    """Download the products of scenes into a folder, each whole or not at all.

    Repeat it after whatever interruption: only what is missing is downloaded, and a file that has
    arrived in part is continued. Every file must have the size, and the checksum (MD5 or SHA), that
    the product's own ``manifest.safe`` states, before the product is put into the folder, where
    `find_scenes` finds it. In what is there already, beside a manifest, only sizes are compared.
    Products are looked for in the folder itself, not in folders or zips in it. What has arrived of
    products that are not whole yet lies in its hidden folder ``.s2kit-download``, which may be
    removed.

    Parameters
    ----------
    items : pystac.ItemCollection or iterable of pystac.Item
        Of `find_scenes`, of any source: products are asked for by their names.
    archive : str or path
        The folder, made if absent.
    bands : iterable of str, optional
        Layers of the cube, such as ``["B04", "B08", "SCL"]``: only their files, in the resolution
        in which `build_cube` reads them, and the metadata; of those that a product lacks, none. By
        default the whole product.
    service : Service
        Where to download from; by default the Copernicus Data Space Ecosystem. The account is found
        in the environment variables CDSE_USERNAME and CDSE_PASSWORD (and CDSE_TOTP), in
        ``~/.netrc``, or in the keyring, under the host of the token service.
    progress : bool
        Show a progress bar.

    Returns
    -------
    FetchReport

    Raises
    ------
    InvalidInputError
        If an argument is wrong.
    DownloadError
        If there is no account, it is refused, the service cannot be reached, the folder cannot be
        written, or another download is at work on it. What has arrived is kept.

    Warns
    -----
    SceneWarning
        If products could not be downloaded; the report has the reasons.

    Examples
    --------
    >>> items = s2kit.find_scenes("data/practice", "delft", "2022-05-20", "2022-05-20")
    >>> report = s2kit.fetch_products(items, "data/practice/scenes")  # all is there already
    >>> len(report.fetched), len(report.present)
    (0, 2)
    """
    names = _read_names(items)
    layers = _read_layers(bands, names)
    folder = _read_folder(archive)
    present = [name for name in names if _is_present(folder, name, layers)]
    absent = [name for name in names if name not in present]
    if not absent:
        return FetchReport(str(folder), present=tuple(present))
    with _exclusive(folder), _bar(progress) as bar:
        with _Downloads(folder, layers, service, bar) as downloads:
            downloads.run(absent)
        report = downloads.report(present)
    if report.failed:
        warnings.warn(str(report), SceneWarning, stacklevel=2)
    return report


@dataclass(frozen=True)
class _Product:
    """A product on its way: the files it shall have, those that are missing, and their tasks."""

    name: str
    manifest: bytes
    files: list[ProductFile]
    tasks: list[Future]


class _Downloads:
    """The downloads of one run. While the last files of a product arrive, the next one begins.

    Parameters
    ----------
    folder : pathlib.Path
        The archive.
    layers : frozenset of str or None
        Wanted of each product; None for all of it.
    service : Service
    bar : tqdm
        Counts bytes.
    """

    def __init__(self, folder: Path, layers: frozenset[str] | None, service: Service, bar: tqdm):
        self._folder, self._layers, self._bar = folder, layers, bar
        self._client = Client(service, self._arrived)
        self._pool = ThreadPoolExecutor(CONNECTIONS, "s2kit-download")
        self._fetched: list[str] = []
        self._failed: dict[str, str] = {}
        self._size, self._counting = 0, threading.Lock()

    def __enter__(self) -> _Downloads:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.stop()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def run(self, names: list[str]) -> None:
        """Download products by name."""
        pending: deque[_Product] = deque()
        for name in names:
            with self._failing(name):
                pending.append(self._begin(name))
            if len(pending) > 1:
                self._complete(pending.popleft())
        while pending:
            self._complete(pending.popleft())

    def report(self, present: list[str]) -> FetchReport:
        """Return what was done, beside what was there before."""
        done = tuple(self._fetched), tuple(present), dict(self._failed)
        return FetchReport(str(self._folder), *done, self._size)

    def _arrived(self, size: int) -> None:
        with self._counting:
            self._size += max(size, 0)
            self._bar.update(size)

    def _show(self, size: int) -> None:
        with self._counting:
            self._bar.update(size)

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        """Note why one product cannot be had; what hinders all of them is raised."""
        try:
            yield
        except (TransferError, SceneError) as error:
            self._failed[name] = error.reason if isinstance(error, SceneError) else str(error)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise DownloadError(
                f"{self._folder} cannot be written ({error.strerror or error}). What has arrived "
                f"is kept{'; make space, and repeat it' if full else ''}"
            ) from error

    def _begin(self, name: str) -> _Product:
        """Start to download what is missing of a product."""
        own = self._folder / f"{name}.SAFE"
        if own.is_symlink():
            raise SceneError(name, f"{own} is a link; nothing is downloaded into it")
        record = self._record(name)
        files, manifest = _read_own(own, name), b""
        if not files:
            manifest = self._client.read(self._client.url(record, NAME))
            files = read_manifest(manifest, name)
        # Sizes are enough beside the manifest of a download; what others put there is read.
        there = _has_size if not manifest else _is_whole
        wanted = wanted_files(files, self._layers, name)
        missing = [one for one in wanted if not there(own / one.path, one)]
        self._require_space(name, missing)
        self._bar.total += sum(one.size for one in missing)
        self._bar.refresh()
        tasks = [self._pool.submit(self._fetch, name, record, one) for one in missing]
        return _Product(name, manifest, missing, tasks)

    def _record(self, name: str) -> dict[str, Any]:
        record = self._client.find_product(f"{name}.SAFE")
        if record is None:
            raise TransferError(
                "the service has no product of this name; it may have been processed anew under "
                'another one: search again with source="copernicus"'
            )
        if record.get("Online") is False:
            raise TransferError("it is not online; order it at the service, and try again later")
        return record

    def _fetch(self, name: str, record: dict[str, Any], file: ProductFile) -> None:
        """Download a file into the staging folder, and check it."""
        target = self._staged(name) / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and file.matches(target):
            self._show(file.size)
            return
        part = target.with_name(f"{target.name}.part")
        url = self._client.url(record, file.path)
        if part.exists():
            self._show(part.stat().st_size)
        for _ in range(_TRIES):
            self._client.download(url, part, file.size, resume=bool(file.algorithm))
            if file.matches(part):
                part.replace(target)
                return
            part.unlink()
            self._show(-file.size)
        raise TransferError(
            f"{file.path} has another checksum than its manifest states, {_TRIES} times"
        )

    def _complete(self, product: _Product) -> None:
        """Wait for the files of a product, and put it into the archive."""
        with self._failing(product.name):
            done, rest = wait(product.tasks, return_when=FIRST_EXCEPTION)
            for task in rest:
                task.cancel()
            wait(rest)
            for task in done:
                task.result()
            self._publish(product)
            self._fetched.append(product.name)

    def _publish(self, product: _Product) -> None:
        own, staged = self._folder / f"{product.name}.SAFE", self._staged(product.name)
        staged.mkdir(exist_ok=True)
        wanted = {staged / one.path for one in product.files}
        for file in [file for file in staged.rglob("*") if file.is_file()]:
            if file not in wanted:  # of an earlier run that wanted more
                file.unlink()
        inside = [one.path for one in product.files]
        if product.manifest:
            (staged / NAME).write_bytes(product.manifest)
            inside.append(NAME)
        if own.exists():
            sync_all(staged, [staged / path for path in inside])
            for path in inside:
                (own / path).parent.mkdir(parents=True, exist_ok=True)
                (staged / path).replace(own / path)
            shutil.rmtree(staged)
            return
        for name in _EMPTY_FOLDERS:
            (staged / name).mkdir(exist_ok=True)
        sync_all(staged, [staged, *staged.rglob("*")])
        staged.replace(own)
        sync([self._folder])

    def _require_space(self, name: str, files: list[ProductFile]) -> None:
        """Raise OSError if the disk has no space for what has not arrived yet."""
        targets = [self._staged(name) / one.path for one in files]
        parts = [target.with_name(f"{target.name}.part") for target in targets]
        arrived = sum(path.stat().st_size for path in (*targets, *parts) if path.is_file())
        needed = sum(one.size for one in files) - arrived
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            text = f"{needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free"
            raise OSError(errno.ENOSPC, text)

    def _staged(self, name: str) -> Path:
        return self._folder / _STAGING / f"{name}.SAFE"


def _has_size(path: Path, file: ProductFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _is_whole(path: Path, file: ProductFile) -> bool:
    return path.is_file() and file.matches(path)


def _read_own(folder: Path, name: str) -> list[ProductFile]:
    """Return the files that the manifest of a product in the archive names; none without one."""
    try:
        return read_manifest(read_file(folder / NAME, LARGEST_MANIFEST), name)
    except (OSError, SceneError):
        return []


def _is_present(folder: Path, name: str, layers: frozenset[str] | None) -> bool:
    """Return whether nothing of a product is missing."""
    own = folder / f"{name}.SAFE"
    try:
        files = wanted_files(_read_own(own, name), layers, name)
    except SceneError:
        return False
    return bool(files) and all(_has_size(own / one.path, one) for one in files)


def _bar(progress: bool) -> tqdm:
    return tqdm(None, "download", 0, disable=not progress, unit="B", unit_scale=True)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold the right to download into a folder, which is made if absent."""
    lock = FileLock(folder / _STAGING / "lock", timeout=0)
    try:
        (folder / _STAGING).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise DownloadError(
            f"another download is at work on {folder}; wait for it to end"
        ) from error
    except OSError as error:
        raise DownloadError(f"{folder} cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()


def _read_names(items: Any) -> list[str]:
    names = {item.id: ProductName.find(item.id) for item in require_items(items)}
    odd = next((n for n, found in names.items() if found is None or str(found) != n), None)
    if odd is not None:
        raise InvalidInputError(
            f"{odd!r:.200} is no product name, such as "
            "S2A_MSIL2A_20210601T105031_N0300_R051_T31UFT_20210601T135031; pass what "
            "s2kit.find_scenes returns"
        )
    return list(names)


def _read_folder(archive: str | PathLike[str]) -> Path:
    if isinstance(archive, str | PathLike) and "://" not in str(archive) and str(archive).strip():
        with suppress(ValueError, RuntimeError):  # a zero byte, or nobody's home
            return Path(archive).expanduser().absolute()
    raise InvalidInputError(f"archive={archive!r:.200} is no folder on a disk")


def _read_layers(bands: Iterable[str] | None, names: list[str]) -> frozenset[str] | None:
    if bands is None:
        return None
    try:
        layers = frozenset([bands] if isinstance(bands, str) else bands)
    except TypeError:
        layers = frozenset()
    if not layers or not layers <= set(LAYERS):
        raise InvalidInputError(f"bands={bands!r:.200}: accepted are {', '.join(LAYERS)}")
    level_1c = next((name for name in names if "_MSIL1C_" in name), None)
    if level_1c:
        raise InvalidInputError(
            f"{level_1c} is Level-1C, which Sen2Cor needs whole: leave out bands"
        )
    return layers
