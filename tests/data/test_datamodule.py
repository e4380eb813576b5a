"""The loaders of a round on a tiny data set: only asked points have labels, every judged point comes once, workers do not matter."""

from pathlib import Path

import numpy as np
import pytest
import torch

from al3d.data.augment import Colour, Elastic, Flip, Rotate, Scale
from al3d.data.batch import Crop, Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.data.prepare import prepare, voxel_counts
from al3d.data.sources.folder import Folder
from al3d.data.voxelise import majority_label, voxelise
from al3d.rng import generator
from al3d.types import IGNORE
from al3d.units.scene import SceneUnit

INPUTS = ("red", "green", "blue", "x", "y", "z")
INDOOR = (Elastic(), Rotate(), Scale(), Flip(), Colour())


@pytest.fixture
def labels(tiny_store, tiny_supervoxel, tmp_path):
    state = LabelState(tmp_path / "run", tiny_store)
    state.append({"t_2": [0]}, SceneUnit(), {})
    state.append({"t_2": [1], "t_5": [0, 3, 4]}, tiny_supervoxel, {})
    state.append({"t_6": [2]}, tiny_supervoxel, {})
    return state


def data(store, labels, augment=(), round_index=1, **more):
    voxeliser = Voxeliser(0.05, INPUTS, store.features, len(store.classes))
    values = {"rng": 0, "batch_size": 2, "batches": 3, **more}
    return RoundData(store, SimulatedOracle(store), labels, voxeliser, augment, round_index, **values)


def same(one, two):
    tensors = all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("coord", "feat", "label", "inverse"))
    return tensors and one.index == two.index and (one.point_label is None) == (two.point_label is None)


def test_only_asked_points_are_labelled(tiny_store, labels):
    oracle = SimulatedOracle(tiny_store)
    seen = set()
    for batch in data(tiny_store, labels, batches=4).train_dataloader():
        for place, index in enumerate(batch.index):
            name = tiny_store.splits["train"][index]
            coord, inverse = voxelise(np.asarray(tiny_store.scene(name).xyz), 0.05)
            rows = batch.coord[:, 0] == place
            wanted = majority_label(oracle.answer(name, labels.asked(name, 1)), inverse, len(coord), 3)
            assert np.array_equal(batch.label[rows], wanted) and np.array_equal(batch.coord[rows, 1:], coord)
            asked_voxels = np.unique(inverse[labels.asked(name, 1)])
            assert set(np.flatnonzero(wanted != IGNORE)) <= set(asked_voxels)
            seen.add(name)
    assert seen == {"t_2", "t_5"}, "t_6 was bought in a later round, the others never"


def test_a_round_trains_on_scenes_touched_up_to_it(tiny_store, labels):
    for round_index, wanted in ((0, {1}), (1, {1, 4}), (2, {1, 4, 5})):
        loader = data(tiny_store, labels, round_index=round_index, batches=6).train_dataloader()
        assert {index for batch in loader for index in batch.index} == wanted


def test_augmentation_follows_rng_round_and_draw(tiny_store, labels):
    def first(**more):
        loader = data(tiny_store, labels, INDOOR, **{"batch_size": 4, "batches": 1, **more}).train_dataloader()
        return next(iter(loader))

    assert same(first(), first())
    batch = first()
    scene = [batch.coord[batch.coord[:, 0] == place] for place, index in enumerate(batch.index) if index == batch.index[0]]
    assert len(scene) == 2 and scene[0][:, 1:].tolist() != scene[1][:, 1:].tolist(), "one scene drawn twice looks different"
    assert not same(first(), first(rng=1))


def test_every_judged_point_comes_once_with_its_true_label(tiny_store, labels):
    truth = SimulatedOracle(tiny_store)
    batches = list(data(tiny_store, labels).test_dataloader())
    assert [batch.index for batch in batches] == [[0], [1]]
    for batch, name in zip(batches, tiny_store.splits["val"], strict=True):
        assert np.array_equal(batch.point_label, truth.answer(name, np.ones(tiny_store.sizes[name], bool)))
        assert len(batch.inverse) == tiny_store.sizes[name] and bool((batch.label == IGNORE).all())
        coord, inverse = voxelise(np.asarray(tiny_store.scene(name).xyz), 0.05)
        assert np.array_equal(batch.coord[:, 1:][batch.inverse], coord[inverse])


def test_with_a_grid_raw_points_are_judged_unless_told(tiny_root, tmp_path):
    source = Folder(tiny_root)
    store = prepare(source, tmp_path, grid=0.05)
    labels = LabelState(tmp_path / "run", store)
    loaders = [data(store, labels, judged_points=points).test_dataloader() for points in ("raw", "prepared")]
    for name, raw, prepared in zip(store.splits["val"], *loaders, strict=True):
        scene, label = source.read(name)
        assert np.array_equal(raw.point_label, label) and len(raw.inverse) == len(scene)
        assert len(prepared.point_label) == len(prepared.inverse) == store.sizes[name] < len(scene)
        offset = (raw.coord[raw.inverse, 1:].numpy() * 0.05 - scene.xyz).astype(np.float64)
        assert np.ptp(offset, axis=0).max() < 0.21, "each raw point is judged by a voxel next to it"


def test_the_pool_has_no_labels_and_follows_its_blocks(tiny_store, labels):
    batches = list(data(tiny_store, labels, blocks=[range(1, 3), range(5, 6)]).predict_dataloader())
    assert [batch.index for batch in batches] == [[1], [2], [5]]
    assert all(bool((batch.label == IGNORE).all()) and batch.point_label is None for batch in batches)


def test_workers_do_not_change_a_batch(tiny_store, labels):
    loaders = [data(tiny_store, labels, INDOOR, blocks=[range(6)], workers=workers) for workers in (0, 2)]
    for kind in ("train", "test", "predict"):
        batches = [list(getattr(loader, f"{kind}_dataloader")()) for loader in loaders]
        assert len(batches[0]) == len(batches[1]) == {"train": 3, "test": 2, "predict": 6}[kind]
        assert all(same(one, two) for one, two in zip(*batches, strict=True)), kind


def test_a_batch_that_ranks_cannot_share_is_refused(tiny_store, labels, monkeypatch):
    odd = data(tiny_store, labels, batch_size=3)
    monkeypatch.setattr(odd, "_place", lambda: (0, 2))
    with pytest.raises(ValueError, match="a batch of 3 scenes cannot be shared by 2 ranks"):
        odd.train_dataloader()


def test_two_ranks_together_train_on_what_one_does(tiny_store, labels, monkeypatch):
    whole = [index for batch in data(tiny_store, labels, batch_size=4).train_dataloader() for index in batch.index]
    halves = []
    for rank in range(2):
        half = data(tiny_store, labels, batch_size=4)
        monkeypatch.setattr(half, "_place", lambda rank=rank: (rank, 2))
        halves.append([batch.index for batch in half.train_dataloader()])
    assert [index for pair in zip(*halves, strict=True) for part in pair for index in part] == whole


def test_no_label_at_all_is_said(tiny_store, tmp_path):
    with pytest.raises(ValueError, match="no labelled scene"):
        data(tiny_store, LabelState(tmp_path, tiny_store), round_index=-1).train_dataloader()


def test_large_scenes_are_cropped_in_training_alone(tiny_store, labels):
    whole, cut = data(tiny_store, labels, INDOOR, batches=4), data(tiny_store, labels, INDOOR, batches=4, crop=Crop(300))
    some = False
    for one, two in zip(whole.train_dataloader(), cut.train_dataloader(), strict=True):
        assert one.index == two.index
        for place in range(len(one.index)):
            first, second = ({tuple(row) for row in batch.coord[batch.coord[:, 0] == place].tolist()} for batch in (one, two))
            assert len(second) == min(300, len(first)) and second <= first, "the augmentation's randomness is not touched"
            some |= len(second) < len(first)
        assert bool((two.label != IGNORE).any()) and int(two.inverse.max()) + 1 == len(two.coord)
        assert torch.equal(torch.unique(two.inverse), torch.arange(len(two.coord)))
    assert some
    assert all(same(one, two) for one, two in zip(whole.test_dataloader(), cut.test_dataloader(), strict=True))


def test_batches_by_voxels(tiny_store, labels, monkeypatch):
    counts = voxel_counts(tiny_store, 0.05)
    first, second = (counts[name] for name in ("t_2", "t_5"))
    limit = first + second
    limits = {"batch_size": 6, "batches": 6, "batch_voxels": limit, "voxel_counts": counts}
    batches = list(data(tiny_store, labels, **limits).train_dataloader())
    assert all(len(batch.index) == 1 or len(batch.coord) <= limit for batch in batches) and {len(batch.index) for batch in batches} & {2}
    again = list(data(tiny_store, labels, workers=2, **limits).train_dataloader())
    assert all(same(one, two) for one, two in zip(batches, again, strict=True))
    small = list(data(tiny_store, labels, crop=Crop(50), **{**limits, "batch_voxels": 200}).train_dataloader())
    assert {len(batch.index) for batch in small} == {4}, "a cropped scene counts as its crop"
    half = data(tiny_store, labels, **limits)
    monkeypatch.setattr(half, "_place", lambda: (0, 2))
    assert {len(batch.index) for batch in half.train_dataloader()} == {1}, "the limit is for all ranks together"
    with pytest.raises(ValueError, match="both batch_voxels and the voxel_counts"):
        data(tiny_store, labels, batch_voxels=5)


def anonymous_megabytes(worker):
    """What a process holds for itself; pages of mapped files can be dropped at any time and do not count."""
    text = Path(f"/proc/{worker.pid}/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024


@pytest.mark.slow
def test_workers_do_not_grow(tmp_path):
    root = tmp_path / "large"
    (root / "scenes").mkdir(parents=True)
    (root / "dataset.yaml").write_text("name: large\nclasses: [a, b]\nsplits: {train: [s0, s1, s2], val: [s3]}\n")
    for number in range(4):
        random = generator("large", number)
        xyz, colour = random.random((1_000_000, 3), np.float32), random.random((1_000_000, 3), np.float32)
        np.savez(root / "scenes" / f"s{number}.npz", xyz=xyz, rgb=colour, label=random.integers(0, 2, 1_000_000).astype(np.uint8))
    store = prepare(Folder(root), tmp_path)
    labels = LabelState(tmp_path / "run", store)
    labels.append({name: [0] for name in store.splits["train"]}, SceneUnit(), {})
    voxeliser = Voxeliser(0.02, INPUTS, store.features, len(store.classes))
    loader = RoundData(store, SimulatedOracle(store), labels, voxeliser, INDOOR, 0, 0, batch_size=1, batches=60, workers=2).train_dataloader()
    iterator, seen = iter(loader), []
    for _ in iterator:
        seen.append(max(anonymous_megabytes(worker) for worker in iterator._workers))
    assert max(seen[30:]) < max(seen[6:30]) + 40, f"60 scenes of 24 MB: {seen}"
