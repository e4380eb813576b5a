"""What a person at the command line reads when something is wrong: one message, before any training, nothing half-written."""

import errno
import re
import shutil

import numpy as np
import pytest
from plyfile import PlyData

from al3d.compose import study_of
from al3d.rounds import run


def output(process):
    text, _ = process.communicate(timeout=120)
    return process.returncode, text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["no.such.option=1"], "no", marks=pytest.mark.slow),
        pytest.param(["net.widht=0.5"], "widht", marks=pytest.mark.slow),
        pytest.param(["acquire=nonsense"], "Available options in 'acquire'", marks=pytest.mark.slow),
        (["rounds.epochs=3"], "set exactly one of rounds.steps and rounds.epochs"),
        (["dataset.root=/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_wrong_options_end_with_a_message(command, words, says):
    code, text = output(command(*words))
    assert code != 0 and says in text, text
    assert "Traceback" not in text or "HYDRA_FULL_ERROR" in text


def test_a_missing_root_says_which_option_to_give(composed):
    config = composed()
    config.dataset.root = "???"
    with pytest.raises(ValueError, match=r"dataset\.root.*for example dataset\.root="):
        study_of(config)


def test_a_stray_point_is_refused_with_the_name_of_its_scene(composed, tiny_root, tmp_path):
    shutil.copytree(tiny_root, tmp_path / "stray")
    path = str(tmp_path / "stray" / "scenes" / "t_3.ply")
    whole = PlyData.read(path, mmap=False)
    whole["vertex"].data["x"][0] = 5e4
    whole.write(path)
    with pytest.raises(ValueError, match=r"extents: 1 of 8 scenes failed.*\n  t_3: the cloud spans .* along x .* remove points that lie far"):
        study_of(composed(f"dataset.root={tmp_path / 'stray'}", f"paths.data={tmp_path / 'stray-data'}"))
    assert not list((tmp_path / "outputs").glob("*"))


def test_one_class_is_refused(composed, tiny_root, tmp_path):
    shutil.copytree(tiny_root, tmp_path / "one")
    card = tmp_path / "one" / "dataset.yaml"
    card.write_text(re.sub(r"classes:.*", "classes: [table]", card.read_text()))
    with pytest.raises(ValueError, match=r"one class only \(table\): .* name at least two"):
        study_of(composed(f"dataset.root={tmp_path / 'one'}"))


def test_a_seed_that_needs_a_network_is_refused(composed):
    config = composed()
    config.seed = config.acquire
    with pytest.raises(ValueError, match="before the seed there is no network"):
        study_of(config)


@pytest.mark.parametrize(("split", "says"), [("v", "none of the 2 val scenes ('v_1', 'v_2')"), ("t", "none of the 6 train scenes ('t_1', 't_2', ")])
def test_a_split_without_labels_is_refused_before_the_run_has_a_folder(composed, tiny_root, tmp_path, split, says):
    """Files whose label field holds nothing but 255."""
    shutil.copytree(tiny_root, tmp_path / "bare")
    for path in (tmp_path / "bare" / "scenes").glob(f"{split}_*.ply"):
        whole = PlyData.read(str(path), mmap=False)
        whole["vertex"].data["label"] = 255
        whole.write(str(path))
    with pytest.raises(ValueError, match=re.escape(says)):
        study_of(composed(f"dataset.root={tmp_path / 'bare'}", f"paths.data={tmp_path / 'bare-data'}"))
    assert not list((tmp_path / "outputs").glob("*"))


def test_a_full_disk_leaves_nothing_that_a_later_run_would_trust(composed, outcome, monkeypatch, tmp_path):
    whole = study_of(composed(f"paths.run={tmp_path / 'whole'}"))
    run(whole)
    study = study_of(composed(f"paths.run={tmp_path / 'full'}"))
    save, calls = np.save, []

    def full(file, array, **options):
        calls.append(file)
        if len(calls) == 7:  # in the middle of the second purchase
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, array, **options)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space left for .*free some on that disk and run the same command again"):
        run(study)
    monkeypatch.undo()
    assert not (study.folder.labels(1)).exists() and not list(study.folder.path.rglob("*.tmp"))
    run(study_of(composed(f"paths.run={tmp_path / 'full'}")))
    assert outcome(study.folder.path) == outcome(whole.folder.path)
