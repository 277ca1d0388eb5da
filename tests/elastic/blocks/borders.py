"""Channels cut at borders that are written down or computed, and state that modules keep by themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.elastic.blocks.kit import Block, conv, even, per_channel, positions, rigid, size, unit, widening


def _cutting(dims: int, channels: int, inner: int, cut: str) -> nn.Module:
    """A convolution whose channels ``cut`` takes apart and joins, so that a border in the wrong place shows."""
    scale = nn.Parameter(per_channel(dims, inner))
    return Block(lambda b, x: CUTS[cut](b.enter(x) * b.scale), enter=conv(dims, channels, inner), scale=scale)


def _swapped(parts: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    return torch.cat([*parts][::-1], 1)


def _viewed(x: Tensor) -> Tensor:
    """Halves by a view of computed sizes, exchanged."""
    return x.view(len(x), 2, x.shape[1] // 2, *x.shape[2:]).flip(1).reshape(x.shape)


CUTS = {
    "slices": lambda x: _swapped([x[:, :2], x[:, 2:]]),
    "last": lambda x: torch.cat([x[:, -3:], x[:, :-3]], 1),
    "middle": lambda x: x[:, 1:4],
    "narrow": lambda x: torch.cat([x.narrow(1, 2, 2), x.narrow(1, 0, 2)], 1),
    "equal": lambda x: _swapped(x.split(x.shape[1] // 2, 1)),
    "uneven": lambda x: _swapped(x.split([1, 2, x.shape[1] - 3], 1)),
    "leftover": lambda x: _swapped(x.split(3, 1)),
    "tensor_split": lambda x: _swapped(torch.tensor_split(x, (1, 3), 1)),
    "unequal_chunks": lambda x: _swapped(x.chunk(3, 1)),
    "half": lambda x: _swapped([x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]]),
    "third": lambda x: _swapped([x[:, : x.shape[1] // 3], x[:, x.shape[1] // 3 :]]),
    "viewed": _viewed,
    "first": lambda x: x - x[:, :1],
    "selected": lambda x: x * torch.sigmoid(x.select(1, 1).unsqueeze(1)),
    "indexed": lambda x: x[:, [2, 0, 1]],
}


@rigid
def cut_slices(dims: int, channels: int, number: int) -> nn.Module:
    return _cutting(dims, channels, size(number), ("slices", "last", "middle", "narrow")[number % 4])


@rigid
def cut_splits(dims: int, channels: int, number: int) -> nn.Module:
    return _cutting(dims, channels, even(number), ("leftover", "tensor_split", "uneven", "equal")[number % 4])


@rigid
def cut_computed(dims: int, channels: int, number: int) -> nn.Module:
    return _cutting(dims, channels, even(number), ("half", "viewed", "third", "unequal_chunks")[number % 4])


@rigid
def cut_single(dims: int, channels: int, number: int) -> nn.Module:
    return _cutting(dims, channels, size(number), ("first", "selected", "indexed", "half")[number % 4])


@rigid
def half_of_two(dims: int, channels: int, number: int) -> nn.Module:
    """Half of what two layers made, by a computed border (ShuffleNetV2 for small images)."""

    def compute(b: Block, x: Tensor) -> Tensor:
        x = torch.cat([b.left(x), b.right(x)], 1)
        half = x.shape[1] // 2
        return torch.cat([x[:, half:], b.branch(x[:, :half])], 1)

    half = size(number)
    left, right = unit(dims, channels, half), unit(dims, channels, half, 1)
    return Block(compute, left=left, right=right, branch=unit(dims, half, half))


@rigid
def running_norm(dims: int, channels: int, number: int) -> nn.Module:
    """A norm by hand: buffers with one entry per channel, updated in place and assigned anew."""
    return _Running(channels, dims)


@widening
def running_scale(dims: int, channels: int, number: int) -> nn.Module:
    """One number that follows the activations, and a counter."""
    return nn.Sequential(conv(dims, channels, size(number)), _Scale())


class _Running(nn.Module):
    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(channels, *[1] * dims))
        self.register_buffer("spread", torch.ones(channels, *[1] * dims))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                over = (0, *positions(x))
                self.average.lerp_(x.mean(over, keepdim=True)[0], 0.1)
                self.spread = 0.9 * self.spread + 0.1 * x.var(over, keepdim=True)[0]
        return (x - self.average) / (self.spread + 1e-3).sqrt()


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.largest.lerp_(x.abs().amax(), 0.1)
                self.steps += 1
        return x / self.largest
