"""Blocks that fix some of their channels by what they compute, or by numbers written down."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.elastic.blocks.kit import (
    Block,
    conv,
    even,
    per_channel,
    rigid,
    size,
)


@rigid
def split_uneven(dims: int, channels: int, number: int) -> nn.Module:
    """Parts of sizes that are written down."""
    inner = size(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        first, second = b.enter(x).split([1, inner - 1], 1)
        return torch.cat([b.layer(second), first], 1)

    return Block(compute, enter=conv(dims, channels, inner), layer=conv(dims, inner - 1, 3))


@rigid
def softmax(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: x * torch.softmax(b.layer(x), 1), layer=conv(dims, channels, channels))


@rigid
def heads(dims: int, channels: int, number: int) -> nn.Module:
    """Attention over positions with a fixed number of heads."""
    inner = even(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        q, k, v = (layer(x).flatten(2).unflatten(1, (2, inner // 2)) for layer in (b.q, b.k, b.v))
        mixed = v @ torch.softmax(q.transpose(2, 3) @ k, -1).transpose(2, 3)
        return x + b.out(mixed.flatten(1, 2).view(x.shape[0], inner, *x.shape[2:]))

    q, k, v = (conv(dims, channels, inner, 1) for _ in range(3))
    return Block(compute, q=q, k=k, v=v, out=conv(dims, inner, channels, 1))


@rigid
def standardised(dims: int, channels: int, number: int) -> nn.Module:
    """A convolution whose weight is normalized at every call."""
    convolve = (F.conv1d, F.conv2d)[dims - 1]
    layer = conv(dims, channels, size(number))
    return Block(
        lambda b, x: convolve(x, b.layer.weight / (b.layer.weight.norm() + 1), b.layer.bias, padding=1),
        layer=layer,
    )


@rigid
def tied_weight(dims: int, channels: int, number: int) -> nn.Module:
    """The same weight forth and, transposed, back."""
    convolve = (F.conv1d, F.conv2d)[dims - 1]
    return Block(
        lambda b, x: convolve(F.relu(b.layer(x)), b.layer.weight.transpose(0, 1), padding=1),
        layer=conv(dims, channels, size(number)),
    )


@rigid
def running_sum(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x).cumsum(1), layer=conv(dims, channels, size(number)))


@rigid
def best_channels(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x).topk(2, 1).values, layer=conv(dims, channels, size(number)))


@rigid
def rolled(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x).roll(1, 1), layer=conv(dims, channels, size(number)))


@rigid
def every_other(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x)[:, ::2], layer=conv(dims, channels, size(number)))


@rigid
def unit_length(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: F.normalize(b.layer(x), dim=1), layer=conv(dims, channels, size(number)))


@rigid
def constant_per_channel(dims: int, channels: int, number: int) -> nn.Module:
    inner = size(number)
    return Block(
        lambda b, x: b.layer(x) * b.constant,
        layer=conv(dims, channels, inner),
        constant=per_channel(dims, inner),
    )


@rigid
def channel_pad(dims: int, channels: int, number: int) -> nn.Module:
    """Zero channels appended to the shortcut (ResNet's option A)."""
    more = size(number)
    return Block(
        lambda b, x: b.layer(x) + F.pad(x, [*[0, 0] * dims, 0, more]),
        layer=conv(dims, channels, channels + more),
    )


@rigid
def position_embedding(dims: int, channels: int, number: int) -> nn.Module:
    """Channels and positions of a parameter flattened together, then viewed."""
    side = math.prod([3] * dims)
    kernel = nn.Parameter(torch.linspace(-1, 1, channels * side).view(1, channels * side))
    convolve = (F.conv1d, F.conv2d)[dims - 1]
    return Block(
        lambda b, x: x + convolve(x, b.kernel.view(channels, 1, *[3] * dims), padding=1, groups=channels),
        kernel=kernel,
    )


@rigid
def windows(dims: int, channels: int, number: int) -> nn.Module:
    """Positions become channels, and back."""

    def compute(b: Block, x: Tensor) -> Tensor:
        if dims == 2:
            return F.pixel_shuffle(b.layer(F.pixel_unshuffle(F.adaptive_avg_pool2d(x, 4), 2)), 2)
        x = F.adaptive_avg_pool1d(x, 4).unflatten(2, (2, 2)).transpose(2, 3).flatten(1, 2)
        return b.layer(x).unflatten(1, (-1, 2)).transpose(2, 3).flatten(2)

    return Block(compute, layer=conv(dims, 2**dims * channels, 2**dims * size(number)))
