import numba
import numpy as np
import pytest
from clouds import room

from al3d.geometry.neighbours import nearest
from al3d.geometry.surface import surface_normals


def naive(xyz, neighbours):
    normal, flat = [], []
    for row in nearest(xyz, neighbours + 1):
        values, vectors = np.linalg.eigh(np.cov(xyz[row].astype(float).T, bias=True))
        normal.append(vectors[:, 0])
        flat.append((values[1] - values[0]) / values[2])
    return np.array(normal), np.array(flat)


def test_equals_the_naive_twin():
    xyz = (np.random.default_rng(0).normal(size=(400, 3)) * [1, 0.6, 0.2]).astype(np.float32)
    normal, flat = surface_normals(xyz, 12)
    expected, share = naive(xyz, 12)
    np.testing.assert_allclose(flat, share, atol=1e-5)
    clear = share > 0.05
    np.testing.assert_allclose(np.abs((normal * expected).sum(axis=1))[clear], 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)


def test_a_tilted_plane_and_a_line():
    spots = np.random.default_rng(1).uniform(0, 5, (2000, 2))
    plane = np.column_stack([spots[:, 0], spots[:, 1], 0.5 * spots[:, 0]]).astype(np.float32)
    normal, flat = surface_normals(plane)
    np.testing.assert_allclose(np.abs(normal @ (np.array([-0.5, 0, 1]) / np.sqrt(1.25))), 1, atol=1e-4)
    assert np.median(flat) > 0.3
    line = np.outer(np.linspace(0, 1, 100), [1, 2, 0]).astype(np.float32)
    assert surface_normals(line)[1].max() < 1e-5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_or_equal_points_give_finite_numbers(count):
    for xyz in (np.ones((count, 3), np.float32), np.eye(3, dtype=np.float32)[:count]):
        normal, flat = surface_normals(xyz)
        assert np.isfinite(normal).all() and np.isfinite(flat).all()
    assert surface_normals(np.ones((5, 3), np.float32))[0].tolist() == [[0, 0, 1]] * 5
    with pytest.raises(ValueError, match="neighbours = 0"):
        surface_normals(np.ones((5, 3), np.float32), 0)


def test_threads_do_not_matter():
    xyz = room(5000)
    threads = numba.get_num_threads()
    together = surface_normals(xyz)
    try:
        numba.set_num_threads(1)
        alone = surface_normals(xyz)
    finally:
        numba.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
