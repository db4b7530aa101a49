"""The inner loops of the analyses, compiled by numba: arrays in, arrays out, no xarray, no Dask."""
