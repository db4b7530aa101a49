"""Practice scenes: made-up Sentinel-2 products in the real form, so that the course runs offline.

Nothing here was observed. Every product says so in its element PRODUCT_ORIGIN.
"""

from s2kit.practice.geometry import REGION, REGION_RD
from s2kit.practice.truth import CLASSES, truth_reflectance
from s2kit.practice.writing import write_practice_scenes

__all__ = ["CLASSES", "REGION", "REGION_RD", "truth_reflectance", "write_practice_scenes"]
