"""What a method with `features` reads: which scenes it looks at, and their kept features."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from al3d.acquire.acquirer import Acquirer
from al3d.data.jobs import Jobs
from al3d.data.store import Store
from al3d.features.kept import check_features, keep_features
from al3d.types import F32, I64, Partitioner


def check_described(store: Store, method: Acquirer) -> None:
    """Refuse features that cannot describe every training scene, before anything costly is done. Raises: ValueError naming the scenes."""
    names = store.splits["train"]
    unit = described_unit(method)
    if method.features is not None and not all(store.features_file(method.features, name, unit).is_file() for name in names):
        check_features(store, method.features, names)


def prepare_features(store: Store, method: Acquirer, jobs: Jobs) -> None:
    """Describe the training scenes as `method` needs it: for thinning all of them, for choosing those that stay.

    Raises: ValueError listing every scene that cannot be described.
    """
    names = store.splits["train"]
    thin = method.thin
    if thin is not None and thin.wanted(_drives(store.path, store.data_hash)[0]):
        keep_features(store, thin.features, None, names, jobs)
    if method.features is not None:
        keep_features(store, method.features, described_unit(method), [names[index] for index in looked_at(store, method)], jobs)


def looked_at(store: Store, method: Acquirer) -> I64:
    """The indices of the training scenes that are in the method's pool: all, or those that thinning leaves."""
    names = store.splits["train"]
    thin = method.thin
    if thin is None:
        return np.arange(len(names))
    sequences, frames = _drives(store.path, store.data_hash)
    if not thin.wanted(sequences):
        return np.arange(len(names))
    feature: F32 = np.stack([store.described(thin.features, name).mean(axis=0, dtype=np.float64) for name in names]).astype(np.float32)
    return thin(feature, sequences, frames)


def described_unit(method: Acquirer) -> Partitioner | None:
    """The units whose features are kept; None when whole scenes are described by their views."""
    return None if method.unit.name == "scene" else method.unit


@lru_cache(maxsize=1)
def _drives(path: Path, data_hash: str) -> tuple[list[str | None], list[int | None]]:
    """Sequence and frame of every training scene of a store, read once: preparing, choosing and reporting all ask."""
    store = Store(path)
    scenes = [store.scene(name) for name in store.splits["train"]]
    return [scene.sequence for scene in scenes], [scene.frame for scene in scenes]
