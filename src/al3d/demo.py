"""Active learning in three minutes, on two cores and without a download: `al3d demo`.

Generated rooms are labelled region by region, once as a method asks for and once at random, with three random seeds each; a probe learns from them. One
sparse network is trained on the same seed beside it. What comes out is a page that compares the two, and a report of every run.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from al3d.compose import study_of
from al3d.configuration import composed
from al3d.main import prepare_only
from al3d.progress import console, stage
from al3d.report.compare.command import write_comparison
from al3d.report.rounds import read_rounds
from al3d.report.table import curve_table, duration
from al3d.rounds import run

#: The method that is shown beside random, and the random seeds of both.
METHOD, RNGS = "redal", (1, 2, 3)
#: Half of the trees and of the rows that a probe has otherwise lose little here.
PROBE = ("experiment=demo", "net=probe", "net.head.trees=30", "net.head.rows=10000")
NETWORK = ("experiment=demo", "rounds.n=1", "rounds.steps=40", "rounds.batch=2")


@dataclass(frozen=True)
class Cell:
    """One run of the demo: where it lies, the words that make it, and whether it has a report of its own, whose pictures take longer than a round."""

    name: str
    words: tuple[str, ...]
    reports: bool = False

    def options(self, data: Path, out: Path) -> tuple[str, ...]:
        """What `al3d train` would be told."""
        places = (f"paths.data={data}", f"paths.outputs={out}", f"paths.run={out / self.name}", f"paths.shared={out / '.shared'}")
        return (*self.words, "trainer.threads=1", "trainer.workers=0", *places)


def cells() -> list[Cell]:
    """The runs, the longest first: one training of a network, full supervision, and every pair of method and random seed."""
    methods = [(rng, method) for rng in RNGS for method in ("random", METHOD)]
    pairs = [Cell(f"{method}-rng{rng}", (*PROBE, f"acquire={method}", f"rng={rng}"), reports=(method, rng) == (METHOD, RNGS[0])) for rng, method in methods]
    full = Cell("full", (*PROBE, "seed=all", "acquire=random", "rounds.n=1"))
    return [Cell("network", (*NETWORK, "acquire=random")), full, *pairs]


def run_cell(words: Sequence[str], log: Path, reports: bool) -> str:
    """Run one cell in this process and return where it is, or its report; what it says goes into `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        console.file = file
        return str(run(study_of(composed(words)), reports))


def compare_runs(out: Path) -> Path:
    """Write the page that compares the runs of the demo and return its path."""
    page = out / "demo.html"
    write_comparison([out / cell.name for cell in cells() if cell.name != "network"], page, quiet=True)
    return page


def show(data: Path, out: Path, jobs: int) -> None:
    """Prepare, run every cell, compare, and say where to look."""
    started, every = time.perf_counter(), cells()
    for cell in (every[1], every[-1]):
        prepare_only(composed(cell.options(data, out)))
    with stage("runs", len(every)) as line, ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        waiting: dict[Future[str], Cell] = {}
        for cell in every:
            waiting[pool.submit(run_cell, cell.options(data, out), out / f"{cell.name}.log", cell.reports)] = cell
        for future in as_completed(waiting):
            future.result()
            line.advance()
            line.note(waiting[future].name)
    for name in ("random-rng1", f"{METHOD}-rng1", "full", "network"):
        console.print(f"\n{name}", markup=False)
        console.print(curve_table(read_rounds(out / name)))
    page = compare_runs(out)
    console.print(f"the runs side by side: {page}\none run in detail: {out / f'{METHOD}-rng1' / 'report.html'}", markup=False)
    console.print(f"done in {duration(time.perf_counter() - started)}", markup=False)
