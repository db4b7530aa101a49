"""A trained classifier, and how well it does, as values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from s2kit.analysis.network import forward
from s2kit.errors import InvalidInputError

_TOP = 8
"""Features that a summary lists."""


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
            f"{as_text(self.comparison)}\n\n"
            f"Each class:\n{as_text(self.classes)}\n\n"
            f"Pixels by true class (rows) and answer (columns):\n{as_text(self.confusion)}\n\n"
            f"The most important features:\n{as_text(self.importance.head(_TOP))}"
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
        best, probability = forward(
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


def as_text(table: pd.DataFrame) -> str:
    """Write a table with all its rows and columns, whatever pandas is set to show."""
    return table.to_string(float_format="{:.3f}".format)


def flag_meaning(label: str | int) -> str:
    """Write a label as one word, which CF's ``flag_meanings`` asks for."""
    return "_".join(str(label).split())
