"""Memory of a network in int8 from its shapes alone: before training, before export, in about a second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from netaug.elastic.trace import (
    arguments,
    gives_tensors,
    module_of,
    operator_name,
    shape_of,
    tensor_inputs,
    trace,
)
from netaug.export.budget import MemoryNeed
from netaug.export.flatbuffer_file import FileRecord
from netaug.export.graph import ExportError, Graph, spanned
from netaug.export.micro.arena import plan_arena, plan_like_tflite_micro
from netaug.export.micro.lifetimes import Operation, buffers_of
from netaug.export.micro.lower import lower
from netaug.export.micro.overlap import IN_PLACE, resize_distance, window_distance
from netaug.export.quantize import quantize
from netaug.export.ranges import Range
from netaug.export.tflite import tflite_record
from netaug.export.tflite_micro import missing_in_tflite_micro
from netaug.export.tracing import float_graph

_VIEWS = frozenset(
    ["flatten", "view", "reshape", "squeeze", "unsqueeze", "contiguous", "clone", "alias", "detach"]
)
_VIEWS |= frozenset(["dropout", "identity", "to", "_to_copy"])
_FUSED = frozenset(["batch_norm", "relu", "hardtanh", "relu6", "clamp"])
"""Folded into the convolution or addition before them, if nothing else reads its result."""
_CARRIERS = frozenset(["conv2d", "linear", "add"])
_ELEMENT_WISE = (
    frozenset(["add", "mul", "hardswish", "hardsigmoid", "sigmoid", "silu", "gelu", "tanh"]) | _FUSED
)
_POOLS = frozenset(["max_pool2d", "avg_pool2d"])
_PER_CHANNEL = 9
"""Bytes per output channel: bias and multiplier of 4 each, a shift of 1."""


def memory_need(network: nn.Module, example_NCHW: Tensor) -> MemoryNeed:
    """Return the memory that one inference of a network takes in int8.

    It is planned for the very operations that an export would write. Where an operator has no int8 form, they are
    guessed from those that torch records.

    Args:
        network: Weights do not matter, and it is not changed.
        example_NCHW: An input of the size that the device sees, ``[N, C, H, W]``; only its shape matters.

    Raises:
        ModelError: The network does not run on the example.
        UnsupportedModelError: Its operations cannot be recorded.
    """
    try:
        return need_of_form(float_graph(network, example_NCHW))
    except ExportError:
        return _need_of_operations(network, example_NCHW)


def need_of_form(graph: Graph) -> MemoryNeed:
    """Return the memory that one inference of a float form takes in int8.

    Raises:
        ExportError: A node has no kernel in C.
    """
    int8 = quantize(graph, dict.fromkeys(graph.shapes, Range(-1.0, 1.0)))  # memory does not depend on ranges
    program = lower(int8, "")
    sliding, apart = program.plan(), program.plan(overlap=False)
    try:
        tflite_micro = None if missing_in_tflite_micro(int8) else _head(tflite_record(int8))
    except ExportError:
        tflite_micro = None  # the form cannot be a `.tflite`
    return MemoryNeed(
        sram=sliding.size,
        sram_apart=apart.size,
        tflite_micro=tflite_micro,
        lower_bound=sliding.lower_bound,
        flash=program.constant_bytes(),
        peak=sliding.peak,
        live=sliding.live,
    )


def _head(record: FileRecord) -> int:
    """Return the part of tflite-micro's arena that holds the activations of a file."""
    sizes = {str(index): math.prod(t.shape) for index, t in enumerate(record.tensors) if not t.buffer}
    operations = [
        Operation("", tuple(str(index) for index in call.inputs if str(index) in sizes), str(call.outputs[0]))
        for call in record.operators
    ]
    inputs, outputs = ([str(index) for index in ends] for ends in (record.inputs, record.outputs))
    return plan_like_tflite_micro(buffers_of(operations, sizes, inputs, outputs))[1]


def _need_of_operations(network: nn.Module, example_NCHW: Tensor) -> MemoryNeed:
    """Return the memory for the operations that torch records."""
    graph = _Graph(tflite=False)
    like_tflite = _Graph(tflite=True)
    recorded = trace(network, (example_NCHW,))
    for shapes in (graph, like_tflite):
        for node in recorded.inputs:
            shapes.start(node)
        for node in recorded.operations:
            if gives_tensors(node):
                shapes.read(node)
    outputs = list(dict.fromkeys(graph.source(node) for node in recorded.outputs))
    inputs = [node.name for node in recorded.inputs]
    sliding = plan_arena(graph.operations, graph.sizes, inputs, outputs)
    apart = plan_arena(graph.operations, graph.sizes, inputs, outputs, overlap=False)
    buffers = buffers_of(
        like_tflite.operations,
        like_tflite.sizes,
        inputs,
        [like_tflite.source(node) for node in recorded.outputs],
    )
    return MemoryNeed(
        sram=sliding.size,
        sram_apart=apart.size,
        tflite_micro=plan_like_tflite_micro(buffers)[1],
        lower_bound=sliding.lower_bound,
        flash=graph.constants,
        peak=sliding.peak,
        live=sliding.live,
        estimated=True,
    )


@dataclass
class _Graph:
    """Operations that a device runs, gathered from those that torch records.

    Attributes:
        tflite: Whether padding that is not TFLite's own is an operation of its own, as in a `.tflite` file.
        operations: For the planner.
        sizes: Bytes per activation.
        constants: Bytes of weights.
    """

    tflite: bool
    operations: list[Operation] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    constants: int = 0
    _same: dict[Node, str] = field(default_factory=dict)
    _shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _carriers: set[str] = field(default_factory=set)

    def start(self, node: Node) -> None:
        """Add an input of the network."""
        self._add(node, _shape_of(shape_of(node)))

    def source(self, node: Node) -> str:
        """Return the name of the activation that holds a node's values."""
        return self._same.get(node, node.name)

    def read(self, node: Node) -> None:
        """Add the operation of a node, unless it is part of the one before it or computes from constants only."""
        inputs = [source for source in tensor_inputs(node) if self.source(source) in self.sizes]
        if not inputs:
            return  # for example an anchor grid: computed from no image
        kind = operator_name(node)
        if kind in _VIEWS or (kind in _FUSED and self._carries(inputs[0])):
            self._same[node] = self.source(inputs[0])
            return
        sources = [self.source(node) for node in inputs]
        shape_HWC = _shape_of(shape_of(node))
        if kind in ("conv2d", "linear"):
            self._count_weights(node)
        if self.tflite and kind in ("conv2d", "max_pool2d"):
            sources = [self._padded(node, sources[0], shape_HWC)]
        distances = tuple(self._distance(node, kind, source, shape_HWC) for source in sources)
        self._add(node, shape_HWC)
        if kind in _CARRIERS:
            self._carriers.add(node.name)
        self.operations.append(Operation(module_of(node) or kind, tuple(sources), node.name, distances))

    def _add(self, node: Node, shape_HWC: tuple[int, int, int]) -> None:
        self.sizes[node.name] = math.prod(shape_HWC)
        self._shapes[node.name] = shape_HWC

    def _carries(self, node: Node) -> bool:
        """Return whether an activation behind this node can be part of the operation that made it."""
        return self.source(node) in self._carriers and len(node.users) == 1

    def _count_weights(self, node: Node) -> None:
        weight = shape_of(arguments(node)["weight"])
        self.constants += math.prod(weight) + weight[0] * _PER_CHANNEL

    def _padded(self, node: Node, source: str, output_HWC: tuple[int, int, int]) -> str:
        """Return the input of a window operation, behind one that pads it unless TFLite's SAME does."""
        height, width, channels = self._shapes[source]
        window = _Window.of(node)
        missing = [
            max(0, (outputs - 1) * stride + kernel - side)
            for outputs, stride, kernel, side in zip(
                output_HWC, window.stride, window.kernel, (height, width), strict=False
            )
        ]
        same = all(
            -(-side // stride) == outputs
            for side, stride, outputs in zip((height, width), window.stride, output_HWC, strict=False)
        )
        if same and window.padding == (missing[0] // 2, missing[1] // 2):
            return source
        if not any((*window.padding, *missing)):
            return source
        name = f"{node.name}.pad"
        rows, columns = (max(before, both) for before, both in zip(window.padding, missing, strict=True))
        self._shapes[name] = (height + rows, width + columns, channels)
        self.sizes[name] = math.prod(self._shapes[name])
        self.operations.append(Operation(f"{module_of(node)} (padding)", (source,), name))
        return name

    def _distance(self, node: Node, kind: str, source: str, output_HWC: tuple[int, int, int]) -> int | None:
        """Return how far the output must start before an input, or None if they must not overlap."""
        input_HWC = self._shapes[source]
        if kind in _ELEMENT_WISE:
            return IN_PLACE if input_HWC == output_HWC else None
        if kind == "linear":
            return window_distance(input_HWC, output_HWC)
        if kind == "conv2d" or kind in _POOLS:
            values, window = arguments(node), _Window.of(node)
            depthwise = values.get("groups") == input_HWC[2] == output_HWC[2] and window.plain
            return window_distance(
                input_HWC,
                output_HWC,
                stride_HW=window.stride,
                padding_HW=window.padding,
                per_channel=kind in _POOLS or (depthwise and input_HWC[2] > 1),
            )
        if output_HWC[:2] == (1, 1) and kind in ("adaptive_avg_pool2d", "mean"):
            return IN_PLACE
        if kind == "upsample_nearest2d" and output_HWC[0] % input_HWC[0] == 0:
            return resize_distance(input_HWC, output_HWC[0] // input_HWC[0])
        return None


@dataclass(frozen=True)
class _Window:
    """What a window spans, its stride and padding, rows and columns; whether it has no gaps."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    plain: bool

    @classmethod
    def of(cls, node: Node) -> _Window:
        values = arguments(node)
        dilation = _pair(values["dilation"]) if "weight" in values else (1, 1)
        kernel = spanned(_pair(values.get("kernel_size") or shape_of(values["weight"])[2:]), dilation)
        padding = values["padding"]
        if isinstance(padding, str):
            padding = [side // 2 for side in kernel] if padding == "same" else 0
        return cls(kernel, _pair(values["stride"] or kernel), _pair(padding), dilation == (1, 1))


def _pair(value: Any) -> tuple[int, int]:
    values = [value] * 2 if isinstance(value, int) else list(value)
    return int(values[0]), int(values[-1])


def _shape_of(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return height, width and channels of one image; what is not an image counts as channels."""
    if len(shape) == 4:
        return shape[2], shape[3], shape[1]
    return 1, 1, math.prod(shape[1:])


def need_at_side(network: nn.Module, channels: int, side: int) -> MemoryNeed:
    """Return the memory for square images of this side in pixels.

    Raises:
        ModelError: The network does not take such images.
    """
    return memory_need(network, torch.zeros(2, channels, side, side))
