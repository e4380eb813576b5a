"""Every configuration file composes and names things that exist, and every method keeps the contract of acquisition.

New YAML files are found by themselves: a method that is not here cannot be forgotten.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Ledger, Spent
from al3d.acquire.reduce import join
from al3d.data.voxelise import voxelise
from al3d.rng import generator
from al3d.types import I64, Scene, Units, View

CONF = Path(__file__).resolve().parents[1] / "conf"
GROUPS = sorted({path.parent.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")} - {"."})
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml")) if not path.stem.startswith("_")]
#: Groups that belong inside another one.
PLACES = {
    "augment": "augment@dataset.augment",
    "unit": "unit@acquire.unit",
    "views": "views@features.views",
    "loss": "loss@learner.loss",
    "head": "head@net.head",
    "description": "description@net.descriptions",
    "schedule": "+schedule@learner.schedule",
    "thin": "+thin@seed.thin",
    "row": "+row",
    "row/seed": "+row/seed",
}
CLASSES = 5


def choices(*groups: str) -> list[Any]:
    return [pytest.param(group, choice, id=f"{group}-{choice}") for group, choice in CHOICES if group in groups]


@cache
def composed(*overrides: str, name: str = "train") -> DictConfig:
    """The configuration of a command; options without a value get one. Read-only, since it is shared."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose(name, overrides=list(overrides))
    for key in missing(OmegaConf.to_container(config)):
        OmegaConf.update(config, key, "/nowhere")
    OmegaConf.update(config, "classes", CLASSES)
    OmegaConf.set_readonly(config, True)
    return config


def missing(node: Any, path: str = "") -> list[str]:
    """The options without a value; `OmegaConf.missing_keys` stops at an interpolation that leads to one."""
    if isinstance(node, dict):
        return [key for name, part in node.items() for key in missing(part, f"{path}.{name}" if path else str(name))]
    return [path] if node == "???" else []


def chosen(group: str, choice: str) -> DictConfig:
    if group == "experiment/table":
        return composed(f"experiment=table/{choice}")
    with_probe = ("net=probe",) if group in ("head", "description") else ()
    return composed(*with_probe, f"{PLACES.get(group, group)}={choice}")


def targets(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(dotted path, node) of everything that is to be built."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, part in node.items():
            yield from targets(part, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, part in enumerate(node):
            yield from targets(part, f"{path}[{index}]")


def test_groups_were_found() -> None:
    assert {"acquire", "augment", "dataset", "experiment", "learner", "logger", "net", "oracle", "rounds", "seed", "trainer", "unit"} <= set(GROUPS)


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_choice_composes_and_its_parts_exist(group: str, choice: str) -> None:
    tree = OmegaConf.to_container(chosen(group, choice), resolve=True, throw_on_missing=True)
    found = dict(targets(tree))
    assert {"dataset.source", "seed", "acquire", "net", "learner", "oracle"} <= set(found)
    for path, node in found.items():
        part = get_object(node["_target_"])
        arguments = {key: value for key, value in node.items() if key not in ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")}
        try:
            inspect.signature(part).bind_partial(**arguments)
        except TypeError as error:
            pytest.fail(f"{group}={choice}: {path}: {node['_target_']} does not take these options: {error}")


@pytest.mark.parametrize("name", ["train", "prepare"])
def test_entry_point_composes(name: str) -> None:
    assert composed(name=name).acquire.name


def test_unknown_option_fails() -> None:
    with pytest.raises(ConfigCompositionException, match="nonsense"):
        composed("acquire.nonsense=1")


@pytest.mark.parametrize(("group", "choice"), choices("seed", "acquire"))
def test_method_builds(group: str, choice: str) -> None:
    method = method_of(group, choice)
    assert isinstance(method, Acquirer)
    assert method.name == choice
    assert not (group == "seed" and method.predicts), "a seed is chosen before there is a network"


@pytest.mark.parametrize(("group", "choice"), choices("unit"))
def test_unit_builds(group: str, choice: str) -> None:
    if missing(OmegaConf.to_container(OmegaConf.load(CONF / group / f"{choice}.yaml"))):
        pytest.skip(f"{choice} reads files that must be named: it has tests of its own")
    unit = instantiate(chosen(group, choice).acquire.unit)
    assert isinstance(unit.name, str) and isinstance(unit.stored, bool)
    assert unit.kinds and (unit.stored or len(unit.kinds) == 1), "the kinds of units are kept beside their ids"
    partition = unit(WORLD[0])
    ids, kinds = partition.unit, partition.kinds()
    assert kinds.shape == (int(ids.max()) + 1,) and kinds.dtype == np.uint8 and kinds.max(initial=0) < len(unit.kinds)
    assert ids.shape == (len(WORLD[0]),) and ids.dtype == np.int32
    found = np.unique(ids)
    assert found[0] >= -1 and np.array_equal(found[found >= 0], np.arange((found >= 0).sum()))


@pytest.mark.parametrize(("group", "choice"), choices("net"))
def test_net_builds_and_runs(group: str, choice: str) -> None:
    if choice == "probe":
        pytest.skip("a probe is no network: tests/integration/test_probe.py fits and runs it")
    make = instantiate(chosen(group, choice).net)
    assert isinstance(make, partial)
    net = make(4, CLASSES, width=0.125).eval()
    assert isinstance(net, torch.nn.Module)
    coord, _ = voxelise(WORLD[0].xyz, 0.2)
    four = torch.from_numpy(np.concatenate([np.zeros((len(coord), 1), np.int32), coord], axis=1))
    with torch.no_grad():
        output = net(four, torch.zeros(len(coord), 4))
    assert output.logits.shape == (len(coord), CLASSES) and output.feature.shape[0] == len(coord)


@pytest.mark.parametrize(("group", "choice"), choices("augment"))
def test_augmentation_builds_and_is_keyed(group: str, choice: str) -> None:
    steps = instantiate(chosen(group, choice).dataset.augment, _convert_="all")
    assert isinstance(steps, list)
    results = []
    for _ in range(2):
        random, xyz, feat = generator("augment", choice), WORLD[0].xyz.copy(), WORLD[0].feat.copy()
        for step in steps:
            xyz, feat = step(xyz, feat, random)
        results.append((xyz, feat))
    assert results[0][0].shape == WORLD[0].xyz.shape and results[0][1].shape == WORLD[0].feat.shape
    assert np.isfinite(results[0][0]).all() and np.array_equal(results[0][0], results[1][0]) and np.array_equal(results[0][1], results[1][1])
    assert bool(steps) != np.array_equal(results[0][0], WORLD[0].xyz)


@pytest.mark.parametrize(("group", "choice"), choices("logger"))
def test_logger_builds(group: str, choice: str) -> None:
    built = [instantiate(node, _convert_="all") for node in chosen(group, choice).logger.values()]
    assert built and all(callable(one.open) and callable(one.pictures) for one in built)


@pytest.mark.parametrize(("group", "choice"), choices("learner", "oracle"))
def test_factory_builds(group: str, choice: str) -> None:
    assert isinstance(instantiate(chosen(group, choice)[group]), partial)


# The contract of acquisition, on six rooms of 3,000 points.


def room(index: int) -> Scene:
    """A floor, a wall and a box, 3 m wide."""
    random = generator("test_conf", index)
    flat = random.uniform(0, 3, (1000, 2))
    low = np.stack([flat[:, 0], flat[:, 1], np.zeros(1000)], axis=1)
    wall = np.stack([flat[:, 0], np.zeros(1000), flat[:, 1]], axis=1)
    box = random.uniform(0, 1, (1000, 3)) + np.array([1, 1, 0])
    xyz = np.concatenate([low, wall, box]).astype(np.float32)
    return Scene(id=f"room_{index}", xyz=xyz, feat=random.random((3000, 3), dtype=np.float32))


WORLD = tuple(room(index) for index in range(6))
BASE = sum(map(len, WORLD))
#: Room sizes and the world fit these budgets: several units can be bought, and not all of them.
PLAN = ("rounds.initial=30", "rounds.step=20")


def method_of(group: str, choice: str) -> Acquirer:
    if missing(OmegaConf.to_container(OmegaConf.load(CONF / group / f"{choice}.yaml"))):
        pytest.skip(f"{choice} reads a file that must be named: it has tests of its own")
    resolved = OmegaConf.to_container(composed(f"{group}={choice}", *PLAN), resolve=True)
    method: Acquirer = instantiate(OmegaConf.create(resolved)[group], _convert_="all")
    return method


@cache
def unit_ids(method: Acquirer, index: int) -> Any:
    return method.unit(WORLD[index]).unit


@cache
def extra_of(extra: Any, index: int) -> Any:
    return extra(WORLD[index])


def asked_of(method: Acquirer, index: int, first: bool) -> Any:
    """What is asked already: nothing before the seed, then the first scene, and every third unit of the second."""
    if first or index > 1:
        return np.zeros(len(WORLD[index]), dtype=bool)
    return np.ones(len(WORLD[index]), dtype=bool) if index == 0 else unit_ids(method, index) % 3 == 1


@cache
def regions_of(other: Any, index: int) -> Any:
    return other(WORLD[index]).unit


def view_of(method: Acquirer, index: int, first: bool) -> View:
    """A room and, for a score that compares frames, all others around it: they stand in one place."""
    view = alone(method, index, first)
    if not method.context:
        return view
    return replace(view, neighbours=tuple(alone(method, other, first) for other in range(len(WORLD)) if other != index))


def alone(method: Acquirer, index: int, first: bool) -> View:
    random = generator("test_conf", "predictions", index)
    _, inverse = voxelise(WORLD[index].xyz, 0.2)
    count = int(inverse.max()) + 1
    extras: Sequence[Any] = method.extras
    scene = replace(WORLD[index], extra={extra.name: extra_of(extra, index) for extra in extras})
    return View(
        scene=scene,
        index=index,
        unit=unit_ids(method, index),
        kind=method.unit(WORLD[index]).kinds(),
        asked=asked_of(method, index, first),
        key=(1, "acquire", 0, scene.id),
        prob=random.dirichlet(np.full(CLASSES, 0.5), count).astype(np.float32) if method.predicts else None,
        feature=random.random((count, 8), dtype=np.float32) if method.predicts else None,
        inverse=inverse if method.predicts else None,
        entropy_of_passes=random.random(count, dtype=np.float32) if "passes" in method.needs else None,
        regions={other: regions_of(other, index) for other in method.partitions[1:]},
        described=described_as(method, index),
        whole=method.unit.name == "scene",
    )


def described_as(method: Acquirer, index: int) -> Any:
    """Features of another number of views per room, or one per unit."""
    if method.features is None:
        return None
    count = 3 + index if method.unit.name == "scene" else int(unit_ids(method, index).max()) + 1
    return generator("test_conf", "features", index).normal(size=(count, 6)).astype(np.float32)


def selection(group: str, choice: str, shards: Sequence[Sequence[int]]) -> tuple[Units, I64, Ledger]:
    """Choose once, with the scenes harvested in shards."""
    method, first = method_of(group, choice), group == "seed"
    units = join([join([method.local(view_of(method, index, first)) for index in shard]) for shard in shards])
    spent = sum(int(asked_of(method, index, first).sum()) for index in range(len(WORLD)))
    history = [] if first else [Spent(spent, 1)]
    rows, ledger = method.select(units, len(history), history, BASE, (1, "acquire", 0))
    return units, rows, ledger


def bought(group: str, choice: str, shards: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    units, rows, _ = selection(group, choice, shards)
    return list(zip(units.scene[rows].tolist(), units.unit[rows].tolist(), strict=True))


@pytest.mark.parametrize(("group", "choice"), choices("seed", "acquire"))
def test_picks_are_unasked_unique_and_within_the_budget(group: str, choice: str) -> None:
    units, rows, ledger = selection(group, choice, [range(6)])
    method, first = method_of(group, choice), group == "seed"
    assert len(rows) > 0 and len(set(rows.tolist())) == len(rows)
    cost = [1 if ledger.measure == "units" else int(units.size[row]) for row in rows]
    assert sum(cost) == ledger.spent
    assert ledger.spent - (cost[-1] if ledger.overshoot == "include" else 0) <= ledger.limit
    for row in rows:
        index = int(units.scene[row])
        inside = unit_ids(method, index) == units.unit[row]
        unasked = inside & ~asked_of(method, index, first)
        assert unasked.sum() == units.size[row] > 0
    if method.budget.per not in ("everything", "units_per_scene"):
        assert len(rows) < (units.size > 0).sum(), "the budget should not buy the whole pool here, or nothing is chosen"


@pytest.mark.parametrize(("group", "choice"), choices("seed", "acquire"))
def test_picks_depend_on_nothing_but_the_pool(group: str, choice: str) -> None:
    expected = bought(group, choice, [range(6)])
    assert bought(group, choice, [range(6)]) == expected, "the same pool twice"
    assert bought(group, choice, [[3, 0, 5], [4], [2, 1]]) == expected, "other shards in another order"
    assert bought(group, choice, [[index] for index in reversed(range(6))]) == expected, "one scene a shard, last first"


#: Scores of one point's own probabilities; the others look at what is around it.
POINTWISE = ("Confidence", "Margin", "Entropy", "MutualInformation", "WeightedSum", "HierarchicalMargin")


def sure_view(method: Acquirer, prob: Any, index: int = 0) -> View:
    """Room `index` whose points take the rows of `prob` in turn."""
    scene = replace(WORLD[index], extra={extra.name: np.zeros(len(WORLD[index]), np.float32) for extra in method.extras})
    unit = unit_ids(method, index)
    return View(
        scene=scene,
        index=index,
        unit=unit,
        kind=np.zeros(int(unit.max()) + 1, np.uint8),
        asked=np.zeros(len(scene), dtype=bool),
        key=(1, "sign"),
        prob=np.array(prob, np.float32),
        feature=np.ones((len(prob), 8), np.float32),
        inverse=np.arange(len(scene)) % len(prob),
        entropy_of_passes=np.zeros(len(prob), np.float32),
        regions={other: regions_of(other, index) for other in method.partitions[1:]},
    )


def predicting(choice: str) -> Acquirer:
    method = method_of("acquire", choice)
    if method.score is None or "prob" not in method.score.needs:
        pytest.skip(f"{choice} scores no probabilities")
    return method


@pytest.mark.parametrize(("group", "choice"), choices("acquire"))
def test_uncertain_points_come_first(group: str, choice: str) -> None:
    """Higher = ask first: a flat distribution outranks a peaked one, and a less certain one a more certain one."""
    method = predicting(choice)
    if type(method.score).__name__ not in POINTWISE:
        pytest.skip(f"{choice} looks at what is around a point: see the next test")
    rest = CLASSES - 1
    rows = [[1 / CLASSES] * CLASSES, [0.5] + [0.5 / rest] * rest, [0.96] + [0.04 / rest] * rest]
    score = method.score(sure_view(method, rows))
    flat, middle, peaked = (score[np.arange(len(score)) % 3 == voxel] for voxel in range(3))
    assert flat.min() > middle.max() and middle.min() > peaked.max()


@pytest.mark.parametrize(("group", "choice"), choices("acquire"))
def test_an_unsure_network_scores_above_a_sure_one(group: str, choice: str) -> None:
    """Weak predictions that differ from point to point and frame to frame outrank one strong one everywhere, in every column."""
    method = predicting(choice)
    unsure = generator("sign").dirichlet(np.ones(CLASSES), 700)
    sure = np.full((700, CLASSES), 0.01 / (CLASSES - 1))
    sure[:, 1] = 0.99
    means = []
    for prob in (unsure, sure):
        others = tuple(sure_view(method, np.roll(prob, 1, axis=1) if prob is unsure else prob, other) for other in range(1, 3)) if method.context else ()
        score = method.score(replace(sure_view(method, prob), neighbours=others)).reshape(len(WORLD[0]), -1)
        means.append(score[unit_ids(method, 0) >= 0].mean(axis=0))
    assert (means[0] > means[1]).all()
