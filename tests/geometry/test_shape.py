import numba
import numpy as np
import pytest
from clouds import awkward, naive_nearest, room

from al3d.geometry.shape import LEVEL, SHAPE, cells, from_corner, place, surroundings, window
from al3d.rng import generator


def interleaved(cell):
    """The Morton key of a cell, bit by bit."""
    return sum(((int(value) >> bit) & 1) << (3 * bit + 2 - axis) for axis, value in enumerate(cell) for bit in range(21))


def naive_cells(xyz, feat, size):
    groups = {}
    for row, cell in enumerate(np.floor(xyz.astype(np.float64) / size)):
        groups.setdefault(interleaved(cell), []).append(row)
    inverse = np.empty(len(xyz), int)
    for number, key in enumerate(sorted(groups)):
        inverse[groups[key]] = number
    means = [np.stack([values[groups[key]].astype(np.float64).mean(axis=0) for key in sorted(groups)]) for values in (xyz, feat)]
    return means[0].astype(np.float32), means[1].astype(np.float32), inverse


def naive_surroundings(xyz, feat, neighbours):
    """Shape, which directions are clear, levels and means, by every distance and NumPy's eigenvectors."""
    shape, clear, level, mean = np.zeros((len(xyz), len(SHAPE))), np.ones((len(xyz), len(SHAPE)), bool), [], []
    for row, around in enumerate(naive_nearest(xyz, neighbours + 1)):
        points = xyz[around].astype(np.float64)
        level.append([points[:, 2].min(), points[:, 2].max(), points[:, 2].mean()])
        mean.append(feat[around].astype(np.float64).mean(axis=0))
        points = points - points.mean(axis=0)
        values, vectors = np.linalg.eigh(points.T @ points / len(points))
        if len(points) < 3 or values[2] <= 0:
            continue
        least, middle, largest = np.maximum(values, 0)
        shape[row, :3] = (largest - middle) / largest, (middle - least) / largest, least / largest
        shape[row, 3], clear[row, 3] = 1 - abs(vectors[2, 0]), middle - least > 1e-3 * largest
        shape[row, 4], clear[row, 4] = abs(vectors[2, 2]), largest - middle > 1e-3 * largest
    return shape, clear, np.array(level), np.array(mean)


@pytest.mark.parametrize("neighbours", [1, 2, 16])
@pytest.mark.parametrize("name", sorted(awkward(60)))
def test_equals_the_naive_twin(name, neighbours):
    xyz = from_corner(awkward(150)[name])
    feat = generator("attributes").random((len(xyz), 2)).astype(np.float32)
    size = 0.05
    thin = cells(xyz, feat, size)
    places, means, inverse = naive_cells(xyz, feat, size)
    np.testing.assert_array_equal(thin.inverse, inverse)
    np.testing.assert_allclose(thin.xyz, places, rtol=1e-6)
    np.testing.assert_allclose(thin.feat, means, rtol=1e-6)
    around = surroundings(thin, neighbours, thin.xyz)
    shape, clear, level, mean = naive_surroundings(thin.xyz, thin.feat, neighbours)
    np.testing.assert_allclose(around.shape[clear], shape[clear], rtol=2e-5, atol=2e-5)
    assert np.isfinite(around.shape).all()
    np.testing.assert_array_equal(around.level[:, :2], level[:, :2].astype(np.float32))
    np.testing.assert_allclose(around.level[:, 2], level[:, 2], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(around.mean, mean, atol=1e-6)
    rows = np.full((len(xyz), 12), 7, np.float32)
    place(rows, 1, xyz[:, 2].copy(), feat, thin.inverse, around)
    np.testing.assert_array_equal(rows[:, 1:6], around.shape[inverse])
    np.testing.assert_array_equal(rows[:, 6], xyz[:, 2] - around.level[inverse, LEVEL.index("lowest")])
    np.testing.assert_array_equal(rows[:, 7], around.level[inverse, LEVEL.index("highest")] - xyz[:, 2])
    np.testing.assert_array_equal(rows[:, 8], xyz[:, 2] - around.level[inverse, LEVEL.index("mean")])
    np.testing.assert_array_equal(rows[:, 9:11], around.mean[inverse] - feat)
    assert (rows[:, [0, 11]] == 7).all()


def test_a_room_equals_the_naive_twin():
    thin = cells(from_corner(room(1500)), np.empty((1500, 0), np.float32), 0.1)
    around = surroundings(thin, 16, thin.xyz)
    shape, clear, *_ = naive_surroundings(thin.xyz, thin.feat, 16)
    np.testing.assert_allclose(around.shape[clear], shape[clear], rtol=1e-5, atol=1e-5)
    assert clear.mean() > 0.9


def described(xyz, size=0.1, neighbours=16):
    thin = cells(from_corner(xyz.astype(np.float32)), np.empty((len(xyz), 0), np.float32), size)
    shape = surroundings(thin, neighbours, thin.xyz).shape
    return {name: shape[:, column] for column, name in enumerate(SHAPE)}


def test_a_floor_a_wall_and_a_tilted_plane():
    spots = generator("spots").random((4000, 2)) * 3
    floor = described(np.c_[spots, np.full(4000, 1.5)])
    wall = described(np.c_[spots[:, 0], np.full(4000, 1.5), spots[:, 1]])
    tilted = described(np.c_[spots, spots[:, 0]])
    for one in (floor, wall, tilted):
        assert np.median(one["planarity"]) > 0.6 and one["scattering"].max() < 1e-6
    assert floor["verticality"].max() < 1e-3 and floor["steepness"].max() < 1e-3
    np.testing.assert_allclose(wall["verticality"], 1, atol=1e-3)
    np.testing.assert_allclose(tilted["verticality"], 1 - np.sqrt(0.5), atol=1e-3)


def test_a_square_patch_is_flat_and_says_nothing_of_its_direction():
    side = np.stack(np.meshgrid(np.arange(3), np.arange(3), [0]), axis=-1).reshape(-1, 3) + 0.5
    whole = described(side, size=1.0, neighbours=8)
    np.testing.assert_allclose(whole["planarity"], 1, atol=1e-6)
    for name in ("linearity", "scattering", "verticality", "steepness"):
        np.testing.assert_allclose(whole[name], 0, atol=1e-6)


def test_a_pole_and_exact_lines():
    draw = generator("pole")
    pole = described(np.c_[draw.normal(size=(2000, 2)) * 0.005, draw.random(2000) * 5], size=0.1)
    assert np.median(pole["linearity"]) > 0.98 and pole["steepness"].min() > 0.99
    for axis, steep in ((0, 0.0), (2, 1.0)):
        line = described(np.outer(np.linspace(0, 9, 500), np.eye(3)[axis]))
        np.testing.assert_allclose(line["linearity"], 1, atol=1e-6)
        np.testing.assert_allclose(line["steepness"], steep, atol=1e-6)
        assert not line["verticality"].any(), "no direction across a line is the normal"
        np.testing.assert_allclose([line["planarity"], line["scattering"]], 0, atol=1e-6)


def test_few_and_equal_points_have_no_shape():
    for xyz in (np.ones((1, 3)), np.ones((50, 3)), np.eye(3)[:2]):
        assert not any(values.any() for values in described(xyz).values())


def test_windows_equal_the_naive_twin():
    draw = generator("windows")
    xyz = (draw.random((400, 3)) * [20, 9, 3]).astype(np.float32)
    low, high = window(xyz, xyz[:, 2].copy(), 1.5)
    column = np.floor(xyz[:, :2] / 1.5)
    near = (np.abs(column[:, None] - column[None]) <= 1).all(axis=2)
    np.testing.assert_array_equal(low, [xyz[row, 2].min() for row in near])
    np.testing.assert_array_equal(high, [xyz[row, 2].max() for row in near])
    one = window(xyz[:1], xyz[:1, 2].copy(), 1.5)
    assert one[0].tolist() == one[1].tolist() == xyz[:1, 2].tolist()


def test_threads_do_not_matter():
    xyz = from_corner(room(6000))
    threads = numba.get_num_threads()

    def work():
        thin = cells(xyz, xyz, 0.05)
        return *thin, *surroundings(thin, 16, thin.xyz)

    together = work()
    try:
        numba.set_num_threads(1)
        alone = work()
    finally:
        numba.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_names_what_is_wrong():
    xyz = from_corner(room(100))
    with pytest.raises(ValueError, match="neighbours = 0"):
        surroundings(cells(xyz, xyz, 0.1), 0, xyz)
    with pytest.raises(ValueError, match="larger length or check the units"):
        cells(xyz, xyz, 1e-6)
    with pytest.raises(ValueError, match="not finite"):
        from_corner(np.full((3, 3), np.nan, np.float32))
