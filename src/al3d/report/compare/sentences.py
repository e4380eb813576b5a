"""What was found, in one plain sentence for each method."""

from __future__ import annotations

from collections.abc import Sequence

from al3d.report.compare.statistics import LEAST_BLOCKS, Interval, blocks_needed
from al3d.report.compare.study import Comparison, Gain, Options, Outcome
from al3d.report.table import counted

AGAINST = "random (same unit, same budget)"
#: How a verdict stands in a table.
VERDICTS = {
    **{"beats": "beats random", "worse": "worse than random", "even": "not distinguishable"},
    **{"short": "too few blocks", "untested": "no p-value", "unranked": "not ranked", "alone": "not compared"},
}


def sentences(comparison: Comparison) -> dict[str, str]:
    """A sentence for each method that is no baseline: "beats random (same unit, same budget) at p < 0.05 on 2 of 3 data sets: ...".

    Good news first; methods of the same news by their mean difference over data sets.
    """
    level, order = comparison.options.level, list(VERDICTS)
    found = {method: comparison.of(method) for method in comparison.methods if comparison.of(method)}

    def rank(method: str) -> tuple[int, int, float, str]:
        known = [outcome.difference.mean for outcome in found[method] if outcome.difference and outcome.verdict(level) != "unranked"]
        mean = sum(known) / len(known) if known else 0.0
        return order.index(headline(found[method], level)), -_count(found[method], "beats", level), -mean, method

    return {method: sentence(found[method], level) for method in sorted(found, key=rank)}


def headline(outcomes: Sequence[Outcome], level: float) -> str:
    """The verdict that speaks for a method: the first of `VERDICTS` that it has on any data set."""
    return next(verdict for verdict in VERDICTS if _count(outcomes, verdict, level))


def sentence(outcomes: Sequence[Outcome], level: float) -> str:
    """One method's outcomes on all data sets, best news first; without the method's name and the full stop."""
    by_verdict = {verdict: [outcome for outcome in outcomes if outcome.verdict(level) == verdict] for verdict in VERDICTS}
    tested = sum(len(by_verdict[verdict]) for verdict in ("beats", "worse", "even"))
    parts = []
    for verdict, words in (("beats", f"beats {AGAINST} at p < {level:g}"), ("worse", f"is worse than {AGAINST} at p < {level:g}")):
        if found := by_verdict[verdict]:
            parts.append(f"{words} on {len(found)} of {counted(tested, 'data set')}: {_all(found)}")
    if even := by_verdict["even"]:
        where = "" if tested == len(even) == 1 else f" on {len(even)} of {counted(tested, 'data set')}"
        parts.append(f"is not distinguishable from {AGAINST if not parts else 'random'}{where}: {_all(even)}")
    if short := by_verdict["short"]:
        parts.append(f"has too few blocks for p < {level:g} against {AGAINST if not parts else 'random'}: {_all(short, blocks=True)}")
    if untested := by_verdict["untested"]:
        parts.append(f"has no p-value against {AGAINST if not parts else 'random'} with fewer than {LEAST_BLOCKS} blocks: {_all(untested, blocks=True)}")
    if unranked := by_verdict["unranked"]:
        parts.append(f"is not ranked against {AGAINST if not parts else 'random'}, which more labels did not help: {_all(unranked, blocks=True)}")
    if alone := by_verdict["alone"]:
        reasons = dict.fromkeys(outcome.why for outcome in alone)
        missing = [f"{reason} on {_and([outcome.dataset for outcome in alone if outcome.why == reason])}" for reason in reasons]
        parts.append(f"is not compared with random: {'; '.join(missing)}")
    mixed = dict.fromkeys(outcome.why for outcome in outcomes if outcome.baseline and outcome.why.startswith("protocol"))
    return "; ".join(parts) + (f" ({'; '.join(mixed)})" if mixed else "")


def gain_notes(comparison: Comparison) -> list[str]:
    """Where methods cannot be ranked, since more labels did not help random, and where that could not be checked; a sentence for each baseline."""
    notes = [f"{gain.dataset}: {no_gain(gain)}." for gain in comparison.gains if not gain.rise.above_zero]
    checked = {gain.dataset for gain in comparison.gains}
    without = [panel.dataset for panel in comparison.panels if panel.dataset not in checked]
    if without:
        notes.append(f"{_and(without)}: no run of random was given, so it could not be checked whether more labels helped in this training.")
    return notes


def no_gain(gain: Gain) -> str:
    """Why nothing can be ranked beside a baseline that more labels did not help, with the numbers that say so."""
    if gain.rise.low is None:
        bound = f"no bound from {counted(gain.blocks, 'block')}"
    else:
        bound = f"95 % bound {_number(gain.rise.low)} over {counted(gain.blocks, 'block')}"
    rise = f"{100 * gain.last:.1f} \u2212 {100 * gain.first:.1f} = {_number(gain.rise.mean)} points"
    return f"in this training more labels did not help ({gain.baseline}: {rise}, {bound}): methods cannot be ranked"


def reach_notes(comparison: Comparison) -> list[str]:
    """What no difference could have shown where some tested method could not reach the level, data sets of which the same is true together.

    For example: "On osd and rooms: with 6 blocks none of the 4 tested methods can reach p < 0.05 after Holm's correction, ...".
    """
    level = comparison.options.level
    found: dict[str, list[str]] = {}
    for panel in comparison.panels:
        tested = [outcome for outcome in comparison.outcomes if outcome.dataset == panel.dataset and outcome.family]
        short = [outcome for outcome in tested if outcome.verdict(level) == "short"]
        if short:
            found.setdefault(_reach(short, len(tested), comparison.options), []).append(panel.dataset)
    return [f"On {_and(names)}: {words}" for words, names in found.items()]


def _reach(short: Sequence[Outcome], tested: int, options: Options) -> str:
    sizes = sorted({outcome.blocks for outcome in short})
    blocks = counted(sizes[0], "block") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} blocks"
    whole = len(short) == tested > 1
    who = f"none of the {tested} tested methods can" if whole else f"{_and([outcome.method for outcome in short])} cannot"
    among = "" if whole else f" for {counted(tested, 'method')}"
    best = min(outcome.reach for outcome in short if outcome.reach is not None)
    needed = blocks_needed(tested, options.level, options.draws)
    if needed is None:
        way = f"--draws {options.draws} are too few for so many methods"
    elif needed > sizes[0]:
        way = f"{needed} blocks (seed methods x rng) would do; until then"
    else:
        way = "more blocks would do; until then"
    return (
        f"with {blocks} {who} reach p < {options.level:g} after Holm's correction{among}, however large the difference (p = {best:.3g} at best). "
        f"That is the size of the study, not a failure of the method{'s' if len(short) > 1 else ''}: {way}, go by the intervals."
    )


def points(interval: Interval | None) -> str:
    """A difference of fractions in points of mIoU with its interval: +2.1 [0.9, 3.2]."""
    if interval is None:
        return "unknown"
    ends = "" if interval.low is None or interval.high is None else f" [{_number(interval.low)}, {_number(interval.high)}]"
    return f"{_number(interval.mean)}{ends}"


def _count(outcomes: Sequence[Outcome], verdict: str, level: float) -> int:
    return sum(outcome.verdict(level) == verdict for outcome in outcomes)


def _number(fraction: float) -> str:
    """A signed number of points with a real minus sign; what rounds to zero has no sign."""
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\u2212")


def _all(outcomes: Sequence[Outcome], blocks: bool = False) -> str:
    sizes = [f" from {counted(outcome.blocks, 'block')}" if blocks else "" for outcome in outcomes]
    return ", ".join(f"{outcome.dataset} {points(outcome.difference)}{size}" for outcome, size in zip(outcomes, sizes, strict=True))


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
