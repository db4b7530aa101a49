"""What notebooks need around the cube: parameters, pictures, and checks of the answers."""

import importlib
from typing import Any

_HOMES = {
    "changing_place": "student",
    "check_installation": "installation",
    "check_parameters": "parameters",
    "class_colours": "pictures",
    "class_column": "fields",
    "compare": "pictures",
    "cut_cube": "regions",
    "describe": "pictures",
    "list_scenes": "build_report",
    "list_trouble": "build_report",
    "mark": "pictures",
    "middle": "pictures",
    "percent": "pictures",
    "require_cube": "parameters",
    "show_bars": "field_pictures",
    "show_classes": "pictures",
    "show_confusion": "field_pictures",
    "show_fields": "field_pictures",
    "show_lines": "pictures",
    "show_map": "pictures",
    "show_overpasses": "build_report",
    "show_points": "field_pictures",
    "show_rgb": "pictures",
    "show_scenes": "build_report",
    "show_season": "field_pictures",
    "show_series": "pictures",
    "show_summary": "build_report",
    "squares": "fields",
    "start_client": "parameters",
    "start_pictures": "pictures",
    "student_cube": "student",
    "with_source": "pictures",
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
