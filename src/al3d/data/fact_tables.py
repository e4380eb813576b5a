"""Facts and findings about a data set as tables of at most 100 characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table

from al3d.data.facts import Facts, Split
from al3d.data.findings import Finding
from al3d.types import ClassTable

STATES = {"ok": "green", "look": "yellow", "broken": "red"}


def tables(splits: Sequence[Split], facts: Sequence[Facts], classes: ClassTable, features: Sequence[str]) -> list[tuple[str, Table]]:
    """The numbers behind the findings: (aspect, table)."""
    good = [one for one in facts if not one.error]
    made = [("scenes", _scene_table(splits, facts))]
    if good:
        made += [
            ("labels", _class_table(splits, good, classes)),
            ("geometry", _geometry_table(splits, good)),
            ("attributes", _attribute_table(splits, good, features)),
        ]
    if any(one.views for one in good):
        made.append(("images", _image_table(splits, good)))
    return [(aspect, table) for aspect, table in made if table.row_count]


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _scene_table(splits: Sequence[Split], facts: Sequence[Facts]) -> Table:
    table = _table("scenes", "split", "scenes", "published", "read", "failed", "points min", "median", "max", "labelled")
    for split in splits:
        ours = [one for one in facts if one.split == split.name]
        points = np.array([one.points for one in ours if not one.error])
        sizes = [f"{int(value):,}" for value in (points.min(), np.median(points), points.max())] if len(points) else ["-"] * 3
        labelled = f"{100 * sum(one.labelled for one in ours) / points.sum():.1f} %" if len(points) else "-"
        failed = sum(bool(one.error) for one in ours)
        table.add_row(split.name, str(len(split.ids)), "-" if split.published is None else str(split.published), str(len(ours)), str(failed), *sizes, labelled)
    return table


def _class_table(splits: Sequence[Split], good: Sequence[Facts], classes: ClassTable) -> Table:
    names = [split.name for split in splits if any(one.split == split.name for one in good)]
    table = _table("labels: % of the labelled points, (scenes with the class)", "class", *names)
    for index, name in enumerate(classes.names):
        row = []
        for split in names:
            counts = np.array([one.classes for one in good if one.split == split and one.classes is not None])
            present, total = int((counts[:, index] > 0).sum()), int(counts.sum())
            row.append(f"{100 * counts[:, index].sum() / total:.3g} ({present})" if present else "absent")
        table.add_row(f"{index} {name}", *row)
    return table


def _geometry_table(splits: Sequence[Split], good: Sequence[Facts]) -> Table:
    table = _table("geometry: medians, metres", "split", "extent x", "y", "z", "widest", "point spacing", "repeated points")
    for split in splits:
        ours = [one for one in good if one.split == split.name]
        if not ours:
            continue
        extents = np.array([one.extent for one in ours])
        spacings = [one.spacing for one in ours if np.isfinite(one.spacing)]
        repeated = 100 * sum(one.duplicates for one in ours) / sum(one.points for one in ours)
        middle = [f"{value:.3g}" for value in np.median(extents, axis=0)]
        table.add_row(split.name, *middle, f"{extents.max():.4g}", f"{np.median(spacings):.3g}" if spacings else "-", f"{repeated:.2g} %")
    return table


def _attribute_table(splits: Sequence[Split], good: Sequence[Facts], features: Sequence[str]) -> Table:
    table = _table("attributes", "attribute", "split", "least", "mean", "most")
    for column, name in enumerate(features):
        for split in splits:
            ours = [one for one in good if one.split == split.name]
            if not ours:
                continue
            low, mean, high = (np.array([getattr(one, key)[column] for one in ours]) for key in ("low", "mean", "high"))
            weighted = np.average(mean, weights=[one.points for one in ours])
            table.add_row(name, split.name, f"{low.min():.4g}", f"{weighted:.4g}", f"{high.max():.4g}")
    return table


def _image_table(splits: Sequence[Split], good: Sequence[Facts]) -> Table:
    table = _table("images", "split", "scenes with pictures", "pictures", "points in a picture", "likeness")
    for split in splits:
        ours = [one for one in good if one.split == split.name and one.views]
        if not ours:
            continue
        shares = [one.shown for one in ours if np.isfinite(one.shown)]
        alike = [view.likeness for one in ours for view in one.views if np.isfinite(view.likeness)]
        table.add_row(
            split.name,
            str(len(ours)),
            str(sum(not view.lost for one in ours for view in one.views)),
            f"{100 * np.mean(shares):.1f} %" if shares else "-",
            f"{np.median(alike):.2f}" if alike else "-",
        )
    return table


def finding_table(found: Sequence[Finding]) -> Table:
    """The findings, a line each."""
    table = Table(title="findings", title_justify="left", title_style="bold", pad_edge=False, box=None, show_header=False, expand=True)
    for _ in ("state", "aspect"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    order = list(STATES)
    for one in sorted(found, key=lambda one: -order.index(one.state)):
        way = f"\n[italic]-> {escape(one.way_out)}[/]" if one.way_out else ""
        table.add_row(f"[{STATES[one.state]}]{one.state}[/]", one.aspect, escape(one.what) + way)
    return table
