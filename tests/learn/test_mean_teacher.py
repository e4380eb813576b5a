"""The mean teacher: its average, its pseudo-labels, its pairs of scenes, and that nothing of it is lost when a training is killed."""

import time
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from al3d.compose import make_trainer
from al3d.data.augment import Colour, Elastic, Flip, Rotate, Scale
from al3d.data.batch import Batch, Crop, Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.data.voxelise import voxelise
from al3d.learn.checkpoint import Resume, load_weights
from al3d.learn.losses import CrossEntropy
from al3d.learn.mean_teacher import MeanTeacher, divergence, mean_over_points, pseudo_labels
from al3d.run import RunFolder
from al3d.types import IGNORE
from al3d.units.point import PointUnit

CONF = Path(__file__).resolve().parents[2] / "conf"
INPUTS = ("red", "green", "blue", "x", "y", "z")
STRONG = (Elastic(), Rotate(), Scale(), Flip(), Colour())
STEPS, BATCHES = 10, 4


@dataclass
class Output:
    logits: torch.Tensor
    feature: torch.Tensor


class Toy(nn.Module):
    """Batch norm with its counter, dropout, and a record of the modes it ran in."""

    def __init__(self, inputs=6, classes=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.last = nn.Linear(8, classes)
        self.modes = []

    def forward(self, coord, feat):
        self.modes.append((self.training, torch.is_grad_enabled()))
        feature = self.layers(feat)
        return Output(self.last(feature), feature)


def make(net=None, **more):
    torch.manual_seed(0)
    return MeanTeacher(net or Toy(), 3, **{"optimizer": partial(torch.optim.SGD, lr=0.5), "loss": CrossEntropy(), **more})


def sight(count, seed, inverse, label=None):
    random = torch.Generator().manual_seed(seed)
    coord = torch.zeros((count, 4), dtype=torch.int32)
    coord[:, 1] = torch.arange(count, dtype=torch.int32)
    known = torch.full((count,), IGNORE) if label is None else torch.tensor(label)
    return Batch(coord, torch.randn((count, 6), generator=random), known, inverse, [0])


def pair(label=(0, IGNORE, 1, IGNORE, 2), labelled=None, seed=0):
    """Five voxels of an augmented scene and seven of the scene as it is, of twenty points."""
    random = torch.Generator().manual_seed(seed)
    batch = sight(5, seed, torch.randint(0, 5, (20,), generator=random), list(label))
    known = torch.zeros(20, dtype=torch.bool) if labelled is None else labelled
    return replace(batch, plain=sight(7, seed + 1, torch.randint(0, 7, (20,), generator=random)), labelled=known)


def trainer(steps, **more):
    settings = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**settings, max_epochs=-1, max_steps=steps, use_distributed_sampler=False, **more)


def loader(items):
    return torch.utils.data.DataLoader(items, batch_size=None)


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# The moving average


class Watch(pl.Callback):
    """Keeps the student's and the teacher's values after every batch."""

    def __init__(self):
        self.students, self.teachers, self.steps = [], [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.students.append(deepcopy(module.net.state_dict()))
        self.teachers.append(deepcopy(module.teacher.state_dict()))
        self.steps.append(trainer.global_step)


def test_the_teacher_is_the_closed_form_of_its_students_and_counters_are_copied():
    module, watch = make(decay=0.9), Watch()
    start = deepcopy(module.net.state_dict())
    trainer(6, callbacks=[watch]).fit(module, loader([pair(seed=seed) for seed in range(6)]))
    assert "layers.1.running_var" in start and "layers.1.num_batches_tracked" in start
    for name, first in start.items():
        for count in range(1, 7):
            got = watch.teachers[count - 1][name]
            if first.is_floating_point():
                wanted = 0.9**count * first.double()
                wanted += sum(0.1 * 0.9 ** (count - 1 - step) * watch.students[step][name].double() for step in range(count))
                np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
            else:
                assert got == watch.students[count - 1][name] == count
    for name in ("last.weight", "layers.1.running_var"):
        assert not torch.allclose(watch.teachers[-1][name], watch.students[-1][name]) and not torch.allclose(watch.teachers[-1][name], start[name])


@pytest.mark.parametrize(("decay", "who"), [(0.0, "student"), (1.0, "start")])
def test_a_decay_of_nothing_is_the_student_and_one_of_all_never_moves(decay, who):
    module, watch = make(decay=decay), Watch()
    start = deepcopy(module.net.state_dict())
    trainer(3, callbacks=[watch]).fit(module, loader([pair()] * 3))
    wanted = watch.students[-1] if who == "student" else start
    floating = {name: value for name, value in watch.teachers[-1].items() if value.is_floating_point()}
    assert equal(floating, {name: wanted[name] for name in floating})


def test_the_teacher_follows_steps_and_not_batches():
    module, watch = make(decay=0.9), Watch()
    trainer(3, callbacks=[watch], accumulate_grad_batches=3).fit(module, loader([pair(seed=seed) for seed in range(9)]))
    assert watch.steps == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    moved = [not equal(before, after) for before, after in zip(watch.teachers, watch.teachers[1:], strict=False)]
    assert moved == [step > before for before, step in zip(watch.steps, watch.steps[1:], strict=False)]
    weight = 0.9 * watch.teachers[4]["last.weight"] + 0.1 * watch.students[5]["last.weight"]
    torch.testing.assert_close(watch.teachers[5]["last.weight"], weight)


def test_the_optimiser_has_the_student_alone_and_the_teacher_gets_no_gradient():
    module = make()
    optimizer = module.configure_optimizers()
    inside = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert inside == {id(parameter) for parameter in module.net.parameters()}
    module.train()
    sum((module.terms(pair()).labelled, module.terms(pair()).pseudo)).backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in module.teacher.parameters())
    assert all(parameter.grad is not None for parameter in module.net.parameters())
    assert [graded for _, graded in module.teacher.modes] == [False, False] and [graded for _, graded in module.net.modes] == [True, True]


@pytest.mark.parametrize(("mode", "training"), [("eval", False), ("train", True)])
def test_the_teachers_mode(mode, training):
    module = make(teacher_mode=mode)
    watch = Watch()
    trainer(2, callbacks=[watch]).fit(module, loader([pair(), pair(seed=1)]))
    assert [one for one, _ in module.teacher.modes] == [training] * 2 and all(one for one, _ in module.net.modes)
    assert module.teacher.layers[3].training is training and module.teacher.layers[1].training is training
    module.eval()
    assert not any(part.training for part in module.modules())


# Pseudo-labels


def test_pseudo_labels_of_hand_made_cases():
    prob = torch.tensor([[0.75, 0.20, 0.05], [0.1, 0.74, 0.16], [0.0, 0.1, 0.9], [0.4, 0.3, 0.3]])
    inverse = torch.tensor([0, 1, 2, 3, 0, 2, 1])
    labelled = torch.tensor([False, False, False, False, True, True, True])
    assert pseudo_labels(prob, inverse, labelled, 0.75).tolist() == [0, IGNORE, 2, IGNORE, IGNORE, IGNORE, IGNORE]
    assert pseudo_labels(prob, inverse, ~labelled, 0.74).tolist() == [IGNORE] * 4 + [0, 2, 1]
    assert pseudo_labels(prob, inverse, labelled & False, 0.0).tolist() == [0, 1, 2, 0, 0, 2, 1]
    assert pseudo_labels(prob, inverse, labelled | True, 0.0).tolist() == [IGNORE] * 7


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 40), st.integers(2, 6))
def test_points_are_compared_as_in_a_loop(seed, voxels, points, classes):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn((voxels, classes), generator=random, requires_grad=True)
    prob = torch.randn((3, classes), generator=random).mul(2).softmax(dim=1)
    inverse, plain_inverse = torch.randint(0, voxels, (points,), generator=random), torch.randint(0, 3, (points,), generator=random)
    labelled = torch.rand(points, generator=random) < 0.3
    target = pseudo_labels(prob, plain_inverse, labelled, 0.6)
    for point in range(points):
        row = prob[plain_inverse[point]]
        assert target[point] == (row.argmax() if row.max() >= 0.6 and not labelled[point] else IGNORE)
    known = target != IGNORE
    wanted = functional.cross_entropy(logits[inverse], target, ignore_index=IGNORE) if known.any() else logits.sum() * 0
    got = mean_over_points(logits, inverse, target)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)
    for one, two in zip(torch.autograd.grad(got, logits), torch.autograd.grad(wanted, logits), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    terms = [
        float(prob[t, c] * (prob[t, c].log() - logits.detach()[s].log_softmax(0)[c]))
        for s, t in zip(inverse, plain_inverse, strict=True)
        for c in range(classes)
    ]
    assert float(divergence(logits, inverse, prob, plain_inverse)) == pytest.approx(sum(terms) / (points * classes), rel=1e-3, abs=1e-6)


def test_whether_a_point_is_labelled_is_decided_by_the_point_or_by_its_voxel():
    """Two points in a labelled voxel, one of them labelled; and a labelled point in a voxel without a label, as `voxel_label: first` makes it."""
    batch = pair(label=(0, IGNORE, IGNORE, IGNORE, IGNORE))
    inverse = torch.tensor([0, 0, 1, 1])
    labelled = torch.tensor([True, False, True, False])
    plain = replace(batch.plain, inverse=torch.tensor([0, 1, 2, 3]))
    batch = replace(batch, inverse=inverse, plain=plain, labelled=labelled)
    for decide_by, given_to in (("point", [1, 3]), ("voxel", [2, 3])):
        module = make(decide_by=decide_by, threshold=0.0)
        terms = module.terms(batch)
        assert float(terms.pseudo_share) == 0.5
        logits = module.net(batch.coord, batch.feat).logits
        module.net.layers[3].p = 0.0
        module.eval()
        logits = module.net(batch.coord, batch.feat).logits
        winner = module.teacher(batch.plain.coord, batch.plain.feat).logits.argmax(dim=1)
        wanted = functional.cross_entropy(logits[inverse[given_to]], winner[given_to])
        torch.testing.assert_close(module.terms(batch).pseudo, wanted)


def test_the_loss_adds_up_its_terms():
    class Loss(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            self.seen = {name: float(value) for name, value in trainer.callback_metrics.items()}

    sums = {}
    for kl in (False, True):
        watch = Loss()
        module = make(threshold=0.0, weight=0.3, kl=kl)
        trainer(1, callbacks=[watch]).fit(module, loader([pair()]))
        assert watch.seen["pseudo_share"] == 1
        sums[kl] = watch.seen["loss"] - watch.seen["loss_labelled"] - 0.3 * watch.seen["loss_pseudo"]
    assert sums[False] == pytest.approx(0, abs=1e-6) and sums[True] > 1e-4, "the divergence is never negative"


def test_without_labels_the_pseudo_labels_alone_train():
    batch = pair(label=(IGNORE,) * 5)
    module = make(threshold=0.0).train()
    terms = module.terms(batch)
    gradients = torch.autograd.grad(terms.labelled, list(module.net.parameters()), retain_graph=True)
    assert terms.labelled.item() == 0 and all(bool((gradient == 0).all()) for gradient in gradients)
    assert any(bool((gradient != 0).any()) for gradient in torch.autograd.grad(terms.pseudo, list(module.net.parameters())))
    rest = make(threshold=1.0)
    before = {name: value.clone() for name, value in rest.net.named_parameters()}
    trainer(3).fit(rest, loader([batch] * 3))
    assert all(torch.equal(value, before[name]) for name, value in rest.net.named_parameters()), "nothing to learn from, and no NaN"
    before = {name: value.clone() for name, value in module.net.named_parameters()}
    trainer(3).fit(module, loader([batch] * 3))
    assert not all(torch.equal(value, before[name]) for name, value in module.net.named_parameters())
    assert all(bool(value.isfinite().all()) for value in module.state_dict().values())


def test_a_batch_without_its_scenes_as_they_are_is_refused():
    with pytest.raises(ValueError, match="pairs=True"):
        make().terms(replace(pair(), plain=None))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"decide_by": "scene"}, "decide_by='scene' is not one of point, voxel"),
        ({"teacher_mode": "test"}, "teacher_mode='test' is not one of eval, train"),
        ({"teacher_init": "zero"}, "teacher_init='zero' is not one of student, teacher"),
        ({"judge": "both"}, "judge='both' is not one of student, teacher"),
        ({"decay": 1.2}, "decay=1.2"),
        ({"threshold": 75}, "threshold=75"),
        ({"weight": -1}, "weight=-1"),
    ],
)
def test_wrong_options_are_named(option, words):
    with pytest.raises(ValueError, match=words):
        make(**option)
    with pytest.raises(TypeError, match="nonsense"):
        make(nonsense=1)


# Between rounds


def other_teacher(**options):
    module = make(**options)
    with torch.no_grad():
        for parameter in module.teacher.parameters():
            parameter.add_(1.0)
    return module


@pytest.mark.parametrize("judge", ["student", "teacher"])
def test_which_network_is_judged_and_predicts(judge):
    module = other_teacher(judge=judge).eval()
    item = replace(sight(7, 3, torch.arange(7)), point_label=torch.arange(7) % 3)
    one, other = (module.net, module.teacher) if judge == "student" else (module.teacher, module.net)
    logits = one(item.coord, item.feat).logits
    assert not torch.allclose(logits, other(item.coord, item.feat).logits)
    with torch.inference_mode():
        got = module.predict_step(item, 0)
    np.testing.assert_allclose(got.prob, logits.softmax(dim=1).detach(), atol=1e-6)
    np.testing.assert_allclose(got.feature, one(item.coord, item.feat).feature.detach(), atol=1e-6)
    module.test_step(item, 0)
    assert module.counted().diagonal().sum() == int((logits.argmax(dim=1) == item.point_label).sum())
    module.passes, seen = 3, len(one.modes)
    with torch.inference_mode():
        module.predict_step(item, 0)
    assert len(one.modes) == seen + 3 and not any(part.training for part in module.modules())


@pytest.mark.parametrize("init", ["student", "teacher"])
def test_what_the_teacher_of_a_later_round_starts_as(tmp_path, init):
    class Start(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step == 0:
                self.teacher = deepcopy(module.teacher.state_dict())

    earlier = other_teacher()
    torch.save({"state_dict": earlier.state_dict()}, tmp_path / "last.ckpt")
    module, watch = make(teacher_init=init), Start()
    load_weights(module, tmp_path / "last.ckpt")
    assert equal(module.net.state_dict(), earlier.net.state_dict()) and equal(module.teacher.state_dict(), earlier.teacher.state_dict())
    trainer(1, callbacks=[watch]).fit(module, loader([pair()]))
    assert equal(watch.teacher, (earlier.net if init == "student" else earlier.teacher).state_dict())


# Pairs of scenes


@pytest.fixture
def labels(tiny_store, tmp_path):
    """Single points of three scenes, as HPAL buys them."""
    state = LabelState(tmp_path / "labels", tiny_store)
    state.append({name: range(place, 600, 7 + place) for place, name in enumerate(tiny_store.splits["train"][:3])}, PointUnit(), {})
    return state


def data(store, labels, augment=STRONG, size=0.1, **more):
    values = {"batch_size": 2, "batches": BATCHES, "pairs": True, **more}
    voxel_label = values.pop("voxel_label", "majority")
    return RoundData(store, SimulatedOracle(store), labels, Voxeliser(size, INPUTS, store.features, 3, voxel_label=voxel_label), augment, 0, 0, **values)


def parts(batch):
    """The points of each scene of a batch: slices of `inverse`."""
    scene = batch.coord[batch.inverse, 0]
    return [(place, torch.nonzero(scene == place)[:, 0]) for place in range(len(batch.index))]


@pytest.mark.parametrize("crop", [None, Crop(150)])
def test_a_pair_is_about_the_same_points_in_the_same_order(tiny_store, labels, crop):
    """With colours as the only inputs and tiny voxels, turned or not, a point shows which one it is."""
    size = 0.002
    turned = (Rotate(), Flip())
    cut = False
    for batch in data(tiny_store, labels, turned, size, crop=crop).train_dataloader():
        assert len(batch.inverse) == len(batch.plain.inverse) == len(batch.labelled)
        one, two = batch.feat[batch.inverse, :3], batch.plain.feat[batch.plain.inverse, :3]
        assert float((one == two).all(dim=1).float().mean()) > 0.98, "the few that share a voxel are averaged"
        assert torch.equal(batch.coord[batch.inverse, 0], batch.plain.coord[batch.plain.inverse, 0])
        assert torch.equal(torch.unique(batch.plain.inverse), torch.arange(len(batch.plain.coord)))
        assert bool((batch.plain.label == IGNORE).all())
        for place, rows in parts(batch):
            name = tiny_store.splits["train"][batch.index[place]]
            colour = torch.from_numpy(np.array(tiny_store.scene(name).feat))
            if crop is None:
                assert len(rows) == len(colour) and np.array_equal(batch.labelled[rows], labels.asked(name, 0))
                assert float((batch.plain.feat[batch.plain.inverse[rows], :3] == colour).all(dim=1).float().mean()) > 0.98
            else:
                cut |= len(rows) < len(colour)
    assert cut == (crop is not None)


def test_the_plain_part_is_the_scene_as_it_is_judged(tiny_store, labels):
    for crop in (None, Crop(100)):
        for batch in data(tiny_store, labels, crop=crop).train_dataloader():
            for place, name in enumerate(tiny_store.splits["train"][index] for index in batch.index):
                scene = tiny_store.scene(name)
                coord, inverse = voxelise(np.asarray(scene.xyz), 0.1)
                rows = batch.plain.coord[:, 0] == place
                whole = Voxeliser(0.1, INPUTS, tiny_store.features, 3)(np.asarray(scene.xyz), np.asarray(scene.feat), np.full(len(scene), IGNORE, np.uint8))
                at = {tuple(row): number for number, row in enumerate(coord.tolist())}
                chosen = [at[tuple(row)] for row in batch.plain.coord[rows, 1:].tolist()]
                assert np.array_equal(batch.plain.feat[rows], whole.feat[chosen]), "its voxels keep what they are in the whole scene"
                assert len(chosen) == len(coord) or crop is not None
                if crop is None:
                    assert np.array_equal(chosen, np.arange(len(coord)))
                    points = dict(parts(batch))[place]
                    assert np.array_equal(batch.plain.coord[batch.plain.inverse[points], 1:], coord[inverse])


def same(one, two):
    return all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("coord", "feat", "label", "inverse"))


def test_pairs_change_nothing_about_the_augmented_part_and_workers_change_nothing_at_all(tiny_store, labels):
    for crop, counts in ((None, (0,)), (Crop(200), (0, 1, 2))):
        single = list(data(tiny_store, labels, crop=crop, pairs=False).train_dataloader())
        runs = [list(data(tiny_store, labels, crop=crop, workers=workers).train_dataloader()) for workers in counts]
        assert all(len(run) == BATCHES for run in runs) and all(batch.plain is None and batch.labelled is None for batch in single)
        for alone, *batches in zip(single, *runs, strict=True):
            assert all(same(alone, batch) and alone.index == batch.index for batch in batches)
            assert all(same(batches[0].plain, batch.plain) and torch.equal(batches[0].labelled, batch.labelled) for batch in batches)


def test_a_labelled_point_whose_voxel_lost_its_label_is_labelled_all_the_same(tiny_store, labels):
    lost = 0
    for batch in data(tiny_store, labels, voxel_label="first").train_dataloader():
        lost += int((batch.labelled & (batch.label[batch.inverse] == IGNORE)).sum())
    assert lost > 0, "the published code decides by the voxel's first point and gives these a pseudo-label"


def test_a_guessed_label_is_a_label(tiny_store, labels):
    name = tiny_store.splits["train"][0]
    units = [5, 700, 701]
    labels.write_pseudo(0, {name: (units, np.zeros(3, np.uint8))}, PointUnit(), {})
    wanted = labels.asked(name, 0)
    wanted[units] = True
    for batch in data(tiny_store, labels).train_dataloader():
        for place, rows in parts(batch):
            if batch.index[place] == 0:
                assert np.array_equal(batch.labelled[rows], wanted)


# Trainings


class Killed(Exception):
    pass


class Kill(pl.Callback):
    def __init__(self, epoch=-1, step=-1):
        self.epoch, self.step = epoch, step

    def on_train_epoch_end(self, trainer, module):
        if trainer.current_epoch == self.epoch:
            raise Killed

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise Killed


def train(store, labels, folder, kill=None, workers=0, crop=None, **options):
    """What `rounds.train` does, with a toy network."""
    torch.manual_seed(7)
    settings = {"optimizer": partial(torch.optim.Adam, lr=0.01), "loss": CrossEntropy(), "schedule": "cosine", "threshold": 0.4, **options}
    module = MeanTeacher(Toy(), 3, **settings)
    torch.manual_seed(int(time.time_ns()) % 2**31)  # nothing may hang on the global state
    callbacks = [Resume(folder.resume(0), folder.weights(0), time.perf_counter()), *([kill] if kill else [])]
    run = make_trainer({"accelerator": "cpu", "devices": 1}, STEPS, callbacks=callbacks, logger=False, default_root_dir=folder.path)
    resume = folder.resume(0)
    run.fit(module, datamodule=data(store, labels, workers=workers, crop=crop), ckpt_path=resume if resume.is_file() else None, weights_only=True)
    return torch.load(folder.weights(0), weights_only=True)["state_dict"]


@pytest.mark.parametrize("options", [{}, {"teacher_mode": "train", "kl": True, "decide_by": "voxel", "crop": Crop(150)}], ids=["default", "published"])
def test_a_killed_training_ends_with_the_same_bits_on_any_number_of_workers(tiny_store, labels, tmp_path, options):
    whole = train(tiny_store, labels, RunFolder(tmp_path / "whole"), **options)
    assert {name.split(".")[0] for name in whole} == {"net", "teacher"}
    folder = RunFolder(tmp_path / "broken")
    for kill, workers in ((Kill(epoch=0), 0), (Kill(step=7), 1)):
        with pytest.raises(Killed):
            train(tiny_store, labels, folder, kill, workers, **options)
    assert equal(train(tiny_store, labels, folder, None, 2, **options), whole)


@pytest.mark.parametrize("choice", sorted({path.stem for path in (CONF / "net").glob("*.yaml")} - {"probe"}))
@pytest.mark.parametrize("learner", ["mean_teacher", "hpal"])
def test_every_network_can_be_taught(tiny_store, labels, choice, learner):
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"net={choice}", f"learner={learner}", "net.width=0.125", "learner.threshold=0.0", "learner.kl=true"])
    torch.manual_seed(0)
    net = instantiate(config.net)(len(INPUTS), 3)
    module = instantiate(config.learner)(net=net, classes=3)
    before = deepcopy(module.teacher.state_dict())
    trainer(2).fit(module, datamodule=data(tiny_store, labels, crop=Crop(120)))
    state = module.state_dict()
    assert all(bool(value.isfinite().all()) for value in state.values())
    moved = [name for name, value in module.teacher.state_dict().items() if not torch.equal(value, before[name])]
    assert len(moved) > 0.9 * len(before)
