"""Weights & Biases: sends a run from its files. `al3d track wandb RUN...` sends what is not there yet, `al3d track dashboard` makes a study's view.

The local files are the truth, and W&B is a copy: what W&B does, or fails to do, never stops a training.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from al3d.files import read_json, whole_file, write_json
from al3d.progress import console
from al3d.report.rounds import RoundRecord
from al3d.report.summary import (
    LoggedRun,
    Table,
    final_values,
    first_step,
    iou_table,
    labels_of,
    pictures_of,
    purchase_table,
    read_head,
    read_run,
    round_values,
    shown,
    tags_of,
    training_curve,
)

JOB_TYPE = "round"
#: What each group of values is drawn over.
AXES: Mapping[str, str] = {
    "train/*": "train/step",
    "curve/*": "curve/labelled_percent",
    "iou/*": "curve/labelled_percent",
    "bought/*": "round",
    "bought_share/*": "round",
    "pseudo/*": "round",
}


@dataclass(frozen=True)
class Target:
    """Where a run goes: `group` is the study (None: the data set's name); `timeout` seconds are the longest wait for one answer."""

    project: str = "al3d"
    entity: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    offline: bool = False
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ValueError(f"logger.wandb.timeout={self.timeout}: give seconds above 0")

    @property
    def mode(self) -> str:
        """What decides first: this target, then the environment's WANDB_MODE; "dryrun" is W&B's older word for offline."""
        chosen = "offline" if self.offline else os.environ.get("WANDB_MODE", "online")
        return "offline" if chosen == "dryrun" else chosen


@dataclass
class Sent:
    """`wandb_sent.json`: where each part of a run went, a folder of the run's `wandb/`; None for a part that is known to have holes."""

    folder: Path
    identifier: str
    places: dict[str, str | None] = field(default_factory=dict)

    @staticmethod
    def read(folder: Path) -> Sent:
        """What a run folder says of its W&B run; empty for another id."""
        identifier, file = run_id(folder), folder / "wandb_sent.json"
        known = read_json(file) if file.is_file() else {}
        return Sent(folder, identifier, dict(known["places"]) if known.get("id") == identifier else {})

    def has(self, part: str, offline: bool) -> bool:
        """Whether a part was sent whole. What lies in an offline folder counts for W&B itself only when that folder was synced."""
        place = self.places.get(part)
        if place is None:
            return False
        if not Path(place).name.startswith("offline-"):
            return True
        return (self.folder / place).is_dir() if offline else self.synced(place)

    def synced(self, place: str) -> bool:
        """Whether `wandb sync` has uploaded an offline folder: it leaves a mark beside the log."""
        return any((self.folder / place).glob("*.wandb.synced"))

    def waiting(self) -> list[str]:
        """Offline folders that hold parts and were not uploaded."""
        offline = {place for place in self.places.values() if place and Path(place).name.startswith("offline-")}
        return sorted(place for place in offline if (self.folder / place).is_dir() and not self.synced(place))

    def mark(self, part: str, place: str | None) -> None:
        """Write down where a part went."""
        self.places[part] = place
        write_json(self.folder / "wandb_sent.json", {"id": self.identifier, "places": self.places})


class Sender:
    """The W&B run of one run folder in this process. Nothing here raises what W&B raises: `broken` says why it gave up, and a line says it once.

    `then`: what that line says of the consequence.
    """

    def __init__(self, folder: Path, target: Target, then: str = "") -> None:
        self.folder, self.target, self.then = folder, target, then
        self.sent = Sent.read(folder)
        self.run: Any = None
        self.broken: str | None = None
        self.place = ""
        self._tried_in: int | None = None

    @property
    def records(self) -> bool:
        """Whether sending leaves anything: WANDB_MODE=disabled does not."""
        return self.target.mode != "disabled"

    @property
    def open(self) -> bool:
        """Whether W&B takes what is sent."""
        return self.run is not None and self.broken is None

    def start(self, round_index: int | None = None) -> bool:
        """Open or continue the W&B run; after a failure try again once per round. Returns whether it is open."""
        if self.open:
            return True
        if self.broken is not None and self._tried_in == round_index:
            return False
        self._tried_in, self.broken = round_index, None
        opened = self.attempt("opening the run", partial(_open, self.folder, self.target, self.sent.identifier))
        if opened is not None:
            self.run = opened
            self.place = f"wandb/{Path(opened.dir).parent.name}"
        return opened is not None

    def attempt(self, what: str, call: Callable[[], Any]) -> Any:
        """The result of a call to W&B, True for none; None once it failed or took longer than the timeout."""
        if self.broken is not None:
            return None
        try:
            result = within(self.target.timeout, call)
        except Exception as error:
            self.broken = f"{what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
            console.print(f"W&B gave up at {self.broken}. {self.then}".rstrip(), markup=False)
            return None
        return True if result is None else result

    def log(self, what: str, values: Mapping[str, Any]) -> bool:
        """Send one row of values."""
        return self.run is not None and self.attempt(what, partial(self.run.log, dict(values))) is not None

    def mark(self, part: str) -> None:
        """Say that a part is there."""
        if self.records:
            self.sent.mark(part, self.place)

    def finish(self, failed: bool = False) -> None:
        """End the W&B run and wait for what is still on its way, at most the timeout; say how to send what did not arrive."""
        if self.run is None:
            return
        self.broken = None
        run, self.run = self.run, None
        if self.attempt("the last upload", partial(run.finish, exit_code=int(failed))) is None:
            console.print(f"W&B has not confirmed everything it was given. Upload it later: wandb sync {self.folder / self.place}", markup=False)


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """The result of a call, made in another thread, which is left alone when it takes longer.

    Raises: TimeoutError; whatever the call raises.
    """
    outcome: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True, name="wandb")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def run_id(folder: Path) -> str:
    """The W&B id of a run folder, made once."""
    file = folder / "wandb_id.txt"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else new_run_id(folder)


def new_run_id(folder: Path) -> str:
    """Give a run folder a fresh W&B id: eight letters and digits."""
    identifier = secrets.token_hex(4)
    with whole_file(folder / "wandb_id.txt") as temporary:
        temporary.write_text(identifier + "\n", encoding="utf-8")
    return identifier


def parts_of(run: LoggedRun) -> list[str]:
    """Everything that a run's files hold for W&B, in the order of sending, such as "curve-02": a kind and a round."""
    parts = []
    for record in run.records:
        index = record.round
        there = {"training": bool(training_curve(run.folder, index)), "curve": True, "labels": True, "pictures": bool(pictures_of(run.folder, index))}
        parts += [f"{kind}-{index:02d}" for kind, present in there.items() if present]
    return parts + [f"tables-{record.round:02d}" for record in run.records[-1:]]


def unsent(run: LoggedRun, sent: Sent, offline: bool) -> list[str]:
    """The parts of a run that are not there yet."""
    return [part for part in parts_of(run) if not sent.has(part, offline)]


def send(run: LoggedRun, sender: Sender) -> list[str]:
    """Send every part that is not there yet, and the summary; returns the parts that are left, after a failure or without an open W&B run."""
    waiting = unsent(run, sender.sent, sender.target.mode == "offline")
    records = {record.round: record for record in run.records}
    while waiting and sender.open:
        kind, _, number = waiting[0].partition("-")
        if sender.attempt(waiting[0], partial(_SEND[kind], sender.run, run, records[int(number)])) is None:
            return waiting
        sender.mark(waiting.pop(0))
    if sender.open:
        sender.attempt("the summary", partial(sender.run.summary.update, final_values(run)))
    return waiting


def send_later(folder: Path, parts: Sequence[str]) -> str:
    """What to tell a person about parts that were not sent."""
    return f"not sent to W&B: {', '.join(parts)}. Send them later from the files: al3d track wandb {folder}"


def _wandb() -> Any:
    """The library, loaded when it is needed."""
    import wandb

    return wandb


def _open(folder: Path, target: Target, identifier: str) -> Any:
    """The W&B run with its axes and configuration."""
    wandb = _wandb()
    run = read_head(folder)
    group = target.group or run.dataset
    wanted = {"init_timeout": target.timeout, "login_timeout": int(target.timeout), "finish_timeout": target.timeout, "finish_timeout_raises": True}
    known = wandb.Settings.model_fields
    opened = wandb.init(
        project=target.project,
        entity=target.entity,
        name=folder.name,
        id=identifier,
        group=group,
        job_type=JOB_TYPE,
        tags=list(dict.fromkeys([*tags_of(run.identity), *target.tags])),
        dir=str(folder),
        mode="offline" if target.mode == "offline" else None,
        resume="allow" if target.mode == "online" else None,
        settings=wandb.Settings(**{key: value for key, value in wanted.items() if key in known}),
    )
    for axis in dict.fromkeys(AXES.values()):
        opened.define_metric(axis)
    for names, axis in AXES.items():
        opened.define_metric(names, step_metric=axis)
    opened.config.update({**run.config, "method": run.method, "study": group, "hash": run.hash}, allow_val_change=True)
    return opened


def _send_training(sender: Any, run: LoggedRun, record: RoundRecord) -> None:
    before = first_step(run.records, record.round)
    for step, values in training_curve(run.folder, record.round):
        sender.log(training_row(values, step + before, record.round))


def training_row(values: Mapping[str, float], step: int, round_index: int) -> dict[str, float]:
    """What training logged at one step, `step` counted over all rounds."""
    return {**{f"train/{name}": value for name, value in values.items() if name != "epoch"}, "train/step": step, "round": round_index}


def _send_curve(sender: Any, run: LoggedRun, record: RoundRecord) -> None:
    sender.log(round_values(run, record))


def _send_labels(sender: Any, run: LoggedRun, record: RoundRecord) -> None:
    wandb = _wandb()
    about = {"run": run.folder.name, "hash": run.hash, "round": record.round, "labelled_points": record.labelled_points}
    words = "What was asked up to a round, a folder per round, as al3d keeps it. Holds no label."
    artifact = wandb.Artifact(f"labels-{sender.id}", type="labels", description=words, metadata=about)
    for file in (file for folder in labels_of(run.folder, record.round) for file in sorted(folder.iterdir())):
        artifact.add_file(str(file), name=f"{file.parent.name}/{file.name}")
    sender.log_artifact(artifact, aliases=["latest", f"round-{record.round:02d}"])


def _send_pictures(sender: Any, run: LoggedRun, record: RoundRecord) -> None:
    wandb = _wandb()
    images = [wandb.Image(shown(run, file), caption=caption) for file, caption in pictures_of(run.folder, record.round)]
    sender.log({"bought_regions": images, "round": record.round})


def _send_tables(sender: Any, run: LoggedRun, record: RoundRecord) -> None:
    sender.log({"iou_per_class": _table(iou_table(run)), "purchases": _table(purchase_table(run)), "round": record.round})


def _table(content: Table) -> Any:
    wandb = _wandb()
    return wandb.Table(columns=content[0], data=content[1])


_SEND: Mapping[str, Callable[[Any, LoggedRun, RoundRecord], None]] = {
    "training": _send_training,
    "curve": _send_curve,
    "labels": _send_labels,
    "pictures": _send_pictures,
    "tables": _send_tables,
}


def target_of(folder: Path) -> Target:
    """Where a run was configured to go: `logger.wandb` of its config.yaml, or al3d's defaults."""
    given = (read_head(folder).config.get("logger") or {}).get("wandb") or {}
    return Target(**{key: value for key, value in given.items() if key in Target.__dataclass_fields__})


def rebuild(folder: Path, target: Target, *, new: bool = False, data: Path | None = None) -> list[str]:
    """Send what W&B lacks of a run, from its files alone; returns the parts that were sent. `new` starts another W&B run with everything.

    Raises: ConnectionError when W&B did not take everything; as `read_run`.
    """
    run = read_run(folder, data=data)
    if new:
        new_run_id(folder)
    sender = Sender(folder, target)
    offline = target.mode == "offline"
    before = unsent(run, sender.sent, offline)
    if not before:
        console.print(
            f"{folder.name}: all of its {len(parts_of(run))} parts are in W&B run {sender.sent.identifier} already; --new makes another", markup=False
        )
        return []
    twice = [] if offline else sender.sent.waiting()
    sender.start()
    left = send(run, sender)
    sender.finish()
    if left:
        raise ConnectionError(f"{folder}: {send_later(folder, left)}")
    console.print(f"{folder.name}: sent {', '.join(before)} to W&B run {sender.sent.identifier} of project {target.project}", markup=False)
    if offline:
        console.print(f"upload it with: wandb sync {folder / sender.place}", markup=False)
    if twice:
        console.print(f"do not upload {', '.join(str(folder / place) for place in twice)} any more: what they hold was sent just now", markup=False)
    return before


def send_runs(runs: Sequence[Path], given: Mapping[str, Any], new: bool = False, data: Path | None = None) -> None:
    """Send what W&B lacks of runs to where they were configured to go, or where `given` (fields of `Target`) says. Raises: as `rebuild`."""
    for run in runs:
        rebuild(run, replace(target_of(run), **given), new=new, data=data)
