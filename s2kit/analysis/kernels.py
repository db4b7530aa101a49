"""The inner loops of the analyses: over all times of many pixels, compiled.

All take ``values`` and ``clear`` with the shape (time, pixel), C-contiguous, so that the loop over
pixels runs along memory. Where numpy would do, it was slower: the median of 96 × 256²
values took 16 ms here, 141 ms by numpy (tests/benchmarks/analysis.py).
"""

import numba
import numpy as np

COUNT, MEAN, M2, LOW, HIGH = range(5)
"""Planes of `finish_moments`: number, mean, sum of squared deviations, minimum, maximum."""

_TILE = 1024
"""Pixels whose sums are kept in the processor's nearest cache while time passes."""

_STEPS = 4
"""Steps that are added up at a time (`_add`)."""

_TOGETHER = 64
"""Pixels whose series are sorted at a time: those of 192 steps fit the nearest cache."""


def start_moments(groups, pixels):
    """Give empty sums for `add_moments`: first value, number, two sums, lowest, highest."""
    shape = (groups, pixels)
    first, low, high = (np.full(shape, start, np.float32) for start in (np.nan, np.inf, -np.inf))
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
    masked = np.empty((_STEPS, _TILE), np.float32)
    for corner in range(0, pixels, _TILE):
        tile = slice(corner, min(corner + _TILE, pixels))
        held = 0
        for t in range(len(ids)):
            _mask(values[t, tile], classes[t, tile], wanted, masked[held])
            held = _settle(masked, held + 1, ids, t, tile, first, n, s, ss, low, high)


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
    masked = np.empty((_STEPS, _TILE), np.float32)
    for corner in range(0, pixels, _TILE):
        tile = slice(corner, min(corner + _TILE, pixels))
        held = 0
        for t in range(len(ids)):
            _mask_difference(a[t, tile], b[t, tile], scaling, classes[t, tile], wanted,
                             masked[held])  # fmt: skip
            held = _settle(masked, held + 1, ids, t, tile, first, n, s, ss, low, high)


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
            out[g, LOW, i] = low[g, i] if number else np.nan
            out[g, HIGH, i] = high[g, i] if number else np.nan
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
def _settle(masked, held, ids, t, tile, first, n, s, ss, low, high):
    """Add the steps that are held once there are enough, or another group or none follows.

    Gives how many are held then.
    """
    if held < _STEPS and t + 1 < len(ids) and ids[t] == ids[t + 1]:
        return held
    g = ids[t]
    masked[held:] = np.nan
    _add(masked, first[g, tile], n[g, tile], s[g, tile], ss[g, tile], low[g, tile], high[g, tile])
    return 0


@numba.njit(nogil=True, cache=True)
def _add(masked, first, n, s, ss, low, high):
    """Add four steps at a time, so that the sums are fetched and put back once."""
    for i in range(len(n)):
        a, b, c, d = masked[0, i], masked[1, i], masked[2, i], masked[3, i]
        origin = first[i] if first[i] == first[i] else a
        origin = origin if origin == origin else b
        origin = origin if origin == origin else c
        origin = origin if origin == origin else d
        first[i] = origin
        n[i] += np.float32(a == a) + np.float32(b == b) + np.float32(c == c) + np.float32(d == d)
        zero = np.float64(origin)
        far_a = np.float64(a) - zero if a == a else 0.0
        far_b = np.float64(b) - zero if b == b else 0.0
        far_c = np.float64(c) - zero if c == c else 0.0
        far_d = np.float64(d) - zero if d == d else 0.0
        s[i] += far_a + far_b + far_c + far_d
        ss[i] += far_a * far_a + far_b * far_b + far_c * far_c + far_d * far_d
        least, most = low[i], high[i]
        for value in (a, b, c, d):
            least = value if value < least else least
            most = value if value > most else most
        low[i], high[i] = least, most


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
    rows = np.empty((times, _TOGETHER), np.float32)
    number = np.empty(_TOGETHER, np.int32)
    for g in range(groups):
        for corner in range(0, pixels, _TOGETHER):
            place = slice(corner, min(corner + _TOGETHER, pixels))
            used = 0
            number[:] = 0
            for t in order[ends[g] : ends[g + 1]]:
                used += _gather(values[t, place], clear[t, place], rows[used], number) > 0
            _sort(rows, used)
            for j in range(place.stop - corner):
                for k in range(len(q)):
                    out[g, k, corner + j] = _percentile(rows[:, j], number[j], q[k])
    return out


@numba.njit(nogil=True, cache=True)
def _gather(values, clear, row, number):
    """Put what is not clear last in the order, and count what is."""
    found = 0
    for j in range(len(values)):
        use = clear[j] & (values[j] == values[j])
        row[j] = values[j] if use else np.float32(np.inf)
        number[j] += use
        found += use
    return found


@numba.njit(nogil=True, cache=True)
def _sort(rows, n):
    """Sort the first n rows along time, all pixels side by side (Batcher's merge exchange).

    Knuth, The Art of Computer Programming, vol. 3, 5.2.2, algorithm M: which values are compared
    does not depend on them, so that the processor compares those of many pixels at once.
    """
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, min(j + k, n - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        _exchange(rows[i], rows[i + k])
            k //= 2
        p *= 2


@numba.njit(nogil=True, cache=True)
def _exchange(low, high):
    for j in range(_TOGETHER):
        a, b = low[j], high[j]
        low[j] = a if a < b else b
        high[j] = b if a < b else a


@numba.njit(nogil=True, cache=True)
def _percentile(series, n, q):
    """Interpolate between two of n sorted values."""
    if n == 0:
        return np.float32(np.nan)
    place = (n - 1) * q / 100.0
    k = min(int(place), n - 1)
    share = place - k
    if share == 0.0:
        return series[k]
    below, above = np.float64(series[k]), np.float64(series[k + 1])
    return np.float32(below + (above - below) * share)
