"""Make, open, study and share your own Sentinel-2 data cube."""

import importlib
from typing import Any

_HOMES = {
    "LAYERS": "scenes.item",
    "find_scenes": "scenes",
    "FetchReport": "download.report",
    "fetch_products": "download.fetch",
    "BuildReport": "cube.report",
    "build_cube": "cube.build",
    "open_cube": "cube.open",
    "verify": "cube.verify",
    "VerifyReport": "cube.verify",
    "align_raster": "analysis.align",
    "classify": "analysis.classifier",
    "clear_mask": "analysis.masks",
    "clear_share": "analysis.masks",
    "composite": "analysis.composites",
    "field_series": "analysis.zonal",
    "field_statistics": "analysis.zonal",
    "index": "analysis.indices",
    "load_model": "analysis.model_files",
    "make_features": "analysis.features",
    "mask_clouds": "analysis.masks",
    "read_fields": "analysis.fields",
    "regular_series": "analysis.phenology",
    "sample_pixels": "analysis.samples",
    "save_model": "analysis.model_files",
    "save_table": "analysis.write_tables",
    "season": "analysis.phenology",
    "time_statistics": "analysis.statistics",
    "train_classifier": "analysis.training",
    "write_result": "analysis.write_maps",
}
"""Where each public name comes from. It is imported when it is used: all of it takes 370 MB and up
to ten seconds, and a viewer or a pixel needs half."""

_MODULES = ("errors", "viewers")

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    """Import a public name (PEP 562)."""
    if name in _HOMES:
        found = getattr(importlib.import_module(f"s2kit.{_HOMES[name]}"), name)
    elif name in _MODULES:
        found = importlib.import_module(f"s2kit.{name}")
    else:
        raise AttributeError(f"module 's2kit' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
