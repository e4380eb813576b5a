"""A trained run labels new scans: the labels of its own test, in every format, in the order of the points; what does not fit is said first."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import MISSING, fields
from pathlib import Path

import click
import laspy
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from plyfile import PlyData

from al3d.commands import predict as door
from al3d.data.datamodule import JudgedScenes
from al3d.data.sources.formats import read_cloud
from al3d.learn.checkpoint import load_weights
from al3d.predict import command, pieces, tiling
from al3d.predict.command import predict
from al3d.predict.options import Options
from al3d.predict.scans import fields_of, find_scans
from al3d.predict.trained import load
from al3d.progress import console
from al3d.rounds import fresh_module
from al3d.types import IGNORE

ROOT = Path(__file__).resolve().parents[2]


def judged_by(study, index, scene):
    """The class of every point, as the network of a round's test gives it."""
    module = fresh_module(study, index)
    load_weights(module, study.folder.weights(index))
    module.eval()
    store = study.store
    batch = JudgedScenes(store, study.oracle, store.splits["val"], study.data(labels=study.labels, round_index=index, batches=1).voxeliser)[
        store.splits["val"].index(scene)
    ]
    with torch.no_grad():
        logits = module.predictor(batch.coord, batch.feat).logits
    return logits.argmax(dim=1)[batch.inverse].numpy(), logits.softmax(dim=1)[batch.inverse].numpy()


@pytest.fixture(scope="module")
def wanted(tiny_study):
    label, prob = judged_by(tiny_study, 1, "v_1")
    assert len(np.unique(label)) > 1, "a run that learned nothing would agree with anything"
    return label, prob


def npz(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_labels_are_those_of_the_runs_own_test(tiny_study, tiny_root, tmp_path, wanted):
    (path,) = predict(Options(tiny_study.folder.path, tmp_path, scans=str(tiny_root / "scenes" / "v_1.ply"), format="npz", probabilities=True))
    found = npz(path)
    assert np.array_equal(found["label"], wanted[0]) and found["label"].dtype == np.uint8
    assert found["prob"].dtype == np.float16 and np.abs(found["prob"] - wanted[1]).max() < 1e-3
    assert found["classes"].tolist() == ["table", "box", "ball"]
    points = read_cloud(tiny_root / "scenes" / "v_1.ply")
    assert np.array_equal(found["xyz"], points.xyz) and np.array_equal(found["rgb"], points.colour)
    record = json.loads((tmp_path / "predicted.json").read_text())
    assert record["round"] == 1 and record["classes"] == {"table": 0, "box": 1, "ball": 2}


def test_a_split_of_the_runs_data_set_and_an_earlier_round(tiny_study, tmp_path):
    paths = predict(Options(tiny_study.folder.path, tmp_path, split="val", round=0, probabilities=True))
    assert [path.name for path in paths] == ["v_1.npz", "v_2.npz"]
    for path in paths:
        label, prob = judged_by(tiny_study, 0, path.stem)
        assert np.array_equal(npz(path)["label"], label) and np.abs(npz(path)["prob"] - prob).max() < 1e-3


@pytest.mark.parametrize("kind", ["npz", "ascii", "big", "pcd", "las", "laz"])
def test_every_kind_of_file_has_the_same_labels(kinds, kind, tiny_run, tmp_path, wanted):
    (path,) = predict(Options(tiny_run, tmp_path, scans=str(kinds[kind]), format="npz"))
    assert np.array_equal(npz(path)["label"], wanted[0])


@pytest.mark.parametrize("wanted_format", ["ply", "las", "laz", "npz"])
@pytest.mark.parametrize("kind", ["big", "laz", "npz"])
def test_what_is_written_is_read_again(kinds, kind, wanted_format, tiny_run, tmp_path, wanted):
    (path,) = predict(Options(tiny_run, tmp_path, scans=str(kinds[kind]), format=wanted_format, chunk=1000))
    cloud, before = read_cloud(path), read_cloud(kinds[kind])
    assert np.array_equal(cloud.label, wanted[0])
    step = 0 if wanted_format != "las" and wanted_format != "laz" or kind == "laz" else 0.5e-4
    assert np.abs(cloud.xyz - before.xyz).max() <= step + 1e-12 and np.array_equal(cloud.colour, before.colour)


def test_las_files_keep_their_header_records_and_coordinates(kinds, tiny_run, tmp_path, wanted):
    for kind, field in (("las", "classification"), ("laz", "label")):
        (path,) = predict(Options(tiny_run, tmp_path / field, scans=str(kinds[kind]), field=field, chunk=700, probabilities=field == "label"))
        before, after = laspy.read(kinds[kind]), laspy.read(path)
        assert path.suffix == f".{kind}" and np.array_equal(after[field], wanted[0])
        for name in before.point_format.dimension_names:
            assert name == field or np.array_equal(before[name], after[name]), name
        old, new = before.header, after.header
        assert old.system_identifier == new.system_identifier and old.version == new.version and old.creation_date == new.creation_date
        assert all(np.array_equal(getattr(old, name), getattr(new, name)) for name in ("scales", "offsets", "mins", "maxs"))
        assert [vlr.record_data for vlr in new.vlrs if vlr.user_id == "al3d"] == [b"some bytes"]
    assert np.abs(np.stack([after[f"prob_{name}"] for name in ("table", "box", "ball")], axis=1) - wanted[1]).max() < 1e-3


def test_ply_keeps_faces_comments_and_byte_order_and_shows_classes(kinds, tiny_run, tmp_path, wanted):
    (path,) = predict(Options(tiny_run, tmp_path, scans=str(kinds["big"]), colours="class", probabilities=True))
    before, after = PlyData.read(str(kinds["big"])), PlyData.read(str(path))
    assert after.byte_order == ">" and after.comments == ["a mesh"]
    assert [face.tolist() for face in after["face"].data["vertex_indices"]] == [[0, 1, 2], [2, 1, 3]]
    vertex = after["vertex"].data
    assert all(np.array_equal(before["vertex"].data[axis], vertex[axis]) for axis in "xyz") and np.array_equal(vertex["label"], wanted[0])
    colours = np.array(load(tiny_run).classes.colors)[wanted[0]]
    assert np.array_equal(np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1), colours)
    assert np.abs(vertex["prob_ball"] - wanted[1][:, 2]).max() < 1e-3


@pytest.mark.parametrize("on_disk", [False, True])
def test_neither_chunks_nor_tiles_change_the_labels(tiny_run, tiny_root, tmp_path, wanted, on_disk, monkeypatch):
    monkeypatch.setattr(pieces, "SIDE", 16)
    monkeypatch.setattr(tiling, "SIDE", 16)
    scan = str(tiny_root / "scenes" / "v_1.ply")
    label, prob = wanted
    options = {"format": "npz", "probabilities": True, "chunk": 333, "in_memory": 0 if on_disk else 10**9}
    for most, halo in ((None, 0), (300, 64), (700, 64)):
        (path,) = predict(Options(tiny_run, tmp_path / f"{most}", scans=scan, tile_voxels=most, tile_halo=halo, **options))
        found = npz(path)
        assert (found["label"] != label).mean() < 0.001 and np.abs(found["prob"] - prob).max() < 0.01
    assert not list(tmp_path.rglob("*.tmp")), "what a scan was kept in meanwhile is gone"


def test_tiles_are_made_and_a_halo_of_nothing_differs(tiny_run, tiny_root, tmp_path, wanted):
    scan = str(tiny_root / "scenes" / "v_1.ply")
    (path,) = predict(Options(tiny_run, tmp_path, scans=scan, tile_voxels=300, tile_halo=0, format="npz", probabilities=True))
    assert np.abs(npz(path)["prob"] - wanted[1]).max() > 0.01


def test_a_run_on_thinned_points_labels_every_point(grid_run, tiny_root, tmp_path):
    scan = str(tiny_root / "scenes" / "v_2.ply")
    (path,) = predict(Options(grid_run, tmp_path / "a", scans=scan, format="npz"))
    (again,) = predict(Options(grid_run, tmp_path / "b", split="val", format="npz"))[1:]
    count = len(read_cloud(Path(scan)))
    assert len(npz(path)["label"]) == count and np.array_equal(npz(path)["label"], npz(again)["label"])


def test_points_that_are_not_finite_are_kept_without_a_class(tiny_run, tiny_root, tmp_path, wanted):
    data = PlyData.read(str(tiny_root / "scenes" / "v_1.ply"))["vertex"].data
    xyz = np.stack([data[axis] for axis in "xyz"], axis=1).astype(np.float64)
    rgb = np.stack([data[name] for name in ("red", "green", "blue")], axis=1)
    places = [0, 100, len(xyz)]
    np.savez(tmp_path / "holes.npz", xyz=np.insert(xyz, places, [[np.nan] * 3, [np.inf, 0, 0], [0, 0, np.nan]], axis=0), rgb=np.insert(rgb, places, 7, axis=0))
    for kind, name in (("npz", "holes.npz"), ("ply", "holes.ply")):
        with console.capture() as said:
            (path,) = predict(Options(tiny_run, tmp_path / kind, scans=str(tmp_path / "holes.npz"), format=kind))
        assert path.name == name and "3 points have no finite coordinates" in said.get()
        label = read_cloud(path).label
        lost = [0, 101, len(xyz) + 2]
        assert label[lost].tolist() == [IGNORE] * 3 and np.array_equal(np.delete(label, lost), wanted[0])
    with pytest.raises(ValueError, match="which LAS cannot say: choose format=npz or format=ply"):
        predict(Options(tiny_run, tmp_path / "las", scans=str(tmp_path / "holes.npz"), format="las"))


def test_what_is_too_much_for_a_library_is_told_at_the_end_too(tiny_run, tiny_root, tmp_path, monkeypatch):
    """Whatever it raises, with the place where it did; an error of ours speaks for itself."""
    real = command.label

    def label(job, *more):
        if job.name == "t_2":
            raise NotImplementedError("no such thing")
        return real(job, *more)

    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("t_1", "t_2"):
        shutil.copy(tiny_root / "scenes" / f"{name}.ply", scans)
    monkeypatch.setattr(command, "label", label)
    with pytest.raises(ValueError, match=r"1 of 2 scans could not be labelled(?s:.*)t_2.*: NotImplementedError in test_predict.py, line \d+: no such thing"):
        predict(Options(tiny_run, tmp_path / "out", scans=str(scans)))
    assert (tmp_path / "out" / "t_1.ply").is_file()


def test_broken_scans_are_told_at_the_end_and_finished_ones_are_skipped(tiny_run, tiny_root, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for name in ("t_1", "t_2", "v_1"):
        shutil.copy(tiny_root / "scenes" / f"{name}.ply", scans)
    whole = (scans / "t_2.ply").read_bytes()
    (scans / "t_2.ply").write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"1 of 3 scans could not be labelled(?s:.*)t_2.ply: the file ends after"):
        predict(Options(tiny_run, out, scans=str(scans)))
    assert sorted(path.name for path in out.iterdir()) == ["predicted.json", "t_1.ply", "v_1.ply"]
    (scans / "t_2.ply").write_bytes(whole)
    times = {name: (out / name).stat().st_mtime_ns for name in ("t_1.ply", "v_1.ply")}
    with console.capture() as said:
        assert len(predict(Options(tiny_run, out, scans=str(scans)))) == 3
    assert "2 of 3 scans are labelled already" in said.get()
    assert times == {name: (out / name).stat().st_mtime_ns for name in times} and (out / "t_2.ply").is_file()
    predict(Options(tiny_run, out, scans=str(scans), overwrite=True))
    assert times["t_1.ply"] != (out / "t_1.ply").stat().st_mtime_ns
    with pytest.raises(ValueError, match=r"round: 1 -> 0(?s:.*)another out="):
        predict(Options(tiny_run, out, scans=str(scans), round=0))


def test_labels_are_spelled_as_the_folder_spells_them(tiny_study, tiny_root, tmp_path, wanted):
    """Other numbers, units and axes in dataset.yaml: the scans lie and are spelled as it says."""
    moved = tmp_path / "moved"
    shutil.copytree(tiny_root, moved)
    card = (
        (moved / "dataset.yaml")
        .read_text()
        .replace("classes: [table, box, ball]", "classes: {10: table, 300: box, 20: ball}\nunits: 0.001\nup: [0, 1, 0]\nignore_label: 0")
    )
    (moved / "dataset.yaml").write_text(card)
    data = PlyData.read(str(tiny_root / "scenes" / "v_1.ply"))["vertex"].data
    rgb = np.stack([data[name] for name in ("red", "green", "blue")], axis=1)
    np.savez(tmp_path / "turned.npz", xyz=np.stack([data["x"], data["z"], -data["y"]], axis=1) * 1000.0, rgb=rgb)
    (path,) = predict(Options(tiny_study.folder.path, tmp_path / "out", scans=str(tmp_path / "turned.npz"), root=moved))
    order = {name: number for number, name in enumerate(load(tiny_study.folder.path, root=moved).classes.names)}
    assert order == {"table": 0, "ball": 1, "box": 2}, "classes are in the order of their numbers"
    expected = np.array([10, 20, 300])[wanted[0]]
    assert (npz(path)["label"] == expected).mean() > 0.99 and npz(path)["label"].dtype == np.uint16
    with pytest.raises(ValueError, match=r"labels \[300\] do not fit into classification \(0..255\)"):
        predict(Options(tiny_study.folder.path, tmp_path / "las", scans=str(tmp_path / "turned.npz"), root=moved, format="las"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"run": Path("/nowhere")}, "run=/nowhere: no run there"),
        ({"round": 5}, "round=5: the finished rounds of .* are 0, 1"),
        ({"scans": "/nowhere/*.ply"}, "no scan at this place"),
        ({"scans": "README"}, "files ending in '.md' are not read"),
        ({"format": "obj"}, "format=obj: choose one of ply, las"),
        ({"format": "submission"}, "format=submission is for runs on ScanNet and SemanticKITTI"),
        ({"split": "test", "scans": None}, "split=test: tiny has the splits train, val"),
        ({"split": "val"}, "give either scans= .files. or split="),
        ({"root": Path("/nowhere")}, "/nowhere/dataset.yaml: is missing"),
        ({"device": "tpu"}, "device=tpu: choose auto, cpu or cuda"),
        ({"colours": "rainbow"}, "colours=rainbow: choose one of scan, class"),
        ({"field": "red"}, "field=red: choose one of classification, label"),
        ({"format": "label", "probabilities": True}, "probabilities=true: format=label has no place"),
    ],
)
def test_errors_come_before_any_work(change, says, tiny_run, tiny_root, tmp_path):
    options = {"run": tiny_run, "scans": str(tiny_root / "scenes"), "out": tmp_path / "out", **change}
    if options["scans"] == "README":
        options["scans"] = str(ROOT / "README.md")
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        predict(Options(**options))
    assert not (tmp_path / "out").exists()


def test_missing_colours_empty_folders_and_unfinished_runs(tiny_run, kinds, tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    with pytest.raises(FileNotFoundError, match="no scan in this folder"):
        predict(Options(tiny_run, tmp_path / "out", scans=str(grey)))
    for name in ("a", "b"):
        np.savez(grey / f"{name}.npz", xyz=np.random.default_rng(0).random((50, 3)))
    with pytest.raises(ValueError, match=r"a.npz and 1 others: no blue, green, red, which .* was trained on \(red, green, blue, x, y, z\)"):
        predict(Options(tiny_run, tmp_path / "out", scans=str(grey)))
    assert not (tmp_path / "out").exists()
    shutil.copy(kinds["npz"], grey / "c.npz")
    with pytest.raises(ValueError, match=r"2 of 3 scans could not be labelled(?s:.*)a.npz: has no red, green, blue"):
        predict(Options(tiny_run, tmp_path / "out", scans=str(grey)))
    assert (tmp_path / "out" / "c.npz").is_file()
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(tiny_run / "config.yaml", half)
    with pytest.raises(ValueError, match="no round is trained to its end yet"):
        predict(Options(half, tmp_path / "out", scans=str(kinds["npz"])))
    with pytest.raises(FileNotFoundError, match="it holds the runs"):
        predict(Options(tiny_run.parent, tmp_path / "out", scans=str(kinds["npz"])))
    with pytest.raises(ValueError, match="would replace the scan itself"):
        predict(Options(tiny_run, kinds["npz"].parent, scans=str(kinds["npz"])))
    with pytest.raises(ValueError, match="format=same: .pcd files are read but not written"):
        predict(Options(tiny_run, tmp_path / "out", scans=str(kinds["pcd"])))


def test_scans_are_found_by_pattern_and_keep_their_folders(tiny_root, tmp_path, kinds):
    for place in ("a/one.ply", "a/b/two.ply", "a/b/.hidden.ply", "a/b/notes.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_root / "scenes" / "v_1.ply", tmp_path / place)
    assert [scan.name for scan in find_scans(str(tmp_path / "a" / "**" / "*.ply"))] == ["b/two", "one"]
    assert [scan.name for scan in find_scans(str(tmp_path / "a"))] == ["one"]
    assert [scan.name for scan in find_scans(str(tmp_path / "a" / "one.ply"))] == ["one"]
    shutil.copy(kinds["npz"], tmp_path / "a" / "one.npz")
    with pytest.raises(ValueError, match="several files are called one but for their ending"):
        find_scans(str(tmp_path / "a"))
    assert all(fields_of(path) == {"red", "green", "blue"} | ({"intensity"} if kind in ("las", "laz") else set()) for kind, path in kinds.items())


def options_of(words):
    with door.command.make_context("predict", [*words]) as context:
        return Options(**context.params)


def test_options_of_the_command_line(tmp_path):
    given = options_of(["run=a", "scans=b c/*.ply", "out=o", "round=2", "tile_voxels=null", "probabilities=true", "tile_halo=0", "split=null"])
    assert given == Options(Path("a"), Path("o"), scans="b c/*.ply", round=2, tile_voxels=None, probabilities=True, tile_halo=0)
    words = ["--run", "a", "--out", "o", "--round", "2", "--tile-voxels", "null", "--probabilities", "--tile-halo", "0"]
    assert given == options_of([*words, "--scans", "b c/*.ply"])
    assert options_of(["run=a", "out=o", "split=val"]) == Options(Path("a"), Path("o"), split="val")
    for words, says in ((["run=a"], "Missing option '--out'"), (["run=a", "out=b", "scans=c", "round=x"], "'x' is not a valid integer"),
                        (["run=a", "out=b", "scans=c", "overwrite=1"], "overwrite=1: give true or false"), (["nonsense=1"], "No such option 'nonsense'"),
                        (["rum=a"], "Did you mean 'run'"), (["run=a", "out=b", "scans=c", "tile_voxels=0"], "0 is not in the range x>=1")):  # fmt: skip
        with pytest.raises(click.UsageError) as wrong:
            options_of(words)
        assert says in wrong.value.format_message()
    (tmp_path / "x.ply").touch()
    with pytest.raises(SystemExit, match="al3d: run=nowhere: no run there"):
        door.command.main(["run=nowhere", f"scans={tmp_path}", "out=nowhere"])


def test_what_the_command_says_are_the_defaults_of_the_options():
    said = {option.name: option.default for option in door.command.params}
    usual = {field.name: field.default for field in fields(Options) if field.default not in (MISSING, None, False)}
    assert said.items() >= {name: value for name, value in usual.items() if name not in ("chunk", "in_memory")}.items()


def test_a_run_from_a_stranger_runs_nothing_and_makes_no_optimiser(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    config, made = OmegaConf.load(run / "config.yaml"), tmp_path / "made"
    config.learner.optimizer = {"_target_": "pathlib.Path.touch", "_args_": [str(made)]}
    OmegaConf.save(config, run / "config.yaml")
    assert not load(run).net.training and not made.exists()
    for key in ("net.stranger", "dataset.source.stranger", "learner.loss.stranger"):
        strange = copy.deepcopy(config)
        OmegaConf.update(strange, key, {"_target_": "os.mkdir", "_args_": [str(made)]}, force_add=True)
        OmegaConf.save(strange, run / "config.yaml")
        with pytest.raises(ValueError, match=r"stranger: os\.mkdir.*--trust os"):
            load(run)
    assert not made.exists()
