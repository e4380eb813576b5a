"""The label log against plain masks in memory; whole or not at all; small and quick at scale."""

import errno
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.hashing import hash_of
from al3d.data.labels import BITS, INDICES, UNITS, WHOLE, LabelState
from al3d.files import read_json
from al3d.rng import generator
from al3d.types import IGNORE, Scene
from al3d.units.point import PointUnit
from al3d.units.scene import SceneUnit
from al3d.units.supervoxel import Supervoxel
from al3d.units.voxel import VoxelUnit

SUPERVOXEL, VOXEL = Supervoxel(0.05, 0.4), VoxelUnit(0.1)
UNITS_OF = {"scene": SceneUnit(), "point": PointUnit(), "voxel": VOXEL, "supervoxel": SUPERVOXEL}
SIZES = {"a": 7, "b": 40, "c": 300}


class FakeStore:
    """A store as the log sees one: sizes, and unit ids that are files where they are stored."""

    def __init__(self, path, sizes=SIZES):
        self.path, self.sizes = path, sizes
        for name, size in sizes.items():
            for number, partitioner in enumerate((VOXEL, SUPERVOXEL)):
                ids = np.unique(generator(name, number).integers(0, 6 + 4 * number, size), return_inverse=True)[1] - number
                file = self.file(partitioner, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, ids.astype(np.int32))

    def file(self, partitioner, name):
        return self.path / "unit" / hash_of(partitioner) / f"{name}.npy"

    def unit(self, partitioner, name, scene=None):
        if partitioner.stored:
            return np.load(self.file(partitioner, name), mmap_mode="r")
        return partitioner(Scene(name, np.zeros((self.sizes[name], 3), np.float32), np.zeros((self.sizes[name], 1), np.float32))).unit

    def check(self, name):
        if name not in self.sizes:
            raise ValueError(name)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FakeStore(tmp_path_factory.mktemp("store"))


WISHES = st.dictionaries(st.sampled_from(sorted(SIZES)), st.tuples(st.integers(0, 99), st.floats(0, 1)))
ROUNDS = st.lists(st.tuples(st.sampled_from(sorted(UNITS_OF)), WISHES), max_size=5)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(ROUNDS)
def test_masks_equal_a_plain_array_over_mixed_rounds(store, tmp_path_factory, rounds):
    labels = LabelState(tmp_path_factory.mktemp("run"), store)
    plain = {name: np.zeros(size, bool) for name, size in SIZES.items()}
    history = []
    for number, (kind, wishes) in enumerate(rounds):
        bought = {}
        for name, (seed, share) in wishes.items():
            ids = np.asarray(store.unit(UNITS_OF[kind], name))
            units = int(ids.max()) + 1
            chosen = generator("wish", number, seed).permutation(units)[: max(1, int(units * share))].tolist()
            bought[name] = chosen
            plain[name] = plain[name] | np.isin(ids, chosen)
        labels.append(bought, UNITS_OF[kind], {"number": number})
        history.append({name: mask.copy() for name, mask in plain.items()})
        assert labels.scenes(number) == tuple(sorted(wishes))
    again = LabelState(labels.folder, store)
    assert labels.rounds == again.rounds == len(rounds)
    before = {name: np.zeros(size, bool) for name, size in SIZES.items()}
    for number, masks in enumerate(history):
        assert again.purchase(number) == {"number": number}
        for name, mask in masks.items():
            got = again.asked(name, number)
            assert got.dtype == bool and np.array_equal(got, mask) and np.array_equal(labels.asked(name, number), mask)
            assert np.array_equal(again.bought(name, number), mask & ~before[name])
        before = masks
    assert all(np.array_equal(again.asked(name), plain[name]) for name in SIZES)
    assert again.scenes() == tuple(sorted({name for _, wishes in rounds for name in wishes}))
    assert not any(again.asked(name, -1).any() for name in SIZES)


def test_each_kind_of_purchase_is_kept_in_its_smallest_form(store, tmp_path):
    labels = LabelState(tmp_path, store)
    for kind, ids, wanted in (("scene", [0], WHOLE), ("supervoxel", [1], UNITS), ("point", [5], INDICES), ("point", range(150), BITS)):
        labels.append({"c": ids}, UNITS_OF[kind], {})
        folder = tmp_path / f"labels-{labels.rounds - 1:02d}"
        assert np.load(folder / "form.npy").tolist() == [wanted]
        assert len(np.load(folder / "payload.npy")) == {WHOLE: 0, UNITS: 4, INDICES: 4, BITS: 38}[wanted]


def test_ids_may_repeat_and_come_in_any_order(store, tmp_path):
    labels = LabelState(tmp_path, store)
    labels.append({"b": (3, 1, 3)}, SUPERVOXEL, {})
    assert np.array_equal(labels.asked("b"), np.isin(store.unit(SUPERVOXEL, "b"), [1, 3]))


def test_points_without_a_unit_are_never_asked(store, tmp_path):
    labels, ids = LabelState(tmp_path, store), np.asarray(store.unit(SUPERVOXEL, "c"))
    labels.append({"c": range(ids.max() + 1)}, SUPERVOXEL, {})
    assert (ids < 0).any() and np.array_equal(labels.asked("c"), ids >= 0)


@pytest.mark.parametrize("ids", [[-1], [99], [0, 99], []])
def test_ids_that_a_partition_does_not_have_are_refused(store, tmp_path, ids):
    labels = LabelState(tmp_path, store)
    with pytest.raises(ValueError, match=r"scene 'b': unit ids must be within 0\.\.\d+ of supervoxel"):
        labels.append({"a": [0], "b": ids}, SUPERVOXEL, {})
    assert labels.rounds == 0 and list(tmp_path.iterdir()) == []


def test_scenes_that_the_store_does_not_have_are_named(store, tmp_path):
    with pytest.raises(ValueError, match="does not have: x, y"):
        LabelState(tmp_path, store).append({"y": [0], "a": [0], "x": [0]}, SUPERVOXEL, {})


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
def test_a_full_disk_leaves_no_purchase_to_trust(store, tmp_path, monkeypatch, fails_at):
    labels = LabelState(tmp_path, store)
    labels.append({"a": [0]}, SUPERVOXEL, {})
    before, calls, save = labels.asked("a"), [], np.save

    def failing(*arguments, **values):
        calls.append(arguments)
        if len(calls) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments, **values)

    monkeypatch.setattr(np, "save", failing)
    with pytest.raises(OSError, match=r"no space left for .*labels-01.*free some .* run the same command again"):
        labels.append({"a": [1], "c": [2]}, SUPERVOXEL, {})
    for state in (labels, LabelState(tmp_path, store)):
        assert state.rounds == 1 and np.array_equal(state.asked("a"), before) and not state.asked("c").any()
    assert [path.name for path in tmp_path.iterdir()] == ["labels-00"]
    monkeypatch.undo()
    labels.append({"a": [1]}, SUPERVOXEL, {})
    assert LabelState(tmp_path, store).rounds == 2


def test_a_folder_without_its_manifest_is_not_trusted_and_bought_again(store, tmp_path):
    labels = LabelState(tmp_path, store)
    labels.append({"a": [0]}, SUPERVOXEL, {})
    labels.append({"c": [0]}, SUPERVOXEL, {})
    (tmp_path / "labels-01" / "manifest.json").unlink()
    again = LabelState(tmp_path, store)
    assert again.rounds == 1 and not again.asked("c").any()
    again.append({"b": [0]}, SUPERVOXEL, {})
    assert LabelState(tmp_path, store).scenes(1) == ("b",)


def test_another_process_s_purchase_is_seen_after_refresh(store, tmp_path):
    reader, writer = LabelState(tmp_path, store), LabelState(tmp_path, store)
    writer.append({"a": [0]}, SceneUnit(), {})
    assert reader.rounds == 0
    reader.refresh()
    assert reader.rounds == 1 and reader.asked("a").all()


def test_a_gap_is_named(store, tmp_path):
    labels = LabelState(tmp_path, store)
    for unit in range(3):
        labels.append({"c": [unit]}, SUPERVOXEL, {})
    (tmp_path / "labels-01").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="labels-01 is missing but labels-02 is there"):
        LabelState(tmp_path, store)


def test_a_partition_that_is_gone_is_named(tmp_path):
    store = FakeStore(tmp_path / "store")
    labels = LabelState(tmp_path / "run", store)
    labels.append({"a": [0], "b": [0]}, SUPERVOXEL, {})
    store.file(SUPERVOXEL, "a").unlink()
    with pytest.raises(ValueError, match=r"scene 'a' .*partition that is gone .*a\.npy.*run al3d prepare"):
        labels.asked("a")
    assert labels.asked("b").any() and not labels.asked("c").any()


def test_only_the_manifest_names_the_partition(store, tmp_path):
    labels = LabelState(tmp_path, store)
    labels.append({"a": [0]}, VOXEL, {})
    assert read_json(tmp_path / "labels-00" / "manifest.json") == {"round": 0, "partition": hash_of(VOXEL), "unit": "voxel-0.1"}


@pytest.mark.slow
def test_nineteen_thousand_scans_stay_small_and_quick(tmp_path):
    measure = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "labels.py"))["measure"]
    figures = measure(tmp_path, scans=19_130, rounds=5)
    assert figures["bytes"] < 1e9
    assert figures["open"] < 0.05 and figures["asked"] < 0.005


# Pseudo-labels.


def guesses(store, partitioner, wishes, fill=0):
    """Scene -> (unit ids, a made-up class per point of theirs)."""
    found = {}
    for name, ids in wishes.items():
        members = np.isin(store.unit(partitioner, name), ids)
        found[name] = (ids, (np.arange(members.sum()) % 3 + fill).astype(np.uint8))
    return found


@pytest.mark.parametrize("kind", sorted(UNITS_OF))
def test_pseudo_labels_are_read_as_written_and_count_nowhere(store, tmp_path, kind):
    labels, partitioner = LabelState(tmp_path, store), UNITS_OF[kind]
    labels.append({"a": [0]}, SceneUnit(), {})
    labels.append({"a": [0]}, SceneUnit(), {})
    wishes = {"c": [0], "b": [0]} if kind == "scene" else {"c": [1, 0, 3], "b": [2]}
    written = guesses(store, partitioner, wishes)
    labels.write_pseudo(1, written, partitioner, {"points": 7})
    for state in (labels, LabelState(tmp_path, store)):
        for name, (ids, classes) in written.items():
            wanted = np.full(SIZES[name], IGNORE, np.uint8)
            wanted[np.isin(store.unit(partitioner, name), ids)] = classes
            got = state.pseudo(name, 1)
            assert got.dtype == np.uint8 and np.array_equal(got, wanted)
            assert not state.asked(name).any() and not state.bought(name, 1).any()
        assert state.pseudo("a", 1) is None
        assert {name: ids.tolist() for name, ids in state.pseudo_units(1).items()} == {name: sorted(ids) for name, ids in wishes.items()}
        assert state.rounds == 2 and state.scenes() == ("a",) and state.pseudo_record(1) == {"points": 7}
        assert state.trained_on(0) == ("a",) and state.trained_on(1) == ("a", "b", "c")
        for other in (-1, 0, 2):
            assert not state.has_pseudo(other) and state.pseudo("c", other) is None and state.pseudo_units(other) == {}


def test_a_bought_label_stands_against_a_guess(store, tmp_path):
    labels = LabelState(tmp_path, store)
    labels.append({"c": [0]}, VOXEL, {})
    labels.append({"c": [1]}, VOXEL, {})
    labels.append({"c": [2]}, VOXEL, {})
    labels.write_pseudo(1, guesses(store, SUPERVOXEL, {"c": [0, 1, 2, 3]}), SUPERVOXEL, {})
    label, guessed = labels.pseudo("c", 1), np.isin(store.unit(SUPERVOXEL, "c"), [0, 1, 2, 3])
    assert (guessed & labels.asked("c", 1)).any()
    assert np.array_equal(label != IGNORE, guessed & ~labels.asked("c", 1)), "bought up to this round wins; later purchases are not known yet"


def test_pseudo_labels_hold_for_one_round_and_are_replaced_whole(store, tmp_path):
    labels = LabelState(tmp_path, store)
    for _ in range(3):
        labels.append({"a": [0]}, SceneUnit(), {})
    labels.write_pseudo(1, guesses(store, SUPERVOXEL, {"c": [0, 1]}), SUPERVOXEL, {})
    assert labels.pseudo("c", 1) is not None
    labels.write_pseudo(2, {}, SUPERVOXEL, {"units": 0})
    assert labels.has_pseudo(2) and labels.trained_on(2) == ("a",) and labels.pseudo("c", 2) is None
    labels.write_pseudo(1, guesses(store, VOXEL, {"b": [1]}), VOXEL, {})
    assert labels.pseudo("c", 1) is None and labels.pseudo("b", 1) is not None


def test_pseudo_labels_that_do_not_fit_are_refused(store, tmp_path):
    labels = LabelState(tmp_path, store)
    count = int(np.isin(store.unit(SUPERVOXEL, "b"), [1]).sum())
    for classes in (np.zeros(count + 1, np.uint8), np.zeros(count, np.int64)):
        with pytest.raises(ValueError, match=rf"scene 'b': pseudo-labels must be uint8 \[{count}\]"):
            labels.write_pseudo(1, {"b": ([1], classes)}, SUPERVOXEL, {})
    with pytest.raises(ValueError, match=r"scene 'b': unit ids must be within"):
        labels.write_pseudo(1, {"b": ([999], np.zeros(0, np.uint8))}, SUPERVOXEL, {})
    assert not labels.has_pseudo(1) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails_at", [1, 5, 8])
def test_a_full_disk_leaves_no_pseudo_labels_to_trust(store, tmp_path, monkeypatch, fails_at):
    labels, calls, save = LabelState(tmp_path, store), [], np.save

    def failing(*arguments, **values):
        calls.append(arguments)
        if len(calls) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments, **values)

    monkeypatch.setattr(np, "save", failing)
    with pytest.raises(OSError, match="no space left for .*pseudo-01"):
        labels.write_pseudo(1, guesses(store, SUPERVOXEL, {"c": [0]}), SUPERVOXEL, {})
    assert not labels.has_pseudo(1) and not LabelState(tmp_path, store).has_pseudo(1) and list(tmp_path.iterdir()) == []
