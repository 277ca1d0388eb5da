"""Runs the int8 form in NumPy, bit for bit as TFLite's reference kernels: the twin of every other int8 runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netaug.export.fixed_point import Integers, multiply
from netaug.export.graph import ExportError, FloatArray, Padding
from netaug.export.int8 import (
    AddInt8,
    ConcatInt8,
    ConvInt8,
    FlattenInt8,
    GraphInt8,
    Int8Array,
    MeanInt8,
    MulInt8,
    NodeInt8,
    PoolInt8,
    ResizeInt8,
    TableInt8,
    TakeInt8,
    TensorInt8,
)

Tensors: TypeAlias = dict[str, TensorInt8]


def run_int8(graph: GraphInt8, images_NHWC: Int8Array) -> list[Int8Array]:
    """Return the int8 outputs for a batch of int8 images.

    Args:
        graph: The int8 form.
        images_NHWC: int8 images ``[N, H, W, C]``, as `encode` makes them.

    Returns:
        The outputs, each ``[N, H, W, C]`` or ``[N, C]``.

    Raises:
        ExportError: The images have another type or shape.
    """
    expected = graph.tensors[graph.inputs[0]].shape
    if images_NHWC.dtype != np.int8 or images_NHWC.shape[1:] != expected:
        raise ExportError(
            "images do not fit the int8 network.",
            got=f"{images_NHWC.dtype} {list(images_NHWC.shape)}",
            allowed=f"int8 {['N', *expected]}",
        )
    values = {graph.inputs[0]: images_NHWC}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        values[node.output] = _KERNELS[type(node)](node, graph.tensors, *inputs)
    return [values[name] for name in graph.outputs]


def encode(tensor: TensorInt8, values: FloatArray) -> Int8Array:
    """Return real values as int8: divided by the scale, rounded to even, shifted by the zero point, saturated."""
    integers = np.round(values / np.float32(tensor.scale)) + tensor.zero_point
    clipped: Int8Array = np.clip(integers, -128, 127).astype(np.int8)
    return clipped


def decode(tensor: TensorInt8, integers: Int8Array) -> FloatArray:
    """Return the real values that int8 values stand for."""
    values: FloatArray = (integers.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(
        tensor.scale
    )
    return values


def _conv(node: ConvInt8, tensors: Tensors, x_NHWC: Int8Array) -> Int8Array:
    source, target = tensors[node.inputs[0]], tensors[node.output]
    centered = x_NHWC.astype(np.int32) - source.zero_point
    padded = _padded(centered, node.padding, 0)
    sums = (_depthwise_sums if node.depthwise else _dense_sums)(node, padded, target.shape)
    outputs = multiply(sums + node.bias_O, node.multipliers_O, node.shifts_O) + target.zero_point
    return np.clip(outputs, node.low, node.high).astype(np.int8)


def _depthwise_sums(node: ConvInt8, x_NHWC: NDArray[np.int32], shape: tuple[int, ...]) -> Integers:
    sums = np.zeros((len(x_NHWC), *shape), np.int32)
    kernel = node.weight_OHWI.shape[1:3]
    for row, column, window_NHWC in _windows(x_NHWC, kernel, node.strides, shape, node.dilation):
        sums += window_NHWC * node.weight_OHWI[:, row, column, 0].astype(np.int32)
    return sums


def _dense_sums(node: ConvInt8, x_NHWC: NDArray[np.int32], shape: tuple[int, ...]) -> Integers:
    outputs, _, _, channels = node.weight_OHWI.shape
    per_group = outputs // node.groups
    # Sums of products of 8-bit integers stay far below 2**53, so float64's matrix product is exact, and fast.
    sums = np.zeros((len(x_NHWC), *shape), np.float64)
    kernel = node.weight_OHWI.shape[1:3]
    for row, column, window_NHWC in _windows(x_NHWC, kernel, node.strides, shape, node.dilation):
        floats = window_NHWC.astype(np.float64)
        for group in range(node.groups):
            out = slice(group * per_group, (group + 1) * per_group)
            weight_IO = node.weight_OHWI[out, row, column].astype(np.float64).T
            sums[..., out] += floats[..., group * channels : (group + 1) * channels] @ weight_IO
    return sums.astype(np.int64)


def _windows(
    x_NHWC: NDArray[np.int32],
    kernel: tuple[int, ...],
    strides: tuple[int, int],
    shape: tuple[int, ...],
    dilation: tuple[int, int] = (1, 1),
) -> list[tuple[int, int, NDArray[np.int32]]]:
    """Return for each position of the kernel the inputs that it meets, ``[N, output H, output W, C]``."""
    (rows, columns), (down, right) = shape[:2], strides
    found = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            bottom, end = top + (rows - 1) * down + 1, left + (columns - 1) * right + 1
            found.append((i, j, x_NHWC[:, top:bottom:down, left:end:right]))
    return found


def _padded(x_NHWC: NDArray[np.int32], padding: Padding, value: int) -> NDArray[np.int32]:
    widths = ((0, 0), (padding.top, padding.bottom), (padding.left, padding.right), (0, 0))
    return np.pad(x_NHWC, widths, constant_values=value) if padding else x_NHWC


def _add(node: AddInt8, tensors: Tensors, *inputs: Int8Array) -> Int8Array:
    total: Integers = np.zeros(1, np.int64)
    for name, x, multiplier in zip(node.inputs, inputs, node.input_multipliers, strict=True):
        raised = (x.astype(np.int32) - tensors[name].zero_point) << 20
        total = total + multiply(raised, *multiplier)
    outputs = multiply(total, *node.output_multiplier) + tensors[node.output].zero_point
    return np.clip(outputs, node.low, node.high).astype(np.int8)


def _mul(node: MulInt8, tensors: Tensors, *inputs: Int8Array) -> Int8Array:
    first, second = (
        x.astype(np.int32) - tensors[name].zero_point for name, x in zip(node.inputs, inputs, strict=True)
    )
    outputs = multiply(first * second, *node.multiplier) + tensors[node.output].zero_point
    return np.clip(outputs, node.low, node.high).astype(np.int8)


def _mean(node: MeanInt8, tensors: Tensors, x_NHWC: Int8Array) -> Int8Array:
    zero_points = tensors[node.inputs[0]].zero_point, tensors[node.output].zero_point
    sums = x_NHWC.astype(np.int32).sum((1, 2), keepdims=True)
    centered = sums - zero_points[0] * x_NHWC.shape[1] * x_NHWC.shape[2]
    return np.clip(multiply(centered, *node.multiplier) + zero_points[1], -128, 127).astype(np.int8)


def _pool(node: PoolInt8, tensors: Tensors, x_NHWC: Int8Array) -> Int8Array:
    shape, wide = tensors[node.output].shape, x_NHWC.astype(np.int32)
    if node.kind == "max":
        padded = _padded(wide, node.padding, -128)
        windows = [window for _, _, window in _windows(padded, node.kernel, node.strides, shape)]
        largest: Int8Array = np.maximum.reduce(windows).astype(np.int8)
        return largest
    inside = _padded(np.ones_like(wide[:1, :, :, :1]), node.padding, 0)
    count = sum(window for _, _, window in _windows(inside, node.kernel, node.strides, shape))
    padded = _padded(wide, node.padding, 0)
    total = np.asarray(sum(window for _, _, window in _windows(padded, node.kernel, node.strides, shape)))
    # Half away from zero: C's division truncates, NumPy's rounds down.
    means: Int8Array = (np.sign(total) * ((np.abs(total) + count // 2) // count)).astype(np.int8)
    return means


def _table(node: TableInt8, tensors: Tensors, x: Int8Array) -> Int8Array:
    outputs: Int8Array = node.table_256[x.astype(np.int32) + 128]
    return outputs


def _resize(node: ResizeInt8, tensors: Tensors, x_NHWC: Int8Array) -> Int8Array:
    outputs: Int8Array = x_NHWC.repeat(node.factor, axis=1).repeat(node.factor, axis=2)
    return outputs


_KERNELS: dict[type[NodeInt8], Callable[..., Int8Array]] = {
    ConvInt8: _conv,
    AddInt8: _add,
    MulInt8: _mul,
    MeanInt8: _mean,
    PoolInt8: _pool,
    TableInt8: _table,
    ResizeInt8: _resize,
    ConcatInt8: lambda node, tensors, *inputs: np.concatenate(inputs, axis=-1),
    TakeInt8: lambda node, tensors, x: x[..., list(node.channels)],
    FlattenInt8: lambda node, tensors, x: x.reshape(len(x), -1),
}
