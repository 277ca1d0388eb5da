"""Put a weight of some width together from its base and what is added, and take its gradient apart again.

The wide weight is a new tensor in every pass. Its gradient goes back into the base parameter, where it adds to that
of the base pass, and into the added ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from netaug.elastic.axes import Segment, join

MOST_BLOCKS = 64
"""Beyond this many blocks a tensor is read by index: a grouped convolution may have one segment per group."""

Segments = Mapping[int, tuple[Segment, ...]]


class Block(NamedTuple):
    """Describes a rectangle of the result, and where it comes from.

    Args:
        source: 0 for the base tensor, ``n`` for the ``n``-th added one.
        start: Its first position per dimension in the source.
        target: Its first position per dimension in the result.
        size: Its length per dimension.
    """

    source: int
    start: tuple[int, ...]
    target: tuple[int, ...]
    size: tuple[int, ...]

    def of_source(self, tensor: Tensor) -> Tensor:
        """Return the block's view of its source."""
        return _narrowed(tensor, self.start, self.size)

    def of_result(self, tensor: Tensor) -> Tensor:
        """Return the block's view of the result."""
        return _narrowed(tensor, self.target, self.size)


def assemble(base: Tensor, added: Mapping[int, Tensor], segments: Segments) -> Tensor:
    """Put the tensor of one width together from its base and the added parts; differentiable in both.

    Args:
        base: The base tensor.
        added: Per elastic dimension, the tensor of shape :func:`netaug.elastic.axes.added_shape`.
        segments: Per elastic dimension with something added, :meth:`netaug.elastic.axes.Axis.segments` of the widths.
    """
    dims = tuple(sorted(segments))
    count = 1
    for dim in dims:
        count *= len(segments[dim])
    if count > MOST_BLOCKS:
        return _by_index(base, added, segments)
    shape, blocks = _blocks(tuple(base.shape), dims, segments)
    result: Tensor = _Assemble.apply(shape, blocks, base, *(added[dim] for dim in dims))
    return result


def _blocks(
    base_shape: tuple[int, ...], dims: tuple[int, ...], segments: Segments
) -> tuple[tuple[int, ...], list[Block]]:
    """Return the result's shape and blocks; what is added along several dimensions is in the tensor of the first."""
    shape, placed = list(base_shape), []
    for dim in dims:
        lengths = [segment.stop - segment.start for segment in segments[dim]]
        starts = [0, *itertools.accumulate(lengths)]
        shape[dim] = starts[-1]
        placed.append([block for block in zip(segments[dim], starts, lengths, strict=False) if block[2]])
    blocks = []
    for chosen in itertools.product(*placed):
        start, target, size = [0] * len(base_shape), [0] * len(base_shape), list(base_shape)
        source = next((n + 1 for n, (segment, _, _) in enumerate(chosen) if segment.added), 0)
        for number, (dim, (segment, begin, length)) in enumerate(zip(dims, chosen, strict=True), start=1):
            behind_base = segment.added and source != number
            start[dim] = segment.start + (base_shape[dim] if behind_base else 0)
            target[dim], size[dim] = begin, length
        blocks.append(Block(source, tuple(start), tuple(target), tuple(size)))
    return tuple(shape), blocks


class _Assemble(torch.autograd.Function):
    """Copies blocks; each source's gradient is written once, with zeros where this width does not read it.

    The same as slices and ``torch.cat``, but for the backward: there each slice would make a gradient of the whole
    tensor, and all of them would be added up.
    """

    @staticmethod
    def forward(ctx: Any, shape: tuple[int, ...], blocks: list[Block], *sources: Tensor) -> Tensor:
        base = sources[0]
        # A channels-last model keeps its layout, or the convolution would convert the weight in every wide pass.
        result = torch.empty(shape, dtype=base.dtype, device=base.device, memory_format=_format(base))
        for block in blocks:
            block.of_result(result).copy_(block.of_source(sources[block.source]))
        ctx.blocks, ctx.shapes = blocks, [source.shape for source in sources]
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        gradients_of_sources: list[Tensor | None] = [None, None]
        for number, shape in enumerate(ctx.shapes):
            if not ctx.needs_input_grad[2 + number]:
                gradients_of_sources.append(None)
                continue
            blocks = [block for block in ctx.blocks if block.source == number]
            if len(blocks) == 1 and blocks[0].size == tuple(shape):  # read as a whole: a view will do
                gradients_of_sources.append(blocks[0].of_result(gradient))
                continue
            base_gradient = torch.zeros(shape, dtype=gradient.dtype, device=gradient.device)
            for block in blocks:
                block.of_source(base_gradient).copy_(block.of_result(gradient))
            gradients_of_sources.append(base_gradient)
        return tuple(gradients_of_sources)


def _by_index(base: Tensor, added: Mapping[int, Tensor], segments: Segments) -> Tensor:
    # One selection per dimension costs the same for two segments as for hundreds.
    result = join(base, {dim: added[dim] for dim in segments})
    for dim, dim_segments in segments.items():
        behind = base.shape[dim]
        index = [
            n + behind * segment.added for segment in dim_segments for n in range(segment.start, segment.stop)
        ]
        result = result.index_select(dim, torch.tensor(index, device=base.device))
    return result


def _format(base: Tensor) -> torch.memory_format:
    if base.dim() == 4 and base.is_contiguous(memory_format=torch.channels_last) and not base.is_contiguous():
        return torch.channels_last
    return torch.contiguous_format


def _narrowed(tensor: Tensor, start: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    for dim, (first, length) in enumerate(zip(start, size, strict=True)):
        if length != tensor.shape[dim]:
            tensor = tensor.narrow(dim, first, length)
    return tensor
