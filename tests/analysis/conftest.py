"""What tests of the analyses share: random cubes in random blocks."""

import numpy as np
import pytest
from cubes import every, in_memory, random_layers
from hypothesis import strategies as st


def random_cubes(bands=("B04", "B08"), most=9):
    """Draw (layers, cube): with gaps, pixels never clear, constant series, any blocks."""

    @st.composite
    def draw_cube(draw):
        times, rows, cols = (draw(st.integers(1, n)) for n in (most, 5, 7))
        layers = random_layers(draw(st.integers(0, 10_000)), (times, rows, cols), bands)
        layers["SCL"][:, 0, 0] = 9  # never clear
        layers["SCL"][:, -1, -1] = 4
        layers["SCL"][1:, -1, 0] = 3  # at most one observation
        for band in bands:
            layers[band][:, -1, -1] = draw(st.sampled_from([0, 1, 3333, -120, -9999]))
        blocks = draw(st.none() | st.tuples(*(st.integers(1, n) for n in (times, rows, cols))))
        step = draw(st.sampled_from([1, 5, 40, 100]))
        return layers, in_memory(layers, every(step, times), blocks)

    return draw_cube()


@pytest.fixture(scope="session")
def no_warnings():
    """Make numpy's floating-point errors loud."""
    with np.errstate(all="raise"):
        yield
