"""The checks of the exercises: right answers pass, each common mistake gets its own hint."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from s2kit.course import checks

DAYS = ("05-01", "05-03", "06-01", "07-01")
TIMES = np.array([f"{year}-{day}" for year in (2021, 2022) for day in DAYS], "datetime64[ns]")
ORBITS = [51, 8, 51, 51, 51, 8, 51, 51]
SHARES = np.array([0.9, 0.9, 0.2, 0.7, 0.8, 0.9, 0.5, 0.3], "float32")
QUERY = {"orbit": 51, "year": 2022, "limit": float(SHARES[6])}

RED = np.array([0.05, 0.10, 0.04, 0.08, 0.60, 0.03, np.nan])
NIR = np.array([0.40, 0.20, 0.45, 0.30, 0.65, 0.31, 0.20])
CLEAR = np.array([True, True, True, True, False, True, True])


def told(capsys):
    """Return what was printed."""
    return capsys.readouterr().out


@pytest.fixture
def cube():
    """Return eight overpasses of two orbits in two years."""
    along = {
        "time": TIMES,
        "relative_orbit": ("time", ORBITS),
        "clear_fraction": ("time", SHARES),
    }
    return xr.Dataset({"B04": (("time", "y", "x"), np.ones((8, 2, 2), "float32"))}, along)


@pytest.fixture
def pixel():
    """Return a series of two bands, without one of its numbers."""
    return xr.Dataset({"B04": ("time", RED), "B08": ("time", NIR)})


@pytest.fixture
def clear():
    """Return what is clear in that series."""
    return xr.DataArray(CLEAR, dims="time")


@pytest.fixture
def band():
    """Return five maps of one band; the last is cloudy, and the first has a gap."""
    rng = np.random.default_rng(3)
    values = rng.uniform(0.02, 0.2, (5, 3, 4)).astype("float32")
    values[4] += 0.6
    values[0, 1, 1] = np.nan
    return xr.DataArray(values, dims=("time", "y", "x"))


@pytest.fixture
def mask(band):
    """Return a mask that blanks the cloudy map, and one pixel altogether."""
    seen = np.ones(band.shape, bool)
    seen[4] = False
    seen[:, 0, 0] = False
    return xr.DataArray(seen, dims=("time", "y", "x"))


def test_no_answer_is_asked_for(cube, pixel, clear, band, mask, capsys):
    """None, as the notebooks have it, and an ellipsis are no mistakes but no answers yet."""
    for answer in (None, ...):
        assert not checks.judge(answer, 1, [], "Yes")
        assert not checks.time_query(answer, cube, **QUERY)
        assert not checks.mean_ndvi(answer, pixel, clear)
        assert not checks.median_image(answer, band, mask)
        assert (
            told(capsys).splitlines()
            == ["Put your answer in place of None and run the cell again."] * 4
        )


@pytest.mark.parametrize("answer", [3, 3.0, np.float32(3), np.array(3), xr.DataArray(3)])
def test_numbers_are_compared_by_value(answer, capsys):
    """A number is right in whatever type it comes."""
    assert checks.judge(answer, 3, [], "Yes")
    assert told(capsys) == "✓ Yes\n"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (4, r"One too many\."),
        ([3, 3], r"2 numbers, in the shape \(2,\); one number is asked"),
        (7, "of the right kind"),
        ("three", "Not yet"),
        ({"a": 1}, "Not yet"),
        (len, "Not yet"),
        (xr.Dataset({"B04": 3, "B08": 3}), "a whole Dataset; take what you need of B04, B08"),
    ],
)
def test_what_is_wrong_gets_a_hint(answer, says, capsys):
    """Whatever is given, there is a hint and never an error."""
    assert not checks.judge(answer, 3, [("One too many.", 4)], "Yes")
    assert pd.Series(told(capsys)).str.contains(says).all()


@pytest.mark.parametrize(
    ("count", "options", "says"),
    [
        (lambda c: (c.clear_fraction >= 0.5).sum(), {}, None),
        (
            lambda c: ((c.clear_fraction >= 0.5) & (c.relative_orbit == 51)).sum(),
            {"orbit": 51},
            None,
        ),
        (lambda c: c.clear_fraction >= 0.5, {}, "true or false"),
        (lambda c: (c.clear_fraction >= 0.5).sum(), {"orbit": 51}, "All orbits are counted"),
        (lambda c: c.clear_fraction.sum, {}, "write brackets after its name"),
        (lambda c: c.clear_fraction, {}, "one number is asked"),
        (lambda c: "3", {}, "That is text"),
        (lambda c: [], {}, "one number is asked"),
        (lambda c: c, {}, "whole Dataset"),
        (lambda c: 10**6, {}, "other values"),
        (lambda c: None, {}, "in place of None"),
        (lambda c: pd.DataFrame({"a": ["x", 1]}), {}, "That is a DataFrame"),
    ],
)
def test_counts_of_clear_overpasses(cube, capsys, count, options, says):
    """Whatever is given is judged, never an error; the orbit is one of the conditions."""
    assert checks.clear_count(count(cube), cube, least=0.5, **options) is (says is None)
    assert (says or "✓ Right") in told(capsys)


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [(0.7125, True), (0.713, True), (0.71, False), (0.71251, True), (0.7, False), (0.714, False)],
)
def test_an_answer_may_be_rounded_as_it_was_printed(answer, accepted):
    """Two decimals or more are enough, if no mistake looks the same at as many."""
    mistakes = [("That is the median.", 0.7108)]
    assert checks.judge(answer, 0.712512, mistakes, "Yes") is accepted


def test_dark_bands_are_told_apart(capsys):
    """A mean that differs from the median by half a stored count is still the mean."""
    values = 0.02 + 1e-4 * np.array([0, 0, 0, 2.0]).reshape(4, 1, 1)
    seen = xr.DataArray(values, dims=("time", "y", "x"))
    clear = seen > 0
    assert not checks.median_image(seen.mean("time"), seen, clear)
    assert "That is the mean" in capsys.readouterr().out
    assert checks.median_image(seen.median("time").astype("f4"), seen, clear)


def test_texts_and_dates_are_compared(capsys):
    """Names and dates are right or wrong as they are."""
    assert checks.judge("wheat", "wheat", [], "Yes")
    assert not checks.judge("maize", "wheat", [("Look at July.", "maize")], "Yes")
    assert checks.judge(TIMES[:2], TIMES[:2].astype("datetime64[s]"), [], "Yes")
    assert "Look at July" in told(capsys)


def test_right_query_passes(cube, capsys):
    """A part of the cube, of a layer or of the times is right, in any order, as its times are."""
    right = ["2022-05-01", "2022-06-01"]
    for answer in (
        cube.sel(time=right),
        cube.B04.sel(time=right),
        cube.time.sel(time=right),
        cube.sel(time=right[::-1]),
    ):
        assert checks.time_query(answer, cube, **QUERY)
    assert "2 of 8 overpasses" in told(capsys)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([4], "use >=, not >"),
        ([4, 5, 6], "Other orbits"),
        ([0, 3, 4, 6], "Other years are among them"),
        ([0, 3], "The year is wrong"),
        ([4, 6, 7], "cloudier than the limit"),
        ([7], "cloudier than the limit"),
        ([6], "too strict"),
        ([], "Nothing fits"),
        (list(range(8)), "Nothing was left out"),
        ([0, 1, 4], "Other orbits"),
    ],
)
def test_wrong_query_gets_its_hint(cube, steps, says, capsys):
    """Each condition that was forgotten or turned round is named."""
    assert not checks.time_query(cube.isel(time=steps), cube, **QUERY)
    assert says in told(capsys)


def test_what_is_no_selection_gets_a_hint(cube, capsys):
    """A condition, a count and a single overpass are told from a selection."""
    condition = (cube.relative_orbit == 51) & (cube.time.dt.year == 2022)
    for answer, says in (
        (condition, "true or false for each overpass"),
        (2, "the overpasses themselves"),
        (xr.DataArray(2), "the overpasses themselves"),
        (cube.isel(time=6), "too strict"),
        (np.zeros((3, 3)), "the overpasses themselves"),
        ("2022", "Not yet"),
        (pd.DataFrame({"a": ["x", 1]}), "the overpasses themselves"),
    ):
        assert not checks.time_query(answer, cube, **QUERY)
        assert says in told(capsys)


def ndvi_of(red, nir):
    """Return the NDVI in plain numpy."""
    return (nir - red) / (nir + red)


def test_right_mean_passes(pixel, clear, capsys):
    """The mean of the five clear observations that have both bands, however it was computed."""
    values = [(n - r) / (n + r) for r, n, c in zip(RED, NIR, CLEAR, strict=True) if c and r == r]
    assert len(values) == 5
    assert checks.mean_ndvi(sum(values) / 5, pixel, clear)
    assert checks.mean_ndvi(np.float32(sum(values) / 5), pixel, clear)
    by_hand = (pixel.B08 - pixel.B04) / (pixel.B08 + pixel.B04)
    assert checks.mean_ndvi(by_hand.where(clear).mean(), pixel, clear)
    assert told(capsys).count("✓") == 3


SEEN = CLEAR & np.isfinite(RED)
R, N = RED[SEEN], NIR[SEEN]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (1.0, "divides by the sum"),
        (np.mean((N + R) / (N - R)), "divides by the sum"),
        (np.mean(ndvi_of(N, R)), "swapped"),
        (np.mean(N - R / (N + R)), "Brackets"),
        (np.mean(N - R / N + R), "Brackets"),
        (np.mean((N - R) / N + R), "Brackets"),
        (np.mean(N / R), "ratio"),
        (np.mean(N - R), "only the difference"),
        (np.nanmean(ndvi_of(RED, NIR)), "Cloudy observations"),
        (np.nanmean(ndvi_of(NIR, RED)), "swapped"),
        (ndvi_of(RED, NIR)[4], "You kept what is not clear"),
        (ndvi_of(R.mean(), N.mean()), "mean of bands"),
        (np.median(ndvi_of(R, N)), "median"),
        (np.std(ndvi_of(R, N)), "standard deviation"),
        (np.nanmean(ndvi_of(RED, NIR) * CLEAR), "count as 0"),
        (np.nan, "NaN"),
        (ndvi_of(RED, NIR), "one number for each overpass"),
        (np.where(CLEAR, ndvi_of(RED, NIR), np.nan), "one number for each overpass"),
        (0.123, "of the right kind"),
        ([0.1, 0.2], "shape (2,)"),
    ],
)
def test_wrong_mean_gets_its_hint(pixel, clear, answer, says, capsys):
    """Each slip of the formula, of the mask and of the mean has its own hint."""
    assert not checks.mean_ndvi(answer, pixel, clear)
    assert says in told(capsys)


def test_mean_needs_two_bands(pixel, clear, capsys):
    """In a cube without red there is nothing to compute, and no error."""
    assert not checks.mean_ndvi(None, pixel[["B08"]], clear)
    assert "has no B04" in told(capsys)


def test_right_image_passes(band, mask, capsys):
    """The median of what is clear, pixel by pixel, is right; a gap stays a gap."""
    expected = np.full((3, 4), np.nan)
    for y, x in np.ndindex(3, 4):
        values = [v for v, m in zip(band.values[:, y, x], mask.values[:, y, x], strict=True) if m]
        values = [v for v in values if v == v]
        if values:
            expected[y, x] = np.median(values)
    assert np.isnan(expected[0, 0])
    assert checks.median_image(expected, band, mask)
    assert checks.median_image(band.where(mask).median("time"), band, mask)
    assert told(capsys).count("✓") == 2


@pytest.mark.parametrize(
    ("slip", "says"),
    [
        (lambda b, m: b.median("time"), "The mask is missing, so clouds"),
        (lambda b, m: b.where(m).mean("time"), "Take the median"),
        (lambda b, m: b.mean("time"), "That is the mean, and the mask is missing"),
        (lambda b, m: b.where(~m).median("time"), "You kept what is not clear"),
        (lambda b, m: (b * m).median("time"), "Zeros take part"),
        (lambda b, m: b.where(m).min("time"), "darkest"),
        (lambda b, m: b.where(m).max("time"), "brightest"),
        (lambda b, m: b.where(m).median(), "one number for the whole map"),
        (lambda b, m: b.where(m).median(["y", "x"]), "one number for each overpass"),
        (lambda b, m: b.where(m), "Nothing is taken together"),
        (
            lambda b, m: b.where(m).median("time")[:2],
            "8 numbers, in the shape (2, 4)",
        ),
        (lambda b, m: b.where(m).median("time") + 0.1, "of the right kind"),
        (lambda b, m: xr.Dataset({"B04": b}).median("time"), "take what you need of B04"),
    ],
)
def test_wrong_image_gets_its_hint(band, mask, slip, says, capsys):
    """Each slip with the mask, the statistic and the axis has its own hint."""
    assert not checks.median_image(slip(band, mask), band, mask)
    assert says in told(capsys)


CONFUSION = pd.DataFrame([[80, 10, 10], [5, 5, 0], [0, 6, 24]], list("abc"), list("abc"))
RECALL = np.array([0.8, 0.5, 0.8])


def test_right_accuracy_passes(capsys):
    """The mean of the shares of each true class is right."""
    assert checks.balanced_accuracy(0.7, CONFUSION)
    by_hand = (np.diag(CONFUSION) / CONFUSION.sum(axis=1)).mean()
    assert checks.balanced_accuracy(by_hand, CONFUSION)
    assert told(capsys).count("✓") == 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (109 / 140, "overall accuracy"),
        (np.mean([80 / 85, 5 / 21, 24 / 34]), "the truth is in the rows"),
        ([80 / 85, 5 / 21, 24 / 34], "the truth is in the rows"),
        (RECALL, "one number for each class"),
        (pd.Series(RECALL), "one number for each class"),
        ([80, 5, 24], "These are pixels"),
        (109 / 3, "These are pixels"),
        (0.3, "share of mistakes"),
        (70, "per cent"),
        (2.1, "sum over the classes"),
        (0.8, "median"),
        (1 / 3, "whole table"),
        (0.123, "of the right kind"),
        (None, "in place of None"),
    ],
)
def test_wrong_accuracy_gets_its_hint(answer, says, capsys):
    """Rows and columns, shares and pixels, and the kind of mean are told apart."""
    assert not checks.balanced_accuracy(answer, CONFUSION)
    assert says in told(capsys)


FIELDS = pd.DataFrame(
    {
        "crop": ["wheat", "wheat", "wheat", "maize", "maize"],
        "mean": [0.2, 0.4, 0.9, 0.7, 0.5],
        "std": [0.01, 0.02, 0.30, 0.04, 0.05],
        "count": [10, 30, 5, 20, 20],
        "share": [1.0, 0.8, 0.1, 0.9, 0.85],
    }
)
WHEAT = {"crop": "wheat", "least": 0.8}


def test_right_crop_passes(capsys):
    """The mean of the two well seen fields is right; one of them is seen just well enough."""
    assert checks.crop_mean(0.3, FIELDS, **WHEAT)
    assert "2 fields of wheat" in told(capsys)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (0.5, "hardly seen are in it too"),
        (0.9, "You kept the fields that are hardly seen"),
        ((10 * 0.2 + 30 * 0.4) / 40, "Large fields count more"),
        (0.015, "spread within the fields"),
        (np.std([0.2, 0.4], ddof=1), "spread between the fields"),
        (np.std([0.2, 0.4]), "spread between the fields"),
        (2, "number of fields"),
        ([0.2, 0.4], "one number for each field"),
        (0.45, "All crops are in it"),
        (0.6, "another crop: maize"),
        (0.123, "of the right kind"),
        (None, "in place of None"),
    ],
)
def test_wrong_crop_gets_its_hint(answer, says, capsys):
    """The crop, the clear share and the kind of mean are each named."""
    assert not checks.crop_mean(answer, FIELDS, **WHEAT)
    assert says in told(capsys)


GAPS = np.arange(12) % 6 == 5
SUNLIT = np.arange(12) < 6
OFFSET = {"offset": -1000, "nodata": -9999}


@pytest.fixture
def two_dates():
    """Return wheat and dark water as DN on two dates, of which the second has an offset."""
    rng = np.random.default_rng(5)
    dates = []
    for infrared, extra in ((1900, 0), (2300, 1000)):
        levels = {"B04": np.where(SUNLIT, 750, 150), "B08": np.where(SUNLIT, infrared, 4)}
        noisy = {band: level + rng.integers(-9, 10, 12) + extra for band, level in levels.items()}
        dates.append(
            {band: np.where(GAPS, -9999, dn).astype("int16") for band, dn in noisy.items()}
        )
    return [xr.Dataset({band: ("x", dn) for band, dn in date.items()}) for date in dates]


def ndvi(scene):
    """Return the NDVI."""
    return (scene.B08 - scene.B04) / (scene.B08 + scene.B04)


def masked(scene):
    """Return a date without its gaps."""
    return scene.where(scene != -9999)


def test_right_change_passes(two_dates, capsys):
    """The mean of the changes and the change of the means pass, however the gaps are left out."""
    before, after = two_dates
    bands = [scene[band].values[~GAPS].astype(float) for scene in two_dates for band in scene]
    red, infrared, later_red, later_infrared = bands
    later_red, later_infrared = later_red - 1000, later_infrared - 1000
    assert (later_infrared < 0).any()
    late = (later_infrared - later_red) / (later_infrared + later_red)
    early = (infrared - red) / (infrared + red)
    assert checks.ndvi_change((late - early).mean(), before, after, **OFFSET)
    assert checks.ndvi_change(late.mean() - early.mean(), before, after, **OFFSET)
    assert told(capsys).count("✓") == 2


@pytest.mark.parametrize(
    ("slip", "says"),
    [
        (lambda b, a: (ndvi(masked(a)) - ndvi(masked(b))).mean(), "The offset is missing"),
        (lambda b, a: ndvi(masked(a) - 1000) - ndvi(masked(b)), "one number for each pixel"),
        (lambda b, a: (ndvi(masked(b)) - ndvi(masked(a) - 1000)).mean(), "other way round"),
        (lambda b, a: (ndvi(masked(a) - 1000) - ndvi(masked(b) - 1000)).mean(), "to both dates"),
        (lambda b, a: (ndvi(masked(a)) - ndvi(masked(b) - 1000)).mean(), "the wrong date"),
        (lambda b, a: (ndvi(masked(a) - 2000) - ndvi(masked(b))).mean(), "applied twice"),
        (lambda b, a: (ndvi(masked(a) + 1000) - ndvi(masked(b))).mean(), "wrong sign"),
        (lambda b, a: (ndvi(masked(a) - 0.1) - ndvi(masked(b))).mean(), "-1000 in DN"),
        (
            lambda b, a: (ndvi(masked(a) / 10_000 - 1000) - ndvi(masked(b) / 10_000)).mean(),
            "not in reflectance",
        ),
        (
            lambda b, a: (ndvi((masked(a) - 1000).clip(0)) - ndvi(masked(b))).mean(),
            "You clipped at 0",
        ),
        (
            lambda b, a: (
                ndvi((masked(a) - 1000).where(lambda d: d > 0)).mean() - ndvi(masked(b)).mean()
            ),
            "what is not above 0",
        ),
        (
            lambda b, a: (
                ndvi((a.astype("uint16") - np.uint16(1000)).where(a != -9999).astype(float)).mean()
                - ndvi(masked(b)).mean()
            ),
            "Unsigned numbers",
        ),
        (lambda b, a: (ndvi(a - 1000.0) - ndvi(b * 1.0)).mean(), "as if it were measured"),
        (lambda b, a: (ndvi(a * 1.0) - ndvi(b * 1.0)).mean(), "And the offset is missing"),
        (lambda b, a: (ndvi(a - 1000.0) - ndvi(b - 1000.0)).mean(), "And before has no offset"),
        (lambda b, a: (ndvi(a - 2000.0) - ndvi(b * 1.0)).mean(), "And the offset is applied twice"),
        (
            lambda b, a: ndvi(masked(a - 1000.0)).mean() - ndvi(masked(b)).mean(),
            "before the offset changes the mark",
        ),
        (lambda b, a: (ndvi(masked(a) - 1000) - ndvi(masked(b))).median(), "the median"),
        (lambda b, a: (ndvi(masked(a) - 1000) - ndvi(masked(b))).sum(), "the sum"),
        (lambda b, a: ndvi(masked(a) - 1000).mean(), "the NDVI of after"),
        (lambda b, a: ndvi(masked(b)).mean(), "the NDVI of before"),
        (
            lambda b, a: ndvi(masked(a).mean() - 1000) - ndvi(masked(b).mean()),
            "First the NDVI of each pixel",
        ),
        (lambda b, a: 0.5, "of the right kind"),
        (lambda b, a: None, "in place of None"),
    ],
)
def test_wrong_change_gets_its_hint(two_dates, slip, says, capsys):
    """Each way to mishandle the offset, the gaps and the dark water has its own hint."""
    before, after = two_dates
    assert not checks.ndvi_change(slip(before, after), before, after, **OFFSET)
    assert says in told(capsys)
