"""The float form of a network on its way to a device: ordered nodes, named tensors, channels last, no batch.

The form has no batch norm, dropout or padding layer: they are folded into the convolutions. A linear layer is a
convolution whose kernel covers its input. Axes are named H (height), W (width), C (channels), O (output channels) and
I (input channels of one group).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netaug.core.errors import NetaugError

Shape: TypeAlias = tuple[int, ...]
"""``(H, W, C)``, or ``(C,)`` behind a `Flatten`."""
FloatArray: TypeAlias = NDArray[np.float32]


class ExportError(NetaugError):
    """A network cannot be brought into the form of a device, or its export differs from it."""


class Activation(Enum):
    """Names what clips the output of a node: the value is the interval."""

    NONE = (-np.inf, np.inf)
    RELU = (0.0, np.inf)
    RELU6 = (0.0, 6.0)
    UNIT = (0.0, 1.0)
    """A hard sigmoid, whose slope and offset are folded into the convolution before it."""

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return the values clipped to the interval."""
        return np.clip(values, np.float32(self.value[0]), np.float32(self.value[1]))


@dataclass(frozen=True)
class Padding:
    """Holds the rows and columns that are added around an image, in pixels."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return any((self.top, self.bottom, self.left, self.right))

    def __add__(self, other: Padding) -> Padding:
        return Padding(
            self.top + other.top,
            self.bottom + other.bottom,
            self.left + other.left,
            self.right + other.right,
        )


def spanned(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns from the first to the last input of a window, in pixels."""
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


@dataclass(frozen=True, eq=False)
class Node:
    """Holds what all nodes have.

    Args:
        name: The layer of the network that it comes from, such as ``stages.0.1.expand.conv``; for messages.
        inputs: Names of the tensors it reads.
        output: Name of the tensor it writes; no other node writes it.
    """

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Is a convolution, depthwise where ``groups`` equals input and output channels.

    Args:
        weight_OHWI: float32 ``[O, kernel height, kernel width, input channels / groups]``.
        bias_O: float32 ``[O]``.
        strides: Rows and columns between two outputs, in pixels.
        padding: Zeros around the input.
        groups: Groups of channels.
        activation: What clips the outputs.
        dilation: Rows and columns between two inputs of a window, in pixels; 1 leaves no gap.
    """

    weight_OHWI: FloatArray
    bias_O: FloatArray
    strides: tuple[int, int] = (1, 1)
    padding: Padding = field(default_factory=Padding)
    groups: int = 1
    activation: Activation = Activation.NONE
    dilation: tuple[int, int] = (1, 1)

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads the input channel of the same number."""
        outputs, _, _, inputs = self.weight_OHWI.shape
        return self.groups > 1 and inputs == 1 and outputs == self.groups


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Is the sum of two tensors of one shape."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, eq=False)
class Mul(Node):
    """Is the product of two tensors; the second may be ``(1, 1, C)``, one factor per channel."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, eq=False)
class Mean(Node):
    """Is the mean over height and width, of shape ``(1, 1, C)``."""


@dataclass(frozen=True, eq=False)
class _Pool(Node):
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding = field(default_factory=Padding)


@dataclass(frozen=True, eq=False)
class MaxPool(_Pool):
    """Is the largest value in each window; padded positions are ignored."""


@dataclass(frozen=True, eq=False)
class AvgPool(_Pool):
    """Is the mean of each window over the positions inside the image: padded positions are not counted."""


@dataclass(frozen=True, eq=False)
class Relu(Node):
    """Is a ReLU that could not be fused into the node before it."""


@dataclass(frozen=True, eq=False)
class HardSwish(Node):
    """Is ``x * relu6(x + 3) / 6``."""


@dataclass(frozen=True, eq=False)
class Sigmoid(Node):
    """Is ``1 / (1 + exp(-x))``."""


@dataclass(frozen=True, eq=False)
class ResizeNearest(Node):
    """Repeats each pixel ``factor`` times in both directions."""

    factor: int = 2


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Joins tensors of one height and width along their channels."""


@dataclass(frozen=True, eq=False)
class Gelu(Node):
    """Is ``x / 2 * (1 + erf(x / sqrt(2)))``, or its approximation by tanh."""

    approximate: bool = False


@dataclass(frozen=True, eq=False)
class Rsqrt(Node):
    """Is ``1 / sqrt(x)`` of positive values."""


@dataclass(frozen=True, eq=False)
class Take(Node):
    """Is some channels of a tensor, in any order: what splits, slices and shuffles of channels do.

    Args:
        channels: Which ones, 0-based.
    """

    channels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """Is the same values, from ``(1, 1, C)`` to ``(C,)``."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Holds a network: its nodes in an order in which they can be run.

    Args:
        nodes: Each reads inputs of the network and outputs of earlier nodes only.
        shapes: Shape of every tensor by its name.
        inputs: Names of the tensors that the caller gives.
        outputs: Names of the tensors that the network returns.
    """

    nodes: tuple[Node, ...]
    shapes: dict[str, Shape]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def readers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each tensor."""
        readers: dict[str, list[Node]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node)
        return readers

    def macs(self) -> int:
        """Return the multiply-accumulates of the convolutions for one image."""
        return sum(
            node.weight_OHWI[0].size * int(np.prod(self.shapes[node.output]))
            for node in self.nodes
            if isinstance(node, Conv)
        )

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)
