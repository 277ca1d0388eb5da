"""The int8 form of a network as calls of the C kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netaug.export.graph import ExportError, Padding, Shape
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
)
from netaug.export.micro import calls
from netaug.export.micro.calls import Activation, Call, Groups, Scaling, Window
from netaug.export.micro.sources import Program

Activations = Mapping[str, Activation]


def lower(graph: GraphInt8, title: str) -> Program:
    """Return an int8 network as calls of C kernels; tensors that share their values share their memory.

    Args:
        graph: The network; it has one input.
        title: One line about it, for comments and the README.

    Raises:
        ExportError: A node has no kernel, or the network has several inputs.
    """
    if len(graph.inputs) != 1:
        raise ExportError(
            "The generated C takes one image.", got=f"a network with {len(graph.inputs)} inputs", allowed="1"
        )
    same: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node, FlattenInt8):
            same[node.output] = same.get(node.inputs[0], node.inputs[0])
    activations = {
        name: Activation(name, _three_axes(tensor.shape), tensor.scale, tensor.zero_point)
        for name, tensor in graph.tensors.items()
        if name not in same
    }
    known = activations | {name: activations[source] for name, source in same.items()}
    return Program(
        title=title,
        activations=activations,
        calls=tuple(_call(node, known) for node in graph.nodes if not isinstance(node, FlattenInt8)),
        input=graph.inputs[0],
        outputs=tuple(same.get(name, name) for name in graph.outputs),
    )


def _call(node: NodeInt8, activations: Activations) -> Call:
    for kind, lowering in _LOWERINGS.items():
        if isinstance(node, kind):
            return lowering(node, activations)
    raise ExportError(
        f"There is no C kernel for '{node.name}'.",
        got=type(node).__name__,
        allowed=", ".join(kind.__name__.removesuffix("Int8") for kind in _LOWERINGS),
        fix="export it as .tflite",
    )


def _conv(node: ConvInt8, activations: Activations) -> Call:
    _, height, width, _ = node.weight_OHWI.shape
    source = activations[node.inputs[0]]
    plain = node.dilation == (1, 1)
    depthwise = plain and node.depthwise
    # TFLite, CMSIS-NN and our kernel keep the channels of a depthwise kernel side by side
    weights = node.weight_OHWI[..., 0].transpose(1, 2, 0) if depthwise else node.weight_OHWI
    return calls.convolution(
        node.name,
        source,
        activations[node.output],
        _window((height, width), node.strides, node.padding),
        weights=weights,
        bias=node.bias_O,
        scalings=[
            Scaling(int(value), int(shift))
            for value, shift in zip(node.multipliers_O, node.shifts_O, strict=True)
        ],
        bounds=(node.low, node.high),
        depthwise=depthwise,
        groups=None if depthwise or (plain and node.groups == 1) else Groups(node.groups, node.dilation),
    )


def _add(node: AddInt8, activations: Activations) -> Call:
    first, second = (_scaling(multiplier) for multiplier in node.input_multipliers)
    return calls.addition(
        node.name,
        _pair(node, activations),
        activations[node.output],
        scalings=(first, second, _scaling(node.output_multiplier)),
        bounds=(node.low, node.high),
    )


def _mul(node: MulInt8, activations: Activations) -> Call:
    return calls.product(
        node.name,
        _pair(node, activations),
        activations[node.output],
        scaling=_scaling(node.multiplier),
        bounds=(node.low, node.high),
    )


def _mean(node: MeanInt8, activations: Activations) -> Call:
    return calls.mean(
        node.name, activations[node.inputs[0]], activations[node.output], _scaling(node.multiplier)
    )


def _pool(node: PoolInt8, activations: Activations) -> Call:
    return calls.pool(
        node.name,
        activations[node.inputs[0]],
        activations[node.output],
        _window(node.kernel, node.strides, node.padding),
        (-128, 127),
        "max" if node.kind == "max" else "avg",
    )


def _table(node: TableInt8, activations: Activations) -> Call:
    return calls.lookup(node.name, activations[node.inputs[0]], activations[node.output], node.table_256)


def _resize(node: ResizeInt8, activations: Activations) -> Call:
    return calls.resize(node.name, activations[node.inputs[0]], activations[node.output], node.factor)


def _concat(node: ConcatInt8, activations: Activations) -> Call:
    return calls.concatenation(
        node.name, [activations[name] for name in node.inputs], activations[node.output]
    )


def _take(node: TakeInt8, activations: Activations) -> Call:
    return calls.take(node.name, activations[node.inputs[0]], activations[node.output], node.channels)


_LOWERINGS: dict[type[NodeInt8], Callable[[Any, Activations], Call]] = {
    ConvInt8: _conv,
    AddInt8: _add,
    MulInt8: _mul,
    MeanInt8: _mean,
    PoolInt8: _pool,
    TableInt8: _table,
    ResizeInt8: _resize,
    ConcatInt8: _concat,
    TakeInt8: _take,
}


def _pair(node: NodeInt8, activations: Activations) -> tuple[Activation, Activation]:
    first, second = (activations[name] for name in node.inputs)
    return first, second


def _scaling(multiplier: Multiplier) -> Scaling:
    return Scaling(int(multiplier.value), int(multiplier.shift))


def _window(kernel: tuple[int, int], strides: tuple[int, int], padding: Padding) -> Window:
    return Window(kernel, strides, (padding.top, padding.left))


def _three_axes(shape: Shape) -> tuple[int, int, int]:
    return (1, 1, shape[0]) if len(shape) == 1 else (shape[0], shape[1], shape[2])
