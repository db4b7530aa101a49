"""Read what a product consists of from its own ``manifest.safe``."""

import hashlib
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from s2kit.errors import SceneError
from s2kit.scenes.files import METADATA_FILE
from s2kit.scenes.safe import find_rasters

NAME = "manifest.safe"
LARGEST_MANIFEST = 2**23
"""Bytes that are read at most; real ones have 0.05 MB."""

_ALGORITHMS = {"MD5": "md5", "SHA3-256": "sha3_256", "SHA-256": "sha256", "SHA-512": "sha512"}
"""Names of checksums in manifests to those of hashlib; others are not checked."""

_METADATA = re.compile(rf"{METADATA_FILE.pattern}|GRANULE/[^/]+/MTD_TL\.xml", re.IGNORECASE)
_PART = re.compile(r"[A-Za-z0-9_.\- ]+")
"""A name of a file or folder in a product."""

_LARGEST_FILE = 2**32


class ProductFile(NamedTuple):
    """A file of a product: its path inside, its size in bytes, and its checksum if one is known."""

    path: str
    size: int
    algorithm: str
    checksum: str

    def matches(self, file: Path) -> bool:
        """Return whether a file on disk has this size and checksum."""
        if file.stat().st_size != self.size:
            return False
        if not self.algorithm:
            return True
        # Not for security: systems that forbid MD5 for that allow it for checksums.
        digest = partial(hashlib.new, self.algorithm, usedforsecurity=False)
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, digest).hexdigest() == self.checksum


def read_manifest(content: bytes, label: str) -> list[ProductFile]:
    """Read the files of a product.

    Parameters
    ----------
    content : bytes
        Of ``manifest.safe``.
    label : str
        Name of the product, for errors.

    Raises
    ------
    SceneError
        If it is no manifest, or names a file outside of the product.
    """
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise SceneError(label, f"{NAME} cannot be read ({error})") from error
    files: dict[str, ProductFile] = {}
    for stream in root.iterfind(".//{*}byteStream"):
        found = _read(stream, label)
        if found.path.casefold() in files:
            raise SceneError(label, f"{NAME} names {found.path!r:.200} twice")
        files[found.path.casefold()] = found
    folders = {str(one).casefold() for path in files for one in PurePosixPath(path).parents}
    odd = next((path for path in files if path in folders or path.endswith((".part", NAME))), None)
    if odd is not None:
        raise SceneError(label, f"{NAME} names {odd!r:.200}, which can be no file of a product")
    if not any(_METADATA.fullmatch(path) for path in files):
        raise SceneError(label, f"{NAME} names no metadata of a product")
    return list(files.values())


def wanted_files(
    files: list[ProductFile], layers: frozenset[str] | None, label: str
) -> list[ProductFile]:
    """Return the files that some layers need, with the metadata; all if no layers are given.

    Raises
    ------
    SceneError
        If the product has none of them.
    """
    if layers is None:
        return files
    rasters = {path for layer, path in find_rasters([one.path for one in files]) if layer in layers}
    if not rasters:
        raise SceneError(label, f"the product has no {' or '.join(sorted(layers))}")
    return [one for one in files if one.path in rasters or _METADATA.fullmatch(one.path)]


def _read(stream: Element, label: str) -> ProductFile:
    place, checksum_of = stream.find("{*}fileLocation"), stream.find("{*}checksum")
    path = PurePosixPath((place.get("href") or "") if place is not None else "")
    text = path.as_posix()
    if not path.parts or not all(map(_is_plain, path.parts)):
        raise SceneError(label, f"{NAME} names {text!r:.200}, which is no file inside of it")
    size = _size(stream.get("size"))
    if size is None:
        raise SceneError(label, f"{NAME} gives {text} no size of at most 4 GB")
    stated = checksum_of.get("checksumName", "") if checksum_of is not None else ""
    checksum = ((checksum_of.text or "") if checksum_of is not None else "").strip().lower()
    algorithm = _ALGORITHMS.get(stated.upper(), "") if checksum else ""
    return ProductFile(text, size, algorithm, checksum)


def _is_plain(part: str) -> bool:
    return bool(_PART.fullmatch(part)) and part not in (".", "..") and part[-1] not in " ."


def _size(stated: str | None) -> int | None:
    if stated is None or not (stated.isascii() and stated.isdigit() and len(stated) < 12):
        return None
    return int(stated) if int(stated) <= _LARGEST_FILE else None
