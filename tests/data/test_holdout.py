"""The held-out part of bought labels: keyed, lasting, never all, and nothing that was not bought."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.holdout import Holdout
from al3d.data.labels import LabelState
from al3d.units.point import PointUnit
from al3d.units.scene import SceneUnit


@pytest.fixture
def labels(tiny_store, tmp_path):
    return LabelState(tmp_path, tiny_store)


def record(number):
    return {"round": number}


def test_about_a_tenth_is_held_out_and_stays_so(labels, tiny_store):
    unit = PointUnit()
    names = tiny_store.splits["train"]
    first = {name: range(0, int(tiny_store.unit(unit, name).max()) + 1, 2) for name in names}
    labels.append(first, unit, record(0))
    before = Holdout(labels, 0, (1,), 0.1)
    total = sum(int(labels.asked(name).sum()) for name in names)
    held = {name: before.mask(name) for name in names}
    assert 0.05 < sum(int(mask.sum()) for mask in held.values()) / total < 0.15
    assert all((labels.asked(name) | ~held[name]).all() for name in names), "only bought points are held out"
    labels.append({name: range(1, int(tiny_store.unit(unit, name).max()) + 1, 2) for name in names}, unit, record(1))
    later = Holdout(labels, 1, (1,), 0.1)
    assert all((later.mask(name) & labels.asked(name, 0) == held[name]).all() for name in names), "what was held out is never trained on"
    other = Holdout(labels, 0, (2,), 0.1)
    assert any((other.mask(name) != held[name]).any() for name in names), "another rng, another tenth"


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 50))
def test_of_two_scenes_one_is_held_out(tiny_store, tmp_path_factory, rng):
    labels = LabelState(tmp_path_factory.mktemp("labels"), tiny_store)
    two = tiny_store.splits["train"][:2]
    labels.append(dict.fromkeys(two, (0,)), SceneUnit(), record(0))
    try:
        holdout = Holdout(labels, 0, (rng,), 0.1)
    except ValueError as error:
        assert "keeps every one of 2" in str(error)
        return
    assert len(holdout.held) == 1 and len(holdout.trained) == 1 and set(holdout.held) | set(holdout.trained) == set(two)
    assert holdout.mask(holdout.held[0]).all() and not holdout.mask(holdout.trained[0]).any()


def test_one_unit_is_refused(labels, tiny_store):
    labels.append({tiny_store.splits["train"][0]: (0,)}, SceneUnit(), record(0))
    with pytest.raises(ValueError, match="needs at least two bought units"):
        Holdout(labels, 0, (1,))


def test_units_are_held_out_whole(labels, tiny_store):
    name = tiny_store.splits["train"][0]
    unit = PointUnit()
    labels.append({name: range(100)}, unit, record(0))
    chosen = np.arange(100) % 3 == 0
    mask = labels.points_of(name, 0, chosen)
    assert labels.bought_units(name, 0) == 100
    assert np.array_equal(np.flatnonzero(mask), np.flatnonzero(chosen))
