"""A model's graph of tensor operations, from ``torch.export``, with the names of its parameters and buffers."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from netaug.core.errors import ModelError, UnsupportedModelError
from netaug.core.modules import copied
from netaug.elastic.preconditions import account_of, check_preconditions, describe, types_of


@dataclass(frozen=True)
class Trace:
    """Holds the operations of one forward pass, in order.

    Args:
        operations: Calls of ATen operators.
        outputs: Nodes that the network returns.
        inputs: Nodes of the example inputs.
        tensors: Canonical name of the parameter or buffer behind a node.
        parameters: Which of these names are parameters.
        kernels: Which of them are weights of torch's own convolutions, with positions after the first two dimensions.
        statistics: Which names are running statistics of torch's own norms, one entry per channel.
        batch_size: Number of examples in the example input.
        owners: Every (module, attribute) that holds a tensor, by its first name.
    """

    operations: tuple[Node, ...]
    outputs: tuple[Node, ...]
    inputs: tuple[Node, ...]
    tensors: dict[Node, str]
    parameters: frozenset[str]
    kernels: frozenset[str]
    statistics: frozenset[str]
    batch_size: int
    owners: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


def trace(model: nn.Module, example: tuple[Tensor, ...]) -> Trace:
    """Record the operations of ``model`` on ``example`` in evaluation mode; the model is not touched.

    Raises:
        ModelError: The model or the example cannot be used at all.
        UnsupportedModelError: The model's control flow cannot be recorded.
    """
    check_preconditions(model, example)
    copy = copied(model).eval()  # in training mode dropout and statistics would be operations of the graph
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            copy(*example)  # first: a model that does not run at all is another mistake
    except Exception as error:
        raise ModelError(
            f"'{type(model).__name__}' does not run on the example input.",
            got=f"input {describe(example)}, parameters {types_of(model)}: {account_of(error, copy)}",
            fix="give an example of the shape, type and device the network is trained with",
        ) from error
    try:
        with _quiet():
            program = torch.export.export(copy, example, strict=False)
    except Exception as error:
        raise UnsupportedModelError(
            f"the operations of '{type(model).__name__}' cannot be recorded by torch.export.",
            got=account_of(error, copy),
            fix=_advice(error),
        ) from error
    return _read(program, copy, example)


def _advice(error: Exception) -> str:
    """Return what to do about an export that failed: only some fail because of control flow."""
    if "data-dependent" in str(error).lower():
        return (
            "remove control flow that depends on the data from forward, or augment only the part without it"
        )
    return "write this part of forward with operations of torch alone, or augment only the part without it"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own account of a failure, its whole graph, from the terminal: ours says what to do."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def arguments(node: Node) -> dict[str, Any]:
    """Return an operator call's arguments by name, defaults filled in."""
    schema = node.target._schema  # type: ignore[union-attr]
    values = {argument.name: argument.default_value for argument in schema.arguments}
    # Not strict: trailing arguments with defaults may be left out.
    values.update(zip((argument.name for argument in schema.arguments), node.args, strict=False))
    values.update(node.kwargs)
    return values


def operator_name(node: Node) -> str:
    """Return the ATen name without namespace, overload and the underscore of in-place forms, e.g. ``relu``."""
    schema = getattr(node.target, "_schema", None)
    name = str(schema.name) if schema is not None else getattr(node.target, "__name__", str(node.target))
    return name.rpartition("::")[2].rstrip("_")


def shape_of(node: Node) -> tuple[int, ...]:
    """Return the shape of a node's (first) result."""
    value = node.meta["val"]
    return tuple(int(size) for size in (value[0] if isinstance(value, (tuple, list)) else value).shape)


def module_of(node: Node) -> str:
    """Return the name of the innermost module that made this call, for messages and group names."""
    stack = node.meta.get("nn_module_stack") or {}
    names = [entry[0] for entry in stack.values()]
    return str(names[-1]) if names else ""


def gives_tensors(node: Node) -> bool:
    """Whether a call gives any tensor; assertions and queries of sizes do not."""
    return number_of_results(node) > 0


def gives_several(node: Node) -> bool:
    """Whether a call gives several tensors."""
    return isinstance(node.meta.get("val"), (tuple, list))


def number_of_results(node: Node) -> int:
    """Count the tensors that a call gives."""
    value = node.meta.get("val")
    values = value if isinstance(value, (tuple, list)) else [value]
    return sum(isinstance(entry, Tensor) for entry in values)


def norms_with_statistics(model: nn.Module) -> list[str]:
    """Return the names of torch's own norms that keep running statistics."""
    return [
        name
        for name, module in model.named_modules()
        # Of other norms it is not known that they take the batch's statistics where running ones are None.
        if isinstance(module, _NormBase) and module.track_running_stats
    ]


def running_statistics(model: nn.Module) -> list[str]:
    """Return the names of the running means and variances that torch's own norms keep."""
    return [
        f"{name}.{attribute}" if name else attribute
        for name in norms_with_statistics(model)
        for attribute in ("running_mean", "running_var")
        if isinstance(model.get_submodule(name)._buffers.get(attribute), Tensor)
    ]


def tensor_inputs(node: Node) -> list[Node]:
    """Return all nodes that a call takes, also those inside lists."""
    return list(node.all_input_nodes)


def _read(program: Any, model: nn.Module, example: tuple[Tensor, ...]) -> Trace:
    # A shared tensor has one node but several names in the graph; its first name stands for all.
    canonical, owners = _owners(model)
    signature = program.graph_signature
    by_placeholder = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    user_inputs = set(signature.user_inputs)
    tensors, inputs, operations, outputs = {}, [], [], []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name in by_placeholder:
                name = by_placeholder[node.name]
                tensors[node] = canonical.get(name, name)
            elif node.name in user_inputs:
                inputs.append(node)
        elif node.op == "call_function":
            operations.append(node)
        elif node.op == "output":
            outputs = tensor_inputs(node)
    return Trace(
        operations=tuple(operations),
        outputs=tuple(outputs),
        inputs=tuple(inputs),
        tensors=tensors,
        parameters=frozenset(name for name, _ in model.named_parameters()),
        kernels=frozenset(
            canonical[f"{name}.weight".lstrip(".")]
            for name, module in model.named_modules()
            if isinstance(module, _ConvNd) and isinstance(module._parameters.get("weight"), Tensor)
        ),
        statistics=frozenset(canonical[name] for name in running_statistics(model)),
        batch_size=example[0].shape[0] if example[0].dim() else 1,
        owners=owners,
    )


def _owners(model: nn.Module) -> tuple[dict[str, str], dict[str, tuple[tuple[str, str], ...]]]:
    """Map every name of a tensor to its first name, and that to all (module, attribute) places that hold it."""
    first: dict[int, str] = {}
    canonical: dict[str, str] = {}
    owners: dict[str, list[tuple[str, str]]] = {}
    # Duplicates too: a module under two names is read under both.
    for module_name, module in model.named_modules(remove_duplicate=False):
        for attribute, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is None:
                continue
            name = f"{module_name}.{attribute}" if module_name else attribute
            canonical[name] = first.setdefault(id(tensor), name)
            places = owners.setdefault(canonical[name], [])
            if all(model.get_submodule(other) is not module for other, _ in places):
                places.append((module_name, attribute))
    return canonical, {name: tuple(places) for name, places in owners.items()}
