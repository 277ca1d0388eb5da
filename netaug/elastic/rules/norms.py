"""Normalization layers: channels pass through; affine parameters and statistics have the same ones."""

from __future__ import annotations

from torch.fx import Node
from torch.nn.modules.instancenorm import _InstanceNorm

from netaug.elastic.analysis import Analysis, where
from netaug.elastic.groups import Layout
from netaug.elastic.rules.registry import elastic_rule
from netaug.elastic.trace import arguments, module_of, shape_of


@elastic_rule("batch_norm", "instance_norm")
def batch_norm(analysis: Analysis, node: Node) -> Layout:
    """Pass channels through a norm per channel, whose statistics a torch module keeps or none."""
    call = arguments(node)
    x = call["input"]
    kept = [call[name] for name in ("running_mean", "running_var") if call[name] is not None]
    # A wide pass hides the statistics of torch's own norms only; others would be updated with a wider network's.
    if any(analysis.trace.tensors.get(tensor) not in analysis.trace.statistics for tensor in kept):
        return analysis.give_up(node, f"'{where(node)}' keeps statistics outside a torch module")
    affine = [call[name] for name in ("weight", "bias") if call[name] is not None]
    channels = analysis.meet(node, (x, 1), *((tensor, 0) for tensor in (*affine, *kept)))
    if isinstance(analysis.model.get_submodule(module_of(node)), _InstanceNorm):
        analysis.require_size(module_of(node), "num_features", channels)  # it checks its input
    return {**analysis.layout(x), 1: channels}


@elastic_rule("layer_norm", "rms_norm")
def layer_norm(analysis: Analysis, node: Node) -> Layout:
    """Pass channels through a norm over the last dimensions, whose sizes are in ``normalized_shape``."""
    call = arguments(node)
    x, shape = call["input"], call["normalized_shape"]
    affine = [call[name] for name in ("weight", "bias") if call.get(name) is not None]
    first, layout = len(shape_of(x)) - len(shape), {}
    for index in range(len(shape)):
        layout[index] = analysis.meet(node, (x, first + index), *((tensor, index) for tensor in affine))
    module = module_of(node)
    if hasattr(analysis.model.get_submodule(module), "normalized_shape"):
        # torch compares it with the shape of the input, so it has to follow.
        for index, parts in layout.items():
            analysis.require_size(module, "normalized_shape", parts, index)
    else:
        analysis.note_sizes(node, shape, layout)
    return analysis.layout(x)


@elastic_rule("group_norm")
def group_norm(analysis: Analysis, node: Node) -> Layout:
    """Pass channels through a norm per group of channels: all groups widen alike."""
    call = arguments(node)
    x = call["input"]
    analysis.tile(
        node, analysis.dim(x, 1), call["num_groups"], "cannot divide these channels into its groups"
    )
    affine = [call[name] for name in ("weight", "bias") if call[name] is not None]
    analysis.meet(node, (x, 1), *((tensor, 0) for tensor in affine))
    return analysis.layout(x)
