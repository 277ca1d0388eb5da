"""Channels or positions that are scaled by what is computed from them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.elastic.blocks.kit import (
    Block,
    conv,
    even,
    positions,
    size,
    widening,
)


@widening
def squeeze_excite(dims: int, channels: int, number: int) -> nn.Module:
    hidden = size(number)
    return Block(
        lambda b, x: x * torch.sigmoid(b.excite(F.relu(b.squeeze(x.mean(positions(x), keepdim=True))))),
        squeeze=conv(dims, channels, hidden, 1),
        excite=conv(dims, hidden, channels, 1),
    )


@widening
def linear_gate(dims: int, channels: int, number: int) -> nn.Module:
    """Squeeze-excite with linear layers and views."""
    hidden = size(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        gate = F.hardsigmoid(b.excite(F.relu(b.squeeze(x.mean(positions(x))))))
        return x * gate.view(x.shape[0], -1, *[1] * dims).expand_as(x)

    return Block(compute, squeeze=nn.Linear(channels, hidden), excite=nn.Linear(hidden, channels))


@widening
def gated_half(dims: int, channels: int, number: int) -> nn.Module:
    """One half of the channels gates the other."""

    def compute(b: Block, x: Tensor) -> Tensor:
        value, gate = b.layer(x).chunk(2, 1)
        return value * torch.sigmoid(gate)

    return Block(compute, layer=conv(dims, channels, even(number)))


@widening
def glu(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: F.glu(b.layer(x), 1), layer=conv(dims, channels, even(number)))


@widening
def positions_gate(dims: int, channels: int, number: int) -> nn.Module:
    """A gate over positions from one computed channel."""
    return Block(lambda b, x: x * torch.sigmoid(b.layer(x)), layer=conv(dims, channels, 1))


@widening
def pooled_gate(dims: int, channels: int, number: int) -> nn.Module:
    """A gate over positions from the mean and maximum over channels."""
    return Block(
        lambda b, x: (
            x * torch.sigmoid(b.layer(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))
        ),
        layer=conv(dims, 2, 1),
    )
