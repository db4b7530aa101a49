"""Series and statistics of fields against areas by shapely and sums by plain numpy."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio.features
import rioxarray  # noqa: F401  (gives xarray its .rio)
import shapely
import xarray as xr
from affine import Affine
from cubes import CRS, NORTH, PIXEL, WEST, every, make_cube, plain, random_layers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

import s2kit
from s2kit.analysis.fields import read_fields, read_grid
from s2kit.analysis.indices import index
from s2kit.analysis.pixel_coverage import cover
from s2kit.analysis.zonal import field_series, field_statistics
from s2kit.cube.keys import chunk_key
from s2kit.errors import CubeError, InvalidInputError

SIZE, STEPS = 40, 20
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
NUMBERS = ["mean", "std", "min", "max", "count", "share"]


def box(west, south, east, north):
    """Return a box in pixels from the north-west corner, southward positive."""
    return shapely.box(
        WEST + PIXEL * west, NORTH - PIXEL * south, WEST + PIXEL * east, NORTH - PIXEL * north
    )


def table(*shapes, **options):
    """Return fields in the cube's system."""
    return gpd.GeoDataFrame(geometry=list(shapes), crs=CRS, **options)


@st.composite
def outlines(draw):
    """Draw a field of any form, with holes and parts, in the cube or across its edge."""
    stars = []
    for _ in range(draw(st.integers(1, 2))):
        radii = np.array(draw(st.lists(st.floats(0.2, 12), min_size=3, max_size=9)))
        centre = [draw(st.floats(-4, SIZE + 4)) for _ in range(2)]
        angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
        points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + centre
        stars.append(shapely.Polygon(points * [PIXEL, -PIXEL] + [WEST, NORTH]))
    whole = stars[0] if len(stars) == 1 else shapely.symmetric_difference(*stars)
    assume(whole.geom_type in ("Polygon", "MultiPolygon") and whole.area > 1)
    return whole


def fractions(outline, shape=(SIZE, SIZE)):
    """Return the covered fraction of each pixel, by intersecting them one by one."""
    rows, cols = np.indices(shape)
    pixels = shapely.box(
        WEST + PIXEL * cols,
        NORTH - PIXEL * (rows + 1),
        WEST + PIXEL * (cols + 1),
        NORTH - PIXEL * rows,
    )
    return shapely.area(shapely.intersection(pixels, outline)) / PIXEL**2


def describe(values, weight, whole):
    """Describe one map, NaN where not clear, as the numbers of `NUMBERS`."""
    use = np.isfinite(values) & (weight > 0)
    value, part = values[use], weight[use]
    if not len(value):
        return [np.nan] * 4 + [0, 0]
    mean = (value * part).sum() / part.sum()
    std = np.sqrt((part * (value - mean) ** 2).sum() / part.sum())
    return [mean, std, value.min(), value.max(), part.sum(), part.sum() / whole]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Write a cube with gaps, in chunks much smaller than itself."""
    path = tmp_path_factory.mktemp("fields") / "cube.zarr"
    layers = random_layers(3, (STEPS, SIZE, SIZE))
    make_cube(path, layers, every(5, STEPS), chunks=(8, 16, 16))
    return path


@pytest.fixture(scope="module")
def cube(store):
    """Open it."""
    return s2kit.open_cube(store)


@pytest.fixture(scope="module")
def clear_ndvi(store):
    """Return its clear NDVI, computed from the stored layers without the kit."""
    layers = plain(store)
    red, infrared = (layers[band].astype("float64") for band in ("B04", "B08"))
    return np.where(
        np.isin(layers["SCL"], [4, 5, 6, 7]), (infrared - red) / (infrared + red), np.nan
    )


# --- which pixels


@EXAMPLES
@given(outline=outlines())
def test_coverage_is_the_area_of_intersection(cube, outline):
    """Each pixel's fraction is that of shapely, also with holes, parts and across the edge."""
    expected = fractions(outline)
    assume((expected > 0).any())
    found = cover(table(outline), read_grid(cube))
    weight = np.zeros((SIZE, SIZE))
    weight[found.row, found.col] = found.weight
    np.testing.assert_allclose(weight, expected, atol=2e-6)
    np.testing.assert_allclose(found.whole, outline.area / PIXEL**2, rtol=1e-5)


def test_coverage_is_what_finer_pixels_say(cube):
    """A hundred subpixels in each pixel, filled by rasterio, agree to within their size."""
    outline = shapely.Point(WEST + 203, NORTH - 187).buffer(101)
    fine = Affine(PIXEL / 10, 0, WEST, 0, -PIXEL / 10, NORTH)
    inside = rasterio.features.rasterize([outline], (SIZE * 10, SIZE * 10), transform=fine)
    expected = inside.reshape(SIZE, 10, SIZE, 10).mean((1, 3))
    found = cover(table(outline), read_grid(cube))
    weight = np.zeros((SIZE, SIZE))
    weight[found.row, found.col] = found.weight
    np.testing.assert_allclose(weight, expected, atol=0.06)


@EXAMPLES
@given(sides=st.tuples(*[st.integers(1, SIZE - 1)] * 4), off=st.floats(-1e-8, 1e-8))
def test_pixels_touched_by_rounding_do_not_count(cube, sides, off):
    """A field along the borders of pixels holds these pixels, however its corners are rounded."""
    (left, right), (top, bottom) = sorted(sides[:2]), sorted(sides[2:])
    assume(left < right and top < bottom)
    field = shapely.box(
        WEST + PIXEL * left - off,
        NORTH - PIXEL * bottom - off,
        WEST + PIXEL * right + off,
        NORTH - PIXEL * top + off,
    )
    found = cover(table(field), read_grid(cube))
    assert {*found.row} == {*range(top, bottom)}
    assert {*found.col} == {*range(left, right)}
    np.testing.assert_allclose(found.weight, 1, atol=1e-6)


def test_a_field_smaller_than_any_pixel_has_one(cube):
    """A field of a square millimetre, so less than a millionth of a pixel, is kept."""
    field = shapely.Point(WEST + 205, NORTH - 185).buffer(6e-4)
    found = cover(table(field), read_grid(cube))
    assert (found.row.tolist(), found.col.tolist()) == ([18], [20])


def test_point_on_a_border_takes_the_pixel_to_the_south_east(cube):
    """A corner of four pixels belongs to one of them; the cube's far corner to its last pixel."""
    points = [shapely.Point(WEST + x, NORTH - y) for x, y in [(10, 10), (0, 0), (400, 400)]]
    found = cover(table(*points), read_grid(cube))
    assert found.row.tolist() == [1, 0, SIZE - 1]
    assert found.col.tolist() == [1, 0, SIZE - 1]


# --- reading


def test_fields_come_in_any_system_and_format(cube, tmp_path):
    """GeoPackage, GeoJSON and GeoParquet in degrees or metres give the same outlines."""
    own = table(box(3, 9, 8, 2), box(20, 30, 33, 21), data={"crop": ["maize", "grass"]})
    degrees = own.to_crs("EPSG:4326")
    degrees.to_file(tmp_path / "a.gpkg")
    degrees.to_file(tmp_path / "a.geojson")
    degrees.to_parquet(tmp_path / "a.parquet")
    for given_ in (
        own,
        degrees,
        *(tmp_path / f"a.{end}" for end in ("gpkg", "geojson", "parquet")),
    ):
        found = read_fields(given_, cube)
        assert found.crs == CRS and found.crop.tolist() == ["maize", "grass"]
        assert shapely.equals_exact(found.geometry.values, own.geometry.values, 0.01).all()


def test_layers_of_a_file(cube, tmp_path):
    """Of several layers none is taken for the wanted one; layers without places do not count."""
    path = tmp_path / "map.gpkg"
    old, new = table(box(3, 9, 8, 2)), table(box(20, 30, 33, 21), box(1, 5, 2, 1))
    old.to_file(path, layer="fields 2025")
    pyogrio.write_dataframe(pd.DataFrame({"crop": ["maize"]}), path, layer="crops", append=True)
    assert len(read_fields(path, cube)) == 1
    new.to_file(path, layer="fields 2026")
    with pytest.raises(InvalidInputError, match=r"'fields 2025', 'fields 2026'; choose one"):
        read_fields(path, cube)
    for name, expected in (("fields 2025", old), ("fields 2026", new)):
        found = read_fields(path, cube, layer=name)
        assert shapely.equals(found.geometry.values, expected.geometry.values).all()
    for name in ("crops", "fields", ""):
        with pytest.raises(InvalidInputError, match=f"{name!r} is none of them"):
            read_fields(path, cube, layer=name)
    with pytest.raises(InvalidInputError, match="fields is no path"):
        read_fields(old, cube, layer="fields 2025")
    old.to_parquet(tmp_path / "map.parquet")
    with pytest.raises(InvalidInputError, match="GeoParquet, which has none"):
        read_fields(tmp_path / "map.parquet", cube, layer="fields 2025")


def test_layers_of_files_that_have_one(cube, tmp_path):
    """Formats with one layer need no name, and take their own."""
    own = table(box(3, 9, 8, 2))
    for end in ("geojson", "shp", "fgb"):
        own.to_file(tmp_path / f"own.{end}")
        assert len(read_fields(tmp_path / f"own.{end}", cube)) == 1
        assert len(read_fields(tmp_path / f"own.{end}", cube, layer="own")) == 1
        with pytest.raises(InvalidInputError, match="holds the layers 'own'; 'x' is none"):
            read_fields(tmp_path / f"own.{end}", cube, layer="x")


def test_only_fields_that_touch_are_kept(cube):
    """What lies beside the cube, or only along its edge, is left out; ids and columns stay."""
    shapes = [box(-9, 5, -2, 1), box(-3, 5, 2, 1), box(-3, 5, 0, 1), box(1, 5, 2, 1)]
    found = read_fields(table(*shapes, index=list("abcd"), data={"n": range(4)}), cube)
    assert found.index.tolist() == ["b", "d"] and found.n.tolist() == [1, 3]


def test_column_of_outlines_keeps_its_name(cube):
    """The geometries may be in a column of any name, which stays the only one."""
    found = read_fields(table(box(1, 5, 2, 1)).rename_geometry("outline"), cube)
    assert found.columns.tolist() == ["outline"] and found.active_geometry_name == "outline"


def test_bow_tie_is_mended(cube):
    """A field whose outline crosses itself has the area of both its halves; heights are dropped."""
    corners = [
        (WEST, NORTH, 1),
        (WEST + 40, NORTH - 40, 1),
        (WEST + 40, NORTH, 1),
        (WEST, NORTH - 40, 1),
    ]
    found = read_fields(table(shapely.Polygon(corners)), cube)
    assert found.area.item() == pytest.approx(2 * 400) and not found.has_z.item()


def test_given_fields_are_not_changed(cube):
    """Neither the table nor its outlines are altered by what is done with them."""
    own = table(box(3, 9, 8, 2), box(90, 99, 95, 91)).to_crs("EPSG:4326")
    before = own.copy(deep=True)
    field_series(cube, own)
    field_statistics(cube.B04.isel(time=0), own)
    pd.testing.assert_frame_equal(own, before)


def test_file_without_a_system_is_refused_with_the_likely_one(cube):
    """Numbers that look like degrees suggest EPSG:4326, others the cube's own system."""
    own = table(box(3, 9, 8, 2))
    for fields, likely in ((own, CRS), (own.to_crs("EPSG:4326"), "EPSG:4326")):
        with pytest.raises(InvalidInputError, match=rf'set_crs\("{likely}"\)'):
            read_fields(gpd.GeoDataFrame(geometry=list(fields.geometry)), cube)


def test_wrong_system_is_found_by_its_distance(cube):
    """The message says where the fields lie and where the cube, and which system would fit."""
    own = table(box(3, 9, 8, 2))
    wrong = own.set_crs("EPSG:32631", allow_override=True)
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    west, north = to_degrees.transform(WEST, NORTH)
    with pytest.raises(InvalidInputError, match="EPSG:32631") as caught:
        read_fields(wrong, cube)
    assert f"the cube at {west:.2f}" in str(caught.value) and f"{north:.2f}" in str(caught.value)
    assert 'fields.set_crs("EPSG:28992", allow_override=True)' in str(caught.value)
    with pytest.raises(InvalidInputError, match="would fit EPSG:4326"):
        read_fields(own.to_crs("EPSG:4326").set_crs(CRS, allow_override=True), cube)
    with pytest.raises(InvalidInputError, match="outside the area of Amersfoort"):
        read_fields(own.set_crs("EPSG:4326", allow_override=True), cube)


def test_field_beyond_the_area_of_the_system(cube):
    """A field that covers the cube and half the Earth says how to cut it; one far away is left."""
    whole = gpd.GeoDataFrame(geometry=[shapely.box(-180, -90, 180, 90)], crs="EPSG:4326")
    with pytest.raises(InvalidInputError, match=r"cut it .* first: fields\.clip\(") as caught:
        read_fields(whole, cube)
    bounds = eval(str(caught.value).split("fields.clip")[1])
    assert len(read_fields(whole.clip(bounds), cube)) == 1
    antarctic = gpd.GeoDataFrame(geometry=[shapely.box(-180, -90, 180, -80)], crs="EPSG:4326")
    near = table(box(1, 5, 2, 1)).to_crs("EPSG:4326")
    both = pd.concat([antarctic, near], ignore_index=True)
    assert list(read_fields(both, cube).index) == [1]


def test_many_fields_without_area_say_how_to_leave_them(cube):
    """The advice is Python that leaves all of them out, and none that only has to be mended."""
    flat = shapely.Polygon([(WEST, NORTH), (WEST + 9, NORTH - 9), (WEST, NORTH)])
    bow = shapely.Polygon(
        [
            (WEST + 5, NORTH - 5),
            (WEST + 25, NORTH - 25),
            (WEST + 25, NORTH - 5),
            (WEST + 5, NORTH - 25),
        ]
    )
    shapes = [*[flat] * 5, None, shapely.Polygon(), bow, box(1, 5, 2, 1)]
    fields = gpd.GeoDataFrame({"name": list("abcdefghi")}, geometry=shapes, crs=CRS)
    with pytest.raises(InvalidInputError, match="0, 1, 2, 3, 4 and 2 more") as caught:
        read_fields(fields, cube)
    kept, made = str(caught.value).split("leave them out, with ")[1].split(", where shapes = ")
    shapes = eval(made.removesuffix(", or mend them"))
    assert list(eval(kept).name) == ["h", "i"]
    named = fields[:3].set_index("name")
    with pytest.raises(InvalidInputError, match=r"fields\.drop\(\['a', 'b', 'c'\]\)"):
        read_fields(named, cube)


def test_system_of_a_drawing_is_refused(cube):
    """What has no place on Earth cannot be brought to the cube."""
    drawing = 'LOCAL_CS["drawing",UNIT["metre",1]]'
    with pytest.raises(InvalidInputError, match="system 'drawing', from which nothing leads"):
        read_fields(table(box(3, 9, 8, 2)).set_crs(drawing, allow_override=True), cube)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("nowhere.gpkg", "nowhere.gpkg' cannot be read"),
        ("nowhere.parquet", "nowhere.parquet' cannot be read"),
        (__file__, "cannot be read"),
        (pd.DataFrame({"x": [1]}), "a DataFrame; give a GeoDataFrame"),
        (table(), "no rows"),
        (table(box(1, 5, 2, 1), None, shapely.Polygon(), index=[7, 8, 9]), r"drop\(\[8, 9\]\)"),
        (table(shapely.Polygon([(WEST, NORTH), (WEST + 9, NORTH - 9), (WEST, NORTH)])), "no area"),
        (table(box(1, 5, 2, 1), shapely.Point(WEST, NORTH)), "types Point, Polygon"),
        (table(shapely.LineString([(WEST, NORTH), (WEST + 9, NORTH)])), r"fields\.buffer"),
        (table(box(1, 5, 2, 1), box(1, 5, 2, 1), index=[3, 3]), "some of them twice"),
    ],
)
def test_bad_fields_are_refused(cube, fields, message):
    """Each kind of bad input is named, with what to do."""
    with pytest.raises(InvalidInputError, match=message):
        read_fields(fields, cube)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda cube: 3, "is no cube"),
        (lambda cube: cube.isel(x=3), "not on a regular grid"),
        (lambda cube: cube.isel(x=[1, 2, 5]), "not on a regular grid"),
        (lambda cube: cube.isel(y=slice(None, None, -1)), "from north to south"),
        (lambda cube: cube.drop_vars("spatial_ref"), "no coordinate system"),
        (
            lambda cube: cube.isel(x=slice(0, None, 3), y=slice(0, None, 3)).isel(x=[1]),
            "one row or column .* says 10 × 10, which their other coordinates do not fit",
        ),
        (
            lambda cube: cube.isel(time=0).coarsen(x=2, y=2).mean().isel(x=[1], y=[1]),
            "one row or column",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:grid_mapping")
def test_bad_grid_is_refused(cube, part, message):
    """A cube without its grid says what is missing."""
    with pytest.raises(InvalidInputError, match=message):
        read_fields(table(box(1, 5, 2, 1)), part(cube))


@pytest.mark.parametrize("cut", [{"x": [3]}, {"y": [2]}, {"x": [3], "y": [2]}])
def test_grid_of_one_row_or_column(cube, cut):
    """A single row or column lies where the whole cube has it, with its pixel size."""
    whole, found = read_grid(cube), read_grid(cube.isel(cut))
    col, row = cut.get("x", [0])[0], cut.get("y", [0])[0]
    assert found.affine == whole.affine @ whole.affine.translation(col, row)


@EXAMPLES
@given(
    pixel=st.sampled_from([10.0, 20.0, 1e-4, 8.983152841195215e-05]),
    west=st.floats(-170, 170),
    size=st.integers(2, 300),
)
def test_coordinates_in_single_precision(pixel, west, size):
    """Coordinates that are off a line by rounding alone are a regular grid, which is that line."""
    metres = pixel > 1
    west, north = (3e5 + west * 1000, 5e6) if metres else (west, 45.0)
    x, y = west + pixel * (np.arange(size) + 0.5), north - pixel * (np.arange(size) + 0.5)
    exact = xr.DataArray(np.zeros((size, size)), {"y": y, "x": x}, ("y", "x"))
    exact = exact.rio.write_crs("EPSG:32631" if metres else "EPSG:4326")
    rounded = exact.assign_coords(x=x.astype("f4"), y=y.astype("f4"))
    off = max(abs(rounded.x.values - x).max(), abs(rounded.y.values - y).max()) / pixel
    assume(off < 0.02)
    found, wanted = read_grid(rounded), read_grid(exact)
    assert found.shape == wanted.shape
    corners = np.array([found.affine @ (0, 0), found.affine @ (size, size)])
    true = np.array([wanted.affine @ (0, 0), wanted.affine @ (size, size)])
    assert abs(corners - true).max() / pixel < 0.1


@pytest.mark.parametrize("off", [0.06, 0.3])
def test_coordinates_that_are_off_by_more_are_refused(cube, off):
    """A pixel that lies beside the line by more than rounding explains is no regular grid."""
    x = cube.x.values.copy()
    x[7] += off * PIXEL
    with pytest.raises(InvalidInputError, match="not on a regular grid"):
        read_grid(cube.assign_coords(x=x))


# --- series


@EXAMPLES
@given(outline=outlines())
def test_series_are_weighted_sums_over_clear_pixels(cube, clear_ndvi, outline):
    """Every number of every date is that of numpy with the fractions of shapely."""
    weight = fractions(outline)
    assume((weight > 0).any() and not ((weight > 0) & (weight < 1e-5)).any())
    found = field_series(cube, table(outline))
    expected = [describe(day, weight, outline.area / PIXEL**2) for day in clear_ndvi]
    np.testing.assert_allclose(found[NUMBERS], expected, rtol=1e-4, atol=2e-6)


@EXAMPLES
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30)),
    chunks=st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30)),
    gaps=st.sampled_from([0, 0.5, 0.95, 1]),
    seed=st.integers(0, 999),
)
def test_any_cube_and_blocks_give_the_same_series(shape, chunks, gaps, seed):
    """However the cube is cut into blocks, three fields at once are each as numpy says."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(shape) < gaps, np.nan, rng.random(shape)).astype("float32")
    clear = rng.random(shape) >= gaps / 2
    coords = {
        "time": pd.date_range("2021", periods=shape[0]),
        "y": NORTH - PIXEL * (np.arange(shape[1]) + 0.5),
        "x": WEST + PIXEL * (np.arange(shape[2]) + 0.5),
    }
    own = xr.Dataset({"v": (list(coords), values)}, coords).rio.write_crs(CRS)
    own = own.rio.write_transform(Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH))
    mask = xr.DataArray(clear, coords, list(coords))
    shapes = [box(-0.5, 3.25, 4.5, -1), box(0.25, shape[1], shape[2], 0.5), box(0, 1, 1, 0)]
    dims = rng.permutation(["time", "y", "x"])
    cut = own.chunk(dict(zip(coords, chunks, strict=True))).transpose(*dims)
    found = field_series(cut, table(*shapes, index=[5, 3, 9]), "v", clear=mask)
    expected = [
        describe(np.where(seen, day, np.nan), fractions(field, shape[1:]), field.area / PIXEL**2)
        for field in shapes
        for day, seen in zip(values.astype("f8"), clear, strict=True)
    ]
    assert found.field.tolist() == list(np.repeat([5, 3, 9], shape[0]))
    np.testing.assert_allclose(found[NUMBERS], expected, rtol=1e-5, atol=1e-6)


def test_points_give_the_pixel_that_holds_them(cube, clear_ndvi):
    """The series of a point is the pixel's own, with a share of 0 or 1."""
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, SIZE, (2, 50))
    x, y = (PIXEL * (n + rng.random(50)) for n in (cols, rows))
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(WEST + x, NORTH - y), crs=CRS)
    found = field_series(cube, points)
    expected = clear_ndvi[:, rows, cols].T.ravel()
    for name in ("mean", "min", "max"):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-7)
    assert (found["share"] == np.isfinite(expected)).all() and (found["count"] == found.share).all()


def test_table_is_tidy(cube):
    """One row per field and date, in order, with the cube's own times."""
    found = field_series(cube, table(box(3, 9, 8, 2), box(1, 5, 2, 1), index=["b", "a"]))
    assert found.columns.tolist() == ["field", "time", *NUMBERS]
    assert found.field.tolist() == ["b"] * STEPS + ["a"] * STEPS
    assert (found.time.to_numpy() == np.tile(cube.time.values, 2)).all()
    unfolded = found.set_index(["time", "field"])["mean"].to_xarray()
    assert dict(unfolded.sizes) == {"time": STEPS, "field": 2}


def test_layers_masks_and_periods_can_be_chosen(cube, store):
    """A layer instead of an index, a mask of one's own, and a period, as numpy says."""
    weight, values = fractions(box(3, 9, 8, 2)), plain(store)["B08"].astype("float64")
    mask = xr.full_like(cube.SCL, True, bool)
    found = field_series(
        cube, table(box(3, 9, 8, 2)), "B08", clear=mask, start="2021-01-10", end="2021-02-10"
    )
    days = pd.DatetimeIndex(cube.time)
    inside = (days >= "2021-01-10") & (days < "2021-02-11")
    expected = [describe(day, weight, 35) for day in values[inside]]
    assert 3 < inside.sum() < STEPS
    np.testing.assert_allclose(found[NUMBERS], expected, rtol=1e-5, atol=1e-7)
    assert (found.time.to_numpy() == days[inside]).all()


def test_share_is_of_the_whole_field(cube):
    """Half of a field beyond the cube is never seen; a field within it can be seen in full."""
    mask = xr.full_like(cube.SCL, True, bool)
    whole = cube.fillna(0.5)
    found = field_series(whole, table(box(-3, 4, 3, 2), box(1, 4, 3, 2)), "B04", clear=mask)
    assert found[found.field == 0].share.to_numpy() == pytest.approx(0.5)
    assert (found[found.field == 1].share == 1).all()


def test_only_chunks_under_fields_are_read(tmp_path):
    """All other chunks may be damaged without any harm."""
    path = tmp_path / "cube.zarr"
    own = make_cube(
        path, random_layers(1, (STEPS, SIZE, SIZE)), every(5, STEPS), chunks=(8, 16, 16)
    )
    fields = table(box(17, 30, 31, 18))
    before = field_series(own, fields)
    for name in ("B04", "B08", "SCL"):
        for place in [(t, y, x) for t in range(3) for y in range(3) for x in range(3)]:
            if place[1:] != (1, 1):
                (path / chunk_key(51, name, place, ".")).write_bytes(b"damaged")
    pd.testing.assert_frame_equal(field_series(own, fields), before)
    with pytest.raises(CubeError, match="damaged"):
        field_series(own, table(box(17, 30, 35, 18)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variable": "NVDI"}, "Did you mean"),
        ({"variable": "SCL"}, "SCL is uint8"),
        ({"variable": "EVI"}, "needs B02"),
        ({"start": "2030", "end": "2031"}, "no steps from 2030"),
        ({"start": "soon"}, "soon"),
        ({"clear": 3}, "clear is a int"),
    ],
)
def test_bad_options_of_series_are_refused(cube, options, message):
    """An unknown index, a layer of classes, a period without steps, a mask that is none."""
    with pytest.raises(InvalidInputError, match=message):
        field_series(cube, table(box(1, 5, 2, 1)), **options)


def test_bad_cube_of_series_is_refused(cube):
    """A single layer is no cube, and a layer without a map has no fields."""
    with pytest.raises(InvalidInputError, match="cube is a DataArray"):
        field_series(cube.B04, table(box(1, 5, 2, 1)))
    mean = cube.assign(mean=cube.B04.mean(("y", "x")))
    with pytest.raises(InvalidInputError, match="mean is float32 with the dimensions"):
        field_series(mean, table(box(1, 5, 2, 1)), "mean", clear=xr.full_like(cube.SCL, True, bool))


# --- statistics of maps


@EXAMPLES
@given(outline=outlines(), gaps=st.sampled_from([0, 0.3, 1]))
def test_statistics_of_a_map_are_weighted(cube, outline, gaps):
    """Those of numpy with shapely's fractions; the median splits the weight in halves."""
    weight = fractions(outline)
    assume((weight > 0).any() and not ((weight > 0) & (weight < 1e-5)).any())
    rng = np.random.default_rng(5)
    values = np.where(rng.random((SIZE, SIZE)) < gaps, np.nan, rng.random((SIZE, SIZE)))
    found = field_statistics(cube.B04.isel(time=0).copy(data=values), table(outline)).iloc[0]
    expected = describe(values, weight, outline.area / PIXEL**2)
    np.testing.assert_allclose(found[NUMBERS].astype(float), expected, rtol=1e-4, atol=2e-6)
    use = np.isfinite(values) & (weight > 0)
    if not use.any():
        assert np.isnan(found["median"])
        return
    assert found["median"] in values
    below, upto = (
        weight[use & (values < m)].sum() for m in (found["median"], found["median"] + 1e-12)
    )
    assert below <= weight[use].sum() / 2 + 1e-5 and upto >= weight[use].sum() / 2 - 1e-5


def test_median_of_whole_pixels_is_numpys(cube):
    """For an odd number of whole pixels the median is that of numpy, for several fields at once."""
    values = np.random.default_rng(2).random((SIZE, SIZE))
    layer = cube.B04.isel(time=0).copy(data=values)
    found = field_statistics(layer, table(box(3, 8, 6, 3), box(30, 39, 39, 30), box(0, 1, 1, 0)))
    expected = [np.median(values[3:8, 3:6]), np.median(values[30:39, 30:39]), values[0, 0]]
    assert found["median"].tolist() == expected


def test_maps_of_a_dataset_have_their_names(cube):
    """Several maps at once, whole numbers with a no-data value among them; columns stay."""
    first, second = np.indices((SIZE, SIZE), "i2")
    second[3, 4] = -1
    part = cube.isel(time=0)
    maps = xr.Dataset(
        {
            "row": part.SCL.copy(data=first).drop_attrs(deep=False),
            "col": part.SCL.copy(data=second).drop_attrs(deep=False),
        }
    )
    maps["col"].attrs["_FillValue"] = -1
    found = field_statistics(maps, table(box(4, 5, 7, 3), data={"crop": ["maize"]})).iloc[0]
    assert found.crop == "maize"
    assert (found.row_mean, found.row_min, found.row_max, found.row_share) == (3.5, 3, 4, 1)
    assert found.col_mean == pytest.approx((4 + 5 + 6 + 5 + 6) / 5)
    assert found.col_count == 5 and found.col_share == pytest.approx(5 / 6)


def test_classes_give_the_majority_and_fractions(cube):
    """A map of classes is counted by name; no data and unknown codes are not."""
    codes = np.zeros((SIZE, SIZE), "u1")
    codes[:4], codes[4:8], codes[0, :2], codes[0, 2] = 1, 7, 0, 99
    attrs = {"flag_values": [0, 1, 7], "flag_meanings": "no_data grass maize"}
    classes = cube.SCL.isel(time=0).copy(data=codes).drop_attrs(deep=False).assign_attrs(attrs)
    found = field_statistics(classes, table(box(0, 5, 4, 0), box(10, 30, 12, 20)))
    seen = found.iloc[0]
    assert (seen.majority, seen["count"]) == ("grass", 17)
    assert seen.fraction_grass == pytest.approx(13 / 17)
    assert seen.fraction_maize == pytest.approx(4 / 17)
    assert seen.share == pytest.approx(17 / 20) and "fraction_no_data" not in found
    assert found.majority.isna().tolist() == [False, True] and found.share.iloc[1] == 0


def test_classes_that_became_floats(cube):
    """Classes stay classes after `where`; what was calculated from them is no class."""
    codes = np.tile(np.array([4, 9], "u1"), (SIZE, SIZE // 2))
    attrs = {"flag_values": [0, 1, 4, 9], "flag_meanings": "no_data bare grass maize"}
    classes = cube.SCL.isel(time=0).copy(data=codes).drop_attrs(deep=False).assign_attrs(attrs)
    cut = classes.where(classes.x < WEST + 60)
    found = field_statistics(cut, table(box(0, 5, 8, 0))).iloc[0]
    assert (found.fraction_grass, found.fraction_maize, found.share) == (0.5, 0.5, 0.75)
    for share in ((classes == 4).astype("f4"), classes.astype("f4") + 0.5):
        found = field_statistics(share, table(box(0, 5, 8, 0))).iloc[0]
        assert found["mean"] == pytest.approx(
            float(share.isel(x=slice(0, 8), y=slice(0, 5)).mean())
        )


def test_points_take_one_pixel_of_a_map(cube):
    """The statistics of a point are the pixel's value; of a class, its name."""
    point = table(shapely.Point(WEST + 35, NORTH - 21))
    values = np.arange(SIZE * SIZE, dtype="f4").reshape(SIZE, SIZE)
    found = field_statistics(cube.B04.isel(time=0).copy(data=values), point).iloc[0]
    assert found[["mean", "min", "max", "median"]].tolist() == [2 * SIZE + 3] * 4
    assert found[["std", "count", "share"]].tolist() == [0, 1, 1]
    classes = cube.SCL.isel(time=0).copy(data=np.full((SIZE, SIZE), 6, "u1"))
    assert field_statistics(classes, point).majority.item() == "water"


def test_bad_maps_are_refused(cube):
    """A series is no map, text no number, and columns are not overwritten."""
    fields, image = table(box(1, 5, 2, 1)), cube.B04.isel(time=0)
    with pytest.raises(InvalidInputError, match=r"isel\(time=0\)"):
        field_statistics(cube, fields)
    with pytest.raises(InvalidInputError, match="is no cube"):
        field_statistics(image.values, fields)
    with pytest.raises(InvalidInputError, match="give maps of numbers"):
        field_statistics(image.astype(str), fields)
    with pytest.raises(InvalidInputError, match="already have the columns mean"):
        field_statistics(image, fields.assign(mean=3))


# --- real data


def test_ndvi_of_a_real_field_is_the_published_one(real_data):
    """FuseTS's own NDVI of 33 dates equals ours to the last bit, gaps included."""
    field = xr.open_dataset(real_data / "fusets/raw_s2_ndvi_field.nc")
    np.testing.assert_array_equal(index(field, "NDVI").values, field.NDVI.values)


def test_series_of_a_real_field_is_the_mean_of_its_pixels(real_data):
    """A box of 20 × 15 whole pixels in FuseTS's field, with its own cloud mask, by plain numpy."""
    field = xr.open_dataset(real_data / "fusets/raw_s2_ndvi_field.nc").rename(t="time")
    crs = field.crs.attrs["crs_wkt"]
    field = field.drop_vars("crs").rio.write_crs(crs)
    clear = field.SCL.isin([4, 5]) & (field.CLM != 1)
    west, north = float(field.x[20]) - 5, float(field.y[25]) + 5
    shape = shapely.box(west, north - 150, west + 200, north)
    found = field_series(field, gpd.GeoDataFrame(geometry=[shape], crs=crs), clear=clear)
    values = field.NDVI.where(clear).values[:, 25:40, 20:40].astype("float64")
    count = np.isfinite(values).sum((1, 2))
    assert (count == 300).sum() > 20
    np.testing.assert_allclose(found["count"], count, atol=1e-4)
    seen = count > 0
    np.testing.assert_allclose(found["mean"][seen], np.nanmean(values[seen], (1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found["std"][seen], np.nanstd(values[seen], (1, 2)), rtol=1e-5)


def test_real_parcels_hold_the_land_cover_that_was_made_of_them(real_data):
    """eo-learn's classes were burnt from these parcels, which together cover each pixel once."""
    patch = real_data / "eolearn/patch"
    west, south, east, north = (
        gpd.read_file(patch / "bbox.geojson")
        .set_crs("EPSG:32633", allow_override=True)
        .total_bounds
    )
    codes = np.load(patch / "LULC.npy")[..., 0]
    rows, cols = codes.shape
    names = {1: "cultivated", 2: "forest", 3: "grass", 4: "shrub", 8: "artificial"}
    land = xr.DataArray(
        codes,
        {
            "y": north - (north - south) / rows * (np.arange(rows) + 0.5),
            "x": west + (east - west) / cols * (np.arange(cols) + 0.5),
        },
        attrs={"flag_values": list(names), "flag_meanings": " ".join(names.values())},
    ).rio.write_crs("EPSG:32633")
    found = field_statistics(land, patch / "LULC.gpkg")
    for code, name in names.items():
        pixels = (found[f"fraction_{name}"] * found["count"]).sum()
        assert pixels == pytest.approx((codes == code).sum(), abs=1e-3)
    large = found[(found["count"] > 15) & (found.LULC_ID > 0)]
    assert len(large) > 30 and (large.majority == large.LULC_ID.map(names)).all()
