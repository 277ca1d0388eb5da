"""Convolutions and linear layers: they make channels."""

from __future__ import annotations

import math

from torch.fx import Node
from torch.nn.modules.conv import _ConvNd

from netaug.elastic.analysis import Analysis, DenseUse, outputs_per_weight, where
from netaug.elastic.groups import Layout, Part, Parts
from netaug.elastic.rules.registry import elastic_rule
from netaug.elastic.trace import arguments, module_of, shape_of


@elastic_rule("conv1d", "conv2d", "conv3d")
def convolution(analysis: Analysis, node: Node) -> Layout:
    """Make the channels of a convolution, weight ``[out, in / groups, ...]``: depthwise, grouped, or dense."""
    call = arguments(node)
    x, weight, groups = call["input"], call["weight"], call["groups"]
    if _keeps_kernel(analysis, node, x, weight):
        return {}
    if groups == shape_of(x)[1] and groups > 1:
        return _depthwise(analysis, node, multiplier=shape_of(weight)[0] // groups)
    source, incoming = analysis.dim(x, 1), analysis.dim(weight, 1)
    if groups > 1:
        # Widened within each group, so base channels stay with the weights of their own group.
        source = _tile(analysis, node, source, groups)
        _tile(analysis, node, analysis.dim(weight, 0), groups)
    source = _same(analysis, node, source, incoming)
    target = _made(analysis, node, weight, analysis.dim(weight, 0), call["bias"])
    positions = outputs_per_weight(node, weight, analysis.trace.batch_size)
    _record(analysis, node, 1, source=source, target=target, positions=positions)
    return {1: target}


@elastic_rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(analysis: Analysis, node: Node) -> Layout:
    """Make the channels of a transposed convolution, weight ``[in, out / groups, ...]``."""
    call = arguments(node)
    x, weight, groups = call["input"], call["weight"], call["groups"]
    if _keeps_kernel(analysis, node, x, weight):
        return {}
    if groups == shape_of(x)[1] and groups > 1 and shape_of(weight)[1] == 1:
        return _depthwise(analysis, node, multiplier=1)
    if groups > 1:
        _tile(analysis, node, analysis.dim(x, 1), groups)
        _tile(analysis, node, analysis.dim(weight, 0), groups)
    source = _same(analysis, node, analysis.dim(x, 1), analysis.dim(weight, 0))
    target = _made(analysis, node, weight, analysis.dim(weight, 1) * groups, call["bias"])
    # A transposed convolution uses each weight once per position of its input, not of its output.
    positions = math.prod(shape_of(x)) // shape_of(x)[1] // analysis.trace.batch_size
    _record(analysis, node, 1, source=source, target=target, positions=positions, input_dim=0)
    return {1: target}


@elastic_rule("linear")
def linear(analysis: Analysis, node: Node) -> Layout:
    """Make the channels of a linear layer, weight ``[out, in]``, along the last dimension."""
    call = arguments(node)
    x, weight = call["input"], call["weight"]
    last = len(shape_of(x)) - 1
    source = _same(analysis, node, analysis.dim(x, last), analysis.dim(weight, 1))
    target = _made(analysis, node, weight, analysis.dim(weight, 0), call["bias"])
    positions = outputs_per_weight(node, weight, analysis.trace.batch_size)
    _record(analysis, node, last, source=source, target=target, positions=positions)
    others = {dim: parts for dim, parts in analysis.layout(x).items() if dim != last}
    return {**others, last: target}


def _keeps_kernel(analysis: Analysis, node: Node, x: Node, weight: Node) -> bool:
    """Freeze what a kernel slides over; True if even the channels cannot be told."""
    if len(shape_of(x)) != len(shape_of(weight)):
        analysis.give_up(node, f"'{where(node)}' filters an input without a batch dimension")
        return True
    analysis.freeze_node(x, f"'{where(node)}' filters over elastic channels", except_dims=(1,))
    analysis.freeze_node(weight, f"'{where(node)}' has a kernel of this size", except_dims=(0, 1))
    return False


def _depthwise(analysis: Analysis, node: Node, *, multiplier: int) -> Layout:
    call = arguments(node)
    x, weight = call["input"], call["weight"]
    source = _same(
        analysis,
        node,
        tuple(Part(part.group, part.repeat * multiplier) for part in analysis.dim(x, 1)),
        analysis.dim(weight, 0),
    )
    target = _with_bias(analysis, node, source, call["bias"])
    positions = outputs_per_weight(node, weight, analysis.trace.batch_size)
    channels = analysis.dim(x, 1)
    _record(analysis, node, 1, source=channels, target=target, positions=positions, depthwise=True)
    name = module_of(node)
    # A depthwise layer has as many groups as channels, so its ``groups`` has to follow the width.
    if isinstance(analysis.model.get_submodule(name), _ConvNd):
        analysis.require_size(name, "groups", channels)
    else:
        analysis.note_size(node, call["groups"], channels)
    return {1: target}


def _tile(analysis: Analysis, node: Node, parts: Parts, groups: int) -> Parts:
    """Return the channels of one group of the convolution, which widens within each of its groups."""
    return analysis.tile(node, parts, groups, f"cannot divide these channels into {groups} groups")


def _record(
    analysis: Analysis,
    node: Node,
    dim: int,
    *,
    source: Parts,
    target: Parts,
    positions: int,
    input_dim: int = 1,
    depthwise: bool = False,
) -> None:
    """Note the call, whose channels are along this dimension, for counting, roles and sorting."""
    call = arguments(node)
    name = analysis.parameter_behind(call["weight"])
    if name is not None:
        channels = shape_of(call["input"])[dim], shape_of(node)[dim]
        analysis.uses.append(DenseUse(node, name, positions, source, target, channels, input_dim, depthwise))


def _same(analysis: Analysis, node: Node, first: Parts, second: Parts) -> Parts:
    """Demand equal widths of an input and the weight that reads it; both keep theirs if one does."""
    if not first or not second:
        analysis.groups.freeze(
            (*first, *second), f"'{where(node)}' reads or filters an input that keeps its size"
        )
        return ()
    analysis.groups.unify(first, second, where(node))
    return analysis.groups.resolve(first)


def _made(analysis: Analysis, node: Node, weight: Node, target: Parts, bias: Node | None) -> Parts:
    """Return the channels that a weight makes, named after its module."""
    name = analysis.parameter_behind(weight)
    if name is None:
        # Added channels need rows of a parameter; a computed weight (a hypernetwork, say) has none.
        analysis.give_up(node, f"'{where(node)}' computes its weight from other tensors")
        return ()
    analysis.groups.claim(target, name.rpartition(".")[0] or name)
    return _with_bias(analysis, node, target, bias)


def _with_bias(analysis: Analysis, node: Node, target: Parts, bias: Node | None) -> Parts:
    if bias is None:
        return analysis.groups.resolve(target)
    return _same(analysis, node, target, analysis.dim(bias, 0))
