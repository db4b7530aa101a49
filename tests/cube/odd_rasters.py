"""Rasters that claim what cannot be, written byte by byte."""

import json
import struct
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

WEST, NORTH = 600_000, 5_770_000
PLACE = {"crs": "EPSG:32631", "transform": from_origin(WEST, NORTH, 10, 10)}

_GEOREFERENCE = [
    (33550, "d", [10, 10, 0]),
    (33922, "d", [0, 0, 0, WEST, NORTH, 0]),
    (34735, "H", [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32631]),
]
_TYPES = {"H": 3, "I": 4, "d": 12}
DEFLATE = 8


def tiff(
    path: Path,
    side: int,
    block: int,
    *,
    tiled: bool = True,
    bands: int = 1,
    compression: int = DEFLATE,
    planes: bool = False,
) -> Path:
    """Write a TIFF of 2 KB (TIFF 6.0) that claims a size and the size of its tiles or strips."""
    tags = [
        *[(256, "I", [side]), (257, "I", [side]), (258, "H", [16]), (259, "H", [compression])],
        *[(262, "H", [1]), (277, "H", [bands]), (284, "H", [1 + planes]), (339, "H", [1])],
        *_GEOREFERENCE,
    ]
    if tiled:
        tags += [(322, "I", [block]), (323, "I", [block]), (324, "I", [1000]), (325, "I", [100])]
    else:
        tags += [(278, "I", [block]), (273, "I", [1000]), (279, "I", [100])]
    entries, beyond, start = b"", b"", 8 + 2 + 12 * len(tags) + 4
    for tag, kind, values in sorted(tags):
        data = struct.pack(f"<{len(values)}{kind}", *values)
        if len(data) > 4:
            data, beyond = struct.pack("<I", start + len(beyond)), beyond + data
        entries += struct.pack("<HHI", tag, _TYPES[kind], len(values)) + data.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes((head + beyond).ljust(2048, b"\0"))
    return path


def geotiff(path: Path, value: int, side: int = 128, pixel: float = 10, **options) -> Path:
    """Write a GeoTIFF of one value."""
    place = PLACE | {"transform": from_origin(WEST, NORTH, pixel, pixel)}
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": side, "width": side}
    with rasterio.open(path, "w", **(profile | place | options)) as file:
        file.write(np.full((side, side), value, "uint16"), 1)
    return path


def jp2(path: Path, side: int, tile: int, *, code_block: int | None = None) -> Path:
    """Write a JP2 of 128 × 128 pixels whose header claims another size, and size of its tiles."""
    geotiff(path, 1500, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    data = bytearray(path.read_bytes())
    at, box = data.index(b"\xff\x4f\xff\x51") + 4, data.index(b"ihdr") + 4
    data[at + 4 : at + 12] = struct.pack(">II", side, side)
    data[at + 20 : at + 28] = struct.pack(">II", tile, tile)
    data[box : box + 8] = struct.pack(">II", side, side)
    if code_block is not None:
        cod = data.index(b"\xff\x52", at)
        data[cod + 10 : cod + 12] = bytes([code_block, code_block])
    path.write_bytes(data)
    return path


def zarr_array(store: Path, shape: list[int], chunks: list[int], **more) -> str:
    """Write an array of one chunk of zeros; return GDAL's name of it."""
    folder = store / "measurements/b04"
    folder.mkdir(parents=True)
    document = {"chunks": chunks, "compressor": None, "dtype": "<u2", "fill_value": 0}
    document |= {"filters": None, "order": "C", "shape": shape, "zarr_format": 2} | more
    (folder / ".zarray").write_text(json.dumps(document))
    (folder / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": list("tyx")[-len(shape) :]}))
    for group in (store, store / "measurements"):
        (group / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".".join("0" * len(shape))).write_bytes(bytes(1000))
    return f'ZARR:"{store}":/measurements/b04'


def vrt(source: Path, side: int = 128, pixel: float = 10, kind: str = "UInt16") -> str:
    """Return a VRT that reads another file."""
    return (
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><SRS>EPSG:32631</SRS>'
        f"<GeoTransform>{WEST},{pixel},0,{NORTH},0,{-pixel}</GeoTransform>"
        f'<VRTRasterBand dataType="{kind}" band="1"><SimpleSource><SourceFilename>{source}'
        "</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
