"""Check the answers to the exercises: print ✓, or a hint that fits the mistake.

Each check returns whether the answer is right. What it prints never holds the solution.
"""

from s2kit.course.checks.accuracy import (
    balanced_accuracy,
    majority_share,
    recalls_function,
    split_function,
    unseen_answer,
)
from s2kit.course.checks.composites import (
    cloud_brightening,
    gap_share,
    image_function,
    median_image,
    nearest_observation,
)
from s2kit.course.checks.fields import crop_area, crop_mean, mown_fields, rows_function
from s2kit.course.checks.pitfalls import dates_function, ndvi_change, reflectance_function
from s2kit.course.checks.selecting import (
    clear_count,
    largest_gap,
    orbit_function,
    season_count,
    share_series,
    time_query,
)
from s2kit.course.checks.statistics import (
    clear_days,
    mask_effect,
    mean_ndvi,
    ndvi_function,
    statistic_map,
    sudden_drops,
)
from s2kit.course.judging import judge

__all__ = [
    "balanced_accuracy",
    "clear_count",
    "clear_days",
    "cloud_brightening",
    "crop_area",
    "crop_mean",
    "dates_function",
    "gap_share",
    "image_function",
    "judge",
    "largest_gap",
    "majority_share",
    "mask_effect",
    "mean_ndvi",
    "median_image",
    "mown_fields",
    "ndvi_change",
    "ndvi_function",
    "nearest_observation",
    "orbit_function",
    "recalls_function",
    "reflectance_function",
    "rows_function",
    "season_count",
    "share_series",
    "split_function",
    "statistic_map",
    "sudden_drops",
    "time_query",
    "unseen_answer",
]
