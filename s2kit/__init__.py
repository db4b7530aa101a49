"""Make, open, study and share your own Sentinel-2 data cube."""

from s2kit import errors
from s2kit.cube.build import build_cube
from s2kit.cube.opening import open_cube
from s2kit.cube.report import BuildReport
from s2kit.scenes import find_scenes
from s2kit.scenes.item import LAYERS

__all__ = ["LAYERS", "BuildReport", "build_cube", "errors", "find_scenes", "open_cube"]
