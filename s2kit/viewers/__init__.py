"""The viewers: Panel apps for notebooks, `panel serve` and Binder."""

from s2kit.viewers.ndvi_statistics import NdviStatistics
from s2kit.viewers.time_query import TimeQuery

__all__ = ["NdviStatistics", "TimeQuery"]
