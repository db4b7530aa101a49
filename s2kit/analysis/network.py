"""A small network over many pixels, as fast as the processor can: compiled, in one thread."""

import numba
import numpy as np

_TILE = 64
"""Pixels that pass the network together: their values stay in the processor's nearest cache."""


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def forward(pixels, mean, scale, sizes, weights, biases):
    """Pass pixels through the layers; give the best class of each and its probability.

    Parameters
    ----------
    pixels : numpy.ndarray, shape (feature, pixel), float32
    mean, scale : numpy.ndarray, shape (feature,), float32
    sizes : numpy.ndarray, shape (layer,), int64
        Features, neurons of each hidden layer, classes.
    weights, biases : numpy.ndarray, float32
        Of all layers, one after the other; weights by neuron, then by input.

    Returns
    -------
    best : numpy.ndarray, shape (pixel,), int64
    probability : numpy.ndarray, shape (pixel,), float32
    """
    number = pixels.shape[1]
    best, probability = np.zeros(number, np.int64), np.empty(number, np.float32)
    here = np.zeros((sizes.max(), _TILE), np.float32)
    there = np.zeros_like(here)
    for corner in range(0, number, _TILE):
        width = min(_TILE, number - corner)
        for i in range(sizes[0]):
            for p in range(width):
                here[i, p] = (pixels[i, corner + p] - mean[i]) / scale[i]
        w, b = 0, 0
        for layer in range(1, len(sizes)):
            inputs, neurons = sizes[layer - 1], sizes[layer]
            own = weights[w : w + neurons * inputs].reshape(neurons, inputs)
            least = np.float32(0 if layer < len(sizes) - 1 else -np.inf)
            _pass_layer(here, own, biases[b : b + neurons], least, there)
            here, there = there, here
            w, b = w + neurons * inputs, b + neurons
        _choose(here[: sizes[-1]], best[corner : corner + width], probability[corner:])
    return best, probability


@numba.njit(nogil=True, cache=True)
def _choose(values, best, probability):
    """Give the largest of the values of each pixel, and its part of the sum of all (softmax)."""
    for p in range(len(best)):
        k, total = 0, np.float32(0)
        for j in range(1, len(values)):
            k = j if values[j, p] > values[k, p] else k
        for j in range(len(values)):
            total += np.exp(values[j, p] - values[k, p])
        best[p], probability[p] = k, 1 / total


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _pass_layer(values, weights, biases, least, out):
    for j in range(len(biases)):
        total = out[j]
        total[:] = biases[j]
        for i in range(weights.shape[1]):
            weight, own = weights[j, i], values[i]
            for p in range(_TILE):  # of a known width, so that the compiler vectorises
                total[p] += weight * own[p]
        for p in range(_TILE):
            total[p] = max(total[p], least)
