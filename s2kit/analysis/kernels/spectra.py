"""One spectrum from all of a pixel: median, geometric median, medoid; compiled.

All take ``spectra`` (band, time, pixel), float32, ``clear`` (time, pixel), bool, and the ``steps``
that count, and return (band + 2, pixel), float32: the bands, the number of observations, and the
step that was chosen, NaN where none was.
"""

import numba
import numpy as np

from s2kit.analysis.kernels.percentiles import percentiles

TOGETHER = 1024
"""Pixels that are worked on at a time."""

_ROUNDS = 1000
"""Rounds of the iteration of `geomedian` at most."""

_SMALL = 1e-7
"""Reflectance: the iteration of `geomedian` ends when the centre moves less. Near observations it
moves slowly, so this is far below the resolution of a cube, 1e-4."""

_HALF = np.array([50.0])


def median(spectra: np.ndarray, clear: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Compute the median of each band by itself."""
    bands, _, pixels = spectra.shape
    out = np.full((bands + 2, pixels), np.nan, np.float32)
    ids = np.zeros(len(steps), np.int64)
    seen = np.ascontiguousarray(clear[steps])
    any_band = np.zeros_like(seen)
    for i in range(bands):
        values = np.ascontiguousarray(spectra[i, steps])
        out[i] = percentiles(values, seen, ids, 1, _HALF)[0, 0]
        any_band |= ~np.isnan(values)
    out[bands] = (seen & any_band).sum(0)
    return out


@numba.njit(nogil=True, cache=True)
def geomedian(spectra, clear, steps):
    """Find the spectrum with the least sum of distances, by Weiszfeld's iteration.

    Where it meets an observation, that one gets no weight (Vardi and Zhang 2000, PNAS 97, 1423).
    """
    # Spectra of a pixel are copied side by side, since many rounds go over them, and to float64: in
    # float32 steps as small as `_SMALL` would be lost in rounding.
    bands, _, pixels = spectra.shape
    out = np.full((bands + 2, pixels), np.nan, np.float32)
    sample = np.empty((len(steps), bands))
    for p in range(pixels):
        n, _ = _gather(spectra, clear, steps, p, sample)
        out[bands, p] = n
        if n:
            centre = _weiszfeld(sample[:n])
            for i in range(bands):
                out[i, p] = centre[i]
    return out


@numba.njit(nogil=True, cache=True)
def _gather(spectra, clear, steps, p, sample):
    """Copy the complete clear spectra of a pixel; return their number and their steps.

    ``sample`` has the shape (step, band), float64; its first rows are filled.
    """
    bands = spectra.shape[0]
    taken = np.empty(len(steps), np.int64)
    n = 0
    for t in steps:
        whole = clear[t, p]
        for i in range(bands):
            sample[n, i] = spectra[i, t, p]
            whole &= sample[n, i] == sample[n, i]  # not NaN
        taken[n] = t
        n += whole  # an incomplete spectrum is overwritten by the next
    return n, taken


@numba.njit(nogil=True, cache=True)
def _weiszfeld(sample):
    """Compute the geometric median of spectra (step, band), float64; shape (band,).

    The median of each band, where it starts, is near it and hardly moved by a missed cloud.
    """
    n, bands = sample.shape
    centre = np.zeros(bands)
    for i in range(bands):
        centre[i] = np.median(sample[:, i])
    step = np.empty(bands)
    pull = np.empty(bands)
    for _ in range(_ROUNDS):
        weights, here = 0.0, 0
        step[:] = 0
        pull[:] = 0
        for t in range(n):
            away = 0.0
            for i in range(bands):
                away += (sample[t, i] - centre[i]) ** 2
            away = np.sqrt(away)
            if away == 0:  # the centre lies on this observation: its weight would be infinite
                here += 1
                continue
            weights += 1 / away
            for i in range(bands):
                step[i] += sample[t, i] / away
                pull[i] += (sample[t, i] - centre[i]) / away
        if weights == 0:
            break
        # the centre stays on an observation if the others pull it by less than that one holds it
        strength = np.sqrt((pull**2).sum())
        keep = min(1.0, here / strength) if strength > 0 else 1.0
        moved = 0.0
        for i in range(bands):
            new = (1 - keep) * step[i] / weights + keep * centre[i]
            moved += (new - centre[i]) ** 2
            centre[i] = new
        if np.sqrt(moved) < _SMALL:
            break
    return centre


@numba.njit(nogil=True, cache=True)
def medoid(spectra, clear, steps):
    """Choose the observed spectrum with the least sum of distances to all others."""
    bands, _, pixels = spectra.shape
    out = np.full((bands + 2, pixels), np.nan, np.float32)
    sample = np.empty((len(steps), bands))
    total = np.empty(len(steps))
    for p in range(pixels):
        n, taken = _gather(spectra, clear, steps, p, sample)
        out[bands, p] = n
        if n:
            # steps are in order of time and argmin takes the first: of equals, the earliest
            best = _least_sum(sample[:n], total[:n])
            out[bands + 1, p] = taken[best]
            for i in range(bands):
                out[i, p] = spectra[i, taken[best], p]
    return out


@numba.njit(nogil=True, cache=True)
def _least_sum(sample, total):
    """Return which spectrum of (step, band), float64, has the least sum of distances to all others.

    ``total``, shape (step,), float64, is overwritten with these sums.
    """
    n, bands = sample.shape
    total[:] = 0
    for a in range(n):
        for b in range(a):  # each pair once: the distance is the same both ways
            away = 0.0
            for i in range(bands):
                away += (sample[a, i] - sample[b, i]) ** 2
            away = np.sqrt(away)
            total[a] += away
            total[b] += away
    return np.argmin(total)
