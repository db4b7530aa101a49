"""Read the parameters of a notebook: check them, find the cube, connect to what computes."""

import ast
import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dask.system import CPU_COUNT
from distributed import Client

from s2kit.credentials import shown_cause
from s2kit.errors import CubeError, InvalidInputError

_INJECTED = "# Parameters\n"
"""How papermill begins the cell that it puts behind the one tagged ``parameters``."""

_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    dict: "GeoJSON as a dict",
}


def check_parameters(found: Mapping[str, Any], /, **accepted: Any) -> None:
    """Check that a notebook has the given parameters, and that each has the right type.

    Papermill itself only warns of an unknown or misspelt parameter, and then ignores it.

    Parameters
    ----------
    found : mapping of str to object
        The notebook's variables: ``globals()``.
    **accepted : type, value, or tuple of these
        For each parameter what it may be: ``resolution=(int, float)``,
        ``scheduler=("threads", "processes")``, ``bands=(None, str)``. A list is accepted where
        each of its members is.

    Raises
    ------
    InvalidInputError
        If a parameter was given that is not among ``accepted``, or has another type or value.
    """
    for name in _injected(found.get("In", [])):
        if name not in accepted:
            near = difflib.get_close_matches(name, accepted, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise InvalidInputError(
                f"unknown parameter {name!r}. {hint}"
                f"The parameters of this notebook are: {', '.join(accepted)}"
            )
    for name, choices in accepted.items():
        choices = choices if isinstance(choices, tuple) else (choices,)
        if not _fits(found[name], choices):
            value = found[name]
            raise InvalidInputError(
                f"{name}={value!r} ({type(value).__name__}) cannot be used; "
                f"{name} is {_described(choices)}"
            )


def _injected(cells: list[str]) -> list[str]:
    """Return the names of the variables that papermill set, in their order."""
    given = [cell for cell in cells if cell.startswith(_INJECTED)]
    body = ast.parse(given[-1]).body if given else []
    targets = [one for node in body if isinstance(node, ast.Assign) for one in node.targets]
    return [one.id for one in targets if isinstance(one, ast.Name)]


def _fits(value: Any, choices: tuple) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(_fits(member, choices) for member in value)
    kinds = tuple(choice for choice in choices if isinstance(choice, type))
    if isinstance(value, bool) and bool not in kinds:
        return False
    return isinstance(value, kinds) or any(
        value == choice for choice in choices if not isinstance(choice, type)
    )


def _described(choices: tuple) -> str:
    words = [_WORDS.get(c, c.__name__) if isinstance(c, type) else repr(c) for c in choices]
    words = [w for w in words if w != "a whole number" or "a number" not in words]
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def require_cube(store: str | os.PathLike) -> str:
    """Return the place of a cube; raise with advice where there is none yet.

    Parameters
    ----------
    store : str or path
        A path; URLs are left to `s2kit.open_cube`.

    Returns
    -------
    str
        The same place. A path is seen from the notebook's folder, also where ``panel serve`` runs
        the notebook from another.

    Raises
    ------
    CubeError
        If nothing is at that path.
    """
    if "://" in str(store):
        return str(store)
    folders = Path(), Path(sys.path[0])  # Panel puts the notebook's folder first
    found = [folder / store for folder in folders if (folder / store).exists()]
    if not found:
        raise CubeError(
            f"there is no cube at {store} yet. Make one: run `make cube` in a terminal, in the "
            "project's folder, or run the notebook 01_build_cube.ipynb. Then run this one again. "
            "If you have a cube elsewhere, give its place in the parameter `store`"
        )
    return str(found[0])


def start_client(scheduler: str) -> Client | None:
    """Return a client of what computes.

    Parameters
    ----------
    scheduler : str
        ``"threads"`` (of this process), ``"processes"`` (one for each core, on this machine), or
        the address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``.

    Returns
    -------
    distributed.Client or None
        To pass as ``client``; None for threads. Close it when you are done.

    Raises
    ------
    InvalidInputError
        If it is none of these, or no scheduler answers there.
    """
    if scheduler == "threads":
        return None
    if scheduler == "processes":
        return Client(n_workers=CPU_COUNT, threads_per_worker=1, dashboard_address=None)
    accepted = '"threads", "processes", or the address of a Dask scheduler ("tcp://host:8786")'
    if not isinstance(scheduler, str) or ":" not in scheduler:
        near = difflib.get_close_matches(str(scheduler), ("threads", "processes"), 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise InvalidInputError(f"scheduler={scheduler!r} is unknown. {hint}Accepted: {accepted}")
    try:  # one that fails would stay Dask's default, and nothing could be computed any more
        Client(scheduler, timeout=10, set_as_default=False).close()
    except (OSError, ValueError, ImportError) as error:
        raise InvalidInputError(
            f"no Dask scheduler answers at scheduler={scheduler!r} ({error}). Accepted: {accepted}"
        ) from shown_cause(error)
    return Client(scheduler, timeout=10)
