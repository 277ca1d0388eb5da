"""Branches side by side: concatenations, chunks, slices, shuffles."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.elastic.blocks.kit import (
    Block,
    conv,
    even,
    norm,
    size,
    unit,
    widening,
)


@widening
def concat(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: torch.cat([b.left(x), x, b.right(x)], 1),
        left=conv(dims, channels, size(number)),
        right=unit(dims, channels, size(number + 1), 1),
    )


@widening
def dense(dims: int, channels: int, number: int) -> nn.Module:
    """Two layers that each read all before them."""
    grow = size(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        more = b.one(x)
        return torch.cat([x, more, b.two(b.norm(torch.cat([x, more], 1)))], 1)

    parts = conv(dims, channels, grow), norm(dims, channels + grow), conv(dims, channels + grow, grow)
    return Block(compute, one=parts[0], norm=parts[1], two=parts[2])


@widening
def upsample(dims: int, channels: int, number: int) -> nn.Module:
    """Down, up by interpolation, joined with what was before."""
    return Block(
        lambda b, x: torch.cat([F.interpolate(b.down(x), size=x.shape[2:], mode="nearest"), x], 1),
        down=unit(dims, channels, size(number), stride=2),
    )


@widening
def half_block(dims: int, channels: int, number: int) -> nn.Module:
    """Half of the channels pass by a branch, the halves are joined again (CSP)."""

    def compute(b: Block, x: Tensor) -> Tensor:
        keep, change = b.enter(x).chunk(2, 1)
        return torch.cat([keep, b.branch(change)], 1)

    inner = even(number)
    return Block(compute, enter=unit(dims, channels, inner), branch=unit(dims, inner // 2, inner // 2))


@widening
def sliced(dims: int, channels: int, number: int) -> nn.Module:
    """The first channels by slicing (GhostNet) after a concatenation."""
    inner = size(number)
    block = Block(
        lambda b, x: torch.cat([(y := b.enter(x)), b.cheap(y)], 1)[:, : b.out_channels] * 0.5,
        enter=unit(dims, channels, inner),
        cheap=conv(dims, inner, inner, groups=inner),
    )
    block.out_channels = 2 * inner
    return block


@widening
def shuffle(dims: int, channels: int, number: int) -> nn.Module:
    """Two branches, their channels interleaved (ShuffleNet)."""
    inner = even(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        x = torch.cat([b.left(x), b.right(x)], 1)
        return x.view(x.shape[0], 2, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)

    return Block(compute, left=unit(dims, channels, inner // 2), right=unit(dims, channels, inner // 2, 1))


@widening
def half_shuffle(dims: int, channels: int, number: int) -> nn.Module:
    """ShuffleNetV2's unit: chunk, a branch on one half, cat, interleave; twice, so that halves mix."""

    def once(x: Tensor, branch: nn.Module) -> Tensor:
        keep, change = x.chunk(2, 1)
        x = torch.cat([keep, branch(change)], 1)
        x = x.reshape(x.shape[0], 2, x.shape[1] // 2, *x.shape[2:]).transpose(1, 2)
        return x.reshape(x.shape[0], -1, *x.shape[3:])

    half = even(number)
    return Block(
        lambda b, x: once(once(b.enter(x), b.one), b.two),
        enter=unit(dims, channels, 2 * half),
        one=unit(dims, half, half),
        two=unit(dims, half, half),
    )


@widening
def pool_branches(dims: int, channels: int, number: int) -> nn.Module:
    """Poolings of several sizes side by side (SPP)."""
    pool = (F.max_pool1d, F.max_pool2d)[dims - 1]
    return Block(
        lambda b, x: torch.cat([(y := b.layer(x)), pool(y, 3, 1, 1), pool(y, 5, 1, 2)], 1),
        layer=conv(dims, channels, size(number), 1),
    )
