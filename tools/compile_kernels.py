"""Compile the numerical kernels by using each once, on a few pixels of a cube.

Numba stores what it compiles beside the code. `make cube` and Binder's postBuild run this, so that
the first statistics, composites and seasons of a reader do not wait for it.
"""

import sys
from collections.abc import Iterator
from typing import Any

import dask
import geopandas as gpd
import xarray as xr
from shapely.geometry import box
from tqdm import tqdm

import s2kit


def results(whole: xr.Dataset) -> Iterator[Any]:
    """Yield lazy results that together use each kernel of the analysis."""
    few = {"y": slice(24), "x": slice(24)}
    yield s2kit.time_statistics(whole, "NDVI").isel(few)  # one block, read as it is stored
    cube = whole.isel(few)
    year = int(cube.time.dt.year[0])
    clear = s2kit.clear_mask(cube, specks=100, buffer=10)
    yield clear
    yield s2kit.time_statistics(cube, "B04", clear=clear, period="season", percentiles=[50])
    for method in ("median", "best_pixel", "medoid", "geomedian"):
        yield s2kit.composite(cube, method=method)
    for method in ("linear", "whittaker"):
        series = s2kit.index(s2kit.mask_clouds(cube), "NDVI")
        yield s2kit.season(s2kit.regular_series(series, method=method), year=year)
    west, south, east, north = cube.rio.bounds()
    field = gpd.GeoDataFrame(geometry=[box(west, south, east, north).buffer(-15)], crs=cube.rio.crs)
    yield s2kit.field_statistics(cube.B04.isel(time=0), field)


def main(store: str) -> None:
    """Compute them one after another, in this process."""
    cube = s2kit.open_cube(store)
    print("Compiling the numerical kernels, once on this machine", flush=True)
    with dask.config.set(scheduler="threads"):
        for result in tqdm(list(results(cube)), leave=False):
            dask.compute(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
