"""A step with a loss that is no number is left out whole, as often as allowed, and the run goes on to the same bits."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.core.errors import TrainingError
from netaug.elastic.plain_network import BaseOnly
from netaug.train.trainer import Tally, Trainer
from tests import tiny
from tests.train.fakes import trainer

CONFIG = TrainConfig(
    epochs=2, lr=0.05, warmup_epochs=1, label_smoothing=0.0, ema_decay=0.9, skip_nonfinite=3, accumulate=2
)


class Fragile(nn.Module):
    """Gives no numbers, and damages its statistics, for batches whose images are all white."""

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
def test_a_step_left_out_changes_nothing(netaug: bool, caplog: pytest.LogCaptureFixture) -> None:
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
    assert "step 1 is left out, number 1 of 3 allowed" in caplog.text
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


def test_a_run_with_steps_left_out_goes_on_to_the_same_bits() -> None:
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
