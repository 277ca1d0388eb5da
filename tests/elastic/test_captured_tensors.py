"""Networks that a copy cannot stand for are refused: those that read the original, or run again during backward."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from netaug import augment
from netaug.core.errors import ModelError
from tests import tiny


def _lambda() -> nn.Module:
    network = tiny.build("plain")
    network.activate = lambda x: x * network.get_parameter("classifier.bias").sum()  # type: ignore[assignment]
    network.get_submodule("first").register_forward_hook(lambda _m, _i, out: network.activate(out))
    return network


def _pre_hook() -> nn.Module:
    network = tiny.build("plain")
    network.gain = nn.Parameter(torch.ones(1))
    network.get_submodule("second").register_forward_pre_hook(lambda _m, inputs: (inputs[0] * network.gain,))
    return network


def _patched_forward() -> nn.Module:
    network = tiny.build("plain")
    original = type(network).forward
    network.forward = lambda x: original(network, x)  # type: ignore[method-assign]
    return network


def _buffer() -> nn.Module:
    network = tiny.build("plain")
    network.register_buffer("shift", torch.ones(1))
    network.register_forward_hook(lambda _m, _i, out: out + network.get_buffer("shift"))
    return network


def _unregistered() -> nn.Module:
    network, outside = tiny.build("plain"), nn.Parameter(torch.ones(1))
    network.register_forward_hook(lambda _m, _i, out: out * outside)
    return network


def _view() -> nn.Module:
    network = tiny.build("plain")
    bias = network.get_parameter("classifier.bias")[:1]
    network.register_forward_hook(lambda _m, _i, out: out + bias.detach())
    return network


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (_lambda, "'classifier.bias'"),
        (_pre_hook, "'gain'"),
        (_patched_forward, r"'first\.0\.weight'"),
        (_buffer, "'shift'"),
        (_unregistered, r"a parameter of shape \[1\]"),
        (_view, "'classifier.bias'"),
    ],
)
def test_a_copy_that_would_read_the_original_is_refused(make: Callable[[], nn.Module], what: str) -> None:
    with pytest.raises(ModelError, match=rf"(?s)still reads {what}.*lambda, hook, closure.*a method"):
        augment(make(), tiny.images())


def test_functions_that_are_copied_with_the_network_are_fine() -> None:
    network = tiny.build("plain")
    network.gain = nn.Parameter(torch.ones(1))

    def scaled(module: nn.Module, _: Any, outputs: Tensor) -> Tensor:
        return outputs + module.get_parameter("bias").sum()

    network.get_submodule("classifier").register_forward_hook(scaled)
    network.act = functools.partial(torch.mul, network.gain)  # type: ignore[assignment]
    network.named = network.get_parameter  # type: ignore[assignment]
    network.register_forward_hook(lambda m, _i, out: m.act(out) * m.named("gain"))
    supernet = augment(network, tiny.images())
    supernet(tiny.images()).sum().backward()
    assert supernet.base.gain.grad is not None
    assert network.gain.grad is None


def test_a_constant_computed_from_parameters_is_refused() -> None:
    class Once(tiny.Plain):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))
            self.squared = self.gain**2

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.squared

    with pytest.raises(ModelError, match=r"(?s)'squared' was computed.*compute it in forward"):
        augment(Once(), tiny.images())


# Activation checkpointing


class Checkpointed(nn.Module):
    """Runs its block again in backward, as ``how`` says, while it is switched on."""

    def __init__(self, how: str, on: bool = True) -> None:
        super().__init__()
        self.how, self.on = how, on
        self.stem, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)
        self.block = nn.Sequential(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if not self.on or not x.requires_grad:
            y = self.block(x)
        elif self.how == "sequential":
            y = checkpoint_sequential(self.block, 2, x, use_reentrant=False)
        elif self.how == "own":
            y = Again.apply(self.block, x)
        else:
            y = checkpoint(self.block, x, use_reentrant=self.how == "reentrant")
        return self.fc((x + y).mean((2, 3)))  # type: ignore[no-any-return]


class Again(torch.autograd.Function):
    """Somebody's own checkpointing."""

    @staticmethod
    def forward(ctx: Any, block: nn.Module, x: Tensor) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(x)
        return block(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            torch.autograd.backward(ctx.block(x), gradients)
        return None, x.grad


HOW = ["reentrant", "not reentrant", "sequential", "own"]


@pytest.mark.parametrize("how", HOW)
def test_activation_checkpointing_is_refused_before_training(how: str) -> None:
    with pytest.raises(
        ModelError, match=r"(?s)checkpointing\).*'(Checkpointed|block)'.*set_grad_checkpointing\(False\)"
    ):
        augment(Checkpointed(how), tiny.images())


@pytest.mark.parametrize("how", HOW[:3])
def test_activation_checkpointing_switched_on_later_is_refused_at_the_first_wide_pass(how: str) -> None:
    supernet = augment(Checkpointed(how, on=False), tiny.images())
    supernet.base.on = True  # type: ignore[assignment]
    supernet(tiny.images()).sum().backward()  # of the base network it is right
    supernet.use_widest()
    with pytest.raises(ModelError, match=r"(?s)activation checkpointing.*torch\.utils\.checkpoint in 'Check"):
        supernet(tiny.images())
    with torch.no_grad():
        assert supernet(tiny.images()).shape == (4, 5)
    supernet.use_base()
    supernet(tiny.images()).sum().backward()


def test_the_caller_may_use_checkpointing_around_the_supernet_at_base() -> None:
    supernet = augment(Checkpointed("reentrant", on=False), tiny.images())
    images = tiny.images().requires_grad_()
    checkpoint(supernet, images, use_reentrant=False).sum().backward()
    assert images.grad is not None
