"""Own measurements in the field: read from an uploaded CSV, and chosen for what a viewer shows."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from s2kit.errors import InvalidInputError
from s2kit.viewers.parameters import Item
from s2kit.viewers.places import short
from s2kit.viewers.uploads import NAMES, require_size

FORMATS = (".csv",)

MOST = 5_000
"""Measurements in a file at most."""

_DATES = ("date", "datum", "day", "time")
_HOURS = "time"
"""The column of the hour, where the day has a column of its own."""
_PLACES = ("place", "plaats", "field", *NAMES)
"""Columns that may hold dates and places, places in order of preference."""

_MISSING = ("", "-", "na", "n/a", "nan", "null")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE
)

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods, and of .xls."""

_Rows = list[tuple[int, list[str]]]
"""Number of the line, and cells, of each row of a table."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured in the field.

    Attributes
    ----------
    name : str
        Of the column of values.
    table : pandas.DataFrame
        ``time`` (UTC), ``value`` and ``place``, which is empty where none is given; in order of
        time.
    """

    name: str
    table: pd.DataFrame

    @property
    def places(self) -> list[str]:
        """The places that are named."""
        return [name for name in self.table.place.unique() if name]


class OfOnePlace(Item):
    """Measurements for the series of one pixel."""

    def _validate(self, val: Measurements | None) -> None:
        super()._validate(val)
        if val is not None and len(val.places) > 1:
            raise InvalidInputError(
                f"these are measurements of {len(val.places)} places ({_listed(val.places)}), and "
                "one pixel is shown here: give a file of one place, or use the statistics viewer, "
                "which shows each over the curve of its place"
            )


def choose(
    measured: Measurements, places: Sequence[str] | None, years: tuple[int, int]
) -> tuple[pd.DataFrame, str]:
    """Return the measurements that belong to what is shown, and a sentence on all of them.

    Parameters
    ----------
    measured : Measurements
    places : sequence of str or None
        Places that are shown. A measurement belongs to the one of its place's name, or to the only
        one whose name is that and a crop after it. None takes all, whatever their place.
    years : tuple of int
        The first and the last that are shown.

    Returns
    -------
    table : pandas.DataFrame
        As `Measurements.table`, with the names of ``places`` in ``place``.
    message : str
    """
    table = measured.table
    named = {name: _places_of(name, places) for name in table.place.unique()}
    here = table.place.map({name: found[0] for name, found in named.items() if len(found) == 1})
    shown, known = table.time.dt.year.between(*years), here.notna()
    drawn = table.assign(place=here)[shown & known]
    others = int((known & ~shown).sum())
    left_out = [f"{others} of other years"] if others else []
    absent = [name for name, found in named.items() if not found]
    ambiguous = [name for name, found in named.items() if len(found) > 1]
    for why, names in (
        ("of places that are not here", absent),
        ("that fit several places", ambiguous),
    ):
        if names:
            left_out.append(f"{table.place.isin(names).sum()} {why} ({_listed(names)})")
    message = f"{len(drawn)} of {len(table)} measurements of {short(measured.name, 40)} are drawn"
    message += f"; left out: {', '.join(left_out)}." if left_out else "."
    if places is None and measured.places:
        message += f" They are of “{short(measured.places[0], 40)}”: ask a pixel there."
    return drawn, message


def _places_of(name: str, places: Sequence[str] | None) -> list[str]:
    """Return the places of a name, or of that name and its crop; "" belongs to all of them."""
    if places is None or not name:
        return [name]
    asked = name.casefold()
    same = [one for one in places if one == name]
    if same := same or [one for one in places if one.casefold() == asked]:
        return same
    longer = [one for one in places if one.casefold().startswith(f"{asked} ")]
    return [one for one in longer if not one[len(name) :].strip().isdigit()]  # not “field 2”


def read_measurements(content: bytes, filename: str) -> Measurements:
    """Read measurements from an uploaded CSV.

    Columns are separated by commas, or by semicolons, with which decimal commas are read, too. A
    day without an hour stands for its noon, as in `read_time`; the hour may have a column of its
    own, ``time``. Rows without a value are left out.

    Raises
    ------
    InvalidInputError
        If it is no CSV, is empty or too long, lacks a column of dates or of numbers, has several
        of numbers, or has a line of which the date or the value cannot be read.
    """
    require_size(filename, len(content))
    text = _decode(content, filename)
    header, rows, separator = _read_rows(text, filename)
    columns = [name.casefold() for name in header]
    date = next((columns.index(name) for name in _DATES if name in columns), None)
    if date is None:
        raise InvalidInputError(
            f"{filename} has no column of dates: it has {_listed(header)}. Call that of the dates "
            f"{', '.join(_DATES[:-1])} or {_DATES[-1]}"
        )
    if columns[date] != _HOURS and _HOURS in columns:
        hour = columns.index(_HOURS)
        for _, row in rows:
            row[date] = f"{row[date]} {row[hour]}".strip()
    place = next((columns.index(name) for name in _PLACES if name in columns), None)
    if separator == ";":
        rows = [(line, [_with_point(cell) for cell in row]) for line, row in rows]
    others = [at for at in range(len(header)) if at not in (date, place)]
    others = [at for at in others if columns[at] not in _PLACES] or others
    value = _column_of_values(header, rows, others, filename)
    rows = [(line, row) for line, row in rows if row[value].casefold() not in _MISSING]
    table = pd.DataFrame(
        {
            "time": _read_dates([(line, row[date]) for line, row in rows], filename),
            "value": _read_values([(line, row[value]) for line, row in rows], filename),
            "place": ["" if place is None else row[place] for _, row in rows],
        }
    )
    name = header[value] or Path(filename).stem
    return Measurements(name, table.sort_values("time", kind="stable", ignore_index=True))


def _decode(content: bytes, filename: str) -> str:
    """Return the text of a file, which begins with its header."""
    suffix = Path(filename).suffix.lower()
    if content.startswith(_WORKBOOKS) or suffix in (".xlsx", ".xls", ".ods"):
        raise InvalidInputError(
            f"{filename} is a workbook of a spreadsheet; save the sheet as CSV, and give that"
        )
    if suffix not in FORMATS:
        raise InvalidInputError(f"{filename} is no file of measurements; give CSV (.csv)")
    try:
        text = re.sub("\r\n?", "\n", content.decode("utf-8-sig")).strip()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidInputError(
            f"{filename} is not text in UTF-8; save it as “CSV UTF-8” in a spreadsheet"
        )
    if not text:
        raise InvalidInputError(f"{filename} is empty; give one with dates and values")
    return text


def _separator(text: str) -> str:
    """Return what separates the columns of the header: a semicolon, or else a comma."""
    try:
        headers = {one: next(csv.reader(io.StringIO(text), delimiter=one)) for one in ";,"}
    except csv.Error:  # which is named when the rows are read
        return ","
    dated = {
        one: any(cell.strip().casefold() in _DATES for cell in header)
        for one, header in headers.items()
    }
    return max(headers, key=lambda one: (dated[one], len(headers[one])))


def _read_rows(text: str, filename: str) -> tuple[list[str], _Rows, str]:
    """Return the header, the rows that are not empty, each as long as it, and the separator."""
    stated = re.match("sep=(.)\n", text, re.IGNORECASE)  # a line of Excel's above the header
    above, body = (1, text[stated.end() :]) if stated else (0, text)
    separator = stated[1] if stated else _separator(body)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    rows: _Rows = []
    try:
        header = [cell.strip() for cell in next(reader)]
        for cells in reader:
            row = [cell.strip() for cell in cells]
            line = reader.line_num + above
            if any(row[len(header) :]):
                raise InvalidInputError(
                    f"{filename}, line {line}: {len(row)} columns, and the header has "
                    f"{len(header)}; numbers with decimal commas need semicolons between columns"
                )
            if any(row):
                rows.append((line, [*row, *[""] * len(header)][: len(header)]))
    except csv.Error as error:
        line = reader.line_num + above
        raise InvalidInputError(
            f"{filename}, line {line}: no CSV ({error}); save it as CSV in a spreadsheet"
        ) from None
    if not 0 < len(rows) <= MOST:
        raise InvalidInputError(
            f"{filename} has {len(rows)} rows below its header; give 1 to {MOST} measurements"
        )
    return header, rows, separator


def _with_point(cell: str) -> str:
    """Return a number with a decimal point instead of a comma; any other text as it is."""
    pointed = cell.replace(",", ".", 1)
    return pointed if _NUMBER.fullmatch(pointed) else cell


def _number(text: str) -> float | None:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None


def _column_of_values(header: list[str], rows: _Rows, others: list[int], filename: str) -> int:
    """Return the one column of which most cells that are filled are numbers."""
    found = []
    for at in others:
        filled = [row[at] for _, row in rows if row[at].casefold() not in _MISSING]
        if 2 * sum(_number(cell) is not None for cell in filled) > len(filled):
            found.append(at)
    if len(found) == 1:
        return found[0]
    names = _listed(header[at] for at in found or others)
    what = f"several columns of numbers ({names})" if found else "no column of numbers"
    beside = "" if found or not others else f", but {names}"
    raise InvalidInputError(
        f"{filename} has {what}{beside}; beside the dates ({', '.join(_DATES)}) and the places "
        f"({', '.join(_PLACES)}), keep one column of numbers, named after what was measured"
    )


def _read_values(cells: list[tuple[int, str]], filename: str) -> list[float]:
    values = [_number(cell) for _, cell in cells]
    if None in values:
        line, cell = cells[values.index(None)]
        raise InvalidInputError(
            f"{filename}, line {line}: {cell!r:.40} is no number; give one such as 0.75, or "
            "nothing where nothing was measured"
        )
    return [value for value in values if value is not None]


def _read_dates(cells: list[tuple[int, str]], filename: str) -> pd.Series:
    texts = pd.Series([cell if _DATE.fullmatch(cell) else "" for _, cell in cells], dtype=object)
    times = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    if times.isna().any():
        line, cell = cells[int(times.isna().argmax())]
        raise InvalidInputError(
            f"{filename}, line {line}: {cell!r:.40} is no date; give one such as 2021-06-04 or "
            "2021-06-04 10:30"
        )
    return times.mask(texts.str.len() == len("2021-06-04"), times + pd.Timedelta(hours=12))


def _listed(names: Iterable[str]) -> str:
    """Return the first of some names as text."""
    shown = [short(name, 40) for name in names]
    return ", ".join(shown[:5]) + (", …" if len(shown) > 5 else "")
