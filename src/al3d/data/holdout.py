"""A keyed part of the bought units that training never sees, by which a checkpoint can be chosen without another label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from al3d.data.labels import LabelState
from al3d.rng import Key, generator
from al3d.types import F64, IGNORE, Bool, Oracle

KnownUnits = Callable[[str, int], Bool]


class Holdout:
    """About a fraction `share` of the units bought up to a round, the same ones in every later round; at least one, never all.

    A unit is drawn by (key, round in which it was bought, scene). Points are drawn one by
    one. `held` are the scenes with a held-out point, `trained` those with a point left to train on, both sorted; `units` says
    how many are held. With `known` units without a label are neither: (scene, round) -> bool, one per bought unit in the order of their ids.
    Raises: ValueError when fewer than two units were bought (and are known).
    """

    def __init__(self, labels: LabelState, round_index: int, key: Key, share: float = 0.1, known: KnownUnits | None = None) -> None:
        self.labels, self.round_index, self.key, self.share, self.known = labels, round_index, key, share, known
        self._forced: tuple[int, str, int] | None = None
        held, trained, lowest, total, self.units = self._count()
        if total < 2:
            raise ValueError("eval.select_on=bought_holdout needs at least two bought units, one to train on and one to judge by: buy more, or smaller units")
        if not held:
            self._forced = lowest
            held, trained, _, _, self.units = self._count()
        if not trained:
            raise ValueError(f"eval.holdout={self.share} keeps every one of {total} bought units from training: lower it, or buy more units")
        self.held, self.trained = tuple(sorted(held)), tuple(sorted(trained))

    def mask(self, scene_id: str) -> Bool:
        """The held-out points of a scene: bool[N]."""
        mask = np.zeros(self.labels.store.sizes[scene_id], dtype=bool)
        for earlier in range(self.round_index + 1):
            count = self.labels.bought_units(scene_id, earlier)
            if count:
                mask |= self.labels.points_of(scene_id, earlier, self._held(earlier, scene_id, self._draws(earlier, scene_id, count)))
        return mask

    def _count(self) -> tuple[set[str], set[str], tuple[int, str, int], int, int]:
        """Scenes with held units, scenes with others, the unit with the lowest draw, how many units there are, and how many are held."""
        held, trained, total, kept = set(), set(), 0, 0
        lowest, least = (0, "", 0), np.inf
        for earlier in range(self.round_index + 1):
            for scene in self.labels.scenes(earlier):
                draws = self._draws(earlier, scene, self.labels.bought_units(scene, earlier))
                chosen, there = self._held(earlier, scene, draws), draws < np.inf
                total, kept = total + int(there.sum()), kept + int(chosen.sum())
                held |= {scene} if chosen.any() else set()
                trained |= {scene} if (there & ~chosen).any() else set()
                if draws.min() < least:
                    lowest, least = (earlier, scene, int(draws.argmin())), float(draws.min())
        return held, trained, lowest, total, kept

    def _draws(self, round_index: int, scene: str, count: int) -> F64:
        draws = generator(*self.key, "holdout", round_index, scene).random(count)
        return draws if self.known is None else np.where(self.known(scene, round_index), draws, np.inf)

    def _held(self, round_index: int, scene: str, draws: F64) -> Bool:
        held = draws < self.share
        if self._forced is not None and self._forced[:2] == (round_index, scene):
            held[self._forced[2]] = True
        return held


def holding_enough(labels: LabelState, round_index: int, key: Key, share: float, least: int, known: KnownUnits | None = None) -> Holdout | None:
    """The held-out units of a round, if there are at least `least` of them and something is left to train on; otherwise None."""
    bought = [(scene, earlier) for earlier in range(round_index + 1) for scene in labels.scenes(earlier)]
    if least < 1 or sum(labels.bought_units(*one) if known is None else int(known(*one).sum()) for one in bought) < max(2, least):
        return None
    holdout = Holdout(labels, round_index, key, share, known)
    return holdout if holdout.units >= least else None


def known_units(labels: LabelState, oracle: Oracle, scene_id: str, round_index: int) -> Bool:
    """Which units of a scene that a round bought have a label, in the order of their ids: bool, as many as `labels.bought_units`."""
    rounds, units = labels.first_asked(scene_id, round_index)
    own = rounds == round_index
    labelled = own & (oracle.answer(scene_id, own) != IGNORE)
    return np.isin(labels.unit_ids(scene_id, round_index), units[labelled])
