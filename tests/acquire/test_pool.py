"""The pool, its purchases and its harvest, on a tiny data set."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget, Spent
from al3d.acquire.callback import ActiveLearning
from al3d.acquire.pick import ClusterDecay, Top
from al3d.acquire.pool import Pool, base_points
from al3d.acquire.purchase import buy
from al3d.acquire.reduce import join, load_units
from al3d.acquire.score import Entropy, Random
from al3d.data.batch import Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.learn.segmenter import Prediction
from al3d.rng import generator
from al3d.types import IGNORE
from al3d.units.point import PointUnit
from al3d.units.scene import SceneUnit


@pytest.fixture
def labels(tiny_store, tmp_path):
    return LabelState(tmp_path / "run", tiny_store)


@dataclass(frozen=True)
class Human:
    """An oracle that knows as much as the simulated one, but is asked only for what was bought."""

    inner: SimulatedOracle
    simulated: bool = False

    def answer(self, scene_id, asked):
        assert asked.sum() < asked.size
        return self.inner.answer(scene_id, asked)

    raw_labels = None


def seed_method(units=2):
    return Acquirer("random", SceneUnit(), Top(), Budget(units, "units"), Random())


def test_selection_before_the_seed_sees_nothing_asked(tiny_store, labels):
    pool = Pool(tiny_store, labels, seed_method(), rng=3, round_index=-1)
    assert pool.scenes == tiny_store.splits["train"] and pool.key == (3, "acquire", -1)
    assert not pool.view(0).asked.any() and pool.view(2).key == (3, "acquire", -1, "t_3")
    units = pool.harvest_unpredicted(quiet=True)
    assert units.size.tolist() == [tiny_store.sizes[name] for name in pool.scenes] and units.scene.tolist() == list(range(6))


def test_a_view_knows_only_rounds_up_to_its_own(tiny_store, labels, tiny_supervoxel):
    labels.append({"t_1": [0]}, SceneUnit(), {})
    labels.append({"t_2": [0]}, SceneUnit(), {})
    asked = {r: [Pool(tiny_store, labels, seed_method(), 0, r).view(i).asked.mean() for i in range(3)] for r in (-1, 0, 1)}
    assert asked == {-1: [0, 0, 0], 0: [1, 0, 0], 1: [1, 1, 0]}


def test_random_choice_follows_rng_and_round(tiny_store, labels):
    method = Acquirer("random", SceneUnit(), Top(), Budget(6, "units"), Random())
    orders = []
    for rng, round_index in ((0, 0), (0, 0), (1, 0), (0, 1), (2, 0), (0, 2)):
        pool = Pool(tiny_store, labels, method, rng, round_index)
        rows, _ = method.select(pool.harvest_unpredicted(True), 0, [], 1, pool.key)
        orders.append(tuple(rows.tolist()))
    assert orders[0] == orders[1] and len(set(orders)) > 3


def test_the_same_seed_is_drawn_for_every_method_that_follows(tiny_store, labels):
    other = Pool(tiny_store, labels, Acquirer("again", SceneUnit(), Top(), Budget(1, "units"), Random()), 0, -1)
    assert np.array_equal(other.harvest_unpredicted(True).score, Pool(tiny_store, labels, seed_method(), 0, -1).harvest_unpredicted(True).score)


@pytest.mark.parametrize("count, wanted", [(1, [1]), (6, [1] * 6), (17, [2] * 8 + [1]), (1000, [63] * 15 + [55]), (19130, [256] * 74 + [186])])
def test_blocks_are_consecutive_and_cover_every_scene(tiny_store, labels, count, wanted):
    class Fake:
        splits = {"train": tuple(map(str, range(count)))}

    blocks = Pool(Fake(), labels, seed_method(), 0, 0).blocks()
    assert [len(block) for block in blocks] == wanted
    assert [scene for block in blocks for scene in block] == list(range(count))


def test_base_points(tiny_store, tiny_supervoxel):
    method = Acquirer("x", tiny_supervoxel, Top(), Budget(1))
    train, val = (sum(tiny_store.sizes[name] for name in tiny_store.splits[split]) for split in ("train", "val"))
    outside = sum(int((tiny_store.unit(tiny_supervoxel, name) < 0).sum()) for name in tiny_store.splits["train"])
    got = [base_points(tiny_store, base, method) for base in ("prepared", "raw", "train_and_val", "queryable", 777)]
    assert got == [train, train, train + val, train - outside, 777] and outside > 0
    for base in ("all", 0, -5):
        with pytest.raises(ValueError, match="is not one of prepared, queryable"):
            base_points(tiny_store, base, method)


def buy_rounds(store, labels, methods, rounds, oracle=None, file=None):
    base = base_points(store, "prepared", methods[-1])
    for round_index in range(-1, rounds - 1):
        pool = Pool(store, labels, methods[min(round_index + 1, len(methods) - 1)], 0, round_index)
        buy(pool, pool.harvest_unpredicted(True), oracle or SimulatedOracle(store), base, file and file.with_name(f"{round_index}.parquet"))


def masks(store, labels, round_index=None):
    return {name: labels.asked(name, round_index) for name in store.splits["train"]}


def test_records_equal_what_the_masks_say(tiny_store, labels, tiny_supervoxel):
    method = Acquirer("random", tiny_supervoxel, Top(), Budget(5), Random())
    buy_rounds(tiny_store, labels, [seed_method(), method], 4)
    oracle = SimulatedOracle(tiny_store)
    base, before = sum(tiny_store.sizes[name] for name in tiny_store.splits["train"]), 0
    whole = np.bincount(np.concatenate([oracle.answer(name, mask | True) for name, mask in masks(tiny_store, labels).items()]), minlength=3)
    for round_index in range(4):
        record, asked = labels.purchase(round_index), masks(tiny_store, labels, round_index)
        after = sum(int(mask.sum()) for mask in asked.values())
        known = np.bincount(np.concatenate([oracle.answer(name, mask)[mask] for name, mask in asked.items()]), minlength=3)
        assert (record["points"], record["spent_points"], record["base_points"]) == (after - before, after, base)
        assert record["pool_class_points"] == (whole - known).tolist()
        assert sum(record["class_points"]) + record["unknown_points"] == record["points"]
        assert record["scenes"] == len(labels.scenes(round_index)) and record["round"] == round_index
        if round_index:
            assert after <= labels.purchase(0)["points"] + round_index * 0.05 * base + 0.5
            assert after > labels.purchase(0)["points"] + round_index * 0.05 * base - 300
        before = after


def test_selection_table_lists_the_bought_rows_in_order(tiny_store, labels, tiny_supervoxel, tmp_path):
    method = Acquirer("random", tiny_supervoxel, Top(), Budget(5), Random())
    buy_rounds(tiny_store, labels, [seed_method(), method], 2, file=tmp_path / "x.parquet")
    table, record = pd.read_parquet(tmp_path / "0.parquet"), labels.purchase(1)
    assert len(table) == record["units"] and table["size"].sum() == record["points"]
    assert (table["score"].diff().dropna() <= 0).all() and table["order"].tolist() == list(range(len(table)))
    for name, rows in table.groupby("scene"):
        unit = tiny_store.unit(tiny_supervoxel, name)
        assert np.array_equal(labels.bought(name, 1), np.isin(unit, rows["unit"]))
        row = rows.iloc[0]
        assert np.allclose(row[["x", "y", "z"]].astype(float), tiny_store.scene(name).xyz[unit == row["unit"]].mean(axis=0), atol=1e-4)


def test_clicks_count_classes_in_units_and_points_at_point_level(tiny_store, tmp_path, tiny_supervoxel):
    by_scene = LabelState(tmp_path / "scene", tiny_store)
    buy_rounds(tiny_store, by_scene, [seed_method(2)], 1)
    assert by_scene.purchase(0)["clicks"] == 2 * 3
    by_point = LabelState(tmp_path / "point", tiny_store)
    buy_rounds(tiny_store, by_point, [Acquirer("p", PointUnit(), Top(), Budget(50, "units"), Random())], 1)
    assert by_point.purchase(0)["clicks"] == by_point.purchase(0)["points"] == 50
    by_region = LabelState(tmp_path / "region", tiny_store)
    buy_rounds(tiny_store, by_region, [Acquirer("s", tiny_supervoxel, Top(), Budget(9, "units"), Random())], 1)
    oracle, clicks = SimulatedOracle(tiny_store), 0
    for name in by_region.scenes():
        unit, asked = tiny_store.unit(tiny_supervoxel, name), by_region.asked(name)
        answer = oracle.answer(name, asked)
        clicks += sum(len(set(answer[(unit == one) & asked].tolist()) - {IGNORE}) for one in np.unique(unit[asked]))
    assert by_region.purchase(0)["clicks"] == clicks >= 9


def test_an_oracle_that_is_not_simulated_is_asked_for_nothing_else(tiny_store, labels, tiny_supervoxel):
    method = Acquirer("random", tiny_supervoxel, Top(), Budget(5), Random())
    buy_rounds(tiny_store, labels, [method], 1, Human(SimulatedOracle(tiny_store)))
    assert labels.purchase(0)["pool_class_points"] is None and sum(labels.purchase(0)["class_points"]) == labels.purchase(0)["points"]


def test_what_is_chosen_does_not_depend_on_hidden_labels(tiny_store, tmp_path, tiny_supervoxel):
    @dataclass(frozen=True)
    class Permuted(SimulatedOracle):
        def answer(self, scene_id, asked):
            label = super().answer(scene_id, asked)
            return np.where(label == IGNORE, label, 2 - label).astype(np.uint8)

    chosen = []
    for name, oracle in (("a", SimulatedOracle(tiny_store)), ("b", Permuted(tiny_store))):
        labels = LabelState(tmp_path / name, tiny_store)
        buy_rounds(tiny_store, labels, [seed_method(), Acquirer("random", tiny_supervoxel, Top(), Budget(5), Random())], 3, oracle)
        chosen.append(masks(tiny_store, labels))
    assert all(np.array_equal(chosen[0][name], chosen[1][name]) for name in chosen[0])


def test_harvest_writes_blocks_whatever_the_order_and_the_gaps(tiny_store, labels, tiny_supervoxel, tmp_path):
    method = Acquirer("redal", tiny_supervoxel, ClusterDecay(), Budget(5), Entropy("mean_bits"))
    labels.append({"t_1": [0]}, SceneUnit(), {"points": 3100, "units": 1})
    pool = Pool(tiny_store, labels, method, 0, 0)
    voxeliser = Voxeliser(0.05, ("red", "x"), tiny_store.features, 3)

    def predict(folder, order):
        harvest = ActiveLearning(pool, lambda block: tmp_path / folder / f"{block}.npz")
        blocks = [range(index, index + 1) for index in order]
        harvest.begin(blocks)
        data = RoundData(tiny_store, SimulatedOracle(tiny_store), labels, voxeliser, (), 0, 0, 2, 1, blocks)
        for place, batch in enumerate(data.predict_dataloader()):
            random = generator("prediction", batch.index[0])
            prob, feature = random.dirichlet([1, 1, 1], len(batch.coord)).astype(np.float32), random.random((len(batch.coord), 4), np.float32)
            harvest.on_predict_batch_end(None, None, Prediction(prob, feature), batch, place)
        return harvest

    assert not predict("whole", range(6)).missing()
    stopped = predict("parts", (4, 1))
    assert [block[0] for block in stopped.missing()] == [0, 2, 3, 5]
    predict("parts", (5, 3, 2, 0))
    units = [join([load_units(tmp_path / folder / f"{block}.npz") for block in range(6)]) for folder in ("whole", "parts")]
    assert np.array_equal(units[0].score, units[1].score) and np.array_equal(units[0].feature, units[1].feature)
    assert 0 not in units[0].scene[units[0].size > 0], "t_1 was bought whole"
    rows, ledger = method.select(units[0], 1, [Spent(3100, 1)], 17_700, pool.key)
    assert ledger.spent == units[0].size[rows].sum() <= ledger.limit == 885


def test_harvest_refuses_other_outputs(tiny_store, labels):
    harvest = ActiveLearning(Pool(tiny_store, labels, seed_method(), 0, 0), partial(str.format, "{}"))
    with pytest.raises(ValueError, match="needs a Prediction for a Batch, got dict"):
        harvest.on_predict_batch_end(None, None, {}, None, 0)
