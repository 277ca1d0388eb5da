"""The optimizer is torch's SGD, spares biases and norms, and follows the written-out schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from netaug import AugmentConfig, augment
from netaug.train.optim import learning_rate, make_optimizer, set_learning_rate
from tests import tiny


def test_learning_rate_is_the_formula() -> None:
    rates = [learning_rate(step, 10, 4, 0.8) for step in range(10)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    expected = [0.4 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]
    assert rates[4:] == pytest.approx(expected)
    assert learning_rate(10, 10, 4, 0.8) == pytest.approx(0.0)


def test_learning_rate_without_warmup_starts_at_the_peak() -> None:
    assert learning_rate(0, 5, 0, 0.3) == 0.3


def test_warmup_may_last_the_whole_run() -> None:
    assert [learning_rate(step, 2, 2, 1.0) for step in range(2)] == [0.5, 1.0]


def test_biases_and_norms_are_not_decayed_nor_are_those_that_netaug_adds() -> None:
    supernet = augment(tiny.build("inverted"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    optimizer = make_optimizer(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    kinds = {parameter.ndim > 1 for parameter in supernet.added.values()}
    assert kinds == {True, False}  # else the next lines would say little
    for parameter in supernet.parameters():
        assert decay[id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_updates_are_those_of_nesterov_written_out(momentum: float) -> None:
    """V = m v + g; w -= lr (g + m v), also for a weight whose first gradient comes late."""
    weight, late = (nn.Parameter(torch.randn(3, 2, dtype=torch.float64)) for _ in range(2))
    optimizer = make_optimizer([weight, late], lr=0.1, momentum=momentum, weight_decay=0.01)
    expected = {weight: weight.detach().clone(), late: late.detach().clone()}
    speed = {weight: torch.zeros_like(weight), late: torch.zeros_like(late)}
    for step in range(4):
        set_learning_rate(optimizer, lr := 0.1 / (step + 1))
        optimizer.zero_grad()
        for parameter in (weight, late) if step >= 2 else (weight,):
            parameter.grad = torch.randn_like(parameter)
            gradient = parameter.grad + 0.01 * expected[parameter]
            speed[parameter] = momentum * speed[parameter] + gradient
            expected[parameter] = expected[parameter] - lr * (gradient + momentum * speed[parameter])
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected[weight])
    torch.testing.assert_close(late.detach(), expected[late])


def test_memory_format_does_not_change_an_update() -> None:
    """The fused update walks through memory: weight, gradient and momentum must lie alike."""
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = tiny.build("inverted").double()
        model.to(memory_format=memory_format)  # type: ignore[call-overload]
        images = tiny.images().double().contiguous(memory_format=memory_format)
        supernet = augment(model, images, AugmentConfig(width=(1.0, 2.0)))
        optimizer = make_optimizer(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        for step in range(3):
            optimizer.zero_grad()
            for _ in supernet.passes(step, 0.0):
                supernet(images).square().sum().backward()
            optimizer.step()
        results.append({name: tensor.contiguous() for name, tensor in supernet.state_dict().items()})
    torch.testing.assert_close(results[0], results[1])


def test_frozen_weights_are_left_out() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    optimizer = make_optimizer(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 1
