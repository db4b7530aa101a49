"""Percentiles along time of many pixels, compiled.

Where numpy would do, it was slower: the median of 96 × 256² values took 16 ms here, 141 ms by
numpy (tests/benchmarks/analysis.py).
"""

import numba
import numpy as np

_TOGETHER = 64
"""Pixels whose series are sorted at a time: those of 192 steps fit the nearest cache."""


@numba.njit(nogil=True, cache=True)
def percentiles(values, clear, ids, groups, q):
    """Compute percentiles of each group of steps, interpolated linearly as numpy does by default.

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
        NaN where nothing is clear and finite.
    """
    times, pixels = values.shape
    out = np.empty((groups, len(q), pixels), np.float32)
    # Pixels are sorted together because a sort of one series has branches that the processor
    # cannot predict. Values are copied to ``rows``, since the input must stay as it is.
    order = np.argsort(ids, kind="mergesort")  # the steps of a group side by side
    ends = np.searchsorted(ids[order], np.arange(groups + 1))
    rows = np.empty((times, _TOGETHER), np.float32)
    number = np.empty(_TOGETHER, np.int32)
    for g in range(groups):
        for corner in range(0, pixels, _TOGETHER):
            place = slice(corner, min(corner + _TOGETHER, pixels))
            used = 0
            number[:] = 0
            for t in order[ends[g] : ends[g + 1]]:
                # a step without any clear pixel is overwritten by the next, and not sorted
                used += _gather(values[t, place], clear[t, place], rows[used], number) > 0
            _sort(rows, used)
            for j in range(place.stop - corner):
                for k in range(len(q)):
                    out[g, k, corner + j] = _percentile(rows[:, j], number[j], q[k])
    return out


@numba.njit(nogil=True, cache=True)
def _gather(values, clear, row, number):
    """Copy one step, with infinity where it is not clear, which sorts last; count what is clear.

    Shapes are (pixel,): values and row are float32, clear is bool; the clear values of each pixel
    are added to ``number``, int32. Returns how many pixels are clear in this step.

    An index divides by zero over dark water: what is not finite does not count.
    """
    found = 0
    for j in range(len(values)):
        # infinity and not NaN, which is neither smaller nor larger than any number
        use = clear[j] & np.isfinite(values[j])
        row[j] = values[j] if use else np.float32(np.inf)
        number[j] += use
        found += use
    return found


@numba.njit(nogil=True, cache=True)
def _sort(rows, n):
    """Sort the first n rows along time, all pixels side by side (Batcher's merge exchange).

    ``rows`` has the shape (time, pixel), float32, and is sorted in place; n may be any number.

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
    """Write the smaller of two values to the first row, without a branch, so that it vectorises."""
    # All columns, also those that the last pixels of an image do not fill and nobody reads: the
    # length is a constant, for which the compiler needs no remainder loop.
    for j in range(_TOGETHER):
        a, b = low[j], high[j]
        low[j] = a if a < b else b
        high[j] = b if a < b else a


@numba.njit(nogil=True, cache=True)
def _percentile(series, n, q):
    """Interpolate between two of n sorted values, float32, at q per cent of the way."""
    if n == 0:
        return np.float32(np.nan)
    place = (n - 1) * q / 100.0
    k = min(int(place), n - 1)
    share = place - k
    if share == 0.0:  # what follows may be infinity: 0 % of it is NaN
        return series[k]
    # in float64, rounded once: in float32 the difference would be rounded, too
    below, above = np.float64(series[k]), np.float64(series[k + 1])
    return np.float32(below + (above - below) * share)
