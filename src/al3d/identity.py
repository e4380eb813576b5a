"""What defines a run: its data set, its methods, and every option that could change a number. Loads neither torch nor Lightning."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from al3d.command import missing_options, unwrapped
from al3d.configuration import plain
from al3d.data.hashing import hash_of
from al3d.learn.options import Evaluation
from al3d.plan import AUTO, Plan
from al3d.types import PENULTIMATE, Source

if TYPE_CHECKING:
    from al3d.acquire.acquirer import Acquirer
    from al3d.data.store import Store

#: Options of `rounds` that came after the first runs, with what those did.
ADDED_TO_ROUNDS: Mapping[str, Any] = {"first_steps": None, "first_epochs": None, "optimizer": "fresh", "accumulate": 1}
#: Options of rounds that find their own length, which mean nothing to others; and those of scenes that are drawn by their labels.
OF_AUTO, OF_LABELS = ("cap", "patience", "held_units", "fixed"), ("draw", "draw_exponent", "draw_floor")
Tree = dict[str, Any]


def data_source(config: DictConfig) -> Source:
    """The data set's source; fills the lengths and inputs that the configuration leaves to it.

    Raises: ValueError for a missing root and for fewer than two classes; whatever the source raises about its files.
    """
    missing = sorted(missing_options(OmegaConf.to_container(config, resolve=False)))
    if missing:
        raise ValueError(f"these options have no value yet: {', '.join(missing)}. Give them on the command line, for example {missing[0]}=/path/to/data")
    with unwrapped(ValueError, OSError):
        source = cast(Source, instantiate(config.dataset.source))
    scale = {key: value for key, value in source.scale.items() if config.dataset.scale.get(key, 0) is None}
    for key, value in scale.items():
        config.dataset.scale[key] = value
    if config.dataset.scale.unit_voxel is None:
        config.dataset.scale.unit_voxel = 2.5 * config.dataset.scale.supervoxel_voxel
    unknown = [key for key, value in config.dataset.scale.items() if value is None]
    if unknown:
        raise ValueError(f"data set {source.name} does not say its {', '.join(map(str, unknown))}: give dataset.scale.{unknown[0]}=METRES")
    if len(source.classes) < 2:
        known = f"one class only ({', '.join(source.classes.names)})" if len(source.classes) else "no class"
        raise ValueError(f"data set {source.name} has {known}: there is nothing to tell apart; name at least two classes")
    config.classes = len(source.classes)
    config.dataset.attributes = list(source.features)
    if config.dataset.inputs is None or is_probe(config):
        config.dataset.inputs = [*source.features, "x", "y", "z"]
    return source


def is_probe(config: DictConfig) -> bool:
    """Whether a probe stands where a network would be."""
    return "descriptions" in config.net


def is_people(config: DictConfig) -> bool:
    """Whether people answer: they say classes by name, and scans without labels do not tell which ones there are."""
    return str(config.oracle["_target_"]).endswith(".PeopleOracle")


def chosen_methods(config: DictConfig) -> tuple[Acquirer, Acquirer, Plan]:
    """Seed, method and plan: built before any data is read, so that a wrong option costs no time."""
    plan = Plan(**plain(config)["rounds"])
    with unwrapped(ValueError, OSError):
        seed = cast("Acquirer", instantiate(config.seed, _convert_="all"))
        method = cast("Acquirer", instantiate(config.acquire, _convert_="all"))
    if seed.predicts:
        raise ValueError(f"seed={seed.name} needs predictions, but before the seed there is no network: choose a seed from conf/seed")
    return seed, method, plan


def start_identity(config: DictConfig) -> Tree | None:
    """What the weights that training starts from are, None for fresh ones."""
    if config.start.weights is None:
        return None
    with unwrapped(ValueError, OSError):
        return cast(Tree | None, instantiate(config.start).identity)


def identity_of(config: DictConfig, store: Store, methods: Mapping[str, Acquirer] | None = None, start: Tree | None = None) -> Tree:
    """What defines a run: the data's content and every option that could change a number.

    Of the features that `methods` (by group) choose by, the content of their weights counts, not where those lie. `start` says the same of
    the weights that training starts from, None: fresh ones.
    """
    tree = plain(config)
    for group, method in (methods or {}).items():
        if method.features is not None:
            tree[group] = {**without_places(tree[group]), "described_by": hash_of(method.features.identity)}
    dataset = {key: value for key, value in tree["dataset"].items() if key not in ("source", "root", "steps", "epochs", "attributes")}
    rounds = {key: value for key, value in tree["rounds"].items() if key not in ("n", "stop_after", "answered")}
    pseudo = {"pseudo": tree["pseudo"]} if tree.get("pseudo") else {}
    evaluation = changed(tree["eval"], dataclasses.asdict(Evaluation()))
    rounds = changed(rounds, ADDED_TO_ROUNDS, ADDED_TO_ROUNDS)
    if rounds["steps"] != AUTO:
        rounds = {key: value for key, value in rounds.items() if key not in OF_AUTO}
    learner = tree["learner"]
    if learner.get("draw", "scenes") == "scenes":
        learner = {key: value for key, value in learner.items() if key not in OF_LABELS}
    if learner.get("prior", "trained") == "trained":
        learner = {key: value for key, value in learner.items() if key not in ("prior", "prior_strength")}
    return {
        "data": store.data_hash,
        "dataset": {**dataset, "name": store.name},
        "seed": tree["seed"],
        "acquire": changed(tree["acquire"], {"feature": PENULTIMATE}),
        **pseudo,
        "net": changed(net_identity(config, tree["net"]), {"backend": "al3d"}),
        **({"start": start} if start else {}),
        "learner": learner,
        "rounds": rounds,
        "oracle": tree["oracle"],
        **({"classes": list(store.classes.names)} if is_people(config) else {}),
        **({"eval": evaluation} if evaluation else {}),
        "precision": tree["trainer"]["precision"],
        "rng": tree["rng"],
    }


def net_identity(config: DictConfig, options: Tree) -> Tree:
    """The options of the network; of a probe's descriptions, what they are and not where their files lie."""
    if not is_probe(config):
        return options
    parts = instantiate(config.net.descriptions, _convert_="all")
    return {**options, "descriptions": {name: hash_of(part.identity) for name, part in parts.items()}}


def changed(options: Tree, defaults: Mapping[str, Any], among: Collection[str] | None = None) -> Tree:
    """The options without those, `among` some, that are at their default: an option that a later version adds renames no run that leaves it alone."""
    return {key: value for key, value in options.items() if not ((among is None or key in among) and key in defaults and value == defaults[key])}


def without_places(node: Any, inside: bool = False) -> Any:
    """A method's options without those that say where its features' weights lie or how they are computed."""
    if isinstance(node, dict):
        return {
            key: without_places(part, inside or key in ("features", "thin"))
            for key, part in node.items()
            if not (inside and key in ("weights", "device", "batch", "download", "run"))
        }
    return [without_places(part, inside) for part in node] if isinstance(node, list) else node
