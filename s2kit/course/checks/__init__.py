"""Check the answers to the exercises: print ✓, or a hint that fits the mistake.

Each check returns whether the answer is right. What it prints never holds the solution.
"""

from s2kit.course.checks.accuracy import balanced_accuracy
from s2kit.course.checks.composites import median_image
from s2kit.course.checks.fields import crop_mean
from s2kit.course.checks.selecting import clear_count, time_query
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
    "crop_mean",
    "judge",
    "mask_effect",
    "mean_ndvi",
    "median_image",
    "ndvi_function",
    "statistic_map",
    "sudden_drops",
    "time_query",
]
