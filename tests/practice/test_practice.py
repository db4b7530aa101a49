"""The practice scenes are real in form, deterministic, and true to their own ground truth."""

import hashlib
import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import defusedxml.ElementTree as ElementTree
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from pyproj import Transformer
from scipy.ndimage import maximum_filter, minimum_filter

from s2kit.errors import InvalidInputError
from s2kit.practice import CLASSES, REGION, REGION_RD, passes, truth_reflectance
from s2kit.practice import writing as w
from s2kit.practice.imaging import observe, stored_layers
from s2kit.practice.landscape import landscape
from s2kit.practice.metadata import ORIGIN
from s2kit.practice.overpasses import overpasses, sun_angles
from s2kit.practice.products import products
from s2kit.scenes.item import BANDS

pytestmark = pytest.mark.slow

DAYS = {
    "before": "2022-01-15",
    "after": "2022-01-30",
    "summer": "2022-06-04",
    "reprocessed": "2021-06-29",
    "split": "2022-08-03",
    "overcast": "2021-08-08",
    "snow": "2022-01-05",
    "edge": "2022-02-26",
    "broken": "2021-07-24",
}
CHOSEN = [o for o in overpasses() if o.day.isoformat() in DAYS.values()]
ONE = [o for o in CHOSEN if o.day.isoformat() == DAYS["edge"]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Write a few of the overpasses."""
    return w._write(tmp_path_factory.mktemp("practice"), CHOSEN, progress=False)


def found(folder: Path, day: str, tile: str = "31UET") -> list[Path]:
    """Return the products of a day and tile, in order of baseline and generation."""
    names = (folder / "scenes").glob(f"*_{DAYS[day].replace('-', '')}T*_T{tile}_*.SAFE")
    return sorted(names, key=lambda path: path.name.split("_")[3:])


def read(product: Path, layer: str) -> np.ndarray:
    """Return one layer as stored."""
    (path,) = product.glob(f"GRANULE/*/**/*_{layer}_*m.jp2")
    with rasterio.open(path) as source:
        return source.read(1)


def reflectance(product: Path, band: str) -> np.ndarray:
    """Read the values as a careful reader does, by the product's own XML."""
    root = ElementTree.parse(product / "MTD_MSIL2A.xml")
    offsets = [int(e.text) for e in root.iter("BOA_ADD_OFFSET")]
    stored = read(product, band).astype(float)
    return np.where(stored > 0, (stored + (offsets[0] if offsets else 0)) / 10_000, np.nan)


def digests(folder: Path) -> dict[str, str]:
    """Return the checksum of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_two_runs_give_identical_bytes(scenes, tmp_path):
    """Products and truth of a second run are the same in every byte."""
    chosen = [o for o in CHOSEN if o.day.isoformat() in (DAYS["broken"], DAYS["snow"])]
    again = digests(w._write(tmp_path, chosen, progress=False))
    del again["practice.json"]
    first = digests(scenes)
    assert len(again) > 60
    assert again == {path: first[path] for path in again}


def test_images_read_back_as_written(scenes):
    """JPEG 2000 keeps every value of every layer, also where nothing was seen."""
    observed = observe(landscape(), ONE[0])
    for product in products(ONE[0]):
        for layer, image in stored_layers(product, observed).items():
            with rasterio.open(scenes / "scenes" / product.name / product.path(layer)) as source:
                assert source.dtypes[0] == image.dtype
                np.testing.assert_array_equal(source.read(1), image)


def test_images_lie_where_the_metadata_say(scenes):
    """Size, corner, CRS and pixel grid agree between MTD_TL.xml, the JP2 and the full tile."""
    for tile, origin in (("31UET", 499_980), ("31UFT", 600_000)):
        (product,) = found(scenes, "before", tile)
        (path,) = product.glob("GRANULE/*/MTD_TL.xml")
        root = ElementTree.parse(path)
        for metres, band in ((10, "B08"), (20, "B11")):
            size = root.find(f".//Size[@resolution='{metres}']")
            corner = root.find(f".//Geoposition[@resolution='{metres}']")
            (image,) = product.glob(f"GRANULE/*/**/*_{band}_*m.jp2")
            with rasterio.open(image) as source:
                assert source.height == int(size.find("NROWS").text)
                assert source.width == int(size.find("NCOLS").text)
                assert source.transform.c == int(corner.find("ULX").text)
                assert source.transform.f == int(corner.find("ULY").text)
                assert source.transform.a == -source.transform.e == metres
                assert source.crs.to_epsg() == 32631
                assert (source.transform.c - origin) % metres == 0
                assert (source.transform.f - 5_800_020) % metres == 0


@pytest.mark.parametrize("day", ["before", "after"])
@pytest.mark.parametrize("band", ["B04", "B08", "B11"])
def test_offset_agrees_with_truth_on_both_sides_of_the_change(scenes, day, band):
    """On clear days read reflectance is the truth up to noise, haze and view angle."""
    (product,) = found(scenes, day)
    truth = truth_reflectance(scenes, DAYS[day], band).to_numpy()
    difference = reflectance(product, band) - truth
    assert abs(np.median(difference)) < 0.01
    assert np.corrcoef(reflectance(product, band).ravel(), truth.ravel())[0, 1] > 0.99


def test_baseline_decides_whether_an_offset_is_stated(scenes):
    """Thirteen offsets of -1000 from 04.00 on, none before."""
    for day, count in (("before", 0), ("after", 13)):
        (product,) = found(scenes, day)
        root = ElementTree.parse(product / "MTD_MSIL2A.xml")
        assert [e.text for e in root.iter("BOA_ADD_OFFSET")] == ["-1000"] * count


def test_dark_water_is_negative(scenes):
    """The truth is negative over the lake; 04.00 keeps it, 03.01 clips it to 1 and never to 0."""
    truth = truth_reflectance(scenes, DAYS["after"], "B11").to_numpy()
    lake = truth < -0.004
    assert lake.sum() > 500
    assert np.nanmedian(reflectance(found(scenes, "after")[0], "B11")[lake]) < -0.002
    old = read(found(scenes, "before")[0], "B11")
    assert old.min() == 1
    assert np.median(old[lake]) == 1


def test_the_two_halves_of_a_split_tile_complement_each_other(scenes):
    """Every pixel lies in exactly one of two products with the same datatake and tile."""
    north, south = found(scenes, "split")
    assert north.name[:38] == south.name[:38]
    assert {_text(p, "DATASTRIP_ID") for p in (north, south)} != {_text(north, "DATASTRIP_ID")}
    for layer in ("B04", "B11", "SCL"):
        first, second = read(north, layer) > 0, read(south, layer) > 0
        assert (first ^ second).all()
        assert 0.3 < first.mean() < 0.7
        assert first[0].all()
        assert second[-1].all()


def _text(product: Path, tag: str) -> str:
    (path,) = product.glob("GRANULE/*/MTD_TL.xml")
    return next(ElementTree.parse(path).iter(tag)).text


def test_reprocessed_duplicate_is_newer_and_visibly_different(scenes):
    """The same datatake and tile twice; the later baseline is some two percent brighter."""
    old, new = found(scenes, "reprocessed")
    assert old.name[:26] == new.name[:26]
    assert "_N0300_" in old.name
    assert "_N0500_" in new.name
    assert old.name[-20:] < new.name[-20:]
    ratio = np.nanmedian(reflectance(new, "B08") / reflectance(old, "B08"))
    assert ratio == pytest.approx(1.02, abs=0.003)


def test_overcast_day_shows_only_cloud(scenes):
    """Nothing of the land is left, and classes and probability say so."""
    (product,) = found(scenes, "overcast")
    assert np.isin(read(product, "SCL"), (8, 9)).mean() > 0.99
    assert read(product, "CLDPRB").min() > 60
    root = ElementTree.parse(product / "MTD_MSIL2A.xml")
    assert float(next(root.iter("Cloud_Coverage_Assessment")).text) > 99


def test_snow_day_is_white_and_known_as_snow(scenes):
    """Fields are bright in the visible, dark in the SWIR, class 11 with a high probability."""
    (product,) = found(scenes, "snow")
    snow = read(product, "SCL") == 11
    assert snow.mean() > 0.5
    assert np.median(read(product, "SNWPRB")[snow]) > 80
    assert np.nanmedian(reflectance(product, "B03")) > 0.6
    assert np.nanmedian(reflectance(product, "B11")) < 0.25


def test_swath_edge_cuts_the_region(scenes):
    """On R008 the west is not seen: 0 in every layer; the footprint follows the edge."""
    (product,) = found(scenes, "edge")
    seen = read(product, "B03") > 0
    assert 0.2 < seen.mean() < 0.8
    first = seen.argmax(axis=1)
    assert first[0] > first[-1] + 50
    assert (np.diff(first) <= 0).all()
    for layer in ("SCL", "WVP", "CLDPRB", "B11"):
        assert (read(product, layer)[:, 0] == 0).all()
    root = ElementTree.parse(product / "MTD_MSIL2A.xml")
    ring = np.array(next(root.iter("EXT_POS_LIST")).text.split(), float).reshape(-1, 2)
    x, _ = Transformer.from_crs(4326, 32631, always_xy=True).transform(ring[:, 1], ring[:, 0])
    assert min(x) == pytest.approx(597_000 + first[-1] * 10, abs=30)


@pytest.mark.parametrize("day", ["broken", "edge"])
def test_tiles_agree_where_they_overlap(scenes, day):
    """31UFT holds the very values of 31UET east of easting 600 000."""
    (left,), (right,) = found(scenes, day), found(scenes, day, "31UFT")
    for layer in ("B02", "B08", "B12", "SCL", "WVP"):
        one, two = read(left, layer), read(right, layer)
        columns = two.shape[1]
        np.testing.assert_array_equal(one[: two.shape[0], -columns:], two)


def test_seam_of_the_tiles_runs_through_the_region():
    """Easting 600 000 crosses the middle half of the region at its north and south side."""
    west, south, east, north = REGION_RD
    assert all(value % 10 == 0 for value in REGION_RD)
    to_utm = Transformer.from_crs(28992, 32631, always_xy=True).transform
    quarter = (east - west) / 4
    for y in (south, north):
        assert to_utm(west + quarter, y)[0] < 600_000 < to_utm(east - quarter, y)[0]
    to_rd = Transformer.from_crs(4326, 28992, always_xy=True).transform
    assert to_rd(REGION[0], REGION[1]) == pytest.approx((west, south), abs=150)


def test_clouds_throw_shadow_away_from_the_sun(scenes):
    """Dark classes correlate best with cloud moved to the north-west, as the morning sun asks."""
    (product,) = found(scenes, "broken")
    classes = read(product, "SCL")
    cloud, shadow = np.isin(classes, (8, 9)), classes == 3
    assert shadow.sum() > 200

    def overlap(rows, columns):
        return (np.roll(cloud, (rows, columns), (0, 1)) & shadow).sum()

    steps = [(r, c) for r in range(-60, 61, 4) for c in range(-60, 61, 4)]
    rows, columns = max(steps, key=lambda step: overlap(*step))
    assert rows < 0
    assert columns < 0


def test_metadata_say_that_nothing_was_observed(scenes):
    """Every product and granule has a PRODUCT_ORIGIN that says synthetic; so has the manifest."""
    for product in (scenes / "scenes").iterdir():
        for path in (product / "MTD_MSIL2A.xml", *product.glob("GRANULE/*/MTD_TL.xml")):
            assert "synthetic" in next(ElementTree.parse(path).iter("PRODUCT_ORIGIN")).text
        assert "synthetic" in (product / "manifest.safe").read_text()
        root = ElementTree.parse(product / "MTD_MSIL2A.xml")
        assert next(root.iter("PRODUCT_URI")).text == product.name
        for image in root.iter("IMAGE_FILE"):
            assert (product / f"{image.text}.jp2").is_file()


def test_manifest_holds_the_checksum_of_every_file(scenes):
    """Size and SHA3-256 of all files beside the manifest."""
    (product,) = found(scenes, "before")
    root = ElementTree.parse(product / "manifest.safe")
    said = {
        stream.find("fileLocation").get("href")[2:]: stream.find("checksum").text.lower()
        for stream in root.iter("byteStream")
    }
    files = [p for p in product.rglob("*") if p.is_file() and p.name != "manifest.safe"]
    assert said == {
        p.relative_to(product).as_posix(): hashlib.sha3_256(p.read_bytes()).hexdigest()
        for p in files
    }


def test_complete_set_is_left_alone_and_interrupted_run_completed(tmp_path):
    """No file changes on a second call; without marker or with a product gone all is made anew."""
    folder, chosen = tmp_path / "set", ONE
    w._write(folder, chosen, progress=False)
    before = digests(folder)
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    w._write(folder, chosen, progress=False)
    assert times == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}

    (folder / "practice.json").unlink()
    product = next((folder / "scenes").iterdir())
    product.rename(product.with_name(product.name + ".part"))
    next(folder.rglob("*_B04_10m.jp2")).write_bytes(b"half")
    w._write(folder, chosen, progress=False)
    assert digests(folder) == before

    shutil.rmtree(next((folder / "scenes").iterdir()))
    assert not w._is_complete(folder, [p.name for o in chosen for p in products(o)])


def test_older_version_is_made_anew(tmp_path, monkeypatch):
    """A marker of another version does not count, and its products do not stay."""
    folder = w._write(tmp_path, ONE, progress=False)
    marker = json.loads((folder / "practice.json").read_text())
    (folder / "practice.json").write_text(json.dumps(marker | {"version": "0"}))
    (folder / "scenes" / "S2A_OLD.SAFE").mkdir()
    w._write(folder, ONE, progress=False)
    assert json.loads((folder / "practice.json").read_text())["version"] == w.VERSION
    assert not (folder / "scenes" / "S2A_OLD.SAFE").exists()


def test_crops_follow_their_calendar(scenes):
    """NDVI of each crop peaks and falls in its own months; grass stays green."""
    fields = gpd.read_file(scenes / "truth" / "fields.gpkg")
    assert fields.crs.to_epsg() == 28992
    assert set(fields["crop"]) == set(list(CLASSES)[:7])
    months = {m: _ndvi_by_crop(scenes, date(2022, m, 15), fields) for m in (1, 5, 8, 11)}
    assert months[5]["winter wheat"] > 0.75 > 0.45 > months[8]["winter wheat"]
    assert months[5]["winter barley"] > 0.75 > 0.45 > months[8]["winter barley"]
    assert months[8]["sugar beet"] > 0.8 > 0.35 > months[5]["sugar beet"]
    assert months[8]["maize"] > 0.75 > 0.35 > months[5]["maize"]
    assert months[8]["potato"] > 0.7 > 0.35 > months[11]["potato"]
    assert months[8]["onion"] < 0.65
    assert min(month["grassland"] for month in months.values()) > 0.5


def test_barley_ripens_before_wheat(scenes):
    """At the end of June barley is yellowing while wheat is green; in May nobody can tell them."""
    fields = gpd.read_file(scenes / "truth" / "fields.gpkg")
    may, june = (_ndvi_by_crop(scenes, date(2022, *day), fields) for day in ((5, 15), (6, 28)))
    assert june["winter wheat"] - june["winter barley"] > 0.1
    assert abs(may["winter wheat"] - may["winter barley"]) < 0.03


def test_fields_differ_and_vary_inside(scenes):
    """In June the NDVI varies by hundredths within a field, and more between fields of a crop."""
    parcels = pd.read_csv(scenes / "truth" / "parcels.csv", index_col="parcel")
    with rasterio.open(scenes / "truth" / "parcels.tif") as source:
        ids = source.read(1)
    # a 10 m pixel holds four places of 5 m; within a field it and its neighbours are of one parcel
    low, high = minimum_filter(ids, 6)[::2, ::2], maximum_filter(ids, 6)[::2, ::2]
    inside = low == high
    ndvi = _ndvi(*(truth_reflectance(scenes, "2022-06-20", b).to_numpy() for b in ("B04", "B08")))
    each = pd.Series(ndvi[inside]).groupby(low[inside]).agg(["mean", "std", "size"])
    each = each[each["size"] >= 30].join(parcels["surface"])
    for crop in list(CLASSES)[:7]:
        fields = each[each["surface"] == crop]
        assert len(fields) >= 10
        assert 0.01 < fields["std"].median() < 0.06, crop
        assert fields["mean"].std() > 1.5 * fields["std"].median(), crop


def _ndvi(red: np.ndarray, nir: np.ndarray) -> np.ndarray:
    return (nir - red) / (nir + red)


@pytest.mark.parametrize("day", ["before", "after", "summer"])
def test_clear_water_looks_like_turbid_water(scenes, day):
    """B04 is 0.02-0.05 and B08 0.01-0.03, so that the NDVI is -0.1 to -0.6, whatever the noise."""
    parcels = pd.read_csv(scenes / "truth" / "parcels.csv", index_col="parcel")
    with rasterio.open(scenes / "truth" / "parcels.tif") as source:
        water = (parcels["landcover"] == "water").to_numpy()[source.read(1)]
    only = minimum_filter(water, 2, origin=-1)[::2, ::2]
    (product,) = found(scenes, day)
    red, nir = (reflectance(product, band)[only] for band in ("B04", "B08"))
    assert only.sum() > 5000
    assert ((red > 0.017) & (red < 0.06)).mean() > 0.99
    assert ((nir > 0.007) & (nir < 0.035)).mean() > 0.99
    low, high = np.percentile(_ndvi(red, nir), (0.1, 99.9))
    assert -0.6 < low < high < -0.1


@pytest.mark.parametrize("band", ["B04", "B08", "B11"])
def test_truth_is_what_was_drawn(scenes, band):
    """On a clear day the product is gain times truth plus haze, and noise of two counts."""
    (product,) = found(scenes, "after")
    truth = truth_reflectance(scenes, DAYS["after"], band).to_numpy().ravel()
    seen = reflectance(product, band).ravel()
    rest = seen - np.polyval(np.polyfit(truth, seen, 1), truth)
    assert rest.std() == pytest.approx(2e-4, rel=0.05)


def _ndvi_by_crop(folder: Path, day: date, fields) -> dict[str, float]:
    red, nir = (truth_reflectance(folder, day, band) for band in ("B04", "B08"))
    points = fields.representative_point().to_crs(32631)
    at = {"x": points.x.to_xarray(), "y": points.y.to_xarray()}
    red, nir = (image.sel(at, method="nearest").to_numpy() for image in (red, nir))
    return {
        crop: float(np.median(((nir - red) / (nir + red))[fields["crop"] == crop]))
        for crop in fields["crop"].unique()
    }


def test_truth_lies_on_the_region(scenes):
    """Land cover and elevation cover the region in RD; every class exists and is named."""
    with rasterio.open(scenes / "truth" / "landcover.tif") as cover:
        assert tuple(cover.bounds) == REGION_RD
        assert set(np.unique(cover.read(1))) == {code for code, _ in CLASSES.values()}
        assert cover.tags(1)["class_7"] == "water"
        assert cover.colormap(1)[7][:3] == (30, 111, 184)
    with rasterio.open(scenes / "truth" / "elevation.tif") as elevation:
        assert tuple(elevation.bounds) == REGION_RD
        assert -8 < elevation.read(1).min() < -4 < 3 < elevation.read(1).max() < 20


def test_unknown_band_of_truth_is_refused(scenes):
    """The error lists the bands there are."""
    with pytest.raises(InvalidInputError, match=r"B99.*B02"):
        truth_reflectance(scenes, "2022-01-30", "B99")


def test_calendar_repeats_like_the_satellites():
    """Ten days per satellite and orbit, five between the two; real passes are on the cycle."""
    every = overpasses()
    assert 80 <= len(every) <= 95
    assert len({(o.day, o.orbit) for o in every}) == len(every)
    for orbit, real in ((51, date(2018, 1, 1)), (8, date(2022, 6, 16))):
        for overpass in (o for o in every if o.orbit == orbit):
            cycle = (overpass.day - real).days % 10
            assert cycle == {"A": 0, "B": 5}[overpass.spacecraft]
    assert {o.baseline for o in every} == {"03.00", "03.01", "04.00", "05.09"}
    assert all((o.baseline >= "04.00") == (o.day >= date(2022, 1, 25)) for o in every)


def test_all_passes_are_listed(scenes):
    """Ten days per satellite and orbit, R051 43 orbits after R008; those kept have scenes."""
    table = pd.read_csv(scenes / "truth" / "passes.csv", parse_dates=["sensing"])
    assert table.equals(passes().astype({"sensing": table.sensing.dtype}))
    assert table.sensing.is_monotonic_increasing
    for (orbit, spacecraft), part in table.groupby(["relative_orbit", "spacecraft"]):
        assert (part.sensing.diff().dropna() == pd.Timedelta(days=10)).all(), (orbit, spacecraft)
    satellite = table[table.spacecraft == "S2A"].set_index("relative_orbit").sensing
    later = (satellite[51] - satellite[8].iloc[0]).dropna() % pd.Timedelta(days=10)
    # 143 orbits take 10 days
    assert abs(later.iloc[0] - pd.Timedelta(days=10) * 43 / 143) < pd.Timedelta(seconds=30)
    kept = table[table.kept]
    known = {(o.sensing, o.orbit, f"S2{o.spacecraft}") for o in overpasses()}
    columns = ["sensing", "relative_orbit", "spacecraft"]
    assert set(kept[columns].itertuples(index=False, name=None)) == known
    assert f"{len(known)} of {len(table)} passes" in ORIGIN


def test_datatakes_begin_before_the_region_is_seen():
    """By up to a quarter of an orbit, 25 minutes; the sun is where mid-morning puts it."""
    for overpass in overpasses():
        assert 0 < (overpass.sensing - overpass.start).total_seconds() < 25 * 60
        assert 140 < sun_angles(overpass.sensing)[1] < 175


def test_every_season_has_clear_days():
    """At least two clear days in each quarter of both years."""
    clear = [o.day for o in overpasses() if o.sky == "clear"]
    quarters = [(day.year, (day.month - 1) // 3) for day in clear]
    assert min(quarters.count(quarter) for quarter in set(quarters)) >= 2
    assert len(set(quarters)) == 8


def test_absolute_orbit_of_a_real_product():
    """S2A flew absolute orbit 34511 on R051 on 2022-01-30, 26 after A034485 on R025."""
    overpass = next(o for o in overpasses() if o.day == date(2022, 1, 30))
    assert (overpass.spacecraft, overpass.absolute_orbit) == ("A", 34_511)


def test_sun_angles_of_a_real_product():
    """Mean sun of T01KAB at 2023-08-21 22:20:46 UTC, from its MTD_TL.xml, within half a degree."""
    when = datetime(2023, 8, 21, 22, 20, 46, tzinfo=UTC)
    zenith, azimuth = sun_angles(when, latitude=-16.75, longitude=179.77)
    assert zenith == pytest.approx(38.417, abs=0.5)
    assert azimuth == pytest.approx(43.301, abs=0.7)


def test_bands_are_all_there(scenes):
    """Ten bands, classes, probabilities and vapour in each product."""
    for product in (scenes / "scenes").iterdir():
        names = {path.name.rsplit("_", 2)[-2] for path in product.rglob("*.jp2")}
        assert names == {*BANDS, "SCL", "WVP", "CLDPRB", "SNWPRB"}
