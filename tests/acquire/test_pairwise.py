"""SeedAL's diversities against plain loops over pairs of views, and what its picker buys."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from al3d.acquire import pairwise
from al3d.acquire.budget import Budget, Ledger
from al3d.acquire.pairwise import SCORES, PairwiseDiversity, diversities, pair_scores, touched, weighed
from al3d.rng import generator

KEY = (1, "seed")


def views_of(seed, scenes, most=5, width=6, least=1):
    """A feature array of scenes with different numbers of views, rows of NaN where there are fewer."""
    random = generator("pairwise", seed, scenes)
    feature = random.normal(size=(scenes, most, width)).astype(np.float32) + random.normal(size=width).astype(np.float32)
    for scene in range(scenes):
        feature[scene, int(random.integers(least, most + 1)) :] = np.nan
    return feature


def pool_of(make_units, seed, scenes, **options):
    random = generator("pairwise", "sizes", seed)
    return make_units(random.integers(5, 30, scenes), scene=list(range(scenes)), feature=np.zeros((scenes, 1))), views_of(seed, scenes, **options)


def units_of(make_units, seed, scenes, **options):
    units, feature = pool_of(make_units, seed, scenes, **options)
    return replace(units, feature=feature)


def cosine(first, second):
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def views(scene):
    return [view.astype(np.float64) for view in scene if not np.isnan(view).any()]


def within_twin(scene):
    pairs = list(combinations(views(scene), 2))
    return 1 - sum(cosine(*pair) for pair in pairs) / len(pairs) if pairs else 0.0


def between_twin(first, second):
    pairs = [(a, b) for a in views(first) for b in views(second)]
    return 1 - sum(cosine(*pair) for pair in pairs) / len(pairs)


def score_twin(feature, kind):
    count = len(feature)
    result = np.zeros((count, count))
    for i, j in combinations(range(count), 2):
        one, other, between = within_twin(feature[i]), within_twin(feature[j]), between_twin(feature[i], feature[j])
        similar = max(0, 1 - one) * max(0, 1 - other)
        kinds = {"seedal": one * other * between, "intra": one * other, "intra_similarity": similar, "inter": between}
        result[i, j] = result[j, i] = {**kinds, "inter_similarity": max(0, 1 - between)}[kind]
    return result


def bought(units, limit, picker=None, **options):
    ledger = Ledger(units, limit, **options)
    (picker or PairwiseDiversity())(units, ledger, KEY)
    return list(ledger.rows)


@pytest.mark.parametrize("seed", range(4))
def test_diversities_equal_loops_over_views(seed):
    feature = views_of(seed, 9)
    diversity = diversities(feature)
    assert diversity.views.tolist() == [len(views(scene)) for scene in feature]
    assert len(set(diversity.views.tolist())) > 2, "scenes should have different numbers of views here"
    np.testing.assert_allclose(diversity.within, [within_twin(scene) for scene in feature], atol=1e-10)
    between = diversity.between(np.arange(9))
    for i, j in combinations(range(9), 2):
        assert between[i, j] == pytest.approx(between_twin(feature[i], feature[j]), abs=1e-10)


@pytest.mark.parametrize("kind", SCORES)
def test_scores_equal_loops(kind):
    feature = views_of(5, 8, least=2)
    np.testing.assert_allclose(pair_scores(diversities(feature), kind), score_twin(feature, kind), atol=1e-6)


def test_closed_forms():
    """Two orthogonal views: d = 1; four views of which pairs are opposite: the mean cosine over pairs is -1/3; one view: 0."""
    axes = np.full((3, 4, 2), np.nan, np.float32)
    axes[0, :2] = [[2, 0], [0, 5]]
    axes[1] = [[1, 0], [-3, 0], [0, 1], [0, -1]]
    axes[2, 0] = [7, 7]
    diversity = diversities(axes)
    np.testing.assert_allclose(diversity.within, [1, 4 / 3, 0], atol=1e-12)
    np.testing.assert_allclose(diversity.between(np.arange(3)), [[0.5, 1, 1 - np.sqrt(0.5)], [1, 1, 1], [1 - np.sqrt(0.5), 1, 0]], atol=1e-12)


def test_centring_takes_the_mean_of_all_views_off():
    feature = views_of(6, 10)
    there = ~np.isnan(feature)
    moved = feature - feature[there].reshape(-1, 6).mean(axis=0)
    np.testing.assert_allclose(diversities(feature, center=True).within, diversities(moved).within, atol=1e-6)
    far = np.where(there, feature + 1000, np.nan)
    assert diversities(far).within.max() < 1e-3, "far from the origin all cosines are 1"
    np.testing.assert_allclose(diversities(far, center=True).within, diversities(feature, center=True).within, atol=1e-3)


def test_blocks_change_nothing(monkeypatch):
    feature = views_of(7, 30)
    whole, pairs = diversities(feature, center=True), pair_scores(diversities(feature, center=True), "seedal")
    monkeypatch.setattr(pairwise, "BLOCK", 4)
    blocks = diversities(feature, center=True)
    np.testing.assert_allclose(blocks.mean, whole.mean, atol=1e-12)
    np.testing.assert_allclose(pair_scores(blocks, "seedal"), pairs, rtol=1e-6)


@pytest.mark.parametrize("half", [True, False])
def test_half_precision_and_zero_views(half):
    feature = views_of(8, 4, least=5).astype(np.float16 if half else np.float32)
    feature[0, 0] = 0
    diversity = diversities(feature)
    rest = [view for view in views(feature[0]) if view.any()]
    pairs = [cosine(*pair) for pair in combinations(rest, 2)]
    assert diversity.within[0] == pytest.approx(1 - sum(pairs) / 10, abs=1e-9), "a view of zeros has cosine 0 with everything"


def test_a_scene_without_a_view_is_refused():
    feature = views_of(9, 4)
    feature[2] = np.nan
    with pytest.raises(ValueError, match="row 2 of the pool has no view"):
        diversities(feature)


@pytest.mark.parametrize("edges", [1, 3, 10, 500])
@pytest.mark.parametrize("block", [3, 256])
def test_candidates_are_the_scenes_of_the_best_pairs(monkeypatch, edges, block):
    feature = views_of(10, 12, least=2)
    monkeypatch.setattr(pairwise, "BLOCK", block)
    diversity = diversities(feature)
    pairs = sorted(combinations(range(12), 2), key=lambda pair: -score_twin_of(feature)[pair])
    assert touched(diversity, "seedal", edges).tolist() == sorted({scene for pair in pairs[:edges] for scene in pair})


def score_twin_of(feature, cache={}):  # noqa: B006
    key = feature.tobytes()
    if key not in cache:
        cache[key] = score_twin(feature, "seedal")
    return cache[key]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("seed", range(3))
def test_buys_what_brute_force_would(make_units, score, seed):
    units = units_of(make_units, seed, 13, least=2)
    limit = int(units.size.sum() // 3)
    twin = score_twin(units.feature, score)
    every = ((np.arange(2**13)[:, None] >> np.arange(13)) & 1).astype(np.float64)
    values = np.einsum("bi,ij,bj->b", every, twin, every, optimize=True) / 2
    best = values[every @ units.size <= limit].max()
    rows = bought(units, limit, PairwiseDiversity(score))
    assert twin[np.ix_(rows, rows)].sum() / 2 == pytest.approx(best, rel=1e-6)
    assert units.size[rows].sum() <= limit


def test_within_candidates_all_pairs_keep_their_scores(make_units):
    """As published: edges choose who may be bought, and the value counts every pair of them, not only the best edges."""
    units = units_of(make_units, 2, 14, least=2)
    limit, edges = int(units.size.sum() // 4), 6
    candidates = touched(diversities(units.feature), "seedal", edges)
    assert 4 < len(candidates) < 14
    twin = score_twin(units.feature, "seedal")
    best = max(
        (twin[np.ix_(rows, rows)].sum() / 2 for size in range(8) for rows in combinations(candidates.tolist(), size) if units.size[list(rows)].sum() <= limit),
    )
    rows = bought(units, limit, PairwiseDiversity(edges=edges))
    assert set(rows) <= set(candidates.tolist())
    assert twin[np.ix_(rows, rows)].sum() / 2 == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_scenes_does_not_matter(make_units, seed):
    units = units_of(make_units, seed, 30, least=2)
    limit = int(units.size.sum() // 4)
    order = generator("pairwise", "order", seed).permutation(30)
    mixed = replace(units, size=units.size[order], points=units.size[order], feature=units.feature[order])
    center = PairwiseDiversity(center=bool(seed % 2))
    first, second = bought(units, limit, center), bought(mixed, limit, center)
    assert [int(order[row]) for row in second] == first, "the same scenes in the same order of buying"


def test_the_best_connected_is_bought_first(make_units):
    units = units_of(make_units, 3, 16, least=2)
    rows = bought(units, int(units.size.sum() // 2))
    twin = score_twin(units.feature, "seedal")[np.ix_(rows, rows)].sum(axis=1)
    assert (np.diff(twin) <= 1e-6).all() and len(rows) > 3


def test_a_scene_of_one_view_is_worth_nothing(make_units):
    units = units_of(make_units, 4, 12, least=3)
    feature = units.feature.copy()
    feature[5, 1:] = np.nan
    units = replace(units, feature=feature, size=np.where(np.arange(12) == 5, 1, units.size))
    assert 5 in bought(units, int(units.size.sum() // 3)), "it still fills what is left of the budget"
    assert 5 not in bought(replace(units, size=np.full(12, 10)), 40)


def test_units_as_budget(make_units):
    units = units_of(make_units, 5, 12, least=2)
    rows = bought(units, 4, measure="units")
    twin = score_twin(units.feature, "seedal")
    assert len(rows) == 4
    assert twin[np.ix_(rows, rows)].sum() == pytest.approx(max(twin[np.ix_(c, c)].sum() for c in combinations(range(12), 4)), rel=1e-6)


def test_never_overshoots_whatever_the_rule(make_units):
    for seed in range(6):
        units = units_of(make_units, seed, 15, least=2)
        limit = int(units.size.sum() // 5)
        rows = bought(units, limit, overshoot="include")
        assert 0 < units.size[rows].sum() <= limit


def test_what_is_asked_already_is_not_bought(make_units):
    units = units_of(make_units, 6, 10, least=2)
    asked = replace(units, size=np.where(np.arange(10) < 4, 0, units.size))
    rows = bought(asked, int(asked.size.sum() // 2))
    assert rows and min(rows) >= 4
    left = replace(asked, size=units.size * 0)
    assert bought(left, 100) == []


def test_the_budget_of_a_seed_opens_it(make_units):
    units = units_of(make_units, 7, 10, least=2)
    ledger = Budget(30, "percent").open(units, 0, [], int(units.size.sum()), "skip_to_fit")
    PairwiseDiversity()(units, ledger, KEY)
    assert 0 < ledger.spent <= round(0.3 * units.size.sum())


def test_copies_of_a_scene_are_named_and_the_first_is_bought(make_units):
    units = units_of(make_units, 8, 12, least=3)
    feature = units.feature.copy()
    feature[9], feature[11] = feature[2], feature[2]
    units = replace(units, feature=feature, size=np.full(12, 10))
    with pairwise.console.capture() as said:
        rows = bought(units, 40)
    assert "2 scenes have the same features as another one (training scenes by number: 9 as 2, 11 as 2)" in said.get()
    assert 2 in rows or not {9, 11} & set(rows)
    with pairwise.console.capture() as said:
        bought(units_of(make_units, 8, 12, least=3), 40)
    assert said.get() and "same features" not in said.get()


def test_one_view_each_is_an_error_with_ways_out(make_units):
    units = units_of(make_units, 9, 8)
    feature = units.feature.copy()
    feature[:, 1:] = np.nan
    alone = replace(units, feature=feature)
    for score in ("seedal", "intra"):
        with pytest.raises(ValueError, match=r"one view only: draw more of them \(views@features\.views=drawn\).*features\.tokens=patches.*another seed"):
            bought(alone, 60, PairwiseDiversity(score))
    assert bought(alone, 60, PairwiseDiversity("inter"))
    same = replace(units, feature=np.ones_like(units.feature))
    for score in ("seedal", "intra", "inter"):
        with pytest.raises(ValueError, match=rf"score={score} is 0 for all pairs of the pool's 8 scenes"):
            bought(same, 60, PairwiseDiversity(score))


def test_scenes_without_a_similarity_are_an_error_with_a_way_out(make_units):
    """Opposite views have a mean cosine below 0, which counts as none."""
    opposite = np.array([[[1, 0], [-1, 0]], [[0, 1], [0, -1]], [[1, 1], [-1, -1]]], np.float32)
    units = replace(make_units([3, 3, 3], scene=[0, 1, 2]), feature=opposite)
    with pytest.raises(ValueError, match=r"score=intra_similarity is 0 for all pairs.*set seed\.pick\.center=false"):
        bought(units, 6, PairwiseDiversity("intra_similarity"))


def test_says_how_good_the_choice_is(make_units):
    units = units_of(make_units, 10, 14, least=2)
    with pairwise.console.capture() as said:
        bought(units, int(units.size.sum() // 3))
    assert "of 14 scenes (14 candidates), pair scores sum to" in said.get() and ": optimal, in" in said.get()
    hurried = pairwise.Solution(np.array([0]), 1.0, 2.0, hurried=True)
    words = pairwise._words(hurried, "seedal", 14, 14, 600.0)
    assert "at most 50 % below the best possible" in words and "another run may choose otherwise" in words


def test_wrong_options_and_features_are_named(make_units):
    for options, said in (({"score": "outer"}, "not one of seedal"), ({"edges": 0}, "edges=0"), ({"nodes": 0}, "nodes=0"), ({"seconds": 0}, "seconds=0")):
        with pytest.raises(ValueError, match=said):
            PairwiseDiversity(**options)
    with pytest.raises(ValueError, match=r"set seed\.embedding=views"):
        bought(make_units([3, 4]), 5)


def test_too_many_scenes_are_refused(make_units, monkeypatch):
    monkeypatch.setattr(pairwise, "MOST_CANDIDATES", 9)
    units = units_of(make_units, 11, 10, least=2)
    with pytest.raises(ValueError, match=r"10 scenes make too many pairs.*pick\.edges=1200"):
        bought(units, 50)
    assert bought(units, 50, PairwiseDiversity(edges=5))


def test_by_points_a_pair_counts_by_the_product_of_its_sizes(make_units):
    """Three small scenes and a large one, or two large ones fit: the plain sum takes six pairs, the weighed one the pair of large ones."""
    feature = np.eye(10, dtype=np.float32).reshape(5, 2, 10)  # all views differ: every pair scores 1
    units = make_units([10, 10, 10, 45, 45], scene=range(5), feature=feature)
    chosen = []
    for by_points in (False, True):
        ledger = Ledger(units, 95)
        PairwiseDiversity(by_points=by_points)(units, ledger, (1,))
        chosen.append(set(ledger.rows))
    assert {0, 1, 2} < chosen[0] and chosen[1] == {3, 4}
    score = np.array([[0, 2.0], [2.0, 0]], np.float32)
    assert weighed(score, np.array([1, 3])).tolist() == [[0, 1.5], [1.5, 0]]
