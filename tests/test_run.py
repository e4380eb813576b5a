"""The run folder: named by what defines the run, guarded against another run."""

import json
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.files import write_json
from al3d.run import RunFolder, differing_keys, identity_hash, process_rank, wait_for

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False))
TREES = st.dictionaries(st.text(max_size=3), st.recursive(LEAVES, lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)), max_size=5)


def reversed_keys(tree):
    return {key: reversed_keys(tree[key]) if isinstance(tree[key], dict) else tree[key] for key in reversed(tree)}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(TREES)
def test_identity_does_not_depend_on_key_order(tree):
    other = reversed_keys(tree)
    assert identity_hash(tree) == identity_hash(other) and len(identity_hash(tree)) == 10
    assert differing_keys(tree, other) == []
    assert identity_hash({"x": tree}) != identity_hash({"y": tree})


def test_differing_keys_are_named_with_both_values():
    old = {"net": {"width": 1.0, "name": "a"}, "rng": 1, "gone": 2}
    new = {"net": {"width": 0.5, "name": "a"}, "rng": 1, "extra": {"k": 3}}
    assert differing_keys(old, new) == ["extra: (absent) -> {'k': 3}", "gone: 2 -> (absent)", "net.width: 1.0 -> 0.5"]


def test_guard_takes_a_new_folder_and_its_own_run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    identity = {"rng": 1, "sizes": (1, 2), "path": tmp_path}
    folder.guard(identity)
    folder.guard(dict(reversed(identity.items())))
    content = json.loads((folder.path / "identity.json").read_text())
    assert content["hash"] == identity_hash(identity) and content["identity"]["sizes"] == [1, 2]


def test_guard_refuses_another_run_and_names_the_keys(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.guard({"rng": 1, "net": {"width": 1.0}})
    with pytest.raises(ValueError, match=r"belongs to another run") as caught:
        folder.guard({"rng": 2, "net": {"width": 1.0}})
    assert "rng: 1 -> 2" in str(caught.value) and "width" not in str(caught.value)
    folder.guard({"rng": 1, "net": {"width": 1.0}})


def test_paths_sort_by_round(tmp_path):
    folder = RunFolder(tmp_path)
    paths = [folder.labels(3), folder.round(3), folder.weights(3), folder.resume(3), folder.metrics(3), folder.units(3, 7)]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "labels-03", "round-03", "round-03/last.ckpt", "round-03/resume.ckpt", "round-03/metrics.json", "round-03/units/00007.npz",
    ]  # fmt: skip
    assert sorted(str(folder.labels(r)) for r in (10, 9, 0)) == [str(folder.labels(r)) for r in (0, 9, 10)]


def test_execution_is_appended_to(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.log_execution({"devices": 1})
    folder.log_execution({"devices": 2, "path": tmp_path})
    lines = [json.loads(line) for line in (folder.path / "execution.jsonl").read_text().splitlines()]
    assert [line["devices"] for line in lines] == [1, 2] and all(line["process"] > 0 for line in lines)


def owned(folder, **changes):
    """A lock in the folder that looks like one of another process."""
    with folder.alone():
        content = json.loads((folder.path / "run.lock").read_text())
    (folder.path / "run.lock").write_text(json.dumps({**content, "token": "abc", **changes}))


def test_a_process_whose_lock_was_taken_over_writes_nothing_more(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match=r"taken over by process 7 on node7 .* writes nothing more"), folder.alone():
        write_json(folder.path / "before.json", 1)
        content = json.loads((folder.path / "run.lock").read_text())
        (folder.path / "run.lock").write_text(json.dumps({**content, "token": "abc", "host": "node7", "process": 7}))
        write_json(tmp_path / "elsewhere.json", 1)
        write_json(folder.round(0) / "after.json", 1)
    assert sorted(path.name for path in folder.path.rglob("*") if path.is_file()) == ["before.json", "run.lock"]
    assert (tmp_path / "elsewhere.json").is_file()
    write_json(folder.path / "later.json", 1)


def test_two_processes_never_write_one_folder_and_the_other_is_named(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.alone():
        for refused in (folder.check_free, folder.alone().__enter__):
            with pytest.raises(
                ValueError, match=rf"run is written by process {os.getpid()} on .* \(since 2.*, last sign of life 0 s ago: wait .*kill {os.getpid()}"
            ):
                refused()
    folder.check_free()
    owned(folder, host="node7", process=12, space="another machine")
    beat = threading.Timer(0.3, os.utime, (folder.path / "run.lock",))
    beat.start()
    with pytest.raises(ValueError, match=r"process 12 on node7 .*5 minutes after its last sign of life, or delete .*run\.lock"):
        folder.check_free()
    (folder.path / "run.lock").unlink()
    with folder.alone():
        pass
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("how", ["ended here", "silent elsewhere"])
def test_the_folder_of_a_process_that_is_gone_is_taken_over_and_the_log_says_so(tmp_path, how):
    folder = RunFolder(tmp_path / "run")
    owned(folder, **({"birth": 1} if how == "ended here" else {"host": "node7", "space": "another machine"}))
    if how != "ended here":
        os.utime(folder.path / "run.lock", (0, 0))
    folder.check_free()
    with folder.alone():
        line = json.loads((folder.path / "execution.jsonl").read_text())
    assert line["took_over_from"].startswith(f"process {os.getpid()} on ")
    assert not (folder.path / "run.lock").exists()


def test_the_other_ranks_of_a_run_share_the_first_ones_lock(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    with folder.alone():
        monkeypatch.setenv("RANK", "1")
        with folder.alone():
            pass
        monkeypatch.setenv("RANK", "0")
        assert (folder.path / "run.lock").is_file()


def test_rank_comes_from_the_launcher(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert process_rank() == 0
    for name, rank in (("SLURM_PROCID", 3), ("LOCAL_RANK", 2), ("RANK", 5)):
        monkeypatch.setenv(name, str(rank))
        assert process_rank() == rank


def test_waiting_ends_with_the_file_or_with_its_name(tmp_path):
    (tmp_path / "there").touch()
    wait_for(tmp_path / "there", seconds=0)
    with pytest.raises(TimeoutError, match=r"missing did not appear .*Run the same command again"):
        wait_for(tmp_path / "missing", seconds=0.02, interval=0.005)


def test_a_run_remembers_what_it_started_with(tmp_path):
    """The first start that says so counts; a line that a killed process left unfinished says nothing."""
    folder = RunFolder(tmp_path / "run")
    assert folder.started_with("products") is None
    folder.log_execution({"took_over_from": "another"})
    folder.log_execution({"products": "scipy"})
    folder.log_execution({"products": "torch"})
    with (folder.path / "execution.jsonl").open("a") as file:
        file.write('{"products": "sci')
    assert folder.started_with("products") == "scipy" and folder.started_with("devices") is None


def test_what_killed_processes_left_is_swept(tmp_path):
    folder = RunFolder(tmp_path)
    csv = folder.round(0) / "csv"
    for name in ("start-0", "start-1"):
        (csv / name).mkdir(parents=True)
    (csv / "start-1" / "metrics.csv").touch()
    left = folder.round(0) / ".last.ckpt.abc-1.tmp"
    left.touch()
    os.utime(left, (1, 1))
    with folder.alone():
        assert [path.name for path in csv.iterdir()] == ["start-1"] and not left.exists()
