"""Pseudo-labels: who is chosen, what is guessed, and that it costs and sees nothing."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget, Ledger
from al3d.acquire.callback import ActiveLearning
from al3d.acquire.interframe import InterFrame
from al3d.acquire.pick import Top
from al3d.acquire.pool import Pool
from al3d.acquire.pseudo import MostConsistent, PredictedClasses, check_pair, choose, guess, guessed_before, save_classes, without
from al3d.acquire.purchase import buy
from al3d.acquire.reduce import join, load_units
from al3d.acquire.score import Entropy, Margin, Random
from al3d.acquire.swap import SwapNearby
from al3d.data.batch import Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.learn.segmenter import Prediction
from al3d.rng import generator
from al3d.types import IGNORE
from al3d.units.scene import SceneUnit


def placed(make_units, size, score, x, drive=None):
    units = make_units(size, score=score)
    world = np.zeros((len(size), 3))
    world[:, 0] = x
    return replace(units, world=world, drive=np.zeros(len(size), np.int32) if drive is None else np.asarray(drive, np.int32))


def picked(units, limit=10**6, radius=5.0, overshoot="exclude"):
    ledger = Ledger(units, limit, overshoot)
    MostConsistent(radius)(units, ledger, ())
    return list(ledger.rows)


def test_the_most_consistent_come_first_and_those_never_seen_twice_not_at_all(make_units):
    units = placed(make_units, [10] * 5, [[0.3, 1], [0, 0], [0.1, 1], [0.2, 1], [0, 9]], [0, 100, 200, 300, 400])
    assert picked(units) == [2, 3, 0]
    assert picked(units, limit=20) == [2, 3]


def test_nearby_the_lower_entropy_keeps_the_place(make_units):
    near = [[0.1, 0.9], [0.2, 0.5], [0.3, 0.7], [0.4, 0.6]]
    assert picked(placed(make_units, [10] * 4, near, [0, 4, 100, 103])) == [1, 3]
    assert picked(placed(make_units, [10] * 4, near, [0, 6, 100, 106])) == [0, 1, 2, 3], "beyond 5 m nobody is a rival"
    assert picked(placed(make_units, [10] * 4, near, [0, 4, 100, 103], drive=[0, 1, 0, 1])) == [0, 1, 2, 3], "nor in another drive"


def naive(size, score, x, limit, radius):
    """The same by a plain loop over what was chosen so far."""
    chosen, left = [], limit
    for row in sorted((row for row in range(len(size)) if size[row] and score[row][0] != 0), key=lambda row: (score[row][0], row)):
        if left < min(number for number in size if number):
            break
        rival = next((other for other in chosen if abs(x[other] - x[row]) <= radius), None)
        if rival is None:
            if size[row] > left:
                break
            chosen.append(row)
            left -= size[row]
        elif score[row][1] < score[rival][1] and left + size[rival] - size[row] >= 0:
            chosen[chosen.index(rival)] = row
            left += size[rival] - size[row]
    return sorted(chosen)


ROWS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75]), st.integers(0, 8), st.integers(0, 40)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ROWS, st.integers(1, 120))
def test_the_picker_equals_a_plain_loop(make_units, rows, limit):
    size, first, second, x = (list(column) for column in zip(*rows, strict=True))
    score = [[a, b / 8] for a, b in zip(first, second, strict=True)]
    if not any(size):
        return
    assert sorted(picked(placed(make_units, size, score, x), limit)) == naive(size, score, x, limit, 5.0)


def test_a_radius_must_be_positive_and_scores_two(make_units):
    with pytest.raises(ValueError, match="radius=0 m"):
        MostConsistent(0)
    with pytest.raises(ValueError, match="needs two scores"):
        picked(make_units([10, 10], score=[1, 2]))


def second_of(pick, budget, unit=None, score=None, **more):
    return Acquirer("second", unit or SceneUnit(), pick, budget, score or Entropy(), **more)


@pytest.mark.parametrize(
    "budget, wanted",
    [
        (Budget(5, overshoot="exclude"), [0]),  # 5 % of 1,000 points; the next one crosses
        (Budget(5), [0, 2]),
        (Budget(90, "points", overshoot="exclude"), [0, 1]),
        (Budget(2, "units"), [0, 1]),
        (Budget(99), [0, 1, 2]),  # more than there is: everything, and no error
        (Budget(per="everything"), [0, 1, 2]),
    ],
    ids=str,
)
def test_a_budget_is_that_of_one_round_and_need_not_be_used_up(make_units, budget, wanted):
    units = make_units([40, 50, 10, 0], score=[4, 3, 2, 1])
    assert choose(second_of(Top(), budget), units, 1000, ()).tolist() == wanted


def test_the_two_acquirers_must_share_one_prediction():
    unit, score, budget = SceneUnit(), InterFrame(), Budget(1)
    method = Acquirer("lidal", unit, SwapNearby(), budget, score)
    check_pair(method, second_of(MostConsistent(), budget, unit, InterFrame()))
    check_pair(replace(method, views=8), second_of(MostConsistent(), budget, unit, score))
    check_pair(replace(method, views=8), second_of(MostConsistent(), budget, unit, score, views=8))
    with pytest.raises(ValueError, match=r"their scores differ: InterFrame\(frames=12.*InterFrame\(frames=11.*set pseudo=none"):
        check_pair(method, second_of(MostConsistent(), budget, unit, InterFrame(11)))
    with pytest.raises(ValueError, match="leave pseudo.passes and pseudo.views out"):
        check_pair(method, second_of(MostConsistent(), budget, unit, score, views=8))
    with pytest.raises(ValueError, match="acquire.shortlist=5 drops .* set acquire.shortlist=null"):
        check_pair(replace(method, shortlist=5), second_of(MostConsistent(), budget, unit, score))
    with pytest.raises(ValueError, match="a guess takes no click"):
        check_pair(method, second_of(MostConsistent(), Budget(9, "clicks"), unit, score))
    random = Acquirer("random", unit, Top(), budget, Random())
    with pytest.raises(ValueError, match="acquire=random predicts nothing"):
        check_pair(random, second_of(Top(), budget, unit, Random()))


def test_other_units_are_named(tiny_supervoxel):
    with pytest.raises(ValueError, match="their units differ: SceneUnit.*Supervoxel"):
        check_pair(Acquirer("a", SceneUnit(), Top(), Budget(1), Margin()), second_of(Top(), Budget(1), tiny_supervoxel, Margin()))


# On the tiny data set: six scenes, supervoxels, made-up predictions.


def seeded(store, folder):
    state = LabelState(folder, store)
    state.append({"t_1": [0]}, SceneUnit(), {"points": store.sizes["t_1"], "units": 1, "clicks": 2, "class_points": [0, 0, 0]})
    return state


@pytest.fixture
def labels(tiny_store, tmp_path):
    return seeded(tiny_store, tmp_path / "run")


@pytest.fixture
def method(tiny_supervoxel):
    return Acquirer("entropy", tiny_supervoxel, Top(), Budget(5), Entropy())


@dataclass(frozen=True)
class Surest:
    """A picker of the lowest scores, for scores of one column."""

    needs: frozenset[str] = frozenset()

    def __call__(self, units, ledger, key):
        Top()(replace(units, score=-units.score), ledger, key)


def probabilities(index, count):
    return generator("prediction", index).dirichlet([0.3, 0.3, 0.3], count).astype(np.float32)


def harvested(store, labels, method, folder, order=range(6), round_index=0):
    pool = Pool(store, labels, method, 0, round_index)
    harvest = ActiveLearning(pool, lambda block: folder / f"{block}.npz", lambda block: folder / f"{block}.classes.npy")
    blocks = [range(index, index + 1) for index in order]
    harvest.begin(blocks)
    data = RoundData(store, SimulatedOracle(store), labels, Voxeliser(0.05, ("red", "x"), store.features, 3), (), 0, 0, 2, 1, blocks)
    for place, batch in enumerate(data.predict_dataloader()):
        prediction = Prediction(probabilities(batch.index[0], len(batch.coord)), np.zeros((len(batch.coord), 1), np.float32))
        harvest.on_predict_batch_end(None, None, prediction, batch, place)
    return harvest, pool


def test_the_harvest_keeps_the_class_of_every_point(tiny_store, labels, method, tmp_path):
    harvest, pool = harvested(tiny_store, labels, method, tmp_path / "whole")
    assert not harvest.missing()
    kept = PredictedClasses(pool, harvest.classes_file)
    data = RoundData(tiny_store, SimulatedOracle(tiny_store), labels, Voxeliser(0.05, ("red", "x"), tiny_store.features, 3), (), 0, 0, 2, 1, [range(6)])
    for batch in data.predict_dataloader():
        wanted = probabilities(batch.index[0], len(batch.coord)).argmax(axis=1)[batch.inverse.numpy()]
        assert kept(batch.index[0]).dtype == np.uint8 and np.array_equal(kept(batch.index[0]), wanted)
    (tmp_path / "whole" / "3.classes.npy").unlink()
    assert [block[0] for block in harvest.missing()] == [3], "rows without classes are not enough"
    again, _ = harvested(tiny_store, labels, method, tmp_path / "parts", (4, 1))
    assert [block[0] for block in again.missing()] == [0, 2, 3, 5]


def test_blocks_of_several_scenes_are_taken_apart(tiny_store, labels, method, tmp_path):
    class Pairs(Pool):
        def blocks(self):
            return (range(0, 2), range(2, 5), range(5, 6))

    pool = Pairs(tiny_store, labels, method, 0, 0)
    classes = [np.full(tiny_store.sizes[name], index, np.uint8) for index, name in enumerate(pool.scenes)]
    for number, block in enumerate(pool.blocks()):
        save_classes(tmp_path / f"{number}.npy", [classes[index] for index in block])
    kept = PredictedClasses(pool, lambda block: tmp_path / f"{block}.npy")
    assert all(np.array_equal(kept(index), classes[index]) for index in range(6))
    save_classes(tmp_path / "1.npy", classes[2:4])
    with pytest.raises(ValueError, match=r"1\.npy holds .* predicted classes for .* points: delete it"):
        kept(3)


def one_round(store, labels, method, second, folder, oracle, round_index=0):
    """Harvest, buy and guess as a run does."""
    harvest, pool = harvested(store, labels, method, folder, round_index=round_index)
    units = without(units_of(harvest, pool), guessed_before(pool, units_of(harvest, pool)))
    base = sum(store.sizes[name] for name in pool.scenes)
    kept = PredictedClasses(pool, harvest.classes_file)
    buy(pool, units, oracle, base, None, lambda rows: guess(pool, second, units, oracle, base, kept, rows))
    return pool, kept, base


def units_of(harvest, pool):
    return join([load_units(harvest.units_file(block)) for block in range(len(pool.blocks()))])


def test_what_is_guessed_is_unlabelled_within_its_budget_and_counted_truly(tiny_store, labels, method, tmp_path):
    second = second_of(Surest(), Budget(4), method.unit, Entropy())
    oracle = SimulatedOracle(tiny_store)
    pool, kept, base = one_round(tiny_store, labels, method, second, tmp_path / "0", oracle)
    record = labels.pseudo_record(1)
    points = right = known = 0
    per_class = np.zeros(3, int)
    for index, name in enumerate(pool.scenes):
        label = labels.pseudo(name, 1)
        if label is None:
            continue
        chosen = label != IGNORE
        assert not (chosen & labels.asked(name, 1)).any()
        assert np.array_equal(label[chosen], kept(index)[chosen])
        unit = np.asarray(tiny_store.unit(method.unit, name))
        assert np.array_equal(chosen, np.isin(unit, labels.pseudo_units(1)[name])), "whole units"
        truth = oracle.answer(name, np.ones(len(unit), bool))[chosen]
        points, known, right = points + chosen.sum(), known + (truth != IGNORE).sum(), right + (label[chosen] == truth).sum()
        per_class += np.bincount(label[chosen], minlength=3)
    assert 0 < points <= 0.04 * base and record["points"] == points
    assert (record["known_points"], record["right_points"], record["accuracy"]) == (known, right, right / known)
    assert 0 < record["accuracy"] < 1 and record["class_points"] == per_class.tolist() and record["round"] == 1
    assert record["units"] == sum(len(ids) for ids in labels.pseudo_units(1).values()) and record["scenes"] == len(labels.pseudo_units(1))
    assert "t_1" not in labels.pseudo_units(1), "t_1 was bought whole"


def test_guessing_changes_no_purchase_of_its_own_round(tiny_store, tmp_path, method):
    records = []
    for name in ("with", "without"):
        labels = seeded(tiny_store, tmp_path / name)
        second = second_of(Surest(), Budget(4), method.unit, Entropy())
        if name == "with":
            one_round(tiny_store, labels, method, second, tmp_path / name / "0", SimulatedOracle(tiny_store))
        else:
            harvest, pool = harvested(tiny_store, labels, method, tmp_path / name / "0")
            base = sum(tiny_store.sizes[scene] for scene in pool.scenes)
            buy(pool, units_of(harvest, pool), SimulatedOracle(tiny_store), base, None)
        record = labels.purchase(1)
        del record["seconds"]
        records.append((record, {scene: labels.asked(scene).tobytes() for scene in tiny_store.splits["train"]}, labels.scenes()))
    assert records[0] == records[1]


def test_no_unit_is_guessed_twice_in_a_row(tiny_store, labels, method, tmp_path):
    second = second_of(Surest(), Budget(4), method.unit, Entropy())
    rounds = []
    for index in range(3):
        one_round(tiny_store, labels, method, second, tmp_path / str(index), SimulatedOracle(tiny_store), index)
        rounds.append({(name, unit) for name, ids in labels.pseudo_units(index + 1).items() for unit in ids.tolist()})
        bought = {name for name in tiny_store.splits["train"] if labels.bought(name, index + 1).any()}
        assert bought
    assert all(rounds) and not rounds[0] & rounds[1] and not rounds[1] & rounds[2]
    assert rounds[0] & rounds[2], "the predictions are the same in every round: what was left out once comes again"


@dataclass(frozen=True)
class Human:
    """An oracle that may be asked only for what was bought."""

    inner: SimulatedOracle
    allowed: dict
    simulated: bool = False

    def answer(self, scene_id, asked):
        assert not (asked & self.allowed.get(scene_id, np.zeros(len(asked), bool))).any(), "asked for a guessed point"
        return self.inner.answer(scene_id, asked)

    raw_labels = None


def test_a_human_is_never_asked_about_a_guess(tiny_store, tmp_path, method):
    second = second_of(Surest(), Budget(4), method.unit, Entropy())
    results = []
    guessed = {}
    for name in ("simulated", "human"):
        labels = seeded(tiny_store, tmp_path / name)
        oracle = SimulatedOracle(tiny_store) if name == "simulated" else Human(SimulatedOracle(tiny_store), guessed)
        one_round(tiny_store, labels, method, second, tmp_path / name / "0", oracle)
        found = {scene: labels.pseudo(scene, 1) for scene in labels.pseudo_units(1)}
        guessed |= {scene: label != IGNORE for scene, label in found.items()}
        results.append({scene: label.tobytes() for scene, label in found.items()})
    assert results[0] == results[1]
    record = LabelState(tmp_path / "human", tiny_store).pseudo_record(1)
    assert record["accuracy"] is None and record["right_points"] is None and record["points"] > 0


def test_nothing_to_guess_is_written_down_too(tiny_store, labels, method, tmp_path):
    nothing = second_of(Surest(), Budget(1, "points"), method.unit, Entropy())
    one_round(tiny_store, labels, method, nothing, tmp_path / "0", SimulatedOracle(tiny_store))
    assert labels.has_pseudo(1) and labels.pseudo_units(1) == {} and labels.pseudo_record(1)["accuracy"] is None
