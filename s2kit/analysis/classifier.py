"""A trained classifier with its scores, and the map of land cover that it makes of a cube."""

from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from s2kit.analysis.blocks import map_blocks
from s2kit.analysis.features import apply_recipe
from s2kit.errors import InvalidInputError

_TOP = 8
"""Features that a summary lists."""

_TOGETHER, _VALUES = 2**12, 2**20
"""Pixels that pass the network at a time, and their values in its widest layer, at most: a few
MB."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a network on fields that it was not trained on.

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
        Decrease of the balanced accuracy when a feature is shuffled between pixels, ``mean`` and
        ``std`` of several times, largest first.
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
    """A trained network, with the recipe of its features and its scores.

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
        Options of `s2kit.make_features`; None if the features are from elsewhere.
    source : dict or None
        The cube that they were computed from.
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
        """Values of the classes on a map, uint8: their labels if all are 1-255, or else 1, 2… n."""
        own = all(isinstance(name, int) and 1 <= name <= 255 for name in self.classes)
        return np.array(self.classes if own else range(1, len(self.classes) + 1), "uint8")

    def __post_init__(self):
        steps = [type(step) for step in self.pipeline.named_steps.values()]
        if steps != [StandardScaler, MLPClassifier]:
            raise InvalidInputError(
                f"the pipeline is {self.pipeline}; a classifier is a StandardScaler and an "
                "MLPClassifier"
            )

    def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify pixels as the pipeline does, some at a time, in the thread that calls.

        Parameters
        ----------
        pixels : numpy.ndarray, shape (feature, pixel), float32
            NaN where a feature is missing.

        Returns
        -------
        code : numpy.ndarray, shape (pixel,), uint8
            See `codes`; 0 where a feature is missing.
        probability : numpy.ndarray, shape (pixel,), float32
            Of this class by the network, 0-1; NaN where a feature is missing.
        """
        number = pixels.shape[1]
        code, probability = np.zeros(number, "uint8"), np.full(number, np.nan, "float32")
        known = np.flatnonzero(np.isfinite(pixels).all(axis=0))
        widest = max(len(pixels), *(len(biases) for biases in self.pipeline[-1].intercepts_))
        together = min(_TOGETHER, max(1, _VALUES // widest))
        with one_thread:
            for first in range(0, len(known), together):
                some = known[first : first + together]
                chances = self.pipeline.predict_proba(pixels[:, some].T.astype("float32"))
                code[some] = self.codes[chances.argmax(axis=1)]
                probability[some] = chances.max(axis=1)
        return code, probability

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
    """Return a table as text with all its rows and columns, whatever pandas is set to show."""
    return table.to_string(float_format="{:.3f}".format)


def flag_meaning(label: str | int) -> str:
    """Return a label as one word, as CF's ``flag_meanings`` requires."""
    return "_".join(str(label).split())


class _OneThread:
    """Context with BLAS on one thread: Dask runs blocks side by side, and more would compete.

    The number of threads is that of the whole process. So the first block or training that runs
    sets it, and the last one sets it back.
    """

    def __init__(self) -> None:
        self._lock, self._running = Lock(), 0
        self._limit: Any = None

    @cached_property
    def _blas(self) -> ThreadpoolController:
        """The BLAS libraries of this process: looking for them takes milliseconds."""
        return ThreadpoolController().select(user_api="blas")

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._limit = self._blas.limit(limits=1)
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self._limit.restore_original_limits()


one_thread = _OneThread()
"""Also for training, since sums in another order are another network."""


def classify(
    cube: xr.Dataset, model: Classifier, *, clear: xr.DataArray | None = None
) -> xr.Dataset:
    """Map the land cover with a trained classifier.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, of any size; its features are computed as those of the
        training were.
    model : Classifier
        As `s2kit.train_classifier` or `s2kit.load_model` returns it.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations count; by default `s2kit.clear_mask` of the cube.

    Returns
    -------
    xarray.Dataset, dims (y, x)
        Lazy: ``landcover``, uint8, the class with its name in ``flag_meanings``, 0 where a feature
        is missing; ``probability``, float32, 0-1, of this class by the network, NaN where a feature
        is missing.

    Raises
    ------
    InvalidInputError
        If the model's features were not made by `s2kit.make_features`, or this cube does not have
        them; if they were made with a mask, and none is given.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=slice(100), y=slice(100))
    >>> features = s2kit.make_features(cube, "statistics")
    >>> samples = s2kit.sample_pixels(features, "data/practice/truth/fields.gpkg", "crop")
    >>> model = s2kit.train_classifier(samples, samples.label, groups=samples.field)
    >>> s2kit.classify(cube, model).landcover.shape
    (100, 100)
    """
    features = _same_features(cube, model, clear)
    chunks = ((2,), *features.data.chunks[1:])
    both = map_blocks(partial(_classify_block, model=model), features.data, chunks=chunks)
    legend = {  # as CF names classes
        "long_name": "land cover",
        "flag_values": np.append(np.uint8(0), model.codes),
        "flag_meanings": " ".join(["no_data", *map(flag_meaning, model.classes)]),
    }
    attrs = {"long_name": "probability of the class", "units": "1"}
    layers = {
        "landcover": (("y", "x"), both[0].astype("uint8"), legend),
        "probability": (("y", "x"), both[1], attrs),
    }
    land = xr.Dataset(layers, features.drop_vars("feature").coords)
    kept = ("Conventions", "source", "license", "synthetic")
    land.attrs = {"title": "Land cover by a neural network"}
    land.attrs |= {name: cube.attrs[name] for name in kept if name in cube.attrs}
    for layer in land.data_vars.values():
        layer.encoding = dict(features.encoding)
    return land


def require_classifier(model: Any) -> None:
    """Raise `InvalidInputError` unless a model is a `Classifier`."""
    if not isinstance(model, Classifier):
        raise InvalidInputError(
            f"model is a {type(model).__name__}; give what s2kit.train_classifier returns"
        )


def _same_features(cube: xr.Dataset, model: Classifier, clear: xr.DataArray | None) -> xr.DataArray:
    """Compute the features of the training from this cube."""
    require_classifier(model)
    if model.recipe is None:
        raise InvalidInputError(
            "the model does not know how its features were made; train it with the table that "
            "s2kit.sample_pixels returns, or keep its attrs: table.attrs = samples.attrs"
        )
    if model.recipe["own_mask"] and clear is None:
        raise InvalidInputError(
            "the model was trained with features of a mask of its own; give the same kind of mask "
            "for this cube: s2kit.classify(cube, model, clear=mask)"
        )
    features = apply_recipe(cube, model.recipe, clear)
    others = [name for name in model.features if name not in features.feature]
    if others:
        raise InvalidInputError(
            f"the model was trained with {', '.join(others)}, which s2kit.make_features did not "
            "make; train it without, or apply model.pipeline to your own table"
        )
    return features.sel(feature=list(model.features)).chunk(feature=-1)


def _classify_block(block: np.ndarray, model: Classifier) -> np.ndarray:
    """Compute code and probability, shape (2, y, x), of features (feature, y, x)."""
    found = model.predict(block.reshape(len(block), -1))
    return np.stack(found, dtype="float32").reshape(2, *block.shape[1:])
