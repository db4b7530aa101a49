"""A trained classifier as a value, and as one file without pickle that holds its own card."""

import io
import json
import os
import platform
import uuid
import zipfile
import zlib
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
import skops.io
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from s2kit.errors import InvalidInputError

_PIPELINE, _MODEL, _CARD = "pipeline.skops", "model.json", "README.md"
_TRUSTED = ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]
"""What a network holds beyond the types that skops trusts by itself."""

_TILE = 64
"""Pixels that pass the network together: their values stay in the processor's nearest cache."""

_TOP = 8
"""Features that a summary lists."""

_LIBRARIES = ("s2kit", "scikit-learn", "skops", "numpy")
_DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, TypeError,
           AttributeError, ImportError, RuntimeError)  # fmt: skip
"""What zipfile, json and skops raise where a file is not what it should be."""


@dataclass(frozen=True, eq=False)
class Scores:
    """How well a network does on fields that it has not seen.

    Attributes
    ----------
    comparison : pandas.DataFrame
        ``accuracy`` and ``balanced accuracy`` (the mean of the classes' recalls), 0-1, of the
        network, of a random forest, and of always answering the class that is most frequent.
    confusion : pandas.DataFrame
        Pixels by true class (rows) and answer (columns).
    classes : pandas.DataFrame
        ``precision``, ``recall``, ``F1`` (0-1) and ``pixels`` of each class.
    importance : pandas.DataFrame
        How much the balanced accuracy falls when a feature is shuffled between pixels, ``mean``
        and ``std`` of several times, largest first.
    split : pandas.DataFrame
        ``pixels`` and ``fields`` of training and test.
    """

    comparison: pd.DataFrame
    confusion: pd.DataFrame
    classes: pd.DataFrame
    importance: pd.DataFrame
    split: pd.DataFrame

    @property
    def accuracy(self) -> float:
        """Share of the test pixels that the network gets right."""
        return float(self.comparison.loc["network", "accuracy"])

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the classes' recalls, for the network."""
        return float(self.comparison.loc["network", "balanced accuracy"])

    def __str__(self) -> str:
        return (
            f"{_text(self.comparison)}\n\n"
            f"Each class:\n{_text(self.classes)}\n\n"
            f"Pixels by true class (rows) and answer (columns):\n{_text(self.confusion)}\n\n"
            f"The most important features:\n{_text(self.importance.head(_TOP))}"
        )


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network with all that is needed to use it and to judge it.

    Attributes
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Scaling and network, fitted on the training fields; takes features, float32, in the order
        of ``features``.
    classes : tuple of str or int
        Labels, in the order of the pipeline's probabilities.
    features : tuple of str
        Names of the features.
    recipe : dict or None
        How `s2kit.make_features` made them; None if the features are from elsewhere.
    source : dict or None
        The cube that they were made from.
    scores : Scores
    seed : int
    """

    pipeline: Pipeline
    classes: tuple[str | int, ...]
    features: tuple[str, ...]
    recipe: dict[str, Any] | None
    source: dict[str, Any] | None
    scores: Scores
    seed: int

    @property
    def codes(self) -> np.ndarray:
        """Value of each class on a map, uint8: its label if all are 1-255, or else 1, 2, 3… n."""
        own = all(isinstance(name, int) and 1 <= name <= 255 for name in self.classes)
        return np.array(self.classes if own else range(1, len(self.classes) + 1), "uint8")

    def __post_init__(self):
        steps = [type(step) for step in self.pipeline.named_steps.values()]
        if steps != [StandardScaler, MLPClassifier] or self.pipeline[-1].activation != "relu":
            raise InvalidInputError(
                f"the pipeline is {self.pipeline}; a classifier is a StandardScaler and an "
                "MLPClassifier with the activation 'relu'"
            )

    def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify pixels as the pipeline does, but without its copies of them, and in one thread.

        Dask runs blocks side by side; the threads of BLAS, which the pipeline calls, would get in
        their way (tests/benchmarks/classify.py).

        Parameters
        ----------
        pixels : numpy.ndarray, shape (feature, pixel), float32
            NaN where a feature is missing.

        Returns
        -------
        code : numpy.ndarray, shape (pixel,), uint8
            See `codes`; 0 where a feature is missing.
        probability : numpy.ndarray, shape (pixel,), float32
            What the network gives to this class, 0-1; NaN where a feature is missing.
        """
        scaler, network = self.pipeline
        weights, biases = network.coefs_, network.intercepts_
        if len(self.classes) == 2:  # one neuron says how much the second class outweighs the first
            weights = [*weights[:-1], np.pad(weights[-1], ((0, 0), (1, 0)))]
            biases = [*biases[:-1], np.pad(biases[-1], (1, 0))]
        best, probability = _forward(
            np.ascontiguousarray(pixels, "float32"),
            scaler.mean_.astype("float32"),
            scaler.scale_.astype("float32"),
            np.array([len(self.features), *(len(bias) for bias in biases)]),
            np.concatenate([layer.T.ravel() for layer in weights]).astype("float32"),
            np.concatenate(biases).astype("float32"),
        )
        known = np.isfinite(pixels).all(axis=0)
        probability[~known] = np.nan
        return np.where(known, self.codes[best], np.uint8(0)), probability

    def __str__(self) -> str:
        layers = " → ".join(str(n) for n in self.pipeline[-1].hidden_layer_sizes)
        train, test = (self.scores.split.loc[side] for side in ("train", "test"))
        return (
            f"Neural network: {len(self.features)} features → {layers} → {len(self.classes)} "
            f"classes (seed {self.seed})\n"
            f"Trained on {train['pixels']} pixels of {train['fields']} fields, tested on "
            f"{test['pixels']} pixels of {test['fields']} other fields\n\n{self.scores}"
        )


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _forward(pixels, mean, scale, sizes, weights, biases):
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


def save_model(model: Classifier, path: str | os.PathLike) -> None:
    """Save a classifier with its card.

    Parameters
    ----------
    model : Classifier
        As `s2kit.train_classifier` gives it.
    path : str or path
        A zip, such as ``"crops.zip"``; an existing file is replaced, in one go. It holds
        ``README.md`` to read, ``model.json`` and ``pipeline.skops``, and no pickle: to open a
        pickle is to run what its author wrote.

    Raises
    ------
    InvalidInputError
        If the model is not a classifier, or the file cannot be written.
    """
    if not isinstance(model, Classifier):
        raise InvalidInputError(
            f"model is a {type(model).__name__}; give what s2kit.train_classifier returns"
        )
    target = Path(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_CARD, _card(model))
        archive.writestr(_MODEL, json.dumps(_document(model), indent=1))
        archive.writestr(_PIPELINE, skops.io.dumps(model.pipeline))
    try:
        _replace(target, buffer.getvalue())
    except OSError as error:
        raise InvalidInputError(
            f"the model cannot be saved to {target}: {error}; give a path in a folder that exists "
            "and that you may write to"
        ) from error


def load_model(path: str | os.PathLike) -> Classifier:
    """Load a classifier that `save_model` saved.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Classifier

    Raises
    ------
    InvalidInputError
        If there is no such file, it is not a saved classifier, it is damaged, or it holds types
        that a classifier does not need; nothing of these is run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document, data = json.loads(archive.read(_MODEL)), archive.read(_PIPELINE)
        strange = set(skops.io.get_untrusted_types(data=data)) - set(_TRUSTED)
        pipeline = None if strange else skops.io.loads(data, trusted=_TRUSTED)
        if not strange:
            return _read_document(document, pipeline)
    except _DAMAGE as error:
        raise InvalidInputError(
            f"{path} is not a classifier, or it is damaged ({type(error).__name__}: {error}); give "
            "a file that s2kit.save_model wrote"
        ) from error
    raise InvalidInputError(
        f"{path} is refused: it holds {', '.join(sorted(strange))}, which no classifier of s2kit "
        "needs and which could do harm; ask whoever made it for a file of s2kit.save_model"
    )


def _replace(target: Path, data: bytes) -> None:
    """Put a file in its place, whole."""
    draft = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    try:
        draft.write_bytes(data)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _document(model: Classifier) -> dict[str, Any]:
    scaler = model.pipeline[0]
    scores = {field.name: getattr(model.scores, field.name) for field in fields(Scores)}
    return {
        "classes": list(model.classes),
        "codes": model.codes.tolist(),
        "features": list(model.features),
        "scaling": {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()},
        "recipe": model.recipe,
        "source": model.source,
        "seed": model.seed,
        "scores": {name: table.to_dict("tight") for name, table in scores.items()},
        "versions": {"python": platform.python_version()} | {n: version(n) for n in _LIBRARIES},
    }


def _read_document(document: dict[str, Any], pipeline: Any) -> Classifier:
    classes, names = tuple(document["classes"]), tuple(document["features"])
    if not isinstance(pipeline, Pipeline) or pipeline.n_features_in_ != len(names):
        raise ValueError(f"a {type(pipeline).__name__} does not take {len(names)} features")
    if tuple(pipeline.classes_.tolist()) != classes:
        raise ValueError(f"the pipeline's classes are not {classes}")
    tables = {
        name: pd.DataFrame.from_dict(table, orient="tight")
        for name, table in document["scores"].items()
    }
    return Classifier(pipeline, classes, names, document["recipe"], document["source"],
                      Scores(**tables), document["seed"])  # fmt: skip


def _card(model: Classifier) -> str:
    document, source = _document(model), model.source or {}
    recipe = {k: v for k, v in (model.recipe or {}).items() if k != "days"}
    made_up = {True: "yes: practice data, not observed by any satellite", False: "no"}
    facts = {
        "cube": source.get("title"),
        "synthetic": made_up.get(source.get("synthetic")),
        "extent (west, south, east, north; centres of pixels)": source.get("centres"),
        "coordinate system": source.get("crs"),
        "observations": " to ".join(source[name] for name in ("first", "last") if name in source),
        "features": ", ".join(f"{name}: {value}" for name, value in recipe.items()),
        "codes on a map": dict(zip(model.classes, document["codes"], strict=True)),
        "seed": str(model.seed),
        "versions": ", ".join(f"{name} {number}" for name, number in document["versions"].items()),
    }
    listed = "\n".join(f"- {name}: {value or 'not known'}" for name, value in facts.items())
    scaling = pd.DataFrame(document["scaling"], index=list(model.features))
    return (
        f"# Land cover classifier\n\n{listed}\n\n```\n{model}\n```\n\n## Scaling\n\n"
        f"Each feature less its mean, divided by its scale.\n\n```\n{_text(scaling)}\n```\n"
    )


def _text(table: pd.DataFrame) -> str:
    """Write a table with all its rows and columns, whatever pandas is set to show."""
    return table.to_string(float_format="{:.3f}".format)
