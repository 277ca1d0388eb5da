"""Random small networks of the form's operators, whose weights and images follow from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from netaug.export.conversion import flattened
from netaug.export.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Gelu,
    Graph,
    HardSwish,
    MaxPool,
    Mean,
    Mul,
    Node,
    Padding,
    Relu,
    ResizeNearest,
    Rsqrt,
    Shape,
    Sigmoid,
    Take,
    spanned,
)
from netaug.export.int8 import GraphInt8, Int8Array
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.reference import encode, run_int8


@dataclass
class Program:
    """Grows by one operator at a time, on tensors drawn from those that exist."""

    rng: np.random.Generator
    shapes: dict[str, Shape] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def append(
        self, kind: Callable[..., Node], inputs: tuple[str, ...], shape: Shape, *values: object
    ) -> str:
        name = f"t{len(self.shapes)}"
        self.shapes[name] = shape
        self.nodes.append(kind(f"layer{len(self.nodes)}", inputs, name, *values))
        return name

    def draw(self, *choices: object) -> object:
        return choices[int(self.rng.integers(len(choices)))]

    def conv(self, source: str, kind: str = "any") -> str:
        *sides, channels = self.shapes[source]
        kernel = tuple(int(self.rng.integers(1, min(side, 5) + 1)) for side in sides)
        dilation = self.draw((1, 1), (1, 1), (2, 3))
        span = spanned(kernel, dilation)
        strides = self.draw((1, 1), (2, 2), (2, 1)) if dilation == (1, 1) else (1, 1)
        # as much at least that the window fits once
        least = [max(0, -((side - width) // 2)) for side, width in zip(sides, span, strict=True)]
        padding = Padding(
            *(int(self.rng.integers(least[k], max(least[k] + 1, span[k]))) for k in (0, 0, 1, 1))
        )
        groups = channels if kind == "depthwise" else self._groups(channels)
        outputs = channels if kind == "depthwise" else groups * int(self.rng.integers(1, 9))
        weight = self.rng.normal(0, 1, (outputs, *kernel, channels // groups)).astype(np.float32)
        weight *= self.rng.uniform(0.01, 2, (outputs, 1, 1, 1)).astype(np.float32)  # one scale per channel
        bias = self.rng.normal(0, 1, outputs).astype(np.float32)
        shape = *_windows(sides, span, strides, padding), outputs
        activation = self.draw(*Activation)
        values = (weight, bias, strides, padding, groups, activation, dilation)
        return self.append(Conv, (source,), shape, *values)

    def _groups(self, channels: int) -> int:
        return 2 if channels % 2 == 0 and self.rng.random() < 0.2 else 1

    def depthwise(self, source: str) -> str:
        return self.conv(source, "depthwise") if self.shapes[source][-1] > 1 else self.conv(source)

    def add(self, source: str) -> str:
        twins = [name for name, shape in self.shapes.items() if shape == self.shapes[source]]
        activation = self.draw(Activation.NONE, Activation.RELU, Activation.RELU6)
        return self.append(Add, (source, str(self.draw(*twins))), self.shapes[source], activation)

    def mul(self, source: str) -> str:
        shape = self.shapes[source]
        gates = [name for name, other in self.shapes.items() if other in (shape, (1, 1, shape[-1]))]
        return self.append(Mul, (source, str(self.draw(*gates))), shape)

    def mean(self, source: str) -> str:
        return self.append(Mean, (source,), (1, 1, self.shapes[source][-1]))

    def gate(self, source: str) -> str:
        return self.append(
            Mul,
            (source, self.append(Sigmoid, (self.mean(source),), self._pooled(source))),
            self.shapes[source],
        )

    def _pooled(self, source: str) -> Shape:
        return (1, 1, self.shapes[source][-1])

    def max_pool(self, source: str) -> str:
        *sides, channels = self.shapes[source]
        kernel = tuple(min(side, 3) for side in sides)
        padding = Padding(*(kernel[axis] // 2 for axis in (0, 0, 1, 1)))
        strides = self.draw((1, 1), (2, 2))
        shape = *_windows(sides, kernel, strides, padding), channels
        return self.append(MaxPool, (source,), shape, kernel, strides, padding)

    def avg_pool(self, source: str) -> str:
        *sides, channels = self.shapes[source]
        kernel = tuple(min(side, 2) for side in sides)
        padding = Padding(0, sides[0] % kernel[0], 0, sides[1] % kernel[1])  # what ceil_mode adds
        shape = *_windows(sides, kernel, kernel, padding), channels
        return self.append(AvgPool, (source,), shape, kernel, kernel, padding)

    def relu(self, source: str) -> str:
        return self.append(Relu, (source,), self.shapes[source])

    def hard_swish(self, source: str) -> str:
        return self.append(HardSwish, (source,), self.shapes[source])

    def sigmoid(self, source: str) -> str:
        return self.append(Sigmoid, (source,), self.shapes[source])

    def gelu(self, source: str) -> str:
        return self.append(Gelu, (source,), self.shapes[source])

    def norm(self, source: str) -> str:
        """Divides by the root of the mean of all squares, as the norms over channels do."""
        shape = self.shapes[source]
        square = self.append(Mul, (source, source), shape)
        weight = np.full((shape[-1], 1, 1, shape[-1]), 1 / shape[-1], np.float32)
        mean = self.append(Conv, (square,), shape, weight, np.full(shape[-1], 1e-3, np.float32))
        return self.append(Mul, (source, self.append(Rsqrt, (mean,), shape)), shape)

    def take(self, source: str) -> str:
        *sides, channels = self.shapes[source]
        chosen = tuple(int(index) for index in self.rng.integers(0, channels, int(self.rng.integers(1, 9))))
        return self.append(Take, (source,), (*sides, len(chosen)), chosen)

    def resize(self, source: str) -> str:
        height, width, channels = self.shapes[source]
        factor = 2 if max(height, width) <= 8 else 1
        return self.append(ResizeNearest, (source,), (factor * height, factor * width, channels), factor)

    def concat(self, source: str) -> str:
        *sides, _ = self.shapes[source]
        fitting = [name for name, shape in self.shapes.items() if list(shape[:-1]) == sides]
        parts = source, str(self.draw(*fitting))
        return self.append(Concat, parts, (*sides, sum(self.shapes[part][-1] for part in parts)))


KINDS = ("conv", "depthwise", "add", "mul", "mean", "gate", "max_pool", "avg_pool", "relu", "hard_swish")
KINDS += ("sigmoid", "resize", "concat", "take", "norm")


def _windows(sides: object, kernel: object, strides: object, padding: Padding) -> list[int]:
    totals = padding.top + padding.bottom, padding.left + padding.right
    return [
        (side + total - window) // stride + 1
        for side, total, window, stride in zip(sides, totals, kernel, strides, strict=True)
    ]


def random_graph(seed: int, kinds: Sequence[str] = KINDS, length: int | None = 8) -> tuple[Graph, Tensor]:
    """A form of random operators, and images ``[4, C, H, W]`` for it.

    Args:
        seed: Decides on everything.
        kinds: Operators to draw from.
        length: How many are drawn; None takes all kinds in their order, each on the output of the one before.
    """
    rng = np.random.default_rng(seed)
    program = Program(rng, {"images": tuple(int(value) for value in rng.integers(1, (10, 10, 5)))})
    last = program.conv("images")
    for kind in kinds if length is None else [str(program.draw(*kinds)) for _ in range(length)]:
        recent = [last] if length is None else list(program.shapes)[-3:]
        last = getattr(program, kind)(str(program.draw(*recent)))
    further = {str(program.draw(*program.shapes))} if rng.random() < 0.3 else set()
    pooled = program.mean(last)
    flat = program.append(Flatten, (pooled,), (program.shapes[pooled][-1],))
    outputs = (flat, *sorted(further - {"images"}))
    height, width, channels = program.shapes["images"]
    images = rng.normal(0, 1, (4, channels, height, width)).astype(np.float32)
    graph = Graph(tuple(_needed(program.nodes, outputs)), program.shapes, ("images",), outputs)
    return Graph(graph.nodes, _named(graph), graph.inputs, graph.outputs), torch.from_numpy(images)


def int8_case(graph: Graph, images_NCHW: Tensor) -> tuple[GraphInt8, Int8Array, Int8Array]:
    """A form in int8 with ranges of these images, the images as it reads them, and what the reference answers."""
    graph8 = quantize(graph, measure_ranges(graph, [images_NCHW]))
    images_NHWC = encode(graph8.tensors["images"], images_NCHW.permute(0, 2, 3, 1).numpy())
    return graph8, images_NHWC, flattened(run_int8(graph8, images_NHWC))


def _needed(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if node.output in wanted:
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]


def _named(graph: Graph) -> dict[str, Shape]:
    names = {*graph.inputs, *(node.output for node in graph)}
    return {name: shape for name, shape in graph.shapes.items() if name in names}
