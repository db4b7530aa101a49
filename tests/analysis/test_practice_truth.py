"""Against the truth of the practice data: what the weather hid, and what the land is like."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio.warp
import xarray as xr
from affine import Affine

import s2kit
from s2kit.practice import truth_reflectance
from s2kit.practice.geometry import CANVAS
from s2kit.practice.overpasses import overpasses
from s2kit.practice.weather import STEP, sky

UTM = "EPSG:32631"
BANDS = ("B02", "B03", "B04", "B08", "B11")
OPAQUE, SHADED = 0.2, 0.3
"""Shares of cloud and of lost sunlight from which the land counts as hidden."""


def on_cube(cube, values, transform, resampling):
    """Resample a map in UTM to the cube's grid, by rasterio."""
    grid = cube.rio
    out = np.full(grid.shape, np.nan, "f4")
    rasterio.warp.reproject(
        values.astype("f4"),
        out,
        src_transform=transform,
        src_crs=UTM,
        dst_transform=grid.transform(),
        dst_crs=grid.crs,
        resampling=resampling,
    )
    return out


def hidden(cube, overpass):
    """Return what cloud, cirrus or shadow hid on an overpass, on the cube's grid."""
    weather = sky(overpass)
    nearest = rasterio.warp.Resampling.nearest
    at = CANVAS.transform(STEP)
    cloud, cirrus, shadow = (
        on_cube(cube, field, at, nearest)
        for field in (weather.cloud, weather.cirrus, weather.shadow)
    )
    return (cloud >= OPAQUE) | (cirrus >= 0.1) | (shadow >= SHADED)


@pytest.fixture(scope="module")
def chosen():
    """Choose every fourth overpass with clouds, but not overcast."""
    return [o for o in overpasses() if o.sky in ("scattered", "broken", "cirrus", "fog")][::4]


def test_mask_finds_what_the_weather_hid(practice_cube, chosen):
    """Precision and recall of the mask, plain and with a buffer, against the true sky."""
    totals = {}
    for overpass in chosen:
        day = practice_cube.sel(time=overpass.day.isoformat())
        true = hidden(practice_cube, overpass)
        for buffer in (0, 60):
            clear = s2kit.clear_mask(day, buffer=buffer).values[0]
            seen = day.SCL.values[0] > 0
            found = ~clear & seen
            counts = np.array([(found & true & seen).sum(), found.sum(), (true & seen).sum()])
            totals[buffer] = totals.get(buffer, 0) + counts
    for buffer, (both, found, true) in totals.items():
        print(f"buffer {buffer} m: precision {both / found:.3f}, recall {both / true:.3f}")
    assert totals[0][0] / totals[0][1] > 0.85
    assert totals[60][0] / totals[60][2] > totals[0][0] / totals[0][2] > 0.8


@pytest.fixture(scope="module")
def summer(practice_cube):
    """Cut the cube to June to August 2022, some bands, 250 × 200 pixels."""
    part = practice_cube.sel(time=slice("2022-06-01", "2022-08-31"))
    return part[[*BANDS, "SCL"]].isel(y=slice(100, 350), x=slice(150, 350))


@pytest.fixture(scope="module")
def land(summer, practice_scenes):
    """Return the true reflectance of each of those days, without weather."""
    days = {}
    for day in np.unique(summer.time.values.astype("datetime64[D]")):
        layers = {}
        for band in BANDS:
            true = truth_reflectance(practice_scenes, pd.Timestamp(day), band)
            bilinear = rasterio.warp.Resampling.bilinear
            layers[band] = ("y", "x"), on_cube(summer, true.values, true.rio.transform(), bilinear)
        days[day] = xr.Dataset(layers)
    return days


@pytest.mark.parametrize("method", ["median", "geomedian", "medoid", "max_ndvi", "best_pixel"])
def test_composites_show_the_land(summer, land, method):
    """Each method's error per band; far below that of a mean without a mask."""
    image = s2kit.composite(summer, method=method, clear=s2kit.clear_mask(summer, buffer=60))
    image = image.compute()
    if "date" in image:
        true = {
            b: sum(np.where(image.date.values == d, day[b], 0) for d, day in land.items())
            for b in BANDS
        }
    else:
        dates = summer.time.values.astype("datetime64[D]")
        true = {b: np.median([land[d][b].values for d in dates], 0) for b in BANDS}
    seen = (image["count"] > 0).values
    assert seen.mean() > 0.99
    naive = summer[list(BANDS)].mean("time").compute()
    worst = {}
    for band in BANDS:
        error, plain = (
            np.sqrt(np.mean((i[band].values - true[band])[seen] ** 2)) for i in (image, naive)
        )
        worst[band] = error
        assert error < plain / 3, (band, error, plain)
    print(f"{method}: RMSE " + ", ".join(f"{b} {e:.4f}" for b, e in worst.items()))
    assert max(worst.values()) < 0.05


def test_statistics_follow_the_land(practice_cube, practice_scenes):
    """Arable fields vary through the year more than grass, dunes, town and water, by true class."""
    cover = rasterio.open(practice_scenes / "truth/landcover.tif")
    assert cover.transform == Affine(*practice_cube.rio.transform()[:6])
    classes = cover.read(1)
    spread = s2kit.time_statistics(practice_cube, "NDVI")["std"].values
    median = {code: float(np.median(spread[classes == code])) for code in range(1, 13)}
    print({code: round(value, 3) for code, value in median.items()})
    arable, still = (2, 3, 4, 5, 6, 12), (1, 9, 10, 11)
    assert min(median[code] for code in arable) > 1.3 * max(median[code] for code in still)
    assert median[7] < min(median[code] for code in arable)


@pytest.fixture(scope="module")
def fields(practice_scenes):
    """Return the fields whose crop is known, and those that are held back."""
    known = gpd.read_file(practice_scenes / "truth/fields.gpkg")
    held = known.groupby("crop").sample(frac=0.2, random_state=1)
    return known.drop(held.index), held


def samples_of(cube, known, kind):
    """Draw pixels of the fields with features of a kind."""
    features = s2kit.make_features(cube, kind, start="2021-04", end="2023-03")
    return s2kit.sample_pixels(features, known, "crop", per_field=15)


def test_crops_of_unseen_fields_are_mostly_found(practice_cube, fields):
    """A network learns crops that resemble each other: 85-95 % are right on other fields.

    It is as good as a random forest, or better.
    """
    known, held = fields
    right = {}
    for kind in ("seasons", "series"):
        samples = samples_of(practice_cube, known, kind)
        model = s2kit.train_classifier(samples, samples.label, groups=samples.field)
        scores = right[kind] = model.scores.comparison["balanced accuracy"]
        print(f"{kind}: " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items()))
        assert scores["network"] > scores["random forest"] - 0.03
        assert scores["majority class"] == pytest.approx(1 / 7)
    assert 0.85 < max(scores["network"] for scores in right.values()) < 0.96
    assert min(scores["network"] for scores in right.values()) > 0.7
    land = s2kit.classify(practice_cube, model)
    found = s2kit.field_statistics(land["landcover"], held)
    share = (found["majority"] == found["crop"].str.replace(" ", "_")).mean()
    print(f"{share:.1%} of {len(held)} fields that no network saw have the right majority")
    assert share > 0.9


def test_wheat_and_barley_are_confused_with_each_other(practice_cube, fields):
    """More than half of the errors on the fields of one cereal are the name of the other."""
    samples = samples_of(practice_cube, fields[0], "series")
    model = s2kit.train_classifier(samples, samples.label, groups=samples.field)
    confusion = model.scores.confusion
    pair = ["winter barley", "winter wheat"]
    right = np.diag(confusion.loc[pair, pair]).sum()
    mixed = confusion.loc[pair, pair].to_numpy().sum() - right
    wrong = confusion.loc[pair].to_numpy().sum() - right
    assert wrong > 0.05 * (wrong + right)
    assert mixed > 0.5 * wrong


@pytest.mark.parametrize("kind", ["seasons", "statistics"])
def test_split_by_pixel_flatters(practice_cube, fields, kind):
    """With pixels of a field on both sides, a method seems better than on fields it never saw."""
    samples = samples_of(practice_cube, fields[0], kind)
    gains = []
    for seed in range(2):
        by_field, by_pixel = (
            s2kit.train_classifier(samples, samples.label, groups=groups, seed=seed)
            for groups in (samples.field, np.arange(len(samples)))
        )
        scores = [one.scores.comparison["balanced accuracy"] for one in (by_pixel, by_field)]
        gains.append((scores[0] - scores[1])[["network", "random forest"]])
    gain = pd.DataFrame(gains).mean()
    print(kind, gain.round(3).to_dict())
    assert gain["network"] > 0.03
    assert gain["random forest"] > 0.06
