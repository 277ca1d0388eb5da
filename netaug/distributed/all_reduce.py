"""Exchanges everything in one all-reduce per step, so that all processes do the same afterwards.

A batch is cut into ``max(accumulate, processes)`` microbatches, numbered over all processes; each process has its
consecutive ones. What is drawn is keyed by step and microbatch, so nothing depends on who computes it. After all passes
one message of fixed layout is summed: gradients, the changes of running statistics, and flags about errors, signals and
checkpoints.

Where the gradients of base and augmented passes are kept apart (``netaug.conflict``), the message has both, and they
are combined behind it: projecting is not linear, so only sums over all microbatches may be projected.

DistributedDataParallel is not used: it rebuilds its buckets after its first iteration, in the order in which gradients
arrive, so that a resumed run would sum in another order than the run left alone; and it waits forever for a parameter
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
from netaug.elastic import Supernet
from netaug.elastic.conflict import Held
from netaug.elastic.plain_network import Network

_FIXED = 3


@dataclass(frozen=True)
class StepFlags:
    """Holds what a process reports beside its gradients, or the all-reduced flags of all of them.

    Args:
        failed: Whether there was an error, so that weights must not change.
        nonfinite: Losses of the step that are not finite; on the device before the all-reduce.
        save: Whether a checkpoint is due; rank 0's clock counts.
        signal: A signal that asks to stop.
    """

    failed: bool = False
    nonfinite: Tensor | int = 0
    save: bool = False
    signal: int | None = None

    def numbers(self) -> list[float]:
        """Return the flags as numbers that can be summed; ``nonfinite`` is 0 if it is on a device."""
        count = 0 if isinstance(self.nonfinite, Tensor) else self.nonfinite
        return [
            float(self.failed),
            count,
            float(self.save),
            *(float(self.signal == number) for number in SIGNALS),
        ]

    @staticmethod
    def of(sums: Sequence[float]) -> StepFlags:
        """Return the flags of all processes from the sums of their numbers."""
        signals = [number for number, count in zip(SIGNALS, sums[_FIXED:], strict=True) if count]
        return StepFlags(sums[0] > 0, round(sums[1]), sums[2] > 0, signals[0] if signals else None)

    def all_reduced(self, world: World, device: torch.device) -> StepFlags:
        """Return the flags of all processes, each of which has to call it; for moments between two steps."""
        if world.size == 1:
            return self
        message = torch.tensor(self.numbers(), device=device)
        world.all_reduce(message)
        return StepFlags.of(message.tolist())


class AllReduce:
    """Sums the gradients, the changes of running statistics and the step flags of all processes.

    Args:
        network: Whose trained parameters have their place in the message: those of the base network, then the added,
            then what augmented passes left on the base network's where that is kept apart. It is combined here.
        world: The processes; a single process sends nothing.
        microbatches: Per step, in each process.
    """

    def __init__(self, network: Network, world: World, microbatches: int) -> None:
        self._world = world
        base = [parameter for parameter in network.base.parameters() if parameter.requires_grad]
        known = {id(parameter) for parameter in base}
        added = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
        self._separate = network.separate if isinstance(network, Supernet) else None
        wide: list[tuple[nn.Parameter, Held]] = []
        if self._separate is not None:
            self._separate.is_deferred = True
            pairs = zip(self._separate.parameters, self._separate.wide, strict=True)
            wide = [(parameter, held) for parameter, held in pairs if parameter.requires_grad]
        self._parameters = [*base, *added, *(parameter for parameter, _ in wide)]
        self._places: list[nn.Parameter | Held] = [*base, *added, *(held for _, held in wide)]
        self.statistics = RunningStatistics(network.base, world.size * microbatches)
        if world.size == 1:
            return
        moved = self.statistics.moved
        head = len(StepFlags().numbers()) + len(self._parameters)
        sizes = [head, *(tensor.numel() for tensor in (*moved, *self._parameters))]
        dtype = functools.reduce(torch.promote_types, {parameter.dtype for parameter in self._parameters})
        self._flat = torch.zeros(sum(sizes), dtype=dtype, device=self._parameters[0].device)
        segments = torch.split(self._flat, sizes)
        self._head = segments[0]
        self._statistics = [
            segment.view_as(change) for segment, change in zip(segments[1:], moved, strict=False)
        ]
        gradients = segments[1 + len(moved) :]
        self._gradients = [_like(segment, p) for segment, p in zip(gradients, self._parameters, strict=True)]
        self._base_only = sum(sizes) - sum(parameter.numel() for parameter in self._parameters[len(base) :])

    def run(self, flags: StepFlags, widens: bool) -> StepFlags:
        """Replace gradients and statistics by those of all processes, and return the all-reduced flags.

        Args:
            flags: Of this process.
            widens: Whether the step has an augmented pass; if not, added weights have no gradients to send.

        Raises:
            TrainingError: Another process is gone.
        """
        if self._world.size > 1:
            self._pack(flags)
            self._world.all_reduce(self._flat if widens else self._flat[: self._base_only])
            flags = self._unpack()
        self.statistics.finish()
        if self._separate is not None:
            self._separate.combine()
        return flags

    @torch.no_grad()
    def _pack(self, flags: StepFlags) -> None:
        # A parameter without a gradient is sent as zeros, and stays without where no rank has one: optimizers skip it.
        has = [place.grad is not None for place in self._places]
        self._head.copy_(torch.tensor([*flags.numbers(), *map(float, has)]))
        if isinstance(flags.nonfinite, Tensor):
            self._head[1] = flags.nonfinite
        if self._statistics:
            torch._foreach_copy_(self._statistics, self.statistics.moved)
        pairs = list(zip(self._gradients, self._places, strict=True))
        sent = [(segment, place.grad) for segment, place in pairs if place.grad is not None]
        if sent:
            torch._foreach_copy_([segment for segment, _ in sent], [gradient for _, gradient in sent])
        missing = [segment for segment, place in pairs if place.grad is None]
        if missing:
            torch._foreach_zero_(missing)

    @torch.no_grad()
    def _unpack(self) -> StepFlags:
        """Let each parameter's gradient be its segment of the message, which saves a copy."""
        head = self._head.tolist()
        counts = head[len(head) - len(self._parameters) :]
        for place, segment, count in zip(self._places, self._gradients, counts, strict=True):
            place.grad = segment if count else None
        if self._statistics:
            torch._foreach_copy_(self.statistics.moved, self._statistics)
        return StepFlags.of(head[: len(head) - len(self._parameters)])


class RunningStatistics:
    """Moves the running statistics of batch norms once per step, by the mean change over all microbatches.

    So they do not depend on how many processes share the microbatches. A single microbatch moves them as torch does.
    Where several passes of a step move them, each starts from where the step did, and the changes add.

    Args:
        network: Its norms that keep statistics.
        microbatches: Per step, over all processes.

    Attributes:
        moved: This process's part of the step's change, a tensor per statistic.
    """

    def __init__(self, network: nn.Module, microbatches: int) -> None:
        self._microbatches = microbatches
        norms = list(_norms_with_statistics(network)) if microbatches > 1 else []
        pairs = [(norm.get_buffer("running_mean"), norm.get_buffer("running_var")) for norm in norms]
        self._now = [statistic for pair in pairs for statistic in pair]
        self._counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
        self._before = [torch.empty_like(statistic) for statistic in self._now]
        self._counts_before = [counter.clone() for counter in self._counters]
        self.moved = [torch.empty_like(statistic) for statistic in self._now]

    @property
    def are_collected(self) -> bool:
        """Return whether there is anything to do: with one microbatch per step torch has moved them already."""
        return bool(self._now or self._counters)

    @torch.no_grad()
    def start(self) -> None:
        """Remember the statistics at the start of a step."""
        if self._now:
            torch._foreach_copy_(self._before, self._now)
            torch._foreach_zero_(self.moved)
        for before, counter in zip(self._counts_before, self._counters, strict=True):
            before.copy_(counter)

    @torch.no_grad()
    def collect(self, last: bool) -> None:
        """Collect what a microbatch changed, and undo it; the count of batches keeps the change of the last one.

        Without undoing it, the second microbatch would start from statistics that depend on where the first ran.
        """
        if self._now:
            changes = torch._foreach_sub(self._now, self._before)
            torch._foreach_add_(self.moved, changes, alpha=1 / self._microbatches)
            torch._foreach_copy_(self._now, self._before)
        for before, counter in zip(self._counts_before, self._counters, strict=True):
            if last:
                before.copy_(counter)
            else:
                counter.copy_(before)

    @torch.no_grad()
    def finish(self) -> None:
        """Apply the collected changes."""
        if self._now:
            torch._foreach_add_(self._now, self.moved)


def _norms_with_statistics(network: nn.Module) -> Iterator[_NormBase]:
    return (m for m in network.modules() if isinstance(m, _NormBase) and m.running_mean is not None)


def _like(segment: Tensor, parameter: Tensor) -> Tensor:
    """View a segment of the message in the shape of a parameter, and in its memory order where that is dense."""
    if parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last):
        return segment.as_strided(parameter.shape, parameter.stride())
    return segment.view(parameter.shape)
