"""Training of a small neural network on some fields, and its test on the others."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from s2kit.analysis.classifier import Classifier, Scores, flag_meaning, one_thread
from s2kit.analysis.samples import PATIENCE, PLACE
from s2kit.analysis.validation import require_whole
from s2kit.cube.nodata import NO_CLASS_NAMES
from s2kit.errors import InvalidInputError

_MOST_CLASSES = 255

_LAYERS = (64, 32)
"""Neurons in the hidden layers."""

_TEST = 0.3
"""Share of the fields of each class that are kept for the test."""

_DRAWS = 500
"""How often a split is drawn anew if a class is on one side only."""

_HELD_OUT = 0.1
"""Share of the training pixels whose score decides when the training stops."""


def train_classifier(
    features: pd.DataFrame,
    labels: Sequence[str | int],
    *,
    groups: Sequence[Any],
    seed: int = 0,
) -> Classifier:
    """Train a neural network on some fields, and test it on the others.

    Parameters
    ----------
    features : pandas.DataFrame, shape (pixel, feature)
        As `s2kit.sample_pixels` returns it, dimensionless; ``label``, ``field``, ``x`` and ``y``
        are no features.
    labels : sequence of str or int, shape (pixel,)
        Class of each pixel.
    groups : sequence, shape (pixel,)
        Field of each pixel. Neighbouring pixels of a field are alike, so a test on fields of the
        training would overestimate the accuracy. Therefore all pixels of a field are on one side;
        30 % of the fields of each class are kept for the test.
    seed : int, default 0
        The same seed makes the same split and the same network.

    Returns
    -------
    Classifier
        The network, and its ``scores`` on the test.

    Raises
    ------
    InvalidInputError
        If there is one class only, a class has fewer than two fields, features are missing, or
        lengths differ.

    Notes
    -----
    Features are scaled to mean 0 and standard deviation 1; the network has hidden layers of 64 and
    32 neurons and learns until the score on a tenth of the training pixels no longer rises. It is
    not trained again with the test's fields: the scores are those of the network that is returned.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=slice(100), y=slice(100))
    >>> features = s2kit.make_features(cube, "statistics")
    >>> samples = s2kit.sample_pixels(features, "data/practice/truth/fields.gpkg", "crop")
    >>> model = s2kit.train_classifier(samples, samples.label, groups=samples.field)
    >>> model.scores.comparison.index.tolist()
    ['network', 'random forest', 'majority class']
    """
    require_whole("seed", seed, 0)
    pixels, names, true, fields = _read_samples(features, labels, groups)
    test = split_fields(true, fields, share=_TEST, seed=seed)
    _require_enough(true[~test])
    network = MLPClassifier(
        _LAYERS,
        # with scikit-learn's 200, few pixels are a handful of steps in each round, and the network
        # stops before it has learnt
        batch_size=int(np.clip(sum(~test) // 50, 32, 200)),
        random_state=seed,
        early_stopping=True,
        validation_fraction=_HELD_OUT,
        n_iter_no_change=20,
    )
    models = {
        "network": make_pipeline(StandardScaler(), network),
        "random forest": RandomForestClassifier(random_state=seed, n_jobs=-1),
        "majority class": DummyClassifier(),
    }
    with one_thread:
        for model in tqdm(models.values(), "training", delay=PATIENCE, leave=False):
            model.fit(pixels[~test], true[~test])
        scores = _judge(models, pixels[test], true[test], names, seed)
    trained = models["network"]
    recipe, source = (json.loads(features.attrs.get(n, "null")) for n in ("recipe", "source"))
    classes = tuple(trained.classes_.tolist())
    sides = {"train": fields[~test], "test": fields[test]}
    sizes = {name: (len(side), pd.unique(side).size) for name, side in sides.items()}
    split = pd.DataFrame.from_dict(sizes, "index", columns=["pixels", "fields"])
    judged = Scores(**scores, split=split)
    return Classifier(trained, classes, names, recipe, source, judged, int(seed))


def split_fields(labels: np.ndarray, fields: np.ndarray, *, share: float, seed: int) -> np.ndarray:
    """Choose the fields of the test, so that every class is on both sides.

    Parameters
    ----------
    labels, fields : numpy.ndarray, shape (pixel,)
    share : float
        Of the fields of each class, as nearly as whole fields allow.
    seed : int

    Returns
    -------
    numpy.ndarray, shape (pixel,), bool
        True for the test.

    Raises
    ------
    InvalidInputError
        If no split has every class on both sides.
    """
    classes, label = np.unique(labels, return_inverse=True)
    field, names = pd.factorize(fields)
    holds = np.zeros((len(names), len(classes)), bool)
    holds[field, label] = True
    number = holds.sum(axis=0)
    if (number < 2).any():
        few = ", ".join(map(str, classes[number < 2]))
        raise InvalidInputError(
            f"these classes are in one field only: {few}; training and test need one each. Add "
            "fields of them, leave them out, or join them with another class"
        )
    rng = np.random.default_rng(seed)
    for draw in range(_DRAWS):
        # where the share can be kept in no way, tossing a coin may still find a split
        coin = draw >= _DRAWS // 2
        test = rng.random(len(holds)) < 0.5 if coin else _draw_split(holds, share, rng)
        if holds[test].any(axis=0).all() and holds[~test].any(axis=0).all():
            return test[field]
    raise InvalidInputError(
        f"no split of the {len(names)} fields has all {len(classes)} classes on both sides; add "
        "fields, take smaller squares, or leave rare classes out"
    )


def _draw_split(holds: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw fields of the rarest class first, which has the fewest fields to choose from."""
    test, placed = np.zeros((2, len(holds)), bool)
    for one in np.argsort(holds.sum(axis=0), kind="stable"):
        own = rng.permutation(np.flatnonzero(holds[:, one]))
        wanted = np.clip(round(share * len(own)), 1, len(own) - 1)
        free = own[~placed[own]]
        test[free[: max(wanted - test[own].sum(), 0)]] = True
        placed[free] = True
    return test


def _judge(
    models: dict[str, Any], pixels: np.ndarray, true: np.ndarray, names: tuple[str, ...], seed: int
) -> dict[str, pd.DataFrame]:
    """Compute the scores of the models on the test's pixels."""
    answers = {name: model.predict(pixels) for name, model in models.items()}
    classes = models["network"].classes_
    judges = {"accuracy": accuracy_score, "balanced accuracy": balanced_accuracy_score}
    comparison = {
        score: {name: judge(true, answer) for name, answer in answers.items()}
        for score, judge in judges.items()
    }
    confusion = confusion_matrix(true, answers["network"], labels=classes)
    each = precision_recall_fscore_support(
        true, answers["network"], labels=classes, zero_division=0
    )
    shuffled = permutation_importance(
        models["network"], pixels, true, scoring="balanced_accuracy", random_state=seed
    )
    importance = {"mean": shuffled.importances_mean, "std": shuffled.importances_std}
    columns = ("precision", "recall", "F1", "pixels")
    return {
        "comparison": pd.DataFrame(comparison),
        "confusion": pd.DataFrame(confusion, classes, classes),
        "classes": pd.DataFrame(dict(zip(columns, each, strict=True)), classes),
        "importance": pd.DataFrame(importance, list(names)).sort_values("mean", ascending=False),
    }


def _read_samples(
    features: pd.DataFrame, labels: Sequence, groups: Sequence
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray]:
    if not isinstance(features, pd.DataFrame):
        raise InvalidInputError(
            f"features is a {type(features).__name__}; give the pandas.DataFrame of "
            "s2kit.sample_pixels"
        )
    table = features.drop(columns=PLACE, errors="ignore")
    classes, fields = np.asarray(labels), np.asarray(groups)
    if classes.ndim != 1 or fields.ndim != 1 or not table.shape[1]:
        raise InvalidInputError(
            f"there are features of shape {table.shape}, labels of {classes.shape} and groups of "
            f"{fields.shape}; give at least one feature, and one label and one group for each row: "
            "samples.label and samples.field"
        )
    lengths = {"features": len(table), "labels": len(classes), "groups": len(fields)}
    if len(set(lengths.values())) > 1 or not len(table):
        raise InvalidInputError(
            f"there are {', '.join(f'{n} {name}' for name, n in lengths.items())}; give one label "
            "and one group for each row of features: samples.label and samples.field"
        )
    try:
        pixels = table.to_numpy("float32")
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"features must be numbers: {error}") from error
    lacking = (~np.isfinite(pixels)).sum(axis=0)
    if lacking.any():
        rows = (~np.isfinite(pixels)).any(axis=1).sum()
        raise InvalidInputError(
            f"{rows} of {len(table)} rows lack a feature, most often "
            f"{table.columns[np.argmax(lacking)]!r} ({np.max(lacking)} rows); leave them out with "
            "samples.dropna()"
        )
    if unknown := pd.isna(fields).sum():
        raise InvalidInputError(f"{unknown} rows have no group; leave them out")
    return pixels, tuple(map(str, table.columns)), _read_labels(classes), fields


def _read_labels(labels: np.ndarray) -> np.ndarray:
    """Return labels as whole numbers if they are, or else as text."""
    values = pd.Series(labels).replace([np.inf, -np.inf], np.nan)
    if values.isna().any():
        raise InvalidInputError(f"{values.isna().sum()} rows have no label; leave them out")
    numbers = pd.api.types.is_numeric_dtype(values) and (values == values.round()).all()
    found = values.astype("int64" if numbers else str).to_numpy("int64" if numbers else "U")
    number = len(np.unique(found))
    if not 2 <= number <= _MOST_CLASSES:
        raise InvalidInputError(
            f"the labels have {number} class(es); a classifier needs 2 to {_MOST_CLASSES}"
        )
    written = pd.Series([flag_meaning(label) for label in np.unique(found)])
    if not written.is_unique or written.isin(NO_CLASS_NAMES).any():
        raise InvalidInputError(
            f"the labels would be {', '.join(written)} on a map, where blanks become _; give each "
            "class a name of its own, and none of these: no_data, nodata"
        )
    return found


def _require_enough(labels: np.ndarray) -> None:
    """Refuse so few pixels that none can be held out to decide when the training stops."""
    classes, number = np.unique(labels, return_counts=True)
    rarest = np.argmin(number)
    if number[rarest] < 2 or np.ceil(_HELD_OUT * len(labels)) < len(classes):
        raise InvalidInputError(
            f"{len(labels)} pixels of {len(classes)} classes are left for training, "
            f"{number[rarest]} of class {classes[rarest]}; the network needs at least "
            f"{int(len(classes) / _HELD_OUT)}, and 2 of each. Draw more pixels per field, or add "
            "fields"
        )
