"""From run folders to findings: pairing, baselines, protocols, and what the page and its files say."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from al3d.progress import console
from al3d.report.compare.command import main, write_comparison
from al3d.report.compare.figures import curve_figure, drawn, forest_figure, looks
from al3d.report.compare.sentences import headline, sentence, sentences
from al3d.report.compare.statistics import Interval, SignFlip
from al3d.report.compare.study import Options, Outcome, compare, labels_needed, wins_of
from al3d.report.compare.tables import Column, Sheet, area_sheet, as_csv, as_latex, cost_sheet, latex_text, shown

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
    with pytest.raises(ValueError, match="has no round after its seed"):
        compare([tmp_path], QUICK)
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
    assert cpu["cpu_hours"] == pytest.approx(8 * 71.5 / 3600) and cpu["hours_once"] == pytest.approx((8 * 71.5 - 2 * 70) / 3600)
    assert (gpu["gpu_hours"], gpu["cpu_hours"]) == pytest.approx((4 * 70 * 2 / 3600, 4 * 1.5 / 3600))
    assert (unknown["unknown_hours"], unknown["gpu_hours"]) == pytest.approx((4 * 70 / 3600, 0))
    for folder in folders[2:]:
        write(folder / "round-00" / "shared.json", {"shared_from": "a run elsewhere", "key": "k", "copying": False})
    assert costs_of([tmp_path])["redal (supervoxel)", "CPU"]["hours_once"] == pytest.approx((8 * 71.5 - 70) / 3600), "a source that is not here counts once"


def costs_of(folders):
    sheet = cost_sheet(compare(folders, QUICK))
    rows = [dict(zip([column.key for column in sheet.columns], row, strict=True)) for row in sheet.rows]
    return {(row["method"], row["device"]): row for row in rows}


def outcome(dataset, verdict, mean=0.02):
    if verdict == "alone":
        return Outcome(dataset, "redal", None, "there is no random run at the same unit (point)")
    mean = -mean if verdict == "worse" else mean
    adjusted = {"beats": 0.01, "worse": 0.02, "even": 0.4, "untested": None}[verdict]
    test = None if adjusted is None else SignFlip(adjusted, exact=True, smallest=0.001)
    return Outcome(dataset, "redal", "random", "", 6, Interval(mean, mean - 0.01, mean + 0.01), test=test, adjusted=adjusted)


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (("beats", "beats", "even"), "beats random (same unit, same budget) at p < 0.05 on 2 of 3 data sets: a +2.0 [+1.0, +3.0], b +2.0 [+1.0, +3.0]; "
         "is not distinguishable from random on 1 of 3 data sets: c +2.0 [+1.0, +3.0]"),
        (("even",), "is not distinguishable from random (same unit, same budget): a +2.0 [+1.0, +3.0]"),
        (("worse", "alone"), "is worse than random (same unit, same budget) at p < 0.05 on 1 of 1 data set: a \u22122.0 [\u22123.0, \u22121.0]; "
         "is not compared with random: there is no random run at the same unit (point) on b"),
        (("untested",), "has no p-value against random (same unit, same budget) with fewer than 6 blocks: a +2.0 [+1.0, +3.0] from 6 blocks"),
    ],
)  # fmt: skip
def test_sentences(verdicts, words):
    outcomes = [outcome(name, verdict) for name, verdict in zip("abc", verdicts, strict=False)]
    assert sentence(outcomes, 0.05) == words
    assert headline(outcomes, 0.05) == verdicts[0]


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


def test_the_page_and_its_files(tmp_path, monkeypatch):
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    runs, out = tmp_path / "runs", tmp_path / "study.html"
    write_study(runs, FakeStudy({"random": 0.0, "redal": 0.05}, ("s3dis",), rngs=range(1, 7), rounds=3, within=0.005, base_points=20_000_000))
    main([str(runs), "--out", str(out), "--draws", "500", "--seconds-per-click", "3"])
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
    return drawn(lambda: curve_figure(panel, panel.axes[0], 1.0, look), "a", "t", look)[0] + drawn(lambda: forest_figure(found), "b", "t")[0]


def test_help_and_refusals_end_in_words(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0 and "--allow-mixed" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="al3d: .* is no run's folder and holds none"):
        main([str(tmp_path)])


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
