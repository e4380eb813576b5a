"""Pickers that look at features and places, against naive quadratic twins on random pools."""

from dataclasses import replace

import numpy as np
import pytest

from al3d.acquire.budget import Budget, Ledger, Spent
from al3d.acquire.classes import ClassBalanced, ClassStratifiedRandom, class_weight
from al3d.acquire.distances import nearest, squared_distance, summed
from al3d.acquire.diverse import PlusPlus, TypiClust, typicality
from al3d.acquire.fusion import RankFusion
from al3d.acquire.kcenter import KCenter
from al3d.acquire.pick import Top
from al3d.acquire.strata import Kinds, Predicted, SizeBins, Stratified
from al3d.acquire.suppress import Suppress
from al3d.acquire.swap import SwapNearby
from al3d.features.kmeans import kmeans_labels
from al3d.rng import generator
from al3d.types import IGNORE

SEEDS = range(12)


def pool(make_units, seed, labels=True, most=50):
    """A random pool whose scores, features and places collide now and then, with some rows labelled, and a budget."""
    random = generator("spread", seed)
    count = int(random.integers(2, most))
    units = make_units(random.integers(0, 9, count), random.integers(0, 3, count), random.integers(0, 6, (count, 2)) / np.float32(6))
    labelled = random.random(count) < 0.25 if labels else np.zeros(count, bool)
    size = np.where(labelled, random.integers(0, 2, count) * units.size, np.maximum(units.size, 1))
    center = random.integers(0, 8, (count, 3)).astype(np.float32) / 8
    units = replace(
        units,
        size=size,
        points=np.maximum(size, 1),
        labelled=labelled,
        feature=random.integers(-3, 4, (count, 4)).astype(np.float32),
        center=center,
        world=center * 10.0,
        kind=(random.random(count) < 0.3).astype(np.uint8),
        predicted=random.integers(0, 4, count).astype(np.uint8),
        extent=random.uniform(0, 5, (count, 3)).astype(np.float32),
    )
    return units, int(random.integers(1, 80))


def offered(units, limit, picker, **options):
    ledger = Ledger(units, limit, **options)
    picker(units, ledger, (1, "acquire", seedless := 2))
    assert seedless == 2
    return list(ledger.rows)


def fits(spent, units, row, limit):
    return spent + int(units.size[row]) <= limit


def full(spent, units, limit):
    return limit - spent < int(units.size[units.size > 0].min())


def ranked(units, value):
    rows = [row for row in range(len(units)) if units.size[row] > 0]
    return sorted(rows, key=lambda row: (-value[row], row))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("labels", [True, False])
def test_k_center_equals_the_naive_twin(make_units, seed, labels):
    units, limit = pool(make_units, seed, labels)
    units = replace(units, feature=generator("k-center", seed).normal(size=(len(units), 4)).astype(np.float32))
    centres = [row for row in range(len(units)) if units.labelled[row]]
    left = [row for row in range(len(units)) if units.size[row] > 0]
    bought, spent = [], 0

    def distance(one, other):
        return float(((units.feature[one] - units.feature[other]) ** 2).sum())

    if not centres and left:
        middle = units.feature[left].mean(axis=0, dtype=np.float64).astype(np.float32)
        left.sort(key=lambda row: (((units.feature[row] - middle) ** 2).sum(), row))
        left = left[:1] + sorted(left[1:])
    while left and not full(spent, units, limit):
        row = max(left, key=lambda one: (min(distance(one, centre) for centre in centres), -one)) if centres else left[0]
        left.remove(row)
        if fits(spent, units, row, limit):
            bought.append(row)
            centres.append(row)
            spent += int(units.size[row])
    assert offered(units, limit, KCenter()) == bought


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("radius", "reference"), [(0.3, "round"), (0.3, "labelled"), (0.0, "round")])
def test_suppression_equals_the_naive_twin(make_units, seed, radius, reference):
    units, limit = pool(make_units, seed)
    picker = Suppress(radius, 0.5, reference)
    taken = [row for row in range(len(units)) if units.labelled[row]] if reference == "labelled" else []
    bought, spent = [], 0
    for row in ranked(units, units.score[:, 0]):
        if full(spent, units, limit):
            break
        rivals = [other for other in taken if units.scene[other] == units.scene[row] and np.linalg.norm(units.center[other] - units.center[row]) < radius]
        lengths = np.linalg.norm(units.feature, axis=1)
        cosines = [units.feature[row] @ units.feature[other] / max(lengths[row] * lengths[other], 1e-12) for other in rivals]
        if not any(cosine > 0.5 for cosine in cosines) and fits(spent, units, row, limit):
            bought.append(row)
            taken.append(row)
            spent += int(units.size[row])
    assert offered(units, limit, picker) == bought
    assert picker.needs == ({"feature", "labelled"} if reference == "labelled" else {"feature"})


@pytest.mark.parametrize("seed", SEEDS)
def test_rank_fusion_equals_the_naive_twin(make_units, seed):
    units, limit = pool(make_units, seed, labels=seed % 3 > 0)
    far = [sum(np.linalg.norm(units.feature[row] - units.feature[other]) for other in np.flatnonzero(units.labelled)) for row in range(len(units))]
    far = np.round(far, 3)
    value = np.zeros(len(units))
    for order in (ranked(units, units.score[:, 0]), ranked(units, far) if units.labelled.any() else []):
        for place, row in enumerate(order, start=1):
            value[row] += 1 / place
    bought, spent = [], 0
    for row in ranked(units, value):
        if full(spent, units, limit):
            break
        if fits(spent, units, row, limit):
            bought.append(row)
            spent += int(units.size[row])
    assert offered(units, limit, RankFusion()) == bought


def test_rank_fusion_asks_for_what_is_first_in_either_rank(make_units):
    feature = [[0, 0], [0.1, 0], [9, 9], [1, 1]]
    units = make_units([1, 1, 1, 1], score=[0.5, 0.9, 0.1, 0.2], feature=feature)
    units = replace(units, labelled=np.array([True, False, False, False]), size=np.array([0, 1, 1, 1]))
    assert set(offered(units, 2, RankFusion())) == {1, 2}


def test_a_reference_draw_is_keyed_and_smaller(make_units):
    units, _ = pool(make_units, 5, most=60)
    labelled = np.arange(len(units)) % 2 == 0
    units = replace(units, labelled=labelled, size=np.where(labelled, 0, 1))
    assert offered(units, 5, RankFusion(reference=3)) == offered(units, 5, RankFusion(reference=3))
    assert offered(units, 5, RankFusion(reference=10_000)) == offered(units, 5, RankFusion())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lowest", [True, False])
def test_swapping_equals_the_naive_twin(make_units, seed, lowest):
    units, limit = pool(make_units, seed)
    second = -units.score[:, 1] if lowest else units.score[:, 1]
    places, spent = [], 0
    for row in ranked(units, units.score[:, 0]):
        if full(spent, units, limit):
            break
        near = [
            turn for turn, other in enumerate(places) if units.drive[other] == units.drive[row] and np.linalg.norm(units.world[other] - units.world[row]) <= 2.5
        ]
        if not near:
            if fits(spent, units, row, limit):
                places.append(row)
                spent += int(units.size[row])
        elif second[row] > second[places[near[0]]]:
            after = spent - int(units.size[places[near[0]]]) + int(units.size[row])
            if after <= limit:
                places[near[0]], spent = row, after
    assert set(offered(units, limit, SwapNearby(2.5, lowest))) == set(places)


def test_swapping_needs_a_second_score(make_units):
    with pytest.raises(ValueError, match="two scores"):
        offered(make_units([1, 1]), 2, SwapNearby())


@pytest.mark.parametrize("seed", SEEDS)
def test_strata_share_equally_and_buy_their_own_best(make_units, seed):
    units, limit = pool(make_units, seed)
    rows = offered(units, limit, Stratified(Kinds(), Top()))
    present = sorted(set(units.kind[units.size > 0].tolist()))
    wanted = []
    for turn, kind in enumerate(present):
        share = limit * (turn + 1) // len(present) - limit * turn // len(present)
        spent = 0
        own = [row for row in range(len(units)) if units.kind[row] == kind and units.size[row] > 0]
        for row in sorted(own, key=lambda one: (-units.score[one, 0], one)):
            if spent + units.size[row] <= share:
                wanted.append(row)
                spent += int(units.size[row])
        assert spent <= share
    assert sorted(rows) == sorted(wanted)


def test_strata_by_size_keep_other_kinds_apart(make_units):
    units, _ = pool(make_units, 3, most=60)
    stratum = SizeBins(3)(units)
    assert (stratum[units.kind == 1] == 3).all()
    assert set(stratum[units.kind == 0].tolist()) <= {0, 1, 2}
    size = np.rint(units.extent.astype(np.float64).sum(axis=1))
    for one in range(3):
        smaller, larger = size[(stratum == one) & (units.kind == 0)], size[(stratum > one) & (units.kind == 0)]
        assert not len(smaller) or not len(larger) or smaller.max() < larger.min()
    bought = replace(units, size=np.where(np.arange(len(units)) % 2 == 0, 0, units.size), labelled=np.arange(len(units)) % 2 == 0)
    assert SizeBins(3)(bought).tolist() == stratum.tolist(), "what is bought must not move the bins"
    assert Predicted()(units).tolist() == units.predicted.tolist()


def test_caps_per_scene_hold_over_all_strata(make_units):
    units, _ = pool(make_units, 7, labels=False, most=60)
    rows = offered(units, 10_000, Stratified(Predicted(), Top()), per_scene=2)
    assert max(np.bincount(units.scene[rows])) == 2


def test_a_part_of_a_ledger_gives_back_too(make_units):
    units = make_units([3, 4, 5, 6])
    ledger = Ledger(units, 10)
    part = ledger.part(make_units([4, 6]), np.array([1, 3]), 6)
    assert part.admit(0)
    assert not part.admit(1)
    assert part.admit(1, drop=0)
    assert ledger.rows == (3,) and ledger.spent == 6 and part.spent == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_plus_plus_draws_each_row_at_most_once_and_only_from_the_pool(make_units, seed):
    units, limit = pool(make_units, seed)
    rows = offered(units, limit, PlusPlus())
    assert len(set(rows)) == len(rows)
    assert (units.size[rows] > 0).all()
    assert rows == offered(units, limit, PlusPlus())
    everything = offered(units, 10_000, PlusPlus())
    assert sorted(everything) == np.flatnonzero(units.size > 0).tolist()


def test_plus_plus_may_look_at_a_keyed_part_of_the_pool(make_units):
    units = make_units([1] * 300, feature=generator("candidates").normal(size=(300, 3)))
    part = PlusPlus(candidates=40)
    everything = offered(units, 300, part)
    assert len(everything) == 40 and everything == offered(units, 300, part)
    assert set(offered(units, 10, part)) <= set(everything)
    assert offered(units, 10, PlusPlus(candidates=300)) == offered(units, 10, PlusPlus())
    with pytest.raises(ValueError, match="candidates=0"):
        PlusPlus(candidates=0)


def test_plus_plus_prefers_what_is_far(make_units):
    feature = np.r_[np.zeros((98, 2)), [[100, 0]], [[0, 100]]].astype(np.float32)
    hits = 0
    for draw in range(40):
        units = make_units([1] * 100, feature=feature)
        ledger = Ledger(units, 3)
        PlusPlus()(units, ledger, (draw,))
        hits += {98, 99} <= set(ledger.rows)
    assert hits >= 38


def test_typical_units_come_from_every_large_cluster(make_units):
    random = generator("typical")
    centres = np.array([[0, 0], [50, 0], [0, 50]])
    feature = np.concatenate([centre + random.normal(0, 1, (size, 2)) for centre, size in zip(centres, (40, 30, 20), strict=True)]).astype(np.float32)
    units = make_units([1] * 90, feature=feature)
    rows = offered(units, 3, TypiClust())
    assert [0 if row < 40 else 1 if row < 70 else 2 for row in rows] == [0, 1, 2], "one of each cluster, the largest first"
    for row, centre in zip(rows, centres, strict=True):
        assert np.linalg.norm(feature[row] - centre) < 1.2, "a typical unit lies in the middle"
    covered = replace(units, labelled=np.arange(90) == 3, size=np.where(np.arange(90) == 3, 0, 1))
    assert {0 if row < 40 else 1 if row < 70 else 2 for row in offered(covered, 2, TypiClust())} == {1, 2}


def test_typicality_equals_the_naive_twin():
    random = generator("typicality")
    feature = random.normal(size=(60, 3)).astype(np.float32)
    cluster = kmeans_labels(feature, 5)
    for row, value in enumerate(typicality(feature, cluster, 4)):
        own = [other for other in range(60) if cluster[other] == cluster[row] and other != row]
        distances = sorted(float(np.linalg.norm(feature[row] - feature[other])) for other in own)[:4]
        assert value == pytest.approx(1 / np.mean(distances) if distances else 0, rel=1e-5)


def test_the_stratified_draw_favours_rare_classes(make_units):
    predicted = np.array([0] * 90 + [1] * 8 + [2] * 2, np.uint8)
    units = replace(make_units([1] * 100), predicted=predicted)
    rows = offered(units, 12, ClassStratifiedRandom())
    assert len(rows) == 12
    assert (predicted[rows] == 2).sum() == 2
    assert (predicted[rows] == 1).sum() >= 3
    with pytest.raises(ValueError, match="nothing was predicted"):
        offered(replace(units, predicted=np.full(100, IGNORE, np.uint8)), 3, ClassStratifiedRandom())
    assert len(offered(replace(units, feature=np.eye(100, 4, dtype=np.float32)), 12, ClassStratifiedRandom(3))) == 12


def test_balance_weighs_by_the_predicted_share(make_units):
    predicted = np.array([0, 0, 0, 1], np.uint8)
    units = replace(make_units([3, 3, 3, 1], score=[0.9, 0.8, 0.7, 0.2]), predicted=predicted)
    np.testing.assert_allclose(class_weight(units, 0.01), [1 / 0.91, 1 / 0.91, 1 / 0.91, 1 / 0.11], rtol=1e-6)
    assert offered(units, 1, ClassBalanced(Top())) == [3]
    with pytest.raises(ValueError, match="not negative"):
        offered(replace(units, score=-units.score), 1, ClassBalanced(Top()))


def test_distances_equal_the_plain_formula():
    random = generator("distances")
    rows, centres = random.normal(7, 1, (300, 16)).astype(np.float32), random.normal(7, 1, (70, 16)).astype(np.float32)
    exact = np.linalg.norm(rows[:, None].astype(np.float64) - centres[None], axis=2)
    np.testing.assert_allclose(summed(rows, centres), exact.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(nearest(rows, centres)[0]), exact.min(axis=1), rtol=1e-3)
    np.testing.assert_allclose(np.sqrt(squared_distance(rows, centres[0])), exact[:, 0], rtol=1e-5)
    assert np.isinf(nearest(rows, centres[:0])[0]).all()


def test_a_stratum_that_cannot_spend_leaves_it_to_the_next_round(make_units):
    units = replace(make_units([10] * 8), kind=np.array([0, 0, 0, 0, 1, 1, 1, 1], np.uint8))
    budget = Budget(25, "points", initial=25)
    first = budget.open(units, 0, [], 80)
    Stratified(Kinds(), Top())(units, first, ())
    assert first.spent == 20 and first.rows == (0, 4)
    rest = replace(units, size=np.array([0, 10, 10, 10, 0, 10, 10, 10]))
    second = budget.open(rest, 1, [Spent(20, 2)], 80)
    assert second.limit == 30, "25 of this round and 5 that were left"
    Stratified(Kinds(), Top())(rest, second, ())
    assert second.spent == 20
