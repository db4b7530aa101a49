"""The truth of the practice scenes: land cover, fields, elevation, reflectance without weather."""

from datetime import date, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio
import rioxarray  # noqa: F401  (registers `.rio`)
import xarray as xr
from affine import Affine
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter

from s2kit.errors import InvalidInputError
from s2kit.practice.geometry import CANVAS, RD, REGION_RD, UTM
from s2kit.practice.imaging import cloud_free, ground_spectra
from s2kit.practice.landscape import FINE, Landscape, fields, landscape
from s2kit.practice.metadata import ORIGIN
from s2kit.practice.overpasses import passes
from s2kit.scenes.radiometry import BANDS, RESOLUTION

CLASSES = {
    "grassland": (1, "#9ccc65"),
    "winter wheat": (2, "#e8c547"),
    "winter barley": (12, "#b7950b"),
    "potato": (3, "#8d6e63"),
    "sugar beet": (4, "#c2185b"),
    "maize": (5, "#fb8c00"),
    "onion": (6, "#ab47bc"),
    "water": (7, "#1e6fb8"),
    "wood": (8, "#1b5e20"),
    "dunes": (9, "#f5e6b3"),
    "town": (10, "#757575"),
    "greenhouses": (11, "#80deea"),
}
"""Land cover: name to code and colour."""

_ELEVATION = {"water": -5.6, "dunes": 7.0, "town": -2.6, "wood": -4.2, "greenhouses": -4.0}
_POLDER = -4.8
_PIXEL = 10
_WEST, _SOUTH, _EAST, _NORTH = REGION_RD
_REGION = Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
"""From pixel corner (column, row) of the region's grid to metres RD."""

_GEOTIFF = {"driver": "GTiff", "count": 1, "compress": "deflate", "tiled": True}


def write_truth(folder: Path) -> None:
    """Write the truth: see `truth_reflectance` for the last three files.

    ``landcover.tif`` (RD, 10 m, with colours; class names in the band's tags), ``fields.gpkg``
    (RD, crop per field), ``elevation.tif`` (RD, 10 m, metres above NAP), ``passes.csv`` (all
    passes of the satellites, see `passes`), ``parcels.tif``, ``texture.tif`` and ``parcels.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    land = landscape()
    cover = _land_cover(land.parcels)
    _write(folder / "landcover.tif", cover, RD, _REGION, unit="class")
    with rasterio.open(folder / "landcover.tif", "r+") as target:
        colours = {code: tuple(bytes.fromhex(colour[1:])) for code, colour in CLASSES.values()}
        target.write_colormap(1, {0: (0, 0, 0), **colours})
        target.update_tags(1, **{f"class_{code}": name for name, (code, _) in CLASSES.items()})
    _write(folder / "elevation.tif", _elevation(cover), RD, _REGION, unit="m above NAP")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2021-04-01T00:00:00.000Z"})
    fields(land.parcels).to_file(folder / "fields.gpkg", layer="fields", driver="GPKG")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    texture = np.rint(land.texture * 1000).astype("int16")
    _write(folder / "parcels.tif", land.ids, UTM, CANVAS.transform(FINE))
    _write(folder / "texture.tif", texture, UTM, CANVAS.transform(FINE))
    land.parcels.drop(columns="geometry").to_csv(folder / "parcels.csv", index_label="parcel")
    passes().to_csv(folder / "passes.csv", index=False, lineterminator="\n")


def truth_reflectance(folder: Path, time: str | date | datetime, band: str) -> xr.DataArray:
    """Return reflectance of the practice land without cloud, shadow, snow, haze and noise.

    It follows from three files: ``truth/parcels.tif`` holds the number of the parcel at each place,
    ``truth/parcels.csv`` the properties of each parcel, ``truth/texture.tif`` (in thousandths) the
    deviation of each place from its parcel. With the calendar of the parcel's surface they give the
    exact value from which the products of any day are made.

    Parameters
    ----------
    folder : pathlib.Path
        What `write_practice_scenes` returned.
    time : datetime-like
        Any day, as pandas understands it.
    band : str
        ``"B02"`` … ``"B12"``.

    Returns
    -------
    xarray.DataArray, dims (y, x), float32, reflectance 0-1
        On the pixels of tile 31UET (EPSG:32631) at 10 or 20 m, as the band has.

    Raises
    ------
    InvalidInputError
        If the band is unknown.
    """
    if band not in BANDS:
        raise InvalidInputError(f"band {band!r} is unknown; use one of {', '.join(BANDS)}")
    day = pd.Timestamp(time).date()
    truth = Path(folder) / "truth"
    parcels = gpd.GeoDataFrame(pd.read_csv(truth / "parcels.csv", index_col="parcel"))
    texture = _read(truth / "texture.tif").astype("float32") / np.float32(1000)
    land = Landscape(parcels, _read(truth / "parcels.tif"), texture)
    image = cloud_free(land, ground_spectra(land, day), band)
    x, y = (axis.ravel() for axis in CANVAS.centres(RESOLUTION[band]))
    array = xr.DataArray(image, {"y": y, "x": x}, ("y", "x"), name=band)
    array.attrs = {"synthetic": "s2kit practice data", "day": day.isoformat()}
    return array.rio.write_crs(UTM)


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


def _land_cover(parcels: gpd.GeoDataFrame) -> np.ndarray:
    """Return class codes on the region's 10 m grid in RD."""
    shape = round((_NORTH - _SOUTH) / _PIXEL), round((_EAST - _WEST) / _PIXEL)
    codes = parcels["landcover"].map(lambda name: CLASSES[name][0])
    drawn = [(g, c) for g, c in zip(parcels.geometry, codes, strict=True) if not g.is_empty]
    return rasterize(drawn, shape, transform=_REGION, dtype="uint8", fill=0)


def _elevation(cover: np.ndarray) -> np.ndarray:
    """Return height in m above NAP: polders below the sea, dunes, higher ground in the town."""
    height = np.full(cover.shape, _POLDER, "float32")
    for name, level in _ELEVATION.items():
        height[cover == CLASSES[name][0]] = level
    relief = gaussian_filter(np.random.default_rng(11).standard_normal(cover.shape), 12)
    dunes = gaussian_filter((cover == CLASSES["dunes"][0]).astype(float), 6)
    height = gaussian_filter(height, 2.5) + 4 * relief + 45 * relief * dunes
    return height.round(2).astype("float32")


def _write(path: Path, image: np.ndarray, crs: int, grid: Affine, *, unit: str = "") -> None:
    height, width = image.shape
    predictor = 3 if image.dtype == "float32" else 2
    profile = _GEOTIFF | {"predictor": predictor, "dtype": image.dtype}
    place = {"height": height, "width": width, "crs": crs, "transform": grid}
    with rasterio.open(path, "w", **place, **profile) as target:
        target.write(image, 1)
        if unit:
            target.set_band_unit(1, unit)
            target.update_tags(description=ORIGIN)
