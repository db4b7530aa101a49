"""The inner loops of the analyses: over all times of many pixels, compiled.

All take ``values`` and ``clear`` with the shape (time, pixel), C-contiguous, so that the loop over
pixels runs along memory. Where a library's kernel would do, it was slower: the median of 96 × 128²
values took 18 ms here, 54 ms by numbagg and 114 ms by numpy (tests/benchmarks/analysis.py).
"""

import numba
import numpy as np

COUNT, MEAN, M2, LOW, HIGH = range(5)
"""Planes of `finish_moments`: number, mean, sum of squared deviations, minimum, maximum."""

_TILE = 1024
"""Pixels whose sums are kept in the processor's nearest cache while time passes."""

_TOGETHER = 64
"""Pixels whose values are gathered at a time: their part of a row is a few cache lines."""


def start_moments(groups, pixels):
    """Give empty sums for `add_moments`: first value, number, two sums, lowest, highest."""
    shape = (groups, pixels)
    first, low, high = (np.full(shape, np.nan, np.float32) for _ in range(3))
    return first, np.zeros(shape, np.float32), np.zeros(shape), np.zeros(shape), low, high


@numba.njit(nogil=True, cache=True)
def add_moments(values, classes, wanted, ids, first, n, s, ss, low, high):
    """Add some steps to the sums of their groups: what is finite, and of a class that is wanted.

    Sums are taken of deviations from the first clear value, so that a constant series has exactly
    no variance, and nothing is lost where the mean is far from 0.

    Parameters
    ----------
    values : numpy.ndarray, shape (time, pixel), float32
    classes : numpy.ndarray, shape (time, pixel), uint8
    wanted : numpy.uint32
        Bit k is set if class k is wanted, 0 … 31.
    ids : numpy.ndarray, shape (time,), int64
        Group of each step.
    first, n, s, ss, low, high : numpy.ndarray, shape (group, pixel)
        As `start_moments` gives them.
    """
    pixels = values.shape[1]
    masked = np.empty(_TILE, np.float32)
    for corner in range(0, pixels, _TILE):
        tile = slice(corner, min(corner + _TILE, pixels))
        for t in range(len(ids)):
            g = ids[t]
            _mask(values[t, tile], classes[t, tile], wanted, masked)
            _keep_first(masked, first[g, tile])
            _add(masked, first[g, tile], n[g, tile], s[g, tile], ss[g, tile])
            _widen(masked, low[g, tile], high[g, tile])


@numba.njit(nogil=True, cache=True)
def add_differences(a, b, scaling, classes, wanted, ids, first, n, s, ss, low, high):
    """Do as `add_moments`, with (a - b) / (a + b) of two layers as they are stored.

    Parameters
    ----------
    a, b : numpy.ndarray, shape (time, pixel), int
    scaling : tuple
        Nodata and scale of a, then of b.
    """
    pixels = a.shape[1]
    masked = np.empty(_TILE, np.float32)
    for corner in range(0, pixels, _TILE):
        tile = slice(corner, min(corner + _TILE, pixels))
        for t in range(len(ids)):
            g = ids[t]
            _mask_difference(a[t, tile], b[t, tile], scaling, classes[t, tile], wanted, masked)
            _keep_first(masked, first[g, tile])
            _add(masked, first[g, tile], n[g, tile], s[g, tile], ss[g, tile])
            _widen(masked, low[g, tile], high[g, tile])


@numba.njit(nogil=True, cache=True)
def finish_moments(first, n, s, ss, low, high):
    """Give number, mean, sum of squared deviations, minimum and maximum.

    Returns
    -------
    numpy.ndarray, shape (group, 5, pixel), float64
        See `COUNT` … `HIGH`; 0, NaN, 0, NaN, NaN where nothing is clear.
    """
    groups, pixels = n.shape
    out = np.empty((groups, 5, pixels))
    for g in range(groups):
        for i in range(pixels):
            number = np.float64(n[g, i])
            out[g, COUNT, i] = number
            out[g, MEAN, i] = first[g, i] + s[g, i] / number if number else np.nan
            out[g, M2, i] = max(ss[g, i] - s[g, i] * s[g, i] / number, 0.0) if number else 0.0
            out[g, LOW, i] = low[g, i]
            out[g, HIGH, i] = high[g, i]
    return out


@numba.njit(nogil=True, cache=True)
def _mask(values, classes, wanted, out):
    for i in range(len(values)):
        k = np.uint32(classes[i])
        use = (k < 32) & (((wanted >> (k & np.uint32(31))) & np.uint32(1)) != 0)
        use = use & (values[i] - values[i] == 0)  # neither NaN nor infinite
        out[i] = values[i] if use else np.float32(np.nan)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _mask_difference(a, b, scaling, classes, wanted, out):
    nodata_a, scale_a, nodata_b, scale_b = scaling
    for i in range(len(a)):
        k = np.uint32(classes[i])
        use = (k < 32) & (((wanted >> (k & np.uint32(31))) & np.uint32(1)) != 0)
        use = use & (a[i] != nodata_a) & (b[i] != nodata_b)
        one, two = np.float32(a[i]) * scale_a, np.float32(b[i]) * scale_b
        value = (one - two) / (one + two)
        use = use & (value - value == 0)  # neither NaN nor infinite
        out[i] = value if use else np.float32(np.nan)


@numba.njit(nogil=True, cache=True)
def _keep_first(values, first):
    for i in range(len(first)):
        first[i] = first[i] if first[i] == first[i] else values[i]


@numba.njit(nogil=True, cache=True)
def _add(values, first, n, s, ss):
    for i in range(len(n)):
        use = values[i] == values[i]
        away = np.float64(values[i] if use else first[i]) - np.float64(first[i])
        away = away if use else 0.0
        n[i] += np.float32(1) if use else np.float32(0)
        s[i] += away
        ss[i] += away * away


@numba.njit(nogil=True, cache=True)
def _widen(values, low, high):
    for i in range(len(low)):
        low[i] = np.fmin(low[i], values[i])
        high[i] = np.fmax(high[i], values[i])


@numba.njit(nogil=True, cache=True)
def merge_moments(parts, ids, groups):
    """Merge the moments of parts of a series (Chan, Golub and LeVeque 1983, eq. 2.1).

    Parameters
    ----------
    parts : numpy.ndarray, shape (part, 5, pixel), float64
        As `finish_moments` gives them.
    ids : numpy.ndarray, shape (part,), int64
        Group of each part.
    groups : int

    Returns
    -------
    numpy.ndarray, shape (groups, 5, pixel), float64
    """
    pixels = parts.shape[2]
    out = np.zeros((groups, 5, pixels))
    out[:, 1] = np.nan
    out[:, 3:] = np.nan
    for p in range(len(ids)):
        whole, part = out[ids[p]], parts[p]
        for i in range(pixels):
            a, b = whole[0, i], part[0, i]
            if b == 0:
                continue
            if a == 0:
                whole[:, i] = part[:, i]
                continue
            away = part[1, i] - whole[1, i]
            whole[0, i] = a + b
            whole[1, i] += away * b / (a + b)
            whole[2, i] += part[2, i] + away * away * a * b / (a + b)
            whole[3, i] = min(whole[3, i], part[3, i])
            whole[4, i] = max(whole[4, i], part[4, i])
    return out


@numba.njit(nogil=True, cache=True)
def percentiles(values, clear, ids, groups, q):
    """Give percentiles of each group of steps, interpolated linearly as numpy does by default.

    Parameters
    ----------
    values : numpy.ndarray, shape (time, pixel), float32
    clear : numpy.ndarray, shape (time, pixel), bool
    ids : numpy.ndarray, shape (time,), int64
        Group of each step, 0 … groups - 1.
    groups : int
    q : numpy.ndarray, shape (percentile,), float64
        0 … 100, in any order; 50 is the median.

    Returns
    -------
    numpy.ndarray, shape (groups, percentile, pixel), float32
        NaN where nothing is clear.
    """
    times, pixels = values.shape
    out = np.empty((groups, len(q), pixels), np.float32)
    order = np.argsort(ids, kind="mergesort")
    ends = np.searchsorted(ids[order], np.arange(groups + 1))
    order_of_q = np.argsort(q)
    gathered = np.empty((_TOGETHER, times), np.float32)
    number = np.empty(_TOGETHER, np.int64)
    for g in range(groups):
        steps = order[ends[g] : ends[g + 1]]
        for corner in range(0, pixels, _TOGETHER):
            width = min(_TOGETHER, pixels - corner)
            number[:] = 0
            for t in steps:
                row, seen = values[t], clear[t]
                for j in range(width):
                    value = row[corner + j]
                    gathered[j, number[j]] = value
                    number[j] += seen[corner + j] & (value == value)
            for j in range(width):
                low = 0
                for k in order_of_q:
                    out[g, k, corner + j], low = _percentile(gathered[j], number[j], q[k], low)
    return out


@numba.njit(nogil=True, cache=True)
def _percentile(sample, n, q, low):
    """Interpolate between two order statistics; ``sample`` is sorted before ``low``."""
    if n == 0:
        return np.float32(np.nan), low
    place = (n - 1) * q / 100.0
    k = min(int(place), n - 1)
    _select(sample, low, n - 1, k)
    share = place - k
    if share == 0.0:
        return sample[k], k
    above = sample[k + 1]
    for i in range(k + 2, n):
        above = min(above, sample[i])
    below = np.float64(sample[k])
    return np.float32(below + (np.float64(above) - below) * share), k


@numba.njit(nogil=True, cache=True)
def _select(sample, low, high, k):
    """Put the k-th smallest value in its place, smaller ones before it (Hoare's quickselect)."""
    while low < high:
        pivot = sample[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while sample[i] < pivot:
                i += 1
            while sample[j] > pivot:
                j -= 1
            if i <= j:
                sample[i], sample[j] = sample[j], sample[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return
