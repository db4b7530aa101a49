"""Cut passwords and signatures from addresses in errors, reports and logs."""

from __future__ import annotations

import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

_SCHEME = r"\b(?:[a-z][a-z0-9+.-]{1,30}:/|(?:https?|ftp|s3|gs):)/+"
"""With one slash too, as pathlib writes a URL. A single letter is a drive."""

_SPACED = r"""(?:[^\s/?#:@\["'<>]+:(?!\d*(?:[/?#\s]|$))[^/?#\n"'<>]*@)"""
"""User information with a space in it: not valid by RFC 3986, but people type it."""

_ADDRESS = re.compile(
    rf"""(?P<quote>["'])(?P<start>{_SCHEME})(?P<quoted>(?:\\.|(?!(?P=quote))[^\\\n])*)(?=(?P=quote))
       | (?P<open>{_SCHEME})(?P<rest>{_SPACED}?[^\s"<>]*)""",
    re.IGNORECASE | re.VERBOSE,
)
"""A URL in quotes reaches up to the other quote, and else up to the next space."""

_USER = re.compile(
    r"""[^\s/?#]*@                                    # user information as RFC 3986 has it
      | [^\s/?#:@\[]+:(?!\d*(?:[/?#\s]|$))(?:[^/?#\n]*|\S*)@""",  # one that holds /, ? or a space
    re.VERBOSE,
)
_ENCODED = re.compile(r"\b[a-z][a-z0-9+.-]{1,30}%3A%2F%2F[^\s\"'<>&]*", re.IGNORECASE)
_VSICURL = re.compile(r"/vsicurl(?:_streaming)?\?(?:[^\s\"']*?&)?url=", re.IGNORECASE)
"""GDAL's form of an address with options, such as to sign it."""

_BARE_USER = re.compile(r"(?<![\w/@.:%+-])[\w.~%+-]+:(?![/\\])[^\s@\"'<>]+@(?=[\w\[])")
"""User information without a scheme, as in fsspec's names of objects of S3."""

_QUERY = re.compile(r"(?<=[^\s\"'(\[])\?[^\s\"'<>=]{1,100}=[^\s\"<>]*")
_ASKED = re.compile(r"((?:\burl:|\b(?:GET|HEAD|POST|PUT|DELETE)) /[^\s?]*)\?[^\s\"<>]*")
"""Path and query of a URL, as requests, urllib3 and servers write them."""

_NAMED = re.compile(
    r"\b([\w.-]{0,40}(?:sig|signature|token|passw(?:or)?d|pwd|secret|api_?key|account_?key|access_?key|"
    r"credential)(?:=|%3D|['\"]?\s*:\s*['\"]?))[^\s&;,\"'<>)\]]+",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(\bauthorization['\"]?\s*[:=,]\s*['\"]?|\bbearer\s+(?=\S*\d))[^'\"\n>)]+", re.IGNORECASE
)
_CLOSING = ".,;:!?)]}'…"

_LOGGERS = (
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "s3fs",
    "rasterio._env",
    "rasterio.env",
    "fsspec.http",
    "s2kit.viewers.page",
)
"""Loggers whose lines hold addresses."""


def without_credentials(text: str) -> str:
    """Cut user information, queries and fragments from the addresses in a text.

    Parameters
    ----------
    text : str
        Such as the message of a library's error.

    Returns
    -------
    str
        Scheme, host and path of each address stay, and all text around them; of passwords, tokens
        and signatures, the name stays.
    """
    text = _ENCODED.sub(lambda found: without_credentials(unquote(found[0])), text)
    text = _VSICURL.sub("/vsicurl/", text)
    text = _ADDRESS.sub(_cut, text)
    text = _BARE_USER.sub("", text)
    text = _ASKED.sub(r"\1", text)
    text = _QUERY.sub(lambda found: _closing(found[0]), text)
    text = _NAMED.sub(r"\1…", text)
    return _HEADER.sub(r"\1…", text)


def shown_place(store: str) -> str:
    """Return a store as it may be shown: a path as it is, since it may look like credentials."""
    return without_credentials(store) if "://" in store else store


def _cut(found: re.Match) -> str:
    start, rest = found["start"] or found["open"], found["quoted"] or found["rest"] or ""
    user = _USER.match(rest)
    place = rest[user.end() :] if user else rest
    kept = re.split(r"[?#]", place, maxsplit=1)[0]
    end = "" if found["quote"] or kept == place else _closing(place)
    return f"{found['quote'] or ''}{start}{kept}{end}"


def _closing(text: str) -> str:
    """Return the punctuation at the end of an address that belongs to the sentence around it."""
    return text[len(text.rstrip(_CLOSING)) :]


def shown_cause(error: BaseException) -> BaseException | None:
    """Return an error as the cause of another, or None if showing it would show credentials.

    For ``raise … from shown_cause(error)``: Python and Jupyter print the messages of all causes.
    """
    shown = "".join(traceback.format_exception(error, limit=0))
    return error if without_credentials(shown) == shown else None


@contextmanager
def clean_warnings() -> Iterator[None]:
    """Repeat the warnings of a library without credentials."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        for one in caught:
            text = without_credentials(str(one.message))
            warnings.warn_explicit(text, one.category, one.filename, one.lineno)


class _WithoutCredentials(logging.Filter):
    """Cut credentials from what a library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_credentials(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_text, record.exc_info = without_credentials(text), None
        return True


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_WithoutCredentials())
