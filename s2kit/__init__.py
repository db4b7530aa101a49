"""Make, open, study and share your own Sentinel-2 data cube."""

from s2kit import errors
from s2kit.analysis.classification import classify
from s2kit.analysis.composites import composite
from s2kit.analysis.features import make_features
from s2kit.analysis.fields import read_fields
from s2kit.analysis.indices import index
from s2kit.analysis.local import align_raster
from s2kit.analysis.masks import clear_mask, clear_share, mask_clouds
from s2kit.analysis.phenology import regular_series, season
from s2kit.analysis.results import write_result
from s2kit.analysis.samples import sample_pixels
from s2kit.analysis.saving import load_model, save_model
from s2kit.analysis.statistics import time_statistics
from s2kit.analysis.tables import save_table
from s2kit.analysis.training import train_classifier
from s2kit.analysis.zonal import field_series, field_statistics
from s2kit.cube.build import build_cube
from s2kit.cube.opening import open_cube
from s2kit.cube.report import BuildReport
from s2kit.scenes import find_scenes
from s2kit.scenes.item import LAYERS

__all__ = [
    "LAYERS", "BuildReport", "align_raster", "build_cube", "classify", "clear_mask", "clear_share",
    "composite", "errors", "field_series", "field_statistics", "find_scenes", "index", "load_model",
    "make_features", "mask_clouds", "open_cube", "read_fields", "regular_series", "sample_pixels",
    "save_model", "save_table", "season", "time_statistics", "train_classifier", "write_result",
]  # fmt: skip
