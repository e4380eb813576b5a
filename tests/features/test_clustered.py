"""Cluster centres of a scene's views."""

from dataclasses import dataclass

import numpy as np
import pytest

from al3d.data.hashing import hash_of
from al3d.features.clustered import Clustered
from al3d.rng import generator
from al3d.types import F32, I32, Scene

SCENE = Scene("one", np.zeros((4, 3), np.float32), np.zeros((4, 0), np.float32))


@dataclass(frozen=True)
class Views:
    """Views around three far places; every call is written down in `calls`."""

    count: int = 12
    calls: tuple[list[str], ...] = ()
    name: str = "views"
    parallel: bool = False

    @property
    def identity(self) -> object:
        return ["Views", self.count]

    @property
    def of(self) -> None:
        return None

    def check(self, scene: Scene) -> None:
        raise ValueError(f"checked {scene.id}")

    def __call__(self, scene: Scene, inner: F32 | None = None) -> F32:
        for calls in self.calls:
            calls.append(scene.id)
        places = np.eye(3, 5, dtype=np.float32)[np.arange(self.count) % 3] * 100
        return places + generator("views", self.count).normal(size=places.shape).astype(np.float32)

    def of_units(self, scene: Scene, unit: I32) -> F32:
        return np.full((2, 5), 7, np.float32)


@pytest.mark.parametrize("mode", ["paper", "fast"])
def test_centres_are_the_means_of_groups_that_are_far_apart(mode):
    views = Views()(SCENE)
    centres = Clustered(Views(), 3, mode)(SCENE)
    expected = np.stack([views[start::3].mean(axis=0) for start in range(3)])
    assert centres.dtype == np.float32 and centres.shape == (3, 5)
    nearest = np.linalg.norm(centres[:, None] - expected[None], axis=2)
    assert sorted(nearest.argmin(axis=1)) == [0, 1, 2] and np.allclose(nearest.min(axis=1), 0, atol=1e-4)


def test_no_more_clusters_than_views():
    views = Views(count=2)(SCENE)
    centres = Clustered(Views(count=2), 13)(SCENE)
    assert sorted(map(tuple, centres)) == sorted(map(tuple, views))


def test_what_is_handed_in_is_clustered_and_nothing_described_again():
    calls: list[str] = []
    given = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert Clustered(Views(calls=(calls,)), 1)(SCENE, given) == pytest.approx(given.mean(axis=0, keepdims=True))
    assert calls == []
    Clustered(Views(calls=(calls,)), 1)(SCENE)
    assert calls == ["one"]


def test_it_passes_on_what_is_not_about_clusters():
    clustered = Clustered(Views(), 3)
    assert clustered.name == "views" and clustered.parallel and clustered.of == Views()
    assert np.array_equal(clustered.of_units(SCENE, np.zeros(4, np.int32)), np.full((2, 5), 7))
    with pytest.raises(ValueError, match="checked one"):
        clustered.check(SCENE)


def test_its_files_are_told_apart_by_everything_that_counts():
    made = [Clustered(Views(), 3), Clustered(Views(), 4), Clustered(Views(), 3, "fast"), Clustered(Views(count=5), 3), Views()]
    assert len({hash_of(one.identity) for one in made}) == len(made)
    assert hash_of(Clustered(Views(), 3).identity) == hash_of(made[0].identity)


def test_at_least_one_cluster():
    with pytest.raises(ValueError, match="clusters=0: the views of a scene make at least 1 cluster"):
        Clustered(Views(), 0)
    with pytest.raises(ValueError, match="mode fast or paper"):
        Clustered(Views(), 3, "slow")(SCENE)
