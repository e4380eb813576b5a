"""Makers of small pools and views."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from al3d.types import IGNORE, Scene, Units, View


def _units(size: list[int] | np.ndarray, scene: list[int] | None = None, score: object = None, feature: object = None) -> Units:
    """Units of the given sizes, one row each, in (scene, unit) order."""
    count = len(size)
    in_scene = np.zeros(count, np.int32) if scene is None else np.sort(np.asarray(scene, np.int32))
    number = np.array([np.sum(in_scene[:row] == in_scene[row]) for row in range(count)], np.int32)
    return Units(
        scene=in_scene,
        unit=number,
        size=np.asarray(size, np.int64),
        points=np.asarray(size, np.int64),
        center=np.zeros((count, 3), np.float32),
        extent=np.zeros((count, 3), np.float32),
        world=np.zeros((count, 3)),
        drive=in_scene,
        score=np.zeros((count, 1), np.float32) if score is None else np.asarray(score, np.float32).reshape(count, -1),
        feature=np.zeros((count, 2), np.float32) if feature is None else np.asarray(feature, np.float32),
        kind=np.zeros(count, np.uint8),
        predicted=np.full(count, IGNORE, np.uint8),
        clicks=np.ones(count, np.int64),
        labelled=np.zeros(count, bool),
    )


def _view(unit: object, asked: object = None, prob: object = None, inverse: object = None, **more: object) -> View:
    """A view of a scene of random points; voxels are points unless `inverse` says otherwise."""
    ids = np.asarray(unit, np.int32)
    random = np.random.default_rng(len(ids))
    scene = Scene("room", random.random((len(ids), 3), np.float32), np.zeros((len(ids), 1), np.float32), extra=more.pop("extra", {}))
    return View(
        scene=scene,
        index=int(more.pop("index", 0)),
        unit=ids,
        kind=np.zeros(int(ids.max(initial=-1)) + 1, np.uint8),
        asked=np.zeros(len(ids), bool) if asked is None else np.asarray(asked, bool),
        prob=None if prob is None else np.asarray(prob, np.float32),
        inverse=np.arange(len(ids)) if inverse is None else np.asarray(inverse, np.int64),
        **more,
    )


@pytest.fixture(scope="session")
def make_units() -> Callable[..., Units]:
    return _units


@pytest.fixture(scope="session")
def make_view() -> Callable[..., View]:
    return _view
