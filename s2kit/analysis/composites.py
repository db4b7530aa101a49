"""Cloud-free images, composed of the clear observations of each pixel."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import dask.array as da
import numpy as np
import xarray as xr

from s2kit.analysis.blocks import blocks_of, map_blocks, map_overlap
from s2kit.analysis.indices import Formula, read_formula
from s2kit.analysis.kernels import spectra as kernels
from s2kit.analysis.kernels.distance import distance
from s2kit.analysis.masks import read_clear
from s2kit.analysis.morphology import metres_per_pixel
from s2kit.analysis.periods import Groups, group_steps
from s2kit.analysis.statistics import on_map
from s2kit.analysis.validation import Moment, in_order, read_cube, steps_in_period, take_steps
from s2kit.cube.dask_layers import in_series
from s2kit.errors import InvalidInputError
from s2kit.scenes.item import BANDS

METHODS = ("median", "geomedian", "medoid", "max_ndvi", "best_pixel")
_DATED = ("medoid", "max_ndvi", "best_pixel")

_FAR = 500.0
"""Metres beyond which cloud no longer matters (`_score`)."""

_SIGMA = 30.0
"""Days from the middle of the period at which an observation counts 0.6 (`_score`)."""


def composite(
    cube: xr.Dataset,
    *,
    method: str = "median",
    period: str | None = None,
    clear: xr.DataArray | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
) -> xr.Dataset:
    """Compute a cloud-free image of the whole series, or of each year, season or month.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, or a part of it; all reflectances in it are used.
    method : {"median", "geomedian", "medoid", "max_ndvi", "best_pixel"}
        ``median``: of each band by itself.
        ``geomedian``: the spectrum with the least sum of distances to all clear spectra [1]_.
        ``medoid``: the observed spectrum with the least sum of distances to the others [2]_.
        ``max_ndvi``: the observation with the highest NDVI [3]_.
        ``best_pixel``: far from cloud and near to the middle of the period, or of the time between
        the first and the last step, after [4]_.
    period : {None, "year", "season", "month"}
        One image of the whole series, or one of each year, season (December to February…) or month.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations count; by default `s2kit.clear_mask` of the cube.
    start, end : str or date, optional
        First and last day, both included; ``"2021"`` means the whole year.

    Returns
    -------
    xarray.Dataset, dims (y, x), or (time, y, x) with a period
        Lazy: the bands, float32, reflectance 0-1, NaN in gaps; ``count``, int32, of the
        observations that were used; for the last three methods ``date``, datetime64, the day of
        the one that was chosen, NaT in gaps. The share of gaps is
        ``(image["count"] == 0).mean()``.

    Raises
    ------
    InvalidInputError
        If an option is unknown, the cube lacks a band, or has no step in the time asked, or the
        mask does not fit.

    Notes
    -----
    An observation counts where it is clear and all bands have data; for the median, where the
    band has data. Memory grows with the number of steps and bands of a block, not with the region.
    Where two observations are equally good, the earlier one is taken.

    References
    ----------
    .. [1] Roberts, D., Mueller, N., McIntyre, A. (2017). High-dimensional pixel composites from
       Earth observation time series. IEEE TGRS 55 (11), 6254-6264.
    .. [2] Flood, N. (2013). Seasonal composite Landsat TM/ETM+ images using the medoid. Remote
       Sensing 5 (12), 6481-6500.
    .. [3] Holben, B. N. (1986). Characteristics of maximum-value composite images from temporal
       AVHRR data. International Journal of Remote Sensing 7 (11), 1417-1434.
    .. [4] Griffiths, P. et al. (2013). A pixel-based Landsat compositing algorithm for large area
       land cover mapping. IEEE JSTARS 6 (5), 2088-2101.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")[["B02", "B03", "B04", "SCL"]]
    >>> image = s2kit.composite(cube, method="median", period="year")
    >>> list(image), image.period.values.tolist()
    (['B02', 'B03', 'B04', 'count'], ['2021', '2022', '2023'])
    """
    read_cube(cube)
    if method not in METHODS:
        raise InvalidInputError(f"method={method!r} is unknown; accepted: {', '.join(METHODS)}")
    names = [name for name in BANDS if name in cube.data_vars]
    cube = in_order(read_cube(cube, *names))  # of equals the earlier one is taken
    steps = steps_in_period(cube, start, end)
    part = take_steps(cube, steps)
    if not {"y", "x"} <= set(part.dims):
        raise InvalidInputError(
            f"the cube has the dimensions {dict(part.sizes)}; a composite needs time, y and x: "
            "take a part with slices, not with single numbers"
        )
    if not names:
        raise InvalidInputError(
            f"the cube has no reflectances ({', '.join(BANDS)}); it has "
            f"{', '.join(map(str, part.data_vars)) or 'no layers'}"
        )
    groups = group_steps(part.time, period)
    seen = read_clear(part, clear).transpose("time", "y", "x")
    extra, choose = _method(method, part, names, seen, groups)
    bands = [take_steps(in_series(cube[name]), steps).transpose("time", "y", "x") for name in names]
    found = _over_blocks(choose, [*bands, seen, *extra], len(names), groups)
    results = {name: (found[:, i], part[name].attrs) for i, name in enumerate(names)}
    number = found[:, -2].astype("int32")
    results["count"] = number, {"long_name": "observations that were used", "units": "1"}
    if method in _DATED:
        dates = found[:, -1].map_blocks(_dates, part.time.values, dtype="datetime64[ns]")
        results["date"] = dates, {"long_name": "day of the observation that was chosen"}
    image = on_map(results, part, ("y", "x"), groups, period)
    for name in names:
        image[name].encoding |= part[name].encoding
    return image.assign_attrs(method=method)


def _dates(steps: np.ndarray, times: np.ndarray) -> np.ndarray:
    chosen = np.nan_to_num(steps, nan=-1).astype("i8")
    days = times.astype("datetime64[D]").astype("datetime64[ns]")
    return np.where(chosen >= 0, days[chosen], np.datetime64("NaT", "ns"))


def _method(
    method: str, cube: xr.Dataset, names: list[str], seen: xr.DataArray, groups: Groups
) -> tuple[list[xr.DataArray], Callable[..., np.ndarray]]:
    """Return the arrays that a method needs besides bands and mask, and its function of blocks."""
    if method == "max_ndvi":
        formula = read_formula(cube, "NDVI")
        places = [names.index(band) for band in formula.bands]
        return [], partial(_choose_highest, formula=formula, places=places)
    if method == "best_pixel":
        return [_score(cube, seen, groups)], _choose_best
    return [], partial(_combine, kernel=getattr(kernels, method))


def _over_blocks(
    function: Callable[..., np.ndarray], arrays: list[xr.DataArray], bands: int, groups: Groups
) -> da.Array:
    """Apply a method to blocks of whole series; returns (period, bands + 2, y, x), float32."""
    given = list(map(blocks_of, arrays))
    space = given[0].chunks[1:]
    whole = [array.rechunk((-1, *space), method="tasks") for array in given]
    chunks = (groups.number, bands + 2, *space)
    return map_blocks(function, *whole, chunks=chunks, new_axis=1, groups=groups, bands=bands)


def _combine(*blocks: np.ndarray, kernel: Callable, groups: Groups, bands: int) -> np.ndarray:
    """Apply a kernel to some pixels at a time, so that only their bands are stacked at once."""
    shape = blocks[0].shape[1:]
    flat = [block.reshape(len(block), -1) for block in blocks]
    out = np.empty((groups.number, bands + 2, flat[0].shape[1]), "float32")
    for first, last in pairwise([*range(0, out.shape[2], kernels.TOGETHER), out.shape[2]]):
        piece = slice(first, last)
        spectra = np.stack([band[:, piece] for band in flat[:bands]])
        for g in range(groups.number):
            steps = np.flatnonzero(groups.ids == g)
            out[g, :, piece] = kernel(spectra, flat[bands][:, piece], steps)
    return out.reshape(groups.number, bands + 2, *shape)


def _choose_highest(
    *blocks: np.ndarray, formula: Formula, places: list[int], groups: Groups, bands: int
) -> np.ndarray:
    """Take the observation with the highest index."""
    score = formula(*(blocks[place] for place in places))
    return _choose_best(*blocks, score, groups=groups, bands=bands)


def _choose_best(*blocks: np.ndarray, groups: Groups, bands: int) -> np.ndarray:
    """Take the observation with the highest score."""
    *layers, seen, score = blocks
    usable = seen & np.isfinite(score)
    for band in layers:
        usable &= np.isfinite(band)
    ranked = np.where(usable, score, -np.inf)
    out = np.full((groups.number, bands + 2, *seen.shape[1:]), np.nan, "float32")
    for g in range(groups.number):
        steps = np.flatnonzero(groups.ids == g)
        best = steps[ranked[steps].argmax(0)]
        number = usable[steps].sum(0)
        for i, band in enumerate(layers):
            chosen = np.take_along_axis(band, best[None], 0)[0]
            out[g, i] = np.where(number, chosen, np.nan)
        out[g, -2], out[g, -1] = number, np.where(number, best, np.nan)
    return out


def _score(cube: xr.Dataset, seen: xr.DataArray, groups: Groups) -> xr.DataArray:
    """Score observations from 0 to 2: half by the distance to cloud, half by the date.

    The first is the sigmoid of Griffiths et al. (2013, eq. 3), with 50 pixels of 30 m there and
    500 m here beyond which cloud does not matter; the second is a Gaussian of the days from the
    middle of the period. What is not clear, or not seen at all, counts as cloud.
    """
    days = (cube.time.values.astype("M8[ns]") - groups.middles[groups.ids]) / np.timedelta64(1, "D")
    dates = xr.DataArray(np.exp(-0.5 * (days / _SIGMA) ** 2).astype("float32"), dims="time")
    reach = _FAR / metres_per_pixel(cube)
    score = partial(_cloud_score, reach=reach)
    away = map_overlap(score, blocks_of(seen), int(reach), "float32")
    return seen.copy(data=away) + dates


def _cloud_score(seen: np.ndarray, reach: float) -> np.ndarray:
    away = np.minimum(distance(~seen, reach), np.float32(reach)) / np.float32(reach) * 50
    return 1 / (1 + np.exp(-0.2 * (away - 25)))
