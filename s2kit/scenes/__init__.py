"""Find imagery: every source yields the same, a collection of STAC items."""

from s2kit.scenes.find import REFUSED, find_scenes
from s2kit.scenes.item import BANDS, LAYERS
from s2kit.scenes.region import PRESETS, read_aoi

__all__ = ["BANDS", "LAYERS", "PRESETS", "REFUSED", "find_scenes", "read_aoi"]
