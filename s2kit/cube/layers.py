"""The layers of a cube and its coordinates along time: types, no data, attributes."""

from dataclasses import dataclass, field
from typing import Any

from odc.geo.geobox import GeoBox

from s2kit.grid import pixel_width
from s2kit.scenes.radiometry import BANDS, RESOLUTION, SCALE, SCALES

WAVELENGTHS = {
    "B02": (490, "blue"),
    "B03": (560, "green"),
    "B04": (665, "red"),
    "B05": (705, "red edge 1"),
    "B06": (740, "red edge 2"),
    "B07": (783, "red edge 3"),
    "B08": (842, "near infrared"),
    "B8A": (865, "narrow near infrared"),
    "B11": (1610, "shortwave infrared 1"),
    "B12": (2190, "shortwave infrared 2"),
}
"""Nominal centre wavelength in nm and name (ESA, Sentinel-2 User Handbook)."""

_SCL_MEANINGS = (
    "no_data saturated_or_defective dark_area_pixels cloud_shadows vegetation bare_soils water "
    "unclassified cloud_medium_probability cloud_high_probability thin_cirrus snow"
)
"""Classes 0–11 of Sen2Cor's scene classification (ESA, Sentinel-2 Level-2A Algorithm Theoretical
Basis Document, S2-PDGS-MPC-ATBD-L2A)."""

_SCL_COLOURS = (
    "#000000 #ff0000 #2f2f2f #643200 #00a000 #ffe65a "
    "#0000ff #808080 #c0c0c0 #ffffff #64c8ff #ff96ff"
)
"""The colours of ESA's own legend (SentiWiki, S2 Processing, scene classification)."""


@dataclass(frozen=True)
class LayerSpec:
    """One variable of the cube.

    Attributes
    ----------
    name : str
        As in the cube: ``"B04"``, ``"SCL"``.
    dtype : str
        As stored, in Zarr's form: ``"<i2"``.
    nodata : int
        Stored value that means no data.
    high : int
        Largest value that is stored; larger ones saturate.
    nearest : bool
        Always resampled by nearest neighbour: classes and probabilities.
    attrs : dict
        CF attributes.
    """

    name: str
    dtype: str
    nodata: int
    high: int
    nearest: bool
    attrs: dict[str, Any] = field(hash=False)

    @property
    def scale(self) -> float:
        """Physical value of one stored count."""
        return self.attrs.get("scale_factor", 1.0)


def _layer(name: str, stored: tuple[str, int, int], nearest: bool, **attrs: Any) -> LayerSpec:
    """Describe a layer that is stored as (dtype, value for no data, largest value)."""
    attrs["native_resolution_m"] = RESOLUTION[name]
    return LayerSpec(name, *stored, nearest, attrs)


def _reflectance(name: str) -> LayerSpec:
    wavelength, colour = WAVELENGTHS[name]
    return _layer(
        name,
        ("<i2", -9999, 32767),
        nearest=False,
        long_name=f"{colour} ({name}), surface reflectance",
        standard_name="surface_bidirectional_reflectance",
        units="1",
        scale_factor=SCALE,
        wavelength_nm=wavelength,
    )


def _probability(name: str, of: str) -> LayerSpec:
    return _layer(name, ("|u1", 255, 254), True, long_name=f"{of} probability", units="percent")


LAYER_SPECS = {name: _reflectance(name) for name in BANDS} | {
    "SCL": _layer(
        "SCL",
        ("|u1", 0, 255),
        nearest=True,
        long_name="scene classification (Sen2Cor)",
        flag_values=list(range(12)),
        flag_meanings=_SCL_MEANINGS,
        flag_colors=_SCL_COLOURS,
    ),
    "CLD": _probability("CLD", "cloud"),
    "SNW": _probability("SNW", "snow"),
    "WVP": _layer(
        "WVP",
        ("<u2", 65535, 65534),
        nearest=False,
        long_name="water vapour column",
        units="cm",
        scale_factor=SCALES["WVP"],
    ),
}
"""How each of `s2kit.scenes.item.LAYERS` is stored, in the same order."""

TIMELINE_CHUNK = 128
"""Steps in one chunk of a coordinate along time."""

_NAMES = "<U"
"""Stored type of the product names of a step; its width is the grid's, see `timeline_types`."""

TIMELINE = {
    "time": ("<i8", "start of the datatake, UTC"),
    "platform": ("<U16", "satellite"),
    "processing_baseline": ("<U32", "processing baselines of the products"),
    "products": (_NAMES, "products that made the step, in the order in which they fill it"),
    "failed": (_NAMES, "products that could not be read: a hole there is not 'no data'"),
    "corrected": (_NAMES, "products whose stated radiometric offset the pixels contradicted"),
    "clear_fraction": ("<f4", "share of the region seen clear: SCL 4, 5, 6 or 7"),
    "valid_fraction": ("<f4", "share of the region with data in the first layer"),
}
"""Coordinates along time: dtype and meaning."""


def is_text(dtype: str) -> bool:
    """Return whether a stored type is text."""
    return dtype[1] == "U"


def timeline_types(grid: GeoBox, level: int = 0) -> dict[str, str]:
    """Return the stored type of each coordinate along time; a coarser level has only time itself.

    The width of text is fixed, because it may not change while others read. GDAL before 3.9
    takes 999 characters, which hold 16 product names: four tiles, each split and reprocessed. A
    region of more than 100 km gets room for 67, and GDAL's complaint about it is harmless.
    """
    if level:
        return {"time": TIMELINE["time"][0]}
    width = 999 if max(grid.shape) * pixel_width(grid) <= 100_000 else 4096
    return {name: f"<U{width}" if t == _NAMES else t for name, (t, _) in TIMELINE.items()}
