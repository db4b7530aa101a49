"""Checks of cloud-free images (notebook 04)."""

from typing import Any

import numpy as np
import xarray as xr

from s2kit.course.judging import Mistakes, call, judge


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
    praise = "Right for your cube; it is graded with another band too."
    return judge(answer, seen.median("time"), mistakes, praise)


def image_function(answer: Any, band: xr.DataArray, clear: xr.DataArray) -> bool:
    """Check a function that makes a cloud-free image of a band (exercise 04).

    Parameters
    ----------
    answer : callable
        Takes the band and the mask.
    band : xarray.DataArray, dims (time, y, x)
        Reflectance 0-1.
    clear : xarray.DataArray, dims (time, y, x), bool
    """
    called, value = call(answer, band, clear)
    return called and median_image(value, band, clear)


def gap_share(answer: Any, clear: xr.DataArray) -> bool:
    """Check the share of pixels without a clear observation (exercise 04).

    Parameters
    ----------
    answer : number
    clear : xarray.DataArray, dims (time, y, x), bool
        Of the period in question.
    """
    never, ever = ~clear.any("time"), clear.all("time")
    anywhere = "That is the share of all pixels and days; ask first for each pixel: .any("
    anywhere += '"time").'
    mistakes: Mistakes = [
        ('That is 0: is it the mask of this task, asked for each pixel, .any("time")?', 0.0),
        ("That was seen at least once; the gaps are the others.", 1 - never.mean()),
        (anywhere, (~clear).mean()),
        (anywhere, clear.mean()),
        ("That is true or false for each pixel: take the mean.", never),
        ("That is true or false for each pixel: take the mean.", ~never),
        ("That is the number of pixels; take the mean.", never.sum()),
        ("That is in per cent; give it between 0 and 1.", 100 * never.mean()),
        ("That is the share of pixels that were always clear.", ever.mean()),
        ('Not always clear is not never clear: .any("time"), not .all.', (~ever).mean()),
        ("These are counts for each pixel; which are 0?", clear.sum("time")),
        ("Those are dates on which nothing was clear: take .any along time.", _empty_dates(clear)),
    ]
    return judge(answer, never.mean(), mistakes, "Right: there an image has gaps.")


def _empty_dates(clear: xr.DataArray) -> xr.DataArray:
    return (~clear.any(["y", "x"])).mean()


def cloud_brightening(answer: Any, band: xr.DataArray, clear: xr.DataArray) -> bool:
    """Check how much brighter the mean is where clouds take part (exercise 04).

    Parameters
    ----------
    answer : number
        Mean over the pixels of the mean of all observations minus that of the clear ones.
    band : xarray.DataArray, dims (time, y, x)
    clear : xarray.DataArray, dims (time, y, x), bool
    """
    seen = band.where(clear)
    change = band.mean("time") - seen.mean("time")
    together = "That takes all pixels and days together: first the mean of each pixel along time."
    medians = (band.median("time") - seen.median("time")).mean()
    hidden = (band.where(~clear).mean("time") - seen.mean("time")).mean()
    mistakes: Mistakes = [
        ("The sign is turned: all observations minus the clear ones.", -change.mean()),
        ("That is the change for each pixel; take its mean.", change),
        ("That is the median over the pixels; take the mean.", change.median()),
        ("That is the difference of the medians along time; take means.", medians),
        ("That is the mean of all observations; subtract that of the clear ones.", band.mean()),
        ("That is the mean of the clear ones; subtract it.", seen.mean("time").mean()),
        ("You compared with what is not clear: take all observations.", hidden),
        (together, band.mean() - seen.mean()),
        (together, seen.mean() - band.mean()),
        ("That is a ratio; take the difference.", (band.mean("time") / seen.mean("time")).mean()),
        ("Zeros take part: .where(clear) makes gaps.", (band - band * clear).mean("time").mean()),
        ("That is the largest change; take the mean over the pixels.", change.max()),
    ]
    return judge(answer, change.mean(), mistakes, "Right. Now do the same with the median.")


def nearest_observation(answer: Any, clear: xr.DataArray, day: str) -> bool:
    """Check a function that maps the days to the nearest clear observation (exercise 04).

    Parameters
    ----------
    answer : callable
        Takes the mask and the date; returns days, NaN where nothing was clear.
    clear : xarray.DataArray, dims (time, y, x), bool
    day : str
        The date.
    """
    apart = (clear["time"] - np.datetime64(day, "ns")) / np.timedelta64(1, "D")
    near = abs(apart).where(clear).min("time")
    signed = "Days before count as negative, so the earliest wins: take abs(…)."
    masked = "The mask is missing: .where(clear) leaves out what was not clear."
    unit = "These are not days: divide by np.timedelta64(1, 'D')."
    whole = "Parts of a day count: divide by np.timedelta64(1, 'D'), and do not round."
    one = "That is one number for the whole map: keep the clear observations of each pixel, "
    one += "then take the smallest along time."
    late = "That is NaN everywhere: divide by np.timedelta64(1, 'D') first, since the smallest of "
    late += "times is no time (NaT) where one of them is."
    mistakes: Mistakes = [
        (signed, apart.where(clear).min("time")),
        ("That is the farthest; take the smallest.", abs(apart).where(clear).max("time")),
        (one, abs(apart).min()),
        (one, near.min()),
        (late, near * np.nan),
        (masked, (abs(apart) + 0 * clear).min("time")),
        ("You kept what is not clear.", abs(apart).where(~clear).min("time")),
        ("Zeros take part: .where(clear) makes gaps.", (abs(apart) * clear).min("time")),
        ("That is the mean; take the smallest.", abs(apart).where(clear).mean("time")),
        (
            "That counts only observations before the day.",
            -apart.where(clear & (apart <= 0)).max("time"),
        ),
        (
            "That counts only observations after the day.",
            apart.where(clear & (apart >= 0)).min("time"),
        ),
        ("That is the first clear observation, not the nearest.", _first(abs(apart), clear)),
        ("That is the median; take the smallest.", abs(apart).where(clear).median("time")),
        (whole, np.floor(near)),
        (whole, near.round()),
        (unit, near * 24),
        (unit, near * 86400),
        (unit, near * 86400e9),
        ("Nothing is taken yet: the smallest along time.", abs(apart).where(clear)),
    ]
    called, value = call(answer, clear, day)
    praise = "Right for your cube; it is graded with another mask too."
    return called and judge(value, near, mistakes, praise)


def _first(days: xr.DataArray, clear: xr.DataArray) -> xr.DataArray:
    """Return for each pixel the days of its first clear observation, NaN where there is none."""
    return days.isel(time=clear.argmax("time")).drop_vars("time").where(clear.any("time"))
