"""Where a wide weight comes from: rectangular blocks of a base parameter and of what is added to it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from netaug.elastic.axes import Segment

Segments = Mapping[int, tuple[Segment, ...]]
Slices = tuple[slice, ...]


class Block(NamedTuple):
    """A rectangle of a wide tensor and where it comes from.

    Args:
        source: 0 for the base tensor, ``n`` for the ``n``-th added one.
        start: Its place in the source, one slice per dimension.
        target: Its place in the wide tensor.
    """

    source: int
    start: Slices
    target: Slices


@dataclass(frozen=True)
class Blocks:
    """How one wide tensor is made.

    Args:
        shape: Of the wide tensor.
        blocks: They cover it without overlap.
        complete: Per source, whether the blocks read all of it; else its gradient has zeros.
    """

    shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    complete: tuple[bool, ...]

    @property
    def size(self) -> int:
        """Elements of the wide tensor."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, base_shape: Sequence[int], source_sizes: Sequence[int], segments: Segments) -> Blocks:
        """Cut the tensor of one width into blocks.

        Args:
            base_shape: Of the base tensor.
            source_sizes: Elements of the base tensor and of the added ones, in the order of their dimensions.
            segments: Per dimension with something added, what the width reads along it.

        Returns:
            The blocks; what has added positions along several dimensions is in the first one's tensor.
        """
        dims = tuple(sorted(segments))
        shape, along = list(base_shape), []
        for dim in dims:
            lengths = [segment.stop - segment.start for segment in segments[dim]]
            starts = [0, *itertools.accumulate(lengths)]
            shape[dim] = starts[-1]
            along.append([part for part in zip(segments[dim], starts, lengths, strict=False) if part[2]])
        blocks, read = [], [0] * len(source_sizes)
        for chosen in itertools.product(*along):
            start, target = ([slice(0, size) for size in base_shape] for _ in range(2))
            source = next((n + 1 for n, (segment, _, _) in enumerate(chosen) if segment.added), 0)
            for number, (dim, (segment, begin, length)) in enumerate(zip(dims, chosen, strict=True), start=1):
                behind_base = segment.added and source != number
                first = segment.start + (base_shape[dim] if behind_base else 0)
                start[dim], target[dim] = slice(first, first + length), slice(begin, begin + length)
            blocks.append(Block(source, tuple(start), tuple(target)))
            read[source] += math.prod(part.stop - part.start for part in target)
        complete = tuple(done == size for done, size in zip(read, source_sizes, strict=True))
        return cls(tuple(shape), tuple(blocks), complete)


class Source(NamedTuple):
    """What is known of a parameter when gradients come back: nothing that would keep its values alive."""

    shape: torch.Size
    memory_format: torch.memory_format


def source_of(tensor: Tensor) -> Source:
    """Return what a gradient of this tensor has to look like."""
    return Source(tensor.shape, memory_format_of(tensor))


def memory_format_of(tensor: Tensor) -> torch.memory_format:
    """Return ``channels_last`` for a 4-d tensor that has it and is not contiguous as well, else contiguous."""
    if (
        tensor.dim() == 4
        and tensor.is_contiguous(memory_format=torch.channels_last)
        and not tensor.is_contiguous()
    ):
        return torch.channels_last
    return torch.contiguous_format
