"""Checks of cloud-free images (notebook 04)."""

from typing import Any

import xarray as xr

from s2kit.course.judging import judge


def median_image(answer: Any, band: xr.DataArray, clear: xr.DataArray) -> bool:
    """Check a cloud-free image of one band, the median of clear observations (notebook 04).

    Parameters
    ----------
    answer : xarray.DataArray, dims (y, x)
    band : xarray.DataArray, dims (time, y, x)
        Reflectance 0-1.
    clear : xarray.DataArray, dims (time, y, x), bool
    """
    seen, hidden, zeros = band.where(clear), band.where(~clear), band * clear
    kept = "You kept what is not clear: .where(…) keeps what is true."
    filled = "Zeros take part: .where(clear) makes gaps, multiplying makes zeros."
    each = "That is one number for each overpass: take the median along time."
    mistakes = [
        ("The mask is missing, so clouds take part: use .where(clear).", band.median("time")),
        ("That is the mean; one missed cloud moves it. Take the median.", seen.mean("time")),
        ("That is the mean, and the mask is missing.", band.mean("time")),
        (kept, hidden.median("time")),
        (filled, zeros.median("time")),
        ("That is the darkest observation, often a shadow.", seen.min("time")),
        ("That is the brightest observation, often a missed cloud.", seen.max("time")),
        ('That is one number for the whole map: name the axis, median("time").', seen.median()),
        (each, seen.median(["y", "x"])),
        ("Nothing is taken together yet: take the median along time.", seen),
    ]
    praise = "Right: this image has no cloud that the mask marks."
    return judge(answer, seen.median("time"), mistakes, praise)
