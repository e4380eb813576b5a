"""Scores that look at more than one point: against naive twins and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.special import kl_div
from scipy.stats import entropy as scipy_entropy

from al3d.acquire.hierarchy import HierarchicalMargin
from al3d.acquire.interframe import InterFrame, world_of
from al3d.acquire.score import Entropy, MutualInformation
from al3d.acquire.votes import SegmentEntropy, VoxelConfusion
from al3d.rng import generator
from al3d.types import Scene
from al3d.units.scene import SceneUnit


def dirichlet(seed, rows, classes=4):
    return generator("beyond", seed).dirichlet(np.full(classes, 0.4), rows).astype(np.float32)


def test_mutual_information_is_what_the_passes_disagree_on(make_view):
    passes = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.1, 0.9], [0.5, 0.5]]])
    mean = passes.mean(axis=0)
    of_passes = np.array([[scipy_entropy(row) for row in one] for one in passes]).mean(axis=0).astype(np.float32)
    view = replace(make_view([0, 0], prob=mean), entropy_of_passes=of_passes)
    np.testing.assert_allclose(MutualInformation()(view), [np.log(2) - of_passes[0], 0], atol=1e-6)
    np.testing.assert_allclose(Entropy()(view), np.log(2), atol=1e-6)
    with pytest.raises(ValueError, match="passes=10"):
        MutualInformation()(make_view([0, 0], prob=mean))


def test_votes_equal_a_loop_over_regions(make_view):
    random = generator("votes")
    prob = dirichlet(1, 80)
    unit = random.integers(-1, 6, 80)
    region = random.integers(-1, 9, 80).astype(np.int32)
    view = replace(make_view(unit, prob=prob), regions={SceneUnit(): region})
    voted = prob.argmax(axis=1)

    def entropy_in(group, base):
        value = np.full(80, np.nan)
        for number in set(group[group >= 0].tolist()):
            inside = group == number
            value[inside] = scipy_entropy(np.bincount(voted[inside], minlength=4), base=base)
        return value

    by_region = entropy_in(region, 2)
    got = SegmentEntropy(SceneUnit())(view)
    np.testing.assert_allclose(got[region >= 0], by_region[region >= 0], atol=1e-6)
    np.testing.assert_allclose(got.mean(), np.nanmean(by_region), atol=1e-6)
    confusion = VoxelConfusion()(view)
    np.testing.assert_allclose(confusion[unit >= 0], entropy_in(unit, np.e)[unit >= 0], atol=1e-6)
    assert (confusion[unit < 0] == 0).all()
    assert SegmentEntropy(SceneUnit()).regions == (SceneUnit(),)


def naive_hierarchy(xyz, prob, grids, weight):
    """As published: barycentres of a grid, the nearest of them for every node, means of means."""

    def margin(rows):
        ordered = np.sort(rows, axis=1)
        return ordered[:, -1] - ordered[:, -2]

    total, place, node, to_node = margin(prob), xyz, prob, np.arange(len(xyz))
    for level, grid in enumerate(grids, start=1):
        cells = {}
        for row, cell in enumerate(map(tuple, np.floor((place - np.floor(place.min(axis=0) / grid) * grid) / grid).astype(int))):
            cells.setdefault(cell, []).append(row)
        centre = np.array([place[rows].mean(axis=0) for rows in cells.values()])
        parent = cKDTree(centre).query(place)[1]
        node = np.array([node[parent == one].mean(axis=0) if (parent == one).any() else np.zeros(node.shape[1]) for one in range(len(centre))])
        to_node, place = parent[to_node], centre
        total = total + weight**level * margin(node)[to_node]
    return -total


@pytest.mark.parametrize("seed", range(4))
def test_the_hierarchy_equals_the_naive_twin(make_view, seed):
    prob = dirichlet(seed, 300)
    xyz = generator("hierarchy", seed).uniform(-1.5, 2, (300, 3)).astype(np.float32)
    view = make_view(np.arange(300), prob=prob)
    view = replace(view, scene=replace(view.scene, xyz=xyz))
    score = HierarchicalMargin()
    np.testing.assert_allclose(score(view), naive_hierarchy(xyz.astype(float), prob.astype(float), score.grids, score.weight), atol=1e-5)
    listed = HierarchicalMargin(score.grids, [0.1**level for level in range(1, 4)])
    np.testing.assert_allclose(listed(view), score(view), atol=1e-6)
    without = HierarchicalMargin(score.grids, (0.1, 0.01, 0.0))
    np.testing.assert_allclose(without(view), HierarchicalMargin(score.grids[:2])(view), atol=1e-6)


def test_an_unsure_neighbourhood_counts(make_view):
    prob = np.array([[0.6, 0.4], [0.5, 0.5], [0.6, 0.4], [1.0, 0.0]], np.float32)
    xyz = np.array([[0, 0, 0.01], [0, 0, 0.02], [9, 9, 0.01], [9, 9, 0.02]], np.float32)
    view = make_view(range(4), prob=prob)
    score = HierarchicalMargin()(replace(view, scene=replace(view.scene, xyz=xyz)))
    assert score[0] > score[2], "equal margins, but the first has the less certain neighbour"


def frames(make_view, count, points=60, classes=4):
    """Frames of one drive that see much the same place from moving sensors."""
    random = generator("frames", count)
    place = random.uniform(0, 0.6, (points, 3))
    views = []
    for number in range(count):
        pose = np.eye(4)
        angle = 0.3 * number
        pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pose[:3, 3] = [1000 + number, 2000, 3]
        seen = place + random.normal(0, 0.02, place.shape)
        local = (seen + [1000, 2000, 0] - pose[:3, 3]) @ pose[:3, :3]
        scene = Scene(f"f{number}", local.astype(np.float32), np.zeros((points, 1), np.float32), sequence="a", frame=number, pose=pose)
        inverse = random.integers(0, points // 2, points)
        view = make_view(np.arange(points) % 5, prob=dirichlet(number, points // 2, classes), inverse=inverse)
        views.append(replace(view, scene=scene, index=number))
    return views


def test_inter_frame_scores_equal_the_naive_twin(make_view):
    first, *others = frames(make_view, 5)
    got = InterFrame(2)(replace(first, neighbours=tuple(others)))
    own = first.prob[first.inverse].astype(float)
    for point, place in enumerate(world_of(first)):
        matched = []
        for other in others:
            distance = np.linalg.norm(world_of(other) - place, axis=1)
            if distance.min() <= 0.1:
                matched.append(other.prob[other.inverse[distance.argmin()]].astype(float))
        divergence = np.mean([kl_div(own[point] + 1e-5, q + 1e-5).sum() for q in matched]) if matched else 0
        mean = (own[point] + sum(matched)) / (1 + len(matched))
        np.testing.assert_allclose(got[point], [divergence, scipy_entropy(mean)], atol=2e-4)
    assert (got[:, 0] > 0).mean() > 0.9
    assert InterFrame().context == 12


def test_agreement_has_no_divergence(make_view):
    first, second = frames(make_view, 2)
    same = np.full_like(first.prob, 0.25)
    scores = InterFrame(1)(replace(first, prob=same, neighbours=(replace(second, prob=same),)))
    np.testing.assert_allclose(scores, np.stack([np.zeros(60), np.full(60, np.log(4))], axis=1), atol=1e-6)
    alone = InterFrame(1)(replace(first, neighbours=()))
    np.testing.assert_allclose(alone[:, 0], 0)
