"""The harvest with neighbouring frames: what a sliding window gives is what all views in memory give, on any number of ranks."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget, Spent
from al3d.acquire.callback import ActiveLearning
from al3d.acquire.interframe import InterFrame
from al3d.acquire.pool import Pool
from al3d.acquire.reduce import join, load_units
from al3d.acquire.swap import SwapNearby
from al3d.data.batch import Batch
from al3d.data.labels import LabelState
from al3d.data.prepare import prepare
from al3d.data.samplers import share_of
from al3d.learn.segmenter import Prediction
from al3d.rng import generator
from al3d.types import ClassTable, Scene, Units
from al3d.units.kmeans_region import KMeansRegion

FRAMES, POINTS, CLASSES = 9, 120, 4
REGIONS = KMeansRegion(regions=4, tolerance=0.3)


@dataclass(frozen=True)
class Drives:
    """Drives of 9 frames around the same places, seen from a moving scanner; the last drive is for validation."""

    drives: tuple[str, ...] = ("a", "b")
    frames: int = FRAMES
    name: str = "drives"
    classes = ClassTable(tuple("wxyz"), ((0, 0, 0),) * 4)
    features = ("intensity",)
    scale = {}
    splits = ("train", "val")
    published = {}

    def scenes(self, split):
        return tuple(f"{drive}_{frame:03d}" for drive in (self.drives if split == "train" else ("v",)) for frame in range(self.frames))

    def read(self, scene_id):
        drive, frame = scene_id.split("_")
        random = generator("harvest", scene_id)
        place = generator("harvest", drive).uniform(0, 2, (POINTS, 3))
        pose = np.eye(4)
        angle = 0.1 * int(frame)
        pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pose[:3, 3] = [0.5 * int(frame), 3, 1]
        local = (place + random.normal(0, 0.04, place.shape) - pose[:3, 3]) @ pose[:3, :3]
        scene = Scene(scene_id, local.astype(np.float32), np.full((POINTS, 1), 0.5, np.float32), sequence=drive, frame=int(frame), pose=pose)
        return scene, random.integers(0, CLASSES, POINTS).astype(np.uint8)

    def fingerprint(self):
        return "drives-" + "".join(self.drives) + str(self.frames)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare(Drives(), tmp_path_factory.mktemp("drives"), partitioners=(REGIONS,))


@pytest.fixture
def pool(store, tmp_path):
    labels = LabelState(tmp_path / "run", store)
    labels.append({"a_003": [1], "b_008": [0, 2]}, REGIONS, {})
    return Pool(store, labels, method(), rng=1, round_index=0)


def method(frames=2):
    return Acquirer("lidal", REGIONS, SwapNearby(0.5), Budget(5.0), InterFrame(frames, 0.1))


def predicted(index):
    """What a network would say about a scene: voxels of two or three points each."""
    random = generator("predicted", index)
    voxels = POINTS // 2
    inverse = np.r_[np.arange(voxels), random.integers(0, voxels, POINTS - voxels)]
    prob = random.dirichlet(np.full(CLASSES, 0.5), voxels).astype(np.float32)
    coord = torch.zeros((voxels, 4), dtype=torch.int32)
    batch = Batch(coord, torch.zeros(voxels, 1), torch.full((voxels,), 255), torch.from_numpy(inverse), [index])
    return Prediction(prob, np.zeros((voxels, 2), np.float32)), batch


class Counted(dict):
    """A dictionary that remembers how many things it ever held."""

    most = 0

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.most = max(self.most, len(self))


def harvest(pool, folder, rank=0, world=1, stop_after=None, views_seen=None):
    """Predict and score one rank's share; returns the callback, the scenes predicted, and how many views were held at most."""
    callback = ActiveLearning(pool, lambda block: folder / f"{block}.npz")
    own = share_of(callback.missing(), rank, world) if views_seen is None else share_of(views_seen, rank, world)
    callback._views = Counted()
    callback.begin(own)
    order = callback.to_predict(own)
    for place, index in enumerate(order[:stop_after]):
        callback.on_predict_batch_end(None, None, *predicted(index), place)
    return callback, order, callback._views.most


def gathered(pool, folder):
    return join([load_units(folder / f"{block}.npz") for block in range(len(pool.blocks()))])


def naive(pool):
    """Every view in memory, every frame with its own window."""
    views = []
    for index in range(len(pool.scenes)):
        outputs, batch = predicted(index)
        views.append(pool.view(index, outputs.prob, outputs.feature, batch.inverse.numpy()))
    rows = []
    for index in range(2 * FRAMES):
        start = index // FRAMES * FRAMES
        place = index - start
        low = min(max(place - 2, 0), FRAMES - 5)
        window = [start + other for other in range(low, low + 5) if other != place]
        rows.append(pool.method.local(replace(views[index], neighbours=tuple(views[other] for other in window))))
    return join(rows)


def equal(one: Units, two: Units):
    for name in Units.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_a_sliding_window_gives_what_all_views_in_memory_give(pool, tmp_path):
    callback, order, most = harvest(pool, tmp_path)
    assert order == list(range(18)) and not callback.missing()
    assert most <= 2 * 2 + 2 and not callback._views, "a window, and the frame that has just come; nothing is left behind"
    units = gathered(pool, tmp_path)
    equal(units, naive(pool))
    assert len(units) == 18 * 4 - 3 and units.score.shape[1] == 2 and (units.score > 0).mean() > 0.9
    assert len(np.unique(units.drive)) == 2


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_write_the_same_rows_as_one(pool, tmp_path, world):
    harvest(pool, tmp_path / "one")
    blocks = pool.blocks()
    predictions = 0
    for rank in range(world):
        _, order, most = harvest(pool, tmp_path / "many", rank, world, views_seen=blocks)
        assert most <= 2 * 2 + 2
        predictions += len(order)
    equal(gathered(pool, tmp_path / "many"), gathered(pool, tmp_path / "one"))
    assert 18 < predictions <= 18 + (world - 1) * 2 * 4, "a share is predicted with its halo, and with no more"


def test_a_stopped_harvest_goes_on_with_the_blocks_that_are_missing(pool, tmp_path):
    harvest(pool, tmp_path / "whole")
    stopped, _, _ = harvest(pool, tmp_path / "parts", stop_after=11)
    done = {block[0] for block in pool.blocks()} - {block[0] for block in stopped.missing()}
    assert done == {0, 2, 4, 6}, "frame 8's block waits for the first of the next drive, which waits for its fifth"
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "parts").iterdir()}
    again, order, _ = harvest(pool, tmp_path / "parts")
    assert order == list(range(4, 18)), "the drive's last window is predicted again, nothing before it"
    assert not again.missing()
    equal(gathered(pool, tmp_path / "parts"), gathered(pool, tmp_path / "whole"))
    assert {name: (tmp_path / "parts" / name).stat().st_mtime_ns for name in times} == times


@pytest.mark.parametrize("gaps", [(0,), (4,), (1, 7), (0, 3, 8)])
def test_any_blocks_may_be_missing(pool, tmp_path, gaps):
    harvest(pool, tmp_path)
    before = gathered(pool, tmp_path)
    for block in gaps:
        Path(tmp_path / f"{block}.npz").unlink()
    callback, order, most = harvest(pool, tmp_path)
    wanted = {other for block in gaps for scene in pool.blocks()[block] for other in callback.windows[scene]}
    assert order == sorted(wanted) and most <= 2 * 2 + 2 and not callback._views
    equal(gathered(pool, tmp_path), before)


def test_the_choice_is_the_same_whatever_the_shards(pool, tmp_path):
    harvest(pool, tmp_path / "one")
    for rank in range(3):
        harvest(pool, tmp_path / "three", rank, 3, views_seen=pool.blocks())
    history = [Spent(90, 3)]
    chosen = [pool.method.select(gathered(pool, tmp_path / folder), 1, history, 18 * POINTS, pool.key)[0].tolist() for folder in ("one", "three")]
    assert chosen[0] == chosen[1] and len(chosen[0]) >= 2


def test_without_context_no_view_stays(pool, tmp_path):
    alone = replace(pool, method=replace(pool.method, score=None, pick=SwapNearby(1.0)))
    _, _, most = harvest(alone, tmp_path)
    assert most == 1
    assert (gathered(alone, tmp_path).score == 0).all()


def test_drives_that_are_too_short_are_refused(tmp_path):
    short = prepare(Drives(("a",), 4), tmp_path / "store", partitioners=(REGIONS,))
    with pytest.raises(ValueError, match=r"drive 'a' has 4 frames.*needs at least 5"):
        ActiveLearning(Pool(short, LabelState(tmp_path / "run", short), method(), 0, 0), lambda block: tmp_path / str(block))
