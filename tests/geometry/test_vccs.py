import itertools

import numba
import numpy as np
import pytest
from clouds import awkward, room

from al3d.geometry.vccs import vccs
from al3d.geometry.voxels import voxelise
from al3d.rng import generator


def naive_cube(xyz, size):
    extent = xyz.max(0).astype(float) - xyz.min(0)
    cells = max(2, np.ceil((extent.max() - np.finfo(np.float32).eps) / size))
    side = 2 ** max(0, int(np.ceil(np.log2(cells) - np.finfo(np.float32).eps)))
    return xyz.min(0).astype(float) - (side * size - extent) / 2


def naive_morton(cell):
    return sum(((int(cell[axis]) >> bit) & 1) << (3 * bit + 2 - axis) for bit in range(21) for axis in range(3))


def naive_seeds(centroids, voxel, seed):
    """Seed cells on a cube that starts as 2 x 2 x 2 cells around the first centroid and doubles."""
    low, side = centroids[0].astype(float) - seed, 2 * seed
    for point in centroids.astype(float):
        while (point < low).any() or (point >= low + side).any():
            low = np.where(point < low + side, low - side, low)
            side *= 2
    cells = sorted({tuple(np.floor((point - low) / seed).astype(int)) for point in centroids.astype(float)}, key=naive_morton)
    seeds = []
    for cell in cells:
        centre = (low + (np.array(cell) + 0.5) * seed).astype(np.float32)
        nearest = int(((centroids - centre) ** 2).sum(1).argmin())
        near = (np.linalg.norm(centroids - centroids[nearest], axis=1) < seed / 2).sum()
        if near > 0.05 * np.pi * (seed / 2) ** 2 / voxel**2:
            seeds.append(nearest)
    return seeds


def naive_normals(centroids, around):
    normals = []
    for v, point in enumerate(centroids.astype(float)):
        found = [v] + [w for u in around[v] for w in [u, *around[u]]]
        points = centroids[found].astype(float)
        points = points - points.mean(0)
        normal = np.linalg.eigh(points.T @ points)[1][:, 0]
        normals.append(-normal if normal @ point > 0 else normal)
    return np.array(normals)


def naive_vccs(xyz, rgb, voxel, seed, colour, spatial, normal):
    """The steps of PCL's SupervoxelClustering with dictionaries and sets."""
    voxel, seed = float(np.float32(voxel)), float(np.float32(seed))
    low = naive_cube(xyz, voxel)
    cells = [tuple(cell) for cell in np.floor((xyz.astype(float) - low) / voxel).astype(int)]
    order = sorted(set(cells), key=naive_morton)
    number = {cell: v for v, cell in enumerate(order)}
    of_point = np.array([number[cell] for cell in cells])
    centre = np.array([xyz[of_point == v].astype(float).mean(0) for v in range(len(order))]).astype(np.float32)
    paint = np.array([rgb[of_point == v].astype(float).mean(0) for v in range(len(order))]).astype(np.float32)
    steps = list(itertools.product((-1, 0, 1), repeat=3))
    around = [[number[n] for s in steps if (n := tuple(np.add(cell, s))) in number] for cell in order]
    normals = naive_normals(centre, around) if normal > 0 else np.zeros_like(centre)
    seeds = naive_seeds(centre, voxel, seed)

    owner, best = [-1] * len(order), [np.inf] * len(order)
    leaves = [set() for _ in seeds]
    for s, v in enumerate(seeds):
        leaves[s].add(v)
        owner[v] = s
    look = np.concatenate([normals, paint, centre], 1).astype(float)
    middle = {s: np.zeros(9) for s in range(len(seeds))}
    for _ in range(int(np.float32(1.8) * np.float32(seed) / np.float32(voxel)) - 1):
        for s in list(middle):
            new = []
            for v in sorted(leaves[s]):
                for u in around[v]:
                    if owner[u] == s:
                        continue
                    part = middle[s] - look[u]
                    distance = colour * np.linalg.norm(part[3:6]) + spatial / seed * np.linalg.norm(part[6:])
                    distance += normal * (1 - abs(middle[s][:3] @ look[u][:3]))
                    if distance < best[u]:
                        best[u] = distance
                        if owner[u] >= 0:
                            leaves[owner[u]].discard(u)
                        owner[u] = s
                        new.append(u)
            leaves[s].update(new)
        for s in list(middle):
            if not leaves[s]:
                del middle[s]
                continue
            mean = look[sorted(leaves[s])].mean(0)
            mean[:3] /= np.linalg.norm(mean[:3]) or 1
            middle[s] = mean
    return np.array(owner)[of_point] + 1


def coloured(points, key=0):
    xyz = room(points, key)
    rgb = np.clip(xyz / [8, 6, 3], 0, 1).astype(np.float32)
    rgb[(xyz[:, 0] * 2).astype(int) % 2 == 0] *= 0.5
    return xyz, rgb


@pytest.mark.parametrize("weights", [(0.5, 0.5, 0.0), (0.0, 1.0, 0.0), (0.1, 0.4, 1.0)])
@pytest.mark.parametrize(("points", "voxel", "seed"), [(1500, 0.3, 1.5), (2000, 0.4, 1.0), (300, 0.5, 1.2)])
def test_equals_the_naive_twin(points, voxel, seed, weights):
    xyz, rgb = coloured(points, points)
    expected = naive_vccs(xyz, rgb, voxel, seed, *weights)
    result = vccs(xyz, rgb, voxel, seed, *weights)
    assert result.dtype == np.int32
    # a tie that rounding breaks the other way may move a voxel
    assert (result == expected).mean() >= 0.999
    assert len(np.unique(result)) > 5


@pytest.mark.parametrize("name", sorted(set(awkward(60)) - {"two far clusters", "outlier", "two densities"}))
def test_awkward_clouds(name):
    xyz = awkward(120)[name]
    rgb = np.zeros_like(xyz)
    result = vccs(xyz, rgb, 0.3, 1.0, 0.5, 0.5, 0.2)
    assert (result >= 0).all()
    assert np.array_equal(vccs(xyz, rgb, 0.3, 1.0), naive_vccs(xyz, rgb, 0.3, 1.0, 0.5, 0.5, 0.0))


@pytest.mark.parametrize("normal", [0.0, 0.5])
def test_order_of_points_and_threads_do_not_matter(normal):
    xyz, rgb = coloured(20_000)
    result = vccs(xyz, rgb, 0.1, 1.0, normal=normal)
    order = generator("shuffle").permutation(len(xyz))
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        shuffled = vccs(xyz[order], rgb[order], 0.1, 1.0, normal=normal)
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(shuffled, result[order])


def test_lengths_are_rounded_as_pcl_rounds_them():
    """Points on a lattice of decimetres lie on the borders of voxels, and 0.1 in double precision moves them."""
    xyz = (generator("lattice").integers(0, 33, (4000, 3)) * 0.1).astype(np.float32)
    xyz[:2] = [[0, 0, 0], [3.2, 3.2, 3.2]]
    cells = [np.unique(voxelise(xyz, xyz, size).of_point, return_counts=True)[1] for size in (0.1, float(np.float32(0.1)))]
    assert len(cells[0]) != len(cells[1]), "the two lengths must differ here, or this test shows nothing"
    assert np.array_equal(vccs(xyz, xyz / 4, 0.1, 1.0), vccs(xyz, xyz / 4, float(np.float32(0.1)), 1.0))


def test_regions_are_about_as_large_as_the_seed():
    xyz, rgb = coloured(60_000)
    label = vccs(xyz, rgb * 0, 0.1, 1.0)
    extents = [np.ptp(xyz[label == s], axis=0).max() for s in range(1, label.max() + 1) if (label == s).sum() > 100]
    assert 0.7 < np.median(extents) < 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0.0, 1.0), "voxel = 0"),
        ((0.5, 0.5), "not larger"),
        ((0.1, 1.0, -1.0), "colour = -1"),
        ((0.1, 1.0, 0.0, 0.0, 0.0), "all 0"),
        ((1e-9, 1.0), "more than 2"),
    ],
)
def test_names_what_is_wrong(settings, message):
    xyz, rgb = coloured(50)
    with pytest.raises(ValueError, match=message):
        vccs(xyz, rgb, *settings)
