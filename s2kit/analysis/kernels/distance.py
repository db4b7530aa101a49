"""Distances to the nearest marked pixel of a map, exact and compiled."""

import math

import numba
import numpy as np

_FARTHEST = 32_766
"""Pixels; the squares of two such distances still add up in 32 bits."""


def distance(marked: np.ndarray, reach: float) -> np.ndarray:
    """Compute the distance to the nearest marked pixel of a map.

    Parameters
    ----------
    marked : numpy.ndarray, shape (map, y, x), bool
    reach : float
        Farther than so many pixels counts as infinitely far.

    Returns
    -------
    numpy.ndarray, shape (map, y, x), float32
        In pixels, between centres; 0 on marked pixels, inf beyond reach.
    """
    reach = min(reach, _FARTHEST)
    squares = _squared_distance(np.ascontiguousarray(marked), math.floor(reach))
    return np.where(squares <= reach * reach, np.sqrt(squares, dtype="float32"), np.inf)


@numba.njit(nogil=True, cache=True)
def _squared_distance(marked, reach):
    """Combine the distances along rows, up to ``reach`` rows away.

    Takes marks, shape (map, y, x), bool; returns squared distances, int32, at most (reach + 1)²,
    which stands for all that is as far or farther.

    Meijster, Roerdink and Hesselink 2000, A general algorithm for computing distance transforms in
    linear time; but with all rows within reach tried in turn, which vectorises.
    """
    steps, rows, cols = marked.shape
    far = np.int32(reach + 1)
    out = np.full(marked.shape, far * far, np.int32)
    squares = np.empty((rows, cols), np.int32)
    for t in range(steps):
        if not marked[t].any():  # as in many steps of a cube
            continue
        for y in range(rows):
            _squared_gaps(marked[t, y], squares[y], far)
        # Row by row of the result, then over the rows that it may take a distance from, then along
        # both: the innermost loop adds and compares neighbours in memory, without a branch.
        for y in range(rows):
            target = out[t, y]
            for other in range(max(y - reach, 0), min(y + reach + 1, rows)):
                # whole numbers: exact, and twice as many fit a vector as of float64
                near, away = squares[other], np.int32((other - y) * (other - y))
                for x in range(cols):
                    target[x] = min(target[x], near[x] + away)
    return out


@numba.njit(nogil=True, cache=True)
def _squared_gaps(marked, out, far):
    """Write the squared distance of each pixel of a row to the nearest marked one in that row.

    ``marked`` has the shape (x,), bool, and ``out`` (x,), int32; ``far`` is the most that is
    counted, so that squares stay within 32 bits.
    """
    last = far  # to the nearest on the left, and then to that on the right
    for x in range(len(marked)):
        last = np.int32(0) if marked[x] else min(np.int32(last + 1), far)
        out[x] = last
    last = far
    for x in range(len(marked) - 1, -1, -1):
        last = np.int32(0) if marked[x] else min(np.int32(last + 1), far)
        least = min(out[x], last)
        out[x] = least * least
