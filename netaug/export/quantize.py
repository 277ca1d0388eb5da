"""Turns the float form and the ranges of its tensors into the int8 form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

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
    Sigmoid,
    Take,
)
from netaug.export.int8 import (
    AddInt8,
    ConcatInt8,
    ConvInt8,
    FlattenInt8,
    GraphInt8,
    Int8Array,
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
from netaug.export.tables import gelu_table, hard_swish_table, logistic_table, relu_table

_SAME_SCALE = (MaxPool, AvgPool, ResizeNearest, Concat, Take, Flatten)
"""Nodes whose reference kernels copy integers, so inputs and output need one scale and zero point."""
_SMALLEST_SPAN = 1e-5
"""A tensor that is always zero gets this span: with smaller scales 6 of ReLU6 would be beyond int32."""
_SMALLEST_WEIGHT = 1e-8
"""What the largest weight of a channel without weights is taken for."""


def quantize(graph: Graph, ranges: Mapping[str, Range]) -> GraphInt8:
    """Return the int8 form.

    Weights are symmetric with one scale per output channel, activations asymmetric with one scale per tensor.

    Args:
        graph: The float form.
        ranges: Range of every tensor, as `ranges.measure_ranges` returns them.

    Raises:
        ExportError: A tensor has no range, or a convolution's weights are not finite.
    """
    tensors = _tensors(graph, ranges)
    form = _Scales(tensors)
    nodes = tuple(_QUANTIZERS[type(node)](form, node) for node in graph)
    return GraphInt8(nodes, tensors, graph.inputs, graph.outputs)


def _tensors(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, TensorInt8]:
    missing = [name for name in graph.shapes if name not in ranges]
    if missing:
        raise ExportError("a tensor has no range.", got=", ".join(missing[:3]), fix="measure ranges again")
    tied = _tied(graph)
    joined: dict[str, Range] = {}
    for name, group in tied.items():
        low, high = ranges[name]
        before = joined.get(group, Range(0.0, 0.0))  # zero is always inside: padding and ReLU need it exactly
        joined[group] = Range(min(before.low, low), max(before.high, high))
    fixed = {tied[name]: scale for name, scale in _fixed_scales(graph).items()}
    _widen_for_hard_swish(graph, tied, joined, {group: 255 * scale for group, (scale, _) in fixed.items()})
    return {
        name: TensorInt8(name, shape, *fixed.get(tied[name], _scale_and_zero_point(joined[tied[name]])))
        for name, shape in graph.shapes.items()
    }


def _widen_for_hard_swish(
    graph: Graph, tied: Mapping[str, str], joined: dict[str, Range], fixed: Mapping[str, float]
) -> None:
    """Give outputs of HARD_SWISH at least a 64th of their input's range: tflite-micro refuses less than a 128th.

    Args:
        graph: The float form.
        tied: Group of each tensor.
        joined: Range of each group; is changed.
        fixed: Size of the range of the groups whose scale is fixed.
    """
    changed = True
    while changed:  # a wider output may be the input of another one
        changed = False
        for node in graph:
            if isinstance(node, HardSwish):
                source, output = joined[tied[node.inputs[0]]], joined[tied[node.output]]
                span = fixed.get(tied[node.inputs[0]], source.high - source.low)
                missing = span / 64 - (output.high - output.low)
                if missing > 0 and tied[node.inputs[0]] != tied[node.output]:
                    joined[tied[node.output]] = Range(output.low, output.high + 1.001 * missing)
                    changed = True


def _tied(graph: Graph) -> dict[str, str]:
    """Return for each tensor the first one that it must share scale and zero point with."""
    group = {name: name for name in graph.shapes}
    for node in graph:
        if isinstance(node, _SAME_SCALE):
            for name in node.inputs:
                old, new = group[node.output], group[name]
                group = {key: new if value == old else value for key, value in group.items()}
    return group


def _fixed_scales(graph: Graph) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of the tensors whose range is known before any image is seen."""
    fixed = {}
    for node in graph:
        if isinstance(node, Sigmoid):
            fixed[node.output] = (1 / 256, -128)  # the only output that TFLite's LOGISTIC allows
        elif getattr(node, "activation", None) is Activation.UNIT:
            # On exactly this grid int8 saturation is the upper clip, for which TFLite has no activation.
            fixed[node.output] = (float(np.float32(1 / 255)), -128)
    return fixed


def _scale_and_zero_point(bounds: Range) -> tuple[float, int]:
    # The scale is rounded to float32 first: the file holds that number, and the zero point must fit it.
    scale = float(np.float32(max(bounds.high - bounds.low, _SMALLEST_SPAN) / 255))
    return scale, int(np.clip(round(-128 - bounds.low / scale), -128, 127))


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
    scales_O = _without_overflow(largest_O / np.float32(127), input_scale, node.bias_O)
    integers = np.clip(np.round(weight / scales_O[:, None, None, None]), -127, 127).astype(np.int8)
    bias = np.round(node.bias_O.astype(np.float64) / (input_scale * scales_O).astype(np.float64))
    # As the reference kernel: products of float32 scales in float64.
    reals = np.float64(input_scale) * scales_O.astype(np.float64) / form.of(node.output)
    multipliers = [quantize_multiplier(float(real)) for real in reals]
    _check_sums(node, integers, bias, multipliers)
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


def _check_sums(
    node: Conv, weight_OHWI: Int8Array, bias_O: NDArray[np.float64], multipliers: Sequence[Multiplier]
) -> None:
    """Raise ExportError where a sum, shifted as the kernels do, may be beyond int32: it would wrap around."""
    largest_O = 255.0 * np.abs(weight_OHWI.astype(np.int32)).sum((1, 2, 3)) + np.abs(bias_O)
    shifted_O = largest_O * 2.0 ** np.array([max(0, multiplier.shift) for multiplier in multipliers])
    if not (shifted_O < 2**31).all():
        raise ExportError(
            f"layer '{node.name}' has weights that are too large for the range of its outputs.",
            got=f"weights up to {np.abs(node.weight_OHWI).max():.1e}",
            fix="export an earlier checkpoint, or train with a lower learning rate",
        )


def _without_overflow(scales_O: FloatArray, input_scale: np.float32, bias_O: FloatArray) -> FloatArray:
    """Return scales that are large enough for the biases: a channel of tiny weights may have a bias beyond int32."""
    smallest = np.abs(bias_O) / (np.float32(2**30) * input_scale)
    scales: FloatArray = np.maximum(scales_O, smallest).astype(np.float32)
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
    table = gelu_table(form.tensors[node.inputs[0]], form.tensors[node.output])
    return TableInt8(node.name, node.inputs, node.output, "gelu", table)


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
    ResizeNearest: _resize,
    Concat: lambda form, node: ConcatInt8(node.name, node.inputs, node.output),
    Take: lambda form, node: TakeInt8(node.name, node.inputs, node.output, node.channels),
    Flatten: lambda form, node: FlattenInt8(node.name, node.inputs, node.output),
}
