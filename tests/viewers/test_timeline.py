"""The table of overpasses, and the filter against conditions written in pandas."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cubes import every, make_cube, random_layers, write_cube
from hypothesis import given, settings
from hypothesis import strategies as st

import s2kit
from s2kit.viewers.timeline import SEASONS, choose, timeline_of

MONTHS = {"Dec–Feb": {12, 1, 2}, "Mar–May": {3, 4, 5}, "Jun–Aug": {6, 7, 8}, "Sep–Nov": {9, 10, 11}}
PLATFORMS = ["Sentinel-2A", "Sentinel-2B"]


def cube_of(days, clear, orbits, platforms):
    """Return a cube of these overpasses, with one layer."""
    along = {
        "relative_orbit": orbits,
        "platform": platforms,
        "clear_fraction": np.array(clear, "f4"),
    }
    times = np.datetime64("2020-01-01T10:40:31", "ns") + np.array(days, "timedelta64[D]")
    coords = {"time": times} | {name: ("time", list(v)) for name, v in along.items()}
    return xr.Dataset({"B04": ("time", np.zeros(len(days), "f4"))}, coords)


@st.composite
def overpasses(draw):
    """Draw days, clear shares (of whole percents, or none), orbits and platforms."""
    days = sorted(draw(st.sets(st.integers(0, 800), min_size=1, max_size=25)))
    some = st.sampled_from([0.0, 0.05, 0.7, 0.35, 1.0, np.nan]) | st.floats(0, 1, width=32)
    size = len(days)
    return cube_of(
        days,
        draw(st.lists(some, min_size=size, max_size=size)),
        draw(st.lists(st.sampled_from([8, 51, 108]), min_size=size, max_size=size)),
        draw(st.lists(st.sampled_from(PLATFORMS), min_size=size, max_size=size)),
    )


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    overpasses(),
    st.integers(0, 20),
    st.sets(st.sampled_from(list(SEASONS))),
    st.sets(st.sampled_from(["8", "51", "108"])),
    st.sets(st.sampled_from(PLATFORMS)),
)
def test_filter_equals_pandas(cube, twentieths, seasons, orbits, platforms):
    """What passes is what the conditions say, one overpass after the other."""
    found = choose(
        timeline_of(cube),
        least_clear=twentieths / 20,
        seasons=seasons,
        orbits=orbits,
        platforms=platforms,
    )
    months = set().union(*(MONTHS[name] for name in seasons))
    table = cube.drop_vars("B04").to_dataframe().reset_index()
    expected = []
    for n, row in table.iterrows():
        clear = row.clear_fraction
        enough = twentieths == 0 or (
            not np.isnan(clear) and np.float32(clear) >= np.float32(twentieths / 20)
        )
        if (
            enough
            and row.time.month in months
            and str(row.relative_orbit) in orbits
            and row.platform in platforms
        ):
            expected.append(n)
    assert found.tolist() == expected


def test_table_of_two_orbits(tmp_path):
    """The table has the overpasses of both orbits in order of time, as the cube tells them."""
    store = tmp_path / "c"
    write_cube(store, random_layers(1, (3, 4, 4)), every(10, 3, "2021-01-03"), orbit=51)
    write_cube(store, random_layers(2, (3, 4, 4)), every(10, 3, "2021-01-06"), orbit=8)
    cube = s2kit.open_cube(store)
    table = timeline_of(cube)
    times = np.sort(np.concatenate([every(10, 3, "2021-01-03"), every(10, 3, "2021-01-06")]))
    assert table.time.tolist() == [pd.Timestamp(t, unit="s") for t in times]
    assert table.orbit.tolist() == ["51", "8"] * 3
    assert table.products.tolist() == ["R051-0", "R008-0", "R051-1", "R008-1", "R051-2", "R008-2"]
    assert set(table.platform) == {"Sentinel-2A"}
    np.testing.assert_array_equal(table.clear, cube.clear_fraction)
    words = [
        f"{table.time[0]:%Y-%m-%d %H:%M}",
        "orbit 51",
        f"{np.floor(table.clear[0] * 100):.0f} % clear",
    ]
    assert table.label[0] == " · ".join(words)
    assert table.label.is_unique


@pytest.mark.parametrize("dtype", [object, np.dtypes.StringDType(na_object=np.nan)], ids=str)
def test_text_in_any_type(dtype):
    """Platforms as pandas holds them, also in numpy's StringDType, are those of plain text."""
    cube = cube_of([0, 5], [1, 1], [8, 51], PLATFORMS)
    other = cube.assign_coords(platform=("time", np.array(PLATFORMS, dtype)))
    pd.testing.assert_frame_equal(timeline_of(other), timeline_of(cube))


def test_table_without_what_the_cube_does_not_tell(tmp_path):
    """A cube that lost its provenance has overpasses all the same; none is known to be clear."""
    cube = make_cube(tmp_path / "c", random_layers(1, (3, 4, 4)), every(10, 3))
    bare = cube.drop_vars(["relative_orbit", "platform", "products", "clear_fraction"])
    table = timeline_of(bare)
    assert table.label.tolist() == [f"{t:%Y-%m-%d %H:%M}" for t in table.time]
    everything = {"seasons": SEASONS, "orbits": [""], "platforms": [""]}
    assert choose(table, least_clear=0, **everything).tolist() == [0, 1, 2]
    assert choose(table, least_clear=0.05, **everything).tolist() == []


@pytest.mark.parametrize("month", range(1, 13))
def test_seasons_by_month(month):
    """Each month is in the season that names it."""
    cube = cube_of([0], [1], [51], PLATFORMS[:1]).assign_coords(
        time=[np.datetime64(f"2021-{month:02d}-28T10:00", "ns")]
    )
    inside = [
        name
        for name in SEASONS
        if len(
            choose(
                timeline_of(cube), least_clear=0, seasons=[name], orbits=["51"], platforms=PLATFORMS
            )
        )
    ]
    assert inside == [name for name, months in MONTHS.items() if month in months]
