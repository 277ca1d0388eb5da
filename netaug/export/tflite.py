"""Writes the int8 form as a `.tflite` file for tflite-micro, LiteRT and the tools of chip vendors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netaug.export.flatbuffer_file import INT8, INT32, FileRecord, OperatorRecord, TensorRecord, serialize
from netaug.export.graph import Activation, ExportError, Padding, Shape
from netaug.export.int8 import (
    AddInt8,
    ConcatInt8,
    ConvInt8,
    FlattenInt8,
    GraphInt8,
    MeanInt8,
    MulInt8,
    NodeInt8,
    PoolInt8,
    ResizeInt8,
    TableInt8,
    TensorInt8,
)

SAME, VALID = 0, 1
_ACTIVATIONS = {Activation.NONE: 0, Activation.RELU: 1, Activation.RELU6: 3, Activation.UNIT: 0}
"""Numbers of fused activations; the unit clip is the saturation of int8, see `quantize`."""


def write_tflite(graph: GraphInt8) -> bytes:
    """Return the file: int8 images ``[1, H, W, C]`` in, int8 outputs ``[1, C]`` or ``[1, H, W, C]`` out.

    Raises:
        ExportError: A node cannot be said in TFLite's operators; the message names its layer.
    """
    file = _File(graph)
    for node in graph.nodes:
        _WRITERS[type(node)](file, node)
    file.record.inputs = tuple(file.tensor(name) for name in graph.inputs)
    file.record.outputs = tuple(file.tensor(name) for name in graph.outputs)
    return serialize(file.record)


def operators(graph: GraphInt8) -> list[str]:
    """Return the names of the operators that a runtime needs, sorted."""
    file = _File(graph)
    for node in graph.nodes:
        _WRITERS[type(node)](file, node)
    return sorted({record.operator for record in file.record.operators})


class _File:
    """Collects the records; activation tensors are added when they are first named."""

    def __init__(self, graph: GraphInt8) -> None:
        self.graph = graph
        self.record = FileRecord("netaug")
        self._indices: dict[str, int] = {}

    def tensor(self, name: str) -> int:
        """Return the index of an activation tensor."""
        if name not in self._indices:
            described = self.graph.tensors[name]
            self._indices[name] = self.activation(described, described.shape, name)
        return self._indices[name]

    def activation(self, like: TensorInt8, shape: Shape, name: str = "") -> int:
        """Add an int8 tensor with the scale and zero point of another."""
        return self._append(
            TensorRecord(
                (1, *shape),
                INT8,
                0,
                name,
                np.array([like.scale], np.float32),
                np.array([like.zero_point], np.int64),
            )
        )

    def constant(
        self,
        array: NDArray[np.int8] | NDArray[np.int32],
        scales: NDArray[np.float32] | None = None,
        axis: int = 0,
    ) -> int:
        """Add a constant tensor, with one scale per index of an axis where scales are given."""
        kind = INT8 if array.dtype == np.int8 else INT32
        buffer = self.record.buffer(np.ascontiguousarray(array).tobytes())
        zeros = None if scales is None else np.zeros(len(scales), np.int64)
        return self._append(TensorRecord(array.shape, kind, buffer, "", scales, zeros, axis))

    def call(
        self,
        operator: str,
        version: int,
        inputs: tuple[int, ...],
        output: int,
        options: str = "",
        values: tuple[int, ...] = (),
    ) -> None:
        """Add a call of an operator."""
        self.record.operators.append(OperatorRecord(operator, version, inputs, (output,), options, values))

    def _append(self, record: TensorRecord) -> int:
        self.record.tensors.append(record)
        return len(self.record.tensors) - 1


def _conv(file: _File, node: ConvInt8) -> None:
    source = file.graph.tensors[node.inputs[0]]
    kernel = node.weight_OHWI.shape[1], node.weight_OHWI.shape[2]
    inputs, padding = _padded_input(file, node, node.padding, kernel, node.strides, source.zero_point)
    bias_scales = np.float32(source.scale) * node.weight_scales_O
    bias = file.constant(node.bias_O, bias_scales)
    down, right = node.strides
    activation = _ACTIVATIONS[node.activation]
    output = file.tensor(node.output)
    if node.depthwise:
        weight = file.constant(node.weight_OHWI.transpose(3, 1, 2, 0), node.weight_scales_O, axis=3)
        values = (padding, right, down, 1, activation)
        file.call("DEPTHWISE_CONV_2D", 3, (inputs, weight, bias), output, "DepthwiseConv2DOptions", values)
        return
    weight = file.constant(node.weight_OHWI, node.weight_scales_O)
    version = 6 if node.groups > 1 else 3
    file.call(
        "CONV_2D",
        version,
        (inputs, weight, bias),
        output,
        "Conv2DOptions",
        (padding, right, down, activation),
    )


def _pool(file: _File, node: PoolInt8) -> None:
    largest = node.kind == "max"
    inputs, padding = _padded_input(
        file, node, node.padding, node.kernel, node.strides, -128 if largest else None
    )
    values = (padding, *reversed(node.strides), *reversed(node.kernel), 0)
    operator = "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D"
    file.call(operator, 2, (inputs,), file.tensor(node.output), "Pool2DOptions", values)


def _padded_input(
    file: _File,
    node: ConvInt8 | PoolInt8,
    padding: Padding,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    fill: int | None,
) -> tuple[int, int]:
    """Return the input and the kind of padding of a window operator; a PAD goes before it where SAME is another.

    Args:
        file: Gets the PAD.
        node: The convolution or pooling.
        padding: What it asks for.
        kernel: Height and width of its window.
        strides: Its strides.
        fill: The integer in the padded positions; None: they are not counted, which no PAD can say.
    """
    source, target = file.graph.tensors[node.inputs[0]], file.graph.tensors[node.output]
    index = file.tensor(node.inputs[0])
    missing = [
        max(0, (outputs - 1) * stride + side - size)
        for outputs, stride, side, size in zip(target.shape, strides, kernel, source.shape, strict=False)
    ]
    same_shape = tuple(-(-size // stride) for size, stride in zip(source.shape, strides, strict=False))
    # torch pads both sides alike; SAME puts the odd pixel behind the image, so stride 2 on an even side differs.
    if (padding.top, padding.left) == (missing[0] // 2, missing[1] // 2) and same_shape == target.shape[:2]:
        return index, SAME if any(missing) else VALID
    if not (padding.top or padding.left or any(missing)):
        return index, VALID
    if fill is None:
        raise ExportError(
            f"layer '{node.name}' averages over padded images in a way that TFLite cannot say.",
            got=str(padding),
            fix="use --to micro or --to onnx",
        )
    behind = missing[0] - padding.top, missing[1] - padding.left
    amounts = np.array([[0, 0], [padding.top, max(0, behind[0])], [padding.left, max(0, behind[1])], [0, 0]])
    return _pad(file, index, source, amounts.astype(np.int32), fill), VALID


def _pad(file: _File, index: int, source: TensorInt8, amounts: NDArray[np.int32], fill: int) -> int:
    height, width, channels = source.shape
    shape = (height + int(amounts[1].sum()), width + int(amounts[2].sum()), channels)
    padded = file.activation(source, shape)
    if fill == source.zero_point:
        file.call("PAD", 2, (index, file.constant(amounts)), padded, "PadOptions")
        return padded
    value = file.constant(np.array([fill], np.int8), np.array([source.scale], np.float32))
    record = file.record.tensors[value]
    zero_point = np.array([source.zero_point], np.int64)
    file.record.tensors[value] = TensorRecord(
        record.shape, INT8, record.buffer, "", record.scales, zero_point
    )
    file.call("PADV2", 2, (index, file.constant(amounts), value), padded, "PadV2Options")
    return padded


def _binary(file: _File, node: AddInt8 | MulInt8) -> None:
    inputs = tuple(file.tensor(name) for name in node.inputs)
    values = (_ACTIVATIONS[node.activation],)
    if isinstance(node, AddInt8):
        file.call("ADD", 2, inputs, file.tensor(node.output), "AddOptions", values)
        return
    version = 3 if node.multiplier.shift > 0 else 2  # version 3 allows products of scales above the output's
    file.call("MUL", version, inputs, file.tensor(node.output), "MulOptions", values)


def _mean(file: _File, node: MeanInt8) -> None:
    axes = file.constant(np.array([1, 2], np.int32))
    inputs = file.tensor(node.inputs[0]), axes
    file.call("MEAN", 2, inputs, file.tensor(node.output), "ReducerOptions", (1,))


def _table(file: _File, node: TableInt8) -> None:
    operator, version, options = {
        "hard_swish": ("HARD_SWISH", 1, "HardSwishOptions"),
        "logistic": ("LOGISTIC", 2, ""),
        "relu": ("RELU", 2, ""),
    }[node.kind]
    file.call(operator, version, (file.tensor(node.inputs[0]),), file.tensor(node.output), options)


def _resize(file: _File, node: ResizeInt8) -> None:
    size = file.constant(np.array(file.graph.tensors[node.output].shape[:2], np.int32))
    inputs = file.tensor(node.inputs[0]), size
    options = "ResizeNearestNeighborOptions"
    file.call("RESIZE_NEAREST_NEIGHBOR", 2, inputs, file.tensor(node.output), options, (0, 0))


def _concat(file: _File, node: ConcatInt8) -> None:
    inputs = tuple(file.tensor(name) for name in node.inputs)
    axis = len(file.graph.tensors[node.output].shape)  # the last one, counted with the batch axis
    file.call("CONCATENATION", 2, inputs, file.tensor(node.output), "ConcatenationOptions", (axis, 0))


def _flatten(file: _File, node: FlattenInt8) -> None:
    shape = file.constant(np.array([1, *file.graph.tensors[node.output].shape], np.int32))
    file.call("RESHAPE", 1, (file.tensor(node.inputs[0]), shape), file.tensor(node.output), "ReshapeOptions")


_WRITERS: dict[type[NodeInt8], Callable[..., None]] = {
    ConvInt8: _conv,
    AddInt8: _binary,
    MulInt8: _binary,
    MeanInt8: _mean,
    PoolInt8: _pool,
    TableInt8: _table,
    ResizeInt8: _resize,
    ConcatInt8: _concat,
    FlattenInt8: _flatten,
}
