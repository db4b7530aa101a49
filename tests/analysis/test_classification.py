"""Classification: fair splits, honest scores, the same answers on a map, and on real data."""

import copy
import io
import itertools
import json
import pickle
import tracemalloc
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import patch

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio.features
import shapely
import skops.io
import xarray as xr
from cubes import NORTH, WEST, every, in_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_info

from s2kit.analysis import samples as sampling
from s2kit.analysis import training
from s2kit.analysis.classifier import classify, one_thread
from s2kit.analysis.features import make_features
from s2kit.analysis.model_files import load_model, save_model
from s2kit.analysis.samples import sample_pixels
from s2kit.analysis.training import split_fields, train_classifier
from s2kit.errors import InvalidInputError

CROPS = ("grass", "sugar beet", "winter wheat")
SIDE, ROWS = 8, 6


def farm_layers():
    """Return 6 × 6 fields of 8 × 8 pixels, whose three crops are green at different times."""
    rng = np.random.default_rng(3)
    shape = (24, SIDE * ROWS, SIDE * ROWS)
    crop = np.kron(crops_by_field(), np.ones((SIDE, SIDE), int))
    day = np.arange(24)[:, None, None] * 15
    peak, length = np.array([[150, 230, 130], [300, 100, 40]])[:, crop]
    green = np.exp(-(((day - peak) / length) ** 2))
    red = 2500 - 2000 * green + rng.normal(0, 250, shape)
    near = 2500 + 2000 * green + rng.normal(0, 250, shape)
    classes = rng.choice([4, 9], shape, p=[0.7, 0.3]).astype("u1")
    classes[:, 0, 0] = 8  # this pixel is never clear
    return {"B04": red.astype("i2"), "B08": near.astype("i2"), "SCL": classes}


def crops_by_field():
    """Return the crop, 0-2, of 6 × 6 fields."""
    return (np.arange(ROWS)[:, None] + np.arange(ROWS)) % 3


@pytest.fixture(scope="module")
def farm():
    """Return a cube of the farm."""
    return in_memory(farm_layers(), every(15, 24, "2021-01-03"), (24, 20, 20))


@pytest.fixture(scope="module")
def fields():
    """Return the fields, each narrower than its 80 m, so that no edge runs through a centre."""
    west, south = np.meshgrid(
        WEST + np.arange(ROWS) * 80, NORTH - (np.arange(ROWS) + 1) * 80, indexing="xy"
    )
    outlines = shapely.box(west + 12, south + 2, west + 78, south + 78).ravel()
    crop = np.array(CROPS)[crops_by_field().ravel()]
    return gpd.GeoDataFrame({"crop": crop}, geometry=outlines, crs="EPSG:28992")


@pytest.fixture(scope="module")
def features(farm):
    """Return the farm's features."""
    return make_features(farm, "statistics")


@pytest.fixture(scope="module")
def samples(features, fields):
    """Return a table of the farm's pixels."""
    return sample_pixels(features, fields, "crop", per_field=20)


@pytest.fixture(scope="module")
def model(samples):
    """Train a network on the farm."""
    return train_classifier(samples, samples.label, groups=samples.field, seed=1)


def test_samples_lie_in_their_fields(features, fields, samples):
    """Each pixel is drawn once, its centre lies in its field, its numbers are those of the map."""
    centres = shapely.points(samples.x, samples.y)
    assert shapely.contains(fields.geometry.values[samples.field], centres).all()
    assert (fields.crop.values[samples.field] == samples.label).all()
    assert not samples.duplicated(["x", "y"]).any()
    assert samples.groupby("field").size().eq(20).all() and samples.field.nunique() == 36
    for row in samples.iloc[::97].itertuples():
        expected = features.sel(x=row.x, y=row.y).values
        np.testing.assert_array_equal(row[1:8], expected)


@pytest.mark.parametrize("dtype", [object, "U", np.dtypes.StringDType(na_object=np.nan)], ids=str)
def test_names_of_features_in_any_type_of_text(features, fields, samples, dtype):
    """Names as an index of pandas makes them, also those of numpy's StringDType, are welcome."""
    named = features.assign_coords(feature=features.feature.values.astype(object).astype(dtype))
    again = sample_pixels(named, fields, "crop", per_field=20)
    pd.testing.assert_frame_equal(again, samples)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_all_pixels_of_any_polygon(seed):
    """Without a limit, the pixels are those that GDAL burns, holes and parts included."""
    rng = np.random.default_rng(seed)
    plane = np.arange(900, dtype="f4").reshape(1, 30, 30)
    grid = in_memory({"B08": np.zeros((1, 30, 30), "i2")}, every(1, 1))
    features = xr.DataArray(plane, grid.drop_vars("time").coords, ("feature", "y", "x"))
    features = features.assign_coords(feature=["number"])
    parts = []
    for _ in range(2):
        ring = rng.uniform(-50, 350, (4, 2)) + np.array([WEST, NORTH - 300])
        parts.append(shapely.convex_hull(shapely.multipoints(ring)))
    hole = shapely.buffer(shapely.centroid(parts[0]), 25)
    outline = shapely.difference(shapely.union_all(parts), hole)
    transform = rasterio.transform.from_origin(WEST, NORTH, 10, 10)
    burnt = rasterio.features.rasterize([outline], (30, 30), transform=transform, dtype="u1")
    table = gpd.GeoDataFrame({"crop": ["a"]}, geometry=[outline], crs="EPSG:28992")
    found = sample_pixels(features, table, "crop", per_field=10_000)
    assert sorted(found.number) == np.flatnonzero(burnt).tolist()


def test_fields_in_any_form(tmp_path, features, fields, samples):
    """A file, and fields in another coordinate system, give the same pixels."""
    path = tmp_path / "fields.gpkg"
    fields.to_crs("EPSG:4326").to_file(path)
    for given_as in (path, str(path), fields.to_crs("EPSG:32631")):
        again = sample_pixels(features, given_as, "crop", per_field=20)
        pd.testing.assert_frame_equal(again, samples)


def test_overlapping_fields_share_no_pixel(features, fields):
    """A pixel of two fields is drawn for one of them only."""
    twice = pd.concat([fields, fields.assign(crop="other")], ignore_index=True)
    found = sample_pixels(features, twice, "crop", per_field=10_000)
    assert not found.duplicated(["x", "y"]).any()


def test_fields_without_label_are_left_out(features, fields):
    """A field whose label is missing gives no pixel."""
    crop = fields.crop.where(fields.crop != "grass")
    found = sample_pixels(features, fields.assign(crop=crop), "crop")
    assert set(found.label) == {"sugar beet", "winter wheat"}


def test_map_of_labels_is_cut_into_squares(features):
    """Pixels of a square share their number; each class in it gives no more than asked."""
    labels = label_map(features)
    with patch.object(sampling, "_SQUARE", 120):
        found = sample_pixels(features, labels, per_field=7)
    row = np.floor((NORTH - found.y) / 120).astype(int)
    col = np.floor((found.x - WEST) / 120).astype(int)
    assert (found.field == row * 4 + col).all()  # 480 m are 4 squares
    assert found.groupby(["field", "label"]).size().max() == 7
    expected = [labels.sel(x=x, y=y).item() for x, y in zip(found.x, found.y, strict=True)]
    assert found.label.tolist() == expected
    assert set(found.label) == {1, 2, 3}


def label_map(features):
    """Return the crops of the farm as a map, with a corner where they are not known."""
    codes = np.kron(crops_by_field(), np.ones((SIDE, SIDE), int)).astype("u1") + 1
    codes[:10, :10] = 0
    codes[-10:, -10:] = 255
    coords = {name: features[name] for name in ("y", "x", "spatial_ref")}
    return xr.DataArray(codes, coords, ("y", "x"), attrs={"_FillValue": 255})


def test_pixels_that_lack_a_feature_are_reported(farm, fields):
    """Pixels never seen clear are left out with a warning that counts them."""
    features = make_features(farm, "statistics")
    fields = fields.set_geometry(fields.buffer(11, cap_style="square", join_style="mitre"))
    with pytest.warns(UserWarning, match=r"1 of 2304 pixels .*NDVI mean"):
        found = sample_pixels(features, fields, "crop", per_field=1000)
    assert len(found) == 48 * 48 - 1 and found.notna().all(axis=None)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4)), min_size=2, max_size=80),
    st.floats(0.05, 0.95),
    st.integers(0, 1000),
)
def test_no_field_on_both_sides(pixels, share, seed):
    """A field is on one side, every class on both, and that fails only where it cannot be."""
    fields, labels = np.array(pixels).T
    try:
        test = split_fields(labels, fields, share=share, seed=seed)
    except InvalidInputError:
        assert not can_be_split(labels, fields)
        return
    assert not set(fields[test]) & set(fields[~test])
    assert set(labels[test]) == set(labels[~test]) == set(labels)
    np.testing.assert_array_equal(test, split_fields(labels, fields, share=share, seed=seed))


def can_be_split(labels, fields):
    """Try every way to choose the test's fields."""
    every_class = set(labels)
    names = sorted(set(fields))
    for size in range(1, len(names)):
        for chosen in itertools.combinations(names, size):
            test = np.isin(fields, chosen)
            if set(labels[test]) == set(labels[~test]) == every_class:
                return True
    return False


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=2, max_size=6), st.floats(0.05, 0.95))
def test_split_has_the_share_of_each_class(sizes, share):
    """With one class a field, the test has that share of the fields of each, to a whole field."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    test = split_fields(labels, np.arange(len(labels)), share=share, seed=0)
    for label, size in enumerate(sizes):
        expected = min(max(round(share * size), 1), size - 1)
        assert test[labels == label].sum() == expected


def test_same_seed_same_network(samples, model):
    """The seed decides everything; another one makes another network."""
    again = train_classifier(samples, samples.label, groups=samples.field, seed=1)
    other = train_classifier(samples, samples.label, groups=samples.field, seed=2)
    for own, same, different in zip(
        model.pipeline[-1].coefs_, again.pipeline[-1].coefs_, other.pipeline[-1].coefs_, strict=True
    ):
        np.testing.assert_array_equal(own, same)
        assert not np.array_equal(own, different)
    assert str(again) == str(model)


def test_scores_follow_from_the_answers(samples, model):
    """Scores are counted anew from the network's answers on the test's pixels."""
    test = split_fields(samples.label.values, samples.field.values, share=0.3, seed=1)
    true = samples.label.values[test]
    pixels = samples[list(model.features)].to_numpy("f4")
    answer = model.pipeline.predict(pixels[test])
    counts = Counter(zip(true, answer, strict=True))
    scores = model.scores
    recalls = []
    for name in CROPS:
        hit, own = counts[name, name], (true == name).sum()
        said = (answer == name).sum()
        recalls.append(hit / own)
        precision, recall, f1, number = scores.classes.loc[name]
        assert (recall, number) == (pytest.approx(hit / own), own)
        assert precision == pytest.approx(hit / said)
        assert f1 == pytest.approx(2 * hit / (own + said))
        assert scores.confusion.loc[name].tolist() == [counts[name, other] for other in CROPS]
    assert scores.accuracy == pytest.approx((answer == true).mean())
    assert scores.balanced_accuracy == pytest.approx(np.mean(recalls))
    most = Counter(samples.label[~test]).most_common(1)[0][0]
    majority = scores.comparison.loc["majority class"]
    assert majority["accuracy"] == pytest.approx((true == most).mean())
    assert majority["balanced accuracy"] == pytest.approx(1 / 3)
    assert scores.split.loc["test", "pixels"] == test.sum()
    assert scores.split["fields"].sum() == samples.field.nunique()
    assert scores.balanced_accuracy > 0.9 and scores.comparison.loc["random forest"].min() > 0.9


def test_importance_finds_the_feature_that_tells(samples):
    """A feature that is the class itself is the most important, noise is of no importance."""
    rng = np.random.default_rng(0)
    told = np.searchsorted(CROPS, samples.label) + rng.normal(0, 0.1, len(samples))
    noise = rng.normal(size=(len(samples), 3))
    table = pd.DataFrame({"told": told, "a": noise[:, 0], "b": noise[:, 1], "c": noise[:, 2]})
    model = train_classifier(table, samples.label, groups=samples.field)
    importance = model.scores.importance["mean"]
    assert importance.index[0] == "told" and importance["told"] > 0.5
    assert importance.drop("told").abs().max() < 0.05
    assert model.recipe is None


def test_map_equals_the_pipeline(farm, features, model):
    """Class and probability are those of the pipeline on the same features, pixel by pixel."""
    land = classify(farm, model)
    assert land.landcover.chunks == ((20, 20, 8),) * 2 == land.probability.chunks
    land = land.compute()
    pixels = features.values.reshape(7, -1).T
    known = np.isfinite(pixels).all(axis=1)
    assert not known[0] and known.sum() == 48 * 48 - 1
    codes = {name: code for code, name in enumerate(CROPS, 1)}
    expected = np.zeros(48 * 48, "u1")
    expected[known] = [codes[name] for name in model.pipeline.predict(pixels[known])]
    np.testing.assert_array_equal(land.landcover.values.ravel(), expected)
    chance = np.full(48 * 48, np.nan)
    chance[known] = model.pipeline.predict_proba(pixels[known]).max(axis=1)
    np.testing.assert_allclose(land.probability.values.ravel(), chance, atol=2e-6)
    assert (land.landcover.dtype, land.probability.dtype) == (np.uint8, np.float32)


def test_map_says_what_its_codes_mean(farm, model):
    """Flags are as CF wants them, the CRS stays, and nothing of the time axis does."""
    land = classify(farm, model)
    attrs = land.landcover.attrs
    assert attrs["flag_values"].tolist() == [0, 1, 2, 3]
    assert attrs["flag_values"].dtype == land.landcover.dtype
    assert attrs["flag_meanings"] == "no_data grass sugar_beet winter_wheat"
    assert land.landcover.rio.crs == farm.rio.crs
    assert set(land.coords) == {"x", "y", "spatial_ref"}


def test_codes_of_a_map_of_labels_stay(farm, features):
    """Labels that are numbers from 1 to 255 are the codes of the map."""
    labels = label_map(features)
    labels = labels.where(labels % 255 == 0, labels * 10)
    with patch.object(sampling, "_SQUARE", 80):
        found = sample_pixels(features, labels.astype("u1"))
    model = train_classifier(found, found.label, groups=found.field)
    assert model.classes == (10, 20, 30)
    assert set(np.unique(classify(farm, model).landcover)) == {0, 10, 20, 30}


def test_network_of_some_of_the_features(farm, features, samples):
    """Columns may be left out or put in another order: the map takes the same ones."""
    table = samples[["NDVI max", "NDVI mean"]]
    model = train_classifier(table, samples.label, groups=samples.field)
    pixels = features.sel(feature=["NDVI max", "NDVI mean"]).values.reshape(2, -1).T[1:]
    expected = model.pipeline.predict(pixels)
    found = classify(farm, model).landcover.values.ravel()[1:]
    assert [model.classes[code - 1] for code in found] == expected.tolist()


def test_map_does_not_depend_on_blocks(farm, model):
    """Blocks of another size give the same map."""
    whole = classify(farm.compute(), model).compute()
    again = classify(farm.chunk(time=5, y=7, x=48), model).compute()
    np.testing.assert_array_equal(again.landcover, whole.landcover)
    np.testing.assert_allclose(again.probability, whole.probability, atol=1e-5)


def test_a_mask_of_the_training_is_asked_for(farm, fields):
    """A network of features with a mask of one's own needs one for the map too."""
    clear = farm.SCL == 4
    features = make_features(farm, "statistics", clear=clear)
    found = sample_pixels(features, fields, "crop")
    model = train_classifier(found, found.label, groups=found.field)
    with pytest.raises(InvalidInputError, match="mask of its own"):
        classify(farm, model)
    assert classify(farm, model, clear=clear).landcover.values.any()


@settings(max_examples=10, deadline=None)
@given(
    st.integers(2, 6),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.integers(1, 150),
    st.integers(0, 1000),
)
def test_network_equals_scikit_learn(classes, hidden, number, seed):
    """With any layers, two classes or more, answers are those of the pipeline, to 2e-6."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(3, 20, (120, 4)), columns=list("abcd"))
    labels = np.arange(120) % classes
    with patch.object(training, "_LAYERS", tuple(hidden)):
        model = train_classifier(table, labels, groups=np.arange(120) // 4)
    pixels = rng.normal(3, 30, (4, number)).astype("f4")
    code, probability = model.predict(pixels)
    chances = model.pipeline.predict_proba(pixels.T)
    np.testing.assert_allclose(probability, chances.max(axis=1), atol=2e-6)
    at_code = chances[np.arange(number), code - 1]  # 0 is no code, so they are 1, 2, 3
    np.testing.assert_allclose(at_code, chances.max(axis=1), atol=2e-6)


def test_blas_has_its_threads_back(model):
    """Blocks side by side, in any order, leave the number of threads of BLAS as it was."""
    pixels = np.random.default_rng(0).random((len(model.features), 20_000), "f4")
    before = [library["num_threads"] for library in threadpool_info()]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: model.predict(pixels)[0], range(12)))
    assert [library["num_threads"] for library in threadpool_info()] == before
    table = pd.DataFrame(np.random.default_rng(0).random((60, 2)), columns=["a", "b"])
    with one_thread:  # as a block of a map that is computed meanwhile
        train_classifier(table, np.arange(60) % 2, groups=np.arange(60))
        assert {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"} == {1}
    assert [library["num_threads"] for library in threadpool_info()] == before
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_saved_model_gives_the_same_map(tmp_path, farm, model):
    """A round trip keeps the map to the bit, and all that is known of the model."""
    save_model(model, tmp_path / "crops.zip")
    again = load_model(tmp_path / "crops.zip")
    xr.testing.assert_identical(classify(farm, again).compute(), classify(farm, model).compute())
    assert str(again) == str(model)
    for name in ("classes", "features", "recipe", "source", "seed"):
        assert getattr(again, name) == getattr(model, name)
    assert [file.name for file in tmp_path.iterdir()] == ["crops.zip"]


def test_no_pickle_is_written_or_read(tmp_path, monkeypatch, model):
    """Neither direction touches pickle, and the file holds text and plain arrays only."""

    def refuse(*_, **__):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    save_model(model, tmp_path / "crops.zip")
    load_model(tmp_path / "crops.zip")
    with zipfile.ZipFile(tmp_path / "crops.zip") as outer:
        assert set(outer.namelist()) == {"README.md", "model.json", "pipeline.skops"}
        inner = zipfile.ZipFile(io.BytesIO(outer.read("pipeline.skops")))
    for name in inner.namelist():
        if name != "schema.json":
            np.load(io.BytesIO(inner.read(name)), allow_pickle=False)


def test_card_tells_what_the_model_is(tmp_path, samples, model):
    """The card names cube, features, classes, scores, seed and versions; scaling is numpy's."""
    source = json.loads(samples.attrs["source"]) | {"title": "Our cube", "synthetic": True}
    save_model(replace(model, source=source), tmp_path / "crops.zip")
    with zipfile.ZipFile(tmp_path / "crops.zip") as archive:
        card = archive.read("README.md").decode()
        document = json.loads(archive.read("model.json"))
    told = (
        "Our cube",
        "practice data",
        "EPSG:28992",
        "2021-01-03 to 2021-12-14",
        "seed: 1",
        "winter wheat",
        "NDVI p90",
        "random forest",
        "scikit-learn",
        "own_mask",
    )
    assert [word for word in told if word not in card] == []
    scaling = document["scaling"]
    test = split_fields(samples.label.values, samples.field.values, share=0.3, seed=1)
    trained = samples[list(model.features)][~test].astype("f8")
    np.testing.assert_allclose(scaling["mean"], trained.mean(), rtol=1e-5)
    np.testing.assert_allclose(scaling["scale"], trained.std(ddof=0), rtol=1e-4)


def test_what_could_do_harm_is_refused(tmp_path, model):
    """A file with a function or another type in its pipeline is refused by name, and not run."""
    harmful = make_pipeline(FunctionTransformer(eval), LogisticRegression())
    swap(model, tmp_path / "bad.zip", harmful)
    with pytest.raises(InvalidInputError, match=r"refused.*eval"):
        load_model(tmp_path / "bad.zip")
    swap(model, tmp_path / "other.zip", LogisticRegression())
    with pytest.raises(InvalidInputError, match="LogisticRegression"):
        load_model(tmp_path / "other.zip")


def swap(model, path, pipeline):
    """Save a model, and put another pipeline in its place."""
    save_model(model, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["pipeline.skops"] = skops.io.dumps(pipeline)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_damaged_files_are_named(tmp_path_factory, model, place, change):
    """Cut or changed anywhere, a file loads as it was or is named as damaged."""
    path = tmp_path_factory.mktemp("models") / "crops.zip"
    save_model(model, path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= change
    if not change:
        del content[int(place * len(content)) :]
    path.write_bytes(content)
    try:
        assert load_model(path).classes == model.classes
    except InvalidInputError as error:
        assert "crops.zip" in str(error)


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch, model):
    """Where writing fails, the old file stays whole, and no draft is left behind."""
    path = tmp_path / "crops.zip"
    save_model(model, path)
    before = path.read_bytes()

    def fail(self, data):
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(InvalidInputError, match="No space left"):
        save_model(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_files_and_models_are_named(tmp_path, farm, model):
    """What is no model, or no place for one, is named."""
    with pytest.raises(InvalidInputError, match="missing"):
        load_model(tmp_path / "missing.zip")
    with pytest.raises(InvalidInputError, match="LogisticRegression"):
        save_model(LogisticRegression(), tmp_path / "crops.zip")
    with pytest.raises(InvalidInputError, match="folder"):
        save_model(model, tmp_path / "nowhere" / "crops.zip")
    with pytest.raises(InvalidInputError, match="LogisticRegression"):
        classify(farm, LogisticRegression())
    with pytest.raises(InvalidInputError, match="how its features were made"):
        classify(farm, replace(model, recipe=None))
    with pytest.raises(InvalidInputError, match="elevation"):
        classify(farm, replace(model, features=(*model.features, "elevation")))
    with pytest.raises(InvalidInputError, match="B04"):
        classify(farm[["SCL"]], model)


def test_wrong_fields_are_named(tmp_path, features, fields):
    """Fields without CRS, elsewhere, too small or without the column: each says what to do."""
    wrong = {
        "no coordinate system": (fields.set_crs(None, allow_override=True), "crop"),
        "none of the 36 fields": (fields.set_geometry(fields.translate(90_000)), "crop"),
        "column='kind'.*crop": (fields, "kind"),
        "column=None.*crop": (fields, None),
        "centre of a pixel": (fields.set_geometry(fields.centroid.buffer(0.1)), "crop"),
        "cannot be read": (tmp_path / "fields.gpkg", "crop"),
        "int": (5, "crop"),
    }
    for words, (given_as, column) in wrong.items():
        with pytest.raises(InvalidInputError, match=words):
            sample_pixels(features, given_as, column)
    with pytest.raises(InvalidInputError, match="make_features"):
        sample_pixels(features.isel(x=0), fields, "crop")
    with pytest.raises(InvalidInputError, match="per_field=0"):
        sample_pixels(features, fields, "crop", per_field=0)


def test_wrong_maps_of_labels_are_named(features):
    """Labels that are not whole numbers, or lie elsewhere."""
    labels = label_map(features)
    with pytest.raises(InvalidInputError, match="float"):
        sample_pixels(features, labels.astype("f4"))
    with pytest.raises(InvalidInputError, match="reproject_match"):
        sample_pixels(features, labels.isel(x=slice(10)))


def test_wrong_samples_are_named(samples):
    """One class, gaps, lengths, too few fields or pixels: each says what was found."""
    gaps = samples.copy()
    gaps.loc[[3, 9], "NDVI std"] = np.nan
    wheat = samples[samples.label == "winter wheat"]
    few = samples.drop(samples.index[(samples.label == "grass") & (samples.field > 0)])
    wrong = {
        "1 class": (wheat, {}),
        r"2 of 720 rows.*NDVI std.*2 rows": (gaps, {}),
        "one field only: grass": (few, {}),
        "at least 30": (samples[::40], {}),
        "719 groups": (samples, {"groups": samples.field[1:]}),
        "2 rows have no group": (samples, {"groups": samples.field.where(samples.index > 1)}),
        "seed=-1": (samples, {"seed": -1}),
    }
    for words, (table, options) in wrong.items():
        with pytest.raises(InvalidInputError, match=words):
            train_classifier(table, table.label, **{"groups": table.field} | options)
    with pytest.raises(InvalidInputError, match="3 rows have no label"):
        train_classifier(samples, samples.label.where(samples.index > 2), groups=samples.field)
    alike = samples.label.replace({"grass": "winter_wheat"})
    for labels in (alike, samples.label.replace({"grass": "no data"})):
        with pytest.raises(InvalidInputError, match="a name of its own"):
            train_classifier(samples, labels, groups=samples.field)
    with pytest.raises(InvalidInputError, match=r"labels of \(\)"):
        train_classifier(samples, None, groups=samples.field)
    with pytest.raises(InvalidInputError, match="must be numbers"):
        train_classifier(samples.assign(name="a"), samples.label, groups=samples.field)
    with pytest.raises(InvalidInputError, match="ndarray"):
        train_classifier(samples.to_numpy(), samples.label, groups=samples.field)


@pytest.mark.parametrize("kind", ["statistics", "series"])
def test_real_land_cover(real_data, kind):
    """On Slovenian land cover the network beats the majority class, with squares held apart."""
    cube, clear, labels = read_slovenia(real_data / "eolearn/patch")
    features = make_features(cube, kind, clear=clear).compute()
    found = []
    for seed in range(5):
        with patch.object(sampling, "_SQUARE", 200):
            samples = sample_pixels(features, labels, per_field=20, seed=seed)
        model = train_classifier(samples, samples.label, groups=samples.field, seed=seed)
        found.append(model.scores.comparison["balanced accuracy"])
    scores = pd.DataFrame(found)
    print(f"\n{kind}: balanced accuracy over {len(scores)} splits, mean ± std")
    print("\n".join(f"{n:15} {scores[n].mean():.3f} ± {scores[n].std():.3f}" for n in scores))
    assert (scores["network"] > scores["majority class"]).all()
    assert scores["network"].mean() - scores["network"].std() > 0.4  # by chance 0.25
    land = classify(cube, model, clear=clear)
    assert set(np.unique(land.landcover)) <= {2, 3, 4, 8}


def read_slovenia(folder):
    """Return NDVI, validity and labels; the 11 pixels of class 1 are too few for two sides."""
    ring = json.loads((folder / "bbox.geojson").read_text())["coordinates"][0]
    (west, south), (east, north) = np.min(ring, axis=0), np.max(ring, axis=0)
    ndvi, valid, labels = (
        np.load(folder / f"{name}.npy")[..., 0] for name in ("NDVI", "IS_VALID", "LULC")
    )
    times = np.array(json.loads((folder / "timestamps.json").read_text()), "M8[ns]")
    height, width = labels.shape
    coords = {
        "y": north - (np.arange(height) + 0.5) * (north - south) / height,
        "x": west + (np.arange(width) + 0.5) * (east - west) / width,
    }
    axes = ("time", "y", "x")
    layers = {"NDVI": (axes, ndvi), "valid": (axes, valid)}
    cube = xr.Dataset(layers, {"time": times, **coords}).rio.write_crs("EPSG:32633")
    labels = xr.DataArray(np.where(labels == 1, 0, labels), coords, ("y", "x"))
    return cube, cube.valid, labels.rio.write_crs("EPSG:32633")


def test_wide_networks_take_little_memory(model):
    """So many pixels pass at a time as the widest layer allows."""
    wide = copy.deepcopy(model)
    network, width = wide.pipeline[-1], 200_000
    features, outputs = network.coefs_[0].shape[0], network.coefs_[-1].shape[1]
    network.coefs_ = [np.zeros((features, width), "f4"), np.zeros((width, outputs), "f4")]
    network.intercepts_ = [np.zeros(width, "f4"), np.zeros(outputs, "f4")]
    network.hidden_layer_sizes, network.n_layers_ = (width,), 3
    tracemalloc.start()
    wide.predict(np.zeros((features, 300), "f4"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100e6
