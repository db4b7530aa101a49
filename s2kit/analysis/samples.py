"""Samples for training: pixels with a known label, from fields or from a map of labels."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers `.rio`)
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from tqdm.auto import tqdm
from tqdm.dask import TqdmCallback

from s2kit.analysis.fields import Fields, read_fields
from s2kit.analysis.validation import require_whole
from s2kit.cube.nodata import has_data
from s2kit.errors import InvalidInputError
from s2kit.grid import crs_of, read_grid

PLACE = ["label", "field", "x", "y"]
"""Columns of a table of samples besides the features."""

_Area = tuple[Any, Any, np.ndarray, np.ndarray]
"""Index of a field, its label, and rows and columns of its pixels."""

_NO_LABEL = 0
_SQUARE = 500.0
"""Side in metres of the squares that stand for fields in a map of labels."""

PATIENCE = 2
"""Seconds before a progress bar shows."""


def sample_pixels(
    features: xr.DataArray,
    fields: Fields | xr.DataArray,
    column: str | None = None,
    *,
    per_field: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw pixels with a known label, and return their features.

    Parameters
    ----------
    features : xarray.DataArray, dims (feature, y, x)
        As `s2kit.make_features` returns it.
    fields : str, path, geopandas.GeoDataFrame or xarray.DataArray
        Polygons in any coordinate system, or a file of them; or labels as a map on the grid of
        the features, dims (y, x), whole numbers with 0 for no label. Squares of 500 m stand for
        fields there.
    column : str
        Column of the fields that holds the label; fields without a label are left out.
    per_field : int, default 50
        Most pixels of one field, drawn at random; of a map of labels, of one class in one square.
    seed : int, default 0
        The same seed draws the same pixels.

    Returns
    -------
    pandas.DataFrame
        A row per pixel: the features, ``label``, ``field`` (index of the field, or number of the
        square), and its centre ``x``, ``y``. Each pixel occurs once, and its centre lies within
        its field. Pixels where a feature is missing are left out with a warning.

    Raises
    ------
    InvalidInputError
        If the fields cannot be read, do not meet the cube, or have no such column; if a map of
        labels lies on another grid; if no pixel is left.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr").isel(x=slice(100), y=slice(100))
    >>> features = s2kit.make_features(cube, "statistics")
    >>> fields = "data/practice/truth/fields.gpkg"
    >>> samples = s2kit.sample_pixels(features, fields, "crop", per_field=5)
    >>> int(samples.groupby("field").size().max()), sorted(set(samples.label))[:2]
    (5, ['grassland', 'maize'])
    """
    if not isinstance(features, xr.DataArray) or set(features.dims) != {"feature", "y", "x"}:
        dims = getattr(features, "dims", type(features).__name__)
        raise InvalidInputError(
            f"features is {dims}; give what s2kit.make_features returns: dims (feature, y, x)"
        )
    grid = read_grid(features)
    require_whole("per_field", per_field, 1)
    require_whole("seed", seed, 0)
    if isinstance(fields, xr.DataArray):
        areas = _squares(_read_labels_map(fields, grid), grid)
    else:
        areas = _inside_fields(fields, column, features)
    spots = _draw(areas, per_field, seed)
    at = {name: xr.DataArray(spots[name].to_numpy(), dims="pixel") for name in ("y", "x")}
    with TqdmCallback(desc="features of the pixels", tqdm_class=tqdm, delay=PATIENCE, leave=False):
        found = features.isel(at).transpose("pixel", "feature").compute()
    names = [str(name) for name in features.feature.values]
    table = pd.DataFrame(found.values, columns=names)
    table = table.assign(label=spots.label, field=spots.field, x=found.x.values, y=found.y.values)
    kept = ("recipe", "source")
    table.attrs = {name: features.attrs[name] for name in kept if name in features.attrs}
    return _complete(table)


def _inside_fields(fields: Fields, column: str | None, features: xr.DataArray) -> Iterator[_Area]:
    """Yield the pixels whose centre lies within each field that has a label."""
    table = read_fields(fields, features)
    named = [name for name in table.columns if name != table.active_geometry_name]
    if column not in named:
        raise InvalidInputError(
            f"column={column!r} is not in the fields; name the one that holds the label: "
            f"{', '.join(map(str, named)) or 'there is none'}"
        )
    table = table[table[column].notna()]
    x, y = features.x.values, features.y.values
    for field, label, outline in zip(table.index, table[column], table.geometry, strict=True):
        found = [_inside(part, x, y) for part in shapely.get_parts(outline)]
        yield field, label, *(np.concatenate(axis) for axis in zip(*found, strict=True))


def _inside(outline: shapely.Geometry, x: np.ndarray, y: np.ndarray) -> tuple:
    """Return rows and columns of the centres within a polygon; y descends."""
    west, south, east, north = outline.bounds
    cols = np.arange(*np.searchsorted(x, [west, east], "right"))
    rows = np.arange(*np.searchsorted(-y, [-north, -south], "right"))
    shapely.prepare(outline)
    row, col = np.nonzero(shapely.contains_xy(outline, x[cols], y[rows, np.newaxis]))
    return rows[row], cols[col]


def _read_labels_map(labels: xr.DataArray, grid: GeoBox) -> np.ndarray:
    if set(labels.dims) != {"y", "x"} or labels.dtype.kind not in "iu":
        raise InvalidInputError(
            f"the map of labels is {labels.dtype} with the dimensions {labels.dims}; give whole "
            "numbers with the dimensions y and x"
        )
    own = read_grid(labels)
    if own.shape != grid.shape or own.crs != grid.crs or not own.affine.almost_equals(grid.affine):
        raise InvalidInputError(
            f"the map of labels lies on another grid: {own.shape} pixels in {own.crs}, the "
            f"features {grid.shape} in {grid.crs}; bring it there with "
            "labels.rio.reproject_match(features)"
        )
    known = has_data(labels).transpose("y", "x").values  # transposed first, rio.set_nodata is lost
    return np.where(known, labels.transpose("y", "x").values, _NO_LABEL)


def _squares(labels: np.ndarray, grid: GeoBox) -> Iterator[_Area]:
    """Yield the pixels of each class in each square."""
    if crs_of(grid).is_geographic:
        raise InvalidInputError("squares are in metres, but the cube is in degrees; give fields")
    size = max(round(_SQUARE / abs(grid.affine.a)), 1)
    corners = np.ndindex(*(-(-n // size) for n in labels.shape))
    for number, (row, col) in enumerate(corners):
        top, left = row * size, col * size
        square = labels[top : top + size, left : left + size]
        for label in np.unique(square[square != _NO_LABEL]):
            rows, cols = np.nonzero(square == label)
            yield number, int(label), rows + top, cols + left


def _draw(areas: Iterator[_Area], most: int, seed: int) -> pd.DataFrame:
    """Draw pixels at random, so many of each area at most."""
    rng = np.random.default_rng(seed)
    drawn = []
    for field, label, rows, cols in areas:
        some = np.sort(rng.permutation(len(rows))[:most])
        drawn += [(label, field, row, col) for row, col in zip(rows[some], cols[some], strict=True)]
    if not drawn:
        raise InvalidInputError(
            "no field with a label holds the centre of a pixel; give larger polygons, or a cube "
            "with smaller pixels"
        )
    spots = pd.DataFrame(drawn, columns=["label", "field", "y", "x"])
    # where fields overlap, a pixel is drawn once only, or it could be on both sides of a split
    return spots.drop_duplicates(["y", "x"], ignore_index=True)


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out pixels that lack a feature, and warn of them."""
    gaps = table.drop(columns=PLACE).isna()
    lacking = gaps.any(axis=1)
    if not lacking.any():
        return table
    advice = (
        f"{lacking.sum()} of {len(table)} pixels were never seen clear for a feature, most often "
        f"for {gaps.sum().idxmax()!r}; a longer period or kind='statistics' leaves fewer out"
    )
    if lacking.all():
        raise InvalidInputError(f"no pixel is left: {advice}")
    warnings.warn(advice, stacklevel=3)
    return table[~lacking].reset_index(drop=True)
