"""The loop of active learning: seed, then train, test, predict and select, round by round; a step whose file exists is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.callback import ActiveLearning
from al3d.acquire.pool import Pool
from al3d.acquire.pseudo import PredictedClasses, guess, guessed_before, without
from al3d.acquire.purchase import buy
from al3d.acquire.reduce import join, load_units
from al3d.data.datamodule import RoundData
from al3d.data.draw import Draw
from al3d.data.holdout import Holdout, KnownUnits, holding_enough, known_units
from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.files import explained, read_json, whole_file, write_json
from al3d.learn.checkpoint import DataWait, Resume, Seen, ShowProgress, load_weights
from al3d.learn.evaluation import LEAST_HELD, Evaluation, KeepBest
from al3d.learn.metrics import scores
from al3d.learn.on_device import computing
from al3d.learn.prior import pool_shares
from al3d.learn.segmenter import Segmenter
from al3d.probes.description import Kept
from al3d.probes.fit import MOST, Fitted, chances, gathered
from al3d.progress import advancing, console, stage, track
from al3d.report.html import write_report
from al3d.report.loggers import LoggerChoice
from al3d.report.rounds import find_full_supervision, read_rounds
from al3d.report.table import counted, round_table
from al3d.rng import generator, seed_of
from al3d.run import RunFolder, first_process, wait_for
from al3d.sharing import Sharing, taking_part
from al3d.types import I64, Oracle

MakeTrainer = Callable[..., pl.Trainer]
INIT = ("scratch", "previous", "best")
OPTIMIZER = ("fresh", "kept")
ANSWERED = ("all", "any")
#: The class shares of a pool are estimated from so many of its scenes, and so many voxels of each.
PRIOR_SCENES, PRIOR_VOXELS = 32, 2000
#: The value of `rounds.steps` with which a round finds its own length.
AUTO = "auto"


@dataclass(frozen=True)
class Plan:
    """How many rounds, and how long each trains: `steps`, or `epochs` over the labelled scenes. See conf/rounds/default.yaml.

    With `answered` "all" a round that people label is trained when all its queries are answered, with "any" on those that are.

    With `steps` "auto" a round keeps a part of its bought units from training and trains until `patience` judgements on them, one every
    `checkpoint_every` steps, found nothing better, or `cap` steps; schedules run over the cap, and the best of the judged networks is the round's. Where
    fewer than `held_units` units would be kept, which say too little, none are, and it trains `fixed` steps.
    """

    n: int
    batch: int
    base: str | int = "prepared"
    steps: int | str | None = None
    epochs: int | None = None
    init: str = "scratch"
    checkpoint_every: int = 50
    stop_after: str | None = None
    initial: float | None = None
    initial_per: str = "percent"
    step: float | None = None
    batch_voxels: int | None = None
    first_steps: int | None = None
    first_epochs: int | None = None
    optimizer: str = "fresh"
    accumulate: int = 1
    cap: int = 1000
    patience: int = 4
    fixed: int = 400
    held_units: int = 30
    answered: str = "all"

    def __post_init__(self) -> None:
        if isinstance(self.steps, str) and self.steps != AUTO:
            raise ValueError(f"rounds.steps={self.steps!r}: give a number of steps, auto, or null to count rounds.epochs")
        for name in ("cap", "patience", "fixed", "held_units"):
            if getattr(self, name) < 1:
                raise ValueError(f"rounds.{name}={getattr(self, name)}: give a whole number from 1 on")
        if self.answered not in ANSWERED:
            raise ValueError(f"rounds.answered={self.answered!r} is not one of {', '.join(ANSWERED)}")
        if self.n < 1 or self.batch < 1 or self.checkpoint_every < 1:
            raise ValueError(f"rounds.n, rounds.batch and rounds.checkpoint_every must be at least 1, got {self.n}, {self.batch}, {self.checkpoint_every}")
        if (self.steps is None) == (self.epochs is None):
            hint = f"; to count passes, say rounds.steps=null rounds.epochs={self.epochs}" if self.steps == AUTO else ""
            raise ValueError(f"set exactly one of rounds.steps and rounds.epochs, got {self.steps} and {self.epochs}{hint}")
        if min(1 if self.steps in (None, AUTO) else int(self.steps), self.epochs or 1) < 1:
            raise ValueError(f"a round must train: rounds.steps={self.steps}, rounds.epochs={self.epochs}")
        if self.batch_voxels is not None and (not isinstance(self.batch_voxels, int) or self.batch_voxels < 1):
            raise ValueError(f"rounds.batch_voxels={self.batch_voxels!r}: give a whole number of voxels from 1 on, or null to count scenes alone")
        if self.batch_voxels is not None and self.steps is None:
            raise ValueError(
                "rounds.batch_voxels makes batches of unequal numbers of scenes, so that passes are no measure: set rounds.steps=N rounds.epochs=null"
            )
        if self.first_steps is not None and self.first_epochs is not None:
            raise ValueError(f"set at most one of rounds.first_steps and rounds.first_epochs, got {self.first_steps} and {self.first_epochs}")
        if min(self.first_steps or 1, self.first_epochs or 1) < 1 or (self.first_epochs is not None and self.batch_voxels is not None):
            raise ValueError(f"the first round must train: rounds.first_steps={self.first_steps}, rounds.first_epochs={self.first_epochs}")
        if self.init not in INIT:
            raise ValueError(f"rounds.init={self.init!r} is not one of {', '.join(INIT)}")
        if self.optimizer not in OPTIMIZER or (self.optimizer == "kept" and self.init == "scratch"):
            raise ValueError(f"rounds.optimizer={self.optimizer!r} must be fresh, or kept together with rounds.init=previous or best")
        if self.accumulate < 1 or self.batch % self.accumulate:
            raise ValueError(f"rounds.accumulate={self.accumulate} must divide rounds.batch={self.batch}: a step's scenes are trained on in so many parts")
        if self.stop_after not in (None, "step"):
            raise ValueError(f"rounds.stop_after={self.stop_after!r} is not null or step")

    def automatic(self, round_index: int) -> bool:
        """Whether a round finds its own length."""
        return self.steps == AUTO and not (round_index == 0 and (self.first_steps or self.first_epochs))

    def training_steps(self, scenes: int, round_index: int = 0, holds: bool = False) -> int:
        """The optimiser steps, at most, of a round with so many labelled scenes; the first round may have its own length.

        `holds` says that enough units are kept from training for a round to find its own length.
        """
        if self.automatic(round_index):
            return self.cap if holds else self.fixed
        first = round_index == 0 and (self.first_steps or self.first_epochs)
        steps, epochs = (self.first_steps, self.first_epochs) if first else (self.steps, self.epochs)
        return int(steps or 0) or (epochs or 0) * -(-scenes // self.batch)


@dataclass(frozen=True)
class Study:
    """Everything one run is made of; `net()` makes a fresh network, `module(net, round)` wraps it, `trainer` makes a Trainer.

    `pseudo` is the second acquirer, whose choices are labelled by the network for one round, if there is one. `described` is what a probe looks at; it
    is fitted, not trained. `sharing` says where the first
    round is looked for before it is trained.
    """

    folder: RunFolder
    store: Store
    oracle: Oracle
    seed: Acquirer
    method: Acquirer
    plan: Plan
    rng: int
    base: int
    net: Callable[[], torch.nn.Module]
    module: Callable[..., Segmenter]
    data: Callable[..., RoundData]
    trainer: MakeTrainer
    loggers: Sequence[LoggerChoice] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    pseudo: Acquirer | None = None
    evaluation: Evaluation = field(default_factory=Evaluation)
    start: Callable[[torch.nn.Module], object] | None = None
    sharing: Sharing | None = None
    compute: str = "auto"
    described: Kept | None = None

    def __post_init__(self) -> None:
        if self.plan.init == "best" and not self.evaluation.selects:
            raise ValueError("rounds.init=best needs a best checkpoint, but none is chosen: set eval.select_on=bought_holdout, or rounds.init=previous")
        if self.plan.steps == AUTO and self.evaluation.select_on == "val":
            raise ValueError(
                "rounds.steps=auto trains until bought labels say that it is enough, not the evaluation split: set eval.select_on=none or rounds.steps"
            )

    @property
    def labels(self) -> LabelState:
        """The purchases so far, as the files say."""
        return LabelState(self.folder.path, self.store)

    def holdout(self, round_index: int) -> Holdout | None:
        """The bought units that round `round_index` must not train on, if its checkpoint is chosen by them, or it is judged on them."""
        if self.evaluation.select_on == "bought_holdout":
            return Holdout(self.labels, round_index, (self.rng,), self.evaluation.holdout, self._known(round_index))
        found = self._holding(round_index, self.plan.held_units) if self.plan.automatic(round_index) else None
        return found or self.judge(round_index)

    def judge(self, round_index: int) -> Holdout | None:
        """The bought units that round `round_index` is judged on, where there is no validation split to do it on and they are enough."""
        return self._holding(round_index, LEAST_HELD) if self.evaluation.judge_on == "bought_holdout" else None

    def heard(self, round_index: int) -> Oracle:
        """The oracle as round `round_index` hears it."""
        return self.oracle.heard(self.folder.path, round_index)

    def _holding(self, round_index: int, least: int) -> Holdout | None:
        return holding_enough(self.labels, round_index, (self.rng,), self.evaluation.holdout, least, self._known(round_index))

    def _known(self, round_index: int) -> KnownUnits | None:
        """Which bought units have a label, where that is not so of all."""
        return None if self.oracle.simulated else partial(known_units, self.labels, self.heard(round_index))

    def weights(self, round_index: int) -> Path:
        """The checkpoint that stands for a round: its last, or its best."""
        return self.folder.best(round_index) if self.evaluation.selects else self.folder.weights(round_index)

    @property
    def device(self) -> torch.device:
        """Where the network of this process computes."""
        return self.trainer(logger=False, default_root_dir=self.folder.path).strategy.root_device

    def pool(self, method: Acquirer, round_index: int) -> Pool:
        """The pool as `method` sees it after round `round_index`."""
        return Pool(self.store, self.labels, method, self.rng, round_index)


def run(study: Study, reports: bool = True) -> Path:
    """Do every step that is not done yet and return the report's path (the run folder's, if stopped after one step, or if it `reports` nothing).

    Where answers of people are missing it says so, and returns in order to be called again.
    Raises: ValueError when another process works on the same run; DiskFull when there is no space left.
    """
    folder = study.folder
    try:
        with folder.alone(), taking_part(study.sharing, folder) as first:
            if first is not None and first.taken is not None:
                console.print(f"round 0: taken from {first.taken}", markup=False)
                show_round(study, 0)
            for step in steps(study):
                step()
                if first is not None:
                    first.publish()
                if study.plan.stop_after == "step":
                    return folder.path
            return report(study) if reports else folder.path
    except Unanswered as waiting:
        path = report(study) if reports else folder.path
        console.print(str(waiting), markup=False, soft_wrap=True)
        return path
    except OSError as error:
        full = explained(error, folder.path)
        if full is error:
            raise
        raise full from error
    finally:
        for choice in study.loggers:
            choice.close()


def steps(study: Study) -> Iterator[Callable[[], None]]:
    """The steps that are not done yet, found from files when each is reached."""
    if study.labels.rounds == 0:
        yield partial(select, study, study.seed, -1)
    for index in range(study.plan.n):
        if not study.folder.weights(index).is_file():
            listen(study, index)
            yield partial(train if study.described is None else fit, study, index)
        if study.module(net=torch.nn.Identity()).prior == "pool" and not study.folder.prior(index).is_file():
            yield partial(estimate_prior, study, index)
        if not study.folder.metrics(index).is_file():
            yield partial(test, study, index)
        if index + 1 < study.plan.n and study.labels.rounds <= index + 1:
            if study.method.predicts and harvester(study, index).missing():
                yield partial(predict, study, index)
            yield partial(select, study, study.method, index)


class Unanswered(Exception):
    """Not an error: a round waits for people; the words say how many answers there are and how to give more."""


def listen(study: Study, index: int) -> None:
    """Keep the answers that round `index` trains on. Raises: Unanswered when there are not enough."""
    words = study.oracle.listen(study.folder.path, index, study.plan.answered == "all")
    if words is not None:
        raise Unanswered(words)


def train(study: Study, index: int) -> None:
    """Train round `index` on the labels of `labels-RR`; goes on from the round's resume file if there is one."""
    labels = study.labels
    if study.pseudo is not None and index and not labels.has_pseudo(index):
        raise ValueError(
            f"{study.folder.path}: pseudo-{index:02d} is missing but labels-{index:02d} is there: put it back, or delete labels-{index:02d} and later "
            "ones to choose both again"
        )
    holdout = study.holdout(index)
    scenes = len(labels.trained_on(index) if holdout is None else holdout.trained)
    plan, folder = study.plan, study.folder
    logs = [choice.open(folder.path, index, _steps_before(study, index), study.config) for choice in study.loggers] if not _quiet() else []
    started = time.perf_counter()
    stops = plan.automatic(index) and holdout is not None and holdout.units >= plan.held_units
    total = plan.training_steps(scenes, index, stops)
    module = fresh_module(study, index, begins=plan.init == "scratch" or index == 0)
    if plan.init != "scratch" and index:
        source = folder.best(index - 1) if plan.init == "best" else folder.weights(index - 1)
        states = load_weights(module, source)
        module.earlier_optimizers = states if plan.optimizer == "kept" else []
    epoch = min(plan.checkpoint_every, total)
    data = study.data(labels=labels, round_index=index, batches=epoch * plan.accumulate, holdout=holdout, pairs=module.pairs, draw=module.draw)
    labelled = data.count_labels(folder.labelled(index))
    module.weigh(seen_counts(module.draw, labelled))
    wait, seen = DataWait(), Seen(len(study.store.classes), module.draw.weighs)
    judge, kept = study.evaluation, folder.best(index)
    patience = plan.patience if stops else None
    best = [KeepBest(kept, data.selection_dataloader, judge.judged_after(index), judge.absent, patience)] if judge.selects or stops else []
    with stage(f"round {index}: train", total, quiet=_quiet()) as line:
        enough = any_stopped(best)
        keep = Resume(folder.resume(index), folder.weights(index), started, wait, seen, kept if stops and not judge.selects else None, enough)
        trainer = study.trainer(
            callbacks=[wait, seen, *best, keep, ShowProgress(line)],
            logger=logs or False,
            max_steps=total,
            accumulate_grad_batches=plan.accumulate,
            default_root_dir=folder.path,
        )
        resume = folder.resume(index)
        trainer.fit(module, datamodule=data, ckpt_path=resume if resume.is_file() else None, weights_only=True)
    for log in logs:
        log.finalize("success")


def fit(study: Study, index: int) -> None:
    """Let the probe of round `index` learn from the labels of `labels-RR`: seconds, so that a fit that was killed begins anew, to the same bits."""
    described, folder, started = study.described, study.folder, time.perf_counter()
    module = fresh_module(study, index)
    probe = module.net
    if described is None or not isinstance(probe, Fitted):
        raise ValueError("only a probe is fitted, and it needs the descriptions of the prepared data set")
    data = study.data(labels=study.labels, round_index=index, batches=1, holdout=study.judge(index))
    counts = data.count_labels(folder.labelled(index))
    scenes = [data.train_scenes[place] for place in np.flatnonzero(counts.sum(axis=1))]
    key = (study.rng, "fit", index)
    with stage(f"round {index}: fit {probe.head.name}", len(scenes), quiet=_quiet()) as line:
        names = advancing(scenes, line)
        rows, label = gathered(
            names, data.training.labelled, described.rows, chances(counts, min(getattr(probe.head, "rows", None) or MOST, MOST)), (*key, "gather")
        )
        line.note(f"{len(rows):,} labelled voxels")
        probe.standardise(*described.spread)
        loss = probe.fit(rows, label, key, study.trainer)
    seen = np.bincount(label, minlength=counts.shape[1]) / len(label)
    record = {"steps": 0, "rows": len(rows), "loss": loss, "waiting": 0.0, "class_shares": seen.tolist()}
    folder.round(index).mkdir(parents=True, exist_ok=True)
    write_json(folder.weights(index).with_name("train.json"), {**record, "seconds": round(time.perf_counter() - started, 3)})
    with whole_file(folder.weights(index)) as temporary:
        torch.save({"state_dict": module.state_dict()}, temporary)


def any_stopped(judges: Sequence[KeepBest]) -> Callable[[], bool]:
    """Whether one of those that judge a training has had enough."""
    return lambda: any(judge.stopped for judge in judges)


def seen_counts(draw: Draw, labelled: I64) -> list[float]:
    """How many labels of each class a round will see in as many draws of voxels as there are labels; `labelled` i64[S,C] voxels."""
    total = labelled.sum()
    counts = draw.class_shares(labelled) * total if draw.weighs and total else labelled.sum(axis=0)
    return [float(count) for count in counts]


def estimate_prior(study: Study, index: int) -> None:
    """Write the class shares of the pool as round `index`'s network sees a keyed part of it; the first process does, the others wait for the file."""
    if _quiet():
        wait_for(study.folder.prior(index))
        return
    random = generator(study.rng, "prior", index)
    count = len(study.store.splits["train"])
    scenes = sorted(random.permutation(count)[:PRIOR_SCENES].tolist())
    data = study.data(labels=study.labels, round_index=index, batches=1, blocks=[range(scene, scene + 1) for scene in scenes])
    module = fresh_module(study, index)
    load_weights(module, study.weights(index))
    module = module.to(study.device).eval()
    rows = []
    with torch.inference_mode():
        for batch in track(data.predict_dataloader(), f"round {index}: class shares of the pool", len(scenes)):
            prob = module.predict_step(module.transfer_batch_to_device(batch, module.device, 0), 0).prob
            rows.append(prob[np.sort(random.permutation(len(prob))[:PRIOR_VOXELS])])
    trained = read_json(study.folder.weights(index).with_name("train.json"))["class_shares"]
    write_json(study.folder.prior(index), {"trained": trained, "pool": pool_shares(np.concatenate(rows), np.array(trained)).tolist()})


def test(study: Study, index: int) -> None:
    """Judge round `index` once on every validation point, or every held-out one; write metrics.json, print the round's table, log the curve."""
    folder, started, judge = study.folder, time.perf_counter(), study.judge(index)
    _forget_classes(study, index)
    if judge is None and not study.evaluation.on_val:
        if not _quiet():
            write_json(folder.metrics(index), judged(study, index, {}, time.perf_counter() - started))
            show_round(study, index)
        wait_for(folder.metrics(index))
        return
    files = {"last": folder.weights(index)} | ({"best": folder.best(index)} if study.evaluation.selects else {})
    confusions: dict[str, I64] = {}
    data = study.data(labels=study.labels, round_index=index, batches=1, votes=study.evaluation.votes, judge=judge)
    with stage(f"round {index}: test", len(files) * len(data.judged_scenes), quiet=_quiet()) as line:
        for name, file in files.items():
            module = trained_module(study, index, file)
            study.trainer(callbacks=[ShowProgress(line)], logger=False, default_root_dir=folder.path).test(module, datamodule=data, verbose=False)
            confusions[name] = module.judged()
    if _quiet():
        wait_for(folder.metrics(index))
        return
    write_json(folder.metrics(index), judged(study, index, confusions, time.perf_counter() - started))
    show_round(study, index)


def show_round(study: Study, index: int) -> None:
    """Print the table of a judged round and log its point of the curve."""
    records = read_rounds(study.folder.path)
    console.print(round_table(records[index], study.store.classes, records[index - 1] if index else None))
    log_curve(study, index)


def judged(study: Study, index: int, confusions: Mapping[str, I64], seconds: float) -> dict[str, Any]:
    """What metrics.json says about a round; its scores are those of the checkpoint that stands for it, null where nothing was judged."""
    chosen = "best" if study.evaluation.selects else "last"
    judge, classes = study.judge(index), len(study.store.classes)
    confusion = confusions.get(chosen, np.zeros((classes, classes), np.int64))
    result = scores(confusion, study.evaluation.absent) if confusions else None
    where = "val" if study.evaluation.on_val else "nothing" if judge is None else "held_answers"
    purchase = study.labels.purchase(index)
    training = read_json(study.folder.weights(index).with_name("train.json"))
    guessed = {"pseudo": study.labels.pseudo_record(index)} if study.labels.has_pseudo(index) else {}
    return {
        "round": index,
        "labelled_points": purchase["spent_points"],
        "labelled_percent": 100 * purchase["spent_points"] / study.base,
        "miou": result and result.miou,
        "iou": [None if value != value else float(value) for value in result.iou] if result else [None] * classes,
        "accuracy": result and result.accuracy,
        "confusion": confusion.tolist(),
        "checkpoint": chosen,
        "select_on": study.evaluation.select_on,
        "miou_of": {name: scores(counts, study.evaluation.absent).miou for name, counts in confusions.items()},
        "steps": training["steps"],
        "loss": training["loss"],
        **({"rows": training["rows"]} if "rows" in training else {}),
        **class_shares(study, index, training),
        "seconds": {"train": training["seconds"], "waiting": training["waiting"], "test": round(seconds, 3), "predict": None},
        **guessed,
        **({} if where == "val" else {"judged_on": where, "held": 0 if judge is None else judge.units}),
    }


def class_shares(study: Study, index: int, training: Mapping[str, Any]) -> dict[str, list[float]]:
    """The share of each class in the labels of a round, and in what its training saw, where that is known."""
    file = study.folder.labelled(index)
    if "class_shares" not in training or not file.is_file():
        return {}
    counts = np.sum(list(read_json(file).values()), axis=0, dtype=np.float64)
    return {"labelled_shares": [float(share) for share in counts / max(counts.sum(), 1)], "seen_shares": list(training["class_shares"])}


def predict(study: Study, index: int) -> None:
    """Predict the pool's missing blocks with round `index`'s network and keep their rows of units."""
    module = trained_module(study, index, study.weights(index))
    harvest = harvester(study, index)
    blocks = harvest.unfinished
    module.passes, module.feature = study.method.passes, study.method.feature
    data = study.data(labels=study.labels, round_index=index, batches=1, blocks=blocks, reach=harvest.to_predict, views=study.method.views)
    with stage(f"round {index}: predict the pool", len(harvest.to_predict(blocks)), quiet=_quiet()) as line:
        trainer = study.trainer(callbacks=[harvest, ShowProgress(line)], logger=False, default_root_dir=study.folder.path)
        with computing(study.compute, trainer.strategy.root_device):
            trainer.predict(module, datamodule=data, return_predictions=False)


def select(study: Study, method: Acquirer, index: int) -> None:
    """Buy what round `index + 1` will train on; the first process chooses, the others wait for its file."""
    target = study.folder.labels(index + 1) / "manifest.json"
    if _quiet():
        wait_for(target)
        return
    pool = study.pool(method, index)
    if method.predicts:
        files = [study.folder.units(index, block) for block in range(len(pool.blocks()))]
        for file in files:
            wait_for(file)
        units = join([load_units(file) for file in files])
    else:
        with computing(study.compute, study.device):
            units = pool.harvest_unpredicted()
    second = None
    if study.pseudo is not None and index >= 0:
        units = without(units, guessed_before(pool, units))
        classes = PredictedClasses(pool, partial(classes_file, study, index))
        second = partial(guess, pool, study.pseudo, units, study.oracle, study.base, classes)
    with computing(study.compute, study.device):
        buy(pool, units, study.oracle, study.base, study.folder.round(index) / "selection.parquet" if index >= 0 else None, second)
    bought = study.labels.purchase(index + 1)
    name = f"{bought['name']}, unit {bought['unit']},"
    step = "seed" if index < 0 else f"round {index}"
    amounts = f"{counted(bought['units'], 'unit')}, {counted(bought['points'], 'point')} in {counted(bought['scenes'], 'scene')}"
    console.print(f"{step}: {name} bought {amounts}", markup=False)
    if not bought["units"]:
        console.print(f"{step}: earlier rounds spent the budget up to here; the next round trains on the same labels", markup=False)
    if second is not None:
        console.print(f"{step}: {_guessed(study.labels.pseudo_record(index + 1))}", markup=False)


def report(study: Study) -> Path:
    """Write report.json, curve.csv and report.html, and show the pictures to the loggers; returns the report's path."""
    folder = study.folder.path
    if _quiet():
        return folder / "report.html"
    answer = study.heard(study.labels.rounds).answer
    path = write_report(folder, study.store, study.labels, answer, find_full_supervision(folder))
    pictures = sorted((folder / "pictures").rglob("*.png"))
    for choice in study.loggers:
        log = choice.open(folder, study.plan.n - 1, _steps_before(study, study.plan.n), study.config)
        choice.pictures(log, pictures)
        log.finalize("success")
    return path


def log_curve(study: Study, index: int) -> None:
    """Show a finished round to every logger."""
    for choice in study.loggers:
        choice.finished(study.folder.path, index, study.store.classes.names)


def harvester(study: Study, index: int) -> ActiveLearning:
    """The callback that turns round `index`'s predictions into rows of units."""
    kept = None if study.pseudo is None else partial(classes_file, study, index)
    return ActiveLearning(study.pool(study.method, index), partial(study.folder.units, index), kept)


def classes_file(study: Study, index: int, block: int) -> Path:
    """Where the predicted classes of one block's points are kept until the next round is trained."""
    return study.folder.units(index, block).with_suffix(".classes.npy")


def _forget_classes(study: Study, index: int) -> None:
    """Remove the predicted classes that earlier rounds kept: every process has trained on what was guessed by then."""
    if study.pseudo is None or _quiet():
        return
    for earlier in range(index):
        for file in classes_file(study, earlier, 0).parent.glob("*.classes.npy"):
            file.unlink()


def _guessed(record: Mapping[str, Any]) -> str:
    """What the second acquirer did, in one line."""
    if not record["units"]:
        return f"{record['name']} found nothing to guess; the next round trains on bought labels alone"
    amounts = f"{counted(record['units'], 'unit')}, {counted(record['points'], 'point')} in {counted(record['scenes'], 'scene')}"
    right = "" if record["accuracy"] is None else f", {100 * record['accuracy']:.1f} % of the points rightly"
    return f"{record['name']} guessed {amounts} for the next round{right}"


def fresh_module(study: Study, index: int, begins: bool = False) -> Segmenter:
    """A newly initialised network for round `index`; its weights are keyed by (rng, round). One that `begins` has the study's starting weights."""
    torch.manual_seed(seed_of(study.rng, "init", index))
    net = study.net()
    if begins and study.start is not None:
        study.start(net)
    return study.module(net=net, round_index=index)


def trained_module(study: Study, index: int, weights: Path) -> Segmenter:
    """The network of round `index` with trained weights, ready to predict."""
    module = fresh_module(study, index)
    load_weights(module, weights)
    module.correct_beside(weights)
    return module


def _steps_before(study: Study, index: int) -> int:
    """The optimiser steps of all earlier rounds, from their files."""
    files = [study.folder.metrics(earlier) for earlier in range(index)]
    return sum(int(read_json(file)["steps"]) for file in files if file.is_file())


def _quiet() -> bool:
    """Whether this is not the first process: the first alone writes and shows."""
    return not first_process()
