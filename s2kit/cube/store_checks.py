"""Check the metadata of a store before anything in it is decoded: they may be a stranger's.

They say by which codecs bytes become arrays, of what size, and under which names. A cube of s2kit
has the documents that `s2kit.cube.zarr_documents` writes, and no others. Of a cube that another
program made, the codecs must be harmless, whatever those installed would do (``pickle`` runs what
its author wrote), and the chunks of a size that fits in memory.
"""

import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from s2kit.cube.build_options import RESAMPLING, read_chunks
from s2kit.cube.keys import SEPARATORS, group_of
from s2kit.cube.layers import LAYER_SPECS, TIMELINE, TIMELINE_CHUNK, LayerSpec
from s2kit.cube.levels import level_grids
from s2kit.cube.zarr_documents import DIGEST, FORMAT, metadata_digest
from s2kit.errors import CubeError, InvalidInputError

LARGEST_CHUNK = 2**30
"""Bytes of a chunk of a cube that another program made, unpacked."""

COMPRESSORS = ("blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma")
FILTERS = (
    *("delta", "fixedscaleoffset", "shuffle", "quantize", "bitround", "astype", "packbits"),
    *("fletcher32", "crc32", "crc32c", "adler32", "vlen-utf8"),
)
"""Codecs of numcodecs that only compute; all others are refused, ``pickle`` and ``json2`` too."""

_TEXT = "vlen-utf8"
_ORBITS = range(1, 144)
_WIDEST = 2**16
"""Characters of a text along time: the products of a step."""

_ORBIT = re.compile(r"S2/R\d+(_L\d+)?")

Json = dict[str, Any]


def check_cube(place: str, documents: Json) -> None:
    """Check that the consolidated metadata of a cube of s2kit are those of its layout.

    Raises
    ------
    CubeError
        If something differs, by its name, or the cube has another format.
    """
    advice = (
        "Its metadata are not those that s2kit.build_cube writes; bring them back from a copy, or "
        "build the cube anew elsewhere"
    )
    with _refused(place, advice):
        kit = documents[".zattrs"]["s2kit"]
        _check_format(place, kit["format"])
        _check_names(documents)
        shapes = _check_kit(kit)
        known: dict[str, set[str]] = {}
        for orbit, (level, shape) in itertools.product(kit["orbits"], enumerate(shapes)):
            group = group_of(orbit, level)
            known[group] = _check_group(documents, group, shape, kit, level)
        _check_no_more(documents, known)
        _check_others(documents, set().union(*known.values()))


def check_digest(place: str, documents: Json) -> None:
    """Check that metadata that passed `check_cube` are those that were written.

    Raises
    ------
    CubeError
        If they have changed since.
    """
    if documents[".zattrs"]["s2kit"].get(DIGEST) != metadata_digest(documents):
        raise CubeError(
            f"{place} is damaged: its .zmetadata has changed since it was written; bring that file "
            "back from a copy, or build the cube anew elsewhere"
        )


def check_foreign(place: str, documents: Json) -> None:
    """Check that the metadata of a cube that another program made ask for nothing harmful.

    Raises
    ------
    CubeError
        If a codec is not among `COMPRESSORS` and `FILTERS`, or a chunk larger than
        `LARGEST_CHUNK`.
    """
    advice = (
        f"Accepted are the compressors {', '.join(COMPRESSORS)} or none, the filters "
        f"{', '.join(FILTERS)}, and chunks up to {LARGEST_CHUNK / 1e9:.1f} GB; ask whoever made it "
        "to write it so"
    )
    with _refused(place, advice):
        _check_names(documents)
        _check_others(documents, ())


class _OddError(Exception):
    """What is odd in the metadata."""


@contextmanager
def _refused(place: str, advice: str) -> Iterator[None]:
    """Raise CubeError where something is odd, or is not there to be checked."""
    try:
        yield
    except (_OddError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = str(error) if isinstance(error, _OddError) else f"{type(error).__name__}: {error}"
        raise CubeError(
            f"{place} is refused, nothing of it was decoded: {what}. {advice}"
        ) from error


def _check_format(place: str, found: Any) -> None:
    if type(found) is not int or found != FORMAT:
        raise CubeError(
            f"{place} is refused: it is a cube of format {found!r:.200}, and this s2kit reads "
            f"format {FORMAT}. Build the cube anew elsewhere, or, if a later s2kit made it, update"
        )


def _check_names(documents: Json) -> None:
    """Names in a store lead below it: each part is a plain one."""
    for name in documents:
        if "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise _OddError(f"the name {name!r:.200} leads out of the store")


def _check_kit(kit: Json) -> list[tuple[int, int]]:
    """Check what the cube says of itself; return the shapes of its levels."""
    _check("layers", kit["layers"], _is_distinct(kit["layers"], LAYER_SPECS) and kit["layers"])
    _check("orbits", kit["orbits"], _is_distinct(kit["orbits"], _ORBITS))
    _check("manifest", kit["manifest"], set(kit["manifest"]) == set(map(str, kit["orbits"])))
    _check("retired", kit["retired"], _is_distinct(kit["retired"], kit["orbits"]))
    _check("resampling", kit["resampling"], kit["resampling"] in RESAMPLING)
    for name in ("synthetic", "overviews"):
        _check(name, kit[name], isinstance(kit[name], bool))
    try:
        read_chunks(kit["chunks"])
    except InvalidInputError as error:
        raise _OddError(str(error)) from error
    shape, transform = kit["shape"], kit["transform"]
    _check("shape", shape, _are_counts(shape, 2))
    numbers = isinstance(transform, list) and len(transform) == 6
    _check("transform", transform, numbers and all(map(math.isfinite, transform)))
    grid = GeoBox(tuple(shape), Affine(*transform), None)
    return [one.shape.shape for one in (level_grids(grid) if kit["overviews"] else (grid,))]


def _check(what: str, found: Any, right: Any) -> None:
    if not right:
        raise _OddError(f"{what} is {found!r:.200}")


def _is_distinct(found: Any, accepted: Iterable[Any]) -> bool:
    """Return whether a list holds some of what is accepted, of the same type, each once."""
    kinds = {(type(one), one) for one in accepted}
    plain = isinstance(found, list) and all(isinstance(one, int | str) for one in found)
    return plain and all((type(n), n) in kinds for n in found) and len(set(found)) == len(found)


def _are_counts(found: Any, length: int | None = None, least: int = 1) -> bool:
    """Return whether this is a list of whole numbers, as JSON writes these."""
    if not isinstance(found, list) or length not in (None, len(found)):
        return False
    return all(type(n) is int and least <= n < 2**40 for n in found)


def _check_group(
    documents: Json, group: str, shape: tuple[int, int], kit: Json, level: int
) -> set[str]:
    """Check the layers and coordinates of one level of an orbit; return their names."""
    found = documents[f"{group}/time/.zarray"]["shape"]
    _check(f"{group}/time, shape", found, _are_counts(found, 1, 0))
    steps, (height, width) = found[0], shape
    stored = [steps, height, width]
    arrays = {name: (stored, LAYER_SPECS[name].dtype, kit["chunks"]) for name in kit["layers"]}
    arrays |= {"y": ([height], "<f8", [height]), "x": ([width], "<f8", [width])}
    arrays |= {"spatial_ref": ([], "<i8", [])}
    for name in TIMELINE if level == 0 else ("time",):
        arrays[name] = ([steps], TIMELINE[name][0], [TIMELINE_CHUNK])
    for name, (size, dtype, chunks) in arrays.items():
        _check_array(f"{group}/{name}", documents[f"{group}/{name}/.zarray"], size, dtype, chunks)
    for name in kit["layers"]:
        _check_layer(documents, f"{group}/{name}", LAYER_SPECS[name])
    return {f"{group}/{name}" for name in arrays}


def _check_no_more(documents: Json, known: Json) -> None:
    """Check that there are no further levels, nor arrays in those that there are."""
    for name in documents:
        parent, _, kind = name.rpartition("/")
        if kind == ".zgroup" and _ORBIT.fullmatch(parent) and parent not in known:
            raise _OddError(f"{parent} is no orbit or level of the cube")
        for group, arrays in known.items():
            inside = kind in (".zarray", ".zgroup") and parent.startswith(f"{group}/")
            if inside and parent not in arrays:
                raise _OddError(f"{parent} is none of its layers and coordinates")


def _check_layer(documents: Json, name: str, layer: LayerSpec) -> None:
    document, attrs = documents[f"{name}/.zarray"], documents[f"{name}/.zattrs"]
    _same(name, "fill_value", document["fill_value"], layer.nodata)
    for key in ("scale_factor", "add_offset"):
        _same(name, key, attrs.get(key), layer.attrs.get(key))
    _same(name, "flag_values", "flag_values" in attrs, "flag_values" in layer.attrs)
    _same(name, "_ARRAY_DIMENSIONS", attrs["_ARRAY_DIMENSIONS"], ["time", "y", "x"])


def _check_array(
    name: str, document: Json, shape: list[int], dtype: str, chunks: list[int]
) -> None:
    """Check what all arrays of a cube have in common."""
    found = document["dtype"]
    if dtype.startswith("<U"):  # the width is the grid's, see `layers.timeline_types`
        text = re.fullmatch(r"<U(\d{1,5})", found) if isinstance(found, str) else None
        _check(f"{name}, dtype", found, text and 1 <= int(text[1]) <= _WIDEST)
    else:
        _same(name, "dtype", found, dtype)
    for key, wanted in (("shape", shape), ("chunks", chunks), ("order", "C")):
        _same(name, key, document[key], wanted)
    _same(name, "filters", document["filters"] or None, None)
    _check(f"{name}, dimension_separator", "none", "dimension_separator" in document)
    compressor = document["compressor"]
    _check(f"{name}, compressor", compressor, _id_of(compressor) == "blosc")
    _check_zarr(name, document)


def _check_zarr(name: str, document: Json) -> None:
    separator = document.get("dimension_separator", ".")
    _check(f"{name}, dimension_separator", separator, separator in SEPARATORS)
    _same(name, "zarr_format", document["zarr_format"], 2)


def _same(name: str, key: str, found: Any, wanted: Any) -> None:
    """Compare as JSON does: 1, 1.0 and true are three things."""
    if json.dumps(found) != json.dumps(wanted):
        raise _OddError(f"{name} has {key} {found!r:.200} where {wanted!r} is expected")


def _id_of(codec: Any) -> Any:
    return codec.get("id") if isinstance(codec, dict) else None


def _check_others(documents: Json, known: Collection[str]) -> None:
    """Check that arrays that are not of the layout ask for nothing harmful."""
    for name, document in documents.items():
        array, _, kind = name.rpartition("/")
        if array and kind == ".zarray" and array not in known:
            _check_harmless(array, document)


def _check_harmless(name: str, document: Json) -> None:
    shape, chunks, order = document["shape"], document["chunks"], document.get("order", "C")
    _check_zarr(name, document)
    _check(f"{name}, shape", shape, _are_counts(shape, least=0))
    _check(f"{name}, chunks", chunks, _are_counts(chunks, len(shape)))
    _check(f"{name}, order", order, order in ("C", "F"))
    compressor, filters = document["compressor"], document.get("filters") or []
    right = compressor is None or _id_of(compressor) in COMPRESSORS
    _check(f"{name}, compressor", compressor, right)
    _check(f"{name}, filters", filters, isinstance(filters, list))
    for codec in filters:
        _check(f"{name}, filter", codec, _id_of(codec) in FILTERS and _computes(codec))
    size = _size_of(name, document["dtype"], filters) * math.prod(chunks)
    if size > LARGEST_CHUNK:
        raise _OddError(f"{name} has chunks of {size / 1e9:.1f} GB ({chunks})")


def _computes(codec: Json) -> bool:
    """Return whether the types that a filter names, as it does by ``dtype``, are numbers."""
    kinds = [value for key, value in codec.items() if key.endswith("type")]
    return all(isinstance(kind, str) and np.dtype(kind).kind in "biufMm" for kind in kinds)


def _size_of(name: str, dtype: Any, filters: list[Json]) -> int:
    """Return the bytes of one value; of a text of any length, those of a reference to it."""
    _check(f"{name}, dtype", dtype, isinstance(dtype, str))
    kind, codecs = np.dtype(dtype), [codec["id"] for codec in filters]
    text = kind.kind == "O" and codecs == [_TEXT]
    numbers = kind.kind in "biufSUMm" and _TEXT not in codecs
    _check(f"{name}, dtype", dtype, text or numbers)
    return kind.itemsize
