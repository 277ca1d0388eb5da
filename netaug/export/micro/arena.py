"""Where each activation lies in the one block of memory of an inference (the arena).

Activations whose lifetimes meet get separate bytes, except that an output may slide over an input which dies there
(:class:`~netaug.export.micro.lifetimes.Overlap`). Finding the smallest arena is NP-hard; what is found here is compared
with a lower bound that no arrangement can beat, and the result carries both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from netaug.core.seeding import key
from netaug.export.micro.lifetimes import Buffer, Operation, Overlap, buffers_of, overlaps_of

_MOVES = 400
"""Changes of the order that are tried; 400 take 0.04 s for MCUNet, and reach the lower bound without overlap, which
3,000 orders drawn at random did not."""


@dataclass(frozen=True)
class ArenaPlan:
    """Offsets of all activations, and how good they are.

    Attributes:
        offsets: Byte offset per activation.
        size: Bytes of the arena.
        lower_bound: Bytes that the operation with the most live activations needs in any arrangement.
        peak: Name of that operation's layer.
        live: Activations alive at the peak, with their bytes.
    """

    offsets: Mapping[str, int]
    size: int
    lower_bound: int
    peak: str
    live: Mapping[str, int]


def plan_arena(
    operations: Sequence[Operation],
    sizes: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    overlap: bool = True,
    moves: int = _MOVES,
) -> ArenaPlan:
    """Return a small arena for a network, the same on any machine.

    Args:
        operations: In the order in which they run.
        sizes: Bytes per activation.
        inputs: Activations that are filled before the first operation.
        outputs: Activations that are read after the last one.
        overlap: Whether outputs may slide over dying inputs; a vendor's kernels do not allow it.
        moves: How many changes of the best fixed order are tried if the lower bound is not reached.
    """
    buffers = buffers_of(operations, sizes, inputs, outputs)
    overlaps = overlaps_of(operations, buffers) if overlap else ()
    live = [_live_bytes(step, buffers, overlaps) for step in range(len(operations))]
    peak = int(np.argmax(live))
    layout = _Layout(buffers, overlaps)
    offsets = _search(layout, live[peak], moves)
    return ArenaPlan(
        {buffer.name: offset for buffer, offset in zip(buffers, offsets, strict=True)},
        layout.height(offsets),
        live[peak],
        operations[peak].name,
        {buffer.name: buffer.size for buffer in buffers if buffer.first <= peak <= buffer.last},
    )


def plan_like_tflite_micro(buffers: Sequence[Buffer]) -> tuple[list[int], int]:
    """Return the offsets and the arena head of tflite-micro's greedy planner: largest first, lowest gap that fits.

    Source:
        tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc. Equal sizes keep their order.
    """
    layout = _Layout(buffers, ())
    offsets = layout.first_fit(sorted(range(len(buffers)), key=lambda index: -buffers[index].size))
    return offsets, layout.height(offsets)


def _live_bytes(step: int, buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> int:
    """Return how many bytes an operation needs at least: all that is alive, less what its output may cover."""
    total = sum(buffer.size for buffer in buffers if buffer.first <= step <= buffer.last)
    here = [overlap for overlap in overlaps if buffers[overlap.after].first == step]
    if not here:
        return total
    output = buffers[here[0].after].size
    covered = sum(buffers[overlap.before].size for overlap in here)
    # the inputs are disjoint, and the first of them lies at least the smallest distance behind the output's start
    together = max(output, min(overlap.distance for overlap in here) + covered)
    return total - output - covered + together


class _Layout:
    """Places buffers one after another, each at the lowest offset that those placed before it leave free."""

    def __init__(self, buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> None:
        self.buffers = buffers
        self._sizes = [buffer.size for buffer in buffers]
        distances = {(overlap.before, overlap.after): overlap.distance for overlap in overlaps}
        self._neighbors = [
            [
                (other, *self._reach(index, other, distances))
                for other in range(len(buffers))
                if other != index and buffers[index].meets(buffers[other])
            ]
            for index in range(len(buffers))
        ]

    def _reach(self, index: int, other: int, distances: Mapping[tuple[int, int], int]) -> tuple[int, int]:
        """Return how far before and after the start of ``other`` buffer ``index`` must not start."""
        below = distances.get((other, index), self._sizes[index])
        above = distances.get((index, other), self._sizes[other])
        return below, above

    def first_fit(self, order: Sequence[int]) -> list[int]:
        """Return the offset of every buffer when they are placed in this order."""
        offsets = [-1] * len(self._sizes)
        for index in order:
            forbidden = sorted(
                (offsets[other] - below, offsets[other] + above)
                for other, below, above in self._neighbors[index]
                if offsets[other] >= 0
            )
            offset = 0
            for low, high in forbidden:
                if offset <= low:
                    break
                offset = max(offset, high)
            offsets[index] = offset
        return offsets

    def height(self, offsets: Sequence[int]) -> int:
        """Return the bytes of the arena."""
        return max((offset + size for offset, size in zip(offsets, self._sizes, strict=True)), default=0)

    def orders(self) -> Iterator[list[int]]:
        """Yield orders that are often good: by size, by first and by last use, by size times duration."""
        indices = range(len(self.buffers))
        size, buffers = self._sizes, self.buffers
        yield sorted(indices, key=lambda index: -size[index])
        yield sorted(indices, key=lambda index: (buffers[index].first, -size[index]))
        # from the end: an output lies first, and the input that it slides over finds its place behind it
        yield sorted(indices, key=lambda index: (-buffers[index].last, -size[index]))
        yield sorted(
            indices, key=lambda index: -size[index] * (1 + buffers[index].last - buffers[index].first)
        )


def _search(layout: _Layout, lower_bound: int, moves: int) -> list[int]:
    """Return the offsets with the smallest arena that is found; stops at the lower bound.

    The best of the fixed orders is changed by moving a drawn buffer to a drawn position, and the change is kept unless
    the arena grows.
    """
    order = min(layout.orders(), key=lambda order: layout.height(layout.first_fit(order)))
    best = layout.first_fit(order)
    draws = np.random.default_rng(key(0, "arena"))
    for _ in range(moves):
        if layout.height(best) <= lower_bound:
            break
        taken, put = draws.integers(len(order), size=2).tolist()
        changed = order.copy()
        changed.insert(put, changed.pop(taken))
        offsets = layout.first_fit(changed)
        if layout.height(offsets) <= layout.height(best):
            order, best = changed, offsets
    return best
