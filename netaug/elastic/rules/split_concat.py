"""Taking tensors apart along a dimension, and joining them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.fx import Node

from netaug.elastic.analysis import Analysis, where
from netaug.elastic.groups import Layout, Part, Parts
from netaug.elastic.rules.registry import Result, elastic_rule
from netaug.elastic.trace import arguments, number_of_results, shape_of


@elastic_rule("cat", "concat", "concatenate")
def concatenate(analysis: Analysis, node: Node) -> Layout:
    """Put channels one after the other; unify the other dimensions."""
    call = arguments(node)
    tensors = [t for t in call["tensors"] if isinstance(t, Node) and len(shape_of(t)) == len(shape_of(node))]
    dim = call["dim"] % len(shape_of(node))
    result: Layout = {}
    for other in {d for tensor in tensors for d in analysis.layout(tensor)} - {dim}:
        result[other] = analysis.meet(node, *((tensor, other) for tensor in tensors))
    if any(analysis.dim(tensor, dim) for tensor in tensors):
        result[dim] = tuple(part for tensor in tensors for part in analysis.full_dim(tensor, dim))
    return result


@elastic_rule("stack")
def stack(analysis: Analysis, node: Node) -> Layout:
    """Add a dimension; unify the others."""
    call = arguments(node)
    new = call["dim"] % len(shape_of(node))
    result: Layout = {}
    for dim in {d for tensor in call["tensors"] for d in analysis.layout(tensor)}:
        result[dim + (dim >= new)] = analysis.meet(node, *((tensor, dim) for tensor in call["tensors"]))
    return result


@elastic_rule("chunk", "tensor_split", "unsafe_chunk")
def chunk(analysis: Analysis, node: Node) -> list[Layout]:
    """Divide channels into equal stretches, whatever the width."""
    call = arguments(node)
    x, count = call["self"], number_of_results(node)
    dim = call["dim"] % len(shape_of(x))
    parts = analysis.dim(x, dim)
    if not parts:
        return [analysis.layout(x)] * count
    stretch = analysis.tile(node, parts, count, f"cannot divide these channels into {count} equal parts")
    return [{**analysis.layout(x), dim: stretch}] * count


@elastic_rule("glu")
def gate(analysis: Analysis, node: Node) -> Layout:
    """Unify the halves of a gated linear unit: one times the sigmoid of the other."""
    call = arguments(node)
    x, dim = call["self"], call["dim"] % len(shape_of(node))
    half = analysis.tile(node, analysis.dim(x, dim), 2, "cannot divide these channels into halves")
    return {**analysis.layout(x), dim: half}


@elastic_rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes")
def split(analysis: Analysis, node: Node) -> list[Layout]:
    """Split channels at given sizes: each stretch widens by itself if the module keeps the sizes, which is tried."""
    call = arguments(node)
    x = call["self"]
    dim = call["dim"] % len(shape_of(x))
    parts = analysis.dim(x, dim)
    sizes: Any = call.get("split_size", call.get("split_sizes"))
    if not parts:
        return [analysis.layout(x)] * number_of_results(node)
    if isinstance(sizes, int):
        if shape_of(x)[dim] % sizes == 0:
            stretches: list[Parts | None] = [
                analysis.groups.tile(parts, shape_of(x)[dim] // sizes, where(node))
            ] * number_of_results(node)
            analysis.note_size(node, sizes, stretches[0] or ())
            return _parted(analysis, node, x, dim, stretches)
        full, rest = divmod(shape_of(x)[dim], sizes)
        sizes = [sizes] * full + [rest]
    stretches = _cut(analysis, parts, sizes)
    for stretch, size in zip(stretches, sizes, strict=True):
        if stretch and size == 1:
            # A size of 1 is as often an index or a count of something else: it cannot be told to follow a width.
            analysis.groups.freeze(stretch, f"'{where(node)}' splits a single channel off")
    analysis.note_sizes(node, sizes, {i: stretch for i, stretch in enumerate(stretches) if stretch})
    return _parted(analysis, node, x, dim, _cut(analysis, parts, sizes))


def _cut(analysis: Analysis, parts: Parts, sizes: Sequence[int]) -> list[Parts | None]:
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    for end in ends:  # all borders first: a later cut may divide a stretch that was returned before
        analysis.groups.cut(parts, 0, end)
    return [analysis.groups.cut(parts, end - size, end) for end, size in zip(ends, sizes, strict=True)]


def _parted(
    analysis: Analysis, node: Node, x: Node, dim: int, stretches: Sequence[Parts | None]
) -> list[Layout]:
    if None in stretches:  # a border goes through a channel that has several elements
        analysis.groups.freeze(analysis.dim(x, dim), f"'{where(node)}' divides a channel's elements")
        return [analysis.layout(x)] * len(stretches)
    return [{**analysis.layout(x), dim: stretch or ()} for stretch in stretches]


@elastic_rule("getitem")
def getitem(analysis: Analysis, node: Node) -> Layout:
    """Take one tensor of several."""
    several, index = node.args
    assert isinstance(several, Node) and isinstance(index, int)
    return analysis.entry(several, index)


@elastic_rule("slice", "narrow")
def slice_(analysis: Analysis, node: Node) -> Layout:
    """Take a stretch of a dimension."""
    call = arguments(node)
    x = call.get("self", call.get("input"))
    assert isinstance(x, Node)
    dim = call["dim"] % len(shape_of(x))
    parts, size = analysis.dim(x, dim), shape_of(x)[dim]
    start = call["start"] or 0
    stop = call.get("end", start + call["length"] if "length" in call else size)
    start, stop = (
        max(0, n + size) if n < 0 else min(n, size) for n in (start, size if stop is None else stop)
    )
    if not parts:
        return analysis.layout(x)
    cut_parts = analysis.groups.cut(parts, start, stop) if call.get("step", 1) == 1 else None
    if cut_parts is None:
        analysis.groups.freeze(parts, f"'{where(node)}' takes channels out of the middle")
        return analysis.layout(x)
    for border in (call["start"], call.get("end")):
        if isinstance(border, int) and 0 < border <= size:
            analysis.note_size(node, border, analysis.groups.cut(parts, 0, border) or ())
    return {**analysis.layout(x), dim: cut_parts}


@elastic_rule("select", "unbind")
def select(analysis: Analysis, node: Node) -> Result:
    """Take one entry of a dimension, or each of them."""
    call = arguments(node)
    x = call["self"]
    dim = call["dim"] % len(shape_of(x))
    analysis.groups.freeze(analysis.dim(x, dim), f"'{where(node)}' takes single channels out")
    result = {d - (d > dim): parts for d, parts in analysis.layout(x).items() if d != dim}
    return [result] * number_of_results(node) if isinstance(node.meta["val"], (list, tuple)) else result


@elastic_rule("expand", "expand_as", "broadcast_to")
def expand(analysis: Analysis, node: Node) -> Layout:
    """Expand dimensions of size 1; the others stay."""
    x, other = node.args[:2]
    assert isinstance(x, Node)
    rank, more = len(shape_of(node)), len(shape_of(node)) - len(shape_of(x))
    result: Layout = dict(analysis.layout(other)) if isinstance(other, Node) else {}
    for dim in range(more, rank):
        if shape_of(x)[dim - more] == shape_of(node)[dim]:
            result[dim] = analysis.dim(x, dim - more)
            if isinstance(other, Sequence):
                analysis.note_size(node, other[dim], result[dim])
    return result


@elastic_rule("repeat", "tile")
def repeat(analysis: Analysis, node: Node) -> Layout:
    """Repeat the whole dimension."""
    x = node.args[0]
    assert isinstance(x, Node)
    more = len(shape_of(node)) - len(shape_of(x))
    return {
        dim + more: parts * (shape_of(node)[dim + more] // shape_of(x)[dim])
        for dim, parts in analysis.layout(x).items()
    }


@elastic_rule("repeat_interleave")
def repeat_interleave(analysis: Analysis, node: Node) -> Layout:
    """Repeat every element in a row."""
    call = arguments(node)
    x, times, dim = call["self"], call["repeats"], call["dim"]
    if not isinstance(times, int) or dim is None:
        return analysis.give_up(node, f"'{where(node)}' repeats elements by a tensor")
    dim %= len(shape_of(x))
    repeated = tuple(Part(part.group, part.repeat * times) for part in analysis.dim(x, dim))
    return {**analysis.layout(x), dim: repeated}


@elastic_rule("roll", "flip")
def turn(analysis: Analysis, node: Node) -> Layout:
    """Change the order of positions; channels that are turned freeze."""
    call = arguments(node)
    x, dims = call["self"], call["dims"]
    for dim in [dims] if isinstance(dims, int) else dims:
        parts = analysis.dim(x, dim % len(shape_of(x)))
        analysis.groups.freeze(parts, f"'{where(node)}' changes the order of channels")
    return analysis.layout(x)
