"""From when to when each activation of a network must stay in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALIGNMENT = 16
"""Bytes; what tflite-micro and the vendors' vector kernels ask of a buffer's address."""


@dataclass(frozen=True)
class Operation:
    """What the planner needs to know about one operation.

    Attributes:
        name: Of its layer, for messages.
        inputs: Activations that it reads; constants are not named.
        output: The activation that it writes.
        distances: Per input, in bytes: the output may lie over that input if it starts at least so far before it,
            because the kernel has then read each byte before it writes there. None: they must not share a byte.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    distances: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Buffer:
    """An activation that is alive from operation ``first`` to operation ``last``, both included."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        """Return whether both are alive at some operation."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Overlap:
    """Permission for an output to lie over an input that nobody reads later.

    Attributes:
        before: Index of the input's buffer.
        after: Index of the output's buffer.
        distance: The output starts at least this many bytes before the input.
    """

    before: int
    after: int
    distance: int


def align(size: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def buffers_of(
    operations: Sequence[Operation], sizes: Mapping[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[Buffer, ...]:
    """Return the buffer of every activation, in the order of ``sizes``.

    Args:
        operations: In the order in which they run.
        sizes: Bytes per activation; their order decides between equal sizes in tflite-micro's planner.
        inputs: Activations that are filled before the first operation.
        outputs: Activations that are read after the last one.
    """
    first = dict.fromkeys(inputs, 0)
    last = dict.fromkeys(inputs, 0)
    for step, operation in enumerate(operations):
        for name in operation.inputs:
            last[name] = step
        first[operation.output] = last[operation.output] = step
    for name in outputs:
        last[name] = len(operations)
    return tuple(Buffer(name, align(size), first[name], last[name]) for name, size in sizes.items())


def overlaps_of(operations: Sequence[Operation], buffers: Sequence[Buffer]) -> tuple[Overlap, ...]:
    """Return which outputs may lie over which inputs: those that die where the output is born."""
    index = {buffer.name: number for number, buffer in enumerate(buffers)}
    return tuple(
        # an output that starts its whole length before the input shares nothing with it, whatever the distance
        Overlap(
            index[name],
            index[operation.output],
            min(align(distance), buffers[index[operation.output]].size),
        )
        for step, operation in enumerate(operations)
        for name, distance in dict(zip(operation.inputs, operation.distances, strict=False)).items()
        if distance is not None and buffers[index[name]].last == step
    )
