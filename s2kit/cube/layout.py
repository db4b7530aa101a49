"""How a cube lies in its store: layers, chunks, names of objects, metadata documents (Zarr 2).

The metadata are written by hand rather than through a library because what readers see must
change in one atomic write (`s2kit.cube.commit`), byte for byte the same for the same input.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numcodecs import Blosc, blosc
from odc.geo.geobox import GeoBox
from pyproj import CRS

from s2kit.crs import Bounds
from s2kit.cube.levels import level_grids
from s2kit.grid import REGION, area_of_grid
from s2kit.scenes.item import BANDS

blosc.use_threads = False  # the build's own threads compress side by side

TITLE = "Sentinel-2 data cube"

TIMELINE_CHUNK = 128
"""Steps in one chunk of a coordinate along time."""

_NAMES = "<U"
"""Stored type of the product names of a step; its width is the grid's, see `timeline_types`."""

SEPARATORS = (".", "/")
"""Zarr 2 names a chunk ``0.1.2`` or ``0/1/2``, as its metadata say. So an array has two sets of
names, and a rewritten version can lie complete beside the one that is being read."""

CODEC = Blosc(cname="lz4", clevel=9, shuffle=Blosc.BITSHUFFLE)
"""In chunks of 16 × 128 × 128, Zstandard (level 3, byte shuffle) takes 14 % less on disk for one
date of real scenes at 120 m, as much for 4, and 8 % less for full chunks of practice data; it takes
up to seven times as long to compress, and up to twice as long to decompress."""

_COORDINATE_CODEC = Blosc(cname="zstd", clevel=5, shuffle=Blosc.NOSHUFFLE)

_SCL_MEANINGS = (
    "no_data saturated_or_defective dark_area_pixels cloud_shadows vegetation bare_soils water "
    "unclassified cloud_medium_probability cloud_high_probability thin_cirrus snow"
)
"""Classes 0–11 of Sen2Cor's scene classification (ESA, Sentinel-2 Level-2A Algorithm Theoretical
Basis Document, S2-PDGS-MPC-ATBD-L2A)."""

_SCL_COLOURS = (
    "#000000 #ff0000 #2f2f2f #643200 #00a000 #ffe65a "
    "#0000ff #808080 #c0c0c0 #ffffff #64c8ff #ff96ff"
)
"""The colours of ESA's own legend (SentiWiki, S2 Processing, scene classification)."""

WAVELENGTHS = {
    "B02": (490, 10, "blue"),
    "B03": (560, 10, "green"),
    "B04": (665, 10, "red"),
    "B05": (705, 20, "red edge 1"),
    "B06": (740, 20, "red edge 2"),
    "B07": (783, 20, "red edge 3"),
    "B08": (842, 10, "near infrared"),
    "B8A": (865, 20, "narrow near infrared"),
    "B11": (1610, 20, "shortwave infrared 1"),
    "B12": (2190, 20, "shortwave infrared 2"),
}
"""Nominal centre wavelength in nm, native resolution in m, name (ESA, Sentinel-2 User Handbook)."""


@dataclass(frozen=True)
class Layer:
    """One variable of the cube.

    Attributes
    ----------
    name : str
        As in the cube: ``"B04"``, ``"SCL"``.
    dtype : str
        As stored, in Zarr's form: ``"<i2"``.
    nodata : int
        Stored value that means no data.
    high : int
        Largest value that is stored; larger ones saturate.
    nearest : bool
        Always resampled by nearest neighbour: classes and probabilities.
    attrs : dict
        CF attributes.
    """

    name: str
    dtype: str
    nodata: int
    high: int
    nearest: bool
    attrs: dict[str, Any] = field(hash=False)

    @property
    def scale(self) -> float:
        """Physical value of one stored count."""
        return self.attrs.get("scale_factor", 1.0)


def _reflectance(name: str) -> Layer:
    wavelength, resolution, colour = WAVELENGTHS[name]
    attrs = {
        "long_name": f"{colour} ({name}), surface reflectance",
        "standard_name": "surface_bidirectional_reflectance",
        "units": "1",
        "scale_factor": 1e-4,
        "wavelength_nm": wavelength,
        "native_resolution_m": resolution,
    }
    return Layer(name, "<i2", -9999, 32767, False, attrs)


LAYER = {name: _reflectance(name) for name in BANDS} | {
    "SCL": Layer(
        "SCL",
        "|u1",
        0,
        255,
        True,
        {
            "long_name": "scene classification (Sen2Cor)",
            "flag_values": list(range(12)),
            "flag_meanings": _SCL_MEANINGS,
            "flag_colors": _SCL_COLOURS,
            "native_resolution_m": 20,
        },
    ),
    "CLD": Layer(
        "CLD",
        "|u1",
        255,
        254,
        True,
        {"long_name": "cloud probability", "units": "percent", "native_resolution_m": 20},
    ),
    "SNW": Layer(
        "SNW",
        "|u1",
        255,
        254,
        True,
        {"long_name": "snow probability", "units": "percent", "native_resolution_m": 20},
    ),
    "WVP": Layer(
        "WVP",
        "<u2",
        65535,
        65534,
        False,
        {
            "long_name": "water vapour column",
            "units": "cm",
            "scale_factor": 1e-3,
            "native_resolution_m": 20,
        },
    ),
}
"""Every layer a cube can hold, in the order in which it is stored."""


TIMELINE = {
    "time": ("<i8", "start of the datatake, UTC"),
    "platform": ("<U16", "satellite"),
    "processing_baseline": ("<U32", "processing baselines of the products"),
    "products": (_NAMES, "products that made the step, in the order in which they fill it"),
    "failed": (
        _NAMES,
        "products that could not be read: a hole there is not 'no data'",
    ),
    "corrected": (_NAMES, "products whose stated radiometric offset the pixels contradicted"),
    "clear_fraction": ("<f4", "share of the region seen clear: SCL 4, 5, 6 or 7"),
    "valid_fraction": ("<f4", "share of the region with data in the first layer"),
}
"""Coordinates along time: dtype and meaning."""


@dataclass(frozen=True)
class Profile:
    """What makes two cubes the same kind: it is fixed when a store is made.

    Attributes
    ----------
    grid : odc.geo.geobox.GeoBox
    layers : tuple of str
        In the order of `LAYER`.
    resampling : str
        ``"bilinear"`` or ``"nearest"``.
    chunks : tuple of int
        Chunk shape (time, y, x).
    overviews : bool
        Whether there are coarser levels.
    """

    grid: GeoBox
    layers: tuple[str, ...]
    resampling: str
    chunks: tuple[int, int, int]
    overviews: bool

    @cached_property
    def area(self) -> Bounds:
        """The region in degrees, by which coordinate operations are chosen."""
        return area_of_grid(self.grid)

    @property
    def chunk_grids(self) -> tuple[tuple[int, int], ...]:
        """How many chunks each level has, (rows, columns)."""
        return tuple(chunk_grid(grid.shape, self.chunks[1:]) for grid in self.grids)

    @cached_property
    def grids(self) -> tuple[GeoBox, ...]:
        """The grids of all levels, the base first."""
        return level_grids(self.grid) if self.overviews else (self.grid,)


def chunk_grid(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, int]:
    """Return how many chunks (rows, columns) hold so many pixels."""
    rows, columns = (-(-n // size) for n, size in zip(shape, chunks, strict=True))
    return rows, columns


def group_of(orbit: int, level: int = 0) -> str:
    """Name the group of a relative orbit, ``S2/R051``, or of one of its levels, ``S2/R051_L1``.

    Levels lie beside the base, not in it: in a tree of xarray a child is on its parent's grid.
    """
    return f"S2/R{orbit:03d}" + (f"_L{level}" if level else "")


def read_group(name: str) -> tuple[int, int]:
    """Give relative orbit and level of a group, as `group_of` names it."""
    orbit, _, level = name.removeprefix("S2/R").partition("_L")
    return int(orbit), int(level or 0)


def chunk_key(
    orbit: int, layer: str, index: tuple[int, int, int], separator: str, level: int = 0
) -> str:
    """Name the object that holds a chunk."""
    return f"{group_of(orbit, level)}/{layer}/{separator.join(map(str, index))}"


class Place(NamedTuple):
    """Which chunk an object holds."""

    orbit: int
    level: int
    layer: str
    index: tuple[int, int, int]


_GROUP = r"S2/R(?P<orbit>\d{3})(?:_L(?P<level>[1-9]\d?))?"
_LAYERS = "|".join(LAYER)
_COORDINATES = "|".join((*TIMELINE, "x", "y", "spatial_ref"))
_CHUNK_KEY = re.compile(
    rf"{_GROUP}/(?P<layer>{_LAYERS})/(?P<index>\d{{1,9}}([./])\d{{1,9}}\5\d{{1,9}})"
)
_OBJECT_KEY = re.compile(
    rf"\.z(group|attrs|metadata)|S2/\.z(group|attrs)|{_GROUP}/(\.z(group|attrs|metadata)"
    rf"|({_LAYERS})/\.z(array|attrs)|({_COORDINATES})/(\.z(array|attrs)|\d{{1,9}})"
    rf"|\.manifest/[0-9a-f]{{64}})"
)


def read_chunk_key(key: str) -> Place:
    """Return which chunk an object holds.

    Raises
    ------
    ValueError
        If the name is none that `chunk_key` gives.
    """
    match = _CHUNK_KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key!r} is not the name of a chunk")
    time, row, col = map(int, re.split("[./]", match["index"]))
    return Place(int(match["orbit"]), int(match["level"] or 0), match["layer"], (time, row, col))


def renamed_chunk(key: str, separator: str) -> str:
    """Return the name of the same chunk with another separator."""
    place = read_chunk_key(key)
    return chunk_key(place.orbit, place.layer, place.index, separator, place.level)


def is_object(key: str) -> bool:
    """Return whether a name is that of a document, a coordinate or a table of a cube."""
    return _OBJECT_KEY.fullmatch(key) is not None


def is_layer_chunk(key: str) -> bool:
    """Return whether a name is that of a chunk of a layer."""
    return _CHUNK_KEY.fullmatch(key) is not None


def is_chunk(name: str, separator: str) -> bool:
    """Tell whether a name below a layer is that of a chunk, in one of the two sets of names."""
    parts = name.split(separator)
    return len(parts) == 3 and all(part.isdigit() for part in parts)


def encode(chunk: np.ndarray) -> bytes:
    """Compress a whole chunk."""
    return CODEC.encode(chunk)


def decode(
    data: bytes, layer: Layer, chunks: tuple[int, int, int], out: np.ndarray | None = None
) -> np.ndarray:
    """Restore a whole chunk, in new memory or in that of an earlier one."""
    require_size(data, math.prod(chunks) * np.dtype(layer.dtype).itemsize)
    return np.frombuffer(CODEC.decode(data, out), layer.dtype).reshape(chunks)


def is_whole(data: bytes) -> bool:
    """Return whether a chunk has the size that its header states (Blosc's, 16 bytes)."""
    return len(data) >= 16 and int.from_bytes(data[12:16], "little") == len(data)


def blosc_size(data: bytes) -> int:
    """Return the size after decompression that a chunk claims in Blosc's header."""
    return int.from_bytes(data[4:8], "little")


def require_size(data: bytes, size: int) -> None:
    """Refuse a chunk that Blosc would unpack to another size: a few bytes may claim 2 GB.

    Raises
    ------
    ValueError
    """
    if blosc_size(data) != size:
        raise ValueError(f"{len(data)} bytes claim {blosc_size(data)}, not a chunk of {size}")


LARGEST_CHUNK = 2**27 + 2**20
"""Bytes of a chunk as it is stored, at most: those of the largest chunk shape, and some more."""

LARGEST_DOCUMENT = 2**26
"""Bytes of a metadata document. That of the practice cube has 0.1 MB."""


def largest(key: str) -> int:
    """Return how many bytes an object may have, by its name."""
    return LARGEST_DOCUMENT if key.rpartition("/")[2].startswith(".") else LARGEST_CHUNK


def dump(document: dict[str, Any]) -> bytes:
    """Write a metadata document."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


WITH_DIGEST = 4
"""The first format of cubes whose metadata state their digest."""

DIGEST = "digest"
"""Where a cube states the digest of its metadata, among the attributes of s2kit."""


def metadata_digest(documents: dict[str, Any]) -> str:
    """Return the SHA-256 of consolidated metadata, in which that digest itself is left out.

    Parameters
    ----------
    documents : dict
        The consolidated metadata: documents by name.
    """
    attrs = documents[".zattrs"]
    kit = {key: value for key, value in attrs["s2kit"].items() if key != DIGEST}
    text = json.dumps(documents | {".zattrs": attrs | {"s2kit": kit}}, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def array_document(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: str,
    fill: Any,
    *,
    codec: Any = _COORDINATE_CODEC,
    separator: str = ".",
) -> dict[str, Any]:
    """Describe an array (``.zarray``)."""
    return {
        "chunks": list(chunks),
        "compressor": codec.get_config(),
        "dimension_separator": separator,
        "dtype": dtype,
        "fill_value": fill,
        "filters": None,
        "order": "C",
        "shape": list(shape),
        "zarr_format": 2,
    }


def decode_coordinate(
    parts: list[bytes | None], dtype: str, length: int, chunk: int = TIMELINE_CHUNK
) -> np.ndarray:
    """Restore a coordinate from its objects.

    Raises
    ------
    ValueError
        If one is missing, or has another size.
    """
    if None in parts:
        raise ValueError("a part of a coordinate is missing")
    for part in parts:
        require_size(part, chunk * np.dtype(dtype).itemsize)
    decoded = [np.frombuffer(_COORDINATE_CODEC.decode(part), dtype) for part in parts]
    return np.concatenate(decoded)[:length]


def is_text(dtype: str) -> bool:
    """Tell whether a stored type is text."""
    return dtype[1] == "U"


def encode_coordinate(values: np.ndarray, chunk: int, dtype: str) -> list[bytes]:
    """Compress a coordinate, one object per ``chunk`` values, the last one padded."""
    padded = np.zeros(-(-max(len(values), 1) // chunk) * chunk, dtype)
    padded[: len(values)] = values
    return [_COORDINATE_CODEC.encode(part) for part in padded.reshape(-1, chunk)]


def grid_objects(grid: GeoBox, area: Bounds) -> dict[str, bytes]:
    """Give the objects below a group that hold x, y and the coordinate system."""
    x, y, affine = _centres(grid)
    crs = CRS.from_wkt(grid.crs.to_wkt())
    mapping = crs.to_cf() | {
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": " ".join(
            repr(float(v)) for v in (affine.c, affine.a, affine.b, affine.f, affine.d, affine.e)
        ),
        REGION: list(area),
    }
    axes = {axis["axis"].lower(): axis | {"_ARRAY_DIMENSIONS": [axis["axis"].lower()]}
            for axis in crs.cs_to_cf()}  # fmt: skip
    return {
        "x/.zarray": dump(array_document(x.shape, x.shape, "<f8", None)),
        "x/.zattrs": dump(axes["x"]),
        "x/0": encode_coordinate(x, len(x), "<f8")[0],
        "y/.zarray": dump(array_document(y.shape, y.shape, "<f8", None)),
        "y/.zattrs": dump(axes["y"]),
        "y/0": encode_coordinate(y, len(y), "<f8")[0],
        "spatial_ref/.zarray": dump(array_document((), (), "<i8", None)),
        "spatial_ref/.zattrs": dump(mapping | {"_ARRAY_DIMENSIONS": []}),
        "spatial_ref/0": _COORDINATE_CODEC.encode(np.zeros(1, "<i8")),
    }


def _centres(grid: GeoBox) -> tuple[np.ndarray, np.ndarray, Any]:
    affine = grid.affine
    height, width = grid.shape
    x = affine.c + affine.a * (np.arange(width) + 0.5)
    y = affine.f + affine.e * (np.arange(height) + 0.5)
    return x, y, affine


def gdal_crs(grid: GeoBox) -> dict[str, str]:
    """Describe the coordinate system as GDAL before 3.9 expects it, in ``_CRS`` of each array."""
    if grid.crs.epsg is not None:
        return {"url": f"http://www.opengis.net/def/crs/EPSG/0/{grid.crs.epsg}"}
    return {"wkt": grid.crs.to_wkt()}


def layer_documents(
    layer: Layer, profile: Profile, steps: int, separator: str, level: int = 0
) -> dict[str, bytes]:
    """Give ``.zarray`` and ``.zattrs`` of a layer."""
    shape = (steps, *profile.grids[level].shape)
    described = array_document(
        shape, profile.chunks, layer.dtype, layer.nodata, codec=CODEC, separator=separator
    )
    attrs = layer.attrs | {
        "_ARRAY_DIMENSIONS": ["time", "y", "x"],
        "grid_mapping": "spatial_ref",
        "_CRS": gdal_crs(profile.grid),
    }
    return {f"{layer.name}/.zarray": dump(described), f"{layer.name}/.zattrs": dump(attrs)}


def timeline_types(grid: GeoBox, level: int = 0) -> dict[str, str]:
    """Give the stored type of each coordinate along time; a coarser level has only time itself.

    The width of text is fixed, because it may not change while others read. GDAL before 3.9
    takes 999 characters, which hold 16 product names: four tiles, each split and reprocessed. A
    region of more than 100 km gets room for 67, and GDAL's complaint about it is harmless.
    """
    if level:
        return {"time": TIMELINE["time"][0]}
    degrees = grid.crs.geographic
    side = max(grid.shape) * abs(grid.affine.a) * (111_320 if degrees else 1)
    width = 999 if side <= 100_000 else 4096
    return {name: f"<U{width}" if t == _NAMES else t for name, (t, _) in TIMELINE.items()}


def timeline_documents(grid: GeoBox, steps: int, level: int = 0) -> dict[str, bytes]:
    """Give ``.zarray`` and ``.zattrs`` of the coordinates along time."""
    documents = {}
    for name, dtype in timeline_types(grid, level).items():
        fill = "" if is_text(dtype) else None
        attrs: dict[str, Any] = {"_ARRAY_DIMENSIONS": ["time"], "long_name": TIMELINE[name][1]}
        if name == "time":
            attrs |= {
                "standard_name": "time",
                "axis": "T",
                "units": "seconds since 1970-01-01",
                "calendar": "proleptic_gregorian",
            }
        described = array_document((steps,), (TIMELINE_CHUNK,), dtype, fill)
        documents[f"{name}/.zarray"] = dump(described)
        documents[f"{name}/.zattrs"] = dump(attrs)
    return documents


def timeline_objects(
    grid: GeoBox, timeline: dict[str, np.ndarray], level: int = 0
) -> dict[str, bytes]:
    """Give the chunks of the coordinates along time."""
    objects = {}
    for name, dtype in timeline_types(grid, level).items():
        for i, data in enumerate(encode_coordinate(timeline[name], TIMELINE_CHUNK, dtype)):
            objects[f"{name}/{i}"] = data
    return objects
