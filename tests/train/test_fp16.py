"""Half precision with a scaled loss, on the CPU as on CUDA: steps that overflow leave weights and average alone."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.train.metrics import Tally
from netaug.train.schedule import Schedule
from netaug.train.trainer import Trainer
from netaug.train.updates import Updates
from tests import tiny
from tests.train.fakes import trainer

CONFIG = TrainConfig(epochs=2, lr=0.05, warmup_epochs=1, label_smoothing=0.0, amp="fp16", ema_decay=0.5)


def _supernet() -> Supernet:
    return augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))


def _state(subject: Trainer) -> dict[str, Any]:
    return copy.deepcopy(subject.state_dict())


def _equal(first: dict[str, Tensor], second: dict[str, Tensor], kind: str) -> bool:
    names = [name for name in first if (kind in name) and "running" not in name and "num_batches" not in name]
    assert names
    return all(torch.equal(first[name], second[name]) for name in names)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 1.0}, {"optimizer": "lamb", "lr": 0.01}], ids=str)
def test_a_step_that_overflows_is_left_out_and_halves_the_scale(settings: dict[str, Any]) -> None:
    """The average and the optimizer's states stay too; the rate of the next step is that of its number."""
    subject = trainer(_supernet(), dataclasses.replace(CONFIG, **settings))
    tally = Tally(subject.task, subject.network)
    subject.network.train()
    batches = subject.data.train.batches  # type: ignore[attr-defined]
    subject.step(0, batches[0], tally)
    before = _state(subject)
    scaler = subject._updates._scaler
    scaler._scale = torch.full((), 2.0**40)  # no gradient of fp16 survives that
    subject.step(1, batches[1], tally)
    after = _state(subject)
    for kind in ("base", "added"):
        assert _equal(before["network"], after["network"], kind)
    assert _equal(before["average"], after["average"], "base")
    for index, states in before["optimizer"]["state"].items():
        for name, value in states.items():
            if isinstance(value, Tensor):
                assert torch.equal(value, after["optimizer"]["state"][index][name])
    assert scaler.get_scale() == 2.0**39
    scaler._scale = torch.full((), 2.0**10)
    subject.step(2, batches[2], tally)
    assert not _equal(after["network"], subject.state_dict()["network"], "base")
    assert not _equal(after["average"], subject.state_dict()["average"], "base")
    assert subject.optimizer.param_groups[0]["lr"] == Schedule(subject.config, 3).lr(2)


def test_training_is_close_to_float32_and_weights_stay_float32() -> None:
    seen = set()
    half, full = _supernet(), _supernet()
    last = [module for module in half.base.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_hook(lambda module, _, outputs: seen.add((module.training, outputs.dtype)))
    found = list(trainer(half, CONFIG).fit())
    expected = list(trainer(full, dataclasses.replace(CONFIG, amp="off")).fit())
    assert seen == {(True, torch.float16), (False, torch.float32)}  # the average, evaluated, has the hook too
    assert {tensor.dtype for tensor in half.parameters()} == {torch.float32}
    for one, other in zip(found, expected, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.02)
        assert one.val_loss == pytest.approx(other.val_loss, rel=0.02)


def test_the_scale_goes_on_with_the_run() -> None:
    first = trainer(_supernet(), CONFIG)
    first._updates.load_state_dict({**first._updates.state_dict(), "scale": 2.0**12})
    list(first.fit())
    second = trainer(_supernet(), CONFIG)
    second.load_state_dict(first.state_dict())
    assert second._updates._scaler.get_scale() == 2.0**12
    assert second.state_dict()["updates"] == first.state_dict()["updates"]


def test_gradients_are_those_of_the_unscaled_loss() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    updates = Updates(torch.optim.SGD([weight], lr=1.0), torch.device("cpu"), "fp16", None)
    updates.zero_grad()
    updates.backward((weight * torch.tensor([0.25, 0.5])).sum())
    assert updates.apply()
    assert weight.tolist() == [0.75, 1.5]
