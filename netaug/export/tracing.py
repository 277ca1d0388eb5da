"""Brings a torch network into the float form: batch norms folded, dropout gone, channels last."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node as Call
from torch.fx.node import map_arg

from netaug.core.errors import UnsupportedModelError
from netaug.elastic.trace import Trace, arguments, gives_tensors, operator_name, shape_of, trace
from netaug.export import lowering_norms as lowering_norms  # registers its operators
from netaug.export import lowering_windows as lowering_windows
from netaug.export.building import Builder, overwritten, refused
from netaug.export.graph import ExportError, Flatten, Graph
from netaug.export.lowering import LOWERINGS


def float_graph(model: nn.Module, example_NCHW: Tensor) -> Graph:
    """Return a network in evaluation mode as the float form.

    Args:
        model: A network of images ``[N, C, H, W]``, on the CPU; it is not changed.
        example_NCHW: One image, ``[1, C, H, W]`` float32, whose height and width the form is made for.

    Returns:
        The form; its input is called ``images``, its outputs are in the order in which the network returns them.

    Raises:
        ExportError: A layer has no place in the form; the message names it.
        ModelError: The network does not run on the example.
    """
    try:
        traced = trace(model, (example_NCHW,))
    except UnsupportedModelError as error:
        raise ExportError(error.where, got=error.got, fix="export this network with --to onnx") from error
    builder = Builder()
    builder.values.update(_constants(model, traced))
    builder.input(traced.inputs[0], "images")
    for call in traced.operations:
        if gives_tensors(call):  # not assertions about shapes
            _lower(builder, call)
    outputs = tuple(_output(builder, call) for call in traced.outputs)
    return builder.graph(("images",), outputs)


def _constants(model: nn.Module, traced: Trace) -> dict[Call, Tensor]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {call: tensors[name] for call, name in traced.tensors.items()}


def _lower(builder: Builder, call: Call) -> None:
    name = operator_name(call)
    if all(isinstance(builder.values[node], Tensor) for node in call.all_input_nodes):
        builder.values[call] = _computed(builder, call)  # such as weights that forward standardizes
        return
    if name not in LOWERINGS:
        raise refused(call, "its operator has no int8 form here")
    result = LOWERINGS[name](builder, call, {} if name == "getitem" else arguments(call))
    builder.values[call] = result
    source = overwritten(call)
    if source is not None:
        builder.values[source] = result  # later readers of the overwritten value see the result


def _computed(builder: Builder, call: Call) -> Tensor:
    def constant(node: Call) -> Any:
        return builder.values[node]

    if overwritten(call) is not None:
        raise refused(call, "it overwrites a weight")
    with torch.no_grad():
        result = call.target(*map_arg(call.args, constant), **map_arg(call.kwargs, constant))  # type: ignore[operator]
    if not isinstance(result, Tensor):
        raise refused(call, "it makes something else than one tensor from weights")
    return result


def _output(builder: Builder, call: Call) -> str:
    value = builder.value(call, call)
    shape = builder.shapes[value.tensor]
    if not value.flat:
        return value.tensor
    if shape[:2] != (1, 1):
        raise refused(call, "the network returns flattened positions")
    output = builder.new_tensor(shape_of(call)[1:])
    builder.append(Flatten("output", (value.tensor,), output))
    return output
