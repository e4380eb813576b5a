import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from al3d.geometry.bounds import bounds


@settings(deadline=None)
@given(arrays.arrays(st.sampled_from([np.float32, np.float64, np.int32]), st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.integers(-100, 100)))
def test_the_box_is_numpys(rows):
    low, high = bounds(rows)
    assert low.dtype == high.dtype == rows.dtype
    assert np.array_equal(low, rows.min(axis=0)) and np.array_equal(high, rows.max(axis=0))


def test_no_points_have_no_box():
    with pytest.raises(ValueError, match="no points"):
        bounds(np.zeros((0, 3)))


def test_rows_that_lie_apart():
    rows = np.arange(60.0).reshape(10, 6)[::2, ::2]
    assert np.array_equal(bounds(rows)[1], rows.max(axis=0))
