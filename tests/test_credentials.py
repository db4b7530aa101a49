"""Passwords, tokens and signatures in addresses are in no text that people read."""

import copy
import json
import logging
import pickle
import string
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from urllib.parse import quote

import fsspec
import pystac
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import s2kit
from s2kit.credentials import clean_warnings, shown_cause, without_credentials
from s2kit.cube.report import BuildReport
from s2kit.cube.storage import open_store
from s2kit.errors import CatalogueError, CubeError, InvalidInputError, SceneError, SceneWarning

AOI = (4.4606, 52.0618, 4.4746, 52.0703)
PLACE = "http://user:SECRETPW@127.0.0.1:9/{}?sig=SECRETSIG#SECRETPART"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:SECRET@host/a.tif?sig=SECRET", "http://host/a.tif"),
        ("https://SECRET@host:8080/a", "https://host:8080/a"),
        ("(https://host/a?SECRET).", "(https://host/a)."),
        ("'s3://KEY:SEC/RET+=@bucket/a' is", "'s3://bucket/a' is"),
        ("http://user:SEC?RET#x@host/a", "http://host/a"),
        ("http://user:SEC RET@host/a cannot", "http://host/a cannot"),
        ("'http://host/a?sig=SEC RET' cannot", "'http://host/a' cannot"),
        ("http://host/a#access_token=SECRET", "http://host/a"),
        (
            'ZARR:"/vsicurl/https://host/a.zarr?sig=SECRET":/B04',
            'ZARR:"/vsicurl/https://host/a.zarr":/B04',
        ),
        (
            "/vsicurl?pc_url_signing=yes&url=http%3A%2F%2Fu%3ASECRET%40host%2Fa",
            "/vsicurl/http://host/a",
        ),
        ("at http%3A%2F%2Fu%3ASECRET%40host%2Fa%3Fsig%3DSECRET now", "at http://host/a now"),
        ("http:/user:SECRET@host/a?sig=SECRET", "http:/host/a"),
        ("exceeded with url: /c.json?SECRET (Caused by", "exceeded with url: /c.json (Caused by"),
        ('"GET /c.zarr/.zattrs?sig=SECRET HTTP/1.1" 403', '"GET /c.zarr/.zattrs HTTP/1.1" 403'),
        ('Invalid bucket name "KEY:SECRET@bucket"', 'Invalid bucket name "bucket"'),
        ("AccountName=me;AccountKey=SECRET;x", "AccountName=me;AccountKey=…;x"),
        ("X-Amz-Signature=SECRET&a=1", "X-Amz-Signature=…&a=1"),
        ("{'Authorization': 'Basic SECRET'}", "{'Authorization': '…'}"),
        ("{'sig': 'SECRET', 'se': '2030'}", "{'sig': '…', 'se': '2030'}"),
        ('"access_token": "SECRET1"', '"access_token": "…"'),
        ("Bearer SECRET1 is refused", "Bearer …"),
        ("http://a/x?k=SECRET and ftp://b:SECRET@c/y", "http://a/x and ftp://c/y"),
    ],
)
def test_credentials_are_cut(text, shown):
    """Whatever the form of an address, its place is shown and its credentials are not."""
    assert without_credentials(text) == shown
    assert "SECRET" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "http://[::1]:8080/a/b.tif cannot be read",
        "http://host:8080/packages/name@v1/x.json",
        "s3://bucket/cube.zarr is not a cube; is it elsewhere? Give its place = that folder",
        "C:/Users/me@work/cube.zarr, D:\\me@work\\x",
        "data/S2?_*.SAFE, /home/me:x/you@work",
        'fields.set_crs("EPSG:4326", allow_override=True)',
        "urn:ogc:def:crs:EPSG::4326",
        "aoi=(4.1, 52.0) is not in degrees. The order is (west, south, east, north).",
        "at 10:50 T31UFT, design=3, seed=1",
    ],
)
def test_other_text_stays(text):
    """What holds no credentials is left as it is, to the letter."""
    assert without_credentials(text) == text


_PART = st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=", min_size=1, max_size=12)


@given(
    scheme=st.sampled_from(["http", "HTTPS", "s3", "gs", "ftp", "abfs"]),
    user=_PART,
    secret=st.text(string.ascii_uppercase, min_size=8, max_size=12),
    more=_PART,
    around=st.sampled_from(["{}", "'{}'", '"{}"', "({})", "at {} now", "\n{}\n", "/vsicurl/{}"]),
)
def test_no_form_of_address_shows_a_secret(scheme, user, secret, more, around):
    """User information, query and fragment of RFC 3986 are cut, once and for all."""
    secret = f"QX{secret}"
    for address in (
        f"{scheme}://{user}:{more}{secret}@host.example/cube.zarr",
        f"{scheme}://{secret}@host.example/cube.zarr",
        f"{scheme}://host.example/cube.zarr?{more}{secret}",
        f"{scheme}://host.example/cube.zarr?a=1&{more}={quote(more)}{secret}",
        f"{scheme}://{user}:{secret}@host.example/cube.zarr?x={secret}#{more}{secret}",
    ):
        quoted = address.replace("'", "%27") if around == "'{}'" else address
        told = without_credentials(around.format(quoted))
        assert secret not in told
        assert "host.example/cube.zarr" in told
        assert without_credentials(told) == told


@given(st.text(max_size=200))
def test_any_text_can_be_cleaned(text):
    """Cleaning ends, whatever the text."""
    assert isinstance(without_credentials(text), str)


def test_long_texts_take_no_time():
    """What a server answers may be long, and of one kind of sign."""
    for sign in ("a.", "?", "http://", "'http://a", "a:", "token", "%3A%2F%2F", "a:b@"):
        text = sign * 20_000
        assert len(without_credentials(text)) <= len(text)


@pytest.mark.parametrize("kind", [CatalogueError, CubeError, InvalidInputError, SceneWarning])
def test_errors_and_warnings_are_cleaned_as_they_are_made(kind):
    """No message has to be cleaned by who raises it, also in copies and other processes."""
    error = kind(f"{PLACE.format('a')} cannot be read")
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(one) == "http://127.0.0.1:9/a cannot be read"
        assert "SECRET" not in repr(one)


def test_scene_errors_are_cleaned():
    """Both parts of a scene's error are."""
    error = pickle.loads(pickle.dumps(SceneError(PLACE.format("a"), f"no {PLACE.format('b')}")))
    assert (error.scene, error.reason) == ("http://127.0.0.1:9/a", "no http://127.0.0.1:9/b")
    assert "SECRET" not in str(error) + repr(error)


def test_report_is_cleaned():
    """A report is shown whole, in words and as its parts."""
    reasons = {"scene": f"no {PLACE.format('a')}"}
    report = BuildReport(PLACE.format("c"), {}, {}, reasons, reasons, (PLACE.format("d"),), reasons)
    assert "SECRET" not in str(report) + repr(report) + str(report.failed)
    assert report.store == "http://127.0.0.1:9/c"
    assert BuildReport("run:3/me@work.zarr").store == "run:3/me@work.zarr"


def test_a_cause_is_shown_if_it_may_be():
    """A cause that holds credentials, also in what it came from, is not shown."""
    assert isinstance(shown_cause(OSError("no space")), OSError)
    assert shown_cause(OSError(f"no {PLACE.format('a')}")) is None
    try:
        try:
            raise OSError(PLACE.format("a"))
        except OSError as error:
            raise ValueError("it failed") from error
    except ValueError as error:
        assert shown_cause(error) is None


def test_warnings_of_libraries_are_cleaned():
    """They are given on, by their kind and without credentials."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with clean_warnings():
            warnings.warn(f"no {PLACE.format('a')}", RuntimeWarning, stacklevel=1)
    assert [(w.category, str(w.message)) for w in caught] == [
        (RuntimeWarning, "no http://127.0.0.1:9/a")
    ]


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "rasterio._env", "s2kit.viewers.page"])
def test_logs_of_libraries_are_cleaned(name, caplog):
    """Lines of the libraries that ask servers, and errors that are logged, hold no credentials."""
    try:
        raise OSError(PLACE.format("b"))
    except OSError as error:
        logging.getLogger(name).error("retrying %s", PLACE.format("a"), exc_info=error)
    assert "retrying http://127.0.0.1:9/a" in caplog.text
    assert "SECRET" not in caplog.text


def test_items_keep_addresses_but_not_in_words():
    """An href stays whole, or it would not work; notes and reasons are cleaned."""
    name = "S2A_MSIL2A_20230601T105031_N0509_R051_T31UFT_20230601T135031"
    asset = {"href": PLACE.format("B04.tif"), "raster:scale": 1e-4, "raster:offset": 0}
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "geometry": None,
        "links": [],
        "properties": {"datetime": "2023-06-01T10:50:31Z", "s2kit:notes": [PLACE.format("n")]},
        "assets": {"B04": asset, "SCL": {"href": "file://user:SECRETPW@host/SCL.tif"}},
    }
    made = s2kit.scenes.stac.StacScene(item, "/items.json").item()
    assert made.assets["B04"].href == PLACE.format("B04.tif")
    assert made.properties["s2kit:notes"] == ["http://127.0.0.1:9/n"]
    assert "SECRET" not in str(made.properties)
    assert isinstance(made, pystac.Item)


CALLS = (
    "find_scenes(place, aoi, '2023', '2023')",
    "open_cube(place)",
    "open_cube('s3://KEY:SECRETPW@bucket/c.zarr')",
    "build_cube([], place, aoi)",
    "read_fields(place, cube)",
    "align_raster(place, cube)",
    "write_result(cube, place)",
    "load_model(place)",
    "save_table(pd.DataFrame({'a': [1]}), place + '.csv')",
    "find_scenes('sample', place, '2023', '2023')",
)

_SCRIPT = f"""
import logging, traceback
logging.basicConfig(level="WARNING")
import numpy as np, pandas as pd, rioxarray, urllib3, xarray as xr
import s2kit, s2kit.scenes.reader
s2kit.scenes.reader.RETRIES = urllib3.Retry(total=1, backoff_factor=0)
aoi, place = {AOI}, {PLACE.format("c.zarr")!r}
cube = xr.DataArray(np.ones((2, 2)), dict(y=[15., 5.], x=[5., 15.]), ("y", "x"))
cube = cube.rio.write_crs(32631)
for call in {CALLS}:
    try:
        eval("s2kit." + call)
    except s2kit.errors.S2KitError:
        traceback.print_exc()
        print("refused")
"""


def test_nothing_of_a_process_shows_credentials(tmp_path):
    """Neither errors and what they came from, nor warnings and logs, as a terminal shows them."""
    settings = {
        "PYTHONPATH": str(Path(s2kit.__file__).parents[1]),
        "PATH": "",
        "HOME": str(tmp_path),
        "GDAL_HTTP_MAX_RETRY": "1",
        "GDAL_HTTP_RETRY_DELAY": "0.1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=tmp_path,
        env=settings,
        text=True,
        timeout=300,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.stdout.splitlines().count("refused") == len(CALLS), done.stdout
    assert [line for line in done.stdout.splitlines() if "SECRET" in line] == []


def test_tracebacks_of_causes_are_not_followed(monkeypatch):
    """In Python too, what is formatted of an error lacks the credentials of its cause."""
    monkeypatch.setattr("s2kit.scenes.reader.RETRIES", 0)

    def fail(*_, **__):
        raise requests.ConnectionError(f"no {PLACE.format('a')}")

    monkeypatch.setattr(requests.Session, "request", fail)
    with pytest.raises(CatalogueError) as caught:
        s2kit.find_scenes(PLACE.format("catalog.json"), AOI, "2023", "2023")
    shown = "".join(traceback.format_exception(caught.value))
    assert "ConnectionError" not in shown and "SECRET" not in shown
    assert "http://127.0.0.1:9/catalog.json cannot be read" in shown


def test_links_to_other_computers_are_an_error_of_the_kit(tmp_path):
    """A next page that lies on another computer is named, without its credentials."""
    links = [{"rel": "next", "href": "file://user:SECRETPW@host/next.json"}]
    page = {"type": "FeatureCollection", "features": [], "links": links}
    (tmp_path / "items.json").write_text(json.dumps(page))
    with pytest.raises(CatalogueError, match="lies on the computer host") as caught:
        s2kit.find_scenes(tmp_path / "items.json", AOI, "2023", "2023")
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_secrets_of_a_storage_stay_in_their_process(monkeypatch):
    """A store goes to the workers of a cluster by its address: they have their own access."""
    monkeypatch.setitem(fsspec.config.conf, "s3", {"key": "me", "secret": "top-secret"})
    for url in ("s3://bucket/cube.zarr", "http://127.0.0.1:9/cube.zarr?sig=1", "data/cube.zarr"):
        sent = pickle.dumps(open_store(url))
        assert b"top-secret" not in sent
        again = pickle.loads(sent)
        assert again.path("x") == open_store(url).path("x")
