import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.hashing import hash_of
from al3d.rng import generator
from al3d.types import Scene
from al3d.units.clusters import SizedClusters
from al3d.units.column import Column
from al3d.units.kmeans_region import KMeansRegion
from al3d.units.point import PointUnit
from al3d.units.scene import SceneUnit
from al3d.units.smallest import regions_of, smallest_asked
from al3d.units.supervoxel import Supervoxel, dense
from al3d.units.voxel import VoxelUnit

UNITS = [
    SceneUnit(),
    PointUnit(),
    VoxelUnit(0.5),
    Supervoxel(0.2, 1.0),
    Supervoxel(0.2, 1.0, 0.0, 1.0, 0.5, minimum_points=0),
    Supervoxel(0.2, 1.0, 0.0, 1.0, 0.5, minimum_points="auto"),
    Column(0.5),
    KMeansRegion(),
    KMeansRegion(7, tolerance=0.0, squared=True),
    SizedClusters(),
    SizedClusters(ground=False, largest=None),
]
CLOUDS = {
    "one point": np.ones((1, 3)),
    "all equal": np.full((300, 3), -2.5),
    "line": generator("line").normal(size=(300, 3)) * [3, 0, 0],
    "plane": generator("plane").normal(size=(900, 3)) * [3, 3, 0],
    "far clusters": generator("far").normal(size=(300, 3)) * 0.3 + generator("side").integers(0, 2, (300, 1)) * 1e4,
    "volume": generator("volume").random((20_000, 3)) * 4,
}


def scene_of(xyz, columns=3):
    xyz = np.asarray(xyz, np.float32)
    feat = generator("feat").random((len(xyz), columns)).astype(np.float32)
    return Scene("test", xyz, feat)


def shuffled(scene):
    order = generator("order", len(scene)).permutation(len(scene))
    return Scene(scene.id, scene.xyz[order], scene.feat[order]), order


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@pytest.mark.parametrize("cloud", sorted(CLOUDS))
def test_ids_are_dense(unit, cloud):
    partition = unit(scene_of(CLOUDS[cloud]))
    ids = partition.unit
    assert ids.dtype == np.int32
    assert ids.shape == (len(CLOUDS[cloud]),)
    asked = np.unique(ids[ids >= 0])
    assert np.array_equal(asked, np.arange(len(asked)))
    assert ids.min() >= -1
    kinds = partition.kinds()
    assert kinds.dtype == np.uint8 and len(kinds) == len(asked) and kinds.max(initial=0) < len(unit.kinds)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if not isinstance(unit, PointUnit)], ids=lambda unit: unit.name)
@pytest.mark.parametrize("cloud", sorted(CLOUDS))
def test_ids_do_not_depend_on_the_order_of_points_or_the_threads(unit, cloud):
    scene = scene_of(CLOUDS[cloud])
    other, order = shuffled(scene)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = unit(other).unit
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(alone, unit(scene).unit[order])


def test_points_are_numbered_by_place():
    assert PointUnit()(scene_of(CLOUDS["line"])).unit.tolist() == list(range(300))


def test_what_is_stored():
    assert [unit.stored for unit in UNITS] == [False, False] + [True] * 9
    assert len({unit.name for unit in UNITS[:4]}) == 4


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(*[st.floats(-50, 50, width=32)] * 3), min_size=1, max_size=60), st.sampled_from([0.1, 0.25, 3.0]))
def test_voxels_equal_a_sorted_list_of_cells(points, size):
    xyz = np.array(points, np.float32)
    cells = [tuple(cell) for cell in np.floor(xyz.astype(np.float64) / size).astype(int)]
    number = {cell: i for i, cell in enumerate(sorted(set(cells)))}
    assert VoxelUnit(size)(scene_of(xyz)).unit.tolist() == [number[cell] for cell in cells]


def test_small_regions_are_pruned_and_the_rest_renumbered():
    label = np.repeat(np.array([0, 3, 1, 5, 2], np.int32), [4, 3, 1, 2, 3])
    assert dense(label, 3).tolist() == [-1] * 4 + [1] * 3 + [-1] * 3 + [0] * 3
    assert dense(label, 0).tolist() == [-1] * 4 + [2] * 3 + [0] + [3] * 2 + [1] * 3


def test_every_supervoxel_has_enough_points():
    ids = Supervoxel(0.2, 1.0, minimum_points=150)(scene_of(CLOUDS["volume"])).unit
    assert np.bincount(ids[ids >= 0]).min() >= 150
    assert ids.max() > 5


def test_auto_asks_for_a_twentieth_of_the_mean_region_whatever_the_spacing():
    dense_cloud = scene_of(generator("dense").random((200_000, 3)) * [4, 4, 0.2])
    sparse = scene_of(dense_cloud.xyz[::100])
    assert smallest_asked(dense_cloud, 1.0) == 100, "dense: as ReDAL"
    assert smallest_asked(sparse, 1.0) == int(0.05 * 2000 / regions_of(sparse, 1.0)) < 10
    for scene in (dense_cloud, sparse):
        found = Supervoxel(0.2, 1.0, minimum_points="auto")(scene).unit
        assert np.array_equal(found, Supervoxel(0.2, 1.0, minimum_points=smallest_asked(scene, 1.0))(scene).unit)
    assert (Supervoxel(0.2, 1.0)(sparse).unit < 0).mean() > 0.3 > 0.02 > (Supervoxel(0.2, 1.0, minimum_points="auto")(sparse).unit < 0).mean()
    assert smallest_asked(scene_of(np.zeros((1, 3))), 1.0) == 1


def test_only_auto_has_another_hash_than_before():
    options = {"voxel": 0.1, "seed": 1, "colour": 0.5, "spatial": 0.5, "normal": 0, "minimum_points": 100}
    before = hash_of({"class": "Supervoxel", "version": 2, "fields": options})
    assert hash_of(Supervoxel(0.1, 1.0)) == hash_of(Supervoxel(0.1, 1.0, minimum_points=100)) == before
    assert hash_of(Supervoxel(0.1, 1.0, minimum_points="auto")) != before


def test_supervoxels_use_colour_only_when_there_are_three_attributes():
    xyz = CLOUDS["volume"].astype(np.float32)
    red = np.zeros((len(xyz), 3), np.float32)
    red[xyz[:, 0] > 1.37] = [1, 0, 0]
    unit = Supervoxel(0.2, 1.0, colour=5.0)
    plain = unit(Scene("plain", xyz, np.zeros((len(xyz), 1), np.float32))).unit
    assert np.array_equal(plain, unit(Scene("black", xyz, np.zeros((len(xyz), 3), np.float32))).unit)
    assert not np.array_equal(plain, unit(Scene("red", xyz, red)).unit)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VoxelUnit(0.0), "size = 0"),
        (lambda: VoxelUnit(float("inf")), "size = inf"),
        (lambda: Supervoxel(0.0, 1.0), "voxel = 0"),
        (lambda: Supervoxel(1.0, 0.5), "not larger"),
        (lambda: Supervoxel(0.1, 1.0, minimum_points=-1), "minimum_points = -1: use auto, or a whole number"),
        (lambda: Supervoxel(0.1, 1.0, minimum_points="few"), "minimum_points = few: use auto"),
        (lambda: Supervoxel(0.1, 1.0, minimum_points=20.5), "minimum_points = 20.5"),
        (lambda: VoxelUnit(1e-12)(scene_of(CLOUDS["far clusters"])), "too many to number"),
    ],
)
def test_names_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()
