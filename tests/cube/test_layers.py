"""What is known of a layer stands in several tables, which agree."""

from s2kit.cube.layers import LAYER_SPECS
from s2kit.scenes import eopf, providers, safe
from s2kit.scenes.item import LAYERS
from s2kit.scenes.radiometry import BANDS, RESOLUTION, SCALES


def test_each_layer_is_in_each_table():
    """A layer is found in each form of imagery, has a scale, and is stored; in one order."""
    assert tuple(LAYER_SPECS) == LAYERS
    assert list(providers.ASSET_NAMES) == list(eopf.ARRAYS) == list(SCALES) == list(LAYERS)
    assert list(RESOLUTION) == list(LAYERS)
    assert {*BANDS, *safe._AUXILIARY} == set(LAYERS)


def test_stored_scale_is_that_of_the_products():
    """What a cube states as the scale of a layer is the physical value of one DN."""
    for name, spec in LAYER_SPECS.items():
        assert spec.attrs.get("scale_factor", 1) == SCALES[name]
