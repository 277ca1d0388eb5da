"""Layers in a row: convolutions of every kind, linear layers on tokens, shared layers, norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.elastic.blocks.kit import (
    Block,
    channels_first,
    channels_last,
    conv,
    even,
    norm,
    per_channel,
    size,
    unit,
    widening,
)


@widening
def plain(dims: int, channels: int, number: int) -> nn.Module:
    return unit(dims, channels, size(number))


@widening
def strided(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: F.gelu(b.layer(F.pad(x, [0, 1] * dims))),
        layer=conv(dims, channels, size(number), stride=2),
    )


@widening
def depthwise(dims: int, channels: int, number: int) -> nn.Module:
    return unit(dims, channels, channels, groups=channels)


@widening
def depth_multiplier(dims: int, channels: int, number: int) -> nn.Module:
    return unit(dims, channels, 2 * channels, groups=channels)


@widening
def grouped(dims: int, channels: int, number: int) -> nn.Module:
    inner = even(number)
    return nn.Sequential(conv(dims, channels, inner, 1), unit(dims, inner, even(number + 1), groups=2))


@widening
def transposed(dims: int, channels: int, number: int) -> nn.Module:
    layer = (nn.ConvTranspose1d, nn.ConvTranspose2d)[dims - 1](size(number), size(number + 1), 2, 2)
    return nn.Sequential(conv(dims, channels, size(number), stride=2), layer, norm(dims, size(number + 1)))


@widening
def tokens_linear(dims: int, channels: int, number: int) -> nn.Module:
    layer = nn.Linear(channels, size(number))
    return Block(lambda b, x: channels_first(F.silu(b.layer(channels_last(x)))), layer=layer)


@widening
def shared_layer(dims: int, channels: int, number: int) -> nn.Module:
    layer = conv(dims, channels, channels)
    return Block(lambda b, x: b.layer(F.relu(b.layer(x))), layer=layer)


@widening
def shared_apart(dims: int, channels: int, number: int) -> nn.Module:
    """One layer on two branches, each with its own norm."""
    hidden = size(number)
    return Block(
        lambda b, x: torch.cat(
            [b.norm1(b.layer(x)), b.norm2(b.layer(F.max_pool1d(x, 1) if dims == 1 else x))], 1
        ),
        layer=conv(dims, channels, hidden),
        norm1=norm(dims, hidden),
        norm2=norm(dims, hidden),
    )


@widening
def prelu(dims: int, channels: int, number: int) -> nn.Module:
    return nn.Sequential(conv(dims, channels, size(number)), nn.PReLU(size(number)))


@widening
def layer_norm(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: channels_first(b.norm(channels_last(x))), norm=nn.LayerNorm(channels))


@widening
def norm_by_hand(dims: int, channels: int, number: int) -> nn.Module:
    """Channels-first layer norm written out with means over channels."""

    def compute(b: Block, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-5) * b.scale + b.shift

    return Block(
        compute,
        scale=nn.Parameter(per_channel(dims, channels)),
        shift=nn.Parameter(per_channel(dims, channels) - 1),
    )


@widening
def group_norm(dims: int, channels: int, number: int) -> nn.Module:
    return nn.Sequential(conv(dims, channels, even(number)), nn.GroupNorm(2, even(number)))


@widening
def one_group_norm(dims: int, channels: int, number: int) -> nn.Module:
    return nn.GroupNorm(1, channels)


@widening
def instance_norm(dims: int, channels: int, number: int) -> nn.Module:
    return (nn.InstanceNorm1d, nn.InstanceNorm2d)[dims - 1](channels, affine=True)
