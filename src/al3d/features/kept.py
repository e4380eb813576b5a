"""Features of scenes and units, described once and kept in the store; stopped at any moment, it goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from al3d.data.jobs import Jobs, Light
from al3d.data.prepare import each_missing
from al3d.data.store import Store
from al3d.data.whole import save
from al3d.files import whole_file
from al3d.types import FeatureExtractor, Partitioner, Scene


def keep_features(store: Store, features: FeatureExtractor, unit: Partitioner | None, ids: Sequence[str], jobs: Jobs) -> None:
    """Describe those of the scenes `ids`, or of their units, that have no file yet.

    Every scene is checked before any is described. An extractor that is bound to a device works in this process alone.
    Raises: ValueError listing every scene that the features cannot describe.
    """
    todo = [name for name in ids if not store.features_file(features, name, unit).is_file()]
    if not todo:
        return
    words = f"{store.name}: features {features.name}"
    check_features(store, features, todo)
    if features.of is not None and unit is None:
        keep_features(store, features.of, None, todo, jobs)
        words = f"{words}, clustered"
    folder, hands = store.features_file(features, "-", unit).parent, jobs if features.parallel else Jobs()
    file = partial(store.features_file, features, unit=unit)
    each_missing(folder, features.identity, file, partial(_write, store, Light(features), unit), todo, hands, words)


class Checked(Protocol):
    """What can say beforehand that a scene cannot be described."""

    @property
    def name(self) -> str: ...
    def check(self, scene: Scene) -> None: ...


def check_features(store: Store, features: Checked, ids: Sequence[str]) -> None:
    """Refuse scenes that the features cannot describe, before any is described. Raises: ValueError with the first five and how many there are."""
    broken = []
    for name in ids:
        try:
            features.check(store.scene(name))
        except (ValueError, FileNotFoundError) as error:
            broken.append(str(error))
    if broken:
        more = f"\n  and {len(broken) - 5} more" if len(broken) > 5 else ""
        listing = "\n  ".join(broken[:5])
        raise ValueError(f"{features.name} features cannot describe {len(broken)} of {len(ids)} scenes of {store.name}:\n  {listing}{more}")


def _write(store: Store, light: Light[FeatureExtractor], unit: Partitioner | None, name: str) -> None:
    features = light.value
    scene = store.scene(name)
    if unit is None:
        rows = features(scene, None if features.of is None else store.described(features.of, name))
    else:
        rows = features.of_units(scene, store.unit(unit, name, scene))
    if rows.dtype != np.float32 or rows.ndim != 2 or not np.isfinite(rows).all() or (unit is None and not len(rows)):
        raise ValueError(f"{features.name} gave {rows.dtype} {list(rows.shape)}, but must give finite float32 [views or units, features]")
    with whole_file(store.features_file(features, name, unit)) as temporary:
        save(temporary, rows)
