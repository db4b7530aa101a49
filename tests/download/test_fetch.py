"""Products are downloaded whole or not at all, whatever the service and the connection do."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import keyring
import pytest
from download.copernicus import PASSWORD, USER, serving

import s2kit
from s2kit.download import connections
from s2kit.download.fetch import fetch_products
from s2kit.download.service import COPERNICUS, Service
from s2kit.errors import DownloadError, InvalidInputError, SceneWarning

NAME = "S2A_MSIL2A_20220520T105031_N0400_R051_T31UFT_20220520T134028"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return what lies below a folder, hidden files left out: files with their content."""
    paths = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*"))}
    shown = {name: path for name, path in paths.items() if not name.startswith(".")}
    return {name: None if path.is_dir() else path.read_bytes() for name, path in shown.items()}


def fetch(server, items, archive, **options):
    """Download from the stand-in."""
    return fetch_products(items, archive, service=server.service, progress=False, **options)


def only(items, name=NAME):
    """Return the item of one product."""
    return [item for item in items if item.id == name]


def test_products_become_the_same_cube(server, items, published, tmp_path):
    """Search, download and build: the archive and the cube are those of the products themselves."""
    archive = tmp_path / "archive"
    report = fetch(server, items, archive)
    assert set(report.fetched) == {item.id for item in items}
    assert not report.failed and not report.present
    assert tree(archive) == tree(published)
    files = [path for path in published.rglob("*") if path.is_file()]
    assert report.size == sum(p.stat().st_size for p in files if p.name != "manifest.safe")
    found = s2kit.find_scenes(archive, "delft", "2021", "2023")
    for source, store in ((items, "from.zarr"), (found, "to.zarr")):
        s2kit.build_cube(source, tmp_path / store, "delft", progress=False, resolution=60)
    assert tree(tmp_path / "to.zarr") == tree(tmp_path / "from.zarr")


def test_repeating_asks_for_nothing(server, items, tmp_path):
    """Where all is there, the service is not asked."""
    fetch(server, items, tmp_path)
    server.asked.clear()
    report = fetch(server, items, tmp_path)
    assert len(report.present) == len(items) and not report.fetched and report.size == 0
    assert not server.asked


def test_only_some_bands(server, items, tmp_path):
    """Files of the bands and metadata only; more bands later add only what is missing."""
    report = fetch(server, only(items), tmp_path, bands=["B04", "SCL"])
    names = {path.name for path in tmp_path.rglob("*.jp2")}
    assert {name.split("_")[-2] for name in names} == {"B04", "SCL"}
    (found,) = s2kit.find_scenes(tmp_path, "delft", "2022", "2022")
    assert set(found.assets) == {"B04", "SCL"}
    before = report.size
    server.asked.clear()
    report = fetch(server, only(items), tmp_path, bands=["B04", "B08"])
    assert [path for path in server.asked if "IMG_DATA" in path and "B08" not in path] == []
    assert 0 < report.size < before
    (found,) = s2kit.find_scenes(tmp_path, "delft", "2022", "2022")
    assert set(found.assets) == {"B04", "B08", "SCL"}
    fetch(server, only(items), tmp_path)
    (found,) = s2kit.find_scenes(tmp_path, "delft", "2022", "2022")
    assert set(found.assets) == set(only(items)[0].assets)


@pytest.mark.parametrize(
    ("part", "kind", "times"),
    [
        ("B04", "cut", 3),
        ("IMG_DATA", "cut", 20),
        ("MTD_TL", "cut", 2),
        ("manifest", "cut", 2),
        ("B03", "corrupt", 1),
        ("manifest", "corrupt", 0),
        ("/Products", "500", 4),
        ("/Products", "503", 4),
        ("B08", "busy", 1),
        ("Products?", "busy", 1),
        ("/token", "busy", 1),
        ("/token", "502", 2),
        ("B02", "json", 2),
        ("B02", "redirect", 2),
        ("B11", "more", 1),
        ("B04", "forget", 1),
    ],
)
def test_same_bytes_in_the_end(server, items, published, tmp_path, part, kind, times):
    """Whatever fails now and then, the product is the one that is published."""
    server.faults = [(part, kind, times)]
    report = fetch(server, only(items), tmp_path)
    assert report.fetched == (NAME,)
    assert server.hits[kind] == times
    assert tree(tmp_path / f"{NAME}.SAFE") == tree(published / f"{NAME}.SAFE")


@pytest.mark.parametrize("kind", ["ignore range", "416", "cut"])
def test_rest_of_a_file(server, items, published, tmp_path, kind):
    """What arrived is continued; where the server refuses that, the file begins anew."""
    server.faults = [("B05", "cut", 1), ("B05", kind, 1)]
    fetch(server, only(items), tmp_path)
    assert server.hits[kind] >= 1
    assert tree(tmp_path / f"{NAME}.SAFE") == tree(published / f"{NAME}.SAFE")


@pytest.mark.parametrize("kind", ["slow", "stall"])
def test_connections_that_starve(server, items, published, tmp_path, monkeypatch, kind):
    """A connection that brings nothing, or a byte now and then, is given up."""
    monkeypatch.setattr(connections, "_SLOWEST", (10_000, 0.5))
    monkeypatch.setattr(connections, "_TIMEOUT", (1.0, 0.5))
    server.faults = [("B02", kind, 2)]
    fetch(server, only(items), tmp_path)
    assert server.hits[kind] == 2
    assert tree(tmp_path / f"{NAME}.SAFE") == tree(published / f"{NAME}.SAFE")


def test_tokens_end_while_files_arrive(server, items, published, tmp_path):
    """Tokens are renewed, and the account logs in once; also where even renewal has ended."""
    server.lifetime = 4.0
    server.delay = 0.4
    fetch(server, items, tmp_path / "renewed")
    assert server.logins["refresh_token"] >= 2 and server.logins["password"] == 1
    server.refresh_lifetime = 0.1
    fetch(server, items, tmp_path / "anew")
    assert server.logins["password"] >= 3
    for name in ("renewed", "anew"):
        assert tree(tmp_path / name) == tree(published)


def two_hosts(server, other):
    """Return a service whose token and catalogue are on another host than its files."""
    other.tokens, other.refreshers = server.tokens, server.refreshers
    return Service(other.service.token, other.service.catalogue, server.service.download)


def test_four_connections(server, items, published, tmp_path):
    """The server counts them: never a fifth, and each serves many files."""
    server.delay = 0.05
    with serving(published) as other:
        fetch_products(items, tmp_path, service=two_hosts(server, other), progress=False)
    assert server.most_open == server.opened == 4
    assert len(server.asked) > 40


def test_the_token_stays_at_home(server, items, published, tmp_path):
    """It goes to the hosts that give the files, and neither to the catalogue nor to others."""
    server.faults = [("B04", "elsewhere", 1)]
    with serving(published) as other, serving(published) as third:
        server.location = f"{third.url}/download/x"
        with pytest.raises(DownloadError, match="none of the hosts that get the token"):
            fetch_products(only(items), tmp_path, service=two_hosts(server, other), progress=False)
        assert set(other.headers) | set(third.headers) == {""}
    assert any(header.startswith("Bearer ") for header in server.headers)
    assert server.logins == {} and other.logins["refresh_token"] == 0
    assert not COPERNICUS.is_trusted("http://zipper.dataspace.copernicus.eu/x")
    assert not COPERNICUS.is_trusted("https://zipper.dataspace.copernicus.eu.example.org/x")
    assert COPERNICUS.is_trusted("https://zipper.dataspace.copernicus.eu/x")


@pytest.mark.parametrize("location", ["http://[::1", "ftp://example.org/x", "file:///etc/passwd"])
def test_redirects_to_nowhere(server, items, tmp_path, location):
    """They fail the product, and nothing but http is asked."""
    server.faults, server.location = [("B04", "elsewhere", 99)], location
    with pytest.warns(SceneWarning, match="the server leads to"):
        assert fetch(server, only(items), tmp_path).fetched == ()


def test_a_file_that_never_gets_further(server, items, tmp_path):
    """A server that ignores ranges and cuts now early, now late, is given up."""
    server.faults = [("B04", "from the start", 99)]
    with pytest.warns(SceneWarning, match="ends early, after 6 attempts"):
        fetch(server, only(items), tmp_path)
    assert server.hits["from the start"] < 20


def test_a_page_is_no_part_of_a_file(server, items, published, tmp_path):
    """What came without a length and ended early is not continued."""
    server.faults = [("B04", "cut page", 2)]
    fetch(server, only(items), tmp_path)
    assert tree(tmp_path / f"{NAME}.SAFE") == tree(published / f"{NAME}.SAFE")
    assert sum(n for path, n in server.asked.items() if "B04" in path) == 3


def test_what_others_put_there_is_read(server, items, published, tmp_path):
    """A file of the right size with other bytes, or a damaged manifest, is downloaded anew."""
    there = tmp_path / f"{NAME}.SAFE"
    shutil.copytree(published / there.name, there)
    band = next(there.rglob("*B04*.jp2"))
    band.write_bytes(bytes(band.stat().st_size))
    manifest = there / "manifest.safe"
    manifest.write_bytes(manifest.read_bytes()[:500])
    assert fetch(server, only(items), tmp_path).fetched == (NAME,)
    assert tree(there) == tree(published / there.name)


def test_archive_that_is_whole_is_only_read(server, items, published):
    """Where nothing is missing, nothing is written, and no account is needed."""
    before = sorted(published.iterdir())
    assert len(fetch(server, items, published).present) == len(items)
    assert sorted(published.iterdir()) == before


def test_certificates_are_no_fault_of_the_archive(server, items, tmp_path, monkeypatch):
    """An error of the connection that is an OSError says so."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    secure = Service(*[f"https://127.0.0.1:{server.server_port}/x"] * 3)
    with pytest.raises(DownloadError, match="no connection can be made"):
        fetch_products(items, tmp_path / "archive", service=secure, progress=False)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (("B04", "404", 99), "no longer there"),
        (("B04", "corrupt", 99), "another checksum than its manifest"),
        (("manifest", "404", 99), "no longer there"),
        (("manifest", "json", 99), "manifest.safe cannot be read"),
    ],
)
def test_one_product_fails(server, items, published, tmp_path, fault, reason):
    """It is named with the reason, and nothing of it is taken for a product; the next is had."""
    part, kind, times = fault
    tile = "_T31UFT_20220520T134028"
    server.faults = [(f"{tile}.SAFE)", kind, times)] if part == "manifest" else []
    server.faults += [(part, kind, times)] if part != "manifest" else []
    both = [item for item in items if "20220520T105031" in item.id]
    with pytest.warns(SceneWarning, match=re.escape(reason)):
        report = fetch(server, both, tmp_path)
    assert any(reason in why for why in report.failed.values())
    assert all(not (tmp_path / f"{name}.SAFE").exists() for name in report.failed)
    server.faults = []
    again = fetch(server, both, tmp_path)
    assert set(again.fetched) == set(report.failed)
    for item in both:
        assert tree(tmp_path / f"{item.id}.SAFE") == tree(published / f"{item.id}.SAFE")


def test_withdrawn_product(server, items, tmp_path):
    """A product that the catalogue no longer has is named; the others are had."""
    server.withdrawn = {f"{NAME}.SAFE"}
    with pytest.warns(SceneWarning, match="no product of this name"):
        report = fetch(server, items, tmp_path)
    assert set(report.failed) == {NAME} and len(report.fetched) == len(items) - 1


def test_quota_is_used_up(server, items, published, tmp_path):
    """The run ends with what to do, keeps what has arrived, and goes on from there later."""
    server.faults = [("B8A", "403", 9)]
    with pytest.raises(DownloadError, match=r"quota may be used up.*kept"):
        fetch(server, items, tmp_path)
    server.faults = []
    server.asked.clear()
    fetch(server, items, tmp_path)
    assert tree(tmp_path) == tree(published)
    assert sum("IMG_DATA" in path for path in server.asked) < 12 * len(items)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"CDSE_PASSWORD": "wrong"}, "refused to log in.*Invalid user credentials.*CDSE_TOTP"),
        ({"CDSE_PASSWORD": ""}, "no account for 127.0.0.1.*keyring set"),
        ({"CDSE_USERNAME": ""}, "CDSE_USERNAME is not set"),
        ({"CDSE_USERNAME": "", "CDSE_PASSWORD": ""}, "no account for 127.0.0.1.*netrc"),
    ],
)
def test_accounts_that_are_refused(server, items, tmp_path, monkeypatch, variables, reason):
    """The error says what to do, and not the password; nothing is in the archive."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DownloadError, match=reason) as caught:
        fetch(server, items, tmp_path)
    assert PASSWORD not in str(caught.value) and "wrong" not in str(caught.value)
    assert tree(tmp_path) == {}


def test_second_factor(server, items, tmp_path, monkeypatch):
    """An account with a second factor needs its code."""
    server.totp = "123456"
    with pytest.raises(DownloadError, match="CDSE_TOTP"):
        fetch(server, only(items), tmp_path)
    monkeypatch.setenv("CDSE_TOTP", "123456")
    assert fetch(server, only(items), tmp_path).fetched == (NAME,)


def test_account_in_netrc(server, items, tmp_path, monkeypatch):
    """The account is found there, and files are asked for with the token, not with the login."""
    for name in ("CDSE_USERNAME", "CDSE_PASSWORD"):
        monkeypatch.delenv(name)
    file = tmp_path / "netrc"
    file.write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert fetch(server, only(items), tmp_path / "archive").fetched == (NAME,)


class Ring(keyring.backend.KeyringBackend):
    """A keyring that knows one account, as that of a system does."""

    priority = 1

    def get_password(self, service, username):
        """Return the password of the account."""
        return PASSWORD if (service, username) == ("127.0.0.1", USER) else None

    def set_password(self, service, username, password):
        """Refuse to store anything."""
        raise keyring.errors.PasswordSetError


def test_account_in_a_keyring(server, items, tmp_path, monkeypatch):
    """The password is found under the host and the name; another name has none."""
    monkeypatch.delenv("CDSE_PASSWORD")
    monkeypatch.setattr(keyring.core, "_keyring_backend", Ring())
    assert fetch(server, only(items), tmp_path / "one").fetched == (NAME,)
    monkeypatch.setenv("CDSE_USERNAME", "somebody")
    with pytest.raises(DownloadError, match=r"no account for 127\.0\.0\.1"):
        fetch(server, only(items), tmp_path / "another")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("machine 127.0.0.1 login a@b password secret horse-battery", "cannot be read at line"),
        ("default login anonymous password horse-battery", "no account for 127.0.0.1"),
    ],
)
def test_netrc_that_does_not_help(server, items, tmp_path, monkeypatch, content, reason):
    """The error holds no part of a password, and no password of other hosts is sent."""
    for name in ("CDSE_USERNAME", "CDSE_PASSWORD"):
        monkeypatch.delenv(name)
    (tmp_path / "netrc").write_text(content)
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(DownloadError, match=reason) as caught:
        fetch(server, items, tmp_path / "archive")
    shown = "".join(traceback.format_exception(caught.value))
    assert "horse" not in shown and not server.logins


def test_nothing_keeps_the_password(server, items, tmp_path, capfd):
    """Neither the archive nor what is printed holds the password or a token."""
    server.faults = [("B04", "404", 99)]
    with pytest.warns(SceneWarning):
        report = fetch_products(only(items), tmp_path, service=server.service)
    said = "".join(capfd.readouterr()) + repr(report) + str(report)
    kept = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    for secret in (PASSWORD, *server.tokens, *server.refreshers):
        assert secret not in said and not any(secret.encode() in content for content in kept)


def test_server_that_is_not_there(server, items, tmp_path):
    """A service that cannot be reached is an error at once."""
    gone = Service(*["http://127.0.0.1:9/x"] * 3)
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch_products(items, tmp_path, service=gone, progress=False)


def test_two_downloads_into_one_folder(server, items, tmp_path):
    """The second is refused, the first goes on."""
    server.delay = 0.1
    first = threading.Thread(target=fetch, args=(server, items, tmp_path))
    first.start()
    while not server.asked:
        time.sleep(0.01)
    with pytest.raises(DownloadError, match="another download is at work"):
        fetch(server, items, tmp_path)
    first.join()
    assert len(fetch(server, items, tmp_path).present) == len(items)


@pytest.mark.parametrize(
    ("given", "bands", "match"),
    [
        ([], None, "no scenes"),
        (["S2A"], None, "pass what s2kit.find_scenes returns"),
        ("items", ["B99"], "accepted are B02"),
        ("items", [], "accepted are B02"),
        ("items", 4, "accepted are B02"),
    ],
)
def test_wrong_arguments(server, items, tmp_path, given, bands, match):
    """They are named before anything is written."""
    given = items if given == "items" else given
    with pytest.raises(InvalidInputError, match=match):
        fetch(server, given, tmp_path / "archive", bands=bands)
    assert not (tmp_path / "archive").exists()


def test_product_without_its_manifest(server, items, published, tmp_path):
    """A product that something else put there is completed, not downloaded anew."""
    there = tmp_path / f"{NAME}.SAFE"
    shutil.copytree(published / there.name, there)
    lost = [next(there.rglob(f"*{layer}*.jp2")) for layer in ("B04", "SCL")]
    for path in (there / "manifest.safe", *lost):
        path.unlink()
    server.asked.clear()
    report = fetch(server, only(items), tmp_path)
    assert report.fetched == (NAME,)
    assert sum("IMG_DATA" in path for path in server.asked) == 2
    assert tree(there) == tree(published / there.name)


@pytest.mark.parametrize("archive", ["s3://bucket/archive", "", None, 5])
def test_archives_that_are_no_folder(server, items, archive):
    """They are named, and no folder is made of an address."""
    with pytest.raises(InvalidInputError, match="no folder on a disk"):
        fetch(server, items, archive)


@pytest.mark.faults
def test_disk_runs_full(server, items, published, mount):
    """Before a product that does not fit, and in the middle of a file: what is there is kept."""
    disk = mount("size=3m")
    with pytest.raises(DownloadError, match=r"cannot be written.*is kept; make space"):
        fetch(server, items, disk / "archive")
    assert 1 <= len(list((disk / "archive").glob("*.SAFE"))) < len(items)
    for name, content in tree(disk / "archive").items():
        assert content == tree(published)[name]
    filler = disk / "filler"
    shutil.rmtree(disk / "archive")
    server.faults = [("B05", "fill", 1)]
    server.fill = lambda: fill(filler)
    with pytest.raises(DownloadError, match=r"cannot be written.*is kept; make space"):
        fetch(server, only(items), disk / "archive")
    assert not list((disk / "archive").glob("*.SAFE"))
    filler.unlink()
    assert fetch(server, only(items), disk / "archive").fetched == (NAME,)
    assert tree(disk / "archive" / f"{NAME}.SAFE") == tree(published / f"{NAME}.SAFE")


def fill(file):
    """Write until nothing more fits."""
    with file.open("wb", buffering=0) as opened, contextlib.suppress(OSError):
        while opened.write(bytes(4096)):
            pass


SCRIPT = """
import sys
from s2kit.download.service import Service
from s2kit.download.fetch import fetch_products
from s2kit.download.service import COPERNICUS, Service
import s2kit
items = s2kit.find_scenes(sys.argv[1], "delft", "2021", "2023")
print("begins", flush=True)
fetch_products(items, sys.argv[2], service=Service(*sys.argv[3:6]), progress=False)
"""


@pytest.mark.faults
@pytest.mark.parametrize("moment", [n * 0.07 for n in range(20)])
def test_killed_at_any_moment(server, published, tmp_path, moment):
    """Whatever stands in the archive is whole, and the next run makes it complete."""
    server.delay = 0.02
    service = server.service
    addresses = [service.token, service.catalogue, service.download]
    command = [sys.executable, "-c", SCRIPT, published, tmp_path / "archive", *addresses]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begins\n"
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
    archive, whole = tmp_path / "archive", tree(published)
    there = tree(archive) if archive.exists() else {}
    assert {name: whole[name] for name in there} == there
    for name in {name.split("/")[0] for name in there}:
        assert tree(archive / name) == tree(published / name)
    items = s2kit.find_scenes(published, "delft", "2021", "2023")
    fetch(server, items, archive)
    assert tree(archive) == whole
