"""Curves and seasons against dense algebra, scipy, curves with known dates, and a real field."""

from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from s2kit.analysis import phenology
from s2kit.analysis.phenology import regular_series, season
from s2kit.errors import InvalidInputError

EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
DAY = np.timedelta64(1, "D")
FIRST = np.datetime64("2021-01-01")


def make(values, days, first=FIRST, dims=("time",)):
    """Make a series of values on days after the first."""
    times = (first + np.asarray(days) * DAY + np.timedelta64(10, "h")).astype("M8[ns]")
    return xr.DataArray(np.asarray(values, "float64"), {"time": times}, dims)


def double_logistic(day, start=120, end=260, rate=0.08, fall=0.06):
    """Return a season that is halfway up on the day ``start`` and halfway down on ``end``."""
    up, down = 1 / (1 + np.exp(-rate * (day - start))), 1 / (1 + np.exp(-fall * (day - end)))
    return 0.15 + 0.7 * (up - down)


def days_off(dates, day):
    """Return the distance of dates from a day of 2021, in days."""
    return np.abs((dates - FIRST) / DAY - day)


def minimise(values, days, smoothing, length):
    """Solve Eilers' problem with dense matrices, as the paper writes it."""
    weight, target = np.zeros(length), np.zeros(length)
    for value, day in zip(values, days, strict=True):
        weight[day] += 1
        target[day] += value
    differences = np.diff(np.eye(length), 2, axis=0)
    return np.linalg.solve(np.diag(weight) + smoothing * differences.T @ differences, target)


@st.composite
def gappy(draw):
    """Draw (values, days): two clear days at least, some with two observations."""
    days = sorted(draw(st.lists(st.integers(0, 120), min_size=2, max_size=25)))
    values = np.array(draw(st.lists(st.floats(-1, 1), min_size=len(days), max_size=len(days))))
    return values, np.array(days)


# --- regular series


@EXAMPLES
@given(series=gappy(), smoothing=st.sampled_from([1, 30, 1000, 1e5]), step=st.integers(1, 17))
def test_smooth_curve_is_the_minimum(series, smoothing, step):
    """The banded solution is that of dense matrices, on the days of the grid within the series."""
    values, days = series
    with patch.object(phenology, "_SMOOTHING", smoothing):
        found = regular_series(make(values, days), step=step, max_gap=None)
    days = days - days[0]
    grid = np.arange(0, days[-1] + 1, step)
    assert (found.time.values.astype("M8[D]") == found.time.values[0] + grid * DAY).all()
    if days[-1] == 0:
        assert np.isnan(found).all()
        return
    expected = minimise(values, days, smoothing, days[-1] + 1)
    noise = np.abs(expected[days] - values).max()
    expected = expected.clip(values.min() - noise, values.max() + noise)[grid]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@EXAMPLES
@given(
    series=gappy(),
    smoothing=st.sampled_from([1, 1000, 1e5]),
    method=st.sampled_from(["whittaker", "linear"]),
    max_gap=st.integers(1, 60),
)
def test_gaps_stay_gaps(series, smoothing, method, max_gap):
    """A day has a value where the clear days before and after it are near; never a wild one."""
    values, days = series
    with patch.object(phenology, "_SMOOTHING", smoothing):
        found, filled = (
            regular_series(make(values, days), step=1, method=method, max_gap=gap)
            for gap in (max_gap, None)
        )
    seen = np.unique(days)
    for day in range(days[0], days[-1] + 1) if len(seen) > 1 else ():
        before, after = seen[seen <= day].max(), seen[seen >= day].min()
        value = float(found[day - days[0]])
        assert np.isnan(value) == (after - before > max_gap)
        assert np.isnan(value) or value == float(filled[day - days[0]])
    if len(seen) > 1:
        noise = np.abs(filled.values[days - days[0]] - values).max() + 1e-9
        assert values.min() - noise <= float(filled.min())
        assert float(filled.max()) <= values.max() + noise


@pytest.mark.skipif(not hasattr(scipy.signal, "whittaker_henderson"), reason="needs scipy 1.18")
def test_smooth_curve_is_scipys():
    """Where scipy has the smoother, it gives the same curve."""
    rng = np.random.default_rng(0)
    days = np.flatnonzero(rng.random(700) < 0.1)
    values, length = rng.random(len(days)), days[-1] - days[0] + 1
    signal, weights = np.zeros(length), np.zeros(length)
    signal[days - days[0]], weights[days - days[0]] = values, 1
    expected = scipy.signal.whittaker_henderson(signal, lamb=500, weights=weights).x
    with patch.object(phenology, "_SMOOTHING", 500):
        found = regular_series(make(values, days), step=1, max_gap=None)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@EXAMPLES
@given(series=gappy(), step=st.integers(1, 17))
def test_straight_lines_are_numpys(series, step):
    """Linear interpolation goes through each day's mean, and not beyond the ends."""
    values, days = series
    found = regular_series(make(values, days), step=step, method="linear", max_gap=None)
    mean = pd.Series(values).groupby(days).mean()
    if len(mean) < 2:
        assert np.isnan(found).all()
        return
    grid = np.arange(days[0], days[-1] + 1, step)
    np.testing.assert_allclose(found, np.interp(grid, mean.index, mean), atol=1e-12)


@pytest.mark.parametrize("method", ["whittaker", "linear"])
def test_nothing_is_extrapolated(method):
    """Before the first and after the last clear day there is no value, in between always one."""
    values = np.full(60, np.nan)
    values[[20, 21, 44]] = 0.2, 0.3, 0.8
    found = regular_series(make(values, np.arange(60)), step=1, method=method)
    assert np.flatnonzero(np.isfinite(found)).tolist() == list(range(20, 45))


@pytest.mark.parametrize("method", ["whittaker", "linear"])
@pytest.mark.parametrize(
    ("values", "filled"), [([np.nan] * 4, 0), ([np.nan, 1, np.nan, np.nan], 0), ([1, 2], 2)]
)
def test_too_few_clear_days_give_no_curve(method, values, filled):
    """None or one clear day is no curve, two make a line."""
    found = regular_series(make(values, range(len(values))), step=1, method=method)
    assert np.isfinite(found).sum() == filled and found.sizes["time"] == len(values)


def test_a_slope_is_kept_over_ten_years():
    """A straight line is not bent by the penalty, even through two observations only."""
    days = np.arange(0, 3650, 73)
    line = 0.2 + days / 5000
    few = np.where(np.isin(days, days[[0, -1]]), line, np.nan)
    for values, tolerance in ((line, 1e-9), (few, 1e-4)):
        found = regular_series(make(values, days), step=73, max_gap=None)
        np.testing.assert_allclose(found, line, atol=tolerance)


def test_order_of_dimensions_names_and_precision_stay():
    """Maps and tables of fields keep dims, coordinates, attributes and float32."""
    rng = np.random.default_rng(1)
    series = make(rng.random((30, 3, 4)), np.arange(30) * 5, dims=("time", "y", "x"))
    series = series.where(series > 0.3).astype("float32").rename("NDVI").assign_attrs(units="1")
    series = series.assign_coords(x=[1.0, 2, 3, 4], orbit=("time", np.arange(30)))
    for turned in (series, series.transpose("y", "time", "x")):
        found = regular_series(turned)
        assert found.dims == turned.dims and found.dtype == "float32" and found.name == "NDVI"
        assert found.attrs == {"units": "1"} and set(found.coords) == {"time", "x"}
        one = regular_series(series[:, 1, 2])
        np.testing.assert_array_equal(found.isel(y=1, x=2), one)


def test_lazy_blocks_give_the_same():
    """Any blocks of Dask, also along time, stay lazy and change nothing."""
    rng = np.random.default_rng(2)
    values = double_logistic(np.arange(0, 360, 8))[:, None, None] + rng.normal(0, 0.05, (45, 5, 6))
    series = make(values, np.arange(45) * 8, dims=("time", "y", "x"))
    series = series.where(rng.random(series.shape) > 0.4)
    blocked = regular_series(series.chunk(time=7, y=2, x=4))
    assert blocked.chunks is not None
    xr.testing.assert_identical(blocked.compute(), regular_series(series))
    found = season(blocked)
    assert all(layer.chunks is not None for layer in found.values())
    xr.testing.assert_identical(found.compute(), season(regular_series(series)))


def test_the_table_of_fields_becomes_curves():
    """The step from a tidy table to curves is one line, as its documentation says."""
    table = pd.DataFrame(
        {
            "field": [7] * 3 + [9] * 3,
            "time": list(pd.date_range("2021", periods=3, freq="20D")) * 2,
            "mean": [0.1, np.nan, 0.5, 0.2, 0.4, 0.6],
        }
    )
    series = table.set_index(["time", "field"])["mean"].to_xarray()
    found = regular_series(series, method="linear", max_gap=None)
    assert found.dims == ("time", "field")
    np.testing.assert_allclose(found.sel(field=7), [0.1, 0.2, 0.3, 0.4, 0.5])


# --- seasons


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_known_dates_are_found_without_noise(threshold):
    """On a daily curve the dates are those on which the formula itself crosses the level."""
    days = np.arange(365)
    curve = double_logistic(days)
    top = int(curve.argmax())
    fine = np.arange(0, 365, 0.001)
    height = double_logistic(fine)
    rise = height[fine <= top] - curve[0] >= threshold * (curve[top] - curve[0])
    fall = height[fine >= top] - curve[-1] <= threshold * (curve[top] - curve[-1])
    with patch.object(phenology, "_THRESHOLD", threshold):
        found = season(make(curve, days))
    # dates are whole days, so half a day of rounding
    assert days_off(found.start.values, fine[rise.argmax()]) <= 0.51
    assert days_off(found.end.values, top + fine[fall.argmax()]) <= 0.51
    assert days_off(found.peak.values, top) == 0
    assert found.base == pytest.approx((curve[0] + curve[-1]) / 2)
    assert found.amplitude == pytest.approx(curve[top] - found.base)


@pytest.mark.parametrize(
    ("gaps", "noise", "typical", "nearly_all"),
    [(0.5, 0, 1, 3), (0.5, 0.03, 2.5, 6), (0.7, 0.03, 4, 12)],
)
def test_known_dates_are_found_through_noise_and_gaps(gaps, noise, typical, nearly_all):
    """Of 300 series, 5 days apart at best, half are off by a few days, 95 % by a dozen at most."""
    rng = np.random.default_rng(3)
    days = np.arange(0, 365, 5)
    values = double_logistic(days)[:, None] + rng.normal(0, noise, (len(days), 300))
    values[rng.random(values.shape) < gaps] = np.nan
    found = season(regular_series(make(values, days, dims=("time", "field")), max_gap=None))
    assert found.start.notnull().all() and found.end.notnull().all()
    for dates, day in ((found.start, 120), (found.end, 260)):
        off = days_off(dates.values, day)
        assert np.median(off) <= typical and np.percentile(off, 95) <= nearly_all
    assert np.median(days_off(found.peak.values, 182)) <= 10
    assert abs(float(found.amplitude.mean()) - 0.69) < 0.05


def test_smoothing_beats_straight_lines_in_noise():
    """The error of the smooth curve is less than two thirds of that of interpolation."""
    rng = np.random.default_rng(4)
    days = np.arange(0, 365, 5)
    values = double_logistic(days)[:, None] + rng.normal(0, 0.04, (len(days), 200))
    series = make(values, days, dims=("time", "field"))
    truth = double_logistic(np.arange(0, 361, 10))[:, None]
    error = {
        m: float(abs(regular_series(series, method=m) - truth).mean())
        for m in ("whittaker", "linear")
    }
    assert error["whittaker"] < 0.66 * error["linear"]


def test_each_year_has_its_own_season():
    """Of three years the one asked for is found, with its own dates; by default the highest."""
    days = np.arange(0, 3 * 365, 5)
    starts, height = (100, 130, 115), (0.8, 1, 0.9)
    curve = sum(
        h * (double_logistic(days - 365 * n, s, s + 130) - 0.15)
        for n, (s, h) in enumerate(zip(starts, height, strict=True))
    )
    series = make(curve, days)
    for n, start in enumerate(starts):
        found = season(series, year=2021 + n)
        assert days_off(found.start.values, 365 * n + start) <= 2
        assert days_off(found.end.values, 365 * n + start + 130) <= 2
        assert found.peak.dt.year == 2021 + n
    xr.testing.assert_identical(season(series), season(series, year=2022))


def test_a_season_may_cross_new_year():
    """A winter crop peaks in the year asked for, but its season starts in the year before."""
    days = np.arange(0, 730, 5)
    found = season(make(double_logistic(days, 340, 480), days), year=2022)
    assert found.start.dt.year == 2021 and found.end.dt.year == 2022
    assert days_off(found.start.values, 340) <= 2 and days_off(found.end.values, 480) <= 2
    assert np.isnat(season(make(double_logistic(days, 340, 480), days), year=2021).start)


@pytest.mark.parametrize(
    "curve",
    [
        np.full(40, 0.4),
        np.full(40, 0.4) + np.random.default_rng(5).normal(0, 1e-5, 40),
        np.zeros(40),
        np.full(40, np.nan),
        np.linspace(0.1, 0.8, 40),
        np.linspace(0.8, 0.1, 40),
        np.where(np.arange(40) == 20, 0.5, np.nan),
        np.linspace(0.1, 0.8, 40) + 0.02 * np.sin(np.arange(40)),
        np.where(np.isin(np.arange(40), [3, 20]), [0.5], np.nan),
        np.abs(np.arange(40) - 20) / 20,
    ],
    ids=[
        "flat",
        "nearly flat",
        "zero",
        "no data",
        "rising",
        "falling",
        "one value",
        "rising in waves",
        "two values",
        "valley",
    ],
)
def test_no_season_is_said_to_be_none(curve):
    """All dates are NaT and all heights NaN where nothing rises and falls again."""
    for series in (make(curve, np.arange(40) * 5), regular_series(make(curve, np.arange(40) * 5))):
        found = season(series)
        assert all(np.isnat(found[name].values) for name in ("start", "peak", "end"))
        assert np.isnan(found.amplitude) and np.isnan(found.base)


@EXAMPLES
@given(series=gappy(), threshold=st.sampled_from([0.1, 0.5, 0.9]))
def test_dates_are_in_order_whatever_the_series(series, threshold):
    """Start ≤ peak ≤ end within the series, none without the peak; the amplitude is positive."""
    values, days = series
    with patch.multiple(phenology, _SMOOTHING=10, _THRESHOLD=threshold):
        found = season(regular_series(make(values, days), step=3))
    dates = [found[name].values for name in ("start", "peak", "end")]
    assert np.isnat(dates[1]) == np.isnan(found.amplitude.values)
    if np.isnat(dates[1]):
        assert np.isnat(dates).all()
        return
    known = [date for date in dates if not np.isnat(date)]
    bounds = FIRST + days[0] * DAY, FIRST + days[-1] * DAY
    assert sorted([bounds[0], *known, bounds[1]]) == [bounds[0], *known, bounds[1]]
    assert found.amplitude > 0


@pytest.mark.parametrize(
    ("first", "last", "lost"),
    [
        (95, 140, ["start"]),
        (215, 260, ["end"]),
        (150, 200, ["start", "peak", "end"]),
        (10, 60, []),
        (106, 130, []),
    ],
)
def test_season_of_a_curve_with_a_gap(first, last, lost):
    """What lies in a gap of more than a month is NaT, and never read off a line across it."""
    days = np.arange(0, 360, 5)
    curve = double_logistic(days, 120, 235)
    whole = season(regular_series(make(curve, days), step=5, method="linear"))
    seen = (days <= first) | (days >= last)
    found = season(regular_series(make(curve[seen], days[seen]), step=5, method="linear"))
    if "peak" in lost:
        assert all(np.isnat(found[name].values) for name in lost) and np.isnan(found.amplitude)
        return
    for name in ("start", "peak", "end"):
        if name in lost:
            assert np.isnat(found[name].values)
        else:
            assert abs((found[name] - whole[name]).values / DAY) <= 2
    assert float(found.amplitude) == pytest.approx(float(whole.amplitude), abs=1e-6)


def test_maps_give_maps():
    """Each pixel has the dates of its own series, on the coordinates of the map."""
    days = np.arange(0, 365, 5)
    starts = np.array([[90, 100, 110], [120, 130, 140]])
    curves = double_logistic(days[:, None, None], starts, starts + 120)
    series = make(curves, days, dims=("time", "y", "x")).assign_coords(y=[5.0, 4], x=[1.0, 2, 3])
    found = season(series.assign_attrs(units="1"))
    assert found.start.dims == ("y", "x") and found.start.dtype == "datetime64[ns]"
    assert (days_off(found.start.values, starts) <= 2).all()
    assert set(found.coords) == {"y", "x"} and found.amplitude.attrs["units"] == "1"
    xr.testing.assert_identical(
        found.isel(y=1, x=2),
        season(series[:, 1, 2]).assign({name: found[name].isel(y=1, x=2) for name in found}),
    )


def test_season_of_a_real_field(real_data):
    """FuseTS's field of 2019: a winter cereal in Spain, up in April, dry before July."""
    field = xr.open_dataset(real_data / "fusets/raw_s2_ndvi_field.nc").rename(t="time")
    clear = field.NDVI.where(field.SCL.isin([4, 5]) & (field.CLM != 1))
    found = season(regular_series(clear), year=2019)
    seen = found.start.notnull()
    inside = clear.notnull().sum("time") > 10
    assert inside.sum() > 2000 and (seen == inside).mean() > 0.99
    dates = found.where(seen).stack(pixel=("y", "x")).dropna("pixel")
    assert ((dates.start < dates.peak) & (dates.peak < dates.end)).all()
    # in the raw series, clear means of 0.42 on 23 March, 0.78 on 27 April, 0.24 on 1 July
    mean = season(regular_series(clear.mean(("y", "x"))))
    for name, first, last in (
        ("start", "03-23", "04-27"),
        ("peak", "04-27", "05-27"),
        ("end", "05-27", "07-01"),
    ):
        assert np.datetime64(f"2019-{first}") <= mean[name] <= np.datetime64(f"2019-{last}")
        middle = dates[name].values.astype("M8[D]").astype(int)
        assert abs(np.median(middle) - mean[name].values.astype("M8[D]").astype(int)) <= 10


# --- bad input

GOOD = make(np.arange(5), range(5))


@pytest.mark.parametrize("function", [regular_series, season])
@pytest.mark.parametrize(
    ("series", "message"),
    [
        (GOOD.values, "series is a ndarray"),
        (GOOD.to_dataset(name="a"), "series is a Dataset"),
        (GOOD.rename(time="t"), "lacks a coordinate time"),
        (GOOD.drop_vars("time"), "lacks a coordinate time"),
        (GOOD.assign_coords(time=range(5)), "give numbers at dates"),
        (GOOD.astype(str), "give numbers at dates"),
        (GOOD[:0], "at 0 times"),
        (GOOD[::-1], "sortby"),
    ],
)
def test_bad_series_are_refused(function, series, message):
    """What is no series of numbers in order of time is named."""
    with pytest.raises(InvalidInputError, match=message):
        function(series)


def test_a_series_of_centuries_is_a_mistake():
    """One wrong date must not become a curve over all days since."""
    wrong = GOOD.assign_coords(time=[np.datetime64("1700-01-01"), *GOOD.time.values[1:]])
    with pytest.raises(InvalidInputError, match="give at most 36525"):
        regular_series(wrong)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (regular_series, {"method": "spline"}, "'whittaker', 'linear'"),
        (regular_series, {"step": 0}, "step=0"),
        (regular_series, {"step": 2.5}, "step=2.5"),
        (regular_series, {"step": True}, "step=True"),
        (regular_series, {"max_gap": 0}, "max_gap=0"),
        (regular_series, {"max_gap": 3.5}, "max_gap=3.5"),
        (regular_series, {"step": 10**30}, "step=10+: give a whole number from 1 to 36525"),
        (season, {"year": 2022}, "runs from 2021 to 2021"),
        (season, {"year": "2021"}, "year='2021'"),
    ],
)
def test_bad_options_are_refused(function, options, message):
    """Each says what was given and what is accepted."""
    with pytest.raises(InvalidInputError, match=message):
        function(GOOD, **options)
