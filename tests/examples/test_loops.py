"""The examples train as our own loop does, to the bit, and end with the caller's network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import timm
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch.nn import functional as F

import netaug
from tests.examples.watching import Watch, assert_like_our_loop, load, watched

pytestmark = pytest.mark.slow
EPOCHS, IMAGES, STEPS = 4, 100, 8


@pytest.fixture(autouse=True)
def _no_accelerator_stays() -> Iterator[None]:
    """Accelerate keeps its settings for the whole process."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def assert_sorted_once(watch: Watch) -> None:
    """At the start of the second of four epochs, and not for nothing."""
    (orders,) = watch.orders
    assert any(not torch.equal(order, torch.arange(len(order))) for order in orders.values())


def assert_the_network_is_back(network: torch.nn.Module, like: torch.nn.Module) -> None:
    assert type(network) is type(like)
    assert {k: v.shape for k, v in network.state_dict().items()} == {
        k: v.shape for k, v in like.state_dict().items()
    }


def micronet() -> torch.nn.Module:
    return netaug.create_model("micronet", num_classes=10, in_chans=1)


def test_plain_pytorch() -> None:
    with watched() as watch:
        network = load("plain_pytorch").main(EPOCHS, IMAGES)
    assert_like_our_loop(watch, F.cross_entropy, STEPS)
    assert_sorted_once(watch)
    assert_the_network_is_back(network, micronet())
    for name, tensor in watch.supernet.base.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_accelerate_loop() -> None:
    with watched() as watch:
        network = load("accelerate_loop").main(EPOCHS, IMAGES)
    assert_like_our_loop(watch, F.cross_entropy, STEPS)
    assert_sorted_once(watch)
    assert_the_network_is_back(network, micronet())


def test_distributed_data_parallel() -> None:
    with watched() as watch:
        network = load("distributed_data_parallel").main(EPOCHS, IMAGES)
    assert_like_our_loop(watch, F.cross_entropy, STEPS)
    assert_sorted_once(watch)
    assert_the_network_is_back(network, micronet())


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_timm_style(mixup: float) -> None:
    with watched() as watch:
        network = load("timm_style").main(EPOCHS, IMAGES, mixup)
    criterion = SoftTargetCrossEntropy() if mixup else LabelSmoothingCrossEntropy(0.1)
    assert_like_our_loop(watch, criterion, STEPS)
    assert_sorted_once(watch)
    assert_the_network_is_back(network, timm.create_model("test_efficientnet", num_classes=10, in_chans=1))
    (average,) = watch.averages
    assert not torch.equal(next(average.parameters()), next(watch.supernet.parameters()))
    for name, tensor in average.base.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_accelerate_loop_in_mixed_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """`accelerate launch --mixed_precision bf16`: the same gradients, and nothing of it stays in the network."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with watched() as watch:
        network = load("accelerate_loop").main(EPOCHS, IMAGES)
    assert watch.supernet is not None
    assert "forward" in vars(watch.supernet), "Accelerate left the supernet as it was"
    assert_like_our_loop(watch, F.cross_entropy, STEPS)
    assert all(bool(gradient.isfinite().all()) for gradient in watch.updates[-1].gradients.values())
    assert "forward" not in vars(network)
    assert network(torch.zeros(2, 1, 8, 8)).dtype == torch.float32
