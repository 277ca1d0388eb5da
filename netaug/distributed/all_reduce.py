"""One message a step: everything that the processes of a training have to tell each other, added up at once.

DistributedDataParallel is not used: it orders its buckets anew after its first iteration, by the arrival of gradients,
so that a run that goes on would add up in another order than the run left alone; and it waits for ever for a parameter
without a gradient, which a step may have. Here each number has its place for the whole run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from netaug.core.signals import SIGNALS
from netaug.distributed.world import World
from netaug.elastic.plain_network import Network

_FIXED = 3


@dataclass(frozen=True)
class Notes:
    """What a process says beside its gradients, or all of them together.

    Args:
        failed: Whether there was an error: the step is not to be taken.
        nonfinite: Losses of the step that are not finite; on the device before they are added up.
        save: Whether a checkpoint is due; rank 0's clock counts.
        signal: A signal that asks to stop.
    """

    failed: bool = False
    nonfinite: Tensor | int = 0
    save: bool = False
    signal: int | None = None

    def numbers(self) -> list[float]:
        """As numbers that can be added; ``nonfinite`` is left 0 if it is on a device."""
        count = 0 if isinstance(self.nonfinite, Tensor) else self.nonfinite
        return [float(self.failed), count, float(self.save), *(float(self.signal == one) for one in SIGNALS)]

    @staticmethod
    def of(sums: Sequence[float]) -> Notes:
        """What sums of numbers say."""
        signals = [one for one, count in zip(SIGNALS, sums[_FIXED:], strict=True) if count]
        return Notes(sums[0] > 0, round(sums[1]), sums[2] > 0, signals[0] if signals else None)


class Exchange:
    """Adds up the gradients and running statistics of all processes, and what they note.

    Args:
        network: Whose trained parameters have their place in the message: those of the base network, then the added.
        world: The processes; alone nothing is sent.
        parts: Parts of the batch in each process.
    """

    def __init__(self, network: Network, world: World, parts: int) -> None:
        self._world = world
        base = [parameter for parameter in network.base.parameters() if parameter.requires_grad]
        known = {id(parameter) for parameter in base}
        added = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
        self._parameters = [*base, *added]
        self.statistics = Statistics(network.base, world.size * parts)
        if world.size == 1:
            return
        moved = self.statistics.moved
        head = len(Notes().numbers()) + len(self._parameters)
        sizes = [head, *(one.numel() for one in (*moved, *self._parameters))]
        dtype = functools.reduce(torch.promote_types, {one.dtype for one in self._parameters})
        self._flat = torch.zeros(sum(sizes), dtype=dtype, device=self._parameters[0].device)
        pieces = torch.split(self._flat, sizes)
        self._head = pieces[0]
        self._statistics = [piece.view_as(one) for piece, one in zip(pieces[1:], moved, strict=False)]
        gradients = pieces[1 + len(moved) :]
        self._gradients = [_like(piece, one) for piece, one in zip(gradients, self._parameters, strict=True)]
        self._base_only = sum(sizes) - sum(one.numel() for one in added)

    def run(self, notes: Notes, widens: bool) -> Notes:
        """Replace gradients, statistics and notes by those of all processes together.

        Args:
            notes: Of this process.
            widens: Whether the step has an augmented pass; else added weights have no gradients to send.

        Raises:
            TrainingError: Another process is gone.
        """
        if self._world.size > 1:
            self._pack(notes)
            self._world.add_up(self._flat if widens else self._flat[: self._base_only])
            notes = self._unpack()
        self.statistics.finish()
        return notes

    @torch.no_grad()
    def _pack(self, notes: Notes) -> None:
        has = [parameter.grad is not None for parameter in self._parameters]
        self._head.copy_(torch.tensor([*notes.numbers(), *map(float, has)]))
        if isinstance(notes.nonfinite, Tensor):
            self._head[1] = notes.nonfinite
        if self._statistics:
            torch._foreach_copy_(self._statistics, self.statistics.moved)
        pairs = list(zip(self._gradients, self._parameters, strict=True))
        sent = [(place, parameter.grad) for place, parameter in pairs if parameter.grad is not None]
        if sent:
            torch._foreach_copy_([place for place, _ in sent], [gradient for _, gradient in sent])
        missing = [place for place, parameter in pairs if parameter.grad is None]
        if missing:
            torch._foreach_zero_(missing)

    @torch.no_grad()
    def _unpack(self) -> Notes:
        """The gradients stay where they are: parameters look at their piece of the message."""
        head = self._head.tolist()
        counts = head[len(head) - len(self._parameters) :]
        for parameter, place, count in zip(self._parameters, self._gradients, counts, strict=True):
            parameter.grad = place if count else None
        if self._statistics:
            torch._foreach_copy_(self.statistics.moved, self._statistics)
        return Notes.of(head[: len(head) - len(self._parameters)])


class Statistics:
    """Running statistics of a network that sees a batch in parts: they move once a step, by the mean over all parts.

    So they do not depend on how many processes share the parts. Seen whole, by one process, the batch moves them as
    it always does. Where several passes of a step move them, each starts from where the step did, and the changes add.

    Args:
        network: Its norms that keep statistics.
        parts: Parts of a batch over all processes.

    Attributes:
        moved: This process's share of the step's change, a tensor per statistic.
    """

    def __init__(self, network: nn.Module, parts: int) -> None:
        self._parts = parts
        norms = list(_keeping(network)) if parts > 1 else []
        pairs = [(norm.get_buffer("running_mean"), norm.get_buffer("running_var")) for norm in norms]
        self._now = [one for pair in pairs for one in pair]
        self._counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
        self._before = [torch.empty_like(one) for one in self._now]
        self._counts_before = [one.clone() for one in self._counters]
        self.moved = [torch.empty_like(one) for one in self._now]

    @torch.no_grad()
    def start(self) -> None:
        """Remember where the step starts."""
        if self._now:
            torch._foreach_copy_(self._before, self._now)
            torch._foreach_zero_(self.moved)
        for before, counter in zip(self._counts_before, self._counters, strict=True):
            before.copy_(counter)

    @torch.no_grad()
    def part_done(self, last: bool) -> None:
        """Note what a part of a pass changed, and undo it; the count of batches keeps what the last one did."""
        if self._now:
            changes = torch._foreach_sub(self._now, self._before)
            torch._foreach_add_(self.moved, changes, alpha=1 / self._parts)
            torch._foreach_copy_(self._now, self._before)
        for before, counter in zip(self._counts_before, self._counters, strict=True):
            if last:
                before.copy_(counter)
            else:
                counter.copy_(before)

    @torch.no_grad()
    def finish(self) -> None:
        """Change them by what all parts did."""
        if self._now:
            torch._foreach_add_(self._now, self.moved)


def _keeping(network: nn.Module) -> Iterator[_NormBase]:
    return (m for m in network.modules() if isinstance(m, _NormBase) and m.running_mean is not None)


def _like(piece: Tensor, parameter: Tensor) -> Tensor:
    """A piece of the message in the shape of a parameter, and in its memory order where that is dense."""
    if parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last):
        return piece.as_strided(parameter.shape, parameter.stride())
    return piece.view(parameter.shape)
