import numba
import numpy as np
import pytest
from clouds import awkward, naive_nearest, room
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.geometry.neighbours import nearest


@pytest.mark.parametrize("name", sorted(awkward(60)))
@pytest.mark.parametrize("k", [1, 2, 7, 51, 500])
def test_equals_brute_force(name, k):
    xyz = awkward(300)[name]
    result = nearest(xyz, k)
    assert result.dtype == np.int32
    assert result.shape == (len(xyz), min(k, len(xyz)))
    assert np.array_equal(result, naive_nearest(xyz, k))


def test_equals_brute_force_across_chunks():
    xyz = room(3000)
    assert np.array_equal(nearest(xyz, 51), naive_nearest(xyz, 51))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(*[st.floats(-100, 100, width=32)] * 3), min_size=1, max_size=80), st.integers(1, 20))
def test_any_cloud(points, k):
    xyz = np.array(points, np.float32)
    assert np.array_equal(nearest(xyz, k), naive_nearest(xyz, k))


def test_threads_do_not_matter():
    xyz = room(5000)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = nearest(xyz, 10)
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(alone, nearest(xyz, 10))


def test_many_duplicates_stay_fast():
    xyz = np.zeros((200_000, 3), np.float32)
    result = nearest(xyz, 4)  # a pass over all points per point would take minutes
    assert result[7].tolist() == [7, 0, 1, 2]


def test_names_what_is_wrong():
    with pytest.raises(ValueError, match="k = 0"):
        nearest(room(10), 0)
    with pytest.raises(ValueError, match=r"\[N,3\]"):
        nearest(np.zeros((4, 2), np.float32), 1)
    broken = room(10)
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="point 3"):
        nearest(broken, 1)
