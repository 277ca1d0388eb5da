"""The loop does what the paper's step says, in both arms, and counts it right."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netaug import AugmentConfig, augment
from netaug.config import TrainConfig
from netaug.core.errors import TrainingError
from netaug.core.seeding import key
from netaug.elastic.plain_network import BaseOnly
from netaug.train import trainer as loop
from netaug.train.metrics import Tally
from netaug.train.optim import make_optimizer, set_learning_rate
from netaug.train.schedule import Schedule
from tests import tiny
from tests.train.fakes import fake_data, trainer

CONFIG = TrainConfig(epochs=2, lr=0.05, warmup_epochs=1, label_smoothing=0.1, weight_decay=0.01)


def test_the_baseline_trains_as_a_plain_loop_does() -> None:
    plain, network = tiny.build("inverted"), BaseOnly(tiny.build("inverted"), macs=10)
    subject = trainer(network, CONFIG)
    records = list(subject.fit())
    optimizer = make_optimizer(plain.parameters(), lr=1.0, momentum=0.9, weight_decay=0.01)
    for step in range(6):
        batch = subject.data.train.batches[step % 3]  # type: ignore[attr-defined]
        set_learning_rate(optimizer, Schedule(CONFIG, 3).lr(step))
        optimizer.zero_grad()
        outputs = plain(subject.normalizer(batch.images_NCHW))
        F.cross_entropy(outputs, batch.labels_N, label_smoothing=0.1).backward()
        optimizer.step()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, network.base.state_dict()[name])
    assert [record.train_macs for record in records] == [3 * 4 * 10] * 2
    assert records[-1].widths == {}
    assert records[-1].lr == Schedule(CONFIG, 3).lr(5)


def test_a_step_adds_the_gradients_of_both_passes() -> None:
    """One momentum-free step moves the weights by lr times (base gradient + alpha x augmented gradient)."""
    settings = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), alpha=0.5, batch_share=0.5, seed=1)
    supernet = augment(tiny.build("residual"), tiny.images(), settings)
    reference = copy.deepcopy(supernet)
    config = TrainConfig(epochs=1, lr=0.1, warmup_epochs=0, momentum=0, weight_decay=0, label_smoothing=0)
    subject = trainer(supernet, config, steps=1)
    tally = Tally(subject.task, supernet)
    batch = fake_data(1).train.batches[0]  # type: ignore[attr-defined]
    supernet.train()
    subject.step(0, batch, tally)

    x, y = subject.normalizer(batch.images_NCHW), batch.labels_N
    reference.train().zero_grad()
    reference.use_base()
    F.cross_entropy(reference(x), y).backward()
    widths = reference.sample(0, 0.0)
    reference.use(widths)
    (0.5 * F.cross_entropy(reference(x[:2]), y[:2])).backward()
    moved = 0
    for name, parameter in reference.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(supernet.get_parameter(name), parameter - 0.1 * gradient)
        moved += name.startswith("added") and bool(gradient.any())
    assert moved, "this draw widens nothing: take another seed"
    assert tally.images == 4
    assert tally.macs == 4 * supernet.macs({}) + 2 * supernet.macs(widths)
    assert tally.widths() == widths


def test_sorting_happens_at_epoch_starts_of_the_first_phase_but_not_before_training() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    events: list[object] = []
    subject = trainer(supernet, TrainConfig(epochs=5, warmup_epochs=0, lr=0.01), steps=1, sort=True)
    supernet.sort_channels = lambda optimizer, averages: events.append(optimizer)  # type: ignore[method-assign,assignment,return-value]
    for record in subject.fit():
        events.append(record.epoch)
    assert events == [0, subject.optimizer, 1, subject.optimizer, 2, 3, 4]


def test_sorting_counts_as_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """NetAug's cost, which the longer baseline is given too, is all that NetAug does."""
    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    supernet = augment(
        tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0), width_until=0.6)
    )

    def sort(*_: object) -> None:
        now[0] += 7.0

    supernet.sort_channels = sort  # type: ignore[method-assign,assignment]
    subject = trainer(supernet, TrainConfig(epochs=2, warmup_epochs=0, lr=0.01), steps=1, sort=True)

    step = subject.step

    def one_second(*arguments: Any) -> None:
        step(*arguments)
        now[0] += 1.0

    def saving(*_: object) -> None:
        now[0] += 100.0

    subject.step = one_second  # type: ignore[method-assign]
    assert [record.seconds for record in subject.fit(saving)] == [1.0, 8.0]


def test_evaluation_is_every_so_many_epochs_and_after_the_last() -> None:
    network = BaseOnly(tiny.build("plain"), macs=1)
    config = TrainConfig(epochs=5, eval_every=2, lr=0.01, warmup_epochs=0)
    records = list(trainer(network, config, steps=1).fit())
    assert [record.val_top1 is not None for record in records] == [False, True, False, True, True]
    assert records[0].val_loss is None
    assert records[0].val_seconds == 0.0


def test_training_metrics_are_those_of_the_base_pass() -> None:
    """With a rate of nearly zero the base network's metrics are known beforehand, whatever the wide one does."""
    supernet = augment(tiny.build("plain"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    config = TrainConfig(epochs=1, lr=1e-30, warmup_epochs=0, weight_decay=0, label_smoothing=0.1)
    subject = trainer(supernet, config, steps=3)
    frozen = copy.deepcopy(supernet.base).train().requires_grad_(False)
    (record,) = subject.fit()
    right, loss = 0, 0.0
    for batch in subject.data.train.epoch(0):
        outputs = frozen(subject.normalizer(batch.images_NCHW))
        right += int((outputs.argmax(1) == batch.labels_N).sum())
        loss += float(F.cross_entropy(outputs, batch.labels_N, label_smoothing=0.1)) * len(batch)
    assert record.train_top1 == 100 * right / 12
    assert record.train_loss == pytest.approx(loss / 12)


class _Exploding(nn.Module):
    """Not a number from the second forward on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.forwards = nn.Linear(192, 5), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += 1
        return self.layer(x.flatten(1)) * (1.0 if self.forwards == 1 else math.nan)


def test_a_loss_that_is_no_number_stops_before_it_reaches_the_weights() -> None:
    network = BaseOnly(_Exploding(), macs=1)
    with pytest.raises(TrainingError, match=r"base pass is not finite at step 1") as caught:
        list(trainer(network, CONFIG).fit())
    assert "number 4, 5, 6, 7" in str(caught.value)
    assert f"learning rate {Schedule(CONFIG, 3).lr(1):.6g}" in str(caught.value)
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_dropout_masks_depend_on_seed_and_step_only() -> None:
    """So both arms, and a run that is continued, drop the same."""
    network = BaseOnly(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 5)), macs=1)
    config = TrainConfig(epochs=1, warmup_epochs=0, seed=5)
    subject = trainer(network, config, steps=1)
    torch.manual_seed(123)
    subject.step(7, subject.data.train.batches[0], Tally(subject.task, network))  # type: ignore[attr-defined]
    after = torch.rand(3)
    torch.manual_seed(key(5, "step", 7, "base", 0))
    network.train()(torch.zeros(4, 3, 8, 8))
    assert torch.equal(torch.rand(3), after)
