"""Checks of the NDVI and of its statistics (notebook 03)."""

from typing import Any

import numpy as np
import xarray as xr

from s2kit.course.judging import Mistakes, call, judge


def mean_ndvi(answer: Any, pixel: xr.Dataset, clear: xr.DataArray) -> bool:
    """Check the mean NDVI of one place over its clear observations (notebook 03).

    Parameters
    ----------
    answer : number
    pixel : xarray.Dataset, dims (time,)
        With B04 and B08, reflectance 0-1.
    clear : xarray.DataArray, dims (time,), bool
    """
    missing = [band for band in ("B04", "B08") if band not in pixel]
    if missing:
        print(f"This exercise needs B04 and B08; the cube has no {' and no '.join(missing)}.")
        return False
    red, nir = pixel["B04"], pixel["B08"]
    difference, total = nir - red, nir + red
    ndvi = difference / total
    seen = ndvi.where(clear)
    wrong = [
        ("You divided by NIR − red; NDVI divides by the sum.", difference / difference),
        ("You divided by NIR − red; NDVI divides by the sum.", total / difference),
        ("The bands are swapped: near infrared (B08) comes first.", -ndvi),
        ("Brackets are missing: division is done before + and −.", nir - red / total),
        ("Brackets are missing: division is done before + and −.", nir - red / nir + red),
        ("Brackets are missing: division is done before + and −.", difference / nir + red),
        ("That is the ratio of the bands; NDVI is the difference by the sum.", nir / red),
        ("That is only the difference; divide it by the sum.", difference),
    ]
    one_number = "That is one number for each overpass; take the mean over time."
    means = difference.where(clear).mean() / total.where(clear).mean()
    mistakes: Mistakes = [(hint, values.where(clear).mean()) for hint, values in wrong]
    mistakes += [(hint, values.mean()) for hint, values in wrong]
    mistakes += [
        ("Cloudy observations are in it too: keep the clear ones with .where(clear).", ndvi.mean()),
        ("You kept what is not clear: .where(…) keeps what is true.", ndvi.where(~clear).mean()),
        ("First the NDVI of each overpass, then the mean; you took the mean of bands.", means),
        ("That is the median; take the mean.", seen.median()),
        ("That is the standard deviation; take the mean.", seen.std()),
        ("Overpasses that are not clear count as 0: use .where(clear).", (ndvi * clear).mean()),
        ("An overpass without data made it NaN; .mean() of xarray leaves it out.", np.nan),
        (one_number, ndvi),
        (one_number, seen),
    ]
    praise = "Right: a sum, with brackets, of clear observations."
    return judge(answer, seen.mean(), mistakes, praise)


def clear_days(answer: Any, clear: xr.DataArray) -> bool:
    """Check how often one pixel was seen clearly (exercise 03).

    Parameters
    ----------
    answer : number
    clear : xarray.DataArray, dims (time,), bool
    """
    seen = clear.values
    counted = "That is the number of overpasses: .count() and len() also count what is false. "
    counted += "Count what is true with .sum()."
    mistakes = [
        (counted, seen.size),
        ("You counted what is not clear.", (~seen).sum()),
        ("That is true or false for each overpass; count the true ones with .sum().", seen),
        ("That is the share of the overpasses; count them with .sum().", seen.mean()),
        ("That is in per cent; count the overpasses with .sum().", 100 * seen.mean()),
    ]
    return judge(answer, seen.sum(), mistakes, f"Right: of {seen.size} overpasses.")


def ndvi_function(answer: Any, scene: xr.Dataset) -> bool:
    """Check a function that computes the NDVI of a scene (exercise 03).

    Parameters
    ----------
    answer : callable
        Takes a Dataset with B04 and B08.
    scene : xarray.Dataset
        What it is called with; reflectance 0-1, of any dims.
    """
    red, nir = scene["B04"], scene["B08"]
    difference, total = nir - red, nir + red
    wrong = [
        ("The bands are swapped: near infrared (B08) comes first.", -difference / total),
        ("Brackets are missing: division is done before + and −.", nir - red / nir + red),
        ("Brackets are missing: division is done before + and −.", nir - red / total),
        ("Brackets are missing: division is done before + and −.", difference / nir + red),
        ("You divided by NIR − red; NDVI divides by the sum.", total / difference),
        ("That is the ratio of the bands; NDVI is the difference by the sum.", nir / red),
        ("That is only the difference; divide it by the sum.", difference),
        ("That is only the sum.", total),
        ("That is red alone.", red),
        ("That is near infrared alone.", nir),
    ]
    if "B03" in scene:
        green = scene["B03"]
        other = "That is the NDWI, with green (B03): NDVI takes near infrared and red."
        swapped = "That is another index, with green (B03): NDVI takes near infrared and red."
        wrong += [(other, (green - nir) / (green + nir)), (swapped, (nir - green) / (nir + green))]
    one = "Your function returns one number; the NDVI is asked for each pixel."
    mistakes: Mistakes = [*wrong, (one, (difference / total).mean())]
    mistakes.append((one, (difference / total).median()))
    called, value = call(answer, scene)
    return called and judge(value, difference / total, mistakes, "Right: the NDVI of each pixel.")


def statistic_map(answer: Any, values: xr.DataArray, clear: xr.DataArray, statistic: str) -> bool:
    """Check a map of the mean or the standard deviation of clear observations (exercise 03).

    Parameters
    ----------
    answer : xarray.DataArray, dims (y, x)
    values : xarray.DataArray, dims (time, y, x)
    clear : xarray.DataArray, dims (time, y, x), bool
    statistic : {"mean", "std"}
    """
    words = {"mean": "mean", "std": "standard deviation"}
    right, zeros = words[statistic], values * clear
    seen, hidden = values.where(clear), values.where(~clear)

    def of(layer: xr.DataArray, axes: Any = "time", name: str = statistic) -> Any:
        return getattr(layer, name)(axes)

    filled = "Zeros take part: .where(clear) makes gaps, multiplying makes zeros."
    whole = f'That is one number for the whole map: name the axis, .{statistic}("time").'
    mistakes: Mistakes = [
        ("The mask is missing, so clouds take part: use .where(clear).", of(values)),
        ("You kept what is not clear: .where(…) keeps what is true.", of(hidden)),
        (filled, of(zeros)),
        (whole, of(seen, ...)),
        ("That is one number for each overpass: take it along time.", of(seen, ["y", "x"])),
        (f"Nothing is taken together yet: take the {right} along time.", seen),
        ("That is how many observations there are.", seen.count("time")),
        ("That divides by n − 1; here n is asked for, as .std() does.", seen.std("time", ddof=1)),
        ("That is the variance: the standard deviation is its square root.", seen.var("time")),
    ]
    for name in ("mean", "std", "median", "min", "max"):
        word = words.get(name, {"min": "smallest", "max": "largest"}.get(name, name))
        hint = f"That is the {word} of the clear observations; the {right} is asked for."
        also = f"That is the {word}, and the mask is missing."
        mistakes += [(hint, of(seen, name=name)), (also, of(values, name=name))]
    praise = f"Right: the {right} of what was clear."
    return judge(answer, of(seen), mistakes, praise)


def mask_effect(answer: Any, values: xr.DataArray, clear: xr.DataArray) -> bool:
    """Check by how much masking lowers the standard deviation (exercise 03).

    Parameters
    ----------
    answer : number
        Median over the pixels of the standard deviation without mask minus that with it.
    values : xarray.DataArray, dims (time, y, x)
    clear : xarray.DataArray, dims (time, y, x), bool
    """
    seen = values.where(clear)
    without, within = values.std("time"), seen.std("time")
    change = without - within
    inverted = (without - values.where(~clear).std("time")).median()
    together = "That takes all pixels and days together: first the deviation of each pixel along "
    together += 'time, .std("time").'
    means = values.mean("time") - seen.mean("time")
    mistakes: Mistakes = [
        ("The sign is turned: without mask minus with mask.", -change.median()),
        ("That is the mean over the pixels; take the median.", change.mean()),
        ("That is the change for each pixel; take their median.", change),
        ("That is the deviation without the mask; subtract the one with it.", without.median()),
        ("That is the deviation with the mask; subtract it from the one without.", within.median()),
        ("That is how much the mean changed; the standard deviation is asked.", means.median()),
        ("That is how much the mean changed; the standard deviation is asked.", -means.median()),
        ("You compared with what is not clear: .where(…) keeps what is true.", inverted),
        (together, values.std() - seen.std()),
        (together, seen.std() - values.std()),
        ("That is a ratio; take the difference.", (without / within).median()),
        ("That is a ratio; take the difference.", without.median() / within.median()),
        ("That is a ratio; take the difference.", (within / without).median()),
        ("That is 0: both have the same mask.", 0.0),
        ("That is the largest change; take the median over the pixels.", change.max()),
        ("That is in per cent of the deviation; take the difference.", (change / without).median()),
    ]
    alike = without.median() - within.median()
    between = "First subtract for each pixel, then take the median: you did it the other way round."
    mistakes.append((between, alike))
    praise = "Right: now explain it in the next task."
    return judge(answer, change.median(), mistakes, praise)


def sudden_drops(answer: Any, series: xr.DataArray, *, least: float) -> bool:
    """Check a function that finds when a series drops (exercise 03).

    Parameters
    ----------
    answer : callable
        Takes the series and the least drop.
    series : xarray.DataArray, dims (time,)
        NaN where nothing was clear.
    least : float
        A drop counts if the value is lower by at least so much than the one before it.
    """
    known = series.dropna("time")
    times, change = known["time"].values, np.diff(known.values)
    fell, rose = change <= -least, change >= least
    gaps = np.diff(series.values) <= -least
    before = "These are the days before the drops: a drop is seen on the later of the two days."
    spans = "Gaps take part: leave days without a value out first, with .dropna."
    mistakes: Mistakes = [
        (before, times[:-1][fell]),
        ("These are the days on which it rises.", times[1:][rose]),
        ("Rises are among them: a drop is a change below 0.", times[1:][fell | rose]),
        (spans, series["time"].values[1:][gaps]),
        ("These are all days on which it is lower, however little.", times[1:][change < 0]),
        ("That is true or false for each day; give the days.", fell),
        ("That is how many there are; give the days.", fell.sum()),
        ("These are the changes; give the days.", change),
        ("These are the changes; give the days.", change[fell]),
        ("These are the values on those days; give the days.", known.values[1:][fell]),
        ("These are the days on which the value itself is low.", times[known.values <= least]),
        ("These are all days.", times),
    ]
    called, value = call(answer, series, least)
    praise = f"Right: {fell.sum()} such days."
    return called and judge(value, times[1:][fell], mistakes, praise)
