"""Translates the operators that move a window over an image, and those that change its size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch.fx import Node as Call

from netaug.elastic.trace import module_of, shape_of
from netaug.export.building import Builder, Value, refused
from netaug.export.graph import AvgPool, Conv, MaxPool, Mean, Padding, ResizeNearest, Shape, spanned
from netaug.export.lowering import Arguments, lowers


@lowers("conv2d")
def _conv2d(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.values.get(args["input"])
    weight_OIHW = builder.array(args["weight"])
    if not isinstance(value, Value) or weight_OIHW is None or value.flat or value.last:
        raise refused(call, "its weight is computed from the image, or its input has the channels last")
    kernel = weight_OIHW.shape[2], weight_OIHW.shape[3]
    dilation = _pair(args["dilation"])
    span = spanned(kernel, dilation)
    shape = builder.shapes[value.tensor]
    strides = _pair(args["stride"])
    padding = value.padding + _conv_padding(args["padding"], span)
    bias = builder.array(args["bias"])
    output = builder.new_tensor(_window_shape(shape, span, strides, padding, len(weight_OIHW)))
    bias_O = np.zeros(len(weight_OIHW), np.float32) if bias is None else bias
    weight_OHWI = np.ascontiguousarray(weight_OIHW.transpose(0, 2, 3, 1))
    conv = Conv(module_of(call), (value.tensor,), output, weight_OHWI, bias_O, strides, padding)
    builder.append(replace(conv, groups=int(args["groups"]), dilation=dilation))
    return Value(output)


@lowers("linear")
def _linear(builder: Builder, call: Call, args: Arguments) -> Value:
    value, weight = builder.value(call, args["input"], last=True), builder.array(args["weight"])
    if not (value.flat or value.last) or weight is None:
        raise refused(call, "its input has positions as well as channels")
    height, width, channels = builder.shapes[value.tensor]
    if value.last:
        return builder.pointwise(call, value, weight, builder.array(args["bias"]))
    # torch flattens channels first; the kernel that covers the whole input puts each weight at its position.
    weight_OHWI = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    bias = builder.array(args["bias"])
    bias_O = np.zeros(len(weight), np.float32) if bias is None else bias
    output = builder.new_tensor((1, 1, len(weight)))
    builder.append(Conv(module_of(call), (value.tensor,), output, np.ascontiguousarray(weight_OHWI), bias_O))
    return Value(output, flat=True)


@lowers("adaptive_avg_pool2d", "mean")
def _mean(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"], last="dim" in args)
    height, width, channels = builder.shapes[value.tensor]
    if "output_size" in args:
        if _pair(args["output_size"]) != (1, 1):
            return _even_pool(builder, call, value, _pair(args["output_size"]))
    elif sorted(axis % 4 for axis in args["dim"] or ()) != ([1, 2] if value.last else [2, 3]):
        raise refused(call, "its mean is over other axes than height and width")
    flat = len(shape_of(call)) == 2
    if (height, width) == (1, 1):
        return replace(value, flat=flat, last=value.last and not flat)
    output = builder.new_tensor((1, 1, channels))
    builder.append(Mean(module_of(call), (value.tensor,), output))
    return Value(output, flat, last=value.last and not flat)


def _even_pool(builder: Builder, call: Call, value: Value, sides: tuple[int, int]) -> Value:
    """Return the means of equal parts of the image."""
    *shape, channels = builder.shapes[value.tensor]
    if any(side % parts for side, parts in zip(shape, sides, strict=True)):
        raise refused(call, "it pools to positions whose windows differ in size")
    kernel = shape[0] // sides[0], shape[1] // sides[1]
    if kernel == (1, 1):
        return value
    output = builder.new_tensor((*sides, channels))
    builder.append(AvgPool(module_of(call), (value.tensor,), output, kernel, kernel))
    return Value(output)


def _counted_pool(
    builder: Builder,
    call: Call,
    value: Value,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
) -> Value:
    """Return the mean of each window in which zeros around the image count: a depthwise convolution."""
    shape = builder.shapes[value.tensor]
    weight_OHWI = np.full((shape[-1], *kernel, 1), 1 / (kernel[0] * kernel[1]), np.float32)
    output = builder.new_tensor(_window_shape(shape, kernel, strides, padding, shape[-1]))
    bias_O = np.zeros(shape[-1], np.float32)
    conv = Conv(module_of(call), (value.tensor,), output, weight_OHWI, bias_O, strides, padding)
    builder.append(replace(conv, groups=shape[-1]))
    return Value(output)


@lowers("max_pool2d", "avg_pool2d")
def _pool(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.values.get(args["self"])
    if not isinstance(value, Value):
        raise refused(call, "its input is a constant")
    kernel, strides = _pair(args["kernel_size"]), _pair(args["stride"] or args["kernel_size"])
    rows, columns = _pair(args["padding"])
    padding = Padding(rows, rows, columns, columns)
    average = "count_include_pad" in args
    if _pair(args.get("dilation", 1)) != (1, 1) or args.get("divisor_override"):
        raise refused(call, "its pooling is dilated or has a divisor of its own")
    counted = average and bool(value.padding or padding) and args["count_include_pad"]
    if counted and not args["ceil_mode"]:
        return _counted_pool(builder, call, value, kernel, strides, value.padding + padding)
    if counted:
        raise refused(call, "its pooling counts padded zeros")
    if value.padding:
        value = builder.with_zeros(call, value)
    shape = builder.shapes[value.tensor]
    if args["ceil_mode"]:
        padding = padding + _ceil_padding(shape, kernel, strides, padding)
    output = builder.new_tensor(_window_shape(shape, kernel, strides, padding, shape[-1]))
    kind = AvgPool if average else MaxPool
    builder.append(kind(module_of(call), (value.tensor,), output, kernel, strides, padding))
    return Value(output)


@lowers("pad", "constant_pad_nd")
def _pad(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"])
    amounts = [int(amount) for amount in args["pad"]]
    if args.get("mode", "constant") != "constant" or args["value"] not in (None, 0) or len(amounts) != 4:
        raise refused(call, "it pads with something else than zeros around the image")
    if min(amounts) < 0:
        raise refused(call, "it crops by negative padding")
    left, right, top, bottom = amounts
    return replace(value, padding=Padding(top, bottom, left, right))


@lowers("upsample_nearest2d")
def _upsample(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["input"] if "input" in args else args["self"])
    height, width, channels = builder.shapes[value.tensor]
    rows, columns = shape_of(call)[2:]
    factor = rows // height
    if (height * factor, width * factor) != (rows, columns):
        raise refused(call, "it resizes by something else than one whole factor")
    output = builder.new_tensor((rows, columns, channels))
    builder.append(ResizeNearest(module_of(call), (value.tensor,), output, factor))
    return Value(output)


def _pair(value: Any) -> tuple[int, int]:
    """Return height and width of a setting that torch takes as one or two numbers."""
    numbers = [value] if isinstance(value, int) else list(value)
    return int(numbers[0]), int(numbers[-1])


def _conv_padding(setting: Any, kernel: tuple[int, int]) -> Padding:
    if setting == "same":
        # Where the total is odd torch puts the additional zeros behind the image.
        rows, columns = kernel[0] - 1, kernel[1] - 1
        return Padding(rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    rows, columns = (0, 0) if setting == "valid" else _pair(setting)
    return Padding(rows, rows, columns, columns)


def _ceil_padding(
    shape: Shape, kernel: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Padding:
    """Return what ceil_mode adds below and to the right, so that the last window is complete."""
    missing = []
    for size, side, stride, (before, after) in zip(
        shape, kernel, strides, ((padding.top, padding.bottom), (padding.left, padding.right)), strict=False
    ):
        count = -(-(size + before + after - side) // stride) + 1
        count -= (count - 1) * stride >= size + before  # torch drops a window that starts behind the image
        missing.append(max(0, (count - 1) * stride + side - size - before - after))
    return Padding(0, missing[0], 0, missing[1])


def _window_shape(
    shape: Shape, kernel: tuple[int, int], strides: tuple[int, int], padding: Padding, channels: int
) -> Shape:
    rows = (shape[0] + padding.top + padding.bottom - kernel[0]) // strides[0] + 1
    columns = (shape[1] + padding.left + padding.right - kernel[1]) // strides[1] + 1
    return rows, columns, channels
