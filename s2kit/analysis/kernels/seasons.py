"""The season in each of many curves: start, peak, end; compiled."""

import numba
import numpy as np

LONGEST_GAP = 31
"""Days without a value over which a curve is still known: one month."""

_HALF_YEAR = 183
"""Days from a peak to the lowest points of its season, at most."""

_LEAST_RISE = 0.1
"""Part of a curve's range by which it must rise before a peak and fall after it."""

_FLAT = 1e-3
"""Range below which a curve is flat, as a part of its largest value."""


@numba.njit(nogil=True, cache=True)
def find_seasons(curves, days, first, last, threshold):
    """Find the highest season of each curve that peaks in a period.

    Parameters
    ----------
    curves : numpy.ndarray, shape (pixel, time), float64
        NaN where not known.
    days : numpy.ndarray, shape (time,), int64
        Day of each step, ascending.
    first, last : int
        Days between which the peak lies, both included.
    threshold : float
        Part of the rise after which the season starts, and of the fall until which it lasts.

    Returns
    -------
    numpy.ndarray, shape (5, pixel), float64
        Start, peak and end as days, amplitude and base in the unit of the curves; NaN where there
        is no season.
    """
    # Curve by curve, each contiguous in memory: the search runs to and fro in one of them.
    pixels, steps = curves.shape
    out = np.full((5, pixels), np.nan)
    # of one curve: its known values, their days, and whether a gap lies before each of them
    v, d, gaps = np.empty(steps), np.empty(steps), np.empty(steps + 1, np.bool_)
    for p in range(pixels):
        n, last_step = 0, -1
        for t in range(steps):
            if np.isfinite(curves[p, t]):
                v[n], d[n] = curves[p, t], days[t]
                # a gap only where steps are missing: a curve may have a value every two months
                gaps[n] = n > 0 and t - last_step > 1 and d[n] - d[n - 1] > LONGEST_GAP
                n, last_step = n + 1, t
        # a peak needs a neighbour on each side; a flat curve has peaks of rounding only
        if n < 3 or v[:n].max() - v[:n].min() <= _FLAT * np.abs(v[:n]).max():
            continue
        least = _LEAST_RISE * (v[:n].max() - v[:n].min())
        best = -1
        for i in range(1, n - 1):
            if not (first <= d[i] <= last and v[i - 1] <= v[i] >= v[i + 1]):
                continue
            # high enough on both sides, or a ripple on the rise of a crop would be a season
            low, high = _lowest(v, d, i, -1, -1), _lowest(v, d, i, 1, n)
            if v[i] - max(v[low], v[high]) > least and (best < 0 or v[i] > v[best]):
                best, before, after = i, low, high
        # beside a gap, the true peak may lie in it
        if best >= 0 and not gaps[best] and not gaps[best + 1]:
            out[0, p] = _cross(v, d, gaps, best, before, -1, threshold)
            out[1, p] = d[best]
            out[2, p] = _cross(v, d, gaps, best, after, 1, threshold)
            out[4, p] = (v[before] + v[after]) / 2
            out[3, p] = v[best] - out[4, p]
    return out


@numba.njit(nogil=True, cache=True)
def _lowest(v, d, peak, way, stop):
    """Find the lowest value on one side of a peak, up to a higher value or half a year away.

    ``v`` and ``d`` are float64, shape (time,); ``way`` is −1 or 1, and ``stop`` the index after the
    last one in that direction. Returns an index; beyond a higher value lies another season.
    """
    lowest = peak
    i = peak + way
    while i != stop and abs(d[i] - d[peak]) <= _HALF_YEAR and v[i] <= v[peak]:
        if v[i] < v[lowest]:
            lowest = i
        i += way
    return lowest


@numba.njit(nogil=True, cache=True)
def _cross(v, d, gaps, peak, lowest, way, threshold):
    """Return the day next to a peak on which the curve crosses a part of its height on that side.

    Arrays are as in `_lowest`; ``gaps``, bool, states whether a gap lies before each value. Returns
    a day with its fraction, float64; NaN if it lies in a gap.
    """
    level = v[lowest] + threshold * (v[peak] - v[lowest])
    i = peak
    while v[i] > level:  # ends at ``lowest`` at the latest, which is not above the level
        i += way
    # The crossing lies between i and the value before it on the way from the peak.
    if gaps[i if way > 0 else i + 1]:
        return np.nan
    share = (level - v[i]) / (v[i - way] - v[i])
    return d[i] + share * (d[i - way] - d[i])
