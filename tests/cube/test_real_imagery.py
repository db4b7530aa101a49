"""The cube against its sources, pixel for pixel: real Sentinel-2 imagery, oracle rasterio alone."""

import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr
from rasterio.enums import Resampling

import s2kit

REGION = (14.9, 45.0, 16.5, 47.0)
BANDS = ("B02", "B03", "B04", "B08", "SCL")
ORBITS = {79: 3, 122: 2}
AUSTRIA = (
    "+proj=lcc +lat_0=47.5 +lon_0=13.3333333333333 +lat_1=49 +lat_2=46 +x_0=400000 +y_0=400000 "
    "+ellps=bessel +towgs84=577.326,90.129,463.919,5.137,1.474,5.297,2.4232 +units=m +type=crs"
)
"""EPSG:31287 with its datum shift to WGS 84 (EPSG:1618) written out. Left to choose, GDAL drops the
shift south of 46.4° N, where the operation's stated area ends, and tears the image by 70 m."""


@pytest.fixture(scope="module")
def items(real_data):
    """Return the ten real scenes: two tiles, five dates, two orbits."""
    return s2kit.find_scenes(real_data / "stac-l2a-2023/catalog.json", REGION, "2023", "2023")


def build(items, path, crs, resampling):
    """Build a cube at the sources' 120 m."""
    s2kit.build_cube(items, path, REGION, crs, 120, resampling=resampling, progress=False)
    return path


@pytest.fixture(scope="module")
def utm_cube(items, tmp_path_factory):
    """Return a cube in the sources' own coordinate system."""
    return build(items, tmp_path_factory.mktemp("real") / "utm.zarr", "EPSG:32633", "nearest")


def stored(path, orbit):
    """Open one orbit without the kit, values as stored."""
    return xr.open_zarr(path, group=f"S2/R{orbit:03d}", mask_and_scale=False)


def oracle(items, cube, step, band, crs, resampling):
    """Mosaic one step with rasterio alone: exact transformation, tile after tile, DN 0 is no data.

    These scenes' offset was applied by the provider, so a DN is the stored value.
    """
    left, top = float(cube.x[0]) - 60, float(cube.y[0]) + 60
    transform = rasterio.transform.from_origin(left, top, 120, 120)
    mosaic = np.zeros((cube.sizes["y"], cube.sizes["x"]), "uint16")
    chosen = [item for item in items if item.id in str(cube.products.values[step]).split()]
    for item in sorted(chosen, key=lambda i: i.properties["grid:code"]):
        warped = np.zeros_like(mosaic)
        with rasterio.open(item.assets[band].href) as source:
            rasterio.warp.reproject(
                source.read(1),
                warped,
                src_transform=source.transform,
                src_crs=source.crs,
                src_nodata=0,
                dst_transform=transform,
                dst_crs=crs,
                dst_nodata=0,
                tolerance=0,
                resampling=Resampling.nearest if band == "SCL" else resampling,
            )
        mosaic = np.where(mosaic == 0, warped, mosaic)
    return mosaic.astype(int) if band == "SCL" else np.where(mosaic == 0, -9999, mosaic.astype(int))


def test_orbits_have_their_steps(utm_cube):
    """R079 has three overpasses and R122 two, in order of time."""
    for orbit, count in ORBITS.items():
        cube = stored(utm_cube, orbit)
        assert cube.sizes["time"] == count
        assert (np.diff(cube.time.values) > np.timedelta64(0, "s")).all()
    assert s2kit.open_cube(utm_cube).relative_orbit.values.tolist() == [79, 122, 79, 122, 79]


@pytest.mark.parametrize("band", BANDS)
def test_every_pixel_equals_its_source(items, utm_cube, band):
    """On the source's own grid, each pixel of both tiles is in the cube, unchanged."""
    for item in items:
        cube = stored(utm_cube, item.properties["sat:relative_orbit"])
        step = [item.id in str(p).split() for p in cube.products.values].index(True)
        with rasterio.open(item.assets[band].href) as source:
            values, transform = source.read(1).astype(int), source.transform
        # the source pixel that each pixel centre of the cube lies in
        row = np.floor((transform.f - cube.y.values) / 120).astype(int)
        col = np.floor((cube.x.values - transform.c) / 120).astype(int)
        rows, cols = (np.flatnonzero((i >= 0) & (i < 915)) for i in (row, col))
        assert len(rows) == len(cols) == 915
        window = cube[band].isel(time=step, y=rows, x=cols).values.astype(int)
        first = str(cube.products.values[step]).split()[0] == item.id
        mine = values[np.ix_(row[rows], col[cols])]
        # the first tile of a step wins; the other one fills what the first does not see
        seen = (mine != 0) & (first | ~covered(items, cube, step, band, rows, cols))
        np.testing.assert_array_equal(window[seen], mine[seen])
        assert seen.sum() > 0.4 * seen.size


def covered(items, cube, step, band, rows, cols):
    """Return where the first tile of a step has data, on a window of the cube."""
    first = next(i for i in items if i.id == str(cube.products.values[step]).split()[0])
    alone = oracle([first], cube, step, band, "EPSG:32633", Resampling.nearest)
    return (alone > 0)[np.ix_(rows, cols)]


@pytest.mark.parametrize("band", BANDS)
def test_whole_cube_equals_mosaic_of_sources(items, utm_cube, band):
    """No pixel is in the cube that the mosaic does not have, and the other way round."""
    for orbit, count in ORBITS.items():
        cube = stored(utm_cube, orbit)
        for step in range(count):
            expected = oracle(items, cube, step, band, "EPSG:32633", Resampling.nearest)
            np.testing.assert_array_equal(cube[band][step].values.astype(int), expected)


def test_offset_is_not_applied_twice(utm_cube):
    """Earth Search's items say both 'applied' and '-0.1'; red over land is dark, not negative."""
    red = s2kit.open_cube(utm_cube).B04.isel(time=2)
    assert 0.02 < float(np.nanmedian(red.values)) < 0.06


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_other_system_equals_rasterio(items, tmp_path, resampling):
    """In the Austrian system every value equals rasterio's exact warp of the same sources."""
    path = build(items, tmp_path / "at.zarr", "EPSG:31287", resampling)
    for orbit in ORBITS:
        cube = stored(path, orbit)
        for band in ("B04", "SCL"):
            expected = oracle(items, cube, 1, band, AUSTRIA, Resampling[resampling])
            np.testing.assert_array_equal(cube[band][1].values.astype(int), expected)
