"""Translates torch's operators, one function each, into nodes of the float form: here those of single values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from torch.fx import Node as Call

from netaug.elastic.trace import module_of, shape_of
from netaug.export.building import Builder, Value, refused
from netaug.export.graph import (
    Activation,
    Add,
    Concat,
    Gelu,
    HardSwish,
    Mul,
    Node,
    Sigmoid,
    Take,
)

MOST_JOINED = 10
"""Inputs of one concatenation that tflite-micro takes; more are joined in several steps, as in DenseNets."""
Arguments: TypeAlias = dict[str, Any]
Lowering: TypeAlias = Callable[[Builder, Call, Arguments], Value | list[Value]]
LOWERINGS: dict[str, Lowering] = {}
"""By name of the ATen operator, as `elastic.trace.operator_name` gives it."""


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register the function that translates these operators."""

    def register(function: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, function))
        return function

    return register


@lowers("batch_norm")
def _batch_norm(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["input"])
    mean, variance = builder.array(args["running_mean"]), builder.array(args["running_var"])
    if mean is None or variance is None:
        raise refused(call, "its batch norm has no running statistics")
    if not (variance.astype(np.float64) + args["eps"] > 0).all():  # also where it is NaN
        raise refused(call, "its batch norm has a variance that is no variance; the weights are damaged")
    ones = np.ones_like(mean, np.float64)
    weight, bias = builder.array(args["weight"]), builder.array(args["bias"])
    scale_C = (ones if weight is None else weight) / np.sqrt(variance.astype(np.float64) + args["eps"])
    shift_C = (0 * ones if bias is None else bias) - mean * scale_C
    return builder.scale_and_shift(call, value, scale_C, shift_C, Activation.NONE)


@lowers("relu")
def _relu(builder: Builder, call: Call, args: Arguments) -> Value:
    return builder.activate(call, builder.value(call, args["self"], last=True), Activation.RELU)


@lowers("relu6")
def _relu6(builder: Builder, call: Call, args: Arguments) -> Value:
    return builder.activate(call, builder.value(call, args["self"], last=True), Activation.RELU6)


@lowers("hardtanh", "clamp", "clamp_min")
def _clip(builder: Builder, call: Call, args: Arguments) -> Value:
    low = args.get("min_val", args.get("min"))
    high = args.get("max_val", args.get("max"))
    bounds = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    names = {activation.value: activation for activation in (Activation.RELU, Activation.RELU6)}
    if bounds not in names:
        raise refused(call, f"it clips to {bounds}, not to [0, 6] or [0, inf)")
    return builder.activate(call, builder.value(call, args["self"], last=True), names[bounds])


@lowers("hardsigmoid")
def _hard_sigmoid(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"], last=True)
    channels = builder.shapes[value.tensor][-1]
    sixths, halves = np.full(channels, 1 / 6), np.full(channels, 1 / 2)
    return builder.scale_and_shift(call, value, sixths, halves, Activation.UNIT)


@lowers("hardswish")
def _hard_swish(builder: Builder, call: Call, args: Arguments) -> Value:
    return _elementwise(builder, call, HardSwish, builder.value(call, args["self"], last=True))


@lowers("sigmoid")
def _sigmoid(builder: Builder, call: Call, args: Arguments) -> Value:
    return _elementwise(builder, call, Sigmoid, builder.value(call, args["self"], last=True))


@lowers("gelu")
def _gelu(builder: Builder, call: Call, args: Arguments) -> Value:
    kind = partial(Gelu, approximate=args.get("approximate", "none") == "tanh")
    return _elementwise(builder, call, kind, builder.value(call, args["self"], last=True))


@lowers("silu")
def _silu(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"], last=True)
    return _elementwise(builder, call, Mul, value, _elementwise(builder, call, Sigmoid, value))


@lowers("add")
def _add(builder: Builder, call: Call, args: Arguments) -> Value:
    if args.get("alpha", 1) != 1:
        raise refused(call, "it adds a multiple of its second input")
    left, right = _constant_last(builder, args)
    constant = builder.array(right)
    if constant is not None:
        value = builder.value(call, left, last=True)
        shift_C = _per_channel(builder, call, value, constant)
        return builder.scale_and_shift(call, value, np.ones_like(shift_C), shift_C, Activation.NONE)
    first, second = builder.value(call, left, last=True), builder.value(call, right, last=True)
    if builder.shapes[first.tensor] != builder.shapes[second.tensor] or first.last != second.last:
        raise refused(call, "it adds tensors of different shapes")
    return _elementwise(builder, call, Add, first, second)


@lowers("mul")
def _mul(builder: Builder, call: Call, args: Arguments) -> Value:
    left, right = _constant_last(builder, args)
    constant = builder.array(right)
    if constant is not None:
        value = builder.value(call, left, last=True)
        scale_C = _per_channel(builder, call, value, constant)
        return builder.scale_and_shift(call, value, scale_C, np.zeros_like(scale_C), Activation.NONE)
    first, second = builder.value(call, left, last=True), builder.value(call, right, last=True)
    if builder.shapes[first.tensor][:2] == (1, 1):  # the gate comes second
        first, second = second, first
    shape, gate = builder.shapes[first.tensor], builder.shapes[second.tensor]
    if gate not in (shape, (1, 1, shape[-1])) or first.last != second.last:
        raise refused(call, "it multiplies tensors whose shapes differ in more than positions")
    return _elementwise(builder, call, Mul, first, second)


@lowers("div")
def _div(builder: Builder, call: Call, args: Arguments) -> Value | list[Value]:
    constant = builder.array(args["other"])
    if constant is None or args.get("rounding_mode") is not None:
        raise refused(call, "its divisor is computed from the image, or it rounds")
    return _mul(builder, call, {**args, "other": np.asarray(1 / constant)})


@lowers("sub")
def _sub(builder: Builder, call: Call, args: Arguments) -> Value | list[Value]:
    constant = builder.array(args["other"])
    if constant is not None:
        return _add(builder, call, {**args, "other": np.asarray(-constant)})
    if args.get("alpha", 1) != 1 or builder.array(args["self"]) is not None:
        raise refused(call, "it subtracts from a constant, or a multiple of its second input")
    first, second = (
        builder.value(call, args["self"], last=True),
        builder.value(call, args["other"], last=True),
    )
    if builder.shapes[first.tensor] != builder.shapes[second.tensor] or first.last != second.last:
        raise refused(call, "it subtracts tensors of different shapes")
    # a depthwise convolution changes the sign: as a node of its own it needs no kernel, and others may read the value
    ones_C = np.ones(builder.shapes[second.tensor][-1], np.float32)
    return _elementwise(builder, call, Add, first, builder.depthwise(call, second, -ones_C, 0 * ones_C))


@lowers("cat", "concat")
def _cat(builder: Builder, call: Call, args: Arguments) -> Value:
    values = [builder.value(call, argument, last=True) for argument in args["tensors"]]
    rank = len(shape_of(call))
    forms = {(value.flat, value.last) for value in values}
    if args["dim"] % rank != values[0].channel_axis or len(forms) > 1:
        raise refused(call, "it joins along another axis than channels")
    if values[0].flat and any(builder.shapes[value.tensor][:2] != (1, 1) for value in values):
        raise refused(call, "it joins flattened positions")
    while len(values) > MOST_JOINED:
        values = [_elementwise(builder, call, Concat, *values[:MOST_JOINED]), *values[MOST_JOINED:]]
    return _elementwise(builder, call, Concat, *values)


@lowers("flatten", "view", "reshape", "squeeze")
def _flatten(builder: Builder, call: Call, args: Arguments) -> Value:
    target = shape_of(call)[1:]
    waiting = builder.values.get(args["self"])
    if isinstance(waiting, Value) and waiting.order:
        return _joined(builder, call, waiting, target)
    value = builder.value(call, args["self"])
    shape = builder.shapes[value.tensor]
    if len(target) == 4 and target[0] * target[1] == shape[-1] and target[2:] == shape[:2]:
        return replace(value, order=tuple(range(shape[-1])), axes=(target[0], target[1]))
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


@lowers("transpose", "permute")
def _swap(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.values.get(args["self"])
    if isinstance(value, Value) and len(shape_of(call)) == 4 and not value.order:
        return _moved(builder, call, args)
    swapped = "dims" in args or sorted((args["dim0"] % 5, args["dim1"] % 5)) == [1, 2]
    if "dims" in args:
        swapped = [axis % 5 for axis in args["dims"]] == [0, 2, 1, 3, 4]
    if not isinstance(value, Value) or not value.order or not swapped:
        raise refused(call, "it moves values between positions and channels")
    first, second = value.axes
    order = np.array(value.order).reshape(first, second).T.ravel()
    return replace(value, order=tuple(order.tolist()), axes=(second, first))


def _moved(builder: Builder, call: Call, args: Arguments) -> Value:
    """Return a value whose channels torch moves to the last axis, or back."""
    value = builder.value(call, args["self"], last=True)
    axes = [axis % 4 for axis in args.get("dims", ())]
    if axes != ([0, 3, 1, 2] if value.last else [0, 2, 3, 1]):
        raise refused(call, "it moves values between positions and channels")
    return replace(value, last=not value.last)


def _joined(builder: Builder, call: Call, value: Value, target: tuple[int, ...]) -> Value:
    """Return a shuffled value with its channels on one axis again."""
    shape = builder.shapes[value.tensor]
    if target != (shape[-1], *shape[:2]):
        raise refused(call, "it moves values between positions and channels")
    return take(builder, call, replace(value, order=(), axes=(0, 0)), value.order)


@lowers("split", "split_with_sizes", "chunk")
def _split(builder: Builder, call: Call, args: Arguments) -> list[Value]:
    value = builder.value(call, args["self"], last=True)
    if args["dim"] % _rank(value) != value.channel_axis:
        raise refused(call, "it splits another axis than channels")
    parts, start = [], 0
    for tensor in call.meta["val"]:
        end = start + int(tensor.shape[value.channel_axis])
        parts.append(take(builder, call, value, range(start, end)))
        start = end
    return parts


@lowers("getitem")
def _part(builder: Builder, call: Call, args: Arguments) -> Value:
    parts = builder.values.get(call.all_input_nodes[0])
    number = call.args[1]
    if not isinstance(parts, list) or not isinstance(number, int):
        raise refused(call, "it picks a part of something that is not split")
    return parts[number]


@lowers("slice")
def _slice(builder: Builder, call: Call, args: Arguments) -> Value:
    value = builder.value(call, args["self"], last=True)
    axis = args["dim"] % _rank(value)
    size = shape_of(call.all_input_nodes[0])[axis]
    kept = range(size)[args["start"] : args["end"] : args["step"]]
    if len(kept) == size:
        return value
    if axis != value.channel_axis:
        raise refused(call, "it cuts another axis than channels")
    return take(builder, call, value, kept)


def _rank(value: Value) -> int:
    return 2 if value.flat else 4


def take(builder: Builder, call: Call, value: Value, channels: Sequence[int]) -> Value:
    """Return some channels of a value, in the given order."""
    shape = builder.shapes[value.tensor]
    if list(channels) == list(range(shape[-1])):
        return value
    if value.flat and shape[:2] != (1, 1):
        raise refused(call, "it takes some of flattened positions")
    output = builder.new_tensor((*shape[:2], len(channels)))
    builder.append(Take(module_of(call), (value.tensor,), output, tuple(channels)))
    return replace(value, tensor=output)


def _constant_last(builder: Builder, args: Arguments) -> tuple[Any, Any]:
    """Return both operands, a constant one second."""
    left, right = args["self"], args["other"]
    return (right, left) if builder.array(left) is not None else (left, right)


def _elementwise(builder: Builder, call: Call, kind: Callable[..., Node], *values: Value) -> Value:
    """Append a node whose output has the first input's height and width."""
    shapes = [builder.shapes[value.tensor] for value in values]
    channels = sum(shape[-1] for shape in shapes) if kind is Concat else shapes[0][-1]
    output = builder.new_tensor((*shapes[0][:-1], channels))
    builder.append(kind(module_of(call), tuple(value.tensor for value in values), output))
    return replace(values[0], tensor=output)


def _per_channel(builder: Builder, call: Call, value: Value, constant: Any) -> Any:
    """Return a constant as one number per channel; one that differs between positions is refused."""
    channels = builder.shapes[value.tensor][-1]
    form = constant.reshape(constant.shape[1:]) if constant.ndim == 4 and len(constant) == 1 else constant
    shape = (channels,) if value.last else (channels, 1, 1)
    if form.size == 1 or form.shape == shape or (value.last and form.shape == (1, 1, channels)):
        return np.broadcast_to(form.reshape(-1), (channels,)).copy()
    raise refused(call, "a constant operand differs between positions")
