"""The guard finds the first bad step also when it looks only now and then."""

from __future__ import annotations

import pytest
import torch

from netaug.core.errors import TrainingError
from netaug.train.nonfinite import FiniteGuard


def feed(guard: FiniteGuard, losses: list[float]) -> None:
    for step, loss in enumerate(losses):
        guard.add(torch.tensor(loss), "augmented", step, 0.1 * step, torch.tensor([step, 100 + step]))


def test_a_late_check_names_the_first_bad_step_and_its_images() -> None:
    guard = FiniteGuard(every=10)
    feed(guard, [1.0, 2.0, float("inf"), float("nan")])
    with pytest.raises(TrainingError, match=r"augmented pass is not finite at step 2") as caught:
        guard.check()
    assert "loss inf at learning rate 0.2, training images number 2, 102" in str(caught.value)


def test_it_checks_by_itself_when_enough_are_waiting() -> None:
    guard = FiniteGuard(every=3)
    feed(guard, [float("nan"), 1.0])
    with pytest.raises(TrainingError, match="step 0"):
        feed(guard, [1.0])


def test_finite_losses_pass_and_are_forgotten() -> None:
    """A loss that has passed is not looked at again: what becomes of its memory does not stop the training."""
    guard = FiniteGuard(every=2)
    losses = torch.tensor([1.0, 2.0, 1e30])
    for step, loss in enumerate(losses):
        guard.add(loss, "augmented", step, 0.1, torch.tensor([step]))
    guard.check()
    losses.fill_(float("nan"))
    assert guard.nonfinite() == 0
    guard.check()


def test_a_large_batch_is_named_in_part() -> None:
    guard = FiniteGuard(every=1)
    with pytest.raises(TrainingError, match="14, 15 and 84 more"):
        guard.add(torch.tensor(float("nan")), "base", 0, 0.1, torch.arange(100))
