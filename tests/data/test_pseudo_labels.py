"""What a round is trained on when some labels are guessed: bought ones first, guesses where nothing was bought."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from al3d.data.batch import Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.data.store import Store
from al3d.data.voxelise import first_label, majority_label, voxelise
from al3d.types import IGNORE
from al3d.units.scene import SceneUnit
from al3d.units.supervoxel import Supervoxel

SIZE = 0.2  # voxels that hold points of several units


@pytest.fixture
def labels(tiny_store: Store, tiny_supervoxel: Supervoxel, tmp_path: Path) -> LabelState:
    """t_1 is bought whole, of t_2 two units; guessed are other units of t_2, some of t_4, and what is bought of t_1 anyway."""
    state = LabelState(tmp_path / "run", tiny_store)
    state.append({"t_1": [0]}, SceneUnit(), {})
    state.append({"t_2": [1, 5]}, tiny_supervoxel, {})
    guessed = {}
    for name, ids in (("t_1", [0]), ("t_2", [0, 1, 2, 3]), ("t_4", [2])):
        members = np.isin(tiny_store.unit(tiny_supervoxel, name), ids)
        guessed[name] = (ids, np.full(members.sum(), 2, np.uint8))
    state.write_pseudo(1, guessed, tiny_supervoxel, {})
    return state


def data(store: Store, labels: LabelState, round_index: int = 1, **more: object) -> RoundData:
    voxeliser = Voxeliser(SIZE, ("red", "x"), store.features, len(store.classes), **more)
    return RoundData(store, SimulatedOracle(store), labels, voxeliser, (), round_index, rng=0, batch_size=3, batches=2)


@pytest.mark.parametrize("voxel_label", ["majority", "first"])
def test_a_guess_fills_only_voxels_that_nothing_was_bought_in(tiny_store: Store, labels: LabelState, voxel_label: str) -> None:
    oracle, filled, seen = SimulatedOracle(tiny_store), 0, set()
    reduce = (lambda *values: majority_label(*values, 3)) if voxel_label == "majority" else first_label
    for batch in data(tiny_store, labels, voxel_label=voxel_label).train_dataloader():
        for place, index in enumerate(batch.index):
            name = tiny_store.splits["train"][index]
            seen.add(name)
            coord, inverse = voxelise(np.asarray(tiny_store.scene(name).xyz), SIZE)
            asked = labels.asked(name, 1)
            bought = reduce(oracle.answer(name, asked), inverse, len(coord))
            got = batch.label[batch.coord[:, 0] == place].numpy()
            assert np.array_equal(got[bought != IGNORE], bought[bought != IGNORE])
            rest = got[bought == IGNORE]
            assert set(rest.tolist()) <= {2, IGNORE}
            guess = labels.pseudo(name, 1)
            reached = np.unique(inverse[guess != IGNORE])
            assert set(np.flatnonzero((bought == IGNORE) & (got != IGNORE))) <= set(reached)
            if voxel_label == "majority":
                assert (got[reached] != IGNORE).all()
            filled += int((rest == 2).sum())
            assert name != "t_1" or guess is None or (guess == IGNORE).all()
    assert seen == {"t_1", "t_2", "t_4"} and filled > 0, "t_4 is trained on for its guess alone"


def test_guesses_are_gone_in_the_next_round(tiny_store: Store, labels: LabelState) -> None:
    labels.append({"t_6": [0]}, SceneUnit(), {})
    for round_index, wanted in ((0, {0}), (1, {0, 1, 3}), (2, {0, 1, 5})):
        loader = data(tiny_store, labels, round_index).train_dataloader()
        assert {index for batch in loader for index in batch.index} == wanted


def test_workers_read_the_same_guesses(tiny_store: Store, labels: LabelState) -> None:
    loaders = [data(tiny_store, labels) for _ in range(2)]
    loaders[1].workers = 2
    one, two = (list(loader.train_dataloader()) for loader in loaders)
    assert len(one) == len(two) == 2
    assert all(torch.equal(first.label, second.label) and first.index == second.index for first, second in zip(one, two, strict=True))
