"""Map the land cover: a trained network over a cube of any size."""

from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from s2kit.analysis.features import apply_recipe
from s2kit.analysis.models import Classifier, flag_meaning
from s2kit.errors import InvalidInputError


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
    meanings = ["no_data", *map(flag_meaning, model.classes)]
    return {
        "long_name": "land cover",
        "flag_values": np.append(np.uint8(0), model.codes),
        "flag_meanings": " ".join(meanings),
    }


def _classify_block(block: np.ndarray, model: Classifier) -> np.ndarray:
    """Give code and probability, shape (2, y, x), of features (feature, y, x)."""
    found = model.predict(block.reshape(len(block), -1))
    return np.stack(found, dtype="float32").reshape(2, *block.shape[1:])
