"""Chunks and coordinates as bytes: how they are compressed, and bounds of what is decompressed."""

import math

import numpy as np
from numcodecs import Blosc, blosc
from numpy.typing import DTypeLike

from s2kit.cube.layers import TIMELINE_CHUNK, LayerSpec

blosc.use_threads = False  # the build's own threads compress side by side

CODEC = Blosc(cname="lz4", clevel=9, shuffle=Blosc.BITSHUFFLE)
"""In chunks of 16 × 128 × 128, Zstandard (level 3, byte shuffle) takes 14 % less on disk for one
date of real scenes at 120 m, as much for 4, and 8 % less for full chunks of practice data; it takes
up to seven times as long to compress, and up to twice as long to decompress."""

COORDINATE_CODEC = Blosc(cname="zstd", clevel=5, shuffle=Blosc.NOSHUFFLE)

LARGEST_CHUNK = 2**27 + 2**20
"""Bytes of a chunk as it is stored, at most: those of the largest chunk shape, and some more."""

LARGEST_DOCUMENT = 2**26
"""Bytes of a metadata document. That of the practice cube has 0.1 MB."""


def largest(key: str) -> int:
    """Return how many bytes an object may have, by its name."""
    return LARGEST_DOCUMENT if key.rpartition("/")[2].startswith(".") else LARGEST_CHUNK


def encode(chunk: np.ndarray) -> bytes:
    """Compress a whole chunk."""
    return CODEC.encode(chunk)


def decode(
    data: bytes, layer: LayerSpec, chunks: tuple[int, int, int], out: np.ndarray | None = None
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


def encode_coordinate(values: np.ndarray, chunk: int, dtype: str) -> list[bytes]:
    """Compress a coordinate, one object per ``chunk`` values, the last one padded."""
    padded = np.zeros(-(-max(len(values), 1) // chunk) * chunk, dtype)
    padded[: len(values)] = values
    return [COORDINATE_CODEC.encode(part) for part in padded.reshape(-1, chunk)]


def decode_coordinate(
    parts: list[bytes | None], dtype: DTypeLike, length: int, chunk: int = TIMELINE_CHUNK
) -> np.ndarray:
    """Restore a coordinate from its objects.

    Raises
    ------
    ValueError
        If one is missing, or has another size.
    """
    decoded = []
    for part in parts:
        if part is None:
            raise ValueError("a part of a coordinate is missing")
        require_size(part, chunk * np.dtype(dtype).itemsize)
        decoded.append(np.frombuffer(COORDINATE_CODEC.decode(part), dtype))
    return np.concatenate(decoded)[:length]
