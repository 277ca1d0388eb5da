"""One block for every structure that convolutional networks are made of, to build random networks from.

A block takes and gives ``[N, C, L]`` or ``[N, C, H, W]`` (``dims`` is 1 or 2); it is made from ``dims``, the channels
it is given and a number that picks its sizes. :data:`WIDENING` are those whose every channel can be widened,
:data:`RIGID` those that fix some by what they compute.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

BlockMaker = Callable[[int, int, int], nn.Module]
WIDENING: dict[str, BlockMaker] = {}
RIGID: dict[str, BlockMaker] = {}


class Block(nn.Module):
    """Modules and parameters by name, and what they compute."""

    def __init__(
        self, compute: Callable[[Block, Tensor], Tensor], **parts: nn.Module | nn.Parameter | Tensor
    ) -> None:
        super().__init__()
        self.compute = compute
        for name, part in parts.items():
            if isinstance(part, (nn.Module, nn.Parameter)):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def widening(maker: BlockMaker) -> BlockMaker:
    """Register a block all of whose channels can be widened."""
    WIDENING[maker.__name__] = maker
    return maker


def rigid(maker: BlockMaker) -> BlockMaker:
    """Register a block that fixes some of its channels."""
    RIGID[maker.__name__] = maker
    return maker


def conv(dims: int, inputs: int, outputs: int, kernel: int = 3, **settings: int | bool) -> nn.Module:
    """A convolution that keeps the size at stride 1."""
    return (nn.Conv1d, nn.Conv2d)[dims - 1](inputs, outputs, kernel, padding=kernel // 2, **settings)


def norm(dims: int, channels: int) -> nn.Module:
    """A batch norm."""
    return (nn.BatchNorm1d, nn.BatchNorm2d)[dims - 1](channels)


def unit(dims: int, inputs: int, outputs: int, kernel: int = 3, **settings: int | bool) -> nn.Sequential:
    """Convolution, batch norm, relu."""
    layer = conv(dims, inputs, outputs, kernel, bias=False, **settings)
    return nn.Sequential(layer, norm(dims, outputs), nn.ReLU())


def size(number: int) -> int:
    """A number of channels."""
    return (4, 5, 6, 8)[number % 4]


def even(number: int) -> int:
    """An even number of channels."""
    return (4, 6, 8, 12)[number % 4]


def positions(x: Tensor) -> tuple[int, ...]:
    """The dimensions behind the channels."""
    return tuple(range(2, x.dim()))


def per_channel(dims: int, channels: int) -> Tensor:
    """Different values per channel, shaped to meet activations."""
    return torch.linspace(0.5, 1.5, channels).view(channels, *[1] * dims)


def channels_last(x: Tensor) -> Tensor:
    """Move the channels behind the positions."""
    return x.permute(0, *positions(x), 1)


def channels_first(x: Tensor) -> Tensor:
    """Undo :func:`channels_last`."""
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1))
