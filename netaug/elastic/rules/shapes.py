"""Moving, merging and dividing dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.fx import Node

from netaug.elastic.analysis import Analysis, where
from netaug.elastic.groups import MOST_PARTS, Layout, Part, Parts
from netaug.elastic.rules.registry import elastic_rule
from netaug.elastic.trace import arguments, shape_of


@elastic_rule("permute")
def permute(analysis: Analysis, node: Node) -> Layout:
    """Put dimensions in another order."""
    call = arguments(node)
    order = [dim % len(call["dims"]) for dim in call["dims"]]
    layout = analysis.layout(call["self"])
    return {new: layout[old] for new, old in enumerate(order) if old in layout}


@elastic_rule("transpose", "swapaxes", "swapdims")
def transpose(analysis: Analysis, node: Node) -> Layout:
    """Swap two dimensions."""
    x, first, second = node.args
    assert isinstance(x, Node) and isinstance(first, int) and isinstance(second, int)
    return _swapped(analysis, x, first, second)


@elastic_rule("t", "mT", "numpy_T", "matrix_H", "adjoint")
def turn_matrix(analysis: Analysis, node: Node) -> Layout:
    """Swap the last two dimensions."""
    x = node.args[0]
    assert isinstance(x, Node)
    return _swapped(analysis, x, -1, -2) if len(shape_of(x)) > 1 else analysis.layout(x)


def _swapped(analysis: Analysis, x: Node, first: int, second: int) -> Layout:
    rank = len(shape_of(x))
    swap = {first % rank: second % rank, second % rank: first % rank}
    return {swap.get(dim, dim): parts for dim, parts in analysis.layout(x).items()}


@elastic_rule("movedim", "moveaxis")
def movedim(analysis: Analysis, node: Node) -> Layout:
    """Move some dimensions; the others keep their order."""
    call = arguments(node)
    x, rank = call["self"], len(shape_of(node))
    pairs = [call[name] for name in ("source", "destination")]
    sources, targets = ([dim % rank for dim in ([p] if isinstance(p, int) else p)] for p in pairs)
    rest = iter(dim for dim in range(rank) if dim not in sources)
    order = [sources[targets.index(dim)] if dim in targets else next(rest) for dim in range(rank)]
    layout = analysis.layout(x)
    return {new: layout[old] for new, old in enumerate(order) if old in layout}


@elastic_rule(
    *(
        "flatten",
        "view",
        "reshape",
        "_unsafe_view",
        "unsqueeze",
        "squeeze",
        "unflatten",
        "view_as",
        "reshape_as",
    ),
)
def reshape(analysis: Analysis, node: Node) -> Layout:
    """Follow channels through a change of shape: kept, merged with positions, or divided into equal stretches."""
    x = node.args[0]
    assert isinstance(x, Node)
    layout, sizes = analysis.layout(x), _named_sizes(node)
    result: Layout = {}
    for old_dims, new_dims in _matching_dims(shape_of(x), shape_of(node)):
        elastic = [dim for dim in old_dims if dim in layout]
        if not elastic:
            continue
        flat = _flattened(shape_of(x), old_dims, elastic[0], layout[elastic[0]])
        placed = None
        # Of two elastic dimensions in one, where an element stands would depend on both widths.
        if len(elastic) == 1 and len(flat) <= MOST_PARTS:
            placed = _divided(analysis, node, flat, {dim: shape_of(node)[dim] for dim in new_dims})
        if placed is None:
            for dim in elastic:
                analysis.groups.freeze(layout[dim], f"'{where(node)}' reshapes its channels")
            continue
        dim, parts = placed
        result[dim] = parts
        analysis.note_size(node, sizes.get(dim), parts)
    return result


@elastic_rule("pixel_shuffle")
def pixel_shuffle(analysis: Analysis, node: Node) -> Layout:
    """Turn runs of channels into positions."""
    x, factor = node.args[:2]
    assert isinstance(x, Node) and isinstance(factor, int)
    parts = analysis.dim(x, 1)
    divided = analysis.groups.divide(parts, factor**2) if parts else ()
    if divided is None:
        analysis.groups.freeze(parts, f"'{where(node)}' turns channels into positions")
    return {1: divided or ()}


@elastic_rule("pixel_unshuffle")
def pixel_unshuffle(analysis: Analysis, node: Node) -> Layout:
    """Turn positions into runs of channels."""
    x, factor = node.args[:2]
    assert isinstance(x, Node) and isinstance(factor, int)
    return {1: tuple(Part(part.group, part.repeat * factor**2) for part in analysis.dim(x, 1))}


@elastic_rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(analysis: Analysis, node: Node) -> Layout:
    """Order channels as the first of every stretch, then the second of every stretch, and so on."""
    x, stretches = node.args[:2]
    assert isinstance(x, Node) and isinstance(stretches, int)
    tiles = analysis.tile(node, analysis.dim(x, 1), stretches, "shuffles these channels")
    return {1: tuple(Part(part.group, part.repeat * stretches) for part in tiles)}


def _named_sizes(node: Node) -> dict[int, object]:
    """Return the sizes that a call names, by dimension of its result; -1 is worked out by torch."""
    call = arguments(node)
    given = call.get("size", call.get("shape", call.get("sizes")))
    if not isinstance(given, Sequence):
        return {}
    first = call["dim"] % len(shape_of(node)) if "sizes" in call else 0
    return {first + index: size for index, size in enumerate(given)}


def _flattened(shape: tuple[int, ...], dims: Sequence[int], elastic: int, parts: Parts) -> Parts:
    """Return an elastic dimension and fixed ones around it as one dimension."""
    position = dims.index(elastic)
    outer = math.prod(shape[dim] for dim in dims[:position])
    inner = math.prod(shape[dim] for dim in dims[position + 1 :])
    if outer * len(parts) > MOST_PARTS:
        return parts * (MOST_PARTS + 1)  # beyond the limit, which the caller checks: the channels freeze
    return tuple(Part(part.group, part.repeat * inner) for part in parts) * outer


def _divided(analysis: Analysis, node: Node, flat: Parts, sizes: dict[int, int]) -> tuple[int, Parts] | None:
    """Return the new elastic dimension: the longest that the groups fit as they are, else the longest."""
    longest_first = sorted((dim for dim in sizes if sizes[dim] > 1), key=lambda dim: (-sizes[dim], -dim))
    dims = list(sizes)
    for dim in longest_first:
        outer = math.prod(sizes[other] for other in dims[: dims.index(dim)])
        inner = math.prod(sizes[other] for other in dims[dims.index(dim) + 1 :])
        fits = flat == flat[: len(flat) // outer] * outer and all(part.repeat % inner == 0 for part in flat)
        if fits:
            once = flat[: len(flat) // outer]
            return dim, tuple(Part(part.group, part.repeat // inner) for part in once)
    for dim in longest_first[:1]:
        outer = math.prod(sizes[other] for other in dims[: dims.index(dim)])
        inner = math.prod(sizes[other] for other in dims[dims.index(dim) + 1 :])
        stretch = analysis.groups.tile(flat, outer, where(node))
        divided = stretch and analysis.groups.divide(stretch, inner)
        if divided:
            return dim, divided
    return None


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
