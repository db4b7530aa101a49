"""Files of classifiers: a zip without pickle, with a card to read."""

import io
import itertools
import json
import os
import platform
import zipfile
import zlib
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.pipeline import Pipeline

from s2kit.analysis.classifier import Classifier, Scores, as_text, require_classifier
from s2kit.analysis.features import check_recipe
from s2kit.atomic import replacing
from s2kit.bounds import parse_json, read_file
from s2kit.credentials import shown_cause
from s2kit.errors import InvalidInputError
from s2kit.zips import read_member, unpacked

_PIPELINE, _MODEL, _CARD = "pipeline.skops", "model.json", "README.md"
_TRUSTED = ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]
"""Types in a network beyond those that skops trusts by itself."""

_LARGEST, _LARGEST_DOCUMENT = 2**25, 2**23
"""Bytes of the pipeline, unpacked, and of a document: a network of three layers of 30 has 100 kB.
As JSON, a byte takes up to 25 in memory."""

_LARGEST_FILE = 2 * (_LARGEST + _LARGEST_DOCUMENT)

_LIBRARIES = ("s2kit", "scikit-learn", "skops", "numpy")
_OF_FILES = (OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
_OF_VALUES = (LookupError, ValueError, TypeError, AttributeError, ImportError, ArithmeticError)
_DAMAGE = (*_OF_FILES, *_OF_VALUES, RuntimeError)  # also of what is nested too deep
"""What zipfile, json and skops raise where a file is not what it should be."""


def save_model(model: Classifier, path: str | os.PathLike) -> None:
    """Write a classifier to a file, with a card to read.

    Parameters
    ----------
    model : Classifier
        As `s2kit.train_classifier` returns it.
    path : str or path
        A zip, such as ``"crops.zip"``; an existing file is replaced, in one go. It holds
        ``README.md`` to read, ``model.json`` and ``pipeline.skops``, and no pickle, since reading
        a pickle runs code of its author.

    Raises
    ------
    InvalidInputError
        If the model is not a classifier, is larger than `load_model` takes, or the file cannot be
        written.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=slice(100), y=slice(100))
    >>> features = s2kit.make_features(cube, "statistics")
    >>> samples = s2kit.sample_pixels(features, "data/practice/truth/fields.gpkg", "crop")
    >>> model = s2kit.train_classifier(samples, samples.label, groups=samples.field)
    >>> s2kit.save_model(model, "data/crops.zip")
    """
    require_classifier(model)
    target = Path(path)
    pipeline = skops.io.dumps(model.pipeline)
    if len(pipeline) > _LARGEST:
        raise InvalidInputError(
            f"the model has {len(pipeline) / 1e6:.0f} MB; at most {_LARGEST / 1e6:.0f} MB are "
            "saved: train one with fewer features"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_CARD, _card(model))
        archive.writestr(_MODEL, json.dumps(_document(model), indent=1))
        archive.writestr(_PIPELINE, pipeline)
    try:
        with replacing(target) as draft:
            draft.write_bytes(buffer.getvalue())
    except OSError as error:
        raise InvalidInputError(
            f"the model cannot be saved to {target}: {error}; give a path in a folder that exists "
            "and that you may write to"
        ) from shown_cause(error)


def load_model(path: str | os.PathLike) -> Classifier:
    """Read a classifier that `save_model` wrote.

    Parameters
    ----------
    path : str or path
        The file, a zip.

    Returns
    -------
    Classifier
        With its scores, and the recipe of its features.

    Raises
    ------
    InvalidInputError
        If there is no such file, it is not a saved classifier, it is damaged, or it holds types
        that a classifier does not need; nothing of these is run.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=slice(100), y=slice(100))
    >>> features = s2kit.make_features(cube, "statistics")
    >>> samples = s2kit.sample_pixels(features, "data/practice/truth/fields.gpkg", "crop")
    >>> model = s2kit.train_classifier(samples, samples.label, groups=samples.field)
    >>> s2kit.save_model(model, "data/crops.zip")
    >>> s2kit.load_model("data/crops.zip").classes == model.classes
    True
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(path, _LARGEST_FILE))) as archive:
            document = parse_json(read_member(archive, _MODEL, _LARGEST_DOCUMENT))
            data = unpacked(
                read_member(archive, _PIPELINE, _LARGEST), _LARGEST, documents=_LARGEST_DOCUMENT
            )
        strange = set(skops.io.get_untrusted_types(data=data)) - set(_TRUSTED)
        pipeline = None if strange else skops.io.loads(data, trusted=_TRUSTED)
        if not strange:
            return _read_document(document, pipeline)
    except _DAMAGE as error:
        raise InvalidInputError(
            f"{path} is not a classifier, or it is damaged ({type(error).__name__}: {error}); give "
            "a file that s2kit.save_model wrote"
        ) from shown_cause(error)
    raise InvalidInputError(
        f"{path} is refused: it holds {', '.join(sorted(strange))}, which no classifier of s2kit "
        "needs and which could do harm; ask whoever made it for a file of s2kit.save_model"
    )


def _document(model: Classifier) -> dict[str, Any]:
    """Return all of a classifier but the pipeline, for JSON."""
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
    if not all(isinstance(name, str) for name in names):
        raise ValueError("the names of the features are not all text")
    if tuple(pipeline.classes_.tolist()) != classes or len(set(classes)) != len(classes):
        raise ValueError(f"the pipeline's classes are not {classes}")
    if not all(type(name) in (int, str) for name in classes):
        raise ValueError("the classes are not whole numbers or text")
    recipe, source, seed = document["recipe"], document["source"], document["seed"]
    if recipe is not None:
        check_recipe(recipe)
    if not (source is None or isinstance(source, dict)) or type(seed) is not int:
        raise ValueError("the source is not described, or the seed is no whole number")
    tables = {
        name: pd.DataFrame.from_dict(table, orient="tight")
        for name, table in document["scores"].items()
    }
    model = Classifier(pipeline, classes, names, recipe, source, Scores(**tables), seed)
    _check_network(model)
    str(model)  # its tables have the rows and columns that it shows
    return model


def _check_network(model: Classifier) -> None:
    """Raise ValueError unless the arrays of a network are finite numbers and fit each other."""
    scaler, network = model.pipeline
    outputs = 1 if len(model.classes) == 2 else len(model.classes)
    sizes = [len(model.features), *network.hidden_layer_sizes, outputs]
    if not all(isinstance(n, int) and n > 0 for n in sizes) or len(model.classes) < 2:
        raise ValueError(f"a network has layers of {sizes}")
    kind = "logistic" if outputs == 1 else "softmax"
    stated = (network.n_layers_, network.n_outputs_, network.activation, network.out_activation_)
    if stated != (len(sizes), outputs, "relu", kind):
        raise ValueError(f"a network of layers of {sizes} states {stated}")
    if scaler.with_mean is not True or scaler.with_std is not True:
        raise ValueError("the features are not scaled by mean and standard deviation")
    arrays = [scaler.mean_, scaler.scale_, *network.coefs_, *network.intercepts_]
    widths = [(size,) for size in sizes]
    shapes = [widths[0], widths[0], *itertools.pairwise(sizes), *widths[1:]]
    if len(arrays) != len(shapes):
        raise ValueError(f"a network of {len(sizes)} layers has {len(arrays)} arrays")
    for array, shape in zip(arrays, shapes, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype not in ("float32", "float64"):
            raise ValueError(f"{array!r:.80} is no array of numbers")
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"an array of the shape {array.shape} is not {shape} finite numbers")
    if (scaler.scale_ <= 0).any():
        raise ValueError("a scale is not above 0")


def _card(model: Classifier) -> str:
    """Return the card of a classifier, Markdown."""
    document, source = _document(model), model.source or {}
    recipe = {k: v for k, v in (model.recipe or {}).items() if k != "days"}
    made_up = {True: "yes: practice data, not observed by any satellite", False: "no", None: ""}
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
        f"Each feature less its mean, divided by its scale.\n\n```\n{as_text(scaling)}\n```\n"
    )
