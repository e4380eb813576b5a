"""Which points are labelled: an append-only log of purchases, one folder per round, expanded when a scene is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from al3d.data.store import Store, partition_hash
from al3d.files import read_json, whole_folder, write_json
from al3d.types import I32, U8, Array, Bool, Partitioner

#: How a scene's purchase is written: ids of a stored partition, the whole scene, packed point bits, or point indices.
UNITS, WHOLE, BITS, INDICES = 0, 1, 2, 3


class LabelState:
    """The labels of a run: the union of the purchases in `labels-00`, `labels-01`, ... of its folder.

    Grows only; holds no label, only which points were asked. A scene's mask is formed when it is read; nothing of size N is
    kept. Opening maps a few arrays per round and reads no payload.
    Raises: ValueError when the log has a gap, or when a stored partition that it names is gone.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self._logs: list[_Log] = []
        self.refresh()

    @property
    def rounds(self) -> int:
        """How many purchases there are: the seed's and one per finished round."""
        return len(self._logs)

    def refresh(self) -> None:
        """See purchases that were written since. Raises: ValueError when the log has a gap."""
        while (self.folder / f"labels-{len(self._logs):02d}" / "manifest.json").is_file():
            self._logs.append(_Log(self.folder / f"labels-{len(self._logs):02d}"))
        later = sorted(path.parent.name for path in self.folder.glob("labels-*/manifest.json") if int(path.parent.name[len("labels-") :]) > self.rounds)
        if later:
            raise ValueError(
                f"{self.folder}: labels-{self.rounds:02d} is missing but {later[0]} is there: put it back, or delete the later ones to buy them again"
            )

    def asked(self, scene_id: str, round_index: int | None = None) -> Bool:
        """The points of a scene asked up to and with `round_index` (None: all rounds): bool[N]."""
        last = self.rounds if round_index is None else min(round_index + 1, self.rounds)
        mask = np.zeros(self.store.sizes[scene_id], dtype=bool)
        by_partition: dict[str, list[Array]] = {}
        for log in self._logs[:last]:
            entry = log.entry(scene_id)
            if entry is None:
                continue
            form, payload = entry
            if form == UNITS:
                by_partition.setdefault(log.partition, []).append(payload.view(np.int32))
            else:
                mask |= _points(form, payload, len(mask))
        for partition, ids in by_partition.items():
            mask |= self._expand(scene_id, partition, np.concatenate(ids))
        return mask

    def bought(self, scene_id: str, round_index: int) -> Bool:
        """The points of a scene that were asked for the first time in `round_index`: bool[N]."""
        before = self.asked(scene_id, round_index - 1) if round_index else np.zeros(self.store.sizes[scene_id], dtype=bool)
        return self.asked(scene_id, round_index) & ~before

    def scenes(self, round_index: int | None = None) -> tuple[str, ...]:
        """The scenes touched in a round (None: in any), sorted."""
        logs = self._logs if round_index is None else [self._logs[round_index]]
        return tuple(sorted({str(name) for log in logs for name in log.names}))

    def purchase(self, round_index: int) -> dict[str, Any]:
        """What the round bought, as recorded."""
        return cast(dict[str, Any], read_json(self.folder / f"labels-{round_index:02d}" / "purchase.json"))

    def append(self, bought: Mapping[str, Iterable[int]], partitioner: Partitioner, record: Mapping[str, Any]) -> None:
        """Log one more purchase: unit ids per scene, and a record for people. Whole or not at all.

        Raises: ValueError for a scene that the store does not know or a unit id that its partition does not have.
        """
        round_index = self.rounds
        names = sorted(bought)
        unknown = [name for name in names if name not in self.store.sizes]
        if unknown:
            raise ValueError(f"cannot label scenes that the data set does not have: {', '.join(unknown[:5])}")
        entries = [self._encode(name, np.unique(np.fromiter(bought[name], np.int32)), partitioner) for name in names]
        with whole_folder(self.folder / f"labels-{round_index:02d}") as temporary:
            np.save(temporary / "scenes.npy", np.array(names, dtype=np.str_))
            np.save(temporary / "form.npy", np.array([form for form, _ in entries], np.uint8))
            np.save(temporary / "offset.npy", np.cumsum([0, *(len(payload) for _, payload in entries)], dtype=np.int64))
            np.save(temporary / "payload.npy", np.concatenate([payload for _, payload in entries]) if entries else np.zeros(0, np.uint8))
            write_json(temporary / "purchase.json", dict(record))
            write_json(temporary / "manifest.json", {"round": round_index, "partition": partition_hash(partitioner), "unit": partitioner.name})
        self.refresh()

    def _encode(self, name: str, ids: I32, partitioner: Partitioner) -> tuple[int, U8]:
        partition = self.store.unit(partitioner, name)
        largest = int(partition.max(initial=-1))
        if len(ids) == 0 or ids[0] < 0 or ids[-1] > largest:
            raise ValueError(f"scene {name!r}: unit ids must be within 0..{largest} of {partitioner.name}, got {ids[:3].tolist()}..{ids[-3:].tolist()}")
        if partitioner.stored:
            return UNITS, ids.view(np.uint8)
        if partitioner.name == "scene":
            return WHOLE, np.zeros(0, np.uint8)
        mask = _members(partition, ids)
        indices = np.flatnonzero(mask).astype(np.int32)
        packed = np.packbits(mask)
        return (INDICES, indices.view(np.uint8)) if 4 * len(indices) < len(packed) else (BITS, packed)

    def _expand(self, scene_id: str, partition: str, ids: I32) -> Bool:
        path = self.store.path / "unit" / partition / f"{scene_id}.npy"
        if not path.is_file():
            raise ValueError(f"the labels of scene {scene_id!r} were bought by a partition that is gone ({path}): run prepare.py with the run's configuration")
        return _members(np.load(path, mmap_mode="r", allow_pickle=False), ids)


class _Log:
    """One round's purchase; arrays are mapped, not read."""

    def __init__(self, folder: Path) -> None:
        self.partition = str(read_json(folder / "manifest.json")["partition"])
        self.names: Array = np.load(folder / "scenes.npy", allow_pickle=False)
        self.form: U8 = np.load(folder / "form.npy", allow_pickle=False)
        self.offset: Array = np.load(folder / "offset.npy", allow_pickle=False)
        self._payload_file = folder / "payload.npy"

    @cached_property
    def payload(self) -> U8:
        return cast(U8, np.load(self._payload_file, mmap_mode="r", allow_pickle=False))

    def entry(self, name: str) -> tuple[int, U8] | None:
        row = int(np.searchsorted(self.names, name)) if len(self.names) else 0
        if row >= len(self.names) or self.names[row] != name:
            return None
        return int(self.form[row]), np.array(self.payload[self.offset[row] : self.offset[row + 1]])


def _points(form: int, payload: U8, count: int) -> Bool:
    if form == WHOLE:
        return np.ones(count, dtype=bool)
    if form == BITS:
        return np.unpackbits(payload, count=count).astype(bool)
    mask = np.zeros(count, dtype=bool)
    mask[payload.view(np.int32)] = True
    return mask


def _members(partition: I32, ids: Sequence[int] | I32) -> Bool:
    """Whether each point's unit is among `ids`: one table look-up per point."""
    table = np.zeros(int(partition.max(initial=-1)) + 2, dtype=bool)
    table[np.asarray(ids)] = True
    table[-1] = False
    return table[partition]
