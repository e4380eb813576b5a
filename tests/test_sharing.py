"""First rounds: what makes two of them the same, and how one run takes another's, whatever happens meanwhile."""

import copy
import errno
import json
import shutil

import pytest

from al3d import sharing
from al3d.locks import Lock, lock, owner_of
from al3d.progress import console
from al3d.run import RunFolder
from al3d.sharing import FirstRound, Sharing, computed_by, contents, first_round, taking_part, whole

TRAINER = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": "32-true", "threads": None, "workers": 0}
ROUNDS = {"initial": 3.0, "initial_per": "percent", "step": 2.0, "base": "prepared", "init": "scratch", "optimizer": "fresh", "batch": 4, "steps": 6}
IDENTITY = {
    "data": "abc",
    "dataset": {"scale": {"voxel": 0.05}, "name": "tiny"},
    "seed": {"name": "random", "unit": {"_target_": "a.Scene"}, "budget": {"amount": 3.0, "per": "percent"}},
    "acquire": {"name": "redal", "budget": {"amount": 2.0}},
    "pseudo": {"name": "lidal"},
    "net": {"width": 1.0},
    "start": {"weights": "0123"},
    "learner": {"optimizer": {"lr": 0.1}},
    "rounds": {**ROUNDS, "epochs": None, "checkpoint_every": 50, "batch_voxels": None},
    "oracle": {"_target_": "a.Oracle"},
    "eval": {"votes": 2},
    "precision": "32-true",
    "rng": 1,
}
FREE = {("acquire",), ("pseudo",), *(("rounds", name) for name in ("initial", "initial_per", "step", "base", "init", "optimizer"))}


def leaves(tree, path=()):
    return [leaf for key, value in tree.items() for leaf in leaves(value, (*path, key))] if isinstance(tree, dict) else [path]


def key_of(identity, base=1000, trainer=TRAINER):
    return Sharing(None, first_round(identity, base, trainer)).key


@pytest.mark.parametrize("path", leaves(IDENTITY), ids=".".join)
def test_what_a_first_round_is_depends_on_all_but_what_comes_later(path):
    other = copy.deepcopy(IDENTITY)
    node = other
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = "something else"
    free = any(path[: len(part)] == part for part in FREE)
    assert (key_of(other) == key_of(IDENTITY)) == free


def test_the_base_and_what_trains_count_but_not_who_prepares_batches(monkeypatch):
    assert key_of(IDENTITY, base=1001) != key_of(IDENTITY)
    for name, value, same in (
        ("devices", 2, False),
        ("strategy", "ddp", False),
        ("workers", 3, True),
        ("accelerator", "auto", True),
        ("threads", 7, True),
        ("engine", "loop", False),
    ):
        assert (key_of(IDENTITY, trainer={**TRAINER, name: value}) == key_of(IDENTITY)) == same, name
    assert computed_by(TRAINER)["device"] == "cpu"
    before = key_of(IDENTITY)
    monkeypatch.setattr(sharing, "_code", lambda: "another version")
    assert key_of(IDENTITY) != before
    monkeypatch.undo()
    monkeypatch.setattr(sharing.torch, "get_num_threads", lambda: 99)
    assert key_of(IDENTITY) != before


def test_of_a_first_round_with_a_length_of_its_own_the_others_length_does_not_matter():
    longer = {**IDENTITY, "rounds": {**IDENTITY["rounds"], "first_steps": 10}}
    other = {**IDENTITY, "rounds": {**longer["rounds"], "steps": 99}}
    assert key_of(longer) == key_of(other) != key_of(IDENTITY)


def test_the_content_of_named_files_counts(tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "labels").write_text("a")
    tree = {"seed": {"file": str(tmp_path / "list.json"), "runs": [str(tmp_path / "run")], "none": None, "word": "random", "long": "x" * 5000, "empty": ""}}
    first = contents(tree)
    assert set(first) == {str(tmp_path / "list.json"), str(tmp_path / "run")}
    (tmp_path / "list.json").write_text("[2]")
    second = contents(tree)
    (tmp_path / "run" / "labels").write_text("ab")
    third = contents(tree)
    assert [first == second, second == third, len({*first.values(), *second.values(), *third.values()})] == [False, False, 4]


SHARING_FIRST = {"what": "this"}


@pytest.fixture
def shared(tmp_path):
    return Sharing(tmp_path / "shared", SHARING_FIRST)


@pytest.fixture
def run(tmp_path):
    return lambda name: RunFolder(tmp_path / name)


def write_round(folder, word="trained"):
    """What a first round leaves."""
    folder.labels(0).mkdir(parents=True, exist_ok=True)
    for name in ("manifest.json", "purchase.json", "payload.npy"):
        (folder.labels(0) / name).write_text(f"{name} {word}")
    for name in ("train.json", "best.ckpt", "last.ckpt", "metrics.json"):
        folder.round(0).mkdir(exist_ok=True)
        (folder.round(0) / name).write_text(f"{name} {word}")


def made(folder):
    files = [file for file in sorted(folder.path.rglob("*")) if file.is_file() and file.name not in ("shared.json", "execution.jsonl")]
    return {str(file.relative_to(folder.path)): file.read_text() for file in files}


def note(folder):
    return json.loads(folder.shared.read_text())


def trained(shared, folder, word="trained"):
    """A run that trains its first round, or takes it."""
    with taking_part(shared, folder) as first:
        if first.taken is None:
            write_round(folder, word)
        first.publish()
        return first.taken


def test_one_run_trains_and_the_next_takes(shared, run):
    one, two = run("one"), run("two")
    assert trained(shared, one) is None and trained(shared, two, "again") == "one"
    assert made(one) == made(two) and len(made(two)) == 7
    assert (one.weights(0).stat().st_ino, one.best(0).stat().st_ino) == (two.weights(0).stat().st_ino, two.best(0).stat().st_ino)
    assert one.metrics(0).stat().st_ino != two.metrics(0).stat().st_ino
    assert (note(one)["shared_from"], note(two)["shared_from"]) == (None, "one")
    assert json.loads((two.path / "execution.jsonl").read_text())["first_round"] == "taken from one"
    assert sorted(path.name for path in shared.root.iterdir()) == [shared.key]
    assert trained(Sharing(shared.root, {"what": "that"}), run("three")) is None


def test_without_sharing_nothing_happens(run):
    with taking_part(None, run("one")) as first:
        assert first is None
    assert not run("one").path.exists()


def test_the_one_who_trains_holds_the_lock_until_it_has_published(shared, run):
    one = run("one")
    file = shared.root / f"{shared.key}.lock"
    with taking_part(shared, one) as first:
        assert owner_of(file).what == "one" and note(one) == {"shared_from": None, "key": shared.key, "copying": False}
        write_round(one)
        one.metrics(0).unlink()
        first.publish()  # it is not judged yet
        assert owner_of(file) is not None
        write_round(one)
        first.publish()
        assert not file.exists() and whole(shared.root / shared.key)
    with pytest.raises(KeyboardInterrupt), taking_part(Sharing(shared.root, {"what": "that"}), run("two")):
        raise KeyboardInterrupt
    assert not list(shared.root.glob("*.lock"))


@pytest.mark.parametrize("count", range(8))
def test_killed_while_it_takes_it_is_done_with_the_next_start(shared, run, monkeypatch, count):
    one, two = run("one"), run("two")
    trained(shared, one)
    copies = 0

    def die(*arguments, real=shutil.copyfile):
        nonlocal copies
        if copies == count:
            raise KeyboardInterrupt
        copies += 1
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sharing.shutil, "copyfile", die)
        patch.setattr(sharing.os, "link", die)
        if count < 7:
            with pytest.raises(KeyboardInterrupt):
                trained(shared, two)
            assert note(two)["copying"] and not two.metrics(0).exists()
    assert trained(shared, two, "again") == "one" and made(one) == made(two) and not note(two)["copying"]


def test_killed_while_it_takes_what_is_gone_then_it_trains(shared, run, monkeypatch):
    one, two = run("one"), run("two")
    trained(shared, one)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sharing, "link_or_copy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        trained(shared, two)
    shutil.rmtree(shared.root)
    assert two.labels(0).is_dir()
    assert trained(shared, two) is None and note(two) == {"shared_from": None, "key": shared.key, "copying": False}
    assert trained(shared, run("three")) == "two"


def test_a_first_round_that_was_changed_is_removed(shared, run):
    one = run("one")
    trained(shared, one)
    one.weights(0).write_text("overwritten in place")
    with console.capture() as said:
        assert trained(shared, run("two"), "again") is None
    assert "last.ckpt): it is removed, and the first round is trained again" in said.get().replace("\n", " ")
    assert made(run("two"))["round-00/last.ckpt"] == "last.ckpt again"
    assert trained(shared, run("three")) == "two" and len(list(shared.root.iterdir())) == 1


def test_the_first_to_publish_wins_and_the_other_leaves_nothing(shared, run):
    one, two = run("one"), run("two")
    for folder in (one, two):
        write_round(folder, folder.path.name)
        sharing.publish(folder, shared.root / shared.key, SHARING_FIRST)
    assert trained(shared, run("three")) == "one" and [path.name for path in shared.root.iterdir()] == [shared.key]


def test_a_full_disk_costs_the_sharing_but_not_the_run(shared, run, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "full")

    one = run("one")
    with monkeypatch.context() as patch, console.capture() as said:
        patch.setattr(sharing.shutil, "copyfile", full)
        assert trained(shared, one) is None
    assert f"cannot be shared with other runs: no space left for {shared.root / shared.key}" in said.get()
    assert list(shared.root.iterdir()) == []
    with taking_part(shared, one):  # the next start has the space
        assert whole(shared.root / shared.key)
    assert trained(shared, run("two")) == "one"


def test_what_was_not_made_in_one_way_is_not_shared(shared, run):
    older = run("older")
    write_round(older)
    older.metrics(0).unlink()
    assert trained(shared, older) is None and note(older)["key"] is None  # begun without sharing
    other = Sharing(shared.root, {"what": "that"})
    mixed = run("mixed")
    with taking_part(shared, mixed):
        write_round(mixed)
        mixed.metrics(0).unlink()
    assert trained(other, mixed) is None and note(mixed)["key"] is None  # another number of threads, say
    assert not list(shared.root.glob("*/*"))


def test_a_run_that_has_begun_goes_on_while_another_trains(shared, run):
    one = run("one")
    with taking_part(shared, one):
        write_round(one)
        one.metrics(0).unlink()
    other = lock(shared.root / f"{shared.key}.lock", "other")
    assert isinstance(other, Lock)
    with taking_part(shared, one) as first:  # does not wait
        assert first.taken is None
        write_round(one)
        first.publish()
    assert owner_of(other.path) == other.owner
    other.release()
    assert trained(shared, run("two")) == "one"


def test_another_rank_waits_until_the_first_has_decided(shared, run, monkeypatch):
    folder = run("one")
    monkeypatch.setenv("RANK", "1")
    looks = []

    def until(there, what):
        looks.append(there())
        with monkeypatch.context() as patch:
            patch.delenv("RANK")
            for copying in (True, False):
                FirstRound(shared, folder)._write_note("k", "one", copying)
                looks.append(there())

    monkeypatch.setattr(sharing, "wait_until", until)
    with taking_part(shared, folder) as first:
        write_round(folder)
        first.publish()
    assert looks == [False, False, True] and not shared.root.exists()
