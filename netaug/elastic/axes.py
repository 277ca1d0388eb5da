"""How a tensor that can widen is stored; :mod:`netaug.elastic.assembly` puts it together.

The base tensor keeps its own shape and name; the channels that NetAug adds live in further tensors, one per
elastic dimension. Along an elastic dimension the stored order is "all base channels, then all added ones";
a network of some width reads, per group, the base channels and then the first of the added ones.

A supernet stores one added tensor per elastic dimension: "full in later dimensions, base in earlier". Added
weights start uniform with mean and standard deviation of the base tensor's own values: the same rule serves
fresh and loaded weights, and norms start at their constants. Every added parameter takes part in every
augmented pass, with an empty segment if need be: it gets a zero gradient, not none, so optimizers treat all
added weights alike whatever was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Segment(NamedTuple):
    """Describes a run of elements along one dimension: of the added tensor if ``added``, else of the base tensor."""

    added: bool
    start: int
    stop: int


@dataclass(frozen=True)
class Span:
    """Holds the stretch that one width group takes along an axis.

    Args:
        group: Name of the width group.
        repeat: Consecutive elements per channel (more than 1 after a flatten).
        base: Channels of the group in the base network.
        most: Channels of the group in the widest network.
    """

    group: str
    repeat: int
    base: int
    most: int


@dataclass(frozen=True)
class Axis:
    """Describes one elastic dimension: the spans of its groups, in the order in which the network reads them."""

    spans: tuple[Span, ...]

    @property
    def base_size(self) -> int:
        """Count the elements in the base network."""
        return sum(span.base * span.repeat for span in self.spans)

    @property
    def added_size(self) -> int:
        """Count the elements that the widest network has beyond the base."""
        return sum((span.most - span.base) * span.repeat for span in self.spans)

    def size(self, widths: Mapping[str, int]) -> int:
        """Count the elements in the network of these widths; a group that is not named is at base."""
        return sum(widths.get(span.group, span.base) * span.repeat for span in self.spans)

    def segments(self, widths: Mapping[str, int]) -> tuple[Segment, ...]:
        """Return what a network of these widths reads, in order; neighboring base segments are merged.

        Segments of added elements are kept even if empty, so that every added tensor takes part in every
        augmented pass (with a zero gradient).
        """
        segments: list[Segment] = []
        base_start = added_start = 0
        for span in self.spans:
            base_stop = base_start + span.base * span.repeat
            if segments and not segments[-1].added:
                segments[-1] = Segment(False, segments[-1].start, base_stop)
            else:
                segments.append(Segment(False, base_start, base_stop))
            # Empty or not, so that the added tensor gets a zero gradient and not none.
            if span.most > span.base:
                added = (widths[span.group] - span.base) * span.repeat
                segments.append(Segment(True, added_start, added_start + added))
            base_start = base_stop
            added_start += (span.most - span.base) * span.repeat
        return tuple(segments)

    def positions(self, group: str) -> Tensor:
        """Return stored positions of a group's channels, base first, shape ``[most, spans of the group x repeat]``."""
        columns = []
        base_start, added_start = 0, self.base_size
        for span in self.spans:
            if span.group == group:
                base = torch.arange(span.base * span.repeat) + base_start
                added = torch.arange((span.most - span.base) * span.repeat) + added_start
                columns.append(torch.cat([base, added]).view(span.most, span.repeat))
            base_start += span.base * span.repeat
            added_start += (span.most - span.base) * span.repeat
        return torch.cat(columns, dim=1)


Axes = Mapping[int, Axis]
"""The elastic dimensions of one tensor."""


def added_shape(base_shape: tuple[int, ...], axes: Axes, dim: int) -> tuple[int, ...]:
    """Return the shape of the tensor that is added along ``dim``: full in later dimensions, base in earlier."""
    shape = list(base_shape)
    for other, axis in axes.items():
        if other > dim:
            shape[other] += axis.added_size
    shape[dim] = axes[dim].added_size
    return tuple(shape)


def added_dims(axes: Axes) -> tuple[int, ...]:
    """Return the dimensions along which something is added."""
    return tuple(sorted(dim for dim, axis in axes.items() if axis.added_size > 0))


def added_key(name: str, dim: int) -> str:
    """Return the name under which a supernet keeps what a tensor gains along a dimension (it may hold no dots)."""
    return f"{name.replace('.', '/')}[{dim}]"


def added_values(base: Tensor, axes: Axes, dim: int, seed: int | None) -> Tensor:
    """Draw the first values of what is added: uniform, with mean and standard deviation of the base tensor.

    Without a seed they are zero.
    """
    if base.is_meta:
        return base.new_empty(added_shape(base.shape, axes, dim))
    if seed is None:
        return base.new_zeros(added_shape(base.shape, axes, dim))
    values = base.detach().double()
    # Uniform in [-s, s] has the standard deviation s / sqrt(3).
    mean, spread = float(values.mean()), float(values.std(correction=0)) * 3**0.5
    drawn = torch.empty(added_shape(base.shape, axes, dim))  # on the CPU: the same values on every device
    drawn.uniform_(-1.0, 1.0, generator=torch.Generator().manual_seed(seed))
    return drawn.mul_(spread).add_(mean).to(dtype=base.dtype, device=base.device)


def join(base: Tensor, added: Mapping[int, Tensor]) -> Tensor:
    """Return the whole widest tensor in stored order (base first, then added, along every dimension)."""
    for dim in sorted(added, reverse=True):  # the tensor of a dimension is full in the later ones
        base = torch.cat([base, added[dim]], dim)
    return base


def split(whole: Tensor, base_shape: torch.Size, dims: tuple[int, ...]) -> tuple[Tensor, dict[int, Tensor]]:
    """Undo :func:`join`."""
    added = {}
    for dim in sorted(dims):
        added[dim] = whole.narrow(dim, base_shape[dim], whole.shape[dim] - base_shape[dim])
        whole = whole.narrow(dim, 0, base_shape[dim])
    return whole, added
