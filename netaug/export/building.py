"""Builds the float form node by node, and folds what follows a convolution into it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node as Call

from netaug.elastic.trace import module_of, operator_name, shape_of
from netaug.export.graph import (
    Activation,
    Add,
    Conv,
    ExportError,
    FloatArray,
    Graph,
    Mul,
    Node,
    Padding,
    Relu,
    Shape,
)

NodeT = TypeVar("NodeT", bound=Node)


@dataclass(frozen=True)
class Value:
    """Says which tensor of the form a value of torch's graph is.

    Args:
        tensor: Name of the tensor.
        flat: Whether torch has it as ``[N, C * H * W]``.
        padding: Zeros around it that the next convolution has to add.
        order: Which channel of the tensor is at each place, while torch has the channels on two axes, as a shuffle has.
        axes: How many there are on each of the two.
        last: Whether torch has it as ``[N, H, W, C]``, as around layer norms.
    """

    tensor: str
    flat: bool = False
    padding: Padding = field(default_factory=Padding)
    order: tuple[int, ...] = ()
    axes: tuple[int, int] = (0, 0)
    last: bool = False

    @property
    def channel_axis(self) -> int:
        """Return which axis of torch's tensor has the channels."""
        return 3 if self.last else 1


class Builder:
    """Collects the nodes; the writer of a tensor can still be changed."""

    def __init__(self) -> None:
        self.values: dict[Call, Value | Tensor | list[Value]] = {}
        self.shapes: dict[str, Shape] = {}
        self._writers: dict[str, Node] = {}

    def input(self, call: Call, name: str) -> None:
        """Name an input of the network."""
        self.shapes[name] = _channels_last(shape_of(call))
        self.values[call] = Value(name)

    def new_tensor(self, shape: Shape) -> str:
        """Return the name of a new tensor."""
        name = f"t{len(self.shapes)}"
        self.shapes[name] = shape
        return name

    def append(self, node: NodeT) -> NodeT:
        """Add a node behind all others; one that no layer makes is called by its kind."""
        if not node.name:
            node = replace(node, name=type(node).__name__.lower())
        self._writers[node.output] = node
        return node

    def value(self, call: Call, argument: object, *, last: bool = False) -> Value:
        """Return the value of an argument that must be an activation; zeros that wait around it are written first.

        Args:
            call: Whose argument it is.
            argument: A node of torch's graph.
            last: Whether it may have its channels on the last axis.

        Raises:
            ExportError: It is a constant, or has its channels on two axes, or on the last one where it must not.
        """
        value = self.values.get(argument) if isinstance(argument, Call) else None
        if not isinstance(value, Value):
            raise refused(call, "one of its inputs is a constant")
        if value.order:
            raise refused(call, "the channels of its input are on two axes")
        if value.last and not last:
            raise refused(call, "the channels of its input are on the last axis")
        return self.with_zeros(call, value) if value.padding else value

    def with_zeros(self, call: Call, value: Value) -> Value:
        """Return a value with the zeros that wait around it: a depthwise 1x1 convolution pads as others do."""
        height, width, channels = self.shapes[value.tensor]
        zeros, ones_C = value.padding, np.ones(channels, np.float32)
        shape = (height + zeros.top + zeros.bottom, width + zeros.left + zeros.right, channels)
        output = self.new_tensor(shape)
        conv = Conv(module_of(call), (value.tensor,), output, ones_C.reshape(-1, 1, 1, 1), 0 * ones_C)
        self.append(replace(conv, groups=channels, padding=zeros))
        return Value(output)

    def array(self, argument: object) -> FloatArray | None:
        """Return a constant argument as float32, or None for an activation or a missing argument."""
        value = self.values.get(argument) if isinstance(argument, Call) else argument
        if isinstance(value, Tensor):
            # A copy: the form must stay what it is when the network trains on.
            return np.array(value.detach().to(torch.float32).numpy(), order="C")
        if isinstance(value, int | float | np.ndarray) and not isinstance(value, bool):
            return np.asarray(value, np.float32)
        return None

    def scale_and_shift(
        self, call: Call, value: Value, scale_C: FloatArray, shift_C: FloatArray, act: Activation
    ) -> Value:
        """Return ``act(value * scale + shift)``: folded into the convolution before it, else a depthwise 1x1 one."""
        writer = self._writers.get(value.tensor)
        # Folding is done in float64: a variance close to zero makes large factors of small weights.
        scale, shift = scale_C.astype(np.float64), shift_C.astype(np.float64)
        if isinstance(writer, Conv) and writer.activation is Activation.NONE and self._fusible(call):
            weight = writer.weight_OHWI.astype(np.float64) * scale[:, None, None, None]
            bias = writer.bias_O.astype(np.float64) * scale + shift
            with np.errstate(over="ignore"):  # quantize refuses what is infinite, by the name of its layer
                self._writers[value.tensor] = replace(
                    writer,
                    weight_OHWI=weight.astype(np.float32),
                    bias_O=bias.astype(np.float32),
                    activation=act,
                )
            return value
        return self.depthwise(call, value, scale_C, shift_C, act)

    def depthwise(
        self,
        call: Call,
        value: Value,
        scale_C: FloatArray,
        shift_C: FloatArray,
        act: Activation = Activation.NONE,
    ) -> Value:
        """Return ``act(value * scale + shift)`` by a depthwise 1x1 convolution."""
        output = self.new_tensor(self.shapes[value.tensor])
        weight_OHWI = scale_C.reshape(-1, 1, 1, 1).astype(np.float32)
        conv = Conv(module_of(call), (value.tensor,), output, weight_OHWI, shift_C.astype(np.float32))
        self.append(replace(conv, groups=len(scale_C), activation=act))
        return replace(value, tensor=output)

    def pointwise(self, call: Call, value: Value, weight_OI: FloatArray, bias_O: FloatArray | None) -> Value:
        """Return the value times a matrix at each position, by a 1x1 convolution."""
        outputs = len(weight_OI)
        output = self.new_tensor((*self.shapes[value.tensor][:2], outputs))
        weight_OHWI = np.ascontiguousarray(weight_OI[:, None, None], np.float32)
        bias = np.zeros(outputs, np.float32) if bias_O is None else bias_O
        self.append(Conv(module_of(call), (value.tensor,), output, weight_OHWI, bias))
        return replace(value, tensor=output)

    def activate(self, call: Call, value: Value, activation: Activation) -> Value:
        """Return the clipped value: fused into its writer where that is possible."""
        writer = self._writers.get(value.tensor)
        clipped = getattr(writer, "activation", None) is not Activation.NONE
        if isinstance(writer, Conv | Add | Mul) and not clipped and self._fusible(call):
            self._writers[value.tensor] = replace(writer, activation=activation)
            return value
        if activation is not Activation.RELU:
            # tflite-micro's RELU6 keeps the scale of its input, LiteRT's changes it; of a convolution both agree.
            ones_C = np.ones(self.shapes[value.tensor][-1], np.float32)
            return self.scale_and_shift(call, value, ones_C, 0 * ones_C, activation)
        output = self.new_tensor(self.shapes[value.tensor])
        self.append(Relu(module_of(call), (value.tensor,), output))
        return replace(value, tensor=output)

    def _fusible(self, call: Call) -> bool:
        """Whether nothing else reads the tensor that this call changes, so that its writer may change it."""
        reader, source = call, call.all_input_nodes[0]
        if self._others_read(source, reader):
            return False
        while source.all_input_nodes and self._same_tensor(source, source.all_input_nodes[0]):
            # Dropout, reshapes and folded norms left the tensor as it is: who reads it before them reads it too.
            reader, source = source, source.all_input_nodes[0]
            if self._others_read(source, reader):
                return False
        return True

    def _same_tensor(self, first: Call, second: Call) -> bool:
        a, b = self.values.get(first), self.values.get(second)
        return isinstance(a, Value) and isinstance(b, Value) and a.tensor == b.tensor

    @staticmethod
    def _others_read(source: Call, reader: Call) -> bool:
        others = [user for user in source.users if user is not reader]
        if _in_place(reader):
            # Readers behind an in-place call see the changed value; only earlier ones need the old one.
            order = {node: index for index, node in enumerate(source.graph.nodes)}
            others = [user for user in others if order[user] < order[reader]]
        return bool(others)

    def graph(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        """Return the finished form."""
        return Graph(tuple(self._writers.values()), self.shapes, inputs, outputs)


def _in_place(call: Call) -> bool:
    schema = getattr(call.target, "_schema", None)
    return schema is not None and str(schema.name).endswith("_")


def overwritten(call: Call) -> Call | None:
    """Return the value that an in-place call overwrites, or None."""
    return call.all_input_nodes[0] if _in_place(call) and call.all_input_nodes else None


def refused(call: Call, reason: str) -> ExportError:
    """Return the error of a layer that has no place in the form."""
    layer = module_of(call) or "the network's forward"
    return ExportError(
        f"layer '{layer}' cannot be exported to int8: {reason}.",
        got=f"operator {operator_name(call)} with output {list(shape_of(call))}",
        fix="export this network with --to onnx or --to torch, or with --to tflite-int8 --via litert",
    )


def _channels_last(shape: tuple[int, ...]) -> Shape:
    return (*shape[2:], shape[1]) if len(shape) == 4 else shape[1:]
