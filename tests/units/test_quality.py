import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.rng import generator
from al3d.types import IGNORE
from al3d.units.quality import borders, class_borders, mean_iou, measure, neighbours_of, summary

CLASSES = 3


def cloud(points=400, key=0):
    draw = generator("quality", key)
    xyz = (draw.random((points, 3)) * [2, 2, 0.2]).astype(np.float32)
    label = (xyz[:, 0] > 1).astype(np.uint8)
    label[draw.random(points) < 0.1] = IGNORE
    unit = draw.integers(-1, 12, points)
    unit[unit >= 0] = np.unique(unit[unit >= 0], return_inverse=True)[1]
    return xyz, unit.astype(np.int32), label


def measured(xyz, unit, label, cell=0.05):
    around = neighbours_of(xyz)
    return measure(xyz, unit, label, CLASSES, cell, around, class_borders(label, around))


def naive(xyz, unit, label, cell):
    """Loops over units and points."""
    around = neighbours_of(xyz)
    hits, given = np.zeros(CLASSES), np.full(len(unit), -1)
    known, majority, areas = [], [], []
    for one in range(unit.max() + 1):
        inside = unit == one
        votes = [int((label[inside] == c).sum()) for c in range(CLASSES)]
        known.append(sum(votes))
        majority.append(max(votes))
        areas.append(len({tuple(np.floor(point / cell)) for point in xyz[inside].astype(float)}) * cell**2)
        if sum(votes):
            given[inside] = int(np.argmax(votes))
    iou = []
    for c in range(CLASSES):
        true, said = label == c, (given == c) & (label != IGNORE)
        hits[c] = (true & said).sum()
        if (true | said).any():
            iou.append(hits[c] / (true | said).sum())
    edge = [i for i in range(len(unit)) if label[i] != IGNORE and any(label[j] not in (IGNORE, label[i]) for j in around[i])]
    border = [i for i in range(len(unit)) if any(unit[j] != unit[i] for j in around[i])]
    found = [i for i in edge if any(np.linalg.norm(xyz[i].astype(float) - xyz[j]) < cell for j in border)]
    return known, majority, areas, float(np.mean(iou)), len(edge), len(found)


@pytest.mark.parametrize("key", range(3))
@pytest.mark.parametrize("cell", [0.03, 0.2])
def test_equals_the_naive_twin(key, cell):
    xyz, unit, label = cloud(300, key)
    result = measured(xyz, unit, label, cell)
    known, majority, areas, miou, edges, found = naive(xyz, unit, label, cell)
    assert result.known.tolist() == known and result.majority.tolist() == majority
    assert np.allclose(result.area, areas)
    assert (result.edges, result.found) == (edges, found)
    assert summary([result]).miou == pytest.approx(miou)
    assert result.table.sum() == (label != IGNORE).sum()


def test_units_that_follow_the_classes_are_perfect():
    xyz, _, label = cloud()
    label = (xyz[:, 0] > 1).astype(np.uint8)
    figures = summary([measured(xyz, label.astype(np.int32), label)])
    assert (figures.purity, figures.pure, figures.recall, figures.miou, figures.outside) == (1, 1, 1, 1, 0)
    assert (figures.units, figures.sizes[0]) == (2, min(np.bincount(label)))


def test_one_unit_for_the_scene_gets_the_largest_class():
    xyz, _, _ = cloud()
    label = (xyz[:, 0] > 0.5).astype(np.uint8)
    figures = summary([measured(xyz, np.zeros(len(xyz), np.int32), label)])
    share = (label == 1).mean()
    assert figures.purity == pytest.approx(share) and figures.pure == 0
    assert figures.miou == pytest.approx(share / 2), "one class is found with false positives, the other never"
    assert figures.recall == 0


def test_points_in_no_unit_are_lost():
    xyz, _, _ = cloud()
    label = np.zeros(len(xyz), np.uint8)
    unit = np.where(xyz[:, 0] > 1, 0, -1).astype(np.int32)
    figures = summary([measured(xyz, unit, label)])
    assert figures.outside == pytest.approx((unit < 0).mean()) == pytest.approx(1 - figures.miou)
    assert figures.purity == 1


def test_nothing_known_is_said_and_not_zero():
    xyz, unit, _ = cloud()
    figures = summary([measured(xyz, unit, np.full(len(xyz), IGNORE, np.uint8))])
    assert all(np.isnan(value) for value in (figures.purity, figures.pure, figures.recall, figures.miou))
    figures = summary([measured(xyz, np.full(len(xyz), -1, np.int32), np.zeros(len(xyz), np.uint8))])
    assert figures.units == 0 and figures.miou == 0 and figures.outside == 1 and np.isnan(figures.sizes[2])


@pytest.mark.parametrize("points", [1, 2, 5])
def test_tiny_clouds(points):
    xyz = np.ones((points, 3), np.float32)
    figures = summary([measured(xyz, np.arange(points, dtype=np.int32), np.zeros(points, np.uint8))])
    assert figures.purity == 1 and figures.units == points and np.isnan(figures.recall)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-1, 4), st.sampled_from([0, 1, 2, IGNORE])), min_size=1, max_size=40), st.integers(0, 9))
def test_splitting_units_never_hurts(rows, key):
    """Finer units can only follow the classes better."""
    draw = generator("split", key)
    xyz = draw.random((len(rows), 3)).astype(np.float32)
    coarse = np.array([row[0] for row in rows])
    coarse[coarse >= 0] = np.unique(coarse[coarse >= 0], return_inverse=True)[1]
    halves = np.where(coarse >= 0, 2 * coarse + draw.integers(0, 2, len(rows)), -1)
    fine = np.where(halves >= 0, np.searchsorted(np.unique(halves[halves >= 0]), halves), -1)
    label = np.array([row[1] for row in rows], np.uint8)
    first, second = (summary([measured(xyz, unit.astype(np.int32), label)]) for unit in (coarse, fine))
    assert np.isnan(first.purity) or second.purity >= first.purity - 1e-12
    assert np.isnan(first.recall) or second.recall >= first.recall - 1e-12


def test_scenes_add_up():
    one, two = (measured(*cloud(300, key)) for key in (1, 2))
    figures = summary([one, two])
    assert figures.scenes == 2 and figures.most == max(len(one.size), len(two.size))
    assert figures.purity == pytest.approx((one.majority.sum() + two.majority.sum()) / (one.known.sum() + two.known.sum()))
    assert figures.miou == pytest.approx(mean_iou(one.table + two.table))
    assert list(figures.row())[-5:] == ["size_0", "size_5", "size_50", "size_95", "size_100"]


def test_no_unit_is_a_side_of_a_boundary_too():
    unit = np.array([0, 0, -1, -1], np.int32)
    assert borders(unit, np.array([[1], [2], [3], [2]])).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda xyz, unit, label: (xyz, unit[:-1], label, 0.1), "one of each per point"),
        (lambda xyz, unit, label: (xyz, unit, np.full(len(xyz), 7, np.uint8), 0.1), r"labels \[7\]"),
        (lambda xyz, unit, label: (xyz, unit, label, 0.0), "cell = 0"),
    ],
)
def test_names_what_is_wrong(change, message):
    xyz, unit, label, cell = change(*cloud(30))
    with pytest.raises(ValueError, match=message):
        measured(xyz, unit, label, cell)
    with pytest.raises(ValueError, match="at least one scene"):
        summary([])
