"""Read the name of a Sentinel-2 product: when, where and how it was made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from s2kit.errors import SceneError
from s2kit.scenes.radiometry import read_baseline

PATTERN = re.compile(
    r"(?P<mission>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<start>\d{8}T\d{6})_N(?P<baseline>\d{4})"
    r"_R(?P<orbit>\d{3})_T(?P<tile>\d{2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])_(?P<made>\d{8}T\d{6})"
)
"""Compact naming convention of ESA's Sentinel-2 products, in force since December 2016."""

COMPACT = "%Y%m%dT%H%M%S"
"""Times in the names of products, UTC."""

RELATIVE_ORBITS = range(1, 144)
"""Orbits before the ground track repeats itself."""


@dataclass(frozen=True)
class ProductName:
    """The parts of a product's name.

    Parameters
    ----------
    mission : str
        ``"S2A"`` to ``"S2D"``.
    level : str
        ``"L1C"`` or ``"L2A"``.
    datatake_start : datetime.datetime
        Start of the datatake, UTC, to the second.
    baseline : str
        Processing baseline, ``"05.09"``.
    relative_orbit : int
        1 to 143.
    tile : str
        MGRS tile, ``"31UFT"``.
    generated : datetime.datetime
        The discriminator: when the product was made, UTC, to the second.
    """

    mission: str
    level: str
    datatake_start: datetime
    baseline: str
    relative_orbit: int
    tile: str
    generated: datetime

    @classmethod
    def find(cls, text: str) -> ProductName | None:
        """Read the first product name in a text, such as a folder's name; None if there is none."""
        return next(cls.find_all(text), None)

    @classmethod
    def find_all(cls, text: str) -> Iterator[ProductName]:
        """Read all product names in a text; one with an impossible date or orbit is none."""
        for match in PATTERN.finditer(text):
            mission, level, start, digits, orbit, tile, made = match.groups()
            try:
                times = [datetime.strptime(f"{t}Z", f"{COMPACT}%z") for t in (start, made)]
            except ValueError:
                continue
            if int(orbit) in RELATIVE_ORBITS:
                baseline = f"{digits[:2]}.{digits[2:]}"
                yield cls(mission, level, times[0], baseline, int(orbit), tile, times[1])

    def __str__(self) -> str:
        start, made = (f"{time:{COMPACT}}" for time in (self.datatake_start, self.generated))
        return (
            f"{self.mission}_MSI{self.level}_{start}_N{self.baseline.replace('.', '')}"
            f"_R{self.relative_orbit:03d}_T{self.tile}_{made}"
        )

    @property
    def platform(self) -> str:
        """The satellite as STAC names it, ``"sentinel-2a"``."""
        return f"sentinel-2{self.mission[-1].lower()}"

    @property
    def crs(self) -> str:
        """The UTM zone of the tile's grid, ``"EPSG:32631"``; bands from N on lie in the north."""
        zone, band = self.tile[:2], self.tile[2]
        return f"EPSG:32{6 if band >= 'N' else 7}{zone}"

    @property
    def rank(self) -> tuple[float, datetime]:
        """Sort key, newest processing last; one of Sen2Cor at home counts as older than ESA's."""
        return read_baseline(self.baseline) or 0.0, self.generated


def format_utc(time: datetime) -> str:
    """Write a time as ``2021-06-01T10:50:31Z``, with a fraction only if there is one."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_utc(time: str | datetime) -> datetime:
    """Read an ISO time; one without a zone is UTC."""
    time = time if isinstance(time, datetime) else datetime.fromisoformat(time)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def read_time(properties: Mapping[str, Any], field: str, label: str) -> datetime | None:
    """Read a time of a STAC item; None where there is none, SceneError where it is none."""
    text = properties.get(field)
    try:
        return read_utc(text) if text else None
    except (ValueError, TypeError, OverflowError) as error:
        raise SceneError(label, f"{field} is {text!r}, not a time") from error
