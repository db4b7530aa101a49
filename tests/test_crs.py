"""One operation between two coordinate systems, for pixels and fields alike, or none."""

import re
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pytest
import rasterio.crs
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_zeros
from pyproj import CRS, Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info

import s2kit
from s2kit import crs as crs_module
from s2kit.cube.warp import source_coordinates
from s2kit.errors import InvalidInputError
from s2kit.grid import REGION, area_of_data, area_of_grid, make_grid, read_grid


class Case(NamedTuple):
    """A region of 0.1° with this south-west corner, and the system that is asked for it."""

    name: str
    system: str
    west: float
    south: float
    made: bool

    @property
    def aoi(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return self.west, self.south, self.west + 0.1, self.south + 0.1


CASES = [
    Case("Delft", "EPSG:28992", 4.3, 51.9, True),
    Case("Groningen", "EPSG:28992", 6.5, 53.2, True),
    Case("Maastricht, at the border", "EPSG:28992", 5.65, 50.75, True),
    Case("half in Belgium", "EPSG:28992", 4.4, 51.35, True),
    Case("Liège", "EPSG:28992", 5.5, 50.55, False),
    Case("Münster", "EPSG:28992", 7.6, 51.9, False),
    Case("North Sea", "EPSG:28992", 3.0, 54.5, False),
    Case("Tokyo", "EPSG:28992", 139.6, 35.6, False),
    Case("Brussels", "EPSG:31370", 4.3, 50.8, True),
    Case("Liège", "EPSG:31370", 5.5, 50.55, True),
    Case("Breda", "EPSG:31370", 4.7, 51.55, False),
    Case("Vienna", "EPSG:31287", 16.3, 48.1, True),
    Case("Tyrol", "EPSG:31287", 11.3, 47.2, True),
    Case("at the border to Slovenia", "EPSG:31287", 14.5, 46.35, True),
    Case("Ljubljana", "EPSG:31287", 14.45, 46.0, False),
    Case("Stuttgart", "EPSG:31467", 9.1, 48.7, True),
    Case("Frankfurt", "EPSG:31467", 8.6, 50.05, True),
    Case("Hamburg, where two operations meet", "EPSG:31467", 9.9, 53.5, True),
    Case("Geneva", "EPSG:31467", 6.1, 46.15, False),
    Case("Paris", "EPSG:2154", 2.3, 48.8, True),
    Case("Corsica", "EPSG:2154", 9.0, 42.1, True),
    Case("Kent", "EPSG:2154", 0.7, 51.2, True),
    Case("Vienna", "EPSG:2154", 16.3, 48.1, False),
    Case("Bern", "EPSG:2056", 7.4, 46.9, True),
    Case("Geneva, at the border", "EPSG:2056", 6.05, 46.15, True),
    Case("Milan", "EPSG:2056", 9.1, 45.4, False),
    Case("London", "EPSG:27700", -0.2, 51.4, True),
    Case("Shetland", "EPSG:27700", -1.3, 60.2, True),
    Case("Calais", "EPSG:27700", 1.8, 50.9, True),
    Case("Brussels", "EPSG:27700", 4.3, 50.8, False),
    Case("Delft", "EPSG:3035", 4.3, 51.9, True),
    Case("Lisbon", "EPSG:3035", -9.2, 38.7, True),
    Case("Crete", "EPSG:3035", 24.8, 35.2, True),
    Case("New York", "EPSG:3035", -74.0, 40.6, False),
    Case("Delft", "EPSG:32631", 4.3, 51.9, True),
    Case("in the zone beside", "EPSG:32632", 5.5, 50.55, True),
    Case("Nairobi", "EPSG:32737", 36.8, -1.3, True),
    Case("beside the antimeridian", "EPSG:32760", 179.6, -17.0, True),
    Case("beside the antimeridian, other zone", "EPSG:32701", 179.6, -17.0, True),
    Case("beyond the antimeridian, other zone", "EPSG:32660", -179.8, 17.0, True),
    Case("Delft", "EPSG:4326", 4.3, 51.9, True),
    Case("Quito", "EPSG:4326", -78.5, -0.2, True),
]
"""Inside, at the border and outside of the systems' stated areas."""


def resolution_of(case: Case) -> float:
    """Return about ten metres."""
    return 1e-4 if case.system == "EPSG:4326" else 10


def lattice(case: Case) -> np.ndarray:
    """Return points in degrees all over a region, shape (point, 2)."""
    west, south, east, north = case.aoi
    x, y = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    return np.column_stack([x.ravel(), y.ravel()])


def utm_zone(case: Case) -> str:
    """Return the zone in which Sentinel-2 delivers the region."""
    (zone, *_) = query_utm_crs_info("WGS 84", AreaOfInterest(*case.aoi))
    return f"EPSG:{zone.code}"


@pytest.mark.parametrize("case", [c for c in CASES if c.made], ids=lambda c: f"{c.system} {c.name}")
def test_pixels_and_fields_lie_where_pyproj_puts_them(case):
    """Point by point, pixels and fields are within a tenth of a pixel of pyproj, and each other."""
    grid = make_grid(case.aoi, case.system, resolution_of(case))
    degrees = lattice(case)
    by_pyproj = Transformer.from_crs(4326, case.system, always_xy=True)
    expected = np.column_stack(by_pyproj.transform(*degrees.T))
    inside = shapely.contains_xy(grid.extent.geom, expected)
    assert inside.sum() >= 49

    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(*degrees.T), crs=4326)
    cube = xr_zeros(grid, chunks=-1).to_dataset(name="B04")
    cube = cube.rename(dict(zip(cube.B04.dims, ("y", "x"), strict=True)))
    fields = s2kit.read_fields(points, cube)
    placed = shapely.get_coordinates(fields.geometry.values)
    pixel = resolution_of(case)
    assert np.abs(placed - expected[fields.index]).max() / pixel <= 0.1

    zone = utm_zone(case)
    to_zone = Transformer.from_crs(4326, zone, always_xy=True)
    in_zone = np.column_stack(to_zone.transform(*degrees[inside].T))
    cols, rows = ~grid.affine @ expected[inside].T
    found = source_coordinates(grid, rasterio.crs.CRS.from_string(zone))
    for point, row, col in zip(in_zone, rows, cols, strict=True):
        x, y = found.at(np.array([row]), np.array([col]))
        assert np.hypot(x[0, 0] - point[0], y[0, 0] - point[1]) <= 1  # of pixels of 10 m


@pytest.mark.parametrize(
    "case", [c for c in CASES if not c.made], ids=lambda c: f"{c.system} {c.name}"
)
def test_where_only_ballpark_is_known_systems_that_fit_are_named(case):
    """Outside of a system's area the grid is refused; each system that is named can be taken."""
    with pytest.raises(InvalidInputError, match="ballpark") as caught:
        make_grid(case.aoi, case.system, 10)
    named = re.findall(r"EPSG:(\d+) \(", str(caught.value))
    assert f"EPSG:{named[0]}" == utm_zone(case)
    assert len(named) == len(set(named))
    for code in named:
        make_grid(case.aoi, f"EPSG:{code}", 10)


def test_every_way_is_compared(monkeypatch):
    """A way into the system that ends a tenth of a pixel away, or nowhere, is no good."""
    area, crs = (4.3, 51.9, 4.4, 52.0), CRS(28992)
    bounds = (80_000, 440_000, 87_000, 450_000)
    crs_module.check_agreement(crs, bounds, area, 10)
    original = crs_module.rasterio.warp.transform
    for away in (1.5, np.nan):
        monkeypatch.setattr(
            crs_module.rasterio.warp,
            "transform",
            lambda *args, away=away: np.add(original(*args), away).tolist(),
        )
        with pytest.raises(InvalidInputError, match=r"rasterio.*beside the pixels"):
            crs_module.check_agreement(crs, bounds, area, 10)
    monkeypatch.undo()
    crs_module.check_agreement(crs, bounds, area, 10)


def test_operation_that_differs_from_that_of_geopandas_is_refused():
    """Where PROJ changes its operation within a region by more than a tenth of a pixel: refused."""
    with pytest.raises(InvalidInputError, match=r"geopandas.*Systems that fit: EPSG:32632"):
        make_grid((9.9, 53.5, 10.0, 53.6), "EPSG:31467", 5)


def test_part_of_a_cube_lies_as_the_whole(tmp_path):
    """A part that lies outside the system's area takes the operation of the whole cube."""
    grid = make_grid((5.5, 50.6, 5.8, 50.9), "EPSG:28992", 100)
    cube = xr_zeros(grid, chunks=-1).to_dataset(name="B04")
    cube.spatial_ref.attrs[REGION] = list(area_of_grid(grid))
    part = cube.isel(y=slice(-40, None))
    assert area_of_data(part, read_grid(part)) == area_of_grid(grid)
    part.to_netcdf(tmp_path / "part.nc")
    with xr.open_dataset(tmp_path / "part.nc", decode_coords="all") as copy:
        assert area_of_data(copy, read_grid(copy)) == area_of_grid(grid)  # now a numpy array
    points = gpd.GeoDataFrame(geometry=[shapely.Point(5.6, 50.62)], crs=4326)
    placed = s2kit.read_fields(points, part).geometry.iloc[0]
    x, y = Transformer.from_crs(4326, 28992, always_xy=True).transform(5.6, 50.62)
    assert abs(placed.x - x) < 1
    assert abs(placed.y - y) < 1
    del part.spatial_ref.attrs[REGION]
    with pytest.raises(InvalidInputError, match="ballpark"):
        s2kit.read_fields(points, part)


@pytest.mark.parametrize("told", [None, "no", [1, 2, 3], [1, 2, np.nan, 4], [5, 2, 4, 3]])
def test_region_that_is_no_region_is_not_followed(told):
    """What stands in the attribute is a box in degrees, or it is not used."""
    grid = GeoBox((4, 4), Affine(10, 0, 85_000, 0, -10, 447_000), "EPSG:28992")
    data = xr_zeros(grid, chunks=-1)
    data.spatial_ref.attrs[REGION] = told
    assert area_of_data(data, grid) == area_of_grid(grid)


@pytest.mark.parametrize(
    ("source", "west", "south"),
    [("EPSG:4326", 4.3, 51.9), ("EPSG:3035", 4.3, 51.9), ("EPSG:32632", 4.3, 51.9)],
)
def test_local_rasters_lie_where_fields_lie(source, west, south):
    """A raster that holds its own x or y, warped by GDAL, holds what the operation gives."""
    grid = make_grid((west, south, west + 0.02, south + 0.02), "EPSG:28992", 50)
    cube = xr_zeros(grid, chunks=-1).to_dataset(name="B04")
    area = area_of_grid(grid)
    back = crs_module.operation(grid.crs.proj, CRS(source), area)
    left, bottom, right, top = back.transform_bounds(*grid.boundingbox)
    wide = (right - left) * 0.3
    side = (right - left + 2 * wide) / 400
    shape = (int((top - bottom + 2 * wide) / side), 400)
    own = GeoBox(shape, Affine(side, 0, left - wide, 0, -side, top + wide), source)
    x, y = own.affine @ np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    cols, rows = np.meshgrid(np.arange(grid.shape.x) + 0.5, np.arange(grid.shape.y) + 0.5)
    expected = back.transform(*(grid.affine @ (cols, rows)))
    for values, wanted in zip((x, y), expected, strict=True):
        raster = xr_zeros(own, "float64", chunks=None).copy(data=values)
        found = s2kit.align_raster(raster, cube, resampling="bilinear")
        assert np.abs(found - wanted).max() <= side / 20


@pytest.mark.parametrize(
    ("aoi", "crs"),
    [
        ((179.6, -17, 179.999, -16.6), "EPSG:32760"),
        ((-179.999, -17, -179.8, -16.6), "EPSG:32701"),
        ((-179.999, 17, -179.8, 17.6), "EPSG:32601"),
        ((179.5, 65, 179.99, 65.3), "EPSG:32601"),
    ],
)
def test_region_that_touches_the_antimeridian_is_told_how_far_to_stay_away(aoi, crs):
    """The grid reaches across though the region does not; what the message advises is accepted."""
    with pytest.raises(InvalidInputError, match=r"Stay .*° \(\d+ m\) farther away") as caught:
        make_grid(aoi, crs, 10)
    side, advised = re.search(r"(end|begin) at (-?[\d.]+)°", str(caught.value)).groups()
    west, south, east, north = aoi
    moved = (
        (west, south, float(advised), north)
        if side == "end"
        else (float(advised), south, east, north)
    )
    assert make_grid(moved, crs, 10).shape


def test_unknown_datum_is_refused():
    """A system that does not say its datum may lie anywhere within 200 m."""
    with pytest.raises(InvalidInputError, match="ballpark"):
        make_grid(
            (4.3, 51.9, 4.4, 52.0), "+proj=laea +lat_0=52 +lon_0=5 +ellps=GRS80 +type=crs", 10
        )


def test_same_datum_needs_no_area():
    """Between two systems of one datum there is nothing to choose, wherever they lie."""
    transformer = crs_module.operation(CRS(32631), CRS(32632), (100, 10, 101, 11))
    assert isinstance(transformer, Transformer)


def test_fields_of_a_far_system_are_refused(tmp_path):
    """Fields in a system that has no exact operation at the cube are not moved by a guess."""
    grid = make_grid((4.3, 51.9, 4.4, 52.0), "EPSG:28992", 100)
    cube = xr_zeros(grid, chunks=-1).to_dataset(name="B04")
    here = Transformer.from_crs(4326, 31287, always_xy=True).transform(4.35, 51.95)
    for (x, y), says in ((here, ".*MGI.*ballpark"), ((4e5, 4e5), "lie at 13.*east.*the cube at 4")):
        fields = gpd.GeoDataFrame(geometry=[shapely.box(x, y, x + 100, y + 100)], crs=31287)
        with pytest.raises(InvalidInputError, match=f"the fields {says}"):
            s2kit.read_fields(fields, cube)
        places = {"y": [y + 1, y], "x": [x, x + 1]}
        raster = xr.DataArray(np.ones((2, 2)), places, ("y", "x"), "r").rio.write_crs(31287)
        with pytest.raises(InvalidInputError, match=f"the pixels of raster 'r' {says}"):
            s2kit.align_raster(raster, cube)
