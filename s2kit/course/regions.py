"""Cut the part of a cube that a notebook's parameters name."""

from typing import Any

import rioxarray  # noqa: F401  (registers `.rio`)
import xarray as xr

from s2kit.course.pictures import middle
from s2kit.errors import InvalidInputError
from s2kit.grid import make_grid


def cut_cube(
    cube: xr.Dataset,
    aoi: Any = None,
    start: str | int | None = None,
    end: str | int | None = None,
    *,
    pixels: int = 500,
) -> xr.Dataset:
    """Return a region and a period of a cube; raise where it has nothing there.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)
    aoi : tuple of float, str, dict or geometry, optional
        Region, as `s2kit.find_scenes` takes it. By default the middle of the cube.
    start, end : str or int, optional
        First and last day, month or year, both included.
    pixels : int
        Rows and columns of the middle, at most.

    Raises
    ------
    InvalidInputError
        If the cube has no pixel in that region, or no overpass in that period.
    """
    period = slice(start and str(start), end and str(end))
    if aoi is None:
        part = middle(cube.sel(time=period), pixels)
    else:
        size = abs(cube.rio.resolution()[0])
        west, south, east, north = make_grid(aoi, cube.rio.crs, size).boundingbox
        part = cube.sel(time=period, x=slice(west, east), y=slice(north, south))
    if 0 in part.sizes.values():
        degrees = [round(float(side), 3) for side in cube.rio.transform_bounds("EPSG:4326")]
        raise InvalidInputError(
            f"the cube has nothing in aoi={aoi} from {start} to {end}; it covers {degrees} "
            f"(west, south, east, north), {cube.time.values[0]:.10} to {cube.time.values[-1]:.10}"
        )
    return part
