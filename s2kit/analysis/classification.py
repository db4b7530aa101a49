"""Land cover by a simple neural network: samples of fields, training on some of them, the map."""

import json
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
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
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm
from tqdm.dask import TqdmCallback

from s2kit.analysis.features import apply_recipe
from s2kit.analysis.fields import Fields, read_fields, read_grid
from s2kit.analysis.models import Classifier, Scores
from s2kit.errors import InvalidInputError

_PLACE = ["label", "field", "x", "y"]
"""What a table of samples says besides the features."""

_Area = tuple[Any, Any, np.ndarray, np.ndarray]
"""Index of a field, its label, and rows and columns of its pixels."""

_NO_LABEL = 0
_MOST_CLASSES = 255
_DRAWS = 500
"""How often a split is drawn anew if a class is on one side only."""

_HELD_OUT = 0.1
"""Share of the training pixels by which the network notices that it learns nothing more."""

_PATIENCE = 2
"""Seconds before a progress bar shows."""


def sample_pixels(
    features: xr.DataArray,
    fields: Fields | xr.DataArray,
    column: str | None = None,
    *,
    per_field: int = 50,
    block: float = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw pixels with a known label.

    Parameters
    ----------
    features : xarray.DataArray, dims (feature, y, x)
        As `s2kit.make_features` gives it.
    fields : str, path, geopandas.GeoDataFrame or xarray.DataArray
        Polygons in any coordinate system, or a file of them; or labels as a map on the grid of
        the features, dims (y, x), whole numbers with 0 for no label.
    column : str
        Column of the fields that holds the label; fields without a label are left out.
    per_field : int, default 50
        Most pixels of one field, drawn at random; of a map of labels, of one class in one square.
    block : float, default 500
        Side in metres of the squares that stand for fields in a map of labels.
    seed : int, default 0
        The same seed draws the same pixels.

    Returns
    -------
    pandas.DataFrame
        A row per pixel: the features, ``label``, ``field`` (index of the field, or number of the
        square), and its centre ``x``, ``y``. Each pixel occurs once, and its centre lies within
        its field. Pixels where a feature is missing are left out with a warning.

    Raises
    ------
    InvalidInputError
        If the fields cannot be read, do not meet the cube, or have no such column; if a map of
        labels lies on another grid; if no pixel is left.
    """
    _require_features(features)
    grid = read_grid(features)
    _require_whole("per_field", per_field, 1)
    _require_whole("seed", seed, 0)
    if isinstance(fields, xr.DataArray):
        areas = _squares(_read_labels_map(fields, grid), _square_size(block, grid))
    else:
        areas = _inside_fields(_read_labelled(fields, column, features), column, features)
    spots = _draw(areas, per_field, seed)
    at = {name: xr.DataArray(spots[name].to_numpy(), dims="pixel") for name in ("y", "x")}
    with TqdmCallback(desc="features of the pixels", tqdm_class=tqdm, delay=_PATIENCE, leave=False):
        found = features.isel(at).transpose("pixel", "feature").compute()
    table = pd.DataFrame(found.values, columns=features.feature.values.astype(str))
    table = table.assign(label=spots.label, field=spots.field, x=found.x.values, y=found.y.values)
    table.attrs = {name: features.attrs[name] for name in ("recipe", "source")
                   if name in features.attrs}  # fmt: skip
    return _complete(table)


def train_classifier(
    features: pd.DataFrame,
    labels: Sequence[str | int],
    *,
    groups: Sequence[Any],
    seed: int = 0,
    test_share: float = 0.3,
    hidden: tuple[int, ...] = (64, 32),
) -> Classifier:
    """Train a neural network on some fields, and test it on the others.

    ``train_classifier(samples, samples.label, groups=samples.field)``

    Parameters
    ----------
    features : pandas.DataFrame, shape (pixel, feature)
        As `s2kit.sample_pixels` gives it; ``label``, ``field``, ``x`` and ``y`` are no features.
    labels : sequence of str or int, shape (pixel,)
        Class of each pixel.
    groups : sequence, shape (pixel,)
        Field of each pixel. Neighbours in a field resemble each other: a network that is tested
        on pixels of fields it has learnt from looks better than it is. So all pixels of a field
        are on one side.
    seed : int, default 0
        The same seed makes the same split and the same network.
    test_share : float, default 0.3
        Share of each class's fields that are kept for the test, between 0 and 1.
    hidden : tuple of int, default (64, 32)
        Neurons in each hidden layer.

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
    Features are scaled to mean 0 and standard deviation 1; the network learns until the score on a
    tenth of the training pixels no longer rises. It is not trained again with the test's fields:
    the scores are those of the network that is returned.
    """
    _require_options(seed, test_share, hidden)
    pixels, names, labels, fields = _read_samples(features, labels, groups)
    test = split_fields(labels, fields, share=test_share, seed=seed)
    _require_enough(labels[~test])
    models = {
        "network": make_pipeline(StandardScaler(), _network(hidden, sum(~test), seed)),
        "random forest": RandomForestClassifier(random_state=seed, n_jobs=-1),
        "majority class": DummyClassifier(),
    }
    with threadpool_limits(1, "blas"):  # sums in another order are another network
        for model in tqdm(models.values(), "training", delay=_PATIENCE, leave=False):
            model.fit(pixels[~test], labels[~test])
        scores = _judge(models, pixels[test], labels[test], names, seed)
    trained = models["network"]
    recipe, source = (json.loads(features.attrs.get(n, "null")) for n in ("recipe", "source"))
    return Classifier(
        trained, tuple(trained.classes_.tolist()), names, recipe, source,
        Scores(**scores, split=_sizes(test, fields)), int(seed),
    )  # fmt: skip


def classify(
    cube: xr.Dataset, model: Classifier, *, clear: xr.DataArray | None = None
) -> xr.Dataset:
    """Map the land cover.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` gives it, of any size; its features are made as those of the training.
    model : Classifier
        As `s2kit.train_classifier` or `s2kit.load_model` gives it.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations count; by default `s2kit.clear_mask` of the cube.

    Returns
    -------
    xarray.Dataset, dims (y, x)
        Lazy: ``landcover``, uint8, the class with its name in ``flag_meanings``, 0 where a feature
        is missing; ``probability``, float32, 0-1, that the network gives to this class, NaN where
        a feature is missing.

    Raises
    ------
    InvalidInputError
        If the model's features were not made by `s2kit.make_features`, or this cube does not have
        them; if they were made with a mask, and none is given.
    """
    features = _same_features(cube, model, clear)
    both = da.map_blocks(
        partial(_classify_block, model=model), features.data, dtype="float32",
        chunks=((2,), *features.chunks[1:]), meta=np.empty((0, 0, 0), "f4"),
    )  # fmt: skip
    layers = {
        "landcover": (("y", "x"), both[0].astype("uint8"), _legend(model)),
        "probability": (
            ("y", "x"),
            both[1],
            {"long_name": "probability of the class", "units": "1"},
        ),
    }
    land = xr.Dataset(layers, features.drop_vars("feature").coords)
    kept = ("Conventions", "source", "license", "synthetic")
    land.attrs = {"title": "Land cover by a neural network"}
    land.attrs |= {name: cube.attrs[name] for name in kept if name in cube.attrs}
    for layer in land.data_vars.values():
        layer.encoding = dict(features.encoding)
    return land


def _network(hidden: tuple[int, ...], pixels: int, seed: int) -> MLPClassifier:
    """Give a network that learns in small batches from few pixels.

    With scikit-learn's 200 pixels a batch, some hundred of them are a handful of steps in each
    round, and it stops before it has learnt.
    """
    return MLPClassifier(
        tuple(map(int, hidden)), batch_size=int(np.clip(pixels // 50, 32, 200)), random_state=seed,
        early_stopping=True, validation_fraction=_HELD_OUT, n_iter_no_change=20,
    )  # fmt: skip


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
    """Draw fields of the rarest class first: they leave the least choice."""
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
    """Score the models on the test's pixels."""
    answers = {name: model.predict(pixels) for name, model in models.items()}
    classes = models["network"].classes_
    comparison = {
        name: {
            "accuracy": accuracy_score(true, answer),
            "balanced accuracy": balanced_accuracy_score(true, answer),
        }
        for name, answer in answers.items()
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
        "comparison": pd.DataFrame(comparison).T,
        "confusion": pd.DataFrame(confusion, classes, classes),
        "classes": pd.DataFrame(dict(zip(columns, each, strict=True)), classes),
        "importance": pd.DataFrame(importance, list(names)).sort_values("mean", ascending=False),
    }


def _sizes(test: np.ndarray, fields: np.ndarray) -> pd.DataFrame:
    sides = {"train": fields[~test], "test": fields[test]}
    rows = {name: (len(side), pd.unique(side).size) for name, side in sides.items()}
    return pd.DataFrame.from_dict(rows, "index", columns=["pixels", "fields"])


def _read_samples(
    features: pd.DataFrame, labels: Sequence, groups: Sequence
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray]:
    if not isinstance(features, pd.DataFrame):
        raise InvalidInputError(
            f"features is a {type(features).__name__}; give the pandas.DataFrame of "
            "s2kit.sample_pixels"
        )
    table = features.drop(columns=_PLACE, errors="ignore")
    lengths = {"features": len(table), "labels": len(labels), "groups": len(groups)}
    if len(set(lengths.values())) > 1 or not len(table):
        raise InvalidInputError(
            f"there are {', '.join(f'{n} {name}' for name, n in lengths.items())}; give one label "
            "and one group for each row of features: samples.label and samples.field"
        )
    try:
        pixels = table.to_numpy("float32")
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"features must be numbers: {error}") from error
    _require_complete(table, pixels)
    fields = pd.Series(np.asarray(groups))
    if fields.isna().any():
        raise InvalidInputError(f"{fields.isna().sum()} rows have no group; leave them out")
    return pixels, tuple(map(str, table.columns)), _read_labels(labels), fields.to_numpy()


def _require_complete(table: pd.DataFrame, pixels: np.ndarray) -> None:
    bad = ~np.isfinite(pixels)
    if bad.any():
        worst = table.columns[bad.sum(axis=0).argmax()]
        raise InvalidInputError(
            f"{bad.any(axis=1).sum()} of {len(table)} rows lack a feature, most often {worst!r} "
            f"({bad.sum(axis=0).max()} rows); leave them out with samples.dropna()"
        )


def _read_labels(labels: Sequence[str | int]) -> np.ndarray:
    """Give labels as whole numbers if they are, or else as text."""
    values = pd.Series(np.asarray(labels))
    if values.isna().any():
        raise InvalidInputError(f"{values.isna().sum()} rows have no label; leave them out")
    numbers = pd.api.types.is_numeric_dtype(values) and (values == values.round()).all()
    found = values.astype("int64" if numbers else str).to_numpy("int64" if numbers else "U")
    number = len(np.unique(found))
    if not 2 <= number <= _MOST_CLASSES:
        raise InvalidInputError(
            f"the labels have {number} class(es); a classifier needs 2 to {_MOST_CLASSES}"
        )
    return found


def _require_enough(labels: np.ndarray) -> None:
    """Refuse what the network cannot hold a part of out, to see when to stop."""
    classes, number = np.unique(labels, return_counts=True)
    if number.min() < 2 or np.ceil(_HELD_OUT * len(labels)) < len(classes):
        raise InvalidInputError(
            f"{len(labels)} pixels of {len(classes)} classes are left for training, "
            f"{number.min()} of class {classes[number.argmin()]}; the network needs at least "
            f"{int(len(classes) / _HELD_OUT)}, and 2 of each. Draw more pixels per field, or add "
            "fields"
        )


def _require_options(seed: int, test_share: float, hidden: tuple[int, ...]) -> None:
    _require_whole("seed", seed, 0)
    if not isinstance(test_share, Real) or not 0 < test_share < 1:
        raise InvalidInputError(f"test_share={test_share!r} is no share; give 0.3, for example")
    if not isinstance(hidden, tuple | list) or not hidden:
        raise InvalidInputError(f"hidden={hidden!r} lists no layers; give (64, 32), for example")
    for neurons in hidden:
        _require_whole("hidden", neurons, 1)


def _require_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InvalidInputError(f"{name}={value!r}: give a whole number, {least} or more")


def _require_features(features: Any) -> None:
    if isinstance(features, xr.DataArray) and set(features.dims) == {"feature", "y", "x"}:
        return
    dims = getattr(features, "dims", type(features).__name__)
    raise InvalidInputError(
        f"features is {dims}; give what s2kit.make_features returns: dims (feature, y, x)"
    )


def _read_labelled(fields: Fields, column: str | None, features: xr.DataArray) -> gpd.GeoDataFrame:
    table = read_fields(fields, features)
    named = [name for name in table.columns if name != table.active_geometry_name]
    if column not in named:
        raise InvalidInputError(
            f"column={column!r} is not in the fields; name the one that holds the label: "
            f"{', '.join(map(str, named)) or 'there is none'}"
        )
    return table[table[column].notna()]


def _inside_fields(table: gpd.GeoDataFrame, column: str, features: xr.DataArray) -> Iterator[_Area]:
    """Give the pixels whose centre lies within each field."""
    x, y = features.x.values, features.y.values
    for field, label, outline in zip(table.index, table[column], table.geometry, strict=True):
        found = [_inside(part, x, y) for part in shapely.get_parts(outline)]
        yield field, label, *(np.concatenate(axis) for axis in zip(*found, strict=True))


def _inside(outline: shapely.Geometry, x: np.ndarray, y: np.ndarray) -> tuple:
    west, south, east, north = outline.bounds
    cols = np.arange(*np.searchsorted(x, [west, east], "right"))
    rows = np.arange(*np.searchsorted(-y, [-north, -south], "right"))
    shapely.prepare(outline)
    row, col = np.nonzero(shapely.contains_xy(outline, x[cols], y[rows, np.newaxis]))
    return rows[row], cols[col]


def _read_labels_map(labels: xr.DataArray, grid: GeoBox) -> np.ndarray:
    if set(labels.dims) != {"y", "x"} or labels.dtype.kind not in "iu":
        raise InvalidInputError(
            f"the map of labels is {labels.dtype} with the dimensions {labels.dims}; give whole "
            "numbers with the dimensions y and x"
        )
    own = read_grid(labels)
    if own.shape != grid.shape or own.crs != grid.crs or not own.affine.almost_equals(grid.affine):
        raise InvalidInputError(
            f"the map of labels lies on another grid: {own.shape} pixels in {own.crs}, the "
            f"features {grid.shape} in {grid.crs}; bring it there with "
            "labels.rio.reproject_match(features)"
        )
    values = labels.transpose("y", "x").values
    return np.where(values == labels.rio.nodata, _NO_LABEL, values)


def _square_size(block: float, grid: GeoBox) -> int:
    """Give the side of a square in pixels."""
    if grid.crs.geographic:
        raise InvalidInputError("squares are in metres, but the cube is in degrees; give fields")
    pixel = abs(grid.affine.a)
    if isinstance(block, bool) or not isinstance(block, Real) or not pixel <= block < np.inf:
        raise InvalidInputError(f"block={block!r}: give metres, at least one pixel, {pixel:g} m")
    return round(block / pixel)


def _squares(labels: np.ndarray, size: int) -> Iterator[_Area]:
    """Give the pixels of each class in each square."""
    corners = np.ndindex(*(-(-n // size) for n in labels.shape))
    for number, (row, col) in enumerate(corners):
        top, left = row * size, col * size
        square = labels[top : top + size, left : left + size]
        for label in np.unique(square[square != _NO_LABEL]):
            rows, cols = np.nonzero(square == label)
            yield number, int(label), rows + top, cols + left


def _draw(areas: Iterator[_Area], most: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    drawn = []
    for field, label, rows, cols in areas:
        some = np.sort(rng.permutation(len(rows))[:most])
        drawn += [(label, field, row, col) for row, col in zip(rows[some], cols[some], strict=True)]
    if not drawn:
        raise InvalidInputError(
            "no field with a label holds the centre of a pixel; give larger polygons, or a cube "
            "with smaller pixels"
        )
    spots = pd.DataFrame(drawn, columns=["label", "field", "y", "x"])
    # where fields overlap, a pixel is drawn once only, or it could be on both sides of a split
    return spots.drop_duplicates(["y", "x"], ignore_index=True)


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out pixels that lack a feature, and say so."""
    gaps = table.drop(columns=_PLACE).isna()
    lacking = gaps.any(axis=1)
    if not lacking.any():
        return table
    advice = (
        f"{lacking.sum()} of {len(table)} pixels were never seen clear for a feature, most often "
        f"for {gaps.sum().idxmax()!r}; a longer period or kind='statistics' leaves fewer out"
    )
    if lacking.all():
        raise InvalidInputError(f"no pixel is left: {advice}")
    warnings.warn(advice, stacklevel=3)
    return table[~lacking].reset_index(drop=True)


def _same_features(cube: xr.Dataset, model: Classifier, clear: xr.DataArray | None) -> xr.DataArray:
    """Make the features of the training, from this cube."""
    if not isinstance(model, Classifier):
        raise InvalidInputError(
            f"model is a {type(model).__name__}; give what s2kit.train_classifier returns"
        )
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


def _legend(model: Classifier) -> dict[str, Any]:
    meanings = ["no_data", *("_".join(str(name).split()) for name in model.classes)]
    return {
        "long_name": "land cover",
        "flag_values": np.append(np.uint8(0), model.codes),
        "flag_meanings": " ".join(meanings),
    }


def _classify_block(block: np.ndarray, model: Classifier) -> np.ndarray:
    """Give code and probability, shape (2, y, x), of features (feature, y, x)."""
    found = model.predict(block.reshape(len(block), -1))
    return np.stack(found, dtype="float32").reshape(2, *block.shape[1:])
