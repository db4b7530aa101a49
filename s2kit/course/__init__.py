"""What notebooks need around the cube: parameters, pictures, and checks of the answers."""

import importlib
from typing import Any

_HOMES = {
    "check_installation": "installation",
    "check_parameters": "parameters",
    "class_colours": "pictures",
    "compare": "pictures",
    "cut_cube": "regions",
    "describe": "pictures",
    "list_scenes": "build_report",
    "list_trouble": "build_report",
    "mark": "pictures",
    "middle": "pictures",
    "percent": "pictures",
    "require_cube": "parameters",
    "show_classes": "pictures",
    "show_lines": "pictures",
    "show_map": "pictures",
    "show_overpasses": "build_report",
    "show_rgb": "pictures",
    "show_scenes": "build_report",
    "show_series": "pictures",
    "show_summary": "build_report",
    "start_client": "parameters",
    "start_pictures": "pictures",
    "titled": "pictures",
}
"""Where each name comes from. It is imported when it is used: Jupyter's server, which shows the
tiles of `launcher`, needs none of them."""

__all__ = sorted([*_HOMES, "checks"])


def __getattr__(name: str) -> Any:
    """Import a name (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 's2kit.course' has no attribute {name!r}")
    module = importlib.import_module(f"s2kit.course.{_HOMES.get(name, name)}")
    return getattr(module, name) if name in _HOMES else module
