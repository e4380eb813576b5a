"""The run folder: named by what defines the run, guarded against another run."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
