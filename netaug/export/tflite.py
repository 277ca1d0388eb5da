"""Writes the float form or the int8 form as a `.tflite` file for tflite-micro, LiteRT and the tools of chip vendors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netaug.export.flatbuffer_file import FileRecord, serialize
from netaug.export.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    ExportError,
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
    Sigmoid,
    Take,
    spanned,
)
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
    TakeInt8,
)
from netaug.export.tflite_tensors import TfliteFile

SAME, VALID = 0, 1
_ACTIVATIONS = {Activation.NONE: 0, Activation.RELU: 1, Activation.RELU6: 3, Activation.UNIT: 0}
"""Numbers of fused activations; the unit clip is the saturation of int8, see `quantize`, or an operator in float."""


def write_tflite(graph: Graph | GraphInt8) -> bytes:
    """Return the file: images ``[1, H, W, C]`` in, outputs ``[1, C]`` or ``[1, H, W, C]`` out, int8 or float32.

    Raises:
        ExportError: A node cannot be said in TFLite's operators; the message names its layer.
    """
    return serialize(tflite_record(graph))


def tflite_record(graph: Graph | GraphInt8) -> FileRecord:
    """Return what the file of :func:`write_tflite` holds.

    Raises:
        ExportError: A node cannot be said in TFLite's operators; the message names its layer.
    """
    file = TfliteFile(graph)
    for node in graph.nodes:
        _WRITERS[type(node)](file, node)
    file.record.inputs = tuple(file.tensor(name) for name in graph.inputs)
    file.record.outputs = tuple(file.tensor(name) for name in graph.outputs)
    return file.record


def operators(graph: Graph | GraphInt8) -> list[str]:
    """Return the names of the operators that a runtime needs, sorted."""
    return sorted({record.operator for record in tflite_record(graph).operators})


def _conv(file: TfliteFile, node: Conv | ConvInt8) -> None:
    unit = node.activation is Activation.UNIT and not file.int8
    output = file.tensor(node.output)
    written = file.activation(node.output, file.shape(node.output)) if unit else output
    _conv_into(file, node, written)
    if unit:  # no fused activation clips to [0, 1]
        file.call("RELU_0_TO_1", 1, (written,), output)


def _conv_into(file: TfliteFile, node: Conv | ConvInt8, output: int) -> None:
    name = node.inputs[0]
    kernel = spanned((node.weight_OHWI.shape[1], node.weight_OHWI.shape[2]), node.dilation)
    dilated = () if node.dilation == (1, 1) else (node.dilation[1], node.dilation[0])
    scale, zero = file.scale_and_zero(name)
    inputs, padding = _padded_input(file, node, node.padding, kernel, node.strides, zero)
    scales_O = node.weight_scales_O if isinstance(node, ConvInt8) else None
    bias = file.constant(node.bias_O, None if scales_O is None else np.float32(scale) * scales_O)
    down, right = node.strides
    activation = _ACTIVATIONS[node.activation]
    if node.depthwise:
        weight = file.constant(node.weight_OHWI.transpose(3, 1, 2, 0), scales_O, axis=3)
        values = (padding, right, down, 1, activation, *dilated)
        version = 3 if file.int8 else 2 if dilated else 1
        file.call(
            "DEPTHWISE_CONV_2D", version, (inputs, weight, bias), output, "DepthwiseConv2DOptions", values
        )
        return
    weight = file.constant(node.weight_OHWI, scales_O)
    version = 6 if node.groups > 1 else 3 if file.int8 else 1
    file.call(
        "CONV_2D",
        version,
        (inputs, weight, bias),
        output,
        "Conv2DOptions",
        (padding, right, down, activation, *dilated),
    )


def _pool(file: TfliteFile, node: PoolInt8 | MaxPool | AvgPool) -> None:
    largest = node.kind == "max" if isinstance(node, PoolInt8) else isinstance(node, MaxPool)
    fill: float | None = None
    if largest:
        fill = -128 if file.int8 else float(np.finfo(np.float32).min)
    inputs, padding = _padded_input(file, node, node.padding, node.kernel, node.strides, fill)
    values = (padding, *reversed(node.strides), *reversed(node.kernel), 0)
    operator = "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D"
    version = 2 if file.int8 else 1
    file.call(operator, version, (inputs,), file.tensor(node.output), "Pool2DOptions", values)


def _padded_input(
    file: TfliteFile,
    node: Node | NodeInt8,
    padding: Padding,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    fill: float | None,
) -> tuple[int, int]:
    """Return the input and the kind of padding of a window operator; a PAD goes before it where SAME is another.

    Args:
        file: Gets the PAD.
        node: The convolution or pooling.
        padding: What it asks for.
        kernel: Height and width of what its window spans.
        strides: Its strides.
        fill: The value in the padded positions; None: they are not counted, which no PAD can say.
    """
    name = node.inputs[0]
    source, target = file.shape(name), file.shape(node.output)
    index = file.tensor(name)
    missing = [
        max(0, (outputs - 1) * stride + side - size)
        for outputs, stride, side, size in zip(target, strides, kernel, source, strict=False)
    ]
    same_shape = tuple(-(-size // stride) for size, stride in zip(source, strides, strict=False))
    # torch pads both sides alike; SAME puts the odd pixel behind the image, so stride 2 on an even side differs.
    if (padding.top, padding.left) == (missing[0] // 2, missing[1] // 2) and same_shape == target[:2]:
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
    return _pad(file, name, amounts.astype(np.int32), fill), VALID


def _pad(file: TfliteFile, name: str, amounts: NDArray[np.int32], fill: float) -> int:
    index, (height, width, channels) = file.tensor(name), file.shape(name)
    shape = (height + int(amounts[1].sum()), width + int(amounts[2].sum()), channels)
    padded = file.activation(name, shape)
    scale, zero = file.scale_and_zero(name)
    version = 2 if file.int8 else 1
    if fill == zero:
        file.call("PAD", version, (index, file.constant(amounts)), padded, "PadOptions")
        return padded
    if file.int8:
        value = file.constant(np.array([fill], np.int8), np.array([scale], np.float32), zero=zero)
    else:
        value = file.constant(np.array([fill], np.float32))
    file.call("PADV2", version, (index, file.constant(amounts), value), padded, "PadV2Options")
    return padded


def _add(file: TfliteFile, node: Add | AddInt8) -> None:
    inputs = tuple(file.tensor(name) for name in node.inputs)
    version, values = (2 if file.int8 else 1), (_ACTIVATIONS[node.activation],)
    file.call("ADD", version, inputs, file.tensor(node.output), "AddOptions", values)


def _mul(file: TfliteFile, node: Mul | MulInt8) -> None:
    inputs = tuple(file.tensor(name) for name in node.inputs)
    version = 1
    if isinstance(node, MulInt8):
        version = 3 if node.multiplier.shift > 0 else 2  # 3 allows products of scales above the output's
    values = (_ACTIVATIONS[node.activation],)
    file.call("MUL", version, inputs, file.tensor(node.output), "MulOptions", values)


def _mean(file: TfliteFile, node: Mean | MeanInt8) -> None:
    inputs = file.tensor(node.inputs[0]), file.constant(np.array([1, 2], np.int32))
    version = 2 if file.int8 else 1
    file.call("MEAN", version, inputs, file.tensor(node.output), "ReducerOptions", (1,))


def _unary(file: TfliteFile, node: TableInt8 | HardSwish | Sigmoid | Relu | Gelu | Rsqrt) -> None:
    kind = node.kind if isinstance(node, TableInt8) else _KINDS[type(node)]
    if isinstance(node, Gelu) and node.approximate:
        kind = "gelu_tanh"
    operator, int8_version, options, values = _UNARY[kind]
    version = int8_version if file.int8 else 1
    file.call(operator, version, (file.tensor(node.inputs[0]),), file.tensor(node.output), options, values)


_KINDS: dict[type[Node], str] = {
    HardSwish: "hard_swish",
    Sigmoid: "logistic",
    Relu: "relu",
    Gelu: "gelu",
    Rsqrt: "rsqrt",
}
_UNARY: dict[str, tuple[str, int, str, tuple[int, ...]]] = {
    "hard_swish": ("HARD_SWISH", 1, "HardSwishOptions", ()),
    "logistic": ("LOGISTIC", 2, "", ()),
    "relu": ("RELU", 2, "", ()),
    "gelu": ("GELU", 2, "GeluOptions", ()),
    "gelu_tanh": ("GELU", 2, "GeluOptions", (1,)),
    "rsqrt": ("RSQRT", 2, "", ()),
}
"""Operator, version in int8, options and their values by the kind of `TableInt8`."""


def _resize(file: TfliteFile, node: ResizeNearest | ResizeInt8) -> None:
    size = file.constant(np.array(file.shape(node.output)[:2], np.int32))
    inputs, version = (file.tensor(node.inputs[0]), size), (2 if file.int8 else 1)
    options = "ResizeNearestNeighborOptions"
    file.call("RESIZE_NEAREST_NEIGHBOR", version, inputs, file.tensor(node.output), options, (0, 0))


def _concat(file: TfliteFile, node: Concat | ConcatInt8) -> None:
    inputs = tuple(file.tensor(name) for name in node.inputs)
    axis = len(file.shape(node.output))  # the last one, counted with the batch axis
    version = 2 if file.int8 else 1
    file.call("CONCATENATION", version, inputs, file.tensor(node.output), "ConcatenationOptions", (axis, 0))


def _take(file: TfliteFile, node: Take | TakeInt8) -> None:
    inputs = file.tensor(node.inputs[0]), file.constant(np.array(node.channels, np.int32))
    axis = len(file.shape(node.output))  # the last one, counted with the batch axis
    file.call("GATHER", 2 if file.int8 else 1, inputs, file.tensor(node.output), "GatherOptions", (axis,))


def _flatten(file: TfliteFile, node: Flatten | FlattenInt8) -> None:
    shape = file.constant(np.array([1, *file.shape(node.output)], np.int32))
    file.call("RESHAPE", 1, (file.tensor(node.inputs[0]), shape), file.tensor(node.output), "ReshapeOptions")


_WRITERS: dict[type[Node] | type[NodeInt8], Callable[..., None]] = {
    **dict.fromkeys((Conv, ConvInt8), _conv),
    **dict.fromkeys((Add, AddInt8), _add),
    **dict.fromkeys((Mul, MulInt8), _mul),
    **dict.fromkeys((Mean, MeanInt8), _mean),
    **dict.fromkeys((MaxPool, AvgPool, PoolInt8), _pool),
    **dict.fromkeys((HardSwish, Sigmoid, Relu, Gelu, Rsqrt, TableInt8), _unary),
    **dict.fromkeys((ResizeNearest, ResizeInt8), _resize),
    **dict.fromkeys((Concat, ConcatInt8), _concat),
    **dict.fromkeys((Take, TakeInt8), _take),
    **dict.fromkeys((Flatten, FlattenInt8), _flatten),
}
