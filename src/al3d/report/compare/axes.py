"""What labels cost: the axes that learning curves can be drawn over, each with how it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from al3d.report.compare.runs import StudyRun

HOUR = 3600.0


@dataclass(frozen=True)
class Axis:
    """A cost axis: its `key` in file names, what a switch calls it, its label, and what it divides the plain numbers by."""

    key: str
    title: str
    label: str
    scale: float = 1.0


def axes_of(runs: Sequence[StudyRun], seconds_per_click: float) -> list[Axis]:
    """The axes that every one of these runs can be drawn over; square metres only where they can be estimated (`square_metres`)."""
    longest = max(_clicks(run)[-1] for run in runs) * seconds_per_click
    unit, scale = ("h", HOUR) if longest >= 2 * HOUR else ("min", 60.0) if longest >= 120 else ("s", 1.0)
    return [
        Axis("percent", "% of the points", "labelled points, % of the base"),
        Axis("units", "units", "units bought, the seed's included"),
        Axis("clicks", "clicks", "clicks, estimated"),
        *([Axis("square_metres", "m²", "labelled surface, m², estimated as points x grid²")] if all(square_metres(run) for run in runs) else []),
        Axis("seconds", "seconds", f"labelling time, {unit}, at {seconds_per_click:g} s a click", scale),
    ]


def costs(run: StudyRun, axis: str, seconds_per_click: float) -> list[float]:
    """What a run had spent on labels when each of its rounds was trained. Raises: ValueError for an axis that it cannot be drawn over."""
    choices: Mapping[str, Sequence[float] | None] = {
        "percent": [record.labelled_percent for record in run.records],
        "units": list(accumulate(record.purchase.units for record in run.records)),
        "clicks": _clicks(run),
        "square_metres": square_metres(run),
        "seconds": [seconds_per_click * clicks for clicks in _clicks(run)],
    }
    values = choices.get(axis)
    if values is None:
        raise ValueError(f"{run.path} cannot be drawn over {axis!r}: choose among {', '.join(key for key, known in choices.items() if known)}")
    return [float(value) for value in values]


def square_metres(run: StudyRun) -> list[float] | None:
    """The surface that the bought points stand for, where the data were thinned to a grid: points x grid². None without a grid.

    A plane along the grid's axes has one point per cell, so this is its area; a slanted one has up to 1.7 times as many.
    """
    grid = run.identity["dataset"].get("grid")
    return [record.labelled_points * float(grid) ** 2 for record in run.records] if grid else None


def _clicks(run: StudyRun) -> list[int]:
    return list(accumulate(record.purchase.clicks for record in run.records))
