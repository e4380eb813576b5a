"""Training a run while people label it: a process a round, started when there are enough new answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from al3d.annotate.sitting import Run
from al3d.files import read_json
from al3d.people.answers import Answers
from al3d.people.oracle import newest_frozen
from al3d.trust import checked_config

#: What a process of its own does: one round, with what is answered.
ROUND = "import sys; from al3d.annotate.training import next_round; next_round(*sys.argv[1:])"


class Training:
    """Trains a round in the background after every `every` new answers, so that the run buys what matters next; the pages take it from there.

    `start` begins the training of a round and returns its process; what it prints goes into `answers/training.log`. A failure is said on the pages and
    tried again after as many answers.
    """

    def __init__(self, run: Run, every: int, data: Path | None = None, start: Callable[[Path, Path | None], Any] | None = None) -> None:
        self.run, self.every, self.data = run, every, data
        self.answers = Answers(run.folder)
        self._start = start or begin
        self._process: Any = None
        self._tried = 0
        self.run.model = judged_words(run.folder)

    def tick(self) -> None:
        """Look whether a training has ended, and whether the next one is due; called every few seconds."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._process = None
            self.run.model = judged_words(self.run.folder) if status == 0 else f"training failed: {log_of(self.run.folder)} says why"
        self.answers.refresh()
        answered = len(self.answers.current())
        if answered - max(self._tried, answers_learned(self.run.folder)) >= self.every:
            self._tried = answered
            self.run.model = f"learning from {answered} answers ..."
            self._process = self._start(self.run.folder, self.data)

    def stop(self) -> None:
        """End a training that is on its way: the next one goes on where it was."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def begin(run: Path, data: Path | None) -> Any:
    """Start a process that trains the run's next round."""
    words = [str(run), *([] if data is None else [str(data)])]
    with log_of(run).open("a", encoding="utf-8") as log:
        return subprocess.Popen([sys.executable, "-c", ROUND, *words], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def next_round(run: str, data: str | None = None) -> None:
    """Train the newest purchase of a run on what is answered of it, judge, and buy the next one.

    Raises: as `al3d.compose.study_of` and `al3d.rounds.run`.
    """
    from al3d.command import plain_errors
    from al3d.compose import study_of
    from al3d.rounds import run as go_on

    with plain_errors():
        config = checked_config(Path(run))
        config.rounds.answered = "any"
        config.rounds.n = max(config.rounds.n, 1 + sum(1 for _ in Path(run).glob("labels-*/manifest.json")))
        config.paths.run = run
        if data is not None:
            config.paths.data = data
        go_on(study_of(config), reports=False)


def log_of(run: Path) -> Path:
    """Where the trainings in the background say what they do."""
    return run / "answers" / "training.log"


def answers_learned(run: Path) -> int:
    """How many answers the newest round was trained on."""
    newest = newest_frozen(run, 10**4)
    return 0 if newest is None else int(read_json(newest)["answered"])


def judged_words(run: Path) -> str:
    """What the newest judged round learned from and scored, for a person; empty before there is one."""
    judged = sorted(run.glob("round-*/metrics.json"))
    if not judged:
        return ""
    record, index = read_json(judged[-1]), int(judged[-1].parent.name[len("round-") :])
    frozen = newest_frozen(run, index)
    model = f"model of {read_json(frozen)['answered']} answers" if frozen else f"model of round {index}"
    where = record.get("judged_on", "val")
    if record["miou"] is None or where == "nothing":
        return f"{model}, not judged"
    scans = "labelled scans" if where == "val" else f"{record['held']} held answers"
    return f"{model}: mIoU {record['miou']:.0%} on {scans}"
