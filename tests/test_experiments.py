"""The papers' settings: what each experiment sets against a table written here, parts that build without data, and sweeps that hold every printed row."""

from __future__ import annotations

import itertools
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Spent
from al3d.command import missing_options
from al3d.learn.evaluation import Evaluation
from al3d.report.published import Value, rows_for, values
from al3d.rounds import Plan

CONF = Path(__file__).resolve().parents[1] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("[!_]*.yaml"))
TABLES = sorted(path.stem for path in (CONF / "experiment" / "table").glob("*.yaml"))
#: Not a paper's setting.
OWN = {"demo", "osd", "first_round", "label", "study"}
#: Points of the training splits: S3DIS so that 3 % are SeedAL's 6.5 million, and after subsampling to 4 cm; SemanticKITTI and nuScenes as counted.
POINTS = {"s3dis": 216_666_667, "semantic_kitti": 2_349_559_532, "nuscenes": 976_677_792}
S3DIS_4CM, S3DIS_4CM_ALL = 13_000_000, 18_610_000


class Setting(NamedTuple):
    """What section 5 of the methods says: trainings, percent of the training points in each, scenes a step, the first round's and the others' length."""

    dataset: str
    net: str
    percents: tuple[float, ...]
    batch: int
    first: tuple[str, int]
    later: tuple[str, int]
    init: str
    optimizer: str
    select_on: str
    seed: str
    method: str
    unit: str


REDAL = ("best", "kept", "val", "random", "redal", "supervoxel")
SEEDAL = ("best", "kept", "val", "seedal", "redal", "supervoxel")
LIDAL = ("previous", "fresh", "none", "random", "lidal", "kmeans_region")
BASAL = ("previous", "fresh", "none", "basal", "basal", "clusters")
HPAL = ("best", "kept", "val", "random", "hpal", "point")
HPAL_EACH = ("best", "kept", "val", "random_points", "hpal", "point")
TO_15, TO_5, FIFTHS = (3, 5, 7, 9, 11, 13, 15), (1, 2, 3, 4, 5), (0.02, 0.04, 0.06, 0.08, 0.1)
LONG, SHORT = ("steps", 60_000), ("steps", 30_000)
SETTINGS = {
    **{f"redal_s3dis_{net}": Setting("s3dis", net, TO_15, 16, ("epochs", 200), ("epochs", 150), *REDAL) for net in ("spvcnn", "minkunet")},
    **{f"redal_semantic_kitti_{net}": Setting("semantic_kitti", net, TO_5, 16, ("epochs", 100), ("epochs", 30), *REDAL) for net in ("spvcnn", "minkunet")},
    "seedal_s3dis": Setting("s3dis", "spvcnn", (3, 5, 7, 9), 4, ("epochs", 200), ("epochs", 150), *SEEDAL),
    "seedal_semantic_kitti": Setting("semantic_kitti", "spvcnn", (1, 2, 3, 4), 32, ("epochs", 100), ("epochs", 30), *SEEDAL),
    **{f"lidal_semantic_kitti_{net}": Setting("semantic_kitti", net, TO_5, 5, ("steps", 20_000), ("steps", 20_000), *LIDAL) for net in ("spvcnn", "minkunet")},
    **{f"lidal_nuscenes_{net}": Setting("nuscenes", net, TO_5, 15, ("steps", 20_000), ("steps", 20_000), *LIDAL) for net in ("spvcnn", "minkunet")},
    **{f"basal_semantic_kitti_{net}": Setting("semantic_kitti", net, TO_5, 10, ("epochs", 100), ("epochs", 30), *BASAL) for net in ("spvcnn", "minkunet")},
    **{f"basal_nuscenes_{net}": Setting("nuscenes", net, TO_5, 30, ("epochs", 200), ("epochs", 150), *BASAL) for net in ("spvcnn", "minkunet")},
    "hpal_s3dis_0p1": Setting("s3dis", "minkunet", FIFTHS, 4, LONG, LONG, *HPAL),
    "hpal_s3dis_0p07": Setting("s3dis", "minkunet", FIFTHS, 4, LONG, LONG, *HPAL),
    "hpal_s3dis_0p43": Setting("s3dis", "minkunet", (0.2, 0.4, 0.6), 4, LONG, LONG, *HPAL),
    "hpal_s3dis_0p02": Setting("s3dis", "minkunet", (), 4, LONG, LONG, *HPAL_EACH),
    "hpal_scannet_0p1": Setting("scannet", "minkunet", FIFTHS, 4, SHORT, SHORT, *HPAL),
    "hpal_scannet_20pts": Setting("scannet", "minkunet", (), 4, SHORT, SHORT, *HPAL_EACH),
    "hpal_scannet_120pts": Setting("scannet", "minkunet", (), 4, SHORT, SHORT, *HPAL_EACH),
}
#: Points of a scene after all rounds.
EACH = {"hpal_s3dis_0p02": 20, "hpal_scannet_20pts": 20, "hpal_scannet_120pts": 120}
#: What a learning rate and its schedule are.
ADAM = ("Adam", 0.001, "constant")


@cache
def composed(*words: str) -> DictConfig:
    """The configuration that these words give, with a place for every file that must be named and the classes of S3DIS. Read-only."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=list(words), return_hydra_config=True)
    for key in missing_options(OmegaConf.to_container(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]), resolve=False)):
        OmegaConf.update(config, key, "/nowhere")
    OmegaConf.update(config, "classes", 13)
    OmegaConf.set_readonly(config, True)
    return config


def last(target: str) -> str:
    return target.rsplit(".", 1)[-1]


def plan_of(config: DictConfig) -> Plan:
    return Plan(**OmegaConf.to_container(config.rounds, resolve=True))


def method_of(node: Any) -> Acquirer:
    method = instantiate(node, _convert_="all")
    assert isinstance(method, Acquirer)
    return method


def test_every_experiment_is_checked_here() -> None:
    assert set(EXPERIMENTS) == set(SETTINGS) | OWN


@pytest.mark.parametrize("name", SETTINGS)
def test_an_experiment_is_as_its_paper_says(name: str) -> None:
    config, setting = composed(f"experiment={name}"), SETTINGS[name]
    plan, rounds = plan_of(config), config.rounds
    assert (config.dataset.name, last(config.net._target_).lower()) == (setting.dataset, setting.net) and config.net.width == 1.0
    assert (plan.batch, plan.init, plan.optimizer, plan.base) == (setting.batch, setting.init, setting.optimizer, "prepared")
    assert plan.accumulate == 1 and plan.batch_voxels is None
    for index, (kind, length) in ((0, setting.first), (1, setting.later)):
        scenes = 37
        expected = length if kind == "steps" else length * -(-scenes // setting.batch)
        assert plan.training_steps(scenes, index) == expected
    assert config.eval.select_on == setting.select_on and config.eval.absent == "excluded"
    assert (config.seed.name, config.acquire.name, config.acquire.unit._target_.rsplit(".", 2)[-2]) == (setting.seed, setting.method, setting.unit)
    optimizer = (last(config.learner.optimizer._target_), config.learner.optimizer.lr)
    if name.startswith("hpal"):
        momentum = {key: config.learner.optimizer[key] for key in ("momentum", "dampening", "weight_decay")}
        assert optimizer == ("SGD", 0.1) and momentum == {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.0001}
        cosine = {"_target_": "al3d.learn.schedules.Cosine", "half_period": 5000}
        polynomial = {"_target_": "al3d.learn.schedules.Polynomial", "power": 0.9}
        assert config.learner.schedule == (cosine if setting.dataset == "s3dis" else polynomial)
        assert last(config.learner._target_) == ("Segmenter" if name == "hpal_s3dis_0p1" else "MeanTeacher")
        assert config.dataset.grid == 0.04 and config.dataset.judged_points == ("prepared" if setting.dataset == "s3dis" else "raw")
    else:
        assert (*optimizer, config.learner.schedule) == ADAM and last(config.learner._target_) == "Segmenter" and config.dataset.grid is None
    assert plan.n == len(setting.percents or range(5)) and rounds.step == config.acquire.budget.amount


@pytest.mark.parametrize("name", SETTINGS)
def test_budgets_add_up_to_the_paper_s_percentages(name: str) -> None:
    """Played with the ledger's own arithmetic: every round spends its limit, from the seed on."""
    config, setting = composed(f"experiment={name}"), SETTINGS[name]
    seed, method = method_of(config.seed).budget, method_of(config.acquire).budget
    if name in EACH:
        assert seed.per == method.per == "units_per_scene" and int(seed.amount or 0) + 4 * int(method.amount or 0) == EACH[name]
        assert seed.amount == method.amount
        return
    base = S3DIS_4CM if setting.dataset == "s3dis" and config.dataset.grid else POINTS.get(setting.dataset, 50_000_000)
    history: list[Spent] = []
    reached = []
    for index in range(config.rounds.n):
        budget = method if index else seed
        history.append(Spent(budget.limit(index, history, base), 1))
        reached.append(100 * sum(spent.points for spent in history) / base)
    assert reached == pytest.approx(setting.percents, rel=0.04 if name == "seedal_semantic_kitti" else 1e-3)


def test_seedal_s_points_are_its_percentages() -> None:
    """22,591,773 points are 0.962 % of the 2,347,767,791 points in regions, which the table calls 1 %."""
    rounds = composed("experiment=seedal_semantic_kitti").rounds
    assert rounds.initial_per == "points" and 100 * rounds.initial / 2_347_767_791 == pytest.approx(0.962, abs=5e-4)
    assert composed("experiment=seedal_s3dis").rounds.initial == 6_500_000


def test_hpal_s_percentages_of_both_conventions() -> None:
    """Of training points, and of training and validation points after subsampling to 4 cm."""
    whole = S3DIS_4CM / S3DIS_4CM_ALL
    for name, called in (("hpal_s3dis_0p07", 0.07), ("hpal_s3dis_0p43", 0.43)):
        assert SETTINGS[name].percents[-1] * whole == pytest.approx(called, rel=0.03)
    assert 100 * EACH["hpal_s3dis_0p02"] * 204 / S3DIS_4CM_ALL == pytest.approx(0.0219, abs=5e-5)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_parts_of_an_experiment_build_without_data(name: str) -> None:
    config = composed(f"experiment={name}")
    for key in ("seed", "acquire", "pseudo"):
        if config.get(key):
            assert method_of(config[key]).budget.amount
    assert not method_of(config.seed).predicts
    net = instantiate(config.net)
    assert isinstance(net, partial) and isinstance(instantiate(config.learner), partial) and isinstance(instantiate(config.oracle), partial)
    assert all(callable(step) for step in instantiate(config.dataset.augment, _convert_="all"))
    evaluation = Evaluation(**OmegaConf.to_container(config.eval, resolve=True))
    assert evaluation.selects or plan_of(config).init != "best"
    assert instantiate(config.dataset.source).name == SETTINGS[name].dataset


@pytest.mark.parametrize(
    ("name", "steps", "first", "many"),
    [("redal_s3dis_spvcnn", 13, 200, 150 * 13), ("seedal_s3dis", 51, 200 * 5, 150 * 51), ("redal_semantic_kitti_minkunet", 400, 1200, 30 * 400)],
)
def test_candidates_are_the_last_twenty_epochs_of_a_later_round(name: str, steps: int, first: int, many: int) -> None:
    """ReDAL's code judges after each of the last 20 epochs; with all 204 rooms (or 6,400 frames) labelled, candidates fall on the same 20 steps."""
    config = composed(f"experiment={name}")
    plan, after = plan_of(config), config.eval.after
    judged = [step for step in range(plan.checkpoint_every, first + 1, plan.checkpoint_every) if step >= config.eval.first_after * first]
    assert judged and first - judged[0] <= 20 * first // plan_epochs(plan) <= first - judged[0] + plan.checkpoint_every
    assert plan.training_steps({13: 204, 51: 204, 400: 6400}[steps], 1) == many and plan.training_steps({13: 4, 51: 17, 400: 191}[steps], 0) == first
    candidates = [step for step in range(plan.checkpoint_every, many + 1, plan.checkpoint_every) if step >= after * many]
    assert len(candidates) in (20, 21) and many - candidates[0] in (19 * steps, 20 * steps)


def plan_epochs(plan: Plan) -> int:
    """The epochs of the first round."""
    return plan.first_epochs or plan.epochs or 0


SPECIAL = {
    "seedal_s3dis": {"seed.pick.edges": 80, "seed.features.clusters": 13, "seed.features.of.encoder.model": "vitb8", "features.tokens": "auto"},
    "seedal_semantic_kitti": {"seed.pick.edges": 1200, "seed.thin.threshold": 0.75, "seed.thin.keep": "middle", "seed.thin.keep_tail": False},
    "redal_s3dis_minkunet": {
        "acquire.pick.clusters": 400,
        "acquire.pick.trim": 1.0,
        "acquire.score.weights": [1.0, 0.1, 0.05],
        "acquire.unit.minimum_points": 100,
    },
    "redal_semantic_kitti_spvcnn": {"acquire.pick.clusters": 150, "acquire.pick.trim": 0.1, "acquire.score.weights": [1.0, 0.0, 0.05], "net.dropout": 0.3},
    "lidal_semantic_kitti_spvcnn": {"dataset.source.labels": "lidal", "acquire.views": 8, "pseudo.budget.amount": 1.0, "acquire.budget.overshoot": "exclude"},
    "lidal_nuscenes_minkunet": {"dataset.source.intensity": "raw", "acquire.score.frames": 12, "acquire.score.distance": 0.1, "acquire.pick.radius": 5.0},
    "basal_nuscenes_spvcnn": {"acquire.unit.min_samples": 1, "seed.unit.min_samples": 1, "acquire.pick.strata.bins": 3, "seed.pick.strata.bins": 3},
    "basal_semantic_kitti_minkunet": {"acquire.unit.min_samples": 10, "seed.unit.min_samples": 10, "dataset.source.labels": "official"},
    "hpal_s3dis_0p07": {"learner.kl": False, "learner.decay": 0.955, "learner.threshold": 0.75, "learner.teacher_mode": "train", "acquire.pick.radius": 0.2},
    "hpal_scannet_20pts": {"learner.kl": False, "acquire.score.grids": [0.1, 0.5, 1.0], "acquire.pick.cosine": 0.8, "rounds.checkpoint_every": 1000},
}


@pytest.mark.parametrize("row", ["redal", "redal_entropy_diversity", "redal_without_diversity", "region_entropy", "region_random", "scene_segent"])
def test_redal_s_rows_keep_its_floor_of_100_points(row: str) -> None:
    """And LiDAL's rows its own; elsewhere the floor follows the spacing (docs/fidelity.md D-33)."""
    for name in ("redal_s3dis_minkunet", "table/redal_semantic_kitti_spvcnn", "seedal_s3dis"):
        acquire = composed(f"experiment={name}", f"row={row}").acquire
        unit = acquire.score.regions_of if row == "scene_segent" else acquire.unit
        assert (last(unit._target_), unit.minimum_points) == ("Supervoxel", 100)
    assert composed("experiment=lidal_semantic_kitti_spvcnn", "row=redal_lidal").acquire.unit.minimum_points == 101
    assert composed("acquire=redal").acquire.unit.minimum_points == composed("acquire=segent").acquire.score.regions_of.minimum_points == "auto"


@pytest.mark.parametrize("name", SPECIAL)
def test_what_only_one_paper_sets(name: str) -> None:
    config = composed(f"experiment={name}")
    assert {key: OmegaConf.select(config, key) for key in SPECIAL[name]} == SPECIAL[name]


def test_lidal_trains_and_scores_on_its_own_augmentation() -> None:
    for name, steps in (
        ("lidal_nuscenes_spvcnn", ["Affine", "Turn"]),
        ("basal_nuscenes_spvcnn", ["Turn", "Scale"]),
        ("hpal_s3dis_0p1", ["Elastic", "Rotate", "Scale", "Colour"]),
    ):
        assert [last(step._target_) for step in composed(f"experiment={name}").dataset.augment] == steps


# Sweeps.


def sweep(table: str) -> dict[str, list[str]]:
    """The choices of each option of a table's sweep, without the random seed."""
    params = composed(f"experiment=table/{table}").hydra.sweeper.params
    return {str(key): str(value).split(",") for key, value in params.items() if key != "rng"}


#: Composed row by row in the fast tests, SeedAL's choice by choice; the other tables, and its 40 rows, in the slow ones.
ROWS_OF = {"redal_s3dis_spvcnn", "lidal_semantic_kitti_minkunet", "hpal_s3dis_components", "seedal_s3dis", "basal_ablation"}
PARTS = ("dataset", "seed", "acquire", "pseudo", "net", "learner", "rounds", "oracle")


def rows_of(table: str, all_of_them: bool) -> list[tuple[str, ...]]:
    options = sweep(table)
    if all_of_them or len(options) == 1:
        return [tuple(f"{key}={value}" for key, value in zip(options, choice, strict=True)) for choice in itertools.product(*options.values())]
    return [(f"{key}={value}",) for key, choices in options.items() for value in choices]


@pytest.mark.parametrize("table", [pytest.param(table, marks=[] if table in ROWS_OF else pytest.mark.slow) for table in TABLES])
def test_the_rows_of_a_table_build_and_differ(table: str) -> None:
    check_rows(table, rows_of(table, all_of_them=False))


@pytest.mark.slow
@pytest.mark.parametrize("table", ["seedal_s3dis", "seedal_semantic_kitti"])
def test_every_method_after_every_seed(table: str) -> None:
    rows = rows_of(table, all_of_them=True)
    assert len(rows) == 40
    check_rows(table, rows)


def check_rows(table: str, rows: list[tuple[str, ...]]) -> None:
    seen = {}
    for words in rows:
        config = composed(f"experiment=table/{table}", *words)
        method = method_of(config.acquire)
        if config.seed.name != "published":
            assert not method_of(config.seed).predicts
        assert instantiate(config.learner) and plan_of(config)
        key = repr([OmegaConf.to_container(config[part], resolve=True) for part in PARTS if config.get(part)])
        assert key not in seen or len(words) < len(sweep(table)), f"{words} and {seen[key]} are the same run"
        seen[key] = words
        assert method.passes == (10 if method.name == "mc_dropout" else 1) and config.published.table
        assert not (method.passes > 1 and last(config.net._target_) == "MinkUNet"), "MinkUNet has no dropout"


#: Tables of which no value is at hand, and printed rows that no sweep holds, with the reason.
WITHOUT_VALUES = {"figure 2", "figure 8", "supplementary figures", "bins"}
NOT_SWEPT = {
    "full supervision": "seed=all rounds.n=1",
}


@cache
def published_of(table: str) -> list[tuple[str, list[Value]]]:
    """Each choice of a table's options with the printed values it is said to have."""
    published = OmegaConf.to_container(composed(f"experiment=table/{table}").published)
    assert isinstance(published, dict)
    columns = {key: value for key, value in published.items() if key not in ("rows", "dataset")}
    rows = []
    for choice in itertools.product(*(options.items() for options in published["rows"].values())):
        more = {key: value for _, filters in choice for key, value in filters.items()}
        rows.append((" ".join(name for name, _ in choice), rows_for(published["dataset"], **columns | more)))
    return rows


@pytest.mark.parametrize("table", TABLES)
def test_a_table_names_the_printed_row_of_each_of_its_choices(table: str) -> None:
    config = composed(f"experiment=table/{table}")
    assert {key: list(value) for key, value in config.published.rows.items()} == sweep(table)
    assert (CONF / "experiment" / "table" / f"{table}.yaml").read_text(encoding="utf-8").count(f"experiment=table/{table}; al3d tables {table} outputs\n") == 1
    for name, found in published_of(table):
        if config.published.table in WITHOUT_VALUES or name.endswith("_fds") and table == "hpal_s3dis_active_learning":
            assert not found, f"{name} has printed values: say which"
        else:
            assert found and len(found) <= config.rounds.n, f"{name}: {len(found)} printed values for {config.rounds.n} rounds"


def test_every_printed_row_is_in_a_table() -> None:
    """Of all that the papers print, only scores on a hidden test split, single classes' means and what NOT_SWEPT says are in no sweep."""
    swept = {id(value) for table in TABLES for _, found in published_of(table) for value in found}
    left = [value for value in values() if id(value) not in swept]
    assert {value.method for value in left if value.table not in ("comparison on the test split", "supplementary table 7")} == set(NOT_SWEPT)


@pytest.mark.parametrize("name", sorted(set(EXPERIMENTS) - OWN))
def test_the_papers_draw_scenes_equally_and_train_as_long_as_they_say(name: str) -> None:
    config = composed(f"experiment={name}")
    assert config.learner.draw == "scenes" and config.rounds.steps != "auto" and config.learner.prior == "trained"


@pytest.mark.parametrize("name", ["rooms", "street", "folder"])
def test_ones_own_data_is_trained_on_as_it_is_labelled_and_until_it_helps_no_more(name: str) -> None:
    config = composed(f"dataset={name}")
    assert config.learner.draw == "labels" and config.rounds.steps == "auto" and config.rounds.epochs is None and config.rounds.init == "previous"
