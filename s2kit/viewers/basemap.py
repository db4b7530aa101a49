"""A map of streets below a picture: tiles of Web Mercator, warped to the cube's CRS."""

import math
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import from_bounds
from rasterio.vrt import WarpedVRT

from s2kit.credentials import shown_cause
from s2kit.crs import Bounds, operation, pipeline
from s2kit.errors import CatalogueError, InvalidInputError
from s2kit.viewers.levels import View

TILES = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"

_MERCATOR = CRS("EPSG:3857")

_EDGE = 20037508.342789244
"""Half the width of Web Mercator in m: π times the Earth's radius of 6 378 137 m (EPSG:3857)."""
_DEEPEST = 19
_WAIT = 5
"""Timeout for a tile in s."""

_DESCRIPTION = """<GDAL_WMS>
<Service name="TMS"><ServerUrl>{url}</ServerUrl></Service>
<DataWindow><UpperLeftX>-{edge}</UpperLeftX><UpperLeftY>{edge}</UpperLeftY>
<LowerRightX>{edge}</LowerRightX><LowerRightY>-{edge}</LowerRightY>
<TileLevel>{zoom}</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>
<YOrigin>top</YOrigin></DataWindow>
<Projection>EPSG:3857</Projection><BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY>
<BandsCount>3</BandsCount><MaxConnections>6</MaxConnections>
<Timeout>{wait}</Timeout><UserAgent>s2kit viewer</UserAgent><Cache/>
</GDAL_WMS>"""
"""Description of tiles for GDAL (WMS driver, minidriver TMS)."""


def attribution_of(tiles: str) -> str:
    """Return the attribution of tiles."""
    if tiles == TILES:
        return "Basemap © OpenStreetMap contributors"
    return f"Basemap from {_host_of(tiles)}"


def _host_of(tiles: str) -> str:
    return urlsplit(tiles).hostname or "local files"


def read_address(tiles: str) -> str:
    """Check an address of tiles.

    Raises
    ------
    InvalidInputError
        If it has no place for z, x and y.
    """
    for letter in "zxy":
        if not isinstance(tiles, str) or f"{{{letter}}}" not in tiles:
            raise InvalidInputError(
                f"tiles={tiles!r} has no {{{letter}}}; give an address such as {TILES}"
            )
    return tiles


def read_basemap(
    tiles: str, view: View, size: tuple[int, int], crs: CRS, area: Bounds
) -> np.ndarray:
    """Read the tiles of a view as a picture of a size: its width and height in pixels.

    Parameters
    ----------
    tiles : str
        Address with ``{z}``, ``{x}`` and ``{y}``.
    view : View
    size : tuple of int
    crs : pyproj.CRS
        Of the view.
    area : tuple of float
        The region of the cube, degrees; see `s2kit.crs.operation`.

    Returns
    -------
    numpy.ndarray, shape (y, x, 4), uint8

    Raises
    ------
    InvalidInputError
        If the address has no place for z, x and y.
    CatalogueError
        If the tiles cannot be fetched.
    """
    url = escape(read_address(tiles))
    for letter in "zxy":
        url = url.replace(f"{{{letter}}}", f"${{{letter}}}")
    width, height = size
    zoom = _zoom(view, width, crs, area)
    source = _DESCRIPTION.format(url=url, edge=_EDGE, zoom=zoom, wait=_WAIT)
    place = from_bounds(*view, width, height)
    grid = {"crs": crs.to_wkt(), "transform": place, "width": width, "height": height}
    exact = {"COORDINATE_OPERATION": pipeline(_MERCATOR, crs, area)}
    try:
        with (
            rasterio.Env(GDAL_HTTP_TIMEOUT=_WAIT, GDAL_HTTP_CONNECTTIMEOUT=_WAIT),
            rasterio.open(source) as opened,
            WarpedVRT(opened, **grid, **exact, resampling=Resampling.bilinear) as warped,
        ):
            colours = warped.read()
    except RasterioError as error:
        raise CatalogueError(
            f"The basemap cannot be fetched from {_host_of(tiles)}; switch it on again "
            "when there is internet"
        ) from shown_cause(error)
    picture = np.full((height, width, 4), 255, "uint8")
    picture[..., :3] = np.moveaxis(colours, 0, -1)
    return picture


def _zoom(view: View, width: int, crs: CRS, area: Bounds) -> int:
    """Return the zoom whose pixels are about as large as those of a picture of the view.

    GDAL would warp the finest tiles, of which a country has billions.
    """
    to_mercator = operation(crs, _MERCATOR, area)
    west, _, east, _ = to_mercator.transform_bounds(view.west, view.south, view.east, view.north)
    tiles = 2 * _EDGE / (east - west) * width / 256
    return min(max(round(math.log2(tiles)), 0), _DEEPEST)
