"""Products to download, a service that gives them, and an account."""

import pytest
from download.copernicus import PASSWORD, USER, copy_products, serving

import s2kit
from s2kit.download import connections

DAYS = ("20220520T105031", "20230306T105031")
"""One with the offset of baseline 04.00 and one of 05.09, two tiles each."""


@pytest.fixture(scope="session")
def published(practice_scenes, tmp_path_factory):
    """Return the folder of four products, as they are published."""
    folder = tmp_path_factory.mktemp("published")
    names = [p.name for p in (practice_scenes / "scenes").iterdir() if p.name[11:26] in DAYS]
    copy_products(practice_scenes / "scenes", folder, sorted(names))
    return folder


@pytest.fixture(scope="session")
def items(published):
    """Return the items of these products."""
    return s2kit.find_scenes(published, "delft", "2021", "2023")


@pytest.fixture
def server(published):
    """Return a service that gives these products."""
    with serving(published) as running:
        yield running


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """Set the account in the environment; nothing is asked of the machine's own files."""
    monkeypatch.setenv("CDSE_USERNAME", USER)
    monkeypatch.setenv("CDSE_PASSWORD", PASSWORD)
    monkeypatch.delenv("CDSE_TOTP", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Wait less between attempts."""
    monkeypatch.setattr(connections, "_backoff", lambda attempt: 0.01 * attempt)
