"""The metadata documents of a cube (Zarr 2), and its coordinates, as bytes."""

import hashlib
import json
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import CRS

from s2kit.crs import Bounds
from s2kit.cube import levels
from s2kit.cube.codec import _COORDINATE_CODEC, CODEC, encode_coordinate
from s2kit.cube.keys import METADATA, group_of
from s2kit.cube.layers import LAYER, TIMELINE, TIMELINE_CHUNK, Layer, is_text, timeline_types
from s2kit.cube.model import Profile, State
from s2kit.grid import REGION

TITLE = "Sentinel-2 data cube"


WITH_DIGEST = 4
"""The first format of cubes whose metadata state their digest."""


DIGEST = "digest"
"""Where a cube states the digest of its metadata, among the attributes of s2kit."""


def dump(document: dict[str, Any]) -> bytes:
    """Write a metadata document."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


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


_FORMAT = WITH_DIGEST
"""1 knew no overviews, and would leave them behind; 2 knew no manifest and no staged chunks; 3 no
digest of the metadata."""


def _coordinates(state: State, orbit: int) -> dict[str, bytes]:
    """Return the coordinates of all levels of an orbit, which are written before the metadata."""
    objects = {}
    for level, grid in enumerate(state.profile.grids):
        group = group_of(orbit, level)
        static = grid_objects(grid, state.profile.area)
        moving = timeline_objects(grid, state.orbits[orbit].timeline, level)
        chunks = {k: v for k, v in static.items() if not _is_document(k)} | moving
        objects |= {f"{group}/{key}": data for key, data in chunks.items()}
    return objects


def _is_document(key: str) -> bool:
    return key.rsplit("/", 1)[-1].startswith(".z")


def _metadata(state: State) -> dict[str, bytes]:
    """Give every metadata document, the consolidated ones last and the root's at the very end."""
    documents = {
        ".zgroup": _GROUP,
        ".zattrs": dump(_root_attrs(state)),
        "S2/.zgroup": _GROUP,
        **_levels_document(state),
    }
    consolidated = {}
    for orbit in sorted(state.orbits):
        for level in range(len(state.profile.grids)):
            group = group_of(orbit, level)
            own = _group_documents(state, orbit, level)
            documents |= {f"{group}/{key}": data for key, data in own.items()}
            consolidated[f"{group}/{METADATA}"] = _consolidate(own)
    parsed = {key: json.loads(data) for key, data in documents.items()}
    parsed[".zattrs"]["s2kit"][DIGEST] = metadata_digest(parsed)
    documents[".zattrs"] = dump(parsed[".zattrs"])
    return documents | consolidated | {METADATA: _consolidate(documents)}


def _levels_document(state: State) -> dict[str, bytes]:
    grids = state.profile.grids
    if len(grids) == 1 or not state.orbits:
        return {}
    names = [
        [group_of(orbit, level).removeprefix("S2/") for level in range(len(grids))]
        for orbit in sorted(state.orbits)
    ]
    described = levels.describe(grids, names, classes="SCL" in state.profile.layers)
    return {"S2/.zattrs": dump(described)}


_GROUP = dump({"zarr_format": 2})


def _consolidate(documents: dict[str, bytes]) -> bytes:
    parsed = {key: json.loads(data) for key, data in documents.items()}
    return dump({"metadata": parsed, "zarr_consolidated_format": 1})


def _group_documents(state: State, number: int, level: int) -> dict[str, bytes]:
    orbit, profile = state.orbits[number], state.profile
    steps = len(orbit.timeline["time"])
    documents = {
        ".zgroup": _GROUP,
        ".zattrs": dump(_group_attrs(state, number, level)),
    }
    for name in profile.layers:
        documents |= layer_documents(LAYER[name], profile, steps, orbit.separator, level)
    documents |= timeline_documents(profile.grids[level], steps, level)
    static = grid_objects(profile.grids[level], profile.area)
    return documents | {key: data for key, data in static.items() if _is_document(key)}


def _shared_attrs(state: State) -> dict[str, Any]:
    made_up = "Synthetic practice data, made up by s2kit: not observed by any satellite. "
    return {
        "Conventions": "CF-1.10",
        "source": (made_up if state.synthetic else "")
        + "Sentinel-2 Level-2A surface reflectance, resampled once to this grid",
        "synthetic": int(state.synthetic),
        "license": "CC BY 4.0 (made by s2kit)"
        if state.synthetic
        else "Contains modified Copernicus Sentinel data; free, full and open access "
        "(Commission Delegated Regulation (EU) No 1159/2013)",
    }


def _root_attrs(state: State) -> dict[str, Any]:
    profile = state.profile
    kit = {
        "format": _FORMAT,
        "synthetic": state.synthetic,
        "crs": str(profile.grid.crs),
        "shape": list(profile.grid.shape),
        "transform": list(profile.grid.affine)[:6],
        "layers": list(profile.layers),
        "resampling": profile.resampling,
        "chunks": list(profile.chunks),
        "overviews": profile.overviews,
        "orbits": sorted(state.orbits),
        "retired": sorted(n for n, orbit in state.orbits.items() if orbit.retired),
        "manifest": {
            str(n): orbit.manifest.document()
            for n, orbit in sorted(state.orbits.items())
            if orbit.manifest
        },
    }
    return {"title": TITLE, **_shared_attrs(state), "s2kit": kit}


def _group_attrs(state: State, orbit: int, level: int) -> dict[str, Any]:
    along_time = timeline_types(state.profile.grid, level)
    coordinates = ["spatial_ref", *(name for name in along_time if name != "time")]
    return {
        "title": f"{TITLE}, relative orbit {orbit}" + (f", level {level}" if level else ""),
        **_shared_attrs(state),
        "relative_orbit": orbit,
        "coordinates": " ".join(coordinates),
    }
