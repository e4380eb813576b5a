"""The heavy steps in torch, on the CPU device, against their twins in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans as KMeansOf

from al3d.acquire.budget import Ledger
from al3d.acquire.clustering import KMeans, from_centre
from al3d.acquire.cover import Pairs, ProbCover
from al3d.acquire.distances import Nearest, mean_of_nearest, squared_distance, summed
from al3d.acquire.diverse import PlusPlus, TypiClust
from al3d.acquire.embed import EMBEDDINGS
from al3d.acquire.fusion import RankFusion
from al3d.acquire.kcenter import KCenter
from al3d.acquire.pairwise import diversities, pair_scores, touched
from al3d.acquire.pick import ClusterDecay
from al3d.acquire.reduce import describe
from al3d.arrays import elsewhere
from al3d.data.voxelise import voxelise
from al3d.features.kmeans import kmeans_labels
from al3d.learn import on_device
from al3d.learn.on_device import OnDevice, computing, computing_on
from al3d.types import Scene, Units, View

CPU = torch.device("cpu")
THERE = OnDevice(CPU)
KINDS = ("noise", "clustered", "copies", "grid")
#: Rows of a kind, and so many numbers of a temporary array that there are several blocks.
DRAWS = given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.sampled_from([500, 2**25]))
OFTEN = settings(max_examples=25, deadline=None)


def rows_of(kind, seed, count=90, width=7):
    """Rows, some kinds with equal ones ("copies") or with whole numbers ("grid"), between which many distances are equal and exact."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, width))
    if kind == "clustered":
        rows += 6 * random.normal(size=(5, width))[random.integers(0, 5, count)]
    if kind == "copies":
        rows = rows[random.integers(0, count // 3, count)]
    if kind == "grid":
        rows = random.integers(0, 4, (count, 3))
    return np.ascontiguousarray(rows, dtype=np.float32)


@pytest.fixture(autouse=True)
def blocks():
    """Put the size of blocks back."""
    before = on_device.BLOCK
    yield
    on_device.BLOCK = before


def equal_where_rows_are(values, rows):
    _, group = np.unique(rows, axis=0, return_inverse=True)
    first = np.full(group.max() + 1, np.nan)
    first[group.reshape(-1)[::-1]] = values[::-1]
    return np.array_equal(first[group.reshape(-1)], values)


def near(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-6)


@DRAWS
@OFTEN
def test_distances_as_in_numpy_and_equal_for_equal_rows(kind, seed, block):
    on_device.BLOCK = block
    rows = rows_of(kind, seed)
    for got, wanted in (
        (THERE.squared_distance(rows, rows[5]), squared_distance(rows, rows[5])),
        (THERE.mean_of_nearest(rows, 6), mean_of_nearest(rows, 6)),
    ):
        near(got, wanted)
        assert got.dtype == wanted.dtype and equal_where_rows_are(got, rows)
    got, wanted = THERE.summed(rows, rows[:31]), summed(rows, rows[:31])
    np.testing.assert_allclose(got, wanted, rtol=1e-4)  # a row among the centres: the root of what its product is off by
    assert equal_where_rows_are(got, rows)
    label = kmeans_labels(rows, 6)
    np.testing.assert_allclose(THERE.from_centre(rows, label), from_centre(rows, label), rtol=1e-9, atol=1e-12)


@DRAWS
@OFTEN
def test_covering_as_in_numpy(kind, seed, block):
    on_device.BLOCK = block
    rows = rows_of(kind, seed)
    taken = np.array([3, 40]) if seed % 2 else np.zeros(0, np.int64)
    there, here = THERE.covering(rows, taken), Nearest(rows, taken)
    for one in (there, here):
        one.close(np.array([7, 8]), -np.inf)
        one.close(9, 0)
    for row in [3, 11, 12, 60]:
        for one in (there, here):
            one.take(row)
        near(there.part(0, len(rows)), here.distance)
    assert np.isneginf(there.part(7, 9)).all() and there.part(9, 10)[0] == 0
    near(there.farthest()[1], here.farthest()[1])
    assert there.farthest()[0] == int(np.argmax(there.part(0, len(rows))))
    there.close(np.isneginf(here.distance), 0)
    here.close(np.isneginf(here.distance), 0)
    near(there.sums(32), here.sums(32))


def test_taking_rows_passes_over_none_that_matters():
    """Against all distances, bit for bit, with features far from the origin, where products are off most."""
    rows = rows_of("clustered", 1, 400, 33) + np.float32(30)
    covered = THERE.covering(rows, np.zeros(0, np.int64))
    naive = np.full(len(rows), np.inf, np.float32)
    for row in range(0, 400, 9):
        covered.take(row)
        naive = np.minimum(naive, THERE.squared_distance(rows, rows[row]))
        assert np.array_equal(covered.part(0, len(rows)), naive)


@DRAWS
@OFTEN
def test_balls_as_in_numpy(kind, seed, block):
    on_device.BLOCK = block
    rows = rows_of(kind, seed)
    there, here, label = THERE.balls(rows), Pairs(rows), kmeans_labels(rows, 3)
    near(there.to_row(4), here.to_row(4))
    near(there.to_other(label), here.to_other(label))
    assert np.isinf(there.to_other(np.zeros(len(rows), np.int32))).all()
    members = np.arange(0, len(rows), 2)
    for squared in (0.0, 2.0, 9.0, 25.0, np.inf):
        assert np.array_equal(there.within(members, squared), here.within(members, squared))
    assert not there.within(members[:0], 4.0).any()
    exact = float(there.to_row(4)[20])  # an open ball of exactly that radius does not hold row 20
    assert there.within(np.array([20]), exact)[4] == 0 and there.within(np.array([20]), np.nextafter(np.float32(exact), np.inf))[4] == 1


@given(st.sampled_from(("noise", "clustered", "copies")), st.integers(0, 2**32 - 1), st.integers(2, 25), st.sampled_from(["fast", "paper"]))
@settings(max_examples=20, deadline=None)
def test_clusters_as_in_numpy(kind, seed, clusters, mode):
    rows = rows_of(kind, seed)
    wanted = kmeans_labels(rows, clusters, mode)
    with computing_on(CPU, any_size=True):
        got = kmeans_labels(rows, clusters, mode)
    assert got.dtype == wanted.dtype and np.array_equal(got, wanted)


@pytest.mark.parametrize("steps", [1, 2, 25])
@pytest.mark.parametrize("seed", range(5))
def test_an_empty_cluster_gets_the_farthest_row(seed, steps):
    """Starts far outside are nobody's nearest: scikit-learn refills those clusters, one of them from a cluster of a single row."""
    rows = np.concatenate([rows_of("clustered", seed, 30, 2), np.array([[90, 0]], np.float32)])
    start = np.concatenate([rows[[0, 30]], 1000 + rows[:4]])
    wanted = KMeansOf(6, init=start, n_init=1, max_iter=steps).fit(rows)
    label, inertia = THERE.lloyd(rows, start, steps, 1e-4)
    assert np.array_equal(label, wanted.labels_) and inertia == pytest.approx(wanted.inertia_, rel=1e-4)
    assert len(np.unique(label)) > 2


def test_of_equally_near_centres_the_first_is_taken():
    rows = np.array([[0, 0], [4, 0], [2, 0], [2, 1]], np.float32)
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    assert on_device._owners(torch.from_numpy(rows), centres).tolist() == [0, 1, 0, 0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 3), st.sampled_from([2, 5, 256]))
@OFTEN
def test_sums_of_groups(seed, groups, width, run):
    random, before = np.random.default_rng(seed), on_device.RUN
    on_device.RUN = run
    try:
        group = random.integers(0, groups, 40)
        values = random.normal(size=(40, width))
        wanted = np.stack([np.bincount(group, column, groups) for column in values.T], axis=1)
        np.testing.assert_allclose(THERE.group_sums(values, group, groups), wanted, rtol=1e-12, atol=1e-12)
    finally:
        on_device.RUN = before
    assert THERE.group_sums(values[:0], group[:0], 2).tolist() == [[0.0] * width] * 2


def test_a_shared_hash_hides_no_row(monkeypatch):
    rows = torch.from_numpy(rows_of("copies", 2))
    first, place = on_device._first_equal(rows)
    assert len(first) < len(rows) and torch.equal(rows[first[place]], rows)
    monkeypatch.setattr(on_device, "_hashes", lambda rows: torch.zeros(len(rows), dtype=torch.long))
    first, place = on_device._first_equal(rows)
    assert torch.equal(rows[first[place]], rows)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.1, 0.3]))
@OFTEN
def test_voxels_bit_for_bit(seed, size):
    random = np.random.default_rng(seed)
    xyz = np.where(random.random((300, 1)) < 0.5, random.normal(size=(300, 3)), random.integers(-9, 9, (300, 3)) * size / 2).astype(np.float32)
    wanted = voxelise(xyz, size)
    with computing_on(CPU, any_size=True):
        got = voxelise(xyz, size)
    assert all(one.dtype == two.dtype and np.array_equal(one, two) for one, two in zip(got, wanted, strict=True))


@pytest.mark.parametrize("kind", [kind for kind in EMBEDDINGS if kind != "views"])
def test_a_harvest_as_in_numpy(kind):
    random = np.random.default_rng(5)
    points, voxels = 3000, 400
    scene = Scene("room", random.random((points, 3), np.float32), np.zeros((points, 1), np.float32))
    unit = random.integers(-1, 12, points).astype(np.int32)
    asked = random.random(points) < 0.3
    prob = random.dirichlet(np.ones(4), voxels).astype(np.float32)
    view = View(scene, 0, unit, np.zeros(12, np.uint8), asked, (), prob, random.random((voxels, 9), np.float32), random.integers(0, voxels, points))
    score = random.random((points, 2), np.float32)
    wanted = describe(view, score, True, True, 5, kind)
    with computing_on(CPU, any_size=True):
        got = describe(view, score, True, True, 5, kind)
    assert np.array_equal(got.unit, wanted.unit) and np.array_equal(got.score, wanted.score)
    assert got.feature.dtype == wanted.feature.dtype
    np.testing.assert_allclose(got.feature.astype(float), wanted.feature.astype(float), rtol=2e-3 if kind == "gradient" else 2e-6, atol=1e-6)


def pool(kind, seed, count=240, labelled=9):
    random = np.random.default_rng(seed)
    known = np.zeros(count, bool)
    known[random.choice(count, labelled, replace=False)] = True
    size = random.integers(1, 30, count)
    feature = rows_of(kind, seed, count, 12)
    return Units(
        scene=np.repeat(np.arange(count // 4), 4).astype(np.int32),
        unit=np.tile(np.arange(4), count // 4).astype(np.int32),
        size=np.where(known, 0, size),
        points=size,
        center=random.random((count, 3), np.float32),
        extent=np.ones((count, 3), np.float32),
        world=np.zeros((count, 3)),
        drive=np.zeros(count, np.int32),
        score=random.random((count, 1), np.float32),
        feature=feature,
        kind=np.zeros(count, np.uint8),
        predicted=np.zeros(count, np.uint8),
        clicks=np.ones(count, np.int64),
        labelled=known,
    )


PICKS = {
    "kcenter": (KCenter(), KINDS),
    "plus plus": (PlusPlus(), KINDS),
    "probcover": (ProbCover(4), ("noise", "clustered", "copies")),
    "typiclust": (TypiClust(20, 5), ("noise", "clustered", "copies")),
    "kmeans": (KMeans(clusters=12), ("noise", "clustered", "copies")),
    "furthest": (KMeans("furthest", 12), ("noise", "clustered", "copies")),
    "fusion": (RankFusion(), ("noise", "clustered")),
    "decay": (ClusterDecay(10), ("noise", "clustered", "copies")),
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, (_, kinds) in PICKS.items() for kind in kinds])
@pytest.mark.parametrize("labelled", [0, 9])
def test_the_same_choice(name, kind, labelled):
    """Also among equal rows: the earlier one is taken on both sides."""
    units, chosen = pool(kind, 11 + labelled, labelled=labelled), []
    for device in (None, CPU):
        ledger = Ledger(units, int(units.points.sum() * 0.4), "skip_to_fit")
        if device is None:
            PICKS[name][0](units, ledger, (1,))
        else:
            with computing_on(device, any_size=True):
                PICKS[name][0](units, ledger, (1,))
        chosen.append(list(ledger.rows))
    assert chosen[0] == chosen[1] and len(chosen[0]) > 20


def test_the_same_pairs_of_scenes():
    feature = np.random.default_rng(8).normal(size=(40, 3, 16)).astype(np.float32)
    feature[30:] = feature[:10]
    wanted, best = pair_scores(diversities(feature), "seedal"), touched(diversities(feature), "seedal", 50)
    with computing_on(CPU, any_size=True):
        np.testing.assert_allclose(pair_scores(diversities(feature), "seedal"), wanted, rtol=1e-6, atol=1e-7)
        assert np.array_equal(touched(diversities(feature), "seedal", 50), best)


def test_products_are_in_full_precision_and_training_keeps_its_own():
    rows = torch.from_numpy(rows_of("noise", 3))
    torch.set_float32_matmul_precision("medium")
    try:
        with on_device._full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        on_device._about(rows, rows)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def announced(compute, device):
    with computing(compute, torch.device(device)):
        return [elsewhere("products", work, np.zeros(1)) for work in (1, 2**40)]


def test_who_computes():
    assert announced("auto", "cpu") == announced("numpy", "cpu") == announced("numpy", "cuda") == announced("auto", "mps") == [None, None]
    assert announced("torch", "cpu") == [THERE, THERE]
    with pytest.raises(ValueError, match=r"trainer\.compute='jax' is not one of auto, numpy, torch"):
        announced("jax", "cpu")
    with pytest.raises(ValueError, match=r"double precision.*set trainer\.compute=numpy"):
        announced("torch", "mps")


def test_a_gpu_takes_large_work_that_fits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1200, 9999))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 180)
    there = OnDevice(torch.device("cuda"))
    assert there.room() == 110
    with computing("auto", torch.device("cuda")):
        assert elsewhere("products", 1, np.zeros(1)) is None
        assert elsewhere("products", 2**40, np.zeros(110)) == there
        assert elsewhere("products", 2**40, np.zeros(111)) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_bits_of_the_cpu(kind):
    """Where distances are compared; sums of groups only within rounding."""
    gpu, rows = OnDevice(torch.device("cuda")), rows_of(kind, 7, 3000, 24)
    label = kmeans_labels(rows, 9)
    for steps in (lambda one: one.squared_distance(rows, rows[5]), lambda one: one.balls(rows).to_other(label), lambda one: one.balls(rows).to_row(3)):
        assert np.array_equal(steps(gpu), steps(THERE))
    assert np.array_equal(gpu.lloyd(rows, rows[:9], 50, 1e-4)[0], THERE.lloyd(rows, rows[:9], 50, 1e-4)[0])
    covered = [one.covering(rows, np.array([3, 40])) for one in (gpu, THERE)]
    for row in range(0, 3000, 100):
        for one in covered:
            one.take(row)
        assert covered[0].farthest() == covered[1].farthest()
    xyz = rows[:, :3].copy()
    for ours, theirs in zip(gpu.voxel_keys(xyz, xyz.min(axis=0), np.float32(0.1)), THERE.voxel_keys(xyz, xyz.min(axis=0), np.float32(0.1)), strict=True):
        assert np.array_equal(ours, theirs)
    near(gpu.mean_of_nearest(rows, 6), THERE.mean_of_nearest(rows, 6))
    near(gpu.from_centre(rows, label), THERE.from_centre(rows, label))


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for devices, least in ((2, 2), ("2", 2), (-1, 1), ("auto", 1), ([0, 3], 4), ("0,3", 4), ("1,", 2)):
        assert on_device.least_devices(devices) == least
    on_device.check_devices("cpu", 8)  # processes share a CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    on_device.check_devices("auto", 2)
    with pytest.raises(ValueError, match=r"trainer\.accelerator=gpu: PyTorch finds no GPU here"):
        on_device.check_devices("gpu", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    on_device.check_devices("auto", 2)
    with pytest.raises(ValueError, match=r"trainer\.devices=3, but PyTorch finds 2 GPUs here: set trainer\.devices=2"):
        on_device.check_devices("auto", 3)
