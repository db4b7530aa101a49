"""Tables of fields in files for other programs: GeoPackage, GeoParquet, CSV."""

import os
from pathlib import Path

import geopandas as gpd
import pandas as pd

from s2kit.analysis.fields import Fields, read_table
from s2kit.atomic import replacing
from s2kit.credentials import shown_cause
from s2kit.errors import InvalidInputError


def save_table(table: pd.DataFrame, path: str | os.PathLike, fields: Fields | None = None) -> Path:
    """Write a table of fields for other programs, whole or not at all.

    Parameters
    ----------
    table : pandas.DataFrame or geopandas.GeoDataFrame
        As `field_series` or `field_statistics` returns it. Where there is no column ``field``,
        the index is written as such.
    path : str or path
        ``.gpkg`` (GeoPackage, for QGIS), ``.parquet`` or ``.geoparquet`` (small and fast) or
        ``.csv`` (without geometries). An older file of that name is replaced.
    fields : str, path or geopandas.GeoDataFrame, optional
        Fields whose geometries are written with the rows, in the coordinate system of these fields.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    InvalidInputError
        If the extension is unknown, the folder is missing, a field of the table has no geometry,
        a GeoPackage would have none at all, or the file cannot be written.

    Examples
    --------
    >>> cube = s2kit.open_cube("data/cube.zarr")
    >>> height = s2kit.align_raster("data/practice/truth/elevation.tif", cube)
    >>> table = s2kit.field_statistics(height, "data/practice/truth/fields.gpkg")
    >>> s2kit.save_table(table, "data/height.gpkg").name
    'height.gpkg'
    """
    if not isinstance(table, pd.DataFrame):
        raise InvalidInputError(f"table is a {type(table).__name__}; give a DataFrame")
    if not isinstance(path, str | os.PathLike):
        raise InvalidInputError(f"path is {path!r}; give one, such as 'fields.csv'")
    target = Path(path)
    write = _WRITERS.get(target.suffix.lower())
    if write is None:
        raise InvalidInputError(
            f"{target.name} ends in {target.suffix!r}; accepted: {', '.join(_WRITERS)}"
        )
    if not target.parent.is_dir():
        raise InvalidInputError(
            f"there is no folder {target.parent}; make it: path.parent.mkdir(parents=True)"
        )
    rows = _with_field(table)
    rows = rows if fields is None else _with_geometry(rows, fields)
    try:
        with replacing(target) as draft:
            write(rows, draft)
    except (OSError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise InvalidInputError(f"{target} cannot be written: {error}") from shown_cause(error)
    return target


def _with_field(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose column ``field`` holds the ids of the fields."""
    if not table.columns.is_unique:
        raise InvalidInputError(
            f"columns occur twice: {', '.join(map(str, table.columns))}; give each its own name"
        )
    if "field" in table.index.names:
        table = table.reset_index()
    elif "field" not in table.columns:
        table = table.rename_axis("field").reset_index()
    return table.reset_index(drop=True).rename(columns=str)


def _with_geometry(rows: pd.DataFrame, fields: Fields) -> gpd.GeoDataFrame:
    outlines = read_table(fields).geometry
    unknown = rows.loc[~rows["field"].isin(outlines.index), "field"].unique()
    if len(unknown) or not outlines.index.is_unique:
        raise InvalidInputError(
            f"{len(unknown)} fields of the table are not in the index of fields, such as "
            f"{unknown[:1].tolist()}; give the same fields as for the table, with the same index"
        )
    geometry = outlines.reindex(rows["field"]).values
    return gpd.GeoDataFrame(pd.DataFrame(rows), geometry=geometry, crs=outlines.crs)


def _write_geopackage(rows: pd.DataFrame, path: Path) -> None:
    if not isinstance(rows, gpd.GeoDataFrame):
        raise InvalidInputError(
            "a GeoPackage needs geometries; give the fields as well: save_table(series, path, "
            "fields), or save as .parquet or .csv"
        )
    taken = {str(name).lower() for name in rows.columns}
    names = ["fid", *(f"row_{n}" for n in range(len(taken)))]
    number = next(name for name in names if name not in taken)
    rows.to_file(path, driver="GPKG", layer_options={"FID": number})


def _write_parquet(rows: pd.DataFrame, path: Path) -> None:
    rows.to_parquet(path, index=False)


def _write_csv(rows: pd.DataFrame, path: Path) -> None:
    shapes = [name for name, column in rows.items() if isinstance(column, gpd.GeoSeries)]
    pd.DataFrame(rows.drop(columns=shapes)).to_csv(path, index=False)


_WRITERS = {
    ".gpkg": _write_geopackage,
    ".parquet": _write_parquet,
    ".geoparquet": _write_parquet,
    ".csv": _write_csv,
}
