"""Binder's cube of real imagery: made as a whole, or one line says why not."""

import json
import re
from pathlib import Path

import make_real_cube
import numpy as np
import pytest
import rasterio
from servers import faulty_server, refused_address

import s2kit
from s2kit.errors import SceneWarning
from s2kit.scenes import reader

SEARCH = {"aoi": (15.0, 45.5, 15.4, 45.8), "start": "2023-08-01", "end": "2023-08-31"}
GRID = {"crs": "EPSG:32633", "resolution": 120}


@pytest.fixture
def catalogue(real_data, stac_api, monkeypatch):
    """Serve real scenes by http, and their items by an API that the tool takes for Earth Search."""
    folder = real_data / "stac-l2a-2023/sentinel-2-l2a"
    with faulty_server(folder) as server:
        items = [json.loads(path.read_text()) for path in sorted(folder.glob("*/*_L2A.json"))]
        for item in items:
            for asset in item["assets"].values():
                asset["href"] = f"{server.url}/{item['id']}/{asset['href'].removeprefix('./')}"
            item["links"] = []
        monkeypatch.setattr(make_real_cube, "SOURCE", stac_api(items))
        monkeypatch.setattr(make_real_cube, "SEARCH", SEARCH)
        monkeypatch.setattr(make_real_cube, "GRID", GRID)
        yield server


def test_whole_cube_is_made_and_described(catalogue, real_data, tmp_path, capsys):
    """The cube opens, says that it is of real imagery, and has the pixels of the scenes."""
    place = tmp_path / "real.zarr"
    assert make_real_cube.main(str(place)) == 0
    cube = s2kit.open_cube(place)
    line = capsys.readouterr().out
    assert re.fullmatch(
        rf"A cube of real imagery: {cube.sizes['time']} overpasses of 2023-08-01 to 2023-08-31, "
        r"\d+ MB\n",
        line,
    )
    assert not cube.attrs.get("synthetic")
    step = cube.isel(time=0).compute()
    scene = next(name for name in step.products.item().split() if "T33TWL" in name)
    day = scene.split("_")[2][:8]
    (file,) = (real_data / "stac-l2a-2023/sentinel-2-l2a").glob(f"*33TWL_{day}*/SCL.tif")
    with rasterio.open(file) as source:
        at = [(float(cube.x[20]), float(cube.y[20]))]
        assert step.SCL[20, 20].item() == next(iter(source.sample(at)))[0]
    assert np.isfinite(step.B04).any()


def test_source_out_of_reach_is_one_line(tmp_path, monkeypatch, capsys):
    """Where nobody listens, one line says so, the reason is on stderr, and nothing is written."""
    address = refused_address()
    monkeypatch.setattr(make_real_cube, "SOURCE", address)
    monkeypatch.setattr(reader, "RETRIES", reader.RETRIES.new(backoff_factor=0))
    assert make_real_cube.main(str(tmp_path / "real.zarr")) == 1
    said = capsys.readouterr()
    assert said.out == (
        f"No cube of real imagery: {address} cannot be reached or searched from here.\n"
    )
    assert "CatalogueError" in said.err
    assert list(tmp_path.iterdir()) == []


def test_error_half_way_is_no_success(catalogue, tmp_path, capsys):
    """When files of the last day fail after others were read, no success is reported."""
    catalogue.faults["20230820_0_L2A/B08"] = ("404", 10_000)
    with pytest.warns(SceneWarning, match="scenes set aside: 1"):
        assert make_real_cube.main(str(tmp_path / "real.zarr")) == 1
    said = capsys.readouterr()
    assert catalogue.hits["ok"] > 10
    assert said.out == "No cube of real imagery: a scene could not be read.\n"
    assert re.search(r"SceneError: S2\w+_20230820T", said.err)


def test_what_is_unexpected_is_one_line_too(monkeypatch, capsys):
    """An error that nobody foresaw ends in a line and in status 1, not in a traceback."""

    def fail(store: Path) -> str:
        raise MemoryError

    monkeypatch.setattr(make_real_cube, "make_real_cube", fail)
    assert make_real_cube.main("real.zarr") == 1
    said = capsys.readouterr()
    assert said.out == "No cube of real imagery: something unexpected failed.\n"
    assert "Traceback" not in said.err
