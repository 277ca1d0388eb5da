"""Means, maxima and the like over dimensions; poolings, resizing and padding."""

from __future__ import annotations

from torch.fx import Node

from netaug.elastic.analysis import Analysis, where
from netaug.elastic.groups import Layout, Part
from netaug.elastic.rules.pointwise import combine
from netaug.elastic.rules.registry import Result, elastic_rule
from netaug.elastic.trace import arguments, gives_several, shape_of, tensor_inputs


@elastic_rule(
    *("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "std_mean", "prod", "norm"),
    *("linalg_vector_norm", "logsumexp", "argmax", "argmin", "any", "all", "median"),
)
def reduce(analysis: Analysis, node: Node) -> Result:
    """Drop reduced dimensions, whatever their width; the others stay where they are or move up."""
    if len(tensor_inputs(node)) > 1:
        return combine(analysis, node)  # as in max(a, b)
    call = arguments(node)
    x = tensor_inputs(node)[0]
    rank = len(shape_of(x))
    given = call.get("dim")
    dims = range(rank) if given is None or given == [] else [given] if isinstance(given, int) else given
    reduced = {dim % rank for dim in dims} if rank else set()
    result = {dim: parts for dim, parts in analysis.layout(x).items() if dim not in reduced}
    if not call.get("keepdim"):
        result = {dim - sum(r < dim for r in reduced): parts for dim, parts in result.items()}
    return [result, result] if gives_several(node) else result


@elastic_rule(
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "max_pool2d_with_indices"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact2d"),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa"),
    "grid_sampler",
)
def spatial(analysis: Analysis, node: Node) -> Result:
    """Keep batch and channels; positions change."""
    x = node.args[0]
    assert isinstance(x, Node)
    kept = {dim for dim in analysis.layout(x) if dim < 2}
    analysis.freeze_node(x, f"'{where(node)}' changes the size of elastic channels", except_dims=kept)
    result = {dim: parts for dim, parts in analysis.layout(x).items() if dim in kept}
    return [result, result] if gives_several(node) else result


@elastic_rule("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d", "reflection_pad1d")
def pad(analysis: Analysis, node: Node) -> Layout:
    """Put frozen groups around padded channels: what is added is constant and keeps its size."""
    call = arguments(node)
    x, amounts = tensor_inputs(node)[0], call.get("pad") or call["padding"]
    layout, rank = analysis.layout(x), len(shape_of(x))
    result = {dim: parts for dim, parts in layout.items() if shape_of(x)[dim] == shape_of(node)[dim]}
    for dim in layout.keys() - result.keys():
        before, after = amounts[2 * (rank - 1 - dim) : 2 * (rank - dim)]
        if min(before, after) < 0:
            analysis.groups.freeze(layout[dim], f"'{where(node)}' cuts these channels off")
            continue
        ends = [Part(analysis.groups.new(size, node.name)) for size in (before, after) if size]
        analysis.groups.freeze(ends, f"'{where(node)}' pads with these")
        left, right = ends[: int(before > 0)], ends[int(before > 0) :]
        result[dim] = (*left, *layout[dim], *right)
    return result
