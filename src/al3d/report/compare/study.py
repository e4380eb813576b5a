"""From runs to findings: methods in panels, areas under their budget curves, and each method against random at its unit and budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from al3d.report.compare.areas import Curve, area, common_range, curve_of, first_reaching, mean_curve
from al3d.report.compare.axes import Axis, axes_of, costs
from al3d.report.compare.protocol import protocol_letters, tell_apart
from al3d.report.compare.runs import StudyRun, grouped, read_run, run_folders, unit_name
from al3d.report.compare.statistics import (
    DRAWS,
    LEAST_BLOCKS,
    Bound,
    Interval,
    SignFlip,
    bootstrap,
    firsts,
    holm,
    kendall,
    lower_bound,
    sign_flip,
    stratified_mean,
    win_shares,
    within_reach,
)
from al3d.report.html import part_name
from al3d.report.seeds import seed_title
from al3d.rng import Key
from al3d.types import F64

#: One seed method with one random seed: (seed method, rng).
Block = tuple[str, ...]
#: The shares of full supervision whose price in labels is told.
TARGETS = (0.90, 0.95)
#: What the draws are keyed by, before data set and method: nothing of when or where the comparison is made.
KEY: Key = ("al3d.report.compare",)
#: Areas over a smaller part of what the shortest run bought deserve a remark.
NARROW = 0.25


@dataclass(frozen=True)
class Options:
    """How runs are compared.

    `start`: the round from which areas count (1: after the first purchase; 0: the seed's round too). `level`: of significance, and 1 - it of
    intervals. `rare_share`: classes below this share 0..1 of the training points are rare. `seconds_per_click` turns clicks into labelling time.
    """

    start: int = 1
    level: float = 0.05
    draws: int = DRAWS
    rare_share: float = 0.02
    seconds_per_click: float = 5.0
    allow_mixed: bool = False
    unfinished: bool = False

    def __post_init__(self) -> None:
        if self.start not in (0, 1):
            raise ValueError(f"start={self.start}: areas count from round 0 or 1")
        if not 0 < self.level < 0.5:
            raise ValueError(f"level={self.level}: give a level of significance between 0 and 0.5, such as 0.05")
        if self.draws < 100:
            raise ValueError(f"draws={self.draws}: give at least 100, better 10000")
        if not 0 <= self.rare_share <= 1:
            raise ValueError(f"rare_share={self.rare_share}: a share of the points lies between 0 and 1")
        if not self.seconds_per_click > 0:
            raise ValueError(f"seconds_per_click={self.seconds_per_click}: give a positive number of seconds")


@dataclass(frozen=True)
class Line:
    """All runs of one method on one data set under one protocol, a run per block; `name` is unique within its data set."""

    name: str
    runs: Mapping[Block, StudyRun]
    protocol: str

    @property
    def any_run(self) -> StudyRun:
        return next(iter(self.runs.values()))

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self.runs)

    @property
    def baseline(self) -> bool:
        return self.any_run.baseline

    @property
    def budget(self) -> str:
        return self.any_run.budget


@dataclass(frozen=True)
class Areas:
    """Areas under the budget curves of a line, by block, all fractions 0..1: of the mIoU, from the seed on, and of every class (NaN: absent)."""

    miou: Mapping[Block, float]
    from_seed: Mapping[Block, float]
    classes: Mapping[Block, F64]


@dataclass(frozen=True)
class Panel:
    """One data set: its lines, their areas, the mIoU of full supervision, the class shares 0..1 of its training points and remarks.

    `ranges`: for each budget the labelled percentages that all its runs cover, over which the areas are taken.
    """

    dataset: str
    lines: tuple[Line, ...]
    areas: Mapping[str, Areas]
    ranges: Mapping[str, tuple[float, float]]
    seeds: tuple[str, ...]
    full: tuple[float, ...]
    axes: tuple[Axis, ...]
    classes: tuple[str, ...]
    shares: tuple[float, ...]
    shares_of: str
    remarks: tuple[str, ...]
    otherwise: tuple[str, ...]

    @property
    def full_supervision(self) -> float | None:
        """The mean mIoU of the fully supervised runs, 0..1."""
        return math.fsum(self.full) / len(self.full) if self.full else None

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.name == name)

    def rare(self, share: float) -> list[int]:
        """The classes that the training points have, but below this share."""
        return [index for index, one in enumerate(self.shares) if 0 < one < share]


@dataclass(frozen=True)
class Gain:
    """What more labels were worth to one baseline: its mIoU 0..1 in its first and its last round, means over blocks, and how surely it rose.

    Where it is not shown to have risen, this training tells no method from another: what they bought did not matter to it.
    """

    dataset: str
    baseline: str
    budget: str
    blocks: int
    first: float
    last: float
    rise: Bound


@dataclass(frozen=True)
class Outcome:
    """One method against random at its unit and budget on one data set; differences are fractions 0..1.

    `why` says what is missing where there is no baseline, no test or no pair. `adjusted`: p after Holm's correction for the `family` methods that were
    tested; `reach`: the smallest value that it could have had with so many blocks. `from_seed`: the same difference with round 0; `rare`: of the mean
    over rare classes; `classes`: mean difference of each class.
    """

    dataset: str
    method: str
    baseline: str | None
    why: str
    blocks: int = 0
    difference: Interval | None = None
    from_seed: Interval | None = None
    rare: Interval | None = None
    classes: tuple[float, ...] = ()
    test: SignFlip | None = None
    adjusted: float | None = None
    reach: float | None = None
    family: int = 0
    wins: float = 0.0
    gain: Gain | None = None

    def verdict(self, level: float) -> str:
        """What can be said.

        beats; worse; even: not distinguishable; short: tested, but no difference could have been called with so few blocks; untested: fewer than
        `LEAST_BLOCKS`; unranked: more labels did not help its baseline; alone: nothing to compare with.
        """
        if self.baseline is None or self.difference is None:
            return "alone"
        if self.gain is not None and not self.gain.rise.above_zero:
            return "unranked"
        if self.adjusted is None:
            return "untested"
        if self.adjusted >= level:
            return "short" if self.reach is not None and self.reach >= level else "even"
        return "beats" if self.difference.mean > 0 else "worse"


@dataclass(frozen=True)
class Stability:
    """How alike the blocks of one data set and budget rank its methods; `first[m]`: how often m leads when blocks are resampled.

    `tau` is the mean of Kendall's tau-b over pairs of blocks, `lowest` the smallest; `without` are methods that share too few blocks to be ranked.
    """

    dataset: str
    budget: str
    methods: tuple[str, ...]
    blocks: int
    tau: float
    lowest: float
    rank: tuple[float, ...]
    first: tuple[float, ...]
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Everything that was found; what is written shows parts of it."""

    options: Options
    panels: tuple[Panel, ...]
    outcomes: tuple[Outcome, ...]
    stabilities: tuple[Stability, ...]
    left_out: tuple[str, ...] = field(default=())
    gains: tuple[Gain, ...] = field(default=())

    def ranks(self, dataset: str, budget: str) -> bool:
        """Whether the methods of a budget may be ranked: more labels helped every baseline there, or none was given."""
        return all(gain.rise.above_zero for gain in self.gains if (gain.dataset, gain.budget) == (dataset, budget))

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods, the baselines first, then by name."""
        lines = {line.name: line.baseline for panel in self.panels for line in panel.lines}
        return tuple(sorted(lines, key=lambda name: (not lines[name], name)))

    def of(self, method: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.method == method]


def compare(folders: Sequence[Path], options: Options | None = None) -> Comparison:
    """Read run folders (or folders that hold them) and compare their methods.

    A run that cannot be read, is not finished, or has no round after its seed is left out, and `left_out` says so.
    Raises: FileNotFoundError for what is no run; ValueError when nothing is left, for protocols that differ, two runs of one block, or budgets that do
    not overlap.
    """
    chosen = options or Options()
    runs, left_out = _usable(run_folders(folders), chosen)
    if not any(not run.full for run in runs):
        raise ValueError(
            "there is no run to compare"
            + (": fully supervised ones alone say nothing" if runs else "")
            + "".join(f"\n  {words}" for words in grouped(left_out))
            + ("\nGo on with the runs, or say --unfinished to use those that are still on their way" if any(" finished" in one for one in left_out) else "")
        )
    names = sorted({run.dataset for run in runs})
    problems, panels = [], []
    for name in names:
        try:
            panels.append(_panel([run for run in runs if run.dataset == name], chosen))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n\n".join(problems))
    left_out += [f"{panel.dataset}: only fully supervised runs, so there is nothing to compare" for panel in panels if not panel.lines]
    panels = [panel for panel in panels if panel.lines]
    outcomes = tuple(outcome for panel in panels for outcome in outcomes_of(panel, chosen))
    stabilities = tuple(stable for panel in panels for stable in stabilities_of(panel, chosen))
    gains = tuple(gain for panel in panels for gain in gains_of(panel))
    found = Comparison(chosen, tuple(panels), outcomes, stabilities, tuple(left_out), gains)
    return replace(found, stabilities=tuple(stable for stable in stabilities if found.ranks(stable.dataset, stable.budget)))


def _usable(folders: Sequence[Path], options: Options) -> tuple[list[StudyRun], list[str]]:
    """The runs that can be compared, and the others with the reason."""
    runs, left_out = [], []
    for folder in folders:
        try:
            run = read_run(folder)
        except (ValueError, OSError) as error:
            left_out.append(f"{folder.name}: cannot be read: {error}")
            continue
        if run is None:
            left_out.append(f"{folder.name}: no finished round")
        elif not run.finished and not options.unfinished:
            left_out.append(f"{folder.name}: {run.missing}")
        elif not run.full and len(run.records) < 2:
            left_out.append(f"{folder.name}: no round after its seed, so it says nothing about methods (al3d results --seeds compares seeds)")
        else:
            runs.append(run)
            if run.gap is not None:
                left_out.append(f"{folder.name}: its rounds after {run.gap - 1}, since {run.missing}")
    return runs, left_out


def method_title(run: StudyRun) -> str:
    """Acquisition and unit, such as "redal (supervoxel)", and the second acquisition where there is one."""
    pseudo = run.identity.get("pseudo")
    second = f" with {part_name(run.identity, 'pseudo')}" if isinstance(pseudo, Mapping) else ""
    return f"{part_name(run.identity, 'acquire')}{second} ({unit_name(run.unit)})"


def miou_curve(run: StudyRun, start: int = 0, axis: str = "percent", seconds_per_click: float = 1.0) -> Curve:
    """A run's mIoU 0..1 over a cost, from round `start` on."""
    return curve_of(costs(run, axis, seconds_per_click)[start:], [record.miou for record in run.records[start:]])


def labels_needed(panel: Panel, line: Line) -> list[float | None]:
    """The labelled percentages at which a line's mean curve reaches `TARGETS` of full supervision; None: not reached, or nothing to reach."""
    full = panel.full_supervision
    mean = mean_curve([miou_curve(run) for run in line.runs.values()])
    return [None if full is None else first_reaching(mean, share * full) for share in TARGETS]


def wins_of(panel: Panel, budget: str) -> dict[tuple[str, str], tuple[float, int]]:
    """Who beats whom in how many blocks of this data set, among the methods of one budget."""
    return win_shares({line.name: panel.areas[line.name].miou for line in panel.lines if line.budget == budget})


def gains_of(panel: Panel) -> list[Gain]:
    """What more labels were worth to every baseline of a data set: its last round against its first, paired within blocks."""
    return [gain_of(panel.dataset, line) for line in panel.lines if line.baseline]


def gain_of(dataset: str, line: Line) -> Gain:
    """What more labels were worth to a line: the mIoU of its runs' last round against that of their first."""
    strata = [block[0] for block in line.blocks]
    first, last = (np.array([run.records[place].miou for run in line.runs.values()]) for place in (0, -1))
    means = (stratified_mean(first, strata), stratified_mean(last, strata))
    return Gain(dataset, line.name, line.budget, len(strata), *means, lower_bound(last - first, strata))


def outcomes_of(panel: Panel, options: Options) -> list[Outcome]:
    """Every method of a data set against random, Holm's correction over those that were tested."""
    found = [_outcome(panel, line, options) for line in panel.lines if not line.baseline]
    tested = [place for place, outcome in enumerate(found) if outcome.test is not None]
    tests = [outcome.test for outcome in found if outcome.test is not None]
    adjusted = zip(holm([test.p for test in tests]), within_reach(tests), strict=True)
    by_place = dict(zip(tested, adjusted, strict=True))
    return [
        replace(outcome, adjusted=by_place[place][0], reach=by_place[place][1], family=len(tested)) if place in by_place else outcome
        for place, outcome in enumerate(found)
    ]


def stabilities_of(panel: Panel, options: Options) -> list[Stability]:
    """How stable the ranking is, for each budget with two or more methods that share two or more blocks.

    Where too few blocks are common to all, the methods with the fewest blocks are not ranked.
    """
    found = []
    for budget in panel.ranges:
        lines = [line for line in panel.lines if line.budget == budget]
        without: list[str] = []
        while len(lines) > 2 and len(_common(lines)) < 2:
            fewest = min(lines, key=lambda line: (len(line.blocks), not line.baseline, line.name))
            without.append(fewest.name)
            lines.remove(fewest)
        blocks = _common(lines)
        if len(lines) < 2 or len(blocks) < 2:
            continue
        scores = np.array([[panel.areas[line.name].miou[block] for line in lines] for block in blocks])
        tau = kendall(scores)[np.triu_indices(len(blocks), 1)]
        known = tau[~np.isnan(tau)]
        ranks = 1 + (scores[:, :, None] < scores[:, None, :]).sum(axis=2) + ((scores[:, :, None] == scores[:, None, :]).sum(axis=2) - 1) / 2
        first = firsts(scores, [block[0] for block in blocks], (*KEY, panel.dataset, budget, "first"), options.draws)
        mean, lowest = (float(known.mean()), float(known.min())) if len(known) else (math.nan, math.nan)
        rank = tuple(map(float, ranks.mean(axis=0)))
        names = tuple(line.name for line in lines)
        found.append(Stability(panel.dataset, budget, names, len(blocks), mean, lowest, rank, tuple(map(float, first)), tuple(without)))
    return found


def _common(lines: Sequence[Line]) -> list[Block]:
    """The blocks that all of these have."""
    return sorted(set.intersection(*(set(line.blocks) for line in lines)))


def area_interval(panel: Panel, line: Line, options: Options, which: Callable[[Areas], Mapping[Block, float]] = lambda areas: areas.miou) -> Interval:
    """The mean area of a line with its bootstrap interval."""
    values = which(panel.areas[line.name])
    return bootstrap(
        np.array(list(values.values())), [block[0] for block in values], (*KEY, panel.dataset, line.name, "area"), 1 - options.level, options.draws
    )


def rare_mean(classes: F64, rare: Sequence[int]) -> float:
    """The mean over rare classes that the evaluation has; NaN when it has none of them."""
    known = classes[list(rare)]
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else math.nan


def _panel(runs: Sequence[StudyRun], options: Options) -> Panel:
    letters, otherwise = protocol_letters(runs, options.allow_mixed)
    ordinary = [run for run in runs if not run.full]
    dataset = runs[0].dataset
    if not ordinary:
        return Panel(dataset, (), {}, {}, (), (), (), (), (), "", (), tuple(otherwise))
    _check_classes(runs)
    lines = _lines(ordinary, letters)
    remarks = [*_remarks(runs), *_uneven(lines)]
    ranges, areas = {}, {}
    for budget in sorted({line.budget for line in lines}):
        same = [line for line in lines if line.budget == budget]
        start, ranges[budget], words = _range(same, options.start)
        remarks += words
        whole = _covered([run for line in same for run in line.runs.values()], 0)
        for line in same:
            areas[line.name] = _areas(line, start, ranges[budget], whole)
    first = ordinary[0]
    shares, shares_of = _class_shares(ordinary)
    return Panel(
        dataset=dataset,
        lines=tuple(lines),
        areas=areas,
        ranges=ranges,
        seeds=tuple(sorted({block[0] for line in lines for block in line.blocks})),
        full=tuple(run.records[-1].miou for run in runs if run.full and (letters[str(run.path)] != "other" or options.allow_mixed)),
        axes=tuple(axes_of(ordinary, options.seconds_per_click)),
        classes=max((run.classes for run in ordinary), key=lambda names: not names[0].startswith("class "), default=first.classes),
        shares=shares,
        shares_of=shares_of,
        remarks=tuple(remarks),
        otherwise=tuple(otherwise),
    )


def _lines(runs: Sequence[StudyRun], letters: Mapping[str, str]) -> list[Line]:
    """The runs by method and protocol, baselines first. Raises: ValueError when two runs are the same block."""
    titles = tell_apart([method_title(run) for run in runs], [run.method for run in runs])
    seeds = tell_apart([seed_title(run.identity) for run in runs], [dict(run.identity["seed"]) for run in runs])
    found: dict[tuple[bool, str, str], dict[Block, StudyRun]] = {}
    for run, title, seed in zip(runs, titles, seeds, strict=True):
        letter = letters[str(run.path)]
        name = title if letter == "A" else f"{title} [protocol {letter}]"
        blocks = found.setdefault((not run.baseline, name, letter), {})
        block = (seed, str(run.rng))
        if block in blocks:
            raise ValueError(f"{blocks[block].path} and {run.path} are both {name} after {seed} with rng={run.rng}: leave one of them out")
        blocks[block] = run
    return [Line(name, dict(sorted(blocks.items())), letter) for (_, name, letter), blocks in sorted(found.items())]


def _range(lines: Sequence[Line], start: int) -> tuple[int, tuple[float, float], list[str]]:
    """From which round areas count, over which percentages, and a remark where that is not as asked. Raises: ValueError when budgets do not overlap."""
    runs = [run for line in lines for run in line.runs.values()]
    low, high = _covered(runs, start)
    if high >= low:
        shortest = min(run.records[-1].labelled_percent - run.records[start].labelled_percent for run in runs)
        narrow = high - low < NARROW * shortest or (high == low and start == 0)
        return start, (low, high), [f"areas cover only {low:.4g} to {high:.4g} % labelled: more is not common to all runs"] if narrow else []
    if start:
        again, found, words = _range(lines, 0)
        more = f"the areas had to start at the seed's round: after it, no budget is common to all runs ({_apart(runs, start)})"
        return again, found, [more, *words]
    raise ValueError(f"no budget is common to all runs: {_apart(runs, 0)}: compare them apart")


def _apart(runs: Sequence[StudyRun], start: int) -> str:
    """Which run ends before another one starts."""
    latest = max(runs, key=lambda run: run.records[start].labelled_percent)
    least = min(runs, key=lambda run: run.records[-1].labelled_percent)
    return (
        f"{least.path.name} ends at {least.records[-1].labelled_percent:.4g} % labelled, {latest.path.name} starts at "
        f"{latest.records[start].labelled_percent:.4g} %"
    )


def _covered(runs: Sequence[StudyRun], start: int) -> tuple[float, float]:
    return common_range([miou_curve(run, start) for run in runs])


def _areas(line: Line, start: int, limits: tuple[float, float], whole: tuple[float, float]) -> Areas:
    miou = {block: area(miou_curve(run, start), *limits) for block, run in line.runs.items()}
    from_seed = {block: area(miou_curve(run), *whole) for block, run in line.runs.items()}
    return Areas(miou, from_seed, {block: _class_areas(run, start, limits) for block, run in line.runs.items()})


def _class_areas(run: StudyRun, start: int, limits: tuple[float, float]) -> F64:
    """The area of every class's IoU, f64[C]; NaN for a class that the evaluation lacks."""
    percent = costs(run, "percent", 1.0)[start:]
    table = np.array([[math.nan if value is None else value for value in record.iou] for record in run.records[start:]])
    return np.array([math.nan if np.isnan(column).any() else area(curve_of(percent, column.tolist()), *limits) for column in table.T])


def _outcome(panel: Panel, line: Line, options: Options) -> Outcome:
    baseline, why = baseline_of(panel, line)
    if baseline is None:
        return Outcome(panel.dataset, line.name, None, why)
    blocks = [block for block in line.blocks if block in baseline.runs]
    if not blocks:
        return Outcome(panel.dataset, line.name, None, f"{baseline.name} has no run with the same seed and rng")
    mine, theirs = panel.areas[line.name], panel.areas[baseline.name]
    strata = [block[0] for block in blocks]
    key = (*KEY, panel.dataset, line.name)
    rare = panel.rare(options.rare_share)

    def paired(values: Callable[[Areas, Block], float]) -> F64:
        return np.array([values(mine, block) - values(theirs, block) for block in blocks])

    def interval(differences: F64) -> Interval | None:
        return None if np.isnan(differences).any() else bootstrap(differences, strata, key, 1 - options.level, options.draws)

    differences = paired(lambda areas, block: areas.miou[block])
    enough = len(blocks) >= LEAST_BLOCKS
    lone = len(line.blocks) - len(blocks)
    unpaired = f"{lone} of its {len(line.blocks)} runs have no pair in {baseline.name}" if lone else ""
    per_class = np.array([mine.classes[block] - theirs.classes[block] for block in blocks])
    share = {one: strata.count(one) for one in strata}
    weight = np.array([1 / (len(share) * share[one]) for one in strata])
    return Outcome(
        dataset=panel.dataset,
        method=line.name,
        baseline=baseline.name,
        why="; ".join(filter(None, (why, "" if enough else f"fewer than {LEAST_BLOCKS} blocks", unpaired))),
        blocks=len(blocks),
        difference=interval(differences),
        from_seed=interval(paired(lambda areas, block: areas.from_seed[block])),
        rare=interval(paired(lambda areas, block: rare_mean(areas.classes[block], rare))) if rare else None,
        classes=tuple(float(value) for value in weight @ per_class),
        test=sign_flip(differences, strata, key, options.draws) if enough else None,
        wins=float(np.sum(differences > 0) + 0.5 * np.sum(differences == 0)),
        gain=gain_of(panel.dataset, baseline),
    )


def baseline_of(panel: Panel, line: Line) -> tuple[Line | None, str]:
    """Random at the line's unit and budget, under its protocol if there is one; else what is missing."""
    random = [other for other in panel.lines if other.baseline]
    same_unit = [other for other in random if other.any_run.unit == line.any_run.unit]
    same = [other for other in same_unit if other.budget == line.budget]
    fitting = [other for other in same if other.protocol == line.protocol] or same
    if fitting:
        mixed = "" if fitting[0].protocol == line.protocol else f"protocol {line.protocol} against {fitting[0].protocol}"
        return fitting[0], mixed
    unit = unit_name(line.any_run.unit)
    if same_unit:
        return None, f"random at this unit ({unit}) has another budget: {same_unit[0].budget} instead of {line.budget}"
    return None, f"there is no random run at the same unit ({unit})"


def _class_shares(runs: Sequence[StudyRun]) -> tuple[tuple[float, ...], str]:
    """The share of each class among the training points, or where nobody knows them among the evaluation points; and which it is."""
    for run in runs:
        first = run.records[0].purchase
        if first.pool_class_points is not None:
            counts = np.array(first.class_points) + np.array(first.pool_class_points)
            return tuple(float(value) for value in counts / max(counts.sum(), 1)), "training points"
    counts = np.array(runs[0].records[0].confusion).sum(axis=1)
    return tuple(float(value) for value in counts / max(counts.sum(), 1)), "evaluation points (those of training are not known)"


def _remarks(runs: Sequence[StudyRun]) -> list[str]:
    """What a reader must know about how the runs were made."""
    remarks = []
    for mark in sorted({run.records[-1].chosen_on for run in runs if run.records[-1].chosen_on}):
        count = sum(run.records[-1].chosen_on == mark for run in runs)
        remarks.append(f"{count} of {len(runs)} runs: the judged checkpoint {mark}")
    processes = sorted({run.processes for run in runs if run.processes})
    if len(processes) > 1 or any(len(one) > 1 for one in processes):
        used = ", ".join(" then ".join(map(str, one)) for one in processes)
        remarks.append(f"trained on different numbers of processes ({used}): training on another number of them is another computation")
    devices = sorted({run.device for run in runs if run.starts})
    if len(devices) > 1:
        remarks.append(f"trained on different devices ({', '.join(devices)})")
    rounds = sorted({len(run.records) for run in runs if not run.full})
    if len(rounds) > 1:
        remarks.append(f"runs have between {rounds[0]} and {rounds[-1]} finished rounds; areas cover the budgets that all have")
    return remarks


def _uneven(lines: Sequence[Line]) -> list[str]:
    """A remark where not every method has every block."""
    counts = [len(line.blocks) for line in lines]
    if all(set(line.blocks) == set(lines[0].blocks) for line in lines):
        return []
    few = f"between {min(counts)} and {max(counts)} blocks" if min(counts) < max(counts) else "different blocks"
    return [f"methods have {few} (seed, rng): curves and areas are means over those that each has; differences, wins and ranks use shared ones only"]


def _check_classes(runs: Sequence[StudyRun]) -> None:
    """Raises: ValueError when runs of one data set speak of different numbers of classes, which only mixed protocols can."""
    counts = {len(run.records[0].iou): run.path for run in runs}
    if len(counts) > 1:
        told = ", ".join(f"{count} in {path}" for count, path in sorted(counts.items()))
        raise ValueError(f"runs of {runs[0].dataset} have different numbers of classes ({told}): compare them apart")
