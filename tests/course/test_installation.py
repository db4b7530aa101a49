"""What works on this machine is said line by line, and for each ✗ what to do."""

import functools
import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import namedtuple
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import panel as pn
import psutil
import pytest
from cubes import every, random_layers, write_cube

from s2kit.course import check_installation, installation

OPTIONAL = {"kernels", "internet"}
"""What the course can do without."""

STEPS = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a small cube."""
    place = tmp_path_factory.mktemp("here") / "cube.zarr"
    return write_cube(place, random_layers(1, (STEPS, 8, 8)), every(5, STEPS))


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """Let nothing depend on the internet, where nobody listens then, or on the machine's load."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setitem(installation.APIS, "earth-search", (address, ()))
    monkeypatch.setattr(installation, "_CUBE_SECONDS", 300)  # on a machine that is busy


@pytest.fixture
def silent():
    """Return the address of a server that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def only_failure(table):
    """Return the one row that has a ✗; every other one is well or optional."""
    failed = table[table.ok == "✗"]
    assert len(failed) == 1, table.ok.to_dict()
    assert set(table.index[table.ok == "–"]) <= OPTIONAL
    return failed.iloc[0]


def test_all_is_well_here(store):
    """In the environment that runs the tests nothing fails, and nothing is to be done."""
    table = check_installation(store)
    assert isinstance(table, pd.DataFrame)
    required = table.drop(index=list(OPTIONAL))
    assert required.ok.eq("✓").all()
    assert required["what to do"].eq("").all()
    assert table.found["JPEG 2000"].startswith("JP2")
    assert table.found["cube"].startswith(f"{STEPS} dates of a pixel read in ")
    assert table.found["zarr"] == importlib.metadata.version("zarr")


@pytest.mark.parametrize(("name", "row"), [("zarr", "zarr"), ("skops", "other packages")])
@pytest.mark.parametrize("found", ["0.1", None])
def test_old_and_missing_packages_are_named(store, monkeypatch, name, row, found):
    """A package that is too old or missing has a ✗, and the command that installs it."""
    real = importlib.metadata.version

    def version(asked):
        if asked == name and found is None:
            raise importlib.metadata.PackageNotFoundError(asked)
        return found if asked == name else real(asked)

    monkeypatch.setattr(importlib.metadata, "version", version)
    failed = only_failure(check_installation(store))
    assert failed.name == row
    assert (found or "missing") in failed.found
    assert name in f"{failed.name} {failed.found}"
    assert "make setup" in failed["what to do"]


def test_old_python_is_named(store, monkeypatch):
    """A Python before 3.11 has a ✗."""
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.2")
    failed = only_failure(check_installation(store))
    assert (failed.name, failed.found, failed.needed) == ("Python", "3.10.2", "≥ 3.11")
    assert "make setup" in failed["what to do"]


def test_missing_driver_is_named(store, monkeypatch):
    """Without a driver for JPEG 2000, the package of conda-forge that has it is named."""
    monkeypatch.setattr(installation, "_JPEG2000", ())
    failed = only_failure(check_installation(store))
    assert failed.name == "JPEG 2000"
    assert "libgdal-jp2openjpeg" in failed["what to do"]


def test_little_memory_is_told(store, monkeypatch):
    """With 1 GB of free memory, other notebooks are to be shut down."""
    memory = namedtuple("Memory", "available total")(10**9, 8 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(installation, "MEMORY_LIMIT", memory.total)
    failed = only_failure(check_installation(store))
    assert failed.name == "memory"
    assert failed.found.startswith("1.0 of ")
    assert "Shut down other notebooks" in failed["what to do"]


def test_memory_of_a_container_is_what_its_processes_leave(store, monkeypatch):
    """Where less is allowed than the machine has, what runs already is taken off."""
    own = psutil.Process().memory_info()
    limit = own.rss - own.shared + 10**9
    processes = [namedtuple("Process", "info")({"memory_info": psutil.Process().memory_info()})]
    processes += [namedtuple("Process", "info")({"memory_info": None})]  # of another user
    monkeypatch.setattr(installation, "MEMORY_LIMIT", limit)
    monkeypatch.setattr(psutil, "process_iter", lambda attrs: processes)
    failed = only_failure(check_installation(store))
    assert failed.name == "memory"
    free = float(failed.found.split()[0])
    assert 0.9 <= free <= 1.1


def test_full_disk_is_told(store, monkeypatch):
    """With 0.4 GB left on the disk, files are to be removed."""
    usage = namedtuple("Usage", "free")(4 * 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    failed = only_failure(check_installation(store))
    assert (failed.name, failed.found) == ("disk", "0.4 GB free")
    assert "Remove files" in failed["what to do"]


def test_folder_that_cannot_be_written_is_told(store, monkeypatch):
    """In a folder where no file can be made, a copy of the notebooks is advised."""
    monkeypatch.chdir("/proc")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(10**10))
    failed = only_failure(check_installation(store))
    assert failed.name == "this folder"
    assert "cannot be written: " in failed.found
    assert "Copy the folder" in failed["what to do"]


def test_missing_cube_is_told(tmp_path):
    """Where there is no cube, the command and the notebook that make one are named."""
    failed = only_failure(check_installation(tmp_path / "cube.zarr"))
    assert (failed.name, failed.found) == ("cube", f"there is none at {tmp_path / 'cube.zarr'}")
    assert "make cube" in failed["what to do"]
    assert "01_build_cube" in failed["what to do"]


def test_damaged_cube_is_told(store, tmp_path):
    """A cube whose chunks are damaged opens, but its pixels cannot be read."""
    damaged = shutil.copytree(store, tmp_path / "cube.zarr")
    chunks = [path for path in (damaged / "S2/R051/B04").iterdir() if path.name[0].isdigit()]
    for chunk in chunks:
        chunk.write_bytes(b"nonsense")
    failed = only_failure(check_installation(damaged))
    assert failed.name == "cube"
    assert "Error" in failed.found
    assert "make verify" in failed["what to do"]


def test_slow_cube_is_not_waited_for(silent, monkeypatch):
    """A server that does not answer is left after the time that the cube may take, and told."""
    monkeypatch.setattr(installation, "_CUBE_SECONDS", 0.5)
    row = check_installation(f"{silent}/cube.zarr").loc["cube"]
    assert (row.found, row.ok) == ("not read within 0.5 s", "–")
    assert "copy the cube" in row["what to do"]


def test_pictures_that_cannot_be_drawn_are_told(store, monkeypatch):
    """What Panel raises is shown, and how to install what fits."""

    def fail(*args, **options):
        raise AttributeError("no such model")

    monkeypatch.setattr(pn.Column, "get_root", fail)
    failed = only_failure(check_installation(store))
    assert (failed.name, failed.found) == ("pictures, widgets", "AttributeError: no such model")
    assert "make setup" in failed["what to do"]


def test_no_internet_is_no_failure(store):
    """An address where nobody listens is told, with a –, and that nothing is to be done."""
    row = check_installation(store).loc["internet"]
    assert (row.found, row.ok) == ("not reachable", "–")
    assert row["what to do"].startswith("Nothing")


def test_internet_that_never_answers_is_not_waited_for(store, silent, monkeypatch):
    """A connection that stays silent counts as none after the seconds that it may take."""
    monkeypatch.setitem(installation.APIS, "earth-search", (silent, ()))
    monkeypatch.setattr(installation, "_INTERNET_SECONDS", 0.3)
    assert check_installation(store).ok["internet"] == "–"


@pytest.fixture
def login_page(tmp_path):
    """Return the address of a server that answers everything with a page to log in."""
    (tmp_path / "index.html").write_text("<h1>Log in</h1>")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_to_log_in_is_no_internet(store, login_page, monkeypatch):
    """A network that answers with a page of its own is not taken for the catalogue."""
    monkeypatch.setitem(installation.APIS, "earth-search", (login_page, ()))
    row = check_installation(store).loc["internet"]
    assert (row.found, row.ok) == ("another page answers in place of the catalogue", "–")


def test_a_catalogue_that_answers_is_reachable(store, stac_api, monkeypatch):
    """Where a STAC API answers, the internet is said to be reachable."""
    monkeypatch.setitem(installation.APIS, "earth-search", (stac_api([]), ()))
    row = check_installation(store).loc["internet"]
    assert (row.found, row.ok, row["what to do"]) == ("reachable", "✓", "")


def test_kernels_are_counted(tmp_path):
    """None is compiled in an empty folder of Numba's; those that were used then are counted."""
    program = (
        "import numpy as np\n"
        "from s2kit.analysis.kernels.distance import distance\n"
        "from s2kit.course.installation import _compiled\n"
        "print(_compiled()[1::3], distance(np.eye(3, dtype=bool)[None], 2)[0, 0, 1])\n"
        "print(_compiled()[1::3])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = done.stdout.splitlines()
    count = re.fullmatch(r"\('0 of (\d+) compiled', None\) 1.0", before)[1]
    assert after == f"('2 of {count} compiled', None)"
