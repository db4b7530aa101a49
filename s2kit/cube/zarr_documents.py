"""The metadata documents of a cube (Zarr 2) and the chunks of its coordinates.

They are written here rather than by a library, because what readers see must change in one atomic
write (`s2kit.cube.commit`), byte for byte the same for the same input.
"""

import hashlib
import json
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import CRS

from s2kit.cube import levels
from s2kit.cube.codec import CODEC, COORDINATE_CODEC, encode_coordinate
from s2kit.cube.keys import METADATA, group_of
from s2kit.cube.layers import LAYER_SPECS, TIMELINE, TIMELINE_CHUNK, is_text, timeline_types
from s2kit.cube.model import CubeSpec, State
from s2kit.grid import REGION, crs_of

Documents = dict[str, dict[str, Any]]
"""Metadata documents by the names of their objects."""

FORMAT = 4
"""The only format that is read and written."""

DIGEST = "digest"
"""Attribute of s2kit with the digest of the metadata."""

TITLE = "Sentinel-2 data cube"
_ZARR_GROUP = {"zarr_format": 2}


def dump(document: dict[str, Any]) -> bytes:
    """Return a metadata document as it is stored."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def metadata_digest(documents: Documents) -> str:
    """Compute the SHA-256 of the consolidated metadata, leaving out the digest itself."""
    attrs = documents[".zattrs"]
    kit = {key: value for key, value in attrs["s2kit"].items() if key != DIGEST}
    text = json.dumps(documents | {".zattrs": attrs | {"s2kit": kit}}, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def metadata_objects(state: State) -> dict[str, bytes]:
    """Return all metadata documents as stored, in the order in which they are to be replaced.

    The consolidated ones are last, the root's at the end.
    """
    documents: Documents = {
        ".zgroup": _ZARR_GROUP,
        ".zattrs": _root_attrs(state),
        "S2/.zgroup": _ZARR_GROUP,
        **_levels_document(state),
    }
    consolidated: Documents = {}
    for orbit in sorted(state.orbits):
        for level in range(len(state.spec.grids)):
            group = group_of(orbit, level)
            own = _group_documents(state, orbit, level)
            documents |= {f"{group}/{key}": document for key, document in own.items()}
            consolidated[f"{group}/{METADATA}"] = consolidate(own)
    documents[".zattrs"]["s2kit"][DIGEST] = metadata_digest(documents)
    consolidated[METADATA] = consolidate(documents)
    return {key: dump(document) for key, document in (documents | consolidated).items()}


def coordinate_objects(state: State, orbit: int) -> dict[str, bytes]:
    """Return the chunks of the coordinates of an orbit, of all its levels."""
    objects = {}
    for level, grid in enumerate(state.spec.grids):
        group = group_of(orbit, level)
        affine, (height, width) = grid.affine, grid.shape
        x = affine.c + affine.a * (np.arange(width) + 0.5)  # pixel centres
        y = affine.f + affine.e * (np.arange(height) + 0.5)
        objects[f"{group}/x/0"] = encode_coordinate(x, width, "<f8")[0]
        objects[f"{group}/y/0"] = encode_coordinate(y, height, "<f8")[0]
        objects[f"{group}/spatial_ref/0"] = COORDINATE_CODEC.encode(np.zeros(1, "<i8"))
        for name, dtype in timeline_types(grid, level).items():
            values = state.orbits[orbit].timeline[name]
            for i, data in enumerate(encode_coordinate(values, TIMELINE_CHUNK, dtype)):
                objects[f"{group}/{name}/{i}"] = data
    return objects


def gdal_crs(grid: GeoBox) -> dict[str, str]:
    """Describe the coordinate system as GDAL before 3.9 expects it, in ``_CRS`` of each array."""
    assert grid.crs is not None
    if grid.crs.epsg is not None:
        return {"url": f"http://www.opengis.net/def/crs/EPSG/0/{grid.crs.epsg}"}
    return {"wkt": grid.crs.to_wkt()}


def consolidate(documents: Documents) -> dict[str, Any]:
    """Return the consolidated metadata of a group."""
    return {"metadata": documents, "zarr_consolidated_format": 1}


def _levels_document(state: State) -> Documents:
    grids = state.spec.grids
    if len(grids) == 1 or not state.orbits:
        return {}
    names = [
        [group_of(orbit, level).removeprefix("S2/") for level in range(len(grids))]
        for orbit in sorted(state.orbits)
    ]
    return {"S2/.zattrs": levels.describe(grids, names, classes="SCL" in state.spec.layers)}


def _group_documents(state: State, orbit: int, level: int) -> Documents:
    """Return the documents of a group, by names below it."""
    return {
        ".zgroup": _ZARR_GROUP,
        ".zattrs": _group_attrs(state, orbit, level),
        **_layer_documents(state, orbit, level),
        **_timeline_documents(state, orbit, level),
        **_grid_documents(state.spec, level),
    }


def _layer_documents(state: State, orbit: int, level: int) -> Documents:
    spec, own = state.spec, state.orbits[orbit]
    shape = (len(own.timeline["time"]), *spec.grids[level].shape)
    documents = {}
    for name in spec.layers:
        layer = LAYER_SPECS[name]
        array = _array(shape, spec.chunks, layer.dtype, layer.nodata, CODEC, own.separator)
        documents[f"{name}/.zarray"] = array
        documents[f"{name}/.zattrs"] = layer.attrs | {
            "_ARRAY_DIMENSIONS": ["time", "y", "x"],
            "grid_mapping": "spatial_ref",
            "_CRS": gdal_crs(spec.grid),
        }
    return documents


def _timeline_documents(state: State, orbit: int, level: int) -> Documents:
    """Describe the coordinates along time."""
    steps = len(state.orbits[orbit].timeline["time"])
    documents = {}
    for name, dtype in timeline_types(state.spec.grids[level], level).items():
        fill = "" if is_text(dtype) else None
        attrs: dict[str, Any] = {"_ARRAY_DIMENSIONS": ["time"], "long_name": TIMELINE[name][1]}
        if name == "time":
            attrs |= {
                "standard_name": "time",
                "axis": "T",
                "units": "seconds since 1970-01-01",
                "calendar": "proleptic_gregorian",
            }
        documents[f"{name}/.zarray"] = _array((steps,), (TIMELINE_CHUNK,), dtype, fill)
        documents[f"{name}/.zattrs"] = attrs
    return documents


def _grid_documents(spec: CubeSpec, level: int) -> Documents:
    """Describe x, y and the coordinate system, by CF and for GDAL."""
    grid = spec.grids[level]
    affine, (height, width) = grid.affine, grid.shape
    crs = CRS.from_wkt(crs_of(grid).to_wkt())
    transform = (affine.c, affine.a, affine.b, affine.f, affine.d, affine.e)
    mapping = {
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": " ".join(repr(float(value)) for value in transform),
        REGION: list(spec.area),
        "_ARRAY_DIMENSIONS": [],
    }
    axes = {axis["axis"].lower(): axis for axis in crs.cs_to_cf()}
    return {
        "x/.zarray": _array((width,), (width,), "<f8", None),
        "x/.zattrs": axes["x"] | {"_ARRAY_DIMENSIONS": ["x"]},
        "y/.zarray": _array((height,), (height,), "<f8", None),
        "y/.zattrs": axes["y"] | {"_ARRAY_DIMENSIONS": ["y"]},
        "spatial_ref/.zarray": _array((), (), "<i8", None),
        "spatial_ref/.zattrs": crs.to_cf() | mapping,
    }


def _array(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: str,
    fill: Any,
    codec: Any = COORDINATE_CODEC,
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


def _root_attrs(state: State) -> dict[str, Any]:
    spec = state.spec
    kit = {
        "format": FORMAT,
        "synthetic": state.synthetic,
        "crs": str(spec.grid.crs),
        "shape": list(spec.grid.shape),
        "transform": list(spec.grid.affine)[:6],
        "layers": list(spec.layers),
        "resampling": spec.resampling,
        "chunks": list(spec.chunks),
        "overviews": spec.overviews,
        "orbits": sorted(state.orbits),
        "retired": sorted(n for n, orbit in state.orbits.items() if orbit.retired),
        "manifest": {
            str(n): orbit.manifest.document() for n, orbit in sorted(state.orbits.items())
        },
    }
    return {"title": TITLE, **_shared_attrs(state), "s2kit": kit}


def _group_attrs(state: State, orbit: int, level: int) -> dict[str, Any]:
    along_time = timeline_types(state.spec.grid, level)
    coordinates = ["spatial_ref", *(name for name in along_time if name != "time")]
    return {
        "title": f"{TITLE}, relative orbit {orbit}" + (f", level {level}" if level else ""),
        **_shared_attrs(state),
        "relative_orbit": orbit,
        "coordinates": " ".join(coordinates),
    }


def _shared_attrs(state: State) -> dict[str, Any]:
    source = "Sentinel-2 Level-2A surface reflectance, resampled once to this grid"
    made_up = "Synthetic practice data, made up by s2kit: not observed by any satellite. "
    copernicus = (
        "Contains modified Copernicus Sentinel data; free, full and open access "
        "(Commission Delegated Regulation (EU) No 1159/2013)"
    )
    return {
        "Conventions": "CF-1.10",
        "source": made_up + source if state.synthetic else source,
        "synthetic": int(state.synthetic),
        "license": "CC BY 4.0 (made by s2kit)" if state.synthetic else copernicus,
    }
