"""The view of a study is what its definition says, and shows only what runs send."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from al3d.report.dashboard import DEFINITION, read_dashboard, save_dashboard, workspace
from al3d.report.summary import final_values, read_run, round_values, training_curve
from al3d.report.wandb import training_row

from .shown_run import shown_run


def test_every_panel_shows_something_that_a_run_sends(tmp_path: Path) -> None:
    run = read_run(shown_run(tmp_path / "run"))
    sent = {*round_values(run, run.records[-1]), *final_values(run), *training_row(training_curve(run.folder, 0)[0][1], 9, 0)}
    dashboard = read_dashboard(DEFINITION, "rooms", run.classes)
    panels = [panel for section in dashboard.sections for panel in section.panels]
    assert sum(panel.kind == "line" for panel in panels) == 3 + 2 * len(run.classes)
    for panel in panels:
        assert {*panel.y, *filter(None, [panel.x])} <= sent, panel
        assert panel.table in ("", "iou_per_class", "purchases") and set(panel.pictures) <= {"bought_regions"}


def test_without_classes_their_panels_are_left_out() -> None:
    dashboard = read_dashboard(DEFINITION, "rooms")
    assert not any("{class}" in str(section) for section in dashboard.sections) and "rooms" in dashboard.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nsections: []\n", "group_by"),
        ("name: a\ngroup_by: method\nsections: [{name: b, panels: [{kind: pie, title: c}]}]", "pie"),
        ("name: a\ngroup_by: method\nsections: [{name: b, panels: [{kind: line, title: c, x: round}]}]", "does not say its y"),
        ("name: a\ngroup_by: method\nsections: [{name: b, panels: [{kind: bars, title: c, y: [d], band: wide}]}]", "wide"),
        ("name: a\ngroup_by: method\nsections: [{name: b, width: 3, panels: []}]", "width"),
    ],
)
def test_a_wrong_definition_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "view.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_dashboard(file)
    assert str(file) in str(caught.value)


class Recorded:
    """Takes any keyword and remembers it; `==` makes a filter."""

    def __init__(self, *names: object, **options: Any) -> None:
        self.names, self.options = names, options

    def __eq__(self, other: object) -> Any:
        return (self.names, other)

    __hash__ = None  # type: ignore[assignment]


def test_the_definition_becomes_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("wandb_workspaces", "wandb_workspaces.reports", "wandb_workspaces.reports.v2", "wandb_workspaces.workspaces"):
        made: Any = types.ModuleType(module)
        for name in ("LinePlot", "BarPlot", "MediaBrowser", "WeavePanelSummaryTable", "Config", "Metric"):
            setattr(made, name, type(name, (Recorded,), {}))
        for name in ("Workspace", "Section", "SectionLayoutSettings", "RunsetSettings", "And"):
            setattr(made, name, type(name, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, module, made)
    view = workspace(read_dashboard(DEFINITION, "rooms", ["wall"]), "project", "me").options
    assert (view["entity"], view["project"], view["name"]) == ("me", "project", "al3d rooms")
    assert view["runset_settings"].options["filters"].names == ((("Group",), "rooms"),)
    panel = view["sections"][0].options["panels"][0]
    assert type(panel).__name__ == "LinePlot" and panel.options["x"] == "curve/labelled_percent" and panel.options["y"] == ["curve/miou"]
    assert panel.options["groupby"].names == ("method",) and panel.options["groupby_rangefunc"] == "stddev"


def test_the_real_library_takes_the_definition() -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is optional")
    model = workspace(read_dashboard(DEFINITION, "rooms", ["wall"]), "project", "me")._to_model().model_dump(by_alias=True)["spec"]["section"]
    sections = model["panelBankConfig"]["sections"]
    first = sections[0]["panels"][0]["config"]
    assert (first["xAxis"], first["metrics"], first["groupBy"], first["groupArea"]) == ("curve/labelled_percent", ["curve/miou"], "method.value", "stddev")
    assert model["runSets"][0]["filters"]["filters"][0]["value"] == "rooms"
    assert {panel["viewType"] for section in sections for panel in section["panels"]} >= {"Run History Line Plot", "Bar Chart", "Media Browser", "Weave"}


def test_without_the_library_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("al3d.report.dashboard.import_module", absent)
    with pytest.raises(ValueError, match=r"pip install 'al3d\[dashboard\]'"):
        save_dashboard(DEFINITION, "rooms", "project", "me", [])
    with pytest.raises(FileNotFoundError, match="no dashboard definition"):
        save_dashboard(Path("nowhere.yaml"), "rooms", "project", "me", [])
