"""How each tensor operation passes channel groups on: one small function per kind of operation.

Legend: a *layout* maps elastic dimensions to their groups (see :mod:`netaug.elastic.analysis`). An operation
without a rule freezes the groups it touches, with the reason kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.fx import Node
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from netaug.elastic.analysis import Analysis, Layout, Part, Parts, where
from netaug.elastic.trace import arguments, operator_name, shape_of

Rule = Callable[[Analysis, Node], Layout]
RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of ATen operators, named without namespace and overload."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, function))
        return function

    return register


def apply_rules(analysis: Analysis) -> None:
    """Walk the whole graph; the network's outputs keep their size."""
    for node in analysis.trace.operations:
        name = operator_name(node)
        function = RULES.get(name)
        if function is None:
            layout = analysis.give_up(node, f"'{where(node)}' uses '{name}', which has no rule")
        else:
            layout = function(analysis, node)
        if layout:
            analysis.layouts[node] = layout
    for node in analysis.trace.outputs:
        analysis.freeze_node(node, "output of the network")


@rule("conv2d", "conv1d", "conv3d")
def _convolution(analysis: Analysis, node: Node) -> Layout:
    call = arguments(node)
    x, weight, bias, groups = call["input"], call["weight"], call["bias"], call["groups"]
    if not analysis.is_parameter(weight) or (bias is not None and not analysis.is_parameter(bias)):
        return analysis.give_up(node, f"'{where(node)}' computes its weight from other tensors")
    analysis.freeze_node(x, f"'{where(node)}' filters over elastic channels", except_dims=(1,))
    source = analysis.layout(x).get(1, ())
    channels_out, channels_in = shape_of(weight)[0], shape_of(x)[1]
    if groups == 1:
        return _dense(analysis, node, x, source, out_dim=1)
    if groups == channels_in == channels_out:
        return _depthwise(analysis, node, source)
    analysis.record_dense(node, weight, (), (), depthwise=False)
    return analysis.give_up(node, f"'{where(node)}' is a convolution in {groups} groups")


@rule("linear")
def _linear(analysis: Analysis, node: Node) -> Layout:
    call = arguments(node)
    x, weight, bias = call["input"], call["weight"], call["bias"]
    if not analysis.is_parameter(weight) or (bias is not None and not analysis.is_parameter(bias)):
        return analysis.give_up(node, f"'{where(node)}' computes its weight from other tensors")
    last = len(shape_of(x)) - 1
    source = analysis.layout(x).get(last, ())
    others = {dim: parts for dim, parts in analysis.layout(x).items() if dim != last}
    return {**others, **_dense(analysis, node, x, source, out_dim=last)}


def _dense(analysis: Analysis, node: Node, x: Node, source: Parts, out_dim: int) -> Layout:
    call = arguments(node)
    weight, bias = call["weight"], call["bias"]
    if source:
        analysis.set_axis(weight, 1, source)
    elif 1 in analysis.axes.get(analysis.trace.tensors[weight], {}):
        known = analysis.axes[analysis.trace.tensors[weight]][1]
        analysis.freeze(known, f"'{where(node)}' is also used on an input that keeps its size")
    target = analysis.output_axis(weight, 0)
    if bias is not None:
        analysis.set_axis(bias, 0, target)
    analysis.record_dense(node, weight, source, target, depthwise=False)
    return {out_dim: target}


def _depthwise(analysis: Analysis, node: Node, source: Parts) -> Layout:
    call = arguments(node)
    weight, bias = call["weight"], call["bias"]
    analysis.record_dense(node, weight, source, source, depthwise=True)
    if not source:
        return {}
    module_name = analysis.trace.tensors[weight].rpartition(".")[0]
    if not isinstance(analysis.model.get_submodule(module_name), _ConvNd):
        return analysis.give_up(node, f"'{where(node)}' is a depthwise convolution outside a torch module")
    analysis.set_axis(weight, 0, source)
    if bias is not None:
        analysis.set_axis(bias, 0, source)
    analysis.depthwise[module_name] = source
    return {1: source}


@rule("batch_norm")
def _batch_norm(analysis: Analysis, node: Node) -> Layout:
    call = arguments(node)
    x = call["input"]
    source = analysis.layout(x).get(1, ())
    analysis.freeze_node(x, f"'{where(node)}' normalises over elastic channels", except_dims=(1,))
    if not source:
        return {}
    tensors = [
        call[name] for name in ("weight", "bias", "running_mean", "running_var") if call[name] is not None
    ]
    names = [analysis.trace.tensors.get(tensor) for tensor in tensors]
    modules = {name.rpartition(".")[0] for name in names if name is not None}
    if None in names or not all(isinstance(analysis.model.get_submodule(m), _NormBase) for m in modules):
        return analysis.give_up(node, f"'{where(node)}' is a batch norm outside a torch module")
    for tensor in tensors:
        analysis.set_axis(tensor, 0, source)
    return {1: source}


@rule(
    *(
        "relu",
        "relu6",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "sigmoid",
        "silu",
        "mish",
        "tanh",
        "elu",
        "selu",
    ),
    *(
        "celu",
        "gelu",
        "leaky_relu",
        "softplus",
        "log_sigmoid",
        "clamp",
        "clamp_min",
        "clamp_max",
        "neg",
        "abs",
    ),
    *("exp", "sqrt", "rsqrt", "reciprocal", "square", "erf", "dropout", "feature_dropout", "alpha_dropout"),
    *("contiguous", "clone", "alias", "detach", "to", "_to_copy", "type_as", "lift_fresh_copy", "softsign"),
)
def _each_element(analysis: Analysis, node: Node) -> Layout:
    first = node.args[0]
    assert isinstance(first, Node)
    return dict(analysis.layout(first))


@rule("add", "sub", "mul", "div", "maximum", "minimum", "pow")
def _combine(analysis: Analysis, node: Node) -> Layout:
    """Broadcast: dimensions that meet at full size must agree, a dimension of size 1 takes the other's groups."""
    result: Layout = {}
    rank = len(shape_of(node))
    operands = [arg for arg in node.args[:2] if isinstance(arg, Node)]
    for dim in range(rank):
        meeting: list[tuple[Node, int, Parts]] = []
        for operand in operands:
            own_dim = dim - rank + len(shape_of(operand))
            if own_dim >= 0 and (shape_of(operand)[own_dim] != 1 or own_dim in analysis.layout(operand)):
                meeting.append((operand, own_dim, analysis.layout(operand).get(own_dim, ())))
        known = [parts for _, _, parts in meeting if parts]
        if not known:
            continue
        for operand, own_dim, parts in meeting:
            if parts:
                analysis.unify(known[0], parts, where(node))
            elif analysis.is_parameter(operand):
                analysis.set_axis(operand, own_dim, known[0])
            else:
                analysis.freeze(known[0], f"'{where(node)}' combines it with a tensor that keeps its size")
        result[dim] = known[0]
    return result


@rule("cat")
def _concatenate(analysis: Analysis, node: Node) -> Layout:
    call = arguments(node)
    tensors = [tensor for tensor in call["tensors"] if isinstance(tensor, Node)]
    dim = call["dim"] % len(shape_of(node))
    result: Layout = {}
    for other in {d for tensor in tensors for d in analysis.layout(tensor)} - {dim}:
        layouts = [analysis.layout(tensor).get(other, ()) for tensor in tensors]
        for parts in layouts:
            analysis.unify(next(filter(None, layouts)), parts, where(node))
        result[other] = next(filter(None, layouts))
    if any(dim in analysis.layout(tensor) for tensor in tensors):
        joined: list[Part] = []
        for tensor in tensors:
            parts = analysis.layout(tensor).get(dim, ())
            if not parts:
                constant = Part(analysis.new_group(shape_of(tensor)[dim], tensor.name))
                analysis.freeze((constant,), f"'{where(node)}' joins it from a tensor that keeps its size")
                parts = (constant,)
            joined.extend(parts)
        result[dim] = tuple(joined)
    return result


@rule(
    *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "max_pool1d", "avg_pool1d"),
    *("adaptive_avg_pool1d", "upsample_nearest2d", "upsample_bilinear2d", "pad", "constant_pad_nd"),
)
def _spatial(analysis: Analysis, node: Node) -> Layout:
    first = node.args[0]
    assert isinstance(first, Node)
    before, after = shape_of(first), shape_of(node)
    kept = {dim for dim in analysis.layout(first) if dim < 2 and before[dim] == after[dim]}
    analysis.freeze_node(first, f"'{where(node)}' changes the size of elastic channels", except_dims=kept)
    return {dim: parts for dim, parts in analysis.layout(first).items() if dim in kept}


@rule("mean", "sum", "amax", "amin")
def _reduce(analysis: Analysis, node: Node) -> Layout:
    call = arguments(node)
    x = call.get("self")
    assert isinstance(x, Node)
    rank = len(shape_of(x))
    given = call.get("dim")
    dims = range(rank) if not given and given != 0 else [given] if isinstance(given, int) else given
    reduced = {dim % rank for dim in dims}
    elastic = {dim: parts for dim, parts in analysis.layout(x).items() if dim in reduced}
    for parts in elastic.values():
        analysis.freeze(parts, f"'{where(node)}' reduces over its channels")
    kept = {dim: parts for dim, parts in analysis.layout(x).items() if dim not in reduced}
    if call.get("keepdim"):
        return kept
    return {dim - sum(r < dim for r in reduced): parts for dim, parts in kept.items()}


@rule("permute")
def _permute(analysis: Analysis, node: Node) -> Layout:
    call = arguments(node)
    order = [dim % len(call["dims"]) for dim in call["dims"]]
    layout = analysis.layout(call["self"])
    return {new: layout[old] for new, old in enumerate(order) if old in layout}


@rule("transpose")
def _transpose(analysis: Analysis, node: Node) -> Layout:
    call = arguments(node)
    rank = len(shape_of(node))
    swap = {call["dim0"] % rank: call["dim1"] % rank, call["dim1"] % rank: call["dim0"] % rank}
    return {swap.get(dim, dim): parts for dim, parts in analysis.layout(call["self"]).items()}


@rule("flatten", "view", "reshape", "_unsafe_view", "unsqueeze", "squeeze", "unflatten")
def _reshape(analysis: Analysis, node: Node) -> Layout:
    """Follow channels through a change of shape: kept, or merged with the positions that come after them."""
    x = node.args[0]
    assert isinstance(x, Node)
    layout = analysis.layout(x)
    result: Layout = {}
    for old_dims, new_dims in _matching_dims(shape_of(x), shape_of(node)):
        elastic = [dim for dim in old_dims if dim in layout]
        if not elastic:
            continue
        sizes = [shape_of(x)[dim] for dim in old_dims]
        position = old_dims.index(elastic[0])
        wide_targets = [dim for dim in new_dims if shape_of(node)[dim] != 1] or list(new_dims[:1])
        if len(elastic) > 1 or math.prod(sizes[:position]) != 1 or len(wide_targets) != 1:
            for dim in elastic:
                analysis.freeze(layout[dim], f"'{where(node)}' reshapes its channels")
            continue
        after = math.prod(sizes[position + 1 :])
        result[wide_targets[0]] = tuple(Part(part.group, part.repeat * after) for part in layout[elastic[0]])
    return result


def _matching_dims(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Cut two shapes with the same number of elements into shortest runs of equal product."""
    runs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        old_dims, new_dims = ([i] if i < len(old) else []), ([j] if j < len(new) else [])
        i, j = i + 1, j + 1
        while math.prod(old[d] for d in old_dims) != math.prod(new[d] for d in new_dims):
            if math.prod(old[d] for d in old_dims) < math.prod(new[d] for d in new_dims):
                old_dims.append(i)
                i += 1
            else:
                new_dims.append(j)
                j += 1
        runs.append((old_dims, new_dims))
    return runs
