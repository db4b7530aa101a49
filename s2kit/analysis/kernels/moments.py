"""Moments of many pixels along time, or of many fields: number, mean, variance, extremes; compiled.

Values and classes have the shape (time, pixel), C-contiguous, so that the loop over pixels runs
along memory. Moments have five planes first: see `COUNT` … `MAX`.
"""

from collections.abc import Iterable

import numba
import numpy as np

COUNT, MEAN, SQUARES, MIN, MAX = range(5)
"""Planes: number (or sum of weights), mean, sum of squared deviations, minimum, maximum."""

_TILE = 1024
"""Pixels whose sums are kept in the processor's nearest cache while time passes."""

_STEPS = 4
"""Steps that are added up at a time (`_add`)."""


def class_bits(wanted: Iterable[int]) -> np.uint32:
    """Return a set of classes 0 … 31 as bits: bit k is set if class k is wanted."""
    return np.uint32(sum(1 << int(k) for k in set(wanted)))


@numba.njit(nogil=True, cache=True)
def _is_wanted(value, bits):
    """Return whether a class, uint8 or bool, is in a set of bits."""
    k = np.uint32(value)
    # no shift by 32 or more, which is undefined; no branch, so that the loop vectorises
    return (k < 32) & (((bits >> (k & np.uint32(31))) & np.uint32(1)) != 0)


def find_classes(classes: np.ndarray, bits: np.uint32) -> np.ndarray:
    """Return where an array, uint8 or bool, holds one of the classes in ``bits``, bool."""
    return _find(np.ascontiguousarray(classes).ravel(), bits).reshape(classes.shape)


@numba.njit(nogil=True, cache=True)
def _find(classes, bits):
    """Return where classes, shape (n,), are in a set of bits, shape (n,), bool."""
    out = np.empty(len(classes), np.bool_)
    for i in range(len(classes)):
        out[i] = _is_wanted(classes[i], bits)
    return out


def empty_moments(*shape: int) -> np.ndarray:
    """Return the moments of no values, shape (5, …), float64: what others are merged into."""
    moments = np.zeros((5, *shape))
    moments[MIN], moments[MAX] = np.inf, -np.inf
    return moments


def start_sums(groups: int, pixels: int) -> tuple[np.ndarray, ...]:
    """Return empty sums for `add_steps`: first value, number, two sums, minimum, maximum."""
    # The number is float32 as the values are, so that it vectorises with them; it is exact up to
    # 2**24 steps. Sums of a long series need float64.
    shape = (groups, pixels)
    first, low, high = (np.full(shape, start, np.float32) for start in (np.nan, np.inf, -np.inf))
    return first, np.zeros(shape, np.float32), np.zeros(shape), np.zeros(shape), low, high


@numba.njit(nogil=True, cache=True)
def add_steps(values, classes, wanted, ids, first, n, s, ss, low, high):
    """Add some steps to the sums of their groups: what is finite, and of a class that is wanted.

    Sums are taken of deviations from the first clear value, so that a constant series has exactly
    no variance, and nothing is lost where the mean is far from 0.

    Parameters
    ----------
    values : numpy.ndarray, shape (time, pixel), float32
    classes : numpy.ndarray, shape (time, pixel), uint8
    wanted : numpy.uint32
        As `class_bits` returns it.
    ids : numpy.ndarray, shape (time,), int64
        Group of each step.
    first, n, s, ss, low, high : numpy.ndarray, shape (group, pixel)
        As `start_sums` returns them; changed in place.
    """
    pixels = values.shape[1]
    masked = np.empty((_STEPS, _TILE), np.float32)
    # Tile by tile, and in a tile step by step: the sums, 32 bytes a pixel and group, stay in the
    # cache while the values, which are read once, pass through it. Step by step over all pixels,
    # the sums would be loaded from memory and stored again for each step.
    for corner in range(0, pixels, _TILE):
        tile = slice(corner, min(corner + _TILE, pixels))
        held = 0
        for t in range(len(ids)):
            _mask(values[t, tile], classes[t, tile], wanted, masked[held])
            held = _settle(masked, held + 1, ids, t, tile, first, n, s, ss, low, high)


@numba.njit(nogil=True, cache=True)
def add_differences(a, b, scaling, classes, wanted, ids, first, n, s, ss, low, high):
    """Add the normalised difference (a - b) / (a + b) of two layers in stored counts.

    As `add_steps` of the decoded values, which so need no memory of their own.

    Parameters
    ----------
    a, b : numpy.ndarray, shape (time, pixel), int
    scaling : tuple
        Nodata and scale of a, then of b; scales are float32.
    classes, wanted, ids, first, n, s, ss, low, high
        As in `add_steps`.
    """
    pixels = a.shape[1]
    masked = np.empty((_STEPS, _TILE), np.float32)
    for corner in range(0, pixels, _TILE):
        tile = slice(corner, min(corner + _TILE, pixels))
        held = 0
        for t in range(len(ids)):
            row = masked[held]
            _mask_difference(a[t, tile], b[t, tile], scaling, classes[t, tile], wanted, row)
            held = _settle(masked, held + 1, ids, t, tile, first, n, s, ss, low, high)


@numba.njit(nogil=True, cache=True)
def _mask(values, classes, wanted, out):
    """Copy one step, shape (pixel,), with NaN for what does not count."""
    # No fastmath in this module: it would assume that there is no NaN, by which values are marked.
    for i in range(len(values)):
        use = _is_wanted(classes[i], wanted)
        use = use & (values[i] - values[i] == 0)  # neither NaN nor infinite
        out[i] = values[i] if use else np.float32(np.nan)


# error_model: 0 / 0 is NaN and not an error, for which each division would be checked
@numba.njit(nogil=True, cache=True, error_model="numpy")
def _mask_difference(a, b, scaling, classes, wanted, out):
    """Compute one step of the normalised difference, shape (pixel,), NaN for what does not count.

    In float32, as layers are decoded and the formula is computed elsewhere.
    """
    nodata_a, scale_a, nodata_b, scale_b = scaling
    for i in range(len(a)):
        use = _is_wanted(classes[i], wanted)
        use = use & (a[i] != nodata_a) & (b[i] != nodata_b)
        one, two = np.float32(a[i]) * scale_a, np.float32(b[i]) * scale_b
        value = (one - two) / (one + two)
        use = use & (value - value == 0)  # neither NaN nor infinite
        out[i] = value if use else np.float32(np.nan)


@numba.njit(nogil=True, cache=True)
def _settle(masked, held, ids, t, tile, first, n, s, ss, low, high):
    """Add the steps that are held once there are enough, or another group or none follows.

    ``masked`` has the shape (4, pixel), float32, of which the first ``held`` rows are filled; t is
    the last of them. Returns how many are held then.
    """
    if held < _STEPS and t + 1 < len(ids) and ids[t] == ids[t + 1]:
        return held
    g = ids[t]
    masked[held:] = np.nan  # rows of an earlier turn, which are not to be added again
    _add(masked, first[g, tile], n[g, tile], s[g, tile], ss[g, tile], low[g, tile], high[g, tile])
    return 0


@numba.njit(nogil=True, cache=True)
def _add(masked, first, n, s, ss, low, high):
    """Add four steps at a time, so that the sums are loaded and stored once for the four.

    ``masked`` has the shape (4, pixel), float32; the sums have the shape (pixel,). Every choice is
    between two values and not between two ways, so that the loop vectorises.
    """
    for i in range(len(n)):
        a, b, c, d = masked[0, i], masked[1, i], masked[2, i], masked[3, i]
        # the first value that is not NaN is what deviations are taken from
        origin = first[i] if first[i] == first[i] else a
        origin = origin if origin == origin else b
        origin = origin if origin == origin else c
        origin = origin if origin == origin else d
        first[i] = origin
        n[i] += np.float32(a == a) + np.float32(b == b) + np.float32(c == c) + np.float32(d == d)
        # in double precision: the squares of small deviations would be lost in float32
        zero = np.float64(origin)
        far_a = np.float64(a) - zero if a == a else 0.0
        far_b = np.float64(b) - zero if b == b else 0.0
        far_c = np.float64(c) - zero if c == c else 0.0
        far_d = np.float64(d) - zero if d == d else 0.0
        s[i] += far_a + far_b + far_c + far_d
        ss[i] += far_a * far_a + far_b * far_b + far_c * far_c + far_d * far_d
        least, most = low[i], high[i]
        for value in (a, b, c, d):  # comparisons with NaN are false
            least = value if value < least else least
            most = value if value > most else most
        low[i], high[i] = least, most


@numba.njit(nogil=True, cache=True)
def moments_of_sums(first, n, s, ss, low, high):
    """Compute moments, shape (5, group, pixel), float64, from the sums of `add_steps`."""
    groups, pixels = n.shape
    out = np.empty((5, groups, pixels))
    for g in range(groups):
        for i in range(pixels):
            number = np.float64(n[g, i])
            out[COUNT, g, i] = number
            out[MEAN, g, i] = first[g, i] + s[g, i] / number if number else 0.0
            # the sum of squares about the mean, from that about the first value; rounding may leave
            # a little less than 0
            out[SQUARES, g, i] = max(ss[g, i] - s[g, i] * s[g, i] / number, 0.0) if number else 0.0
            out[MIN, g, i] = low[g, i]
            out[MAX, g, i] = high[g, i]
    return out


@numba.njit(nogil=True, cache=True)
def add_weighted(values, clear, field, weight, moments):
    """Add pixels to the moments of their fields, one by one (West 1979, doi:10.1145/359146.359153).

    Parameters
    ----------
    values, clear : numpy.ndarray, shape (time, pixel), float64 and bool
    field, weight : numpy.ndarray, shape (pixel,)
    moments : numpy.ndarray, shape (5, field, time), float64
        As `empty_moments` returns them; changed in place.
    """
    # One pixel after the other: the pixels of a field lie anywhere in the row, and a running mean
    # loses nothing where it is far from 0, as the difference of two large sums would.
    for t in range(len(values)):
        for i in range(len(field)):
            value, f, w = values[t, i], field[i], weight[i]
            if not clear[t, i] or not np.isfinite(value) or w <= 0:
                continue
            moments[COUNT, f, t] += w
            away = value - moments[MEAN, f, t]
            moments[MEAN, f, t] += away * w / moments[COUNT, f, t]
            # the deviation before the mean moved times that after it, which cannot be negative
            moments[SQUARES, f, t] += w * away * (value - moments[MEAN, f, t])
            moments[MIN, f, t] = min(moments[MIN, f, t], value)
            moments[MAX, f, t] = max(moments[MAX, f, t], value)


def merge_moments(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Merge the moments, shape (5, …), of different values (Chan, Golub, LeVeque 1983, eq. 2.1)."""
    count = whole[COUNT] + part[COUNT]
    share = part[COUNT] / np.where(count > 0, count, 1)
    away = part[MEAN] - whole[MEAN]
    mean = whole[MEAN] + away * share
    squares = whole[SQUARES] + part[SQUARES] + away**2 * whole[COUNT] * share
    low, high = np.minimum(whole[MIN], part[MIN]), np.maximum(whole[MAX], part[MAX])
    return np.stack([count, mean, squares, low, high])


def with_deviation(moments: np.ndarray) -> np.ndarray:
    """Return moments with the standard deviation of the population in place of the squares.

    Changed in place: all but the count is NaN where there are no values.
    """
    count = moments[COUNT]
    np.copyto(moments[1:], np.nan, where=count == 0)
    with np.errstate(invalid="ignore"):
        moments[SQUARES] = np.sqrt(np.maximum(moments[SQUARES], 0) / count)
    return moments
