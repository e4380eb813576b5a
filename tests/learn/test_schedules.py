"""Learning rates within a round, against PyTorch's own schedules and closed forms."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from al3d.learn.losses import CrossEntropy
from al3d.learn.schedules import Constant, Cosine, Polynomial, schedule_of
from al3d.learn.segmenter import Segmenter

CONF = Path(__file__).resolve().parents[2] / "conf"


def rates(make, steps, rate=0.1):
    """What a PyTorch schedule does to a rate."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_cosine_falls_and_rises_as_annealing_does():
    annealing = rates(partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=50, eta_min=0.0), 230)
    assert [0.1 * Cosine(50)(step, 9) for step in range(230)] == pytest.approx(annealing, abs=1e-9)
    assert Cosine(50)(50, 9) == pytest.approx(0, abs=1e-12) and Cosine(50)(100, 9) == pytest.approx(1)


def test_cosine_over_the_round_stays_at_zero_when_it_is_over():
    assert [Cosine()(step, 8) for step in (0, 4, 8, 9, 20)] == pytest.approx([1, 0.5, 0, 0, 0])
    assert [Cosine()(step, 8) for step in range(9)] == [Cosine(8)(step, 100) for step in range(9)]


def test_polynomial_in_closed_form():
    poly = rates(partial(torch.optim.lr_scheduler.PolynomialLR, total_iters=40, power=0.9), 41)
    assert [0.1 * Polynomial()(step, 40) for step in range(41)] == pytest.approx(poly, abs=1e-9)
    assert Polynomial(1.0)(10, 40) == 0.75 and Polynomial()(50, 40) == 0


def test_names_still_work_and_others_are_refused():
    assert schedule_of("constant") == Constant() and schedule_of("cosine") == Cosine() and schedule_of(Polynomial(2.0)) == Polynomial(2.0)
    assert {Constant()(step, 5) for step in range(9)} == {1.0}
    with pytest.raises(ValueError, match="schedule='linear' is not one of constant, cosine"):
        schedule_of("linear")
    with pytest.raises(ValueError, match="half_period=0"):
        Cosine(0)
    with pytest.raises(ValueError, match="power=0"):
        Polynomial(0)


@pytest.mark.parametrize("words", [(f"+schedule@learner.schedule={path.stem}",) for path in sorted((CONF / "schedule").glob("*.yaml"))] + [("learner=hpal",)])
def test_a_round_starts_at_the_configured_rate_whatever_the_one_before_ended_with(words):
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=[*words, "learner.optimizer.lr=0.03"])
    earlier = []
    for _ in range(2):
        module = instantiate(config.learner)(net=torch.nn.Linear(2, 3), classes=3)
        module.earlier_optimizers = earlier
        module._trainer = type("Trainer", (), {"max_steps": 20})()
        made = module.configure_optimizers()
        optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
        assert optimizer.param_groups[0]["lr"] == 0.03
        for step in range(1, 21):
            optimizer.step()
            schedule.step()
            assert optimizer.param_groups[0]["lr"] == pytest.approx(0.03 * module.schedule(step, 20))
        earlier = [optimizer.state_dict()]


def test_hpals_recipe_is_what_its_code_trains_with():
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=["learner=hpal"])
        usual, written = (
            instantiate(compose("train", overrides=[f"augment@dataset.augment={name}"]).dataset.augment, _convert_="all") for name in ("indoor", "hpal")
        )
        scannet = compose("train", overrides=["learner=hpal", "schedule@learner.schedule=polynomial"])
    optimizer = instantiate(config.learner.optimizer)([torch.nn.Parameter(torch.zeros(1))])
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["dampening"], group["weight_decay"]) == (0.1, 0.9, 0.1, 1e-4)
    assert instantiate(config.learner.schedule) == Cosine(5000) and instantiate(scannet.learner.schedule) == Polynomial(0.9)
    assert [type(step) for step in written] == [type(step) for step in usual]
    assert vars(written[1])["tilt"] == math.pi / 64 and [tuple(pair) for pair in written[0].steps] == [(0.2, 0.4), (0.8, 1.6)]
    for one, two in zip(written[1:], usual[1:], strict=True):
        assert one == two


def test_a_schedule_is_followed_by_a_training_and_constant_needs_none():
    module = Segmenter(torch.nn.Linear(2, 3), 3, partial(torch.optim.SGD, lr=0.1), CrossEntropy())
    assert isinstance(module.configure_optimizers(), torch.optim.SGD)
