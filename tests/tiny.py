"""Small networks and batches for all tests: one of each structure, under 10,000 parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, relu6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class Plain(nn.Module):
    """Three convolutions in a row, with biases and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = unit(3, 6)
        self.second = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.0)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(self.first(x)))
        return self.classifier(self.dropout(x.mean((2, 3))))


class Inverted(nn.Module):
    """Inverted blocks, one with a shortcut and one without, and squeeze-excite: two kinds of width and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 8, stride=2)
        self.expand, self.depthwise = unit(8, 24, 1), unit(24, 24, groups=24)
        self.squeeze, self.excite = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.project = nn.Sequential(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.down = nn.Sequential(unit(8, 16, 1), unit(16, 16, stride=2, groups=16), nn.Conv2d(16, 12, 1))
        self.classifier = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        hidden = self.depthwise(self.expand(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(hidden.mean((2, 3), keepdim=True)))))
        x = x + self.project(hidden * gate)
        return self.classifier(F.adaptive_avg_pool2d(self.down(x), 1).flatten(1))


class Concat(nn.Module):
    """Branches joined by concatenation, then flattened with their positions into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = unit(3, 4), unit(3, 6, 1)
        self.mix = unit(10, 6)
        self.classifier = nn.Linear((6 + 4) * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        mixed = self.mix(torch.cat([left, right], 1))
        pooled = F.max_pool2d(torch.cat([mixed, left], 1), 4)
        return self.classifier(torch.flatten(pooled, 1))


class Residual(nn.Module):
    """A basic residual block with a projected shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 6)
        self.one, self.two = unit(6, 6, stride=2), nn.Conv2d(6, 10, 3, padding=1)
        self.shortcut = nn.Conv2d(6, 10, 1, stride=2)
        self.norm = nn.BatchNorm2d(10)
        self.classifier = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.norm(self.two(self.one(x))) + self.shortcut(x))
        return self.classifier(x.mean((2, 3)))


class Shared(nn.Module):
    """One convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 8)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.again(F.relu(self.again(x))))
        return self.classifier(x.mean((2, 3)))


class Rigid(nn.Module):
    """Channels reshaped to a fixed number of heads: those cannot widen, the rest can."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 6)
        self.heads = nn.Conv2d(6, 8, 1)
        self.after = unit(8, 7)
        self.classifier = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.heads(self.stem(x))
        batch, _, height, width = x.shape
        x = x.reshape(batch, 2, 4, height, width).softmax(1).reshape(batch, 8, height, width)
        return self.classifier(self.after(x).mean((2, 3)))


class Grouped(nn.Module):
    """A convolution in two groups, with batch norm behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 6)
        self.middle = unit(6, 8, groups=2)
        self.last = unit(8, 7)
        self.classifier = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.last(self.middle(self.stem(x))).mean((2, 3)))


class Counting(nn.Module):
    """Keeps a count of its training forwards in a buffer, and its own scale per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 6)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 6).view(6, 1, 1))
        self.register_buffer("seen", torch.zeros(()))
        self.classifier = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
        return self.classifier((self.stem(x) * self.scale).mean((2, 3)))


class Pyramid(nn.Module):
    """A deep stage with a residual block, added back to a shallow one through a lateral layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shallow = unit(3, 6)
        self.deep, self.inner, self.branch = unit(6, 8, stride=2), unit(8, 4), nn.Conv2d(4, 8, 1)
        self.lateral, self.top = nn.Conv2d(6, 7, 1), nn.Conv2d(8, 7, 1)
        self.classifier = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.shallow(x)
        deep = self.deep(shallow)
        deep = self.top(deep + self.branch(self.inner(deep)))
        x = self.lateral(shallow) + F.interpolate(deep, scale_factor=2.0)
        return self.classifier(x.mean((2, 3)))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": Plain,
    "inverted": Inverted,
    "concat": Concat,
    "residual": Residual,
    "shared": Shared,
    "rigid": Rigid,
    "grouped": Grouped,
    "counting": Counting,
    "pyramid": Pyramid,
}


def images(count: int = 4, size: int = 8, seed: int = 1) -> Tensor:
    """Random color images, ``[count, 3, size, size]``."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def labels(count: int = 4) -> Tensor:
    """Class indices below 5, ``[count]``."""
    return torch.arange(count) % 5


def build(name: str, seed: int = 0) -> nn.Module:
    """One of :data:`NETWORKS` with seeded weights and batch norms that are not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = NETWORKS[name]()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.0, 0.2)
    return network
