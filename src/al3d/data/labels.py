"""Which points are labelled: an append-only log of purchases, one folder per round, expanded when a scene is read; and guesses for one round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from al3d.data.store import Store, partition_hash
from al3d.data.whole import mapped, save
from al3d.files import BUY, read_json, whole_folder, write_json
from al3d.types import I32, IGNORE, U8, Array, Bool, Partitioner

#: How a scene's purchase is written: ids of a stored partition, the whole scene, packed point bits, or point indices.
UNITS, WHOLE, BITS, INDICES = 0, 1, 2, 3


class LabelState:
    """The labels of a run: the union of the purchases in `labels-00`, `labels-01`, ... of its folder.

    Grows only; holds no label, only which points were asked. A scene's mask is formed when it is read; nothing of size N is
    kept. Opening maps a few arrays per round and reads no payload.
    `pseudo-RR` holds the pseudo-labels of round RR alone, with their classes; a purchase never counts them.
    Raises: ValueError when the log has a gap, or when a stored partition that it names is gone.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self._logs: list[_Log] = []
        self._guesses: dict[int, _Guesses] = {}
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

    def bought_units(self, scene_id: str, round_index: int) -> int:
        """How many units of a scene the round bought; of a partition that is not stored, how many points."""
        entry = self._logs[round_index].entry(scene_id)
        if entry is None:
            return 0
        form, payload = entry
        return {UNITS: len(payload) // 4, WHOLE: 1, INDICES: len(payload) // 4, BITS: int(np.bitwise_count(payload).sum())}[form]

    def unit_ids(self, scene_id: str, round_index: int) -> I32:
        """The ids of the units of a scene that the round bought, sorted; of a partition that is not stored, the points."""
        entry = self._logs[round_index].entry(scene_id)
        if entry is None:
            return np.zeros(0, np.int32)
        form, payload = entry
        if form == UNITS:
            return payload.view(np.int32)
        return np.zeros(1, np.int32) if form == WHOLE else np.flatnonzero(_points(form, payload, self.store.sizes[scene_id])).astype(np.int32)

    def points_of(self, scene_id: str, round_index: int, chosen: Bool) -> Bool:
        """The points bool[N] of some of the units that the round bought in a scene; `chosen` bool as many as `bought_units`, in order of their ids."""
        log = self._logs[round_index]
        entry = log.entry(scene_id)
        if entry is None or not chosen.any():
            return np.zeros(self.store.sizes[scene_id], dtype=bool)
        form, payload = entry
        if form == UNITS:
            return self._expand(scene_id, log.partition, payload.view(np.int32)[chosen])
        mask = _points(form, payload, self.store.sizes[scene_id])
        if form != WHOLE:
            mask[np.flatnonzero(mask)[~chosen]] = False
        return mask

    def first_asked(self, scene_id: str, round_index: int) -> tuple[I32, I32]:
        """In which round up to `round_index` each point was asked first, and as part of which unit: two i32[N], -1 where it was not asked."""
        count = self.store.sizes[scene_id]
        rounds, units = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
        for number, log in enumerate(self._logs[: round_index + 1]):
            entry = log.entry(scene_id)
            if entry is None:
                continue
            new = self._mask(scene_id, log.partition, *entry) & (rounds < 0)
            rounds[new] = number
            units[new] = self._numbers(scene_id, log.partition, entry[0])[new]
        return rounds, units

    def scenes(self, round_index: int | None = None) -> tuple[str, ...]:
        """The scenes touched in a round (None: in any), sorted."""
        logs = self._logs if round_index is None else [self._logs[round_index]]
        return tuple(sorted({str(name) for log in logs for name in log.names}))

    def trained_on(self, round_index: int) -> tuple[str, ...]:
        """The scenes with a label for round `round_index`, bought up to it or guessed for it, sorted."""
        bought = {name for earlier in range(round_index + 1) for name in self.scenes(earlier)}
        return tuple(sorted(bought | set(self.pseudo_units(round_index))))

    def purchase(self, round_index: int) -> dict[str, Any]:
        """What the round bought, as recorded."""
        return cast(dict[str, Any], read_json(self.folder / f"labels-{round_index:02d}" / "purchase.json"))

    def append(
        self,
        bought: Mapping[str, Iterable[int]],
        partitioner: Partitioner,
        record: Mapping[str, Any],
        beside: Callable[[Path], None] | None = None,
    ) -> None:
        """Log one more purchase: unit ids per scene, and a record for people. Whole or not at all.

        `beside` writes what else belongs into the purchase's folder.

        Raises: ValueError for a scene that the store does not know or a unit id that its partition does not have.
        """
        round_index = self.rounds
        names = sorted(bought)
        unknown = [name for name in names if name not in self.store.sizes]
        if unknown:
            raise ValueError(f"cannot label scenes that the data set does not have: {', '.join(unknown[:5])}")
        entries = [self._encode(name, np.unique(np.fromiter(bought[name], np.int32)), partitioner) for name in names]
        with whole_folder(self.folder / f"labels-{round_index:02d}") as temporary:
            _save_entries(temporary, names, entries)
            write_json(temporary / "purchase.json", dict(record))
            if beside is not None:
                beside(temporary)
            write_json(temporary / "manifest.json", {"round": round_index, "partition": partition_hash(partitioner), "unit": partitioner.name})
        self.refresh()

    def write_pseudo(self, round_index: int, guessed: Mapping[str, tuple[Sequence[int], U8]], partitioner: Partitioner, record: Mapping[str, Any]) -> None:
        """Write the pseudo-labels of a round, in place of any that are there: per scene unit ids, and the classes u8 of the units' points in order.

        Whole or not at all. Raises: ValueError as `append`, or when there are not as many classes as points.
        """
        names = sorted(guessed)
        units = [np.unique(np.asarray(guessed[name][0], np.int32)) for name in names]
        entries = [self._encode(name, ids, partitioner) for name, ids in zip(names, units, strict=True)]
        classes = [guessed[name][1] for name in names]
        for name, entry, own in zip(names, entries, classes, strict=True):
            points = int(self._mask(name, partition_hash(partitioner), *entry).sum())
            if own.shape != (points,) or own.dtype != np.uint8:
                raise ValueError(f"scene {name!r}: pseudo-labels must be uint8 [{points}], one per point of their units, got {own.dtype} {list(own.shape)}")
        with whole_folder(self._pseudo_folder(round_index)) as temporary:
            _save_entries(temporary, names, entries)
            save(temporary / "units.npy", np.concatenate([np.zeros(0, np.int32), *units]))
            save(temporary / "units_offset.npy", np.cumsum([0, *map(len, units)], dtype=np.int64))
            save(temporary / "classes.npy", np.concatenate([np.zeros(0, np.uint8), *classes]))
            save(temporary / "classes_offset.npy", np.cumsum([0, *map(len, classes)], dtype=np.int64))
            write_json(temporary / "pseudo.json", dict(record))
            write_json(temporary / "manifest.json", {"round": round_index, "partition": partition_hash(partitioner), "unit": partitioner.name})
        self._guesses.pop(round_index, None)

    def has_pseudo(self, round_index: int) -> bool:
        """Whether pseudo-labels were written for a round (there may be none in them)."""
        return self._guessed_in(round_index) is not None

    def pseudo(self, scene_id: str, round_index: int) -> U8 | None:
        """The pseudo-labels of a scene in one round: u8[N], IGNORE where nothing was guessed or something is bought; None without any."""
        log = self._guessed_in(round_index)
        entry = log.entry(scene_id) if log else None
        if log is None or entry is None:
            return None
        label = np.full(self.store.sizes[scene_id], IGNORE, np.uint8)
        label[self._mask(scene_id, log.partition, *entry)] = log.classes_of(scene_id)
        label[self.asked(scene_id, round_index)] = IGNORE
        return label

    def pseudo_units(self, round_index: int) -> dict[str, I32]:
        """The units whose labels were guessed for a round: scene -> sorted ids i32."""
        log = self._guessed_in(round_index)
        return {} if log is None else {str(name): log.units_of(str(name)) for name in log.names}

    def pseudo_record(self, round_index: int) -> dict[str, Any]:
        """What was guessed for a round, as recorded."""
        return cast(dict[str, Any], read_json(self._pseudo_folder(round_index) / "pseudo.json"))

    def _pseudo_folder(self, round_index: int) -> Path:
        return self.folder / f"pseudo-{round_index:02d}"

    def _guessed_in(self, round_index: int) -> _Guesses | None:
        if round_index not in self._guesses:
            folder = self._pseudo_folder(round_index)
            if round_index < 0 or not (folder / "manifest.json").is_file():
                return None
            self._guesses[round_index] = _Guesses(folder)
        return self._guesses[round_index]

    def _mask(self, scene_id: str, partition: str, form: int, payload: U8) -> Bool:
        """The points of one entry: bool[N]."""
        return self._expand(scene_id, partition, payload.view(np.int32)) if form == UNITS else _points(form, payload, self.store.sizes[scene_id])

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
        return _members(self._stored(scene_id, partition), ids)

    def _numbers(self, scene_id: str, partition: str, form: int) -> I32:
        """The unit of each point, in the partition that an entry of this form was bought by: i32[N]."""
        if form == UNITS:
            return self._stored(scene_id, partition)
        count = self.store.sizes[scene_id]
        return np.zeros(count, np.int32) if form == WHOLE else np.arange(count, dtype=np.int32)

    def _stored(self, scene_id: str, partition: str) -> I32:
        path = self.store.path / "unit" / partition / f"{scene_id}.npy"
        if not path.is_file():
            gone = f"the labels of scene {scene_id!r} were bought by a partition that is gone ({path})"
            raise ValueError(f"{gone}: run al3d prepare with the run's configuration")
        return cast(I32, mapped(path))


class _Log:
    """One round's purchase; arrays are mapped, not read."""

    def __init__(self, folder: Path) -> None:
        self.partition = str(read_json(folder / "manifest.json")["partition"])
        self.names: Array = mapped(folder / "scenes.npy", BUY)
        self.form: U8 = mapped(folder / "form.npy", BUY)
        self.offset: Array = mapped(folder / "offset.npy", BUY)
        self._payload_file = folder / "payload.npy"

    @cached_property
    def payload(self) -> U8:
        return cast(U8, mapped(self._payload_file, BUY))

    def row(self, name: str) -> int | None:
        row = int(np.searchsorted(self.names, name)) if len(self.names) else 0
        return row if row < len(self.names) and self.names[row] == name else None

    def entry(self, name: str) -> tuple[int, U8] | None:
        row = self.row(name)
        return None if row is None else (int(self.form[row]), np.array(self.payload[self.offset[row] : self.offset[row + 1]]))


class _Guesses(_Log):
    """One round's pseudo-labels: an entry per scene as in a purchase, its unit ids, and the classes of its points."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def units_of(self, name: str) -> I32:
        return cast(I32, self._part("units", name))

    def classes_of(self, name: str) -> U8:
        return cast(U8, self._part("classes", name))

    def _part(self, kind: str, name: str) -> Array:
        row = self.row(name)
        offset = mapped(self.folder / f"{kind}_offset.npy", BUY)
        values = mapped(self.folder / f"{kind}.npy", BUY)
        return np.zeros(0, values.dtype) if row is None else np.array(values[offset[row] : offset[row + 1]])


def _save_entries(folder: Path, names: Sequence[str], entries: Sequence[tuple[int, U8]]) -> None:
    save(folder / "scenes.npy", np.array(names, dtype=np.str_))
    save(folder / "form.npy", np.array([form for form, _ in entries], np.uint8))
    save(folder / "offset.npy", np.cumsum([0, *(len(payload) for _, payload in entries)], dtype=np.int64))
    save(folder / "payload.npy", np.concatenate([payload for _, payload in entries]) if entries else np.zeros(0, np.uint8))


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
