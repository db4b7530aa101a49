"""Compare an answer with the right one, and with the results of common mistakes."""

from datetime import date
from typing import Any

import numpy as np
import xarray as xr

_RELATIVE, _ABSOLUTE = 1e-5, 1e-6
"""Tolerances for single precision; one count of stored reflectance is 1e-4."""

_DECIMALS = range(2, 8)
"""Of numbers that were rounded; with fewer, too many wrong numbers look the same."""
_DIGITS = 1e-7
"""Relative error of a rounded number in single precision."""

Mistakes = list[tuple[str, Any]]


def judge(answer: Any, right: Any, mistakes: Mistakes, praise: str, *, empty: str = "") -> bool:
    """Print whether an answer is right, or a hint.

    Parameters
    ----------
    answer : number, text, date, list, array or xarray.DataArray
        None means that there is none yet.
    right : same kind
        The right answer.
    mistakes : list of (str, object)
        The hint to print for a mistake, and its result; the first that fits is printed. Results
        without a value are not compared: an empty answer fits all of them.
    praise : str
        What to print when it is right.
    empty : str
        The hint to print for an answer without a value.

    Returns
    -------
    bool
        Whether it is right.
    """
    if answer is None or answer is Ellipsis:
        print("Put your answer in place of None and run the cell again.")
        return False
    found, wanted = _plain(answer), _plain(right)
    listed = isinstance(found, np.ndarray) and found.shape == (1,) and np.shape(wanted) == ()
    if listed:
        found = found.reshape(())
    others = [(hint, _plain(value)) for hint, value in mistakes]
    if _same(found, wanted) or _is_rounded(found, wanted, others):
        if listed:
            print("Nearly. That is a list of one number; take the number out of it, with [0].")
            return False
        print(f"✓ {praise}")
        return True
    hint = next((hint for hint, value in others if np.size(value) and _same(found, value)), "")
    numbers = _is_number(found) and _is_number(wanted)
    if not hint and numbers and found != 0 and found == np.round(wanted, 1):
        hint = "That is rounded too much: leave the rounding out."
    if isinstance(found, np.ndarray) and not found.size:
        hint = empty
    print(f"Not yet. {hint or _unlike(found, wanted)}")
    return False


def call(function: Any, *arguments: Any) -> tuple[bool, Any]:
    """Call the function that is an answer; print a hint where it returns nothing.

    Returns
    -------
    bool
        Whether it returned something.
    object
        What it returned.
    """
    if not callable(function):
        print("Not yet. That is not a function: begin with def, as the cell did before.")
        return False, None
    try:
        value = function(*arguments)
    except Exception as error:
        print(f"Not yet. Your function ends in an error: {type(error).__name__}: {error}")
        return False, None
    if value is None:
        print("Not yet. Your function returns None: it must end with return and the result.")
    return value is not None, value


def _is_rounded(found: Any, wanted: Any, others: Mistakes) -> bool:
    """Return whether it is the right number rounded, and no known mistake is the same rounded."""
    if not (_is_number(found) and _is_number(wanted)) or found == 0:
        return False  # of 0 no digit is left that could be compared
    near = _DIGITS * max(1.0, abs(float(found)))
    few = [n for n in _DECIMALS if abs(found - np.round(found, n)) <= near]
    if not few:
        return False
    numbers = [one for _, one in others if _is_number(one)]
    alike = [one for one in numbers if abs(np.round(one, few[0]) - found) <= near]
    return abs(np.round(wanted, few[0]) - found) <= near and not alike


def _is_number(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == "f8" and value.ndim == 0


def _unlike(found: Any, wanted: Any) -> str:
    """Return how an answer differs in kind from the right one, or else that it is another."""
    number = isinstance(wanted, np.ndarray) and wanted.dtype.kind in "fiu"
    asked = {0: "one number is asked for", 2: "one number for each pixel is asked for"}.get(
        np.ndim(wanted), "several values are asked for, in a row"
    )
    if callable(found):
        return "That is a function, not its result: write brackets after its name."
    if isinstance(found, xr.Dataset):
        return f"That is a whole Dataset; take what you need of {', '.join(map(str, found))}."
    if not isinstance(found, np.ndarray):
        return f"That is a {type(found).__name__}; {asked}."
    if not found.size:
        return f"That is empty, since nothing fits your conditions; {asked}."
    if number and found.dtype.kind == "m":
        return "That is a length of time: divide by np.timedelta64(1, 'D') to get days."
    if number and found.dtype.kind not in "fiu":
        return f"That is text or dates; {asked}."
    if np.shape(found) != np.shape(wanted):
        kind = "number" if found.dtype.kind in "fiu" else "value"
        many = f"{found.size} {kind}s" if found.size > 1 else f"one {kind}"
        return f"That is {many}, in the shape {found.shape}; {asked}."
    if number and np.isnan(found).all() and not np.isnan(wanted).all():
        return "That is NaN: gaps take part. Functions of xarray and pandas leave them out."
    if number:
        return "It is of the right kind, but has other values: read the question once more."
    if found.dtype.kind in "Mm":
        return "These are dates, as they must be, but others: read the question once more."
    return "Read the question once more; the text above the exercise has what you need."


def _plain(value: Any) -> Any:
    """Return what can be compared: arrays of float, or the value itself."""
    if isinstance(value, xr.DataArray | xr.Variable):
        value = value.values
    if isinstance(value, list):  # of arrays without dims: their values
        value = [one.values if isinstance(one, xr.DataArray) else one for one in value]
    try:
        array = np.asarray(value)
        if array.dtype == object and array.size:
            if all(isinstance(one, bool | np.bool_) for one in array.flat):
                array = array.astype(bool)
            elif all(isinstance(one, date) for one in array.flat):
                array = array.astype("datetime64[ns]")
    except (ValueError, TypeError):
        return value
    if array.dtype.kind in "biuf":
        return array.astype("f8")
    if array.dtype == object and array.ndim == 0:
        return array.item()
    return array if array.dtype.kind in "MmUS" else value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape == other.shape and not one.size:
            return True
        if one.shape != other.shape or (one.dtype.kind != other.dtype.kind):
            return False
        if one.dtype.kind == "f":
            return np.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)
        return bool((one == other).all())
    return one is other
