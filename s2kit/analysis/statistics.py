"""Statistics along time of an index or a layer; in one pass over the cube, but for percentiles."""

from collections.abc import Sequence
from numbers import Real

import dask.array as da
import xarray as xr

from s2kit.analysis.kernels.moments import COUNT, MAX, MEAN, MIN, SQUARES
from s2kit.analysis.periods import Groups, group_steps
from s2kit.analysis.time_reduce import moments, rank, read_reduction
from s2kit.analysis.validation import Moment, read_cube, steps_in_period, take_steps
from s2kit.errors import InvalidInputError

_STATISTICS = {
    "mean": (MEAN, "mean"),
    "std": (SQUARES, "standard deviation"),
    "min": (MIN, "smallest value"),
    "max": (MAX, "largest value"),
}
"""Plane of each statistic, and its name in words."""


def time_statistics(
    cube: xr.Dataset,
    variable: str,
    *,
    clear: xr.DataArray | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    period: str | None = None,
    percentiles: Sequence[float] = (),
) -> xr.Dataset:
    """Compute statistics of the clear observations of each pixel.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
        As `s2kit.open_cube` returns it, or a part of it.
    variable : str
        A layer of the cube, such as ``"B08"``, or an index as in `s2kit.index`: ``"NDVI"``.
    clear : xarray.DataArray, dims (time, y, x), bool, optional
        Which observations count; by default `s2kit.clear_mask` of the cube.
    start, end : str or date, optional
        First and last day, both included; ``"2021"`` means the whole year.
    period : {None, "year", "season", "month"}
        The whole series, or each year, season (December to February…) or month in it.
    percentiles : sequence of float, optional
        For example ``(10, 50, 90)``: adds ``p10``, ``p50``, ``p90``. These need all values of a
        pixel at once, so memory grows with the number of steps, and the cube is read once more.

    Returns
    -------
    xarray.Dataset, dims (y, x), or (time, y, x) with a period
        Lazy: ``mean``, ``std`` (of the population, as numpy's), ``min``, ``max``, float32 in the
        unit of the variable, NaN where nothing was clear; ``count``, int32, of clear
        observations. With a period, ``time`` is its first day and ``period`` its name.

    Raises
    ------
    InvalidInputError
        If the variable, a period or a percentile is unknown, a band is missing, the mask does not
        fit, or the cube has no step in the time asked.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> maps = s2kit.time_statistics(cube, "NDVI", start="2021", end="2022")
    >>> list(maps), maps["std"].dims
    (['mean', 'std', 'min', 'max', 'count'], ('y', 'x'))
    >>> years = s2kit.time_statistics(cube, "NDVI", period="year")
    >>> years.period.values.tolist()
    ['2021', '2022', '2023']
    """
    wanted = _read_percentiles(percentiles)
    steps = steps_in_period(read_cube(cube), start, end)
    part = take_steps(cube.drop_vars(cube.data_vars), steps)
    groups = group_steps(part.time, period)
    reduction = read_reduction(cube, variable, clear, steps)
    found = moments(reduction, groups)
    results = {
        name: (found[:, plane], reduction.attrs(words))
        for name, (plane, words) in _STATISTICS.items()
    }
    if wanted:
        ranked = rank(reduction, groups, wanted)
        for n, q in enumerate(wanted):
            results[f"p{q:g}"] = ranked[:, n], reduction.attrs(f"{q:g} % percentile")
    number = found[:, COUNT].astype("int32")
    results["count"] = number, {"long_name": "clear observations", "units": "1"}
    return on_map(results, part, reduction.space, groups, period)


def on_map(
    results: dict[str, tuple[da.Array, dict]],
    cube: xr.Dataset,
    space: Sequence[str],
    groups: Groups,
    period: str | None,
) -> xr.Dataset:
    """Return results of each period, shape (period, *space), with the cube's coordinates.

    Without a period, there is no dimension time.
    """
    coords = {name: coord for name, coord in cube.coords.items() if "time" not in coord.dims}
    dims = space
    if period is not None:
        dims = ["time", *space]
        coords |= {
            "time": ("time", groups.starts, {"long_name": f"first day of the {period}"}),
            "period": ("time", groups.labels, {"long_name": period}),
        }
    layers = {
        name: (dims, data if period else data[0], attrs) for name, (data, attrs) in results.items()
    }
    result = xr.Dataset(layers, coords)
    kept = ("title", "source", "license", "synthetic")
    result.attrs = {name: cube.attrs[name] for name in kept if name in cube.attrs}
    result.attrs["observed"] = f"{cube.time.values.min():.10} to {cube.time.values.max():.10}"
    if "spatial_ref" in coords:
        for layer in result.data_vars.values():
            layer.encoding = {"grid_mapping": "spatial_ref"}
    return result


def _read_percentiles(percentiles: Sequence[float]) -> list[float]:
    try:
        wanted = list(percentiles)
        if all(isinstance(q, Real) and 0 <= q <= 100 for q in wanted):
            return wanted
    except TypeError:
        pass
    raise InvalidInputError(
        f"percentiles={percentiles!r} cannot be used; give numbers from 0 to 100, such as "
        "(10, 50, 90)"
    )
