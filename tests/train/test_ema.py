"""The average is that of timm, follows sorting, and is what is evaluated and saved."""

from __future__ import annotations

import copy
import dataclasses

import torch
from timm.utils.model_ema import ModelEmaV3

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.elastic.plain_network import BaseOnly
from netaug.tasks.evaluate import evaluate
from netaug.train.ema import Average
from tests import tiny
from tests.train.fakes import trainer

CONFIG = TrainConfig(epochs=4, lr=0.1, warmup_epochs=1, ema_decay=0.8)


def _supernet() -> Supernet:
    return augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0), expand=(1.0, 2.0)))


@torch.no_grad()
def test_it_is_timms_average_with_warm_up() -> None:
    network = BaseOnly(tiny.build("inverted"), macs=1)
    ours, theirs = Average(network, 0.6), ModelEmaV3(network, decay=0.6, use_warmup=True)
    for step in range(6):
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.add_(torch.ones_like(tensor))
        ours.update(network, step)
        theirs.update(network, step=step + 1)
    torch.testing.assert_close(ours.network.state_dict(), theirs.module.state_dict())
    weight = next(network.parameters())
    assert not torch.allclose(next(ours.network.parameters()), weight)
    assert not ours.network.training


def test_it_is_sorted_along() -> None:
    """The widest network of the average computes the same before and after sorting, so no channels are mixed up."""
    subject = trainer(_supernet(), dataclasses.replace(CONFIG, epochs=1), sort=True)
    list(subject.fit())
    assert subject._average is not None
    average = subject._average.network
    assert isinstance(average, Supernet)
    assert isinstance(subject.network, Supernet)
    before = copy.deepcopy(average)
    before.use_widest()
    orders = subject.network.sort_channels(subject.optimizer, [average])
    assert any(not torch.equal(order, torch.arange(len(order))) for order in orders.values())
    average.use_widest()
    torch.testing.assert_close(average(tiny.images()), before(tiny.images()), rtol=1e-4, atol=1e-5)


def test_the_loop_sorts_it_along() -> None:
    """With a decay of 0 the average is the network of the last step, whatever is sorted in between."""
    subject = trainer(_supernet(), dataclasses.replace(CONFIG, ema_decay=0.0), sort=True)
    for _ in subject.fit():
        torch.testing.assert_close(subject.result.state_dict(), subject.network.base.state_dict())
        subject._sort(1)
        torch.testing.assert_close(subject.result.state_dict(), subject.network.base.state_dict())


def test_what_is_evaluated_is_the_average() -> None:
    subject = trainer(_supernet(), CONFIG)
    record = list(subject.fit())[-1]
    measured = evaluate(subject.result, subject.data.val, subject.normalizer, subject.task)
    raw = evaluate(subject.network.base, subject.data.val, subject.normalizer, subject.task)
    assert record.val_loss == measured["loss"] != raw["loss"]


def test_averaging_does_not_change_the_training() -> None:
    networks = []
    for decay in (None, 0.8):
        subject = trainer(_supernet(), dataclasses.replace(CONFIG, ema_decay=decay), sort=True)
        list(subject.fit())
        networks.append(subject.network.state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
