"""The parts of the viewers by themselves: series, filter, maps of two dates and of statistics."""

import numpy as np
import pandas as pd
import pytest
from cubes import NORTH, PIXEL, WEST, decoded, every, make_cube, random_layers
from painting import seen

from s2kit.errors import InvalidInputError
from s2kit.viewers.date_maps import DateMaps, DatePicture, MapRequest
from s2kit.viewers.levels import Levels
from s2kit.viewers.map_pane import MapPane
from s2kit.viewers.map_viewer import decoded as physical
from s2kit.viewers.pixel_series import PixelSeries
from s2kit.viewers.renderers import find_renderer
from s2kit.viewers.statistic_map import StatisticMap, StatisticRequest
from s2kit.viewers.timeline import OverpassFilter, read_time, timeline_of

STEPS, ROWS, COLS = 4, 10, 12


@pytest.fixture(scope="module")
def layers():
    """Return random layers."""
    return random_layers(3, (STEPS, ROWS, COLS))


@pytest.fixture
def cube(layers, tmp_path):
    """Return a cube of them, in physical values."""
    return physical(make_cube(tmp_path / "c", layers, every(100, STEPS)))


def test_series_of_a_pixel(cube, layers):
    """A series is read by any place in the pixel, and written as it is read."""
    series = PixelSeries(cube, Levels(cube), timeline_of(cube))
    assert series.centre(WEST + 33, NORTH - 47) == (WEST + 35, NORTH - 45)
    for place in ((WEST + 35, NORTH - 45), (WEST + 31, NORTH - 41)):
        table = series.read(*place, "B08")
        np.testing.assert_allclose(table.value, decoded(layers["B08"])[:, 4, 3], atol=1e-6)
        np.testing.assert_array_equal(table.clear, np.isin(layers["SCL"][:, 4, 3], [4, 5, 6, 7]))
    saved = pd.read_csv(series.write_csv(WEST + 35, NORTH - 45, "B08", "test"))
    np.testing.assert_allclose(saved.B08, table.value, atol=1e-6)
    assert len(series.empty()) == 0 and set(series.empty()) >= {"time", "value", "clear"}
    for place in ((None, 5), (0.0, 0.0)):
        with pytest.raises(InvalidInputError, match=r"choose a pixel first|lies beside the cube"):
            series.read(*place, "B08")


def test_filter_of_overpasses(cube):
    """Neighbours are those that pass, and end at the ends."""
    passing = OverpassFilter(table := timeline_of(cube))
    passing.steps = np.array([0, 2, 3])
    assert [passing.neighbour(2, by) for by in (-9, -1, 0, 1, 9)] == [0, 0, 2, 3, 3]
    assert passing.nearest(table.time[1] + pd.Timedelta(days=10)) == 2
    assert list(passing.moments().values()) == list(table.iso[[0, 2, 3]])
    assert passing.position(3) == "Overpass 3 of 3 that pass the filter."
    every_one = {name: set(table[name]) for name in ("orbit", "platform")}
    passing.apply(0, seasons=[], orbits=every_one["orbit"], platforms=every_one["platform"])
    assert passing.neighbour(2, 1) is None
    assert passing.why_none().startswith("No acquisition")
    assert read_time("2021-06-04") == pd.Timestamp("2021-06-04 12:00")


@pytest.mark.parametrize("other", ["B08", "B04"])
@pytest.mark.parametrize("beside", [True, False])
def test_two_pictures(cube, layers, beside, other):
    """Two dates, or two layers, are drawn and described where each is seen."""
    levels = Levels(cube)
    maps = DateMaps(levels, timeline_of(cube), MapPane(levels, fills=False), "test")
    picture, pinned = (
        DatePicture(find_renderer(cube, name), step) for name, step in (("B08", 1), (other, 3))
    )
    asked, whole = MapRequest(picture, pinned, beside, 50), levels.whole
    drawn = maps.draw(asked, levels.window(whole), whole)
    assert drawn.limits == (0.0, 0.5)
    for col, name, step in ((1, *(("B08", 1) if beside else (other, 3))), (COLS - 2, "B08", 1)):
        text = maps.describe(drawn, WEST + (col + 0.5) * PIXEL, NORTH - 2.5 * PIXEL, False)
        value = decoded(layers[name])[step, 2, col]
        assert text.startswith(f"{name} {value:.3f}" if np.isfinite(value) else f"{name} no data")
        assert maps.day(step) in text
    title = f"{other}, {maps.day(3)}"
    assert (seen(maps.other)[0] is not None) == beside
    assert (maps.other if beside else maps.main).figure.title.text.startswith(title)
    assert maps.describe(drawn, WEST - 50, NORTH, False) == ""
    grey = (decoded(layers[other])[3] / (0.5 if other == "B08" else 0.2)).clip(0, 1)
    shown = seen(maps.other if beside else maps.main)[0][..., 0]
    part = np.s_[:, :] if beside else np.s_[:, : COLS // 2]
    known = np.isfinite(grey[part])
    assert np.abs(shown[part][known] - 255 * grey[part][known]).max() <= 2


def test_map_of_a_statistic(cube, layers):
    """A map of a statistic is numpy's, and the years are in order."""
    statistics = StatisticMap(cube, levels := Levels(cube))
    window = levels.window(levels.whole)
    years = sorted(set(cube.time.dt.year.values))
    asked = StatisticRequest("B08", "max", years[0], years[-1])
    clear = np.isin(layers["SCL"], [4, 5, 6, 7])
    values = np.where(clear & np.isfinite(decoded(layers["B08"])), decoded(layers["B08"]), -9)
    wanted = np.where((values > -9).any(0), values.max(0), np.nan)
    np.testing.assert_allclose(statistics.compute(asked, window), wanted, atol=1e-6)
    assert asked.heading == f"B08, largest, {asked.period}"
    with pytest.raises(InvalidInputError, match="is after the last"):
        statistics.compute(StatisticRequest("B08", "max", 2030, 2020), window)
