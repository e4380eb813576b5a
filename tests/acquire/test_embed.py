"""What represents a unit: against loops over its points."""

import numpy as np
import pytest

from al3d.acquire.embed import WIDEST, embedding, projected
from al3d.acquire.reduce import describe
from al3d.rng import generator


def scene(make_view, classes=4, width=6, points=90, voxels=40, seed=0):
    random = generator("embed", seed)
    unit = random.integers(-1, 7, points)
    return make_view(
        unit,
        prob=random.dirichlet(np.full(classes, 0.4), voxels),
        inverse=random.integers(0, voxels, points),
        feature=random.normal(size=(voxels, width)).astype(np.float32),
        asked=random.random(points) < 0.3,
    )


def naive_gradient(view, unit):
    """The mean over the unit's points of (p - onehot(argmax p)) outer feature, class by class."""
    found = []
    for point in np.flatnonzero(view.unit == unit):
        prob = view.prob[view.inverse[point]].astype(np.float64)
        prob[prob.argmax()] -= 1
        found.append(np.outer(prob, view.feature[view.inverse[point]]).reshape(-1))
    return np.mean(found, axis=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["mean", "gradient"])
def test_embeddings_equal_a_loop_over_points(make_view, kind, seed):
    view = scene(make_view, seed=seed)
    inside = view.unit >= 0
    total = np.bincount(view.unit[inside])
    rows = np.array([0, 2, 5])
    got = embedding(view, kind, inside, rows, total)
    assert got.shape == (3, 6 if kind == "mean" else 24)
    for row, unit in zip(got, rows, strict=True):
        wanted = view.feature[view.inverse[view.unit == unit]].mean(axis=0) if kind == "mean" else naive_gradient(view, unit)
        np.testing.assert_allclose(row, wanted, rtol=1e-3, atol=1e-5 if kind == "mean" else 1e-3)
    units = describe(view, None, with_feature=True, kind_of_feature=kind)
    np.testing.assert_array_equal(units.feature[np.isin(units.unit, rows)], got)


def test_a_sure_network_has_short_gradients(make_view):
    sure, unsure = np.array([0.998, 0.001, 0.001]), np.array([0.34, 0.33, 0.33])
    feature = np.ones((2, 5), np.float32)
    view = make_view([0, 1], prob=[sure, unsure], feature=feature)
    lengths = np.linalg.norm(embedding(view, "gradient", view.unit >= 0, np.array([0, 1]), np.array([1, 1])), axis=1)
    assert lengths[0] < 0.01 * lengths[1]


def test_embeddings_without_features_are_refused(make_view):
    view = make_view([0, 1], prob=np.full((2, 3), 1 / 3))
    with pytest.raises(ValueError, match="was not predicted"):
        embedding(view, "mean", view.unit >= 0, np.array([0]), np.array([1, 1]))


def test_the_projection_keeps_distances_and_narrow_rows():
    random = generator("projection")
    rows = random.normal(size=(40, 13 * 96)).astype(np.float32) * random.uniform(0.1, 3, (40, 1)).astype(np.float32)
    narrow = projected(rows)
    assert narrow.shape == (40, WIDEST) and np.array_equal(narrow, projected(rows)), "one fixed projection"
    pairs = np.triu_indices(40, 1)
    before, after = (np.linalg.norm(one[pairs[0]] - one[pairs[1]], axis=1) for one in (rows, narrow))
    assert np.abs(after / before - 1).max() < 0.25
    assert np.abs(after / before - 1).mean() < 0.05
    assert projected(rows[:, :WIDEST]) is not None and np.array_equal(projected(rows[:, :WIDEST]), rows[:, :WIDEST])


def test_wide_gradients_are_projected_means(make_view):
    view = scene(make_view, classes=8, width=96)
    inside = view.unit >= 0
    got = embedding(view, "gradient", inside, np.array([1, 3]), np.bincount(view.unit[inside]))
    wanted = projected(np.stack([naive_gradient(view, unit) for unit in (1, 3)]).astype(np.float32))
    assert got.dtype == np.float16 and got.shape == (2, WIDEST)
    np.testing.assert_allclose(got, wanted, atol=2e-3 * np.abs(wanted).max())


def test_huge_gradients_stay_finite(make_view):
    view = make_view([0], prob=[[0.5, 0.5]], feature=np.full((1, 3), 1e9, np.float32))
    assert np.isfinite(embedding(view, "gradient", view.unit >= 0, np.array([0]), np.array([1]))).all()
