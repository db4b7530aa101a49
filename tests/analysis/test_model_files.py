"""Saved models that somebody else made: what unpacks to gigabytes is refused, in little memory."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from memory import MEMORY, attempt

from s2kit.analysis import model_files, training
from s2kit.analysis.model_files import load_model, save_model
from s2kit.analysis.training import train_classifier
from s2kit.errors import InvalidInputError

pytestmark = pytest.mark.slow

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def members(tmp_path_factory) -> Members:
    """Return the members of a small saved model."""
    path = tmp_path_factory.mktemp("model") / "crops.zip"
    save_model(model(4), path)
    return unzipped(path.read_bytes())


def model(hidden: int):
    """Train a network on noise."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(0, 1, (60, 3)), columns=list("abc"))
    with patch.object(training, "_LAYERS", (hidden,)):
        return train_classifier(table, np.arange(60) % 2, groups=np.arange(60))


def unzipped(data: bytes) -> Members:
    """Return the members of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def within(members: Members, name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> Members:
    """Replace a member of the pipeline."""
    inner = unzipped(members["pipeline.skops"])
    name = next(n for n in inner if n.endswith(name))
    return members | {"pipeline.skops": zipped(inner | {name: data}, method)}


def claiming(shape: tuple[int, ...]) -> bytes:
    """Return an array file of 80 bytes that claims a shape."""
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


ZEROS = bytes(2**29)
BOMBS: dict[str, Callable[[Members], Members]] = {
    "a model.json of 512 MB": lambda m: m | {"model.json": ZEROS},
    "a model.json of 64 MB of lists": lambda m: m | {"model.json": b"[" + b"[]," * 2**24 + b"[]]"},
    "a pipeline of 512 MB": lambda m: m | {"pipeline.skops": ZEROS},
    "an array of 512 MB": lambda m: within(m, ".npy", ZEROS),
    "an array of 512 MB, in bzip2": lambda m: within(m, ".npy", ZEROS, zipfile.ZIP_BZIP2),
    "a schema of 512 MB": lambda m: within(m, "schema.json", ZEROS),
    "a schema of 30 MB of lists": lambda m: within(m, "schema.json", b"[" + b"[]," * 10**7 + b"]"),
    "an array that claims 8 GB": lambda m: within(m, ".npy", claiming((10**9,))),
    "an array that claims 8 EB": lambda m: within(m, ".npy", claiming((10**9, 10**9))),
    "an array that claims objects": lambda m: within(
        m, ".npy", claiming((3,)).replace(b"'<f8'", b"'|O' ")
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_models_that_unpack_to_gigabytes(members, tmp_path, bomb):
    """Any part of a saved model that is huge, or claims to be, is refused and takes no memory."""
    path = tmp_path / "crops.zip"
    path.write_bytes(zipped(BOMBS[bomb](members)))
    told, peak = attempt("s2kit.load_model(sys.argv[1])", path)
    assert "is not a classifier, or it is damaged" in told
    assert peak < MEMORY


def test_models_as_they_were_saved_are_read(members, tmp_path):
    """The same members, zipped anew, are the model."""
    (tmp_path / "crops.zip").write_bytes(zipped(members))
    assert load_model(tmp_path / "crops.zip").classes == model(4).classes


def test_models_that_could_not_be_read_are_not_saved(tmp_path, monkeypatch):
    """A model larger than is read is refused when it is saved."""
    monkeypatch.setattr(model_files, "_LARGEST", 1000)
    with pytest.raises(InvalidInputError, match="at most 0 MB are saved"):
        save_model(model(4), tmp_path / "crops.zip")
    assert not list(tmp_path.iterdir())


def changed(name: str, value: Callable) -> Callable:
    """Return what changes an attribute of the scaler or the network."""

    def change(pipeline) -> None:
        part = pipeline[0] if name in ("mean_", "scale_") else pipeline[1]
        setattr(part, name, value(getattr(part, name)))

    return change


def stating(name: str, value: object) -> Callable:
    """Return what lets the scaler or the network state something else."""

    def change(pipeline) -> None:
        setattr(pipeline[0] if name.startswith("with_") else pipeline[1], name, value)

    return change


ARRAYS = {
    "another output": stating("out_activation_", "identity"),
    "another activation": stating("activation", "tanh"),
    "fewer layers": stating("n_layers_", 2),
    "more layers": stating("n_layers_", 10**9),
    "fewer outputs": stating("n_outputs_", 5),
    "no mean": stating("with_mean", False),
    "no deviation": stating("with_std", False),
    "mean too short": changed("mean_", lambda a: a[:1]),
    "mean of text": changed("mean_", lambda a: a.astype(str)),
    "mean of one number": changed("mean_", lambda a: a[0]),
    "mean not finite": changed("mean_", lambda a: a * np.nan),
    "scale of zero": changed("scale_", lambda a: a * 0),
    "scale of true and false": changed("scale_", lambda a: a > 0),
    "weights too few": changed("coefs_", lambda layers: [a[:1] for a in layers]),
    "weights of text": changed("coefs_", lambda _: ["a", "b"]),
    "weights transposed": changed("coefs_", lambda layers: [layers[0].T, layers[1]]),
    "no layers": changed("coefs_", lambda _: []),
    "a layer more": changed("coefs_", lambda layers: [*layers, layers[-1]]),
    "biases of 30 million bytes": changed(
        "intercepts_", lambda layers: [np.zeros(30_000_000, "i1"), layers[1]]
    ),
    "a class more": changed("intercepts_", lambda layers: [layers[0], np.append(layers[1], 99.0)]),
    "hidden layers as a number": changed("hidden_layer_sizes", lambda _: 5),
    "hidden layers of no node": changed("hidden_layer_sizes", lambda _: (0,)),
    "hidden layers of others": changed("hidden_layer_sizes", lambda _: (5,)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_do_not_fit(tmp_path, kind):
    """Compiled code would read beyond them: they are refused when the model is loaded."""
    made = model(4)
    ARRAYS[kind](made.pipeline)
    monstrous = tmp_path / "crops.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_files, "_card", lambda _: "")
        patch.setattr(model_files, "_LARGEST", 2**26)
        save_model(made, monstrous)
    with pytest.raises(InvalidInputError, match="is not a classifier, or it is damaged"):
        load_model(monstrous)


RECIPE = {
    "kind": "seasons",
    "start": None,
    "end": "2021",
    "own_mask": False,
    "bands": ["B04"],
    "seasons": ["MAM", "JJA"],
}
DOCUMENTS = {
    "recipe is text": {"recipe": "../../x"},
    "recipe of no kind": {"recipe": RECIPE | {"kind": "x"}},
    "recipe without mask": {"recipe": {k: v for k, v in RECIPE.items() if k != "own_mask"}},
    "recipe without end": {"recipe": {k: v for k, v in RECIPE.items() if k != "end"}},
    "recipe of no day": {"recipe": RECIPE | {"start": "yesterday"}},
    "recipe of infinite bands": {"recipe": RECIPE | {"bands": float("inf")}},
    "recipe of lists of bands": {"recipe": RECIPE | {"bands": [[1, [2]]]}},
    "recipe of another season": {"recipe": RECIPE | {"seasons": ["MAM", 10**14]}},
    "recipe of one season twice": {"recipe": RECIPE | {"seasons": ["MAM", "MAM"]}},
    "series without days": {"recipe": RECIPE | {"kind": "series", "index": "NDVI"}},
    "statistics without index": {"recipe": RECIPE | {"kind": "statistics"}},
    "features are numbers": {"features": [1, 2, 3]},
    "source is text": {"source": "a cube"},
    "seed is text": {"seed": "0"},
    "scores lack a table": {"scores": {}},
    "classes are lists": {"classes": [[0], [1]]},
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_odd_documents(members, tmp_path, kind):
    """What a classifier needs later is looked at when it is loaded."""
    document = json.loads(members["model.json"]) | DOCUMENTS[kind]
    path = tmp_path / "crops.zip"
    path.write_bytes(zipped(members | {"model.json": json.dumps(document).encode()}))
    with pytest.raises(InvalidInputError, match="is not a classifier, or it is damaged"):
        load_model(path)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        {**RECIPE, "kind": "statistics", "index": "NDVI"},
        {**RECIPE, "kind": "series", "index": "NDVI", "days": ["2021-01-01", "2021-01-31"]},
    ],
)
def test_recipes_that_are_written_are_read(members, tmp_path, recipe):
    """So are those without a recipe, see above."""
    document = json.loads(members["model.json"]) | {"recipe": recipe}
    path = tmp_path / "crops.zip"
    path.write_bytes(zipped(members | {"model.json": json.dumps(document).encode()}))
    assert load_model(path).recipe == recipe


def test_pipe_is_no_model(tmp_path):
    """It would be waited for without end."""
    os.mkfifo(tmp_path / "crops.zip")
    with pytest.raises(InvalidInputError, match="not a file"):
        load_model(tmp_path / "crops.zip")
