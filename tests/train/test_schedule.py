"""Each schedule is that of timm or torch, after our warmup; the default is the formula of the paper's recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.scheduler import CosineLRScheduler, PolyLRScheduler, StepLRScheduler
from torch import nn

from netaug.config import TrainConfig
from netaug.core.errors import ConfigError
from netaug.train.schedule import Schedule

EPOCH_STEPS, EPOCHS = 5, 8


def rates(**settings: Any) -> list[float]:
    schedule = Schedule(TrainConfig(epochs=EPOCHS, lr=0.8, **settings), EPOCH_STEPS)
    return [schedule.lr(step) for step in range(schedule.total_steps)]


def stepped(make: Callable[[torch.optim.Optimizer], Any], count: int) -> list[float]:
    """What a scheduler of torch or timm sets for each of ``count`` steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    scheduler, found = make(optimizer), []
    for step in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
            scheduler.step()
        else:
            scheduler.step_update(step + 1)
    return found


def test_cosine_is_the_formula() -> None:
    schedule = Schedule(TrainConfig(epochs=10, warmup_epochs=4, lr=0.8), 1)
    found = [schedule.lr(step) for step in range(10)]
    assert found[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert found[4:] == [0.8 / 2 * (1 + math.cos(math.pi * (k / 6))) for k in range(6)]
    assert schedule.lr(10) == pytest.approx(0.0)


def test_without_warmup_the_first_step_has_the_peak() -> None:
    assert rates(warmup_epochs=0)[0] == 0.8


def test_warmup_may_last_the_whole_run() -> None:
    assert rates(warmup_epochs=EPOCHS)[-1] == 0.8


def test_every_schedule_rises_alike() -> None:
    for kind in ("cosine", "step", "poly", "linear", "constant"):
        assert rates(schedule=kind, warmup_epochs=1)[:6] == pytest.approx([0.16, 0.32, 0.48, 0.64, 0.8, 0.8])


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (
            {"schedule": "cosine", "min_lr": 0.1},
            lambda o: CosineLRScheduler(o, t_initial=40, lr_min=0.1, t_in_epochs=False),
        ),
        (
            {"schedule": "step", "decay_epochs": 3, "decay_rate": 0.5},
            lambda o: StepLRScheduler(o, decay_t=15, decay_rate=0.5, t_in_epochs=False),
        ),
        (
            {"schedule": "step", "decay_epochs": 2.4},
            lambda o: torch.optim.lr_scheduler.StepLR(o, 12, gamma=0.1),
        ),
        (
            {"schedule": "poly", "poly_power": 2.5, "min_lr": 0.05},
            lambda o: PolyLRScheduler(o, t_initial=40, power=2.5, lr_min=0.05, t_in_epochs=False),
        ),
        (
            {"schedule": "poly", "poly_power": 0.9},
            lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 40, 0.9),
        ),
        ({"schedule": "linear"}, lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, 40)),
        ({"schedule": "constant"}, lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    ],
    ids=lambda value: value["schedule"] if isinstance(value, dict) else "",
)
def test_schedules_are_those_of_timm_and_torch(
    settings: dict[str, Any], reference: Callable[[torch.optim.Optimizer], Any]
) -> None:
    expected = stepped(reference, EPOCHS * EPOCH_STEPS)
    assert rates(**settings, warmup_epochs=0) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if settings["schedule"] == "step":  # counted from the end of warmup, as all others are
        warm = rates(**settings, warmup_epochs=2)
        assert warm[10:] == pytest.approx(expected[:30])


def test_step_drops_at_each_third_when_not_told_and_not_below_the_least_rate() -> None:
    found = rates(schedule="step", warmup_epochs=2, min_lr=0.05)[10:]
    assert found == pytest.approx([0.8] * 10 + [0.08] * 10 + [0.05] * 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay_epochs": 3.0}, "decay_epochs has no effect with train.schedule cosine"),
        ({"schedule": "step", "poly_power": 2.0}, "poly_power has no effect with train.schedule step"),
        ({"schedule": "step", "decay_rate": 1.0}, "decay_rate is out of range"),
        ({"schedule": "constant", "min_lr": 0.1}, "min_lr has no effect"),
        ({"min_lr": 0.2}, "min_lr is out of range"),
        ({"schedule": "poly", "poly_power": 0.0}, "poly_power is out of range"),
    ],
)
def test_settings_of_another_schedule_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)
