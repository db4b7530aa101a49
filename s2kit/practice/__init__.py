"""Practice scenes: made-up Sentinel-2 products in the real form, so that the course runs offline.

Nothing here was observed. Every product says so in its element PRODUCT_ORIGIN.

The satellites pass every 5 days on each relative orbit; the practice scenes keep 88 of 292 passes,
so that they stay small. `passes` lists all, and says which are left out.
"""

from s2kit.practice.geometry import REGION, REGION_RD
from s2kit.practice.overpasses import passes
from s2kit.practice.truth import CLASSES, truth_reflectance
from s2kit.practice.writing import write_practice_scenes

__all__ = ["CLASSES", "REGION", "REGION_RD", "passes", "truth_reflectance", "write_practice_scenes"]
