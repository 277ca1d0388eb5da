"""Non-finite losses stop a training or skip the step whole; jumps of the loss are logged once."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.core.errors import TrainingError
from netaug.elastic.plain_network import BaseOnly
from netaug.train.metrics import Tally
from netaug.train.stability import WINDOW, FiniteGuard, SpikeDetector
from netaug.train.trainer import Trainer
from tests import tiny
from tests.train.fakes import trainer


def rate(step: int) -> float:
    return 0.1 * step


def feed(guard: FiniteGuard, losses: list[float]) -> None:
    for step, loss in enumerate(losses):
        guard.add(torch.tensor(loss), "augmented", step, torch.tensor([step, 100 + step]))


def test_a_late_check_names_the_first_bad_step_and_its_images() -> None:
    guard = FiniteGuard(10, rate)
    feed(guard, [1.0, 2.0, float("inf"), float("nan")])
    with pytest.raises(TrainingError, match=r"augmented pass is not finite at step 2") as caught:
        guard.check()
    assert "loss inf at learning rate 0.2, training images number 2, 102" in str(caught.value)


def test_it_checks_by_itself_when_enough_are_waiting() -> None:
    guard = FiniteGuard(3, rate)
    feed(guard, [float("nan"), 1.0])
    with pytest.raises(TrainingError, match="step 0"):
        feed(guard, [1.0])


def test_finite_losses_pass_and_are_forgotten() -> None:
    """A loss that has passed is not looked at again: what becomes of its memory does not stop the training."""
    guard = FiniteGuard(2, rate)
    losses = torch.tensor([1.0, 2.0, 1e30])
    for step, loss in enumerate(losses):
        guard.add(loss, "augmented", step, torch.tensor([step]))
    guard.check()
    losses.fill_(float("nan"))
    assert guard.nonfinite() == 0
    guard.check()


def test_a_large_batch_is_named_in_part() -> None:
    guard = FiniteGuard(1, rate)
    with pytest.raises(TrainingError, match="14, 15 and 84 more"):
        guard.add(torch.tensor(float("nan")), "base", 0, torch.arange(100))


CONFIG = TrainConfig(
    epochs=2, lr=0.05, warmup_epochs=1, label_smoothing=0.0, ema_decay=0.9, skip_nonfinite=3, accumulate=2
)


class Fragile(nn.Module):
    """Gives non-finite outputs, and damages its statistics, for batches whose images are all white."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny.build("inverted")

    def forward(self, x: Tensor) -> Tensor:
        white = (x == x.max()).all()
        return self.inner(torch.where(white, math.nan, 1.0) * x)


def _subject(bad: tuple[int, ...] = (1,), **settings: Any) -> Trainer:
    """Three batches an epoch; those of ``bad`` are white."""
    network: Supernet | BaseOnly = BaseOnly(Fragile(), 1)
    if settings.pop("netaug", True):
        network = augment(Fragile(), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    subject = trainer(network, dataclasses.replace(CONFIG, **settings))
    batches = subject.data.train.batches  # type: ignore[attr-defined]
    for index in bad:
        batches[index] = dataclasses.replace(
            batches[index], images_NCHW=torch.full_like(batches[index].images_NCHW, 255)
        )
    return subject


def _same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("netaug", [True, False])
def test_a_skipped_step_changes_nothing(netaug: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Weights, statistics, their average and the epoch's sums; the log names step and images."""
    subject = _subject(netaug=netaug)
    tally = Tally(subject.task, subject.network)
    subject.network.train()
    batches = subject.data.train.batches  # type: ignore[attr-defined]
    subject.step(0, batches[0], tally)
    before, sums = copy.deepcopy(subject.state_dict()), copy.deepcopy(tally.state_dict())
    subject.step(1, batches[1], tally)
    after = copy.deepcopy(subject.state_dict())
    assert _same(before["network"], after["network"])
    assert _same(before["average"], after["average"])
    assert torch.equal(tally.state_dict()["sums"], sums["sums"])
    assert tally.state_dict()["counts"] == sums["counts"]
    assert after["updates"]["skipped"] == subject.skipped == 1
    assert "step 1 is skipped, number 1 of 3 allowed" in caplog.text
    assert "number 4, 5" in caplog.text
    subject.step(2, batches[2], tally)
    assert not _same(after["network"], subject.state_dict()["network"])
    assert all(bool(tensor.isfinite().all()) for tensor in subject.network.state_dict().values())


def test_one_more_than_allowed_stops_and_the_count_is_that_of_the_whole_run() -> None:
    subject = _subject((1, 2), skip_nonfinite=3)
    fit = subject.fit()
    record = next(fit)
    assert math.isfinite(record.train_loss)
    assert subject.skipped == 2
    again = _subject((1, 2), skip_nonfinite=3)
    again.load_state_dict(subject.state_dict())
    assert again.skipped == 2
    with pytest.raises(TrainingError, match=r"not finite at step 5(?s:.*)number 8, 9"):
        list(again.fit())


def test_a_run_with_skipped_steps_resumes_to_the_same_bits() -> None:
    whole = _subject()
    fit = whole.fit()
    next(fit)
    state = copy.deepcopy(whole.state_dict())
    list(fit)
    again = _subject()
    again.load_state_dict(state)
    list(again.fit())
    assert again.skipped == whole.skipped == 2
    for part in ("network", "average"):
        assert _same(again.state_dict()[part], whole.state_dict()[part])


def test_an_epoch_may_begin_with_it_but_not_be_nothing_else() -> None:
    record = next(_subject((0,)).fit())
    assert record.train_macs > 0
    assert math.isfinite(record.train_loss)
    with pytest.raises(TrainingError, match="no step of epoch 1 could be taken"):
        next(_subject((0, 1, 2)).fit())


def test_without_permission_the_first_one_stops() -> None:
    with pytest.raises(TrainingError, match=r"not finite at step 1(?s:.*)train\.skip_nonfinite"):
        list(_subject(skip_nonfinite=0).fit())


def test_a_jump_of_the_loss_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    subject = trainer(BaseOnly(tiny.build("plain"), 1), TrainConfig(epochs=40, lr=1e-9, warmup_epochs=0))
    steps = 0

    def spoil(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 110:
            with torch.no_grad():
                list(subject.network.parameters())[-1].mul_(1000)
                list(subject.network.parameters())[-2].mul_(1000)

    list(subject.fit(spoil))
    assert caplog.text.count("the loss jumps to") == 1
    assert "at step 110" in caplog.text


def spike_steps(losses: list[float]) -> list[int]:
    watch = SpikeDetector()
    return [step for step, loss in enumerate(losses) if watch.add(step, loss) is not None]


def noisy(count: int) -> list[float]:
    drawn = random.Random(0)
    return [2.0 - 0.5 * step / count + drawn.gauss(0, 0.05) for step in range(count)]


def test_a_spike_is_said_once_and_then_again_after_the_window() -> None:
    losses = noisy(500)
    for step in (150, 151, 160, 400):
        losses[step] = 9.0
    assert spike_steps(losses) == [150, 400]


def test_noise_and_the_first_steps_are_not_spikes() -> None:
    assert spike_steps(noisy(2000)) == []
    assert spike_steps([1.0] * (WINDOW - 1) + [50.0]) == []
    assert spike_steps([1.0] * WINDOW + [50.0]) == [WINDOW]


def test_nearly_constant_losses_may_move_a_little() -> None:
    """Their deviation is nothing, so a jump has to be half of the mean too."""
    assert spike_steps([1.0] * WINDOW + [1.4]) == []
    assert spike_steps([1.0] * WINDOW + [1.6]) == [WINDOW]


def test_the_rule_is_six_deviations() -> None:
    wave = [1.0 + 0.1 * (-1) ** step for step in range(WINDOW)]  # mean 1, deviation 0.1
    assert spike_steps([*wave, 1.59]) == []
    assert spike_steps([*wave, 1.61]) == [WINDOW]


def test_the_sentence_says_where_and_how_much() -> None:
    watch = SpikeDetector()
    sentences = [watch.add(step, 1.0 if step < 120 else 7.0) for step in range(121)]
    assert sentences[-1] is not None
    assert "jumps to 7 at step 120" in sentences[-1]
