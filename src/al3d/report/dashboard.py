"""The view of a study in Weights & Biases, made from a definition file: learning curves per method with bands, classes, what was bought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from al3d.progress import console

#: The definition that comes with al3d.
DEFINITION = Path(__file__).with_name("dashboard.yaml")
BANDS = ("stddev", "stderr", "minmax", "none")
#: What a panel of each kind must say.
NEEDS: Mapping[str, tuple[str, ...]] = {"line": ("x", "y"), "bars": ("y",), "table": ("table",), "pictures": ("pictures",)}


@dataclass(frozen=True)
class Panel:
    """One panel: `kind` line, bars, table or pictures; `band` what is drawn around a mean."""

    kind: str
    title: str
    x: str = ""
    y: tuple[str, ...] = ()
    table: str = ""
    pictures: tuple[str, ...] = ()
    title_x: str | None = None
    title_y: str | None = None
    band: str = "stddev"

    def __post_init__(self) -> None:
        if self.kind not in NEEDS:
            raise ValueError(f"panel {self.title!r}: kind={self.kind!r} is not one of {', '.join(NEEDS)}")
        missing = [name for name in NEEDS[self.kind] if not getattr(self, name)]
        if missing:
            raise ValueError(f"panel {self.title!r} of kind {self.kind} does not say its {' and '.join(missing)}")
        if self.band not in BANDS:
            raise ValueError(f"panel {self.title!r}: band={self.band!r} is not one of {', '.join(BANDS)}")


@dataclass(frozen=True)
class Section:
    """Panels under one name, `columns` times `rows` of them on a page."""

    name: str
    panels: tuple[Panel, ...]
    columns: int = 3
    rows: int = 2


@dataclass(frozen=True)
class Dashboard:
    """A view: its name, the study whose runs it shows (None: all of the project), what groups runs, and its sections."""

    name: str
    study: str | None
    group_by: str
    sections: tuple[Section, ...]


def read_dashboard(file: Path, study: str | None = None, classes: Sequence[str] = ()) -> Dashboard:
    """Read a definition and fill in the study and the classes; without classes, panels of single classes are left out.

    Raises: FileNotFoundError without the file; ValueError naming the file and what is wrong in it.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no dashboard definition {file}: give --definition FILE, or leave it out for the one that comes with al3d")
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        sections = tuple(Section(**{**section, "panels": _panels(section["panels"], classes)}) for section in tree["sections"])
        return Dashboard(str(tree["name"]).replace("{study}", study or "runs"), study, str(tree["group_by"]), sections)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error!r}: see {DEFINITION} for how a definition looks") from error


def _panels(entries: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> tuple[Panel, ...]:
    """The panels of a section; one that speaks of {class} once per class."""
    names = [(entry, name) for entry in entries for name in (classes if "{class}" in str(entry) else [""])]
    return tuple(Panel(**{key: _filled(value, name) for key, value in entry.items()}) for entry, name in names)


def _filled(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return tuple(_filled(part, name) for part in value)
    return value.replace("{class}", name) if isinstance(value, str) else value


def workspace(dashboard: Dashboard, project: str, entity: str) -> Any:
    """The definition as a `wandb_workspaces` object; needs no network. Raises: ValueError that says what to install."""
    reports, views = _libraries()
    sections = [
        views.Section(
            name=section.name,
            is_open=True,
            layout_settings=views.SectionLayoutSettings(columns=section.columns, rows=section.rows),
            panels=[_panel(reports, panel, dashboard.group_by) for panel in section.panels],
        )
        for section in dashboard.sections
    ]
    chosen = {"filters": views.And(views.Metric("Group") == dashboard.study)} if dashboard.study else {}
    runs = views.RunsetSettings(**chosen, groupby=[views.Config(dashboard.group_by)])
    return views.Workspace(entity=entity, project=project, name=dashboard.name, sections=sections, runset_settings=runs)


def _panel(reports: Any, panel: Panel, group_by: str) -> Any:
    grouped = {"groupby": reports.Config(group_by), "groupby_aggfunc": "mean", "groupby_rangefunc": panel.band}
    titles = {"title": panel.title, "title_x": panel.title_x, "title_y": panel.title_y}
    if panel.kind == "line":
        return reports.LinePlot(x=panel.x, y=list(panel.y), **titles, **grouped)
    if panel.kind == "bars":
        return reports.BarPlot(metrics=list(panel.y), **titles, **grouped)
    if panel.kind == "pictures":
        return reports.MediaBrowser(title=panel.title, media_keys=list(panel.pictures))
    return reports.WeavePanelSummaryTable(table_name=panel.table)


def save_dashboard(file: Path, study: str | None, project: str, entity: str | None, classes: Sequence[str]) -> str:
    """Make the view in W&B and print its address. Raises: as `read_dashboard` and `workspace`; ConnectionError when W&B did not take it."""
    dashboard = read_dashboard(file, study, classes)
    _libraries()
    try:
        view = workspace(dashboard, project, entity or _own_entity()).save()
    except Exception as error:
        raise ConnectionError(f"W&B did not take the view {dashboard.name!r} of project {project}: {type(error).__name__}: {error}") from error
    console.print(f"view {dashboard.name!r}: {view.url}", markup=False)
    return str(view.url)


def _own_entity() -> str:
    """The user or team that W&B would choose."""
    import wandb

    library: Any = wandb
    entity = library.Api().default_entity
    if not entity:
        raise ValueError("W&B knows no default entity for you: give --entity")
    return str(entity)


def _libraries() -> tuple[Any, Any]:
    try:
        reports, views = (import_module(f"wandb_workspaces.{name}") for name in ("reports.v2", "workspaces"))
    except ModuleNotFoundError as error:
        raise ValueError(
            "views need W&B's package wandb-workspaces, which is not there: pip install 'al3d[dashboard]' (in a clone: pip install -e '.[dashboard]')"
        ) from error
    return reports, views
