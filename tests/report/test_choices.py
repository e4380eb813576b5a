"""The command that compares what methods would buy, on a short run with the tiny data set."""

import csv
import io
import json
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image
from rich.console import Console

from al3d import rounds
from al3d.commands.choices import command
from al3d.compose import study_of
from al3d.report import choices
from al3d.types import ClassTable

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "experiment=osd",
    "net=spvcnn",
    "net.width=0.125",
    "rounds.initial=1",
    "rounds.steps=4",
    "rounds.batch=2",
    "prepare.workers=1",
    "trainer.workers=0",
    "paths.shared=null",
)


@pytest.fixture(scope="module")
def study(tiny_root, tmp_path_factory):
    """A run of two rounds: one scene, then a tenth of the points in random supervoxels."""
    place = tmp_path_factory.mktemp("choices")
    words = [f"dataset.root={tiny_root}", f"paths.data={place / 'data'}", f"paths.run={place / 'run'}", "acquire=random", "rounds.n=2", "rounds.step=10"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        made = study_of(compose("train", overrides=[*SMALL, *words]))
    rounds.run(made)
    return made


@pytest.fixture
def printed(monkeypatch):
    """The lines that the command prints, tables rendered."""
    console = Console(width=100, record=True, file=io.StringIO(), soft_wrap=True)
    monkeypatch.setattr(choices, "console", console)
    return lambda: console.export_text()


@pytest.fixture
def seen(monkeypatch):
    """What was found, for a closer look than the files allow."""
    kept = []
    original = choices.compared
    monkeypatch.setattr(choices, "compared", lambda *given: kept.append(original(*given)) or kept[-1])
    return kept


def main(*words):
    command.main([str(word) for word in words], prog_name="al3d choices", standalone_mode=False)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_methods_choose_from_one_prediction(study, tmp_path, printed, seen):
    run, out = study.folder.path, tmp_path / "out"
    before = files(run)
    methods = "random,random_scene,entropy,margin:unit=voxel,bald,redal:pick.clusters=4,lidal"
    main(run, "--methods", methods, "--percent", "10", "--out", out)
    assert files(run) == before, "the run is only read"
    assert {path.name for path in out.iterdir()} == {"choices.png", "choices.csv", "choices.md", "agreement.csv"}
    rows = {row["method"]: row for row in csv.DictReader((out / "choices.csv").open())}
    assert list(rows) == ["random", "random_scene", "entropy", "margin:unit=voxel", "bald", "redal:pick.clusters=4", "(everything left)", "lidal"]
    assert "belong to none" in rows["lidal"]["unit"] and rows["lidal"]["points"] == ""
    assert rows["margin:unit=voxel"]["unit"].startswith("voxel-")
    (found,) = seen
    ten = study.base / 10
    for label in ("random", "entropy", "margin:unit=voxel", "bald"):
        assert 0.6 * ten < int(rows[label]["points"]) <= round(ten)
    # what the files say equals what the masks of the bought points say
    for label, chosen in found.chosen.items():
        counts, distances, apart = np.zeros(3, int), [], 0
        for name, unit in chosen.unit.items():
            bought, asked = unit >= 0, study.labels.asked(name)
            assert bought.any() and not (bought & asked).any()
            label_of = study.oracle.answer(name, bought)
            counts += np.bincount(label_of[bought], minlength=3)
            xyz = np.asarray(study.store.scene(name).xyz)
            if asked.any():
                some = np.flatnonzero(bought)[::7]
                distances += [np.linalg.norm(xyz[asked] - point, axis=1).min() for point in xyz[some]]
            else:
                apart += int(bought.sum())
        row = rows[label]
        assert int(row["points"]) == counts.sum() == chosen.total and int(row["scenes"]) == len(chosen.unit)
        assert [float(row[f"share_{name}"]) for name in ("table", "box", "ball")] == pytest.approx(counts / counts.sum(), abs=1e-5)
        assert float(row["in_new_scenes"]) == pytest.approx(apart / counts.sum())
        if distances:
            assert float(row["distance"]) == pytest.approx(np.mean(distances), rel=0.15)
    assert float(rows["random"]["random"]) == float(rows["random_scene"]["random"]) == 1 > float(rows["entropy"]["random"])
    assert float(rows["random_scene"]["in_new_scenes"]) in (0.0, 1.0)
    shares = {row.pop("method"): row for row in csv.DictReader((out / "agreement.csv").open())}
    assert shares["random"]["random"] == shares["bald"]["bald"] == "1.0"
    assert float(shares["entropy"]["random"]) == pytest.approx(float(rows["entropy"]["random"]), abs=1e-4)
    assert float(shares["random"]["entropy"]) * found.chosen["random"].total == pytest.approx(found.figures["entropy"].shared, abs=1)
    text = printed()
    assert "lidal cannot choose here: lidal compares the frames" in text and "…" not in text
    assert max(map(len, text.split("lidal cannot")[0].splitlines())) <= 100
    assert (out / "choices.md").read_text().count("| `") == 6
    image = Image.open(out / "choices.png")
    assert image.width > 1000 and len(set(image.convert("RGB").resize((80, 60)).get_flattened_data())) > 20
    assert (out / "choices.png").stat().st_size < 400_000


def test_a_method_chooses_what_the_run_would_have_bought(study, tmp_path, printed, seen):
    """The run goes on with entropy: the same network, the same labels and nothing left over give the same units."""
    main(study.folder.path, "--methods", "entropy", "--percent", "10", "--out", tmp_path / "out")
    folder = tmp_path / "run"
    shutil.copytree(study.folder.path, folder)
    words = [f"dataset.root={study.config['dataset']['root']}", f"paths.data={study.config['paths']['data']}", f"paths.run={tmp_path / 'other'}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", overrides=[*SMALL, *words, "acquire=entropy", "rounds.n=3", "rounds.step=10"])
    other = study_of(config)
    for part in ("labels-00", "labels-01", "round-00", "round-01"):
        shutil.copytree(folder / part, other.folder.path / part)
    purchase = [json.loads((folder / f"labels-0{index}" / "purchase.json").read_text()) for index in range(2)]
    rounds.predict(other, 1)
    rounds.select(other, other.method, 1)
    (found,) = seen
    ours = found.chosen["entropy"]
    # the run may spend what its last round left; up to there both buy in the same order
    left = round(purchase[0]["points"] + 0.2 * study.base) - purchase[0]["points"] - purchase[1]["points"]
    theirs = {name: other.labels.bought(name, 2) for name in other.labels.scenes(2)}
    common = sum(int((theirs[name] & (unit >= 0)).sum()) for name, unit in ours.unit.items() if name in theirs)
    assert common > 0.6 * min(ours.total, left) and other.labels.purchase(2)["points"] <= left


def test_figures_of_units_that_are_known(study):
    name = study.store.splits["train"][-1]
    label = study.oracle.answer(name, np.ones(study.store.sizes[name], bool))
    pure = np.where(label == 1, 4, -1).astype(np.int32)
    mixed = np.where(label < 2, 0, -1).astype(np.int32)
    nothing = choices.Chosen(0, {})
    figures = choices.measure(study, study.labels, 1, choices.Chosen(1, {name: pure}), choices.Chosen(1, {name: mixed}))
    assert (figures.purity, figures.clicks, figures.overlap, figures.points) == (1.0, 1, 1.0, (label == 1).sum())
    figures = choices.measure(study, study.labels, 1, choices.Chosen(1, {name: mixed}), nothing)
    counts = np.bincount(label, minlength=3)[:2]
    assert figures.purity == pytest.approx(counts.max() / counts.sum()) and figures.clicks == 2 and figures.overlap == 0
    assert figures.class_points.tolist() == [*counts, 0]
    empty = choices.measure(study, study.labels, 1, nothing, nothing)
    assert empty.points == 0 and np.isnan(empty.purity) and np.isnan(empty.distance)


def test_votes_count_majorities_and_pairs():
    unit, label = np.array([0, 0, 0, 3, 3, 5], np.int32), np.array([1, 1, 2, 0, 4, 4], np.uint8)
    assert choices.votes(unit, label) == (2 + 1 + 1, 5)
    assert choices.votes(unit[:0], label[:0]) == (0, 0)


def test_words_are_cut_outside_brackets():
    assert choices.words_of("redal:score.weights=[1,0,0.05],random") == ["redal:score.weights=[1,0,0.05]", "random"]
    every = choices.words_of("")
    assert {"random", "redal", "lidal"} <= set(every) and every == sorted(every)
    with pytest.raises(ValueError, match="random twice"):
        choices.words_of("random,random")


def test_the_scene_is_the_one_that_most_methods_like(study):
    train = study.store.splits["train"]
    one, two = (np.zeros(study.store.sizes[name], np.int32) for name in train[:2])
    found = choices.Comparison(study, study.labels, 1.0, "", np.zeros(3, np.int64))
    found.chosen = {"a": choices.Chosen(1, {train[0]: one, train[1]: two}), "b": choices.Chosen(1, {train[1]: two})}
    assert choices.shown_scene(found, "") == train[1]
    assert choices.shown_scene(found, train[4]) == train[4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "nonsense"], "--methods nonsense: .*nonsense"),
        (["--methods", "entropy:score.nonsense=1"], "nonsense"),
        (["--methods", "random", "--scene", "v_1"], "scene='v_1' is not in the pool"),
        (["rounds.n=3"], "the run decides everything but"),
        (["second_folder"], "one run folder is given"),
        (["--methods", "lidal"], "no method can choose here; lidal: lidal compares"),
        (["--methods", "random", "--percent", "100"], "random: round 1 should buy"),
    ],
)
def test_names_what_is_wrong(study, tmp_path, printed, words, message):
    with pytest.raises(SystemExit, match=message):
        main(study.folder.path, "--out", tmp_path, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--percent", "0"], "0.0 is not in the range 0<x<=100"),
        (["--percent", "many"], "'many' is not a valid float"),
        (["methods=redal"], "methods=redal: say --methods redal"),
        ([], "Missing argument 'RUN'"),
    ],
)
def test_wrong_words_are_named(words, message):
    with pytest.raises(click.UsageError) as ended:
        main(*(["run", *words] if words else []))
    assert message in ended.value.format_message()


def test_other_data_are_refused(study, tmp_path, printed):
    run = tmp_path / "run"
    shutil.copytree(study.folder.path, run)
    identity = json.loads((run / "identity.json").read_text())
    identity["identity"]["data"] = "other"
    (run / "identity.json").write_text(json.dumps(identity))
    with pytest.raises(SystemExit, match=r"other data \(other\)"):
        main(run, "--methods", "random")
    with pytest.raises(SystemExit, match="no trained round"):
        main(tmp_path)


def test_classes_that_were_not_bought_are_not_named():
    classes = ClassTable(("floor", "wall", "chair"), ((0, 0, 0), (1, 0, 0), (2, 0, 0)))
    assert choices._first(np.array([30, 0, 10]), classes) == "floor 75, chair 25"
    assert choices._first(np.array([0, 0, 0]), classes) == ""
