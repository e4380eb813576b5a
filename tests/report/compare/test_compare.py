"""From run folders to findings: pairing, baselines, protocols, and what the page and its files say."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest

from al3d.commands.compare import command
from al3d.progress import console
from al3d.report.compare.command import write_comparison
from al3d.report.compare.figures import BY_METHOD, BY_SEED, POOLED, curve_figure, drawn, forest_figure, layouts_of, looks
from al3d.report.compare.page import document
from al3d.report.compare.protocol import differences
from al3d.report.compare.runs import grouped, run_folders
from al3d.report.compare.sentences import gain_notes, headline, no_gain, reach_notes, sentence, sentences
from al3d.report.compare.statistics import Bound, Interval, SignFlip, lower_bound
from al3d.report.compare.study import Gain, Options, Outcome, compare, labels_needed, wins_of
from al3d.report.compare.tables import Column, Sheet, area_sheet, as_csv, as_latex, cost_sheet, gain_sheet, latex_text, pooled_wins, sheets_of, shown

from .fake_study import FakeStudy, write, write_run, write_study

QUICK = Options(draws=200)
EFFECTS = {"random": 0.0, "entropy": 0.0, "redal": 0.05}


def change(run, edit):
    """Edit a run's identity in place."""
    content = json.loads((run / "identity.json").read_text())
    edit(content["identity"])
    (run / "identity.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two data sets, two seeds, three methods, three rng: six blocks each."""
    out = tmp_path_factory.mktemp("study") / "outputs"
    write_study(out, FakeStudy(EFFECTS, ("rooms", "street"), ("random", "kcenter"), within=0.01))
    return out


@pytest.fixture(scope="module")
def found(study):
    return compare([study], QUICK)


def test_true_effects_come_back(found):
    assert [panel.dataset for panel in found.panels] == ["rooms", "street"]
    for panel in found.panels:
        assert panel.ranges == {"2.0 percent": (5.0, 9.0)}
        redal, entropy = (
            next(one for one in found.outcomes if (one.dataset, one.method) == (panel.dataset, f"{name} (supervoxel)")) for name in ("redal", "entropy")
        )
        assert redal.baseline == "random (supervoxel)" and redal.blocks == 6 and redal.wins == 6
        assert redal.difference.mean == pytest.approx(0.05, abs=0.02)
        assert redal.test.p == pytest.approx(2 / 64) and redal.adjusted == pytest.approx(4 / 64)
        assert redal.difference.low < redal.difference.mean < redal.difference.high
        assert entropy.difference.low < 0 < entropy.difference.high
        assert redal.from_seed.mean == pytest.approx(redal.difference.mean * 5 / 6, abs=0.004), "round 0 is shared: it dilutes the difference"


def test_areas_are_those_of_the_curves(study, found):
    panel = found.panels[0]
    line = panel.line("redal (supervoxel)")
    run = line.runs["kcenter", "2"]
    miou = [record.miou for record in run.records]
    assert panel.areas[line.name].miou["kcenter", "2"] == pytest.approx((miou[1] / 2 + miou[2] + miou[3] / 2) / 2)
    assert panel.areas[line.name].from_seed["kcenter", "2"] == pytest.approx((miou[0] / 2 + miou[1] + miou[2] + miou[3] / 2) / 3)
    assert panel.areas[line.name].classes["kcenter", "2"].mean() == pytest.approx(panel.areas[line.name].miou["kcenter", "2"])
    whole = compare([study], Options(draws=200, start=0))
    assert whole.panels[0].areas[line.name].miou == panel.areas[line.name].from_seed


def test_labels_needed_and_wins_and_ranking(found):
    panel = found.panels[0]
    needed = {line.name: labels_needed(panel, line) for line in panel.lines}
    assert panel.full_supervision == pytest.approx(0.6, abs=0.02)
    for name, percents in needed.items():
        curve = np.mean([[record.miou for record in run.records] for run in panel.line(name).runs.values()], axis=0)
        for share, percent in zip((0.9, 0.95), percents, strict=True):
            reached = curve.max() >= share * panel.full_supervision
            assert (percent is not None) == reached
            if percent is not None:
                assert np.interp(percent, [3, 5, 7, 9], curve) == pytest.approx(share * panel.full_supervision)
    assert needed["redal (supervoxel)"][0] is not None
    assert wins_of(panel, "2.0 percent")["redal (supervoxel)", "random (supervoxel)"] == (6.0, 6)
    stable = found.stabilities[0]
    assert stable.blocks == 6 and sum(stable.first) == pytest.approx(1) and stable.first[stable.methods.index("redal (supervoxel)")] == 1
    assert sum(stable.rank) == pytest.approx(6)
    assert panel.rare(0.02) == [3] and panel.shares == pytest.approx((0.6, 0.3, 0.09, 0.01), abs=1e-4)


def test_the_order_of_the_folders_and_where_they_lie_do_not_matter(study, found):
    folders = sorted(study.iterdir(), reverse=True)
    assert compare([*folders, folders[0]], QUICK).outcomes == found.outcomes


def test_five_blocks_give_an_interval_and_no_p_value(tmp_path):
    write_study(tmp_path, FakeStudy(EFFECTS, rngs=range(1, 6)))
    for outcome in compare([tmp_path], QUICK).outcomes:
        assert outcome.test is None and outcome.adjusted is None and outcome.verdict(0.05) == "untested"
        assert outcome.difference.low is not None and outcome.blocks == 5
        assert "has no p-value against random (same unit, same budget) with fewer than 6 blocks: rooms" in sentence([outcome], 0.05)


def test_random_must_have_the_same_unit_budget_and_block(tmp_path):
    units = {"entropy": "scene", "redal": "point"}
    write_study(tmp_path, FakeStudy(EFFECTS, units=units))
    other = write_run(tmp_path, "rooms", "random", "random", 9, FakeStudy(EFFECTS, units={"random": "point"}))
    change(other, lambda identity: identity["acquire"]["budget"].update(amount=20, per="points"))
    write_run(tmp_path, "rooms", "kcenter", "random_scene", 1, FakeStudy({"random_scene": 0.0}, units={"random_scene": "scene"}))
    outcomes = {outcome.method: outcome for outcome in compare([tmp_path], QUICK).outcomes}
    assert {one.verdict(0.05) for one in outcomes.values()} == {"alone"}
    assert outcomes["redal (point)"].why == "random at this unit (point) has another budget: 20 points instead of 2.0 percent"
    assert outcomes["entropy (scene)"].why == "random_scene (scene) has no run with the same seed and rng"
    assert "is not compared with random: random at this unit (point) has another budget" in sentence([outcomes["redal (point)"]], 0.05)


def test_another_protocol_is_refused_by_name_and_mixed_when_asked(tmp_path):
    folders = write_study(tmp_path, FakeStudy(EFFECTS, rngs=(1, 2)))
    odd = next(folder for folder in folders if "redal" in folder.name)
    change(odd, lambda identity: identity.update(precision="16-mixed"))
    with pytest.raises(ValueError, match=r"protocol B: precision: 32-true -> 16-mixed(.|\n)*--allow-mixed") as refused:
        compare([tmp_path], QUICK)
    assert str(odd) in str(refused.value)
    mixed = compare([tmp_path], Options(draws=200, allow_mixed=True))
    assert {line.name for line in mixed.panels[0].lines} >= {"redal (supervoxel)", "redal (supervoxel) [protocol B]"}
    outcome = next(one for one in mixed.outcomes if one.method.endswith("[protocol B]"))
    assert outcome.baseline == "random (supervoxel)" and "protocol B against A" in sentence([outcome], 0.05)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda identity: identity["rounds"].update(epochs=21), "rounds.epochs: 20 -> 21"),
        (lambda identity: identity["learner"].update(loss="focal"), "learner.loss: .absent. -> focal"),
        (lambda identity: identity.update(eval={"select_on": "val"}), "eval: .absent."),
        (lambda identity: identity.update(data="other content"), "data: content of rooms -> other content"),
        (lambda identity: identity["net"].update(width=0.5), "net.width: 1.0 -> 0.5"),
    ],
)
def test_every_other_key_is_part_of_the_protocol(tmp_path, edit, words):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1, 2), rounds=2, full=None))
    change(folders[-1], edit)
    with pytest.raises(ValueError, match=words):
        compare([tmp_path], QUICK)


def test_full_supervision_need_not_buy_alike_but_must_train_alike(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1, 2), rounds=2))
    assert len(compare([tmp_path], QUICK).panels[0].full) == 2
    change(folders[-1], lambda identity: identity["rounds"].update(epochs=100))
    with pytest.raises(ValueError, match="fully supervised .*: rounds.epochs: 20 -> 100"):
        compare([tmp_path], QUICK)


def test_same_name_and_other_options_are_told_apart(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1, 2, 3), rounds=2, full=None))
    change(folders[-1], lambda identity: identity["acquire"].update(pick={"decay": 0.9}))
    assert [line.name for line in compare([tmp_path], QUICK).panels[0].lines] == [
        "random (supervoxel)",
        "redal (supervoxel)",
        "redal (supervoxel), pick={'decay': 0.9}",
    ]


def test_two_runs_of_one_block_are_refused(tmp_path):
    study = FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1,), rounds=2, full=None)
    write_study(tmp_path, study)
    write_run(tmp_path, "rooms", "random", "redal", 1, study, name="copy")
    with pytest.raises(ValueError, match=r"are both redal \(supervoxel\) after random with rng=1: leave one of them out"):
        compare([tmp_path], QUICK)


def test_unfinished_runs_are_left_out_unless_asked_for(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1, 2), full=None))
    (folders[-1] / "round-03" / "metrics.json").unlink()
    usual = compare([tmp_path], QUICK)
    assert usual.left_out == (f"{folders[-1].name}: 3 of 4 rounds finished",) and usual.outcomes[0].blocks == 1
    assert usual.outcomes[0].difference.low is None
    asked = compare([tmp_path], Options(draws=200, unfinished=True))
    assert asked.outcomes[0].blocks == 2 and asked.panels[0].ranges == {"2.0 percent": (5.0, 7.0)}
    assert any("between 3 and 4 finished rounds" in remark for remark in asked.panels[0].remarks)


def test_errors_name_the_way_out(tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match="is no run's folder and holds none"):
        compare([tmp_path / "nothing"], QUICK)
    write_run(tmp_path, "rooms", "random", "redal", 1, FakeStudy({"redal": 0.0}, rounds=1))
    with pytest.raises(ValueError, match=r"there is no run to compare\n  rooms-.*: no round after its seed") as refused:
        compare([tmp_path], QUICK)
    assert "--unfinished" not in str(refused.value), "it is finished: waiting does not help"
    with pytest.raises(ValueError, match=r"must end in \.html"):
        write_comparison([tmp_path], tmp_path / "page.txt")
    for wrong in ({"start": 2}, {"level": 0.7}, {"draws": 3}, {"rare_share": 2}, {"seconds_per_click": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Options(**wrong)


def test_budgets_that_do_not_meet_are_refused(tmp_path):
    write_run(tmp_path, "rooms", "random", "random", 1, FakeStudy(EFFECTS, rounds=2))
    far = write_run(tmp_path, "rooms", "kcenter", "random", 1, FakeStudy(EFFECTS, rounds=2))
    for index in (0, 1):
        file = far / f"round-{index:02d}" / "metrics.json"
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "labelled_percent": 40.0 + index}))
    with pytest.raises(ValueError, match="no budget is common to all runs: .* ends at 5 % labelled, .*kcenter.* starts at 40 %"):
        compare([tmp_path], QUICK)


def test_a_round_that_buys_much_at_once_moves_the_areas_and_is_named(tmp_path):
    study = FakeStudy(EFFECTS, rounds=3, full=None)
    write_run(tmp_path, "rooms", "random", "random", 1, study)
    far = write_run(tmp_path, "rooms", "random", "redal", 1, study)
    for index, percent in ((1, 8.0), (2, 9.0)):
        file = far / f"round-{index:02d}" / "metrics.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "labelled_percent": percent}))
    panel = compare([tmp_path], QUICK).panels[0]
    assert panel.ranges == {"2.0 percent": (3.0, 7.0)}
    assert any("starts at 8 %" in remark and far.name in remark and "had to start at the seed's round" in remark for remark in panel.remarks)
    file = far / "round-01" / "metrics.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "labelled_percent": 6.9}))
    panel = compare([tmp_path], QUICK).panels[0]
    assert panel.ranges == {"2.0 percent": (6.9, 7.0)} and any("areas cover only 6.9 to 7 % labelled" in remark for remark in panel.remarks)


def test_shared_rounds_count_once_and_devices_apart(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1, 2), full=None))
    write(folders[2] / "round-00" / "shared.json", {"shared_from": folders[0].name, "key": "k", "copying": False})
    write(folders[0] / "round-00" / "shared.json", {"shared_from": None, "key": "k", "copying": False})
    write(folders[3] / "round-00" / "train.json", {"steps": 1, "loss": 0.1, "seconds": 1, "waiting": 0, "shared_from": folders[1].name})
    write(folders[0] / "execution.jsonl", {"accelerator": "gpu", "devices": 2, "num_nodes": 1, "n": 4})
    (folders[1] / "execution.jsonl").unlink()
    with (folders[2] / "execution.jsonl").open("a") as file:
        file.write('\n{"first_round": "taken from elsewhere"}\n{"cut o')
    by = costs_of([tmp_path])
    cpu, gpu, unknown = by["redal (supervoxel)", "CPU"], by["random (supervoxel)", "GPU"], by["random (supervoxel)", "not recorded"]
    assert (cpu["rounds"], cpu["shared_rounds"]) == (8, 2)
    assert cpu["cpu_seconds"] == pytest.approx(71.5) and cpu["hours"] == pytest.approx(8 * 71.5 / 3600)
    assert cpu["hours_once"] == pytest.approx((8 * 71.5 - 2 * 70) / 3600)
    assert (gpu["gpu_seconds"], gpu["cpu_seconds"]) == pytest.approx((70 * 2, 1.5)) and gpu["hours"] == pytest.approx(4 * 141.5 / 3600)
    assert (unknown["unknown_seconds"], unknown["gpu_seconds"], unknown["cpu_seconds"]) == pytest.approx((70, 0, 1.5))
    for folder in folders[2:]:
        write(folder / "round-00" / "shared.json", {"shared_from": "a run elsewhere", "key": "k", "copying": False})
    assert costs_of([tmp_path])["redal (supervoxel)", "CPU"]["hours_once"] == pytest.approx((8 * 71.5 - 70) / 3600), "a source that is not here counts once"


def test_the_device_that_was_written_down_speaks_louder_than_auto(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1,), rounds=2, full=None))
    write(folders[0] / "execution.jsonl", {"accelerator": "auto", "device": "cuda", "devices": 1, "n": 2})
    write(folders[1] / "execution.jsonl", {"accelerator": "auto", "devices": 1, "n": 2})
    assert set(costs_of([tmp_path])) == {("random (supervoxel)", "GPU"), ("redal (supervoxel)", "not recorded")}


def costs_of(folders):
    sheet = cost_sheet(compare(folders, QUICK))
    rows = [dict(zip([column.key for column in sheet.columns], row, strict=True)) for row in sheet.rows]
    return {(row["method"], row["device"]): row for row in rows}


def outcome(dataset, verdict, mean=0.02):
    if verdict == "alone":
        return Outcome(dataset, "redal", None, "there is no random run at the same unit (point)")
    mean = -mean if verdict == "worse" else mean
    adjusted = {"beats": 0.01, "worse": 0.02, "even": 0.4, "short": 0.0625, "untested": None}[verdict]
    test = None if adjusted is None else SignFlip(adjusted, exact=True, smallest=0.001)
    return Outcome(
        dataset, "redal", "random", "", 6, Interval(mean, mean - 0.01, mean + 0.01), test=test, adjusted=adjusted, reach=0.0625 if verdict == "short" else 0.01
    )


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (("beats", "beats", "even"), "beats random (same unit, same budget) at p < 0.05 on 2 of 3 data sets: a +2.0 [+1.0, +3.0], b +2.0 [+1.0, +3.0]; "
         "is not distinguishable from random on 1 of 3 data sets: c +2.0 [+1.0, +3.0]"),
        (("even",), "is not distinguishable from random (same unit, same budget): a +2.0 [+1.0, +3.0]"),
        (("worse", "alone"), "is worse than random (same unit, same budget) at p < 0.05 on 1 of 1 data set: a \u22122.0 [\u22123.0, \u22121.0]; "
         "is not compared with random: there is no random run at the same unit (point) on b"),
        (("even", "short"), "is not distinguishable from random (same unit, same budget): a +2.0 [+1.0, +3.0]; "
         "has too few blocks for p < 0.05 against random: b +2.0 [+1.0, +3.0] from 6 blocks"),
        (("untested",), "has no p-value against random (same unit, same budget) with fewer than 6 blocks: a +2.0 [+1.0, +3.0] from 6 blocks"),
    ],
)  # fmt: skip
def test_sentences(verdicts, words):
    outcomes = [outcome(name, verdict) for name, verdict in zip("abc", verdicts, strict=False)]
    assert sentence(outcomes, 0.05) == words
    assert headline(outcomes, 0.05) == verdicts[0]


def test_six_blocks_and_two_methods_are_too_few_and_the_page_says_so(found):
    assert {outcome.verdict(0.05) for outcome in found.outcomes} == {"short"} and {outcome.reach for outcome in found.outcomes} == {4 / 64}
    assert list(sentences(found))[0] == "redal (supervoxel)", "of the same news the larger difference comes first"
    words = "On rooms and street: with 6 blocks none of the 2 tested methods can reach p < 0.05 after Holm's correction, "
    words += "however large the difference (p = 0.0625 at best)."
    assert reach_notes(found) == [
        f"{words} That is the size of the study, not a failure of the methods: 7 blocks (seed methods x rng) would do; until then, go by the intervals."
    ]
    page = written(found)
    assert html.escape(words) in page and "not distinguishable" not in page
    assert page.index("has too few blocks") < page.index("none of the 2 tested") < page.index("Learning curves")


def test_one_method_alone_needs_six_blocks_only(tmp_path):
    write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.05}, rngs=range(1, 7), rounds=2, within=0.005, full=None))
    found = compare([tmp_path], QUICK)
    assert found.outcomes[0].verdict(0.05) == "beats" and reach_notes(found) == []
    strict = compare([tmp_path], Options(draws=200, level=0.01))
    assert reach_notes(strict)[0].startswith("On rooms: with 6 blocks redal (supervoxel) cannot reach p < 0.01 after Holm's correction for 1 method")
    assert "8 blocks (seed methods x rng) would do" in reach_notes(strict)[0], "2 / 256 < 0.01, were it 8 blocks"


@pytest.mark.slow
def test_a_whole_comparison_finds_two_points_and_calls_little_under_the_null(tmp_path):
    """Twelve studies of 18 blocks, the spread of a difference being 2.8 points: redal is better by 2 points, entropy is not."""
    names = [f"study{place}" for place in range(12)]
    study = FakeStudy({"random": 0.0, "redal": 0.02, "entropy": 0.0}, names, ("random", "kcenter", "seedal"), rngs=range(1, 7), rounds=2, full=None)
    write_study(tmp_path, study)
    found = compare([tmp_path], Options(draws=2000))
    verdicts = {name: [outcome.verdict(0.05) for outcome in found.of(f"{name} (supervoxel)")] for name in ("redal", "entropy")}
    assert verdicts["redal"].count("beats") >= 7 and "worse" not in verdicts["redal"]
    assert verdicts["entropy"].count("even") >= 10
    errors = [outcome.difference.mean - 0.02 for outcome in found.of("redal (supervoxel)")]
    assert abs(np.mean(errors)) < 3 * 0.028 / np.sqrt(18 * 12)


def written(comparison):
    """The page without its charts."""
    return document(comparison, sheets_of(comparison), None, {}, looks(comparison), "study")


def test_a_p_at_the_level_is_no_finding():
    at = Outcome("a", "m", "random", "", 6, Interval(0.1, 0.0, 0.2), test=SignFlip(0.05, exact=True, smallest=0.01), adjusted=0.05)
    assert at.verdict(0.05) == "even"


class Reader(HTMLParser):
    """Collects what a page would load, its ids and whether its elements close."""

    VOID = frozenset({"meta", "img", "input", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.loads, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.loads += [value for key, value in values.items() if key in ("src", "href", "xlink:href") and not value.startswith(("#", "data:"))]
        self.loads += [tag] * (tag in ("script", "link", "iframe"))
        self.ids += [values["id"]] if "id" in values else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def main(*words):
    command.main([*words], prog_name="al3d compare", standalone_mode=False)


def test_the_page_and_its_files(tmp_path, monkeypatch):
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    runs, out = tmp_path / "runs", tmp_path / "study.html"
    write_study(runs, FakeStudy({"random": 0.0, "redal": 0.05}, ("s3dis",), rngs=range(1, 7), rounds=3, within=0.005, base_points=20_000_000))
    main(str(runs), "--out", str(out), "--draws", "500", "--seconds-per-click", "3")
    assert "redal (supervoxel) beats random (same unit, same budget) at p < 0.05 on 1 of 1 data set: s3dis +" in printed.getvalue()
    page = out.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert reader.loads == [] and reader.open == [] and len(reader.ids) == len(set(reader.ids))
    assert not re.search(r"url\((?!#)|@import", page)
    text = "".join(reader.text)
    assert "ReDAL's paper: ReDAL" in text and "Square metres are not recorded on s3dis" in text and "at 3 s a click" in text
    assert text.index("beats random") < text.index("Learning curves") < text.index("Win matrix")
    for axis in ("percent", "units", "clicks", "seconds"):
        assert f'id="axis-{axis}"' in page and (tmp_path / "study" / f"curves-s3dis-{axis}.png").read_bytes()[:4] == b"\x89PNG"
    names = {file.name for file in (tmp_path / "study").iterdir()}
    assert {"forest.png", "wins.png", "differences.csv", "differences.tex", "areas.csv", "rounds.csv", "curves.csv", "cost.tex"} <= names
    with (tmp_path / "study" / "rounds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 6 * 3 and rows[1]["clicks"] in ("90", "120") and float(rows[1]["labelling_seconds"]) == 3 * int(rows[1]["clicks"])
    assert write_again(runs) == write_again(runs), "the same runs make the same charts"


def write_again(runs):
    found = compare([runs], QUICK)
    panel, look = found.panels[0], looks(found)
    return drawn(lambda: curve_figure(panel, panel.axes[0], 1.0, look), "a", "t", look)[0] + drawn(lambda: forest_figure(found, look), "b", "t")[0]


def test_help_and_refusals_end_in_words(tmp_path, capsys):
    main("--help")
    assert "--allow-mixed" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="al3d: .* is no run's folder and holds none"):
        main(str(tmp_path))


def test_the_command_says_the_defaults_of_the_options():
    with command.make_context("compare", ["run"]) as context:
        assert {name: value for name, value in context.params.items() if name not in ("runs", "out")} == asdict(Options())


def test_tables_for_people_machines_and_papers():
    columns = (Column("name", "name"), Column("gain", "gain, %", 1, signed=True), Column("p", "p", 3))
    sheet = Sheet("x", "A table", columns, (("a_b & c", -1.26, 0.0001), ("d", None, 0.5), ("e", -0.01, float("nan"))))
    assert [[shown(cell, column) for cell, column in zip(row, columns, strict=True)] for row in sheet.rows] == [
        ["a_b & c", "\u22121.3", "< 0.001"],
        ["d", "–", "0.500"],
        ["e", "0.0", "–"],
    ]
    assert as_csv(sheet) == "name,gain,p\na_b & c,-1.26,0.0001\nd,,0.5\ne,-0.01,\n"
    latex = as_latex(sheet)
    assert r"a\_b \& c & $-$1.3 & $<$ 0.001 \\" in latex and r"\begin{tabular}{lrr}" in latex and r"gain, \%" in latex
    assert latex_text(r"50 % of {m²}~\x") == r"50 \% of \{m$^2$\}\textasciitilde{}\textbackslash{}x"
    with pytest.raises(ValueError, match="table x has 3 columns, but a row of 1 cells"):
        Sheet("x", "", columns, (("a",),))


def test_sheets_agree_with_the_findings(found):
    sheet = area_sheet(found)
    keys = [column.key for column in sheet.columns]
    row = dict(zip(keys, next(row for row in sheet.rows if row[:2] == ("street", "redal (supervoxel)")), strict=True))
    values = found.panels[1].areas["redal (supervoxel)"].miou
    assert row["area"] == pytest.approx(100 * np.mean(list(values.values())))
    assert row["area_after_kcenter"] == pytest.approx(100 * np.mean([value for block, value in values.items() if block[0] == "kcenter"]))
    assert row["area_low"] < row["area"] < row["area_high"]
    assert set(sentences(found)) == {"redal (supervoxel)", "entropy (supervoxel)"}


def test_runs_that_cannot_be_used_are_left_out_by_name_and_reason(tmp_path):
    folders = write_study(tmp_path, FakeStudy(EFFECTS, rngs=(1, 2, 3), rounds=3, full=None))
    by = {folder.name: folder for folder in folders}
    gap, broken, alone = (by[f"rooms-minkunet-random-redal-supervoxel-rng{rng}"] for rng in (1, 2, 3))
    never = by["rooms-minkunet-random-entropy-supervoxel-rng3"]
    (gap / "round-01" / "metrics.json").unlink()
    (broken / "round-02" / "metrics.json").write_text("{cut o")
    for index in (1, 2):
        (alone / f"round-{index:02d}" / "metrics.json").unlink()
    write(alone / "execution.jsonl", {"accelerator": "cpu", "devices": 1, "n": 1})
    (never / "identity.json").write_text(json.dumps({"hash": "0", "identity": {"dataset": {"name": "rooms"}, "rng": "one"}}))
    found = compare([tmp_path], QUICK)
    said = "\n".join(found.left_out)
    assert len(found.left_out) == 4
    assert f"{gap.name}: round 1 has no metrics.json, though a later round has: run its command again" in said
    assert f"{broken.name}: cannot be read: " in said and str(broken / "round-02" / "metrics.json") in said
    assert f"{alone.name}: no round after its seed" in said
    assert "has no 'seed' and no 'acquire' and no 'rng' that can be read" in said
    assert [outcome.blocks for outcome in found.outcomes] == [2]
    assert any("between 2 and 3 blocks" in remark for remark in found.panels[0].remarks)
    page = written(found)
    assert "Left out:" in page and gap.name in page and "run its command again" in page
    (gap / "round-02" / "metrics.json").unlink()
    asked = compare([tmp_path], Options(draws=200, unfinished=True))
    assert not any(line.name.startswith("redal") for line in asked.panels[0].lines), "one round says nothing, asked for or not"


def test_a_gap_ends_a_run_also_when_unfinished_ones_are_asked_for(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1,), rounds=4, full=None))
    (folders[1] / "round-02" / "metrics.json").unlink()
    found = compare([tmp_path], Options(draws=200, unfinished=True))
    run = found.panels[0].line("redal (supervoxel)").any_run
    assert [record.round for record in run.records] == [0, 1], "round 3 would miss what round 2 bought"
    assert found.left_out == (f"{folders[1].name}: its rounds after 1, since round 2 has no metrics.json, though a later round has: run its command again",)


def test_reasons_are_told_once():
    assert grouped([f"{name}: no finished round" for name in "abcdefg"] + ["x: broken: at 3"]) == [
        "a, b, c, d and 3 more: no finished round",
        "x: broken: at 3",
    ]
    assert grouped([f"{name}: r" for name in "abcde"]) == ["a, b, c, d, e: r"]


def test_a_folder_of_studies_is_searched_and_a_run_is_not(tmp_path):
    study = FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1,), rounds=2, full=None)
    cells = write_study(tmp_path / "out" / "studies" / "core", study)
    write(cells[0] / "copy" / "identity.json", {})
    write(tmp_path / "out" / ".hidden" / "identity.json", {})
    write(tmp_path / "out" / "studies" / "core" / "cell.log", "words")
    assert run_folders([tmp_path / "out"]) == run_folders([tmp_path / "out" / "studies" / "core", cells[1]]) == sorted(cells)
    log = tmp_path / "cell.log"
    log.write_text("what a cell printed")
    assert run_folders([log, *cells]) == sorted(cells), "a pattern names logs beside their cells"
    with pytest.raises(FileNotFoundError, match=r"cell\.log is no run's folder"):
        run_folders([log])
    with pytest.raises(FileNotFoundError, match="nowhere is no run's folder and holds none"):
        run_folders([tmp_path / "nowhere"])
    again = write_study(tmp_path / "out" / "studies" / "pilot", study)
    with pytest.raises(ValueError, match="are both random") as refused:
        compare([tmp_path / "out"], QUICK)
    assert str(cells[0]) in str(refused.value) and str(again[0]) in str(refused.value)


def test_pairs_that_are_missing_are_counted(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1, 2, 3), rounds=2, full=None))
    for folder in folders[:2]:
        (folder / "identity.json").unlink()
    outcome = compare([tmp_path], QUICK).outcomes[0]
    assert outcome.blocks == 1 and "2 of its 3 runs have no pair in random (supervoxel)" in outcome.why


def test_without_random_or_full_supervision_the_page_says_how_to_get_them(tmp_path):
    write_study(tmp_path, FakeStudy({"entropy": 0.0, "redal": 0.0}, rngs=(1, 2), rounds=2, full=None))
    found = compare([tmp_path], QUICK)
    assert not any(line.baseline for line in found.panels[0].lines) and {outcome.verdict(0.05) for outcome in found.outcomes} == {"alone"}
    page = written(found)
    assert "there is no random run at the same unit (supervoxel) on rooms" in page and "run acquire=random with the same unit" in page
    assert "No method could be compared with random." in page and "Numbers:" not in page
    assert "No fully supervised run was given" in page and "seed=all rounds.n=1" in page and "percent_for_90" not in page


def test_only_random_and_only_full_supervision(tmp_path):
    write_study(tmp_path / "random", FakeStudy({"random": 0.0}, rngs=(1, 2), rounds=2))
    page = written(compare([tmp_path / "random"], QUICK))
    assert "Only random selection was given" in page and "There are no two methods with a block in common." in page
    write_study(tmp_path / "full", FakeStudy({}, datasets=("street",)))
    with pytest.raises(ValueError, match="fully supervised ones alone say nothing"):
        compare([tmp_path / "full"], QUICK)
    both = compare([tmp_path], QUICK)
    assert both.left_out == ("street: only fully supervised runs, so there is nothing to compare",)


def test_classes_that_differ_are_refused_even_when_mixed(tmp_path):
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.0}, rngs=(1,), rounds=2, full=None))
    change(folders[1], lambda identity: identity.update(data="other"))
    for index in (0, 1):
        for file, keys in (
            (folders[1] / f"round-{index:02d}" / "metrics.json", ("iou",)),
            (folders[1] / f"labels-{index:02d}" / "purchase.json", ("class_points", "pool_class_points")),
        ):
            content = json.loads(file.read_text())
            content.update({key: content[key][:3] for key in keys})
            if "confusion" in content:
                content["confusion"] = [row[:3] for row in content["confusion"][:3]]
            file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"different numbers of classes \(3 in .*redal.*, 4 in .*random"):
        compare([tmp_path], Options(draws=200, allow_mixed=True))


def test_of_parts_of_another_kind_only_the_kind_is_named():
    old = {"learner": {"_target_": "a.Supervised", "lr": 1}, "rounds": {"n": 1}, "start": {"weights": "x"}}
    new = {"learner": {"_target_": "b.MeanTeacher", "lr": 2, "decay": 3}, "rounds": {"n": 2}}
    assert differences(old, new) == ["learner: a.Supervised -> b.MeanTeacher", "rounds.n: 1 -> 2", "start: {'weights': 'x'} -> (absent)"]
    assert differences(old, {**old, "learner": {"_target_": "a.Supervised", "lr": 2}}) == ["learner.lr: 1 -> 2"]


def test_the_arrangements_of_curves(found):
    panel, look = found.panels[0], looks(found)
    assert layouts_of(panel) == [POOLED, BY_SEED, BY_METHOD]
    titles = {}
    for layout in layouts_of(panel):
        figure = curve_figure(panel, panel.axes[0], 1.0, look, layout)
        titles[layout] = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
        colours = {line.get_color() for axes in figure.axes for line in axes.lines}
        assert colours >= {one.colour for one in look.values()}, "a method has its colour in every arrangement"
        below = figure.axes[0].get_xlabel() or figure.get_supxlabel()
        assert below == "labelled points, % of the base" and figure.axes[0].get_ylabel() == "mIoU, %"
    assert titles == {POOLED: ["rooms"], BY_SEED: ["after kcenter", "after random"], BY_METHOD: ["entropy (supervoxel)", "redal (supervoxel)"]}
    by_method = curve_figure(panel, panel.axes[0], 1.0, look, BY_METHOD)
    assert all(len(axes.collections) == 2 for axes in by_method.axes), "random's band and the method's"
    forest = forest_figure(found, look).axes[0]
    assert {line.get_color() for line in forest.lines} >= {look["redal (supervoxel)"].colour, look["entropy (supervoxel)"].colour}


def test_a_method_with_one_block_does_not_end_the_ranking(tmp_path):
    write_study(tmp_path, FakeStudy(EFFECTS, rngs=(1, 2, 3), rounds=2, full=None))
    write_run(tmp_path, "rooms", "random", "badge", 1, FakeStudy({"badge": 0.0}, rounds=2))
    found = compare([tmp_path], QUICK)
    stable = found.stabilities[0]
    assert stable.without == ("badge (supervoxel)",) and len(stable.methods) == 3 and stable.blocks == 3
    assert "Not ranked, since too few of the blocks are shared: badge (supervoxel) on rooms." in written(found)
    lone = compare([folder for folder in tmp_path.iterdir() if "rng1" in folder.name], QUICK)
    assert lone.stabilities == () and "There is no ranking" in written(lone)


def with_miou(run, index, miou):
    """Set the mIoU of a round."""
    file = run / f"round-{index:02d}" / "metrics.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "miou": miou}))


def rising(tmp_path, rises):
    """Random and redal in two rounds, a block for every rise of random's mIoU; redal is better by 20 points and more in every block."""
    folders = write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.2}, rngs=range(1, 1 + len(rises)), rounds=2, within=0.0, full=None))
    for run, rise in zip(folders, rises, strict=False):
        with_miou(run, 0, 0.4)
        with_miou(run, 1, 0.4 + rise)
    return compare([tmp_path], QUICK)


def test_where_more_labels_did_not_help_nothing_is_ranked(tmp_path, monkeypatch):
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    study = FakeStudy({"random": 0.0, "redal": 0.05}, ("rooms",), rngs=range(1, 7), rounds=3, within=0.02, rise=0.0, full=None)
    write_study(tmp_path / "runs", study)
    write_study(tmp_path / "runs", FakeStudy({"random": 0.0, "redal": 0.05}, ("street",), rngs=range(1, 7), rounds=3, within=0.005, full=None))
    found = write_comparison([tmp_path / "runs"], tmp_path / "study.html", QUICK)
    refused, ranked = found.outcomes
    assert (refused.verdict(0.05), ranked.verdict(0.05)) == ("unranked", "beats") and refused.difference.mean > 0.02 and refused.test.p < 0.05
    last, first = ([100 * run.records[place].miou for run in found.panels[0].line("random (supervoxel)").runs.values()] for place in (-1, 0))
    bound = lower_bound(np.subtract(last, first))
    assert bound.low <= 0 and abs(bound.mean) < 0.05
    numbers = f"{np.mean(last):.1f} - {np.mean(first):.1f} = 0.0 points, 95 % bound {bound.low:.1f} over 6 blocks"
    words = f"in this training more labels did not help (random (supervoxel): {numbers}): methods cannot be ranked".replace("-", "\u2212")
    assert gain_notes(found) == [f"rooms: {words}."]
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert f"rooms: {words}." in printed.getvalue() and html.escape(words) in page and page.index(html.escape(words)) < page.index('class="findings"')
    assert "beats random (same unit, same budget) at p &lt; 0.05 on 1 of 1 data set: street" in page.replace("\u00a0", " ")
    assert "is not ranked against random, which more labels did not help: rooms +" in page.replace("\u00a0", " ")
    with (tmp_path / "study" / "differences.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["dataset"]: row for row in csv.DictReader(file)}
    assert rows["rooms"]["verdict"] == "not ranked" and words in rows["rooms"]["note"] and float(rows["rooms"]["difference_points"]) > 2
    assert rows["street"]["verdict"] == "beats random" and rows["street"]["note"] == ""
    with (tmp_path / "study" / "more-labels.csv").open(newline="", encoding="utf-8") as file:
        gains = {row["dataset"]: row for row in csv.DictReader(file)}
    assert gains["rooms"]["more_labels"] == "did not help: methods cannot be ranked" and float(gains["rooms"]["rise_bound"]) == pytest.approx(bound.low)
    assert gains["street"]["more_labels"] == "helped" and float(gains["street"]["rise_bound"]) > 0
    assert [stable.dataset for stable in found.stabilities] == ["street"] and "more labels did not help there: rooms" in page
    assert pooled_wins(found)["redal (supervoxel)", "random (supervoxel)"] == (6.0, 6), "only those of street"
    assert "rooms,redal (supervoxel),random (supervoxel),6,6" in (tmp_path / "study" / "wins.csv").read_text(), "the numbers are still there"


@pytest.mark.parametrize(
    ("rises", "helped"),
    [
        ((0.01, 0.02, 0.03, 0.02, 0.01, 0.03), True),
        ((0.01, 0.02, -0.03, 0.02, 0.01, 0.03), False),
        ((-0.01, -0.02, -0.03, -0.02, -0.01, -0.03), False),
        ((0.02, 0.02), True),
        ((0.0, 0.0), False),
        ((0.0, 0.05), False),
        ((0.05,), False),
    ],
)
def test_the_limit_is_a_bound_above_zero(tmp_path, rises, helped):
    found = rising(tmp_path, rises)
    gain = found.gains[0]
    assert gain.blocks == len(rises) and gain.rise.mean == pytest.approx(np.mean(rises)) and gain.rise.above_zero == helped
    assert (gain.first, gain.last) == pytest.approx((0.4, 0.4 + np.mean(rises)))
    verdict = found.outcomes[0].verdict(0.05)
    assert (verdict == "unranked") != helped and verdict in ("beats", "untested", "unranked")
    assert len(found.stabilities) == (helped and len(rises) > 1) and bool(gain_notes(found)) != helped


def test_one_block_cannot_show_it(tmp_path):
    found = rising(tmp_path, (0.05,))
    assert found.gains[0].rise.low is None
    words = "in this training more labels did not help (random (supervoxel): 45.0 \u2212 40.0 = +5.0 points, no bound from 1 block): methods cannot be ranked"
    assert gain_notes(found) == [f"rooms: {words}."]
    assert "There is no ranking: more labels did not help random on rooms." in written(found)
    assert sentences(found)["redal (supervoxel)"].startswith("is not ranked against random (same unit, same budget), which more labels did not help: rooms +")


def test_without_random_it_cannot_be_checked_and_the_rest_stays(tmp_path):
    write_study(tmp_path, FakeStudy({"entropy": 0.0, "redal": 0.1}, rngs=(1, 2, 3), rounds=2, rise=0.0, full=None))
    found = compare([tmp_path], QUICK)
    note = "rooms: no run of random was given, so it could not be checked whether more labels helped in this training."
    assert found.gains == () and gain_notes(found) == [note] and note in written(found)
    assert [stable.dataset for stable in found.stabilities] == ["rooms"] and {one.verdict(0.05) for one in found.outcomes} == {"alone"}
    assert [row[-1] for row in gain_sheet(found).rows] == ["not checked: no random"]
    assert pooled_wins(found)["redal (supervoxel)", "entropy (supervoxel)"] == (3.0, 3)


def test_each_baseline_answers_for_the_methods_of_its_unit(tmp_path):
    units = {"random": "supervoxel", "redal": "supervoxel", "hpal": "point"}
    write_study(tmp_path, FakeStudy({"random": 0.0, "redal": 0.1, "hpal": 0.1}, rngs=range(1, 7), rounds=2, within=0.005, full=None, units=units))
    for rng in range(1, 7):
        run = write_run(tmp_path, "rooms", "random", "random", rng, FakeStudy({"random": 0.0}, rounds=2, units={"random": "point"}))
        with_miou(run, 1, 0.3)
        with_miou(run, 0, 0.4)
    found = compare([tmp_path], QUICK)
    assert {one.method: one.verdict(0.05) for one in found.outcomes} == {"redal (supervoxel)": "short", "hpal (point)": "unranked"}
    assert found.stabilities == () and not found.ranks("rooms", "2.0 percent"), "a ranking would mix both"
    assert len(gain_notes(found)) == 1 and "(random (point): 30.0 \u2212 40.0" in gain_notes(found)[0]


def test_a_method_that_cannot_be_ranked_on_one_data_set():
    gain = Gain("b", "random", "2.0 percent", 6, 0.4, 0.41, Bound(0.01, -0.005))
    refused = Outcome(
        "b", "redal", "random", "", 6, Interval(0.02, 0.01, 0.03), test=SignFlip(0.01, exact=True, smallest=0.001), adjusted=0.01, reach=0.01, gain=gain
    )
    assert refused.verdict(0.05) == "unranked" and headline([refused, outcome("a", "even")], 0.05) == "even"
    assert sentence([outcome("a", "beats"), refused], 0.05) == (
        "beats random (same unit, same budget) at p < 0.05 on 1 of 1 data set: a +2.0 [+1.0, +3.0]; "
        "is not ranked against random, which more labels did not help: b +2.0 [+1.0, +3.0] from 6 blocks"
    )
    assert no_gain(gain) == (
        "in this training more labels did not help (random: 41.0 \u2212 40.0 = +1.0 points, 95 % bound \u22120.5 over 6 blocks): methods cannot be ranked"
    )
