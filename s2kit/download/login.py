"""Log in to a service: find the account, and keep an access token that is valid."""

from __future__ import annotations

import importlib.util
import math
import netrc
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from s2kit.bounds import parse_json
from s2kit.credentials import shown_cause
from s2kit.download.service import Service
from s2kit.errors import DownloadError

_EARLY = 30
"""Seconds before its end at which a token is renewed."""

_VARIABLES = ("CDSE_USERNAME", "CDSE_PASSWORD")
_SECOND_FACTOR = "CDSE_TOTP"


class Account(NamedTuple):
    """User name, password, and the code of a second factor if the account has one."""

    user: str
    password: str
    code: str | None

    def __repr__(self) -> str:
        return f"Account({self.user!r})"


def read_account(host: str) -> Account:
    """Find the account: in the environment, in ``~/.netrc``, or in the system's keyring.

    Parameters
    ----------
    host : str
        Host of the token service; the name of the entry in ``.netrc`` and keyring.

    Raises
    ------
    DownloadError
        If there is none, or ``.netrc`` cannot be read.
    """
    code = os.environ.get(_SECOND_FACTOR) or None
    user, password = (os.environ.get(name) for name in _VARIABLES)
    if user and password:
        return Account(user, password, code)
    if password:
        raise DownloadError(f"the environment variable {_VARIABLES[0]} is not set; set both")
    found = _from_netrc(host, user) or _from_keyring(host, user)
    if found is None:
        raise DownloadError(
            f"no account for {host}. Set the environment variables {' and '.join(_VARIABLES)}, or "
            f"write the line `machine {host} login USER password PASSWORD` into ~/.netrc (what "
            f"holds spaces in quotes), or store it by `keyring set {host} USER` and set "
            f"{_VARIABLES[0]}. Accounts are free: https://dataspace.copernicus.eu"
        )
    return Account(*found, code)


def _from_netrc(host: str, user: str | None) -> tuple[str, str] | None:
    try:
        entries = netrc.netrc(os.environ.get("NETRC")).hosts
    except FileNotFoundError:
        return None
    except netrc.NetrcParseError as error:  # its message may hold a part of a password
        raise DownloadError(
            f"{error.filename} cannot be read at line {error.lineno}; a password with spaces "
            "stands in quotes, and others may not read the file (chmod 600)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DownloadError(f".netrc cannot be read ({error})") from shown_cause(error)
    name, _, password = entries.get(host) or ("", "", "")  # not that of `default`
    return (name, password) if name and password and user in (None, "", name) else None


def _from_keyring(host: str, user: str | None) -> tuple[str, str] | None:
    if importlib.util.find_spec("keyring") is None:
        return None
    import keyring

    try:
        found = keyring.get_credential(host, user or None)  # some keyrings need the name
    except keyring.errors.KeyringError:  # no keyring runs here
        return None
    return (found.username, found.password) if found else None


class Login:
    """The access token of one account, renewed before it ends; safe to use from many threads.

    Parameters
    ----------
    service : Service
    post : callable
        ``(url, form) -> (status, body)``: sends a form.
    """

    def __init__(self, service: Service, post: Callable[[str, dict[str, str]], tuple[int, bytes]]):
        self._service, self._post = service, post
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0
        self._refresh, self._refresh_until = "", 0.0

    def token(self, refused: str | None = None) -> str:
        """Return a valid token.

        Parameters
        ----------
        refused : str, optional
            A token that the service has refused; another one is returned.

        Raises
        ------
        DownloadError
            If there is no account, or it is refused.
        """
        with self._lock:
            if self._token and self._token != refused and time.monotonic() < self._until:
                return self._token
            if not (self._refresh and time.monotonic() < self._refresh_until and self._renew()):
                self._log_in()
            return self._token

    def _renew(self) -> bool:
        """Ask for a new token without a new session; return False if the old one has ended."""
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh}
        status, body = self._ask(form)
        if status not in (200, 400, 401):
            raise DownloadError(f"{self._service.identity} renews no token now ({status})")
        return status == 200 and self._keep(body)

    def _log_in(self) -> None:
        account = read_account(self._service.identity)
        form = {"grant_type": "password", "username": account.user, "password": account.password}
        status, body = self._ask(form | ({"totp": account.code} if account.code else {}))
        if status == 200 and self._keep(body):
            return
        said = _json(body)
        reason = said.get("error_description") or said.get("error") or "it gave no token"
        raise DownloadError(
            f"{self._service.identity} refused to log in {account.user!r} ({status}: "
            f"{reason!s:.200}). Check user name and password; where the account has a second "
            f"factor, set {_SECOND_FACTOR} to its present code"
        )

    def _ask(self, form: dict[str, str]) -> tuple[int, bytes]:
        return self._post(self._service.token, form | {"client_id": self._service.client_id})

    def _keep(self, body: bytes) -> bool:
        """Keep the tokens of an answer; return False if it holds none."""
        said, now = _json(body), time.monotonic()
        self._token = str(said.get("access_token") or "")
        self._until = now + _seconds(said.get("expires_in"), _EARLY)
        self._refresh = str(said.get("refresh_token") or "")
        until = said.get("refresh_expires_in") or math.inf  # 0 is no end
        self._refresh_until = now + _seconds(until, _EARLY)
        return bool(self._token)


def _seconds(stated: Any, early: float) -> float:
    """Return for how long a token is used: not to its end, but at least for half of its life."""
    try:
        seconds = float(stated)
    except (TypeError, ValueError):
        seconds = 60.0
    return max(seconds - early, seconds / 2)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = parse_json(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
