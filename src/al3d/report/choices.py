"""What each method would buy next: `al3d choices RUN --methods redal,entropy` compares them on one trained network."""

from __future__ import annotations

import copy
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import matplotlib
import numpy as np
from hydra.utils import instantiate
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich import box
from rich.table import Table
from scipy import ndimage
from scipy.spatial import cKDTree

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget, Spent
from al3d.acquire.callback import ActiveLearning
from al3d.acquire.pool import Pool
from al3d.acquire.reduce import join, load_units
from al3d.command import choices, unwrapped
from al3d.compose import study_of
from al3d.configuration import composing
from al3d.data.labels import LabelState
from al3d.files import read_json, whole_file
from al3d.geometry.camera import overview
from al3d.geometry.render import disc_radius, greyed, render
from al3d.learn.checkpoint import ShowProgress, load_weights
from al3d.progress import console, stage
from al3d.report.drawing import (
    CEILING_FROM,
    DOT_PIXELS,
    ELEVATION,
    FEW_POINTS,
    MOST_POINTS,
    NEAR_SHARE,
    OUTLINE,
    UNKNOWN_COLOR,
    WIDE,
    class_colors,
    has_ceiling,
    natural_colors,
)
from al3d.report.style import MUTED, settings
from al3d.rounds import Study, fresh_module
from al3d.run import RunFolder
from al3d.trust import checked_config
from al3d.types import F32, I32, I64, IGNORE, U8, Bool, Camera, ClassTable, Partitioner, Scene, Units

#: What may be other than in the run: where its data are, and how the command is executed.
EXECUTION = ("paths.data", "dataset.source.root", "trainer.", "prepare.")
#: A method that spends less than this share of its budget is remarked upon.
SPENT = 0.9
#: How many of the classes of a purchase a table names.
FIRST_CLASSES = 5
PANEL, COLUMNS, MARGIN = (440, 330), 5, 8
TABLE_WIDTH = 98


@dataclass(frozen=True)
class Case:
    """One method under comparison: its study, its name with its options, and random units of the same kind under the same budget."""

    label: str
    study: Study
    random: Acquirer

    @property
    def method(self) -> Acquirer:
        """The method."""
        return self.study.method


@dataclass(frozen=True)
class Chosen:
    """The points that a method bought: scene -> bool[N] and, of the units that they belong to, i32[N] (-1 where not bought)."""

    units: int
    unit: Mapping[str, I32]

    def points(self, scene_id: str, count: int) -> Bool:
        """The bought points of a scene of `count` points, bool[N]."""
        return self.unit[scene_id] >= 0 if scene_id in self.unit else np.zeros(count, np.bool_)

    def common(self, other: Chosen) -> int:
        """How many points the other bought too."""
        return sum(int(np.count_nonzero((unit >= 0) & other.points(name, len(unit)))) for name, unit in self.unit.items())

    @property
    def total(self) -> int:
        """All bought points."""
        return sum(int(np.count_nonzero(unit >= 0)) for unit in self.unit.values())


@dataclass
class Figures:
    """What the points that a method bought are.

    `class_points` i64[C] and `unknown` points without a class; `majority` points that have the most frequent class of what was bought of their
    unit; `clicks` classes summed over the bought units; `beside` points in scenes with labels and `away` the sum of their distances in
    metres to the nearest labelled point; `apart` points in scenes without any label; `shared` points that random units of the same kind
    would have bought too.
    """

    class_points: I64
    units: int = 0
    points: int = 0
    scenes: int = 0
    unknown: int = 0
    majority: int = 0
    clicks: int = 0
    beside: int = 0
    away: float = 0.0
    apart: int = 0
    shared: int = 0

    @property
    def purity(self) -> float:
        """The share 0..1 of points that have the most frequent class of their unit."""
        return _share(self.majority, self.class_points.sum())

    @property
    def distance(self) -> float:
        """Mean metres to the nearest labelled point of the same scene, over the points that have one."""
        return _share(self.away, self.beside)

    @property
    def overlap(self) -> float:
        """The share 0..1 of points that random units of the same kind would have bought too."""
        return _share(self.shared, self.points)

    @property
    def elsewhere(self) -> float:
        """The share 0..1 of points in scenes without any label."""
        return _share(self.apart, self.points)


@dataclass
class Comparison:
    """Everything that was found: figures by label, what was bought, the unit of each, the reasons of those that cannot work here."""

    study: Study
    labels: LabelState
    percent: float
    title: str
    pool: I64
    figures: dict[str, Figures] = field(default_factory=dict)
    chosen: dict[str, Chosen] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def remarks(self) -> list[str]:
        """Who spent much less than it might, and who cannot choose, with the reason."""
        budget = self.percent * self.study.base / 100
        spent = {label: figures.points / budget for label, figures in self.figures.items()}
        lines = [
            f"{label} spent {100 * share:.0f} % of its budget: nothing else fits what is left of it, or its picker refuses the rest"
            for label, share in spent.items()
            if share < SPENT
        ]
        return [*lines, *(f"{label} cannot choose here: {reason}" for label, reason in self.refused.items())]

    @property
    def classes(self) -> ClassTable:
        """The classes of the data set."""
        return self.study.store.classes


def show(folder: Path, words: Sequence[str], *, methods: str, percent: float, scene: str, out: Path | None, config_dir: Path | None = None) -> None:
    """Choose, tabulate and draw. `words` say how this is executed."""
    run, last = RunFolder(folder), last_round(folder)
    config = run_config(folder, execution(words))
    names = words_of(methods, config_dir)
    variants = composed(config, names, percent, config_dir)
    random = composed(config, ["random"], percent)[0]
    with TemporaryDirectory(prefix="al3d-choices-") as scratch:
        found = compared(run, last, percent, dict(zip(names, variants, strict=True)), random, Path(scratch))
    for table in tables(found):
        console.print(table)
    for line in found.remarks:
        console.print(line, markup=False)
    out = out or folder / "choices"
    write(found, out)
    scene_id = shown_scene(found, scene)
    picture(found, scene_id, out / "choices.png")
    console.print(f"written: {out / 'choices.png'} ({scene_id}), choices.csv, choices.md, agreement.csv", markup=False)


def execution(words: Sequence[str]) -> list[str]:
    """The words, which may only say how this is executed. Raises: ValueError for another one."""
    for word in words:
        if "=" not in word or not word.startswith(EXECUTION):
            raise ValueError(f"{word!r}: the run decides everything but {', '.join(EXECUTION)}; one run folder is given")
    return list(words)


def words_of(methods: str, config_dir: Path | None = None) -> list[str]:
    """The methods, one per word: cut at the commas that are in no brackets; all of conf/acquire when nothing is named."""
    words = [word for word in re.split(r",(?![^\[]*\])", methods) if word]
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise ValueError(f"--methods names {', '.join(twice)} twice")
    return words or [path.stem for path in choices("acquire", config_dir) if "???" not in path.read_text(encoding="utf-8")]


def last_round(folder: Path) -> int:
    """The last round whose network is trained. Raises: FileNotFoundError when there is none."""
    rounds = [int(path.parent.name[len("round-") :]) for path in folder.glob("round-*/last.ckpt")]
    if not rounds:
        raise FileNotFoundError(f"{folder} has no trained round (round-00/last.ckpt): give the folder that `al3d train` printed as `run folder`")
    return max(rounds)


def run_config(folder: Path, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a run, with other places and another execution. Raises: FileNotFoundError without `config.yaml`."""
    file = folder / "config.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: give the folder that `al3d train` printed as `run folder`")
    return cast(DictConfig, OmegaConf.merge(checked_config(folder), OmegaConf.from_dotlist(list(overrides))))


def composed(config: DictConfig, words: Sequence[str], percent: float, config_dir: Path | None = None) -> list[DictConfig]:
    """The run's configuration with each of the methods in its place, and nothing else changed.

    Raises: ValueError with Hydra's words for methods or options that do not exist.
    """
    found = []
    with composing(config_dir) as configuration:
        for word in words:
            name, *options = word.split(":")
            keys = [f"unit@acquire.{option}" if option.startswith("unit=") else f"acquire.{option}" for option in options]
            try:
                own = configuration([f"acquire={name}", *keys])
            except ValueError as error:
                raise ValueError(f"--methods {word}: {error}") from error
            variant = copy.deepcopy(config)
            variant.acquire = own.acquire
            variant.logger, variant.pseudo = {}, None
            OmegaConf.update(variant, "rounds", {"n": 1, "step": percent, "stop_after": None})
            found.append(variant)
    return found


def compared(run: RunFolder, last: int, percent: float, variants: Mapping[str, DictConfig], random: DictConfig, scratch: Path) -> Comparison:
    """Let every method choose from what the network of round `last` predicts; `scratch` is an empty folder for what is kept on the way.

    Raises: ValueError when the data are not those of the run, or when no method can choose (with every reason).
    """
    cases, refused = built(variants, random, percent, scratch)
    if not cases:
        raise ValueError("; ".join(["no method can choose here", *(f"{label}: {reason}" for label, reason in refused.items())]))
    first = cases[0].study
    bought_from = read_json(run.path / "identity.json")["identity"]["data"]
    if first.store.data_hash != bought_from:
        raise ValueError(f"{run.path} was run on other data ({bought_from}) than {first.store.path} ({first.store.data_hash}): give paths.data= of the run")
    labels = LabelState(run.path, first.store)
    pools = {case.label: Pool(case.study.store, labels, case.method, case.study.rng, last) for case in cases}
    harvests = {label: ActiveLearning(pool, partial(_rows_file, scratch / "rows" / str(number))) for number, (label, pool) in enumerate(pools.items())}
    predict(cases, harvests, labels, run.weights(last), last, scratch)
    found = Comparison(first, labels, percent, _title(run, last, first, percent), _left(first, labels, last), refused=refused)
    twins: dict[tuple[Partitioner, Budget], Chosen] = {}
    for case in cases:
        pool = pools[case.label]
        try:
            chosen = choose(pool, rows_of(pool, harvests[case.label]), case.study.base)
        except ValueError as error:
            refused[case.label] = _line(error)
            continue
        key = (case.method.unit, case.random.budget)
        if key not in twins:
            twin = replace(pool, method=case.random)
            twins[key] = choose(twin, twin.harvest_unpredicted(quiet=True), case.study.base)
        found.chosen[case.label], found.unit[case.label] = chosen, case.method.unit.name
        found.figures[case.label] = measure(case.study, labels, last, chosen, twins[key])
    if not found.chosen:
        raise ValueError("; ".join(["no method can choose here", *(f"{label}: {reason}" for label, reason in refused.items())]))
    return found


def built(variants: Mapping[str, DictConfig], random: DictConfig, percent: float, scratch: Path) -> tuple[list[Case], dict[str, str]]:
    """The methods that can work here, their data prepared, and the reasons of the others."""
    cases, refused = [], {}
    for number, (label, config) in enumerate(variants.items()):
        config.paths.run = str(scratch / "studies" / str(number))
        try:
            with unwrapped(ValueError, OSError, ImportError):
                study = study_of(config)
        except (ValueError, OSError, ImportError) as error:
            refused[label] = _line(error)
            continue
        if not study.oracle.simulated:
            raise ValueError("what a method buys can be described only where all answers are known beforehand: set oracle=simulated")
        budget = replace(study.method.budget, amount=percent, per="percent", initial=None)
        study = replace(study, method=replace(study.method, budget=budget))
        own = copy.deepcopy(config)
        own.acquire = random.acquire
        twin = cast(Acquirer, instantiate(own.acquire, _convert_="all"))
        cases.append(Case(label, study, replace(twin, unit=study.method.unit, budget=budget)))
    return cases, refused


def predict(cases: Sequence[Case], harvests: Mapping[str, ActiveLearning], labels: LabelState, weights: Path, last: int, scratch: Path) -> None:
    """Predict the pool once for all methods that want the same dropout passes, views and layer, and keep the rows of each."""
    groups: dict[tuple[int, int, str], list[Case]] = {}
    for case in cases:
        if case.method.predicts:
            groups.setdefault((case.method.passes, case.method.views, case.method.feature), []).append(case)
    for (passes, views, feature), members in groups.items():
        study, taking = members[0].study, [harvests[case.label] for case in members]
        module = fresh_module(study, last)
        load_weights(module, weights)
        module.passes, module.feature = passes, feature
        blocks = taking[0].pool.blocks()
        data = study.data(labels=labels, round_index=last, batches=1, blocks=blocks, views=views)
        how = "".join(f", {count} {what}" for count, what in ((passes, "dropout passes"), (views, "views")) if count > 1)
        with stage(f"predict the pool{how}", sum(map(len, blocks))) as line:
            trainer = study.trainer(callbacks=[*taking, ShowProgress(line)], logger=False, default_root_dir=scratch)
            trainer.predict(module, datamodule=data, return_predictions=False)


def rows_of(pool: Pool, harvest: ActiveLearning) -> Units:
    """The rows of a pool: those that were kept while it was predicted, or those that need no network."""
    if not pool.method.predicts:
        return pool.harvest_unpredicted(quiet=True)
    return join([load_units(harvest.units_file(block)) for block in range(len(pool.blocks()))])


def choose(pool: Pool, units: Units, base: int) -> Chosen:
    """What the pool's method buys as the next purchase, with its whole budget whatever earlier rounds left. Raises: as `Acquirer.select`."""
    earlier = [pool.labels.purchase(index) for index in range(pool.round_index + 1)]
    spent = Spent(sum(record["points"] for record in earlier), sum(record["units"] for record in earlier))
    rows, _ = pool.method.select(units, 1, [spent], base, pool.key)
    ids: dict[str, list[int]] = {}
    for scene, unit in zip(units.scene[rows].tolist(), units.unit[rows].tolist(), strict=True):
        ids.setdefault(pool.scenes[scene], []).append(unit)
    return Chosen(len(rows), {name: _bought(pool, name, own) for name, own in sorted(ids.items())})


def measure(study: Study, labels: LabelState, last: int, chosen: Chosen, twin: Chosen) -> Figures:
    """What the bought points are, against the answers, the labels up to round `last`, and what `twin` bought."""
    store, classes = study.store, len(study.store.classes)
    figures = Figures(np.zeros(classes, np.int64), units=chosen.units, scenes=len(chosen.unit), shared=chosen.common(twin))
    for name, unit in chosen.unit.items():
        bought = unit >= 0
        label = study.oracle.answer(name, bought)[bought]
        known = label != IGNORE
        figures.points += int(bought.sum())
        figures.unknown += int((~known).sum())
        figures.class_points += np.bincount(label[known], minlength=classes)
        majority, pairs = votes(unit[bought][known], label[known])
        figures.majority += majority
        figures.clicks += pairs
        asked = labels.asked(name, last)
        if asked.any():
            xyz = np.asarray(store.scene(name).xyz)
            figures.beside += int(bought.sum())
            figures.away += float(np.sum(cKDTree(xyz[asked]).query(xyz[bought])[0]))
        else:
            figures.apart += int(bought.sum())
    return figures


def votes(unit: I32, label: U8) -> tuple[int, int]:
    """How many points of units i32[N] have the most frequent label u8[N] of their unit, and how many pairs of unit and label there are."""
    pairs, count = np.unique(unit.astype(np.int64) * (IGNORE + 1) + label, return_counts=True)
    most = np.zeros(int(unit.max(initial=-1)) + 1, np.int64)
    np.maximum.at(most, pairs // (IGNORE + 1), count)
    return int(most.sum()), len(pairs)


def tables(found: Comparison) -> tuple[Table, Table]:
    """How much was bought and where, and which classes; each at most 98 columns wide."""
    chance = f"random %: points that random units of the same kind would have bought too, by chance about {found.percent:g} %"
    amounts = _table(found.title, f"m: to the nearest label of the scene; new %: in scenes without a label\n{chance}")
    kinds = _table("classes of the bought points, %", None)
    for name in ("units", "points", "scenes", "clicks", "purity %", "m", "new %", "random %"):
        amounts.add_column(name, justify="right", no_wrap=True)
    kinds.add_column("unit", no_wrap=True, overflow="ellipsis")
    kinds.add_column("", ratio=2)
    kinds.add_row("(everything left)", "", _first(found.pool, found.classes))
    for label, figures in found.figures.items():
        amounts.add_row(label, *_cells(figures))
        kinds.add_row(label, found.unit[label], _first(figures.class_points, found.classes))
    return amounts, kinds


def write(found: Comparison, out: Path) -> None:
    """`choices.csv` with every figure and the share of every class, `agreement.csv`, and `choices.md` with the printed figures."""
    rows = []
    for label, figures in found.figures.items():
        counts = {name: getattr(figures, name) for name in ("units", "points", "scenes", "clicks", "unknown")}
        parts = {"purity": figures.purity, "distance": figures.distance, "in_new_scenes": figures.elsewhere, "random": figures.overlap}
        rows.append({"method": label, "unit": found.unit[label], **counts, **parts, **_shares(figures.class_points, found.classes)})
    rows.append({"method": "(everything left)", "points": int(found.pool.sum()), **_shares(found.pool, found.classes)})
    rows += [{"method": label, "unit": reason} for label, reason in found.refused.items()]
    with whole_file(out / "choices.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)
    with whole_file(out / "agreement.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["method", *found.chosen])
        lines.writerows([label, *(round(share, 4) for share in row)] for label, row in zip(found.chosen, agreement(list(found.chosen.values())), strict=True))
    with whole_file(out / "choices.md") as temporary:
        temporary.write_text("\n".join(markdown(found)) + "\n", encoding="utf-8")


def agreement(chosen: Sequence[Chosen]) -> list[list[float]]:
    """The share 0..1 of the points of each (row) that each (column) bought too."""
    return [[_share(own.common(other), own.total) for other in chosen] for own in chosen]


def markdown(found: Comparison) -> list[str]:
    """The lines of both tables and of the reasons, as Markdown."""
    heads = ("units", "points", "scenes", "clicks", "purity %", "m to a label", "in new scenes %", "as random %")
    lines = [found.title, "", f"| method | unit | {' | '.join(heads)} | classes, % |", f"|---|---|{'---:|' * len(heads)}---|"]
    for label, figures in found.figures.items():
        lines.append(f"| `{label}` | {found.unit[label]} | {' | '.join(_cells(figures))} | {_first(figures.class_points, found.classes)} |")
    lines.append(f"| (everything left) | |{' |' * len(heads)} {_first(found.pool, found.classes)} |")
    return [*lines, "", *(f"- {line}" for line in found.remarks)]


def shown_scene(found: Comparison, wanted: str) -> str:
    """The scene to draw: the wanted one, else the one in which most methods bought something, and of those the one with most bought points.

    Raises: ValueError for a scene outside the pool.
    """
    train = found.study.store.splits["train"]
    if wanted:
        if wanted not in train:
            raise ValueError(f"scene={wanted!r} is not in the pool: it has {len(train)} scenes such as {train[0]!r}")
        return wanted
    bought = {name: [chosen.unit[name] for chosen in found.chosen.values() if name in chosen.unit] for name in train}
    return max(train, key=lambda name: (len(bought[name]), sum(int((unit >= 0).sum()) for unit in bought[name])))


def picture(found: Comparison, scene_id: str, path: Path) -> None:
    """One scene from one place: its true classes, what was labelled before, and what each method bought in it, the rest in grey."""
    scene, count = found.study.store.scene(scene_id), found.study.store.sizes[scene_id]
    everything = np.ones(count, np.bool_)
    truth = found.study.oracle.answer(scene_id, everything)
    here = {label: chosen for label, chosen in found.chosen.items() if scene_id in chosen.unit}
    wanted = [("true classes", everything), ("labelled before", found.labels.asked(scene_id))]
    wanted += [(f"{label} ({found.unit[label]})", chosen.points(scene_id, count)) for label, chosen in here.items()]
    backdrop = Backdrop.of(scene)
    colors = class_colors(truth, found.classes)
    panels = [(f"{name}\n{np.count_nonzero(shown):,} points", backdrop.painted(shown, colors)) for name, shown in wanted if shown.any()]
    present = [number for number in np.unique(truth).tolist() if number != IGNORE]
    handles = [Patch(color=tuple(value / 255 for value in found.classes.colors[number]), label=found.classes.names[number]) for number in present]
    absent = [label for label in found.chosen if label not in here]
    title = f"{scene_id}: {found.title}" + (f"\nbought nothing in this scene: {', '.join(absent)}" if absent else "")
    _grid(panels, title, handles, found.classes, path)


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A scene ready to be drawn several times from one place, in grey where nothing was bought.

    `points` of the scene are drawn (very far ones are not), of which `below` are under the ceiling; `frame` cuts the empty margin off.
    """

    points: I64
    xyz: F32
    grey: U8
    radius: F32
    below: Bool
    camera: Camera
    frame: tuple[slice, slice]

    @classmethod
    def of(cls, scene: Scene) -> Backdrop:
        """The backdrop of a scene."""
        away = np.linalg.norm(scene.xyz[:, :2] - np.median(scene.xyz[:, :2], axis=0), axis=1)
        wide = 2 * float(np.quantile(away, 0.99)) >= WIDE
        points = np.flatnonzero(away <= np.quantile(away, NEAR_SHARE if wide else 1.0))[:: -(-len(scene) // MOST_POINTS)]
        xyz = np.ascontiguousarray(scene.xyz[points])
        cut = CEILING_FROM - 0.02 if has_ceiling(xyz) else None
        camera, below = overview(xyz, *PANEL, azimuth=_azimuth(scene, xyz), elevation=ELEVATION, cut_above=cut)
        grey, radius = greyed(natural_colors(scene.feat[points], xyz), keep=0.05, lighten=0.5), disc_radius(xyz)
        index = render(xyz[below], grey[below], camera, radius[below])[1]
        rows, columns = (np.flatnonzero((index >= 0).any(axis=axis)) for axis in (1, 0))
        frame = slice(max(0, rows[0] - MARGIN), rows[-1] + MARGIN), slice(max(0, columns[0] - MARGIN), columns[-1] + MARGIN)
        return cls(points, xyz, grey, radius, below, camera, frame)

    def painted(self, shown: Bool, colors: U8) -> U8:
        """The picture with the points `shown` bool[N] in `colors` u8[N,3]: few as dots over what hides them, more as surfaces.

        Of a ceiling only what is shown is drawn, and nothing when that is more than half of it: it would hide the room.
        """
        mine = shown[self.points]
        color = np.where(mine[:, None], colors[self.points], self.grey)
        if np.count_nonzero(mine) < FEW_POINTS:
            return self._dotted(mine, color)[self.frame]
        high = mine & ~self.below
        drawn = self.below | high if 2 * np.count_nonzero(high) <= np.count_nonzero(~self.below) else self.below
        image, index = render(self.xyz[drawn], color[drawn], self.camera, self.radius[drawn], shading=0.45, supersample=2)
        region = (index >= 0) & mine[drawn][index]
        solid = ndimage.binary_closing(ndimage.binary_opening(region, iterations=1), iterations=2)
        edge = ndimage.binary_dilation(solid) & ~solid
        return np.where(edge[:, :, None], np.array(OUTLINE, np.uint8), image)[self.frame]

    def _dotted(self, mine: Bool, color: U8) -> U8:
        """The grey scene with a dot of the same size on each point, dark at its edge."""
        image = render(self.xyz[self.below], self.grey[self.below], self.camera, self.radius[self.below], shading=0.45, supersample=2)[0]
        if not mine.any():
            return image
        xyz = self.xyz[mine]
        depth = (xyz - self.camera.pose[:3, 3]) @ self.camera.pose[:3, 2]
        pixel = (np.maximum(depth, 1e-3) / self.camera.fx).astype(np.float32)
        edge = np.broadcast_to(np.array(OUTLINE, np.uint8), (len(xyz), 3))
        for paint, size in ((edge, 1.4 * DOT_PIXELS), (color[mine], DOT_PIXELS)):
            dots, index = render(xyz, np.ascontiguousarray(paint), self.camera, size * pixel, shading=0.0)
            image = np.where((index >= 0)[:, :, None], dots, image)
        return image


def _azimuth(scene: Scene, xyz: F32) -> float | None:
    """Degrees towards the scene's only camera, from where its surfaces are complete; None without one."""
    if len(scene.images) != 1 or scene.images[0].camera is None:
        return None
    east, north = scene.images[0].camera.pose[:2, 3] - np.median(xyz[:, :2], axis=0)
    return float(np.degrees(np.arctan2(north, east)))


def _grid(panels: Sequence[tuple[str, U8]], title: str, handles: Sequence[Patch], classes: ClassTable, path: Path) -> None:
    """The panels with their titles, as a PNG of at most 256 colours."""
    columns = min(len(panels), COLUMNS)
    rows = -(-len(panels) // columns)
    height, width = panels[0][1].shape[:2]
    with matplotlib.rc_context(settings("choices")):
        figure = Figure(figsize=(2.75 * columns, (2.7 * height / width + 0.42) * rows + 0.9), layout="constrained")
        for axes in (grid := figure.subplots(rows, columns, squeeze=False)).ravel():
            axes.axis("off")
        for axes, (name, image) in zip(grid.ravel(), panels, strict=False):
            axes.imshow(image, interpolation="lanczos")
            axes.set_title(name, fontsize=8, linespacing=1.25)
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 2 * columns + 1), frameon=False, fontsize=8.5)
        figure.suptitle(title, x=0.01, ha="left", color=MUTED, fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=130, format="png", metadata={"Software": None})
    small = Image.open(buffer).convert("RGB").quantize(palette=palette(classes), dither=Image.Dither.NONE)
    with whole_file(path) as temporary:
        small.save(temporary, format="PNG", optimize=True)


def palette(classes: ClassTable) -> Image.Image:
    """A palette of greys and of shades of every class colour: one made from the picture would lose the colours of rare classes."""
    greys = np.linspace((20, 23, 30), (255, 255, 255), 48)
    colors = np.unique(np.array([*classes.colors, UNKNOWN_COLOR]), axis=0)
    shades = max(1, (256 - len(greys)) // len(colors))
    dark = np.linspace(1.0, 0.35, shades)[:, None, None] * colors
    found = Image.new("P", (1, 1))
    found.putpalette(np.rint(np.concatenate([greys, dark.reshape(-1, 3)]))[:256].astype(np.uint8).tobytes())
    return found


def _bought(pool: Pool, name: str, ids: Sequence[int]) -> I32:
    """The unit i32[N] of every point that is bought with the units `ids` of a scene, -1 elsewhere."""
    unit = pool.store.unit(pool.method.unit, name)
    bought = np.isin(unit, ids) & ~pool.labels.asked(name, pool.round_index)
    return np.where(bought, unit, -1).astype(np.int32)


def _left(study: Study, labels: LabelState, last: int) -> I64:
    """The points i64[C] of every class that are in the pool and not labelled."""
    total = np.zeros(len(study.store.classes), np.int64)
    for name in study.store.splits["train"]:
        label = study.oracle.answer(name, ~labels.asked(name, last))
        total += np.bincount(label[label != IGNORE], minlength=len(total))
    return total


def _title(run: RunFolder, last: int, study: Study, percent: float) -> str:
    judged = f", mIoU {100 * read_json(run.metrics(last))['miou']:.1f} %" if run.metrics(last).is_file() else ""
    return f"{study.store.name}, {percent:g} % chosen with the network of round {last}{judged}"


def _table(title: str, caption: str | None) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.width, table.padding = TABLE_WIDTH, (0, 1, 0, 0)
    table.add_column("method", no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _cells(figures: Figures) -> tuple[str, ...]:
    counts = (figures.units, figures.points, figures.scenes, figures.clicks)
    distance = "-" if np.isnan(figures.distance) else f"{figures.distance:.2f}"
    return (*(f"{count:,}" for count in counts), _percent(figures.purity), distance, _percent(figures.elsewhere), _percent(figures.overlap))


def _first(counts: I64, classes: ClassTable) -> str:
    """The most frequent classes and their percentage of what has one: wall 31, table 12."""
    order = [index for index in np.argsort(-counts, kind="stable")[:FIRST_CLASSES].tolist() if counts[index]]
    return ", ".join(f"{classes.names[index]} {_whole(counts[index] / counts.sum())}" for index in order)


def _shares(counts: I64, classes: ClassTable) -> dict[str, float]:
    return {f"share_{name}": round(_share(count, counts.sum()), 6) for name, count in zip(classes.names, counts.tolist(), strict=True)}


def _whole(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.01 else "<1"


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def _share(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else float("nan")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _rows_file(folder: Path, block: int) -> Path:
    return folder / f"{block:05d}.npz"
