"""Typical wrong answers to the graded exercises: each gets the hint that fits it."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from s2kit.course import checks

DAYS = [f"2022-{month:02}-{day:02}" for month in range(1, 13) for day in (4, 17)]
TIMES = np.array(DAYS, "datetime64[ns]")
rng = np.random.default_rng(5)
SHAPE = (len(TIMES), 6, 5)
CLEAR = xr.DataArray(rng.random(SHAPE) < 0.45, {"time": TIMES}, ("time", "y", "x"))
CLEAR[:8, :2, :2] = False
RED = xr.DataArray(rng.uniform(0.02, 0.2, SHAPE), {"time": TIMES}, ("time", "y", "x"))
RED = RED.where(CLEAR, RED + 0.5)
NIR = RED + rng.uniform(0.05, 0.3, SHAPE)
CUBE = xr.Dataset(
    {"B03": RED * 0.9, "B04": RED, "B08": NIR},
    {
        "relative_orbit": ("time", np.where(np.arange(24) % 3 == 1, 8, 51)),
        "clear_fraction": ("time", np.round(rng.random(24), 2)),
    },
)
LEAST = float(CUBE.clear_fraction.values[CUBE.relative_orbit.values == 51][2])
NDVI = (NIR - RED) / (NIR + RED)
SEEN = NDVI.where(CLEAR)
PIXEL = CLEAR[:, 4, 3]
SHARE = CLEAR.mean(["y", "x"])
CHANGE = SHARE - CUBE.clear_fraction
EFFECT = NDVI.std("time") - SEEN.std("time")
WINTER = CLEAR.isel(time=slice(0, 6))
MIDDAY = np.datetime64("2022-07-01T12", "ns")
AWAY = abs(TIMES - np.datetime64("2022-07-01")) / np.timedelta64(1, "D")
AWAY = xr.DataArray(AWAY, {"time": TIMES}, "time")
SIGNED = (CLEAR.time - np.datetime64("2022-07-01", "ns")) / np.timedelta64(1, "D")
BRIGHTER = RED.mean("time") - RED.where(CLEAR).mean("time")
SERIES = xr.DataArray(
    [0.3, np.nan, 0.8, 0.5, 0.45, np.nan, 0.9, np.nan, 0.4, 0.1, 0.2, 0.7],
    {"time": TIMES[:12]},
    "time",
)


def saying(check, answer, capsys):
    """Return whether a check passes, and what it prints."""
    passed = check(answer)
    return passed, capsys.readouterr().out


def summer(answer):
    """Check exercise 02, task 1."""
    return checks.season_count(answer, CUBE)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (6, "✓"),
        (CUBE.sel(time=slice("2022-06", "2022-08")).sizes["time"], "✓"),
        (CUBE.sel(time=slice("2022-06", "2022-09")).sizes["time"], "September is among them"),
        (CUBE.sel(time=slice("2022-06", "2022-07")).sizes["time"], "August is left out"),
        ((CUBE.time.dt.season == "JJA").count(), "also count what is false"),
        (CUBE.time.dt.season == "JJA", "count the true ones"),
        ((CUBE.time.dt.season != "JJA").sum(), "Those are the others"),
        ((CUBE.time.dt.season == "JJA").mean(), "share of the overpasses"),
        (CUBE.sel(time=CUBE.time.dt.season == "JJA"), "whole Dataset or its times"),
        (CUBE.time[CUBE.time.dt.season == "JJA"], "whole Dataset or its times"),
        ([6], "list of one number"),
        (None, "in place of None"),
    ],
)
def test_summer(answer, says, capsys):
    """Months, both ends of a slice, and counting are told apart."""
    passed, out = saying(summer, answer, capsys)
    assert says in out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (lambda c, o, s: (c.relative_orbit == o) & (c.clear_fraction >= s), "✓"),
        (lambda c, o, s: (c.relative_orbit == o) & (c.clear_fraction > s), "use >=, not >"),
        (lambda c, o, s: c.clear_fraction >= s, "The orbit does not matter"),
        (lambda c, o, s: c.relative_orbit == o, "The clear fraction does not matter"),
        (lambda c, o, s: (c.relative_orbit == o) | (c.clear_fraction >= s), "not with |"),
        (lambda c, o, s: (c.relative_orbit == o) & (c.clear_fraction < s), "others of the orbit"),
        (lambda c, o, s: (c.relative_orbit == o) & (c.clear_fraction <= s), "cloudier ones"),
        (lambda c, o, s: (c.relative_orbit != o) & (c.clear_fraction >= s), "other orbits"),
        (
            lambda c, o, s: (c.relative_orbit == o) & (c.clear_fraction >= 100 * s),
            "between 0 and 1",
        ),
    ],
)
def test_select(condition, says, capsys):
    """Each condition that is turned round, missing, or joined the wrong way is named."""

    def answer(cube, orbit, least):
        return cube.sel(time=condition(cube, orbit, least))

    passed = checks.orbit_function(answer, CUBE, orbit=51, least=LEAST)
    assert says in capsys.readouterr().out and passed is (says == "✓")


def test_select_in_a_cube_of_one_orbit(capsys):
    """Where all overpasses are of the orbit, it is the clear fraction that is missing."""
    one = CUBE.sel(time=CUBE.relative_orbit == 51)
    checks.orbit_function(
        lambda c, o, s: c.sel(time=c.relative_orbit == o), one, orbit=51, least=LEAST
    )
    assert "clear fraction does not matter" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda c, o, s: c.where(c.relative_orbit == o), "makes gaps"),
        (lambda c, o, s: c.relative_orbit == o, "true or false for each overpass"),
        (lambda c, o, s: c.B04, "returns a DataArray"),
        (lambda c, o, s: c.isel(time=0), "dimension time is lost"),
        (lambda c, o, s: print(end=""), "must end with return"),
        (lambda c: c, "takes 1 positional argument"),
        (3, "not a function"),
    ],
)
def test_select_returns_a_part(answer, says, capsys):
    """What is no part of the cube, and no function, gets its own hint."""
    assert not checks.orbit_function(answer, CUBE, orbit=51, least=LEAST)
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (SHARE, "✓"),
        (CUBE.clear_fraction, "of the whole region"),
        (1 - SHARE, "not clear"),
        (100 * SHARE, "per cent"),
        (CLEAR.sum(["y", "x"]), "numbers of pixels"),
        (CLEAR.mean(), "name the axes"),
        (CLEAR.mean("time"), "one number for each pixel"),
        (CLEAR.mean("x"), "name both"),
        (CLEAR, "the mask itself"),
    ],
)
def test_share(answer, says, capsys):
    """Axes, unit, and whose share it is are told apart."""
    passed = checks.share_series(answer, CLEAR, CUBE)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (abs(CHANGE).idxmax(), "✓"),
        (pd.Timestamp(abs(CHANGE).idxmax().item()), "✓"),
        (abs(CHANGE).idxmin(), "differ least"),
        (abs(CHANGE).argmax("time"), "the position"),
        (abs(CHANGE).max(), "by how much"),
        (abs(CHANGE), "all differences"),
        (SHARE.idxmax(), "window was clearest"),
    ],
)
def test_difference(answer, says, capsys):
    """The time of the largest difference is told from its size, position and sign."""
    passed = checks.largest_gap(answer, CLEAR, CUBE)
    assert says in capsys.readouterr().out and passed is (says == "✓")


def test_difference_without_its_sign(capsys):
    """Who forgets the absolute value finds the day of one of the two signs."""
    one = CHANGE.idxmax() if abs(CHANGE).idxmax() == CHANGE.idxmin() else CHANGE.idxmin()
    assert not checks.largest_gap(one, CLEAR, CUBE)
    assert "The sign matters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (PIXEL.sum(), "✓"),
        (PIXEL.count(), "also count what is false"),
        (len(PIXEL), "also count what is false"),
        ((~PIXEL).sum(), "not clear"),
        (PIXEL, "count the true ones"),
        (PIXEL.mean(), "share of the overpasses"),
        (100 * PIXEL.mean(), "per cent"),
        ([PIXEL.sum()], "list of one number"),
        (PIXEL.sum, "write brackets"),
        (CLEAR.sum("time"), "30 numbers"),
    ],
)
def test_clear_days(answer, says, capsys):
    """Counting true values is told from counting all of them."""
    passed = checks.clear_days(answer, PIXEL)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        (lambda s: (s.B08 - s.B04) / (s.B08 + s.B04), "✓"),
        (lambda s: (s.B04 - s.B08) / (s.B08 + s.B04), "swapped"),
        (lambda s: s.B08 - s.B04 / s.B08 + s.B04, "Brackets"),
        (lambda s: (s.B08 - s.B04) / s.B08 + s.B04, "Brackets"),
        (lambda s: s.B08 - s.B04 / (s.B08 + s.B04), "Brackets"),
        (lambda s: (s.B08 + s.B04) / (s.B08 - s.B04), "divides by the sum"),
        (lambda s: s.B08 / s.B04, "ratio"),
        (lambda s: s.B08 - s.B04, "only the difference"),
        (lambda s: (s.B03 - s.B08) / (s.B03 + s.B08), "NDWI"),
        (lambda s: (s.B08 - s.B03) / (s.B03 + s.B08), "with green"),
        (lambda s: s.B04, "red alone"),
        (lambda s: ((s.B08 - s.B04) / (s.B08 + s.B04)).mean(), "one number"),
        (lambda s: None, "must end with return"),
        (lambda s: s.B8, "ends in an error: AttributeError"),
        (lambda s: s, "whole Dataset"),
        (NDVI, "not a function"),
    ],
)
def test_formula(formula, says, capsys):
    """Each slip of the formula, and of writing a function, has its hint."""
    passed = checks.ndvi_function(formula, CUBE)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "statistic", "says"),
    [
        (SEEN.mean("time"), "mean", "✓"),
        (SEEN.std("time"), "std", "✓"),
        (NDVI.mean("time"), "mean", "mask is missing"),
        (NDVI.std("time"), "std", "mask is missing"),
        (NDVI.where(~CLEAR).mean("time"), "mean", "not clear"),
        ((NDVI * CLEAR).mean("time"), "mean", "Zeros take part"),
        (SEEN.mean(), "mean", "name the axis"),
        (SEEN.mean(["y", "x"]), "mean", "one number for each overpass"),
        (SEEN, "mean", "Nothing is taken together"),
        (SEEN.median("time"), "mean", "That is the median"),
        (SEEN.std("time"), "mean", "That is the standard deviation"),
        (SEEN.mean("time"), "std", "That is the mean"),
        (SEEN.var("time"), "std", "variance"),
        (SEEN.std("time", ddof=1), "std", "divides by n − 1"),
        (SEEN.max("time"), "mean", "largest"),
        (NDVI.median("time"), "mean", "That is the median, and the mask is missing"),
        (SEEN.count("time"), "std", "how many observations"),
    ],
)
def test_maps(answer, statistic, says, capsys):
    """Mask, axis and statistic are told apart."""
    passed = checks.statistic_map(answer, NDVI, CLEAR, statistic)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (EFFECT.median(), "✓"),
        (-EFFECT.median(), "sign is turned"),
        (EFFECT.mean(), "mean over the pixels"),
        (EFFECT, "each pixel"),
        (NDVI.std("time").median(), "without the mask"),
        (SEEN.std("time").median(), "deviation with the mask"),
        ((NDVI.mean("time") - SEEN.mean("time")).median(), "how much the mean changed"),
        (NDVI.std() - SEEN.std(), "all pixels and days together"),
        ((NDVI.std("time") / SEEN.std("time")).median(), "ratio"),
        (0.0, "both have the same mask"),
        (NDVI.std("time").median() - SEEN.std("time").median(), "First subtract"),
        (EFFECT.max(), "largest change"),
    ],
)
def test_effect(answer, says, capsys):
    """Order of steps, sign and statistic are told apart."""
    passed = checks.mask_effect(answer, NDVI, CLEAR)
    assert says in capsys.readouterr().out and passed is (says == "✓")


KNOWN = SERIES.dropna("time")
FELL = KNOWN.diff("time")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (FELL.time[FELL <= -0.25], "✓"),
        ([pd.Timestamp(one) for one in FELL.time[FELL <= -0.25].values], "✓"),
        (KNOWN.time[:-1][(FELL <= -0.25).values], "the days before the drops"),
        (FELL.time[FELL >= 0.25], "on which it rises"),
        (FELL.time[abs(FELL) >= 0.25], "Rises are among them"),
        (FELL.time[FELL < 0], "however little"),
        (SERIES.time[1:][(SERIES.diff("time") <= -0.25).values], "Gaps take part"),
        ((FELL <= -0.25).values, "true or false for each day"),
        ((FELL <= -0.25).sum(), "how many there are"),
        (FELL, "changes; give the days"),
        (KNOWN.time[KNOWN <= 0.25], "value itself is low"),
        (KNOWN.time, "all days"),
    ],
)
def test_drops(answer, says, capsys):
    """Drops are told from rises, from low values, and from the days before."""
    passed = checks.sudden_drops(lambda series, least: answer, SERIES, least=0.25)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((~WINTER.any("time")).mean(), "✓"),
        (WINTER.any("time").mean(), "seen at least once"),
        ((~WINTER).mean(), "all pixels and days"),
        (~WINTER.any("time"), "take the mean"),
        ((~WINTER.any("time")).sum(), "number of pixels"),
        (100 * (~WINTER.any("time")).mean(), "per cent"),
        ((~WINTER.all("time")).mean(), "not .all"),
        (WINTER.sum("time"), "which are 0"),
        (0.0, "the mask of this task"),
    ],
)
def test_gaps(answer, says, capsys):
    """Never clear is told from not always clear, and pixels from days."""
    passed = checks.gap_share(answer, WINTER)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (BRIGHTER.mean(), "✓"),
        (-BRIGHTER.mean(), "sign is turned"),
        (BRIGHTER, "each pixel"),
        (BRIGHTER.median(), "median over the pixels"),
        ((RED.median("time") - RED.where(CLEAR).median("time")).mean(), "medians along time"),
        (RED.mean(), "mean of all observations"),
        (RED.where(CLEAR).mean("time").mean(), "mean of the clear ones"),
        (RED.mean() - RED.where(CLEAR).mean(), "all pixels and days together"),
        ((RED.mean("time") / RED.where(CLEAR).mean("time")).mean(), "ratio"),
    ],
)
def test_brightening(answer, says, capsys):
    """Order of steps, sign and statistic are told apart."""
    passed = checks.cloud_brightening(answer, RED, CLEAR)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (AWAY.where(CLEAR).min("time"), "✓"),
        (SIGNED.where(CLEAR).min("time"), "take abs"),
        (AWAY.where(CLEAR).max("time"), "farthest"),
        (AWAY.min(), "one number for the whole map"),
        (AWAY.where(CLEAR).min(), "one number for the whole map"),
        (AWAY.where(CLEAR).min("time") * np.nan, "divide by np.timedelta64(1, 'D') first"),
        (AWAY.where(~CLEAR).min("time"), "not clear"),
        ((AWAY * CLEAR).min("time"), "Zeros"),
        (AWAY.where(CLEAR).mean("time"), "take the smallest"),
        (24 * AWAY.where(CLEAR).min("time"), "not days"),
        (AWAY.where(CLEAR), "Nothing is taken yet"),
    ],
)
def test_age(answer, says, capsys):
    """Sign, mask, unit and axis are told apart."""
    passed = checks.nearest_observation(lambda clear, day: answer, CLEAR, "2022-07-01")
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda away: away.min("time"), "✓ Right for your cube; it is graded with another mask"),
        (lambda away: np.floor(away.min("time")), "Parts of a day count"),
        (lambda away: away.min("time").round(), "Parts of a day count"),
        (lambda away: away.median("time"), "That is the median"),
        (
            lambda away: away.isel(time=away.notnull().argmax("time")),
            "observation, not the nearest",
        ),
        (lambda away: away.where(away.time <= MIDDAY).min("time"), "only observations before"),
        (lambda away: away.where(away.time >= MIDDAY).min("time"), "only observations after"),
        (lambda away: away.min("time") * np.timedelta64(86400, "s"), "length of time: divide by"),
    ],
)
def test_age_in_parts_of_days(answer, says, capsys):
    """Whole days, one side of the date, the first observation and lengths of time are told."""
    times = MIDDAY + np.array([-30, -9, -3, 4, 20, 50]) * np.timedelta64(17, "h")
    seen = np.random.default_rng(1).random((6, 20, 20)) > 0.4
    clear = xr.DataArray(seen, {"time": times}, ("time", "y", "x"))
    away = (abs(clear.time - MIDDAY) / np.timedelta64(1, "D")).where(clear)
    passed = checks.nearest_observation(lambda clear, day: answer(away), clear, MIDDAY)
    assert says in capsys.readouterr().out and passed is says.startswith("✓")


OWN = gpd.GeoDataFrame(
    {"crop": ["maize", "maize", "wheat"]},
    geometry=[shapely.box(0, 0, 100, 200), shapely.box(0, 0, 300, 100), shapely.box(0, 0, 70, 90)],
    crs="EPSG:28992",
)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (5, "✓"),
        (50_000, "square metres"),
        (0.05, "square kilometres"),
        (50, "not 1000"),
        (5.63, "all crops"),
        (0.63, "other crops"),
        (2.5, "mean of a field"),
        (2, "number of fields"),
        ([2.0, 3.0], "one number for each field"),
        (1400, "outlines"),
    ],
)
def test_area(answer, says, capsys):
    """Units, crops and statistics are told apart."""
    passed = checks.crop_area(answer, OWN, "maize")
    assert says in capsys.readouterr().out and passed is (says == "✓")


TABLE = pd.DataFrame(
    {
        "field": np.repeat([1, 2, 3], 5),
        "time": np.tile(pd.to_datetime(DAYS[:5]), 3),
        "mean": [0.8, 0.5, 0.6, 0.2, 0.9, 0.1, 0.2, 0.3, 0.28, 0.6, 0.9, 0.95, 0.9, 0.6, 0.3],
        "share": [1, 0.8, 0.5, 0.9, 0, 0.8, 1, 0.2, 0, 1, 0.9, 0.85, 0.7, 1, 1],
    }
)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda t, s: t[t.share >= s], "✓"),
        (lambda t, s: t[t.share > s], "use >=, not >"),
        (lambda t, s: t[t.share < s], "hardly seen"),
        (lambda t, s: t[t.share >= 100 * s], "between 0 and 1"),
        (lambda t, s: t[t.share > 0], "compare with least"),
        (lambda t, s: t[t.share == 1], "seen whole"),
        (lambda t, s: t, "All rows"),
        (lambda t, s: t.share >= s, "true or false for each row"),
        (lambda t, s: len(t), "returns a int"),
    ],
)
def test_rows(answer, says, capsys):
    """The limit, its side and its unit are told apart."""
    passed = checks.rows_function(answer, TABLE, least=0.8)
    assert says in capsys.readouterr().out and passed is (says == "✓")


def first(rows, number=0):
    """Return the time of the first of the chosen rows of each field, in plain Python."""
    found = {}
    for field in TABLE.field.unique():
        times = list(TABLE.time[(TABLE.field == field) & rows])
        if times:
            found[field] = times[number]
    return found


BY_FIELD = TABLE.groupby("field")["mean"].diff()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (pd.Series(first(BY_FIELD <= -0.25)), "✓"),
        (first(BY_FIELD <= -0.25), "✓"),
        (first(BY_FIELD <= -0.25, -1), "last drop of each field"),
        (first(TABLE["mean"].diff() <= -0.25), "use .groupby"),
        (first(BY_FIELD >= 0.25), "rises"),
        (first(BY_FIELD < 0), "however small"),
        (first(TABLE["mean"] <= 0.25), "itself is low"),
        (first(BY_FIELD.isna()), "first time of each field"),
        ({1: pd.Timestamp("2022-01-04")}, "There are 2 such fields, yours are 1"),
        ([1, 3], "returns a list"),
    ],
)
def test_mown(answer, says, capsys):
    """The first drop within a field is told from other times."""
    passed = checks.mown_fields(lambda table, least: answer, TABLE, least=0.25)
    assert says in capsys.readouterr().out and passed is (says == "✓")


LATE = TABLE.assign(time=TABLE.time + pd.Timedelta("10:50:31"))


def first_drops(table, least):
    """Return the first drops of each field, as the solution does."""
    change = table.groupby("field")["mean"].diff()
    return table[change <= -least].groupby("field")["time"].first()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (first_drops, "✓"),
        (lambda t, n: first_drops(t, n).dt.normalize(), "days are right, but not the times"),
        (lambda t, n: first_drops(t, n).dt.date, "days are right, but not the times"),
        (lambda t, n: first_drops(t, n).reset_index(drop=True), "index must be the field"),
        (lambda t, n: {}, "It is empty"),
        (lambda t, n: pd.Series(), "It is empty"),
        (lambda t, n: first_drops(t, n) + pd.Timedelta("30D"), "the days are others"),
        (lambda t, n: first_drops(t, n).astype(str) + "?", "the days are others"),
        (lambda t, n: pd.Series([3, "a"], [1, 3]), "the days are others"),
        (lambda t, n: pd.Series([3, 4], [1, 3]), "the days are others"),
    ],
)
def test_mown_with_times_or_fields_lost(answer, says, capsys):
    """Right days without their hours, or without the fields, are told from wrong days."""
    passed = checks.mown_fields(answer, LATE, least=0.25)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda s, n: [], "That is empty"),
        (lambda s, n: [*KNOWN.time[1:][FELL.values <= -n]], "✓"),
        (lambda s, n: [pd.Timestamp(t) for t in KNOWN.time.values[1:][FELL.values <= -n]], "✓"),
        (lambda s, n: pd.NaT, "NaT"),
        (lambda s, n: {3}, "That is a set"),
    ],
)
def test_drops_of_any_kind(answer, says, capsys):
    """Lists of times are as good as arrays; nothing, no time and a set are named."""
    passed = checks.sudden_drops(answer, SERIES, least=0.3)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (np.float32(0.84), 0.8368),
        (0.5, 0.49743),
        (round(0.1998, 2), 0.1998),
        (0.50, 0.5051),
        (0.8, 0.8368),
        (0.836, 0.8368),
        (13.0, 12.9941),
        (12.99, 12.9941),
    ],
)
def test_rounded_numbers(answer, right, capsys):
    """Two decimals or more are enough, also where the last is a zero or the number a float32."""
    fits = abs(round(right, 2) - float(answer)) < 1e-6
    assert checks.judge(answer, right, [], "yes") is fits
    assert checks.judge(answer, right, [("that", right + 2e-4)], "yes") is False


def test_rounded_too_much_is_told(capsys):
    """One decimal leaves too many wrong numbers alike."""
    assert not checks.judge(0.3, 0.2871, [], "yes")
    assert "rounded too much" in capsys.readouterr().out


@pytest.mark.parametrize("right", [0.0023, -0.004, 1e-4])
def test_zero_is_no_rounded_number(right, capsys):
    """Where the right number is small, an answer of 0 is not that number with two decimals."""
    assert not checks.judge(0.0, right, [], "yes")


def test_all_fields_left_out_is_told(capsys):
    """A share in per cent leaves no field: the hint says so, and nothing of gaps."""
    fields = TABLE.assign(crop="maize", std=0.1, count=9)
    assert not checks.crop_mean(
        fields[fields.share >= 80]["mean"].mean(), fields, "maize", least=0.8
    )
    assert "share is between 0 and 1" in capsys.readouterr().out


def test_whole_selection_is_no_count(capsys):
    """Overpasses, and all layers of a count, are no number."""
    chosen = CUBE.sel(time=CUBE.clear_fraction >= 0.5)
    for answer, says in (
        (chosen, "count its overpasses"),
        (chosen.count(), "clear_fraction alone"),
    ):
        assert not checks.clear_count(answer, CUBE, least=0.5)
        assert says in capsys.readouterr().out
    assert not checks.clear_count((CUBE.clear_fraction >= 0.5).count(), CUBE, least=0.5)
    assert "also count what is false" in capsys.readouterr().out


LABELS = pd.Series(["grassland"] * 6 + ["maize"] * 3 + ["onion"])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (0.6, "✓"),
        (LABELS.value_counts(normalize=True).max(), "✓"),
        (6, "divide by all samples"),
        (10, "number of samples"),
        (3, "number of classes"),
        ("grassland", "name of the class"),
        (LABELS.mode()[0], "name of the class"),
        (60, "per cent"),
        (0.1, "rarest class"),
        (0.4, "all other classes"),
        (1 / 3, "equally frequent"),
        (LABELS.value_counts(normalize=True), "take the largest"),
        (LABELS.value_counts(), "take the largest"),
    ],
)
def test_majority(answer, says, capsys):
    """A share is no count, no name and no percentage."""
    passed = checks.majority_share(answer, LABELS)
    assert says in capsys.readouterr().out and passed is (says == "✓")


SAMPLES = pd.DataFrame({"field": [4, 4, 7, 9, 9, 2], "label": list("aabbcc")})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda samples, fields: samples.field.isin(fields), "✓"),
        (lambda samples, fields: [field in fields for field in samples.field], "✓"),
        (lambda samples, fields: ~samples.field.isin(fields), "samples of the training"),
        (lambda samples, fields: samples.field == fields[0], "one field only"),
        (lambda samples, fields: samples.field > 0, "All samples are in the test"),
        (lambda samples, fields: samples.index.isin(["a"]), "No sample is in the test"),
        (lambda samples, fields: samples.field.isin(fields).sum(), "how many samples"),
        (lambda samples, fields: samples[samples.field.isin(fields)], "rows of the table"),
        (lambda samples, fields: samples.index[samples.field.isin(fields)], "row numbers"),
        (
            lambda samples, fields: samples.field.map(dict.fromkeys(fields, True)).fillna(False),
            "✓",
        ),
        (lambda samples, fields: {"a": 1}, "That is a dict"),
        (lambda samples, fields: (field in fields for field in samples.field), "a generator"),
        (lambda samples, fields: samples.field in fields, "ends in an error"),
        (lambda samples, fields: None, "returns None"),
        (SAMPLES.field.isin([4, 9]), "not a function"),
    ],
)
def test_split(answer, says, capsys):
    """The other side, one field, rows and counts are told apart."""
    passed = checks.split_function(answer, SAMPLES, [4, 9])
    assert says in capsys.readouterr().out and passed is (says == "✓")


CONFUSION = pd.DataFrame([[8, 2, 0], [1, 3, 0], [0, 4, 6]], list("abc"), list("abc"))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda c: np.diag(c) / c.sum(axis=1), "✓"),
        (lambda c: [0.8, 0.75, 0.6], "✓"),
        (lambda c: np.diag(c) / c.sum(), "precision"),
        (lambda c: np.diag(c) / c.sum(axis=0), "precision"),
        (lambda c: 2 * np.diag(c) / (c.sum(axis=0) + c.sum(axis=1)), "F1"),
        (lambda c: np.diag(c), "These are pixels"),
        (lambda c: 1 - np.diag(c) / c.sum(axis=1), "shares that are wrong"),
        (lambda c: 100 * np.diag(c) / c.sum(axis=1), "per cent"),
        (lambda c: np.diag(c) / c.to_numpy().sum(), "divided by all pixels"),
        (lambda c: c.div(c.sum(axis=1), axis=0), "whole table"),
        (lambda c: (np.diag(c) / c.sum(axis=1)).mean(), "recall of each class is asked for"),
        (lambda c: np.diag(c).sum() / c.to_numpy().sum(), "recall of each class is asked for"),
    ],
)
def test_recalls(answer, says, capsys):
    """Precision, F1, counts, errors and means are told apart."""
    passed = checks.recalls_function(answer, CONFUSION)
    assert says in capsys.readouterr().out and passed is (says == "✓")


ANSWERS = pd.DataFrame({"answer": list("aaab"), "probability": [0.9, 0.5, 0.7, 0.95]})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (0.7625, "✓"),
        (ANSWERS.probability.mean(), "✓"),
        (0.9, "one pixel"),
        (0.8, "median"),
        (0.95, "largest"),
        (0.5, "smallest"),
        (ANSWERS.probability.std(), "spread"),
        (ANSWERS.probability, "one number for each pixel"),
        (76.25, "per cent"),
        (1 - 0.7625, "other classes"),
        (0.75, "how often it answers"),
        (0, "how sure was it"),
    ],
)
def test_unseen(answer, says, capsys):
    """How sure is neither how often nor how right."""
    passed = checks.unseen_answer(answer, ANSWERS)
    assert says in capsys.readouterr().out and passed is (says == "✓")


DN = xr.DataArray(np.array([[0, 900, 1500], [3000, 0, 1000]], "uint16"), dims=("y", "x"))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda dn, offset: (dn.where(dn > 0) + offset) / 10_000, "✓"),
        (lambda dn, offset: dn.where(dn > 0) / 10_000, "offset is missing"),
        (lambda dn, offset: dn / 10_000, "And the offset is missing"),
        (lambda dn, offset: (dn.astype(int) + offset) / 10_000, "Gaps are not left out"),
        (
            lambda dn, offset: ((dn.astype(int) + offset) / 10_000).clip(min=0),
            "And nothing is clipped",
        ),
        (lambda dn, offset: (dn.where(dn > 0) - offset) / 10_000, "wrong sign"),
        (lambda dn, offset: ((dn.where(dn > 0) + offset) / 10_000).clip(min=0), "are clipped"),
        (
            lambda dn, offset: ((dn.where(dn > 0) + offset) / 10_000).where(lambda r: r > 0),
            "are left out",
        ),
        (
            lambda dn, offset: (dn - np.uint16(-offset)).where(dn > 0) / 10_000,
            "Unsigned numbers have no room",
        ),
        (lambda dn, offset: dn + offset, "ends in an error"),
        (lambda dn, offset: dn.where(dn > 0) + offset, "divide by 10 000"),
        (lambda dn, offset: dn.where(dn > 0) / 10_000 + offset, "before you divide"),
        (lambda dn, offset: (dn.where(dn > 0) + offset) / 100, "per cent"),
        (lambda dn, offset: ((dn.where(dn > 0) + offset) / 10_000).mean(), "for each pixel"),
        (lambda dn, offset: None, "returns None"),
    ],
)
def test_reflectance(answer, says, capsys):
    """Offset, sign, gaps, clipping, overflow and scale are told apart."""
    passed = checks.reflectance_function(answer, DN, offset=-1000)
    assert says in capsys.readouterr().out and passed is (says == "✓")


STORED = CUBE.time[1:8]
DELIVERED = CUBE.time[[0, 6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda old, new: new[~new.isin(old)], "✓"),
        (lambda old, new: [time for time in new.values if time not in old.values], "✓"),
        (lambda old, new: new, "leave out what is stored"),
        (lambda old, new: new[new.isin(old)], "stored already"),
        (lambda old, new: old[~old.isin(new)], "did not arrive"),
        (lambda old, new: np.union1d(old, new), "all dates of both"),
        (lambda old, new: np.setxor1d(old, new), "only one of them has"),
        (lambda old, new: new[new > old.max()], "late scenes arrive too"),
        (lambda old, new: (~new.isin(old)).sum(), "how many they are"),
        (lambda old, new: ~new.isin(old), "true or false for each date"),
        (lambda old, new: [*new[~new.isin(old)]], "✓"),
        (lambda old, new: [pd.Timestamp(t) for t in new.values if t not in old.values], "✓"),
        (lambda old, new: CUBE, "whole Dataset"),
        (lambda old, new: [t not in old.values for t in new.values], "true or false for each date"),
        (lambda old, new: pd.NaT, "NaT"),
        (lambda old, new: [], "That is empty"),
        (lambda old, new: new[~new.isin(old)][:1], "one value"),
        (lambda old, new: None, "returns None"),
    ],
)
def test_dates(answer, says, capsys):
    """The other side, both, later ones and counts are told apart."""
    passed = checks.dates_function(answer, STORED, DELIVERED)
    assert says in capsys.readouterr().out and passed is (says == "✓")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda dn, offset: (dn.where(dn != 0) + offset) / 10_000, "✓"),
        (lambda dn, offset: ((dn.where(dn != 0) + offset) / 10_000).clip(0), "are clipped"),
        (lambda dn, offset: (dn.astype("f8") + offset) / 10_000, "Gaps are not left out"),
        (lambda dn, offset: dn.where(dn != 0) + offset, "divide by 10 000"),
    ],
)
def test_reflectance_of_a_window_without_gaps(answer, says, capsys):
    """Clipping and gaps are found also where the student's window has no dark water and no gap."""
    bright = DN * 0 + np.arange(2000, 2006, dtype="uint16").reshape(2, 3)
    passed = checks.reflectance_function(answer, bright, offset=-1000)
    assert says in capsys.readouterr().out and passed is (says == "✓")
    assert bright.values.min() == 2000
