"""Features of each pixel's series, from which a classifier learns."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401  (registers `.rio`)
import xarray as xr

from s2kit.analysis.blocks import as_rows, map_blocks, whole_series
from s2kit.analysis.indices import read_formula
from s2kit.analysis.kernels.interpolate import interpolate
from s2kit.analysis.masks import read_clear
from s2kit.analysis.periods import Groups
from s2kit.analysis.statistics import time_statistics
from s2kit.analysis.time_reduce import rank, read_reduction
from s2kit.analysis.validation import (
    MOST_DAYS,
    Moment,
    in_order,
    read_cube,
    require_whole,
    steps_in_period,
    take_steps,
)
from s2kit.errors import InvalidInputError
from s2kit.scenes.item import BANDS
from s2kit.scenes.period import read_period

KINDS = ("seasons", "statistics", "series")

_Planes = tuple[list[str], list[da.Array]]
"""Names, and arrays (feature, y, x) which together hold as many features."""

_SEASONS = ("DJF", "MAM", "JJA", "SON")
_STATISTICS = ("mean", "std", "min", "max", "p10", "p50", "p90")


def make_features(
    cube: xr.Dataset,
    kind: str = "seasons",
    *,
    clear: xr.DataArray | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    index: str = "NDVI",
    step: int = 30,
) -> xr.DataArray:
    """Compute features of each pixel's clear observations, for a classifier.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, or a part of it.
    kind : {"seasons", "statistics", "series"}
        ``"seasons"``: the median of each reflectance band in each meteorological season (DJF is
        December to February), all years together; seasons without any step are left out.
        ``"statistics"``: mean, standard deviation, smallest, largest value and the 10, 50 and 90 %
        percentiles of the index. ``"series"``: the index every ``step`` days, interpolated
        linearly between clear observations; before the first and after the last it stays the same.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations count; by default `s2kit.clear_mask` of the cube.
    start, end : str or date, optional
        First and last day, both included; ``"2021"`` means the whole year.
    index : str, default "NDVI"
        An index as in `s2kit.index`, or a layer of the cube; not used by ``"seasons"``.
    step : int, default 30
        Days from one value of ``"series"`` to the next.

    Returns
    -------
    xarray.DataArray, dims (feature, y, x), float32
        Lazy; reflectance 0-1 or the unit of the index; NaN where no observation was clear.
        ``feature`` holds names such as ``"B04 JJA"``, ``"NDVI std"`` or ``"NDVI 2021-06-15"``. The
        attributes ``recipe`` and ``source`` (JSON) say how they were made, and from which cube.

    Raises
    ------
    InvalidInputError
        If an option is unknown, a layer is missing, the mask does not fit, or the cube has no step
        in the time asked.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> features = s2kit.make_features(cube, "statistics")
    >>> features.feature.values.tolist()[:3]
    ['NDVI mean', 'NDVI std', 'NDVI min']
    """
    if kind not in KINDS:
        raise InvalidInputError(f"kind={kind!r} is unknown; accepted: {', '.join(KINDS)}")
    part = _part(cube, start, end)
    recipe: dict[str, Any] = {"kind": kind, "start": _day(start), "end": _day(end)}
    recipe["own_mask"] = clear is not None
    if kind == "seasons":
        bands = [band for band in BANDS if band in part.data_vars]
        if not bands:
            raise InvalidInputError(
                f"the cube has none of {', '.join(BANDS)}, which kind='seasons' needs; it has "
                f"{', '.join(map(str, part.data_vars)) or 'no layers'}"
            )
        found = part.time.dt.season.values
        recipe |= {"bands": bands, "seasons": [name for name in _SEASONS if name in found]}
    else:
        recipe["index"] = index if index in list(part.data_vars) else read_formula(part, index).name
    if kind == "series":
        require_whole("step", step, 1, MOST_DAYS)
        first, last = (f"{time:.10}" for time in (part.time.values.min(), part.time.values.max()))
        period = read_period(first if start is None else start, last if end is None else end)
        begin, stop = (np.datetime64(day.date()) for day in (period.first, period.last))
        after = stop + np.timedelta64(1, "D")
        days = np.arange(begin, after, np.timedelta64(int(step), "D")).astype(str).tolist()
        recipe |= {"start": days[0], "end": str(stop), "days": days}
    return apply_recipe(cube, recipe, clear)


def check_recipe(recipe: Any) -> None:
    """Raise ValueError unless a recipe is one that `make_features` writes."""
    if not isinstance(recipe, dict):
        raise ValueError(f"the recipe of the features is {recipe!r:.80}")
    kind = recipe.get("kind")
    seasons, bands, index, days = map(recipe.get, ("seasons", "bands", "index", "days"))
    valid = (
        kind in KINDS
        and all(recipe.get(name) is None or _is_day(recipe[name]) for name in ("start", "end"))
        and {"start", "end"} <= recipe.keys()
        and isinstance(recipe.get("own_mask"), bool)
        and (kind != "seasons" or (_is_part(seasons, _SEASONS) and _is_part(bands, BANDS)))
        and (kind == "seasons" or isinstance(index, str))
        and (kind != "series" or (_is_list(days) and all(map(_is_day, recipe["days"]))))
    )
    if not valid:
        raise ValueError("the recipe of the features is none that s2kit.make_features writes")


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST_DAYS


def _is_part(value: Any, whole: Sequence[str]) -> bool:
    """Return whether a value lists some of the members of another list, each once."""
    return _is_list(value) and all(one in whole and value.count(one) == 1 for one in value)


def _is_day(value: Any) -> bool:
    """Return whether a value is a day, a month or a year as text."""
    try:
        return isinstance(value, str) and read_period(value, value) is not None
    except InvalidInputError:
        return False


def apply_recipe(
    cube: xr.Dataset, recipe: Mapping[str, Any], clear: xr.DataArray | None = None
) -> xr.DataArray:
    """Compute the features that a recipe describes; see `make_features`.

    Raises
    ------
    InvalidInputError
        As `make_features`, or if the recipe needs a season that the cube does not have.
    """
    part = _part(cube, recipe["start"], recipe["end"])
    names, planes = _MAKERS[recipe["kind"]](part, clear, recipe)
    # one block holds all features of its pixels, which is what a classifier needs
    data = whole_series(da.concatenate(planes))
    coords = {name: coord for name, coord in part.coords.items() if "time" not in coord.dims}
    coords["feature"] = names
    attrs = {"recipe": json.dumps(dict(recipe)), "source": json.dumps(_describe(part))}
    features = xr.DataArray(data, coords, ("feature", "y", "x"), "features", attrs)
    features.encoding = {"grid_mapping": "spatial_ref"} if "spatial_ref" in coords else {}
    return features


def _part(cube: xr.Dataset, start: Moment | None, end: Moment | None) -> xr.Dataset:
    read_cube(cube)
    if not {"y", "x"} <= set(cube.dims):
        raise InvalidInputError(
            f"the cube has the dimensions {', '.join(map(str, cube.dims)) or 'none'}; features are "
            "a map: select with lists, cube.isel(y=[5]), to keep the dimensions"
        )
    part = take_steps(cube, steps_in_period(cube, start, end))
    return in_order(part).transpose("time", "y", "x", ...)


def _season_medians(
    part: xr.Dataset, clear: xr.DataArray | None, recipe: Mapping[str, Any]
) -> _Planes:
    wanted, bands = recipe["seasons"], recipe["bands"]
    read_cube(part, *bands)
    season = part.time.dt.season.values
    lacking = [name for name in wanted if name not in season]
    if lacking:
        raise InvalidInputError(
            f"the cube has no step in {', '.join(lacking)}, which the features need; choose "
            "another period, or features of the seasons that the cube has"
        )
    inside = np.isin(season, wanted)
    ids = np.array([wanted.index(name) for name in season[inside]], "i8")
    never = np.empty(0, "M8[ns]")  # a season of all years
    groups = Groups(ids, never, list(wanted), never)
    reductions = [read_reduction(part, band, clear, inside) for band in bands]
    medians = [rank(one, groups, [50])[:, 0] for one in reductions]
    return [f"{band} {name}" for band in bands for name in wanted], medians


def _statistics(part: xr.Dataset, clear: xr.DataArray | None, recipe: Mapping[str, Any]) -> _Planes:
    found = time_statistics(part, recipe["index"], clear=clear, percentiles=(10, 50, 90))
    names = [f"{recipe['index']} {name}" for name in _STATISTICS]
    return names, [found[name].data[np.newaxis] for name in _STATISTICS]


def _series(part: xr.Dataset, clear: xr.DataArray | None, recipe: Mapping[str, Any]) -> _Planes:
    name, days = recipe["index"], np.array(recipe["days"], "M8[D]")
    reduction = read_reduction(part, name, read_clear(part, clear))
    layers = list(map(whole_series, reduction.layers))
    planes = map_blocks(
        _interpolate_block,
        *layers,
        chunks=((len(days),), *layers[0].chunks[1:]),
        evaluate=reduction.evaluate,
        times=part.time.values.astype("M8[D]").astype("i8"),
        days=days.astype("i8"),
    )
    return [f"{name} {day}" for day in recipe["days"]], [planes]


_MAKERS = {"seasons": _season_medians, "statistics": _statistics, "series": _series}


def _interpolate_block(
    *layers: np.ndarray, evaluate: Callable, times: np.ndarray, days: np.ndarray
) -> np.ndarray:
    values, clear = as_rows(evaluate(*layers[:-1]), "float32"), as_rows(layers[-1])
    found = interpolate(values, clear, times, days, True, MOST_DAYS)
    return found.reshape(len(days), *layers[0].shape[1:])


def _day(moment: Moment | None) -> str | None:
    return moment if moment is None or isinstance(moment, str) else moment.isoformat()


def _describe(part: xr.Dataset) -> dict[str, Any]:
    """Return which cube it is, for a model's card."""
    x, y, times = (part[name].values for name in ("x", "y", "time"))
    return {
        "title": part.attrs.get("title"),
        "synthetic": bool(part.attrs["synthetic"]) if "synthetic" in part.attrs else None,
        "crs": part.rio.crs.to_string() if part.rio.crs else None,
        "centres": [float(v) for v in (x.min(), y.min(), x.max(), y.max())],
        "first": f"{times.min():.10}",
        "last": f"{times.max():.10}",
        "steps": len(times),
    }
