"""Turns the float form and the ranges of its tensors into the int8 form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from netaug.export.fixed_point import activation_bounds, quantize_multiplier
from netaug.export.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    ExportError,
    Flatten,
    FloatArray,
    Gelu,
    Graph,
    HardSwish,
    MaxPool,
    Mean,
    Mul,
    Node,
    Relu,
    ResizeNearest,
    Rsqrt,
    Sigmoid,
    Take,
)
from netaug.export.int8 import (
    AddInt8,
    ConcatInt8,
    ConvInt8,
    FlattenInt8,
    GraphInt8,
    MeanInt8,
    MulInt8,
    Multiplier,
    NodeInt8,
    PoolInt8,
    ResizeInt8,
    TableInt8,
    TakeInt8,
    TensorInt8,
)
from netaug.export.ranges import Range
from netaug.export.scales import activation_tensors, with_free_scales
from netaug.export.tables import gelu_table, hard_swish_table, logistic_table, relu_table, rsqrt_table

_SMALLEST_WEIGHT = 1e-8
"""What the largest weight of a channel without weights is taken for."""


def quantize(graph: Graph, ranges: Mapping[str, Range]) -> GraphInt8:
    """Return the int8 form.

    Weights are symmetric with one scale per output channel, activations asymmetric with one scale per tensor.

    Args:
        graph: The float form.
        ranges: Range of every tensor, as `ranges.measure_ranges` returns them.

    Raises:
        ExportError: A tensor has no range, or a convolution's weights are not finite or too large for its outputs.
    """
    graph, ranges = with_free_scales(graph, ranges)
    tensors = activation_tensors(graph, ranges)
    form = _Scales(tensors)
    nodes = tuple(_QUANTIZERS[type(node)](form, node) for node in graph)
    return GraphInt8(nodes, tensors, graph.inputs, graph.outputs)


class _Clip(TypedDict):
    """The fields of `ClippedInt8`."""

    activation: Activation
    low: int
    high: int


@dataclass(frozen=True)
class _Scales:
    tensors: Mapping[str, TensorInt8]

    def of(self, name: str) -> float:
        return self.tensors[name].scale

    def clip(self, node: Conv | Add | Mul) -> _Clip:
        output = self.tensors[node.output]
        low, high = activation_bounds(node.activation, output.scale, output.zero_point)
        return {"activation": node.activation, "low": low, "high": high}


def _conv(form: _Scales, node: Conv) -> ConvInt8:
    weight, outputs = node.weight_OHWI, len(node.weight_OHWI)
    if not (np.isfinite(weight).all() and np.isfinite(node.bias_O).all()):
        raise ExportError(
            f"layer '{node.name}' has weights that are not finite, once the batch norm behind it is folded in.",
            fix="export an earlier checkpoint, or train with a lower learning rate",
        )
    largest_O = np.maximum(np.abs(weight).reshape(outputs, -1).max(1), _SMALLEST_WEIGHT).astype(np.float32)
    input_scale = np.float32(form.of(node.inputs[0]))
    scales_O = _without_overflow(node, largest_O / np.float32(127), input_scale)
    integers = np.clip(np.round(weight / scales_O[:, None, None, None]), -127, 127).astype(np.int8)
    bias = np.round(node.bias_O.astype(np.float64) / (input_scale * scales_O).astype(np.float64))
    # As the reference kernel: products of float32 scales in float64.
    reals = np.float64(input_scale) * scales_O.astype(np.float64) / form.of(node.output)
    multipliers = [quantize_multiplier(float(real)) for real in reals]
    return ConvInt8(
        node.name,
        node.inputs,
        node.output,
        integers,
        bias.astype(np.int32),
        scales_O,
        np.array([multiplier.value for multiplier in multipliers], np.int32),
        np.array([multiplier.shift for multiplier in multipliers], np.int32),
        node.strides,
        node.padding,
        node.groups,
        node.dilation,
        **form.clip(node),
    )


def _without_overflow(node: Conv, scales_O: FloatArray, input_scale: np.float32) -> FloatArray:
    """Return scales that keep sums within int32: of tiny weights beside a bias, and of very many weights.

    What is left of the sums once they are multiplied is seen to in `scales`.
    """
    of_bias_O = np.abs(node.bias_O) / (np.float32(2**30) * input_scale)
    of_weights_O = 255 * np.abs(node.weight_OHWI).sum((1, 2, 3)) / np.float32(2**29)
    scales: FloatArray = np.maximum(scales_O, np.maximum(of_bias_O, of_weights_O)).astype(np.float32)
    return scales


def _add(form: _Scales, node: Add) -> AddInt8:
    first, second, output = (form.of(name) for name in (*node.inputs, node.output))
    double = 2 * max(first, second)
    inputs = quantize_multiplier(first / double), quantize_multiplier(second / double)
    result = quantize_multiplier(double / (2**20 * output))
    return AddInt8(node.name, node.inputs, node.output, inputs, result, **form.clip(node))


def _mul(form: _Scales, node: Mul) -> MulInt8:
    first, second, output = (form.of(name) for name in (*node.inputs, node.output))
    multiplier = quantize_multiplier(first * second / output)
    return MulInt8(node.name, node.inputs, node.output, multiplier, **form.clip(node))


def _mean(form: _Scales, node: Mean) -> MeanInt8:
    value, shift = quantize_multiplier(form.of(node.inputs[0]) / form.of(node.output))
    height, width, _ = form.tensors[node.inputs[0]].shape
    positions = height * width
    # The division by the positions keeps as many bits as the positions have, as in the reference kernel.
    bits = min(positions.bit_length() - 1, 32, 31 + shift)
    multiplier = Multiplier((value << bits) // positions, shift - bits)
    return MeanInt8(node.name, node.inputs, node.output, multiplier)


def _pool(form: _Scales, node: MaxPool | AvgPool) -> PoolInt8:
    kind: Literal["max", "average"] = "max" if isinstance(node, MaxPool) else "average"
    return PoolInt8(node.name, node.inputs, node.output, kind, node.kernel, node.strides, node.padding)


def _relu(form: _Scales, node: Relu) -> TableInt8:
    table = relu_table(form.tensors[node.inputs[0]], form.tensors[node.output])
    return TableInt8(node.name, node.inputs, node.output, "relu", table)


def _hard_swish(form: _Scales, node: HardSwish) -> TableInt8:
    table = hard_swish_table(form.tensors[node.inputs[0]], form.tensors[node.output])
    return TableInt8(node.name, node.inputs, node.output, "hard_swish", table)


def _gelu(form: _Scales, node: Gelu) -> TableInt8:
    ends = form.tensors[node.inputs[0]], form.tensors[node.output]
    table = gelu_table(*ends, approximate=node.approximate)
    kind: Literal["gelu", "gelu_tanh"] = "gelu_tanh" if node.approximate else "gelu"
    return TableInt8(node.name, node.inputs, node.output, kind, table)


def _rsqrt(form: _Scales, node: Rsqrt) -> TableInt8:
    table = rsqrt_table(form.tensors[node.inputs[0]], form.tensors[node.output])
    return TableInt8(node.name, node.inputs, node.output, "rsqrt", table)


def _sigmoid(form: _Scales, node: Sigmoid) -> TableInt8:
    return TableInt8(
        node.name, node.inputs, node.output, "logistic", logistic_table(form.tensors[node.inputs[0]])
    )


def _resize(form: _Scales, node: ResizeNearest) -> ResizeInt8:
    return ResizeInt8(node.name, node.inputs, node.output, node.factor)


_QUANTIZERS: dict[type[Node], Callable[..., NodeInt8]] = {
    Conv: _conv,
    Add: _add,
    Mul: _mul,
    Mean: _mean,
    MaxPool: _pool,
    AvgPool: _pool,
    Relu: _relu,
    HardSwish: _hard_swish,
    Sigmoid: _sigmoid,
    Gelu: _gelu,
    Rsqrt: _rsqrt,
    ResizeNearest: _resize,
    Concat: lambda form, node: ConcatInt8(node.name, node.inputs, node.output),
    Take: lambda form, node: TakeInt8(node.name, node.inputs, node.output, node.channels),
    Flatten: lambda form, node: FlattenInt8(node.name, node.inputs, node.output),
}
