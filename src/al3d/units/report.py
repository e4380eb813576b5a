"""How a user chooses a unit: `al3d units dataset=rooms --unit supervoxel,voxel`."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from hydra.utils import instantiate
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from omegaconf import DictConfig
from rich import box
from rich.table import Table

from al3d.command import unwrapped
from al3d.configuration import composing
from al3d.data.grid import subsample
from al3d.files import whole_file
from al3d.geometry.camera import overview
from al3d.geometry.render import disc_radius, render
from al3d.identity import data_source
from al3d.progress import console, stage, track
from al3d.report.drawing import CEILING_FROM, ELEVATION, NEAR_SHARE, WIDE, class_colors, has_ceiling
from al3d.report.style import ACCENT, INK, MUTED, bare, settings
from al3d.threads import limit_threads
from al3d.types import I32, I64, IGNORE, U8, Array, ClassTable, Partitioner, Scene, Source
from al3d.units.published import layout_of, write_ids, write_regions
from al3d.units.quality import Measured, Summary, class_borders, measure, neighbours_of, summary

#: Points in no unit, and points of unknown class.
NOWHERE = (205, 209, 215)
#: Units that cover fewer pixels than this on average get no outline: there would be nothing else to see.
OUTLINED = 80
PANEL = (640, 480)
MOST_DRAWN = 1_000_000
TABLE_WIDTH = 98


@dataclass
class Case:
    """One unit under measurement."""

    label: str
    unit: Partitioner
    measured: list[Measured] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    chosen: Counter[str] = field(default_factory=Counter)

    def partition(self, scene: Scene) -> I32:
        """The scene's unit ids, timed."""
        started = time.perf_counter()
        ids = self.unit(scene).unit
        self.seconds.append(time.perf_counter() - started)
        if hasattr(self.unit, "chosen"):
            self.chosen[self.unit.chosen(scene).name] += 1
        return ids


@dataclass(frozen=True)
class Shown:
    """The scene in the picture: its labels u8[N] and the unit ids i32[N] of every case."""

    scene: Scene
    label: U8
    units: tuple[I32, ...]


def composed(words: Sequence[str], unit: str, config_dir: Path | None = None) -> tuple[DictConfig, list[tuple[str, DictConfig]]]:
    """The configuration of train's words, and for each of the units `voxel:size=0.5,...` its name and the configuration with it.

    Raises: ValueError with Hydra's words for options that do not exist.
    """
    names = [name for name in unit.split(",") if name]
    if not names:
        raise ValueError("--unit names nothing: name units of conf/unit, separated by commas")
    found = []
    with composing(config_dir) as configuration:
        for word in names:
            name, *options = word.split(":")
            try:
                config = configuration([*words, f"unit@acquire.unit={name}", *(f"acquire.unit.{option}" for option in options)])
            except ValueError as error:
                raise ValueError(f"--unit {word}: {error}") from error
            found.append((word, config))
    return found[0][1], found


def prepared(config: DictConfig, units: Sequence[tuple[str, DictConfig]]) -> tuple[Source, list[Case]]:
    """The data set and what is measured on it."""
    limit_threads(config.trainer.threads)
    with unwrapped(ValueError, OSError):
        return data_source(config), [built(config, unit) for unit in units]


def show(config: DictConfig, source: Source, cases: Sequence[Case], split: str, scenes: int | None, scene: str | None, out: Path | None) -> None:
    """Measure, print, write and draw."""
    ids = chosen_scenes(source, split, scenes, scene)
    shown = measured(source, config.dataset.grid, config.dataset.scale.voxel, cases, ids, scene or ids[0])
    out = out or Path(config.paths.outputs).expanduser() / "units" / source.name
    measured_on = f"{source.name}, {_counted(len(ids), 'scene')} of {split}"
    for table in tables(cases, f"{measured_on}, boundaries within {config.dataset.scale.voxel:g} m"):
        console.print(table)
    for line in picks(cases):
        console.print(line, markup=False)
    write(out, cases, {"dataset": source.name, "split": split, "tolerance": config.dataset.scale.voxel})
    picture(shown, source.classes, [case.label for case in cases], out / "scene.png")
    distribution(cases, measured_on, out / "sizes.png")
    console.print(f"written: {out / 'table.csv'}, table.md, sizes.png, scene.png", markup=False)


def built(config: DictConfig, unit: tuple[str, DictConfig]) -> Case:
    """A unit with the lengths that the data set said, under the name that a table shows."""
    word, own = unit
    own.dataset = config.dataset
    partitioner = cast(Partitioner, instantiate(own.acquire.unit))
    return Case(partitioner.name if partitioner.name.startswith(word.split(":")[0]) else f"{word.split(':')[0]} ({partitioner.name})", partitioner)


def chosen_scenes(source: Source, split: str, count: int | None, wanted: str | None) -> tuple[str, ...]:
    """Evenly spaced scenes of a split (None: all), and the wanted one among them. Raises: ValueError for a split without scenes or another scene."""
    ids = source.scenes(split)
    if not ids:
        raise ValueError(f"{source.name} has no scenes in --split {split}: choose another of {', '.join(source.splits)}")
    if wanted and wanted not in ids:
        raise ValueError(f"--scene {wanted} is not in --split {split} of {source.name}: it has {len(ids)} scenes such as {ids[0]}")
    if count is None:
        return tuple(ids)
    places = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int))
    return tuple(sorted({ids[place] for place in places} | ({wanted} if wanted else set())))


def read(source: Source, scene_id: str, grid: float | None) -> tuple[Scene, U8]:
    """A scene as it is prepared, with its labels: those are for measuring only, no unit sees them."""
    scene, label = source.read(scene_id)
    if grid is None:
        return scene, label
    points = subsample(scene.xyz, scene.feat, label, grid, len(source.classes))
    return replace(scene, xyz=points.xyz, feat=points.feat), points.label


def measured(source: Source, grid: float | None, cell: float, cases: Sequence[Case], ids: Sequence[str], drawn: str) -> Shown:
    """Measure every case on every scene, one scene in memory at a time; returns the scene to draw."""
    kept: Shown | None = None
    for scene_id in track(ids, "measuring", len(ids)):
        scene, label = read(source, scene_id, grid)
        around = neighbours_of(scene.xyz)
        edge = class_borders(label, around)
        units = tuple(case.partition(scene) for case in cases)
        for case, unit in zip(cases, units, strict=True):
            case.measured.append(measure(scene.xyz, unit, label, len(source.classes), cell, around, edge))
        if scene_id == drawn:
            kept = Shown(scene, label, units)
    if kept is None:
        raise ValueError(f"scene={drawn!r} was not measured")
    return kept


def tables(cases: Sequence[Case], title: str) -> tuple[Table, Table]:
    """Sizes, and what the labels say; each at most 100 columns wide."""
    sizes = _table(f"{title}: units in a scene, points in a unit", ("units", "least", "5 %", "median", "95 %", "most", "m2", "none %", "s"))
    labels = _table("against the labels", ("purity %", "pure units %", "boundary recall %", "best mIoU %"))
    for case in cases:
        figures = summary(case.measured)
        counts = (_short(value) for value in (figures.units, *figures.sizes))
        sizes.add_row(case.label, *counts, f"{figures.area:.3g}", _percent(figures.outside), f"{np.median(case.seconds):.2f}")
        labels.add_row(case.label, *(_percent(value) for value in (figures.purity, figures.pure, figures.recall, figures.miou)))
    return sizes, labels


def picks(cases: Sequence[Case]) -> list[str]:
    """What units that choose for themselves chose, a line each."""
    return [
        f"{case.label} picked: " + ", ".join(f"{name} in {_counted(count, 'scene')}" for name, count in case.chosen.most_common())
        for case in cases
        if case.chosen
    ]


def write(out: Path, cases: Sequence[Case], about: Mapping[str, Any]) -> None:
    """`table.csv` with every figure, and `table.md` with the printed ones."""
    rows = [dict(about) | {"unit": case.label} | summary(case.measured).row() | {"seconds": float(np.median(case.seconds))} for case in cases]
    with whole_file(out / "table.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with whole_file(out / "table.md") as temporary:
        temporary.write_text("\n".join(markdown([(case.label, summary(case.measured)) for case in cases])) + "\n", encoding="utf-8")


def markdown(rows: Sequence[tuple[str, Summary]]) -> list[str]:
    """The lines of a Markdown table of the figures."""
    heads = (
        "unit",
        "units a scene",
        "points (least / 5 % / median / 95 % / most)",
        "m2",
        "in none %",
        "purity %",
        "pure %",
        "boundary recall %",
        "best mIoU %",
    )
    lines = [f"| {' | '.join(heads)} |", f"|---{'|---:' * (len(heads) - 1)}|"]
    for label, figures in rows:
        sizes = " / ".join(f"{value:,.0f}" for value in figures.sizes)
        shares = (figures.outside, figures.purity, figures.pure, figures.recall, figures.miou)
        cells = (label, f"{figures.units:,.0f}", sizes, f"{figures.area:.3g}", *(_percent(value) for value in shares))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def picture(shown: Shown, classes: ClassTable, names: Sequence[str], path: Path) -> None:
    """The scene in the colours of its classes, beside it in colours by unit with thin outlines."""
    points = drawn_points(shown.scene)
    xyz = np.ascontiguousarray(shown.scene.xyz[points])
    cut = CEILING_FROM - 0.02 if has_ceiling(xyz) else None
    camera, below = overview(xyz, *PANEL, azimuth=_azimuth(shown.scene, xyz), elevation=ELEVATION, cut_above=cut)
    points, xyz = points[below], np.ascontiguousarray(xyz[below])
    radius = disc_radius(xyz)
    largest = 3.5 if shown.scene.sequence else 12.0  # far points of a LiDAR scan are no surfaces
    label = shown.label[points]
    colours = np.where((label == IGNORE)[:, None], np.array(NOWHERE, np.uint8), class_colors(label, classes))
    image, index = render(xyz, colours, camera, radius, shading=0.45, largest=largest, supersample=2)
    frame = _frame(index)
    panels = [("classes", image[frame])]
    for name, unit in zip(names, shown.units, strict=True):
        image, index = render(xyz, unit_colors(unit[points]), camera, radius, shading=0.45, largest=largest, supersample=2)
        panels.append((f"{name}: {_counted(int(unit.max(initial=-1)) + 1, 'unit')}", _outlined(image, index, unit[points])[frame]))
    present = [int(number) for number in np.unique(label) if number != IGNORE]
    handles = [Patch(color=_paint(classes.colors[number]), label=classes.names[number]) for number in present]
    if (label == IGNORE).any():
        handles.append(Patch(color=_paint(NOWHERE), label="unknown"))
    _panels(panels, shown.scene.id, handles, path)


def drawn_points(scene: Scene) -> I64:
    """The points to draw: thinned in very large scenes, without the sparse far end in wide ones."""
    away = np.linalg.norm(scene.xyz[:, :2] - np.median(scene.xyz[:, :2], axis=0), axis=1)
    wide = 2 * float(np.quantile(away, 0.99)) >= WIDE
    near = away <= np.quantile(away, NEAR_SHARE) if wide else np.ones(len(scene), np.bool_)
    return np.flatnonzero(near)[:: -(-len(scene) // MOST_DRAWN)]


def unit_colors(unit: I32) -> U8:
    """A colour u8[N,3] for every unit id i32[N]: hues by the golden ratio, so that ids that follow each other differ; grey for -1."""
    hue = 0.6180339887 * np.arange(int(unit.max(initial=-1)) + 1) % 1
    saturation, value = np.array([0.55, 0.8, 0.4])[np.arange(len(hue)) % 3], np.array([0.95, 0.8, 0.7])[np.arange(len(hue)) % 3]
    table = matplotlib.colors.hsv_to_rgb(np.stack([hue, saturation, value], axis=1)) if len(hue) else np.zeros((0, 3))
    colours = np.concatenate([np.rint(255 * table).astype(np.uint8).reshape(-1, 3), np.array([NOWHERE], np.uint8)])
    return colours[unit]


def distribution(cases: Sequence[Case], title: str, path: Path) -> None:
    """How large the units are: a histogram per case over one logarithmic axis, with the median."""
    sizes = [np.concatenate([scene.size for scene in case.measured]) for case in cases]
    most = max((int(size.max(initial=1)) for size in sizes), default=1)
    bins = np.geomspace(0.8, 1.25 * most, 60)
    with matplotlib.rc_context(settings("units")):
        figure = Figure(figsize=(8, 1.0 + 0.95 * len(cases)), layout="constrained")
        rows = figure.subplots(len(cases), 1, sharex=True, squeeze=False)[:, 0]
        for axes, case, size in zip(rows, cases, sizes, strict=True):
            axes.hist(size, bins=bins, weights=np.full(len(size), 100 / max(len(size), 1)), color=ACCENT, alpha=0.75)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.minorticks_off()
            bare(axes, "x")
            axes.set_yticks([])
            middle = float(np.median(size)) if len(size) else 1.0
            axes.axvline(middle, color=INK, linewidth=1.2)
            axes.set_title(f"{case.label}: {_counted(len(size), 'unit')}, median {_counted(middle, 'point')}", fontsize=10)
        rows[-1].set_xlabel("points in a unit")
        figure.suptitle(title, x=0.01, ha="left", color=MUTED, fontsize=9.5)
        _save(figure, path, 130)


def export(source: Source, grid: float | None, unit: Partitioner, split: str, root: Path) -> None:
    """Write the ids of every scene of a split as ReDAL's files, and `regions.json`, the list of all regions."""
    ids = source.scenes(split)
    layout = layout_of(ids)
    regions = {}
    with stage(f"exporting {unit.name}", len(ids)) as line:
        for scene_id in ids:
            found = unit(read(source, scene_id, grid)[0]).unit
            write_ids(root, layout, scene_id, found)
            regions[scene_id] = list(range(1, int(found.max(initial=-1)) + 2))
            line.advance()
    write_regions(root / "regions.json", regions)
    console.print(f"written: {root} ({layout}: {len(ids)} scenes, {sum(map(len, regions.values())):,} regions), regions.json", markup=False)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, width=TABLE_WIDTH)
    table.add_column("unit", no_wrap=True, ratio=1)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _short(count: float) -> str:
    """A count in at most six characters: 39.6k."""
    if np.isnan(count) or count < 10_000:
        return "-" if np.isnan(count) else f"{count:,.0f}"
    return f"{count / 1e3:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"


def _counted(count: float, what: str) -> str:
    return f"{count:,.0f} {what}{'s' * (count != 1)}"


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def _azimuth(scene: Scene, xyz: Array) -> float | None:
    """Degrees towards the scene's only camera, from where its surfaces are complete; None without one."""
    if len(scene.images) != 1 or scene.images[0].camera is None:
        return None
    east, north = scene.images[0].camera.pose[:2, 3] - np.median(xyz[:, :2], axis=0)
    return float(np.degrees(np.arctan2(north, east)))


def _frame(index: I32, margin: int = 10) -> tuple[slice, slice]:
    """The rows and columns of a picture that show something, with a margin."""
    rows, columns = (np.flatnonzero((index >= 0).any(axis=axis)) for axis in (1, 0))
    return slice(max(0, rows[0] - margin), rows[-1] + margin), slice(max(0, columns[0] - margin), columns[-1] + margin)


def _outlined(image: U8, index: I32, unit: I32) -> U8:
    """The picture with dark pixels where two units meet, unless units are too small for that."""
    ids = np.where(index >= 0, unit[index], -2)
    if np.count_nonzero(ids >= 0) < OUTLINED * max(1, len(np.unique(ids[ids >= 0]))):
        return image
    line = np.zeros(ids.shape, np.bool_)
    line[:, 1:] |= (ids[:, 1:] != ids[:, :-1]) & (ids[:, 1:] > -2) & (ids[:, :-1] > -2)
    line[1:] |= (ids[1:] != ids[:-1]) & (ids[1:] > -2) & (ids[:-1] > -2)
    return np.where(line[:, :, None], (0.45 * image).astype(np.uint8), image)


def _paint(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


def _panels(panels: Sequence[tuple[str, U8]], scene_id: str, handles: Sequence[Patch], path: Path) -> None:
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    height, width = panels[0][1].shape[:2]
    with matplotlib.rc_context(settings("units")):
        figure = Figure(figsize=(4.6 * columns, (4.6 * height / width + 0.35) * rows + 0.8), layout="constrained")
        for axes in (grid := figure.subplots(rows, columns, squeeze=False)).ravel():
            axes.axis("off")
        for axes, (name, image) in zip(grid.ravel(), panels, strict=False):
            axes.imshow(image, interpolation="lanczos")
            axes.set_title(name, fontsize=10)
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4 * columns), frameon=False, fontsize=8.5)
        figure.suptitle(scene_id, x=0.01, ha="left", color=MUTED, fontsize=9.5)
        _save(figure, path, 140)


def _save(figure: Figure, path: Path, dots: int) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=dots, format="png", metadata={"Software": None})
