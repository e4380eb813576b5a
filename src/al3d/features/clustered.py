"""Cluster centres of a scene's views: what SeedAL compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.features.kmeans import kmeans_centres
from al3d.types import F32, I32, FeatureExtractor, Scene


@dataclass(frozen=True)
class Clustered:
    """The centres of `clusters` k-means clusters of a scene's views (all views where there are no more), f32[K,D].

    Euclidean, on the features as they are. `kmeans` "paper": 10 restarts; "fast": one.
    Source: SeedAL; its k-means has the fixed seed 123 and as many clusters as the data set has classes (docs/fidelity.md D-03).
    """

    of: FeatureExtractor
    clusters: int
    kmeans: str = "paper"

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise ValueError(f"clusters={self.clusters}: the views of a scene make at least 1 cluster")

    @property
    def name(self) -> str:
        """The name of the features that are clustered."""
        return self.of.name

    @property
    def identity(self) -> object:
        """What is clustered, and how."""
        return ["Clustered", self.of.identity, self.clusters, self.kmeans]

    @property
    def parallel(self) -> bool:
        """Clustering is."""
        return True

    def check(self, scene: Scene) -> None:
        """As the features that are clustered."""
        self.of.check(scene)

    def __call__(self, scene: Scene, inner: F32 | None = None) -> F32:
        views = self.of(scene) if inner is None else np.asarray(inner)
        return kmeans_centres(views, self.clusters, self.kmeans, seed=123)

    def of_units(self, scene: Scene, unit: I32) -> F32:
        """The features of the units themselves."""
        return self.of.of_units(scene, unit)
