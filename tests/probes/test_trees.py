"""Trees against a walk in Python, LightGBM and scikit-learn; both ways of evaluating them; arrays that are no trees."""

from dataclasses import replace

import lightgbm
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from al3d.probes import boosting, forest, trees
from al3d.probes.boosting import Boosting
from al3d.probes.trees import WORD, Trees, float_below, joined, trees_of
from al3d.rng import generator


def grown(rng, leaves, inputs, width, tenths=False):
    """A random tree of so many leaves in the numbering of `joined`; thresholds in tenths meet rows in tenths."""
    feature = rng.integers(inputs, size=leaves - 1)
    threshold = rng.integers(-9, 10, leaves - 1) / 10 if tenths else rng.normal(size=leaves - 1)
    left, right = np.zeros(leaves - 1, np.int64), np.zeros(leaves - 1, np.int64)
    free, numbers = [], iter(rng.permutation(leaves))
    for node in range(leaves - 1):
        if node:
            child, place = free.pop(rng.integers(len(free)))
            child[place] = node
        free += [(left, node), (right, node)]
    for child, place in free:
        child[place] = ~next(numbers)
    return feature, threshold, left, right, rng.normal(size=(leaves, width))


def ensemble(seed=0, sizes=(5, 1, 32, 2, 9, 17), inputs=6, width=1, outputs=3, tenths=False):
    rng = generator(seed, "trees")
    return joined([(*grown(rng, leaves, inputs, width, tenths), number % (outputs - width + 1)) for number, leaves in enumerate(sizes)], inputs, outputs)


def rows_for(many=300, inputs=6, seed=0):
    return generator(seed, "rows").normal(size=(many, inputs)).astype(np.float32)


def slow(model, rows):
    """Every row walks down every tree, in Python numbers."""
    sums = np.zeros((len(rows), model.outputs))
    for number, row in enumerate(rows.tolist()):
        for root, column in zip(model.root.tolist(), model.column.tolist(), strict=True):
            place = root
            while place >= 0:
                place = int((model.left if row[model.feature[place]] <= model.threshold[place] else model.right)[place])
            for part, value in enumerate(model.value[~place].tolist()):
                sums[number, column + part] += value
    return sums


def walked(model, rows):
    sums = np.zeros((len(rows), model.outputs))
    trees._by_walking(rows, model.nodes, model.nodes.view(np.float32), model.root, model.column, model.value, sums)
    return sums


@pytest.mark.parametrize("sizes", [(5, 1, 32, 2, 9, 17), (1,), (2,), (1, 1, 1), (33, 4), (200, 3, 1), (32,) * 4])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_trees_equal_a_walk_in_python_both_ways(sizes, width):
    model, rows = ensemble(1, sizes, width=width), rows_for()
    assert (model.words is None) == (max(sizes) > WORD)
    wanted = slow(model, rows)
    np.testing.assert_array_equal(model(rows), wanted)
    np.testing.assert_array_equal(walked(model, rows), wanted)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 10**6), st.integers(0, 40))
def test_rows_on_a_threshold_go_left(sizes, seed, many):
    model = ensemble(seed, tuple(sizes), inputs=2, tenths=True)
    rows = (generator(seed, "rows").integers(-9, 10, (many, 2)) / 10).astype(np.float32)
    np.testing.assert_array_equal(model(rows), slow(model, rows))
    np.testing.assert_array_equal(walked(model, rows), slow(model, rows))


@pytest.mark.parametrize("many", [0, 1, 127, 128, 129, 2047, 2049, 5000])
@pytest.mark.parametrize("sizes", [(5, 32, 2), (5, 40, 2)])
def test_any_number_of_rows_and_threads_gives_the_same_bits(many, sizes):
    model, rows = ensemble(2, sizes), rows_for(5000)
    whole = model(rows)
    before = numba.get_num_threads()
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            np.testing.assert_array_equal(model(rows[:many]), whole[:many])
            np.testing.assert_array_equal(model(np.asfortranarray(rows[:many])), whole[:many])
    finally:
        numba.set_num_threads(before)


def test_an_empty_ensemble_sums_to_nothing():
    model = joined([], 4, 2)
    np.testing.assert_array_equal(model(rows_for(5, 4)), np.zeros((5, 2)))
    np.testing.assert_array_equal(trees_of(model.state())(rows_for(5, 4)), np.zeros((5, 2)))


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_rounding_a_threshold_down_changes_no_comparison(values):
    exact = np.array(values)
    limit = float_below(exact)
    near = exact.astype(np.float32)
    for x in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        np.testing.assert_array_equal(x <= limit, x.astype(np.float64) <= exact)


def labelled(many, seed=0, classes=3, columns=5):
    rng = generator(seed, "labelled")
    label = rng.integers(classes, size=many)
    rows = rng.normal(size=(many, columns)) + 0.8 * label[:, None] * np.arange(1, columns + 1) / columns
    return rows.astype(np.float32), label


@pytest.mark.parametrize("many", [3, 25, 700, 6000])
@pytest.mark.parametrize("options", [Boosting(trees=20), Boosting(trees=12, leaves=60, least=1), Boosting(trees=9, columns=0.5, l2=1.0)])
def test_boosted_trees_equal_lightgbm(many, options):
    rows, label = labelled(many)
    label[:3] = 0, 1, 2
    learned = lightgbm.train(options.options(many, 3, (0,)), lightgbm.Dataset(rows, label), options.trees)
    model, more = boosting.trees_from(learned.dump_model(), 5), labelled(2000, 1)[0]
    sums = model(more)
    prob = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    wanted = learned.predict(more)
    np.testing.assert_allclose(sums, learned.predict(more, raw_score=True), rtol=0, atol=1e-12)
    np.testing.assert_allclose(prob, wanted, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(sums.argmax(axis=1), wanted.argmax(axis=1))


def test_boosted_splits_at_zero_and_between_equal_numbers_equal_lightgbm():
    rng = generator(3, "integers")
    rows = rng.integers(-2, 3, (800, 4)).astype(np.float32)
    label = ((rows[:, 0] > 0).astype(int) + (rows[:, 1] == 0)) % 3
    options = Boosting(trees=10)
    learned = lightgbm.train(options.options(800, 3, (0,)), lightgbm.Dataset(rows, label), 10)
    # LightGBM takes what is within 1e-35 of 0 for 0, and its thresholds there are that far from it.
    more = np.concatenate([rows, np.float32(1e-34) * rows, np.float32(1e-36) * rows, np.float32(1e-40) * rows])
    sums = boosting.trees_from(learned.dump_model(), 4)(more)
    np.testing.assert_allclose(sums, learned.predict(more, raw_score=True), rtol=0, atol=1e-12)


def test_other_splits_of_lightgbm_are_refused():
    rows = np.arange(200, dtype=np.float32)[:, None] % 5
    options = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "min_data_in_leaf": 1, "min_data_per_group": 1, "cat_smooth": 0}
    learned = lightgbm.train(options, lightgbm.Dataset(rows, rows[:, 0] % 3, categorical_feature=[0]), 2)
    with pytest.raises(ValueError, match="split of type '=='"):
        boosting.trees_from(learned.dump_model(), 1)


@pytest.mark.parametrize("kind", [ExtraTreesClassifier, RandomForestClassifier])
@pytest.mark.parametrize(("many", "least"), [(3, 1), (25, 1), (700, 1), (700, 40)])
def test_a_forest_equals_scikit_learn(kind, many, least):
    rows, label = labelled(many)
    label[:3] = 0, 1, 2
    learned = kind(15, min_samples_leaf=least, random_state=0).fit(rows, label, generator(0, "weight").random(many) + 0.1)
    more = np.concatenate([labelled(2000, 1)[0], rows])
    model = forest.trees_from((tree.tree_ for tree in learned.estimators_), 5, 3)
    np.testing.assert_allclose(model(more) / 15, learned.predict_proba(more), rtol=0, atol=1e-6)


def test_a_state_is_copied_and_gives_the_same_bits():
    model, rows = ensemble(), rows_for()
    wanted, state = model(rows), model.state()
    np.testing.assert_array_equal(trees_of(state)(rows), wanted)
    state["value"].zero_()
    np.testing.assert_array_equal(model(rows), wanted)


def changed(name, place, value):
    def change(model: Trees) -> Trees:
        array = getattr(model, name).copy()
        array[place] = value
        return replace(model, **{name: array})

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (changed("feature", 3, 6), "a column outside the 6"),
        (changed("feature", 0, -1), "a column outside the 6"),
        (changed("column", 0, 3), "a column outside the 3"),
        (changed("threshold", 0, np.nan), "not a number"),
        (changed("value", (0, 0), np.inf), "not a number"),
        (changed("left", 1, 1000), "left names a node or leaf that does not exist"),
        (changed("right", 1, -1000), "right names a node or leaf that does not exist"),
        (changed("left", 2, 0), "a child stands before its node"),
        (changed("root", 1, 0), "hangs from two places"),
        (lambda model: replace(model, feature=model.feature[:-1]), "one entry per node"),
        (lambda model: replace(model, root=model.root[:-1]), "one entry per tree"),
        (lambda model: replace(model, root=model.root[:-1], column=model.column[:-1]), "from none"),
        (lambda model: replace(model, value=np.zeros((len(model.value) + 1, 1))), "from none"),
        (lambda model: replace(model, value=model.value.astype(np.float32)), "value must be float64"),
        (lambda model: replace(model, threshold=model.threshold.astype(np.float64)), "threshold must be float32"),
        (lambda model: replace(model, left=model.left[:, None]), "left must be int32 with one axis"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(change, what):
    with pytest.raises(ValueError, match=f"no trees: .*{what}"):
        change(ensemble())


def test_states_and_rows_that_do_not_fit_are_refused():
    state = ensemble().state()
    with pytest.raises(ValueError, match="lacks root, value"):
        trees_of({name: value for name, value in state.items() if name not in ("root", "value")})
    for rows in (rows_for(inputs=5), rows_for()[0], rows_for().astype(np.float64)):
        with pytest.raises(ValueError, match=r"float32 \[V,6\]"):
            ensemble()(rows)
