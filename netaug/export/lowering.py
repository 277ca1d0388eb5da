"""Translates torch's operators, one function each, into nodes of the float form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from torch.fx import Node as Call

from netaug.elastic.trace import module_of, shape_of
from netaug.export.building import Builder, Value, refused
from netaug.export.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    HardSwish,
    MaxPool,
    Mean,
    Mul,
    Node,
    Padding,
    ResizeNearest,
    Shape,
    Sigmoid,
)

MOST_JOINED = 10
"""Inputs of one concatenation that tflite-micro takes; more are joined in several steps, as in DenseNets."""
Arguments: TypeAlias = dict[str, Any]
Lowering: TypeAlias = Callable[[Builder, Call, Arguments], Value]
LOWERINGS: dict[str, Lowering] = {}
"""By name of the ATen operator, as `elastic.trace.operator_name` gives it."""


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register the function that translates these operators."""

    def register(function: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, function))
        return function

    return register


@lowers("conv2d")
def _conv2d(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.values.get(args["input"])
    weight_OIHW = builder.array(args["weight"])
    if not isinstance(value, Value) or weight_OIHW is None or value.flat:
        raise refused(call, "its weight is computed from the image")
    kernel = weight_OIHW.shape[2], weight_OIHW.shape[3]
    if _pair(args["dilation"]) != (1, 1) and kernel != (1, 1):
        raise refused(call, "its kernel is dilated")
    shape = builder.shapes[value.tensor]
    strides = _pair(args["stride"])
    padding = value.padding + _conv_padding(args["padding"], kernel)
    bias = builder.array(args["bias"])
    output = builder.new_tensor(_window_shape(shape, kernel, strides, padding, len(weight_OIHW)))
    bias_O = np.zeros(len(weight_OIHW), np.float32) if bias is None else bias
    weight_OHWI = np.ascontiguousarray(weight_OIHW.transpose(0, 2, 3, 1))
    conv = Conv(module_of(call), (value.tensor,), output, weight_OHWI, bias_O, strides, padding)
    builder.append(replace(conv, groups=int(args["groups"])))
    return Value(output)


@lowers("linear")
def _linear(builder: Builder, call: Call, args: Arguments) -> Value:
    value, weight = builder.value(call, args["input"]), builder.array(args["weight"])
    if not value.flat or weight is None:
        raise refused(call, "its input has positions as well as channels")
    height, width, channels = builder.shapes[value.tensor]
    # torch flattens channels first; the kernel that covers the whole input puts each weight at its position.
    weight_OHWI = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    bias = builder.array(args["bias"])
    bias_O = np.zeros(len(weight), np.float32) if bias is None else bias
    output = builder.new_tensor((1, 1, len(weight)))
    builder.append(Conv(module_of(call), (value.tensor,), output, np.ascontiguousarray(weight_OHWI), bias_O))
    return Value(output, flat=True)


@lowers("batch_norm")
def _batch_norm(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["input"])
    mean, variance = builder.array(args["running_mean"]), builder.array(args["running_var"])
    if mean is None or variance is None:
        raise refused(call, "its batch norm has no running statistics")
    ones = np.ones_like(mean, np.float64)
    weight, bias = builder.array(args["weight"]), builder.array(args["bias"])
    scale_C = (ones if weight is None else weight) / np.sqrt(variance.astype(np.float64) + args["eps"])
    shift_C = (0 * ones if bias is None else bias) - mean * scale_C
    return builder.scale_and_shift(call, value, scale_C, shift_C, Activation.NONE)


@lowers("relu")
def _relu(builder: Builder, call: Call, args: Arguments) -> Value:
    return builder.activate(call, builder.value(call, args["self"]), Activation.RELU)


@lowers("relu6")
def _relu6(builder: Builder, call: Call, args: Arguments) -> Value:
    return builder.activate(call, builder.value(call, args["self"]), Activation.RELU6)


@lowers("hardtanh", "clamp", "clamp_min")
def _clip(builder: Builder, call: Call, args: Arguments) -> Value:
    low = args.get("min_val", args.get("min"))
    high = args.get("max_val", args.get("max"))
    bounds = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    names = {activation.value: activation for activation in (Activation.RELU, Activation.RELU6)}
    if bounds not in names:
        raise refused(call, f"it clips to {bounds}, not to [0, 6] or [0, inf)")
    return builder.activate(call, builder.value(call, args["self"]), names[bounds])


@lowers("hardsigmoid")
def _hard_sigmoid(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"])
    channels = builder.shapes[value.tensor][-1]
    sixths, halves = np.full(channels, 1 / 6), np.full(channels, 1 / 2)
    return builder.scale_and_shift(call, value, sixths, halves, Activation.UNIT)


@lowers("hardswish")
def _hard_swish(builder: Builder, call: Call, args: Arguments) -> Value:
    return _elementwise(builder, call, HardSwish, builder.value(call, args["self"]))


@lowers("sigmoid")
def _sigmoid(builder: Builder, call: Call, args: Arguments) -> Value:
    return _elementwise(builder, call, Sigmoid, builder.value(call, args["self"]))


@lowers("silu")
def _silu(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"])
    return _elementwise(builder, call, Mul, value, _elementwise(builder, call, Sigmoid, value))


@lowers("add")
def _add(builder: Builder, call: Call, args: Arguments) -> Value:
    if args.get("alpha", 1) != 1:
        raise refused(call, "it adds a multiple of its second input")
    left, right = args["self"], args["other"]
    constant = builder.array(right)
    if constant is not None:
        value = builder.value(call, left)
        shift_C = _per_channel(builder, call, value, constant)
        return builder.scale_and_shift(call, value, np.ones_like(shift_C), shift_C, Activation.NONE)
    first, second = builder.value(call, left), builder.value(call, right)
    if builder.shapes[first.tensor] != builder.shapes[second.tensor]:
        raise refused(call, "it adds tensors of different shapes")
    return _elementwise(builder, call, Add, first, second)


@lowers("mul")
def _mul(builder: Builder, call: Call, args: Arguments) -> Value:
    left, right = args["self"], args["other"]
    constant = builder.array(right)
    if constant is not None:
        value = builder.value(call, left)
        scale_C = _per_channel(builder, call, value, constant)
        return builder.scale_and_shift(call, value, scale_C, np.zeros_like(scale_C), Activation.NONE)
    first, second = builder.value(call, left), builder.value(call, right)
    if builder.shapes[first.tensor][:2] == (1, 1):  # the gate comes second
        first, second = second, first
    shape, gate = builder.shapes[first.tensor], builder.shapes[second.tensor]
    if gate not in (shape, (1, 1, shape[-1])):
        raise refused(call, "it multiplies tensors whose shapes differ in more than positions")
    return _elementwise(builder, call, Mul, first, second)


@lowers("adaptive_avg_pool2d", "mean")
def _mean(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"])
    height, width, channels = builder.shapes[value.tensor]
    if "output_size" in args:
        if _pair(args["output_size"]) != (1, 1):
            raise refused(call, "it pools to more than one position")
    elif sorted(axis % 4 for axis in args["dim"] or ()) != [2, 3]:
        raise refused(call, "its mean is over other axes than height and width")
    flat = len(shape_of(call)) == 2
    if (height, width) == (1, 1):
        return replace(value, flat=flat)
    output = builder.new_tensor((1, 1, channels))
    builder.append(Mean(module_of(call), (value.tensor,), output))
    return Value(output, flat)


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
    if value.padding or (average and padding and args["count_include_pad"]):
        raise refused(call, "its pooling counts padded zeros")
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


@lowers("cat", "concat")
def _cat(builder: Builder, call: Call, args: Arguments) -> Value:
    values = [builder.value(call, argument) for argument in args["tensors"]]
    rank = len(shape_of(call))
    if args["dim"] % rank != 1 or any(value.flat != values[0].flat for value in values):
        raise refused(call, "it joins along another axis than channels")
    if values[0].flat and any(builder.shapes[value.tensor][:2] != (1, 1) for value in values):
        raise refused(call, "it joins flattened positions")
    while len(values) > MOST_JOINED:
        values = [_elementwise(builder, call, Concat, *values[:MOST_JOINED]), *values[MOST_JOINED:]]
    return _elementwise(builder, call, Concat, *values)


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


@lowers("flatten", "view", "reshape", "squeeze")
def _flatten(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"])
    shape = builder.shapes[value.tensor]
    target = shape_of(call)[1:]
    if target == (int(np.prod(shape)),):
        return replace(value, flat=True)
    if target == (shape[-1], *shape[:2]):
        return replace(value, flat=False)
    raise refused(call, "it moves values between positions and channels")


@lowers("dropout", "identity", "contiguous", "clone", "detach", "alias", "feature_dropout", "to", "dropout2d")
def _same(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.values[call.all_input_nodes[0]]
    if not isinstance(value, Value):
        raise refused(call, "its input is a constant")
    return value


def _elementwise(builder: Builder, call: Call, kind: type[Node], *values: Value) -> Value:
    """Append a node whose output has the first input's height and width."""
    shapes = [builder.shapes[value.tensor] for value in values]
    channels = sum(shape[-1] for shape in shapes) if kind is Concat else shapes[0][-1]
    output = builder.new_tensor((*shapes[0][:-1], channels))
    builder.append(kind(module_of(call), tuple(value.tensor for value in values), output))
    return Value(output, values[0].flat)


def _per_channel(builder: Builder, call: Call, value: Value, constant: Any) -> Any:
    """Return a constant as one number per channel; one that differs between positions is refused."""
    channels = builder.shapes[value.tensor][-1]
    form = constant.reshape(constant.shape[1:]) if constant.ndim == 4 and len(constant) == 1 else constant
    if form.size == 1 or (form.ndim == 3 and form.shape == (channels, 1, 1)):
        return np.broadcast_to(form.reshape(-1), (channels,)).copy()
    raise refused(call, "a constant operand differs between positions")


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
