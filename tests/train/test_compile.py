"""A compiled base pass trains the same network; everything else, evaluation above all, is not compiled."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.elastic.plain_network import BaseOnly
from netaug.train.compile import check_compiler, compile_base
from tests import tiny
from tests.train.fakes import trainer

CONFIG = TrainConfig(epochs=2, lr=0.05, warmup_epochs=1, label_smoothing=0.0, ema_decay=0.9)


def _supernet() -> Supernet:
    return augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))


def _graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


@pytest.mark.slow
def test_a_training_is_the_same_but_for_rounding() -> None:
    plain, compiled = _supernet(), _supernet()
    compile_base(compiled.base, backend="aot_eager")
    first, second = (trainer(network, CONFIG, sort=True) for network in (plain, compiled))
    expected, found = list(first.fit()), list(second.fit())
    assert _graphs() == 1  # the base pass in training, once: neither wide passes nor evaluations
    for one, other in zip(expected, found, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)
        assert other.val_loss == pytest.approx(one.val_loss, rel=1e-3)
        assert other.widths == one.widths
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict(), rtol=1e-3, atol=1e-4)


def test_evaluation_is_that_of_the_network_which_is_saved() -> None:
    network = BaseOnly(tiny.build("inverted"), macs=1)
    compile_base(network.base, backend="aot_eager")
    images = tiny.images()
    saved = tiny.build("inverted")
    network.train()(images)
    saved.load_state_dict(network.base.state_dict())
    assert torch.equal(network.eval()(images), saved.eval()(images))
    assert _graphs() == 1


@pytest.mark.slow
def test_a_run_that_goes_on_compiles_anew_and_computes_the_same() -> None:
    def start() -> Any:
        torch._dynamo.reset()
        supernet = _supernet()
        compile_base(supernet.base, backend="aot_eager")
        return trainer(supernet, CONFIG)

    whole = start()
    fit = whole.fit()
    next(fit)
    state = copy.deepcopy(whole.state_dict())
    list(fit)
    again = start()
    again.load_state_dict(state)
    list(again.fit())
    for name, tensor in again.network.state_dict().items():
        assert torch.equal(tensor, whole.network.state_dict()[name]), name


@pytest.mark.slow
def test_with_the_real_compiler() -> None:
    check_compiler(torch.device("cpu"))
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5))
    compiled = copy.deepcopy(plain)
    compile_base(compiled)
    for network in (plain, compiled):
        network.train()(tiny.images()).square().sum().backward()
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.state_dict(), compiled.state_dict())
