"""Branches that are added to what they came from."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.elastic.blocks.kit import (
    Block,
    channels_first,
    channels_last,
    conv,
    norm,
    per_channel,
    size,
    unit,
    widening,
)


@widening
def residual(dims: int, channels: int, number: int) -> nn.Module:
    hidden = size(number)
    return Block(
        lambda b, x: F.relu(x + b.out(b.hidden(x))),
        hidden=unit(dims, channels, hidden),
        out=conv(dims, hidden, channels),
    )


@widening
def inverted(dims: int, channels: int, number: int) -> nn.Module:
    hidden = channels + size(number)
    layers = unit(dims, channels, hidden, 1), unit(dims, hidden, hidden, groups=hidden)
    return nn.Sequential(*layers, conv(dims, hidden, size(number + 1), 1))


@widening
def convnext(dims: int, channels: int, number: int) -> nn.Module:
    hidden = channels + size(number)
    return Block(
        lambda b, x: (
            x + channels_first(b.scale * b.out(F.gelu(b.hidden(b.norm(channels_last(b.depthwise(x)))))))
        ),
        depthwise=conv(dims, channels, channels, groups=channels),
        norm=nn.LayerNorm(channels),
        hidden=nn.Linear(channels, hidden),
        out=nn.Linear(hidden, channels),
        scale=nn.Parameter(torch.full((channels,), 0.5)),
    )


@widening
def reparameterised(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: F.relu(b.wide(x) + b.point(x) + b.skip(x)),
        wide=conv(dims, channels, channels),
        point=conv(dims, channels, channels, 1),
        skip=norm(dims, channels),
    )


@widening
def layer_scale(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: x + b.scale * b.layer(x),
        layer=conv(dims, channels, channels),
        scale=nn.Parameter(per_channel(dims, channels)),
    )


@widening
def weighted_sum(dims: int, channels: int, number: int) -> nn.Module:
    """Branches stacked and summed with one weight each."""
    return Block(
        lambda b, x: (torch.stack([x, b.layer(x)]) * b.weights.view(2, *[1] * (dims + 2))).sum(0),
        layer=conv(dims, channels, channels),
        weights=nn.Parameter(torch.tensor([0.7, 0.4])),
    )
