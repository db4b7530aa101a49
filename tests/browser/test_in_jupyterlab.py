"""Both viewers in a cell, in JupyterLab and Jupyter Notebook themselves, against plain numpy."""

import geopandas as gpd
import nbformat
import numpy as np
import pandas as pd
import pytest
import shapely
from expecting import (
    DRAFT,
    MAP,
    NAMES,
    PINNED,
    SERIES,
    clear_ndvi,
    draw,
    drawn,
    expect_curve,
    expect_day,
    expect_series,
    expected,
    is_,
    near,
    place_of,
    true_colour,
)
from known import CLEAREST, NORTH, PIXEL, STEPS, WEST, cell
from PIL import Image
from playwright.sync_api import expect
from seeing import Seen, painted
from services import HUB
from watching import PANEL_LOADING


@pytest.fixture
def open_cell(open_notebook, jupyter_lab, known_store):
    """Open a viewer as the last line of a notebook's cell."""

    def open_it(kind: str, program: str) -> Seen:
        code = cell(kind, known_store).replace("viewer.servable()", "viewer")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, jupyter_lab.root / f"{kind}.ipynb")
        shown = open_notebook(f"{kind}.ipynb", program=program)
        return Seen(shown, ".jp-OutputArea-output").wait()

    return open_it


@pytest.mark.parametrize("jupyter_lab", [HUB], indirect=True)
def test_time_query_in_a_cell(open_cell, known, tmp_path, watch):
    """Date, filter, series, zoom, comparison and files, in Jupyter Notebook behind a prefix."""
    seen = open_cell("TimeQuery", "notebooks")
    watch.forgive(*PANEL_LOADING)
    expect_day(seen, known, CLEAREST, 1)
    seen.press("Next")
    expect_day(seen, known, CLEAREST + 1, 1)
    seen.slider("Date").press("Home")
    expect_day(seen, known, 0, 1)
    seen.choose("Overpass", known.label(7))
    expect_day(seen, known, 7, 1)

    seen.click(WEST + 200.5 * PIXEL, NORTH - 300.5 * PIXEL)
    seen.eventually(lambda: near(place_of(seen), (300, 200)))
    row, col = place_of(seen)
    expect_series(seen, known, row, col)
    middle = seen.ask("const y = figure.y_range; return (y.start + y.end) / 2", SERIES)
    seen.click(known.seconds[19] * 1000.0, middle, SERIES)
    expect_day(seen, known, 19, 1)

    seen.press("Filter")
    seen.choice("orbit 8").uncheck()
    expect(seen.status).to_contain_text("of 12 that pass")
    seen.choice("orbit 51").uncheck()
    expect(seen.status).to_contain_text("No acquisition: no overpass passes")
    seen.choice("orbit 8").check()
    seen.press("Last")
    expect_day(seen, known, STEPS - 1, 1)

    seen.page.mouse.move(*seen.spot(WEST + 2000, NORTH - 3000))
    for _ in range(6):
        seen.page.mouse.wheel(0, -240)
    expect(seen.status).to_contain_text("pixels of 10 m")
    seen.press("Whole region")
    seen.press("Zoom in")
    seen.expect_picture(true_colour(known, STEPS - 1, 0)[120:440, 160:480])
    seen.press("Whole region")
    expect_day(seen, known, STEPS - 1, 1)

    seen.press("Compare")
    seen.press("Pin the date that is shown")
    expect(seen.button("swipe")).to_have_attribute("aria-pressed", "true")
    seen.press("First")
    seen.press("side by side")
    seen.expect_picture(true_colour(known, 1, 1), MAP)
    seen.expect_picture(true_colour(known, STEPS - 1, 1), PINNED)

    seen.press("Save")
    table = pd.read_csv(seen.save("Series as CSV", tmp_path))
    np.testing.assert_allclose(table.NDVI, known.ndvi()[:, row, col], atol=1e-5)
    picture = Image.open(seen.save("Series as PNG", tmp_path)).convert("RGB")
    assert len(picture.getcolors(1 << 20)) > 20


@pytest.mark.parametrize("jupyter_lab", [HUB], indirect=True)
def test_statistics_in_a_cell(open_cell, known, tmp_path, watch):
    """Map, drawing by clicks, upload, errors and files, in JupyterLab behind a prefix."""
    seen = open_cell("NdviStatistics", "lab")
    watch.forgive(*PANEL_LOADING)
    values = clear_ndvi(known, 1)
    seen.expect_picture(painted(np.nanmean(values, axis=0), -0.1, 0.9))
    seen.choose("Statistic", "largest")
    seen.expect_picture(painted(np.nanmax(values, axis=0), -0.1, 0.9))

    seen.press("Draw")
    seen.press("box")
    seen.click(81_000, 449_000)
    seen.eventually(lambda: is_(len(seen.data(MAP, DRAFT)["x"]), 1))
    seen.click(81_700, 448_400)
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["box"]))
    expect_curve(seen, "box", expected(known, drawn(seen)))
    corners = ((82_003, 448_001), (82_604, 448_297), (82_951, 447_803), (82_207, 447_406))
    draw(seen, corners)
    expect_curve(seen, "polygon", expected(known, shapely.Polygon(corners)))

    file = {"name": "broken.geojson", "mimeType": "application/geo+json", "buffer": b"{nonsense"}
    chosen = seen.choice("File of places")
    chosen.set_input_files(file)
    expect(seen.error).to_contain_text("broken.geojson")
    expect(chosen).to_have_value("")
    chosen.set_input_files(file | {"name": "big.geojson", "buffer": b" " * 30_000_000})
    expect(seen.error).to_contain_text("big.geojson has 30.0 MB; give a file of 5 MB")
    field = gpd.GeoDataFrame({"name": ["North"]}, geometry=[drawn(seen)], crs="EPSG:28992")
    chosen.set_input_files(file | {"buffer": field.to_crs("EPSG:4326").to_json().encode()})
    seen.eventually(lambda: is_(seen.data(MAP, NAMES)["name"], ["box", "polygon", "North"]))
    expect(seen.error).to_have_count(0)
    seen.press("Save")
    table = pd.read_csv(seen.save("Series as CSV", tmp_path))
    assert set(table.place) == {"box", "polygon", "North"}
    saved = gpd.read_file(seen.save("Places as GeoJSON", tmp_path)).to_crs("EPSG:28992")
    assert [*saved.name] == ["box", "polygon", "North"]
    assert saved.geometry[1].hausdorff_distance(shapely.Polygon(corners)) < 0.1
