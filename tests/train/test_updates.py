"""Gradients are clipped together, microbatches add up to the batch, and half precision keeps float32 weights."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from netaug import AugmentConfig, Supernet, augment
from netaug.config import DataConfig, RunConfig, TrainConfig
from netaug.core.errors import ConfigError
from netaug.elastic.plain_network import BaseOnly
from netaug.train.metrics import Tally
from netaug.train.microbatches import microbatch_slices
from netaug.train.trainer import Trainer
from tests import tiny
from tests.train.fakes import trainer

CONFIG = TrainConfig(epochs=2, lr=0.05, warmup_epochs=1, weight_decay=0.01)
ONE_STEP = TrainConfig(epochs=1, lr=1.0, warmup_epochs=0, momentum=0.0, weight_decay=0.0)


def _wide(model: nn.Module) -> Supernet:
    return augment(model, tiny.images(), AugmentConfig(width=(1.0, 2.0), seed=1))


def _without_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
    )


def _step(subject: Trainer) -> Tally:
    tally = Tally(subject.task, subject.network)
    subject.network.train()
    subject.step(0, subject.data.train.batches[0], tally)  # type: ignore[attr-defined]
    return tally


def test_microbatches_cover_the_batch_and_have_two_images_each() -> None:
    assert [(one.start, one.stop) for one in microbatch_slices(10, 4)] == [(0, 2), (2, 5), (5, 7), (7, 10)]
    assert list(microbatch_slices(7, 1)) == [slice(0, 7)]
    for count in range(2, 20):
        cut = list(microbatch_slices(count, 4))
        assert [index for part in cut for index in range(part.start, part.stop)] == list(range(count))
        assert min(part.stop - part.start for part in cut) >= 2
    assert list(microbatch_slices(1, 3)) == [slice(0, 1)]


def test_accumulated_microbatches_are_one_big_batch() -> None:
    """Both passes, the augmented one with the same widths in all parts; equal to rounding without batch norm."""
    network = _wide(_without_norm())
    whole = trainer(copy.deepcopy(network), CONFIG)
    cut = trainer(copy.deepcopy(network), dataclasses.replace(CONFIG, accumulate=2))
    before, after = list(whole.fit()), list(cut.fit())
    assert any(value.any() for value in whole.optimizer.state_dict()["state"][0].values())
    torch.testing.assert_close(dict(cut.network.named_parameters()), dict(whole.network.named_parameters()))
    for one, other in zip(before, after, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-5)
        same = ("widths", "train_macs", "train_top1", "steps")
        assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]


def test_microbatches_are_forwarded_one_by_one() -> None:
    sizes: list[int] = []
    network = BaseOnly(_without_norm(), macs=1)
    network.base.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    _step(trainer(network, dataclasses.replace(ONE_STEP, accumulate=2)))
    assert sizes == [2, 2]


def test_microbatches_of_one_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="less than two images"):
        RunConfig(data=DataConfig(batch_size=6), train=TrainConfig(accumulate=4))
    RunConfig(data=DataConfig(batch_size=1))


def test_clipping_is_over_all_gradients_of_both_passes() -> None:
    """With rate 1 and no momentum a step moves all weights together by the clipped norm, in the same direction."""
    network = _wide(_without_norm())
    moves = {}
    for clip in (None, 0.01, 1e6):
        subject = trainer(copy.deepcopy(network), dataclasses.replace(ONE_STEP, clip_norm=clip))
        _step(subject)
        pairs = zip(subject.network.parameters(), network.parameters(), strict=True)
        moves[clip] = torch.cat([(after - before).detach().flatten() for after, before in pairs])
    assert moves[None].norm() > 0.1
    assert moves[0.01].norm() == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(moves[0.01] / 0.01, moves[None] / moves[None].norm(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moves[1e6], moves[None])


def test_bf16_computes_in_bf16_and_keeps_weights_in_float32() -> None:
    seen: set[tuple[bool, torch.dtype]] = set()
    network = _wide(tiny.build("inverted"))
    last = [module for module in network.base.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_hook(lambda module, _, outputs: seen.add((module.training, outputs.dtype)))
    records = list(trainer(network, dataclasses.replace(CONFIG, amp="bf16")).fit())
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert all(torch.isfinite(torch.tensor(record.train_loss)) for record in records)
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
