"""Random small networks: a stem, drawn blocks, a link from the stem to the end, and one of several heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.elastic.blocks import RIGID, WIDENING
from tests.elastic.blocks.kit import conv, positions, unit


@dataclass(frozen=True)
class Program:
    """What a random network is made of.

    Args:
        dims: Positions are ``[L]`` (1) or ``[H, W]`` (2).
        width: Channels of the stem.
        blocks: Name and size number of each block.
        link: How the last block's result is joined with the stem's: ``none``, ``add`` (if the shapes allow), ``cat``.
        head: One of :data:`HEADS`.
    """

    dims: int
    width: int
    blocks: tuple[tuple[str, int], ...]
    link: str = "none"
    head: str = "pool"


class Network(nn.Module):
    """The network of a program, with seeded weights and norms that are not the identity."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.link = program.link
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            self.stem = unit(program.dims, 3, program.width)
            x = stem = self.stem(inputs(program))
            self.blocks = nn.ModuleList()
            for name, number in program.blocks:
                self.blocks.append({**WIDENING, **RIGID}[name](program.dims, x.shape[1], number))
                x = self.blocks[-1](x)
            if self.link == "add" and x.shape != stem.shape:
                self.link = "none"
            self.last = unit(program.dims, self._joined(x, stem).shape[1], 6)
            self.head = HEADS[program.head](self.last(self._joined(x, stem)))
            self._draw_norms_and_vectors()

    def _draw_norms_and_vectors(self) -> None:
        for name, tensor in [*self.named_parameters(), *self.named_buffers()]:
            if tensor.dim() == 1 and name.endswith(("weight", "scale", "running_var")):
                nn.init.uniform_(tensor, 0.5, 1.5)
            elif tensor.dim() == 1 and tensor.is_floating_point():
                nn.init.normal_(tensor, 0.0, 0.2)

    def _joined(self, x: Tensor, stem: Tensor) -> Tensor:
        if self.link == "cat":
            return torch.cat([x, F.interpolate(stem, size=x.shape[2:])], 1)
        return x + stem if self.link == "add" else x

    def forward(self, images: Tensor) -> Tensor:
        x = stem = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(self._joined(x, stem)))


def inputs(program: Program, seed: int = 0) -> Tensor:
    """A batch for a program's network, ``[4, 3, 8]`` or ``[4, 3, 8, 8]``."""
    return torch.randn(4, 3, *[8] * program.dims, generator=torch.Generator().manual_seed(seed))


# Heads


class Pooled(nn.Module):
    """Mean over positions, dropout, linear."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(0.2), nn.Linear(x.shape[1], 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.dropout(x.mean(positions(x))))


class Flattened(nn.Module):
    """Flatten with positions, two linear layers with a batch norm between."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.hidden, self.norm, self.linear = nn.Linear(x[0].numel(), 7), nn.BatchNorm1d(7), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.relu(self.norm(self.hidden(torch.flatten(x, 1)))))


class Convolved(nn.Module):
    """A pointwise convolution to the classes, then the maximum over positions."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.classes = conv(x.dim() - 2, x.shape[1], 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(x).amax(positions(x))


class Normalized(nn.Module):
    """Positions as tokens, layer norm, mean, linear."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(x.shape[1]), nn.Linear(x.shape[1], 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(x.flatten(2).transpose(1, 2)).mean(1))


HEADS: dict[str, Callable[[Tensor], nn.Module]] = {
    "pool": Pooled,
    "flatten": Flattened,
    "convolve": Convolved,
    "tokens": Normalized,
}
