"""Find what notebooks need of a file of fields: the column of the class, or fields without one."""

import geopandas as gpd
import pandas as pd
import rioxarray  # noqa: F401  (registers `.rio`)
import shapely
import xarray as xr

from s2kit.errors import InvalidInputError

_USUAL = ("crop", "class", "label", "landcover")


def class_column(fields: gpd.GeoDataFrame) -> str:
    """Return the name of the column that holds the class of each field.

    Parameters
    ----------
    fields : geopandas.GeoDataFrame

    Returns
    -------
    str
        ``crop``, ``class``, ``label`` or ``landcover``, or else the first column with text.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    texts = [str(name) for name in fields if pd.api.types.is_string_dtype(fields[name])]
    found = [name for name in _USUAL if name in fields] + texts
    if not found:
        raise InvalidInputError(
            f"the fields have the columns {', '.join(map(str, fields))}; none of them is called "
            f"{', '.join(_USUAL)} or holds text. Rename the one with the class: "
            'fields.rename(columns={"…": "crop"})'
        )
    return found[0]


def squares(cube: xr.Dataset) -> gpd.GeoDataFrame:
    """Return squares in the middle of a cube, to stand for fields where no file is given.

    Parameters
    ----------
    cube : xarray.Dataset, dims (time, y, x)

    Returns
    -------
    geopandas.GeoDataFrame
        Fifteen squares of 5 × 5 pixels in three rows, with ``field_id`` and ``crop``, which is the
        name of the row: north, middle or south.
    """
    pixel = abs(cube.rio.resolution()[0])
    x, y = float(cube.x.mean()), float(cube.y.mean())
    table = [
        (name, shapely.Point(x + 8 * pixel * column, y + 8 * pixel * row))
        for name, row in (("north", 1), ("middle", 0), ("south", -1))
        for column in range(-2, 3)
    ]
    places = gpd.GeoDataFrame(table, columns=["crop", "geometry"], crs=cube.rio.crs)
    places.insert(0, "field_id", range(1, len(places) + 1))
    return places.set_geometry(places.buffer(2.5 * pixel, cap_style="square"))
