"""Compile the numerical kernels by using each once, on a few pixels of a cube.

Numba stores what it compiles beside the code. `make cube` and Binder's postBuild run this, so that
the first statistics, composites and seasons of a reader do not wait for it.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import dask
import geopandas as gpd
import xarray as xr
from shapely.geometry import box
from tqdm import tqdm

import s2kit
from s2kit.errors import S2KitError

FEW = {"y": slice(24), "x": slice(24)}


def uses(whole: xr.Dataset) -> list[Callable[[], Any]]:
    """Return computations that together use each kernel of the analysis."""
    cube = whole.isel(FEW)
    return [
        lambda: s2kit.time_statistics(whole, "NDVI").isel(FEW),  # one block, read as it is stored
        lambda: s2kit.clear_mask(cube, specks=100, buffer=10),
        lambda: s2kit.time_statistics(cube, "B04", period="season", percentiles=[50]),
        *(partial(s2kit.composite, cube, method=name) for name in ("median", "best_pixel")),
        *(partial(s2kit.composite, cube, method=name) for name in ("medoid", "geomedian")),
        *(partial(season, cube, method) for method in ("linear", "whittaker")),
        lambda: field_statistics(cube),
    ]


def season(cube: xr.Dataset, method: str) -> xr.Dataset:
    """Find the season of the first year."""
    series = s2kit.index(s2kit.mask_clouds(cube), "NDVI")
    regular = s2kit.regular_series(series, method=method)
    return s2kit.season(regular, year=int(cube.time.dt.year[0]))


def field_statistics(cube: xr.Dataset) -> gpd.GeoDataFrame:
    """Describe one field."""
    field = box(*cube.rio.bounds()).buffer(-abs(cube.rio.resolution()[0]))
    layer = cube[next(iter(cube.data_vars))].isel(time=0)
    return s2kit.field_statistics(layer, gpd.GeoDataFrame(geometry=[field], crs=cube.rio.crs))


def main(store: str) -> None:
    """Compute them one after another, in this process."""
    cube = s2kit.open_cube(store)
    print("Compiling the numerical kernels, once on this machine", flush=True)
    with dask.config.set(scheduler="threads"):
        for use in tqdm(uses(cube), leave=False):
            # What a cube without some band, or of few dates, cannot show is compiled when needed.
            with suppress(S2KitError):
                dask.compute(use())


if __name__ == "__main__":
    main(*sys.argv[1:])
