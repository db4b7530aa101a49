"""Product names are read and written without loss."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2kit.scenes.product import ProductName

NAME = "S2A_MSIL2A_20210601T105031_N0300_R051_T31UFT_20210601T135031"

seconds = st.datetimes(datetime(2015, 6, 23), datetime(2099, 12, 31), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=0)
)
names = st.builds(
    ProductName,
    mission=st.sampled_from(["S2A", "S2B", "S2C", "S2D"]),
    level=st.sampled_from(["L1C", "L2A"]),
    datatake_start=seconds,
    baseline=st.from_regex(r"[0-9]{2}\.[0-9]{2}", fullmatch=True),
    relative_orbit=st.integers(1, 143),
    tile=st.from_regex(r"[0-6][0-9][C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]", fullmatch=True),
    generated=seconds,
)


@given(names, st.text(alphabet="xyz/.", max_size=5), st.sampled_from(["", ".SAFE", "/GRANULE"]))
def test_round_trip(name: ProductName, before: str, after: str) -> None:
    """What a name says, written and read again, is the same, also amid other text."""
    assert ProductName.find(f"{before}{name}{after}") == name


def test_name_of_the_documentation() -> None:
    """The fields of a name are those that ESA's naming convention gives."""
    name = ProductName.find(NAME)
    assert name == ProductName(
        "S2A",
        "L2A",
        datetime(2021, 6, 1, 10, 50, 31, tzinfo=UTC),
        "03.00",
        51,
        "31UFT",
        datetime(2021, 6, 1, 13, 50, 31, tzinfo=UTC),
    )
    assert (name.platform, name.crs) == ("sentinel-2a", "EPSG:32631")


@pytest.mark.parametrize(
    ("tile", "crs"), [("22HBD", "EPSG:32722"), ("32MQE", "EPSG:32732"), ("32NQE", "EPSG:32632")]
)
def test_hemisphere(tile: str, crs: str) -> None:
    """Bands C to M are in the south, N to X in the north."""
    assert ProductName.find(NAME.replace("31UFT", tile)).crs == crs


def test_newest_reprocessing() -> None:
    """Baselines are compared as numbers; one of Sen2Cor at home comes before all of ESA's."""
    names = [ProductName.find(NAME.replace("0300", b)) for b in ("9999", "0209", "0400", "0510")]
    assert [name.baseline for name in sorted(names, key=lambda name: name.rank)] == [
        *("99.99", "02.09", "04.00", "05.10")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S2A_OPER_PRD_MSIL1C_PDMC_20160101T000000_R051_V20151231T105031_20151231T105031",
        NAME.replace("R051", "R000"),
        NAME.replace("R051", "R144"),
        NAME.replace("20210601T105031", "20211301T105031"),
        "S2A_MSIL2A_20190101T000001_R116_T60VUK_20201007T214652",
    ],
)
def test_no_name(text: str) -> None:
    """What is no product name, has an impossible orbit or date, or lacks a field gives None."""
    assert ProductName.find(text) is None
