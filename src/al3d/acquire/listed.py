"""Units that somebody else chose: a list from a file, bought in its order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from al3d.acquire.score import NO_NEEDS, Score
from al3d.data.store import Store
from al3d.files import read_json
from al3d.types import F32, Partitioner, View


@dataclass(frozen=True)
class Listed(Score):
    """1 for the first listed unit, less for every later one, 0 for units that are not listed.

    `file` is JSON: scene -> unit ids (as al3d counts them, from 0), or a list of scenes, of which every unit is meant. With the picker
    `Top(above=0)` only listed units are bought, in the order of the list.
    Listed scenes of other splits are passed over.
    Raises: FileNotFoundError; ValueError naming the file for anything else in it, for a scene that the data set does not have, and for a unit that a
    scene does not have.
    """

    file: Path

    @property
    def needs(self) -> frozenset[str]:
        """No predictions."""
        return NO_NEEDS

    def check_store(self, store: Store, unit: Partitioner) -> None:
        """Refuse a list of other scenes. Raises: ValueError naming them."""
        known = {scene for scenes in store.splits.values() for scene in scenes}
        strange = [scene for scene in self._places if scene not in known]
        if strange:
            raise ValueError(
                f"{self.file}: {', '.join(map(repr, strange[:5]))}{', ...' if len(strange) > 5 else ''} ({len(strange)} of {len(self._places)} listed scenes) "
                f"are not among the data set's {len(known)} scenes, such as {min(known)!r}: name scenes as `al3d` does, without folders and file endings"
            )

    def __call__(self, view: View) -> F32:
        places = self._places.get(view.scene.id, {})
        count = int(view.unit.max(initial=-1)) + 1
        strange = [unit for unit in places if unit is not None and unit >= count]
        if strange:
            raise ValueError(f"{self.file}: scene {view.scene.id!r} has {count} units, but unit {strange[0]} is listed: was the list made with other units?")
        value = np.zeros(count + 1, np.float32)
        value[:count] = _worth(places.get(None), self._length)
        for unit, place in places.items():
            if unit is not None:
                value[unit] = _worth(place, self._length)
        return np.asarray(value[view.unit])

    @cached_property
    def _places(self) -> Mapping[str, Mapping[int | None, int]]:
        """Scene -> unit (None: all of them) -> its place in the list."""
        path = Path(self.file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such list of units: give acquire.score.file=/path/to/list.json")
        content = read_json(path)
        if isinstance(content, list) and all(isinstance(scene, str) for scene in content):
            return {scene: {None: place} for place, scene in enumerate(content)}
        if not isinstance(content, dict) or not all(_is_ids(ids) for ids in content.values()):
            raise ValueError(f"{path}: give a list of scenes, or an object of scene -> list of unit ids from 0 on")
        flat = [(scene, unit) for scene, ids in content.items() for unit in ids]
        places: dict[str, dict[int | None, int]] = {}
        for place, (scene, unit) in enumerate(flat):
            places.setdefault(scene, {}).setdefault(unit, place)
        return places

    @property
    def _length(self) -> int:
        return 1 + max((place for units in self._places.values() for place in units.values()), default=0)


def _is_ids(ids: object) -> bool:
    return isinstance(ids, list) and all(isinstance(unit, int) and not isinstance(unit, bool) and unit >= 0 for unit in ids)


def _worth(place: int | None, length: int) -> float:
    """1 at place 0, falling evenly, always above 0; 0 without a place."""
    return 0.0 if place is None else 1 - place / (length + 1)
