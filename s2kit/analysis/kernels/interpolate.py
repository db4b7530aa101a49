"""Interpolation between the clear observations of many pixels, compiled."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def interpolate(values, clear, times, days, hold, gap):
    """Interpolate each pixel's values linearly between its clear observations.

    Parameters
    ----------
    values : numpy.ndarray, shape (time, pixel), float
    clear : numpy.ndarray, shape (time, pixel), bool
    times : numpy.ndarray, shape (time,), int64
        Day of each observation, ascending; of those on one day the mean counts.
    days : numpy.ndarray, shape (day,), int64
        Ascending.
    hold : bool
        Whether the first and the last value hold beyond them; if not, there is NaN there, and
        everywhere with fewer than two clear days.
    gap : int
        Days between two clear observations at most; in a longer gap there is NaN.

    Returns
    -------
    numpy.ndarray, shape (day, pixel), as the values
    """
    # Pixel by pixel, since each has clear days of its own. Days in and out ascend, so one pass over
    # both lists finds all intervals. Heights are float64: a mean of a day is updated step by step.
    steps, pixels = values.shape
    out = np.full((len(days), pixels), np.nan, values.dtype)
    when, height = np.empty(steps, np.int64), np.empty(steps)
    for p in range(pixels):
        number = _by_day(values[:, p], clear[:, p], times, when, height)
        a = 0
        for d in range(len(days) if number > 1 or (hold and number) else 0):
            if not hold and not when[0] <= days[d] <= when[number - 1]:
                continue
            while a + 1 < number and when[a + 1] <= days[d]:  # both ascend: on from the last one
                a += 1
            b = min(a + 1, number - 1)
            # the days at both ends of a gap are known
            if when[b] - when[a] > gap and when[a] < days[d] < when[b]:
                continue
            # beyond the first and the last one, their values hold
            share = (days[d] - when[a]) / max(when[b] - when[a], 1)
            out[d, p] = height[a] + (height[b] - height[a]) * min(max(share, 0.0), 1.0)
    return out


@numba.njit(nogil=True, cache=True)
def _by_day(values, clear, times, when, height):
    """Write the days with clear observations, and their means; return how many there are.

    Values, clear and times have the shape (time,), as have the results: ``when``, int64, and
    ``height``, float64, of which the first are filled.
    """
    number, same = 0, 0
    for t in range(len(times)):
        if not (clear[t] and np.isfinite(values[t])):
            continue
        if number and when[number - 1] == times[t]:  # the mean of the day, updated
            same += 1
            height[number - 1] += (values[t] - height[number - 1]) / same
        else:
            when[number], height[number], same = times[t], values[t], 1
            number += 1
    return number


@numba.njit(nogil=True, cache=True)
def limit_curve(curve, values, days):
    """Limit a curve, one value a day, in place, to the range of its observations and their noise.

    Between observations that are far apart, it may overshoot. The noise is the largest distance of
    an observation from the curve.

    Parameters
    ----------
    curve : numpy.ndarray, shape (day,), float64
    values : numpy.ndarray, shape (observation,), float
    days : numpy.ndarray, shape (observation,), int64
        Index of each observation in the curve.
    """
    low, high, noise = np.inf, -np.inf, 0.0
    for i in range(len(days)):
        low, high = min(low, values[i]), max(high, values[i])
        noise = max(noise, abs(curve[days[i]] - values[i]))
    for day in range(len(curve)):
        curve[day] = min(max(curve[day], low - noise), high + noise)
