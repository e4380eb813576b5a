"""From a configuration to the parts of a run: checks at the door, then prepared data, then a guarded run folder."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.described import check_described, described_unit, prepare_features
from al3d.acquire.pool import base_points
from al3d.acquire.pseudo import check_pair
from al3d.acquire.window import windows
from al3d.command import unwrapped
from al3d.configuration import plain
from al3d.data.batch import Crop, Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.hashing import hash_of
from al3d.data.jobs import Jobs
from al3d.data.labels import LabelState
from al3d.data.prepare import check_extents, prepare, store_folder, voxel_counts
from al3d.data.store import Store
from al3d.data.unasked import unasked_warning
from al3d.files import whole_file
from al3d.for_probes import check_probe, ranks_of
from al3d.identity import Tree, chosen_methods, data_source, identity_of, is_probe
from al3d.learn.evaluation import Evaluation
from al3d.learn.on_device import check_compute, check_devices, device_of
from al3d.people.exchange import check_names
from al3d.probes.description import Kept
from al3d.probes.fit import Fitted
from al3d.rounds import Plan, Study
from al3d.run import RunFolder, features_name, first_process, identity_hash, say, wait_for
from al3d.sharing import Sharing, first_round
from al3d.sparse import blas, proof
from al3d.sparse.backend import Own
from al3d.sparse.engine import engine_for, engine_name, right_for, use
from al3d.threads import limit_threads
from al3d.types import IGNORE, Oracle, Source

#: What may change between restarts: how a run is executed, and how far it goes.
EXECUTION = ("accelerator", "devices", "num_nodes", "strategy", "threads", "workers", "compute")


def study_of(config: DictConfig, source: Source | None = None) -> Study:
    """Compose everything of one run, from its data set's `source` if it is there already; raises before anything is trained.

    Raises: ValueError or FileNotFoundError naming the option or file, the value and the way out.
    """
    limit_threads(config.trainer.threads)
    check_compute(config.trainer.compute)
    check_devices(config.trainer.accelerator, config.trainer.devices)
    quiet_libraries()
    source = source or data_source(config)
    seed, method, plan = chosen_methods(config)
    pseudo = chosen_pseudo(config, method)
    probing = is_probe(config)
    check_probe(config, method)
    inputs = tuple(config.dataset.inputs)
    voxeliser, crop = voxels_of(config, source)
    module = partial(instantiate(config.learner), classes=len(source.classes), rng=config.rng)
    evaluation = Evaluation(**plain(config)["eval"])
    module(net=torch.nn.Identity())  # a wrong option of the learner costs no time either
    engine = OmegaConf.select(config, "sparse.engine", default="auto")
    net = partial(instantiate(config.net), len(inputs), len(source.classes), **({} if engine == "auto" or probing else {"engine": engine}))
    with unwrapped(ValueError, OSError):
        start = instantiate(config.start)
    with torch.device("meta"):
        empty = net()
    start.check(empty)  # nor does a file that does not fit
    use("auto")  # whatever another run in this process began with
    convolution = convolving(empty, config.trainer.accelerator, config.trainer.precision)
    say(f"probe: {probe_words(empty)}" if isinstance(empty, Fitted) else f"sparse convolution: {convolution}")
    for group, chosen in (("seed", seed), ("acquire", method)):
        _check_source(chosen, source, group)
    store = prepared(config, source, (seed, method))
    for chosen in (seed, method):
        _check_store(chosen, store)
    oracle = instantiate(config.oracle)(store)
    evaluation = dataclasses.replace(evaluation, judge_on=judging(store, oracle, evaluation))
    described = prepared_descriptions(config, store) if probing else None
    identity = identity_of(config, store, {"seed": seed, "acquire": method}, start.identity)
    folder = run_folder(config, identity)
    tree = plain(config)
    execution = {key: tree["trainer"][key] for key in EXECUTION} | {"n": plan.n, "logger": sorted(tree["logger"]), "engine": engine}
    check_asked(oracle, seed, method, ranks_of(config), store.classes.names)
    if oracle.simulated and LabelState(folder.path, store).rounds == 0:
        check_answerable(store)
    execution["device"] = device_of(config.trainer.accelerator).type
    if not probing:
        execution["products"] = multiplying(folder)
        execution |= going_on(folder, empty, config.trainer.accelerator, config.trainer.precision)
        convolution = convolving(empty, config.trainer.accelerator, config.trainer.precision)
        convolution = f"{convolution}, products of {execution['products']}"
    if first_process():
        folder.check_free()
        folder.log_execution(execution)
        with whole_file(folder.path / "config.yaml") as temporary:
            temporary.write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
    for chosen in (seed, method):
        _check_method(chosen, net, store)
    base = base_points(store, config.rounds.base, method)
    _check_total(config, base, plan)
    shared = config.paths.get("shared") if oracle.simulated else None
    ranks = ranks_of(config)
    counted = voxel_counts(store, voxeliser.size) if plan.batch_voxels is not None or ranks > 1 else None
    data = partial(
        RoundData,
        store=store,
        oracle=oracle,
        voxeliser=voxeliser,
        augment=instantiate(config.dataset.augment, _convert_="all"),
        rng=config.rng,
        batch_size=plan.batch // plan.accumulate,
        accumulate=plan.accumulate,
        workers=config.trainer.workers,
        judged_points=config.dataset.judged_points,
        crop=crop,
        batch_voxels=None if plan.batch_voxels is None else plan.batch_voxels // plan.accumulate,
        voxel_counts=counted,
        select_on=evaluation.select_on,
        rows=None if described is None else described.rows,
    )
    return Study(
        folder=folder,
        store=store,
        oracle=oracle,
        seed=seed,
        method=method,
        pseudo=pseudo,
        evaluation=evaluation,
        plan=plan,
        rng=config.rng,
        base=base,
        net=net,
        start=start,
        module=module,
        data=data,
        trainer=partial(make_trainer, {key: value for key, value in tree["trainer"].items() if key not in ("threads", "workers", "compute")}),
        compute=config.trainer.compute,
        described=described,
        loggers=[instantiate(choice, _convert_="all") for choice in config.logger.values()],
        config=tree,
        sharing=None if shared is None else Sharing(Path(shared), first_round(identity, base, {**tree["trainer"], "convolution": convolution})),
    )


def probe_words(probe: Fitted) -> str:
    """What a probe is, in a line."""
    return f"{probe.head.name} on {' and '.join(part.name for part in probe.descriptions)}"


def prepared_descriptions(config: DictConfig, store: Store) -> Kept:
    """What a probe looks at in every scene of the data set; made when needed."""
    with unwrapped(ValueError, OSError):
        parts = instantiate(config.net.descriptions, _convert_="all")
    described = Kept(store, tuple(parts.values()), float(config.dataset.scale.voxel))
    described.prepare(Jobs(**config.prepare))
    return described


def convolving(net: torch.nn.Module, accelerator: str, precision: str | int) -> str:
    """Who convolves in a network on the device that this configuration gets here. Raises: ValueError for an engine that was named and computes wrong there."""
    device, dtypes = device_of(accelerator), types_of(precision)
    backend = getattr(net, "backend", None)
    if not isinstance(backend, Own):
        return getattr(backend, "name", "as the network does it")
    name = engine_name(backend.engine, device, dtypes[0])
    if proof.concerns(device):
        name = right_for(device, dtypes) if backend.engine == "auto" else name
        check_right(name, device, dtypes)
    return f"al3d's {name} engine on {device.type}"


def types_of(precision: str | int) -> tuple[torch.dtype, ...]:
    """The types that convolutions have under `trainer.precision`, that of most of them first."""
    kind, _, how = str(precision).partition("-")
    dtype = {"16": torch.float16, "bf16": torch.bfloat16, "64": torch.float64}.get(kind, torch.float32)
    return (dtype, torch.float32) if how == "mixed" else (dtype,)


def check_right(name: str, device: torch.device, dtypes: tuple[torch.dtype, ...]) -> None:
    """Raises: ValueError for an engine that computes wrong on a GPU."""
    for dtype in dtypes:
        engine_for(name, device, dtype)


def going_on(folder: RunFolder, net: torch.nn.Module, accelerator: str, precision: str | int) -> dict[str, Any]:
    """Which engine "auto" means for this run on a GPU, and what was wrong with others: the one that the run began with there, else the first that is right.

    Raises: ValueError when the one that it began with computes wrong on this GPU.
    """
    device, dtypes, backend = device_of(accelerator), types_of(precision), getattr(net, "backend", None)
    if not proof.concerns(device) or not isinstance(backend, Own):
        return {}
    if backend.engine != "auto":
        return {"convolution": backend.engine}
    began = folder.started_with("convolution")
    use(began or "auto")
    if began is not None:
        check_right(began, device, dtypes)
    taken, faults = right_for(device, dtypes), proof.faults()
    return {"convolution": taken} | ({"convolution_faults": faults} if faults else {})


def multiplying(folder: RunFolder) -> str:
    """The library whose products this process takes from here on: the one that the run began with, else the faster one on this machine."""
    blas.use(folder.started_with("products") or blas.fastest())
    return blas.taken().name


def voxels_of(config: DictConfig, source: Source) -> tuple[Voxeliser, Crop | None]:
    """How scenes become voxels, and how large ones are cut for training; checked before any data is read."""
    dataset = config.dataset
    voxeliser = Voxeliser(
        size=dataset.scale.voxel,
        inputs=tuple(dataset.inputs),
        attributes=source.features,
        classes=len(source.classes),
        reduce=dataset.reduce,
        center=dataset.center,
        voxel_label=dataset.voxel_label,
    )
    return voxeliser, None if dataset.crop_voxels is None else Crop(dataset.crop_voxels)


def chosen_pseudo(config: DictConfig, method: Acquirer) -> Acquirer | None:
    """The second acquirer, whose choices are labelled by the network, or None. Raises: ValueError when it cannot go with the method."""
    if not config.get("pseudo"):
        return None
    second = cast(Acquirer, instantiate(config.pseudo, _convert_="all"))
    check_pair(method, second)
    return second


def prepared(config: DictConfig, source: Source, methods: tuple[Acquirer, ...]) -> Store:
    """The prepared data set with everything that these methods (seed and acquisition) read; made when needed, by the first process alone.

    Says where much of the training points is in no unit, so that nobody learns from a flat curve that it could not be asked for.
    """
    extras = list({extra: None for method in methods for extra in method.extras})
    for extra in extras:
        if source.features[: len(extra.needs)] != extra.needs:
            raise ValueError(
                f"{extra.name} needs the attributes {', '.join(extra.needs)}, but {source.name} has {', '.join(source.features)}: "
                "set that term's weight to 0 (for ReDAL: dataset.redal.colour=0) or choose another method"
            )
    units = list({unit: None for method in methods for unit in method.partitions})
    root = Path(config.paths.data)
    folder = store_folder(source, root, grid=config.dataset.grid)
    jobs = Jobs(**config.prepare)
    counted = None if config.rounds.batch_voxels is None and ranks_of(config) == 1 else config.dataset.scale.voxel
    described = [[part.identity, described_unit(method)] for method in methods for part in (method.features, method.thin and method.thin.features) if part]
    ready = root / ".ready" / hash_of([folder.name, extras, units, counted, described, config.dataset.scale.voxel])
    if not first_process():
        wait_for(ready)
        return Store(folder)
    scenes = prepare(source, root, grid=config.dataset.grid, **dataclasses.asdict(jobs))
    if not ready.is_file():
        check_extents(scenes, config.dataset.scale.voxel, jobs)
    for method in methods:
        check_described(scenes, method)
    store = prepare(source, root, grid=config.dataset.grid, extras=extras, partitioners=units, **dataclasses.asdict(jobs))
    if counted is not None:
        voxel_counts(store, counted, jobs)
    for method in methods:
        prepare_features(store, method, jobs)
    if not ready.is_file():  # a store that is there may be read-only
        with whole_file(ready) as temporary:
            temporary.write_text(store.data_hash, encoding="utf-8")
    for unit, group in {method.unit: group for group, method in zip(("seed", "acquire"), methods, strict=False)}.items():
        words = unasked_warning(store, unit, group, jobs)
        if words is not None:
            say(words)
    return store


def run_folder(config: DictConfig, identity: Tree) -> RunFolder:
    """The run's folder, named by its identity, with the guard passed.

    The name has no `=`, no space and no time: the command line of a distributed child process carries it.
    """
    net = str(identity["net"]["_target_"]).rsplit(".", 1)[-1].lower()
    unit = str(identity["acquire"]["unit"]["_target_"]).rsplit(".", 2)[-2]
    method = f"{identity['acquire']['name']}{'-pseudo' if 'pseudo' in identity else ''}"
    seed = "-".join(filter(None, (identity["seed"]["name"], features_name(identity["seed"]))))
    name = f"{identity['dataset']['name']}-{net}-{seed}-{method}-{unit}-rng{identity['rng']}-{identity_hash(identity)}"
    folder = RunFolder(Path(config.paths.run) if config.paths.run else Path(config.paths.outputs) / name)
    folder.guard(identity)
    return folder


def make_trainer(settings: Mapping[str, Any], max_steps: int = -1, **options: Any) -> pl.Trainer:
    """A fresh Trainer: our samplers, our checkpoints, our progress line."""
    return pl.Trainer(
        **settings,
        max_steps=max_steps,
        max_epochs=-1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        **options,
    )


def quiet_libraries() -> None:
    """Silence what the trainer says on every stage; our own lines say it once."""
    for name in ("pytorch_lightning", "lightning.pytorch", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*wandb run already in progress.*",
        ".*Checkpoint directory.*exists.*",
        ".*isinstance.treespec.*",
        ".*`srun` command is available.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def _check_source(method: Acquirer, source: Source, group: str) -> None:
    """Refuse a seed or method that the data set's attributes cannot serve, before anything is prepared; `group` is where its options are."""
    if getattr(method.unit, "ground", False) and "intensity" not in source.features:
        raise ValueError(
            f"{method.name} asks for clusters above the ground as a LiDAR scanner sees it, but {source.name} has {', '.join(source.features)} instead of an "
            f"intensity: choose a LiDAR data set, another unit, or set {group}.unit.ground=false"
        )


def _check_method(method: Acquirer, net: Callable[[], torch.nn.Module], store: Store) -> None:
    """Refuse a seed or method that cannot work here, before anything is trained."""
    if method.passes > 1 and not any(isinstance(part, torch.nn.Dropout) and part.p > 0 for part in net().modules()):
        raise ValueError(f"{method.name} makes {method.passes} dropout passes, but the network has no dropout: set net.dropout=0.3, or choose net=spvcnn")
    if method.context:
        scenes = [store.scene(name) for name in store.splits["train"]]
        if any(scene.sequence is None for scene in scenes):
            raise ValueError(
                f"{method.name} compares the frames of a drive, but the scenes of {store.name} belong to none: choose a LiDAR data set or another method"
            )
        windows([str(scene.sequence) for scene in scenes], method.context)


def _check_store(method: Acquirer, store: Store) -> None:
    """Let parts that read the files of others (lists, earlier runs) compare them with the data, before anything is bought."""
    for part in (method.unit, method.score):
        check = getattr(part, "check_store", None)
        if check is not None:
            check(store, method.unit)


def judging(store: Store, oracle: Oracle, evaluation: Evaluation) -> str:
    """What rounds are judged on: "val", "bought_holdout" or "none"; refuses data in which nothing can be judged or bought, before hours of training.

    Looks no further than the first labelled scene of a split. Raises: ValueError naming the scenes.
    """
    val = store.splits["val"]
    labelled = any(_labelled(oracle, store, name) for name in val)
    if not labelled and (evaluation.judge_on == "val" or evaluation.select_on == "val" or (oracle.simulated and evaluation.judge_on == "auto")):
        raise ValueError(
            f"{_none_of('val', val)}: nothing can be judged: label some of them, or name labelled scenes in splits.val; without any, "
            "eval.judge_on=bought_holdout judges on a part of what is bought, eval.judge_on=none on nothing"
        )
    bare = [name for name in val if not store.labelled(name)] if labelled and evaluation.judge_on in ("auto", "val") else []
    if bare:
        say(f"warning: {len(bare)} of the {len(val)} val scenes hold no labelled point ({', '.join(bare[:5])}): networks are judged on the others")
    train = store.splits["train"]
    if oracle.simulated and train and not any(_labelled(oracle, store, name) for name in train):
        raise ValueError(
            f"{_none_of('train', train)}: nothing can be bought or learned; oracle=people asks you (in LAS files a classification is a label where "
            "dataset.yaml names its codes, as in classes: {2: ground, 6: building})"
        )
    return evaluation.judge_on if evaluation.judge_on != "auto" else "val" if labelled else "bought_holdout"


def check_answerable(store: Store) -> None:
    """Refuse training scenes without any label: a simulated oracle has no answer there, so that buying them would waste the budget.

    Raises: ValueError naming them.
    """
    train = store.splits["train"]
    unknown = [name for name in train if not store.labelled(name)]
    if unknown:
        shown = f"{', '.join(map(repr, unknown[:5]))}{', ...' if len(unknown) > 5 else ''}"
        raise ValueError(
            f"{len(unknown)} of the {len(train)} train scenes hold no labelled point ({shown}): a simulated oracle has no answer there, and budget "
            "would be spent on them: take them out of splits.train, or let people answer with oracle=people"
        )


def check_asked(oracle: Oracle, seed: Acquirer, method: Acquirer, ranks: int, names: Sequence[str]) -> None:
    """Refuse what people cannot answer, and what cannot wait for them. Raises: ValueError with the way out."""
    if oracle.simulated:
        return
    for group, chosen in (("seed", seed), ("acquire", method)):
        if chosen.unit.name == "scene":
            raise ValueError(f"{group}={chosen.name} asks for whole scenes, which no single click answers: choose regions, unit@{group}.unit=supervoxel")
    check_names(names)
    if ranks > 1:
        raise ValueError(f"oracle=people stops to wait for answers, and cannot with {ranks} processes: set trainer.devices=1 trainer.num_nodes=1")


def _labelled(oracle: Oracle, store: Store, name: str) -> bool:
    return bool((oracle.answer(name, np.ones(store.sizes[name], dtype=bool)) != IGNORE).any())


def _none_of(split: str, scenes: Sequence[str]) -> str:
    named = ", ".join(map(repr, scenes[:5])) + (", ..." if len(scenes) > 5 else "")
    return f"none of the {len(scenes)} {split} scenes ({named}) holds a labelled point" if scenes else f"there are no {split} scenes"


def _check_total(config: DictConfig, base: int, plan: Plan) -> None:
    """Refuse a plan that would buy more than there is, before anything is trained."""
    budget = config.acquire.budget
    if plan.n == 1 or budget.per != "percent":
        return
    first = config.seed.budget.amount if config.seed.budget.per == "percent" else 0
    total = (first or 0) + (plan.n - 1) * budget.amount
    guessed = config.pseudo.budget if config.get("pseudo") and plan.n > 2 else None
    if guessed is not None and guessed.per == "percent" and total <= 100 < total + guessed.amount:
        raise ValueError(
            f"{plan.n} rounds buy {total:g} percent, and the {guessed.amount:g} percent that pseudo-labels guess are not for sale in the next round: "
            "together more than there is; lower rounds.n, rounds.step or pseudo.budget.amount"
        )
    everything = config.seed.budget.per == "everything" and config.seed.pick.get("above") is None
    if everything or total > 100:
        wanted = "everything and then more" if everything else f"{total:g} percent of {base:,} points"
        raise ValueError(f"{plan.n} rounds would buy {wanted}: lower rounds.n, rounds.initial or rounds.step (a fully supervised run is seed=all rounds.n=1)")
